//! The check held against a checker of other people's: the search of Wing and Gong with Lowe's memory of what it has tried
//! already, as the crate `todc-utils` has it. That one knows nothing of stamps. It is told what a store does, and finds an
//! order of the operations or finds that there is none.
//!
//! It wants an answer to every call, and one state after every operation. A write whose outcome is unknown has neither:
//! it may take effect at any time after its invocation or never, and its version may be unknown as well. So its answer
//! comes after everything else, where it holds up nobody, and the specification's state is the *set* of all states in which
//! the store may be. Such a write adds to the states before it all those to which it can lead. A read keeps the states
//! that it can have seen, and is possible if any is left. There is an order with a state left at its end if and only if
//! there is one in which each unknown write can be said to have had a certain effect or none. Every history can be put
//! like that, so none is left out.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::Action;
use todc_utils::specifications::Specification;

use super::histories::{GREATEST, draft, history, is_vague, telling};
use super::*;
use crate::base::history::{History, Kind};
use crate::check::testing::Story;

/// A version and a value for each key, and no value for one that was deleted.
type State = BTreeMap<Key, (u64, Option<String>)>;

/// What the store does.
struct Store;

impl Specification for Store {
    type State = BTreeSet<State>;
    type Operation = Operation;

    fn init() -> BTreeSet<State> {
        BTreeSet::from([State::new()])
    }

    fn apply(operation: &Operation, before: &BTreeSet<State>) -> (bool, BTreeSet<State>) {
        let after: BTreeSet<State> = before.iter().flat_map(|state| step(operation, state)).collect();
        if after.is_empty() { (false, before.clone()) } else { (true, after) }
    }
}

/// The states to which an operation can lead from this one.
fn step(operation: &Operation, state: &State) -> Vec<State> {
    let stored = state.get(&operation.key);
    let stamp = operation.stamp.map(|stamp| stamp.version.get());
    match &operation.kind {
        Kind::Read(value) => {
            let seen = stamp.zip(value.as_ref().map(|value| Some(value.to_string())));
            if stored.filter(|(_, value)| value.is_some()) == seen.as_ref() { vec![state.clone()] } else { Vec::new() }
        }
        Kind::Write(_) | Kind::Delete => {
            let value = match &operation.kind {
                Kind::Write(value) => Some(value.to_string()),
                _ => None,
            };
            let least = stored.map_or(1, |(version, _)| version + 1);
            let possible = (least..=GREATEST).filter(|version| stamp.is_none_or(|stamp| stamp == *version));
            let effects = possible.map(|version| {
                let mut state = state.clone();
                state.insert(operation.key.clone(), (version, value.clone()));
                state
            });
            effects.chain(is_unknown(operation).then(|| state.clone())).collect()
        }
    }
}

fn is_unknown(operation: &Operation) -> bool {
    operation.outcome == Outcome::Unknown
}

/// The verdict of the other checker.
fn is_linearizable(history: &History) -> bool {
    let mut actions = Vec::new();
    for (process, operation) in telling(history).into_iter().enumerate() {
        let returned = operation.returned.expect("each was given a return");
        actions.push(((false, operation.invoked), (process, Action::Call(operation.clone()))));
        actions.push(((is_unknown(operation), returned), (process, Action::Response(operation.clone()))));
    }
    // It panics at an empty history, which is in order.
    if actions.is_empty() {
        return true;
    }
    actions.sort_by_key(|(moment, _)| *moment);
    let actions = actions.into_iter().map(|(_, action)| action).collect();
    WGLChecker::<Store>::is_linearizable(todc_utils::History::from_actions(actions))
}

/// How many histories are compared.
const CASES: u32 = 10_000;

#[test]
fn the_verdicts_are_those_of_wing_and_gong() {
    let facts = Story::new().facts;
    let (linearizable, not, unknown) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let mut runner =
        TestRunner::new(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() });
    let result = runner.run(&vec(draft(), 1..=6), |drafts| {
        let history = history(&drafts);
        let expected = is_linearizable(&history);
        let verdict = check(&Recorded { records: &[], history: &history, states: &[], facts: Some(&facts) });
        let agrees = verdict.is_violated() != expected || (is_vague(&history) && !expected);
        prop_assert!(agrees, "{:?} of {:#?}, expected {}", verdict, history, expected);
        let counter = if expected { &linearizable } else { &not };
        counter.set(counter.get() + 1);
        unknown.set(unknown.get() + u32::from(history.operations.iter().any(is_unknown)));
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    for (what, count) in [("linearizable", &linearizable), ("not", &not), ("with unknown writes", &unknown)] {
        assert!(count.get() >= CASES / 10, "only {} of {CASES} histories were {what}", count.get());
    }
}
