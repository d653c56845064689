use std::collections::BTreeMap;

use super::Inconsistency;
use crate::base::trace::{Disturbance, Event, MessageId, Record, RequestId, WriteId};
use crate::base::{FollowerId, Key, NodeId, Stamp};

/// What leaders accept and send, and what becomes of it.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// The writes and retries, by the incarnation of the leader and its number for them.
    writes: BTreeMap<(u64, WriteId), Write>,
    /// The messages, by the incarnation of the leader.
    messages: BTreeMap<(u64, MessageId), Message>,
    /// The lines of the requests, by the follower that they go to.
    requests: BTreeMap<(RequestId, FollowerId), usize>,
    /// How many writes of this key and stamp a request still brings.
    carried: BTreeMap<(RequestId, FollowerId, Key, Stamp), usize>,
    /// Whether the name of a follower has led to another one, which then takes its requests.
    were_misdirected: bool,
}

#[derive(Debug)]
struct Write {
    line: usize,
    key: Key,
    stamp: Stamp,
    completed: Option<usize>,
}

#[derive(Debug)]
struct Message {
    line: usize,
    /// How many more answers or losses there can be: one, and one more for a copy.
    open: u8,
    /// The line of the last.
    ended: usize,
}

impl Messages {
    /// Whether the name of a follower has ever led to another one.
    pub(super) fn names_were_misdirected(&self) -> bool {
        self.were_misdirected
    }

    pub(super) fn follow(&mut self, line: usize, record: &Record) -> Result<(), Inconsistency> {
        let incarnation = record.incarnation;
        match &record.event {
            Event::Accept { write, key, stamp, .. } | Event::Retry { write, key, stamp, .. } => {
                let taken = Write { line, key: key.clone(), stamp: *stamp, completed: None };
                let first = self.writes.insert((incarnation, *write), taken);
                unique(|| format!("write {write} of {}", record.node), first.map(|first| first.line))
            }
            Event::Complete { write, .. } => {
                let what = || format!("write {write} of {} is complete", record.node);
                let taken = self.writes.get_mut(&(incarnation, *write));
                let taken = taken.ok_or_else(|| Inconsistency::Missing { what: what(), done: "accepted" })?;
                unique(what, taken.completed.replace(line))
            }
            Event::Send { message, copy, .. } => {
                self.written(incarnation, message.write, "is sent")?;
                let open = 1 + u8::from(copy.is_some());
                let first = self.messages.insert((incarnation, *message), Message { line, open, ended: line });
                unique(|| describe(message), first.map(|first| first.line))
            }
            Event::Dispatch { request, to, messages } => {
                for message in messages {
                    if !self.messages.contains_key(&(incarnation, *message)) {
                        let what = format!("request {request} carries {}", describe(message));
                        return Err(Inconsistency::Missing { what, done: "sent" });
                    }
                    let write = self.written(incarnation, message.write, "is dispatched")?;
                    let carried = (*request, *to, write.key.clone(), write.stamp);
                    *self.carried.entry(carried).or_default() += 1;
                }
                unique(|| format!("request {request} to {to}"), self.requests.insert((*request, *to), line))
            }
            Event::Apply { request: Some(request), key, stamp, .. }
            | Event::Reject { request: Some(request), key, stamp, .. } => {
                self.arrives(record.node, *request, key, *stamp)
            }
            Event::Ack { message, .. } | Event::Lost { message, .. } => {
                let sent = self.messages.get_mut(&(incarnation, *message));
                let what = || format!("{} is answered or lost", describe(message));
                let sent = sent.ok_or_else(|| Inconsistency::Missing { what: what(), done: "sent" })?;
                if sent.open == 0 {
                    return Err(Inconsistency::Repeated { what: what(), line: sent.ended });
                }
                (sent.open, sent.ended) = (sent.open - 1, line);
                Ok(())
            }
            Event::Fault { kind: Disturbance::Misdirect, .. } => {
                self.were_misdirected = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn written(&self, incarnation: u64, write: WriteId, done: &str) -> Result<&Write, Inconsistency> {
        let what = || format!("write {write} {done}");
        self.writes.get(&(incarnation, write)).ok_or_else(|| Inconsistency::Missing { what: what(), done: "accepted" })
    }

    /// A write reaches a follower with a request.
    fn arrives(&mut self, node: NodeId, request: RequestId, key: &Key, stamp: Stamp) -> Result<(), Inconsistency> {
        let NodeId::Follower(at) = node else { return Ok(()) };
        let mut carried = (request, at, key.clone(), stamp);
        if self.were_misdirected && !self.carried.contains_key(&carried) {
            let (first, last) = (FollowerId(0), FollowerId(u8::MAX));
            let mut others = (first.0..=last.0).map(|id| (request, FollowerId(id), key.clone(), stamp));
            carried = others.find(|other| self.carried.contains_key(other)).unwrap_or(carried);
        }
        let Some(left) = self.carried.get_mut(&carried) else {
            let what = format!("request {request} brings {key} {stamp} to {node}");
            return Err(Inconsistency::Missing { what, done: "dispatched, or it has arrived already" });
        };
        *left -= 1;
        if *left == 0 {
            self.carried.remove(&carried);
        }
        Ok(())
    }
}

fn describe(message: &MessageId) -> String {
    let MessageId { write, to, attempt } = message;
    format!("message {attempt} of write {write} to {to}")
}

fn unique(what: impl Fn() -> String, first: Option<usize>) -> Result<(), Inconsistency> {
    match first {
        None => Ok(()),
        Some(line) => Err(Inconsistency::Repeated { what: what(), line }),
    }
}
