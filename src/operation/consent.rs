//! The patient's list: TD0.3 by a professional, everything else by the patient's own act. Source: F.1, F.2.

use std::sync::Arc;

use jiff::Timestamp;

use super::frame::{Attempt, access_denied, not_found};
use super::gateway::Gateway;
use super::outcome::{ConsentOutcome, ConsentProvision, ConsentRequest, ConsentState, Journaled};
use crate::access::decide::{DeclareAuthorisation, Denial, Permit, RemoveAuthorisation, RuleId, SetList, decide};
use crate::access::matrices::Matrices;
use crate::domain::confidentiality::VisibilityLabel;
use crate::domain::consent::{Consent, ConsentKind, DeclaredBy, Grantee};
use crate::domain::dossier::Dossier;
use crate::domain::ids::{ConsentId, LogicalId};
use crate::domain::ins::Ins;
use crate::domain::national_id::PsIdNat;
use crate::identity::caller::Caller;
use crate::journal::chain::record;
use crate::journal::event::{Action, EntryMention, Event, Outcome, Subject};
use crate::refusal::{Failure, Refusal, Rule};
use crate::store::search::{EntryName, find_by_owner};
use crate::store::{self, Tx, consent, document_entry, dossier};

impl Gateway {
    /// Writes a line of the list, or masks or unmasks a document; effective on the next request.
    pub async fn set_consent(
        &self,
        caller: &Caller,
        request: ConsentRequest,
    ) -> Result<Journaled<ConsentOutcome>, Failure> {
        if let Err(refusal) = caller.check_patient(&request.patient, "Consent.patient") {
            return Err(self.turn_away(caller, refusal.into()).await);
        }
        let attempt = self.attempt(caller, Action::SetConsent);
        let (matrices, asking) = (Arc::clone(&self.matrices), caller.clone());
        let write = self.store.write("set_consent", move |tx| {
            Box::pin(async move {
                let (event, outcome) = set(tx, &attempt, &matrices, &asking, request).await?;
                record(tx, &event)?;
                Ok(outcome)
            })
        });
        write.await.map_err(Failure::from)?.map(Journaled::new)
    }

    /// Lines of a patient's list: a professional sees those that name them, the portal and the operator all, and
    /// the masked documents. Blocks are the patient's: a professional is never shown one.
    pub async fn list_consents(
        &self,
        caller: &Caller,
        patient: &Ins,
    ) -> Result<Journaled<Vec<ConsentOutcome>>, Failure> {
        if let Err(refusal) = caller.check_patient(patient, "patient.identifier") {
            return Err(self.turn_away(caller, refusal.into()).await);
        }
        let (asking, patient) = (caller.clone(), patient.clone());
        let read = self.store.read("list_consents", move |tx| {
            Box::pin(async move {
                match dossier::find_by_ins(tx, &patient).await? {
                    Some(dossier) => visible_lines(tx, &asking, dossier, patient).await.map(Some),
                    None => Ok(None),
                }
            })
        });
        let found = read.await.map_err(Failure::from)?;
        self.write_list_line(caller, found.as_ref().map(|(subject, _)| subject)).await?;
        Ok(Journaled::new(found.map_or_else(Vec::new, |(_, lines)| lines)))
    }

    /// One line by its id; a mask bears the id of its document. Absent and not for this caller: `Rule::NotFound`.
    pub async fn read_consent(&self, caller: &Caller, id: ConsentId) -> Result<Journaled<ConsentOutcome>, Failure> {
        let asking = caller.clone();
        let read = self.store.read("read_consent", move |tx| {
            Box::pin(async move {
                let Some(dossier) = dossier::find_by_consent(tx, id).await? else { return Ok(None) };
                let about = asking.token().and_then(|token| token.statement.patient.as_ref());
                if about.is_some_and(|ins| !dossier.ins.contains(ins)) {
                    return Ok(None);
                }
                let Some(patient) = dossier.ins.first().cloned() else { return Ok(None) };
                visible_lines(tx, &asking, dossier, patient).await.map(Some)
            })
        });
        let found = read.await.map_err(Failure::from)?;
        let line = found.and_then(|(subject, lines)| {
            let line = lines.into_iter().find(|line| line.id() == id)?;
            Some((subject, line))
        });
        self.write_list_line(caller, line.as_ref().map(|(subject, _)| subject)).await?;
        line.map(|(_, outcome)| Journaled::new(outcome)).ok_or_else(not_found)
    }

