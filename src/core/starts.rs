//! Starts of a leader during which something goes wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use super::digest::bucket;
use super::testing::{F1, F2, F3, answer, calls, cluster, config, follower_in, set, stores, talk};
use super::*;
use crate::base::{Epoch, FollowerId};

/// An answer to a pull of a recovery that was begun anew is taken for the first page of the new one.
#[test]
fn a_late_page_skips_those_before_it() {
    const KEYS: usize = 3000;
    let (mut first, mut followers) = cluster(config(3, 2, 0));
    for place in 0..KEYS {
        assert!(set(&mut first, &mut followers, &format!("k{place:05}"), "1", &[F1, F2, F3]));
    }
    let mut second = Leader::new(config(3, 2, 1));
    let fences = calls(&mut second);
    let now = Duration::ZERO;
    for to in [F1, F3, F2] {
        answer(&mut second, &mut followers, now, fences.iter().find(|call| call.to == to).unwrap());
    }
    // f1 is pulled from.
    let mut pull = calls(&mut second);
    assert_eq!(pull.len(), 1, "{pull:?}");
    let source = pull[0].to;
    answer(&mut second, &mut followers, now, &pull.remove(0));
    // The second page is under way when another one, not the source, turns out to have restarted.
    let second_page = calls(&mut second).into_iter().find(|call| call.to == source).unwrap();
    assert_eq!(source, F1);
    followers[F3.index()] = follower_in(F3, 9, Rules::SAFE);
    let later = Duration::from_secs(2);
    second.handle_timeout(later);
    let heartbeat = calls(&mut second);
    for call in &heartbeat {
        answer(&mut second, &mut followers, later, call);
    }
    answer(&mut second, &mut followers, later, &second_page);
    talk(&mut second, &mut followers, &[F1, F2, F3], later, Duration::from_secs(10));
    assert!(second.serves(), "{:?}", second.waiting_for());
    assert_eq!(
        second.store().len(),
        KEYS,
        "acknowledged writes are lost; followers have {:?}",
        followers.iter().map(|f| f.store().len()).collect::<Vec<_>>()
    );
}

/// The source of the pull goes away for good; the other two would do.
#[test]
fn a_source_that_goes_away_does_not_stop_a_start() {
    let (mut first, mut followers) = cluster(config(3, 2, 0));
    assert!(set(&mut first, &mut followers, "x", "1", &[F1, F2, F3]));
    let mut second = Leader::new(config(3, 2, 1));
    for call in calls(&mut second) {
        answer(&mut second, &mut followers, Duration::ZERO, &call);
    }
    // All have promised; f1, which is pulled from, is down from now on.
    talk(&mut second, &mut followers, &[F2, F3], Duration::ZERO, Duration::from_secs(120));
    assert!(second.serves(), "{:?}", second.waiting_for());
}

/// Each follower stores something else, so two must be read. The one that promised first is silent from then on.
#[test]
fn a_silent_source_is_passed_over_for_one_that_has_not_been_read() {
    let (mut first, mut followers) = cluster(config(3, 2, 0));
    assert!(set(&mut first, &mut followers, "a", "1", &[F1, F2]));
    assert!(set(&mut first, &mut followers, "b", "1", &[F2, F3]));
    let mut second = Leader::new(config(3, 2, 1));
    let fences = calls(&mut second);
    for to in [F2, F1, F3] {
        answer(&mut second, &mut followers, Duration::ZERO, fences.iter().find(|call| call.to == to).unwrap());
    }
    talk(&mut second, &mut followers, &[F1, F3], Duration::ZERO, Duration::from_secs(60));
    assert!(second.serves(), "{:?}", second.waiting_for());
    assert_eq!(second.store().len(), 2);
}

