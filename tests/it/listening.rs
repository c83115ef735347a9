//! How the listener treats connections: reload, limits, stop.

use std::time::Duration;

use carnet::clock::Clock;
use carnet::config::Limits;
use carnet::serve::serve_operators;
use carnet::tls::development_pki::DevelopmentPki;
use carnet::tls::trust::Reload;
use http::{StatusCode, Uri};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::test_listener::{TestListener, doctor, hospital};

#[tokio::test]
async fn reading_the_files_again_drops_no_connection() {
    let listener = TestListener::start().await;
    let client = listener.client(&listener.issue(&hospital()));
    let slow = tokio::spawn({
        let (client, url) = (client.clone(), listener.url("/slow"));
        async move { client.send(request(&url)).await.map(http::Response::into_body) }
    });
    listener.entered.notified().await;
    listener.pki.revoke(&listener.issue(&doctor()).serial).unwrap();
    assert_eq!(listener.trust.reload(), Reload::Swapped);
    assert_eq!(listener.trust.reload(), Reload::Unchanged);
    listener.release.notify_one();
    assert_eq!(slow.await.unwrap().unwrap(), "done");
    assert_eq!(listener.who(&client).await.unwrap(), "1750803447");
}

#[tokio::test]
async fn a_broken_file_keeps_the_set_before_until_it_is_mended() {
    let listener = TestListener::start().await;
    let client = || listener.client(&listener.issue(&hospital()));
    for name in ["crl/personnes.pem", "client-roots.pem", "server.pem", "server.key"] {
        let path = listener.pki.directory().join(name);
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, &good[..good.len() / 2]).unwrap();
        assert_eq!(listener.trust.reload(), Reload::Kept, "{name}");
        assert!(listener.who(&client()).await.is_ok(), "{name}");
        std::fs::write(&path, good).unwrap();
        assert_eq!(listener.trust.reload(), Reload::Swapped, "{name}");
    }
}

#[tokio::test]
async fn a_list_that_disappears_lets_nobody_in_whom_it_revoked() {
    let listener = TestListener::start().await;
    let revoked = listener.issue(&hospital());
    listener.pki.revoke(&revoked.serial).unwrap();
    assert_eq!(listener.trust.reload(), Reload::Swapped);
    let path = listener.pki.directory().join("crl/organisations.pem");
    let list = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(listener.trust.reload(), Reload::Kept);
    assert!(listener.who(&listener.client(&revoked)).await.is_err());
    assert!(listener.who(&listener.client(&listener.issue(&hospital()))).await.is_ok());
    std::fs::write(&path, list).unwrap();
    assert_eq!(listener.trust.reload(), Reload::Swapped);
}

#[tokio::test]
async fn a_key_that_does_not_fit_its_certificate_is_not_put_in_force() {
    let listener = TestListener::start().await;
    let elsewhere = tempfile::tempdir().unwrap();
    DevelopmentPki::create(elsewhere.path(), Clock::System).unwrap();
    std::fs::copy(elsewhere.path().join("server.key"), listener.pki.directory().join("server.key")).unwrap();
    assert_eq!(listener.trust.reload(), Reload::Kept);
}

#[tokio::test]
async fn a_list_that_another_authority_signed_is_not_put_in_force() {
    let listener = TestListener::start().await;
    let elsewhere = tempfile::tempdir().unwrap();
    DevelopmentPki::create(elsewhere.path(), Clock::System).unwrap();
    std::fs::copy(elsewhere.path().join("crl/racine.pem"), listener.pki.directory().join("crl/racine.pem")).unwrap();
    assert_eq!(listener.trust.reload(), Reload::Kept);
}

#[tokio::test]
async fn a_stop_lets_a_request_in_flight_finish_and_closes_idle_connections() {
    let listener = TestListener::start().await;
    let (address, release) = (listener.address, listener.release.clone());
    let idle = listener.client(&listener.issue(&doctor()));
    assert!(listener.who(&idle).await.is_ok());
    let uri: Uri = listener.url("/").parse().unwrap();
    let mut untouched = idle.connect(&uri).await.unwrap();
    let slow = tokio::spawn({
        let (client, url) = (listener.client(&listener.issue(&hospital())), listener.url("/slow"));
        async move { client.send(request(&url)).await.map(http::Response::into_body) }
    });
    listener.entered.notified().await;
    let stopped = listener.stop();
    assert_eq!(untouched.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(address).await.is_err());
    release.notify_one();
    assert_eq!(slow.await.unwrap().unwrap(), "done");
    stopped.await.unwrap();
}

