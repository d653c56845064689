use std::fmt;
use std::str::FromStr;

/// The seeds from the first up to, but not including, the end: `0..500`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeedRange {
    /// The first seed.
    pub first: u64,
    /// The end; it does not belong to the range. Greater than `first`.
    pub end: u64,
}

/// One of several machines that share a range of seeds: `2/3` is the second of three. Together they run each seed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which one, counted from 1.
    pub place: u64,
    /// Of how many.
    pub of: u64,
}

impl SeedRange {
    /// Every seed there is.
    pub const ALL: Self = Self { first: 0, end: u64::MAX };

    /// The seeds that fall to a shard, in order: every `of`th one, so that all shards have as many, give or take one, and
    /// have the early ones first.
    pub fn of_shard(self, shard: Shard) -> impl Iterator<Item = u64> + Send {
        let step = usize::try_from(shard.of).unwrap_or(usize::MAX);
        (self.first..self.end).skip((shard.place - 1) as usize).step_by(step)
    }

    /// How many seeds fall to a shard.
    pub fn share(self, shard: Shard) -> u64 {
        let all = self.end - self.first;
        all / shard.of + u64::from(shard.place <= all % shard.of)
    }
}

impl Shard {
    /// The only one.
    pub const WHOLE: Self = Self { place: 1, of: 1 };
}

impl fmt::Display for SeedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.end)
    }
}

impl FromStr for SeedRange {
    type Err = String;

    /// `A..B`, `A..` for all from A on, or one number for that seed alone.
    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = || format!("{text:?}: must be a range of seeds such as 0..500, 7.. or 7");
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| allowed());
        let (first, end) = match text.split_once("..") {
            None => (number(text)?, number(text)?.checked_add(1).ok_or_else(allowed)?),
            Some((first, "")) => (number(first)?, u64::MAX),
            Some((first, end)) => (number(first)?, number(end)?),
        };
        if first >= end {
            return Err(format!("{text:?}: the range has no seed; {end} itself does not belong to it"));
        }
        Ok(Self { first, end })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.place, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shard = text.split_once('/').and_then(|(place, of)| {
            let shard = Self { place: place.trim().parse().ok()?, of: of.trim().parse().ok()? };
            (1..=shard.of).contains(&shard.place).then_some(shard)
        });
        shard.ok_or_else(|| format!("{text:?}: must be I/N with I from 1 to N, such as 2/3 for the second of three"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Over all shards each seed of the range is run, and run once.
        #[test]
        fn shards_are_disjoint_and_complete(first in 0..u64::MAX / 2, length in 1..400u64, of in 1..40u64) {
            let range = SeedRange { first, end: first + length };
            let mut all = Vec::new();
            for place in 1..=of {
                let shard = Shard { place, of };
                let seeds: Vec<u64> = range.of_shard(shard).collect();
                prop_assert_eq!(seeds.len() as u64, range.share(shard));
                all.extend(seeds);
            }
            all.sort_unstable();
            prop_assert_eq!(all, (first..first + length).collect::<Vec<_>>());
        }
    }

    #[test]
    fn ranges_and_shards_are_read_and_written() {
        assert_eq!("0..500".parse(), Ok(SeedRange { first: 0, end: 500 }));
        assert_eq!("7".parse(), Ok(SeedRange { first: 7, end: 8 }));
        assert_eq!("7..".parse(), Ok(SeedRange { first: 7, end: u64::MAX }));
        assert_eq!("2/3".parse(), Ok(Shard { place: 2, of: 3 }));
        for text in ["", "x", "5..5", "5..4", "..5", "-1..4", "1...3", "18446744073709551615"] {
            assert!(text.parse::<SeedRange>().is_err(), "{text:?}");
        }
        for text in ["", "1", "0/3", "4/3", "1/0", "a/b", "1/2/3"] {
            assert!(text.parse::<Shard>().is_err(), "{text:?}");
        }
    }
}
