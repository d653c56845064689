use std::process::{ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Pid, kill_process};
use semisync::client::Client;
use semisync::net::{HostPort, Tcp};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

use super::{Failure, NO, runtime, say};

/// The nodes listen on 127.0.0.1: the leader on PORT, the followers on the ports after it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many followers
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=128))]
    followers: u16,
    /// The leader's port
    #[arg(long, default_value_t = 8000, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
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
}

/// How long the nodes may take to answer after their start, and one to answer a question.
const START_DEADLINE: Duration = Duration::from_secs(15);
const HEALTH_DEADLINE: Duration = Duration::from_secs(2);
/// How long a node may take to drain before it is killed: past what the default delays and deadlines can need.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    if args.port.checked_add(args.followers).is_none() {
        let (port, followers) = (args.port, args.followers);
        return Err(Failure::Usage(format!("--port {port}: {followers} followers would need ports above 65535")));
    }
    runtime()?.block_on(run_cluster(&args))
}

/// A process and the name that we know it by.
struct NodeProcess {
    name: String,
    address: HostPort,
    child: Child,
}

async fn run_cluster(args: &Args) -> Result<ExitCode, Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")));
    let mut signals =
        [listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?, listen(SignalKind::hangup())?];
    let mut nodes = start(args)?;
    let ended = tokio::select! {
        biased;
        () = any_of(&mut signals) => None,
        ended = watch(&mut nodes) => Some(ended),
    };
    tokio::select! {
        biased;
        () = stop(nodes) => {}
        // The processes are killed as they are dropped.
        () = any_of(&mut signals) => eprintln!("semisync: stopped at once by a second signal"),
    }
    match ended {
        None => Ok(ExitCode::SUCCESS),
        Some(Failure::Failed(message)) => {
            eprintln!("semisync: {message}");
            Ok(NO)
        }
        Some(failure) => Err(failure),
    }
}

/// The next signal of any kind.
async fn any_of([a, b, c]: &mut [Signal; 3]) {
    tokio::select! {
        biased;
        _ = a.recv() => {}
        _ = b.recv() => {}
        _ = c.recv() => {}
    }
}

fn start(args: &Args) -> Result<Vec<NodeProcess>, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::Failed(format!("where am I? {error}")))?;
    let address = |place: u16| HostPort::new("127.0.0.1", args.port + place);
    let spawn = |place: u16, name: String, flags: &[&str]| {
        let port = (args.port + place).to_string();
        let mut command = Command::new(&program);
        command.args(["serve", "--host", "127.0.0.1", "--port", &port]).args(flags);
        // The list is ours to make, whatever the shell has exported.
        command.env_remove("FOLLOWERS");
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "warn");
        }
        // A group of its own keeps a terminal's Ctrl-C from it: it is we who stop it, once.
        let child = command.stdin(Stdio::null()).process_group(0).kill_on_drop(true).spawn();
        let child = child.map_err(|error| Failure::Failed(format!("cannot start {name}: {error}")))?;
        Ok(NodeProcess { name, address: address(place), child })
    };
    let followers: Vec<String> = (1..=args.followers).map(|place| address(place).to_string()).collect();
    let list = followers.join(",");
    let mut flags = vec!["--role", "leader", "--followers", &list];
    for (flag, value) in [
        ("--write-quorum", &args.write_quorum),
        ("--min-delay", &args.min_delay),
        ("--max-delay", &args.max_delay),
        ("--repl-timeout", &args.repl_timeout),
        ("--seed", &args.seed),
    ] {
        flags.extend(value.iter().flat_map(|value| [flag, value]));
    }
    let mut nodes = vec![spawn(0, "leader".into(), &flags)?];
    for place in 1..=args.followers {
        nodes.push(spawn(place, format!("f{place}"), &["--role", "follower"])?);
    }
    Ok(nodes)
}

/// Says when all nodes answer, then waits for one that ends, which none should.
async fn watch(nodes: &mut [NodeProcess]) -> Failure {
    let client = Client::new(Tcp, HEALTH_DEADLINE);
    let began = Instant::now();
    let mut waiting_for: Vec<HostPort> = nodes.iter().map(|node| node.address.clone()).collect();
    let mut announced = false;
    loop {
        for node in nodes.iter_mut() {
            match node.child.try_wait() {
                Ok(None) => {}
                // The node has said why.
                Ok(Some(status)) if status.code() == Some(2) => {
                    return Failure::Usage(format!("{} did not start", node.name));
                }
                Ok(Some(status)) => return Failure::Failed(format!("{} ended: {status}", node.name)),
                Err(error) => return Failure::Failed(format!("{} is lost: {error}", node.name)),
            }
        }
        if let Some(node) = waiting_for.last() {
            if client.health(node).await.is_ok() {
                waiting_for.pop();
                continue;
            }
            if began.elapsed() > START_DEADLINE {
                return Failure::Failed(format!("{node} does not answer after {START_DEADLINE:?}"));
            }
        } else if !announced {
            announce(nodes);
            announced = true;
        }
        sleep(Duration::from_millis(if announced { 200 } else { 20 })).await;
    }
}

fn announce(nodes: &[NodeProcess]) {
    for node in nodes {
        say(format_args!("{:<8}http://{}  pid {}", node.name, node.address, node.child.id().unwrap_or_default()));
    }
    say(format_args!("ready; Ctrl-C stops all of them"));
}

/// Asks the leader to stop and, once it has delivered what was on its way, the followers. Those that take too long are
/// killed.
async fn stop(nodes: Vec<NodeProcess>) {
    let mut nodes = nodes.into_iter();
    stop_together(nodes.by_ref().take(1).collect()).await;
    stop_together(nodes.collect()).await;
}

async fn stop_together(nodes: Vec<NodeProcess>) {
    for node in &nodes {
        if let Some(pid) = node.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            // It may have ended by itself.
            let _ = kill_process(pid, rustix::process::Signal::TERM);
        }
    }
    for mut node in nodes {
        if timeout(STOP_DEADLINE, node.child.wait()).await.is_err() {
            eprintln!("semisync: {} did not stop in {STOP_DEADLINE:?} and is killed", node.name);
        }
    }
}
