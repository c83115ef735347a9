//! SubmissionSet -> List, profile PDSm 3.1.1 "submissionset comprehensive". Source: domain D.3, D.6.

use serde::Serialize;

use super::Writing;
use super::datatype::{CodeableConcept, Extension, Identifier, Meta, Reference, Value};
use super::person::{Contained, Containing};
use crate::domain::author::PersonKind;
use crate::domain::ids::LogicalId;
use crate::domain::submission_set::SubmissionSet;

pub const PROFILE: &str =
    "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-submissionset-comprehensive";
const DESIGNATION_TYPE: &str = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-designationType";
const SOURCE_ID: &str = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-sourceId";
const AUTHOR_ORG: &str = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-authorOrg";
const LIST_TYPES: &str = "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes";

#[derive(Debug, Serialize)]
#[serde(tag = "resourceType")]
pub struct List<'a> {
    id: String,
    meta: Meta<'a>,
    contained: Vec<Contained<'a>>,
    extension: [Extension<'a>; 2],
    identifier: [Identifier<'a>; 2],
    status: &'static str,
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    code: CodeableConcept<'a>,
    subject: Reference<'a>,
    date: String,
    source: Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<[Note<'a>; 1]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entry: Vec<Entry<'a>>,
}

#[derive(Debug, Serialize)]
struct Note<'a> {
    text: &'a str,
}

#[derive(Debug, Serialize)]
struct Entry<'a> {
    item: Reference<'a>,
}

/// Writes a set with those of its documents that the reader may see.
pub fn write<'a>(writing: Writing<'a>, set: &'a SubmissionSet, documents: &[LogicalId]) -> List<'a> {
    let mut containing = Containing::new(writing);
    let mut source = containing.author("source", &set.author);
    let professional = set.author.person.as_ref().is_none_or(|person| person.kind == PersonKind::Professional);
    if let (true, Some(institution)) = (professional, &set.author.institution) {
        let organization = Value::Reference(Box::new(containing.institution(institution)));
        source.extension = Some([Extension::of(AUTHOR_ORG, organization)]);
    }
    let content_type = Value::CodeableConcept(Box::new(writing.concept(&set.content_type_code)));
    let source_id = Value::Identifier(Box::new(Identifier {
        usage: None,
        ..Identifier::of_uri("usual", source_uri(&set.source_id))
    }));
    List {
        id: set.uuid.to_string(),
        meta: Meta { version_id: Some("1".to_owned()), last_updated: None, profile: vec![PROFILE] },
        contained: containing.finish(),
        extension: [Extension::of(DESIGNATION_TYPE, content_type), Extension::of(SOURCE_ID, source_id)],
        identifier: [
            Identifier::of_uri("usual", set.unique_id.to_urn()),
            Identifier::of_uri("official", set.uuid.to_urn()),
        ],
        status: "current",
        mode: "working",
        title: set.title.as_deref(),
        code: CodeableConcept::of(LIST_TYPES, "submissionset"),
        subject: Reference::to_patient(&set.patient_id),
        date: set.submission_time.to_fhir(),
        source,
        note: set.comments.as_deref().map(|text| [Note { text }]),
        entry: documents.iter().map(|id| Entry { item: Reference::to(format!("DocumentReference/{id}")) }).collect(),
    }
}

/// `sourceId` is an OID; FHIR wants URIs.
fn source_uri(source_id: &str) -> String {
    if source_id.contains(':') { source_id.to_owned() } else { format!("urn:oid:{source_id}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::code::Code;
    use crate::domain::dtm::Dtm;
    use crate::domain::ids::SubmissionSetUuid;
    use crate::domain::value_set::Terminology;
    use crate::fhir::resource::sample;

    #[test]
    fn a_set_is_a_valid_list_with_what_pdsm_demands() {
        let set = SubmissionSet {
            uuid: SubmissionSetUuid::new(),
            unique_id: "1.2.250.1.213.9.2".parse().unwrap(),
            source_id: "1.2.250.1.999.1".to_owned(),
            submission_time: Dtm::from_hl7("20260301101500").unwrap(),
            patient_id: sample::ins(),
            content_type_code: Code::new("1.2.250.1.213.2.2", "07"),
            author: sample::author(PersonKind::Professional),
            title: Some("Lot".to_owned()),
            comments: Some("sans objet".to_owned()),
        };
        let terminology = Terminology::load().unwrap();
        let writing = Writing { terminology: &terminology, base: "https://localhost:8443/fhir" };
        let text = serde_json::to_string(&write(writing, &set, &[LogicalId::new()])).unwrap();
        fhirkit::from_json_strict::<fhirkit::r4::List>(&text).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["extension"][1]["valueIdentifier"]["value"], "urn:oid:1.2.250.1.999.1");
        assert_eq!(json["source"]["extension"][0]["url"], AUTHOR_ORG);
        assert_eq!((json["status"].as_str(), json["mode"].as_str()), (Some("current"), Some("working")));
        assert!(json["entry"][0]["item"]["reference"].as_str().unwrap().starts_with("DocumentReference/"));
    }
}
