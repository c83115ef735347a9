//! A matrix as people read it: a table of cells below the names of its columns, in editions with a first day.
//!
//! Knows nothing of what rows, columns and cells mean; every row has one cell a column, and each name is there once.

use std::collections::{BTreeMap, HashSet};

use jiff::civil::Date;
use serde::Deserialize;

/// One edition of a matrix as its file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EditionText {
    #[serde(default)]
    pub name: String,
    pub version: String,
    from: String,
    cells: String,
}

/// Rows and columns by name.
#[derive(Debug)]
pub(super) struct Sheet {
    pub columns: Vec<String>,
    /// Row -> its cells, in the order of the columns.
    pub rows: BTreeMap<String, Vec<String>>,
}

/// The editions of one matrix, oldest first; never empty.
#[derive(Debug)]
pub(super) struct Editions<T> {
    first: T,
    later: Vec<(Date, T)>,
}

/// A matrix that cannot be used: a gateway does not start with it.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct MatrixError {
    pub file: String,
    pub problem: String,
}

impl<T> Editions<T> {
    /// Reads each edition with `read`. Errors: none at all, or first days that do not ascend.
    pub(super) fn read(texts: &[EditionText], read: impl Fn(&Sheet) -> Result<T, String>) -> Result<Self, String> {
        let mut dated = Vec::new();
        for text in texts {
            let at = |problem: String| format!("{} {}: {problem}", text.name, text.version).trim_start().to_owned();
            let from: Date =
                text.from.parse().map_err(|_| at(format!("`from` {} is no date, write yyyy-mm-dd", text.from)))?;
            if dated.last().is_some_and(|(before, _)| *before >= from) {
                return Err(at(format!("begins on {from}, not after the edition before it")));
            }
            dated.push((from, Sheet::parse(&text.cells).and_then(|sheet| read(&sheet)).map_err(at)?));
        }
        let mut dated = dated.into_iter();
        let (_, first) = dated.next().ok_or("no edition")?;
        Ok(Self { first, later: dated.collect() })
    }

    /// The latest edition that has begun. The first one holds before its day, too: a clock that is wrong opens nothing.
    pub(super) fn on(&self, day: Date) -> &T {
        self.later.iter().rev().find(|(from, _)| *from <= day).map_or(&self.first, |(_, edition)| edition)
    }
}

impl Sheet {
    /// Reads a table in the manner of Markdown: names of the columns, a rule, rows.
    fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(cells_of);
        let columns: Vec<String> = lines.next().ok_or("no table")?.into_iter().skip(1).collect();
        if columns.iter().collect::<HashSet<_>>().len() != columns.len() {
            return Err("a column is there twice".to_owned());
        }
        let is_rule = |cells: &Vec<String>| cells.iter().all(|cell| cell.chars().all(|c| c == '-'));
        lines.next().filter(is_rule).ok_or("no rule below the names of the columns")?;
        let mut rows = BTreeMap::new();
        for mut cells in lines {
            let name = cells.remove(0);
            if cells.len() != columns.len() {
                return Err(format!("row `{name}` has {} cells below {} columns", cells.len(), columns.len()));
            }
            if rows.insert(name.clone(), cells).is_some() {
                return Err(format!("row `{name}` is there twice"));
            }
        }
        Ok(Self { columns, rows })
    }
}

/// Never empty: what has no bar in it is one cell.
fn cells_of(line: &str) -> Vec<String> {
    let inner = line.strip_prefix('|').unwrap_or(line);
    let inner = inner.strip_suffix('|').unwrap_or(inner);
    inner.split('|').map(|cell| cell.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn edition(from: &str, cells: &str) -> EditionText {
        EditionText {
            name: "matrix".to_owned(),
            version: "1".to_owned(),
            from: from.to_owned(),
            cells: cells.to_owned(),
        }
    }

    fn first_cell(sheet: &Sheet) -> Result<String, String> {
        sheet.rows.get("r").map(|cells| cells[0].clone()).ok_or_else(|| "no row".to_owned())
    }

    #[test]
    fn the_latest_edition_that_has_begun_decides() {
        let texts = [edition("2024-01-01", "|a|x|\n|-|-|\n|r|1|"), edition("2025-06-01", "|a|x|\n|-|-|\n|r|2|")];
        let editions = Editions::read(&texts, first_cell).unwrap();
        for (day, cell) in [
            (date(2020, 1, 1), "1"),
            (date(2024, 1, 1), "1"),
            (date(2025, 5, 31), "1"),
            (date(2025, 6, 1), "2"),
            (date(2030, 1, 1), "2"),
        ] {
            assert_eq!(editions.on(day), cell, "{day}");
        }
    }

    #[test]
    fn a_table_that_is_not_whole_is_refused() {
        let table = "|a|x|\n|-|-|\n|r|1|";
        for (texts, why) in [
            (vec![], "no edition"),
            (vec![edition("soon", table)], "no date"),
            (vec![edition("2025-01-01", table), edition("2025-01-01", table)], "not after"),
            (vec![edition("2025-01-01", "")], "no table"),
            (vec![edition("2025-01-01", "|a|x|\n|r|1|")], "no rule"),
            (vec![edition("2025-01-01", "|a|x|x|\n|-|-|-|")], "column is there twice"),
            (vec![edition("2025-01-01", "|a|x|\n|-|-|\n|r|1|2|")], "2 cells below 1 columns"),
            (vec![edition("2025-01-01", "|a|x|\n|-|-|\n|r|1|\n|r|1|")], "row `r` is there twice"),
        ] {
            let error = Editions::read(&texts, first_cell).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
