mod admission;
mod behaviour;
mod catch_up;
mod collect;
mod connection;
mod contest;
mod peers;
mod progress;
mod read;
mod retry;
mod start;
mod timers;
mod upkeep;
mod vocabulary;
mod write;

pub use progress::{FollowerStatus, Progress};
pub use vocabulary::{
    Accepted, Asked, Call, Completion, News, Output, ReadId, Readable, Rejected, Reply, Stored, Terms, Timer, Waiting,
};

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::ask::{Configuration, Incarnation, LeaderId, Standing};
use super::resend::Resender;
use super::store::Store;
use super::{Limits, Message, Rules, Update};
use crate::base::trace::WriteId;
use crate::base::{Epoch, FollowerId, FollowerSet, Key, Seed, Stamp, Version};
use admission::Admission;
use collect::Collection;
use contest::Contest;
use peers::Peers;
use read::{Uncommitted, Waiter};
use retry::Retries;
use start::Start;
use upkeep::Link;

/// What a leader must know from the start.
#[derive(Debug, Clone)]
pub struct LeaderConfig {
    /// Which of all the lives of all leaders this is.
    pub id: LeaderId,
    /// The first epoch that it asks for. A cluster whose nodes have all lost their memory begins with it, so it should be
    /// greater than any that an earlier leader had.
    pub first_epoch: Epoch,
    /// The members that it replicates to, at most [`FollowerSet::CAPACITY`], and how many of them must confirm a write before
    /// its client is told `ok`.
    pub configuration: Configuration,
    /// The numbers of the members, in their order. A node numbers them from 0; where members change in a simulation, those
    /// that stay keep their numbers.
    pub followers: FollowerSet,
    /// How long a write may wait for its quorum, from its acceptance.
    pub repl_timeout: Duration,
    /// How much may be under way.
    pub limits: Limits,
    /// Where the jitter of resends comes from.
    pub seed: Seed,
    /// Which decisions are in force.
    pub rules: Rules,
}

/// The leader's side of the protocol.
///
/// It begins with nothing, so it first makes the followers promise it an epoch, learns from them what was written before,
/// and brings that back to a quorum; only then it serves. From there on it gives every write its version, stores it, sends
/// it to every follower that is up to date at once, and calls it complete when `write_quorum` distinct followers have confirmed
/// or `repl_timeout` has passed. It goes on replicating after that, until each follower has the newest write of each key, and
/// brings followers up to date that have lost their memory.
///
/// - To read: [`Leader::store`], [`Leader::status`], [`Leader::waiting_for`].
/// - To feed: [`Leader::set`] for a client's write, [`Leader::handle_reply`] for what became of a message,
///   [`Leader::handle_answer`] for the answer to a question, [`Leader::handle_disconnect`] when a connection to a follower has
///   ended, [`Leader::handle_timeout`] when [`Leader::wake_at`] has come; [`Leader::accept_loss`] for an operator.
/// - To poll, after each of them and until it returns `None`: [`Leader::poll_output`]. Then ask [`Leader::wake_at`]
///   again.
#[derive(Debug, Clone)]
pub struct Leader {
    config: LeaderConfig,
    epoch: Epoch,
    phase: Phase,
    contest: Contest,
    /// The lives of followers that have promised its epoch, under whatever names; of many, the last of each name.
    lives: BTreeSet<Incarnation>,
    /// The followers to which a connection has ended, or a message or question failed, and from which nothing has come since that
    /// ends the doubt. What they confirmed does not count.
    doubted: FollowerSet,
    /// Whether it has served, or a follower with its memory intact has promised one of its epochs. Then the cluster is not new, even if
    /// every memory of it is lost by now.
    has_met_memory: bool,
    /// How often it has begun to ask everybody whether its epoch still stands.
    round: u64,
    /// How many questions it has asked.
    asked: u64,
    /// When the next one is due, [`Duration::MAX`] for never; kept, for it is asked for much more often than it changes.
    next_ask: Duration,
    store: Store,
    /// The greatest version of a deletion. A key that is not there goes on after it.
    floor: Option<Version>,
    /// The tombstones, by when they may be forgotten; and some that are none any more.
    deleted: BTreeMap<(Duration, Key), Stamp>,
    /// How many rounds of collecting deletions have begun.
    collections: u64,
    /// The deletions that are being forgotten, if any are.
    collection: Option<Collection>,
    /// The keys of which the newest write is not committed.
    uncommitted: BTreeMap<Key, Uncommitted>,
    /// The linearizable reads that wait, in their order.
    reads: VecDeque<Waiter>,
    last_read: ReadId,
    last_write: WriteId,
    /// The last write in each bucket of the store that was written in this epoch. Feeds no hash: it follows from the
    /// numbers and keys of the writes that were accepted, which a search remembers.
    written_in: BTreeMap<u8, WriteId>,
    /// The writes of which anything is still open: the client's answer, or the first delivery to a follower.
    open: BTreeMap<WriteId, Open>,
    /// The retries among them whose client waits.
    retries: Retries,
    /// What those hold whose client waits.
    admission: Admission,
    /// The deadlines of the writes in `open` whose client still waits, and of some whose client does not any more.
    /// Invariants: in order, for the timeout is the same for all; the client of the first one waits.
    deadlines: VecDeque<(Duration, WriteId)>,
    peers: Peers,
    outputs: VecDeque<Output>,
}

