//! What happened, as typed events: the record that checkers and reports read, and nothing else.
//!
//! A node reports through an [`Observer`]; who observes (a simulation, or nobody) knows which node it is and what time
//! it is. A [`Trace`] is the events of all nodes and clients in the order in which they happened. Its [`Digest`] is a
//! hash chain over a canonical encoding: two runs are the same run if and only if their digests are equal.

mod decode;
mod encode;
mod event;
mod rpc;

pub use event::{
    Batch, Disturbance, Event, LossReason, LostPart, MessageId, OperationId, Outcome, RequestId, WriteId,
    operation_name,
};
pub use rpc::Rpc;

use std::fmt;
use std::io::{self, BufRead, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::NodeId;
use super::json_lines::{self, JsonLinesError};

/// Takes the events of one node. Called at the moment they happen, in their order.
pub trait Observer: Send + Sync {
    /// Takes one event.
    fn record(&self, event: Event);
}

/// A duration in whole microseconds, the resolution of a trace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub u64);

impl From<Duration> for Micros {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }
}

impl From<Micros> for Duration {
    fn from(micros: Micros) -> Self {
        Self::from_micros(micros.0)
    }
}

/// An event, when and where it happened. One line of a trace file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "decode::RawRecord")]
pub struct Record {
    /// Virtual time since the simulation began, in microseconds.
    #[serde(rename = "at_us")]
    pub at: Micros,
    /// The node or client.
    pub node: NodeId,
    /// Which of the node's lives it was: 0 until its first crash.
    #[serde(skip_serializing_if = "is_first")]
    pub incarnation: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// How many bytes are encoded before they go into the digest: one by one, events are too short to be hashed fast.
const BLOCK_LEN: usize = 4096;

/// The events of a run in the order in which they happened, with their running digest.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    records: Vec<Record>,
    /// Of all blocks that are full.
    digest: Digest,
    /// That digest, and what has been encoded since.
    block: Vec<u8>,
}

impl Trace {
    /// An empty trace with room for so many events.
    pub fn with_capacity(events: usize) -> Self {
        Self { records: Vec::with_capacity(events), ..Self::default() }
    }

    /// Adds what happened last.
    pub fn push(&mut self, record: Record) {
        if self.block.is_empty() {
            self.block.reserve(2 * BLOCK_LEN);
            self.block.extend_from_slice(&self.digest.0.to_le_bytes());
        }
        encode::encode(&record, &mut self.block);
        if self.block.len() >= BLOCK_LEN {
            self.digest = Digest(xxh3_128(&self.block));
            self.block.clear();
        }
        self.records.push(record);
    }

    /// The events, first to last.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The events of the story: without what clients do afterwards to probe the healed store.
    pub fn story(&self) -> &[Record] {
        let is_probe = |record: &Record| matches!(record.event, Event::Fault { kind: Disturbance::Probe, .. });
        let end = self.records.iter().position(is_probe).unwrap_or(self.records.len());
        &self.records[..end]
    }

    /// The digest of everything so far.
    pub fn digest(&self) -> Digest {
        if self.block.is_empty() { self.digest } else { Digest(xxh3_128(&self.block)) }
    }

    /// Writes the trace as JSON Lines, one [`Record`] a line.
    ///
    /// # Errors
    /// Whatever the writer reports.
    pub fn write_json_lines(&self, out: impl Write) -> io::Result<()> {
        json_lines::write(out, &self.records)
    }

    /// Reads a trace that was written by [`Trace::write_json_lines`]. It has the digest of the one that was written.
    ///
    /// # Errors
    /// [`JsonLinesError`], which names the line.
    pub fn read_json_lines(input: impl BufRead) -> Result<Self, JsonLinesError> {
        json_lines::read(input)
    }
}

impl FromIterator<Record> for Trace {
    fn from_iter<I: IntoIterator<Item = Record>>(records: I) -> Self {
        let mut trace = Self::default();
        records.into_iter().for_each(|record| trace.push(record));
        trace
    }
}

