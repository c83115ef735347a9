//! The gateway that `--vs-unjournaled` compares with: the same in everything, but its reads leave no journal line.
//!
//! No configuration and no environment leads here: it writes its own file, listens on the loopback, opens a new database
//! and takes made-up patients (`Gateway::open_unjournaled` refuses the rest).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::scene::{Place, open_records};
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::operation::gateway::Gateway;
use crate::refusal::Fault;
use crate::telemetry::start_logs;

/// Arguments of the child process; nobody types them.
#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// Folder of the scene, with its PKI
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    professionals: u16,
    #[arg(long)]
    operators: u16,
    #[arg(long)]
    clients: usize,
}

/// Serves until it is killed.
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let (professionals, operators) = (local(arguments.professionals), local(arguments.operators));
    let place = Place::unjournaled(professionals, operators, arguments.clients);
    let config = Arc::new(Config::load(Some(&place.write(&arguments.folder)?), std::iter::empty())?);
    start_logs(&config.log)?;
    let opening = Arc::clone(&config);
    let gateway = async move {
        let gateway = Gateway::open_unjournaled(opening, Clock::System).await?;
        open_records(&gateway).await.map_err(|error| Fault::new("open the records", error))?;
        Ok(gateway)
    };
    let _running = App::start_with(config, Clock::System, gateway).await?;
    std::future::pending().await
}
