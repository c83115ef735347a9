//! Paths of the FHIR face, and what happens around every request: limits, caller, rendering, the log line.
//!
//! One table says what is served; the router, `Allow` and the CapabilityStatement are made from it. To add a
//! transaction: a line in [`ROUTES`], an [`Operation`], its arm in `Face::serve`. Source: contract 3, 4, 7.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use futures_util::{FutureExt as _, StreamExt as _};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::answer::{Answer, Content, Declined, Handled};
use super::authorization::read_token;
use super::negotiate::{Format, answer_format};
use super::query::Query;
use super::read::{Message, WireFormat, json_to_xml, read_message};
use super::resource::Writing;
use super::{body, capability, consent, deposit, document_reference, existence, iti67, iti68, outcome};
use crate::clock::new_uuid;
use crate::domain::ids::LogicalId;
use crate::identity::admission::Admission;
use crate::identity::caller::{Caller, PurposeHeaders};
use crate::limits::ration::Holder;
use crate::limits::turnstile::{Entered, Lane, Place};
use crate::operation::gateway::Gateway;
use crate::refusal::{Failure, Fault, Refusal, Rule};
use crate::tls::client_certificate::ClientCertificate;
use crate::tls::listener::{PresentedCertificate, RefusedCertificate};

/// The id of an answer: in its `X-Request-Id`, in its OperationOutcome and in the log.
#[derive(Debug, Clone, Copy)]
pub struct AnswerId(pub Uuid);

/// A Consent of the profile is below 4 KiB; the rest is room for a narrative. The limits of deposits would be too
/// wide for the places of reads, of which there are many.
pub const LIST_BYTES_MAX: usize = 64 * 1024;

/// Where the face is mounted.
pub const BASE_PATH: &str = "/fhir";

/// One path and method. Paths are below [`BASE_PATH`].
pub struct Route {
    pub path: &'static str,
    pub method: Method,
    pub operation: Operation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Capabilities,
    ProvideDocumentBundle,
    SimplifiedPublish,
    FindDocumentReferences,
    ReadDocumentReference,
    RetrieveDocument,
    TestExistence,
    ListConsents,
    ReadConsent,
    CreateConsent,
    UpdateConsent,
}

pub static ROUTES: &[Route] = &[
    Route { path: "/metadata", method: Method::GET, operation: Operation::Capabilities },
    Route { path: ROOT, method: Method::POST, operation: Operation::ProvideDocumentBundle },
    Route { path: "/DocumentReference", method: Method::POST, operation: Operation::SimplifiedPublish },
    Route { path: "/DocumentReference", method: Method::GET, operation: Operation::FindDocumentReferences },
    Route { path: "/DocumentReference/_search", method: Method::POST, operation: Operation::FindDocumentReferences },
    Route { path: "/DocumentReference/{id}", method: Method::GET, operation: Operation::ReadDocumentReference },
    Route { path: "/Binary/{id}", method: Method::GET, operation: Operation::RetrieveDocument },
    Route { path: "/Patient", method: Method::GET, operation: Operation::TestExistence },
    Route { path: "/Consent", method: Method::GET, operation: Operation::ListConsents },
    Route { path: "/Consent/{id}", method: Method::GET, operation: Operation::ReadConsent },
    Route { path: "/Consent", method: Method::POST, operation: Operation::CreateConsent },
    Route { path: "/Consent/{id}", method: Method::PUT, operation: Operation::UpdateConsent },
];

