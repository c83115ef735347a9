//! A zip whose directory has been judged before any entry is opened, and whose entries have a measure.
//!
//! Knows nothing of XDM. An entry is found by path and read as bytes; none is ever extracted to disk under
//! its own name, so a path that climbs is refused for what it says of the sender, not because it could hurt.

use std::collections::HashMap;
use std::io::{Read, Seek};

use zip::ZipArchive;
use zip::read::ZipFileEntry;

use super::package::Limits;
use crate::refusal::{Failure, Refusal, Rule};

pub(super) struct Archive<R> {
    zip: ZipArchive<R>,
    /// Path as written -> number of the entry; files only.
    files: HashMap<String, usize>,
    /// Paths that are the same but for their case (H.2: accept lower case).
    by_lower_case: HashMap<String, Vec<String>>,
    limits: Limits,
    read_bytes: u64,
}

impl<R: Read + Seek> Archive<R> {
    /// Reads the directory: some hundred bytes for each entry that the file really holds, then judged.
    ///
    /// Errors: `PackageForm`, `BodyTooLarge`.
    pub(super) fn open(source: R, limits: Limits) -> Result<Self, Refusal> {
        let zip = ZipArchive::new(source)
            .map_err(|_| Refusal::new(Rule::PackageForm, "zip", "no readable directory", "a whole zip file"))?;
        if zip.has_duplicate_names() {
            return Err(Refusal::new(Rule::PackageForm, "zip", "two entries of one name", "one entry a name"));
        }
        if zip.len() > limits.entries_max {
            return Err(too_large("zip", "more entries", &format!("at most {} entries", limits.entries_max)));
        }
        let mut files = HashMap::with_capacity(zip.len());
        let mut by_lower_case: HashMap<String, Vec<String>> = HashMap::with_capacity(zip.len());
        let mut declared_bytes = 0_u64;
        for number in 0..zip.len() {
            let unreadable = |_| {
                Refusal::new(Rule::PackageForm, format!("zip entry {number}"), "no readable header", "a whole zip file")
            };
            let entry = zip.by_index_data(number).map_err(unreadable)?;
            let Some(path) = file_path(&entry, &limits)? else { continue };
            declared_bytes = declared_bytes.saturating_add(entry.size());
            by_lower_case.entry(path.to_lowercase()).or_default().push(path.clone());
            files.insert(path, number);
        }
        if declared_bytes > limits.package_bytes_max {
            let expected = format!("at most {} bytes unpacked", limits.package_bytes_max);
            return Err(too_large("zip", &format!("{declared_bytes} bytes"), &expected));
        }
        Ok(Self { zip, files, by_lower_case, limits, read_bytes: 0 })
    }

    /// Paths of the files, in no order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The path as the archive writes it; in another case only where that is no guess.
    pub(super) fn find(&self, path: &str) -> Option<&str> {
        if let Some((known, _)) = self.files.get_key_value(path) {
            return Some(known);
        }
        match self.by_lower_case.get(&path.to_lowercase()).map(Vec::as_slice) {
            Some([only]) => Some(only),
            _ => None,
        }
    }

    /// Unpacks the file `path`, which [`Self::find`] gave, piece by piece into `sink`.
    ///
    /// What the directory declares is not trusted: bytes are counted as they come.
    /// Errors: `BodyTooLarge` above `bytes_max`, `PackageForm` for what does not unpack; what `sink` says.
    pub(super) fn read(
        &mut self,
        path: &str,
        bytes_max: u64,
        mut sink: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let broken = || Refusal::new(Rule::PackageForm, path, "an entry that does not unpack", "a whole zip file");
        let number = *self.files.get(path).ok_or_else(broken)?;
        let mut entry = self.zip.by_index(number).map_err(|_| broken())?;
        let mut buffer = vec![0; PIECE_BYTES];
        let mut bytes = 0_u64;
        loop {
            let count = entry.read(&mut buffer).map_err(|_| broken())?;
            if count == 0 {
                return Ok(());
            }
            bytes += count as u64;
            self.read_bytes += count as u64;
            if bytes > bytes_max {
                return Err(too_large(path, "more bytes", &format!("at most {bytes_max} bytes unpacked")).into());
            }
            if self.read_bytes > self.limits.package_bytes_max {
                let expected = format!("at most {} bytes unpacked", self.limits.package_bytes_max);
                return Err(too_large("zip", "more bytes", &expected).into());
            }
            sink(&buffer[..count])?;
        }
    }
}

/// The path of a file entry with `/` between its parts; `None` for a folder.
fn file_path(entry: &ZipFileEntry<'_>, limits: &Limits) -> Result<Option<String>, Refusal> {
    let place = format!("zip entry {}", String::from_utf8_lossy(entry.name_raw()));
    let form = |found: &str, expected: &str| Refusal::new(Rule::PackageForm, &place, found, expected);
    if entry.is_symlink() {
        return Err(form("a symbolic link", "files and folders"));
    }
    if entry.encrypted() {
        return Err(form("an encrypted entry", "no encryption inside the zip"));
    }
    let name = entry.name().map_err(|_| form("a name that is no text", "names in UTF-8 or ASCII"))?.replace('\\', "/");
    let climbs = name.split('/').any(|part| part == "..");
    if entry.enclosed_name().is_none() || climbs || name.starts_with('/') || name.contains(':') {
        return Err(form("a path that leaves the package", "a relative path without `..`"));
    }
    if entry.is_dir() {
        return Ok(None);
    }
    let ratio_counts = entry.size() > RATIO_BYTES_MIN;
    if ratio_counts && entry.size() / entry.compressed_size().max(1) > limits.ratio_max {
        let expected = format!("at most {} times its packed size", limits.ratio_max);
        return Err(too_large(&place, "an entry that unpacks to much more", &expected));
    }
    Ok(Some(name.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/")))
}

fn too_large(place: &str, found: &str, expected: &str) -> Refusal {
    Refusal::new(Rule::BodyTooLarge, place, found, expected)
}

const PIECE_BYTES: usize = 64 * 1024;
/// Small repetitive files pack well and hurt nobody.
const RATIO_BYTES_MIN: u64 = 1024 * 1024;
