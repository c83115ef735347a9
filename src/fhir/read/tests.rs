//! Whole messages, from bytes to deposits.

use std::sync::Arc;

use futures_util::stream;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::iti65::{Provided, ProvidedEntry};
use super::*;
use crate::domain::association::RelationKind;
use crate::domain::author::PersonKind;
use crate::domain::confidentiality::{ConfidentialityLevel, VisibilityLabel};
use crate::domain::value_set::Terminology;
use crate::operation::draft::{DepositRequest, TargetName};

const INS: &str = "207058575627097";
const OLD: &str = "0198c0de-0000-7000-8000-000000000001";

fn spool() -> SpoolSettings {
    SpoolSettings { directory: Arc::new(std::env::temp_dir()), memory_bytes_max: 1 << 20 }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn read_in(format: WireFormat, body: &[u8], limits: &Limits, piece_bytes: usize) -> Result<Message, Failure> {
    let pieces: Vec<_> = body.chunks(piece_bytes).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    block_on(read_message(format, stream::iter(pieces), limits, spool(), xml_bytes(limits)))
}

fn xml_bytes(limits: &Limits) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(limits.xml_bodies_bytes_max))
}

fn read(format: WireFormat, body: &[u8]) -> Result<Message, Failure> {
    read_in(format, body, &Limits::default(), 1000)
}

fn provide(body: &Value) -> Result<Provided, Failure> {
    let message = read(WireFormat::Json, body.to_string().as_bytes())?;
    iti65::read_provided(message, &Terminology::load().unwrap())
}

fn publish(body: &Value) -> Result<DepositRequest, Failure> {
    let message = read(WireFormat::Json, body.to_string().as_bytes())?;
    iti105::read_publish(message, &Terminology::load().unwrap())
}

fn refusals<T>(result: Result<T, Failure>) -> Vec<Refusal> {
    match result {
        Err(Failure::Refused(refusals) | Failure::Journaled(refusals)) => refusals,
        Err(Failure::Fault(fault)) => panic!("{fault}"),
        Ok(_) => panic!("was read"),
    }
}

/// Rule and place of the only refusal.
fn refused<T>(result: Result<T, Failure>) -> (Rule, String) {
    let mut refusals = refusals(result);
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    let refusal = refusals.remove(0);
    (refusal.rule, refusal.place)
}

fn at(rule: Rule, place: &str) -> (Rule, String) {
    (rule, place.to_owned())
}

fn code(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": system, "code": code}]})
}

fn patient_reference() -> Value {
    json!({"reference": format!("Patient?identifier=urn:oid:1.2.250.1.213.1.4.10|{INS}")})
}

fn document_reference() -> Value {
    json!({
        "resourceType": "DocumentReference",
        "contained": [
            {"resourceType": "Patient", "id": "source", "identifier": [
                {"system": "urn:oid:1.2.250.1.213.1.4.10", "value": INS},
                {"system": "urn:oid:1.2.3.4", "value": "IPP-1"}],
             "name": [{"use": "official", "family": "PATIENT", "given": ["ANNE", "MARIE"]}],
             "gender": "female", "birthDate": "1985-07-05"},
            {"resourceType": "Practitioner", "id": "doctor", "identifier": [
                {"system": "https://rpps.esante.gouv.fr", "value": "99700218896"}],
             "name": [{"family": "DOC", "given": ["Paul"]}]},
            {"resourceType": "Organization", "id": "hospital", "name": "Hôpital", "identifier": [
                {"system": "urn:oid:1.2.250.1.71.4.2.2", "value": "1750803447"}]},
            {"resourceType": "PractitionerRole", "id": "role", "practitioner": {"reference": "#doctor"},
             "organization": {"reference": "#hospital"}, "code": [{"text": "Médecin responsable"}],
             "specialty": [code("urn:oid:1.2.250.1.213.1.1.4.5", "G15_10/SM26")]}],
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.250.1.9.1"},
        "status": "current",
        "type": code("http://loinc.org", "11488-4"),
        "category": [code("urn:oid:1.2.250.1.213.1.1.4.1", "11")],
        "subject": patient_reference(),
        "date": "2026-06-12T10:00:00+02:00",
        "author": [{"reference": "#role"}],
        "authenticator": {"reference": "#doctor"},
        "custodian": {"reference": "#hospital"},
        "description": "À relire",
        "securityLabel": [
            code("urn:oid:1.2.250.1.213.1.1.4.13", "INVISIBLE_PATIENT"),
            code("urn:oid:1.2.250.1.213.1.1.4.13", "N")],
        "content": [{
            "attachment": {"contentType": "text/xml", "language": "fr-FR", "url": "urn:uuid:binary", "size": 5,
                "hash": "9/+ei3uy4Jtwk1pdeF4MxdnQq/A=", "title": "Compte rendu", "creation": "2026-06-12"},
            "format": {"system": "urn:oid:1.3.6.1.4.1.19376.1.2.3", "code": "urn:ihe:iti:xds-sd:pdf:2008"}}],
        "context": {
            "period": {"start": "2026-06-11", "end": "2026-06-12T09:00:00+02:00"},
            "facilityType": code("urn:oid:1.2.250.1.71.4.2.4", "SA01"),
            "practiceSetting": code("urn:oid:1.2.250.1.213.1.1.4.9", "ETABLISSEMENT"),
            "event": [code("urn:oid:1.2.250.1.213.2.5", "DEQP003")],
            "related": [{"identifier": {"type": code("urn:ietf:rfc:3986", "urn:ihe:iti:xds:2013:accession"),
                "system": "urn:oid:1.2.5", "value": "ACC-1"}}],
            "sourcePatientInfo": {"reference": "#source"}}
    })
}