    async fn write_list_line(&self, caller: &Caller, subject: Option<&Subject>) -> Result<(), Failure> {
        let attempt = self.attempt(caller, Action::ListConsents);
        let event = match subject {
            Some(subject) => attempt.event(subject.clone(), done("F.1 TD1.6"), Vec::new()),
            None => attempt.not_found(Subject::Unknown),
        };
        self.write_line(event).await
    }
}

/// What of the list the caller may see.
async fn visible_lines(
    tx: &mut Tx<'_>,
    caller: &Caller,
    dossier: Dossier,
    patient: Ins,
) -> Result<(Subject, Vec<ConsentOutcome>), store::Error> {
    let masked = match caller {
        Caller::PatientPortal(_) | Caller::Operator => document_entry::list_masked(tx, dossier.id).await?,
        Caller::Direct(..) | Caller::Air(..) | Caller::Employee(..) | Caller::Indirect(..) => Vec::new(),
    };
    let subject = Subject::of(dossier.id);
    let lines = dossier.consents.into_iter().filter(|line| may_see(caller, line));
    let lines = lines.map(|consent| ConsentOutcome::List { patient: patient.clone(), consent });
    let masks = masked.into_iter().map(|document| ConsentOutcome::Mask {
        patient: patient.clone(),
        document,
        state: ConsentState::Active,
    });
    Ok((subject, lines.chain(masks).collect()))
}

type Set = (Event, Result<ConsentOutcome, Failure>);

async fn set(
    tx: &mut Tx<'_>,
    attempt: &Attempt,
    matrices: &Matrices,
    caller: &Caller,
    request: ConsentRequest,
) -> Result<Set, store::Error> {
    let Some(dossier) = dossier::find_by_ins(tx, &request.patient).await? else {
        return Ok((attempt.not_found(Subject::Unknown), Err(access_denied())));
    };
    if let Some((own, professional)) = own_authorisation(caller) {
        if request.provision != ConsentProvision::List(ConsentKind::Authorisation(own)) {
            let refusal = Refusal::new(
                Rule::ModeRefused,
                "Consent.provision",
                "something else than the caller's own authorisation",
                "a professional declares their own authorisation (TD0.3); the rest of the list is the patient's",
            );
            let event = attempt.refused(Subject::of(dossier.id), std::slice::from_ref(&refusal));
            return Ok((event, Err(Failure::Journaled(vec![refusal]))));
        }
        return match declare(matrices, caller, &dossier, request.state, attempt.now) {
            Ok(rule) => {
                let declared_by = DeclaredBy::Professional(professional);
                write_line(tx, attempt, &dossier, request, declared_by, rule.code()).await
            }
            Err(denial) => Ok(denied(attempt, &dossier, denial)),
        };
    }
    match decide::<SetList>(matrices, caller, &dossier, attempt.now) {
        Ok(permit) => match request.provision {
            ConsentProvision::Mask(document) => {
                mask(tx, attempt, &permit, request.patient, document, request.state).await
            }
            ConsentProvision::List(_) => {
                write_line(tx, attempt, &dossier, request, DeclaredBy::Patient, permit.rule().code()).await
            }
        },
        Err(denial) => Ok(denied(attempt, &dossier, denial)),
    }
}

/// TD0.3: declaring an authorisation and ending it are rows of their own (F.1).
fn declare(
    matrices: &Matrices,
    caller: &Caller,
    dossier: &Dossier,
    state: ConsentState,
    now: Timestamp,
) -> Result<RuleId, Denial> {
    match state {
        ConsentState::Active => {
            decide::<DeclareAuthorisation>(matrices, caller, dossier, now).map(|permit| permit.rule())
        }
        ConsentState::Inactive => {
            decide::<RemoveAuthorisation>(matrices, caller, dossier, now).map(|permit| permit.rule())
        }
    }
}

/// Whom a caller may declare authorised, and who declares it: professionals themselves, an employee their structure.
fn own_authorisation(caller: &Caller) -> Option<(Grantee, PsIdNat)> {
    match caller {
        Caller::Employee(employee, ..) => {
            Some((Grantee::Structure(employee.structure.id.clone()), employee.id.clone()))
        }
        other => other.professional_id().map(|id| (Grantee::Professional(id.clone()), id.clone())),
    }
}

