//! Every class of certificate, and every defect alone, over real handshakes of both TLS versions.

use std::sync::Arc;
use std::time::Duration;

use carnet::cli::client::{Client, Identity};
use carnet::clock::Clock;
use carnet::config::{self, CertificateClass, Limits, Revocation};
use carnet::refusal::Rule;
use carnet::tls::client_verifier::ClientVerifier;
use carnet::tls::development_pki::{CardKind, DevelopmentPki, Holder, Issued, KeyUse};
use carnet::tls::files::FileError;
use carnet::tls::key_purpose::KeyPurpose;
use carnet::tls::listener::accept;
use carnet::tls::signature_certificate::SignatureCertificate;
use carnet::tls::subject::Subject;
use carnet::tls::trust::{Reload, TrustError};
use http::Uri;
use jiff::ToSpan as _;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair,
    KeyUsagePurpose, NameConstraints, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, SupportedProtocolVersion};
use tokio::net::TcpListener;

use crate::support::forge::{Forge, LABORATORY, critical};
use crate::support::test_listener::{TestListener, doctor, hospital, settings};

/// What makes a certificate bad.
type Change = fn(&mut CertificateParams);

const DOCTOR: &str = "801234567897";
const CLERK: &str = "3310000017/42";

fn clerk() -> Holder {
    Holder::Employee { id: CLERK.parse().unwrap(), organisation: "CLINIQUE TEST".to_owned() }
}

#[tokio::test]
async fn every_class_of_authentication_certificate_comes_in() {
    let listener = TestListener::start().await;
    let pki = &listener.pki;
    let cases = [
        (CardKind::Test, doctor(), DOCTOR),
        (CardKind::Real, doctor(), DOCTOR),
        (CardKind::OldTest, doctor(), DOCTOR),
        (CardKind::Test, clerk(), CLERK),
        (CardKind::Test, hospital(), "1750803447"),
    ];
    for (card, holder, id) in cases {
        let issued = pki.issue_on(card, &holder, KeyUse::Auth, pki.usual_lifetime()).unwrap();
        assert_answers(&listener, &issued, id).await;
    }
}

#[tokio::test]
async fn no_signature_certificate_opens_a_connection() {
    let listener = TestListener::start().await;
    for (card, holder) in [
        (CardKind::Test, doctor()),
        (CardKind::OldTest, doctor()),
        (CardKind::Test, clerk()),
        (CardKind::Test, hospital()),
    ] {
        let issued = listener.pki.issue_on(card, &holder, KeyUse::Sign, listener.pki.usual_lifetime()).unwrap();
        assert_refused(&listener, &issued, "signature certificate").await;
    }
}

#[tokio::test]
async fn the_forge_makes_good_certificates_when_told_nothing_else() {
    let listener = TestListener::start().await;
    assert_answers(&listener, &Forge::of(&listener, "organisations").issue(|_| {}), LABORATORY).await;
}

#[tokio::test]
async fn each_defect_of_the_certificate_alone_ends_the_handshake() {
    let listener = TestListener::start().await;
    let forge = Forge::of(&listener, "organisations");
    let defects: [(&str, Change); 13] = [
        ("client certificate, basicConstraints: found a CA", |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }),
        ("client certificate, validity: found notAfter 2020-01-01T00:00:00Z, judged at 2", |params| {
            params.not_after = date_time_ymd(2020, 1, 1);
        }),
        ("client certificate, validity: found notBefore 2090-01-01T00:00:00Z, judged at 2", |params| {
            params.not_before = date_time_ymd(2090, 1, 1);
        }),
        ("client certificate, validity: found notBefore 2090", |params| {
            (params.not_before, params.not_after) = (date_time_ymd(2090, 1, 1), date_time_ymd(2020, 1, 1));
        }),
        ("extendedKeyUsage: found neither clientAuth nor emailProtection; expected clientAuth", |params| {
            params.extended_key_usages.clear();
        }),
        ("extendedKeyUsage: found serverAuth; expected clientAuth", |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        }),
        ("extendedKeyUsage: found emailProtection; expected clientAuth", |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
        }),
        ("extendedKeyUsage: found neither clientAuth", |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        }),
        ("extendedKeyUsage: found neither clientAuth", |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
        }),
        ("keyUsage: found no digitalSignature", |params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment]),
        ("keyUsage: found nonRepudiation", |params| params.key_usages.push(KeyUsagePurpose::ContentCommitment)),
        ("extension 1.2.3.4.5.6: found critical and unknown", |params| {
            params.custom_extensions.push(critical(&[1, 2, 3, 4, 5, 6]));
        }),
        ("extension 1.2.250.1.71.1.2.9: found critical and unknown", |params| {
            params.custom_extensions.push(critical(&[1, 2, 250, 1, 71, 1, 2, 9]));
        }),
    ];
    for (words, change) in defects {
        let issued = forge.issue(change);
        assert_refused(&listener, &issued, words).await;
        assert_explained(&listener, &issued, words);
    }
}

