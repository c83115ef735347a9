//! What a message says, and what is wrong with it.

use super::*;

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
