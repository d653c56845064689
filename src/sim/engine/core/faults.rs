//! What is done to nodes and links.

use std::time::Duration;

use super::clients::Answer;
use super::network::{Passage, Way};
use super::queue::{At, Event};
use super::world::World;
use crate::base::trace::Event as Happened;
use crate::base::{FollowerId, NodeId};
use crate::sim::engine::story;
use crate::sim::scenario::FaultKind;

impl World {
    /// The next fault strikes at its time.
    pub(super) fn next_fault(&mut self) {
        if let Some(fault) = self.faults.get(self.struck) {
            if self.chooses() {
                self.offer_fault();
            } else {
                self.queue.push(self.now.max(fault.at_ms * 1000), Event::Strike);
            }
        }
    }

    pub(super) fn strike(&mut self) {
        let kind = self.faults[self.struck].kind.clone();
        self.struck += 1;
        self.struck_at.push(self.now);
        match kind {
            FaultKind::Crash(node) => self.crash(node),
            FaultKind::Restart(node) => self.restart(node),
            FaultKind::Pause(node) => self.pause(node),
            FaultKind::Resume(node) => self.resume(node),
            FaultKind::Hold(node) => {
                self.record_fault(story::hold(node));
                self.others(node).into_iter().for_each(|other| self.network.hold(node, other));
            }
            FaultKind::Release(node) => {
                self.record_fault(story::release(node));
                for other in self.others(node) {
                    let released = self.network.release(node, other);
                    self.happens_now(released);
                }
            }
            FaultKind::Partition(links) => story::directed(&links).for_each(|(from, to)| self.cut(from, to)),
            FaultKind::Heal(links) => {
                for (from, to) in story::directed(&links) {
                    self.record_fault(story::mend(from, to));
                    self.network.mend(from, to);
                }
            }
            FaultKind::Slow { node, to, latency_ms } => {
                let slow = |other: &NodeId| to.is_none_or(|to| to == *other);
                for other in self.others(node).into_iter().filter(slow) {
                    self.record_fault(story::apart(node, other, Duration::from_millis(latency_ms)));
                    self.network.set_latency(node, other, latency_ms * 1000);
                }
            }
            FaultKind::Clock { node, rate_per_mille } => self.set_clock(node, rate_per_mille),
            // What acts on messages or on a client's call is not a fault of nodes or links.
            FaultKind::Drop(_) | FaultKind::DropReply(_) | FaultKind::Duplicate { .. } => {}
            FaultKind::Delay { .. } | FaultKind::Disconnect { .. } => {}
        }
        self.next_fault();
    }

    /// Every node but this one, the leader first.
    fn others(&self, node: NodeId) -> Vec<NodeId> {
        let followers = FollowerId::first(self.followers.len()).map(NodeId::from);
        [NodeId::Leader].into_iter().chain(followers).filter(|other| *other != node).collect()
    }

    fn cut(&mut self, from: NodeId, to: NodeId) {
        self.record_fault(story::cut(from, to));
        for lost in self.network.cut(from, to) {
            if let Event::Connect(id) | Event::Request(id) | Event::Reply(id) | Event::Reset(id) | Event::Refused(id) =
                lost
            {
                self.exchanges.settle(id);
            }
        }
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
                if let Passage::Takes { latency, .. } = self.network.send(follower, Way::ToLeader) {
                    self.queue.push_transit(self.now + latency, Event::Ended { follower, life });
                }
            }
            _ if self.leader.up => {
                self.record_of_leader(Happened::Crash);
                self.leader.crash();
                let open: Vec<_> = self.exchanges.open().map(|(id, _)| id).collect();
                for id in open {
                    self.exchanges.close(id, &mut self.batch);
                    self.batch.clear();
                }
            }
            _ => return,
        }
        self.forget_offers_of(node);
        self.break_calls_to(node);
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
            _ if !self.leader.up => {
                self.leader.restart(self.now);
                self.record_of_leader(Happened::Restart);
                self.act();
                self.leader.arrange_wake_up();
                std::mem::take(&mut self.leader.calls)
            }
            _ => return,
        };
        for call in calls {
            self.send_answer(call, Answer::FAILED);
        }
    }

    fn pause(&mut self, node: NodeId) {
        self.record_fault(story::pause(node, false));
        match node {
            NodeId::Follower(follower) => self.followers[follower.index()].paused = true,
            _ => self.leader.paused = true,
        }
    }

    /// A node that was stopped goes on, first with what has come meanwhile.
    fn resume(&mut self, node: NodeId) {
        self.record_fault(story::pause(node, true));
        let came = match node {
            NodeId::Follower(follower) => self.followers[follower.index()].resume(),
            _ => self.leader.resume(),
        };
        self.happens_now(came);
    }

    fn set_clock(&mut self, node: NodeId, rate_per_mille: u64) {
        self.record_fault(story::clock(node, rate_per_mille));
        // A follower has no timers, and so no use for a clock.
        if node == NodeId::Leader {
            self.leader.clock.set_rate(self.now, rate_per_mille);
            if self.leader.up {
                self.leader.arrange_wake_up();
            }
        }
    }

    /// Ends every fault.
    pub(super) fn heal(&mut self) {
        self.record_fault(story::healed());
        self.leader.spare_messages();
        let paused: Vec<NodeId> = self.nodes().filter(|node| self.is_paused(*node)).collect();
        for node in paused {
            let came = match node {
                NodeId::Follower(follower) => self.followers[follower.index()].resume(),
                _ => self.leader.resume(),
            };
            self.happens_now(came);
        }
        self.leader.clock.set_rate(self.now, super::leader::Clock::TRUE_RATE);
        let released = self.network.heal();
        let nodes: Vec<NodeId> = self.nodes().collect();
        nodes.into_iter().for_each(|node| self.restart(node));
        self.happens_now(released);
        if self.leader.up {
            self.leader.arrange_wake_up();
        }
    }

    /// Every node: the leader, then the followers in order.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        [NodeId::Leader].into_iter().chain(FollowerId::first(self.followers.len()).map(NodeId::from))
    }

    fn is_paused(&self, node: NodeId) -> bool {
        match node {
            NodeId::Follower(follower) => self.followers[follower.index()].paused,
            _ => self.leader.paused,
        }
    }

    /// The latest time that a simulation reaches.
    pub(super) const END_OF_TIME: At = 365 * 24 * 3600 * 1_000_000;
}
