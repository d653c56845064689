//! What the clients, the leader and the followers of a run said to each other over HTTP, as its trace tells it: every
//! request and every answer, byte for byte, with their times.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use semisync::base::history::{Kind, Operation};
use semisync::base::trace::{Event, MessageId, OperationId, Outcome, RequestId, WriteId};
use semisync::base::wire::{ReplicateAnswer, ReplicateRequest, SetAnswer, SetRequest};
use semisync::base::{FollowerId, Key, NodeId, Requests, Stamp};
use semisync::sim::ScenarioRun;
use serde::Serialize;

use super::Failure;

/// Everything that was said in a run.
pub(super) struct Schedule {
    pub(super) exchanges: Vec<Exchange>,
    pub(super) connections: Vec<Connection>,
    /// The leader, then the followers.
    pub(super) nodes: Vec<NodeId>,
    /// When the last thing happened that the trace shows.
    pub(super) end: Duration,
}

/// A request and its answer.
pub(super) struct Exchange {
    pub(super) path: &'static str,
    pub(super) request: Bytes,
    pub(super) answer: Bytes,
    pub(super) sent_at: Duration,
    /// When the one who was asked answered; as soon as it was asked, if nothing stands here.
    pub(super) answered_at: Option<Duration>,
    pub(super) received_at: Duration,
}

/// A connection that is kept, with the exchanges that it carries one after another, by their places in the schedule.
pub(super) struct Connection {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) exchanges: Vec<usize>,
}

impl Schedule {
    /// Reads it from a run in which everything was answered.
    pub(super) fn of(run: &ScenarioRun) -> Result<Self, Failure> {
        let seen = Seen::of(run);
        let mut schedule = Self {
            exchanges: Vec::new(),
            connections: Vec::new(),
            nodes: run.states.iter().map(|(node, _)| *node).collect(),
            end: run.trace.records().last().ok_or("nothing happened")?.at.into(),
        };
        for record in run.trace.records() {
            match &record.event {
                Event::InvokeSet { operation, target, .. } => {
                    let operation = seen.operations.get(&(record.node, *operation)).ok_or("an operation is missing")?;
                    schedule.add(record.node, *target, seen.set(operation)?);
                }
                Event::Dispatch { request, to, messages } => {
                    let exchange = seen.replication(record.at.into(), *request, *to, messages)?;
                    schedule.add(record.node, (*to).into(), exchange);
                }
                _ => {}
            }
        }
        Ok(schedule)
    }

    /// The same hosts for as long, in silence.
    pub(super) fn without_messages(&self) -> Self {
        Self { exchanges: Vec::new(), connections: Vec::new(), nodes: self.nodes.clone(), end: self.end }
    }

    /// Puts an exchange onto a connection that is free by then, or onto a new one.
    fn add(&mut self, from: NodeId, to: NodeId, exchange: Exchange) {
        let place = self.exchanges.len();
        let is_free = |connection: &&mut Connection| {
            let last = connection.exchanges.last().map(|last| self.exchanges[*last].received_at);
            (connection.from, connection.to) == (from, to) && last.is_none_or(|last| last <= exchange.sent_at)
        };
        match self.connections.iter_mut().find(is_free) {
            Some(connection) => connection.exchanges.push(place),
            None => self.connections.push(Connection { from, to, exchanges: vec![place] }),
        }
        self.exchanges.push(exchange);
    }
}

/// What the trace of a run tells of each request, by what it can be found by.
struct Seen<'a> {
    operations: BTreeMap<(NodeId, OperationId), &'a Operation>,
    /// What each write of the leader writes.
    writes: BTreeMap<WriteId, ReplicateRequest>,
    write_of: BTreeMap<(&'a Key, Stamp), WriteId>,
    completed_at: BTreeMap<WriteId, Duration>,
    answers: BTreeMap<(NodeId, RequestId), Vec<ReplicateAnswer>>,
    acknowledged_at: BTreeMap<MessageId, Duration>,
}

