//! One volume: a block that says whose it is, then documents, each from a block boundary on.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use bytes::Bytes;
use rustix::fs::{FallocateFlags, fallocate};
use uuid::Uuid;

use crate::store::error::Error;

#[derive(Debug)]
pub(super) struct Volume {
    file: File,
    number: u32,
}

/// Of the file systems in use.
pub(super) const BLOCK_BYTES: u64 = 4096;

impl Volume {
    /// Opens a volume to read documents. Errors: absent, or another database's.
    pub(super) fn open(folder: &Path, number: u32, database: Uuid) -> Result<Self, Error> {
        let volume = Self { file: File::open(folder.join(name_of(number)))?, number };
        volume.check_owner(folder, database)?;
        Ok(volume)
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    pub(super) fn read(&self, at: u64, count: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; count];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes.into())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Frees the blocks of a document that nothing names. Where the file system cannot, they stay: dead space.
    pub(super) fn give_back(&self, offset: u64, size_bytes: u64) {
        if size_bytes > 0 {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = fallocate(&self.file, flags, offset, size_bytes.next_multiple_of(BLOCK_BYTES));
        }
    }

    fn check_owner(&self, folder: &Path, database: Uuid) -> Result<(), Error> {
        let header = header_of(database);
        if *self.read(0, header.len())? == header {
            return Ok(());
        }
        let path = folder.join(name_of(self.number));
        Err(Error::Settings(format!("{} holds documents of another database", path.display())))
    }

    /// Takes a volume for this process alone, which may then add to it. `None`: another process has it.
    fn take(folder: &Path, number: u32, database: Uuid) -> Result<Option<Self>, Error> {
        let file = OpenOptions::new().read(true).write(true).open(folder.join(name_of(number)))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let volume = Self { file, number };
        // Made, but not yet named, when its maker stopped: as good as absent.
        if volume.file.metadata()?.len() < BLOCK_BYTES {
            volume.name(folder, database)?;
        }
        volume.check_owner(folder, database)?;
        Ok(Some(volume))
    }

    /// Makes a volume. `None`: another process has just made it.
    fn make(folder: &Path, number: u32, database: Uuid) -> Result<Option<Self>, Error> {
        let path = folder.join(name_of(number));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(_) => Self::take(folder, number, database),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn name(&self, folder: &Path, database: Uuid) -> io::Result<()> {
        let mut block = header_of(database);
        block.resize(usize::try_from(BLOCK_BYTES).unwrap_or(4096), 0);
        self.file.write_all_at(&block, 0)?;
        self.file.sync_all()?;
        File::open(folder)?.sync_all()
    }
}

/// Makes the folder, for its owner alone, when it is absent; tells how many bytes its volumes take.
pub(super) fn make_folder(folder: &Path) -> Result<u64, Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut bytes = 0;
    for (_, length) in list(folder)? {
        bytes += length;
    }
    Ok(bytes)
}

/// A volume that this process alone may add to, and its end: one that is not full yet, or a new one.
pub(super) fn grow_one(folder: &Path, database: Uuid, full_bytes: u64) -> Result<(Volume, u64), Error> {
    let volumes = list(folder)?;
    for (number, length) in &volumes {
        if *length < full_bytes
            && let Some(volume) = Volume::take(folder, *number, database)?
        {
            return with_end(volume);
        }
    }
    let mut number = volumes.last().map_or(1, |(number, _)| number + 1);
    loop {
        if let Some(volume) = Volume::make(folder, number, database)? {
            return with_end(volume);
        }
        number += 1;
    }
}

/// Beyond whatever is there: a document that no row names may end the file.
fn with_end(volume: Volume) -> Result<(Volume, u64), Error> {
    let end = volume.file.metadata()?.len().next_multiple_of(BLOCK_BYTES);
    Ok((volume, end))
}

/// Number and length of each volume, in the order of their numbers.
fn list(folder: &Path) -> Result<Vec<(u32, u64)>, Error> {
    let mut volumes = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if let Some(number) = entry.file_name().to_str().and_then(number_of) {
            volumes.push((number, entry.metadata()?.len()));
        }
    }
    volumes.sort_unstable();
    Ok(volumes)
}

pub(super) fn name_of(number: u32) -> String {
    format!("{number:010}{SUFFIX}")
}

fn number_of(name: &str) -> Option<u32> {
    name.strip_suffix(SUFFIX)?.parse().ok()
}

fn header_of(database: Uuid) -> Vec<u8> {
    format!("carnet volume 1\n{database}\n").into_bytes()
}

const SUFFIX: &str = ".volume";
