//! The key that signs heads of the journal: made once, in a file beside the database, and never replaced by itself.
//!
//! Ed25519 (RFC 8032), as PKCS#8 and SubjectPublicKeyInfo in PEM (RFC 8410), which openssl reads.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use uuid::Uuid;

use crate::domain::seal::{Head, SignedHead};
use crate::domain::sha::hex;
use crate::store::error::Error;

/// Signs heads.
pub(in crate::store) struct HeadKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// Verifies heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; PUBLIC_BYTES]);

impl HeadKey {
    /// Reads the key; makes it where the journal has no head yet. Several processes may come at once: one key wins.
    ///
    /// Errors: a file that holds no key; none where `head` was signed with one, or another one.
    pub(in crate::store) fn open(file: &Path, store: Uuid, head: Option<&SignedHead>) -> Result<Self, Error> {
        let key = match (read(file)?, head) {
            (Some(key), _) => key,
            (None, None) => make(file)?,
            (None, Some(head)) => {
                let problem = format!("is not there, and signed the journal of this database (key {})", head.key_id);
                return Err(unusable(file, &format!("{problem}: put it back")));
            }
        };
        match head {
            Some(head) if head.key_id != key.public.id() => {
                let (ours, theirs) = (key.public.id(), &head.key_id);
                Err(unusable(file, &format!("holds the key {ours}, and the journal was signed with {theirs}")))
            }
            Some(head) if !key.public.verifies(store, head) => {
                Err(unusable(file, "did not sign the journal's head as it is now: `carnet journal verify` says more"))
            }
            _ => Ok(key),
        }
    }

    pub(in crate::store) fn sign(&self, store: Uuid, head: Head) -> Result<SignedHead, Error> {
        let signature = self.pair.try_sign(head.statement(store).as_bytes());
        let signature = signature.map_err(|_| Error::Settings("journal.key: cannot sign".to_owned()))?;
        Ok(SignedHead { head, key_id: self.public.id(), signature: signature.as_ref().to_vec() })
    }

    pub(in crate::store) fn public(&self) -> &PublicKey {
        &self.public
    }
}

impl PublicKey {
    /// That of the private key in `file`. None where there is no such file.
    pub fn of_private(file: &Path) -> Result<Option<Self>, Error> {
        Ok(read(file)?.map(|key| key.public))
    }

    /// Reads what [`PublicKey::pem`] wrote.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let der = SubjectPublicKeyInfoDer::from_pem_file(file)
            .map_err(|error| unusable(file, &format!("holds no public key in PEM: {error}")))?;
        let key = der.strip_prefix(SPKI_ED25519).and_then(|key| key.try_into().ok());
        key.map(Self).ok_or_else(|| unusable(file, "holds no public key for Ed25519"))
    }

    pub fn pem(&self) -> String {
        pem("PUBLIC KEY", &[SPKI_ED25519, &self.0].concat())
    }

    /// A short name, enough to tell keys apart.
    pub fn id(&self) -> String {
        const ID_BYTES: usize = 8;
        hex(&Sha256::digest(self.0)[..ID_BYTES])
    }

    /// Whether this key signed that head, of that database.
    pub fn verifies(&self, store: Uuid, head: &SignedHead) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        head.key_id == self.id() && key.verify(head.head.statement(store).as_bytes(), &head.signature).is_ok()
    }
}

const PUBLIC_BYTES: usize = 32;
/// What stands before the 32 bytes of a key: SEQUENCE, algorithm 1.3.101.112, BIT STRING. Source: RFC 8410 section 4.
const SPKI_ED25519: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

fn read(file: &Path) -> Result<Option<HeadKey>, Error> {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(file, &format!("cannot be read: {error}"))),
    };
    refuse_open_to_others(file)?;
    let der = PrivatePkcs8KeyDer::from_pem_slice(&text);
    let der = der.map_err(|error| unusable(file, &format!("holds no private key in PEM (PKCS#8): {error}")))?;
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
    let pair = pair.map_err(|error| unusable(file, &format!("holds no private key for Ed25519: {error}")))?;
    let public = pair.public_key().as_ref().try_into().map_err(|_| unusable(file, "holds a key of another length"))?;
    Ok(Some(HeadKey { pair, public: PublicKey(public) }))
}

