use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use semisync::client::{Client, Cluster};
use semisync::live::{Unfit, preflight};
use semisync::net::{HostPort, Tcp, Transport};

#[cfg(feature = "sim")]
use super::numbers::seed;
use super::{Failure, runtime};

/// Where the nodes of a running cluster are.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct AddressArgs {
    /// The leader
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8000")]
    leader: HostPort,
    /// The followers, separated by commas [default: 127.0.0.1:8001 to 8005]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    followers: Option<Vec<HostPort>>,
    /// Seconds to wait for an answer; more than the leader's REPL_TIMEOUT
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = parse_seconds)]
    timeout: Duration,
}

/// Which cluster something is done to.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct TargetArgs {
    #[command(flatten)]
    addresses: AddressArgs,
    /// Make a cluster of five followers with a quorum of 3 and delays from 0 to 1000 ms in the simulator instead
    #[cfg(feature = "sim")]
    #[arg(long, conflicts_with_all = ["leader", "followers", "timeout"])]
    sim: bool,
    /// With --sim: from what everything random follows
    #[cfg(feature = "sim")]
    #[arg(long, value_name = "N", requires = "sim", default_value_t = 42, value_parser = seed())]
    seed: u64,
}

/// A number of seconds, fractions allowed.
pub(super) fn parse_seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let longest = Duration::from_secs(86_400);
    seconds
        .filter(|seconds| !seconds.is_zero() && *seconds <= longest)
        .ok_or("must be a number of seconds above 0 and up to 86400, such as 5 or 0.5")
}

/// Something that is done to a cluster over whatever network it is on.
pub(super) trait Task: Send + 'static {
    /// Whether it has something to say of a cluster some of whose followers do not answer.
    const DOES_WITHOUT_FOLLOWERS: bool = false;

    /// What comes of it.
    type Output: Send + 'static;

    /// Does it.
    async fn run<T: Transport>(self, cluster: Cluster<T>) -> Self::Output;
}

impl AddressArgs {
    /// Where the followers are.
    pub(super) fn followers(&self) -> Vec<HostPort> {
        let default = || (8001..=8005).map(|port| HostPort::new("127.0.0.1", port)).collect();
        self.followers.clone().unwrap_or_else(default)
    }

    /// In words: `127.0.0.1:8000 and 5 followers`.
    fn name(&self) -> String {
        let followers = self.followers().len();
        format!("{} and {followers} follower{}", self.leader, if followers == 1 { "" } else { "s" })
    }

    /// The cluster.
    pub(super) fn cluster(&self) -> Result<Cluster<Tcp>, Failure> {
        let followers = self.followers();
        let mut seen = BTreeSet::from([&self.leader]);
        if let Some(twice) = followers.iter().find(|follower| !seen.insert(follower)) {
            return Err(Failure::Usage(match (&self.followers, *twice == self.leader) {
                (None, _) => format!(
                    "--leader {twice}: it is also one of the default followers, 127.0.0.1:8001 to 8005; name the followers with \
                     --followers"
                ),
                (Some(_), true) => format!("--followers: {twice} is the leader (--leader) too"),
                (Some(_), false) => format!("--followers: {twice} is named twice"),
            }));
        }
        Ok(Cluster::new(Client::new(Tcp, self.timeout), self.leader.clone(), followers))
    }
}

/// What begins the keys of a run, so that no run meets those of another.
pub(super) fn fresh_tag(name: &str) -> Result<String, Failure> {
    let number = getrandom::u64().map_err(|error| Failure::Failed(format!("no random number: {error}")))?;
    Ok(format!("{name}-{number:016x}"))
}

impl TargetArgs {
    /// Whether the cluster is simulated.
    pub(super) fn is_simulated(&self) -> bool {
        #[cfg(feature = "sim")]
        return self.sim;
        #[cfg(not(feature = "sim"))]
        return false;
    }

    /// What begins the keys of a run: fresh each time, but for simulations, which repeat themselves.
    pub(super) fn tag(&self, name: &str) -> Result<String, Failure> {
        if self.is_simulated() { Ok(name.to_owned()) } else { fresh_tag(name) }
    }

    /// From what choices follow: those of a live run are new each time.
    pub(super) fn seed(&self) -> Result<u64, Failure> {
        #[cfg(feature = "sim")]
        if self.sim {
            return Ok(self.seed);
        }
        getrandom::u64().map_err(|error| Failure::Failed(format!("no random number: {error}")))
    }

    /// In words: `127.0.0.1:8000 and 5 followers`.
    pub(super) fn name(&self) -> String {
        #[cfg(feature = "sim")]
        if self.sim {
            return format!("a simulated cluster, seed {}", self.seed);
        }
        self.addresses.name()
    }

    /// Does something to the cluster, after having seen that every node is there and is what it should be.
    pub(super) fn run<K: Task>(&self, task: K) -> Result<K::Output, Failure> {
        #[cfg(feature = "sim")]
        if self.sim {
            let story = async move |stage: semisync::sim::Stage| task.run(stage.cluster().clone()).await;
            return semisync::sim::World::new(self.seed).run(story).map(|run| run.result).map_err(Failure::usage);
        }
        let cluster = self.addresses.cluster()?;
        runtime()?.block_on(async {
            if K::DOES_WITHOUT_FOLLOWERS {
                // It finds out by itself who does not answer, and need not wait for that twice.
                let (mut examined, mut work) = (pin!(preflight(&cluster)), pin!(task.run(cluster.clone())));
                let (unfit, output) = tokio::select! {
                    biased;
                    examined = examined.as_mut() => (examined, None),
                    output = work.as_mut() => (examined.await, Some(output)),
                };
                let mut unfit = unfit.err().unwrap_or_default();
                unfit.retain(|unfit| !unfit.is_missing_follower());
                return match output {
                    _ if !unfit.is_empty() => Err(refuse(&unfit)),
                    Some(output) => Ok(output),
                    None => Ok(work.await),
                };
            }
            preflight(&cluster).await.map_err(|unfit| refuse(&unfit))?;
            Ok(task.run(cluster).await)
        })
    }
}

/// A wrong address is a mistake of whoever typed it; a node that does not answer is not.
pub(super) fn refuse(unfit: &[Unfit]) -> Failure {
    let lines: Vec<String> = unfit.iter().map(ToString::to_string).collect();
    let text = lines.join("\nsemisync: ");
    if unfit.iter().any(Unfit::is_mistake) { Failure::Usage(text) } else { Failure::Failed(text) }
}
