//! Access tokens against a real provider over TLS: what is believed, what is refused and why, and how often it is asked.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use carnet::clock::Clock;
use carnet::config::{Oidc, SignatureAlgorithm};
use carnet::domain::code::Code;
use carnet::domain::sha::Fingerprint;
use carnet::domain::value_set::Terminology;
use carnet::identity::caller::Purpose;
use carnet::identity::oidc::{Bearer, KeySet, judge};
use carnet::identity::statement::StatedMode;
use carnet::identity::token::Token;
use carnet::refusal::{Refusal, Rule};
use carnet::tls::client_certificate::ClientCertificate;
use carnet::tls::development_pki::Holder;
use jiff::{Span, Timestamp, ToSpan as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::support::gateway::issue;
use super::support::provider::{
    Answer, DISCOVERY, INTROSPECTION, INTROSPECTION_MTLS, KEYS, Provider, SigningKey, USERINFO,
};

/// A provider, a reader of its tokens whose clock stands still, and the certificate of a hospital.
struct Scene {
    provider: Provider,
    key: SigningKey,
    clock: Clock,
    bearer: Bearer,
    certificate: ClientCertificate,
}

impl Scene {
    async fn new() -> Self {
        Self::with(SigningKey::rsa("one"), |_| {}).await
    }

    async fn with(key: SigningKey, change: impl FnOnce(&mut Oidc)) -> Self {
        let provider = Provider::start(&[&key]).await;
        let mut settings = provider.settings();
        change(&mut settings);
        let clock = Clock::fixed(Clock::System.now());
        let bearer = reader(&settings, &clock);
        Self { provider, key, clock, bearer, certificate: certificate("1350000899") }
    }

    fn claims(&self) -> Value {
        self.provider.claims(&self.certificate, self.clock.now())
    }

    fn token(&self) -> String {
        self.key.sign(&self.claims())
    }

    async fn read(&self, token: &str) -> Result<Token, Vec<Refusal>> {
        self.bearer.read(token, &self.certificate).await.map_err(|failure| failure.refusals().to_vec())
    }

    /// The only rule that a token breaks.
    async fn refused(&self, token: &str) -> Refusal {
        let refusals = self.read(token).await.expect_err("refused");
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        refusals.into_iter().next().unwrap()
    }

    async fn rule(&self, token: &str) -> Rule {
        self.refused(token).await.rule
    }

    fn move_clock(&self, by: Span) {
        let Clock::Fixed(us) = &self.clock else { panic!("a clock that moves by itself") };
        us.store((self.clock.now() + by).as_microsecond(), Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_good_token_states_the_professional() {
    for key in [SigningKey::rsa("one"), SigningKey::rsa("one").with_algorithm(Algorithm::PS256), SigningKey::ec("one")]
    {
        let scene = Scene::with(key, |_| {}).await;
        let token = scene.read(&scene.token()).await.unwrap();
        let statement = &token.statement;
        assert_eq!(token.id, "e1");
        assert_eq!(statement.mode, StatedMode::IndirecteRenforcee);
        assert_eq!(statement.subject.id, "810000000011");
        assert_eq!(statement.subject.name.as_deref(), Some("Claire MARTIN"));
        assert_eq!(statement.structure.as_str(), "1350000899");
        assert!(statement.sector.as_ref().unwrap().is(&Code::new("1.2.250.1.71.4.2.4", "SA01")));
        let codes: Vec<&str> = statement.roles.iter().map(|role| role.code.as_str()).collect();
        assert_eq!(codes, ["10", "SM54"]);
        assert_eq!(statement.purpose, Purpose::Normal);
    }
}

#[tokio::test]
async fn each_claim_wrong_alone_has_its_own_explanation() {
    let scene = Scene::new().await;
    let now_s = scene.clock.now().as_second();
    let cases = [
        (
            "iss",
            json!("https://other.example"),
            Rule::TokenIssuer,
            "https://other.example",
            scene.provider.issuer.as_str(),
        ),
        ("aud", json!(["other"]), Rule::TokenAudience, "other", "carnet"),
        ("exp", json!(now_s - 40), Rule::TokenTime, "40 s ago", "our clock"),
        ("nbf", json!(now_s + 40), Rule::TokenTime, "in 40 s", "our clock"),
        ("iat", json!(now_s + 40), Rule::TokenTime, "in 40 s", "our clock"),
        ("acr", json!("none"), Rule::TokenLevel, "none", "eidas1"),
        ("cnf", Value::Null, Rule::TokenBinding, "another kind", "x5t#S256"),
        ("SubjectNameID", json!("ANS2023"), Rule::TokenClaim, "A****23", "PS_IdNat"),
        ("SubjectNameID", Value::Null, Rule::TokenClaim, "nothing", "PS_IdNat"),
        ("SubjectRole", json!(["11^1.2.250.1.213.1.1.5.5"]), Rule::TokenClaim, "11^", "JDV_J65"),
        ("SubjectRole", json!({}), Rule::TokenClaim, "something else", "CODE^SYSTEM"),
        ("SubjectOrganizationID", json!("the hospital"), Rule::TokenClaim, "the hospital", "Struct_IdNat"),
        ("SubjectRefPro", json!("none"), Rule::TokenClaim, "something else", "exercices"),
        ("Mode_Acces_Raison", json!("bris_de_glace"), Rule::TokenClaim, "bris_de_glace", "and the reason"),
        ("Mode_Acces_Raison", json!("curious about a neighbour"), Rule::TokenClaim, "another text", "centre_15"),
        ("Acces_Regulation_Medicale", json!("OUI"), Rule::TokenClaim, "OUI", "VRAI"),
    ];
    for (name, value, rule, found, expected) in cases {
        let mut claims = scene.claims();
        claims[name] = value;
        let refusal = scene.refused(&scene.key.sign(&claims)).await;
        assert_eq!(refusal.rule, rule, "{refusal}");
        assert!(refusal.place.starts_with(&format!("token, claim {name}")), "{refusal}");
        assert!(refusal.found.contains(found) && refusal.expected.contains(expected), "{refusal}");
        assert!(!refusal.to_string().contains("neighbour"), "{refusal}");
    }
}

#[tokio::test]
async fn purposes_are_those_of_the_token() {
    let scene = Scene::new().await;
    let reason = || Purpose::BrisDeGlace { reason: "inconscient".to_owned() };
    let cases = [
        ("", "FAUX", Purpose::Normal),
        ("normal", "FAUX", Purpose::Normal),
        ("centre_15", "FAUX", Purpose::Centre15),
        ("", "VRAI", Purpose::Centre15),
        ("bris_de_glace: inconscient", "FAUX", reason()),
    ];
    for (mode, regulation, purpose) in cases {
        let mut claims = scene.claims();
        claims["Mode_Acces_Raison"] = mode.into();
        claims["Acces_Regulation_Medicale"] = regulation.into();
        assert_eq!(scene.read(&scene.key.sign(&claims)).await.unwrap().statement.purpose, purpose, "{mode}");
    }
}

#[tokio::test]
async fn a_structure_goes_by_all_its_ids_and_by_none_where_the_certificate_tells() {
    let scene = Scene::new().await;
    for id in ["F350000899", "350000899", "1350000899", "1350000022"] {
        let mut claims = scene.claims();
        claims["SubjectOrganizationID"] = id.into();
        let token = scene.read(&scene.key.sign(&claims)).await.unwrap();
        assert_eq!(token.statement.structure.as_str(), "1350000899", "{id}");
    }
    let mut claims = scene.claims();
    claims["SubjectOrganizationID"] = "".into();
    let unstated = scene.key.sign(&claims);
    assert_eq!(scene.read(&unstated).await.unwrap().statement.structure.as_str(), "1350000899");

    let elsewhere = certificate("1350001111");
    claims["cnf"] = scene.provider.claims(&elsewhere, scene.clock.now())["cnf"].clone();
    let failure = scene.bearer.read(&scene.key.sign(&claims), &elsewhere).await.unwrap_err();
    let refusal = &failure.refusals()[0];
    assert_eq!(refusal.place, "token, claim SubjectOrganizationID");
    assert!(refusal.found.contains("1350000899") && refusal.expected.contains("1350001111"), "{refusal}");
}

#[tokio::test]
async fn a_student_is_no_doctor() {
    let scene = Scene::new().await;
    let mut claims = scene.claims();
    claims["SubjectRefPro"]["exercices"][0]["codeCategorieProfessionnelle"] = "E".into();
    let token = scene.read(&scene.key.sign(&claims)).await.unwrap();
    assert!(token.statement.roles[0].is(&Code::new("1.2.250.1.71.1.2.8", "10")), "{:?}", token.statement.roles);
}

#[tokio::test]
async fn a_public_key_is_no_secret_and_no_signature_is_none() {
    let scene = Scene::new().await;
    let jwk = scene.key.jwk();
    let modulus = jwk["n"].as_str().unwrap().as_bytes();
    let kid = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::HS256) };
    let confused = jsonwebtoken::encode(&kid, &scene.claims(), &EncodingKey::from_secret(modulus)).unwrap();
    let refusal = scene.refused(&confused).await;
    assert_eq!((refusal.rule, refusal.found.as_str()), (Rule::TokenAlgorithm, "HS256"));

    let good = scene.token();
    let (_, rest) = good.split_once('.').unwrap();
    let (payload, _) = rest.split_once('.').unwrap();
    for alg in ["none", "None", "NONE", ""] {
        let header = base64_simd::URL_SAFE_NO_PAD.encode_to_string(json!({ "alg": alg, "kid": "one" }).to_string());
        for signature in ["", "e30"] {
            assert_eq!(scene.rule(&format!("{header}.{payload}.{signature}")).await, Rule::TokenAlgorithm, "{alg}");
        }
    }
}

#[tokio::test]
async fn a_key_is_not_used_for_an_algorithm_that_is_not_its_own() {
    let scene = Scene::with(SigningKey::rsa("one"), |_| {}).await;
    let claims = scene.claims();
    let scene_key = SigningKey::ec("one");
    assert_eq!(scene.rule(&scene_key.sign(&claims)).await, Rule::TokenKey, "ES256 by the id of an RSA key");
    let lenient =
        Scene::with(SigningKey::rsa("one"), |settings| settings.algorithms = vec![SignatureAlgorithm::PS256]).await;
    assert_eq!(lenient.rule(&lenient.token()).await, Rule::TokenAlgorithm);
}

#[tokio::test]
async fn what_a_token_says_of_its_own_key_is_not_heard() {
    let scene = Scene::new().await;
    let thief = SigningKey::rsa("one");
    assert_eq!(scene.rule(&thief.sign(&scene.claims())).await, Rule::TokenSignature);
    let header = |kid: Option<&str>| Header {
        kid: kid.map(str::to_owned),
        jwk: Some(serde_json::from_value(thief.jwk()).unwrap()),
        jku: Some("https://thief.example/keys".to_owned()),
        x5u: Some("https://thief.example/certificate".to_owned()),
        ..Header::new(Algorithm::RS256)
    };
    assert_eq!(scene.rule(&thief.sign_with(&header(Some("one")), &scene.claims())).await, Rule::TokenSignature);
    assert_eq!(scene.rule(&thief.sign_with(&header(None), &scene.claims())).await, Rule::TokenSignature);
    for kid in ["../../../dev/null", "' OR 1=1 --", "https://thief.example/keys", ""] {
        assert_eq!(scene.rule(&thief.sign_with(&header(Some(kid)), &scene.claims())).await, Rule::TokenKey, "{kid}");
    }
}

#[tokio::test]
async fn a_token_that_was_touched_is_refused() {
    let scene = Scene::new().await;
    let mut claims = scene.claims();
    let good = scene.key.sign(&claims);
    claims["SubjectNameID"] = "810000000029".into();
    let other = scene.key.sign(&claims);
    let parts: Vec<&str> = good.split('.').collect();
    let touched = format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2]);
    assert_eq!(scene.rule(&touched).await, Rule::TokenSignature);
    assert!(scene.read(&good).await.is_ok());
}

