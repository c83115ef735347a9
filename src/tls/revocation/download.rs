//! Lists from HTTP distribution points: fetched ahead of their end, kept on disk, put in force like any file.
//!
//! A list that comes over a network is stored only if an authority that configuration has signed it, if it is in
//! its time, and if it is no older than what is in force or on disk. Then the file changes, and the watch over
//! files does the rest; after a restart without network the file is still there. Only the addresses of
//! `revocation.crl_urls` are asked: where a list says that its delta is elsewhere, the log says so and no more.

use std::cmp::Ordering;
use std::fs::{DirBuilder, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Uri;
use rustls::crypto::SecureRandom;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use super::fetch::{FetchError, Fetcher};
use super::judge::Judge;
use super::list::{CrlError, Edition, List};
use super::{CLOCK_DIFFERENCE_S, backoff_s};
use crate::config;
use crate::domain::sha::hex;
use crate::tls::files::is_der;

/// Every address of the configuration, with its file and its next turn.
pub(in crate::tls) struct Downloads {
    sources: Vec<Source>,
    bytes_max: usize,
    refresh_s: i64,
    random: &'static dyn SecureRandom,
}

struct Source {
    url: Uri,
    file: PathBuf,
    turn: Mutex<Turn>,
}

#[derive(Default)]
struct Turn {
    due_s: i64,
    failures: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Stored { next_update_s: i64 },
    Unchanged { next_update_s: i64 },
}

#[derive(Debug, thiserror::Error)]
enum DownloadError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    List(#[from] CrlError),
    #[error(
        "its authority {0} is no root, and neither tls.issuers nor revocation.authorities has it: nobody can check its signature"
    )]
    Authority(String),
    #[error("it is past its nextUpdate, or of the future")]
    Time,
    #[error("it is older than the list that we have: {found}, after {had}")]
    RolledBack { found: Edition, had: Edition },
    #[error("{}: {cause}", path.display())]
    File { path: PathBuf, cause: std::io::Error },
    #[error("the task that stores it failed")]
    Task(#[from] tokio::task::JoinError),
}

impl Downloads {
    pub(in crate::tls) fn new(settings: &config::Revocation, random: &'static dyn SecureRandom) -> Self {
        let source = |url: &config::HttpAddress| {
            let digest = Sha256::digest(url.uri().to_string().as_bytes());
            let file = settings.folder.join(hex(&digest[..16]) + ".crl");
            Source { url: url.uri().clone(), file, turn: Mutex::default() }
        };
        Self {
            sources: settings.crl_urls.iter().map(source).collect(),
            bytes_max: settings.crl_bytes_max,
            refresh_s: settings.refresh_s(),
            random,
        }
    }

    /// The files that hold what was fetched, be they there or not.
    pub(in crate::tls) fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().map(|source| source.file.as_path())
    }

    /// Fetches what is due. Whether a file has changed.
    pub(in crate::tls) async fn fetch_due(&self, judge: &Arc<Judge>, fetcher: &Fetcher, now_s: i64) -> bool {
        let due = self.sources.iter().filter(|source| now_s >= source.lock().due_s);
        let fetched = due.map(|source| self.fetch(source, judge, fetcher, now_s));
        futures_util::future::join_all(fetched).await.contains(&true)
    }

    async fn fetch(&self, source: &Source, judge: &Arc<Judge>, fetcher: &Fetcher, now_s: i64) -> bool {
        let outcome = self.exchange(source, judge, fetcher, now_s).await;
        let (label, wait_s) = match &outcome {
            Ok(Outcome::Stored { next_update_s }) => ("stored", self.rest_s(*next_update_s, now_s)),
            Ok(Outcome::Unchanged { next_update_s }) => ("unchanged", self.rest_s(*next_update_s, now_s)),
            Err(error) => {
                tracing::warn!(url = %source.url, %error, "no new list from this address");
                ("failed", backoff_s(source.lock().failures.saturating_add(1)))
            }
        };
        metrics::counter!("carnet_crl_fetches_total", "outcome" => label).increment(1);
        // For alarms: 1 for as long as the last attempt failed.
        let failing = metrics::gauge!("carnet_crl_fetch_failing", "url" => source.url.to_string());
        failing.set(if outcome.is_ok() { 0.0 } else { 1.0 });
        let mut turn = source.lock();
        turn.failures = if outcome.is_ok() { 0 } else { turn.failures.saturating_add(1) };
        turn.due_s = now_s.saturating_add(self.jittered(wait_s));
        matches!(outcome, Ok(Outcome::Stored { .. }))
    }

    async fn exchange(
        &self,
        source: &Source,
        judge: &Arc<Judge>,
        fetcher: &Fetcher,
        now_s: i64,
    ) -> Result<Outcome, DownloadError> {
        let bytes = fetcher.get(&source.url, self.bytes_max).await?;
        let (judge, file) = (Arc::clone(judge), source.file.clone());
        let urls: Vec<String> = self.sources.iter().map(|source| source.url.to_string()).collect();
        tokio::task::spawn_blocking(move || store(&bytes, &file, &judge, &urls, now_s)).await?
    }

    /// Half of what is left until nextUpdate, at most the usual interval.
    fn rest_s(&self, next_update_s: i64, now_s: i64) -> i64 {
        (next_update_s.saturating_sub(now_s) / 2).clamp(1, self.refresh_s.max(1))
    }

    /// Up to a tenth less, so that gateways that were started together do not ask together.
    fn jittered(&self, seconds: i64) -> i64 {
        let mut random = [0];
        // Without randomness there is no jitter, and nothing else is lost.
        let _ = self.random.fill(&mut random);
        seconds - seconds.saturating_mul(i64::from(random[0])) / 2_560
    }
}

