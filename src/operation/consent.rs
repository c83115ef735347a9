//! The patient's list: TD0.3 by a professional, everything else by the act of the patient or of who acts for them.
//! Source: F.1, F.2.

use std::sync::Arc;

use jiff::Timestamp;

use super::beat::Shows;
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
use crate::notice;
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
            self.keep_beat(&attempt, Shows::Nothing).await;
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
    let found = dossier::find_by_ins(tx, &request.patient).await?;
    // Refused whether there is a record or not; where there is one, its holder reads of it.
    let wanted = match Wanted::of(caller, &request) {
        Ok(wanted) => wanted,
        Err(refusal) => {
            let subject = found.map_or(Subject::Unknown, |dossier| Subject::of(dossier.id));
            let event = attempt.refused(subject, std::slice::from_ref(&refusal));
            return Ok((event, Err(Failure::Journaled(vec![refusal]))));
        }
    };
    let Some(dossier) = found else {
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
    match asked.may(wanted, &kind) {
        Ok(rule) => write_line(tx, attempt, &asked, request, &kind, rule).await,
        Err(denial) => Ok((attempt.denied(dossier.id, denial), Err(access_denied()))),
    }
}

/// What somebody wants by a line or a label, as far as their mode can want it at all.
#[derive(Clone, Copy)]
enum Wanted {
    /// TD0.3: a professional's own.
    Declare,
    Remove,
    LeaveAsMedecinTraitant,
    /// The patient's own act, or that of who acts for them; a label is whoever's may set it.
    Other,
}

