//! The clients: each does one operation after another.

use std::collections::BTreeMap;
use std::time::Duration;
use std::vec;

use super::client_links::Direction;
use super::network::{Machine, Passage};
use super::queue::{At, CallId, ClientIndex, Event};
use super::world::World;
use crate::base::trace::{Event as Happened, Micros, Outcome, operation_name};
use crate::base::{Key, NodeId, NodeRef, ReadMode, Stamp, Value};
use crate::core::{Completion, Readable, Standing, Terms};
use crate::node;
use crate::sim::engine::story;
use crate::sim::scenario::{OperationName, PlannedKind, PlannedOperation};

/// A client, and what it has still to do.
#[derive(Debug)]
pub(super) struct ClientHost {
    pub(super) id: NodeId,
    todo: vec::IntoIter<PlannedOperation>,
    is_prober: bool,
    /// After how long it hangs up on which of its operations.
    hangs_up: BTreeMap<u64, Duration>,
    /// How many calls it has made.
    calls: u32,
    current: Option<Call>,
}

/// The operation that a client is at.
#[derive(Debug)]
struct Call {
    number: u64,
    target: NodeId,
    /// Of a call to a leader: where that runs.
    machine: Machine,
    kind: PlannedKind,
    key: Key,
    /// What it writes, if it is to set the key.
    value: Option<Value>,
    /// The operation that the write is named after, if it has a name by which the leader knows it again.
    request: Option<OperationName>,
    /// The version that the write requires.
    if_version: Option<u64>,
    /// What comes back to the client, once it is on its way.
    answer: Option<Answer>,
    /// How often its link had been cut, in that direction, when the call or its answer was sent.
    cuts: u32,
    /// Whether it has reached its node.
    has_arrived: bool,
}

/// What becomes of an operation.
#[derive(Debug)]
pub(super) struct Answer {
    outcome: Outcome,
    stamp: Option<Stamp>,
    value: Option<Value>,
    confirmed: Option<(usize, usize)>,
}

impl Call {
    /// Whether it goes to this node, which is a leader if it has a machine.
    fn goes_to(&self, node: NodeId, machine: Option<Machine>) -> bool {
        match machine {
            Some(machine) => self.target.can_lead() && self.machine == machine,
            None => self.target == node,
        }
    }
}

impl Answer {
    const UNKNOWN: Self = Self { outcome: Outcome::Unknown, stamp: None, value: None, confirmed: None };
    pub(super) const FAILED: Self = Self { outcome: Outcome::Failed, stamp: None, value: None, confirmed: None };
}

impl ClientHost {
    pub(super) fn new(
        id: NodeId,
        operations: Vec<PlannedOperation>,
        disconnects: &BTreeMap<OperationName, Duration>,
    ) -> Self {
        let own = disconnects.iter().filter(|(name, _)| NodeId::Client(name.client) == id);
        let hangs_up = own.map(|(name, after)| (name.number, *after)).collect();
        Self { id, todo: operations.into_iter(), is_prober: false, hangs_up, calls: 0, current: None }
    }

    /// The client that writes once everything is healed.
    pub(super) fn prober(id: NodeId) -> Self {
        let key = Key::new(story::PROBED_KEY).expect("a short name");
        let probe = |number| PlannedOperation {
            number,
            at_ms: 0,
            think_ms: 0,
            kind: PlannedKind::Set,
            key: key.clone(),
            request: None,
            if_version: None,
        };
        let operations = (1..=story::PROBES).map(probe).collect();
        Self { is_prober: true, ..Self::new(id, operations, &BTreeMap::new()) }
    }

    /// How many operations it has still to do.
    pub(super) fn left(&self) -> usize {
        self.todo.len()
    }

    fn written(&self, number: u64, request: Option<OperationName>) -> Value {
        let json = match self.id {
            _ if let Some(named_after) = request => story::written_value(named_after),
            NodeId::Client(client) if !self.is_prober => story::written_value(OperationName { client, number }),
            _ => story::probed_value(number),
        };
        Value::from_json(&json).expect("what is written is JSON")
    }
}

