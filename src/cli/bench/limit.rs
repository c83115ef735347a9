//! A bare server that does only what physics asks of a gateway: mutual TLS, the body read, base64 decoded, SHA-1
//! and SHA-256, one durable append for each group of concurrent requests. It knows no FHIR, no rights and no
//! journal, and is no part of the product: it says what share of the machine's best the gateway reaches.

mod append;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use self::append::Appender;
use crate::domain::sha::Fingerprinter;

/// Arguments of the child process; nobody types them.
#[derive(Args)]
pub(in crate::cli) struct Arguments {
    #[arg(long)]
    pub(super) listen: SocketAddr,
    /// Folder of the PKI, as `carnet pki init` makes it
    #[arg(long)]
    pub(super) pki: PathBuf,
    /// The file to append to
    #[arg(long)]
    pub(super) file: PathBuf,
    /// Length of what a retrieval gives
    #[arg(long)]
    pub(super) document_bytes: usize,
    /// Length of what a search gives
    #[arg(long)]
    pub(super) search_bytes: usize,
}

/// Serves until it is killed.
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let tls = server_config(&arguments.pki)?;
    let listener = TcpListener::bind(arguments.listen).await.context("listen")?;
    let bare = BareServer {
        appender: Appender::open(&arguments.file)?,
        document: Bytes::from(vec![b'x'; arguments.document_bytes]),
        searchset: Bytes::from(vec![b' '; arguments.search_bytes]),
    };
    serve(listener, tls, Arc::new(bare)).await
}

struct BareServer {
    appender: Appender,
    document: Bytes,
    searchset: Bytes,
}

/// The same keys, roots and versions as the gateway. No revocation lists: to look a serial up costs nothing, but the
/// check that comes with rustls verifies the list's signature in every handshake, and would flatter the gateway.
fn server_config(pki: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let file = |name: &str| pki.join(name);
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(file("client-roots.pem"))? {
        roots.add(root?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let chain = CertificateDer::pem_file_iter(file("server.pem"))?.collect::<Result<Vec<_>, _>>()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(file("server.key"))?)?;
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, bare: Arc<BareServer>) -> anyhow::Result<()> {
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let (stream, _) = listener.accept().await?;
        let (acceptor, bare) = (acceptor.clone(), Arc::clone(&bare));
        // A connection that fails is the client's to report.
        tokio::spawn(async move { serve_connection(stream, &acceptor, bare).await });
    }
}

async fn serve_connection(stream: TcpStream, acceptor: &TlsAcceptor, bare: Arc<BareServer>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let service = service_fn(move |request| {
        let bare = Arc::clone(&bare);
        async move { bare.answer(request).await }
    });
    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    builder.serve_connection(TokioIo::new(stream), service).await.map_err(anyhow::Error::from_boxed)
}

impl BareServer {
    async fn answer(&self, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
        if request.method() == Method::POST {
            return self.deposit(request.into_body()).await;
        }
        self.appender.append(Bytes::from_static(JOURNAL_LINE)).await?;
        let is_retrieval = request.uri().path().contains("/Binary/");
        let body = if is_retrieval { &self.document } else { &self.searchset };
        Ok(Response::new(Full::new(body.clone())))
    }

    async fn deposit(&self, mut body: Incoming) -> anyhow::Result<Response<Full<Bytes>>> {
        let length = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
        let mut message = Vec::with_capacity(length.unwrap_or_default());
        while let Some(frame) = body.frame().await {
            if let Ok(piece) = frame?.into_data() {
                message.extend_from_slice(&piece);
            }
        }
        let Some(document) = decode_document(message) else {
            return Ok(status(StatusCode::BAD_REQUEST));
        };
        let mut fingerprinter = Fingerprinter::default();
        document.chunks(HASHED_BYTES).for_each(|piece| fingerprinter.update(piece));
        std::hint::black_box(fingerprinter.finish());
        self.appender.append(document).await?;
        Ok(status(StatusCode::CREATED))
    }
}

