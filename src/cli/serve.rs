//! `carnet serve`: runs the gateway until it is told to stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Ending, load_config, runtime};
use crate::app::App;
use crate::clock::Clock;
use crate::telemetry::start_logs;

/// Run the gateway
#[derive(Args)]
#[command(after_help = "Example:\n  carnet serve --config carnet.toml\n\nEvery key can also come from the environment: CARNET_<SECTION>__<KEY>.")]
pub(super) struct Arguments {
    /// Configuration; `carnet.toml` beside you when there is one, else the defaults
    #[arg(long)]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Ending> {
    let beside = Path::new("carnet.toml");
    let path = arguments.config.as_deref().or_else(|| beside.exists().then_some(beside));
    let config = Arc::new(load_config(path)?);
    start_logs(&config.log)?;
    runtime()?.block_on(async {
        let running = App::start(config, Clock::System).await?;
        tracing::info!(professionals = %running.professionals, operators = %running.operators, "serving");
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.context("listen for Ctrl-C")?,
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping: requests in flight finish");
        running.stop().await?;
        Ok(Ending::Done)
    })
}
