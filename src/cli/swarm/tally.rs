use std::collections::{BTreeMap, BTreeSet};

use semisync::check::{Finding, Property, Verdict};
use semisync::sim::scenario::Scenario;
use semisync::sim::swarm::{Confirmation, Exercise, Judged, Retrial, SeedReport, Symptom};

use super::keep::{Found, Keeper, Wrong};

/// How many failing seeds of each kind are named one by one.
const MOST_NAMED: usize = 20;
/// How many further runs of each kind of loss are named.
const MOST_OTHERS: usize = 2;

/// What came of the seeds so far, which are put in in their order. It takes the same room however many fail.
pub(in crate::cli) struct Tally {
    pub(in crate::cli) seeds: u64,
    pub(in crate::cli) exercise: Exercise,
    pub(super) judged: Judged,
    pub(in crate::cli) failed: u64,
    /// The losses of acknowledged data, by the property whose checker found them and the cause: `durability-no-memory`.
    pub(super) losses: BTreeMap<String, Losses>,
    /// What was wrong, by the name of its symptom.
    pub(super) failures: BTreeMap<&'static str, Failures>,
    keeper: Keeper,
    /// What the core engine found and real nodes are to be asked about, by seed: what is saved, and the first of each kind.
    found: BTreeMap<u64, Found>,
    /// Whether they are to be asked.
    confirms: bool,
}

/// The seeds whose runs lost acknowledged data for the same cause.
pub(super) struct Losses {
    pub(super) seeds: u64,
    /// The seed that is told of: the first whose run is saved, or the first of all.
    pub(super) first: u64,
    is_saved: bool,
    /// The sentences that show it in the run of that seed.
    pub(super) evidence: Vec<String>,
    /// What to type for that run.
    pub(super) again: String,
    /// What to type for the runs of some of the other seeds.
    pub(super) others: Vec<String>,
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
    /// What real nodes do in the runs about which they are asked, by seed; none before they have answered.
    asked: BTreeMap<u64, Option<Confirmation>>,
}

impl Tally {
    /// Nothing so far. What is found is noted for real nodes to confirm if it was not found with them.
    pub(in crate::cli) fn new(keeper: Keeper, confirms: bool) -> Self {
        Self {
            seeds: 0,
            exercise: Exercise::default(),
            judged: Judged::default(),
            failed: 0,
            losses: BTreeMap::new(),
            failures: BTreeMap::new(),
            keeper,
            found: BTreeMap::new(),
            confirms,
        }
    }

    pub(super) fn add(&mut self, report: SeedReport) {
        let seed = report.seed;
        self.seeds += 1;
        self.exercise.add(&report.exercise);
        self.judged.add(&report.judged);
        self.note_losses(seed, &report.lost, report.lossy.as_ref());
        let Some(failure) = report.failure else { return };
        self.failed += 1;
        let wrong = |(symptom, evidence)| Wrong { symptom, evidence, confirmation: None };
        let all: Vec<Wrong> = failure.symptoms().into_iter().map(wrong).collect();
        let found = failure.scenario.map(|scenario| self.keeper.keep(scenario, all.clone()));
        let again = found.as_ref().map_or_else(|| self.keeper.by_seed(seed), |found| self.keeper.again(found));
        let is_first = all.iter().any(|wrong| !self.failures.contains_key(wrong.name()));
        for wrong in &all {
            let first = || Failures::beginning_with(seed, wrong.evidence.clone(), again.clone());
            self.failures.entry(wrong.name()).or_insert_with(first).count(seed);
        }
        if let Some(found) = found.filter(|found| self.confirms && (is_first || found.is_saved())) {
            for wrong in &all {
                self.failures.get_mut(wrong.name()).map(|failures| failures.asked.insert(seed, None));
            }
            self.found.insert(seed, found);
        }
    }

    fn note_losses(&mut self, seed: u64, lost: &[Verdict], scenario: Option<&Scenario>) {
        for verdict in lost {
            let Finding::Lost(evidence) = &verdict.finding else { continue };
            // More causes than one may come together in a run. Each has an example.
            let of_causes = verdict.causes.iter().map(|cause| format!("{}-{cause}", verdict.property));
            let mut kinds: Vec<String> = of_causes.collect();
            if kinds.is_empty() {
                kinds.push(verdict.property.to_string());
            }
            for kind in kinds {
                if let Some(losses) = self.losses.get_mut(&kind) {
                    losses.seeds += 1;
                    // The scenario of a run that fails as well is kept for that.
                    if !losses.is_saved
                        && let Some(saved) = self.keeper.keep_loss(scenario, seed, &kind, evidence)
                    {
                        (losses.first, losses.evidence, losses.again) = (seed, evidence.clone(), saved);
                        losses.is_saved = true;
                        continue;
                    }
                    if losses.others.len() < MOST_OTHERS {
                        losses.others.push(self.keeper.by_seed(seed));
                    }
                    continue;
                }
                let saved = self.keeper.keep_loss(scenario, seed, &kind, evidence);
                let is_saved = saved.is_some();
                let again = saved.unwrap_or_else(|| self.keeper.by_seed(seed));
                let evidence = evidence.clone();
                let losses = Losses { seeds: 1, first: seed, evidence, again, is_saved, others: Vec::new() };
                self.losses.insert(kind, losses);
            }
        }
    }

