//! What OCSP responders say: asked ahead of time where somebody is connected, remembered until it expires.
//!
//! A [`Slot`] is one certificate and the answer about it. The connection that shows the certificate holds the
//! slot, and whoever signed an assertion lately wants theirs; both are asked again before their answer expires, off
//! the path of any request. Answers live in memory: after a restart without network, lists are what vouches.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Uri;
use rustls::crypto::{SecureRandom, WebPkiSupportedAlgorithms};
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::fetch::{FetchError, Fetcher};
use super::judge::Judge;
use super::ocsp::{Answer, Bench, NONCE_BYTES, OcspError, Question, Said};
use super::signed::is_signed_by;
use super::{Status, backoff_s};
use crate::clock::Clock;
use crate::config::HttpAddress;

/// Every responder of the configuration and what it said; outlives what is read again from files.
pub(in crate::tls) struct Responders {
    by_authority: BTreeMap<String, Arc<Responder>>,
    slots: Mutex<HashMap<[u8; 32], Arc<Slot>>>,
    /// Counts the answers that somebody is revoked: connections look at their certificate again.
    alarms: AtomicU64,
    refresh_s: i64,
    random: &'static dyn SecureRandom,
}

struct Responder {
    authority: String,
    url: Uri,
    /// It could not be reached: nobody asks before then.
    down_until_s: AtomicI64,
    /// Its own, so that one that does not answer holds up nobody who asks another.
    turns: Semaphore,
}

/// One certificate, whom to ask about it, and the answer.
pub(in crate::tls) struct Slot {
    responder: Arc<Responder>,
    question: Question,
    issuer: CertificateDer<'static>,
    asked: Mutex<Asked>,
    /// For whom no connection holds it.
    wanted_until_s: AtomicI64,
    /// One question at a time: who comes later finds the answer.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Asked {
    answer: Option<Answer>,
    due_s: i64,
    failures: u32,
}

#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Answer(#[from] OcspError),
    #[error("the answer is older than the one before")]
    RolledBack,
    #[error("no question can be made of this certificate")]
    Question,
}

impl Responders {
    /// `urls`: common name of an authority, where to ask about its certificates.
    pub(in crate::tls) fn new(
        urls: &BTreeMap<String, HttpAddress>,
        refresh_s: i64,
        random: &'static dyn SecureRandom,
    ) -> Self {
        let responder = |(authority, url): (&String, &HttpAddress)| {
            let down_until_s = AtomicI64::new(i64::MIN);
            let (authority_name, url) = (authority.clone(), url.uri().clone());
            let turns = Semaphore::new(QUESTIONS_AT_A_TIME_MAX);
            let responder = Responder { authority: authority_name, url, down_until_s, turns };
            (authority.clone(), Arc::new(responder))
        };
        Self {
            by_authority: urls.iter().map(responder).collect(),
            slots: Mutex::default(),
            alarms: AtomicU64::new(0),
            refresh_s,
            random,
        }
    }

    pub(in crate::tls) fn alarms(&self) -> u64 {
        self.alarms.load(Ordering::Acquire)
    }

    pub(super) fn has_one_for(&self, certificate: &X509Certificate<'_>) -> bool {
        self.responder_of(certificate).is_some()
    }

