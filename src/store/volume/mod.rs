//! Where document bytes live: volumes, large files that only grow, beside the database or in a folder of their own.
//!
//! Inside the database every byte would be written twice, to its log and to its file, and the one writer would do
//! it. Here bytes are written once, by whoever brings them, and are on stable storage before the row that names them
//! is committed: the commit alone decides what exists. What a crash leaves behind it is dead space that nothing
//! names; no byte is ever written over. A volume bears the name of its database, so that no document can be read
//! out of somebody else's.

mod file;
mod group;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use uuid::Uuid;

use self::file::{BLOCK_BYTES, Volume};
use self::group::{Arrival, Group};
use super::error::Error;
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
    used_bytes: AtomicU64,
}

struct Growing {
    volume: Arc<Volume>,
    end: u64,
}

/// Where a document begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    pub(super) volume: u32,
    pub(super) offset: u64,
}

/// Bytes on stable storage that no row names yet. Dropped before it is [kept](Placed::keep), its space is given back.
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
    pub(super) fn open(folder: &Path, database: Uuid) -> Result<Self, Error> {
        let used_bytes = file::make_folder(folder)?;
        let folder = Folder {
            path: folder.to_owned(),
            database,
            growing: Mutex::new(None),
            used_bytes: AtomicU64::new(used_bytes),
        };
        let folder = Arc::new(folder);
        Ok(Self { group: Group::start(Arc::clone(&folder))?, folder })
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

    /// Opens a document. Errors: the volume is not there, or is another database's.
    pub(super) async fn open_document(&self, location: Location) -> Result<OpenDocument, Error> {
        let folder = Arc::clone(&self.folder);
        let opening = tokio::task::spawn_blocking(move || {
            let volume = Volume::open(&folder.path, location.volume, folder.database)?;
            Ok(OpenDocument { volume: Arc::new(volume), offset: location.offset })
        });
        opening.await.map_err(|error| Error::Settings(format!("reader of documents: {error}")))?
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
            let (volume, end) = file::grow_one(&self.path, self.database, VOLUME_BYTES)?;
            Growing { volume: Arc::new(volume), end }
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

impl Placed {
    pub(super) fn location(&self) -> Location {
        Location { volume: self.volume.number(), offset: self.offset }
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
        Volumes::open(folder, database).unwrap()
    }

    async fn read(volumes: &Volumes, location: Location, count: usize) -> Result<Bytes, Error> {
        volumes.open_document(location).await?.read(0, count).await
    }

    #[tokio::test]
    async fn documents_placed_at_one_time_are_read_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let volumes = volumes(folder.path(), Uuid::from_u128(1));
        let documents: Vec<Vec<u8>> = (0..20_u8).map(|n| vec![n; 1_000 * usize::from(n) + 1]).collect();
        let placing = documents.iter().map(|document| volumes.place(Spooled::of(document.clone())));
        for (placed, document) in futures_util::future::join_all(placing).await.into_iter().zip(&documents) {
            let placed = placed.unwrap();
            let location = placed.location();
            placed.keep();
            assert_eq!(read(&volumes, location, document.len()).await.unwrap(), document);
        }
    }

    #[tokio::test]
    async fn what_nobody_kept_gives_its_space_back_and_nothing_is_written_over() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = tempfile::tempdir().unwrap();
        let volumes = volumes(folder.path(), Uuid::from_u128(1));
        let kept = volumes.place(Spooled::of(vec![7; 5_000])).await.unwrap();
        let first = kept.location();
        kept.keep();
        let dropped = volumes.place(Spooled::of(vec![8; 1 << 20])).await.unwrap();
        let second = dropped.location();
        drop(dropped);
        assert_eq!(read(&volumes, second, 3).await.unwrap(), [0; 3][..]);
        assert_eq!(read(&volumes, first, 5_000).await.unwrap(), vec![7; 5_000]);
        let after = volumes.place(Spooled::of("x")).await.unwrap();
        assert!(after.location().offset > second.offset);
        let file = std::fs::metadata(folder.path().join(file::name_of(first.volume))).unwrap();
        assert!(file.blocks() * 512 < 512 * 1024, "{} blocks", file.blocks());
    }

    #[tokio::test]
    async fn a_second_process_adds_to_a_volume_of_its_own_and_a_later_one_goes_on_where_the_first_ended() {
        let folder = tempfile::tempdir().unwrap();
        let first = volumes(folder.path(), Uuid::from_u128(1));
        let one = first.place(Spooled::of("one")).await.unwrap();
        let other = volumes(folder.path(), Uuid::from_u128(1)).place(Spooled::of("other")).await.unwrap();
        assert_ne!(one.location().volume, other.location().volume);
        let (one_at, one_volume) = (one.location(), one.location().volume);
        one.keep();
        drop(first);
        let later = volumes(folder.path(), Uuid::from_u128(1));
        let next = later.place(Spooled::of("next")).await.unwrap();
        assert_eq!(next.location().volume, one_volume);
        assert!(next.location().offset > one_at.offset);
        assert_eq!(read(&later, one_at, 3).await.unwrap(), "one");
    }

    #[tokio::test]
    async fn a_volume_of_another_database_is_neither_read_nor_added_to() {
        let folder = tempfile::tempdir().unwrap();
        let placed = volumes(folder.path(), Uuid::from_u128(1)).place(Spooled::of("theirs")).await.unwrap();
        let location = placed.location();
        placed.keep();
        let stranger = volumes(folder.path(), Uuid::from_u128(2));
        assert!(read(&stranger, location, 6).await.is_err());
        assert!(stranger.place(Spooled::of("ours")).await.is_err());
    }
}
