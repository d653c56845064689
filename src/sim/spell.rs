use std::collections::BTreeMap;

use super::scenario::{
    ExplicitOperation, Fault, FaultKind, OperationName, PlannedKind, RpcEffect, RpcTarget, Scenario, Target, Workload,
};
use crate::base::trace::{Disturbance, Event, LostPart, MessageId, Micros, Record, Trace, WriteId, operation_name};
use crate::base::{FollowerId, NodeId, NodeRef};

/// How long a message takes that is not spoken of, in milliseconds.
pub(super) const USUAL_DELAY_MS: u64 = 10;

/// The scenario of a run with everything written down that was drawn in it: when each client did what, and what became
/// of each message. Times are rounded down to milliseconds, so what comes of it has to be looked at anew.
///
/// Nothing depends on a seed any more but the pauses between resends and what is sent after healing.
pub(super) fn spell_out(scenario: &Scenario, trace: &Trace) -> Scenario {
    let mut spelled = written_down(scenario, trace, Some(USUAL_DELAY_MS));
    spelled.cluster.delay_ms = [USUAL_DELAY_MS; 2];
    spelled
}

/// The same, but that what is sent after healing keeps its drawn delays: for what only shows there.
pub(super) fn spell_out_story(scenario: &Scenario, trace: &Trace) -> Scenario {
    written_down(scenario, trace, None)
}

/// The scenario of a run with its operations written down, and nothing else: fates of messages and
/// delays are still drawn, as before, because they go by the names of operations.
pub(super) fn spell_out_operations(scenario: &Scenario, trace: &Trace) -> Scenario {
    let workload = Workload { explicit: operations(before_healing(trace)), ..Workload::default() };
    let mut spelled = Scenario { workload, ..scenario.clone() };
    spelled.forget_missing_clients();
    spelled
}

/// Returns what happened until everything was healed.
fn before_healing(trace: &Trace) -> &[Record] {
    let healed = |record: &Record| matches!(record.event, Event::Fault { kind: Disturbance::Heal, .. });
    let records = trace.records();
    &records[..records.iter().position(healed).unwrap_or(records.len())]
}

/// Writes everything down but delays that are as usual.
fn written_down(scenario: &Scenario, trace: &Trace, usual_delay_ms: Option<u64>) -> Scenario {
    let story = before_healing(trace);
    let mut spelled = scenario.clone();
    spelled.workload = Workload { explicit: operations(story), ..Workload::default() };
    spelled.faults.retain(|fault| !fault.kind.acts_on_messages());
    spelled.faults.extend(fates(story, usual_delay_ms));
    spelled.forget_missing_clients();
    spelled
}

/// The same, where what happens to nodes and links did not happen at its own time either, but at these times.
pub(super) fn spell_out_order(scenario: &Scenario, trace: &Trace, struck: &[Micros]) -> Scenario {
    let mut spelled = spell_out(scenario, trace);
    let has_time = |fault: &&mut Fault| fault.kind.is_timed() && fault.when.is_none();
    let mut timed: Vec<&mut Fault> = spelled.faults.iter_mut().filter(has_time).collect();
    timed.sort_by_key(|fault| fault.at_ms);
    for (fault, at) in timed.into_iter().zip(struck) {
        fault.at_ms = ms(*at);
    }
    spelled
}

fn ms(at: Micros) -> u64 {
    at.0 / 1000
}

fn operations(story: &[Record]) -> Vec<ExplicitOperation> {
    let mut operations = Vec::new();
    for Record { at, node, event, .. } in story {
        let (number, kind, key, request, if_version) = match event {
            Event::InvokeSet { operation, key, request_id, if_version, .. } => {
                (*operation, PlannedKind::Set, key, request_id.as_ref(), *if_version)
            }
            Event::InvokeDelete { operation, key, request_id, if_version, .. } => {
                (*operation, PlannedKind::Delete, key, request_id.as_ref(), *if_version)
            }
            Event::InvokeGet { operation, target, key, mode } => {
                (*operation, PlannedKind::Get { from: NodeRef::by_role(*target), mode: *mode }, key, None, None)
            }
            _ => continue,
        };
        let request = request.and_then(|name| name.as_str().parse().ok());
        if let NodeId::Client(client) = node {
            let (client, number, at_ms, key) = (client + 1, Some(number), ms(*at), key.clone());
            operations.push(ExplicitOperation { client, number, at_ms, kind, key, request, if_version, expect: None });
        }
    }
    operations
}

