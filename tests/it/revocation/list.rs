//! Lists that are fetched: put in force, kept, and refused where they are not what they should be.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use carnet::clock::Clock;
use carnet::config::CertificateClass;
use carnet::tls::development_pki::DevelopmentPki;
use carnet::tls::trust::{Reload, Trust};
use jiff::ToSpan as _;

use super::{DELTA, HOSPITAL, LIST, Scene, WITHDRAWN, address};
use crate::support::publisher::{Authority, Draft, ON_HOLD, Publisher, REMOVE_FROM_CRL, Served};

const KEY_COMPROMISE: u8 = 1;

#[tokio::test]
async fn a_fetched_list_lets_in_and_its_next_edition_cuts_an_open_connection() {
    let scene = Scene::of_lists().await;
    assert!(!scene.lets_in().await, "no list yet");
    scene.publish(LIST, &Draft::new(1, scene.now()));
    scene.publish(DELTA, &Draft::new(1, scene.now()).delta_of(1));
    assert_eq!(scene.listener.trust.fetch_lists().await, Reload::Swapped);
    let (issued, client) = scene.hospital();
    assert_eq!(scene.listener.who(&client).await.unwrap(), HOSPITAL);

    scene.publish(LIST, &Draft::new(2, scene.now()).with(&issued.serial, KEY_COMPROMISE));
    assert_eq!(scene.listener.trust.fetch_lists().await, Reload::Unchanged, "nothing is due yet");
    scene.pass(2).await;
    assert_eq!(scene.listener.who(&client).await.unwrap(), WITHDRAWN);
    assert!(!scene.lets_in_again(&issued).await);
    assert!(scene.lets_in().await, "others are let in");
}

#[tokio::test]
async fn a_delta_revokes_takes_off_and_keeps_its_list_fresh() {
    let scene = Scene::of_lists().await;
    let (issued, client) = scene.hospital();
    scene.publish(LIST, &Draft::new(5, scene.now()));
    scene.listener.trust.fetch_lists().await;
    assert_eq!(scene.listener.who(&client).await.unwrap(), HOSPITAL);

    scene.publish(DELTA, &Draft::new(6, scene.now()).delta_of(5).with(&issued.serial, ON_HOLD));
    scene.pass(2).await;
    assert_eq!(scene.listener.who(&client).await.unwrap(), WITHDRAWN);
    let later = scene.now() + (30 * 24).hours();
    let delta = Draft::new(7, scene.now()).delta_of(5).with(&issued.serial, REMOVE_FROM_CRL).until(later);
    scene.publish(DELTA, &delta);
    scene.pass(2).await;
    assert!(scene.lets_in_again(&issued).await);
    scene.pass(10 * 24).await;
    assert!(scene.lets_in_again(&issued).await, "the list is past its nextUpdate, and the delta is not");
    scene.pass(30 * 24).await;
    assert!(!scene.lets_in_again(&issued).await);
}

#[tokio::test]
async fn a_list_that_is_not_what_it_should_be_replaces_nothing() {
    let scene = Scene::of_lists().await;
    let good = Draft::new(5, scene.now());
    scene.publish(LIST, &good);
    scene.listener.trust.fetch_lists().await;
    assert!(scene.lets_in().await);
    let (issued, _) = scene.hospital();
    let revoking = |number| Draft::new(number, scene.now()).with(&issued.serial, KEY_COMPROMISE);
    let personnes = Authority::of(scene.listener.pki.directory(), "personnes");
    let newer = scene.authority.list(&revoking(6));
    let mut altered = newer.clone();
    let at = altered.len() / 2;
    altered[at] ^= 1;
    let elsewhere = scene.publisher.url("/elsewhere.crl");
    scene.publish("/elsewhere.crl", &revoking(6));
    let many = (0..2_000_u32).map(|serial| (format!("{serial:08x}"), KEY_COMPROMISE)).collect();
    let cases = [
        ("no list", Served::Bytes(b"<html>maintenance</html>".to_vec())),
        ("empty", Served::Bytes(Vec::new())),
        ("altered", Served::Bytes(altered)),
        ("broken off", Served::BrokenOff(newer.clone())),
        ("half", Served::Bytes(newer[..newer.len() / 2].to_vec())),
        ("of an authority that configuration has not", Served::Bytes(personnes.list(&revoking(6)))),
        ("rolled back", Served::Bytes(scene.authority.list(&revoking(4)))),
        ("stale", Served::Bytes(scene.authority.list(&revoking(6).until(scene.now() - 1.hour())))),
        ("too large", Served::Bytes(scene.authority.list(&Draft { entries: many, ..revoking(6) }))),
        ("gone", Served::Status(404)),
        ("failing", Served::Status(500)),
        ("redirected", Served::Redirect(elsewhere)),
        ("silent", Served::Silence),
    ];
    let files = scene.fetched_files();
    let bytes = std::fs::read(&files[0]).unwrap();
    for (name, served) in cases {
        scene.publisher.serve(LIST, served);
        let asked = scene.publisher.asked(LIST);
        scene.pass(1).await;
        assert_eq!(scene.publisher.asked(LIST), asked + 1, "{name}");
        assert!(scene.lets_in_again(&issued).await, "{name}");
        assert_eq!(scene.fetched_files(), files, "{name}");
        assert_eq!(std::fs::read(&files[0]).unwrap(), bytes, "{name}");
    }
    assert_eq!(scene.publisher.asked("/elsewhere.crl"), 0, "no redirect is followed");
    scene.publisher.serve(LIST, Served::Bytes(newer));
    scene.pass(1).await;
    assert!(!scene.lets_in_again(&issued).await, "the next good list is taken");
}

