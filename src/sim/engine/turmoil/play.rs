use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::StatusCode;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use super::recorder::Watch;
use super::stage::{Stage, StageClient};
use super::world::{Healing, World};
use crate::base::trace::Trace;
use crate::base::wire::Dump;
use crate::base::{FollowerId, NodeId, NodeRef, Seed};
use crate::check::{Facts, final_states};
use crate::client::{NotConverged, ReadError, WriteOptions};
use crate::sim::engine::story::{self, FaultPlan};
use crate::sim::engine::strikes::Strikes;
use crate::sim::engine::triggers::Triggers;
use crate::sim::engine::{Played, SimError};
use crate::sim::scenario::{FaultKind, OperationName, PlannedKind, PlannedOperation, Scenario};

/// Runs a scenario with its seed in turmoil.
pub(in crate::sim::engine) fn play(scenario: &Scenario, returned: Arc<AtomicUsize>) -> Result<Played, SimError> {
    refuse_what_turmoil_cannot(scenario)?;
    let plan = FaultPlan::of(scenario);
    let world = World::of(scenario.seed, scenario.cluster.clone())
        .message_faults(Arc::clone(&plan.messages))
        .count_into(returned);
    let (play, of_story) = (scenario.clone(), plan.clone());
    let (trace, played) = match world.attempt(async move |stage| play_out(&play, of_story, &stage).await) {
        Ok(run) => run.map(|run| (run.trace, run.result.map_err(|error| error.to_string())))?,
        Err(panicked) => (panicked.trace, Err(format!("it panicked: {}", panicked.said))),
    };
    match played {
        Ok(End { states, virtual_time, mut strikes }) => {
            plan.add_struck_messages(&mut strikes);
            let states = with_what_was_not_shown(states, &trace);
            Ok(Played { trace, states, virtual_time, strikes: strikes.into_list(scenario.faults.len()) })
        }
        Err(why) => Err(SimError::Failed { why, trace: Box::new(trace) }),
    }
}

/// A node that is not up to date does not show what it stores. The records of what happened to it do.
fn with_what_was_not_shown(states: Vec<(NodeId, Option<Dump>)>, trace: &Trace) -> Vec<(NodeId, Dump)> {
    let replay = || {
        let facts = Facts::from_records(trace.records()).expect("a simulated run begins with its cluster");
        final_states(trace.records(), &facts).into_iter().collect::<BTreeMap<_, _>>()
    };
    let mut replayed = if states.iter().any(|(_, dump)| dump.is_none()) { replay() } else { BTreeMap::new() };
    let mut known = |node: NodeId, dump: Option<Dump>| dump.or_else(|| replayed.remove(&node)).unwrap_or_default();
    states.into_iter().map(|(node, dump)| (node, known(node, dump))).collect()
}

/// # Errors
/// [`SimError::Impossible`] for a fault that turmoil has no means for.
pub(in crate::sim::engine) fn refuse_what_turmoil_cannot(scenario: &Scenario) -> Result<(), SimError> {
    for (place, fault) in scenario.faults.iter().enumerate() {
        let why = match &fault.kind {
            FaultKind::Pause(_) | FaultKind::Resume(_) => {
                "turmoil cannot stop a host's clock; hold and release look the same from outside"
            }
            FaultKind::Clock { .. } => "turmoil's hosts share one clock",
            FaultKind::Replace { .. } => "here the leader is one host, which cannot run twice",
            FaultKind::Misdirect { .. } => "a name of turmoil's leads to one host for ever",
            FaultKind::LoseKey { .. } => "what a node stores cannot be reached from outside of it",
            FaultKind::Members(members) if members.iter().any(|member| member.alias.is_some()) => {
                "a host of turmoil's has one name"
            }
            FaultKind::Slow { one_way: true, .. } => "a link of turmoil's takes as long one way as the other",
            FaultKind::Partition(_) | FaultKind::Heal(_) | FaultKind::Slow { .. } if names_client(&fault.kind) => {
                "in turmoil all clients share one host, and so one link to each node"
            }
            FaultKind::Crash(_) | FaultKind::Restart(_) | FaultKind::Hold(_) | FaultKind::Release(_) => continue,
            FaultKind::Partition(_) | FaultKind::Heal(_) | FaultKind::Slow { .. } | FaultKind::Quorum(_) => continue,
            FaultKind::Members(_) | FaultKind::AcceptLoss(_) => continue,
            FaultKind::Drop(_) | FaultKind::DropReply(_) | FaultKind::Duplicate { .. } => continue,
            FaultKind::Delay { .. } | FaultKind::Rpc { .. } | FaultKind::Disconnect { .. } => continue,
        };
        let name = fault.kind.name();
        return Err(SimError::Impossible(format!(
            "fault {}: {name} needs the core engine (--engine core): {why}",
            place + 1
        )));
    }
    Ok(())
}

