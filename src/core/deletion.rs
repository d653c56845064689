//! Deletions, and how they are forgotten, with everything arriving late that can.

use std::time::Duration;

use super::testing::{self, F1, answer, cluster, follower_in, stores};
use super::*;
use crate::base::{Epoch, FollowerId, FollowerSet, Stamp, Version};

pub(super) const F3: FollowerId = FollowerId(2);

fn config(members: &[&str], quorum: usize, id: u64, rules: Rules) -> LeaderConfig {
    let followers = FollowerSet::first(members.len());
    let members = members.iter().map(ToString::to_string).collect();
    let configuration = Configuration { members, write_quorum: quorum };
    LeaderConfig { configuration, followers, rules, ..testing::config(0, 0, id) }
}

pub(super) const THREE: [&str; 3] = ["f1", "f2", "f3"];

pub(super) fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

/// A leader and its followers, some of which hear nothing.
pub(super) struct World {
    pub(super) leader: Leader,
    pub(super) followers: Vec<Follower>,
    pub(super) away: Vec<FollowerId>,
    /// Every message that was sent.
    sent: Vec<Message>,
    /// What clients were told.
    pub(super) completed: Vec<Completion>,
    pub(super) now: Duration,
}

impl World {
    pub(super) fn new(rules: Rules) -> Self {
        let (leader, followers) = cluster(config(&THREE, 2, 0, rules));
        Self { leader, followers, away: Vec::new(), sent: Vec::new(), completed: Vec::new(), now: Duration::ZERO }
    }

    pub(super) fn set(&mut self, name: &str) -> u64 {
        let value = Value::from_json("1").unwrap();
        let accepted = self.leader.set(self.now, None, key(name), value).unwrap();
        self.settle();
        accepted.stamp.version.get()
    }

    pub(super) fn delete(&mut self, name: &str) -> u64 {
        let accepted = self.leader.delete(self.now, None, key(name)).unwrap();
        self.settle();
        accepted.stamp.version.get()
    }

    /// Lets everything arrive that is under way, and what follows from it.
    pub(super) fn settle(&mut self) {
        while let Some(output) = self.leader.poll_output() {
            match output {
                Output::Send(message) => {
                    let reply = if self.away.contains(&message.to) { Reply::Lost } else { self.deliver(&message) };
                    self.leader.handle_reply(self.now, &message, reply);
                    self.sent.push(message);
                }
                Output::Ask(call) => {
                    let asked = if self.away.contains(&call.to) {
                        Asked::Lost
                    } else {
                        Asked::Answered(self.followers[call.to.index()].ask(&call.ask, &mut Vec::new()))
                    };
                    self.leader.handle_answer(self.now, call.to, call.number, asked);
                }
                Output::Complete(completion) => self.completed.push(completion),
                Output::Tell(_) | Output::Reconnect(_) | Output::Read(..) => {}
            }
        }
    }

    fn deliver(&mut self, message: &Message) -> Reply {
        let follower = &mut self.followers[message.to.index()];
        match follower.replicate(self.leader.id(), message.key(), message.update.entry.clone()) {
            Applied::Yes => stores(message.to, message.stamp()),
            Applied::Stale { stored } => stores(message.to, stored),
            Applied::Fenced { promised } => Reply::Fenced(promised),
        }
    }

    pub(super) fn wait(&mut self) {
        let end = self.now + Duration::from_secs(10);
        while let Some(at) = self.leader.wake_at().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.leader.handle_timeout(self.now);
            self.settle();
        }
    }

    /// Another leader begins, with these members.
    pub(super) fn next_leader(&mut self, members: &[&str], rules: Rules) {
        let id = self.leader.id().0 + 1;
        self.leader = Leader::new(config(members, 2, id, rules));
        self.settle();
        self.wait();
    }

    pub(super) fn tombstones(&self) -> Vec<usize> {
        let stores = [self.leader.store()].into_iter().chain(self.followers.iter().map(Follower::store));
        stores.map(Store::tombstone_count).collect()
    }
}

