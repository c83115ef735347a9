//! What happens while nobody can say whether a certificate is still good.

use std::collections::BTreeMap;

use carnet::config::{Revocation, RevocationPolicy};
use carnet::tls::trust::{Trust, TrustError};

use super::{HOSPITAL, LIST, Scene, WITHDRAWN, address};
use crate::support::publisher::Draft;

const ROOT: &str = "TEST AC RACINE CARNET DEVELOPMENT";

async fn scene_under(policy: RevocationPolicy) -> Scene {
    Scene::set(|publisher, settings, _| {
        settings.crl_urls = vec![address(&publisher.url(LIST))];
        settings.policies = BTreeMap::from([(ROOT.to_owned(), policy)]);
        settings.grace_hours = 48;
    })
    .await
}

#[tokio::test]
async fn under_a_hard_policy_nobody_comes_in_without_a_fresh_list() {
    let scene = scene_under(RevocationPolicy::Hard).await;
    assert!(!scene.lets_in().await);
    scene.publish(LIST, &Draft::new(1, scene.now()));
    scene.listener.trust.fetch_lists().await;
    let (_, client) = scene.hospital();
    assert_eq!(scene.listener.who(&client).await.unwrap(), HOSPITAL);
    scene.pass(7 * 24 + 1).await;
    assert_eq!(scene.listener.who(&client).await.unwrap(), WITHDRAWN, "on an open connection too");
    assert!(!scene.lets_in().await);
}

#[tokio::test]
async fn under_a_soft_policy_what_was_known_last_holds_for_the_grace() {
    let scene = scene_under(RevocationPolicy::Soft).await;
    let (revoked, _) = scene.hospital();
    scene.publish(LIST, &Draft::new(1, scene.now()).with(&revoked.serial, 1));
    scene.listener.trust.fetch_lists().await;
    scene.pass(7 * 24 + 1).await;
    assert!(scene.lets_in().await, "stale for an hour");
    assert!(!scene.lets_in_again(&revoked).await, "whom a stale list names stays out");
    let (_, open) = scene.hospital();
    assert_eq!(scene.listener.who(&open).await.unwrap(), HOSPITAL);
    scene.pass(48).await;
    assert_eq!(scene.listener.who(&open).await.unwrap(), WITHDRAWN);
    assert!(!scene.lets_in().await, "the grace is over");
    scene.publish(LIST, &Draft::new(2, scene.now()));
    scene.pass(1).await;
    assert!(scene.lets_in().await);
}

#[tokio::test]
async fn under_a_soft_policy_an_authority_without_a_list_has_the_grace_once() {
    let scene = scene_under(RevocationPolicy::Soft).await;
    assert!(scene.lets_in().await);
    scene.pass(47).await;
    assert!(scene.lets_in().await);
    scene.pass(1).await;
    assert!(!scene.lets_in().await);
}

#[tokio::test]
async fn an_authority_that_publishes_no_list_is_let_through_where_only_published_lists_bind() {
    let scene = scene_under(RevocationPolicy::Listed).await;
    assert!(scene.lets_in().await);
    scene.publish(LIST, &Draft::new(1, scene.now()));
    scene.listener.trust.fetch_lists().await;
    scene.pass(7 * 24 + 1).await;
    assert!(!scene.lets_in().await, "it publishes one, and it is stale");
}

#[tokio::test]
async fn settings_that_name_nobody_are_refused() {
    let scene = scene_under(RevocationPolicy::Hard).await;
    let refused = |settings: &Revocation| Trust::load(&scene.tls, settings, scene.clock.clone()).err();
    let policies = [("AC RACINE".to_owned(), RevocationPolicy::Hard)].into();
    let error = refused(&Revocation { policies, ..scene.settings.clone() });
    assert!(matches!(error, Some(TrustError::Name(_))), "{error:?}");
    let ocsp_urls = [("AC PERSONNES".to_owned(), address("http://localhost/"))].into();
    let error = refused(&Revocation { ocsp_urls, ..scene.settings.clone() });
    assert!(matches!(error, Some(TrustError::Name(_))), "{error:?}");
}
