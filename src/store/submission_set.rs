//! Statements on submission sets.

use jiff::Timestamp;

use super::document_entry::author_columns;
use super::dossier::{self, instant};
use super::error::Error;
use super::executor::{Row, Tx};
use crate::access::decide::{Deposit, Permit};
use crate::domain::dossier::Dossier;
use crate::domain::ids::{DossierId, SubmissionSetUuid, UniqueId};
use crate::domain::ins::Ins;
use crate::domain::submission_set::SubmissionSet;

/// A submission as it was first taken in: enough to know it when it comes again.
#[derive(Debug, Clone)]
pub struct Known {
    pub uuid: SubmissionSetUuid,
    pub dossier: DossierId,
    pub digest: Vec<u8>,
    pub depositor: (String, String),
    pub registered: Timestamp,
    /// In URN form.
    pub unique_id: String,
}

/// Writes a set. `digest` is that of the whole request, by which a resend is known.
pub fn insert(tx: &mut Tx<'_>, permit: &Permit<Deposit>, set: &SubmissionSet, digest: &[u8], now: Timestamp) {
    let mut params = vec![
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
        set.author.roles.join("\n").into(),
    ];
    params.extend(author_columns(&set.author));
    tx.write(INSERT, params);
}

/// The record that `ins` names, as [`dossier::find_by_ins`] finds it, and the submission that is already known by
/// the unique id of its set, or else by that of one of its documents, in whoever's record: a unique id is unique for
/// ever.
pub async fn find_with_dossier(
    tx: &mut Tx<'_>,
    ins: &Ins,
    set: &UniqueId,
    document: &UniqueId,
) -> Result<(Option<Dossier>, Option<Known>), Error> {
    let known = (FIND_KNOWN, vec![set.to_urn().into(), document.to_urn().into()]);
    let (dossier, known) = tx.fetch_both(dossier::by_ins(ins), known).await?;
    Ok((dossier::read_any(&dossier)?, known.first().map(read).transpose()?))
}

fn read(row: &Row) -> Result<Known, Error> {
    Ok(Known {
        uuid: row.text(0)?.parse().map_err(|error| Error::inconsistent("submission_set", error))?,
        dossier: row.text(1)?.parse().map_err(|error| Error::inconsistent("submission_set", error))?,
        digest: row.bytes(2)?,
        depositor: (row.text(3)?, row.text(4)?),
        registered: instant("submission_set", row.integer(5)?)?,
        unique_id: row.text(6)?,
    })
}

const INSERT: &str = "-- store::submission_set::insert
INSERT INTO submission_set (submission_set_uuid, dossier_id, unique_id, source_id, submission_text, content_type_system,
  content_type_code, content_type_display, title, comments, depositor_kind, depositor, registered_us, digest, roles,
  person_kind, person_system, person_id, family, given, institution_system, institution_id, institution_name,
  specialty_system, specialty_code, specialty_display)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
  $25, $26)";

const FIND_KNOWN: &str = "-- store::submission_set::find_known
SELECT submission_set_uuid, dossier_id, digest, depositor_kind, depositor, registered_us, unique_id, 0 AS by_document
FROM submission_set WHERE unique_id = $1
UNION ALL
SELECT s.submission_set_uuid, s.dossier_id, s.digest, s.depositor_kind, s.depositor, s.registered_us, s.unique_id, 1
FROM document_entry e JOIN submission_set s ON s.submission_set_uuid = e.submission_set_uuid WHERE e.unique_id = $2
ORDER BY by_document LIMIT 1";
