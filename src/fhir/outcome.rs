//! `Failure` -> OperationOutcome: one issue a broken rule, one id that the log line carries too.
//!
//! What is absent and what is hidden get the same bytes but for that id, whatever the refusal says inside.
//! Source: contract 6, domain E.6.

use std::borrow::Cow;

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use uuid::Uuid;

use super::resource::datatype::{CodeableConcept, Coding};
use super::resource::operation_outcome::{Issue, OperationOutcome};
use crate::refusal::{Category, Failure, Refusal, Rule};

/// System of the codes of [`Rule::code`].
pub const RULE_SYSTEM: &str = "urn:carnet:rule";
/// System of the error codes of ITI TF-3 table 4.2.4.1-2.
pub const XDS_ERROR_SYSTEM: &str = "urn:carnet:xds-error";
/// System of the error codes of the DMP.
pub const DMP_ERROR_SYSTEM: &str = "urn:carnet:dmp-error";

/// Status and headers of a failure. The first refusal decides: checks run in the order of E.4.
pub fn status_of(failure: &Failure) -> (StatusCode, HeaderMap) {
    let Some(first) = failure.refusals().first() else {
        return (StatusCode::INTERNAL_SERVER_ERROR, HeaderMap::new());
    };
    let category = first.rule.category();
    let mut headers = HeaderMap::new();
    if let Some(seconds) = retry_after(category) {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
    }
    if category == Category::Unauthenticated {
        for challenge in challenges(first.rule) {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
    }
    (status_of_category(category), headers)
}

/// The resource that tells the sender what was wrong.
pub fn of_failure(failure: &Failure, id: Uuid) -> OperationOutcome<'_> {
    let issue = match failure {
        Failure::Refused(refusals) | Failure::Journaled(refusals) => {
            refusals.iter().take(ISSUES_MAX).map(issue_of).collect()
        }
        Failure::Fault(_) => vec![fault_issue()],
    };
    OperationOutcome { id: id.to_string(), issue }
}

/// The resource that says all went well, for `Prefer: return=OperationOutcome`.
pub fn of_success(text: &'static str, id: Uuid) -> OperationOutcome<'static> {
    let details = CodeableConcept { coding: Vec::new(), text: Some(Cow::Borrowed(text)) };
    let issue = Issue {
        severity: "information",
        code: "informational",
        details,
        diagnostics: None,
        location: None,
        expression: None,
    };
    OperationOutcome { id: id.to_string(), issue: vec![issue] }
}

/// Codes of the rules broken: what the log line may say of a refusal.
pub fn rule_codes(failure: &Failure) -> String {
    match failure {
        Failure::Refused(refusals) | Failure::Journaled(refusals) => {
            let codes: Vec<_> = refusals.iter().take(ISSUES_MAX).map(|refusal| refusal.rule.code()).collect();
            codes.join(" ")
        }
        Failure::Fault(_) => "fault".to_owned(),
    }
}

fn issue_of(refusal: &Refusal) -> Issue<'_> {
    let mut coding = vec![Coding {
        system: Some(Cow::Borrowed(RULE_SYSTEM)),
        code: Cow::Borrowed(refusal.rule.code()),
        display: None,
    }];
    coding.extend(field_code(refusal.rule).map(|(system, code)| Coding {
        system: Some(Cow::Borrowed(system)),
        code: Cow::Borrowed(code),
        display: None,
    }));
    let mut issue = Issue {
        severity: "error",
        code: issue_code(refusal.rule),
        details: CodeableConcept { coding, text: Some(Cow::Borrowed(NOT_FOUND)) },
        diagnostics: None,
        location: None,
        expression: None,
    };
    if refusal.rule == Rule::NotFound {
        return issue;
    }
    let Refusal { found, expected, rule, .. } = refusal;
    let place = in_words_of_fhir(refusal);
    issue.details.text = Some(Cow::Owned(match place.as_ref() {
        "" => format!("expected {expected}"),
        place => format!("{place}: expected {expected}"),
    }));
    issue.diagnostics = Some(format!("found {found}; expected {expected}; source: {}", rule.source()));
    match place_of(&place) {
        Place::Element(path) => issue.expression = Some([path.to_owned()]),
        Place::Http(name) => issue.location = Some([format!("http.{name}")]),
        Place::Other => {}
    }
    issue
}

