//! `carnet check`: judges files offline with the code and the configuration of the gateway. Contract 1.

mod certificate;
mod report;
mod token;
pub(super) mod vihf;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use self::report::Report;
use super::{Ending, Settings, print_json, say};
use crate::clock::Clock;
use crate::config::Config;
use crate::identity::caller::{Caller, CallerHeaders};
use crate::identity::finess::FinessTable;
use crate::identity::oidc::KeySet;
use crate::identity::structures::Structures;
use crate::identity::token::Token;
use crate::tls::client_certificate::ClientCertificate;
use crate::tls::client_verifier::ClientVerifier;

/// Judge certificates, VIHF and access tokens offline, as the gateway would: what they are, whose, and each rule that fails
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    /// Certificates, PEM (with their chain) or DER; VIHF, as XML, in base64 or in a SOAP message; access tokens (JWT)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The keys of the OIDC provider (JWK Set), to judge the signature of an access token
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The client certificate that a VIHF or an access token is presented with: whether the two agree
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

/// What an offline judgement goes by.
struct Grounds {
    config: Config,
    verifier: Arc<ClientVerifier>,
    structures: Structures,
    /// Of the provider of access tokens.
    keys: Option<KeySet>,
    /// Of the connection that a token would come over.
    certificate: Option<ClientCertificate>,
    now: Timestamp,
}

