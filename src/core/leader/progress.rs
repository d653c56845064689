//! How each follower fares, as the leader sees it: for people, and for whether enough followers count.

use std::time::Duration;

use super::catch_up::Sync;
use super::{Leader, Peer};
use crate::base::{FollowerId, FollowerSet};
use crate::core::ask::Standing;

/// How a follower fares, as the leader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerStatus {
    /// False from a message that it did not take until one that it did. True before the first.
    pub reachable: bool,
    /// First deliveries without an answer yet.
    pub unanswered: usize,
    /// Keys whose newest write it is known to have missed.
    pub missed: usize,
    /// Whether it has been brought up to date in this epoch, and counts.
    pub current: bool,
    /// Whether it does not know epochs, and is sent writes in the documented form.
    pub legacy: bool,
    /// How far the leader has come with it.
    pub progress: Progress,
    /// How many keys it remembered when it promised the leader's epoch. None if it has not, or may have forgotten everything.
    pub remembers: Option<u64>,
    /// When something came from it last, on the leader's clock. None if nothing has since the leader was started.
    pub heard_at: Option<Duration>,
}

/// How far a leader has come with a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It has not promised the leader's epoch.
    Unpromised,
    /// Another follower answers where this one is looked for.
    Elsewhere,
    /// It may have forgotten a promise to another leader, so it is brought up to date only when enough of the others have said that
    /// their promise stands. These have not.
    Unconfirmed {
        /// The followers that have not said so.
        silent: FollowerSet,
    },
    /// It is being brought up to date, or will be once the leader knows with what.
    Behind {
        /// How many keys it is still to be sent, as far as that is known.
        keys: usize,
    },
    /// It is up to date but for what is on its way, and its connection has ended, or something had no answer: what it confirmed does
    /// not count until it has answered again.
    Doubted,
    /// It is up to date but for what is on its way.
    Current,
    /// It does not know epochs. It is sent writes and counts for nothing.
    Legacy,
}

impl Leader {
    /// How each follower fares, in order.
    pub fn status(&self) -> impl Iterator<Item = FollowerStatus> {
        self.peers.enumerate().map(|(id, peer)| FollowerStatus {
            reachable: peer.reachable,
            unanswered: peer.unanswered,
            missed: peer.resender.len(),
            current: self.counts(peer),
            legacy: peer.link.is_legacy(),
            progress: self.progress(id, peer),
            remembers: peer
                .link
                .promised
                .as_ref()
                .and_then(|promised| (promised.standing == Standing::Normal).then_some(promised.summary.keys)),
            heard_at: peer.link.heard_at(),
        })
    }

    fn progress(&self, id: FollowerId, peer: &Peer) -> Progress {
        let link = &peer.link;
        if link.is_astray {
            return Progress::Elsewhere;
        }
        // Without recovery no follower is asked for a promise.
        if !self.config.rules.recover_on_start {
            return Progress::Current;
        }
        match &link.sync {
            Sync::Legacy { .. } => Progress::Legacy,
            Sync::Current if link.is_doubted() => Progress::Doubted,
            Sync::Current => Progress::Current,
            _ if link.promised.is_none() => Progress::Unpromised,
            Sync::Behind if !self.may_install(id) => Progress::Unconfirmed { silent: self.unconfirmed(id) },
            Sync::Behind => Progress::Behind { keys: self.store.len() },
            Sync::Pushing(snapshot) => {
                Progress::Behind { keys: self.store.len().saturating_sub(snapshot.taken_keys()) }
            }
        }
    }

    /// The other followers that have not said that their promise stands since this one promised.
    fn unconfirmed(&self, id: FollowerId) -> FollowerSet {
        let needs = self.peers[id].link.promised.as_ref().map_or(0, |promised| promised.needs_round);
        let has_confirmed = |peer: &Peer| {
            let promised = peer.link.promised.as_ref();
            promised.is_some_and(|promised| promised.round >= needs)
        };
        let others = self.peers.enumerate().filter(|(other, peer)| *other != id && !has_confirmed(peer));
        others.map(|(other, _)| other).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{F1, F2, F3, answer, calls, cluster, config, follower_in, set, talk};
    use crate::core::{Asked, Question, Rules};

    const SECOND: Duration = Duration::from_secs(1);

    fn progress(leader: &Leader) -> Vec<Progress> {
        leader.status().map(|status| status.progress).collect()
    }

    #[test]
    fn a_follower_that_restarts_while_another_is_down_waits_for_it() {
        let (mut leader, mut followers) = cluster(config(3, 2, 0));
        assert!(set(&mut leader, &mut followers, "x", "1", &[F1, F2, F3]));
        assert_eq!(progress(&leader), [Progress::Current; 3]);
        followers[F1.index()] = follower_in(F1, 9, Rules::SAFE);
        talk(&mut leader, &mut followers, &[F1, F2], SECOND, 20 * SECOND);
        let waits = Progress::Unconfirmed { silent: [F3].into_iter().collect() };
        assert_eq!(progress(&leader), [waits, Progress::Current, Progress::Doubted]);
        let heard: Vec<Duration> = leader.status().map(|status| status.heard_at.unwrap()).collect();
        assert!(heard[0] > 18 * SECOND && heard[1] > 18 * SECOND && heard[2] < 2 * SECOND, "{heard:?}");
        talk(&mut leader, &mut followers, &[F1, F2, F3], 20 * SECOND, 60 * SECOND);
        assert_eq!(progress(&leader), [Progress::Current; 3]);
    }

    #[test]
    fn a_follower_that_is_sent_everything_is_so_many_keys_behind() {
        let mut settings = config(3, 2, 0);
        settings.limits.part_keys = 2;
        let (mut leader, mut followers) = cluster(settings);
        for key in ["a", "b", "c", "d", "e"] {
            assert!(set(&mut leader, &mut followers, key, "1", &[F1, F2, F3]));
        }
        followers[F1.index()] = follower_in(F1, 9, Rules::SAFE);
        let mut seen = std::collections::BTreeSet::new();
        for ms in 0..5000 {
            let now = SECOND + Duration::from_millis(ms);
            leader.handle_timeout(now);
            for call in calls(&mut leader) {
                answer(&mut leader, &mut followers, now, &call);
                if let Progress::Behind { keys } = leader.status().next().unwrap().progress {
                    seen.insert(keys);
                }
            }
        }
        assert!(seen.iter().any(|keys| (1..5).contains(keys)), "{seen:?}");
        assert_eq!(progress(&leader), [Progress::Current; 3]);
    }

    #[test]
    fn a_leader_that_has_reached_nobody_knows_that() {
        let mut leader = Leader::new(config(2, 1, 0));
        for call in calls(&mut leader) {
            assert!(matches!(call.ask.question, Question::Fence));
            leader.handle_answer(SECOND, call.to, call.number, Asked::Lost);
        }
        assert_eq!(progress(&leader), [Progress::Unpromised; 2]);
        assert!(leader.status().all(|status| status.heard_at.is_none()));
    }
}
