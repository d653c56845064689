use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use semisync::client::{Client, Cluster};
use semisync::live::analyze::{AnalyzeError, Plan, QuorumResult, measure};
use semisync::live::preflight;
use semisync::net::{HostPort, Tcp};

use super::compose;
use crate::cli::Failure;
use crate::cli::local::LocalCluster;
use crate::cli::target::{AddressArgs, refuse};

/// How the cluster is brought to a quorum.
pub(super) enum Mode {
    /// In the simulator, a cluster for each quorum.
    #[cfg(feature = "sim")]
    Sim { followers: usize, seed: u64 },
    /// By processes on this machine, a cluster for each quorum.
    Local { followers: usize, seed: Option<u64> },
    /// By Compose, which starts the leader anew.
    Compose { file: Option<PathBuf>, addresses: AddressArgs },
    /// Not at all.
    Fixed { addresses: AddressArgs },
}

/// Beyond the longest delay: what a write's quorum may take.
const PATIENCE: Duration = Duration::from_secs(5);

impl Mode {
    /// How many followers there are.
    pub(super) fn followers(&self) -> usize {
        match self {
            #[cfg(feature = "sim")]
            Self::Sim { followers, .. } => *followers,
            Self::Local { followers, .. } => *followers,
            Self::Compose { addresses, .. } | Self::Fixed { addresses } => addresses.followers().len(),
        }
    }

    /// Measures one quorum.
    pub(super) async fn measure(
        &self,
        plan: Plan,
        progress: impl Fn() + Send + 'static,
    ) -> Result<QuorumResult, Failure> {
        match self {
            #[cfg(feature = "sim")]
            Self::Sim { followers, seed } => simulate(*followers, *seed, plan, progress).await,
            Self::Local { followers, seed } => {
                let ports = free_ports(followers + 1)?;
                let mut processes = LocalCluster::start(
                    &ports,
                    &flags(&plan, *seed).iter().map(String::as_str).collect::<Vec<_>>(),
                    None,
                )?;
                processes.ready().await?;
                let mut addresses = ports.iter().map(|port| HostPort::new("127.0.0.1", *port));
                let leader = addresses.next().expect("a cluster has a leader");
                let client = Client::new(Tcp, plan.delay.1 + 2 * PATIENCE);
                let result = measure(&Cluster::new(client, leader, addresses.collect()), &plan, &progress).await;
                processes.stop().await;
                result.map_err(failed)
            }
            Self::Compose { file, addresses } => {
                let cluster = addresses.cluster()?;
                compose::restart_leader(file.as_deref(), plan.quorum, &cluster).await?;
                preflight(&cluster).await.map_err(|unfit| refuse(&unfit))?;
                measure(&cluster, &plan, &progress).await.map_err(failed)
            }
            Self::Fixed { addresses } => measure(&addresses.cluster()?, &plan, &progress).await.map_err(failed),
        }
    }
}

pub(super) fn failed(error: AnalyzeError) -> Failure {
    Failure::Failed(error.to_string())
}

#[cfg(feature = "sim")]
async fn simulate(
    followers: usize,
    seed: u64,
    plan: Plan,
    progress: impl Fn() + Send + 'static,
) -> Result<QuorumResult, Failure> {
    use semisync::base::Seed;
    use semisync::sim::World;

    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    // Each quorum has draws of its own: with the same ones, all of them would err in the same direction.
    let seed = Seed::new(seed).fork(&format!("quorum {}", plan.quorum)).get();
    let world = World::new(seed)
        .followers(followers)
        .write_quorum(plan.quorum)
        .delay_ms(ms(plan.delay.0), ms(plan.delay.1))
        .repl_timeout_ms(ms(repl_timeout(&plan)));
    let run = move || world.run(async move |stage| measure(stage.cluster(), &plan, &progress).await);
    let run = tokio::task::spawn_blocking(run).await;
    let run = run.map_err(|error| Failure::Failed(error.to_string()))?.map_err(Failure::usage)?;
    run.result.map_err(failed)
}

/// The deadline of a write's quorum: longer than any delay, and at most the hour that a node
/// allows.
fn repl_timeout(plan: &Plan) -> Duration {
    const LONGEST: Duration = Duration::from_secs(3600);
    (plan.delay.1 + PATIENCE).min(LONGEST)
}

/// The flags of the nodes for this plan.
fn flags(plan: &Plan, seed: Option<u64>) -> Vec<String> {
    let ms = |duration: Duration| duration.as_millis().to_string();
    let mut flags = vec!["--write-quorum".to_owned(), plan.quorum.to_string()];
    flags.extend(["--min-delay".to_owned(), ms(plan.delay.0), "--max-delay".to_owned(), ms(plan.delay.1)]);
    flags.extend(["--repl-timeout".to_owned(), repl_timeout(plan).as_secs_f64().to_string()]);
    flags.extend(seed.iter().flat_map(|seed| ["--seed".to_owned(), seed.to_string()]));
    flags
}

/// Ports of 127.0.0.1 that nobody listens on.
fn free_ports(count: usize) -> Result<Vec<u16>, Failure> {
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    let listeners = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<Vec<_>, _>>();
    let ports = listeners.and_then(|listeners| listeners.iter().map(port).collect());
    ports.map_err(|error| Failure::Failed(format!("no free ports: {error}")))
}
