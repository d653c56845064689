use super::*;
use crate::base::trace::Disturbance;
use crate::base::{ReadMode, RequestName, Version};
use crate::check::Finding;
use crate::check::testing::{Story, c, f};

const LEADER: NodeId = NodeId::FIRST_SERVER;

/// c1 writes v1 from 1 to 5 ms.
fn written() -> Story {
    let mut story = Story::new();
    story.at(1).invoke_set(c(1), 1, "k", "1").at(5).wrote(c(1), 1, Outcome::Ok, 1);
    story
}

#[test]
fn a_right_run_is_not_accused() {
    let mut story = written();
    story.at(6).invoke_get(c(2), 1, LEADER, "k").invoke_set(c(1), 2, "k", "2").found(c(2), 1, 2, "2");
    story.at(7).invoke_get(c(3), 1, LEADER, "k").found(c(3), 1, 2, "2").wrote(c(1), 2, Outcome::Unknown, 2);
    story.at(8).invoke_get(c(2), 2, f(1).into(), "k").found(c(2), 2, 1, "1").invoke_set(c(1), 3, "k", "3");
    assert_eq!(story.holds(check), "4 operations on 1 key at the leader", "the follower's is not covered");
}

#[test]
fn a_stale_read() {
    let mut story = written();
    story.at(6).invoke_get(c(2), 1, LEADER, "k").at(7).found(c(2), 1, 0, "");
    assert_eq!(
        story.evidence(check),
        ["c2#1, from 6 to 7 ms, found no k, though before that c1#1, from 1 to 5 ms, wrote k v1"]
    );
}

#[test]
fn a_read_finds_a_deletion() {
    let deleted = |outcome| {
        let mut story = written();
        story.at(6).invoke_delete(c(2), 1, "k").at(8).accept_delete(2, "k", 2, (c(2), 1)).wrote(c(2), 1, outcome, 0);
        story.at(9).invoke_get(c(3), 1, LEADER, "k").at(10).found(c(3), 1, 0, "");
        story
    };
    assert_eq!(deleted(Outcome::Unknown).holds(check), "2 operations on 1 key at the leader");
    let mut seen_again = deleted(Outcome::Unknown);
    seen_again.at(11).invoke_get(c(3), 2, LEADER, "k").at(12).found(c(3), 2, 1, "1");
    assert_eq!(
        seen_again.evidence(check),
        ["c3#2, from 11 to 12 ms, read k v1, though before that c3#1, from 9 to 10 ms, found no k"]
    );
    assert_eq!(
        deleted(Outcome::Failed).evidence(check),
        ["c3#1, from 9 to 10 ms, found no k, though before that c1#1, from 1 to 5 ms, wrote k v1"]
    );
}

#[test]
fn a_write_behind_one_that_had_ended() {
    let mut story = written();
    story.at(6).invoke_set(c(2), 1, "k", "2").at(8).wrote(c(2), 1, Outcome::Ok, 1);
    assert_eq!(story.evidence(check), ["c1#1 and c2#1 both wrote k v1"]);
}

/// What a read saw of an unknown write cannot be unseen.
#[test]
fn a_value_that_was_seen_vanishes() {
    let mut story = written();
    story.at(6).invoke_set(c(2), 1, "k", "2").at(7).invoke_get(c(3), 1, LEADER, "k").at(8).found(c(3), 1, 2, "2");
    story.at(9).wrote(c(2), 1, Outcome::Unknown, 0).invoke_get(c(3), 2, LEADER, "k").at(10).found(c(3), 2, 1, "1");
    assert_eq!(
        story.evidence(check),
        ["c3#2, from 9 to 10 ms, read k v1, though before that c3#1, from 7 to 8 ms, read k v2"]
    );
}

