//! Properties of leader and followers under any order of delivery, with any losses and duplicates.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::testing::{cluster, config, next_timer, stores};
use super::*;
use crate::base::{FollowerId, FollowerSet, Version};

const KEYS: [&str; 3] = ["x", "y", "z"];

/// What the network does next. The index picks one of the messages or answers that are under way.
#[derive(Debug, Clone)]
enum Step {
    Set {
        key: usize,
    },
    Delete {
        key: usize,
    },
    Deliver {
        index: prop::sample::Index,
    },
    DeliverTwice {
        index: prop::sample::Index,
    },
    /// A copy is made, which may arrive at any time.
    Copy {
        index: prop::sample::Index,
    },
    DeliverCopy {
        index: prop::sample::Index,
    },
    LoseRequest {
        index: prop::sample::Index,
    },
    LoseReply {
        index: prop::sample::Index,
    },
    Wait {
        ms: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (0..KEYS.len()).prop_map(|key| Step::Set { key }),
        2 => (0..KEYS.len()).prop_map(|key| Step::Delete { key }),
        8 => index().prop_map(|index| Step::Deliver { index }),
        2 => index().prop_map(|index| Step::DeliverTwice { index }),
        3 => index().prop_map(|index| Step::Copy { index }),
        2 => index().prop_map(|index| Step::DeliverCopy { index }),
        3 => index().prop_map(|index| Step::LoseRequest { index }),
        2 => index().prop_map(|index| Step::LoseReply { index }),
        2 => (1u64..4000).prop_map(|ms| Step::Wait { ms }),
    ]
}

/// A leader, its followers, and what is between them. It checks at every step what must always hold.
struct World {
    leader: Leader,
    followers: Vec<Follower>,
    /// Those that answer no questions.
    silent: FollowerSet,
    under_way: Vec<Message>,
    /// What may arrive though nobody waits for it.
    copies: Vec<Message>,
    /// The greatest version of a deletion.
    floor: u64,
    now: Duration,
    quorum: usize,
    /// The greatest stamp that reached each follower, by key: the model.
    reached: Vec<BTreeMap<Key, Entry>>,
    accepted: BTreeMap<WriteId, (Key, Stamp)>,
    completed: BTreeMap<WriteId, Completion>,
}

