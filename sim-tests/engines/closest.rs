//! How close to one another two things come at one place, by the trace of the core engine. turmoil has ticks, and takes a
//! few milliseconds more to connect: what is closer may happen there in the other order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use semisync::base::history::{Kind, Operation};
use semisync::base::trace::{Disturbance, Event, Micros, operation_name};
use semisync::base::{NodeId, Value};
use semisync::sim::ScenarioRun;

/// From how many microseconds on the order of two things is the same in both engines.
const ENOUGH: u64 = 20_000;

/// Where the order of two things can make a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// What a node stores, or whom it has heard.
    Node(NodeId),
    /// What is on its way from the leader to this follower, and back.
    Lane(NodeId),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "at {node}"),
            Self::Lane(follower) => write!(f, "between leader and {follower}"),
        }
    }
}

/// Two things that are close to one another.
#[derive(Debug, Clone)]
struct Close {
    apart_us: u64,
    place: Place,
    what: [String; 2],
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { apart_us, place, what: [one, other] } = self;
        write!(f, "{one} and {other} are {apart_us} µs apart {place}")
    }
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Happened {
    at: u64,
    /// Of what. What has the same cause happens in the same order.
    cause: String,
    /// When that began.
    since: u64,
    /// Whether it lets go of what began before, which then follows at once, in any engine.
    lets_go: bool,
}

/// Why the schedule of a run is not determined by the draws alone, if it is not.
pub fn why_incomparable(run: &ScenarioRun) -> Option<String> {
    closest(run).filter(|close| close.apart_us < ENOUGH).map(|close| close.to_string())
}

/// The closest pair of things that happen at one place before everything is healed and have not the same cause.
fn closest(run: &ScenarioRun) -> Option<Close> {
    let mut places: BTreeMap<Place, Vec<Happened>> = BTreeMap::new();
    for (place, happened) in happened(run) {
        places.entry(place).or_default().push(happened);
    }
    let pairs = places.into_iter().flat_map(|(place, mut all)| {
        all.sort();
        let is_close = |one: &Happened, other: &Happened| {
            one.cause != other.cause && !(one.lets_go && other.since + ENOUGH <= one.at)
        };
        let close = move |one: &Happened, other: &Happened| Close {
            apart_us: other.at - one.at,
            place,
            what: [one.cause.clone(), other.cause.clone()],
        };
        let pairs = all.windows(2).filter(|pair| is_close(&pair[0], &pair[1])).map(|pair| close(&pair[0], &pair[1]));
        pairs.collect::<Vec<_>>()
    });
    pairs.min_by_key(|close| close.apart_us)
}

/// What happens where.
fn happened(run: &ScenarioRun) -> Vec<(Place, Happened)> {
    let records = run.trace.records();
    let healed = |event: &Event| matches!(event, Event::Fault { kind: Disturbance::Heal, .. });
    let until = records.iter().position(|record| healed(&record.event)).unwrap_or(records.len());
    let leader = Place::Node(NodeId::FIRST_SERVER);
    let mut all = Vec::new();
    // The request that each message went in last, and when each request was sent.
    let mut carried = BTreeMap::new();
    let mut accepted = BTreeSet::new();
    let mut named = BTreeSet::new();
    let mut sent = BTreeMap::new();
    for record in &records[..until] {
        let Micros(at) = record.at;
        // What strikes at the same time strikes in the order of the scenario.
        let of_fault = format!("a fault of {} ms", at / 1000);
        let lets_go = match &record.event {
            Event::Restart => true,
            Event::Fault { kind, .. } => matches!(kind, Disturbance::Release | Disturbance::Mend),
            _ => false,
        };
        let mut put = |place, cause: String, since: u64| all.push((place, Happened { at, cause, since, lets_go }));
        match &record.event {
            Event::Accept { write, value, operation, .. } => {
                accepted.insert(value.as_ref().map(Value::as_json));
                named.extend(*operation);
                put(leader, format!("write {write}"), at);
            }
            Event::Retry { write, operation, .. } => {
                named.extend(*operation);
                put(leader, format!("retry {write}"), at);
            }
            // One that its quorum completes has the same cause as the answer that completes it.
            Event::Complete { write, ok: false, .. } => put(leader, format!("the deadline of write {write}"), at),
            Event::Dispatch { to, request, messages } => {
                let cause = format!("request {request} to {to}");
                messages.iter().for_each(|message| drop(carried.insert(*message, cause.clone())));
                sent.insert(cause.clone(), at);
                put(Place::Lane((*to).into()), cause, at);
            }
            Event::Apply { request: Some(request), .. } | Event::Reject { request: Some(request), .. } => {
                let cause = format!("request {request} to {}", record.node);
                let since = sent.get(&cause).copied().unwrap_or(at);
                put(Place::Node(record.node), cause.clone(), since);
                put(Place::Lane(record.node), cause, since);
            }
            Event::Ack { message, .. } | Event::Lost { message, .. } => {
                let cause = carried.get(message).cloned().unwrap_or_else(|| format!("the loss of {message:?}"));
                let since = sent.get(&cause).copied().unwrap_or(at);
                put(leader, cause.clone(), since);
                put(Place::Lane(message.to.into()), cause, since);
            }
            Event::Crash | Event::Restart => {
                put(Place::Node(record.node), of_fault.clone(), at);
                concerned(run, &[record.node]).for_each(|lane| put(lane, of_fault.clone(), at));
            }
            Event::Fault { nodes, .. } => concerned(run, nodes).for_each(|lane| put(lane, of_fault.clone(), at)),
            _ => {}
        }
    }
    let link = 1000 * run.scenario.cluster.link_ms.max(run.scenario.cluster.tick_ms);
    // A write that was accepted has its place already.
    let is_call = |operation: &&Operation| match &operation.kind {
        Kind::Read(_) => true,
        Kind::Write(value) if operation.request.is_none() => !accepted.contains(&Some(value.as_json())),
        Kind::Write(_) | Kind::Delete => !named.contains(&operation_name(operation.client, operation.number)),
    };
    let calls = run.history.operations.iter().filter(|operation| operation.invoked.index < until);
    for operation in calls.filter(is_call) {
        let at = operation.invoked.at.0 + link;
        let call = Happened { at, cause: format!("call {}", operation.name()), since: at, lets_go: false };
        all.push((Place::Node(operation.target), call));
    }
    all
}

/// The lanes that a fault of these nodes concerns. What is done to a link concerns the lane of its follower.
fn concerned(run: &ScenarioRun, nodes: &[NodeId]) -> impl Iterator<Item = Place> + use<> {
    let lane = |node: &NodeId| Place::Lane(*node);
    let is_follower = |node: &&NodeId| matches!(node, NodeId::Follower(_));
    let lanes: Vec<Place> = match nodes {
        [NodeId::FIRST_SERVER] => run.states.iter().map(|(node, _)| node).filter(is_follower).map(lane).collect(),
        some => some.iter().filter(is_follower).map(lane).collect(),
    };
    lanes.into_iter()
}
