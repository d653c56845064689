use std::fmt;
use std::str::FromStr;

/// A range of seeds, `0..500` as text. It can hold every `u64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeedRange {
    first: u64,
    /// The last seed of the range, not below `first`.
    last: u64,
}

/// One of several machines that share a range of seeds: `2/3` is the second of three. Together they run each seed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Counted from 1, up to `of`.
    place: u64,
    of: u64,
}

/// A range without a seed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the range of seeds from {first} to {last} is empty: the last seed must not be below the first")]
pub struct EmptySeedRange {
    first: u64,
    last: u64,
}

/// A shard that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no shard {place} of {of}: shards are counted from 1 to their number")]
pub struct InvalidShard {
    place: u64,
    of: u64,
}

impl SeedRange {
    /// Every seed.
    pub const ALL: Self = Self { first: 0, last: u64::MAX };

    /// The seeds from `first` to `last`, both included.
    ///
    /// # Errors
    /// [`EmptySeedRange`] if `last` is below `first`.
    pub const fn new(first: u64, last: u64) -> Result<Self, EmptySeedRange> {
        if first <= last { Ok(Self { first, last }) } else { Err(EmptySeedRange { first, last }) }
    }

    /// Returns the seeds of a shard in ascending order: every `of`th seed of the range, so that all
    /// shards have the same number of seeds, give or take one, and each begins near the start of
    /// the range.
    pub fn of_shard(self, shard: Shard) -> impl Iterator<Item = u64> + Send {
        let step = usize::try_from(shard.of).unwrap_or(usize::MAX);
        (self.first..=self.last).skip((shard.place - 1) as usize).step_by(step)
    }

    /// Returns the number of seeds of a shard. All 2^64 seeds count as `u64::MAX`.
    pub fn share(self, shard: Shard) -> u64 {
        let all = u128::from(self.last - self.first) + 1;
        let (place, of) = (u128::from(shard.place), u128::from(shard.of));
        u64::try_from(all / of + u128::from(place <= all % of)).unwrap_or(u64::MAX)
    }
}

impl Shard {
    /// The only shard.
    pub const WHOLE: Self = Self { place: 1, of: 1 };

    /// The shard with this number, counted from 1, among `of` shards.
    ///
    /// # Errors
    /// [`InvalidShard`] if the number is not between 1 and `of`.
    pub const fn new(place: u64, of: u64) -> Result<Self, InvalidShard> {
        if 1 <= place && place <= of { Ok(Self { place, of }) } else { Err(InvalidShard { place, of }) }
    }
}

/// `A..B` without B, or `A..` up to the last seed of all.
impl fmt::Display for SeedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last.checked_add(1) {
            Some(end) => write!(f, "{}..{end}", self.first),
            None => write!(f, "{}..", self.first),
        }
    }
}

impl FromStr for SeedRange {
    type Err = String;

    /// Reads `A..B` without B, `A..` for all from A on, or one number for that seed alone.
    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = || {
            format!("{text:?}: must be a range of seeds such as 0..500, 7.. or 7, with seeds from 0 to {}", u64::MAX)
        };
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| allowed());
        let (first, last) = match text.split_once("..") {
            None => (number(text)?, number(text)?),
            Some((first, "")) => (number(first)?, u64::MAX),
            Some((first, end)) => {
                let (first, end) = (number(first)?, number(end)?);
                let last = end.checked_sub(1).filter(|last| first <= *last);
                (first, last.ok_or_else(|| format!("{text:?}: the range has no seed; {end} itself is excluded"))?)
            }
        };
        Self::new(first, last).map_err(|error| error.to_string())
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
        let shard = text
            .split_once('/')
            .and_then(|(place, of)| Self::new(place.trim().parse().ok()?, of.trim().parse().ok()?).ok());
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
        fn shards_are_disjoint_and_complete(first: u64, length in 0..400_u64, of in 1..40_u64) {
            let range = SeedRange::new(first, first.saturating_add(length)).expect("a range");
            let mut all = Vec::new();
            for place in 1..=of {
                let shard = Shard::new(place, of).expect("a shard");
                let seeds: Vec<u64> = range.of_shard(shard).collect();
                prop_assert_eq!(seeds.len() as u64, range.share(shard));
                all.extend(seeds);
            }
            all.sort_unstable();
            prop_assert_eq!(all, (first..=first.saturating_add(length)).collect::<Vec<_>>());
        }

        #[test]
        fn a_range_is_read_as_it_is_written(first: u64, last: u64) {
            let range = SeedRange::new(first.min(last), first.max(last)).expect("a range");
            prop_assert_eq!(range.to_string().parse(), Ok(range));
        }
    }

    #[test]
    fn ranges_and_shards_are_read_and_written() {
        assert_eq!("0..500".parse(), Ok(SeedRange { first: 0, last: 499 }));
        assert_eq!("7".parse(), Ok(SeedRange { first: 7, last: 7 }));
        assert_eq!("7..".parse(), Ok(SeedRange { first: 7, last: u64::MAX }));
        assert_eq!("18446744073709551615".parse(), Ok(SeedRange { first: u64::MAX, last: u64::MAX }));
        assert_eq!("2/3".parse(), Ok(Shard { place: 2, of: 3 }));
        for text in ["", "x", "5..5", "5..4", "0..0", "..5", "-1..4", "1...3", "18446744073709551616"] {
            assert!(text.parse::<SeedRange>().is_err(), "{text:?}");
        }
        for text in ["", "1", "0/3", "4/3", "1/0", "a/b", "1/2/3"] {
            assert!(text.parse::<Shard>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_last_seed_of_all_belongs_to_the_range_of_all() {
        assert_eq!("0..".parse(), Ok(SeedRange::ALL));
        assert_eq!(SeedRange::ALL.share(Shard::WHOLE), u64::MAX, "2^64 seeds count as u64::MAX");
        let last = Shard::new(u64::MAX, u64::MAX).expect("a shard");
        assert_eq!(SeedRange::ALL.of_shard(last).collect::<Vec<_>>(), [u64::MAX - 1]);
        assert_eq!(
            "18446744073709551614..".parse::<SeedRange>().unwrap().of_shard(Shard::WHOLE).last(),
            Some(u64::MAX)
        );
    }

    #[test]
    fn what_is_no_range_or_shard_is_refused_with_its_numbers() {
        let error = SeedRange::new(5, 4).expect_err("5 is above 4").to_string();
        assert!(error.contains("from 5 to 4"), "{error}");
        for (place, of) in [(0, 3), (4, 3), (0, 0), (1, 0)] {
            let error = Shard::new(place, of).expect_err("it is refused").to_string();
            assert!(error.contains(&format!("no shard {place} of {of}")), "{error}");
        }
    }
}
