//! Statements on the outbox: notices to be sent by mail, each by one gateway at a time, none lost, none forgotten.
//!
//! A gateway claims what is due for the time of a lease, sends it, and writes down what became of it. When it dies in
//! between, the lease ends and another one claims the row. Rows without an address are put aside until one comes, so
//! that nobody looks at them again and again.

use jiff::Timestamp;
use uuid::Uuid;

use super::dossier::instant;
use super::error::Error;
use super::executor::{Param, Row, Tx};
use crate::clock::new_uuid;
use crate::domain::ids::{DossierId, NoticeId, UniqueId};
use crate::domain::mail_address::MailAddress;
use crate::domain::notice::{Addressee, Notice, NoticeKind};

/// A notice that the holder of a lease may send.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub notice: Notice,
    pub address: MailAddress,
    /// That failed before this one.
    pub attempts: u32,
    pub lease: Uuid,
}

/// What a journal line says of a document beside its id.
#[derive(Debug)]
pub struct NamedDocument {
    pub unique_id: UniqueId,
    pub type_code: String,
    pub title: String,
}

/// Why a notice waits: it is its turn; not yet; nobody knows where to; an attempt failed; the relay refused it for good.
pub const REASONS: [&str; 5] = ["due", "later", "no_address", "failing", "refused"];

/// Adds a notice, unless there is one of its occasion; one that was cancelled waits again.
pub fn insert(tx: &mut Tx<'_>, notice: &Notice) {
    let params = vec![
        notice.id.to_string().into(),
        notice.dossier.to_string().into(),
        notice.kind.word().into(),
        notice.occasion.as_str().into(),
        notice.addressee.kind().into(),
        notice.addressee.number().into(),
        notice.at.into(),
        notice.due.into(),
        u32::from(notice.is_secret).into(),
    ];
    tx.write(INSERT, params);
}

/// Cancels the notice of an occasion that was not sent yet.
pub fn cancel(
    tx: &mut Tx<'_>,
    addressee: &Addressee,
    dossier: DossierId,
    kind: NoticeKind,
    occasion: &str,
    now: Timestamp,
) {
    let params = vec![
        addressee.kind().into(),
        addressee.number().into(),
        dossier.to_string().into(),
        kind.word().into(),
        occasion.into(),
        now.into(),
    ];
    tx.write(CANCEL, params);
}

/// Takes back what waits for somebody about one record.
pub fn cancel_all(tx: &mut Tx<'_>, addressee: &Addressee, dossier: DossierId, now: Timestamp) {
    let params = vec![addressee.kind().into(), addressee.number().into(), dossier.to_string().into(), now.into()];
    tx.write(CANCEL_ALL, params);
}

/// How many notices wait, for each of [`REASONS`].
pub async fn tally(tx: &mut Tx<'_>, now: Timestamp) -> Result<[(&'static str, u32); 5], Error> {
    let mut tally = REASONS.map(|reason| (reason, 0));
    for row in tx.fetch_all(TALLY, vec![now.into()]).await? {
        let (reason, count) = (row.text(0)?, row.integer(1)?);
        let known = tally.iter_mut().find(|(known, _)| *known == reason);
        known.ok_or_else(|| Error::inconsistent("outbox", "reason"))?.1 = u32::try_from(count).unwrap_or(u32::MAX);
    }
    Ok(tally)
}

/// Whether it is any notice's turn: a look that writes nothing.
pub async fn is_any_due(tx: &mut Tx<'_>, now: Timestamp) -> Result<bool, Error> {
    Ok(tx.fetch_optional(IS_ANY_DUE, vec![now.into()]).await?.is_some())
}

/// Takes the notice whose turn it is, whoever held it until their lease ended.
pub async fn claim(tx: &mut Tx<'_>, now: Timestamp, until: Timestamp) -> Result<Option<Claimed>, Error> {
    let mut first = tx.fetch_optional(FIND_DUE, vec![now.into()]).await?;
    if let Some(row) = &first
        && row.text_or_null(ADDRESS)?.is_none()
    {
        tx.write(PUT_ASIDE, vec![now.into()]);
        first = tx.fetch_optional(FIND_DUE, vec![now.into()]).await?;
    }
    let Some(row) = first else { return Ok(None) };
    let claimed = read(&row, new_uuid())?;
    let (id, lease) = (claimed.notice.id.to_string(), claimed.lease.to_string());
    tx.write(CLAIM, vec![id.into(), lease.into(), until.into()]);
    Ok(Some(claimed))
}

