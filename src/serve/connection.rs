//! One connection, from its first request to its last byte: HTTP limits, waits that end, a stop that is polite.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;

use super::activity::{Activity, Answer, Wait, Watched};
use super::frames::FrameBudget;
use crate::config::Limits;
use crate::tls::listener::Protocol;

/// How long each wait for the client may last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    head: Duration,
    idle: Duration,
    bytes_per_second_min: u64,
}

/// Becomes true when the server stops.
pub(super) type Stop = watch::Receiver<bool>;

/// What answers a request.
pub(super) trait Answers: Clone + Send + 'static {
    fn answer(self, request: Request<Incoming>, activity: &Activity) -> impl Future<Output = Response<Body>> + Send;
}

impl Waits {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            head: limits.header_timeout(),
            idle: Duration::from_secs(limits.idle_seconds),
            bytes_per_second_min: limits.body_bytes_per_second_min,
        }
    }

    /// Of a connection that is there for one answer.
    pub(super) fn brief(self) -> Self {
        Self { idle: self.head, ..self }
    }
}

/// Serves a connection until either end is done with it.
pub(super) async fn drive<S, A>(stream: S, protocol: Protocol, answers: A, waits: Waits, stop: Stop)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Answers,
{
    let activity = Activity::new(waits.bytes_per_second_min);
    let frames = (protocol == Protocol::Http2).then(|| FrameBudget::new(Instant::now()));
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&activity), frames));
    let of_requests = Arc::clone(&activity);
    let service = service_fn(move |request: Request<Incoming>| {
        let handling = of_requests.begin();
        let (answers, activity) = (answers.clone(), Arc::clone(&of_requests));
        async move {
            let (parts, body) = answers.answer(request, &activity).await.into_parts();
            Ok::<Response<Answer>, Infallible>(Response::from_parts(parts, handling.answer(body)))
        }
    });
    match protocol {
        Protocol::Http1 => {
            let connection = http1_settings().serve_connection(io, service);
            supervise(pin!(connection), http1::Connection::graceful_shutdown, protocol, &activity, waits, stop).await;
        }
        Protocol::Http2 => {
            let connection = http2_settings().serve_connection(io, service);
            supervise(pin!(connection), http2::Connection::graceful_shutdown, protocol, &activity, waits, stop).await;
        }
    }
}

/// Polls the connection and ends it when it goes nowhere, when its certificate was withdrawn, or when the
/// server stops; requests in flight are finished where the client does its part.
async fn supervise<C>(
    mut connection: Pin<&mut C>,
    finish: fn(Pin<&mut C>),
    protocol: Protocol,
    activity: &Activity,
    waits: Waits,
    mut stop: Stop,
) where
    C: Future<Output = hyper::Result<()>>,
{
    let mut finishing = None;
    loop {
        // A request may begin at any time, and its header is then what is waited for.
        let look_again = deadline(activity, protocol, waits, finishing).min(Instant::now() + waits.head / 2);
        tokio::select! {
            biased;
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            () = tokio::time::sleep_until(look_again) => {
                if deadline(activity, protocol, waits, finishing) > Instant::now() {
                    continue;
                }
                let gives_up = finishing.is_some() || !matches!(activity.waits_for(), Wait::Request);
                if gives_up {
                    metrics::counter!("carnet_connections_cut_total").increment(1);
                    return;
                }
            }
            _ = stop.wait_for(|stopped| *stopped), if finishing.is_none() => {
                // hyper would wait for a first request that need not come.
                if activity.is_untouched() {
                    return;
                }
            }
            () = activity.withdrawn(), if finishing.is_none() => {}
        }
        finishing = Some(Instant::now());
        finish(connection.as_mut());
    }
}

/// When the present wait is over. Nothing that a handler does is measured here.
fn deadline(activity: &Activity, protocol: Protocol, waits: Waits, finishing: Option<Instant>) -> Instant {
    match (activity.waits_for(), finishing) {
        (Wait::Handler, _) => Instant::now() + waits.idle,
        (Wait::Answer(since), _) => since + waits.idle,
        (Wait::Head(_) | Wait::Request, Some(since)) => activity.last_answered().max(since) + waits.head,
        // On HTTP/2 bytes between requests may be pings and settings.
        (Wait::Head(since), None) if protocol == Protocol::Http1 => since + waits.head,
        (Wait::Head(_) | Wait::Request, None) => activity.last_answered() + waits.idle,
    }
}

fn http1_settings() -> http1::Builder {
    let mut settings = http1::Builder::new();
    // Header and idle time limits are kept by `supervise`.
    settings.timer(TokioTimer::new()).header_read_timeout(None).max_headers(HEADERS_MAX);
    settings.max_header_size(HEADER_BYTES_MAX);
    settings
}

