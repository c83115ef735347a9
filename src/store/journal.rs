//! Statements on the journal. Append-only: the schema refuses anything else.

use jiff::Timestamp;

use super::composer::Composer;
use super::dossier::instant;
use super::error::Error;
use super::executor::{Last, Param, Row, Tx};

/// One line as it is kept; what it says is `journal::event`'s business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRow {
    pub position: i64,
    pub at: Timestamp,
    /// Empty when the line concerns no record.
    pub dossier_id: String,
    pub line: String,
    pub seal: Vec<u8>,
}

/// Finds, in the trip that begins a batch, the line that its lines continue.
pub(super) async fn begin(tx: &mut Tx<'_>) -> Result<(), Error> {
    tx.journal().last = match tx.begin(FIND_LAST).await?.first() {
        Some(row) => Last { position: row.integer(0)?, seal: row.bytes(1)? },
        None => Last::default(),
    };
    Ok(())
}

/// The last line, written or pending in this batch: its seal is what the next line continues.
pub fn last<'t>(tx: &'t mut Tx<'_>) -> &'t Last {
    &tx.journal().last
}

/// Adds a line to those that this batch will write.
pub fn append(tx: &mut Tx<'_>, row: JournalRow) {
    let journal = tx.journal();
    journal.last = Last { position: row.position, seal: row.seal.clone() };
    journal.rows.push(row);
}

/// Writes the pending lines of a batch, in the trip of its commit.
pub(super) fn write_pending(tx: &mut Tx<'_>) {
    let rows = std::mem::take(&mut tx.journal().rows);
    if rows.is_empty() {
        return;
    }
    let mut insert = Composer::new(APPEND);
    let params = |row: JournalRow| -> Vec<Param> {
        vec![row.position.into(), row.at.into(), row.dossier_id.into(), row.line.into(), row.seal.into()]
    };
    insert.push_rows(rows.into_iter().map(params));
    let (text, params) = insert.finish();
    tx.wait(text, params);
}

/// What the first line continues.
pub const FIRST_SEAL: [u8; 32] = [0; 32];

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

fn read(row: &Row) -> Result<JournalRow, Error> {
    Ok(JournalRow {
        position: row.integer(0)?,
        at: instant("journal", row.integer(1)?)?,
        dossier_id: row.text(2)?,
        line: row.text(3)?,
        seal: row.bytes(4)?,
    })
}

const FIND_LAST: &str = "-- store::journal::find_last
SELECT position, seal FROM journal ORDER BY position DESC LIMIT 1";

const APPEND: &str = "-- store::journal::append
INSERT INTO journal (position, at_us, dossier_id, line, seal) VALUES ";

const LIST_AFTER: &str = "-- store::journal::list_after
SELECT position, at_us, dossier_id, line, seal FROM journal WHERE position > $1 ORDER BY position LIMIT $2";

const LIST_OF_DOSSIER: &str = "-- store::journal::list_of_dossier
SELECT position, at_us, dossier_id, line, seal FROM journal
WHERE dossier_id = $1 AND position > $2 ORDER BY position LIMIT $3";