#[tokio::test]
async fn every_strong_key_comes_in() {
    let listener = TestListener::start().await;
    let forge = Forge::of(&listener, "organisations");
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let elliptic = [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ECDSA_P521_SHA512, &rcgen::PKCS_ED25519];
    let elliptic = elliptic.map(|algorithm| KeyPair::generate_for(algorithm).unwrap());
    for key in elliptic.iter().chain([&rsa]) {
        assert_answers(&listener, &forge.issue_for(key, |_| {}), LABORATORY).await;
    }
}

#[tokio::test]
async fn each_defect_of_an_authority_alone_ends_the_handshake() {
    let listener = TestListener::start().await;
    let root = Forge::of(&listener, "racine");
    let good = root.authority("GOOD", |_| {});
    assert_answers(&listener, &good.issue(|_| {}), "certificate-issuer").await;
    let defects: [(&str, Change); 7] = [
        ("certificate 2 of the chain, basicConstraints: found no CA", |params| params.is_ca = IsCa::ExplicitNoCa),
        ("certificate 2 of the chain, basicConstraints: found no CA", |params| params.is_ca = IsCa::NoCa),
        ("certificate 2 of the chain, CN=BAD, keyUsage: found no keyCertSign", |params| {
            params.key_usages = vec![KeyUsagePurpose::CrlSign];
        }),
        ("certificate 2 of the chain, CN=BAD, validity: found notAfter 2020", |params| {
            params.not_after = date_time_ymd(2020, 1, 1);
        }),
        ("certificate 2 of the chain, CN=BAD, validity: found notBefore 2090", |params| {
            params.not_before = date_time_ymd(2090, 1, 1);
        }),
        ("RequiredEku", |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        ("certificate 2 of the chain, CN=BAD, extension 1.2.3.4.5.6: found critical and unknown", |params| {
            params.custom_extensions.push(critical(&[1, 2, 3, 4, 5, 6]));
        }),
    ];
    for (words, change) in defects {
        let issued = root.authority("BAD", change).issue(|_| {});
        assert_refused(&listener, &issued, words).await;
        assert_explained(&listener, &issued, words);
    }
}

#[tokio::test]
async fn a_path_longer_than_an_authority_or_the_root_allows_ends_the_handshake() {
    let listener = TestListener::start().await;
    // ORGANISATIONS allows no authority below it.
    let below = Forge::of(&listener, "organisations").authority("BELOW", |_| {});
    let issued = below.issue(|_| {});
    assert_refused(&listener, &issued, "below ORGANISATIONS").await;
    assert_explained(&listener, &issued, "ORGANISATIONS, pathLenConstraint: found 1 authorities below it");
    // The root allows one; what the authorities themselves say does not help.
    let second = Forge::of(&listener, "racine").authority("FIRST", |_| {}).authority("SECOND", |_| {});
    let issued = second.issue(|_| {});
    assert_refused(&listener, &issued, "two below the root").await;
    assert_explained(&listener, &issued, "root, CN=TEST AC RACINE CARNET DEVELOPMENT, pathLenConstraint: found 2");
}

#[tokio::test]
async fn a_name_outside_the_constraints_of_an_authority_ends_the_handshake() {
    let listener = TestListener::start().await;
    let root = Forge::of(&listener, "racine");
    let permitted = |subtree: GeneralSubtree| {
        root.authority("NAMED", |params| {
            let constraints = NameConstraints { permitted_subtrees: vec![subtree], excluded_subtrees: Vec::new() };
            params.name_constraints = Some(constraints);
        })
    };
    let named = permitted(GeneralSubtree::DnsName("allowed.test".to_owned()));
    let san = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let inside = named.issue(|params| params.subject_alt_names = vec![san("a.allowed.test")]);
    assert_answers(&listener, &inside, "certificate-issuer").await;
    assert_refused(&listener, &named.issue(|params| params.subject_alt_names = vec![san("evil.test")]), "SAN").await;
    let mail = permitted(GeneralSubtree::Rfc822Name("allowed.test".to_owned()));
    let outside =
        mail.issue(|params| params.subject_alt_names = vec![SanType::Rfc822Name("x@evil.test".try_into().unwrap())]);
    assert_refused(&listener, &outside, "mail").await;
    let directory = permitted(GeneralSubtree::DirectoryName(rcgen::DistinguishedName::new()));
    assert_refused(&listener, &directory.issue(|_| {}), "directory names are never believed").await;
}

#[tokio::test]
async fn nobody_but_the_root_makes_its_signatures() {
    let listener = TestListener::start().await;
    let twin = Forge::twin(&listener).issue(|_| {});
    assert_refused(&listener, &twin, "the name of the root, another key").await;
    assert_explained(&listener, &twin, "signature: found one that the key of its issuer did not make");
    let mut altered = Forge::of(&listener, "organisations").issue(|_| {});
    let (leaf, rest) = altered.certificate_pem.split_once("-----END CERTIFICATE-----\n").unwrap();
    let mut der =
        CertificateDer::from_pem_slice(format!("{leaf}-----END CERTIFICATE-----\n").as_bytes()).unwrap().to_vec();
    let at = der.windows(4).position(|bytes| bytes == b"LABO").unwrap();
    der[at] = b'X';
    let base64 = base64_simd::STANDARD.encode_to_string(&der);
    altered.certificate_pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n{rest}");
    assert_refused(&listener, &altered, "an altered subject").await;
    let leaf = Forge::of(&listener, "organisations").authority("LEAF", |params| params.is_ca = IsCa::ExplicitNoCa);
    assert_refused(&listener, &leaf.issue(|_| {}), "issued by a leaf").await;
}

#[tokio::test]
async fn what_a_client_sends_beside_its_path_does_no_harm() {
    let listener = TestListener::start().await;
    let issued = listener.issue(&hospital());
    let leaf = issued.certificate_pem.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    let others = listener.issue(&doctor()).certificate_pem;
    let root = std::fs::read_to_string(listener.pki.directory().join("client-roots.pem")).unwrap();
    for beside in [leaf.to_owned(), others, root] {
        let sent = Issued { certificate_pem: format!("{leaf}{beside}{}", issued.certificate_pem), ..issued.clone() };
        assert_answers(&listener, &sent, "1750803447").await;
    }
    let crowd = Issued { certificate_pem: format!("{}{}", issued.certificate_pem, leaf.repeat(12)), ..issued.clone() };
    assert_refused(&listener, &crowd, "a crowd").await;
}

#[tokio::test]
async fn an_authority_that_configuration_names_need_not_be_sent_along() {
    let listener = TestListener::start().await;
    let issued = listener.issue(&hospital());
    let leaf = issued.certificate_pem.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap().to_owned();
    let alone = Issued { certificate_pem: leaf, ..issued };
    assert_answers(&listener, &alone, "1750803447").await;
    let unnamed = listener_with(|tls| tls.issuers.clear()).await;
    let issued = unnamed.issue(&hospital());
    let leaf = issued.certificate_pem.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap().to_owned();
    assert_refused(&unnamed, &Issued { certificate_pem: leaf, ..issued }, "nobody knows its authority").await;
}

#[tokio::test]
async fn an_authority_of_another_class_comes_in_to_be_told_why_it_may_do_nothing() {
    let listener = TestListener::start().await;
    let wrong = Forge::of(&listener, "personnes").issue(|_| {});
    assert_answers(&listener, &wrong, "certificate-issuer").await;
    let under_the_root = Forge::of(&listener, "racine").issue(|_| {});
    assert_answers(&listener, &under_the_root, "certificate-issuer").await;
    let anybody = listener_with(|tls| tls.issuers.clear()).await;
    assert_answers(&anybody, &Forge::of(&anybody, "personnes").issue(|_| {}), LABORATORY).await;
    // A class that is not named has no restriction; those that are keep theirs.
    let persons_only = listener_with(|tls| tls.issuers.retain(|class, _| *class == CertificateClass::Person)).await;
    assert_answers(&persons_only, &Forge::of(&persons_only, "personnes").issue(|_| {}), LABORATORY).await;
}

#[tokio::test]
async fn a_file_of_authorities_that_holds_another_certificate_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let pki = DevelopmentPki::create(folder.path(), Clock::System).unwrap();
    let is_refused = |tls: &config::Tls, revocation: &Revocation| {
        let loaded = ClientVerifier::load(tls, revocation);
        matches!(loaded, Err(TrustError::File(FileError::Content { .. })))
    };
    for file in ["server.pem", "server.key"].map(|file| folder.path().join(file)) {
        let mut tls = settings(&pki);
        tls.issuers.insert(CertificateClass::Person, vec![file.clone()]);
        assert!(is_refused(&tls, &Revocation::default()), "{}", file.display());
        let tls = config::Tls { client_roots: vec![file.clone()], ..settings(&pki) };
        assert!(is_refused(&tls, &Revocation::default()), "{}", file.display());
        let revocation = Revocation { authorities: vec![file.clone()], ..Revocation::default() };
        assert!(is_refused(&settings(&pki), &revocation), "{}", file.display());
    }
}

