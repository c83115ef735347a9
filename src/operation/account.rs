//! Life of a record, for operators: open, close, reopen, show. Source: G.

use super::frame::not_found;
use super::gateway::Gateway;
use super::outcome::Journaled;
use crate::domain::dossier::{Dossier, DossierState};
use crate::domain::ids::DossierId;
use crate::domain::ins::Ins;
use crate::identity::caller::Caller;
use crate::journal::chain::record;
use crate::journal::event::{Action, Event, Outcome, Subject};
use crate::refusal::{Failure, Fault, Rule};
use crate::store::{dossier, journal};

/// What `open` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    Opened,
    WasOpen,
    /// And stays so: opening again is [`AccountMove::Reopen`].
    IsClosed,
}

impl Gateway {
    /// Opens a record, not activated: it takes deposits from now on. What is known already is left as it is.
    pub async fn open_dossier(&self, ins: &Ins) -> Result<Journaled<Opening>, Failure> {
        let attempt = self.attempt(&Caller::Operator, Action::OpenDossier);
        let ins = ins.clone();
        let write = self.store.write("open_dossier", move |tx| {
            Box::pin(async move {
                let known = dossier::find_by_ins(tx, &ins).await?;
                let (id, opening) = match &known {
                    Some(dossier) if matches!(dossier.state, DossierState::Closed { .. }) => {
                        (dossier.id, Opening::IsClosed)
                    }
                    Some(dossier) => (dossier.id, Opening::WasOpen),
                    None => (DossierId::new(), Opening::Opened),
                };
                let result = match opening {
                    Opening::Opened => {
                        dossier::insert(tx, id, &ins, DossierState::OpenNotActivated, attempt.now).await?;
                        done()
                    }
                    Opening::WasOpen => Outcome::DoneBefore,
                    Opening::IsClosed => Outcome::Refused { rules: vec![Rule::DossierClosed.code().to_owned()] },
                };
                record(tx, &attempt.event(Subject::of(id), result, Vec::new()))?;
                Ok(opening)
            })
        });
        write.await.map(Journaled::new).map_err(Failure::from)
    }

    /// Closes an open record, or reopens a closed one. Errors: `NotFound`.
    pub async fn move_dossier(&self, ins: &Ins, change: AccountMove) -> Result<Journaled<DossierState>, Failure> {
        let action = match change {
            AccountMove::Close => Action::CloseDossier,
            AccountMove::Reopen => Action::ReopenDossier,
        };
        let attempt = self.attempt(&Caller::Operator, action);
        let ins = ins.clone();
        let write = self.store.write("move_dossier", move |tx| {
            Box::pin(async move {
                let Some(dossier) = dossier::find_by_ins(tx, &ins).await? else {
                    record(tx, &attempt.not_found(Subject::Unknown))?;
                    return Ok(None);
                };
                let (state, result) = match (change, dossier.state) {
                    (AccountMove::Close, DossierState::Closed { .. }) => (dossier.state, Outcome::DoneBefore),
                    (AccountMove::Close, _) => (DossierState::Closed { at: attempt.now }, done()),
                    (AccountMove::Reopen, DossierState::Closed { .. }) => (DossierState::Activated, done()),
                    (AccountMove::Reopen, _) => (dossier.state, Outcome::DoneBefore),
                };
                dossier::update_state(tx, dossier.id, state).await?;
                record(tx, &attempt.event(Subject::of(dossier.id), result, Vec::new()))?;
                Ok(Some(state))
            })
        });
        write.await.map_err(Failure::from)?.map(Journaled::new).ok_or_else(not_found)
    }

    /// The record as an operator sees it: state and list, no document.
    pub async fn show_dossier(&self, ins: &Ins) -> Result<Journaled<Dossier>, Failure> {
        let attempt = self.attempt(&Caller::Operator, Action::ListConsents);
        let asked = ins.clone();
        let read =
            self.store.read("show_dossier", move |tx| Box::pin(async move { dossier::find_by_ins(tx, &asked).await }));
        let found = read.await.map_err(Failure::from)?;
        let event = match &found {
            Some(dossier) => attempt.event(Subject::of(dossier.id), done(), Vec::new()),
            None => attempt.not_found(Subject::Unknown),
        };
        self.write_line(event).await?;
        found.map(Journaled::new).ok_or_else(not_found)
    }

    /// Lines of the journal, oldest first: of one record, or of all.
    pub async fn list_journal(&self, of: Option<&Ins>, after: i64, count: u32) -> Result<Vec<(i64, Event)>, Failure> {
        let of = of.cloned();
        let read = self.store.read("list_journal", move |tx| {
            Box::pin(async move {
                let Some(ins) = of else { return journal::list_after(tx, after, count).await.map(Some) };
                match dossier::find_by_ins(tx, &ins).await? {
                    Some(dossier) => {
                        journal::list_of_dossier(tx, &dossier.id.to_string(), after, count).await.map(Some)
                    }
                    None => Ok(None),
                }
            })
        });
        let rows = read.await.map_err(Failure::from)?.ok_or_else(not_found)?;
        let events = rows.into_iter().map(|row| {
            let event = serde_json::from_str(&row.line).map_err(|error| Fault::new("journal line", error))?;
            Ok((row.position, event))
        });
        events.collect::<Result<_, Fault>>().map_err(Failure::from)
    }
}

/// Moves of a record that an operator makes at the patient's demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountMove {
    Close,
    Reopen,
}

const OPERATOR: &str = "G operator";

fn done() -> Outcome {
    Outcome::Done { rule: OPERATOR.to_owned() }
}
