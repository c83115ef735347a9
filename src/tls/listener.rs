//! Takes a TCP connection through the handshake, or not. What comes out has a verified client certificate.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::client_certificate::ClientCertificate;
use super::standing::Standing;
use super::trust::Trust;
use crate::domain::sha::Sha256Hash;
use crate::refusal::Refusal;

/// Who is at the other end of a connection, in the extensions of each of its requests. `Err` where the
/// certificate is of no class that may call, or was withdrawn since: the routes answer with the explanation.
pub type PresentedCertificate = Arc<Result<ClientCertificate, RefusedCertificate>>;

/// A certificate that came through the handshake and may do nothing.
#[derive(Debug, Clone)]
pub struct RefusedCertificate {
    /// As in [`ClientCertificate`]: for the journal.
    pub serial: String,
    pub fingerprint: Sha256Hash,
    pub refusal: Refusal,
}

/// A connection whose handshake is over.
pub struct Accepted {
    pub stream: TlsStream<TcpStream>,
    pub certificate: PresentedCertificate,
    pub standing: Standing,
    pub protocol: Protocol,
}

/// What ALPN agreed on; HTTP/1.1 where the client did not ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error("the handshake took too long")]
    Timeout,
    #[error("{0}")]
    Tls(#[from] std::io::Error),
    /// A resumed session whose certificate has lost its standing since.
    #[error("{0}")]
    Withdrawn(Refusal),
}

/// Does the handshake, within a time limit.
pub async fn accept(stream: TcpStream, trust: &Arc<Trust>, within: Duration) -> Result<Accepted, HandshakeError> {
    let outcome = handshake(stream, trust, within).await;
    let label = match &outcome {
        Ok(accepted) if accepted.certificate.is_err() => "wrong_class",
        Ok(_) => "accepted",
        Err(HandshakeError::Timeout) => "timeout",
        Err(HandshakeError::Tls(_)) => "refused",
        Err(HandshakeError::Withdrawn(_)) => "withdrawn",
    };
    metrics::counter!("carnet_tls_handshakes_total", "outcome" => label).increment(1);
    outcome
}

async fn handshake(stream: TcpStream, trust: &Arc<Trust>, within: Duration) -> Result<Accepted, HandshakeError> {
    let generation = trust.current();
    let acceptor = TlsAcceptor::from(Arc::clone(&generation.server));
    let stream = tokio::time::timeout(within, acceptor.accept(stream)).await.map_err(|_| HandshakeError::Timeout)??;
    let (_, session) = stream.get_ref();
    let protocol = if session.alpn_protocol() == Some(b"h2") { Protocol::Http2 } else { Protocol::Http1 };
    let chain: Vec<_> =
        session.peer_certificates().unwrap_or_default().iter().map(|der| der.clone().into_owned()).collect();
    let certificate = generation.verifier.present(&chain, trust.now());
    let standing = Standing::new(Arc::clone(trust), &generation, chain).await.map_err(HandshakeError::Withdrawn)?;
    Ok(Accepted { stream, certificate, standing, protocol })
}
