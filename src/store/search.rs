//! Criteria and [`Visibility`] compiled into one statement.
//!
//! What a permit hides is outside the statement that finds, counts and pages: it never reaches a row, a total
//! or a link. Source: F.4 (13 to 16), E.5.

use jiff::Timestamp;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use uuid::Uuid;

use super::composer::Composer;
use super::document_entry::{COLUMNS, read_entries};
use super::error::Error;
use super::executor::{Param, Tx};
use super::volume::Location;
use crate::access::decide::{Act, Consult, Permit};
use crate::access::visibility::Visibility;
use crate::domain::criteria::{CodeCriterion, Criteria, Direction, SortKey, TimeCriterion};
use crate::domain::document_entry::DocumentEntry;
use crate::domain::ids::{DossierId, EntryUuid, LogicalId, UniqueId};
use crate::domain::status::AvailabilityStatus;

/// What a search found: how many in all, and the page asked for.
#[derive(Debug, Default)]
pub struct Found {
    pub total: u64,
    pub entries: Vec<DocumentEntry>,
}

/// Entries of the permit's record that match and that it shows.
pub async fn find(tx: &mut Tx<'_>, permit: &Permit<Consult>, criteria: &Criteria) -> Result<Found, Error> {
    let total = count(tx, permit.dossier(), permit.visibility(), criteria).await?;
    if total <= criteria.page.offset || criteria.page.size == 0 {
        return Ok(Found { total, entries: Vec::new() });
    }
    let mut page = select(permit.dossier(), permit.visibility());
    push_conditions(&mut page, permit.visibility(), criteria);
    push_order(&mut page, &criteria.sort);
    page.push(" LIMIT ");
    page.push_param(criteria.page.size.into());
    page.push(" OFFSET ");
    page.push_param(Param::Integer(i64::try_from(criteria.page.offset).unwrap_or(i64::MAX)));
    let rows = page.fetch_all(tx).await?;
    let entries = read_entries(tx, &rows, permit.visibility()).await?;
    Ok(Found { total, entries: entries.into_iter().map(|(entry, _)| entry).collect() })
}

/// Asks what [`find`] asks when it finds nothing, of no record: absent and hidden are to take the same statements.
pub async fn find_nothing(tx: &mut Tx<'_>, nothing: &Visibility, criteria: &Criteria) -> Result<(), Error> {
    count(tx, NO_DOSSIER, nothing, criteria).await.map(drop)
}

async fn count(
    tx: &mut Tx<'_>,
    dossier: DossierId,
    visibility: &Visibility,
    criteria: &Criteria,
) -> Result<u64, Error> {
    let mut count = Composer::new("-- store::search::count\nSELECT COUNT(*) FROM ");
    count.push_entries(dossier, visibility);
    push_conditions(&mut count, visibility, criteria);
    let rows = count.fetch_all(tx).await?;
    let total = rows.first().map_or(Ok(0), |row| row.integer(0))?;
    u64::try_from(total).map_err(|error| Error::inconsistent("document_entry", error))
}

/// One entry, if the permit shows it, with the key of its bytes. Any status but Deleted.
pub async fn find_one<A: Act>(
    tx: &mut Tx<'_>,
    permit: &Permit<A>,
    name: &EntryName,
) -> Result<Option<(DocumentEntry, Location)>, Error> {
    select_one(tx, permit.dossier(), permit.visibility(), name).await
}

/// Asks what [`find_one`] asks when it finds nothing, of no record.
pub async fn find_no_one(tx: &mut Tx<'_>, nothing: &Visibility, name: &EntryName) -> Result<(), Error> {
    select_one(tx, NO_DOSSIER, nothing, name).await.map(drop)
}

async fn select_one(
    tx: &mut Tx<'_>,
    dossier: DossierId,
    visibility: &Visibility,
    name: &EntryName,
) -> Result<Option<(DocumentEntry, Location)>, Error> {
    let mut one = select(dossier, visibility);
    let (column, value) = match name {
        EntryName::Logical(id) => (" WHERE e.logical_id = ", id.to_string()),
        EntryName::Unique(id) => (" WHERE e.unique_id = ", id.to_urn()),
        EntryName::Entry(id) => (" WHERE e.entry_uuid = ", id.to_string()),
    };
    one.push(column);
    one.push_param(value.into());
    one.push_visibility("e", visibility);
    let rows = one.fetch_all(tx).await?;
    Ok(read_entries(tx, &rows, visibility).await?.pop())
}

/// By which name one entry is asked for.
#[derive(Debug, Clone)]
pub enum EntryName {
    Logical(LogicalId),
    Unique(UniqueId),
    Entry(EntryUuid),
}

