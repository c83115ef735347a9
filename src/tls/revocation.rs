//! Certificate revocation lists: which serials of which authority, proven once, looked up in nanoseconds.
//!
//! 2026-11-21, why not the verifier's own CRL support: it checks the signature of the list again in each
//! handshake (100,000 entries made a handshake 4 times dearer, measured), and a resumed session or a
//! connection that stays open never comes back to it. Here a list is parsed when it is read, its signature is
//! checked once with the key of its authority (at loading where that is a root, else when the authority first
//! shows up in a chain), and one lookup serves handshakes, resumptions and requests alike.
//!
//! - A serial on any list that carries its authority's name is revoked, whatever else that list lacks.
//! - An authority that publishes a list must have one that is signed by it and not past its nextUpdate: else
//!   nobody it issued gets in.
//! - An authority without any list is let through, and counted: development authorities and private
//!   intermediates have none.
//! - A delta list adds to what is revoked and takes nothing away. Source: RFC 5280 sections 5 and 6.3.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use rustls::CertificateError;
use rustls::crypto::WebPkiSupportedAlgorithms;
use x509_parser::asn1_rs::{Any, FromDer as _};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::{OID_X509_EXT_DELTA_CRL_INDICATOR, OID_X509_EXT_REASON_CODE};
use x509_parser::revocation_list::{CertificateRevocationList, RevokedCertificate};
use x509_parser::x509::{ReasonCode, SubjectPublicKeyInfo};

/// Every list in force, by the DER of the name of its authority.
#[derive(Debug)]
pub(super) struct Revocations {
    by_issuer: HashMap<Box<[u8]>, Vec<Crl>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// What the lists say of one certificate that is not revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// Good, as of lists that hold until then (seconds since 1970).
    GoodUntil(i64),
    /// Its authority publishes no list that we know.
    Unknown,
}

/// Why a file is no usable list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    #[error("this is no DER certificate revocation list")]
    Syntax,
    #[error("the list has no nextUpdate: nobody can tell when it is stale")]
    NoNextUpdate,
    #[error("the list is indirect, or has a critical extension that this program does not know")]
    Scope,
    #[error("the list names a root of ours as its issuer and is not signed by it")]
    Signature,
}

#[derive(Debug)]
struct Crl {
    der: Vec<u8>,
    next_update_s: i64,
    revoked: HashSet<Box<[u8]>>,
    /// Set once the signature was found good.
    proven: OnceLock<()>,
}

impl Revocations {
    pub(super) fn new(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { by_issuer: HashMap::new(), algorithms }
    }

    /// Adds one list. Where `roots` has its authority, the signature is checked here and now.
    pub(super) fn add(&mut self, der: Vec<u8>, roots: &[X509Certificate<'_>]) -> Result<(), CrlError> {
        let Ok(([], parsed)) = CertificateRevocationList::from_der(&der) else {
            return Err(CrlError::Syntax);
        };
        check_scope(&parsed)?;
        let next_update_s = parsed.next_update().ok_or(CrlError::NoNextUpdate)?.timestamp();
        let listed = parsed.iter_revoked_certificates();
        let revoked = listed
            .filter(|one| one.reason_code().is_none_or(|(_, reason)| reason != ReasonCode::RemoveFromCRL))
            .map(|one| significant(one.raw_serial()).into())
            .collect();
        let issuer: Box<[u8]> = parsed.issuer().as_raw().into();
        let crl = Crl { der, next_update_s, revoked, proven: OnceLock::new() };
        let of_ours = roots.iter().any(|root| root.subject().as_raw() == issuer.as_ref());
        if of_ours && !crl.is_proven(&issuer, roots, &self.algorithms) {
            return Err(CrlError::Signature);
        }
        self.by_issuer.entry(issuer).or_default().push(crl);
        Ok(())
    }

    pub(super) fn covers(&self, issuer: &[u8]) -> bool {
        self.by_issuer.contains_key(issuer)
    }

    /// Looks a certificate up. `presented`: the chain it came with, where its authority may be found.
    pub(super) fn status(
        &self,
        certificate: &X509Certificate<'_>,
        presented: &[X509Certificate<'_>],
        now_s: i64,
    ) -> Result<Status, CertificateError> {
        let issuer = certificate.issuer().as_raw();
        let Some(crls) = self.by_issuer.get(issuer) else {
            return Ok(Status::Unknown);
        };
        let serial = significant(certificate.raw_serial());
        if crls.iter().any(|crl| crl.revoked.contains(serial)) {
            return Err(CertificateError::Revoked);
        }
        let proven = crls.iter().filter(|crl| crl.is_proven(issuer, presented, &self.algorithms));
        match proven.map(|crl| crl.next_update_s).max() {
            Some(until_s) if now_s < until_s => Ok(Status::GoodUntil(until_s)),
            Some(_) => Err(CertificateError::ExpiredRevocationList),
            None => Err(CertificateError::UnknownRevocationStatus),
        }
    }
}

impl Crl {
    fn is_proven(
        &self,
        issuer: &[u8],
        authorities: &[X509Certificate<'_>],
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> bool {
        if self.proven.get().is_some() {
            return true;
        }
        let may_sign = |authority: &&X509Certificate<'_>| {
            authority.subject().as_raw() == issuer
                && authority.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.crl_sign()))
        };
        let mut candidates = authorities.iter().filter(may_sign);
        let signed = candidates.any(|authority| is_signed_by(&self.der, authority.public_key(), algorithms));
        if signed {
            self.proven.get_or_init(|| ());
        }
        signed
    }
}

/// Entries of an indirect list belong to other authorities than the one that signs it.
fn check_scope(crl: &CertificateRevocationList<'_>) -> Result<(), CrlError> {
    for extension in crl.extensions() {
        let known = match extension.parsed_extension() {
            ParsedExtension::IssuingDistributionPoint(point) => !point.indirect_crl,
            _ => !extension.critical || extension.oid == OID_X509_EXT_DELTA_CRL_INDICATOR,
        };
        if !known {
            return Err(CrlError::Scope);
        }
    }
    let mut entries = crl.iter_revoked_certificates().flat_map(RevokedCertificate::extensions);
    if entries.any(|extension| extension.critical && extension.oid != OID_X509_EXT_REASON_CODE) {
        return Err(CrlError::Scope);
    }
    Ok(())
}

/// Verifies with the algorithms that TLS itself accepts: no SHA-1, no RSA below 2048 bits.
fn is_signed_by(crl: &[u8], key: &SubjectPublicKeyInfo<'_>, algorithms: &WebPkiSupportedAlgorithms) -> bool {
    let Ok((_, list)) = CertificateRevocationList::from_der(crl) else {
        return false;
    };
    let signed: &[u8] = list.tbs_cert_list.as_ref();
    let (Some(algorithm), Some(key_algorithm)) =
        (content(crl).and_then(|whole| content(whole.get(signed.len()..)?)), content(key.raw).and_then(content))
    else {
        return false;
    };
    let mut fitting = algorithms.all.iter().filter(|one| {
        one.public_key_alg_id().as_ref() == key_algorithm && one.signature_alg_id().as_ref() == algorithm
    });
    fitting.any(|one| one.verify_signature(&key.subject_public_key.data, signed, &list.signature_value.data).is_ok())
}

/// What is inside the first DER value of these bytes.
fn content(der: &[u8]) -> Option<&[u8]> {
    Any::from_der(der).ok().map(|(_, any)| any.data)
}

/// A serial without the zero bytes in front, which authorities write differently in lists and certificates.
fn significant(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[zeros..]
}
