//! What ends soon is told in time, by the clock of the program.

use carnet::tls::expiry::{ExpiringKind, Notice};
use jiff::{SignedDuration, ToSpan as _};

use super::{LIST, Scene};
use crate::support::publisher::Draft;

#[tokio::test]
async fn each_certificate_and_list_is_warned_of_once_and_shown_as_a_metric() {
    let scene = Scene::of_lists().await;
    let metrics = carnet::telemetry::metrics();
    scene.publish(LIST, &Draft::new(1, scene.now()));
    scene.listener.trust.fetch_lists().await;
    scene.listener.trust.watch_services(vec![scene.listener.pki.directory().join("server-ca.pem")]);
    assert_eq!(scene.listener.trust.check_expiry(), []);
    let shown = metrics.render();
    for (kind, name) in [
        ("server", "localhost"),
        ("root", "TEST AC RACINE CARNET DEVELOPMENT"),
        ("authority", "TEST AC CARNET DEVELOPMENT ORGANISATIONS"),
        ("service", "TEST AC CARNET DEVELOPMENT SERVEURS"),
    ] {
        let series = format!("carnet_tls_expiry_timestamp{{kind=\"{kind}\",name=\"{name}\"}}");
        assert!(shown.contains(&series), "{series} is not in {shown}");
    }
    assert!(shown.contains("carnet_tls_expiry_timestamp{kind=\"crl\""), "{shown}");

    let end = scene.listener.pki.usual_lifetime().until;
    let mut told = Vec::new();
    for days in [61, 59, 58, 29, 28, 6, 5] {
        let at = end - (days * 24).hours();
        scene.pass(SignedDuration::as_hours(&at.duration_since(scene.now()))).await;
        let news = scene.listener.trust.check_expiry().into_iter();
        told.extend(news.filter(|(one, _)| one.kind == ExpiringKind::Server).map(|(_, notice)| notice));
    }
    assert_eq!(told, [Notice::Days60, Notice::Days30, Notice::Days7]);
}
