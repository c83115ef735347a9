//! The patient's list: TD0.3 by a professional, everything else by the act of the patient or of who acts for them.
//! Source: F.1, F.2.

use std::sync::Arc;

use jiff::Timestamp;

use super::frame::{Attempt, access_denied, not_found};
use super::gateway::Gateway;
use super::label;
use super::outcome::{ConsentOutcome, ConsentProvision, ConsentRequest, ConsentState, Journaled};
use crate::access::decide::{
    DeclareAuthorisation, Denial, LeaveAsMedecinTraitant, NameAidant, NameRepresentative, RemoveAuthorisation, RuleId,
    SetList, decide,
};
use crate::access::matrices::Matrices;
use crate::domain::consent::{Consent, ConsentKind, DeclaredBy, Delegate, DelegateRole, Grantee};
use crate::domain::dossier::Dossier;
use crate::domain::ids::ConsentId;
use crate::domain::national_id::PsIdNat;
use crate::identity::caller::Caller;
use crate::journal::chain::record;
use crate::journal::event::{Action, Event, Outcome, Subject};
use crate::refusal::{Failure, Refusal, Rule};
use crate::store::{self, Tx, consent, dossier};

impl Gateway {
    /// Writes a line of the list, or a label of a document; effective on the next request, on whichever gateway.
    pub async fn set_consent(
        &self,
        caller: &Caller,
        request: ConsentRequest,
    ) -> Result<Journaled<ConsentOutcome>, Failure> {
        let checked = caller.check_patient(&request.patient, "Consent.patient").and_then(|()| check_period(&request));
        if let Err(refusal) = checked {
            return Err(self.turn_away(caller, refusal.into()).await);
        }
        let action = match request.provision {
            ConsentProvision::List(_) => Action::SetConsent,
            ConsentProvision::Label { .. } => Action::SetLabel,
        };
        let attempt = self.attempt(caller, action);
        let (matrices, asking, writing) = (Arc::clone(&self.matrices), caller.clone(), attempt.clone());
        let write = self.store.write("set_consent", move |tx| {
            Box::pin(async move {
                let (event, outcome) = set(tx, &writing, &matrices, &asking, request).await?;
                record(tx, &event)?;
                Ok(outcome)
            })
        });
        let written = write.await.map_err(Failure::from)?;
        if written.is_err() {
            self.keep_beat(&attempt).await;
        }
        written.map(Journaled::new)
    }
}

/// Somebody who helps does so until a day that was said (F.2); nothing ends before it begins.
fn check_period(request: &ConsentRequest) -> Result<(), Refusal> {
    const PLACE: &str = "Consent.provision.period.end";
    let is_aidant = matches!(
        &request.provision,
        ConsentProvision::List(ConsentKind::Delegation(Delegate { role: DelegateRole::Aidant, .. }))
    );
    match (request.since, request.until) {
        (Some(since), Some(until)) if until <= since => {
            Err(Refusal::new(Rule::ConsentForm, PLACE, "an end before the start", "an end after the start"))
        }
        (_, None) if is_aidant && request.state == ConsentState::Active => {
            Err(Refusal::new(Rule::ConsentForm, PLACE, "nothing", "the day on which the delegation of an aidant ends"))
        }
        _ => Ok(()),
    }
}

/// What a write became: its journal line, and its answer.
pub(super) type Set = (Event, Result<ConsentOutcome, Failure>);

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
    let kind = match request.provision {
        ConsentProvision::Label { document, label } => {
            let change = label::Change { document, label, state: request.state };
            return label::set(tx, attempt, matrices, caller, &dossier, &request, change).await;
        }
        ConsentProvision::List(ref kind) => kind.clone(),
    };
    let asked = Asked { matrices, caller, dossier: &dossier, now: attempt.now };
    match asked.may_write(&kind, request.state) {
        Ok(Ok(rule)) => write_line(tx, attempt, &asked, request, kind, rule.code()).await,
        Ok(Err(denial)) => Ok((attempt.denied(dossier.id, denial), Err(access_denied()))),
        Err(refusal) => {
            let event = attempt.refused(Subject::of(dossier.id), std::slice::from_ref(&refusal));
            Ok((event, Err(Failure::Journaled(vec![refusal]))))
        }
    }
}

/// Who wants to write on which list.
struct Asked<'a> {
    matrices: &'a Matrices,
    caller: &'a Caller,
    dossier: &'a Dossier,
    now: Timestamp,
}

impl Asked<'_> {
    /// Whether the caller may write a line of that kind. Errors: a line that is not theirs to write at all.
    fn may_write(&self, kind: &ConsentKind, state: ConsentState) -> Result<Result<RuleId, Denial>, Refusal> {
        let Some((own, professional)) = own_authorisation(self.caller) else { return Ok(self.may_set(kind)) };
        match (kind, state) {
            (ConsentKind::Authorisation(grantee), ConsentState::Active) if *grantee == own => {
                Ok(self.decided::<DeclareAuthorisation>())
            }
            (ConsentKind::Authorisation(grantee), ConsentState::Inactive) if *grantee == own => {
                Ok(self.decided::<RemoveAuthorisation>())
            }
            (ConsentKind::MedecinTraitant(named), ConsentState::Inactive) if *named == professional => {
                Ok(self.decided::<LeaveAsMedecinTraitant>())
            }
            _ => Err(Refusal::new(
                Rule::ModeRefused,
                "Consent.provision",
                "something else than the caller's own authorisation",
                "a professional declares or ends their own authorisation, or ends being médecin traitant (TD0.3); the \
                 rest of the list is the patient's",
            )),
        }
    }

    /// The patient's own act, or that of who acts for them.
    fn may_set(&self, kind: &ConsentKind) -> Result<RuleId, Denial> {
        match kind {
            ConsentKind::Delegation(Delegate { role: DelegateRole::LegalRepresentative, .. }) => {
                self.decided::<NameRepresentative>()
            }
            ConsentKind::Delegation(Delegate { role: DelegateRole::Aidant, .. }) => self.decided::<NameAidant>(),
            _ => self.decided::<SetList>(),
        }
    }

    fn decided<A: crate::access::decide::Act>(&self) -> Result<RuleId, Denial> {
        decide::<A>(self.matrices, self.caller, self.dossier, self.now).map(|permit| permit.rule())
    }

    fn declared_by(&self) -> DeclaredBy {
        match own_authorisation(self.caller) {
            Some((_, id)) => DeclaredBy::Professional { id, structure: self.caller.structure_id().cloned() },
            None => DeclaredBy::Patient,
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

/// A line that says the same is changed, not doubled: a block set twice is one block. What is not there cannot end.
async fn write_line(
    tx: &mut Tx<'_>,
    attempt: &Attempt,
    asked: &Asked<'_>,
    request: ConsentRequest,
    kind: ConsentKind,
    rule: &str,
) -> Result<Set, store::Error> {
    let (dossier, now) = (asked.dossier, attempt.now);
    let subject = Subject::of(dossier.id);
    let known = match request.id {
        Some(id) => dossier.consents.iter().find(|line| line.id == id && line.kind == kind),
        None => dossier.consents.iter().find(|line| line.kind == kind && line.in_force(now)),
    };
    if known.is_none() && (request.id.is_some() || request.state == ConsentState::Inactive) {
        return Ok((attempt.not_found(subject), Err(not_found())));
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
    let line = Consent { id, kind, since, until, declared_by: asked.declared_by() };
    consent::upsert(tx, dossier.id, &line).await?;
    let event = attempt.event(subject, Outcome::Done { rule: rule.to_owned() }, Vec::new());
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
