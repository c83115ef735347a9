//! What happens around every request of the FHIR face: its places and limits, panics, rendering, the log line.
//!
//! Source: contract 3, 4, 7.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use futures_util::FutureExt as _;
use http::header::{CACHE_CONTROL, VARY, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use uuid::Uuid;

use super::answer::{Answer, Declined, Handled};
use super::face::{AnswerId, Face};
use super::negotiate::{Format, answer_format};
use super::query::Query;
use super::routes::{BASE_PATH, NOWHERE, Operation, ROOT, ROUTES};
use super::{body, outcome};
use crate::clock::new_uuid;
use crate::identity::admission::Admission;
use crate::limits::turnstile::{Entered, Place};
use crate::operation::gateway::Gateway;
use crate::refusal::{Failure, Fault, Refusal};

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

/// The format of the answer, and the refusal when none will do (which is then told in JSON).
fn format_of(parts: &Parts) -> (Format, Option<Refusal>) {
    let query = Query::read(parts.uri.query(), b"").unwrap_or_default();
    match answer_format(&parts.headers, query.first("_format")) {
        Ok(format) => (format, None),
        Err(refusal) => (Format::default(), Some(refusal)),
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::domain::sha::Sha256Hash;
    use crate::identity::vihf::{Judge, SignerTrust, Verifier};
    use crate::refusal::Rule;
    use crate::tls::listener::{PresentedCertificate, RefusedCertificate};
    use crate::tls::signature_certificate::SignatureCertificate;
    use http::Method;
    use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
    use jiff::Timestamp;
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
        router(gateway.clone(), Admission { vihf, bearer: None })
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
}
