//! Where document bytes live: volumes, large files that only grow, beside the database or in a folder of their own.
//!
//! Inside the database every byte would be written twice, to its log and to its file, and the one writer would do
//! it. Here bytes are written once, by whoever brings them, and are on stable storage before the row that names them
//! is committed: the commit alone decides what exists. What a crash leaves behind it is dead space that nothing
//! names; no byte is ever written over. A process adds only to volumes that it made, each under a name that no
//! other ever had and that its first block repeats: a volume that is lost or put back from long ago is absent or too
//! short, and never somebody else's.

mod file;
mod group;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use uuid::Uuid;

pub(super) use self::file::Found;
use self::file::{BLOCK_BYTES, Volume};
use self::group::{Arrival, Group};
use super::error::Error;
use crate::clock::new_uuid;
use crate::domain::sha::Fingerprint;
use crate::spool::Spooled;

/// The volumes of one database. Cheap to clone.
#[derive(Clone)]
pub(super) struct Volumes {
    folder: Arc<Folder>,
    group: Group,
}

struct Folder {
    path: PathBuf,
    database: Uuid,
    /// The volume that this process adds to, and where its next document goes.
    growing: Mutex<Option<Growing>>,
    used_bytes: Arc<AtomicU64>,
}

struct Growing {
    volume: Arc<Volume>,
    end: u64,
}

/// The name of a volume, 63 bits long so that a database column holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VolumeId(i64);

/// Where a document lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    pub(super) volume: VolumeId,
    pub(super) offset: u64,
    pub(super) size_bytes: u64,
}

/// Bytes on stable storage that no row names yet. Dropped before it is kept, its space is given back.
#[derive(Debug)]
pub struct Placed {
    volume: Arc<Volume>,
    offset: u64,
    fingerprint: Fingerprint,
    kept: bool,
}

/// A document opened for reading.
#[derive(Debug, Clone)]
pub struct OpenDocument {
    volume: Arc<Volume>,
    offset: u64,
}

impl Volumes {
    /// The volumes of `database` in `folder`, which is made when it is not there.
    pub(super) fn open(folder: &Path, database: Uuid) -> Result<(Self, Found), Error> {
        let found = file::make_folder(folder)?;
        let used_bytes = Arc::new(AtomicU64::new(file::used_bytes(folder)?));
        let folder = Arc::new(Folder { path: folder.to_owned(), database, growing: Mutex::new(None), used_bytes });
        Ok((Self { group: Group::start(Arc::clone(&folder))?, folder }, found))
    }

    /// Writes a document and returns once it is on stable storage, together with whoever placed one meanwhile.
    ///
    /// Errors: `Full` when the disk is; the file system's.
    pub(super) async fn place(&self, content: Spooled) -> Result<Placed, Error> {
        if content.in_memory().is_some() {
            return self.group.join(Arrival::ToWrite(content)).await;
        }
        let folder = Arc::clone(&self.folder);
        let writing = tokio::task::spawn_blocking(move || folder.write(content));
        let placed = writing.await.map_err(|error| Error::Settings(format!("writer of documents: {error}")))??;
        self.group.join(Arrival::Written(placed)).await
    }

    /// Opens a document. Errors: its volume is not there, or not what it was.
    pub(super) async fn open_document(&self, location: Location) -> Result<OpenDocument, Error> {
        let folder = Arc::clone(&self.folder);
        let opening = tokio::task::spawn_blocking(move || {
            let end = location.offset.saturating_add(location.size_bytes);
            let volume = Volume::open(&folder.path, location.volume, folder.database, end)?;
            Ok(OpenDocument { volume: Arc::new(volume), offset: location.offset })
        });
        opening.await.map_err(|error| Error::Settings(format!("reader of documents: {error}")))?
    }

    /// Whether documents can be placed at all.
    pub(super) fn is_alive(&self) -> bool {
        self.group.is_alive()
    }

    /// Of all volumes, as far as this process knows.
    pub(super) fn used_bytes(&self) -> u64 {
        self.folder.used_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder.path
    }
}

impl Folder {
    fn write(&self, content: Spooled) -> Result<Placed, Error> {
        let fingerprint = content.fingerprint();
        let (volume, offset) = self.reserve(fingerprint.size_bytes)?;
        let placed = Placed { volume, offset, fingerprint, kept: false };
        let mut at = offset;
        for piece in content.into_pieces(PIECE_BYTES) {
            let piece = piece?;
            placed.volume.write(&piece, at)?;
            at += piece.len() as u64;
        }
        Ok(placed)
    }

    /// Whole blocks of the file system, so that the space of a document can be given back.
    fn reserve(&self, size_bytes: u64) -> Result<(Arc<Volume>, u64), Error> {
        let mut growing = self.growing();
        let room = if let Some(room) = growing.take().filter(|growing| growing.end < VOLUME_BYTES) {
            room
        } else {
            let volume = Volume::make(&self.path, self.database, Arc::clone(&self.used_bytes))?;
            Growing { volume: Arc::new(volume), end: BLOCK_BYTES }
        };
        let blocks = size_bytes.next_multiple_of(BLOCK_BYTES);
        let (volume, offset) = (Arc::clone(&room.volume), room.end);
        *growing = Some(Growing { end: room.end + blocks, ..room });
        self.used_bytes.fetch_add(blocks, Ordering::Relaxed);
        Ok((volume, offset))
    }

    /// The next document begins in another volume.
    fn leave(&self) {
        *self.growing() = None;
    }

