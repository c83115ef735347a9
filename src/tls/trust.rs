//! Whom we believe, and what we show: server certificate, client roots and CRLs, swapped when their files change.
//!
//! Invariant: session tickets never outlive the `Generation` that made them, since each has its own ticket key.
//! A resumed session, which skips the verifier, was therefore verified with the roots and lists in force; what
//! can have changed since is the time, and [`Standing`] checks that. Source: contract 2, B.1, B.2.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier as _;
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use super::client_verifier::ClientVerifier;
use super::development_pki::DEVELOPMENT_MARK;
use super::revocation::{CrlError, Revocations};
use super::signature_certificate::SignatureCertificate;
use super::signer_verifier::SignerVerifier;
use crate::clock::Clock;
use crate::config;
use crate::refusal::{Refusal, Rule};

/// The material in force and the files it came from.
pub struct Trust {
    settings: config::Tls,
    clock: Clock,
    current: ArcSwap<Generation>,
    /// Of the files as last read, good or not: a broken set is tried again when it changes, not before.
    seen: Mutex<Vec<Stamp>>,
}

/// One consistent set of server certificate, roots, CRLs and ticket keys.
pub(super) struct Generation {
    number: u64,
    pub(super) server: Arc<ServerConfig>,
    verifier: Arc<ClientVerifier>,
    signers: SignerVerifier,
}

/// A verified chain on an open connection, and until when that verification holds.
pub struct Standing {
    trust: Arc<Trust>,
    chain: Vec<CertificateDer<'static>>,
    /// Number of the generation that verified it last.
    generation: AtomicU64,
    good_until_s: AtomicI64,
}

/// What a look at the files led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    Unchanged,
    Swapped,
    /// The files are broken, or a list is gone; the set before stays in force.
    Kept,
}

/// Why the material cannot be used: where, and what is wrong.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("{}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("{}: {problem}", path.display())]
    Content { path: PathBuf, problem: String },
    #[error("{}: {cause}", path.display())]
    Crl { path: PathBuf, cause: CrlError },
    #[error(
        "tls.client_crls: the list of {0} is gone, and whom it revoked would come in; put one back (or restart \
         without it)"
    )]
    CrlGone(String),
    #[error(
        "{}: a development root, whose key anybody may have; set `tls.allow_development_roots = true` for tests",
        .0.display()
    )]
    DevelopmentRoot(PathBuf),
    #[error("tls.client_roots: no root, so nobody could ever come in")]
    NoRoots,
    #[error("tls.certificate and tls.key: {0}")]
    Server(rustls::Error),
    #[error("client verification: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

impl Trust {
    /// Reads everything that `tls` of the configuration names.
    pub fn load(settings: &config::Tls, clock: Clock) -> Result<Arc<Self>, TrustError> {
        let seen = stamps(settings);
        let generation = Generation::read(settings, &clock, 0)?;
        Ok(Arc::new(Self {
            settings: settings.clone(),
            clock,
            current: ArcSwap::from_pointee(generation),
            seen: Mutex::new(seen),
        }))
    }

    /// Reads the files again if one of them changed. New connections use the new set; those that are open are
    /// verified against it at their next request.
    pub fn reload(&self) -> Reload {
        let stamps = stamps(&self.settings);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == stamps {
            return Reload::Unchanged;
        }
        *seen = stamps;
        let current = self.current.load();
        let read = Generation::read(&self.settings, &self.clock, current.number + 1);
        let outcome = match read.and_then(|next| next.verifier.check_succeeds(&current.verifier).map(|()| next)) {
            Ok(generation) => {
                self.current.store(Arc::new(generation));
                tracing::info!("certificates, roots and CRLs were read again");
                Reload::Swapped
            }
            Err(error) => {
                tracing::error!(%error, "changed TLS files cannot be used: the set before stays in force");
                Reload::Kept
            }
        };
        let label = if outcome == Reload::Swapped { "swapped" } else { "kept" };
        metrics::counter!("carnet_tls_reloads_total", "outcome" => label).increment(1);
        // For alarms: 1 for as long as the files are not what is in force.
        metrics::gauge!("carnet_tls_files_unusable").set(if outcome == Reload::Kept { 1.0 } else { 0.0 });
        outcome
    }

