//! What happened, as typed events: the record that checkers and reports read, and nothing else.
//!
//! A node reports through an [`Observer`]; who observes (a simulation, or nobody) knows which node it is and what time
//! it is. A [`Trace`] is the events of all nodes and clients in the order in which they happened. Its [`Digest`] is a
//! hash chain over a canonical encoding: two runs are the same run if and only if their digests are equal.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

use super::{FollowerId, Key, NodeId, Stamp, Value};

/// Takes the events of one node. Called at the moment they happen, in their order.
pub trait Observer: Send + Sync {
    /// Takes one event.
    fn record(&self, event: Event);
}

/// The number of an operation among those of its client, counted from 1.
pub type OperationId = u64;

/// The number of a write among those of its leader, counted from 1.
pub type WriteId = u64;

/// A message: this write, to this follower, for the nth time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct MessageId {
    /// The write that the message carries.
    pub write: WriteId,
    /// The follower that it goes to.
    pub to: FollowerId,
    /// 1 for the first delivery; more for resends.
    pub attempt: u32,
}

/// How a client's operation ended, as its client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It took effect. A write: enough followers confirmed. A read: the key was there.
    Ok,
    /// A read found nothing.
    Absent,
    /// It was refused before a version was assigned, and has no effect.
    Failed,
    /// It may have taken effect, or may yet.
    Unknown,
}

/// Why a message brought no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LossReason {
    /// No connection to the follower.
    Connect,
    /// The deadline passed.
    Deadline,
    /// The connection ended before the answer.
    Disconnect,
    /// The follower answered with an error.
    Refused,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A client called a node to write.
    InvokeSet {
        /// The client's number for it.
        operation: OperationId,
        /// The node that was called.
        target: NodeId,
        /// The key.
        key: Key,
        /// The value, as JSON text.
        value: Value,
    },
    /// A client called a node to read.
    InvokeGet {
        /// The client's number for it.
        operation: OperationId,
        /// The node that was called.
        target: NodeId,
        /// The key.
        key: Key,
    },
    /// A client's call ended.
    Return {
        /// The client's number for it.
        operation: OperationId,
        /// How it ended.
        outcome: Outcome,
        /// The stamp that was written or read, where one is known.
        stamp: Option<Stamp>,
    },
    /// The leader gave a write its stamp and applied it.
    Accept {
        /// The leader's number for the write.
        write: WriteId,
        /// The key.
        key: Key,
        /// Its stamp.
        stamp: Stamp,
    },
    /// The leader handed a message to the emulated network.
    Send {
        /// The message.
        message: MessageId,
        /// How long the emulated network keeps it before it leaves.
        #[serde(rename = "delay_us")]
        delay: Micros,
    },
    /// Messages that had become due left the leader in one request.
    Dispatch {
        /// The number of the request among those of the leader to this follower.
        request: u64,
        /// The follower.
        to: FollowerId,
        /// The messages, in the order in which they stand in the request.
        messages: Vec<MessageId>,
    },
    /// A follower applied a write.
    Apply {
        /// The request that brought it.
        request: Option<u64>,
        /// The key.
        key: Key,
        /// The stamp that it stores from now on.
        stamp: Stamp,
    },
    /// A follower did not apply a write, for it was not newer than what it had.
    Reject {
        /// The request that brought it.
        request: Option<u64>,
        /// The key.
        key: Key,
        /// The stamp of the write.
        stamp: Stamp,
        /// The stamp that the follower has.
        stored: Stamp,
    },
    /// The leader learnt what a follower did with a message.
    Ack {
        /// The message.
        message: MessageId,
        /// The stamp that the follower now stores.
        stored: Stamp,
    },
    /// The leader gave a message up. It goes on by resending the key's newest write.
    Lost {
        /// The message.
        message: MessageId,
        /// Why.
        reason: LossReason,
    },
    /// The leader answered a write's client, or would have if it were still there.
    Complete {
        /// The write.
        write: WriteId,
        /// Whether the quorum was reached in time.
        ok: bool,
        /// The distinct followers that had confirmed.
        confirmations: usize,
    },
    /// A fault began or ended.
    Fault {
        /// What was done, in words that the scenario uses too.
        what: String,
    },
}

