//! DocumentEntry -> DocumentReference, profile PDSm 3.1.1 "comprehensive".
//!
//! Decision: the id is the logicalId, which never changes, and not the entryUUID, which changes at every
//! metadata version (T-8). `date` is the registration, `attachment.creation` the creationTime (T-10). The
//! hash is the base64 of the SHA-1 bytes (T-11). N comes first among the labels, under its own code system
//! and not under TRE_A07 (T-13). Source: domain D.6.

use std::borrow::Cow;

use serde::Serialize;

use super::Writing;
use super::datatype::{
    CodeableConcept, Coding, Extension, Identifier, Meta, Period, Reference, URI_SYSTEM, Value,
};
use super::person::{Contained, Containing};
use crate::domain::confidentiality::{CONFIDENTIALITY_OID, Confidentiality, VISIBILITY_OID};
use crate::domain::document_entry::{DocumentEntry, ReferenceId};
use crate::domain::status::AvailabilityStatus;

pub const PROFILE: &str =
    "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-comprehensive-document-reference";
/// `docStatus` has no word for Archived: PDSm keeps `current` and adds this extension.
pub const IS_ARCHIVED: &str = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-ext-is-archived";
/// System of `identifier.type` for identifiers that no guide names.
pub const IDENTIFIER_TYPE: &str = "urn:carnet:identifier-type";

#[derive(Debug, Serialize)]
#[serde(tag = "resourceType", rename_all = "camelCase")]
pub struct DocumentReference<'a> {
    id: String,
    meta: Meta<'a>,
    contained: Vec<Contained<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extension: Vec<Extension<'a>>,
    master_identifier: Identifier<'a>,
    identifier: [Identifier<'a>; 3],
    status: &'static str,
    #[serde(rename = "type")]
    kind: CodeableConcept<'a>,
    category: [CodeableConcept<'a>; 1],
    subject: Reference<'a>,
    date: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    author: Vec<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticator: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custodian: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    relates_to: Vec<RelatesTo<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    security_label: Vec<CodeableConcept<'a>>,
    content: [Content<'a>; 1],
    context: Context<'a>,
}

#[derive(Debug, Serialize)]
struct RelatesTo<'a> {
    code: &'static str,
    target: Reference<'a>,
}

#[derive(Debug, Serialize)]
struct Content<'a> {
    attachment: Attachment<'a>,
    format: Coding<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Attachment<'a> {
    content_type: &'a str,
    language: &'a str,
    url: String,
    size: u64,
    hash: String,
    title: &'a str,
    creation: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Context<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    event: Vec<CodeableConcept<'a>>,
    period: Period,
    facility_type: CodeableConcept<'a>,
    practice_setting: CodeableConcept<'a>,
    source_patient_info: Reference<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<Reference<'a>>,
}

pub fn write<'a>(writing: Writing<'a>, entry: &'a DocumentEntry) -> DocumentReference<'a> {
    let metadata = &entry.metadata;
    let mut containing = Containing::new(writing);
    let author = metadata.authors.iter().enumerate();
    let author = author.map(|(i, author)| containing.author(&format!("author-{}", i + 1), author)).collect();
    let authenticator =
        metadata.legal_authenticator.as_ref().map(|author| containing.authenticator("authenticator", author));
    // PDSm wants a custodian; where a deposit before that rule has none, the author's institution keeps it.
    let custodian = metadata.custodian.as_ref().or(metadata.authors.iter().find_map(|a| a.institution.as_ref()));
    let custodian = custodian.map(|institution| containing.institution(institution));
    let source_patient_info = containing.source_patient(&metadata.source_patient, &metadata.patient_id);
    DocumentReference {
        id: entry.logical_id.to_string(),
        meta: Meta {
            version_id: Some(entry.version.to_string()),
            last_updated: Some(entry.registered.to_string()),
            profile: vec![PROFILE],
        },
        contained: containing.finish(),
        extension: match entry.availability_status {
            AvailabilityStatus::Archived => vec![Extension::of(IS_ARCHIVED, Value::Boolean(true))],
            _ => Vec::new(),
        },
        master_identifier: Identifier::of_uri("usual", metadata.unique_id.to_urn()),
        identifier: identifiers(entry),
        status: status_code(entry.availability_status),
        kind: writing.concept(&metadata.type_code),
        category: [writing.concept(&metadata.class_code)],
        subject: Reference::to_patient(&metadata.patient_id),
        date: entry.registered.to_string(),
        author,
        authenticator,
        custodian,
        relates_to: relations(entry),
        description: metadata.comments.as_deref(),
        security_label: security_labels(writing, &metadata.confidentiality),
        content: [Content { attachment: attachment(writing, entry), format: writing.coding(&metadata.format_code) }],
        context: Context {
            event: metadata.event_codes.iter().map(|code| writing.concept(code)).collect(),
            period: Period {
                start: Some(metadata.service_start_time.to_fhir()),
                end: metadata.service_stop_time.map(crate::domain::dtm::Dtm::to_fhir),
            },
            facility_type: writing.concept(&metadata.healthcare_facility_type_code),
            practice_setting: writing.concept(&metadata.practice_setting_code),
            source_patient_info,
            related: metadata.reference_ids.iter().map(|id| related(writing, id)).collect(),
        },
    }
}