    /// The scenarios about which real nodes are to be asked.
    pub(super) fn to_retry(&self) -> Vec<Scenario> {
        self.found.values().map(|found| found.scenario.clone()).collect()
    }

    /// Takes what real nodes say of the scenario of a seed, and writes it to its file.
    pub(super) fn retried(&mut self, seed: u64, retrial: &Retrial) {
        let Some(found) = self.found.get_mut(&seed) else { return };
        for wrong in &mut found.wrong {
            let confirmation = retrial.confirms(wrong.symptom);
            wrong.confirmation = Some(confirmation.clone());
            self.failures.get_mut(wrong.name()).map(|failures| failures.asked.insert(seed, Some(confirmation)));
        }
        self.keeper.write(found);
    }

    /// Whether any run had this symptom.
    pub(in crate::cli) fn has(&self, symptom: Symptom) -> bool {
        self.failures.contains_key(symptom.name())
    }

    /// The violated properties.
    pub(in crate::cli) fn violated(&self) -> Vec<Property> {
        Property::ALL.into_iter().filter(|property| self.has(Symptom::Violation(*property))).collect()
    }

    /// The properties that are violated or lost in any run.
    pub(super) fn found(&self) -> Vec<Property> {
        let is_found =
            |property: &Property| self.has(Symptom::Violation(*property)) || self.judged.runs(*property).lost > 0;
        Property::ALL.into_iter().filter(is_found).collect()
    }

    /// What to type for the run of the lowest seed that failed.
    pub(in crate::cli) fn first_again(&self) -> Option<&str> {
        self.failures.values().min_by_key(|failures| failures.first).map(|failures| failures.again.as_str())
    }

    /// Says so if scenarios could not be saved. What they are is in the commands that repeat them.
    pub(super) fn complain(&self) {
        self.keeper.complain();
    }
}

impl Failures {
    fn beginning_with(first: u64, evidence: Vec<String>, again: String) -> Self {
        Self { seeds: 0, named: BTreeSet::new(), first, evidence, again, asked: BTreeMap::new() }
    }

    fn count(&mut self, seed: u64) {
        self.seeds += 1;
        if self.named.len() < MOST_NAMED {
            self.named.insert(seed);
        }
    }

