//! TD1.6: whom the patient authorised, blocked and named, and what they hid; each sees of it what they may.

use std::sync::Arc;

use jiff::Timestamp;

use super::beat::Shows;
use super::frame::{Attempt, not_found};
use super::gateway::Gateway;
use super::outcome::{ConsentOutcome, ConsentState, Journaled, documents_of};
use crate::access::decide::{Denial, ListAuthorisations, Mask, RuleId, decide};
use crate::access::matrices::Matrices;
use crate::access::visibility::Visibility;
use crate::domain::consent::{Consent, ConsentKind, Grantee};
use crate::domain::dossier::Dossier;
use crate::domain::ids::{ConsentId, DossierId};
use crate::domain::ins::Ins;
use crate::identity::caller::Caller;
use crate::journal::event::{Action, Event, Outcome, Subject};
use crate::refusal::Failure;
use crate::store::{self, Tx, dossier, label};

impl Gateway {
    /// Lines of a patient's list. The portal and the operator see all, and the labels of documents; a professional whom
    /// the patient lets in sees who else is in, and who is not (TD1.6); whoever is not, their own lines.
    pub async fn list_consents(
        &self,
        caller: &Caller,
        patient: &Ins,
    ) -> Result<Journaled<Vec<ConsentOutcome>>, Failure> {
        if let Err(refusal) = caller.check_patient(patient, "patient.identifier") {
            return Err(self.turn_away(caller, refusal.into()).await);
        }
        let attempt = self.attempt(caller, Action::ListConsents);
        let (matrices, asking, patient, now) =
            (Arc::clone(&self.matrices), caller.clone(), patient.clone(), attempt.now);
        let read = self.store.read("list_consents", move |tx| {
            Box::pin(async move {
                match dossier::find_by_ins(tx, &patient).await? {
                    Some(dossier) => Shown::of(tx, &matrices, &asking, dossier, patient, now).await.map(Some),
                    None => Ok(None),
                }
            })
        });
        let shown = read.await.map_err(Failure::from)?;
        self.write_line(event(&attempt, shown.as_ref())).await?;
        let lines = shown.map_or_else(Vec::new, |shown| shown.lines);
        self.keep_beat(&attempt, Shows::of(&lines)).await;
        Ok(Journaled::new(lines))
    }

    /// One line by its id; a label bears an id made of its document's. Absent and not for this caller: `Rule::NotFound`.
    pub async fn read_consent(&self, caller: &Caller, id: ConsentId) -> Result<Journaled<ConsentOutcome>, Failure> {
        let attempt = self.attempt(caller, Action::ListConsents);
        let (matrices, asking, now) = (Arc::clone(&self.matrices), caller.clone(), attempt.now);
        let read = self.store.read("read_consent", move |tx| {
            Box::pin(async move {
                let found = dossier::find_by_consent(tx, id, &documents_of(id)).await?;
                let found = found.and_then(|dossier| Some((dossier.ins.first()?.clone(), dossier)));
                let Some((patient, dossier)) = found else {
                    return ask_in_vain(tx, &asking, now).await.map(|()| None);
                };
                Shown::of(tx, &matrices, &asking, dossier, patient, now).await.map(Some)
            })
        });
        let mut shown = read.await.map_err(Failure::from)?;
        let line = shown.as_mut().and_then(|shown| {
            let place = shown.lines.iter().position(|line| line.id() == id)?;
            Some(shown.lines.swap_remove(place))
        });
        let event = match (&line, &shown) {
            (Some(_), shown) => event(&attempt, shown.as_ref()),
            (None, Some(Shown { dossier, decided: Err(denial), .. })) => attempt.denied_by_id(*dossier, *denial),
            (None, Some(shown)) => attempt.not_found(Subject::of(shown.dossier)),
            (None, None) => attempt.not_found(Subject::Unknown),
        };
        self.write_line(event).await?;
        if line.is_none() {
            self.keep_beat(&attempt, Shows::Nothing).await;
        }
        line.map(Journaled::new).ok_or_else(not_found)
    }
}

