//! What every engine makes of a scenario: the same numbers, whoever runs it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::strikes::Strikes;
use crate::base::trace::{Disturbance, Event, operation_name};
use crate::base::{FollowerId, Member, NodeId, NodeRef, RequestName};
use crate::net::{Effect, MessageFault, Messages, Moment};
use crate::sim::scenario::{
    ClusterSpec, Fault, FaultKind, Links, OperationName, RpcEffect, RpcTarget, Scenario, Target, When,
};

/// How many writes must succeed after healing.
pub(super) const PROBES: u64 = 3;

/// The key that they write, one of its own: to write the others once more would mend what is to be seen.
pub(super) const PROBED_KEY: &str = "probe";

/// How much longer than the deadline of a write a client waits for an answer, so that the node's shows.
const CLIENT_PATIENCE: Duration = Duration::from_secs(60);

/// What the nth probe writes, as JSON.
pub(super) fn probed_value(number: u64) -> String {
    format!("\"probe {number}\"")
}

/// What an operation writes, as JSON: its name, so that no two write the same.
pub(super) fn written_value(name: OperationName) -> String {
    let OperationName { client, number } = name;
    // Many are written: this is the name without the detour over formatting.
    let (mut client_digits, mut number_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
    ["\"c", client_digits.format(u32::from(client) + 1), "#", number_digits.format(number), "\""].concat()
}

/// The name by which the leader knows a write again that is named after an operation.
pub(super) fn request_name(name: OperationName) -> RequestName {
    RequestName::new(&name.to_string()).expect("the name of an operation is short")
}

/// How long a client waits for an answer.
pub(super) fn client_deadline(repl_timeout: Duration, link: Duration) -> Duration {
    CLIENT_PATIENCE + repl_timeout + 10 * link
}

/// How long after healing until clients probe: requests that were sent into a fault run into their deadline, and pauses
/// that had grown long run out.
pub(super) fn healing_time(scenario: &Scenario) -> Duration {
    let ClusterSpec { repl_timeout_ms, delay_ms: [_, max], .. } = scenario.cluster;
    Duration::from_millis(repl_timeout_ms + max) + Duration::from_secs(3)
}

/// How long the replicas may take to become equal once everything is healed, in virtual time: until the last message that
/// was sent before has arrived, however long it takes, and then many times the longest pause between resends.
pub(super) fn settle_deadline(scenario: &Scenario) -> Duration {
    const RESENDS: Duration = Duration::from_secs(30);
    let ClusterSpec { delay_ms: [_, max], repl_timeout_ms, link_ms, tick_ms, .. } = scenario.cluster;
    let delays = scenario.faults.iter().filter_map(|fault| match fault.kind {
        FaultKind::Delay { delay_ms, .. } => Some(delay_ms),
        FaultKind::Duplicate { delay_ms, .. } => delay_ms,
        FaultKind::Rpc { effect, .. } => match effect {
            RpcEffect::Delay { delay_ms } => Some(delay_ms),
            RpcEffect::Duplicate { delay_ms } => delay_ms,
            RpcEffect::Drop | RpcEffect::DropReply => None,
        },
        _ => None,
    });
    let longest = delays.max().unwrap_or(0).max(max);
    RESENDS + Duration::from_millis(longest + repl_timeout_ms + 10 * link_ms.max(tick_ms))
}

/// After how long which clients hang up.
pub(super) fn disconnects(scenario: &Scenario) -> BTreeMap<OperationName, Duration> {
    let disconnect = |fault: &Fault| match fault.kind {
        FaultKind::Disconnect { operation, after_ms } => Some((operation, Duration::from_millis(after_ms))),
        _ => None,
    };
    scenario.faults.iter().filter_map(disconnect).collect()
}

/// The faults of a scenario as an engine takes them, each with its place in the scenario.
#[derive(Debug, Clone)]
pub(super) struct FaultPlan {
    /// The faults of messages, as the emulated network takes them.
    pub(super) messages: Arc<[MessageFault]>,
    /// Of each of those: its place.
    places: Vec<usize>,
    /// Faults of nodes and links that have a time, in the order of their times.
    pub(super) timed: Vec<(usize, Fault)>,
    /// Faults of nodes and links that wait for an event.
    pub(super) triggered: BTreeMap<usize, Fault>,
    /// The operations on which clients hang up.
    disconnects: Vec<(usize, OperationName)>,
}

impl FaultPlan {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let all = || scenario.faults.iter().enumerate();
        let (places, messages): (Vec<usize>, Vec<MessageFault>) =
            all().filter_map(|(place, fault)| Some((place, message_fault(fault)?))).unzip();
        let on_nodes = || all().filter(|(_, fault)| fault.kind.is_timed()).map(|(place, fault)| (place, fault.clone()));
        let (mut timed, triggered): (Vec<_>, Vec<_>) = on_nodes().partition(|(_, fault)| fault.when.is_none());
        timed.sort_by_key(|(_, fault)| fault.at_ms);
        let disconnects = all().filter_map(|(place, fault)| match fault.kind {
            FaultKind::Disconnect { operation, .. } => Some((place, operation)),
            _ => None,
        });
        let (messages, triggered) = (messages.into(), triggered.into_iter().collect());
        Self { messages, places, timed, triggered, disconnects: disconnects.collect() }
    }

    /// The faults that have a client hang up on this operation.
    pub(super) fn disconnects_of(&self, operation: OperationName) -> Vec<usize> {
        self.disconnects.iter().filter(|(_, of)| *of == operation).map(|(place, _)| *place).collect()
    }

    /// The event that this fault waits for has come. Of a fault of nodes or links, when it strikes.
    pub(super) fn trigger(&self, place: usize, at: Duration) -> Option<Duration> {
        let of_place = self.places.iter().zip(self.messages.iter()).filter(|(of, _)| **of == place);
        of_place.filter_map(|(_, fault)| fault.onset.as_ref()).for_each(|onset| onset.set(at));
        let when = self.triggered.get(&place)?.when?;
        Some(at + Duration::from_millis(when.after_ms))
    }

    /// Notes which faults of messages have struck.
    pub(super) fn add_struck_messages(&self, strikes: &mut Strikes) {
        for (place, fault) in self.places.iter().zip(self.messages.iter()) {
            if let Some(at) = fault.struck.get() {
                strikes.record(*place, at.into(), Ok(()));
            }
        }
    }
}

