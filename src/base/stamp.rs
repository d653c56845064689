use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// The number of a write among all writes of its key: 1 for the first, then one more each time.
///
/// Versions fit into the integers that every JSON parser keeps exact, 1 to 2⁵³ ([RFC 8259, section 6]).
///
/// [RFC 8259, section 6]: https://www.rfc-editor.org/rfc/rfc8259#section-6
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Version(u64);

/// A number that cannot be a [`Version`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a version is a whole number from 1 to {max}", max = Version::MAX.0)]
pub struct InvalidVersion;

impl Version {
    /// The version of a key's first write.
    pub const FIRST: Self = Self(1);
    /// The greatest version, 2⁵³.
    pub const MAX: Self = Self(1 << 53);

    /// Checks the range.
    ///
    /// # Errors
    /// [`InvalidVersion`] for 0 or a number above 2⁵³.
    pub fn new(number: u64) -> Result<Self, InvalidVersion> {
        let version = Self(number);
        if (Self::FIRST..=Self::MAX).contains(&version) { Ok(version) } else { Err(InvalidVersion) }
    }

    /// The version after this one, or `None` when the key has used them all.
    pub fn next(self) -> Option<Self> {
        Self::new(self.0 + 1).ok()
    }

    /// The version as a number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Takes whole numbers only and says the same thing about everything else.
        struct Number;

        impl serde::de::Visitor<'_> for Number {
            type Value = Version;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from 1 to {}", Version::MAX)
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Version, E> {
                Version::new(number).map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(number), &self))
            }
        }

        deserializer.deserialize_u64(Number)
    }
}

/// A leader's term of office. Every write of one epoch is ordered before every write of the next.
///
/// An epoch belongs to one life of one leader: it is chosen above every epoch that a majority of the followers has promised,
/// and promised by a majority of them before anything is written in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Epoch(u64);

impl Epoch {
    /// Before any leader: what a follower has promised that was never asked, and the epoch of writes made by hand.
    pub const ZERO: Self = Self(0);
    /// The smallest epoch that a leader can have.
    pub const FIRST: Self = Self(1);
    /// The greatest: 2⁵³, up to which every JSON reader is exact. A node takes the time in milliseconds for its first, so that is
    /// as good as never.
    pub const MAX: Self = Self(1 << 53);

    /// The epoch of this number, or the greatest there is.
    pub fn new(number: u64) -> Self {
        Self(number).min(Self::MAX)
    }

    /// The epoch after this one. After the greatest there is none: who asks for it is refused.
    #[must_use]
    pub fn next(self) -> Self {
        Self::new(self.0 + 1)
    }

    /// The epoch as a number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        let allowed =
            || serde::de::Error::custom(format!("epoch {number}: must be a whole number from 0 to {}", Self::MAX.0));
        if number <= Self::MAX.0 { Ok(Self(number)) } else { Err(allowed()) }
    }
}

/// What orders the writes of one key: first by epoch, then by version.
///
/// The order is that of the fields, so the derived comparison is the protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// The epoch of the leader that issued the write.
    pub epoch: Epoch,
    /// The number of the write among all writes of its key.
    pub version: Version,
}

impl Stamp {
    /// A stamp of a cluster's first leader.
    pub fn of_version(version: Version) -> Self {
        Self { epoch: Epoch::FIRST, version }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            Epoch::FIRST => write!(f, "v{}", self.version),
            epoch => write!(f, "e{}v{}", epoch.get(), self.version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_bounded() {
        assert_eq!(Version::new(0), Err(InvalidVersion));
        assert_eq!(Version::new((1 << 53) + 1), Err(InvalidVersion));
        assert_eq!(Version::FIRST.next(), Version::new(2).ok());
        assert_eq!(Version::MAX.next(), None);
    }

    #[test]
    fn a_version_is_read_from_a_whole_number_only() {
        assert_eq!(serde_json::from_str::<Version>("7").unwrap().get(), 7);
        for text in ["0", "-1", "1.0", "9007199254740993", "18446744073709551616", "true", "\"1\"", "null", "[1]"] {
            let error = serde_json::from_str::<Version>(text).unwrap_err().to_string();
            assert!(error.contains("a whole number from 1 to 9007199254740992"), "{text}: {error}");
        }
    }

    #[test]
    fn a_later_epoch_beats_a_greater_version() {
        let of = |epoch, version| Stamp { epoch: Epoch(epoch), version: Version(version) };
        assert!(of(1, 1) > of(0, 9));
        assert!(of(1, 2) > of(1, 1));
    }
}