fn http2_settings() -> http2::Builder<TokioExecutor> {
    let mut settings = http2::Builder::new(TokioExecutor::new());
    settings
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(ERRONEOUS_STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    settings
}

const HEADERS_MAX: usize = 100;
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// A list of four times that, or one in more than a few CONTINUATION frames, ends the connection; one between gets
/// 431. Counts 32 bytes a header, however short they are sent (RFC 9113 section 6.5.2).
const HEADER_LIST_BYTES_MAX: u32 = 32 * 1024;
const STREAMS_MAX: u32 = 64;
/// Reset by the client before a handler saw them: the cheapest attack on HTTP/2. What comes after is [`FrameBudget`]'s.
const RESET_STREAMS_MAX: usize = 20;
/// Refused or reset by us, while the connection lasts: a client that does not know our limit of streams yet may
/// open a hundred at once.
const ERRONEOUS_STREAMS_MAX: usize = 200;
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// What one connection may have sent that no handler has read yet.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
const SEND_BUFFER_BYTES_MAX: usize = 128 * 1024;
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Empty};

    use super::*;

    const LONG: usize = 4 * 1024 * 1024;

    /// Answers each request at length; POST has a handler that never ends.
    #[derive(Clone)]
    struct AtLength;

    impl Answers for AtLength {
        async fn answer(self, request: Request<Incoming>, _: &Activity) -> Response<Body> {
            if request.method() == http::Method::POST {
                std::future::pending::<()>().await;
            }
            Response::new(Body::from(vec![7; LONG]))
        }
    }

    fn serve(protocol: Protocol) -> (tokio::io::DuplexStream, watch::Sender<bool>) {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let (stop, stopped) = watch::channel(false);
        let second = Duration::from_secs(1);
        let waits = Waits { head: second, idle: second, bytes_per_second_min: 1024 * 1024 };
        tokio::spawn(drive(server, protocol, AtLength, waits, stopped));
        (client, stop)
    }

    fn request(method: http::Method) -> Request<Empty<axum::body::Bytes>> {
        Request::builder().method(method).uri("https://localhost/").body(Empty::new()).unwrap()
    }

    #[tokio::test]
    async fn a_long_answer_arrives_whole() {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let (client, _stop) = serve(protocol);
            let io = TokioIo::new(client);
            let response = if protocol == Protocol::Http1 {
                let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
                tokio::spawn(connection);
                sender.send_request(request(http::Method::GET)).await.unwrap()
            } else {
                let client = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
                let (mut sender, connection) = client.await.unwrap();
                tokio::spawn(connection);
                sender.send_request(request(http::Method::GET)).await.unwrap()
            };
            assert_eq!(response.headers()[http::header::CONTENT_LENGTH], LONG.to_string());
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), vec![7; LONG]);
        }
    }

    /// It answers pings, sends its own, reads another answer and has a request at work: none of that is reading.
    #[tokio::test]
    async fn a_client_that_takes_nothing_of_an_answer_is_cut_whatever_else_it_does() {
        let (client, _stop) = serve(Protocol::Http2);
        let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_millis(100))
            .handshake(TokioIo::new(client))
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        let untouched = sender.send_request(request(http::Method::GET)).await.unwrap();
        let (mut busy, mut reading) = (sender.clone(), sender.clone());
        tokio::spawn(async move { busy.send_request(request(http::Method::POST)).await });
        tokio::spawn(async move {
            while let Ok(read) = reading.send_request(request(http::Method::GET)).await {
                let _ = read.into_body().collect().await;
            }
        });
        let ended = tokio::time::timeout(Duration::from_secs(10), connection).await;
        assert!(ended.is_ok(), "the connection is still open");
        drop(untouched);
    }

    #[tokio::test]
    async fn a_client_of_http_1_that_stops_reading_is_cut() {
        let (mut client, _stop) = serve(Protocol::Http1);
        tokio::io::AsyncWriteExt::write_all(&mut client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        // What it sends meanwhile does not count as reading.
        let cut = async {
            while tokio::io::AsyncWriteExt::write_all(&mut client, b"G").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(10), cut).await.is_ok(), "the connection is still open");
    }

    #[tokio::test]
    async fn a_client_that_takes_an_answer_drop_by_drop_is_cut() {
        let (mut client, _stop) = serve(Protocol::Http1);
        tokio::io::AsyncWriteExt::write_all(&mut client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let (mut piece, mut taken) = ([0; 16 * 1024], 0);
        let drops = async {
            while let Ok(count @ 1..) = tokio::io::AsyncReadExt::read(&mut client, &mut piece).await {
                taken += count;
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(20), drops).await.is_ok(), "the connection is still open");
        assert!(taken < LONG / 2, "{taken}");
    }
}