#[tokio::test]
async fn a_test_card_of_a_real_root_comes_in_only_where_configuration_lets_it() {
    let (root, pem) = Forge::root(|_| {});
    let card = |card_type: u8| {
        let extension = CustomExtension::from_oid_content(&[1, 2, 250, 1, 71, 1, 2, 5], vec![4, 1, card_type]);
        root.issue(|params| params.custom_extensions.push(extension))
    };
    for (allowed, answer) in [(false, "certificate-test-card"), (true, LABORATORY)] {
        let (listener, _folder) = listener_of_root(&pem, allowed).await;
        assert_answers(&listener, &card(0x83), answer).await;
        assert_answers(&listener, &card(0x03), LABORATORY).await;
    }
}

#[tokio::test]
async fn a_root_outside_its_dates_or_that_may_not_sign_lets_nobody_in() {
    let defects: [(&str, Change); 3] = [
        ("root, CN=RACINE, validity: found notAfter 2020", |params| params.not_after = date_time_ymd(2020, 1, 1)),
        ("root, CN=RACINE, validity: found notBefore 2090", |params| params.not_before = date_time_ymd(2090, 1, 1)),
        ("root, CN=RACINE, keyUsage: found no keyCertSign", |params| {
            params.key_usages = vec![KeyUsagePurpose::CrlSign];
        }),
    ];
    for (words, change) in defects {
        let (root, pem) = Forge::root(change);
        let (listener, _folder) = listener_of_root(&pem, false).await;
        let issued = root.issue(|_| {});
        assert_refused(&listener, &issued, words).await;
        assert_explained(&listener, &issued, words);
    }
}

