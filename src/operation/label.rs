//! Labels of one document: masked to professionals, invisible to the patient or to legal representatives. TD3.3a,
//! TD3.3b. Source: F.1, F.2 (R1111-49, -50, -53).

use super::consent::Set;
use super::frame::{Attempt, access_denied, not_found};
use super::outcome::{ConsentOutcome, ConsentRequest, ConsentState, label_id};
use crate::access::decide::{
    Act, ConcealFromPatient, ConcealFromRepresentatives, Mask, RevealToPatient, RevealToRepresentatives, Unmask, decide,
};
use crate::access::matrices::Matrices;
use crate::domain::confidentiality::VisibilityLabel;
use crate::domain::dossier::Dossier;
use crate::domain::ids::LogicalId;
use crate::identity::caller::Caller;
use crate::journal::event::{Change as JournalChange, EntryMention, Outcome, Subject};
use crate::notice;
use crate::refusal::{Failure, Refusal, Rule};
use crate::store::search::{EntryName, find_one};
use crate::store::{self, Tx, label};

/// A label to be put on a document, or taken away.
#[derive(Clone, Copy)]
pub(super) struct LabelChange {
    pub(super) document: LogicalId,
    pub(super) label: VisibilityLabel,
    pub(super) state: ConsentState,
}

pub(super) async fn set(
    tx: &mut Tx<'_>,
    attempt: &Attempt,
    matrices: &Matrices,
    caller: &Caller,
    dossier: &Dossier,
    request: &ConsentRequest,
    change: LabelChange,
) -> Result<Set, store::Error> {
    let asked = Asked { attempt, matrices, caller, dossier, request, change };
    match (change.label, change.state) {
        (VisibilityLabel::MasquePs, ConsentState::Active) => asked.apply::<Mask>(tx).await,
        (VisibilityLabel::MasquePs, ConsentState::Inactive) => asked.apply::<Unmask>(tx).await,
        (VisibilityLabel::InvisiblePatient, ConsentState::Active) => asked.apply::<ConcealFromPatient>(tx).await,
        (VisibilityLabel::InvisiblePatient, ConsentState::Inactive) => asked.apply::<RevealToPatient>(tx).await,
        (VisibilityLabel::InvisibleRepresentantsLegaux, ConsentState::Active) => {
            asked.apply::<ConcealFromRepresentatives>(tx).await
        }
        (VisibilityLabel::InvisibleRepresentantsLegaux, ConsentState::Inactive) => {
            asked.apply::<RevealToRepresentatives>(tx).await
        }
    }
}

struct Asked<'a> {
    attempt: &'a Attempt,
    matrices: &'a Matrices,
    caller: &'a Caller,
    dossier: &'a Dossier,
    request: &'a ConsentRequest,
    change: LabelChange,
}

impl Asked<'_> {
    /// Changes the label of a document that the permit shows; one that it hides is absent.
    async fn apply<A: Act>(&self, tx: &mut Tx<'_>) -> Result<Set, store::Error> {
        let Self { attempt, change: LabelChange { document, label, state }, .. } = *self;
        let permit = match decide::<A>(self.matrices, self.caller, self.dossier, attempt.now) {
            Ok(permit) => permit,
            Err(denial) => return Ok((attempt.denied(self.dossier.id, denial), Err(access_denied()))),
        };
        let subject = Subject::of(permit.dossier());
        let is_named = self.request.id.is_none_or(|id| id == label_id(document, label));
        let found = if is_named { find_one(tx, &permit, &EntryName::Logical(document)).await? } else { None };
        let Some((entry, _)) = found else { return Ok((attempt.not_found(subject), Err(not_found()))) };
        match state {
            ConsentState::Active => {
                let conceals = label == VisibilityLabel::InvisiblePatient;
                if conceals && label::is_shown_to_patient(tx, document, attempt.now).await? {
                    let refusal = shown_already();
                    let event = attempt.refused(subject, std::slice::from_ref(&refusal));
                    return Ok((event, Err(Failure::Journaled(vec![refusal]))));
                }
                label::put(tx, &permit, document, label, attempt.now).await?;
                if conceals {
                    attempt.advise_later(tx, permit.dossier(), document);
                }
            }
            ConsentState::Inactive => {
                label::take(tx, &permit, document, label, attempt.now).await?;
                if label == VisibilityLabel::InvisiblePatient {
                    notice::cancel_advice(tx, permit.dossier(), document, attempt.now);
                }
            }
        }
        let result = Outcome::Done { rule: permit.rule().code().to_owned() };
        let event = attempt.event(subject, result, vec![EntryMention::of(&entry)]);
        let event = event.changing(JournalChange::Label { label: label.code().to_owned(), present: is_active(state) });
        Ok((event, Ok(ConsentOutcome::Label { patient: self.request.patient.clone(), document, label, state })))
    }
}

fn is_active(state: ConsentState) -> bool {
    state == ConsentState::Active
}

fn shown_already() -> Refusal {
    let expected = "a document that was never shown to the patient, nor could have been";
    Refusal::new(Rule::ShownToPatient, "Consent.provision.securityLabel", "INVISIBLE_PATIENT", expected)
}
