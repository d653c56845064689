//! What a leader refuses when too much waits, and that nothing comes of what it refuses.

use std::time::Duration;

use super::testing::{F1, F2, cluster, config, stores};
use super::*;
use crate::base::RequestName;

/// A leader without a network, and everything that it has sent.
struct Busy {
    leader: Leader,
    sent: Vec<Message>,
    acknowledged: usize,
}

impl Busy {
    fn new(limits: Limits) -> Self {
        let (leader, _) = cluster(LeaderConfig { limits, ..config(2, 2, 0) });
        Self { leader, sent: Vec::new(), acknowledged: 0 }
    }

    fn ask(&mut self, terms: &Terms, value: &str) -> Result<u64, Rejected> {
        let (key, value) = (Key::new("x").unwrap(), Value::from_json(value).unwrap());
        let accepted = self.leader.write(Duration::ZERO, terms, key, Some(value));
        self.listen();
        accepted.map(|accepted| accepted.stamp.version.get())
    }

    fn set(&mut self) -> Result<u64, Rejected> {
        self.ask(&Terms::default(), "\"12345678\"")
    }

    fn listen(&mut self) {
        while let Some(output) = self.leader.poll_output() {
            match output {
                Output::Send(message) => self.sent.push(message),
                Output::Complete(completion) => self.acknowledged += usize::from(completion.ok),
                Output::Ask(..) | Output::Tell(_) | Output::Reconnect(_) | Output::Read(..) => {}
            }
        }
    }

    /// These followers confirm everything that they were sent.
    fn confirm(&mut self, by: &[FollowerId]) {
        let (theirs, others): (Vec<Message>, _) = self.sent.drain(..).partition(|message| by.contains(&message.to));
        self.sent = others;
        for message in theirs {
            self.leader.handle_reply(Duration::ZERO, &message, stores(message.to, message.stamp()));
        }
        self.listen();
    }
}

fn refused(waiting: usize) -> Result<u64, Rejected> {
    Err(Rejected::Overloaded { waiting })
}

#[test]
fn a_write_too_many_is_refused_before_it_has_a_version() {
    let mut busy = Busy::new(Limits { waiting: 2, ..Limits::default() });
    assert_eq!((busy.set(), busy.set()), (Ok(1), Ok(2)));
    let before = busy.leader.store().clone();
    assert_eq!((busy.set(), busy.sent.len(), busy.leader.open_writes()), (refused(2), 4, 2));
    assert_eq!(busy.leader.store(), &before);
    busy.confirm(&[F1, F2]);
    assert_eq!((busy.acknowledged, busy.set()), (2, Ok(3)));
}

/// One that alone is too large is taken on when nothing else waits, or it never would be.
#[test]
fn what_waits_is_limited_in_bytes_too() {
    let mut busy = Busy::new(Limits { waiting_bytes: 25, ..Limits::default() });
    assert_eq!((busy.set(), busy.set()), (Ok(1), Ok(2)), "two of eleven bytes");
    assert_eq!(busy.set(), refused(2));
    assert_eq!(busy.ask(&Terms::default(), "1"), Ok(3), "there are three left");
    busy.confirm(&[F1, F2]);
    let large = format!("\"{}\"", "x".repeat(100));
    assert_eq!(busy.ask(&Terms::default(), &large), Ok(4));
    assert_eq!(busy.ask(&Terms::default(), "1"), refused(1));
}

/// A follower that does not answer is no reason to refuse what the others confirm.
#[test]
fn what_was_answered_does_not_count() {
    let mut busy = Busy {
        leader: cluster(LeaderConfig { limits: Limits { waiting: 2, ..Limits::default() }, ..config(2, 1, 0) }).0,
        sent: Vec::new(),
        acknowledged: 0,
    };
    for version in 1..=100 {
        assert_eq!(busy.set(), Ok(version));
        busy.confirm(&[F1]);
    }
    assert_eq!((busy.acknowledged, busy.leader.open_writes()), (100, 100));
}

/// Nor is what was given up at its deadline.
#[test]
fn a_deadline_makes_room() {
    let mut busy = Busy::new(Limits { waiting: 2, ..Limits::default() });
    assert_eq!((busy.set(), busy.set()), (Ok(1), Ok(2)));
    busy.leader.handle_timeout(Duration::from_secs(5));
    busy.listen();
    assert_eq!((busy.acknowledged, busy.set()), (0, Ok(3)));
}

#[test]
fn retries_and_reads_that_wait_are_limited_too() {
    let mut busy = Busy::new(Limits { waiting: 3, ..Limits::default() });
    let named = Terms { request: Some(RequestName::new("r").unwrap()), ..Terms::default() };
    assert_eq!([busy.ask(&named, "1"), busy.ask(&named, "1"), busy.ask(&named, "1")], [Ok(1), Ok(1), Ok(1)]);
    assert_eq!(busy.ask(&named, "1"), refused(3));
    busy.confirm(&[F1, F2]);
    assert_eq!((busy.acknowledged, busy.leader.open_writes()), (3, 0), "one answer is for all of them");
    for _ in 0..3 {
        assert!(busy.leader.begin_read(Duration::ZERO).is_ok());
    }
    assert_eq!(busy.leader.begin_read(Duration::ZERO).map(|_| 0), refused(3));
}
