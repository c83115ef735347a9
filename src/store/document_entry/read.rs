//! Reads document entries whole: their row, and what hangs below it.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{TABLE, kind_word, parse};
use crate::access::visibility::Visibility;
use crate::domain::association::{Association, RelationKind};
use crate::domain::author::{Author, AuthorPerson, Identifier, Institution, PersonKind};
use crate::domain::code::Code;
use crate::domain::confidentiality::{Confidentiality, ConfidentialityLevel, VisibilityLabel};
use crate::domain::document_entry::{DocumentEntry, DocumentMetadata, ReferenceId};
use crate::domain::dtm::Dtm;
use crate::domain::ins::Ins;
use crate::domain::patient::{SourcePatient, SourcePatientInfo};
use crate::domain::sha::{Fingerprint, Sha1Hash, Sha256Hash};
use crate::domain::status::AvailabilityStatus;
use crate::store::composer::Composer;
use crate::store::dossier::instant;
use crate::store::error::Error;
use crate::store::executor::{Param, Row, Tx};
use crate::store::volume::{Location, VolumeId};

/// Reads whole entries from rows that start with [`COLUMNS`], in their order.
///
/// An association to an entry that `visibility` hides is not there: its target's id would tell of it.
pub(in crate::store) async fn read_entries(
    tx: &mut Tx<'_>,
    rows: &[Row],
    visibility: &Visibility,
) -> Result<Vec<(DocumentEntry, Location)>, Error> {
    let ids = rows.iter().map(|row| row.integer(0)).collect::<Result<Vec<_>, _>>()?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut parts = Parts::load(tx, &ids, visibility).await?;
    rows.iter().zip(ids).map(|(row, id)| read_entry(row, parts.take(id))).collect()
}

/// What hangs below an entry, by entry id.
#[derive(Default)]
struct Parts {
    labels: HashMap<i64, Vec<VisibilityLabel>>,
    authors: HashMap<i64, Vec<(i64, String, Author)>>,
    items: HashMap<i64, Vec<Item>>,
    associations: HashMap<i64, Vec<Association>>,
}

struct Item {
    kind: String,
    owner: i64,
    name: String,
    value: String,
    extra: Option<String>,
}

impl Parts {
    async fn load(tx: &mut Tx<'_>, ids: &[i64], visibility: &Visibility) -> Result<Self, Error> {
        let mut parts = Self::default();
        for row in list_labels(tx, ids, visibility.at).await? {
            let label = VisibilityLabel::from_code(&row.text(1)?);
            let label = label.ok_or_else(|| Error::inconsistent("document_entry_label", "label"))?;
            parts.labels.entry(row.integer(0)?).or_default().push(label);
        }
        for row in list_below(tx, LIST_AUTHORS, ids).await? {
            let author = (row.integer(1)?, row.text(2)?, read_author(&row)?);
            parts.authors.entry(row.integer(0)?).or_default().push(author);
        }
        for row in list_below(tx, LIST_ITEMS, ids).await? {
            let item = Item {
                kind: row.text(1)?,
                owner: row.integer(2)?,
                name: row.text(3)?,
                value: row.text(4)?,
                extra: row.text_or_null(5)?,
            };
            parts.items.entry(row.integer(0)?).or_default().push(item);
        }
        for row in list_associations(tx, ids, visibility).await? {
            let kind = RelationKind::from_code(&row.text(1)?);
            let kind = kind.ok_or_else(|| Error::inconsistent("association", "kind"))?;
            let association = Association { kind, target: parse(&row.text(2)?)? };
            parts.associations.entry(row.integer(0)?).or_default().push(association);
        }
        Ok(parts)
    }

    fn take(&mut self, id: i64) -> Self {
        let mut one = Self::default();
        one.labels.extend(self.labels.remove_entry(&id));
        one.authors.extend(self.authors.remove_entry(&id));
        one.items.extend(self.items.remove_entry(&id));
        one.associations.extend(self.associations.remove_entry(&id));
        one
    }

    fn items_of(&self, kind: &'static str) -> impl Iterator<Item = &Item> {
        self.items.values().flatten().filter(move |item| item.kind == kind)
    }

    fn authors_as(&self, part: &str) -> Vec<Author> {
        let with_roles = |(position, _, author): &(i64, String, Author)| {
            let roles = self.items_of("role").filter(|item| item.owner == *position).map(|item| item.value.clone());
            Author { roles: roles.collect(), ..author.clone() }
        };
        self.authors.values().flatten().filter(|(_, of, _)| of == part).map(with_roles).collect()
    }
}

async fn list_below(tx: &mut Tx<'_>, statement: &'static str, ids: &[i64]) -> Result<Vec<Row>, Error> {
    let (before, after) = statement.split_once("$ids").unwrap_or((statement, ""));
    let mut composer = Composer::new(before);
    composer.push_list(ids.iter().map(|id| Param::Integer(*id)));
    composer.push(after);
    composer.fetch_all(tx).await
}

