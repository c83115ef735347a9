//! The command line: one file a command. Contract 1.
//!
//! Exit codes: 0 done; 1 done, but something in it was refused; 2 bad usage or configuration.

pub mod client;
mod pki;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "carnet", version, about = "Interoperability gateway and document store for the DMP")]
#[command(disable_help_subcommand = true, after_help = "Example:\n  carnet pki init --dir certs")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Pki(pki::Arguments),
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
        Command::Pki(arguments) => pki::run(&arguments),
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

const REFUSED: u8 = 1;
const BAD_USAGE: u8 = 2;
