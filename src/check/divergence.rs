//! Where two runs part that should be one: the first event that differs, and what can be told of why.
//!
//! The same binary, scenario and seed must give the same run. If they do not, something reached the run that does not
//! follow from the seed; the events before the difference are the same, so the first different one is where it did.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value as Json;

use super::evidence::At;
use crate::base::NodeId;
use crate::base::trace::{Event, MessageId, Micros, Record};

/// How many events before the difference are kept.
const BEFORE: usize = 5;

/// The first difference between two runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence<'a> {
    /// The place of the first event that differs, counted from 0. All before it are the same.
    pub index: usize,
    /// What the one run has there; nothing if it has ended.
    pub left: Option<&'a Record>,
    /// What the other has there.
    pub right: Option<&'a Record>,
    /// The node to look at: where the leak reached the run, as far as it can be told.
    pub node: NodeId,
    /// The last events before it on that node, oldest first; the same in both runs.
    pub before: Vec<&'a Record>,
    /// What leaked, as far as it can be told.
    pub leak: Leak,
}

/// What leaked into a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leak {
    /// The same events of one moment happen in another order.
    Order {
        /// The moment.
        at: Micros,
        /// How many events.
        events: usize,
    },
    /// The same event happens at another time.
    Time {
        /// On this node.
        node: NodeId,
        /// In the one run.
        left: Micros,
        /// In the other.
        right: Micros,
    },
    /// The emulated network treats a message in another way.
    Draw(MessageId),
    /// The same kind of event says something else.
    Content {
        /// The fields that differ.
        fields: Vec<String>,
    },
    /// Other things happen.
    Course,
}

/// Compares two runs. `None` if they are the same.
pub fn first<'a>(left: &'a [Record], right: &'a [Record]) -> Option<Divergence<'a>> {
    let index = left.iter().zip(right).take_while(|(left, right)| left == right).count();
    let (one, other) = (left.get(index), right.get(index));
    let first = one.or(other)?;
    let leak = match (one, other) {
        (Some(one), Some(other)) => same_moment(&left[index..], &right[index..])
            .or_else(|| same_node(one, other))
            .or_else(|| later(one, other, &left[index..], &right[index..]))
            .unwrap_or(Leak::Course),
        _ => Leak::Course,
    };
    let node = if let Leak::Time { node, .. } = leak { node } else { first.node };
    let mut before: Vec<&Record> =
        left[..index].iter().rev().filter(|record| record.node == node).take(BEFORE).collect();
    before.reverse();
    Some(Divergence { index, left: one, right: other, node, before, leak })
}

/// Whether the events of the moment at which the runs part are the same but for their order.
fn same_moment(left: &[Record], right: &[Record]) -> Option<Leak> {
    let at = left[0].at;
    let moment = |records: &[Record]| {
        let mut texts: Vec<String> = records.iter().take_while(|record| record.at == at).map(text).collect();
        texts.sort_unstable();
        texts
    };
    let (one, other) = (moment(left), moment(right));
    (one == other).then_some(Leak::Order { at, events: one.len() })
}

/// What leaked between two events of the same node, if they are alike at all.
fn same_node(left: &Record, right: &Record) -> Option<Leak> {
    if left.node != right.node || left.incarnation != right.incarnation {
        return None;
    }
    if left.event == right.event {
        return Some(Leak::Time { node: left.node, left: left.at, right: right.at });
    }
    if let (Event::Send { message, .. }, Event::Send { message: other, .. }) = (&left.event, &right.event)
        && message == other
    {
        return Some(Leak::Draw(*message));
    }
    let (left, right) = (fields(left), fields(right));
    if left.get("event") != right.get("event") {
        return None;
    }
    let differs = |name: &&String| left.get(*name) != right.get(*name);
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).filter(differs).collect();
    Some(Leak::Content { fields: names.into_iter().cloned().collect() })
}

/// Whether one of the first different events stands later in the other run, at another time. Where several nodes act, an
/// event that is late leaves its place to one of another node.
fn later(one: &Record, other: &Record, left: &[Record], right: &[Record]) -> Option<Leak> {
    let moved = |record: &Record, run: &[Record]| {
        let same = |found: &&Record| {
            (found.node, found.incarnation) == (record.node, record.incarnation) && found.event == record.event
        };
        run.iter().find(same).map(|found| found.at).filter(|at| *at != record.at)
    };
    let of_one = || moved(one, right).map(|at| Leak::Time { node: one.node, left: one.at, right: at });
    let of_other = || moved(other, left).map(|at| Leak::Time { node: other.node, left: at, right: other.at });
    of_one().or_else(of_other)
}

fn text(record: &Record) -> String {
    serde_json::to_string(record).expect("our own types can be written as JSON")
}

/// The fields of a record, as its line in a file has them.
fn fields(record: &Record) -> BTreeMap<String, Json> {
    serde_json::from_str(&text(record)).expect("a record is an object")
}