impl World {
    fn new(followers: usize, quorum: usize, window: usize) -> Self {
        let limits = Limits { window, window_bytes: 1 << 20, ..Limits::default() };
        let config = LeaderConfig { limits, ..config(followers, quorum, 0) };
        let (leader, followers) = cluster(config);
        Self {
            leader,
            followers,
            silent: FollowerSet::default(),
            under_way: Vec::new(),
            copies: Vec::new(),
            floor: 0,
            now: Duration::ZERO,
            quorum,
            reached: vec![BTreeMap::new(); FollowerSet::CAPACITY],
            accepted: BTreeMap::new(),
            completed: BTreeMap::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        let pick = |index: &prop::sample::Index, n: usize| (n > 0).then(|| index.index(n));
        match step {
            Step::Set { key } => self.set(KEYS[*key]),
            Step::Delete { key } => self.delete(KEYS[*key]),
            Step::Copy { index } => {
                let copy = pick(index, self.under_way.len()).map(|at| self.under_way[at].clone());
                self.copies.extend(copy);
            }
            Step::DeliverCopy { index } => {
                if let Some(at) = pick(index, self.copies.len()) {
                    let copy = self.copies.remove(at);
                    self.deliver(&copy);
                }
            }
            Step::Wait { ms } => self.wait(Duration::from_millis(*ms)),
            Step::Deliver { index } | Step::DeliverTwice { index } => {
                let Some(at) = pick(index, self.under_way.len()) else { return };
                let message = self.under_way.remove(at);
                if matches!(step, Step::DeliverTwice { .. }) {
                    let stored = self.deliver(&message);
                    self.reply(&message, stores(message.to, stored));
                }
                let stored = self.deliver(&message);
                self.reply(&message, stores(message.to, stored));
            }
            Step::LoseRequest { index } => {
                let Some(at) = pick(index, self.under_way.len()) else { return };
                let message = self.under_way.remove(at);
                self.reply(&message, Reply::Lost);
            }
            Step::LoseReply { index } => {
                let Some(at) = pick(index, self.under_way.len()) else { return };
                let message = self.under_way.remove(at);
                self.deliver(&message);
                self.reply(&message, Reply::Lost);
            }
        }
    }

    fn set(&mut self, key: &str) {
        let key = Key::new(key).unwrap();
        let value = Value::from_json(&format!("\"{key}{}\"", self.accepted.len())).unwrap();
        let before = self.version(&key);
        let accepted = self.leader.set(self.now, None, key.clone(), value).unwrap();
        self.accept(key, before, accepted);
    }

    fn delete(&mut self, key: &str) {
        let key = Key::new(key).unwrap();
        let before = self.version(&key);
        let accepted = self.leader.delete(self.now, None, key.clone()).unwrap();
        self.floor = self.floor.max(accepted.stamp.version.get());
        self.accept(key, before, accepted);
    }

    /// The version after which the next write of a key comes: its own, or if it is not there the greatest of a deletion.
    fn version(&self, key: &Key) -> u64 {
        self.leader.store().get(key).map_or(self.floor, |entry| entry.stamp.version.get())
    }

    fn accept(&mut self, key: Key, before: u64, accepted: Accepted) {
        assert_eq!(accepted.stamp.version.get(), before + 1, "versions of a key step by one");
        self.accepted.insert(accepted.write, (key, accepted.stamp));
        self.drain();
    }

    /// Follows the leader's timers, each at its time.
    fn wait(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(at) = self.leader.wake_at().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.leader.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn deliver(&mut self, message: &Message) -> Stamp {
        let follower = message.to.index();
        let entry = &message.update.entry;
        // What was deleted and forgotten counts as if it were stored.
        let before = self.reached[follower].get(message.key()).map(|entry| entry.stamp);
        let applied = self.followers[follower].replicate(LeaderId(0), message.key(), entry.clone());
        assert_eq!(applied == Applied::Yes, before.is_none_or(|before| before < message.stamp()));
        let after = match applied {
            Applied::Stale { stored } => stored,
            _ => message.stamp(),
        };
        let reached = self.reached[follower].entry(message.key().clone()).or_insert_with(|| entry.clone());
        if entry.stamp > reached.stamp {
            *reached = entry.clone();
        }
        after
    }

    fn reply(&mut self, message: &Message, reply: Reply) {
        self.leader.handle_reply(self.now, message, reply);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.leader.poll_output() {
            match output {
                Output::Send(message) => {
                    let overtakes = |other: &Message| {
                        message.attempt > 1
                            && other.attempt == 1
                            && other.to == message.to
                            && other.key() == message.key()
                    };
                    assert!(!self.under_way.iter().any(overtakes), "a resend overtakes a first delivery");
                    self.under_way.push(message);
                }
                Output::Complete(completion) => self.complete(completion),
                Output::Ask(call) if self.silent.contains(call.to) => {
                    self.leader.handle_answer(self.now, call.to, call.number, Asked::Lost);
                }
                Output::Ask(call) => {
                    let answer = self.followers[call.to.index()].ask(&call.ask, &mut Vec::new());
                    self.leader.handle_answer(self.now, call.to, call.number, Asked::Answered(answer));
                }
                Output::Tell(_) | Output::Reconnect(_) | Output::Read(..) => {}
            }
        }
    }

    fn complete(&mut self, completion: Completion) {
        let (key, stamp) = &self.accepted[&completion.write];
        assert_eq!(completion.stamp, *stamp);
        assert_eq!(completion.ok, completion.confirmations >= self.quorum);
        let holders =
            self.reached.iter().filter(|reached| reached.get(key).is_some_and(|it| it.stamp >= *stamp)).count();
        assert!(completion.confirmations <= holders, "{completion:?}, but {holders} followers store it");
        assert!(self.completed.insert(completion.write, completion).is_none(), "a write was answered twice");
    }

    /// Lets everything that is under way arrive, and time pass, until the leader has nothing left to do.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            while let Some(message) = self.under_way.pop() {
                let stored = self.deliver(&message);
                self.reply(&message, stores(message.to, stored));
            }
            match next_timer(&self.leader) {
                Some(at) => self.wait(at.saturating_sub(self.now)),
                None => return,
            }
        }
        panic!("the leader never comes to rest: {:?}", self.leader);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn followers_end_at_the_greatest_stamp_that_reached_them(
        (followers, quorum) in (1usize..=5).prop_flat_map(|n| (Just(n), 1..=n)),
        window in prop_oneof![Just(2usize), Just(1000)],
        steps in vec(step(), 1..120),
    ) {
        let mut world = World::new(followers, quorum, window);
        for step in &steps {
            world.step(step);
            for (follower, reached) in world.followers.iter().zip(&world.reached) {
                prop_assert!(follower.store().iter().eq(reached.iter().filter(|(_, entry)| !entry.is_tombstone())));
            }
        }
    }

    #[test]
    fn replicas_become_equal_once_nothing_is_lost_and_every_write_is_answered(
        (followers, quorum) in (1usize..=5).prop_flat_map(|n| (Just(n), 1..=n)),
        window in prop_oneof![Just(2usize), Just(1000)],
        steps in vec(step(), 1..120),
    ) {
        let mut world = World::new(followers, quorum, window);
        steps.iter().for_each(|step| world.step(step));
        world.settle();
        for follower in &world.followers {
            prop_assert_eq!(follower.store(), world.leader.store());
        }
        prop_assert_eq!(world.leader.store().tombstone_count(), 0, "all followers know of all deletions");
        for copy in std::mem::take(&mut world.copies) {
            world.deliver(&copy);
        }
        prop_assert!(world.followers.iter().all(|follower| follower.store() == world.leader.store()));
        prop_assert_eq!(world.completed.len(), world.accepted.len());
        prop_assert_eq!(world.leader.open_writes(), 0);
        prop_assert!(world.leader.status().all(|status| status.missed == 0 && status.unanswered == 0));
    }

