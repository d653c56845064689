//! Writes that come once more under their name.

use std::time::Duration;

use super::deletion::{F3, THREE, World, key};
use super::testing::{F1, follower_in, stores};
use super::*;
use crate::base::{FollowerId, RequestName, Requests};

const F2: FollowerId = FollowerId(1);

fn named(name: &str) -> Terms {
    Terms { request: Some(RequestName::new(name).unwrap()), ..Terms::default() }
}

impl World {
    /// Asks for a write of x under this name; without a value it deletes. The version that it has, and whether it was asked for before.
    fn ask(&mut self, terms: &Terms, json: Option<&str>) -> Result<(u64, bool), Rejected> {
        let value = json.map(|json| Value::from_json(json).unwrap());
        let accepted = self.leader.write(self.now, terms, key("x"), value)?;
        self.settle();
        Ok((accepted.stamp.version.get(), accepted.is_retry))
    }

    /// What the client that asked last was told: whether it was acknowledged, with how many confirmations; of which version.
    fn told(&self) -> (bool, usize, u64) {
        let last = self.completed.last().unwrap();
        (last.ok, last.confirmations, last.stamp.version.get())
    }
}

#[test]
fn a_retry_writes_nothing_and_is_acknowledged() {
    let mut world = World::new(Rules::SAFE);
    assert_eq!(world.ask(&named("r"), Some("1")), Ok((1, false)));
    assert_eq!(world.ask(&named("s"), Some("2")), Ok((2, false)));
    let before = world.leader.store().clone();
    assert_eq!(world.ask(&named("r"), Some("1")), Ok((1, true)));
    assert_eq!(world.told(), (true, 2, 1));
    assert_eq!(world.leader.store(), &before);
    assert_eq!(world.completed.len(), 3);
    assert_eq!(world.leader.open_writes(), 0);
}

/// F11: what others wrote since stays.
#[test]
fn without_the_rule_a_retry_is_a_new_write() {
    let mut world = World::new(Rules::SAFE.without(Rule::DeduplicateRequests));
    world.ask(&named("r"), Some("1")).unwrap();
    world.ask(&named("s"), Some("2")).unwrap();
    assert_eq!(world.ask(&named("r"), Some("1")), Ok((3, false)));
    assert_eq!(world.ask(&named("r"), Some("5")), Ok((4, false)), "nor is anything refused");
}

#[test]
fn a_retry_waits_for_the_quorum_that_the_write_waits_for() {
    let mut world = World::new(Rules::SAFE);
    world.away = vec![F2, F3];
    world.ask(&named("r"), Some("1")).unwrap();
    world.now += Duration::from_secs(2);
    assert_eq!(world.ask(&named("r"), Some("1")), Ok((1, true)));
    assert!(world.completed.is_empty());
    world.now += Duration::from_secs(3);
    world.leader.handle_timeout(world.now);
    world.settle();
    assert_eq!((world.told(), world.completed.len()), ((false, 1, 1), 1), "the retry has its own deadline");
    world.now += Duration::from_secs(2);
    world.leader.handle_timeout(world.now);
    world.settle();
    assert_eq!((world.told(), world.completed.len()), ((false, 1, 1), 2));
    assert_eq!(world.ask(&named("r"), Some("1")), Ok((1, true)));
    world.away.clear();
    world.leader.handle_timeout(world.leader.wake_at().unwrap());
    world.wait();
    assert_eq!((world.told(), world.completed.len()), ((true, 2, 1), 3));
    assert_eq!(world.leader.open_writes(), 0);
    world.away = vec![F2, F3];
    world.ask(&named("s"), Some("2")).unwrap();
    world.ask(&named("r"), Some("1")).unwrap();
    assert_eq!(world.completed.len(), 3, "of what came later not enough is known");
}