#[test]
fn carnet_check_tells_accepted_refused_and_bad_usage_by_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let pki = DevelopmentPki::create(&folder.path().join("certs"), Clock::System).unwrap();
    let config = folder.path().join("carnet.toml");
    std::fs::write(&config, "[tls]\nallow_development_roots = true\n").unwrap();
    let good = pki.issue(&hospital(), KeyUse::Auth, pki.usual_lifetime()).unwrap();
    good.write(&folder.path().join("good")).unwrap();
    let revoked = pki.issue(&hospital(), KeyUse::Auth, pki.usual_lifetime()).unwrap();
    revoked.write(&folder.path().join("revoked")).unwrap();
    pki.revoke(&revoked.serial).unwrap();
    for (file, code) in [("good.pem", 0), ("revoked.pem", 1), ("good.key", 2), ("absent.pem", 2)] {
        let mut carnet = std::process::Command::new(env!("CARGO_BIN_EXE_carnet"));
        carnet.args(["check", "--json", "--config"]).arg(&config).arg(folder.path().join(file));
        let output = carnet.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{file}: {output:?}");
        if code < 2 {
            let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(told["files"][0]["accepted"], code == 0, "{told}");
            assert_eq!(told["files"][0]["facts"]["Struct_IdNat"], "1750803447", "{told}");
        }
    }
}