impl Operation {
    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Capabilities => "capabilities",
            Self::FindDocumentReferences => "iti67",
            Self::ReadDocumentReference => "read_document_reference",
            Self::RetrieveDocument => "iti68",
            Self::TestExistence => "td0.2",
            Self::ListConsents => "list_consents",
            Self::ReadConsent => "read_consent",
            Self::CreateConsent => "create_consent",
            Self::UpdateConsent => "update_consent",
            Self::ProvideDocumentBundle => "iti65",
            Self::SimplifiedPublish => "iti105",
        }
    }

    /// Writes to a patient's list go with the reads: a block must not wait behind deposits.
    pub fn lane(self) -> Lane {
        match self {
            Self::Capabilities => Lane::Open,
            Self::ProvideDocumentBundle | Self::SimplifiedPublish => Lane::Deposits,
            Self::FindDocumentReferences
            | Self::ReadDocumentReference
            | Self::RetrieveDocument
            | Self::TestExistence
            | Self::ListConsents
            | Self::ReadConsent
            | Self::CreateConsent
            | Self::UpdateConsent => Lane::Reads,
        }
    }

    /// Resource and interaction as the CapabilityStatement names them; no resource: of the whole system.
    pub fn interaction(self) -> Option<(Option<&'static str>, &'static str)> {
        match self {
            Self::Capabilities => None,
            Self::FindDocumentReferences => Some((Some("DocumentReference"), "search-type")),
            Self::ReadDocumentReference => Some((Some("DocumentReference"), "read")),
            Self::RetrieveDocument => Some((Some("Binary"), "read")),
            Self::TestExistence => Some((Some("Patient"), "search-type")),
            Self::ListConsents => Some((Some("Consent"), "search-type")),
            Self::ReadConsent => Some((Some("Consent"), "read")),
            Self::CreateConsent => Some((Some("Consent"), "create")),
            Self::UpdateConsent => Some((Some("Consent"), "update")),
            Self::ProvideDocumentBundle => Some((None, "transaction")),
            Self::SimplifiedPublish => Some((Some("DocumentReference"), "create")),
        }
    }
}

/// The whole face, to be merged into the router of the professionals' listener.
pub fn router(gateway: Gateway, admission: Admission) -> Router {
    let face = Arc::new(Face::new(gateway, admission));
    let mut paths: Vec<&'static str> = ROUTES.iter().map(|route| route.path).collect();
    paths.sort_unstable();
    paths.dedup();
    let serving = |path: &'static str| {
        let face = Arc::clone(&face);
        any(move |request: Request<Body>| answer(Arc::clone(&face), path, request))
    };
    let named = paths.into_iter().filter(|path| *path != ROOT);
    let router = named.fold(Router::new(), |router, path| router.route(&format!("{BASE_PATH}{path}"), serving(path)));
    router
        .route(BASE_PATH, serving(ROOT))
        .route(&format!("{BASE_PATH}/"), serving(ROOT))
        .fallback_service(serving(NOWHERE))
}

/// What handlers work with.
pub struct Face {
    pub gateway: Gateway,
    admission: Admission,
    base: String,
    /// What deposits in XML may still hold.
    xml_bytes: Arc<Semaphore>,
    /// The same of lists, apart: a block must not wait behind deposits.
    list_xml_bytes: Arc<Semaphore>,
    /// Answers being turned into XML: the tree of each is many times its text.
    xml_writers: Semaphore,
}

impl Face {
    pub fn new(gateway: Gateway, admission: Admission) -> Self {
        let limits = &gateway.config.limits;
        Self {
            base: format!("{}{BASE_PATH}", gateway.config.listen.public_url),
            xml_bytes: Arc::new(Semaphore::new(limits.xml_bodies_bytes_max.min(Semaphore::MAX_PERMITS))),
            // Enough for all of them: these are small.
            list_xml_bytes: Arc::new(Semaphore::new(limits.reads_in_flight_max.min(LISTS_MAX) * LIST_BYTES_MAX)),
            xml_writers: Semaphore::new(XML_WRITERS),
            gateway,
            admission,
        }
    }

