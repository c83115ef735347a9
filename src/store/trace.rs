//! Lines of the journal as one reader is shown them.
//!
//! Which lines count, and which documents each may name, is decided inside the statement: a mention that the reader's
//! [`Visibility`] hides never leaves it, and a line of somebody else of which nothing remains is not there at all, for
//! the page and for the total alike. Source: F.2 (R1111-43), F.4 (13 to 17).

use jiff::Timestamp;

use super::composer::Composer;
use super::error::Error;
use super::executor::{Param, Row, Tx};
use super::search::{push_in, push_times};
use crate::access::decide::{Permit, ReadJournal};
use crate::access::journal::{OwnTraces, Viewer};
use crate::access::visibility::{Others, Visibility};
use crate::domain::criteria::Direction;
use crate::domain::ins::Ins;
use crate::domain::trace::TraceCriteria;
use crate::identity::caller::CallerId;

/// How many lines in all, and the page asked for.
#[derive(Debug, Default)]
pub struct FoundLines {
    pub total: u64,
    pub lines: Vec<ShownLine>,
}

/// One line, without what its reader may not see.
#[derive(Debug)]
pub struct ShownLine {
    pub seal: Vec<u8>,
    pub line: String,
    /// Who the record is about; none when the line concerns no record.
    pub patient: Option<Ins>,
}

/// Lines about the permit's record, from before `before`.
pub async fn find(
    tx: &mut Tx<'_>,
    permit: &Permit<ReadJournal>,
    criteria: &TraceCriteria,
    before: Timestamp,
) -> Result<FoundLines, Error> {
    let visibility = permit.visibility();
    select(tx, criteria, visibility, |composer| {
        composer.push("j.dossier_id = ");
        composer.push_param(permit.dossier().to_string().into());
        push_before(composer, before);
        match permit.viewer() {
            Viewer::All { hides_secrets } => push_all(composer, visibility, hides_secrets),
            Viewer::Own => {
                push_actor(composer, permit.holder());
                composer.push(TOLD);
            }
        }
    })
    .await
}

/// Lines of what the holder did, since `since`, whosever record it was. They name the holder's own documents alone:
/// what else they may see is another decision in each record.
pub async fn find_own(
    tx: &mut Tx<'_>,
    own: &OwnTraces,
    criteria: &TraceCriteria,
    (since, before): (Timestamp, Timestamp),
) -> Result<FoundLines, Error> {
    let visibility = Visibility { holder: own.holder().clone(), others: Others::Nothing, at: before };
    select(tx, criteria, &visibility, |composer| {
        composer.push("j.at_us >= ");
        composer.push_param(since.into());
        push_before(composer, before);
        push_actor(composer, own.holder());
    })
    .await
}

/// The total and the page of the lines that `push_whose` and the criteria name.
async fn select(
    tx: &mut Tx<'_>,
    criteria: &TraceCriteria,
    visibility: &Visibility,
    push_whose: impl Fn(&mut Composer),
) -> Result<FoundLines, Error> {
    let mut count = Composer::new("-- store::trace::count\nSELECT COUNT(*) FROM journal j WHERE ");
    push_whose(&mut count);
    push_criteria(&mut count, criteria, visibility);
    let rows = count.fetch_all(tx).await?;
    let total = rows.first().map_or(Ok(0), |row| row.integer(0))?;
    let total = u64::try_from(total).map_err(|error| Error::inconsistent("journal", error))?;
    let page = criteria.page;
    if total <= page.offset || page.size == 0 {
        return Ok(FoundLines { total, lines: Vec::new() });
    }
    let mut lines = Composer::new("-- store::trace::page\nSELECT j.seal, json_replace(j.line, '$.entries', json((");
    lines.push("SELECT json_group_array(json(m.value)) FROM ");
    lines.push(MENTIONS);
    push_is_shown(&mut lines, visibility);
    lines.push("))), i.authority, i.matricule\nFROM journal j LEFT JOIN dossier_ins i");
    lines.push(" ON i.dossier_id = j.dossier_id AND i.position = 0\nWHERE ");
    push_whose(&mut lines);
    push_criteria(&mut lines, criteria, visibility);
    lines.push(match criteria.direction {
        Direction::Ascending => "\nORDER BY j.at_us, j.position LIMIT ",
        Direction::Descending => "\nORDER BY j.at_us DESC, j.position DESC LIMIT ",
    });
    lines.push_param(page.size.into());
    lines.push(" OFFSET ");
    lines.push_param(Param::Integer(i64::try_from(page.offset).unwrap_or(i64::MAX)));
    let lines = lines.fetch_all(tx).await?.iter().map(read).collect::<Result<_, _>>()?;
    Ok(FoundLines { total, lines })
}

