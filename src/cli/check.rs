//! `carnet check`: judges files offline with the code and the configuration of the gateway. Contract 1.

mod certificate;
mod report;
mod vihf;

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
use super::{Ending, Settings, print_json};
use crate::clock::Clock;
use crate::config::Config;
use crate::tls::client_verifier::ClientVerifier;

/// Judge certificates and VIHF offline, as the gateway would: what they are, whose, and each rule that fails
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    /// Certificates, PEM (with their chain) or DER; VIHF, as XML or in base64
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
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
    now: Timestamp,
}

/// What a file holds, told by its content alone.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// The certificate to be judged, then what is sent along with it.
    Chain(Vec<CertificateDer<'static>>),
    /// An assertion, out of its base64.
    Vihf(Vec<u8>),
    /// In words, why it is not judged.
    Other(&'static str),
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Ending> {
    let config = arguments.settings.load()?;
    let verifier =
        ClientVerifier::load(&config.tls, &config.revocation).with_context(|| arguments.settings.to_string())?;
    let grounds = Grounds { config, verifier: Arc::new(verifier), now: Clock::System.now() };
    let mut reports = Vec::new();
    for file in &arguments.files {
        let report = judge(file, &grounds).with_context(|| file.display().to_string())?;
        reports.push((file.display().to_string(), report));
    }
    if arguments.json {
        let files: Vec<_> = reports.iter().map(|(file, report)| report.json(file)).collect();
        print_json(&json!({ "files": files }));
    } else {
        for (file, report) in &reports {
            report.print(file);
        }
    }
    let refused = reports.iter().any(|(_, report)| report.ending() == Ending::Refused);
    Ok(if refused { Ending::Refused } else { Ending::Done })
}

fn judge(file: &Path, grounds: &Grounds) -> anyhow::Result<Report> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    anyhow::ensure!(bytes.len() as u64 <= FILE_BYTES_MAX, "longer than {FILE_BYTES_MAX} bytes: none of what is judged");
    match detect(&bytes) {
        Found::Chain(chain) => Ok(certificate::judge(&chain, grounds)),
        Found::Vihf(assertion) => vihf::judge(&assertion, grounds),
        Found::Other(what) => anyhow::bail!("{what}"),
    }
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
    if let Some(assertion) = vihf::find(bytes) {
        return Found::Vihf(assertion);
    }
    Found::Other("neither a certificate (PEM, DER) nor a VIHF: this version judges nothing else")
}

const FILE_BYTES_MAX: u64 = 1024 * 1024;

const EXAMPLE: &str = "Examples:
  carnet check client.pem
  carnet check --config carnet.toml --json clients/*.pem
  carnet check --config carnet.toml vihf.xml";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_certificate_is_told_by_its_name() {
        let other = |bytes: &[u8]| match detect(bytes) {
            Found::Other(what) => what,
            Found::Chain(_) | Found::Vihf(_) => panic!("something to judge in {bytes:?}"),
        };
        assert!(other(b"-----BEGIN PRIVATE KEY-----\n").contains("private key"));
        assert!(other(b"-----BEGIN X509 CRL-----\n").contains("revocation list"));
        assert!(other(b"-----BEGIN CERTIFICATE-----\nMIIB\n").contains("cannot be read"));
        assert!(other(b"<ClinicalDocument/>").contains("nothing else"));
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = detect(&bytes);
            let _ = detect(&[b"-----BEGIN CERTIFICATE-----\n", &bytes[..]].concat());
        }
    }
}