#[tokio::test]
async fn a_token_of_one_certificate_is_refused_on_another_even_once_it_is_known() {
    let scene = Scene::new().await;
    let token = scene.token();
    assert!(scene.read(&token).await.is_ok());
    let other = certificate("1350001111");
    let failure = scene.bearer.read(&token, &other).await.unwrap_err();
    let refusal = &failure.refusals()[0];
    let shown =
        |certificate: &ClientCertificate| base64_simd::URL_SAFE_NO_PAD.encode_to_string(certificate.fingerprint.0);
    assert_eq!(refusal.rule, Rule::TokenBinding);
    assert!(refusal.found == shown(&scene.certificate) && refusal.expected.contains(&shown(&other)), "{refusal}");
}

#[tokio::test]
async fn an_unbound_token_needs_a_configuration_that_says_so() {
    let mut claims = Value::Null;
    for (required, good) in [(true, false), (false, true)] {
        let scene = Scene::with(SigningKey::ec("one"), |settings| settings.require_bound_tokens = required).await;
        claims.clone_from(&scene.claims());
        claims.as_object_mut().unwrap().remove("cnf");
        assert_eq!(scene.read(&scene.key.sign(&claims)).await.is_ok(), good);
    }
}

#[tokio::test]
async fn a_known_token_ends_when_it_says_so() {
    let scene = Scene::new().await;
    let token = scene.token();
    assert!(scene.read(&token).await.is_ok());
    scene.move_clock(150.seconds());
    assert!(scene.read(&token).await.is_ok(), "its end and the skew");
    scene.move_clock(1.seconds());
    assert_eq!(scene.rule(&token).await, Rule::TokenTime);
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_ask_at_once_the_provider_is_asked_once() {
    let scene = Arc::new(Scene::new().await);
    let token = scene.token();
    let readers: Vec<_> = (0..32)
        .map(|_| {
            let (scene, token) = (Arc::clone(&scene), token.clone());
            tokio::spawn(async move { scene.read(&token).await.is_ok() })
        })
        .collect();
    for reader in readers {
        assert!(reader.await.unwrap());
    }
    assert_eq!((scene.provider.asked(DISCOVERY), scene.provider.asked(KEYS)), (1, 1));
}

#[tokio::test]
async fn unknown_keys_make_one_fetch_an_interval() {
    let scene = Scene::new().await;
    assert!(scene.read(&scene.token()).await.is_ok());
    let stranger = SigningKey::ec("x");
    for round in 1..=2 {
        scene.move_clock(30.seconds());
        for n in 0..20 {
            let header = Header { kid: Some(format!("stranger {n}")), ..Header::new(Algorithm::ES256) };
            assert_eq!(scene.rule(&stranger.sign_with(&header, &scene.claims())).await, Rule::TokenKey);
        }
        assert_eq!(scene.provider.asked(KEYS), 1 + round);
    }
}

#[tokio::test]
async fn a_new_key_is_believed_at_once_and_one_taken_back_no_longer() {
    let scene = Scene::new().await;
    let old = scene.token();
    assert!(scene.read(&old).await.is_ok());
    scene.move_clock(31.seconds());
    let next = SigningKey::ec("two");
    scene.provider.publish(&[&next]);
    assert!(scene.read(&old).await.is_ok(), "nobody has looked yet");
    assert!(scene.read(&next.sign(&scene.claims())).await.is_ok());
    assert_eq!(scene.rule(&old).await, Rule::TokenKey, "though it was verified before");
}

#[tokio::test]
async fn keys_are_looked_at_again_when_they_are_old() {
    let scene = Scene::with(SigningKey::rsa("one"), |settings| settings.keys_refresh_seconds = 60).await;
    let old = scene.token();
    assert!(scene.read(&old).await.is_ok());
    scene.provider.publish(&[&SigningKey::ec("two")]);
    scene.move_clock(61.seconds());
    assert_eq!(scene.rule(&old).await, Rule::TokenKey);
}

#[tokio::test]
async fn keys_hold_through_an_outage_and_not_for_ever() {
    let scene = Scene::new().await;
    assert!(scene.read(&scene.token()).await.is_ok());
    scene.provider.answer(DISCOVERY, Some(Answer::Status(500)));
    scene.move_clock((900 + 14_399).seconds());
    assert!(scene.read(&scene.token()).await.is_ok());
    scene.move_clock(1.seconds());
    let token = scene.token();
    let asked = scene.provider.asked(DISCOVERY);
    assert_eq!(scene.rule(&token).await, Rule::TokenProvider);
    assert_eq!(scene.provider.asked(DISCOVERY), asked, "asked a second ago");
    scene.provider.answer(DISCOVERY, None);
    scene.move_clock(30.seconds());
    assert!(scene.read(&token).await.is_ok());
}

#[tokio::test]
async fn an_answer_that_cannot_be_believed_is_none() {
    let scene = Scene::new().await;
    let huge = format!("{{\"keys\":[],\"pad\":\"{}\"}}", "x".repeat(300 * 1024));
    let elsewhere = json!({ "issuer": scene.provider.issuer, "jwks_uri": "https://127.0.0.1:1/keys" });
    let plain = json!({ "issuer": scene.provider.issuer, "jwks_uri": scene.provider.issuer.replace("https", "http") });
    let impostor = json!({ "issuer": "https://other.example", "jwks_uri": format!("{}/certs", scene.provider.issuer) });
    let cases = [
        (DISCOVERY, Answer::Silence),
        (DISCOVERY, Answer::Status(404)),
        (DISCOVERY, Answer::Text("<html>".to_owned())),
        (DISCOVERY, Answer::Text(elsewhere.to_string())),
        (DISCOVERY, Answer::Text(plain.to_string())),
        (DISCOVERY, Answer::Text(impostor.to_string())),
        (DISCOVERY, Answer::Redirect(format!("{}/certs", scene.provider.issuer))),
        (KEYS, Answer::Silence),
        (KEYS, Answer::Status(503)),
        (KEYS, Answer::Text(huge)),
        (KEYS, Answer::Text("{\"keys\":[]}".to_owned())),
        (KEYS, Answer::Text("{\"keys\":".to_owned())),
    ];
    for (path, answer) in cases {
        scene.provider.answer(path, Some(answer));
        assert_eq!(scene.rule(&scene.token()).await, Rule::TokenProvider);
        scene.provider.answer(path, None);
        scene.move_clock(31.seconds());
    }
    assert!(scene.read(&scene.token()).await.is_ok());
}

#[tokio::test]
async fn a_provider_of_another_authority_is_not_asked_twice_in_a_row() {
    let (scene, other) = (Scene::new().await, Provider::start(&[]).await);
    let settings = Oidc { ca: other.settings().ca, ..scene.provider.settings() };
    let bearer = reader(&settings, &scene.clock);
    for _ in 0..3 {
        let failure = bearer.read(&scene.token(), &scene.certificate).await.unwrap_err();
        assert_eq!(failure.refusals()[0].rule, Rule::TokenProvider);
    }
    assert_eq!(scene.provider.asked(DISCOVERY), 0);
}

#[tokio::test]
async fn an_opaque_token_is_what_the_provider_says_and_kept_for_a_while() {
    let scene = Scene::with(SigningKey::rsa("one"), |settings| settings.introspection = true).await;
    let mut claims = scene.claims();
    claims["active"] = true.into();
    scene.provider.know("opaque", claims);
    for _ in 0..3 {
        assert_eq!(scene.read("opaque").await.unwrap().statement.subject.id, "810000000011");
    }
    assert_eq!(scene.provider.asked(INTROSPECTION), 1);
    let (form, authorization) = scene.provider.last_question();
    assert_eq!(form, "token=opaque&token_type_hint=access_token");
    let basic = base64_simd::STANDARD.encode_to_string("carnet+%26+co:s3cret%2F%2B");
    assert_eq!(authorization, format!("Basic {basic}"));

    scene.provider.know("opaque", json!({ "active": false }));
    scene.move_clock(30.seconds());
    assert!(scene.read("opaque").await.is_ok());
    scene.move_clock(1.seconds());
    assert_eq!(scene.rule("opaque").await, Rule::TokenInactive);
    assert_eq!(scene.rule("opaque").await, Rule::TokenInactive);
    assert_eq!(scene.provider.asked(INTROSPECTION), 3, "what is inactive is not remembered");
}

#[tokio::test]
async fn what_the_token_leaves_out_of_the_professional_is_asked_for_once() {
    let scene = Scene::with(SigningKey::rsa("one"), |settings| settings.userinfo = true).await;
    let mut told = scene.claims();
    let mut claims = told.clone();
    let left_out =
        ["SubjectRole", "SubjectOrganizationID", "SubjectRefPro", "Secteur_Activite", "given_name", "family_name"];
    for name in left_out {
        claims.as_object_mut().unwrap().remove(name);
    }
    told["SubjectNameID"] = "810000000029".into();
    scene.provider.answer(USERINFO, Some(Answer::Text(told.to_string())));
    let token = scene.key.sign(&claims);
    for _ in 0..3 {
        let statement = &scene.read(&token).await.unwrap().statement;
        assert_eq!((statement.subject.id.as_str(), statement.roles[0].code.as_str()), ("810000000011", "10"));
        assert_eq!(statement.subject.name.as_deref(), Some("Claire MARTIN"));
    }
    assert_eq!(scene.provider.asked(USERINFO), 1);

    scene.move_clock(1.seconds());
    let again = || {
        let mut claims = claims.clone();
        claims["jti"] = "e2".into();
        scene.key.sign(&claims)
    };
    told["sub"] = "f:1:810000000029".into();
    scene.provider.answer(USERINFO, Some(Answer::Text(told.to_string())));
    let refusal = scene.refused(&again()).await;
    assert_eq!((refusal.rule, refusal.place.as_str()), (Rule::TokenClaim, "userinfo, claim sub"));
    for answer in [Answer::Status(401), Answer::Text("[]".to_owned()), Answer::Silence] {
        scene.provider.answer(USERINFO, Some(answer));
        assert_eq!(scene.rule(&again()).await, Rule::TokenProvider);
    }
}

#[tokio::test]
async fn a_provider_may_know_this_gateway_by_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let struct_id = "1350009999".parse().unwrap();
    let holder = Holder::Organisation { struct_id, name: "CARNET".to_owned(), application: "CARNET".to_owned() };
    let ours = issue(&holder);
    ours.write(&folder.path().join("carnet")).unwrap();
    let scene = Scene::with(SigningKey::rsa("one"), |settings| {
        settings.introspection = true;
        settings.client_secret = PathBuf::new();
        settings.client_certificate = folder.path().join("carnet.pem");
        settings.client_key = folder.path().join("carnet.key");
    })
    .await;
    let mut claims = scene.claims();
    claims["active"] = true.into();
    scene.provider.know("opaque", claims);
    assert!(scene.read("opaque").await.is_ok());
    let leaf = CertificateDer::from_pem_slice(ours.certificate_pem.as_bytes()).unwrap();
    assert_eq!(scene.provider.last_certificate(), Some(Fingerprint::of(&leaf).sha256));
    let (form, authorization) = scene.provider.last_question();
    assert_eq!(form, "token=opaque&token_type_hint=access_token&client_id=carnet+%26+co");
    assert_eq!((authorization.as_str(), scene.provider.asked(INTROSPECTION_MTLS)), ("", 1));
}

