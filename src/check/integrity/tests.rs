//! Runs that are right, and runs that each break one rule.

use super::*;
use crate::base::history::{Condition, History};
use crate::check::Finding;
use crate::check::testing::{Story, c, dump, f, value};

fn written() -> Story {
    let mut story = Story::new();
    story.at(1).invoke_set(c(1), 1, "k", "1").at(2).accept(1, "k", 1, "1");
    story
}

#[test]
fn a_right_run_is_not_accused() {
    let mut story = written();
    story.apply(f(1), "k", 1, "1").wrote(c(1), 1, Outcome::Ok, 1);
    story.at(5).invoke_set(c(1), 2, "k", "2").accept(2, "k", 2, "2").apply(f(1), "k", 2, "2");
    story.invoke_get(c(2), 1, f(1).into(), "k").found(c(2), 1, 2, "2").invoke_get(c(2), 2, f(1).into(), "none");
    story.found(c(2), 2, 0, "").ends_with(NodeId::FIRST_SERVER, dump(&[("k", 2, "2")]));
    assert_eq!(story.holds(check), "2 stamps of 4 operations, seen 7 times");
}

#[test]
fn one_stamp_with_two_values() {
    let mut story = written();
    story.crash(NodeId::FIRST_SERVER).restart(NodeId::FIRST_SERVER);
    story.at(9).invoke_set(c(1), 2, "k", "2").accept(1, "k", 1, "2");
    assert_eq!(
        story.evidence(check),
        ["k v1 has two values: 1 (n1 accepted it at 2 ms) and 2 (n1 accepted it at 9 ms)"]
    );
    let mut story = written();
    story.at(3).invoke_set(c(1), 2, "k", "2").ends_with(f(2), dump(&[("k", 1, "2")]));
    assert!(story.evidence(check)[0].ends_with("and 2 (f2 has it in the end)"));
}

#[test]
fn a_value_unwritten() {
    let mut story = written();
    story.at(4).apply(f(2), "k", 2, "7").at(5).invoke_set(c(1), 2, "k", "7");
    assert_eq!(
        story.evidence(check),
        ["k v2 has the value 7 (f2 applied it at 4 ms), which nobody had written before"]
    );
    let mut story = written();
    story.at(4).invoke_get(c(2), 1, f(1).into(), "j").found(c(2), 1, 1, "1");
    assert!(story.evidence(check)[0].contains("c2#1 read it from f1 at 4 ms"), "another key's value is from nowhere");
}

#[test]
fn a_refused_write_leaves_nothing() {
    let mut story = Story::new();
    story.at(1).invoke_set(c(1), 1, "k", "1").wrote(c(1), 1, Outcome::Failed, 0);
    story.at(4).invoke_get(c(2), 1, f(1).into(), "k").found(c(2), 1, 1, "1");
    assert_eq!(
        story.evidence(check),
        ["k v1 has the value 1 (c2#1 read it from f1 at 4 ms), which nobody had written before, for c1#1, which was \
          to, was refused"]
    );
    story.at(5).invoke_set(c(1), 2, "j", "1").invoke_set(c(1), 3, "k", "1");
    assert_eq!(story.evidence(check).len(), 1, "what is written later was not written before");
}

/// Clients alone say nothing of what was there when they began: it is less than what they wrote by then.
#[test]
fn what_was_there_before_the_clients_is_not_accused() {
    let read = |version, invoked, found| {
        let mut story = Story::new();
        story.at(10).invoke_set(c(1), 1, "k", "1").at(20).wrote(c(1), 1, Outcome::Ok, 7);
        story.at(invoked).invoke_get(c(2), 1, f(1).into(), "k").at(found).found(c(2), 1, version, "9");
        story.in_order_of_time().verdict_of_clients(check).finding
    };
    assert_eq!(read(6, 30, 31), Finding::Holds("2 stamps of 2 operations, seen 2 times".into()));
    assert!(matches!(read(9, 1, 2), Finding::Holds(_)), "nothing was written yet");
    let evidence = "k v8 has the value 9 (c2#1 read it from f1 at 31 ms), which nobody had written before";
    assert_eq!(read(8, 30, 31), Finding::Violated(vec![evidence.into()]));
    assert!(matches!(read(7, 30, 31), Finding::Violated(evidence) if evidence[1].contains("has two values")));
}

