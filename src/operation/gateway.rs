//! The one object that faces talk to. Its operations are in the files beside this one.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::access::matrices::Matrices;
use crate::clock::Clock;
use crate::config::{Config, InsDomain};
use crate::domain::value_set::Terminology;
use crate::identity::finess::FinessTable;
use crate::identity::replay::AssertionMemory;
use crate::identity::structures::Structures;
use crate::limits::turnstile::Turnstile;
use crate::notice::Bell;
use crate::notice::sender::Sender;
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
    /// Rung when a notice was written.
    pub(super) bell: Bell,
    /// Documents being parsed at one time: the parser may hold the largest text of each in memory.
    pub(super) readers: Arc<Semaphore>,
    /// Deposits whose bytes are held for the writer: a caller who hangs up frees no place that is still used.
    pub(super) writers: Arc<Semaphore>,
    pub(super) read_lines: ReadLines,
}

/// Whether a read leaves its line in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadLines {
    Written,
    /// To measure what a line costs: see [`Gateway::open_unjournaled`].
    LeftOut,
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

    /// A gateway whose reads leave no line, so that `carnet bench` can tell what lines cost. It never holds anybody's
    /// record: the database must be new, and the INS of the test authority are the only ones it takes.
    pub(crate) async fn open_unjournaled(config: Arc<Config>, clock: Clock) -> Result<Self, Fault> {
        let is_new = config.sqlite_path().is_some_and(|file| !file.exists());
        if !is_new || config.dmp.ins_domains != [InsDomain::Test] {
            let problem = "only on a new database, and with `test` alone in dmp.ins_domains";
            return Err(Fault::new("a gateway whose reads are not journaled", problem));
        }
        let gateway = Self::open(config, clock).await?;
        Ok(Self { read_lines: ReadLines::LeftOut, ..gateway })
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
        Ok(Self {
            config,
            terminology: Arc::new(terminology),
            matrices,
            clock,
            spool,
            turnstile,
            structures,
            store,
            bell: Bell::default(),
            readers,
            writers,
            read_lines: ReadLines::Written,
        })
    }

    /// The assertions that any gateway on this database was shown.
    pub fn assertion_memory(&self) -> Arc<dyn AssertionMemory> {
        Arc::new(SharedMemory::new(self.store.clone()))
    }

    /// Who empties the outbox, and what wakes them.
    pub fn notice_sender(&self) -> Result<(Sender, Bell), Fault> {
        let sender = Sender::new(self.store.clone(), self.clock.clone(), &self.config.mail)?;
        Ok((sender, self.bell.clone()))
    }

    /// Whether deposits and journal lines get through to the disk.
    pub async fn is_ready(&self) -> bool {
        self.store.probe().await.is_ok()
    }
}

/// The matrices that are compiled in, or with the operator's habilitation matrix where there is one.
fn load_matrices(config: &Config, terminology: &Terminology) -> Result<Matrices, Fault> {
    let matrices = read_matrices(config, terminology)?;
    Ok(Matrices { block_in_emergencies: config.dmp.block_in_emergencies, ..matrices })
}

fn read_matrices(config: &Config, terminology: &Terminology) -> Result<Matrices, Fault> {
    let file = &config.dmp.habilitation_matrix;
    let fault = |error: Box<dyn std::error::Error + Send + Sync>| Fault::new("dmp.habilitation_matrix", error);
    if file.as_os_str().is_empty() {
        return Matrices::load(terminology).map_err(|error| Fault::new("tables of the standard", error));
    }
    let text = std::fs::read_to_string(file).map_err(|error| fault(error.into()))?;
    Matrices::load_with(&file.display().to_string(), &text, terminology).map_err(|error| fault(error.into()))
}

const READERS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::consent::{ConsentKind, Grantee};
    use crate::identity::caller::Caller;
    use crate::operation::outcome::{ConsentProvision, ConsentRequest, ConsentState};

    fn config(folder: &std::path::Path, domain: InsDomain) -> Arc<Config> {
        let mut config = Config::default();
        config.store.database = format!("sqlite:{}", folder.join("carnet.db").display());
        config.dmp.ins_domains = vec![domain];
        Arc::new(config)
    }

    #[tokio::test]
    async fn without_lines_of_reads_there_are_still_those_of_writes() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), InsDomain::Test);
        let gateway = Gateway::open_unjournaled(Arc::clone(&config), Clock::System).await.unwrap();
        let patient: crate::domain::ins::Ins = "1.2.250.1.213.1.4.10|279035121518989".parse().unwrap();
        gateway.open_dossier(&patient).await.unwrap();
        let authorisation = ConsentRequest {
            patient: patient.clone(),
            id: None,
            provision: ConsentProvision::List(ConsentKind::Authorisation(Grantee::Professional(
                "899700218896".parse().unwrap(),
            ))),
            state: ConsentState::Active,
            since: None,
            until: None,
        };
        gateway.set_consent(&Caller::Operator, authorisation).await.unwrap();
        let lines = gateway.verify_journal().await.unwrap();
        gateway.list_consents(&Caller::Operator, &patient).await.unwrap();
        assert_eq!(gateway.verify_journal().await.unwrap(), lines);
        let usual = Gateway::open(config, Clock::System).await.unwrap();
        usual.list_consents(&Caller::Operator, &patient).await.unwrap();
        assert_ne!(usual.verify_journal().await.unwrap(), lines);
    }

    #[tokio::test]
    async fn a_database_that_is_there_and_patients_who_live_have_their_lines() {
        let folder = tempfile::tempdir().unwrap();
        for domain in [InsDomain::Production, InsDomain::Demo] {
            let refused = Gateway::open_unjournaled(config(folder.path(), domain), Clock::System).await;
            assert!(refused.is_err() && !folder.path().join("carnet.db").exists());
        }
        let config = config(folder.path(), InsDomain::Test);
        drop(Gateway::open(Arc::clone(&config), Clock::System).await.unwrap());
        assert!(Gateway::open_unjournaled(config, Clock::System).await.is_err());
    }
}