/// f1 is a program that never stored anything and knows no epochs. It is no reason to wait, and is told of once.
#[test]
fn an_empty_unversioned_follower_does_not_stop_a_first_start() {
    let mut followers = vec![follower_in(F1, 0, Rules::SAFE), follower_in(F2, 0, Rules::SAFE)];
    let mut leader = Leader::new(config(2, 1, 0));
    let mut told = Vec::new();
    for seconds in 0..30 {
        let now = Duration::from_secs(seconds);
        leader.handle_timeout(now);
        while let Some(output) = leader.poll_output() {
            match output {
                Output::Ask(call) if call.to == F1 => {
                    leader.handle_answer(now, F1, call.number, Asked::Legacy { is_empty: true });
                }
                Output::Ask(call) => answer(&mut leader, &mut followers, now, &call),
                Output::Tell(news @ News::Legacy(_)) => told.push(news),
                _ => {}
            }
        }
    }
    assert!(leader.serves(), "{:?}", leader.waiting_for());
    assert_eq!(told, [News::Legacy(F1)]);
}

/// f1 has promised and what it stores has been read. Then it restarts, so that its promise holds no longer.
#[test]
fn a_promise_of_a_follower_that_restarted_does_not_count() {
    let (mut first, mut followers) = cluster(config(3, 2, 0));
    assert!(set(&mut first, &mut followers, "x", "1", &[F1, F2, F3]));
    let mut second = Leader::new(config(3, 2, 1));
    let fences = calls(&mut second);
    answer(&mut second, &mut followers, Duration::ZERO, &fences[0]);
    answer(&mut second, &mut followers, Duration::ZERO, &fences[1]);
    second.handle_answer(Duration::ZERO, F3, fences[2].number, Asked::Lost);
    let pulls = calls(&mut second);
    assert!(matches!(&pulls[..], [Call { to: F1, ask: Ask { question: Question::Pull { .. }, .. }, .. }]), "{pulls:?}");
    answer(&mut second, &mut followers, Duration::ZERO, &pulls[0]);
    followers[0] = follower_in(F1, 1, Rules::SAFE);
    talk(&mut second, &mut followers, &[F1, F2], Duration::ZERO, Duration::from_secs(10));
    let waits_for = second.waiting_for();
    assert!(matches!(waits_for, Some(Waiting::Survivors { normal: 1, needed: 2, .. })), "{waits_for:?}");
    talk(&mut second, &mut followers, &[F1, F2, F3], Duration::from_secs(10), Duration::from_secs(60));
    assert!(second.serves());
}

/// One that promised goes away before it confirms; a third one is there.
#[test]
fn a_confirmer_that_goes_away_does_not_stop_a_start() {
    let (mut first, mut followers) = cluster(config(3, 2, 0));
    assert!(set(&mut first, &mut followers, "x", "1", &[F1, F2, F3]));
    let mut second = Leader::new(config(3, 2, 1));
    let fences = calls(&mut second);
    answer(&mut second, &mut followers, Duration::ZERO, &fences[0]);
    answer(&mut second, &mut followers, Duration::ZERO, &fences[1]);
    // The fence to f3 was lost, that of f2 is answered, and f2 goes away.
    second.handle_answer(Duration::ZERO, F3, fences[2].number, Asked::Lost);
    talk(&mut second, &mut followers, &[F1, F3], Duration::ZERO, Duration::from_secs(120));
    assert!(second.serves(), "{:?}", second.waiting_for());
}

/// A configuration that only a late follower knows asks for more than those that were read from.
#[test]
fn a_configuration_learnt_late_does_not_stop_a_start() {
    let (mut first, mut followers) = cluster(config(3, 2, 0));
    assert!(set(&mut first, &mut followers, "x", "1", &[F1, F2, F3]));
    // A leader with W=1 got no further than f3.
    let mut failed = Leader::new(config(3, 1, 1));
    let fence = calls(&mut failed).into_iter().find(|call| call.to == F3).unwrap();
    answer(&mut failed, &mut followers, Duration::ZERO, &fence);
    let mut second = Leader::new(config(3, 2, 5));
    let fences = calls(&mut second);
    for to in [F1, F2, F3] {
        answer(&mut second, &mut followers, Duration::ZERO, fences.iter().find(|call| call.to == to).unwrap());
    }
    talk(&mut second, &mut followers, &[F1, F2, F3], Duration::ZERO, Duration::from_secs(120));
    assert!(second.serves(), "{:?}", second.waiting_for());
}