/// How far the leader has come.
#[derive(Debug, Clone)]
enum Phase {
    /// It does not know yet what was written before it.
    Starting(Box<Start>),
    /// It takes writes on.
    Serving,
}

/// What the leader keeps for one follower.
#[derive(Debug, Clone)]
struct Peer {
    link: Link,
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
    update: Arc<Update>,
    /// Followers that were sent the first delivery and have not answered it. Nobody else may lower this set.
    unanswered: FollowerSet,
    /// Followers known to store the write or a later one of this leader.
    confirmed: FollowerSet,
    /// How many answers said so; looked at only where followers are not told apart.
    answers: usize,
    /// Whether the client's answer is still to be given.
    waiting: bool,
}

impl Leader {
    /// A leader with an empty store, which asks its followers at once.
    ///
    /// # Panics
    /// If the quorum is larger than the number of followers, or the members are not as many as the followers.
    pub fn new(config: LeaderConfig) -> Self {
        let Configuration { members, write_quorum } = &config.configuration;
        let followers = members.len();
        assert_eq!(followers, config.followers.len(), "each follower has a name");
        assert!(*write_quorum <= followers, "a quorum of {write_quorum} cannot be met");
        let seed = config.seed.fork("resend");
        let peer = |to| Peer {
            link: Link::default(),
            unanswered: 0,
            unanswered_bytes: 0,
            reachable: true,
            resender: Resender::new(to, seed),
        };
        let mut leader = Self {
            peers: Peers::new(config.followers, peer),
            config,
            epoch: Epoch::FIRST,
            phase: Phase::Serving,
            contest: Contest::default(),
            lives: BTreeSet::new(),
            doubted: FollowerSet::default(),
            has_met_memory: false,
            round: 0,
            asked: 0,
            next_ask: Duration::MAX,
            store: Store::default(),
            floor: None,
            deleted: BTreeMap::new(),
            collections: 0,
            collection: None,
            uncommitted: BTreeMap::new(),
            reads: VecDeque::new(),
            last_read: 0,
            last_write: 0,
            written_in: BTreeMap::new(),
            open: BTreeMap::new(),
            retries: Retries::default(),
            admission: Admission::default(),
            deadlines: VecDeque::new(),
            outputs: VecDeque::new(),
        };
        if leader.config.rules.recover_on_start && followers > 0 {
            let first = leader.config.first_epoch;
            leader.start(Duration::ZERO, first);
        }
        leader
    }

    /// What the leader stores.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The number of first deliveries without an answer, and of keys whose newest write a follower has missed.
    pub fn backlog(&self, of: FollowerId) -> (usize, usize) {
        let peer = &self.peers[of];
        (peer.unanswered, peer.resender.len())
    }

    /// Up to which version everything that is not stored here was deleted; none if nothing ever was.
    pub fn floor(&self) -> Option<Version> {
        self.floor
    }

    /// Whether the leader takes writes on and knows what was written before.
    pub fn serves(&self) -> bool {
        matches!(self.phase, Phase::Serving)
    }

    /// The leader's epoch, or the one that it wants to have.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Which of all the lives of all leaders this is.
    pub fn id(&self) -> LeaderId {
        self.config.id
    }

    /// Which decisions are in force.
    pub fn rules(&self) -> Rules {
        self.config.rules
    }

    fn followers(&self) -> impl DoubleEndedIterator<Item = FollowerId> + use<> {
        self.peers.ids()
    }

    fn write_quorum(&self) -> usize {
        self.config.configuration.write_quorum
    }

    /// How many writes are open: their client waits, or a follower has not answered the first delivery.
    pub fn open_writes(&self) -> usize {
        self.open.len()
    }