/// The operation names attributes as IHE does, for every face; a FHIR sender looks for an element. What is wrong
/// with the structure was found by our own reader, in words of FHIR.
fn in_words_of_fhir(refusal: &Refusal) -> Cow<'_, str> {
    let place = refusal.place.as_str();
    let renamed = ELEMENTS.iter().find_map(|(attribute, element)| {
        let resource = place.strip_suffix(attribute)?.strip_suffix('.')?;
        (!resource.ends_with(".attachment")).then(|| format!("{resource}.{element}"))
    });
    match renamed {
        Some(renamed) if refusal.rule.category() != Category::Malformed => Cow::Owned(renamed),
        _ => Cow::Borrowed(place),
    }
}

fn fault_issue() -> Issue<'static> {
    Issue {
        severity: "fatal",
        code: "exception",
        details: CodeableConcept { coding: Vec::new(), text: Some(Cow::Borrowed(FAULT)) },
        diagnostics: None,
        location: None,
        expression: None,
    }
}

enum Place<'a> {
    /// A FHIRPath: `Bundle.entry[0].resource`; of a place inside a document, that of the resource it came with.
    Element(&'a str),
    /// A header or a parameter.
    Http(&'a str),
    Other,
}

fn place_of(place: &str) -> Place<'_> {
    if let Some(name) = place.strip_prefix("header ").or_else(|| place.strip_prefix("parameter ")) {
        return Place::Http(name);
    }
    let path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '[' | ']' | '_');
    let element = place.split_once(": ").map_or(place, |(element, _)| element);
    if element.starts_with(|c: char| c.is_ascii_uppercase()) && element.chars().all(path) {
        Place::Element(element)
    } else {
        Place::Other
    }
}

fn status_of_category(category: Category) -> StatusCode {
    match category {
        Category::Malformed => StatusCode::BAD_REQUEST,
        Category::Rule => StatusCode::UNPROCESSABLE_ENTITY,
        Category::Unauthenticated => StatusCode::UNAUTHORIZED,
        Category::Forbidden => StatusCode::FORBIDDEN,
        Category::NotFound => StatusCode::NOT_FOUND,
        Category::Method => StatusCode::METHOD_NOT_ALLOWED,
        Category::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        Category::Conflict => StatusCode::CONFLICT,
        Category::Precondition => StatusCode::PRECONDITION_FAILED,
        Category::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Category::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Category::Range => StatusCode::RANGE_NOT_SATISFIABLE,
        Category::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Category::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Category::Full => StatusCode::INSUFFICIENT_STORAGE,
        Category::Timeout => StatusCode::REQUEST_TIMEOUT,
    }
}

/// A second fills up what a caller may send at once; a short wait for a burst of all, a longer one until somebody
/// has made room.
fn retry_after(category: Category) -> Option<&'static str> {
    match category {
        Category::TooMany => Some("1"),
        Category::Busy => Some("2"),
        Category::Full => Some("60"),
        _ => None,
    }
}

/// What a caller whom we do not know may come with, each scheme in a header of its own.
fn challenges(rule: Rule) -> [&'static str; 2] {
    let of_an_access_token = matches!(
        rule,
        Rule::TokenForm
            | Rule::TokenAlgorithm
            | Rule::TokenKey
            | Rule::TokenSignature
            | Rule::TokenIssuer
            | Rule::TokenAudience
            | Rule::TokenTime
            | Rule::TokenBinding
            | Rule::TokenLevel
            | Rule::TokenInactive
            | Rule::TokenClaim
    );
    [VIHF, if of_an_access_token { BEARER_REFUSED } else { BEARER }]
}