/// What of a list its reader sees, and by which rule.
struct Shown {
    dossier: DossierId,
    decided: Result<RuleId, Denial>,
    lines: Vec<ConsentOutcome>,
}

impl Shown {
    async fn of(
        tx: &mut Tx<'_>,
        matrices: &Matrices,
        caller: &Caller,
        dossier: Dossier,
        patient: Ins,
        now: Timestamp,
    ) -> Result<Self, store::Error> {
        let decided = decide::<ListAuthorisations>(matrices, caller, &dossier, now).map(|permit| permit.rule());
        let labels = match decide::<Mask>(matrices, caller, &dossier, now) {
            Ok(permit) if acts_for_the_patient(caller) => label::list(tx, &permit).await?,
            _ => {
                ask_in_vain(tx, caller, now).await?;
                Vec::new()
            }
        };
        let sees = |line: &Consent| match decided {
            Ok(rule) if rule.hides_secrets() => !line.is_secret,
            Ok(_) if acts_for_the_patient(caller) => true,
            Ok(_) => is_own(caller, line) || (line.in_force(now) && names_somebody_of_care(line)),
            Err(Denial { rule: RuleId::Closed | RuleId::OtherPatient | RuleId::NoDelegation }) => false,
            Err(_) => is_own(caller, line),
        };
        let id = dossier.id;
        let lines = dossier.consents.into_iter().filter(sees);
        let lines = lines.map(|consent| ConsentOutcome::List { patient: patient.clone(), consent });
        let labels = labels.into_iter().map(|(document, label)| ConsentOutcome::Label {
            patient: patient.clone(),
            document,
            label,
            state: ConsentState::Active,
        });
        Ok(Self { dossier: id, decided, lines: lines.chain(labels).collect() })
    }
}

/// Where there is no record, or none for this caller, the question after labels is asked all the same.
async fn ask_in_vain(tx: &mut Tx<'_>, caller: &Caller, now: Timestamp) -> Result<(), store::Error> {
    if acts_for_the_patient(caller) {
        label::list_nothing(tx, &Visibility::nothing(caller.id(), now)).await?;
    }
    Ok(())
}

/// A denial that leaves one's own lines is told as what it is; so is one that leaves none.
fn event(attempt: &Attempt, shown: Option<&Shown>) -> Event {
    let Some(shown) = shown else { return attempt.not_found(Subject::Unknown) };
    match shown.decided {
        Ok(rule) => {
            let result = Outcome::Done { rule: rule.code().to_owned() };
            attempt.event(Subject::of(shown.dossier), result, Vec::new())
        }
        Err(_) if !shown.lines.is_empty() => {
            let result = Outcome::Done { rule: OWN_LINES.to_owned() };
            attempt.event(Subject::of(shown.dossier), result, Vec::new())
        }
        Err(denial) => attempt.denied(shown.dossier, denial),
    }
}

fn acts_for_the_patient(caller: &Caller) -> bool {
    matches!(caller, Caller::PatientPortal(..) | Caller::Operator)
}

fn names_somebody_of_care(line: &Consent) -> bool {
    matches!(&line.kind, ConsentKind::Authorisation(_) | ConsentKind::Block(_) | ConsentKind::MedecinTraitant(_))
}

/// Blocks are the patient's: nobody is shown the one that names them but by a right to the whole list.
fn is_own(caller: &Caller, line: &Consent) -> bool {
    match &line.kind {
        ConsentKind::Authorisation(Grantee::Structure(named)) => match caller {
            Caller::Employee(..) | Caller::Indirect(..) => Some(named) == caller.structure_id(),
            _ => false,
        },
        ConsentKind::Authorisation(Grantee::Professional(ps)) | ConsentKind::MedecinTraitant(ps) => {
            Some(ps) == caller.professional_id()
        }
        _ => false,
    }
}

const OWN_LINES: &str = "F.2 own lines";