#[test]
fn a_deletion_is_forgotten_once_all_followers_have_it() {
    let mut world = World::new(Rules::SAFE);
    world.away = vec![F3];
    assert_eq!([world.set("x"), world.delete("x")], [1, 2]);
    assert_eq!(world.tombstones(), [1, 1, 1, 0]);
    assert!(world.leader.store().get(&key("x")).is_none());
    world.away.clear();
    world.wait();
    assert_eq!(world.tombstones(), [0, 0, 0, 0]);
    assert!(world.followers.iter().all(|follower| follower.store().is_empty()));
}

#[test]
fn versions_go_up_though_nobody_remembers_why() {
    let mut world = World::new(Rules::SAFE);
    assert_eq!([world.set("x"), world.set("x"), world.delete("x")], [1, 2, 3]);
    assert_eq!(world.tombstones(), [0, 0, 0, 0]);
    assert_eq!([world.set("x"), world.set("y"), world.delete("z"), world.set("z")], [4, 4, 4, 5]);
    world.next_leader(&THREE, Rules::SAFE);
    assert_eq!([world.set("x"), world.set("new")], [5, 5]);
}

/// What follows a deletion is told of its version by the floor alone, where all followers have restarted one by one.
#[test]
fn who_is_brought_up_to_date_is_told_the_floor() {
    let mut world = World::new(Rules::SAFE);
    assert_eq!([world.set("x"), world.set("x"), world.delete("x")], [1, 2, 3]);
    for place in 0..3 {
        world.followers[place] = follower_in(FollowerId(place as u8), 1, Rules::SAFE);
        world.wait();
        assert_eq!(world.followers[place].floor(), Version::new(3).ok());
    }
    world.next_leader(&THREE, Rules::SAFE);
    assert_eq!(world.set("x"), 4);
}

#[test]
fn late_copies_do_not_bring_a_key_back() {
    let mut world = World::new(Rules::SAFE);
    world.set("x");
    world.delete("x");
    world.set("y");
    let copies = world.sent.clone();
    assert_eq!(world.tombstones(), [0, 0, 0, 0]);
    for copy in &copies {
        world.deliver(copy);
    }
    assert!(world.followers.iter().all(|follower| follower.store() == world.leader.store()));
    // The copies reach a follower in its next life, before it is up to date.
    world.followers[0] = follower_in(F1, 1, Rules::SAFE);
    let fence = Question::Fence;
    let ask = Ask { epoch: world.leader.epoch(), leader: world.leader.id(), question: fence };
    world.followers[0].ask(&ask, &mut Vec::new());
    for copy in copies.iter().filter(|copy| copy.to == FollowerId(0) && copy.value().is_some()) {
        world.deliver(copy);
    }
    assert_eq!(world.followers[0].store().len(), 2, "it took them, for it knows nothing yet");
    world.wait();
    assert_eq!(world.followers[0].store(), world.leader.store());
}

/// A key is written for the first time while another is being deleted: the message that brings it late is no late copy.
#[test]
fn what_a_follower_lacks_is_never_refused() {
    let mut world = World::new(Rules::SAFE);
    for _ in 0..4 {
        world.set("x");
    }
    world.away = vec![F3];
    world.set("y");
    world.delete("x");
    world.set("z");
    world.away.clear();
    world.wait();
    assert_eq!(world.followers[2].store(), world.leader.store());
    assert_eq!(world.leader.store().len(), 2);
}

/// How many deletions each round collects, where all of these keys are deleted at once.
fn rounds(limits: Limits, keys: &[String]) -> Vec<usize> {
    let (mut leader, mut followers) = cluster(LeaderConfig { limits, ..testing::config(1, 1, 0) });
    while leader.poll_output().is_some() {}
    for name in keys {
        leader.delete(Duration::ZERO, None, key(name)).unwrap();
    }
    let mut rounds = Vec::new();
    while let Some(output) = leader.poll_output() {
        match output {
            Output::Send(message) => {
                followers[0].replicate(leader.id(), message.key(), message.update.entry.clone());
                leader.handle_reply(Duration::ZERO, &message, stores(F1, message.stamp()));
            }
            Output::Ask(call) => {
                if let Question::Forget { deletions, .. } = &call.ask.question {
                    rounds.push(deletions.len());
                }
                answer(&mut leader, &mut followers, Duration::ZERO, &call);
            }
            _ => {}
        }
    }
    rounds
}

