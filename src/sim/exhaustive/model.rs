use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stateright::{Model, Property as Condition};

use super::action::{Action, Fate};
use super::memory::Memory;
use super::scope::{Budgeted, JUDGED, LOSABLE, MessageFault, Scope};
use super::state::{Flight, Progress, Record, Stage, State};
use super::step::{Step, Tale};
use crate::base::{FollowerId, NodeId, NodeRef};
use crate::check::Property;
use crate::core::{Leader, Promise, Timer};
use crate::sim::scenario::{OperationName, PlannedKind, Target};
use crate::sim::shrink::Goal;

/// A scope as stateright searches it.
#[derive(Debug)]
pub struct Exhaustive {
    pub(super) scope: Scope,
    /// Set to end a search: no state has successors any more.
    pub(super) stopped: AtomicBool,
    /// Whether any run came to rest: some properties are judged there only.
    pub(super) rested: AtomicBool,
    /// The properties that were found violated, and then those that were found lost. stateright keeps the last violation that it
    /// is told of, and the first is the shortest.
    found: [AtomicBool; JUDGED.len() + LOSABLE.len()],
}

impl Exhaustive {
    /// The model of this scope.
    pub fn new(scope: Scope) -> Self {
        Self { scope, stopped: AtomicBool::new(false), rested: AtomicBool::new(false), found: Default::default() }
    }

    /// The step that an action takes, told for a person.
    pub(super) fn told(&self, state: &State, action: Action) -> (State, Tale) {
        let mut step = Step::from(&self.scope, state, Some(Tale::default()));
        step.take(action);
        (step.state, step.tale.unwrap_or_default())
    }

    /// What can be done in this state.
    pub(super) fn enabled(&self, state: &State, actions: &mut Vec<Action>) {
        state.progress(&self.scope, actions);
        state.faults(&self.scope, actions);
    }
}

impl Model for Exhaustive {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::first(&self.scope)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if !self.stopped.load(Ordering::Relaxed) {
            self.enabled(state, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut step = Step::from(&self.scope, state, None);
        step.take(action);
        if step.rests {
            self.rested.store(true, Ordering::Relaxed);
        }
        Some(step.state)
    }

    fn properties(&self) -> Vec<Condition<Self>> {
        let conditions: [fn(&Self, &State) -> bool; JUDGED.len()] =
            [holds::<0>, holds::<1>, holds::<2>, holds::<3>, holds::<4>, holds::<5>, holds::<6>, holds::<7>];
        let violated = JUDGED.into_iter().map(Goal::Violates).zip(conditions);
        let conditions: [fn(&Self, &State) -> bool; LOSABLE.len()] = [is_kept::<0>, is_kept::<1>];
        let all = violated.chain(LOSABLE.into_iter().map(Goal::Loses).zip(conditions));
        all.map(|(goal, holds)| Condition::always(condition(goal), holds)).collect()
    }

    fn format_action(&self, action: &Action) -> String {
        self.describe(*action)
    }

    fn format_step(&self, state: &State, action: Action) -> Option<String> {
        let (next, tale) = self.told(state, action);
        let evidence = tale.evidence.iter().map(|(goal, what)| match goal {
            Goal::Violates(property) => format!("VIOLATES {property}: {what}"),
            Goal::Loses(property) => format!("LOSES {property}: {what}"),
        });
        let lines: Vec<String> = tale.clauses.iter().cloned().chain(evidence).collect();
        Some(format!("{}\n\n{next:?}", lines.join("\n")))
    }
}

/// Whether the property in this place is not violated here, or was so before.
fn holds<const PLACE: usize>(model: &Exhaustive, state: &State) -> bool {
    !state.ghost.violated.has(JUDGED[PLACE]) || model.found[PLACE].swap(true, Ordering::Relaxed)
}

/// Whether nothing of the property in this place is lost here, or was so before.
fn is_kept<const PLACE: usize>(model: &Exhaustive, state: &State) -> bool {
    !state.ghost.lost.has(LOSABLE[PLACE]) || model.found[JUDGED.len() + PLACE].swap(true, Ordering::Relaxed)
}

/// The name by which stateright tells what is searched for.
pub(super) fn condition(goal: Goal) -> &'static str {
    match goal {
        Goal::Violates(property) => property.name(),
        Goal::Loses(Property::Linearizability) => "linearizability is not lost",
        Goal::Loses(_) => "durability is not lost",
    }
}

