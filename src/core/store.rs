use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::digest::{Buckets, Summary};
use super::table::Table;
use crate::base::{Epoch, Key, Requests, Stamp, Value};

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The stamp of the write that put it there.
    pub stamp: Stamp,
    /// The value; none if the key was deleted. Such an entry is a tombstone: it keeps older writes from coming back.
    pub value: Option<Value>,
    /// The last writes to which their clients gave a name, this one perhaps among them.
    pub requests: Requests,
}

impl Entry {
    /// What a write puts there that has no name, where none had before.
    pub fn new(stamp: Stamp, value: Option<Value>) -> Self {
        Self { stamp, value, requests: Requests::default() }
    }

    /// Whether the key was deleted.
    pub fn is_tombstone(&self) -> bool {
        self.value.is_none()
    }

    /// What it takes in memory besides its stamp, in bytes.
    pub fn size(&self) -> usize {
        self.value.as_ref().map_or(0, |value| value.as_json().len()) + self.requests.size()
    }
}

/// `v3 = "a"`, `v4, deleted`
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} = {value}", self.stamp),
            None => write!(f, "{}, deleted", self.stamp),
        }
    }
}

/// The keys of one node and what they hold, those that were deleted and not forgotten among them.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// Invariant, while stamps are compared: the stamp of a key never goes down.
    entries: Table,
    /// Invariant: those of the `entries` that have a value. Who has forgotten a deletion and who has not hold the same.
    buckets: Buckets,
    /// Invariant: the keys of the tombstones among the `entries`.
    tombstones: BTreeSet<Key>,
    /// Invariant: of the tombstones.
    tombstones_digest: Summary,
}

/// The rest follows from the entries.
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
    /// It is not newer than what is there, or than what was deleted there.
    Stale {
        /// The stamp that stays; where nothing is left, one up to which everything was deleted that is not there.
        stored: Stamp,
    },
    /// It is not of the epoch and leader to which the node has made its promise.
    Fenced {
        /// The epoch that is promised.
        promised: Epoch,
    },
}

/// What of an entry the digests count.
#[derive(Debug, Clone, Copy)]
struct Counted {
    stamp: Stamp,
    is_tombstone: bool,
}

impl Counted {
    fn of(entry: &Entry) -> Self {
        Self { stamp: entry.stamp, is_tombstone: entry.is_tombstone() }
    }
}

impl Store {
    /// Stores the entry if and only if its stamp is greater than the one that the key has.
    ///
    /// This makes the order and the number of deliveries irrelevant: a store ends at the greatest stamp that reached
    /// it. (Last-writer-wins by a unique, totally ordered stamp; Kleppmann, *Designing Data-Intensive Applications*,
    /// chapter 5.)
    pub fn apply(&mut self, key: &Key, entry: Entry) -> Applied {
        let counted = Counted::of(&entry);
        let before = match self.entries.get_mut(key) {
            Some(stored) if entry.stamp > stored.stamp => Some(Counted::of(&std::mem::replace(stored, entry))),
            Some(stored) => return Applied::Stale { stored: stored.stamp },
            None => {
                self.entries.insert(key, entry);
                None
            }
        };
        self.count(key, before, Some(counted));
        Applied::Yes
    }

    /// Stores the entry whatever is there: what a node does that does not compare stamps.
    pub(super) fn overwrite(&mut self, key: &Key, entry: Entry) {
        let counted = Counted::of(&entry);
        let before = self.entries.insert(key, entry);
        self.count(key, before.as_ref().map(Counted::of), Some(counted));
    }

    /// Gives every entry the stamp of this epoch with its own version.
    pub(super) fn restamp(&mut self, epoch: Epoch) {
        let (mut buckets, mut tombstones) = (Buckets::default(), Summary::default());
        self.entries.for_each_mut(|key, entry| {
            entry.stamp.epoch = epoch;
            if entry.is_tombstone() {
                tombstones.add(key, entry.stamp);
            } else {
                buckets.add(key, entry.stamp);
            }
        });
        (self.buckets, self.tombstones_digest) = (buckets, tombstones);
    }

