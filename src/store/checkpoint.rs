//! Copies the write-ahead log into the database file beside the writer, not in its way.
//!
//! SQLite would do it inside a commit, for as long as the log is: every batch in the queue would wait. Here a
//! connection of its own copies while the writer goes on; what came meanwhile is little, and the writer copies
//! that between two batches, so that the log starts anew instead of growing for ever. Durability is not at stake:
//! the log holds every commit until it is copied and synced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::mpsc;

use super::error::Error;

/// The writer's end of the copier. The copier ends with it.
pub(super) struct Checkpoint {
    /// Holds one message: that something was committed since the last copy.
    committed: mpsc::Sender<()>,
    /// The copier has caught up and the log is long: the writer's turn.
    to_finish: Arc<AtomicBool>,
}

impl Checkpoint {
    /// Starts the copier.
    pub(super) fn start(connection: SqliteConnection) -> Self {
        let (committed, commits) = mpsc::channel(1);
        let to_finish = Arc::<AtomicBool>::default();
        tokio::spawn(copy_along(commits, Arc::clone(&to_finish), connection));
        Self { committed, to_finish }
    }

    /// Called by the writer after each commit, outside of any transaction.
    pub(super) async fn after_commit(&self, writer: &mut SqliteConnection) {
        // Full: the copier has been told already.
        let _ = self.committed.try_send(());
        if self.to_finish.swap(false, Ordering::Relaxed) {
            report(copy(writer).await);
        }
    }
}

/// Between two copies: many commits share one.
const PAUSE: Duration = Duration::from_millis(400);
/// Of 4 KiB: a log of 32 MiB is worth starting anew.
const LONG_LOG_PAGES: i64 = 8192;

async fn copy_along(mut commits: mpsc::Receiver<()>, to_finish: Arc<AtomicBool>, mut connection: SqliteConnection) {
    while commits.recv().await.is_some() {
        let mut pages = report(copy(&mut connection).await);
        if pages >= LONG_LOG_PAGES {
            // Once more, for what was written during the long copy.
            pages = report(copy(&mut connection).await);
        }
        to_finish.store(pages >= LONG_LOG_PAGES, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Copies what no reader still needs in the log; tells how many pages the log has.
async fn copy(connection: &mut SqliteConnection) -> Result<i64, Error> {
    let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(connection).await;
    let pages = row.and_then(|row| row.try_get(1));
    pages.map_err(|error| Error::driver("checkpoint", error))
}

/// A copy that fails costs nothing but a longer log: it is tried again after the next commit.
fn report(copied: Result<i64, Error>) -> i64 {
    copied.unwrap_or_else(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "the write-ahead log was not copied");
        0
    })
}
