//! What the certificate behind a signature says of its holder, and whether it may sign at all.
//!
//! Of the same shapes as a client certificate, and never one: keys that open connections do not sign, keys that
//! sign open no connection. Whether the chain is believed is [`super::trust`]'s question. Source: B.1, C.5.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, Class, FromDer as _, GeneralizedTime, Oid, oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::public_key::PublicKey;

use super::client_certificate::{Subject, read_subject, serial_hex};
use super::distinguished_name::DistinguishedName;
use super::revocation::Revocations;
use super::signer_verifier::SignerVerifier;
use crate::domain::sha::{Fingerprint, Sha256Hash};
use crate::refusal::{Refusal, Rule};

/// A certificate of class SIGN (cachet of a structure, signature key of a card).
#[derive(Debug, Clone)]
pub struct SignatureCertificate {
    pub subject: Subject,
    pub name: DistinguishedName,
    pub serial: String,
    pub fingerprint: Sha256Hash,
    /// SubjectPublicKeyInfo, DER.
    pub public_key: Vec<u8>,
}

/// Private Key Usage Period: on cards it ends a month before the certificate does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct KeyUsagePeriod {
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
}

impl SignatureCertificate {
    /// Judges the signer's certificate (first) and what was sent along with it, as of `at`.
    ///
    /// Errors: `SignatureCertificate` with the place in the certificate, for whatever may not sign an assertion.
    pub(super) fn verify(
        chain: &[CertificateDer<'_>],
        at: Timestamp,
        signers: &SignerVerifier,
        revocations: &Revocations,
    ) -> Result<Self, Refusal> {
        let Some((leaf, sent)) = chain.split_first() else { return Err(refused("DER", "nothing", "one certificate")) };
        let Ok(([], certificate)) = X509Certificate::from_der(leaf) else {
            return Err(refused("DER", "bytes that are not one certificate", "X.509 version 3"));
        };
        check_purpose(&certificate)?;
        check_key(&certificate)?;
        read_key_usage_period(&certificate)?.check(at)?;
        signers.verify(leaf, sent, revocations, at)?;
        let as_signer = |refusal: Refusal| {
            let place = refusal.place.replace("client certificate", PLACE);
            Refusal::new(Rule::SignatureCertificate, place, refusal.found, refusal.expected)
        };
        Ok(Self {
            subject: read_subject(&certificate).map_err(as_signer)?,
            name: DistinguishedName::of(certificate.subject()),
            serial: serial_hex(certificate.raw_serial()),
            fingerprint: Fingerprint::of(leaf).sha256,
            public_key: certificate.public_key().raw.to_vec(),
        })
    }
}

impl KeyUsagePeriod {
    /// Whether the key is allowed to sign at `at`; the certificate may outlive its key.
    fn check(self, at: Timestamp) -> Result<(), Refusal> {
        const PLACE: &str = "privateKeyUsagePeriod";
        match (self.not_before, self.not_after) {
            (Some(not_before), _) if at < not_before => {
                Err(refused(PLACE, &format!("from {not_before}"), &format!("a key that may sign at {at}")))
            }
            (_, Some(not_after)) if at > not_after => {
                Err(refused(PLACE, &format!("until {not_after}"), &format!("a key that may sign at {at}: renew it")))
            }
            _ => Ok(()),
        }
    }
}

/// nonRepudiation, emailProtection, no clientAuth, no CA.
fn check_purpose(certificate: &X509Certificate<'_>) -> Result<(), Refusal> {
    const CLASS: &str = "Not a valid signature certificate";
    let unreadable = |_| refused("extensions", "an extension twice, or one that cannot be read", "RFC 5280 extensions");
    certificate.extensions_map().map_err(unreadable)?;
    let broken = |extension: &ParsedExtension<'_>| matches!(extension, ParsedExtension::ParseError { .. });
    if certificate.extensions().iter().any(|one| broken(one.parsed_extension())) {
        return Err(refused("extensions", "bytes that cannot be read", "RFC 5280 syntax"));
    }
    if certificate.is_ca() {
        return Err(refused("basicConstraints", "a CA", "an end-entity certificate of class SIGN"));
    }
    let extended = certificate.extended_key_usage().map_err(unreadable)?.map(|usage| usage.value);
    if extended.is_some_and(|usage| usage.client_auth) {
        let found = "clientAuth, an authentication certificate. ".to_owned() + CLASS;
        return Err(refused("extendedKeyUsage", &found, "emailProtection: sign with the SIGN key (cachet)"));
    }
    let signs = certificate.key_usage().map_err(unreadable)?.is_some_and(|usage| usage.value.non_repudiation());
    if !signs {
        let found = "no nonRepudiation. ".to_owned() + CLASS;
        return Err(refused("keyUsage", &found, "nonRepudiation: sign with the SIGN key (cachet)"));
    }
    if !extended.is_some_and(|usage| usage.email_protection) {
        let found = "no emailProtection. ".to_owned() + CLASS;
        return Err(refused("extendedKeyUsage", &found, "emailProtection: sign with the SIGN key (cachet)"));
    }
    Ok(())
}

/// The authority's signature is the path's question; the key that signs assertions is asked for here.
fn check_key(certificate: &X509Certificate<'_>) -> Result<(), Refusal> {
    const EXPECTED: &str = "RSA of at least 2048 bits, or P-256, P-384, P-521";
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() < RSA_BITS_MIN => {
            Err(refused("public key", &format!("RSA of {} bits", key.key_size()), EXPECTED))
        }
        Ok(PublicKey::RSA(_) | PublicKey::EC(_)) => Ok(()),
        Ok(_) | Err(_) => Err(refused("public key", "another kind of key", EXPECTED)),
    }
}

/// RFC 3280 4.2.1.4: a sequence of two optional GeneralizedTime, tagged 0 and 1, implicit.
fn read_key_usage_period(certificate: &X509Certificate<'_>) -> Result<KeyUsagePeriod, Refusal> {
    let Some(extension) = certificate.extensions().iter().find(|extension| extension.oid == KEY_USAGE_PERIOD) else {
        return Ok(KeyUsagePeriod::default());
    };
    parse_key_usage_period(extension.value)
        .ok_or_else(|| refused("privateKeyUsagePeriod", "something else", "two GeneralizedTime (RFC 3280 4.2.1.4)"))
}

fn parse_key_usage_period(der: &[u8]) -> Option<KeyUsagePeriod> {
    let ([], sequence) = Any::from_der(der).ok()? else { return None };
    let mut period = KeyUsagePeriod::default();
    let mut rest = sequence.data;
    while !rest.is_empty() {
        let (after, field) = Any::from_der(rest).ok().filter(|(_, field)| field.class() == Class::ContextSpecific)?;
        let time = GeneralizedTime::from_bytes(field.data).ok()?.utc_datetime().ok()?;
        let instant = Timestamp::from_second(time.unix_timestamp()).ok()?;
        match field.tag().0 {
            0 => period.not_before = Some(instant),
            1 => period.not_after = Some(instant),
            _ => return None,
        }
        rest = after;
    }
    Some(period)
}

pub(super) fn refused(place: &str, found: &str, expected: &str) -> Refusal {
    Refusal::new(Rule::SignatureCertificate, format!("{PLACE}, {place}"), found, expected)
}

const PLACE: &str = "signature certificate";
const RSA_BITS_MIN: usize = 2048;
const KEY_USAGE_PERIOD: Oid<'static> = oid!(2.5.29.16);
