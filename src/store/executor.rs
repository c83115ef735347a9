//! The small executor that noun files speak to: statements, parameters, rows.
//!
//! Text, 64-bit integers, bytes and NULL are all that passes, so that a second database needs one more arm
//! here and nothing in the noun files.

use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments as _, Row as _};

use super::error::Error;
use super::journal::JournalRow;

/// One transaction: a snapshot for reads, or the batch that several writes share.
///
/// A write of a batch opens its savepoint with its first statement, so that one which only adds a journal line
/// costs no statement at all; the lines of a batch are written together at its end.
pub struct Tx<'c> {
    connection: &'c mut SqliteConnection,
    savepoint: Savepoint,
    journal: PendingLines,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Savepoint {
    /// A read: nothing to undo.
    Unneeded,
    /// To be opened by the next statement.
    Due,
    Open,
}

/// Journal lines of a batch that its commit will hold.
#[derive(Debug, Default)]
pub(super) struct PendingLines {
    /// The last line known, written or pending; `None` until it is asked for.
    pub(super) last: Option<Last>,
    pub(super) rows: Vec<JournalRow>,
}

/// Position and seal of the last line; position 0 before the first.
#[derive(Debug, Clone)]
pub struct Last {
    pub position: i64,
    pub seal: Vec<u8>,
}

/// Where a job began: what a failure goes back to.
pub(super) struct Mark {
    last: Option<Last>,
    rows: usize,
}

/// A value that a statement binds.
#[derive(Debug, Clone)]
pub enum Param {
    Text(String),
    Integer(i64),
    Bytes(Vec<u8>),
    Null,
}

/// One row of an answer, read by column position.
pub struct Row(SqliteRow);

impl<'c> Tx<'c> {
    pub(super) fn snapshot(connection: &'c mut SqliteConnection) -> Self {
        Self { connection, savepoint: Savepoint::Unneeded, journal: PendingLines::default() }
    }

    pub(super) fn batch(connection: &'c mut SqliteConnection) -> Self {
        Self { connection, savepoint: Savepoint::Due, journal: PendingLines::default() }
    }

    pub(super) fn journal(&mut self) -> &mut PendingLines {
        &mut self.journal
    }

    /// Begins a job of a batch.
    pub(super) fn mark(&self) -> Mark {
        Mark { last: self.journal.last.clone(), rows: self.journal.rows.len() }
    }

    /// Keeps what the job since the last mark did.
    pub(super) async fn keep(&mut self) -> Result<(), Error> {
        self.end_savepoint(&["RELEASE job"]).await
    }

    /// Undoes what the job since `mark` did.
    pub(super) async fn undo(&mut self, mark: Mark) -> Result<(), Error> {
        self.journal.last = mark.last;
        self.journal.rows.truncate(mark.rows);
        self.end_savepoint(&["ROLLBACK TO job", "RELEASE job"]).await
    }

    async fn end_savepoint(&mut self, statements: &[&'static str]) -> Result<(), Error> {
        if self.savepoint == Savepoint::Open {
            for statement in statements {
                self.plain(statement).await?;
            }
            self.savepoint = Savepoint::Due;
        }
        Ok(())
    }

    async fn open_savepoint(&mut self) -> Result<(), Error> {
        if self.savepoint == Savepoint::Due {
            self.plain("SAVEPOINT job").await?;
            self.savepoint = Savepoint::Open;
        }
        Ok(())
    }

    /// A statement without parameters or rows: BEGIN, COMMIT and their like.
    pub(super) async fn plain(&mut self, statement: &'static str) -> Result<(), Error> {
        let done = sqlx::query(statement).execute(&mut *self.connection).await;
        done.map(drop).map_err(|error| Error::driver(statement, error))
    }

    /// Runs a statement and tells how many rows it changed.
    pub(super) async fn execute(&mut self, statement: &'static str, params: Vec<Param>) -> Result<u64, Error> {
        self.open_savepoint().await?;
        sqlx::query_with(statement, bind(params)?)
            .execute(&mut *self.connection)
            .await
            .map(|done| done.rows_affected())
            .map_err(|error| Error::driver(name_of(statement), error))
    }

    pub(super) async fn fetch_all(&mut self, statement: &'static str, params: Vec<Param>) -> Result<Vec<Row>, Error> {
        self.open_savepoint().await?;
        let rows = sqlx::query_with(statement, bind(params)?).fetch_all(&mut *self.connection).await;
        rows.map(|rows| rows.into_iter().map(Row).collect()).map_err(|error| Error::driver(name_of(statement), error))
    }

    pub(super) async fn fetch_optional(
        &mut self,
        statement: &'static str,
        params: Vec<Param>,
    ) -> Result<Option<Row>, Error> {
        self.open_savepoint().await?;
        let row = sqlx::query_with(statement, bind(params)?).fetch_optional(&mut *self.connection).await;
        row.map(|row| row.map(Row)).map_err(|error| Error::driver(name_of(statement), error))
    }

    /// For statements composed of fixed pieces: the text holds placeholders only, never a value.
    pub(super) async fn fetch_composed(&mut self, statement: String, params: Vec<Param>) -> Result<Vec<Row>, Error> {
        self.open_savepoint().await?;
        let rows = sqlx::query_with(sqlx::AssertSqlSafe(statement), bind(params)?).fetch_all(&mut *self.connection);
        let rows = rows.await.map_err(|error| Error::driver("composed statement", error))?;
        Ok(rows.into_iter().map(Row).collect())
    }
}

impl Row {
    pub(super) fn text(&self, column: usize) -> Result<String, Error> {
        self.0.try_get(column).map_err(|error| Error::driver("text column", error))
    }

    pub(super) fn text_or_null(&self, column: usize) -> Result<Option<String>, Error> {
        self.0.try_get(column).map_err(|error| Error::driver("text column", error))
    }

    pub(super) fn integer(&self, column: usize) -> Result<i64, Error> {
        self.0.try_get(column).map_err(|error| Error::driver("integer column", error))
    }

    pub(super) fn integer_or_null(&self, column: usize) -> Result<Option<i64>, Error> {
        self.0.try_get(column).map_err(|error| Error::driver("integer column", error))
    }

    pub(super) fn bytes(&self, column: usize) -> Result<Vec<u8>, Error> {
        self.0.try_get(column).map_err(|error| Error::driver("bytes column", error))
    }
}

impl From<&str> for Param {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Param {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Param {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u32> for Param {
    fn from(number: u32) -> Self {
        Self::Integer(i64::from(number))
    }
}

impl From<usize> for Param {
    /// Positions and sizes: none comes near the end of 63 bits.
    fn from(number: usize) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<Vec<u8>> for Param {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<jiff::Timestamp> for Param {
    fn from(instant: jiff::Timestamp) -> Self {
        Self::Integer(instant.as_microsecond())
    }
}

impl<T: Into<Param>> From<Option<T>> for Param {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

fn bind(params: Vec<Param>) -> Result<SqliteArguments, Error> {
    let mut arguments = SqliteArguments::default();
    for param in params {
        let added = match param {
            Param::Text(text) => arguments.add(text),
            Param::Integer(number) => arguments.add(number),
            Param::Bytes(bytes) => arguments.add(bytes),
            Param::Null => arguments.add(Option::<String>::None),
        };
        added.map_err(|error| Error::Driver { context: "bind", source: sqlx::Error::Encode(error) })?;
    }
    Ok(arguments)
}

/// Every statement starts with `-- store::noun::verb`: errors and slow-query logs name it.
fn name_of(statement: &'static str) -> &'static str {
    statement.lines().next().unwrap_or_default().trim_start_matches("-- ")
}
