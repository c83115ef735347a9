//! Whom we believe, and what we show: server certificate, client roots and CRLs, swapped when their files change.
//!
//! Invariant: session tickets never outlive the `Generation` that made them, since each has its own ticket key.
//! A resumed session, which skips the verifier, was therefore verified with the roots and lists in force; what
//! can have changed since is the time, and [`Standing`] checks that. Source: contract 2, B.1, B.2.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::danger::ClientCertVerifier as _;
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::client_verifier::ClientVerifier;
use super::development_pki::DEVELOPMENT_MARK;
use super::expiry::{Expiries, Expiring, ExpiringKind, Notice};
use super::files::{CERTIFICATE_FILE_BYTES_MAX, FileError, Stamp, read_key, read_objects, stamps};
use super::revocation::download::{Downloads, name_of};
use super::revocation::fetch::Fetcher;
use super::revocation::judge::{Judge, Judgement, NameError};
use super::revocation::list::{CrlError, List};
use super::revocation::policy::Missed;
use super::revocation::responder::{Responders, Slot};
use super::revocation::{Revocations, Setback};
use crate::clock::Clock;
use crate::config;
use crate::refusal::{Refusal, Rule};

/// The material in force and the files it came from.
pub struct Trust {
    clock: Clock,
    current: ArcSwap<Generation>,
    /// Of the files as last read, good or not: a broken set is tried again when it changes, not before.
    seen: Mutex<Vec<Stamp>>,
    origin: Origin,
    expiries: Expiries,
}

/// What a generation is read from, and what outlives it.
struct Origin {
    tls: config::Tls,
    revocation: config::Revocation,
    downloads: Downloads,
    responders: Arc<Responders>,
    missed: Arc<Missed>,
}

/// One consistent set of server certificate, roots, CRLs and ticket keys.
pub(super) struct Generation {
    number: u64,
    pub(super) server: Arc<ServerConfig>,
    verifier: Arc<ClientVerifier>,
    fetcher: Fetcher,
    /// What was read and will end.
    in_play: Vec<Expiring>,
}

