//! The patient: an INS that is none, of somebody else, or missing.

use serde_json::{Value, json};

use crate::support::gateway::OTHER_PATIENT;
use crate::support::{Desk, Document, Sent};

const TEST_OID: &str = "1.2.250.1.213.1.4.10";

#[tokio::test(flavor = "multi_thread")]
async fn an_ins_with_a_wrong_key_is_refused() {
    let desk = Desk::open().await;
    let bundle = of_patient(TEST_OID, "279035121518988");
    let answer =
        desk.refuses(Sent::bundle(&bundle), 422, "ins-key", "Bundle.entry[1].resource.subject.identifier").await;
    assert!(answer.text().contains("found 2************88"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ins_of_another_form_is_refused() {
    let desk = Desk::open().await;
    for value in ["2790351215189", "27903512151898X", "2790 35121518989", "é"] {
        let place = "Bundle.entry[1].resource.subject.identifier";
        desk.refuses(Sent::bundle(&of_patient(TEST_OID, value)), 422, "ins-form", place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ins_of_a_domain_that_is_not_accepted_is_refused() {
    let desk = Desk::open().await;
    let ins = "1.2.250.1.213.1.4.8|279035121518989".parse().unwrap();
    let bundle = Document::discharge_letter_of(ins).bundle();
    desk.refuses(Sent::bundle(&bundle), 422, "ins-domain", "Bundle.entry[1].resource.subject").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ins_of_an_obsolete_authority_is_refused() {
    let desk = Desk::open().await;
    for oid in ["1.2.250.1.213.1.4.2", "1.2.250.1.213.1.4.1", "1.2.3.4"] {
        let bundle = of_patient(oid, "279035121518989");
        desk.refuses(Sent::bundle(&bundle), 422, "ins-domain", "Bundle.entry[1].resource.subject.identifier").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_without_an_ins_is_refused() {
    let desk = Desk::open().await;
    let bundle = with_subjects(&json!({ "reference": "Patient/42" }));
    desk.refuses(Sent::bundle(&bundle), 422, "ins-missing", "Bundle.entry[1].resource.subject").await;
    let scan = Document::scan().bundle_with(|bundle| {
        bundle["entry"][1]["resource"].as_object_mut().unwrap().remove("subject");
    });
    desk.refuses(Sent::bundle(&scan), 422, "ins-missing", "Bundle.entry[1].resource.subject").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_another_patient_than_its_metadata_is_refused() {
    let desk = Desk::open().await;
    let other = Document::discharge_letter_of(OTHER_PATIENT.parse().unwrap());
    let bundle = Document::discharge_letter().with_content(other.content).bundle();
    let place = "Bundle.entry[1].resource: ClinicalDocument/recordTarget/patientRole/id";
    let answer = desk.send(Sent::bundle(&bundle)).await;
    assert!(answer.rules().contains(&"patient-mismatch".to_owned()), "{}", answer.text());
    let mut bundle = bundle;
    bundle["entry"][1]["resource"].as_object_mut().unwrap().remove("masterIdentifier");
    desk.refuses(Sent::bundle(&bundle), 422, "patient-mismatch", place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_set_of_another_patient_than_its_document_is_refused() {
    let desk = Desk::open().await;
    let bundle = Document::discharge_letter().bundle_with(|bundle| {
        bundle["entry"][0]["resource"]["subject"]["identifier"]["value"] = "277076322082910".into();
    });
    desk.refuses(Sent::bundle(&bundle), 422, "patient-mismatch", "Bundle.entry[0].resource.subject").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ins_in_the_place_of_another_value_is_not_told_in_full() {
    let desk = Desk::open().await;
    let bundle = Document::scan().bundle_with(|bundle| {
        bundle["entry"][1]["resource"]["masterIdentifier"]["value"] = "279035121518989".into();
    });
    let place = "Bundle.entry[1].resource.masterIdentifier.value";
    desk.refuses(Sent::bundle(&bundle), 422, "unique-id-form", place).await;
    let bundle = Document::discharge_letter().bundle_with(|bundle| {
        bundle["entry"][1]["request"]["url"] = "Patient?identifier=urn:oid:1.2.250.1.213.1.4.10|279035121518989".into();
    });
    desk.refuses(Sent::bundle(&bundle), 422, "bundle-entry", "Bundle.entry[1].request.url").await;
}

/// The bundle of a patient who is named like this everywhere.
fn of_patient(oid: &str, matricule: &str) -> Value {
    with_subjects(&json!({ "identifier": { "system": format!("urn:oid:{oid}"), "value": matricule } }))
}

fn with_subjects(subject: &Value) -> Value {
    Document::discharge_letter().bundle_with(|bundle| {
        for entry in 0..2 {
            bundle["entry"][entry]["resource"]["subject"] = subject.clone();
        }
    })
}
