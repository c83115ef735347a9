//! Empties the outbox: claims what is due, hands it to the relay, writes down what became of it.
//!
//! Refuses to know who wrote a notice and why. No request waits for it: it has the writes and the time that are left.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use metrics::{counter, gauge};
use uuid::Uuid;

use super::Bell;
use super::message::message_of;
use super::smtp::{LAST_REPLY_WAIT_S, Relay, Undelivered};
use crate::clock::{Clock, new_uuid};
use crate::config::Mail;
use crate::domain::ids::NoticeId;
use crate::domain::notice::{Addressee, Notice};
use crate::journal::chain::record;
use crate::journal::event::{
    Action, Actor, Change, Connection, EntryMention, Event, Outcome, StatedPurpose, StatedToken, Subject,
};
use crate::refusal::Fault;
use crate::store::outbox::{Claimed, NamedDocument, claim, find_document, give_back, is_any_due, mark_sent, tally};
use crate::store::{Error, Store};

/// Sends the notices of one database, beside the senders of the other gateways on it.
pub struct Sender {
    store: Store,
    clock: Clock,
    settings: Mail,
    relay: Option<Relay>,
    /// What the relay took and the database does not know yet: never to be sent again.
    taken: Mutex<HashSet<NoticeId>>,
    /// So that senders which meet the same failure do not come back together.
    seed: Uuid,
}

/// What a look at the outbox came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// Nothing is due, or nothing may be sent.
    Idle,
    /// The relay took one mail.
    Sent,
    /// It did not take this one; another may do better.
    NotTaken,
    /// Relay or database are not there. What was claimed was given back as it was.
    Down,
}

impl Sender {
    /// Reads roots and password. A fault is about the settings.
    pub fn new(store: Store, clock: Clock, settings: &Mail) -> Result<Self, Fault> {
        let relay = Relay::new(settings).map_err(|error| Fault::new("mail", error))?;
        Ok(Self { store, clock, settings: settings.clone(), relay, taken: Mutex::default(), seed: new_uuid() })
    }

    /// Whether a relay is configured.
    pub fn sends(&self) -> bool {
        self.relay.is_some()
    }

    /// Sends what is due, until `stop`; mails under way are then finished first.
    ///
    /// Each of `mail.in_flight_max` works for itself, so that nobody waits behind a mail that the relay is slow with.
    pub async fn run(self, bell: Bell, stop: impl Future<Output = ()>) {
        let stop = stop.shared();
        let workers = join_all((0..self.settings.in_flight_max).map(|_| self.work(&bell, stop.clone())));
        tokio::join!(workers, self.count(stop.clone()));
    }