/// A duration in whole microseconds, the resolution of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Virtual time since the simulation began, in microseconds.
    #[serde(rename = "at_us")]
    pub at: Micros,
    /// The node or client.
    pub node: NodeId,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// The events of a run in the order in which they happened, with their running digest.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    records: Vec<Record>,
    digest: Digest,
    encoding: Vec<u8>,
}

impl Trace {
    /// Adds what happened last.
    pub fn push(&mut self, record: Record) {
        self.encoding.clear();
        self.encoding.extend_from_slice(&self.digest.0.to_le_bytes());
        encode(&record, &mut self.encoding);
        self.digest = Digest(xxh3_128(&self.encoding));
        self.records.push(record);
    }

    /// The events, first to last.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The digest of everything so far.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Writes the trace as JSON Lines, one [`Record`] a line.
    ///
    /// # Errors
    /// Whatever the writer reports.
    pub fn write_json_lines(&self, mut out: impl std::io::Write) -> std::io::Result<()> {
        for record in &self.records {
            serde_json::to_writer(&mut out, record)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    }
}

/// The hash of a trace: 128 bits of XXH3, chained from event to event. It tells runs apart; it is no defence against
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

/// The canonical encoding: a tag for the event, then its fields in their declared order. Numbers are 8 bytes,
/// little-endian; texts and lists are preceded by their length, so that no two events encode alike.
fn encode(record: &Record, out: &mut Vec<u8>) {
    let mut encoder = Encoder(out);
    encoder.number(record.at.0);
    encoder.number(record.node.code());
    match &record.event {
        Event::InvokeSet { operation, target, key, value } => {
            encoder.tag(1).number(*operation).number(target.code()).text(key.as_str()).text(value.as_json());
        }
        Event::InvokeGet { operation, target, key } => {
            encoder.tag(2).number(*operation).number(target.code()).text(key.as_str());
        }
        Event::Return { operation, outcome, stamp } => {
            encoder.tag(3).number(*operation).number(*outcome as u64).option(*stamp, Encoder::stamp);
        }
        Event::Accept { write, key, stamp } => {
            encoder.tag(4).number(*write).text(key.as_str()).stamp(*stamp);
        }
        Event::Send { message, delay } => {
            encoder.tag(5).message(*message).number(delay.0);
        }
        Event::Dispatch { request, to, messages } => {
            encoder.tag(6).number(*request).number(to.0.into()).number(messages.len() as u64);
            for message in messages {
                encoder.message(*message);
            }
        }
        Event::Apply { request, key, stamp } => {
            encoder.tag(7).option(*request, Encoder::number).text(key.as_str()).stamp(*stamp);
        }
        Event::Reject { request, key, stamp, stored } => {
            encoder.tag(8).option(*request, Encoder::number).text(key.as_str()).stamp(*stamp).stamp(*stored);
        }
        Event::Ack { message, stored } => {
            encoder.tag(9).message(*message).stamp(*stored);
        }
        Event::Lost { message, reason } => {
            encoder.tag(10).message(*message).number(*reason as u64);
        }
        Event::Complete { write, ok, confirmations } => {
            encoder.tag(11).number(*write).number(u64::from(*ok)).number(*confirmations as u64);
        }
        Event::Fault { what } => {
            encoder.tag(12).text(what);
        }
    }
}

struct Encoder<'a>(&'a mut Vec<u8>);