fn names_client(kind: &FaultKind) -> bool {
    kind.nodes().iter().any(|node| matches!(node, NodeRef::Node(NodeId::Client(_))))
}

/// What the story of a scenario returns.
struct End {
    /// None of a node that is not up to date, and so does not say.
    states: Vec<(NodeId, Option<Dump>)>,
    /// Up to the end of the last operation.
    virtual_time: Duration,
    /// Which faults struck, of those that do not act on messages.
    strikes: Strikes,
}

async fn play_out(scenario: &Scenario, plan: FaultPlan, stage: &Stage) -> Result<End, NotConverged> {
    let workload = scenario.workload.plan(Seed::new(scenario.seed), scenario.cluster.followers);
    let disconnects = story::disconnects(scenario);
    let tasks = LocalSet::new();
    let clients = workload.len();
    let attacker = Attacker { stage: stage.clone(), strikes: Rc::default(), plan: Rc::new(plan) };
    for (client, operations) in workload {
        let NodeId::Client(number) = client else { continue };
        let (client, disconnects, attacker) = (stage.client(number), disconnects.clone(), attacker.clone());
        tasks.spawn_local(async move {
            for operation in operations {
                let name = OperationName { client: number, number: operation.number };
                if perform(&client, name, operation, disconnects.get(&name).copied()).await == Ended::HungUp {
                    attacker.hung_up(name);
                }
            }
        });
    }
    let watch = stage.watch(&attacker.plan, Triggers::of(scenario));
    let of_times = attacker.clone();
    tasks.spawn_local(async move { of_times.strike_in_order().await });
    attacker.strike_when_triggered(&watch, tasks).await;
    watch.end();
    let virtual_time = stage.now();
    if scenario.is_faulty() {
        heal(scenario, stage, clients).await;
    }
    // Not converging is a finding, not a reason to throw the run away: the states below will show it.
    match stage.replicas().settle(story::settle_deadline(scenario)).await {
        Ok(_) | Err(NotConverged::Different { .. }) => {}
        Err(NotConverged::Unreadable { error, .. }) if is_not_up_to_date(&error) => {}
        Err(error) => return Err(error),
    }
    let mut states = Vec::new();
    for node in stage.cluster().nodes() {
        let dump = match stage.cluster().dump(node).await {
            Ok(dump) => Some(dump),
            Err(error) if is_not_up_to_date(&error) => None,
            Err(error) => return Err(NotConverged::Unreadable { node, error }),
        };
        states.push((node.with_one_leader(), dump));
    }
    let strikes = attacker.strikes.borrow().clone();
    Ok(End { states, virtual_time, strikes })
}

fn is_not_up_to_date(error: &ReadError) -> bool {
    matches!(error, ReadError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, .. })
}

/// How the client's call came to its end.
#[derive(PartialEq, Eq)]
enum Ended {
    Answered,
    HungUp,
}

async fn perform(
    client: &StageClient,
    name: OperationName,
    operation: PlannedOperation,
    hangs_up: Option<Duration>,
) -> Ended {
    client.wait_until(Duration::from_millis(operation.at_ms)).await;
    sleep(Duration::from_millis(operation.think_ms)).await;
    client.number_next(operation.number);
    let key = operation.key.as_str();
    let options =
        WriteOptions { request: operation.request.map(story::request_name), if_version: operation.if_version };
    let call = async {
        match operation.kind {
            // How it ended is in the trace.
            PlannedKind::Set => {
                let value = story::written_value(operation.request.unwrap_or(name));
                drop(client.set_with(key, &value, &options).await);
            }
            PlannedKind::Delete => drop(client.delete_with(key, &options).await),
            PlannedKind::Get { from, mode } => drop(client.read(from, key, mode).await),
        }
    };
    match hangs_up {
        None => call.await,
        Some(after) => {
            if timeout(after, call).await.is_err() {
                client.hangs_up(name);
                return Ended::HungUp;
            }
        }
    }
    Ended::Answered
}

/// Lets the faults of nodes and links happen.
#[derive(Clone)]
struct Attacker {
    stage: Stage,
    plan: Rc<FaultPlan>,
    strikes: Rc<RefCell<Strikes>>,
}

impl Attacker {
    /// Lets those happen that have a time.
    async fn strike_in_order(&self) {
        for (place, fault) in &self.plan.timed {
            let at = Duration::from_millis(fault.at_ms);
            sleep(at.saturating_sub(self.stage.now())).await;
            self.strike(*place, &fault.kind);
        }
    }

