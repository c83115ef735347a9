//! Statements on records (dossiers) and the INS numbers that name them.

use jiff::Timestamp;

use super::composer::Composer;
use super::consent;
use super::error::Error;
use super::executor::{Param, Row, Tx};
use crate::domain::dossier::{Dossier, DossierState};
use crate::domain::ids::{ConsentId, DossierId, LogicalId};
use crate::domain::ins::Ins;

/// Everything of the record in `d`, in one statement: the decision of every request starts with it, and takes one trip
/// whether there is a record or not.
macro_rules! whole_dossier {
    () => {
        "
SELECT 0 AS part, d.dossier_id, d.state, '', '', '', '', d.closed_us AS at_us, NULL, 0 AS position, NULL, 0
FROM d
UNION ALL
SELECT 1, i.dossier_id, i.authority, i.matricule, '', '', '', NULL, NULL, i.position, NULL, 0
FROM d JOIN dossier_ins i ON i.dossier_id = d.dossier_id
UNION ALL
SELECT 2, c.consent_id, c.kind, c.grantee_kind, c.grantee, c.declared_by_kind, c.declared_by, c.since_us, c.until_us, 0,
  c.declared_at, c.is_secret
FROM d JOIN consent c ON c.dossier_id = d.dossier_id
ORDER BY part, position, at_us, dossier_id"
    };
}

/// Opens a record for `ins`. Errors: `Duplicate` when that INS already names one.
pub async fn insert(
    tx: &mut Tx<'_>,
    id: DossierId,
    ins: &Ins,
    state: DossierState,
    now: Timestamp,
) -> Result<(), Error> {
    tx.write(INSERT, vec![id.to_string().into(), now.into(), state.word().into()]);
    let alias = vec![ins.authority().oid().into(), ins.matricule().into(), id.to_string().into(), Param::Integer(0)];
    tx.execute(INSERT_INS, alias).await.map(drop)
}

/// The record that `ins` names, with the whole of the patient's list: what a decision needs.
pub async fn find_by_ins(tx: &mut Tx<'_>, ins: &Ins) -> Result<Option<Dossier>, Error> {
    let (statement, params) = by_ins(ins);
    read_any(&tx.fetch_all(statement, params).await?)
}

/// The question of [`find_by_ins`], for those who ask another with it.
pub(super) fn by_ins(ins: &Ins) -> (&'static str, Vec<Param>) {
    (FIND_BY_INS, vec![ins.authority().oid().into(), ins.matricule().into()])
}

pub(super) fn read_any(rows: &[Row]) -> Result<Option<Dossier>, Error> {
    if rows.is_empty() { Ok(None) } else { read(rows).map(Some) }
}

/// The record that holds the entry `id`: what a decision needs before anything of the entry is read.
pub async fn find_by_entry(tx: &mut Tx<'_>, id: LogicalId) -> Result<Option<Dossier>, Error> {
    read_any(&tx.fetch_all(FIND_BY_ENTRY, vec![id.to_string().into()]).await?)
}

/// The record of the entry whose uniqueId, entryUUID or logicalId is `urn`.
pub async fn find_by_identifier(tx: &mut Tx<'_>, urn: &str) -> Result<Option<Dossier>, Error> {
    let uuid = urn.strip_prefix("urn:uuid:").unwrap_or_default();
    read_any(&tx.fetch_all(FIND_BY_IDENTIFIER, vec![urn.into(), uuid.into()]).await?)
}

/// The record that holds the line `id` of a list, or one of `documents`: the Consent of a label has an id made of its
/// document's.
pub async fn find_by_consent(
    tx: &mut Tx<'_>,
    id: ConsentId,
    documents: &[LogicalId],
) -> Result<Option<Dossier>, Error> {
    let mut find = Composer::new(FIND_BY_CONSENT);
    find.push_param(id.to_string().into());
    find.push("\n           UNION SELECT dossier_id FROM document_entry WHERE logical_id IN (");
    find.push_list(documents.iter().map(|id| id.to_string().into()));
    find.push(concat!(")))", whole_dossier!()));
    read_any(&find.fetch_all(tx).await?)
}

/// A record that is known to be there.
pub async fn load(tx: &mut Tx<'_>, id: DossierId) -> Result<Dossier, Error> {
    read(&tx.fetch_all(LOAD, vec![id.to_string().into()]).await?)
}

