//! The certificate behind the signature of an assertion: chain, class and dates at the instant of the judgement.
//!
//! What is signed, and whether the signature fits, is the question of who reads the assertion. An assertion often
//! carries its signer's certificate alone: authorities that configuration names (`tls.issuers`) need not be sent
//! along. Source: B.1, C.1, C.5.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, Class, FromDer as _, Oid, Tag, oid};
use x509_parser::certificate::X509Certificate;

use super::client_certificate::serial_hex;
use super::client_verifier::ClientVerifier;
use super::distinguished_name::DistinguishedName;
use super::key_purpose::KeyPurpose;
use super::subject::{Card, Subject};
use crate::domain::sha::{Fingerprint, Sha256Hash};
use crate::refusal::Refusal;

/// Proof that, at one instant, a certificate was good for signatures.
#[derive(Debug, Clone)]
pub struct SignatureCertificate {
    pub subject: Subject,
    pub card: Card,
    /// Lower-case hexadecimal, as `pki revoke` takes it.
    pub serial: String,
    pub fingerprint: Sha256Hash,
    /// To be compared with the Issuer of an assertion.
    pub name: DistinguishedName,
    /// Subject public key info, DER.
    pub public_key: Vec<u8>,
}

impl SignatureCertificate {
    /// Judges the signer's certificate (first) and what was sent along with it, as of `at`: pass the present, or
    /// the instant of signature where that is proven otherwise.
    ///
    /// Errors: `SignatureCertificate` for a key of another purpose or past its private key usage period,
    /// `CertificateChain`, `CertificateAlgorithm`, `CertificateIssuer`, `CertificateTestCard`,
    /// `CertificateWithdrawn` and `CertificateClass` as for clients.
    pub fn verify(chain: &[CertificateDer<'_>], at: Timestamp, verifier: &ClientVerifier) -> Result<Self, Refusal> {
        let leaf = chain.first().ok_or_else(|| PURPOSE.refused("DER", "nothing", "one certificate"))?;
        let Ok(([], certificate)) = X509Certificate::from_der(leaf) else {
            return Err(PURPOSE.unreadable());
        };
        PURPOSE.check(&certificate)?;
        check_key_period(&certificate, at)?;
        let within = |refusal: Refusal| refusal.within(PURPOSE.holder());
        let subject = Subject::read(&certificate).map_err(within)?;
        let card = Card::read(&certificate).map_err(within)?;
        let found = verifier.find(chain, PURPOSE, at).map_err(|error| error.refusal())?;
        verifier.check_admission(&found, subject.class(), &card, PURPOSE)?;
        verifier.check_revocation(&found, PURPOSE, at)?;
        Ok(Self {
            subject,
            card,
            serial: serial_hex(certificate.raw_serial()),
            fingerprint: Fingerprint::of(leaf).sha256,
            name: DistinguishedName::of(certificate.subject()),
            public_key: certificate.public_key().raw.to_vec(),
        })
    }
}

/// A card's key stops signing a month before its certificate ends: a later signature is none. RFC 3280 4.2.1.4.
fn check_key_period(certificate: &X509Certificate<'_>, at: Timestamp) -> Result<(), Refusal> {
    const PLACE: &str = "extension 2.5.29.16 (private key usage period)";
    let extension = certificate.extensions().iter().find(|one| one.oid == PRIVATE_KEY_USAGE_PERIOD);
    let Some(extension) = extension else {
        return Ok(());
    };
    let malformed = || PURPOSE.refused(PLACE, "bytes that cannot be read", "SEQUENCE of two GeneralizedTime");
    let (from, until) = read_period(extension.value).ok_or_else(malformed)?;
    let outside = [("notBefore", from.filter(|from| at < *from)), ("notAfter", until.filter(|until| at > *until))];
    match outside.into_iter().find_map(|(name, bound)| Some((name, bound?))) {
        None => Ok(()),
        Some((name, bound)) => {
            const EXPECTED: &str = "a signature made while the private key could be used";
            Err(PURPOSE.refused(PLACE, &format!("{name} {bound}, judged at {at}"), EXPECTED))
        }
    }
}

/// `[0]` and `[1]` IMPLICIT GeneralizedTime, each optional, in this order.
fn read_period(der: &[u8]) -> Option<(Option<Timestamp>, Option<Timestamp>)> {
    let (rest, sequence) = Any::from_der(der).ok()?;
    if !rest.is_empty() || sequence.tag() != Tag::Sequence {
        return None;
    }
    let (mut rest, mut period) = (sequence.data, (None, None));
    while !rest.is_empty() {
        let (after, field) = Any::from_der(rest).ok().filter(|(_, field)| field.class() == Class::ContextSpecific)?;
        let text = std::str::from_utf8(field.data).ok()?;
        let at = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
        match (field.tag().0, period) {
            (0, (None, None)) => period.0 = Some(at),
            (1, (_, None)) => period.1 = Some(at),
            _ => return None,
        }
        rest = after;
    }
    Some(period)
}

const PURPOSE: KeyPurpose = KeyPurpose::Signature;
const PRIVATE_KEY_USAGE_PERIOD: Oid<'static> = oid!(2.5.29.16);
