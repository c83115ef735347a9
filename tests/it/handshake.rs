//! Who gets through the handshake, over real sockets.

use std::sync::Arc;

use bytes::Bytes;
use carnet::cli::client::{Client, Identity};
use carnet::clock::Clock;
use carnet::config::{Limits, Revocation};
use carnet::tls::development_pki::{DevelopmentPki, Issued, KeyUse, Lifetime};
use carnet::tls::trust::{Reload, Trust, TrustError};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::{Timestamp, ToSpan as _};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

use crate::support::test_listener::{TestListener, doctor, hospital, settings};

const HOSPITAL: &str = "1750803447";

#[tokio::test]
async fn a_structure_and_a_professional_come_in_over_both_tls_versions() {
    let listener = TestListener::start().await;
    for version in [&TLS12, &TLS13] {
        for (holder, id) in [(hospital(), HOSPITAL), (doctor(), "801234567897")] {
            let issued = listener.issue(&holder);
            let client = Client::with_config(listener.client_config(&issued, &[version]));
            assert_eq!(listener.who(&client).await.unwrap(), id, "{version:?}");
        }
    }
}

#[tokio::test]
async fn http_2_is_spoken_where_alpn_agrees_on_it() {
    let listener = TestListener::start().await;
    for version in [&TLS12, &TLS13] {
        let mut config = listener.client_config(&listener.issue(&hospital()), &[version]);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let uri: Uri = listener.url("/who").parse().unwrap();
        let stream = Client::with_config(config).connect(&uri).await.unwrap();
        let io = TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..3 {
            let request = Request::get(uri.clone()).body(Empty::<Bytes>::new()).unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.version(), http::Version::HTTP_2);
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), HOSPITAL);
        }
    }
}

