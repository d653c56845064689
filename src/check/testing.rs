//! Runs made by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Excuse, Facts, Finding, Recorded, Verdict};
use crate::base::history::History;
use crate::base::trace::{
    Event, LossReason, MessageId, Micros, OperationId, Outcome, Record, RequestId, WriteId, operation_name,
};
use crate::base::wire::{Dump, DumpEntry};
use crate::base::{FollowerId, Key, NodeId, RequestName, Stamp, Value, Version};

pub(super) fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

pub(super) fn value(json: &str) -> Value {
    Value::from_json(json).unwrap()
}

pub(super) fn stamp(version: u64) -> Stamp {
    Stamp::of_version(Version::new(version).unwrap())
}

/// The client `c1`, `c2`, …
pub(super) fn c(number: u16) -> NodeId {
    NodeId::Client(number - 1)
}

/// The follower `f1`, `f2`, …
pub(super) fn f(number: u8) -> FollowerId {
    FollowerId(number - 1)
}

/// What a node stores: key, version, value.
pub(super) fn dump(entries: &[(&str, u64, &str)]) -> Dump {
    let entry = |(name, version, json): &(&str, u64, &str)| {
        (key(name), DumpEntry { value: value(json), version: Version::new(*version).unwrap() })
    };
    entries.iter().map(entry).collect()
}

/// A run that is written down event by event. Nodes count their lives by themselves. Three followers, a quorum of 2.
pub(super) struct Story {
    pub(super) facts: Facts,
    records: Vec<Record>,
    states: Vec<(NodeId, Dump)>,
    lives: BTreeMap<NodeId, u64>,
    now: u64,
}

impl Story {
    pub(super) fn new() -> Self {
        let facts = Facts {
            followers: 3,
            write_quorum: 2,
            quorums: BTreeMap::new(),
            repl_timeout: Duration::from_secs(5),
            delay: (Duration::ZERO, Duration::from_secs(1)),
            link_latency: Duration::from_millis(1),
            faulty: true,
            healed_at: None,
            window: 100,
            spares: 0,
            members: BTreeMap::new(),
        };
        Self { facts, records: Vec::new(), states: Vec::new(), lives: BTreeMap::new(), now: 0 }
    }

    /// What follows happens at this time, in milliseconds.
    pub(super) fn at(&mut self, ms: u64) -> &mut Self {
        self.at_us(ms * 1000)
    }

    pub(super) fn at_us(&mut self, us: u64) -> &mut Self {
        self.now = us;
        self
    }

    pub(super) fn event(&mut self, node: NodeId, event: Event) -> &mut Self {
        let incarnation = self.lives.get(&node).copied().unwrap_or(0);
        self.records.push(Record { at: Micros(self.now), node, incarnation, event });
        self
    }

    /// What was written down so far.
    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn invoke_set(&mut self, client: NodeId, operation: OperationId, name: &str, json: &str) -> &mut Self {
        let (key, value) = (key(name), value(json));
        self.event(
            client,
            Event::InvokeSet {
                operation,
                target: NodeId::FIRST_SERVER,
                key,
                value,
                request_id: None,
                if_version: None,
            },
        )
    }

    pub(super) fn invoke_get(
        &mut self,
        client: NodeId,
        operation: OperationId,
        target: NodeId,
        name: &str,
    ) -> &mut Self {
        self.event(
            client,
            Event::InvokeGet { operation, target, key: key(name), mode: crate::base::ReadMode::Linearizable },
        )
    }

    /// A write returns, with its version if that is not 0.
    pub(super) fn wrote(
        &mut self,
        client: NodeId,
        operation: OperationId,
        outcome: Outcome,
        version: u64,
    ) -> &mut Self {
        let stamp = (version > 0).then(|| stamp(version));
        let confirmed = (outcome == Outcome::Ok).then_some((self.facts.write_quorum, self.facts.write_quorum));
        self.event(client, Event::Return { operation, outcome, stamp, value: None, confirmed })
    }

    /// A read returns what it found; version 0 is nothing.
    pub(super) fn found(&mut self, client: NodeId, operation: OperationId, version: u64, json: &str) -> &mut Self {
        let event = match version {
            0 => Event::Return { operation, outcome: Outcome::Absent, stamp: None, value: None, confirmed: None },
            _ => {
                let (stamp, value) = (Some(stamp(version)), Some(value(json)));
                Event::Return { operation, outcome: Outcome::Ok, stamp, value, confirmed: None }
            }
        };
        self.event(client, event)
    }

    pub(super) fn accept(&mut self, write: WriteId, name: &str, version: u64, json: &str) -> &mut Self {
        let value = Some(value(json));
        let (key, stamp, operation, request_id) = (key(name), stamp(version), None, None);
        let event = Event::Accept { write, key, stamp, value, operation, request_id };
        self.event(NodeId::FIRST_SERVER, event)
    }

    /// The leader takes on a write that has a name.
    pub(super) fn accept_named(&mut self, write: WriteId, name: &str, version: u64, request: &str) -> &mut Self {
        let (key, stamp, value) = (key(name), stamp(version), Some(value("1")));
        let request_id = Some(RequestName::new(request).unwrap());
        self.event(NodeId::FIRST_SERVER, Event::Accept { write, key, stamp, value, operation: None, request_id })
    }

