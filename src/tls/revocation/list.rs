//! One certificate revocation list: read whole, proven once, looked up by serial in nanoseconds.
//!
//! Knows no other list and no clock. Source: RFC 5280 section 5.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use jiff::Timestamp;
use rustls::crypto::WebPkiSupportedAlgorithms;
use x509_parser::asn1_rs::{Any, FromDer as _, Tag};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{CRLDistributionPoints, DistributionPointName, GeneralName};
use x509_parser::oid_registry::{
    OID_X509_EXT_DELTA_CRL_INDICATOR, OID_X509_EXT_FRESHEST_CRL, OID_X509_EXT_ISSUER_DISTRIBUTION_POINT,
    OID_X509_EXT_REASON_CODE,
};
use x509_parser::revocation_list::{CertificateRevocationList, RevokedCertificate};
use x509_parser::x509::ReasonCode;

use super::scope::Scope;
use super::signed::{is_signed_by, significant};

/// Why bytes are no usable list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    #[error("this is no DER certificate revocation list")]
    Syntax,
    #[error("the list has no nextUpdate: nobody can tell when it is stale")]
    NoNextUpdate,
    #[error("the list is indirect, or has a critical extension that this program does not know")]
    Scope,
    #[error("a delta list without cRLNumber: nobody can tell what it adds to")]
    NoNumber,
    #[error("the list names an authority of ours as its issuer and is not signed by it")]
    Signature,
}

#[derive(Debug)]
pub(in crate::tls) struct List {
    der: Vec<u8>,
    pub(in crate::tls) issuer: Box<[u8]>,
    pub(super) scope: Scope,
    /// The scope as it was written: a delta adds to a list of the very same.
    pub(super) scope_der: Box<[u8]>,
    /// Of a delta: the oldest list that it adds to.
    base: Option<Number>,
    pub(super) edition: Edition,
    pub(in crate::tls) next_update_s: i64,
    /// Where the list says that its deltas are.
    pub(super) freshest: Vec<String>,
    entries: HashMap<Box<[u8]>, Entry>,
    /// Set once the signature was found good.
    proven: OnceLock<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Revoked,
    /// Of a delta: was on hold, and is no more.
    Removed,
}

/// A `cRLNumber`: up to 20 octets, ordered as the number it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number {
    length: usize,
    bytes: Box<[u8]>,
}

/// What tells an older list from a newer one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tls) struct Edition {
    pub(super) number: Option<Number>,
    pub(super) this_update_s: i64,
}

impl List {
    pub(in crate::tls) fn read(der: Vec<u8>) -> Result<Self, CrlError> {
        let Ok(([], parsed)) = CertificateRevocationList::from_der(&der) else {
            return Err(CrlError::Syntax);
        };
        let extensions = read_extensions(&parsed)?;
        let next_update_s = parsed.next_update().ok_or(CrlError::NoNextUpdate)?.timestamp();
        let number = parsed.crl_number().map(|number| Number::new(&number.to_bytes_be()));
        if extensions.base.is_some() && number.is_none() {
            return Err(CrlError::NoNumber);
        }
        let is_delta = extensions.base.is_some();
        let entry = |one: &RevokedCertificate<'_>| {
            let removed = one.reason_code().is_some_and(|(_, reason)| reason == ReasonCode::RemoveFromCRL);
            let entry = if removed { Entry::Removed } else { Entry::Revoked };
            (is_delta || !removed).then(|| (significant(one.raw_serial()).into(), entry))
        };
        let entries = parsed.iter_revoked_certificates().filter_map(entry).collect();
        let edition = Edition { number, this_update_s: parsed.last_update().timestamp() };
        let issuer = parsed.issuer().as_raw().into();
        let Extensions { scope, scope_der, base, freshest } = extensions;
        let proven = OnceLock::new();
        Ok(Self { der, issuer, scope, scope_der, base, edition, next_update_s, freshest, entries, proven })
    }

    pub(in crate::tls) fn is_delta(&self) -> bool {
        self.base.is_some()
    }

    pub(super) fn entry(&self, serial: &[u8]) -> Option<Entry> {
        self.entries.get(serial).copied()
    }

    /// Whether this and `other` are editions of the same list.
    pub(super) fn is_edition_of(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.scope_der == other.scope_der && self.is_delta() == other.is_delta()
    }

    /// Whether this delta holds all that came after `complete`. Source: RFC 5280 5.2.4 (c).
    pub(super) fn completes(&self, complete: &Self) -> bool {
        match (&self.base, &complete.edition.number) {
            (Some(base), Some(number)) => base <= number,
            _ => false,
        }
    }

    /// Whether one of the authorities signed it. The signature is checked until it was found good once.
    pub(super) fn is_proven(&self, authorities: &[X509Certificate<'_>], known: &WebPkiSupportedAlgorithms) -> bool {
        if self.proven.get().is_some() {
            return true;
        }
        let may_sign = |authority: &&X509Certificate<'_>| {
            authority.subject().as_raw() == self.issuer.as_ref()
                && authority.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.crl_sign()))
        };
        let mut candidates = authorities.iter().filter(may_sign);
        let signed = candidates.any(|authority| is_signed_by(&self.der, authority.public_key(), known));
        if signed {
            self.proven.get_or_init(|| ());
        }
        signed
    }
}

