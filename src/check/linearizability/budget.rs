//! Tests of histories that are too large for an exhaustive search: the fast ways must agree, and a search must end.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::base::Value;
use crate::base::history::{History, Kind};
use crate::base::trace::Micros;
use crate::check::{Finding, testing};

/// An operation on the key k without a version, from one place in the order of the history to another.
fn operation(number: usize, kind: Kind, outcome: Outcome, from: usize, to: usize) -> Operation {
    let moment = |index: usize| Moment { index, at: Micros(index as u64 * 1000) };
    Operation {
        client: testing::c(number as u16 + 1),
        number: 1,
        target: NodeId::FIRST_SERVER,
        key: testing::key("k"),
        kind,
        mode: ReadMode::Linearizable,
        invoked: moment(from),
        returned: Some(moment(to)),
        outcome,
        stamp: None,
        confirmed: None,
        request: None,
        condition: None,
        min_version: None,
    }
}

fn write(value: usize) -> Kind {
    Kind::Write(testing::value(&value.to_string()))
}

fn read(value: usize) -> Kind {
    Kind::Read(Some(testing::value(&value.to_string())))
}

/// A history in which each operation takes effect at its number, and begins and ends at most `spread` operations away; the
/// operations of `stale` read what was there so many writes before.
fn history(spread: usize, writes: &[bool], stale: &[(usize, usize)]) -> History {
    let mut last = 0;
    let mut operations = Vec::new();
    let mut written: Vec<usize> = Vec::new();
    for (number, is_write) in writes.iter().enumerate() {
        let reach = |salt: usize| (number * 7919 + salt * 104_729) % spread;
        let (from, to) =
            ((10 * number + 10 * spread - 10 * reach(1)) * 100, (10 * number + 10 * spread + 10 * reach(2)) * 100);
        let (from, to) = (from + 2 * number, to + 2 * number + 1);
        let kind = if *is_write {
            last = number + 1;
            written.push(last);
            write(last)
        } else {
            let back = stale.iter().find(|(of, _)| *of == number).map_or(0, |(_, back)| *back);
            let place = written.len().checked_sub(1 + back);
            match place.map(|place| written[place]) {
                Some(value) => read(value),
                None if last == 0 => Kind::Read(None),
                None => read(last),
            }
        };
        let outcome = if kind == Kind::Read(None) { Outcome::Absent } else { Outcome::Ok };
        operations.push(operation(number, kind, outcome, from, to));
    }
    operations.sort_by_key(|operation| operation.invoked);
    History { operations }
}

/// The zones decide as the search does, also where the history is long.
#[test]
fn zones_and_the_search_agree() {
    let (linearizable, not) = (Cell::new(0), Cell::new(0));
    let config = ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() };
    let stale = vec((0..60usize, 1..3usize), 0..3);
    let result = TestRunner::new(config).run(&(1..5usize, vec(any::<bool>(), 60), stale), |(spread, writes, stale)| {
        let history = history(spread, &writes, &stale);
        let operations: Vec<&Operation> = history.operations.iter().collect();
        let register = Register::of(&operations);
        prop_assert!(zones::apply_to(&register));
        let by_zones = zones::check(&register, false);
        let found = search::search(&register, &search::beginnings(&register), &mut Budget(SEARCH_BUDGET));
        prop_assert_eq!(by_zones.is_ok(), found == Found::Order, "{:?}, {:?} of {:#?}", by_zones, found, history);
        prop_assert!(found != Found::GaveUp);
        let counter = if by_zones.is_ok() { &linearizable } else { &not };
        counter.set(counter.get() + 1);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(linearizable.get() > 200 && not.get() > 200, "{} and {}", linearizable.get(), not.get());
}

/// Thirty concurrent writes of three values, and then two reads by clients one after the other that no order explains, for
/// no write follows the first.
fn crowded() -> History {
    let mut operations: Vec<Operation> = (0..30).map(|n| operation(n, write(n % 3), Outcome::Ok, n, 100 + n)).collect();
    operations.push(operation(30, read(1), Outcome::Ok, 200, 201));
    operations.push(operation(31, read(2), Outcome::Ok, 202, 203));
    History { operations }
}

#[test]
fn a_search_ends_when_its_budget_is_used_up() {
    let history = crowded();
    let verdict = check_within(&Recorded::of_clients(&history), 1000);
    assert_eq!(verdict.finding, Finding::NotApplicable("no key could be judged".into()));
    assert!(verdict.has_skipped_everything());
    let skipped: Vec<String> = verdict.coverage.skipped.iter().map(ToString::to_string).collect();
    assert_eq!(skipped, ["32 operations on 1 key (k): the search for an order gave up after 1000 configurations"]);
    let mut with_another = history.clone();
    let other = |number, kind, from| Operation {
        key: testing::key("j"),
        ..operation(number, kind, Outcome::Ok, from, from + 1)
    };
    with_another.operations.extend([other(40, write(7), 300), other(41, read(7), 302)]);
    let verdict = check_within(&Recorded::of_clients(&with_another), 1000);
    assert_eq!(verdict.finding, Finding::Holds("2 operations on 1 key at the leader".into()));
    assert_eq!(verdict.coverage.skipped.len(), 1);
}

/// Values that repeat do not make a long history expensive, as long as few operations are concurrent.
#[test]
fn a_long_history_with_values_that_repeat_is_searched_in_a_straight_line() {
    let mut history = history(4, &[true, false, true, false, false].repeat(2000), &[]);
    for operation in &mut history.operations {
        let repeat =
            |value: &Value| testing::value(&(value.as_json().parse::<usize>().expect("a number") % 5).to_string());
        match &mut operation.kind {
            Kind::Write(value) | Kind::Read(Some(value)) => *value = repeat(value),
            Kind::Delete | Kind::Read(None) => {}
        }
    }
    let verdict = check_within(&Recorded::of_clients(&history), 20_000);
    assert_eq!(verdict.finding, Finding::Holds("10000 operations on 1 key at the leader".into()));
}
