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

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::vocabulary::{Accepted, Rejected, Terms};
use super::{Leader, Open, keys_on_their_way};
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
        let newest_is_at = self.known_to_store_newest(&key);
        let update = Update { write, operation: write, key: key.clone(), entry: Entry::new(stamp, value) };
        self.admission.begin(update.size());
        let open = Open {
            update: update.into(),
            unanswered: FollowerSet::default(),
            confirmed: FollowerSet::default(),
            answers: 0,
            waiting: true,
        };
        self.open.insert(write, open);
        self.retries.insert(key, write);
        if self.config.rules.answer_by_deadline {
            self.deadlines.push_back((now + self.config.repl_timeout, write));
        }
        self.followers().filter(|id| newest_is_at.contains(*id)).for_each(|id| self.confirm(write, id));
        if self.write_quorum() == 0 {
            self.complete(write, true);
        }
        Accepted { write, stamp, is_retry: true }
    }

    /// A follower stores this of a key, and counts.
    pub(super) fn confirm_retries(&mut self, key: &Key, stored: Stamp, by: FollowerId) {
        for retry in self.retries.of(key) {
            if self.open.get(&retry).is_some_and(|open| open.update.entry.stamp <= stored) {
                self.confirm(retry, by);
            }
        }
    }

    /// A follower has been brought up to date: it has all that it did not miss since, and is not being sent.
    pub(super) fn confirm_retries_at(&mut self, by: FollowerId) {
        if self.retries.is_empty() {
            return;
        }
        let (on_their_way, resender) = (keys_on_their_way(&self.open, by), &self.peers[by].resender);
        for retry in self.retries.where_key(|key| !on_their_way.contains(key) && !resender.misses(key)) {
            self.confirm(retry, by);
        }
    }

    /// The followers that are known to store the newest write of a key. One that is being asked to will say so.
    fn known_to_store_newest(&self, key: &Key) -> FollowerSet {
        if let Some(stores_newest) = self.stores_uncommitted(key) {
            return stores_newest;
        }
        let mut on_its_way = FollowerSet::default();
        for open in self.open.values().filter(|open| open.update.key == *key) {
            for id in self.followers().filter(|id| open.unanswered.contains(*id)) {
                on_its_way.insert(id);
            }
        }
        let mut all = FollowerSet::default();
        for (id, peer) in self.peers.enumerate() {
            if self.counts(peer) && !peer.resender.misses(key) && !on_its_way.contains(id) {
                all.insert(id);
            }
        }
        all
    }
}

/// The retries whose client waits, by key: what a follower says of one key concerns few of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Retries(BTreeMap<Key, BTreeSet<WriteId>>);

impl Retries {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn insert(&mut self, key: Key, retry: WriteId) {
        self.0.entry(key).or_default().insert(retry);
    }

    /// It waits no more, if it is one.
    pub(super) fn remove(&mut self, key: &Key, write: WriteId) {
        if let Some(retries) = self.0.get_mut(key) {
            retries.remove(&write);
            if retries.is_empty() {
                self.0.remove(key);
            }
        }
    }

    fn of(&self, key: &Key) -> Vec<WriteId> {
        self.0.get(key).into_iter().flatten().copied().collect()
    }

