//! One `SubmitObjectsRequest` -> the drafts of one deposit. Serves XDM packages and ITI-41 alike.
//!
//! Refuses folders, deferred documents and associations that no deposit makes. Sets the XAdES signature of
//! the submission (`Signature01`, T-23) apart: it is an entry, and no document of the patient.

use std::collections::HashMap;

use super::object::{Association, RegistryObject, SubmitObjectsRequest};
use super::rules;
use super::urn::{HAS_MEMBER, SIGNATURE_FORMAT, STABLE_DOCUMENT, SUBMISSION_SET, relations_of};
use crate::domain::association::RelationKind;
use crate::domain::ids::{EntryUuid, UniqueId};
use crate::domain::sha::Sha1Hash;
use crate::domain::status::AvailabilityStatus;
use crate::domain::value_set::Terminology;
use crate::operation::draft::{DocumentDraft, MetadataDraft, RelationDraft, SubmissionSetDraft, TargetName};
use crate::refusal::{Refusal, Rule};
use crate::spool::Spooled;

/// What a request says: one set, its documents, its signatures.
#[derive(Debug)]
pub struct Submission {
    pub set: SubmissionSetDraft,
    pub documents: Vec<EntryDraft>,
    pub signatures: Vec<EntryDraft>,
    /// What was read and has no place in the record, in words.
    pub notes: Vec<String>,
}

/// A document entry before its bytes are known.
#[derive(Debug)]
pub struct EntryDraft {
    /// `ExtrinsicObject/@id`: what the parts of an ITI-41 message and associations call it.
    pub id: String,
    pub place: String,
    pub metadata: MetadataDraft,
    pub declared_hash: Option<Sha1Hash>,
    pub declared_size: Option<u64>,
    /// XDM only: where the bytes are.
    pub uri: Option<String>,
    /// Its life where it comes from; a deposit makes every entry Approved.
    pub status: Option<AvailabilityStatus>,
    pub relations: Vec<RelationDraft>,
}

impl EntryDraft {
    pub fn with_content(self, content: Spooled) -> DocumentDraft {
        DocumentDraft {
            place: self.place,
            metadata: self.metadata,
            content,
            declared_hash: self.declared_hash,
            declared_size: self.declared_size,
            relations: self.relations,
        }
    }
}

/// Reads the whole request; every broken rule is told, not the first alone.
pub fn read_submission(request: &SubmitObjectsRequest, terminology: &Terminology) -> Result<Submission, Vec<Refusal>> {
    let mut refusals = Vec::new();
    let mut notes = Vec::new();
    let set = match read_set(request, terminology, &mut notes) {
        Ok((id, set)) => Some((id, set)),
        Err(broken) => {
            refusals.extend(broken);
            None
        }
    };
    let mut entries = Vec::with_capacity(request.extrinsic_objects.len());
    for object in &request.extrinsic_objects {
        match read_entry(object, terminology, &mut notes) {
            Ok(entry) => entries.push(entry),
            Err(broken) => refusals.extend(broken),
        }
    }
    let (Some((set_id, set)), true) = (set, refusals.is_empty()) else {
        return Err(refusals);
    };
    let signers = relate(&request.associations, set_id, &mut entries, &mut notes)?;
    let (signatures, documents) = entries.into_iter().partition(|entry| {
        let format = entry.metadata.format_code.as_ref();
        signers.contains(&entry.id) || format.is_some_and(|format| format.code == SIGNATURE_FORMAT)
    });
    Ok(Submission { set, documents, signatures, notes })
}

fn read_set<'r>(
    request: &'r SubmitObjectsRequest,
    terminology: &Terminology,
    notes: &mut Vec<String>,
) -> Result<(&'r str, SubmissionSetDraft), Vec<Refusal>> {
    let is_set =
        |object: &RegistryObject| object.classifications.iter().any(|c| c.node.as_deref() == Some(SUBMISSION_SET));
    let (sets, others): (Vec<_>, Vec<_>) = request.registry_packages.iter().partition(|object| is_set(object));
    if let Some(folder) = others.first() {
        let place = format!("RegistryPackage[{}]", folder.id);
        let expected = "documents and one submission set: folders are not kept";
        return Err(vec![Refusal::new(Rule::MetadataValue, place, "a folder or an unclassified package", expected)]);
    }
    let [set] = sets.as_slice() else {
        let found = format!("{} submission sets", sets.len());
        return Err(vec![Refusal::new(Rule::SubmissionSetCount, "RegistryObjectList", found, "one")]);
    };
    let (draft, findings) = rules::read_submission_set(set, terminology);
    notes.extend(findings.notes);
    if findings.refusals.is_empty() { Ok((&set.id, draft)) } else { Err(findings.refusals) }
}

