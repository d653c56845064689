use std::collections::BTreeMap;
use std::fmt;

use super::Recorded;
use super::keys::Keys;
use super::lookup::Lookup;
use super::text::Text;
use crate::base::history::{Kind, Moment, Operation};
use crate::base::trace::{Event, WriteId, operation_name};
use crate::base::{Key, NodeId, Stamp, Value};

/// A write that a leader took on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Write<'a> {
    pub(super) key: &'a Key,
    /// The number of the key among those of the run.
    pub(super) key_number: usize,
    pub(super) stamp: Stamp,
    /// None if it deletes the key.
    pub(super) value: Option<&'a Value>,
    /// Which of the leader's lives took it on. A leader that forgot everything issues its stamps anew, so a stamp alone
    /// does not name a write.
    pub(super) life: u64,
    /// The node that took it on.
    pub(super) leader: NodeId,
    /// Whether that life had recovered it, and was asked for it once more.
    pub(super) is_recovered: bool,
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
#[derive(Debug, Default)]
pub(super) struct Writes<'a> {
    /// In the order in which they were taken on.
    writes: Vec<Write<'a>>,
    /// Their places.
    numbered: Lookup<(u64, WriteId), usize>,
    /// By the numbers of the keys: the places of the writes by what they say, the newest where several say the same.
    said: Vec<Lookup<(Stamp, Option<&'a str>), usize>>,
}

impl<'a> Writes<'a> {
    pub(super) fn of(run: &Recorded<'a>, keys: &Keys<'a>) -> Self {
        let operations: Lookup<(Text<'_>, &Key), &Operation> = run
            .history
            .operations
            .iter()
            .filter_map(|operation| match &operation.kind {
                Kind::Write(value) => Some(((Text::of(value), &operation.key), operation)),
                Kind::Delete | Kind::Read(_) => None,
            })
            .collect();
        let named = run.history.operations.iter();
        let named = named.filter(|operation| operation.kind == Kind::Delete || operation.request.is_some());
        let named: Lookup<u64, &Operation> =
            named.map(|operation| (operation_name(operation.client, operation.number), operation)).collect();
        let mut writes = Vec::new();
        let mut numbered = Vec::new();
        // The places by life, key and stamp, for retries.
        let mut taken_on = BTreeMap::new();
        let mut said = vec![Vec::new(); keys.len()];
        for (index, record) in run.records.iter().enumerate() {
            if let Event::Accept { write, key, stamp, value, operation, .. }
            | Event::Retry { write, key, stamp, value, operation, .. } = &record.event
            {
                let (life, key_number) = (record.incarnation, keys.stored_at(index));
                let is_retry = matches!(record.event, Event::Retry { .. });
                if is_retry && let Some(first) = taken_on.get(&(life, key_number, *stamp)) {
                    numbered.push(((life, *write), *first));
                    continue;
                }
                let place = writes.len();
                let accepted = Moment { index, at: record.at };
                let value = value.as_ref();
                let named = operation.and_then(|name| named.get(&name));
                let operation = named.or_else(|| operations.get(&(Text::of(value?), key))).copied();
                numbered.push(((life, *write), place));
                taken_on.insert((life, key_number, *stamp), place);
                said[key_number].push(((*stamp, value.map(Value::as_json)), place));
                let (stamp, is_recovered) = (*stamp, is_retry);
                writes.push(Write {
                    key,
                    key_number,
                    stamp,
                    value,
                    life,
                    leader: record.node,
                    is_recovered,
                    accepted,
                    operation,
                });
            }
        }
        let said = said.into_iter().map(Lookup::from_iter).collect();
        Self { writes, numbered: numbered.into_iter().collect(), said }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.writes.len()
    }

    /// The write that a leader's life gave this number.
    pub(super) fn numbered(&self, life: u64, number: WriteId) -> Option<&Write<'a>> {
        self.numbered.get(&(life, number)).map(|place| &self.writes[*place])
    }

    /// The newest write that says this.
    pub(super) fn that_says(&self, key_number: usize, stamp: Stamp, value: Option<&Value>) -> Option<&Write<'a>> {
        let place = self.place_that_says(key_number, stamp, value)?;
        Some(&self.writes[place])
    }

    /// The place of the newest write that says the same as this one: one place for each thing that is said.
    pub(super) fn saying(&self, write: &Write<'a>) -> usize {
        let place = self.place_that_says(write.key_number, write.stamp, write.value);
        place.expect("it is among those that are looked up")
    }

    fn place_that_says(&self, key_number: usize, stamp: Stamp, value: Option<&Value>) -> Option<usize> {
        self.said.get(key_number)?.get(&(stamp, value.map(Value::as_json))).copied()
    }
}