/// A healthy quorum, and a follower that restarts all the time.
#[test]
fn a_follower_that_restarts_all_the_time_does_not_stop_a_start() {
    let (mut first, mut followers) = cluster(config(3, 2, 0));
    for place in 0..30_000 {
        set(&mut first, &mut followers, &format!("k{place:05}"), "1", &[F1, F2, F3]);
    }
    let mut second = Leader::new(config(3, 2, 1));
    let mut under_way = Vec::new();
    for ms in 1..2_000 {
        let now = Duration::from_millis(50 * ms);
        second.handle_timeout(now);
        if ms % 10 == 0 {
            followers[2] = follower_in(F3, ms, Rules::SAFE);
        }
        for call in std::mem::take(&mut under_way) {
            answer(&mut second, &mut followers, now, &call);
        }
        under_way = calls(&mut second);
        if second.serves() {
            return assert_eq!(second.store().len(), 30_000);
        }
    }
    panic!("{:?}", second.waiting_for());
}

/// One server that answers 404 for a while (a proxy, another program on the port) has the others' emptiness taken for a first start.
#[test]
fn a_404_does_not_empty_a_cluster() {
    let (mut first, mut followers) = cluster(config(3, 2, 0));
    assert!(set(&mut first, &mut followers, "x", "1", &[F1, F2]), "acknowledged");
    followers[1] = follower_in(F2, 9, Rules::SAFE);
    followers[2] = follower_in(F3, 9, Rules::SAFE);
    let mut second = Leader::new(config(3, 2, 1));
    let fences = calls(&mut second);
    second.handle_answer(Duration::ZERO, F1, fences[0].number, Asked::Legacy { is_empty: false });
    answer(&mut second, &mut followers, Duration::ZERO, &fences[1]);
    answer(&mut second, &mut followers, Duration::ZERO, &fences[2]);
    talk(&mut second, &mut followers, &[F1, F2, F3], Duration::ZERO, Duration::from_secs(60));
    assert!(
        !second.serves() || followers[0].store().len() == 1,
        "f1 remembered x, nobody accepted a loss: {:?}",
        followers[0].store()
    );
}

/// A part whose answer was lost is sent again with what has been written since; the whole snapshot begins anew.
#[test]
fn a_write_between_two_sendings_of_a_part_does_not_begin_the_snapshot_anew() {
    let (mut leader, mut followers) = cluster(config(2, 1, 0));
    while leader.poll_output().is_some() {}
    for place in 0..3000 {
        set(&mut leader, &mut followers, &format!("k{place:05}"), "1", &[F1, F2]);
    }
    followers[1] = follower_in(F2, 1, Rules::SAFE);
    let mut now = Duration::from_secs(1);
    let mut snapshots = BTreeSet::new();
    let mut lost = false;
    for _ in 0..500 {
        now += Duration::from_millis(20);
        leader.handle_timeout(now);
        for call in calls(&mut leader) {
            if let Question::Push { snapshot, .. } = call.ask.question {
                snapshots.insert(snapshot);
                if !lost {
                    lost = true;
                    followers[1].ask(&call.ask, &mut Vec::new());
                    leader.handle_answer(now, call.to, call.number, Asked::Lost);
                    set(&mut leader, &mut followers, "k00000", "2", &[F1]);
                    continue;
                }
            }
            answer(&mut leader, &mut followers, now, &call);
        }
    }
    assert_eq!(snapshots.len(), 1, "{snapshots:?}");
    let _ = stores;
}

/// Nothing has crashed but the leader. A proxy answered 404 for all followers while it started.
#[test]
fn that_all_answer_404_does_not_empty_a_healthy_cluster() {
    let (mut first, mut followers) = cluster(config(3, 2, 0));
    assert!(set(&mut first, &mut followers, "x", "1", &[F1, F2, F3]), "acknowledged");
    let mut second = Leader::new(config(3, 2, 1));
    for call in calls(&mut second) {
        second.handle_answer(Duration::ZERO, call.to, call.number, Asked::Legacy { is_empty: false });
    }
    talk(&mut second, &mut followers, &[F1, F2, F3], Duration::ZERO, Duration::from_secs(60));
    let stored: Vec<usize> = followers.iter().map(|follower| follower.store().len()).collect();
    assert_eq!(stored, [1, 1, 1], "leader has {}", second.store().len());
}