fn bundle() -> Value {
    let list = json!({
        "resourceType": "List",
        "contained": [{"resourceType": "Practitioner", "id": "a", "identifier": [
            {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "899700218896"}]},
            {"resourceType": "Organization", "id": "o", "identifier": [
            {"system": "urn:oid:1.2.250.1.71.4.2.2", "value": "1750803447"}]}],
        "extension": [
            {"url": "http://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-designationType",
             "valueCodeableConcept": code("urn:oid:1.2.250.1.213.2.2", "07")},
            {"url": "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-sourceId",
             "valueIdentifier": {"value": "urn:oid:1.2.3.4.5"}}],
        "identifier": [{"use": "usual", "system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.250.1.9.2"}],
        "status": "current", "mode": "working", "title": "Envoi",
        "code": code("http://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes", "submissionset"),
        "subject": patient_reference(),
        "date": "2026-06-12T11:00:00+02:00",
        "source": {"reference": "#a", "extension": [
            {"url": "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-authorOrg",
             "valueReference": {"reference": "#o"}}]},
        "note": [{"text": "Note"}],
        "entry": [{"item": {"reference": "urn:uuid:document"}}]
    });
    let entry = |url: &str, kind: &str, resource: Value| json!({"fullUrl": url, "resource": resource, "request": {"method": "POST", "url": kind}});
    let binary = json!({"resourceType": "Binary", "contentType": "text/xml", "data": "SGVsbG8="});
    json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        entry("urn:uuid:list", "List", list),
        entry("urn:uuid:document", "DocumentReference", document_reference()),
        entry("urn:uuid:binary", "Binary", binary)]})
}

/// The bundle with the value at a JSON pointer replaced, added, or (null) taken away.
fn bundle_with(pointer: &str, value: Value) -> Value {
    changed(bundle(), pointer, value)
}

fn changed(mut json: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = json.pointer_mut(parent).unwrap();
    match parent {
        Value::Object(members) if value.is_null() => drop(members.remove(key)),
        Value::Object(members) => drop(members.insert(key.to_owned(), value)),
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        _ => panic!("{pointer}"),
    }
    json
}

fn supersession(url: &str, value: &str) -> Value {
    json!({"fullUrl": "urn:uuid:patch", "request": {"method": "PATCH", "url": url}, "resource":
        {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [
            {"name": "type", "valueCode": "replace"},
            {"name": "path", "valueString": "DocumentReference.status"},
            {"name": "value", "valueCode": value}]}]}})
}

fn replacing_bundle() -> Value {
    let relates_to = json!([{"code": "replaces", "target": {"reference": format!("DocumentReference/{OLD}")}}]);
    let bundle = bundle_with("/entry/1/resource/relatesTo", relates_to);
    changed(bundle, "/entry/-", supersession(&format!("DocumentReference/{OLD}"), "superseded"))
}

#[test]
fn a_bundle_becomes_a_deposit_with_all_it_says() {
    let provided = provide(&bundle()).unwrap();
    let expected = [ProvidedEntry::SubmissionSet, ProvidedEntry::Document(0), ProvidedEntry::Content(0)];
    assert_eq!(provided.entries, expected);
    let set = provided.request.submission_set.unwrap();
    assert_eq!(set.place, "Bundle.entry[0].resource");
    assert_eq!(set.unique_id.unwrap().to_urn(), "urn:oid:1.2.250.1.9.2");
    assert_eq!(set.source_id.as_deref(), Some("1.2.3.4.5"));
    assert_eq!(set.submission_time.unwrap().to_hl7(), "20260612090000");
    assert_eq!(set.patient_id.unwrap().matricule(), INS);
    assert_eq!(set.content_type_code.unwrap().code, "07");
    assert_eq!((set.title.as_deref(), set.comments.as_deref()), (Some("Envoi"), Some("Note")));
    let author = set.author.unwrap();
    assert_eq!(author.person.unwrap().id.unwrap().value, "899700218896");
    assert_eq!(author.institution.unwrap().id.unwrap().value, "1750803447");
}

