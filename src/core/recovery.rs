//! Recovery and catch-up of larger stores, with every question or answer lost that can be.

use std::collections::BTreeSet;
use std::time::Duration;

use super::testing::{F2, cluster, config, follower_in, stores};
use super::*;
use crate::base::{FollowerId, Seed, Version};

/// Writes so many keys; those followers store them that `stored_by` says of the place of the key.
fn write(leader: &mut Leader, followers: &mut [Follower], keys: usize, stored_by: impl Fn(usize, FollowerId) -> bool) {
    for place in 0..keys {
        let (key, value) = (Key::new(&format!("k{place:05}")).unwrap(), Value::from_json(&place.to_string()).unwrap());
        leader.set(Duration::ZERO, None, key, value).unwrap();
        while let Some(output) = leader.poll_output() {
            let message = match output {
                Output::Send(message) => message,
                Output::Ask(call) => {
                    leader.handle_answer(Duration::ZERO, call.to, call.number, Asked::Lost);
                    continue;
                }
                _ => continue,
            };
            let follower = &mut followers[message.to.index()];
            let reply = if stored_by(place, message.to) {
                follower.replicate(leader.id(), message.key(), message.update.entry.clone());
                stores(message.to, message.stamp())
            } else {
                Reply::Lost
            };
            leader.handle_reply(Duration::ZERO, &message, reply);
        }
    }
}

/// What becomes of a question, by how many there were before: it, or the answer to it, is lost.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Answered,
    QuestionLost,
    AnswerLost,
}

/// Lets the leader ask until it serves and all followers store what it does. Returns
/// which snapshots it began.
fn talk(
    leader: &mut Leader,
    followers: &mut [Follower],
    fate: impl Fn(usize) -> Fate,
) -> BTreeSet<(FollowerId, SnapshotId)> {
    let (mut now, mut asked, mut snapshots) = (Duration::ZERO, 0, BTreeSet::new());
    while asked < 1000 {
        let call = loop {
            match leader.poll_output() {
                Some(Output::Ask(call)) => break Some(call),
                Some(_) => {}
                None => break None,
            }
        };
        let Some(call) = call else {
            let is_alike = |follower: &Follower| {
                follower.identity().standing == Standing::Normal && follower.store() == leader.store()
            };
            if leader.serves() && followers.iter().all(is_alike) {
                return snapshots;
            }
            now = leader.wake_at().expect("it has something to do").max(now);
            leader.handle_timeout(now);
            continue;
        };
        if let Question::Push { snapshot, .. } = call.ask.question {
            snapshots.insert((call.to, snapshot));
        }
        let answer = match fate(asked) {
            Fate::QuestionLost => Asked::Lost,
            Fate::AnswerLost => {
                followers[call.to.index()].ask(&call.ask, &mut Vec::new());
                Asked::Lost
            }
            Fate::Answered => Asked::Answered(followers[call.to.index()].ask(&call.ask, &mut Vec::new())),
        };
        leader.handle_answer(now, call.to, call.number, answer);
        asked += 1;
    }
    panic!("it goes on for ever: {:?}", leader.waiting_for())
}

const KEYS: usize = 3000;

/// Nothing is lost; a third of the questions; a third of the answers; or some of both. By chance, for what is lost in turn may be
/// always the same.
const FATES: [fn(usize) -> Fate; 4] = [
    |_| Fate::Answered,
    |n| [Fate::Answered, Fate::Answered, Fate::QuestionLost][drawn(n)],
    |n| [Fate::Answered, Fate::Answered, Fate::AnswerLost][drawn(n)],
    |n| [Fate::Answered, Fate::QuestionLost, Fate::AnswerLost][drawn(n)],
];

fn drawn(n: usize) -> usize {
    Seed::new(7).draw(&[n as u64]).between(0, 2) as usize
}

/// Some keys are on f1 and f2, the others on f2 and f3: no follower has all but f2, and that one is gone.
#[test]
fn a_leader_that_starts_puts_together_what_single_followers_have() {
    for (number, fate) in FATES.into_iter().enumerate() {
        let (mut first, mut followers) = cluster(config(3, 2, 0));
        write(&mut first, &mut followers, KEYS, |place, to| to == FollowerId(1) || (place % 2 == 0) == (to.0 == 0));
        followers[1] = follower_in(F2, 1, Rules::SAFE);
        let mut second = Leader::new(config(3, 2, 1));
        talk(&mut second, &mut followers, fate);
        assert_eq!(second.store().len(), KEYS, "fate {number}");
        let is_restamped =
            |(_, entry): (&Key, &Entry)| entry.stamp.epoch == second.epoch() && entry.stamp.version == Version::FIRST;
        assert!(second.epoch() > first.epoch() && second.store().iter().all(is_restamped));
        assert!(followers.iter().all(|follower| follower.store() == second.store()), "fate {number}");
    }
}

/// A part that was lost, or the answer to it, is sent again: the snapshot is not begun anew.
#[test]
fn a_part_that_is_sent_again_is_counted_once() {
    for (number, fate) in FATES.into_iter().enumerate() {
        let (mut leader, mut followers) = cluster(config(2, 1, 0));
        write(&mut leader, &mut followers, KEYS, |_, _| true);
        followers[1] = follower_in(F2, 1, Rules::SAFE);
        write(&mut leader, &mut followers, 1, |_, to| to == FollowerId(0));
        let snapshots = talk(&mut leader, &mut followers, fate);
        assert_eq!(snapshots.len(), 1, "fate {number}: {snapshots:?}");
    }
}

/// Where followers store the same, one of them is read and all adopt it: the values go over the network once.
#[test]
fn what_followers_store_alike_is_read_once_and_adopted() {
    let (mut first, mut followers) = cluster(config(5, 3, 0));
    write(&mut first, &mut followers, KEYS, |_, _| true);
    let mut second = Leader::new(config(5, 3, 1));
    let mut items = 0;
    let mut now = Duration::ZERO;
    while !(second.serves() && second.status().all(|status| status.current)) {
        while let Some(output) = second.poll_output() {
            let Output::Ask(call) = output else { continue };
            let answer = followers[call.to.index()].ask(&call.ask, &mut Vec::new());
            items += match (&call.ask.question, &answer.said) {
                (Question::Push { entries, .. }, _) | (_, Said::Page { entries, .. }) => entries.len(),
                _ => 0,
            };
            second.handle_answer(now, call.to, call.number, Asked::Answered(answer));
        }
        now += Duration::from_secs(1);
        second.handle_timeout(now);
    }
    assert_eq!(items, KEYS);
    assert!(followers.iter().all(|follower| follower.store() == second.store()));
}
