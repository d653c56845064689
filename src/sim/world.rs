use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use std::{future, panic, thread};

use super::recorder::Recorder;
use super::stage::Stage;
use crate::base::trace::Trace;
use crate::base::{FollowerId, FollowerSet, NodeId, Seed};
use crate::client::{Client, Cluster};
use crate::net::{HostPort, NetemConfig, Turmoil};
use crate::node::{self, Config, LeaderRole, Role};

/// The port that every simulated node listens on.
const PORT: u16 = 8000;
/// More connections than any story opens before they are accepted; past its capacity turmoil panics.
const TCP_CAPACITY: usize = 65_536;
/// How long the client of a story waits for an answer. Longer than any deadline of a node, so that the node's shows.
const CLIENT_DEADLINE: Duration = Duration::from_secs(60);

/// A bound on virtual time that only a story which never ends runs into.
const LONGEST_RUN: Duration = Duration::from_secs(365 * 24 * 3600);

/// A cluster to be simulated. The defaults are the lab's: five followers, a quorum of 3, delays from 0 to 1000 ms.
///
/// ```
/// use semisync::sim::World;
///
/// let run = World::new(7).followers(2).write_quorum(2).run(async |stage| {
///     let client = stage.client(0);
///     client.set("x", "1").await.ok().expect("both followers are there");
///     stage.settle().await
/// })?;
/// assert_eq!(run.result["x"].version.get(), 1);
/// # Ok::<(), semisync::sim::SimError>(())
/// ```
#[derive(Debug, Clone)]
pub struct World {
    seed: Seed,
    followers: usize,
    write_quorum: usize,
    netem: NetemConfig,
    repl_timeout: Duration,
    tick: Duration,
    link_latency: Duration,
    limit: Duration,
    returned: Arc<AtomicUsize>,
}

/// What a simulation left behind.
#[derive(Debug, Clone)]
pub struct Run<R> {
    /// Everything that happened.
    pub trace: Trace,
    /// What the story returned.
    pub result: R,
}

/// Why a simulation did not take place, or did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The program was built without `--cfg tokio_unstable`, and could not keep its promise of determinism.
    #[error(
        "this build cannot simulate: tokio's own random choices are seeded only with `--cfg tokio_unstable`. Build with \
         RUSTFLAGS=\"--cfg tokio_unstable\", or put rustflags = [\"--cfg\", \"tokio_unstable\"] under [build] into \
         .cargo/config.toml (an environment variable RUSTFLAGS overrides that file)"
    )]
    NotDeterministic,
    /// The cluster cannot be.
    #[error("{0}")]
    Impossible(String),
    /// The story was not over when its virtual time was.
    #[error("the simulation failed: {0}")]
    Failed(String),
}

impl World {
    /// A cluster whose every draw follows from this seed.
    pub fn new(seed: u64) -> Self {
        Self {
            seed: Seed::new(seed),
            followers: 5,
            write_quorum: 3,
            netem: NetemConfig { min_delay: Duration::ZERO, max_delay: Duration::from_secs(1) },
            repl_timeout: Duration::from_secs(5),
            tick: Duration::from_millis(1),
            link_latency: Duration::from_millis(1),
            limit: LONGEST_RUN,
            returned: Arc::default(),
        }
    }

    /// The number of followers, up to [`FollowerSet::CAPACITY`].
    #[must_use]
    pub fn followers(self, followers: usize) -> Self {
        Self { followers, ..self }
    }

    /// How many followers must confirm a write.
    #[must_use]
    pub fn write_quorum(self, write_quorum: usize) -> Self {
        Self { write_quorum, ..self }
    }

    /// The range of the emulated delay of each replication message, in milliseconds.
    #[must_use]
    pub fn delay_ms(self, min: u64, max: u64) -> Self {
        let netem = NetemConfig { min_delay: Duration::from_millis(min), max_delay: Duration::from_millis(max) };
        Self { netem, ..self }
    }

    /// The deadline of a write's quorum and of each replication request, in milliseconds.
    #[must_use]
    pub fn repl_timeout_ms(self, ms: u64) -> Self {
        Self { repl_timeout: Duration::from_millis(ms), ..self }
    }

