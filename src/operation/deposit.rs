//! Deposit: one submission, all or nothing, its journal line in the same commit. TD2.1: ITI-65, ITI-105, ITI-41.
//!
//! Order of the checks: E.4. What concerns the message alone is checked before the write
//! (`super::check`); what concerns the record is checked inside it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::check::CheckedSubmission;
use super::draft::{DepositRequest, RelationDraft, TargetName};
use super::frame::Attempt;
use super::gateway::Gateway;
use super::outcome::{DepositOutcome, DepositedEntry, Journaled};
use crate::access::decide::{Denial, Deposit, Permit, RuleId, decide};
use crate::access::matrices::Matrices;
use crate::domain::association::{Association, RelationKind};
use crate::domain::confidentiality::VisibilityLabel;
use crate::domain::document_entry::{DocumentEntry, DocumentMetadata};
use crate::domain::ids::{EntryUuid, LogicalId, UniqueId};
use crate::domain::sha::Fingerprint;
use crate::domain::status::AvailabilityStatus;
use crate::identity::caller::{Caller, CallerId};
use crate::journal::chain::record;
use crate::journal::event::{Action, EntryMention, Event, Outcome, Subject};
use crate::notice;
use crate::refusal::{Failure, Fault, Refusal, Rule};
use crate::spool::Spooled;
use crate::store::search::{EntryName, find_one};
use crate::store::submission_set::Known;
use crate::store::volume::Placed;
use crate::store::{self, Tx, document_entry, submission_set};

impl Gateway {
    /// Stores a submission. Sent a second time, it gets the same answer and nothing is stored.
    pub async fn deposit(
        &self,
        caller: &Caller,
        request: DepositRequest,
    ) -> Result<Journaled<DepositOutcome>, Failure> {
        let bytes = request.documents.iter().map(|document| document.content.fingerprint().size_bytes).sum();
        let room = self.store.reserve_room(bytes).map_err(Failure::from)?;
        let place = Arc::clone(&self.writers).acquire_owned().await;
        let place = place.map_err(|error| Fault::new("place of a deposit", error))?;
        let attempt = self.attempt(caller, Action::Deposit);
        let (submission, contents) = match self.check(caller, request, attempt.now).await {
            Ok(checked) => checked,
            Err(Failure::Refused(refusals)) => {
                self.write_line(attempt.refused(Subject::Unknown, &refusals)).await?;
                return Err(Failure::Journaled(refusals));
            }
            Err(other) => return Err(other),
        };
        let (gateway, caller) = (self.clone(), caller.clone());
        // A task of its own: whoever hangs up frees neither room nor place before the write is done.
        let storing = tokio::spawn(async move {
            let stored = gateway.store(attempt, caller, submission, contents).await;
            drop((room, place));
            stored
        });
        let stored = storing.await.map_err(|error| Fault::new("a deposit", error))??;
        stored.map(Journaled::new).map_err(Failure::Journaled)
    }

    async fn store(
        &self,
        attempt: Attempt,
        caller: Caller,
        submission: CheckedSubmission,
        contents: Vec<Spooled>,
    ) -> Result<Result<DepositOutcome, Vec<Refusal>>, Failure> {
        let submission = self.place(submission, contents).await?;
        let matrices = Arc::clone(&self.matrices);
        let write = self.store.write("deposit", move |tx| {
            Box::pin(async move {
                let (event, outcome) = store_submission(tx, &attempt, &matrices, &caller, submission).await?;
                record(tx, &event)?;
                Ok(outcome)
            })
        });
        write.await.map_err(Failure::from)
    }
}

/// A checked submission whose documents are on stable storage, in its order.
struct PlacedSubmission {
    checked: CheckedSubmission,
    documents: Vec<Placed>,
}

impl Gateway {
    /// Before the write, not in it: the one writer waits for no disk but its own.
    async fn place(&self, checked: CheckedSubmission, contents: Vec<Spooled>) -> Result<PlacedSubmission, Failure> {
        let placing = contents.into_iter().map(|content| self.store.place(content));
        let documents = try_join_all(placing).await.map_err(Failure::from)?;
        Ok(PlacedSubmission { checked, documents })
    }
}

type Stored = (Event, Result<DepositOutcome, Vec<Refusal>>);

