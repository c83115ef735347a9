//! DocumentReference -> metadata of a document, as submitted.
//!
//! Three guides disagree; each form of D.6 is read: creation or else date (T-10), masterIdentifier or else
//! identifier, hash as base64 of the bytes, of their hexadecimal text, or hexadecimal (T-11), labels in any order
//! and under both spellings of their table (T-12, T-13). `category` is not read: the class follows from the type.
//! Extensions that are not ours to understand are kept as they came, as JSON, in `other_slots`.

use fhirkit::r4::{Attachment, CodeableConcept, DocumentReference, ExtensionValue, Identifier, Reference, Resource};

use super::parties::Subject;
use super::reading::{Reading, Scope, Text as _, conditional_token, system_and_value};
use crate::domain::association::RelationKind;
use crate::domain::author;
use crate::domain::code::Code;
use crate::domain::confidentiality::{
    CONFIDENTIALITY_OID, Confidentiality, ConfidentialityLevel, VISIBILITY_OID, VisibilityLabel,
};
use crate::domain::document_entry::ReferenceId;
use crate::domain::ids::UniqueId;
use crate::domain::ins::Ins;
use crate::domain::sha::Sha1Hash;
use crate::operation::draft::{MetadataDraft, RelationDraft, TargetName};
use crate::refusal::Rule;

/// Name of the slot under which extensions of a DocumentReference are kept, one JSON text each.
pub const EXTENSION_SLOT: &str = "fhir:DocumentReference.extension";

/// A document as its DocumentReference describes it; where its bytes are is the transaction's affair.
pub(super) struct Described<'a> {
    pub(super) metadata: MetadataDraft,
    pub(super) declared_hash: Option<Sha1Hash>,
    pub(super) declared_size: Option<u64>,
    pub(super) relations: Vec<RelationDraft>,
    /// With its place.
    pub(super) attachment: Option<(&'a Attachment, String)>,
}