    /// Gives up the entries of which this is true, and returns them.
    pub(super) fn drop_those(&mut self, is: impl Fn(&Key, &Entry) -> bool) -> Vec<(Key, Entry)> {
        let keys: Vec<Key> = self.entries().filter(|(key, entry)| is(key, entry)).map(|(key, _)| key.clone()).collect();
        let dropped: Vec<(Key, Entry)> =
            keys.into_iter().filter_map(|key| Some((key.clone(), self.entries.remove(&key)?))).collect();
        dropped.iter().for_each(|(key, entry)| self.count(key, Some(Counted::of(entry)), None));
        dropped
    }

    /// Forgets that a key was deleted, if it was by the deletion with this stamp. False if there is no such thing.
    pub(super) fn forget(&mut self, key: &Key, stamp: Stamp) -> bool {
        let is_it = self.entries.get(key).is_some_and(|entry| entry.is_tombstone() && entry.stamp == stamp);
        if is_it && let Some(tombstone) = self.entries.remove(key) {
            self.count(key, Some(Counted::of(&tombstone)), None);
        }
        is_it
    }

    /// What a key holds now, if anything, is counted in its bucket or among the tombstones, in place of what it held.
    fn count(&mut self, key: &Key, before: Option<Counted>, now: Option<Counted>) {
        if let (Some(before), Some(now)) = (before, now)
            && !before.is_tombstone
            && !now.is_tombstone
        {
            return self.buckets.change(key, now.stamp, before.stamp);
        }
        match before {
            Some(Counted { stamp, is_tombstone: true }) => {
                self.tombstones.remove(key);
                self.tombstones_digest.remove(key, stamp);
            }
            Some(Counted { stamp, .. }) => self.buckets.remove(key, stamp),
            None => {}
        }
        match now {
            Some(Counted { stamp, is_tombstone: true }) => {
                self.tombstones.insert(key.clone());
                self.tombstones_digest.add(key, stamp);
            }
            Some(Counted { stamp, .. }) => self.buckets.add(key, stamp),
            None => {}
        }
    }

    /// What it holds, in two numbers, tombstones included.
    pub fn summary(&self) -> Summary {
        let digest = self.buckets.digest().wrapping_add(self.tombstones_digest.digest);
        Summary { keys: self.entries.len() as u64, digest }
    }

    /// What a reader finds in it, in two numbers.
    pub fn shown(&self) -> Summary {
        Summary { keys: self.len() as u64, digest: self.buckets.digest() }
    }

    /// Whether a reader finds the same in both.
    pub fn shows_the_same_as(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }

    /// What a reader finds in each bucket.
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// What a reader finds for the key.
    pub fn get(&self, key: &Key) -> Option<&Entry> {
        self.entry(key).filter(|entry| !entry.is_tombstone())
    }

    /// What the key holds, and be it a tombstone.
    pub fn entry(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// The stamp of what the key holds, and be it a tombstone.
    pub fn stamp(&self, key: &Key) -> Option<Stamp> {
        self.entry(key).map(|entry| entry.stamp)
    }

    /// What a reader finds, all keys in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries().filter(|(_, entry)| !entry.is_tombstone())
    }

    /// All entries in the order of the keys, tombstones included.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    /// The deleted keys that are not forgotten, in order.
    pub fn tombstones(&self) -> impl Iterator<Item = (&Key, Stamp)> {
        self.tombstones.iter().filter_map(|key| Some((key, self.stamp(key)?)))
    }

    /// How many of them there are.
    pub fn tombstone_count(&self) -> usize {
        self.tombstones.len()
    }

    /// The entries of the keys after `key` in order, or all of them, tombstones included.
    pub fn after(&self, key: Option<&Key>) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.after(key)
    }

    /// How many keys a reader finds.
    pub fn len(&self) -> usize {
        self.entries.len() - self.tombstone_count()
    }

    /// Whether a reader finds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
