//! Whoever writes into the database behind the gateway's back is found out, and told where.
//!
//! On a small journal of real lines, with the triggers that guard it dropped: one bit of each byte of each row, each line
//! and each tail removed, each two lines exchanged. `CARNET_TAMPERING_BITS=8` flips every bit.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;
use carnet::clock::Clock;
use carnet::config::{Config, InsDomain};
use carnet::domain::seal::{FIRST, Head, LineOfRecord, seal_over_all};
use carnet::journal::verify::{Break, Problem, Verdict};
use carnet::operation::account::AccountMove;
use carnet::operation::gateway::Gateway;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, Row as _};
use tempfile::TempDir;

use super::support::gateway::{OTHER_PATIENT, patient};

const LINES: i64 = 9;
/// Where heads were kept.
const KEPT: [i64; 2] = [3, 6];

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_byte_is_found_where_it_is() {
    let mut desk = Desk::set_up().await;
    let bits = std::env::var_os("CARNET_TAMPERING_BITS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(1);
    let mut changes = 0;
    for (table, columns) in TABLES {
        for row in 0..desk.count(table).await {
            for column in *columns {
                for flip in 0..desk.bytes_of(table, row, column).await.len() * bits {
                    let (byte, bit) = (flip / bits, (flip % bits + flip / bits) % 8);
                    let Some(position) = desk.flip(table, row, column, byte, bit).await else { continue };
                    let place = desk.broken().await;
                    let told = format!("{table} {position}, {column}, byte {byte}, bit {bit}: {place:?}");
                    assert!(fits(table, column, &place, position), "{told}");
                    changes += 1;
                    desk.restore().await;
                }
            }
        }
    }
    assert!(changes > 2500 * bits, "{changes}");
    desk.assert_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_removal_is_found_where_it_is() {
    let mut desk = Desk::set_up().await;
    for position in 1..=LINES {
        desk.run(&format!("DELETE FROM journal WHERE position = {position}")).await;
        let expected = if position == LINES { Problem::TailCut } else { Problem::LineMissing };
        desk.assert_broken(position, expected).await;
        desk.run(&format!("DELETE FROM journal WHERE position >= {position}")).await;
        desk.assert_broken(position, Problem::TailCut).await;
    }
    for position in KEPT {
        desk.run(&format!("DELETE FROM journal_signed_head WHERE position = {position}")).await;
        desk.assert_broken(position, Problem::KeptHeadMissing).await;
    }
    desk.run("DELETE FROM journal_head").await;
    desk.assert_broken(LINES, Problem::HeadMissing).await;
    // The tail, and all that knew of it in the database: an earlier state, put back.
    desk.run("DELETE FROM journal WHERE position > 3; DELETE FROM journal_signed_head WHERE position > 3").await;
    desk.run(
        "UPDATE journal_head SET (position, seal, at_us, signature) =
         (SELECT position, seal, at_us, signature FROM journal_signed_head)",
    )
    .await;
    desk.assert_broken(4, Problem::FileAhead).await;
    // Everything: the file still knows.
    desk.run("DELETE FROM journal; DELETE FROM journal_signed_head; DELETE FROM journal_head").await;
    desk.assert_broken(1, Problem::FileAhead).await;
    // What was never written.
    desk.run(
        "INSERT INTO journal SELECT 10, at_us, dossier_id, dossier_position, line, dossier_seal, seal
         FROM journal WHERE position = 9",
    )
    .await;
    desk.assert_broken(10, Problem::LineOutOfPlace).await;
    desk.assert_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exchange_of_two_lines_is_found_where_the_first_was() {
    const CONTENTS: [&str; 6] = [
        "line",
        "line, at_us",
        "line, at_us, dossier_id",
        "line, at_us, dossier_id, dossier_position",
        "line, at_us, dossier_id, dossier_position, dossier_seal",
        "line, at_us, dossier_id, dossier_position, dossier_seal, seal",
    ];
    let mut desk = Desk::set_up().await;
    for first in 1..LINES {
        for second in first + 1..=LINES {
            desk.run(&format!(
                "UPDATE journal SET position = -1 WHERE position = {first};
                 UPDATE journal SET position = {first} WHERE position = {second};
                 UPDATE journal SET position = {second} WHERE position = -1"
            ))
            .await;
            assert_eq!(desk.broken().await.position, first, "positions {first}, {second}");
            desk.restore().await;
            for columns in CONTENTS {
                let exchange = format!(
                    "UPDATE journal SET ({columns}) = (SELECT {columns} FROM saved.journal other WHERE other.position =
                     {first} + {second} - journal.position) WHERE position IN ({first}, {second})"
                );
                desk.run(&exchange).await;
                assert_eq!(desk.broken().await.position, first, "{columns} of {first}, {second}");
                desk.restore().await;
            }
        }
    }
    desk.assert_intact().await;
}

/// Who changes a line can seal all that comes after it anew, for how is public; and with the key, sign it too.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_was_sealed_anew_differs_from_its_heads_and_one_that_was_signed_anew_from_the_file() {
    let mut desk = Desk::set_up().await;
    let change = "UPDATE journal SET line = replace(line, '\"operator\"', '\"structure\"') WHERE position = 5";
    desk.run(change).await;
    desk.assert_broken(5, Problem::LineChanged).await;
    desk.run(change).await;
    desk.seal_anew().await;
    desk.assert_broken(6, Problem::KeptHeadDiffers).await;
    desk.run(change).await;
    desk.seal_anew().await;
    desk.run("DELETE FROM journal_signed_head WHERE position = 6").await;
    desk.assert_broken(6, Problem::FileHeadDiffers).await;
    desk.run(change).await;
    desk.seal_anew().await;
    desk.sign_anew().await;
    desk.assert_broken(6, Problem::FileHeadDiffers).await;
    // Behind the last kept head, the current one is what knows.
    desk.run("UPDATE journal SET line = line || ' ' WHERE position = 8").await;
    desk.seal_anew().await;
    desk.assert_broken(LINES, Problem::HeadDiffers).await;
    desk.assert_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_heads_is_held_against_the_database() {
    let mut desk = Desk::set_up().await;
    let path = desk.config.heads_file_path();
    let whole = std::fs::read_to_string(&path).expect("heads");
    let lines: Vec<&str> = whole.lines().collect();
    let [first, second] = lines[..] else { panic!("{lines:?}") };
    let here = "\"position\":6";
    for (text, position, problem) in [
        (format!("{second}\n{first}\n"), 3, Problem::FileHeadOutOfOrder),
        (format!("{first}\n{}\n", second.replace(here, "\"position\":5")), 5, Problem::FileHeadSignature),
        (format!("{first}\n{}\n", second.replace(here, "\"position\":12")), 6, Problem::FileHeadMissing),
        (format!("{whole}{}\n", second.replace(here, "\"position\":12")), 12, Problem::FileHeadSignature),
        ("nothing\n".to_owned(), 1, Problem::FileWithoutHeads),
    ] {
        std::fs::write(&path, &text).expect("file");
        let place = desk.broken().await;
        assert_eq!((place.position, place.problem), (position, problem), "{text}");
    }
    // One that is behind proves less, and nothing wrong; nor does one that was shipped twice.
    let twice = format!("{first}\n{whole}{second}\n");
    for (text, known) in [("", 0), (first, 1), (second, 1), (&twice, 2)] {
        std::fs::write(&path, text).expect("file");
        let verdict = desk.gateway.verify_journal().await.expect("walk");
        assert!(matches!(verdict, Verdict::Intact { heads_in_file, .. } if heads_in_file == known), "{verdict:?}");
    }
    std::fs::remove_file(&path).expect("file");
    desk.gateway.keep_head().await;
    let again = std::fs::read_to_string(&path).expect("heads");
    assert!(again.starts_with(&whole) && again.lines().count() == 3, "{again}");
    desk.run("DELETE FROM journal_signed_head WHERE position = 9").await;
    desk.assert_broken(9, Problem::KeptHeadMissing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_replaced_by_a_new_one_is_found_out_by_the_heads_of_the_old_one() {
    let desk = Desk::set_up().await;
    let shipped = std::fs::read(desk.config.heads_file_path()).expect("heads");
    let mut config = (*desk.config).clone();
    config.journal.key = desk.config.journal_key_path();
    config.journal.heads_file = desk.config.heads_file_path();
    config.store.database = config.store.database.replace("carnet.db", "new.db");
    let new = Gateway::open(Arc::new(config), Clock::System).await.expect("gateway");
    let replaced = Break { position: 1, of_record: None, problem: Problem::FileOfAnotherJournal };
    // While it is empty; with heads of its own behind those of the old one; against those that were shipped before.
    assert_eq!(new.verify_journal().await.expect("walk"), Verdict::Broken(replaced.clone()));
    write_lines(&new).await;
    assert_eq!(new.verify_journal().await.expect("walk"), Verdict::Broken(replaced.clone()));
    std::fs::write(desk.config.heads_file_path(), shipped).expect("file");
    assert_eq!(new.verify_journal().await.expect("walk"), Verdict::Broken(replaced));
    desk.assert_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_verified_alone() {
    let mut desk = Desk::set_up().await;
    let lines = desk.positions_of_patient().await;
    let alone = desk.gateway.verify_record(&patient()).await.expect("walk");
    assert_eq!(alone, Verdict::RecordIntact { lines: 5 });
    for (index, position) in lines.iter().enumerate() {
        desk.run(&format!("UPDATE journal SET at_us = at_us + 1 WHERE position = {position}")).await;
        assert_eq!(desk.broken_record().await, (*position, Problem::LineChanged));
        let Some(next) = lines.get(index + 1) else { continue };
        desk.run(&format!("DELETE FROM journal WHERE position = {position}")).await;
        assert_eq!(desk.broken_record().await, (*next, Problem::LineMissingInRecord));
        desk.run(&format!(
            "UPDATE journal SET position = -1 WHERE position = {position};
             UPDATE journal SET position = {position} WHERE position = {next};
             UPDATE journal SET position = {next} WHERE position = -1"
        ))
        .await;
        assert_eq!(desk.broken_record().await.0, *position);
    }
    // Others' lines are others' business.
    desk.run(&format!(
        "UPDATE journal SET at_us = 0 WHERE dossier_id NOT IN (SELECT dossier_id FROM journal WHERE position = {})",
        lines[0]
    ))
    .await;
    assert_eq!(desk.gateway.verify_record(&patient()).await.expect("walk"), alone);
}

/// A gateway never signs behind a head that its key did not sign: that would make it good.
#[tokio::test(flavor = "multi_thread")]
async fn no_line_is_added_behind_a_head_that_somebody_changed() {
    let mut desk = Desk::set_up().await;
    desk.run("UPDATE journal_head SET position = 8; DELETE FROM journal WHERE position = 9").await;
    desk.gateway.show_dossier(&patient()).await.map(drop).expect_err("no line, no answer");
    desk.restore().await;
    desk.run("DELETE FROM journal_head").await;
    desk.gateway.show_dossier(&patient()).await.map(drop).expect_err("the first line is there already");
    desk.restore().await;
    desk.gateway.show_dossier(&patient()).await.map(drop).expect("as before");
    // And what was cut off stays a gap.
    desk.run("DELETE FROM journal WHERE position >= 9").await;
    desk.gateway.show_dossier(&patient()).await.map(drop).expect("the head is good");
    assert_eq!(desk.broken().await, Break { position: 9, of_record: None, problem: Problem::LineMissing });
}

/// Who can write into the database has good heads at hand: those that were kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_put_back_is_not_gone_on_from_and_not_kept() {
    const PUT_BACK: &str = "DELETE FROM journal WHERE position > 6;
        UPDATE journal_head SET (position, seal, at_us, signature) =
        (SELECT position, seal, at_us, signature FROM journal_signed_head WHERE position = 6)";
    let mut desk = Desk::set_up().await;
    desk.run(PUT_BACK).await;
    desk.gateway.show_dossier(&patient()).await.map(drop).expect_err("a commit of this process reached further");
    desk.restore().await;
    desk.gateway.show_dossier(&patient()).await.map(drop).expect("as before");
    desk.gateway.keep_head().await;
    desk.restore().await;
    desk.run(PUT_BACK).await;
    // Another process knows nothing of it; the file does.
    let other = Gateway::open(Arc::clone(&desk.config), Clock::System).await.expect("gateway");
    let filed = std::fs::read(desk.config.heads_file_path()).expect("heads");
    other.show_dossier(&patient()).await.map(drop).expect("line");
    other.keep_head().await;
    assert_eq!(std::fs::read(desk.config.heads_file_path()).expect("heads"), filed);
    assert_eq!(desk.broken().await.problem, Problem::FileAhead);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_that_write_at_once_continue_one_chain() {
    let desk = Desk::set_up().await;
    let other = Gateway::open(Arc::clone(&desk.config), Clock::System).await.expect("gateway");
    let mut writers = Vec::new();
    for gateway in [&desk.gateway, &other] {
        for ins in [patient(), OTHER_PATIENT.parse().expect("INS")] {
            for _ in 0..4 {
                let (gateway, ins) = (gateway.clone(), ins.clone());
                writers.push(tokio::spawn(async move {
                    for _ in 0..10 {
                        gateway.show_dossier(&ins).await.map(drop).expect("line");
                        gateway.keep_head().await;
                    }
                }));
            }
        }
    }
    for writer in writers {
        writer.await.expect("writer");
    }
    let verdict = desk.gateway.verify_journal().await.expect("walk");
    let Verdict::Intact { lines, signed_heads, heads_in_file, unreadable_in_file, .. } = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!((lines, unreadable_in_file), (LINES + 160, 0));
    assert_eq!(signed_heads, heads_in_file);
    assert_eq!(desk.gateway.verify_record(&patient()).await.expect("walk"), Verdict::RecordIntact { lines: 5 + 80 });
}

/// Tables of the journal, and their columns that mean something; a head's `one` can be nothing but 1.
const TABLES: &[(&str, &[&str])] = &[
    ("journal", &["position", "at_us", "dossier_id", "dossier_position", "line", "dossier_seal", "seal"]),
    ("journal_head", &["position", "seal", "at_us", "key_id", "signature"]),
    ("journal_signed_head", &["position", "seal", "at_us", "key_id", "signature"]),
];

/// Whether `place` is where a row that stood at `position` was changed.
fn fits(table: &str, column: &str, place: &Break, position: i64) -> bool {
    use Problem::{
        HeadSignature, KeptHeadMissing, KeptHeadSignature, LineChanged, LineMissing, LineOutOfPlace, TailCut,
    };
    match table {
        "journal" => {
            place.position == position && matches!(place.problem, LineChanged | LineMissing | LineOutOfPlace | TailCut)
        }
        // Its position may be what was changed.
        "journal_head" => place.problem == HeadSignature,
        // It may stand before its place now.
        _ if column == "position" && place.position < position => place.problem == KeptHeadSignature,
        _ => place.position == position && matches!(place.problem, KeptHeadMissing | KeptHeadSignature),
    }
}

/// A gateway with a small journal, and somebody who writes into its database.
struct Desk {
    gateway: Gateway,
    config: Arc<Config>,
    intruder: SqliteConnection,
    _folder: TempDir,
}

/// Without what the database computes of a line itself.
fn stored_columns(table: &str) -> &'static str {
    match table {
        "journal" => "position, at_us, dossier_id, dossier_position, line, dossier_seal, seal",
        _ => "*",
    }
}

impl Desk {
    async fn set_up() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut config = Config::load(None, std::iter::empty()).expect("defaults");
        config.store.database = format!("sqlite:{}", folder.path().join("carnet.db").display());
        config.store.free_bytes_min = 0;
        config.dmp.ins_domains = vec![InsDomain::Test];
        let config = Arc::new(config);
        let gateway = Gateway::open(Arc::clone(&config), Clock::System).await.expect("gateway");
        write_lines(&gateway).await;
        let intruder = intrude(&folder.path().join("carnet.db")).await;
        Self { gateway, config, intruder, _folder: folder }
    }

    async fn run(&mut self, statements: &str) {
        self.intruder.execute(AssertSqlSafe(statements.to_owned())).await.expect("statements");
    }

    /// Everything as it was.
    async fn restore(&mut self) {
        for (table, _) in TABLES {
            let columns = stored_columns(table);
            self.run(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT {columns} FROM saved.{table}")).await;
        }
    }

    async fn broken(&self) -> Break {
        match self.gateway.verify_journal().await.expect("walk") {
            Verdict::Broken(place) => place,
            intact => panic!("{intact:?}"),
        }
    }

    /// And undoes it.
    async fn assert_broken(&mut self, position: i64, problem: Problem) {
        let place = self.broken().await;
        assert_eq!((place.position, place.problem), (position, problem));
        self.restore().await;
    }

    async fn broken_record(&mut self) -> (i64, Problem) {
        let verdict = self.gateway.verify_record(&patient()).await.expect("walk");
        self.restore().await;
        let Verdict::Broken(place) = verdict else { panic!("{verdict:?}") };
        (place.position, place.problem)
    }

    async fn assert_intact(&self) {
        let verdict = self.gateway.verify_journal().await.expect("walk");
        let all = KEPT.len() as u64;
        assert!(
            matches!(verdict, Verdict::Intact { lines: LINES, signed_heads, heads_in_file, unreadable_in_file: 0, .. }
                if signed_heads == all && heads_in_file == all),
            "{verdict:?}"
        );
    }

    async fn count(&mut self, table: &str) -> i64 {
        let count = format!("SELECT COUNT(*) FROM {table}");
        self.intruder.fetch_one(AssertSqlSafe(count)).await.expect("count").get(0)
    }

    /// A number counts as its eight bytes.
    async fn bytes_of(&mut self, table: &str, row: i64, column: &str) -> Vec<u8> {
        let select = format!("SELECT {column} FROM saved.{table} ORDER BY position LIMIT 1 OFFSET {row}");
        let row = self.intruder.fetch_one(AssertSqlSafe(select)).await.expect("row");
        match row.try_get::<i64, _>(0) {
            Ok(number) => number.to_be_bytes().to_vec(),
            Err(_) => row.get(0),
        }
    }

    /// Flips one bit; gives the position of the row. None where another row stands in the way.
    async fn flip(&mut self, table: &str, row: i64, column: &str, byte: usize, bit: usize) -> Option<i64> {
        let mut bytes = self.bytes_of(table, row, column).await;
        bytes[byte] ^= 1 << bit;
        let position = self.bytes_of(table, row, "position").await.try_into().expect("eight bytes");
        let position = i64::from_be_bytes(position);
        let update = |cast: &str| format!("UPDATE {table} SET {column} = {cast} WHERE position = {position}");
        let statement = if matches!(column, "position" | "at_us" | "dossier_position") {
            update(&i64::from_be_bytes(bytes.try_into().expect("eight bytes")).to_string())
        } else if matches!(column, "line" | "dossier_id" | "key_id") {
            update(&format!("CAST({} AS TEXT)", literal(&bytes)))
        } else {
            update(&literal(&bytes))
        };
        match self.intruder.execute(AssertSqlSafe(statement)).await {
            Ok(changed) => {
                assert_eq!(changed.rows_affected(), 1);
                Some(position)
            }
            Err(error) if error.as_database_error().is_some_and(DatabaseError::is_unique_violation) => None,
            Err(error) => panic!("{error}"),
        }
    }

    async fn positions_of_patient(&self) -> Vec<i64> {
        let lines = self.gateway.list_journal(Some(&patient()), 0, u32::MAX).await.expect("lines");
        lines.iter().map(|(position, _)| *position).collect()
    }

    /// Seals all lines anew, as they are now.
    async fn seal_anew(&mut self) {
        let lines = self.intruder.fetch_all("SELECT position, dossier_id, at_us, line FROM journal ORDER BY position");
        let mut records = std::collections::HashMap::<String, (i64, [u8; 32])>::new();
        let mut seal = FIRST;
        for row in lines.await.expect("lines") {
            let (position, dossier_id, at_us, line): (i64, String, i64, String) =
                (row.get(0), row.get(1), row.get(2), row.get(3));
            let end = records.entry(dossier_id.clone()).or_insert((0, FIRST));
            let of_record =
                LineOfRecord { position: end.0 + 1, dossier_id: dossier_id.as_bytes(), at_us, line: line.as_bytes() };
            *end = (end.0 + 1, of_record.seal(&end.1));
            seal = seal_over_all(&seal, position, &end.1);
            let (of_record, of_all) = (literal(&end.1), literal(&seal));
            self.run(&format!(
                "UPDATE journal SET dossier_seal = {of_record}, seal = {of_all} WHERE position = {position}"
            ))
            .await;
        }
    }

    /// Signs all heads anew, with the gateway's own key.
    async fn sign_anew(&mut self) {
        let key = PrivatePkcs8KeyDer::from_pem_file(self.config.journal_key_path()).expect("key");
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der()).expect("key");
        let store: String = self.intruder.fetch_one("SELECT identity FROM store").await.expect("store").get(0);
        let heads = "SELECT name, position, journal.seal, journal.at_us FROM journal JOIN
                     (SELECT 'journal_head' AS name, position FROM journal_head
                      UNION ALL SELECT 'journal_signed_head', position FROM journal_signed_head) USING (position)";
        for row in self.intruder.fetch_all(heads).await.expect("heads") {
            let table: String = row.get(0);
            let head = Head { position: row.get(1), seal: row.get(2), at_us: row.get(3) };
            let signature = key.sign(head.statement(store.parse().expect("UUID")).as_bytes());
            let (position, seal, signature) = (head.position, literal(&head.seal), literal(signature.as_ref()));
            self.run(&format!("UPDATE {table} SET seal = {seal}, signature = {signature} WHERE position = {position}"))
                .await;
        }
    }
}

fn literal(bytes: &[u8]) -> String {
    format!("X'{}'", carnet::domain::sha::hex(bytes))
}

/// Two records, lines of no record between theirs, two kept heads, and lines behind the last one.
async fn write_lines(gateway: &Gateway) {
    let other = OTHER_PATIENT.parse().expect("INS");
    let unknown = "1.2.250.1.213.1.4.10|255069999999934".parse().expect("INS");
    gateway.open_dossier(&patient()).await.map(drop).expect("line");
    gateway.open_dossier(&other).await.map(drop).expect("line");
    gateway.show_dossier(&unknown).await.map(drop).expect_err("no record");
    gateway.keep_head().await;
    gateway.show_dossier(&patient()).await.map(drop).expect("line");
    gateway.move_dossier(&patient(), AccountMove::Close).await.map(drop).expect("line");
    gateway.show_dossier(&other).await.map(drop).expect("line");
    gateway.keep_head().await;
    gateway.show_dossier(&unknown).await.map(drop).expect_err("no record");
    gateway.move_dossier(&patient(), AccountMove::Reopen).await.map(drop).expect("line");
    gateway.show_dossier(&patient()).await.map(drop).expect("line");
}

/// Opens the database as anybody with the file can, without its guards, and remembers what is there.
async fn intrude(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file).synchronous(SqliteSynchronous::Off);
    let mut intruder = options.disable_statement_logging().connect().await.expect("database");
    let guards = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name LIKE 'journal%'";
    for refused in [
        "UPDATE journal SET at_us = 0",
        "DELETE FROM journal",
        "UPDATE journal_head SET position = position - 1",
        "DELETE FROM journal_head",
        "UPDATE journal_signed_head SET at_us = 0",
        "DELETE FROM journal_signed_head",
    ] {
        intruder.execute(refused).await.expect_err(refused);
    }
    for guard in intruder.fetch_all(guards).await.expect("triggers") {
        let name: String = guard.get(0);
        intruder.execute(AssertSqlSafe(format!("DROP TRIGGER {name}"))).await.expect("trigger");
    }
    intruder.execute("ATTACH ':memory:' AS saved").await.expect("memory");
    for (table, _) in TABLES {
        let save = format!("CREATE TABLE saved.{table} AS SELECT * FROM main.{table}");
        intruder.execute(AssertSqlSafe(save)).await.expect("saved");
    }
    intruder
}
