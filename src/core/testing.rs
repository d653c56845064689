//! What the tests of this layer share.

use std::time::Duration;

use super::{Follower, Incarnation, Leader, LeaderConfig, Reply, Standing, Stored, Timer, assemble};
use crate::base::Stamp;

/// A leader that serves, and its followers.
pub(super) fn cluster(config: LeaderConfig) -> (Leader, Vec<Follower>) {
    let rules = config.rules;
    let mut followers: Vec<Follower> =
        config.configuration.members.iter().map(|_| Follower::new(Incarnation(0), rules)).collect();
    let mut leader = Leader::new(config);
    assemble(&mut leader, |id, ask, events| followers[id.index()].ask(ask, events), |_, _| {});
    assert!(leader.serves());
    (leader, followers)
}

/// How a follower that is up to date says what it stores.
pub(super) fn stores(stamp: Stamp) -> Reply {
    Reply::Stored(Stored { stamp, incarnation: Incarnation(0), standing: Standing::Normal })
}

/// When the leader does something next besides asking followers whether they are there.
pub(super) fn next_timer(leader: &Leader) -> Option<Duration> {
    leader.timers().filter(|(timer, _)| !matches!(timer, Timer::Ask(_))).map(|(_, at)| at).min()
}
