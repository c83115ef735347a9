//! Statements on document entries. Finding what a caller may see is `search`'s; here entries are written and read whole.

mod read;

pub(super) use self::read::{COLUMNS, read_entries};

use std::collections::BTreeSet;

use super::composer::Composer;
use super::error::Error;
use super::executor::{Param, Tx};
use super::search::fold;
use super::volume::{Location, Placed};
use crate::access::decide::{Deposit, Permit};
use crate::domain::association::{Association, RelationKind};
use crate::domain::author::{Author, AuthorPerson, PersonKind};
use crate::domain::confidentiality::VisibilityLabel;
use crate::domain::document_entry::{DocumentEntry, DocumentMetadata, ReferenceId};
use crate::domain::dtm::Dtm;
use crate::domain::ids::{LogicalId, SubmissionSetUuid, UniqueId};
use crate::domain::sha::Fingerprint;

/// Writes an entry, whose bytes are `document`, with its labels and `more` of them, authors, lists and associations.
pub fn insert(
    tx: &mut Tx<'_>,
    permit: &Permit<Deposit>,
    entry: &DocumentEntry,
    more: &BTreeSet<VisibilityLabel>,
    document: Placed,
) -> Result<(), Error> {
    tx.write(INSERT, entry_params(permit, entry, document.location())?);
    tx.hold(document);
    let labels = &entry.metadata.confidentiality.labels;
    let until = |label: &VisibilityLabel| label.until(entry.registered).into();
    let labels = labels.union(more).map(|label| vec![label.code().into(), until(label)]).collect();
    insert_below(tx, INSERT_LABELS, entry.logical_id, labels);
    insert_below(tx, INSERT_AUTHORS, entry.logical_id, author_rows(&entry.metadata));
    insert_below(tx, INSERT_ITEMS, entry.logical_id, item_rows(&entry.metadata));
    for association in &entry.associations {
        let (source, target) = (entry.logical_id.to_string(), association.target.to_string());
        tx.write(INSERT_ASSOCIATION, vec![source.into(), association.kind.code().into(), target.into()]);
    }
    Ok(())
}

/// The entries of one submission set in the order of their deposit, each with what it was related to.
pub async fn list_of_submission_set(
    tx: &mut Tx<'_>,
    set: SubmissionSetUuid,
) -> Result<Vec<(LogicalId, Vec<Association>)>, Error> {
    let mut entries: Vec<(LogicalId, Vec<Association>)> = Vec::new();
    for row in tx.fetch_all(LIST_OF_SUBMISSION_SET, vec![set.to_string().into()]).await? {
        let logical_id: LogicalId = parse(&row.text(0)?)?;
        if entries.last().is_none_or(|(last, _)| *last != logical_id) {
            entries.push((logical_id, Vec::new()));
        }
        if let (Some(kind), Some(target)) = (row.text_or_null(1)?, row.text_or_null(2)?) {
            let kind = RelationKind::from_code(&kind).ok_or_else(|| Error::inconsistent("association", "kind"))?;
            let association = Association { kind, target: parse(&target)? };
            entries.last_mut().into_iter().for_each(|(_, associations)| associations.push(association));
        }
    }
    Ok(entries)
}

/// Whether some document, in whichever record, already bears `unique_id`, or has the UUID that it is as one of ours:
/// an identifier names one document.
pub async fn is_taken(tx: &mut Tx<'_>, unique_id: &UniqueId) -> Result<bool, Error> {
    let uuid = match unique_id {
        UniqueId::Uuid(uuid) => uuid.to_string(),
        UniqueId::Oid(_) => String::new(),
    };
    Ok(tx.fetch_optional(FIND_TAKEN, vec![unique_id.to_urn().into(), uuid.into()]).await?.is_some())
}

/// Turns an entry into Deprecated, in the commit that stores what replaces it. What replaced it, and when, stays with
/// the association: whoever may not see the newer one goes on seeing this one in force, as it was.
pub async fn deprecate(tx: &mut Tx<'_>, permit: &Permit<Deposit>, id: LogicalId) -> Result<bool, Error> {
    let params = vec![id.to_string().into(), permit.dossier().to_string().into()];
    Ok(tx.execute(DEPRECATE, params).await? == 1)
}

