use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, VecDeque};

use super::exchange::ExchangeId;
use super::network::Ends;
use crate::base::FollowerId;

/// Virtual time since the simulation began, in microseconds.
pub(super) type At = u64;

/// A client, by its place among all of a run.
pub(super) type ClientIndex = u32;

/// A call of a client: the how-manieth of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallId {
    pub(super) client: ClientIndex,
    pub(super) ordinal: u32,
}

/// Something that will happen unless something else comes in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A client begins its next operation.
    Begin(ClientIndex),
    /// A call reaches its node.
    Call(CallId),
    /// What came of it reaches its client.
    Answer(CallId),
    /// Its client hangs up on it.
    HangUp(CallId),
    /// A request for a connection reaches a follower.
    Connect(ExchangeId),
    /// The connection is there, as the leader sees it.
    Connected(ExchangeId),
    /// A replication request reaches its follower.
    Request(ExchangeId),
    /// The answer to it reaches the leader.
    Reply(ExchangeId),
    /// The news that its connection is dead reaches the leader.
    Reset(ExchangeId),
    /// The news that there will be no connection reaches the leader.
    Refused(ExchangeId),
    /// The news that one of a follower's lives is over reaches a leader.
    Ended {
        /// The leader and the follower.
        ends: Ends,
        /// Which life.
        life: u64,
    },
    /// A leader closes the connections under a follower's name that nobody uses.
    Closed {
        /// The leader's machine.
        machine: u8,
        /// The name.
        name: FollowerId,
    },
    /// An RPC that the emulated network kept leaves its leader.
    Leave(ExchangeId),
    /// The next fault strikes.
    Strike,
    /// The fault at this place of the scenario strikes: the event has come that it waited for.
    StrikeTriggered(u32),
    /// One of what is enabled is chosen to be next.
    Choose,
}

/// What is to happen, in the order of time; what is to happen at the same time, in the order in which it was put in.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// What goes over links, nearly all of which take the same time: it comes in its order already.
    transits: VecDeque<Queued>,
    others: BinaryHeap<Reverse<Queued>>,
    pushed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Queued {
    due: At,
    ordinal: u64,
    event: Event,
}

impl Queue {
    pub(super) fn push(&mut self, due: At, event: Event) {
        let queued = self.next(due, event);
        self.others.push(Reverse(queued));
    }

    /// The same, faster, for what goes over a link.
    pub(super) fn push_transit(&mut self, due: At, event: Event) {
        if self.transits.back().is_some_and(|last| last.due > due) {
            self.push(due, event);
        } else {
            let queued = self.next(due, event);
            self.transits.push_back(queued);
        }
    }

    /// What happens next, and when, if that is due by this time.
    #[inline]
    pub(super) fn pop_by(&mut self, time: At) -> Option<(At, Event)> {
        let other = self.others.peek().map(|Reverse(other)| other);
        let next = match (self.transits.front(), other) {
            (Some(transit), Some(other)) if transit > other => self.pop_other(time),
            (None, Some(_)) => self.pop_other(time),
            _ => self.transits.pop_front_if(|transit| transit.due <= time),
        };
        next.map(|queued| (queued.due, queued.event))
    }

    fn pop_other(&mut self, time: At) -> Option<Queued> {
        let other = self.others.peek_mut().filter(|other| other.0.due <= time)?;
        Some(PeekMut::pop(other).0)
    }

    fn next(&mut self, due: At, event: Event) -> Queued {
        self.pushed += 1;
        Queued { due, ordinal: self.pushed, event }
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.ordinal).cmp(&(other.due, other.ordinal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_first_comes_first_and_ties_keep_their_order() {
        let mut queue = Queue::default();
        queue.push_transit(5, Event::Begin(1));
        queue.push(3, Event::Begin(2));
        queue.push(5, Event::Begin(3));
        queue.push_transit(4, Event::Begin(4));
        queue.push_transit(5, Event::Begin(5));
        assert_eq!(queue.pop_by(2), None);
        let order: Vec<(At, Event)> = std::iter::from_fn(|| queue.pop_by(5)).collect();
        assert_eq!(order, [(3, 2), (4, 4), (5, 1), (5, 3), (5, 5)].map(|(due, client)| (due, Event::Begin(client))));
        assert_eq!(queue.pop_by(At::MAX), None);
    }
}