/// A verified chain on an open connection, and until when that verification holds.
pub struct Standing {
    trust: Arc<Trust>,
    chain: Vec<CertificateDer<'static>>,
    /// Number of the generation that verified it last.
    generation: AtomicU64,
    /// How many alarms there had been from responders.
    alarms: AtomicU64,
    good_until_s: AtomicI64,
    /// Holding them keeps the answers of responders fresh.
    held: Mutex<Vec<Arc<Slot>>>,
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
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: {cause}", path.display())]
    Crl { path: PathBuf, cause: CrlError },
    #[error(
        "tls.client_crls: the list of {0} is gone, and whom it revoked would come in; put one back (or restart \
         without it)"
    )]
    CrlGone(String),
    #[error(
        "the list of {authority} is older than the one in force: {now}, after {before}; put the newer one back \
         (or restart with the older)"
    )]
    CrlRolledBack { authority: String, before: String, now: String },
    #[error(transparent)]
    Name(#[from] NameError),
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
    /// Reads everything that these sections of the configuration name.
    pub fn load(tls: &config::Tls, revocation: &config::Revocation, clock: Clock) -> Result<Arc<Self>, TrustError> {
        let origin = Origin::new(tls, revocation);
        let seen = origin.stamps();
        let generation = origin.read(&clock, 0)?;
        Ok(Arc::new(Self {
            clock,
            current: ArcSwap::from_pointee(generation),
            seen: Mutex::new(seen),
            origin,
            expiries: Expiries::default(),
        }))
    }

    /// Reads the files again if one of them changed. New connections use the new set; those that are open are
    /// verified against it at their next request.
    pub fn reload(&self) -> Reload {
        let stamps = self.origin.stamps();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == stamps {
            return Reload::Unchanged;
        }
        *seen = stamps;
        let current = self.current.load();
        let read = self.origin.read(&self.clock, current.number + 1);
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

    /// Fetches the lists that are due, and puts them in force.
    pub async fn fetch_lists(self: &Arc<Self>) -> Reload {
        let current = self.current();
        let downloads = &self.origin.downloads;
        if !downloads.fetch_due(&current.verifier.judge, &current.fetcher, self.now_s()).await {
            return Reload::Unchanged;
        }
        self.reload_aside().await
    }

    /// Asks responders again about the certificates of open connections, ahead of the end of their answers.
    pub async fn refresh_answers(&self) {
        let current = self.current();
        self.origin.responders.refresh(&current.verifier.judge, &current.fetcher, self.now_s()).await;
    }

    /// Sets the metrics of what ends, and warns of what ends soon. What the log was told of now.
    pub fn check_expiry(&self) -> Vec<(Expiring, Notice)> {
        self.expiries.check(&self.current.load().in_play, self.now_s())
    }

    /// Looks at files, lists and answers every `tls.reload_seconds` for as long as it is polled.
    pub async fn watch(self: Arc<Self>) {
        let every = Duration::from_secs(self.origin.tls.reload_seconds.max(1));
        let files = async {
            let mut ticks = tokio::time::interval(every);
            loop {
                ticks.tick().await;
                self.reload_aside().await;
                self.check_expiry();
            }
        };
        let lists = async {
            let mut ticks = tokio::time::interval(every);
            loop {
                ticks.tick().await;
                self.fetch_lists().await;
            }
        };
        let answers = async {
            let mut ticks = tokio::time::interval(every);
            loop {
                ticks.tick().await;
                self.refresh_answers().await;
            }
        };
        // Apart, so that a slow responder delays no file.
        tokio::join!(files, lists, answers);
    }

    pub(super) fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    fn now_s(&self) -> i64 {
        self.clock.now().as_second()
    }

    async fn reload_aside(self: &Arc<Self>) -> Reload {
        let trust = Arc::clone(self);
        // Only a panic inside can fail here; the next look tries again.
        tokio::task::spawn_blocking(move || trust.reload()).await.unwrap_or(Reload::Kept)
    }
}

impl Standing {
    /// Of a connection whose handshake `generation` has just made, resumed or not.
    pub(super) async fn new(
        trust: Arc<Trust>,
        generation: &Generation,
        chain: Vec<CertificateDer<'static>>,
    ) -> Result<Self, Refusal> {
        let standing = Self {
            chain,
            generation: AtomicU64::new(generation.number),
            alarms: AtomicU64::new(0),
            good_until_s: AtomicI64::new(i64::MIN),
            held: Mutex::default(),
            trust,
        };
        // Read first, here and below: an alarm meanwhile is for the next check.
        let alarms = standing.trust.origin.responders.alarms();
        let judgement = generation.settle(&standing.trust, &standing.chain).await?;
        standing.keep(generation, judgement, alarms);
        standing.check().await?;
        Ok(standing)
    }

    /// Is the certificate still good? To be asked at each request: revocation, expiry and removed roots bite
    /// on open connections too. A few loads, unless something has changed since it was asked last.
    pub async fn check(&self) -> Result<(), Refusal> {
        if self.holds() {
            return Ok(());
        }
        let current = self.trust.current();
        let alarms = self.trust.origin.responders.alarms();
        // Before the path, since this explains itself better than webpki.
        let judgement = current.settle(&self.trust, &self.chain).await?;
        let (leaf, others) = self.chain.split_first().ok_or_else(|| withdrawn("no certificate"))?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(self.trust.now_s()).unwrap_or(0)));
        current.verifier.verify_client_cert(leaf, others, now).map_err(|error| withdrawn(&error.to_string()))?;
        self.keep(&current, judgement, alarms);
        Ok(())
    }

    fn holds(&self) -> bool {
        self.generation.load(Ordering::Acquire) == self.trust.current.load().number
            && self.alarms.load(Ordering::Acquire) == self.trust.origin.responders.alarms()
            && self.trust.now_s() < self.good_until_s.load(Ordering::Acquire)
    }

    fn keep(&self, generation: &Generation, judgement: Judgement, alarms: u64) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = judgement.held;
        self.good_until_s.store(judgement.until_s, Ordering::Release);
        self.alarms.store(alarms, Ordering::Release);
        self.generation.store(generation.number, Ordering::Release);
    }
}