    pub(super) fn invoke_delete(&mut self, client: NodeId, operation: OperationId, name: &str) -> &mut Self {
        self.event(
            client,
            Event::InvokeDelete {
                operation,
                target: NodeId::FIRST_SERVER,
                key: key(name),
                request_id: None,
                if_version: None,
            },
        )
    }

    /// The leader takes on a deletion that this client asked for.
    pub(super) fn accept_delete(
        &mut self,
        write: WriteId,
        name: &str,
        version: u64,
        (client, operation): (NodeId, OperationId),
    ) -> &mut Self {
        let operation = Some(operation_name(client, operation));
        let (key, stamp, value, request_id) = (key(name), stamp(version), None, None);
        let event = Event::Accept { write, key, stamp, value, operation, request_id };
        self.event(NodeId::FIRST_SERVER, event)
    }

    pub(super) fn apply_delete(&mut self, at: FollowerId, name: &str, version: u64) -> &mut Self {
        let request = Some(RequestId { incarnation: 0, number: 1 });
        self.event(at.into(), Event::Apply { request, key: key(name), stamp: stamp(version), value: None })
    }

    /// A node forgets a deletion.
    pub(super) fn collect(&mut self, at: impl Into<NodeId>, name: &str, version: u64) -> &mut Self {
        self.event(at.into(), Event::Collect { key: key(name), stamp: stamp(version) })
    }

    pub(super) fn send(&mut self, write: WriteId, to: FollowerId, attempt: u32) -> &mut Self {
        let message = MessageId { write, to, attempt };
        self.event(NodeId::FIRST_SERVER, Event::Send { message, delay: Micros(0), lost: None, copy: None })
    }

    pub(super) fn ack(&mut self, write: WriteId, to: FollowerId, attempt: u32, version: u64) -> &mut Self {
        let message = MessageId { write, to, attempt };
        self.event(NodeId::FIRST_SERVER, Event::Ack { message, stored: stamp(version) })
    }

    pub(super) fn lost(&mut self, write: WriteId, to: FollowerId, attempt: u32) -> &mut Self {
        let message = MessageId { write, to, attempt };
        self.event(NodeId::FIRST_SERVER, Event::Lost { message, reason: LossReason::Deadline })
    }

    /// A follower applies what the leader's present life sent.
    pub(super) fn apply(&mut self, at: FollowerId, name: &str, version: u64, json: &str) -> &mut Self {
        let incarnation = self.lives.get(&NodeId::FIRST_SERVER).copied().unwrap_or(0);
        let request = Some(RequestId { incarnation, number: 1 });
        let event = Event::Apply { request, key: key(name), stamp: stamp(version), value: Some(value(json)) };
        self.event(at.into(), event)
    }

    pub(super) fn complete(&mut self, write: WriteId, ok: bool, confirmations: usize) -> &mut Self {
        self.event(NodeId::FIRST_SERVER, Event::Complete { write, ok, confirmations })
    }

    pub(super) fn crash(&mut self, node: impl Into<NodeId>) -> &mut Self {
        self.event(node.into(), Event::Crash)
    }

    pub(super) fn restart(&mut self, node: impl Into<NodeId>) -> &mut Self {
        let node = node.into();
        *self.lives.entry(node).or_insert(0) += 1;
        self.event(node, Event::Restart)
    }

    /// The same story with its records in the order of their times.
    pub(super) fn in_order_of_time(&mut self) -> &mut Self {
        self.records.sort_by_key(|record| record.at);
        self
    }

    /// What a node stores in the end.
    pub(super) fn ends_with(&mut self, node: impl Into<NodeId>, dump: Dump) -> &mut Self {
        self.states.push((node.into(), dump));
        self
    }

    pub(super) fn verdict(&self, check: fn(&Recorded<'_>) -> Verdict) -> Verdict {
        let history = History::from_records(&self.records);
        let facts = Some(&self.facts);
        check(&Recorded { records: &self.records, history: &history, states: &self.states, facts })
    }

    /// The verdict on what the clients alone recorded of it.
    pub(super) fn verdict_of_clients(&self, check: fn(&Recorded<'_>) -> Verdict) -> Verdict {
        check(&Recorded::of_clients(&History::from_records(&self.records)))
    }

    /// The evidence against the run.
    pub(super) fn evidence(&self, check: fn(&Recorded<'_>) -> Verdict) -> Vec<String> {
        match self.verdict(check).finding {
            Finding::Violated(evidence) => evidence,
            other => panic!("not violated: {other:?}"),
        }
    }

    /// The excuses of a run in which nothing is violated, with their cases.
    #[track_caller]
    pub(super) fn excuses(&self, check: fn(&Recorded<'_>) -> Verdict) -> Vec<(Excuse, usize)> {
        let verdict = self.verdict(check);
        assert!(!verdict.is_violated(), "{verdict:?}");
        verdict.excuses.iter().map(|excused| (excused.excuse, excused.cases)).collect()
    }

    /// The sentences that show what is lost.
    #[track_caller]
    pub(super) fn losses(&self, check: fn(&Recorded<'_>) -> Verdict) -> Vec<String> {
        match self.verdict(check).finding {
            Finding::Lost(evidence) => evidence,
            other => panic!("not lost: {other:?}"),
        }
    }

    /// How much it holds of, if it does.
    pub(super) fn holds(&self, check: fn(&Recorded<'_>) -> Verdict) -> String {
        match self.verdict(check).finding {
            Finding::Holds(of) => of,
            other => panic!("does not hold: {other:?}"),
        }
    }
}
