//! Fetches from the addresses that configuration names: within a time, within a size, from nowhere else.
//!
//! No redirect is followed. What comes is signed by its author, so plain HTTP is fine (and usual); `https` is
//! checked against `revocation.https_roots`. Knows nothing of what it fetches.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::CryptoProvider;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};

/// A client for few requests: it keeps no connection open.
#[derive(Clone)]
pub(in crate::tls) struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no answer within revocation.timeout_seconds")]
    Timeout,
    #[error("cannot connect: {0}")]
    Connect(#[from] hyper_util::client::legacy::Error),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("it answers {0} and points elsewhere; only the address in the configuration is asked")]
    Redirect(StatusCode),
    #[error("more than {0} bytes")]
    TooLarge(usize),
    #[error("the answer broke off: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
}

impl Fetcher {
    pub(in crate::tls) fn new(
        roots: RootCertStore,
        provider: Arc<CryptoProvider>,
        time: Arc<dyn TimeProvider>,
        timeout: Duration,
    ) -> Result<Self, rustls::Error> {
        let tls = ClientConfig::builder_with_details(provider, time)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { client, timeout })
    }

    pub(super) async fn get(&self, url: &Uri, bytes_max: usize) -> Result<Bytes, FetchError> {
        let request = Request::get(url).body(Full::default())?;
        self.send(request, bytes_max).await
    }

    pub(super) async fn post(
        &self,
        url: &Uri,
        content_type: &'static str,
        body: Vec<u8>,
        bytes_max: usize,
    ) -> Result<Bytes, FetchError> {
        let request = Request::builder().method(Method::POST).uri(url);
        let request = request.header(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.send(request.body(Full::from(body))?, bytes_max).await
    }

    async fn send(&self, request: Request<Full<Bytes>>, bytes_max: usize) -> Result<Bytes, FetchError> {
        let exchange = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            if status.is_redirection() {
                return Err(FetchError::Redirect(status));
            }
            if status != StatusCode::OK {
                return Err(FetchError::Status(status));
            }
            let body = Limited::new(response.into_body(), bytes_max).collect().await;
            body.map(http_body_util::Collected::to_bytes).map_err(|error| {
                if error.is::<LengthLimitError>() { FetchError::TooLarge(bytes_max) } else { FetchError::Body(error) }
            })
        };
        tokio::time::timeout(self.timeout, exchange).await.map_err(|_| FetchError::Timeout)?
    }
}