#[test]
fn a_document_reference_becomes_metadata() {
    let mut documents = provide(&bundle()).unwrap().request.documents;
    let document = documents.remove(0);
    assert_eq!(document.place, "Bundle.entry[1].resource");
    assert_eq!(document.content.in_memory().unwrap()[..], b"Hello"[..]);
    assert_eq!(document.declared_hash, Some(document.content.fingerprint().sha1));
    assert_eq!(document.declared_size, Some(5));
    let metadata = document.metadata;
    assert_eq!(metadata.unique_id.unwrap().to_string(), "1.2.250.1.9.1");
    assert_eq!(metadata.patient_id.unwrap().matricule(), INS);
    assert_eq!(metadata.type_code.unwrap().code, "11488-4");
    assert_eq!(metadata.creation_time.unwrap().to_fhir(), "2026-06-12");
    assert_eq!(metadata.service_start_time.unwrap().to_fhir(), "2026-06-11");
    assert_eq!(metadata.service_stop_time.unwrap().to_fhir(), "2026-06-12T07:00:00Z");
    assert_eq!(metadata.event_codes[0].system, "1.2.250.1.213.2.5");
    assert_eq!(metadata.reference_ids[0].kind, "urn:ihe:iti:xds:2013:accession");
    assert_eq!(metadata.comments.as_deref(), Some("À relire"));
    assert_eq!(metadata.mime_type.as_deref(), Some("text/xml"));
    let confidentiality = metadata.confidentiality.unwrap();
    assert_eq!(confidentiality.level, ConfidentialityLevel::N);
    assert!(confidentiality.has(VisibilityLabel::InvisiblePatient));
}

#[test]
fn people_are_read_with_their_national_identifiers() {
    let metadata = provide(&bundle()).unwrap().request.documents.remove(0).metadata;
    let author = &metadata.authors[0];
    let person = author.person.as_ref().unwrap();
    let id = person.id.as_ref().unwrap();
    assert_eq!((id.system.as_str(), id.value.as_str()), ("1.2.250.1.71.4.2.1", "899700218896"));
    assert_eq!((person.family.as_deref(), person.kind), (Some("DOC"), PersonKind::Professional));
    assert_eq!(author.institution.as_ref().unwrap().name.as_deref(), Some("Hôpital"));
    assert_eq!(author.roles, ["Médecin responsable"]);
    assert_eq!(author.specialty.as_ref().unwrap().code, "G15_10/SM26");
    assert_eq!(metadata.custodian.unwrap().id.unwrap().value, "1750803447");
    let source = metadata.source_patient.unwrap();
    assert_eq!(source.id.unwrap().value, "IPP-1");
    assert_eq!(source.info.given.as_deref(), Some("ANNE MARIE"));
    assert_eq!((source.info.sex.as_deref(), source.info.birth_family.as_deref()), (Some("F"), Some("PATIENT")));
}

#[test]
fn the_patient_is_found_in_each_place_where_senders_put_it() {
    let identifier = json!({"identifier": {"system": "urn:oid:1.2.250.1.213.1.4.10", "value": INS}});
    let encoded =
        json!({"reference": format!("https://x/fhir/Patient?identifier=urn:oid:1.2.250.1.213.1.4.10%7C{INS}")});
    for subject in [identifier, encoded, json!({"reference": "#source"}), json!({"reference": "Patient/elsewhere"})] {
        let changed = changed(
            bundle_with("/entry/1/resource/subject", subject.clone()),
            "/entry/0/resource/subject",
            Value::Null,
        );
        let request = provide(&changed).unwrap().request;
        assert_eq!(request.documents[0].metadata.patient_id.as_ref().unwrap().matricule(), INS, "{subject}");
    }
}

#[test]
fn a_patient_of_the_bundle_is_the_patient() {
    let entry = json!({"fullUrl": "urn:uuid:patient", "request": {"method": "POST", "url": "Patient"}, "resource":
        {"resourceType": "Patient", "identifier": [{"system": "urn:oid:1.2.250.1.213.1.4.10", "value": INS}]}});
    let bundle = changed(bundle(), "/entry/-", entry);
    let bundle = changed(bundle, "/entry/0/resource/subject", json!({"reference": "urn:uuid:patient"}));
    let provided = provide(&bundle).unwrap();
    assert_eq!(provided.request.submission_set.unwrap().patient_id.unwrap().matricule(), INS);
    assert_eq!(provided.entries[3], ProvidedEntry::Context);
}

