//! Which lines of the journal somebody is shown: what a permit to read it covers. Source: F.2 (R1111-43), J64.
//!
//! Which documents those lines may name is the permit's [`Visibility`](super::visibility::Visibility).

use super::decide::{Permit, ReadJournal, RuleId};
use crate::identity::caller::{Caller, CallerId};

/// Who looks at the journal of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// Sees what everybody did; some but for secret connections (J64).
    All { hides_secrets: bool },
    /// Sees what they did themselves, and of it no more than they were told then.
    Own,
}

impl Permit<ReadJournal> {
    /// Invariant: a rule that is not named here shows own lines alone.
    pub fn viewer(&self) -> Viewer {
        match self.rule() {
            rule @ (RuleId::PatientsOwnAct
            | RuleId::LegalRepresentative
            | RuleId::Aidant
            | RuleId::Operator
            | RuleId::MedecinTraitant) => Viewer::All { hides_secrets: rule.hides_secrets() },
            _ => Viewer::Own,
        }
    }
}

/// Proof that a professional may read what they did themselves, whosever record it was. Only [`own_traces`] makes one.
#[derive(Debug)]
pub struct OwnTraces {
    holder: CallerId,
}

impl OwnTraces {
    pub fn holder(&self) -> &CallerId {
        &self.holder
    }
}

/// Decides whether `caller` may read their own lines without naming a record: a professional, whom no token holds to
/// one patient. The lines of a structure are those of all who work there: it names the patient.
pub fn own_traces(caller: &Caller) -> Option<OwnTraces> {
    let is_free = caller.professional_id().is_some() && caller.stated_patient().is_none();
    is_free.then(|| OwnTraces { holder: caller.id() })
}