fn push_before(composer: &mut Composer, before: Timestamp) {
    composer.push(" AND j.at_us < ");
    composer.push_param(before.into());
}

fn push_actor(composer: &mut Composer, holder: &CallerId) {
    composer.push(" AND j.actor = ");
    composer.push_param(actor_of(holder).into());
}

/// As the journal has who acted, in a column.
fn actor_of(holder: &CallerId) -> String {
    format!("{} {}", holder.kind(), holder.number())
}

/// Of everybody's lines: one whose every document is hidden is not there, unless the reader made it. What comes through
/// a portal is one structure's, and not made by whoever now sits before it. What the reader was not told, as of own
/// lines.
fn push_all(composer: &mut Composer, visibility: &Visibility, hides_secrets: bool) {
    composer.push(" AND (json_array_length(j.line, '$.entries') = 0 OR EXISTS (SELECT 1 FROM ");
    composer.push(MENTIONS);
    push_is_shown(composer, visibility);
    composer.push(")");
    if let CallerId::Professional(_) = &visibility.holder {
        composer.push(" OR (1 = 1");
        push_actor(composer, &visibility.holder);
        composer.push(")");
    }
    composer.push(")");
    composer.push(FOUND_BEFORE_PORTALS);
    if let CallerId::Professional(_) = &visibility.holder {
        composer.push(" AND (j.actor <> ");
        composer.push_param(actor_of(&visibility.holder).into());
        composer.push(" OR (1 = 1");
        composer.push(TOLD);
        composer.push("))");
    }
    if hides_secrets {
        composer.push(NOT_SECRET);
    }
}

/// Adds the condition that the mention `m` of the line `j` is of an entry that is visible.
fn push_is_shown(composer: &mut Composer, visibility: &Visibility) {
    composer.push("\nWHERE EXISTS (SELECT 1 FROM document_entry e");
    composer.push(" WHERE e.logical_id = m.value ->> '$.document' AND e.dossier_id = j.dossier_id");
    composer.push_visibility("e", visibility);
    composer.push(")");
}

fn push_criteria(composer: &mut Composer, criteria: &TraceCriteria, visibility: &Visibility) {
    push_times(composer, ("j.at_us", "j.at_us + 1"), &criteria.dates);
    push_in(composer, "j.line ->> '$.action'", criteria.actions.iter().map(|word| word.as_str().into()).collect());
    let agents =
        criteria.agents.iter().flat_map(|number| ["ps", "struct"].map(|kind| format!("{kind} {number}").into()));
    push_in(composer, "j.actor", agents.collect());
    if criteria.documents.is_empty() {
        return;
    }
    composer.push(" AND EXISTS (SELECT 1 FROM ");
    composer.push(MENTIONS);
    push_is_shown(composer, visibility);
    push_in(composer, "m.value ->> '$.document'", criteria.documents.iter().map(|id| id.to_string().into()).collect());
    composer.push(")");
}

fn read(row: &Row) -> Result<ShownLine, Error> {
    Ok(ShownLine { seal: row.bytes(0)?, line: row.text(1)?, patient: patient(row, (2, 3))? })
}

