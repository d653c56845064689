use std::collections::{BTreeMap, BTreeSet};

use super::action::{Action, Fate, Parcel};
use super::model::Exhaustive;
use super::scope::{Operation, Scope};
use super::state::{Progress, State};
use crate::base::{FollowerId, NodeId, NodeRef};
use crate::sim::scenario::{ClusterSpec, ExplicitOperation, Fault, FaultKind, Scenario, Target, Workload};
use crate::sim::shrink::Goal;

/// From one action to the next, in milliseconds: longer than a pause before a resend, so that what the nodes do by
/// themselves keeps its place.
const SLOT: u64 = 200;
/// The latency of a link, in milliseconds: long enough that a node can crash while something is on it.
const LINK: u64 = 10;
/// How long after something was missed it is sent again, in the middle of what is drawn.
const PAUSE: u64 = 75;

/// When a message arrives whose answer reaches the leader later than it would by itself: a scenario cannot hold back
/// answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// When it does in the run. Its answer is early then.
    AsItArrived,
    /// When its answer does.
    AsItWasAnswered,
}

/// A run of the search as a scenario for an engine with time.
pub(super) fn scenario(model: &Exhaustive, goal: Goal, actions: &[Action], arrival: Arrival) -> Scenario {
    let timeline = Timeline::of(model, actions);
    let scope = &model.scope;
    let mut faults = Vec::new();
    for (parcel, flight) in timeline.flights.iter().filter(|(parcel, _)| parcel.copy == 0) {
        faults.extend(timeline.message_faults(model, *parcel, flight, arrival));
    }
    faults.extend(timeline.node_faults.iter().cloned());
    let mut explicit = Vec::new();
    for (operation, at_ms) in &timeline.invoked {
        let Operation { name, kind, key, .. } = &scope.operations[*operation];
        let (client, number) = (name.client + 1, Some(name.number));
        explicit.push(ExplicitOperation {
            client,
            number,
            at_ms: *at_ms,
            kind: *kind,
            key: scope.keys[*key].clone(),
            request: None,
            if_version: None,
            expect: None,
        });
    }
    Scenario {
        name: format!("{}: {}", scope.scenario.name, goal.property()),
        seed: scope.scenario.seed,
        cluster: ClusterSpec {
            delay_ms: [1, 1],
            repl_timeout_ms: timeline.timeout,
            link_ms: LINK,
            tick_ms: 1,
            ..scope.scenario.cluster.clone()
        },
        workload: Workload { explicit, ..Workload::default() },
        faults,
        expect: Some(goal.expectation()),
    }
}

/// When everything happens.
struct Timeline {
    /// The deadline of writes and of requests.
    timeout: u64,
    end: u64,
    /// When each operation is begun.
    invoked: Vec<(usize, u64)>,
    flights: BTreeMap<Parcel, Passage>,
    node_faults: Vec<Fault>,
}

/// What becomes of a message, and when.
#[derive(Default)]
struct Passage {
    sent: u64,
    arrived: Option<u64>,
    answered: Option<u64>,
    given_up: Option<u64>,
    is_dropped: bool,
    reply_is_dropped: bool,
    is_late: bool,
    /// When its follower or the leader crashed before it had come to its end.
    cut: Option<u64>,
    /// How long it takes once it has left: longer over a connection that is yet to be made.
    travel: u64,
}

