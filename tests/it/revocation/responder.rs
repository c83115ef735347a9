//! OCSP: asked before the first request, asked again ahead of time, believed only where it may be.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use carnet::cli::client::Client;
use carnet::clock::Clock;
use carnet::config::RevocationPolicy;
use carnet::identity::vihf::SignerTrust as _;
use carnet::tls::development_pki::KeyUse;
use jiff::ToSpan as _;
use rcgen::ExtendedKeyUsagePurpose;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::version::{TLS12, TLS13};

use super::{HOSPITAL, OCSP, Scene, WITHDRAWN, address};
use crate::support::publisher::{About, Answers, Authority, NonceIs, Served, Status};

/// What is served so many hours into the test.
type AtHour<'a> = Box<dyn Fn(i64) -> Served + 'a>;

fn authority(scene: &Scene) -> Authority {
    scene.authority.clone()
}

#[tokio::test]
async fn a_good_answer_lets_in_and_is_asked_for_once() {
    let scene = Scene::of_responder().await;
    assert!(!scene.lets_in().await, "nobody answers");
    scene.pass(1).await;
    scene.publisher.serve(OCSP, Answers::new(Status::Good, scene.now()).signed_by(authority(&scene)));
    let (issued, client) = scene.hospital();
    let asked = scene.publisher.asked(OCSP);
    for _ in 0..3 {
        assert_eq!(scene.listener.who(&client).await.unwrap(), HOSPITAL);
    }
    assert!(scene.lets_in_again(&issued).await, "another connection of the same certificate");
    assert_eq!(scene.publisher.asked(OCSP), asked + 1);
}

#[tokio::test]
async fn a_certificate_that_the_responder_revokes_is_cut_and_does_not_resume() {
    for version in [&TLS12, &TLS13] {
        let scene = Scene::of_responder().await;
        scene.publisher.serve(OCSP, Answers::new(Status::Good, scene.now()).signed_by(authority(&scene)));
        let issued = scene.listener.issue(&crate::support::test_listener::hospital());
        let config = Arc::new(scene.listener.client_config(&issued, &[version]));
        let client = Client::with_config((*config).clone());
        assert_eq!(scene.listener.who(&client).await.unwrap(), HOSPITAL);
        scene.pass(0).await;
        let revoked = Answers::new(Status::Revoked, scene.now() + 1.hour());
        scene.publisher.serve(OCSP, revoked.signed_by(authority(&scene)));
        scene.pass(1).await;
        assert_eq!(scene.listener.who(&client).await.unwrap(), WITHDRAWN, "{version:?}");
        assert!(scene.listener.who(&Client::with_config((*config).clone())).await.is_err(), "{version:?}");
        scene.publisher.serve(OCSP, Served::Status(500));
        scene.pass(24).await;
        assert!(!scene.lets_in_again(&issued).await, "that somebody is revoked does not expire");
    }
}

#[tokio::test]
async fn an_answer_counts_only_from_who_may_give_it_on_what_was_asked_and_in_its_time() {
    let scene = Scene::of_responder().await;
    let now = scene.now();
    let good = |hours: i64| Answers::new(Status::Good, now + hours.hours());
    let personnes = Authority::of(scene.listener.pki.directory(), "personnes");
    let for_ocsp = || scene.authority.delegate(ExtendedKeyUsagePurpose::OcspSigning);
    let cases: Vec<(&str, AtHour<'_>, bool)> = vec![
        ("no nonce", Box::new(|at| Answers { nonce: NonceIs::Absent, ..good(at) }.signed_by(authority(&scene))), true),
        ("delegated", Box::new(|at| good(at).signed_by(for_ocsp())), true),
        ("without nextUpdate", Box::new(|at| Answers { until: None, ..good(at) }.signed_by(authority(&scene))), true),
        (
            "another nonce",
            Box::new(|at| Answers { nonce: NonceIs::Another, ..good(at) }.signed_by(authority(&scene))),
            false,
        ),
        (
            "another certificate",
            Box::new(|at| Answers { about: About::Another, ..good(at) }.signed_by(authority(&scene))),
            false,
        ),
        ("unknown", Box::new(|at| Answers { status: Status::Unknown, ..good(at) }.signed_by(authority(&scene))), false),
        ("of yesterday", Box::new(|at| good(at - 24).signed_by(authority(&scene))), false),
        ("of tomorrow", Box::new(|at| good(at + 24).signed_by(authority(&scene))), false),
        ("of another authority", Box::new(move |at| good(at).signed_by(personnes.clone())), false),
        (
            "delegated for something else",
            Box::new(|at| good(at).signed_by(scene.authority.delegate(ExtendedKeyUsagePurpose::ClientAuth))),
            false,
        ),
        ("no answer", Box::new(|_| Served::Bytes(b"maintenance".to_vec())), false),
        ("a refusal", Box::new(|_| Served::Bytes(vec![0x30, 3, 10, 1, 6])), false),
        ("redirected", Box::new(|_| Served::Redirect(scene.publisher.url("/elsewhere"))), false),
        ("too long", Box::new(|_| Served::Bytes(vec![0; 100_000])), false),
    ];
    for (hours, (name, served, is_let_in)) in (0..).zip(cases) {
        scene.publisher.serve(OCSP, served(hours));
        assert_eq!(scene.lets_in().await, is_let_in, "{name}");
        scene.pass(1).await;
    }
    assert_eq!(scene.publisher.asked("/elsewhere"), 0, "no redirect is followed");
}

