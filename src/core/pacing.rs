//! How fast a leader sends to a follower, and how it tries again what was not taken.

use std::time::Duration;

use super::testing::{cluster, config, next_timer, stores};
use super::*;
use crate::base::Epoch;

/// A leader without a network: what it sends is kept, and answered when the test says so.
struct Lone {
    leader: Leader,
    now: Duration,
}

impl Lone {
    fn new(followers: usize, quorum: usize, window: usize, window_bytes: usize) -> Self {
        let limits = Limits { window, window_bytes, ..Limits::default() };
        let config = LeaderConfig { limits, ..config(followers, quorum, 0) };
        Self { leader: cluster(config).0, now: Duration::ZERO }
    }

    fn set(&mut self, key: &str) -> Vec<Message> {
        let value = Value::from_json("\"0123456789\"").unwrap();
        self.leader.set(self.now, None, Key::new(key).unwrap(), value).unwrap();
        self.sent()
    }

    fn reply(&mut self, message: &Message, reply: Reply) {
        self.leader.handle_reply(self.now, message, reply);
    }

    /// Goes on to the leader's next timer.
    fn wake(&mut self) -> Vec<Message> {
        self.now = next_timer(&self.leader).expect("a timer is set").max(self.now);
        self.leader.handle_timeout(self.now);
        self.sent()
    }

    fn sent(&mut self) -> Vec<Message> {
        self.outputs().0
    }

    fn outputs(&mut self) -> (Vec<Message>, Vec<Completion>) {
        let (mut messages, mut completions) = (Vec::new(), Vec::new());
        while let Some(output) = self.leader.poll_output() {
            match output {
                Output::Send(message) => messages.push(message),
                Output::Complete(completion) => completions.push(completion),
                Output::Ask(_) | Output::Tell(_) | Output::Reconnect(_) | Output::Read(..) => {}
            }
        }
        (messages, completions)
    }

    fn status(&self) -> FollowerStatus {
        self.leader.status().next().unwrap()
    }
}

#[test]
fn first_deliveries_are_bounded_in_number_and_in_bytes() {
    let mut by_number = Lone::new(1, 1, 2, usize::MAX);
    let sent: usize = (0..5).map(|n| by_number.set(&format!("k{n}")).len()).sum();
    assert_eq!((sent, by_number.status().unanswered, by_number.status().missed), (2, 2, 3));
    // Each write holds 14 bytes; the first goes out however large it is.
    for (bytes, first) in [(30, 2), (1, 1)] {
        let mut by_bytes = Lone::new(1, 1, 100, bytes);
        let messages: Vec<Message> = (0..5).flat_map(|n| by_bytes.set(&format!("k{n}"))).collect();
        assert_eq!((messages.len(), by_bytes.status().missed), (first, 5 - first));
        by_bytes.reply(&messages[0], stores(messages[0].to, messages[0].stamp()));
        assert_eq!(by_bytes.set("k9").len(), 1, "an answer gives its bytes back");
    }
}

#[test]
fn one_resend_confirms_every_write_of_the_key_that_waits() {
    let mut lone = Lone::new(1, 1, 100, usize::MAX);
    let lost: Vec<Message> = (0..2).flat_map(|_| lone.set("x")).collect();
    lost.iter().for_each(|message| lone.reply(message, Reply::Lost));
    let resent = lone.wake();
    assert_eq!((resent.len(), resent[0].stamp()), (1, lost[1].stamp()));
    lone.reply(&resent[0], stores(resent[0].to, resent[0].stamp()));
    let completed: Vec<WriteId> = lone.outputs().1.iter().filter(|c| c.ok).map(|c| c.write).collect();
    assert_eq!(completed, [1, 2]);
}

#[test]
fn a_follower_that_is_heard_again_need_not_wait_out_a_long_pause() {
    let mut lone = Lone::new(1, 1, 100, usize::MAX);
    let first = lone.set("x").remove(0);
    lone.reply(&first, Reply::Lost);
    for _ in 0..8 {
        let resent = lone.wake();
        resent.iter().for_each(|message| lone.reply(message, Reply::Lost));
    }
    assert!(lone.leader.wake_at().unwrap() - lone.now >= Duration::from_millis(900), "the pause has grown");
    let other = lone.set("y").remove(0);
    lone.reply(&other, stores(other.to, other.stamp()));
    assert!(lone.leader.wake_at().unwrap() - lone.now <= Duration::from_millis(100), "it is short again");
}

#[test]
fn what_a_follower_refuses_holds_up_nothing_else_and_is_tried_ever_less_often() {
    let mut lone = Lone::new(1, 1, 100, usize::MAX);
    for message in ["a", "b", "c", "d"].into_iter().flat_map(|key| lone.set(key)).collect::<Vec<_>>() {
        lone.reply(&message, Reply::Lost);
    }
    let mut tries = 0;
    while lone.now < Duration::from_secs(20) {
        lone.now += Duration::from_millis(50);
        lone.leader.handle_timeout(lone.now);
        for message in lone.sent() {
            let refused = message.key().as_str() == "a";
            tries += usize::from(refused);
            lone.reply(&message, if refused { Reply::Refused } else { stores(message.to, message.stamp()) });
        }
        // Traffic goes on meanwhile, and the follower takes it.
        for message in lone.set("traffic") {
            lone.reply(&message, stores(message.to, message.stamp()));
        }
    }
    assert_eq!(lone.status().missed, 1, "{:?}", lone.status());
    assert!((5..40).contains(&tries), "{tries} tries in 20 s");
}

