//! What a search takes for one state must have one future: otherwise it follows one of several, and has not seen everything.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::path::Path;

use stateright::Model;

use super::action::Action;
use super::fingerprint::Fingerprint;
use super::model::Exhaustive;
use super::scope::{FaultBudgets, Reduction, Scope};
use super::state::{Flight, Site, Stage, State};
use super::step::Step;
use crate::base::FollowerId;
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

/// Everything that nodes and clients can come to in a scope, whatever is on its way for nothing, once what can happen at any time has
/// happened; followers by no names.
fn all_that_can_be(scope: Scope) -> (BTreeMap<u64, State>, usize) {
    let reduced = Scope { reduction: Reduction::Prompt, ..scope.clone() };
    let model = Exhaustive::new(scope);
    let (mut known, mut seen) = (BTreeSet::new(), BTreeMap::new());
    let mut pending = model.init_states();
    while let Some(state) = pending.pop() {
        if !known.insert(state.fingerprint()) {
            continue;
        }
        let mut settled = Step::from(&reduced, &state, None);
        settled.hasten();
        seen.extend(shown(&settled.state).map(|hash| (hash, settled.state)));
        let mut actions = Vec::new();
        model.actions(&state, &mut actions);
        let orphans = state.sites.iter().flat_map(|site| &site.flights).filter(|flight| flight.stage == Stage::Orphan);
        let orphans: Vec<_> = orphans.map(|flight| Action::GiveUp(flight.parcel)).collect();
        assert!(
            !actions.iter().any(|action| orphans.contains(action)),
            "nobody waits for what is given up in {state:?}"
        );
        pending.extend(actions.into_iter().filter_map(|action| model.next_state(&state, action)));
    }
    (seen, known.len())
}

fn shown(state: &State) -> Option<u64> {
    let leader = state.leader.as_ref()?;
    let mut hasher = Fingerprint::new();
    leader.hash_shared(&mut hasher);
    (&state.ghost, state.life, state.spent).hash(&mut hasher);
    let part = |(id, site): (FollowerId, &Site)| {
        let mut part = Fingerprint::new();
        let without_orphans = |flight: &Flight| flight.stage != Stage::Orphan;
        let flights = site.flights.iter().filter(|flight| without_orphans(flight)).cloned().collect();
        let site = Site { name: None, lost: None, life: 0, strays: Vec::new(), flights, ..site.clone() };
        site.hash_behaviour(id, Some(leader), &mut part);
        part.finish()
    };
    let mut parts: Vec<u64> = state.followers().map(part).collect();
    parts.sort_unstable();
    parts.hash(&mut hasher);
    Some(hasher.finish())
}

/// So many followers and a quorum; what one client does, and which faults there may be.
fn scenario((followers, quorum): (usize, usize), operations: &[&str], faults: &[&str]) -> Scenario {
    let operations = operations.iter().map(|operation| format!("[[workload.operation]]\n{operation}\n"));
    let faults = faults.iter().map(|fault| format!("[[fault]]\n{fault}\n"));
    let rest: String = operations.chain(faults).collect();
    let head = format!("name = 'a scope'\n[cluster]\nfollowers = {followers}\nwrite_quorum = {quorum}\n");
    Scenario::from_toml(&(head + &rest)).unwrap()
}

fn reduction_misses_nothing(scenario: &Scenario) {
    let scope = || Scope::new(scenario.clone(), FaultBudgets::default()).unwrap();
    let (reduced, states) = all_that_can_be(scope());
    let (all, of_all) = all_that_can_be(scope().without_reduction());
    let missed: Vec<&State> =
        all.iter().filter(|(hash, _)| !reduced.contains_key(hash)).map(|(_, state)| state).collect();
    assert!(missed.is_empty(), "{} of {} are missed, such as {:?}", missed.len(), all.len(), missed[0]);
    assert_eq!(reduced.len(), all.len());
    assert!(states * 3 < of_all * 2, "{states} of {of_all}: little was reduced");
}

#[test]
fn nothing_is_missed_where_leader_and_follower_crash() {
    reduction_misses_nothing(&scenario((2, 2), &["set = 'x'"], &["crash = 'leader'", "crash = 'f1'"]));
}

#[test]
fn nothing_is_missed_where_followers_come_to_be_alike() {
    reduction_misses_nothing(&scenario((3, 2), &["set = 'x'"], &["crash = 'f1'"]));
}

#[test]
fn nothing_is_missed_where_messages_are_late() {
    let late = "delay = { to = 'f2', delay_ms = 0 }";
    reduction_misses_nothing(&scenario((2, 1), &["set = 'x'"], &["crash = 'leader'", late]));
}

#[test]
fn nothing_is_missed_where_a_leader_reads_after_a_crash() {
    let read = "client = 2\nget = 'x'\nfrom = 'leader'";
    reduction_misses_nothing(&scenario((2, 1), &["client = 1\nset = 'x'", read], &["crash = 'leader'"]));
}

#[test]
fn nothing_is_missed_where_what_was_deleted_is_forgotten_after_a_crash() {
    reduction_misses_nothing(&scenario((2, 1), &["delete = 'x'"], &["crash = 'leader'"]));
}

/// What is to be asked then, whether the promise stands or that a deletion be forgotten, depends on which question is over first.
#[test]
fn nothing_is_missed_where_deletions_come_between_reads() {
    let read = "client = 2\nget = 'x'\nfrom = 'leader'";
    reduction_misses_nothing(&scenario((2, 2), &["client = 1\ndelete = 'x'", read, read], &[]));
}

#[test]
fn nothing_is_missed_where_messages_are_lost_and_a_leader_crashes() {
    reduction_misses_nothing(&scenario((2, 1), &["set = 'x'"], &["crash = 'leader'", "drop = { to = 'f1' }"]));
}

/// Followers that nothing names, which a leader must not tell apart either when it reads what they store.
#[test]
fn where_leaders_start() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("sim-tests/scopes/safe-quorum-change.toml");
    each_state_has_one_future(Scenario::from_file(&file).unwrap());
}

#[test]
fn where_a_follower_loses_its_memory() {
    each_state_has_one_future(scenario((2, 1), &["set = 'x'"], &["crash = 'f1'"]));
}

#[test]
fn where_messages_are_lost_and_keys_deleted() {
    each_state_has_one_future(scenario((2, 1), &["set = 'x'", "delete = 'x'"], &["drop = {}"]));
}

#[test]
fn where_reads_wait_until_followers_have_been_asked() {
    let read = "get = 'x'\nfrom = 'leader'";
    each_state_has_one_future(scenario((2, 2), &[read], &["crash = 'leader'", "crash = 'f1'"]));
}