    #[test]
    fn what_a_silent_follower_missed_is_bounded_by_the_number_of_keys(writes in 1usize..400) {
        let mut world = World::new(2, 1, 1000);
        world.silent.insert(FollowerId(1));
        for n in 0..writes {
            world.set(KEYS[n % KEYS.len()]);
            while let Some(message) = world.under_way.pop() {
                let reply = match message.to {
                    FollowerId(0) => stores(message.to, world.deliver(&message)),
                    _ => Reply::Lost,
                };
                world.reply(&message, reply);
            }
            world.wait(Duration::from_millis(500));
        }
        let silent = world.leader.status().last().unwrap();
        prop_assert!(!silent.reachable && silent.missed <= KEYS.len());
        prop_assert_eq!(world.leader.open_writes(), 0);
    }
}

#[test]
fn one_follower_that_answers_twice_confirms_once() {
    let mut world = World::new(3, 2, 1000);
    world.set("x");
    let first = world.under_way[0].clone();
    let stored = world.deliver(&first);
    world.reply(&first, stores(first.to, stored));
    world.reply(&first, stores(first.to, stored));
    assert!(world.completed.is_empty());
    let second = world.under_way[1].clone();
    let stored = world.deliver(&second);
    world.reply(&second, stores(second.to, stored));
    assert_eq!(world.completed[&1].confirmations, 2);
}

#[test]
fn a_refusal_and_a_silence_confirm_nothing() {
    let mut world = World::new(2, 1, 1000);
    world.set("x");
    for (message, reply) in world.under_way.clone().iter().zip([Reply::Refused, Reply::Lost]) {
        world.under_way.retain(|other| other != message);
        world.reply(message, reply);
    }
    world.wait(Duration::from_secs(5));
    let completion = world.completed[&1];
    assert!(!completion.ok && completion.confirmations == 0 && completion.required == 1);
}

#[test]
fn a_greater_stamp_that_this_leader_never_issued_confirms_nothing() {
    let mut world = World::new(1, 1, 1000);
    let key = Key::new("x").unwrap();
    let of_an_earlier_life = Stamp::of_version(Version::new(7).unwrap());
    let entry = Entry::new(of_an_earlier_life, Value::from_json("0").ok());
    world.followers[0].replicate(LeaderId(0), &key, entry);
    world.set("x");
    let message = world.under_way.remove(0);
    world.reply(&message, stores(message.to, of_an_earlier_life));
    assert!(world.completed.is_empty());
}

#[test]
fn a_quorum_of_none_is_met_at_once() {
    let mut world = World::new(0, 0, 1000);
    world.set("x");
    assert!(world.completed[&1].ok);
}

#[test]
fn a_silent_follower_is_asked_ever_less_often_and_caught_up_in_rounds_that_grow() {
    let mut world = World::new(1, 1, 10_000);
    for n in 0..1000 {
        let key = Key::new(&format!("k{n}")).unwrap();
        world.leader.set(world.now, None, key, Value::from_json("1").unwrap()).unwrap();
    }
    while let Some(output) = world.leader.poll_output() {
        if let Output::Send(message) = output {
            world.leader.handle_reply(world.now, &message, Reply::Lost);
        }
    }
    // Down for a minute: one message a round, and the rounds at most two seconds apart.
    let mut sent = 0;
    while world.now < Duration::from_secs(60) {
        world.now = world.leader.wake_at().unwrap().max(world.now);
        world.leader.handle_timeout(world.now);
        while let Some(output) = world.leader.poll_output() {
            if let Output::Send(message) = output {
                sent += 1;
                world.leader.handle_reply(world.now, &message, Reply::Lost);
            }
        }
    }
    assert!((30..=70).contains(&sent), "{sent} messages in a minute");
    // Up again: 1, 2, 4, … up to 256 a round.
    let mut rounds = Vec::new();
    while world.leader.status().next().unwrap().missed > 0 {
        world.now = next_timer(&world.leader).unwrap().max(world.now);
        world.leader.handle_timeout(world.now);
        let outputs: Vec<_> = std::iter::from_fn(|| world.leader.poll_output()).collect();
        let sent: Vec<_> =
            outputs.iter().filter_map(|it| if let Output::Send(message) = it { Some(message) } else { None }).collect();
        rounds.push(sent.len());
        for message in sent {
            world.leader.handle_reply(world.now, message, stores(message.to, message.stamp()));
        }
    }
    assert_eq!(rounds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 233]);
}

#[test]
fn a_set_of_followers_fits_a_leader() {
    let world = World::new(FollowerSet::CAPACITY, FollowerSet::CAPACITY, 1);
    assert_eq!(world.leader.status().count(), FollowerSet::CAPACITY);
}
