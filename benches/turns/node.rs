//! A node in a thread of its own, whose turns are measured.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use semisync::base::Seed;
use semisync::net::{NetemConfig, Tcp};
use semisync::node::{Config, LeaderRole, Node, NodeIncarnation, Role};
use tokio::sync::oneshot;
use tokio::task::yield_now;

use super::Failure;

pub(super) struct BusyNode {
    address: SocketAddr,
    /// In nanoseconds.
    longest: Arc<AtomicU64>,
    stop: oneshot::Sender<()>,
}

/// Returns an address whose port is free at the moment.
pub(super) fn free_port() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

impl BusyNode {
    pub(super) async fn follower(port: u16) -> Result<Self, Failure> {
        Self::start(Role::Follower, port).await
    }

    pub(super) async fn leader(followers: Vec<SocketAddr>) -> Result<Self, Failure> {
        let role = LeaderRole {
            followers: followers.into_iter().map(Into::into).collect(),
            write_quorum: 1,
            netem: NetemConfig { min_delay: Duration::ZERO, max_delay: Duration::ZERO },
            repl_timeout: Duration::from_secs(5),
            advertise: None,
        };
        Self::start(Role::Leader(role), 0).await
    }

    async fn start(role: Role, port: u16) -> Result<Self, Failure> {
        let config = Config::new(role, (Ipv4Addr::LOCALHOST, port).into(), Seed::new(1), NodeIncarnation::draw()?);
        let longest = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = oneshot::channel();
        let (started, address) = oneshot::channel();
        let turns = Arc::clone(&longest);
        thread::Builder::new().name("node".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let node = match Node::bind(Tcp, config).await {
                    Ok(node) => node,
                    Err(error) => return drop(started.send(Err(error.to_string()))),
                };
                let _ = started.send(Ok(node.local_addr()));
                tokio::select! {
                    () = node.serve(std::future::pending()) => {}
                    () = watch_turns(&turns) => {}
                    _ = stopped => {}
                }
            });
            // What is still being sent is dropped.
            runtime.shutdown_background();
        })?;
        let address = address.await??;
        Ok(Self { address, longest, stop })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The longest turn since this was last asked.
    pub(super) fn take_longest(&self) -> Duration {
        Duration::from_nanos(self.longest.swap(0, Ordering::Relaxed))
    }

    /// Kills it.
    pub(super) fn stop(self) {
        // Fails only if the node has ended already.
        let _ = self.stop.send(());
    }
}

/// Measures what everybody else does between two of its own turns. Never returns.
async fn watch_turns(longest: &AtomicU64) {
    loop {
        let before = thread_time();
        yield_now().await;
        let turn = thread_time().saturating_sub(before);
        longest.fetch_max(u64::try_from(turn.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// The processor time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
