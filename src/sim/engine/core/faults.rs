//! What is done to nodes and links.

use std::time::Duration;

use super::client_links::Direction;
use super::clients::Answer;
use super::network::{Ends, Machine, Passage, Way};
use super::queue::{At, Event};
use super::world::World;
use crate::base::trace::{Event as Happened, Micros};
use crate::base::{Epoch, FollowerId, Key, NodeId, NodeRef};
use crate::sim::engine::story;
use crate::sim::scenario::{FaultKind, Links};

impl World {
    /// The next fault strikes at its time.
    pub(super) fn next_fault(&mut self) {
        if let Some((_, fault)) = self.plan.timed.get(self.struck) {
            if self.chooses() {
                self.offer_fault();
            } else {
                self.queue.push(self.now.max(fault.at_ms * 1000), Event::Strike);
            }
        }
    }

    /// The next of the faults that have a time strikes.
    pub(super) fn strike(&mut self) {
        let (place, fault) = self.plan.timed[self.struck].clone();
        self.struck += 1;
        self.struck_at.push(self.now);
        self.inflict(place, fault.kind);
        self.next_fault();
    }

    /// A fault strikes that waited for an event.
    pub(super) fn strike_triggered(&mut self, place: usize) {
        self.about_to_strike = self.about_to_strike.saturating_sub(1);
        if let Some(fault) = self.plan.triggered.remove(&place) {
            self.inflict(place, fault.kind);
        }
    }

    /// Does what a fault says, and notes whether that was possible.
    fn inflict(&mut self, place: usize, kind: FaultKind) {
        let outcome = self.try_to_inflict(kind);
        self.strikes.record(place, Micros(self.now), outcome);
    }

    /// # Errors
    /// Why the fault changes nothing.
    fn try_to_inflict(&mut self, kind: FaultKind) -> Result<(), String> {
        match kind {
            FaultKind::Crash(node) => {
                let node = self.addressed(node)?;
                require(self.is_up(node), || format!("{node} was down already"))?;
                self.crash(node);
            }
            FaultKind::Restart(node) => {
                let node = self.addressed(node)?;
                require(!self.is_up(node), || format!("{node} was not down"))?;
                self.restart(node);
            }
            FaultKind::Pause(node) => {
                let node = self.addressed(node)?;
                require(self.is_up(node), || format!("{node} was down"))?;
                require(!self.is_paused(node), || format!("{node} was paused already"))?;
                self.pause(node);
            }
            FaultKind::Resume(node) => {
                let node = self.addressed(node)?;
                require(self.is_paused(node), || format!("{node} was not paused"))?;
                self.resume(node);
            }
            FaultKind::Hold(node) => {
                let node = self.addressed(node)?;
                self.record_fault(story::hold(node));
                self.links_of(node).into_iter().for_each(|ends| self.network.hold(ends));
            }
            FaultKind::Release(node) => {
                let node = self.addressed(node)?;
                self.record_fault(story::release(node));
                for ends in self.links_of(node) {
                    let released = self.network.release(ends);
                    self.happens_now(released);
                }
            }
            FaultKind::Partition(links) => {
                let links = self.directed(&links)?;
                links.into_iter().for_each(|(from, to)| self.cut(from, to));
            }
            FaultKind::Heal(links) => {
                let links = self.directed(&links)?;
                links.into_iter().for_each(|(from, to)| self.mend(from, to));
            }
            FaultKind::Slow { node, to, latency_ms, one_way } => {
                let node = self.addressed(node)?;
                let to = to.map(|to| self.addressed(to)).transpose()?;
                self.slow(node, to, latency_ms, one_way)?;
            }
            FaultKind::Clock { node, rate_per_mille } => {
                let node = self.addressed(node)?;
                self.set_clock(node, rate_per_mille);
                require(node.can_lead(), || format!("{node} is a follower, which has no timers"))?;
            }
            FaultKind::Replace { keeps } => {
                let present = self.present();
                let is_up = self.leaders[present].up;
                require(is_up, || format!("{}, which leads, was down", Self::name_of(present)))?;
                self.replace(keeps);
            }
            FaultKind::Misdirect { follower, to } => {
                self.record_fault(story::misdirect(follower, to));
                self.names[follower.index()] = to;
                if follower != to {
                    self.close_connections(follower);
                }
            }
            FaultKind::Quorum(quorum) => {
                let machine = self.present();
                self.record_fault(story::quorum(Self::name_of(machine), quorum));
                self.leaders[machine].set_quorum(quorum);
            }
            FaultKind::Members(members) => {
                let machine = self.present();
                self.record_fault(story::members(Self::name_of(machine), &members));
                self.leaders[machine].set_members(members);
            }
            FaultKind::AcceptLoss(node) => {
                let node = self.addressed(node)?;
                self.accept_loss(node)?;
            }
            FaultKind::LoseKey { follower, key } => self.lose_key(follower, &key)?,
            // What acts on messages or on a client's call is not a fault of nodes or links.
            FaultKind::Drop(_) | FaultKind::DropReply(_) | FaultKind::Duplicate { .. } => {}
            FaultKind::Delay { .. } | FaultKind::Rpc { .. } | FaultKind::Disconnect { .. } => {}
        }
        Ok(())
    }

