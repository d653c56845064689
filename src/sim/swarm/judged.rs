use std::collections::BTreeMap;

use crate::check::{Excuse, Finding, Property, Verdict};

/// In how many runs something could be said of a property.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JudgedRuns {
    /// It was found to hold, or not to.
    pub judged: u64,
    /// It was counted, which cannot fail.
    pub counted: u64,
    /// Acknowledged data was found to be lost.
    pub lost: u64,
}

/// How often an excuse was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExcusedRuns {
    /// The number of cases.
    pub cases: u64,
    /// The number of runs that had any.
    pub runs: u64,
}

/// Which properties were judged in some runs: one that applied to none of them has not been shown to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// In the order of [`Property::ALL`].
    runs: [JudgedRuns; Property::ALL.len()],
    excused: BTreeMap<(Excuse, Property), ExcusedRuns>,
}

impl Judged {
    /// What the verdicts on one run say.
    pub fn of(verdicts: &[Verdict]) -> Self {
        let mut all = Self::default();
        for verdict in verdicts {
            let runs = &mut all.runs[verdict.property as usize];
            match verdict.finding {
                Finding::Holds(_) | Finding::Violated(_) => runs.judged = 1,
                Finding::Lost(_) => (runs.judged, runs.lost) = (1, 1),
                Finding::Counted { .. } => runs.counted = 1,
                Finding::NotApplicable(_) => {}
            }
            for excused in &verdict.excuses {
                let runs = ExcusedRuns { cases: excused.cases as u64, runs: 1 };
                all.excused.insert((excused.excuse, verdict.property), runs);
            }
        }
        all
    }

    /// Adds what was judged in other runs.
    pub fn add(&mut self, other: &Self) {
        for (sum, runs) in self.runs.iter_mut().zip(&other.runs) {
            sum.judged += runs.judged;
            sum.counted += runs.counted;
            sum.lost += runs.lost;
        }
        for (key, ExcusedRuns { cases, runs }) in &other.excused {
            let sum = self.excused.entry(*key).or_default();
            sum.cases += cases;
            sum.runs += runs;
        }
    }

    /// In how many runs this property was judged.
    pub fn runs(&self, property: Property) -> JudgedRuns {
        self.runs[property as usize]
    }

    /// How often each excuse was used, for each property, in the order of [`Excuse::ALL`].
    pub fn excused(&self) -> impl Iterator<Item = (Excuse, Property, ExcusedRuns)> {
        self.excused.iter().map(|((excuse, property), runs)| (*excuse, *property, *runs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Excused;

    #[test]
    fn losses_and_excuses_are_counted_by_case_and_by_run() {
        let excused = |cases| Excused { excuse: Excuse::LeaderWaits, cases, example: "an example".into() };
        let lost = Verdict::new(Property::Durability, Finding::Lost(vec!["x is gone".into()]));
        let waits = Verdict {
            excuses: vec![excused(2)],
            ..Verdict::new(Property::Convergence, Finding::NotApplicable("it waits".into()))
        };
        let mut judged = Judged::of(&[lost, waits.clone()]);
        judged.add(&Judged::of(&[Verdict { excuses: vec![excused(1)], ..waits }]));
        assert_eq!(judged.runs(Property::Durability), JudgedRuns { judged: 1, counted: 0, lost: 1 });
        assert_eq!(judged.runs(Property::Convergence), JudgedRuns::default());
        let of_convergence = (Excuse::LeaderWaits, Property::Convergence, ExcusedRuns { cases: 3, runs: 2 });
        assert_eq!(judged.excused().collect::<Vec<_>>(), [of_convergence]);
    }
}
