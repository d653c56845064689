//! What a search can meet only if the state machines or a rule break: judged by hand here.

use std::sync::Arc;

use super::*;
use crate::base::{Value, Version};
use crate::core::{Follower, Incarnation, LeaderId, Message, Rules, Update};
use crate::sim::exhaustive::action::Parcel;
use crate::sim::exhaustive::state::{Ghost, Stage};
use crate::sim::exhaustive::step::Tale;
use crate::sim::exhaustive::{FaultBudgets, Scope, State};
use crate::sim::scenario::Scenario;

const F1: FollowerId = FollowerId(0);

/// Two writes of one client, in the places 0 and 1, and a read of another, in the place 2; a quorum of one of two.
fn scope() -> Scope {
    let text = "name = \"judged\"\ncluster = { followers = 2, write_quorum = 1 }\n\
                [[workload.operation]]\nset = \"x\"\n[[workload.operation]]\nset = \"x\"\n\
                [[workload.operation]]\nclient = 2\nget = \"x\"\n[[fault]]\ndrop = {}\n";
    let scenario = Scenario::from_toml(text).unwrap_or_else(|error| panic!("{error}"));
    Scope::new(scenario, FaultBudgets::default()).expect("a scope")
}

fn stamp(version: u64) -> Stamp {
    Stamp::of_version(Version::new(version).expect("a version"))
}

fn entry(step: &Step<'_>, write: usize, version: u64) -> Entry {
    Entry::new(stamp(version), step.scope.operations[write].value.clone())
}

/// The leader of this life takes a write on.
fn accept(step: &mut Step<'_>, write: usize, version: u64) {
    let record = &mut step.state.ghost.records[write];
    record.accepted = Some((step.state.life, write as u64, stamp(version)));
    record.progress = Progress::Waiting;
    step.judge_accepted(write, stamp(version), None);
}

/// A follower is brought a write, whatever it has.
fn store(step: &mut Step<'_>, write: usize, version: u64) {
    let (scope, life, entry) = (step.scope, step.state.life, entry(step, write, version));
    let mut site = step.state.site(F1).clone();
    let memory = site.memory.as_mut().expect("it is up");
    let before = memory.entry(scope, 0).cloned();
    // It takes anything from anybody, and counts.
    memory.follower = Follower::new(Incarnation::nth(F1, 0), Rules::LAB);
    memory.follower.replicate(LeaderId(0), &scope.keys[0], entry);
    memory.brought.insert((0, life), stamp(version));
    step.state.sites[F1.index()] = Arc::new(site);
    step.judge_applied(F1, 0, before);
}

/// The read in the place 2 begins, and finds this.
fn read(step: &mut Step<'_>, found: Option<&Entry>) {
    step.state.ghost.records[2].floor = step.state.ghost.keys[0].returned;
    step.judge_read_at_leader(2, found);
}

fn complete(step: &mut Step<'_>, write: usize, ok: bool, confirmations: usize) {
    let (_, number, stamp) = step.state.ghost.records[write].accepted.expect("it was accepted");
    step.state.ghost.records[write].progress = Progress::Done;
    step.judge_completed(write, Completion { write: number, stamp, ok, confirmations, required: 1 });
}

fn begin_next_life(step: &mut Step<'_>) {
    step.state.life += 1;
    step.state.ghost.keys[0].last = None;
}