    /// The node that is addressed so now.
    fn addressed(&self, node: NodeRef) -> Result<NodeId, String> {
        let resolved = self.resolve(node).ok_or_else(|| "no former leader ran".to_owned())?;
        let is_there = !resolved.can_lead() || self.machine_of(resolved).is_some();
        require(is_there, || format!("{resolved} had not been started"))?;
        Ok(resolved)
    }

    fn is_up(&self, node: NodeId) -> bool {
        match (node, self.machine_of(node)) {
            (NodeId::Follower(follower), _) => self.followers[follower.index()].up,
            (_, machine) => machine.is_some_and(|machine| self.leaders[machine].up),
        }
    }

    /// The machine of a node that can lead, if it has been started.
    pub(super) fn machine_of(&self, node: NodeId) -> Option<Machine> {
        match node {
            NodeId::Server(id) => Some(Machine::from(id)).filter(|machine| *machine < self.leaders.len()),
            NodeId::Follower(_) | NodeId::Client(_) | NodeId::Network => None,
        }
    }

    /// The links, each in one direction, by the nodes that are addressed so now. An error if nothing ever goes over any of them.
    fn directed(&self, links: &Links) -> Result<Vec<(NodeId, NodeId)>, String> {
        let resolve = |(from, to)| Ok((self.addressed(from)?, self.addressed(to)?));
        let directed = story::directed(links).map(resolve).collect::<Result<Vec<_>, String>>()?;
        let carries = |(from, to): &(NodeId, NodeId)| self.link(*from, *to).is_some() || call(*from, *to).is_some();
        require(directed.iter().any(carries), || story::SILENT.to_owned())?;
        Ok(directed)
    }

    /// The link between two nodes, and which way this goes, if they are ever to talk.
    fn link(&self, from: NodeId, to: NodeId) -> Option<(Ends, Way)> {
        let (follower, leader, way) = match (from, to) {
            (leader, NodeId::Follower(follower)) => (follower, leader, Way::ToFollower),
            (NodeId::Follower(follower), leader) => (follower, leader, Way::ToLeader),
            _ => return None,
        };
        Some((Ends::new(self.machine_of(leader)?, follower), way))
    }

    /// The links that end at a node.
    fn links_of(&self, node: NodeId) -> Vec<Ends> {
        self.nodes().filter_map(|other| self.link(node, other)).map(|(ends, _)| ends).collect()
    }

    fn cut(&mut self, from: NodeId, to: NodeId) {
        self.record_fault(story::cut(from, to));
        if let Some((client, node, direction)) = call(from, to) {
            return self.client_links.cut(client, node, direction);
        }
        let Some((ends, way)) = self.link(from, to) else { return };
        for lost in self.network.cut(ends, way) {
            if let Event::Connect(id) | Event::Request(id) | Event::Reply(id) | Event::Reset(id) | Event::Refused(id) =
                lost
            {
                self.exchanges.settle(id);
            }
        }
    }

    fn mend(&mut self, from: NodeId, to: NodeId) {
        self.record_fault(story::mend(from, to));
        if let Some((client, node, direction)) = call(from, to) {
            self.client_links.mend(client, node, direction);
        } else if let Some((ends, way)) = self.link(from, to) {
            self.network.mend(ends, way);
        }
    }

    /// Gives the link between two nodes, or all those between a node and the others, another latency.
    fn slow(&mut self, node: NodeId, to: Option<NodeId>, latency_ms: u64, one_way: bool) -> Result<(), String> {
        let latency = Duration::from_millis(latency_ms);
        let mut slowed = 0;
        let others: Vec<NodeId> = match to {
            Some(to) => vec![to],
            None => self.nodes().filter(|other| *other != node).collect(),
        };
        for other in others {
            let event = if one_way { story::apart_one_way } else { story::apart };
            self.record_fault(event(node, other, latency));
            if let Some((client, of, direction)) = call(node, other) {
                let (this, both) = ([direction], [Direction::Call, Direction::Answer]);
                let directions: &[Direction] = if one_way { &this } else { &both };
                self.client_links.set_latency(client, of, directions, latency_ms * 1000);
                slowed += 1;
            } else if let Some((ends, way)) = self.link(node, other) {
                let (this, both) = ([way], [Way::ToFollower, Way::ToLeader]);
                let ways: &[Way] = if one_way { &this } else { &both };
                self.network.set_latency(ends, ways, latency_ms * 1000);
                slowed += 1;
            }
        }
        require(slowed > 0, || story::SILENT.to_owned())
    }

