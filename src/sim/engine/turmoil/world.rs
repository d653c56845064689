use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{future, panic, thread};

use super::arguments::Arguments;
use super::control::{Action, Control};
use super::recorder::Recorder;
use super::stage::Stage;
use crate::base::trace::{Event, Trace};
use crate::base::{Epoch, FollowerId, Member, NodeId, Seed};
use crate::client::{Client, Cluster};
use crate::core::{Incarnation, Limits, Rules};
use crate::net::{HostPort, MessageFault, MessageFaults, NetemConfig, Turmoil};
use crate::node::{self, Config, LeaderRole, NodeIncarnation, Role};
use crate::sim::engine::{SimError, panics, story};
use crate::sim::scenario::ClusterSpec;

/// The port that every simulated node listens on.
const PORT: u16 = 8000;
/// More connections than any story opens before they are accepted; past its capacity turmoil panics.
const TCP_CAPACITY: usize = 65_536;

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
    /// The cluster, but for the rules, which are below.
    cluster: ClusterSpec,
    rules: Rules,
    message_faults: Arc<[MessageFault]>,
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

/// A simulation in which the story or a node panicked.
pub(super) struct Panicked {
    /// What the first panic said.
    pub(super) said: String,
    /// Everything that had happened by then.
    pub(super) trace: Trace,
}

impl World {
    /// A cluster whose every draw follows from this seed.
    pub fn new(seed: u64) -> Self {
        Self::of(seed, ClusterSpec::default())
    }

    /// The cluster of a scenario.
    pub(super) fn of(seed: u64, cluster: ClusterSpec) -> Self {
        let (rules, message_faults, returned) = (cluster.rules.rules(), Arc::default(), Arc::default());
        Self { seed: Seed::new(seed), cluster, rules, message_faults, returned }
    }

    fn with(self, change: impl FnOnce(&mut ClusterSpec)) -> Self {
        let mut cluster = self.cluster;
        change(&mut cluster);
        Self { cluster, ..self }
    }

    /// The number of followers, 1 to [`FollowerSet::CAPACITY`](crate::base::FollowerSet::CAPACITY).
    #[must_use]
    pub fn followers(self, followers: usize) -> Self {
        self.with(|cluster| cluster.followers = followers)
    }

    /// The number of followers that run besides, numbered after the others, and are no members at
    /// first. With the others they are at most
    /// [`FollowerSet::CAPACITY`](crate::base::FollowerSet::CAPACITY).
    #[must_use]
    pub fn spares(self, spares: usize) -> Self {
        self.with(|cluster| cluster.spares = spares)
    }

    /// The number of followers that must confirm a write, 1 to the number of followers.
    #[must_use]
    pub fn write_quorum(self, write_quorum: usize) -> Self {
        self.with(|cluster| cluster.write_quorum = write_quorum)
    }

    /// The range of the emulated delay of each replication message, in milliseconds, up to an hour.
    #[must_use]
    pub fn delay_ms(self, min: u64, max: u64) -> Self {
        self.with(|cluster| cluster.delay_ms = [min, max])
    }

    /// The deadline of a write's quorum and of each replication request, in milliseconds, 1 to an
    /// hour.
    #[must_use]
    pub fn repl_timeout_ms(self, ms: u64) -> Self {
        self.with(|cluster| cluster.repl_timeout_ms = ms)
    }

    /// The latency of every link, one way, in milliseconds, 1 to an hour.
    #[must_use]
    pub fn link_latency_ms(self, ms: u64) -> Self {
        self.with(|cluster| cluster.link_ms = ms)
    }

    /// How far time advances at once, in milliseconds, 1 to an hour. A larger tick runs faster and
    /// rounds latencies up to it.
    #[must_use]
    pub fn tick_ms(self, ms: u64) -> Self {
        self.with(|cluster| cluster.tick_ms = ms)
    }

    /// The most first deliveries to one follower that may be unanswered, 1 to 1,000,000.
    #[must_use]
    pub fn window(self, window: usize) -> Self {
        self.with(|cluster| cluster.window = window)
    }

    /// How many keys a leader reads, or sends to bring a follower up to date, at a time, 1 to
    /// 1,000,000.
    #[must_use]
    pub fn part_keys(self, part_keys: usize) -> Self {
        self.with(|cluster| cluster.part_keys = part_keys)
    }

