//! Randomness as an argument: one number from which everything random in a run follows.
//!
//! A seed is *forked* for each component, so that one more draw in one of them changes nothing in another. Within a
//! component a draw is *keyed* by what it is for (this message, to this follower, at this attempt): there is no
//! sequence of draws that could shift, so taking one message away leaves the fate of every other as it was.

use std::fmt;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// The source of all randomness of a run or of one of its components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Seed(u64);

impl Seed {
    /// The seed with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, for printing a command that repeats the run.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The seed of a component, a function of this seed and the component's name.
    pub fn fork(self, component: &str) -> Self {
        Self(self.generator(component.as_bytes()).next_u64())
    }

    /// A draw keyed by what it is for: the same seed and key give the same number, whatever else was drawn.
    pub fn draw(self, key: &[u64]) -> Draw {
        let mut bytes = [0; 8 * Self::MAX_KEY];
        for (place, word) in bytes.chunks_exact_mut(8).zip(key) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        Draw(self.generator(&bytes[..8 * key.len()]).next_u64())
    }

    /// The most numbers that the key of a draw may have.
    pub const MAX_KEY: usize = 8;

    /// ChaCha with the seed and a hash of the key as its own key. Its output is specified, so a seed means the same
    /// on every machine and in every version of this crate.
    fn generator(self, key: &[u8]) -> ChaCha8Rng {
        let mut chacha_key = [0; 32];
        chacha_key[..8].copy_from_slice(&self.0.to_le_bytes());
        chacha_key[8..24].copy_from_slice(&xxh3_128_with_seed(key, self.0).to_le_bytes());
        ChaCha8Rng::from_seed(chacha_key)
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// 64 uniformly random bits, to be read as what the caller needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw(u64);

impl Draw {
    /// A number from 0 to 1, 1 excluded, with 53 random bits.
    pub fn unit(self) -> f64 {
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number from `low` to `high`, both included. The bias of the multiplication is below 2⁻⁶⁴ of the range.
    ///
    /// # Panics
    /// If `low` is greater than `high`.
    pub fn between(self, low: u64, high: u64) -> u64 {
        let span = u128::from(high.checked_sub(low).expect("low must not be above high")) + 1;
        low + ((u128::from(self.0) * span) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A seed is quoted in bug reports and kept in files, so its meaning must not change with a dependency.
    #[test]
    fn the_meaning_of_a_seed_is_fixed() {
        insta::assert_snapshot!(Seed::new(42).fork("netem"), @"9501686309581623994");
        insta::assert_snapshot!(Seed::new(42).draw(&[1, 2, 3]).between(0, 1_000_000), @"171031");
    }

    #[test]
    fn draws_differ_by_key_and_seed_and_cover_the_range() {
        let draws: std::collections::BTreeSet<u64> =
            (0..1000).map(|n| Seed::new(1).draw(&[n]).between(0, u64::MAX)).collect();
        assert_eq!(draws.len(), 1000);
        assert_ne!(Seed::new(1).draw(&[0]), Seed::new(2).draw(&[0]));
        assert_ne!(Seed::new(1).draw(&[0]), Seed::new(1).draw(&[0, 0]));
        let seen: std::collections::BTreeSet<u64> = (0..1000).map(|n| Seed::new(3).draw(&[n]).between(5, 8)).collect();
        assert_eq!(seen, (5..=8).collect());
        assert_eq!(Draw(u64::MAX).between(0, u64::MAX), u64::MAX);
        assert!(Draw(u64::MAX).unit() < 1.0 && Draw(0).unit() == 0.0 && Draw(1 << 63).unit() == 0.5);
    }
}