    /// Kills a node. To kill what is down changes nothing.
    fn crash(&mut self, node: NodeId) {
        match node {
            NodeId::Follower(follower) => {
                let host = &mut self.followers[follower.index()];
                if !host.up {
                    return;
                }
                let life = host.life;
                host.crash();
                self.trace.push(self.now, node, life, Happened::Crash);
                for ends in self.links_of(node) {
                    if let Passage::Takes { latency, .. } = self.network.send(ends, Way::ToLeader) {
                        self.queue.push_transit(self.now + latency, Event::Ended { ends, life });
                    }
                }
                self.break_calls_to(node);
            }
            leader => {
                if let Some(machine) = self.machine_of(leader).filter(|machine| self.leaders[*machine].up) {
                    self.record_of_leader(machine, Happened::Crash);
                    self.forget_offers_of(leader);
                    self.break_calls_to(leader);
                    self.end_leader(machine);
                }
            }
        }
    }

    /// What a leader loses that is killed: its memory, and its connections.
    fn end_leader(&mut self, machine: Machine) {
        self.leaders[machine].crash();
        let own = self.exchanges.open().filter(|(_, exchange)| exchange.ends.machine() == machine);
        let own: Vec<_> = own.map(|(id, _)| id).collect();
        for id in own {
            self.exchanges.close(id, &mut self.batch);
            self.batch.clear();
        }
    }

    /// Another leader starts, and those before it run on, for those clients that keep calling them.
    fn replace(&mut self, keeps: Vec<NodeId>) {
        let present = self.present();
        self.record_fault(story::replace(Self::name_of(present + 1), Self::name_of(present)));
        let next = self.leaders[present].successor(self.now, self.next_life(), self.next_epoch());
        self.leaders.push(next);
        self.network.add_machine();
        let called = |client: &NodeId| self.loyal.get(client).copied().unwrap_or(present);
        self.loyal = keeps.into_iter().map(|client| (client, called(&client))).collect();
        let machine = self.present();
        self.begin_life(machine);
    }

    /// An operator accepts at a leader that what only missing followers know is lost. A node that is down learns nothing.
    fn accept_loss(&mut self, node: NodeId) -> Result<(), String> {
        self.record_fault(story::accept_loss(node));
        let machine = self.machine_of(node).filter(|machine| self.leaders[*machine].up);
        let machine = machine.ok_or_else(|| format!("{node} was down"))?;
        let now = self.leaders[machine].shown_at(self.now);
        let is_accepted = self.leaders[machine].state.accept_loss(now);
        self.act(machine);
        self.leaders[machine].arrange_wake_up();
        require(is_accepted, || story::no_loss_to_accept(node))
    }

    /// A follower loses what it stores for a key.
    fn lose_key(&mut self, follower: FollowerId, key: &Key) -> Result<(), String> {
        let host = &mut self.followers[follower.index()];
        require(host.up, || format!("{follower} was down"))?;
        let stamp = host.state.lose(key).ok_or_else(|| format!("{follower} stored no {key}"))?;
        let (life, key) = (host.life, key.clone());
        self.trace.push(self.now, follower.into(), life, Happened::LoseKey { key, stamp });
        Ok(())
    }

    /// A leader is there, and begins.
    fn begin_life(&mut self, machine: Machine) {
        self.record_of_leader(machine, Happened::Restart);
        if let Some((write_quorum, members)) = self.leaders[machine].other_configuration() {
            self.record_of_leader(machine, Happened::Require { write_quorum, members });
        }
        self.act(machine);
        self.leaders[machine].arrange_wake_up();
    }

    /// Starts a node that is down. To start what is up changes nothing. Who has asked for a connection meanwhile is
    /// refused: in turmoil, which this must agree with, what has come waits until then, and finds nobody who listens yet.
    fn restart(&mut self, node: NodeId) {
        let calls = match node {
            NodeId::Follower(follower) => {
                let host = &mut self.followers[follower.index()];
                if host.up {
                    return;
                }
                host.restart();
                self.trace.push(self.now, node, host.life, Happened::Restart);
                let knocking = std::mem::take(&mut host.knocking);
                let calls = std::mem::take(&mut host.calls);
                for id in knocking {
                    self.transmit(id, Way::ToLeader, Event::Refused(id));
                }
                calls
            }
            _ => {
                let Some(machine) = self.machine_of(node).filter(|machine| !self.leaders[*machine].up) else { return };
                let (life, first_epoch) = (self.next_life(), self.next_epoch());
                self.leaders[machine].restart(self.now, life, first_epoch);
                self.begin_life(machine);
                std::mem::take(&mut self.leaders[machine].calls)
            }
        };
        for call in calls {
            self.send_answer(call, Answer::FAILED);
        }
    }