/// Clients alone say nothing of what was there when they began.
#[test]
fn what_was_there_before_the_clients_is_not_accused() {
    let before = || {
        let mut story = Story::new();
        story.at(1).invoke_get(c(1), 1, LEADER, "k").found(c(1), 1, 4, "9");
        story.at(3).invoke_set(c(1), 2, "k", "1").at(5).wrote(c(1), 2, Outcome::Ok, 5);
        story
    };
    let finding = |story: &Story| story.verdict_of_clients(check).finding;
    assert_eq!(finding(&before()), Finding::Holds("2 operations on 1 key at the leader".into()));
    let violated = |why: &str| Finding::Violated(vec![why.to_owned()]);
    assert_eq!(
        before().verdict(check).finding,
        violated("c1#1, from 1 to 1 ms, read k v4 = 9, which nobody wrote"),
        "a trace begins with an empty store"
    );
    let mut stale = before();
    stale.at(6).invoke_get(c(2), 1, LEADER, "k").at(7).found(c(2), 1, 4, "9");
    let why = "c2#1, from 6 to 7 ms, read k v4, though before that c1#2, from 3 to 5 ms, wrote k v5";
    assert_eq!(finding(&stale), violated(why));
    let mut absent = before();
    absent.at(0).invoke_get(c(2), 1, LEADER, "k").found(c(2), 1, 0, "").in_order_of_time();
    let why = "c1#1, from 1 to 1 ms, read k v4 = 9, which nobody wrote";
    assert_eq!(finding(&absent), violated(why), "nothing was there");
    let mut other = before();
    other.at(3).invoke_get(c(2), 1, LEADER, "k").at(4).found(c(2), 1, 4, "8");
    let why = "c2#1, from 3 to 4 ms, read k v4 = 8, though others found 9 for it";
    assert_eq!(finding(&other), violated(why));
}

#[test]
fn a_history_without_operations_at_the_leader_is_not_judged() {
    let story = Story::new();
    let verdict = story.verdict_of_clients(check);
    assert_eq!(verdict.finding, Finding::NotApplicable("nothing was asked of the leader".into()));
    assert!(!verdict.has_judged() && !verdict.has_skipped_everything());
}

#[test]
fn a_value_that_is_not_there() {
    let read = |outcome, version, json: &str| {
        let mut story = written();
        story.at(6).invoke_set(c(2), 1, "k", "2").at(7).wrote(c(2), 1, outcome, 0);
        story.at(8).invoke_get(c(3), 1, LEADER, "k").found(c(3), 1, version, json);
        story.at(9).invoke_set(c(2), 2, "k", "3").wrote(c(2), 2, Outcome::Ok, 9);
        story.evidence(check).concat()
    };
    assert_eq!(read(Outcome::Unknown, 2, "7"), "c3#1, from 8 to 8 ms, read k v2 = 7, which nobody wrote");
    assert!(read(Outcome::Failed, 2, "2").ends_with("= 2, but c2#1, which was to write it, was refused"));
    assert!(read(Outcome::Unknown, 2, "1").ends_with("= 1, but c1#1, which wrote it, got v1"));
    assert!(read(Outcome::Unknown, 9, "3").ends_with("read k v9, which c2#2 was to write only at 9 ms"));
}

/// c1 asks for v1 and learns nothing; c2 deletes that, as v2; and the next leader tells c1, who asks once more, that it was v1.
fn asked_once_more() -> Story {
    let request_id = Some(RequestName::new("r").unwrap());
    let (key, value) = (crate::check::testing::key("k"), Some(crate::check::testing::value("1")));
    let invoke = |operation| {
        let (target, key, value, request_id) = (LEADER, key.clone(), value.clone().unwrap(), request_id.clone());
        Event::InvokeSet { operation, target, key, value, request_id, if_version: None }
    };
    let name = |number| Some(crate::base::trace::operation_name(c(1), number));
    let stamp = crate::check::testing::stamp(1);
    let later = Stamp { epoch: crate::base::Epoch::new(2), ..stamp };
    let mut story = Story::new();
    story.at(1).event(c(1), invoke(1));
    let (operation, request_id) = (name(1), request_id.clone());
    let first = (key.clone(), value.clone(), request_id.clone());
    let (key, value, request_id) = first.clone();
    story.at(2).event(LEADER, Event::Accept { write: 1, key, stamp, value, operation, request_id });
    story.at(3).wrote(c(1), 1, Outcome::Unknown, 0);
    story.at(4).invoke_delete(c(2), 1, "k").at(5).accept_delete(2, "k", 2, (c(2), 1)).wrote(c(2), 1, Outcome::Ok, 2);
    story.at(6).crash(LEADER).at(7).restart(LEADER).at(8).event(c(1), invoke(2));
    let (operation, (key, value, request_id)) = (name(2), first);
    story.at(9).event(LEADER, Event::Retry { write: 1, key, stamp: later, value, operation, request_id });
    let (outcome, stamp, confirmed) = (Outcome::Ok, Some(later), Some((2, 2)));
    story.at(10).event(c(1), Event::Return { operation: 2, outcome, stamp, value: None, confirmed });
    story
}