#[test]
fn a_list_may_name_its_patient_in_the_words_of_the_document() {
    let elsewhere = json!({"reference": "Patient/elsewhere"});
    let bundle =
        changed(bundle_with("/entry/1/resource/subject", elsewhere.clone()), "/entry/0/resource/subject", elsewhere);
    let set = provide(&bundle).unwrap().request.submission_set.unwrap();
    assert_eq!(set.patient_id.unwrap().matricule(), INS);
}

#[test]
fn a_patient_without_ins_is_refused() {
    let bundle = bundle_with("/entry/1/resource/subject", json!({"reference": "Patient/elsewhere"}));
    let bundle = changed(bundle, "/entry/1/resource/context/sourcePatientInfo", Value::Null);
    assert_eq!(refused(provide(&bundle)), at(Rule::InsMissing, "Bundle.entry[1].resource.subject"));
}

#[test]
fn an_ins_that_is_wrong_is_refused_and_masked() {
    for (token, rule) in [
        ("1.2.250.1.213.1.4.8|123456789012345", Rule::InsKey),
        ("1.2.250.1.213.1.4.8|12345", Rule::InsForm),
        ("1.2.250.1.213.1.4.2|207058575627097", Rule::InsDomain),
    ] {
        let reference = json!({"reference": format!("Patient?identifier=urn:oid:{token}")});
        let refusal = refusals(provide(&bundle_with("/entry/1/resource/subject", reference))).remove(0);
        assert_eq!((refusal.rule, refusal.place.as_str()), (rule, "Bundle.entry[1].resource.subject.reference"));
        assert!(!refusal.to_string().contains("23456789"));
    }
}

#[test]
fn a_replacement_names_its_target_and_its_patch_is_held_against_it() {
    let provided = provide(&replacing_bundle()).unwrap();
    assert_eq!(provided.entries[3], ProvidedEntry::Supersession(0));
    let relation = &provided.request.documents[0].relations[0];
    assert_eq!(relation.kind, RelationKind::Replaces);
    assert_eq!(relation.target, TargetName::Logical(OLD.parse().unwrap()));
    assert_eq!(relation.place, "Bundle.entry[1].resource.relatesTo[0].target");
}

#[test]
fn a_patch_that_nothing_replaces_or_that_does_more_is_refused() {
    let place = "Bundle.entry[3].resource";
    let alone = changed(bundle(), "/entry/-", supersession(&format!("DocumentReference/{OLD}"), "superseded"));
    assert_eq!(refused(provide(&alone)), at(Rule::BundleEntry, place));
    let other = changed(replacing_bundle(), "/entry/3", supersession("DocumentReference/other", "superseded"));
    assert_eq!(refused(provide(&other)), at(Rule::BundleEntry, place));
    let more = supersession(&format!("DocumentReference/{OLD}"), "entered-in-error");
    assert_eq!(refused(provide(&changed(replacing_bundle(), "/entry/3", more))), at(Rule::BundleEntry, place));
}

#[test]
fn exactly_one_submission_set_is_accepted() {
    let list = bundle().pointer("/entry/0").cloned().unwrap();
    let two = changed(bundle(), "/entry/-", changed(list.clone(), "/fullUrl", json!("urn:uuid:list2")));
    assert_eq!(refused(provide(&two)), at(Rule::SubmissionSetCount, "Bundle.entry"));
    let folder = code("https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes", "folder");
    let refusals = refusals(provide(&bundle_with("/entry/0/resource/code", folder)));
    assert_eq!(refusals[0].rule, Rule::BundleEntry);
    assert_eq!(refusals[1].rule, Rule::SubmissionSetCount);
}

#[test]
fn documents_and_binaries_belong_together_one_to_one() {
    let url = "Bundle.entry[1].resource.content[0].attachment.url";
    let absent = changed(bundle(), "/entry/1/resource/content/0/attachment/url", json!("urn:uuid:other"));
    let refusals = refusals(provide(&absent));
    assert_eq!((refusals[0].rule, refusals[0].place.as_str()), (Rule::ReferenceUnresolved, url));
    assert_eq!((refusals[1].rule, refusals[1].place.as_str()), (Rule::BundleEntry, "Bundle.entry[2].resource"));
    let empty = bundle_with("/entry/2/resource/data", Value::Null);
    assert_eq!(refused(provide(&empty)), at(Rule::EmptyDocument, "Bundle.entry[2].resource.data"));
    let relative = changed(bundle(), "/entry/1/resource/content/0/attachment/url", json!("Binary/b1"));
    let relative = changed(relative, "/entry/2/fullUrl", json!("https://source.example/fhir/Binary/b1"));
    assert!(provide(&relative).is_ok());
}