impl Wanted {
    /// Errors: a line that is not theirs to write at all.
    fn of(caller: &Caller, request: &ConsentRequest) -> Result<Self, Refusal> {
        let (ConsentProvision::List(kind), Some((own, professional))) = (&request.provision, own_authorisation(caller))
        else {
            return Ok(Self::Other);
        };
        match (kind, request.state) {
            (ConsentKind::Authorisation(grantee), ConsentState::Active) if *grantee == own => Ok(Self::Declare),
            (ConsentKind::Authorisation(grantee), ConsentState::Inactive) if *grantee == own => Ok(Self::Remove),
            (ConsentKind::MedecinTraitant(named), ConsentState::Inactive) if *named == professional => {
                Ok(Self::LeaveAsMedecinTraitant)
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
}

/// Who wants to write on which list.
struct Asked<'a> {
    matrices: &'a Matrices,
    caller: &'a Caller,
    dossier: &'a Dossier,
    now: Timestamp,
}

impl Asked<'_> {
    fn may(&self, wanted: Wanted, kind: &ConsentKind) -> Result<RuleId, Denial> {
        match (wanted, kind) {
            (Wanted::Declare, _) => self.decided::<DeclareAuthorisation>(),
            (Wanted::Remove, _) => self.decided::<RemoveAuthorisation>(),
            (Wanted::LeaveAsMedecinTraitant, _) => self.decided::<LeaveAsMedecinTraitant>(),
            (Wanted::Other, ConsentKind::Delegation(delegate)) => match delegate.role {
                DelegateRole::LegalRepresentative => self.decided::<NameRepresentative>(),
                DelegateRole::Aidant => self.decided::<NameAidant>(),
            },
            (Wanted::Other, _) => self.decided::<SetList>(),
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

/// Writes what becomes of the list, and says it.
async fn write_line(
    tx: &mut Tx<'_>,
    attempt: &Attempt,
    asked: &Asked<'_>,
    request: ConsentRequest,
    kind: &ConsentKind,
    rule: RuleId,
) -> Result<Set, store::Error> {
    let dossier = asked.dossier.id;
    let subject = Subject::of(dossier);
    let (line, ended, result) = match asked.step(&request, kind, rule) {
        Step::NotThere => return Ok((attempt.not_found(subject), Err(not_found()))),
        Step::HasEnded => {
            let expected = "inactive: a line that has ended stays so; a new one may be made";
            let refusal = Refusal::new(Rule::ConsentForm, "Consent.status", "active", expected);
            let event = attempt.refused(subject, std::slice::from_ref(&refusal));
            return Ok((event, Err(Failure::Journaled(vec![refusal]))));
        }
        Step::Already(line) => (line, Vec::new(), Outcome::DoneBefore),
        Step::Write { line, ended } => (line, ended, Outcome::Done { rule: rule.code().to_owned() }),
    };
    if let Outcome::Done { .. } = result {
        for line in ended.iter().chain([&line]) {
            consent::upsert(tx, dossier, line).await?;
        }
        consent::forget_ended(tx, dossier, &line.kind, attempt.now).await?;
        if let (ConsentKind::Block(blocked), ConsentState::Active) = (&line.kind, request.state) {
            notice::cancel_notices_to(tx, dossier, blocked, attempt.now);
        }
    }
    // What is told openly names nothing that was said in secret: that ends by a line of its own.
    let (apart, told): (Vec<_>, Vec<_>) = ended.iter().partition(|other| other.is_secret && !line.is_secret);
    if !apart.is_empty() {
        let event = attempt.event(subject.clone(), result.clone(), Vec::new());
        record(tx, &event.changing(Change::of_lines(apart)).in_secret())?;
    }
    let event = attempt.event(subject, result, Vec::new()).changing(Change::of_lines([&line].into_iter().chain(told)));
    let event = if line.is_secret { event.in_secret() } else { event };
    Ok((event, Ok(ConsentOutcome::List { patient: request.patient, consent: line })))
}

/// What becomes of the list.
enum Step {
    /// No such line, or none for this caller.
    NotThere,
    /// It was asked to go on.
    HasEnded,
    Already(Consent),
    /// The line, new or changed, and those that end with it.
    Write {
        line: Consent,
        ended: Vec<Consent>,
    },
}

impl Asked<'_> {
    /// A line that says the same is changed, not doubled: a block set twice is one block. What is not there cannot end,
    /// and what has ended stays so.
    fn step(&self, request: &ConsentRequest, kind: &ConsentKind, rule: RuleId) -> Step {
        let now = self.now;
        let mut there = self.dossier.consents.iter().filter(|line| line.kind == *kind);
        let is_told = |line: &Consent| !(line.is_secret && rule.hides_secrets());
        // A declaration holds at once, beside what the patient wants later.
        let declares = own_authorisation(self.caller).is_some() && request.state == ConsentState::Active;
        let is_meant = |line: &Consent| is_told(line) && !(declares && line.since > now);
        let known = match request.id {
            Some(id) => there.find(|line| line.id == id && is_meant(line)),
            None => there.find(|line| !line.has_ended(now) && is_meant(line)),
        };
        match (known, request.state) {
            (None, _) if request.id.is_some() => Step::NotThere,
            (None, ConsentState::Inactive) => Step::NotThere,
            (Some(line), ConsentState::Active) if line.has_ended(now) => Step::HasEnded,
            (Some(line), state) if line.has_ended(now) || self.is_present(line, state) => Step::Already(line.clone()),
            (Some(line), ConsentState::Inactive) => {
                // Whichever was asked for, no other of the kind goes on in its place.
                let ended = self.ending(|other| other.kind == *kind && other.id != line.id && is_told(other));
                Step::Write { line: Consent { until: Some(now), ..line.clone() }, ended }
            }
            (known, ConsentState::Active) => {
                Step::Write { line: self.active(known, request, kind), ended: self.ended_by(kind) }
            }
        }
    }

    /// The line as it is asked for: what holds goes on holding since it did.
    fn active(&self, known: Option<&Consent>, request: &ConsentRequest, kind: &ConsentKind) -> Consent {
        let (now, until, declared_by) = (self.now, request.until, self.declared_by());
        let asked_since = |or: Timestamp| request.since.unwrap_or(or).max(now);
        let Some(line) = known else {
            let (since, is_secret) = (asked_since(now), self.caller.is_secret());
            return Consent { id: ConsentId::new(), kind: kind.clone(), since, until, declared_by, is_secret };
        };
        // That of a structure begins anew, for whom the patient had blocked meanwhile.
        let begins_anew = matches!(kind, ConsentKind::Authorisation(Grantee::Structure(_)));
        let since = if line.since <= now && !begins_anew { line.since } else { asked_since(line.since) };
        // Said openly once, it is no secret.
        let is_secret = line.is_secret && self.caller.is_secret();
        Consent { since, until, declared_by, is_secret, ..line.clone() }
    }

    /// Unblocking does not bring an authorisation back (T-19), so a block ends those of the professional for good. That
    /// of a structure is not theirs: whoever else works there goes on.
    fn ended_by(&self, kind: &ConsentKind) -> Vec<Consent> {
        let ConsentKind::Block(blocked) = kind else { return Vec::new() };
        self.ending(|line| match &line.kind {
            ConsentKind::Authorisation(Grantee::Professional(ps)) | ConsentKind::MedecinTraitant(ps) => ps == blocked,
            _ => false,
        })
    }

    /// The lines that have not ended and do now.
    fn ending(&self, ends: impl Fn(&Consent) -> bool) -> Vec<Consent> {
        let ending = self.dossier.consents.iter().filter(|line| !line.has_ended(self.now) && ends(line));
        ending.map(|line| Consent { until: Some(self.now), ..line.clone() }).collect()
    }
}
