//! Statements on records (dossiers) and the INS numbers that name them.

use jiff::Timestamp;

use super::consent;
use super::error::Error;
use super::executor::{Param, Row, Tx};
use crate::domain::dossier::{Dossier, DossierState};
use crate::domain::ids::DossierId;
use crate::domain::ins::Ins;

/// Opens a record for `ins`. Errors: `Duplicate` when that INS already names one.
pub async fn insert(
    tx: &mut Tx<'_>,
    id: DossierId,
    ins: &Ins,
    state: DossierState,
    now: Timestamp,
) -> Result<(), Error> {
    tx.execute(INSERT, vec![id.to_string().into(), now.into(), state.word().into()]).await?;
    let alias = vec![ins.authority().oid().into(), ins.matricule().into(), id.to_string().into(), Param::Integer(0)];
    tx.execute(INSERT_INS, alias).await.map(drop)
}

/// The record that `ins` names, with the whole of the patient's list: what a decision needs.
pub async fn find_by_ins(tx: &mut Tx<'_>, ins: &Ins) -> Result<Option<Dossier>, Error> {
    let params = vec![ins.authority().oid().into(), ins.matricule().into()];
    match tx.fetch_optional(FIND_BY_INS, params).await? {
        Some(row) => load_row(tx, &row).await.map(Some),
        None => Ok(None),
    }
}

/// The record of an entry or of a line of a list.
pub async fn load(tx: &mut Tx<'_>, id: DossierId) -> Result<Dossier, Error> {
    let row = tx.fetch_optional(LOAD, vec![id.to_string().into()]).await?;
    load_row(tx, &row.ok_or_else(|| Error::inconsistent("dossier", "absent"))?).await
}

/// Moves the record to `state`; the caller has checked that the move is legal.
pub async fn update_state(tx: &mut Tx<'_>, id: DossierId, state: DossierState) -> Result<(), Error> {
    let closed = match state {
        DossierState::Closed { at } => Some(at),
        DossierState::OpenNotActivated | DossierState::Activated => None,
    };
    tx.execute(UPDATE_STATE, vec![id.to_string().into(), state.word().into(), closed.into()]).await.map(drop)
}

async fn load_row(tx: &mut Tx<'_>, row: &Row) -> Result<Dossier, Error> {
    let id: DossierId = row.text(0)?.parse().map_err(|error| Error::inconsistent("dossier", error))?;
    let state = read_state(&row.text(1)?, row.integer_or_null(2)?)?;
    let mut ins = Vec::new();
    for row in tx.fetch_all(LIST_INS, vec![id.to_string().into()]).await? {
        let alias = Ins::parse(&row.text(1)?, &row.text(0)?);
        ins.push(alias.map_err(|error| Error::inconsistent("dossier_ins", error))?);
    }
    Ok(Dossier { id, state, ins, consents: consent::list(tx, id).await? })
}

fn read_state(word: &str, closed_us: Option<i64>) -> Result<DossierState, Error> {
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

const FIND_BY_INS: &str = "-- store::dossier::find_by_ins
SELECT d.dossier_id, d.state, d.closed_us FROM dossier_ins i JOIN dossier d ON d.dossier_id = i.dossier_id
WHERE i.authority = $1 AND i.matricule = $2";

const LOAD: &str = "-- store::dossier::load
SELECT dossier_id, state, closed_us FROM dossier WHERE dossier_id = $1";

const LIST_INS: &str = "-- store::dossier::list_ins
SELECT authority, matricule FROM dossier_ins WHERE dossier_id = $1 ORDER BY position";

const UPDATE_STATE: &str = "-- store::dossier::update_state
UPDATE dossier SET state = $2, closed_us = $3 WHERE dossier_id = $1";
