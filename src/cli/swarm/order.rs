use std::collections::BTreeMap;
use std::iter::Peekable;

use semisync::sim::swarm::SeedReport;

/// Puts reports, which come in the order in which runs end, into the order of their seeds. What is said of a swarm then
/// does not depend on how many run at a time.
pub(super) struct InOrder<I: Iterator<Item = u64>> {
    expected: Peekable<I>,
    early: BTreeMap<u64, SeedReport>,
}

impl<I: Iterator<Item = u64>> InOrder<I> {
    /// Reports on these seeds are expected, in this order.
    pub(super) fn new(expected: I) -> Self {
        Self { expected: expected.peekable(), early: BTreeMap::new() }
    }

    pub(super) fn put(&mut self, report: SeedReport) {
        self.early.insert(report.seed, report);
    }

    /// The next one, if it is there.
    pub(super) fn take(&mut self) -> Option<SeedReport> {
        let report = self.early.remove(self.expected.peek()?)?;
        self.expected.next();
        Some(report)
    }

    /// Those that wait for others, where no others will come any more.
    pub(super) fn rest(self) -> impl Iterator<Item = SeedReport> {
        self.early.into_values()
    }
}

#[cfg(test)]
mod tests {
    use semisync::sim::swarm::{Exercise, Judged};

    use super::*;

    #[test]
    fn what_comes_early_waits() {
        let report = |seed| SeedReport {
            seed,
            exercise: Exercise::default(),
            judged: Judged::default(),
            lost: Vec::new(),
            lossy: None,
            failure: None,
        };
        let mut order = InOrder::new((10..20).step_by(2));
        let mut taken = Vec::new();
        for seed in [12, 10, 16, 18] {
            order.put(report(seed));
            while let Some(report) = order.take() {
                taken.push(report.seed);
            }
        }
        assert_eq!(taken, [10, 12]);
        assert_eq!(order.rest().map(|report| report.seed).collect::<Vec<_>>(), [16, 18]);
    }
}
