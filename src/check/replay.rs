//! Who stores what when: the memories of the nodes, replayed from what they recorded.

use std::collections::BTreeMap;
use std::fmt;

use super::news::News;
use super::{Facts, Recorded};
use crate::base::history::{Kind, Moment, Operation};
use crate::base::trace::{Event, Micros, Record, WriteId};
use crate::base::wire::{Dump, DumpEntry};
use crate::base::{FollowerId, Key, NodeId, Stamp, Value};

/// A write that a leader took on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Write<'a> {
    pub(super) key: &'a Key,
    pub(super) stamp: Stamp,
    pub(super) value: &'a Value,
    /// Which of the leader's lives took it on. A leader that forgot everything issues its stamps anew, so a stamp alone
    /// does not name a write.
    pub(super) life: u64,
    pub(super) accepted: Moment,
    /// Whose it was, if its client was recorded.
    pub(super) operation: Option<&'a Operation>,
}

/// `k1 v7 (c3#2)`
impl fmt::Display for Write<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.stamp)?;
        match self.operation {
            None => Ok(()),
            Some(operation) => write!(f, " ({})", operation.name()),
        }
    }
}

/// Every write that a leader took on in a run.
#[derive(Default)]
pub(super) struct Writes<'a> {
    numbered: BTreeMap<(u64, WriteId), Write<'a>>,
    /// The numbers of the writes by what they say, the newest where several say the same.
    said: BTreeMap<(&'a Key, Stamp, &'a str), (u64, WriteId)>,
}

impl<'a> Writes<'a> {
    pub(super) fn of(run: &Recorded<'a>) -> Self {
        let mut operations = BTreeMap::new();
        for operation in &run.history.operations {
            if let Kind::Write(value) = &operation.kind {
                operations.insert((&operation.key, value.as_json()), operation);
            }
        }
        let mut writes = Self::default();
        for (index, record) in run.records.iter().enumerate() {
            if let Event::Accept { write, key, stamp, value } = &record.event {
                let life = record.incarnation;
                let accepted = Moment { index, at: record.at };
                let operation = operations.get(&(key, value.as_json())).copied();
                let number = (life, *write);
                writes.said.insert((key, *stamp, value.as_json()), number);
                writes.numbered.insert(number, Write { key, stamp: *stamp, value, life, accepted, operation });
            }
        }
        writes
    }

    /// The write that a leader's life gave this number.
    pub(super) fn numbered(&self, life: u64, number: WriteId) -> Option<&Write<'a>> {
        self.numbered.get(&(life, number))
    }

    /// The newest write that says this.
    pub(super) fn that_says(&self, key: &Key, stamp: Stamp, value: &Value) -> Option<&Write<'a>> {
        self.said.get(&(key, stamp, value.as_json())).and_then(|number| self.numbered.get(number))
    }
}

/// What a node stores for a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held<'a> {
    pub(super) stamp: Stamp,
    pub(super) value: &'a Value,
    /// The life of the leader that it comes from, where that is known.
    pub(super) life: Option<u64>,
}

impl Held<'_> {
    /// Whether this is the write or a later one. Within one epoch only the life that issued a stamp can say what is
    /// later: v7 of a leader that was forgotten does not contain v1 of its successor.
    fn covers(&self, write: &Write<'_>) -> bool {
        match self.stamp.cmp(&write.stamp) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => self.value == write.value,
            std::cmp::Ordering::Greater => {
                self.stamp.epoch > write.stamp.epoch || self.life.is_none_or(|life| life == write.life)
            }
        }
    }
}

/// What a node has in memory, and had during its present life.
#[derive(Debug, Default)]
struct Memory<'a> {
    keys: BTreeMap<&'a Key, Held<'a>>,
    /// The greatest stamp of each key that each life of the leader brought.
    greatest: BTreeMap<(&'a Key, u64), Stamp>,
}

/// The memories of all nodes at one point of a run.
#[derive(Debug)]
pub(super) struct Replay<'a> {
    memories: BTreeMap<NodeId, Memory<'a>>,
    /// What each node lost in its last crash, and when that was.
    lost: BTreeMap<NodeId, (Micros, Memory<'a>)>,
    news: News,
}

impl<'a> Replay<'a> {
    /// The beginning of a run: nobody stores anything.
    pub(super) fn new(facts: &Facts) -> Self {
        Self { memories: BTreeMap::new(), lost: BTreeMap::new(), news: News::new(facts) }
    }

