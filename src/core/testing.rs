//! What the tests of this layer share.

use std::collections::VecDeque;
use std::time::Duration;

use super::*;
use crate::base::{Epoch, FollowerId, FollowerSet, Seed, Stamp};

/// A leader that serves, and its followers.
pub(super) fn cluster(config: LeaderConfig) -> (Leader, Vec<Follower>) {
    let rules = config.rules;
    let mut followers: Vec<Follower> = config.followers.iter().map(|id| follower_in(id, 0, rules)).collect();
    let mut leader = Leader::new(config);
    assemble(&mut leader, |id, ask, events| followers[id.index()].ask(ask, events), |_, _| {});
    assert!(leader.serves());
    (leader, followers)
}

/// A follower that begins this of its lives.
pub(super) fn follower_in(id: FollowerId, life: u64, rules: Rules) -> Follower {
    Follower::new(Incarnation::nth(id, life), rules)
}

/// How a follower that is up to date, in its first life, says what it stores.
pub(super) fn stores(by: FollowerId, stamp: Stamp) -> Reply {
    Reply::Stored(Stored { stamp, incarnation: Incarnation::nth(by, 0), standing: Standing::Normal })
}

/// When the leader does something next besides asking followers whether they are there.
pub(super) fn next_timer(leader: &Leader) -> Option<Duration> {
    leader.timers().filter(|(timer, _)| !matches!(timer, Timer::Ask(_))).map(|(_, at)| at).min()
}

/// The configuration of this life of a leader.
pub(super) fn config(followers: usize, quorum: usize, id: u64) -> LeaderConfig {
    LeaderConfig {
        id: LeaderId(id),
        first_epoch: Epoch::new(id + 1),
        configuration: Configuration::of(followers, quorum),
        followers: FollowerSet::first(followers),
        repl_timeout: Duration::from_secs(5),
        limits: Limits::default(),
        seed: Seed::new(1),
        rules: Rules::SAFE,
    }
}

pub(super) const F1: FollowerId = FollowerId(0);
pub(super) const F2: FollowerId = FollowerId(1);
pub(super) const F3: FollowerId = FollowerId(2);

/// Writes; these followers store it, and the message to any other is lost. Whether it is acknowledged.
pub(super) fn set(leader: &mut Leader, followers: &mut [Follower], key: &str, value: &str, at: &[FollowerId]) -> bool {
    leader.set(Duration::ZERO, None, Key::new(key).unwrap(), Value::from_json(value).unwrap()).unwrap();
    let mut ok = false;
    while let Some(output) = leader.poll_output() {
        match output {
            Output::Send(message) if at.contains(&message.to) => {
                let follower = &mut followers[message.to.index()];
                assert_eq!(follower.replicate(leader.id(), message.key(), message.update.entry.clone()), Applied::Yes);
                let incarnation = follower.identity().incarnation;
                let stamp = message.stamp();
                let stored = Reply::Stored(Stored { stamp, incarnation, standing: Standing::Normal });
                leader.handle_reply(Duration::ZERO, &message, stored);
            }
            Output::Send(message) => leader.handle_reply(Duration::ZERO, &message, Reply::Lost),
            Output::Complete(completion) => ok = completion.ok,
            _ => {}
        }
    }
    ok
}

/// What the leader asks now.
pub(super) fn calls(leader: &mut Leader) -> Vec<Call> {
    let outputs = std::iter::from_fn(|| leader.poll_output());
    outputs.filter_map(|output| if let Output::Ask(call) = output { Some(*call) } else { None }).collect()
}

/// A follower answers a question.
pub(super) fn answer(leader: &mut Leader, followers: &mut [Follower], now: Duration, call: &Call) {
    let answer = followers[call.to.index()].ask(&call.ask, &mut Vec::new());
    leader.handle_answer(now, call.to, call.number, Asked::Answered(answer));
}

/// The leader and those followers talk for so long; the others are down. Questions are answered after a millisecond.
pub(super) fn talk(
    leader: &mut Leader,
    followers: &mut [Follower],
    up: &[FollowerId],
    from: Duration,
    until: Duration,
) {
    let mut now = from;
    let mut under_way = VecDeque::new();
    while now < until {
        now += Duration::from_millis(1);
        leader.handle_timeout(now);
        for call in under_way.drain(..).collect::<Vec<Call>>() {
            if up.contains(&call.to) {
                answer(leader, followers, now, &call);
            } else {
                leader.handle_answer(now, call.to, call.number, Asked::Lost);
            }
        }
        under_way.extend(calls(leader));
    }
}
