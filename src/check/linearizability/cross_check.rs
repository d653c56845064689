//! The check of clients' histories held against an independent search, over random small histories of every kind: with
//! versions, without and with some; with unique values and values that repeat; deletions, conditional writes, refused
//! and unknown operations; keys that are absent before the history and keys that are not.

use std::cell::Cell;
use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::base::history::{Condition, History, Kind};
use crate::base::trace::Micros;
use crate::base::{Stamp, Version};
use crate::check::testing;

/// An operation to generate.
#[derive(Debug, Clone)]
struct Draft {
    /// When it is invoked, takes effect and returns.
    moments: [u16; 3],
    kind: DraftKind,
    /// What it writes, where values repeat.
    value: u8,
    outcome: u8,
    /// Whether it took effect, if its outcome is unknown.
    is_effective: bool,
    /// Whether its client learned the version, where some did.
    is_told: bool,
    bend: Bend,
}

#[derive(Debug, Clone, Copy)]
enum DraftKind {
    Read,
    Write,
    Delete,
    /// Requires the current version, or this one.
    IfVersion(Option<u64>),
    /// Requires the current value, or this one.
    IfValue(Option<u8>),
}

/// What makes a right history wrong, perhaps.
#[derive(Debug, Clone, Copy)]
enum Bend {
    Not,
    /// The client learns another version.
    Version(u64),
    /// The read finds another value.
    Value(u8),
    /// The read finds nothing.
    Absent,
    /// It returns as soon as it is invoked.
    EndsEarly,
    /// A refused write succeeds, and a successful one is refused.
    OtherOutcome,
}

