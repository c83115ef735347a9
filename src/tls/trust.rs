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
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use super::client_verifier::{ClientVerifier, Issuers, TestCards};
use super::development_pki::is_development;
use super::revocation::{CrlError, Revocations};
use crate::clock::Clock;
use crate::config;
use crate::refusal::Refusal;

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
    pub(super) verifier: Arc<ClientVerifier>,
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
    #[error("tls.client_roots: {0}")]
    Roots(rustls::Error),
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

    /// What judges chains now.
    pub fn verifier(&self) -> Arc<ClientVerifier> {
        Arc::clone(&self.current.load().verifier)
    }

    pub(super) fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
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
        standing.renew(generation, standing.trust.clock.now())?;
        standing.check()?;
        Ok(standing)
    }

    /// Is the certificate still good? To be asked at each request: revocation, expiry and removed roots bite
    /// on open connections too.
    pub fn check(&self) -> Result<(), Refusal> {
        let current = self.trust.current.load();
        let now = self.trust.clock.now();
        let same = self.generation.load(Ordering::Acquire) == current.number;
        if same && now.as_second() < self.good_until_s.load(Ordering::Acquire) {
            return Ok(());
        }
        self.renew(&current, now)?;
        if !same {
            // Another generation may have other issuers of this class.
            current.verifier.present(&self.chain, now).map_err(|refused| refused.refusal)?;
        }
        Ok(())
    }

    fn renew(&self, generation: &Generation, now: Timestamp) -> Result<(), Refusal> {
        let until_s = generation.verifier.good_until_s(&self.chain, now)?;
        self.good_until_s.store(until_s, Ordering::Release);
        self.generation.store(generation.number, Ordering::Release);
        Ok(())
    }
}

impl Generation {
    fn read(settings: &config::Tls, clock: &Clock, number: u64) -> Result<Self, TrustError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(ClientVerifier::load(settings)?);
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
        Ok(Self { number, server: Arc::new(server), verifier })
    }
}

impl ClientVerifier {
    /// Reads roots, issuers and CRLs alone: what it takes to judge chains without serving.
    pub fn load(settings: &config::Tls) -> Result<Self, TrustError> {
        let roots = read_roots(settings)?;
        let revocations = read_revocations(settings, &roots)?;
        let test_cards = if settings.allow_test_cards { TestCards::Accepted } else { TestCards::Refused };
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        Self::new(roots, read_issuers(settings)?, test_cards, algorithms, revocations).map_err(TrustError::Roots)
    }

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

/// Certificates of authorities, each with its file.
fn read_authorities(path: &Path) -> Result<Vec<(PathBuf, CertificateDer<'static>)>, TrustError> {
    let mut found: Vec<(PathBuf, CertificateDer<'static>)> = Vec::new();
    read_objects(path, &mut found)?;
    for (path, der) in &found {
        let content = |problem: &str| TrustError::Content { path: path.clone(), problem: problem.to_owned() };
        match X509Certificate::from_der(der) {
            Ok(([], authority)) if authority.is_ca() => {}
            Ok(([], _)) => return Err(content("a certificate that is no authority's (basicConstraints, CA TRUE)")),
            Ok(_) | Err(_) => return Err(content("this is no X.509 certificate")),
        }
    }
    Ok(found)
}

fn read_roots(settings: &config::Tls) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let mut roots = Vec::new();
    for path in &settings.client_roots {
        for (path, der) in read_authorities(path)? {
            if parse(&der).is_some_and(|root| is_development(&root)) && !settings.allow_development_roots {
                return Err(TrustError::DevelopmentRoot(path));
            }
            roots.push(der);
        }
    }
    if roots.is_empty() { Err(TrustError::NoRoots) } else { Ok(roots) }
}

fn read_issuers(settings: &config::Tls) -> Result<Issuers, TrustError> {
    let mut issuers = Issuers::new();
    for (class, paths) in &settings.issuers {
        let of_class: &mut Vec<_> = issuers.entry(*class).or_default();
        for path in paths {
            of_class.extend(read_authorities(path)?.into_iter().map(|(_, der)| der));
        }
    }
    Ok(issuers)
}

fn read_revocations(settings: &config::Tls, roots: &[CertificateDer<'_>]) -> Result<Revocations, TrustError> {
    let roots: Vec<X509Certificate<'_>> = roots.iter().filter_map(|der| parse(der)).collect();
    let mut revocations = Revocations::new(aws_lc_rs::default_provider().signature_verification_algorithms);
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
    Ok(revocations)
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
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
    let issuers = settings.issuers.values().flatten();
    let named = named.chain(&settings.client_roots).chain(&settings.client_crls).chain(issuers);
    let all = named.flat_map(|path| files(path).unwrap_or_else(|_| vec![path.clone()]));
    all.map(|path| {
        let metadata = std::fs::metadata(&path).ok();
        let state = metadata.map(|data| (data.ino(), data.len(), data.ctime(), data.ctime_nsec()));
        Stamp { path, state }
    })
    .collect()
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