#[test]
fn a_role_that_is_its_own_practitioner_is_refused() {
    let bundle = bundle_with("/entry/1/resource/contained/3/practitioner", json!({"reference": "#role"}));
    let place = "Bundle.entry[1].resource.contained[3].practitioner";
    assert_eq!(refused(provide(&bundle)), at(Rule::ReferenceUnresolved, place));
}

#[test]
fn a_bundle_of_more_entries_than_a_deposit_has_is_refused() {
    let context = json!({"resource": {"resourceType": "Device"}, "request": {"method": "POST", "url": "Device"}});
    let mut bundle = bundle();
    bundle["entry"].as_array_mut().unwrap().extend(std::iter::repeat_n(context, 500));
    assert_eq!(refused(provide(&bundle)), at(Rule::BundleEntry, "Bundle.entry"));
}

#[test]
fn a_document_in_a_place_that_nothing_reads_is_refused() {
    let photo = json!([{"contentType": "image/png", "data": "SGVsbG8="}]);
    let bundle = bundle_with("/entry/1/resource/contained/0/photo", photo);
    let place = "Bundle.entry[1].resource.contained[0].photo[0].data";
    assert_eq!(refused(provide(&bundle)), at(Rule::BundleEntry, place));
}

#[test]
fn each_thing_wrong_is_refused_at_its_place() {
    let document = "Bundle.entry[1].resource";
    for (pointer, value, rule, place) in [
        ("/type", json!("batch"), Rule::BundleType, "Bundle.type".to_owned()),
        ("/entry/0/request", Value::Null, Rule::BundleEntry, "Bundle.entry[0].request".to_owned()),
        ("/entry/0/request/method", json!("DELETE"), Rule::BundleEntry, "Bundle.entry[0].request.method".to_owned()),
        ("/entry/0/request/url", json!("Binary"), Rule::BundleEntry, "Bundle.entry[0].request.url".to_owned()),
        ("/entry/0/request/ifNoneExist", json!("a=b"), Rule::BundleEntry, "Bundle.entry[0].request".to_owned()),
        ("/entry/1/resource/status", json!("superseded"), Rule::MetadataValue, format!("{document}.status")),
        (
            "/entry/1/resource/content/0/attachment/hash",
            json!("QUJD"),
            Rule::MetadataValue,
            format!("{document}.content[0].attachment.hash"),
        ),
        (
            "/entry/1/resource/content/0/attachment/creation",
            json!("2026-02-30"),
            Rule::MetadataValue,
            format!("{document}.content[0].attachment.creation"),
        ),
        (
            "/entry/1/resource/content/0/attachment/contentType",
            json!("application/pdf"),
            Rule::MimeTypeMismatch,
            format!("{document}.content[0].attachment.contentType"),
        ),
        (
            "/entry/1/resource/masterIdentifier/value",
            json!("urn:oid:1.2.3^x"),
            Rule::UniqueIdForm,
            format!("{document}.masterIdentifier.value"),
        ),
        (
            "/entry/1/resource/securityLabel/0",
            code("urn:oid:1.2.250.1.213.1.1.4.13", "MASQUE_PSOCIAL"),
            Rule::UnknownCode,
            format!("{document}.securityLabel[0]"),
        ),
        (
            "/entry/1/resource/author/0/reference",
            json!("PractitionerRole/elsewhere"),
            Rule::ReferenceUnresolved,
            format!("{document}.author[0]"),
        ),
        (
            "/entry/1/resource/relatesTo",
            json!([{"code": "replaces", "target": {"reference": "DocumentReference/doc-x-id"}}]),
            Rule::ReplaceTarget,
            format!("{document}.relatesTo[0].target"),
        ),
        (
            "/entry/1/resource/relatesTo",
            json!(vec![json!({"code": "appends", "target": {"reference": "urn:oid:1.2.3"}}); 101]),
            Rule::MetadataValue,
            format!("{document}.relatesTo"),
        ),
        (
            "/entry/1/resource/type/coding/0/system",
            Value::Null,
            Rule::MissingMetadata,
            format!("{document}.type.coding[0]"),
        ),
    ] {
        let result = refused(provide(&bundle_with(pointer, value)));
        assert_eq!(result, (rule, place), "{pointer}");
    }
}

