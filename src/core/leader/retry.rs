//! A write that comes again.
//!
//! A client that does not learn what became of its write can only ask for it once more. If the write took effect, and others have
//! written the key since, that would undo what they wrote. So a client can give its write a name, and the key remembers the
//! last writes that had one ([`Requests`]): they are part of the entry, so they are stored by whoever stores the write, and
//! a leader recovers them with it. A retry gets the version that the write has, writes nothing, and is answered by how the
//! write stands *now*: its client waits until a quorum stores it, or something later of its key.
//!
//! A follower is known to store that if it says so of the key from then on; or if it is up to date, and neither missed the key's
//! newest write nor has it still to answer the first delivery of any write of the key.

use std::time::Duration;

use super::vocabulary::{Accepted, Rejected, Terms};
use super::{Leader, Open};
use crate::base::trace::WriteId;
use crate::base::{FollowerId, FollowerSet, Key, Request, Requests, Stamp, Value, Version};
use crate::core::Update;
use crate::core::store::Entry;

/// What an entry remembers that comes after another one of its key.
pub(super) fn remembered(before: Option<&Entry>, terms: &Terms, value: Option<&Value>, version: Version) -> Requests {
    let requests = before.map(|before| before.requests.clone()).unwrap_or_default();
    match &terms.request {
        None => requests,
        Some(id) => {
            requests.with(Request { id: id.clone(), version, asked: Request::asked_by(value, terms.if_version) })
        }
    }
}

impl Leader {
    /// The version that a write has, if it has come before under the same name.
    ///
    /// # Errors
    /// [`Rejected::OtherRequest`] if something else was asked for then.
    pub(super) fn known(&self, terms: &Terms, key: &Key, value: Option<&Value>) -> Result<Option<Version>, Rejected> {
        let Some(id) = terms.request.as_ref().filter(|_| self.config.rules.deduplicate_requests) else {
            return Ok(None);
        };
        let Some(known) = self.store.entry(key).and_then(|entry| entry.requests.find(id)) else { return Ok(None) };
        if known.asked != Request::asked_by(value, terms.if_version) {
            let (key, request, version) = (key.clone(), id.clone(), known.version);
            return Err(Rejected::OtherRequest { key, request, version });
        }
        Ok(Some(known.version))
    }

    /// A write has come again. It gets a number of its own, under which it is answered.
    pub(super) fn retry(&mut self, now: Duration, key: Key, value: Option<Value>, version: Version) -> Accepted {
        let stamp = self.store.stamp(&key).map_or(Stamp::of_version(version), |newest| Stamp { version, ..newest });
        self.last_write += 1;
        let write = self.last_write;
        let is_it = |open: &Open| open.update.key == key && open.update.entry.stamp == stamp;
        let first = self.open.iter().find(|(_, open)| is_it(open)).map(|(first, _)| *first);
        let update = Update { write, operation: write, key, entry: Entry::new(stamp, value) };
        self.open.insert(
            write,
            Open {
                update: update.into(),
                unanswered: FollowerSet::default(),
                confirmed: FollowerSet::default(),
                answers: 0,
                waiting: true,
            },
        );
        self.retries.insert(write, first);
        if self.config.rules.answer_by_deadline {
            self.deadlines.push_back((now + self.config.repl_timeout, write));
        }
        self.confirm_retries();
        Accepted { write, stamp, is_retry: true }
    }

    /// Answers the retries of what a quorum stores by now.
    pub(super) fn confirm_retries(&mut self) {
        let retries: Vec<(WriteId, Option<WriteId>)> =
            self.retries.iter().map(|(retry, first)| (*retry, *first)).collect();
        for (write, first) in retries {
            let Some(retry) = self.open.get(&write) else { continue };
            let newest = self.store_newest(&retry.update.key);
            // Of the write itself more may be known than of what came after it.
            let first = first.and_then(|first| self.open.get(&first)).map(|first| first.confirmed).unwrap_or_default();
            let known = |id: &FollowerId| newest.contains(*id) || first.contains(*id);
            let new: Vec<FollowerId> =
                self.followers().filter(known).filter(|id| !retry.confirmed.contains(*id)).collect();
            new.into_iter().for_each(|id| self.confirm(write, id));
            if self.write_quorum() == 0 {
                self.complete(write, true);
            }
        }
    }

    /// A follower stores this of a key, and counts.
    pub(super) fn confirm_retries_of(&mut self, key: &Key, stored: Stamp, by: FollowerId) {
        let of_key = |retry: &WriteId| {
            let update = self.open.get(retry).map(|open| &open.update);
            update.is_some_and(|update| update.key == *key && update.entry.stamp <= stored)
        };
        let retries: Vec<WriteId> = self.retries.keys().copied().filter(of_key).collect();
        retries.into_iter().for_each(|retry| self.confirm(retry, by));
    }

    /// The followers that are known to store the newest write of a key.
    fn store_newest(&self, key: &Key) -> FollowerSet {
        let mut all = FollowerSet::default();
        for (id, peer) in self.followers().zip(&self.peers) {
            let is_on_its_way = |open: &Open| open.unanswered.contains(id) && open.update.key == *key;
            if self.counts(peer) && !peer.resender.misses(key) && !self.open.values().any(is_on_its_way) {
                all.insert(id);
            }
        }
        all
    }
}
