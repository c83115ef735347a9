//! The files of the development PKI: its register, and how each of them is written.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::authority::Authority;
use super::{KeyUse, PkiError};

/// What was issued and revoked: the memory of the PKI.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Register {
    pub(super) crl_number: u64,
    pub(super) issued: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) serial: String,
    pub(super) authority: Authority,
    pub(super) holder: String,
    /// Absent for an authority.
    pub(super) key_use: Option<KeyUse>,
    pub(super) revoked_s: Option<i64>,
}

/// All or nothing, so that a gateway that watches the file never reads half of it.
pub(super) fn write_whole(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    let failed = |cause| PkiError::File { path: path.to_owned(), cause };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut file =
        tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

pub(super) fn pem(der: &[u8]) -> String {
    let base64 = base64_simd::STANDARD.encode_to_string(der);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

pub(super) const PUBLIC_MODE: u32 = 0o644;
/// Keys, and the register beside them, are for their owner.
pub(super) const PRIVATE_MODE: u32 = 0o600;