impl World {
    /// A client has time for its next operation, if there is one.
    pub(super) fn next_operation(&mut self, client: ClientIndex) {
        match self.clients[client as usize].todo.as_slice().first() {
            None => self.busy_clients -= 1,
            Some(_) if self.chooses() => self.offer_operation(client),
            Some(operation) => {
                let at = self.now.max(operation.at_ms * 1000) + operation.think_ms * 1000;
                self.queue.push(at, Event::Begin(client));
            }
        }
    }

    pub(super) fn begin_operation(&mut self, client: ClientIndex) {
        let host = &mut self.clients[client as usize];
        let Some(PlannedOperation { number, kind, key, request, if_version, .. }) = host.todo.next() else { return };
        host.calls += 1;
        let call = CallId { client, ordinal: host.calls };
        let (id, operation) = (host.id, number);
        let target = kind.target();
        let hangs_up = host.hangs_up.get(&number).copied();
        let called = match target {
            NodeRef::Leader | NodeRef::Former => {
                self.loyal.get(&id).copied().filter(|machine| self.leaders[*machine].up)
            }
            NodeRef::Node(node) => self.machine_of(node),
        };
        let machine = called.unwrap_or(self.present());
        let target = match target {
            NodeRef::Leader | NodeRef::Former => Self::name_of(machine),
            NodeRef::Node(node) => node,
        };
        let request_id = request.map(story::request_name);
        let mut value = None;
        let event = match kind {
            PlannedKind::Set => {
                let written = self.clients[client as usize].written(number, request);
                value = Some(written.clone());
                Happened::InvokeSet { operation, target, key: key.clone(), value: written, request_id, if_version }
            }
            PlannedKind::Delete => {
                Happened::InvokeDelete { operation, target, key: key.clone(), request_id, if_version }
            }
            PlannedKind::Get { mode, .. } => Happened::InvokeGet { operation, target, key: key.clone(), mode },
        };
        self.clients[client as usize].current = Some(Call {
            number,
            target,
            machine,
            kind,
            key,
            value,
            request,
            if_version,
            answer: None,
            cuts: 0,
            has_arrived: false,
        });
        self.trace.push(self.now, id, 0, event);
        self.call_deadlines.push_back((self.now + self.call_deadline, call));
        self.send_over_client_link(call, Direction::Call);
        // After the call, which at the same time arrives first.
        if let Some(after) = hangs_up {
            self.queue.push(self.now + after.as_micros() as At, Event::HangUp(call));
        }
    }

    /// Whether a client waits for what becomes of this call, and that is not yet on its way.
    fn is_unanswered(&self, call: CallId) -> bool {
        self.is_waiting(call)
            && self.clients[call.client as usize].current.as_ref().is_some_and(|current| current.answer.is_none())
    }

    pub(super) fn is_waiting(&self, call: CallId) -> bool {
        let host = &self.clients[call.client as usize];
        host.current.is_some() && host.calls == call.ordinal
    }

    /// Sends a call, or the answer to it. A lost message is not sent again: its client gives up at its deadline.
    fn send_over_client_link(&mut self, call: CallId, direction: Direction) {
        let host = &mut self.clients[call.client as usize];
        let (client, Some(current)) = (host.id, &mut host.current) else { return };
        match self.client_links.send(client, current.target, direction) {
            Passage::Lost => {}
            Passage::Takes { latency, cuts } => {
                current.cuts = cuts;
                let event = if direction == Direction::Call { Event::Call(call) } else { Event::Answer(call) };
                self.queue.push_transit(self.now + latency, event);
            }
        }
    }

    /// Whether the link was not cut while a call, or the answer to it, was in transit.
    fn has_come_through(&self, call: CallId, direction: Direction) -> bool {
        let host = &self.clients[call.client as usize];
        let arrives = |current: &Call| self.client_links.has_arrived(host.id, current.target, direction, current.cuts);
        host.current.as_ref().is_some_and(arrives)
    }

