//! Statements on submission sets.

use jiff::Timestamp;

use super::dossier::instant;
use super::error::Error;
use super::executor::{Row, Tx};
use crate::access::decide::{Deposit, Permit};
use crate::domain::ids::{DossierId, SubmissionSetUuid, UniqueId};
use crate::domain::submission_set::SubmissionSet;

/// A submission as it was first taken in: enough to know it when it comes again.
#[derive(Debug, Clone)]
pub struct Known {
    pub uuid: SubmissionSetUuid,
    pub dossier: DossierId,
    pub digest: Vec<u8>,
    pub depositor: (String, String),
    pub registered: Timestamp,
}

/// Writes a set. `digest` is that of the whole request, by which a resend is known.
pub async fn insert(
    tx: &mut Tx<'_>,
    permit: &Permit<Deposit>,
    set: &SubmissionSet,
    digest: &[u8],
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
        digest.to_vec().into(),
    ];
    tx.execute(INSERT, params).await.map(drop)
}

/// The set that bears `unique_id`, whoever's record it is in: a unique id is unique for ever.
pub async fn find(tx: &mut Tx<'_>, unique_id: &UniqueId) -> Result<Option<Known>, Error> {
    tx.fetch_optional(FIND, vec![unique_id.to_urn().into()]).await?.as_ref().map(read).transpose()
}

/// The set that brought the document `unique_id`.
pub async fn find_of_document(tx: &mut Tx<'_>, unique_id: &UniqueId) -> Result<Option<Known>, Error> {
    tx.fetch_optional(FIND_OF_DOCUMENT, vec![unique_id.to_urn().into()]).await?.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<Known, Error> {
    Ok(Known {
        uuid: row.text(0)?.parse().map_err(|error| Error::inconsistent("submission_set", error))?,
        dossier: row.text(1)?.parse().map_err(|error| Error::inconsistent("submission_set", error))?,
        digest: row.bytes(2)?,
        depositor: (row.text(3)?, row.text(4)?),
        registered: instant("submission_set", row.integer(5)?)?,
    })
}

const INSERT: &str = "-- store::submission_set::insert
INSERT INTO submission_set (submission_set_uuid, dossier_id, unique_id, source_id, submission_text, content_type_system,
  content_type_code, content_type_display, title, comments, depositor_kind, depositor, registered_us, digest)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

const FIND: &str = "-- store::submission_set::find
SELECT submission_set_uuid, dossier_id, digest, depositor_kind, depositor, registered_us
FROM submission_set WHERE unique_id = $1";

const FIND_OF_DOCUMENT: &str = "-- store::submission_set::find_of_document
SELECT s.submission_set_uuid, s.dossier_id, s.digest, s.depositor_kind, s.depositor, s.registered_us
FROM document_entry e JOIN submission_set s ON s.submission_set_uuid = e.submission_set_uuid WHERE e.unique_id = $1";