/// Whoever reads the key can sign another journal. A group may read it, as secrets that are mounted want it.
fn refuse_open_to_others(file: &Path) -> Result<(), Error> {
    let metadata = fs::metadata(file).map_err(|error| unusable(file, &format!("cannot be read: {error}")))?;
    match metadata.permissions().mode() & 0o777 {
        mode if mode & OPEN_TO_OTHERS == 0 => Ok(()),
        mode => Err(unusable(file, &format!("is open to others (mode {mode:04o}): expected 0600, or 0640 at most"))),
    }
}

/// All that everybody may do, and writing by a group.
const OPEN_TO_OTHERS: u32 = 0o027;

/// Makes a key that its owner alone may read. Whoever loses the race for the name uses the winner's.
fn make(file: &Path) -> Result<HeadKey, Error> {
    let pair = Ed25519KeyPair::generate().map_err(|_| unusable(file, "cannot be made: no randomness"))?;
    let der: Pkcs8V1Der = pair.as_der().map_err(|_| unusable(file, "cannot be made"))?;
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let cannot = |error: std::io::Error| unusable(file, &format!("cannot be made: {error}"));
    // Whole under its name, or not at all, and on the disk before anything is signed: mode 0600 is this file's own.
    let mut made = NamedTempFile::new_in(folder).map_err(cannot)?;
    made.write_all(pem("PRIVATE KEY", der.as_ref()).as_bytes()).map_err(cannot)?;
    made.as_file().sync_all().map_err(cannot)?;
    match made.persist_noclobber(file) {
        Ok(_) => fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(cannot)?,
        Err(lost) if lost.error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(cannot(error.error)),
    }
    read(file)?.ok_or_else(|| unusable(file, "was taken away while it was made"))
}

fn pem(label: &str, der: &[u8]) -> String {
    // Neither form fills more than one line.
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", base64_simd::STANDARD.encode_to_string(der))
}

fn unusable(file: &Path, problem: &str) -> Error {
    Error::Settings(format!("journal.key: {} {problem}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head { position: 7, seal: vec![1; 32], at_us: 5 }
    }

    #[test]
    fn many_who_come_at_once_end_with_one_private_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("journal.key");
        let open = || HeadKey::open(&file, Uuid::nil(), None).unwrap().public;
        let keys: Vec<PublicKey> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_public_key_is_read_as_it_is_written_and_verifies_its_own_database_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("journal.key");
        let key = HeadKey::open(&file, Uuid::nil(), None).unwrap();
        let shown = folder.path().join("journal.pub");
        fs::write(&shown, key.public().pem()).unwrap();
        let public = PublicKey::read(&shown).unwrap();
        assert_eq!(Some(&public), PublicKey::of_private(&file).unwrap().as_ref());
        let signed = key.sign(Uuid::nil(), head()).unwrap();
        assert!(public.verifies(Uuid::nil(), &signed));
        assert!(!public.verifies(Uuid::max(), &signed));
        let another = Head { position: 8, ..head() };
        assert!(!public.verifies(Uuid::nil(), &SignedHead { head: another, ..signed }));
    }

    #[test]
    fn a_journal_with_heads_takes_no_other_key_and_makes_none() {
        let folder = tempfile::tempdir().unwrap();
        let [file, other] = ["journal.key", "other.key"].map(|name| folder.path().join(name));
        let signed = HeadKey::open(&file, Uuid::nil(), None).unwrap().sign(Uuid::nil(), head()).unwrap();
        HeadKey::open(&file, Uuid::nil(), Some(&signed)).unwrap();
        let told = |file: &Path, signed: &SignedHead| {
            HeadKey::open(file, Uuid::nil(), Some(signed)).map(drop).unwrap_err().to_string()
        };
        let absent = told(&other, &signed);
        assert!(absent.contains("other.key is not there") && absent.contains(&signed.key_id), "{absent}");
        assert!(!other.exists());
        HeadKey::open(&other, Uuid::nil(), None).unwrap();
        assert!(told(&other, &signed).contains("and the journal was signed with"));
        let changed = SignedHead { head: Head { position: 6, ..head() }, ..signed };
        assert!(told(&file, &changed).contains("did not sign the journal's head as it is now"));
        fs::write(&file, "no key").unwrap();
        assert!(told(&file, &changed).contains("holds no private key in PEM"));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("journal.key");
        HeadKey::open(&file, Uuid::nil(), None).unwrap();
        for (mode, is_good) in [(0o400, true), (0o440, true), (0o640, true), (0o644, false), (0o620, false)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let opened = HeadKey::open(&file, Uuid::nil(), None).map(drop);
            assert_eq!(opened.is_ok(), is_good, "{mode:o}: {opened:?}");
        }
    }
}
