use std::fmt;

use serde::{Deserialize, Serialize};

use super::coverage::{Coverage, Skipped};
use super::excuse::{Excused, Excuses};
use super::loss_cause::LossCause;

/// What must hold of a run, or is measured of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Property {
    /// K1: one stamp, one value; nothing from nowhere; versions step by one.
    Integrity,
    /// K2: the leader behaves like a single copy.
    Linearizability,
    /// K3: what was acknowledged stays.
    Durability,
    /// K4: replicas end equal.
    Convergence,
    /// K5: a client sees its own writes and does not go back in time. Counted.
    Sessions,
    /// K6: nobody sees a write without those before it. Counted.
    Prefix,
    /// K7: an acknowledgement tells the truth.
    Acknowledgement,
    /// K8: a stored stamp never goes down.
    MonotonicState,
    /// K9: an epoch has one leader, and a promise is kept.
    Fencing,
    /// K10: every request ends by its deadline, and after healing writes are acknowledged.
    Liveness,
    /// K11: queues stay under their caps.
    Bounds,
    /// K12: what a client asks for once more happens once.
    Idempotence,
    /// K13: latencies follow the order statistic.
    LatencyLaw,
}

impl Property {
    /// Whether its cases are counted, for an asynchronous replica may show them, and never violate anything.
    pub fn is_counted(self) -> bool {
        matches!(self, Self::Sessions | Self::Prefix)
    }

    /// Every property, in the order of the catalogue.
    pub const ALL: [Self; 13] = [
        Self::Integrity,
        Self::Linearizability,
        Self::Durability,
        Self::Convergence,
        Self::Sessions,
        Self::Prefix,
        Self::Acknowledgement,
        Self::MonotonicState,
        Self::Fencing,
        Self::Liveness,
        Self::Bounds,
        Self::Idempotence,
        Self::LatencyLaw,
    ];

    /// The name that scenarios and reports use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Integrity => "integrity",
            Self::Linearizability => "linearizability",
            Self::Durability => "durability",
            Self::Convergence => "convergence",
            Self::Sessions => "sessions",
            Self::Prefix => "prefix",
            Self::Acknowledgement => "acknowledgement",
            Self::MonotonicState => "monotonic-state",
            Self::Fencing => "fencing",
            Self::Liveness => "liveness",
            Self::Bounds => "bounds",
            Self::Idempotence => "idempotence",
            Self::LatencyLaw => "latency-law",
        }
    }

    /// Whether its checker can find that acknowledged data is lost.
    pub fn can_be_lost(self) -> bool {
        matches!(self, Self::Durability | Self::Linearizability)
    }

    /// Whether a violation means that something good never happened, rather than that something bad did.
    pub fn is_liveness(self) -> bool {
        matches!(self, Self::Convergence | Self::Liveness)
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a checker found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The property that was checked.
    pub property: Property,
    /// What came of it.
    pub finding: Finding,
    /// The cases that the property forbids and that were excused, by kind, in the order of
    /// [`Excuse::ALL`](super::Excuse::ALL).
    pub excuses: Vec<Excused>,
    /// How much of the run the finding is about.
    pub coverage: Coverage,
    /// The causes of losses that durability found, each once, in the order in which they were found.
    pub causes: Vec<LossCause>,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The property holds. The text says of how much, so that a check of nothing is seen to be one.
    Holds(String),
    /// It does not hold. Each item is a sentence that shows it: operations, messages, faults, with their times. Never
    /// empty.
    Violated(Vec<String>),
    /// Acknowledged data is gone, after more failures than the store tolerates. Each item is a sentence that shows it and
    /// gives the reason. Never empty.
    Lost(Vec<String>),
    /// It is counted and not judged: a rate, and examples of what was counted.
    Counted {
        /// How often it was so, in words.
        rate: String,
        /// How many cases there were.
        cases: usize,
        /// Some of the cases, each a sentence.
        examples: Vec<String>,
    },
    /// It does not apply to this run, and why.
    NotApplicable(String),
}

/// How many sentences of evidence a verdict keeps; the first show as much as all.
pub(super) const MOST_EVIDENCE: usize = 5;

impl Verdict {
    /// A verdict that excuses nothing, and does not count what it covers.
    pub fn new(property: Property, finding: Finding) -> Self {
        Self { property, finding, coverage: Coverage::default(), excuses: Vec::new(), causes: Vec::new() }
    }

    /// The verdict on a property that holds unless there is evidence against it.
    pub fn unless(property: Property, evidence: Vec<String>, holds: impl FnOnce() -> String) -> Self {
        Self::against(property, evidence, Vec::new(), holds)
    }

    /// The verdict on a property that holds unless there is evidence of a violation or of a loss. A violation is the
    /// graver finding; the evidence of losses follows its own.
    pub fn against(
        property: Property,
        mut violations: Vec<String>,
        losses: Vec<String>,
        holds: impl FnOnce() -> String,
    ) -> Self {
        let finding = match (violations.is_empty(), losses.is_empty()) {
            (true, true) => Finding::Holds(holds()),
            (true, false) => Finding::Lost(shortened(losses)),
            (false, _) => {
                violations.extend(losses);
                Finding::Violated(shortened(violations))
            }
        };
        Self::new(property, finding)
    }

    /// The same finding with these excuses.
    #[must_use]
    pub(super) fn excusing(self, excuses: Excuses) -> Self {
        Self { excuses: excuses.into_inner(), ..self }
    }

    /// The same finding with the causes of its losses.
    #[must_use]
    pub(super) fn caused_by(self, causes: Vec<LossCause>) -> Self {
        Self { causes, ..self }
    }

    /// Adds how many items the verdict is about, and which operations it is not about.
    #[must_use]
    pub(super) fn covering(self, judged: usize, skipped: Vec<Skipped>) -> Self {
        Self { coverage: Coverage { judged: Some(judged), skipped }, ..self }
    }

    /// Whether the property was judged for at least one item. A count judges nothing.
    pub fn has_judged(&self) -> bool {
        match self.finding {
            Finding::Violated(_) | Finding::Lost(_) => true,
            Finding::Holds(_) => self.coverage.judged.is_some_and(|judged| judged > 0),
            Finding::Counted { .. } | Finding::NotApplicable(_) => false,
        }
    }

    /// Whether there were operations to judge, and none of them could be judged.
    pub fn has_skipped_everything(&self) -> bool {
        !self.has_judged() && self.coverage.skipped.iter().any(|skipped| skipped.is_gap)
    }

    /// Whether the property was found violated.
    pub fn is_violated(&self) -> bool {
        matches!(self.finding, Finding::Violated(_))
    }

    /// Whether acknowledged data was found to be lost, and nothing to be violated.
    pub fn is_lost(&self) -> bool {
        matches!(self.finding, Finding::Lost(_))
    }
}

fn shortened(mut evidence: Vec<String>) -> Vec<String> {
    let more = evidence.len().saturating_sub(MOST_EVIDENCE);
    if more > 0 {
        evidence.truncate(MOST_EVIDENCE);
        evidence.push(format!("… and {more} more like it"));
    }
    evidence
}
