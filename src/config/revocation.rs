//! `[revocation]`: where it is learned that a certificate was revoked, and what happens meanwhile. Source: B.2.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// How it is known that a certificate was revoked, and what happens while that is not known.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Revocation {
    /// Of the roots that `policies` does not name.
    pub policy: RevocationPolicy,
    /// Common name of a root -> its policy.
    pub policies: BTreeMap<String, RevocationPolicy>,
    /// `soft` alone: how long a certificate comes in whose status is stale or unknown.
    pub grace_hours: u64,
    /// Certificates of the authorities under the roots: what they sign is checked when it arrives.
    pub authorities: Vec<PathBuf>,
    /// Lists, full or delta, to be fetched; nothing else is.
    pub crl_urls: Vec<HttpAddress>,
    /// Common name of an authority -> its OCSP responder.
    pub ocsp_urls: BTreeMap<String, HttpAddress>,
    /// Roots of the servers behind those of these addresses that are `https`.
    pub https_roots: Vec<PathBuf>,
    /// Where fetched lists are kept; made when it is needed, for its owner alone.
    pub folder: PathBuf,
    /// Longest time between two questions to the same address.
    pub refresh_minutes: u64,
    /// For one answer, from connecting to its last byte.
    pub timeout_seconds: u64,
    /// One list, from wherever it comes.
    pub crl_bytes_max: usize,
}

/// What happens to a certificate while nobody can say whether it is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationPolicy {
    /// It does not come in.
    Hard,
    /// It comes in for `grace_hours`.
    Soft,
    /// It comes in if its authority has neither list nor responder that we know; else as `Hard`.
    Listed,
}

/// An `http://` or `https://` address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HttpAddress(http::Uri);

impl Default for Revocation {
    fn default() -> Self {
        Self {
            policy: RevocationPolicy::Listed,
            policies: BTreeMap::new(),
            grace_hours: 24,
            authorities: Vec::new(),
            crl_urls: Vec::new(),
            ocsp_urls: BTreeMap::new(),
            https_roots: Vec::new(),
            folder: "revocation".into(),
            refresh_minutes: 60,
            timeout_seconds: 10,
            crl_bytes_max: 32 * 1024 * 1024,
        }
    }
}

impl Revocation {
    pub fn refresh_s(&self) -> i64 {
        i64::try_from(self.refresh_minutes.saturating_mul(60)).unwrap_or(i64::MAX)
    }

    pub(super) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.authorities.iter_mut().chain(&mut self.https_roots).chain([&mut self.folder])
    }

    /// Key and problem of a value that cannot be meant.
    pub(super) fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        const ROOTS: &str = "name the roots that the servers of the https addresses are under";
        if self.has_https() && self.https_roots.is_empty() {
            return Some(("revocation.https_roots", ROOTS));
        }
        let fetches_nothing = self.refresh_minutes == 0 || self.timeout_seconds == 0 || self.crl_bytes_max == 0;
        fetches_nothing.then_some(("revocation", "a time or a size of 0 lets nothing be fetched"))
    }

    fn has_https(&self) -> bool {
        self.crl_urls.iter().chain(self.ocsp_urls.values()).any(|url| url.0.scheme_str() == Some("https"))
    }
}

impl HttpAddress {
    pub fn uri(&self) -> &http::Uri {
        &self.0
    }
}

impl TryFrom<String> for HttpAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let expected = || format!("`{text}`: write http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH");
        let uri: http::Uri = text.parse().map_err(|_| expected())?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        let has_secret = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        if is_web && !has_secret && uri.host().is_some_and(|host| !host.is_empty()) {
            Ok(Self(uri))
        } else {
            Err(expected())
        }
    }
}

/// Known keys of the section.
pub(super) const KEYS: &[&str] = &[
    "policy",
    "policies",
    "grace_hours",
    "authorities",
    "crl_urls",
    "ocsp_urls",
    "https_roots",
    "folder",
    "refresh_minutes",
    "timeout_seconds",
    "crl_bytes_max",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_fetch_from_is_one_of_the_web() {
        let read = |text: &str| HttpAddress::try_from(text.to_owned());
        assert!(read("http://igc-sante.esante.gouv.fr/CRL/ACI-EL-ORG.crl").is_ok());
        for wrong in ["file:///etc/passwd", "ldap://annuaire/x", "//host/x", "http:///x", "http://user@host/x", "x"] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains("write http://HOST"), "{error}");
        }
    }

    #[test]
    fn an_address_over_tls_needs_roots() {
        let crl_urls = vec![HttpAddress::try_from("https://host/x".to_owned()).unwrap()];
        let settings = Revocation { crl_urls, ..Revocation::default() };
        assert_eq!(settings.contradiction().map(|(key, _)| key), Some("revocation.https_roots"));
        assert_eq!(Revocation::default().contradiction(), None);
    }
}
