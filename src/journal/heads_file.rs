//! The file of signed heads: one JSON object a line, appended and synced, never rewritten.
//!
//! A line that a crash cut short is written once more behind it; a line counts when it is, byte for byte, what is
//! written for the head that it holds. Heads of another journal that the same key signed are told apart from noise: a
//! database that was replaced by a new one leaves them.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::seal::{Head, SignedHead};
use crate::domain::sha::{hex, unhex};
use crate::store::journal::key::PublicKey;

/// The file while it is this process's to append to.
pub(super) struct LockedFile {
    file: File,
    store: Uuid,
    /// Position of the last head in it.
    last: i64,
}

/// Heads of the file in their order, as far as it reached when it was opened.
pub(super) struct Heads {
    lines: io::Lines<BufReader<io::Take<File>>>,
    store: Uuid,
    key: PublicKey,
    /// Whether the key signed heads of another journal, too.
    pub(super) has_others: bool,
    /// Lines that hold no head of this key.
    pub(super) unreadable: u64,
}

impl LockedFile {
    /// Waits for other processes that append.
    pub(super) fn open(path: &Path, store: Uuid) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        file.lock()?;
        let bytes = file.metadata()?.len();
        file.seek(SeekFrom::Start(bytes.saturating_sub(END_BYTES)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        if end.last().is_some_and(|byte| *byte != b'\n') {
            file.write_all(b"\n")?;
        }
        let mut lines = end.split(|byte| *byte == b'\n').rev();
        let last = lines.find_map(|line| read(str::from_utf8(line).ok()?).filter(|(of, _)| *of == store));
        Ok(Self { file, store, last: last.map_or(0, |(_, signed)| signed.head.position) })
    }

    pub(super) fn last(&self) -> i64 {
        self.last
    }

    /// Appends heads of later positions; they are on the disk on return.
    pub(super) fn append(mut self, heads: &[SignedHead]) -> io::Result<Self> {
        let mut lines = String::new();
        for signed in heads {
            lines.push_str(&write(signed, self.store)?);
            lines.push('\n');
            self.last = signed.head.position;
        }
        self.file.write_all(lines.as_bytes())?;
        self.file.sync_all()?;
        Ok(self)
    }
}

impl Heads {
    /// None where there is no such file.
    pub(super) fn open(path: &Path, store: Uuid, key: PublicKey) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = file.metadata()?.len();
        let lines = BufReader::new(file.take(bytes)).lines();
        Ok(Some(Self { lines, store, key, has_others: false, unreadable: 0 }))
    }

    pub(super) fn next(&mut self) -> io::Result<Option<SignedHead>> {
        for line in self.lines.by_ref() {
            let line = match line {
                Ok(line) => line,
                // No text; the reader stands behind it.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
                Err(error) => return Err(error),
            };
            match read(&line) {
                Some((store, signed)) if store == self.store => return Ok(Some(signed)),
                Some((store, signed)) if self.key.verifies(store, &signed) => self.has_others = true,
                _ => self.unreadable += 1,
            }
        }
        Ok(None)
    }
}

/// Many lines: the last one is among them.
const END_BYTES: u64 = 64 * 1024;

#[derive(Serialize, Deserialize)]
struct Line {
    store: String,
    position: i64,
    seal: String,
    at_us: i64,
    key: String,
    signature: String,
}

fn write(signed: &SignedHead, store: Uuid) -> io::Result<String> {
    let SignedHead { head, key_id, signature } = signed;
    let line = Line {
        store: store.to_string(),
        position: head.position,
        seal: hex(&head.seal),
        at_us: head.at_us,
        key: key_id.clone(),
        signature: hex(signature),
    };
    Ok(serde_json::to_string(&line)?)
}

/// A head, and the database that it is of.
fn read(text: &str) -> Option<(Uuid, SignedHead)> {
    let line: Line = serde_json::from_str(text).ok()?;
    let head = Head { position: line.position, seal: unhex(&line.seal)?, at_us: line.at_us };
    let signed = SignedHead { head, key_id: line.key, signature: unhex(&line.signature)? };
    let store = line.store.parse().ok()?;
    (write(&signed, store).ok()? == text).then_some((store, signed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(position: i64) -> SignedHead {
        let head = Head { position, seal: vec![7; 32], at_us: 1_000 * position };
        SignedHead { head, key_id: "0123456789abcdef".to_owned(), signature: vec![9; 64] }
    }

    /// Source: RFC 8410 section 10.1.
    const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";

    fn positions(path: &Path) -> (Vec<i64>, u64) {
        let key = path.with_extension("pub");
        std::fs::write(&key, PUBLIC_KEY).unwrap();
        let key = PublicKey::read(&key).unwrap();
        let mut heads = Heads::open(path, Uuid::nil(), key).unwrap().unwrap();
        let mut positions = Vec::new();
        while let Some(signed) = heads.next().unwrap() {
            positions.push(signed.head.position);
        }
        (positions, heads.unreadable)
    }

    #[test]
    fn a_line_that_a_crash_cut_short_is_written_once_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heads.jsonl");
        LockedFile::open(&path, Uuid::nil()).unwrap().append(&[signed(1), signed(4)]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 10]).unwrap();
        let file = LockedFile::open(&path, Uuid::nil()).unwrap();
        assert_eq!(file.last(), 1);
        file.append(&[signed(4)]).unwrap();
        assert_eq!(positions(&path), (vec![1, 4], 1));
    }

    #[test]
    fn any_byte_that_is_changed_takes_a_head_away_or_changes_it() {
        let whole = write(&signed(1), Uuid::nil()).unwrap();
        assert_eq!(read(&whole), Some((Uuid::nil(), signed(1))));
        for byte in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone().into_bytes();
                changed[byte] ^= 1 << bit;
                let read = String::from_utf8(changed).ok().and_then(|line| read(&line));
                assert_ne!(read, Some((Uuid::nil(), signed(1))), "byte {byte}, bit {bit}");
            }
        }
    }

    #[test]
    fn heads_of_another_database_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heads.jsonl");
        LockedFile::open(&path, Uuid::max()).unwrap().append(&[signed(1)]).unwrap();
        assert_eq!(positions(&path), (Vec::new(), 1));
        let key = PublicKey::read(&path.with_extension("pub")).unwrap();
        assert!(Heads::open(&folder.path().join("none"), Uuid::nil(), key).unwrap().is_none());
    }
}
