//! `TestGateway`: a gateway of its own for each test, with a fresh database and a development PKI.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, OnceLock};

use carnet::app::{App, Running};
use carnet::clock::Clock;
use carnet::config::{Config, InsDomain, StructureClass};
use carnet::domain::ins::Ins;
use carnet::identity::statement::Software;
use carnet::identity::vihf::issue::SigningKey;
use carnet::operation::gateway::Gateway;
use carnet::tls::development_pki::{DevelopmentPki, Holder, Issued, KeyUse};
use tempfile::TempDir;

use super::Caller;

/// The agency's published test patient, whose record every test gateway has open.
pub(crate) const PATIENT: &str = "1.2.250.1.213.1.4.10|279035121518989";
/// Another patient with an open record.
pub(crate) const OTHER_PATIENT: &str = "1.2.250.1.213.1.4.10|277076322082910";

pub(crate) const PORTAL: &str = "2990000045";
pub(crate) const INSURER: &str = "2990000052";

/// One PKI for the whole test program: keys are slow to make, and tests change none of it.
struct SharedPki {
    folder: TempDir,
    pki: DevelopmentPki,
}

fn shared_pki() -> &'static SharedPki {
    static PKI: OnceLock<SharedPki> = OnceLock::new();
    PKI.get_or_init(|| {
        let folder = tempfile::tempdir().expect("folder");
        let pki = DevelopmentPki::create(&folder.path().join("certs"), Clock::System).expect("PKI");
        SharedPki { folder, pki }
    })
}

pub(crate) struct TestGateway {
    pub(crate) running: Running,
    /// Goes with the gateway.
    pub(crate) _folder: TempDir,
    server_ca: String,
}

/// Settings that a test may want otherwise.
pub(crate) struct Builder {
    config: Config,
    folder: TempDir,
}

impl TestGateway {
    /// A gateway with usual settings and the records of both patients open.
    pub(crate) async fn start() -> Self {
        Self::builder().start().await
    }

    pub(crate) fn builder() -> Builder {
        let folder = tempfile::tempdir().expect("folder");
        let certs = shared_pki().folder.path().join("certs");
        let mut config = Config::load(None, std::iter::empty()).expect("defaults");
        config.listen.professionals = free_address();
        config.listen.operators = free_address();
        config.listen.public_url = format!("https://localhost:{}", config.listen.professionals.port());
        config.tls.certificate = certs.join("server.pem");
        config.tls.key = certs.join("server.key");
        config.tls.client_roots = vec![certs.join("client-roots.pem")];
        config.tls.client_crls = vec![certs.join("crl")];
        config.tls.allow_development_roots = true;
        config.tls.issuers = shared_pki().pki.issuers();
        config.store.database = format!("sqlite:{}", folder.path().join("carnet.db").display());
        config.store.free_bytes_min = 0;
        config.dmp.ins_domains = vec![InsDomain::Test];
        config.dmp.structure_classes =
            [(PORTAL.to_owned(), StructureClass::PatientPortal), (INSURER.to_owned(), StructureClass::Insurer)].into();
        Builder { config, folder }
    }

    /// A hospital: an organisation in indirect mode.
    pub(crate) fn hospital(&self) -> Caller {
        self.structure("1350000899", "HOPITAL DE TEST")
    }

    pub(crate) fn laboratory(&self) -> Caller {
        self.structure("1350001111", "LABORATOIRE DE TEST")
    }

    pub(crate) fn portal(&self) -> Caller {
        self.structure(PORTAL, "PORTAIL DE TEST")
    }

    pub(crate) fn insurer(&self) -> Caller {
        self.structure(INSURER, "MUTUELLE DE TEST")
    }

    /// An employee of [`Self::hospital`], with a card of it (CPE).
    pub(crate) fn employee(&self) -> Caller {
        let id = "3350000899/42";
        let organisation = "HOPITAL DE TEST".to_owned();
        self.caller(id, &Holder::Employee { id: id.parse().expect("PS_IdNat"), organisation })
    }