/// The kind of a history.
#[derive(Debug, Clone, Copy)]
struct Shape {
    versions: Told,
    values_repeat: bool,
    /// What the key holds before the history.
    before: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Told {
    All,
    Some,
    None,
}

fn shape() -> impl Strategy<Value = Shape> {
    let told = prop_oneof![Just(Told::All), Just(Told::Some), Just(Told::None)];
    (told, any::<bool>(), prop::option::of(0..3u8)).prop_map(|(versions, values_repeat, before)| Shape {
        versions,
        values_repeat,
        before,
    })
}

fn draft() -> impl Strategy<Value = Draft> {
    let kind = prop_oneof![
        5 => Just(DraftKind::Read),
        5 => Just(DraftKind::Write),
        2 => Just(DraftKind::Delete),
        1 => prop::option::weighted(0.3, 0..5u64).prop_map(DraftKind::IfVersion),
        1 => prop::option::weighted(0.3, 0..3u8).prop_map(DraftKind::IfValue),
    ];
    let bend = prop_oneof![
        3 => Just(Bend::Not),
        1 => (1..6u64).prop_map(Bend::Version),
        1 => (0..6u8).prop_map(Bend::Value),
        1 => Just(Bend::Absent),
        1 => Just(Bend::EndsEarly),
        1 => Just(Bend::OtherOutcome),
    ];
    let moments = any::<[u16; 3]>().prop_map(|mut moments| {
        moments.sort_unstable();
        moments
    });
    (moments, kind, 0..3u8, 0..10u8, any::<bool>(), any::<bool>(), bend).prop_map(
        |(moments, kind, value, outcome, is_effective, is_told, bend)| Draft {
            moments,
            kind,
            value,
            outcome,
            is_effective,
            is_told,
            bend,
        },
    )
}

/// Version and value of a key; no value for an absent one.
type State = (u64, Option<String>);

/// What an operation requires of the state, in the terms of the generator.
fn condition(kind: DraftKind, (version, value): &State) -> Option<Condition> {
    match kind {
        DraftKind::Read | DraftKind::Write | DraftKind::Delete => None,
        DraftKind::IfVersion(other) => {
            let current = if value.is_some() { *version } else { 0 };
            Some(Condition::Version(other.unwrap_or(current)))
        }
        DraftKind::IfValue(other) => {
            let current = value.clone().unwrap_or_else(|| "null".into());
            let text = other.map_or(current, |value| value.to_string());
            Some(Condition::Value(testing::value(&text)))
        }
    }
}

/// Whether a state meets a condition: the definition, written once more.
fn meets((version, value): &State, condition: Option<&Condition>) -> bool {
    match condition {
        None => true,
        Some(Condition::Version(0)) => value.is_none(),
        Some(Condition::Version(required)) => value.is_some() && version == required,
        Some(Condition::Value(required)) => match value {
            Some(value) => required.as_json() == value,
            None => required.as_json() == "null",
        },
    }
}

/// The history of these operations on a right store, bent where they say so.
fn history(shape: Shape, drafts: &[Draft]) -> History {
    let written = |at: usize| {
        let draft = &drafts[at];
        match draft.kind {
            DraftKind::Delete => None,
            _ if shape.values_repeat => Some(draft.value.to_string()),
            // One of them may be there before.
            _ => Some(at.to_string()),
        }
    };
    let mut order: Vec<usize> = (0..drafts.len()).collect();
    order.sort_by_key(|at| (drafts[*at].moments[1], *at));
    let mut state: State = shape.before.map_or((0, None), |value| (1, Some(value.to_string())));
    let mut results: Vec<(Outcome, State, Option<Condition>)> = vec![(Outcome::Ok, state.clone(), None); drafts.len()];
    for at in order {
        let draft = &drafts[at];
        let condition = condition(draft.kind, &state);
        let is_write = !matches!(draft.kind, DraftKind::Read);
        let outcome = match draft.outcome {
            0..6 if meets(&state, condition.as_ref()) => Outcome::Ok,
            6..9 if is_write => Outcome::Unknown,
            6..9 => Outcome::Ok,
            _ => Outcome::Failed,
        };
        let may = meets(&state, condition.as_ref());
        if is_write && may && (outcome == Outcome::Ok || (outcome == Outcome::Unknown && draft.is_effective)) {
            state = (state.0 + 1, written(at));
        }
        results[at] = (outcome, state.clone(), condition);
    }
    let mut moments: Vec<(u16, bool, usize)> = Vec::new();
    for (at, draft) in drafts.iter().enumerate() {
        let end = if matches!(draft.bend, Bend::EndsEarly) { draft.moments[0] } else { draft.moments[2] };
        moments.extend([(draft.moments[0], false, at), (end, true, at)]);
    }
    moments.sort_unstable();
    let moment = |wanted: (bool, usize)| {
        let index = moments.iter().position(|(_, is_return, at)| (*is_return, *at) == wanted).expect("each is there");
        Moment { index, at: Micros(index as u64 * 1000) }
    };
    let operation = |(at, draft): (usize, &Draft)| {
        let (mut outcome, (mut version, mut found), condition) = results[at].clone();
        let is_read = matches!(draft.kind, DraftKind::Read);
        match (draft.bend, outcome) {
            (Bend::Version(other), _) => version = other,
            (Bend::Value(other), _) if is_read => {
                let other = usize::from(other) % drafts.len();
                found = Some(written(other).unwrap_or_else(|| "77".into()));
            }
            (Bend::Absent, _) if is_read => found = None,
            (Bend::OtherOutcome, Outcome::Ok) if !is_read => outcome = Outcome::Failed,
            (Bend::OtherOutcome, Outcome::Failed) if !is_read => outcome = Outcome::Ok,
            _ => {}
        }
        if is_read && outcome == Outcome::Ok && found.is_none() {
            outcome = Outcome::Absent;
        }
        let is_told = match shape.versions {
            Told::All => outcome == Outcome::Ok || (outcome == Outcome::Unknown && draft.is_told && draft.is_effective),
            Told::Some => draft.is_told && draft.is_effective && !matches!(outcome, Outcome::Failed | Outcome::Absent),
            Told::None => false,
        };
        let kind = match draft.kind {
            DraftKind::Read => Kind::Read(found.filter(|_| outcome == Outcome::Ok).map(|text| testing::value(&text))),
            DraftKind::Delete => Kind::Delete,
            DraftKind::Write | DraftKind::IfVersion(_) | DraftKind::IfValue(_) => {
                Kind::Write(testing::value(&written(at).expect("it is no deletion")))
            }
        };
        Operation {
            client: testing::c(at as u16 + 1),
            number: 1,
            target: NodeId::FIRST_SERVER,
            key: testing::key("k"),
            kind,
            mode: ReadMode::Linearizable,
            invoked: moment((false, at)),
            returned: Some(moment((true, at))),
            outcome,
            stamp: Version::new(version).ok().filter(|_| is_told).map(Stamp::of_version),
            confirmed: None,
            request: None,
            condition,
            min_version: None,
        }
    };
    let mut operations: Vec<Operation> = drafts.iter().enumerate().map(operation).collect();
    operations.sort_by_key(|operation| operation.invoked);
    History { operations }
}

/// The independent search: every order of the operations is tried on a register, with every version that an operation of
/// unknown version can have. Nothing is remembered and nothing is pruned.
struct Oracle {
    /// The versions that occur in the history.
    versions: BTreeSet<u64>,
}

impl Oracle {
    fn is_linearizable(history: &History) -> bool {
        let operations: Vec<&Operation> = history
            .operations
            .iter()
            .filter(|operation| match (&operation.kind, operation.outcome) {
                (_, Outcome::Failed) | (Kind::Read(_), Outcome::Unknown) => false,
                (_, Outcome::Ok | Outcome::Absent | Outcome::Unknown) => true,
            })
            .collect();
        let required = operations.iter().filter_map(|operation| match &operation.condition {
            Some(Condition::Version(version)) => Some(*version),
            Some(Condition::Value(_)) | None => None,
        });
        let told = operations.iter().filter_map(|operation| operation.stamp.map(|stamp| stamp.version.get()));
        let oracle = Self { versions: required.chain(told).collect() };
        oracle.beginnings(&operations).into_iter().any(|state| oracle.search(&state, &operations))
    }

