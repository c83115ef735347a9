//! `carnet vihf`: issues assertions with a signature certificate, to try a gateway with.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{Ending, print_json, say};
use crate::clock::Clock;
use crate::domain::code::Code;
use crate::domain::ins::Ins;
use crate::domain::national_id::StructIdNat;
use crate::identity::caller::Purpose;
use crate::identity::statement::{AccessVisibility, Software, StatedMode, StatedSubject, Statement};
use crate::identity::vihf::issue::SigningKey;
use crate::identity::vihf::wss;
use crate::tls::subject::{PROFESSION_SYSTEM, SAVOIR_FAIRE_SYSTEM};

/// Issue VIHF (SAML assertions of the DMP) for tests
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Sign one VIHF, good for one call, and print it
    Issue(Box<Issue>),
}

#[derive(Args)]
struct Issue {
    /// Signature certificate (`pki issue --use sign`), PEM; its key is FILE.key beside it
    #[arg(long, value_name = "FILE.pem")]
    signer: PathBuf,
    /// Authentification_mode
    #[arg(long, value_enum)]
    mode: Mode,
    /// Identifiant_Structure
    #[arg(long)]
    structure: StructIdNat,
    /// Secteur_Activite, a code of J61
    #[arg(long, default_value = "SA01")]
    sector: String,
    /// Subject/NameID: the PS_IdNat, or the id of who is responsible
    #[arg(long)]
    user: String,
    /// Prénom and nom of the user
    #[arg(long)]
    name: Option<String>,
    /// Profession (TRE_G15)
    #[arg(long, default_value = "10")]
    profession: String,
    /// Savoir-faire, e.g. SM26
    #[arg(long)]
    speciality: Option<String>,
    /// The patient, `OID|INS`
    #[arg(long)]
    ins: Ins,
    /// Purpose of use
    #[arg(long, value_enum, default_value_t = Why::Normal)]
    purpose: Why,
    /// Homologation number of the software
    #[arg(long, default_value = "CARNET-TEST")]
    homologation: String,
    /// Print the value of the Authorization header instead of the XML
    #[arg(long)]
    header: bool,
    /// Print a SOAP message with the VIHF in its WS-Security header, and nothing in its body
    #[arg(long, conflicts_with = "header")]
    envelope: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Directe,
    Indirecte,
    IndirecteRenforcee,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Why {
    Normal,
    BrisDeGlace,
    #[value(name = "centre_15")]
    Centre15,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Ending> {
    let Action::Issue(issue) = &arguments.action;
    let read = |path: PathBuf| std::fs::read(&path).with_context(|| path.display().to_string());
    let key = SigningKey::read(&read(issue.signer.clone())?, &read(issue.signer.with_extension("key"))?)?;
    let vihf = key.issue(&issue.statement(), Clock::System.now())?;
    let header = format!("IHE-SAML {}", base64_simd::STANDARD.encode_to_string(&vihf));
    if issue.json {
        print_json(&json!({ "assertion": vihf, "authorization": header, "envelope": wss::enclose(&vihf) }));
    } else if issue.envelope {
        say(&wss::enclose(&vihf));
    } else {
        say(if issue.header { &header } else { &vihf });
    }
    Ok(Ending::Done)
}

impl Issue {
    fn statement(&self) -> Statement {
        let profession = Code::new(PROFESSION_SYSTEM, &self.profession);
        let speciality = self.speciality.as_deref().map(|code| Code::new(SAVOIR_FAIRE_SYSTEM, code));
        Statement {
            mode: match self.mode {
                Mode::Directe => StatedMode::Directe,
                Mode::Indirecte => StatedMode::Indirecte,
                Mode::IndirecteRenforcee => StatedMode::IndirecteRenforcee,
            },
            subject: StatedSubject { id: self.user.clone(), name: self.name.clone() },
            structure: self.structure.clone(),
            sector: Some(Code::new("1.2.250.1.71.4.2.4", &self.sector)),
            roles: std::iter::once(profession).chain(speciality).collect(),
            purpose: match self.purpose {
                Why::Normal => Purpose::Normal,
                Why::BrisDeGlace => Purpose::BrisDeGlace { reason: String::new() },
                Why::Centre15 => Purpose::Centre15,
            },
            patient: Some(self.ins.clone()),
            visibility: AccessVisibility::Ordinary,
            software: Some(Software {
                name: "carnet".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                installation: None,
                homologation: self.homologation.clone(),
            }),
        }
    }
}

const EXAMPLE: &str = "Example:
  carnet pki issue organisation --dir certs --struct-id 1750803447 --name \"CHU TEST\" --use sign --out certs/chu-sign
  carnet vihf issue --signer certs/chu-sign.pem --mode indirecte-renforcee --structure 1750803447 \\
      --user 810000000011 --name \"Claire MARTIN\" --speciality SM26 --ins '1.2.250.1.213.1.4.11|258033523804237' --header";
