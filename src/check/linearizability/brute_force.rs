//! The check held against an independent search: every order in which the operations of a small history can take effect
//! is tried on a model of the store.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::histories::{GREATEST, draft, history, is_vague, telling};
use super::*;
use crate::base::history::{History, Kind};
use crate::check::testing::Story;

/// The store as it should be: a version and a value for each key, and no value for one that was deleted.
type Model = BTreeMap<Key, (u64, Option<String>)>;

/// Tries to let all operations take effect, one after another, none after one that was invoked when it had returned.
fn search(model: &Model, rest: &[&Operation]) -> bool {
    let never_returned = |operation: &Operation| operation.outcome == Outcome::Unknown;
    if rest.iter().all(|operation| never_returned(operation)) {
        return true;
    }
    let first_return = rest.iter().filter(|operation| !never_returned(operation)).filter_map(|o| o.returned).min();
    (0..rest.len()).any(|at| {
        let next = rest[at];
        if first_return.is_some_and(|first| next.invoked > first) {
            return false;
        }
        let others: Vec<&Operation> = rest.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, o)| *o).collect();
        after(model, next).iter().any(|model| search(model, &others))
    })
}

/// The states to which an operation can lead; none if it cannot have been so.
fn after(model: &Model, operation: &Operation) -> Vec<Model> {
    let now = model.get(&operation.key);
    let version = now.map_or(0, |(version, _)| *version);
    match &operation.kind {
        Kind::Read(found) => {
            let seen = operation.stamp.zip(found.as_ref()).map(|(stamp, v)| (stamp.version.get(), Some(v.to_string())));
            if now.cloned().filter(|(_, value)| value.is_some()) == seen { vec![model.clone()] } else { Vec::new() }
        }
        Kind::Write(_) | Kind::Delete => {
            let value = match &operation.kind {
                Kind::Write(value) => Some(value.to_string()),
                _ => None,
            };
            let write = |version| {
                let mut model = model.clone();
                model.insert(operation.key.clone(), (version, value.clone()));
                model
            };
            match operation.stamp.map(|stamp| stamp.version.get()) {
                Some(stamp) if stamp > version => vec![write(stamp)],
                Some(_) => Vec::new(),
                // Nothing is seen of a version above the greatest that occurs, so there the lowest is enough.
                None => (version + 1..=GREATEST.max(version + 1)).map(write).collect(),
            }
        }
    }
}

fn brute_force(history: &History) -> bool {
    search(&Model::new(), &telling(history))
}

/// Every state in which the store can have been before: the keys absent, or as somebody read them.
fn beginnings(history: &History) -> Vec<Model> {
    let mut models = vec![Model::new()];
    for read in &history.operations {
        let Kind::Read(Some(value)) = &read.kind else { continue };
        let Some(stamp) = read.stamp else { continue };
        for mut model in models.clone() {
            let entry = (stamp.version.get(), Some(value.to_string()));
            if model.insert(read.key.clone(), entry).is_none() {
                models.push(model);
            }
        }
    }
    models
}

/// The same where only clients were recorded, and begin to be at any time.
#[test]
fn the_verdicts_on_clients_alone_are_those_of_a_search_from_any_beginning() {
    let (linearizable, not, from_before) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 30_000, failure_persistence: None, ..ProptestConfig::default() });
    let result = runner.run(&(vec(draft(), 1..=7), 0..4usize), |(drafts, unrecorded)| {
        let mut history = history(&drafts);
        history.operations.drain(..unrecorded.min(history.operations.len()));
        let operations = telling(&history);
        let expected = beginnings(&history).iter().any(|model| search(model, &operations));
        let verdict = check(&Recorded::of_clients(&history));
        prop_assert!(verdict.is_violated() != expected, "{:?} of {:#?}, expected {}", verdict, history, expected);
        let counter = if expected { &linearizable } else { &not };
        counter.set(counter.get() + 1);
        from_before.set(from_before.get() + usize::from(expected && !brute_force(&history)));
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    for (what, count) in [("linearizable", &linearizable), ("not", &not), ("so from a beginning only", &from_before)] {
        assert!(count.get() > 2000, "only {} histories were {what}", count.get());
    }
}

/// Thirty thousand histories: the verdicts are the same, and neither is rare.
#[test]
fn the_verdicts_are_those_of_a_search() {
    let facts = Story::new().facts;
    let (linearizable, not, unknown, absent) = (Cell::new(0), Cell::new(0), Cell::new(0), Cell::new(0));
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 30_000, failure_persistence: None, ..ProptestConfig::default() });
    let result = runner.run(&vec(draft(), 1..=6), |drafts| {
        let history = history(&drafts);
        let expected = brute_force(&history);
        let verdict = check(&Recorded { records: &[], history: &history, states: &[], facts: Some(&facts) });
        let agrees = verdict.is_violated() != expected || (is_vague(&history) && !expected);
        prop_assert!(agrees, "{:?} of {:#?}, expected {}", verdict, history, expected);
        absent.set(absent.get() + usize::from(expected && finds_a_deletion(&history)));
        let counter = if expected { &linearizable } else { &not };
        counter.set(counter.get() + 1);
        let has_unknown = history.operations.iter().any(|operation| operation.outcome == Outcome::Unknown);
        unknown.set(unknown.get() + usize::from(has_unknown));
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    for (what, count) in [("linearizable", &linearizable), ("not", &not), ("with unknown writes", &unknown)] {
        assert!(count.get() > 6000, "only {} histories were {what}", count.get());
    }
    assert!(absent.get() > 300, "only {} histories had a read that found a deletion", absent.get());
}

/// Whether somebody found nothing after a write of the key had been acknowledged.
fn finds_a_deletion(history: &History) -> bool {
    let after = |read: &Operation, write: &Operation| {
        write.is_write()
            && write.outcome == Outcome::Ok
            && write.key == read.key
            && write.returned.is_some_and(|returned| returned < read.invoked)
    };
    let operations = history.operations.iter();
    operations.clone().any(|read| read.outcome == Outcome::Absent && operations.clone().any(|write| after(read, write)))
}