    /// Goes on by one record. Returns what the node stored before, if the record stored something else in its place.
    pub(super) fn follow(&mut self, writes: &Writes<'a>, record: &'a Record) -> Option<Held<'a>> {
        let (key, held) = match &record.event {
            Event::Accept { key, stamp, value, .. } => {
                (key, Held { stamp: *stamp, value, life: Some(record.incarnation) })
            }
            Event::Apply { request, key, stamp, value } => {
                let source = || writes.that_says(key, *stamp, value).map(|write| write.life);
                let life = request.map(|request| request.incarnation).or_else(source);
                (key, Held { stamp: *stamp, value, life })
            }
            Event::Crash => {
                let memory = self.memories.remove(&record.node).unwrap_or_default();
                self.lost.insert(record.node, (record.at, memory));
                return None;
            }
            Event::Restart => {
                self.memories.entry(record.node).or_default();
                return None;
            }
            other => {
                self.news.follow(record.at, other);
                return None;
            }
        };
        let memory = self.memories.entry(record.node).or_default();
        if let Some(life) = held.life {
            let greatest = memory.greatest.entry((key, life)).or_insert(held.stamp);
            *greatest = held.stamp.max(*greatest);
        }
        memory.keys.insert(key, held)
    }

    /// What a node stores for a key.
    pub(super) fn held(&self, node: NodeId, key: &Key) -> Option<Held<'a>> {
        self.memories.get(&node)?.keys.get(key).copied()
    }

    /// What a node stores; `None` while it is down.
    pub(super) fn dump(&self, node: NodeId) -> Option<Dump> {
        let Some(memory) = self.memories.get(&node) else {
            // Of a node that has stored nothing yet nothing is known but whether it crashed.
            return (!self.lost.contains_key(&node)).then(Dump::new);
        };
        let entry = |held: &Held<'_>| DumpEntry { value: held.value.clone(), version: held.stamp.version };
        Some(memory.keys.iter().map(|(key, held)| ((*key).clone(), entry(held))).collect())
    }

    /// The followers that store the write or a later one.
    pub(super) fn holders(&self, write: &Write<'_>) -> Vec<FollowerId> {
        let holds = |memory: &Memory<'_>| memory.keys.get(write.key).is_some_and(|held| held.covers(write));
        followers(&self.memories).filter(|(_, memory)| holds(memory)).map(|(id, _)| id).collect()
    }

    /// The followers that held the write until they crashed so shortly before `now` that nobody can know of it.
    pub(super) fn mourned(&self, write: &Write<'_>, now: Micros) -> Vec<FollowerId> {
        let holds = |memory: &Memory<'_>| memory.keys.get(write.key).is_some_and(|held| held.covers(write));
        followers(&self.lost)
            .filter(|(id, (at, memory))| self.news.may_be_out((*id).into(), *at, now) && holds(memory))
            .map(|(id, _)| id)
            .collect()
    }

    /// The followers that in their present life were brought the write or a later one by the life of the leader that
    /// issued it, whatever they store now. Who crashed too shortly before `now` for anybody to know counts too.
    pub(super) fn reached(&self, write: &Write<'_>, now: Micros) -> Vec<FollowerId> {
        let was_brought = |memory: &Memory<'_>| {
            memory.greatest.get(&(write.key, write.life)).is_some_and(|greatest| *greatest >= write.stamp)
        };
        let living = followers(&self.memories).filter(|(_, memory)| was_brought(memory)).map(|(id, _)| id);
        let dead = followers(&self.lost)
            .filter(|(id, (at, memory))| self.news.may_be_out((*id).into(), *at, now) && was_brought(memory))
            .map(|(id, _)| id);
        let mut all: Vec<FollowerId> = living.chain(dead).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The followers that had the write when they crashed and do not have it now, with the time of the crash.
    pub(super) fn forgot(&self, write: &Write<'_>) -> Vec<(FollowerId, Micros)> {
        let holders = self.holders(write);
        followers(&self.lost)
            .filter(|(id, (_, memory))| {
                !holders.contains(id) && memory.keys.get(write.key).is_some_and(|held| held.covers(write))
            })
            .map(|(id, (at, _))| (id, *at))
            .collect()
    }
}

fn followers<T>(nodes: &BTreeMap<NodeId, T>) -> impl Iterator<Item = (FollowerId, &T)> {
    nodes.iter().filter_map(|(node, of_node)| match node {
        NodeId::Follower(id) => Some((*id, of_node)),
        NodeId::Leader | NodeId::Client(_) | NodeId::Network => None,
    })
}
