//! When a leader can have noticed that a follower crashed.
//!
//! A crash ends the connections of a node. Its peers notice that when the end of a connection reaches them: after the
//! latency of the link, unless a fault delays it or loses it. Until then nothing tells a leader that a confirmation comes
//! from a process that does not run any more. Where it is lost, the leader doubts the follower at the latest when a question
//! to it has had no answer.

mod links;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Excuse, Facts};
use crate::base::trace::{Disturbance, Event, Micros, Record};
use crate::base::{FollowerId, NodeId};
use links::Links;

/// What is due between two ticks happens at the later one.
const TICK: Micros = Micros(1000);

/// How long a leader hears nothing from a follower before it asks it something.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The crashes that leaders cannot have noticed yet, followed through a trace.
#[derive(Debug)]
pub(super) struct CrashNotices {
    links: Links,
    /// Those that were sent and may not have arrived.
    open: Vec<Notice>,
    leaders: BTreeSet<NodeId>,
    /// The leaders that are stopped, and since when.
    paused: BTreeMap<NodeId, Micros>,
    /// The leaders whose clocks are wrong.
    clock_off: BTreeSet<NodeId>,
    /// Since when each leader that was stopped runs and has a right clock.
    right_since: BTreeMap<NodeId, Micros>,
    /// The longest time from when the last answer of a follower reaches its leader until another question has had none.
    silence: Micros,
}

/// The end of a follower's connections to one leader, after a crash.
#[derive(Debug)]
struct Notice {
    from: FollowerId,
    crash: Micros,
    to: NodeId,
    way: Way,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It reaches the leader at this time, unless a fault delays it further.
    Arrives(Micros),
    /// A fault lost it. It would have reached the leader at this time, like the last answer.
    Lost(Micros),
}

impl CrashNotices {
    pub(super) fn new(facts: &Facts) -> Self {
        Self {
            links: Links::new(facts),
            open: Vec::new(),
            leaders: BTreeSet::from([NodeId::FIRST_SERVER]),
            paused: BTreeMap::new(),
            clock_off: BTreeSet::new(),
            right_since: BTreeMap::new(),
            silence: (2 * facts.repl_timeout + HEARTBEAT + 6 * facts.link_latency).into(),
        }
    }

    /// Why a leader cannot have noticed by `now` that a follower crashed at `crash`; `None` if it can.
    pub(super) fn excuse(&self, leader: NodeId, follower: FollowerId, crash: Micros, now: Micros) -> Option<Excuse> {
        let is_it = |notice: &&Notice| (notice.to, notice.from, notice.crash) == (leader, follower, crash);
        let notice = self.open.iter().find(is_it)?;
        self.is_unnoticed(notice, now).then_some(match notice.way {
            Way::Arrives(_) => Excuse::LateNotice,
            Way::Lost(_) => Excuse::LostNotice,
        })
    }

    /// Whether any leader cannot have noticed this crash, as far as was known when something last crashed.
    pub(super) fn is_open(&self, node: NodeId, crash: Micros) -> bool {
        self.open.iter().any(|notice| NodeId::from(notice.from) == node && notice.crash == crash)
    }

    /// Takes the next record into account.
    pub(super) fn follow(&mut self, record: &Record) {
        let at = record.at;
        match (&record.event, record.node) {
            (Event::Crash, NodeId::Follower(follower)) => self.crash(follower, at),
            (Event::Restart, leader) if leader.can_lead() => drop(self.leaders.insert(leader)),
            (Event::Forgot { follower }, leader) => {
                self.open.retain(|notice| (notice.from, notice.to) != (*follower, leader));
            }
            (Event::Fault { kind, nodes, latency, .. }, _) => self.disturb(at, *kind, nodes, *latency),
            _ => {}
        }
    }

    fn crash(&mut self, follower: FollowerId, at: Micros) {
        self.forget_noticed(at);
        for leader in &self.leaders {
            let (arrives, is_lost) = self.links.arrival(*leader, follower, at);
            let way = if is_lost { Way::Lost(arrives) } else { Way::Arrives(arrives) };
            self.open.push(Notice { from: follower, crash: at, to: *leader, way });
        }
    }

