//! `carnet pki`: a development PKI shaped like IGC-Santé. Never for production.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{Ending, say};
use crate::clock::Clock;
use crate::domain::national_id::{PsIdNat, StructIdNat};
use crate::tls::development_pki::{CardKind, DevelopmentPki, Holder, Issued, KeyUse};

/// Make a development PKI shaped like IGC-Santé, issue and revoke its certificates
#[derive(Args)]
#[command(after_help = INIT_EXAMPLE)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make the authorities, a server certificate for localhost and empty CRLs
    #[command(after_help = INIT_EXAMPLE)]
    Init {
        /// Folder to make it in
        #[arg(long)]
        dir: PathBuf,
        /// Print the outcome as JSON
        #[arg(long)]
        json: bool,
    },
    /// Issue a client certificate: FILE.pem (with its chain) and FILE.key
    #[command(subcommand, after_help = ISSUE_EXAMPLE)]
    Issue(Issue),
    /// Revoke a certificate: the CRL is written anew, a running gateway reads it
    #[command(after_help = "Example:\n  carnet pki revoke --dir certs 019a0c5e2d7b7f3a8c1d2e3f4a5b6c7d")]
    Revoke {
        /// Folder of the PKI
        #[arg(long)]
        dir: PathBuf,
        /// Serial number in hexadecimal, as `issue` printed it
        serial: String,
        /// Print the outcome as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum Issue {
    /// A structure: hospital, laboratory, software acting for one
    #[command(after_help = ISSUE_EXAMPLE)]
    Organisation {
        /// `Struct_IdNat`, type digit included: 1 and the FINESS number, 3 and the SIRET...
        #[arg(long)]
        struct_id: StructIdNat,
        /// Raison sociale
        #[arg(long)]
        name: String,
        /// Name of the software, CN of the certificate
        #[arg(long, default_value = "CARNET TEST")]
        application: String,
        #[command(flatten)]
        output: Output,
    },
    /// A professional with a card
    #[command(after_help = ISSUE_EXAMPLE)]
    Professional {
        /// `PS_IdNat`, type digit included: 8 and the 11 digits of the RPPS
        #[arg(long)]
        ps_id: PsIdNat,
        /// Family name
        #[arg(long)]
        family: String,
        /// Given name
        #[arg(long)]
        given: String,
        /// Profession (TRE_G15): 10 médecin, 21 pharmacien, 60 infirmier...
        #[arg(long)]
        profession: u8,
        /// Savoir-faire, e.g. SM26; may be given several times
        #[arg(long)]
        speciality: Vec<String>,
        /// Kind of card
        #[arg(long, value_enum, default_value_t = Card::Test)]
        card: Card,
        #[command(flatten)]
        output: Output,
    },
    /// A card of an employee (CPE), without the name of a person
    #[command(after_help = ISSUE_EXAMPLE)]
    Employee {
        /// Type digit and number of the structure, `/`, an id within it: 3310000017/42
        #[arg(long)]
        id: PsIdNat,
        /// Raison sociale
        #[arg(long)]
        organisation: String,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Args)]
struct Output {
    /// Folder of the PKI
    #[arg(long)]
    dir: PathBuf,
    /// Where to write: FILE.pem and FILE.key
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What the key is for
    #[arg(long = "use", value_enum, default_value_t = Use::Auth)]
    key_use: Use,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Card {
    /// A test card of IGC-Santé
    Test,
    /// Marked as a real card of IGC-Santé
    Real,
    /// A test card in the layout of the older IGC-CPS
    OldTest,
}

#[derive(Clone, Copy, ValueEnum)]
enum Use {
    /// TLS client authentication
    Auth,
    /// Signature of assertions
    Sign,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Ending> {
    match &arguments.action {
        Action::Init { dir, json } => init(dir, *json),
        Action::Issue(Issue::Organisation { struct_id, name, application, output }) => {
            let holder = Holder::Organisation {
                struct_id: struct_id.clone(),
                name: name.clone(),
                application: application.clone(),
            };
            issue(&holder, CardKind::Test, output)
        }
        Action::Issue(Issue::Professional { ps_id, family, given, profession, speciality, card, output }) => {
            let holder = Holder::Professional {
                ps_id: ps_id.clone(),
                family: family.clone(),
                given: given.clone(),
                profession: *profession,
                savoir_faire: speciality.clone(),
            };
            let card = match card {
                Card::Test => CardKind::Test,
                Card::Real => CardKind::Real,
                Card::OldTest => CardKind::OldTest,
            };
            issue(&holder, card, output)
        }
        Action::Issue(Issue::Employee { id, organisation, output }) => {
            let holder = Holder::Employee { id: id.clone(), organisation: organisation.clone() };
            issue(&holder, CardKind::Test, output)
        }
        Action::Revoke { dir, serial, json } => revoke(dir, serial, *json),
    }
}

fn init(dir: &Path, json: bool) -> anyhow::Result<Ending> {
    let pki = DevelopmentPki::create(dir, Clock::System)?;
    if json {
        say(&json!({ "dir": dir }).to_string());
    } else {
        say(&format!("Development PKI in {}. Never use it for production.", dir.display()));
        say("  server.pem, server.key   what the gateway shows (localhost, 127.0.0.1, ::1)");
        say("  server-ca.pem            what clients trust");
        say("  client-roots.pem, crl/   what the gateway trusts");
        say("  ca/                      who may issue whom: in the [tls] section of carnet.toml");
        say(&format!("    issuers = {}", pki.issuers_toml()));
    }
    Ok(Ending::Done)
}

fn issue(holder: &Holder, card: CardKind, output: &Output) -> anyhow::Result<Ending> {
    let pki = DevelopmentPki::open(&output.dir, Clock::System)?;
    let key_use = match output.key_use {
        Use::Auth => KeyUse::Auth,
        Use::Sign => KeyUse::Sign,
    };
    let issued: Issued = pki.issue_on(card, holder, key_use, pki.usual_lifetime())?;
    // `--out x.pem` means x.pem, not x.pem.pem.
    let stem = if output.out.extension().is_some_and(|extension| extension == "pem") {
        output.out.with_extension("")
    } else {
        output.out.clone()
    };
    issued.write(&stem)?;
    let (certificate, key) = (format!("{}.pem", stem.display()), format!("{}.key", stem.display()));
    if output.json {
        say(&json!({ "certificate": certificate, "key": key, "serial": issued.serial }).to_string());
    } else {
        say(&format!("{certificate}, {key}: serial {}", issued.serial));
    }
    Ok(Ending::Done)
}

fn revoke(dir: &Path, serial: &str, json: bool) -> anyhow::Result<Ending> {
    DevelopmentPki::open(dir, Clock::System)?.revoke(serial)?;
    if json {
        say(&json!({ "revoked": serial }).to_string());
    } else {
        say(&format!("{serial} is revoked."));
    }
    Ok(Ending::Done)
}

const INIT_EXAMPLE: &str = "Example:\n  carnet pki init --dir certs";

const ISSUE_EXAMPLE: &str = "Examples:
  carnet pki issue organisation --dir certs --struct-id 1750803447 --name \"CHU TEST\" --out certs/clients/chu
  carnet pki issue professional --dir certs --ps-id 801234567897 --family DURANT --given Romuald \\
      --profession 10 --speciality SM26 --out certs/clients/durant
  carnet pki issue employee --dir certs --id 3310000017/42 --organisation \"CLINIQUE TEST\" --out certs/clients/accueil";
