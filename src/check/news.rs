use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Facts;
use crate::base::NodeId;
use crate::base::trace::{Disturbance, Event, Micros};

/// How long a leader may go without news of what happened to a follower, by what was done to the links between them.
#[derive(Debug)]
pub(super) struct News {
    usual: Duration,
    /// The greatest latency that a link of each node ever had: what was sent with it is on its way that long.
    slowest: BTreeMap<NodeId, Duration>,
    /// How many holds are on at each node, and when the last one ended. A leader that is stopped hears nothing either.
    held: BTreeMap<NodeId, (u32, Micros)>,
    /// The nodes that can lead and are stopped.
    paused: BTreeSet<NodeId>,
    /// Those that are not where they are looked for.
    astray: BTreeSet<NodeId>,
}

impl News {
    pub(super) fn new(facts: &Facts) -> Self {
        let usual = facts.link_latency + Duration::from_millis(1);
        Self {
            usual,
            slowest: BTreeMap::new(),
            held: BTreeMap::new(),
            paused: BTreeSet::new(),
            astray: BTreeSet::new(),
        }
    }

    pub(super) fn follow(&mut self, at: Micros, event: &Event) {
        let Event::Fault { kind, nodes, latency, .. } = event else { return };
        match kind {
            Disturbance::Hold => nodes.iter().for_each(|node| self.hold(*node)),
            Disturbance::Release => nodes.iter().for_each(|node| self.release(*node, at)),
            Disturbance::Pause => nodes.iter().filter(|node| node.can_lead()).for_each(|node| {
                if self.paused.insert(*node) {
                    self.hold(*node);
                }
            }),
            Disturbance::Resume => nodes.iter().for_each(|node| {
                if self.paused.remove(node) {
                    self.release(*node, at);
                }
            }),
            Disturbance::Misdirect => nodes.iter().take(1).for_each(|node| {
                if self.astray.insert(*node) {
                    self.hold(*node);
                }
            }),
            Disturbance::Redirect => nodes.iter().for_each(|node| {
                if self.astray.remove(node) {
                    self.release(*node, at);
                }
            }),
            Disturbance::Heal => {
                self.paused.clear();
                self.astray.clear();
                self.held.values_mut().filter(|(count, _)| *count > 0).for_each(|held| *held = (0, at));
            }
            Disturbance::Latency => nodes.iter().for_each(|node| self.slow(*node, *latency)),
            // Only messages from the follower inform the leader.
            Disturbance::LatencyOneWay => nodes.iter().take(1).for_each(|node| self.slow(*node, *latency)),
            _ => {}
        }
    }

    fn slow(&mut self, node: NodeId, latency: Option<Micros>) {
        let slowest = self.slowest.entry(node).or_default();
        *slowest = latency.map_or(*slowest, |latency| Duration::from(latency).max(*slowest));
    }

    fn hold(&mut self, node: NodeId) {
        self.held.entry(node).or_default().0 += 1;
    }

    fn release(&mut self, node: NodeId, at: Micros) {
        let (count, until) = self.held.entry(node).or_default();
        *count = count.saturating_sub(1);
        if *count == 0 {
            *until = at;
        }
    }

    /// Whether this leader need not know at `now` that a follower has crashed at `crash`.
    pub(super) fn may_be_out(&self, leader: NodeId, follower: NodeId, crash: Micros, now: Micros) -> bool {
        let held = |node: NodeId| self.held.get(&node).copied();
        let mut sent = crash;
        for (count, until) in [held(follower), held(leader)].into_iter().flatten() {
            if count > 0 {
                return true;
            }
            sent = sent.max(until);
        }
        let slowest = self.slowest.get(&follower).copied().unwrap_or_default();
        Duration::from(sent) + self.usual.max(slowest + Duration::from_millis(1)) >= now.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Story, f};

    const N1: NodeId = NodeId::FIRST_SERVER;

    fn fault(kind: Disturbance, nodes: &[NodeId], latency: Option<u64>) -> Event {
        Event::Fault { kind, nodes: nodes.to_vec(), latency: latency.map(Micros), what: String::new() }
    }

    /// A link latency of 1 ms, as in the stories.
    fn news() -> News {
        News::new(&Story::new().facts)
    }

    #[test]
    fn news_takes_as_long_as_the_slowest_link_and_waits_while_it_is_held() {
        let (f1, f2, f3) = (NodeId::from(f(1)), NodeId::from(f(2)), NodeId::from(f(3)));
        let ms = |ms: u64| Micros(ms * 1000);
        let mut news = news();
        assert!(news.may_be_out(N1, f1, ms(10), ms(12)) && !news.may_be_out(N1, f1, ms(10), ms(13)));
        news.follow(ms(20), &fault(Disturbance::Latency, &[f1, NodeId::FIRST_SERVER], Some(300_000)));
        news.follow(ms(21), &fault(Disturbance::Latency, &[f1, NodeId::FIRST_SERVER], Some(1000)));
        assert!(news.may_be_out(N1, f1, ms(22), ms(323)) && !news.may_be_out(N1, f1, ms(22), ms(324)));
        assert!(!news.may_be_out(N1, f2, ms(22), ms(40)), "another link");
        news.follow(ms(22), &fault(Disturbance::LatencyOneWay, &[NodeId::FIRST_SERVER, f2], Some(300_000)));
        assert!(!news.may_be_out(N1, f2, ms(22), ms(40)), "only what the leader sends is slow");
        news.follow(ms(23), &fault(Disturbance::LatencyOneWay, &[f3, NodeId::FIRST_SERVER], Some(300_000)));
        assert!(news.may_be_out(N1, f3, ms(23), ms(324)) && !news.may_be_out(N1, f3, ms(23), ms(325)));
        news.follow(ms(30), &fault(Disturbance::Hold, &[f2], None));
        news.follow(ms(31), &fault(Disturbance::Hold, &[f2], None));
        news.follow(ms(32), &fault(Disturbance::Release, &[f2], None));
        assert!(news.may_be_out(N1, f2, ms(31), ms(900_000)));
        news.follow(ms(50), &fault(Disturbance::Release, &[f2], None));
        assert!(news.may_be_out(N1, f2, ms(31), ms(52)) && !news.may_be_out(N1, f2, ms(31), ms(53)));
    }

    /// A leader that is stopped learns of nothing until it goes on; of a follower that is, its kernel speaks.
    #[test]
    fn a_paused_leader_hears_nothing() {
        let (f1, f2) = (NodeId::from(f(1)), NodeId::from(f(2)));
        let ms = |ms: u64| Micros(ms * 1000);
        let mut news = news();
        news.follow(ms(5), &fault(Disturbance::Pause, &[f2], None));
        news.follow(ms(9), &fault(Disturbance::Pause, &[NodeId::FIRST_SERVER], None));
        assert!(news.may_be_out(N1, f1, ms(10), ms(900)) && news.may_be_out(N1, f2, ms(10), ms(900)));
        news.follow(ms(50), &fault(Disturbance::Resume, &[NodeId::FIRST_SERVER], None));
        assert!(news.may_be_out(N1, f1, ms(10), ms(52)) && !news.may_be_out(N1, f1, ms(10), ms(53)));
        assert!(!news.may_be_out(N1, f2, ms(10), ms(53)), "a follower that is stopped keeps no news back");
        news.follow(ms(60), &fault(Disturbance::Pause, &[NodeId::FIRST_SERVER], None));
        news.follow(ms(70), &fault(Disturbance::Heal, &[], None));
        assert!(!news.may_be_out(N1, f1, ms(10), ms(73)));
    }
}