fn entry_params(permit: &Permit<Deposit>, entry: &DocumentEntry, location: Location) -> Result<Vec<Param>, Error> {
    let metadata = &entry.metadata;
    let Fingerprint { sha1, sha256, size_bytes } = entry.fingerprint;
    let number = |number: u64| i64::try_from(number).map_err(|error| Error::inconsistent(TABLE, error));
    let mut params: Vec<Param> = vec![
        permit.dossier().to_string().into(),
        entry.submission_set.to_string().into(),
        entry.logical_id.to_string().into(),
        metadata.unique_id.to_urn().into(),
        metadata.patient_id.authority().oid().into(),
        metadata.patient_id.matricule().into(),
        permit.holder().kind().into(),
        permit.holder().number().into(),
        entry.registered.into(),
    ];
    let codes = [
        &metadata.class_code,
        &metadata.type_code,
        &metadata.format_code,
        &metadata.healthcare_facility_type_code,
        &metadata.practice_setting_code,
    ];
    for code in codes {
        params.extend([code.system.clone().into(), code.code.clone().into(), code.display.clone().into()]);
    }
    params.extend([
        metadata.title.clone().into(),
        metadata.comments.clone().into(),
        metadata.language_code.clone().into(),
        metadata.mime_type.clone().into(),
    ]);
    for time in [Some(metadata.creation_time), Some(metadata.service_start_time), metadata.service_stop_time] {
        params.extend([time.map(Dtm::to_hl7).into(), time.map(Dtm::from).into(), time.map(Dtm::to).into()]);
    }
    let source = &metadata.source_patient;
    params.extend([
        source.id.as_ref().map(|id| id.system.clone()).into(),
        source.id.as_ref().map(|id| id.value.clone()).into(),
        source.info.birth_family.clone().into(),
        source.info.usual_family.clone().into(),
        source.info.given.clone().into(),
        source.info.birth_date.map(Dtm::to_hl7).into(),
        source.info.sex.clone().into(),
        metadata.confidentiality.level.code().into(),
        sha1.0.to_vec().into(),
        sha256.0.to_vec().into(),
        number(size_bytes)?.into(),
        location.volume.to_column().into(),
        number(location.offset)?.into(),
        entry.entry_uuid.to_string().into(),
        entry.version.into(),
        entry.registered.into(),
        entry.availability_status.word().into(),
    ]);
    Ok(params)
}

fn author_rows(metadata: &DocumentMetadata) -> Vec<Vec<Param>> {
    let custodian =
        metadata.custodian.clone().map(|institution| Author { institution: Some(institution), ..Author::default() });
    let authors = metadata.authors.iter().map(|author| ("author", author));
    let authenticator = metadata.legal_authenticator.iter().map(|author| ("legal_authenticator", author));
    let all = authors.chain(authenticator).chain(custodian.iter().map(|author| ("custodian", author)));
    all.enumerate().map(|(position, (part, author))| author_params(position, part, author)).collect()
}

fn author_params(position: usize, part: &str, author: &Author) -> Vec<Param> {
    let folded = |name: fn(&AuthorPerson) -> Option<&String>| {
        author.person.as_ref().and_then(name).map(|name| fold(name)).into()
    };
    let mut params = vec![position.into(), part.into()];
    params.extend(author_columns(author));
    params.extend([folded(|person| person.family.as_ref()), folded(|person| person.given.as_ref())]);
    params
}

/// `person_kind` to `specialty_display`, in the order in which the tables of authors name them.
pub(super) fn author_columns(author: &Author) -> [Param; 11] {
    let person = author.person.as_ref();
    let person_id = person.and_then(|person| person.id.as_ref());
    let institution = author.institution.as_ref();
    let institution_id = institution.and_then(|institution| institution.id.as_ref());
    let specialty = author.specialty.as_ref();
    [
        person.map(|person| kind_word(person.kind)).into(),
        person_id.map(|id| id.system.clone()).into(),
        person_id.map(|id| id.value.clone()).into(),
        person.and_then(|person| person.family.clone()).into(),
        person.and_then(|person| person.given.clone()).into(),
        institution_id.map(|id| id.system.clone()).into(),
        institution_id.map(|id| id.value.clone()).into(),
        institution.map(|institution| institution.name.clone().unwrap_or_default()).into(),
        specialty.map(|code| code.system.clone()).into(),
        specialty.map(|code| code.code.clone()).into(),
        specialty.and_then(|code| code.display.clone()).into(),
    ]
}