impl Timeline {
    fn of(model: &Exhaustive, actions: &[Action]) -> Self {
        let timeout = SLOT * (actions.len() as u64 + 2);
        let mut timeline =
            Self { timeout, end: 0, invoked: Vec::new(), flights: BTreeMap::new(), node_faults: Vec::new() };
        let mut state = State::first(&model.scope);
        let mut accepted: BTreeMap<usize, u64> = BTreeMap::new();
        // Since when something is to be sent again.
        let mut armed: BTreeMap<FollowerId, u64> = BTreeMap::new();
        // A cluster that is up has asked its followers something, over connections that are kept.
        let asks = model.scope.rules().recover_on_start;
        let mut connected: BTreeSet<FollowerId> = state.followers().map(|(id, _)| id).filter(|_| asks).collect();
        let mut known_clients: BTreeSet<(u16, NodeId)> = BTreeSet::new();
        let mut now = 0;
        for action in actions {
            let earliest = now + SLOT;
            now = match action {
                Action::Deadline => {
                    let of_oldest = oldest_waiting(&state).and_then(|oldest| accepted.get(&oldest));
                    of_oldest.map_or(earliest, |accepted| earliest.max(accepted + timeout))
                }
                Action::GiveUp(parcel) if timeline.flights.get(parcel).is_some_and(|it| it.cut.is_none()) => {
                    earliest.max(timeline.flights[parcel].sent + timeout)
                }
                _ => earliest,
            };
            let (next, _) = model.told(&state, *action);
            let sent = match action {
                Action::Resend(to) => armed.get(to).map_or(now, |armed| armed + PAUSE),
                _ => now,
            };
            timeline.follow(&model.scope, &state, *action, now, &mut connected);
            match action {
                Action::Invoke(operation) => {
                    accepted.insert(*operation, now);
                    let Operation { name, kind, .. } = &model.scope.operations[*operation];
                    let is_known = !known_clients.insert((name.client, kind.target().with_one_leader()));
                    timeline.invoked.push((*operation, now - travel(is_known)));
                    armed.extend(next.followers().map(|(id, _)| (id, now)));
                }
                Action::GiveUp(parcel) | Action::Answer(parcel) => drop(armed.insert(parcel.to, now)),
                Action::Question(to) => drop(connected.insert(*to)),
                Action::Crash(NodeId::FIRST_SERVER) => connected.clear(),
                Action::Crash(NodeId::Follower(id)) => drop(connected.remove(id)),
                _ => {}
            }
            for (_, site) in next.followers() {
                for flight in &site.flights {
                    timeline.flights.entry(flight.parcel).or_insert_with(|| Passage { sent, ..Passage::default() });
                }
            }
            state = next;
        }
        timeline.end = now;
        timeline
    }

    /// Notes what happens to messages and nodes.
    fn follow(&mut self, scope: &Scope, state: &State, action: Action, now: u64, connected: &mut BTreeSet<FollowerId>) {
        if let Some(parcel) = parcel_of(action) {
            let passage = self.flights.entry(parcel).or_default();
            match action {
                Action::Arrive(_) => {
                    passage.arrived = Some(now);
                    passage.travel = travel(!connected.insert(parcel.to));
                }
                Action::Answer(_) => passage.answered = Some(now),
                Action::GiveUp(_) => passage.given_up = Some(now),
                Action::Strike(Fate::Drop(_), _) => passage.is_dropped = true,
                Action::Strike(Fate::DropReply(_), _) => passage.reply_is_dropped = true,
                Action::Strike(Fate::Late(_), _) => passage.is_late = true,
                _ => {}
            }
        }
        match action {
            Action::Crash(node) => {
                self.node_faults.push(fault(now, FaultKind::Crash(NodeRef::by_role(node))));
                for (id, site) in
                    state.followers().filter(|(id, _)| node == NodeId::FIRST_SERVER || node == (*id).into())
                {
                    for flight in &site.flights {
                        let passage = self.flights.entry(flight.parcel).or_default();
                        passage.cut = Some(now);
                        if passage.arrived.is_none() {
                            passage.travel = travel(connected.contains(&id));
                        }
                    }
                }
            }
            Action::Restart(node) => {
                if node.can_lead() {
                    self.configure(scope, state.life, now);
                }
                self.node_faults.push(fault(now, FaultKind::Restart(NodeRef::by_role(node))));
            }
            _ => {}
        }
    }

    /// Gives the leader what its next start is configured with, if that is something else.
    fn configure(&mut self, scope: &Scope, life: u8, now: u64) {
        let (before, next) = (scope.configuration_of(life), scope.configuration_of(life + 1));
        // A quorum must be possible at each step.
        let lower = next.quorum < before.quorum;
        let quorum = (next.quorum != before.quorum).then_some(FaultKind::Quorum(next.quorum));
        let members = (next.members != before.members).then(|| FaultKind::Members(next.members.clone()));
        let kinds = if lower { [quorum, members] } else { [members, quorum] };
        self.node_faults.extend(kinds.into_iter().flatten().map(|kind| fault(now, kind)));
    }