    /// Counts the operations that have ended, for whoever watches from another thread.
    #[must_use]
    pub fn count_into(self, returned: Arc<AtomicUsize>) -> Self {
        Self { returned, ..self }
    }

    /// Builds the cluster in a thread of its own, runs the story as its client, and returns when the story does. The
    /// thread is fresh because generators that live in a thread would carry over from one simulation to the next.
    ///
    /// # Errors
    /// [`SimError`].
    ///
    /// # Panics
    /// If the story or a node does: a failed assertion of a story is the caller's.
    pub fn run<R, S>(&self, story: S) -> Result<Run<R>, SimError>
    where
        R: Send + 'static,
        S: AsyncFnOnce(Stage) -> R + Send + 'static,
    {
        if !cfg!(tokio_unstable) {
            return Err(SimError::NotDeterministic);
        }
        self.check()?;
        let world = self.clone();
        let simulation = thread::Builder::new().name(format!("sim-{}", self.seed)).spawn(move || world.simulate(story));
        let simulation = simulation.map_err(|error| SimError::Failed(format!("no thread to run in: {error}")))?;
        simulation.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
    }

    fn check(&self) -> Result<(), SimError> {
        let Self { followers, write_quorum, netem, .. } = self;
        let impossible = |what| Err(SimError::Impossible(what));
        if *followers > FollowerSet::CAPACITY {
            return impossible(format!("{followers} followers; at most {} are possible", FollowerSet::CAPACITY));
        }
        if write_quorum > followers {
            return impossible(format!("a quorum of {write_quorum} cannot be met by {followers} followers"));
        }
        if netem.min_delay > netem.max_delay {
            return impossible(format!(
                "the shortest delay, {:?}, is above the longest, {:?}",
                netem.min_delay, netem.max_delay
            ));
        }
        Ok(())
    }

    fn simulate<R: 'static, S>(self, story: S) -> Result<Run<R>, SimError>
    where
        S: AsyncFnOnce(Stage) -> R + 'static,
    {
        let mut sim = turmoil::Builder::new()
            .tick_duration(self.tick)
            .simulation_duration(self.limit)
            // All variation comes from netem's keyed draws; a ranged latency draws from one sequence.
            .min_message_latency(self.link_latency)
            .max_message_latency(self.link_latency)
            .tcp_capacity(TCP_CAPACITY)
            .ephemeral_ports(1024..=u16::MAX)
            .epoch(std::time::UNIX_EPOCH)
            .rng_seed(self.seed.fork("turmoil").get())
            .build();
        let recorder = Recorder::new(Arc::clone(&self.returned));
        let followers: Vec<HostPort> = FollowerId::first(self.followers).map(|id| host_port(id.into())).collect();
        let leader = LeaderRole {
            followers: followers.clone(),
            write_quorum: self.write_quorum,
            netem: self.netem,
            repl_timeout: self.repl_timeout,
        };
        self.host(&mut sim, &recorder, NodeId::Leader, &Role::Leader(leader));
        for id in FollowerId::first(self.followers) {
            self.host(&mut sim, &recorder, id.into(), &Role::Follower);
        }
        let cluster = Cluster::new(Client::new(Turmoil, CLIENT_DEADLINE), host_port(NodeId::Leader), followers);
        let stage = Stage::new(cluster, recorder.clone());
        let (sender, receiver) = std::sync::mpsc::channel();
        sim.client("client", async move {
            // The receiver outlives the simulation.
            let _ = sender.send(story(stage).await);
            Ok(())
        });
        sim.run().map_err(|error| SimError::Failed(error.to_string()))?;
        let result = receiver.try_recv().map_err(|_| SimError::Failed("the story was cut short".into()))?;
        Ok(Run { trace: recorder.take(), result })
    }

    fn host(&self, sim: &mut turmoil::Sim<'_>, recorder: &Recorder, node: NodeId, role: &Role) {
        let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
        let config = Config { observer: Some(recorder.observer(node)), ..Config::new(role.clone(), listen, self.seed) };
        sim.host(node.to_string(), move || {
            let config = config.clone();
            async move { Ok(node::run(Turmoil, config, future::pending()).await?) }
        });
    }
}

fn host_port(node: NodeId) -> HostPort {
    HostPort::new(&node.to_string(), PORT)
}
