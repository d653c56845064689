//! A hash table that grows a little at a time.

use std::hash::BuildHasher;
use std::mem;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::base::Key;
use crate::core::store::Entry;

/// How many keys a shard has on average before one of them is split.
const KEYS_PER_SHARD: usize = 2048;

/// Keys and what they hold, found by the keys' hashes.
///
/// A table that doubles at once stops the node while all keys move: 0.2 s at a million keys, and on a machine that several nodes
/// share, at the same time in each. This one is divided into shards. When there are too many keys for the shards that there are,
/// one shard, the next in turn, is split into two: an insertion moves a few thousand keys at the most. (Linear hashing;
/// Litwin, "Linear Hashing: A New Tool for File and Table Addressing", VLDB 1980.)
///
/// Each table draws how it hashes, so that keys which meet in one shard cannot be made up beforehand.
#[derive(Debug, Clone)]
pub(super) struct Shards {
    hasher: DefaultHashBuilder,
    /// Invariant: at least one. An entry is in the shard that `place` names for its hash.
    shards: Vec<HashTable<(Key, Entry)>>,
    len: usize,
}

impl Default for Shards {
    fn default() -> Self {
        Self { hasher: DefaultHashBuilder::default(), shards: vec![HashTable::new()], len: 0 }
    }
}

impl PartialEq for Shards {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.shards.iter().flatten().all(|(key, entry)| other.get(key) == Some(entry))
    }
}

impl Eq for Shards {}

/// In which of so many shards a hash belongs. With each shard that is added, the keys of one other are divided between the two.
fn place(hash: u64, shards: usize) -> usize {
    // Within a shard the lowest bits and the seven highest tell keys apart; these are others.
    let hash = (hash >> 28) as u32 as usize;
    let wide = shards.next_power_of_two();
    let place = hash & (wide - 1);
    if place < shards { place } else { place - wide / 2 }
}

impl Shards {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Entry> {
        let hash = self.hasher.hash_one(key);
        let found = self.shards[place(hash, self.shards.len())].find(hash, |(other, _)| other == key);
        found.map(|(_, entry)| entry)
    }

    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        let hash = self.hasher.hash_one(key);
        let place = place(hash, self.shards.len());
        self.shards[place].find_mut(hash, |(other, _)| other == key).map(|(_, entry)| entry)
    }

    /// Puts an entry there. Returns what was there before.
    pub(super) fn insert(&mut self, key: &Key, entry: Entry) -> Option<Entry> {
        let hash = self.hasher.hash_one(key);
        let place = place(hash, self.shards.len());
        let hasher = &self.hasher;
        let shard = &mut self.shards[place];
        if let Some((_, stored)) = shard.find_mut(hash, |(other, _)| other == key) {
            return Some(mem::replace(stored, entry));
        }
        shard.insert_unique(hash, (key.clone(), entry), |(key, _)| hasher.hash_one(key));
        self.len += 1;
        if self.len > self.shards.len() * KEYS_PER_SHARD {
            self.split();
        }
        None
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Entry> {
        let hash = self.hasher.hash_one(key);
        let place = place(hash, self.shards.len());
        let found = self.shards[place].find_entry(hash, |(other, _)| other == key).ok()?;
        let ((_, entry), _) = found.remove();
        self.len -= 1;
        Some(entry)
    }

    /// Divides the keys of one shard between it and a new one. Shards are not joined again: the room is used when keys come.
    fn split(&mut self) {
        let (hasher, last) = (&self.hasher, self.shards.len());
        let shards = last + 1;
        // Where `place` looks for the keys of the new shard as long as that does not exist.
        let source = last - shards.next_power_of_two() / 2;
        let moves = |(key, _): &mut (Key, Entry)| place(hasher.hash_one(key), shards) == last;
        let moved: Vec<(Key, Entry)> = self.shards[source].extract_if(moves).collect();
        let mut added = HashTable::with_capacity(moved.len());
        for (key, entry) in moved {
            added.insert_unique(hasher.hash_one(&key), (key, entry), |(key, _)| hasher.hash_one(key));
        }
        self.shards.push(added);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::{Stamp, Value, Version};

    fn key(number: usize) -> Key {
        Key::new(&format!("key{number}")).unwrap()
    }

    fn entry(version: usize) -> Entry {
        let stamp = Stamp::of_version(Version::new(version as u64 + 1).unwrap());
        Entry::new(stamp, Value::from_json("1").ok())
    }

    #[test]
    fn a_hash_stays_in_its_shard_but_for_the_one_that_is_split() {
        for hash in (0..1000_u64).map(|n| (n * 0x9e37_79b9) << 28) {
            for shards in 1..300 {
                let (before, after) = (place(hash, shards), place(hash, shards + 1));
                assert!(before < shards);
                let source = shards - (shards + 1).next_power_of_two() / 2;
                assert!(after == before || (after == shards && before == source), "{shards}: {before}, {after}");
            }
        }
    }

    /// As it grows over many splits, shrinks, and grows again.
    #[test]
    fn it_holds_what_a_map_holds() {
        let (mut shards, mut map) = (Shards::default(), BTreeMap::new());
        let keys = 40 * KEYS_PER_SHARD;
        for round in 0..2 {
            for number in 0..keys {
                let version = round * keys + number;
                assert_eq!(shards.insert(&key(number), entry(version)), map.insert(key(number), entry(version)));
            }
            for number in (0..keys).filter(|number| number % 3 == 0) {
                assert_eq!(shards.remove(&key(number)), map.remove(&key(number)));
                assert_eq!(shards.remove(&key(number)), None);
            }
            assert_eq!(shards.len(), map.len());
            for number in 0..keys + 10 {
                assert_eq!(shards.get(&key(number)), map.get(&key(number)));
                assert_eq!(shards.get_mut(&key(number)), map.get_mut(&key(number)));
            }
        }
        assert_eq!(shards.shards.len(), 40);
    }

    /// What an insertion can move is what one shard holds.
    #[test]
    fn no_shard_grows_much_beyond_the_average() {
        let mut shards = Shards::default();
        for number in 0..100_000 {
            shards.insert(&key(number), entry(number));
            let fullest = shards.shards.iter().map(HashTable::len).max().unwrap();
            if number % 1000 == 0 {
                assert!(fullest <= 3 * KEYS_PER_SHARD, "{fullest} of {number} keys in one of {}", shards.shards.len());
            }
        }
    }
}