async fn store_submission(
    tx: &mut Tx<'_>,
    attempt: &Attempt,
    matrices: &Matrices,
    caller: &Caller,
    placed: PlacedSubmission,
) -> Result<Stored, store::Error> {
    let PlacedSubmission { checked: submission, documents } = placed;
    if let Err(refusal) = caller.check_patient(&submission.set.patient_id, &submission.patient_place) {
        return Ok(refused(attempt, Subject::Unknown, vec![refusal]));
    }
    let set = &submission.set;
    let found = submission_set::find_with_dossier(tx, &set.patient_id, &set.unique_id, submission.first_unique_id());
    let (dossier, known) = found.await?;
    let Some(dossier) = dossier else {
        let found = submission.set.patient_id.masked();
        let refusal =
            Refusal::new(Rule::UnknownPatient, submission.patient_place, found, "a patient whose record is open here");
        return Ok(refused(attempt, Subject::Unknown, vec![refusal]));
    };
    let subject = Subject::of(dossier.id);
    let permit = match decide::<Deposit>(matrices, caller, &dossier, attempt.now) {
        Ok(permit) => permit,
        Err(denial) => return Ok((attempt.denied(dossier.id, denial), Err(vec![denied(denial)]))),
    };
    if let Some(known) = known.as_ref().filter(|known| is_same(known, &submission, &permit)) {
        let known = known.clone();
        return sent_before(tx, attempt, submission, &known).await;
    }
    let (mut relations, mut refusals) = find_targets(tx, &permit, &submission).await?;
    refusals.extend(find_taken(tx, &submission, known.as_ref()).await?);
    if !refusals.is_empty() {
        return Ok(refused(attempt, subject, refusals));
    }
    if dossier.masks_by_default(attempt.now) {
        for relations in &mut relations {
            relations.labels.insert(VisibilityLabel::MasquePs);
        }
    }
    insert(tx, attempt, &permit, submission, documents, relations).await
}

fn is_same(known: &Known, submission: &CheckedSubmission, permit: &Permit<Deposit>) -> bool {
    let holder: &CallerId = permit.holder();
    let (kind, number) = (known.depositor.0.as_str(), known.depositor.1.as_str());
    known.digest == submission.digest
        && known.dossier == permit.dossier()
        && (kind, number) == (holder.kind(), holder.number())
}

/// The answer that the first sending got: made of what was sent, for what became of it since (a mask, a newer
/// version) is no business of a resend.
async fn sent_before(
    tx: &mut Tx<'_>,
    attempt: &Attempt,
    submission: CheckedSubmission,
    known: &Known,
) -> Result<Stored, store::Error> {
    let mut outcome = DepositOutcome { submission_set: known.uuid, entries: Vec::new(), registered: known.registered };
    let stored = document_entry::list_of_submission_set(tx, known.uuid).await?;
    for (document, (logical_id, associations)) in submission.documents.into_iter().zip(stored) {
        let replaces = |association: &&Association| association.kind == RelationKind::Replaces;
        let replaced = associations.iter().filter(replaces).map(|association| association.target).collect();
        let entry = first_version(logical_id, document.metadata, document.fingerprint, &outcome, associations);
        outcome.entries.push(DepositedEntry { entry, replaced });
    }
    let mentions = outcome.entries.iter().map(|deposited| EntryMention::of(&deposited.entry)).collect();
    Ok((attempt.event(Subject::of(known.dossier), Outcome::DoneBefore, mentions), Ok(outcome)))
}

/// Every unique id that some document bears already, in whichever record. Said to whoever asks, in the same words of a
/// document that is hidden, of another patient's and of one's own: a unique id is unique for ever (D.2), it carries no
/// meaning, and nobody knows it who has not held the document.
async fn find_taken(
    tx: &mut Tx<'_>,
    submission: &CheckedSubmission,
    known: Option<&Known>,
) -> Result<Vec<Refusal>, store::Error> {
    let mut refusals = Vec::new();
    let expected = "an id that no other document or submission bears; the same one only for the very same submission";
    let set_id = &submission.set.unique_id;
    if known.is_some_and(|known| known.unique_id == set_id.to_urn()) {
        let place = format!("{}.XDSSubmissionSet.uniqueId", submission.set_place);
        refusals.push(Refusal::new(Rule::DuplicateUniqueId, place, set_id.to_string(), expected));
    }
    for (index, document) in submission.documents.iter().enumerate() {
        let unique_id = &document.metadata.unique_id;
        // Nobody known: no document bears the first one's id, as has just been seen. A UUID may still be one of ours.
        if index == 0 && known.is_none() && matches!(unique_id, UniqueId::Oid(_)) {
            continue;
        }
        if document_entry::is_taken(tx, unique_id).await? {
            let place = format!("{}.uniqueId", document.place);
            refusals.push(Refusal::new(Rule::DuplicateUniqueId, place, unique_id.to_string(), expected));
        }
    }
    Ok(refusals)
}

/// What a new document relates to, and the labels that it gets besides its own.
#[derive(Default)]
struct Relations {
    associations: Vec<Association>,
    labels: BTreeSet<VisibilityLabel>,
}

impl Relations {
    fn add(&mut self, association: Association, target: &DocumentEntry) {
        // A transformation says what its source says.
        if matches!(association.kind, RelationKind::Replaces | RelationKind::Transforms) {
            self.labels.extend(inherited(target));
        }
        self.associations.push(association);
    }
}

/// What the patient hid stays hidden in a new version, whatever its sender knows of it. What is invisible to the
/// patient is so by its sender's word, who says it anew or does not.
fn inherited(target: &DocumentEntry) -> impl Iterator<Item = VisibilityLabel> {
    let labels = target.metadata.confidentiality.labels.iter().copied();
    labels.filter(|label| *label != VisibilityLabel::InvisiblePatient)
}

