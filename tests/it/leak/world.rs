//! Two gateways that are told the same but for what is hidden, behind the router that serves professionals.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use carnet::clock::Clock;
use carnet::config::{self, Config, InsDomain, StructureClass, StructureClasses};
use carnet::domain::ins::Ins;
use carnet::domain::sha::Sha256Hash;
use carnet::fhir::exchange::router;
use carnet::identity::admission::Admission;
use carnet::identity::caller::{Caller, CallerHeaders, PurposeHeaders};
use carnet::identity::session::SessionHeaders;
use carnet::identity::structures::Structures;
use carnet::identity::token::{Signer, Token, TokenKind};
use carnet::identity::vihf::issue::SigningKey;
use carnet::identity::vihf::{Judge, SignerTrust, Verifier};
use carnet::operation::gateway::Gateway;
use carnet::refusal::Refusal;
use carnet::tls::client_certificate::ClientCertificate;
use carnet::tls::development_pki::{Holder, KeyUse};
use carnet::tls::listener::PresentedCertificate;
use carnet::tls::signature_certificate::SignatureCertificate;
use carnet::tls::trust::Trust;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::super::support::gateway::{INSURER, PORTAL, certs, client_roots, issue, signing_key};
use super::outsider::{Outsider, REASON, Session, Who, professional};
use super::record::Source;
use super::trips::Trips;

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
    /// With which the hospital signs VIHF.
    key: SigningKey,
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
        let connections = Who::ALL.into_iter().filter(|who| who.connection() == *who);
        let certificates = connections.map(|who| (who, Arc::new(Ok(certificate(&who.holder())))));
        Self {
            whole: World::open(&clock).await,
            rest: World::open(&clock).await,
            trips: Trips::default(),
            clock,
            patients: AtomicI64::new(0),
            certificates: certificates.collect(),
            key: signing_key(&Who::Hospital.holder(), KeyUse::Sign),
            colleagues: [COLLEAGUE, MEDECIN_TRAITANT].map(|id| {
                let certificate = certificate(&professional(id, 10, &[]));
                let structures = Structures::of_classes(StructureClasses::default());
                Caller::identify(&certificate, None, CallerHeaders::default(), &structures).expect("a caller")
            }),
        }
    }

    /// A patient whom neither gateway knows yet, and a stretch of time that nothing has happened in.
    pub(super) fn new_patient(&self) -> Ins {
        let number = 2_000_000_000_000 + self.patients.fetch_add(1, Ordering::Relaxed);
        format!("1.2.250.1.213.1.4.10|{number:013}{:02}", 97 - number % 97).parse().expect("INS")
    }

    /// Of the stretch of the present patient.
    pub(super) fn at_minute(&self, minute: i64) -> Timestamp {
        let minute = self.patients.load(Ordering::Relaxed) * STRETCH_MINUTES + minute;
        self.clock.store(START_US + minute * 60_000_000, Ordering::Relaxed);
        self.whole.gateway.clock.now()
    }

    /// Whom the gateways take the outsider for; nobody, where they refuse to take them for anybody.
    pub(super) fn caller(&self, outsider: Outsider, patient: &Ins) -> Option<Caller> {
        let session = outsider.who.session(patient);
        let session = session.as_ref().map_or_else(SessionHeaders::default, Session::headers);
        let purpose = PurposeHeaders { purpose: Some(outsider.purpose), reason: Some(REASON) };
        let certificate = self.presented(outsider.who);
        let certificate = certificate.as_ref().as_ref().expect("a good certificate");
        let token = outsider.who.statement(patient, outsider.purpose()).map(|statement| Token {
            kind: TokenKind::Vihf,
            id: "_vihf".to_owned(),
            statement,
            signer: Signer::Holder(certificate.subject.clone()),
        });
        Caller::identify(certificate, token, CallerHeaders { purpose, session }, &self.whole.gateway.structures).ok()
    }

    pub(super) fn source(&self, source: Source, outsider: Outsider, patient: &Ins) -> Caller {
        let who = match source {
            Source::Hospital => Some(Who::Hospital),
            Source::Laboratory => Some(Who::Laboratory),
            Source::Outsider => outsider.who.source(),
            Source::Colleague => None,
        };
        let caller = |who| self.caller(Outsider { who, purpose: "normal" }, patient).expect("a caller");
        who.map_or_else(|| self.colleagues[0].clone(), caller)
    }

    /// Of every patient here, beside whoever else is.
    pub(super) fn medecin_traitant(&self) -> Caller {
        self.colleagues[1].clone()
    }

    /// What a request of the outsider says of them: the same to both, with a VIHF that was never presented.
    pub(super) fn introduction(&self, outsider: Outsider, patient: &Ins) -> Vec<(&'static str, String)> {
        let mut headers =
            vec![("x-purpose-of-use", outsider.purpose.to_owned()), ("x-access-reason", REASON.to_owned())];
        if let Some(session) = outsider.who.session(patient) {
            let secret = session.secret().map(|secret| ("x-secret-connection", secret.to_owned()));
            headers.extend([("x-on-behalf-of", session.on_behalf_of), ("x-portal-user", session.user)]);
            headers.extend(secret);
        }
        if let Some(statement) = outsider.who.statement(patient, outsider.purpose()) {
            let vihf = self.key.issue(&statement, self.whole.gateway.clock.now()).expect("a VIHF");
            headers.push(("authorization", format!("IHE-SAML {}", base64_simd::STANDARD.encode_to_string(vihf))));
        }
        headers
    }

    pub(super) async fn send(
        &self,
        world: &World,
        who: Who,
        introduction: &[(&'static str, String)],
        sent: &Sent,
    ) -> Answer {
        let uri = format!("/fhir{}", sent.path);
        let mut request = Request::builder().method(sent.method.clone()).uri(uri).extension(self.presented(who));
        for (name, value) in sent.headers.iter().chain(introduction) {
            request = request.header(*name, value);
        }
        let request = request.body(Body::from(sent.body.clone())).expect("a request");
        self.trips.take();
        let (parts, body) = world.router.clone().oneshot(request).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("a whole answer").to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body, trips: self.trips.take() }
    }

    fn presented(&self, who: Who) -> PresentedCertificate {
        let known = self.certificates.iter().find(|(known, _)| *known == who.connection());
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
        config.dmp.structure_classes =
            [(PORTAL.to_owned(), StructureClass::PatientPortal), (INSURER.to_owned(), StructureClass::Insurer)].into();
        let often = 100_000_u32.try_into().expect("not 0");
        config.limits.requests_per_second_per_certificate = often;
        config.limits.requests_per_second_per_structure = often;
        let gateway = Gateway::open(Arc::new(config), Clock::Fixed(Arc::clone(clock))).await.expect("a gateway");
        let (terminology, clock) = (Arc::clone(&gateway.terminology), gateway.clock.clone());
        let judge = Judge::new(&gateway.config, Arc::new(OfToday::load()), terminology, clock);
        let vihf = Arc::new(Verifier::new(judge, gateway.assertion_memory()));
        let router = router(gateway.clone(), Admission { vihf, bearer: None });
        Self { gateway, router, _folder: folder }
    }
}

