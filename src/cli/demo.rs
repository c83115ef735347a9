//! `carnet demo`: the main job in one command. Contract 1.
//!
//! Everything goes over real mutual TLS to a real gateway on a real database; the tour checks what it tells.

mod cast;
mod legacy;
mod stage;
mod tour;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;

use super::{Ending, runtime, say, told_to_stop};
use stage::Stage;

/// Show the main job on a throw-away gateway: deposits, the patient's list, who reads what, the journal
#[derive(Args)]
#[command(
    after_help = "Examples:\n  carnet demo\n  carnet demo --once\n  carnet demo --dir ./demo   # keep data, certificates and demo.json"
)]
pub(super) struct Arguments {
    /// Exit after the tour: 0 only if every step went as told
    #[arg(long)]
    once: bool,
    /// Keep the data folder here: carnet.toml, certs/, demo.json, bundle.json
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Ending> {
    let temporary;
    let folder = if let Some(folder) = &arguments.dir {
        claim(folder)?;
        folder
    } else {
        temporary = tempfile::tempdir().context("make a temporary folder")?;
        temporary.path()
    };
    runtime()?.block_on(async {
        let mut stage = Stage::set(folder).await?;
        let went_well = tour::walk(&mut stage).await?;
        stage.print_what_to_try();
        if !arguments.once {
            say("\nServing until Ctrl-C.");
            told_to_stop().await?;
        }
        stage.strike().await?;
        Ok(if went_well { Ending::Done } else { Ending::Refused })
    })
}

fn claim(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    match MADE_HERE.iter().map(|name| folder.join(name)).find(|path| path.exists()) {
        Some(taken) => bail!("{} is here already: choose another folder, or remove this one", taken.display()),
        None => Ok(()),
    }
}

/// What the demo writes, and never over somebody else's.
const MADE_HERE: [&str; 4] = ["demo.json", "carnet.toml", "carnet.db", "certs"];
