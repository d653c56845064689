use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::resend::Resender;
use super::store::{Entry, Store};
use super::{Message, Rules, Update};
use crate::base::trace::WriteId;
use crate::base::{FollowerId, FollowerSet, Key, Seed, Stamp, Value, Version};

/// What a leader must know from the start.
#[derive(Debug, Clone)]
pub struct LeaderConfig {
    /// How many followers it replicates to, at most [`FollowerSet::CAPACITY`].
    pub followers: usize,
    /// How many of them must confirm a write before its client is told `ok`. At most `followers`.
    pub write_quorum: usize,
    /// How long a write may wait for its quorum, from its acceptance.
    pub repl_timeout: Duration,
    /// The most first deliveries to one follower that may be unanswered. A write past it goes to the follower as
    /// something missed, so that a follower which does not answer costs memory for its keys, not for its writes.
    pub window: usize,
    /// The most bytes of keys and values that they may hold. A single write may be larger.
    pub window_bytes: usize,
    /// Where the jitter of resends comes from.
    pub seed: Seed,
    /// Which decisions are in force.
    pub rules: Rules,
}

/// The leader's side of the protocol. It gives every write its version, stores it, sends it to every follower at once,
/// and calls it complete when `write_quorum` distinct followers have confirmed or `repl_timeout` has passed. It goes on
/// replicating after that, until each follower has the newest write of each key.
///
/// - To read: [`Leader::store`], [`Leader::status`].
/// - To feed: [`Leader::set`] for a client's write, [`Leader::handle_reply`] for what became of a message,
///   [`Leader::handle_timeout`] when [`Leader::wake_at`] has come.
/// - To poll, after each of them and until it returns `None`: [`Leader::poll_output`]. Then ask [`Leader::wake_at`]
///   again.
#[derive(Debug, Clone)]
pub struct Leader {
    config: LeaderConfig,
    store: Store,
    last_write: WriteId,
    /// The writes of which anything is still open: the client's answer, or the first delivery to a follower.
    open: BTreeMap<WriteId, Open>,
    /// The deadlines of the writes in `open` whose client still waits, and of some whose client does not any more.
    /// Invariants: in order, for the timeout is the same for all; the client of the first one waits.
    deadlines: VecDeque<(Duration, WriteId)>,
    peers: Vec<Peer>,
    outputs: VecDeque<Output>,
}

/// What the leader keeps for one follower.
#[derive(Debug, Clone)]
struct Peer {
    /// First deliveries without an answer, and the bytes that they hold.
    unanswered: usize,
    unanswered_bytes: usize,
    /// False from a message that it did not take until one that it did.
    reachable: bool,
    resender: Resender,
}

/// A write that is not settled everywhere.
#[derive(Debug, Clone)]
struct Open {
    key: Key,
    stamp: Stamp,
    /// Followers that were sent the first delivery and have not answered it. Nobody else may lower this set.
    unanswered: FollowerSet,
    /// Followers known to store the write or a later one of this leader.
    confirmed: FollowerSet,
    /// How many answers said so; looked at only where followers are not told apart.
    answers: usize,
    /// Whether the client's answer is still to be given.
    waiting: bool,
}

/// A write that was taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Names the write in [`Output::Complete`].
    pub write: WriteId,
    /// The stamp that it got.
    pub stamp: Stamp,
}

/// Why a write was not taken on. It has no version and no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The key has used every version there is.
    #[error("key {key:?} has used its last version, {max}", max = Version::MAX)]
    VersionsUsedUp {
        /// The key.
        key: Key,
    },
}

/// What the leader wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Bring this message to its follower and call [`Leader::handle_reply`] with what became of it, once.
    Send(Message),
    /// Answer the client of this write.
    Complete(Completion),
}

/// How a write ended for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completion {
    /// The write.
    pub write: WriteId,
    /// Its stamp.
    pub stamp: Stamp,
    /// Whether the quorum was reached in time.
    pub ok: bool,
    /// The distinct followers that had confirmed by then.
    pub confirmations: usize,
    /// The quorum.
    pub required: usize,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The follower now stores this stamp for the message's key.
    Stored(Stamp),
    /// The follower answered, but would not take the message.
    Refused,
    /// No answer: no connection, a passed deadline, a lost request or a lost reply.
    Lost,
}

/// How a follower fares, as the leader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerStatus {
    /// False from a message that it did not take until one that it did. True before the first.
    pub reachable: bool,
    /// First deliveries without an answer yet.
    pub unanswered: usize,
    /// Keys whose newest write it is known to have missed.
    pub missed: usize,
}

