//! Statements on submission sets.

use jiff::Timestamp;

use super::error::Error;
use super::executor::Tx;
use crate::access::decide::{Deposit, Permit};
use crate::domain::ids::{SubmissionSetUuid, UniqueId};
use crate::domain::submission_set::SubmissionSet;

pub async fn insert(
    tx: &mut Tx<'_>,
    permit: &Permit<Deposit>,
    set: &SubmissionSet,
    now: Timestamp,
) -> Result<(), Error> {
    let params = vec![
        set.uuid.to_string().into(),
        permit.dossier().to_string().into(),
        set.unique_id.to_urn().into(),
        set.source_id.clone().into(),
        set.submission_time.to_hl7().into(),
        set.content_type_code.system.clone().into(),
        set.content_type_code.code.clone().into(),
        set.content_type_code.display.clone().into(),
        set.title.clone().into(),
        set.comments.clone().into(),
        permit.holder().kind().into(),
        permit.holder().number().into(),
        now.into(),
    ];
    tx.execute(INSERT, params).await.map(drop)
}

/// The set that bears `unique_id`, whoever's record it is in: a unique id is unique for ever.
pub async fn find(tx: &mut Tx<'_>, unique_id: &UniqueId) -> Result<Option<SubmissionSetUuid>, Error> {
    let row = tx.fetch_optional(FIND, vec![unique_id.to_urn().into()]).await?;
    row.map(|row| row.text(0)?.parse().map_err(|error| Error::inconsistent("submission_set", error))).transpose()
}

const INSERT: &str = "-- store::submission_set::insert
INSERT INTO submission_set (submission_set_uuid, dossier_id, unique_id, source_id, submission_text, content_type_system,
  content_type_code, content_type_display, title, comments, depositor_kind, depositor, registered_us)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

const FIND: &str = "-- store::submission_set::find
SELECT submission_set_uuid FROM submission_set WHERE unique_id = $1";
