//! Reads that show nothing which could vanish.
//!
//! What a leader stores is not acknowledged yet, if it is the newest write of its key and a quorum has not confirmed it. So
//! for each such key it remembers what was acknowledged before. And a leader that does not know that there is another one
//! may show what is old: to make sure, it asks its followers whether its epoch still stands (the read index of Ongaro,
//! *Consensus: Bridging Theory and Practice*, 2014, section 6.4).

use std::time::Duration;

use super::vocabulary::{Output, ReadId, Readable, Rejected};
use super::{Leader, Phase};
use crate::base::trace::WriteId;
use crate::base::{FollowerId, FollowerSet, Key, Stamp};
use crate::core::ask::Standing;
use crate::core::store::Entry;

/// A key of which the newest write is not known to be stored by a quorum.
#[derive(Debug, Clone)]
pub(super) struct Uncommitted {
    /// The newest write.
    write: WriteId,
    stamp: Stamp,
    /// The followers that store it.
    confirmed: FollowerSet,
    /// What was committed last.
    committed: Option<Entry>,
}

impl Uncommitted {
    /// Everything but who stores it.
    pub(super) fn behaviour(&self) -> impl std::hash::Hash + '_ {
        (self.write, self.stamp, &self.committed)
    }

    pub(super) fn is_stored_by(&self, id: FollowerId) -> bool {
        self.confirmed.contains(id)
    }
}

/// A read that waits until it is known that no other leader has served before it.
#[derive(Debug, Clone)]
pub(super) struct Waiter {
    read: ReadId,
    /// The round in which the followers must say so.
    round: u64,
    deadline: Duration,
}

impl Waiter {
    /// When it is given up.
    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The round in which the followers must say that no other leader has served.
    pub(super) fn round(&self) -> u64 {
        self.round
    }

    /// How many rounds have begun since it did.
    pub(super) fn age(&self, present: u64) -> u64 {
        present - self.round
    }
}

impl Leader {
    /// What of a key a quorum stores, so that no crash that the quorum allows for can undo it.
    pub fn committed(&self, key: &Key) -> Option<&Entry> {
        match self.uncommitted.get(key) {
            Some(uncommitted) if self.config.rules.read_committed => {
                uncommitted.committed.as_ref().filter(|entry| !entry.is_tombstone())
            }
            _ => self.store.get(key),
        }
    }

    /// A linearizable read begins. It is answered by [`Output::Read`], with its number: the leader makes sure that no other
    /// one had served before.
    ///
    /// # Errors
    /// [`Rejected::NotServing`], [`Rejected::Overloaded`].
    pub fn begin_read(&mut self, now: Duration) -> Result<ReadId, Rejected> {
        if let Some(waiting) = self.waiting_for() {
            return Err(Rejected::NotServing(waiting));
        }
        if self.reads.len() >= self.config.limits.waiting {
            return Err(Rejected::Overloaded { waiting: self.reads.len() });
        }
        self.last_read += 1;
        let read = self.last_read;
        if !self.config.rules.confirm_reads || !self.config.rules.recover_on_start || self.peers.is_empty() {
            self.outputs.push_back(Output::Read(read, Readable::Yes));
            return Ok(read);
        }
        self.round += 1;
        let deadline = now + self.config.repl_timeout;
        self.reads.push_back(Waiter { read, round: self.round, deadline });
        self.go_on(now);
        Ok(read)
    }

    /// Answers the reads of which it is known by now that no other leader had served before them. Another leader needs a
    /// majority that has promised; so many that remember what they promised have promised this one's epoch since that none is left.
    pub(super) fn answer_reads(&mut self) {
        let needed = self.peers.len() + 1 - self.config.configuration.majority();
        while let Some(waiter) = self.reads.front() {
            let round = waiter.round;
            if !matches!(self.phase, Phase::Serving)
                || self.promised_by(|promised| promised.standing == Standing::Normal && promised.round >= round).len()
                    < needed
            {
                return;
            }
            let read = waiter.read;
            self.reads.pop_front();
            self.outputs.push_back(Output::Read(read, Readable::Yes));
        }
    }

    /// The oldest read has waited for too long.
    pub(super) fn give_up_read(&mut self) {
        if let Some(waiter) = self.reads.pop_front() {
            self.outputs.push_back(Output::Read(waiter.read, Readable::No));
        }
    }

    /// The newest write of a key is this one.
    pub(super) fn not_committed_yet(&mut self, key: &Key, write: WriteId, stamp: Stamp, before: Option<Entry>) {
        let confirmed = FollowerSet::default();
        match self.uncommitted.get_mut(key) {
            Some(uncommitted) => {
                (uncommitted.write, uncommitted.stamp, uncommitted.confirmed) = (write, stamp, confirmed);
            }
            None => {
                let uncommitted = Uncommitted { write, stamp, confirmed, committed: before };
                self.uncommitted.insert(key.clone(), uncommitted);
            }
        }
    }

