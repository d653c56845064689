//! When a leader can have noticed that a follower crashed.
//!
//! A crash ends the connections of a node. Its peers notice that when the end of a connection reaches them: after the
//! latency of the link, unless a fault delays it or loses it. Until then nothing tells a leader that a confirmation comes
//! from a process that does not run any more.

mod links;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Excuse, Facts};
use crate::base::trace::{Disturbance, Event, Micros, Record};
use crate::base::{FollowerId, NodeId};
use links::{Links, follower_of};

/// What is due between two ticks happens at the later one.
const TICK: Micros = Micros(1000);

/// How long a leader can go without an exchange with a follower once nothing is in the way, besides the timeout of the
/// request that a fault interrupted: its heartbeat and the longest pause between two attempts.
const CONTACT: Duration = Duration::from_secs(3);

/// The crashes that leaders cannot have noticed yet, followed through a trace.
#[derive(Debug)]
pub(super) struct CrashNotices {
    links: Links,
    /// Those that were sent and may not have arrived.
    open: Vec<Notice>,
    leaders: BTreeSet<NodeId>,
    /// The leaders that are stopped, and since when.
    paused: BTreeMap<NodeId, Micros>,
    /// The leaders whose clocks are wrong, and since when.
    clock_off: BTreeMap<NodeId, Micros>,
    /// When a clock was put right last.
    clock_right_at: Micros,
    /// Where the names of followers lead that are misdirected.
    misdirected: BTreeMap<FollowerId, FollowerId>,
    /// When a leader last closed its connections to a follower by itself, because names had come to lead elsewhere.
    closed_at: BTreeMap<FollowerId, Micros>,
    /// Since when each follower that crashed or was misdirected has run again under its own name; none if it does not.
    found_since: BTreeMap<FollowerId, Option<Micros>>,
    /// The longest time until a leader has exchanged something with a follower, once nothing is in the way.
    contact: Micros,
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
    /// A fault lost it. The leader notices the crash once it exchanges something with the follower again.
    Lost,
}

impl CrashNotices {
    pub(super) fn new(facts: &Facts) -> Self {
        Self {
            links: Links::new(facts),
            open: Vec::new(),
            leaders: BTreeSet::from([NodeId::FIRST_SERVER]),
            paused: BTreeMap::new(),
            clock_off: BTreeMap::new(),
            clock_right_at: Micros(0),
            misdirected: BTreeMap::new(),
            closed_at: BTreeMap::new(),
            found_since: BTreeMap::new(),
            contact: (facts.repl_timeout + CONTACT + 6 * facts.link_latency).into(),
        }
    }

