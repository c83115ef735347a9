//! `carnet journal verify` and `key`, as an operator and an auditor use them; heads that a gateway keeps by itself.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};

use super::support::TestGateway;
use super::support::gateway::PATIENT;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_leaves_a_head_of_its_last_line_in_the_file() {
    let gateway = TestGateway::start().await;
    gateway.hospital().search("").await;
    let (lines, config) = (gateway.journal_lines().await, gateway.gateway().config.clone());
    gateway.running.stop().await.expect("stops");
    let heads = std::fs::read_to_string(config.heads_file_path()).expect("heads");
    let last: Value = serde_json::from_str(heads.lines().last().expect("a head")).expect("JSON");
    assert_eq!(last["position"], lines);
}

#[test]
fn an_auditor_verifies_with_the_public_key_and_nobody_writes_without_the_private_one() {
    let folder = Folder::with_a_record();
    let intact = folder.carnet(&["journal", "verify"]);
    assert_eq!(intact.status.code(), Some(0));
    assert!(text(&intact.stdout).starts_with("intact: 1 lines, head "), "{}", text(&intact.stdout));

    let public = folder.carnet(&["journal", "key"]);
    folder.write("journal.pub", &public.stdout);
    folder.rename("carnet.db-journal.key", "elsewhere.key");
    let refused = folder.carnet(&["record", "show", "--ins", PATIENT]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("journal.key: "), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("put it back"), "{}", text(&refused.stderr));
    assert!(!folder.path("carnet.db-journal.key").exists());

    let keyless = folder.carnet(&["journal", "verify"]);
    assert_eq!(keyless.status.code(), Some(2));
    assert!(text(&keyless.stderr).contains("--public-key"), "{}", text(&keyless.stderr));
    let audited = folder.carnet(&["journal", "verify", "--public-key", "journal.pub", "--json"]);
    assert_eq!(audited.status.code(), Some(0), "{}", text(&audited.stderr));
    let verdict: Value = serde_json::from_slice(&audited.stdout).expect("JSON");
    assert_eq!((&verdict["verdict"], &verdict["lines"]), (&"intact".into(), &1.into()));

    let mistyped = folder.carnet(&["journal", "verify", "--public-key", "journal.pub", "--heads", "nowhere.jsonl"]);
    assert_eq!(mistyped.status.code(), Some(2));
    assert!(text(&mistyped.stderr).contains("--heads"), "{}", text(&mistyped.stderr));

    // A key of one's own is no key of this journal.
    let other = Folder::with_a_record();
    std::fs::copy(other.path("carnet.db-journal.key"), folder.path("carnet.db-journal.key")).expect("key");
    let refused = folder.carnet(&["record", "show", "--ins", PATIENT]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("the journal was signed with"), "{}", text(&refused.stderr));
    let broken = folder.carnet(&["journal", "verify", "--json"]);
    assert_eq!(broken.status.code(), Some(1));
    let verdict: Value = serde_json::from_slice(&broken.stdout).expect("JSON");
    assert_eq!((&verdict["problem"], &verdict["position"]), (&"head_signature".into(), &1.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_ends_with_exit_code_one_and_the_place() {
    let folder = Folder::with_a_record();
    let shown = folder.carnet(&["record", "show", "--ins", PATIENT]);
    assert_eq!(shown.status.code(), Some(0));
    let record = folder.carnet(&["journal", "verify", "--ins", PATIENT]);
    assert_eq!((record.status.code(), text(&record.stdout)), (Some(0), "intact: 2 lines of this record\n"));
    let options = SqliteConnectOptions::new().filename(folder.path("carnet.db")).disable_statement_logging();
    let mut database = options.connect().await.expect("database");
    database
        .execute("DROP TRIGGER journal_keeps_lines; UPDATE journal SET at_us = at_us - 1 WHERE position = 2")
        .await
        .expect("changed");
    for arguments in [&["journal", "verify"][..], &["journal", "verify", "--ins", PATIENT]] {
        let broken = folder.carnet(arguments);
        assert_eq!(broken.status.code(), Some(1));
        let told = text(&broken.stdout);
        assert!(told.starts_with("BROKEN at line 2 (line 2 of record "), "{told}");
        assert!(told.ends_with("was changed\n"), "{told}");
    }
}

/// A folder as an operator's, with one record open in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with_a_record() -> Self {
        let folder = Self(tempfile::tempdir().expect("folder"));
        folder.write("carnet.toml", b"[store]\nfree_bytes_min = 0\n[dmp]\nins_domains = [\"test\"]\n");
        let opened = folder.carnet(&["record", "open", "--ins", PATIENT]);
        assert_eq!(opened.status.code(), Some(0), "{}", text(&opened.stderr));
        folder
    }

    fn carnet(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_carnet")).args(arguments).current_dir(self.0.path()).output().expect("carnet")
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        Path::join(self.0.path(), name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path(name), content).expect("file");
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).expect("file");
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}
