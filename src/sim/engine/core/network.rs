use std::collections::VecDeque;

use super::queue::{At, Event};
use crate::base::{FollowerId, NodeId};

/// The links between the leader and each follower. What else could be said of links is heard by nobody: followers do not
/// talk to one another.
#[derive(Debug)]
pub(super) struct Network {
    links: Vec<Link>,
    usual_latency: At,
}

/// A way over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    ToFollower,
    ToLeader,
}

/// What the faults that are on make of a link. Each is counted, so that the end of one does not end another.
#[derive(Debug)]
struct Link {
    latency: At,
    held: u32,
    /// For each way: how many faults cut it, and how often it was cut.
    cut: [u32; 2],
    cuts: [u32; 2],
    /// What is held back, in its order.
    waiting: VecDeque<(Way, Event)>,
}

/// What becomes of something that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    /// It arrives after this time, unless the link is cut meanwhile: `cuts` has grown then.
    Takes { latency: At, cuts: u32 },
    /// It is lost.
    Lost,
}

impl Network {
    pub(super) fn new(followers: usize, latency: At) -> Self {
        let link = |_| Link { latency, held: 0, cut: [0; 2], cuts: [0; 2], waiting: VecDeque::new() };
        Self { links: (0..followers).map(link).collect(), usual_latency: latency }
    }

    pub(super) fn send(&self, follower: FollowerId, way: Way) -> Passage {
        let link = &self.links[follower.index()];
        if link.cut[way as usize] > 0 {
            return Passage::Lost;
        }
        Passage::Takes { latency: link.latency, cuts: link.cuts[way as usize] }
    }

    /// Whether what was sent when the link had been cut so often gets through.
    pub(super) fn passes(&self, follower: FollowerId, way: Way, cuts: u32) -> bool {
        self.links[follower.index()].cuts[way as usize] == cuts
    }

    /// Whether what arrives gets in. If not, the link is on hold and keeps it.
    pub(super) fn lets_in(&mut self, follower: FollowerId, way: Way, event: Event) -> bool {
        let link = &mut self.links[follower.index()];
        if link.held > 0 {
            link.waiting.push_back((way, event));
        }
        link.held == 0
    }

    /// How long the link takes, one way.
    pub(super) fn latency(&self, follower: FollowerId) -> At {
        self.links[follower.index()].latency
    }

    /// Cuts one way. Returns what was held back on it, which is lost.
    pub(super) fn cut(&mut self, from: NodeId, to: NodeId) -> Vec<Event> {
        let Some((follower, way)) = between(from, to) else { return Vec::new() };
        let link = &mut self.links[follower.index()];
        link.cut[way as usize] += 1;
        link.cuts[way as usize] += 1;
        let (lost, waiting): (VecDeque<_>, VecDeque<_>) = link.waiting.drain(..).partition(|(of, _)| *of == way);
        link.waiting = waiting;
        lost.into_iter().map(|(_, event)| event).collect()
    }

    pub(super) fn mend(&mut self, from: NodeId, to: NodeId) {
        if let Some((follower, way)) = between(from, to) {
            let cut = &mut self.links[follower.index()].cut[way as usize];
            *cut = cut.saturating_sub(1);
        }
    }

    pub(super) fn hold(&mut self, a: NodeId, b: NodeId) {
        if let Some((follower, _)) = between(a, b) {
            self.links[follower.index()].held += 1;
        }
    }

    /// Takes one hold back. Returns what is let go by that, in its order.
    pub(super) fn release(&mut self, a: NodeId, b: NodeId) -> Vec<Event> {
        let Some((follower, _)) = between(a, b) else { return Vec::new() };
        let link = &mut self.links[follower.index()];
        link.held = link.held.saturating_sub(1);
        if link.held > 0 { Vec::new() } else { link.waiting.drain(..).map(|(_, event)| event).collect() }
    }

    pub(super) fn set_latency(&mut self, a: NodeId, b: NodeId, latency: At) {
        if let Some((follower, _)) = between(a, b) {
            self.links[follower.index()].latency = latency;
        }
    }

    /// Takes everything back. Returns what is let go by that.
    pub(super) fn heal(&mut self) -> Vec<Event> {
        let mut released = Vec::new();
        for link in &mut self.links {
            link.latency = self.usual_latency;
            link.held = 0;
            link.cut = [0; 2];
            released.extend(link.waiting.drain(..).map(|(_, event)| event));
        }
        released
    }
}

fn between(from: NodeId, to: NodeId) -> Option<(FollowerId, Way)> {
    match (from, to) {
        (NodeId::Leader, NodeId::Follower(follower)) => Some((follower, Way::ToFollower)),
        (NodeId::Follower(follower), NodeId::Leader) => Some((follower, Way::ToLeader)),
        _ => None,
    }
}
