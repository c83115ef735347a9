//! Opens the database, brings its schema up to date, and hands out transactions by name.

use std::borrow::Cow;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use metrics::histogram;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqlStr};
use uuid::Uuid;

use super::checkpoint::Checkpoint;
use super::error::Error;
use super::executor::Tx;
use super::group_commit::{GroupCommit, Weight};
use super::journal::heads::find_current;
use super::journal::key::HeadKey;
use super::journal::sealer::Sealer;
use super::volume::{Found, Location, OpenDocument, Placed, Volumes};
use crate::spool::Spooled;

/// The embedded database: one writer that shares syncs, a pool of readers.
#[derive(Clone)]
pub struct Store {
    writer: GroupCommit,
    readers: SqlitePool,
    volumes: Volumes,
    identity: Uuid,
    file: PathBuf,
    room: Room,
    /// Bytes that deposits under way may yet write.
    reserved: Arc<AtomicU64>,
}

/// How much room deposits may use.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Of the database file and the documents together; 0 for no limit but the disk.
    pub bytes_max: u64,
    /// Left free on the disk for the journal, so that reads go on when deposits no longer fit.
    pub free_bytes_min: u64,
}

/// What this process does with the journal.
#[derive(Debug, Clone)]
pub enum Journaling {
    /// Adds to it, with the key in this file, which is made when the journal begins.
    Continued { key: PathBuf },
    /// Reads it, without a key: every write that has a line fails.
    Read,
}

impl Store {
    /// Opens the SQLite file and the folder of documents (made when absent) and migrates the schema. Refuses one
    /// newer than this program, and a journal that another key signed.
    pub async fn open_sqlite(file: &Path, documents: &Path, room: Room, journaling: Journaling) -> Result<Self, Error> {
        make_private(file)?;
        let options = sqlite_options(file);
        let mut connection = options.connect().await.map_err(|error| Error::driver("open database", error))?;
        migrator().run_direct(None, &mut connection, false).await?;
        let identity = identity(&mut connection).await?;
        let (volumes, found) = Volumes::open(documents, identity)?;
        if found == Found::Nothing && names_documents(&mut connection).await? {
            let _ = std::fs::remove_dir(documents);
            let problem = "store.documents: this folder was not there, and the database names documents in it";
            return Err(Error::Settings(format!("{problem}: {}", documents.display())));
        }
        let sealer = open_journal(&mut connection, identity, journaling).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .min_connections(1)
            .acquire_timeout(READER_WAIT)
            .connect_with(options.read_only(true))
            .await
            .map_err(|error| Error::driver("open readers", error))?;
        let copier = sqlite_options(file).connect().await.map_err(|error| Error::driver("open copier", error))?;
        Ok(Self {
            writer: GroupCommit::start(connection, Checkpoint::start(copier), sealer)?,
            readers,
            volumes,
            identity,
            file: file.to_owned(),
            room,
            reserved: Arc::default(),
        })
    }

    /// Runs a named write; returns once it is on stable storage, together with whoever wrote meanwhile.
    pub async fn write<T, F>(&self, name: &'static str, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    {
        self.write_as(Weight::Whole, name, job).await
    }

    /// The same of a write that adds a line to the journal and little else: it waits a moment for others of its kind, if
    /// there are any, for one sync serves all of them.
    pub async fn write_line<T, F>(&self, name: &'static str, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    {
        self.write_as(Weight::Line, name, job).await
    }

    async fn write_as<T, F>(&self, weight: Weight, name: &'static str, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    {
        let start = Instant::now();
        let outcome = self.writer.write(weight, job).await;
        histogram!("carnet_store_write_seconds", "operation" => name).record(start.elapsed());
        outcome
    }

