use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use super::stage::{Stage, StageClient};
use super::world::{Healing, SimError, World};
use crate::base::history::History;
use crate::base::wire::Dump;
use crate::base::{NodeId, Seed};
use crate::check::{self, Facts, Recorded};
use crate::client::{NotConverged, operation_name};
use crate::net::{Effect, MessageFault};
use crate::sim::run::ScenarioRun;
use crate::sim::scenario::{
    ClusterSpec, Fault, FaultKind, Links, OperationName, PlannedKind, PlannedOperation, Scenario, Target,
};

/// How long the replicas may take to become equal once everything is healed, in virtual time: until the last message that
/// was sent before has arrived, however long it takes, and then many times the longest pause between resends.
fn settle_deadline(scenario: &Scenario) -> Duration {
    const RESENDS: Duration = Duration::from_secs(30);
    let ClusterSpec { delay_ms: [_, max], repl_timeout_ms, link_ms, tick_ms, .. } = scenario.cluster;
    let delays = scenario.faults.iter().filter_map(|fault| match fault.kind {
        FaultKind::Delay { delay_ms, .. } => Some(delay_ms),
        _ => None,
    });
    let longest = delays.max().unwrap_or(0).max(max);
    RESENDS + Duration::from_millis(longest + repl_timeout_ms + 10 * link_ms.max(tick_ms))
}

/// Runs a scenario with this seed in turmoil and judges the run. `returned` counts the operations that have ended, for
/// whoever watches from another thread.
///
/// # Errors
/// [`SimError`].
pub fn run(scenario: &Scenario, seed: u64, returned: Arc<AtomicUsize>) -> Result<ScenarioRun, SimError> {
    refuse_what_turmoil_cannot(scenario)?;
    let ClusterSpec { followers, write_quorum, delay_ms: [min, max], repl_timeout_ms, link_ms, tick_ms, window, rules } =
        &scenario.cluster;
    let faults: Vec<MessageFault> = scenario.faults.iter().filter_map(message_fault).collect();
    let world = World::new(seed)
        .followers(*followers)
        .write_quorum(*write_quorum)
        .delay_ms(*min, *max)
        .repl_timeout_ms(*repl_timeout_ms)
        .link_latency_ms(*link_ms)
        .tick_ms(*tick_ms)
        .window(*window)
        .rules(rules.rules())
        .message_faults(faults)
        .count_into(returned);
    let play = scenario.clone();
    let (trace, played) = match world.attempt(async move |stage| play_out(&play, seed, &stage).await) {
        Ok(run) => run.map(|run| (run.trace, run.result.map_err(|error| error.to_string())))?,
        Err(panicked) => (panicked.trace, Err(format!("it panicked: {}", panicked.said))),
    };
    let Played { states, virtual_time } = match played {
        Ok(played) => played,
        Err(why) => return Err(SimError::Failed { why, trace: Box::new(trace) }),
    };
    let history = History::from_records(trace.records());
    let records = trace.records();
    let facts = Facts::from_records(records).expect("a simulated run begins with its cluster");
    let recorded = Recorded { records, history: &history, states: &states, facts: Some(&facts) };
    let verdicts = check::all(&recorded);
    Ok(ScenarioRun { scenario: scenario.clone(), seed, trace, history, states, verdicts, virtual_time })
}

fn refuse_what_turmoil_cannot(scenario: &Scenario) -> Result<(), SimError> {
    for (place, fault) in scenario.faults.iter().enumerate() {
        let why = match fault.kind {
            FaultKind::Pause(_) | FaultKind::Resume(_) => {
                "turmoil cannot stop a host's clock; hold and release look the same from outside"
            }
            FaultKind::Clock { .. } => "turmoil's hosts share one clock",
            _ => continue,
        };
        let name = fault.kind.name();
        return Err(SimError::Impossible(format!(
            "fault {}: {name} does not exist in the turmoil engine: {why}",
            place + 1
        )));
    }
    Ok(())
}

/// What the story of a scenario returns.
struct Played {
    states: Vec<(NodeId, Dump)>,
    /// Up to the end of the last operation.
    virtual_time: Duration,
}

async fn play_out(scenario: &Scenario, seed: u64, stage: &Stage) -> Result<Played, NotConverged> {
    let plan = scenario.workload.plan(Seed::new(seed), scenario.cluster.followers);
    let disconnects = disconnects(scenario);
    let tasks = LocalSet::new();
    let timed: Vec<Fault> = scenario.faults.iter().filter(|fault| fault.kind.target().is_none()).cloned().collect();
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
    match stage.cluster().settle(settle_deadline(scenario)).await {
        Ok(_) | Err(NotConverged::Different { .. }) => {}
        Err(error) => return Err(error),
    }
    let mut states = Vec::new();
    for node in stage.cluster().nodes() {
        let dump = stage.cluster().dump(node).await;
        states.push((node, dump.map_err(|error| NotConverged::Unreadable { node, error })?));
    }
    Ok(Played { states, virtual_time })
}