/// FHIR word of an availability status. Deleted: entered-in-error, where P4D hesitates (T-9).
pub fn status_code(status: AvailabilityStatus) -> &'static str {
    match status {
        AvailabilityStatus::Approved | AvailabilityStatus::Archived => "current",
        AvailabilityStatus::Deprecated => "superseded",
        AvailabilityStatus::Deleted => "entered-in-error",
    }
}

fn identifiers(entry: &DocumentEntry) -> [Identifier<'static>; 3] {
    [
        Identifier::of_uri("usual", entry.metadata.unique_id.to_urn()),
        Identifier::of_uri("official", entry.entry_uuid.to_urn()),
        Identifier::of_uri("secondary", entry.logical_id.to_urn()).with_kind(IDENTIFIER_TYPE, "logicalId"),
    ]
}

fn relations(entry: &DocumentEntry) -> Vec<RelatesTo<'static>> {
    let relation = |association: &crate::domain::association::Association| RelatesTo {
        code: association.kind.code(),
        target: Reference::to(format!("DocumentReference/{}", association.target)),
    };
    entry.associations.iter().map(relation).collect()
}

fn security_labels(writing: Writing<'_>, confidentiality: &Confidentiality) -> Vec<CodeableConcept<'static>> {
    let label = |system: &str, code: &'static str| {
        let system = Some(Cow::Owned(writing.terminology.fhir_system(system)));
        let coding = Coding { system, code: Cow::Borrowed(code), display: None };
        CodeableConcept { coding: vec![coding], text: None }
    };
    let level = label(CONFIDENTIALITY_OID, confidentiality.level.code());
    let others = confidentiality.labels.iter().map(|visibility| label(VISIBILITY_OID, visibility.code()));
    std::iter::once(level).chain(others).collect()
}

fn attachment<'a>(writing: Writing<'_>, entry: &'a DocumentEntry) -> Attachment<'a> {
    let metadata = &entry.metadata;
    Attachment {
        content_type: &metadata.mime_type,
        language: &metadata.language_code,
        url: format!("{}/Binary/{}", writing.base, entry.logical_id),
        size: entry.fingerprint.size_bytes,
        hash: base64_simd::STANDARD.encode_to_string(entry.fingerprint.sha1.0),
        title: &metadata.title,
        creation: metadata.creation_time.to_fhir(),
    }
}

/// `referenceIdList`: the kind is a URN, which PDSm writes as a code of the URI system.
fn related<'a>(writing: Writing<'a>, id: &'a ReferenceId) -> Reference<'a> {
    let coding = Coding { system: Some(Cow::Borrowed(URI_SYSTEM)), code: Cow::Borrowed(&id.kind), display: None };
    let mut identifier = writing.identifier(&id.identifier);
    identifier.kind = Some(CodeableConcept { coding: vec![coding], text: None });
    Reference { identifier: Some(identifier), ..Reference::default() }
}