    /// A call reaches its node. One that is down refuses it once it is up; one that is paused deals with it once
    /// it goes on.
    pub(super) fn call(&mut self, call: CallId) {
        if !self.is_unanswered(call) {
            return;
        }
        let has_arrived =
            self.clients[call.client as usize].current.as_ref().is_some_and(|current| current.has_arrived);
        if !has_arrived && !self.has_come_through(call, Direction::Call) {
            return;
        }
        if let Some(current) = &mut self.clients[call.client as usize].current {
            current.has_arrived = true;
        }
        let host = &self.clients[call.client as usize];
        let Some(current) = &host.current else { return };
        let machine = current.machine;
        let inbox = match current.target {
            NodeId::Follower(follower) => {
                let host = &mut self.followers[follower.index()];
                if !host.up {
                    return host.calls.push(call);
                }
                host.inbox_if_paused()
            }
            _ if !self.leaders[machine].up => return self.leaders[machine].calls.push(call),
            _ => self.leaders[machine].inbox_if_paused(),
        };
        if let Some(inbox) = inbox {
            return inbox.push(Event::Call(call));
        }
        let (client, number, key) = (host.id, current.number, current.key.clone());
        let (request, if_version) = (current.request, current.if_version);
        if !matches!(current.target, NodeId::Follower(_)) && !self.leaders[machine].state.serves() {
            return self.park(machine, call);
        }
        match (current.kind, current.target) {
            (PlannedKind::Set | PlannedKind::Delete, _) => {
                let value = current.value.clone();
                let operation = Some(operation_name(client, number));
                let terms = Terms { operation, request: request.map(story::request_name), if_version };
                self.write(machine, call, terms, key, value);
            }
            (PlannedKind::Get { .. }, NodeId::Follower(follower)) => {
                let follower = &self.followers[follower.index()].state;
                match follower.identity().standing {
                    Standing::Normal => self.answer_read(call, follower.get(&key).cloned()),
                    Standing::Recovering => self.send_answer(call, Answer::FAILED),
                }
            }
            (PlannedKind::Get { mode, .. }, _) => match mode {
                ReadMode::Local => self.answer_read(call, self.leaders[machine].state.store().get(&key).cloned()),
                ReadMode::Committed => self.answer_read(call, self.leaders[machine].state.committed(&key).cloned()),
                ReadMode::Linearizable => self.read_when_sure(machine, call),
            },
        }
    }

    /// A call waits for the leader to serve, for some time.
    fn park(&mut self, machine: Machine, call: CallId) {
        let until = self.leaders[machine].clock.show(self.now) + node::START_PATIENCE.as_micros() as At;
        self.leaders[machine].parked.push_back((until, call));
        self.leaders[machine].arrange_wake_up();
    }

    /// Calls that have waited for the leader to serve for so long are refused.
    pub(super) fn refuse_parked_calls(&mut self, machine: Machine, now: At) {
        while let Some((_, call)) = self.leaders[machine].parked.pop_front_if(|(until, _)| *until <= now) {
            if self.is_unanswered(call) {
                self.send_answer(call, Answer::FAILED);
            }
        }
    }

    /// A read waits until the leader knows that there is no other.
    fn read_when_sure(&mut self, machine: Machine, call: CallId) {
        let now = self.leaders[machine].shown_at(self.now);
        match self.leaders[machine].state.begin_read(now) {
            Ok(read) => {
                self.leaders[machine].reading.insert(read, call);
                self.act(machine);
                self.leaders[machine].arrange_wake_up();
            }
            Err(_) => self.send_answer(call, Answer::FAILED),
        }
    }

    /// A read that waited is answered.
    pub(super) fn answer_waiting_read(&mut self, machine: Machine, call: CallId, readable: Readable) {
        let key = self.clients[call.client as usize].current.as_ref().map(|current| current.key.clone());
        match (readable, key) {
            (Readable::Yes, Some(key)) if self.is_unanswered(call) => {
                let found = self.leaders[machine].state.committed(&key).cloned();
                self.answer_read(call, found);
            }
            _ => self.send_answer(call, Answer::FAILED),
        }
    }