    /// Looks at the files every `tls.reload_seconds` for as long as it is polled.
    pub async fn watch(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_secs(self.settings.reload_seconds.max(1)));
        loop {
            ticks.tick().await;
            let trust = Arc::clone(&self);
            // Only a panic inside can fail here; the next tick tries again.
            let _ = tokio::task::spawn_blocking(move || trust.reload()).await;
        }
    }

    /// The holder of the certificate behind a signature, if it may sign and is vouched for at that time; `chain`:
    /// the signer's certificate, then what came with it. Errors: `SignatureCertificate`.
    pub fn signer(&self, chain: &[CertificateDer<'_>], at: Timestamp) -> Result<SignatureCertificate, Refusal> {
        let current = self.current.load();
        SignatureCertificate::verify(chain, at, &current.signers, current.verifier.revocations())
    }

    pub(super) fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }
}

impl Standing {
    /// Of a connection whose handshake `generation` has just made, resumed or not.
    pub(super) fn new(
        trust: Arc<Trust>,
        generation: &Generation,
        chain: Vec<CertificateDer<'static>>,
    ) -> Result<Self, Refusal> {
        let standing = Self {
            chain,
            generation: AtomicU64::new(generation.number),
            good_until_s: AtomicI64::new(i64::MIN),
            trust,
        };
        standing.renew(generation, standing.trust.clock.now().as_second())?;
        standing.check()?;
        Ok(standing)
    }

    /// Is the certificate still good? To be asked at each request: revocation, expiry and removed roots bite
    /// on open connections too.
    pub fn check(&self) -> Result<(), Refusal> {
        let current = self.trust.current.load();
        let now_s = self.trust.clock.now().as_second();
        let same = self.generation.load(Ordering::Acquire) == current.number;
        if same && now_s < self.good_until_s.load(Ordering::Acquire) {
            return Ok(());
        }
        let (leaf, others) = self.chain.split_first().ok_or_else(|| withdrawn("no certificate"))?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now_s).unwrap_or(0)));
        current.verifier.verify_client_cert(leaf, others, now).map_err(|error| withdrawn(&error.to_string()))?;
        self.renew(&current, now_s)
    }

    fn renew(&self, generation: &Generation, now_s: i64) -> Result<(), Refusal> {
        let until_s =
            generation.verifier.good_until_s(&self.chain, now_s).map_err(|error| withdrawn(&error.to_string()))?;
        self.good_until_s.store(until_s, Ordering::Release);
        self.generation.store(generation.number, Ordering::Release);
        Ok(())
    }
}

impl Generation {
    fn read(settings: &config::Tls, clock: &Clock, number: u64) -> Result<Self, TrustError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (verifier, signers) = read_verifiers(settings, &provider)?;
        let verifier = Arc::new(verifier);
        let mut chain = Vec::new();
        read_objects(&settings.certificate, &mut chain)?;
        let key = read_key(&settings.key)?;
        let time = Arc::new(ClockTime(clock.clone()));
        let mut server = ServerConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TrustError::Server)?
            .with_client_cert_verifier(verifier.clone())
            .with_single_cert(chain.into_iter().map(|(_, der)| der).collect(), key)
            .map_err(TrustError::Server)?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        server.ticketer = aws_lc_rs::Ticketer::new().map_err(TrustError::Server)?;
        Ok(Self { number, server: Arc::new(server), verifier, signers })
    }
}

impl ClientVerifier {
    /// A list that disappears must not let in whom it revoked, as an authority that never had one would.
    fn check_succeeds(&self, before: &Self) -> Result<(), TrustError> {
        match self.list_lost_since(before) {
            None => Ok(()),
            Some(issuer) => {
                let name =
                    X509Name::from_der(issuer).map_or_else(|_| "an authority".to_owned(), |(_, name)| name.to_string());
                Err(TrustError::CrlGone(name))
            }
        }
    }
}

