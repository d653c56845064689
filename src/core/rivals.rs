//! Two leaders at a time, and leaders that have been deposed.

use std::time::Duration;

use super::testing::{F1, F2, F3, answer, calls, cluster, config, follower_in, set, talk};
use super::*;
use crate::base::Epoch;

/// A zombie counts the affirmation of a follower that forgot its promise to another leader.
#[test]
fn a_zombie_does_not_read_by_a_forgetful_follower() {
    let (mut old, mut followers) = cluster(config(3, 2, 0));
    while old.poll_output().is_some() {}
    assert!(set(&mut old, &mut followers, "x", "1", &[F1, F2, F3]));
    let mut new = Leader::new(config(3, 2, 1));
    talk(&mut new, &mut followers, &[F1, F2], Duration::ZERO, Duration::from_secs(1));
    assert!(new.serves());
    assert!(set(&mut new, &mut followers, "x", "2", &[F1, F2]), "acknowledged");
    // f1 restarts; the zombie reaches f1 and f3 only.
    followers[0] = follower_in(F1, 9, Rules::SAFE);
    let now = Duration::from_secs(10);
    talk(&mut old, &mut followers, &[F1, F3], now, now + Duration::from_secs(5));
    let now = now + Duration::from_secs(6);
    let read = old.begin_read(now).unwrap();
    let mut readable = None;
    for _ in 0..20 {
        while let Some(output) = old.poll_output() {
            match output {
                Output::Ask(call) if call.to != F2 => answer(&mut old, &mut followers, now, &call),
                Output::Read(id, how) if id == read => readable = Some(how),
                _ => {}
            }
        }
    }
    let key = Key::new("x").unwrap();
    assert_ne!(
        readable,
        Some(Readable::Yes),
        "the zombie shows {:?}, the leader has acknowledged {:?}",
        old.committed(&key).unwrap().value,
        new.committed(&key).unwrap().value
    );
}

/// Two leaders that both live.
#[test]
fn of_two_leaders_one_comes_to_serve() {
    let (_, mut followers) = cluster(config(3, 2, 0));
    let mut leaders = [Leader::new(config(3, 2, 1)), Leader::new(config(3, 2, 2))];
    let mut under_way: [Vec<Call>; 2] = [calls(&mut leaders[0]), calls(&mut leaders[1])];
    let mut served = [0, 0];
    for ms in 1..10_000 {
        let now = Duration::from_millis(ms);
        for (n, leader) in leaders.iter_mut().enumerate() {
            leader.handle_timeout(now);
            for call in std::mem::take(&mut under_way[n]) {
                answer(leader, &mut followers, now, &call);
            }
            under_way[n] = calls(leader);
            served[n] += u32::from(leader.serves());
        }
    }
    assert!(served[0] + served[1] > 0, "epochs {:?} and {:?}", leaders[0].epoch(), leaders[1].epoch());
}

/// Anybody can have a follower promise the last epoch.
#[test]
fn the_last_epoch_is_not_the_end_of_a_leader() {
    let (mut leader, mut followers) = cluster(config(1, 1, 0));
    let fence = Ask { epoch: Epoch::new(u64::MAX), leader: LeaderId(7), question: Question::Fence };
    followers[0].ask(&fence, &mut Vec::new());
    leader.set(Duration::ZERO, None, Key::new("x").unwrap(), Value::from_json("1").unwrap()).unwrap();
    while let Some(output) = leader.poll_output() {
        if let Output::Send(message) = output {
            leader.handle_reply(Duration::ZERO, &message, Reply::Fenced(Epoch::new(u64::MAX)));
            break;
        }
    }
}