    /// The slot of a certificate; `None` where no responder is configured, or `authorities` has not who signed it.
    pub(super) fn slot_of(
        &self,
        certificate: &X509Certificate<'_>,
        authorities: &[CertificateDer<'_>],
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Option<Arc<Slot>> {
        let responder = self.responder_of(certificate)?;
        let fingerprint: [u8; 32] = Sha256::digest(certificate.as_raw()).into();
        if let Some(slot) = self.lock().get(&fingerprint) {
            return Some(Arc::clone(slot));
        }
        let authorities = authorities.iter().filter_map(|der| X509Certificate::from_der(der).ok());
        let issuer = authorities.map(|(_, authority)| authority).find(|authority| {
            authority.subject().as_raw() == certificate.issuer().as_raw()
                && is_signed_by(certificate.as_raw(), authority.public_key(), algorithms)
        })?;
        let slot = Slot {
            responder: Arc::clone(responder),
            question: Question::new(certificate, &issuer),
            issuer: CertificateDer::from(issuer.as_raw().to_vec()),
            asked: Mutex::default(),
            wanted_until_s: AtomicI64::new(i64::MIN),
            asking: tokio::sync::Mutex::default(),
        };
        let mut slots = self.lock();
        if slots.len() >= SLOTS_MAX {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Some(Arc::clone(slots.entry(fingerprint).or_insert_with(|| Arc::new(slot))))
    }

    /// Asks about one certificate, unless somebody just did.
    ///
    /// Then either there is an answer, or the slot may not be asked at any instant up to this one.
    pub(in crate::tls) async fn ask(&self, slot: &Slot, judge: &Judge, fetcher: &Fetcher, clock: &Clock) {
        let now_s = || clock.now().as_second();
        let _one_at_a_time = slot.asking.lock().await;
        // Nobody closes this semaphore.
        let Ok(_turn) = slot.responder.turns.acquire().await else { return };
        // Somebody may have learned more while this one waited.
        if !slot.may_be_asked(now_s()) {
            return;
        }
        let outcome = self.exchange(slot, judge, fetcher, clock).await;
        let label = match &outcome {
            Ok(Answer { standing: Said::Good, .. }) => "good",
            Ok(Answer { standing: Said::Revoked, .. }) => "revoked",
            Err(_) => "failed",
        };
        metrics::counter!("carnet_ocsp_questions_total", "outcome" => label).increment(1);
        if let Err(error) = &outcome {
            tracing::warn!(authority = slot.responder.authority, url = %slot.responder.url, %error, "no OCSP answer");
        }
        if matches!(outcome, Err(AskError::Fetch(_))) {
            slot.responder.down_until_s.store(now_s().saturating_add(DOWN_S), Ordering::Release);
        }
        if slot.settle(outcome.ok(), self.refresh_s, now_s()) == Settled::NewlyRevoked {
            self.alarms.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Asks again about every certificate that somebody holds or wants, ahead of the end of its answer, and forgets
    /// the others.
    pub(in crate::tls) async fn refresh(&self, judge: &Judge, fetcher: &Fetcher, clock: &Clock) {
        let now_s = clock.now().as_second();
        let due: Vec<Arc<Slot>> = {
            let mut slots = self.lock();
            let is_wanted = |slot: &Arc<Slot>| Arc::strong_count(slot) > 1 || slot.is_wanted(now_s);
            slots.retain(|_, slot| is_wanted(slot) || slot.is_worth_keeping(now_s));
            let wanted = slots.values().filter(|slot| is_wanted(slot) && slot.is_due(now_s));
            wanted.map(Arc::clone).collect()
        };
        futures_util::future::join_all(due.iter().map(|slot| self.ask(slot, judge, fetcher, clock))).await;
    }

    async fn exchange(&self, slot: &Slot, judge: &Judge, fetcher: &Fetcher, clock: &Clock) -> Result<Answer, AskError> {
        let mut nonce = [0; NONCE_BYTES];
        self.random.fill(&mut nonce).map_err(|_| AskError::Question)?;
        let request = slot.question.request(&nonce).map_err(|_| AskError::Question)?;
        let url = &slot.responder.url;
        let bytes = fetcher.post(url, "application/ocsp-request", request, ANSWER_BYTES_MAX).await?;
        let (_, issuer) = X509Certificate::from_der(&slot.issuer).map_err(|_| AskError::Question)?;
        let now_s = clock.now().as_second();
        let bench = Bench { issuer: &issuer, algorithms: judge.algorithms(), lists: &judge.lists, now_s };
        let answer = slot.question.read_answer(&bytes, &nonce, &bench)?;
        let before = slot.lock().answer;
        if before.is_some_and(|before| answer.this_update_s < before.this_update_s) {
            return Err(AskError::RolledBack);
        }
        Ok(answer)
    }

    fn responder_of(&self, certificate: &X509Certificate<'_>) -> Option<&Arc<Responder>> {
        if self.by_authority.is_empty() {
            return None;
        }
        self.by_authority.get(certificate.issuer().iter_common_name().next()?.as_str().ok()?)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Responders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responders").field("authorities", &self.by_authority.keys()).finish_non_exhaustive()
    }
}

impl Responder {
    fn is_down(&self, now_s: i64) -> bool {
        now_s < self.down_until_s.load(Ordering::Acquire)
    }
}

#[derive(PartialEq, Eq)]
enum Settled {
    AsBefore,
    NewlyRevoked,
}

impl Slot {
    /// What is known without asking. That somebody is revoked does not expire.
    pub(super) fn status(&self) -> Status {
        match self.lock().answer {
            None => Status::Unproven,
            Some(Answer { standing: Said::Revoked, .. }) => Status::Revoked,
            Some(Answer { standing: Said::Good, until_s, .. }) => Status::GoodUntil(until_s),
        }
    }

    pub(super) fn may_be_asked(&self, now_s: i64) -> bool {
        self.is_due(now_s) && !self.responder.is_down(now_s)
    }

    /// Keeps the answer fresh for some time without being held.
    pub(in crate::tls) fn want(&self, now_s: i64) {
        self.wanted_until_s.fetch_max(now_s.saturating_add(WANTED_S), Ordering::AcqRel);
    }

    fn is_wanted(&self, now_s: i64) -> bool {
        now_s < self.wanted_until_s.load(Ordering::Acquire)
    }

    fn is_due(&self, now_s: i64) -> bool {
        now_s >= self.lock().due_s
    }

    fn is_worth_keeping(&self, now_s: i64) -> bool {
        self.lock().answer.is_some_and(|answer| now_s < answer.until_s || answer.standing == Said::Revoked)
    }

    /// Half of the time that an answer holds is left to ask again.
    fn settle(&self, answer: Option<Answer>, refresh_s: i64, now_s: i64) -> Settled {
        let mut asked = self.lock();
        let Some(answer) = answer else {
            asked.failures = asked.failures.saturating_add(1);
            asked.due_s = now_s.saturating_add(backoff_s(asked.failures));
            return Settled::AsBefore;
        };
        let was_revoked = asked.answer.is_some_and(|before| before.standing == Said::Revoked);
        let wait_s = (answer.until_s.saturating_sub(now_s) / 2).clamp(1, refresh_s.max(1));
        *asked = Asked { answer: Some(answer), due_s: now_s.saturating_add(wait_s), failures: 0 };
        if answer.standing == Said::Revoked && !was_revoked { Settled::NewlyRevoked } else { Settled::AsBefore }
    }

    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const QUESTIONS_AT_A_TIME_MAX: usize = 8;
/// A slot takes some 400 bytes and the certificate of its authority.
const SLOTS_MAX: usize = 10_000;
/// Software that signs for a structure signs all day.
const WANTED_S: i64 = 3 * 3_600;
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Others need not wait for a responder of which one has just learned that it does not answer.
const DOWN_S: i64 = 30;
