//! Real nodes on loopback TCP, each on a port of its own, all in the test's runtime.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use semisync::base::{Epoch, Seed};
use semisync::client::{Client, Cluster};
use semisync::net::{HostPort, NetemConfig, Tcp};
use semisync::node::{Config, LeaderRole, Node, NodeIncarnation, Role};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::until;

/// How many nodes were made: each has a life of its own.
static STARTED: AtomicU64 = AtomicU64::new(0);

pub const CLIENT_DEADLINE: Duration = Duration::from_secs(30);

/// A node that runs in a task of the test.
pub struct Running {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts a node.
    pub async fn start(config: Config) -> Self {
        let node = Node::bind(Tcp, config).await.expect("a free port");
        let address = node.local_addr();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(node.serve(async move { drop(stopped.await) }));
        Self { address, stop, task }
    }

    /// A follower on a free port.
    pub async fn follower() -> Self {
        Self::start(follower_config(0)).await
    }

    /// Tells it to drain, as SIGTERM does, and waits until it has.
    pub async fn drain(self) {
        self.stop.send(()).expect("the node still runs");
        self.task.await.expect("the node drains without a panic");
    }

    /// Ends it without notice. Its port is free afterwards.
    pub async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.expect_err("it was running").is_cancelled());
    }
}

/// The next incarnation. All leaders ask for the first epoch at first, as if clocks stood still.
fn next_incarnation() -> NodeIncarnation {
    NodeIncarnation { number: STARTED.fetch_add(1, Ordering::Relaxed), first_epoch: Epoch::FIRST }
}

pub fn follower_config(port: u16) -> Config {
    Config::new(Role::Follower, SocketAddr::from(([127, 0, 0, 1], port)), Seed::new(1), next_incarnation())
}

pub fn leader_config(followers: Vec<HostPort>, write_quorum: usize, delay_ms: (u64, u64)) -> Config {
    let (min_delay, max_delay) = (Duration::from_millis(delay_ms.0), Duration::from_millis(delay_ms.1));
    let role = LeaderRole {
        followers,
        write_quorum,
        netem: NetemConfig { min_delay, max_delay },
        repl_timeout: Duration::from_secs(5),
        advertise: None,
    };
    Config::new(Role::Leader(role), SocketAddr::from(([127, 0, 0, 1], 0)), Seed::new(1), next_incarnation())
}

/// A leader and its followers.
pub struct TcpCluster {
    pub leader: Running,
    pub followers: Vec<Running>,
    pub cluster: Cluster<Tcp>,
}

impl TcpCluster {
    pub async fn start(followers: usize, write_quorum: usize, delay_ms: (u64, u64)) -> Self {
        let mut running = Vec::new();
        for _ in 0..followers {
            running.push(Running::follower().await);
        }
        let addresses: Vec<HostPort> = running.iter().map(|node| node.address.into()).collect();
        let leader = Running::start(leader_config(addresses.clone(), write_quorum, delay_ms)).await;
        let client = Client::new(Tcp, CLIENT_DEADLINE);
        let cluster = Cluster::new(client, leader.address.into(), addresses);
        // Whoever stops a follower at once stops one that has been up.
        for node in cluster.nodes() {
            until(async || cluster.client().ready(cluster.address(node)).await.ok().filter(|it| it.ready)).await;
        }
        Self { leader, followers: running, cluster }
    }
}
