use std::fmt;

use crate::base::Value;

/// The state of a key that a conditional write requires. A write whose condition does not hold is refused, without
/// effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The key has this version; 0 requires that the key is absent.
    Version(u64),
    /// The key has this value (compare-and-set). `null` also matches an absent key.
    Value(Value),
}

/// `if the version is 3`, `if the value is "a"`
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(0) => f.write_str("if the key is absent"),
            Self::Version(version) => write!(f, "if the version is {version}"),
            Self::Value(value) => write!(f, "if the value is {value}"),
        }
    }
}