fn message_fault(fault: &Fault) -> Option<MessageFault> {
    let (messages, to, per_mille, effect) = match &fault.kind {
        FaultKind::Drop(target) => of_writes(target, Effect::Drop),
        FaultKind::DropReply(target) => of_writes(target, Effect::DropReply),
        FaultKind::Duplicate { target, delay_ms } => {
            of_writes(target, Effect::Duplicate(delay_ms.map(Duration::from_millis)))
        }
        FaultKind::Delay { target, delay_ms } => of_writes(target, Effect::Delay(Duration::from_millis(*delay_ms))),
        FaultKind::Rpc { target: RpcTarget { rpc, from, to, number, per_mille }, effect } => {
            let messages = Messages::Rpcs { rpc: *rpc, sender: *from, number: *number };
            let effect = match effect {
                RpcEffect::Drop => Effect::Drop,
                RpcEffect::DropReply => Effect::DropReply,
                RpcEffect::Duplicate { delay_ms } => Effect::Duplicate(delay_ms.map(Duration::from_millis)),
                RpcEffect::Delay { delay_ms } => Effect::Delay(Duration::from_millis(*delay_ms)),
            };
            (messages, *to, *per_mille, effect)
        }
        FaultKind::Crash(_) | FaultKind::Restart(_) | FaultKind::Pause(_) | FaultKind::Resume(_) => return None,
        FaultKind::Hold(_) | FaultKind::Release(_) | FaultKind::Partition(_) | FaultKind::Heal(_) => return None,
        FaultKind::Slow { .. } | FaultKind::Disconnect { .. } | FaultKind::Clock { .. } => return None,
        FaultKind::Quorum(_) | FaultKind::Misdirect { .. } | FaultKind::Replace { .. } => return None,
        FaultKind::Members(_) | FaultKind::AcceptLoss(_) | FaultKind::LoseKey { .. } => return None,
    };
    let to = match to {
        Some(NodeRef::Node(NodeId::Follower(id))) => Some(id),
        _ => None,
    };
    let ms = Duration::from_millis;
    let (from, until, onset) = match fault.when {
        None => (ms(fault.at_ms), fault.until_ms.map_or(Duration::MAX, ms), None),
        Some(When { after_ms, for_ms, .. }) => {
            let until = for_ms.map_or(Duration::MAX, |for_ms| ms(after_ms + for_ms));
            (ms(after_ms), until, Some(Moment::default()))
        }
    };
    // A fault that strikes every message draws nothing.
    let salt = if per_mille < 1000 { fault.salt() } else { 0 };
    Some(MessageFault { to, from, until, onset, per_mille, salt, ..MessageFault::new(messages, effect) })
}

fn of_writes(target: &Target, effect: Effect) -> (Messages, Option<NodeRef>, u16, Effect) {
    let Target { operation, to, attempt, per_mille } = target;
    let operation = operation.map(|name| operation_name(NodeId::Client(name.client), name.number));
    (Messages::Writes { operation, attempt: *attempt }, *to, *per_mille, effect)
}

/// Why accepting a loss at this node changes nothing.
pub(super) fn no_loss_to_accept(node: NodeId) -> String {
    format!("{node} did not wait for an operator")
}

