//! Search: criteria -> entries and totals, through the decision, behind the journal. TD3.1, TD3.2 by id.

use std::sync::Arc;

use jiff::Timestamp;

use super::beat::Shows;
use super::frame::{Attempt, Consequence, access_denied, not_found};
use super::gateway::Gateway;
use super::outcome::{Journaled, SearchOutcome};
use crate::access::decide::{Act, Consult, Denial, Permit, decide};
use crate::access::matrices::Matrices;
use crate::access::visibility::Visibility;
use crate::domain::criteria::Criteria;
use crate::domain::document_entry::DocumentEntry;
use crate::domain::dossier::Dossier;
use crate::domain::ids::{DossierId, LogicalId};
use crate::identity::caller::Caller;
use crate::journal::event::{Action, EntryMention, Event, Outcome, Subject};
use crate::refusal::{Failure, Refusal, Rule};
use crate::store::search::{EntryName, Found, find, find_no_one, find_nothing, find_one};
use crate::store::volume::Location;
use crate::store::{self, Tx, dossier};

/// What a read met: the same answer goes out for several of these, each with its own journal line.
enum Reading<A, T> {
    Permitted(Permit<A>, T),
    Not(NoPermit),
}

enum NoPermit {
    Denied(DossierId, Denial),
    /// Nobody of that name has a record, or no entry bears the identifier.
    NoDossier,
}

impl Gateway {
    /// ITI-67, ITI-18. A search that names neither a record nor an entry does not exist.
    ///
    /// A record that the caller may not consult and one that does not exist give the same answer: `AccessDenied`
    /// when the patient is named, nothing found when only an identifier is.
    pub async fn search(&self, caller: &Caller, criteria: &Criteria) -> Result<Journaled<SearchOutcome>, Failure> {
        if !criteria.is_anchored() {
            let expected = "patient.identifier, or one identifier or _id alone";
            let refusal = Refusal::new(Rule::ParameterMissing, "parameters", "no patient", expected);
            return Err(self.turn_away(caller, refusal.into()).await);
        }
        if let Some(Err(refusal)) = criteria.patient.as_ref().map(|ins| caller.check_patient(ins, "patient.identifier"))
        {
            return Err(self.turn_away(caller, refusal.into()).await);
        }
        let attempt = self.attempt(caller, Action::Search);
        let (matrices, asking, wanted, now) =
            (Arc::clone(&self.matrices), caller.clone(), criteria.clone(), attempt.now);
        let reading = self.store.read("search", move |tx| {
            Box::pin(async move {
                let dossier = dossier_of(tx, &wanted).await?;
                match decide_on::<Consult>(&matrices, &asking, dossier.as_ref(), now) {
                    Ok(permit) => find(tx, &permit, &wanted).await.map(|found| Reading::Permitted(permit, found)),
                    Err(not) => find_nothing(tx, &Visibility::nothing(asking.id(), now), &wanted)
                        .await
                        .map(|()| Reading::Not(not)),
                }
            })
        });
        let reading = reading.await.map_err(Failure::from)?;
        let consequence = match &reading {
            // Nobody is told of a search by an identifier that met nothing: absent and hidden cost the same.
            Reading::Permitted(permit, found) if criteria.patient.is_some() || found.total > 0 => {
                let shown = found.entries.iter().map(|entry| entry.entry_uuid).collect();
                Consequence::of(permit, caller, shown, attempt.now)
            }
            Reading::Permitted(..) | Reading::Not(_) => Consequence::Nothing,
        };
        self.write_disclosure(search_event(&attempt, criteria, &reading), consequence).await?;
        let shows = match &reading {
            Reading::Permitted(_, found) => Shows::of(&found.entries),
            Reading::Not(_) => Shows::Nothing,
        };
        self.keep_beat(&attempt, shows).await;
        match reading {
            Reading::Permitted(_, Found { total, entries }) => Ok(Journaled::new(SearchOutcome { total, entries })),
            Reading::Not(_) if criteria.patient.is_some() && consults(caller) => Err(access_denied()),
            Reading::Not(_) => Ok(Journaled::new(SearchOutcome { total: 0, entries: Vec::new() })),
        }
    }

    /// Metadata of one document. Absent and hidden: `Rule::NotFound`.
    pub async fn read(&self, caller: &Caller, id: LogicalId) -> Result<Journaled<DocumentEntry>, Failure> {
        let attempt = self.attempt(caller, Action::Read);
        self.read_one::<Consult>(caller, &attempt, id).await.map(|(entry, _)| Journaled::new(entry))
    }

