//! The small executor that noun files speak to: statements, parameters, rows.
//!
//! Text, 64-bit integers, bytes and NULL are all that passes, so that a second database needs one more arm
//! here and nothing in the noun files.

use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments as _, Row as _};

use super::error::Error;

/// One named transaction, or one savepoint of a shared one.
pub struct Tx<'c> {
    connection: &'c mut SqliteConnection,
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
    pub(super) fn new(connection: &'c mut SqliteConnection) -> Self {
        Self { connection }
    }

    /// Runs a statement and tells how many rows it changed.
    pub(super) async fn execute(&mut self, statement: &'static str, params: Vec<Param>) -> Result<u64, Error> {
        sqlx::query_with(statement, bind(params)?)
            .execute(&mut *self.connection)
            .await
            .map(|done| done.rows_affected())
            .map_err(|error| Error::driver(name_of(statement), error))
    }

    pub(super) async fn fetch_all(&mut self, statement: &'static str, params: Vec<Param>) -> Result<Vec<Row>, Error> {
        let rows = sqlx::query_with(statement, bind(params)?).fetch_all(&mut *self.connection).await;
        rows.map(|rows| rows.into_iter().map(Row).collect()).map_err(|error| Error::driver(name_of(statement), error))
    }

    pub(super) async fn fetch_optional(
        &mut self,
        statement: &'static str,
        params: Vec<Param>,
    ) -> Result<Option<Row>, Error> {
        let row = sqlx::query_with(statement, bind(params)?).fetch_optional(&mut *self.connection).await;
        row.map(|row| row.map(Row)).map_err(|error| Error::driver(name_of(statement), error))
    }

    /// For statements that criteria compose: the text holds placeholders only, never a value.
    pub(super) async fn fetch_composed(&mut self, statement: String, params: Vec<Param>) -> Result<Vec<Row>, Error> {
        let rows =
            sqlx::query_with(sqlx::AssertSqlSafe(statement), bind(params)?).fetch_all(&mut *self.connection).await;
        rows.map(|rows| rows.into_iter().map(Row).collect()).map_err(|error| Error::driver("store::search", error))
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
