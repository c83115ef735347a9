//! The deposits published as examples of PDSm and of PDSm for the DMP: what becomes of each, as it is and mended.
//!
//! As they are, with a patient whom we know, they are refused: their documents are a few bytes of text, their sizes
//! and hashes are of something else, and they point to people and documents of a server that nobody has. With these
//! replaced, and nothing else, they are accepted. They are other people's work: read from `../shared/corpus/mhd`
//! (or `CARNET_SHARED`), skipped without it.

use std::path::PathBuf;

use carnet::cli::specimen::Specimen;
use carnet::domain::ids::UniqueId;
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use crate::support::document::new_unique_id;
use crate::support::gateway::patient;
use crate::support::{Desk, Document, Sent};

/// File, and every rule that it breaks as published but for its patient.
const DEPOSITS: [(&str, &[&str]); 6] = [
    ("pdsm4dmp/Bundle-example-td2-iti65-lot-soumission.json", &["cda-header"]),
    ("pdsm4dmp/Bundle-example-td2-1-remplacement.json", &["replace-target"]),
    ("pdsm4dmp/DocumentReference-example-td2-iti105-publication-simplifiee.json", &["cda-header"]),
    ("pdsm-3.1.1/DocumentReference-PDSmSimplifiedExample.json", &["unique-id-form", "reference-unresolved"]),
    (
        "pdsm-next-iti65-replace/DocumentReference-PDSmSimplifiedExample.json",
        &["unique-id-form", "reference-unresolved"],
    ),
    ("pdsm-next-iti65-replace/Bundle-bundle-exemple-comprehensiveprovidedocument-replace.json", &["replace-target"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_published_deposit_is_refused_for_what_is_wrong_with_it() {
    let Some(examples) = examples() else {
        eprintln!("skipped: no corpus of MHD examples here");
        return;
    };
    let desk = Desk::open().await;
    for ((name, rules), mut message) in DEPOSITS.iter().zip(examples) {
        with_our_patient(&mut message);
        let answer = desk.send(sent(&message)).await;
        assert!(answer.status.is_client_error(), "{name}: {}", answer.text());
        let mut broken = answer.rules();
        broken.dedup();
        assert_eq!(broken, *rules, "{name}: {}", answer.text());
    }
    desk.is_well_with(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_published_deposit_is_accepted_once_its_document_is_one() {
    let Some(examples) = examples() else {
        eprintln!("skipped: no corpus of MHD examples here");
        return;
    };
    let desk = Desk::open().await;
    for ((name, _), mut message) in DEPOSITS.iter().zip(examples) {
        let older = desk.hospital.deposited(&Document::discharge_letter()).await;
        with_our_patient(&mut message);
        mend(&mut message, &older);
        let answer = desk.send(sent(&message)).await;
        assert!(answer.status.is_success(), "{name}: {}", answer.text());
    }
    // Two of them replace.
    assert_eq!(desk.hospital.found("&status=superseded").await.len(), 2);
    assert_eq!(desk.hospital.found("&status=current").await.len(), 2 * DEPOSITS.len() - 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_answer_or_search_result_is_no_deposit() {
    let Some(folder) = corpus() else {
        eprintln!("skipped: no corpus of MHD examples here");
        return;
    };
    let desk = Desk::open().await;
    for name in [
        "pdsm-3.1.1/Bundle-a9c10f8a-882d-4000-a280-7150e0aeb478.json",
        "pdsm4dmp/Bundle-example-annexe-searchset-documentreferences.json",
        "pdsm4dmp/Bundle-example-annexe-fhir-document.json",
    ] {
        let answer = desk.send(Sent::json(std::fs::read(folder.join(name)).expect("example"))).await;
        assert!(answer.status.is_client_error(), "{name}: {}", answer.text());
    }
    desk.is_well_with(0).await;
}

fn sent(message: &Value) -> Sent {
    if message["resourceType"] == "Bundle" { Sent::bundle(message) } else { Sent::publish(message) }
}

/// Puts the tests' patient in the place of the imaginary one, however they are named.
fn with_our_patient(message: &mut Value) {
    let ours = format!("Patient?identifier=urn:oid:{}|{}", patient().authority().oid(), patient().matricule());
    each_value(message, &mut |value| {
        let Some(text) = value.as_str() else { return };
        let replaced = match text {
            "Patient/fr-patient-123" => ours.clone(),
            _ if text.starts_with("Patient?identifier=") => ours.clone(),
            "123456789012345" => patient().matricule().to_owned(),
            "urn:oid:1.2.250.1.213.1.4.8" => format!("urn:oid:{}", patient().authority().oid()),
            _ => return,
        };
        *value = replaced.into();
    });
}

/// Gives the message a document that is one, people who have a number, and an older document that is there.
fn mend(message: &mut Value, older: &str) {
    let unique_id = new_unique_id();
    let is_pdf = message.to_string().contains("application/pdf");
    let content = if is_pdf { b"%PDF-1.4\n%%EOF\n".to_vec() } else { consultation(&unique_id) };
    each_value(message, &mut |value| {
        let Value::Object(members) = value else {
            if value
                .as_str()
                .is_some_and(|text| ["DocumentReference/doc-old", "DocumentReference/doc-x-id"].contains(&text))
            {
                *value = format!("DocumentReference/{older}").into();
            }
            return;
        };
        if members.contains_key("masterIdentifier") {
            members["masterIdentifier"]["value"] = unique_id.to_urn().into();
        }
        if members.contains_key("data") {
            members["data"] = base64_simd::STANDARD.encode_to_string(&content).into();
        }
        if members.contains_key("hash") {
            members["hash"] = base64_simd::STANDARD.encode_to_string(Sha1::digest(&content)).into();
            members["size"] = content.len().into();
        }
        for (reference, system, number) in [
            ("PractitionerRole/practitionerrole-example", "urn:oid:1.2.250.1.71.4.2.1", "899700218896"),
            ("Organization/org-example", "urn:oid:1.2.250.1.71.4.2.2", "1350000899"),
        ] {
            if members.get("reference").is_some_and(|found| found == reference) {
                members.insert("identifier".to_owned(), json!({ "system": system, "value": number }));
            }
        }
    });
}

/// A consultation of the tests' patient: what the examples of the DMP say that they deposit.
fn consultation(unique_id: &UniqueId) -> Vec<u8> {
    let UniqueId::Oid(oid) = unique_id else { panic!("a new OID") };
    Specimen::cr_consultation_n1().for_patient(&patient()).with_id(oid).build()
}

fn each_value(value: &mut Value, change: &mut impl FnMut(&mut Value)) {
    change(value);
    match value {
        Value::Object(members) => members.values_mut().for_each(|member| each_value(member, change)),
        Value::Array(items) => items.iter_mut().for_each(|item| each_value(item, change)),
        _ => {}
    }
}

fn examples() -> Option<Vec<Value>> {
    let folder = corpus()?;
    let read = |name: &str| serde_json::from_slice(&std::fs::read(folder.join(name)).expect("example")).expect("JSON");
    Some(DEPOSITS.iter().map(|(name, _)| read(name)).collect())
}

fn corpus() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("CARNET_SHARED").map_or(beside, PathBuf::from);
    let folder = shared.join("corpus/mhd");
    folder.is_dir().then_some(folder)
}