/// A leader has served, all followers restart, and it is deposed. Nothing is left that remembers, but for itself, which knows that there
/// was something. (A leader that never served binds no later start.)
#[test]
fn a_leader_that_has_served_does_not_begin_empty() {
    let restarted = |has_served: bool| {
        let (serving, mut followers) = cluster(config(3, 2, 0));
        let mut leader = if has_served { serving } else { Leader::new(config(3, 2, 0)) };
        for id in [F1, F2, F3] {
            followers[id.index()] = follower_in(id, 9, Rules::SAFE);
        }
        let fence = Ask { epoch: Epoch::new(5), leader: LeaderId(7), question: Question::Fence };
        followers[F1.index()].ask(&fence, &mut Vec::new());
        talk(&mut leader, &mut followers, &[F1, F2, F3], Duration::ZERO, Duration::from_secs(60));
        (leader.serves(), leader.epoch() > Epoch::new(5))
    };
    assert_eq!(restarted(true), (false, true), "what it had acknowledged is lost, which an operator must accept");
    assert_eq!(restarted(false), (true, true));
}

/// One follower answers with 404, one does not answer, one has restarted.
#[test]
fn a_leader_that_waits_names_each_follower_with_the_reason() {
    let mut followers =
        vec![follower_in(F1, 0, Rules::SAFE), follower_in(F2, 0, Rules::SAFE), follower_in(F3, 0, Rules::SAFE)];
    let mut leader = Leader::new(config(3, 2, 0));
    let calls = calls(&mut leader);
    leader.handle_answer(Duration::ZERO, F1, calls[0].number, Asked::Legacy { is_empty: false });
    leader.handle_answer(Duration::ZERO, F2, calls[1].number, Asked::Lost);
    answer(&mut leader, &mut followers, Duration::ZERO, &calls[2]);
    let Some(Waiting::Survivors { normal, needed, silent, forgetful, foreign, gone }) = leader.waiting_for() else {
        panic!("{:?}", leader.waiting_for());
    };
    assert_eq!((normal, needed), (0, 2));
    assert_eq!((silent, forgetful, foreign, gone), (vec!["f2".into()], vec!["f3".into()], vec!["f1".into()], vec![]));
}

/// The same followers under other names are none that it can count; it says so.
#[test]
fn other_names_for_the_same_followers_are_named() {
    let (mut first, mut followers) = cluster(config(3, 2, 0));
    assert!(set(&mut first, &mut followers, "x", "1", &[F1, F2, F3]));
    let members = ["g1", "g2", "g3"].map(str::to_owned).into();
    let configuration = Configuration { members, write_quorum: 2 };
    let mut second = Leader::new(LeaderConfig { configuration, ..config(3, 2, 1) });
    talk(&mut second, &mut followers, &[F1, F2, F3], Duration::ZERO, Duration::from_secs(60));
    let waits_for = second.waiting_for().unwrap().to_string();
    assert!(waits_for.ends_with("names that are none of the followers' now: f1, f2, f3"), "{waits_for}");
}

/// Two followers more, which are new.
#[test]
fn a_cluster_grows() {
    let (mut first, mut followers) = cluster(config(3, 2, 0));
    assert!(set(&mut first, &mut followers, "x", "1", &[F1, F2, F3]));
    followers.push(follower_in(FollowerId(3), 0, Rules::SAFE));
    followers.push(follower_in(FollowerId(4), 0, Rules::SAFE));
    let mut second = Leader::new(config(5, 2, 1));
    let all = [F1, F2, F3, FollowerId(3), FollowerId(4)];
    talk(&mut second, &mut followers, &all, Duration::ZERO, Duration::from_secs(60));
    assert!(second.serves(), "{}", second.waiting_for().unwrap());
}

