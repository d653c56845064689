//! What one follower missed, and when to try again.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::mem;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::backoff::jittered_pause;
use super::{Message, Update};
use crate::base::trace::WriteId;
use crate::base::{FollowerId, Key, Seed, Stamp};

/// How many keys that were missed during a snapshot are remembered at the most.
const MOST_SINCE: usize = 16_384;
/// How many keys are freed at a time.
const SWEEP: usize = 8192;
/// The most messages of one round.
const LARGEST_ROUND: usize = 256;

/// What one follower missed: the newest stamp for each key, so its size is bounded by the number of keys.
///
/// Resends go out in rounds, the next one only after every message of the last was answered or given up. A round that
/// reached the follower doubles the size of the next (slow start, as in [RFC 5681]); one that did not brings it down to
/// a single message and doubles the pause. The pauses are drawn with jitter, so that the resends of many followers, or
/// to one follower of many keys, do not fall into step. This is the retry budget: a follower that is down costs one
/// message every [`LONGEST_PAUSE`](super::backoff::LONGEST_PAUSE).
///
/// [RFC 5681]: https://www.rfc-editor.org/rfc/rfc5681#section-3.1
#[derive(Debug, Clone)]
pub(super) struct Resender {
    to: FollowerId,
    seed: Seed,
    missed: BTreeMap<Key, Missed>,
    /// The keys of which it has missed a write since the leader began to send it everything, while that lasts. The rest of what it
    /// missed is done with afterwards, and need not be looked for.
    since_snapshot: Option<BTreeSet<Key>>,
    /// What was missed and is done with, to be freed piece by piece: to free a million keys at once takes 0.2 s.
    garbage: Vec<BTreeMap<Key, Missed>>,
    /// The messages of the round that is under way and not yet settled: key, write and attempt.
    round: BTreeMap<Key, (WriteId, u32)>,
    /// How many messages the next round may have.
    budget: usize,
    /// How many rounds in a row got nothing stored; 0 while the follower takes what it is sent.
    failed_rounds: u32,
    /// Whether a message of this round reached the follower, and whether one was stored.
    reached: bool,
    progress: bool,
    /// Whether the last round got nothing stored because the follower refused it, rather than because it was away.
    refused: bool,
    /// When the next round begins. Invariant: set if something was missed and no round is under way.
    next_round: Option<Duration>,
    /// The key that was sent last. Rounds go on from there, so that one key that the follower refuses holds up no other.
    cursor: Option<Key>,
}

/// The newest write of a key that a follower missed.
#[derive(Debug, Clone)]
struct Missed {
    update: Arc<Update>,
    /// How often the update was sent to this follower.
    attempts: u32,
    /// Writes of this key whose clients wait. A resend that gets through confirms them too, for what the follower then stores
    /// is at least as new.
    waiting: BTreeSet<WriteId>,
}

impl Resender {
    pub(super) fn new(to: FollowerId, seed: Seed) -> Self {
        Self {
            to,
            seed,
            missed: BTreeMap::new(),
            since_snapshot: None,
            garbage: Vec::new(),
            round: BTreeMap::new(),
            budget: 1,
            failed_rounds: 0,
            reached: false,
            progress: false,
            refused: false,
            next_round: None,
            cursor: None,
        }
    }

    /// How many keys the follower is behind with.
    pub(super) fn len(&self) -> usize {
        self.missed.len()
    }

    /// Whether it is behind with this key.
    pub(super) fn misses(&self, key: &Key) -> bool {
        self.missed.contains_key(key)
    }