impl Number {
    fn new(bytes: &[u8]) -> Self {
        let bytes: Box<[u8]> = significant(bytes).into();
        Self { length: bytes.len(), bytes }
    }
}

impl Edition {
    /// By number where both have one; by thisUpdate for a list issued again under its number.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let by_time = self.this_update_s.cmp(&other.this_update_s);
        match (&self.number, &other.number) {
            (Some(mine), Some(others)) => mine.cmp(others).then(by_time),
            _ => by_time,
        }
    }
}

impl fmt::Display for Edition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.number {
            Some(number) if number.bytes.is_empty() => f.write_str("number 0")?,
            Some(number) => {
                f.write_str("number 0x")?;
                number.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            }
            None => f.write_str("no number")?,
        }
        write!(f, " of {}", Timestamp::from_second(self.this_update_s).unwrap_or(Timestamp::UNIX_EPOCH))
    }
}

struct Extensions {
    scope: Scope,
    scope_der: Box<[u8]>,
    base: Option<Number>,
    freshest: Vec<String>,
}

/// Entries of an indirect list belong to other authorities than the one that signs it.
fn read_extensions(list: &CertificateRevocationList<'_>) -> Result<Extensions, CrlError> {
    let mut entries = list.iter_revoked_certificates().flat_map(RevokedCertificate::extensions);
    if entries.any(|extension| extension.critical && extension.oid != OID_X509_EXT_REASON_CODE) {
        return Err(CrlError::Scope);
    }
    let mut read = Extensions { scope: Scope::ALL, scope_der: Box::default(), base: None, freshest: Vec::new() };
    for extension in list.extensions() {
        if extension.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT {
            read.scope = Scope::read(extension.value).ok_or(CrlError::Scope)?;
            read.scope_der = extension.value.into();
        } else if extension.oid == OID_X509_EXT_DELTA_CRL_INDICATOR {
            let (_, base) = Any::from_der(extension.value).map_err(|_| CrlError::Scope)?;
            let base = Some(base).filter(|base| base.tag() == Tag::Integer).ok_or(CrlError::Scope)?;
            read.base = Some(Number::new(base.data));
        } else if extension.oid == OID_X509_EXT_FRESHEST_CRL {
            read.freshest = urls(extension.value);
        } else if extension.critical {
            return Err(CrlError::Scope);
        }
    }
    Ok(read)
}

fn urls(points: &[u8]) -> Vec<String> {
    let Ok((_, points)) = CRLDistributionPoints::from_der(points) else {
        return Vec::new();
    };
    let names = points.points.iter().filter_map(|point| match &point.distribution_point {
        Some(DistributionPointName::FullName(names)) => Some(names),
        _ => None,
    });
    let url = |name: &GeneralName<'_>| match name {
        GeneralName::URI(url) => Some((*url).to_owned()),
        _ => None,
    };
    names.flatten().filter_map(url).collect()
}
