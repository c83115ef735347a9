//! Assertions verified by one core: form, signature, signer, times and attributes, as for a call. The replay memory,
//! which is a shared sync and no work of the processor, is left out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::figures::Figures;
use super::scene::{Credentials, Scene};
use crate::cli::check::vihf::Offline;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::code::Code;
use crate::domain::value_set::Terminology;
use crate::identity::caller::Purpose;
use crate::identity::statement::{AccessVisibility, Software, StatedMode, StatedSubject, Statement};
use crate::identity::vihf::issue::SigningKey;
use crate::identity::vihf::{About, Judge, Telling};
use crate::tls::subject::{PROFESSION_SYSTEM, SAVOIR_FAIRE_SYSTEM};

/// A judge and what it judges.
pub(super) struct Assertions {
    judge: Judge,
    signed: Vec<String>,
}

impl Assertions {
    /// Assertions of one structure in AIR mode, of an age that lasts as long as the measure does.
    pub(super) fn sign(scene: &Scene, config: &Config, lasting: Duration) -> anyhow::Result<Self> {
        let Credentials { chain, key, .. } = scene.signer()?;
        let key = SigningKey::read(chain.as_bytes(), key.as_bytes())?;
        let lifetime = Duration::from_secs(config.vihf.lifetime_seconds.into());
        ensure!(lasting < lifetime, "at most {} seconds: an assertion lives no longer", lifetime.as_secs());
        let now = Clock::System.now();
        let sign = |index| Ok(key.issue(&statement(index)?, now)?);
        let signed = (0..SIGNED).map(sign).collect::<anyhow::Result<_>>()?;
        let signers = Arc::new(Offline::load(config)?);
        let judge = Judge::new(config, signers, Arc::new(Terminology::load()?), Clock::System);
        Ok(Self { judge, signed })
    }

    /// Verifies one after the other, on this thread alone, for as long as told.
    pub(super) fn verify(&self, during: Duration) -> Figures {
        let start = Instant::now();
        let mut figures = Figures::over(during);
        for signed in self.signed.iter().cycle() {
            let began = Instant::now();
            let judgement = self.judge.judge(signed.as_bytes(), About::OnePatient, Telling::UpToSignature);
            let ended = Instant::now();
            if ended - start > during {
                break;
            }
            match judgement.refusals.first() {
                None => figures.count("vihf", ended - began),
                Some(refusal) => figures.fail(&anyhow::anyhow!("{refusal}")),
            }
        }
        figures
    }
}

fn statement(index: usize) -> anyhow::Result<Statement> {
    Ok(Statement {
        mode: StatedMode::IndirecteRenforcee,
        subject: StatedSubject { id: format!("899700{index:06}"), name: Some("Camille LECTEUR".to_owned()) },
        structure: Scene::structure()?,
        sector: Some(Code::new("1.2.250.1.71.4.2.4", "SA01")),
        roles: vec![Code::new(PROFESSION_SYSTEM, "10"), Code::new(SAVOIR_FAIRE_SYSTEM, "SM26")],
        purpose: Purpose::Normal,
        patient: Some(Scene::records(0).first().cloned().context("a scene without records")?),
        visibility: AccessVisibility::Ordinary,
        software: Some(Software {
            name: "CARNET BENCH".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            installation: None,
            homologation: "CARNET-BENCH".to_owned(),
        }),
    })
}

/// More than a processor's nearest cache holds.
const SIGNED: usize = 500;