#[test]
fn a_write_and_its_retries_are_one() {
    let mut story = asked_once_more();
    story.at(11).invoke_get(c(3), 1, LEADER, "k").at(12).found(c(3), 1, 0, "");
    story.holds(check);
    let of_clients = story.verdict_of_clients(check).finding;
    assert!(matches!(of_clients, Finding::Holds(_)), "{of_clients:?}");
    let mut undone = asked_once_more();
    let stamp = Some(Stamp { epoch: crate::base::Epoch::new(2), ..crate::check::testing::stamp(1) });
    undone.at(11).invoke_get(c(3), 1, LEADER, "k");
    let (outcome, value) = (Outcome::Ok, Some(crate::check::testing::value("1")));
    undone.at(12).event(c(3), Event::Return { operation: 1, outcome, stamp, value, confirmed: None });
    assert_eq!(
        undone.evidence(check),
        ["c3#1, from 11 to 12 ms, read k v1, though before that c2#1, from 4 to 5 ms, deleted k as v2"]
    );
}

/// A leader that was deposed makes v2 of c1's write, and it is lost with that leader; the next one makes v1 of c2's write and, when c1
/// asks once more, v2 of c1's.
#[test]
fn a_retry_that_is_made_anew_takes_effect_where_it_is_made() {
    let told = |is_anew: bool| {
        let (key, value) = (crate::check::testing::key("k"), crate::check::testing::value("1"));
        let request_id = Some(RequestName::new("r").unwrap());
        let ask = |operation| {
            let (key, value, request_id) = (key.clone(), value.clone(), request_id.clone());
            Event::InvokeSet { operation, target: LEADER, key, value, request_id, if_version: None }
        };
        let name = |number| Some(crate::base::trace::operation_name(c(1), number));
        let of_epoch =
            |epoch, version| Stamp { epoch: crate::base::Epoch::new(epoch), ..crate::check::testing::stamp(version) };
        let mut story = Story::new();
        story.at(1).event(c(1), ask(1));
        let (stamp, operation) = (of_epoch(1, 2), name(1));
        let (key_of, value_of, request) = (key.clone(), Some(value.clone()), request_id.clone());
        let made = Event::Accept { write: 1, key: key_of, stamp, value: value_of, operation, request_id: request };
        story.at(2).event(NodeId::Server(1), made).at(3).wrote(c(1), 1, Outcome::Unknown, 0);
        story.at(4).invoke_set(c(2), 1, "k", "2");
        let (outcome, confirmed) = (Outcome::Ok, Some((2, 2)));
        let stamp = Some(of_epoch(2, 1));
        story.at(5).event(c(2), Event::Return { operation: 1, outcome, stamp, value: None, confirmed });
        story.at(6).event(c(1), ask(2));
        let (stamp, operation, value) = (of_epoch(2, 2), name(2), Some(value.clone()));
        let (key, request_id) = (key.clone(), request_id.clone());
        story.at(7).event(
            LEADER,
            match is_anew {
                true => Event::Accept { write: 2, key, stamp, value, operation, request_id },
                false => Event::Retry { write: 2, key, stamp, value, operation, request_id },
            },
        );
        story.at(8).event(c(1), Event::Return { operation: 2, outcome, stamp: Some(stamp), value: None, confirmed });
        story.at(9).invoke_get(c(3), 1, LEADER, "k");
        let (stamp, value) = (Some(stamp), Some(crate::check::testing::value("1")));
        story.at(10).event(c(3), Event::Return { operation: 1, outcome, stamp, value, confirmed: None });
        story
    };
    told(true).holds(check);
    let evidence = told(false).evidence(check);
    assert!(
        evidence[0].contains("though before that c2#1"),
        "known as e1v2, it comes before what c2 wrote: {evidence:?}"
    );
}