impl State {
    /// What can happen without a fault.
    fn progress(&self, scope: &Scope, actions: &mut Vec<Action>) {
        if self.leader.is_none() {
            actions.push(Action::Restart(NodeId::FIRST_SERVER));
            // Whatever can happen before that can happen before what it asks then arrives.
            if scope.is_reduced() {
                return;
            }
        }
        actions
            .extend(scope.clients.iter().filter_map(|client| self.next_operation(scope, client)).map(Action::Invoke));
        for (to, site) in self.followers() {
            for flight in &site.flights {
                let parcel = flight.parcel;
                match flight.stage {
                    Stage::OnTheWay | Stage::Orphan if site.memory.is_some() => actions.push(Action::Arrive(parcel)),
                    Stage::Answered { .. } => actions.push(Action::Answer(parcel)),
                    _ => {}
                }
                let may_end = flight.stage == Stage::Doomed || flight.late || flight.frail;
                if may_end && flight.stage != Stage::Orphan {
                    actions.push(Action::GiveUp(parcel));
                }
            }
            if let Some(interview) = &site.interview {
                match (&interview.answer, &site.memory) {
                    (None, Some(_)) => actions.push(Action::Question(to)),
                    (Some(_), _) => actions.push(Action::Heard(to)),
                    (None, None) => {}
                }
                if interview.frail {
                    actions.push(Action::Unheard(to));
                }
            }
            if site.memory.is_some() {
                actions.extend((0..site.strays.len()).map(|stray| Action::Stray(to, stray)));
            }
            if site.memory.is_none() {
                actions.push(Action::Restart(to.into()));
            }
        }
        let Some(leader) = &self.leader else { return };
        for (timer, _) in leader.timers() {
            match timer {
                Timer::Deadline if self.deadline_may_pass() => actions.push(Action::Deadline),
                // A round to a node that is down would be lost as a whole, and the next one is like it.
                Timer::Resend(to) if self.site(to).memory.is_some() => actions.push(Action::Resend(to)),
                Timer::Ask(to) if self.is_news_of(leader, to) => actions.push(Action::Ask(to)),
                _ => {}
            }
        }
    }

    /// Whether a question to a follower, which is up, would tell the leader anything. One to a node that is down would be
    /// lost, and the next one is like it.
    fn is_news_of(&self, leader: &Leader, to: FollowerId) -> bool {
        let Some(memory) = &self.site(to).memory else { return false };
        let mine = Promise { epoch: leader.epoch(), leader: leader.id() };
        let stands = memory.follower.promised() == mine;
        let differs = !memory.follower.store().shows_the_same_as(leader.store());
        // Stores are compared where nothing else is left to do.
        let is_quiet = || leader.backlog(to) == (0, 0);
        if differs && leader.rules().resend_missed && is_quiet() {
            return true;
        }
        leader.wants_to_ask(to) || !stands || leader.knows(to) != Some(memory.follower.identity())
    }

    /// The faults that can strike.
    fn faults(&self, scope: &Scope, actions: &mut Vec<Action>) {
        if self.leader.is_none() && scope.is_reduced() {
            return;
        }
        for (place, fault) in scope.faults.iter().enumerate() {
            let is_next = self.is_next(scope, place);
            match fault {
                _ if !is_next => {}
                Budgeted::Crash(NodeId::Follower(id)) => {
                    if self.site(*id).memory.is_some() {
                        actions.push(Action::Crash((*id).into()));
                    }
                }
                Budgeted::Crash(node) => {
                    if self.leader.is_some() {
                        actions.push(Action::Crash(*node));
                    }
                }
                Budgeted::Message(kind, target) => {
                    for flight in self.sites.iter().flat_map(|site| &site.flights) {
                        let is_target = is_meant(target, scope.operations[flight.parcel.operation].name, flight);
                        let fate = fate(*kind, place, flight).filter(|_| is_target);
                        actions.extend(fate.map(|fate| Action::Strike(fate, flight.parcel)));
                    }
                }
            }
        }
    }

    /// Whether this fault has not struck, and of others that are just the same all before it have.
    fn is_next(&self, scope: &Scope, place: usize) -> bool {
        let is_left = |place: usize| self.spent >> place & 1 == 0;
        is_left(place) && !(0..place).any(|other| is_left(other) && scope.faults[other] == scope.faults[place])
    }

    /// The crash of this node that is next, by its place among the faults.
    pub(super) fn next_crash(&self, scope: &Scope, node: NodeId) -> Option<usize> {
        let of_node = |place: &usize| scope.faults[*place] == Budgeted::Crash(node);
        (0..scope.faults.len()).find(|place| of_node(place) && self.is_next(scope, *place))
    }

