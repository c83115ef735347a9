//! VIHF under `carnet check`: an assertion as it is, in the base64 of an Authorization header, or in a SOAP message.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use super::certificate::REVOCATION;
use super::report::Report;
use super::{FILE_BYTES_MAX, Grounds, rights};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::value_set::Terminology;
use crate::identity::statement::{AccessVisibility, StatedMode, Statement};
use crate::identity::vihf::wss::{self, Enclosed};
use crate::identity::vihf::{About, Judge, SignerTrust, Telling};
use crate::refusal::Refusal;
use crate::tls::client_verifier::ClientVerifier;
use crate::tls::signature_certificate::SignatureCertificate;
use crate::tls::subject::Subject;
use crate::tls::trust::TrustError;

/// What of a file is to be judged as a VIHF.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The assertion, out of its base64.
    Bare(Vec<u8>),
    /// A SOAP message, whole.
    Message(Vec<u8>),
}

/// The assertion in a file, if it holds one, or the message that should.
pub(super) fn find(bytes: &[u8]) -> Option<Found> {
    if wss::is_envelope(bytes) {
        return Some(Found::Message(bytes.to_vec()));
    }
    let is_assertion = |text: &[u8]| {
        memchr::memmem::find(text, b"Assertion").is_some()
            && memchr::memmem::find(text, b"urn:oasis:names:tc:SAML:2.0:assertion").is_some()
    };
    if is_assertion(bytes) {
        return Some(Found::Bare(bytes.to_vec()));
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let text: String = text.trim().trim_start_matches("IHE-SAML ").split_whitespace().collect();
    base64_simd::STANDARD.decode_to_vec(text).ok().filter(|decoded| is_assertion(decoded)).map(Found::Bare)
}

/// Holds what was found against every rule that does not need the connection that brings it.
pub(super) fn judge(found: &Found, grounds: &Grounds) -> anyhow::Result<Report> {
    match found {
        Found::Bare(assertion) => judge_assertion(assertion, None, grounds),
        Found::Message(message) => match wss::open(message, FILE_BYTES_MAX) {
            Ok(Enclosed { soap, assertion }) => {
                let from = format!("WS-Security header of a {} message; its body is not judged", soap.name());
                judge_assertion(assertion.as_bytes(), Some(from), grounds)
            }
            Err(refusal) => {
                let mut report = Report::new("VIHF in a SOAP message");
                report.refuse(refusal);
                Ok(report)
            }
        },
    }
}

fn judge_assertion(assertion: &[u8], from: Option<String>, grounds: &Grounds) -> anyhow::Result<Report> {
    let terminology = Arc::new(Terminology::load()?);
    let signers = Arc::new(Offline(Arc::clone(&grounds.verifier)));
    let judge = Judge::new(&grounds.config, signers, terminology, Clock::fixed(grounds.now));
    let judgement = judge.judge(assertion, About::OnePatient, Telling::Everything);
    let kind = judgement
        .statement
        .as_ref()
        .map_or_else(|| "VIHF".to_owned(), |statement| format!("VIHF, mode {}", statement.mode.word()));
    let mut report = Report::new(kind);
    if let Some(from) = from {
        report.fact("from", from);
    }
    if let Some(id) = &judgement.id {
        report.fact("id", id.as_str());
    }
    if let Some(signer) = &judgement.signer {
        report.fact("signed by", signer.name.to_string());
        report.fact("serial", signer.serial.as_str());
    }
    if let Some(statement) = &judgement.statement {
        let signer = judgement.signer.as_ref().map(|signer| &signer.subject);
        tell(&mut report, statement, signer, &grounds.config);
    }
    if let Some(token) = judgement.token() {
        grounds.agree(&mut report, token.clone());
    }
    judgement.refusals.into_iter().for_each(|refusal| report.refuse(refusal));
    report.not_judged("revocation", REVOCATION);
    report.not_judged("replay", "only the gateway knows what was presented before");
    Ok(report)
}

fn tell(report: &mut Report, statement: &Statement, signer: Option<&Subject>, config: &Config) {
    report.fact("user", statement.subject.id.as_str());
    if let Some(name) = &statement.subject.name {
        report.fact("name", name.as_str());
    }
    let roles: Vec<&str> = statement.roles.iter().map(|role| role.code.as_str()).collect();
    report.fact("roles", roles.join(", "));
    report.fact("structure", statement.structure.as_str());
    if let Some(class) = config.dmp.structure_classes.get(statement.structure.as_str()) {
        report.fact("class", format!("{class:?}"));
    }
    if let Some(sector) = &statement.sector {
        report.fact("sector", sector.code.as_str());
    }
    report.fact("purpose", statement.purpose.code());
    if let Some(patient) = &statement.patient {
        report.fact("patient", patient.masked());
    }
    if statement.visibility == AccessVisibility::HiddenFromLegalRepresentatives {
        report.fact("secret", "hidden from the legal representatives of a minor");
    }
    if let Some(software) = &statement.software {
        report.fact("software", format!("{} {} ({})", software.name, software.version, software.homologation));
    }
    let (mode, with) = match (statement.mode, signer) {
        (StatedMode::Directe, Some(Subject::Employee(_))) => (rights::EMPLOYEE, "the card that signed it"),
        (StatedMode::Directe, _) => (rights::DIRECT, "the card that signed it"),
        (StatedMode::Indirecte, _) => (rights::INDIRECT, "a certificate of its structure"),
        (StatedMode::IndirecteRenforcee, _) => (rights::AIR, "a certificate of its structure"),
    };
    report.right(format!("with {with}, in {mode}"));
}

/// The files that configuration names, read once.
pub(in crate::cli) struct Offline(Arc<ClientVerifier>);

impl Offline {
    pub(in crate::cli) fn load(config: &Config) -> Result<Self, TrustError> {
        ClientVerifier::load(&config.tls, &config.revocation).map(|verifier| Self(Arc::new(verifier)))
    }
}

impl SignerTrust for Offline {
    fn signer(&self, chain: &[CertificateDer<'_>], at: Timestamp) -> Result<SignatureCertificate, Refusal> {
        SignatureCertificate::verify(chain, at, &self.0)
    }
}
