use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use semisync::client::Client;
use semisync::net::{HostPort, Tcp};

use super::{Failure, environment, runtime, say};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let a leader that waits for followers go on without what only they know. Acknowledged writes may be lost
    AcceptLoss {
        /// The leader, host:port
        #[arg(default_value = "localhost:8000", value_name = "LEADER")]
        leader: HostPort,
    },
}

/// How long the leader may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let Command::AcceptLoss { leader } = &args.command;
    let token = environment("PEER_TOKEN").filter(|token| !token.is_empty());
    let accepted = runtime()?.block_on(Client::new(Tcp, PATIENCE).accept_loss(leader, token.as_deref()));
    let accepted = accepted.map_err(|error| Failure::Failed(format!("{leader}: {error}")))?;
    say(format_args!("{leader}: {}", accepted.detail));
    Ok(ExitCode::SUCCESS)
}