/// A write of unknown outcome writes what was there before: a read finds the one, a later read the other.
#[test]
fn a_value_from_before_that_is_written_again() {
    let history = |with_versions: bool, last: u64| {
        let told = |version| if with_versions { version } else { 0 };
        let mut story = Story::new();
        let found = |story: &mut Story, operation, version, json: &str| {
            let value = Some(crate::check::testing::value(json));
            let stamp = (version > 0).then(|| crate::check::testing::stamp(version));
            story.event(c(2), Event::Return { operation, outcome: Outcome::Ok, stamp, value, confirmed: None });
        };
        story.at(1).invoke_set(c(1), 1, "k", "1").at(2).invoke_get(c(2), 1, LEADER, "k").at(3);
        found(&mut story, 1, told(1), "1");
        story.at(4).invoke_set(c(3), 1, "k", "2").at(5).wrote(c(3), 1, Outcome::Ok, told(2));
        story.at(6).invoke_get(c(2), 2, LEADER, "k").at(7);
        found(&mut story, 2, told(last), "1");
        story.verdict_of_clients(check).is_violated()
    };
    assert_eq!((history(false, 0), history(true, 3), history(true, 1)), (false, false, true));
}

/// The value that is there before the clients is written by a client, too, but only after all others have read and written.
#[test]
fn a_value_from_before_does_not_come_back_before_it_is_written() {
    let mut story = Story::new();
    let found = |story: &mut Story, operation| {
        let (outcome, value) = (Outcome::Ok, Some(crate::check::testing::value("1")));
        story.event(c(1), Event::Return { operation, outcome, stamp: None, value, confirmed: None });
    };
    story.at(1).invoke_get(c(1), 1, LEADER, "k").at(2);
    found(&mut story, 1);
    story.at(3).invoke_set(c(2), 1, "k", "2").at(4).wrote(c(2), 1, Outcome::Ok, 0);
    story.at(5).invoke_get(c(1), 2, LEADER, "k").at(6);
    found(&mut story, 2);
    story.at(7).invoke_set(c(2), 2, "k", "1").at(8).wrote(c(2), 2, Outcome::Ok, 0);
    assert!(story.verdict_of_clients(check).is_violated());
}

/// A leader of a later epoch recovers a value from before, and gives it its own epoch: it is the same value, at the same place.
#[test]
fn a_value_from_before_that_a_later_leader_recovers() {
    let history = |later: &str, acknowledged: Outcome| {
        let stamp = |epoch| Stamp { epoch: Epoch::new(epoch), version: Version::FIRST };
        let mut story = Story::new();
        let found = |story: &mut Story, operation, epoch, json: &str| {
            let (stamp, value) = (Some(stamp(epoch)), Some(crate::check::testing::value(json)));
            story.event(c(2), Event::Return { operation, outcome: Outcome::Ok, stamp, value, confirmed: None });
        };
        story.at(1).invoke_get(c(2), 1, LEADER, "k").at(2);
        found(&mut story, 1, 1, "1");
        story.at(3).invoke_set(c(1), 1, "k", "7").at(4).wrote(c(1), 1, acknowledged, 2);
        story.at(5).invoke_get(c(2), 2, LEADER, "k").at(6);
        found(&mut story, 2, 2, later);
        story.verdict_of_clients(check).is_violated()
    };
    assert!(!history("1", Outcome::Unknown));
    assert!(history("2", Outcome::Unknown), "the store had one value before");
    assert!(history("1", Outcome::Ok), "what was acknowledged since is above it");
}