    /// The rules of the protocol to enable.
    #[must_use]
    pub fn rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// What becomes of replication messages besides their delay.
    #[must_use]
    pub fn message_faults(self, faults: impl Into<Arc<[MessageFault]>>) -> Self {
        Self { message_faults: faults.into(), ..self }
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
        self.attempt(story).unwrap_or_else(|panicked| panic::resume_unwind(Box::new(panicked.said)))
    }

    /// [`World::run`], with a panic as a value.
    pub(super) fn attempt<R, S>(&self, story: S) -> Result<Result<Run<R>, SimError>, Panicked>
    where
        R: Send + 'static,
        S: AsyncFnOnce(Stage) -> R + Send + 'static,
    {
        if let Err(error) = require_determinism().and_then(|()| self.check()) {
            return Ok(Err(error));
        }
        let (recorder, control) = (Recorder::new(Arc::clone(&self.returned)), Control::default());
        let (world, of_thread, handle) = (self.clone(), recorder.clone(), control.clone());
        let simulate = move || {
            panics::listen();
            let result = panic::catch_unwind(AssertUnwindSafe(|| world.simulate(&of_thread, handle, story)));
            result.map_err(|_| panics::heard().unwrap_or_default())
        };
        let trace = || recorder.take();
        let thread = match thread::Builder::new().name(format!("sim-{}", self.seed)).spawn(simulate) {
            Ok(thread) => thread,
            Err(error) => {
                let why = format!("no thread to run in: {error}");
                return Ok(Err(SimError::Failed { why, trace: Box::new(trace()) }));
            }
        };
        let ended = thread.join();
        // It says more than an assertion that fails because nothing was done.
        if let Some(why) = control.refusal() {
            return Ok(Err(SimError::Impossible(why)));
        }
        match ended {
            Ok(Ok(Ok(result))) => Ok(Ok(Run { trace: trace(), result })),
            Ok(Ok(Err(why))) => Ok(Err(SimError::Failed { why, trace: Box::new(trace()) })),
            Ok(Err(said)) => Err(Panicked { said, trace: trace() }),
            Err(_) => Err(Panicked { said: "the simulation's thread is lost".into(), trace: trace() }),
        }
    }

    fn check(&self) -> Result<(), SimError> {
        let check_faults = || {
            let arguments = Arguments { followers: self.cluster.all_followers() };
            let check_fault = |(place, fault): (usize, &MessageFault)| {
                arguments.message_fault(fault).map_err(|what| format!("message fault {}: {what}", place + 1))
            };
            self.message_faults.iter().enumerate().try_for_each(check_fault)
        };
        self.cluster.check().and_then(|()| check_faults()).map_err(SimError::Impossible)
    }