/// The relay has taken the mail: a fact, whoever holds the lease meanwhile.
pub fn mark_sent(tx: &mut Tx<'_>, id: NoticeId, now: Timestamp) {
    tx.write(MARK_SENT, vec![id.to_string().into(), now.into()]);
}

/// The document that the advice `notice` is about, as it is called now; none where it is about none.
pub async fn find_document(tx: &mut Tx<'_>, notice: &Notice) -> Result<Option<NamedDocument>, Error> {
    if notice.kind != NoticeKind::InvisibleDocument {
        return Ok(None);
    }
    let row = tx.fetch_optional(FIND_DOCUMENT, vec![notice.occasion.as_str().into()]).await?;
    let Some(row) = row else { return Ok(None) };
    let unique_id = row.text(0)?.parse().map_err(|error| Error::inconsistent("document_entry", error))?;
    Ok(Some(NamedDocument { unique_id, type_code: row.text(1)?, title: row.text(2)? }))
}

/// Gives a claimed notice back, for another attempt at `next`.
pub fn give_back(tx: &mut Tx<'_>, claimed: &Claimed, next: Timestamp, attempts: u32, failure: &str) {
    let (id, lease) = (claimed.notice.id.to_string(), claimed.lease.to_string());
    tx.write(GIVE_BACK, vec![id.into(), lease.into(), next.into(), attempts.into(), failure.into()]);
}

/// Notes where somebody is told from now on; what waited for an address, or failed at the one before, is due.
pub fn set_contact(tx: &mut Tx<'_>, addressee: &Addressee, mail: &MailAddress, now: Timestamp) {
    let whose = || vec![Param::from(addressee.kind()), Param::from(addressee.number())];
    tx.write(UPSERT_CONTACT, [whose(), vec![mail.as_str().into(), now.into()]].concat());
    tx.write(WAKE, whose());
}

/// Whether there was one.
pub async fn remove_contact(tx: &mut Tx<'_>, addressee: &Addressee) -> Result<bool, Error> {
    let removed = tx.execute(DELETE_CONTACT, vec![addressee.kind().into(), addressee.number().into()]).await?;
    Ok(removed > 0)
}

fn read(row: &Row, lease: Uuid) -> Result<Claimed, Error> {
    let bad = |problem: &dyn std::fmt::Display| Error::inconsistent("outbox", problem);
    let number = row.text(5)?;
    let addressee = match row.text(4)?.as_str() {
        "patient" => Addressee::Patient(number.parse().map_err(|error| bad(&error))?),
        "ps" => Addressee::Professional(number.parse().map_err(|error| bad(&error))?),
        _ => return Err(bad(&"addressee_kind")),
    };
    let notice = Notice {
        id: row.text(0)?.parse().map_err(|error| bad(&error))?,
        dossier: row.text(1)?.parse().map_err(|error| bad(&error))?,
        kind: NoticeKind::from_word(&row.text(2)?).ok_or_else(|| bad(&"kind"))?,
        occasion: row.text(3)?,
        addressee,
        at: instant("outbox", row.integer(6)?)?,
        due: instant("outbox", row.integer(7)?)?,
        is_secret: row.integer(10)? != 0,
    };
    let address = row.text(ADDRESS)?.parse().map_err(|error| Error::inconsistent("contact", error))?;
    Ok(Claimed { notice, address, attempts: u32::try_from(row.integer(9)?).unwrap_or(u32::MAX), lease })
}

const INSERT: &str = "-- store::outbox::insert
INSERT INTO outbox (notice_id, dossier_id, kind, occasion, addressee_kind, addressee, at_us, due_us, secret, state, next_us,
  attempts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'waiting', $8, 0)
