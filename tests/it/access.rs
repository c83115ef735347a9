//! The patient's list decides who reads: blocks, masks, authorisations, and no way to tell hidden from absent.

use http::{Method, StatusCode};

use super::support::{Document, TestGateway};

const MARTIN: &str = "810000000011";
const BERNARD: &str = "810000000029";
const ABSENT: &str = "00000000-0000-7000-8000-000000000000";

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_without_authorisation_consults_nothing() {
    let gateway = TestGateway::start().await;
    let id = gateway.hospital().deposited(&Document::discharge_letter()).await;
    let doctor = gateway.doctor(MARTIN);
    let answer = doctor.search("").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.rule(), "access-denied");
    assert_eq!(doctor.get(&format!("/Binary/{id}")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorised_doctor_finds_and_reads() {
    let gateway = TestGateway::start().await;
    let letter = Document::discharge_letter();
    let id = gateway.hospital().deposited(&letter).await;
    let doctor = gateway.authorised_doctor(MARTIN).await;
    assert_eq!(doctor.found("").await, std::slice::from_ref(&id));
    assert_eq!(doctor.get(&format!("/Binary/{id}")).await.body, letter.content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_holds_from_the_next_request_on_and_beats_every_purpose() {
    let gateway = TestGateway::start().await;
    let id = gateway.hospital().deposited(&Document::discharge_letter()).await;
    let doctor = gateway.authorised_doctor(BERNARD).await;
    assert_eq!(doctor.found("").await.len(), 1);
    gateway.portal().block(BERNARD).await;
    assert_eq!(doctor.search("").await.status, StatusCode::FORBIDDEN);
    assert_eq!(doctor.read_in_emergency(&id).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_doctor_may_still_deposit() {
    let gateway = TestGateway::start().await;
    let doctor = gateway.authorised_doctor(BERNARD).await;
    gateway.portal().block(BERNARD).await;
    doctor.deposited(&Document::discharge_letter()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_doctor_cannot_authorise_themselves_again() {
    let gateway = TestGateway::start().await;
    let doctor = gateway.authorised_doctor(BERNARD).await;
    gateway.portal().block(BERNARD).await;
    let permit = carnet::cli::message::provision_for("permit", &BERNARD.parse().unwrap());
    let consent = carnet::cli::message::consent(&super::support::gateway::patient(), &permit);
    assert_eq!(doctor.post_json("/Consent", &consent).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_document_is_nowhere_to_be_seen() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let masked = hospital.deposited(&Document::discharge_letter()).await;
    let shown = hospital.deposited(&Document::blood_test()).await;
    let doctor = gateway.authorised_doctor(MARTIN).await;
    gateway.portal().mask(&masked).await;
    assert_eq!(doctor.found("").await, [shown]);
    assert_eq!(doctor.search("").await.json()["total"], 1);
    for path in ["DocumentReference", "Binary"] {
        let hidden = doctor.get(&format!("/{path}/{masked}")).await;
        let absent = doctor.get(&format!("/{path}/{ABSENT}")).await;
        assert_eq!(hidden.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(hidden.without_id(), absent.without_id(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_document_stays_visible_to_its_depositor() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let id = hospital.deposited(&Document::discharge_letter()).await;
    gateway.portal().mask(&id).await;
    assert_eq!(hospital.found("").await, std::slice::from_ref(&id));
    let labels = hospital.get(&format!("/DocumentReference/{id}")).await.json()["securityLabel"].to_string();
    assert!(labels.contains("MASQUE_PS"), "{labels}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_a_profession_does_not_read_is_nowhere_to_be_seen() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let imaging = hospital.deposited(&Document::imaging_report()).await;
    let report = hospital.deposited(&Document::blood_test()).await;
    let technician = gateway.professional(MARTIN, 86, &[]);
    technician.declare_authorisation(&super::support::gateway::patient()).await;
    assert_eq!(technician.found("").await, std::slice::from_ref(&report));
    assert_eq!(technician.search("").await.json()["total"], 1);
    assert_eq!(technician.get(&format!("/Binary/{report}")).await.status, StatusCode::OK);
    for path in ["DocumentReference", "Binary"] {
        let hidden = technician.get(&format!("/{path}/{imaging}")).await;
        let absent = technician.get(&format!("/{path}/{ABSENT}")).await;
        assert_eq!(hidden.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(hidden.without_id(), absent.without_id(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profession_in_no_row_finds_and_reads_its_own_alone() {
    let gateway = TestGateway::start().await;
    gateway.hospital().deposited(&Document::discharge_letter()).await;
    let unknown = gateway.professional(MARTIN, 99, &[]);
    unknown.declare_authorisation(&super::support::gateway::patient()).await;
    assert!(unknown.found("").await.is_empty());
    let own = unknown.deposited(&Document::discharge_letter()).await;
    assert_eq!(unknown.found("").await, std::slice::from_ref(&own));
    assert_eq!(unknown.get(&format!("/Binary/{own}")).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_habilitation_matrix_decides_in_place_of_the_sample() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("habilitation.toml");
    let sample = include_str!("../../profiles/habilitation.toml");
    let cells = "| Technicien de laboratoire                   | ●  | -  | -  |";
    assert!(sample.contains(cells));
    std::fs::write(&file, sample.replace(cells, "| Technicien de laboratoire                   | -  | -  | ●  |"))
        .unwrap();
    let gateway = TestGateway::builder().configured(|config| config.dmp.habilitation_matrix = file).start().await;
    let hospital = gateway.hospital();
    let imaging = hospital.deposited(&Document::imaging_report()).await;
    hospital.deposited(&Document::blood_test()).await;
    let technician = gateway.professional(MARTIN, 86, &[]);
    technician.declare_authorisation(&super::support::gateway::patient()).await;
    assert_eq!(technician.found("").await, [imaging]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_of_a_masked_document_does_not_tell_of_it() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let old = hospital.deposited(&Document::discharge_letter()).await;
    let new = hospital.deposited(&Document::discharge_letter().replacing(&old)).await;
    let doctor = gateway.authorised_doctor(MARTIN).await;
    gateway.portal().mask(&old).await;
    let text = doctor.get(&format!("/DocumentReference/{new}")).await.text();
    assert!(!text.contains(&old), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_structure_finds_its_own_documents_only() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let own = hospital.deposited(&Document::discharge_letter()).await;
    let path = format!("/DocumentReference/{own}");
    assert_eq!(hospital.get(&path).await.status, StatusCode::OK);
    let laboratory = gateway.laboratory();
    assert!(laboratory.found("").await.is_empty());
    assert_eq!(laboratory.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_structure_reads_no_document_not_even_its_own_and_is_told_so_whether_it_exists_or_not() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let own = hospital.deposited(&Document::discharge_letter()).await;
    for id in [own.as_str(), ABSENT] {
        let lines = gateway.journal_lines().await;
        let answer = hospital.get(&format!("/Binary/{id}")).await;
        assert_eq!((answer.status, answer.rule().as_str()), (StatusCode::FORBIDDEN, "mode-refused"), "{id}");
        assert_eq!(gateway.journal_lines().await, lines + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insurer_is_refused_whatever_it_asks() {
    let gateway = TestGateway::start().await;
    let insurer = gateway.insurer();
    for answer in [insurer.search("").await, insurer.deposit(&Document::discharge_letter()).await] {
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.rule(), "actor-refused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bris_de_glace_needs_a_reason_and_opens_an_unauthorised_record() {
    let gateway = TestGateway::start().await;
    let id = gateway.hospital().deposited(&Document::discharge_letter()).await;
    let doctor = gateway.doctor(MARTIN);
    let path = format!("/Binary/{id}");
    let without = doctor.send(Method::GET, &path, &[("x-purpose-of-use", "bris_de_glace")], "").await;
    assert_eq!(without.status, StatusCode::BAD_REQUEST);
    let headers = [("x-purpose-of-use", "bris_de_glace"), ("x-access-reason", "patient inconscient")];
    assert_eq!(doctor.send(Method::GET, &path, &headers, "").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_record_and_no_right_are_one_answer() {
    let gateway = TestGateway::start().await;
    let doctor = gateway.doctor(MARTIN);
    let denied = doctor.search("").await;
    let stranger = "1.2.250.1.213.1.4.10|207058575627097".parse().unwrap();
    let unknown = doctor.get(&super::support::caller::search_path(&stranger, "")).await;
    assert_eq!(denied.status, unknown.status);
    assert_eq!(denied.without_id(), unknown.without_id());
}