    /// The followers that are known to store the newest write of a key, if too few are.
    pub(super) fn stores_uncommitted(&self, key: &Key) -> Option<FollowerSet> {
        self.uncommitted.get(key).map(|uncommitted| uncommitted.confirmed)
    }

    /// Whether a quorum stores the newest write of a key.
    pub(super) fn is_committed(&self, key: &Key) -> bool {
        !self.uncommitted.contains_key(key)
    }

    /// A follower stores this of a key, and counts.
    pub(super) fn note_stored(&mut self, key: &Key, stored: Stamp, by: FollowerId) {
        let quorum = self.write_quorum();
        let Some(uncommitted) = self.uncommitted.get_mut(key) else { return };
        if stored >= uncommitted.stamp {
            uncommitted.confirmed.insert(by);
            if uncommitted.confirmed.without(self.doubted).len() >= quorum {
                self.uncommitted.remove(key);
            }
        }
    }

    /// Notes which keys are committed, once the confirmations of a follower count again.
    pub(super) fn settle_committed(&mut self) {
        let (quorum, doubted) = (self.write_quorum(), self.doubted);
        self.uncommitted.retain(|_, uncommitted| uncommitted.confirmed.without(doubted).len() < quorum);
    }

    /// A write of a key, not the newest, has reached its quorum.
    pub(super) fn note_committed(&mut self, key: &Key, entry: Entry) {
        if let Some(uncommitted) = self.uncommitted.get_mut(key)
            && uncommitted.stamp > entry.stamp
            && uncommitted.committed.as_ref().is_none_or(|committed| committed.stamp < entry.stamp)
        {
            uncommitted.committed = Some(entry);
        }
    }

    /// A follower was given everything up to this write.
    pub(super) fn note_caught_up(&mut self, by: FollowerId, covers: WriteId) {
        for uncommitted in self.uncommitted.values_mut().filter(|uncommitted| uncommitted.write <= covers) {
            uncommitted.confirmed.insert(by);
        }
        self.settle_committed();
    }

    /// A follower does not store any more what it did.
    pub(super) fn note_lost(&mut self, by: FollowerId) {
        self.uncommitted.values_mut().for_each(|uncommitted| {
            uncommitted.confirmed.remove(by);
        });
    }

    /// No read can be answered. What was committed stays so until something else is recovered.
    pub(super) fn drop_reads(&mut self) {
        while !self.reads.is_empty() {
            self.give_up_read();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Value;
    use crate::core::ask::Question;
    use crate::core::testing::{F1, F2, answer, cluster, config, follower_in, set, stores, talk};
    use crate::core::{Applied, Call, Follower, LeaderConfig, Rule, Rules};

    const NOW: Duration = Duration::from_secs(3);

    /// The requests of the leader, and the reads that it answers.
    fn outputs(leader: &mut Leader) -> (Vec<Call>, Vec<(ReadId, Readable)>) {
        let (mut calls, mut reads) = (Vec::new(), Vec::new());
        while let Some(output) = leader.poll_output() {
            match output {
                Output::Ask(call) => calls.push(*call),
                Output::Read(read, readable) => reads.push((read, readable)),
                _ => {}
            }
        }
        (calls, reads)
    }

    fn idle(followers: usize, rules: Rules) -> (Leader, Vec<Follower>) {
        let (mut leader, followers) = cluster(LeaderConfig { rules, ..config(followers, 1.min(followers), 0) });
        outputs(&mut leader);
        (leader, followers)
    }

    /// The followers that have not answered are fewer than a majority, so no other leader can have theirs alone.
    #[test]
    fn a_read_is_answered_when_the_other_followers_are_no_majority() {
        for (count, needed) in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)] {
            let (mut leader, mut followers) = idle(count, Rules::SAFE);
            let read = leader.begin_read(NOW).unwrap();
            let (calls, reads) = outputs(&mut leader);
            assert_eq!((calls.len(), reads), (count, vec![]));
            for (place, call) in calls.iter().enumerate() {
                answer(&mut leader, &mut followers, NOW, call);
                let expected = if place + 1 == needed { vec![(read, Readable::Yes)] } else { vec![] };
                assert_eq!(outputs(&mut leader).1, expected, "{} of {count} followers", place + 1);
            }
        }
    }

