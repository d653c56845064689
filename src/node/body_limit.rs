//! How large a value a follower takes: its MAX_BODY may be another one than its leader's.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use bytesize::ByteSize;

use crate::base::Value;

/// How much larger than a client's body a leader's may be, in bytes: it carries the same key and value and a version, or a batch of
/// up to 1 MiB of keys and values, in which escapes can make six bytes of one.
pub(super) const REPLICATION_ALLOWANCE: usize = 8 << 20;

/// What a leader's request holds besides a value, at the most, in bytes: the key, of which escapes can make six bytes of one, the
/// names of requests, and numbers.
const BESIDES_VALUE: usize = 16 << 10;

/// The MAX_BODY of a follower in bytes, as it says in each answer to its leader's questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FollowerLimit(pub(super) usize);

impl FollowerLimit {
    /// The largest value that it takes from its leader.
    pub(super) fn largest_value(self) -> ByteSize {
        ByteSize((self.0 + REPLICATION_ALLOWANCE - BESIDES_VALUE) as u64)
    }

    /// Whether a leader's request with this value is not too large for it.
    pub(super) fn admits(self, value: &Value) -> bool {
        value.as_json().len() + BESIDES_VALUE <= self.0.saturating_add(REPLICATION_ALLOWANCE)
    }
}

impl FromStr for FollowerLimit {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}

/// `MAX_BODY=1.0 MiB`
impl fmt::Display for FollowerLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MAX_BODY={}", ByteSize(self.0 as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_follower_admits_is_what_its_server_takes() {
        let limit = FollowerLimit(1 << 20);
        let value = |length: usize| Value::from_json(&format!("\"{}\"", "v".repeat(length - 2))).unwrap();
        let most = limit.largest_value().as_u64() as usize;
        assert!(limit.admits(&value(most)));
        assert!(!limit.admits(&value(most + 1)));
        assert_eq!("1048576".parse(), Ok(limit));
        assert_eq!(limit.to_string(), "MAX_BODY=1.0 MiB");
    }
}
