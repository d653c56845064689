//! When a deletion may be forgotten.
//!
//! A deletion leaves a tombstone, which keeps what is older from coming back: a copy of an earlier message that arrives late,
//! or what a follower stores that has not got the deletion (what Cassandra's documentation of `gc_grace_seconds` calls a
//! zombie). Tombstones must go all the same, or a store would grow for ever. They go in rounds, of those that there are when
//! a round begins. Let W be the last write of the leader by then, and F the greatest version of the round's tombstones.
//!
//! 1. The leader waits until every follower is up to date in its epoch and stores every write up to W, or a later one of the
//!    same key. So none stores anything that is older than these deletions, and none ever will: what a later leader finds
//!    with those that remember is this epoch's, for it leaves out what is of an epoch before the last in which any of them was
//!    brought up to date.
//! 2. It tells each follower to forget them, and F, the follower's floor: a key that is not there is not given what is of this epoch and
//!    not above the floor. That refuses whatever is older than a deletion that was forgotten, for the versions of a key go up
//!    through its deletions. And it refuses nothing that the follower lacks: a write above W of a key that is there goes
//!    back, version by version, to one that the follower stores, or to the first one after the key was not there; and that
//!    one got a version above that of every earlier deletion ([`Leader::next_version`]), which is above F.
//! 3. When all have forgotten, the leader does. Until then whoever is brought up to date anew gets the tombstones too.
//!
//! A key that a follower lost, though it was not deleted, comes back by a repair. The floor would refuse it, so a repair says how
//! many rounds had begun when it was read. If the last round that the follower was told of is among them, nothing in the repair was
//! deleted in that round or an earlier one, and the floor does not apply.
//!
//! A later leader goes on after the greatest version of a deletion that it finds as a tombstone or is told as a floor, so the
//! versions of a key go up though nobody remembers why. A follower that is given everything is given the floor with it, as
//! of the last write that it covers, and drops what is not in it and not above: copies that came before it was up to date.
//!
//! The first of these conditions is that of causal stability (Baquero, Almeida and Shoker, *Making Operation-Based CRDTs
//! Operation-Based*, 2014). While a follower is down, or does not know epochs, nothing is forgotten: the metric `tombstones` tells.

use std::time::Duration;

use super::vocabulary::{News, Output};
use super::{Leader, Phase};
use crate::base::trace::WriteId;
use crate::base::{FollowerId, FollowerSet, Key, Version};
use crate::core::ask::{Deletion, Question};
use crate::core::follower::PART_BYTES;
use crate::core::store::Entry;

/// How many times the timeout of a write passes before a deletion may be forgotten that remembers what clients may ask for once more: a minute, usually.
const REMEMBERED: u32 = 12;
/// How many entries of what is no tombstone any more are kept before they are looked for.
const SLACK: usize = 1024;

/// Deletions that are being forgotten.
#[derive(Debug, Clone)]
pub(super) struct Collection {
    /// Which of the leader's rounds it is, counted from 1.
    number: u64,
    deletions: Vec<Deletion>,
    floor: Version,
    /// The last write that was accepted before.
    covers: WriteId,
    /// Whether every follower stores everything up to that one.
    may_begin: bool,
    /// The followers that have forgotten them, in their present lives.
    forgotten: FollowerSet,
}

impl Collection {
    /// Everything that decides what is done next, but for single followers.
    pub(super) fn behaviour(&self) -> impl std::hash::Hash + '_ {
        let Self { number, deletions, floor, covers, may_begin, forgotten: _ } = self;
        (number, deletions, floor, covers, may_begin)
    }

    pub(super) fn is_forgotten_by(&self, id: FollowerId) -> bool {
        self.forgotten.contains(id)
    }
}

impl Leader {
    /// There is a tombstone.
    pub(super) fn hold_tombstone(&mut self, now: Duration, key: &Key, tombstone: &Entry) {
        let remembers = !tombstone.requests.is_empty();
        let from = if remembers { now + REMEMBERED * self.config.repl_timeout } else { Duration::ZERO };
        // A key that is deleted again and again while nothing can be forgotten leaves one entry each time.
        if self.deleted.len() > 2 * self.store.tombstone_count() + SLACK {
            let store = &self.store;
            self.deleted.retain(|(_, key), stamp| store.stamp(key) == Some(*stamp));
        }
        self.deleted.insert((from, key.clone()), tombstone.stamp);
    }

    /// There are the tombstones of the store, and no others.
    pub(super) fn hold_all_tombstones(&mut self, now: Duration) {
        self.deleted.clear();
        let tombstones: Vec<(Key, Entry)> = self
            .store
            .tombstones()
            .filter_map(|(key, _)| Some((key.clone(), self.store.entry(key)?.clone())))
            .collect();
        tombstones.iter().for_each(|(key, tombstone)| self.hold_tombstone(now, key, tombstone));
    }

    /// Goes on with forgetting deletions. True if there is something new to tell the followers.
    #[inline]
    pub(super) fn collect(&mut self, now: Duration) -> bool {
        (self.collection.is_some() || !self.deleted.is_empty()) && self.go_on_collecting(now)
    }

