//! The check held against an independent search: every order in which the operations of a small history can take effect
//! is tried on a model of the store.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::base::history::History;
use crate::base::trace::Micros;
use crate::check::testing::{self, Story};

/// The store as it should be: a version and a value for each key.
type Model = BTreeMap<Key, (u64, String)>;

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
            let seen = operation.stamp.zip(found.as_ref()).map(|(stamp, v)| (stamp.version.get(), v.to_string()));
            if now.cloned() == seen { vec![model.clone()] } else { Vec::new() }
        }
        Kind::Write(value) => {
            let write = |version| {
                let mut model = model.clone();
                model.insert(operation.key.clone(), (version, value.to_string()));
                model
            };
            match operation.stamp.map(|stamp| stamp.version.get()) {
                Some(stamp) if stamp > version => vec![write(stamp)],
                Some(_) => Vec::new(),
                None => (version + 1..=GREATEST).map(write).collect(),
            }
        }
    }
}

fn brute_force(history: &History) -> bool {
    let relevant = |operation: &&Operation| match operation.kind {
        Kind::Write(_) => operation.outcome != Outcome::Failed,
        Kind::Read(_) => matches!(operation.outcome, Outcome::Ok | Outcome::Absent),
    };
    search(&Model::new(), &history.operations.iter().filter(relevant).collect::<Vec<_>>())
}

/// The greatest version that occurs.
const GREATEST: u64 = 7;

/// An operation to be generated: when it begins, takes effect and ends, relative to the others, and what of it is bent.
#[derive(Debug, Clone)]
struct Draft {
    moments: [u16; 3],
    key: bool,
    writes: bool,
    outcome: u8,
    /// Whether the write took effect, if that is not known.
    effective: bool,
    stamp_known: bool,
    bend: Bend,
}

#[derive(Debug, Clone, Copy)]
enum Bend {
    Not,
    /// It has this version instead.
    Version(u64),
    /// It reads what this operation writes.
    Sees(usize),
    /// It ends at once, whenever it took effect.
    EndsEarly,
}

fn draft() -> impl Strategy<Value = Draft> {
    let bend = prop_oneof![
        4 => Just(Bend::Not),
        1 => (1..=GREATEST).prop_map(Bend::Version),
        1 => (0..6usize).prop_map(Bend::Sees),
        1 => Just(Bend::EndsEarly),
    ];
    let moments = any::<[u16; 3]>().prop_map(|mut moments| {
        moments.sort_unstable();
        moments
    });
    (moments, prop::bool::weighted(0.2), any::<bool>(), 0..10u8, any::<bool>(), any::<bool>(), bend).prop_map(
        |(moments, key, writes, outcome, effective, stamp_known, bend)| Draft {
            moments,
            key,
            writes,
            outcome,
            effective,
            stamp_known,
            bend,
        },
    )
}

/// The history of these operations on a right store, bent where they say so.
fn history(drafts: &[Draft]) -> History {
    let key = |draft: &Draft| testing::key(if draft.key { "j" } else { "k" });
    let outcome = |draft: &Draft| match (draft.outcome, draft.writes) {
        (0..6, _) => Outcome::Ok,
        (6..9, true) => Outcome::Unknown,
        (6..9, false) => Outcome::Ok,
        _ => Outcome::Failed,
    };
    let mut order: Vec<usize> = (0..drafts.len()).collect();
    order.sort_by_key(|at| (drafts[*at].moments[1], *at));
    let mut model = Model::new();
    let mut results: Vec<Option<(u64, String)>> = vec![None; drafts.len()];
    for at in order {
        let draft = &drafts[at];
        let takes_effect = match outcome(draft) {
            Outcome::Ok | Outcome::Absent => true,
            Outcome::Unknown => draft.effective,
            Outcome::Failed => false,
        };
        if draft.writes && takes_effect {
            let version = model.get(&key(draft)).map_or(0, |(version, _)| *version) + 1;
            model.insert(key(draft), (version, at.to_string()));
        }
        results[at] = model.get(&key(draft)).cloned();
    }
    // Distinct moments: in the order of the draws, invocations before returns.
    let mut moments: Vec<(u16, bool, usize)> = Vec::new();
    for (at, draft) in drafts.iter().enumerate() {
        let end = if matches!(draft.bend, Bend::EndsEarly) { draft.moments[0] } else { draft.moments[2] };
        moments.push((draft.moments[0], false, at));
        moments.push((end, true, at));
    }
    moments.sort_unstable();
    let moment = |wanted: (bool, usize)| {
        let index = moments.iter().position(|(_, is_return, at)| (*is_return, *at) == wanted).expect("each is there");
        Moment { index, at: Micros(index as u64 * 1000) }
    };
    let mut operations: Vec<Operation> = drafts
        .iter()
        .enumerate()
        .map(|(at, draft)| {
            let mut outcome = outcome(draft);
            let mut result = results[at].clone();
            match draft.bend {
                Bend::Version(version) => result = result.map(|(_, value)| (version, value)),
                Bend::Sees(other) if !draft.writes && other < drafts.len() => {
                    result = Some((result.map_or(1, |(version, _)| version), other.to_string()));
                }
                Bend::Not | Bend::Sees(_) | Bend::EndsEarly => {}
            }
            let told = match outcome {
                Outcome::Ok | Outcome::Absent => true,
                Outcome::Unknown => draft.stamp_known && draft.effective,
                Outcome::Failed => false,
            };
            let (stamp, value) = match result.filter(|_| told) {
                Some((version, value)) => (Some(testing::stamp(version)), Some(testing::value(&value))),
                None => (None, None),
            };
            if outcome == Outcome::Ok && !draft.writes && stamp.is_none() {
                outcome = Outcome::Absent;
            }
            let kind = if draft.writes { Kind::Write(testing::value(&at.to_string())) } else { Kind::Read(value) };
            Operation {
                client: testing::c(at as u16 + 1),
                number: 1,
                target: NodeId::Leader,
                key: key(draft),
                kind,
                invoked: moment((false, at)),
                returned: Some(moment((true, at))),
                outcome,
                stamp,
                confirmed: None,
            }
        })
        .collect();
    operations.sort_by_key(|operation| operation.invoked);
    History { operations }
}

/// Thirty thousand histories: the verdicts are the same, and neither is rare.
#[test]
fn the_verdicts_are_those_of_a_search() {
    let facts = Story::new().facts;
    let (linearizable, not, unknown) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 30_000, failure_persistence: None, ..ProptestConfig::default() });
    let result = runner.run(&vec(draft(), 1..=6), |drafts| {
        let history = history(&drafts);
        let expected = brute_force(&history);
        let verdict = check(&Recorded { records: &[], history: &history, states: &[], facts: &facts });
        prop_assert_eq!(!verdict.is_violated(), expected, "{:?} of {:#?}", verdict, history);
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
}