ON CONFLICT (addressee_kind, addressee, dossier_id, kind, occasion) DO UPDATE SET
  at_us = excluded.at_us, due_us = excluded.due_us, secret = excluded.secret, next_us = excluded.next_us, state = 'waiting', ended_us = NULL
WHERE outbox.state = 'cancelled'";

const CANCEL: &str = "-- store::outbox::cancel
UPDATE outbox SET state = 'cancelled', next_us = NULL, lease = NULL, ended_us = $6
WHERE addressee_kind = $1 AND addressee = $2 AND dossier_id = $3 AND kind = $4 AND occasion = $5
  AND state IN ('waiting', 'unaddressed', 'sending')";

const CANCEL_ALL: &str = "-- store::outbox::cancel_all
UPDATE outbox SET state = 'cancelled', next_us = NULL, lease = NULL, ended_us = $4
WHERE addressee_kind = $1 AND addressee = $2 AND dossier_id = $3 AND state IN ('waiting', 'unaddressed', 'sending')";

const TALLY: &str = "-- store::outbox::tally
SELECT CASE WHEN state = 'unaddressed' THEN 'no_address'
            WHEN attempts = 0 AND next_us > $1 AND state = 'waiting' THEN 'later'
            WHEN attempts = 0 THEN 'due'
            WHEN last_failure LIKE '5%' THEN 'refused'
            ELSE 'failing' END AS reason, COUNT(*)
FROM outbox WHERE state IN ('waiting', 'unaddressed', 'sending') GROUP BY reason";

const IS_ANY_DUE: &str = "-- store::outbox::is_any_due
SELECT 1 FROM outbox WHERE next_us <= $1 LIMIT 1";

const FIND_DUE: &str = "-- store::outbox::find_due
SELECT o.notice_id, o.dossier_id, o.kind, o.occasion, o.addressee_kind, o.addressee, o.at_us, o.due_us, c.mail, o.attempts,
  o.secret
FROM outbox o LEFT JOIN contact c ON c.addressee_kind = o.addressee_kind AND c.addressee = o.addressee
WHERE o.next_us <= $1 ORDER BY o.next_us LIMIT 1";

/// Column of it; NULL where there is none.
const ADDRESS: usize = 8;

const CLAIM: &str = "-- store::outbox::claim
UPDATE outbox SET state = 'sending', lease = $2, next_us = $3 WHERE notice_id = $1";

const PUT_ASIDE: &str = "-- store::outbox::put_aside
UPDATE outbox SET state = 'unaddressed', next_us = NULL, lease = NULL
WHERE next_us <= $1 AND NOT EXISTS
  (SELECT 1 FROM contact c WHERE c.addressee_kind = outbox.addressee_kind AND c.addressee = outbox.addressee)";

const MARK_SENT: &str = "-- store::outbox::mark_sent
UPDATE outbox SET state = 'sent', next_us = NULL, lease = NULL, ended_us = $2 WHERE notice_id = $1";

const FIND_DOCUMENT: &str = "-- store::outbox::find_document
SELECT unique_id, type_code, title FROM document_entry WHERE logical_id = $1";

const GIVE_BACK: &str = "-- store::outbox::give_back
UPDATE outbox SET state = 'waiting', lease = NULL, next_us = $3, attempts = $4, last_failure = $5
WHERE notice_id = $1 AND lease = $2 AND state = 'sending'";

const UPSERT_CONTACT: &str = "-- store::outbox::upsert_contact
INSERT INTO contact (addressee_kind, addressee, mail, since_us) VALUES ($1, $2, $3, $4)
ON CONFLICT (addressee_kind, addressee) DO UPDATE SET mail = excluded.mail, since_us = excluded.since_us";

const WAKE: &str = "-- store::outbox::wake
UPDATE outbox SET state = 'waiting', next_us = due_us, attempts = 0, last_failure = NULL
WHERE addressee_kind = $1 AND addressee = $2 AND state IN ('waiting', 'unaddressed')";

const DELETE_CONTACT: &str = "-- store::outbox::delete_contact
DELETE FROM contact WHERE addressee_kind = $1 AND addressee = $2";

#[cfg(test)]
mod tests;
