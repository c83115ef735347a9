//! Files and folders given by hand -> sources of lots: `.zip` is a package, `.xml` a bare CDA.
//!
//! A bare CDA says everything in its header, so its draft is empty: the gateway reads the header. Links are
//! not followed, hidden files and other kinds of file are told and left alone.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::iter;
use std::path::{Path, PathBuf};

use super::package::{Lot, LotResult, Reading, UnreadLot, read_package, spool_document};
use crate::operation::draft::{DepositRequest, DocumentDraft, MetadataDraft};
use crate::refusal::{Failure, Fault};

/// One file that holds one or more lots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Package(PathBuf),
    Document(PathBuf),
}

/// What the given paths hold, in order of name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    pub sources: Vec<Source>,
    /// Neither a package nor a document.
    pub others: Vec<PathBuf>,
}

/// Finds the sources in `paths`, folders with all they hold.
///
/// Errors: the file system's; `InvalidInput` for a file that was named itself and is neither kind.
pub fn list_sources(paths: &[PathBuf]) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for path in paths {
        if fs::metadata(path).map_err(|cause| named(path, &cause))?.is_dir() {
            list_folder(path, FOLDER_DEPTH_MAX, &mut listing)?;
        } else {
            let source = source_of(path).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("{}: neither .zip nor .xml", path.display()))
            })?;
            listing.sources.push(source);
        }
    }
    Ok(listing)
}

impl Source {
    pub fn path(&self) -> &Path {
        match self {
            Self::Package(path) | Self::Document(path) => path,
        }
    }

    /// The lots of this file, in the order that a record needs; read as each one's turn comes.
    pub fn lots<'r>(&self, reading: Reading<'r>) -> Box<dyn Iterator<Item = LotResult> + 'r> {
        let name = self.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file =
            File::open(self.path()).map_err(|cause| Failure::from(Fault::new("opening a file to import", cause)));
        let lots = file.and_then(|file| -> Result<Box<dyn Iterator<Item = LotResult> + 'r>, Failure> {
            match self {
                Self::Document(_) => Ok(Box::new(iter::once(Ok(read_bare(file, name.clone(), reading)?)))),
                Self::Package(_) => Ok(Box::new(read_package(BufReader::new(file), reading)?)),
            }
        });
        lots.unwrap_or_else(|failure| Box::new(iter::once(Err(UnreadLot { name, failure }))))
    }
}

fn read_bare(file: File, name: String, reading: Reading<'_>) -> Result<Lot, Failure> {
    let content = spool_document(file, &name, &reading)?;
    let metadata = MetadataDraft { mime_type: Some("text/xml".to_owned()), ..MetadataDraft::default() };
    let document = DocumentDraft {
        place: name.clone(),
        metadata,
        content,
        declared_hash: None,
        declared_size: None,
        relations: Vec::new(),
    };
    Ok(Lot { name, request: DepositRequest { submission_set: None, documents: vec![document] }, notes: Vec::new() })
}

fn list_folder(folder: &Path, depth_left: usize, listing: &mut Listing) -> io::Result<()> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(|cause| named(folder, &cause))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(|cause| named(&path, &cause))?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        match source_of(&path) {
            _ if hidden || kind.is_symlink() => listing.others.push(path),
            _ if kind.is_dir() && depth_left > 0 => list_folder(&path, depth_left - 1, listing)?,
            Some(source) if kind.is_file() => listing.sources.push(source),
            _ => listing.others.push(path),
        }
    }
    Ok(())
}

fn source_of(path: &Path) -> Option<Source> {
    let extension = path.extension()?;
    if extension.eq_ignore_ascii_case("zip") {
        Some(Source::Package(path.to_owned()))
    } else if extension.eq_ignore_ascii_case("xml") {
        Some(Source::Document(path.to_owned()))
    } else {
        None
    }
}

fn named(path: &Path, cause: &io::Error) -> io::Error {
    io::Error::new(cause.kind(), format!("{}: {cause}", path.display()))
}

const FOLDER_DEPTH_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::value_set::Terminology;
    use crate::refusal::Rule;
    use crate::spool::SpoolSettings;
    use crate::xdm::package::Limits;

    fn lots(path: &Path, document_bytes_max: u64) -> Vec<LotResult> {
        let spool = SpoolSettings { directory: Arc::new(std::env::temp_dir()), memory_bytes_max: 1000 };
        let limits = Limits { document_bytes_max, ..Limits::from(&crate::config::Limits::default()) };
        let reading = Reading { spool: &spool, terminology: &Terminology::load().unwrap(), limits };
        let listing = list_sources(&[path.to_owned()]).unwrap();
        listing.sources.iter().flat_map(|source| source.lots(reading).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn packages_and_documents_are_found_in_order_of_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("b")).unwrap();
        for name in ["c.XML", "b/a.zip", "a.xml", "notes.txt", ".hidden.xml"] {
            fs::write(path(name), "").unwrap();
        }
        let listing = list_sources(&[folder.path().to_owned()]).unwrap();
        let expected =
            [Source::Document(path("a.xml")), Source::Package(path("b/a.zip")), Source::Document(path("c.XML"))];
        assert_eq!(listing.sources, expected);
        assert_eq!(listing.others, [path(".hidden.xml"), path("notes.txt")]);
    }

    #[test]
    fn a_file_that_was_named_must_be_of_a_known_kind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        assert_eq!(list_sources(std::slice::from_ref(&path)).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&path, "").unwrap();
        assert_eq!(list_sources(&[path]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_bare_document_is_a_lot_that_says_nothing_but_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.xml"), "<ClinicalDocument/>").unwrap();
        let mut lots = lots(folder.path(), 100);
        let lot = lots.remove(0).unwrap();
        assert_eq!(lot.name, "a.xml");
        assert!(lot.request.submission_set.is_none());
        assert_eq!(lot.request.documents[0].content.fingerprint().size_bytes, 19);
    }

    #[test]
    fn a_document_above_the_limit_and_a_zip_that_is_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.xml"), "<ClinicalDocument/>").unwrap();
        fs::write(folder.path().join("b.zip"), "no zip").unwrap();
        let rules: Vec<_> = lots(folder.path(), 10)
            .into_iter()
            .map(|lot| match lot.unwrap_err().failure {
                Failure::Refused(refusals) => refusals[0].rule,
                Failure::Fault(fault) => panic!("{fault}"),
            })
            .collect();
        assert_eq!(rules, [Rule::BodyTooLarge, Rule::PackageForm]);
    }
}
