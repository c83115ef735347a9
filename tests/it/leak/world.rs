//! Two gateways that are told the same but for what is hidden, behind the router that serves professionals.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use carnet::clock::Clock;
use carnet::config::{Config, InsDomain, StructureClass, StructureClasses};
use carnet::domain::ins::Ins;
use carnet::domain::sha::Sha256Hash;
use carnet::fhir::exchange::router;
use carnet::identity::admission::Admission;
use carnet::identity::caller::{Caller, CallerHeaders, PurposeHeaders};
use carnet::identity::session::SessionHeaders;
use carnet::identity::structures::Structures;
use carnet::identity::vihf::{Judge, SignerTrust, Verifier};
use carnet::operation::gateway::Gateway;
use carnet::refusal::{Refusal, Rule};
use carnet::tls::client_certificate::ClientCertificate;
use carnet::tls::development_pki::Holder;
use carnet::tls::listener::PresentedCertificate;
use carnet::tls::signature_certificate::SignatureCertificate;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::super::support::gateway::{PORTAL, issue};
use super::record::{Outsider, Source, Who};
use super::trips::Trips;

pub(super) const HOSPITAL: &str = "1350000899";
const LABORATORY: &str = "1350001111";
const COLLEAGUE: &str = "810000000078";
pub(super) const MEDECIN_TRAITANT: &str = "810000000086";

/// One gateway, and the router as the listener would serve it.
pub(super) struct World {
    pub(super) gateway: Gateway,
    router: Router,
    _folder: TempDir,
}

/// The two of them, under one clock that the test moves.
pub(super) struct Worlds {
    /// Holds everything.
    pub(super) whole: World,
    /// Holds what the outsider may see.
    pub(super) rest: World,
    pub(super) trips: Trips,
    clock: Arc<AtomicI64>,
    patients: AtomicI64,
    certificates: Vec<(Who, PresentedCertificate)>,
    colleagues: [Caller; 2],
}

/// A request, as text.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// How often each read asked the database.
    pub(super) trips: Vec<(String, u64)>,
}

impl Worlds {
    pub(super) async fn open() -> Self {
        let clock = Arc::new(AtomicI64::new(START_US));
        let certificates = Who::ALL.map(|who| (who, Arc::new(Ok(certificate(who))))).into();
        Self {
            whole: World::open(&clock).await,
            rest: World::open(&clock).await,
            trips: Trips::default(),
            clock,
            patients: AtomicI64::new(0),
            certificates,
            colleagues: [COLLEAGUE, MEDECIN_TRAITANT].map(|id| {
                let certificate = read(&professional(id, 10));
                let structures = Structures::of_classes(StructureClasses::default());
                Caller::identify(&certificate, None, CallerHeaders::default(), &structures).expect("a caller")
            }),
        }
    }

    /// A patient whom neither gateway knows yet.
    pub(super) fn new_patient(&self) -> Ins {
        let number = 2_000_000_000_000 + self.patients.fetch_add(1, Ordering::Relaxed);
        format!("1.2.250.1.213.1.4.10|{number:013}{:02}", 97 - number % 97).parse().expect("INS")
    }

    pub(super) fn at_minute(&self, minute: i64) -> Timestamp {
        self.clock.store(START_US + minute * 60_000_000, Ordering::Relaxed);
        self.whole.gateway.clock.now()
    }

    /// Whom the gateways take the outsider for.
    pub(super) fn caller(&self, Outsider { who, purpose }: Outsider, patient: &Ins) -> Option<Caller> {
        let session = session(patient);
        let session = SessionHeaders { on_behalf_of: Some(&session), ..SessionHeaders::default() };
        let headers = CallerHeaders {
            purpose: PurposeHeaders { purpose: Some(purpose), reason: Some(REASON) },
            session: if who == Who::Portal { session } else { SessionHeaders::default() },
        };
        let certificate = self.presented(who);
        let certificate = certificate.as_ref().as_ref().expect("a good certificate");
        Caller::identify(certificate, None, headers, &self.whole.gateway.structures).ok()
    }

    pub(super) fn source(&self, source: Source, outsider: Outsider, patient: &Ins) -> Caller {
        let who = match source {
            Source::Hospital => Who::Hospital,
            Source::Laboratory => Who::Laboratory,
            Source::Outsider if outsider.who == Who::Portal => return self.colleagues[0].clone(),
            Source::Outsider => outsider.who,
            Source::Colleague => return self.colleagues[0].clone(),
        };
        self.caller(Outsider { who, purpose: "normal" }, patient).expect("a caller")
    }

