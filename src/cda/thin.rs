//! A `BufRead` that leaves out the inside of long base64, so that a 100 MB body costs 64 KB of memory.
//!
//! An XML reader hands out a text node, a comment, a CDATA section or a tag in one piece, so it must hold it whole:
//! who reads its events says where each begins, and a piece that grows too long is refused. Nobody reads the base64 of a body here, so of each run of
//! base64 letters and white space that follows a `>` or a `[` (a text node, a CDATA section) only the first
//! bytes are passed on. None of the bytes left out can open or close anything in XML at that place, and all of
//! them are ASCII: what is well-formed stays so, what is not stays not.

use std::io::{self, BufRead, Read};

pub(super) struct ThinReader<R> {
    inner: R,
    /// Bytes at the start of the inner buffer that were looked at and may be passed on.
    cleared: usize,
    state: State,
    /// Bytes passed on since [`ThinReader::begin_event`]: no more of them can be held behind.
    since_event: usize,
    left_out: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Outside,
    /// The byte before was `>` or `[`.
    AtStart,
    InRun(usize),
    LeavingOut,
}

/// A text, comment, section or tag that is longer than any that has a meaning here.
#[derive(Debug, thiserror::Error)]
#[error("more than {EVENT_BYTES_MAX} bytes in one event")]
pub(super) struct EventTooLong;

/// Bytes of a run that are passed on.
const RUN_BYTES_KEPT: usize = 64 * 1024;
/// Bytes of one event, base64 left out; one buffer of the inner reader may come on top.
const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;

impl<R: BufRead> ThinReader<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, cleared: 0, state: State::Outside, since_event: 0, left_out: 0 }
    }

    /// What is passed on from here belongs to another event of the XML reader.
    pub(super) fn begin_event(&mut self) {
        self.since_event = 0;
    }

    /// Bytes left out so far: add them to a position to get the position in the document.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Looks at fresh bytes of the inner buffer; `Ok(false)` at the end of the document.
    fn look(&mut self) -> io::Result<bool> {
        if self.since_event > EVENT_BYTES_MAX {
            return Err(io::Error::other(EventTooLong));
        }
        while self.cleared == 0 {
            let buffer = self.inner.fill_buf()?;
            if buffer.is_empty() {
                return Ok(false);
            }
            if self.state == State::LeavingOut {
                let count = buffer.iter().position(|byte| !is_run_byte(*byte)).unwrap_or(buffer.len());
                if count < buffer.len() {
                    self.state = State::Outside;
                }
                self.inner.consume(count);
                self.left_out += count as u64;
                continue;
            }
            let mut clear = 0;
            for &byte in buffer {
                self.state = self.state.after(byte);
                if self.state == State::LeavingOut {
                    break;
                }
                clear += 1;
            }
            self.cleared = clear;
        }
        Ok(true)
    }
}

impl State {
    fn after(self, byte: u8) -> Self {
        match self {
            Self::AtStart if is_run_byte(byte) => Self::InRun(1),
            Self::InRun(count) if is_run_byte(byte) && count >= RUN_BYTES_KEPT => Self::LeavingOut,
            Self::InRun(count) if is_run_byte(byte) => Self::InRun(count + 1),
            _ if matches!(byte, b'>' | b'[') => Self::AtStart,
            _ => Self::Outside,
        }
    }
}

fn is_run_byte(byte: u8) -> bool {
    RUN_BYTES[usize::from(byte)]
}

/// Base64 letters and white space. A table, for every byte of a big document is looked up.
const RUN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b' ' | b'\n' | b'\r' | b'\t');
        byte += 1;
    }
    table
};

impl<R: BufRead> BufRead for ThinReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if !self.look()? {
            return Ok(&[]);
        }
        // `look` has just filled the inner buffer, and nobody has consumed from it since.
        let buffer = self.inner.fill_buf()?;
        Ok(&buffer[..self.cleared.min(buffer.len())])
    }

    fn consume(&mut self, count: usize) {
        self.cleared = self.cleared.saturating_sub(count);
        self.since_event += count;
        self.inner.consume(count);
    }
}

impl<R: BufRead> Read for ThinReader<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(target.len());
        target[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::BufReader;

    fn thinned(document: &[u8], capacity: usize) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        ThinReader::new(BufReader::with_capacity(capacity, document)).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn only_the_inside_of_a_long_run_is_left_out() {
        let document = format!("<a>{}</a><b>é, {}</b>", "QUJD\n".repeat(100_000), "kept ".repeat(1_000));
        for capacity in [1, 7, 4096, 1 << 20] {
            let out = String::from_utf8(thinned(document.as_bytes(), capacity).unwrap()).unwrap();
            assert_eq!(out.len(), document.len() - 500_000 + RUN_BYTES_KEPT, "{capacity}");
            assert!(out.ends_with(&format!("</a><b>é, {}</b>", "kept ".repeat(1_000))), "{capacity}");
        }
    }

    #[test]
    fn a_run_inside_a_tag_is_never_touched() {
        let document = format!("<a b=\"x>y\"{}/>", " ".repeat(3 * RUN_BYTES_KEPT));
        assert_eq!(thinned(document.as_bytes(), 4096).unwrap(), document.as_bytes());
    }

    #[test]
    fn an_event_without_end_is_refused_whatever_it_is_made_of() {
        for piece in ["é", "<", ">", "]", "<>."] {
            let document = format!("<!--{}", piece.repeat(EVENT_BYTES_MAX));
            let error = thinned(document.as_bytes(), 64 * 1024).unwrap_err();
            assert!(error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<EventTooLong>), "{piece}");
        }
    }

    #[test]
    fn many_events_may_be_longer_than_one() {
        let document = "<>.".repeat(EVENT_BYTES_MAX / 2);
        let mut reader = ThinReader::new(BufReader::with_capacity(64 * 1024, document.as_bytes()));
        let mut length = 0;
        while let count @ 1.. = reader.fill_buf().unwrap().len() {
            reader.consume(count);
            reader.begin_event();
            length += count;
        }
        assert_eq!(length, document.len());
    }

    proptest! {
        #[test]
        fn short_documents_pass_unchanged(document in proptest::collection::vec(any::<u8>(), 0..2_000), capacity in 1_usize..64) {
            prop_assert_eq!(thinned(&document, capacity).unwrap(), document);
        }
    }
}