/// A line that says the same is changed, not doubled: a block set twice is one block.
async fn write_line(
    tx: &mut Tx<'_>,
    attempt: &Attempt,
    dossier: &Dossier,
    request: ConsentRequest,
    declared_by: DeclaredBy,
    rule: &str,
) -> Result<Set, store::Error> {
    let ConsentProvision::List(kind) = request.provision else {
        return Ok((attempt.not_found(Subject::of(dossier.id)), Err(not_found())));
    };
    let now = attempt.now;
    let known = match request.id {
        Some(id) => dossier.consents.iter().find(|line| line.id == id && line.kind == kind),
        None => dossier.consents.iter().find(|line| line.kind == kind && line.in_force(now)),
    };
    if request.id.is_some() && known.is_none() {
        return Ok((attempt.not_found(Subject::of(dossier.id)), Err(not_found())));
    }
    let id = known.map_or_else(ConsentId::new, |line| line.id);
    let since = request.since.unwrap_or_else(|| known.map_or(now, |line| line.since));
    let until = match request.state {
        ConsentState::Active => request.until,
        ConsentState::Inactive => Some(request.until.map_or(now, |until| until.min(now))),
    };
    if matches!(kind, ConsentKind::Block(_)) && request.state == ConsentState::Active {
        end_authorisation_of_blocked(tx, dossier, &kind, now).await?;
    }
    let line = Consent { id, kind, since, until, declared_by };
    consent::upsert(tx, dossier.id, &line).await?;
    let event = attempt.event(Subject::of(dossier.id), done(rule), Vec::new());
    Ok((event, Ok(ConsentOutcome::List { patient: request.patient, consent: line })))
}

/// Unblocking does not bring an authorisation back (T-19), so a block ends it for good.
async fn end_authorisation_of_blocked(
    tx: &mut Tx<'_>,
    dossier: &Dossier,
    block: &ConsentKind,
    now: Timestamp,
) -> Result<(), store::Error> {
    let ConsentKind::Block(blocked) = block else { return Ok(()) };
    let ends = |kind: &ConsentKind| match kind {
        ConsentKind::Authorisation(Grantee::Professional(ps)) | ConsentKind::MedecinTraitant(ps) => ps == blocked,
        _ => false,
    };
    for line in dossier.consents.iter().filter(|line| ends(&line.kind) && line.in_force(now)) {
        consent::upsert(tx, dossier.id, &Consent { until: Some(now), ..line.clone() }).await?;
    }
    Ok(())
}

async fn mask(
    tx: &mut Tx<'_>,
    attempt: &Attempt,
    permit: &Permit<SetList>,
    patient: Ins,
    document: LogicalId,
    state: ConsentState,
) -> Result<Set, store::Error> {
    let subject = Subject::of(permit.dossier());
    let present = state == ConsentState::Active;
    if !document_entry::set_label(tx, permit, document, VisibilityLabel::MasquePs, present, attempt.now).await? {
        return Ok((attempt.not_found(subject), Err(not_found())));
    }
    let entry = find_by_owner(tx, permit, &EntryName::Logical(document)).await?;
    let mentions = entry.iter().map(EntryMention::of).collect();
    let event = attempt.event(subject, done(permit.rule().code()), mentions);
    Ok((event, Ok(ConsentOutcome::Mask { patient, document, state })))
}

fn denied(attempt: &Attempt, dossier: &Dossier, denial: Denial) -> Set {
    (attempt.denied(dossier.id, denial), Err(access_denied()))
}

fn done(rule: &str) -> Outcome {
    Outcome::Done { rule: rule.to_owned() }
}

fn may_see(caller: &Caller, line: &Consent) -> bool {
    match caller {
        Caller::PatientPortal(_) | Caller::Operator => true,
        Caller::Employee(..) | Caller::Indirect(..) => matches!(&line.kind,
            ConsentKind::Authorisation(Grantee::Structure(named)) if Some(named) == caller.structure_id()),
        Caller::Direct(..) | Caller::Air(..) => match &line.kind {
            ConsentKind::Authorisation(Grantee::Professional(ps)) | ConsentKind::MedecinTraitant(ps) => {
                Some(ps) == caller.professional_id()
            }
            _ => false,
        },
    }
}
