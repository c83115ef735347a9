//! Short runs of the benches: that each measures something and says so. What it measures here is worth nothing.

use std::process::Command;

use serde_json::Value;

#[test]
fn reads_are_measured_with_and_without_their_journal_line() {
    for bench in ["search", "retrieve"] {
        let load = ["--size", "20k", "--entries", "3", "--clients", "2", "--seconds", "0.4", "--vs-unjournaled"];
        let (code, told) = carnet_bench(bench, &load);
        assert_eq!((code, &told["errors"]), (Some(0), &0.into()), "{told}");
        let figure = |name: &str| told[name].as_f64().unwrap_or_else(|| panic!("{name}: {told}"));
        let ratio = figure("per_second") / figure("unjournaled_per_second");
        assert!(ratio > 0.0 && (ratio - figure("ratio")).abs() < 0.01, "{told}");
    }
}

#[test]
fn a_gateway_without_journal_is_refused_where_a_database_is() {
    let folder = tempfile::tempdir().expect("folder");
    let made = carnet().args(["pki", "init", "--dir"]).arg(folder.path().join("certs")).output().expect("carnet");
    assert_eq!(made.status.code(), Some(0), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::write(folder.path().join("unjournaled.db"), "").expect("file");
    let arguments = ["--professionals", "0", "--operators", "0", "--clients", "1", "--folder"];
    let server = carnet().args(["bench", "unjournaled-server"]).args(arguments).arg(folder.path()).output();
    let ended = server.expect("carnet");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(2) && told.contains("only on a new database"), "{told}");
}

#[test]
fn times_of_hidden_and_absent_are_compared_on_every_route() {
    let (code, told) = carnet_bench("timing", &["--samples", "10"]);
    assert_eq!(code, Some(i32::from(told["holds"] != true)), "{told}");
    let routes = told["routes"].as_array().expect("routes");
    assert_eq!(routes.len(), 13, "{told}");
    let shown = routes.iter().find(|route| route["case"] == "control: shown").expect("a control");
    assert_eq!((&shown["verdict"], &shown["holds"]), (&"separate".into(), &true.into()), "{shown}");
}

#[test]
fn a_change_of_rights_is_obeyed_by_the_next_request_through_the_other_gateway() {
    let (code, told) = carnet_bench("rights", &["--seconds", "1", "--clients", "2"]);
    assert_eq!((code, &told["stale"], &told["errors"]), (Some(0), &0.into(), &0.into()), "{told}");
    assert!(told["changes"].as_u64() > Some(0) && told["p99_ms"].is_number(), "{told}");
}

fn carnet_bench(bench: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let ended = carnet().args(["bench", bench, "--json"]).args(arguments).output().expect("carnet");
    let told = serde_json::from_slice(&ended.stdout);
    (ended.status.code(), told.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&ended.stderr))))
}

fn carnet() -> Command {
    Command::new(env!("CARGO_BIN_EXE_carnet"))
}