/// What a file holds, told by its content alone.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// The certificate to be judged, then what is sent along with it.
    Chain(Vec<CertificateDer<'static>>),
    Vihf(vihf::Found),
    /// An access token, out of its header.
    Token(String),
    /// In words, why it is not judged.
    Other(&'static str),
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Ending> {
    let grounds = Grounds::load(arguments)?;
    let judged = judge_all(&arguments.files, &grounds);
    if arguments.json {
        let files: Vec<_> = judged.iter().map(|(file, judged)| json_of(file, judged)).collect();
        print_json(&json!({ "files": files }));
    } else {
        for (file, judged) in &judged {
            match judged {
                Ok(report) => report.print(file),
                Err(problem) => say(&format!("{file}: not judged: {problem:#}")),
            }
        }
    }
    ending(&judged)
}

/// A file and what came of it: one that cannot be judged keeps no other from it.
type Judged = (String, anyhow::Result<Report>);

fn judge_all(files: &[PathBuf], grounds: &Grounds) -> Vec<Judged> {
    files.iter().map(|file| (file.display().to_string(), judge(file, grounds))).collect()
}

fn json_of(file: &str, judged: &anyhow::Result<Report>) -> serde_json::Value {
    match judged {
        Ok(report) => report.json(file),
        Err(problem) => json!({ "file": file, "accepted": false, "problem": format!("{problem:#}") }),
    }
}

fn ending(judged: &[Judged]) -> anyhow::Result<Ending> {
    let broken: Vec<&str> =
        judged.iter().filter(|(_, judged)| judged.is_err()).map(|(file, _)| file.as_str()).collect();
    anyhow::ensure!(broken.is_empty(), "not judged: {}", broken.join(", "));
    let refused = judged.iter().flat_map(|(_, judged)| judged).any(|report| report.ending() == Ending::Refused);
    Ok(if refused { Ending::Refused } else { Ending::Done })
}

impl Grounds {
    fn load(arguments: &Arguments) -> anyhow::Result<Self> {
        let config = arguments.settings.load()?;
        let settings = || arguments.settings.to_string();
        let verifier = ClientVerifier::load(&config.tls, &config.revocation).with_context(settings)?;
        let finess = FinessTable::load(&config.dmp.finess_table).with_context(settings)?;
        let structures = Structures::new(config.dmp.structure_classes.clone(), finess);
        let keys = arguments.keys.as_deref().map(|file| read_keys(file).with_context(|| file.display().to_string()));
        let certificate = arguments.certificate.as_deref();
        let certificate = certificate.map(|file| read_holder(file).with_context(|| file.display().to_string()));
        let (keys, certificate) = (keys.transpose()?, certificate.transpose()?);
        Ok(Self { config, verifier: Arc::new(verifier), structures, keys, certificate, now: Clock::System.now() })
    }

    /// Whether a token and the certificate that it would come with make one caller.
    fn agree(&self, report: &mut Report, token: Token) {
        let Some(certificate) = &self.certificate else {
            report.not_judged("agreement", "no --certificate: the client certificate must name the same caller");
            return;
        };
        let caller = Caller::identify(certificate, Some(token), CallerHeaders::default(), &self.structures);
        caller.err().into_iter().for_each(|refusal| report.refuse(refusal));
    }
}

fn judge(file: &Path, grounds: &Grounds) -> anyhow::Result<Report> {
    match detect(&read(file)?) {
        Found::Chain(chain) => Ok(certificate::judge(&chain, grounds)),
        Found::Vihf(found) => vihf::judge(&found, grounds),
        Found::Token(token) => token::judge(&token, grounds),
        Found::Other(what) => anyhow::bail!("{what}"),
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    anyhow::ensure!(bytes.len() <= FILE_BYTES_MAX, "longer than {FILE_BYTES_MAX} bytes: none of what is judged");
    Ok(bytes)
}

fn read_keys(file: &Path) -> anyhow::Result<KeySet> {
    Ok(KeySet::from_json(&read(file)?)?)
}

/// What the certificate says of its holder; whether it gets in is judged where it is a file of its own.
fn read_holder(file: &Path) -> anyhow::Result<ClientCertificate> {
    let Found::Chain(chain) = detect(&read(file)?) else { anyhow::bail!("no certificate (PEM, DER)") };
    let leaf = chain.first().context("no certificate (PEM, DER)")?;
    ClientCertificate::from_der(leaf).map_err(|refusal| anyhow::anyhow!("{refusal}"))
}

fn detect(bytes: &[u8]) -> Found {
    if let Ok(([], _)) = X509Certificate::from_der(bytes) {
        return Found::Chain(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let holds = |text: &str| memchr::memmem::find(bytes, text.as_bytes()).is_some();
    if holds("-----BEGIN CERTIFICATE-----") {
        return match CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>() {
            Ok(chain) if !chain.is_empty() => Found::Chain(chain),
            Ok(_) | Err(_) => Found::Other("PEM that cannot be read: is a line missing?"),
        };
    }
    if holds("PRIVATE KEY-----") {
        return Found::Other("a private key: judge its certificate, and show the key to nobody");
    }
    if holds("-----BEGIN X509 CRL-----") {
        return Found::Other("a certificate revocation list: it is read where `tls.client_crls` names it");
    }
    if let Some(found) = vihf::find(bytes) {
        return Found::Vihf(found);
    }
    if let Some(token) = token::find(bytes) {
        return Found::Token(token.to_owned());
    }
    Found::Other("neither a certificate (PEM, DER), a VIHF nor an access token (JWT): this version judges nothing else")
}

/// What a mode may do: of certificates and of tokens alike, as `access::decide` has it.
mod rights {
    pub(super) const DIRECT: &str = "direct mode: deposit; consult with the patient's authorisation, and declare it";
    pub(super) const EMPLOYEE: &str = "employee mode, as its structure: deposit; find its own documents, read none; \
        declare the structure's authorisation";
    pub(super) const INDIRECT: &str = "indirect mode: deposit; find its own documents, read none";
    pub(super) const AIR: &str = "AIR: consult with the patient's authorisation, and declare it; deposit nothing";
    pub(super) const PORTAL: &str = "patient portal: set and list the patient's list; read no document";
}

const FILE_BYTES_MAX: usize = 1024 * 1024;

const EXAMPLE: &str = "Examples:
  carnet check client.pem
  carnet check --config carnet.toml --json clients/*.pem
  carnet check --config carnet.toml vihf.xml
  carnet check --config carnet.toml --keys jwks.json --certificate client.pem token.jwt";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_certificate_is_told_by_its_name() {
        let other = |bytes: &[u8]| match detect(bytes) {
            Found::Other(what) => what,
            Found::Chain(_) | Found::Vihf(_) | Found::Token(_) => panic!("something to judge in {bytes:?}"),
        };
        assert!(other(b"-----BEGIN PRIVATE KEY-----\n").contains("private key"));
        assert!(other(b"-----BEGIN X509 CRL-----\n").contains("revocation list"));
        assert!(other(b"-----BEGIN CERTIFICATE-----\nMIIB\n").contains("cannot be read"));
        assert!(other(b"<ClinicalDocument/>").contains("nothing else"));
    }

    #[test]
    fn a_broken_file_does_not_keep_the_next_from_being_judged() {
        let folder = tempfile::tempdir().unwrap();
        let (broken, absent) = (folder.path().join("broken"), folder.path().join("absent"));
        std::fs::write(&broken, "-----BEGIN PRIVATE KEY-----\n").unwrap();
        let pki = crate::tls::development_pki::DevelopmentPki::create(folder.path(), Clock::System).unwrap();
        let mut config = Config::default();
        config.tls.client_roots = vec![pki.directory().join("client-roots.pem")];
        config.tls.client_crls = vec![pki.directory().join("crl")];
        config.tls.allow_development_roots = true;
        let verifier = Arc::new(ClientVerifier::load(&config.tls, &config.revocation).unwrap());
        let structures = Structures::of_classes(config.dmp.structure_classes.clone());
        let now = Clock::System.now();
        let grounds = Grounds { config, verifier, structures, keys: None, certificate: None, now };
        let good = pki.directory().join("client-roots.pem");
        let judged = judge_all(&[broken, absent, good], &grounds);
        assert_eq!(judged.iter().map(|(_, judged)| judged.is_ok()).collect::<Vec<_>>(), [false, false, true]);
        let ended = ending(&judged).unwrap_err().to_string();
        assert!(ended.contains("broken") && ended.contains("absent"), "{ended}");
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = detect(&bytes);
            let _ = detect(&[b"-----BEGIN CERTIFICATE-----\n", &bytes[..]].concat());
        }
    }
}
