//! The yardstick: the race by a bare queue of events over the protocol's state machines, with the trace of what happens if
//! it is asked for. No faults, no connections, no batches: what one would write down in an afternoon.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use semisync::base::trace::{Event as Happened, Outcome, Record, Trace, WriteId, operation_name};
use semisync::base::{Epoch, FollowerId, FollowerSet, NodeId, Seed};
use semisync::core::{
    Applied, Completion, Configuration, Follower, Identity, Incarnation, Leader, LeaderConfig, LeaderId, Limits,
    Message, Output, Reply, Rules, Store, Stored, assemble,
};
use semisync::net::{MessageFaults, Netem, NetemConfig};

use semisync::sim::Race;
use semisync::sim::scenario::PlannedOperation;

/// How long a message takes over a link.
const LINK: Duration = Duration::from_millis(1);

/// What will happen. Events at the same time happen in the order in which they were put in.
enum Event {
    Begin(usize),
    Set(usize, PlannedOperation),
    Arrive(Message),
    Answer(Message, Reply),
    Return(usize, Completion),
}

struct Queued(Duration, u64, Event);

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

struct Simulation {
    now: Duration,
    queue: BinaryHeap<Reverse<Queued>>,
    pushed: u64,
    leader: Leader,
    followers: Vec<Follower>,
    netem: Netem,
    waiting: BTreeMap<WriteId, usize>,
    trace: Option<Trace>,
}

/// Runs the race to its end and returns what the leader stores, and the trace if it is to be recorded.
///
/// # Panics
/// If a replica differs in the end, or a write is not acknowledged.
pub fn run(race: &Race, record: bool) -> (Store, Option<Trace>) {
    let seed = Seed::new(race.seed);
    let (min, max) = race.delay_ms;
    let netem = NetemConfig { min_delay: Duration::from_millis(min), max_delay: Duration::from_millis(max) };
    let config = LeaderConfig {
        id: LeaderId(0),
        first_epoch: Epoch::FIRST,
        configuration: Configuration::of(race.followers, race.write_quorum),
        followers: FollowerSet::first(race.followers),
        repl_timeout: Duration::from_secs(5),
        limits: Limits::default(),
        seed,
        rules: Rules::SAFE,
    };
    let mut leader = Leader::new(config);
    let mut followers: Vec<Follower> =
        FollowerId::first(race.followers).map(|id| Follower::new(Incarnation::nth(id, 0), Rules::SAFE)).collect();
    assemble(&mut leader, |id, question, events| followers[id.index()].ask(question, events), |_, _| {});
    let mut simulation = Simulation {
        now: Duration::ZERO,
        queue: BinaryHeap::new(),
        pushed: 0,
        leader,
        followers,
        netem: Netem::new(netem, MessageFaults::default(), seed),
        waiting: BTreeMap::new(),
        trace: record.then(|| Trace::with_capacity(race.writes * 4 * (race.followers + 2))),
    };
    let plan = race.scenario().workload.plan(seed, race.followers);
    let mut clients: Vec<_> = plan.into_iter().map(|(client, operations)| (client, operations.into_iter())).collect();
    for client in 0..clients.len() {
        simulation.push(Duration::ZERO, Event::Begin(client));
    }
    while let Some(Reverse(Queued(due, _, event))) = simulation.queue.pop() {
        simulation.now = due;
        match event {
            Event::Begin(client) => {
                if let Some(operation) = clients[client].1.next() {
                    simulation.push(due + LINK, Event::Set(client, operation));
                }
            }
            Event::Set(client, operation) => {
                let value = semisync::base::Value::from_json(&format!("\"c{}#{}\"", client + 1, operation.number));
                let (node, value) = (clients[client].0, value.expect("a JSON string"));
                let name = operation_name(node, operation.number);
                simulation.record(node, || Happened::InvokeSet {
                    operation: operation.number,
                    target: NodeId::FIRST_SERVER,
                    key: operation.key.clone(),
                    value: value.clone(),
                    request_id: None,
                    if_version: None,
                });
                let set = simulation.leader.set(due, Some(name), operation.key.clone(), value.clone());
                let accepted = set.expect("versions are left");
                let (write, stamp) = (accepted.write, accepted.stamp);
                let value = Some(value);
                simulation.record(NodeId::FIRST_SERVER, || Happened::Accept {
                    write,
                    key: operation.key,
                    stamp,
                    value,
                    operation: None,
                    request_id: None,
                });
                simulation.waiting.insert(write, client);
                simulation.act();
            }
            Event::Arrive(message) => {
                let follower = &mut simulation.followers[message.to.index()];
                let stamp = message.stamp();
                let Identity { incarnation, standing } = follower.identity();
                let stored = match follower.replicate(LeaderId(0), message.key(), message.update.entry.clone()) {
                    Applied::Yes => stamp,
                    Applied::Stale { stored } => stored,
                    Applied::Fenced { .. } => panic!("there is one leader"),
                };
                simulation.record(message.to.into(), || {
                    let key = message.key().clone();
                    if stored == stamp {
                        Happened::Apply { request: None, key, stamp, value: message.value().cloned() }
                    } else {
                        Happened::Reject { request: None, key, stamp, stored }
                    }
                });
                let reply = Reply::Stored(Stored { stamp: stored, incarnation, standing });
                simulation.push(due + LINK, Event::Answer(message, reply));
            }
            Event::Answer(message, reply) => {
                simulation.record(NodeId::FIRST_SERVER, || reply.event(message.id()));
                simulation.leader.handle_reply(due, &message, reply);
                simulation.act();
            }
            Event::Return(client, completion) => {
                simulation.record(clients[client].0, || Happened::Return {
                    operation: completion.write,
                    outcome: Outcome::Ok,
                    stamp: Some(completion.stamp),
                    value: None,
                    confirmed: Some((completion.confirmations, completion.required)),
                });
                simulation.push(due, Event::Begin(client));
            }
        }
    }
    assert!(simulation.waiting.is_empty(), "every write is answered");
    let expected = simulation.leader.store();
    assert!(simulation.followers.iter().all(|follower| follower.store() == expected), "replicas differ");
    (expected.clone(), simulation.trace)
}