    pub fn writing(&self) -> Writing<'_> {
        Writing { terminology: &self.gateway.terminology, base: &self.base }
    }

    pub fn surroundings(&self) -> iti67::Surroundings<'_> {
        iti67::Surroundings {
            terminology: &self.gateway.terminology,
            ins_domains: &self.gateway.config.dmp.ins_domains,
            page_max: self.gateway.config.limits.search_page_max,
        }
    }

    pub fn now(&self) -> Timestamp {
        self.gateway.clock.now()
    }

    /// The message of a deposit, whole and sound.
    pub async fn read_message(&self, parts: &Parts, body: Body) -> Result<Message, Failure> {
        self.read_into(&self.xml_bytes, parts, body).await
    }

    /// A line of a patient's list, at most [`LIST_BYTES_MAX`] long.
    pub async fn read_list_message(&self, parts: &Parts, body: Body) -> Result<Message, Failure> {
        let body = body::read_whole(body, LIST_BYTES_MAX).await?;
        self.read_into(&self.list_xml_bytes, parts, Body::from(body)).await
    }

    async fn read_into(&self, xml_bytes: &Arc<Semaphore>, parts: &Parts, body: Body) -> Result<Message, Failure> {
        if let Some(coding) = parts.headers.get(CONTENT_ENCODING).filter(|coding| *coding != "identity") {
            let found = coding.to_str().unwrap_or("unreadable");
            let expected = "the message as it is: no coding is undone here";
            return Err(Refusal::new(Rule::MediaType, "header Content-Encoding", found, expected).into());
        }
        let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let format = WireFormat::of_content_type(content_type)?;
        let pieces = body.into_data_stream().map(|piece| piece.map_err(|error| body::failure_of(&error)));
        let (limits, spool) = (&self.gateway.config.limits, self.gateway.spool.clone());
        read_message(format, pieces, limits, spool, Arc::clone(xml_bytes)).await
    }

    /// Serves a request whoever makes it. What no operation has written down by now is written down here, before
    /// the caller hears of it: each request that concerns a record leaves one line.
    async fn serve(&self, operation: Operation, unacceptable: Option<Refusal>, parts: &Parts, body: Body) -> Handled {
        if operation == Operation::Capabilities {
            return unacceptable.map_or_else(|| capability::answer(self), |refusal| Err(refusal.into()));
        }
        let caller = self.identify(parts).await?;
        let handled = match unacceptable {
            Some(refusal) => Err(refusal.into()),
            None => self.operate(operation, &caller, parts, body).await,
        };
        match handled {
            Ok(answer) => Ok(answer),
            Err(Declined { failure, headers }) => {
                Err(Declined { failure: self.gateway.turn_away(&caller, failure).await, headers })
            }
        }
    }

    async fn operate(&self, operation: Operation, caller: &Caller, parts: &Parts, body: Body) -> Handled {
        match operation {
            Operation::Capabilities => capability::answer(self),
            Operation::ProvideDocumentBundle => deposit::transaction(self, caller, parts, body).await,
            Operation::SimplifiedPublish => deposit::create(self, caller, parts, body).await,
            Operation::FindDocumentReferences => iti67::search(self, caller, parts, body).await,
            Operation::ReadDocumentReference => document_reference::read(self, caller, parts).await,
            Operation::RetrieveDocument => iti68::retrieve(self, caller, parts).await,
            Operation::TestExistence => existence::search(self, caller, parts).await,
            Operation::ListConsents => consent::list(self, caller, parts).await,
            Operation::ReadConsent => consent::read(self, caller, parts).await,
            Operation::CreateConsent | Operation::UpdateConsent => consent::set(self, caller, parts, body).await,
        }
    }

    /// Who is calling. A certificate whose holder we cannot tell is refused here, not in the handshake.
    async fn identify(&self, parts: &Parts) -> Result<Caller, Failure> {
        let presented = parts.extensions.get::<PresentedCertificate>();
        let presented = presented.ok_or_else(|| Fault::new("no client certificate", "the listener handed none on"))?;
        let certificate = match presented.as_ref() {
            Ok(certificate) => certificate,
            Err(refused) => return Err(self.turn_away_certificate(refused).await),
        };
        match self.identify_holder(certificate, parts).await {
            Ok(caller) => Ok(caller),
            Err(failure) => Err(self.gateway.turn_away_unidentified(&certificate.serial, failure).await),
        }
    }

    /// The holder of a certificate, and what their token and headers say.
    async fn identify_holder(&self, certificate: &ClientCertificate, parts: &Parts) -> Result<Caller, Failure> {
        let (purpose, reason) = (header(parts, "x-purpose-of-use")?, header(parts, "x-access-reason")?);
        let token = read_token(&self.admission, certificate, parts).await?;
        let headers = PurposeHeaders { purpose, reason };
        Ok(Caller::identify(certificate, token, headers, &self.admission.structures)?)
    }

    /// The failure of a certificate that was withdrawn since its handshake, or that has too many connections,
    /// whatever it asks.
    async fn check_standing(&self, parts: &Parts) -> Result<(), Failure> {
        const WHATEVER_IS_ASKED: [Rule; 2] = [Rule::CertificateWithdrawn, Rule::TooManyRequests];
        match parts.extensions.get::<PresentedCertificate>().map(AsRef::as_ref) {
            Some(Err(refused)) if WHATEVER_IS_ASKED.contains(&refused.refusal.rule) => {
                Err(self.turn_away_certificate(refused).await)
            }
            _ => Ok(()),
        }
    }

    async fn turn_away_certificate(&self, refused: &RefusedCertificate) -> Failure {
        self.gateway.turn_away_unidentified(&refused.serial, refused.refusal.clone()).await
    }

    /// What is asked for, and the leave to ask it, with a body of `announced` bytes. What comes too often is refused
    /// before anything else is done.
    ///
    /// Errors: the certificate's, `TooManyRequests`, `RouteUnknown`, `Method`, `Busy`.
    async fn admit(
        &self,
        path: &'static str,
        parts: &Parts,
        announced: Option<u64>,
    ) -> Result<(Operation, Entered), (Option<Operation>, Declined)> {
        // Only a fault of the listener leaves it out: then nobody is identified either.
        let holder = parts.extensions.get::<PresentedCertificate>().map(Holder::of);
        let turnstile = &self.gateway.turnstile;
        if let Some(Err(refusal)) = holder.as_ref().map(|holder| turnstile.pass(holder)) {
            return Err((None, refusal.into()));
        }
        self.check_standing(parts).await.map_err(|failure| (None, failure.into()))?;
        let operation = operation_of(path, &parts.method).map_err(|declined| (None, declined))?;
        let admission = match &holder {
            Some(holder) => turnstile.enter(holder, operation.lane(), announced),
            None => Ok(Entered::default()),
        };
        admission.map(|admission| (operation, admission)).map_err(|refusal| (Some(operation), refusal.into()))
    }

    /// Writes an answer in `format`. A resource that cannot be turned into XML is our fault, told in JSON.
    async fn render(&self, answer: Answer, format: Format) -> Result<Response<Body>, Fault> {
        let (bytes, content_type) = match answer.content {
            Content::Empty => (Body::empty(), None),
            Content::Bytes(body) => (body, None),
            Content::Resource(json) => {
                let text = match format {
                    Format::Json => json,
                    Format::Xml => {
                        let turn = self.xml_writers.acquire().await;
                        let _turn = turn.map_err(|closed| Fault::new("writing XML", closed))?;
                        let written = tokio::task::spawn_blocking(move || json_to_xml(&json)).await;
                        written.map_err(|error| Fault::new("writing XML", error))??
                    }
                };
                let length = text.len();
                (Body::from(text), Some((format.content_type(), length)))
            }
        };
        let mut response = Response::new(bytes);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        let headers = response.headers_mut();
        if let Some((content_type, length)) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        Ok(response)
    }
}

