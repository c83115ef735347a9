//! README.md tells the truth: its tables of refusals, settings and routes are held against the code.

use std::path::Path;

use carnet::config::{Config, KEYS};
use carnet::fhir::outcome::status_of;
use carnet::fhir::parameter::PARAMETERS;
use carnet::fhir::routes::ROUTES;
use carnet::refusal::{Failure, Refusal, Rule};

const README: &str = include_str!("../../README.md");

#[test]
fn every_rule_is_told_with_its_status_and_source() {
    let rows = rows_after("| Code | Status |");
    for rule in Rule::ALL {
        let failure = Failure::from(Refusal::new(*rule, "", "", ""));
        let (code, status) = (format!("`{}`", rule.code()), status_of(&failure).0.as_u16().to_string());
        let row = rows.iter().find(|row| row[0] == code).unwrap_or_else(|| panic!("no row for {code}"));
        assert_eq!((row[1], row[3]), (status.as_str(), rule.source()), "{code}");
    }
    assert_eq!(rows.len(), Rule::ALL.len(), "a row for a rule that does not exist");
}

#[test]
fn every_setting_is_told_and_the_defaults_are_those_of_the_program() {
    let rows = rows_after("| Key | Default |");
    let told: Vec<String> = rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    let known: Vec<String> =
        KEYS.iter().flat_map(|(section, keys)| keys.iter().map(move |key| format!("{section}.{key}"))).collect();
    assert_eq!(told, known);

    let lines: Vec<String> =
        rows.iter().map(|row| format!("{} = {}", row[0].trim_matches('`'), row[1].trim_matches('`'))).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("carnet.toml");
    std::fs::write(&path, lines.join("\n")).unwrap();
    let read = Config::load(Some(&path), std::iter::empty()).unwrap();
    let beside_the_file = |config: &Config| format!("{config:?}").replace(&in_folder(folder.path()), "");
    assert_eq!(beside_the_file(&read), format!("{:?}", Config::default()));
}

#[test]
fn every_route_and_search_parameter_is_told() {
    let face = README.split("## 4. ").nth(1).and_then(|rest| rest.split("## 5. ").next()).unwrap();
    for route in ROUTES {
        let path = if route.path.is_empty() { "/" } else { route.path };
        let told = face.lines().any(|line| line.contains(route.method.as_str()) && line.contains(path));
        assert!(told, "{} {path}", route.method);
    }
    for parameter in PARAMETERS {
        assert!(face.contains(&format!("`{}`", parameter.name)), "{}", parameter.name);
    }
}

fn in_folder(folder: &Path) -> String {
    format!("{}/", folder.display())
}

/// Cells of the table whose first line starts with `heading`.
fn rows_after(heading: &str) -> Vec<Vec<&'static str>> {
    let table = README.lines().skip_while(|line| !line.starts_with(heading)).skip(2);
    let rows = table.take_while(|line| line.starts_with('|'));
    rows.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}
