use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::chooser::Chooser;
use super::client_links::ClientLinks;
use super::clients::ClientHost;
use super::exchange::Exchanges;
use super::follower::FollowerHost;
use super::leader::LeaderHost;
use super::network::{Machine, Network};
use super::queue::{At, CallId, Event, Queue};
use super::record::Recorder;
use crate::base::trace::{Event as Happened, Micros};
use crate::base::{FollowerId, NodeId, NodeRef, Seed};
use crate::core::{Parcel, Reply, assemble};
use crate::sim::engine::story;
use crate::sim::engine::story::FaultPlan;
use crate::sim::engine::strikes::Strikes;
use crate::sim::engine::triggers::Triggers;
use crate::sim::scenario::{ClusterSpec, Scenario};

/// A cluster, its clients, the network between them and what is to happen to them.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: At,
    pub(super) queue: Queue,
    pub(super) trace: Recorder,
    pub(super) network: Network,
    /// By their machines: `n1`, `n2`, …. The last is the present leader.
    pub(super) leaders: Vec<LeaderHost>,
    /// The clients that still call a leader before the present one, with its machine.
    pub(super) loyal: BTreeMap<NodeId, Machine>,
    pub(super) followers: Vec<FollowerHost>,
    /// To whose machine each follower's name leads.
    pub(super) names: Vec<FollowerId>,
    pub(super) exchanges: Exchanges,
    pub(super) clients: Vec<ClientHost>,
    /// How many clients have not done all that they are to do.
    pub(super) busy_clients: usize,
    /// When which calls are given up; in order, for it is the same time after each began.
    pub(super) call_deadlines: VecDeque<(At, CallId)>,
    pub(super) call_deadline: At,
    /// The usual latency of a link.
    pub(super) latency: At,
    pub(super) client_links: ClientLinks,
    pub(super) plan: FaultPlan,
    /// How much of what happens at a time has happened, and when.
    pub(super) struck: usize,
    pub(super) struck_at: Vec<At>,
    /// How many faults of nodes and links are still to strike whose event has come.
    pub(super) about_to_strike: usize,
    /// Which faults struck.
    pub(super) strikes: Strikes,
    /// Who decides what is next, where it is not time alone.
    pub(super) chooser: Option<Chooser>,
    pub(super) messages_offered: u64,
    /// Kept for their memory; empty between one event and the next.
    pub(super) batch: Vec<Parcel>,
    pub(super) replies: Vec<Reply>,
}

impl World {
    /// The cluster of a scenario before anything has happened.
    pub(super) fn new(scenario: &Scenario, returned: Arc<AtomicUsize>) -> Self {
        let seed = Seed::new(scenario.seed);
        let cluster = &scenario.cluster;
        let &ClusterSpec { followers, write_quorum, delay_ms: [min, max], window, .. } = cluster;
        let repl_timeout = Duration::from_millis(cluster.repl_timeout_ms);
        // turmoil, which this must agree with, rounds a link's latency up to its tick.
        let latency_ms = cluster.link_ms.max(cluster.tick_ms);
        let micros = |ms: u64| Duration::from_millis(ms).into();
        let workload = scenario.workload.plan(seed, followers);
        let operations: usize = workload.iter().map(|(_, operations)| operations.len()).sum();
        // A write is invoked, accepted, completed and returned, and to each follower sent, dispatched, applied and confirmed.
        let mut trace = Recorder::new(operations * 4 * (followers + 2), returned);
        let described = Happened::Cluster {
            followers,
            write_quorum,
            repl_timeout: repl_timeout.into(),
            delay: (micros(min), micros(max)),
            link: micros(latency_ms),
            window,
            spares: cluster.spares,
        };
        trace.push(0, NodeId::Network, 0, described);
        let plan = FaultPlan::of(scenario);
        let mut leader = LeaderHost::new(cluster, seed, Arc::clone(&plan.messages));
        let mut hosts: Vec<FollowerHost> =
            FollowerId::first(cluster.all_followers()).map(|id| FollowerHost::new(id, cluster.rules.rules())).collect();
        // A cluster whose links are too slow for its timeout has not come up when the first client calls: the first request
        // of its leader is given up before the response arrives. In turmoil, which this must agree with, that takes three
        // latencies, one of them to connect.
        let comes_up = 3 * latency_ms < cluster.repl_timeout_ms;
        if comes_up {
            assemble(
                &mut leader.state,
                |id, question, events| hosts[id.index()].state.ask(question, events),
                |node, event| trace.push(0, node, 0, event),
            );
            leader.connect();
        }
        leader.look_at_state();
        leader.arrange_wake_up();
        let disconnects = story::disconnects(scenario);
        let clients: Vec<ClientHost> = workload
            .into_iter()
            .map(|(client, operations)| ClientHost::new(client, operations, &disconnects))
            .collect();
        let call_deadline = story::client_deadline(repl_timeout, Duration::from_millis(latency_ms));
        let mut world = Self {
            now: 0,
            queue: Queue::default(),
            trace,
            network: Network::new(cluster.all_followers(), latency_ms * 1000),
            leaders: vec![leader],
            loyal: BTreeMap::new(),
            followers: hosts,
            names: FollowerId::first(cluster.all_followers()).collect(),
            exchanges: Exchanges::default(),
            busy_clients: clients.len(),
            clients,
            call_deadlines: VecDeque::new(),
            call_deadline: call_deadline.as_micros() as At,
            latency: latency_ms * 1000,
            client_links: ClientLinks::new(latency_ms * 1000),
            plan,
            struck: 0,
            struck_at: Vec::new(),
            about_to_strike: 0,
            strikes: Strikes::default(),
            chooser: None,
            messages_offered: 0,
            batch: Vec::new(),
            replies: Vec::new(),
        };
        world.trace.watch(Triggers::of(scenario));
        if !comes_up {
            world.act(0);
            world.leaders[0].arrange_wake_up();
        }
        world
    }