    /// Whether real nodes do the same, in words; nothing where they are not asked.
    pub(super) fn standing(&self) -> Option<String> {
        let answered: BTreeMap<u64, &Confirmation> =
            self.asked.iter().filter_map(|(seed, answer)| Some((*seed, answer.as_ref()?))).collect();
        let of_first = match answered.get(&self.first) {
            Some(Confirmation::CoreOnly(why) | Confirmation::Unplayable(why)) => {
                format!("; seed {}: {why}", self.first)
            }
            _ => String::new(),
        };
        let unplayable = answered.values().filter(|answer| matches!(answer, Confirmation::Unplayable(_))).count();
        let confirmed = answered.iter().filter(|(_, answer)| ***answer == Confirmation::Confirmed);
        let confirmed: Vec<u64> = confirmed.map(|(seed, _)| *seed).collect();
        let (asked, played) = (self.asked.len(), answered.len() - unplayable);
        let tried =
            if played == 1 { "the one seed that was tried".into() } else { format!("{played} seeds that were tried") };
        let rest = match (unplayable, played) {
            (0, _) => String::new(),
            (1, 0) => "turmoil cannot play it".to_owned(),
            (_, 0) => format!("turmoil can play none of {unplayable} seeds"),
            _ => format!(", and cannot play {unplayable} more"),
        };
        Some(match (asked, played, confirmed.as_slice()) {
            (0, ..) => return None,
            (_, 0, _) if unplayable == 0 => "not tried in turmoil".to_owned(),
            (_, 0, _) => format!("CORE-ONLY: {rest}{of_first}"),
            (_, 1, []) => format!("CORE-ONLY: turmoil does not find it in {tried}{rest}{of_first}"),
            (.., []) => format!("CORE-ONLY: turmoil finds it in none of {tried}{rest}{of_first}"),
            (_, 1, [first]) if *first == self.first => format!("CONFIRMED: turmoil finds it in {tried}{rest}"),
            (_, 1, [first]) => format!("CONFIRMED: turmoil finds it in {tried}, {first}{rest}{of_first}"),
            (.., [first, ..]) if *first == self.first => {
                format!("CONFIRMED: turmoil finds it in {} of {tried}{rest}", confirmed.len())
            }
            (.., [first, ..]) => {
                let count = confirmed.len();
                format!(
                    "CONFIRMED: turmoil finds it in {count} of {tried}{rest}, of which {first} is the first{of_first}"
                )
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use semisync::check::LossCause;
    use semisync::sim::scenario::RulesSpec;
    use semisync::sim::swarm::{Cause, Failure};
    use semisync::sim::{Engine, Generator, Strategy};

    use super::*;

    fn violating(seed: u64, properties: &[Property]) -> SeedReport {
        let verdict = |property: &Property| Verdict::new(*property, Finding::Violated(vec![format!("in {seed}")]));
        let verdicts: Vec<Verdict> = properties.iter().map(verdict).collect();
        let judged = Judged::of(&verdicts);
        let failure = Failure {
            scenario: None,
            cause: Cause::Judged { violated: verdicts, contradictions: Vec::new(), unmet: Vec::new() },
        };
        SeedReport {
            seed,
            exercise: Exercise::default(),
            judged,
            lost: Vec::new(),
            lossy: None,
            failure: Some(failure),
        }
    }

    fn tally() -> Tally {
        let generator =
            Generator { rules: RulesSpec::SAFE, crashes: true, engine: Engine::Core, strategy: Strategy::Timed };
        Tally::new(Keeper::new("nowhere".into(), &generator, " --off keep-quorum".into()), true)
    }

    /// However many fail: all are counted, and the lowest speaks for each kind.
    #[test]
    fn all_failures_are_counted_and_the_lowest_speaks() {
        let mut tally = tally();
        for seed in 0..3000 {
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
        assert_eq!(tally.failures["prefix"].standing(), None, "there is no scenario to ask about");
    }

    /// A loss is told with the run that shows it, and fails no swarm.
    #[test]
    fn losses_are_counted_and_are_no_failures() {
        let mut tally = tally();
        for seed in 5..9 {
            let found = Finding::Lost(vec![format!("lost in {seed}")]);
            let causes =
                if seed < 8 { vec![LossCause::NoMemory] } else { vec![LossCause::TwoLeaders, LossCause::NoMemory] };
            let lost = vec![Verdict { causes, ..Verdict::new(Property::Durability, found) }];
            let judged = Judged::of(&lost);
            tally.add(SeedReport { seed, exercise: Exercise::default(), judged, lost, lossy: None, failure: None });
        }
        let summary = |kind: &str| {
            let Losses { seeds, first, evidence, again, others, .. } = &tally.losses[kind];
            let others: Vec<&str> = others.iter().map(String::as_str).collect();
            (*seeds, *first, evidence.clone(), again.as_str(), others)
        };
        let again = |seed: u64| format!("semisync swarm --seeds {seed} --off keep-quorum");
        assert_eq!(
            summary("durability-no-memory"),
            (4, 5, vec!["lost in 5".to_owned()], &*again(5), vec![&*again(6), &*again(7)])
        );
        assert_eq!(summary("durability-two-leaders"), (1, 8, vec!["lost in 8".to_owned()], &*again(8), vec![]));
        assert_eq!((tally.failed, tally.violated(), tally.first_again()), (0, Vec::new(), None));
        assert_eq!(tally.found(), [Property::Durability], "a loss is explained too");
        assert_eq!(tally.judged.runs(Property::Durability).lost, 4);
    }

    #[test]
    fn what_real_nodes_say_of_a_kind() {
        let mut failures = Failures::beginning_with(3, Vec::new(), String::new());
        assert_eq!(failures.standing(), None);
        let after = |failures: &mut Failures, seed, answer| {
            failures.asked.insert(seed, answer);
            failures.standing().expect("they are asked")
        };
        let core_only = || Some(Confirmation::CoreOnly("no pause".into()));
        let unplayable = || Some(Confirmation::Unplayable("no clock".into()));
        assert_eq!(after(&mut failures, 3, None), "not tried in turmoil");
        assert_eq!(after(&mut failures, 3, unplayable()), "CORE-ONLY: turmoil cannot play it; seed 3: no clock");
        assert_eq!(
            after(&mut failures, 9, unplayable()),
            "CORE-ONLY: turmoil can play none of 2 seeds; seed 3: no clock"
        );
        assert_eq!(
            after(&mut failures, 9, core_only()),
            "CORE-ONLY: turmoil does not find it in the one seed that was tried, and cannot play 1 more; seed 3: no clock"
        );
        assert_eq!(
            after(&mut failures, 9, Some(Confirmation::Confirmed)),
            "CONFIRMED: turmoil finds it in the one seed that was tried, 9, and cannot play 1 more; seed 3: no clock"
        );
        failures.asked.clear();
        assert_eq!(
            after(&mut failures, 3, core_only()),
            "CORE-ONLY: turmoil does not find it in the one seed that was tried; seed 3: no pause"
        );
        assert_eq!(
            after(&mut failures, 9, Some(Confirmation::Confirmed)),
            "CONFIRMED: turmoil finds it in 1 of 2 seeds that were tried, of which 9 is the first; seed 3: no pause"
        );
        let confirmed = "CONFIRMED: turmoil finds it in 2 of 2 seeds that were tried";
        assert_eq!(after(&mut failures, 3, Some(Confirmation::Confirmed)), confirmed);
    }
}
