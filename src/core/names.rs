//! Names that lead to other followers than they should.

use std::time::Duration;

use super::testing::{F1, F2, F3, calls, cluster, config, set};
use super::*;
use crate::base::FollowerId;

const SECOND: Duration = Duration::from_secs(1);

/// The leader and its followers talk for so long. Whoever is asked, the follower answers to which the name leads.
fn talk(leader: &mut Leader, followers: &mut [Follower], leads_to: [FollowerId; 3], from: Duration, until: Duration) {
    let mut now = from;
    while now < until {
        now += Duration::from_millis(1);
        leader.handle_timeout(now);
        for call in calls(leader) {
            let answer = followers[leads_to[call.to.index()].index()].ask(&call.ask, &mut Vec::new());
            leader.handle_answer(now, call.to, call.number, Asked::Answered(answer));
        }
    }
}

/// Writes; the follower to which each name leads stores it and answers. What is to be done after that.
fn write(leader: &mut Leader, followers: &mut [Follower], leads_to: [FollowerId; 3], now: Duration) -> Vec<Output> {
    leader.set(now, None, Key::new("y").unwrap(), Value::from_json("2").unwrap()).unwrap();
    let mut outputs = Vec::new();
    while let Some(output) = leader.poll_output() {
        let Output::Send(message) = output else {
            outputs.push(output);
            continue;
        };
        let host = &mut followers[leads_to[message.to.index()].index()];
        let stamp = match host.replicate(leader.id(), message.key(), message.update.entry.clone()) {
            Applied::Yes => message.stamp(),
            Applied::Stale { stored } => stored,
            Applied::Fenced { .. } => panic!("all have promised the epoch"),
        };
        let Identity { incarnation, standing } = host.identity();
        leader.handle_reply(now, &message, Reply::Stored(Stored { stamp, incarnation, standing }));
    }
    outputs
}

fn confirmations(outputs: &[Output]) -> Option<usize> {
    outputs.iter().find_map(|output| match output {
        Output::Complete(completion) => Some(completion.confirmations),
        _ => None,
    })
}

fn count(leader: &Leader) -> usize {
    leader.status().filter(|status| status.current).count()
}

#[test]
fn a_leader_that_starts_counts_a_node_with_two_names_once() {
    let (_, mut followers) = cluster(config(3, 2, 0));
    let mut leader = Leader::new(config(3, 2, 1));
    talk(&mut leader, &mut followers, [F1, F1, F1], Duration::ZERO, 10 * SECOND);
    assert!(!leader.serves(), "one node is no majority of three");
    talk(&mut leader, &mut followers, [F1, F1, F3], 10 * SECOND, 60 * SECOND);
    assert!(leader.serves());
    assert_eq!(count(&leader), 2);
}

#[test]
fn a_write_is_not_confirmed_twice_by_a_node_with_two_names() {
    let (mut leader, mut followers) = cluster(config(3, 3, 0));
    let outputs = write(&mut leader, &mut followers, [F1, F1, F3], SECOND);
    assert_eq!(confirmations(&outputs), None, "two nodes have it, and three must");
    assert!(outputs.contains(&Output::Reconnect(F2)), "{outputs:?}");
}

#[test]
fn whoever_answers_in_place_of_another_is_told_of_once_and_looked_up_anew() {
    let (mut leader, mut followers) = cluster(config(3, 2, 0));
    while leader.poll_output().is_some() {}
    let mut told = Vec::new();
    let mut now = Duration::ZERO;
    let mut looked_up = [0; 3];
    while now < 10 * SECOND {
        now += Duration::from_millis(1);
        leader.handle_timeout(now);
        while let Some(output) = leader.poll_output() {
            match output {
                Output::Ask(call) => {
                    let host = [F1, F1, F3][call.to.index()];
                    let answer = followers[host.index()].ask(&call.ask, &mut Vec::new());
                    leader.handle_answer(now, call.to, call.number, Asked::Answered(answer));
                }
                Output::Reconnect(id) => looked_up[id.index()] += 1,
                Output::Tell(news) => told.push(news),
                _ => {}
            }
        }
    }
    assert_eq!(told, [News::Astray { follower: F2, by: F1, lost: Some(Incarnation::nth(F2, 0)) }]);
    assert!(looked_up[0] > 0 && looked_up[0] == looked_up[1] && looked_up[2] == 0, "{looked_up:?}");
    assert_eq!(count(&leader), 2, "f1 counts under its own name");
}

/// Both are found where the other is looked for, once and for all: as good as if they had changed places.
#[test]
fn names_that_have_changed_places_are_got_used_to() {
    let (mut leader, mut followers) = cluster(config(3, 2, 0));
    assert!(set(&mut leader, &mut followers, "x", "1", &[F1, F2, F3]));
    let epoch = leader.epoch();
    talk(&mut leader, &mut followers, [F2, F1, F3], SECOND, 60 * SECOND);
    assert_eq!(count(&leader), 3);
    assert_eq!(leader.epoch(), epoch, "nobody has taken that for another leader");
    let outputs = write(&mut leader, &mut followers, [F2, F1, F3], 60 * SECOND);
    assert_eq!(confirmations(&outputs), Some(2));
}

/// The follower that is not found starts anew meanwhile, and is then found under both names.
#[test]
fn a_node_that_is_first_found_under_a_wrong_name_comes_to_its_own() {
    let (mut leader, mut followers) = cluster(config(3, 2, 0));
    assert!(set(&mut leader, &mut followers, "x", "1", &[F1, F2, F3]));
    followers[F2.index()] = super::testing::follower_in(F2, 1, Rules::SAFE);
    let epoch = leader.epoch();
    talk(&mut leader, &mut followers, [F2, F2, F3], SECOND, 10 * SECOND);
    assert_eq!(count(&leader), 1, "f3 alone cannot say that no other leader has begun");
    talk(&mut leader, &mut followers, [F1, F2, F3], 10 * SECOND, 60 * SECOND);
    assert_eq!(count(&leader), 3);
    assert_eq!(leader.epoch(), epoch, "a life that was known before is no other leader's");
    for follower in &followers {
        assert!(follower.get(&Key::new("x").unwrap()).is_some());
    }
}

/// A node that has moved to another name answers under that one only: the old one leads nowhere.
#[test]
fn a_node_may_move_to_a_name_that_is_free() {
    let (mut leader, mut followers) = cluster(config(3, 2, 0));
    assert!(set(&mut leader, &mut followers, "x", "1", &[F1, F2, F3]));
    let epoch = leader.epoch();
    let mut now = SECOND;
    while now < 60 * SECOND {
        now += Duration::from_millis(1);
        leader.handle_timeout(now);
        for call in calls(&mut leader) {
            let host = [None, Some(F1), Some(F3)][call.to.index()];
            let asked = host
                .map_or(Asked::Lost, |host| Asked::Answered(followers[host.index()].ask(&call.ask, &mut Vec::new())));
            leader.handle_answer(now, call.to, call.number, asked);
        }
    }
    let current: Vec<bool> = leader.status().map(|status| status.current).collect();
    assert_eq!((current, leader.epoch()), (vec![false, true, true], epoch));
}
