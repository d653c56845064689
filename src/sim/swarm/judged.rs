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
    /// In the order of [`Property::ALL`].
    runs: [JudgedRuns; Property::ALL.len()],
}

impl Judged {
    /// What the verdicts on one run say.
    pub fn of(verdicts: &[Verdict]) -> Self {
        let mut all = Self::default();
        for verdict in verdicts {
            let runs = &mut all.runs[verdict.property as usize];
            match verdict.finding {
                Finding::Holds(_) | Finding::Violated(_) => runs.judged = 1,
                Finding::Counted { .. } => runs.counted = 1,
                Finding::NotApplicable(_) => {}
            }
        }
        all
    }

    /// Adds what was judged in other runs.
    pub fn add(&mut self, other: &Self) {
        for (sum, runs) in self.runs.iter_mut().zip(&other.runs) {
            sum.judged += runs.judged;
            sum.counted += runs.counted;
        }
    }

    /// In how many runs this property was judged.
    pub fn runs(&self, property: Property) -> JudgedRuns {
        self.runs[property as usize]
    }
}
