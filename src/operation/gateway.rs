//! The one object that faces talk to. Its operations are in the files beside this one.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::config::Config;
use crate::domain::value_set::Terminology;
use crate::identity::replay::AssertionMemory;
use crate::limits::turnstile::Turnstile;
use crate::refusal::Fault;
use crate::spool::SpoolSettings;
use crate::store::Store;
use crate::store::connect::Room;
use crate::store::replay::SharedMemory;

/// Everything an operation needs. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    pub config: Arc<Config>,
    pub terminology: Arc<Terminology>,
    pub clock: Clock,
    pub spool: SpoolSettings,
    /// One for all faces: a caller has its share of the gateway, not of each of them.
    pub turnstile: Arc<Turnstile>,
    pub(super) store: Store,
    /// Documents being parsed at one time: the parser may hold the largest text of each in memory.
    pub(super) readers: Arc<Semaphore>,
    /// Deposits whose bytes are held for the writer: a caller who hangs up frees no place that is still used.
    pub(super) writers: Arc<Semaphore>,
}

impl Gateway {
    /// Opens the store that `config` names and checks the tables of the standard.
    pub async fn open(config: Arc<Config>, clock: Clock) -> Result<Self, Fault> {
        let terminology = Terminology::load().map_err(|error| Fault::new("tables of the standard", error))?;
        let file = config.sqlite_path().ok_or_else(|| Fault::new("store.database", "not an SQLite address"))?;
        let room = Room { bytes_max: config.store.bytes_max, free_bytes_min: config.store.free_bytes_min };
        let store = Store::open_sqlite(file, &config.documents_path(), room)
            .await
            .map_err(|error| Fault::new("open the database", error))?;
        // Beside the database: the same disk holds both, so that one figure tells how much room is left.
        let directory = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => std::path::PathBuf::from("."),
        };
        let spool =
            SpoolSettings { directory: Arc::new(directory), memory_bytes_max: config.limits.document_memory_bytes_max };
        let readers = Arc::new(Semaphore::new(READERS));
        let writers = Arc::new(Semaphore::new(config.limits.deposits_in_flight_max.min(Semaphore::MAX_PERMITS)));
        let turnstile = Arc::new(Turnstile::new(&config.limits));
        Ok(Self { config, terminology: Arc::new(terminology), clock, spool, turnstile, store, readers, writers })
    }

    /// The assertions that any gateway on this database was shown.
    pub fn assertion_memory(&self) -> Arc<dyn AssertionMemory> {
        Arc::new(SharedMemory::new(self.store.clone()))
    }

    /// Whether deposits and journal lines get through to the disk.
    pub async fn is_ready(&self) -> bool {
        self.store.probe().await.is_ok()
    }
}

const READERS: usize = 4;
