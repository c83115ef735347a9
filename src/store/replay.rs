//! Assertions that were presented, so that none is taken twice, and those that are kept as evidence.
//!
//! One write an assertion, in the sync of whoever writes meanwhile. What no gateway would take any more is removed
//! a thousand at a time and a margin later: clocks of gateways differ.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::error::Error;
use super::executor::Tx;
use super::{Param, Store};
use crate::identity::replay::{AssertionMemory, Keep, Presentation, PresentedAssertion};
use crate::refusal::Failure;

/// The memory of all gateways on one database.
#[derive(Clone)]
pub struct SharedMemory {
    store: Store,
    pruned_us: Arc<AtomicI64>,
}

impl SharedMemory {
    pub fn new(store: Store) -> Self {
        Self { store, pruned_us: Arc::default() }
    }

    /// Whether it is time to remove what is over; true once in a while for one caller.
    fn is_due(&self, now_us: i64) -> bool {
        let pruned_us = self.pruned_us.load(Ordering::Relaxed);
        let due = (now_us - pruned_us).abs() >= PRUNE_EVERY_US;
        due && self.pruned_us.compare_exchange(pruned_us, now_us, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl AssertionMemory for SharedMemory {
    fn note(&self, presented: PresentedAssertion) -> BoxFuture<'_, Result<Presentation, Failure>> {
        let due = self.is_due(presented.at.as_microsecond());
        Box::pin(async move {
            // Evidence stays: it must not eat the room that the journal keeps.
            let _room = match &presented.keep {
                Keep::Text(text) => Some(self.store.reserve_room(text.len() as u64).map_err(Failure::from)?),
                Keep::Nothing => None,
            };
            let write = self.store.write("assertion", move |tx| {
                Box::pin(async move {
                    if due {
                        prune(tx, presented.at).await?;
                    }
                    insert(tx, &presented).await
                })
            });
            write.await.map_err(Failure::from)
        })
    }
}

async fn insert(tx: &mut Tx<'_>, presented: &PresentedAssertion) -> Result<Presentation, Error> {
    let key = || Param::from(presented.key.0.to_vec());
    if tx.execute(INSERT, vec![key(), presented.until.into()]).await? == 0 {
        return Ok(Presentation::Again);
    }
    if let Keep::Text(text) = &presented.keep {
        tx.execute(KEEP, vec![key(), presented.at.into(), text.as_str().into()]).await?;
    }
    Ok(Presentation::First)
}

async fn prune(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), Error> {
    let before_us = now.as_microsecond() - MARGIN_US;
    tx.execute(PRUNE, vec![before_us.into(), PRUNED_MAX.into()]).await.map(drop)
}

/// With the next one: faster than any gateway takes assertions, and no batch of writes waits for long.
const PRUNE_EVERY_US: i64 = 100_000;
const PRUNED_MAX: i64 = 1_000;
const MARGIN_US: i64 = 3_600_000_000;

const INSERT: &str = "-- store::replay::insert
INSERT INTO assertion_seen (assertion_key, until_us) VALUES ($1, $2) ON CONFLICT DO NOTHING";

/// One that was pruned and is taken again (it cannot be, but by a clock set back) is kept as it was.
const KEEP: &str = "-- store::replay::keep
INSERT INTO assertion_kept (assertion_key, at_us, text) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";

const PRUNE: &str = "-- store::replay::prune
DELETE FROM assertion_seen WHERE assertion_key IN
  (SELECT assertion_key FROM assertion_seen WHERE until_us < $1 LIMIT $2)";

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;
    use crate::domain::sha::Sha256Hash;
    use crate::refusal::Rule;
    use crate::store::connect::{Journaling, Room};

    fn presented(key: u8, at: Timestamp) -> PresentedAssertion {
        PresentedAssertion {
            key: Sha256Hash([key; 32]),
            until: at + 6.minutes(),
            at,
            keep: Keep::Text("<Assertion/>".to_owned()),
        }
    }

    async fn memory(folder: &tempfile::TempDir) -> SharedMemory {
        memory_of(folder, 0).await
    }

    async fn memory_of(folder: &tempfile::TempDir, bytes_max: u64) -> SharedMemory {
        let room = Room { bytes_max, free_bytes_min: 0 };
        let documents = folder.path().join("documents");
        let file = folder.path().join("carnet.db");
        SharedMemory::new(Store::open_sqlite(&file, &documents, room, Journaling::Read).await.unwrap())
    }

    #[tokio::test]
    async fn an_assertion_is_new_once_over_all_gateways_on_a_database() {
        let folder = tempfile::tempdir().unwrap();
        let at: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
        let (one, other) = (memory(&folder).await, memory(&folder).await);
        assert_eq!(one.note(presented(1, at)).await.unwrap(), Presentation::First);
        assert_eq!(one.note(presented(1, at)).await.unwrap(), Presentation::Again);
        assert_eq!(other.note(presented(1, at)).await.unwrap(), Presentation::Again);
        assert_eq!(other.note(presented(2, at)).await.unwrap(), Presentation::First);
        assert_eq!(memory(&folder).await.note(presented(2, at)).await.unwrap(), Presentation::Again);
    }

    #[tokio::test]
    async fn evidence_needs_room_and_a_note_alone_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let at: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
        let memory = memory_of(&folder, 1).await;
        let failure = memory.note(presented(1, at)).await.unwrap_err();
        assert_eq!(failure.refusals()[0].rule, Rule::StorageFull);
        assert!(failure.refusals()[0].expected.contains("new VIHF"));
        let alone = PresentedAssertion { keep: Keep::Nothing, ..presented(1, at) };
        assert_eq!(memory.note(alone).await.unwrap(), Presentation::First);
    }

    #[tokio::test]
    async fn a_write_forgets_a_thousand_at_most() {
        let folder = tempfile::tempdir().unwrap();
        let at: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
        let memory = memory(&folder).await;
        let left = memory.store.write("prune", move |tx| {
            Box::pin(async move {
                for index in 0..1_500_u32 {
                    let key = [index.to_be_bytes().to_vec(), vec![0; 28]].concat();
                    tx.execute(INSERT, vec![Param::from(key), at.into()]).await?;
                }
                prune(tx, at + 2.hours()).await?;
                tx.fetch_all("SELECT COUNT(*) FROM assertion_seen", vec![]).await
            })
        });
        assert_eq!(left.await.unwrap()[0].integer(0).unwrap(), 500);
    }

    #[tokio::test]
    async fn what_is_long_over_is_forgotten_and_evidence_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let at: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
        let memory = memory(&folder).await;
        memory.note(presented(1, at)).await.unwrap();
        memory.note(presented(2, at + 2.hours())).await.unwrap();
        let count = |statement: &'static str| {
            let store = memory.store.clone();
            async move {
                let read =
                    store.read("count", move |tx| Box::pin(async move { tx.fetch_all(statement, vec![]).await }));
                read.await.unwrap()[0].integer(0).unwrap()
            }
        };
        assert_eq!(count("SELECT COUNT(*) FROM assertion_seen").await, 1);
        assert_eq!(count("SELECT COUNT(*) FROM assertion_kept").await, 2);
    }
}
