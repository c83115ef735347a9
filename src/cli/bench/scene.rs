//! A throw-away installation: a folder with a development PKI, a configuration, opened records and, when asked,
//! gateways and a limit server as child processes. The folder goes when this value goes.

mod configuration;

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

pub(super) use self::configuration::Place;
use super::child::{Child, Ready};
use super::traffic::Target;
use crate::cli::client::{Client, Identity};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::consent::{ConsentKind, Grantee};
use crate::domain::ins::{Ins, InsAuthority};
use crate::domain::national_id::{PsIdNat, StructIdNat};
use crate::identity::caller::Caller;
use crate::operation::gateway::Gateway;
use crate::operation::outcome::{ConsentProvision, ConsentRequest, ConsentState};
use crate::tls::development_pki::{DevelopmentPki, Holder, KeyUse};

pub(super) struct Scene {
    directory: TempDir,
    pki: DevelopmentPki,
    server_ca: String,
    /// Deposits.
    hospital: Credentials,
    /// Consults: every record authorises them.
    doctor: Credentials,
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
        let server_ca = std::fs::read_to_string(pki.directory().join("server-ca.pem"))?;
        let issue = |holder| issue(&pki, &server_ca, &holder, KeyUse::Auth);
        let (hospital, doctor) = (issue(hospital()?)?, issue(professional(doctor_id()?))?);
        Ok(Self { directory, pki, server_ca, hospital, doctor })
    }

    /// The structure that deposits and signs.
    pub(super) fn structure() -> anyhow::Result<StructIdNat> {
        Ok(HOSPITAL_ID.parse()?)
    }

    /// Signs assertions of the hospital.
    pub(super) fn signer(&self) -> anyhow::Result<Credentials> {
        issue(&self.pki, &self.server_ca, &hospital()?, KeyUse::Sign)
    }

    /// Through which patients keep their lists.
    pub(super) fn portal(&self) -> anyhow::Result<Credentials> {
        self.issue(&structure(PORTAL_ID, "PORTAIL DE CHARGE")?)
    }

    /// A professional whom no record authorises.
    pub(super) fn stranger(&self) -> anyhow::Result<Credentials> {
        self.issue(&professional(STRANGER_ID.parse()?))
    }

    fn issue(&self, holder: &Holder) -> anyhow::Result<Credentials> {
        issue(&self.pki, &self.server_ca, holder, KeyUse::Auth)
    }

    /// What a gateway here would be configured with.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let place =
            Place { name: "carnet", professionals: nowhere, operators: nowhere, clients: 1, database: DATABASE };
        Ok(Config::load(Some(&place.write(self.directory.path())?), std::iter::empty())?)
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
        let place = Place::free("carnet", clients, DATABASE)?;
        let config = Config::load(Some(&place.write(self.directory.path())?), std::iter::empty())?;
        open_records(&Gateway::open(Arc::new(config), Clock::System).await?).await?;
        self.serve(&place).await
    }

    /// Another `carnet serve` on the database of the one that [`Self::start_gateway`] started.
    pub(super) async fn start_gateway_beside(&self, clients: usize) -> anyhow::Result<Running> {
        self.serve(&Place::free("beside", clients, DATABASE)?).await
    }

    async fn serve(&self, place: &Place) -> anyhow::Result<Running> {
        let file = place.write(self.directory.path())?;
        let arguments = [OsStr::new("serve"), OsStr::new("--config"), file.as_os_str()];
        self.start(place, &arguments).await
    }

    /// A gateway on records of its own, equal to those of the usual one, whose reads leave no line in the journal.
    pub(super) async fn start_unjournaled(&self, clients: usize) -> anyhow::Result<Running> {
        let [professionals, operators] = free_addresses()?;
        let place = Place::unjournaled(professionals, operators, clients);
        let numbers = [place.professionals.port().into(), place.operators.port().into(), clients];
        let [professionals, operators, clients] = numbers.map(|number| number.to_string());
        let arguments = [
            OsStr::new("bench"),
            OsStr::new("unjournaled-server"),
            OsStr::new("--folder"),
            self.directory.path().as_os_str(),
            OsStr::new("--professionals"),
            OsStr::new(&professionals),
            OsStr::new("--operators"),
            OsStr::new(&operators),
            OsStr::new("--clients"),
            OsStr::new(&clients),
        ];
        self.start(&place, &arguments).await
    }

    async fn start(&self, place: &Place, arguments: &[&OsStr]) -> anyhow::Result<Running> {
        let log = self.path(place.name).with_extension("log");
        let child = Child::start(arguments, &log, Ready::Health(place.operators)).await?;
        Ok(Running { child, target: self.target(place.professionals)? })
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
}

