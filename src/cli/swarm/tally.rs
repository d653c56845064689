use std::collections::{BTreeMap, BTreeSet};

use semisync::check::Property;
use semisync::sim::swarm::{Cause, Exercise, Judged, SeedReport};

use super::keep::Keeper;

/// The name of what is wrong with a run that did not come to its end.
pub(super) const BROKEN: &str = "broken";

/// How many failing seeds of each kind are named one by one.
const MOST_NAMED: usize = 20;

/// What came of the seeds so far. It takes the same room however many fail, and what it says does not depend on the order
/// in which they end.
pub(super) struct Tally {
    pub(super) seeds: u64,
    pub(super) exercise: Exercise,
    pub(super) judged: Judged,
    pub(super) failed: u64,
    /// What was wrong, by the name of a property, or [`BROKEN`].
    pub(super) failures: BTreeMap<&'static str, Failures>,
    keeper: Keeper,
}

/// The seeds that have the same thing wrong with them.
pub(super) struct Failures {
    /// How many.
    pub(super) seeds: u64,
    /// The lowest of them.
    pub(super) named: BTreeSet<u64>,
    /// The lowest one.
    pub(super) first: u64,
    /// What shows it in the run of that seed.
    pub(super) evidence: Vec<String>,
    /// What to type for that run.
    pub(super) again: String,
}

impl Tally {
    pub(super) fn new(keeper: Keeper) -> Self {
        Self {
            seeds: 0,
            exercise: Exercise::default(),
            judged: Judged::default(),
            failed: 0,
            failures: BTreeMap::new(),
            keeper,
        }
    }

    pub(super) fn add(&mut self, report: SeedReport) {
        let seed = report.seed;
        self.seeds += 1;
        self.exercise.add(&report.exercise);
        self.judged.add(&report.judged);
        let Some(failure) = report.failure else { return };
        self.failed += 1;
        let mut wrong: Vec<(&str, Vec<String>)> =
            failure.violations().map(|(property, evidence)| (property.name(), evidence.to_vec())).collect();
        if let Cause::Broken(why) = &failure.cause {
            wrong.push((BROKEN, vec![why.clone()]));
        }
        let again = self.keeper.keep(seed, failure.scenario.as_ref(), &wrong);
        for (name, evidence) in wrong {
            let again = again.clone();
            let first = Failures { seeds: 0, named: BTreeSet::new(), first: seed, evidence, again };
            self.failures.entry(name).and_modify(|failures| failures.take(&first)).or_insert(first).count(seed);
        }
    }

    /// The violated properties.
    pub(super) fn violated(&self) -> Vec<Property> {
        Property::ALL.into_iter().filter(|property| self.failures.contains_key(property.name())).collect()
    }

    /// What to type for the run of the lowest seed that failed.
    pub(super) fn first_again(&self) -> Option<&str> {
        self.failures.values().min_by_key(|failures| failures.first).map(|failures| failures.again.as_str())
    }

    /// Says so if scenarios could not be saved. What they are is in the commands that repeat them.
    pub(super) fn complain(&self) {
        self.keeper.complain();
    }
}

impl Failures {
    /// Shows the other's evidence if its seed is lower: seeds come in the order in which their runs end.
    fn take(&mut self, other: &Self) {
        if other.first < self.first {
            self.first = other.first;
            self.evidence.clone_from(&other.evidence);
            self.again.clone_from(&other.again);
        }
    }

    fn count(&mut self, seed: u64) {
        self.seeds += 1;
        self.named.insert(seed);
        if self.named.len() > MOST_NAMED {
            self.named.pop_last();
        }
    }
}

#[cfg(test)]
mod tests {
    use semisync::check::{Finding, Verdict};
    use semisync::sim::Generator;
    use semisync::sim::scenario::{RuleSet, RulesSpec};
    use semisync::sim::swarm::Failure;

    use super::*;

    fn violating(seed: u64, properties: &[Property]) -> SeedReport {
        let verdict = |property: &Property| Verdict {
            property: *property,
            finding: Finding::Violated(vec![format!("in {seed}")]),
        };
        let verdicts: Vec<Verdict> = properties.iter().map(verdict).collect();
        let judged = Judged::of(&verdicts);
        let failure = Failure { scenario: None, cause: Cause::Violated(verdicts) };
        SeedReport { seed, exercise: Exercise::default(), judged, failure: Some(failure) }
    }

    fn tally() -> Tally {
        let generator = Generator { rules: RulesSpec::Named(RuleSet::Safe), crashes: false };
        Tally::new(Keeper::new("nowhere".into(), &generator, " --off keep-quorum".into()))
    }

    /// However many fail and in whatever order they end: all are counted, and the lowest speaks for each kind.
    #[test]
    fn all_failures_are_counted_and_the_lowest_speaks() {
        let mut tally = tally();
        for seed in (0..3000).rev() {
            let both = [Property::Durability, Property::Prefix];
            tally.add(violating(seed, if seed % 2 == 1 { &both } else { &both[..1] }));
        }
        assert_eq!((tally.seeds, tally.failed), (3000, 3000));
        let summary = |name: &str| {
            let failures = &tally.failures[name];
            (failures.seeds, failures.first, failures.evidence.clone(), failures.again.as_str())
        };
        let again = "semisync swarm --seeds 0 --off keep-quorum";
        assert_eq!(summary("durability"), (3000, 0, vec!["in 0".to_owned()], again));
        let again_1 = "semisync swarm --seeds 1 --off keep-quorum";
        assert_eq!(summary("prefix"), (1500, 1, vec!["in 1".to_owned()], again_1));
        assert_eq!(tally.failures["prefix"].named, (0..20).map(|place| 2 * place + 1).collect());
        assert_eq!(tally.first_again(), Some(again));
        assert_eq!(tally.violated(), [Property::Durability, Property::Prefix]);
        assert_eq!(tally.judged.runs(Property::Prefix).judged, 1500);
    }
}