    /// Runs the story in this thread, to its end or to what it failed of.
    fn simulate<R: 'static, S>(self, recorder: &Recorder, control: Control, story: S) -> Result<R, String>
    where
        S: AsyncFnOnce(Stage) -> R + 'static,
    {
        let &ClusterSpec { followers, write_quorum, .. } = &self.cluster;
        let (netem, repl_timeout, latency) = (self.netem(), self.repl_timeout(), self.latency());
        let link_latency = Duration::from_millis(self.cluster.link_ms);
        let mut sim = turmoil::Builder::new()
            .tick_duration(Duration::from_millis(self.cluster.tick_ms))
            .simulation_duration(LONGEST_RUN)
            // All variation comes from netem's keyed draws; a ranged latency draws from one sequence.
            .min_message_latency(link_latency)
            .max_message_latency(link_latency)
            .tcp_capacity(TCP_CAPACITY)
            .ephemeral_ports(1024..=u16::MAX)
            .epoch(std::time::UNIX_EPOCH)
            .rng_seed(self.seed.fork("turmoil").get())
            .build();
        recorder.record_at(Duration::ZERO, NodeId::Network, 0, self.described());
        let all: Vec<HostPort> =
            FollowerId::first(self.cluster.all_followers()).map(|id| host_port(id.into())).collect();
        let leader = LeaderRole {
            followers: all[..followers].to_vec(),
            write_quorum,
            netem,
            repl_timeout,
            advertise: Some(host_port(NodeId::FIRST_SERVER)),
        };
        let members = Arc::new(Mutex::new(FollowerId::first(followers).collect()));
        let mut levers = Levers { members, ..Levers::default() };
        levers.quorum.0.store(write_quorum, Ordering::Relaxed);
        levers.quorum.1 = write_quorum;
        self.host(&mut sim, recorder, &mut levers, NodeId::FIRST_SERVER, &Role::Leader(leader));
        for id in FollowerId::first(self.cluster.all_followers()) {
            self.host(&mut sim, recorder, &mut levers, id.into(), &Role::Follower);
        }
        let client_deadline = story::client_deadline(repl_timeout, latency);
        let cluster = Cluster::new(Client::new(Turmoil, client_deadline), host_port(NodeId::FIRST_SERVER), all);
        let stage = Stage::new(cluster, Arc::clone(&levers.present_members), recorder.clone(), control.clone());
        let (sender, receiver) = std::sync::mpsc::channel();
        sim.client("client", async move {
            // The receiver outlives the simulation.
            stage.begin(latency).await;
            let _ = sender.send(story(stage).await);
            Ok(())
        });
        while !sim.step().map_err(|error| error.to_string())? && !control.is_refused() {
            while let Some(action) = control.next() {
                act(&mut sim, recorder, &levers, action);
            }
        }
        receiver.try_recv().map_err(|_| "the story was cut short".into())
    }

    fn netem(&self) -> NetemConfig {
        let [min_delay, max_delay] = self.cluster.delay_ms.map(Duration::from_millis);
        NetemConfig { min_delay, max_delay }
    }

    fn repl_timeout(&self) -> Duration {
        Duration::from_millis(self.cluster.repl_timeout_ms)
    }

    /// The latency of a link as turmoil simulates it: a tick that is longer rounds it up.
    fn latency(&self) -> Duration {
        Duration::from_millis(self.cluster.link_ms.max(self.cluster.tick_ms))
    }

    /// The cluster, as the trace begins with it.
    fn described(&self) -> Event {
        let ClusterSpec { followers, spares, write_quorum, window, .. } = self.cluster;
        let NetemConfig { min_delay, max_delay } = self.netem();
        Event::Cluster {
            followers,
            write_quorum,
            repl_timeout: self.repl_timeout().into(),
            delay: (min_delay.into(), max_delay.into()),
            link: self.latency().into(),
            window,
            spares,
        }
    }

    fn host(&self, sim: &mut turmoil::Sim<'_>, recorder: &Recorder, levers: &mut Levers, node: NodeId, role: &Role) {
        let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
        let ClusterSpec { window, part_keys, .. } = self.cluster;
        let limits = Limits { window, part_keys, ..Limits::default() };
        let (rules, seed, role) = (self.rules, self.seed, role.clone());
        let (recorder, faults) = (recorder.clone(), Arc::clone(&self.message_faults));
        let healed = Arc::clone(&levers.messages_healed);
        let beginning = recorder.beginning().shared();
        let started = Arc::new(AtomicU64::new(0));
        levers.lives.insert(node, Arc::clone(&started));
        let quorum = Arc::clone(&levers.quorum.0);
        let members = Arc::clone(&levers.members);
        let present_members = Arc::clone(&levers.present_members);
        sim.host(node.to_string(), move || {
            let life = started.fetch_add(1, Ordering::Relaxed);
            let observer = match role {
                Role::Leader(_) => recorder.observer_of_leader(node, life, members_now(&members)),
                Role::Follower => recorder.observer(node, life),
            };
            let number = match node {
                NodeId::Follower(id) => Incarnation::nth(id, life).0,
                _ => life,
            };
            let incarnation = NodeIncarnation { number, first_epoch: Epoch::new(life + 1) };
            let faults = match role {
                Role::Leader(_) => among_members(&faults, &members_now(&members)),
                Role::Follower => Arc::clone(&faults),
            };
            let (healed, beginning) = (Arc::clone(&healed), Arc::clone(&beginning));
            let mut role = role.clone();
            if let Role::Leader(role) = &mut role {
                let members = members_now(&members);
                role.write_quorum = quorum.load(Ordering::Relaxed);
                role.followers = members.iter().map(|id| host_port((*id).into())).collect();
                *present_members.lock().unwrap_or_else(PoisonError::into_inner) = members;
            }
            async move {
                let since = turmoil::sim_elapsed().expect("a host runs inside a simulation");
                let message_faults = MessageFaults { faults, since, beginning, healed };
                let config = Config::new(role, listen, seed, incarnation);
                let config = Config { rules, limits, message_faults, observer: Some(observer), ..config };
                Ok(node::run(Turmoil, config, future::pending()).await?)
            }
        });
    }
}