fn item_rows(metadata: &DocumentMetadata) -> Vec<Vec<Param>> {
    let mut items: Vec<(&str, usize, &str, &str, Option<&str>)> = Vec::new();
    // Positions as `author_rows` gives them: authors first, then who vouches for the document.
    for (owner, author) in metadata.authors.iter().chain(&metadata.legal_authenticator).enumerate() {
        items.extend(author.roles.iter().map(|role| ("role", owner, "", role.as_str(), None)));
    }
    for code in &metadata.event_codes {
        items.push(("event", 0, &code.system, &code.code, code.display.as_deref()));
    }
    for ReferenceId { identifier, kind } in &metadata.reference_ids {
        items.push(("reference", 0, kind, &identifier.value, Some(&identifier.system)));
    }
    for (name, values) in &metadata.other_slots {
        items.extend(values.iter().map(|value| ("slot", 0, name.as_str(), value.as_str(), None)));
    }
    items
        .into_iter()
        .enumerate()
        .map(|(position, (kind, owner, name, value, extra))| {
            vec![kind.into(), position.into(), owner.into(), name.into(), value.into(), extra.into()]
        })
        .collect()
}

/// Rows that hang below an entry which is on its way: the database alone knows its number. Few statements, each
/// within the number of parameters that a database takes.
fn insert_below(tx: &mut Tx<'_>, start: &'static str, entry: LogicalId, rows: Vec<Vec<Param>>) {
    const ROWS_AT_ONCE: usize = 500;
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let mut insert = Composer::new(start);
        insert.push(" SELECT e.entry_id, v.* FROM (VALUES ");
        insert.push_rows(rows.by_ref().take(ROWS_AT_ONCE));
        insert.push(") AS v CROSS JOIN document_entry e WHERE e.logical_id = ");
        insert.push_param(entry.to_string().into());
        let (text, params) = insert.finish();
        tx.write(text, params);
    }
}

fn kind_word(kind: PersonKind) -> &'static str {
    match kind {
        PersonKind::Professional => "professional",
        PersonKind::Patient => "patient",
        PersonKind::Device => "device",
    }
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|error: T::Err| Error::inconsistent(TABLE, error))
}

const TABLE: &str = "document_entry";

const INSERT: &str = "-- store::document_entry::insert
INSERT INTO document_entry (dossier_id, submission_set_uuid, logical_id, unique_id, ins_authority,
  ins_matricule, depositor_kind, depositor, registered_us, class_system, class_code, class_display, type_system,
  type_code, type_display, format_system, format_code, format_display, facility_system, facility_code,
  facility_display, setting_system, setting_code, setting_display, title, comments, language_code, mime_type,
  creation_text, creation_from_us, creation_to_us, start_text, start_from_us, start_to_us, stop_text, stop_from_us,
  stop_to_us, source_id_system, source_id_value, birth_family, usual_family, given, birth_text, sex, confidentiality,
  sha1, sha256, size_bytes, volume, volume_offset, entry_uuid, version, updated_us, status)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
  $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47,
  $48, $49, $50, $51, $52, $53, $54)";

const INSERT_LABELS: &str = "-- store::document_entry::insert_labels
INSERT INTO document_entry_label (entry_id, label, until_us)";

const INSERT_AUTHORS: &str = "-- store::document_entry::insert_authors
INSERT INTO document_entry_author (entry_id, position, part, person_kind, person_system, person_id, family, given,
  institution_system, institution_id, institution_name, specialty_system, specialty_code, specialty_display,
  family_folded, given_folded)";

const INSERT_ITEMS: &str = "-- store::document_entry::insert_items
INSERT INTO document_entry_item (entry_id, kind, position, owner, name, value, extra)";

const INSERT_ASSOCIATION: &str = "-- store::document_entry::insert_association
INSERT INTO association (source_logical_id, kind, target_logical_id) VALUES ($1, $2, $3)";

const LIST_OF_SUBMISSION_SET: &str = "-- store::document_entry::list_of_submission_set
SELECT e.logical_id, a.kind, a.target_logical_id
FROM document_entry e LEFT JOIN association a ON a.source_logical_id = e.logical_id
WHERE e.submission_set_uuid = $1 ORDER BY e.entry_id, a.kind, a.target_logical_id";

const FIND_TAKEN: &str = "-- store::document_entry::find_taken
SELECT entry_id FROM document_entry WHERE unique_id = $1
UNION SELECT entry_id FROM document_entry WHERE entry_uuid = $2
UNION SELECT entry_id FROM document_entry WHERE logical_id = $2";

const DEPRECATE: &str = "-- store::document_entry::deprecate
UPDATE document_entry SET status = 'deprecated'
WHERE logical_id = $1 AND dossier_id = $2 AND status IN ('approved', 'deprecated')";
