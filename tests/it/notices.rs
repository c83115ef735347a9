//! Who is told of an emergency, once, whatever the mail server does. CSP L1111-17, R1111-48, R1111-53.

mod relay;

use std::sync::Arc;

use carnet::clock::Clock;
use carnet::config::Config;
use carnet::domain::confidentiality::VisibilityLabel;
use carnet::journal::event::Action;
use carnet::notice::Bell;
use carnet::notice::sender::{Round, Sender};
use carnet::operation::contact::ContactOf;
use carnet::operation::gateway::Gateway;
use carnet::operation::outcome::{ConsentProvision, ConsentRequest, ConsentState};
use http::{Method, StatusCode};
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

use super::crash;
use super::support::gateway::{OTHER_PATIENT, patient};
use super::support::mail_server::{MailServer, Taken, Trouble};
use super::support::{Caller, Document, TestGateway};

const MARTIN: &str = "810000000011";
const BERNARD: &str = "810000000029";
const ABSENT: &str = "00000000-0000-7000-8000-000000000000";
const PATIENTS_ADDRESS: &str = "patient@exemple.fr";
const MARTINS_ADDRESS: &str = "martin@medecin.exemple.fr";

const EMERGENCY: [(&str, &str); 2] = [("x-purpose-of-use", "bris_de_glace"), ("x-access-reason", "inconscient")];

/// A gateway whose own sender has no relay, so that a test sends by hand, with Dr Martin as médecin traitant.
async fn gateway() -> TestGateway {
    let gateway = TestGateway::start().await;
    name_medecin_traitant(&gateway, MARTIN).await;
    gateway
}

async fn name_medecin_traitant(gateway: &TestGateway, ps: &str) {
    let mut provision = carnet::cli::message::provision_for("permit", &ps.parse().unwrap());
    provision["actor"][0]["role"]["coding"][0]["code"] = "PCP".into();
    let consent = carnet::cli::message::consent(&patient(), &provision);
    let answer = gateway.portal().post_json("/Consent", &consent).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
}

async fn note_contacts(gateway: &TestGateway) {
    note_contact(gateway, ContactOf::Patient(patient()), PATIENTS_ADDRESS).await;
    note_contact(gateway, ContactOf::Professional(MARTIN.parse().unwrap()), MARTINS_ADDRESS).await;
}

async fn note_contact(gateway: &TestGateway, of: ContactOf, address: &str) {
    gateway.gateway().set_contact(of, Some(address.parse().unwrap())).await.unwrap();
}

/// A sender of that gateway's database, to that server, whose clock shows `at`.
fn sender_at(gateway: &TestGateway, server: &MailServer, at: Timestamp) -> Sender {
    let mut gateway = gateway.gateway().clone();
    gateway.clock = Clock::fixed(at);
    gateway.config = Arc::new(Config { mail: server.settings(), ..(*gateway.config).clone() });
    gateway.notice_sender().unwrap().0
}

fn sender(gateway: &TestGateway, server: &MailServer) -> Sender {
    sender_at(gateway, server, now())
}

fn now() -> Timestamp {
    Clock::System.now()
}

async fn empty(sender: &Sender) {
    while sender.round(&Bell::default()).await.unwrap() != Round::Idle {}
}

