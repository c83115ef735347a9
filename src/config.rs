//! Every setting, typed. Contract 2. Nothing else reads the environment or `carnet.toml`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

/// All settings with their defaults filled in and relative paths resolved.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    pub listen: Listen,
    pub tls: Tls,
    pub revocation: Revocation,
    pub store: StoreSettings,
    pub dmp: Dmp,
    pub limits: Limits,
    pub log: Log,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Listen {
    /// Mutual TLS: FHIR (and XDS).
    pub professionals: SocketAddr,
    /// Metrics and health, plain HTTP: keep it on loopback or a private network.
    pub operators: SocketAddr,
    /// How clients reach the gateway: base of every URL it hands out.
    pub public_url: String,
}

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
    pub reload_seconds: u64,
}

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

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct StoreSettings {
    /// `sqlite:PATH`.
    pub database: String,
    /// `database`: document bytes live beside their metadata, in the same transaction.
    pub documents: String,
    /// OID that every document of this repository carries as `repositoryUniqueId`.
    pub repository_unique_id: String,
    /// Deposits are refused (507) once the database has this size; 0 for no limit but the disk.
    pub bytes_max: u64,
    /// Deposits are refused (507) when less than this is free: the journal of reads needs room to go on.
    pub free_bytes_min: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Dmp {
    pub ins_domains: Vec<InsDomain>,
    /// `Struct_IdNat` -> what that structure is (see `identity::caller::StructureClass`).
    pub structure_classes: StructureClasses,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Whole request body, as sent (base64 counts).
    pub body_bytes_max: u64,
    /// One document, decoded.
    pub document_bytes_max: u64,
    /// Everything of a message but its documents: what a JSON or XML tree may be built of.
    pub message_bytes_max: usize,
    /// An XML message is read whole, documents included, up to this size.
    pub xml_body_bytes_max: usize,
    /// Of one document in memory; the rest goes to a file.
    pub document_memory_bytes_max: usize,
    /// Of all XML messages being read at one time, counted as they arrive; more are answered 503.
    pub xml_bodies_bytes_max: usize,
    pub header_seconds: u64,
    /// How far a body may fall behind `body_bytes_per_second_min`: also the longest silence.
    pub body_idle_seconds: u64,
    pub body_bytes_per_second_min: u64,
    pub handshake_seconds: u64,
    pub idle_seconds: u64,
    pub shutdown_seconds: u64,
    pub connections_max: usize,
    /// Deposits being received or stored at one time; more are answered 503.
    pub deposits_in_flight_max: usize,
    pub reads_in_flight_max: usize,
    /// Of those, by one client certificate.
    pub deposits_in_flight_per_caller_max: usize,
    pub reads_in_flight_per_caller_max: usize,
    pub search_page_max: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Log {
    /// A `tracing` filter: `info`, `carnet=debug`...
    pub filter: String,
    pub json: bool,
}

/// Which INS authorities a deployment accepts. Source: A.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InsDomain {
    Production,
    Test,
    Demo,
}

/// What a structure is beyond its certificate: certificates do not say it, so configuration does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StructureClass {
    /// Software through which patients set their own lists.
    PatientPortal,
    Insurer,
    Employer,
    Broker,
}

/// `Struct_IdNat` -> class.
pub type StructureClasses = BTreeMap<String, StructureClass>;

/// Why a configuration cannot be used: one sentence that says where and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    Unreadable(#[from] std::io::Error),
    #[error("{0}")]
    Syntax(String),
    #[error("unknown key `{key}`{}", nearest.as_ref().map(|near| format!("; the nearest known key is `{near}`")).unwrap_or_default())]
    UnknownKey { key: String, nearest: Option<String> },
    #[error("`{key}`: {problem}")]
    Value { key: String, problem: String },
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            professionals: SocketAddr::from(([127, 0, 0, 1], 8443)),
            operators: SocketAddr::from(([127, 0, 0, 1], 9464)),
            public_url: "https://localhost:8443".to_owned(),
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: "certs/server.pem".into(),
            key: "certs/server.key".into(),
            client_roots: vec!["certs/client-roots.pem".into()],
            client_crls: vec!["certs/crl/".into()],
            allow_development_roots: false,
            reload_seconds: 10,
        }
    }
}

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

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            database: "sqlite:carnet.db".to_owned(),
            documents: "database".to_owned(),
            repository_unique_id: "1.2.250.1.213.4.1.1.1.2".to_owned(),
            bytes_max: 0,
            free_bytes_min: 256 * 1024 * 1024,
        }
    }
}

impl Default for Dmp {
    fn default() -> Self {
        Self { ins_domains: vec![InsDomain::Production], structure_classes: StructureClasses::new() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            body_bytes_max: 150 * MIB as u64,
            document_bytes_max: 100 * MIB as u64,
            message_bytes_max: 2 * MIB,
            xml_body_bytes_max: 32 * MIB,
            document_memory_bytes_max: MIB,
            xml_bodies_bytes_max: 64 * MIB,
            header_seconds: 10,
            body_idle_seconds: 30,
            body_bytes_per_second_min: 8 * 1024,
            handshake_seconds: 10,
            idle_seconds: 60,
            shutdown_seconds: 30,
            connections_max: 1024,
            deposits_in_flight_max: 64,
            reads_in_flight_max: 256,
            deposits_in_flight_per_caller_max: 32,
            reads_in_flight_per_caller_max: 128,
            search_page_max: 200,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), json: false }
    }
}

