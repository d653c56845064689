use std::fmt;

use crate::check::{Property, Verdict};
use crate::sim::scenario::Expect;

/// The finding that a scenario keeps while it is shrunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// The property is violated.
    Violates(Property),
    /// Acknowledged data is lost, as the checker of this property finds.
    Loses(Property),
}

impl Goal {
    /// The property whose verdict decides.
    pub fn property(self) -> Property {
        match self {
            Self::Violates(property) | Self::Loses(property) => property,
        }
    }

    /// Whether the verdict on the property is that finding.
    pub fn is_met_by(self, verdict: &Verdict) -> bool {
        match self {
            Self::Violates(_) => verdict.is_violated(),
            Self::Loses(_) => verdict.is_lost(),
        }
    }

    /// The goal that a scenario file states, if it expects a violation or a loss.
    pub fn of(expect: Expect) -> Option<Self> {
        expect.violates.map(Self::Violates).or(expect.loses.map(Self::Loses))
    }

    /// What the file of a scenario that meets the goal expects.
    pub(in crate::sim) fn expectation(self) -> Expect {
        match self {
            Self::Violates(property) => Expect::violates(property),
            Self::Loses(property) => Expect::loses(property),
        }
    }
}

/// `durability is violated`, `durability is lost`
impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violates(property) => write!(f, "{property} is violated"),
            Self::Loses(property) => write!(f, "{property} is lost"),
        }
    }
}
