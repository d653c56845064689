use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::xxh3_64;

/// The bytes of what is hashed, which are made one number in the end. A state feeds its hasher with hundreds of small pieces: with
/// one that mixes in each of them, a search does little else.
pub(super) struct Fingerprint(Vec<u8>);

/// So many bytes suffice for a part of a state, as a rule.
const USUAL: usize = 1024;

impl Fingerprint {
    /// Of nothing yet.
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(USUAL))
    }

    /// Of something.
    pub(super) fn of(it: &impl Hash) -> u64 {
        let mut fingerprint = Self::new();
        it.hash(&mut fingerprint);
        fingerprint.finish()
    }
}

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        xxh3_64(&self.0)
    }
}
