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
        /// Only show what that would mean: who has not answered, who has restarted empty, and what may be lost
        #[arg(long)]
        dry_run: bool,
        /// The leader, host:port
        #[arg(default_value = "localhost:8000", value_name = "LEADER")]
        leader: HostPort,
    },
}

/// How long the leader may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let Command::AcceptLoss { dry_run, leader } = &args.command;
    let token = environment("PEER_TOKEN").filter(|token| !token.is_empty());
    let client = Client::new(Tcp, PATIENCE);
    let accepted = runtime()?.block_on(async {
        match dry_run {
            true => client.show_loss(leader, token.as_deref()).await,
            false => client.accept_loss(leader, token.as_deref()).await,
        }
    });
    let accepted = accepted.map_err(|error| Failure::Failed(format!("{leader}: {error}")))?;
    say(format_args!("{leader}: {}", accepted.detail));
    Ok(ExitCode::SUCCESS)
}