/// Finds what the new documents relate to, among what the depositor may see: a target that is hidden and one
/// that does not exist are refused alike.
async fn find_targets(
    tx: &mut Tx<'_>,
    permit: &Permit<Deposit>,
    submission: &CheckedSubmission,
) -> Result<(Vec<Relations>, Vec<Refusal>), store::Error> {
    let mut refusals = Vec::new();
    let mut all = Vec::new();
    let mut replaced = HashSet::new();
    for document in &submission.documents {
        let mut relations = Relations::default();
        for relation in &document.relations {
            match find_one(tx, permit, &entry_name(&relation.target)).await? {
                Some((target, _)) if may_relate(relation.kind, &target) => {
                    let association = Association { kind: relation.kind, target: target.logical_id };
                    let again = relations.associations.contains(&association);
                    if !again && relation.kind == RelationKind::Replaces && !replaced.insert(target.logical_id) {
                        refusals.push(bad_target(relation, "a document that another of this submission replaces"));
                    } else if !again {
                        relations.add(association, &target);
                    }
                }
                Some((target, _)) => refusals.push(bad_target(relation, target.availability_status.word())),
                None => refusals.push(bad_target(relation, "no such document")),
            }
        }
        all.push(relations);
    }
    Ok((all, refusals))
}

fn may_relate(kind: RelationKind, target: &DocumentEntry) -> bool {
    kind != RelationKind::Replaces || target.availability_status == AvailabilityStatus::Approved
}

fn bad_target(relation: &RelationDraft, found: &str) -> Refusal {
    let expected = "a document of this patient, in force, that you deposited or are an author of";
    Refusal::new(Rule::ReplaceTarget, relation.place.clone(), found, expected)
}

fn entry_name(target: &TargetName) -> EntryName {
    match target {
        TargetName::Logical(id) => EntryName::Logical(*id),
        TargetName::Entry(id) => EntryName::Entry(*id),
        TargetName::Unique(id) => EntryName::Unique(id.clone()),
    }
}

async fn insert(
    tx: &mut Tx<'_>,
    attempt: &Attempt,
    permit: &Permit<Deposit>,
    submission: CheckedSubmission,
    documents: Vec<Placed>,
    relations: Vec<Relations>,
) -> Result<Stored, store::Error> {
    let now = attempt.now;
    let set = submission.set;
    submission_set::insert(tx, permit, &set, &submission.digest, now);
    let mut outcome = DepositOutcome { submission_set: set.uuid, entries: Vec::new(), registered: now };
    let mut mentions = Vec::new();
    for ((document, placed), Relations { associations, labels }) in
        submission.documents.into_iter().zip(documents).zip(relations)
    {
        let is_invisible = document.metadata.confidentiality.has(VisibilityLabel::InvisiblePatient);
        let mut replaced = Vec::new();
        for association in &associations {
            let replaces = association.kind == RelationKind::Replaces;
            if replaces && document_entry::deprecate(tx, permit, association.target).await? {
                replaced.push(association.target);
                // The patient sees a version, and needs no advice to ask for it.
                if !is_invisible {
                    notice::cancel_advice(tx, permit.dossier(), association.target, now);
                }
            }
        }
        let entry = first_version(LogicalId::new(), document.metadata, placed.fingerprint(), &outcome, associations);
        document_entry::insert(tx, permit, &entry, &labels, placed)?;
        if is_invisible {
            attempt.advise_later(tx, permit.dossier(), entry.logical_id);
        }
        mentions.push(EntryMention::of(&entry));
        outcome.entries.push(DepositedEntry { entry, replaced });
    }
    let result = Outcome::Done { rule: permit.rule().code().to_owned() };
    Ok((attempt.event(Subject::of(permit.dossier()), result, mentions), Ok(outcome)))
}

/// First version of a document: its entryUUID is its logicalId (D.2).
fn first_version(
    logical_id: LogicalId,
    metadata: DocumentMetadata,
    fingerprint: Fingerprint,
    outcome: &DepositOutcome,
    associations: Vec<Association>,
) -> DocumentEntry {
    DocumentEntry {
        entry_uuid: EntryUuid(logical_id.0),
        logical_id,
        version: 1,
        submission_set: outcome.submission_set,
        availability_status: AvailabilityStatus::Approved,
        fingerprint,
        metadata,
        associations,
        registered: outcome.registered,
        updated: outcome.registered,
    }
}

fn refused(attempt: &Attempt, subject: Subject, refusals: Vec<Refusal>) -> Stored {
    (attempt.refused(subject, &refusals), Err(refusals))
}

fn denied(denial: Denial) -> Refusal {
    match denial.rule {
        RuleId::Closed => Refusal::new(Rule::DossierClosed, "patient", "a closed record", "an open record"),
        _ => Refusal::new(Rule::ModeRefused, "caller", "a mode that may not deposit", "direct or indirect mode"),
    }
}