/// A write is asked for twice under one name, and answered under a later epoch than the first. Where it is known that it was taken on
/// in that epoch, it has its place among the others; where it may have been recovered, it has not.
#[test]
fn a_retry_in_a_later_epoch_has_its_place_where_it_is_known() {
    // What is written before the two attempts with its stamp, the outcome of the first attempt, and what is read in the end.
    let history = |before: (u64, u64), first: Outcome, read: (u64, u64)| {
        let stamp = |(epoch, version)| Stamp { epoch: Epoch::new(epoch), version: Version::new(version).unwrap() };
        let mut story = Story::new();
        story.at(1).invoke_set(c(1), 1, "k", "1").at(2).wrote(c(1), 1, Outcome::Ok, 1);
        story.at(3).invoke_set(c(2), 1, "k", "2").at(4).wrote(c(2), 1, first, 2);
        story.at(5).invoke_set(c(2), 2, "k", "2").at(6).wrote(c(2), 2, Outcome::Ok, 2);
        story.at(7).invoke_get(c(3), 1, LEADER, "k").at(8).found(c(3), 1, 1, "1");
        let mut history = crate::base::history::History::from_records(story.records());
        let stamps = [
            Some(stamp(before)),
            (first == Outcome::Ok).then(|| stamp((2, 2))),
            Some(stamp((2, 2))),
            Some(stamp(read)),
        ];
        for (operation, stamp) in history.operations.iter_mut().zip(stamps) {
            operation.stamp = stamp;
        }
        for attempt in &mut history.operations[1..3] {
            attempt.request = Some(RequestName::new("r").unwrap());
        }
        check(&Recorded::of_clients(&history)).is_violated()
    };
    assert!(history((2, 1), Outcome::Ok, (2, 1)), "the first attempt was answered before the second began");
    assert!(history((2, 1), Outcome::Unknown, (2, 1)), "version 1 of the same epoch came before");
    assert!(!history((1, 3), Outcome::Unknown, (2, 3)), "it may be e1v2, and version 3 the newest that was recovered");
    assert!(
        history((1, 3), Outcome::Ok, (2, 3)),
        "what is asked for first in the second epoch is above what was recovered"
    );
}

/// Two writes of one value have unknown outcomes, and one of them was given the version that a read found before it began: the
/// read found the other.
#[test]
fn a_version_that_was_given_twice_belongs_to_the_write_that_fits() {
    let violated = |has_another: bool| {
        let mut story = Story::new();
        if has_another {
            story.at(1).invoke_set(c(1), 1, "k", "1");
        }
        story.at(2).invoke_set(c(4), 1, "k", "7").wrote(c(4), 1, Outcome::Ok, 1);
        story.at(3).invoke_get(c(2), 1, LEADER, "k").at(4).found(c(2), 1, 2, "1");
        story.at(5).invoke_set(c(3), 1, "k", "1").at(6).wrote(c(3), 1, Outcome::Unknown, 2);
        story.verdict_of_clients(check).is_violated()
    };
    assert_eq!((violated(true), violated(false)), (false, true));
}

/// The leader loses everything, begins again, and is asked once more for a deletion that the first leader made. Its stamp is of a
/// later epoch, of the same version: it may be the same deletion, or one that was made anew.
#[test]
fn a_retry_of_a_later_epoch_may_have_been_made_anew() {
    let absent = |epoch| {
        let request_id = Some(RequestName::new("r").unwrap());
        let (key, target) = (crate::check::testing::key("k"), LEADER);
        let ask = |operation| {
            let (key, request_id) = (key.clone(), request_id.clone());
            Event::InvokeDelete { operation, target, key, request_id, if_version: None }
        };
        let mut story = Story::new();
        story.at(1).event(c(2), ask(1)).at(2).wrote(c(2), 1, Outcome::Ok, 1);
        story.at(3).invoke_set(c(1), 1, "k", "1").at(4).wrote(c(1), 1, Outcome::Ok, 2);
        story.at(5).event(c(2), ask(2));
        story.at(6).invoke_get(c(3), 1, LEADER, "k").at(7).found(c(3), 1, 0, "");
        let stamp = Some(Stamp { epoch: crate::base::Epoch::new(epoch), ..crate::check::testing::stamp(1) });
        let (outcome, confirmed) = (Outcome::Ok, Some((2, 2)));
        story.at(8).event(c(2), Event::Return { operation: 2, outcome, stamp, value: None, confirmed });
        story.verdict_of_clients(check).is_violated()
    };
    assert_eq!((absent(2), absent(1)), (false, true));
}

