//! What every operation shares: the journal line of whatever happens, and what a store error is to a caller.

use std::time::Instant;

use jiff::Timestamp;

use super::gateway::{Gateway, ReadLines};
use crate::access::decide::{Act, Denial, Permit};
use crate::domain::ids::{DossierId, EntryUuid, LogicalId};
use crate::domain::notice::{EmergencyAccess, Notice};
use crate::identity::caller::Caller;
use crate::identity::statement::AccessVisibility;
use crate::identity::token::Token;
use crate::journal::chain::record;
use crate::journal::event::{
    Action, Actor, Change, Connection, EntryMention, Event, Outcome, StatedPurpose, StatedToken, Subject,
};
use crate::notice;
use crate::refusal::{Failure, Refusal, Rule};
use crate::store::{Tx, label, outbox};
use crate::tls::client_certificate::ClientCertificate;

/// Who does what at which instant: the part of a journal line that is known before anything is decided.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    actor: Actor,
    purpose: StatedPurpose,
    connection: Connection,
    token: StatedToken,
    action: Action,
    pub(super) now: Timestamp,
    /// What beats are counted from.
    pub(super) begun: Instant,
}

/// What a disclosure changes beside the journal.
pub(super) enum Consequence {
    Nothing,
    /// They can be made invisible to the patient no more (R1111-53).
    SeenByPatient(Vec<EntryUuid>),
    /// An emergency alone allowed it: the law wants it told (R1111-48).
    Emergency(EmergencyAccess),
}

impl Consequence {
    /// Of showing those entries, or that there are none.
    pub(super) fn of<A: Act>(permit: &Permit<A>, caller: &Caller, shown: Vec<EntryUuid>, at: Timestamp) -> Self {
        match notice::emergency(permit, caller, at) {
            Some(access) => Self::Emergency(access),
            None if matches!(caller, Caller::PatientPortal(..)) && !shown.is_empty() => Self::SeenByPatient(shown),
            None => Self::Nothing,
        }
    }
}

impl Attempt {
    pub(super) fn event(&self, dossier: Subject, result: Outcome, entries: Vec<EntryMention>) -> Event {
        Event {
            at: self.now,
            actor: self.actor.clone(),
            purpose: self.purpose.clone(),
            connection: self.connection,
            action: self.action,
            dossier,
            result,
            entries,
            change: Change::None,
            token: self.token.clone(),
        }
    }

    pub(super) fn refused(&self, dossier: Subject, refusals: &[Refusal]) -> Event {
        let rules = refusals.iter().map(|refusal| refusal.rule.code().to_owned()).collect();
        self.event(dossier, Outcome::Refused { rules }, Vec::new())
    }

    pub(super) fn denied(&self, dossier: DossierId, denial: Denial) -> Event {
        self.event(Subject::of(dossier), Outcome::Denied { rule: denial.rule.code().to_owned() }, Vec::new())
    }

    /// Of a document or a line that was asked for by its id alone. Whoever sits before a portal may read the history of
    /// the record next, and must not find there that the id is one of it.
    pub(super) fn denied_by_id(&self, dossier: DossierId, denial: Denial) -> Event {
        match self.actor {
            Actor::PatientPortal { .. } => self.not_found(Subject::of(dossier)),
            _ => self.denied(dossier, denial),
        }
    }

    pub(super) fn not_found(&self, dossier: Subject) -> Event {
        self.event(dossier, Outcome::NotFound, Vec::new())
    }

    /// Advises the patient, two weeks from now, to have a document explained that is made invisible to them.
    pub(super) fn advise_later(&self, tx: &mut Tx<'_>, dossier: DossierId, document: LogicalId) {
        let is_secret = self.connection == Connection::Secret;
        let notice = Notice::of_invisible_document(dossier, document, self.now);
        outbox::insert(tx, &Notice { is_secret, ..notice });
    }
}

impl Gateway {
    pub(super) fn attempt(&self, caller: &Caller, action: Action) -> Attempt {
        let (actor, purpose, token) = (Actor::of(caller), StatedPurpose::of(caller), StatedToken::of_caller(caller));
        let connection = Connection::of(caller.visibility());
        Attempt { actor, purpose, connection, token, action, now: self.clock.now(), begun: Instant::now() }
    }