impl Place {
    fn free(name: &'static str, clients: usize, database: &'static str) -> anyhow::Result<Self> {
        let [professionals, operators] = free_addresses()?;
        Ok(Self { name, professionals, operators, clients, database })
    }
}

/// Opens all records and lets the doctor into each.
pub(super) async fn open_records(gateway: &Gateway) -> anyhow::Result<()> {
    let doctor = ConsentKind::Authorisation(Grantee::Professional(doctor_id()?));
    for patient in (0..GROUPS).flat_map(Scene::records) {
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

/// Whether what is written into a folder stays in memory: a sync costs nothing there.
pub(super) fn is_in_memory(folder: &Path) -> bool {
    rustix::fs::statfs(folder).is_ok_and(|about| about.f_type == TMPFS_MAGIC)
}

/// Addresses where nobody listens: found by listening there a moment ago.
fn free_addresses() -> anyhow::Result<[SocketAddr; 2]> {
    let listeners = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    let [first, second] = &listeners;
    let addresses = [first.local_addr()?, second.local_addr()?];
    ensure!(addresses[0] != addresses[1], "two listeners on one port");
    Ok(addresses)
}

fn issue(pki: &DevelopmentPki, server_ca: &str, holder: &Holder, key_use: KeyUse) -> anyhow::Result<Credentials> {
    let issued = pki.issue(holder, key_use, pki.usual_lifetime())?;
    Ok(Credentials { ca: server_ca.to_owned(), chain: issued.certificate_pem, key: issued.key_pem })
}

fn hospital() -> anyhow::Result<Holder> {
    structure(HOSPITAL_ID, "CHU DE CHARGE")
}

fn structure(id: &str, name: &str) -> anyhow::Result<Holder> {
    let application = "CARNET BENCH".to_owned();
    Ok(Holder::Organisation { struct_id: id.parse()?, name: name.to_owned(), application })
}

fn professional(ps_id: PsIdNat) -> Holder {
    let (family, given) = ("LECTEUR".to_owned(), "Camille".to_owned());
    Holder::Professional { ps_id, family, given, profession: 10, savoir_faire: vec!["SM26".to_owned()] }
}

pub(super) fn doctor_id() -> anyhow::Result<PsIdNat> {
    Ok(DOCTOR_ID.parse()?)
}

/// A matricule of the test authority, key included.
fn test_ins(number: usize) -> Option<Ins> {
    let body = format!("2790351215{:03}", number % 1_000);
    let key = 97 - body.parse::<u64>().ok()? % 97;
    Ins::parse(&format!("{body}{key:02}"), InsAuthority::NirTest.oid()).ok()
}

const DATABASE: &str = "carnet.db";
const PKI_FOLDER: &str = "certs";
/// The author of the specimens that are deposited: a structure deposits in its own name.
const HOSPITAL_ID: &str = "1350000899";
const DOCTOR_ID: &str = "899700218896";
const STRANGER_ID: &str = "899700218904";
const PORTAL_ID: &str = "2990000045";

/// Deposits, searches, retrievals.
pub(super) const GROUPS: usize = 3;
pub(super) const GROUP_RECORDS: usize = 8;

const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scene_has_records_that_the_gateway_opens_and_is_gone_afterwards() {
        let scene = Scene::make(&std::env::temp_dir()).unwrap();
        let gateway = Gateway::open(Arc::new(scene.config().unwrap()), Clock::System).await.unwrap();
        open_records(&gateway).await.unwrap();
        let folder = scene.directory.path().to_owned();
        assert!(folder.join("carnet.db").exists());
        drop(scene);
        assert!(!folder.exists());
    }

    #[test]
    fn every_record_has_an_ins_of_its_own() {
        let all: std::collections::BTreeSet<_> = (0..GROUPS * GROUP_RECORDS).map(|n| test_ins(n).unwrap()).collect();
        assert_eq!(all.len(), GROUPS * GROUP_RECORDS);
    }
}
