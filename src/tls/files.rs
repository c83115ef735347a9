//! The files that trust is read from: certificates, keys and lists, in PEM or DER, single or in folders.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("{}: {problem}", path.display())]
    Content { path: PathBuf, problem: String },
}

/// What tells that a file is no longer the one that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    path: PathBuf,
    /// Inode, length, change time: `None` for a file that cannot be looked at.
    state: Option<(u64, u64, i64, i64)>,
}

/// Certificates or CRLs of a file or of all files of a folder, none of them above the limit.
pub(super) fn read_objects<T>(path: &Path, bytes_max: usize, into: &mut Vec<(PathBuf, T)>) -> Result<(), FileError>
where
    T: PemObject + From<Vec<u8>>,
{
    for file in files(path).map_err(|cause| FileError::Unreadable { path: path.to_owned(), cause })? {
        let bytes = read(&file, bytes_max)?;
        if is_der(&bytes) {
            into.push((file, T::from(bytes)));
            continue;
        }
        let before = into.len();
        for object in T::pem_slice_iter(&bytes) {
            let object =
                object.map_err(|error| FileError::Content { path: file.clone(), problem: error.to_string() })?;
            into.push((file.clone(), object));
        }
        if into.len() == before {
            let problem = "neither PEM nor DER of the kind that belongs here".to_owned();
            return Err(FileError::Content { path: file, problem });
        }
    }
    Ok(())
}

pub(super) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    let bytes = read(path, CERTIFICATE_FILE_BYTES_MAX)?;
    let content = |problem: String| FileError::Content { path: path.to_owned(), problem };
    if is_der(&bytes) {
        return PrivateKeyDer::try_from(bytes).map_err(|problem| content(problem.to_owned()));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| content(error.to_string()))
}

/// The state of every file that these paths name.
pub(super) fn stamps<'a>(paths: impl Iterator<Item = &'a Path>) -> Vec<Stamp> {
    let all = paths.flat_map(|path| files(path).unwrap_or_else(|_| vec![path.to_owned()]));
    all.map(|path| {
        let metadata = std::fs::metadata(&path).ok();
        let state = metadata.map(|data| (data.ino(), data.len(), data.ctime(), data.ctime_nsec()));
        Stamp { path, state }
    })
    .collect()
}

/// PEM starts with a dash or with text, any DER certificate, CRL or key with a sequence.
pub(super) fn is_der(bytes: &[u8]) -> bool {
    bytes.first() == Some(&DER_SEQUENCE)
}

fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileError> {
    let unreadable = |cause| FileError::Unreadable { path: path.to_owned(), cause };
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() > bytes_max {
        let problem = format!("has more than {bytes_max} bytes");
        return Err(FileError::Content { path: path.to_owned(), problem });
    }
    Ok(bytes)
}

/// The file itself, or the files of the folder in the order of their names; hidden ones are left out, since
/// that is what writers of whole files call theirs before they are whole.
fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

pub(super) const CERTIFICATE_FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
const DER_SEQUENCE: u8 = 0x30;
