//! One volume: a block that says which it is and whose, then documents, each from a block boundary on.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use rustix::fs::{FallocateFlags, fallocate};
use uuid::Uuid;

use super::VolumeId;
use crate::store::error::Error;

#[derive(Debug)]
pub(super) struct Volume {
    file: File,
    id: VolumeId,
    /// A sync failed: what the system kept of the bytes is unknown, and it says so only once.
    is_failed: AtomicBool,
    /// Of all volumes: less when space is given back.
    used_bytes: Arc<AtomicU64>,
}

/// Of the file systems in use.
pub(super) const BLOCK_BYTES: u64 = 4096;

impl Volume {
    /// Makes a volume that this process alone adds to.
    pub(super) fn make(folder: &Path, database: Uuid, used_bytes: Arc<AtomicU64>) -> Result<Self, Error> {
        let id = VolumeId::new();
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path_of(folder, id))?;
        file.write_all_at(&header_of(database, id), 0)?;
        file.sync_all()?;
        File::open(folder)?.sync_all()?;
        used_bytes.fetch_add(BLOCK_BYTES, Ordering::Relaxed);
        Ok(Self { file, id, is_failed: AtomicBool::new(false), used_bytes })
    }

    /// Opens a volume to read what lies before `end`. Errors: absent, shorter, or another than it should be.
    pub(super) fn open(folder: &Path, id: VolumeId, database: Uuid, end: u64) -> Result<Self, Error> {
        let path = path_of(folder, id);
        let damaged = |problem: &str| Error::Settings(format!("{}: {problem}", path.display()));
        let file = File::open(&path).map_err(|error| damaged(&error.to_string()))?;
        let volume = Self { file, id, is_failed: AtomicBool::new(false), used_bytes: Arc::default() };
        if volume.file.metadata()?.len() < end {
            return Err(damaged("shorter than it was"));
        }
        let header = header_of(database, id);
        if *volume.read(0, header.len())? != header {
            return Err(damaged("not the volume of that name, or another database's"));
        }
        Ok(volume)
    }

    pub(super) fn id(&self) -> VolumeId {
        self.id
    }

    pub(super) fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    pub(super) fn read(&self, at: u64, count: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; count];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes.into())
    }

    /// Errors: also when an earlier one failed.
    pub(super) fn sync(&self) -> io::Result<()> {
        if self.is_failed.load(Ordering::Acquire) {
            return Err(io::Error::other("an earlier sync of this volume failed"));
        }
        self.file.sync_data().inspect_err(|_| self.is_failed.store(true, Ordering::Release))
    }

    /// Frees the blocks of a document that nothing names. Where the file system cannot, they stay: dead space.
    pub(super) fn give_back(&self, offset: u64, size_bytes: u64) {
        let blocks = size_bytes.next_multiple_of(BLOCK_BYTES);
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if blocks > 0 && fallocate(&self.file, flags, offset, blocks).is_ok() {
            self.used_bytes.fetch_sub(blocks, Ordering::Relaxed);
        }
    }
}

/// Whether the folder was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Found {
    Folder,
    /// It was made just now, for its owner alone.
    Nothing,
}

pub(super) fn make_folder(folder: &Path) -> Result<Found, Error> {
    if folder.is_dir() {
        return Ok(Found::Folder);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent)?.sync_all()?;
    }
    Ok(Found::Nothing)
}

/// What the volumes of a folder take on the disk.
pub(super) fn used_bytes(folder: &Path) -> Result<u64, Error> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().ends_with(SUFFIX.as_bytes()) {
            bytes += entry.metadata()?.blocks() * BYTES_OF_A_COUNTED_BLOCK;
        }
    }
    Ok(bytes)
}

pub(super) fn path_of(folder: &Path, id: VolumeId) -> std::path::PathBuf {
    folder.join(format!("{id}{SUFFIX}"))
}

fn header_of(database: Uuid, id: VolumeId) -> Vec<u8> {
    let mut block = format!("carnet volume 1\n{id}\n{database}\n").into_bytes();
    block.resize(usize::try_from(BLOCK_BYTES).unwrap_or(block.len()), 0);
    block
}

const SUFFIX: &str = ".volume";
/// `st_blocks` counts in these, whatever the file system.
const BYTES_OF_A_COUNTED_BLOCK: u64 = 512;
