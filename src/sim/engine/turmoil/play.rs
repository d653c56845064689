use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use super::stage::{Stage, StageClient};
use super::world::{Healing, World};
use crate::base::wire::Dump;
use crate::base::{FollowerId, NodeId, NodeRef, Seed};
use crate::client::NotConverged;
use crate::sim::engine::{Played, SimError, story};
use crate::sim::scenario::{Fault, FaultKind, OperationName, PlannedKind, PlannedOperation, Scenario};

/// Runs a scenario with its seed in turmoil.
pub(in crate::sim::engine) fn play(scenario: &Scenario, returned: Arc<AtomicUsize>) -> Result<Played, SimError> {
    refuse_what_turmoil_cannot(scenario)?;
    let world = World::of(scenario.seed, scenario.cluster.clone())
        .message_faults(story::message_faults(scenario))
        .count_into(returned);
    let play = scenario.clone();
    let (trace, played) = match world.attempt(async move |stage| play_out(&play, &stage).await) {
        Ok(run) => run.map(|run| (run.trace, run.result.map_err(|error| error.to_string())))?,
        Err(panicked) => (panicked.trace, Err(format!("it panicked: {}", panicked.said))),
    };
    match played {
        Ok(End { states, virtual_time }) => Ok(Played { trace, states, virtual_time }),
        Err(why) => Err(SimError::Failed { why, trace: Box::new(trace) }),
    }
}

/// # Errors
/// [`SimError::Impossible`] for a fault that turmoil has no means for.
pub(in crate::sim::engine) fn refuse_what_turmoil_cannot(scenario: &Scenario) -> Result<(), SimError> {
    for (place, fault) in scenario.faults.iter().enumerate() {
        let why = match fault.kind {
            FaultKind::Pause(_) | FaultKind::Resume(_) => {
                "turmoil cannot stop a host's clock; hold and release look the same from outside"
            }
            FaultKind::Clock { .. } => "turmoil's hosts share one clock",
            FaultKind::Replace { .. } => "here the leader is one host, which cannot run twice",
            FaultKind::Misdirect { .. } => "a name of turmoil's leads to one host for ever",
            FaultKind::LoseKey { .. } => "what a node stores cannot be reached from outside of it",
            FaultKind::Members(ref members) if members.iter().any(|member| member.alias.is_some()) => {
                "a host of turmoil's has one name"
            }
            _ => continue,
        };
        let name = fault.kind.name();
        return Err(SimError::Impossible(format!(
            "fault {}: {name} needs the core engine (--engine core): {why}",
            place + 1
        )));
    }
    Ok(())
}

/// What the story of a scenario returns.
struct End {
    states: Vec<(NodeId, Dump)>,
    /// Up to the end of the last operation.
    virtual_time: Duration,
}

async fn play_out(scenario: &Scenario, stage: &Stage) -> Result<End, NotConverged> {
    let plan = scenario.workload.plan(Seed::new(scenario.seed), scenario.cluster.followers);
    let disconnects = story::disconnects(scenario);
    let tasks = LocalSet::new();
    let timed = story::timed_faults(scenario);
    let clients = plan.len();
    for (client, operations) in plan {
        let NodeId::Client(number) = client else { continue };
        let (client, disconnects) = (stage.client(number), disconnects.clone());
        tasks.spawn_local(async move {
            for operation in operations {
                let name = OperationName { client: number, number: operation.number };
                perform(&client, name, operation, disconnects.get(&name).copied()).await;
            }
        });
    }
    let faults = stage.clone();
    tasks.spawn_local(async move { strike(&faults, timed).await });
    tasks.await;
    let virtual_time = stage.now();
    if scenario.is_faulty() {
        heal(scenario, stage, clients).await;
    }
    // Not converging is a finding, not a reason to throw the run away: the states below will show it.
    match stage.replicas().settle(story::settle_deadline(scenario)).await {
        Ok(_) | Err(NotConverged::Different { .. }) => {}
        Err(error) => return Err(error),
    }
    let mut states = Vec::new();
    for node in stage.cluster().nodes() {
        let dump = stage.cluster().dump(node).await;
        states.push((node.with_one_leader(), dump.map_err(|error| NotConverged::Unreadable { node, error })?));
    }
    Ok(End { states, virtual_time })
}

async fn perform(client: &StageClient, name: OperationName, operation: PlannedOperation, hangs_up: Option<Duration>) {
    client.wait_until(Duration::from_millis(operation.at_ms)).await;
    sleep(Duration::from_millis(operation.think_ms)).await;
    client.number_next(operation.number);
    let key = operation.key.as_str();
    let request = operation.request.map(story::request_name);
    let call = async {
        match operation.kind {
            // How it ended is in the trace.
            PlannedKind::Set => {
                let value = story::written_value(operation.request.unwrap_or(name));
                drop(client.set_as(key, &value, request.as_ref()).await);
            }
            PlannedKind::Delete => drop(client.delete_as(key, request.as_ref()).await),
            PlannedKind::Get { from, mode } => drop(client.read(from, key, mode).await),
        }
    };
    match hangs_up {
        None => call.await,
        Some(after) => {
            if timeout(after, call).await.is_err() {
                client.hangs_up(name);
            }
        }
    }
}

/// Lets the faults of nodes and links happen, each at its time.
async fn strike(stage: &Stage, faults: Vec<Fault>) {
    for fault in faults {
        let at = Duration::from_millis(fault.at_ms);
        sleep(at.saturating_sub(stage.now())).await;
        match fault.kind {
            FaultKind::Crash(node) => stage.crash(node),
            FaultKind::Restart(node) => stage.restart(node),
            FaultKind::Hold(node) => stage.hold(node),
            FaultKind::Release(node) => stage.release(node),
            FaultKind::Partition(links) => story::directed(&links).for_each(|(from, to)| stage.cut(from, to)),
            FaultKind::Heal(links) => story::directed(&links).for_each(|(from, to)| stage.mend(from, to)),
            FaultKind::Quorum(quorum) => stage.set_quorum(quorum),
            FaultKind::Members(members) => {
                let members: Vec<FollowerId> = members.iter().map(|member| member.follower).collect();
                stage.set_members(&members);
            }
            FaultKind::AcceptLoss(_) => {
                // What happens next does not wait for the answer.
                let stage = stage.clone();
                tokio::task::spawn_local(async move { stage.accept_loss().await });
            }
            FaultKind::Slow { node, to, latency_ms } => {
                let latency = Duration::from_millis(latency_ms);
                let (node, to) = (node.with_one_leader(), to.map(NodeRef::with_one_leader));
                let others = stage.cluster().nodes().map(NodeRef::with_one_leader);
                let others = others.filter(|other| *other != node && to.is_none_or(|to| to == *other));
                others.for_each(|other| stage.set_latency(node, other, latency));
            }
            // Refused before the run, acts on operations, or acts on messages.
            FaultKind::Pause(_) | FaultKind::Resume(_) | FaultKind::Clock { .. } | FaultKind::Replace { .. } => {}
            FaultKind::Misdirect { .. } | FaultKind::LoseKey { .. } => {}
            FaultKind::Disconnect { .. } => {}
            FaultKind::Drop(_) | FaultKind::DropReply(_) | FaultKind::Duplicate { .. } | FaultKind::Delay { .. } => {}
        }
    }
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
