//! `[tls]`: what the gateway shows, and whose certificates it takes. Source: contract 2, B.1.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub client_roots: Vec<PathBuf>,
    /// Files, or folders whose files are CRLs (PEM or DER); read again when they change.
    pub client_crls: Vec<PathBuf>,
    /// A development root (made by `carnet pki init`) is refused unless this is set.
    pub allow_development_roots: bool,
    /// Certificates of test cards are refused unless this is set, or their root is a development root.
    pub allow_test_cards: bool,
    /// Which authorities may issue certificates of a class: files of their certificates. A class that is not named
    /// may be issued by anybody below the roots.
    pub issuers: BTreeMap<CertificateClass, Vec<PathBuf>>,
    pub reload_seconds: u64,
}

/// Kind of holder of a certificate (see `tls::subject`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateClass {
    Person,
    Employee,
    Organisation,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: "certs/server.pem".into(),
            key: "certs/server.key".into(),
            client_roots: vec!["certs/client-roots.pem".into()],
            client_crls: vec!["certs/crl/".into()],
            allow_development_roots: false,
            allow_test_cards: false,
            issuers: BTreeMap::new(),
            reload_seconds: 10,
        }
    }
}

impl Tls {
    pub(super) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let issuers = self.issuers.values_mut().flatten();
        [&mut self.certificate, &mut self.key]
            .into_iter()
            .chain(&mut self.client_roots)
            .chain(&mut self.client_crls)
            .chain(issuers)
    }
}

impl fmt::Display for CertificateClass {
    /// As configuration writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Person => "person",
            Self::Employee => "employee",
            Self::Organisation => "organisation",
        })
    }
}

/// Known keys of the section.
pub(super) const KEYS: &[&str] = &[
    "certificate",
    "key",
    "client_roots",
    "client_crls",
    "allow_development_roots",
    "allow_test_cards",
    "issuers",
    "reload_seconds",
];
