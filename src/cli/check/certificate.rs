//! Certificates under `carnet check`: of clients and of signers, with the chain that came along.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::report::Report;
use super::{Grounds, rights};
use crate::config::StructureClass;
use crate::domain::code::Code;
use crate::identity::caller::{Caller, CallerHeaders};
use crate::tls::client_certificate::serial_hex;
use crate::tls::key_purpose::KeyPurpose;
use crate::tls::signature_certificate::SignatureCertificate;
use crate::tls::subject::{Card, Subject};

/// Judges the first certificate of a chain for what its key is for: to open connections, or to sign assertions.
pub(super) fn judge(chain: &[CertificateDer<'_>], grounds: &Grounds) -> Report {
    let leaf: &[u8] = chain.first().map_or(&[], |leaf| leaf.as_ref());
    let Ok((_, certificate)) = X509Certificate::from_der(leaf) else {
        let mut report = Report::new("certificate that cannot be read");
        grounds
            .verifier
            .explain(chain, KeyPurpose::Authentication, grounds.now)
            .into_iter()
            .for_each(|one| report.refuse(one));
        return report;
    };
    let purpose = KeyPurpose::of(&certificate);
    let (subject, card) = (Subject::read(&certificate), Card::read(&certificate));
    let mut report = Report::new(kind(&certificate, purpose, subject.as_ref().ok()));
    if let Ok(subject) = &subject {
        tell_subject(&mut report, subject);
        tell_rights(&mut report, subject, purpose, grounds);
    }
    if let Ok(card) = &card {
        tell_card(&mut report, card);
    }
    tell_certificate(&mut report, &certificate, chain.len());
    let unreadable = [subject.err(), card.err()];
    let unreadable = unreadable.into_iter().flatten().map(|refusal| refusal.within(purpose.holder()));
    let broken = grounds.verifier.explain(chain, purpose, grounds.now);
    let outcome = match purpose {
        KeyPurpose::Authentication => call(chain, grounds),
        KeyPurpose::Signature => SignatureCertificate::verify(chain, grounds.now, &grounds.verifier).map(|_| ()),
    };
    broken.into_iter().chain(unreadable).chain(outcome.err()).for_each(|refusal| report.refuse(refusal));
    report.not_judged("revocation", REVOCATION);
    report
}

/// What a connection and a request of nothing in particular lead to.
fn call(chain: &[CertificateDer<'_>], grounds: &Grounds) -> Result<(), crate::refusal::Refusal> {
    let presented = grounds.verifier.present(chain, grounds.now);
    let certificate = presented.as_ref().as_ref().map_err(|refused| refused.refusal.clone())?;
    Caller::identify(certificate, None, CallerHeaders::default(), &grounds.structures).map(|_| ())
}

fn kind(certificate: &X509Certificate<'_>, purpose: KeyPurpose, subject: Option<&Subject>) -> String {
    let holder = match subject {
        _ if certificate.is_ca() => return "certificate of an authority".to_owned(),
        Some(Subject::Person(_)) => "a professional (CPS)",
        Some(Subject::Employee(_)) => "an employee (CPE)",
        Some(Subject::Organisation(_)) => "a structure (ORG)",
        None => "none of the classes of IGC-Santé",
    };
    let used_for = match purpose {
        KeyPurpose::Authentication => "authentication (AUTH)",
        KeyPurpose::Signature => "signature (SIGN)",
    };
    format!("certificate of {holder}, for {used_for}")
}

fn tell_subject(report: &mut Report, subject: &Subject) {
    match subject {
        Subject::Person(person) => {
            report.fact("PS_IdNat", person.ps_id.as_str());
            report.fact("name", format!("{} {}", person.given, person.family));
            report.fact("profession", code_text(&person.profession));
            if !person.savoir_faire.is_empty() {
                let codes: Vec<String> = person.savoir_faire.iter().map(code_text).collect();
                report.fact("savoir-faire", codes.join(", "));
            }
        }
        Subject::Employee(employee) => {
            let name = employee.name();
            report.fact("PS_IdNat", employee.id.as_str());
            report.fact("name", format!("{} {}", name.given, name.family));
            report.fact("raison sociale", employee.organisation.as_str());
            if let Some(structure) = employee.structure() {
                report.fact("Struct_IdNat", structure.as_str());
            }
        }
        Subject::Organisation(organisation) => {
            report.fact("Struct_IdNat", organisation.struct_id.as_str());
            report.fact("raison sociale", organisation.name.as_str());
            report.fact("application", organisation.application.as_str());
        }
    }
}

fn tell_card(report: &mut Report, card: &Card) {
    if let Some(card_type) = card.card_type {
        let reality = if card_type.is_test() { "test" } else { "real" };
        report.fact("card type", format!("0x{:02x} ({reality})", card_type.byte()));
    }
    if let Some(id) = &card.id {
        report.fact("card", id.as_str());
    }
}

fn tell_certificate(report: &mut Report, certificate: &X509Certificate<'_>, sent: usize) {
    let validity = certificate.validity();
    report.fact("issuer", certificate.issuer().to_string());
    report.fact("serial", serial_hex(certificate.raw_serial()));
    let moment = |at_s: i64| Timestamp::from_second(at_s).map_or_else(|_| at_s.to_string(), |at| at.to_string());
    let (from, until) = (moment(validity.not_before.timestamp()), moment(validity.not_after.timestamp()));
    report.fact("valid", format!("{from} to {until}"));
    report.fact("authorities in the file", sent.saturating_sub(1).to_string());
}

/// In the words of contract 3.
fn tell_rights(report: &mut Report, subject: &Subject, purpose: KeyPurpose, grounds: &Grounds) {
    let class = match subject {
        Subject::Organisation(organisation) => {
            grounds.config.dmp.structure_classes.get(organisation.struct_id.as_str())
        }
        Subject::Person(_) | Subject::Employee(_) => None,
    };
    report.right(match (purpose, subject, class) {
        (KeyPurpose::Signature, Subject::Person(_) | Subject::Employee(_), _) => {
            "sign assertions of its holder in direct mode; it opens no connection"
        }
        (KeyPurpose::Signature, Subject::Organisation(_), _) => {
            "sign assertions of its structure in indirect mode and in AIR; it opens no connection"
        }
        (KeyPurpose::Authentication, Subject::Person(_), _) => rights::DIRECT,
        (KeyPurpose::Authentication, Subject::Employee(_), _) => rights::EMPLOYEE,
        (KeyPurpose::Authentication, Subject::Organisation(_), Some(StructureClass::PatientPortal)) => rights::PORTAL,
        (KeyPurpose::Authentication, Subject::Organisation(_), _) => rights::INDIRECT,
    });
}

fn code_text(code: &Code) -> String {
    match &code.display {
        Some(display) => format!("{} {display}", code.code),
        None => code.code.clone(),
    }
}

pub(super) const REVOCATION: &str = "as of the lists in the files; a running gateway may have later ones, and asks the responders (OCSP) that it is given";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject as _;

    use super::*;
    use crate::cli::Ending;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::identity::structures::Structures;
    use crate::tls::client_verifier::ClientVerifier;
    use crate::tls::development_pki::{DevelopmentPki, Holder, KeyUse};

    fn grounds(pki: &DevelopmentPki) -> Grounds {
        let mut config = Config::default();
        config.tls.client_roots = vec![pki.directory().join("client-roots.pem")];
        config.tls.client_crls = vec![pki.directory().join("crl")];
        config.tls.allow_development_roots = true;
        config.tls.issuers = pki.issuers();
        config.dmp.structure_classes = [("2990000052".to_owned(), StructureClass::Insurer)].into();
        let verifier = Arc::new(ClientVerifier::load(&config.tls, &config.revocation).unwrap());
        let structures = Structures::of_classes(config.dmp.structure_classes.clone());
        Grounds { config, verifier, structures, keys: None, certificate: None, now: Clock::System.now() }
    }

    fn structure(id: &str) -> Holder {
        let (name, application) = ("CHU TEST".to_owned(), "DPI".to_owned());
        Holder::Organisation { struct_id: id.parse().unwrap(), name, application }
    }

    /// Of a certificate as issued, after what `then` does to the PKI.
    fn report(holder: &Holder, key_use: KeyUse, then: impl FnOnce(&DevelopmentPki, &str)) -> Report {
        let folder = tempfile::tempdir().unwrap();
        let pki = DevelopmentPki::create(folder.path(), Clock::System).unwrap();
        let issued = pki.issue(holder, key_use, pki.usual_lifetime()).unwrap();
        then(&pki, &issued.serial);
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(issued.certificate_pem.as_bytes()).collect::<Result<_, _>>().unwrap();
        judge(&chain, &grounds(&pki))
    }

    #[test]
    fn a_good_certificate_is_told_with_its_holder_and_rights() {
        let told = report(&structure("1750803447"), KeyUse::Auth, |_, _| {});
        assert_eq!(told.ending(), Ending::Done);
        let json = told.json("chu.pem");
        assert_eq!(json["kind"], "certificate of a structure (ORG), for authentication (AUTH)");
        assert_eq!(json["facts"]["Struct_IdNat"], "1750803447");
        assert!(json["rights"][0].as_str().unwrap().starts_with("indirect mode"));
        let seal = report(&structure("1750803447"), KeyUse::Sign, |_, _| {});
        assert_eq!(seal.ending(), Ending::Done);
        assert!(seal.json("")["rights"][0].as_str().unwrap().contains("opens no connection"));
    }

    #[test]
    fn a_revoked_certificate_and_one_of_an_insurer_are_refused_and_have_no_rights() {
        let revoked = report(&structure("1750803447"), KeyUse::Auth, |pki, serial| pki.revoke(serial).unwrap());
        assert_eq!(revoked.json("")["refused"][0]["rule"], "certificate-withdrawn");
        assert_eq!(revoked.json("")["rights"].as_array().unwrap().len(), 0);
        let insurer = report(&structure("2990000052"), KeyUse::Auth, |_, _| {});
        assert_eq!(insurer.json("")["refused"][0]["rule"], "actor-refused");
        assert_eq!(insurer.ending(), Ending::Refused);
    }

    #[test]
    fn bytes_that_are_no_certificate_are_refused_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let pki = DevelopmentPki::create(folder.path(), Clock::System).unwrap();
        let told = judge(&[CertificateDer::from(vec![0x30, 0])], &grounds(&pki));
        assert_eq!(told.ending(), Ending::Refused);
    }
}