    /// Writes down a request that a face could not read, or that the caller had no business to make.
    ///
    /// Gives the failure back, so that a face ends with `return Err(gateway.turn_away(..).await)`. What is
    /// written down already is left alone; so are "busy" and "too many requests", for which no line is worth more
    /// load. When even the journal cannot be written, that is the failure.
    pub async fn turn_away(&self, caller: &Caller, failure: Failure) -> Failure {
        let attempt = self.attempt(caller, Action::Request);
        self.write_down(&attempt, failure).await
    }

    /// Writes down a certificate that names nobody whom this gateway serves, or that is good no longer.
    pub async fn turn_away_certificate(&self, serial: &str, refusal: Refusal) -> Failure {
        let actor = Actor::Unidentified { certificate_serial: serial.to_owned(), holder: String::new() };
        self.write_down(&self.attempt_of(actor, None), refusal.into()).await
    }

    /// Writes down a request whose certificate is good, but not for what else came with it: a token of somebody
    /// else, a class without rights. `token` is one whose signature holds.
    pub async fn turn_away_unidentified(
        &self,
        certificate: &ClientCertificate,
        token: Option<&Token>,
        failure: Failure,
    ) -> Failure {
        let holder = certificate.subject.id().to_owned();
        let actor = Actor::Unidentified { certificate_serial: certificate.serial.clone(), holder };
        if failure.refusals().iter().any(|refusal| refusal.rule == Rule::ActorRefused) {
            metrics::counter!("carnet_actors_refused_total").increment(1);
        }
        self.write_down(&self.attempt_of(actor, token), failure).await
    }

    fn attempt_of(&self, actor: Actor, token: Option<&Token>) -> Attempt {
        let (purpose, action) = (StatedPurpose::NotRead, Action::Request);
        let visibility = token.map_or(AccessVisibility::Ordinary, |token| token.statement.visibility);
        let (connection, token) = (Connection::of(visibility), token.map_or(StatedToken::None, StatedToken::of));
        Attempt { actor, purpose, connection, token, action, now: self.clock.now(), begun: Instant::now() }
    }

    async fn write_down(&self, attempt: &Attempt, failure: Failure) -> Failure {
        match failure {
            Failure::Refused(refusals) if !refusals.iter().any(is_of_load) => {
                match self.write_line(attempt.refused(Subject::Unknown, &refusals)).await {
                    Ok(()) => Failure::Journaled(refusals),
                    Err(failure) => failure,
                }
            }
            other => other,
        }
    }

    /// Makes the line of a disclosure durable, before anything leaves, with what else the disclosure changes.
    pub(super) async fn write_disclosure(&self, event: Event, consequence: Consequence) -> Result<(), Failure> {
        match consequence {
            Consequence::Nothing => self.write_line(event).await,
            Consequence::SeenByPatient(shown) => {
                let write = self.store.write_line("journal", move |tx| {
                    Box::pin(async move {
                        label::note_seen_by_patient(tx, &shown, event.at).await?;
                        record(tx, &event)
                    })
                });
                write.await.map_err(Failure::from)
            }
            Consequence::Emergency(access) => {
                let write = self.store.write("journal_emergency", move |tx| {
                    Box::pin(async move {
                        notice::tell(tx, &access).await?;
                        record(tx, &event)
                    })
                });
                write.await.map_err(Failure::from)?;
                self.bell.ring();
                Ok(())
            }
        }
    }

    /// Makes one line durable by itself: what a read does before anything leaves.
    pub(super) async fn write_line(&self, event: Event) -> Result<(), Failure> {
        if self.read_lines == ReadLines::LeftOut {
            return Ok(());
        }
        let write = self.store.write_line("journal", move |tx| Box::pin(async move { record(tx, &event) }));
        write.await.map_err(Failure::from)
    }
}

fn is_of_load(refusal: &Refusal) -> bool {
    matches!(refusal.rule, Rule::Busy | Rule::TooManyRequests)
}

/// Absent, or hidden from this caller: one and the same answer, once its line is written.
pub(super) fn not_found() -> Failure {
    let expected = "the id of a document that exists and that you may see";
    Failure::Journaled(vec![Refusal::new(Rule::NotFound, "id", "no such document", expected)])
}

/// No record, or no right to consult it: one and the same answer, once its line is written.
pub(super) fn access_denied() -> Failure {
    Failure::Journaled(vec![Refusal::new(
        Rule::AccessDenied,
        "patient",
        "no valid authorisation to consult this record",
        "an authorisation by the patient (TD0.3, Consent) or a purpose of use that the patient does not oppose",
    )])
}
