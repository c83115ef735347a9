//! What may go wrong: `Refusal` (the sender can do something about it) and `Fault` (ours).
//!
//! A refusal names the rule, the place, the value found and what was expected (contract 6). It never holds
//! a medical value, a name or an INS in full. Adapters render it; nothing else builds error texts.

use std::fmt;

use crate::domain::ins;
use crate::domain::text::cleaned;

/// What the sender has to do. Adapters turn it into a status; the command line into a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// The message cannot be read: fix its syntax (400).
    Malformed,
    /// The message can be read and breaks a rule: fix its content (422).
    Rule,
    /// What should say who asks is missing, stale or not to be believed: get another one (401).
    Unauthenticated,
    /// Known, and not allowed; existence is no secret here (403).
    Forbidden,
    /// Absent, or hidden from this caller: the two are never told apart (404).
    NotFound,
    /// 405.
    Method,
    /// 406.
    NotAcceptable,
    /// Clashes with what is stored (409).
    Conflict,
    /// 412.
    Precondition,
    /// 413.
    TooLarge,
    /// 415.
    MediaType,
    /// 416.
    Range,
    /// This caller asks for more than its share: send less at a time (429 with Retry-After).
    TooMany,
    /// Wait and send again (503 with Retry-After).
    Busy,
    /// No room left to store (507 with Retry-After).
    Full,
    /// 408: the body did not arrive in time.
    Timeout,
}

macro_rules! rules {
    ($( $(#[$doc:meta])* $name:ident = $code:literal, $category:ident, $source:literal; )*) => {
        /// Every rule that a sender can break: a closed list. The code is stable and public.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rule { $( $(#[$doc])* $name, )* }

        impl Rule {
            pub const ALL: &[Self] = &[$( Self::$name, )*];

            /// Stable machine-readable code, shown in `OperationOutcome.issue.details`.
            pub fn code(self) -> &'static str {
                match self { $( Self::$name => $code, )* }
            }

            pub fn category(self) -> Category {
                match self { $( Self::$name => Category::$category, )* }
            }

            /// Document and section that sets the rule.
            pub fn source(self) -> &'static str {
                match self { $( Self::$name => $source, )* }
            }
        }
    };
}