#[tokio::test]
async fn a_resumed_session_is_held_to_the_class_and_to_the_list() {
    for version in [&TLS12, &TLS13] {
        let listener = TestListener::start().await;
        let wrong = Forge::of(&listener, "personnes").issue(|_| {});
        let good = listener.issue(&clerk());
        for (issued, answer) in [(&wrong, "certificate-issuer"), (&good, CLERK)] {
            let config = Arc::new(listener.client_config(issued, &[version]));
            let client = || Client::with_config((*config).clone());
            assert_eq!(listener.who(&client()).await.unwrap(), answer, "{version:?}");
            let uri: Uri = listener.url("/who").parse().unwrap();
            let resumed = client().connect(&uri).await.unwrap();
            assert_eq!(resumed.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
            assert_eq!(listener.who(&client()).await.unwrap(), answer, "{version:?}");
        }
        let config = listener.client_config(&good, &[version]);
        assert_eq!(listener.who(&Client::with_config(config.clone())).await.unwrap(), CLERK);
        listener.pki.revoke(&good.serial).unwrap();
        assert_eq!(listener.trust.reload(), Reload::Swapped);
        assert!(listener.who(&Client::with_config(config)).await.is_err(), "{version:?}");
    }
}

#[tokio::test]
async fn an_authority_that_may_no_longer_issue_a_class_closes_what_is_open_to_every_request() {
    let listener = TestListener::start().await;
    let client = listener.client(&listener.issue(&hospital()));
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri: Uri = format!("https://localhost:{}/", door.local_addr().unwrap().port()).parse().unwrap();
    let accepted = async {
        let (stream, _) = door.accept().await.unwrap();
        accept(stream, &listener.trust, Duration::from_secs(10)).await.unwrap()
    };
    let (accepted, _connection) = tokio::join!(accepted, client.connect(&uri));
    accepted.standing.check().await.unwrap();

    let issuers = listener.pki.issuers();
    let file = |class: CertificateClass| issuers[&class][0].clone();
    std::fs::copy(file(CertificateClass::Person), file(CertificateClass::Organisation)).unwrap();
    assert_eq!(listener.trust.reload(), Reload::Swapped);
    // HTTP/2 may have several under way: the first to ask does not clear the way for the next.
    for _ in 0..2 {
        assert_eq!(accepted.standing.check().await.unwrap_err().rule, Rule::CertificateIssuer);
    }
}

#[test]
fn a_signature_certificate_is_judged_with_the_chain_the_class_and_the_date() {
    let folder = tempfile::tempdir().unwrap();
    let pki = DevelopmentPki::create(folder.path(), Clock::System).unwrap();
    let verifier = ClientVerifier::load(&settings(&pki), &Revocation::default()).unwrap();
    let (now, lifetime) = (Clock::System.now(), pki.usual_lifetime());
    let rule = |chain: &[CertificateDer<'_>], at| SignatureCertificate::verify(chain, at, &verifier).unwrap_err().rule;

    let seal = chain_of(&pki.issue(&hospital(), KeyUse::Sign, lifetime).unwrap());
    let card = chain_of(&pki.issue(&doctor(), KeyUse::Sign, lifetime).unwrap());
    // An assertion carries its signer's certificate alone.
    let verified = SignatureCertificate::verify(&seal[..1], now, &verifier).unwrap();
    assert!(matches!(verified.subject, Subject::Organisation(_)));
    let name = "CN=DPI, OU=1750803447, O=CHU TEST, S=Paris (75), C=FR";
    assert!(verified.name.is_same(&name.parse().unwrap()));
    assert!(SignatureCertificate::verify(&card, now, &verifier).is_ok());

    let auth = chain_of(&pki.issue(&doctor(), KeyUse::Auth, lifetime).unwrap());
    assert_eq!(rule(&auth, now), Rule::SignatureCertificate);
    assert_eq!(rule(&[], now), Rule::SignatureCertificate);
    // The key of a card stops signing a month before the certificate ends; that of a seal does not.
    let late = lifetime.until - (29 * 24).hours();
    assert_eq!(rule(&card, late), Rule::SignatureCertificate);
    assert!(SignatureCertificate::verify(&seal, late, &verifier).is_ok());
    assert_eq!(rule(&seal, lifetime.until + 1.second()), Rule::CertificateChain);
    assert_eq!(rule(&seal, lifetime.from - 1.second()), Rule::CertificateChain);
    let elsewhere = tempfile::tempdir().unwrap();
    let twin = DevelopmentPki::create(elsewhere.path(), Clock::System).unwrap();
    let stranger = chain_of(&twin.issue(&hospital(), KeyUse::Sign, lifetime).unwrap());
    assert_eq!(rule(&stranger, now), Rule::CertificateChain);

    let revoked = pki.issue(&hospital(), KeyUse::Sign, lifetime).unwrap();
    pki.revoke(&revoked.serial).unwrap();
    let verifier = ClientVerifier::load(&settings(&pki), &Revocation::default()).unwrap();
    let refusal = SignatureCertificate::verify(&chain_of(&revoked), now, &verifier).unwrap_err();
    assert_eq!(refusal.rule, Rule::CertificateWithdrawn);
}

async fn listener_with(change: impl FnOnce(&mut config::Tls)) -> TestListener {
    TestListener::start_configured(Limits::default(), Clock::System, change).await
}

/// One that trusts a root of the test alone; the folder holds its certificate.
async fn listener_of_root(pem: &str, test_cards: bool) -> (TestListener, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("root.pem");
    std::fs::write(&file, pem).unwrap();
    let listener = listener_with(|tls| {
        tls.client_roots = vec![file];
        tls.issuers.clear();
        tls.allow_test_cards = test_cards;
    });
    (listener.await, folder)
}

async fn assert_answers(listener: &TestListener, issued: &Issued, answer: &str) {
    for version in [&TLS12, &TLS13] {
        let client = careless_client(listener, issued, version);
        assert_eq!(listener.who(&client).await.unwrap(), answer, "{version:?}");
    }
}

async fn assert_refused(listener: &TestListener, issued: &Issued, what: &str) {
    for version in [&TLS12, &TLS13] {
        let client = careless_client(listener, issued, version);
        let answer = listener.who(&client).await;
        assert!(answer.is_err(), "{what} came in over {version:?}: {answer:?}");
    }
}

/// A client that does not look at its own certificate, as rustls otherwise does.
fn careless_client(listener: &TestListener, issued: &Issued, version: &'static SupportedProtocolVersion) -> Client {
    let mut config = Client::config(&listener.server_ca(), Identity::Anonymous, &[version]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let certified = CertifiedKey::new(chain_of(issued), key);
    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
    Client::with_config(config)
}

fn chain_of(issued: &Issued) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(issued.certificate_pem.as_bytes()).collect::<Result<_, _>>().unwrap()
}

/// The explanation has these words.
fn assert_explained(listener: &TestListener, issued: &Issued, words: &str) {
    let verifier = listener.trust.verifier();
    let told = verifier.explain(&chain_of(issued), KeyPurpose::Authentication, Clock::System.now());
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|text| text.contains(words)), "{words} is not in {told:#?}");
}
