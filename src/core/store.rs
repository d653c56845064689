use std::collections::BTreeMap;
use std::collections::btree_map;
use std::hash::{Hash, Hasher};
use std::ops::Bound;

use super::digest::{Buckets, Summary};
use crate::base::{Epoch, Key, Stamp, Value};

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The stamp of the write that put it there.
    pub stamp: Stamp,
    /// The value.
    pub value: Value,
}

/// The keys of one node and what they hold.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// Invariant, while stamps are compared: the stamp of a key never goes down.
    entries: BTreeMap<Key, Entry>,
    /// Invariant: those of `entries`.
    buckets: Buckets,
}

/// The buckets follow from the entries.
impl PartialEq for Store {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Eq for Store {}

impl Hash for Store {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.entries.hash(state);
    }
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
    /// It is not of the epoch and leader to which the node has made its promise.
    Fenced {
        /// The epoch that is promised.
        promised: Epoch,
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
            Some(stored) if entry.stamp > stored.stamp => {
                self.buckets.change(key, entry.stamp, Some(stored.stamp));
                *stored = entry;
            }
            Some(stored) => return Applied::Stale { stored: stored.stamp },
            None => {
                self.buckets.change(key, entry.stamp, None);
                self.entries.insert(key.clone(), entry);
            }
        }
        Applied::Yes
    }

    /// Stores the entry whatever is there: what a node does that does not compare stamps.
    pub(super) fn overwrite(&mut self, key: &Key, entry: Entry) {
        let stamp = entry.stamp;
        let before = self.entries.insert(key.clone(), entry);
        self.buckets.change(key, stamp, before.map(|before| before.stamp));
    }

    /// Gives every entry the stamp of this epoch with its own version.
    pub(super) fn restamp(&mut self, epoch: Epoch) {
        self.buckets = Buckets::default();
        for (key, entry) in &mut self.entries {
            entry.stamp.epoch = epoch;
            self.buckets.change(key, entry.stamp, None);
        }
    }

    /// Gives up what is of an earlier epoch than this, and returns it.
    pub(super) fn drop_before(&mut self, epoch: Epoch) -> Vec<(Key, Entry)> {
        let dropped: Vec<(Key, Entry)> = self.entries.extract_if(.., |_, entry| entry.stamp.epoch < epoch).collect();
        for (key, entry) in &dropped {
            self.buckets.remove(key, entry.stamp);
        }
        dropped
    }

    /// What it holds, in two numbers.
    pub fn summary(&self) -> Summary {
        Summary { keys: self.entries.len() as u64, digest: self.buckets.digest() }
    }

    /// What each bucket holds.
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
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