rules! {
    JsonSyntax = "json-syntax", Malformed, "RFC 8259; FHIR R4 json.html";
    XmlSyntax = "xml-syntax", Malformed, "XML 1.0; FHIR R4 xml.html";
    XmlForbidden = "xml-forbidden", Malformed, "no DTD, no entities; FHIR R4 security.html";
    BodyIncomplete = "body-incomplete", Malformed, "RFC 9112 section 8";
    Nesting = "nesting-too-deep", Malformed, "limit of this server";
    FhirStructure = "fhir-structure", Malformed, "FHIR R4 resource definition";
    UnknownElement = "fhir-unknown-element", Malformed, "FHIR R4 resource definition";
    Base64 = "base64", Malformed, "FHIR R4 datatypes.html#base64Binary";
    UnknownParameter = "unknown-search-parameter", Malformed, "contract 4; FHIR R4 search.html";
    ParameterValue = "search-parameter-value", Malformed, "FHIR R4 search.html";
    ParameterMissing = "search-parameter-missing", Malformed, "IHE MHD ITI-67 3.67.4.1.2";
    HeaderValue = "header-value", Malformed, "contract 3";
    BodyTimeout = "body-timeout", Timeout, "limit of this server";
    MediaType = "media-type", MediaType, "FHIR R4 http.html#mime-type";
    NotAcceptable = "not-acceptable", NotAcceptable, "FHIR R4 http.html#mime-type";
    Method = "method", Method, "FHIR R4 http.html";
    BodyTooLarge = "body-too-large", TooLarge, "limits of carnet.toml";
    Range = "range", Range, "RFC 9110 section 14";
    Precondition = "precondition", Precondition, "RFC 9110 section 13";
    NotFound = "not-found", NotFound, "domain E.6";
    RouteUnknown = "route-unknown", NotFound, "contract 4";

    BundleType = "bundle-type", Rule, "IHE MHD ITI-65 3.65.4.1.2";
    BundleEntry = "bundle-entry", Rule, "IHE MHD ITI-65 3.65.4.1.2";
    SubmissionSetCount = "submission-set-count", Rule, "IHE MHD ITI-65 3.65.4.1.2; domain E.4 (4)";
    ReferenceUnresolved = "reference-unresolved", Rule, "IHE MHD ITI-65 3.65.4.1.2";
    MissingMetadata = "missing-metadata", Rule, "CI-SIS volet partage; domain D.2";
    MetadataValue = "metadata-value", Rule, "CI-SIS volet partage; domain D.2";
    UnknownCode = "unknown-code", Rule, "value sets of the DMP; domain D.7";
    UniqueIdForm = "unique-id-form", Rule, "domain D.2: plain OID, no extension";
    InsKey = "ins-key", Rule, "domain A.1: key = 97 - (13 characters mod 97)";
    InsForm = "ins-form", Rule, "domain A.1";
    InsDomain = "ins-domain", Rule, "domain A.1; configuration dmp.ins_domains";
    InsMissing = "ins-missing", Rule, "domain A.1; deposit demands a qualified INS";
    PatientMismatch = "patient-mismatch", Rule, "domain E.4 (2)";
    HashMismatch = "hash-mismatch", Rule, "domain E.4 (6): XDSNonIdenticalHash";
    SizeMismatch = "size-mismatch", Rule, "domain E.4 (6): XDSNonIdenticalSize";
    EmptyDocument = "empty-document", Rule, "domain E.4 (6): EX_GEN-1060";
    MimeTypeMismatch = "mime-type-mismatch", Rule, "domain D.2";
    CdaSyntax = "cda-syntax", Rule, "CI-SIS structuration minimale; domain E.4 (7)";
    CdaForbidden = "cda-forbidden", Rule, "no DTD, no entities, no script; domain E.4 (7)";
    CdaLimit = "cda-limit", Rule, "limit of this server";
    CdaHeader = "cda-header", Rule, "CI-SIS structuration minimale; domain J.2";
    CdaMetadataMismatch = "cda-metadata-mismatch", Rule, "domain E.4 (7)";
    SetAuthorStructure = "set-author-structure", Rule, "domain C.5, I.2: AuthorInstitution of the set";
    PackageForm = "package-form", Rule, "IHE XDM ITI-32; domain H.2";
    ConsentForm = "consent-form", Rule, "contract 4: Consent";

    /// What the patient saw, or could have, is theirs to see.
    ShownToPatient = "shown-to-patient", Conflict, "domain F.2: invisible to the patient, R1111-53";
    DuplicateUniqueId = "duplicate-unique-id", Conflict, "domain E.4 (6): XDSDuplicateUniqueIdInRegistry";
    UniqueIdTwice = "unique-id-twice", Rule, "XDSRegistryDuplicateUniqueIdInMessage";
    ReplaceTarget = "replace-target", Rule, "domain E.4 (9)";
    UnknownPatient = "unknown-patient", Rule, "domain E.4 (3): XDSUnknownPatientId";
    DossierClosed = "dossier-closed", Forbidden, "domain F.4 (3): DMPClosed";
    /// One answer for every reason to deny a consultation, so that the list of a patient stays theirs.
    AccessDenied = "access-denied", Forbidden, "domain F.4: DMPAccessDeniedByRightsService";
    ActorRefused = "actor-refused", Forbidden, "CSP L1111-18; domain F.4 (1)";
    ModeRefused = "mode-refused", Forbidden, "domain F.1, B.3";
    CertificateClass = "certificate-class", Forbidden, "domain B.1";
    CertificateChain = "certificate-chain", Forbidden, "RFC 5280 section 6; domain B.1";
    CertificateAlgorithm = "certificate-algorithm", Forbidden, "domain B.1, B.2: RSA 2048, SHA-256";
    CertificateIssuer = "certificate-issuer", Forbidden, "domain B.1; configuration tls.issuers";
    CertificateTestCard = "certificate-test-card", Forbidden, "domain B.1; configuration tls.allow_test_cards";
    /// The key may not sign assertions, or may not any more.
    SignatureCertificate = "signature-certificate", Forbidden, "domain B.1, C.5: DMPInvalidCertificate";
    /// Good at the handshake, no longer: revoked, expired, or its root was removed.
    CertificateWithdrawn = "certificate-withdrawn", Forbidden, "domain B.1; files of tls.client_roots and tls.client_crls";

    TokenScheme = "token-scheme", Unauthenticated, "RFC 6750 section 2.1; contract 3";
    TokenForm = "token-form", Unauthenticated, "RFC 7515 section 7.1; RFC 9068 section 2";
    TokenAlgorithm = "token-algorithm", Unauthenticated, "RFC 8725 section 3.1; configuration oidc.algorithms";
    TokenKey = "token-key", Unauthenticated, "RFC 7517 section 4.5; the keys that oidc.issuer publishes";
    TokenSignature = "token-signature", Unauthenticated, "RFC 7515 section 5.2";
    TokenIssuer = "token-issuer", Unauthenticated, "RFC 9068 section 4; configuration oidc.issuer";
    TokenAudience = "token-audience", Unauthenticated, "RFC 9068 section 4; configuration oidc.audience";
    TokenTime = "token-time", Unauthenticated, "RFC 7519 section 4.1; configuration oidc.skew_seconds";
    TokenBinding = "token-binding", Unauthenticated, "RFC 8705 section 3; configuration oidc.require_bound_tokens";
    TokenLevel = "token-level", Unauthenticated, "domain B.4; configuration oidc.acr_values";
    TokenInactive = "token-inactive", Unauthenticated, "RFC 7662 section 2.2";
    TokenClaim = "token-claim", Unauthenticated, "domain B.4, C.3, C.4";
    TokenProvider = "token-provider", Busy, "configuration oidc.issuer";

    VihfForm = "vihf-form", Unauthenticated, "domain C.1; SAML 2.0 core; XML Signature 1.1";
    VihfSignature = "vihf-signature", Unauthenticated, "domain C.1; configuration vihf.sha1";
    VihfIssuer = "vihf-issuer", Unauthenticated, "domain C.1, B.1";
    VihfTime = "vihf-time", Unauthenticated, "domain C.1; configuration vihf.lifetime_seconds";
    VihfReplayed = "vihf-replayed", Unauthenticated, "domain C.1: one VIHF, one call";
    VihfAttribute = "vihf-attribute", Unauthenticated, "domain C.2 to C.4";
    VihfSoftware = "vihf-software", Forbidden, "domain C.2; configuration dmp.homologations";
    StructureMismatch = "structure-mismatch", Forbidden, "domain B.1, I.2; configuration dmp.finess_table";
    TokenMismatch = "token-mismatch", Forbidden, "domain B.3, C.2";
    TokenPatient = "token-patient", Forbidden, "domain C.2: resource-id";

    /// Of one certificate or one structure, while the gateway itself may have nothing to do: see [`Rule::Busy`].
    TooManyRequests = "too-many-requests", TooMany, "contract 7.5; limits of carnet.toml";
    Busy = "busy", Busy, "contract 7.5";
    StorageFull = "storage-full", Full, "contract 7.5";
}