    fn go_on_collecting(&mut self, now: Duration) -> bool {
        // Whoever has no epochs asks its followers nothing.
        if !matches!(self.phase, Phase::Serving) || !self.config.rules.recover_on_start {
            return false;
        }
        if self.collection.is_none() {
            self.collection = self.next_collection(now);
        }
        let may_begin = match &self.collection {
            Some(collection) if !collection.may_begin => self.may_begin(collection),
            _ => false,
        };
        if let Some(collection) = &mut self.collection {
            collection.may_begin |= may_begin;
        }
        if may_begin {
            // Without followers nobody is to be told.
            self.end_collection();
        }
        may_begin
    }

    fn next_collection(&mut self, now: Duration) -> Option<Collection> {
        let (mut deletions, mut bytes) = (Vec::new(), 0);
        while deletions.len() < self.config.limits.part_keys && bytes < PART_BYTES {
            let Some(first) = self.deleted.first_entry().filter(|first| first.key().0 <= now) else { break };
            let ((_, key), stamp) = first.remove_entry();
            if self.store.entry(&key).is_some_and(|entry| entry.is_tombstone() && entry.stamp == stamp) {
                bytes += key.as_str().len();
                deletions.push(Deletion { key, stamp });
            }
        }
        let floor = deletions.iter().map(|deletion| deletion.stamp.version).max()?;
        let (covers, may_begin, forgotten) = (self.last_write, false, FollowerSet::default());
        self.collections += 1;
        Some(Collection { number: self.collections, deletions, floor, covers, may_begin, forgotten })
    }

    /// Whether no follower stores anything older than these deletions, or ever will.
    fn may_begin(&self, collection: &Collection) -> bool {
        if !self.config.rules.keep_tombstones {
            return collection.deletions.iter().all(|deletion| self.is_committed(&deletion.key));
        }
        let has_everything = |peer: &super::Peer| peer.link.is_current() && peer.resender.len() == 0;
        self.peers.iter().all(has_everything)
            && self.open.range(..=collection.covers).all(|(_, open)| open.unanswered.is_empty())
    }

    /// Whether a follower, which is up to date, is to be told to forget something.
    pub(super) fn has_to_forget(&self, id: FollowerId) -> bool {
        self.collection.as_ref().is_some_and(|collection| collection.may_begin && !collection.forgotten.contains(id))
    }

    /// Tells a follower what it is to forget.
    pub(super) fn forget_question(&self, to: FollowerId) -> Question {
        let promised = self.peers[to].link.promised.as_ref();
        let (Some(collection), Some(promised)) = (&self.collection, promised) else {
            unreachable!("only a follower that has promised is up to date, and has something to forget");
        };
        let Collection { number, deletions, floor, .. } = collection;
        // Of a follower that may lack something nothing can be said of what it lacks.
        let floor = Some(*floor).filter(|_| self.config.rules.keep_tombstones);
        let (incarnation, deletions) = (promised.incarnation, deletions.clone());
        Question::Forget { incarnation, deletions, round: *number, floor }
    }

    /// A follower has forgotten the deletions.
    pub(super) fn forgotten(&mut self, by: FollowerId) {
        if let Some(collection) = &mut self.collection {
            collection.forgotten.insert(by);
            self.end_collection();
        }
    }

    /// A follower is given everything anew, the tombstones too.
    pub(super) fn remembers_again(&mut self, id: FollowerId) {
        if let Some(collection) = &mut self.collection {
            collection.forgotten.remove(id);
        }
    }

    /// Forgets the deletions itself, if all followers have.
    fn end_collection(&mut self) {
        let enough = if self.config.rules.keep_tombstones { self.peers.len() } else { self.write_quorum() };
        let is_over = |collection: &mut Collection| collection.may_begin && collection.forgotten.len() >= enough;
        let Some(Collection { deletions, .. }) = self.collection.take_if(is_over) else { return };
        let gone = deletions.into_iter().filter(|deletion| self.store.forget(&deletion.key, deletion.stamp)).collect();
        self.outputs.push_back(Output::Tell(News::Collected(gone)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{RequestName, Value};
    use crate::core::Terms;
    use crate::core::testing::{cluster, config};

    /// A follower is away, so nothing can be forgotten; a lock is taken and given back all the time.
    #[test]
    fn what_is_deleted_again_and_again_is_held_once() {
        let (mut leader, _) = cluster(config(1, 1, 0));
        for n in 0..3000 {
            let named =
                |what| Terms { request: Some(RequestName::new(&format!("{what}{n}")).unwrap()), ..Terms::default() };
            let (now, key) = (Duration::from_millis(n), Key::new("lock").unwrap());
            leader.write(now, &named("take"), key.clone(), Some(Value::from_json("1").unwrap())).unwrap();
            leader.write(now, &named("give"), key, None).unwrap();
            while leader.poll_output().is_some() {}
        }
        assert!(leader.deleted.len() <= SLACK + 3, "{} entries of one key", leader.deleted.len());
        assert!(leader.deleted.values().any(|stamp| Some(*stamp) == leader.store.stamp(&Key::new("lock").unwrap())));
    }
}