/// Under writes that never pause for a second, nobody compares stores, nor asks anything.
#[test]
fn a_follower_under_load_is_asked_whether_it_is_alike() {
    let (mut leader, mut followers) = cluster(config(1, 1, 0));
    while leader.poll_output().is_some() {}
    let mut probes = 0;
    for n in 0..600 {
        let now = Duration::from_millis(500 * n);
        leader.set(now, None, Key::new("x").unwrap(), Value::from_json("1").unwrap()).unwrap();
        leader.handle_timeout(now);
        while let Some(output) = leader.poll_output() {
            match output {
                Output::Send(message) => {
                    followers[0].replicate(leader.id(), message.key(), message.update.entry.clone());
                    leader.handle_reply(now, &message, stores(message.to, message.stamp()));
                }
                Output::Ask(call) => {
                    probes += 1;
                    answer(&mut leader, &mut followers, now, &call);
                }
                _ => {}
            }
        }
    }
    assert!(probes > 1, "{probes} in five minutes");
}

/// Something is on its way whenever it is asked, so that what it stores as a whole tells nothing.
#[test]
fn what_a_follower_that_is_never_quiet_lacks_is_found() {
    let (mut leader, mut followers) = cluster(config(1, 1, 0));
    while leader.poll_output().is_some() {}
    let (lost, busy) = (Key::new("y").unwrap(), Key::new("x").unwrap());
    assert_ne!(bucket(&lost), bucket(&busy), "what is always being written hides what shares its bucket");
    leader.set(Duration::ZERO, None, lost.clone(), Value::from_json("1").unwrap()).unwrap();
    let mut under_way: Vec<Message> = Vec::new();
    for n in 1..600 {
        let now = Duration::from_millis(500 * n);
        leader.set(now, None, busy.clone(), Value::from_json("1").unwrap()).unwrap();
        leader.handle_timeout(now);
        let arrives = std::mem::take(&mut under_way);
        while let Some(output) = leader.poll_output() {
            match output {
                Output::Send(message) => under_way.push(message),
                Output::Ask(call) => answer(&mut leader, &mut followers, now, &call),
                _ => {}
            }
        }
        for message in arrives {
            // Of the first it says that it stores it, and does not.
            if *message.key() != lost {
                followers[0].replicate(leader.id(), message.key(), message.update.entry.clone());
            }
            leader.handle_reply(now, &message, stores(message.to, message.stamp()));
        }
    }
    assert!(followers[0].store().get(&lost).is_some(), "it is compared from time to time");
}

/// What is repaired is what was compared, and no write that came since.
#[test]
fn a_repair_confirms_nothing_that_is_on_its_way() {
    let (mut leader, mut followers) = cluster(config(2, 1, 0));
    while leader.poll_output().is_some() {}
    // f2 says that it stores x, and does not.
    leader.set(Duration::ZERO, None, Key::new("x").unwrap(), Value::from_json("1").unwrap()).unwrap();
    for output in std::iter::from_fn(|| leader.poll_output()).collect::<Vec<_>>() {
        let Output::Send(message) = output else { continue };
        if message.to == F1 {
            followers[0].replicate(leader.id(), message.key(), message.update.entry.clone());
        }
        leader.handle_reply(Duration::ZERO, &message, stores(message.to, message.stamp()));
    }
    let mut acknowledged = Vec::new();
    let mut under_way: Vec<Call> = Vec::new();
    for ms in 1..5000 {
        let now = Duration::from_millis(ms);
        leader.handle_timeout(now);
        for call in std::mem::take(&mut under_way) {
            if matches!(call.ask.question, Question::Probe { buckets: true, .. }) {
                // While it is being compared, y is written; nobody hears of it.
                leader.set(now, None, Key::new("y").unwrap(), Value::from_json("1").unwrap()).unwrap();
            }
            answer(&mut leader, &mut followers, now, &call);
        }
        for output in std::iter::from_fn(|| leader.poll_output()).collect::<Vec<_>>() {
            match output {
                Output::Ask(call) => under_way.push(*call),
                Output::Complete(completion) if completion.ok => acknowledged.push(completion.write),
                _ => {}
            }
        }
    }
    let x = Key::new("x").unwrap();
    assert!(followers[1].store().get(&x).is_some(), "it is repaired");
    assert!(leader.store().get(&Key::new("y").unwrap()).is_some(), "it was being compared");
    assert_eq!(acknowledged, [1], "nobody stores y");
}
