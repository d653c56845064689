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
    /// How many partitions cut each direction: to the leader, to the follower.
    cut: [u32; 2],
    /// When the last fault ended.
    whole_since: Micros,
}

impl Link {
    fn is_whole(&self) -> bool {
        self.held == 0 && self.cut == [0; 2]
    }
}

impl Links {
    pub(super) fn new(facts: &Facts) -> Self {
        Self { followers: facts.all_followers(), usual: facts.link_latency.into(), links: BTreeMap::new() }
    }

    /// When what a follower sends to a leader now arrives; `None` if it is lost.
    pub(super) fn arrival(&self, leader: NodeId, follower: FollowerId, now: Micros) -> Option<Micros> {
        let Some(link) = self.links.get(&(leader, follower)) else { return Some(Micros(now.0 + self.usual.0)) };
        let arrives = Micros(now.0 + link.latency.0).max(link.clear_at);
        (link.cut[0] == 0).then_some(arrives)
    }

    /// Whether what arrives then waits for a hold to end.
    pub(super) fn holds_back(&self, leader: NodeId, follower: FollowerId, arrives: Micros) -> bool {
        self.links.get(&(leader, follower)).is_some_and(|link| link.held > 0 && arrives >= link.held_since)
    }

    /// Since when the link has carried everything; `None` if it does not.
    pub(super) fn whole_since(&self, leader: NodeId, follower: FollowerId) -> Option<Micros> {
        match self.links.get(&(leader, follower)) {
            None => Some(Micros(0)),
            Some(link) => link.is_whole().then_some(link.whole_since),
        }
    }

    pub(super) fn hold(&mut self, at: Micros, nodes: &[NodeId], leaders: &BTreeSet<NodeId>) {
        self.each(nodes, leaders, |link| {
            link.held_since = if link.held == 0 { at } else { link.held_since };
            link.held += 1;
        });
    }

    pub(super) fn release(&mut self, at: Micros, nodes: &[NodeId], leaders: &BTreeSet<NodeId>) {
        self.each(nodes, leaders, |link| {
            link.held = link.held.saturating_sub(1);
            link.whole_since = at;
        });
    }

    pub(super) fn note_whole(&mut self, at: Micros, nodes: &[NodeId], leaders: &BTreeSet<NodeId>) {
        self.each(nodes, leaders, |link| link.whole_since = at);
    }

    /// Cuts what the first node sends to the second. Returns the link if that is what a follower sends to a leader.
    pub(super) fn cut(&mut self, nodes: &[NodeId]) -> Option<(NodeId, FollowerId)> {
        let (leader, follower, direction) = ends(nodes)?;
        self.link(leader, follower).cut[direction] += 1;
        (direction == 0).then_some((leader, follower))
    }

    pub(super) fn mend(&mut self, at: Micros, nodes: &[NodeId]) {
        if let Some((leader, follower, direction)) = ends(nodes) {
            let link = self.link(leader, follower);
            link.cut[direction] = link.cut[direction].saturating_sub(1);
            link.whole_since = at;
        }
    }

    pub(super) fn set_latency(&mut self, at: Micros, nodes: &[NodeId], latency: Option<Micros>) {
        if let (Some((leader, follower, _)), Some(latency)) = (ends(nodes), latency) {
            let link = self.link(leader, follower);
            link.clear_at = link.clear_at.max(Micros(at.0 + link.latency.0));
            link.latency = latency;
        }
    }

    /// Ends every fault.
    pub(super) fn heal(&mut self, at: Micros) {
        for link in self.links.values_mut() {
            link.clear_at = link.clear_at.max(Micros(at.0 + link.latency.0));
            *link = Link { latency: self.usual, held: 0, cut: [0; 2], whole_since: at, ..*link };
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

/// The two ends of a link, and whether it is the direction to the leader (0) or to the follower (1).
fn ends(nodes: &[NodeId]) -> Option<(NodeId, FollowerId, usize)> {
    match nodes {
        [NodeId::Follower(follower), leader] if leader.can_lead() => Some((*leader, *follower, 0)),
        [leader, NodeId::Follower(follower)] if leader.can_lead() => Some((*leader, *follower, 1)),
        _ => None,
    }
}

pub(super) fn follower_of(node: NodeId) -> Option<FollowerId> {
    match node {
        NodeId::Follower(follower) => Some(follower),
        NodeId::Server(_) | NodeId::Client(_) | NodeId::Network => None,
    }
}
