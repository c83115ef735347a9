//! Fingerprints of a document: SHA-1 because XDS and FHIR demand it, SHA-256 because we do (T-11).

use std::fmt;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// SHA-1 of the document bytes. FHIR shows it as base64 of the bytes, XDS as lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha1Hash(pub [u8; 20]);

/// SHA-256 of the document bytes, ours: tells "same document again" from "same id, other bytes".
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256Hash(pub [u8; 32]);

/// What identifies bytes once they are read: both hashes and the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    pub sha1: Sha1Hash,
    pub sha256: Sha256Hash,
    pub size_bytes: u64,
}

/// Computes both hashes in one pass over bytes that arrive in pieces.
#[derive(Default)]
pub struct Fingerprinter {
    sha1: Sha1,
    sha256: Sha256,
    size_bytes: u64,
}

impl Fingerprinter {
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha1.update(bytes);
        self.sha256.update(bytes);
        self.size_bytes += bytes.len() as u64;
    }

    pub fn finish(self) -> Fingerprint {
        Fingerprint {
            sha1: Sha1Hash(self.sha1.finalize().into()),
            sha256: Sha256Hash(self.sha256.finalize().into()),
            size_bytes: self.size_bytes,
        }
    }
}

impl Fingerprint {
    pub fn of(bytes: &[u8]) -> Self {
        let mut fingerprinter = Fingerprinter::default();
        fingerprinter.update(bytes);
        fingerprinter.finish()
    }
}

pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes behind [`hex`], of what it wrote and nothing else.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    if rest.is_empty() { bytes.collect() } else { None }
}

impl fmt::Debug for Sha1Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hash_like_the_whole() {
        let mut pieces = Fingerprinter::default();
        pieces.update(b"ab");
        pieces.update(b"c");
        let whole = Fingerprint::of(b"abc");
        assert_eq!(pieces.finish(), whole);
        assert_eq!(hex(&whole.sha1.0), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }

    #[test]
    fn hexadecimal_is_read_as_it_is_written() {
        assert_eq!(unhex("00ff1a"), Some(vec![0, 0xff, 0x1a]));
        assert_eq!((unhex("0"), unhex("0g"), unhex("FF")), (None, None, None));
    }
}
