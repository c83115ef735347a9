//! What may go wrong between us and the database.

use std::io::ErrorKind;

use crate::refusal::{Failure, Fault, Refusal, Rule};

/// Errors of the store. What the sender can wait for is told apart from what only we can mend.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process holds the database, or the queue of writers is full: worth trying again.
    #[error("the database is busy")]
    Busy,
    /// No room left on the disk or within the configured size.
    #[error("the database is full")]
    Full,
    /// A key that must be unique is already there.
    #[error("a unique key is already taken")]
    Duplicate,
    #[error("table {table}: {problem}")]
    InconsistentRow { table: &'static str, problem: String },
    #[error("{context}")]
    Driver { context: &'static str, source: sqlx::Error },
    #[error("migration")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error("{0}")]
    Settings(String),
    /// The batch that this write shared failed as a whole; nothing of it is stored.
    #[error("the shared commit failed: {0}")]
    Commit(String),
    #[error("files of the store")]
    File(#[source] std::io::Error),
    #[error("the writer has stopped")]
    Stopped,
    #[error("a write panicked")]
    Panicked,
}

impl Error {
    pub(super) fn driver(context: &'static str, source: sqlx::Error) -> Self {
        match source.as_database_error() {
            Some(error) if error.is_unique_violation() => Self::Duplicate,
            Some(error) => match error.code().as_deref().map(primary_code) {
                Some(SQLITE_BUSY | SQLITE_LOCKED) => Self::Busy,
                Some(SQLITE_FULL) => Self::Full,
                _ => Self::Driver { context, source },
            },
            None => Self::Driver { context, source },
        }
    }

    pub(super) fn inconsistent(table: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::InconsistentRow { table, problem: problem.to_string() }
    }

    /// The same failure for every job of a batch; the cause itself cannot be cloned.
    pub(super) fn for_each_of_a_batch(&self) -> Self {
        match self {
            Self::Busy => Self::Busy,
            Self::Full => Self::Full,
            other => Self::Commit(other.to_string()),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::File(error),
        }
    }
}

/// What whoever asked can do about it: wait, or nothing.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Busy => {
                Refusal::new(Rule::Busy, "store", "no free turn", "the same request again after Retry-After").into()
            }
            Error::Full => {
                Refusal::new(Rule::StorageFull, "store", "no room", "the same request again once there is room").into()
            }
            other => Fault::new("store", other).into(),
        }
    }
}

const SQLITE_BUSY: i64 = 5;
const SQLITE_LOCKED: i64 = 6;
const SQLITE_FULL: i64 = 13;

/// SQLite puts the primary result code in the low byte of the extended one.
fn primary_code(code: &str) -> i64 {
    code.parse::<i64>().unwrap_or(0) & 0xff
}