    pub(crate) fn structure(&self, id: &str, name: &str) -> Caller {
        let struct_id = id.parse().expect("Struct_IdNat");
        self.caller(id, &Holder::Organisation { struct_id, name: name.to_owned(), application: "TEST".to_owned() })
    }

    /// A doctor of that RPPS number, in direct mode, without any right yet.
    pub(crate) fn doctor(&self, id: &str) -> Caller {
        self.professional(id, 10, &["SM54"])
    }

    /// Somebody of a profession (TRE_G15), in direct mode, without any right yet.
    pub(crate) fn professional(&self, id: &str, profession: u8, savoir_faire: &[&str]) -> Caller {
        let ps_id = id.parse().expect("PS_IdNat");
        let (family, given) = ("MARTIN".to_owned(), "Claire".to_owned());
        let savoir_faire = savoir_faire.iter().map(|&code| code.to_owned()).collect();
        self.caller(id, &Holder::Professional { ps_id, family, given, profession, savoir_faire })
    }

    /// A doctor whom the patient of the tests has authorised.
    pub(crate) async fn authorised_doctor(&self, id: &str) -> Caller {
        let doctor = self.doctor(id);
        doctor.declare_authorisation(&patient()).await;
        doctor
    }

    fn caller(&self, id: &str, holder: &Holder) -> Caller {
        Caller::new(id, &self.server_ca, &issue(holder), self.base())
    }

    /// Base of the FHIR face.
    pub(crate) fn base(&self) -> String {
        format!("https://localhost:{}/fhir", self.running.professionals.port())
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.running.gateway
    }

    /// How many lines the journal holds.
    pub(crate) async fn journal_lines(&self) -> usize {
        self.gateway().list_journal(None, 0, u32::MAX).await.expect("journal").len()
    }

    /// The last of them, as JSON.
    pub(crate) async fn last_line(&self) -> String {
        let lines = self.gateway().list_journal(None, 0, u32::MAX).await.expect("journal");
        serde_json::to_string(&lines.last().expect("a line").1).expect("JSON")
    }
}

impl Builder {
    pub(crate) fn configured(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    pub(crate) async fn start(self) -> TestGateway {
        let running = App::start(Arc::new(self.config), Clock::System).await.expect("gateway starts");
        for ins in [patient(), OTHER_PATIENT.parse().expect("INS")] {
            running.gateway.open_dossier(&ins).await.expect("record opens");
        }
        let server_ca =
            std::fs::read_to_string(shared_pki().folder.path().join("certs/server-ca.pem")).expect("server CA");
        TestGateway { running, _folder: self.folder, server_ca }
    }
}

/// A certificate of the PKI that all test gateways trust.
pub(crate) fn issue(holder: &Holder) -> Issued {
    let pki = &shared_pki().pki;
    pki.issue(holder, KeyUse::Auth, pki.usual_lifetime()).expect("certificate")
}

/// Where the files of that PKI are.
pub(crate) fn certs() -> PathBuf {
    shared_pki().folder.path().join("certs")
}

/// The authorities of those certificates.
pub(crate) fn client_roots() -> PathBuf {
    shared_pki().folder.path().join("certs/client-roots.pem")
}

/// The key with which a holder signs VIHF; with `KeyUse::Auth`, one that ought to sign nothing.
pub(crate) fn signing_key(holder: &Holder, key_use: KeyUse) -> SigningKey {
    let pki = &shared_pki().pki;
    let issued = pki.issue(holder, key_use, pki.usual_lifetime()).expect("certificate");
    SigningKey::read(issued.certificate_pem.as_bytes(), issued.key_pem.as_bytes()).expect("key")
}

/// What makes the tokens of the tests.
pub(crate) fn software() -> Software {
    Software { name: "DPI".to_owned(), version: "1".to_owned(), installation: None, homologation: "ESSAI-1".to_owned() }
}

pub(crate) fn patient() -> Ins {
    PATIENT.parse().expect("INS")
}

/// A port below those that the system hands out by itself, so that nobody else in a busy test run takes it.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 8_000).expect("below 8,000");
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