#[tokio::test]
async fn an_opaque_token_is_held_against_the_same_rules() {
    let scene = Scene::with(SigningKey::rsa("one"), |settings| {
        settings.introspection = true;
        settings.introspection_seconds = 3600;
    })
    .await;
    let mut bound_to_another = scene.claims();
    bound_to_another["active"] = true.into();
    bound_to_another["cnf"] = scene.provider.claims(&certificate("1350001111"), scene.clock.now())["cnf"].clone();
    scene.provider.know("bound", bound_to_another);
    assert_eq!(scene.rule("bound").await, Rule::TokenBinding);

    let mut ending = scene.claims();
    ending["active"] = true.into();
    scene.provider.know("ending", ending);
    assert!(scene.read("ending").await.is_ok());
    scene.move_clock(151.seconds());
    assert_eq!(scene.rule("ending").await, Rule::TokenTime, "asked again, though an hour was allowed");
}

#[tokio::test]
async fn without_an_answer_nobody_gets_in_by_an_opaque_token() {
    let scene = Scene::with(SigningKey::rsa("one"), |settings| settings.introspection = true).await;
    for answer in [Answer::Status(401), Answer::Silence, Answer::Text("{}".to_owned()), Answer::Text("yes".to_owned())]
    {
        scene.provider.answer(INTROSPECTION, Some(answer));
        assert_eq!(scene.rule("opaque").await, Rule::TokenProvider);
    }
    let off = Scene::new().await;
    assert_eq!(off.rule("opaque").await, Rule::TokenForm);
    assert_eq!(off.provider.asked(INTROSPECTION), 0);
}

