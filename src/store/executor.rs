//! The small executor that noun files speak to: statements, parameters, rows.
//!
//! Text, 64-bit integers, bytes and NULL are all that passes, so that a second database needs one more arm
//! here and nothing in the noun files.
//!
//! The database works on a thread of its own, and the way there and back costs more than most statements: what needs
//! no answer waits for the next statement that does, and they go in one trip.

use std::borrow::Cow;
use std::fmt::Write as _;

use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, Either, Executor as _, Row as _};

use super::error::Error;
use super::journal::PendingLine;
use super::volume::Placed;

/// One transaction: a snapshot for reads, or the batch that several writes share.
///
/// A write of a batch opens its savepoint with its first statement, so that one which only adds a journal line
/// costs no statement at all; the lines of a batch are written together at its end.
pub struct Tx<'c> {
    connection: &'c mut SqliteConnection,
    savepoint: Savepoint,
    /// Of the job under way; the next one has the other.
    name: SavepointName,
    /// What waits for the next trip.
    waiting: Vec<Statement>,
    /// Journal lines of the jobs that held, to be sealed at the end of the batch.
    lines: Vec<PendingLine>,
    /// Documents that rows of this batch name.
    placed: Vec<Placed>,
    /// How often the database was asked.
    trips: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Savepoint {
    /// A read: nothing to undo.
    Unneeded,
    /// To be opened by the next statement.
    Due,
    /// Waits with the job's first statements.
    Queued,
    /// Sent, and there to go back to, unless the trip that should have opened it says otherwise.
    Open,
}

/// Two in turn: a job can never go back to where the one before it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SavepointName {
    One,
    Other,
}

/// A text of fixed pieces and numbered placeholders, never a value, and what the placeholders stand for.
struct Statement {
    text: Cow<'static, str>,
    params: Vec<Param>,
}

#[derive(Default)]
struct Answer {
    rows: Vec<Row>,
    changed: u64,
}

