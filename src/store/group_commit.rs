//! Many writes, one sync.
//!
//! One writer owns the only writing connection. It takes what waits in its queue, runs each write in a savepoint
//! of one transaction, seals and writes the journal lines of all, commits once, and only then tells them. While a batch
//! syncs, the next one gathers, so the cost of a sync is shared by whoever came meanwhile. A write that fails undoes
//! its own savepoint and nobody else's. The queue is bounded: who finds it full for too long is told to come back.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use metrics::{counter, histogram};
use sqlx::sqlite::SqliteConnection;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::checkpoint::Checkpoint;
use super::error::Error;
use super::executor::Tx;
use super::journal::sealer::Sealer;

/// One write, erased: runs in a savepoint, keeps its result until the commit is known.
type Job = Box<dyn for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<(), Error>> + Send>;

struct Queued {
    job: Job,
    done: Done,
    weight: Weight,
}

/// What a write asks of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// A line of the journal and little else: most of its cost is the batch's.
    Line,
    Whole,
}

type Done = oneshot::Sender<Result<(), Error>>;

/// Handle on the queue of the writer.
#[derive(Clone)]
pub(super) struct GroupCommit {
    queue: mpsc::Sender<Queued>,
}

impl GroupCommit {
    /// Starts the writer on its connection. It ends, after a last commit, when every handle is gone.
    ///
    /// The writer has a thread of its own: each statement waits for an answer, and on the shared threads each answer
    /// would wait behind whatever message is being read and hashed there.
    pub(super) fn start(connection: SqliteConnection, checkpoint: Checkpoint, sealer: Sealer) -> Result<Self, Error> {
        let (queue, jobs) = mpsc::channel(QUEUE_JOBS_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let writer = move || runtime.block_on(run(connection, checkpoint, sealer, jobs));
        std::thread::Builder::new().name("carnet-writer".to_owned()).spawn(writer)?;
        Ok(Self { queue })
    }

    /// Runs `job` and returns once its effects are on stable storage.
    ///
    /// Errors: `Busy` when the queue stays full; else what the job or the shared commit met.
    pub(super) async fn write<T, F>(&self, weight: Weight, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    {
        let (result, committed) = oneshot::channel();
        let erased: Job = Box::new(move |tx| {
            Box::pin(async move {
                let value = job(tx).await?;
                // The caller may have gone away; the write counts all the same.
                let _ = result.send(value);
                Ok(())
            })
        });
        let (done, answer) = oneshot::channel();
        self.queue.send_timeout(Queued { job: erased, done, weight }, QUEUE_WAIT).await.map_err(
            |error| match error {
                SendTimeoutError::Timeout(_) => Error::Busy,
                SendTimeoutError::Closed(_) => Error::Stopped,
            },
        )?;
        answer.await.map_err(|_| Error::Stopped)??;
        committed.await.map_err(|_| Error::Stopped)
    }
}

const QUEUE_JOBS_MAX: usize = 1024;
const QUEUE_WAIT: Duration = Duration::from_secs(5);
/// Bounds the time that the first of a batch waits for the last.
const BATCH_JOBS_MAX: usize = 128;
/// A batch has costs of its own (its head is signed, its log synced): measured, reads of 16 clients that share more
/// syncs take less of the processor.
const GATHERED: usize = 8;
/// No longer than a sync takes.
const GATHERING: Duration = Duration::from_millis(2);

async fn run(
    mut connection: SqliteConnection,
    checkpoint: Checkpoint,
    mut sealer: Sealer,
    mut jobs: mpsc::Receiver<Queued>,
) {
    let mut batch = Vec::with_capacity(BATCH_JOBS_MAX);
    let mut before = 0;
    while jobs.recv_many(&mut batch, BATCH_JOBS_MAX).await > 0 {
        // Whoever writes alone is not kept waiting, nor is a deposit; among many lines, few a batch cost each of them more.
        if before > 1 && is_light(&batch) {
            let _ = timeout(GATHERING, gather(&mut jobs, &mut batch)).await;
        }
        before = batch.len();
        histogram!("carnet_store_batch_writes").record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
        commit(&mut connection, &mut sealer, &mut batch).await;
        checkpoint.after_commit(&mut connection).await;
    }
}

fn is_light(batch: &[Queued]) -> bool {
    batch.len() < GATHERED && batch.iter().all(|queued| queued.weight == Weight::Line)
}

/// Until the batch is light no more, or nobody is left who could bring a job.
async fn gather(jobs: &mut mpsc::Receiver<Queued>, batch: &mut Vec<Queued>) {
    while is_light(batch) {
        let room = BATCH_JOBS_MAX - batch.len();
        if jobs.recv_many(batch, room).await == 0 {
            return;
        }
    }
}

/// Runs one batch. Whoever's job held hears of the commit; whoever's failed hears why.
async fn commit(connection: &mut SqliteConnection, sealer: &mut Sealer, batch: &mut Vec<Queued>) {
    let mut tx = Tx::batch(connection);
    let mut held = Vec::with_capacity(batch.len());
    let mut waiting = batch.drain(..);
    let outcome = match run_all(&mut tx, sealer, &mut waiting, &mut held).await {
        Ok(()) => tx.commit().await,
        Err(error) => {
            tx.abandon().await;
            Err(error)
        }
    };
    match outcome {
        Ok(()) => {
            sealer.committed();
            for done in held {
                drop(done.send(Ok(())));
            }
        }
        Err(error) => {
            counter!("carnet_store_commit_failures_total").increment(1);
            for done in held.into_iter().chain(waiting.map(|queued| queued.done)) {
                drop(done.send(Err(error.for_each_of_a_batch())));
            }
        }
    }
}

/// Errors: the transaction as a whole is lost.
async fn run_all(
    tx: &mut Tx<'_>,
    sealer: &mut Sealer,
    waiting: &mut impl Iterator<Item = Queued>,
    held: &mut Vec<Done>,
) -> Result<(), Error> {
    for Queued { job, done, .. } in waiting {
        let mark = tx.mark();
        // A job that panics is undone like one that fails: nobody else's write is lost with it.
        let outcome = match AssertUnwindSafe(job(tx)).catch_unwind().await {
            Ok(Ok(())) => tx.keep().await,
            Ok(Err(refused)) => Err(refused),
            Err(_) => Err(Error::Panicked),
        };
        match outcome {
            Ok(()) => held.push(done),
            Err(refused) if tx.undo(mark).await.is_ok() => drop(done.send(Err(refused))),
            Err(refused) => {
                // The transaction itself is gone; the job's own error says why.
                held.push(done);
                return Err(refused);
            }
        }
    }
    sealer.seal(tx).await
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::spool::Spooled;
    use crate::store::Store;
    use crate::store::connect::{Journaling, Room};
    use crate::store::executor::Param;
    use crate::store::journal::{PendingLine, append, list_after};

    async fn store(folder: &Path) -> Store {
        let room = Room { bytes_max: 0, free_bytes_min: 0 };
        let journaling = Journaling::Continued { key: folder.join("journal.key") };
        Store::open_sqlite(&folder.join("carnet.db"), &folder.join("documents"), room, journaling).await.unwrap()
    }

    const INSERT: &str = "INSERT INTO dossier (dossier_id, opened_us, state) VALUES ($1, 0, 'activated')";

    fn named(name: &str) -> Vec<Param> {
        vec![name.into()]
    }

    async fn names(store: &Store) -> Vec<String> {
        let rows = store.read("test", |tx| {
            Box::pin(tx.fetch_all("SELECT dossier_id FROM dossier ORDER BY dossier_id", Vec::new()))
        });
        rows.await.unwrap().iter().map(|row| row.text(0).unwrap()).collect()
    }

    async fn lines(store: &Store) -> Vec<String> {
        let rows = store.read("test", |tx| Box::pin(list_after(tx, 0, 100))).await.unwrap();
        rows.into_iter().map(|row| row.line).collect()
    }

    fn note(tx: &mut Tx<'_>, line: &str) {
        let (at, dossier_id) = (jiff::Timestamp::UNIX_EPOCH, String::new());
        append(tx, PendingLine { at, dossier_id, line: line.to_owned() });
    }

    /// Holds the writer until all of `writes` are in its queue, so that they share a batch; the write that held it may
    /// be in that batch too.
    async fn together<A, B>(store: &Store, writes: (impl Future<Output = A>, impl Future<Output = B>)) -> (A, B) {
        let (open, gate) = oneshot::channel::<()>();
        let held = store.write("held", |_| Box::pin(async move { gate.await.map_err(|_| Error::Stopped) }));
        let (_, first, second, _) = tokio::join!(held, writes.0, writes.1, async { open.send(()) });
        (first, second)
    }

    fn names_len(tx: &mut Tx<'_>) -> usize {
        tx.lines().len()
    }

    fn twice(tx: &mut Tx<'_>) {
        tx.write(INSERT, named("twice"));
        tx.write(INSERT, named("twice"));
    }

    #[tokio::test]
    async fn a_write_that_fails_at_its_end_leaves_nothing_and_nobody_else_notices() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let fails = store.write("fails", |tx| {
            Box::pin(async move {
                tx.execute(INSERT, named("of the one that fails")).await?;
                twice(tx);
                note(tx, "of the one that fails");
                Ok(())
            })
        });
        let holds = store.write("holds", |tx| {
            Box::pin(async move {
                note(tx, "of the one that holds");
                tx.execute(INSERT, named("of the one that holds")).await.map(drop)
            })
        });
        let (failed, held) = together(&store, (fails, holds)).await;
        assert!(matches!(failed, Err(Error::Duplicate)), "{failed:?}");
        held.unwrap();
        assert_eq!(names(&store).await, ["of the one that holds"]);
        assert_eq!(lines(&store).await, ["of the one that holds"]);
    }

    #[tokio::test]
    async fn one_that_fails_before_it_sent_anything_takes_nothing_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let holds = store.write("holds", |tx| Box::pin(async { tx.execute(INSERT, named("kept")).await.map(drop) }));
        let fails = store.write("fails", |tx| {
            Box::pin(async {
                tx.write(INSERT, named("never sent"));
                Err::<(), _>(Error::Busy)
            })
        });
        let (held, failed) = together(&store, (holds, fails)).await;
        held.unwrap();
        failed.unwrap_err();
        assert_eq!(names(&store).await, ["kept"]);
    }

