//! One question to the provider over HTTPS: to hosts that configuration names, within its time and size.
//!
//! Refuses to know what is asked. Redirects are not followed: they would lead to hosts of somebody else's choice.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::config::Oidc;
use crate::domain::sha::Sha256Hash;
use crate::limits::turns::Turns;

#[derive(Debug)]
pub(super) struct Fetch {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Host and port.
    hosts: Vec<(String, u16)>,
    within: Duration,
    bytes_max: usize,
    /// For questions about tokens.
    places: Turns<Sha256Hash>,
}

/// Why the settings of a provider cannot be used: a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("`{key}`: cannot read {path}: {source}")]
    File { key: &'static str, path: PathBuf, source: std::io::Error },
    #[error("`{key}`: {path}: {source}")]
    Pem { key: &'static str, path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("`{key}`: {path} holds no certificate")]
    Empty { key: &'static str, path: PathBuf },
    #[error("`oidc`: {0}")]
    Tls(#[from] rustls::Error),
    #[error("`{key}`: {value} is no {expected}")]
    Address { key: &'static str, value: String, expected: &'static str },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{0} is no https address of a host in oidc.issuer or oidc.hosts")]
    Host(String),
    #[error("no place among oidc.questions_in_flight_max within {} s", .0.as_secs())]
    Crowded(Duration),
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("connection: {0}")]
    Connection(#[source] hyper_util::client::legacy::Error),
    #[error("status {0}")]
    Status(StatusCode),
    #[error("the answer broke off, or is above oidc.response_bytes_max")]
    Body,
    #[error("the answer is not what was asked for: {0}")]
    Content(String),
}

impl Fetch {
    pub(super) fn new(settings: &Oidc) -> Result<Self, SettingsError> {
        let mut http = HttpConnector::new();
        let within = Duration::from_secs(u64::from(settings.timeout_seconds));
        http.enforce_http(false);
        http.set_connect_timeout(Some(within));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(settings)?)
            .https_only()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(settings.questions_in_flight_max)
            .http1_max_buf_size(HEADER_BYTES_MAX)
            .build(connector);
        let mut hosts = Vec::new();
        let issuer = settings.issuer.parse().ok().and_then(|uri| authority(&uri));
        hosts.push(issuer.ok_or_else(|| address("oidc.issuer", &settings.issuer, "address: write https://HOST/PATH"))?);
        for host in &settings.hosts {
            let uri = format!("https://{host}/").parse().ok();
            hosts.push(
                uri.and_then(|uri| authority(&uri)).ok_or_else(|| address("oidc.hosts", host, "HOST or HOST:PORT"))?,
            );
        }
        let places = Turns::new(settings.questions_in_flight_max);
        Ok(Self { client, hosts, within, bytes_max: settings.response_bytes_max, places })
    }

    pub(super) async fn get(&self, address: &str) -> Result<Bytes, FetchError> {
        self.send(Request::get(address), Bytes::new()).await
    }

    /// The same for a question that a caller's token makes: so many at a time, whatever is presented, and of those a
    /// share for each certificate.
    pub(super) async fn ask(
        &self,
        certificate: &Sha256Hash,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<Bytes, FetchError> {
        match tokio::time::timeout(self.within, self.places.take(certificate)).await {
            Ok(Some(_place)) => self.send(request, body).await,
            _ => Err(FetchError::Crowded(self.within)),
        }
    }

    /// Sends a request; the answer must be a 200.
    async fn send(&self, request: http::request::Builder, body: Bytes) -> Result<Bytes, FetchError> {
        let asked = request.uri_ref().map(ToString::to_string).unwrap_or_default();
        let host = request.uri_ref().and_then(authority);
        let request = match request.body(Full::new(body)) {
            Ok(request) if host.is_some_and(|host| self.hosts.contains(&host)) => request,
            _ => return Err(FetchError::Host(asked)),
        };
        let exchange = async {
            let response = self.client.request(request).await.map_err(FetchError::Connection)?;
            if response.status() != StatusCode::OK {
                return Err(FetchError::Status(response.status()));
            }
            let body = Limited::new(response.into_body(), self.bytes_max);
            Ok(body.collect().await.map_err(|_| FetchError::Body)?.to_bytes())
        };
        tokio::time::timeout(self.within, exchange).await.map_err(|_| FetchError::Timeout(self.within))?
    }
}

/// The file's text without the line break at its end.
pub(super) fn read_secret(path: &Path) -> Result<String, SettingsError> {
    let text = std::fs::read_to_string(path).map_err(|source| SettingsError::File {
        key: "oidc.client_secret",
        path: path.to_owned(),
        source,
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn tls(settings: &Oidc) -> Result<ClientConfig, SettingsError> {
    let mut roots = RootCertStore::empty();
    for path in &settings.ca {
        for certificate in read_certificates("oidc.ca", path)? {
            roots.add(certificate)?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    if settings.client_certificate.as_os_str().is_empty() {
        return Ok(builder.with_no_client_auth());
    }
    let chain = read_certificates("oidc.client_certificate", &settings.client_certificate)?;
    let (key, path) = ("oidc.client_key", &settings.client_key);
    let private = PrivateKeyDer::from_pem_slice(&read(key, path)?).map_err(|source| SettingsError::Pem {
        key,
        path: path.clone(),
        source,
    })?;
    Ok(builder.with_client_auth_cert(chain, private)?)
}

fn read_certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let text = read(key, path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|source| SettingsError::Pem { key, path: path.to_owned(), source })?;
    if certificates.is_empty() { Err(SettingsError::Empty { key, path: path.to_owned() }) } else { Ok(certificates) }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, SettingsError> {
    std::fs::read(path).map_err(|source| SettingsError::File { key, path: path.to_owned(), source })
}

/// Host and port of an https address; an address that carries a name and a password is none.
fn authority(uri: &Uri) -> Option<(String, u16)> {
    let is_plain = uri.scheme_str() == Some("https") && !uri.authority()?.as_str().contains('@');
    is_plain.then(|| (uri.host().unwrap_or_default().to_ascii_lowercase(), uri.port_u16().unwrap_or(HTTPS_PORT)))
}

fn address(key: &'static str, value: &str, expected: &'static str) -> SettingsError {
    SettingsError::Address { key, value: value.to_owned(), expected }
}

const HTTPS_PORT: u16 = 443;
const IDLE: Duration = Duration::from_secs(30);
const HEADER_BYTES_MAX: usize = 64 * 1024;