impl Generation {
    /// Judges a chain, after asking the responders that have to be asked.
    async fn settle(&self, trust: &Trust, chain: &[CertificateDer<'_>]) -> Result<Judgement, Refusal> {
        let judge = || {
            self.verifier.judge.judge(chain, trust.now_s()).map_err(|doubt| {
                tracing::info!(%doubt, "certificate withdrawn");
                withdrawn(&doubt.to_string())
            })
        };
        let mut judgement = judge()?;
        if !judgement.unanswered.is_empty() {
            let (responders, now_s) = (&trust.origin.responders, trust.now_s());
            let asked = judgement.unanswered.iter();
            let asked = asked.map(|slot| responders.ask(slot, &self.verifier.judge, &self.fetcher, now_s));
            futures_util::future::join_all(asked).await;
            judgement = judge()?;
        }
        if let Some(lenience) = judgement.lenience {
            metrics::counter!("carnet_tls_revocation_unknown_total", "reason" => lenience.label()).increment(1);
        }
        Ok(judgement)
    }
}

impl Origin {
    fn new(tls: &config::Tls, revocation: &config::Revocation) -> Self {
        let random = aws_lc_rs::default_provider().secure_random;
        Self {
            tls: tls.clone(),
            revocation: revocation.clone(),
            downloads: Downloads::new(revocation, random),
            responders: Arc::new(Responders::new(&revocation.ocsp_urls, revocation.refresh_s(), random)),
            missed: Arc::default(),
        }
    }

    fn stamps(&self) -> Vec<Stamp> {
        let (tls, revocation) = (&self.tls, &self.revocation);
        let single = [tls.certificate.as_path(), tls.key.as_path()].into_iter();
        let named = tls.client_roots.iter().chain(&tls.client_crls);
        let named = named.chain(&revocation.authorities).chain(&revocation.https_roots);
        stamps(single.chain(named.map(PathBuf::as_path)).chain(self.downloads.files()))
    }

