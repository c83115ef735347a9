//! The journal as a whole, for operators: is it what was written? Source: F.5.

use std::path::Path;
use std::time::Duration;

use super::frame::not_found;
use super::gateway::Gateway;
use crate::config::Config;
use crate::domain::ins::Ins;
use crate::journal::heads::keep;
use crate::journal::verify::{Evidence, Verdict, verify, verify_record};
use crate::refusal::{Failure, Fault};
use crate::store::dossier;
use crate::store::journal::key::PublicKey;

/// The public half of the key that the configuration names.
pub fn public_key(config: &Config) -> Result<PublicKey, Fault> {
    let file = config.journal_key_path();
    let fault = |problem: Box<dyn std::error::Error + Send + Sync>| Fault::new("the key of the journal", problem);
    let key = PublicKey::of_private(&file).map_err(|error| fault(error.into()))?;
    key.ok_or_else(|| {
        let problem = format!("journal.key: {} is not there; --public-key names a public one instead", file.display());
        fault(problem.into())
    })
}

/// A public key as `carnet journal key` printed it.
pub fn read_public_key(file: &Path) -> Result<PublicKey, Fault> {
    PublicKey::read(file).map_err(|error| Fault::new("the key of the journal", error))
}

impl Gateway {
    /// Walks the journal, with the key and the file of heads that the configuration names.
    pub async fn verify_journal(&self) -> Result<Verdict, Failure> {
        let key = public_key(&self.config)?;
        self.audit_journal(&Evidence { key, heads_file: self.config.heads_file_path() }).await
    }

    /// Walks the journal, held against evidence from elsewhere.
    pub async fn audit_journal(&self, evidence: &Evidence) -> Result<Verdict, Failure> {
        verify(&self.store, evidence).await.map_err(Failure::from)
    }

    /// Walks the lines of one record. Errors: `NotFound`.
    pub async fn verify_record(&self, ins: &Ins) -> Result<Verdict, Failure> {
        let asked = ins.clone();
        let find =
            self.store.read("find_dossier", move |tx| Box::pin(async move { dossier::find_by_ins(tx, &asked).await }));
        let dossier = find.await.map_err(Failure::from)?.ok_or_else(not_found)?;
        verify_record(&self.store, &dossier.id.to_string()).await.map_err(Failure::from)
    }

    /// Keeps a signed head for good, if lines came since the last one. A failure is told where operators look: the next
    /// turn makes up for it.
    pub async fn keep_head(&self) {
        let file = self.config.heads_file_path();
        let outcome = match keep(&self.store, &file).await {
            Ok(()) => "kept",
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, file = %file.display(), "no head of the journal was kept");
                "failed"
            }
        };
        metrics::counter!("carnet_journal_heads_total", "outcome" => outcome).increment(1);
    }

    /// Keeps a head now and every `journal.head_seconds`.
    pub async fn keep_heads(&self) {
        let mut turns = tokio::time::interval(Duration::from_secs(self.config.journal.head_seconds.into()));
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            self.keep_head().await;
        }
    }
}