/// Where a job began: what a failure goes back to.
pub(super) struct Mark {
    lines: usize,
    placed: usize,
    waiting: usize,
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
        Self::new(connection, Savepoint::Unneeded)
    }

    /// A batch: begins with its first statement.
    pub(super) fn batch(connection: &'c mut SqliteConnection) -> Self {
        let mut batch = Self::new(connection, Savepoint::Due);
        batch.wait("BEGIN IMMEDIATE", Vec::new());
        batch
    }

    fn new(connection: &'c mut SqliteConnection, savepoint: Savepoint) -> Self {
        let (waiting, lines, placed) = (Vec::new(), Vec::new(), Vec::new());
        Self { connection, savepoint, name: SavepointName::One, waiting, lines, placed, trips: 0 }
    }

    pub(super) fn trips(&self) -> u32 {
        self.trips
    }

    /// Journal lines that this batch will write.
    pub(super) fn lines(&mut self) -> &mut Vec<PendingLine> {
        &mut self.lines
    }

    /// Holds a document that a row now names, until the end of the batch is known.
    pub(super) fn hold(&mut self, document: Placed) {
        self.placed.push(document);
    }

    /// Begins a job of a batch.
    pub(super) fn mark(&self) -> Mark {
        Mark { lines: self.lines.len(), placed: self.placed.len(), waiting: self.waiting.len() }
    }

    /// Keeps what the job since the last mark did. Errors: the job failed after all, and is to be undone.
    pub(super) async fn keep(&mut self) -> Result<(), Error> {
        if self.savepoint == Savepoint::Due {
            return Ok(());
        }
        // What waits may yet fail, and then it is this job's failure; where nothing does, there is nothing to learn.
        let may_fail = !self.waiting.is_empty();
        self.wait(self.name.release(), Vec::new());
        if may_fail {
            self.go("keep").await?;
        }
        self.end_job();
        Ok(())
    }

    /// Undoes what the job since `mark` did. Errors: the transaction as a whole is lost.
    pub(super) async fn undo(&mut self, mark: Mark) -> Result<(), Error> {
        match self.savepoint {
            Savepoint::Unneeded | Savepoint::Due => {}
            Savepoint::Queued => self.waiting.truncate(mark.waiting),
            Savepoint::Open => {
                self.waiting.clear();
                self.wait(self.name.roll_back(), Vec::new());
                self.wait(self.name.release(), Vec::new());
                self.go("undo").await?;
            }
        }
        self.end_job();
        // Not before: what a row still names must stay.
        self.lines.truncate(mark.lines);
        self.placed.truncate(mark.placed);
        Ok(())
    }

    fn end_job(&mut self) {
        self.savepoint = Savepoint::Due;
        self.name = self.name.next();
    }

    /// Ends a batch: what it did is on stable storage. Errors: it may be, or not; nothing of it was told to anybody.
    pub(super) async fn commit(mut self) -> Result<(), Error> {
        self.wait("COMMIT", Vec::new());
        let committed = self.go("commit").await;
        if committed.is_err() {
            self.roll_back().await;
        }
        // After a commit that failed half-way, a row may yet come back and name its document.
        self.placed.drain(..).for_each(Placed::keep);
        committed.map(drop)
    }

    /// Ends a batch of which nothing is to stay.
    pub(super) async fn abandon(mut self) {
        self.roll_back().await;
    }

    /// Where the transaction itself is gone (a full disk does that), there is nothing left to roll back.
    async fn roll_back(&mut self) {
        self.waiting.clear();
        self.wait("ROLLBACK", Vec::new());
        let _ = self.go("rollback").await;
    }

    /// A write whose answer does not matter: goes with the next statement, at the latest with the end of its job.
    pub(super) fn write(&mut self, statement: impl Into<Cow<'static, str>>, params: Vec<Param>) {
        if self.savepoint == Savepoint::Due {
            self.wait(self.name.open(), Vec::new());
            self.savepoint = Savepoint::Queued;
        }
        self.wait(statement, params);
    }

    /// The same outside of any job.
    pub(super) fn wait(&mut self, statement: impl Into<Cow<'static, str>>, params: Vec<Param>) {
        self.waiting.push(Statement { text: statement.into(), params });
    }

    /// Two questions of the batch itself, outside of any job.
    pub(super) async fn wait_for_both(
        &mut self,
        first: (impl Into<Cow<'static, str>>, Vec<Param>),
        second: (impl Into<Cow<'static, str>>, Vec<Param>),
    ) -> Result<(Vec<Row>, Vec<Row>), Error> {
        self.wait(first.0, first.1);
        self.wait(second.0, second.1);
        self.go_for_both("end of the batch").await
    }

    /// Runs a statement and tells how many rows it changed.
    pub(super) async fn execute(&mut self, statement: &'static str, params: Vec<Param>) -> Result<u64, Error> {
        self.write(statement, params);
        Ok(self.go(name_of(statement)).await?.pop().unwrap_or_default().changed)
    }

    pub(super) async fn fetch_all(&mut self, statement: &'static str, params: Vec<Param>) -> Result<Vec<Row>, Error> {
        self.write(statement, params);
        Ok(self.go(name_of(statement)).await?.pop().unwrap_or_default().rows)
    }

    /// Two questions in one trip, for what is always asked together.
    pub(super) async fn fetch_both(
        &mut self,
        first: (&'static str, Vec<Param>),
        second: (&'static str, Vec<Param>),
    ) -> Result<(Vec<Row>, Vec<Row>), Error> {
        self.write(first.0, first.1);
        self.write(second.0, second.1);
        self.go_for_both(name_of(first.0)).await
    }

    async fn go_for_both(&mut self, context: &'static str) -> Result<(Vec<Row>, Vec<Row>), Error> {
        let mut answers = self.go(context).await?;
        let second = answers.pop().unwrap_or_default();
        Ok((answers.pop().unwrap_or_default().rows, second.rows))
    }

    pub(super) async fn fetch_optional(
        &mut self,
        statement: &'static str,
        params: Vec<Param>,
    ) -> Result<Option<Row>, Error> {
        Ok(self.fetch_all(statement, params).await?.into_iter().next())
    }

    /// For statements composed of fixed pieces: the text holds placeholders only, never a value.
    pub(super) async fn fetch_composed(&mut self, statement: String, params: Vec<Param>) -> Result<Vec<Row>, Error> {
        self.write(statement, params);
        Ok(self.go("composed statement").await?.pop().unwrap_or_default().rows)
    }

    /// Sends all that waits, in its order; the first that fails ends the trip. Gives the answer of each.
    async fn go(&mut self, context: &'static str) -> Result<Vec<Answer>, Error> {
        if self.savepoint == Savepoint::Queued {
            self.savepoint = Savepoint::Open;
        }
        self.trips += 1;
        let sent = self.waiting.len();
        let mut answers = Vec::with_capacity(sent);
        let Statement { text, params } = join(self.waiting.drain(..));
        // A long text is one of many rows, and of nobody else: it is not kept prepared.
        let is_usual = text.len() <= TEXT_KEPT_BYTES_MAX;
        let query = sqlx::query_with(AssertSqlSafe(text.into_owned()), bind(params)?).persistent(is_usual);
        let mut coming = (&mut *self.connection).fetch_many(query);
        let mut rows = Vec::new();
        while let Some(part) = coming.try_next().await.map_err(|error| Error::driver(context, error))? {
            match part {
                Either::Left(done) => {
                    answers.push(Answer { rows: std::mem::take(&mut rows), changed: done.rows_affected() });
                }
                Either::Right(row) => rows.push(Row(row)),
            }
        }
        // The database's thread may end in the midst of a trip, and says so by saying nothing more.
        if answers.len() == sent { Ok(answers) } else { Err(Error::Stopped) }
    }
}

impl SavepointName {
    fn next(self) -> Self {
        match self {
            Self::One => Self::Other,
            Self::Other => Self::One,
        }
    }

    fn open(self) -> &'static str {
        match self {
            Self::One => "SAVEPOINT one",
            Self::Other => "SAVEPOINT other",
        }
    }

    fn release(self) -> &'static str {
        match self {
            Self::One => "RELEASE one",
            Self::Other => "RELEASE other",
        }
    }

    fn roll_back(self) -> &'static str {
        match self {
            Self::One => "ROLLBACK TO one",
            Self::Other => "ROLLBACK TO other",
        }
    }
}