#[tokio::test]
async fn the_same_rules_hold_offline() {
    let scene = Scene::new().await;
    let keys = KeySet::from_json(json!({ "keys": [scene.key.jwk()] }).to_string().as_bytes()).unwrap();
    let terminology = Terminology::load().unwrap();
    let settings = scene.provider.settings();
    let check = |token: &str, keys: Option<&KeySet>, certificate: Option<&ClientCertificate>, now: Timestamp| {
        judge(token, &settings, keys, certificate, &terminology, now)
    };
    let (token, now) = (scene.token(), scene.clock.now());
    let good = check(&token, Some(&keys), Some(&scene.certificate), now);
    assert!(good.refusals.is_empty() && good.not_judged.is_empty() && good.token.is_some(), "{good:?}");
    let blind = check(&token, None, None, now);
    assert!(blind.refusals.is_empty() && blind.not_judged.len() == 2, "{blind:?}");

    let mut claims = scene.claims();
    claims["iss"] = "https://other.example".into();
    claims["SubjectNameID"] = "nobody".into();
    let stolen = SigningKey::rsa("one").sign(&claims);
    let judged = check(&stolen, Some(&keys), Some(&certificate("1350001111")), now + 1.hour());
    let rules: Vec<Rule> = judged.refusals.iter().map(|refusal| refusal.rule).collect();
    let all = [Rule::TokenSignature, Rule::TokenIssuer, Rule::TokenTime, Rule::TokenBinding, Rule::TokenClaim];
    assert_eq!(rules, all, "all at once");
}

fn reader(settings: &Oidc, clock: &Clock) -> Bearer {
    let terminology = Arc::new(Terminology::load().unwrap());
    Bearer::new(settings, terminology, clock.clone()).unwrap().expect("a provider is configured")
}

fn certificate(struct_id: &str) -> ClientCertificate {
    let struct_id = struct_id.parse().unwrap();
    let holder = Holder::Organisation { struct_id, name: "HOPITAL".to_owned(), application: "TEST".to_owned() };
    let leaf = CertificateDer::from_pem_slice(issue(&holder).certificate_pem.as_bytes()).unwrap();
    ClientCertificate::from_der(&leaf).unwrap()
}
