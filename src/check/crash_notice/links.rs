use std::collections::{BTreeMap, BTreeSet};

use crate::base::trace::Micros;
use crate::base::{FollowerId, NodeId};
use crate::check::Facts;

/// What faults have made of the links between leaders and followers.
#[derive(Debug)]
pub(super) struct Links {
    followers: usize,
    usual: Micros,
    links: BTreeMap<(NodeId, FollowerId), Link>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Link {
    latency: Micros,
    /// When everything has arrived that was sent while the latency was another one.
    clear_at: Micros,
    /// How many holds are on, and since when.
    held: u32,
    held_since: Micros,
    /// How many partitions cut what goes to the leader.
    cut: u32,
}

impl Links {
    pub(super) fn new(facts: &Facts) -> Self {
        Self { followers: facts.all_followers(), usual: facts.link_latency.into(), links: BTreeMap::new() }
    }

    /// When what a follower sends to a leader now arrives, and whether a partition loses it.
    pub(super) fn arrival(&self, leader: NodeId, follower: FollowerId, now: Micros) -> (Micros, bool) {
        let Some(link) = self.links.get(&(leader, follower)) else { return (Micros(now.0 + self.usual.0), false) };
        (Micros(now.0 + link.latency.0).max(link.clear_at), link.cut > 0)
    }

    /// Whether what arrives then waits for a hold to end.
    pub(super) fn holds_back(&self, leader: NodeId, follower: FollowerId, arrives: Micros) -> bool {
        self.links.get(&(leader, follower)).is_some_and(|link| link.held > 0 && arrives >= link.held_since)
    }

    pub(super) fn hold(&mut self, at: Micros, nodes: &[NodeId], leaders: &BTreeSet<NodeId>) {
        self.each(nodes, leaders, |link| {
            link.held_since = if link.held == 0 { at } else { link.held_since };
            link.held += 1;
        });
    }

    pub(super) fn release(&mut self, nodes: &[NodeId], leaders: &BTreeSet<NodeId>) {
        self.each(nodes, leaders, |link| link.held = link.held.saturating_sub(1));
    }

    /// Cuts what the first node sends to the second. Returns the link if that is what a follower sends to a leader.
    pub(super) fn cut(&mut self, nodes: &[NodeId]) -> Option<(NodeId, FollowerId)> {
        let (leader, follower) = to_leader(nodes)?;
        self.link(leader, follower).cut += 1;
        Some((leader, follower))
    }

    pub(super) fn mend(&mut self, nodes: &[NodeId]) {
        if let Some((leader, follower)) = to_leader(nodes) {
            let link = self.link(leader, follower);
            link.cut = link.cut.saturating_sub(1);
        }
    }

    pub(super) fn set_latency(&mut self, at: Micros, nodes: &[NodeId], latency: Option<Micros>) {
        if let (Some((leader, follower)), Some(latency)) = (ends(nodes), latency) {
            let link = self.link(leader, follower);
            link.clear_at = link.clear_at.max(Micros(at.0 + link.latency.0));
            link.latency = latency;
        }
    }

    /// Ends every fault.
    pub(super) fn heal(&mut self, at: Micros) {
        for link in self.links.values_mut() {
            link.clear_at = link.clear_at.max(Micros(at.0 + link.latency.0));
            *link = Link { latency: self.usual, held: 0, cut: 0, ..*link };
        }
    }

    /// The links that end at one of these nodes.
    pub(super) fn pairs(&self, nodes: &[NodeId], leaders: &BTreeSet<NodeId>) -> Vec<(NodeId, FollowerId)> {
        let followers = || FollowerId::first(self.followers);
        let all = leaders.iter().flat_map(|leader| followers().map(|follower| (*leader, follower)));
        all.filter(|(leader, follower)| nodes.contains(leader) || nodes.contains(&(*follower).into())).collect()
    }

    fn each(&mut self, nodes: &[NodeId], leaders: &BTreeSet<NodeId>, change: impl Fn(&mut Link)) {
        for (leader, follower) in self.pairs(nodes, leaders) {
            change(self.link(leader, follower));
        }
    }

    fn link(&mut self, leader: NodeId, follower: FollowerId) -> &mut Link {
        let latency = self.usual;
        self.links.entry((leader, follower)).or_insert(Link { latency, ..Link::default() })
    }
}

/// The two ends of a link.
fn ends(nodes: &[NodeId]) -> Option<(NodeId, FollowerId)> {
    match nodes {
        [leader, NodeId::Follower(follower)] if leader.can_lead() => Some((*leader, *follower)),
        nodes => to_leader(nodes),
    }
}

/// The two ends of a link whose direction to the leader is meant.
fn to_leader(nodes: &[NodeId]) -> Option<(NodeId, FollowerId)> {
    match nodes {
        [NodeId::Follower(follower), leader] if leader.can_lead() => Some((*leader, *follower)),
        _ => None,
    }
}
