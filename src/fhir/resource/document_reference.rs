//! DocumentEntry -> DocumentReference, profile PDSm 3.1.1 "comprehensive".
//!
//! Decision: the id is the logicalId, which never changes, and not the entryUUID, which changes at every
//! metadata version (T-8). `date` is the registration, `attachment.creation` the creationTime (T-10). The
//! hash is the base64 of the SHA-1 bytes (T-11). N comes first among the labels, under its own code system
//! and not under TRE_A07 (T-13). Source: domain D.6.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::Writing;
use super::datatype::{CodeableConcept, Coding, Extension, Identifier, Meta, Period, Reference, URI_SYSTEM, Value};
use super::person::{Contained, Containing};
use crate::domain::confidentiality::{CONFIDENTIALITY_OID, Confidentiality, VISIBILITY_OID};
use crate::domain::document_entry::{DocumentEntry, ReferenceId};
use crate::domain::status::AvailabilityStatus;
use crate::fhir::read::EXTENSION_SLOT;

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
    extension: Vec<AnyExtension<'a>>,
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

/// An extension that we understand, or one that came with the deposit and goes out as it came in.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum AnyExtension<'a> {
    Ours(Extension<'a>),
    Kept(&'a RawValue),
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
            last_updated: Some(entry.updated.to_string()),
            profile: vec![PROFILE],
        },
        contained: containing.finish(),
        extension: extensions(entry),
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

fn extensions(entry: &DocumentEntry) -> Vec<AnyExtension<'_>> {
    let archived = entry.availability_status == AvailabilityStatus::Archived;
    let ours = archived.then(|| AnyExtension::Ours(Extension::of(IS_ARCHIVED, Value::Boolean(true))));
    let slots = entry.metadata.other_slots.iter().filter(|(name, _)| name == EXTENSION_SLOT);
    let kept = slots.flat_map(|(_, values)| values).filter_map(|text| serde_json::from_str(text).ok());
    ours.into_iter().chain(kept.map(AnyExtension::Kept)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::author::PersonKind;
    use crate::domain::value_set::Terminology;
    use crate::fhir::resource::sample;
    use serde_json::Value as Json;
    use std::path::PathBuf;

    fn json(entry: &DocumentEntry) -> Json {
        let terminology = Terminology::load().unwrap();
        let writing = Writing { terminology: &terminology, base: "https://localhost:8443/fhir" };
        let text = serde_json::to_string(&write(writing, entry)).unwrap();
        fhirkit::from_json_strict::<fhirkit::r4::DocumentReference>(&text).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn identifiers_are_told_apart_by_their_use() {
        let entry = sample::entry();
        let json = json(&entry);
        assert_eq!(json["id"], entry.logical_id.to_string());
        assert_eq!(json["masterIdentifier"]["value"], "urn:oid:1.2.250.1.213.9.1");
        let of_use = |i: usize| (json["identifier"][i]["use"].clone(), json["identifier"][i]["value"].clone());
        assert_eq!(of_use(0), ("usual".into(), "urn:oid:1.2.250.1.213.9.1".into()));
        assert_eq!(of_use(1), ("official".into(), entry.entry_uuid.to_urn().into()));
        assert_eq!(of_use(2), ("secondary".into(), entry.logical_id.to_urn().into()));
        assert_eq!(json["identifier"][2]["type"]["coding"][0]["code"], "logicalId");
    }

    #[test]
    fn the_attachment_says_how_to_get_the_bytes_and_how_to_check_them() {
        let entry = sample::entry();
        let attachment = json(&entry)["content"][0]["attachment"].clone();
        assert_eq!(attachment["url"], format!("https://localhost:8443/fhir/Binary/{}", entry.logical_id));
        let hash = base64_simd::STANDARD.decode_to_vec(attachment["hash"].as_str().unwrap()).unwrap();
        assert_eq!(hash, entry.fingerprint.sha1.0);
        assert_eq!(attachment["size"], sample::BYTES.len());
        assert_eq!(attachment["creation"], "2026-03-01T10:15:00Z");
    }

    #[test]
    fn the_level_comes_before_the_labels() {
        let labels = json(&sample::entry())["securityLabel"].clone();
        let codes: Vec<_> = labels.as_array().unwrap().iter().map(|label| label["coding"][0]["code"].clone()).collect();
        assert_eq!(codes, ["N", "MASQUE_PS", "INVISIBLE_PATIENT"]);
    }

    #[test]
    fn each_status_has_its_word_and_archived_its_extension() {
        let mut entry = sample::entry();
        for (status, word, archived) in [
            (AvailabilityStatus::Approved, "current", false),
            (AvailabilityStatus::Archived, "current", true),
            (AvailabilityStatus::Deprecated, "superseded", false),
            (AvailabilityStatus::Deleted, "entered-in-error", false),
        ] {
            entry.availability_status = status;
            let json = json(&entry);
            assert_eq!(json["status"], word);
            assert_eq!(json["extension"][0]["valueBoolean"].as_bool().unwrap_or_default(), archived);
        }
    }

    #[test]
    fn extensions_that_came_with_the_deposit_go_out_as_they_came_in() {
        let mut entry = sample::entry();
        let extension = r#"{"url":"https://example.org/x","valueDecimal":1.00}"#;
        entry.metadata.other_slots = vec![(EXTENSION_SLOT.to_owned(), vec![extension.to_owned()])];
        entry.availability_status = AvailabilityStatus::Archived;
        let terminology = Terminology::load().unwrap();
        let writing = Writing { terminology: &terminology, base: "https://localhost:8443/fhir" };
        let text = serde_json::to_string(&write(writing, &entry)).unwrap();
        assert!(text.contains(extension), "{text}");
        assert_eq!(json(&entry)["extension"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn one_institution_is_contained_once_and_everything_contained_is_referred_to() {
        let json = json(&sample::entry());
        let contained = json["contained"].as_array().unwrap();
        let organizations = contained.iter().filter(|one| one["resourceType"] == "Organization").count();
        assert_eq!(organizations, 1);
        let text = json.to_string();
        for one in contained {
            let reference = format!("\"#{}\"", one["id"].as_str().unwrap());
            assert!(text.contains(&reference), "{reference}");
        }
    }

    #[test]
    fn a_sparse_entry_is_valid_too() {
        let mut entry = sample::entry();
        let metadata = &mut entry.metadata;
        metadata.authors.truncate(1);
        metadata.authors[0].person = None;
        metadata.legal_authenticator = Some(sample::author(PersonKind::Patient));
        (metadata.custodian, metadata.comments, metadata.service_stop_time) = (None, None, None);
        metadata.source_patient = crate::domain::patient::SourcePatient::default();
        metadata.event_codes.clear();
        metadata.reference_ids.clear();
        entry.associations.clear();
        let json = json(&entry);
        assert!(json["custodian"]["reference"].is_string());
        assert!(json["contained"].to_string().contains("207058575627097"));
    }

    #[test]
    fn every_element_that_the_pdsm_profile_demands_is_there() {
        let Some(shared) = shared() else { return };
        let path = shared.join("profiles/pdsm-3.1.1/StructureDefinition-pdsm-comprehensive-document-reference.json");
        let Ok(text) = std::fs::read_to_string(&path) else {
            eprintln!("skipped: {} is absent", path.display());
            return;
        };
        let profile: Json = serde_json::from_str(&text).unwrap();
        let json = json(&sample::entry());
        let elements = profile["snapshot"]["element"].as_array().unwrap();
        let mut checked = 0;
        for element in elements {
            let id = element["id"].as_str().unwrap();
            let Some((_, path)) = id.split_once('.') else { continue };
            if id.contains(':') || path == "extension" {
                continue;
            }
            let found = at(vec![&json], path);
            let parent = path.rsplit_once('.').map_or(1, |(parent, _)| at(vec![&json], parent).len());
            let min = usize::try_from(element["min"].as_u64().unwrap()).unwrap();
            assert!(found.len() >= min * parent, "{id} is missing");
            assert!(element["max"] != "0" || found.is_empty(), "{id} is not allowed");
            checked += 1;
        }
        assert!(checked > 30);
    }

    fn shared() -> Option<PathBuf> {
        let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
        let folder = std::env::var_os("CARNET_SHARED").map_or(beside, PathBuf::from);
        if folder.is_dir() {
            return Some(folder);
        }
        eprintln!("skipped: {} is absent", folder.display());
        None
    }

    /// All values at a dotted path, through lists.
    fn at<'a>(from: Vec<&'a Json>, path: &str) -> Vec<&'a Json> {
        let step = |values: Vec<&'a Json>, name: &str| {
            let children = values.into_iter().filter_map(|value| value.get(name));
            let flat = children.flat_map(|child| match child {
                Json::Array(items) => items.iter().collect(),
                single => vec![single],
            });
            flat.collect()
        };
        path.split('.').fold(from, step)
    }
}