    /// Lets things happen while `go_on` says so and up to this time. False if nothing is left that could happen by then.
    pub(super) fn run(&mut self, until: At, go_on: impl Fn(&Self) -> bool) -> bool {
        while go_on(self) {
            if !self.step(until) {
                return false;
            }
        }
        true
    }

    /// Lets happen what is next, if that is due by this time. False if nothing is.
    fn step(&mut self, until: At) -> bool {
        // Of those at the same time the first: what comes from outside before what a node does by itself.
        let (leader, machine) = self.next_wake_up();
        loop {
            let given_up = self.call_deadlines.front().map_or(At::MAX, |(due, _)| *due);
            let by_itself = leader.min(given_up);
            if let Some((due, event)) = self.queue.pop_by(by_itself.min(until)) {
                self.advance(due);
                self.happen(event);
                self.arrange_triggered();
                return true;
            }
            if by_itself > until {
                return false;
            }
            if leader <= given_up {
                self.advance(leader);
                self.leader_wakes(machine);
                self.arrange_triggered();
                return true;
            }
            if let Some((due, call)) = self.call_deadlines.pop_front().filter(|(_, call)| self.is_waiting(*call)) {
                self.advance(due);
                self.give_up_call(call);
                return true;
            }
        }
    }

    /// What was due while a node was paused, or its clock late, happens now.
    fn advance(&mut self, due: At) {
        self.now = self.now.max(due);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Begin(client) => self.begin_operation(client),
            Event::Call(call) => self.call(call),
            Event::Answer(call) => self.answer(call),
            Event::HangUp(call) => self.hang_up(call),
            Event::Connect(id) => self.connect(id),
            Event::Connected(id) => self.connected(id),
            Event::Request(id) => self.request(id),
            Event::Reply(id) => self.reply(id),
            Event::Reset(id) => self.reset(id),
            Event::Refused(id) => self.refused(id),
            Event::Ended { ends, life } => self.life_ended(ends, life),
            Event::Closed { machine, name } => self.disconnected(machine.into(), name),
            Event::Leave(id) => self.leave(id),
            Event::Strike => self.strike(),
            Event::StrikeTriggered(place) => self.strike_triggered(place as usize),
            Event::Choose => self.choose(),
        }
    }

    /// When a leader acts by itself, if nothing happens before, and which.
    fn next_wake_up(&self) -> (At, Machine) {
        let due = |leader: &LeaderHost| if leader.paused { At::MAX } else { leader.due };
        if let [only] = self.leaders.as_slice() {
            return (due(only), 0);
        }
        let wake_ups = self.leaders.iter().zip(0..).map(|(leader, machine)| (due(leader), machine));
        wake_ups.min().unwrap_or((At::MAX, 0))
    }

    /// The machine of the present leader.
    pub(super) fn present(&self) -> Machine {
        self.leaders.len() - 1
    }

    /// The machines of the former leaders that run, the latest first.
    pub(super) fn former(&self) -> impl Iterator<Item = Machine> {
        (0..self.present()).rev().filter(|machine| self.leaders[*machine].up)
    }

    /// The name of the node on a leader's machine.
    pub(super) fn name_of(machine: Machine) -> NodeId {
        NodeId::Server(u8::try_from(machine).expect("a scenario starts 16 leaders at most"))
    }

    /// The node that a scenario addresses so now; none if it is a former leader and none runs.
    pub(super) fn resolve(&self, node: NodeRef) -> Option<NodeId> {
        match node {
            NodeRef::Leader => Some(Self::name_of(self.present())),
            NodeRef::Former => self.former().next().map(Self::name_of),
            NodeRef::Node(node) => Some(node),
        }
    }

    /// Sets the time at which the faults strike whose event has come.
    #[inline]
    fn arrange_triggered(&mut self) {
        for place in self.trace.take_triggered() {
            if let Some(at) = self.plan.trigger(place, Duration::from_micros(self.now)) {
                self.about_to_strike += 1;
                self.queue.push(Micros::from(at).0, Event::StrikeTriggered(place as u32));
            }
        }
    }

    pub(super) fn record_of_leader(&mut self, machine: Machine, event: Happened) {
        self.trace.push(self.now, Self::name_of(machine), self.leaders[machine].life, event);
    }

    /// Records what is done to the network, to a node or to a client.
    pub(super) fn record_fault(&mut self, event: Happened) {
        self.trace.push(self.now, NodeId::Network, 0, event);
    }

    /// Lets go of what was kept back: it happens now.
    pub(super) fn happens_now(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.queue.push_transit(self.now, event);
        }
    }
}
