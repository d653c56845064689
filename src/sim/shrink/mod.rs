//! Shrinks a scenario that violates a property, or loses acknowledged data, to a smallest one that does.
//!
//! Everything that was drawn is written down first: when each client did what, and the fate of each
//! message. Then parts are removed, many at a time and in the end one by one and a few together, as
//! long as the same property is violated (Zeller and Hildebrandt, *Simplifying and Isolating
//! Failure-Inducing Input*, 2002); the cluster is made smaller, and times are rounded. Each
//! candidate is run. Fates of messages go by names, so the messages that are left are treated as
//! before.
//!
//! The result is a fixpoint: shrinking it again changes nothing. A scenario is replaced only by one
//! that is smaller in a well-founded order; which candidates there are depends on the scenario
//! alone; and [`shrink`] ends when it accepts none of them.

mod ddmin;
mod goal;
mod operations;
mod parts;
mod search;
mod simpler;
mod size;
mod times;
mod topology;

use std::sync::Arc;

use super::engine::{self, Engine, SimError};
use super::run::ScenarioRun;
use super::scenario::{RulesSpec, Scenario};
use crate::check::Property;
use search::{MOST_TRIES, Search};

pub use goal::Goal;

/// The demands on a smaller scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Criterion {
    /// The property that is violated or, if it is not violated, lost. Without it the finding that the
    /// file expects, or else the first violation.
    pub property: Option<Property>,
    /// Rules without that finding, and that must be without it in the result: the result then shows
    /// what the missing rules are for, and nothing that could happen with them. Ignored if these rules
    /// lead to the same finding.
    pub holds_with: RulesSpec,
    /// Whether real nodes must show the violation too, in turmoil, before and after.
    pub confirmed: bool,
}

impl Default for Criterion {
    fn default() -> Self {
        Self { property: None, holds_with: RulesSpec::SAFE, confirmed: false }
    }
}

impl Criterion {
    /// Demands a finding on this property under the scenario's rules, and none under all rules.
    pub fn of(property: Property) -> Self {
        Self { property: Some(property), ..Self::default() }
    }
}

/// The result of shrinking.
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

    /// Whether no candidate is left that is smaller. If not, the search ended because it had run as
    /// many scenarios as it may, and can go on from its result.
    pub fn is_fixpoint(&self) -> bool {
        self.tries < MOST_TRIES
    }
}

/// Why there is nothing to shrink.
#[derive(Debug, thiserror::Error)]
pub enum ShrinkError {
    /// It could not be run.
    #[error(transparent)]
    Simulator(#[from] SimError),
    /// The property is neither violated nor lost.
    #[error(
        "{property} is {} in the {engine} engine with seed {seed}; {}",
        if property.can_be_lost() { "neither violated nor lost" } else { "not violated" },
        findings(.violated, .lost)
    )]
    NotViolated {
        /// The property.
        property: Property,
        /// The engine.
        engine: Engine,
        /// The seed.
        seed: u64,
        /// The properties that are violated.
        violated: Vec<Property>,
        /// The properties whose checkers find a loss.
        lost: Vec<Property>,
    },
    /// No property is.
    #[error("nothing is violated in the {engine} engine with seed {seed}, so there is nothing to shrink{}", losses(.lost))]
    NothingViolated {
        /// The engine.
        engine: Engine,
        /// The seed.
        seed: u64,
        /// The properties whose checkers find a loss.
        lost: Vec<Property>,
    },
    /// The finding is one of the core engine only, and turmoil was to confirm it.
    #[error("{goal} in the core engine with seed {seed}, but turmoil does not confirm it: {why}")]
    NotConfirmed {
        /// The finding.
        goal: Goal,
        /// The seed.
        seed: u64,
        /// The result of the run in turmoil.
        why: String,
    },
}

/// `violated: integrity, convergence; lost: durability`
fn findings(violated: &[Property], lost: &[Property]) -> String {
    let listed = |kind: &str, some: &[Property]| {
        let names: Vec<&str> = some.iter().map(|property| property.name()).collect();
        (!names.is_empty()).then(|| format!("{kind}: {}", names.join(", ")))
    };
    let listed: Vec<String> = [listed("violated", violated), listed("lost", lost)].into_iter().flatten().collect();
    if listed.is_empty() { "nothing is violated or lost".into() } else { listed.join("; ") }
}

fn losses(lost: &[Property]) -> String {
    match lost.first() {
        None => String::new(),
        Some(first) => format!(
            "; {first} is lost, and a loss is shrunk if it is asked for: by the property, or by expect.loses = \"{first}\" in \
             the file"
        ),
    }
}

/// Makes a scenario as small as it can be while it meets the criterion in this engine.
///
/// `tried` is called for each scenario that is run, with the number of runs and the number of
/// operations and faults of the smallest scenario so far.
///
/// # Errors
/// [`ShrinkError`].
pub fn shrink(
    engine: Engine,
    scenario: &Scenario,
    criterion: &Criterion,
    tried: impl FnMut(u64, usize),
) -> Result<Shrunk, ShrinkError> {
    let first = engine::run(engine, scenario, Arc::default())?;
    let goal = goal_of(engine, criterion, &first)?;
    let mut smallest = scenario.clone();
    smallest.expect = Some(goal.expectation());
    if criterion.confirmed {
        require_confirmation(&smallest, goal)?;
    }
    let mut search = Search::new(engine, goal, criterion.confirmed, smallest.clone(), tried);
    loop {
        search.require_to_hold_with(&criterion.holds_with, &smallest);
        match search.smaller_than(&smallest) {
            Some(smaller) => smallest = smaller,
            None => break,
        }
    }
    let events_before = search.events_before.unwrap_or_else(|| parts::count(scenario));
    let run = engine::run(engine, &smallest, Arc::default())?;
    Ok(Shrunk { goal, scenario: smallest, run, events_before, tries: search.tries })
}

/// The finding that is kept.
fn goal_of(engine: Engine, criterion: &Criterion, run: &ScenarioRun) -> Result<Goal, ShrinkError> {
    let seed = run.scenario.seed;
    let violated: Vec<Property> = run.violations().collect();
    let is_met = |goal: &Goal| run.meets(*goal);
    match criterion.property {
        Some(property) => {
            let goals = [Goal::Violates(property), Goal::Loses(property)];
            let lost = run.losses().collect();
            goals.into_iter().find(is_met).ok_or(ShrinkError::NotViolated { property, engine, seed, violated, lost })
        }
        None => {
            let expected = run.scenario.expect.and_then(Goal::of).filter(is_met);
            let goal = expected.or(violated.first().copied().map(Goal::Violates));
            goal.ok_or_else(|| ShrinkError::NothingViolated { engine, seed, lost: run.losses().collect() })
        }
    }
}

/// Refuses a scenario in which turmoil does not find the same.
fn require_confirmation(scenario: &Scenario, goal: Goal) -> Result<(), ShrinkError> {
    let why = match engine::run(Engine::Turmoil, scenario, Arc::default()) {
        Ok(run) if run.meets(goal) => return Ok(()),
        Ok(run) => {
            let (violated, lost): (Vec<_>, Vec<_>) = (run.violations().collect(), run.losses().collect());
            format!("there, {}", findings(&violated, &lost))
        }
        Err(error) => error.to_string(),
    };
    Err(ShrinkError::NotConfirmed { goal, seed: scenario.seed, why })
}