    /// The follower may have sent that answer before another leader served.
    #[test]
    fn the_answer_to_an_earlier_request_does_not_count() {
        let (mut leader, mut followers) = idle(1, Rules::SAFE);
        leader.handle_timeout(NOW);
        let (heartbeat, _) = outputs(&mut leader);
        let read = leader.begin_read(NOW).unwrap();
        answer(&mut leader, &mut followers, NOW, &heartbeat[0]);
        let (again, reads) = outputs(&mut leader);
        assert_eq!(reads, []);
        answer(&mut leader, &mut followers, NOW, &again[0]);
        assert_eq!(outputs(&mut leader).1, [(read, Readable::Yes)]);
    }

    /// The second of three writes of a key reaches the followers first, then the others do.
    #[test]
    fn reads_find_the_newest_write_that_a_quorum_stores() {
        let (mut leader, mut followers) = cluster(config(2, 2, 0));
        outputs(&mut leader);
        let x = Key::new("x").unwrap();
        for json in ["1", "2", "3"] {
            leader.set(NOW, None, x.clone(), Value::from_json(json).unwrap()).unwrap();
        }
        let outputs: Vec<Output> = std::iter::from_fn(|| leader.poll_output()).collect();
        let sent = |version: u64| {
            let messages =
                outputs.iter().filter_map(|it| if let Output::Send(message) = it { Some(message) } else { None });
            messages.filter(move |message| message.stamp().version.get() == version)
        };
        let mut deliver = |leader: &mut Leader, version: u64| {
            for message in sent(version) {
                let follower = &mut followers[message.to.index()];
                let stored = match follower.replicate(leader.id(), &x, message.update.entry.clone()) {
                    Applied::Stale { stored } => stored,
                    _ => message.stamp(),
                };
                leader.handle_reply(NOW, message, stores(message.to, stored));
            }
            leader.committed(&x).unwrap().value.as_ref().unwrap().as_json().to_owned()
        };
        let mut in_order = leader.clone();
        assert_eq!([2, 1, 3].map(|version| deliver(&mut leader, version)), ["2", "2", "3"]);
        // The first write is stored by a quorum, the others are not.
        for message in sent(1) {
            in_order.handle_reply(NOW, message, stores(message.to, message.stamp()));
        }
        assert_eq!(in_order.committed(&x).unwrap().value.as_ref().unwrap().as_json(), "1");
    }

    /// One follower stores the write, the other restarts and is given a snapshot.
    #[test]
    fn a_snapshot_commits_the_writes_that_it_holds() {
        let (mut leader, mut followers) = cluster(config(2, 2, 0));
        outputs(&mut leader);
        let x = Key::new("x").unwrap();
        assert!(!set(&mut leader, &mut followers, "x", "1", &[F1]));
        assert!(leader.committed(&x).is_none());
        followers[1] = follower_in(F2, 1, Rules::SAFE);
        talk(&mut leader, &mut followers, &[F1, F2], Duration::ZERO, NOW);
        assert!(leader.committed(&x).is_some());
    }

    /// A write is in flight, so the stores differ. That is looked into every ten seconds, however often clients read.
    #[test]
    fn reads_do_not_cause_comparisons() {
        for (now, is_due) in [(NOW, false), (4 * NOW, true)] {
            let (mut leader, mut followers) = idle(1, Rules::SAFE);
            leader.set(now, None, Key::new("x").unwrap(), Value::from_json("1").unwrap()).unwrap();
            let read = leader.begin_read(now).unwrap();
            let (calls, _) = outputs(&mut leader);
            answer(&mut leader, &mut followers, now, &calls[0]);
            let (calls, reads) = outputs(&mut leader);
            assert_eq!(reads, [(read, Readable::Yes)]);
            let compares = |call: &Call| matches!(call.ask.question, Question::Probe { buckets: true, .. });
            assert_eq!(calls.iter().any(compares), is_due, "{calls:?}");
        }
    }

    #[test]
    fn a_read_fails_at_its_deadline() {
        let (mut leader, _) = idle(3, Rules::SAFE);
        let first = leader.begin_read(NOW).unwrap();
        let second = leader.begin_read(NOW + Duration::from_secs(1)).unwrap();
        leader.handle_timeout(NOW + Duration::from_secs(5));
        assert_eq!(outputs(&mut leader).1, [(first, Readable::No)]);
        leader.handle_timeout(NOW + Duration::from_secs(6));
        assert_eq!(outputs(&mut leader).1, [(second, Readable::No)]);
    }

    #[test]
    fn a_read_is_answered_at_once_where_nothing_is_asked() {
        let without = |rule| Rules::SAFE.without(rule);
        for (count, rules) in [(0, Rules::SAFE), (3, without(Rule::ConfirmReads)), (3, without(Rule::RecoverOnStart))] {
            let (mut leader, _) = idle(count, rules);
            let read = leader.begin_read(NOW).unwrap();
            assert_eq!(outputs(&mut leader).1, [(read, Readable::Yes)], "{count} followers, {rules:?}");
        }
    }
}
