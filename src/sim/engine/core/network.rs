use std::collections::VecDeque;

use super::queue::{At, Event};
use crate::base::FollowerId;

/// The links between each machine that runs a leader, and each follower. Followers do not talk to one another.
#[derive(Debug)]
pub(super) struct Network {
    /// Machine by machine.
    links: Vec<Link>,
    followers: usize,
    usual_latency: At,
}

/// What is at the two ends of a link: a machine that runs a leader, and a follower. Small, for every event that is to come has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    machine: u16,
    pub(super) follower: FollowerId,
}

impl Ends {
    pub(super) fn new(machine: Machine, follower: FollowerId) -> Self {
        Self { machine: machine.try_into().expect("nobody starts so many leaders"), follower }
    }

    pub(super) fn machine(self) -> Machine {
        self.machine.into()
    }
}

/// A machine on which a leader runs, counted from 0. The last one is that of the present leader.
pub(super) type Machine = usize;

/// A way over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    ToFollower,
    ToLeader,
}

/// What the faults that are on make of a link. Each is counted, so that the end of one does not end another.
#[derive(Debug)]
struct Link {
    /// For each way.
    latency: [At; 2],
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

/// What becomes of something that was on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The link was cut meanwhile.
    Lost,
    /// The link is on hold and keeps it.
    Held,
    /// It is there.
    In,
}

impl Network {
    /// One machine, and these followers.
    pub(super) fn new(followers: usize, latency: At) -> Self {
        let mut network = Self { links: Vec::new(), followers, usual_latency: latency };
        network.add_machine();
        network
    }

    /// Connects another machine, by links to which nothing has been done.
    pub(super) fn add_machine(&mut self) {
        let latency = [self.usual_latency; 2];
        let link = |_| Link { latency, held: 0, cut: [0; 2], cuts: [0; 2], waiting: VecDeque::new() };
        self.links.extend((0..self.followers).map(link));
    }

    fn link(&self, ends: Ends) -> &Link {
        &self.links[ends.machine() * self.followers + ends.follower.index()]
    }

    fn link_mut(&mut self, ends: Ends) -> &mut Link {
        &mut self.links[ends.machine() * self.followers + ends.follower.index()]
    }

    pub(super) fn send(&self, ends: Ends, way: Way) -> Passage {
        let link = self.link(ends);
        if link.cut[way as usize] > 0 {
            return Passage::Lost;
        }
        Passage::Takes { latency: link.latency[way as usize], cuts: link.cuts[way as usize] }
    }

    /// Whether what was sent when the link had been cut so often gets through, and gets in.
    pub(super) fn arrives(&mut self, ends: Ends, way: Way, cuts: u32, event: Event) -> Arrival {
        let link = self.link_mut(ends);
        match () {
            () if link.cuts[way as usize] != cuts => Arrival::Lost,
            () if link.held == 0 => Arrival::In,
            () => {
                link.waiting.push_back((way, event));
                Arrival::Held
            }
        }
    }

    /// Whether what arrives gets in. If not, the link is on hold and keeps it.
    pub(super) fn lets_in(&mut self, ends: Ends, way: Way, event: Event) -> bool {
        let link = self.link_mut(ends);
        if link.held > 0 {
            link.waiting.push_back((way, event));
        }
        link.held == 0
    }

    /// How long the link takes this way.
    pub(super) fn latency(&self, ends: Ends, way: Way) -> At {
        self.link(ends).latency[way as usize]
    }

    /// Cuts one way. Returns what was held back on it, which is lost.
    pub(super) fn cut(&mut self, ends: Ends, way: Way) -> Vec<Event> {
        let link = self.link_mut(ends);
        link.cut[way as usize] += 1;
        link.cuts[way as usize] += 1;
        let (lost, waiting): (VecDeque<_>, VecDeque<_>) = link.waiting.drain(..).partition(|(of, _)| *of == way);
        link.waiting = waiting;
        lost.into_iter().map(|(_, event)| event).collect()
    }

    pub(super) fn mend(&mut self, ends: Ends, way: Way) {
        let cut = &mut self.link_mut(ends).cut[way as usize];
        *cut = cut.saturating_sub(1);
    }

    pub(super) fn hold(&mut self, ends: Ends) {
        self.link_mut(ends).held += 1;
    }

    /// Takes one hold back. Returns what is let go by that, in its order.
    pub(super) fn release(&mut self, ends: Ends) -> Vec<Event> {
        let link = self.link_mut(ends);
        link.held = link.held.saturating_sub(1);
        if link.held > 0 { Vec::new() } else { link.waiting.drain(..).map(|(_, event)| event).collect() }
    }

    pub(super) fn set_latency(&mut self, ends: Ends, ways: &[Way], latency: At) {
        let link = self.link_mut(ends);
        ways.iter().for_each(|way| link.latency[*way as usize] = latency);
    }

    /// Takes everything back. Returns what is let go by that.
    pub(super) fn heal(&mut self) -> Vec<Event> {
        let mut released = Vec::new();
        for link in &mut self.links {
            link.latency = [self.usual_latency; 2];
            link.held = 0;
            link.cut = [0; 2];
            released.extend(link.waiting.drain(..).map(|(_, event)| event));
        }
        released
    }
}