/// The first deletion is collected alone, since the round begins when it is made.
#[test]
fn a_round_holds_no_more_deletions_than_a_part_holds_keys() {
    let limits = Limits { part_keys: 2, ..Limits::default() };
    assert_eq!(rounds(limits, &["a", "b", "c", "d", "e"].map(String::from)), [1, 2, 2]);
}

/// Keys of 1 KiB: 256 of them are as long as a part may be.
#[test]
fn a_round_holds_no_more_deletions_than_a_part_holds_bytes() {
    let keys: Vec<String> = (0..600).map(|number| format!("{number:01024}")).collect();
    assert_eq!(rounds(Limits::default(), &keys), [1, 256, 256, 87]);
}

/// Nothing is sent to `slow` until `held` is answered: the round is not over, so the tombstone is part of the snapshot.
#[test]
fn a_follower_that_restarts_during_a_round_collects_again() {
    let slow = FollowerId(4);
    let (mut leader, mut followers) = cluster(testing::config(5, 3, 0));
    while leader.poll_output().is_some() {}
    let exchange = |leader: &mut Leader, followers: &mut [Follower]| {
        let mut held = None;
        while let Some(output) = leader.poll_output() {
            match output {
                Output::Send(message) => {
                    let follower = &mut followers[message.to.index()];
                    follower.replicate(leader.id(), message.key(), message.update.entry.clone());
                    leader.handle_reply(Duration::ZERO, &message, stores(message.to, message.stamp()));
                }
                Output::Ask(call) if call.to == slow => held = Some(call),
                Output::Ask(call) => answer(leader, followers, Duration::ZERO, &call),
                _ => {}
            }
        }
        held
    };
    let tombstones =
        |followers: &[Follower]| followers.iter().map(|f| f.store().tombstone_count()).collect::<Vec<usize>>();
    leader.delete(Duration::ZERO, None, key("x")).unwrap();
    let held = exchange(&mut leader, &mut followers).expect("all store the deletion");
    assert_eq!(tombstones(&followers), [0, 0, 0, 0, 1]);
    followers[0] = follower_in(F1, 1, Rules::SAFE);
    leader.handle_disconnect(Duration::ZERO, F1);
    exchange(&mut leader, &mut followers);
    assert_eq!(tombstones(&followers), [0, 0, 0, 0, 1]);
    answer(&mut leader, &mut followers, Duration::ZERO, &held);
    exchange(&mut leader, &mut followers);
    assert_eq!((tombstones(&followers), leader.store().tombstone_count()), (vec![0; 5], 0));
}

/// F30: a follower that has not got the deletion brings the key back.
#[test]
fn a_deletion_is_not_forgotten_before_all_have_it() {
    for (rules, survives) in [(Rules::SAFE, true), (Rules::SAFE.without(Rule::KeepTombstones), false)] {
        let mut world = World::new(rules);
        world.set("x");
        world.away = vec![F3];
        world.delete("x");
        assert_eq!(world.leader.store().tombstone_count() > 0, survives);
        world.away = vec![FollowerId(1)];
        world.next_leader(&THREE, rules);
        assert_eq!(world.leader.store().get(&key("x")).is_none(), survives, "{rules:?}");
    }
}

/// A follower that was no member when a key was deleted and the deletion forgotten is one again.
#[test]
fn who_was_not_a_member_brings_nothing_back() {
    let mut world = World::new(Rules::SAFE);
    world.set("x");
    world.next_leader(&["f1", "f2"], Rules::SAFE);
    assert_eq!(world.delete("x"), 2);
    assert_eq!(world.tombstones(), [0, 0, 0, 0]);
    assert_eq!(world.followers[2].store().len(), 1, "it has not heard of it");
    // It has promised and told what it stores before there are enough to begin with.
    world.away = vec![FollowerId(0)];
    world.next_leader(&THREE, Rules::SAFE);
    assert!(!world.leader.serves());
    world.away.clear();
    world.wait();
    assert!(world.leader.serves());
    assert!(world.leader.store().is_empty() && world.followers[2].store().is_empty());
    assert_eq!(world.set("x"), 3);
}