impl<'a> Seen<'a> {
    fn of(run: &'a ScenarioRun) -> Self {
        let operations =
            run.history.operations.iter().map(|operation| ((operation.client, operation.number), operation));
        let mut seen = Self {
            operations: operations.collect(),
            writes: BTreeMap::new(),
            write_of: BTreeMap::new(),
            completed_at: BTreeMap::new(),
            answers: BTreeMap::new(),
            acknowledged_at: BTreeMap::new(),
        };
        for record in run.trace.records() {
            match &record.event {
                Event::Accept { write, key, stamp, value: Some(value), .. } => {
                    let write_of = ReplicateRequest {
                        key: key.clone(),
                        value: value.clone(),
                        deleted: false,
                        version: stamp.version,
                        epoch: Some(stamp.epoch),
                        leader: Some(0),
                        requests: Requests::default(),
                    };
                    seen.writes.insert(*write, write_of);
                    seen.write_of.insert((key, *stamp), *write);
                }
                Event::Complete { write, .. } => drop(seen.completed_at.insert(*write, record.at.into())),
                Event::Apply { request: Some(request), .. } => {
                    seen.answers.entry((record.node, *request)).or_default().push(ReplicateAnswer::applied());
                }
                Event::Reject { request: Some(request), stored, .. } => {
                    let answer = ReplicateAnswer::stale(Some(*stored));
                    seen.answers.entry((record.node, *request)).or_default().push(answer);
                }
                Event::Ack { message, .. } => drop(seen.acknowledged_at.insert(*message, record.at.into())),
                _ => {}
            }
        }
        seen
    }

    /// What a client said to the leader, and when it was told what.
    fn set(&self, operation: &Operation) -> Result<Exchange, Failure> {
        let unanswered = || format!("{} was not answered", operation.name());
        let Kind::Write(value) = &operation.kind else { return Err("an operation that writes reads".into()) };
        let (confirmations, required) = operation.confirmed.ok_or_else(unanswered)?;
        let stamp = operation.stamp.ok_or_else(unanswered)?;
        let ok = operation.outcome == Outcome::Ok;
        let answer =
            SetAnswer { ok, confirmations, required, version: stamp.version, epoch: stamp.epoch, indeterminate: !ok };
        let write = self.write_of.get(&(&operation.key, stamp)).ok_or_else(unanswered)?;
        Ok(Exchange {
            path: "/set",
            request: json(&SetRequest {
                key: operation.key.clone(),
                value: value.clone(),
                if_version: None,
                request_id: None,
            })?,
            answer: json(&answer)?,
            sent_at: operation.invoked.at.into(),
            answered_at: Some(*self.completed_at.get(write).ok_or_else(unanswered)?),
            received_at: operation.returned.ok_or_else(unanswered)?.at.into(),
        })
    }

    /// What the leader said to a follower, and when it was told what. A single write is no list of one.
    fn replication(
        &self,
        sent_at: Duration,
        request: RequestId,
        to: FollowerId,
        messages: &[MessageId],
    ) -> Result<Exchange, Failure> {
        let unanswered = || format!("request {request} to {to:?} was not answered");
        let writes: Option<Vec<_>> = messages.iter().map(|message| self.writes.get(&message.write)).collect();
        let writes = writes.ok_or("a message carries a write that was not accepted")?;
        let answers = self.answers.get(&(to.into(), request)).ok_or_else(unanswered)?;
        if answers.len() != writes.len() {
            return Err(unanswered().into());
        }
        let (request, answer) = match (writes.as_slice(), answers.as_slice()) {
            ([write], [answer]) => (json(write)?, json(answer)?),
            (writes, answers) => (json(&writes)?, json(&answers)?),
        };
        let acknowledged = messages.first().and_then(|first| self.acknowledged_at.get(first));
        let received_at = *acknowledged.ok_or_else(unanswered)?;
        Ok(Exchange { path: "/replicate", request, answer, sent_at, answered_at: None, received_at })
    }
}

fn json(body: &impl Serialize) -> Result<Bytes, Failure> {
    Ok(serde_json::to_vec(body)?.into())
}
