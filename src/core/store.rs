use std::collections::BTreeMap;
use std::collections::btree_map;
use std::ops::Bound;

use crate::base::{Key, Stamp, Value};

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The stamp of the write that put it there.
    pub stamp: Stamp,
    /// The value.
    pub value: Value,
}

/// The keys of one node and what they hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Store {
    /// Invariant, while stamps are compared: the stamp of a key never goes down.
    entries: BTreeMap<Key, Entry>,
}

/// What became of a write that reached a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is stored.
    Yes,
    /// It is not newer than what is there.
    Stale {
        /// The stamp that stays.
        stored: Stamp,
    },
}

impl Store {
    /// Stores the entry if and only if its stamp is greater than the one that the key has.
    ///
    /// This makes the order and the number of deliveries irrelevant: a store ends at the greatest stamp that reached
    /// it. (Last-writer-wins by a unique, totally ordered stamp; Kleppmann, *Designing Data-Intensive Applications*,
    /// chapter 5.)
    pub fn apply(&mut self, key: &Key, entry: Entry) -> Applied {
        match self.entries.get_mut(key) {
            Some(stored) if entry.stamp > stored.stamp => *stored = entry,
            Some(stored) => return Applied::Stale { stored: stored.stamp },
            None => {
                self.entries.insert(key.clone(), entry);
            }
        }
        Applied::Yes
    }

    /// Stores the entry whatever is there: what a follower does that does not compare stamps.
    pub(super) fn overwrite(&mut self, key: &Key, entry: Entry) {
        self.entries.insert(key.clone(), entry);
    }

    /// What the key holds.
    pub fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// The stamp of what the key holds.
    pub fn stamp(&self, key: &Key) -> Option<Stamp> {
        self.get(key).map(|entry| entry.stamp)
    }

    /// All keys in order.
    pub fn iter(&self) -> btree_map::Iter<'_, Key, Entry> {
        self.entries.iter()
    }

    /// The keys after `key` in order, or all of them.
    pub fn after(&self, key: Option<&Key>) -> btree_map::Range<'_, Key, Entry> {
        let start = key.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries.range::<Key, _>((start, Bound::Unbounded))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
