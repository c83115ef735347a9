//! The habilitation matrix as data: which professions read which classes of documents. Source: F.3, F.4 (13).
//!
//! The matrix in force could not be read: what is compiled in is a sample that says so, and an operator may name
//! another file. A profession in no row reads nothing but its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::civil::Date;
use serde::Deserialize;

use super::sheet::{EditionText, Editions, MatrixError, Sheet};
use super::visibility::Readable;
use crate::domain::code::Code;
use crate::domain::value_set::{Terminology, ValueSetName};
use crate::identity::caller::NON_PS_SYSTEM;

/// A checked matrix: a row for every profession of J65, a column for every class of J57.
#[derive(Debug)]
pub struct Habilitation {
    editions: Editions<BTreeMap<String, Readable>>,
    /// Profession (system, code) -> the name of its row.
    groups: HashMap<(String, String), String>,
    /// Not a matrix in force, but ours.
    pub is_sample: bool,
    pub name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HabilitationFile {
    name: String,
    #[serde(default)]
    sample: bool,
    source: String,
    systems: BTreeMap<String, String>,
    groups: BTreeMap<String, Vec<String>>,
    /// Short names of columns -> class.
    #[serde(default)]
    classes: BTreeMap<String, String>,
    edition: Vec<EditionText>,
}

impl Habilitation {
    /// Reads the sample that is compiled in.
    pub fn load_sample(terminology: &Terminology) -> Result<Self, MatrixError> {
        Self::load(SAMPLE_FILE, SAMPLE, terminology)
    }

    /// Reads the text of a matrix. Errors: a profession or a class that is unknown, missing or there twice.
    pub fn load(file: &str, text: &str, terminology: &Terminology) -> Result<Self, MatrixError> {
        Self::parse(text, terminology).map_err(|problem| MatrixError { file: file.to_owned(), problem })
    }

    /// The classes that a profession reads on that day.
    pub fn readable(&self, profession: &Code, on: Date) -> Readable {
        let key = (profession.system.clone(), profession.code.clone());
        let row = self.groups.get(&key).and_then(|group| self.editions.on(on).get(group));
        row.cloned().unwrap_or_else(Readable::nothing)
    }

    /// The rows, in the order of their names, each with one of its professions.
    pub fn groups(&self) -> impl Iterator<Item = (&str, Code)> {
        let mut named: BTreeMap<&str, Code> = BTreeMap::new();
        for ((system, code), group) in &self.groups {
            let candidate = Code::new(system, code);
            let kept = named.entry(group).or_insert_with(|| candidate.clone());
            if (&candidate.system, &candidate.code) < (&kept.system, &kept.code) {
                *kept = candidate;
            }
        }
        named.into_iter()
    }

