//! The patient and who acts for them read through the portal; what is invisible to them, and for how long.

use carnet::cli::message;
use carnet::clock::Clock;
use carnet::domain::criteria::Criteria;
use carnet::identity::caller::{Caller as Identified, Structure};
use carnet::identity::session::{PortalSession, PortalUser};
use carnet::identity::statement::AccessVisibility;
use http::{Method, StatusCode};
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

use super::support::caller::{Answer, search_path};
use super::support::gateway::{OTHER_PATIENT, PORTAL, patient};
use super::support::{Caller, Document, TestGateway};

const MARTIN: &str = "810000000011";
const PETIT: &str = "810000000037";
const VISIBILITY: &str = "urn:oid:1.2.250.1.213.1.1.4.13";

const ROUNDS_OF_A_RACE: u32 = 40;

/// One request of a session about the patient of the tests.
async fn as_user(portal: &Caller, user: &str, path: &str) -> Answer {
    let patient = patient().to_string();
    let headers = [("x-on-behalf-of", patient.as_str()), ("x-portal-user", user)];
    portal.send(Method::GET, path, &headers, "").await
}

async fn found_as(portal: &Caller, user: &str) -> Vec<String> {
    let answer = as_user(portal, user, &search_path(&patient(), "")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.entry_ids()
}

async fn set(caller: &Caller, provision: Value) -> Answer {
    caller.post_json("/Consent", &message::consent(&patient(), &provision)).await
}

async fn done(caller: &Caller, provision: Value) -> Answer {
    let answer = set(caller, provision).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    answer
}

/// Ends the line or the label that a provision says.
async fn end(caller: &Caller, provision: Value) -> Answer {
    let mut consent = message::consent(&patient(), &provision);
    consent["status"] = "inactive".into();
    caller.post_json("/Consent", &consent).await
}

fn label(document: &str, label: &str) -> Value {
    let mut provision = message::provision_mask(document);
    provision["securityLabel"] = json!([{ "system": VISIBILITY, "code": label }]);
    provision
}

fn delegate(role: &str, until: Option<Timestamp>) -> Value {
    let who = json!({ "identifier": { "system": "urn:carnet:delegate", "value": "ens-42" } });
    let mut provision =
        json!({ "type": "permit", "actor": [{ "role": { "coding": [{ "code": role }] }, "reference": who }] });
    if let Some(until) = until {
        provision["period"] = json!({ "end": until.to_string() });
    }
    provision
}

/// A discharge letter that comes with a label.
async fn deposited_with(caller: &Caller, label: &str) -> String {
    let bundle = Document::discharge_letter().bundle_with(|bundle| {
        bundle["entry"][1]["resource"]["securityLabel"] =
            json!([{ "coding": [{ "system": VISIBILITY, "code": label }] }]);
    });
    let answer = caller.post_json("", &bundle).await;
    answer.created_document().unwrap_or_else(|| panic!("deposit refused: {}", answer.text()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_patient_reads_their_record_and_the_portal_without_a_patient_reads_nothing() {
    let gateway = TestGateway::start().await;
    let letter = Document::discharge_letter();
    let id = gateway.hospital().deposited(&letter).await;
    let portal = gateway.portal();
    assert_eq!(portal.search("").await.status, StatusCode::FORBIDDEN);
    assert_eq!(portal.get(&format!("/Binary/{id}")).await.status, StatusCode::FORBIDDEN);
    portal.mask(&id).await;
    assert_eq!(found_as(&portal, "patient").await, std::slice::from_ref(&id));
    assert_eq!(as_user(&portal, "patient", &format!("/Binary/{id}")).await.body, letter.content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_about_one_patient_reaches_no_other() {
    let gateway = TestGateway::start().await;
    let other = OTHER_PATIENT.parse().unwrap();
    let elsewhere = gateway.hospital().deposited(&Document::discharge_letter_of(other)).await;
    let portal = gateway.portal();
    let named = as_user(&portal, "patient", &search_path(&OTHER_PATIENT.parse().unwrap(), "")).await;
    assert_eq!((named.status, named.rule().as_str()), (StatusCode::FORBIDDEN, "token-patient"));
    for path in ["DocumentReference", "Binary"] {
        let answer = as_user(&portal, "patient", &format!("/{path}/{elsewhere}")).await;
        let absent = as_user(&portal, "patient", &format!("/{path}/00000000-0000-7000-8000-000000000000")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.without_id(), absent.without_id());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_portal_states_for_whom_they_ask() {
    let gateway = TestGateway::start().await;
    for caller in [gateway.hospital(), gateway.doctor(MARTIN)] {
        let answer = as_user(&caller, "patient", &search_path(&patient(), "")).await;
        assert_eq!((answer.status, answer.rule().as_str()), (StatusCode::FORBIDDEN, "mode-refused"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_acts_for_the_patient_does_so_while_the_list_says_it() {
    let gateway = TestGateway::start().await;
    let portal = gateway.portal();
    let id = gateway.hospital().deposited(&Document::discharge_letter()).await;
    let soon = Clock::System.now().checked_add(1.hour()).unwrap();
    for (role, user, until) in
        [("GUARD", "legal_representative ens-42", None), ("CAREGIVER", "aidant ens-42", Some(soon))]
    {
        let search = search_path(&patient(), "");
        assert_eq!(as_user(&portal, user, &search).await.status, StatusCode::FORBIDDEN, "{user}");
        done(&portal, delegate(role, until)).await;
        assert_eq!(found_as(&portal, user).await, std::slice::from_ref(&id), "{user}");
        assert_eq!(end(&portal, delegate(role, until)).await.status, StatusCode::CREATED);
        assert_eq!(as_user(&portal, user, &search).await.status, StatusCode::FORBIDDEN, "{user}");
    }
    let endless = set(&portal, delegate("CAREGIVER", None)).await;
    assert_eq!((endless.status, endless.rule().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "consent-form"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_minor_keeps_to_themselves_does_not_exist_for_legal_representatives() {
    let gateway = TestGateway::start().await;
    let (portal, hospital) = (gateway.portal(), gateway.hospital());
    let secret = hospital.deposited(&Document::blood_test()).await;
    let open = hospital.deposited(&Document::discharge_letter()).await;
    done(&portal, delegate("GUARD", None)).await;
    done(&portal, label(&secret, "INVISIBLE_REPRESENTANTS_LEGAUX")).await;
    let user = "legal_representative ens-42";
    assert_eq!(found_as(&portal, user).await, std::slice::from_ref(&open));
    let hidden = as_user(&portal, user, &format!("/Binary/{secret}")).await;
    assert_eq!(hidden.status, StatusCode::NOT_FOUND);
    let listed = as_user(&portal, user, &consent_path()).await.text();
    assert!(!listed.contains(&secret), "{listed}");
    let nurse = gateway.professional(PETIT, 60, &[]);
    nurse.declare_authorisation(&patient()).await;
    let shown = end(&nurse, label(&secret, "INVISIBLE_REPRESENTANTS_LEGAUX")).await;
    assert_eq!(shown.status, StatusCode::NOT_FOUND, "it is not theirs to show");
    let tomorrow = Clock::System.now().checked_add(24.hours()).unwrap();
    done(&gateway.portal().on_behalf_of(&patient(), user), delegate("CAREGIVER", Some(tomorrow))).await;
    let aidant = found_as(&portal, "aidant ens-42").await;
    assert_eq!(aidant, std::slice::from_ref(&open), "a second role is no way around the first");
    assert_eq!(found_as(&portal, "patient").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_said_in_secret_is_not_there_for_legal_representatives() {
    let gateway = TestGateway::start().await;
    let (portal, ins) = (gateway.portal(), patient().to_string());
    done(&portal, delegate("GUARD", None)).await;
    let authorise = async |user: &str, is_secret: &str| {
        let provision = message::provision_for("permit", &MARTIN.parse().unwrap());
        let consent = message::consent(&patient(), &provision).to_string();
        let headers = [
            ("content-type", "application/fhir+json"),
            ("x-on-behalf-of", ins.as_str()),
            ("x-portal-user", user),
            ("x-secret-connection", is_secret),
        ];
        let answer = portal.send(Method::POST, "/Consent", &headers, consent).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        answer.json()["id"].as_str().expect("id").to_owned()
    };
    let parent = "legal_representative ens-42";
    let secret = authorise("patient", "true").await;
    assert_eq!(gateway.doctor(MARTIN).search("").await.status, StatusCode::OK, "it holds");
    let seen_by = async |user| as_user(&portal, user, &consent_path()).await.text();
    assert!(seen_by("patient").await.contains(&secret));
    assert!(!seen_by(parent).await.contains(MARTIN));
    let read = as_user(&portal, parent, &format!("/Consent/{secret}")).await;
    assert_eq!(read.status, StatusCode::NOT_FOUND);
    let theirs = authorise(parent, "false").await;
    assert_ne!(theirs, secret, "what they say is a line of its own");
    assert!(!seen_by(parent).await.contains(&secret));
    let provision = message::provision_for("permit", &MARTIN.parse().unwrap());
    assert_eq!(end(&gateway.portal().on_behalf_of(&patient(), parent), provision).await.status, StatusCode::CREATED);
    assert_eq!(gateway.doctor(MARTIN).search("").await.status, StatusCode::OK, "what they do not know of goes on");
    assert_eq!(authorise("patient", "false").await, secret, "said openly once, it is no secret");
    assert!(seen_by(parent).await.contains(&secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_invisible_to_the_patient_is_so_for_a_month() {
    let gateway = TestGateway::start().await;
    let hidden = deposited_with(&gateway.hospital(), "INVISIBLE_PATIENT").await;
    let portal = gateway.portal();
    assert!(found_as(&portal, "patient").await.is_empty());
    let listed = as_user(&portal, "patient", &consent_path()).await.text();
    assert!(!listed.contains(&hidden), "{listed}");
    let doctor = gateway.authorised_doctor(MARTIN).await;
    assert_eq!(doctor.found("").await, std::slice::from_ref(&hidden));
    let (id, name) = (PORTAL.parse().unwrap(), "PORTAIL DE TEST".to_owned());
    let visibility = AccessVisibility::Ordinary;
    let session = PortalSession::Of { patient: patient(), user: PortalUser::Patient, visibility };
    let patient_themselves = Identified::PatientPortal(Structure { id, name }, session);
    let criteria = Criteria { patient: Some(patient()), ..Criteria::default() };
    let mut later = gateway.gateway().clone();
    for (days, found) in [(27, 0), (32, 1)] {
        later.clock = Clock::fixed(Clock::System.now().checked_add((24 * days).hours()).unwrap());
        let outcome = later.search(&patient_themselves, &criteria).await.unwrap().disclose();
        assert_eq!(
            (outcome.total, outcome.entries.len()),
            (found, usize::try_from(found).unwrap()),
            "after {days} days"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_patient_saw_can_be_invisible_to_them_no_more() {
    let gateway = TestGateway::start().await;
    let (portal, doctor) = (gateway.portal(), gateway.authorised_doctor(MARTIN).await);
    let unseen = doctor.deposited(&Document::discharge_letter()).await;
    done(&doctor, label(&unseen, "INVISIBLE_PATIENT")).await;
    assert!(found_as(&portal, "patient").await.is_empty());
    assert_eq!(end(&doctor, label(&unseen, "INVISIBLE_PATIENT")).await.status, StatusCode::CREATED);
    let again = set(&doctor, label(&unseen, "INVISIBLE_PATIENT")).await;
    assert_eq!((again.status, again.rule().as_str()), (StatusCode::CONFLICT, "shown-to-patient"), "it was shown once");
    let seen = doctor.deposited(&Document::discharge_letter()).await;
    assert_eq!(found_as(&portal, "patient").await.len(), 2);
    let late = set(&doctor, label(&seen, "INVISIBLE_PATIENT")).await;
    assert_eq!((late.status, late.rule().as_str()), (StatusCode::CONFLICT, "shown-to-patient"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_while_it_is_made_invisible_is_the_one_or_the_other() {
    let gateway = TestGateway::start().await;
    let (portal, doctor) = (gateway.portal(), gateway.authorised_doctor(MARTIN).await);
    for round in 0..ROUNDS_OF_A_RACE {
        let id = doctor.deposited(&Document::discharge_letter()).await;
        let path = format!("/Binary/{id}");
        let (shown, concealed) =
            tokio::join!(as_user(&portal, "patient", &path), set(&doctor, label(&id, "INVISIBLE_PATIENT")));
        match (shown.status, concealed.status) {
            (StatusCode::OK, StatusCode::CONFLICT) => assert_eq!(concealed.rule(), "shown-to-patient"),
            // 503: it changed between the look and the line; nothing left.
            (StatusCode::NOT_FOUND | StatusCode::SERVICE_UNAVAILABLE, StatusCode::CREATED) => {}
            both => panic!("round {round}: {both:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn professionals_mask_what_they_see_and_unmask_what_is_theirs() {
    let gateway = TestGateway::start().await;
    let id = gateway.hospital().deposited(&Document::discharge_letter()).await;
    let nurse = gateway.professional(PETIT, 60, &[]);
    let doctor = gateway.doctor(MARTIN);
    assert_eq!(set(&nurse, message::provision_mask(&id)).await.status, StatusCode::FORBIDDEN);
    nurse.declare_authorisation(&patient()).await;
    done(&nurse, message::provision_mask(&id)).await;
    assert!(nurse.found("").await.is_empty());
    assert_eq!(end(&nurse, message::provision_mask(&id)).await.status, StatusCode::NOT_FOUND, "it is not theirs");
    let pcp = json!({ "type": "permit", "actor": [{ "role": { "coding": [{ "code": "PCP" }] },
        "reference": { "identifier": { "system": "urn:oid:1.2.250.1.71.4.2.1", "value": MARTIN } } }] });
    done(&gateway.portal(), pcp.clone()).await;
    assert_eq!(doctor.found("").await, std::slice::from_ref(&id), "the médecin traitant sees it");
    assert_eq!(end(&doctor, message::provision_mask(&id)).await.status, StatusCode::CREATED);
    assert_eq!(nurse.found("").await, [id]);
    assert_eq!(set(&doctor, pcp.clone()).await.rule(), "mode-refused", "the patient names them");
    assert_eq!(end(&doctor, pcp).await.status, StatusCode::CREATED, "and they may leave");
    assert_eq!(doctor.search("").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_masked_as_they_come_and_stay_so_when_they_are_replaced() {
    let gateway = TestGateway::start().await;
    let (portal, hospital) = (gateway.portal(), gateway.hospital());
    let doctor = gateway.authorised_doctor(MARTIN).await;
    let before = hospital.deposited(&Document::blood_test()).await;
    let by_default = json!({ "type": "deny",
        "class": [{ "system": "http://hl7.org/fhir/resource-types", "code": "DocumentReference" }] });
    done(&portal, by_default.clone()).await;
    let masked = hospital.deposited(&Document::discharge_letter()).await;
    assert_eq!(doctor.found("").await, std::slice::from_ref(&before));
    assert_eq!(end(&portal, by_default).await.status, StatusCode::CREATED);
    hospital.deposited(&Document::discharge_letter().replacing(&masked)).await;
    assert_eq!(doctor.found("").await, [before]);
    assert_eq!(hospital.found("").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_sees_masked_documents_only_if_the_patient_allowed_it() {
    let gateway = TestGateway::start().await;
    let (portal, doctor) = (gateway.portal(), gateway.doctor(MARTIN));
    let id = gateway.hospital().deposited(&Document::discharge_letter()).await;
    portal.mask(&id).await;
    assert_eq!(doctor.read_in_emergency(&id).await.status, StatusCode::NOT_FOUND);
    let purpose = |code: &str| json!({ "system": "urn:oid:1.2.250.1.213.1.1.4.248", "code": code });
    let allowed = json!({ "type": "permit", "purpose": [purpose("bris_de_glace"), purpose("centre_15")],
        "securityLabel": [{ "system": VISIBILITY, "code": "MASQUE_PS" }] });
    done(&portal, allowed.clone()).await;
    assert_eq!(doctor.read_in_emergency(&id).await.status, StatusCode::OK);
    assert_eq!(doctor.search("").await.status, StatusCode::FORBIDDEN, "in an emergency alone");
    assert_eq!(end(&portal, allowed).await.status, StatusCode::CREATED);
    assert_eq!(doctor.read_in_emergency(&id).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_let_in_sees_who_else_is() {
    let gateway = TestGateway::start().await;
    let doctor = gateway.authorised_doctor(MARTIN).await;
    gateway.portal().block(PETIT).await;
    let stranger = gateway.professional(PETIT, 60, &[]);
    let of_doctor = doctor.get(&consent_path()).await.text();
    assert!(of_doctor.contains(MARTIN) && of_doctor.contains(PETIT), "{of_doctor}");
    let of_stranger = stranger.get(&consent_path()).await;
    assert_eq!((of_stranger.status, of_stranger.json()["total"].as_u64()), (StatusCode::OK, Some(0)));
    let nobody: carnet::domain::ins::Ins = "1.2.250.1.213.1.4.10|207058575627097".parse().unwrap();
    let path = search_path(&nobody, "").replace("DocumentReference", "Consent");
    let of_nobody = stranger.get(&path).await;
    assert_eq!((of_nobody.status, of_nobody.json()["total"].as_u64()), (StatusCode::OK, Some(0)));
}

fn consent_path() -> String {
    search_path(&patient(), "").replace("DocumentReference", "Consent")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mask_on_the_new_version_does_not_bring_the_old_one_back() {
    let gateway = TestGateway::start().await;
    let (hospital, doctor) = (gateway.hospital(), gateway.authorised_doctor(MARTIN).await);
    let first = hospital.deposited(&Document::discharge_letter()).await;
    let second = hospital.deposited(&Document::discharge_letter().replacing(&first)).await;
    let third = hospital.deposited(&Document::discharge_letter().replacing(&second)).await;
    gateway.portal().mask(&third).await;
    assert!(doctor.found("&status=current,superseded").await.is_empty());
    assert_eq!(end(&gateway.portal(), message::provision_mask(&third)).await.status, StatusCode::CREATED);
    assert_eq!(doctor.found("").await, std::slice::from_ref(&third));
    let bundle = Document::discharge_letter().replacing(&third).bundle_with(|bundle| {
        bundle["entry"][1]["resource"]["securityLabel"] =
            json!([{ "coding": [{ "system": VISIBILITY, "code": "MASQUE_PS" }] }]);
    });
    assert_eq!(hospital.post_json("", &bundle).await.status, StatusCode::OK);
    assert!(doctor.found("&status=current,superseded").await.is_empty());
}

/// A line about a professional, from and until when.
fn line(kind: &str, ps: &str, period: Value) -> Value {
    let mut provision = message::provision_for(kind, &ps.parse().unwrap());
    provision["period"] = period;
    provision
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_outlives_the_word_that_ended_its_kind() {
    let gateway = TestGateway::start().await;
    let (portal, doctor) = (gateway.portal(), gateway.doctor(MARTIN));
    let hour = |hours: i64| Clock::System.now().checked_add(hours.hours()).unwrap().to_string();
    let declared = set(&doctor, line("permit", MARTIN, json!({ "start": hour(1) }))).await;
    assert_eq!(declared.rule(), "consent-form", "a professional declares what holds now");
    doctor.declare_authorisation(&patient()).await;
    done(&portal, line("permit", MARTIN, json!({ "start": hour(1) }))).await;
    assert_eq!(
        end(&portal, message::provision_for("permit", &MARTIN.parse().unwrap())).await.status,
        StatusCode::CREATED
    );
    let later = |clock: i64| Clock::fixed(Clock::System.now().checked_add(clock.hours()).unwrap());
    let mut tomorrow = gateway.gateway().clone();
    tomorrow.clock = later(24);
    let dossier = tomorrow.show_dossier(&patient()).await.unwrap().disclose();
    let (ps, now) = (MARTIN.parse().unwrap(), tomorrow.clock.now());
    assert!(!dossier.is_authorised(&ps, None, now), "{:?}", dossier.consents);
    done(&portal, line("permit", MARTIN, json!({ "start": hour(2) }))).await;
    portal.block(MARTIN).await;
    assert_eq!(
        end(&portal, message::provision_for("deny", &MARTIN.parse().unwrap())).await.status,
        StatusCode::CREATED
    );
    let dossier = tomorrow.show_dossier(&patient()).await.unwrap().disclose();
    assert!(!dossier.is_authorised(&ps, None, now), "a block ends what has yet to begin: {:?}", dossier.consents);
    assert_eq!(set(&portal, line("deny", MARTIN, json!({ "start": hour(1) }))).await.rule(), "consent-form");
    assert_eq!(set(&portal, line("permit", MARTIN, json!({ "end": hour(-1) }))).await.rule(), "consent-form");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_patient_said_of_a_professional_is_not_theirs_to_say_otherwise() {
    let gateway = TestGateway::start().await;
    let (portal, doctor) = (gateway.portal(), gateway.doctor(MARTIN));
    let soon = Clock::System.now().checked_add(1.hour()).unwrap().to_string();
    let given = done(&portal, line("permit", MARTIN, json!({ "end": soon }))).await.json();
    let address = format!("/Consent/{}", given["id"].as_str().unwrap());
    doctor.declare_authorisation(&patient()).await;
    let mut consent = message::consent(&patient(), &message::provision_for("permit", &MARTIN.parse().unwrap()));
    let headers = [("content-type", "application/fhir+json")];
    let prolonged = doctor.send(Method::PUT, &address, &headers, consent.to_string()).await;
    assert_eq!(prolonged.status, StatusCode::OK);
    let line = doctor.get(&address).await.json();
    assert_eq!(line["provision"]["period"]["end"], given["provision"]["period"]["end"], "already present, unchanged");
    consent["status"] = "inactive".into();
    assert_eq!(doctor.send(Method::PUT, &address, &headers, consent.to_string()).await.status, StatusCode::OK);
    consent["status"] = "active".into();
    for caller in [&doctor, &portal] {
        let again = caller.send(Method::PUT, &address, &headers, consent.to_string()).await;
        assert_eq!(again.rule(), "consent-form", "what has ended stays so");
    }
    assert_eq!(doctor.search("").await.status, StatusCode::FORBIDDEN);
    doctor.declare_authorisation(&patient()).await;
    assert!(gateway.last_line().await.contains("\"who\":\"810000000011\""), "{}", gateway.last_line().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declaration_holds_at_once_beside_what_the_patient_wants_later() {
    let gateway = TestGateway::start().await;
    let (portal, doctor) = (gateway.portal(), gateway.doctor(MARTIN));
    let soon = Clock::System.now().checked_add(1.hour()).unwrap().to_string();
    let given = done(&portal, line("permit", MARTIN, json!({ "start": soon }))).await.json();
    assert_eq!(doctor.search("").await.status, StatusCode::FORBIDDEN);
    for _ in 0..2 {
        doctor.declare_authorisation(&patient()).await;
    }
    assert_eq!(doctor.search("").await.status, StatusCode::OK);
    let listed = doctor.get(&consent_path()).await.json();
    assert_eq!(listed["total"], 2, "{listed}");
    let kept = portal.get(&format!("/Consent/{}", given["id"].as_str().unwrap())).await.json();
    assert_eq!(kept["provision"]["period"], given["provision"]["period"]);
}