async fn search_in_emergency(doctor: &Caller) {
    let path = super::support::caller::search_path(&patient(), "");
    let answer = doctor.send(Method::GET, &path, &EMERGENCY, "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

/// Whom the journal says were told.
async fn told(gateway: &TestGateway) -> Vec<String> {
    told_by(gateway.gateway()).await
}

async fn told_by(gateway: &Gateway) -> Vec<String> {
    let lines = gateway.list_journal(Some(&patient()), 0, u32::MAX).await.unwrap();
    let actions =
        lines.iter().map(|(_, event)| serde_json::to_value(event).unwrap()["action"].as_str().unwrap().to_owned());
    let mut told: Vec<_> = actions.filter(|action| action.starts_with("notify_")).collect();
    told.sort();
    told
}

fn deposit_that_is_invisible_to_the_patient() -> Value {
    Document::discharge_letter().bundle_with(|bundle| {
        let code = json!({ "system": "urn:oid:1.2.250.1.213.1.1.4.13", "code": "INVISIBLE_PATIENT" });
        bundle["entry"][1]["resource"]["securityLabel"] = json!([{ "coding": [code] }]);
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consultation_in_emergency_is_told_once_to_the_patient_and_to_the_medecin_traitant() {
    let server = MailServer::start().await;
    let gateway = TestGateway::builder().configured(|config| config.mail = server.settings()).start().await;
    name_medecin_traitant(&gateway, MARTIN).await;
    note_contacts(&gateway).await;
    let id = gateway.hospital().deposited(&Document::discharge_letter()).await;
    let doctor = gateway.doctor(BERNARD);
    for _ in 0..5 {
        search_in_emergency(&doctor).await;
        assert_eq!(doctor.read_in_emergency(&id).await.status, StatusCode::OK);
    }
    server.has_taken(2).await;
    gateway.running.stop().await.unwrap();
    assert_eq!(server.acknowledged(), [MARTINS_ADDRESS, PATIENTS_ADDRESS]);
    for mail in server.taken() {
        let (all, body) = (format!("{} {}", mail.text, mail.body()), mail.body());
        assert!(body.contains("bris de glace") || body.contains("a déclaré une situation d'urgence"), "{body}");
        for secret in [patient().matricule(), BERNARD, MARTIN, "MARTIN", "Claire", "inconscient", "Lettre", &id] {
            assert!(!all.contains(secret), "{secret}: {all}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_was_taken_is_a_line_of_the_journal_and_holds_no_address() {
    let (gateway, server) = (gateway().await, MailServer::start().await);
    note_contacts(&gateway).await;
    search_in_emergency(&gateway.doctor(BERNARD)).await;
    assert!(told(&gateway).await.is_empty());
    empty(&sender(&gateway, &server)).await;
    assert_eq!(told(&gateway).await, ["notify_medecin_traitant", "notify_patient"]);
    let lines = gateway.gateway().list_journal(None, 0, u32::MAX).await.unwrap();
    assert!(!serde_json::to_string(&lines).unwrap().contains("exemple.fr"));
    assert_eq!(lines.iter().filter(|(_, event)| event.action.words() == "change of a contact").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_of_what_was_refused_or_needed_no_emergency() {
    let (gateway, server) = (gateway().await, MailServer::start().await);
    note_contacts(&gateway).await;
    let hospital = gateway.hospital();
    let (masked, shown) =
        (hospital.deposited(&Document::discharge_letter()).await, hospital.deposited(&Document::blood_test()).await);
    gateway.portal().mask(&masked).await;
    let doctor = gateway.doctor(BERNARD);
    assert_eq!(gateway.doctor(MARTIN).get(&format!("/Binary/{shown}")).await.status, StatusCode::OK);
    for nothing in [masked.as_str(), ABSENT] {
        assert_eq!(doctor.read_in_emergency(nothing).await.status, StatusCode::NOT_FOUND);
        let by_id = format!("/DocumentReference?_id={nothing}");
        assert_eq!(doctor.send(Method::GET, &by_id, &EMERGENCY, "").await.json()["total"], 0);
    }
    let purpose = json!([{ "system": "urn:oid:1.2.250.1.213.1.1.4.248", "code": "bris_de_glace" }]);
    let opposition = carnet::cli::message::consent(&patient(), &json!({ "type": "deny", "purpose": purpose }));
    assert_eq!(gateway.portal().post_json("/Consent", &opposition).await.status, StatusCode::CREATED);
    assert_eq!(doctor.read_in_emergency(&shown).await.status, StatusCode::NOT_FOUND);
    gateway.portal().block(BERNARD).await;
    let regulation = [("x-purpose-of-use", "centre_15")];
    let path = format!("/Binary/{shown}");
    assert_eq!(doctor.send(Method::GET, &path, &regulation, "").await.status, StatusCode::NOT_FOUND);
    hospital.deposited(&Document::imaging_report()).await;
    assert_eq!(sender(&gateway, &server).round(&Bell::default()).await.unwrap(), Round::Idle);
    assert_eq!(server.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_regulation_centre_and_a_bris_de_glace_are_two_notices() {
    let (gateway, server) = (gateway().await, MailServer::start().await);
    note_contact(&gateway, ContactOf::Patient(patient()), PATIENTS_ADDRESS).await;
    let doctor = gateway.doctor(BERNARD);
    search_in_emergency(&doctor).await;
    let path = super::support::caller::search_path(&patient(), "");
    let answer = doctor.send(Method::GET, &path, &[("x-purpose-of-use", "centre_15")], "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    empty(&sender(&gateway, &server)).await;
    let bodies: Vec<_> = server.taken().iter().map(Taken::body).collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies.iter().filter(|body| body.contains("SAMU (centre 15)")).count(), 1, "{bodies:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_medecin_traitant_is_not_told_of_what_they_did_themselves() {
    let (gateway, server) = (gateway().await, MailServer::start().await);
    note_contacts(&gateway).await;
    search_in_emergency(&gateway.doctor(MARTIN)).await;
    empty(&sender(&gateway, &server)).await;
    assert_eq!(server.acknowledged(), [PATIENTS_ADDRESS]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_patient_blocked_is_told_of_nothing_more() {
    let (gateway, server) = (gateway().await, MailServer::start().await);
    search_in_emergency(&gateway.doctor(BERNARD)).await;
    gateway.portal().block(MARTIN).await;
    note_contacts(&gateway).await;
    search_in_emergency(&gateway.doctor(BERNARD)).await;
    name_medecin_traitant(&gateway, MARTIN).await;
    search_in_emergency(&gateway.doctor("810000000078")).await;
    empty(&sender(&gateway, &server)).await;
    assert_eq!(server.acknowledged(), [PATIENTS_ADDRESS, PATIENTS_ADDRESS]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_waits_for_an_address_and_goes_out_once_there_is_one() {
    let server = MailServer::start().await;
    let gateway = TestGateway::builder().configured(|config| config.mail = server.settings()).start().await;
    search_in_emergency(&gateway.doctor(BERNARD)).await;
    assert_eq!(sender(&gateway, &server).round(&Bell::default()).await.map(drop).ok(), Some(()));
    assert_eq!(server.connections(), 0);
    note_contact(&gateway, ContactOf::Patient(OTHER_PATIENT.parse().unwrap()), "somebody@else.fr").await;
    note_contact(&gateway, ContactOf::Patient(patient()), PATIENTS_ADDRESS).await;
    server.has_taken(1).await;
    gateway.running.stop().await.unwrap();
    assert_eq!(server.acknowledged(), [PATIENTS_ADDRESS]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_address_is_written_to_no_more() {
    let (gateway, server) = (gateway().await, MailServer::start().await);
    note_contacts(&gateway).await;
    search_in_emergency(&gateway.doctor(BERNARD)).await;
    gateway.gateway().set_contact(ContactOf::Patient(patient()), None).await.unwrap();
    empty(&sender(&gateway, &server)).await;
    assert_eq!(server.acknowledged(), [MARTINS_ADDRESS]);
    let stranger = "1.2.250.1.213.1.4.10|207058575627097".parse().unwrap();
    let nobody = gateway.gateway().set_contact(ContactOf::Patient(stranger), None).await;
    assert_eq!(nobody.unwrap_err().refusals()[0].rule.code(), "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_on_one_database_send_each_notice_once() {
    let server = MailServer::start().await;
    let with_mail = || TestGateway::builder().configured(|config| config.mail = server.settings());
    let one = with_mail().start().await;
    let database = one.gateway().config.store.database.clone();
    let other = with_mail().configured(|config| config.store.database = database).start().await;
    note_contacts(&one).await;
    // Twelve professionals: as many occasions.
    let readers: Vec<_> = (0..12).map(|n| format!("8100000001{n:02}")).collect();
    for (n, reader) in readers.iter().enumerate() {
        let gateway = if n % 2 == 0 { &one } else { &other };
        search_in_emergency(&gateway.doctor(reader)).await;
    }
    server.has_taken(readers.len()).await;
    let (one, other) = (one.running.stop(), other.running.stop());
    one.await.unwrap();
    other.await.unwrap();
    assert_eq!(server.acknowledged(), vec![PATIENTS_ADDRESS; readers.len()]);
    let ids: std::collections::HashSet<_> = server.taken().iter().map(|mail| mail.message_id().to_owned()).collect();
    assert_eq!(ids.len(), readers.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_when_a_gateway_stopped_is_sent_by_the_next_one() {
    let (gateway, server) = (gateway().await, MailServer::start().await);
    note_contacts(&gateway).await;
    search_in_emergency(&gateway.doctor(BERNARD)).await;
    let database = gateway.gateway().config.store.database.clone();
    let TestGateway { running, _folder, .. } = gateway;
    running.stop().await.unwrap();
    let next = TestGateway::builder().configured(|config| {
        config.mail = server.settings();
        config.store.database = database;
    });
    let next = next.start().await;
    server.has_taken(2).await;
    next.running.stop().await.unwrap();
    assert_eq!(server.acknowledged(), [MARTINS_ADDRESS, PATIENTS_ADDRESS]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_right_after_an_emergency_loses_no_notice() {
    let folder = tempfile::tempdir().unwrap();
    let (hospital, reader) = crash::set_up(folder.path()).await;
    let mut program = crash::start(folder.path()).await;
    let id = hospital.deposited(&Document::discharge_letter()).await;
    assert_eq!(reader.read_in_emergency(&id).await.status, StatusCode::OK);
    program.kill().unwrap();
    program.wait().unwrap();
    let server = MailServer::start().await;
    let mut config = Config::load(Some(&folder.path().join("carnet.toml")), std::iter::empty()).unwrap();
    config.mail = server.settings();
    let gateway = Gateway::open(Arc::new(config), Clock::System).await.unwrap();
    gateway.set_contact(ContactOf::Patient(patient()), Some(PATIENTS_ADDRESS.parse().unwrap())).await.unwrap();
    empty(&gateway.notice_sender().unwrap().0).await;
    assert_eq!(server.acknowledged(), [PATIENTS_ADDRESS]);
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_on_an_invisible_document_is_sent_after_two_weeks_and_not_before() {
    let (gateway, server) = (gateway().await, MailServer::start().await);
    note_contacts(&gateway).await;
    let answer = gateway.hospital().post_json("", &deposit_that_is_invisible_to_the_patient()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    gateway.hospital().deposited(&Document::blood_test()).await;
    let day = 24.hours();
    assert_eq!(sender_at(&gateway, &server, now() + day * 13).round(&Bell::default()).await.unwrap(), Round::Idle);
    empty(&sender_at(&gateway, &server, now() + day * 14)).await;
    let mails = server.taken();
    assert_eq!((mails.len(), mails[0].to.as_str()), (1, PATIENTS_ADDRESS));
    assert!(mails[0].body().contains("prendre rendez-vous"), "{}", mails[0].body());
    assert_eq!(told(&gateway).await, ["notify_patient"]);
    // Its line names the document, so that it is there for whoever may see that.
    let lines = gateway.gateway().list_journal(Some(&patient()), 0, u32::MAX).await.unwrap();
    let of = |action| &lines.iter().find(|(_, event)| event.action == action).unwrap().1.entries;
    assert_eq!(of(Action::NotifyPatient).len(), 1);
    assert_eq!(of(Action::NotifyPatient), of(Action::Deposit));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_shown_or_replaced_meanwhile_needs_no_advice() {
    let (gateway, server) = (gateway().await, MailServer::start().await);
    note_contacts(&gateway).await;
    let hospital = gateway.hospital();
    let mut invisible = Vec::new();
    for document in [Document::discharge_letter(), Document::blood_test(), Document::imaging_report()] {
        let id = hospital.deposited(&document).await;
        set_invisible(&gateway, &id, ConsentState::Active).await;
        invisible.push(id);
    }
    set_invisible(&gateway, &invisible[0], ConsentState::Inactive).await;
    hospital.deposited(&Document::blood_test().replacing(&invisible[1])).await;
    empty(&sender_at(&gateway, &server, now() + 24.hours() * 14)).await;
    assert_eq!(server.taken().len(), 1);
}

async fn set_invisible(gateway: &TestGateway, document: &str, state: ConsentState) {
    let provision =
        ConsentProvision::Label { document: document.parse().unwrap(), label: VisibilityLabel::InvisiblePatient };
    let request = ConsentRequest { patient: patient(), id: None, provision, state, since: None, until: None };
    gateway.gateway().set_consent(&carnet::identity::caller::Caller::Operator, request).await.unwrap();
}
