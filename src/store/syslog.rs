//! How far the journal went out to the audit repository, and which gateway sends: statements on `syslog_cursor`.

use jiff::Timestamp;

use super::dossier::instant;
use super::error::Error;
use super::executor::{Row, Tx};
use super::trace::patient;
use crate::domain::ins::Ins;

/// What has yet to go out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Waiting {
    pub lines: u64,
    /// Of the oldest of them.
    pub since: Option<Timestamp>,
}

/// A line on its way out.
#[derive(Debug)]
pub struct Outgoing {
    pub position: i64,
    pub line: String,
    pub patient: Option<Ins>,
}

/// Who sends, and until when nobody else does.
#[derive(Debug, Clone)]
pub struct Lease {
    pub holder: String,
    pub until: Timestamp,
}

pub async fn count_waiting(tx: &mut Tx<'_>) -> Result<Waiting, Error> {
    let rows = tx.fetch_all(WAITING, Vec::new()).await?;
    let Some(row) = rows.first() else { return Ok(Waiting::default()) };
    let since = row.integer_or_null(1)?.map(|us| instant("journal", us)).transpose()?;
    // Cursor and journal are of one database: the difference is never below zero.
    Ok(Waiting { lines: u64::try_from(row.integer(0)?).unwrap_or(0), since })
}

/// Takes the lease for one batch, unless another holder has it at `now`.
pub async fn take(tx: &mut Tx<'_>, lease: &Lease, now: Timestamp) -> Result<bool, Error> {
    let params = vec![lease.holder.as_str().into(), lease.until.into(), now.into()];
    Ok(tx.execute(TAKE, params).await? > 0)
}

/// Up to `count` lines that have yet to go out, oldest first.
pub async fn list_waiting(tx: &mut Tx<'_>, count: u32) -> Result<Vec<Outgoing>, Error> {
    tx.fetch_all(LIST_WAITING, vec![count.into()]).await?.iter().map(read).collect()
}

/// The receiver has all up to `position`; the lease is over. False: somebody else took it meanwhile, and sends the same.
pub async fn advance(tx: &mut Tx<'_>, holder: &str, position: i64) -> Result<bool, Error> {
    Ok(tx.execute(ADVANCE, vec![holder.into(), position.into()]).await? > 0)
}

/// The lease is over, and the batch did not arrive.
pub async fn give_back(tx: &mut Tx<'_>, holder: &str) -> Result<(), Error> {
    tx.execute(GIVE_BACK, vec![holder.into()]).await.map(drop)
}

fn read(row: &Row) -> Result<Outgoing, Error> {
    Ok(Outgoing { position: row.integer(0)?, line: row.text(1)?, patient: patient(row, (2, 3))? })
}

const WAITING: &str = "-- store::syslog::waiting
SELECT (SELECT COALESCE(MAX(position), 0) FROM journal) - c.position,
       (SELECT at_us FROM journal j WHERE j.position > c.position ORDER BY j.position LIMIT 1)
FROM syslog_cursor c";

const TAKE: &str = "-- store::syslog::take
UPDATE syslog_cursor SET holder = $1, until_us = $2 WHERE holder = $1 OR until_us <= $3";

const LIST_WAITING: &str = "-- store::syslog::list_waiting
SELECT j.position, j.line, i.authority, i.matricule
FROM journal j LEFT JOIN dossier_ins i ON i.dossier_id = j.dossier_id AND i.position = 0
WHERE j.position > (SELECT position FROM syslog_cursor) ORDER BY j.position LIMIT $1";

const ADVANCE: &str = "-- store::syslog::advance
UPDATE syslog_cursor SET until_us = 0, position = $2 WHERE holder = $1 AND position < $2";

const GIVE_BACK: &str = "-- store::syslog::give_back
UPDATE syslog_cursor SET until_us = 0 WHERE holder = $1";
