//! When two leaders will behave alike: what a search of all runs must know, so as to follow one of them only.

use std::hash::{Hash, Hasher};

use super::catch_up::Sync;
use super::collect::Collection;
use super::read::Waiter;
use super::upkeep::{Matters, Rounds};
use super::{Leader, Phase};
use crate::base::FollowerId;
use crate::core::ask::{Answer, Identity, Promise, Said};
use crate::core::digest::Summary;

impl Leader {
    /// Feeds a hasher with everything but times that decides what the leader does next, except what it keeps for single
    /// followers: that is [`Leader::hash_of`]. Two leaders that feed the same in both do the same, if the same reaches
    /// them and the same timers go off.
    pub fn hash_shared<H: Hasher>(&self, state: &mut H) {
        self.store.hash(state);
        self.epoch.hash(state);
        self.config.id.hash(state);
        match &self.phase {
            Phase::Starting(start) => start.behaviour().hash(state),
            Phase::Serving => state.write_u8(0),
        }
        // The lives of followers are known by their names where names do not move. Which tombstones are to be forgotten follows from the store. Searches have no retries, which are about names.
        (self.floor, self.collections, self.has_met_memory).hash(state);
        self.collection.as_ref().map(Collection::behaviour).hash(state);
        state.write_u64(self.last_write);
        state.write_usize(self.open.len());
        for (write, open) in &self.open {
            (write, &open.update.key, open.update.entry.stamp, open.waiting).hash(state);
            // Of followers that are told apart, nobody looks at how often they answered.
            if !self.config.rules.count_distinct {
                open.answers.hash(state);
            }
        }
        state.write_usize(self.uncommitted.len());
        for (key, uncommitted) in &self.uncommitted {
            (key, uncommitted.behaviour()).hash(state);
        }
        state.write_usize(self.reads.len());
        for waiter in &self.reads {
            waiter.age(self.round).hash(state);
        }
        state.write_usize(self.deadlines.len());
        for (_, write) in &self.deadlines {
            write.hash(state);
        }
    }

    /// What of the things that it knows of its followers can decide anything from now on.
    fn what_matters(&self) -> Matters {
        let gathers = matches!(&self.phase, Phase::Starting(start) if !start.has_recovered());
        let forgetful = self.peers.iter().filter_map(|peer| peer.link.promised.as_ref());
        let forgetful = forgetful.filter(|promised| promised.may_have_forgotten()).map(|promised| promised.needs_round);
        let waited_for = self.reads.iter().map(Waiter::round).chain(forgetful).chain(gathers.then_some(0));
        Matters {
            rounds: waited_for.min().map(|oldest| Rounds { present: self.round, oldest }),
            stores: gathers,
            configurations: !self.serves(),
            silence: matches!(&self.phase, Phase::Starting(start) if start.accepts_loss()),
            last_write: self.last_write,
        }
    }

    /// Whether what a follower stores decides anything, if the question that is under way is whether its promise stands: not if something
    /// was on its way to it when that was asked, or has been written since, nor if the answer, where it is known, says the same.
    pub fn compares(&self, id: FollowerId, answer: Option<&Answer>) -> bool {
        self.peers[id].link.compares(self.what_matters(), answer.and_then(found))
    }

    /// Whether the leader is bringing a follower up to date.
    pub fn pushes_to(&self, id: FollowerId) -> bool {
        matches!(self.peers[id].link.sync, Sync::Pushing(_))
    }

    /// Whether the answer to the question that is under way, if it came now, would tell the leader nothing: a follower that is up to date
    /// says that it is still there. What that changes is that the next question may be asked.
    pub fn learns_nothing_from(&self, id: FollowerId, answer: &Answer) -> bool {
        let link = &self.peers[id].link;
        let Said::Here { summary, buckets: None } = answer.said else { return false };
        let is_known = self.knows(id) == Some(Identity { incarnation: answer.incarnation, standing: answer.standing });
        let is_mine = answer.promised == Promise { epoch: self.epoch, leader: self.config.id };
        let is_usual = self.serves() && link.is_current() && is_known && is_mine;
        is_usual && link.learns_nothing_from(self.what_matters(), summary)
    }

    /// What the leader keeps for one follower, without its name: two followers that feed the same are treated alike.
    /// `answer` is that to the question under way, if it is known already.
    pub fn hash_of<H: Hasher>(&self, follower: FollowerId, answer: Option<&Answer>, state: &mut H) {
        for open in self.open.values() {
            (open.unanswered.contains(follower), open.confirmed.contains(follower)).hash(state);
        }
        for uncommitted in self.uncommitted.values() {
            uncommitted.is_stored_by(follower).hash(state);
        }
        self.collection.as_ref().map(|collection| collection.is_forgotten_by(follower)).hash(state);
        if let Phase::Starting(start) = &self.phase {
            start.behaviour_to(follower).hash(state);
        }
        let peer = &self.peers[follower];
        peer.link.behaviour(self.what_matters(), answer.and_then(found)).hash(state);
        self.can_adopt(follower).hash(state);
        // Whether it is reachable matters only as time passes, which it does not in a search.
        (peer.unanswered, peer.unanswered_bytes).hash(state);
        peer.resender.hash_behaviour(state);
    }
}