    /// Why a leader cannot have noticed by `now` that a follower crashed at `crash`; `None` if it can.
    pub(super) fn excuse(&self, leader: NodeId, follower: FollowerId, crash: Micros, now: Micros) -> Option<Excuse> {
        let is_it = |notice: &&Notice| (notice.to, notice.from, notice.crash) == (leader, follower, crash);
        let notice = self.open.iter().find(is_it)?;
        self.is_unnoticed(notice, now).then_some(match notice.way {
            Way::Arrives(_) => Excuse::LateNotice,
            Way::Lost => Excuse::LostNotice,
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
            (Event::Restart, NodeId::Follower(follower)) => {
                let is_found = !self.misdirected.contains_key(&follower);
                self.found_since.insert(follower, is_found.then_some(at));
            }
            (Event::Restart, leader) if leader.can_lead() => drop(self.leaders.insert(leader)),
            (Event::Forgot { follower }, leader) => {
                self.open.retain(|notice| (notice.from, notice.to) != (*follower, leader));
            }
            (Event::Astray { follower, by }, _) => {
                let hosts = [*follower, *by, self.host_of(*follower), self.host_of(*by)];
                hosts.into_iter().for_each(|host| self.close(at, host));
            }
            (Event::Fault { kind, nodes, latency, .. }, _) => self.disturb(at, *kind, nodes, *latency),
            _ => {}
        }
    }

    fn crash(&mut self, follower: FollowerId, at: Micros) {
        let open = std::mem::take(&mut self.open);
        self.open = open.into_iter().filter(|notice| self.is_unnoticed(notice, at)).collect();
        self.found_since.insert(follower, None);
        let is_closed = self.closed_at.get(&follower).is_some_and(|closed_at| at.0 <= closed_at.0 + self.contact.0);
        let is_lost = is_closed || self.misdirected.contains_key(&follower);
        for leader in &self.leaders {
            let arrives = self.links.arrival(*leader, follower, at).filter(|_| !is_lost);
            let way = arrives.map_or(Way::Lost, Way::Arrives);
            self.open.push(Notice { from: follower, crash: at, to: *leader, way });
        }
    }

    /// What is done to links and nodes.
    fn disturb(&mut self, at: Micros, kind: Disturbance, nodes: &[NodeId], latency: Option<Micros>) {
        match kind {
            Disturbance::Hold => self.links.hold(at, nodes, &self.leaders),
            Disturbance::Release => {
                self.arrive(at, nodes);
                self.links.release(at, nodes, &self.leaders);
            }
            Disturbance::Pause => {
                for leader in nodes.iter().filter(|node| node.can_lead()) {
                    self.paused.entry(*leader).or_insert(at);
                }
            }
            Disturbance::Resume => {
                self.arrive(at, nodes);
                self.paused.retain(|leader, _| !nodes.contains(leader));
                self.links.note_whole(at, nodes, &self.leaders);
            }
            Disturbance::Cut => {
                if let Some((leader, follower)) = self.links.cut(nodes) {
                    let is_lost = |notice: &Notice, arrives| {
                        (notice.to, notice.from) == (leader, follower) && self.has_not_arrived(notice, arrives, at)
                    };
                    let lost =
                        |notice: &Notice| matches!(notice.way, Way::Arrives(arrives) if is_lost(notice, arrives));
                    let lost: Vec<bool> = self.open.iter().map(lost).collect();
                    self.lose(&lost);
                }
            }
            Disturbance::Mend => self.links.mend(at, nodes),
            Disturbance::Isolate => {
                for (leader, follower) in self.links.pairs(nodes, &self.leaders) {
                    self.disturb(at, Disturbance::Cut, &[follower.into(), leader], None);
                    self.disturb(at, Disturbance::Cut, &[leader, follower.into()], None);
                }
            }
            Disturbance::Reconnect => {
                for (leader, follower) in self.links.pairs(nodes, &self.leaders) {
                    self.links.mend(at, &[follower.into(), leader]);
                    self.links.mend(at, &[leader, follower.into()]);
                }
            }
            Disturbance::Latency => self.links.set_latency(at, nodes, latency),
            // What a leader sends tells it nothing.
            Disturbance::LatencyOneWay => {
                if matches!(nodes.first(), Some(NodeId::Follower(_))) {
                    self.links.set_latency(at, nodes, latency);
                }
            }
            Disturbance::Misdirect => {
                let [NodeId::Follower(follower), NodeId::Follower(to)] = nodes else { return };
                // The leader closes what connections it does not use.
                [*follower, self.host_of(*follower)].into_iter().for_each(|host| self.close(at, host));
                self.misdirected.insert(*follower, *to);
                self.found_since.insert(*follower, None);
            }
            Disturbance::Redirect => {
                let Some(follower) = nodes.first().and_then(|node| follower_of(*node)) else { return };
                self.misdirected.remove(&follower);
                self.found_since.insert(follower, Some(at));
            }
            Disturbance::Heal => {
                let all: Vec<NodeId> = self.leaders.iter().copied().collect();
                self.arrive(at, &all);
                self.paused.clear();
                self.links.heal(at);
                let misdirected = std::mem::take(&mut self.misdirected);
                self.found_since.extend(misdirected.into_keys().map(|follower| (follower, Some(at))));
                self.put_clocks_right(at, &all);
            }
            Disturbance::ClockOff => {
                for leader in nodes.iter().filter(|node| node.can_lead()) {
                    self.clock_off.entry(*leader).or_insert(at);
                }
            }
            Disturbance::ClockRight => self.put_clocks_right(at, nodes),
            Disturbance::HangUp
            | Disturbance::Probe
            | Disturbance::Replace
            | Disturbance::Configure
            | Disturbance::AcceptLoss => {}
        }
    }

    /// The follower to which a name leads.
    fn host_of(&self, name: FollowerId) -> FollowerId {
        self.misdirected.get(&name).copied().unwrap_or(name)
    }

    /// A leader closes its connections to a follower, so that it does not learn how they end.
    fn close(&mut self, at: Micros, follower: FollowerId) {
        self.closed_at.insert(follower, at);
        let is_lost = |notice: &Notice| {
            let is_on_its_way = |arrives| self.has_not_arrived(notice, arrives, at);
            notice.from == follower && matches!(notice.way, Way::Arrives(arrives) if is_on_its_way(arrives))
        };
        let lost: Vec<bool> = self.open.iter().map(is_lost).collect();
        self.lose(&lost);
    }

    /// What a leader does after some time by its own clock takes as long from now on as it should.
    fn put_clocks_right(&mut self, at: Micros, leaders: &[NodeId]) {
        let since = leaders.iter().filter_map(|leader| self.clock_off.remove(leader)).min();
        let Some(since) = since else { return };
        self.clock_right_at = at;
        let is_open = |closed_at: &Micros| closed_at.0 + self.contact.0 >= since.0;
        self.closed_at.values_mut().filter(|closed_at| is_open(closed_at)).for_each(|closed_at| *closed_at = at);
    }

    fn lose(&mut self, lost: &[bool]) {
        let lost = self.open.iter_mut().zip(lost).filter(|(_, is_lost)| **is_lost);
        lost.for_each(|(notice, _)| notice.way = Way::Lost);
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
            Way::Lost => {
                let found_since = self.found_since.get(&notice.from).copied().flatten();
                let is_stopped = self.paused.contains_key(&notice.to) || self.clock_off.contains_key(&notice.to);
                let found_since = found_since.filter(|_| !is_stopped).map(|since| since.max(self.clock_right_at));
                let since = found_since.zip(self.links.whole_since(notice.to, notice.from));
                since.is_none_or(|(found, whole)| now.0 <= found.max(whole).0 + self.contact.0)
            }
        }
    }
}

#[cfg(test)]
mod tests;