impl Encoder<'_> {
    fn tag(&mut self, tag: u8) -> &mut Self {
        self.0.push(tag);
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn stamp(&mut self, stamp: Stamp) -> &mut Self {
        self.number(stamp.epoch.get()).number(stamp.version.get())
    }

    fn message(&mut self, message: MessageId) -> &mut Self {
        self.number(message.write).number(message.to.0.into()).number(message.attempt.into())
    }

    fn option<T>(&mut self, option: Option<T>, some: impl Fn(&mut Self, T) -> &mut Self) -> &mut Self {
        match option {
            None => self.tag(0),
            Some(value) => some(self.tag(1), value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: u64, event: Event) -> Record {
        Record { at: Micros(at), node: NodeId::Leader, event }
    }

    fn fault(what: &str) -> Event {
        Event::Fault { what: what.into() }
    }

    fn digest(records: &[Record]) -> Digest {
        let mut trace = Trace::default();
        records.iter().cloned().for_each(|record| trace.push(record));
        trace.digest()
    }

    #[test]
    fn the_digest_sees_time_place_content_and_order() {
        let base = digest(&[record(1, fault("a")), record(2, fault("b"))]);
        assert_eq!(base, digest(&[record(1, fault("a")), record(2, fault("b"))]));
        let elsewhere = Record { node: NodeId::Client(0), ..record(1, fault("a")) };
        for other in [
            vec![record(1, fault("a")), record(3, fault("b"))],
            vec![elsewhere, record(2, fault("b"))],
            vec![record(1, fault("a")), record(2, fault("c"))],
            vec![record(2, fault("b")), record(1, fault("a"))],
            vec![record(1, fault("a"))],
        ] {
            assert_ne!(base, digest(&other), "{other:?}");
        }
    }

    #[test]
    fn the_digest_sees_every_field_of_every_event() {
        let stamp = |version| Stamp::of_version(crate::base::Version::new(version).unwrap());
        let message = |write, to, attempt| MessageId { write, to: FollowerId(to), attempt };
        let key = |text| Key::new(text).unwrap();
        let value = |text| Value::from_json(text).unwrap();
        let set = |operation, target, k, v| Event::InvokeSet { operation, target, key: key(k), value: value(v) };
        let get = |operation, target, k| Event::InvokeGet { operation, target, key: key(k) };
        let apply = |request, k, v| Event::Apply { request, key: key(k), stamp: stamp(v) };
        let reject = |request, k, v, w| Event::Reject { request, key: key(k), stamp: stamp(v), stored: stamp(w) };
        let dispatch = |request, to, messages: &[MessageId]| Event::Dispatch {
            request,
            to: FollowerId(to),
            messages: messages.to_vec(),
        };
        let complete = |write, ok, confirmations| Event::Complete { write, ok, confirmations };
        let (leader, f1) = (NodeId::Leader, NodeId::Follower(FollowerId(0)));
        let events = [
            set(1, leader, "x", "1"),
            set(2, leader, "x", "1"),
            set(1, f1, "x", "1"),
            set(1, leader, "y", "1"),
            set(1, leader, "x", "2"),
            get(1, leader, "x"),
            get(2, leader, "x"),
            get(1, f1, "x"),
            get(1, leader, "y"),
            Event::Return { operation: 1, outcome: Outcome::Ok, stamp: None },
            Event::Return { operation: 2, outcome: Outcome::Ok, stamp: None },
            Event::Return { operation: 1, outcome: Outcome::Unknown, stamp: None },
            Event::Return { operation: 1, outcome: Outcome::Ok, stamp: Some(stamp(1)) },
            Event::Return { operation: 1, outcome: Outcome::Ok, stamp: Some(stamp(2)) },
            Event::Accept { write: 1, key: key("x"), stamp: stamp(1) },
            Event::Accept { write: 2, key: key("x"), stamp: stamp(1) },
            Event::Accept { write: 1, key: key("y"), stamp: stamp(1) },
            Event::Accept { write: 1, key: key("x"), stamp: stamp(2) },
            Event::Send { message: message(1, 0, 1), delay: Micros(1) },
            Event::Send { message: message(2, 0, 1), delay: Micros(1) },
            Event::Send { message: message(1, 1, 1), delay: Micros(1) },
            Event::Send { message: message(1, 0, 2), delay: Micros(1) },
            Event::Send { message: message(1, 0, 1), delay: Micros(2) },
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
            fault("a"),
            fault("b"),
        ];
        let digests: std::collections::BTreeSet<String> =
            events.iter().map(|event| digest(&[record(1, event.clone())]).to_string()).collect();
        assert_eq!(digests.len(), events.len());
    }

    #[test]
    fn a_line_of_the_file_is_one_flat_object() {
        let mut trace = Trace::default();
        let message = MessageId { write: 1, to: FollowerId(2), attempt: 1 };
        trace.push(record(1500, Event::Send { message, delay: Micros(7) }));
        let mut out = Vec::new();
        trace.write_json_lines(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"at_us\":1500,\"node\":\"leader\",\"event\":\"send\",\
             \"message\":{\"write\":1,\"to\":\"f3\",\"attempt\":1},\"delay_us\":7}\n"
        );
    }
}