/// What a follower stores that has said so.
fn found(answer: &Answer) -> Option<Summary> {
    match answer.said {
        Said::Here { summary, .. } => Some(summary),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;
    use std::time::Duration;

    use super::*;
    use crate::base::{Key, Seed, Value};
    use crate::core::testing::{answer, calls, cluster, config, set};
    use crate::core::{LeaderConfig, Message, Output, Reply, Timer};

    const F1: FollowerId = FollowerId(0);
    const F2: FollowerId = FollowerId(1);

    /// A leader whose first write was lost on the way to one of its two followers, and what it sent.
    fn after_a_loss(began: Duration, lost_by: FollowerId) -> (Leader, Vec<Message>) {
        let config = LeaderConfig { seed: Seed::new(began.as_secs()), ..config(2, 2, 0) };
        let (mut leader, _) = cluster(config);
        leader.set(began, None, Key::new("x").unwrap(), Value::from_json("1").unwrap()).unwrap();
        let sent = messages(&mut leader);
        let lost = sent.iter().find(|message| message.to == lost_by).unwrap();
        leader.handle_reply(began + Duration::from_secs(1), lost, Reply::Lost);
        (leader, sent)
    }

    fn messages(leader: &mut Leader) -> Vec<Message> {
        let outputs = std::iter::from_fn(|| leader.poll_output());
        outputs.filter_map(|output| if let Output::Send(message) = output { Some(message) } else { None }).collect()
    }

    fn hash(feed: impl FnOnce(&mut DefaultHasher)) -> u64 {
        let mut hasher = DefaultHasher::new();
        feed(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn neither_times_nor_names_decide() {
        let (early, _) = after_a_loss(Duration::ZERO, F1);
        let (late, _) = after_a_loss(Duration::from_secs(70), F2);
        let shared = |leader: &Leader| hash(|hasher| leader.hash_shared(hasher));
        let of = |leader: &Leader, follower| hash(|hasher| leader.hash_of(follower, None, hasher));
        assert_eq!(shared(&early), shared(&late));
        assert_eq!((of(&early, F1), of(&early, F2)), (of(&late, F2), of(&late, F1)));
        assert_ne!(of(&early, F1), of(&early, F2), "one of them missed the write");
    }

    /// It reads the store of the follower that promised first.
    #[test]
    fn the_order_of_promises_decides() {
        let after = |order: [FollowerId; 2]| {
            let (_, mut followers) = cluster(config(5, 3, 0));
            let mut leader = Leader::new(config(5, 3, 1));
            let fences = calls(&mut leader);
            for to in order {
                let fence = fences.iter().find(|call| call.to == to).unwrap();
                answer(&mut leader, &mut followers, Duration::ZERO, fence);
            }
            hash(|hasher| leader.hash_of(F1, None, hasher))
        };
        assert_ne!(after([F1, F2]), after([F2, F1]));
    }

    /// The leader has read the store of one follower and asks whether the promises hold.
    #[test]
    fn what_a_start_has_read_decides() {
        let after = |json: &str| {
            let (mut first, mut followers) = cluster(config(3, 2, 0));
            while first.poll_output().is_some() {}
            set(&mut first, &mut followers, "x", json, &[F1, F2, FollowerId(2)]);
            let mut leader = Leader::new(config(3, 2, 1));
            for fence in &calls(&mut leader)[..2] {
                answer(&mut leader, &mut followers, Duration::ZERO, fence);
            }
            let pull = calls(&mut leader).remove(0);
            answer(&mut leader, &mut followers, Duration::ZERO, &pull);
            hash(|hasher| leader.hash_shared(hasher))
        };
        assert_eq!(after("1"), after("1"));
        assert_ne!(after("1"), after("2"));
    }

    /// A search does not try such an answer in every order.
    #[test]
    fn an_idle_follower_that_is_there_teaches_nothing() {
        let now = Duration::from_secs(2);
        let (mut leader, mut followers) = cluster(config(1, 1, 0));
        while leader.poll_output().is_some() {}
        let mut reads = leader.clone();
        leader.handle_timeout(now);
        let heartbeat = calls(&mut leader).remove(0);
        let answer = followers[0].ask(&heartbeat.ask, &mut Vec::new());
        assert!(leader.learns_nothing_from(F1, &answer));
        let other = Summary { keys: 1, digest: 1 };
        let differs = Answer { said: Said::Here { summary: other, buckets: None }, ..answer.clone() };
        assert!(!leader.learns_nothing_from(F1, &differs), "the stores are to be compared");
        leader.handle_silence(now, F1);
        assert!(!leader.learns_nothing_from(F1, &answer), "it counts again");
        reads.begin_read(now).unwrap();
        assert!(!reads.learns_nothing_from(F1, &answer), "the read is answered");
    }

    #[test]
    fn timers_go_off_one_by_one() {
        let (mut leader, sent) = after_a_loss(Duration::ZERO, F2);
        assert_eq!(sent.len(), 2);
        let (timers, due): (Vec<Timer>, Vec<Duration>) = leader.timers().unzip();
        assert_eq!(timers, [Timer::Deadline, Timer::Resend(F2), Timer::Ask(F1), Timer::Ask(F2)]);
        assert_eq!(due.into_iter().min(), leader.wake_at());
        leader.fire(Duration::ZERO, Timer::Resend(F1));
        assert_eq!(leader.poll_output(), None, "it was not armed");
        leader.fire(Duration::ZERO, Timer::Resend(F2));
        assert_eq!(
            messages(&mut leader).iter().map(|message| (message.to, message.attempt)).collect::<Vec<_>>(),
            [(F2, 2)]
        );
        leader.fire(Duration::ZERO, Timer::Deadline);
        assert!(matches!(leader.poll_output(), Some(Output::Complete(completion)) if !completion.ok));
        assert!(leader.timers().all(|(timer, _)| matches!(timer, Timer::Ask(_))));
    }
}