/// The operations of the writes that leaders took on, by the incarnation of the leader and its number for the write.
pub(super) fn accepted_operations(story: &[Record]) -> BTreeMap<(u64, WriteId), OperationName> {
    let mut writes = BTreeMap::new();
    let mut named: BTreeMap<u64, OperationName> = BTreeMap::new();
    for Record { node, incarnation, event, .. } in story {
        match event {
            Event::InvokeDelete { operation, .. } | Event::InvokeSet { operation, request_id: Some(_), .. } => {
                if let NodeId::Client(client) = *node {
                    let name = OperationName { client, number: *operation };
                    named.insert(operation_name(*node, *operation), name);
                }
            }
            Event::Accept { write, value, operation, .. } => {
                let named = operation.and_then(|name| named.get(&name).copied());
                let said = || value.as_ref()?.as_json().trim_matches('"').parse().ok();
                writes.extend(named.or_else(said).map(|name| ((*incarnation, *write), name)));
            }
            _ => {}
        }
    }
    writes
}

/// The faults that give each message the fate that it had, if that is not the usual one.
fn fates(story: &[Record], usual_delay_ms: Option<u64>) -> Vec<Fault> {
    let writes = accepted_operations(story);
    let incarnations = Incarnations::of(story);
    let mut fates = Vec::new();
    for Record { node, incarnation, event, .. } in story {
        match event {
            Event::Send { message, delay, lost, copy } => {
                let Some(operation) = writes.get(&(*incarnation, message.write)) else { continue };
                let target = target(*operation, *message);
                let mut add = |kind| fates.push(Fault::at(0, kind));
                match lost {
                    Some(LostPart::Request) => add(FaultKind::Drop(target.clone())),
                    Some(LostPart::Reply) => add(FaultKind::DropReply(target.clone())),
                    None => {}
                }
                if let Some(copy) = copy {
                    let delay_ms = Some(ms(*copy));
                    add(FaultKind::Duplicate { target: target.clone(), delay_ms });
                }
                if *lost != Some(LostPart::Request) && Some(ms(*delay)) != usual_delay_ms {
                    add(FaultKind::Delay { target, delay_ms: ms(*delay) });
                }
            }
            Event::Rpc { to, rpc, number, delay, lost, copy } => {
                let target = RpcTarget {
                    rpc: *rpc,
                    from: Some(*node),
                    to: Some((*to).into()),
                    number: Some(*number),
                    per_mille: 1000,
                };
                let (at_ms, until_ms) = incarnations.span(*node, *incarnation);
                let mut add = |effect| {
                    let kind = FaultKind::Rpc { target: target.clone(), effect };
                    fates.push(Fault { until_ms, ..Fault::at(at_ms, kind) });
                };
                match lost {
                    Some(LostPart::Request) => add(RpcEffect::Drop),
                    Some(LostPart::Reply) => add(RpcEffect::DropReply),
                    None => {}
                }
                copy.map(ms).into_iter().for_each(|copy| add(RpcEffect::Duplicate { delay_ms: Some(copy) }));
                if delay.0 > 0 {
                    add(RpcEffect::Delay { delay_ms: ms(*delay) });
                }
            }
            _ => {}
        }
    }
    fates
}

/// When each incarnation of a node that can lead began, in milliseconds.
struct Incarnations(BTreeMap<NodeId, Vec<(u64, u64)>>);

impl Incarnations {
    fn of(story: &[Record]) -> Self {
        let mut starts: BTreeMap<NodeId, Vec<(u64, u64)>> = BTreeMap::new();
        starts.insert(NodeId::FIRST_SERVER, vec![(0, 0)]);
        for record in story.iter().filter(|record| record.node.can_lead() && record.event == Event::Restart) {
            starts.entry(record.node).or_default().push((record.incarnation, ms(record.at)));
        }
        Self(starts)
    }

    /// From when to when this incarnation of the node lasted, until the next one began.
    fn span(&self, node: NodeId, incarnation: u64) -> (u64, Option<u64>) {
        let starts = self.0.get(&node).map_or(&[][..], Vec::as_slice);
        let place = starts.iter().position(|(of, _)| *of == incarnation);
        let start = place.map_or(0, |place| starts[place].1);
        let next = place.and_then(|place| starts.get(place + 1)).map(|(_, at)| *at);
        (start, next.filter(|next| *next > start))
    }
}

fn target(operation: OperationName, message: MessageId) -> Target {
    let MessageId { to, attempt, .. } = message;
    Target { operation: Some(operation), to: Some(node(to)), attempt: Some(attempt), per_mille: 1000 }
}

fn node(follower: FollowerId) -> NodeRef {
    NodeRef::from(follower)
}
