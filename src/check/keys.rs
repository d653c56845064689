use std::collections::BTreeMap;

use super::Recorded;
use crate::base::Key;
use crate::base::trace::{Event, Record};

/// The keys of a run, numbered from 0, so that what is kept of each needs no map by texts.
#[derive(Debug, Default)]
pub(super) struct Keys<'a> {
    numbers: BTreeMap<&'a Key, u32>,
    /// The number of the key that each record stores or refuses; 0 for a record that does neither.
    stored: Vec<u32>,
}

impl<'a> Keys<'a> {
    pub(super) fn of(run: &Recorded<'a>) -> Self {
        let mut keys = Self::of_records(run.records);
        let of_operations = run.history.operations.iter().map(|operation| &operation.key);
        for key in of_operations.chain(run.states.iter().flat_map(|(_, dump)| dump.keys())) {
            keys.add(key);
        }
        keys
    }

    /// The keys that records store or refuse, and no others.
    pub(super) fn of_records(records: &'a [Record]) -> Self {
        let mut keys = Self::default();
        let mut stored = vec![0; records.len()];
        for (record, stored) in records.iter().zip(&mut stored) {
            if let Event::Accept { key, .. }
            | Event::Retry { key, .. }
            | Event::Apply { key, .. }
            | Event::Reject { key, .. }
            | Event::Recover { key, .. }
            | Event::Discard { key, .. }
            | Event::LoseKey { key, .. }
            | Event::Collect { key, .. } = &record.event
            {
                *stored = keys.add(key);
            }
        }
        Self { stored, ..keys }
    }

    fn add(&mut self, key: &'a Key) -> u32 {
        let next = u32::try_from(self.numbers.len()).expect("every key has a record, an operation or an entry");
        *self.numbers.entry(key).or_insert(next)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The number of the key that the record at this place stores, refuses, gives up or forgets. It must be one that does.
    pub(super) fn stored_at(&self, place: usize) -> usize {
        self.stored[place] as usize
    }

    /// The number of a key, if the run has it.
    pub(super) fn number(&self, key: &Key) -> Option<usize> {
        self.numbers.get(key).map(|number| *number as usize)
    }

    /// All of them in their order, with their numbers.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (&'a Key, usize)> {
        self.numbers.iter().map(|(key, number)| (*key, *number as usize))
    }
}
