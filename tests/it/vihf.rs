//! VIHF over real connections: who a token makes of a certificate, what they may do, and that each is good for once.

use std::process::Command;

use bytes::Bytes;
use carnet::clock::Clock;
use carnet::domain::code::Code;
use carnet::identity::caller::Purpose;
use carnet::identity::statement::{AccessVisibility, StatedMode, StatedSubject, Statement};
use carnet::identity::vihf::issue::SigningKey;
use carnet::identity::vihf::wss;
use carnet::journal::event::{Action, Connection};
use carnet::operation::contact::ContactOf;
use carnet::tls::development_pki::{Holder, KeyUse};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::support::caller::{Answer, search_path};
use super::support::gateway::{OTHER_PATIENT, patient, signing_key, software};
use super::support::mail_server::MailServer;
use super::support::{Caller, Document, TestGateway};

const DOCTOR: &str = "810000000011";
const HOSPITAL: &str = "1350000899";
const ENTITY: &str = "1350005179";
/// Another site of the entity.
const SISTER: &str = "1350000900";
const OTHER: &str = "1750803447";

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
        software: Some(software()),
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
    for part in ["\"kind\":\"structure\"", "AUTOMATE", "Automate modèle 3", "\"connection\":\"secret\""] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_of_a_secret_connection_is_a_line_as_secret_as_the_connection() {
    let server = MailServer::start().await;
    let gateway = TestGateway::builder().configured(|config| config.mail = server.settings()).start().await;
    let contact = ContactOf::Patient(patient());
    gateway.gateway().set_contact(contact, Some("patient@exemple.fr".parse().unwrap())).await.unwrap();
    let mut secret = statement(StatedMode::Directe);
    secret.purpose = Purpose::BrisDeGlace { reason: "inconscient".to_owned() };
    secret.visibility = AccessVisibility::HiddenFromLegalRepresentatives;
    let authorization = header(&signing_key(&doctor(), KeyUse::Sign), &secret);
    let answer = search_with(&gateway.doctor(DOCTOR), &authorization).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    server.has_taken(1).await;
    let left = gateway.gateway().clone();
    gateway.running.stop().await.unwrap();
    let lines = left.list_journal(Some(&patient()), 0, u32::MAX).await.unwrap();
    let (_, notice) = lines.last().unwrap();
    assert_eq!((notice.action, notice.connection), (Action::NotifyPatient, Connection::Secret));
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

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_the_list_is_read_with_a_token_of_its_patient_alone() {
    let gateway = TestGateway::start().await;
    let caller = gateway.authorised_doctor(DOCTOR).await;
    let list = caller
        .get(&format!("/Consent?patient.identifier={}", search_path(&patient(), "").split_once('=').unwrap().1))
        .await;
    let id = list.json()["entry"][0]["resource"]["id"].as_str().expect("a line").to_owned();
    let own = signing_key(&doctor(), KeyUse::Sign);
    let mut read = Vec::new();
    for of in [patient(), OTHER_PATIENT.parse().unwrap()] {
        let mut direct = statement(StatedMode::Directe);
        direct.patient = Some(of);
        let authorization = header(&own, &direct);
        let headers = [("authorization", authorization.as_str())];
        read.push(caller.send(Method::GET, &format!("/Consent/{id}"), &headers, "").await.status);
    }
    assert_eq!(read, [StatusCode::OK, StatusCode::NOT_FOUND]);
    let line = gateway.last_line().await;
    assert!(line.contains("denied") && line.contains("of another patient"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vihf_over_the_wrong_connection_is_not_used_up_and_leaves_its_line() {
    let gateway = TestGateway::start().await;
    let key = signing_key(&structure(HOSPITAL), KeyUse::Sign);
    let stolen = header(&key, &statement(StatedMode::Indirecte));
    let answer = search_with(&gateway.laboratory(), &stolen).await;
    assert_eq!((answer.status, answer.rule().as_str()), (StatusCode::FORBIDDEN, "token-mismatch"));
    let line = gateway.last_line().await;
    for part in ["\"kind\":\"unidentified\"", "\"holder\":\"1350001111\"", "\"mode\":\"INDIRECTE\"", HOSPITAL, DOCTOR] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!(search_with(&gateway.hospital(), &stolen).await.status, StatusCode::OK);
    let again = search_with(&gateway.hospital(), &stolen).await;
    assert_eq!(again.rule(), "vihf-replayed");
    let line = gateway.last_line().await;
    assert!(line.contains("\"kind\":\"structure\"") && line.contains("\"mode\":\"INDIRECTE\""), "{line}");
    assert_eq!(
        search_with(&gateway.insurer(), &header(&key, &statement(StatedMode::Indirecte))).await.rule(),
        "actor-refused"
    );
    assert!(carnet::telemetry::metrics().render().contains("carnet_actors_refused_total"));
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_come_once_and_a_lone_word_is_never_echoed() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let path = search_path(&patient(), "");
    for (name, value) in [("x-purpose-of-use", "normal"), ("x-access-reason", "inconscient")] {
        let answer = hospital.send(Method::GET, &path, &[(name, value), (name, value)], Bytes::new()).await;
        assert_eq!((answer.status, answer.rule().as_str()), (StatusCode::BAD_REQUEST, "header-value"), "{name}");
    }
    for secret in ["eyJhbGciOiJub25lIn0.secret", "PHNhbWw6QXNzZXJ0aW9u PHNhbWw6"] {
        let answer = search_with(&hospital, secret).await;
        assert_eq!(answer.rule(), "token-scheme");
        assert!(answer.text().contains("no scheme") && !answer.text().contains(&secret[..12]), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_author_of_a_set_is_of_the_structure_that_deposits_where_somebody_knows() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("finess.csv");
    std::fs::write(&table, "EG;EJ\n350000899;350005179\n350000900;350005179\n").unwrap();
    let linked = TestGateway::builder().configured(|config| config.dmp.finess_table = table).start().await;
    let bare = TestGateway::start().await;
    let deposit = async |gateway: &TestGateway, certificate: &str, site: Option<&str>, author: &str| {
        let caller = gateway.structure(certificate, "CHU DE TEST");
        let mut bundle = Document::discharge_letter().bundle();
        let identifier = json!({ "system": "urn:oid:1.2.250.1.71.4.2.2", "value": author });
        bundle["entry"][0]["resource"]["source"] = json!({ "type": "Organization", "identifier": identifier });
        let authorization = site.map(|site| {
            let mut stated = statement(StatedMode::Indirecte);
            stated.structure = site.parse().unwrap();
            header(&signing_key(&structure(certificate), KeyUse::Sign), &stated)
        });
        let mut headers = vec![("content-type", "application/fhir+json")];
        headers.extend(authorization.as_deref().map(|token| ("authorization", token)));
        caller.send(Method::POST, "", &headers, bundle.to_string()).await
    };
    for (gateway, certificate, site, author, accepted) in [
        (&bare, HOSPITAL, None, HOSPITAL, true),
        // The certificate of a legal entity, and nobody who knows its sites.
        (&bare, ENTITY, None, HOSPITAL, true),
        (&bare, HOSPITAL, Some(HOSPITAL), HOSPITAL, true),
        (&bare, HOSPITAL, Some(HOSPITAL), OTHER, false),
        (&linked, ENTITY, None, HOSPITAL, true),
        (&linked, ENTITY, None, OTHER, false),
        (&linked, ENTITY, Some(HOSPITAL), SISTER, true),
        (&linked, ENTITY, Some(HOSPITAL), ENTITY, true),
        (&linked, ENTITY, Some(HOSPITAL), OTHER, false),
        // The table has nothing to say of a SIRET.
        (&linked, HOSPITAL, None, "326440310600017", true),
    ] {
        let answer = deposit(gateway, certificate, site, author).await;
        let case = format!("{certificate} {site:?} {author}: {}", answer.text());
        assert_eq!(answer.status == StatusCode::OK, accepted, "{case}");
        if !accepted {
            assert_eq!((answer.status.as_u16(), answer.rule().as_str()), (422, "set-author-structure"), "{case}");
            let own = site.unwrap_or(certificate);
            for part in [own, author, "Aucun AuthorInstitution", ".source"] {
                assert!(answer.text().contains(part), "{part}: {case}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn carnet_check_judges_the_vihf_of_a_soap_message_as_it_judges_it_alone() {
    let gateway = TestGateway::start().await;
    let folder = tempfile::tempdir().unwrap();
    let key = signing_key(&structure(HOSPITAL), KeyUse::Sign);
    let vihf = key.issue(&statement(StatedMode::IndirecteRenforcee), Clock::System.now()).unwrap();
    // As the software of the field writes: signed first, then put where the envelope declares its namespaces.
    let namespaces = [
        " xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"",
        " xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"",
        " xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"",
    ];
    let bare = namespaces.iter().fold(vihf.clone(), |text, namespace| text.replace(namespace, ""));
    let envelope = format!("<soap:Envelope{}", namespaces.concat());
    let moved = wss::enclose(&bare).replacen("<soap:Envelope", &envelope, 1);
    let in_body = wss::enclose("").replace("<soap:Body/>", &format!("<soap:Body>{vihf}</soap:Body>"));
    let changed = moved.replace("SM54", "SM26");
    let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
    let roots = &gateway.gateway().config.tls.client_roots;
    let tls = format!("[tls]\nclient_roots = {roots:?}\nclient_crls = []\nallow_development_roots = true\n");
    write("carnet.toml", &format!("{tls}\n[dmp]\nins_domains = [\"test\"]\n"));
    let check = |content: &str| {
        write("file.xml", content);
        let mut carnet = Command::new(env!("CARGO_BIN_EXE_carnet"));
        let output = carnet.current_dir(folder.path()).args(["check", "--json", "file.xml"]).output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        (output.status.code(), told["files"][0].clone())
    };
    let (code, mut alone) = check(&vihf);
    assert_eq!((code, &alone["kind"]), (Some(0), &json!("VIHF, mode INDIRECTE_RENFORCEE")), "{alone}");
    alone["facts"]["from"] = json!("WS-Security header of a SOAP 1.2 message; its body is not judged");
    for message in [&wss::enclose(&vihf), &moved] {
        assert_eq!(check(message), (Some(0), alone.clone()));
    }
    for (message, rule, place) in [
        (&changed, "vihf-signature", "VIHF, DigestValue"),
        (&in_body, "vihf-form", "VIHF, soap:Envelope"),
        (&format!("<!DOCTYPE a>{moved}"), "vihf-form", "VIHF, line 1"),
    ] {
        let (code, told) = check(message);
        assert_eq!((code, &told["refused"][0]["rule"]), (Some(1), &json!(rule)), "{told}");
        assert_eq!(told["refused"][0]["place"], place, "{told}");
    }
}
