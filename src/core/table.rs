mod shards;

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::ops::Bound;

use super::store::Entry;
use crate::base::Key;
use shards::Shards;

/// Keys and what they hold: each is found by its hash, and listed in its order.
///
/// A tree alone does both, but to find one of ten thousand keys in it takes a dozen comparisons, each with a text somewhere else in
/// memory: with six nodes on one machine, that was an eighth of all that a write costs. The order changes only as keys come
/// and go. Nothing is ever listed in the order of the hashes, which differs from run to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    found: Shards,
    /// Invariant: the keys of `found`.
    order: BTreeSet<Key>,
}

impl Hash for Table {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.iter().for_each(|entry| entry.hash(state));
    }
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Entry> {
        self.found.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        self.found.get_mut(key)
    }

    /// Puts an entry there; what was there before.
    pub(super) fn insert(&mut self, key: &Key, entry: Entry) -> Option<Entry> {
        let before = self.found.insert(key, entry);
        if before.is_none() {
            self.order.insert(key.clone());
        }
        before
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Entry> {
        let removed = self.found.remove(key);
        if removed.is_some() {
            self.order.remove(key);
        }
        removed
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&Key, &Entry)> {
        self.order.iter().map(|key| (key, self.held(key)))
    }

    /// Those after this key, or all of them, in order.
    pub(super) fn after(&self, key: Option<&Key>) -> impl Iterator<Item = (&Key, &Entry)> {
        let start = key.map_or(Bound::Unbounded, Bound::Excluded);
        self.order.range::<Key, _>((start, Bound::Unbounded)).map(|key| (key, self.held(key)))
    }

    /// Changes all of them, in order.
    pub(super) fn for_each_mut(&mut self, mut change: impl FnMut(&Key, &mut Entry)) {
        for key in &self.order {
            if let Some(entry) = self.found.get_mut(key) {
                change(key, entry);
            }
        }
    }

    fn held(&self, key: &Key) -> &Entry {
        self.found.get(key).expect("what is in the order is there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Epoch, Stamp, Value, Version};

    #[test]
    fn keys_are_listed_in_their_order_whatever_came_and_went() {
        let entry = |version: u64| {
            let stamp = Stamp { epoch: Epoch::FIRST, version: Version::new(version).unwrap() };
            Entry::new(stamp, Value::from_json("1").ok())
        };
        let key = |number: u64| Key::new(&format!("{number:03}")).unwrap();
        let mut table = Table::default();
        let mut expected = std::collections::BTreeMap::new();
        for step in 0..500_u64 {
            let (number, version) = (step * 37 % 101, step + 1);
            if step % 3 == 2 {
                assert_eq!(table.remove(&key(number)), expected.remove(&key(number)));
            } else {
                assert_eq!(table.insert(&key(number), entry(version)), expected.insert(key(number), entry(version)));
            }
        }
        assert!(expected.len() > 20);
        assert_eq!(table.len(), expected.len());
        assert!(table.iter().eq(expected.iter()));
        let after = |start: &Key| expected.range::<Key, _>((Bound::Excluded(start), Bound::Unbounded));
        assert!((0..101).all(|number| table.after(Some(&key(number))).eq(after(&key(number)))));
        table.for_each_mut(|_, entry| entry.stamp.epoch = entry.stamp.epoch.next());
        assert!(table.iter().all(|(_, entry)| entry.stamp.epoch == Epoch::FIRST.next()));
    }
}
