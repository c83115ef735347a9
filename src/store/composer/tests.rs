//! The compiled condition against [`Visibility::shows`], for every combination of what either depends on.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::super::executor::bind;
use super::*;
use crate::access::visibility::{EntryFacts, Reach, ReadableKinds};
use crate::domain::confidentiality::VisibilityLabel;

const HOLDER: &str = "810000000011";
const STRANGER: &str = "810000000029";
const OWN: &str = "G15_10/SM26";
const CLASSES: [&str; 3] = ["10", "11", "31"];

/// The columns that the condition looks at.
const SCHEMA: [&str; 6] = [
    "CREATE TABLE document_entry (entry_id INTEGER, status TEXT, class_code TEXT, type_code TEXT, depositor_kind TEXT, depositor TEXT,
      logical_id TEXT)",
    "CREATE TABLE document_entry_label (entry_id INTEGER, label TEXT, until_us INTEGER)",
    "CREATE TABLE document_entry_author (entry_id INTEGER, part TEXT, person_id TEXT, institution_id TEXT,
      specialty_code TEXT)",
    "CREATE TABLE association (source_logical_id TEXT, kind TEXT, target_logical_id TEXT)",
    "CREATE INDEX label_of_entry ON document_entry_label (entry_id)",
    "CREATE INDEX author_of_entry ON document_entry_author (entry_id)",
];

#[derive(Clone, Copy, PartialEq)]
enum Tie {
    None,
    Depositor,
    Author,
}

struct Entry {
    tie: Tie,
    status: AvailabilityStatus,
    labels: BTreeSet<VisibilityLabel>,
    class: &'static str,
    kind: &'static str,
    specialty: Option<&'static str>,
}

#[tokio::test]
async fn the_statement_shows_what_the_predicate_shows_for_every_combination() {
    let entries = every_entry();
    let mut database = database_of(&entries).await;
    let holder = CallerId::Professional(HOLDER.parse().unwrap());
    let mut shown_counts = HashSet::new();
    for others in every_others() {
        let visibility = Visibility { holder: holder.clone(), others, at: now() };
        let mut composer = Composer::new("SELECT e.entry_id FROM document_entry e WHERE 1 = 1");
        composer.push_visibility("e", &visibility);
        let (text, params) = composer.finish();
        let query = sqlx::query_with(AssertSqlSafe(text), bind(params).unwrap());
        let rows = query.fetch_all(&mut database).await.unwrap();
        let found: BTreeSet<usize> = rows.iter().map(|row| usize::try_from(row.get::<i64, _>(0)).unwrap()).collect();
        let shows = |entry: &Entry| {
            let (own, status) = (entry.tie != Tie::None, entry.status);
            let specialties = entry.specialty.into_iter().map(str::to_owned).collect();
            let (labels, class_code, type_code) = (&entry.labels, entry.class, entry.kind);
            visibility.shows(&EntryFacts { own, status, labels, class_code, type_code, specialties: &specialties })
        };
        let expected: BTreeSet<usize> =
            entries.iter().enumerate().filter(|(_, entry)| shows(entry)).map(|(place, _)| place).collect();
        assert_eq!(found, expected, "{visibility:?}");
        shown_counts.insert(found.len());
    }
    assert!(shown_counts.len() > 20, "the combinations do not differ: {shown_counts:?}");
}

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn every_entry() -> Vec<Entry> {
    let mut entries = Vec::new();
    for tie in [Tie::None, Tie::Depositor, Tie::Author] {
        for status in AvailabilityStatus::ALL {
            for labels in subsets(&VisibilityLabel::ALL) {
                for class in CLASSES {
                    for (kind, specialty) in
                        [("a", None), ("a", Some(OWN)), ("b", Some("G15_10/SM45")), ("b", Some(OWN))]
                    {
                        entries.push(Entry { tie, status, labels: labels.clone(), class, kind, specialty });
                    }
                }
            }
        }
    }
    entries
}

fn every_others() -> Vec<Others> {
    let cells = |of: &[(&str, Reach)]| of.iter().map(|(code, reach)| ((*code).to_owned(), *reach)).collect();
    let some = |classes: &[(&str, Reach)], types: &[(&str, Reach)]| {
        Readable::Kinds(Arc::new(ReadableKinds { classes: cells(classes), types: cells(types) }))
    };
    let (read, own, none) = (Reach::Read, Reach::OwnSpecialty, Reach::None);
    let readables = [
        Readable::Every,
        Readable::nothing(),
        some(&[("10", read), ("11", read)], &[]),
        some(&[("10", own), ("31", read)], &[]),
        some(&[("10", read), ("11", none)], &[("a", none)]),
        some(&[("10", own), ("11", read)], &[("a", read), ("b", own)]),
    ];
    let mut all = vec![Others::Nothing];
    for statuses in subsets(&AvailabilityStatus::ALL) {
        for hidden_by in subsets(&VisibilityLabel::ALL) {
            // The conditions are joined by "and": what each kind of habilitation says needs not every set of labels.
            let kinds = if hidden_by.len() < 2 { readables.as_slice() } else { &readables[..2] };
            for (readable, specialties) in kinds.iter().flat_map(|one| [(one, None), (one, Some(OWN))]) {
                let (statuses, hidden_by, readable) = (statuses.clone(), hidden_by.clone(), readable.clone());
                let specialties = specialties.into_iter().map(str::to_owned).collect();
                all.push(Others::Shown(Shown { statuses, hidden_by, readable, specialties }));
            }
        }
    }
    all
}

fn subsets<T: Copy + Ord>(of: &[T]) -> Vec<BTreeSet<T>> {
    let chosen = |mask: usize| (0..of.len()).filter(move |place| mask & (1 << place) != 0);
    (0..1 << of.len()).map(|mask| chosen(mask).map(|place| of[place]).collect()).collect()
}

async fn database_of(entries: &[Entry]) -> SqliteConnection {
    let mut database = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    for statement in SCHEMA {
        sqlx::query(statement).execute(&mut database).await.unwrap();
    }
    for (id, entry) in (0_i64..).zip(entries) {
        let depositor = if entry.tie == Tie::Depositor { HOLDER } else { STRANGER };
        let author = if entry.tie == Tie::Author { HOLDER } else { STRANGER };
        let insert = sqlx::query("INSERT INTO document_entry VALUES ($1, $2, $3, $4, 'ps', $5, $1)");
        let insert = insert.bind(id).bind(entry.status.word()).bind(entry.class).bind(entry.kind).bind(depositor);
        insert.execute(&mut database).await.unwrap();
        let insert = sqlx::query("INSERT INTO document_entry_author VALUES ($1, 'author', $2, NULL, $3)");
        insert.bind(id).bind(author).bind(entry.specialty).execute(&mut database).await.unwrap();
        for label in &entry.labels {
            // One that ends a moment later is in force like one without end.
            let until = (id % 2 == 0).then(|| now().as_microsecond() + 1);
            let insert = sqlx::query("INSERT INTO document_entry_label VALUES ($1, $2, $3)");
            insert.bind(id).bind(label.code()).bind(until).execute(&mut database).await.unwrap();
        }
        // One that has just ended hides from nobody.
        for label in VisibilityLabel::ALL.iter().filter(|label| !entry.labels.contains(label)) {
            let insert = sqlx::query("INSERT INTO document_entry_label VALUES ($1, $2, $3)");
            insert.bind(id).bind(label.code()).bind(now().as_microsecond()).execute(&mut database).await.unwrap();
        }
    }
    database
}
