//! Whether the certificate of an open connection is still good: a few loads a request, a judgement when it may not be.
//!
//! A connection, and a resumed session, never come back to the verifier of the handshake: what has changed since is
//! found here. Source: contract 3, B.2.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::CertificateDer;

use super::generation::Generation;
use super::key_purpose::KeyPurpose;
use super::revocation::judge::Judgement;
use super::revocation::responder::Slot;
use super::trust::Trust;
use crate::refusal::Refusal;

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
        let alarms = standing.trust.alarms();
        let judgement = standing.trust.settle(generation, &standing.chain, PURPOSE).await?;
        standing.keep(generation, judgement, alarms);
        standing.check().await?;
        Ok(standing)
    }

    /// Is the certificate still good? To be asked at each request: revocation, expiry and removed roots bite
    /// on open connections too.
    pub async fn check(&self) -> Result<(), Refusal> {
        if self.holds() {
            return Ok(());
        }
        // In a box, so that requests do not carry what hardly any of them needs.
        Box::pin(self.renew()).await
    }

    async fn renew(&self) -> Result<(), Refusal> {
        let current = self.trust.current();
        let alarms = self.trust.alarms();
        let judgement = self.trust.settle(&current, &self.chain, PURPOSE).await?;
        if self.generation.load(Ordering::Acquire) != current.number {
            // Another generation may have other issuers of this class.
            if let Err(refused) = current.verifier.present(&self.chain, self.trust.now()).as_ref() {
                return Err(refused.refusal.clone());
            }
        }
        self.keep(&current, judgement, alarms);
        Ok(())
    }

    fn holds(&self) -> bool {
        self.generation.load(Ordering::Acquire) == self.trust.generation_number()
            && self.alarms.load(Ordering::Acquire) == self.trust.alarms()
            && self.trust.now().as_second() < self.good_until_s.load(Ordering::Acquire)
    }

    fn keep(&self, generation: &Generation, judgement: Judgement, alarms: u64) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = judgement.held;
        self.good_until_s.store(judgement.until_s, Ordering::Release);
        self.alarms.store(alarms, Ordering::Release);
        self.generation.store(generation.number, Ordering::Release);
    }
}

const PURPOSE: KeyPurpose = KeyPurpose::Authentication;
