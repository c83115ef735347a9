//! The patient's list is set by `Consent`: what says something else than one line of it is refused.

use carnet::cli::message::{consent, provision_for, provision_mask};
use http::Method;
use serde_json::{Value, json};

use crate::support::desk::is_a_refusal;
use crate::support::gateway::patient;
use crate::support::{Desk, Sent};

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_that_says_nothing_or_too_much_is_refused() {
    let desk = Desk::open().await;
    for (pointer, value, place) in [
        ("/status", json!("draft"), "Consent.status"),
        ("/scope", json!({ "coding": [{ "code": "treatment" }] }), "Consent.scope"),
        ("/provision/type", Value::Null, "Consent.provision.type"),
        ("/provision/action", json!([{ "text": "lire" }]), "Consent.provision"),
        (
            "/provision/data",
            json!([{ "meaning": "instance", "reference": { "reference": "Binary/1" } }]),
            "Consent.provision",
        ),
        ("/provision/provision", json!([{ "type": "deny" }]), "Consent.provision"),
    ] {
        desk.refuses(set(&changed(pointer, value)), 422, "consent-form", place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_without_a_patient_or_for_a_wrong_ins_is_refused() {
    let desk = Desk::open().await;
    let elsewhere = changed("/patient", json!({ "reference": "Patient/1" }));
    desk.refuses(set(&elsewhere), 422, "ins-missing", "Consent.patient").await;
    let wrong_key = changed("/patient/identifier/value", json!("279035121518988"));
    desk.refuses(set(&wrong_key), 422, "ins-key", "Consent.patient.identifier").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_that_is_no_fhir_is_refused() {
    let desk = Desk::open().await;
    desk.refuses(set(&changed("/couleur", json!(1))), 400, "fhir-unknown-element", "Consent.couleur").await;
    desk.refuses(set(&changed("/status", json!(1))), 400, "fhir-structure", "Consent.status").await;
    desk.refuses(set(&json!({ "resourceType": "Patient" })), 400, "fhir-structure", "resourceType").await;
    desk.refuses(Sent::post("/Consent", "application/fhir+json", "{"), 400, "json-syntax", "line 1, column 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mask_on_a_document_that_is_not_there_is_not_found() {
    let desk = Desk::open().await;
    let mask = consent(&patient(), &provision_mask("00000000-0000-7000-8000-000000000000"));
    let answer = desk.gateway.portal().post_json("/Consent", &mask).await;
    is_a_refusal(&answer, 404, "not-found", "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_line_that_is_not_there_is_not_found() {
    let desk = Desk::open().await;
    let (portal, text) = (desk.gateway.portal(), authorisation().to_string());
    for id in ["x", "00000000-0000-7000-8000-000000000000"] {
        let headers = [("content-type", "application/fhir+json")];
        let answer = portal.send(Method::PUT, &format!("/Consent/{id}"), &headers, text.clone()).await;
        is_a_refusal(&answer, 404, "not-found", "");
    }
}

fn set(consent: &Value) -> Sent {
    Sent::post("/Consent", "application/fhir+json", consent.to_string())
}

fn authorisation() -> Value {
    consent(&patient(), &provision_for("permit", &"810000000011".parse().unwrap()))
}

/// A good authorisation with one value changed, or left out.
fn changed(pointer: &str, value: Value) -> Value {
    let mut consent = authorisation();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let members = consent.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    members.remove(key);
    if !value.is_null() {
        members.insert(key.to_owned(), value);
    }
    consent
}