#[test]
fn pauses_have_jitter() {
    let mut lone = Lone::new(8, 1, 100, usize::MAX);
    for message in lone.set("x") {
        lone.reply(&message, Reply::Lost);
    }
    let mut rounds = std::collections::BTreeSet::new();
    while lone.now < Duration::from_millis(110) {
        if !lone.wake().is_empty() {
            rounds.insert(lone.now);
        }
        if lone.leader.wake_at().is_none_or(|at| at > Duration::from_millis(110)) {
            break;
        }
    }
    assert!(rounds.len() >= 6, "eight followers are tried again at {rounds:?}");
}

#[test]
fn a_late_loss_says_nothing_of_a_follower_that_has_everything() {
    let mut lone = Lone::new(1, 1, 100, usize::MAX);
    let first = lone.set("x").remove(0);
    lone.reply(&first, Reply::Lost);
    assert!(!lone.status().reachable);
    let resent = lone.wake();
    let newer = lone.set("x").remove(0);
    lone.reply(&newer, stores(newer.to, newer.stamp()));
    assert!(lone.status().reachable);
    lone.reply(&resent[0], Reply::Lost);
    assert!(lone.status().reachable && lone.status().missed == 0, "{:?}", lone.status());
}

/// A follower that is silent for longer than a request may take is sent one write at a time and what it missed, until it answers.
#[test]
fn who_lags_is_sent_one_write_at_a_time() {
    let mut lone = Lone::new(2, 1, 1000, usize::MAX);
    let (f1, f2) = (FollowerId(0), FollowerId(1));
    let to = |sent: &[Message], id: FollowerId| sent.iter().filter(|message| message.to == id).count();
    let answered_by_f1 = |lone: &mut Lone, key: &str| {
        let sent = lone.set(key);
        sent.iter()
            .filter(|message| message.to == f1)
            .for_each(|message| lone.reply(message, stores(message.to, message.stamp())));
        sent
    };
    let first = answered_by_f1(&mut lone, "a");
    lone.now = Duration::from_secs(5);
    assert_eq!(to(&answered_by_f1(&mut lone, "b"), f2), 1, "nothing is known to be lost yet");
    let lost = first.iter().find(|message| message.to == f2).unwrap();
    lone.reply(lost, Reply::Lost);
    for key in ["c", "d", "c"] {
        let sent = answered_by_f1(&mut lone, key);
        assert_eq!((to(&sent, f1), to(&sent, f2)), (1, 0), "{key}, while b is under way");
    }
    lone.now = lone.leader.timers().find(|(timer, _)| *timer == Timer::Resend(f2)).unwrap().1;
    lone.leader.fire(lone.now, Timer::Resend(f2));
    let resent = lone.sent();
    let one = &resent[0];
    assert!(resent.iter().all(|message| message.to == f2 && message.attempt > 1), "{resent:?}");
    lone.reply(one, stores(one.to, one.stamp()));
    assert_eq!(to(&answered_by_f1(&mut lone, "e"), f2), 1, "it is there again");
}

/// f2 has restarted. It is sent everything at once when it may be given a memory.
#[test]
fn a_follower_that_is_not_up_to_date_is_sent_no_writes() {
    let mut lone = Lone::new(2, 1, 1000, usize::MAX);
    let f2 = FollowerId(1);
    lone.sent();
    lone.leader.handle_disconnect(lone.now, f2);
    let asked = std::iter::from_fn(|| lone.leader.poll_output()).find_map(|output| match output {
        Output::Ask(call) if call.to == f2 => Some(call.number),
        _ => None,
    });
    let (incarnation, standing) = (Incarnation::nth(f2, 1), Standing::Recovering);
    let answer = Answer { incarnation, standing, promised: Promise::default(), said: Said::Refused };
    lone.leader.handle_answer(lone.now, f2, asked.unwrap(), Asked::Answered(answer));
    let sent = lone.set("x");
    assert_eq!(sent.iter().map(|message| message.to).collect::<Vec<_>>(), [FollowerId(0)]);
    assert_eq!(lone.leader.backlog(f2), (0, 1));
    assert!(lone.leader.timers().all(|(timer, _)| timer != Timer::Resend(f2)));
}

/// f2 has restarted, which the leader learns from the answer to a message.
#[test]
fn a_follower_that_refused_a_message_is_asked_before_it_is_sent_another() {
    let mut lone = Lone::new(2, 1, 1000, usize::MAX);
    let f2 = FollowerId(1);
    let to_f2 = lone.set("x").into_iter().find(|message| message.to == f2).unwrap();
    lone.reply(&to_f2, Reply::Fenced(Epoch::ZERO));
    let asked = std::iter::from_fn(|| lone.leader.poll_output()).any(|output| match output {
        Output::Ask(call) => call.to == f2,
        _ => false,
    });
    assert!(asked);
    assert!(lone.set("y").iter().all(|message| message.to != f2));
}
