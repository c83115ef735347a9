//! Document bytes on their way in: hashed as they arrive, in memory while small, in an unlinked file beyond.
//!
//! What a sender sends never decides how much memory is used (contract 7.5).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::domain::sha::{Fingerprint, Fingerprinter};

/// Where spooled bytes go and how much of each document stays in memory.
#[derive(Debug, Clone)]
pub struct SpoolSettings {
    pub directory: Arc<PathBuf>,
    pub memory_bytes_max: usize,
}

/// Bytes of one document being received.
pub struct SpoolWriter {
    settings: SpoolSettings,
    memory: Vec<u8>,
    file: Option<File>,
    fingerprinter: Fingerprinter,
}

/// Pieces of a document on their way into the store; see [`Spooled::into_pieces`].
pub struct Pieces {
    content: Spooled,
    piece_bytes: usize,
    next: u64,
}

/// Bytes of one document, whole, with their fingerprint.
#[derive(Debug)]
pub struct Spooled {
    home: Home,
    fingerprint: Fingerprint,
}

#[derive(Debug)]
enum Home {
    Memory(Bytes),
    /// Already unlinked: nothing is left behind whatever happens to the process.
    File(File),
}

impl SpoolWriter {
    pub fn new(settings: SpoolSettings) -> Self {
        Self { settings, memory: Vec::new(), file: None, fingerprinter: Fingerprinter::default() }
    }

    /// Errors: the file system's, e.g. no space left.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.fingerprinter.update(bytes);
        if let Some(file) = &mut self.file {
            return file.write_all(bytes);
        }
        if self.memory.len() + bytes.len() <= self.settings.memory_bytes_max {
            self.grow_for(bytes.len());
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        let mut file = tempfile::tempfile_in(self.settings.directory.as_path())?;
        file.write_all(&std::mem::take(&mut self.memory))?;
        file.write_all(bytes)?;
        self.file = Some(file);
        Ok(())
    }

    /// What has outgrown a small message is likely a usual document: growing once to the size of one spares the
    /// copies of growing step by step. Room that is never written to takes no memory.
    fn grow_for(&mut self, more_bytes: usize) {
        let length = self.memory.len();
        let is_usual = (SMALL_BYTES..USUAL_BYTES).contains(&length);
        if is_usual && length + more_bytes > self.memory.capacity() {
            self.memory.reserve_exact(USUAL_BYTES.min(self.settings.memory_bytes_max).saturating_sub(length));
        }
    }

    pub fn finish(self) -> Spooled {
        let home = match self.file {
            Some(file) => Home::File(file),
            None => Home::Memory(Bytes::from(self.memory)),
        };
        Spooled { home, fingerprint: self.fingerprinter.finish() }
    }
}

impl Spooled {
    /// Bytes that are in memory anyway: tests, and parts of a package that was read whole.
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let fingerprint = Fingerprint::of(&bytes);
        Self { home: Home::Memory(bytes), fingerprint }
    }

    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The bytes when they are in memory; large documents are not.
    pub fn in_memory(&self) -> Option<&Bytes> {
        match &self.home {
            Home::Memory(bytes) => Some(bytes),
            Home::File(_) => None,
        }
    }

    /// Reads from the start. One reader at a time: a file has one position.
    pub fn reader(&mut self) -> io::Result<Box<dyn BufRead + Send + '_>> {
        match &mut self.home {
            Home::Memory(bytes) => Ok(Box::new(Cursor::new(bytes))),
            Home::File(file) => {
                file.seek(SeekFrom::Start(0))?;
                Ok(Box::new(BufReader::with_capacity(READ_BYTES, file)))
            }
        }
    }

    /// Hands the bytes over in pieces of `piece_bytes` (the last one shorter). A document of one piece that is in
    /// memory is handed over as it is, without a copy.
    pub fn into_pieces(self, piece_bytes: usize) -> Pieces {
        Pieces { content: self, piece_bytes, next: 0 }
    }

    /// The `index`-th piece of `chunk_bytes` (the last one shorter); empty when past the end.
    pub fn chunk(&mut self, index: u64, chunk_bytes: usize) -> io::Result<Bytes> {
        let start = index * chunk_bytes as u64;
        let size = self.fingerprint.size_bytes;
        let length = size.saturating_sub(start).min(chunk_bytes as u64);
        let (Ok(from), Ok(count)) = (usize::try_from(start), usize::try_from(length)) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        match &mut self.home {
            Home::Memory(bytes) => Ok(bytes.slice(from.min(bytes.len())..(from + count).min(bytes.len()))),
            Home::File(file) => {
                file.seek(SeekFrom::Start(start))?;
                let mut buffer = vec![0; count];
                file.read_exact(&mut buffer)?;
                Ok(Bytes::from(buffer))
            }
        }
    }
}

impl Iterator for Pieces {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.next * self.piece_bytes as u64 >= self.content.fingerprint.size_bytes {
            return None;
        }
        self.next += 1;
        match &mut self.content.home {
            Home::Memory(bytes) if bytes.len() <= self.piece_bytes => Some(Ok(std::mem::take(bytes))),
            Home::Memory(_) | Home::File(_) => Some(self.content.chunk(self.next - 1, self.piece_bytes)),
        }
    }
}

const SMALL_BYTES: usize = 32 * 1024;
/// Median documents are smaller, nine in ten too (J.3).
const USUAL_BYTES: usize = 512 * 1024;
const READ_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_stays_in_memory_large_goes_to_a_file_and_both_read_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let body: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        for memory_bytes_max in [1_000, 100_000] {
            let settings = SpoolSettings { directory: Arc::new(directory.path().to_owned()), memory_bytes_max };
            let mut writer = SpoolWriter::new(settings);
            for piece in body.chunks(777) {
                writer.write(piece).unwrap();
            }
            let mut spooled = writer.finish();
            assert_eq!(spooled.in_memory().is_some(), memory_bytes_max == 100_000);
            assert_eq!(spooled.fingerprint(), Fingerprint::of(&body));
            let mut whole = Vec::new();
            spooled.reader().unwrap().read_to_end(&mut whole).unwrap();
            assert_eq!(whole, body);
            assert_eq!(spooled.chunk(3, 9_999).unwrap(), body[29_997..39_996]);
            assert_eq!(spooled.chunk(4, 9_999).unwrap(), body[39_996..]);
            assert!(spooled.chunk(5, 9_999).unwrap().is_empty());
            let pieces: Vec<_> = spooled.into_pieces(30_000).map(Result::unwrap).collect();
            assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [30_000, 10_000]);
            assert_eq!(pieces.concat(), body);
        }
    }
}
