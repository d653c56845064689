//! What a search takes for one state must have one future: otherwise it follows one of several, and has not seen everything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use stateright::Model;

use super::action::Action;
use super::model::Exhaustive;
use super::scope::{FaultBudgets, Scope};
use super::state::State;
use crate::sim::scenario::Scenario;

/// The states that can come next, by their fingerprints, each with an action that leads there.
fn next(model: &Exhaustive, state: &State) -> BTreeMap<u64, Action> {
    let mut actions = Vec::new();
    model.actions(state, &mut actions);
    let after = |action| (model.next_state(state, action).expect("it can happen").fingerprint(), action);
    // Among the timers of a state there may be one that does nothing.
    actions.into_iter().map(after).filter(|(next, _)| *next != state.fingerprint()).collect()
}

/// Goes through a scope, and wherever it comes to a state once more, looks whether what can come next is what could before.
fn each_state_has_one_future(scenario: Scenario) {
    let model = Exhaustive::new(Scope::new(scenario, FaultBudgets::default()).unwrap());
    let mut known: BTreeMap<u64, (State, BTreeSet<u64>)> = BTreeMap::new();
    let mut pending = model.init_states();
    let mut repeated = 0;
    while let Some(state) = pending.pop() {
        let after = next(&model, &state);
        let future: BTreeSet<u64> = after.keys().copied().collect();
        if let Some((other, before)) = known.get(&state.fingerprint()) {
            let only = |after: &BTreeMap<u64, Action>, future: &BTreeSet<u64>| -> Vec<Action> {
                after.iter().filter(|(hash, _)| !future.contains(hash)).map(|(_, action)| *action).collect()
            };
            let differs = (only(&after, before), only(&next(&model, other), &future));
            assert_eq!(differs, (vec![], vec![]), "in\n{state:?}\nor\n{other:?}");
            repeated += 1;
            continue;
        }
        pending.extend(after.values().filter_map(|action| model.next_state(&state, *action)));
        known.insert(state.fingerprint(), (state, future));
    }
    assert!(repeated > known.len() / 2, "{repeated} of {}: too little was compared", known.len());
}

/// Followers that nothing names, which a leader must not tell apart either when it reads what they store.
#[test]
fn where_leaders_start() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("sim-tests/scopes/safe-quorum-change.toml");
    each_state_has_one_future(Scenario::from_file(&file).unwrap());
}

#[test]
fn where_a_follower_loses_its_memory() {
    let text = r#"
        name = "a loss of memory"
        [cluster]
        followers = 2
        write_quorum = 1
        [[workload.operation]]
        set = "x"
        [[fault]]
        crash = "f1"
    "#;
    each_state_has_one_future(Scenario::from_toml(text).unwrap());
}

#[test]
fn where_messages_are_lost_and_keys_deleted() {
    let text = r#"
        name = "a deletion"
        [cluster]
        followers = 2
        write_quorum = 1
        [[workload.operation]]
        set = "x"
        [[workload.operation]]
        delete = "x"
        [[fault]]
        drop = {}
    "#;
    each_state_has_one_future(Scenario::from_toml(text).unwrap());
}
