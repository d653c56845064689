//! What a store holds in a few numbers, kept up to date with each change: two stores are compared without being sent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::base::{Key, Stamp};

/// Into how many buckets the keys are divided.
const BUCKETS: u64 = 256;

/// How many keys a store holds, and a hash of all of them and their stamps: two stores with the same summary hold the same,
/// but for a chance of 2⁻⁶⁴. A stamp stands for its value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Summary {
    /// How many keys.
    pub keys: u64,
    /// The hash, which does not depend on the order in which they came.
    pub digest: u64,
}

/// A digest for each bucket in which there is anything. A key is always in the same bucket, whoever stores it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Buckets(BTreeMap<u8, u64>);

impl Summary {
    /// A key is stored that was not.
    pub fn add(&mut self, key: &Key, stamp: Stamp) {
        self.keys += 1;
        self.digest = self.digest.wrapping_add(hash(key, stamp));
    }

    /// A key is not stored any more that was.
    pub(super) fn remove(&mut self, key: &Key, stamp: Stamp) {
        self.keys -= 1;
        self.digest = self.digest.wrapping_sub(hash(key, stamp));
    }
}

impl Buckets {
    /// A key is there, with this stamp.
    pub(super) fn add(&mut self, key: &Key, stamp: Stamp) {
        let digest = self.0.entry(bucket(key)).or_default();
        *digest = digest.wrapping_add(hash(key, stamp));
    }

    /// A key that is there and stays has another stamp.
    pub(super) fn change(&mut self, key: &Key, stamp: Stamp, before: Stamp) {
        let digest = self.0.entry(bucket(key)).or_default();
        *digest = digest.wrapping_sub(hash(key, before)).wrapping_add(hash(key, stamp));
    }

    /// A key is not there any more that had this stamp.
    pub(super) fn remove(&mut self, key: &Key, stamp: Stamp) {
        let bucket = bucket(key);
        let digest = self.0.entry(bucket).or_default();
        *digest = digest.wrapping_sub(hash(key, stamp));
        if *digest == 0 {
            self.0.remove(&bucket);
        }
    }

    /// The digest of everything.
    pub(super) fn digest(&self) -> u64 {
        self.0.values().fold(0, |sum, digest| sum.wrapping_add(*digest))
    }

    /// Whether a key's bucket is alike in both.
    pub fn agree_on(&self, key: &Key, other: &Self) -> bool {
        let of = |buckets: &Self| buckets.0.get(&bucket(key)).copied().unwrap_or_default();
        of(self) == of(other)
    }

    /// The buckets in which the two differ.
    pub(super) fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u8> + 'a {
        let buckets: std::collections::BTreeSet<u8> = self.0.keys().chain(other.0.keys()).copied().collect();
        buckets.into_iter().filter(|bucket| self.0.get(bucket) != other.0.get(bucket))
    }

    /// The same, but like the other in this bucket.
    #[must_use]
    pub(super) fn alike_in(mut self, bucket: u8, other: &Self) -> Self {
        match other.0.get(&bucket) {
            Some(digest) => self.0.insert(bucket, *digest),
            None => self.0.remove(&bucket),
        };
        self
    }
}

/// Sums of hashes of this kind tell sets apart (Bellare and Micciancio, *A New Paradigm for Collision-Free Hashing:
/// Incrementality at Reduced Cost*, 1997); nobody chooses keys to make two of them alike.
fn hash(key: &Key, stamp: Stamp) -> u64 {
    let seed = stamp.epoch.get().rotate_left(40) ^ stamp.version.get();
    xxh3_64_with_seed(key.as_str().as_bytes(), seed)
}

/// The bucket of a key.
pub(super) fn bucket(key: &Key) -> u8 {
    (xxh3_64_with_seed(key.as_str().as_bytes(), 0) % BUCKETS) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Epoch, Version};

    fn stamp(epoch: u64, version: u64) -> Stamp {
        Stamp { epoch: Epoch::new(epoch), version: Version::new(version).unwrap() }
    }

    #[test]
    fn the_order_does_not_matter_and_everything_else_does() {
        let key = |text: &str| Key::new(text).unwrap();
        let of = |items: &[(&str, Stamp)]| {
            let mut summary = Summary::default();
            items.iter().for_each(|(text, stamp)| summary.add(&key(text), *stamp));
            summary
        };
        let base = of(&[("x", stamp(1, 1)), ("y", stamp(1, 2))]);
        assert_eq!(base, of(&[("y", stamp(1, 2)), ("x", stamp(1, 1))]));
        for other in [
            of(&[("x", stamp(1, 2)), ("y", stamp(1, 1))]),
            of(&[("x", stamp(2, 1)), ("y", stamp(1, 2))]),
            of(&[("x", stamp(1, 1)), ("z", stamp(1, 2))]),
            of(&[("x", stamp(1, 1))]),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn buckets_follow_what_is_stored() {
        let (x, y) = (Key::new("x").unwrap(), Key::new("y").unwrap());
        let mut straight = Buckets::default();
        straight.add(&x, stamp(1, 3));
        straight.add(&y, stamp(1, 1));
        let mut detour = Buckets::default();
        detour.add(&y, stamp(1, 1));
        detour.add(&x, stamp(1, 1));
        assert!(detour.agree_on(&y, &straight) && !detour.agree_on(&x, &straight));
        detour.remove(&x, stamp(1, 1));
        detour.add(&x, stamp(1, 3));
        assert_eq!((detour.digest(), &detour), (straight.digest(), &straight));
    }
}