async fn list_labels(tx: &mut Tx<'_>, ids: &[i64], at: Timestamp) -> Result<Vec<Row>, Error> {
    let mut composer = Composer::new(LIST_LABELS);
    composer.push_list(ids.iter().map(|id| Param::Integer(*id)));
    composer.push(")");
    composer.push_in_force(at);
    composer.fetch_all(tx).await
}

async fn list_associations(tx: &mut Tx<'_>, ids: &[i64], visibility: &Visibility) -> Result<Vec<Row>, Error> {
    let mut composer = Composer::new(LIST_ASSOCIATIONS);
    composer.push(" AND s.entry_id IN (");
    composer.push_list(ids.iter().map(|id| Param::Integer(*id)));
    composer.push(")");
    composer.push_visibility("t", visibility);
    composer.push(" ORDER BY s.entry_id, a.kind, a.target_logical_id");
    composer.fetch_all(tx).await
}

/// Column positions follow [`COLUMNS`].
fn read_entry(row: &Row, parts: Parts) -> Result<(DocumentEntry, Location), Error> {
    let code = |at: usize| -> Result<Code, Error> {
        Ok(Code { system: row.text(at)?, code: row.text(at + 1)?, display: row.text_or_null(at + 2)? })
    };
    let dtm = |at: usize| row.text(at).and_then(|text| read_dtm(&text));
    let patient_id = Ins::parse(&row.text(6)?, &row.text(5)?);
    let level = ConfidentialityLevel::from_code(&row.text(37)?);
    let metadata = DocumentMetadata {
        unique_id: row.text(4)?.parse().map_err(|error| Error::inconsistent(TABLE, error))?,
        patient_id: patient_id.map_err(|error| Error::inconsistent(TABLE, error))?,
        source_patient: read_source_patient(row)?,
        authors: parts.authors_as("author"),
        legal_authenticator: parts.authors_as("legal_authenticator").pop(),
        custodian: parts.authors_as("custodian").pop().and_then(|author| author.institution),
        class_code: code(8)?,
        type_code: code(11)?,
        format_code: code(14)?,
        healthcare_facility_type_code: code(17)?,
        practice_setting_code: code(20)?,
        confidentiality: Confidentiality {
            level: level.ok_or_else(|| Error::inconsistent(TABLE, "confidentiality"))?,
            labels: parts.labels.values().flatten().copied().collect(),
        },
        event_codes: parts.items_of("event").map(item_code).collect(),
        title: row.text(23)?,
        comments: row.text_or_null(24)?,
        language_code: row.text(25)?,
        mime_type: row.text(26)?,
        creation_time: dtm(27)?,
        service_start_time: dtm(28)?,
        service_stop_time: row.text_or_null(29)?.map(|text| read_dtm(&text)).transpose()?,
        reference_ids: parts.items_of("reference").map(item_reference).collect(),
        other_slots: gather_slots(parts.items_of("slot")),
    };
    let (status, updated_us) = seen(row)?;
    let entry = DocumentEntry {
        entry_uuid: parse(&row.text(38)?)?,
        logical_id: parse(&row.text(3)?)?,
        version: version(row, 39)?,
        submission_set: parse(&row.text(1)?)?,
        availability_status: status,
        metadata,
        fingerprint: read_fingerprint(row, 42)?,
        associations: parts.associations.into_values().flatten().collect(),
        registered: instant(TABLE, row.integer(7)?)?,
        updated: instant(TABLE, updated_us)?,
    };
    Ok((entry, read_location(row)?))
}

/// Status and last change as they are for whoever sees this much: see [`Composer::push_entries`].
fn seen(row: &Row) -> Result<(AvailabilityStatus, i64), Error> {
    let status = AvailabilityStatus::from_word(&row.text(40)?);
    let status = status.ok_or_else(|| Error::inconsistent(TABLE, "status"))?;
    let updated_us = row.integer(41)?;
    Ok(match (status, row.integer_or_null(46)?) {
        (AvailabilityStatus::Deprecated, Some(replaced_us)) => (status, updated_us.max(replaced_us)),
        (AvailabilityStatus::Deprecated, None) => (AvailabilityStatus::Approved, updated_us),
        _ => (status, updated_us),
    })
}

fn read_source_patient(row: &Row) -> Result<SourcePatient, Error> {
    let id = match (row.text_or_null(30)?, row.text_or_null(31)?) {
        (Some(system), Some(value)) => Some(Identifier { system, value }),
        _ => None,
    };
    let info = SourcePatientInfo {
        birth_family: row.text_or_null(32)?,
        usual_family: row.text_or_null(33)?,
        given: row.text_or_null(34)?,
        birth_date: row.text_or_null(35)?.map(|text| read_dtm(&text)).transpose()?,
        sex: row.text_or_null(36)?,
    };
    Ok(SourcePatient { id, info })
}