fn select(dossier: DossierId, visibility: &Visibility) -> Composer {
    let mut select = Composer::new("-- store::search::page\nSELECT ");
    select.push(COLUMNS);
    select.push("\nFROM ");
    select.push_entries(dossier, visibility);
    select
}

fn push_conditions(composer: &mut Composer, visibility: &Visibility, criteria: &Criteria) {
    composer.push(" WHERE 1 = 1");
    composer.push_visibility("e", visibility);
    push_in(composer, "e.logical_id", criteria.logical_ids.iter().map(|id| id.to_string().into()).collect());
    push_identifiers(composer, &criteria.identifiers);
    push_in(composer, SEEN_STATUS, statuses(criteria).into_iter().map(|status| status.word().into()).collect());
    push_codes(composer, ("e.class_system", "e.class_code"), &criteria.classes);
    push_codes(composer, ("e.type_system", "e.type_code"), &criteria.types);
    push_codes(composer, ("e.format_system", "e.format_code"), &criteria.formats);
    push_codes(composer, ("e.facility_system", "e.facility_code"), &criteria.facilities);
    push_codes(composer, ("e.setting_system", "e.setting_code"), &criteria.settings);
    push_below(composer, EVENTS, &criteria.events);
    push_labels(composer, &criteria.labels, visibility.at);
    push_exists(composer, AUTHOR_IDS, criteria.author_ids.iter().map(|id| id.as_str().into()).collect());
    push_like(composer, "a.family_folded", &criteria.author_families);
    push_like(composer, "a.given_folded", &criteria.author_givens);
    push_exists(composer, REFERENCES, criteria.reference_ids.iter().map(|id| id.as_str().into()).collect());
    push_times(composer, ("e.creation_from_us", "e.creation_to_us"), &criteria.creation);
    push_times(composer, ("e.start_from_us", "COALESCE(e.stop_to_us, e.start_to_us)"), &criteria.period);
    push_times(composer, ("e.start_from_us", "e.start_to_us"), &criteria.service_start);
    push_times(composer, ("e.stop_from_us", "e.stop_to_us"), &criteria.service_stop);
    push_times(composer, (SEEN_UPDATED, SEEN_UPDATED_TO), &criteria.registered);
}

/// Without a status filter only what is in force is proposed (E.5), unless an entry is asked for by its name.
fn statuses(criteria: &Criteria) -> Vec<AvailabilityStatus> {
    let by_name = !criteria.identifiers.is_empty() || !criteria.logical_ids.is_empty();
    match criteria.statuses.as_slice() {
        [] if by_name => Vec::new(),
        [] => vec![AvailabilityStatus::Approved],
        named => named.to_vec(),
    }
}

pub(super) fn push_in(composer: &mut Composer, column: &'static str, values: Vec<Param>) {
    if !values.is_empty() {
        composer.push(" AND ");
        composer.push(column);
        composer.push(" IN (");
        composer.push_list(values.into_iter());
        composer.push(")");
    }
}

fn push_identifiers(composer: &mut Composer, urns: &[String]) {
    if urns.is_empty() {
        return;
    }
    composer.push(" AND (e.unique_id IN (");
    composer.push_list(urns.iter().map(|urn| urn.as_str().into()));
    composer.push(") OR e.entry_uuid IN (");
    composer.push_list(urns.iter().map(|urn| urn.strip_prefix("urn:uuid:").unwrap_or_default().into()));
    composer.push(") OR e.logical_id IN (");
    composer.push_list(urns.iter().map(|urn| urn.strip_prefix("urn:uuid:").unwrap_or_default().into()));
    composer.push("))");
}

fn push_codes(composer: &mut Composer, (system, code): (&'static str, &'static str), wanted: &[CodeCriterion]) {
    if wanted.is_empty() {
        return;
    }
    composer.push(" AND (");
    for (index, criterion) in wanted.iter().enumerate() {
        composer.push(if index > 0 { " OR (" } else { "(" });
        composer.push(code);
        composer.push(" = ");
        composer.push_param(criterion.code.as_str().into());
        if let Some(named) = &criterion.system {
            composer.push(" AND ");
            composer.push(system);
            composer.push(" = ");
            composer.push_param(named.as_str().into());
        }
        composer.push(")");
    }
    composer.push(")");
}

/// The record that nobody has.
pub(super) const NO_DOSSIER: DossierId = DossierId(Uuid::nil());

/// As read by `document_entry::read`: what nothing visible replaced is in force.
const SEEN_STATUS: &str =
    "CASE WHEN e.status = 'deprecated' AND e.replaced_us IS NULL THEN 'approved' ELSE e.status END";