/// The INS in these columns, authority first; none where both are NULL.
pub(super) fn patient(row: &Row, (authority, matricule): (usize, usize)) -> Result<Option<Ins>, Error> {
    match (row.text_or_null(authority)?, row.text_or_null(matricule)?) {
        (Some(authority), Some(matricule)) => {
            let ins = Ins::parse(&matricule, &authority);
            ins.map(Some).map_err(|error| Error::inconsistent("dossier_ins", error))
        }
        _ => Ok(None),
    }
}

/// The documents that a line names, one a row.
const MENTIONS: &str = "json_each(j.line, '$.entries') m";

/// Lines whose record the actor was told of. What was denied, or not found, is filed under a record that the answer
/// did not name: a request for a hidden document must not show, a moment later, among the traces of its patient.
const TOLD: &str = " AND j.line ->> '$.result.denied' IS NULL AND j.line ->> '$.result' IS NOT 'not_found'";

/// Of what came through a portal: whom the record's holder did not let in is theirs to know; what was asked for by the
/// id of a hidden document is not, for the holder may have asked themselves.
const FOUND_BEFORE_PORTALS: &str =
    " AND (j.line ->> '$.actor.kind' IS NOT 'patient_portal' OR j.line ->> '$.result' IS NOT 'not_found')";