impl Reading<'_> {
    pub(super) fn document<'d>(
        &mut self,
        resource: &'d DocumentReference,
        place: &str,
        scope: Scope<'_>,
    ) -> Described<'d> {
        if resource.status.text() != Some("current") {
            let found = "another status";
            self.refuse(Rule::MetadataValue, format!("{place}.status"), found, "current: a deposit is of that status");
        }
        if resource.content.len() > 1 {
            let found = format!("{} contents", resource.content.len());
            self.refuse(Rule::MetadataValue, format!("{place}.content"), found, "one content for one document");
        }
        let content_place = format!("{place}.content[0]");
        let content = resource.content.first();
        let attachment = content.and_then(|content| content.attachment.as_ref());
        let format = content.and_then(|content| content.format.as_ref());
        let mut metadata = MetadataDraft {
            unique_id: self.unique_id(resource, place),
            patient_id: self.document_patient(resource, place, scope),
            type_code: self.code_at(resource.type_.as_ref(), &format!("{place}.type")),
            confidentiality: self.confidentiality(&resource.security_label, place),
            format_code: format.and_then(|format| self.coding(format, &format!("{content_place}.format"))),
            comments: resource.description.text().map(str::to_owned),
            other_slots: self.kept_extensions(resource, place),
            ..MetadataDraft::default()
        };
        self.read_people(resource, place, scope, &mut metadata);
        self.read_context(resource, place, scope, &mut metadata);
        let attachment_place = format!("{content_place}.attachment");
        let mut described = Described {
            metadata,
            declared_hash: None,
            declared_size: None,
            relations: self.relations(resource, place, scope),
            attachment: attachment.map(|attachment| (attachment, attachment_place)),
        };
        self.read_attachment(resource, place, &mut described);
        described
    }

    fn read_attachment(&mut self, resource: &DocumentReference, place: &str, described: &mut Described<'_>) {
        let Some((attachment, at)) = &described.attachment else { return };
        let metadata = &mut described.metadata;
        metadata.title = attachment.title.text().map(str::to_owned);
        metadata.mime_type = attachment.content_type.text().map(str::to_owned);
        metadata.language_code = attachment.language.text().map(str::to_owned);
        metadata.creation_time = match attachment.creation.text() {
            Some(creation) => self.time(Some(creation), &format!("{at}.creation")),
            None => self.time(resource.date.text(), &format!("{place}.date")),
        };
        described.declared_size = attachment.size.as_ref().and_then(|size| u64::try_from(size.value?).ok());
        if let Some(text) = attachment.hash.text() {
            described.declared_hash = sha1_of(text);
            if described.declared_hash.is_none() {
                let found = format!("{} characters that are no SHA-1", text.len());
                self.refuse(Rule::MetadataValue, format!("{at}.hash"), found, "base64 of the 20 bytes of a SHA-1");
            }
        }
    }

    fn read_people(
        &mut self,
        resource: &DocumentReference,
        place: &str,
        scope: Scope<'_>,
        metadata: &mut MetadataDraft,
    ) {
        for (index, reference) in resource.author.iter().enumerate() {
            metadata.authors.extend(self.author(reference, &format!("{place}.author[{index}]"), scope));
        }
        let authenticator = resource.authenticator.as_ref();
        metadata.legal_authenticator =
            authenticator.and_then(|reference| self.author(reference, &format!("{place}.authenticator"), scope));
        let custodian = resource.custodian.as_ref();
        metadata.custodian =
            custodian.and_then(|reference| self.institution(reference, &format!("{place}.custodian"), scope));
    }

    fn read_context(
        &mut self,
        resource: &DocumentReference,
        place: &str,
        scope: Scope<'_>,
        metadata: &mut MetadataDraft,
    ) {
        let Some(context) = &resource.context else { return };
        let place = format!("{place}.context");
        if let Some(period) = &context.period {
            metadata.service_start_time = self.time(period.start.text(), &format!("{place}.period.start"));
            metadata.service_stop_time = self.time(period.end.text(), &format!("{place}.period.end"));
        }
        metadata.healthcare_facility_type_code =
            self.code_at(context.facility_type.as_ref(), &format!("{place}.facilityType"));
        metadata.practice_setting_code =
            self.code_at(context.practice_setting.as_ref(), &format!("{place}.practiceSetting"));
        for (index, event) in context.event.iter().enumerate() {
            metadata.event_codes.extend(self.code(event, &format!("{place}.event[{index}]")));
        }
        for (index, related) in context.related.iter().enumerate() {
            metadata.reference_ids.extend(self.reference_id(related, &format!("{place}.related[{index}]")));
        }
        let source = context.source_patient_info.as_ref();
        metadata.source_patient =
            source.and_then(|reference| self.source_patient(reference, &format!("{place}.sourcePatientInfo"), scope));
    }

    /// The subject; when that leads out of the message, the INS of the source patient, who is the same person.
    fn document_patient(&mut self, resource: &DocumentReference, place: &str, scope: Scope<'_>) -> Option<Ins> {
        let subject = resource.subject.as_ref()?;
        let place_of = |element: &str| format!("{place}.{element}");
        match self.subject(subject, &place_of("subject"), scope) {
            Subject::Known(ins) => return Some(ins),
            Subject::Refused => return None,
            Subject::Elsewhere => {}
        }
        let source = resource.context.as_ref().and_then(|context| context.source_patient_info.as_ref());
        let from_source = source.map(|source| self.subject(source, &place_of("context.sourcePatientInfo"), scope));
        match from_source {
            Some(Subject::Known(ins)) => Some(ins),
            Some(Subject::Refused) => None,
            Some(Subject::Elsewhere) | None => {
                let expected = "Patient?identifier=urn:oid:…|… with an INS, an identifier, or a Patient of the message";
                let found = "a reference that leads to no INS inside the message";
                self.refuse(Rule::InsMissing, place_of("subject"), found, expected);
                None
            }
        }
    }

    fn unique_id(&mut self, resource: &DocumentReference, place: &str) -> Option<UniqueId> {
        let (identifier, element) = unique_identifier(resource)?;
        let place = format!("{place}.{element}");
        let value = identifier.value.text()?;
        match value.parse::<UniqueId>() {
            Ok(unique_id) => {
                let repeated = resource.identifier.iter().filter(|other| other.use_.text() == Some("usual"));
                if repeated
                    .filter_map(|other| other.value.text()?.parse().ok())
                    .any(|other: UniqueId| other != unique_id)
                {
                    let found = "another identifier of use usual";
                    self.refuse(Rule::UniqueIdForm, place, found, "one unique id: masterIdentifier, repeated or not");
                }
                Some(unique_id)
            }
            Err(error) => {
                self.refuse(Rule::UniqueIdForm, format!("{place}.value"), value, error.to_string());
                None
            }
        }
    }

    /// A label that cannot be enforced must not be dropped in silence: whatever is unknown is refused.
    fn confidentiality(&mut self, labels: &[CodeableConcept], place: &str) -> Option<Confidentiality> {
        if labels.is_empty() {
            return None;
        }
        let mut confidentiality = Confidentiality::default();
        for (index, concept) in labels.iter().enumerate() {
            let place = format!("{place}.securityLabel[{index}]");
            let Some(code) = self.code(concept, &place) else { continue };
            let known_system = [CONFIDENTIALITY_OID, VISIBILITY_OID].contains(&code.system.as_str());
            let label = VisibilityLabel::from_code(&code.code).or_else(|| {
                (code.code == "INVISIBLE_REP_LEGAUX").then_some(VisibilityLabel::InvisibleRepresentantsLegaux)
            });
            match (ConfidentialityLevel::from_code(&code.code), label) {
                (Some(level), _) if known_system => confidentiality.level = confidentiality.level.max(level),
                (None, Some(label)) if code.system == VISIBILITY_OID => {
                    confidentiality.labels.insert(label);
                }
                _ => {
                    let found = format!("{}|{}", code.system, code.code);
                    let expected = "N, R or V of v3-Confidentiality; MASQUE_PS, INVISIBLE_PATIENT or \
                                    INVISIBLE_REPRESENTANTS_LEGAUX of TRE_A07";
                    self.refuse(Rule::UnknownCode, place, found, expected);
                }
            }
        }
        Some(confidentiality)
    }

    fn relations(&mut self, resource: &DocumentReference, place: &str, scope: Scope<'_>) -> Vec<RelationDraft> {
        let mut relations = Vec::new();
        if resource.relates_to.len() > RELATIONS_MAX {
            let found = format!("{} relations", resource.relates_to.len());
            let expected = format!("at most {RELATIONS_MAX} relations of one document");
            self.refuse(Rule::MetadataValue, format!("{place}.relatesTo"), found, expected);
            return relations;
        }
        for (index, relates_to) in resource.relates_to.iter().enumerate() {
            let place = format!("{place}.relatesTo[{index}]");
            let Some(kind) = relates_to.code.text().and_then(RelationKind::from_code) else {
                let expected = "replaces, appends, transforms or signs";
                self.refuse(Rule::MetadataValue, format!("{place}.code"), "another code", expected);
                continue;
            };
            let target = relates_to.target.as_ref().and_then(|target| target_name(target, scope));
            let place = format!("{place}.target");
            if let Some(target) = target {
                relations.push(RelationDraft { place, kind, target });
            } else {
                let expected = "DocumentReference/ID as this server gave it, or a uniqueId or entryUUID";
                self.refuse(Rule::ReplaceTarget, place, "a name this server never gave", expected);
            }
        }
        relations
    }

    fn reference_id(&mut self, related: &Reference, place: &str) -> Option<ReferenceId> {
        let place = format!("{place}.identifier");
        let Some((identifier, (system, value))) =
            related.identifier.as_deref().and_then(|identifier| Some((identifier, system_and_value(identifier)?)))
        else {
            self.refuse(Rule::MetadataValue, place, "nothing", "an identifier: referenceIdList holds nothing else");
            return None;
        };
        let codings = identifier.type_.iter().flat_map(|concept| &concept.coding);
        let kind = codings.filter_map(|coding| Some((coding.system.text()?, coding.code.text()?))).find_map(
            |(system, code)| match (system, code) {
                (URI_SYSTEM, urn) => Some(urn),
                (_, "ACSN") => Some("urn:ihe:iti:xds:2013:accession"),
                (_, "PLAC" | "FILL") => Some("urn:ihe:iti:xds:2013:order"),
                _ => None,
            },
        );
        // A bare URI can only be the unique id of another document.
        let kind = kind.or((system == URI_SYSTEM).then_some("urn:ihe:iti:xds:2013:uniqueId"));
        let Some(kind) = kind else {
            let expected = "a type whose code is the URN of J231, e.g. urn:ihe:iti:xds:2013:accession";
            self.refuse(Rule::MissingMetadata, format!("{place}.type"), "no type that is known", expected);
            return None;
        };
        Some(ReferenceId { identifier: author::Identifier::new(&self.system(system), value), kind: kind.to_owned() })
    }

    fn kept_extensions(&mut self, resource: &DocumentReference, place: &str) -> Vec<(String, Vec<String>)> {
        let mut kept = Vec::new();
        for (index, extension) in resource.extension.iter().enumerate() {
            let is_archived = extension.url.as_deref().is_some_and(|url| url.ends_with("/pdsm-ext-is-archived"));
            match &extension.value {
                Some(ExtensionValue::Boolean(archived)) if is_archived => {
                    if archived.value == Some(true) {
                        let place = format!("{place}.extension[{index}]");
                        self.refuse(
                            Rule::MetadataValue,
                            place,
                            "true",
                            "false: a document is archived after its deposit",
                        );
                    }
                }
                _ => kept.push(fhirkit::to_json(extension)),
            }
        }
        if kept.is_empty() { Vec::new() } else { vec![(EXTENSION_SLOT.to_owned(), kept)] }
    }

    fn code_at(&mut self, concept: Option<&CodeableConcept>, place: &str) -> Option<Code> {
        self.code(concept?, place)
    }
}