/// The id under which this answer is logged.
pub fn answer_id(parts: &Parts) -> Uuid {
    parts.extensions.get::<AnswerId>().map_or_else(new_uuid, |id| id.0)
}

/// The id at the end of the path. One of a form that we never give is answered like an absent one.
pub fn id_in_path(parts: &Parts) -> Result<LogicalId, Failure> {
    let last = parts.uri.path().rsplit('/').next().unwrap_or_default();
    let refusal = || Refusal::new(Rule::NotFound, "id", "no such id", "the id of something that you may see");
    Ok(logical_id(last).ok_or_else(refusal)?)
}

/// FHIR ids are compared letter by letter: only the spelling that we give out is one.
pub fn logical_id(text: &str) -> Option<LogicalId> {
    text.parse::<LogicalId>().ok().filter(|id| id.to_string() == text)
}

/// From a request to its answer, whatever happens in between. Never logs the URL: it may hold an INS.
async fn answer(face: Arc<Face>, path: &'static str, request: Request<Body>) -> Response<Body> {
    let started = Instant::now();
    let id = new_uuid();
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(AnswerId(id));
    let announced = (!body.is_end_stream()).then(|| body.size_hint().lower());
    let admitted = face.admit(path, &parts, announced).await;
    let (format, unacceptable) = format_of(&parts);
    let limits = &face.gateway.config.limits;
    let (operation, handled, place) = match admitted {
        Ok((operation, Entered { place, body_bytes })) => {
            let body = body::guarded(&parts.headers, body, limits, body_bytes);
            // A document has types of its own; its handler negotiates.
            let unacceptable = unacceptable.filter(|_| operation != Operation::RetrieveDocument);
            (Some(operation), guarded(&face, operation, unacceptable, &parts, body).await, place)
        }
        Err((operation, declined)) => {
            // Read on for a while, as any body that nobody wants.
            drop(body::guarded(&parts.headers, body, limits, None));
            (operation, Err(declined), None)
        }
    };
    let rules = handled.as_ref().err().map(|declined| outcome::rule_codes(&declined.failure));
    let response = finish(&face, handled, format, id).await;
    note(operation.map_or("none", Operation::name), response.status(), id, rules.as_deref(), started);
    keep_until_sent(response, place)
}

