use std::process::ExitCode;

use super::local::LocalCluster;
use super::numbers::whole;
use super::signals::Signals;
use super::{Failure, NO, complain, runtime, say};

/// The nodes listen on 127.0.0.1: the leader on PORT, the followers on the ports after it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many followers
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = whole::<u16>(0..=128))]
    followers: u16,
    /// The leader's port
    #[arg(long, default_value_t = 8000, value_name = "PORT", value_parser = whole::<u16>(1..=u16::MAX))]
    port: u16,
    /// How many followers must confirm a write [env: WRITE_QUORUM] [default: 1]
    #[arg(long, value_name = "N")]
    write_quorum: Option<String>,
    /// Shortest emulated delay of a replication message, in ms [env: MIN_DELAY] [default: 0]
    #[arg(long, value_name = "MS")]
    min_delay: Option<String>,
    /// Longest emulated delay of a replication message, in ms [env: MAX_DELAY] [default: 1000]
    #[arg(long, value_name = "MS")]
    max_delay: Option<String>,
    /// Deadline of a write's quorum and of a replication request, in seconds [env: REPL_TIMEOUT] [default: 5.0]
    #[arg(long, value_name = "SECONDS")]
    repl_timeout: Option<String>,
    /// Seed of the emulated delays [env: SEED] [default: from the system]
    #[arg(long, value_name = "N")]
    seed: Option<String>,
    /// What the nodes know each other by; `auto` draws one and prints it [env: PEER_TOKEN] [default: none]
    #[arg(long, value_name = "TOKEN|auto")]
    peer_token: Option<String>,
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    if args.port.checked_add(args.followers).is_none() {
        let (port, followers) = (args.port, args.followers);
        return Err(Failure::Usage(format!("--port {port}: {followers} followers would need ports above 65535")));
    }
    runtime()?.block_on(run_cluster(&args))
}

async fn run_cluster(args: &Args) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let mut cluster = start(args)?;
    let ended = tokio::select! {
        biased;
        _ = signals.next() => None,
        ended = announce_and_watch(&mut cluster) => Some(ended),
    };
    tokio::select! {
        biased;
        () = cluster.stop() => {}
        // The processes are killed as they are dropped.
        _ = signals.next() => eprintln!("semisync: stopped at once by a second signal"),
    }
    match ended {
        None => Ok(ExitCode::SUCCESS),
        Some(Failure::Failed(message)) => {
            complain(&message);
            Ok(NO)
        }
        Some(failure) => Err(failure),
    }
}

fn start(args: &Args) -> Result<LocalCluster, Failure> {
    let mut flags = Vec::new();
    for (flag, value) in [
        ("--write-quorum", &args.write_quorum),
        ("--min-delay", &args.min_delay),
        ("--max-delay", &args.max_delay),
        ("--repl-timeout", &args.repl_timeout),
        ("--seed", &args.seed),
    ] {
        // In one word: a value may begin with a '-'.
        flags.extend(value.iter().map(|value| format!("{flag}={value}")));
    }
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let ports: Vec<u16> = (args.port..=args.port + args.followers).collect();
    let token = match args.peer_token.as_deref() {
        Some("auto") => Some(draw_token()?),
        other => other.map(str::to_owned),
    };
    let cluster = LocalCluster::start(&ports, &flags, token.as_deref())?;
    if let (Some("auto"), Some(token)) = (args.peer_token.as_deref(), token) {
        say(format_args!("PEER_TOKEN={token}"));
    }
    Ok(cluster)
}

/// A token that nobody can guess.
fn draw_token() -> Result<String, Failure> {
    let draw =
        || getrandom::u64().map_err(|error| Failure::Failed(format!("no random number from the system: {error}")));
    Ok(format!("{:016x}{:016x}", draw()?, draw()?))
}

/// Says when all nodes answer, then waits for one that ends.
async fn announce_and_watch(cluster: &mut LocalCluster) -> Failure {
    if let Err(failure) = cluster.ready().await {
        return failure;
    }
    cluster.lines().for_each(say);
    say("ready; Ctrl-C stops all of them");
    cluster.watch().await
}