    /// Lets faults strike whose event comes, until `rest` is complete and no fault is about to strike.
    async fn strike_when_triggered(&self, watch: &Watch, mut rest: LocalSet) {
        let mut about_to_strike = FuturesUnordered::new();
        let mut is_over = false;
        loop {
            for (at, place) in watch.take_due() {
                let stage = &self.stage;
                about_to_strike.push(async move {
                    sleep(at.saturating_sub(stage.now())).await;
                    place
                });
            }
            if is_over && about_to_strike.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                () = &mut rest, if !is_over => is_over = true,
                () = watch.changed() => {}
                Some(place) = about_to_strike.next(), if !about_to_strike.is_empty() => {
                    if let Some(fault) = self.plan.triggered.get(&place) {
                        self.strike(place, &fault.kind);
                    }
                }
            }
        }
    }

    fn hung_up(&self, operation: OperationName) {
        for place in self.plan.disconnects_of(operation) {
            self.note(place, Ok(()));
        }
    }

    fn strike(&self, place: usize, kind: &FaultKind) {
        match kind {
            FaultKind::AcceptLoss(_) => self.accept_loss(place),
            other => self.note(place, self.try_to_strike(other)),
        }
    }

    /// An operator accepts a loss. Other faults do not wait for the leader's answer.
    fn accept_loss(&self, place: usize) {
        let (attacker, at) = (self.clone(), self.stage.now());
        tokio::task::spawn_local(async move {
            let is_accepted = attacker.stage.accept_loss().await;
            let outcome = require(is_accepted, || story::no_loss_to_accept(NodeId::FIRST_SERVER));
            attacker.strikes.borrow_mut().record(place, at.into(), outcome);
        });
    }

    fn note(&self, place: usize, outcome: Result<(), String>) {
        self.strikes.borrow_mut().record(place, self.stage.now().into(), outcome);
    }

    /// # Errors
    /// Why the fault changes nothing.
    fn try_to_strike(&self, kind: &FaultKind) -> Result<(), String> {
        let stage = &self.stage;
        match kind {
            FaultKind::Crash(node) => {
                require(stage.crash(*node), || format!("{} was down already", node.with_one_leader()))?;
            }
            FaultKind::Restart(node) => {
                require(stage.restart(*node), || format!("{} was not down", node.with_one_leader()))?;
            }
            FaultKind::Hold(node) => stage.hold(*node),
            FaultKind::Release(node) => stage.release(*node),
            FaultKind::Partition(links) => {
                require(story::directed(links).any(carries), || story::SILENT.to_owned())?;
                story::directed(links).for_each(|(from, to)| stage.cut(from, to));
            }
            FaultKind::Heal(links) => {
                require(story::directed(links).any(carries), || story::SILENT.to_owned())?;
                story::directed(links).for_each(|(from, to)| stage.mend(from, to));
            }
            FaultKind::Quorum(quorum) => stage.set_quorum(*quorum),
            FaultKind::Members(members) => {
                let members: Vec<FollowerId> = members.iter().map(|member| member.follower).collect();
                stage.set_members(&members);
            }
            FaultKind::Slow { node, to, latency_ms, one_way: _ } => {
                let latency = Duration::from_millis(*latency_ms);
                let (node, to) = (node.with_one_leader(), to.map(NodeRef::with_one_leader));
                let others = stage.cluster().nodes().map(NodeRef::with_one_leader);
                let others = others.filter(|other| *other != node && to.is_none_or(|to| to == *other));
                let others: Vec<NodeId> = others.collect();
                require(others.iter().any(|other| carries((node.into(), (*other).into()))), || {
                    story::SILENT.to_owned()
                })?;
                others.into_iter().for_each(|other| stage.set_latency(node, other, latency));
            }
            // Refused before the run, acts on operations or on messages, or takes a request of its own.
            FaultKind::Pause(_) | FaultKind::Resume(_) | FaultKind::Clock { .. } | FaultKind::Replace { .. } => {}
            FaultKind::Misdirect { .. } | FaultKind::LoseKey { .. } | FaultKind::Rpc { .. } => {}
            FaultKind::Disconnect { .. } | FaultKind::AcceptLoss(_) => {}
            FaultKind::Drop(_) | FaultKind::DropReply(_) | FaultKind::Duplicate { .. } | FaultKind::Delay { .. } => {}
        }
        Ok(())
    }
}

/// An error unless this is true.
fn require(is_true: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if is_true { Ok(()) } else { Err(otherwise()) }
}

/// Whether one of two nodes ever sends anything to the other.
fn carries((from, to): (NodeRef, NodeRef)) -> bool {
    from.with_one_leader().can_lead() != to.with_one_leader().can_lead()
}

/// Ends every fault, gives the nodes time to notice, and writes: after healing, that must succeed.
async fn heal(scenario: &Scenario, stage: &Stage, clients: usize) {
    stage.heal(Healing { link_latency: Duration::from_millis(scenario.cluster.link_ms) });
    sleep(story::healing_time(scenario)).await;
    stage.probe();
    let prober = stage.client(u16::try_from(clients).unwrap_or(u16::MAX));
    for number in 1..=story::PROBES {
        // How it ended is in the trace, and the checker of liveness looks at it.
        let _ = prober.set(story::PROBED_KEY, &story::probed_value(number)).await;
    }
}
