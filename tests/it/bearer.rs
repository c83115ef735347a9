//! Access tokens over real connections: who one makes of a structure's certificate, and what they may do.

use std::process::Command;

use carnet::clock::Clock;
use carnet::config::{Config, Oidc};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::support::caller::{Answer, search_path};
use super::support::gateway::patient;
use super::support::provider::{Answer as Instead, DISCOVERY, Provider, SigningKey};
use super::support::{Caller, Document, TestGateway};

const DOCTOR: &str = "810000000011";
const HOSPITAL: &str = "1350000899";
const ENTITY: &str = "1350005179";

/// A gateway that believes a provider.
struct Scene {
    provider: Provider,
    key: SigningKey,
    gateway: TestGateway,
}

impl Scene {
    async fn new() -> Self {
        Self::configured(|_| {}).await
    }

    async fn configured(change: impl FnOnce(&mut Config)) -> Self {
        let key = SigningKey::ec("one");
        Self::of(Provider::start(&[&key]).await, key, change).await
    }

    async fn of(provider: Provider, key: SigningKey, change: impl FnOnce(&mut Config)) -> Self {
        let settings = provider.settings();
        let builder = TestGateway::builder().configured(|config| config.oidc = settings);
        Self { provider, key, gateway: builder.configured(change).start().await }
    }

    /// What the provider says of a doctor of the hospital who logged in through this caller's certificate.
    fn claims(&self, caller: &Caller) -> Value {
        self.provider.claims(&caller.certificate(), Clock::System.now())
    }

    fn header(&self, claims: &Value) -> String {
        format!("Bearer {}", self.key.sign(claims))
    }

    /// The same claims with one of them changed.
    fn header_with(&self, caller: &Caller, claim: &str, value: impl Into<Value>) -> String {
        let mut claims = self.claims(caller);
        claims[claim] = value.into();
        self.header(&claims)
    }
}

async fn search_with(caller: &Caller, authorization: &str) -> Answer {
    search_as(caller, &[("authorization", authorization)]).await
}