/// A leader that recovers a value from before the history gives it its own epoch, above that of a write that came to nothing; and a
/// deposed leader may give any version to what comes to nothing.
#[test]
fn what_was_there_before_and_a_later_leader_recovered_is_not_accused() {
    let stamp = |epoch, version| Stamp { epoch: Epoch::new(epoch), version: Version::new(version).unwrap() };
    let read = |outcome, found: Stamp| {
        let mut story = Story::new();
        story.at(10).invoke_set(c(1), 1, "k", "1").at(20).wrote(c(1), 1, outcome, 3);
        story.at(30).invoke_get(c(2), 1, NodeId::FIRST_SERVER, "k").at(31).found(c(2), 1, 1, "9");
        let mut history = History::from_records(story.records());
        history.operations[0].stamp = Some(stamp(3, 3));
        history.operations[1].stamp = Some(found);
        check(&Recorded::of_clients(&history)).is_violated()
    };
    for found in [stamp(4, 2), stamp(4, 3), stamp(4, 9), stamp(3, 2), stamp(2, 9)] {
        assert!(!read(Outcome::Unknown, found), "{found}");
    }
    assert!(read(Outcome::Unknown, stamp(3, 4)), "of its own epoch it was written later");
    assert!(read(Outcome::Ok, stamp(4, 2)), "what was acknowledged cannot be recovered away");
}

#[test]
fn values_without_versions() {
    let read = |target, json, ms| {
        let mut story = Story::new();
        story.at(10).invoke_set(c(1), 1, "k", "1").at(20).wrote(c(1), 1, Outcome::Ok, 0);
        let returned = Event::Return {
            operation: 1,
            outcome: Outcome::Ok,
            stamp: None,
            value: Some(value(json)),
            confirmed: None,
        };
        story.at(ms).invoke_get(c(2), 1, target, "k").at(ms + 1).event(c(2), returned);
        story.in_order_of_time().verdict_of_clients(check).finding
    };
    let says = "0 stamps of 2 operations, seen 0 times; 1 value without a version";
    assert_eq!(read(NodeId::FIRST_SERVER, "1", 30), Finding::Holds(says.into()));
    let evidence = "k has the value 9 (c2#1 read it from n1 at 31 ms), which nobody had written before";
    assert_eq!(read(NodeId::FIRST_SERVER, "9", 30), Finding::Violated(vec![evidence.into()]));
    let not_judged = Finding::NotApplicable("no value could be judged".into());
    assert_eq!(read(NodeId::FIRST_SERVER, "9", 15), not_judged, "the write may not have come yet");
    assert_eq!(read(f(1).into(), "9", 30), not_judged, "a follower may be behind");
}

/// A value that only a refused write would have written is no value from before.
#[test]
fn a_refused_write_that_clients_read() {
    let read = |version| {
        let mut story = Story::new();
        story.at(1).invoke_set(c(1), 1, "k", "1").at(2).wrote(c(1), 1, Outcome::Failed, 0);
        let (stamp, value) = (Version::new(version).ok().map(Stamp::of_version), Some(value("1")));
        story
            .at(7)
            .invoke_get(c(2), 1, NodeId::FIRST_SERVER, "k")
            .at(8)
            .event(c(2), Event::Return { operation: 1, outcome: Outcome::Ok, stamp, value, confirmed: None });
        History::from_records(story.records())
    };
    let violated = |history: &History| check(&Recorded::of_clients(history)).is_violated();
    assert!(violated(&read(1)) && violated(&read(0)), "with a version and without");
    let conditional = |condition: Condition, version| {
        let mut history = read(version);
        history.operations[0].condition = Some(condition);
        history
    };
    let condition = Condition::Value(value("0"));
    assert!(!violated(&conditional(condition, 1)), "the key may have had the value, and so not the one required");
    let mut written_later = read(1);
    written_later.operations[0].invoked.index = 9;
    written_later.operations[0].returned = None;
    assert!(!violated(&written_later), "the value was there before the write was asked for");
}

#[test]
fn a_read_that_requires_a_version() {
    let mut story = written();
    story.at(4).invoke_get(c(2), 1, f(1).into(), "k").at(5).found(c(2), 1, 1, "1");
    let mut history = History::from_records(story.records());
    for (least, is_violated) in [(1, false), (2, true)] {
        history.operations[1].min_version = Version::new(least).ok();
        let verdict = check(&Recorded::of_clients(&history));
        assert_eq!(verdict.is_violated(), is_violated, "{least}");
    }
    let Finding::Violated(evidence) = check(&Recorded::of_clients(&history)).finding else { panic!("it holds") };
    assert_eq!(evidence, ["k v1 was returned (c2#1 read it from f1 at 5 ms), where v2 or later was required"]);
}

#[test]
fn clients_that_were_told_nothing() {
    assert!(matches!(Story::new().verdict_of_clients(check).finding, Finding::NotApplicable(_)));
}