    /// The incarnation of the leader that starts next. Followers tell leaders apart by it, so no two nodes may share one.
    fn next_life(&self) -> u64 {
        self.leaders.iter().map(|leader| leader.life).max().map_or(0, |last| last + 1)
    }

    /// After every epoch that a leader ever asked for, as the clock is by which a node chooses its first one.
    fn next_epoch(&self) -> Epoch {
        let epochs = self.leaders.iter().map(|leader| leader.state.epoch());
        epochs.max().map_or(Epoch::FIRST, Epoch::next)
    }

    fn pause(&mut self, node: NodeId) {
        self.record_fault(story::pause(node, false));
        match (node, self.machine_of(node)) {
            (NodeId::Follower(follower), _) => self.followers[follower.index()].paused = true,
            (_, Some(machine)) => self.leaders[machine].paused = true,
            _ => {}
        }
    }

    /// A node that was stopped goes on, first with what has come meanwhile.
    fn resume(&mut self, node: NodeId) {
        self.record_fault(story::pause(node, true));
        self.go_on(node);
    }

    fn go_on(&mut self, node: NodeId) {
        let came = match (node, self.machine_of(node)) {
            (NodeId::Follower(follower), _) => self.followers[follower.index()].resume(),
            (_, Some(machine)) => self.leaders[machine].resume(),
            _ => return,
        };
        self.happens_now(came);
    }

    fn set_clock(&mut self, node: NodeId, rate_per_mille: u64) {
        self.record_fault(story::clock(node, rate_per_mille));
        // A follower has no timers, and so no use for a clock.
        if let Some(machine) = self.machine_of(node) {
            let leader = &mut self.leaders[machine];
            leader.clock.set_rate(self.now, rate_per_mille);
            leader.arrange_wake_up();
        }
    }

    /// Ends every fault. One leader is enough: those before the present one are stopped.
    pub(super) fn heal(&mut self) {
        self.record_fault(story::healed());
        let former: Vec<Machine> = self.former().collect();
        former.into_iter().for_each(|machine| self.crash(Self::name_of(machine)));
        let machine = self.present();
        self.leaders[machine].spare_messages();
        let paused: Vec<NodeId> = self.nodes().filter(|node| self.is_paused(*node)).collect();
        paused.into_iter().for_each(|node| self.go_on(node));
        self.leaders[machine].clock.set_rate(self.now, super::leader::Clock::TRUE_RATE);
        self.names = FollowerId::first(self.followers.len()).collect();
        for host in FollowerId::first(self.followers.len()) {
            if self.leaders[machine].lanes[host.index()].disconnect_all_but(host) {
                self.disconnected(machine, host);
            }
        }
        self.trace.watch_nothing();
        self.client_links.heal();
        let released = self.network.heal();
        let nodes: Vec<NodeId> = self.nodes().collect();
        nodes.into_iter().for_each(|node| self.restart(node));
        self.happens_now(released);
        self.leaders[machine].arrange_wake_up();
    }

    /// Every node that is to run: the present leader, the former ones that run, then the followers in order.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        let leaders: Vec<Machine> = [self.present()].into_iter().chain(self.former()).collect();
        let leaders = leaders.into_iter().map(Self::name_of);
        leaders.chain(FollowerId::first(self.followers.len()).map(NodeId::from))
    }

    fn is_paused(&self, node: NodeId) -> bool {
        match (node, self.machine_of(node)) {
            (NodeId::Follower(follower), _) => self.followers[follower.index()].paused,
            (_, machine) => machine.is_some_and(|machine| self.leaders[machine].paused),
        }
    }

    /// The latest time that a simulation reaches.
    pub(super) const END_OF_TIME: At = 365 * 24 * 3600 * 1_000_000;
}

/// An error unless this is true.
fn require(is_true: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if is_true { Ok(()) } else { Err(otherwise()) }
}

/// The client and the node between which something goes, and in which direction, if one of them is a client.
fn call(from: NodeId, to: NodeId) -> Option<(NodeId, NodeId, Direction)> {
    match (from, to) {
        (NodeId::Client(_), node) if node.is_node() => Some((from, node, Direction::Call)),
        (node, NodeId::Client(_)) if node.is_node() => Some((to, node, Direction::Answer)),
        _ => None,
    }
}
