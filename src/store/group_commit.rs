//! Many writes, one sync.
//!
//! One writer owns the only writing connection. It takes what waits in its queue, runs each write in a
//! savepoint of one transaction, commits once, and only then tells them all. While a batch syncs, the next
//! one gathers, so the cost of a sync is shared by whoever came meanwhile. A write that fails undoes its own
//! savepoint and nobody else's. The queue is bounded: who finds it full for too long is told to come back.

use std::time::Duration;

use futures_util::future::BoxFuture;
use metrics::{counter, histogram};
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot};

use super::error::Error;
use super::executor::Tx;

/// One write, erased: runs in a savepoint, keeps its result until the commit is known.
type Job = Box<dyn for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<(), Error>> + Send>;

struct Queued {
    job: Job,
    done: oneshot::Sender<Result<(), Error>>,
}

/// Handle on the queue of the writer.
#[derive(Clone)]
pub(super) struct GroupCommit {
    queue: mpsc::Sender<Queued>,
}

impl GroupCommit {
    /// Starts the writer on its connection. It ends, after a last commit, when every handle is gone.
    pub(super) fn start(connection: SqliteConnection) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE_JOBS_MAX);
        tokio::spawn(run(connection, jobs));
        Self { queue }
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
        self.queue.send_timeout(Queued { job: erased, done }, QUEUE_WAIT).await.map_err(|_| Error::Busy)?;
        answer.await.map_err(|_| Error::Stopped)??;
        committed.await.map_err(|_| Error::Stopped)
    }
}

const QUEUE_JOBS_MAX: usize = 1024;
const QUEUE_WAIT: Duration = Duration::from_secs(5);
/// Bounds the time that the first of a batch waits for the last.
const BATCH_JOBS_MAX: usize = 128;

async fn run(mut connection: SqliteConnection, mut jobs: mpsc::Receiver<Queued>) {
    let mut batch = Vec::with_capacity(BATCH_JOBS_MAX);
    while jobs.recv_many(&mut batch, BATCH_JOBS_MAX).await > 0 {
        histogram!("carnet_store_batch_writes").record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
        commit(&mut connection, &mut batch).await;
    }
}

/// Runs one batch. Whoever's savepoint held hears of the commit; whoever failed hears why.
async fn commit(connection: &mut SqliteConnection, batch: &mut Vec<Queued>) {
    if let Err(error) = statement(connection, "BEGIN IMMEDIATE").await {
        counter!("carnet_store_commit_failures_total").increment(1);
        fail_all(batch.drain(..).map(|queued| queued.done), &error);
        return;
    }
    let mut held = Vec::with_capacity(batch.len());
    let mut waiting = batch.drain(..);
    for Queued { job, done } in waiting.by_ref() {
        match in_savepoint(connection, job).await {
            Ok(Ok(())) => held.push(done),
            Ok(Err(refused)) => drop(done.send(Err(refused))),
            Err(broken) => {
                // The transaction itself is gone (a full disk does that): nothing of this batch holds.
                let _ = statement(connection, "ROLLBACK").await;
                counter!("carnet_store_commit_failures_total").increment(1);
                let senders = held.into_iter().chain([done]).chain(waiting.map(|queued| queued.done));
                fail_all(senders, &broken);
                return;
            }
        }
    }
    drop(waiting);
    match statement(connection, "COMMIT").await {
        Ok(()) => held.into_iter().for_each(|done| drop(done.send(Ok(())))),
        Err(error) => {
            let _ = statement(connection, "ROLLBACK").await;
            counter!("carnet_store_commit_failures_total").increment(1);
            fail_all(held.into_iter(), &error);
        }
    }
}

/// Outer error: the transaction is lost. Inner error: this job alone failed and is undone.
async fn in_savepoint(connection: &mut SqliteConnection, job: Job) -> Result<Result<(), Error>, Error> {
    statement(connection, "SAVEPOINT job").await?;
    let outcome = job(&mut Tx::new(connection)).await;
    if let Err(refused) = outcome {
        return match statement(connection, "ROLLBACK TO job").await {
            Ok(()) => statement(connection, "RELEASE job").await.map(|()| Err(refused)),
            // The whole transaction is gone: the job's own error says why.
            Err(_) => Err(refused),
        };
    }
    statement(connection, "RELEASE job").await?;
    Ok(outcome)
}

fn fail_all(senders: impl Iterator<Item = oneshot::Sender<Result<(), Error>>>, error: &Error) {
    senders.for_each(|done| drop(done.send(Err(error.for_each_of_a_batch()))));
}

async fn statement(connection: &mut SqliteConnection, text: &'static str) -> Result<(), Error> {
    sqlx::query(text).execute(connection).await.map(drop).map_err(|error| Error::driver(text, error))
}