    /// What is done to links and nodes.
    fn disturb(&mut self, at: Micros, kind: Disturbance, nodes: &[NodeId], latency: Option<Micros>) {
        match kind {
            Disturbance::Hold => self.links.hold(at, nodes, &self.leaders),
            Disturbance::Release => {
                self.arrive(at, nodes);
                self.links.release(nodes, &self.leaders);
            }
            Disturbance::Pause => {
                self.forget_noticed(at);
                for leader in nodes.iter().filter(|node| node.can_lead()) {
                    self.paused.entry(*leader).or_insert(at);
                }
            }
            Disturbance::Resume => {
                self.arrive(at, nodes);
                self.paused.retain(|leader, _| !nodes.contains(leader));
                self.right_since.extend(nodes.iter().map(|node| (*node, at)));
            }
            Disturbance::Cut => {
                if let Some((leader, follower)) = self.links.cut(nodes) {
                    self.lose(at, leader, follower);
                }
            }
            Disturbance::Mend => self.links.mend(nodes),
            Disturbance::Isolate => {
                for (leader, follower) in self.links.pairs(nodes, &self.leaders) {
                    self.disturb(at, Disturbance::Cut, &[follower.into(), leader], None);
                    self.disturb(at, Disturbance::Cut, &[leader, follower.into()], None);
                }
            }
            Disturbance::Reconnect => {
                for (leader, follower) in self.links.pairs(nodes, &self.leaders) {
                    self.links.mend(&[follower.into(), leader]);
                    self.links.mend(&[leader, follower.into()]);
                }
            }
            Disturbance::Latency => self.links.set_latency(at, nodes, latency),
            // What a leader sends tells it nothing.
            Disturbance::LatencyOneWay => {
                if matches!(nodes.first(), Some(NodeId::Follower(_))) {
                    self.links.set_latency(at, nodes, latency);
                }
            }
            Disturbance::Heal => {
                let all: Vec<NodeId> = self.leaders.iter().copied().collect();
                self.arrive(at, &all);
                self.paused.clear();
                self.links.heal(at);
                self.clock_off.clear();
                self.right_since.extend(all.into_iter().map(|leader| (leader, at)));
            }
            Disturbance::ClockOff => {
                self.forget_noticed(at);
                self.clock_off.extend(nodes.iter().filter(|node| node.can_lead()));
            }
            Disturbance::ClockRight => {
                self.clock_off.retain(|leader| !nodes.contains(leader));
                self.right_since.extend(nodes.iter().map(|node| (*node, at)));
            }
            // The leader closes connections under names that lead elsewhere, and doubts whom they led to.
            Disturbance::Misdirect
            | Disturbance::Redirect
            | Disturbance::HangUp
            | Disturbance::Probe
            | Disturbance::Replace
            | Disturbance::Configure
            | Disturbance::AcceptLoss => {}
        }
    }

    /// What has been noticed by now stays so, whatever happens to the leader later.
    fn forget_noticed(&mut self, at: Micros) {
        let open = std::mem::take(&mut self.open);
        self.open = open.into_iter().filter(|notice| self.is_unnoticed(notice, at)).collect();
    }

    /// What is on its way from a follower to a leader is lost.
    fn lose(&mut self, at: Micros, leader: NodeId, follower: FollowerId) {
        for place in 0..self.open.len() {
            let notice = &self.open[place];
            if let Way::Arrives(arrives) = notice.way
                && (notice.to, notice.from) == (leader, follower)
                && self.has_not_arrived(notice, arrives, at)
            {
                self.open[place].way = Way::Lost(arrives);
            }
        }
    }

    /// What was held back at these nodes arrives now.
    fn arrive(&mut self, at: Micros, nodes: &[NodeId]) {
        for place in 0..self.open.len() {
            let notice = &self.open[place];
            let concerns = nodes.contains(&notice.to) || nodes.contains(&notice.from.into());
            if let (true, Way::Arrives(arrives)) = (concerns, notice.way)
                && self.is_held_back(notice, arrives)
            {
                self.open[place].way = Way::Arrives(arrives.max(at));
            }
        }
    }

    /// Whether what arrives then is held back still.
    fn is_held_back(&self, notice: &Notice, arrives: Micros) -> bool {
        let is_paused = self.paused.get(&notice.to).is_some_and(|since| arrives >= *since);
        is_paused || self.links.holds_back(notice.to, notice.from, arrives)
    }

    fn has_not_arrived(&self, notice: &Notice, arrives: Micros, now: Micros) -> bool {
        arrives >= now || self.links.holds_back(notice.to, notice.from, arrives)
    }

    /// Whether the leader cannot have noticed by `now`.
    fn is_unnoticed(&self, notice: &Notice, now: Micros) -> bool {
        match notice.way {
            Way::Arrives(arrives) => now.0 <= arrives.0 + TICK.0 || self.is_held_back(notice, arrives),
            Way::Lost(arrives) => {
                let right_since = self.right_since.get(&notice.to).copied().unwrap_or_default();
                let is_right = !self.paused.contains_key(&notice.to) && !self.clock_off.contains(&notice.to);
                !is_right || now.0 <= arrives.max(right_since).0 + self.silence.0
            }
        }
    }
}

#[cfg(test)]
mod tests;
