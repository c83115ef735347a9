//! Whom we believe, and what we show: server certificate, client roots and CRLs, swapped when their files change.
//!
//! Invariant: session tickets never outlive the `Generation` that made them, since each has its own ticket key.
//! A resumed session, which skips the verifier, was therefore verified with the roots and lists in force; what
//! can have changed since is the time, and [`Standing`](super::standing::Standing) checks that. Source: contract 2, B.1, B.2.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use super::client_verifier::ClientVerifier;
use super::expiry::{Expiries, Expiring, Notice};
use super::files::{FileError, Stamp};
use super::generation::{Generation, Origin, expiring_services};
use super::key_purpose::KeyPurpose;
use super::revocation::judge::{Judgement, NameError};
use super::revocation::list::CrlError;
use crate::clock::Clock;
use crate::config;
use crate::refusal::Refusal;

/// The material in force and the files it came from.
pub struct Trust {
    clock: Clock,
    current: ArcSwap<Generation>,
    /// Of the files as last read, good or not: a broken set is tried again when it changes, not before.
    seen: Mutex<Vec<Stamp>>,
    origin: Origin,
    expiries: Expiries,
    /// Certificates that others read, whose ends are told here too.
    services: OnceLock<Vec<PathBuf>>,
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
    #[error("tls.client_roots: {0}")]
    Roots(rustls::Error),
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
            services: OnceLock::new(),
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
        self.origin.responders.refresh(&current.verifier.judge, &current.fetcher, &self.clock).await;
    }

    /// Sets the metrics of what ends, and warns of what ends soon. What the log was told of now.
    pub fn check_expiry(&self) -> Vec<(Expiring, Notice)> {
        let mut in_play = self.current.load().in_play.clone();
        let services = self.services.get().into_iter().flatten().chain(&self.origin.revocation.https_roots);
        in_play.extend(services.flat_map(|file| expiring_services(file)));
        self.expiries.check(&in_play, self.now_s())
    }

    /// Tells the end of these certificates, too: of a provider, and ours towards it. Set once, at the start.
    pub fn watch_services(&self, files: Vec<PathBuf>) {
        self.services.get_or_init(|| files);
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

    /// What judges chains now.
    pub fn verifier(&self) -> Arc<ClientVerifier> {
        Arc::clone(&self.current.load().verifier)
    }

    /// Asks the responders that have a say in whether a signer is revoked. Errors: `CertificateWithdrawn`.
    pub async fn ask_about_signer(&self, chain: &[CertificateDer<'_>]) -> Result<(), Refusal> {
        let judgement = self.settle(&self.current(), chain, KeyPurpose::Signature).await?;
        judgement.held.iter().for_each(|slot| slot.want(self.now_s()));
        Ok(())
    }

    /// Judges a chain, after asking the responders that have to be asked.
    pub(super) async fn settle(
        &self,
        generation: &Generation,
        chain: &[CertificateDer<'_>],
        purpose: KeyPurpose,
    ) -> Result<Judgement, Refusal> {
        let Generation { verifier, fetcher, .. } = generation;
        // One instant for both judgements: whoever was asked in vain since then is not to be asked again at it, so that
        // the second one leaves nothing open, however long the asking takes.
        let now = self.now();
        let judge = || {
            let judgement = verifier.judge(chain, purpose, now);
            judgement.inspect_err(|refusal| tracing::info!(%refusal, "certificate withdrawn"))
        };
        let mut judgement = judge()?;
        if !judgement.unanswered.is_empty() {
            let responders = &self.origin.responders;
            let asked = judgement.unanswered.iter();
            let asked = asked.map(|slot| responders.ask(slot, &verifier.judge, fetcher, &self.clock));
            futures_util::future::join_all(asked).await;
            judgement = judge()?;
        }
        if let Some(lenience) = judgement.lenience {
            metrics::counter!("carnet_tls_revocation_unknown_total", "reason" => lenience.label()).increment(1);
        }
        Ok(judgement)
    }

    pub(super) fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    pub(super) fn generation_number(&self) -> u64 {
        self.current.load().number
    }

    /// How many answers there have been that somebody is revoked.
    pub(super) fn alarms(&self) -> u64 {
        self.origin.responders.alarms()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn now_s(&self) -> i64 {
        self.now().as_second()
    }

    async fn reload_aside(self: &Arc<Self>) -> Reload {
        let trust = Arc::clone(self);
        // Only a panic inside can fail here; the next look tries again.
        tokio::task::spawn_blocking(move || trust.reload()).await.unwrap_or(Reload::Kept)
    }
}
