//! VIHF over real connections: who a token makes of a certificate, what they may do, and that each is good for once.

use bytes::Bytes;
use carnet::clock::Clock;
use carnet::domain::code::Code;
use carnet::identity::caller::Purpose;
use carnet::identity::statement::{AccessVisibility, Software, StatedMode, StatedSubject, Statement};
use carnet::identity::vihf::issue::SigningKey;
use carnet::tls::development_pki::{Holder, KeyUse};
use http::{Method, StatusCode};

use super::support::caller::{Answer, search_path};
use super::support::gateway::{OTHER_PATIENT, patient, signing_key};
use super::support::{Caller, Document, TestGateway};

const DOCTOR: &str = "810000000011";
const HOSPITAL: &str = "1350000899";
const ENTITY: &str = "1350005179";

/// What the software of a hospital states of a doctor who reads the tests' patient.
fn statement(mode: StatedMode) -> Statement {
    Statement {
        mode,
        subject: StatedSubject { id: DOCTOR.to_owned(), name: Some("Claire MARTIN".to_owned()) },
        structure: HOSPITAL.parse().unwrap(),
        sector: Some(Code::new("1.2.250.1.71.4.2.4", "SA01")),
        roles: vec![Code::new("1.2.250.1.71.1.2.7", "10"), Code::new("1.2.250.1.71.4.2.5", "SM54")],
        purpose: Purpose::Normal,
        patient: Some(patient()),
        visibility: AccessVisibility::Ordinary,
        software: Some(Software {
            name: "DPI".to_owned(),
            version: "1".to_owned(),
            installation: None,
            homologation: "ESSAI-1".to_owned(),
        }),
    }
}

fn structure(id: &str) -> Holder {
    Holder::Organisation {
        struct_id: id.parse().unwrap(),
        name: "HOPITAL DE TEST".to_owned(),
        application: "TEST".to_owned(),
    }
}

fn doctor() -> Holder {
    Holder::Professional {
        ps_id: DOCTOR.parse().unwrap(),
        family: "MARTIN".to_owned(),
        given: "Claire".to_owned(),
        profession: 10,
        savoir_faire: vec!["SM54".to_owned()],
    }
}

fn header(key: &SigningKey, statement: &Statement) -> String {
    let vihf = key.issue(statement, Clock::System.now()).unwrap();
    format!("IHE-SAML {}", base64_simd::STANDARD.encode_to_string(vihf))
}