    /// Every state in which the key can have been before.
    fn beginnings(&self, operations: &[&Operation]) -> Vec<State> {
        let mut values: BTreeSet<String> = BTreeSet::from(["\"some value that no operation names\"".to_owned()]);
        for operation in operations {
            if let Kind::Read(Some(value)) = &operation.kind {
                values.insert(value.to_string());
            }
            if let Some(Condition::Value(value)) = &operation.condition {
                values.insert(value.to_string());
            }
        }
        let versions: BTreeSet<u64> = self.versions.iter().copied().filter(|v| *v > 0).chain([1]).collect();
        let held = values.iter().flat_map(|value| versions.iter().map(move |version| (*version, Some(value.clone()))));
        [(0, None)].into_iter().chain(held).collect()
    }

    fn search(&self, state: &State, rest: &[&Operation]) -> bool {
        let is_unknown = |operation: &Operation| operation.outcome == Outcome::Unknown;
        if rest.iter().all(|operation| is_unknown(operation)) {
            return true;
        }
        let first_return = rest.iter().filter(|o| !is_unknown(o)).filter_map(|o| o.returned).min();
        (0..rest.len()).any(|at| {
            let next = rest[at];
            let others = || rest.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, o)| *o).collect::<Vec<_>>();
            let may_be_next = first_return.is_none_or(|first| next.invoked < first);
            may_be_next && self.after(state, next).iter().any(|state| self.search(state, &others()))
        })
    }

    fn after(&self, state: &State, operation: &Operation) -> Vec<State> {
        let (version, value) = state;
        let told = operation.stamp.map(|stamp| stamp.version.get());
        let written = match &operation.kind {
            Kind::Read(found) => {
                let found = found.as_ref().map(|found| found.to_string());
                let fits = found == *value && told.is_none_or(|told| told == *version);
                return if fits { vec![state.clone()] } else { Vec::new() };
            }
            Kind::Write(value) => Some(value.to_string()),
            Kind::Delete => None,
        };
        if !meets(state, operation.condition.as_ref()) {
            return Vec::new();
        }
        match told {
            Some(told) if told > *version => vec![(told, written)],
            Some(_) => Vec::new(),
            // The lowest leaves the most room, unless some operation saw another.
            None => {
                let higher = self.versions.range(version + 2..).copied();
                [version + 1].into_iter().chain(higher).map(|version| (version, written.clone())).collect()
            }
        }
    }
}

/// How many histories are compared.
const CASES: u32 = 10_000;

#[test]
fn no_false_accusation_and_no_miss() {
    let names =
        ["linearizable", "not", "with conditions", "with repeated values", "with deletions", "refused", "unknown"];
    let of_versions = ["every version", "some versions", "no version"];
    let counters: Vec<Cell<u32>> = vec![Cell::new(0); names.len() + 2 * of_versions.len()];
    let add = |counter: usize, is_so: bool| counters[counter].set(counters[counter].get() + u32::from(is_so));
    let mut runner =
        TestRunner::new(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() });
    let result = runner.run(&(shape(), vec(draft(), 1..=7)), |(shape, drafts)| {
        let history = history(shape, &drafts);
        let expected = Oracle::is_linearizable(&history);
        let verdict = check(&Recorded::of_clients(&history));
        prop_assert!(verdict.is_violated() != expected, "{verdict:?} of {history:#?}, expected {expected}");
        prop_assert!(!verdict.has_skipped_everything(), "{verdict:?}");
        let has = |is_so: fn(&Operation) -> bool| history.operations.iter().any(is_so);
        add(0, expected);
        add(1, !expected);
        add(2, has(|operation| operation.condition.is_some() && operation.outcome != Outcome::Failed));
        add(3, shape.values_repeat);
        add(4, has(|operation| operation.kind == Kind::Delete && operation.outcome != Outcome::Failed));
        add(5, has(|operation| operation.outcome == Outcome::Failed));
        add(6, has(|operation| operation.outcome == Outcome::Unknown));
        add(names.len() + 2 * shape.versions as usize + usize::from(expected), true);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    let with_versions = of_versions.iter().flat_map(|of| [format!("not, {of}"), format!("linearizable, {of}")]);
    for (name, counter) in names.iter().map(|name| (*name).to_owned()).chain(with_versions).zip(&counters) {
        assert!(counter.get() >= CASES / 60, "only {} of {CASES} histories were {name}", counter.get());
    }
}