    fn growing(&self) -> MutexGuard<'_, Option<Growing>> {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VolumeId {
    fn new() -> Self {
        // The random half of the UUID, its variant bits aside.
        Self(i64::from_be_bytes(new_uuid().as_u64_pair().1.to_be_bytes()) & i64::MAX)
    }

    pub(super) fn of_column(number: i64) -> Self {
        Self(number)
    }

    pub(super) fn to_column(self) -> i64 {
        self.0
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Placed {
    pub(super) fn location(&self) -> Location {
        Location { volume: self.volume.id(), offset: self.offset, size_bytes: self.fingerprint.size_bytes }
    }

    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// A row that names the document is committed, or may be: the bytes stay.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if !self.kept {
            self.volume.give_back(self.offset, self.fingerprint.size_bytes);
        }
    }
}

impl OpenDocument {
    /// `count` bytes from `start` of the document; the caller stays within its size.
    pub async fn read(&self, start: u64, count: usize) -> Result<Bytes, Error> {
        let Self { volume, offset } = self.clone();
        let reading = tokio::task::spawn_blocking(move || volume.read(offset + start, count));
        Ok(reading.await.map_err(|error| Error::Settings(format!("reader of documents: {error}")))??)
    }
}

/// A volume takes no further document once it is this long.
const VOLUME_BYTES: u64 = 1024 * 1024 * 1024;
const PIECE_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn volumes(folder: &Path, database: Uuid) -> Volumes {
        Volumes::open(folder, database).unwrap().0
    }

    async fn read(volumes: &Volumes, location: Location) -> Result<Bytes, Error> {
        let size = usize::try_from(location.size_bytes).unwrap();
        volumes.open_document(location).await?.read(0, size).await
    }

    async fn keep(volumes: &Volumes, document: impl Into<Bytes>) -> Location {
        let placed = volumes.place(Spooled::of(document.into())).await.unwrap();
        let location = placed.location();
        placed.keep();
        location
    }

    #[tokio::test]
    async fn documents_placed_at_one_time_are_read_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let volumes = volumes(folder.path(), Uuid::from_u128(1));
        let documents: Vec<Vec<u8>> = (0..20_u8).map(|n| vec![n; 1_000 * usize::from(n) + 1]).collect();
        let placing = documents.iter().map(|document| keep(&volumes, document.clone()));
        for (location, document) in futures_util::future::join_all(placing).await.into_iter().zip(&documents) {
            assert_eq!(read(&volumes, location).await.unwrap(), document);
        }
    }

    #[tokio::test]
    async fn what_nobody_kept_gives_its_space_back_and_nothing_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let volumes = volumes(folder.path(), Uuid::from_u128(1));
        let first = keep(&volumes, vec![7; 5_000]).await;
        let used_bytes = volumes.used_bytes();
        let dropped = volumes.place(Spooled::of(vec![8; 1 << 20])).await.unwrap();
        let second = dropped.location();
        drop(dropped);
        assert_eq!(volumes.used_bytes(), used_bytes);
        assert_eq!(read(&volumes, second).await.unwrap(), vec![0; 1 << 20]);
        assert_eq!(read(&volumes, first).await.unwrap(), vec![7; 5_000]);
        assert!(keep(&volumes, "x").await.offset > second.offset);
        let reopened = Volumes::open(folder.path(), Uuid::from_u128(1)).unwrap().0;
        assert!(reopened.used_bytes() < 64 * 1024, "{} bytes", reopened.used_bytes());
    }

    #[tokio::test]
    async fn every_process_adds_to_volumes_of_its_own_and_reads_all() {
        let folder = tempfile::tempdir().unwrap();
        let first = volumes(folder.path(), Uuid::from_u128(1));
        let one = keep(&first, "one").await;
        let other = keep(&volumes(folder.path(), Uuid::from_u128(1)), "other").await;
        drop(first);
        let later = volumes(folder.path(), Uuid::from_u128(1));
        let next = keep(&later, "next").await;
        assert!(one.volume != other.volume && next.volume != one.volume && next.volume != other.volume);
        for (location, document) in [(one, "one"), (other, "other"), (next, "next")] {
            assert_eq!(read(&later, location).await.unwrap(), document);
        }
    }

    #[tokio::test]
    async fn a_volume_that_is_lost_shortened_or_another_databases_gives_no_byte_of_anybody() {
        let folder = tempfile::tempdir().unwrap();
        let ours = volumes(folder.path(), Uuid::from_u128(1));
        let location = keep(&ours, "of patient A").await;
        assert!(read(&volumes(folder.path(), Uuid::from_u128(2)), location).await.is_err());
        let file = file::path_of(folder.path(), location.volume);
        std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(BLOCK_BYTES).unwrap();
        let again = volumes(folder.path(), Uuid::from_u128(1));
        keep(&again, "of patient B").await;
        assert!(read(&again, location).await.is_err());
        std::fs::remove_file(&file).unwrap();
        keep(&volumes(folder.path(), Uuid::from_u128(1)), "of patient B").await;
        assert!(read(&again, location).await.is_err());
    }

    #[tokio::test]
    async fn a_volume_that_was_left_takes_no_further_document() {
        let folder = tempfile::tempdir().unwrap();
        let volumes = volumes(folder.path(), Uuid::from_u128(1));
        let before = keep(&volumes, "before").await;
        volumes.folder.leave();
        let after = keep(&volumes, "after").await;
        assert_ne!(before.volume, after.volume);
        assert_eq!(read(&volumes, before).await.unwrap(), "before");
    }
}