impl Limits {
    pub fn header_timeout(&self) -> Duration {
        Duration::from_secs(self.header_seconds)
    }
}

impl Config {
    /// Reads `carnet.toml` (all defaults when `path` is `None`), lets `CARNET_<SECTION>__<KEY>` of
    /// `environment` override it, and resolves relative paths against the file's folder.
    pub fn load(path: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut table = match path {
            Some(path) => read_table(path)?,
            None => toml::Table::new(),
        };
        overlay(&mut table, environment)?;
        check_keys(&table)?;
        let mut config: Self =
            table.try_into().map_err(|error: toml::de::Error| ConfigError::Syntax(one_line(&error)))?;
        let base = path.and_then(Path::parent).map_or_else(PathBuf::new, Path::to_path_buf);
        config.resolve_paths(&base);
        config.check()?;
        Ok(config)
    }

    /// Settings of the process environment, for [`Config::load`].
    pub fn environment() -> impl Iterator<Item = (String, String)> {
        std::env::vars().filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
    }

    /// The file behind `sqlite:`; `None` for another database.
    pub fn sqlite_path(&self) -> Option<&Path> {
        self.store.database.strip_prefix("sqlite:").map(Path::new)
    }

    fn resolve_paths(&mut self, base: &Path) {
        let paths = [&mut self.tls.certificate, &mut self.tls.key].into_iter();
        for path in paths.chain(&mut self.tls.client_roots).chain(&mut self.tls.client_crls) {
            *path = base.join(&*path);
        }
        let revocation = &mut self.revocation;
        for path in revocation.authorities.iter_mut().chain(&mut revocation.https_roots).chain([&mut revocation.folder])
        {
            *path = base.join(&*path);
        }
        if let Some(path) = self.sqlite_path() {
            self.store.database = format!("sqlite:{}", base.join(path).display());
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let value =
            |key: &str, problem: &str| Err(ConfigError::Value { key: key.to_owned(), problem: problem.to_owned() });
        if self.sqlite_path().is_none() {
            return value("store.database", "this version stores in SQLite only: write `sqlite:PATH`");
        }
        if self.store.documents != "database" {
            return value("store.documents", "this version keeps documents in the database only: write `database`");
        }
        if !self.listen.public_url.starts_with("https://") || self.listen.public_url.ends_with('/') {
            return value("listen.public_url", "write `https://HOST[:PORT]` without a slash at the end");
        }
        if self.dmp.ins_domains.is_empty() {
            return value("dmp.ins_domains", "name at least one of production, test, demo");
        }
        if self.revocation.has_https() && self.revocation.https_roots.is_empty() {
            return value("revocation.https_roots", "name the roots that the servers of the https addresses are under");
        }
        if self.revocation.refresh_minutes == 0
            || self.revocation.timeout_seconds == 0
            || self.revocation.crl_bytes_max == 0
        {
            return value("revocation", "a time or a size of 0 lets nothing be fetched");
        }
        if self.limits.document_bytes_max > self.limits.body_bytes_max {
            return value("limits.document_bytes_max", "is above limits.body_bytes_max, which would never let it in");
        }
        if self.limits.xml_body_bytes_max > self.limits.xml_bodies_bytes_max {
            return value(
                "limits.xml_body_bytes_max",
                "is above limits.xml_bodies_bytes_max, which counts all of them",
            );
        }
        if self.limits.search_page_max == 0
            || self.limits.connections_max == 0
            || self.limits.deposits_in_flight_max == 0
            || self.limits.deposits_in_flight_per_caller_max == 0
            || self.limits.reads_in_flight_per_caller_max == 0
            || self.limits.body_bytes_per_second_min == 0
        {
            return value("limits", "a limit of 0 lets nothing through");
        }
        Ok(())
    }
}

const ENVIRONMENT_PREFIX: &str = "CARNET_";

/// Every known key: section, key.
pub const KEYS: &[(&str, &[&str])] = &[
    ("listen", &["professionals", "operators", "public_url"]),
    ("tls", &["certificate", "key", "client_roots", "client_crls", "allow_development_roots", "reload_seconds"]),
    (
        "revocation",
        &[
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
        ],
    ),
    ("store", &["database", "documents", "repository_unique_id", "bytes_max", "free_bytes_min"]),
    ("dmp", &["ins_domains", "structure_classes"]),
    (
        "limits",
        &[
            "body_bytes_max",
            "document_bytes_max",
            "message_bytes_max",
            "xml_body_bytes_max",
            "document_memory_bytes_max",
            "xml_bodies_bytes_max",
            "header_seconds",
            "body_idle_seconds",
            "body_bytes_per_second_min",
            "handshake_seconds",
            "idle_seconds",
            "shutdown_seconds",
            "connections_max",
            "deposits_in_flight_max",
            "reads_in_flight_max",
            "deposits_in_flight_per_caller_max",
            "reads_in_flight_per_caller_max",
            "search_page_max",
        ],
    ),
    ("log", &["filter", "json"]),
];

fn read_table(path: &Path) -> Result<toml::Table, ConfigError> {
    let text = std::fs::read_to_string(path)?;
    text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax(error.to_string().trim_end().to_owned()))
}