/// What it is, and where to look for the cause.
impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order { at, events } => write!(
                f,
                "wake order: the {events} events from there to the end of {} are the same, in another order. Look for a HashMap or \
                 HashSet that is iterated over, a select! that is not biased, and tasks that are woken or spawned in an order \
                 of chance",
                At(*at)
            ),
            Self::Time { node, left, right } => write!(
                f,
                "time: the same event of {node} happens at {} and at {}. Look for a pause or a deadline that is computed from the wall clock \
                 or from a generator that is not forked from the seed",
                At(*left),
                At(*right)
            ),
            Self::Draw(MessageId { write, to, attempt }) => write!(
                f,
                "draw: the emulated network draws another fate for attempt {attempt} of write {write} to {to}. Its draws are keyed \
                 by the seed, the sender and the message, so look at what the key is made of: the seed of the node, and the \
                 name of the operation"
            ),
            Self::Content { fields } => write!(
                f,
                "content: the same kind of event with another {}. Look for a value that comes from a generator of the thread or the \
                 system, from the clock, from an address in memory, or out of a HashMap",
                fields.join(", ")
            ),
            Self::Course => f.write_str(
                "course: another thing happens. The cause lies between this event and the last ones on this node; look there for \
                 what depends on the wall clock, on chance, or on the order of a HashMap",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{FollowerId, Key, Value};

    const C1: NodeId = NodeId::Client(0);

    fn set(at: u64, node: NodeId, operation: u64, key: &str) -> Record {
        let (target, key, value) = (NodeId::FIRST_SERVER, Key::new(key).unwrap(), Value::from_json("1").unwrap());
        let event = Event::InvokeSet { operation, target, key, value, request_id: None, if_version: None };
        Record { at: Micros(at), node, incarnation: 0, event }
    }

    fn send(at: u64, delay: u64) -> Record {
        let message = MessageId { write: 3, to: FollowerId(1), attempt: 2 };
        let event = Event::Send { message, delay: Micros(delay), lost: None, copy: None };
        Record { at: Micros(at), node: NodeId::FIRST_SERVER, incarnation: 0, event }
    }

    /// The leak between two runs that begin with the same two events.
    fn leak(left: &[Record], right: &[Record]) -> Leak {
        let begin = [set(1, C1, 1, "x"), send(2, 7)];
        let (left, right) = ([&begin, left].concat(), [&begin, right].concat());
        let found = first(&left, &right).unwrap();
        assert_eq!(found.index, 2);
        found.leak
    }

    #[test]
    fn the_same_run_twice() {
        let run = [set(1, C1, 1, "x"), send(2, 7)];
        assert_eq!(first(&run, &run), None);
        assert_eq!(first(&[], &[]), None);
    }

    #[test]
    fn each_kind_of_leak_is_told_apart() {
        let c2 = NodeId::Client(1);
        let (one, two) = (set(5, C1, 2, "a"), set(5, c2, 1, "b"));
        assert_eq!(leak(&[one.clone(), two.clone()], &[two, one.clone()]), Leak::Order { at: Micros(5), events: 2 });
        let time = Leak::Time { node: C1, left: Micros(5), right: Micros(6) };
        assert_eq!(leak(std::slice::from_ref(&one), &[set(6, C1, 2, "a")]), time);
        assert_eq!(
            leak(&[send(5, 1)], &[send(5, 2)]),
            Leak::Draw(MessageId { write: 3, to: FollowerId(1), attempt: 2 })
        );
        let content = Leak::Content { fields: vec!["key".into()] };
        assert_eq!(leak(std::slice::from_ref(&one), &[set(5, C1, 2, "b")]), content);
        assert_eq!(leak(std::slice::from_ref(&one), &[send(5, 1)]), Leak::Course);
        assert_eq!(leak(&[one], &[]), Leak::Course);
    }

    /// Where two clients act, another one's event stands where the late one should.
    #[test]
    fn an_event_that_is_late_is_found_behind_those_of_others() {
        let c2 = NodeId::Client(1);
        let early = [set(3, C1, 1, "x"), set(5, C1, 2, "a"), set(7, c2, 1, "b"), set(8, c2, 2, "b")];
        let late = [set(3, C1, 1, "x"), set(7, c2, 1, "b"), set(8, c2, 2, "b"), set(9, C1, 2, "a")];
        for (left, right, times) in [(&early, &late, [5, 9]), (&late, &early, [9, 5])] {
            let found = first(left, right).unwrap();
            let [one, other] = times.map(Micros);
            assert_eq!(found.leak, Leak::Time { node: C1, left: one, right: other });
            assert_eq!((found.node, found.before), (C1, vec![&left[0]]));
        }
        // An event that does not happen at all is another course.
        assert_eq!(leak(&[set(5, C1, 2, "a"), set(7, c2, 1, "b")], &[set(7, c2, 1, "b")]), Leak::Course);
    }

    #[test]
    fn what_came_before_is_of_the_same_node() {
        let mut left: Vec<Record> = (1..10).flat_map(|n| [set(n, C1, n, "x"), send(n, n)]).collect();
        let mut right = left.clone();
        left.push(set(10, C1, 10, "x"));
        right.push(set(10, C1, 10, "y"));
        let found = first(&left, &right).unwrap();
        assert_eq!(found.before, (5..10).map(|n| &left[2 * n - 2]).collect::<Vec<_>>());
    }
}