#[tokio::test]
async fn a_stop_ends_in_its_time_even_where_a_request_does_not() {
    let limits = Limits { shutdown_seconds: 0, ..Limits::default() };
    let listener = TestListener::start_with(limits, Clock::System).await;
    let slow = tokio::spawn({
        let (client, url) = (listener.client(&listener.issue(&hospital())), listener.url("/slow"));
        async move { client.send(request(&url)).await }
    });
    listener.entered.notified().await;
    listener.stop().await.unwrap();
    assert!(slow.await.unwrap().is_err());
}

#[tokio::test]
async fn a_request_that_never_ends_its_header_is_cut() {
    let limits = Limits { header_seconds: 1, ..Limits::default() };
    let listener = TestListener::start_with(limits, Clock::System).await;
    let client = listener.client(&listener.issue(&hospital()));
    let mut stream = client.connect(&listener.url("/").parse().unwrap()).await.unwrap();
    stream.write_all(b"GET /who HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.unwrap();
    assert_closes(&mut stream).await;
}

#[tokio::test]
async fn a_connection_that_asks_nothing_is_closed() {
    let limits = Limits { idle_seconds: 1, ..Limits::default() };
    let listener = TestListener::start_with(limits, Clock::System).await;
    let client = listener.client(&listener.issue(&hospital()));
    let mut stream = client.connect(&listener.url("/").parse().unwrap()).await.unwrap();
    assert_closes(&mut stream).await;
}

#[tokio::test]
async fn a_client_survives_that_its_idle_connection_was_closed() {
    let limits = Limits { idle_seconds: 1, connections_max: 1, ..Limits::default() };
    let listener = TestListener::start_with(limits, Clock::System).await;
    let issued = listener.issue(&hospital());
    let (client, other) = (listener.client(&issued), listener.client(&issued));
    assert_eq!(listener.who(&client).await.unwrap(), "1750803447");
    // There is room for one: the other comes in only when the first was closed.
    assert_eq!(listener.who(&other).await.unwrap(), "1750803447");
    drop(other);
    assert_eq!(listener.who(&client).await.unwrap(), "1750803447");
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_cut() {
    let limits = Limits { handshake_seconds: 1, ..Limits::default() };
    let listener = TestListener::start_with(limits, Clock::System).await;
    let mut stream = TcpStream::connect(listener.address).await.unwrap();
    assert_closes(&mut stream).await;
}

#[tokio::test]
async fn a_header_over_the_limit_is_refused() {
    let listener = TestListener::start().await;
    let client = listener.client(&listener.issue(&hospital()));
    let request = http::Request::get(listener.url("/who")).header("x-large", "x".repeat(64 * 1024));
    let response = client.send(request.body(http_body_util::Empty::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn a_client_beyond_the_limit_waits_until_another_leaves() {
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let listener = TestListener::start_with(limits, Clock::System).await;
    let issued = listener.issue(&hospital());
    let (first, second) = (listener.client(&issued), listener.client(&issued));
    assert!(listener.who(&first).await.is_ok());
    let mut waiting = std::pin::pin!(listener.who(&second));
    let premature = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
    assert!(premature.is_err(), "the second client came in beside the first");
    drop(first);
    assert_eq!(waiting.await.unwrap(), "1750803447");
}

#[tokio::test]
async fn operators_see_metrics_and_health() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ready = || async { Err("the database does not answer".to_owned()) };
    tokio::spawn(async move {
        serve_operators(listener, ready, &Limits::default(), std::future::pending()).await;
    });
    assert!(plain_get(address, "/health/live").await.starts_with("HTTP/1.1 200"));
    let not_ready = plain_get(address, "/health/ready").await;
    assert!(not_ready.starts_with("HTTP/1.1 503") && not_ready.ends_with("the database does not answer\n"));

    let professionals = TestListener::start().await;
    assert!(professionals.who(&professionals.client(&professionals.issue(&doctor()))).await.is_ok());
    let metrics = plain_get(address, "/metrics").await;
    assert!(metrics.contains("carnet_tls_handshakes_total{outcome=\"accepted\"}"), "{metrics}");
    assert!(metrics.contains("carnet_connections_open"), "{metrics}");
}

async fn plain_get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Reads to the end, whether it is polite or not; a stream that stays open fails the test.
async fn assert_closes(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut Vec::new())).await;
    assert!(end.is_ok(), "the connection is still open");
}

fn request(url: &str) -> http::Request<http_body_util::Empty<bytes::Bytes>> {
    http::Request::get(url).body(http_body_util::Empty::new()).unwrap()
}