    /// Learns what became of a message.
    pub fn handle_reply(&mut self, now: Duration, message: &Message, reply: Reply) {
        if let Reply::Fenced(promised) = reply
            && self.is_deposed_by(promised, message.stamp().epoch)
        {
            return self.step_down(now, promised);
        }
        if message.stamp().epoch != self.epoch {
            return;
        }
        let stored = self.heed(now, message.to, reply);
        if stored.is_some() {
            self.peers[message.to].resender.heard(now);
        }
        let first_ended = message.attempt == 1 && self.settle_first_delivery(message);
        if first_ended && stored.is_none() && reply != Reply::Legacy {
            self.note_missed(now, message);
        }
        if let Some(stored) = stored {
            self.note_stored(message.key(), stored, message.to);
            self.confirm_retries(message.key(), stored, message.to);
            let made_good = self.peers[message.to].resender.stored(message.key(), stored);
            if !self.config.rules.confirm_only_stored || self.is_own(message, stored) {
                for write in made_good.into_iter().chain([message.update.write]) {
                    self.confirm(write, message.to);
                }
            }
        } else if !self.config.rules.confirm_only_answers {
            self.confirm(message.update.write, message.to);
        }
        let peer = &mut self.peers[message.to];
        if reply == Reply::Legacy {
            peer.resender.stored(message.key(), message.stamp());
            peer.reachable = true;
        }
        peer.resender.settle(now, message, reply != Reply::Lost, stored.is_some());
        // A late end of a message that has been made good since says nothing: the follower has answered for its key.
        if stored.is_none() && reply != Reply::Legacy && peer.resender.len() > 0 {
            peer.reachable = false;
        }
        self.forget_if_settled(message.update.write);
        if self.collect(now) {
            self.attend_to_all(now);
        }
    }

    /// What a reply says of the follower. The stamp that it stores, if that counts.
    fn heed(&mut self, now: Duration, from: FollowerId, reply: Reply) -> Option<Stamp> {
        let peer = &mut self.peers[from];
        match reply {
            Reply::Stored(stored) => {
                let counts = !self.config.rules.confirm_only_current
                    || (stored.standing == Standing::Normal && peer.link.is_current_in(stored.incarnation));
                if counts {
                    peer.reachable = true;
                    peer.link.heard(now);
                    // It can be reached, so the next question need not wait as long as after those that had no answer.
                    let waits = peer.link.ends_pause(now);
                    self.end_doubt(from, None);
                    if waits {
                        self.attend(now, from);
                    }
                    return Some(stored.stamp);
                }
                if self.other_known_as(from, stored.incarnation).is_some() {
                    self.doubt(from);
                    self.outputs.push_back(Output::Reconnect(from));
                }
                self.look_after(now, from);
            }
            Reply::Fenced(_) => self.look_after(now, from),
            // What it stores besides is not known.
            Reply::Legacy => self.take_for_legacy(from, false),
            Reply::Refused | Reply::Lost => {}
        }
        None
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The first answer to a first delivery; false for any later one.
    fn settle_first_delivery(&mut self, message: &Message) -> bool {
        let is_first = self.open.get_mut(&message.update.write).is_some_and(|open| open.unanswered.remove(message.to));
        if is_first {
            let peer = &mut self.peers[message.to];
            peer.unanswered -= 1;
            peer.unanswered_bytes -= message.update.size();
        }
        is_first
    }

    fn note_missed(&mut self, now: Duration, message: &Message) {
        if !self.config.rules.resend_missed {
            return;
        }
        let waits = self.is_waiting(message.update.write);
        self.peers[message.to].resender.missed(now, &message.update, message.attempt, waits);
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
            self.complete_if_confirmed(write);
        }
    }

    /// Answers the client of a write if enough followers have confirmed it.
    fn complete_if_confirmed(&mut self, write: WriteId) {
        let quorum = self.write_quorum();
        let is_confirmed = |open: &Open| open.waiting && open.confirmations(self.config.rules, self.doubted) >= quorum;
        if self.open.get(&write).is_some_and(is_confirmed) {
            self.complete(write, true);
        }
    }

    fn complete(&mut self, write: WriteId, ok: bool) {
        let Some(open) = self.open.get_mut(&write) else { return };
        open.waiting = false;
        let update = Arc::clone(&open.update);
        self.admission.end(update.size());
        self.outputs.push_back(Output::Complete(Completion {
            write,
            stamp: open.update.entry.stamp,
            ok,
            confirmations: open.confirmations(self.config.rules, self.doubted),
            required: self.config.configuration.write_quorum,
        }));
        if ok {
            self.note_committed(&update.key, update.entry.clone());
        }
        self.retries.remove(&update.key, write);
        for peer in self.peers.iter_mut().filter(|peer| peer.resender.len() > 0) {
            peer.resender.waits_no_more(&update.key, write);
        }
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
    /// The confirmations that count, which are not those of followers in doubt.
    fn confirmations(&self, rules: Rules, doubted: FollowerSet) -> usize {
        if rules.count_distinct { self.confirmed.without(doubted).len() } else { self.answers }
    }
}

/// The keys of which a first delivery to this follower is unanswered.
fn keys_on_their_way(open: &BTreeMap<WriteId, Open>, to: FollowerId) -> BTreeSet<Key> {
    open.values().filter(|open| open.unanswered.contains(to)).map(|open| open.update.key.clone()).collect()
}