    /// Of every patient here, beside whoever else is.
    pub(super) fn medecin_traitant(&self) -> Caller {
        self.colleagues[1].clone()
    }

    pub(super) async fn send(&self, world: &World, outsider: Outsider, patient: &Ins, sent: &Sent) -> Answer {
        let uri = format!("/fhir{}", sent.path);
        let mut request =
            Request::builder().method(sent.method.clone()).uri(uri).extension(self.presented(outsider.who));
        for (name, value) in &sent.headers {
            request = request.header(*name, value);
        }
        request = request.header("x-purpose-of-use", outsider.purpose).header("x-access-reason", REASON);
        if outsider.who == Who::Portal {
            request = request.header("x-on-behalf-of", session(patient)).header("x-portal-user", "patient");
        }
        let request = request.body(Body::from(sent.body.clone())).expect("a request");
        self.trips.take();
        let (parts, body) = world.router.clone().oneshot(request).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("a whole answer").to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body, trips: self.trips.take() }
    }

    fn presented(&self, who: Who) -> PresentedCertificate {
        let known = self.certificates.iter().find(|(known, _)| *known == who);
        Arc::clone(&known.expect("a certificate for everybody").1)
    }
}

impl World {
    async fn open(clock: &Arc<AtomicI64>) -> Self {
        // In memory where the machine has such a place: thousands of commits are to be had.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
        let mut config = Config::default();
        config.store.database = format!("sqlite:{}", folder.path().join("carnet.db").display());
        config.store.free_bytes_min = 0;
        config.dmp.ins_domains = vec![InsDomain::Test];
        config.dmp.structure_classes = [(PORTAL.to_owned(), StructureClass::PatientPortal)].into();
        let often = 100_000_u32.try_into().expect("not 0");
        config.limits.requests_per_second_per_certificate = often;
        config.limits.requests_per_second_per_structure = often;
        let gateway = Gateway::open(Arc::new(config), Clock::Fixed(Arc::clone(clock))).await.expect("a gateway");
        let (terminology, clock) = (Arc::clone(&gateway.terminology), gateway.clock.clone());
        let judge = Judge::new(&gateway.config, Arc::new(Nobody), terminology, clock);
        let vihf = Arc::new(Verifier::new(judge, gateway.assertion_memory()));
        let router = router(gateway.clone(), Admission { vihf, bearer: None });
        Self { gateway, router, _folder: folder }
    }
}

/// Nobody's signature is believed: callers come with their certificates alone.
struct Nobody;

impl SignerTrust for Nobody {
    fn signer(&self, _: &[CertificateDer<'_>], _: Timestamp) -> Result<SignatureCertificate, Refusal> {
        Err(Refusal::new(Rule::SignatureCertificate, "signature certificate", "this one", "none"))
    }
}

fn certificate(who: Who) -> ClientCertificate {
    read(&match who {
        Who::Doctor => professional("810000000011", 10),
        Who::Nurse => professional("810000000029", 60),
        Who::Technician => professional("810000000037", 86),
        Who::Unlisted => professional("810000000045", 99),
        Who::Employee => Holder::Employee {
            id: format!("3{}/42", &HOSPITAL[1..]).parse().expect("PS_IdNat"),
            organisation: "HOPITAL DE TEST".to_owned(),
        },
        Who::Hospital => organisation(HOSPITAL),
        Who::Laboratory => organisation(LABORATORY),
        Who::Portal => organisation(PORTAL),
    })
}

fn read(holder: &Holder) -> ClientCertificate {
    let issued = issue(holder);
    let leaf = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).expect("PEM");
    let certificate = ClientCertificate::from_der(&leaf).expect("a client certificate");
    assert_ne!(certificate.fingerprint, Sha256Hash([0; 32]));
    certificate
}

fn professional(id: &str, profession: u8) -> Holder {
    let (family, given) = ("COLLEGUE".to_owned(), "Anne".to_owned());
    Holder::Professional { ps_id: id.parse().expect("PS_IdNat"), family, given, profession, savoir_faire: Vec::new() }
}

fn organisation(id: &str) -> Holder {
    Holder::Organisation {
        struct_id: id.parse().expect("Struct_IdNat"),
        name: "STRUCTURE DE TEST".to_owned(),
        application: "TEST".to_owned(),
    }
}

/// Before which the patient sits.
fn session(patient: &Ins) -> String {
    format!("urn:oid:{}|{}", patient.authority().oid(), patient.matricule())
}

const REASON: &str = "patient inconscient";
/// 2026-11-01T09:00:00Z
const START_US: i64 = 1_793_523_600_000_000;