/// The faults of messages as a leader with these members knows them: it numbers its members from 0.
fn among_members(faults: &Arc<[MessageFault]>, members: &[FollowerId]) -> Arc<[MessageFault]> {
    let renumbered = |fault: &MessageFault| match fault.to {
        None => Some(fault.clone()),
        Some(id) => {
            let place = members.iter().position(|member| *member == id)?;
            let to = FollowerId(u8::try_from(place).expect("there are at most 256 members"));
            Some(MessageFault { to: Some(to), ..fault.clone() })
        }
    };
    faults.iter().filter_map(renumbered).collect()
}

/// Whether this build can keep the promise that a seed replays a run.
///
/// # Errors
/// [`SimError::NotDeterministic`] if not.
pub fn require_determinism() -> Result<(), SimError> {
    if cfg!(tokio_unstable) { Ok(()) } else { Err(SimError::NotDeterministic) }
}

/// What healing restores that a story has no other way of knowing.
pub(super) struct Healing {
    /// The latency of every link.
    pub(super) link_latency: Duration,
}

/// What can be changed about a simulation that runs.
#[derive(Default)]
struct Levers {
    /// How often each node was started.
    lives: BTreeMap<NodeId, Arc<AtomicU64>>,
    /// Whether messages are spared from now on.
    messages_healed: Arc<AtomicBool>,
    /// The quorum of the leader's next start, and that of its first.
    quorum: (Arc<AtomicUsize>, usize),
    /// The members of the leader's next start.
    members: Arc<Mutex<Vec<FollowerId>>>,
    /// The members of its latest start.
    present_members: Arc<Mutex<Vec<FollowerId>>>,
    /// Whether they were changed.
    members_changed: Cell<bool>,
}

fn members_now(members: &Mutex<Vec<FollowerId>>) -> Vec<FollowerId> {
    members.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn act(sim: &mut turmoil::Sim<'_>, recorder: &Recorder, levers: &Levers, action: Action) {
    let at = sim.elapsed();
    let started = |node: NodeId| levers.lives[&node].load(Ordering::Relaxed);
    match action {
        Action::Crash(node) if sim.is_host_running(node.to_string()) => {
            recorder.record_at(at, node, started(node) - 1, Event::Crash);
            sim.crash(node.to_string());
        }
        Action::Restart(node) if !sim.is_host_running(node.to_string()) => {
            recorder.record_at(at, node, started(node), Event::Restart);
            let (quorum, first) = (levers.quorum.0.load(Ordering::Relaxed), levers.quorum.1);
            let changed = levers.members_changed.get();
            if node.can_lead() && (quorum != first || changed) {
                let members = if changed { members_now(&levers.members) } else { Vec::new() };
                let members = members.into_iter().map(Member::from).collect();
                recorder.record_at(at, node, started(node), Event::Require { write_quorum: quorum, members });
            }
            sim.bounce(node.to_string());
        }
        // To crash what is down, or to start what is up, changes nothing.
        Action::Crash(_) | Action::Restart(_) => {}
        Action::SetQuorum(quorum) => levers.quorum.0.store(quorum, Ordering::Relaxed),
        Action::SetMembers(mut members) => {
            members.sort_unstable();
            levers.members_changed.set(true);
            *levers.members.lock().unwrap_or_else(PoisonError::into_inner) = members;
        }
        Action::HealMessages => levers.messages_healed.store(true, Ordering::Relaxed),
        Action::SetLatency(a, b, latency) => sim.set_link_latency(a.to_string(), b.to_string(), latency),
    }
}

fn host_port(node: NodeId) -> HostPort {
    HostPort::new(&node.to_string(), PORT)
}
