//! Every setting, typed. Contract 2. Nothing else reads the environment or `carnet.toml`.

mod atna;
mod journal;
mod limits;
mod mail;
mod network;
mod oidc;
mod revocation;
mod tls;
mod vihf;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use self::atna::Atna;
pub use self::journal::Journal;
pub use self::limits::Limits;
pub use self::mail::{Mail, Relay, RelaySecurity};
pub use self::network::Network;
pub use self::oidc::{Oidc, SignatureAlgorithm};
pub use self::revocation::{HttpAddress, Revocation, RevocationPolicy};
pub use self::tls::{CertificateClass, Tls};
pub use self::vihf::Vihf;

/// All settings with their defaults filled in and relative paths resolved.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    pub listen: Listen,
    pub tls: Tls,
    pub revocation: Revocation,
    pub store: StoreSettings,
    pub journal: Journal,
    pub dmp: Dmp,
    pub oidc: Oidc,
    pub vihf: Vihf,
    pub mail: Mail,
    pub atna: Atna,
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
pub struct StoreSettings {
    /// `sqlite:PATH`.
    pub database: String,
    /// Where document bytes live: `database`, in a folder beside the database file; or `dir:PATH`.
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
    /// CSV `EG;EJ` of FINESS numbers: which sites a legal entity has. Empty: none is known.
    pub finess_table: PathBuf,
    /// The habilitation matrix in force, in the form of `profiles/habilitation.toml`. Empty: that sample.
    pub habilitation_matrix: PathBuf,
    /// Homologation numbers (`LPS_ID_HOMOLOGATION_DMP`) of the software that is let in; empty: all.
    pub homologations: Vec<String>,
    /// Whether whom the patient blocked is kept out by bris de glace and as centre 15, too. The texts do not say (F.4-9).
    pub block_in_emergencies: bool,
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
    /// Service de prévention et de santé au travail: its doctors read nothing but what they deposited.
    OccupationalMedicine,
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
        Self {
            ins_domains: vec![InsDomain::Production],
            structure_classes: StructureClasses::new(),
            finess_table: PathBuf::new(),
            habilitation_matrix: PathBuf::new(),
            homologations: Vec::new(),
            block_in_emergencies: true,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        // What the HTTP/2 library warns of, any client can make it say.
        Self { filter: "info,h2=error".to_owned(), json: false }
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

    /// The folder that holds document bytes: for `database`, the database file's name and `-documents`.
    pub fn documents_path(&self) -> PathBuf {
        match self.store.documents.strip_prefix(DIRECTORY) {
            Some(path) => path.into(),
            None => self.beside_database(Path::new(""), "-documents"),
        }
    }

    /// The key that signs heads of the journal.
    pub fn journal_key_path(&self) -> PathBuf {
        self.beside_database(&self.journal.key, "-journal.key")
    }

    /// The file of signed heads.
    pub fn heads_file_path(&self) -> PathBuf {
        self.beside_database(&self.journal.heads_file, "-heads.jsonl")
    }

    /// `named`, or where nothing is, the database file's name and `ending`.
    fn beside_database(&self, named: &Path, ending: &str) -> PathBuf {
        if !named.as_os_str().is_empty() {
            return named.to_owned();
        }
        format!("{}{ending}", self.store.database.trim_start_matches("sqlite:")).into()
    }

    fn resolve_paths(&mut self, base: &Path) {
        for path in self.tls.paths_mut().chain(self.revocation.paths_mut()).chain(self.mail.paths_mut()) {
            *path = base.join(&*path);
        }
        self.oidc.resolve_paths(base);
        self.atna.resolve_paths(base);
        self.journal.resolve_paths(base);
        for path in [&mut self.dmp.finess_table, &mut self.dmp.habilitation_matrix] {
            if !path.as_os_str().is_empty() {
                *path = base.join(&*path);
            }
        }
        if let Some(path) = self.sqlite_path() {
            self.store.database = format!("sqlite:{}", base.join(path).display());
        }
        if let Some(path) = self.store.documents.strip_prefix(DIRECTORY) {
            self.store.documents = format!("{DIRECTORY}{}", base.join(path).display());
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let value =
            |key: &str, problem: &str| Err(ConfigError::Value { key: key.to_owned(), problem: problem.to_owned() });
        if self.sqlite_path().is_none() {
            return value("store.database", "this version stores in SQLite only: write `sqlite:PATH`");
        }
        let is_folder = self.store.documents.strip_prefix(DIRECTORY).is_some_and(|path| !path.is_empty());
        if self.store.documents != "database" && !is_folder {
            return value("store.documents", "this version keeps documents in `database` or in `dir:PATH`");
        }
        if !self.listen.public_url.starts_with("https://") || self.listen.public_url.ends_with('/') {
            return value("listen.public_url", "write `https://HOST[:PORT]` without a slash at the end");
        }
        if self.dmp.ins_domains.is_empty() {
            return value("dmp.ins_domains", "name at least one of production, test, demo");
        }
        if let Some(id) = self.dmp.structure_classes.keys().find(|id| !is_struct_id(id)) {
            let problem =
                format!("`{id}` is no Struct_IdNat: its type digit (1 FINESS, 2 SIREN, 3 SIRET...) and the number");
            return Err(ConfigError::Value { key: "dmp.structure_classes".to_owned(), problem });
        }
        if self.store.database.ends_with(":memory:") {
            return value("store.database", "names a file: what is in memory alone is lost");
        }
        let sections = [
            self.revocation.contradiction(),
            self.journal.contradiction(),
            self.oidc.contradiction(),
            self.vihf.contradiction(),
            self.mail.contradiction(),
            self.atna.contradiction(),
            self.limits.contradiction(),
        ];
        if let Some((key, problem)) = sections.into_iter().flatten().next() {
            return value(key, problem);
        }
        Ok(())
    }
}

/// A number without its type digit names nobody, and the structure would be taken for a carer.
fn is_struct_id(text: &str) -> bool {
    const NUMBERS_WITHOUT_TYPE: [usize; 2] = [9, 14];
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.len() >= 2
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        && !(is_number && NUMBERS_WITHOUT_TYPE.contains(&text.len()))
}

const DIRECTORY: &str = "dir:";
const ENVIRONMENT_PREFIX: &str = "CARNET_";

/// Every known key: section, key.
pub const KEYS: &[(&str, &[&str])] = &[
    ("listen", &["professionals", "operators", "public_url"]),
    ("tls", tls::KEYS),
    ("revocation", revocation::KEYS),
    ("store", &["database", "documents", "repository_unique_id", "bytes_max", "free_bytes_min"]),
    ("journal", journal::KEYS),
    (
        "dmp",
        &[
            "ins_domains",
            "structure_classes",
            "finess_table",
            "habilitation_matrix",
            "homologations",
            "block_in_emergencies",
        ],
    ),
    ("vihf", &["sha1", "lifetime_seconds", "skew_seconds", "air_contexts", "login_age_hours_max"]),
    ("oidc", oidc::KEYS),
    ("mail", mail::KEYS),
    ("atna", atna::KEYS),
    ("limits", limits::KEYS),
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
        let config = load("[store]\ndatabase = \"sqlite:x.db\"\n[journal]\nkey = \"j.key\"\n", &[]).unwrap();
        assert!(config.sqlite_path().unwrap().is_absolute());
        assert!(config.journal_key_path().is_absolute() && config.journal_key_path().ends_with("j.key"));
        assert!(config.heads_file_path().is_absolute() && config.heads_file_path().ends_with("x.db-heads.jsonl"));
        assert!(config.tls.key.is_absolute());
    }

    #[test]
    fn an_audit_repository_is_named_whole_or_not_at_all() {
        let atna = |text: &str| load(&format!("[atna]\n{text}\n"), &[]).map(|config| config.atna);
        for half in ["syslog = \"arr:6514\"", "syslog = \"arr\"\nroots = [\"r\"]", "certificate = \"c\"", "key = \"k\""]
        {
            assert!(atna(half).is_err(), "{half}");
        }
        let whole = atna("syslog = \"[::1]:6514\"\nroots = [\"arr.pem\"]").unwrap();
        assert_eq!(whole.receiver(), Some(("::1", 6514)));
        assert!(whole.roots[0].is_absolute() && whole.certificate.as_os_str().is_empty());
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(load("[limits]\nbody_bytes_max = 10\n", &[]).is_err());
        assert!(load("[dmp]\nins_domains = []\n", &[]).is_err());
        assert!(load("[journal]\nhead_seconds = 0\n", &[]).is_err());
        assert!(load("[store]\ndatabase = \"mysql://x\"\n", &[]).is_err());
        assert!(load("[store]\ndatabase = \"sqlite::memory:\"\n", &[]).is_err());
        for nothing in ["idle_seconds", "handshake_seconds", "reads_in_flight_max"] {
            assert!(load(&format!("[limits]\n{nothing} = 0\n"), &[]).is_err(), "{nothing}");
        }
        assert!(load(&format!("[limits]\nidle_seconds = {}\n", i64::MAX), &[]).is_err());
        for nobody in ["", "990000052", "2 990 000 052", "75012345600012"] {
            let text = format!("[dmp.structure_classes]\n\"{nobody}\" = \"insurer\"\n");
            assert!(load(&text, &[]).is_err(), "{nobody}");
        }
        assert!(load("[dmp.structure_classes]\n\"2990000052\" = \"insurer\"\n", &[]).is_ok());
    }
}