/// The hash of a trace: 128 bits of XXH3, chained from block to block of what happened. It tells runs apart; it is no defence against
/// someone who wants two runs to look alike.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest(u128);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn is_first(incarnation: &u64) -> bool {
    *incarnation == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{FollowerId, Key, ReadMode, Stamp, Value};

    fn record(at: u64, event: Event) -> Record {
        Record { at: Micros(at), node: NodeId::FIRST_SERVER, incarnation: 0, event }
    }

    fn fault(what: &str) -> Event {
        Event::Fault { kind: Disturbance::Hold, nodes: Vec::new(), latency: None, what: what.into() }
    }

    fn digest(records: &[Record]) -> Digest {
        records.iter().cloned().collect::<Trace>().digest()
    }

    #[test]
    fn the_digest_sees_time_place_content_and_order() {
        let base = digest(&[record(1, fault("a")), record(2, fault("b"))]);
        assert_eq!(base, digest(&[record(1, fault("a")), record(2, fault("b"))]));
        let in_another_life = Record { incarnation: 1, ..record(1, fault("a")) };
        let elsewhere = Record { node: NodeId::Client(0), ..record(1, fault("a")) };
        for other in [
            vec![record(1, fault("a")), record(3, fault("b"))],
            vec![elsewhere, record(2, fault("b"))],
            vec![in_another_life, record(2, fault("b"))],
            vec![record(1, fault("a")), record(2, fault("c"))],
            vec![record(2, fault("b")), record(1, fault("a"))],
            vec![record(1, fault("a"))],
        ] {
            assert_ne!(base, digest(&other), "{other:?}");
        }
    }

    /// However long a trace is, its first event and its last count, and their places.
    #[test]
    fn the_digest_sees_every_event_of_a_long_trace() {
        let long: Vec<Record> = (0..1000).map(|at| record(at, fault("a"))).collect();
        let mut seen = std::collections::BTreeSet::from([digest(&long).0]);
        for place in [0, 1, 80, 81, 82, 500, 998, 999] {
            let mut other = long.clone();
            other[place].event = fault("b");
            assert!(seen.insert(digest(&other).0), "event {place}");
            assert!(seen.insert(digest(&long[..place]).0), "without event {place} and those after it");
        }
    }

    /// Every event, and for every field of each a second one that differs in it.
    fn every_event() -> Vec<Event> {
        let stamp = |version| Stamp::of_version(crate::base::Version::new(version).unwrap());
        let message = |write, to, attempt| MessageId { write, to: FollowerId(to), attempt };
        let key = |text| Key::new(text).unwrap();
        let value = |text| Value::from_json(text).unwrap();
        let set = |operation, target, k, v| Event::InvokeSet {
            operation,
            target,
            key: key(k),
            value: value(v),
            request_id: None,
            if_version: None,
        };
        let get = |operation, target, k| Event::InvokeGet { operation, target, key: key(k), mode: ReadMode::Local };
        let accept = |write, k: &'static str, v, json: Option<&'static str>, operation| Event::Accept {
            write,
            key: key(k),
            stamp: stamp(v),
            value: json.map(value),
            operation,
            request_id: None,
        };
        let name = |text: &str| Some(crate::base::RequestName::new(text).unwrap());
        let delete = |operation, target, k, id: Option<&str>| Event::InvokeDelete {
            operation,
            target,
            key: key(k),
            request_id: id.and_then(name),
            if_version: None,
        };
        let conditional = |if_version| Event::InvokeSet {
            operation: 1,
            target: NodeId::FIRST_SERVER,
            key: key("x"),
            value: value("1"),
            request_id: None,
            if_version,
        };
        let named_set = |id| Event::InvokeSet {
            operation: 1,
            target: NodeId::FIRST_SERVER,
            key: key("x"),
            value: value("1"),
            request_id: name(id),
            if_version: None,
        };
        let named = |write, k, v, json: Option<&'static str>, operation, id| Event::Accept {
            write,
            key: key(k),
            stamp: stamp(v),
            value: json.map(value),
            operation,
            request_id: name(id),
        };
        let retry = |write, k, v, json: Option<&'static str>, operation, id| Event::Retry {
            write,
            key: key(k),
            stamp: stamp(v),
            value: json.map(value),
            operation,
            request_id: name(id),
        };
        let id = |number| RequestId { incarnation: 0, number };
        let apply = |request: Option<u64>, k, v| Event::Apply {
            request: request.map(id),
            key: key(k),
            stamp: stamp(v),
            value: Some(value("1")),
        };
        let reject = |request: Option<u64>, k, v, w| Event::Reject {
            request: request.map(id),
            key: key(k),
            stamp: stamp(v),
            stored: stamp(w),
        };
        let dispatch = |request: u64, to, messages: &[MessageId]| Event::Dispatch {
            request: id(request),
            to: FollowerId(to),
            messages: messages.into(),
        };
        let cluster =
            |followers, write_quorum, [repl_timeout, shortest, longest, link]: [u64; 4], window| Event::Cluster {
                followers,
                write_quorum,
                repl_timeout: Micros(repl_timeout),
                delay: (Micros(shortest), Micros(longest)),
                link: Micros(link),
                window,
                spares: 0,
            };
        let rpc = |to, rpc, number, delay, lost, copy| Event::Rpc {
            to: FollowerId(to),
            rpc,
            number,
            delay: Micros(delay),
            lost,
            copy,
        };
        let complete = |write, ok, confirmations| Event::Complete { write, ok, confirmations };
        let (leader, f1) = (NodeId::FIRST_SERVER, NodeId::Follower(FollowerId(0)));
        vec![
            set(1, leader, "x", "1"),
            set(2, leader, "x", "1"),
            set(1, f1, "x", "1"),
            set(1, leader, "y", "1"),
            set(1, leader, "x", "2"),
            get(1, leader, "x"),
            get(2, leader, "x"),
            get(1, f1, "x"),
            get(1, leader, "y"),
            Event::Return { operation: 1, outcome: Outcome::Ok, stamp: None, value: None, confirmed: None },
            Event::Return { operation: 2, outcome: Outcome::Ok, stamp: None, value: None, confirmed: None },
            Event::Return { operation: 1, outcome: Outcome::Unknown, stamp: None, value: None, confirmed: None },
            Event::Return { operation: 1, outcome: Outcome::Ok, stamp: Some(stamp(1)), value: None, confirmed: None },
            Event::Return { operation: 1, outcome: Outcome::Ok, stamp: Some(stamp(2)), value: None, confirmed: None },
            accept(1, "x", 1, Some("1"), None),
            accept(2, "x", 1, Some("1"), None),
            accept(1, "y", 1, Some("1"), None),
            accept(1, "x", 2, Some("1"), None),
            accept(1, "x", 1, None, None),
            accept(1, "x", 1, None, Some(7)),
            delete(1, leader, "x", None),
            delete(2, leader, "x", None),
            delete(1, f1, "x", None),
            delete(1, leader, "y", None),
            delete(1, leader, "x", Some("r")),
            delete(1, leader, "x", Some("s")),
            named_set("r"),
            named_set("s"),
            conditional(Some(0)),
            conditional(Some(1)),
            Event::InvokeDelete { operation: 1, target: leader, key: key("x"), request_id: None, if_version: Some(1) },
            named(1, "x", 1, Some("1"), Some(1), "r"),
            named(1, "x", 1, Some("1"), Some(1), "s"),
            named(1, "x", 1, Some("1"), Some(2), "r"),
            named(1, "x", 1, None, Some(1), "r"),
            retry(1, "x", 1, Some("1"), Some(1), "r"),
            retry(2, "x", 1, Some("1"), Some(1), "r"),
            retry(1, "y", 1, Some("1"), Some(1), "r"),
            retry(1, "x", 2, Some("1"), Some(1), "r"),
            retry(1, "x", 1, Some("2"), Some(1), "r"),
            retry(1, "x", 1, None, Some(1), "r"),
            retry(1, "x", 1, Some("1"), Some(2), "r"),
            retry(1, "x", 1, Some("1"), Some(1), "s"),
            Event::Apply { request: None, key: key("x"), stamp: stamp(1), value: None },
            Event::Recover { key: key("x"), stamp: stamp(1), value: Some(value("1")) },
            Event::Recover { key: key("x"), stamp: stamp(1), value: None },
            Event::Collect { key: key("x"), stamp: stamp(1) },
            Event::Collect { key: key("y"), stamp: stamp(1) },
            Event::Collect { key: key("x"), stamp: stamp(2) },
            Event::Send { message: message(1, 0, 1), delay: Micros(1), lost: None, copy: None },
            Event::Send { message: message(2, 0, 1), delay: Micros(1), lost: None, copy: None },
            Event::Send { message: message(1, 1, 1), delay: Micros(1), lost: None, copy: None },
            Event::Send { message: message(1, 0, 2), delay: Micros(1), lost: None, copy: None },
            Event::Send { message: message(1, 0, 1), delay: Micros(2), lost: None, copy: None },
            dispatch(1, 0, &[message(1, 0, 1)]),
            dispatch(2, 0, &[message(1, 0, 1)]),
            dispatch(1, 1, &[message(1, 0, 1)]),
            dispatch(1, 0, &[]),
            dispatch(1, 0, &[message(2, 0, 1)]),
            apply(None, "x", 1),
            apply(Some(1), "x", 1),
            apply(Some(2), "x", 1),
            apply(None, "y", 1),
            apply(None, "x", 2),
            reject(None, "x", 1, 2),
            reject(Some(1), "x", 1, 2),
            reject(None, "y", 1, 2),
            reject(None, "x", 2, 2),
            reject(None, "x", 1, 3),
            Event::Ack { message: message(1, 0, 1), stored: stamp(1) },
            Event::Ack { message: message(1, 1, 1), stored: stamp(1) },
            Event::Ack { message: message(1, 0, 1), stored: stamp(2) },
            Event::Lost { message: message(1, 0, 1), reason: LossReason::Connect },
            Event::Lost { message: message(1, 0, 2), reason: LossReason::Connect },
            Event::Lost { message: message(1, 0, 1), reason: LossReason::Deadline },
            complete(1, true, 1),
            complete(2, true, 1),
            complete(1, false, 1),
            complete(1, true, 2),
            Event::Return { operation: 1, outcome: Outcome::Ok, stamp: None, value: Some(value("1")), confirmed: None },
            Event::Return { operation: 1, outcome: Outcome::Ok, stamp: None, value: None, confirmed: Some((1, 1)) },
            Event::Return { operation: 1, outcome: Outcome::Ok, stamp: None, value: None, confirmed: Some((1, 2)) },
            accept(1, "x", 1, Some("2"), None),
            Event::Send { message: message(1, 0, 1), delay: Micros(1), lost: Some(LostPart::Request), copy: None },
            Event::Send { message: message(1, 0, 1), delay: Micros(1), lost: Some(LostPart::Reply), copy: None },
            Event::Send { message: message(1, 0, 1), delay: Micros(1), lost: None, copy: Some(Micros(1)) },
            rpc(0, Rpc::Promise, 1, 0, None, None),
            rpc(1, Rpc::Promise, 1, 0, None, None),
            rpc(0, Rpc::Collect, 1, 0, None, None),
            rpc(0, Rpc::Promise, 2, 0, None, None),
            rpc(0, Rpc::Promise, 1, 1, None, None),
            rpc(0, Rpc::Promise, 1, 0, Some(LostPart::Request), None),
            rpc(0, Rpc::Promise, 1, 0, Some(LostPart::Reply), None),
            rpc(0, Rpc::Promise, 1, 0, None, Some(Micros(0))),
            rpc(0, Rpc::Promise, 1, 0, None, Some(Micros(1))),
            Event::Forgot { follower: FollowerId(0) },
            Event::Astray { follower: FollowerId(0), by: FollowerId(1) },
            Event::Astray { follower: FollowerId(1), by: FollowerId(0) },
            Event::Crash,
            Event::Restart,
            fault("a"),
            fault("b"),
            Event::Fault { kind: Disturbance::Cut, nodes: vec![], latency: None, what: "a".into() },
            Event::Fault { kind: Disturbance::Probe, nodes: vec![], latency: None, what: "a".into() },
            Event::Fault { kind: Disturbance::Cut, nodes: vec![leader, f1], latency: None, what: "a".into() },
            Event::Fault { kind: Disturbance::Cut, nodes: vec![f1, leader], latency: None, what: "a".into() },
            Event::Fault { kind: Disturbance::Cut, nodes: vec![], latency: Some(Micros(1)), what: "a".into() },
            Event::Fault { kind: Disturbance::Cut, nodes: vec![], latency: Some(Micros(2)), what: "a".into() },
            cluster(3, 2, [5, 1, 2, 3], 9),
            cluster(4, 2, [5, 1, 2, 3], 9),
            cluster(3, 1, [5, 1, 2, 3], 9),
            cluster(3, 2, [6, 1, 2, 3], 9),
            cluster(3, 2, [5, 0, 2, 3], 9),
            cluster(3, 2, [5, 1, 3, 3], 9),
            cluster(3, 2, [5, 1, 2, 4], 9),
            cluster(3, 2, [5, 1, 2, 3], 8),
        ]
    }

    #[test]
    fn a_trace_survives_being_written_and_read() {
        let trace: Trace = (0..).zip(every_event()).map(|(at, event)| record(at, event)).collect();
        let mut file = Vec::new();
        trace.write_json_lines(&mut file).unwrap();
        let again = Trace::read_json_lines(file.as_slice()).unwrap();
        assert_eq!(again.records(), trace.records());
        assert_eq!(again.digest(), trace.digest());
    }

    #[test]
    fn a_stored_null_is_not_an_absent_value() {
        let value = Some(Value::from_json("null").unwrap());
        let event = Event::Return { operation: 1, outcome: Outcome::Ok, stamp: None, value, confirmed: None };
        let text = serde_json::to_string(&record(1, event.clone())).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap().event, event);
    }

    #[test]
    fn what_is_not_a_record_is_named() {
        for (line, says) in [
            (r#"{"at_us":1,"node":"n1","event":"fly"}"#, "there is no event \"fly\""),
            (r#"{"at_us":1,"node":"n1","event":"ack"}"#, "ack: message is missing"),
            (r#"{"at_us":1,"node":"n1","event":"rpc","to":"f1","number":1,"delay_us":0}"#, "rpc: rpc is missing"),
            (r#"{"at_us":1,"node":"boss","event":"crash"}"#, "\"boss\" is not a node"),
            (r#"{"at_us":1,"event":"crash"}"#, "missing field `node`"),
            (r#"{"at_us":0,"node":"network","event":"cluster","followers":3}"#, "cluster: write_quorum is missing"),
            (
                r#"{"at_us":0,"node":"network","event":"cluster","followers":300,"write_quorum":3}"#,
                "cluster: 300 followers; at most 128 are possible",
            ),
            (
                r#"{"at_us":0,"node":"network","event":"cluster","followers":3,"write_quorum":3,"delay_us":5}"#,
                "cluster: delay_us is [shortest, longest]",
            ),
            (
                r#"{"at_us":1,"node":"n1","event":"send","message":{"write":1,"to":"f1","attempt":1},"delay_us":[1,2]}"#,
                "send: delay_us is one number",
            ),
            (r#"{"at_us":1,"node":"n1","event":"send","delay_us":"1"}"#, "or [shortest, longest]"),
            (r#"{"at_us":1,"node":"f1","event":"crash","colour":1}"#, "unknown field `colour`"),
        ] {
            let message = Trace::read_json_lines(line.as_bytes()).unwrap_err().to_string();
            assert!(message.starts_with("line 1: ") && message.contains(says), "{message}");
        }
    }

    #[test]
    fn the_digest_sees_every_field_of_every_event() {
        let events = every_event();
        let digests: std::collections::BTreeSet<String> =
            events.iter().map(|event| digest(&[record(1, event.clone())]).to_string()).collect();
        assert_eq!(digests.len(), events.len());
    }

    #[test]
    fn a_line_of_the_file_is_one_flat_object() {
        let mut trace = Trace::default();
        let message = MessageId { write: 1, to: FollowerId(2), attempt: 1 };
        trace.push(record(1500, Event::Send { message, delay: Micros(7), lost: None, copy: None }));
        let mut out = Vec::new();
        trace.write_json_lines(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"at_us\":1500,\"node\":\"n1\",\"event\":\"send\",\
             \"message\":{\"write\":1,\"to\":\"f3\",\"attempt\":1},\"delay_us\":7}\n"
        );
    }
}