    fn parse(text: &str, terminology: &Terminology) -> Result<Self, String> {
        let file: HabilitationFile = toml::from_str(text).map_err(|error| error.to_string())?;
        if file.source.is_empty() {
            return Err("`source` must say where the matrix comes from".to_owned());
        }
        let groups = read_groups(&file, terminology)?;
        let read = |sheet: &Sheet| read_cells(&file, sheet, terminology);
        let editions = Editions::read(&file.edition, read)?;
        Ok(Self { editions, groups, is_sample: file.sample, name: file.name })
    }
}

fn read_groups(
    file: &HabilitationFile,
    terminology: &Terminology,
) -> Result<HashMap<(String, String), String>, String> {
    let known: BTreeSet<(String, String)> = professions(terminology).map(|code| (code.system, code.code)).collect();
    let mut groups = HashMap::new();
    for (group, members) in &file.groups {
        for member in members {
            let at = |problem: &str| format!("group `{group}`: `{member}` {problem}");
            let (system, code) = member.split_once(' ').ok_or_else(|| at("is no system and code"))?;
            let system = file.systems.get(system).ok_or_else(|| at("is of a system that `systems` does not name"))?;
            let key = (system.clone(), code.to_owned());
            if !known.contains(&key) {
                return Err(at("is no profession of J65"));
            }
            if groups.insert(key, group.clone()).is_some() {
                return Err(at("is in another group, too"));
            }
        }
    }
    match known.iter().find(|key| !groups.contains_key(*key)) {
        Some((system, code)) => Err(format!("profession {code} of {system} (J65) is in no group")),
        None => Ok(groups),
    }
}

/// The first values of J65 but for secretaries, devices and automata, who consult nothing.
fn professions(terminology: &Terminology) -> impl Iterator<Item = Code> {
    terminology.members(ValueSetName::SubjectRole).filter(|code| code.system != NON_PS_SYSTEM)
}

fn read_cells(
    file: &HabilitationFile,
    sheet: &Sheet,
    terminology: &Terminology,
) -> Result<BTreeMap<String, Readable>, String> {
    let known: BTreeSet<String> = terminology.members(ValueSetName::Class).map(|class| class.code).collect();
    let columns: Vec<&String> = sheet.columns.iter().map(|name| file.classes.get(name).unwrap_or(name)).collect();
    if let Some(column) = columns.iter().find(|class| !known.contains(**class)) {
        return Err(format!("column `{column}` is no class of J57"));
    }
    if let Some(class) = known.iter().find(|class| !columns.contains(class)) {
        return Err(format!("no column for class {class} of J57"));
    }
    if let Some(row) = sheet.rows.keys().find(|row| !file.groups.contains_key(*row)) {
        return Err(format!("row `{row}` is of no group"));
    }
    let mut rows = BTreeMap::new();
    for group in file.groups.keys() {
        let cells = sheet.rows.get(group).ok_or_else(|| format!("no row for group `{group}`"))?;
        let mut classes = BTreeSet::new();
        for (class, cell) in columns.iter().zip(cells) {
            match cell.as_str() {
                "●" => drop(classes.insert((*class).clone())),
                "-" => {}
                other => return Err(format!("row `{group}`: `{other}` is neither ● nor -")),
            }
        }
        let reads_all = classes.len() == known.len();
        rows.insert(group.clone(), if reads_all { Readable::Every } else { Readable::Classes(Arc::new(classes)) });
    }
    Ok(rows)
}

const SAMPLE_FILE: &str = "profiles/habilitation.toml";
const SAMPLE: &str = include_str!("../../profiles/habilitation.toml");

#[cfg(test)]
mod tests {
    use super::*;

    const G15: &str = "1.2.250.1.71.1.2.7";

    #[test]
    fn what_is_compiled_in_says_that_it_is_a_sample() {
        assert!(Habilitation::load_sample(&Terminology::load().unwrap()).unwrap().is_sample);
    }

    #[test]
    fn a_profession_in_no_row_reads_nothing() {
        let habilitation = Habilitation::load_sample(&Terminology::load().unwrap()).unwrap();
        let on = jiff::civil::date(2026, 11, 21);
        assert_eq!(habilitation.readable(&Code::new(G15, "10"), on), Readable::Every);
        for stranger in [Code::new(G15, "93"), Code::new("1.2.3", "10"), Code::new(NON_PS_SYSTEM, "AUTOMATE")] {
            assert_eq!(habilitation.readable(&stranger, on), Readable::nothing(), "{stranger:?}");
        }
    }

    #[test]
    fn a_matrix_with_a_hole_is_refused() {
        let terminology = Terminology::load().unwrap();
        for (from, to, why) in [
            ("\"G15 36\"", "\"G15 10\"", "in another group, too"),
            ("\"G15 36\"", "\"G15 11\"", "no profession of J65"),
            ("\"G15 36\"", "", "is in no group"),
            ("\"G15 36\"", "\"G17 36\"", "`systems` does not name"),
            ("| 95 | SIG |", "| 96 | SIG |", "`96` is no class"),
            ("| Ambulancier  ", "| Ambulanciers ", "of no group"),
            ("| ●  | -  | -  | ●  |", "| ●  | x  | -  | ●  |", "neither"),
        ] {
            assert!(SAMPLE.contains(from), "{from}");
            let error = Habilitation::load("f", &SAMPLE.replacen(from, to, 1), &terminology).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