async fn search_as(caller: &Caller, headers: &[(&str, &str)]) -> Answer {
    caller.send(Method::GET, &search_path(&patient(), ""), headers, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_professional_named_by_a_bound_token_consults_as_themselves_and_deposits_nothing() {
    let scene = Scene::new().await;
    let gateway = &scene.gateway;
    let hospital = gateway.hospital();
    let letter = Document::discharge_letter();
    let id = hospital.deposited(&letter).await;
    let token = scene.header(&scene.claims(&hospital));

    let refused = search_with(&hospital, &token).await;
    assert_eq!((refused.status, refused.rule().as_str()), (StatusCode::FORBIDDEN, "access-denied"));

    gateway.doctor(DOCTOR).declare_authorisation(&patient()).await;
    let answer = search_with(&hospital, &token).await;
    assert_eq!(answer.entry_ids(), std::slice::from_ref(&id), "{}", answer.text());
    let named = ["air_professional", DOCTOR, "Claire MARTIN", HOSPITAL, "\"oidc\"", "\"e1\"", "INDIRECTE_RENFORCEE"];
    let line = gateway.last_line().await;
    for part in named.into_iter().chain(["\"search\""]) {
        assert!(line.contains(part), "{part}: {line}");
    }

    let headers = [("authorization", token.as_str())];
    let read = hospital.send(Method::GET, &format!("/Binary/{id}"), &headers, "").await;
    assert_eq!((read.status, &*read.body), (StatusCode::OK, &*letter.content));
    let line = gateway.last_line().await;
    for part in named.into_iter().chain(["\"retrieve\"", id.as_str()]) {
        assert!(line.contains(part), "{part}: {line}");
    }

    let headers = [("content-type", "application/fhir+json"), ("authorization", token.as_str())];
    let deposit = hospital.send(Method::POST, "", &headers, Document::discharge_letter().bundle().to_string()).await;
    assert_eq!((deposit.status, deposit.rule().as_str()), (StatusCode::FORBIDDEN, "mode-refused"));

    gateway.portal().block(DOCTOR).await;
    let blocked = search_with(&hospital, &token).await;
    assert_eq!((blocked.status, blocked.rule().as_str()), (StatusCode::FORBIDDEN, "access-denied"), "known or not");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_purpose_is_the_tokens() {
    let scene = Scene::new().await;
    let hospital = scene.gateway.hospital();
    let id = hospital.deposited(&Document::discharge_letter()).await;
    let broken = scene.header_with(&hospital, "Mode_Acces_Raison", "bris_de_glace: inconscient");
    let answer = search_with(&hospital, &broken).await;
    assert_eq!(answer.entry_ids(), std::slice::from_ref(&id), "{}", answer.text());
    let line = scene.gateway.last_line().await;
    assert!(line.contains("bris_de_glace") && line.contains("inconscient"), "{line}");

    let normal = scene.header(&scene.claims(&hospital));
    let own = [("x-purpose-of-use", "bris_de_glace"), ("x-access-reason", "inconscient"), ("authorization", &*normal)];
    let answer = search_as(&hospital, &own).await;
    assert_eq!((answer.status, answer.rule().as_str()), (StatusCode::FORBIDDEN, "token-mismatch"));
    let same = [("x-purpose-of-use", "bris_de_glace"), ("authorization", &*broken)];
    assert_eq!(search_as(&hospital, &same).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_structure_of_the_token_is_the_certificates_or_a_site_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("finess.csv");
    std::fs::write(&table, "EG;EJ\n350000899;350005179\n").unwrap();
    let scene = Scene::configured(|config| config.dmp.finess_table = table).await;
    scene.gateway.doctor(DOCTOR).declare_authorisation(&patient()).await;
    let laboratory = scene.gateway.laboratory();
    let answer = search_with(&laboratory, &scene.header(&scene.claims(&laboratory))).await;
    assert_eq!((answer.status, answer.rule().as_str()), (StatusCode::FORBIDDEN, "structure-mismatch"));
    for part in ["SubjectOrganizationID", HOSPITAL, &laboratory.id] {
        assert!(answer.text().contains(part), "{part}: {}", answer.text());
    }
    assert!(scene.gateway.last_line().await.contains("structure-mismatch"));

    let entity = scene.gateway.structure(ENTITY, "CHU DE TEST");
    let answer = search_with(&entity, &scene.header(&scene.claims(&entity))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_on_its_own_certificate_alone() {
    let scene = Scene::new().await;
    scene.gateway.doctor(DOCTOR).declare_authorisation(&patient()).await;
    let (hospital, same_hospital) = (scene.gateway.hospital(), scene.gateway.hospital());
    let token = scene.header(&scene.claims(&hospital));
    assert_eq!(search_with(&hospital, &token).await.status, StatusCode::OK);
    let answer = search_with(&same_hospital, &token).await;
    assert_eq!((answer.status, answer.rule().as_str()), (StatusCode::UNAUTHORIZED, "token-binding"));
    let schemes: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(schemes, ["IHE-SAML", "Bearer realm=\"carnet\", error=\"invalid_token\""]);
    assert!(scene.gateway.last_line().await.contains("token-binding"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_and_who_is_no_professional_consult_nothing_by_a_token() {
    let scene = Scene::new().await;
    let doctor = scene.gateway.authorised_doctor(DOCTOR).await;
    let answer = search_with(&doctor, &scene.header(&scene.claims(&doctor))).await;
    assert_eq!((answer.status, answer.rule().as_str()), (StatusCode::FORBIDDEN, "token-mismatch"));

    let hospital = scene.gateway.hospital();
    let secretary = json!(["SECRETARIAT_MEDICAL^1.2.250.1.213.1.1.4.6"]);
    let answer = search_with(&hospital, &scene.header_with(&hospital, "SubjectRole", secretary)).await;
    assert_eq!((answer.status, answer.rule().as_str()), (StatusCode::FORBIDDEN, "mode-refused"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_told_and_written_down_whatever_the_certificate_may() {
    let scene = Scene::new().await;
    let hospital = scene.gateway.hospital();
    let mut claims = scene.claims(&hospital);
    claims["aud"] = "other".into();
    claims["acr"] = "none".into();
    let bad = scene.header(&claims);
    let without_scheme = bad.replace("Bearer ", "");
    for (value, rules) in [
        (bad.as_str(), vec!["token-audience", "token-level"]),
        ("Basic YTpi", vec!["token-scheme"]),
        (without_scheme.as_str(), vec!["token-scheme"]),
        ("Bearer", vec!["token-form"]),
    ] {
        let lines = scene.gateway.journal_lines().await;
        let answer = search_with(&hospital, value).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text());
        assert_eq!(answer.rules(), rules);
        assert_eq!(answer.headers.get_all("www-authenticate").iter().count(), 2);
        assert_eq!(scene.gateway.journal_lines().await, lines + 1);
        let line = scene.gateway.last_line().await;
        for secret in ["YTpi", &without_scheme] {
            assert!(!answer.text().contains(secret) && !line.contains(secret));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_a_provider_is_refused_and_a_silent_provider_asks_for_patience() {
    let without = Scene::configured(|config| config.oidc = Oidc::default()).await;
    let key = SigningKey::ec("one");
    let provider = Provider::start(&[&key]).await;
    provider.answer(DISCOVERY, Some(Instead::Status(500)));
    let silent = Scene::of(provider, key, |_| {}).await;
    for (scene, status, rule) in [(without, 401, "token-scheme"), (silent, 503, "token-provider")] {
        let hospital = scene.gateway.hospital();
        let answer = search_with(&hospital, &scene.header(&scene.claims(&hospital))).await;
        assert_eq!((answer.status.as_u16(), answer.rule().as_str()), (status, rule), "{}", answer.text());
        assert_eq!(answer.headers.contains_key("retry-after"), status == 503);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn carnet_check_judges_a_token_with_the_keys_and_the_certificate_at_hand() {
    let scene = Scene::new().await;
    let (hospital, laboratory) = (scene.gateway.hospital(), scene.gateway.laboratory());
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
    write("carnet.toml", &check_settings(&scene));
    write("keys.json", &json!({ "keys": [scene.key.jwk()] }).to_string());
    write("hospital.pem", hospital.certificate_pem());
    write("laboratory.pem", laboratory.certificate_pem());
    write("token", &scene.header(&scene.claims(&hospital)));
    // The provider's word for the laboratory, of a doctor who works in the hospital.
    write("elsewhere", &scene.header(&scene.claims(&laboratory)));
    let cases = [
        (vec!["token"], 0, vec![]),
        (vec!["--keys", "keys.json", "--certificate", "hospital.pem", "token"], 0, vec![]),
        (vec!["--certificate", "laboratory.pem", "token"], 1, vec!["token-binding", "structure-mismatch"]),
        (vec!["--certificate", "laboratory.pem", "elsewhere"], 1, vec!["structure-mismatch"]),
        (vec!["--keys", "hospital.pem", "token"], 2, vec![]),
    ];
    for (arguments, code, rules) in cases {
        let mut carnet = Command::new(env!("CARGO_BIN_EXE_carnet"));
        carnet.current_dir(folder.path()).args(["check", "--json"]).args(&arguments);
        let output = carnet.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        if code == 2 {
            continue;
        }
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let told = &told["files"][0];
        let refused: Vec<&str> =
            told["refused"].as_array().unwrap().iter().filter_map(|one| one["rule"].as_str()).collect();
        assert_eq!(refused, rules, "{arguments:?}: {told}");
        assert_eq!(told["facts"]["professional"], DOCTOR);
        let judged_whole = told["not_judged"].as_array().unwrap().is_empty();
        assert_eq!(judged_whole, arguments.len() == 5, "{told}");
    }
}

/// What `carnet check` must know of the gateway of a scene.
fn check_settings(scene: &Scene) -> String {
    let config = &scene.gateway.gateway().config;
    let settings = scene.provider.settings();
    format!(
        "[tls]\nclient_roots = {:?}\nclient_crls = []\nallow_development_roots = true\n\n\
         [oidc]\nissuer = {:?}\naudience = {:?}\nca = {:?}\n",
        config.tls.client_roots, settings.issuer, settings.audience, settings.ca
    )
}
