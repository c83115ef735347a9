//! Searching and reading: ITI-67, ITI-68, TD0.2, paging, ranges, negotiation.

use http::{Method, StatusCode};

use super::support::caller::search_path;
use super::support::gateway::patient;
use super::support::{Document, TestGateway};

const MARTIN: &str = "810000000011";

#[tokio::test(flavor = "multi_thread")]
async fn a_search_filters_by_type_and_tells_the_total() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    hospital.deposited(&Document::discharge_letter()).await;
    let blood_test = hospital.deposited(&Document::blood_test()).await;
    let answer = hospital.search("&type=http://loinc.org%7C11502-2").await.json();
    assert_eq!(answer["total"], 1);
    assert_eq!(answer["entry"][0]["resource"]["id"], blood_test);
    assert_eq!(hospital.found("&type=11502-2,11490-0").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_their_links_without_repeating_or_skipping() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let mut deposited = Vec::new();
    for _ in 0..5 {
        deposited.push(hospital.deposited(&Document::blood_test()).await);
    }
    let mut seen = Vec::new();
    let mut path = search_path(&patient(), "&_count=2");
    loop {
        let answer = hospital.get(&path).await;
        let body = answer.json();
        assert_eq!(body["total"], 5);
        seen.extend(answer.entry_ids());
        let next = body["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next");
        let Some(next) = next else { break };
        path = next["url"].as_str().unwrap().strip_prefix(&gateway.base()).expect("own URL").to_owned();
    }
    seen.sort();
    deposited.sort();
    assert_eq!(seen, deposited);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_posted_to_search_finds_the_same() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let id = hospital.deposited(&Document::blood_test()).await;
    let form = format!("patient.identifier=urn:oid:{}%7C{}", patient().authority().oid(), patient().matricule());
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let answer = hospital.send(Method::POST, "/DocumentReference/_search", &headers, form).await;
    assert_eq!(answer.entry_ids(), [id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_unique_id_is_found_without_naming_the_patient() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let document = Document::discharge_letter();
    let id = hospital.deposited(&document).await;
    let path = format!("/DocumentReference?identifier={}", document.unique_id.to_urn());
    assert_eq!(hospital.get(&path).await.entry_ids(), [id]);
    assert_eq!(gateway.laboratory().get(&path).await.json()["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_etags_and_head_work_on_documents() {
    let gateway = TestGateway::start().await;
    let document = Document::blood_test();
    let path = format!("/Binary/{}", gateway.hospital().deposited(&document).await);
    let doctor = gateway.authorised_doctor(MARTIN).await;
    let part = doctor.send(Method::GET, &path, &[("range", "bytes=10-19")], "").await;
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.body, document.content[10..20]);
    assert_eq!(part.headers["content-range"], format!("bytes 10-19/{}", document.content.len()));
    let beyond = doctor.send(Method::GET, &path, &[("range", "bytes=99999999-")], "").await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    let etag = part.headers["etag"].to_str().unwrap().to_owned();
    let unchanged = doctor.send(Method::GET, &path, &[("if-none-match", &etag)], "").await;
    assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED);
    let head = doctor.send(Method::HEAD, &path, &[], "").await;
    assert!(head.body.is_empty());
    assert_eq!(head.headers["content-length"], document.content.len().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_comes_as_a_fhir_binary_when_asked() {
    let gateway = TestGateway::start().await;
    let document = Document::blood_test();
    let path = format!("/Binary/{}", gateway.hospital().deposited(&document).await);
    let doctor = gateway.authorised_doctor(MARTIN).await;
    let binary = doctor.send(Method::GET, &path, &[("accept", "application/fhir+json")], "").await.json();
    assert_eq!(binary["resourceType"], "Binary");
    let bytes = base64_simd::STANDARD.decode_to_vec(binary["data"].as_str().unwrap()).unwrap();
    assert_eq!(bytes, document.content);
}

#[tokio::test(flavor = "multi_thread")]
async fn xml_is_spoken_both_ways() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let id = hospital.deposited(&Document::blood_test()).await;
    let path = search_path(&patient(), "");
    let answer = hospital.send(Method::GET, &path, &[("accept", "application/fhir+xml")], "").await;
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("application/fhir+xml"));
    assert!(answer.text().contains("<Bundle xmlns=\"http://hl7.org/fhir\">"), "{}", answer.text());
    assert!(answer.text().contains(&format!("<id value=\"{id}\"")), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn existence_tells_state_and_authorisation_and_nothing_of_who_the_patient_is() {
    let gateway = TestGateway::start().await;
    let doctor = gateway.doctor(MARTIN);
    let path = format!("/Patient?identifier=urn:oid:{}%7C{}", patient().authority().oid(), patient().matricule());
    let before = doctor.get(&path).await.json();
    assert_eq!(before["total"], 1);
    let resource = &before["entry"][0]["resource"];
    assert_eq!(resource["active"], true);
    assert!(resource["name"].is_null() && resource["birthDate"].is_null(), "{resource}");
    let stranger = format!("/Patient?identifier=urn:oid:{}%7C207058575627097", patient().authority().oid());
    assert_eq!(doctor.get(&stranger).await.json()["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_leaves_one_line_that_names_what_was_disclosed() {
    let gateway = TestGateway::start().await;
    let id = gateway.hospital().deposited(&Document::blood_test()).await;
    let doctor = gateway.authorised_doctor(MARTIN).await;
    let before = gateway.journal_lines().await;
    doctor.get(&format!("/Binary/{id}")).await;
    let lines = gateway.gateway().list_journal(Some(&patient()), 0, u32::MAX).await.unwrap();
    assert_eq!(gateway.journal_lines().await, before + 1);
    assert_eq!(lines.last().unwrap().1.entries[0].document, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_leaves_one_line_too() {
    let gateway = TestGateway::start().await;
    let doctor = gateway.doctor(MARTIN);
    for path in ["Binary", "DocumentReference", "Consent"] {
        let before = gateway.journal_lines().await;
        let answer = doctor.get(&format!("/{path}/00000000-0000-7000-8000-000000000000")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(gateway.journal_lines().await, before + 1, "{path}");
    }
}
