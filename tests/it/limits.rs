//! One certificate, structure or address over its limit, and another beside it that feels nothing of that.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;

use carnet::clock::Clock;
use carnet::config::{Config, Limits};
use carnet::tls::development_pki::Issued;
use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::support::caller::Answer;
use crate::support::test_listener::{TestListener, doctor, hospital};
use crate::support::{Caller, Document, TestGateway};

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_over_its_rate_is_told_so_and_another_is_served() {
    let gateway = limited(|limits| limits.requests_per_second_per_certificate = const { NonZeroU32::new(5).unwrap() });
    let gateway = gateway.await;
    let (hospital, doctor) = (gateway.hospital(), gateway.doctor("899700000016"));
    let lines = gateway.journal_lines().await;
    let refused = until_refused(&hospital).await;
    is_over(&refused, "requests_per_second_per_certificate");
    // Neither is it written down, nor does it matter what is asked.
    assert_eq!(gateway.journal_lines().await, lines);
    assert_eq!(until_refused(&hospital).await.rule(), "too-many-requests");
    assert_eq!(doctor.get("/metadata").await.status, StatusCode::OK);
    // What is refused is not counted: asking again does not keep anybody out.
    while hospital.get("/metadata").await.status == StatusCode::TOO_MANY_REQUESTS {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificates_of_one_structure_share_its_rate() {
    let gateway = limited(|limits| limits.requests_per_second_per_structure = const { NonZeroU32::new(5).unwrap() });
    let gateway = gateway.await;
    // Two certificates of one structure, and one of another.
    let (one, same, other) = (gateway.hospital(), gateway.hospital(), gateway.laboratory());
    is_over(&until_refused(&one).await, "requests_per_second_per_structure");
    is_over(&until_refused(&same).await, "requests_per_second_per_structure");
    assert_eq!(other.get("/metadata").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn deposits_of_one_structure_leave_places_to_others() {
    let gateway = limited(|limits| limits.deposits_in_flight_per_structure_max = 1).await;
    let (one, same, other) = (gateway.hospital(), gateway.hospital(), gateway.laboratory());
    let begun = Begun::deposit(&one, 1_000).await;
    is_over(&same.deposit(&Document::discharge_letter()).await, "deposits_in_flight_per_structure_max");
    other.deposited(&Document::blood_test()).await;
    // Reads of the same structure have places of their own.
    assert!(same.found("").await.is_empty());
    drop(begun);
    let letter = Document::discharge_letter();
    while same.deposit(&letter).await.status == StatusCode::TOO_MANY_REQUESTS {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_one_certificate_leave_room_to_others() {
    let gateway = limited(|limits| {
        limits.body_bytes_max = 1_000_000;
        limits.document_bytes_max = 1_000_000;
        limits.body_bytes_in_flight_per_certificate_max = 1_000_000;
    });
    let gateway = gateway.await;
    let (hospital, laboratory) = (gateway.hospital(), gateway.laboratory());
    // Of this body not a byte has arrived: what it announces counts.
    let begun = Begun::deposit(&hospital, 999_000).await;
    let letter = Document::discharge_letter();
    is_over(&hospital.deposit(&letter).await, "body_bytes_in_flight_per_certificate_max");
    // One that announces nothing is told as soon as it shows.
    let unannounced = hospital.send_in_chunks(&letter.bundle().to_string()).await;
    is_over(&unannounced, "body_bytes_in_flight_per_certificate_max");
    // What needs no room goes on.
    assert!(hospital.found("").await.is_empty());
    laboratory.deposited(&Document::blood_test()).await;
    drop(begun);
    while hospital.deposit(&letter).await.status == StatusCode::TOO_MANY_REQUESTS {
        tokio::task::yield_now().await;
    }
    assert_eq!(hospital.found("").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_is_told_so_and_closed() {
    let gateway = limited(|limits| limits.connections_per_certificate_max = 2).await;
    let (hospital, doctor) = (gateway.hospital(), gateway.doctor("899700000016"));
    let (mut first, _second) = (hospital.connect().await, hospital.connect().await);
    ask(&mut first).await;
    let refused = hospital.get("/metadata").await;
    is_over(&refused, "connections_per_certificate_max");
    assert_eq!(refused.headers["connection"], "close");
    let mut third = hospital.connect().await;
    third.write_all(METADATA).await.unwrap();
    let mut answer = Vec::new();
    let _ = third.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 429"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(doctor.get("/metadata").await.status, StatusCode::OK);
    // The connections that were there go on, and one that ends makes room.
    ask(&mut first).await;
    drop(first);
    while hospital.get("/metadata").await.status == StatusCode::TOO_MANY_REQUESTS {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn connections_that_wait_to_be_told_so_are_few() {
    let limits = Limits { connections_per_certificate_max: 1, ..Limits::default() };
    let listener = TestListener::start_with(limits, Clock::System).await;
    let issued = listener.issue(&hospital());
    let (client, uri) = (listener.client(&issued), listener.url("/").parse().unwrap());
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(client.connect(&uri).await.unwrap());
    }
    // One is served and four may be told; the sixth is closed without a word.
    let mut sixth = client.connect(&uri).await.unwrap();
    assert_eq!(sixth.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert_eq!(listener.who(&listener.client(&listener.issue(&doctor()))).await.unwrap(), "801234567897");
}

#[tokio::test]
async fn an_address_has_so_many_handshakes_in_progress_and_another_has_its_own() {
    let limits = Limits { handshakes_per_address_max: 2, unlimited_addresses: Vec::new(), ..Limits::default() };
    let listener = TestListener::start_with(limits, Clock::System).await;
    let issued = listener.issue(&hospital());
    let silent = [from(1, &listener).await, from(1, &listener).await];
    // Both are accepted before the third, which comes to the same door.
    let mut third = from(1, &listener).await;
    assert_eq!(third.read(&mut [0; 1]).await.unwrap_or(0), 0);
    shakes_hands(2, &listener, &issued).await.unwrap();
    drop(silent);
    while shakes_hands(1, &listener, &issued).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_address_begins_so_many_handshakes_a_second_and_another_its_own() {
    let limits = Limits {
        handshakes_per_second_per_address: const { NonZeroU32::new(3).unwrap() },
        unlimited_addresses: Vec::new(),
        ..Limits::default()
    };
    let listener = TestListener::start_with(limits, Clock::System).await;
    let issued = listener.issue(&hospital());
    let mut refused = 0;
    for _ in 0..30 {
        // A stranger who hangs up at once.
        let mut stream = from(1, &listener).await;
        stream.write_all(b"x").await.unwrap_or_default();
        refused += u32::from(stream.read(&mut [0; 100]).await.unwrap_or(0) == 0);
    }
    assert!(refused >= 20, "{refused}");
    shakes_hands(2, &listener, &issued).await.unwrap();
}

#[tokio::test]
async fn an_address_that_speaks_for_many_is_not_limited() {
    let limits = Limits {
        handshakes_per_address_max: 1,
        handshakes_per_second_per_address: NonZeroU32::MIN,
        unlimited_addresses: vec!["127.0.0.3".parse().unwrap()],
        ..Limits::default()
    };
    let listener = TestListener::start_with(limits, Clock::System).await;
    let issued = listener.issue(&hospital());
    let _silent = [from(3, &listener).await, from(3, &listener).await];
    for _ in 0..5 {
        shakes_hands(3, &listener, &issued).await.unwrap();
    }
}

async fn limited(change: impl FnOnce(&mut Limits)) -> TestGateway {
    TestGateway::builder().configured(|config: &mut Config| change(&mut config.limits)).start().await
}

/// Asks what costs nothing until it is too often.
async fn until_refused(caller: &Caller) -> Answer {
    for _ in 0..1_000 {
        let answer = caller.get("/metadata").await;
        if answer.status != StatusCode::OK {
            return answer;
        }
    }
    panic!("a thousand requests in a row");
}

fn is_over(answer: &Answer, setting: &str) {
    let text = answer.text();
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{text}");
    assert_eq!(answer.rule(), "too-many-requests");
    assert_eq!(answer.headers["retry-after"], "1");
    assert!(text.contains(&format!("limits.{setting}")), "{text}");
    assert_eq!(answer.json()["issue"][0]["code"], "throttled");
}

/// A deposit that the gateway has let in and whose body does not come.
struct Begun(#[expect(dead_code, reason = "kept open")] tokio_rustls::client::TlsStream<TcpStream>);

impl Begun {
    async fn deposit(caller: &Caller, length: usize) -> Self {
        let mut stream = caller.connect().await;
        let head = format!(
            "POST /fhir HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\n\
             Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut go_ahead = [0; 25];
        stream.read_exact(&mut go_ahead).await.unwrap();
        assert_eq!(&go_ahead, b"HTTP/1.1 100 Continue\r\n\r\n");
        Self(stream)
    }
}

/// A request on a connection that stays.
async fn ask(stream: &mut tokio_rustls::client::TlsStream<TcpStream>) {
    stream.write_all(METADATA).await.unwrap();
    let mut answer = [0; 1_000];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
}

/// A connection from one of our own machine's many addresses: 127.0.0.`host`.
async fn from(host: u8, listener: &TestListener) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0))).unwrap();
    socket.connect(listener.address).await.unwrap()
}

async fn shakes_hands(host: u8, listener: &TestListener, issued: &Issued) -> std::io::Result<()> {
    let config = listener.client_config(issued, rustls::ALL_VERSIONS);
    let connector = TlsConnector::from(std::sync::Arc::new(config));
    let stream = connector.connect("localhost".try_into().unwrap(), from(host, listener).await).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream))
        .await
        .map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    let request = Request::builder().method(Method::GET).uri("/who").header("host", "localhost");
    let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
    let answer = sender.send_request(request).await.map_err(std::io::Error::other)?;
    assert_eq!(answer.status(), StatusCode::OK);
    Ok(())
}

const METADATA: &[u8] = b"HEAD /fhir/metadata HTTP/1.1\r\nHost: localhost\r\n\r\n";
