//! `[oidc]`: the provider whose access tokens are believed, and how far. Source: B.4.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// An empty `issuer` turns access tokens off. No secret is written here: `client_secret` and `client_key` are files.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Oidc {
    /// As the tokens name it, letter by letter: base of `/.well-known/openid-configuration`.
    pub issuer: String,
    /// A token must name one of these; empty where the provider's tokens name none.
    pub audience: Vec<String>,
    /// Authorities of the provider's own certificate, PEM: the only ones believed.
    pub ca: Vec<PathBuf>,
    /// Hosts beside the issuer's that may be asked: `HOST` or `HOST:PORT`.
    pub hosts: Vec<String>,
    pub algorithms: Vec<SignatureAlgorithm>,
    /// Refuses a token that is not bound to a client certificate (RFC 8705).
    pub require_bound_tokens: bool,
    /// Levels of authentication of which a token must state one; empty: any.
    pub acr_values: Vec<String>,
    /// How far our clock and the provider's may disagree.
    pub skew_seconds: u32,
    /// Asks the provider for what a token leaves out of the professional.
    pub userinfo: bool,
    /// Asks the provider about tokens that are no JWT (RFC 7662).
    pub introspection: bool,
    /// Instead of the endpoint that discovery names.
    pub introspection_endpoint: String,
    /// For how long a positive answer holds, and never past the token's own end.
    pub introspection_seconds: u32,
    /// Questions about tokens (introspection, userinfo) at one time.
    pub questions_in_flight_max: usize,
    pub client_id: String,
    /// File that holds the secret.
    pub client_secret: PathBuf,
    /// Certificate and key shown to the provider, PEM, where it wants mutual TLS.
    pub client_certificate: PathBuf,
    pub client_key: PathBuf,
    /// How old keys may grow before they are fetched again.
    pub keys_refresh_seconds: u32,
    /// Shortest time between two fetches, whatever tokens ask for.
    pub keys_refetch_seconds_min: u32,
    /// For how long, after `keys_refresh_seconds`, keys hold while the provider does not answer.
    pub keys_grace_seconds: u32,
    /// For one question to the provider, connection included.
    pub timeout_seconds: u32,
    pub response_bytes_max: usize,
    /// Tokens kept as verified, over all callers.
    pub verified_tokens_max: usize,
}

/// Signatures with a public key: what `none` and shared secrets would be called does not exist here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum SignatureAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Default for Oidc {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: Vec::new(),
            ca: Vec::new(),
            hosts: Vec::new(),
            algorithms: vec![SignatureAlgorithm::RS256, SignatureAlgorithm::PS256, SignatureAlgorithm::ES256],
            require_bound_tokens: true,
            acr_values: ["eidas1", "eidas2", "eidas3"].map(str::to_owned).to_vec(),
            skew_seconds: 30,
            userinfo: false,
            introspection: false,
            introspection_endpoint: String::new(),
            introspection_seconds: 30,
            questions_in_flight_max: 16,
            client_id: String::new(),
            client_secret: PathBuf::new(),
            client_certificate: PathBuf::new(),
            client_key: PathBuf::new(),
            keys_refresh_seconds: 900,
            keys_refetch_seconds_min: 30,
            keys_grace_seconds: 14_400,
            timeout_seconds: 5,
            response_bytes_max: 256 * 1024,
            verified_tokens_max: 10_000,
        }
    }
}

impl Oidc {
    pub fn is_on(&self) -> bool {
        !self.issuer.is_empty()
    }

    pub(super) fn resolve_paths(&mut self, base: &Path) {
        let one = [&mut self.client_secret, &mut self.client_certificate, &mut self.client_key].into_iter();
        for path in one.filter(|path| !path.as_os_str().is_empty()).chain(&mut self.ca) {
            *path = base.join(&*path);
        }
    }