/// What is violated once this has happened.
fn violated(happens: impl FnOnce(&mut Step<'_>)) -> String {
    let scope = scope();
    let mut step = Step::from(&scope, &State::first(&scope), None);
    happens(&mut step);
    step.state.ghost.violated.to_string()
}

#[test]
fn stamps_follow_one_another_and_stand_for_one_write() {
    let accepted = |versions: [u64; 2]| {
        violated(|step| (0..).zip(versions).for_each(|(write, version)| accept(step, write, version)))
    };
    assert_eq!(accepted([1, 2]), "nothing");
    assert_eq!(accepted([1, 3]), "integrity");
    assert_eq!(accepted([2, 3]), "integrity");
    assert_eq!(accepted([1, 1]), "integrity");
    let back = violated(|step| {
        accept(step, 0, 1);
        step.judge_accepted(1, stamp(2), Some(stamp(3)));
    });
    assert_eq!(back, "monotonic-state");
}

#[test]
fn what_is_stored_was_written() {
    let alien = |version: u64| {
        violated(|step| {
            accept(step, 0, 1);
            let value = if version == 1 { entry(step, 0, 1).value } else { Value::from_json("1").ok() };
            step.judge_read_at_follower(2, &Entry::new(stamp(version), value));
        })
    };
    assert_eq!((alien(1), alien(2)), ("nothing".into(), "integrity".into()));
}

#[test]
fn an_answer_says_what_followers_store() {
    let answered = |is_stored: bool, ok: bool, confirmations: usize| {
        violated(|step| {
            accept(step, 0, 1);
            step.state.spent = 1;
            if is_stored {
                store(step, 0, 1);
            }
            complete(step, 0, ok, confirmations);
        })
    };
    assert_eq!(answered(true, true, 1), "nothing");
    assert_eq!(answered(false, false, 0), "nothing");
    assert_eq!(answered(false, false, 1), "acknowledgement", "a confirmation of nobody");
    assert_eq!(answered(true, true, 0), "acknowledgement", "enough store it, and too few are counted");
    assert_eq!(answered(false, true, 1), "durability, acknowledgement");
}

#[test]
fn a_quorum_is_missed_only_where_something_went_wrong() {
    let missed = |spent: u32, window_was_full: bool| {
        violated(|step| {
            accept(step, 0, 1);
            (step.state.spent, step.state.ghost.window_was_full) = (spent, window_was_full);
            complete(step, 0, false, 0);
        })
    };
    assert_eq!([missed(1, false), missed(0, true), missed(0, false)], ["nothing", "nothing", "liveness"]);
}

#[test]
fn an_acknowledged_write_is_replaced_by_a_later_one_only() {
    let replaced = |mourned: bool| {
        violated(|step| {
            accept(step, 0, 1);
            accept(step, 1, 2);
            store(step, 1, 2);
            complete(step, 1, true, 1);
            if mourned {
                step.mourn(F1);
            }
            store(step, 0, 1);
        })
    };
    assert_eq!(replaced(false), "durability, monotonic-state");
    assert_eq!(replaced(true), "monotonic-state", "who crashed had it");
}

#[test]
fn what_is_known_is_not_forgotten_by_the_next_leader() {
    let after_a_crash = |then: fn(&mut Step<'_>)| {
        violated(|step| {
            accept(step, 0, 1);
            store(step, 0, 1);
            complete(step, 0, true, 1);
            begin_next_life(step);
            then(step);
        })
    };
    assert_eq!(after_a_crash(|step| accept(step, 1, 2)), "nothing");
    assert_eq!(after_a_crash(|step| accept(step, 1, 1)), "integrity, durability");
    assert_eq!(after_a_crash(|step| read(step, Some(&entry(step, 0, 1)))), "nothing");
    assert_eq!(after_a_crash(|step| read(step, None)), "linearizability, durability");
    let in_the_end = after_a_crash(|step| {
        step.state.ghost.records[1..].iter_mut().for_each(|record| record.progress = Progress::Done);
        step.judge_rest();
    });
    assert_eq!(in_the_end, "durability, convergence");
}

#[test]
fn the_leader_answers_as_if_there_were_one_copy() {
    let both = |versions: [u64; 2], behind: bool| {
        violated(|step| {
            for (write, version) in (0..).zip(versions) {
                step.state.ghost.records[write].accepted = Some((0, write as u64, stamp(version)));
                step.state.ghost.records[write].behind = behind && write == 1;
                step.take_effect(write);
            }
        })
    };
    assert_eq!(both([1, 2], false), "nothing");
    assert_eq!(both([1, 2], true), "linearizability");
    assert_eq!(both([1, 1], false), "linearizability");
    let older = violated(|step| {
        accept(step, 0, 1);
        accept(step, 1, 2);
        read(step, Some(&entry(step, 1, 2)));
        read(step, Some(&entry(step, 0, 1)));
    });
    assert_eq!(older, "linearizability");
}

#[test]
fn at_rest_everybody_has_an_answer_and_the_same_store() {
    let at_rest = |progress: Progress, is_stored: bool| {
        violated(|step| {
            step.state.ghost.records.iter_mut().for_each(|record| record.progress = progress);
            if is_stored {
                step.state.ghost.records[0].accepted = Some((0, 0, stamp(1)));
                store(step, 0, 1);
            }
            step.judge_rest();
        })
    };
    assert_eq!(at_rest(Progress::Done, false), "nothing");
    assert_eq!(at_rest(Progress::Waiting, false), "liveness");
    assert_eq!(at_rest(Progress::Done, true), "convergence");
}

#[test]
fn of_each_key_one_resend_to_a_follower_is_under_way() {
    let resent = |times: u32| {
        violated(|step| {
            accept(step, 0, 1);
            let update = Update { write: 0, operation: 0, key: step.scope.keys[0].clone(), entry: entry(step, 0, 1) };
            let message = Message { to: F1, attempt: 2, update: Arc::new(update) };
            let flight = |attempt| Flight {
                parcel: Parcel { to: F1, operation: 0, attempt, copy: 0 },
                message: message.clone(),
                stage: Stage::OnTheWay,
                first: false,
                is_open: true,
                late: false,
                frail: false,
            };
            step.state.site_mut(F1).flights = (2..2 + times).map(flight).collect();
            step.judge_bounds(F1, false);
        })
    };
    assert_eq!((resent(1), resent(2)), ("nothing".into(), "bounds".into()));
}

/// The leader's next life begins when both followers have lost their memory, or only the one that did not store the write has.
/// Returns what is lost then, what is violated, and the evidence.
fn in_the_next_life(remembers: bool, then: impl FnOnce(&mut Step<'_>)) -> (String, String, String) {
    let scope = scope();
    let mut step = Step::from(&scope, &State::first(&scope), Some(Tale::default()));
    accept(&mut step, 0, 1);
    store(&mut step, 0, 1);
    complete(&mut step, 0, true, 1);
    for id in FollowerId::first(2).filter(|id| !remembers || *id == F1) {
        step.mourn(id);
        let mut site = step.state.site(id).clone();
        site.lost = site.memory.replace(Memory::new(&scope, id, 1));
        step.state.sites[id.index()] = Arc::new(site);
    }
    begin_next_life(&mut step);
    step.state.leader = Some(Arc::new(scope.leader(1)));
    then(&mut step);
    let Ghost { violated, lost, .. } = &step.state.ghost;
    let evidence = step.tale.iter().flat_map(|tale| &tale.evidence).map(|(_, what)| what.as_str());
    (lost.to_string(), violated.to_string(), evidence.collect::<Vec<_>>().join("\n"))
}

#[test]
fn what_is_gone_for_a_documented_cause_is_lost() {
    let reads = |step: &mut Step<'_>| {
        step.judge_recovered(true);
        read(step, None);
    };
    let (lost, violated, told) = in_the_next_life(false, reads);
    assert_eq!((&*lost, &*violated), ("linearizability, durability", "nothing"), "{told}");
    let cause = "does not find it: no follower had its memory, and the leader bootstrapped the cluster, empty";
    assert!(told.contains(cause), "{told}");
    assert!(told.contains("found nothing, though v1 had returned before a leader bootstrapped"), "{told}");
    let (lost, violated, told) = in_the_next_life(true, reads);
    assert_eq!((&*lost, &*violated), ("linearizability", "durability"), "{told}");
    let (lost, violated, told) = in_the_next_life(false, |step| {
        step.judge_recovered(true);
        accept(step, 1, 1);
    });
    assert!(lost == "durability" && !violated.contains("durability"), "{violated}: {told}");
}

/// A leader that has served in this life must wait, so its loss is not documented.
#[test]
fn a_leader_that_has_served_may_not_bootstrap() {
    let (lost, violated, told) = in_the_next_life(false, |step| {
        step.state.ghost.records[1].accepted = Some((1, 1, stamp(2)));
        step.judge_recovered(true);
        read(step, None);
    });
    assert_eq!((&*lost, &*violated), ("linearizability", "durability"), "{told}");
}

#[test]
fn what_no_node_stores_while_the_leader_waits_is_lost() {
    let (lost, violated, told) = in_the_next_life(false, |step| step.judge_rest());
    assert_eq!((&*lost, &*violated), ("durability", "nothing"), "{told}");
    let cause = "no node stores it in the end: only 0 of the 2 followers that a recovery takes had their memory, and the leader";
    assert!(told.contains(cause), "{told}");
}
