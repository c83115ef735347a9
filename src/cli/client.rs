//! A small mutual-TLS HTTP/1.1 client for the demo, the bench and the tests. It keeps connections open and
//! trusts one server authority; it knows nothing of what it carries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::Body;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Cheap to clone; clones share connections and session tickets.
#[derive(Clone)]
pub struct Client {
    connector: TlsConnector,
    idle: Arc<Mutex<HashMap<String, Vec<Connection>>>>,
}

/// What a client shows of itself: certificate with its chain, and key, both in PEM.
#[derive(Clone, Copy)]
pub enum Identity<'a> {
    Certificate {
        chain_pem: &'a str,
        key_pem: &'a str,
    },
    /// Shows no certificate: for tests of what a server does then.
    Anonymous,
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("certificate or key: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    #[error("TLS settings: {0}")]
    Tls(#[from] rustls::Error),
    #[error("{0}: write https://HOST[:PORT]/PATH")]
    Address(Uri),
    #[error("connection: {0}")]
    Connection(#[from] std::io::Error),
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
}

impl Client {
    pub fn new(server_ca_pem: &str, identity: Identity<'_>) -> Result<Self, ClientError> {
        Ok(Self::with_config(Self::config(server_ca_pem, identity, rustls::ALL_VERSIONS)?))
    }

    /// The TLS settings of [`Self::new`], to be changed before [`Self::with_config`].
    pub fn config(
        server_ca_pem: &str,
        identity: Identity<'_>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Result<ClientConfig, ClientError> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(server_ca_pem.as_bytes()) {
            roots.add(root?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_root_certificates(roots);
        Ok(match identity {
            Identity::Certificate { chain_pem, key_pem } => {
                let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key_pem.as_bytes())?)?
            }
            Identity::Anonymous => builder.with_no_client_auth(),
        })
    }

    pub fn with_config(config: ClientConfig) -> Self {
        Self { connector: TlsConnector::from(Arc::new(config)), idle: Arc::default() }
    }

    /// Sends a request to an absolute URL and reads the whole answer. A streamed body is sent as it comes.
    ///
    /// A connection that the server closed while it was idle is replaced, as long as nothing was sent on it.
    pub async fn send<B>(&self, request: Request<B>) -> Result<Response<Bytes>, ClientError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (response, connection, authority) = self.exchange(request).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        self.lock().entry(authority).or_default().push(connection);
        Ok(Response::from_parts(parts, body))
    }

    /// Sends a request and gives the answer's body as it arrives. Its connection is not used again.
    pub async fn send_for_stream<B>(&self, request: Request<B>) -> Result<Response<Incoming>, ClientError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (response, _, _) = self.exchange(request).await?;
        Ok(response)
    }

    /// Opens a TLS connection; the handshake is over, as far as the client can tell, when it returns.
    pub async fn connect(&self, uri: &Uri) -> Result<TlsStream<TcpStream>, ClientError> {
        let host = uri.host().ok_or_else(|| ClientError::Address(uri.clone()))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ClientError::Address(uri.clone()))?;
        let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(HTTPS_PORT))).await?;
        stream.set_nodelay(true)?;
        Ok(self.connector.connect(name, stream).await?)
    }

    async fn exchange<B>(&self, request: Request<B>) -> Result<(Response<Incoming>, Connection, String), ClientError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        let uri = parts.uri.clone();
        let authority = uri.authority().ok_or_else(|| ClientError::Address(uri.clone()))?.to_string();
        parts.uri = uri.path_and_query().map_or_else(Uri::default, |path| Uri::from(path.clone()));
        let host = HeaderValue::from_str(&authority).map_err(|_| ClientError::Address(uri.clone()))?;
        parts.headers.entry(header::HOST).or_insert(host);
        let mut request = Request::from_parts(parts, body.map_err(Into::into).boxed_unsync());
        loop {
            let (mut connection, reused) = match self.take_idle(&authority) {
                Some(connection) => (connection, true),
                None => (self.open(&uri).await?, false),
            };
            // The answer before may still settle its last bytes; an error means that the server went away.
            if reused && connection.ready().await.is_err() {
                continue;
            }
            match connection.try_send_request(request).await {
                Ok(response) => return Ok((response, connection, authority)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(error.into_error().into()),
                },
            }
        }
    }

    async fn open(&self, uri: &Uri) -> Result<Connection, ClientError> {
        let stream = self.connect(uri).await?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Errors of the connection reach whoever sends on it.
        tokio::spawn(connection);
        sender.ready().await?;
        Ok(sender)
    }

    fn take_idle(&self, authority: &str) -> Option<Connection> {
        self.lock().get_mut(authority)?.pop()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Connection>>> {
        // A list of connections is whole whatever panicked beside it.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

type Connection = SendRequest<UnsyncBoxBody<Bytes, BoxError>>;

const HTTPS_PORT: u16 = 443;