fn read_verifiers(
    settings: &config::Tls,
    provider: &Arc<CryptoProvider>,
) -> Result<(ClientVerifier, SignerVerifier), TrustError> {
    let mut found: Vec<(PathBuf, CertificateDer<'static>)> = Vec::new();
    for path in &settings.client_roots {
        read_objects(path, &mut found)?;
    }
    let mut roots = Vec::new();
    let mut store = RootCertStore::empty();
    for (path, der) in &found {
        let content = |problem: String| TrustError::Content { path: path.clone(), problem };
        let Ok(([], root)) = X509Certificate::from_der(der) else {
            return Err(content("this is no X.509 certificate".to_owned()));
        };
        if is_development(&root) && !settings.allow_development_roots {
            return Err(TrustError::DevelopmentRoot(path.clone()));
        }
        store.add(der.clone()).map_err(|error| content(error.to_string()))?;
        roots.push(root);
    }
    if roots.is_empty() {
        return Err(TrustError::NoRoots);
    }
    let mut revocations = Revocations::new(provider.signature_verification_algorithms);
    let mut crls: Vec<(PathBuf, CertificateRevocationListDer<'static>)> = Vec::new();
    for path in &settings.client_crls {
        read_objects(path, &mut crls)?;
    }
    for (path, der) in crls {
        revocations.add(der.to_vec(), &roots).map_err(|cause| TrustError::Crl { path, cause })?;
    }
    for root in roots.iter().filter(|root| !revocations.covers(root.subject().as_raw())) {
        tracing::warn!(authority = %root.subject(), "no CRL of this root: revocations by it stay unknown");
    }
    let signers = SignerVerifier::new(store.clone(), provider.signature_verification_algorithms);
    Ok((ClientVerifier::new(store, provider, revocations)?, signers))
}

/// Development authorities, and whatever was issued a root's place from them, carry their mark in OU.
fn is_development(root: &X509Certificate<'_>) -> bool {
    root.subject().iter_organizational_unit().any(|unit| unit.as_slice() == DEVELOPMENT_MARK.as_bytes())
}

/// Certificates or CRLs, in PEM or DER, of a file or of all files of a folder.
fn read_objects<T>(path: &Path, into: &mut Vec<(PathBuf, T)>) -> Result<(), TrustError>
where
    T: PemObject + From<Vec<u8>>,
{
    for file in files(path).map_err(|cause| TrustError::Unreadable { path: path.to_owned(), cause })? {
        let bytes = std::fs::read(&file).map_err(|cause| TrustError::Unreadable { path: file.clone(), cause })?;
        if bytes.first() == Some(&DER_SEQUENCE) {
            into.push((file, T::from(bytes)));
            continue;
        }
        let before = into.len();
        for object in T::pem_slice_iter(&bytes) {
            let object =
                object.map_err(|error| TrustError::Content { path: file.clone(), problem: error.to_string() })?;
            into.push((file.clone(), object));
        }
        if into.len() == before {
            let problem = "neither PEM nor DER of the kind that belongs here".to_owned();
            return Err(TrustError::Content { path: file, problem });
        }
    }
    Ok(())
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TrustError> {
    let bytes = std::fs::read(path).map_err(|cause| TrustError::Unreadable { path: path.to_owned(), cause })?;
    let content = |problem: String| TrustError::Content { path: path.to_owned(), problem };
    if bytes.first() == Some(&DER_SEQUENCE) {
        return PrivateKeyDer::try_from(bytes).map_err(|problem| content(problem.to_owned()));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| content(error.to_string()))
}

/// The file itself, or the files of the folder in the order of their names; hidden ones are left out, since
/// that is what writers of whole files call theirs before they are whole.
fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// What tells that a file is no longer the one that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    /// Inode, length, change time: `None` for a file that cannot be looked at.
    state: Option<(u64, u64, i64, i64)>,
}

fn stamps(settings: &config::Tls) -> Vec<Stamp> {
    let named = [&settings.certificate, &settings.key].into_iter();
    let named = named.chain(&settings.client_roots).chain(&settings.client_crls);
    let all = named.flat_map(|path| files(path).unwrap_or_else(|_| vec![path.clone()]));
    all.map(|path| {
        let metadata = std::fs::metadata(&path).ok();
        let state = metadata.map(|data| (data.ino(), data.len(), data.ctime(), data.ctime_nsec()));
        Stamp { path, state }
    })
    .collect()
}

fn withdrawn(found: &str) -> Refusal {
    const EXPECTED: &str = "a certificate that is still valid, not revoked and issued under a current root";
    Refusal::new(Rule::CertificateWithdrawn, "client certificate", found, EXPECTED)
}

/// The handshake's time is the program's time.
#[derive(Debug)]
struct ClockTime(Clock);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// First byte of any DER certificate, CRL or key; PEM starts with a dash or with text.
const DER_SEQUENCE: u8 = 0x30;
