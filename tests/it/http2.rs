//! Floods of HTTP/2 frames over real TLS: the connection of who sends them ends, the others go on.

use std::time::Duration;

use bytes::Bytes;
use carnet::cli::client::Client;
use carnet::clock::Clock;
use carnet::config::Limits;
use carnet::tls::development_pki::Issued;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::support::raw_http2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Method, PING, PRIORITY, RST_STREAM, RawHttp2, SETTINGS,
    STATUS_200, WINDOW_UPDATE, frame, request,
};
use crate::support::test_listener::{TestListener, hospital};

/// Many times the budget of one connection.
const FLOOD: u32 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn pings_settings_priorities_and_window_updates_without_end_are_cut() {
    let hall = Hall::open().await;
    for flood in [
        frame(PING, 0, 0, &[7; 8]),
        frame(PING, ACK, 0, &[7; 8]),
        frame(SETTINGS, 0, 0, &[]),
        frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0].repeat(100)),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        frame(0xbe, 0, 0, b"nobody knows this one"),
    ] {
        hall.cuts(FLOOD, |_| flood.clone()).await;
    }
}

/// CVE-2023-44487. The handler of `/slow` would never end by itself.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_reset_at_once_are_cut() {
    let hall = Hall::open().await;
    for path in ["/slow", "/who", "/nowhere"] {
        hall.cuts(FLOOD, |number| {
            let mut both = frame(HEADERS, END_HEADERS | END_STREAM, 2 * number - 1, &request(Method::Get, path));
            both.extend(frame(RST_STREAM, 0, 2 * number - 1, &[0, 0, 0, 8]));
            both
        })
        .await;
    }
}

/// The same in slow motion: each request is taken up before it is reset.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_reset_once_they_are_at_work_are_cut_too() {
    let hall = Hall::open().await;
    let mut raw = RawHttp2::connect(&hall.listener, &hall.issued).await;
    for number in 1..=FLOOD {
        let stream = 2 * number - 1;
        raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &request(Method::Get, "/slow"))).await;
        if tokio::time::timeout(Duration::from_secs(5), hall.listener.entered.notified()).await.is_err() {
            hall.serves_others().await;
            return;
        }
        raw.send(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])).await;
    }
    panic!("{FLOOD} resets went through");
}

/// CVE-2024-27316, by a client that never acknowledges our settings.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_block_that_does_not_end_is_cut_long_before_it_fills_memory() {
    let hall = Hall::open().await;
    let pieces = |payload: Vec<u8>| {
        move |number| match number {
            1 => frame(HEADERS, 0, 1, &request(Method::Get, "/who")),
            _ => frame(CONTINUATION, 0, 1, &payload),
        }
    };
    // Literals that are sound, and not one of them beyond any limit: 16,000 bytes a frame, 128,000 in all.
    let field = [&[0, 1, b'x', 125][..], &[b'y'; 125]].concat();
    hall.cuts(8, pieces(field.repeat(124))).await;
    hall.cuts(FLOOD, pieces(Vec::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_in_crumbs_is_cut() {
    let hall = Hall::open().await;
    for crumb in [&b""[..], b"x"] {
        hall.cuts(FLOOD, |number| match number {
            1 => frame(HEADERS, END_HEADERS, 1, &request(Method::Post, "/slow")),
            _ => frame(DATA, 0, 1, crumb),
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_too_many_is_refused_and_the_others_go_on() {
    let hall = Hall::open().await;
    let mut raw = RawHttp2::connect(&hall.listener, &hall.issued).await;
    for number in 0..65 {
        raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &request(Method::Get, "/slow"))).await;
    }
    let refused = raw.receive_on(RST_STREAM, 129).await;
    assert_eq!(refused.payload, [0, 0, 0, 7], "REFUSED_STREAM");
    hall.listener.release.notify_waiters();
    assert_eq!(raw.receive_on(HEADERS, 1).await.payload[0], STATUS_200);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_too_many_without_end_are_cut() {
    let hall = Hall::open().await;
    hall.cuts(FLOOD, |number| frame(HEADERS, END_HEADERS | END_STREAM, 2 * number - 1, &request(Method::Get, "/slow")))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_resets_pings_and_updates_now_and_then_is_served() {
    let hall = Hall::open().await;
    let mut raw = RawHttp2::connect(&hall.listener, &hall.issued).await;
    for number in 0..300 {
        let (stream, reset) = (4 * number + 1, 4 * number + 3);
        raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &request(Method::Get, "/who"))).await;
        assert_eq!(raw.receive_on(HEADERS, stream).await.payload[0], STATUS_200, "{number}");
        raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, reset, &request(Method::Get, "/slow"))).await;
        raw.send(&frame(RST_STREAM, 0, reset, &[0, 0, 0, 8])).await;
        raw.send(&frame(PING, 0, 0, &[7; 8])).await;
        assert_eq!(raw.receive_on(PING, 0).await.flags, ACK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_over_the_limit_are_refused_and_the_connection_goes_on() {
    let hall = Hall::open().await;
    let mut config = hall.listener.client_config(&hall.issued, rustls::ALL_VERSIONS);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = Client::with_config(config).connect(&hall.listener.url("/").parse().unwrap()).await.unwrap();
    let http2 = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = http2.await.unwrap();
    tokio::spawn(connection);
    for (length, count, status) in [
        (10, 50, StatusCode::OK),
        // Each costs 32 bytes more than it says.
        (1, 900, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        (40_000, 1, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        (10, 50, StatusCode::OK),
    ] {
        let mut request = Request::get(hall.listener.url("/who"));
        for number in 0..count {
            request = request.header(format!("x-{number}"), "x".repeat(length));
        }
        let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "{count} of {length}");
        sender.ready().await.unwrap();
    }
}

/// A listener, somebody who floods it, and somebody who has nothing to do with that.
struct Hall {
    listener: TestListener,
    issued: Issued,
    other: Client,
}

impl Hall {
    async fn open() -> Self {
        let listener = TestListener::start_with(Limits::default(), Clock::System).await;
        let issued = listener.issue(&hospital());
        let other = listener.client(&issued);
        let hall = Self { listener, issued, other };
        hall.serves_others().await;
        hall
    }

    async fn cuts(&self, count: u32, frames: impl Fn(u32) -> Vec<u8>) {
        let raw = RawHttp2::connect(&self.listener, &self.issued).await;
        let first = frames(2);
        assert!(raw.ends_under(count, frames).await, "still open after {count} frames of type {}", first[3]);
        self.serves_others().await;
    }

    /// On a connection that was there before the flood.
    async fn serves_others(&self) {
        assert_eq!(self.listener.who(&self.other).await.unwrap(), "1750803447");
    }
}
