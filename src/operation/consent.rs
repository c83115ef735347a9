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
use crate::journal::event::{Action, Change, Event, Outcome, Subject};
use crate::refusal::{Failure, Refusal, Rule};
use crate::store::{self, Tx, consent, dossier};

impl Gateway {
    /// Writes a line of the list, or a label of a document; effective on the next request, on whichever gateway.
    pub async fn set_consent(
        &self,
        caller: &Caller,
        request: ConsentRequest,
    ) -> Result<Journaled<ConsentOutcome>, Failure> {
        let now = self.clock.now();
        let checked = caller.check_patient(&request.patient, "Consent.patient");
        let checked = checked.and_then(|()| check_period(&request, caller, now));
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

/// Somebody who helps does so until a day that was said (F.2); nothing ends before it begins. What lets in or keeps out
/// at somebody's word does so from that word on: a line that begins later would outlive what ends the others.
fn check_period(request: &ConsentRequest, caller: &Caller, now: Timestamp) -> Result<(), Refusal> {
    let ConsentProvision::List(kind) = &request.provision else { return Ok(()) };
    if request.state == ConsentState::Inactive {
        return Ok(());
    }
    let refused = |place: &str, found: &str, expected: &str| {
        Err(Refusal::new(Rule::ConsentForm, format!("Consent.provision.period.{place}"), found, expected))
    };
    let begins_later = request.since.is_some_and(|since| since > now);
    if begins_later && (matches!(kind, ConsentKind::Block(_)) || own_authorisation(caller).is_some()) {
        return refused("start", "a later start", "no start: a block and a professional's declaration hold at once");
    }
    let is_aidant = matches!(kind, ConsentKind::Delegation(Delegate { role: DelegateRole::Aidant, .. }));
    match request.until {
        None if is_aidant => refused("end", "nothing", "the day on which the delegation of an aidant ends"),
        Some(until) if until <= request.since.unwrap_or(now).max(now) => {
            refused("end", "an end that has come, or before the start", "a later end")
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
            let change = label::LabelChange { document, label, state: request.state };
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

    /// "Already present" (TD0.3): what the patient's list says is not the professional's to say otherwise.
    fn is_present(&self, line: &Consent, state: ConsentState) -> bool {
        state == ConsentState::Active && line.in_force(self.now) && own_authorisation(self.caller).is_some()
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

/// A line that says the same is changed, not doubled: a block set twice is one block. What is not there cannot end, and
/// what has ended stays so.
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
    let open = |line: &&Consent| line.kind == kind && !line.has_ended(now);
    let known = match request.id {
        Some(id) => dossier.consents.iter().find(|line| line.id == id && line.kind == kind),
        None => dossier.consents.iter().find(open),
    };
    let line = match (known, request.state) {
        (None, _) if request.id.is_some() => return Ok((attempt.not_found(subject), Err(not_found()))),
        (None, ConsentState::Inactive) => return Ok((attempt.not_found(subject), Err(not_found()))),
        (Some(line), ConsentState::Active) if line.has_ended(now) => {
            let expected = "inactive: a line that has ended stays so; a new one may be made";
            let refusal = Refusal::new(Rule::ConsentForm, "Consent.status", "active", expected);
            let event = attempt.refused(subject, std::slice::from_ref(&refusal));
            return Ok((event, Err(Failure::Journaled(vec![refusal]))));
        }
        (Some(line), _) if line.has_ended(now) || asked.is_present(line, request.state) => {
            let event = attempt.event(subject, Outcome::DoneBefore, Vec::new()).changing(Change::of_line(line));
            return Ok((event, Ok(ConsentOutcome::List { patient: request.patient, consent: line.clone() })));
        }
        (Some(line), ConsentState::Inactive) => {
            // Whichever was asked for, no other of the kind goes on in its place.
            for other in dossier.consents.iter().filter(open).filter(|other| other.id != line.id) {
                consent::upsert(tx, dossier.id, &Consent { until: Some(now), ..other.clone() }).await?;
            }
            Consent { until: Some(now), ..line.clone() }
        }
        (Some(line), ConsentState::Active) => {
            let since = if line.since <= now { line.since } else { request.since.unwrap_or(line.since).max(now) };
            Consent { since, until: request.until, declared_by: asked.declared_by(), ..line.clone() }
        }
        (None, ConsentState::Active) => {
            let since = request.since.map_or(now, |since| since.max(now));
            let declared_by = asked.declared_by();
            Consent { id: ConsentId::new(), kind: kind.clone(), since, until: request.until, declared_by }
        }
    };
    if matches!(kind, ConsentKind::Block(_)) && request.state == ConsentState::Active {
        end_authorisation_of_blocked(tx, dossier, &kind, now).await?;
    }
    consent::upsert(tx, dossier.id, &line).await?;
    consent::forget_ended(tx, dossier.id, &line.kind, now).await?;
    let event = attempt.event(subject, Outcome::Done { rule: rule.to_owned() }, Vec::new());
    let event = event.changing(Change::of_line(&line));
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
    for line in dossier.consents.iter().filter(|line| ends(&line.kind) && !line.has_ended(now)) {
        consent::upsert(tx, dossier.id, &Consent { until: Some(now), ..line.clone() }).await?;
    }
    Ok(())
}