    fn read(&self, clock: &Clock, number: u64) -> Result<Generation, TrustError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (verifier, mut in_play) = self.read_verifier(&provider)?;
        let verifier = Arc::new(verifier);
        let mut chain = Vec::new();
        read_objects(&self.tls.certificate, CERTIFICATE_FILE_BYTES_MAX, &mut chain)?;
        in_play.extend(chain.iter().filter_map(|(_, der)| expiring(ExpiringKind::Server, der)));
        let key = read_key(&self.tls.key)?;
        let time: Arc<dyn TimeProvider> = Arc::new(ClockTime(clock.clone()));
        let fetcher = self.read_fetcher(&provider, &time)?;
        let mut server = ServerConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TrustError::Server)?
            .with_client_cert_verifier(verifier.clone())
            .with_single_cert(chain.into_iter().map(|(_, der)| der).collect(), key)
            .map_err(TrustError::Server)?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        server.ticketer = aws_lc_rs::Ticketer::new().map_err(TrustError::Server)?;
        Ok(Generation { number, server: Arc::new(server), verifier, fetcher, in_play })
    }

    fn read_fetcher(
        &self,
        provider: &Arc<CryptoProvider>,
        time: &Arc<dyn TimeProvider>,
    ) -> Result<Fetcher, TrustError> {
        let mut roots = RootCertStore::empty();
        for (path, der) in read_certificates(&self.revocation.https_roots)? {
            roots.add(der).map_err(|error| FileError::Content { path, problem: error.to_string() })?;
        }
        let timeout = Duration::from_secs(self.revocation.timeout_seconds);
        Fetcher::new(roots, Arc::clone(provider), Arc::clone(time), timeout).map_err(TrustError::Server)
    }

    /// Roots, authorities and lists, and when they end.
    fn read_verifier(&self, provider: &Arc<CryptoProvider>) -> Result<(ClientVerifier, Vec<Expiring>), TrustError> {
        let found_roots = read_certificates(&self.tls.client_roots)?;
        let found_others = read_certificates(&self.revocation.authorities)?;
        let mut store = RootCertStore::empty();
        let mut roots = Vec::new();
        for (path, der) in &found_roots {
            let root = parse(path, der)?;
            if is_development(&root) && !self.tls.allow_development_roots {
                return Err(TrustError::DevelopmentRoot(path.clone()));
            }
            store
                .add(der.clone())
                .map_err(|error| FileError::Content { path: path.clone(), problem: error.to_string() })?;
            roots.push(root);
        }
        if roots.is_empty() {
            return Err(TrustError::NoRoots);
        }
        let mut authorities = roots.clone();
        for (path, der) in &found_others {
            authorities.push(parse(path, der)?);
        }
        let lists = self.read_lists(provider, &authorities)?;
        for root in roots.iter().filter(|root| !lists.covers(root.subject().as_raw())) {
            tracing::warn!(authority = %root.subject(), "no CRL of this root");
        }
        let of_kind = |kind, found: &[(PathBuf, CertificateDer<'_>)]| -> Vec<Expiring> {
            found.iter().filter_map(|(_, der)| expiring(kind, der)).collect()
        };
        let mut in_play = of_kind(ExpiringKind::Root, &found_roots);
        in_play.extend(of_kind(ExpiringKind::Authority, &found_others));
        in_play.extend(lists.newest().map(expiring_list));
        let shared = (Arc::clone(&self.responders), Arc::clone(&self.missed));
        let judge = Judge::new(&self.revocation, lists, &roots, &authorities, shared)?;
        Ok((ClientVerifier::new(store, provider, judge)?, in_play))
    }

    fn read_lists(
        &self,
        provider: &CryptoProvider,
        authorities: &[X509Certificate<'_>],
    ) -> Result<Revocations, TrustError> {
        let mut lists = Revocations::new(provider.signature_verification_algorithms);
        let bytes_max = self.revocation.crl_bytes_max;
        let mut found: Vec<(PathBuf, CertificateRevocationListDer<'static>)> = Vec::new();
        for path in &self.tls.client_crls {
            read_objects(path, bytes_max, &mut found)?;
        }
        for (path, der) in found {
            let added = List::read(der.to_vec()).and_then(|list| lists.add(list, authorities));
            added.map_err(|cause| TrustError::Crl { path, cause })?;
        }
        for path in self.downloads.files().filter(|path| path.exists()) {
            let mut found: Vec<(PathBuf, CertificateRevocationListDer<'static>)> = Vec::new();
            let added = read_objects(path, bytes_max, &mut found).map_err(TrustError::from).and_then(|()| {
                let mut read = found.into_iter().map(|(_, der)| List::read(der.to_vec()));
                let added = read.try_for_each(|list| list.and_then(|list| lists.add(list, authorities)));
                added.map_err(|cause| TrustError::Crl { path: path.to_owned(), cause })
            });
            if let Err(error) = added {
                // It will be fetched again: no reason not to start. What it held must not be missed unseen,
                // which the check against the set before sees to.
                tracing::error!(%error, "a list that was fetched before cannot be used");
            }
        }
        Ok(lists)
    }
}

impl ClientVerifier {
    /// A list that disappears or goes back must not let in whom it revoked.
    fn check_succeeds(&self, before: &Self) -> Result<(), TrustError> {
        match self.setback_since(before) {
            None => Ok(()),
            Some(Setback::Gone { issuer }) => Err(TrustError::CrlGone(name_of(issuer))),
            Some(Setback::RolledBack { issuer, before, now }) => Err(TrustError::CrlRolledBack {
                authority: name_of(issuer),
                before: before.to_string(),
                now: now.to_string(),
            }),
        }
    }
}

fn read_certificates(paths: &[PathBuf]) -> Result<Vec<(PathBuf, CertificateDer<'static>)>, FileError> {
    let mut found = Vec::new();
    paths.iter().try_for_each(|path| read_objects(path, CERTIFICATE_FILE_BYTES_MAX, &mut found))?;
    Ok(found)
}

fn parse<'a>(path: &Path, der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, FileError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(FileError::Content { path: path.to_owned(), problem: "this is no X.509 certificate".to_owned() }),
    }
}

/// Development authorities, and whatever was issued a root's place from them, carry their mark in OU.
fn is_development(root: &X509Certificate<'_>) -> bool {
    root.subject().iter_organizational_unit().any(|unit| unit.as_slice() == DEVELOPMENT_MARK.as_bytes())
}

fn expiring(kind: ExpiringKind, der: &CertificateDer<'_>) -> Option<Expiring> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(Expiring::new(kind, certificate.subject(), certificate.validity().not_after.timestamp()))
}

fn expiring_list(list: &List) -> Expiring {
    let name = name_of(&list.issuer);
    let name = if list.is_delta() { format!("{name} (delta)") } else { name };
    Expiring { kind: ExpiringKind::Crl, name, until_s: list.next_update_s }
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