impl Simulation {
    fn push(&mut self, due: Duration, event: Event) {
        self.pushed += 1;
        self.queue.push(Reverse(Queued(due, self.pushed, event)));
    }

    fn record(&mut self, node: NodeId, event: impl FnOnce() -> Happened) {
        if let Some(trace) = &mut self.trace {
            trace.push(Record { at: self.now.into(), node, incarnation: 0, event: event() });
        }
    }

    fn act(&mut self) {
        while let Some(output) = self.leader.poll_output() {
            match output {
                Output::Send(message) => {
                    let id = message.id();
                    let fate = self.netem.fate(self.now, NodeId::FIRST_SERVER, id, message.update.operation);
                    let (delay, lost) = (fate.delay.into(), fate.loss);
                    self.record(NodeId::FIRST_SERVER, || Happened::Send { message: id, delay, lost, copy: None });
                    self.push(self.now + fate.delay + LINK, Event::Arrive(message));
                }
                // Whether followers are there is not asked here.
                Output::Ask(_) | Output::Tell(_) | Output::Reconnect(_) | Output::Read(..) => {}
                Output::Complete(completion) => {
                    let (write, ok, confirmations) = (completion.write, completion.ok, completion.confirmations);
                    assert!(ok, "no write misses its quorum");
                    self.record(NodeId::FIRST_SERVER, || Happened::Complete { write, ok, confirmations });
                    if let Some(client) = self.waiting.remove(&write) {
                        self.push(self.now + LINK, Event::Return(client, completion));
                    }
                }
            }
        }
    }
}