fn read_entry(
    object: &RegistryObject,
    terminology: &Terminology,
    notes: &mut Vec<String>,
) -> Result<EntryDraft, Vec<Refusal>> {
    let place = format!("ExtrinsicObject[{}]", object.id);
    let (fields, mut findings) = rules::read_document(object, terminology);
    notes.append(&mut findings.notes);
    if let Some(object_type) = object.object_type.as_deref().filter(|urn| *urn != STABLE_DOCUMENT) {
        let expected = format!("{STABLE_DOCUMENT}, a document that exists");
        let refusal = Refusal::new(Rule::MetadataValue, format!("{place}/@objectType"), object_type, expected);
        findings.refusals.push(refusal);
    }
    let status = object.status.as_deref().map(|urn| {
        AvailabilityStatus::from_urn(urn).ok_or_else(|| {
            let expected = "the URN of Approved, Deprecated, Archived or Deleted";
            Refusal::new(Rule::MetadataValue, format!("{place}/@status"), urn, expected)
        })
    });
    let status = match status.transpose() {
        Ok(status) if findings.refusals.is_empty() => status,
        Ok(_) => return Err(findings.refusals),
        Err(refusal) => {
            findings.refusals.push(refusal);
            return Err(findings.refusals);
        }
    };
    Ok(EntryDraft {
        id: object.id.clone(),
        place,
        metadata: fields.metadata,
        declared_hash: fields.declared_hash,
        declared_size: fields.declared_size,
        uri: fields.uri,
        status,
        relations: Vec::new(),
    })
}

/// Hangs relations on their entries; gives back the ids of entries that sign the set.
fn relate(
    associations: &[Association],
    set_id: &str,
    entries: &mut [EntryDraft],
    notes: &mut Vec<String>,
) -> Result<Vec<String>, Vec<Refusal>> {
    let unique_ids: HashMap<String, Option<UniqueId>> =
        entries.iter().map(|entry| (entry.id.clone(), entry.metadata.unique_id.clone())).collect();
    let mut refusals = Vec::new();
    let mut signers = Vec::new();
    for association in associations {
        let place = format!("Association[{} -> {}]", association.source_object, association.target_object);
        if association.association_type == HAS_MEMBER {
            if association.source_object != set_id || !unique_ids.contains_key(&association.target_object) {
                notes.push(format!("{place} HasMember is not kept: it links objects of another submission"));
            }
            continue;
        }
        let kinds = relations_of(&association.association_type);
        let source = entries.iter_mut().find(|entry| entry.id == association.source_object);
        let (Some(source), false) = (source, kinds.is_empty()) else {
            refusals.push(unusable(association, place, kinds));
            continue;
        };
        if kinds == [RelationKind::Signs] && association.target_object == set_id {
            signers.push(source.id.clone());
            continue;
        }
        match target_of(&association.target_object, &unique_ids) {
            Some(target) => source.relations.extend(kinds.iter().map(|kind| RelationDraft {
                place: place.clone(),
                kind: *kind,
                target: target.clone(),
            })),
            None => refusals.push(Refusal::new(
                Rule::ReferenceUnresolved,
                format!("{place}/@targetObject"),
                &association.target_object,
                "an entryUUID, or the id of a document of this request",
            )),
        }
    }
    if refusals.is_empty() { Ok(signers) } else { Err(refusals) }
}

fn unusable(association: &Association, place: String, kinds: &[RelationKind]) -> Refusal {
    if kinds.is_empty() {
        let expected = "HasMember, RPLC, APND, XFRM, XFRM_RPLC or signs";
        return Refusal::new(Rule::MetadataValue, place, &association.association_type, expected);
    }
    let found = &association.source_object;
    Refusal::new(
        Rule::ReferenceUnresolved,
        format!("{place}/@sourceObject"),
        found,
        "the id of a document of this request",
    )
}

