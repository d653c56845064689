use std::sync::Arc;

use super::action::{Action, Parcel};
use super::export::{self, Arrival};
use super::model::Exhaustive;
use super::scope::Scope;
use super::search::Counterexample;
use crate::check::Finding;
use crate::sim::engine::{self, Engine, SimError};
use crate::sim::scenario::Scenario;
use crate::sim::shrink::Goal;

/// What came of running a counterexample in the engine, with whole nodes, a network and time.
#[derive(Debug, Clone)]
pub struct Confirmation {
    /// The run as a scenario.
    pub scenario: Scenario,
    /// What shows there that the property is violated or lost, or why it may not be.
    pub result: Result<String, String>,
}

/// Runs a counterexample in the engine.
///
/// # Errors
/// [`SimError`].
pub fn confirm(scope: &Scope, found: &Counterexample) -> Result<Confirmation, SimError> {
    let model = Exhaustive::new(scope.clone().step_by_step());
    let mut first = None;
    for arrival in [Arrival::AsItArrived, Arrival::AsItWasAnswered] {
        let scenario = export::scenario(&model, found.goal, &found.actions, arrival);
        if let Some(Finding::Violated(evidence) | Finding::Lost(evidence)) = finding(&scenario, found.goal)? {
            let evidence = evidence.into_iter().next().unwrap_or_default();
            return Ok(Confirmation { scenario, result: Ok(evidence) });
        }
        first.get_or_insert(scenario);
    }
    let scenario = first.expect("there are two ways");
    Ok(Confirmation { scenario, result: Err(why_not(found).into()) })
}

/// The same finding in a run of the scenario, if there is one.
fn finding(scenario: &Scenario, goal: Goal) -> Result<Option<Finding>, SimError> {
    let run = engine::run(Engine::Turmoil, scenario, Arc::default())?;
    let verdict = run.verdicts.into_iter().find(|verdict| verdict.property == goal.property());
    Ok(verdict.filter(|verdict| goal.is_met_by(verdict)).map(|verdict| verdict.finding))
}

/// What of a run a scenario cannot say.
fn why_not(found: &Counterexample) -> &'static str {
    let actions = &found.actions;
    let answered_at_once = |(place, action): (usize, &Action)| match action {
        Action::Arrive(parcel) => {
            let answer = actions[place..].iter().position(|later| *later == Action::Answer(*parcel));
            answer.is_none_or(|distance| distance == 1)
        }
        _ => true,
    };
    let gives_up = |action: &Action| matches!(action, Action::GiveUp(Parcel { .. }));
    if !actions.iter().enumerate().all(answered_at_once) {
        "something happens between a message's arrival and its answer's, and a scenario cannot hold an answer back"
    } else if found.goal.property().is_liveness() {
        "in the end of a scenario everything is healed and written to, which mends what would stay as it is"
    } else if actions.iter().any(gives_up) {
        "the leader hears of a loss at a time of its own, which a scenario cannot set apart from the deadline of the write"
    } else {
        "a scenario cannot say exactly when the nodes' own timers go off"
    }
}
