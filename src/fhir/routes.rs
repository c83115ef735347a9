//! Paths and methods of the FHIR face, in one table: the router, `Allow` and the CapabilityStatement are made from it.
//!
//! To add a transaction: a line in [`ROUTES`], an [`Operation`], its arm in `Face::operate`. Source: contract 3.

use http::Method;
use http::header::ALLOW;

use super::answer::Declined;
use crate::limits::turnstile::Lane;
use crate::refusal::{Refusal, Rule};

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
    FindAuditEvents,
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
    Route { path: "/AuditEvent", method: Method::GET, operation: Operation::FindAuditEvents },
    Route { path: "/AuditEvent/_search", method: Method::POST, operation: Operation::FindAuditEvents },
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
            Self::FindAuditEvents => "iti81",
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
            | Self::UpdateConsent
            | Self::FindAuditEvents => Lane::Reads,
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
            Self::FindAuditEvents => Some((Some("AuditEvent"), "search-type")),
            Self::ProvideDocumentBundle => Some((None, "transaction")),
            Self::SimplifiedPublish => Some((Some("DocumentReference"), "create")),
        }
    }
}

/// Errors: `RouteUnknown`; `Method` with the header `Allow`.
pub(super) fn operation_of(path: &'static str, method: &Method) -> Result<Operation, Declined> {
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

/// Key of the base itself in [`ROUTES`]: transactions are posted there.
pub(super) const ROOT: &str = "";
/// Key that no route has.
pub(super) const NOWHERE: &str = "*";