    /// A write reaches the leader; without a value it deletes the key.
    fn write(&mut self, machine: Machine, call: CallId, terms: Terms, key: Key, value: Option<Value>) {
        let leader = &mut self.leaders[machine];
        let now = leader.shown_at(self.now);
        match leader.state.write(now, &terms, key.clone(), value.clone()) {
            Ok(accepted) => {
                let event = accepted.event(terms, key, value);
                self.record_of_leader(machine, event);
                self.leaders[machine].waiting.push(accepted.write, call);
                self.act(machine);
                self.leaders[machine].arrange_wake_up();
            }
            Err(_) => self.send_answer(call, Answer::FAILED),
        }
    }

    pub(super) fn answer_write(&mut self, call: CallId, completion: &Completion) {
        let outcome = if completion.ok { Outcome::Ok } else { Outcome::Unknown };
        let confirmed = Some((completion.confirmations, completion.required));
        self.send_answer(call, Answer { outcome, stamp: Some(completion.stamp), value: None, confirmed });
    }

    fn answer_read(&mut self, call: CallId, found: Option<crate::core::Entry>) {
        let answer = match found {
            Some(entry) => {
                Answer { outcome: Outcome::Ok, stamp: Some(entry.stamp), value: entry.value, confirmed: None }
            }
            None => Answer { outcome: Outcome::Absent, stamp: None, value: None, confirmed: None },
        };
        self.send_answer(call, answer);
    }

    pub(super) fn send_answer(&mut self, call: CallId, answer: Answer) {
        if !self.is_unanswered(call) {
            return;
        }
        if let Some(current) = &mut self.clients[call.client as usize].current {
            current.answer = Some(answer);
            self.send_over_client_link(call, Direction::Answer);
        }
    }

    /// What came of a call reaches its client.
    pub(super) fn answer(&mut self, call: CallId) {
        let is_waiting = self.is_waiting(call) && self.has_come_through(call, Direction::Answer);
        let host = &mut self.clients[call.client as usize];
        if is_waiting && let Some(current) = &mut host.current {
            let answer = current.answer.take().expect("it is on its way only once it is known");
            let number = current.number;
            host.current = None;
            self.return_to(call.client, number, answer);
        }
    }

    /// A client has waited for long enough.
    pub(super) fn give_up_call(&mut self, call: CallId) {
        if let Some(current) = self.clients[call.client as usize].current.take() {
            let answer = if current.kind.is_write() { Answer::UNKNOWN } else { Answer::FAILED };
            self.return_to(call.client, current.number, answer);
        }
    }

    /// A client hangs up, and learns nothing of what becomes of its call. One that has reached its node goes on without it.
    pub(super) fn hang_up(&mut self, call: CallId) {
        if !self.is_waiting(call) {
            return;
        }
        let host = &mut self.clients[call.client as usize];
        let (Some(current), NodeId::Client(client)) = (&host.current, host.id) else { return };
        let name = OperationName { client, number: current.number };
        let number = name.number;
        for place in self.plan.disconnects_of(name) {
            self.strikes.record(place, Micros(self.now), Ok(()));
        }
        self.record_fault(story::hang_up(name));
        self.clients[call.client as usize].current = None;
        self.return_to(call.client, number, Answer::UNKNOWN);
    }

    fn return_to(&mut self, client: ClientIndex, operation: u64, answer: Answer) {
        let Answer { outcome, stamp, value, confirmed } = answer;
        let id = self.clients[client as usize].id;
        self.trace.push(self.now, id, 0, Happened::Return { operation, outcome, stamp, value, confirmed });
        self.next_operation(client);
    }

    /// The connections of clients to a node that was killed end: it will not answer.
    pub(super) fn break_calls_to(&mut self, node: NodeId) {
        let machine = self.machine_of(node);
        for client in 0..self.clients.len() {
            let host = &self.clients[client];
            let call = CallId { client: client as ClientIndex, ordinal: host.calls };
            if host.current.as_ref().is_some_and(|current| current.goes_to(node, machine)) && self.is_unanswered(call) {
                let is_write = self.clients[client].current.as_ref().is_some_and(|current| current.kind.is_write());
                self.send_answer(call, if is_write { Answer::UNKNOWN } else { Answer::FAILED });
            }
        }
    }
}
