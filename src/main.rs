//! The program: arguments in, exit code out. Everything else is in the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The system's takes a tenth of a deposit's time, for its many small pieces of metadata.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    carnet::cli::run(std::env::args_os())
}