/// `OperationOutcome.issue.code`, value set issue-type.
fn issue_code(rule: Rule) -> &'static str {
    match rule {
        Rule::JsonSyntax
        | Rule::XmlSyntax
        | Rule::XmlForbidden
        | Rule::FhirStructure
        | Rule::UnknownElement
        | Rule::Base64
        | Rule::CdaSyntax
        | Rule::CdaForbidden
        | Rule::PackageForm => "structure",
        Rule::BodyIncomplete => "incomplete",
        Rule::Nesting | Rule::CdaLimit | Rule::BodyTooLarge => "too-long",
        Rule::UnknownParameter | Rule::MediaType | Rule::NotAcceptable | Rule::Method | Rule::RouteUnknown => {
            "not-supported"
        }
        Rule::ParameterMissing | Rule::MissingMetadata | Rule::InsMissing => "required",
        Rule::ParameterValue
        | Rule::HeaderValue
        | Rule::Range
        | Rule::MetadataValue
        | Rule::UniqueIdForm
        | Rule::InsKey
        | Rule::InsForm
        | Rule::InsDomain
        | Rule::ConsentForm => "value",
        Rule::BodyTimeout => "timeout",
        Rule::Precondition | Rule::ReplaceTarget | Rule::ShownToPatient => "conflict",
        Rule::NotFound | Rule::ReferenceUnresolved | Rule::UnknownPatient => "not-found",
        Rule::BundleType
        | Rule::BundleEntry
        | Rule::SubmissionSetCount
        | Rule::PatientMismatch
        | Rule::SetAuthorStructure
        | Rule::HashMismatch
        | Rule::SizeMismatch
        | Rule::EmptyDocument
        | Rule::MimeTypeMismatch
        | Rule::CdaHeader
        | Rule::CdaMetadataMismatch => "invariant",
        Rule::UnknownCode => "code-invalid",
        Rule::DuplicateUniqueId | Rule::UniqueIdTwice => "duplicate",
        Rule::DossierClosed
        | Rule::AccessDenied
        | Rule::ActorRefused
        | Rule::ModeRefused
        | Rule::CertificateClass
        | Rule::CertificateChain
        | Rule::CertificateAlgorithm
        | Rule::CertificateIssuer
        | Rule::CertificateTestCard
        | Rule::SignatureCertificate
        | Rule::CertificateWithdrawn
        | Rule::StructureMismatch
        | Rule::TokenMismatch
        | Rule::TokenPatient
        | Rule::VihfSoftware => "forbidden",
        Rule::TokenScheme
        | Rule::TokenForm
        | Rule::TokenAlgorithm
        | Rule::TokenKey
        | Rule::TokenSignature
        | Rule::TokenIssuer
        | Rule::TokenAudience
        | Rule::TokenBinding
        | Rule::TokenLevel
        | Rule::TokenInactive
        | Rule::TokenClaim
        | Rule::VihfForm
        | Rule::VihfSignature
        | Rule::VihfIssuer
        | Rule::VihfAttribute => "login",
        Rule::TokenTime | Rule::VihfTime | Rule::VihfReplayed => "expired",
        Rule::TokenProvider => "transient",
        Rule::TooManyRequests | Rule::Busy => "throttled",
        Rule::StorageFull => "no-store",
    }
}