/// A read that begins later finds the write, whichever attempt was acknowledged.
#[test]
fn a_write_has_returned_when_its_first_attempt_was_acknowledged() {
    let finds_nothing = |first: Outcome, reads_before_retry: bool| {
        let mut story = Story::new();
        let read = |story: &mut Story| {
            story.invoke_get(c(3), 1, LEADER, "k").found(c(3), 1, 0, "");
        };
        let version = u64::from(first == Outcome::Ok);
        story.at(1).invoke_set(c(2), 1, "k", "2").at(2).wrote(c(2), 1, first, version).at(3);
        if reads_before_retry {
            read(&mut story);
        }
        story.at(4).invoke_set(c(2), 2, "k", "2").at(5).wrote(c(2), 2, Outcome::Ok, 1).at(6);
        if !reads_before_retry {
            read(&mut story);
        }
        let mut history = crate::base::history::History::from_records(story.records());
        for attempt in history.operations.iter_mut().filter(|operation| operation.client == c(2)) {
            attempt.request = Some(RequestName::new("r").unwrap());
        }
        check(&Recorded::of_clients(&history)).is_violated()
    };
    assert!(finds_nothing(Outcome::Ok, true));
    assert!(finds_nothing(Outcome::Ok, false));
    assert!(!finds_nothing(Outcome::Unknown, true), "the retry may have taken effect after the read");
    assert!(finds_nothing(Outcome::Unknown, false));
}

/// c1's write is made as v2 and lost with its leader; the next leader makes v1 of c2's write, and v2 of c1's retry, of which c1 hears
/// nothing either. A leader after that has recovered it, and c3 reads it.
#[test]
fn a_retry_that_is_made_anew_is_another_write_though_nobody_heard_of_it() {
    let read = |is_anew: bool| {
        let of_epoch =
            |epoch, version| Stamp { epoch: crate::base::Epoch::new(epoch), ..crate::check::testing::stamp(version) };
        let (key, value) = (crate::check::testing::key("k"), crate::check::testing::value("1"));
        let request_id = Some(RequestName::new("r").unwrap());
        let mut story = Story::new();
        let ask = |story: &mut Story, operation, stamp, is_anew| {
            let (key, value, request_id) = (key.clone(), value.clone(), request_id.clone());
            let invoke = Event::InvokeSet { operation, target: LEADER, key, value, request_id, if_version: None };
            story.event(c(1), invoke.clone());
            let Event::InvokeSet { key, value, request_id, .. } = invoke else { unreachable!("just made") };
            let (write, value) = (operation, Some(value));
            let operation = Some(crate::base::trace::operation_name(c(1), operation));
            story.event(
                LEADER,
                match is_anew {
                    true => Event::Accept { write, key, stamp, value, operation, request_id },
                    false => Event::Retry { write, key, stamp, value, operation, request_id },
                },
            );
        };
        ask(story.at(1), 1, of_epoch(1, 2), true);
        story.at(2).wrote(c(1), 1, Outcome::Unknown, 0).at(4).invoke_set(c(2), 1, "k", "2");
        let (outcome, stamp, confirmed) = (Outcome::Ok, Some(of_epoch(2, 1)), Some((2, 2)));
        story.at(5).event(c(2), Event::Return { operation: 1, outcome, stamp, value: None, confirmed });
        ask(story.at(6), 2, of_epoch(2, 2), is_anew);
        story.at(7).wrote(c(1), 2, Outcome::Unknown, 0).at(9).invoke_get(c(3), 1, LEADER, "k");
        let (stamp, value) = (Some(of_epoch(3, 2)), Some(value.clone()));
        story.at(10).event(c(3), Event::Return { operation: 1, outcome, stamp, value, confirmed: None });
        story
    };
    read(true).holds(check);
    assert!(read(false).verdict(check).is_violated(), "known as e1v2, it comes before what c2 wrote");
}