async fn search_with(caller: &Caller, authorization: &str) -> Answer {
    caller.send(Method::GET, &search_path(&patient(), ""), &[("authorization", authorization)], Bytes::new()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_air_professional_consults_as_themselves_and_deposits_nothing() {
    let gateway = TestGateway::start().await;
    let id = gateway.hospital().deposited(&Document::discharge_letter()).await;
    let (hospital, key) = (gateway.hospital(), signing_key(&structure(HOSPITAL), KeyUse::Sign));
    let air = statement(StatedMode::IndirecteRenforcee);

    let refused = search_with(&hospital, &header(&key, &air)).await;
    assert_eq!((refused.status, refused.rule().as_str()), (StatusCode::FORBIDDEN, "access-denied"));

    gateway.doctor(DOCTOR).declare_authorisation(&patient()).await;
    let answer = search_with(&hospital, &header(&key, &air)).await;
    assert_eq!(answer.entry_ids(), std::slice::from_ref(&id), "{}", answer.text());
    let line = gateway.last_line().await;
    for part in ["air_professional", DOCTOR, "Claire MARTIN", HOSPITAL, "INDIRECTE_RENFORCEE", "DPI 1 (ESSAI-1)"] {
        assert!(line.contains(part), "{part}: {line}");
    }

    let read =
        hospital.send(Method::GET, &format!("/Binary/{id}"), &[("authorization", &header(&key, &air))], "").await;
    assert_eq!(read.status, StatusCode::OK);

    let bundle = Document::discharge_letter().bundle().to_string();
    let authorization = header(&key, &air);
    let headers = [("content-type", "application/fhir+json"), ("authorization", authorization.as_str())];
    let answer = hospital.send(Method::POST, "", &headers, bundle).await;
    assert_eq!((answer.status, answer.rule().as_str()), (StatusCode::FORBIDDEN, "mode-refused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vihf_is_taken_once_over_all_gateways_on_a_database() {
    let one = TestGateway::start().await;
    let database = one.gateway().config.store.database.clone();
    let other = TestGateway::builder().configured(|config| config.store.database = database).start().await;
    one.doctor(DOCTOR).declare_authorisation(&patient()).await;
    let key = signing_key(&structure(HOSPITAL), KeyUse::Sign);
    let vihf = header(&key, &statement(StatedMode::IndirecteRenforcee));
    assert_eq!(search_with(&one.hospital(), &vihf).await.status, StatusCode::OK);
    for gateway in [&one, &other] {
        let again = search_with(&gateway.hospital(), &vihf).await;
        assert_eq!((again.status, again.rule().as_str()), (StatusCode::UNAUTHORIZED, "vihf-replayed"));
        let schemes: Vec<_> = again.headers.get_all("www-authenticate").iter().collect();
        assert_eq!(schemes, ["IHE-SAML", "Bearer realm=\"carnet\""]);
        assert!(gateway.last_line().await.contains("vihf-replayed"));
    }
    let fresh = header(&key, &statement(StatedMode::IndirecteRenforcee));
    assert_eq!(search_with(&other.hospital(), &fresh).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_structure_names_its_real_user_and_stays_who_answers_for_it() {
    let gateway = TestGateway::start().await;
    let (hospital, key) = (gateway.hospital(), signing_key(&structure(HOSPITAL), KeyUse::Sign));
    let mut automaton = statement(StatedMode::Indirecte);
    automaton.subject.name = Some("Automate modèle 3".to_owned());
    automaton.roles = vec![Code::new("1.2.250.1.213.1.1.4.6", "AUTOMATE")];
    automaton.visibility = AccessVisibility::HiddenFromLegalRepresentatives;
    let authorization = header(&key, &automaton);
    let headers = [("content-type", "application/fhir+json"), ("authorization", authorization.as_str())];
    let answer = hospital.send(Method::POST, "", &headers, Document::discharge_letter().bundle().to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let line = gateway.last_line().await;
    for part in
        ["\"kind\":\"structure\"", "AUTOMATE", "Automate modèle 3", "\"hidden_from_legal_representatives\":true"]
    {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_and_its_own_vihf_are_direct_mode() {
    let gateway = TestGateway::start().await;
    let caller = gateway.authorised_doctor(DOCTOR).await;
    let mut direct = statement(StatedMode::Directe);
    direct.subject.name = None;
    let own = signing_key(&doctor(), KeyUse::Sign);
    assert_eq!(search_with(&caller, &header(&own, &direct)).await.status, StatusCode::OK);
    let borrowed = signing_key(&structure(HOSPITAL), KeyUse::Sign);
    let answer = search_with(&caller, &header(&borrowed, &direct)).await;
    assert_eq!((answer.status, answer.rule().as_str()), (StatusCode::FORBIDDEN, "token-mismatch"));
    assert!(answer.text().contains(DOCTOR) && answer.text().contains(HOSPITAL), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_site_of_a_vihf_may_be_one_of_the_legal_entity_of_the_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("finess.csv");
    std::fs::write(&table, "EG;EJ\n350000899;350005179\n").unwrap();
    let linked = TestGateway::builder().configured(|config| config.dmp.finess_table = table).start().await;
    let unlinked = TestGateway::start().await;
    for (gateway, status) in [(&linked, StatusCode::OK), (&unlinked, StatusCode::FORBIDDEN)] {
        let (entity, key) = (gateway.structure(ENTITY, "CHU DE TEST"), signing_key(&structure(ENTITY), KeyUse::Sign));
        let answer = search_with(&entity, &header(&key, &statement(StatedMode::Indirecte))).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        if status == StatusCode::FORBIDDEN {
            assert_eq!(answer.rule(), "structure-mismatch");
            assert!(answer.text().contains(ENTITY) && answer.text().contains(HOSPITAL), "{}", answer.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vihf_is_about_one_patient() {
    let gateway = TestGateway::start().await;
    let (hospital, key) = (gateway.hospital(), signing_key(&structure(HOSPITAL), KeyUse::Sign));
    let id = hospital.deposited(&Document::discharge_letter()).await;
    let mut other = statement(StatedMode::Indirecte);
    other.patient = Some(OTHER_PATIENT.parse().unwrap());
    let answer = search_with(&hospital, &header(&key, &other)).await;
    assert_eq!((answer.status, answer.rule().as_str()), (StatusCode::FORBIDDEN, "token-patient"));
    assert!(!answer.text().contains(patient().matricule()), "{}", answer.text());
    let authorization = header(&key, &other);
    let path = format!("/DocumentReference/{id}");
    let answer = hospital.send(Method::GET, &path, &[("authorization", &authorization)], "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_is_refused_and_told_why() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let auth = signing_key(&structure(HOSPITAL), KeyUse::Auth);
    let signed_with_auth = header(&auth, &statement(StatedMode::Indirecte));
    for (authorization, status, rule) in [
        ("Basic dTpw", 401, "token-scheme"),
        ("IHE-SAML", 401, "vihf-form"),
        ("IHE-SAML not base64!", 401, "vihf-form"),
        ("IHE-SAML PGEvPg==", 401, "vihf-form"),
        (signed_with_auth.as_str(), 403, "signature-certificate"),
    ] {
        let lines = gateway.journal_lines().await;
        let answer = search_with(&hospital, authorization).await;
        assert_eq!((answer.status.as_u16(), answer.rule().as_str()), (status, rule), "{}", answer.text());
        assert_eq!(gateway.journal_lines().await, lines + 1);
    }
    let answer = search_with(&hospital, &signed_with_auth).await;
    assert!(answer.text().contains("DMPInvalidCertificate"), "{}", answer.text());
    // Refused again for the same reason, not as a replay: the memory holds good ones only.
    assert_eq!(answer.rule(), "signature-certificate");
}
