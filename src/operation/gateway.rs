//! The one object that faces talk to. Its operations are in the files beside this one.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::access::matrices::Matrices;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::value_set::Terminology;
use crate::identity::finess::FinessTable;
use crate::identity::replay::AssertionMemory;
use crate::identity::structures::Structures;
use crate::limits::turnstile::Turnstile;
use crate::refusal::Fault;
use crate::spool::SpoolSettings;
use crate::store::Store;
use crate::store::connect::{Journaling, Room};
use crate::store::replay::SharedMemory;

/// Everything an operation needs. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    pub config: Arc<Config>,
    pub terminology: Arc<Terminology>,
    /// The rights and the habilitation that decide with the patient's list.
    pub matrices: Arc<Matrices>,
    pub clock: Clock,
    pub spool: SpoolSettings,
    /// One for all faces: a caller has its share of the gateway, not of each of them.
    pub turnstile: Arc<Turnstile>,
    pub structures: Structures,
    pub(super) store: Store,
    /// Documents being parsed at one time: the parser may hold the largest text of each in memory.
    pub(super) readers: Arc<Semaphore>,
    /// Deposits whose bytes are held for the writer: a caller who hangs up frees no place that is still used.
    pub(super) writers: Arc<Semaphore>,
}

impl Gateway {
    /// Opens the store that `config` names and checks the tables of the standard.
    pub async fn open(config: Arc<Config>, clock: Clock) -> Result<Self, Fault> {
        let journaling = Journaling::Continued { key: config.journal_key_path() };
        Self::open_with(config, clock, journaling).await
    }

    /// The same for who only reads the journal, perhaps of a copy, and without its key: nothing can be written.
    pub async fn open_to_audit(config: Arc<Config>, clock: Clock) -> Result<Self, Fault> {
        Self::open_with(config, clock, Journaling::Read).await
    }

    async fn open_with(config: Arc<Config>, clock: Clock, journaling: Journaling) -> Result<Self, Fault> {
        let finess = FinessTable::load(&config.dmp.finess_table);
        let finess = finess.map_err(|error| Fault::new("dmp.finess_table", error))?;
        let structures = Structures::new(config.dmp.structure_classes.clone(), finess);
        let terminology = Terminology::load().map_err(|error| Fault::new("tables of the standard", error))?;
        let matrices = Arc::new(load_matrices(&config, &terminology)?);
        let file = config.sqlite_path().ok_or_else(|| Fault::new("store.database", "not an SQLite address"))?;
        let room = Room { bytes_max: config.store.bytes_max, free_bytes_min: config.store.free_bytes_min };
        let store = Store::open_sqlite(file, &config.documents_path(), room, journaling)
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
        let terminology = Arc::new(terminology);
        Ok(Self { config, terminology, matrices, clock, spool, turnstile, structures, store, readers, writers })
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

/// The matrices that are compiled in, or with the operator's habilitation matrix where there is one.
fn load_matrices(config: &Config, terminology: &Terminology) -> Result<Matrices, Fault> {
    let file = &config.dmp.habilitation_matrix;
    let fault = |error: Box<dyn std::error::Error + Send + Sync>| Fault::new("dmp.habilitation_matrix", error);
    if file.as_os_str().is_empty() {
        return Matrices::load(terminology).map_err(|error| Fault::new("tables of the standard", error));
    }
    let text = std::fs::read_to_string(file).map_err(|error| fault(error.into()))?;
    Matrices::load_with(&file.display().to_string(), &text, terminology).map_err(|error| fault(error.into()))
}

const READERS: usize = 4;