/// The log line and the metric of an answer.
fn note(operation: &'static str, status: StatusCode, id: Uuid, rules: Option<&str>, started: Instant) {
    let duration = started.elapsed();
    let (code, duration_ms) = (status.as_u16(), u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    if status == StatusCode::TOO_MANY_REQUESTS {
        // There may be any number of them: `carnet_limited_total` counts them.
        tracing::debug!(request.id = %id, operation, status = code, duration_ms, rules, "answered");
    } else {
        tracing::info!(request.id = %id, operation, status = code, duration_ms, rules, "answered");
    }
    metrics::histogram!("carnet_fhir_seconds", "operation" => operation, "status" => code.to_string()).record(duration);
}

/// A place in flight is given back when the last byte has left.
fn keep_until_sent(mut response: Response<Body>, place: Option<Place>) -> Response<Body> {
    if let Some(place) = place {
        let body = std::mem::take(response.body_mut());
        *response.body_mut() = Body::new(body.map_frame(move |frame| {
            let _ = &place;
            frame
        }));
    }
    response
}

/// Calls the handler; a panic becomes a fault of ours.
async fn guarded(
    face: &Face,
    operation: Operation,
    unacceptable: Option<Refusal>,
    parts: &Parts,
    body: Body,
) -> Handled {
    match AssertUnwindSafe(face.serve(operation, unacceptable, parts, body)).catch_unwind().await {
        Ok(handled) => handled,
        Err(_) => Err(Fault::new("a handler panicked", operation.name()).into()),
    }
}

/// Renders what a handler gave back, and any failure on the way.
async fn finish(face: &Face, handled: Handled, format: Format, id: Uuid) -> Response<Body> {
    let rendered = match handled {
        Ok(answer) => face.render(answer, format).await.map_err(Declined::from),
        Err(declined) => Err(declined),
    };
    let mut response = match rendered {
        Ok(response) => response,
        Err(declined) => refuse(face, &declined, format, id).await,
    };
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(VARY).or_insert(HeaderValue::from_static("Accept"));
    headers.entry(X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, value);
    }
    response
}

