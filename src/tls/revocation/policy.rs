//! What happens where nobody can say that a certificate is still good: a policy per root.
//!
//! - `hard`: without a fresh status nobody comes in.
//! - `soft`: what was known last holds on for the grace; where nothing was ever known, the grace runs from the
//!   first time that this process missed it since it was last there.
//! - `listed`: an authority without any list or responder is let through, and counted (development authorities
//!   and private intermediates have none); one that has them is treated as `hard`.
//!
//! Whom a list or a responder names as revoked stays out under every policy.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use x509_parser::certificate::X509Certificate;

use crate::config::{self, HttpAddress, RevocationPolicy};

/// The policy of each root, by the DER of its name.
#[derive(Debug)]
pub(super) struct Policies {
    default: RevocationPolicy,
    by_root: HashMap<Box<[u8]>, RevocationPolicy>,
    pub(super) grace_s: i64,
}

/// What this process remembers of authorities whose status it missed, whatever is read again meanwhile.
#[derive(Debug, Default)]
pub(in crate::tls) struct Missed {
    first_s: Mutex<HashMap<Box<[u8]>, i64>>,
}

impl Policies {
    /// Errors: a name of the settings that no root bears.
    pub(super) fn of_roots(settings: &config::Revocation, roots: &[X509Certificate<'_>]) -> Result<Self, String> {
        let names: Vec<Option<&str>> = roots.iter().map(|root| common_name(root)).collect();
        if let Some(unknown) = settings.policies.keys().find(|name| !names.contains(&Some(name.as_str()))) {
            return Err(unknown.clone());
        }
        let of_root = |root: &X509Certificate<'_>| {
            let stated = settings.policies.get(common_name(root)?)?;
            Some((root.subject().as_raw().into(), *stated))
        };
        let by_root = roots.iter().filter_map(of_root).collect();
        let grace_s = i64::try_from(settings.grace_hours.saturating_mul(3_600)).unwrap_or(i64::MAX);
        Ok(Self { default: settings.policy, by_root, grace_s })
    }

    /// The policy of a path that ends at this root.
    pub(super) fn under(&self, root: &X509Certificate<'_>) -> RevocationPolicy {
        self.by_root.get(root.subject().as_raw()).copied().unwrap_or(self.default)
    }
}

impl Missed {
    /// A status of this authority was to be had.
    pub(super) fn forget(&self, certificate: &X509Certificate<'_>) {
        self.first_s.lock().unwrap_or_else(PoisonError::into_inner).remove(certificate.issuer().as_raw());
    }

    /// Since when no status of this authority was to be had. The log is told the first time.
    pub(super) fn since_s(&self, certificate: &X509Certificate<'_>, now_s: i64) -> i64 {
        let mut first_s = self.first_s.lock().unwrap_or_else(PoisonError::into_inner);
        let issuer = certificate.issuer().as_raw();
        if let Some(since_s) = first_s.get(issuer) {
            return *since_s;
        }
        if first_s.len() < AUTHORITIES_MAX {
            first_s.insert(issuer.into(), now_s);
            tracing::warn!(authority = %certificate.issuer(), "no CRL and no OCSP answer of this authority: revocations by it stay unknown");
            return now_s;
        }
        // More authorities than any chain of ours can have: no grace for this one.
        i64::MIN
    }
}

/// Names of the settings that no authority bears.
pub(super) fn unknown_names<'a>(
    named: &'a BTreeMap<String, HttpAddress>,
    authorities: &[X509Certificate<'_>],
) -> Option<&'a str> {
    let borne = |name: &str| authorities.iter().any(|authority| common_name(authority) == Some(name));
    named.keys().map(String::as_str).find(|name| !borne(name))
}

pub(super) fn common_name<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a str> {
    certificate.subject().iter_common_name().next()?.as_str().ok()
}

const AUTHORITIES_MAX: usize = 100;
