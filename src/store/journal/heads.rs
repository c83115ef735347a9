//! Statements on the heads of the journal: the current one, and those that are kept for good.

use crate::domain::seal::{Head, SignedHead};
use crate::store::error::Error;
use crate::store::executor::{Param, Row, Tx};

/// The head that the last commit left. None before the first line.
pub async fn find_current(tx: &mut Tx<'_>) -> Result<Option<SignedHead>, Error> {
    tx.fetch_optional(FIND_CURRENT, Vec::new()).await?.as_ref().map(read).transpose()
}

/// Keeps the current head for good, unless that one is kept already.
pub async fn keep_current(tx: &mut Tx<'_>) -> Result<(), Error> {
    tx.execute(KEEP_CURRENT, Vec::new()).await.map(drop)
}

/// Errors: the current head is behind `filed`, or behind one that is kept. An earlier state was put back.
pub async fn check_current_is_last(tx: &mut Tx<'_>, filed: i64) -> Result<(), Error> {
    let last = find_current(tx).await?.map_or(0, |signed| signed.head.position);
    match find_kept_outside(tx, last).await? {
        None if filed <= last => Ok(()),
        _ => Err(Error::inconsistent("journal_head", "goes back behind heads that were kept")),
    }
}

/// Up to `count` kept heads at positions after `after` and up to `last`, in their order.
pub async fn list_kept(tx: &mut Tx<'_>, after: i64, last: i64, count: u32) -> Result<Vec<SignedHead>, Error> {
    let params = vec![after.into(), last.into(), count.into()];
    tx.fetch_all(LIST_KEPT, params).await?.iter().map(read).collect()
}

/// A kept head of none of the lines 1 to `last`.
pub async fn find_kept_outside(tx: &mut Tx<'_>, last: i64) -> Result<Option<SignedHead>, Error> {
    tx.fetch_optional(FIND_KEPT_OUTSIDE, vec![last.into()]).await?.as_ref().map(read).transpose()
}

pub(super) fn read(row: &Row) -> Result<SignedHead, Error> {
    Ok(SignedHead {
        head: Head { position: row.integer(0)?, seal: row.bytes(1)?, at_us: row.integer(2)? },
        // What is no text names no key.
        key_id: String::from_utf8(row.bytes(3)?).unwrap_or_default(),
        signature: row.bytes(4)?,
    })
}

/// For [`SET_CURRENT`].
pub(super) fn params(signed: &SignedHead) -> Vec<Param> {
    let head = &signed.head;
    vec![
        head.position.into(),
        head.seal.clone().into(),
        head.at_us.into(),
        signed.key_id.clone().into(),
        signed.signature.clone().into(),
    ]
}

pub(super) const FIND_CURRENT: &str = "-- store::journal::heads::find_current
SELECT position, seal, at_us, key_id, signature FROM journal_head";

pub(super) const SET_CURRENT: &str = "-- store::journal::heads::set_current
INSERT INTO journal_head (one, position, seal, at_us, key_id, signature) VALUES (1, $1, $2, $3, $4, $5)
ON CONFLICT (one) DO UPDATE SET position = $1, seal = $2, at_us = $3, key_id = $4, signature = $5";

const KEEP_CURRENT: &str = "-- store::journal::heads::keep_current
INSERT INTO journal_signed_head (position, seal, at_us, key_id, signature)
SELECT position, seal, at_us, key_id, signature FROM journal_head h
WHERE NOT EXISTS (SELECT 1 FROM journal_signed_head k WHERE k.position >= h.position)";

const LIST_KEPT: &str = "-- store::journal::heads::list_kept
SELECT position, seal, at_us, key_id, signature FROM journal_signed_head
WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3";

const FIND_KEPT_OUTSIDE: &str = "-- store::journal::heads::find_kept_outside
SELECT position, seal, at_us, key_id, signature FROM journal_signed_head
WHERE position < 1 OR position > $1 ORDER BY position LIMIT 1";