/// The identifier that is the unique id: masterIdentifier, else one of use usual, else the first that is a URN.
fn unique_identifier(resource: &DocumentReference) -> Option<(&Identifier, String)> {
    if let Some(master) = &resource.master_identifier {
        return Some((master, "masterIdentifier".to_owned()));
    }
    let usual = resource.identifier.iter().position(|identifier| identifier.use_.text() == Some("usual"));
    let index = usual.or_else(|| {
        let is_urn = |identifier: &Identifier| {
            identifier.use_.text() != Some("official")
                && identifier.value.text().is_some_and(|it| it.starts_with("urn:"))
        };
        resource.identifier.iter().position(is_urn)
    })?;
    Some((&resource.identifier[index], format!("identifier[{index}]")))
}

/// Whichever name the sender has for the older document.
fn target_name(target: &Reference, scope: Scope<'_>) -> Option<TargetName> {
    let Some(text) = target.reference.text() else {
        let identifier = target.identifier.as_deref()?;
        return name_of_value(identifier.value.text()?, identifier.use_.text() == Some("official"));
    };
    if let Some(found) = scope.find(text) {
        // A document of the same Bundle: it has no other name yet than the one its source gave.
        let Resource::DocumentReference(sibling) = found.resource else { return None };
        return unique_identifier(sibling)?.0.value.text()?.parse().ok().map(TargetName::Unique);
    }
    if let Some(token) = conditional_token(text, "DocumentReference") {
        let value = token.split_once('|').map_or(token.as_str(), |(_, value)| value);
        return name_of_value(value, false);
    }
    if text.starts_with("urn:") {
        return name_of_value(text, text.starts_with("urn:uuid:"));
    }
    let path = text.split("/_history/").next()?;
    let (head, id) = path.rsplit_once('/')?;
    let is_document = head == "DocumentReference" || head.ends_with("/DocumentReference");
    if is_document { id.parse().ok().map(TargetName::Logical) } else { None }
}

