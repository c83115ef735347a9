//! Deposits: ITI-65, ITI-105, replacement, resending.

use http::StatusCode;
use serde_json::json;

use super::support::gateway::OTHER_PATIENT;
use super::support::{Document, TestGateway};

#[tokio::test(flavor = "multi_thread")]
async fn a_discharge_letter_goes_in_and_comes_out_bit_for_bit() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let letter = Document::discharge_letter();
    let id = hospital.deposited(&letter).await;
    let read = gateway.doctor("810000000011").read_in_emergency(&id).await;
    assert_eq!(read.status, StatusCode::OK);
    assert_eq!(read.body, letter.content);
    assert_eq!(read.headers["content-type"], "text/xml");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_has_one_entry_for_each_of_the_request_in_its_order() {
    let gateway = TestGateway::start().await;
    let answer = gateway.hospital().deposit(&Document::blood_test()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["type"], "transaction-response");
    let kinds: Vec<_> = body["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            assert!(entry["response"]["status"].as_str().unwrap().starts_with("201"), "{entry}");
            let location = entry["response"]["location"].as_str().unwrap();
            ["List", "DocumentReference", "Binary"].into_iter().find(|kind| location.contains(kind)).unwrap()
        })
        .collect();
    assert_eq!(kinds, ["List", "DocumentReference", "Binary"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simplified_publish_is_completed_from_the_header() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let answer = hospital.post_json("/DocumentReference", &Document::blood_test().simplified()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    let resource = answer.json();
    assert_eq!(resource["category"][0]["coding"][0]["code"], "10");
    for path in ["facilityType", "practiceSetting", "period"] {
        assert!(!resource["context"][path].is_null(), "{path}: {resource}");
    }
    let id = resource["id"].as_str().unwrap();
    assert!(answer.headers["location"].to_str().unwrap().contains(&format!("DocumentReference/{id}")));
    assert_eq!(resource["meta"]["versionId"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_class_comes_from_the_type_never_from_the_client() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let bundle = Document::discharge_letter().bundle_with(|bundle| {
        bundle["entry"][1]["resource"]["category"] =
            json!([{ "coding": [{ "system": "urn:oid:1.2.250.1.213.1.1.4.1", "code": "90" }] }]);
    });
    let id = hospital.post_json("", &bundle).await.created_document().unwrap();
    let resource = hospital.get(&format!("/DocumentReference/{id}")).await.json();
    assert_eq!(resource["category"][0]["coding"][0]["code"], "10");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_submission_again_gets_the_same_answer_and_stores_nothing() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let letter = Document::discharge_letter();
    let first = hospital.deposit(&letter).await;
    let again = hospital.deposit(&letter).await;
    assert_eq!(first.status, again.status);
    assert_eq!(first.without_id(), again.without_id());
    assert_eq!(hospital.found("").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_id_with_other_bytes_is_refused() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let letter = Document::discharge_letter();
    hospital.deposited(&letter).await;
    let mut other = letter.content.clone();
    other.extend_from_slice(b"<!-- changed -->");
    let answer = hospital.deposit(&letter.with_content(other)).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text());
    assert_eq!(answer.rule(), "duplicate-unique-id");
    assert_eq!(hospital.found("").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_supersedes_the_old_document_in_the_same_commit() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let old = hospital.deposited(&Document::discharge_letter()).await;
    let new = hospital.deposited(&Document::discharge_letter().replacing(&old)).await;
    assert_eq!(hospital.found("&status=current").await, std::slice::from_ref(&new));
    assert_eq!(hospital.found("&status=superseded").await, std::slice::from_ref(&old));
    let resource = hospital.get(&format!("/DocumentReference/{new}")).await.json();
    assert_eq!(resource["relatesTo"][0]["code"], "replaces");
    assert!(resource["relatesTo"][0]["target"]["reference"].as_str().unwrap().ends_with(&old));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_corrections_in_a_row_work_and_an_old_one_cannot_be_replaced_twice() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let first = hospital.deposited(&Document::blood_test()).await;
    let second = hospital.deposited(&Document::blood_test().replacing(&first)).await;
    let third = hospital.deposited(&Document::blood_test().replacing(&second)).await;
    assert_eq!(hospital.found("&status=current").await, [third]);
    let answer = hospital.deposit(&Document::blood_test().replacing(&first)).await;
    assert_eq!(answer.rule(), "replace-target");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_of_somebody_elses_document_is_refused_like_one_of_a_document_that_is_not_there() {
    let gateway = TestGateway::start().await;
    let theirs = gateway.hospital().deposited(&Document::discharge_letter()).await;
    let laboratory = gateway.laboratory();
    let hidden = laboratory.deposit(&Document::blood_test().replacing(&theirs)).await;
    let absent = laboratory.deposit(&Document::blood_test().replacing("00000000-0000-7000-8000-000000000000")).await;
    assert_eq!(hidden.status, absent.status);
    assert_eq!(hidden.without_id(), absent.without_id());
    assert_eq!(hidden.rule(), "replace-target");
    assert!(laboratory.found("").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_not_open_takes_nothing_in() {
    let gateway = TestGateway::start().await;
    let stranger = "1.2.250.1.213.1.4.10|207058575627097".parse().unwrap();
    let answer = gateway.hospital().deposit(&Document::discharge_letter_of(stranger)).await;
    assert_eq!(answer.rule(), "unknown-patient");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_for_one_patient_with_the_document_of_another_is_refused() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let other = Document::discharge_letter_of(OTHER_PATIENT.parse().unwrap());
    let answer = hospital.deposit(&Document::discharge_letter().with_content(other.content)).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer.rules().contains(&"patient-mismatch".to_owned()), "{}", answer.text());
    assert!(hospital.found("").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_deposit_and_each_refusal_leaves_one_journal_line() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let before = gateway.journal_lines().await;
    hospital.deposited(&Document::discharge_letter()).await;
    assert_eq!(gateway.journal_lines().await, before + 1);
    hospital.post_json("", &json!({ "resourceType": "Bundle", "type": "batch" })).await;
    assert_eq!(gateway.journal_lines().await, before + 2);
}
