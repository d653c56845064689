//! What clients did and saw: the operations of a run, put together from the invocations and returns in its trace.

use std::collections::BTreeMap;

use super::trace::{Event, Micros, OperationId, Outcome, Record};
use super::{Key, NodeId, Stamp, Value};

/// The operations of a run, in the order of their invocations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The operations.
    pub operations: Vec<Operation>,
}

/// Something that a client asked of a node, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The client.
    pub client: NodeId,
    /// The number of the operation among those of its client.
    pub number: OperationId,
    /// The node that was asked.
    pub target: NodeId,
    /// The key.
    pub key: Key,
    /// Whether it wrote or read, and what.
    pub kind: Kind,
    /// When it was invoked.
    pub invoked: Moment,
    /// When it returned; `None` if it had not when the run ended.
    pub returned: Option<Moment>,
    /// How it ended. Without a return it is unknown.
    pub outcome: Outcome,
    /// The stamp that was written or read, where one is known. A read that found nothing has none.
    pub stamp: Option<Stamp>,
    /// A write that the leader answered: the confirmations that it told, and how many it said were required.
    pub confirmed: Option<(usize, usize)>,
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// It writes this value.
    Write(Value),
    /// It reads, and found this value.
    Read(Option<Value>),
}

/// A point of a run: its place among all records, which orders it even against others at the same time, and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The index of the record.
    pub index: usize,
    /// The virtual time.
    pub at: Micros,
}

impl Operation {
    /// Whether it wrote.
    pub fn is_write(&self) -> bool {
        matches!(self.kind, Kind::Write(_))
    }

    /// `c1#3`, as reports and scenarios name it.
    pub fn name(&self) -> String {
        format!("{}#{}", self.client, self.number)
    }
}

impl History {
    /// Puts the operations of a trace together.
    pub fn from_records(records: &[Record]) -> Self {
        let mut operations: Vec<Operation> = Vec::new();
        let mut open: BTreeMap<(NodeId, OperationId), usize> = BTreeMap::new();
        for (index, record) in records.iter().enumerate() {
            let moment = Moment { index, at: record.at };
            let mut invoke = |number: OperationId, target, key: &Key, kind| {
                open.insert((record.node, number), operations.len());
                operations.push(Operation {
                    client: record.node,
                    number,
                    target,
                    key: key.clone(),
                    kind,
                    invoked: moment,
                    returned: None,
                    outcome: Outcome::Unknown,
                    stamp: None,
                    confirmed: None,
                });
            };
            match &record.event {
                Event::InvokeSet { operation, target, key, value } => {
                    invoke(*operation, *target, key, Kind::Write(value.clone()));
                }
                Event::InvokeGet { operation, target, key } => invoke(*operation, *target, key, Kind::Read(None)),
                Event::Return { operation, outcome, stamp, value, confirmed } => {
                    let Some(at) = open.remove(&(record.node, *operation)) else { continue };
                    let operation = &mut operations[at];
                    operation.returned = Some(moment);
                    operation.outcome = *outcome;
                    operation.stamp = *stamp;
                    operation.confirmed = *confirmed;
                    if let Kind::Read(found) = &mut operation.kind {
                        found.clone_from(value);
                    }
                }
                _ => {}
            }
        }
        Self { operations }
    }
}