/// "Connexion secrète" (J64).
const NOT_SECRET: &str = " AND j.line ->> '$.connection' IS NOT 'secret'";

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;
    use sqlx::sqlite::SqliteConnection;

    use std::collections::BTreeSet;

    use super::*;
    use crate::access::visibility::{Readable, Shown};
    use crate::domain::confidentiality::VisibilityLabel;
    use crate::domain::status::AvailabilityStatus;

    /// The columns that the statements look at.
    const SCHEMA: &str = "
        CREATE TABLE journal (position INTEGER, at_us INTEGER, dossier_id TEXT, line TEXT, seal BLOB, actor TEXT);
        CREATE TABLE dossier_ins (dossier_id TEXT, position INTEGER, authority TEXT, matricule TEXT);
        CREATE TABLE document_entry (entry_id INTEGER, logical_id TEXT, dossier_id TEXT, status TEXT, class_code TEXT,
                                     depositor_kind TEXT, depositor TEXT);
        CREATE TABLE document_entry_label (entry_id INTEGER, label TEXT, until_us INTEGER);
        CREATE TABLE association (source_logical_id TEXT, kind TEXT, target_logical_id TEXT);
        CREATE TABLE document_entry_author (entry_id INTEGER, part TEXT, person_id TEXT, institution_id TEXT);
        INSERT INTO document_entry VALUES (1, 'plain', 'd', 'approved', '10', 'ps', 'x'),
                                          (2, 'secret', 'd', 'approved', '10', 'ps', 'x'),
                                          (3, 'elsewhere', 'other', 'approved', '10', 'ps', 'x');
        INSERT INTO document_entry_label VALUES (2, 'INVISIBLE_REPRESENTANTS_LEGAUX', NULL);";

    fn line(documents: &[&str], connection: &str) -> String {
        let mentions: Vec<_> = documents.iter().map(|id| format!("{{\"document\":\"{id}\"}}")).collect();
        let mentions = mentions.join(",");
        format!("{{\"connection\":\"{connection}\",\"action\":\"read\",\"entries\":[{mentions}]}}")
    }

    async fn database(lines: &[(&str, String)]) -> SqliteConnection {
        let mut database = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql(SCHEMA).execute(&mut database).await.unwrap();
        for (position, (actor, line)) in (1_i64..).zip(lines) {
            let insert = sqlx::query("INSERT INTO journal VALUES ($1, $1, 'd', $2, x'00', $3)");
            insert.bind(position).bind(line).bind(*actor).execute(&mut database).await.unwrap();
        }
        database
    }

    fn sees_all_but(label: Option<VisibilityLabel>) -> Visibility {
        let statuses = AvailabilityStatus::ALL.into();
        let shown = Shown {
            statuses,
            hidden_by: label.into_iter().collect(),
            readable: Readable::Every,
            specialties: BTreeSet::new(),
        };
        let holder = CallerId::Structure("2990000045".parse().unwrap());
        Visibility { holder, others: Others::Shown(shown), at: Timestamp::UNIX_EPOCH }
    }

    /// The documents of each line, oldest first.
    async fn shown(database: &mut SqliteConnection, visibility: &Visibility, representative: bool) -> Vec<String> {
        let criteria = TraceCriteria { direction: Direction::Ascending, ..TraceCriteria::default() };
        let mut tx = Tx::snapshot(database);
        let found = select(&mut tx, &criteria, visibility, |composer| {
            composer.push("1 = 1");
            push_all(composer, visibility, representative);
        });
        let found = found.await.unwrap();
        assert_eq!(found.total, found.lines.len() as u64);
        let documents = |line: &ShownLine| {
            let line: serde_json::Value = serde_json::from_str(&line.line).unwrap();
            let mentions = line["entries"].as_array().unwrap().clone();
            mentions.iter().filter_map(|mention| mention["document"].as_str()).collect::<Vec<_>>().join(" ")
        };
        found.lines.iter().map(documents).collect()
    }

    #[tokio::test]
    async fn a_secret_connection_and_what_is_hidden_are_not_there_for_a_representative() {
        let lines = [
            ("ps 1", line(&["plain", "secret"], "ordinary")),
            ("ps 1", line(&["secret"], "ordinary")),
            ("ps 1", line(&["plain"], "secret")),
            ("ps 1", line(&[], "ordinary")),
            ("ps 1", line(&["elsewhere"], "ordinary")),
            // The minor through the portal that the representative comes through, too.
            ("struct 2990000045", line(&["secret"], "ordinary")),
        ];
        let mut database = database(&lines).await;
        let patient = shown(&mut database, &sees_all_but(None), false).await;
        assert_eq!(patient, ["plain secret", "secret", "plain", "", "secret"]);
        let hidden = sees_all_but(Some(VisibilityLabel::InvisibleRepresentantsLegaux));
        assert_eq!(shown(&mut database, &hidden, true).await, ["plain", ""]);
    }

    #[tokio::test]
    async fn what_nobody_found_before_a_portal_is_in_no_history_and_who_was_not_let_in_is() {
        let made = |kind: &str, result: &str| {
            let start = format!("{{\"actor\":{{\"kind\":\"{kind}\"}},\"result\":{result},");
            line(&[], "ordinary").replacen('{', &start, 1)
        };
        let denied = r#"{"denied":{"rule":"F.4-6 no delegation in force"}}"#;
        for portal in ["struct 2990000045", "struct 2990000052"] {
            let mut not_found = database(&[(portal, made("patient_portal", "\"not_found\""))]).await;
            assert!(shown(&mut not_found, &sees_all_but(None), false).await.is_empty(), "{portal}");
            let mut not_let_in = database(&[(portal, made("patient_portal", denied))]).await;
            assert_eq!(shown(&mut not_let_in, &sees_all_but(None), false).await, [""], "{portal}");
        }
        let mut of_doctor = database(&[("ps 810000000011", made("professional", "\"not_found\""))]).await;
        assert_eq!(shown(&mut of_doctor, &sees_all_but(None), false).await, [""]);
    }

    #[tokio::test]
    async fn a_title_or_a_reason_that_looks_like_a_mention_is_none() {
        let forged = line(&[], "ordinary").replace("\"read\"", r#""\"entries\":[{\"document\":\"secret\"}]""#);
        let mut database = database(&[("ps 1", forged)]).await;
        let hidden = sees_all_but(Some(VisibilityLabel::InvisibleRepresentantsLegaux));
        assert_eq!(shown(&mut database, &hidden, true).await, [""]);
    }
}
