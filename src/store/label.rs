//! Statements on the visibility labels of entries, and on what the patient has seen. Source: D.2, D.5, F.2 (R1111-53).

use jiff::Timestamp;

use super::composer::Composer;
use super::error::Error;
use super::executor::Tx;
use super::search::NO_DOSSIER;
use crate::access::decide::{Act, Permit};
use crate::access::visibility::Visibility;
use crate::domain::confidentiality::VisibilityLabel;
use crate::domain::ids::{DossierId, EntryUuid, LogicalId};

/// Puts a label on an entry that the permit shows: a new metadata version with a new entryUUID (D.5). What is there
/// already is left as it is, and so is one that has ended: its time is not counted anew.
pub async fn put<A: Act>(
    tx: &mut Tx<'_>,
    permit: &Permit<A>,
    id: LogicalId,
    label: VisibilityLabel,
    now: Timestamp,
) -> Result<(), Error> {
    let dossier = permit.dossier().to_string();
    let params = vec![id.to_string().into(), dossier.into(), label.code().into(), label.until(now).into()];
    if tx.execute(PUT, params).await? == 1 { next_version(tx, id, now).await } else { Ok(()) }
}

/// Takes it away. One with an end of its own ends now, and is known to have been there.
pub async fn take<A: Act>(
    tx: &mut Tx<'_>,
    permit: &Permit<A>,
    id: LogicalId,
    label: VisibilityLabel,
    now: Timestamp,
) -> Result<(), Error> {
    let mut params = vec![id.to_string().into(), permit.dossier().to_string().into(), label.code().into()];
    let taken = if label.until(now).is_none() {
        tx.execute(TAKE, params).await?
    } else {
        params.push(now.into());
        tx.execute(END, params).await?
    };
    if taken == 1 { next_version(tx, id, now).await } else { Ok(()) }
}

/// Whether an entry was shown to the patient, or could have been since a label ended: it can be invisible to them no more.
pub async fn is_shown_to_patient(tx: &mut Tx<'_>, id: LogicalId, now: Timestamp) -> Result<bool, Error> {
    let label = VisibilityLabel::InvisiblePatient.code();
    let params = vec![id.to_string().into(), label.into(), now.into()];
    Ok(tx.fetch_optional(FIND_SHOWN_TO_PATIENT, params).await?.is_some())
}

/// Notes that the patient, or who acts for them, is about to see these metadata versions; the first time counts.
///
/// Errors: `Busy` where one is no longer the last. Its document may have been made invisible to the patient since it was
/// read, by somebody who was told that they had not seen it.
pub async fn note_seen_by_patient(tx: &mut Tx<'_>, shown: &[EntryUuid], now: Timestamp) -> Result<(), Error> {
    let push_shown = |composer: &mut Composer| {
        composer.push("entry_uuid IN (");
        composer.push_list(shown.iter().map(|id| id.to_string().into()));
        composer.push(")");
    };
    let mut count = Composer::new("-- store::label::count_shown\nSELECT COUNT(*) FROM document_entry WHERE ");
    push_shown(&mut count);
    let rows = count.fetch_all(tx).await?;
    let there = rows.first().map_or(Ok(0), |row| row.integer(0))?;
    if usize::try_from(there) != Ok(shown.len()) {
        return Err(Error::Busy);
    }
    let mut update =
        Composer::new("-- store::label::note_seen_by_patient\nUPDATE document_entry SET patient_seen_us = ");
    update.push_param(now.into());
    update.push(" WHERE patient_seen_us IS NULL AND ");
    push_shown(&mut update);
    let (text, params) = update.finish();
    tx.write(text, params);
    Ok(())
}

/// Every label in force on the entries that the permit shows, in the order of their deposit.
pub async fn list<A: Act>(tx: &mut Tx<'_>, permit: &Permit<A>) -> Result<Vec<(LogicalId, VisibilityLabel)>, Error> {
    list_of(tx, permit.dossier(), permit.visibility()).await
}

/// Asks what [`list`] asks, of no record: absent and hidden are to take the same statements.
pub async fn list_nothing(tx: &mut Tx<'_>, nothing: &Visibility) -> Result<(), Error> {
    list_of(tx, NO_DOSSIER, nothing).await.map(drop)
}

async fn list_of(
    tx: &mut Tx<'_>,
    dossier: DossierId,
    visibility: &Visibility,
) -> Result<Vec<(LogicalId, VisibilityLabel)>, Error> {
    let mut list = Composer::new(LIST);
    list.push_param(dossier.to_string().into());
    list.push_in_force(visibility.at);
    list.push_visibility("e", visibility);
    list.push(" ORDER BY e.entry_id, l.label");
    let rows = list.fetch_all(tx).await?;
    let read = |row: &super::executor::Row| {
        let id = row.text(0)?.parse().map_err(|error| Error::inconsistent("document_entry", error))?;
        let label = VisibilityLabel::from_code(&row.text(1)?);
        Ok((id, label.ok_or_else(|| Error::inconsistent("document_entry_label", "label"))?))
    };
    rows.iter().map(read).collect()
}

async fn next_version(tx: &mut Tx<'_>, id: LogicalId, now: Timestamp) -> Result<(), Error> {
    let params = vec![id.to_string().into(), EntryUuid::new().to_string().into(), now.into()];
    tx.execute(NEXT_VERSION, params).await.map(drop)
}

const PUT: &str = "-- store::label::put
INSERT INTO document_entry_label (entry_id, label, until_us)
SELECT e.entry_id, $3, $4 FROM document_entry e WHERE e.logical_id = $1 AND e.dossier_id = $2
ON CONFLICT DO NOTHING";

const TAKE: &str = "-- store::label::take
DELETE FROM document_entry_label WHERE label = $3 AND entry_id =
  (SELECT e.entry_id FROM document_entry e WHERE e.logical_id = $1 AND e.dossier_id = $2)";

const END: &str = "-- store::label::end
UPDATE document_entry_label SET until_us = $4 WHERE label = $3 AND until_us > $4 AND entry_id =
  (SELECT e.entry_id FROM document_entry e WHERE e.logical_id = $1 AND e.dossier_id = $2)";

const NEXT_VERSION: &str = "-- store::label::next_version
UPDATE document_entry SET version = version + 1, entry_uuid = $2, updated_us = $3 WHERE logical_id = $1";

const FIND_SHOWN_TO_PATIENT: &str = "-- store::label::find_shown_to_patient
SELECT 1 FROM document_entry e WHERE e.logical_id = $1 AND (e.patient_seen_us IS NOT NULL OR EXISTS
  (SELECT 1 FROM document_entry_label l WHERE l.entry_id = e.entry_id AND l.label = $2 AND l.until_us <= $3))";

const LIST: &str = "-- store::label::list
SELECT e.logical_id, l.label FROM document_entry e JOIN document_entry_label l ON l.entry_id = e.entry_id
WHERE e.dossier_id = ";