#[tokio::test]
async fn a_list_of_an_authority_that_may_issue_a_class_is_taken_too_and_its_certificate_is_watched() {
    let scene = Scene::set(|publisher, settings, tls| {
        settings.crl_urls = vec![address(&publisher.url(LIST))];
        tls.issuers.insert(CertificateClass::Organisation, std::mem::take(&mut settings.authorities));
    })
    .await;
    scene.publish(LIST, &Draft::new(1, scene.now()));
    assert_eq!(scene.listener.trust.fetch_lists().await, Reload::Swapped);
    assert!(scene.lets_in().await);
    let file = &scene.tls.issuers[&CertificateClass::Organisation][0];
    let good = std::fs::read(file).unwrap();
    std::fs::write(file, b"0").unwrap();
    assert_eq!(scene.listener.trust.reload(), Reload::Kept);
    std::fs::write(file, good).unwrap();
    assert_eq!(scene.listener.trust.reload(), Reload::Swapped);
}

#[tokio::test]
async fn a_failing_address_is_asked_less_and_less_often() {
    let scene = Scene::of_lists().await;
    for _ in 0..20 {
        scene.listener.trust.fetch_lists().await;
    }
    assert_eq!(scene.publisher.asked(LIST), 1, "not again at the same moment");
    for _ in 0..24 * 60 {
        scene.pass_minutes(1).await;
    }
    // 30 seconds, doubled until it is 32 minutes, each up to a tenth less.
    assert!((45..=60).contains(&scene.publisher.asked(LIST)), "{}", scene.publisher.asked(LIST));
}

#[tokio::test]
async fn a_restart_without_network_goes_on_with_the_lists_of_before() {
    let scene = Scene::of_lists().await;
    let (revoked, _) = scene.hospital();
    scene.publish(LIST, &Draft::new(1, scene.now()).with(&revoked.serial, KEY_COMPROMISE));
    scene.listener.trust.fetch_lists().await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&scene.settings.folder), mode(&scene.fetched_files()[0])), (0o700, 0o600));

    let Scene { publisher, listener, settings, tls, clock, .. } = scene;
    drop(publisher);
    let trust = Trust::load(&tls, &settings, clock).unwrap();
    let restarted = listener.beside(trust).await;
    assert_eq!(restarted.trust.fetch_lists().await, Reload::Unchanged);
    let other = restarted.issue(&crate::support::test_listener::hospital());
    assert_eq!(restarted.who(&restarted.client(&other)).await.unwrap(), HOSPITAL);
    assert!(restarted.who(&restarted.client(&revoked)).await.is_err());
}

#[tokio::test]
async fn a_damaged_file_of_before_is_no_reason_not_to_start_and_is_fetched_again() {
    let scene = Scene::of_lists().await;
    scene.publish(LIST, &Draft::new(1, scene.now()));
    scene.listener.trust.fetch_lists().await;
    std::fs::write(&scene.fetched_files()[0], b"0").unwrap();
    assert_eq!(scene.listener.trust.reload(), Reload::Kept, "what is in force stays");
    assert!(scene.lets_in().await);
    let trust = Trust::load(&scene.tls, &scene.settings, scene.clock.clone()).unwrap();
    let restarted = scene.listener.beside(trust).await;
    let issued = restarted.issue(&crate::support::test_listener::hospital());
    assert!(restarted.who(&restarted.client(&issued)).await.is_err(), "hard, and no list");
    assert_eq!(restarted.trust.fetch_lists().await, Reload::Swapped);
    assert_eq!(restarted.who(&restarted.client(&issued)).await.unwrap(), HOSPITAL);
}

#[tokio::test]
async fn an_older_list_in_a_file_is_not_put_in_force() {
    let scene = Scene::of_lists().await;
    let racine = Authority::of(scene.listener.pki.directory(), "racine");
    let path = scene.listener.pki.directory().join("crl/racine.pem");
    std::fs::write(&path, racine.list(&Draft::new(90, scene.now()))).unwrap();
    assert_eq!(scene.listener.trust.reload(), Reload::Swapped);
    std::fs::write(&path, racine.list(&Draft::new(89, scene.now()))).unwrap();
    assert_eq!(scene.listener.trust.reload(), Reload::Kept);
    std::fs::write(&path, racine.list(&Draft::new(91, scene.now()))).unwrap();
    assert_eq!(scene.listener.trust.reload(), Reload::Swapped);
}

#[tokio::test]
async fn a_list_comes_over_tls_from_a_server_under_the_roots_for_it_and_from_no_other() {
    let folder = tempfile::tempdir().unwrap();
    DevelopmentPki::create(folder.path(), Clock::System).unwrap();
    let publisher = Publisher::start_https(folder.path()).await;
    let of = |roots: PathBuf| {
        Scene::set(|_, settings, _| {
            settings.crl_urls = vec![address(&publisher.url(LIST))];
            settings.https_roots = vec![roots];
        })
    };
    for (roots, outcome) in [("client-roots.pem", Reload::Unchanged), ("server-ca.pem", Reload::Swapped)] {
        let scene = of(folder.path().join(roots)).await;
        publisher.serve(LIST, Served::Bytes(scene.authority.list(&Draft::new(1, scene.now()))));
        assert_eq!(scene.listener.trust.fetch_lists().await, outcome, "{roots}");
        assert_eq!(scene.lets_in().await, outcome == Reload::Swapped, "{roots}");
    }
}