/// n2 begins anew beside n1, which acknowledges a write afterwards.
#[test]
fn what_one_of_two_leaders_acknowledges_is_lost_while_nobody_knows_which_is_the_later() {
    let read = |is_undecided: bool, n1_ends: bool| {
        let n2 = NodeId::Server(1);
        let mut story = Story::new();
        story.event(f(1).into(), Event::Install { epoch: crate::base::Epoch::FIRST });
        story.at(1).invoke_set(c(1), 1, "k", "1").at(2).restart(n2);
        if is_undecided {
            story.at(3).crash(f(1)).restart(f(1));
        }
        if n1_ends {
            story.at(4).crash(LEADER);
        }
        story.at(5).wrote(c(1), 1, Outcome::Ok, 1);
        story.at(6).invoke_get(c(2), 1, n2, "k").at(7).found(c(2), 1, 0, "");
        story.verdict(check)
    };
    assert!(read(true, false).is_lost());
    assert!(read(false, false).is_violated() && read(true, true).is_violated());
}

/// f1 and f2 store what c1 wrote, and the next leader asks f2 and f3. That is lost if durability calls it so, too.
#[test]
fn what_names_that_lead_elsewhere_hide_from_a_leader_is_lost() {
    let read = |moved: Option<u8>| {
        let mut story = Story::new();
        for id in 1..=3 {
            story.event(f(id).into(), Event::Install { epoch: crate::base::Epoch::FIRST });
        }
        story.at(1).invoke_set(c(1), 1, "k", "1").accept(1, "k", 1, "1").at(2).apply(f(1), "k", 1, "1");
        story.apply(f(2), "k", 1, "1").at(4).complete(1, true, 2).at(5).wrote(c(1), 1, Outcome::Ok, 1);
        if let Some(name) = moved {
            let (kind, nodes) = (Disturbance::Misdirect, vec![f(name).into(), f(3).into()]);
            story.event(NodeId::Network, Event::Fault { kind, nodes, latency: None, what: String::new() });
        }
        story.at(6).crash(LEADER).restart(LEADER);
        let epoch = crate::base::Epoch::new(2);
        story.event(LEADER, Event::Recovered { epoch, from: vec![f(2), f(3)], anew: false });
        story.event(LEADER, Event::Serve { epoch });
        story.at(8).invoke_get(c(2), 1, LEADER, "k").at(9).found(c(2), 1, 0, "");
        story.verdict(check)
    };
    assert!(read(Some(2)).is_lost());
    assert!(read(Some(1)).is_violated(), "its name matters to nobody");
    assert!(read(None).is_violated());
}

/// A local read shows a write that is not acknowledged yet, and a later read of another mode shows nothing: both are right.
#[test]
fn a_local_read_does_not_bind_reads_of_other_modes() {
    let read = |mode| {
        let mut story = Story::new();
        story.at(1).invoke_set(c(1), 1, "k", "1");
        let key = || crate::check::testing::key("k");
        let local = Event::InvokeGet { operation: 1, target: LEADER, key: key(), mode: ReadMode::Local };
        story.at(2).event(c(2), local).found(c(2), 1, 1, "1");
        story.at(3).event(c(2), Event::InvokeGet { operation: 2, target: LEADER, key: key(), mode });
        story.found(c(2), 2, 0, "").at(9).wrote(c(1), 1, Outcome::Ok, 1);
        [story.verdict(check), story.verdict_of_clients(check)].map(|verdict| verdict.is_violated())
    };
    assert_eq!(read(ReadMode::Committed), [false, false]);
    assert_eq!(read(ReadMode::Linearizable), [false, false]);
    assert_eq!(read(ReadMode::Local), [true, true], "what one local read showed, the next must");
}