    /// Finds one entry on which the caller may do `A` and writes the line of it, whatever the outcome.
    pub(super) async fn read_one<A: Act>(
        &self,
        caller: &Caller,
        attempt: &Attempt,
        id: LogicalId,
    ) -> Result<(DocumentEntry, Location), Failure> {
        let (matrices, asking, now) = (Arc::clone(&self.matrices), caller.clone(), attempt.now);
        let reading = self.store.read("read", move |tx| {
            Box::pin(async move {
                let (dossier, name) = (dossier::find_by_entry(tx, id).await?, EntryName::Logical(id));
                match decide_on::<A>(&matrices, &asking, dossier.as_ref(), now) {
                    Ok(permit) => find_one(tx, &permit, &name).await.map(|found| Reading::Permitted(permit, found)),
                    Err(not) => {
                        find_no_one(tx, &Visibility::nothing(asking.id(), now), &name).await.map(|()| Reading::Not(not))
                    }
                }
            })
        });
        let reading = reading.await.map_err(Failure::from)?;
        let consequence = match &reading {
            Reading::Permitted(permit, Some((entry, _))) => {
                Consequence::of(permit, caller, vec![entry.entry_uuid], attempt.now)
            }
            Reading::Permitted(_, None) | Reading::Not(_) => Consequence::Nothing,
        };
        self.write_disclosure(read_event(attempt, &reading), consequence).await?;
        match reading {
            Reading::Permitted(_, Some(found)) => Ok(found),
            Reading::Permitted(_, None) | Reading::Not(_) => {
                self.keep_beat(attempt, Shows::Nothing).await;
                Err(not_found())
            }
        }
    }
}

/// A structure in indirect mode finds its own everywhere: nowhere is it told "no right", only "nothing".
fn consults(caller: &Caller) -> bool {
    !matches!(caller, Caller::Employee(..) | Caller::Indirect(..))
}

/// The decision on a record, if there is one. Whoever gets no permit asks the store the same questions in vain: what
/// is absent and what is hidden take the same number of statements.
fn decide_on<A: Act>(
    matrices: &Matrices,
    caller: &Caller,
    dossier: Option<&Dossier>,
    now: Timestamp,
) -> Result<Permit<A>, NoPermit> {
    let dossier = dossier.ok_or(NoPermit::NoDossier)?;
    decide::<A>(matrices, caller, dossier, now).map_err(|denial| NoPermit::Denied(dossier.id, denial))
}

/// The record that the criteria name: the patient's, or that of the entry asked for.
async fn dossier_of(tx: &mut Tx<'_>, criteria: &Criteria) -> Result<Option<Dossier>, store::Error> {
    if let Some(ins) = &criteria.patient {
        return dossier::find_by_ins(tx, ins).await;
    }
    match (criteria.logical_ids.first(), criteria.identifiers.first()) {
        (Some(id), _) => dossier::find_by_entry(tx, *id).await,
        (None, Some(urn)) => dossier::find_by_identifier(tx, urn).await,
        (None, None) => Ok(None),
    }
}

/// A search by an identifier that met nothing found nothing, in whichever record that entry is: who made it is told of
/// no record, then and among their own traces.
fn search_event(attempt: &Attempt, criteria: &Criteria, reading: &Reading<Consult, Found>) -> Event {
    match reading {
        Reading::Permitted(permit, found) if criteria.patient.is_none() && found.total == 0 => {
            attempt.not_found(Subject::of(permit.dossier()))
        }
        Reading::Permitted(permit, found) => {
            let mentions = found.entries.iter().map(EntryMention::of).collect();
            attempt.event(Subject::of(permit.dossier()), done(permit), mentions)
        }
        Reading::Not(NoPermit::Denied(dossier, denial)) if criteria.patient.is_some() => {
            attempt.denied(*dossier, *denial)
        }
        Reading::Not(not) => event_without_permit(attempt, not),
    }
}

fn read_event<A: Act>(attempt: &Attempt, reading: &Reading<A, Option<(DocumentEntry, Location)>>) -> Event {
    match reading {
        Reading::Permitted(permit, Some((entry, _))) => {
            attempt.event(Subject::of(permit.dossier()), done(permit), vec![EntryMention::of(entry)])
        }
        Reading::Permitted(permit, None) => attempt.not_found(Subject::of(permit.dossier())),
        Reading::Not(not) => event_without_permit(attempt, not),
    }
}

/// Where nobody named a patient.
fn event_without_permit(attempt: &Attempt, not: &NoPermit) -> Event {
    match not {
        NoPermit::Denied(dossier, denial) => attempt.denied_by_id(*dossier, *denial),
        NoPermit::NoDossier => attempt.not_found(Subject::Unknown),
    }
}

fn done<A: Act>(permit: &Permit<A>) -> Outcome {
    Outcome::Done { rule: permit.rule().code().to_owned() }
}