/// A leader that crashes in the middle leaves some followers with the tombstone and some without.
#[test]
fn a_collection_that_was_begun_is_begun_anew() {
    let mut world = World::new(Rules::SAFE);
    world.set("x");
    world.set("y");
    let deletion = world.leader.delete(world.now, None, key("x")).unwrap();
    // All followers have it, and f1 has forgotten it.
    while let Some(output) = world.leader.poll_output() {
        if let Output::Send(message) = output {
            let reply = world.deliver(&message);
            world.leader.handle_reply(world.now, &message, reply);
        }
    }
    let deletions = vec![Deletion { key: key("x"), stamp: deletion.stamp }];
    let forget =
        Question::Forget { incarnation: Incarnation(0), deletions, round: 1, floor: Some(deletion.stamp.version) };
    let ask = Ask { epoch: world.leader.epoch(), leader: world.leader.id(), question: forget };
    world.followers[0].ask(&ask, &mut Vec::new());
    assert_eq!(world.tombstones(), [1, 0, 1, 1]);
    for away in [0, 1, 2] {
        let mut world = World {
            leader: world.leader.clone(),
            followers: world.followers.clone(),
            sent: Vec::new(),
            ..World::new(Rules::SAFE)
        };
        world.away = vec![FollowerId(away)];
        world.next_leader(&THREE, Rules::SAFE);
        assert_eq!(world.leader.store().len(), 1, "without f{}", away + 1);
        world.away.clear();
        world.wait();
        assert_eq!(world.tombstones(), [0, 0, 0, 0]);
        assert!(world.followers.iter().all(|follower| follower.store() == world.leader.store()));
        assert_eq!(world.set("x"), 3);
    }
}

#[test]
fn a_key_that_is_not_there_is_deleted_too_and_counts_as_absent() {
    let mut world = World::new(Rules::SAFE);
    world.away = vec![F3];
    assert_eq!(world.delete("x"), 1);
    assert_eq!(world.delete("x"), 2);
    assert_eq!(world.leader.committed(&key("x")), None);
    let mut write_if = |version| {
        let terms = Terms { if_version: Some(version), ..Terms::default() };
        world.leader.write(Duration::ZERO, &terms, key("x"), None)
    };
    let refused = write_if(2).unwrap_err().to_string();
    assert_eq!(refused, "key \"x\" has version 0 (not there), not 2");
    assert_eq!(write_if(0).map(|accepted| accepted.stamp.version.get()), Ok(3));
}

/// What a follower lost is below the floor that a later deletion of another key has left. A repair brings it back; one that is
/// older than the deletion of its key does not.
#[test]
fn a_repair_brings_back_what_was_lost_below_the_floor() {
    let mut follower = follower_in(F1, 0, Rules::SAFE);
    let leader = LeaderId(1);
    let (epoch, key, version) = (Epoch::FIRST, Key::new("x").unwrap(), Version::FIRST);
    let mut ask = |question| follower.ask(&Ask { epoch, leader, question }, &mut Vec::new()).said;
    let value = Some(Value::from_json("1").unwrap());
    let entry = Item { key: key.clone(), epoch, version, value, requests: Default::default() };
    let incarnation = Incarnation::nth(F1, 0);
    let mut summary = Summary::default();
    summary.add(&key, Stamp { epoch, version });
    let push = |number, as_of| {
        let last = Some(Last { summary, configurations: vec![Configuration::of(1, 1)], floor: None });
        let (snapshot, entries) = (SnapshotId::nth(F1, number), vec![entry.clone()]);
        Question::Push { incarnation, snapshot, part: 0, as_of, entries, last }
    };
    ask(Question::Fence);
    assert_eq!(ask(push(1, 0)), Said::Installed);
    let floor = Version::new(7).ok();
    assert_eq!(ask(Question::Forget { incarnation, deletions: Vec::new(), round: 1, floor }), Said::Forgotten);
    follower.lose(&key);
    let mut ask = |question| follower.ask(&Ask { epoch, leader, question }, &mut Vec::new()).said;
    ask(push(2, 0));
    let shown = |follower: &Follower| follower.get(&key).is_some();
    assert!(!shown(&follower), "it may have been deleted in the round since");
    follower.ask(&Ask { epoch, leader, question: push(3, 1) }, &mut Vec::new());
    assert!(shown(&follower));
}
