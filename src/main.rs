//! The command line of semisync.

mod cli;

use std::process::ExitCode;

/// A write is a dozen small allocations in each node.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
