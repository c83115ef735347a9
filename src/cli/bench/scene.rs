//! A throw-away installation: a folder with a development PKI, a configuration, opened records and, when asked,
//! a gateway and a limit server as child processes. The folder goes when this value goes.

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::child::{Child, Ready};
use super::traffic::Target;
use crate::cli::client::{Client, Identity};
use crate::clock::Clock;
use crate::config::{Config, Limits};
use crate::domain::consent::{ConsentKind, Grantee};
use crate::domain::ins::{Ins, InsAuthority};
use crate::domain::national_id::{PsIdNat, StructIdNat};
use crate::identity::caller::Caller;
use crate::operation::gateway::Gateway;
use crate::operation::outcome::{ConsentProvision, ConsentRequest, ConsentState};
use crate::tls::development_pki::{DevelopmentPki, Holder, KeyUse};

pub(super) struct Scene {
    directory: TempDir,
    /// Deposits.
    hospital: Credentials,
    /// Consults: every record authorises them.
    doctor: Credentials,
    /// Signs assertions of the hospital.
    signer: Credentials,
}

/// Whom a client trusts and what it shows of itself, in PEM.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) ca: String,
    pub(super) chain: String,
    pub(super) key: String,
}

/// A child process and how to reach it. It ends with this value.
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) target: Target,
}

/// Lengths of what a limit server gives for reads: those of the gateway it is compared with.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Answers {
    pub(super) document_bytes: usize,
    pub(super) search_bytes: usize,
}

impl Credentials {
    pub(super) fn identity(&self) -> Identity<'_> {
        Identity::Certificate { chain_pem: &self.chain, key_pem: &self.key }
    }

    pub(super) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(&self.ca, self.identity())?)
    }
}

impl Scene {
    /// Makes the folder in `parent`, and the PKI in it.
    pub(super) fn make(parent: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("carnet-bench-").tempdir_in(parent)?;
        let pki = DevelopmentPki::create(&directory.path().join(PKI_FOLDER), Clock::System)?;
        let ca = std::fs::read_to_string(pki.directory().join("server-ca.pem"))?;
        let issue = |holder: &Holder, key_use: KeyUse| -> anyhow::Result<Credentials> {
            let issued = pki.issue(holder, key_use, pki.usual_lifetime())?;
            Ok(Credentials { ca: ca.clone(), chain: issued.certificate_pem, key: issued.key_pem })
        };
        let hospital = Holder::Organisation {
            struct_id: Self::structure()?,
            name: "CHU DE CHARGE".to_owned(),
            application: "CARNET BENCH".to_owned(),
        };
        let doctor = Holder::Professional {
            ps_id: doctor_id()?,
            family: "LECTEUR".to_owned(),
            given: "Camille".to_owned(),
            profession: 10,
            savoir_faire: vec!["SM26".to_owned()],
        };
        Ok(Self {
            hospital: issue(&hospital, KeyUse::Auth)?,
            doctor: issue(&doctor, KeyUse::Auth)?,
            signer: issue(&hospital, KeyUse::Sign)?,
            directory,
        })
    }

    /// The structure that deposits and signs.
    pub(super) fn structure() -> anyhow::Result<StructIdNat> {
        Ok(HOSPITAL_ID.parse()?)
    }

    pub(super) fn signer(&self) -> &Credentials {
        &self.signer
    }

    /// What a gateway here would be configured with.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(Config::load(Some(&self.write_configuration(nowhere, nowhere, 1)?), std::iter::empty())?)
    }

    fn write_configuration(
        &self,
        professionals: SocketAddr,
        operators: SocketAddr,
        clients: usize,
    ) -> anyhow::Result<PathBuf> {
        let file = self.path("carnet.toml");
        std::fs::write(&file, configuration(professionals, operators, clients))?;
        Ok(file)
    }

    pub(super) fn reader(&self) -> Credentials {
        self.doctor.clone()
    }

    /// The records of one group: deposits, searches and retrievals of a mixed load each have their own.
    pub(super) fn records(group: usize) -> Vec<Ins> {
        (group * GROUP_RECORDS..(group + 1) * GROUP_RECORDS).filter_map(test_ins).collect()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn pki_directory(&self) -> PathBuf {
        self.path(PKI_FOLDER)
    }

    pub(super) fn target(&self, address: SocketAddr) -> anyhow::Result<Target> {
        Ok(Target {
            fhir_url: format!("https://{address}/fhir"),
            depositor: self.hospital.client()?,
            reader: self.doctor.client()?,
        })
    }

    /// Opens the records and starts `carnet serve` on them.
    pub(super) async fn start_gateway(&self, clients: usize) -> anyhow::Result<Running> {
        let [professionals, operators] = free_addresses()?;
        let file = self.write_configuration(professionals, operators, clients)?;
        self.open_records(&file).await?;
        let arguments = [OsStr::new("serve"), OsStr::new("--config"), file.as_os_str()];
        let child = Child::start(&arguments, &self.path("gateway.log"), Ready::Health(operators)).await?;
        Ok(Running { child, target: self.target(professionals)? })
    }

    /// Starts the bare server with the same keys.
    pub(super) async fn start_limit(&self, answers: Answers) -> anyhow::Result<Running> {
        let [address, _] = free_addresses()?;
        let (listen, pki, file) = (address.to_string(), self.pki_directory(), self.path("limit.dat"));
        let [document_bytes, search_bytes] = [answers.document_bytes, answers.search_bytes].map(|n| n.to_string());
        let arguments = [
            OsStr::new("bench"),
            OsStr::new("limit-server"),
            OsStr::new("--listen"),
            OsStr::new(&listen),
            OsStr::new("--pki"),
            pki.as_os_str(),
            OsStr::new("--file"),
            file.as_os_str(),
            OsStr::new("--document-bytes"),
            OsStr::new(&document_bytes),
            OsStr::new("--search-bytes"),
            OsStr::new(&search_bytes),
        ];
        let child = Child::start(&arguments, &self.path("limit.log"), Ready::Accepts(address)).await?;
        Ok(Running { child, target: self.target(address)? })
    }

    async fn open_records(&self, file: &Path) -> anyhow::Result<()> {
        let config = Config::load(Some(file), std::iter::empty())?;
        let gateway = Gateway::open(Arc::new(config), Clock::System).await?;
        let doctor = ConsentKind::Authorisation(Grantee::Professional(doctor_id()?));
        for patient in (0..GROUPS).flat_map(Self::records) {
            gateway.open_dossier(&patient).await.context("open a record")?;
            let authorisation = ConsentRequest {
                patient,
                id: None,
                provision: ConsentProvision::List(doctor.clone()),
                state: ConsentState::Active,
                since: None,
                until: None,
            };
            gateway.set_consent(&Caller::Operator, authorisation).await.context("authorise a professional")?;
        }
        Ok(())
    }
}

