//! How a client's write is taken on.

use std::sync::Arc;
use std::time::Duration;

use super::retry::remembered;
use super::vocabulary::{Accepted, Output, Rejected, Terms};
use super::{Leader, Open};
use crate::base::{FollowerSet, Key, Stamp, Value, Version};
use crate::core::digest::bucket;
use crate::core::store::Entry;
use crate::core::{Message, Update};

impl Leader {
    /// Takes a client's write on: it gets the version after the key's last, is stored here, and goes to every follower.
    /// `operation` is the client's name for it, if it has one; see [`Update::operation`].
    ///
    /// # Errors
    /// [`Rejected`], without any effect.
    pub fn set(&mut self, now: Duration, operation: Option<u64>, key: Key, value: Value) -> Result<Accepted, Rejected> {
        self.write(now, &Terms { operation, ..Terms::default() }, key, Some(value))
    }

    /// The same for a write that deletes the key, whether or not it is there: what it leaves is a tombstone.
    ///
    /// # Errors
    /// [`Rejected`], without any effect.
    pub fn delete(&mut self, now: Duration, operation: Option<u64>, key: Key) -> Result<Accepted, Rejected> {
        self.write(now, &Terms { operation, ..Terms::default() }, key, None)
    }

    /// Refuses a write that is made for another version of its key; 0 stands for a key that is not there. What the key has counts
    /// from the moment when the leader stores it, acknowledged or not.
    fn require_version(&self, key: &Key, expected: u64) -> Result<(), Rejected> {
        let current = self.store.get(key).map_or(0, |entry| entry.stamp.version.get());
        if current == expected { Ok(()) } else { Err(Rejected::WrongVersion { key: key.clone(), expected, current }) }
    }

    /// The version that the next write of a key gets: the one after its last; of a key that is not there the one after the
    /// greatest that any deletion had, so that versions of a key go up though nobody remembers that it was deleted.
    fn next_version(&self, key: &Key) -> Option<Version> {
        match self.store.get(key).map(|entry| entry.stamp.version).or(self.floor) {
            None => Some(Version::FIRST),
            Some(last) => last.next(),
        }
    }

    /// Takes a write on as [`Leader::set`] and [`Leader::delete`] do, without a value a deletion, on these terms. One that has
    /// come before under the same name is not made again: it gets the version that it has, and its client the answer that is
    /// right now.
    ///
    /// # Errors
    /// [`Rejected`], without any effect.
    pub fn write(
        &mut self,
        now: Duration,
        terms: &Terms,
        key: Key,
        value: Option<Value>,
    ) -> Result<Accepted, Rejected> {
        if let Some(waiting) = self.waiting_for() {
            return Err(Rejected::NotServing(waiting));
        }
        let size = key.as_str().len() + value.as_ref().map_or(0, |value| value.as_json().len());
        self.admission.admit(size, &self.config.limits)?;
        if let Some(version) = self.known(terms, &key, value.as_ref())? {
            return Ok(self.retry(now, key, value, version));
        }
        if let Some(expected) = terms.if_version {
            self.require_version(&key, expected)?;
        }
        let version = self.next_version(&key).ok_or_else(|| Rejected::VersionsUsedUp { key: key.clone() })?;
        let version = if self.config.rules.one_writer { version } else { self.version_seen_too_early(&key, version) };
        let stamp = Stamp { epoch: self.epoch, version };
        let before = self.store.entry(&key).cloned();
        let requests = remembered(before.as_ref(), terms, value.as_ref(), version);
        let entry = Entry { stamp, value, requests };
        if entry.is_tombstone() {
            self.floor = self.floor.max(Some(version));
            self.hold_tombstone(now, &key, &entry);
        }
        if self.config.rules.one_writer {
            self.store.apply(&key, entry.clone());
        } else {
            self.store.overwrite(&key, entry.clone());
        }
        self.last_write += 1;
        let write = self.last_write;
        self.written_in.insert(bucket(&key), write);
        let update = Arc::new(Update { write, operation: terms.operation.unwrap_or(write), key: key.clone(), entry });
        if self.write_quorum() > 0 {
            self.not_committed_yet(&key, write, stamp, before);
        }
        let mut open = Open {
            update: Arc::clone(&update),
            unanswered: FollowerSet::default(),
            confirmed: FollowerSet::default(),
            answers: 0,
            waiting: true,
        };
        if self.config.rules.answer_by_deadline {
            self.deadlines.push_back((now + self.config.repl_timeout, write));
        }
        let (size, limits) = (update.size(), &self.config.limits);
        self.admission.begin(size);
        let sends_to_all = !self.config.rules.recover_on_start;
        for (to, peer) in self.peers.enumerate_mut() {
            let fits = peer.unanswered_bytes + size <= limits.window_bytes || peer.unanswered == 0;
            // One that lags is sent a single write at a time, to see whether it is there again.
            let lags = !peer.reachable && peer.link.is_silent(now, self.config.repl_timeout);
            let window = if lags { 1 } else { limits.window };
            let is_open = (peer.unanswered < window && fits) || !self.config.rules.bound_window;
            // What a follower missed that is not up to date, it gets when it is.
            if is_open && (sends_to_all || peer.link.takes_writes()) {
                peer.unanswered += 1;
                peer.unanswered_bytes += size;
                open.unanswered.insert(to);
                self.outputs.push_back(Output::Send(Message { to, attempt: 1, update: Arc::clone(&update) }));
            } else if self.config.rules.resend_missed {
                // It has no first delivery: the first message that it gets is a resend.
                peer.resender.missed(now, &update, 1, true);
            }
        }
        self.open.insert(write, open);
        if self.write_quorum() == 0 {
            self.complete(write, true);
        }
        if self.collect(now) {
            self.attend_to_all(now);
        }
        Ok(Accepted { write, stamp, is_retry: false })
    }

    /// The version that a handler gives which read the key's last one before the writes that are under way had been
    /// stored: that of the first of them. `next` if there is none.
    fn version_seen_too_early(&self, key: &Key, next: Version) -> Version {
        let under_way = self.open.values().filter(|open| open.waiting && open.update.key == *key);
        under_way.map(|open| open.update.entry.stamp.version).min().unwrap_or(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{F1, cluster, config, stores};
    use crate::core::{LeaderConfig, Rule, Rules};

    /// Without the rule, a write gets the version of the first write of its key that still waits.
    #[test]
    fn a_leader_without_one_writer_gives_a_version_twice() {
        let rules = Rules::SAFE.without(Rule::OneWriter);
        let (mut leader, _) = cluster(LeaderConfig { rules, ..config(2, 1, 0) });
        let set = |leader: &mut Leader, name: &str| {
            let value = Value::from_json("1").unwrap();
            let accepted = leader.set(Duration::ZERO, None, Key::new(name).unwrap(), value).unwrap();
            accepted.stamp.version.get()
        };
        assert_eq!(set(&mut leader, "x"), 1);
        // One of two followers confirms it: that is the quorum, and the other delivery stays in flight.
        let to_f1 = std::iter::from_fn(|| leader.poll_output()).find_map(|output| match output {
            Output::Send(message) if message.to == F1 => Some(message),
            _ => None,
        });
        let to_f1 = to_f1.unwrap();
        leader.handle_reply(Duration::ZERO, &to_f1, stores(F1, to_f1.stamp()));
        assert_eq!(["x", "x", "y"].map(|name| set(&mut leader, name)), [2, 2, 1]);
    }
}
