//! The journal as its readers are shown it: all of a record, or what one did oneself. Source: F.2 (R1111-43), F.5.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::beat::Shows;
use super::gateway::Gateway;
use super::outcome::{Journaled, Trace, TraceOutcome};
use crate::access::decide::{Denial, ReadJournal, RuleId, decide};
use crate::access::journal::{Viewer, own_traces};
use crate::domain::ids::DossierId;
use crate::domain::ins::Ins;
use crate::domain::trace::TraceCriteria;
use crate::identity::caller::Caller;
use crate::identity::session::PortalSession;
use crate::journal::atna::Source;
use crate::journal::event::{Action, Event, Outcome, Subject};
use crate::journal::syslog::Forwarder;
use crate::refusal::{Failure, Fault, Refusal, Rule};
use crate::store::dossier;
use crate::store::trace::{FoundLines, ShownLine, find, find_own};

/// What a reading met.
enum Reading {
    Permitted(DossierId, RuleId, Viewer, FoundLines),
    Denied(DossierId, Denial),
    NoDossier,
}

impl Gateway {
    /// Lines of one record that the caller may see, or, when no patient is named, a professional's own of the last year.
    ///
    /// No record, a closed one and one where the caller left no trace are one answer: nothing found. Reading is an
    /// access itself and leaves a line; documents that the lines name are not named in it again.
    pub async fn read_journal(
        &self,
        caller: &Caller,
        criteria: &TraceCriteria,
    ) -> Result<Journaled<TraceOutcome>, Failure> {
        let Some(patient) = &criteria.patient else { return self.read_own_journal(caller, criteria).await };
        if let Err(refusal) = caller.check_patient(patient, "patient.identifier") {
            return Err(self.turn_away(caller, refusal.into()).await);
        }
        if let Caller::PatientPortal(_, PortalSession::Unstated) = caller {
            let expected = "for whom the portal reads: nobody reads for the patient without being stated";
            let refusal = Refusal::new(Rule::HeaderValue, "header X-On-Behalf-Of", "nothing", expected);
            return Err(self.turn_away(caller, refusal.into()).await);
        }
        let attempt = self.attempt(caller, Action::ReadJournal);
        let (now, before) = (attempt.now, before(criteria, attempt.now));
        let (matrices, asking, asked, wanted) =
            (Arc::clone(&self.matrices), caller.clone(), patient.clone(), criteria.clone());
        let reading = self.store.read("read_journal", move |tx| {
            Box::pin(async move {
                let Some(dossier) = dossier::find_by_ins(tx, &asked).await? else { return Ok(Reading::NoDossier) };
                match decide::<ReadJournal>(&matrices, &asking, &dossier, now) {
                    Ok(permit) => {
                        let found = find(tx, &permit, &wanted, before).await?;
                        Ok(Reading::Permitted(dossier.id, permit.rule(), permit.viewer(), found))
                    }
                    Err(denial) => Ok(Reading::Denied(dossier.id, denial)),
                }
            })
        });
        let reading = reading.await.map_err(Failure::from)?;
        self.write_line(match &reading {
            Reading::Permitted(dossier, rule, ..) => attempt.event(Subject::of(*dossier), done(*rule), Vec::new()),
            Reading::Denied(dossier, denial) => attempt.denied(*dossier, *denial),
            Reading::NoDossier => attempt.not_found(Subject::Unknown),
        })
        .await?;
        let shows = match &reading {
            Reading::Permitted(_, _, _, found) => Shows::of(&found.lines),
            Reading::Denied(..) | Reading::NoDossier => Shows::Nothing,
        };
        self.keep_beat(&attempt, shows).await;
        match reading {
            Reading::Permitted(_, _, viewer, found) => Ok(shown(found, viewer, before, Some(patient))?),
            Reading::Denied(..) | Reading::NoDossier => {
                Ok(shown(FoundLines::default(), Viewer::Own, before, Some(patient))?)
            }
        }
    }

    /// What sends the journal to the audit repository; none where none is configured.
    pub fn audit_forwarder(&self) -> Result<Option<Forwarder>, Fault> {
        let url = self.config.listen.public_url.clone();
        let host = url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
        Forwarder::new(&self.config.atna, self.store.clone(), self.clock.clone(), Source { host, url })
    }

    async fn read_own_journal(
        &self,
        caller: &Caller,
        criteria: &TraceCriteria,
    ) -> Result<Journaled<TraceOutcome>, Failure> {
        let Some(own) = own_traces(caller) else {
            let expected =
                "patient.identifier: only a professional, without a token about one patient, may leave it out";
            let refusal = Refusal::new(Rule::ParameterMissing, "parameter patient.identifier", "nothing", expected);
            return Err(self.turn_away(caller, refusal.into()).await);
        };
        let attempt = self.attempt(caller, Action::ReadJournal);
        let before = before(criteria, attempt.now);
        let (since, wanted) = (attempt.now - OWN_TRACES_SHOWN, criteria.clone());
        let read = self.store.read("read_own_journal", move |tx| {
            Box::pin(async move { find_own(tx, &own, &wanted, (since, before)).await })
        });
        let found = read.await.map_err(Failure::from)?;
        self.write_line(attempt.event(Subject::Unknown, done(RuleId::OwnTraces), Vec::new())).await?;
        Ok(shown(found, Viewer::Own, before, None)?)
    }
}

/// Never after now: the line of this very reading is not yet among what it shows.
fn before(criteria: &TraceCriteria, now: Timestamp) -> Timestamp {
    criteria.before.map_or(now, |before| before.min(now))
}

fn shown(
    found: FoundLines,
    viewer: Viewer,
    before: Timestamp,
    asked: Option<&Ins>,
) -> Result<Journaled<TraceOutcome>, Fault> {
    let traces = found.lines.into_iter().map(|line| trace(line, viewer, asked)).collect::<Result<_, _>>()?;
    Ok(Journaled::new(TraceOutcome { total: found.total, traces, before }))
}

fn trace(line: ShownLine, viewer: Viewer, asked: Option<&Ins>) -> Result<Trace, Fault> {
    let event: Event = serde_json::from_str(&line.line).map_err(|error| Fault::new("journal line", error))?;
    let event = match viewer {
        Viewer::All { .. } => event,
        Viewer::Own => as_told(event),
    };
    // Of a record that the actor was not told of, they are not told now whose it is.
    let is_about = matches!(event.dossier, Subject::Dossier(_));
    let patient = asked.cloned().or(line.patient).filter(|_| is_about);
    Ok(Trace { id: id_of(&line.seal), event, patient })
}

/// An event as its actor was told it: absent and hidden were one answer then, and the rules of the patient's list are
/// nobody else's.
fn as_told(event: Event) -> Event {
    match event.result {
        Outcome::Done { .. } => Event { result: Outcome::Done { rule: String::new() }, ..event },
        Outcome::Denied { .. } | Outcome::NotFound => {
            Event { result: Outcome::NotFound, dossier: Subject::Unknown, entries: Vec::new(), ..event }
        }
        Outcome::DoneBefore | Outcome::Refused { .. } => event,
    }
}

/// A name of the line that stays and tells neither its place nor how many there are: of its seal, as a UUID of
/// version 8 (RFC 9562 section 5.8).
fn id_of(seal: &[u8]) -> Uuid {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(seal) {
        *to = *from;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn done(rule: RuleId) -> Outcome {
    Outcome::Done { rule: rule.code().to_owned() }
}

/// As the DMP shows professionals their history (527, section 2.6).
const OWN_TRACES_SHOWN: SignedDuration = SignedDuration::from_hours(365 * 24);