/// A key that is always being written has never been stored everywhere as it is.
#[test]
fn whoever_stores_a_later_write_confirms_a_retry() {
    let mut world = World::new(Rules::SAFE);
    world.ask(&named("r"), Some("1")).unwrap();
    world.leader.write(world.now, &named("s"), key("x"), Some(Value::from_json("2").unwrap())).unwrap();
    let retry = world.leader.write(world.now, &named("r"), key("x"), Some(Value::from_json("1").unwrap())).unwrap();
    world.leader.write(world.now, &named("t"), key("x"), Some(Value::from_json("3").unwrap())).unwrap();
    let sent: Vec<Message> = std::iter::from_fn(|| world.leader.poll_output())
        .filter_map(|output| if let Output::Send(message) = output { Some(message) } else { None })
        .collect();
    for message in sent.iter().filter(|message| message.stamp().version.get() == 2 && message.to != F3) {
        world.leader.handle_reply(world.now, message, stores(message.to, message.stamp()));
    }
    let completed = std::iter::from_fn(|| world.leader.poll_output())
        .filter_map(|output| if let Output::Complete(completion) = output { Some(completion) } else { None });
    assert!(completed.into_iter().any(|completion| completion.write == retry.write && completion.ok));
}

#[test]
fn another_write_under_the_same_name_is_refused() {
    let mut world = World::new(Rules::SAFE);
    let once = Terms { if_version: Some(0), ..named("r") };
    assert_eq!(world.ask(&once, Some("1")), Ok((1, false)));
    for (terms, json) in [(&once, Some("2")), (&once, None), (&named("r"), Some("1"))] {
        let refused = world.ask(terms, json).unwrap_err().to_string();
        assert!(
            refused.starts_with("the request_id \"r\" was given to another write of key \"x\", which got version 1"),
            "{refused}"
        );
    }
    assert_eq!(world.ask(&once, Some("1")), Ok((1, true)), "though x has no longer version 0");
    assert_eq!(
        world.ask(&Terms { if_version: Some(0), ..named("s") }, Some("1")).unwrap_err().to_string(),
        "key \"x\" has version 1, not 0 (not there)"
    );
}

#[test]
fn the_last_names_are_remembered_and_unnamed_writes_drop_none() {
    let mut world = World::new(Rules::SAFE);
    world.ask(&named("r"), Some("1")).unwrap();
    for n in 2..=Requests::MOST {
        world.ask(&named(&format!("s{n}")), Some("2")).unwrap();
        world.set("x");
    }
    assert_eq!(world.ask(&named("r"), Some("1")), Ok((1, true)));
    world.ask(&named("t"), Some("2")).unwrap();
    assert!(matches!(world.ask(&named("r"), Some("1")), Ok((_, false))));
}

#[test]
fn names_are_recovered_and_go_to_those_that_forgot() {
    let mut world = World::new(Rules::SAFE);
    world.ask(&named("r"), Some("1")).unwrap();
    world.set("x");
    // f3 is given a snapshot, and is the only one to be asked by the leader after the next.
    world.followers[2] = follower_in(F3, 7, Rules::SAFE);
    world.wait();
    world.next_leader(&THREE, Rules::SAFE);
    assert_eq!(world.ask(&named("r"), Some("1")), Ok((1, true)));
    assert_eq!(world.told(), (true, 2, 1));
    world.followers[0] = follower_in(F1, 8, Rules::SAFE);
    world.next_leader(&THREE, Rules::SAFE);
    assert_eq!(world.ask(&named("r"), Some("1")), Ok((1, true)));
    assert!(world.ask(&named("r"), Some("2")).is_err());
}

/// A deletion that has a name is not forgotten at once, for it can come again, too.
#[test]
fn a_deletion_that_has_a_name_is_kept_for_some_time() {
    let mut world = World::new(Rules::SAFE);
    world.set("x");
    world.ask(&named("r"), None).unwrap();
    world.wait();
    assert_eq!(world.tombstones(), [1, 1, 1, 1]);
    assert_eq!(world.ask(&named("r"), None), Ok((2, true)));
    world.next_leader(&THREE, Rules::SAFE);
    assert_eq!(world.ask(&named("r"), None), Ok((2, true)));
    (0..7).for_each(|_| world.wait());
    assert_eq!(world.tombstones(), [0, 0, 0, 0]);
    assert_eq!(world.ask(&named("r"), None), Ok((3, false)));
    // One that was overwritten meanwhile is none any more.
    world.set("x");
    (0..7).for_each(|_| world.wait());
    assert_eq!((world.leader.store().len(), world.ask(&named("r"), None)), (1, Ok((3, true))));
}