/// The code by which XDS or the DMP call the same refusal, where they have one.
fn field_code(rule: Rule) -> Option<(&'static str, &'static str)> {
    let xds = |code| Some((XDS_ERROR_SYSTEM, code));
    let dmp = |code| Some((DMP_ERROR_SYSTEM, code));
    match rule {
        Rule::HashMismatch => xds("XDSNonIdenticalHash"),
        Rule::SizeMismatch => xds("XDSNonIdenticalSize"),
        Rule::PatientMismatch => xds("XDSPatientIdDoesNotMatch"),
        Rule::DuplicateUniqueId => xds("XDSDuplicateUniqueIdInRegistry"),
        Rule::UniqueIdTwice => xds("XDSRegistryDuplicateUniqueIdInMessage"),
        Rule::UnknownPatient => xds("XDSUnknownPatientId"),
        Rule::ReplaceTarget => xds("XDSRegistryDeprecatedDocumentError"),
        Rule::ReferenceUnresolved => xds("XDSMissingDocument"),
        Rule::MissingMetadata => xds("XDSMissingDocumentMetadata"),
        Rule::MetadataValue | Rule::UnknownCode | Rule::UniqueIdForm | Rule::InsMissing => {
            xds("XDSRegistryMetadataError")
        }
        Rule::EmptyDocument | Rule::CdaSyntax | Rule::CdaForbidden | Rule::CdaHeader | Rule::CdaMetadataMismatch => {
            xds("InvalidDocumentContent")
        }
        Rule::Busy => xds("XDSRepositoryBusy"),
        Rule::StorageFull => xds("XDSRepositoryOutOfResources"),
        Rule::DossierClosed => dmp("DMPClosed"),
        Rule::AccessDenied => dmp("DMPAccessDeniedByRightsService"),
        Rule::SignatureCertificate => dmp("DMPInvalidCertificate"),
        Rule::JsonSyntax
        | Rule::XmlSyntax
        | Rule::XmlForbidden
        | Rule::BodyIncomplete
        | Rule::Nesting
        | Rule::FhirStructure
        | Rule::UnknownElement
        | Rule::Base64
        | Rule::UnknownParameter
        | Rule::ParameterValue
        | Rule::ParameterMissing
        | Rule::HeaderValue
        | Rule::BodyTimeout
        | Rule::MediaType
        | Rule::NotAcceptable
        | Rule::Method
        | Rule::BodyTooLarge
        | Rule::Range
        | Rule::Precondition
        | Rule::NotFound
        | Rule::RouteUnknown
        | Rule::BundleType
        | Rule::BundleEntry
        | Rule::SubmissionSetCount
        | Rule::InsKey
        | Rule::InsForm
        | Rule::InsDomain
        | Rule::MimeTypeMismatch
        | Rule::CdaLimit
        | Rule::SetAuthorStructure
        | Rule::PackageForm
        | Rule::ConsentForm
        | Rule::ShownToPatient
        | Rule::ActorRefused
        | Rule::ModeRefused
        | Rule::CertificateClass
        | Rule::CertificateChain
        | Rule::CertificateAlgorithm
        | Rule::CertificateIssuer
        | Rule::CertificateTestCard
        | Rule::TooManyRequests
        | Rule::CertificateWithdrawn
        | Rule::TokenScheme
        | Rule::TokenForm
        | Rule::TokenAlgorithm
        | Rule::TokenKey
        | Rule::TokenSignature
        | Rule::TokenIssuer
        | Rule::TokenAudience
        | Rule::TokenTime
        | Rule::TokenBinding
        | Rule::TokenLevel
        | Rule::TokenInactive
        | Rule::TokenClaim
        | Rule::TokenProvider
        | Rule::VihfForm
        | Rule::VihfSignature
        | Rule::VihfIssuer
        | Rule::VihfTime
        | Rule::VihfReplayed
        | Rule::VihfAttribute
        | Rule::VihfSoftware
        | Rule::StructureMismatch
        | Rule::TokenMismatch
        | Rule::TokenPatient => None,
    }
}

/// RFC 9110 section 11.6.1: the schemes that a 401 must name. `error` only where an access token was presented
/// (RFC 6750 section 3.1): clients get themselves a new one then.
const VIHF: &str = "IHE-SAML";
const BEARER: &str = "Bearer realm=\"carnet\"";
const BEARER_REFUSED: &str = "Bearer realm=\"carnet\", error=\"invalid_token\"";

/// IHE attribute -> element of DocumentReference (of List, for the submission set). Source: MHD 4.2 mappings.
const ELEMENTS: [(&str, &str); 16] = [
    ("XDSSubmissionSet.author", "source"),
    ("XDSSubmissionSet.uniqueId", "identifier"),
    ("uniqueId", "masterIdentifier"),
    ("patientId", "subject"),
    ("typeCode", "type"),
    ("formatCode", "content[0].format"),
    ("healthcareFacilityTypeCode", "context.facilityType"),
    ("practiceSettingCode", "context.practiceSetting"),
    ("title", "content[0].attachment.title"),
    ("languageCode", "content[0].attachment.language"),
    ("creationTime", "content[0].attachment.creation"),
    ("mimeType", "content[0].attachment.contentType"),
    ("hash", "content[0].attachment.hash"),
    ("size", "content[0].attachment.size"),
    ("author", "author"),
    ("document", "content[0].attachment"),
];