#[tokio::test]
async fn an_answer_is_asked_for_again_ahead_of_its_end_while_its_connection_is_open() {
    let scene = Scene::of_responder().await;
    scene.publisher.serve(OCSP, Answers::new(Status::Good, scene.now()).signed_by(authority(&scene)));
    let (_, client) = scene.hospital();
    assert_eq!(scene.listener.who(&client).await.unwrap(), HOSPITAL);
    let asked = scene.publisher.asked(OCSP);
    for _ in 0..12 {
        let next = Answers::new(Status::Good, scene.now() + 1.hour());
        scene.publisher.serve(OCSP, next.signed_by(authority(&scene)));
        scene.pass(1).await;
    }
    assert_eq!(scene.publisher.asked(OCSP), asked + 12);
    assert_eq!(scene.listener.who(&client).await.unwrap(), HOSPITAL, "the first answer is over for hours");
    assert_eq!(scene.publisher.asked(OCSP), asked + 12, "no request waits for the responder");
    drop(client);
}

#[tokio::test]
async fn the_signer_of_an_assertion_is_asked_about_as_a_client_is() {
    let scene = Scene::of_responder().await;
    let trust = &scene.listener.trust;
    let pki = &scene.listener.pki;
    let seal = pki.issue(&crate::support::test_listener::hospital(), KeyUse::Sign, pki.usual_lifetime()).unwrap();
    let seal: Vec<_> =
        CertificateDer::pem_slice_iter(seal.certificate_pem.as_bytes()).collect::<Result<_, _>>().unwrap();
    let rule = async || trust.ask_about(&seal).await.err().map(|refusal| refusal.rule.code());
    assert_eq!(rule().await, Some(WITHDRAWN), "nobody answers");
    scene.pass(1).await;
    scene.publisher.serve(OCSP, Answers::new(Status::Good, scene.now()).signed_by(authority(&scene)));
    assert_eq!(rule().await, None);
    assert!(trust.signer(&seal, scene.now()).is_ok());
    let asked = scene.publisher.asked(OCSP);
    let revoked = Answers::new(Status::Revoked, scene.now() + 1.hour());
    scene.publisher.serve(OCSP, revoked.signed_by(authority(&scene)));
    scene.pass(1).await;
    assert_eq!(scene.publisher.asked(OCSP), asked + 1, "ahead of the end of the first answer");
    assert_eq!(rule().await, Some(WITHDRAWN));
    assert_eq!(trust.signer(&seal, scene.now()).unwrap_err().rule.code(), WITHDRAWN);
}

#[tokio::test]
async fn a_responder_that_is_silent_is_waited_for_once_and_the_policy_decides() {
    let scene = Scene::set(|publisher, settings, _| {
        settings.policy = RevocationPolicy::Soft;
        settings.timeout_seconds = 1;
        let authority = "TEST AC CARNET DEVELOPMENT ORGANISATIONS".to_owned();
        settings.ocsp_urls = [(authority, address(&publisher.url(OCSP)))].into();
    })
    .await;
    scene.publisher.serve(OCSP, Served::Silence);
    for _ in 0..5 {
        assert!(scene.lets_in().await);
    }
    assert_eq!(scene.publisher.asked(OCSP), 1, "others do not wait for who does not answer");
    scene.pass(25).await;
    assert!(!scene.lets_in().await, "the grace is over");
}

#[tokio::test]
async fn time_that_passes_while_a_responder_is_asked_brings_nobody_in() {
    let scene = Scene::of_responder().await;
    let Clock::Fixed(now_us) = scene.clock.clone() else { panic!("a clock that is moved by hand") };
    scene.publisher.serve(
        OCSP,
        Served::Ocsp(Arc::new(move |_| {
            now_us.fetch_add(60_000_000, Ordering::Relaxed);
            b"no answer".to_vec()
        })),
    );
    let trust = &scene.listener.trust;
    let pki = &scene.listener.pki;
    let seal = pki.issue(&crate::support::test_listener::hospital(), KeyUse::Sign, pki.usual_lifetime()).unwrap();
    let seal: Vec<_> =
        CertificateDer::pem_slice_iter(seal.certificate_pem.as_bytes()).collect::<Result<_, _>>().unwrap();
    for _ in 0..3 {
        assert_eq!(trust.ask_about(&seal).await.unwrap_err().rule.code(), WITHDRAWN);
        assert!(!scene.lets_in().await);
    }
}
