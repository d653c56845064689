use std::collections::BTreeMap;

use crate::check::{Finding, Property, Verdict};

/// In how many runs something could be said of a property.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JudgedRuns {
    /// It was found to hold, or not to.
    pub judged: u64,
    /// It was counted, which cannot fail.
    pub counted: u64,
}

/// Which properties were judged in some runs: one that applied to none of them has not been shown to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    runs: BTreeMap<Property, JudgedRuns>,
}

impl Judged {
    /// What the verdicts on one run say.
    pub fn of(verdicts: &[Verdict]) -> Self {
        let runs = verdicts.iter().map(|verdict| {
            let (judged, counted) = match verdict.finding {
                Finding::Holds(_) | Finding::Violated(_) => (1, 0),
                Finding::Counted { .. } => (0, 1),
                Finding::NotApplicable(_) => (0, 0),
            };
            (verdict.property, JudgedRuns { judged, counted })
        });
        Self { runs: runs.collect() }
    }

    /// Adds what was judged in other runs.
    pub fn add(&mut self, other: &Self) {
        for (property, runs) in &other.runs {
            let sum = self.runs.entry(*property).or_default();
            sum.judged += runs.judged;
            sum.counted += runs.counted;
        }
    }

    /// In how many runs this property was judged.
    pub fn runs(&self, property: Property) -> JudgedRuns {
        self.runs.get(&property).copied().unwrap_or_default()
    }
}