/// More issues than this help nobody.
const ISSUES_MAX: usize = 50;
const NOT_FOUND: &str = "there is no such document or list line here for this caller";
const FAULT: &str = "the gateway failed; nothing is wrong with the request; quote this id to its operator";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Fault;

    fn json(failure: &Failure) -> serde_json::Value {
        let text = serde_json::to_string(&of_failure(failure, Uuid::nil())).unwrap();
        fhirkit::from_json_strict::<fhirkit::r4::OperationOutcome>(&text).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn every_rule_makes_a_valid_outcome_with_a_client_or_load_status() {
        for rule in Rule::ALL {
            let failure = Failure::from(Refusal::new(*rule, "Bundle.entry[0]", "x", "y"));
            let outcome = json(&failure);
            assert_eq!(outcome["issue"][0]["details"]["coding"][0]["code"], rule.code());
            let (status, _) = status_of(&failure);
            assert!(status.is_client_error() || matches!(status.as_u16(), 503 | 507), "{rule:?} {status}");
        }
    }

    #[test]
    fn a_refusal_names_rule_place_found_and_expected() {
        let refusal = Refusal::new(Rule::HashMismatch, "Bundle.entry[1].resource", "abc", "def");
        let outcome = json(&refusal.into());
        let issue = &outcome["issue"][0];
        assert_eq!(issue["details"]["coding"][1]["code"], "XDSNonIdenticalHash");
        assert_eq!(issue["expression"][0], "Bundle.entry[1].resource");
        let diagnostics = issue["diagnostics"].as_str().unwrap();
        assert!(diagnostics.contains("found abc; expected def"), "{diagnostics}");
    }

    #[test]
    fn an_attribute_is_told_by_its_element() {
        for (place, element) in [
            ("Bundle.entry[1].resource.typeCode", "Bundle.entry[1].resource.type"),
            ("DocumentReference.hash", "DocumentReference.content[0].attachment.hash"),
            ("Bundle.entry[0].resource.XDSSubmissionSet.uniqueId", "Bundle.entry[0].resource.identifier"),
            (
                "Bundle.entry[1].resource.content[0].attachment.hash",
                "Bundle.entry[1].resource.content[0].attachment.hash",
            ),
            ("DocumentReference: ClinicalDocument/id", "DocumentReference"),
        ] {
            let outcome = json(&Refusal::new(Rule::MetadataValue, place, "x", "y").into());
            assert_eq!(outcome["issue"][0]["expression"][0], element, "{place}");
        }
    }

    #[test]
    fn a_header_is_a_location_and_no_expression() {
        let outcome = json(&Refusal::new(Rule::HeaderValue, "header X-Purpose-Of-Use", "x", "y").into());
        assert_eq!(outcome["issue"][0]["location"][0], "http.X-Purpose-Of-Use");
        assert!(outcome["issue"][0]["expression"].is_null());
    }

    #[test]
    fn not_found_says_the_same_whatever_the_reason() {
        let absent = Refusal::new(Rule::NotFound, "DocumentReference", "absent", "");
        let hidden = Refusal::new(Rule::NotFound, "Binary", "hidden", "something else");
        assert_eq!(json(&absent.into()), json(&hidden.into()));
    }

    #[test]
    fn a_fault_shows_nothing_of_its_cause() {
        let fault = Failure::from(Fault::new("writing the journal", "disk sdb1 failed"));
        assert!(!json(&fault).to_string().contains("sdb1"));
        assert_eq!(status_of(&fault).0, StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn overload_says_when_to_come_back() {
        for (rule, status) in [(Rule::Busy, 503), (Rule::StorageFull, 507)] {
            let (found, headers) = status_of(&Refusal::new(rule, "", "", "").into());
            assert_eq!(found.as_u16(), status);
            assert!(headers.contains_key(RETRY_AFTER));
        }
    }
}