/// Why a fault of links strikes nothing.
pub(super) const SILENT: &str = "these nodes send one another nothing";

/// Every one-way link between two sets of nodes.
pub(super) fn directed(links: &Links) -> impl Iterator<Item = (NodeRef, NodeRef)> {
    let pairs = links.from.iter().flat_map(|from| links.to.iter().map(|to| (*from, *to)));
    pairs.flat_map(|(from, to)| [(from, to)].into_iter().chain((!links.one_way).then_some((to, from))))
}

fn fault(kind: Disturbance, nodes: &[NodeId], what: String) -> Event {
    Event::Fault { kind, nodes: nodes.to_vec(), latency: None, what }
}

/// How a trace tells that what goes between a node and the others is held back.
pub(super) fn hold(node: NodeId) -> Event {
    fault(Disturbance::Hold, &[node], format!("hold {node}"))
}

/// How it tells that it is let go.
pub(super) fn release(node: NodeId) -> Event {
    fault(Disturbance::Release, &[node], format!("release {node}"))
}

/// How it tells that what one node sends to another is lost.
pub(super) fn cut(from: NodeId, to: NodeId) -> Event {
    fault(Disturbance::Cut, &[from, to], format!("cut {from} to {to}"))
}

/// How it tells that it is not lost any more.
pub(super) fn mend(from: NodeId, to: NodeId) -> Event {
    fault(Disturbance::Mend, &[from, to], format!("mend {from} to {to}"))
}

/// How it tells that a link takes another time.
pub(super) fn apart(a: NodeId, b: NodeId, latency: Duration) -> Event {
    let what = format!("{a} and {b} are {} ms apart", latency.as_millis());
    Event::Fault { kind: Disturbance::Latency, nodes: vec![a, b], latency: Some(latency.into()), what }
}

/// The event that the latency of one direction of a link changed.
pub(super) fn apart_one_way(from: NodeId, to: NodeId, latency: Duration) -> Event {
    let what = format!("messages from {from} to {to} take {} ms", latency.as_millis());
    Event::Fault { kind: Disturbance::LatencyOneWay, nodes: vec![from, to], latency: Some(latency.into()), what }
}

/// How it tells that a client hung up.
pub(super) fn hang_up(operation: OperationName) -> Event {
    fault(Disturbance::HangUp, &[], format!("the client hangs up on {operation}"))
}

/// How it tells that a node was stopped, or goes on.
pub(super) fn pause(node: NodeId, goes_on: bool) -> Event {
    match goes_on {
        false => fault(Disturbance::Pause, &[node], format!("pause {node}")),
        true => fault(Disturbance::Resume, &[node], format!("resume {node}")),
    }
}

/// How it tells that a node's clock runs at another rate.
pub(super) fn clock(node: NodeId, rate_per_mille: u64) -> Event {
    let kind = if rate_per_mille == 1000 { Disturbance::ClockRight } else { Disturbance::ClockOff };
    fault(kind, &[node], format!("the clock of {node} runs at {rate_per_mille} thousandths of the true rate"))
}

/// How it tells that another node is started as the leader while the present one still runs.
pub(super) fn replace(started: NodeId, present: NodeId) -> Event {
    fault(Disturbance::Replace, &[started], format!("{started} is started as the leader, though {present} still runs"))
}

/// How it tells that a follower's name leads to another, or to itself again.
pub(super) fn misdirect(follower: FollowerId, to: FollowerId) -> Event {
    if follower == to {
        return fault(Disturbance::Redirect, &[follower.into()], format!("the name of {follower} leads to it again"));
    }
    fault(Disturbance::Misdirect, &[follower.into(), to.into()], format!("the name of {follower} leads to {to}"))
}

/// How it tells that the next leader will have another quorum.
pub(super) fn quorum(node: NodeId, write_quorum: usize) -> Event {
    fault(Disturbance::Configure, &[node], format!("from its next start {node} has a quorum of {write_quorum}"))
}

/// How it tells that the next leader on a node will have other members.
pub(super) fn members(node: NodeId, members: &[Member]) -> Event {
    let names: Vec<String> = members.iter().map(Member::to_string).collect();
    fault(Disturbance::Configure, &[node], format!("from its next start {node} has the members {}", names.join(", ")))
}

/// How it tells that an operator accepts a loss.
pub(super) fn accept_loss(node: NodeId) -> Event {
    fault(Disturbance::AcceptLoss, &[node], format!("an operator accepts a loss at {node}"))
}

/// How it tells that every fault was ended.
pub(super) fn healed() -> Event {
    fault(Disturbance::Heal, &[], "everything is healed".into())
}

/// How it tells that from here on clients probe whether the store works.
pub(super) fn probing() -> Event {
    fault(Disturbance::Probe, &[], "clients probe the healed store".into())
}
