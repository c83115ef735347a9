//! The command line: one file a command. Contract 1.
//!
//! Exit codes: 0 done; 1 done, but something in it was refused; 2 bad usage or configuration.

mod bench;
mod check;
pub mod client;
mod demo;
mod import;
mod journal;
pub mod message;
mod pki;
mod record;
mod serve;
pub mod specimen;
mod vihf;

use std::ffi::OsString;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::Clock;
use crate::config::Config;
use crate::operation::gateway::Gateway;
use crate::refusal::{Failure, Refusal};

#[derive(Parser)]
#[command(name = "carnet", version, about = "Interoperability gateway and document store for the DMP")]
#[command(after_help = "Examples:\n  carnet demo\n  carnet serve --config carnet.toml")]
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
    Check(check::Arguments),
    Journal(journal::Arguments),
    Pki(pki::Arguments),
    Record(record::Arguments),
    Vihf(vihf::Arguments),
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
    let matches = with_examples(Arguments::command()).try_get_matches_from(arguments);
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
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
        Command::Check(arguments) => check::run(&arguments),
        Command::Journal(arguments) => journal::run(&arguments),
        Command::Pki(arguments) => pki::run(&arguments),
        Command::Record(arguments) => record::run(arguments),
        Command::Vihf(arguments) => vihf::run(&arguments),
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

/// A command without an example of its own shows those of the command above it.
fn with_examples(command: clap::Command) -> clap::Command {
    let examples = command.get_after_help().cloned();
    command.mut_subcommands(|below| {
        let below = match (below.get_after_help(), &examples) {
            (None, Some(examples)) => below.after_help(examples.clone()),
            _ => below,
        };
        with_examples(below.disable_help_subcommand(true))
    })
}

/// Prints a line of a command's output. A reader that went away (`| head`) is no failure.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints one JSON value on one line.
fn print_json(value: &serde_json::Value) {
    say(&value.to_string());
}

/// One rule that was broken, as the `--json` of every command tells it.
#[derive(Debug, Serialize)]
struct Reason {
    rule: &'static str,
    place: String,
    found: String,
    expected: String,
    source: &'static str,
}

impl From<Refusal> for Reason {
    fn from(Refusal { rule, place, found, expected }: Refusal) -> Self {
        Self { rule: rule.code(), place, found, expected, source: rule.source() }
    }
}

/// Explains what a command was refused; only a fault of ours stops it with an error.
fn say_refusals(failure: Failure, json: bool) -> anyhow::Result<Ending> {
    let refusals = match failure {
        Failure::Refused(refusals) | Failure::Journaled(refusals) => refusals,
        Failure::Fault(fault) => return Err(fault.into()),
    };
    if json {
        let refused: Vec<Reason> = refusals.into_iter().map(Reason::from).collect();
        print_json(&serde_json::json!({ "refused": refused }));
    } else {
        for refusal in refusals {
            let _ = writeln!(std::io::stderr(), "{refusal}");
        }
    }
    Ok(Ending::Refused)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")
}

/// Over when the operator says stop: Ctrl-C, or SIGTERM.
async fn told_to_stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("listen for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}

/// Where a command finds its settings.
#[derive(clap::Args)]
struct Settings {
    /// Configuration; without it `carnet.toml` in this folder, or else the defaults
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What a command does where there is no database yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Database {
    Make,
    /// A mistyped path must not look like an empty record or an intact journal.
    MustExist,
}

impl Settings {
    /// The file that is read, if any.
    fn file(&self) -> Option<&Path> {
        let beside = Path::new("carnet.toml");
        self.config.as_deref().or_else(|| beside.exists().then_some(beside))
    }

    /// Reads the file, then the environment.
    fn load(&self) -> anyhow::Result<Config> {
        Config::load(self.file(), Config::environment()).with_context(|| self.to_string())
    }

    /// Opens the store that the configuration names, beside a gateway that may be running on it.
    async fn open(&self, database: Database) -> anyhow::Result<Gateway> {
        let config = self.load()?;
        if database == Database::MustExist {
            self.check_database(&config)?;
        }
        Gateway::open(Arc::new(config), Clock::System).await.context("open the gateway")
    }

    /// The same for a command that only reads the journal: a copy has no key beside it.
    async fn open_to_audit(&self) -> anyhow::Result<Gateway> {
        let config = self.load()?;
        self.check_database(&config)?;
        Gateway::open_to_audit(Arc::new(config), Clock::System).await.context("open the gateway")
    }

    fn check_database(&self, config: &Config) -> anyhow::Result<()> {
        let Some(file) = config.sqlite_path() else { return Ok(()) };
        let advice = "name another configuration with --config, or make it with `carnet record open`";
        anyhow::ensure!(file.exists(), "{self}: there is no database {}; {advice}", file.display());
        Ok(())
    }
}

impl fmt::Display for Settings {
    /// What was read: an error says where its cause may be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file() {
            Some(file) => write!(f, "{}", file.display())?,
            None => f.write_str("defaults (no carnet.toml here)")?,
        }
        let keys = Config::environment().filter(|(name, _)| name.contains("__"));
        if keys.count() > 0 { f.write_str(" and environment") } else { Ok(()) }
    }
}

const REFUSED: u8 = 1;
const BAD_USAGE: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_shows_an_example() {
        fn walk(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{}", command.get_name());
            command.get_subcommands().for_each(walk);
        }
        walk(&with_examples(Arguments::command()));
    }

    #[tokio::test]
    async fn a_database_that_is_not_there_is_no_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("carnet.toml");
        std::fs::write(&file, "").unwrap();
        let settings = Settings { config: Some(file) };
        let Err(error) = settings.open(Database::MustExist).await else { panic!("a database was made") };
        assert!(error.to_string().contains("carnet.toml: there is no database"), "{error}");
        assert!(!folder.path().join("carnet.db").exists());
        settings.open(Database::Make).await.unwrap();
        settings.open(Database::MustExist).await.unwrap();
    }
}