/// Moves the record to `state`; the caller has checked that the move is legal.
pub async fn update_state(tx: &mut Tx<'_>, id: DossierId, state: DossierState) -> Result<(), Error> {
    let closed = match state {
        DossierState::Closed { at } => Some(at),
        DossierState::OpenNotActivated | DossierState::Activated => None,
    };
    tx.execute(UPDATE_STATE, vec![id.to_string().into(), state.word().into(), closed.into()]).await.map(drop)
}

/// Reads a record from its rows: itself, each INS, each line of its list, told apart by the first column.
fn read(rows: &[Row]) -> Result<Dossier, Error> {
    let first = rows.first().ok_or_else(|| Error::inconsistent("dossier", "absent"))?;
    let mut dossier = Dossier {
        id: first.text(1)?.parse().map_err(|error| Error::inconsistent("dossier", error))?,
        state: read_state(&first.text(2)?, first.integer_or_null(7)?)?,
        ins: Vec::new(),
        consents: Vec::new(),
    };
    for row in &rows[1..] {
        if row.integer(0)? == INS_ROW {
            let alias = Ins::parse(&row.text(3)?, &row.text(2)?);
            dossier.ins.push(alias.map_err(|error| Error::inconsistent("dossier_ins", error))?);
        } else {
            dossier.consents.push(consent::read(row)?);
        }
    }
    Ok(dossier)
}

pub(super) fn read_state(word: &str, closed_us: Option<i64>) -> Result<DossierState, Error> {
    match (word, closed_us) {
        ("open_not_activated", _) => Ok(DossierState::OpenNotActivated),
        ("activated", _) => Ok(DossierState::Activated),
        ("closed", Some(us)) => Ok(DossierState::Closed { at: instant("dossier", us)? }),
        _ => Err(Error::inconsistent("dossier", "state")),
    }
}

/// An instant as the store keeps it.
pub(super) fn instant(table: &'static str, us: i64) -> Result<Timestamp, Error> {
    Timestamp::from_microsecond(us).map_err(|error| Error::inconsistent(table, error))
}

const INSERT: &str = "-- store::dossier::insert
INSERT INTO dossier (dossier_id, opened_us, state) VALUES ($1, $2, $3)";

const INSERT_INS: &str = "-- store::dossier::insert_ins
INSERT INTO dossier_ins (authority, matricule, dossier_id, position) VALUES ($1, $2, $3, $4)";

/// First column of a row of `dossier_ins`; 0 is the record itself, 2 a line of its list.
const INS_ROW: i64 = 1;

const FIND_BY_INS: &str = concat!(
    "-- store::dossier::find_by_ins
WITH d AS (SELECT d.* FROM dossier_ins i JOIN dossier d ON d.dossier_id = i.dossier_id
           WHERE i.authority = $1 AND i.matricule = $2)",
    whole_dossier!()
);

const FIND_BY_ENTRY: &str = concat!(
    "-- store::dossier::find_by_entry
WITH d AS (SELECT d.* FROM document_entry e JOIN dossier d ON d.dossier_id = e.dossier_id WHERE e.logical_id = $1)",
    whole_dossier!()
);

/// An id names one entry: a deposit under a unique id that is the UUID of another is refused.
const FIND_BY_IDENTIFIER: &str = concat!(
    "-- store::dossier::find_by_identifier
WITH d AS (SELECT * FROM dossier WHERE dossier_id IN (
           SELECT dossier_id FROM document_entry WHERE unique_id = $1
           UNION SELECT dossier_id FROM document_entry WHERE entry_uuid = $2
           UNION SELECT dossier_id FROM document_entry WHERE logical_id = $2))",
    whole_dossier!()
);

const FIND_BY_CONSENT: &str = "-- store::dossier::find_by_consent
WITH d AS (SELECT * FROM dossier WHERE dossier_id IN (
           SELECT dossier_id FROM consent WHERE consent_id = ";

const LOAD: &str = concat!(
    "-- store::dossier::load
WITH d AS (SELECT * FROM dossier WHERE dossier_id = $1)",
    whole_dossier!()
);

const UPDATE_STATE: &str = "-- store::dossier::update_state
UPDATE dossier SET state = $2, closed_us = $3 WHERE dossier_id = $1";
