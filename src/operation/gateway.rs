//! The one object that faces talk to.

use std::sync::Arc;

use super::criteria::Criteria;
use super::draft::DepositRequest;
use super::outcome::{ConsentOutcome, ConsentRequest, DepositOutcome, Existence, Journaled, Retrieved, SearchOutcome};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::document_entry::DocumentEntry;
use crate::domain::ids::{ConsentId, LogicalId};
use crate::domain::ins::Ins;
use crate::domain::value_set::Terminology;
use crate::identity::caller::Caller;
use crate::refusal::{Failure, Fault};
use crate::spool::SpoolSettings;

/// Everything an operation needs. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    pub config: Arc<Config>,
    pub terminology: Arc<Terminology>,
    pub clock: Clock,
    pub spool: SpoolSettings,
}

impl Gateway {
    /// ITI-65, ITI-105, ITI-41, import: all or nothing.
    pub async fn deposit(
        &self,
        caller: &Caller,
        request: DepositRequest,
    ) -> Result<Journaled<DepositOutcome>, Failure> {
        let _ = (caller, request);
        Err(Fault::new("not built yet", "stub").into())
    }

    /// ITI-67, ITI-18.
    pub async fn search(&self, caller: &Caller, criteria: &Criteria) -> Result<Journaled<SearchOutcome>, Failure> {
        let _ = (caller, criteria);
        Err(Fault::new("not built yet", "stub").into())
    }

    /// Metadata of one document. Absent and hidden: `Rule::NotFound`.
    pub async fn read(&self, caller: &Caller, id: LogicalId) -> Result<Journaled<DocumentEntry>, Failure> {
        let _ = (caller, id);
        Err(Fault::new("not built yet", "stub").into())
    }

    /// ITI-68, ITI-43: the document itself. Absent and hidden: `Rule::NotFound`.
    pub async fn retrieve(&self, caller: &Caller, id: LogicalId) -> Result<Journaled<Retrieved>, Failure> {
        let _ = (caller, id);
        Err(Fault::new("not built yet", "stub").into())
    }

    /// TD0.2. `None`: nobody of that INS has a record here.
    pub async fn existence(&self, caller: &Caller, ins: &Ins) -> Result<Journaled<Option<Existence>>, Failure> {
        let _ = (caller, ins);
        Err(Fault::new("not built yet", "stub").into())
    }

    /// TD0.3 by a professional, or the patient's own act through their portal.
    pub async fn set_consent(
        &self,
        caller: &Caller,
        request: ConsentRequest,
    ) -> Result<Journaled<ConsentOutcome>, Failure> {
        let _ = (caller, request);
        Err(Fault::new("not built yet", "stub").into())
    }

    /// Lines of a patient's list that the caller may see: a professional their own, the portal all.
    pub async fn list_consents(
        &self,
        caller: &Caller,
        patient: &Ins,
    ) -> Result<Journaled<Vec<ConsentOutcome>>, Failure> {
        let _ = (caller, patient);
        Err(Fault::new("not built yet", "stub").into())
    }

    pub async fn read_consent(&self, caller: &Caller, id: ConsentId) -> Result<Journaled<ConsentOutcome>, Failure> {
        let _ = (caller, id);
        Err(Fault::new("not built yet", "stub").into())
    }
}