/// A name of the request comes first: a sender may call its new documents by UUID too.
fn target_of(target: &str, unique_ids: &HashMap<String, Option<UniqueId>>) -> Option<TargetName> {
    if let Some(unique_id) = unique_ids.get(target) {
        return unique_id.clone().map(TargetName::Unique);
    }
    if let Ok(uuid) = target.parse::<EntryUuid>() {
        return Some(TargetName::Entry(uuid));
    }
    match target.parse() {
        Ok(UniqueId::Oid(oid)) => Some(TargetName::Unique(UniqueId::Oid(oid))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "<l:SubmitObjectsRequest xmlns:l='urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0' \
         xmlns='urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0'><RegistryObjectList>";
    const PATIENT: &str = "207058575627097^^^&amp;1.2.250.1.213.1.4.10&amp;ISO^NH^^20100907";

    fn slot(name: &str, value: &str) -> String {
        format!("<Slot name='{name}'><ValueList><Value>{value}</Value></ValueList></Slot>")
    }

    fn identifier(scheme: &str, value: &str) -> String {
        format!("<ExternalIdentifier identificationScheme='urn:uuid:{scheme}' value='{value}'/>")
    }

    fn code(scheme: &str, code: &str, system: &str) -> String {
        let system = slot("codingScheme", system);
        format!(
            "<Classification classificationScheme='urn:uuid:{scheme}' nodeRepresentation='{code}'>{system}</Classification>"
        )
    }

    fn document(id: &str, unique_id: &str, inside: &str) -> String {
        let patient = identifier("58a6f841-87b3-4a3e-92fd-a8ffeff98427", PATIENT);
        let unique_id = identifier("2e82c1f6-a085-4c72-9da3-8640a32e42ab", unique_id);
        format!("<ExtrinsicObject id='{id}'>{inside}{patient}{unique_id}</ExtrinsicObject>")
    }

    fn set() -> String {
        let patient = identifier("6b5aea1a-874d-4603-a4bc-96a0a7b38446", PATIENT);
        let source = identifier("554ac39e-e3fe-47fe-b233-965d2a147832", "1.2.3");
        let unique_id = identifier("96fdda7c-d067-4183-912e-bf5ee74998a8", "1.2.9");
        let kind = "<Classification classificationNode='urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd'/>";
        let time = slot("submissionTime", "20120304");
        format!("<RegistryPackage id='Set'>{time}{kind}{patient}{source}{unique_id}</RegistryPackage>")
    }

    fn association(kind: &str, source: &str, target: &str) -> String {
        format!("<Association associationType='{kind}' sourceObject='{source}' targetObject='{target}'/>")
    }

    fn read(objects: &[String]) -> Result<Submission, Vec<Rule>> {
        let xml = format!("{HEAD}{}</RegistryObjectList></l:SubmitObjectsRequest>", objects.concat());
        let request = SubmitObjectsRequest::read(xml.as_bytes()).unwrap();
        read_submission(&request, &Terminology::load().unwrap())
            .map_err(|refusals| refusals.into_iter().map(|refusal| refusal.rule).collect())
    }

    fn rules(objects: &[String]) -> Vec<Rule> {
        read(objects).map(|_| ()).unwrap_err()
    }

    #[test]
    fn the_signature_of_a_set_is_no_document() {
        let format = code("a09d5840-386c-46f2-b5ad-9c3699a4309d", "http://www.w3.org/2000/09/xmldsig#", "URN");
        let by_format =
            read(&[document("Doc", "1.2.4", ""), document("Signature01", "1.2.5", &format), set()]).unwrap();
        let signs = association("urn:ihe:iti:2007:AssociationType:signs", "Signature01", "Set");
        let by_relation =
            read(&[document("Doc", "1.2.4", ""), document("Signature01", "1.2.5", ""), set(), signs]).unwrap();
        for submission in [by_format, by_relation] {
            assert_eq!(submission.documents.len(), 1);
            assert_eq!(submission.signatures[0].id, "Signature01");
        }
    }

    #[test]
    fn a_replacement_names_its_target_by_entry_uuid() {
        let old = "urn:uuid:639ff453-5a56-46a6-9408-d6685d919739";
        let replaces = association("urn:ihe:iti:2007:AssociationType:RPLC", "Doc", old);
        let submission = read(&[replaces, document("Doc", "1.2.4", ""), set()]).unwrap();
        let relation = &submission.documents[0].relations[0];
        assert_eq!(relation.kind, RelationKind::Replaces);
        assert_eq!(relation.target, TargetName::Entry(old.parse().unwrap()));
    }

    #[test]
    fn a_target_in_the_same_request_is_named_by_its_unique_id() {
        let appends = association("urn:ihe:iti:2007:AssociationType:APND", "Doc2", "Doc1");
        let submission = read(&[document("Doc1", "1.2.4", ""), document("Doc2", "1.2.5", ""), appends, set()]).unwrap();
        let target = &submission.documents[1].relations[0].target;
        assert_eq!(*target, TargetName::Unique("1.2.4".parse().unwrap()));
    }

    #[test]
    fn relations_to_or_from_nothing_are_refused() {
        for (source, target) in [("Other", "urn:uuid:639ff453-5a56-46a6-9408-d6685d919739"), ("Doc", "Document07")] {
            let replaces = association("urn:ihe:iti:2007:AssociationType:RPLC", source, target);
            assert_eq!(rules(&[document("Doc", "1.2.4", ""), set(), replaces]), [Rule::ReferenceUnresolved]);
        }
        let unknown = association("urn:elga-bes:AssociationType:NonVersioningUpdate", "Doc", "Doc");
        assert_eq!(rules(&[document("Doc", "1.2.4", ""), set(), unknown]), [Rule::MetadataValue]);
    }

    #[test]
    fn exactly_one_submission_set_and_no_folder() {
        let folder = "<RegistryPackage id='Folder'/>".to_owned();
        assert_eq!(rules(&[document("Doc", "1.2.4", "")]), [Rule::SubmissionSetCount]);
        assert_eq!(rules(&[set(), folder]), [Rule::MetadataValue]);
    }

    #[test]
    fn every_broken_rule_is_told_with_its_place() {
        let inside = slot("creationTime", "demain") + &slot("size", "-1") + &slot("hash", "tRrkW34=");
        let broken = rules(&[document("Doc", "1.2.4^12", &inside), set()]);
        assert_eq!(broken, [Rule::UniqueIdForm, Rule::MetadataValue, Rule::MetadataValue, Rule::MetadataValue]);
    }

    #[test]
    fn a_wrong_ins_is_refused_without_being_shown() {
        let wrong = document("Doc", "1.2.4", "").replace("207058575627097", "207058575627098");
        let historical = document("Doc", "1.2.4", "").replace("213.1.4.10", "213.1.4.2");
        assert_eq!(rules(&[wrong.clone(), set()]), [Rule::InsKey]);
        assert_eq!(rules(&[historical, set()]), [Rule::InsDomain]);
        let xml = format!("{HEAD}{wrong}{}</RegistryObjectList></l:SubmitObjectsRequest>", set());
        let request = SubmitObjectsRequest::read(xml.as_bytes()).unwrap();
        let refusals = read_submission(&request, &Terminology::load().unwrap()).unwrap_err();
        assert!(!refusals[0].to_string().contains("70585756270"), "{}", refusals[0]);
    }

    #[test]
    fn labels_come_in_any_order_and_two_levels_contradict() {
        let level = |level| code("f4f85eac-e6cb-4883-b524-f2705394840f", level, "2.16.840.1.113883.5.25");
        let label = |label| code("f4f85eac-e6cb-4883-b524-f2705394840f", label, "1.2.250.1.213.1.1.4.13");
        let inside = label("MASQUE_PS") + &level("R") + &label("INVISIBLE_REP_LEGAUX");
        let submission = read(&[document("Doc", "1.2.4", &inside), set()]).unwrap();
        let confidentiality = submission.documents[0].metadata.confidentiality.clone().unwrap();
        assert_eq!((confidentiality.level.code(), confidentiality.labels.len()), ("R", 2));
        assert_eq!(rules(&[document("Doc", "1.2.4", &(level("N") + &level("R"))), set()]), [Rule::MetadataValue]);
        assert_eq!(rules(&[document("Doc", "1.2.4", &label("SECRET")), set()]), [Rule::UnknownCode]);
    }

    #[test]
    fn every_published_request_is_read_or_refused_for_a_reason() {
        let Some(root) = crate::ebrim::tests::shared("corpus/xds") else { return };
        let mut read = 0;
        for folder in ["dcm4chee", "ipf", "openxds", "xdm"] {
            for file in std::fs::read_dir(root.join(folder)).unwrap() {
                let bytes = std::fs::read(file.unwrap().path()).unwrap();
                if let Ok(request) = SubmitObjectsRequest::read(&bytes) {
                    read += 1;
                    // None of them has a French patient.
                    let refusals = read_submission(&request, &Terminology::load().unwrap()).unwrap_err();
                    assert!(!refusals.is_empty());
                }
            }
        }
        assert!(read >= 20, "{read} requests read");
    }
}