    /// What a client with these operations does next, if it waits for nothing and the node that it asks is up.
    fn next_operation(&self, scope: &Scope, of_client: &Range<usize>) -> Option<usize> {
        let next = of_client.clone().find(|place| self.ghost.records[*place].progress != Progress::Done)?;
        if next == of_client.start && !self.may_begin(scope, of_client) {
            return None;
        }
        let is_up = match scope.operations[next].kind {
            PlannedKind::Get { from: NodeRef::Node(NodeId::Follower(id)), .. } => {
                self.site(id).memory.as_ref().is_some_and(Memory::remembers)
            }
            PlannedKind::Get { .. } | PlannedKind::Set | PlannedKind::Delete => {
                self.leader.as_ref().is_some_and(|leader| leader.serves())
            }
        };
        (is_up && self.ghost.records[next].progress == Progress::NotYet).then_some(next)
    }

    /// Whether the client is the first of those that are alike and have not begun. Which of them comes first does not matter.
    fn may_begin(&self, scope: &Scope, of_client: &Range<usize>) -> bool {
        let has_begun = |client: &Range<usize>| self.ghost.records[client.start].progress != Progress::NotYet;
        let before = scope.clients.iter().take_while(|client| client.start < of_client.start);
        before.filter(|client| scope.are_alike(client, of_client)).all(has_begun)
    }

    /// Whether the deadline of the oldest write that waits can come. Its first deliveries are answered before, unless one
    /// of them was lost, or is late, or is to a node that was down.
    fn deadline_may_pass(&self) -> bool {
        let is_waiting = |record: &Record| record.progress == Progress::Waiting && record.accepted.is_some();
        let waiting = self.ghost.records.iter().enumerate().filter(|(_, record)| is_waiting(record));
        let Some((oldest, _)) = waiting.min_by_key(|(_, record)| record.accepted.map(|(_, write, _)| write)) else {
            return true;
        };
        let in_time = |flight: &Flight| {
            let is_heard = matches!(flight.stage, Stage::OnTheWay | Stage::Answered { .. });
            flight.parcel.operation == oldest && flight.first && is_heard && !flight.late && !flight.frail
        };
        !self.sites.iter().any(|site| site.flights.iter().any(in_time))
    }

    /// Whether nothing is left to do but what faults may bring.
    pub(super) fn is_at_rest(&self, scope: &Scope) -> bool {
        let is_quiet = self.sites.iter().all(|site| {
            // What nobody waits for may never arrive.
            let is_over = site.flights.iter().all(|flight| flight.stage == Stage::Orphan);
            is_over && site.memory.is_some() && site.interview.is_none()
        });
        if !is_quiet || self.leader.is_none() {
            return false;
        }
        let mut left = Vec::new();
        self.progress(scope, &mut left);
        left.iter().all(|action| match action {
            // Of what nobody waits for; anything else would not be at rest.
            Action::Arrive(_) | Action::Stray(..) => true,
            Action::Resend(to) => self.sends_nothing(*to),
            _ => false,
        })
    }

    /// Whether the next round to this follower would be empty.
    fn sends_nothing(&self, to: FollowerId) -> bool {
        let Some(leader) = &self.leader else { return true };
        let mut leader = leader.as_ref().clone();
        leader.fire(Duration::ZERO, Timer::Resend(to));
        leader.poll_output().is_none()
    }
}

/// Whether a fault is meant for this message. Those that are sent along with another are spared.
fn is_meant(target: &Target, name: OperationName, flight: &Flight) -> bool {
    flight.parcel.copy == 0
        && target.operation.is_none_or(|operation| operation == name)
        && target.to.is_none_or(|to| to == flight.parcel.to.into())
        && target.attempt.is_none_or(|attempt| attempt == flight.parcel.attempt)
}

/// What a fault of this kind can do to this message now.
fn fate(kind: MessageFault, place: usize, flight: &Flight) -> Option<Fate> {
    let on_the_way = flight.stage == Stage::OnTheWay;
    match kind {
        MessageFault::Drop => on_the_way.then_some(Fate::Drop(place)),
        MessageFault::DropReply => matches!(flight.stage, Stage::Answered { .. }).then_some(Fate::DropReply(place)),
        MessageFault::Duplicate => on_the_way.then_some(Fate::Duplicate(place)),
        MessageFault::Late => (on_the_way && !flight.late).then_some(Fate::Late(place)),
    }
}