async fn perform(client: &StageClient, name: OperationName, operation: PlannedOperation, hangs_up: Option<Duration>) {
    client.wait_until(Duration::from_millis(operation.at_ms)).await;
    sleep(Duration::from_millis(operation.think_ms)).await;
    client.number_next(operation.number);
    let key = operation.key.as_str();
    let call = async {
        match operation.kind {
            // How it ended is in the trace.
            PlannedKind::Set => drop(client.set(key, &format!("\"{name}\"")).await),
            PlannedKind::Get { from } => drop(client.get(from, key).await),
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

/// After how long which clients hang up.
fn disconnects(scenario: &Scenario) -> BTreeMap<OperationName, Duration> {
    let disconnect = |fault: &Fault| match fault.kind {
        FaultKind::Disconnect { operation, after_ms } => Some((operation, Duration::from_millis(after_ms))),
        _ => None,
    };
    scenario.faults.iter().filter_map(disconnect).collect()
}

/// Lets the faults of nodes and links happen, each at its time.
async fn strike(stage: &Stage, mut faults: Vec<Fault>) {
    faults.sort_by_key(|fault| fault.at_ms);
    for fault in faults {
        let at = Duration::from_millis(fault.at_ms);
        sleep(at.saturating_sub(stage.now())).await;
        match fault.kind {
            FaultKind::Crash(node) => stage.crash(node),
            FaultKind::Restart(node) => stage.restart(node),
            FaultKind::Hold(node) => stage.hold(node),
            FaultKind::Release(node) => stage.release(node),
            FaultKind::Partition(links) => each_link(&links, |from, to| stage.cut(from, to)),
            FaultKind::Heal(links) => each_link(&links, |from, to| stage.mend(from, to)),
            FaultKind::Slow { node, to, latency_ms } => {
                let latency = Duration::from_millis(latency_ms);
                let others = stage.cluster().nodes().filter(|other| *other != node && to.is_none_or(|to| to == *other));
                others.for_each(|other| stage.set_latency(node, other, latency));
            }
            // Refused before the run, acts on operations, or acts on messages.
            FaultKind::Pause(_) | FaultKind::Resume(_) | FaultKind::Clock { .. } => {}
            FaultKind::Disconnect { .. } => {}
            FaultKind::Drop(_) | FaultKind::DropReply(_) | FaultKind::Duplicate(_) | FaultKind::Delay { .. } => {}
        }
    }
}

fn each_link(links: &Links, act: impl Fn(NodeId, NodeId)) {
    for from in &links.from {
        for to in &links.to {
            act(*from, *to);
            if !links.one_way {
                act(*to, *from);
            }
        }
    }
}

/// How many writes must succeed after healing.
const PROBES: usize = 3;

/// Ends every fault, gives the nodes time to notice, and writes: after healing, that must succeed.
async fn heal(scenario: &Scenario, stage: &Stage, clients: usize) {
    let ClusterSpec { repl_timeout_ms, delay_ms: [_, max], link_ms, .. } = scenario.cluster;
    stage.heal(Healing { link_latency: Duration::from_millis(link_ms) });
    // Requests that were sent into a fault run into their deadline, and pauses that had grown long run out.
    sleep(Duration::from_millis(repl_timeout_ms + max) + Duration::from_secs(3)).await;
    stage.probe();
    let prober = stage.client(u16::try_from(clients).unwrap_or(u16::MAX));
    // A key of its own: to write the others once more would mend what is to be seen.
    for number in 1..=PROBES {
        // How it ended is in the trace, and the checker of liveness looks at it.
        let _ = prober.set("probe", &format!("\"probe {number}\"")).await;
    }
}

/// What a fault of messages is to the emulated network.
fn message_fault(fault: &Fault) -> Option<MessageFault> {
    let Target { operation, to, attempt, per_mille } = fault.kind.target()?;
    let effect = match fault.kind {
        FaultKind::Drop(_) => Effect::Drop,
        FaultKind::DropReply(_) => Effect::DropReply,
        FaultKind::Duplicate(_) => Effect::Duplicate,
        FaultKind::Delay { delay_ms, .. } => Effect::Delay(Duration::from_millis(delay_ms)),
        _ => return None,
    };
    let to = match to {
        Some(NodeId::Follower(id)) => Some(*id),
        _ => None,
    };
    Some(MessageFault {
        from: Duration::from_millis(fault.at_ms),
        until: fault.until_ms.map_or(Duration::MAX, Duration::from_millis),
        operation: operation.map(|name| operation_name(NodeId::Client(name.client), name.number)),
        to,
        attempt: *attempt,
        per_mille: *per_mille,
        salt: fault.salt(),
        effect,
    })
}