    #[tokio::test]
    async fn a_database_that_ends_the_transaction_itself_fails_the_whole_batch() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let holds = store.write("holds", |tx| {
            Box::pin(async {
                note(tx, "of the first");
                tx.execute(INSERT, named("of the first")).await.map(drop)
            })
        });
        let fills = store.write("fills", |tx| {
            Box::pin(async {
                tx.fetch_all("PRAGMA max_page_count = 1", Vec::new()).await?;
                tx.write(INSERT, named(&"long".repeat(1 << 18)));
                Ok(())
            })
        });
        let (held, filled) = together(&store, (holds, fills)).await;
        assert!(matches!((&held, &filled), (Err(Error::Full), Err(Error::Full))), "{held:?} {filled:?}");
        assert!(names(&store).await.is_empty() && lines(&store).await.is_empty());
    }

    #[tokio::test]
    async fn a_write_that_panics_is_undone_and_the_writer_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let panics = store.write("panics", |tx| {
            Box::pin(async move {
                tx.execute(INSERT, named("half")).await?;
                // As a bug would.
                assert_eq!(names_len(tx), 1);
                Ok(())
            })
        });
        assert!(matches!(panics.await, Err(Error::Panicked)));
        store.probe().await.unwrap();
        assert!(names(&store).await.is_empty());
    }

    #[tokio::test]
    async fn a_document_whose_write_fails_is_given_back_after_its_row_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let placed = store.place(Spooled::of("document")).await.unwrap();
        let location = placed.location();
        let write = store.write("fails", move |tx| {
            Box::pin(async move {
                tx.write(INSERT, named("names the document"));
                tx.hold(placed);
                twice(tx);
                Ok(())
            })
        });
        write.await.unwrap_err();
        assert!(names(&store).await.is_empty());
        assert_eq!(store.open_document(location).await.unwrap().read(0, 8).await.unwrap(), [0; 8][..]);
    }
}