const TEXT_KEPT_BYTES_MAX: usize = 16 * 1024;

/// One text with one numbering.
fn join(mut statements: impl Iterator<Item = Statement>) -> Statement {
    let Some(mut joined) = statements.next() else {
        return Statement { text: Cow::Borrowed(""), params: Vec::new() };
    };
    for Statement { text, params } in statements {
        let whole = joined.text.to_mut();
        whole.push_str(";\n");
        push_renumbered(whole, &text, joined.params.len());
        joined.params.extend(params);
    }
    joined
}

/// `$1` becomes `$4` behind three parameters; the `$` of a JSON path stays as it is.
fn push_renumbered(whole: &mut String, text: &str, before: usize) {
    let mut pieces = text.split('$');
    whole.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = piece.split_at(digits);
        // Writing to a text cannot fail.
        let _ = match number.parse::<usize>() {
            Ok(number) => write!(whole, "${}{rest}", before + number),
            Err(_) => write!(whole, "${piece}"),
        };
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

pub(super) fn bind(params: Vec<Param>) -> Result<SqliteArguments, Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_of_one_trip_share_one_numbering() {
        let statement = |text: &'static str, params: &[i64]| Statement {
            text: text.into(),
            params: params.iter().map(|n| (*n).into()).collect(),
        };
        let joined = join(
            [statement("A $1, $2", &[10, 20]), statement("B", &[]), statement("C $2 ->> '$.a$' = $1 OR $1", &[30, 40])]
                .into_iter(),
        );
        assert_eq!(joined.text, "A $1, $2;\nB;\nC $4 ->> '$.a$' = $3 OR $3");
        assert_eq!(joined.params.len(), 4);
    }
}
