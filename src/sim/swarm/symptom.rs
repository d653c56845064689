use crate::check::Property;

/// A way in which a run did not come out right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Symptom {
    /// The property is violated.
    Violation(Property),
    /// The history of the clients, judged by itself, shows a violation that the trace does not.
    Contradiction,
    /// An expectation of the scenario file is not met.
    Expectation,
    /// The run did not come to its end: a node or the simulator failed.
    Broken,
}

impl Symptom {
    /// The name that reports and file names use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Violation(property) => property.name(),
            Self::Contradiction => "contradiction",
            Self::Expectation => "expectation",
            Self::Broken => "broken",
        }
    }
}
