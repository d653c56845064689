//! The processes that are measured. However the benchmark ends, they end with it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use semisync::client::{Client, Cluster};
use semisync::net::{HostPort, Tcp};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Failure, bare};

const FOLLOWERS: u16 = 5;
/// How long the bare server may take to start, and a node to answer a question.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long the cluster may take to stop; it kills its nodes before that.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// The bare axum server: this program once more.
pub(super) struct BareServer {
    address: SocketAddr,
    child: Child,
}

impl BareServer {
    pub(super) async fn start() -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(bare::ARGUMENT)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("the bare server has no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = timeout(DEADLINE, lines.next_line()).await??.ok_or("the bare server ended at once")?;
        Ok(Self { address: line.parse()?, child })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn stop(mut self) {
        if let Err(error) = self.child.kill().await {
            eprintln!("throughput: the bare server is lost: {error}");
        }
    }
}

/// A leader, five followers, and the process that keeps them.
pub(super) struct ClusterProcesses {
    nodes: Cluster<Tcp>,
    keeper: Child,
}

impl ClusterProcesses {
    /// Starts them and waits until all six answer.
    pub(super) async fn start(program: &Path, port: u16) -> Result<Self, Failure> {
        let keeper = Command::new(program)
            .args(["cluster", "--write-quorum", "3", "--min-delay", "0", "--max-delay", "0"])
            .args(["--followers", &FOLLOWERS.to_string(), "--port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let mut addresses = (port..=port + FOLLOWERS).map(|port| HostPort::new("127.0.0.1", port));
        let leader = addresses.next().ok_or("a cluster has a leader")?;
        let mut cluster = Self { nodes: Cluster::new(Client::new(Tcp, DEADLINE), leader, addresses.collect()), keeper };
        let dump = cluster.nodes.settle(DEADLINE).await?;
        // Somebody else's cluster on these ports would answer as well, and ours would have ended.
        match cluster.keeper.try_wait()? {
            None if dump.is_empty() => Ok(cluster),
            _ => Err(format!("port {port} or one of the five after it is in use").into()),
        }
    }

    pub(super) fn nodes(&self) -> &Cluster<Tcp> {
        &self.nodes
    }

    pub(super) async fn stop(mut self) {
        self.terminate();
        match timeout(STOP_DEADLINE, self.keeper.wait()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => eprintln!("throughput: the cluster is lost: {error}"),
            Err(_) => eprintln!("throughput: the cluster does not stop"),
        }
    }

    /// Asks the keeper to stop its nodes. Killed, it could not.
    fn terminate(&self) {
        // The id is gone when it has ended by itself, and has said why.
        if let Some(pid) = self.keeper.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

impl Drop for ClusterProcesses {
    fn drop(&mut self) {
        self.terminate();
    }
}
