//! `carnet serve`: runs the gateway until it is told to stop.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;

use super::{Ending, Settings, runtime, told_to_stop};
use crate::app::App;
use crate::clock::Clock;
use crate::telemetry::start_logs;

/// Run the gateway
#[derive(Args)]
#[command(
    after_help = "Example:\n  carnet serve --config carnet.toml\n\nEvery key can also come from the environment: CARNET_<SECTION>__<KEY>."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Ending> {
    let settings = &arguments.settings;
    let config = Arc::new(settings.load()?);
    start_logs(&config.log)?;
    runtime()?.block_on(async {
        let running = App::start(config, Clock::System).await.with_context(|| settings.to_string())?;
        tracing::info!(professionals = %running.professionals, operators = %running.operators, "serving");
        told_to_stop().await?;
        tracing::info!("stopping: requests in flight finish");
        running.stop().await?;
        Ok(Ending::Done)
    })
}