/// Whether what is written into a folder stays in memory: a sync costs nothing there.
pub(super) fn is_in_memory(folder: &Path) -> bool {
    rustix::fs::statfs(folder).is_ok_and(|about| about.f_type == TMPFS_MAGIC)
}

fn configuration(professionals: SocketAddr, operators: SocketAddr, clients: usize) -> String {
    let Limits { connections_max, deposits_in_flight_max, reads_in_flight_max, .. } = Limits::default();
    // All clients may show one certificate, and what is measured is the gateway, not its limits.
    let connections_max = connections_max.max(clients * 2 + 16);
    let (deposits_max, reads_max) = (deposits_in_flight_max.max(clients), reads_in_flight_max.max(clients));
    format!(
        r#"[listen]
professionals = "{professionals}"
operators = "{operators}"
public_url = "https://{professionals}"

[tls]
allow_development_roots = true

[dmp]
ins_domains = ["test"]

[limits]
connections_max = {connections_max}
connections_per_certificate_max = {connections_max}
connections_per_structure_max = {connections_max}
deposits_in_flight_max = {deposits_max}
deposits_in_flight_per_certificate_max = {deposits_max}
deposits_in_flight_per_structure_max = {deposits_max}
reads_in_flight_max = {reads_max}
reads_in_flight_per_certificate_max = {reads_max}
reads_in_flight_per_structure_max = {reads_max}
requests_per_second_per_certificate = {RATE_MAX}
requests_per_second_per_structure = {RATE_MAX}
body_bytes_in_flight_per_certificate_max = {BYTES_MAX}
body_bytes_in_flight_per_structure_max = {BYTES_MAX}

[log]
filter = "warn"
"#
    )
}

/// Addresses where nobody listens: found by listening there a moment ago.
fn free_addresses() -> anyhow::Result<[SocketAddr; 2]> {
    let listeners = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    let [first, second] = &listeners;
    let addresses = [first.local_addr()?, second.local_addr()?];
    ensure!(addresses[0] != addresses[1], "two listeners on one port");
    Ok(addresses)
}

fn doctor_id() -> anyhow::Result<PsIdNat> {
    Ok(DOCTOR_ID.parse()?)
}

/// A matricule of the test authority, key included.
fn test_ins(number: usize) -> Option<Ins> {
    let body = format!("2790351215{:03}", number % 1_000);
    let key = 97 - body.parse::<u64>().ok()? % 97;
    Ins::parse(&format!("{body}{key:02}"), InsAuthority::NirTest.oid()).ok()
}

/// More than any load reaches.
const RATE_MAX: u32 = 1_000_000;
const BYTES_MAX: u64 = 1 << 40;
const PKI_FOLDER: &str = "certs";
/// The author of the specimens that are deposited: a structure deposits in its own name.
const HOSPITAL_ID: &str = "1350000899";
const DOCTOR_ID: &str = "899700218896";

/// Deposits, searches, retrievals.
pub(super) const GROUPS: usize = 3;
const GROUP_RECORDS: usize = 8;

const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scene_has_records_that_the_gateway_opens_and_is_gone_afterwards() {
        let scene = Scene::make(&std::env::temp_dir()).unwrap();
        let file = scene.path("carnet.toml");
        let [professionals, operators] = free_addresses().unwrap();
        std::fs::write(&file, configuration(professionals, operators, 100)).unwrap();
        scene.open_records(&file).await.unwrap();
        let folder = scene.directory.path().to_owned();
        assert!(folder.join("carnet.db").exists());
        drop(scene);
        assert!(!folder.exists());
    }

    #[test]
    fn a_configuration_admits_as_many_clients_as_the_load_has() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("carnet.toml");
        let [professionals, operators] = free_addresses().unwrap();
        std::fs::write(&file, configuration(professionals, operators, 600)).unwrap();
        let config = Config::load(Some(&file), std::iter::empty()).unwrap();
        assert_eq!(config.listen.professionals, professionals);
        assert!(config.limits.deposits_in_flight_max >= 600 && config.limits.connections_max >= 1_200);
    }

    #[test]
    fn every_record_has_an_ins_of_its_own() {
        let all: std::collections::BTreeSet<_> = (0..GROUPS * GROUP_RECORDS).map(|n| test_ins(n).unwrap()).collect();
        assert_eq!(all.len(), GROUPS * GROUP_RECORDS);
    }
}
