//! The command line of semisync.

mod cli;

use std::process::ExitCode;

/// A write is a dozen small allocations in each node. Without transparent huge pages, because the system clears each of those when it
/// is first touched, which takes milliseconds in which the node does nothing else.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
