//! The patient's list decides who reads: blocks, masks, authorisations, and no way to tell hidden from absent.

use super::support::caller::search_path;
use http::{Method, StatusCode};

use super::support::gateway::{OTHER_PATIENT, patient};
use super::support::{Document, TestGateway, document};

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
    let consent = carnet::cli::message::consent(&patient(), &permit);
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
    technician.declare_authorisation(&patient()).await;
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
    unknown.declare_authorisation(&patient()).await;
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
    technician.declare_authorisation(&patient()).await;
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

/// Two gateways on one database, as replicas are.
async fn replicas() -> [TestGateway; 2] {
    let one = TestGateway::start().await;
    let database = one.gateway().config.store.database.clone();
    let other = TestGateway::builder().configured(|config| config.store.database = database).start().await;
    [one, other]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_rights_holds_on_the_next_request_through_another_gateway() {
    let [one, other] = replicas().await;
    let id = one.hospital().deposited(&Document::discharge_letter()).await;
    for (near, far, ps) in [(&one, &other, MARTIN), (&other, &one, BERNARD)] {
        let (here, there) = (near.doctor(ps), far.doctor(ps));
        assert_eq!(there.search("").await.rule(), "access-denied");
        here.declare_authorisation(&patient()).await;
        assert_eq!(there.found("").await, std::slice::from_ref(&id));
        near.portal().mask(&id).await;
        assert!(there.found("").await.is_empty());
        assert_eq!(there.get(&format!("/Binary/{id}")).await.status, StatusCode::NOT_FOUND);
        near.portal().unmask(&id).await;
        assert_eq!(there.get(&format!("/Binary/{id}")).await.status, StatusCode::OK);
        near.portal().block(ps).await;
        assert_eq!(there.search("").await.rule(), "access-denied");
        assert_eq!(there.read_in_emergency(&id).await.status, StatusCode::NOT_FOUND);
        assert_eq!(here.search("").await.rule(), "access-denied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unblocking_does_not_bring_the_authorisation_back() {
    let [one, other] = replicas().await;
    one.hospital().deposited(&Document::discharge_letter()).await;
    let doctor = one.authorised_doctor(BERNARD).await;
    one.portal().block(BERNARD).await;
    other.portal().unblock(BERNARD).await;
    assert_eq!(doctor.search("").await.rule(), "access-denied");
    let holder = one.portal().on_behalf_of(&patient(), "patient");
    let history = holder.get(&search_path(&patient(), "").replace("DocumentReference", "AuditEvent")).await.text();
    let told = format!("a bloqué l’accès de {BERNARD}, a mis fin à l’autorisation de {BERNARD}");
    assert!(history.contains(&told), "{history}");
    doctor.declare_authorisation(&patient()).await;
    assert_eq!(doctor.found("").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_names_a_hidden_document_is_refused_as_one_that_names_none() {
    let gateway = TestGateway::start().await;
    let hidden = Document::discharge_letter();
    let id = gateway.hospital().deposited(&hidden).await;
    gateway.portal().mask(&id).await;
    let entry = gateway.hospital().get(&format!("/DocumentReference/{id}")).await.json();
    let entry = entry["identifier"][1]["value"].as_str().expect("an entryUUID").to_owned();
    let names = [
        (format!("DocumentReference/{id}"), format!("DocumentReference/{ABSENT}")),
        (entry, format!("urn:uuid:{ABSENT}")),
        (hidden.unique_id.to_urn(), document::new_unique_id().to_urn()),
    ];
    let doctor = gateway.authorised_doctor(MARTIN).await;
    for caller in [&gateway.laboratory(), &doctor] {
        for (hidden, absent) in &names {
            for kind in ["replaces", "appends", "transforms", "signs"] {
                let refused = async |name: &str| {
                    let bundle = Document::blood_test().bundle_with(|bundle| {
                        let target = serde_json::json!({ "reference": name });
                        let relation = serde_json::json!([{ "code": kind, "target": target }]);
                        bundle["entry"][1]["resource"]["relatesTo"] = relation;
                    });
                    let answer = caller.post_json("", &bundle).await;
                    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name} {kind}: {}", answer.text());
                    assert_eq!(answer.rule(), "replace-target");
                    answer.without_id()
                };
                assert_eq!(refused(hidden).await, refused(absent).await, "{kind}");
            }
        }
    }
    assert_eq!(gateway.hospital().found("").await, [id], "nothing was stored, and the document is in force");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_do_not_shift_where_hidden_documents_stand_between() {
    let gateway = TestGateway::start().await;
    let (hospital, doctor) = (gateway.hospital(), gateway.authorised_doctor(MARTIN).await);
    let mut shown = Vec::new();
    for _ in 0..4 {
        shown.push(hospital.deposited(&Document::discharge_letter()).await);
        let hidden = hospital.deposited(&Document::discharge_letter()).await;
        gateway.portal().mask(&hidden).await;
    }
    shown.reverse();
    for (page, expected) in shown.chunks(2).enumerate() {
        let answer = doctor.search(&format!("&_count=2&_page={}", 2 * page)).await;
        assert_eq!((answer.json()["total"].as_u64(), answer.entry_ids()), (Some(4), expected.to_vec()));
        let next = answer.text().contains("\"relation\":\"next\"");
        assert_eq!(next, page == 0);
    }
    assert!(doctor.found("&_count=2&_page=4").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hidden_document_replaced_is_in_force_as_it_was() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let old = hospital.deposited(&Document::blood_test()).await;
    // Of a class that her profession does not read is the new one: no label hides it, so none hides the old one.
    let technician = gateway.professional(MARTIN, 86, &[]);
    technician.declare_authorisation(&patient()).await;
    let path = format!("/DocumentReference/{old}");
    let before = technician.get(&path).await.json();
    let new = hospital.deposited(&Document::imaging_report().replacing(&old)).await;

    assert_eq!(technician.get(&path).await.json(), before);
    assert_eq!(technician.found("").await, std::slice::from_ref(&old));
    assert!(technician.found("&status=superseded").await.is_empty());
    assert_eq!(hospital.found("").await, std::slice::from_ref(&new));
    assert_eq!(hospital.found("&status=superseded").await, [old]);
}

/// Its sender holds the document, for nobody else knows its id: that it was deposited is told, not whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_taken_unique_id_is_refused_in_the_same_words_whosever_document_bears_it() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let (hidden, shown) = (Document::discharge_letter(), Document::discharge_letter());
    let stranger = Document::discharge_letter_of(OTHER_PATIENT.parse().unwrap());
    for document in [&hidden, &shown, &stranger] {
        hospital.deposited(document).await;
    }
    let doctor = gateway.authorised_doctor(MARTIN).await;
    let id = doctor.get(&format!("/DocumentReference?identifier={}", hidden.unique_id.to_urn())).await.entry_ids();
    gateway.portal().mask(&id[0]).await;
    let mut answers = Vec::new();
    for taken in [&hidden, &shown, &stranger] {
        let mut again = Document::scan().bundle();
        again["entry"][1]["resource"]["masterIdentifier"]["value"] = taken.unique_id.to_urn().into();
        let answer = doctor.post_json("", &again).await;
        assert_eq!((answer.status, answer.rule().as_str()), (StatusCode::CONFLICT, "duplicate-unique-id"));
        answers.push(answer.without_id().to_string().replace(&taken.unique_id.to_string(), "the id"));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

/// A search by identifier names one document: nobody can put another behind its id.
#[tokio::test(flavor = "multi_thread")]
async fn a_unique_id_that_is_the_id_of_another_document_is_taken() {
    let gateway = TestGateway::start().await;
    let id = gateway.hospital().deposited(&Document::discharge_letter()).await;
    let mut bundle = Document::scan().bundle();
    bundle["entry"][1]["resource"]["masterIdentifier"]["value"] = format!("urn:uuid:{id}").into();
    let answer = gateway.laboratory().post_json("", &bundle).await;
    assert_eq!((answer.status, answer.rule().as_str()), (StatusCode::CONFLICT, "duplicate-unique-id"));
}