    /// Runs named reads in one snapshot.
    pub async fn read<T, F>(&self, name: &'static str, job: F) -> Result<T, Error>
    where
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, Error>> + Send,
    {
        let start = Instant::now();
        let mut connection = self.readers.acquire().await.map_err(acquire_error)?;
        let mut snapshot = connection.begin().await.map_err(|error| Error::driver("begin read", error))?;
        let mut tx = Tx::snapshot(&mut snapshot);
        let outcome = job(&mut tx).await;
        histogram!("carnet_store_read_trips", "operation" => name).record(tx.trips());
        // A read has nothing to commit; ending it lets go of the snapshot.
        let _ = snapshot.rollback().await;
        histogram!("carnet_store_read_seconds", "operation" => name).record(start.elapsed());
        outcome
    }

    /// The name that the database gave itself when it was made.
    pub fn identity(&self) -> Uuid {
        self.identity
    }

    /// Puts the bytes of a document on stable storage, for a write that will name them.
    ///
    /// Errors: `Full`; what the disk says.
    pub async fn place(&self, content: Spooled) -> Result<Placed, Error> {
        self.volumes.place(content).await
    }

    /// Opens a document that a permit has shown.
    pub async fn open_document(&self, location: Location) -> Result<OpenDocument, Error> {
        self.volumes.open_document(location).await
    }

    /// Keeps room for a deposit of `bytes` until the reservation is dropped.
    ///
    /// Errors: `Full` when it would eat, with those under way, the room that the journal keeps.
    pub fn reserve_room(&self, bytes: u64) -> Result<Reservation, Error> {
        let wanted = bytes.saturating_add(METADATA_BYTES);
        let reservation = Reservation { reserved: Arc::clone(&self.reserved), bytes: wanted };
        let under_way = self.reserved.fetch_add(wanted, Ordering::Relaxed).saturating_add(wanted);
        let used = std::fs::metadata(&self.file)?.len().saturating_add(self.volumes.used_bytes());
        if self.room.bytes_max > 0 && used.saturating_add(under_way) > self.room.bytes_max {
            return Err(Error::Full);
        }
        // The two may be on different disks, and each keeps its reserve.
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        for folder in [folder, self.volumes.folder()] {
            let disk = rustix::fs::statvfs(folder).map_err(std::io::Error::from)?;
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            if free < self.room.free_bytes_min.saturating_add(under_way) {
                return Err(Error::Full);
            }
        }
        Ok(reservation)
    }

    /// Whether writes get through, to the database and to its documents: what readiness means.
    pub async fn probe(&self) -> Result<(), Error> {
        self.write("probe", |_| Box::pin(async { Ok(()) })).await?;
        if self.volumes.is_alive() { Ok(()) } else { Err(Error::Stopped) }
    }
}

/// Room that a deposit under way may use. Given back when dropped.
pub struct Reservation {
    reserved: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.reserved.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Health data: a new file is for the gateway's own account alone. SQLite gives its log the rights of the file.
fn make_private(file: &Path) -> Result<(), Error> {
    let made = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(file);
    made.map(drop).map_err(|error| Error::Settings(format!("{}: {error}", file.display())))
}

/// The name that the database gave itself when it was made; its volumes bear it.
async fn identity(connection: &mut SqliteConnection) -> Result<Uuid, Error> {
    let row = sqlx::query("SELECT identity FROM store").fetch_one(connection).await;
    let text: String = row.and_then(|row| row.try_get(0)).map_err(|error| Error::driver("store identity", error))?;
    text.parse().map_err(|error| Error::inconsistent("store", error))
}

async fn open_journal(
    connection: &mut SqliteConnection,
    identity: Uuid,
    journaling: Journaling,
) -> Result<Sealer, Error> {
    let head = find_current(&mut Tx::snapshot(connection)).await?;
    let key = match journaling {
        Journaling::Continued { key } => Some(HeadKey::open(&key, identity, head.as_ref())?),
        Journaling::Read => None,
    };
    Ok(Sealer::new(identity, key, head))
}

async fn names_documents(connection: &mut SqliteConnection) -> Result<bool, Error> {
    let row = sqlx::query("SELECT EXISTS (SELECT 1 FROM document_entry)").fetch_one(connection).await;
    let any: i64 = row.and_then(|row| row.try_get(0)).map_err(|error| Error::driver("document_entry", error))?;
    Ok(any == 1)
}

/// What a deposit writes beside its documents, twice: to the write-ahead log and to the file.
const METADATA_BYTES: u64 = 64 * 1024;
const READERS: u32 = 4;
const READER_WAIT: Duration = Duration::from_secs(5);
/// How long a statement waits for another process (an operator's command) to finish its write.
const BUSY_WAIT: Duration = Duration::from_secs(2);

fn sqlite_options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_WAIT)
        // `checkpoint` does it, beside the writer.
        .pragma("wal_autocheckpoint", "0")
        .pragma("journal_size_limit", WAL_LEFT_BYTES)
        .pragma("cache_size", CACHE_KIB)
        // One trip, one text: as many as there are shapes of usual deposits.
        .statement_cache_capacity(STATEMENTS_KEPT)
        .disable_statement_logging()
}

const STATEMENTS_KEPT: usize = 256;
const PAGE_BYTES: u32 = 4096;
const WAL_LEFT_BYTES: &str = "67108864";
/// Negative: KiB. Holds a usual batch of deposits; the page cache of the system does the rest.
const CACHE_KIB: &str = "-8192";

fn migrator() -> Migrator {
    const MIGRATIONS: [(i64, &str, &str); 6] = [
        (1, "dossier", include_str!("migrations/sqlite/0001_dossier.sql")),
        (2, "document", include_str!("migrations/sqlite/0002_document.sql")),
        (3, "journal", include_str!("migrations/sqlite/0003_journal.sql")),
        (4, "assertion", include_str!("migrations/sqlite/0004_assertion.sql")),
        (5, "outbox", include_str!("migrations/sqlite/0005_outbox.sql")),
        (6, "syslog", include_str!("migrations/sqlite/0006_syslog.sql")),
    ];
    let migrations = MIGRATIONS.map(|(version, name, text)| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, SqlStr::from_static(text), false)
    });
    Migrator::with_migrations(migrations.into())
}

fn acquire_error(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::PoolTimedOut => Error::Busy,
        other => Error::driver("acquire reader", other),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_new_database_and_its_log_are_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let _store = Store::open_sqlite(
            &folder.path().join("carnet.db"),
            &folder.path().join("d"),
            Room { bytes_max: 0, free_bytes_min: 0 },
            Journaling::Read,
        )
        .await
        .unwrap();
        for file in ["carnet.db", "carnet.db-wal"] {
            let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }
}
