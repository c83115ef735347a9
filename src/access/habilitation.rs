//! The habilitation matrix as data: which professions read which classes of documents. Source: F.3, F.4 (13).
//!
//! The matrix in force could not be read: what is compiled in is a sample that says so, and an operator may name
//! another file. A profession in no row reads nothing but its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::civil::Date;
use serde::Deserialize;

use super::sheet::{EditionText, Editions, MatrixError, Sheet};
use super::visibility::{Reach, Readable, ReadableKinds};
use crate::domain::code::Code;
use crate::domain::value_set::{Terminology, ValueSetName};
use crate::identity::caller::NON_PS_SYSTEM;

/// A checked matrix: a row for every profession of J65, a column for every class of J57.
#[derive(Debug)]
pub struct Habilitation {
    editions: Editions<BTreeMap<String, Readable>>,
    /// Profession, and a role in it where that has a row of its own -> the name of the row.
    groups: HashMap<Member, String>,
    /// Not a matrix in force, but ours.
    pub is_sample: bool,
    pub name: String,
}

/// System and code of a profession; a savoir-faire or role (J65, second value) where a row is about it alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Member {
    system: String,
    code: String,
    role: Option<String>,
}

/// As what somebody practises.
#[derive(Debug, Clone, Copy)]
pub struct Practising<'p> {
    pub profession: &'p Code,
    pub savoir_faire: &'p [Code],
}