    fn where_key(&self, is_wanted: impl Fn(&Key) -> bool) -> Vec<WriteId> {
        self.0.iter().filter(|(key, _)| is_wanted(key)).flat_map(|(_, retries)| retries).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RequestName;
    use crate::core::ask::Question;
    use crate::core::leader::vocabulary::Output;
    use crate::core::testing::{F1, F2, answer, cluster, config, follower_in, stores};
    use crate::core::{Call, Follower, Reply, Rules};

    const NOW: Duration = Duration::from_secs(3);

    fn write(leader: &mut Leader) -> Accepted {
        let terms = Terms { request: Some(RequestName::new("r").unwrap()), ..Terms::default() };
        leader.write(NOW, &terms, Key::new("x").unwrap(), Some(Value::from_json("1").unwrap())).unwrap()
    }

    /// Answers all messages and requests but those that are held. Returns these, and the writes that were acknowledged.
    fn exchange(
        leader: &mut Leader,
        followers: &mut [Follower],
        is_held: fn(&Call) -> bool,
    ) -> (Vec<Call>, Vec<WriteId>) {
        let (mut held, mut acknowledged) = (Vec::new(), Vec::new());
        while let Some(output) = leader.poll_output() {
            match output {
                Output::Send(message) => {
                    let follower = &mut followers[message.to.index()];
                    follower.replicate(leader.id(), message.key(), message.update.entry.clone());
                    leader.handle_reply(NOW, &message, stores(message.to, message.stamp()));
                }
                Output::Ask(call) if is_held(&call) => held.push(*call),
                Output::Ask(call) => answer(leader, followers, NOW, &call),
                Output::Complete(completion) if completion.ok => acknowledged.push(completion.write),
                _ => {}
            }
        }
        (held, acknowledged)
    }

    /// The write comes after the snapshot has begun, so the follower that is given the snapshot does not store it.
    #[test]
    fn a_snapshot_confirms_no_retry_of_a_later_write() {
        let (mut leader, mut followers) = cluster(config(2, 2, 0));
        followers[1] = follower_in(F2, 1, Rules::SAFE);
        leader.handle_disconnect(NOW, F2);
        let is_push = |call: &Call| matches!(call.ask.question, Question::Push { .. });
        let (held, _) = exchange(&mut leader, &mut followers, is_push);
        write(&mut leader);
        let retry = write(&mut leader);
        assert!(retry.is_retry);
        assert!(exchange(&mut leader, &mut followers, is_push).1.is_empty());
        answer(&mut leader, &mut followers, NOW, &held[0]);
        assert!(exchange(&mut leader, &mut followers, is_push).1.is_empty());
        assert_eq!(leader.status().map(|status| status.missed).collect::<Vec<_>>(), [0, 1]);
    }

    /// The write was acknowledged, but one of the two followers that stored it has restarted since.
    #[test]
    fn a_follower_that_restarted_confirms_a_retry_once_it_is_up_to_date() {
        let (mut leader, mut followers) = cluster(config(2, 2, 0));
        let first = write(&mut leader);
        let is_push = |call: &Call| matches!(call.ask.question, Question::Push { .. });
        assert_eq!(exchange(&mut leader, &mut followers, is_push).1, [first.write]);
        followers[1] = follower_in(F2, 1, Rules::SAFE);
        leader.handle_disconnect(NOW, F2);
        let (held, _) = exchange(&mut leader, &mut followers, is_push);
        let retry = write(&mut leader);
        assert!(exchange(&mut leader, &mut followers, is_push).1.is_empty());
        answer(&mut leader, &mut followers, NOW, &held[0]);
        assert_eq!(exchange(&mut leader, &mut followers, is_push).1, [retry.write]);
    }

    /// The follower missed the write, which another one confirmed.
    #[test]
    fn a_follower_that_missed_the_write_does_not_confirm_a_retry() {
        let (mut leader, _) = cluster(config(2, 1, 0));
        while leader.poll_output().is_some() {}
        write(&mut leader);
        while let Some(output) = leader.poll_output() {
            let Output::Send(message) = output else { continue };
            let reply = if message.to == F1 { stores(F1, message.stamp()) } else { Reply::Lost };
            leader.handle_reply(NOW, &message, reply);
        }
        write(&mut leader);
        let confirmations = std::iter::from_fn(|| leader.poll_output()).find_map(|output| match output {
            Output::Complete(completion) => Some(completion.confirmations),
            _ => None,
        });
        assert_eq!(confirmations, Some(1));
    }

    #[test]
    fn nothing_is_kept_of_a_retry_that_was_answered() {
        let (mut leader, mut followers) = cluster(config(2, 2, 0));
        write(&mut leader);
        write(&mut leader);
        assert!(!leader.retries.is_empty());
        exchange(&mut leader, &mut followers, |_| false);
        assert!(leader.retries.is_empty());
    }
}