    /// Key and problem of a contradiction.
    pub(super) fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        if !self.is_on() {
            return None;
        }
        let is_set = |path: &Path| !path.as_os_str().is_empty();
        let (secret, certificate) = (is_set(&self.client_secret), is_set(&self.client_certificate));
        let authenticated = secret || certificate;
        let problems = [
            (
                !self.issuer.starts_with("https://"),
                "oidc.issuer",
                "write `https://HOST/PATH`: keys are fetched over TLS only",
            ),
            (self.ca.is_empty(), "oidc.ca", "name the authorities of the provider's certificate"),
            (self.algorithms.is_empty(), "oidc.algorithms", "name at least one: no other signature is believed"),
            (
                self.audience.is_empty() && !self.require_bound_tokens,
                "oidc.audience",
                "is empty while oidc.require_bound_tokens is false: anybody's token would do, name at least one audience",
            ),
            (certificate != is_set(&self.client_key), "oidc.client_key", "goes with oidc.client_certificate"),
            (
                secret && self.client_id.is_empty(),
                "oidc.client_id",
                "is empty: oidc.client_secret is the secret of a client",
            ),
            (
                self.introspection && !authenticated,
                "oidc.introspection",
                "needs oidc.client_id with oidc.client_secret, or oidc.client_certificate: RFC 7662 section 2.1",
            ),
            (
                self.keys_refetch_seconds_min == 0 || self.timeout_seconds == 0 || self.keys_refresh_seconds == 0,
                "oidc",
                "an interval of 0 seconds would ask the provider without end, or never let it answer",
            ),
            (
                self.response_bytes_max == 0 || self.questions_in_flight_max == 0 || self.verified_tokens_max == 0,
                "oidc",
                "a limit of 0 lets nothing through",
            ),
        ];
        problems.into_iter().find(|(broken, ..)| *broken).map(|(_, key, problem)| (key, problem))
    }
}

/// Known keys of the section.
pub(super) const KEYS: &[&str] = &[
    "issuer",
    "audience",
    "ca",
    "hosts",
    "algorithms",
    "require_bound_tokens",
    "acr_values",
    "skew_seconds",
    "userinfo",
    "introspection",
    "introspection_endpoint",
    "introspection_seconds",
    "questions_in_flight_max",
    "client_id",
    "client_secret",
    "client_certificate",
    "client_key",
    "keys_refresh_seconds",
    "keys_refetch_seconds_min",
    "keys_grace_seconds",
    "timeout_seconds",
    "response_bytes_max",
    "verified_tokens_max",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn on() -> Oidc {
        Oidc {
            issuer: "https://psc.example/auth".to_owned(),
            audience: vec!["carnet".to_owned()],
            ca: vec!["ca.pem".into()],
            ..Oidc::default()
        }
    }

    #[test]
    fn a_provider_is_off_until_it_is_named() {
        assert_eq!(Oidc { algorithms: Vec::new(), ..Oidc::default() }.contradiction(), None);
        assert_eq!(on().contradiction(), None);
    }

    #[test]
    fn each_contradiction_names_its_key() {
        let cases: [(&str, Oidc); 8] = [
            ("oidc.issuer", Oidc { issuer: "http://psc.example".to_owned(), ..on() }),
            ("oidc.ca", Oidc { ca: Vec::new(), ..on() }),
            ("oidc.algorithms", Oidc { algorithms: Vec::new(), ..on() }),
            ("oidc.audience", Oidc { audience: Vec::new(), require_bound_tokens: false, ..on() }),
            ("oidc.client_key", Oidc { client_certificate: "client.pem".into(), ..on() }),
            ("oidc.client_id", Oidc { client_secret: "secret".into(), ..on() }),
            ("oidc.introspection", Oidc { introspection: true, ..on() }),
            ("oidc", Oidc { timeout_seconds: 0, ..on() }),
        ];
        for (key, settings) in cases {
            assert_eq!(settings.contradiction().map(|(key, _)| key), Some(key));
        }
    }

    #[test]
    fn no_algorithm_of_shared_secrets_can_be_configured() {
        for name in ["HS256", "none", "RS1"] {
            assert!(toml::from_str::<Oidc>(&format!("algorithms = [\"{name}\"]")).is_err(), "{name}");
        }
    }
}
