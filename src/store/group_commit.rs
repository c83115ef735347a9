//! Many writes, one sync.
//!
//! One writer owns the only writing connection. It takes what waits in its queue, runs each write in a savepoint
//! of one transaction, writes the journal lines of all, commits once, and only then tells them. While a batch
//! syncs, the next one gathers, so the cost of a sync is shared by whoever came meanwhile. A write that fails undoes
//! its own savepoint and nobody else's. The queue is bounded: who finds it full for too long is told to come back.

use std::time::Duration;

use futures_util::future::BoxFuture;
use metrics::{counter, histogram};
use sqlx::sqlite::SqliteConnection;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{mpsc, oneshot};

use super::checkpoint::Checkpoint;
use super::error::Error;
use super::executor::Tx;
use super::journal;

/// One write, erased: runs in a savepoint, keeps its result until the commit is known.
type Job = Box<dyn for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<(), Error>> + Send>;

struct Queued {
    job: Job,
    done: Done,
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
    pub(super) fn start(connection: SqliteConnection, checkpoint: Checkpoint) -> Result<Self, Error> {
        let (queue, jobs) = mpsc::channel(QUEUE_JOBS_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let writer = move || runtime.block_on(run(connection, checkpoint, jobs));
        std::thread::Builder::new().name("carnet-writer".to_owned()).spawn(writer)?;
        Ok(Self { queue })
    }

    /// Runs `job` and returns once its effects are on stable storage.
    ///
    /// Errors: `Busy` when the queue stays full; else what the job or the shared commit met.
    pub(super) async fn write<T, F>(&self, job: F) -> Result<T, Error>
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
        self.queue.send_timeout(Queued { job: erased, done }, QUEUE_WAIT).await.map_err(|error| match error {
            SendTimeoutError::Timeout(_) => Error::Busy,
            SendTimeoutError::Closed(_) => Error::Stopped,
        })?;
        answer.await.map_err(|_| Error::Stopped)??;
        committed.await.map_err(|_| Error::Stopped)
    }
}

const QUEUE_JOBS_MAX: usize = 1024;
const QUEUE_WAIT: Duration = Duration::from_secs(5);
/// Bounds the time that the first of a batch waits for the last.
const BATCH_JOBS_MAX: usize = 128;

async fn run(mut connection: SqliteConnection, checkpoint: Checkpoint, mut jobs: mpsc::Receiver<Queued>) {
    let mut batch = Vec::with_capacity(BATCH_JOBS_MAX);
    while jobs.recv_many(&mut batch, BATCH_JOBS_MAX).await > 0 {
        histogram!("carnet_store_batch_writes").record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
        commit(&mut connection, &mut batch).await;
        checkpoint.after_commit(&mut connection).await;
    }
}

/// Runs one batch. Whoever's job held hears of the commit; whoever's failed hears why.
async fn commit(connection: &mut SqliteConnection, batch: &mut Vec<Queued>) {
    let mut tx = Tx::batch(connection);
    let mut held = Vec::with_capacity(batch.len());
    let mut waiting = batch.drain(..);
    let outcome = match run_all(&mut tx, &mut waiting, &mut held).await {
        Ok(()) => {
            journal::write_pending(&mut tx);
            tx.commit().await
        }
        Err(error) => {
            tx.abandon().await;
            Err(error)
        }
    };
    match outcome {
        Ok(()) => held.into_iter().for_each(|done| drop(done.send(Ok(())))),
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
    waiting: &mut impl Iterator<Item = Queued>,
    held: &mut Vec<Done>,
) -> Result<(), Error> {
    journal::begin(tx).await?;
    for Queued { job, done } in waiting {
        let mark = tx.mark();
        let outcome = match job(tx).await {
            Ok(()) => tx.keep().await,
            Err(refused) => Err(refused),
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
    Ok(())
}