/// A key that is deleted goes on after that, and so does a key that is new.
#[test]
fn versions_after_a_deletion() {
    let deleted = |then: &str, version| {
        let mut story = written();
        story.at(3).invoke_delete(c(1), 2, "k").accept_delete(2, "k", 2, (c(1), 2)).apply_delete(f(1), "k", 2);
        story.at(4).invoke_set(c(1), 3, then, "3").accept(3, then, version, "3");
        story
    };
    assert_eq!(deleted("k", 3).holds(check), "3 stamps of 3 operations, seen 4 times");
    assert_eq!(deleted("j", 3).holds(check), "3 stamps of 3 operations, seen 4 times");
    assert_eq!(
        deleted("k", 1).evidence(check),
        [
            "k v1 has two values: 1 (n1 accepted it at 2 ms) and 3 (n1 accepted it at 4 ms)",
            "n1 accepted k v1 at 4 ms, which came after the key was deleted as v2, when deletions had come to v2"
        ]
    );
    assert_eq!(
        deleted("j", 1).evidence(check),
        ["n1 accepted j v1 at 4 ms, which was the key's first write, when deletions had come to v2"]
    );
}

#[test]
fn a_deletion_that_nobody_asked_for() {
    let mut story = written();
    story.at(4).apply_delete(f(2), "k", 2).at(5).invoke_delete(c(1), 2, "k");
    assert_eq!(
        story.evidence(check),
        ["k v2 has the value nothing (deleted) (f2 applied it at 4 ms), which nobody had written before"]
    );
    let mut story = written();
    story.at(4).apply_delete(f(2), "k", 1).at(3).invoke_delete(c(1), 2, "k").in_order_of_time();
    assert!(story.evidence(check)[0].contains("k v1 has two values: 1 ("));
}

#[test]
fn versions_that_skip_or_stand_still() {
    for (version, ok) in [(1, false), (2, true), (3, false)] {
        let mut story = written();
        story.at(3).invoke_set(c(1), 2, "k", "2").accept(2, "k", version, "2");
        assert_eq!(!story.verdict(check).is_violated(), ok, "{version}");
    }
    let mut story = written();
    story.at(3).invoke_set(c(1), 2, "k", "2").accept(2, "k", 3, "2");
    assert_eq!(story.evidence(check), ["n1 accepted k v3 at 3 ms, which came after v1"]);
}

/// A later leader goes on from what it recovered, and steps by one from there.
#[test]
fn a_later_leader_may_begin_with_any_version() {
    let later = |versions: &[u64]| {
        let mut story = Story::new();
        story.at(1).restart(NodeId::FIRST_SERVER);
        for (number, version) in (1..).zip(versions) {
            story.invoke_set(c(1), number, "k", &number.to_string());
            story.accept(number, "k", *version, &number.to_string());
        }
        story
    };
    assert_eq!(later(&[1, 2]).excuses(check), []);
    assert_eq!(later(&[7, 8]).excuses(check), [(Excuse::RecoveredVersion, 1)]);
    assert_eq!(later(&[7, 9]).evidence(check), ["n1 accepted k v9 at 1 ms, which came after v7"]);
}

#[test]
fn a_later_leader_may_go_on_above_a_deletion() {
    let later = |version: u64| {
        let mut story = Story::new();
        story.at(1).restart(NodeId::FIRST_SERVER).invoke_set(c(1), 1, "k", "1").accept(1, "k", 1, "1");
        story.invoke_delete(c(1), 2, "k").accept_delete(2, "k", 2, (c(1), 2));
        story.invoke_set(c(1), 3, "k", "3").accept(3, "k", version, "3");
        story
    };
    assert_eq!(later(3).excuses(check), []);
    assert_eq!(later(9).excuses(check), [(Excuse::UnknownFloor, 1)]);
    assert!(later(2).evidence(check).iter().any(|sentence| sentence.contains("when deletions had come to v2")));
}

/// What a node stores in the end is known without its epoch.
#[test]
fn a_version_that_is_stored_in_the_end_may_be_of_another_epoch() {
    let ended = |epoch, json| {
        let mut story = written();
        story.invoke_set(c(1), 2, "k", "2").event(NodeId::FIRST_SERVER, Event::Serve { epoch });
        story.ends_with(f(1), dump(&[("k", 1, json)]));
        story
    };
    assert_eq!(ended(Epoch::new(2), "1").excuses(check), []);
    assert_eq!(ended(Epoch::new(2), "2").excuses(check), [(Excuse::UnknownEpoch, 1)]);
    let two_values = "k v1 has two values: 1 (n1 accepted it at 2 ms) and 2 (f1 has it in the end)";
    assert_eq!(ended(Epoch::FIRST, "2").evidence(check), [two_values]);
    let nobody = "k v1 has the value 7 (f1 has it in the end), which nobody had written before";
    assert_eq!(ended(Epoch::new(2), "7").evidence(check), [nobody]);
}