/// What an operator accepted before another leader served is no acceptance of the loss of what that one acknowledged.
#[test]
fn an_acceptance_does_not_outlive_the_epoch_that_it_was_given_in() {
    let (mut first, mut followers) = cluster(config(3, 2, 0));
    assert!(set(&mut first, &mut followers, "x", "1", &[F1, F2, F3]));
    // It reaches nobody; the operator accepts, and nothing comes of it.
    let mut waiting = Leader::new(config(3, 2, 1));
    let fences = calls(&mut waiting);
    for call in &fences {
        waiting.handle_answer(Duration::ZERO, call.to, call.number, Asked::Lost);
    }
    let Some(Waiting::Survivors { normal: 0, .. }) = waiting.waiting_for() else { panic!("nobody has answered") };
    assert!(waiting.accept_loss(Duration::ZERO));
    let said = waiting.waiting_for().map(|waiting| waiting.to_string()).unwrap_or_default();
    assert!(said.starts_with("recovering: the loss is accepted; 0 of the 2 followers"), "{said}");
    // Another leader serves meanwhile.
    let mut other = Leader::new(config(3, 2, 4));
    talk(&mut other, &mut followers, &[F2, F3], Duration::ZERO, Duration::from_secs(1));
    assert!(set(&mut other, &mut followers, "x", "2", &[F2, F3]), "acknowledged");
    // One follower restarts: within what W=2 of 3 allows for. f3, which remembers, is away for a moment.
    followers[1] = follower_in(F2, 9, Rules::SAFE);
    let mut now = Duration::from_secs(10);
    talk(&mut waiting, &mut followers, &[F1, F2], now, now + Duration::from_secs(10));
    now += Duration::from_secs(10);
    talk(&mut waiting, &mut followers, &[F1, F2, F3], now, now + Duration::from_secs(10));
    let value =
        waiting.store().get(&Key::new("x").unwrap()).map(|entry| entry.value.as_ref().unwrap().as_json().to_owned());
    assert!(!waiting.serves() || value.as_deref() == Some("2"), "epoch {:?} shows {value:?}", waiting.epoch());
}

/// A leader that has stepped down takes what nobody acknowledged for committed.
#[test]
fn who_has_stepped_down_shows_nothing_as_committed_that_is_not() {
    let (mut leader, mut followers) = cluster(config(3, 2, 0));
    while leader.poll_output().is_some() {}
    let key = Key::new("x").unwrap();
    assert!(set(&mut leader, &mut followers, "x", "1", &[F1, F2, F3]));
    assert!(!set(&mut leader, &mut followers, "x", "2", &[]));
    assert_eq!(leader.committed(&key).unwrap().value.as_ref().unwrap().as_json(), "1");
    leader.set(Duration::ZERO, None, Key::new("y").unwrap(), Value::from_json("1").unwrap()).unwrap();
    let sent = std::iter::from_fn(|| leader.poll_output());
    let message =
        sent.filter_map(|it| if let Output::Send(message) = it { Some(message) } else { None }).next().unwrap();
    leader.handle_reply(Duration::ZERO, &message, Reply::Fenced(Epoch::new(9)));
    assert!(!leader.serves());
    assert_ne!(leader.committed(&key).map(|entry| entry.value.as_ref().unwrap().as_json()), Some("2"));
}

/// When all followers have forgotten, either of two leaders may give them back what it has. From then on the other one knows of a
/// memory that it did not give.
#[test]
fn what_is_written_after_all_have_forgotten_outlives_the_other_leader() {
    let (mut first, mut followers) = cluster(config(1, 1, 0));
    let seconds = |from, to| (Duration::from_secs(from), Duration::from_secs(to));
    let hears = |leader: &mut Leader, followers: &mut [Follower], (from, to)| talk(leader, followers, &[F1], from, to);
    let mut second = Leader::new(config(1, 1, 1));
    hears(&mut second, &mut followers, seconds(0, 1));
    assert!(second.serves());
    hears(&mut first, &mut followers, seconds(1, 5));
    assert!(first.serves() && first.epoch() > second.epoch(), "it was deposed, and is the later one now");
    followers[0] = follower_in(F1, 9, Rules::SAFE);
    // The second has not heard of that, and the follower has forgotten it.
    hears(&mut second, &mut followers, seconds(5, 8));
    while second.poll_output().is_some() {}
    assert!(set(&mut second, &mut followers, "x", "1", &[F1]), "acknowledged");
    hears(&mut first, &mut followers, seconds(8, 20));
    assert!(first.serves());
    assert!(first.store().get(&Key::new("x").unwrap()).is_some(), "in epoch {:?}", first.epoch());
}
