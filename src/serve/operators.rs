//! What operators ask: metrics and health, over plain HTTP on a private address. No patient, no caller in it.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::{StatusCode, header};
use tokio::net::TcpListener;

use super::serve_plain;
use crate::config::Limits;
use crate::telemetry;

/// Serves `/metrics`, `/health/live` and `/health/ready` until `shutdown` is over.
///
/// `ready` says why the gateway cannot do its work, in words that hold no secret: readers need not be known.
pub async fn serve_operators<R, F>(listener: TcpListener, ready: R, limits: &Limits, shutdown: impl Future<Output = ()>)
where
    R: Fn() -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<(), String>> + Send,
{
    let metrics = telemetry::metrics();
    let check = move || async move {
        match ready().await {
            Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
            Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        }
    };
    let router = Router::new()
        .route("/metrics", get(|| async { ([(header::CONTENT_TYPE, METRICS_TYPE)], metrics.render()) }))
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(check));
    // Samples of histograms pile up until they are folded, even where nobody reads /metrics.
    let fold = async {
        let mut ticks = tokio::time::interval(FOLD_INTERVAL);
        loop {
            ticks.tick().await;
            metrics.run_upkeep();
        }
    };
    tokio::select! {
        () = serve_plain(listener, router, limits, shutdown) => {}
        () = fold => {}
    }
}

const METRICS_TYPE: &str = "text/plain; version=0.0.4";
const FOLD_INTERVAL: Duration = Duration::from_secs(5);