async fn refuse(face: &Face, declined: &Declined, format: Format, id: Uuid) -> Response<Body> {
    if let Failure::Fault(fault) = &declined.failure {
        let error: &(dyn std::error::Error + 'static) = fault;
        tracing::error!(request.id = %id, error, "the gateway failed");
    }
    let (status, headers) = outcome::status_of(&declined.failure);
    let told = outcome::of_failure(&declined.failure, id);
    let answer = Answer::resource(&told).map(|mut answer| {
        answer.headers = headers;
        answer.headers.extend(declined.headers.clone());
        answer.with_status(status)
    });
    let rendered = match answer {
        Ok(answer) => face.render(answer, format).await,
        Err(fault) => Err(fault),
    };
    rendered.unwrap_or_else(|fault| {
        let error: &(dyn std::error::Error + 'static) = &fault;
        tracing::error!(request.id = %id, error, "a refusal was not written");
        let mut bare = Response::new(Body::empty());
        *bare.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        bare
    })
}

/// Errors: `RouteUnknown`; `Method` with the header `Allow`.
fn operation_of(path: &'static str, method: &Method) -> Result<Operation, Declined> {
    let here: Vec<&Route> = ROUTES.iter().filter(|route| route.path == path).collect();
    if here.is_empty() {
        let refusal =
            Refusal::new(Rule::RouteUnknown, "http.request-uri", "no such path", "a path of GET /fhir/metadata");
        return Err(refusal.into());
    }
    // HTTP: what can be got can be asked for its head.
    let asked = if method == Method::HEAD { &Method::GET } else { method };
    if let Some(route) = here.iter().find(|route| route.method == *asked) {
        return Ok(route.operation);
    }
    let mut allowed: Vec<&str> = here.iter().map(|route| route.method.as_str()).collect();
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    let allowed = allowed.join(", ");
    let refusal = Refusal::new(Rule::Method, "http.method", method.as_str(), allowed.as_str());
    Err(Declined::from(refusal).with(ALLOW, &allowed))
}

/// The format of the answer, and the refusal when none will do (which is then told in JSON).
fn format_of(parts: &Parts) -> (Format, Option<Refusal>) {
    let query = Query::read(parts.uri.query(), b"").unwrap_or_default();
    match answer_format(&parts.headers, query.first("_format")) {
        Ok(format) => (format, None),
        Err(refusal) => (Format::default(), Some(refusal)),
    }
}

/// A header as text. Errors: `HeaderValue` for bytes that are no text.
fn header<'a>(parts: &'a Parts, name: &'static str) -> Result<Option<&'a str>, Refusal> {
    let Some(value) = parts.headers.get(name) else { return Ok(None) };
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(Refusal::new(Rule::HeaderValue, format!("header {name}"), "bytes that are no UTF-8", "text")),
    }
}

/// Key of the base itself in [`ROUTES`]: transactions are posted there.
const ROOT: &str = "";
/// Key that no route has.
const NOWHERE: &str = "*";
/// Conversions of answers at one time; further ones wait their turn, each already in a place of its own.
const XML_WRITERS: usize = 4;
/// More lists at one time than any machine reads.
const LISTS_MAX: usize = 4_096;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::{Config, StructureClasses};
    use crate::domain::sha::Sha256Hash;
    use crate::identity::structures::Structures;
    use crate::identity::vihf::{Judge, SignerTrust, Verifier};
    use crate::tls::signature_certificate::SignatureCertificate;
    use rustls::pki_types::CertificateDer;
    use serde_json::Value;
    use tower::ServiceExt as _;

    /// A gateway on a fresh database; the folder must outlive it.
    async fn gateway(reads_in_flight_max: usize) -> (Gateway, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.store.database = format!("sqlite:{}", folder.path().join("carnet.db").display());
        config.store.free_bytes_min = 0;
        config.limits.reads_in_flight_max = reads_in_flight_max;
        (Gateway::open(Arc::new(config), Clock::System).await.unwrap(), folder)
    }

    /// Nobody's signature is believed.
    struct Nobody;

    impl SignerTrust for Nobody {
        fn signer(&self, _: &[CertificateDer<'_>], _: Timestamp) -> Result<SignatureCertificate, Refusal> {
            Err(Refusal::new(Rule::SignatureCertificate, "signature certificate", "this one", "another"))
        }
    }

    fn served(gateway: &Gateway) -> Router {
        let judge =
            Judge::new(&gateway.config, Arc::new(Nobody), Arc::clone(&gateway.terminology), gateway.clock.clone());
        let vihf = Arc::new(Verifier::new(judge, gateway.assertion_memory()));
        let structures = Structures::of_classes(StructureClasses::new());
        router(gateway.clone(), Admission { structures, vihf, bearer: None })
    }

    async fn send(method: Method, path: &str, headers: &[(&str, &str)]) -> (StatusCode, http::HeaderMap, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let (gateway, _folder) = gateway(10).await;
        let response = served(&gateway).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    fn rule(body: &[u8]) -> String {
        let json: Value = serde_json::from_slice(body).unwrap();
        json["issue"][0]["details"]["coding"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn metadata_needs_no_caller() {
        let (status, headers, body) = send(Method::GET, "/fhir/metadata", &[]).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers[CONTENT_TYPE], Format::Json.content_type());
        let json: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["resourceType"], "CapabilityStatement");
    }

    #[tokio::test]
    async fn a_head_has_the_length_and_no_body() {
        let (_, _, body) = send(Method::GET, "/fhir/metadata", &[]).await;
        let (status, headers, head) = send(Method::HEAD, "/fhir/metadata", &[]).await;
        assert_eq!((status, head.len()), (StatusCode::OK, 0));
        assert_eq!(headers[CONTENT_LENGTH], body.len().to_string());
    }

    #[tokio::test]
    async fn xml_is_written_when_asked_for() {
        let (_, headers, body) = send(Method::GET, "/fhir/metadata?_format=xml", &[]).await;
        assert_eq!(headers[CONTENT_TYPE], Format::Xml.content_type());
        assert!(String::from_utf8(body).unwrap().contains("<CapabilityStatement xmlns=\"http://hl7.org/fhir\">"));
    }

    #[tokio::test]
    async fn an_unknown_path_is_told_as_such() {
        for path in ["/fhir/Observation", "/fhir/DocumentReference/a/b"] {
            let (status, _, body) = send(Method::GET, path, &[]).await;
            assert_eq!((status, rule(&body).as_str()), (StatusCode::NOT_FOUND, "route-unknown"), "{path}");
        }
    }

    #[tokio::test]
    async fn a_method_that_is_not_served_names_those_that_are() {
        let (status, headers, body) = send(Method::DELETE, "/fhir/DocumentReference/x", &[]).await;
        assert_eq!((status, rule(&body).as_str()), (StatusCode::METHOD_NOT_ALLOWED, "method"));
        assert_eq!(headers[ALLOW], "GET, HEAD");
        let (status, headers, _) = send(Method::GET, "/fhir/", &[]).await;
        assert_eq!((status, &headers[ALLOW]), (StatusCode::METHOD_NOT_ALLOWED, &HeaderValue::from_static("POST")));
    }

    #[tokio::test]
    async fn an_answer_that_nobody_can_read_is_refused_in_json() {
        let (status, headers, body) = send(Method::GET, "/fhir/metadata", &[("accept", "text/csv")]).await;
        assert_eq!((status, rule(&body).as_str()), (StatusCode::NOT_ACCEPTABLE, "not-acceptable"));
        assert_eq!(headers[CONTENT_TYPE], Format::Json.content_type());
    }

    #[tokio::test]
    async fn the_id_of_the_answer_is_in_header_and_body() {
        let (_, headers, body) = send(Method::GET, "/fhir/nothing", &[]).await;
        let json: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(headers["x-request-id"].to_str().unwrap(), json["id"].as_str().unwrap());
        assert_eq!(headers[CACHE_CONTROL], "no-store");
    }

    #[tokio::test]
    async fn a_request_without_a_certificate_is_a_fault_of_the_listener() {
        let (status, _, body) = send(Method::GET, "/fhir/DocumentReference", &[]).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!String::from_utf8(body).unwrap().contains("certificate"));
    }

    #[tokio::test]
    async fn a_certificate_that_may_do_nothing_leaves_its_line_and_is_told_why() {
        let cases = [
            (Rule::CertificateClass, "/fhir/DocumentReference"),
            (Rule::CertificateWithdrawn, "/fhir/DocumentReference"),
            (Rule::CertificateWithdrawn, "/fhir/metadata"),
        ];
        for (broken, path) in cases {
            let (gateway, _folder) = gateway(10).await;
            let refusal = Refusal::new(broken, "client certificate", "this one", "another");
            let presented: PresentedCertificate = Arc::new(Err(RefusedCertificate {
                serial: "0a1b".to_owned(),
                fingerprint: Sha256Hash([1; 32]),
                refusal,
            }));
            let request = Request::builder().uri(path).extension(presented).body(Body::empty()).unwrap();
            let response = served(&gateway).oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path}");
            assert!(response.headers().contains_key("x-request-id"));
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(rule(&body), broken.code());
            let lines = serde_json::to_string(&gateway.list_journal(None, 0, 10).await.unwrap().last()).unwrap();
            assert!(lines.contains("0a1b") && lines.contains(broken.code()), "{lines}");
        }
    }

    #[tokio::test]
    async fn a_full_lane_asks_to_come_back() {
        let (gateway, _folder) = gateway(0).await;
        let refusal = Refusal::new(Rule::CertificateClass, "", "", "");
        let refused = RefusedCertificate { serial: String::new(), fingerprint: Sha256Hash([1; 32]), refusal };
        let presented: PresentedCertificate = Arc::new(Err(refused));
        let request = Request::builder().uri("/fhir/Patient").extension(presented).body(Body::empty()).unwrap();
        let response = served(&gateway).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(http::header::RETRY_AFTER));
    }

    #[test]
    fn only_our_own_spelling_of_an_id_is_one() {
        let id = LogicalId::new();
        assert_eq!(logical_id(&id.to_string()), Some(id));
        let shouted = id.to_string().to_uppercase();
        let simple = id.0.simple().to_string();
        for other in [shouted.as_str(), simple.as_str(), &id.to_urn(), "", "x"] {
            assert_eq!(logical_id(other), None, "{other}");
        }
    }
}
