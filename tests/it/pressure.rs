//! When there is no room, no turn, or no end: 507 and 503 with Retry-After, reads that go on, nothing half stored.
//!
//! sqlx is named here to be another process that holds the database; in `src` only the store may.

use std::time::Duration;

use http::StatusCode;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::support::caller::search_path;
use super::support::gateway::patient;
use super::support::{Caller, Desk, Document, TestGateway};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_refuses_deposits_and_goes_on_reading() {
    let folder = tempfile::tempdir().unwrap();
    let id = {
        let gateway = gateway_in(&folder, |_| {}).await;
        gateway.hospital().deposited(&Document::discharge_letter()).await
    };
    let size = std::fs::metadata(folder.path().join("carnet.db")).unwrap().len();
    let gateway = gateway_in(&folder, |config| config.store.bytes_max = size).await;
    let desk = Desk { hospital: gateway.hospital(), gateway };
    let lines = desk.gateway.journal_lines().await;
    let answer = desk.hospital.deposit(&Document::discharge_letter()).await;
    assert_eq!(answer.status, StatusCode::INSUFFICIENT_STORAGE, "{}", answer.text());
    assert_eq!(answer.rule(), "storage-full");
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(desk.gateway.journal_lines().await, lines + 1);
    assert_eq!(desk.hospital.found("").await, std::slice::from_ref(&id));
    assert_eq!(desk.gateway.doctor("810000000011").read_in_emergency(&id).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_its_reserve_refuses_deposits_and_goes_on_reading() {
    let gateway = TestGateway::builder().configured(|config| config.store.free_bytes_min = u64::MAX / 4).start().await;
    let hospital = gateway.hospital();
    let answer = hospital.deposit(&Document::discharge_letter()).await;
    assert_eq!(answer.status, StatusCode::INSUFFICIENT_STORAGE, "{}", answer.text());
    assert!(answer.headers.contains_key("retry-after"));
    assert!(hospital.found("").await.is_empty());
}

/// Another process (an operator's command) writes for a long time. Nothing that must be written down can be; so
/// neither a deposit nor a read is answered with more than "come back". What writes no line goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_asks_to_come_back_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway_in(&folder, |_| {}).await;
    let hospital = gateway.hospital();
    let id = hospital.deposited(&Document::discharge_letter()).await;
    let lines = gateway.journal_lines().await;
    let options = SqliteConnectOptions::new().filename(folder.path().join("carnet.db"));
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();

    let (reader, search) = (gateway.doctor("810000000011"), search_path(&patient(), ""));
    let letter = Document::discharge_letter();
    let within_bounds = tokio::time::timeout(Duration::from_secs(20), async {
        tokio::join!(hospital.deposit(&letter), reader.read_in_emergency(&id), hospital.get(&search))
    });
    let (deposit, read, found) = within_bounds.await.expect("an answer in time");
    for answer in [deposit, read, found] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text());
        assert_eq!(answer.rule(), "busy");
        assert!(answer.headers.contains_key("retry-after"));
    }
    assert_eq!(hospital.get("/metadata").await.status, StatusCode::OK);
    assert!(!gateway.gateway().is_ready().await, "nothing can be written down");

    lock.rollback().await.unwrap();
    assert_eq!(gateway.journal_lines().await, lines);
    hospital.deposited(&letter).await;
    assert_eq!(hospital.found("").await.len(), 2);
    assert_eq!(reader.read_in_emergency(&id).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn deposits_beyond_those_in_flight_are_asked_to_come_back_and_none_is_lost() {
    let builder = TestGateway::builder().configured(|config| config.limits.deposits_in_flight_max = 2);
    let desk = Desk::of(builder).await;
    let (first, second) = (Slow::begin(&desk.hospital).await, Slow::begin(&desk.hospital).await);
    let third = Document::discharge_letter();
    // The two places are taken once the first bytes of both have been seen.
    let refused = refused_as_busy(&desk.hospital, &third).await;
    assert!(refused.headers.contains_key("retry-after"));
    // Reads do not wait behind deposits.
    assert_eq!(desk.stored().await, 0);
    assert!(first.finish().await.starts_with("HTTP/1.1 200"));
    assert!(second.finish().await.starts_with("HTTP/1.1 200"));
    desk.hospital.deposited(&third).await;
    assert_eq!(desk.stored().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_has_all_its_places_leaves_those_of_others() {
    let builder = TestGateway::builder().configured(|config| config.limits.deposits_in_flight_per_certificate_max = 1);
    let desk = Desk::of(builder).await;
    let slow = Slow::begin(&desk.hospital).await;
    let letter = Document::discharge_letter();
    let refused = desk.hospital.deposit(&letter).await;
    assert_eq!((refused.status, refused.rule().as_str()), (StatusCode::TOO_MANY_REQUESTS, "too-many-requests"));
    assert!(refused.headers.contains_key("retry-after"));
    desk.gateway.laboratory().deposited(&Document::blood_test()).await;
    assert!(slow.finish().await.starts_with("HTTP/1.1 200"));
    desk.hospital.deposited(&letter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_as_large_as_a_deposit_is_refused() {
    let desk = Desk::open().await;
    for media_type in ["application/fhir+json", "application/fhir+xml"] {
        let headers = [("content-type", media_type)];
        let answer = desk.hospital.send(http::Method::POST, "/Consent", &headers, " ".repeat(70_000)).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.text());
        assert_eq!(answer.rule(), "body-too-large");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_beyond_the_limit_is_answered_and_everything_acknowledged_is_there() {
    let builder = TestGateway::builder().configured(|config| config.limits.deposits_in_flight_max = 2);
    let desk = Desk::of(builder).await;
    let storm: Vec<_> = (0..24)
        .map(|_| {
            let hospital = desk.hospital.again();
            tokio::spawn(async move { hospital.deposit(&Document::blood_test()).await.status })
        })
        .collect();
    let mut acknowledged = 0;
    for deposit in storm {
        match deposit.await.unwrap() {
            StatusCode::OK => acknowledged += 1,
            status => assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE),
        }
    }
    assert!(acknowledged > 0);
    assert_eq!(desk.stored().await, acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_sending_is_cut_in_its_time() {
    let builder = TestGateway::builder().configured(|config| {
        config.limits.body_idle_seconds = 1;
        config.limits.deposits_in_flight_max = 1;
    });
    let desk = Desk::of(builder).await;
    let mut slow = Slow::begin(&desk.hospital).await;
    let mut answer = Vec::new();
    let cut = tokio::time::timeout(Duration::from_secs(10), slow.stream.read_to_end(&mut answer)).await;
    assert!(cut.is_ok(), "the connection is still open");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body-timeout"), "{answer}");
    // Its place is free again.
    desk.is_well_with(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_a_deposit_in_flight_finish() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway_in(&folder, |_| {}).await;
    let (hospital, address) = (gateway.hospital(), gateway.running.professionals);
    let slow = Slow::begin(&hospital).await;
    let stopped = tokio::spawn(gateway.running.stop());
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let answer = slow.finish().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stopped.await.unwrap().unwrap();
    let gateway = gateway_in(&folder, |_| {}).await;
    assert_eq!(gateway.hospital().found("").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_bad_messages_at_once_leave_the_server_well() {
    let desk = Desk::open().await;
    let storm: Vec<_> = (0..30)
        .map(|i| {
            let hospital = desk.hospital.again();
            let text = ["[".repeat(100_000), "{".to_owned(), "x".repeat(1_000_000)][i % 3].clone();
            tokio::spawn(async move {
                hospital.send(http::Method::POST, "", &[("content-type", "application/fhir+json")], text).await
            })
        })
        .collect();
    for answer in storm {
        assert_eq!(answer.await.unwrap().status, StatusCode::BAD_REQUEST);
    }
    desk.is_well_with(0).await;
}

/// A deposit of which all but the last byte is sent.
struct Slow {
    stream: TlsStream<TcpStream>,
    rest: Vec<u8>,
}

impl Slow {
    /// Returns once the server asks for the body: the deposit then has its place.
    async fn begin(hospital: &Caller) -> Self {
        let mut body = Document::discharge_letter().bundle().to_string().into_bytes();
        let head = format!(
            "POST /fhir HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\nContent-Length: {}\r\n\
             Expect: 100-continue\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let mut stream = hospital.connect().await;
        stream.write_all(head.as_bytes()).await.expect("head");
        let mut go_ahead = [0; 25];
        stream.read_exact(&mut go_ahead).await.expect("go-ahead");
        assert_eq!(&go_ahead, b"HTTP/1.1 100 Continue\r\n\r\n");
        let rest = body.split_off(body.len() - 1);
        stream.write_all(&body).await.expect("body");
        Self { stream, rest }
    }

    /// Sends the last byte and reads the answer.
    async fn finish(mut self) -> String {
        self.stream.write_all(&self.rest).await.expect("last byte");
        let mut answer = Vec::new();
        let _ = self.stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

async fn refused_as_busy(hospital: &Caller, document: &Document) -> super::support::caller::Answer {
    let answer = hospital.deposit(document).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text());
    assert_eq!(answer.rule(), "busy");
    answer
}

/// A gateway whose database outlives it.
async fn gateway_in(folder: &tempfile::TempDir, change: impl FnOnce(&mut carnet::config::Config)) -> TestGateway {
    let database = format!("sqlite:{}", folder.path().join("carnet.db").display());
    let builder = TestGateway::builder().configured(|config| {
        config.store.database = database;
        change(config);
    });
    builder.start().await
}