/// Certificates are of the day on which the test runs, whatever the clock of the gateways says.
struct OfToday(Arc<Trust>);

impl OfToday {
    fn load() -> Self {
        let tls = config::Tls {
            certificate: certs().join("server.pem"),
            key: certs().join("server.key"),
            client_roots: vec![client_roots()],
            client_crls: vec![certs().join("crl")],
            allow_development_roots: true,
            ..config::Tls::default()
        };
        Self(Trust::load(&tls, &config::Revocation::default(), Clock::System).expect("the PKI of the tests"))
    }
}

impl SignerTrust for OfToday {
    fn signer(&self, chain: &[CertificateDer<'_>], _: Timestamp) -> Result<SignatureCertificate, Refusal> {
        self.0.signer(chain, Clock::System.now())
    }
}

fn certificate(holder: &Holder) -> ClientCertificate {
    let issued = issue(holder);
    let leaf = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).expect("PEM");
    let certificate = ClientCertificate::from_der(&leaf).expect("a client certificate");
    assert_ne!(certificate.fingerprint, Sha256Hash([0; 32]));
    certificate
}

/// 2026-11-01T09:00:00Z
const START_US: i64 = 1_793_523_600_000_000;
/// Beyond what one pair takes.
const STRETCH_MINUTES: i64 = 90;