    async fn work(&self, bell: &Bell, mut stop: impl Future<Output = ()> + Unpin) {
        let mut failed = 0_u32;
        loop {
            let round = self.round(bell).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "the outbox cannot be read or written");
                Round::Down
            });
            failed = if round == Round::Down { failed.saturating_add(1) } else { 0 };
            let (wait, listens) = match round {
                Round::Sent | Round::NotTaken => (Duration::ZERO, false),
                Round::Idle => (self.until_next_look(), true),
                // Whatever is written meanwhile: nobody sets the rhythm in which a relay that is down is asked.
                Round::Down => (self.pause(failed), false),
            };
            tokio::select! {
                biased;
                () = &mut stop => return,
                () = bell.rung(), if listens => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Tells, for metrics, how many notices wait, and why.
    async fn count(&self, mut stop: impl Future<Output = ()> + Unpin) {
        loop {
            let now = self.clock.now();
            let tally = self.store.read("outbox_tally", move |tx| Box::pin(tally(tx, now))).await;
            for (reason, count) in tally.into_iter().flatten() {
                gauge!("carnet_notices_waiting", "reason" => reason).set(count);
            }
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(self.until_next_look()) => {}
            }
        }
    }

    /// One look at the outbox, and one mail at most; the bell calls another for what else is due.
    pub async fn round(&self, bell: &Bell) -> Result<Round, Error> {
        let (now, Some(relay)) = (self.clock.now(), &self.relay) else { return Ok(Round::Idle) };
        let is_due = self.store.read("outbox_look", move |tx| Box::pin(is_any_due(tx, now))).await?;
        if !is_due {
            return Ok(Round::Idle);
        }
        let (begun, until) = (Instant::now(), later(now, self.lease_s()));
        let claimed = self.store.write("outbox_claim", move |tx| Box::pin(claim(tx, now, until))).await?;
        let Some(claimed) = claimed else { return Ok(Round::Idle) };
        bell.ring();
        if self.taken().contains(&claimed.notice.id) {
            return self.note_sent(&claimed, begun).await.map(|()| Round::Sent);
        }
        self.deliver(relay, &claimed, begun).await
    }

    /// Sends one mail and writes down what became of it.
    async fn deliver(&self, relay: &Relay, claimed: &Claimed, begun: Instant) -> Result<Round, Error> {
        let message = message_of(&claimed.notice, &relay.from, &claimed.address, self.clock.now());
        let Err(undelivered) = relay.send(&claimed.address, &message).await else {
            counter!("carnet_notices_sent_total").increment(1);
            self.taken().insert(claimed.notice.id);
            return self.note_sent(claimed, begun).await.map(|()| Round::Sent);
        };
        counter!("carnet_notice_failures_total", "cause" => undelivered.cause().class()).increment(1);
        self.note_failed(claimed, undelivered).await?;
        match undelivered {
            Undelivered::Mail(_) => Ok(Round::NotTaken),
            Undelivered::Relay(cause) => {
                tracing::warn!(%cause, "the mail relay takes nothing: notices wait");
                Ok(Round::Down)
            }
        }
    }

    /// The row and its journal line, in one commit: what the relay took must not be sent again, so that a database
    /// which is busy is asked again, for as long as nobody else may claim the row. Where it takes the row not at all,
    /// this process notes it at its next turn, and sends nothing.
    async fn note_sent(&self, claimed: &Claimed, begun: Instant) -> Result<(), Error> {
        let patience = Duration::from_secs(u64::from(self.lease_s() - LEASE_MARGIN_S));
        loop {
            let (notice, now) = (claimed.notice.clone(), self.clock.now());
            let write = self.store.write("outbox_sent", move |tx| {
                Box::pin(async move {
                    let document = find_document(tx, &notice).await?;
                    mark_sent(tx, notice.id, now);
                    record(tx, &event_of(&notice, document, now))
                })
            });
            match write.await {
                Err(Error::Busy | Error::Full | Error::Commit(_)) if begun.elapsed() < patience => {
                    tokio::time::sleep(Duration::from_secs(u64::from(AGAIN_AFTER_S))).await;
                }
                Ok(()) => {
                    self.taken().remove(&claimed.notice.id);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn taken(&self) -> MutexGuard<'_, HashSet<NoticeId>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn note_failed(&self, claimed: &Claimed, undelivered: Undelivered) -> Result<(), Error> {
        let now = self.clock.now();
        let (attempts, wait_s) = match undelivered {
            Undelivered::Relay(_) => (claimed.attempts, 0),
            Undelivered::Mail(cause) => {
                let attempts = claimed.attempts.saturating_add(1);
                let notice = claimed.notice.id;
                tracing::warn!(%notice, attempts, %cause, "a notice was not taken by the mail relay");
                let wait_s = if cause.is_permanent() { DAY_S } else { self.backoff_s(attempts, notice.0) };
                (attempts, wait_s)
            }
        };
        let (claimed, next, cause) = (claimed.clone(), later(now, wait_s), undelivered.cause().to_string());
        let write = self.store.write("outbox_failed", move |tx| {
            Box::pin(async move {
                give_back(tx, &claimed, next, attempts, &cause);
                Ok(())
            })
        });
        write.await
    }

    fn until_next_look(&self) -> Duration {
        Duration::from_secs(u64::from(self.settings.poll_seconds))
    }

    /// For one mail at its slowest: to connect and say what it is, to write it, to hear that it was taken.
    fn lease_s(&self) -> u32 {
        self.settings.timeout_seconds.saturating_mul(2).saturating_add(LAST_REPLY_WAIT_S + LEASE_MARGIN_S)
    }

    /// Before a relay that takes nothing is asked again: short, for many may wait for it.
    fn pause(&self, failed: u32) -> Duration {
        Duration::from_secs(u64::from(self.backoff_s(failed, self.seed).min(PAUSE_MAX_S)))
    }

    /// Before the attempt that follows `failed` ones: doubled each time, and up to a quarter more, by `seed`.
    fn backoff_s(&self, failed: u32, seed: Uuid) -> u32 {
        let doubled =
            self.settings.retry_seconds.saturating_mul(1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX));
        let wait_s = doubled.min(self.settings.retry_seconds_max);
        let spread =
            seed.as_bytes().iter().fold(failed, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
        wait_s.saturating_add(spread % (wait_s / 4).saturating_add(1))
    }
}

/// "You were told": one line for each mail that the relay took. It is seen by whoever may see what it tells of: the
/// connection, and the document.
fn event_of(notice: &Notice, document: Option<NamedDocument>, now: Timestamp) -> Event {
    let action = match notice.addressee {
        Addressee::Patient(_) => Action::NotifyPatient,
        Addressee::Professional(_) => Action::NotifyMedecinTraitant,
    };
    let mention = |NamedDocument { unique_id, type_code, title }| {
        let document = notice.occasion.clone();
        EntryMention { document, unique_id: unique_id.to_string(), type_code, title }
    };
    Event {
        at: now,
        actor: Actor::System,
        purpose: StatedPurpose::NotRead,
        connection: if notice.is_secret { Connection::Secret } else { Connection::Ordinary },
        action,
        dossier: Subject::of(notice.dossier),
        result: Outcome::Done { rule: notice.kind.article().to_owned() },
        entries: document.map(mention).into_iter().collect(),
        change: Change::None,
        token: StatedToken::None,
    }
}

fn later(now: Timestamp, seconds: u32) -> Timestamp {
    now.saturating_add(SignedDuration::from_secs(i64::from(seconds))).unwrap_or(now)
}

/// Of a mail that was refused for good: an address that is mended by `carnet record contact` is tried at once.
const DAY_S: u32 = 24 * 3600;
const LEASE_MARGIN_S: u32 = 60;
const PAUSE_MAX_S: u32 = 300;
const AGAIN_AFTER_S: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::connect::{Journaling, Room};

    #[tokio::test]
    async fn attempts_grow_apart_up_to_the_longest_wait_and_never_meet() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room { bytes_max: 0, free_bytes_min: 0 };
        let (file, documents) = (folder.path().join("carnet.db"), folder.path().join("documents"));
        let store = Store::open_sqlite(&file, &documents, room, Journaling::Read).await.unwrap();
        let sender = Sender::new(store, Clock::System, &Mail::default()).unwrap();
        let waits: Vec<u32> = [1, 2, 3, 8, 40, u32::MAX].map(|failed| sender.backoff_s(failed, Uuid::nil())).to_vec();
        for (wait, shortest) in waits.iter().zip([30, 60, 120, 3600, 3600, 3600]) {
            assert!((shortest..=shortest + shortest / 4).contains(wait), "{waits:?}");
        }
        let spread: std::collections::HashSet<u32> = (0..50).map(|_| sender.backoff_s(8, new_uuid())).collect();
        assert!(spread.len() > 10, "{spread:?}");
        assert_eq!(sender.pause(u32::MAX), Duration::from_mins(5));
        assert_eq!(sender.lease_s(), 720);
    }
}
