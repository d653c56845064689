//! The command line of semisync.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