/// Decodes, in place, the base64 between `"data":"` near the start of a message and the first quote near its end.
fn decode_document(mut message: Vec<u8>) -> Option<Bytes> {
    let head = &message[..message.len().min(HEAD_BYTES)];
    let start = head.windows(DATA.len()).position(|window| window == DATA)? + DATA.len();
    let tail = message.len().saturating_sub(TAIL_BYTES).max(start);
    let end = tail + message[tail..].iter().position(|byte| *byte == b'"')?;
    let decoded = base64_simd::STANDARD.decode_inplace(&mut message[start..end]).ok()?.len();
    Some(Bytes::from(message).slice(start..start + decoded))
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

const DATA: &[u8] = b"\"data\":\"";
const HEAD_BYTES: usize = 32 * 1024;
const TAIL_BYTES: usize = 256;
/// As much as stays in the processor's cache between the two hashes.
const HASHED_BYTES: usize = 64 * 1024;
/// As long as a line of the gateway's journal.
const JOURNAL_LINE: &[u8] = &[b'.'; 512];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::deposit::Deposits;
    use crate::cli::bench::figures::Figures;
    use crate::cli::bench::handshake::{Clients, Handshake};
    use crate::cli::bench::load::{Load, Pace};
    use crate::cli::bench::read::Searches;
    use crate::cli::bench::scene::Scene;
    use crate::cli::bench::traffic::{Source, Target, Traffic};
    use crate::clock::Clock;
    use std::time::Duration;

    const BRIEF: Load =
        Load { clients: 3, warm_up: Duration::ZERO, measured: Duration::from_millis(150), pace: Pace::Closed };

    /// A limit server inside this process, with the scene that its clients are of.
    async fn start() -> (Scene, Target) {
        let scene = Scene::make(&std::env::temp_dir()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = scene.target(listener.local_addr().unwrap()).unwrap();
        let tls = server_config(&scene.pki_directory()).unwrap();
        let appender = Appender::open(&scene.path("limit.log")).unwrap();
        let bare = BareServer { appender, document: Bytes::new(), searchset: Bytes::from_static(b"{}") };
        tokio::spawn(serve(listener, tls, Arc::new(bare)));
        (scene, target)
    }

    async fn run(source: impl Source + 'static, target: Target) -> Figures {
        let traffic = Arc::new(Traffic::of(source));
        let act = move |_| {
            let (traffic, target) = (Arc::clone(&traffic), target.clone());
            async move { traffic.exchange(&target).await }
        };
        BRIEF.run(act).await.unwrap()
    }

    #[tokio::test]
    async fn deposits_over_mutual_tls_are_appended_whole() {
        let (scene, target) = start().await;
        let records = Scene::records(0);
        let deposits = Deposits::new(records, "20k".parse().unwrap(), &Clock::System).unwrap();
        let figures = run(deposits, target).await;
        assert_eq!(figures.first_error, None);
        let appended = std::fs::read(scene.path("limit.log")).unwrap();
        let appended = String::from_utf8(appended).unwrap();
        let documents: Vec<_> = appended.split_inclusive("</ClinicalDocument>").map(str::trim).collect();
        let (last, whole) = documents.split_last().unwrap();
        assert!(last.is_empty() && whole.iter().all(|document| document.starts_with("<?xml")));
        assert!(whole.len() as u64 >= figures.summary().count);
    }

    #[tokio::test]
    async fn a_read_is_answered_after_an_append() {
        let (scene, target) = start().await;
        let searches = Searches::new(Scene::records(0), 50);
        assert_eq!(searches.answer_bytes(&target).await.unwrap(), 2);
        assert_eq!(std::fs::read(scene.path("limit.log")).unwrap(), JOURNAL_LINE);
        assert_eq!(run(searches, target).await.first_error, None);
    }

    #[tokio::test]
    async fn handshakes_are_full_or_resumed_as_asked() {
        let (scene, target) = start().await;
        for kind in [Handshake::Full, Handshake::Resumed] {
            let clients = Clients::new(&scene.reader(), kind, 2, &target.fhir_url).unwrap();
            clients.prime().await.unwrap();
            for client in [0, 1, 1, 0, 0] {
                assert_eq!(clients.shake(client).await.unwrap(), kind.part());
            }
        }
    }

    #[tokio::test]
    async fn a_client_without_certificate_is_turned_away() {
        use crate::cli::client::{Client, Identity};
        let (scene, target) = start().await;
        let anonymous = Client::new(&scene.reader().ca, Identity::Anonymous).unwrap();
        let strangers = Target { reader: anonymous, ..target };
        assert!(Searches::new(Scene::records(0), 1).answer_bytes(&strangers).await.is_err());
    }

    #[test]
    fn a_message_without_a_document_has_none() {
        for message in ["", "{}", r#"{"data":"*"}"#, r#"{"data":"QUJD"#] {
            assert_eq!(decode_document(message.into()), None, "{message}");
        }
        assert_eq!(decode_document(br#"{"data":"QUJD"}"#.to_vec()).unwrap(), "ABC");
    }
}
