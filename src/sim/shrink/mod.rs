//! From a scenario that violates a property to a smallest one that does.
//!
//! Everything that was drawn is first written down: when each client did what, and what became of each message. Then parts
//! are taken away, many at a time and in the end one by one, as long as the same property is still violated (Zeller and
//! Hildebrandt, *Simplifying and Isolating Failure-Inducing Input*, 2002); the cluster is made smaller; and times are made
//! round. Each try is run anew. Fates of messages go by names, so what is left is treated as before.

mod ddmin;
mod parts;
mod times;
mod topology;

use std::sync::Arc;

use super::engine::{self, Engine, SimError};
use super::run::ScenarioRun;
use super::scenario::{Expect, FaultKind, RulesSpec, Scenario};
use super::spell::{spell_out, spell_out_story};
use crate::base::trace::Trace;
use crate::check::Property;

/// The most tries of one shrinking: far more than any needs whose scenario can be written down in a file.
const MOST_TRIES: u64 = 200_000;

/// What was found, and how.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// What is violated.
    pub property: Property,
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
    #[error("nothing is violated in the {engine} engine with seed {seed}, so there is nothing to shrink")]
    NothingViolated {
        /// Where.
        engine: Engine,
        /// With which seed.
        seed: u64,
    },
}

fn others(violated: &[Property]) -> String {
    let names: Vec<&str> = violated.iter().map(|property| property.name()).collect();
    if names.is_empty() { "nothing is".into() } else { format!("violated are: {}", names.join(", ")) }
}

/// Makes a scenario as small as it can be with the same property still violated in this engine. Without a property it is
/// the one that the file expects to be violated, or else the first that is.
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
    seed: u64,
    property: Option<Property>,
    others: &RulesSpec,
    tried: impl FnMut(u64, usize),
) -> Result<Shrunk, ShrinkError> {
    let first = engine::run(engine, scenario, seed, Arc::default())?;
    let violated: Vec<Property> = first.violations().collect();
    let expected = scenario.expect.and_then(|expect| expect.violates).filter(|expected| violated.contains(expected));
    let property = match property.or(expected).or(violated.first().copied()) {
        None => return Err(ShrinkError::NothingViolated { engine, seed }),
        Some(property) if !violated.contains(&property) => {
            return Err(ShrinkError::NotViolated { property, engine, seed, violated });
        }
        Some(property) => property,
    };
    let mut base = scenario.clone();
    base.seed = seed;
    base.expect = Some(Expect::violates(property));
    let holds_with = Some(others.clone()).filter(|others| !violates_with(engine, &base, others, property));
    let mut search = Search { engine, property, holds_with, best: base.clone(), tries: 1, tried };
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
    let run = engine::run(engine, &search.best, seed, Arc::default())?;
    Ok(Shrunk { property, scenario: search.best, run, events_before, tries: search.tries })
}

/// Whether the property is violated if these are the rules.
fn violates_with(engine: Engine, scenario: &Scenario, rules: &RulesSpec, property: Property) -> bool {
    engine::violates(engine, &scenario.with_rules(rules.clone()), scenario.seed, property)
}

/// The smallest scenario so far, and what it has to show.
struct Search<F> {
    engine: Engine,
    property: Property,
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
        let is_it = engine::violates(self.engine, &candidate, candidate.seed, self.property)
            && self
                .holds_with
                .as_ref()
                .is_none_or(|rules| !violates_with(self.engine, &candidate, rules, self.property));
        if is_it {
            self.best = candidate;
        }
        is_it
    }
}