const SEEN_UPDATED: &str = "CASE WHEN e.replaced_us > e.updated_us THEN e.replaced_us ELSE e.updated_us END";
const SEEN_UPDATED_TO: &str = "CASE WHEN e.replaced_us > e.updated_us THEN e.replaced_us ELSE e.updated_us END + 1";

const EVENTS: &str =
    " AND EXISTS (SELECT 1 FROM document_entry_item i WHERE i.entry_id = e.entry_id AND i.kind = 'event'";
const AUTHOR_IDS: &str = " AND EXISTS (SELECT 1 FROM document_entry_author a WHERE a.entry_id = e.entry_id
  AND a.part = 'author' AND COALESCE(a.person_id, a.institution_id) IN (";
const REFERENCES: &str = " AND EXISTS (SELECT 1 FROM document_entry_item i WHERE i.entry_id = e.entry_id
  AND i.kind = 'reference' AND i.value IN (";

fn push_below(composer: &mut Composer, start: &'static str, wanted: &[CodeCriterion]) {
    if !wanted.is_empty() {
        composer.push(start);
        push_codes(composer, ("i.name", "i.value"), wanted);
        composer.push(")");
    }
}

fn push_exists(composer: &mut Composer, start: &'static str, values: Vec<Param>) {
    if !values.is_empty() {
        composer.push(start);
        composer.push_list(values.into_iter());
        composer.push("))");
    }
}

/// The level is a column, the visibility labels are rows: FHIR shows both as `securityLabel`.
fn push_labels(composer: &mut Composer, wanted: &[CodeCriterion], at: Timestamp) {
    if wanted.is_empty() {
        return;
    }
    let codes = || wanted.iter().map(|criterion| criterion.code.as_str().into());
    composer.push(" AND (e.confidentiality IN (");
    composer.push_list(codes());
    composer.push(") OR EXISTS (SELECT 1 FROM document_entry_label l WHERE l.entry_id = e.entry_id AND l.label IN (");
    composer.push_list(codes());
    composer.push(")");
    composer.push_in_force(at);
    composer.push("))");
}

/// FHIR string search: starts with, whatever the case and the accents.
fn push_like(composer: &mut Composer, column: &'static str, wanted: &[String]) {
    if wanted.is_empty() {
        return;
    }
    composer.push(
        " AND EXISTS (SELECT 1 FROM document_entry_author a WHERE a.entry_id = e.entry_id AND a.part = 'author' AND (",
    );
    for (index, text) in wanted.iter().enumerate() {
        composer.push(if index > 0 { " OR " } else { "" });
        composer.push(column);
        composer.push(" LIKE ");
        let escaped = fold(text).replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        composer.push_param(format!("{escaped}%").into());
        composer.push(" ESCAPE '\\'");
    }
    composer.push("))");
}

/// A name without case and accents.
pub(super) fn fold(name: &str) -> String {
    name.nfd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect()
}

pub(super) fn push_times(composer: &mut Composer, (from, to): (&'static str, &'static str), bounds: &[TimeCriterion]) {
    for bound in bounds {
        let (parts, joined) = match *bound {
            TimeCriterion::Within { from: start, to: end } => (vec![(from, " >= ", start), (to, " <= ", end)], " AND "),
            TimeCriterion::NotWithin { from: start, to: end } => (vec![(from, " < ", start), (to, " > ", end)], " OR "),
            TimeCriterion::AtOrAfter(instant) => (vec![(to, " > ", instant)], ""),
            TimeCriterion::After(instant) => (vec![(from, " >= ", instant)], ""),
            TimeCriterion::Before(instant) => (vec![(from, " < ", instant)], ""),
            TimeCriterion::EndsBefore(instant) => (vec![(to, " <= ", instant)], ""),
        };
        for (index, (column, operator, instant)) in parts.into_iter().enumerate() {
            composer.push(if index > 0 { joined } else { " AND (" });
            composer.push(column);
            composer.push(operator);
            composer.push_param(instant.into());
        }
        composer.push(")");
    }
}

/// A stable order: ties are broken by the key, so that pages neither repeat nor skip.
fn push_order(composer: &mut Composer, sort: &[(SortKey, Direction)]) {
    composer.push(" ORDER BY ");
    for (key, direction) in sort {
        composer.push(match key {
            SortKey::Creation => "e.creation_from_us",
            SortKey::ServiceStart => "e.start_from_us",
            SortKey::Registered => SEEN_UPDATED,
        });
        composer.push(match direction {
            Direction::Ascending => ", ",
            Direction::Descending => " DESC, ",
        });
    }
    composer.push(if sort.is_empty() { "e.creation_from_us DESC, e.entry_id DESC" } else { "e.entry_id DESC" });
}