impl Source {
    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks a list that came over the network and puts it in its file, if it is news.
fn store(bytes: &Bytes, file: &Path, judge: &Judge, urls: &[String], now_s: i64) -> Result<Outcome, DownloadError> {
    let der = if is_der(bytes) {
        bytes.to_vec()
    } else {
        CertificateRevocationListDer::from_pem_slice(bytes).map_err(|_| CrlError::Syntax)?.to_vec()
    };
    let list = List::read(der.clone())?;
    check(&list, judge, now_s)?;
    let next_update_s = list.next_update_s;
    if let Ok(stored) = std::fs::read(file) {
        if stored == der {
            return Ok(Outcome::Unchanged { next_update_s });
        }
        if let Ok(stored) = List::read(stored) {
            check_succeeds(&list, &stored)?;
        }
    }
    for delta in list.freshest.iter().filter(|delta| !urls.contains(delta)) {
        tracing::info!(delta, "a list has a delta at an address that revocation.crl_urls does not name");
    }
    write_private(file, &der).map_err(|cause| DownloadError::File { path: file.to_owned(), cause })?;
    Ok(Outcome::Stored { next_update_s })
}

fn check(list: &List, judge: &Judge, now_s: i64) -> Result<(), DownloadError> {
    let authorities = judge.authorities().iter().filter_map(|der| X509Certificate::from_der(der).ok());
    let authorities: Vec<_> =
        authorities.map(|(_, one)| one).filter(|one| one.subject().as_raw() == list.issuer.as_ref()).collect();
    if authorities.is_empty() {
        return Err(DownloadError::Authority(name_of(&list.issuer)));
    }
    if !list.is_proven(&authorities, judge.algorithms()) {
        return Err(CrlError::Signature.into());
    }
    if list.next_update_s <= now_s || list.edition.this_update_s > now_s.saturating_add(CLOCK_DIFFERENCE_S) {
        return Err(DownloadError::Time);
    }
    judge.lists.newest_of(list).map_or(Ok(()), |had| check_succeeds(list, had))
}

fn check_succeeds(list: &List, had: &List) -> Result<(), DownloadError> {
    if list.is_edition_of(had) && list.edition.compare(&had.edition) == Ordering::Less {
        return Err(DownloadError::RolledBack { found: list.edition.clone(), had: had.edition.clone() });
    }
    Ok(())
}

/// All or nothing, on stable storage, for its owner's eyes.
fn write_private(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
    let mut whole =
        tempfile::Builder::new().prefix(".").permissions(Permissions::from_mode(FILE_MODE)).tempfile_in(folder)?;
    whole.write_all(bytes)?;
    whole.as_file().sync_all()?;
    whole.persist(file).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

pub(in crate::tls) fn name_of(issuer: &[u8]) -> String {
    X509Name::from_der(issuer).map_or_else(|_| "an authority".to_owned(), |(_, name)| name.to_string())
}

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
