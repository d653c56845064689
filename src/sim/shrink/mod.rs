//! From a scenario that violates a property to a smallest one that does.
//!
//! Everything that was drawn is first written down: when each client did what, and what became of each message. Then parts
//! are taken away, many at a time and in the end one by one, as long as the same property is still violated (Zeller and
//! Hildebrandt, *Simplifying and Isolating Failure-Inducing Input*, 2002); the cluster is made smaller; and times are made
//! round. Each try is run anew. Fates of messages go by names, so what is left is treated as before.

mod ddmin;
mod goal;
mod parts;
mod times;
mod topology;

use std::sync::Arc;

use super::engine::{self, Engine, SimError};
use super::run::ScenarioRun;
use super::scenario::{FaultKind, RulesSpec, Scenario};
use super::spell::{spell_out, spell_out_story};
use crate::base::trace::Trace;
use crate::check::Property;

pub use goal::Goal;

/// The most tries of one shrinking: far more than any needs whose scenario can be written down in a file.
const MOST_TRIES: u64 = 200_000;

/// What was found, and how.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// The finding that was kept.
    pub goal: Goal,
    /// The smallest scenario.
    pub scenario: Scenario,
    /// Its run.
    pub run: ScenarioRun,
    /// How many operations and faults there were once everything had been written down.
    pub events_before: usize,
    /// How many scenarios were run.
    pub tries: u64,
}

impl Shrunk {
    /// How many operations and faults are left, those of single messages included.
    pub fn events(&self) -> usize {
        parts::count(&self.scenario)
    }
}

/// Why there is nothing to shrink.
#[derive(Debug, thiserror::Error)]
pub enum ShrinkError {
    /// It could not be run.
    #[error(transparent)]
    Simulator(#[from] SimError),
    /// The property is not violated.
    #[error("{property} is not violated in the {engine} engine with seed {seed}; {}", others(.violated))]
    NotViolated {
        /// The property.
        property: Property,
        /// Where.
        engine: Engine,
        /// With which seed.
        seed: u64,
        /// What is.
        violated: Vec<Property>,
    },
    /// No property is.
    #[error("nothing is violated in the {engine} engine with seed {seed}, so there is nothing to shrink{}", losses(.lost))]
    NothingViolated {
        /// Where.
        engine: Engine,
        /// With which seed.
        seed: u64,
        /// The properties whose checkers find a loss.
        lost: Vec<Property>,
    },
}

fn others(violated: &[Property]) -> String {
    let names: Vec<&str> = violated.iter().map(|property| property.name()).collect();
    if names.is_empty() { "nothing is".into() } else { format!("violated are: {}", names.join(", ")) }
}

fn losses(lost: &[Property]) -> String {
    match lost.first() {
        None => String::new(),
        Some(first) => format!("; a loss is shrunk if it is asked for, by expect.loses = \"{first}\" in the file"),
    }
}

/// Makes a scenario as small as it can be with the same property still violated in this engine. Without a property it is
/// the one that the file expects to be violated, or else the first that is.
///
/// A loss of acknowledged data is kept instead if the file expects it, or if the property is not violated but lost.
///
/// `others` are rules with which it is not violated, and stays so: what is found is what the missing rules are for, and nothing that
/// could happen with them. If it is violated with them, too, they are not looked at.
///
/// `tried` is told of each try: how many there were, and how many parts are left.
///
/// # Errors
/// [`ShrinkError`].
pub fn shrink(
    engine: Engine,
    scenario: &Scenario,
    property: Option<Property>,
    others: &RulesSpec,
    tried: impl FnMut(u64, usize),
) -> Result<Shrunk, ShrinkError> {
    let seed = scenario.seed;
    let first = engine::run(engine, scenario, Arc::default())?;
    let violated: Vec<Property> = first.violations().collect();
    let lost: Vec<Property> = first.losses().collect();
    let is_met = |goal: &Goal| match goal {
        Goal::Violates(property) => violated.contains(property),
        Goal::Loses(property) => lost.contains(property),
    };
    let goal = match property {
        Some(property) => {
            let goals = [Goal::Violates(property), Goal::Loses(property)];
            let error = || ShrinkError::NotViolated { property, engine, seed, violated: violated.clone() };
            goals.into_iter().find(is_met).ok_or_else(error)?
        }
        None => {
            let expected = scenario.expect.and_then(Goal::of).filter(is_met);
            let goal = expected.or(violated.first().copied().map(Goal::Violates));
            goal.ok_or(ShrinkError::NothingViolated { engine, seed, lost })?
        }
    };
    let mut base = scenario.clone();
    base.expect = Some(goal.expectation());
    let holds_with = Some(others.clone()).filter(|others| !meets_with(engine, &base, others, goal));
    let mut search = Search { engine, goal, holds_with, best: base.clone(), tries: 1, tried };
    search.write_down(&first.trace);
    let events_before = parts::count(&search.best);
    loop {
        let before = search.best.clone();
        search.without_parts();
        search.smaller_cluster();
        search.rounder_times();
        search.kinder_faults();
        if search.best == before || search.tries >= MOST_TRIES {
            break;
        }
    }
    let run = engine::run(engine, &search.best, Arc::default())?;
    Ok(Shrunk { goal, scenario: search.best, run, events_before, tries: search.tries })
}

/// Whether the goal is met under these rules.
fn meets_with(engine: Engine, scenario: &Scenario, rules: &RulesSpec, goal: Goal) -> bool {
    meets(engine, &scenario.with_rules(rules.clone()), goal)
}

/// Whether the goal is met. A run that does not come to its end meets none.
fn meets(engine: Engine, scenario: &Scenario, goal: Goal) -> bool {
    let verdict = engine::verdict(engine, scenario, goal.property());
    verdict.is_some_and(|verdict| goal.is_met_by(&verdict))
}

/// The smallest scenario so far, and what it has to show.
struct Search<F> {
    engine: Engine,
    goal: Goal,
    holds_with: Option<RulesSpec>,
    best: Scenario,
    tries: u64,
    tried: F,
}

impl<F: FnMut(u64, usize)> Search<F> {
    /// Writes down what was drawn in the run of the best scenario so far.
    fn write_down(&mut self, trace: &Trace) {
        let spelled = spell_out(&self.best, trace);
        if spelled != self.best && !self.adopt(spelled) {
            self.adopt(spell_out_story(&self.best, trace));
        }
    }

    /// Holds nodes back instead of stopping them, where that does as well: turmoil can do it too.
    fn kinder_faults(&mut self) {
        let mut held = self.best.clone();
        for fault in &mut held.faults {
            match fault.kind {
                FaultKind::Pause(node) => fault.kind = FaultKind::Hold(node),
                FaultKind::Resume(node) => fault.kind = FaultKind::Release(node),
                _ => {}
            }
        }
        self.adopt(held);
    }

    /// Takes a scenario instead of the best one if the property is violated in it as well, for the same reason.
    fn adopt(&mut self, candidate: Scenario) -> bool {
        if candidate == self.best || self.tries >= MOST_TRIES || candidate.check().is_err() {
            return false;
        }
        self.tries += 1;
        (self.tried)(self.tries, parts::count(&self.best));
        let is_met_with = |rules| meets_with(self.engine, &candidate, rules, self.goal);
        let is_it = meets(self.engine, &candidate, self.goal) && !self.holds_with.as_ref().is_some_and(is_met_with);
        if is_it {
            self.best = candidate;
        }
        is_it
    }
}