impl Leader {
    /// A leader with an empty store.
    ///
    /// # Panics
    /// If the quorum is larger than the number of followers, or that number larger than [`FollowerSet::CAPACITY`].
    pub fn new(config: LeaderConfig) -> Self {
        assert!(config.followers <= FollowerSet::CAPACITY, "too many followers: {}", config.followers);
        assert!(config.write_quorum <= config.followers, "a quorum of {} cannot be met", config.write_quorum);
        let seed = config.seed.fork("resend");
        let peer = |to| Peer { unanswered: 0, unanswered_bytes: 0, reachable: true, resender: Resender::new(to, seed) };
        Self {
            peers: FollowerId::first(config.followers).map(peer).collect(),
            config,
            store: Store::default(),
            last_write: 0,
            open: BTreeMap::new(),
            deadlines: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// What the leader stores.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How each follower fares, in order.
    pub fn status(&self) -> impl Iterator<Item = FollowerStatus> {
        self.peers.iter().map(|peer| FollowerStatus {
            reachable: peer.reachable,
            unanswered: peer.unanswered,
            missed: peer.resender.len(),
        })
    }

    /// How many writes are open: their client waits, or a follower has not answered the first delivery.
    pub fn open_writes(&self) -> usize {
        self.open.len()
    }

    /// Takes a client's write on: it gets the version after the key's last, is stored here, and goes to every follower.
    /// `operation` is the client's name for it, if it has one; see [`Update::operation`].
    ///
    /// # Errors
    /// [`Rejected`], without any effect.
    pub fn set(&mut self, now: Duration, operation: Option<u64>, key: Key, value: Value) -> Result<Accepted, Rejected> {
        let version = match self.store.stamp(&key) {
            None => Version::FIRST,
            Some(last) => last.version.next().ok_or_else(|| Rejected::VersionsUsedUp { key: key.clone() })?,
        };
        let version = if self.config.rules.one_writer { version } else { self.version_seen_too_early(&key, version) };
        let stamp = Stamp::of_version(version);
        let entry = Entry { stamp, value };
        if self.config.rules.one_writer {
            self.store.apply(&key, entry.clone());
        } else {
            self.store.overwrite(&key, entry.clone());
        }
        self.last_write += 1;
        let write = self.last_write;
        let update = Arc::new(Update { write, operation: operation.unwrap_or(write), key: key.clone(), entry });
        let mut open = Open {
            key,
            stamp,
            unanswered: FollowerSet::default(),
            confirmed: FollowerSet::default(),
            answers: 0,
            waiting: true,
        };
        if self.config.rules.answer_by_deadline {
            self.deadlines.push_back((now + self.config.repl_timeout, write));
        }
        let oldest_waiting = self.oldest_waiting();
        let size = update.size();
        for (to, peer) in FollowerId::first(self.config.followers).zip(&mut self.peers) {
            let fits = peer.unanswered_bytes + size <= self.config.window_bytes || peer.unanswered == 0;
            if (peer.unanswered < self.config.window && fits) || !self.config.rules.bound_window {
                peer.unanswered += 1;
                peer.unanswered_bytes += size;
                open.unanswered.insert(to);
                self.outputs.push_back(Output::Send(Message { to, attempt: 1, update: Arc::clone(&update) }));
            } else if self.config.rules.resend_missed {
                peer.resender.missed(now, &update, 0, oldest_waiting);
            }
        }
        self.open.insert(write, open);
        if self.config.write_quorum == 0 {
            self.complete(write, true);
        }
        Ok(Accepted { write, stamp })
    }

    /// The version that a handler gives which read the key's last one before the writes that are under way had been
    /// stored: that of the first of them. `next` if there is none.
    fn version_seen_too_early(&self, key: &Key, next: Version) -> Version {
        let under_way = self.open.values().filter(|open| open.waiting && open.key == *key);
        under_way.map(|open| open.stamp.version).min().unwrap_or(next)
    }

    /// Learns what became of a message.
    pub fn handle_reply(&mut self, now: Duration, message: &Message, reply: Reply) {
        if let Reply::Stored(_) = reply {
            let peer = &mut self.peers[message.to.index()];
            peer.reachable = true;
            peer.resender.heard(now);
        }
        let first_ended = message.attempt == 1 && self.settle_first_delivery(message);
        if first_ended && !matches!(reply, Reply::Stored(_)) {
            self.note_missed(now, message);
        }
        if let Reply::Stored(stored) = reply {
            let made_good = self.peers[message.to.index()].resender.stored(message.key(), stored);
            if !self.config.rules.confirm_only_stored || self.is_own(message, stored) {
                for write in made_good.into_iter().chain([message.update.write]) {
                    self.confirm(write, message.to);
                }
            }
        } else if !self.config.rules.confirm_only_answers {
            self.confirm(message.update.write, message.to);
        }
        let peer = &mut self.peers[message.to.index()];
        peer.resender.settle(now, message, reply);
        // A late end of a message that has been made good since says nothing: the follower has answered for its key.
        if !matches!(reply, Reply::Stored(_)) && peer.resender.len() > 0 {
            peer.reachable = false;
        }
        self.forget_if_settled(message.update.write);
    }

    /// Acts on the passing of time: answers the clients of writes whose deadline has come, and sends again what
    /// followers missed.
    pub fn handle_timeout(&mut self, now: Duration) {
        while let Some(&(_, write)) = self.deadlines.front().filter(|(deadline, _)| *deadline <= now) {
            self.complete(write, !self.config.rules.keep_quorum);
        }
        let open = &self.open;
        for (to, peer) in FollowerId::first(self.config.followers).zip(&mut self.peers) {
            let round = peer.resender.start_round(now, || keys_on_their_way(open, to));
            self.outputs.extend(round.into_iter().map(Output::Send));
        }
    }

    /// When [`Leader::handle_timeout`] is to be called next, if nothing else happens before.
    pub fn wake_at(&self) -> Option<Duration> {
        let deadline = self.deadlines.front().map(|&(deadline, _)| deadline);
        self.peers.iter().filter_map(|peer| peer.resender.wake_at()).chain(deadline).min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The first answer to a first delivery; false for any later one.
    fn settle_first_delivery(&mut self, message: &Message) -> bool {
        let is_first = self.open.get_mut(&message.update.write).is_some_and(|open| open.unanswered.remove(message.to));
        if is_first {
            let peer = &mut self.peers[message.to.index()];
            peer.unanswered -= 1;
            peer.unanswered_bytes -= message.update.size();
        }
        is_first
    }

    fn note_missed(&mut self, now: Duration, message: &Message) {
        if !self.config.rules.resend_missed {
            return;
        }
        let oldest_waiting = self.oldest_waiting();
        self.peers[message.to.index()].resender.missed(now, &message.update, message.attempt, oldest_waiting);
    }

    /// No client waits for a write before this one.
    fn oldest_waiting(&self) -> WriteId {
        self.deadlines.front().map_or(self.last_write + 1, |&(_, write)| write)
    }

    /// Whether what the follower stores is the message's write or a later one that this leader issued. Anything greater
    /// than the leader's own stamp comes from an earlier life of the leader and says nothing about this write. The
    /// message's own stamp, the usual answer, needs no look into the store.
    fn is_own(&self, message: &Message, stored: Stamp) -> bool {
        match stored.cmp(&message.stamp()) {
            Ordering::Less => false,
            Ordering::Equal => true,
            Ordering::Greater => self.store.stamp(message.key()).is_some_and(|newest| stored <= newest),
        }
    }

    fn confirm(&mut self, write: WriteId, by: FollowerId) {
        if let Some(open) = self.open.get_mut(&write) {
            open.confirmed.insert(by);
            open.answers += 1;
            if open.waiting && open.confirmations(self.config.rules) >= self.config.write_quorum {
                self.complete(write, true);
            }
        }
    }

    fn complete(&mut self, write: WriteId, ok: bool) {
        let Some(open) = self.open.get_mut(&write) else { return };
        open.waiting = false;
        self.outputs.push_back(Output::Complete(Completion {
            write,
            stamp: open.stamp,
            ok,
            confirmations: open.confirmations(self.config.rules),
            required: self.config.write_quorum,
        }));
        self.forget_if_settled(write);
        while self.deadlines.front().is_some_and(|(_, write)| !self.is_waiting(*write)) {
            self.deadlines.pop_front();
        }
    }

    fn is_waiting(&self, write: WriteId) -> bool {
        self.open.get(&write).is_some_and(|open| open.waiting)
    }

    fn forget_if_settled(&mut self, write: WriteId) {
        if self.open.get(&write).is_some_and(|open| !open.waiting && open.unanswered.is_empty()) {
            self.open.remove(&write);
        }
    }
}

impl Open {
    fn confirmations(&self, rules: Rules) -> usize {
        if rules.count_distinct { self.confirmed.len() } else { self.answers }
    }
}

/// The keys of which a first delivery to this follower is unanswered.
fn keys_on_their_way(open: &BTreeMap<WriteId, Open>, to: FollowerId) -> BTreeSet<Key> {
    open.values().filter(|open| open.unanswered.contains(to)).map(|open| open.key.clone()).collect()
}
