//! Statements on the journal. Append-only: the schema refuses anything else.

pub mod heads;
pub mod key;
pub(super) mod sealer;

use jiff::Timestamp;

use super::dossier::instant;
use super::error::Error;
use super::executor::{Row, Tx};
use crate::domain::seal;

/// A line that a batch will write, once it is known behind which ones.
#[derive(Debug)]
pub struct PendingLine {
    pub at: Timestamp,
    /// Empty when the line concerns no record.
    pub dossier_id: String,
    /// What it says is `journal::event`'s business.
    pub line: String,
}

/// One line as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRow {
    pub position: i64,
    pub at: Timestamp,
    /// Empty when the line concerns no record.
    pub dossier_id: String,
    pub line: String,
}

/// One line as it is kept, for whoever doubts it: nothing is taken for text or for an instant before its seal is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedLine {
    pub position: i64,
    pub at_us: i64,
    pub dossier_id: Vec<u8>,
    pub dossier_position: i64,
    pub line: Vec<u8>,
    pub dossier_seal: Vec<u8>,
    pub seal: Vec<u8>,
    /// Of the line before it in its record.
    pub before: RecordEnd,
}

/// Where the chain of a record ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordEnd {
    pub position: i64,
    pub seal: Vec<u8>,
}

impl RecordEnd {
    /// Before the first line of a record.
    fn none() -> Self {
        Self { position: 0, seal: seal::FIRST.to_vec() }
    }
}

/// First and last position of all lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub first: i64,
    pub last: i64,
}

/// Adds a line to those that this batch will seal and write.
pub fn append(tx: &mut Tx<'_>, line: PendingLine) {
    tx.lines().push(line);
}

/// Up to `count` lines after `position`, oldest first.
pub async fn list_after(tx: &mut Tx<'_>, position: i64, count: u32) -> Result<Vec<JournalRow>, Error> {
    tx.fetch_all(LIST_AFTER, vec![position.into(), count.into()]).await?.iter().map(read).collect()
}

/// Up to `count` lines of one record after `position`, oldest first.
pub async fn list_of_dossier(
    tx: &mut Tx<'_>,
    dossier_id: &str,
    position: i64,
    count: u32,
) -> Result<Vec<JournalRow>, Error> {
    let params = vec![dossier_id.into(), position.into(), count.into()];
    tx.fetch_all(LIST_OF_DOSSIER, params).await?.iter().map(read).collect()
}

/// None while the journal is empty.
pub async fn find_extent(tx: &mut Tx<'_>) -> Result<Option<Extent>, Error> {
    let Some(row) = tx.fetch_optional(FIND_EXTENT, Vec::new()).await? else { return Ok(None) };
    Ok(row.integer_or_null(0)?.zip(row.integer_or_null(1)?).map(|(first, last)| Extent { first, last }))
}

/// Up to `count` lines after `position` with their seals, oldest first.
pub async fn list_sealed(tx: &mut Tx<'_>, position: i64, count: u32) -> Result<Vec<SealedLine>, Error> {
    tx.fetch_all(LIST_SEALED, vec![position.into(), count.into()]).await?.iter().map(read_sealed).collect()
}

/// The same of one record.
pub async fn list_sealed_of_dossier(
    tx: &mut Tx<'_>,
    dossier_id: &str,
    position: i64,
    count: u32,
) -> Result<Vec<SealedLine>, Error> {
    let params = vec![dossier_id.into(), position.into(), count.into()];
    tx.fetch_all(LIST_SEALED_OF_DOSSIER, params).await?.iter().map(read_sealed).collect()
}

fn read(row: &Row) -> Result<JournalRow, Error> {
    Ok(JournalRow {
        position: row.integer(0)?,
        at: instant("journal", row.integer(1)?)?,
        dossier_id: row.text(2)?,
        line: row.text(3)?,
    })
}

fn read_sealed(row: &Row) -> Result<SealedLine, Error> {
    let before = match row.integer_or_null(7)? {
        Some(position) => RecordEnd { position, seal: row.bytes(8)? },
        None => RecordEnd::none(),
    };
    Ok(SealedLine {
        position: row.integer(0)?,
        at_us: row.integer(1)?,
        dossier_id: row.bytes(2)?,
        dossier_position: row.integer(3)?,
        line: row.bytes(4)?,
        dossier_seal: row.bytes(5)?,
        seal: row.bytes(6)?,
        before,
    })
}

const LIST_AFTER: &str = "-- store::journal::list_after
SELECT position, at_us, dossier_id, line FROM journal WHERE position > $1 ORDER BY position LIMIT $2";

const LIST_OF_DOSSIER: &str = "-- store::journal::list_of_dossier
SELECT position, at_us, dossier_id, line FROM journal
WHERE dossier_id = $1 AND position > $2 ORDER BY position LIMIT $3";

const FIND_EXTENT: &str = "-- store::journal::find_extent
SELECT (SELECT MIN(position) FROM journal), (SELECT MAX(position) FROM journal)";

const LIST_SEALED: &str = "-- store::journal::list_sealed
SELECT j.position, j.at_us, j.dossier_id, j.dossier_position, j.line, j.dossier_seal, j.seal,
       b.dossier_position, b.dossier_seal
FROM journal j LEFT JOIN journal b ON b.position =
    (SELECT MAX(position) FROM journal WHERE dossier_id = j.dossier_id AND position BETWEEN 1 AND j.position - 1)
WHERE j.position > $1 ORDER BY j.position LIMIT $2";

const LIST_SEALED_OF_DOSSIER: &str = "-- store::journal::list_sealed_of_dossier
SELECT j.position, j.at_us, j.dossier_id, j.dossier_position, j.line, j.dossier_seal, j.seal,
       b.dossier_position, b.dossier_seal
FROM journal j LEFT JOIN journal b ON b.position =
    (SELECT MAX(position) FROM journal WHERE dossier_id = j.dossier_id AND position BETWEEN 1 AND j.position - 1)
WHERE j.dossier_id = $1 AND j.position > $2 ORDER BY j.position LIMIT $3";
