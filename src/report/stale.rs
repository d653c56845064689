use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Diagram;
use crate::base::trace::{Event, Record, Trace, WriteId};
use crate::base::{FollowerId, Key, NodeId, Stamp};

/// A write that reaches a follower after a newer one of the same key, with the events of both writes at the leader and
/// at that follower. Printed by its `Display`.
#[derive(Debug)]
pub struct StaleArrival<'a> {
    trace: &'a Trace,
    follower: FollowerId,
    key: &'a Key,
    /// The stamp that is rejected.
    stale: Stamp,
    /// The stamp that the follower has by then.
    stored: Stamp,
    /// The places of the events in the story of the trace.
    events: BTreeSet<usize>,
}

impl<'a> StaleArrival<'a> {
    /// The first stale arrival of a trace, one between a write and the next of its key if there is any. `None` if the trace
    /// has no stale arrival whose newer write reached the follower in a message of its own.
    pub fn first(trace: &'a Trace) -> Option<Self> {
        let mut seen = Seen::default();
        let mut other = None;
        for (place, record) in trace.story().iter().enumerate() {
            if let Some((stale, is_next)) = seen.follow(trace, place, record) {
                if is_next {
                    return Some(stale.with_completions());
                }
                other.get_or_insert(stale);
            }
        }
        other.map(Self::with_completions)
    }

    /// Adds the answers to the clients, some of which come later.
    fn with_completions(mut self) -> Self {
        let accepted: BTreeSet<(u64, WriteId)> =
            self.events.iter().filter_map(|at| accepted(self.trace, *at)).collect();
        for (place, record) in self.trace.story().iter().enumerate() {
            if let Event::Complete { write, .. } = record.event
                && accepted.contains(&(record.incarnation, write))
            {
                self.events.insert(place);
            }
        }
        self
    }
}

/// The write that the event at this place accepts.
fn accepted(trace: &Trace, place: usize) -> Option<(u64, WriteId)> {
    let record = trace.story().get(place)?;
    match record.event {
        Event::Accept { write, .. } => Some((record.incarnation, write)),
        _ => None,
    }
}

/// The places of events by what they are about.
#[derive(Default)]
struct Seen<'a> {
    accepted: BTreeMap<&'a Key, BTreeMap<Stamp, usize>>,
    applied: BTreeMap<(FollowerId, &'a Key, Stamp), usize>,
}

impl<'a> Seen<'a> {
    /// Returns the stale arrival that a record is, and whether the newer write is the next one of its key.
    fn follow(&mut self, trace: &'a Trace, place: usize, record: &'a Record) -> Option<(StaleArrival<'a>, bool)> {
        match (record.node, &record.event) {
            (_, Event::Accept { key, stamp, .. }) => {
                self.accepted.entry(key).or_default().insert(*stamp, place);
                None
            }
            (NodeId::Follower(follower), Event::Apply { request: Some(_), key, stamp, .. }) => {
                self.applied.insert((follower, key, *stamp), place);
                None
            }
            (NodeId::Follower(follower), Event::Reject { request: Some(_), key, stamp, stored }) if stored > stamp => {
                let of_key = self.accepted.get(key)?;
                let applied = *self.applied.get(&(follower, key, *stored))?;
                let events = BTreeSet::from([*of_key.get(stamp)?, *of_key.get(stored)?, applied, place]);
                let is_next = of_key.range(*stamp..*stored).count() == 1;
                Some((StaleArrival { trace, follower, key, stale: *stamp, stored: *stored, events }, is_next))
            }
            _ => None,
        }
    }
}

impl fmt::Display for StaleArrival<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, follower, key, stale, stored, events } = self;
        writeln!(
            f,
            "{stored} of {key} overtakes {stale} on its way to {follower}, which then rejects {stale} as stale:\n"
        )?;
        write!(f, "{}", Diagram::of_events(trace, *follower, events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::trace::{MessageId, Micros, RequestId};
    use crate::base::{Value, Version};

    /// A leader sends three versions of `x` to `f2`, which handles them in this order.
    fn trace(order: &[u64]) -> Trace {
        let mut trace = Trace::default();
        let mut at = 0;
        let mut push = |node, event| {
            at += 1500;
            trace.push(Record { at: Micros(at), node, incarnation: 0, event });
        };
        let (leader, f2) = (NodeId::FIRST_SERVER, FollowerId(1));
        let key = || Key::new("x").unwrap();
        let stamp = |version| Stamp::of_version(Version::new(version).unwrap());
        let message = |write| MessageId { write, to: f2, attempt: 1 };
        let value = || Some(Value::from_json("1").unwrap());
        for write in 1..=3 {
            let (key, stamp, value) = (key(), stamp(write), value());
            push(leader, Event::Accept { write, key, stamp, value, operation: None, request_id: None });
            push(leader, Event::Send { message: message(write), delay: Micros(7000), lost: None, copy: None });
        }
        let mut stored = 0;
        for (place, write) in order.iter().copied().enumerate() {
            let request = RequestId { incarnation: 0, number: place as u64 + 1 };
            push(leader, Event::Dispatch { request, to: f2, messages: [message(write)].into_iter().collect() });
            let (request, key) = (Some(request), key());
            if write > stored {
                stored = write;
                push(f2.into(), Event::Apply { request, key, stamp: stamp(write), value: value() });
            } else {
                push(f2.into(), Event::Reject { request, key, stamp: stamp(write), stored: stamp(stored) });
            }
            push(leader, Event::Complete { write, ok: true, confirmations: 1 });
        }
        trace
    }

    #[test]
    fn the_events_of_two_writes_at_one_follower_are_drawn() {
        insta::assert_snapshot!(StaleArrival::first(&trace(&[3, 1, 2])).expect("a stale arrival"));
    }

    #[test]
    fn a_write_overtaken_by_a_later_one_than_the_next_is_drawn_if_there_is_no_other() {
        let trace = trace(&[3, 1]);
        let stale = StaleArrival::first(&trace).expect("a stale arrival");
        assert_eq!((stale.stale.version.get(), stale.stored.version.get()), (1, 3));
    }

    #[test]
    fn writes_in_order_have_none() {
        assert!(StaleArrival::first(&trace(&[1, 2, 3])).is_none());
    }
}