#[test]
fn a_list_names_each_document_of_the_bundle_and_no_other() {
    let other = bundle_with("/entry/0/resource/entry/0/item/reference", json!("DocumentReference/other"));
    let refusals = refusals(provide(&other));
    assert_eq!(refusals[0].rule, Rule::ReferenceUnresolved);
    assert_eq!(refusals[0].place, "Bundle.entry[0].resource.entry[0].item");
    assert_eq!((refusals[1].rule, refusals[1].place.as_str()), (Rule::BundleEntry, "Bundle.entry[1].resource"));
}

#[test]
fn extensions_that_are_not_understood_are_kept_as_they_came() {
    let extension = json!([{"url": "urn:x", "valueDecimal": 1.50}, {"url": "https://a/pdsm-ext-is-archived", "valueBoolean": false}]);
    let bundle = bundle_with("/entry/1/resource/extension", extension);
    let text = bundle.to_string().replace("1.5}", "1.50}");
    let message = read(WireFormat::Json, text.as_bytes()).unwrap();
    let provided = iti65::read_provided(message, &Terminology::load().unwrap()).unwrap();
    let expected = (EXTENSION_SLOT.to_owned(), vec![r#"{"url":"urn:x","valueDecimal":1.50}"#.to_owned()]);
    assert_eq!(provided.request.documents[0].metadata.other_slots, [expected]);
}

#[test]
fn a_simplified_publish_carries_its_document() {
    let attachment = json!({"contentType": "text/xml", "data": "SGVsbG8=", "title": "T"});
    let resource = changed(document_reference(), "/content/0/attachment", attachment);
    let resource = changed(resource, "/content/0/format", Value::Null);
    let request = publish(&resource).unwrap();
    assert!(request.submission_set.is_none());
    assert_eq!(request.documents[0].content.in_memory().unwrap()[..], b"Hello"[..]);
    // Without a date of its own, the document is as old as its reference (T-10).
    let creation = request.documents[0].metadata.creation_time.unwrap();
    assert_eq!(creation.to_fhir(), "2026-06-12T08:00:00Z");
    let with_url = changed(resource.clone(), "/content/0/attachment/url", json!("Binary/1"));
    assert_eq!(refused(publish(&with_url)), at(Rule::MetadataValue, "DocumentReference.content[0].attachment.url"));
    let without = changed(resource, "/content/0/attachment/data", Value::Null);
    assert_eq!(refused(publish(&without)), at(Rule::EmptyDocument, "DocumentReference.content[0].attachment.data"));
}

#[test]
fn bodies_over_the_limit_or_broken_off_are_refused() {
    let body = bundle().to_string();
    let limits = Limits { body_bytes_max: 100, xml_body_bytes_max: 100, ..Limits::default() };
    for format in [WireFormat::Json, WireFormat::Xml] {
        assert_eq!(refused(read_in(format, body.as_bytes(), &limits, 10)), at(Rule::BodyTooLarge, "message"));
    }
    let half = &body.as_bytes()[..body.len() / 2];
    assert_eq!(refused(read(WireFormat::Json, half)).0, Rule::JsonSyntax);
    let broken = Failure::from(Refusal::new(Rule::BodyIncomplete, "message", "half", "all"));
    let pieces = stream::iter([Ok(Bytes::from_static(b"{")), Err(broken)]);
    let result =
        block_on(read_message(WireFormat::Json, pieces, &Limits::default(), spool(), xml_bytes(&Limits::default())));
    assert_eq!(refused(result).0, Rule::BodyIncomplete);
}

#[test]
fn content_types_name_the_format() {
    for (text, format) in [
        ("application/fhir+json", WireFormat::Json),
        ("application/fhir+json; fhirVersion=4.0; charset=UTF-8", WireFormat::Json),
        ("Application/JSON", WireFormat::Json),
        ("application/fhir+xml;charset=\"utf-8\"", WireFormat::Xml),
    ] {
        assert_eq!(WireFormat::of_content_type(Some(text)), Ok(format));
    }
    for bad in
        [None, Some("text/plain"), Some("application/fhir+json;fhirVersion=5.0"), Some("text/xml;charset=latin1")]
    {
        assert_eq!(WireFormat::of_content_type(bad).unwrap_err().rule, Rule::MediaType);
    }
}

/// The bundle as an XML client would send it: prefixed, with schema location and narrative.
fn bundle_xml() -> String {
    let xml = String::from_utf8(json_to_xml(bundle().to_string().as_bytes()).unwrap()).unwrap();
    let body = xml.split_once("?>").map_or(xml.as_str(), |(_, body)| body);
    let body = body.replace("</", "</f:").replace('<', "<f:").replace("<f:/f:", "</f:");
    let body = body.replacen("xmlns=", "xmlns:f=", 1).replacen(
        "<f:Bundle ",
        "<f:Bundle xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:schemaLocation=\"http://hl7.org/fhir x.xsd\" ",
        1,
    );
    let narrative = "<f:text><f:status value=\"generated\"/><div xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"fr\">\
                     <p>Bonjour <b>tout</b> le monde &amp; &#233;</p></div></f:text>";
    let body = body.replacen("<f:List>", &format!("<f:List>{narrative}"), 1);
    format!("<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\"?>\n<!-- c -->{body}\n")
}

#[test]
fn the_same_bundle_in_xml_is_the_same_deposit() {
    let message = read(WireFormat::Xml, bundle_xml().as_bytes()).unwrap();
    let from_xml = iti65::read_provided(message, &Terminology::load().unwrap()).unwrap();
    let from_json = provide(&bundle()).unwrap();
    assert_eq!(from_xml.entries, from_json.entries);
    assert_eq!(format!("{:?}", from_xml.request), format!("{:?}", from_json.request));
}

#[test]
fn xml_that_attacks_is_refused_before_the_converter_sees_it() {
    let resource = |inner: &str| format!("<Patient xmlns=\"http://hl7.org/fhir\">{inner}</Patient>");
    let deep = format!("{}{}", "<contained>".repeat(10_000), "</contained>".repeat(10_000));
    let wide = (0..40).map(|i| format!("a{i}=\"x\"")).collect::<Vec<_>>().join(" ");
    for (xml, rule) in [
        (format!("<!DOCTYPE x [<!ENTITY a \"b\">]>{}", resource("<id value=\"&a;\"/>")), Rule::XmlForbidden),
        (resource("<id value=\"&a;\"/>"), Rule::XmlForbidden),
        (resource("&a;"), Rule::XmlForbidden),
        (resource("<?php x?>"), Rule::XmlForbidden),
        (resource("<![CDATA[x]]>"), Rule::XmlForbidden),
        (resource(&deep), Rule::Nesting),
        (resource(&format!("<id {wide}/>")), Rule::Nesting),
        (resource(&"<name/>".repeat(60_000)), Rule::BodyTooLarge),
        (resource("text"), Rule::XmlSyntax),
        (resource("<id value=\"1\">"), Rule::XmlSyntax),
        (format!("{}{}", resource(""), resource("")), Rule::XmlSyntax),
        ("<Patient xmlns=\"http://hl7.org/fhir\"><active value=\"true\"/>".to_owned(), Rule::XmlSyntax),
        ("<Patient/>".to_owned(), Rule::XmlSyntax),
        (String::new(), Rule::XmlSyntax),
        (format!("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>{}", resource("")), Rule::XmlSyntax),
        (resource("<id value=\"1\" colour=\"red\"/>"), Rule::UnknownElement),
        (resource("<colour value=\"red\"/>"), Rule::UnknownElement),
        (resource("<photo><size value=\"5000000000\"/></photo>"), Rule::FhirStructure),
        (resource("<photo><data value=\"**\"/></photo>"), Rule::Base64),
    ] {
        assert_eq!(refused(read(WireFormat::Xml, xml.as_bytes())).0, rule, "{}", &xml[..xml.len().min(200)]);
    }
}

#[test]
fn base64_in_xml_may_be_broken_into_lines() {
    let xml = "<Binary xmlns=\"http://hl7.org/fhir\"><contentType value=\"text/plain\"/><data value=\"SGVs\n  bG8=\"/></Binary>";
    let message = read(WireFormat::Xml, xml.as_bytes()).unwrap();
    let received = message.documents.0[0].as_ref().unwrap();
    assert_eq!(received.content.in_memory().unwrap()[..], b"Hello"[..]);
    assert_eq!(received.place, "Binary.data");
}

#[test]
fn answers_are_written_as_xml() {
    let outcome = br#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid"}]}"#;
    let xml = String::from_utf8(json_to_xml(outcome).unwrap()).unwrap();
    assert!(xml.contains("<OperationOutcome xmlns=\"http://hl7.org/fhir\">"), "{xml}");
    assert!(xml.contains("<severity value=\"error\"/>"), "{xml}");
}

/// Every transaction Bundle of the published examples has a stated outcome.
#[test]
fn published_examples_are_read_or_refused_for_what_is_wrong_with_them() {
    let shared = std::env::var_os("CARNET_SHARED")
        .map_or_else(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), std::path::PathBuf::from);
    let folder = shared.join("corpus/mhd");
    if !folder.is_dir() {
        eprintln!("skipped: no {}", folder.display());
        return;
    }
    for (file, rules) in [
        ("pdsm4dmp/Bundle-example-td2-iti65-lot-soumission.json", &[Rule::InsKey][..]),
        ("pdsm4dmp/Bundle-example-td2-1-remplacement.json", &[Rule::InsKey, Rule::ReplaceTarget]),
        (
            "pdsm-next-iti65-replace/Bundle-bundle-exemple-comprehensiveprovidedocument-replace.json",
            &[Rule::ReplaceTarget],
        ),
        ("ihe-mhd-4.2.3/Bundle-ex-minimalProvideDocumentBundleSimple.json", &[Rule::InsMissing]),
        (
            "ihe-mhd-4.2.3/Bundle-ex-comprehensiveProvideDocumentBundleReplace.json",
            &[Rule::InsMissing, Rule::ReplaceTarget],
        ),
        (
            "ihe-mhd-4.2.3/Bundle-ex-unContainedComprehensiveProvideDocumentBundleComplete.json",
            &[Rule::InsMissing, Rule::ReferenceUnresolved, Rule::ReplaceTarget],
        ),
        ("ihe-mhd-4.2.3/Bundle-ex-ProvideDocumentBundle-addToFolder.json", &[Rule::BundleEntry]),
    ] {
        let body = std::fs::read(folder.join(file)).unwrap();
        let message = read(WireFormat::Json, &body).unwrap();
        let refusals = refusals(iti65::read_provided(message, &Terminology::load().unwrap()));
        for rule in rules {
            assert!(refusals.iter().any(|refusal| refusal.rule == *rule), "{file}: no {rule:?} in {refusals:#?}");
        }
        // Labels need the tables of the profiles; nothing else may be wrong with these files.
        let others: Vec<_> =
            refusals.iter().filter(|it| !rules.contains(&it.rule) && it.rule != Rule::UnknownCode).collect();
        assert!(others.is_empty() || file.starts_with("ihe"), "{file}: {others:#?}");
    }
    let body = std::fs::read(folder.join("pdsm4dmp/DocumentReference-example-td2-iti105-publication-simplifiee.json"))
        .unwrap();
    let message = read(WireFormat::Json, &body).unwrap();
    let refused = refused(iti105::read_publish(message, &Terminology::load().unwrap()));
    assert_eq!(refused, at(Rule::InsKey, "DocumentReference.subject.reference"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_mutated_message_is_read_or_refused_without_a_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        piece_bytes in 1_usize..4000,
        xml: bool,
    ) {
        let (format, text) = if xml { (WireFormat::Xml, bundle_xml()) } else { (WireFormat::Json, replacing_bundle().to_string()) };
        let mut body = text.into_bytes();
        for (index, byte) in changes {
            let index = index.index(body.len());
            body[index] = byte;
        }
        if let Ok(message) = read_in(format, &body, &Limits::default(), piece_bytes) {
            let _ = iti65::read_provided(message, &Terminology::load().unwrap());
        }
    }

    #[test]
    fn a_message_with_values_exchanged_is_read_or_refused_without_a_panic(
        from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), publish_it: bool,
    ) {
        let mut body = if publish_it { document_reference() } else { replacing_bundle() };
        let mut pointers = Vec::new();
        collect_pointers(&body, String::new(), &mut pointers);
        let value = body.pointer(&pointers[from.index(pointers.len())]).cloned().unwrap();
        *body.pointer_mut(&pointers[to.index(pointers.len())]).unwrap() = value;
        let terminology = Terminology::load().unwrap();
        if let Ok(message) = read(WireFormat::Json, body.to_string().as_bytes()) {
            let _ = iti105::read_publish(message, &terminology);
        }
        let _ = provide(&body);
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(body: Vec<u8>, text in "[<>/a-z \"=&;#?!\\[\\]-]{0,80}") {
        for format in [WireFormat::Json, WireFormat::Xml] {
            let _ = read(format, &body);
            let _ = read(format, text.as_bytes());
        }
    }
}

fn collect_pointers(value: &Value, at: String, pointers: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| collect_pointers(value, format!("{at}/{key}"), pointers));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| collect_pointers(value, format!("{at}/{index}"), pointers));
        }
        _ => {}
    }
    pointers.push(at);
}

#[test]
fn xml_beyond_what_all_may_hold_is_asked_to_come_back_and_leaves_its_room_to_others() {
    let bytes = Arc::new(Semaphore::new(10));
    let read = |pieces: &[&'static [u8]]| {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect();
        let (limits, bytes) = (Limits::default(), Arc::clone(&bytes));
        block_on(read_message(WireFormat::Xml, stream::iter(pieces), &limits, spool(), bytes))
    };
    assert_eq!(refused(read(&[b"<Bundle", b"/>"])).0, Rule::XmlSyntax);
    assert_eq!(refused(read(&[b"<Bundle", b" x=\"\"/>"])).0, Rule::Busy);
    assert_eq!(bytes.available_permits(), 10);
}