/// What to do where there was no room or no turn. A VIHF is used up by the first call that brought it.
pub const SEND_AGAIN: &str = "the same request again after Retry-After, with a new VIHF if one came with it";

/// One broken rule, in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub rule: Rule,
    /// FHIRPath, slot or header: where the sender looks.
    pub place: String,
    pub found: String,
    pub expected: String,
}

impl Refusal {
    /// `found` must already be free of names and medical values. What looks like an INS is masked here, wherever
    /// the sender put it: as a unique id, a code, even as the name of an element.
    pub fn new(rule: Rule, place: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            rule,
            place: ins::mask_within(&cleaned(place.into())),
            found: shortened(ins::mask_within(&cleaned(found.into()))),
            expected: ins::mask_within(&cleaned(expected.into())),
        }
    }

    /// The same, its place seen from further outside.
    pub fn within(mut self, outer: &str) -> Self {
        self.place = format!("{outer}, {}", self.place);
        self
    }

    pub fn missing(place: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(Rule::MissingMetadata, place, "nothing", expected)
    }
}

/// A sender's value is quoted only so far that an answer stays small.
fn shortened(text: String) -> String {
    const SHOWN_CHARS_MAX: usize = 120;
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}: found {}; expected {} (source: {})",
            self.rule.code(),
            self.place,
            self.found,
            self.expected,
            self.rule.source()
        )
    }
}

impl std::error::Error for Refusal {}

/// Our own failure: an opaque line outside, the whole chain of causes inside.
#[derive(Debug, thiserror::Error)]
#[error("{context}")]
pub struct Fault {
    context: &'static str,
    #[source]
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl Fault {
    pub fn new(context: &'static str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { context, cause: cause.into() }
    }
}

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Rules that the sender broke; nobody has written it down yet.
    #[error("{}", summary(.0))]
    Refused(Vec<Refusal>),
    /// The same, and the journal line that says so is durable. Only operations make one.
    #[error("{}", summary(.0))]
    Journaled(Vec<Refusal>),
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Failure {
    /// The same failure of a request whose journal line is durable already.
    pub fn journaled(self) -> Self {
        match self {
            Self::Refused(refusals) => Self::Journaled(refusals),
            other => other,
        }
    }

    /// What the sender broke; none where the failure is ours.
    pub fn refusals(&self) -> &[Refusal] {
        match self {
            Self::Refused(refusals) | Self::Journaled(refusals) => refusals,
            Self::Fault(_) => &[],
        }
    }
}

fn summary(refusals: &[Refusal]) -> String {
    let first = refusals.first().map_or("none", |refusal| refusal.rule.code());
    format!("{} rule(s) broken, first {first}", refusals.len())
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(vec![refusal])
    }
}
