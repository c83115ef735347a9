//! Which sites a hospital has: FINESS EG -> FINESS EJ.
//!
//! Since 2023 certificates of hospitals name the legal entity (EJ), while a VIHF, a submission set and a document
//! name the site (EG). The table is a file of the operator's, `EG;EJ` a line, read again when it changes; one that
//! cannot be read leaves the table before in force. Source: B.1, T-22; extract of FINESS (finess.sante.gouv.fr).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use crate::domain::national_id::StructIdNat;

/// The table in force and the file it came from; by default, none.
#[derive(Default)]
pub struct FinessTable {
    /// Empty: none is configured.
    path: PathBuf,
    sites: ArcSwap<HashMap<Finess, Finess>>,
    seen: Mutex<Option<(u64, SystemTime)>>,
}

/// Nine characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Finess([u8; 9]);

/// What the table says of a site and a legal entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    Linked,
    /// Of another legal entity.
    Other(String),
    /// The table does not have the site.
    Unknown,
    /// There is no table.
    NoTable,
    /// One of the two is no FINESS number: the table has nothing to say.
    NotFiness,
}

#[derive(Debug, thiserror::Error)]
pub enum FinessError {
    #[error("{}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("{}, line {line}: {problem}", path.display())]
    Line { path: PathBuf, line: usize, problem: &'static str },
}

impl FinessTable {
    /// Reads the file; an empty path is an empty table.
    pub fn load(path: &Path) -> Result<Arc<Self>, FinessError> {
        let seen = stamp(path);
        let sites = ArcSwap::from_pointee(read(path)?);
        Ok(Arc::new(Self { path: path.to_owned(), sites, seen: Mutex::new(seen) }))
    }

    /// Whether `entity` (of a certificate) speaks for `site` (of a token).
    pub fn link(&self, site: &StructIdNat, entity: &StructIdNat) -> Link {
        let (Some(site), Some(entity)) = (Finess::of(site), Finess::of(entity)) else { return Link::NotFiness };
        if self.path.as_os_str().is_empty() {
            return Link::NoTable;
        }
        match self.sites.load().get(&site) {
            Some(of) if *of == entity => Link::Linked,
            Some(of) => Link::Other(of.to_string()),
            None => Link::Unknown,
        }
    }

    /// Looks at the file again and again, for as long as the gateway runs.
    pub async fn watch(self: Arc<Self>, every: Duration) {
        if self.path.as_os_str().is_empty() {
            return;
        }
        loop {
            tokio::time::sleep(every).await;
            let table = Arc::clone(&self);
            // Reading a big file is no work for the threads that answer.
            let _ = tokio::task::spawn_blocking(move || table.reload()).await;
        }
    }

    /// Reads the file again if it changed.
    pub fn reload(&self) {
        let stamp = stamp(&self.path);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == stamp {
            return;
        }
        *seen = stamp;
        match read(&self.path) {
            Ok(sites) => {
                tracing::info!(sites = sites.len(), "FINESS table read again");
                self.sites.store(Arc::new(sites));
            }
            Err(error) => tracing::error!(%error, "FINESS table cannot be used; the one before stays in force"),
        }
    }
}

impl Finess {
    /// The number behind a Struct_IdNat of type 1.
    fn of(structure: &StructIdNat) -> Option<Self> {
        structure.as_str().strip_prefix('1').and_then(Self::parse)
    }

    /// Form only: numbers of test structures do not have the check digit that real ones have.
    fn parse(text: &str) -> Option<Self> {
        let number: [u8; 9] = text.as_bytes().try_into().ok()?;
        let is_letter = |(at, byte): (usize, &u8)| at == 1 && matches!(byte, b'A' | b'B');
        number
            .iter()
            .enumerate()
            .all(|(at, byte)| byte.is_ascii_digit() || is_letter((at, byte)))
            .then_some(Self(number))
    }
}

impl std::fmt::Display for Finess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{}", char::from(*byte)))
    }
}

fn read(path: &Path) -> Result<HashMap<Finess, Finess>, FinessError> {
    if path.as_os_str().is_empty() {
        return Ok(HashMap::new());
    }
    let text =
        std::fs::read_to_string(path).map_err(|cause| FinessError::Unreadable { path: path.to_owned(), cause })?;
    let mut sites = HashMap::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || (index == 0 && line.eq_ignore_ascii_case("EG;EJ")) {
            continue;
        }
        let wrong = |problem| FinessError::Line { path: path.to_owned(), line: index + 1, problem };
        let (site, entity) = line.split_once(';').ok_or_else(|| wrong("no `;`: write EG;EJ"))?;
        let number = |text: &str| Finess::parse(text.trim().trim_matches('"'));
        let (Some(site), Some(entity)) = (number(site), number(entity)) else {
            return Err(wrong("FINESS numbers have 9 characters, digits but for the A or B of Corsica"));
        };
        if sites.insert(site, entity).is_some_and(|before| before != entity) {
            return Err(wrong("a site of two legal entities"));
        }
    }
    Ok(sites)
}

fn stamp(path: &Path) -> Option<(u64, SystemTime)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> (Result<Arc<FinessTable>, FinessError>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("finess.csv");
        std::fs::write(&path, text).unwrap();
        (FinessTable::load(&path), folder)
    }

    fn id(text: &str) -> StructIdNat {
        text.parse().unwrap()
    }

    #[test]
    fn a_site_is_linked_to_its_legal_entity_alone() {
        let (table, _folder) = table("EG;EJ\r\n350000899;350005179\n2A0000014;2A0000113\n");
        let table = table.unwrap();
        assert_eq!(table.link(&id("1350000899"), &id("1350005179")), Link::Linked);
        assert_eq!(table.link(&id("12A0000014"), &id("12A0000113")), Link::Linked);
        assert_eq!(table.link(&id("1350000899"), &id("1750712184")), Link::Other("350005179".to_owned()));
        assert_eq!(table.link(&id("1750803447"), &id("1350005179")), Link::Unknown);
        assert_eq!(table.link(&id("2350000899"), &id("1350005179")), Link::NotFiness);
        let none = FinessTable::load(Path::new("")).unwrap();
        assert_eq!(none.link(&id("1350000899"), &id("1350005179")), Link::NoTable);
    }

    #[test]
    fn a_broken_table_names_its_line_and_keeps_the_one_before_in_force() {
        for (text, line) in [
            ("EG;EJ\n350000899,350005179", 2),
            ("350000899;35000517", 1),
            ("350000899;350005179\n\n350000899;750712184", 3),
        ] {
            let (table, _folder) = table(text);
            let Err(FinessError::Line { line: found, .. }) = table else { panic!("{text}") };
            assert_eq!(found, line, "{text}");
        }
        let (table, folder) = table("350000899;350005179");
        let table = table.unwrap();
        let write = |text: &str| std::fs::write(folder.path().join("finess.csv"), text).unwrap();
        write("broken");
        table.reload();
        assert_eq!(table.link(&id("1350000899"), &id("1350005179")), Link::Linked);
        write("350000899;750712184");
        table.reload();
        assert_eq!(table.link(&id("1350000899"), &id("1750712184")), Link::Linked);
    }
}
