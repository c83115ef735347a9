//! The command line: one file a command. Contract 1.
//!
//! Exit codes: 0 done; 1 done, but something in it was refused; 2 bad usage or configuration.

mod bench;
pub mod client;
mod demo;
mod import;
mod journal;
pub mod message;
mod pki;
mod record;
mod serve;
pub mod specimen;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::clock::Clock;
use crate::config::Config;
use crate::operation::gateway::Gateway;
use crate::refusal::Failure;

#[derive(Parser)]
#[command(name = "carnet", version, about = "Interoperability gateway and document store for the DMP")]
#[command(disable_help_subcommand = true, after_help = "Examples:\n  carnet demo\n  carnet serve --config carnet.toml")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Serve(serve::Arguments),
    Import(import::Arguments),
    Bench(bench::Arguments),
    Journal(journal::Arguments),
    Pki(pki::Arguments),
    Record(record::Arguments),
}

/// How a command ended when nothing stopped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Done,
    /// The work was done, but something in it was refused: what was printed says what.
    Refused,
}

/// Reads the arguments, runs the command, says what went wrong.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed terminal is no reason to fail: the exit code still tells.
            let _ = error.print();
            return if error.use_stderr() { BAD_USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let ending = match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Journal(arguments) => journal::run(&arguments),
        Command::Pki(arguments) => pki::run(&arguments),
        Command::Record(arguments) => record::run(arguments),
    };
    match ending {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Refused) => REFUSED.into(),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "carnet: {error:#}");
            BAD_USAGE.into()
        }
    }
}

/// Prints a line of a command's output. A reader that went away (`| head`) is no failure.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints one JSON value on one line.
fn print_json(value: &serde_json::Value) {
    say(&value.to_string());
}

/// Explains what a command was refused; only a fault of ours stops it with an error.
fn say_refusals(failure: Failure) -> anyhow::Result<Ending> {
    match failure {
        Failure::Refused(refusals) | Failure::Journaled(refusals) => {
            for refusal in refusals {
                say(&refusal.to_string());
            }
            Ok(Ending::Refused)
        }
        Failure::Fault(fault) => Err(fault.into()),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")
}

/// Reads the configuration of a command: the file, then the environment.
fn load_config(path: Option<&Path>) -> anyhow::Result<Config> {
    Ok(Config::load(path, Config::environment())?)
}

/// Opens the store that the configuration names, beside a gateway that may be running on it.
async fn open_gateway(path: Option<&Path>) -> anyhow::Result<Gateway> {
    let config = Arc::new(load_config(path)?);
    Gateway::open(config, Clock::System).await.map_err(|fault| anyhow::Error::new(fault).context("open the gateway"))
}

const REFUSED: u8 = 1;
const BAD_USAGE: u8 = 2;