fn name_of_value(value: &str, is_entry_uuid: bool) -> Option<TargetName> {
    if is_entry_uuid { value.parse().ok().map(TargetName::Entry) } else { value.parse().ok().map(TargetName::Unique) }
}

/// Source: T-11; the examples of MHD show the base64 of the hexadecimal text.
fn sha1_of(text: &str) -> Option<Sha1Hash> {
    if let Some(bytes) = bytes_of_hex(text.as_bytes()) {
        return Some(Sha1Hash(bytes));
    }
    let decoded = base64_simd::STANDARD.decode_to_vec(text).ok()?;
    let hash = <[u8; 20]>::try_from(decoded.as_slice()).ok().or_else(|| bytes_of_hex(&decoded))?;
    Some(Sha1Hash(hash))
}

fn bytes_of_hex(text: &[u8]) -> Option<[u8; 20]> {
    if text.len() != 40 || !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; 20];
    for (byte, digits) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

const URI_SYSTEM: &str = "urn:ietf:rfc:3986";

/// Each is looked up in the store; a real document replaces one and appends to a few.
const RELATIONS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_in_each_form_that_senders_use() {
        let empty = sha1_of("2jmj7l5rSw0yVb/vlWAYkK/YBwk=").unwrap();
        assert_eq!(crate::domain::sha::hex(&empty.0), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(sha1_of("DA39a3ee5e6b4b0d3255bfef95601890afd80709"), Some(empty));
        let of_text = base64_simd::STANDARD.encode_to_string("da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(sha1_of(&of_text), Some(empty));
        for bad in ["QQ==", "da39", "", "é", &"g".repeat(40)] {
            assert_eq!(sha1_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_older_document_is_found_by_any_of_its_names() {
        const ID: &str = "0198c0de-0000-7000-8000-000000000001";
        let of = |reference: &str| {
            let target = Reference { reference: Some(reference.into()), ..Reference::default() };
            target_name(&target, Scope::alone(&[], "DocumentReference"))
        };
        let logical = Some(TargetName::Logical(ID.parse().unwrap()));
        assert_eq!(of(&format!("DocumentReference/{ID}")), logical);
        assert_eq!(of(&format!("https://localhost:8443/fhir/DocumentReference/{ID}/_history/2")), logical);
        assert_eq!(of(&format!("urn:uuid:{ID}")), Some(TargetName::Entry(ID.parse().unwrap())));
        let unique = Some(TargetName::Unique("1.2.3".parse().unwrap()));
        assert_eq!(of("urn:oid:1.2.3"), unique);
        assert_eq!(of("DocumentReference?identifier=urn:ietf:rfc:3986%7Curn:oid:1.2.3"), unique);
        for unknown in ["DocumentReference/doc-x-id", "#x", "Binary/1", "", "/", "urn:oid:x"] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
    }
}