    /// When [`Resender::start_round`] is to be called.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.next_round
    }

    /// The follower missed this write; `attempts` messages were spent on it. `waits` says whether its client does.
    pub(super) fn missed(&mut self, now: Duration, update: &Arc<Update>, attempts: u32, waits: bool) {
        let missed = self.missed.entry(update.key.clone()).or_insert_with(|| Missed {
            update: Arc::clone(update),
            attempts,
            waiting: BTreeSet::new(),
        });
        if update.entry.stamp > missed.update.entry.stamp {
            missed.update = Arc::clone(update);
            missed.attempts = attempts;
        }
        if waits {
            missed.waiting.insert(update.write);
        }
        if let Some(since) = &mut self.since_snapshot {
            since.insert(update.key.clone());
            // A snapshot that was given up, or one that has taken very long: all are looked through at its end.
            if since.len() > MOST_SINCE {
                self.since_snapshot = None;
            }
        }
        self.schedule(now);
    }

    /// The client of a write has its answer.
    pub(super) fn waits_no_more(&mut self, key: &Key, write: WriteId) {
        if let Some(missed) = self.missed.get_mut(key) {
            missed.waiting.remove(&write);
        }
    }

    /// A message, first delivery or resend, found the follower at home: no need to wait out a long pause, unless what is
    /// left is what it refuses.
    pub(super) fn heard(&mut self, now: Duration) {
        if self.failed_rounds > 0 && !self.refused {
            self.failed_rounds = 0;
            if self.next_round.take().is_some() {
                self.schedule(now);
            }
        }
    }

    /// The follower stores this stamp: what it missed of the key is made good if it is not newer. Returns the writes
    /// whose clients were waiting for that.
    pub(super) fn stored(&mut self, key: &Key, stamp: Stamp) -> BTreeSet<WriteId> {
        match self.missed.get(key) {
            Some(missed) if missed.update.entry.stamp <= stamp => {
                self.missed.remove(key).map(|missed| missed.waiting).unwrap_or_default()
            }
            _ => BTreeSet::new(),
        }
    }

    /// The leader begins to send the follower everything.
    pub(super) fn begin_snapshot(&mut self) {
        self.since_snapshot = Some(BTreeSet::new());
    }

    /// Whether the client of this write waits for the follower to be sent it again.
    pub(super) fn waits(&self, key: &Key, write: WriteId) -> bool {
        self.missed.get(key).is_some_and(|missed| missed.waiting.contains(&write))
    }

    /// The follower was given everything up to this write, or only some of it if that is 0.
    pub(super) fn caught_up(&mut self, now: Duration, covers: WriteId) {
        if covers == 0 {
            self.since_snapshot = None;
        } else if let Some(since) = self.since_snapshot.take() {
            let is_left = |key: Key| self.missed.remove_entry(&key).filter(|(_, missed)| missed.update.write > covers);
            let left: BTreeMap<Key, Missed> = since.into_iter().filter_map(is_left).collect();
            self.garbage.push(mem::replace(&mut self.missed, left));
        } else {
            self.missed.retain(|_, missed| missed.update.write > covers);
        }
        self.failed_rounds = 0;
        self.next_round = None;
        self.schedule(now);
    }

    /// Frees a piece of what is done with.
    pub(super) fn sweep(&mut self) {
        if let Some(garbage) = self.garbage.last_mut() {
            (0..SWEEP).for_each(|_| drop(garbage.pop_first()));
            self.garbage.pop_if(|garbage| garbage.is_empty());
        }
    }

    /// A message of the round that is under way came to its end. One of an earlier round, or a second answer, is not
    /// counted.
    /// `reached` says whether there was an answer, `stored` whether it confirmed something.
    pub(super) fn settle(&mut self, now: Duration, message: &Message, reached: bool, stored: bool) {
        if self.round.get(message.key()) != Some(&(message.update.write, message.attempt)) {
            return;
        }
        self.round.remove(message.key());
        self.reached |= reached;
        self.progress |= stored;
        if !self.round.is_empty() {
            return;
        }
        self.budget = if self.reached { (self.budget * 2).min(LARGEST_ROUND) } else { 1 };
        self.refused = self.reached && !self.progress;
        self.failed_rounds = if self.progress { 0 } else { self.failed_rounds + 1 };
        if self.missed.is_empty() {
            self.next_round = None;
        } else if self.progress {
            self.next_round = Some(now);
        } else {
            self.schedule(now);
        }
    }

    /// Begins a round, if one is to begin, whether or not it is time: the messages to send.
    ///
    /// `on_their_way` are the keys of which a first delivery to this follower is unanswered. They are left for later: a
    /// resend must not overtake a first delivery that waits out its emulated delay, or a lost message would make a
    /// write *faster* and bend the distribution of latencies. Of the other keys, either what was missed is the newest
    /// write, or the follower has a newer one, and its answer will say so.
    pub(super) fn start_round(&mut self, now: Duration, on_their_way: impl FnOnce() -> BTreeSet<Key>) -> Vec<Message> {
        if self.next_round.take().is_none() {
            return Vec::new();
        }
        let on_their_way = on_their_way();
        let start = self.cursor.take();
        let (after, up_to) = match &start {
            Some(key) => (Bound::Excluded(key), Bound::Included(key)),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        // From the cursor to the end, then from the beginning back to it; without a cursor the second part is empty.
        let rest = self.missed.range::<Key, _>((after, Bound::Unbounded));
        let beginning = start.is_some().then(|| self.missed.range::<Key, _>((Bound::Unbounded, up_to)));
        let due: Vec<Key> = rest
            .chain(beginning.into_iter().flatten())
            .map(|(key, _)| key)
            .filter(|key| !on_their_way.contains(*key))
            .take(self.budget)
            .cloned()
            .collect();
        self.reached = false;
        self.progress = false;
        self.cursor = due.last().cloned();
        let mut messages = Vec::with_capacity(due.len());
        for key in due {
            let missed = self.missed.get_mut(&key).expect("taken from this map");
            missed.attempts += 1;
            messages.push(Message { to: self.to, attempt: missed.attempts, update: Arc::clone(&missed.update) });
            self.round.insert(key, (missed.update.write, missed.attempts));
        }
        if messages.is_empty() {
            self.schedule(now);
        }
        messages
    }

    /// Feeds a hasher with everything that decides what is sent next, but when: neither times nor what pauses are drawn by.
    pub(super) fn hash_behaviour<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.missed.len());
        for (key, Missed { update, attempts, waiting }) in &self.missed {
            (key, update.write, attempts, waiting).hash(state);
        }
        self.round.hash(state);
        // A round that has ended leaves no trace in the next.
        if !self.round.is_empty() {
            (self.reached, self.progress).hash(state);
        }
        // A round without anything to send does nothing but begin at the first key again.
        let armed = self.next_round.is_some() && !(self.missed.is_empty() && self.cursor.is_none());
        (self.budget, armed, &self.cursor).hash(state);
    }

    fn schedule(&mut self, now: Duration) {
        let Some(first) = self.missed.values().next() else { return };
        if self.next_round.is_none() && self.round.is_empty() {
            self.next_round = Some(now + self.pause(first));
        }
    }

    /// The draw is keyed by what is missed first and how often it was sent, not by how many pauses there were before: what
    /// happened to other keys changes nothing.
    fn pause(&self, first: &Missed) -> Duration {
        let key = [self.to.0.into(), first.update.operation, first.attempts.into(), self.failed_rounds.into()];
        jittered_pause(self.failed_rounds, self.seed.draw(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Value, Version};
    use crate::core::Entry;

    fn update(write: WriteId, operation: u64, key: &str) -> Arc<Update> {
        let entry = Entry::new(Stamp::of_version(Version::FIRST), Value::from_json("1").ok());
        Arc::new(Update { write, operation, key: Key::new(key).unwrap(), entry })
    }

    /// What became of another key before does not move a pause.
    #[test]
    fn a_pause_depends_on_what_is_missed_and_on_nothing_before() {
        let (x, y) = (update(1, 71, "x"), update(2, 72, "y"));
        let fresh = || Resender::new(FollowerId(0), Seed::new(5));
        let now = Duration::from_secs(8);
        let mut alone = fresh();
        alone.missed(now, &y, 1, true);
        let mut after_another = fresh();
        after_another.missed(Duration::from_secs(1), &x, 1, true);
        let [message] = &after_another.start_round(Duration::from_secs(2), BTreeSet::new)[..] else {
            panic!("x is due")
        };
        after_another.stored(&x.key, x.entry.stamp);
        after_another.settle(Duration::from_secs(3), message, true, true);
        after_another.missed(now, &y, 1, true);
        assert_eq!(alone.wake_at(), after_another.wake_at());
        let mut of_another_operation = fresh();
        of_another_operation.missed(now, &update(2, 73, "y"), 1, true);
        assert_ne!(alone.wake_at(), of_another_operation.wake_at());
    }

    /// What it missed before it was sent everything is done with; what it missed since is not.
    #[test]
    fn what_was_missed_during_a_snapshot_is_left() {
        let mut resender = Resender::new(FollowerId(0), Seed::new(1));
        let now = Duration::ZERO;
        for (write, key) in [(1, "a"), (2, "b"), (3, "c")] {
            resender.missed(now, &update(write, write, key), 1, false);
        }
        resender.begin_snapshot();
        // One is written again, one is new, and of one the loss was learnt late.
        let newer = Stamp::of_version(Version::new(2).unwrap());
        let again = Update { entry: Entry::new(newer, None), ..(*update(4, 4, "b")).clone() };
        for update in [Arc::new(again), update(5, 5, "d"), update(3, 3, "e")] {
            resender.missed(now, &update, 1, false);
        }
        resender.caught_up(now, 3);
        let left: Vec<&str> = resender.missed.keys().map(Key::as_str).collect();
        assert_eq!(left, ["b", "d"]);
        assert_eq!(resender.garbage[0].len(), 2, "a and c are freed later");
        resender.sweep();
        assert!(resender.garbage.is_empty());
        // Where only some of it was sent, everything is left.
        resender.begin_snapshot();
        resender.caught_up(now, 0);
        assert_eq!(resender.len(), 2);
    }

    /// What a silent follower costs goes by keys, also where each is written again and again, and then left alone.
    #[test]
    fn a_missed_key_remembers_no_client_that_was_answered() {
        let mut resender = Resender::new(FollowerId(0), Seed::new(1));
        let (now, x) = (Duration::ZERO, update(1, 1, "x"));
        for write in 1..100 {
            resender.missed(now, &Arc::new(Update { write, ..(*x).clone() }), 1, true);
        }
        (2..100).for_each(|write| resender.waits_no_more(&x.key, write));
        assert_eq!(resender.missed[&x.key].waiting, BTreeSet::from([1]));
        assert_eq!(resender.stored(&x.key, x.entry.stamp), BTreeSet::from([1]), "it confirms who still waits");
    }
}
