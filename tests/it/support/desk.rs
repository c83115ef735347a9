//! A desk where bad messages are handed in. What holds of every refusal (contract 6) is checked here, once.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;

use super::caller::Answer;
use super::gateway::{Builder, OTHER_PATIENT, patient};
use super::{Caller, Document, TestGateway};

pub struct Desk {
    pub gateway: TestGateway,
    pub hospital: Caller,
}

/// One request, in any shape that a test wants.
pub struct Sent {
    pub method: Method,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Sent {
    /// ITI-65, whatever the text is.
    pub fn json(text: impl Into<Bytes>) -> Self {
        Self::post("", "application/fhir+json", text)
    }

    pub fn xml(text: impl Into<Bytes>) -> Self {
        Self::post("", "application/fhir+xml", text)
    }

    pub fn bundle(bundle: &Value) -> Self {
        Self::json(bundle.to_string())
    }

    /// ITI-105.
    pub fn publish(reference: &Value) -> Self {
        Self::post("/DocumentReference", "application/fhir+json", reference.to_string())
    }

    pub fn post(path: &str, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type", content_type.to_owned())];
        Self { method: Method::POST, path: path.to_owned(), headers, body: body.into() }
    }

    pub fn get(path: &str) -> Self {
        Self::without_body(Method::GET, path)
    }

    pub fn without_body(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: Vec::new(), body: Bytes::new() }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

impl Desk {
    pub async fn open() -> Self {
        Self::of(TestGateway::builder()).await
    }

    pub async fn of(builder: Builder) -> Self {
        let gateway = builder.start().await;
        let hospital = gateway.hospital();
        Self { gateway, hospital }
    }

    /// Hands in a message that must be refused for `rule` at `place`: told as the contract says, one journal line,
    /// nothing stored, and the next good deposit goes through.
    pub async fn refuses(&self, sent: Sent, status: u16, rule: &str, place: &str) -> Answer {
        let (stored, lines) = (self.stored().await, self.gateway.journal_lines().await + 1);
        let answer = self.send(sent).await;
        assert_eq!(self.gateway.journal_lines().await, lines, "journal lines after: {}", answer.text());
        is_a_refusal(&answer, status, rule, place);
        self.is_well_with(stored).await;
        answer
    }

    /// The same of what concerns no record: no caller is asked for and no line written.
    pub async fn turns_away(&self, sent: Sent, status: u16, rule: &str, place: &str) -> Answer {
        let (stored, lines) = (self.stored().await, self.gateway.journal_lines().await);
        let answer = self.send(sent).await;
        assert_eq!(self.gateway.journal_lines().await, lines, "journal lines after: {}", answer.text());
        is_a_refusal(&answer, status, rule, place);
        self.is_well_with(stored).await;
        answer
    }

    pub async fn send(&self, sent: Sent) -> Answer {
        let headers: Vec<(&str, &str)> = sent.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.hospital.send(sent.method, &sent.path, &headers, sent.body).await
    }

    /// How many documents the depositor finds.
    pub async fn stored(&self) -> u64 {
        let answer = self.hospital.search("&_count=0").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()["total"].as_u64().expect("total")
    }

    /// Nothing was stored meanwhile, and a good deposit works.
    pub async fn is_well_with(&self, stored: u64) {
        assert_eq!(self.stored().await, stored, "something was stored");
        self.hospital.deposited(&Document::discharge_letter()).await;
    }
}

/// What contract 6 asks of every refusal.
pub fn is_a_refusal(answer: &Answer, status: u16, rule: &str, place: &str) {
    let text = answer.text();
    assert_eq!(answer.status.as_u16(), status, "{text}");
    let content_type = answer.headers["content-type"].to_str().expect("text");
    assert!(content_type.starts_with("application/fhir+json"), "{content_type}");
    fhirkit::from_json_strict::<fhirkit::r4::OperationOutcome>(&text).expect("a valid OperationOutcome");
    let body = answer.json();
    assert_eq!(answer.headers["x-request-id"].to_str().expect("text"), body["id"], "{text}");
    assert_eq!(answer.rule(), rule, "{text}");
    let issue = &body["issue"][0];
    assert_eq!(issue["severity"], "error", "{text}");
    if rule != "not-found" {
        let diagnostics = issue["diagnostics"].as_str().unwrap_or_default();
        for part in ["found ", "; expected ", "; source: "] {
            assert!(diagnostics.contains(part), "{text}");
        }
        let details = issue["details"]["text"].as_str().unwrap_or_default();
        assert!(details.starts_with(&format!("{place}: ")), "not at {place}: {text}");
        let element = place.split(": ").next().unwrap_or_default();
        let masked = element.contains('*');
        if !masked && (element.starts_with("Bundle") || element.starts_with("DocumentReference")) {
            assert_eq!(issue["expression"][0], element, "{text}");
        }
    }
    tells_nobody(&text);
}

/// No INS in full, no name, no title.
fn tells_nobody(text: &str) {
    let other: carnet::domain::ins::Ins = OTHER_PATIENT.parse().expect("INS");
    let secrets = [patient().matricule().to_owned(), other.matricule().to_owned()];
    let words = ["MATHILDE", "LAVERDURE", "Lettre", "27903512151", "27707632208"].map(str::to_owned);
    for secret in secrets.iter().chain(&words) {
        assert!(!text.contains(secret.as_str()), "{secret} is told: {text}");
    }
}