fn read_author(row: &Row) -> Result<Author, Error> {
    let identifier = |at: usize| -> Result<Option<Identifier>, Error> {
        let (system, value) = (row.text_or_null(at)?, row.text_or_null(at + 1)?);
        Ok(system.zip(value).map(|(system, value)| Identifier { system, value }))
    };
    let person = match row.text_or_null(3)? {
        Some(word) => Some(AuthorPerson {
            id: identifier(4)?,
            kind: kind_from_word(&word)?,
            family: row.text_or_null(6)?,
            given: row.text_or_null(7)?,
        }),
        None => None,
    };
    let institution = match row.text_or_null(10)? {
        Some(name) => Some(Institution { id: identifier(8)?, name: Some(name).filter(|name| !name.is_empty()) }),
        None => None,
    };
    let specialty = match (row.text_or_null(11)?, row.text_or_null(12)?) {
        (Some(system), Some(code)) => Some(Code { system, code, display: row.text_or_null(13)? }),
        _ => None,
    };
    Ok(Author { person, institution, roles: Vec::new(), specialty })
}

fn version(row: &Row, at: usize) -> Result<u32, Error> {
    u32::try_from(row.integer(at)?).map_err(|error| Error::inconsistent(TABLE, error))
}

fn read_fingerprint(row: &Row, at: usize) -> Result<Fingerprint, Error> {
    let size_bytes = u64::try_from(row.integer(at + 2)?).map_err(|error| Error::inconsistent(TABLE, error))?;
    Ok(Fingerprint {
        sha1: Sha1Hash(fixed(row.bytes(at)?)?),
        sha256: Sha256Hash(fixed(row.bytes(at + 1)?)?),
        size_bytes,
    })
}

fn read_location(row: &Row) -> Result<Location, Error> {
    let number = |at: usize| u64::try_from(row.integer(at)?).map_err(|error| Error::inconsistent(TABLE, error));
    Ok(Location { volume: VolumeId::of_column(row.integer(2)?), offset: number(45)?, size_bytes: number(44)? })
}

fn fixed<const N: usize>(bytes: Vec<u8>) -> Result<[u8; N], Error> {
    bytes.try_into().map_err(|_| Error::inconsistent(TABLE, "hash length"))
}

fn item_code(item: &Item) -> Code {
    Code { system: item.name.clone(), code: item.value.clone(), display: item.extra.clone() }
}

fn item_reference(item: &Item) -> ReferenceId {
    let identifier = Identifier { system: item.extra.clone().unwrap_or_default(), value: item.value.clone() };
    ReferenceId { identifier, kind: item.name.clone() }
}

fn gather_slots<'a>(items: impl Iterator<Item = &'a Item>) -> Vec<(String, Vec<String>)> {
    let mut slots: Vec<(String, Vec<String>)> = Vec::new();
    for item in items {
        match slots.last_mut() {
            Some((name, values)) if *name == item.name => values.push(item.value.clone()),
            _ => slots.push((item.name.clone(), vec![item.value.clone()])),
        }
    }
    slots
}

fn kind_from_word(word: &str) -> Result<PersonKind, Error> {
    [PersonKind::Professional, PersonKind::Patient, PersonKind::Device]
        .into_iter()
        .find(|kind| kind_word(*kind) == word)
        .ok_or_else(|| Error::inconsistent("document_entry_author", "person_kind"))
}

fn read_dtm(text: &str) -> Result<Dtm, Error> {
    Dtm::from_hl7(text).map_err(|error| Error::inconsistent(TABLE, error))
}

/// What [`read_entries`] expects, over the `e` of [`Composer::push_entries`].
pub(in crate::store) const COLUMNS: &str =
    "e.entry_id, e.submission_set_uuid, e.volume, e.logical_id, e.unique_id, e.ins_authority,
  e.ins_matricule, e.registered_us, e.class_system, e.class_code, e.class_display, e.type_system, e.type_code,
  e.type_display, e.format_system, e.format_code, e.format_display, e.facility_system, e.facility_code,
  e.facility_display, e.setting_system, e.setting_code, e.setting_display, e.title, e.comments, e.language_code,
  e.mime_type, e.creation_text, e.start_text, e.stop_text, e.source_id_system, e.source_id_value, e.birth_family,
  e.usual_family, e.given, e.birth_text, e.sex, e.confidentiality, e.entry_uuid, e.version, e.status, e.updated_us,
  e.sha1, e.sha256, e.size_bytes, e.volume_offset, e.replaced_us";

const LIST_LABELS: &str = "-- store::document_entry::list_labels
SELECT l.entry_id, l.label FROM document_entry_label l WHERE l.entry_id IN (";

const LIST_AUTHORS: &str = "-- store::document_entry::list_authors
SELECT entry_id, position, part, person_kind, person_system, person_id, family, given, institution_system,
  institution_id, institution_name, specialty_system, specialty_code, specialty_display
FROM document_entry_author WHERE entry_id IN ($ids) ORDER BY entry_id, position";

const LIST_ITEMS: &str = "-- store::document_entry::list_items
SELECT entry_id, kind, owner, name, value, extra FROM document_entry_item WHERE entry_id IN ($ids)
ORDER BY entry_id, kind, position";

const LIST_ASSOCIATIONS: &str = "-- store::document_entry::list_associations
SELECT s.entry_id, a.kind, a.target_logical_id FROM association a
JOIN document_entry s ON s.logical_id = a.source_logical_id
JOIN document_entry t ON t.logical_id = a.target_logical_id WHERE 1 = 1";