#[tokio::test]
async fn nobody_comes_in_without_a_certificate() {
    let listener = TestListener::start().await;
    for version in [&TLS12, &TLS13] {
        let config = Client::config(&listener.server_ca(), Identity::Anonymous, &[version]).unwrap();
        assert!(listener.who(&Client::with_config(config)).await.is_err());
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_root_is_refused_even_under_the_same_names() {
    let listener = TestListener::start().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let twin = DevelopmentPki::create(elsewhere.path(), Clock::System).unwrap();
    let issued = twin.issue(&hospital(), KeyUse::Auth, twin.usual_lifetime()).unwrap();
    assert_refused(&listener, &issued).await;
}

#[tokio::test]
async fn an_expired_certificate_and_one_of_tomorrow_are_refused() {
    let listener = TestListener::start().await;
    let now = Clock::System.now();
    for (from, until) in [(-48, -1), (24, 48)] {
        let lifetime = Lifetime { from: now + from.hours(), until: now + until.hours() };
        let issued = listener.pki.issue(&hospital(), KeyUse::Auth, lifetime).unwrap();
        assert_refused(&listener, &issued).await;
    }
}

#[tokio::test]
async fn a_signature_certificate_is_refused() {
    let listener = TestListener::start().await;
    for holder in [hospital(), doctor()] {
        let issued = listener.pki.issue(&holder, KeyUse::Sign, listener.pki.usual_lifetime()).unwrap();
        assert_refused(&listener, &issued).await;
    }
}

#[tokio::test]
async fn a_certificate_for_servers_for_nothing_or_without_digital_signature_is_refused() {
    let listener = TestListener::start().await;
    let sign = KeyUsagePurpose::DigitalSignature;
    assert_refused(&listener, &under_the_root(&listener, &[sign], &[ExtendedKeyUsagePurpose::ServerAuth])).await;
    assert_refused(&listener, &under_the_root(&listener, &[sign], &[])).await;
    let encipher = KeyUsagePurpose::KeyEncipherment;
    assert_refused(&listener, &under_the_root(&listener, &[encipher], &[ExtendedKeyUsagePurpose::ClientAuth])).await;
}

#[tokio::test]
async fn a_certificate_of_no_class_comes_in_to_be_told_why_it_may_do_nothing() {
    let listener = TestListener::start().await;
    let usages = ([KeyUsagePurpose::DigitalSignature], [ExtendedKeyUsagePurpose::ClientAuth]);
    let issued = under_the_root(&listener, &usages.0, &usages.1);
    assert_eq!(listener.who(&listener.client(&issued)).await.unwrap(), "certificate-class");
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_from_the_next_reading_of_the_list_on() {
    let listener = TestListener::start().await;
    let (revoked, other) = (listener.issue(&hospital()), listener.issue(&doctor()));
    listener.pki.revoke(&revoked.serial).unwrap();
    assert_eq!(listener.trust.reload(), Reload::Swapped);
    assert_refused(&listener, &revoked).await;
    assert!(listener.who(&listener.client(&other)).await.is_ok());
}

#[tokio::test]
async fn a_certificate_under_a_revoked_authority_is_refused() {
    let listener = TestListener::start().await;
    let issued = listener.issue(&hospital());
    let register = std::fs::read_to_string(listener.pki.directory().join("register.json")).unwrap();
    let register: serde_json::Value = serde_json::from_str(&register).unwrap();
    let authority = register["issued"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["holder"].as_str().unwrap().ends_with("ORGANISATIONS"));
    listener.pki.revoke(authority.unwrap()["serial"].as_str().unwrap()).unwrap();
    assert_eq!(listener.trust.reload(), Reload::Swapped);
    assert_refused(&listener, &issued).await;
}

#[tokio::test]
async fn a_revoked_certificate_does_not_resume_its_session() {
    for version in [&TLS12, &TLS13] {
        let listener = TestListener::start().await;
        let issued = listener.issue(&hospital());
        let config = Arc::new(listener.client_config(&issued, &[version]));
        let client = || Client::with_config((*config).clone());
        assert_eq!(listener.who(&client()).await.unwrap(), HOSPITAL);
        let uri: Uri = listener.url("/who").parse().unwrap();
        let resumed = client().connect(&uri).await.unwrap();
        assert_eq!(resumed.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));

        listener.pki.revoke(&issued.serial).unwrap();
        assert_eq!(listener.trust.reload(), Reload::Swapped);
        assert!(listener.who(&client()).await.is_err(), "{version:?}");
    }
}

#[tokio::test]
async fn an_expired_certificate_does_not_resume_its_session() {
    let clock = Clock::fixed(Clock::System.now());
    let listener = TestListener::start_with(Limits::default(), clock.clone()).await;
    let issued = listener.issue(&hospital());
    let config = listener.client_config(&issued, &[&TLS13]);
    assert_eq!(listener.who(&Client::with_config(config.clone())).await.unwrap(), HOSPITAL);
    move_clock(&clock, listener.pki.usual_lifetime().until + 1.second());
    assert!(listener.who(&Client::with_config(config)).await.is_err());
}

#[tokio::test]
async fn a_certificate_revoked_or_expired_while_its_connection_is_open_is_cut_at_its_next_request() {
    let clock = Clock::fixed(Clock::System.now());
    let listener = TestListener::start_with(Limits::default(), clock.clone()).await;
    let (revoked, expired) = (listener.issue(&hospital()), listener.issue(&doctor()));
    let clients = [listener.client(&revoked), listener.client(&expired)];
    for client in &clients {
        assert_eq!(listener.get(client, "/who").await.unwrap().status(), StatusCode::OK);
    }
    listener.pki.revoke(&revoked.serial).unwrap();
    assert_eq!(listener.trust.reload(), Reload::Swapped);
    let answer = listener.get(&clients[0], "/who").await.unwrap();
    assert_eq!(answer.body(), "certificate-withdrawn");
    assert!(listener.get(&clients[0], "/who").await.is_err(), "the connection was closed, and no new one opens");

    assert_eq!(listener.get(&clients[1], "/who").await.unwrap().status(), StatusCode::OK);
    move_clock(&clock, listener.pki.usual_lifetime().until + 1.second());
    assert_eq!(listener.who(&clients[1]).await.unwrap(), "certificate-withdrawn");
}

#[tokio::test]
async fn nobody_of_an_authority_comes_in_once_its_list_is_stale() {
    let clock = Clock::fixed(Clock::System.now());
    let listener = TestListener::start_with(Limits::default(), clock.clone()).await;
    let now = clock.now();
    let lifetime = Lifetime { from: now - 24.hours(), until: now + (20 * 365 * 24).hours() };
    let issued = listener.pki.issue(&hospital(), KeyUse::Auth, lifetime).unwrap();
    assert!(listener.who(&listener.client(&issued)).await.is_ok());
    move_clock(&clock, now + (10 * 365 * 24).hours());
    assert_refused(&listener, &issued).await;
}

#[tokio::test]
async fn a_development_root_is_refused_unless_the_configuration_wants_it() {
    let folder = tempfile::tempdir().unwrap();
    let pki = DevelopmentPki::create(folder.path(), Clock::System).unwrap();
    let mut settings = settings(&pki);
    settings.allow_development_roots = false;
    assert!(matches!(
        Trust::load(&settings, &Revocation::default(), Clock::System),
        Err(TrustError::DevelopmentRoot(_))
    ));
}

async fn assert_refused(listener: &TestListener, issued: &Issued) {
    for version in [&TLS12, &TLS13] {
        let client = Client::with_config(listener.client_config(issued, &[version]));
        assert!(listener.who(&client).await.is_err(), "{version:?}");
    }
}

/// A certificate that the root itself signed, for nobody in particular.
fn under_the_root(listener: &TestListener, usages: &[KeyUsagePurpose], extended: &[ExtendedKeyUsagePurpose]) -> Issued {
    let read = |name: &str| std::fs::read_to_string(listener.pki.directory().join(name)).unwrap();
    let root = Issuer::from_ca_cert_pem(&read("ca/racine.pem"), KeyPair::from_pem(&read("ca/racine.key")).unwrap());
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "client");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = usages.to_vec();
    params.extended_key_usages = extended.to_vec();
    let key = KeyPair::generate().unwrap();
    let certificate_pem = params.signed_by(&key, &root.unwrap()).unwrap().pem();
    Issued { serial: String::new(), certificate_pem, key_pem: key.serialize_pem() }
}

fn move_clock(clock: &Clock, to: Timestamp) {
    let Clock::Fixed(us) = clock else { panic!("the clock of the machine does not move by hand") };
    us.store(to.as_microsecond(), std::sync::atomic::Ordering::Relaxed);
}