impl Practising<'_> {
    /// As `authorSpecialty` has them (J01): `G15_10/SM26`.
    pub(super) fn specialties(self) -> BTreeSet<String> {
        let of = |skill: &Code| format!("G15_{}/{}", self.profession.code, skill.code);
        self.savoir_faire.iter().map(of).collect()
    }
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

    /// What somebody reads on that day: by the row of their role where there is one, else by that of their profession.
    pub fn readable(&self, practising: Practising<'_>, on: Date) -> Readable {
        let Code { system, code, .. } = practising.profession;
        let roles = practising.savoir_faire.iter().map(|role| Some(role.code.clone())).chain([None]);
        let mut members = roles.map(|role| Member { system: system.clone(), code: code.clone(), role });
        let group = members.find_map(|member| self.groups.get(&member));
        let row = group.and_then(|group| self.editions.on(on).get(group));
        row.cloned().unwrap_or_else(Readable::nothing)
    }

    /// The rows, in the order of their names, each with one of its professions.
    pub fn groups(&self) -> impl Iterator<Item = (&str, Code)> {
        let mut named: BTreeMap<&str, Code> = BTreeMap::new();
        for (Member { system, code, .. }, group) in &self.groups {
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

fn read_groups(file: &HabilitationFile, terminology: &Terminology) -> Result<HashMap<Member, String>, String> {
    let known: BTreeSet<(String, String)> = professions(terminology).map(|code| (code.system, code.code)).collect();
    let mut groups = HashMap::new();
    for (group, members) in &file.groups {
        for member in members {
            let at = |problem: &str| format!("group `{group}`: `{member}` {problem}");
            let mut words = member.split(' ');
            let (Some(system), Some(code), role, None) = (words.next(), words.next(), words.next(), words.next())
            else {
                return Err(at("is no system, code and perhaps a role"));
            };
            let system = file.systems.get(system).ok_or_else(|| at("is of a system that `systems` does not name"))?;
            if !known.contains(&(system.clone(), code.to_owned())) {
                return Err(at("is no profession of J65"));
            }
            let key = Member { system: system.clone(), code: code.to_owned(), role: role.map(str::to_owned) };
            if groups.insert(key, group.clone()).is_some() {
                return Err(at("is in another group, too"));
            }
        }
    }
    let whole = |(system, code): &(String, String)| Member { system: system.clone(), code: code.clone(), role: None };
    match known.iter().find(|profession| !groups.contains_key(&whole(profession))) {
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
    let columns = read_columns(file, sheet, terminology)?;
    if let Some(row) = sheet.rows.keys().find(|row| !file.groups.contains_key(*row)) {
        return Err(format!("row `{row}` is of no group"));
    }
    let mut rows = BTreeMap::new();
    for group in file.groups.keys() {
        let cells = sheet.rows.get(group).ok_or_else(|| format!("no row for group `{group}`"))?;
        let mut kinds = ReadableKinds::default();
        for (column, cell) in columns.iter().zip(cells) {
            let reach = match cell.as_str() {
                "●" => Reach::Read,
                "s" => Reach::OwnSpecialty,
                "-" => Reach::None,
                other => return Err(format!("row `{group}`: `{other}` is neither ●, s nor -")),
            };
            match column {
                Column::Class(class) => kinds.classes.insert(class.clone(), reach),
                Column::Type(code) => kinds.types.insert(code.clone(), reach),
            };
        }
        let reads_all = kinds.classes.values().chain(kinds.types.values()).all(|reach| *reach == Reach::Read);
        rows.insert(group.clone(), if reads_all { Readable::Every } else { Readable::Kinds(Arc::new(kinds)) });
    }
    Ok(rows)
}

/// What a column is about: a class, or one type of it (`31/18748-4`).
enum Column {
    Class(String),
    Type(String),
}

fn read_columns(file: &HabilitationFile, sheet: &Sheet, terminology: &Terminology) -> Result<Vec<Column>, String> {
    let known: BTreeSet<String> = terminology.members(ValueSetName::Class).map(|class| class.code).collect();
    let types: BTreeSet<String> = terminology.members(ValueSetName::Type).map(|kind| kind.code).collect();
    let mut columns = Vec::new();
    for name in &sheet.columns {
        let (class, kind) = name.split_once('/').map_or((name.as_str(), None), |(class, kind)| (class, Some(kind)));
        let class = file.classes.get(class).map_or(class, String::as_str);
        if !known.contains(class) {
            return Err(format!("column `{class}` is no class of J57"));
        }
        columns.push(match kind {
            Some(kind) if !types.contains(kind) => return Err(format!("column `{name}` is of no type of J66")),
            Some(kind) => Column::Type(kind.to_owned()),
            None => Column::Class(class.to_owned()),
        });
    }
    let has = |class: &String| columns.iter().any(|column| matches!(column, Column::Class(named) if named == class));
    match known.iter().find(|class| !has(class)) {
        Some(class) => Err(format!("no column for class {class} of J57")),
        None => Ok(columns),
    }
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
        let readable = |profession: &Code| habilitation.readable(Practising { profession, savoir_faire: &[] }, on);
        assert_eq!(readable(&Code::new(G15, "10")), Readable::Every);
        for stranger in [Code::new(G15, "93"), Code::new("1.2.3", "10"), Code::new(NON_PS_SYSTEM, "AUTOMATE")] {
            assert_eq!(readable(&stranger), Readable::nothing(), "{stranger:?}");
        }
    }

    #[test]
    fn a_type_may_have_a_column_a_role_a_row_and_a_cell_the_own_specialty() {
        let text = SAMPLE
            .replace(
                "\"Ambulancier\" = [\"G15 36\"]",
                "\"Ambulancier\" = [\"G15 36\"]\n\"Radiologue\" = [\"G15 10 SM45\"]",
            )
            .replace("| 95 | SIG |", "| 95 | SIG | 31/18748-4 |")
            .replace("|----|-----|\n", "|----|-----|---|\n");
        let text: Vec<String> = text
            .lines()
            .map(|line| {
                if line.ends_with("| ●   |") || line.ends_with("| -   |") {
                    format!("{line} s |")
                } else {
                    line.to_owned()
                }
            })
            .collect();
        let radiologist = "| Radiologue | -  | -  | ●  | -  | -  | -  | -  | -  | -  | -  | -  | - | - |\n";
        let text = text.join("\n").replace("| Professions sociales", &format!("{radiologist}| Professions sociales"));
        let habilitation = Habilitation::load("f", &text, &Terminology::load().unwrap()).unwrap();
        let (profession, on) = (Code::new(G15, "10"), jiff::civil::date(2026, 11, 21));
        let readable = |skill: &str| {
            let savoir_faire = [Code::new("1.2.250.1.71.4.2.5", skill)];
            habilitation.readable(Practising { profession: &profession, savoir_faire: &savoir_faire }, on)
        };
        let reaches = |skill: &str| {
            let readable = readable(skill);
            [("10", "x"), ("31", "x"), ("31", "18748-4")].map(|(class, kind)| readable.reach(class, kind))
        };
        assert_eq!(reaches("SM26"), [Reach::Read, Reach::Read, Reach::OwnSpecialty]);
        assert_eq!(reaches("SM45"), [Reach::None, Reach::Read, Reach::None]);
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
            ("| 95 | SIG |", "| 95 | SIG/1 |", "no type of J66"),
        ] {
            assert!(SAMPLE.contains(from), "{from}");
            let error = Habilitation::load("f", &SAMPLE.replacen(from, to, 1), &terminology).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
