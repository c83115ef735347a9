//! Listening: accepts connections within limits, hands their requests to a router, stops without losing one.
//!
//! An own accept loop, because a ready-made one has neither a handshake nor a header time limit, and would let
//! a slow handshake hold up the next client. Knows no route and no resource. Source: contract 3 and 7 (5).

mod activity;
mod arrivals;
mod connection;
mod frames;
mod operators;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use self::activity::Activity;
use self::arrivals::{Arrivals, Welcome};
use self::connection::{Answers, Stop, Waits, drive};
pub use self::operators::serve_operators;
use crate::config::Limits;
use crate::limits::ration::Holder;
use crate::refusal::Refusal;
use crate::tls::listener::{Accepted, HandshakeError, PresentedCertificate, Protocol, RefusedCertificate, accept};
use crate::tls::standing::Standing;
use crate::tls::trust::Trust;

/// Serves `router` over mutual TLS until `shutdown` is over and the requests then in flight are answered, or
/// `limits.shutdown_seconds` have passed. Each request carries a [`PresentedCertificate`] in its extensions.
pub async fn serve(
    listener: TcpListener,
    trust: Arc<Trust>,
    router: Router,
    limits: &Limits,
    shutdown: impl Future<Output = ()>,
) {
    let (waits, within) = (Waits::new(limits), Duration::from_secs(limits.handshake_seconds));
    let arrivals = Arc::new(Arrivals::new(limits));
    let connect = move |stream: TcpStream, peer: IpAddr, mut stop: Stop| {
        let (trust, router, arrivals) = (Arc::clone(&trust), router.clone(), Arc::clone(&arrivals));
        let handshaking = arrivals.knock(peer);
        async move {
            let Some(handshaking) = handshaking else { return };
            let accepted = tokio::select! {
                accepted = accept(stream, &trust, within) => accepted,
                _ = stop.wait_for(|stopped| *stopped) => return,
            };
            let accepted = match accepted {
                Ok(accepted) => accepted,
                Err(error) => return note_refused(peer, &error),
            };
            let Some(welcome) = arrivals.welcome(&Holder::of(&accepted.certificate)) else { return };
            let place = tokio::select! {
                place = arrivals.enter() => place,
                _ = stop.wait_for(|stopped| *stopped) => None,
            };
            drop(handshaking);
            if place.is_some() {
                serve_accepted(accepted, welcome, router, waits, stop).await;
            }
        }
    };
    let sockets_max =
        limits.connections_max.saturating_add(usize::try_from(limits.handshakes_max).unwrap_or(usize::MAX));
    accept_loop(listener, sockets_max, limits, shutdown, connect).await;
}

/// Serves a client whose certificate is known; one that has too many connections is told so, and has little time.
async fn serve_accepted(accepted: Accepted, welcome: Welcome, router: Router, waits: Waits, stop: Stop) {
    let Accepted { stream, certificate, standing, protocol } = accepted;
    let Welcome { portion: _portion, excess } = welcome;
    let waits = if excess.is_some() { waits.brief() } else { waits };
    let caller = Professionals { router, certificate, standing: Arc::new(standing), excess };
    drive(stream, protocol, caller, waits, stop).await;
}

/// The address is told here and nowhere else, where nobody is known yet who could be seen by it: an operator must be
/// able to tell a client whose certificate does not work.
fn note_refused(peer: IpAddr, error: &HandshakeError) {
    tracing::info!(%peer, %error, "handshake refused");
}

/// Serves `router` over plain HTTP/1.1, with the same limits: for addresses that only operators reach.
pub async fn serve_plain(listener: TcpListener, router: Router, limits: &Limits, shutdown: impl Future<Output = ()>) {
    let waits = Waits::new(limits);
    let connect = move |stream: TcpStream, _: IpAddr, stop: Stop| {
        drive(stream, Protocol::Http1, Plain { router: router.clone() }, waits, stop)
    };
    accept_loop(listener, limits.connections_max, limits, shutdown, connect).await;
}

/// Requests of a client whose certificate is known.
#[derive(Clone)]
struct Professionals {
    router: Router,
    certificate: PresentedCertificate,
    standing: Arc<Standing>,
    /// Why this connection is one too many.
    excess: Option<Refusal>,
}

impl Answers for Professionals {
    async fn answer(self, request: Request<Incoming>, activity: &Activity) -> Response<Body> {
        let is_http2 = request.version() == Version::HTTP_2;
        let mut request = request.map(Body::new);
        let Some(refusal) = self.standing.check().await.err().or(self.excess) else {
            request.extensions_mut().insert(self.certificate);
            return route(self.router, request).await;
        };
        // The connection ends with the answer that says so; HTTP/2 has a frame for that.
        activity.withdraw();
        request.extensions_mut().insert(refused(&self.certificate, refusal));
        let mut answer = route(self.router, request).await;
        if !is_http2 {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

/// Requests of nobody in particular.
#[derive(Clone)]
struct Plain {
    router: Router,
}

impl Answers for Plain {
    async fn answer(self, request: Request<Incoming>, _: &Activity) -> Response<Body> {
        route(self.router, request.map(Body::new)).await
    }
}

/// Accepts until `shutdown`; a client beyond `sockets_max` waits in the system's queue.
async fn accept_loop<F, C>(
    listener: TcpListener,
    sockets_max: usize,
    limits: &Limits,
    shutdown: impl Future<Output = ()>,
    connect: F,
) where
    F: Fn(TcpStream, IpAddr, Stop) -> C,
    C: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(sockets_max.min(Semaphore::MAX_PERMITS)));
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (stream, peer, permit) = next(&listener, &permits) => {
                let connection = connect(stream, peer.ip(), stopped.clone());
                connections.spawn(async move {
                    let open = metrics::gauge!("carnet_connections_open");
                    open.increment(1);
                    let _open = Closing(open);
                    connection.await;
                    drop(permit);
                });
            }
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection's task failed");
                }
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(limits.shutdown_seconds), all).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections cut: limits.shutdown_seconds have passed");
    }
}

async fn next(listener: &TcpListener, permits: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let Ok(permit) = Arc::clone(permits).acquire_owned().await else {
            // Nobody closes this semaphore.
            std::future::pending::<()>().await;
            continue;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                // A stream that is closed already says so when it is read.
                let _ = stream.set_nodelay(true);
                return (stream, peer, permit);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The client went away before we came; anything else (no file descriptors left) needs a pause.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn route(router: Router, request: Request<Body>) -> Response<Body> {
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Takes the place of the certificate, so that no route can take it for a good one.
fn refused(certificate: &PresentedCertificate, refusal: Refusal) -> PresentedCertificate {
    let (serial, fingerprint) = match certificate.as_ref() {
        Ok(certificate) => (certificate.serial.clone(), certificate.fingerprint),
        Err(refused) => (refused.serial.clone(), refused.fingerprint),
    };
    Arc::new(Err(RefusedCertificate { serial, fingerprint, refusal }))
}

/// Counts a connection out even when its task is aborted.
struct Closing(metrics::Gauge);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
