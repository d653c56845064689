//! A whole cluster on this machine, a process for each node.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use clap::{Args, FromArgMatches};
use rustix::process::{Pid, kill_process};
use semisync::client::Client;
use semisync::net::{HostPort, Tcp};
use semisync::node::{NodeError, Secret, Settings};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::serve::draw_incarnation;
use super::{Failure, environment};

/// How long the nodes may take to answer after their start, and one to answer a question.
const START_DEADLINE: Duration = Duration::from_secs(15);
const HEALTH_DEADLINE: Duration = Duration::from_secs(2);
/// How long a node may take to drain before it is killed: past what the default delays and deadlines can need.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// Variables that the flags of the leader replace.
const OURS: [&str; 2] = ["FOLLOWERS", "ADVERTISE"];
/// Variables that only a leader uses.
const OF_LEADER: [&str; 5] = ["WRITE_QUORUM", "MIN_DELAY", "MAX_DELAY", "REPL_TIMEOUT", "SEED"];

/// The variable by which a node knows the process that it is to end with.
pub(super) const PARENT: &str = "SEMISYNC_PARENT";

/// The processes of a cluster. They are killed if this is dropped before [`LocalCluster::stop`].
pub(super) struct LocalCluster {
    /// The leader, then the followers.
    nodes: Vec<NodeProcess>,
}

/// A process and the name that we know it by.
pub(super) struct NodeProcess {
    name: String,
    address: HostPort,
    child: Child,
}

/// Whether a node that is started like this could use its settings.
fn check(node: &Command) -> Result<(), Failure> {
    let serve = Settings::augment_args(clap::Command::new("serve"));
    let given = serve.try_get_matches_from(node.as_std().get_args()).map_err(Failure::usage)?;
    let mut settings = Settings::from_arg_matches(&given).map_err(Failure::usage)?;
    let own = |variable: &str| node.as_std().get_envs().find(|(name, _)| *name == variable);
    // The token is no argument of the node, but it was one of the command.
    let token = own("PEER_TOKEN").and_then(|(_, value)| Some(value?.to_string_lossy().into_owned()));
    settings.peer_token = token.map(Secret::from);
    let inherited = |variable| environment(variable).filter(|_| own(variable).is_none());
    settings.or_from(inherited).validate(0, draw_incarnation()?).map(drop).map_err(Failure::usage)
}

/// Whether a node could listen there. If somebody else's does, it would answer in place of ours.
fn is_free(port: u16) -> Result<(), NodeError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).map(drop).map_err(|source| NodeError::Bind { address, source })
}

impl LocalCluster {
    /// Starts a leader and its followers, each on one of these ports of 127.0.0.1; the leader's is the first. The leader gets
    /// these flags, and all get this token. They end with this process, however it ends.
    ///
    /// What no node could use is said once, and none is started.
    pub(super) fn start(ports: &[u16], flags: &[&str], token: Option<&str>) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| Failure::Failed(format!("where am I? {error}")))?;
        let (leader, followers) = ports.split_first().expect("a cluster has a leader");
        let list: Vec<String> = followers.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let (list, advertise) = (list.join(","), format!("localhost:{leader}"));
        let leads = ["--role", "leader", "--followers", &list, "--advertise", &advertise];
        let prepare = |(place, port): (usize, &u16)| {
            let (name, role) = match place {
                0 => ("leader".to_owned(), [&leads[..], flags].concat()),
                _ => (format!("f{place}"), vec!["--role", "follower"]),
            };
            let mut command = Command::new(&program);
            command.args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()]).args(role);
            let of_leader = if place == 0 { &[][..] } else { &OF_LEADER[..] };
            for variable in OURS.iter().chain(of_leader) {
                command.env_remove(variable);
            }
            if std::env::var_os("RUST_LOG").is_none() {
                command.env("RUST_LOG", "warn");
            }
            // Among the arguments everybody on this machine could read it.
            if let Some(token) = token {
                command.env("PEER_TOKEN", token);
            }
            command.env(PARENT, std::process::id().to_string());
            // A group of its own keeps a terminal's Ctrl-C from it: it is we who stop it, once.
            command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
            (name, HostPort::new("127.0.0.1", *port), command)
        };
        let prepared: Vec<(String, HostPort, Command)> = ports.iter().enumerate().map(prepare).collect();
        prepared.iter().try_for_each(|(_, _, command)| check(command))?;
        ports
            .iter()
            .try_for_each(|port| is_free(*port))
            .map_err(|error| Failure::Usage(format!("--port {leader}: {error}")))?;
        let spawn = |(name, address, mut command): (String, HostPort, Command)| {
            let child = command.spawn().map_err(|error| Failure::Failed(format!("cannot start {name}: {error}")))?;
            Ok(NodeProcess { name, address, child })
        };
        Ok(Self { nodes: prepared.into_iter().map(spawn).collect::<Result<_, Failure>>()? })
    }

    /// A line for each node: its name, address and process.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.nodes.iter().map(|NodeProcess { name, address, child }| {
            format!("{name:<8}http://{address}  pid {}", child.id().unwrap_or_default())
        })
    }

    /// Waits until all nodes answer.
    pub(super) async fn ready(&mut self) -> Result<(), Failure> {
        let client = Client::new(Tcp, HEALTH_DEADLINE);
        let began = Instant::now();
        let mut waiting_for: Vec<HostPort> = self.nodes.iter().map(|node| node.address.clone()).collect();
        while let Some(node) = waiting_for.last() {
            self.check()?;
            if client.health(node).await.is_ok() {
                waiting_for.pop();
                continue;
            }
            if began.elapsed() > START_DEADLINE {
                return Err(Failure::Failed(format!("{node} does not answer after {START_DEADLINE:?}")));
            }
            sleep(Duration::from_millis(20)).await;
        }
        // What answers must be ours, and not another node on a port that was taken.
        self.check()
    }

    /// Waits for a node that ends, which none should.
    pub(super) async fn watch(&mut self) -> Failure {
        loop {
            if let Err(failure) = self.check() {
                return failure;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Whether all processes run.
    fn check(&mut self) -> Result<(), Failure> {
        for node in &mut self.nodes {
            match node.child.try_wait() {
                Ok(None) => {}
                // The node has said why.
                Ok(Some(status)) if status.code() == Some(2) => {
                    return Err(Failure::Usage(format!("{} did not start", node.name)));
                }
                Ok(Some(status)) => return Err(Failure::Failed(format!("{} ended: {status}", node.name))),
                Err(error) => return Err(Failure::Failed(format!("{} is lost: {error}", node.name))),
            }
        }
        Ok(())
    }

    /// Asks the leader to stop and, once it has delivered what was on its way, the followers. Those that take too long
    /// are killed.
    pub(super) async fn stop(self) {
        let mut nodes = self.nodes.into_iter();
        stop_together(nodes.by_ref().take(1).collect()).await;
        stop_together(nodes.collect()).await;
    }
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
