//! An authority on the web: lists and OCSP answers, as good or as bad as a test wants them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use jiff::{Timestamp, ToSpan as _};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SigningKey as _};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use x509_cert::der::asn1::{BitString, ObjectIdentifier, OctetString};
use x509_cert::der::{DateTime, Decode as _, Encode as _};
use x509_cert::ext::Extension;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::ext::Nonce;
use x509_ocsp::{
    AsResponseBytes as _, BasicOcspResponse, CertStatus, OcspRequest, OcspResponse, ResponderId, ResponseData,
    RevokedInfo, SingleResponse, Version,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// A web server on loopback. What a path answers may change at any time.
pub(crate) struct Publisher {
    scheme: &'static str,
    address: SocketAddr,
    shelf: Arc<Mutex<Shelf>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shelf {
    served: HashMap<String, Served>,
    asked: HashMap<String, usize>,
}

#[derive(Clone)]
pub(crate) enum Served {
    Bytes(Vec<u8>),
    /// An answer whose length is announced and that ends before.
    BrokenOff(Vec<u8>),
    Status(u16),
    Redirect(String),
    /// Takes the request and never answers.
    Silence,
    Ocsp(Responder),
}

type Responder = Arc<dyn Fn(&OcspRequest) -> Vec<u8> + Send + Sync>;

impl Publisher {
    pub(crate) async fn start() -> Self {
        Self::start_as("http", |stream| async move { Some(stream) }).await
    }

    /// Over TLS, with the server certificate of this PKI.
    pub(crate) async fn start_https(pki: &Path) -> Self {
        let read = |name: &str| std::fs::read(pki.join(name)).unwrap();
        let chain = CertificateDer::pem_slice_iter(&read("server.pem")).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(&read("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::start_as("https", move |stream| {
            let acceptor = acceptor.clone();
            async move { acceptor.accept(stream).await.ok() }
        })
        .await
    }

    async fn start_as<S, F>(scheme: &'static str, wrap: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
        F: Future<Output = Option<S>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shelf: Arc<Mutex<Shelf>> = Arc::default();
        let served = Arc::clone(&shelf);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (stream, served) = (wrap(stream), Arc::clone(&served));
                tokio::spawn(async move {
                    if let Some(stream) = stream.await {
                        // A client that goes away is no failure of the test.
                        let _ = answer(stream, served).await;
                    }
                });
            }
        });
        Self { scheme, address, shelf, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    pub(crate) fn serve(&self, path: &str, served: Served) {
        self.shelf.lock().unwrap().served.insert(path.to_owned(), served);
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.shelf.lock().unwrap().asked.get(path).copied().unwrap_or(0)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, shelf: Arc<Mutex<Shelf>>) -> std::io::Result<()> {
    let mut request = Vec::new();
    let head = loop {
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    while request.len() < head + length.unwrap_or(0) {
        stream.read_buf(&mut request).await?;
    }
    let path = String::from_utf8_lossy(&request[..head]).split(' ').nth(1).unwrap_or_default().to_owned();
    let served = {
        let mut shelf = shelf.lock().unwrap();
        *shelf.asked.entry(path.clone()).or_default() += 1;
        shelf.served.get(&path).cloned()
    };
    let (status, extra, body, length) = match served {
        None => (404, String::new(), Vec::new(), 0),
        Some(Served::Bytes(bytes)) => (200, String::new(), bytes.clone(), bytes.len()),
        Some(Served::BrokenOff(bytes)) => (200, String::new(), bytes.clone(), bytes.len() + 1),
        Some(Served::Status(status)) => (status, String::new(), Vec::new(), 0),
        Some(Served::Redirect(to)) => (302, format!("Location: {to}\r\n"), Vec::new(), 0),
        Some(Served::Silence) => std::future::pending().await,
        Some(Served::Ocsp(answers)) => {
            let bytes = answers(&OcspRequest::from_der(&request[head..]).unwrap());
            (200, String::new(), bytes.clone(), bytes.len())
        }
    };
    let head = format!("HTTP/1.1 {status} X\r\n{extra}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await
}

/// An authority with its key, of the development PKI.
#[derive(Clone)]
pub(crate) struct Authority {
    pub(crate) der: Vec<u8>,
    pem: String,
    key_pem: String,
}

/// A list before it is signed.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) number: u8,
    /// Of a delta: the number of the list that it adds to.
    pub(crate) base: Option<u8>,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    /// Serial in hexadecimal, reason.
    pub(crate) entries: Vec<(String, u8)>,
}

pub(crate) const ON_HOLD: u8 = 6;
pub(crate) const REMOVE_FROM_CRL: u8 = 8;

impl Draft {
    /// For a week from an hour ago.
    pub(crate) fn new(number: u8, now: Timestamp) -> Self {
        Self { number, base: None, from: now - 1.hour(), until: now + (7 * 24).hours(), entries: Vec::new() }
    }

    pub(crate) fn delta_of(mut self, base: u8) -> Self {
        self.base = Some(base);
        self
    }

    pub(crate) fn with(mut self, serial: &str, reason: u8) -> Self {
        self.entries.push((serial.to_owned(), reason));
        self
    }

    pub(crate) fn until(mut self, until: Timestamp) -> Self {
        self.until = until;
        self
    }
}

impl Authority {
    /// `name`: `racine`, `personnes`, `organisations`.
    pub(crate) fn of(pki: &Path, name: &str) -> Self {
        let pem = std::fs::read_to_string(pki.join(format!("ca/{name}.pem"))).unwrap();
        let key_pem = std::fs::read_to_string(pki.join(format!("ca/{name}.key"))).unwrap();
        Self { der: CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec(), pem, key_pem }
    }

    /// The list, DER. By hand: rcgen writes no deltas.
    pub(crate) fn list(&self, draft: &Draft) -> Vec<u8> {
        let (_, parsed) = X509Certificate::from_der(&self.der).unwrap();
        let dates = [time(draft.from), time(draft.until)].concat();
        let extension = |arc: u8, critical: &[u8], value: &[u8]| {
            tlv(0x30, &[&[6, 3, 0x55, 0x1d, arc], critical, &tlv(4, value)[..]].concat())
        };
        let entry = |(serial, reason): &(String, u8)| {
            let serial: Vec<u8> =
                (0..serial.len()).step_by(2).map(|at| u8::from_str_radix(&serial[at..at + 2], 16).unwrap()).collect();
            let reason = tlv(0x30, &extension(21, &[], &[10, 1, *reason]));
            tlv(0x30, &[tlv(2, &serial), time(draft.from), reason].concat())
        };
        let entries: Vec<u8> = draft.entries.iter().flat_map(entry).collect();
        let entries = if entries.is_empty() { entries } else { tlv(0x30, &entries) };
        let base = draft.base.map(|base| extension(27, &[1, 1, 0xff], &[2, 1, base])).unwrap_or_default();
        let extensions = tlv(0xa0, &tlv(0x30, &[extension(20, &[], &[2, 1, draft.number]), base].concat()));
        let subject = parsed.subject().as_raw();
        let list = tlv(0x30, &[&[2, 1, 1], ECDSA, subject, &dates, &entries, &extensions].concat());
        let signature = [&[0], &self.key().sign(&list).unwrap()[..]].concat();
        tlv(0x30, &[&list, ECDSA, &tlv(3, &signature)].concat())
    }

    /// A responder's certificate with its key.
    pub(crate) fn delegate(&self, usage: ExtendedKeyUsagePurpose) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "OCSP TEST");
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_ca_cert_pem(&self.pem, self.key()).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Self { der: certificate.der().to_vec(), pem: certificate.pem(), key_pem: key.serialize_pem() }
    }

    fn key(&self) -> KeyPair {
        KeyPair::from_pem(&self.key_pem).unwrap()
    }
}

/// What a responder answers.
#[derive(Clone)]
pub(crate) struct Answers {
    pub(crate) status: Status,
    pub(crate) from: Timestamp,
    pub(crate) until: Option<Timestamp>,
    pub(crate) nonce: NonceIs,
    pub(crate) about: About,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Good,
    Revoked,
    Unknown,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NonceIs {
    Theirs,
    Absent,
    Another,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    Asked,
    Another,
}

impl Answers {
    pub(crate) fn new(status: Status, now: Timestamp) -> Self {
        Self {
            status,
            from: now - 1.minute(),
            until: Some(now + 8.hours()),
            nonce: NonceIs::Theirs,
            about: About::Asked,
        }
    }

    pub(crate) fn signed_by(self, signer: Authority) -> Served {
        Served::Ocsp(Arc::new(move |request| self.sign(request, &signer)))
    }

    fn sign(&self, request: &OcspRequest, signer: &Authority) -> Vec<u8> {
        let mut cert_id = request.tbs_request.request_list[0].req_cert.clone();
        if self.about == About::Another {
            cert_id.serial_number = x509_cert::serial_number::SerialNumber::new(&[1]).unwrap();
        }
        let revoked = RevokedInfo { revocation_time: moment(self.from), revocation_reason: None };
        let single = SingleResponse {
            cert_id,
            cert_status: match self.status {
                Status::Good => CertStatus::good(),
                Status::Revoked => CertStatus::Revoked(revoked),
                Status::Unknown => CertStatus::unknown(),
            },
            this_update: moment(self.from),
            next_update: self.until.map(moment),
            single_extensions: None,
        };
        let nonce = match self.nonce {
            NonceIs::Theirs => request.nonce(),
            NonceIs::Absent => None,
            NonceIs::Another => Some(Nonce::new(vec![7; 32]).unwrap()),
        };
        let extension = |nonce: Nonce| Extension {
            extn_id: ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.2"),
            critical: false,
            extn_value: OctetString::new(nonce.to_der().unwrap()).unwrap(),
        };
        let (_, parsed) = X509Certificate::from_der(&signer.der).unwrap();
        let tbs_response_data = ResponseData {
            version: Version::V1,
            responder_id: ResponderId::ByName(x509_cert::name::Name::from_der(parsed.subject().as_raw()).unwrap()),
            produced_at: moment(self.from),
            responses: vec![single],
            response_extensions: nonce.map(|nonce| vec![extension(nonce)]),
        };
        let signature = signer.key().sign(&tbs_response_data.to_der().unwrap()).unwrap();
        let basic = BasicOcspResponse {
            tbs_response_data,
            signature_algorithm: AlgorithmIdentifierOwned::from_der(ECDSA).unwrap(),
            signature: BitString::from_bytes(&signature).unwrap(),
            certs: Some(vec![x509_cert::Certificate::from_der(&signer.der).unwrap()]),
        };
        let response = OcspResponse {
            response_status: x509_ocsp::OcspResponseStatus::Successful,
            response_bytes: Some(basic.to_response_bytes().unwrap()),
        };
        response.to_der().unwrap()
    }
}

fn moment(at: Timestamp) -> x509_ocsp::OcspGeneralizedTime {
    let since = std::time::Duration::from_secs(at.as_second().try_into().unwrap());
    DateTime::from_unix_duration(since).unwrap().into()
}

/// GeneralizedTime, whatever the year.
fn time(at: Timestamp) -> Vec<u8> {
    tlv(0x18, at.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    match content.len() {
        0..=127 => [&[tag, length[3]], content].concat(),
        128..=255 => [&[tag, 0x81, length[3]], content].concat(),
        256..=65_535 => [&[tag, 0x82], &length[2..], content].concat(),
        _ => [&[tag, 0x84], &length[..], content].concat(),
    }
}

/// AlgorithmIdentifier of ecdsa-with-SHA256.
const ECDSA: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