    /// What must be done to a message so that it fares as it did.
    fn message_faults(&self, model: &Exhaustive, parcel: Parcel, passage: &Passage, arrival: Arrival) -> Vec<Fault> {
        let operation = Some(model.scope.operations[parcel.operation].name);
        let target =
            |attempt| Target { operation, to: Some(parcel.to.into()), attempt: Some(attempt), per_mille: 1000 };
        let it = || target(parcel.attempt);
        let after_the_end = self.end + SLOT;
        let arrives = |passage: &Passage| match (passage.arrived, passage.answered, arrival) {
            (Some(_), Some(answered), Arrival::AsItWasAnswered) => Some(answered),
            (arrived, ..) => arrived,
        };
        let leaves = match *passage {
            // Its deadline is counted from when it leaves.
            Passage { given_up: Some(given_up), cut: None, .. } => given_up.saturating_sub(self.timeout),
            // It was on the wire when a node crashed.
            Passage { cut: Some(cut), arrived, answered: None, given_up, travel, .. }
                if arrived.map_or(given_up.is_some(), |arrived| arrived > cut || given_up.is_some()) =>
            {
                let way_back = if arrived.is_some_and(|arrived| arrived < cut) { LINK } else { 0 };
                (cut + LINK / 2).saturating_sub(travel + way_back)
            }
            _ => arrives(passage).unwrap_or(after_the_end).saturating_sub(passage.travel),
        };
        let delay = |leaves: u64| leaves.saturating_sub(passage.sent);
        let mut kinds = vec![FaultKind::Delay { target: it(), delay_ms: delay(leaves) }];
        let is_overtaken_by_its_deadline = passage.is_late && passage.given_up.is_some();
        let is_unheard = passage.arrived.is_some_and(|at| at < self.end && passage.cut.is_none_or(|cut| at < cut))
            && passage.answered.is_none()
            && passage.given_up.is_none();
        if passage.is_dropped || is_overtaken_by_its_deadline {
            kinds.push(FaultKind::Drop(it()));
        } else if passage.reply_is_dropped || is_unheard {
            kinds.push(FaultKind::DropReply(it()));
        }
        let copies = self.flights.iter().filter(|(other, _)| other.copy > 0 && Parcel { copy: 0, ..**other } == parcel);
        let copies = copies.map(|(_, copy)| arrives(copy).unwrap_or(after_the_end).saturating_sub(copy.travel));
        let itself =
            passage.arrived.filter(|_| is_overtaken_by_its_deadline).map(|at| at.saturating_sub(passage.travel));
        kinds.extend(
            copies.chain(itself).map(|leaves| FaultKind::Duplicate { target: it(), delay_ms: Some(delay(leaves)) }),
        );
        let next = Parcel { attempt: parcel.attempt + 1, ..parcel };
        if passage.given_up.is_some() && !self.flights.contains_key(&next) {
            kinds.push(FaultKind::Delay { target: target(next.attempt), delay_ms: after_the_end });
        }
        kinds.into_iter().map(|kind| fault(0, kind)).collect()
    }
}

/// The message that an action is about.
fn parcel_of(action: Action) -> Option<Parcel> {
    match action {
        Action::Arrive(parcel) | Action::Answer(parcel) | Action::GiveUp(parcel) => Some(parcel),
        Action::Strike(_, parcel) => Some(parcel),
        _ => None,
    }
}

/// How long a request is on its way: one latency, and one more if the connection is yet to be made.
fn travel(is_connected: bool) -> u64 {
    if is_connected { LINK } else { 2 * LINK }
}

fn fault(at_ms: u64, kind: FaultKind) -> Fault {
    Fault::at(at_ms, kind)
}

/// The oldest write whose client waits.
fn oldest_waiting(state: &State) -> Option<usize> {
    let waiting = state.ghost.records.iter().enumerate().filter(|(_, record)| record.progress == Progress::Waiting);
    waiting.min_by_key(|(_, record)| record.accepted.map(|(_, write, _)| write)).map(|(place, _)| place)
}