/// `invalid type...` and its `in listen.operators`, which toml writes on a line of its own.
fn one_line(error: &toml::de::Error) -> String {
    error.to_string().trim_end().replace('\n', " ")
}

/// `CARNET_LISTEN__OPERATORS=...`: the value is read as TOML where it is TOML, else as a plain string.
fn overlay(table: &mut toml::Table, environment: impl Iterator<Item = (String, String)>) -> Result<(), ConfigError> {
    for (name, text) in environment {
        let Some((section, key)) = name.strip_prefix(ENVIRONMENT_PREFIX).and_then(|rest| rest.split_once("__")) else {
            continue;
        };
        let (section, key) = (section.to_lowercase(), key.to_lowercase());
        let value = match format!("v = {text}").parse::<toml::Table>() {
            Ok(mut parsed) => parsed.remove("v"),
            Err(_) => None,
        };
        let value = value.unwrap_or(toml::Value::String(text));
        let section_table = table.entry(section.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        let toml::Value::Table(section_table) = section_table else {
            return Err(ConfigError::Value { key: section, problem: "is a section, not a value".to_owned() });
        };
        section_table.insert(key, value);
    }
    Ok(())
}

fn check_keys(table: &toml::Table) -> Result<(), ConfigError> {
    for (section, value) in table {
        let Some((_, keys)) = KEYS.iter().find(|(known, _)| known == section) else {
            return Err(unknown(section.clone(), KEYS.iter().map(|(known, _)| (*known).to_owned())));
        };
        let toml::Value::Table(entries) = value else {
            return Err(ConfigError::Value { key: section.clone(), problem: "is a section, not a value".to_owned() });
        };
        if let Some(key) = entries.keys().find(|key| !keys.contains(&key.as_str())) {
            let everywhere =
                KEYS.iter().flat_map(|(section, keys)| keys.iter().map(move |key| format!("{section}.{key}")));
            return Err(unknown(format!("{section}.{key}"), everywhere));
        }
    }
    Ok(())
}

fn unknown(key: String, known: impl Iterator<Item = String>) -> ConfigError {
    let nearest = known.min_by_key(|candidate| strsim::levenshtein(candidate, &key));
    ConfigError::UnknownKey { key, nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("carnet.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path), environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let config = Config::load(None, std::iter::empty()).unwrap();
        assert_eq!(config.listen.professionals.to_string(), "127.0.0.1:8443");
        assert_eq!(config.store.database, "sqlite:carnet.db");
        assert_eq!(config.dmp.ins_domains, [InsDomain::Production]);
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        let error = load("[listen]\noperator = \"127.0.0.1:1\"\n", &[]).unwrap_err().to_string();
        assert!(error.contains("listen.operators"), "{error}");
        let error = load("[lisen]\n", &[]).unwrap_err().to_string();
        assert!(error.contains("`listen`"), "{error}");
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let environment = [("CARNET_LISTEN__OPERATORS", "127.0.0.1:7"), ("CARNET_DMP__INS_DOMAINS", "[\"test\"]")];
        let config = load("[listen]\noperators = \"127.0.0.1:1\"\n", &environment).unwrap();
        assert_eq!(config.listen.operators.port(), 7);
        assert_eq!(config.dmp.ins_domains, [InsDomain::Test]);
    }

    #[test]
    fn relative_paths_are_relative_to_the_file() {
        let config = load("[store]\ndatabase = \"sqlite:x.db\"\n", &[]).unwrap();
        assert!(config.sqlite_path().unwrap().is_absolute());
        assert!(config.tls.key.is_absolute());
    }

    #[test]
    fn an_address_to_fetch_from_is_one_of_the_web() {
        assert!(
            load("[revocation]\ncrl_urls = [\"http://igc-sante.esante.gouv.fr/CRL/ACI-EL-ORG.crl\"]\n", &[]).is_ok()
        );
        for wrong in ["file:///etc/passwd", "ldap://annuaire/x", "//host/x", "http:///x", "http://user@host/x", "x"] {
            let error = load(&format!("[revocation]\ncrl_urls = [\"{wrong}\"]\n"), &[]).unwrap_err().to_string();
            assert!(error.contains("write http://HOST"), "{error}");
        }
        let without_roots = load("[revocation]\ncrl_urls = [\"https://host/x\"]\n", &[]).unwrap_err().to_string();
        assert!(without_roots.contains("revocation.https_roots"), "{without_roots}");
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(load("[limits]\nbody_bytes_max = 10\n", &[]).is_err());
        assert!(load("[dmp]\nins_domains = []\n", &[]).is_err());
        assert!(load("[store]\ndatabase = \"mysql://x\"\n", &[]).is_err());
    }
}
