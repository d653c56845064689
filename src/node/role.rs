use std::time::Duration;

use crate::base::FollowerSet;
use crate::net::{HostPort, NetemConfig};

/// The role of a node.
#[derive(Debug, Clone)]
pub enum Role {
    /// It accepts writes and replicates them.
    Leader(LeaderRole),
    /// It is replicated to.
    Follower,
}

/// The settings of a leader.
#[derive(Debug, Clone)]
pub struct LeaderRole {
    /// The followers, each once.
    pub followers: Vec<HostPort>,
    /// The number of followers that must confirm a write: 1 to the number of followers, or 0
    /// without followers.
    pub write_quorum: usize,
    /// The emulated delay of each replication message.
    pub netem: NetemConfig,
    /// The deadline of a write's quorum from its acceptance, and of each replication request from
    /// its sending.
    pub repl_timeout: Duration,
    /// The address at which clients reach the leader. Followers pass it on to clients that write to
    /// them.
    pub advertise: Option<HostPort>,
}

impl Role {
    /// `leader` or `follower`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Leader(_) => "leader",
            Self::Follower => "follower",
        }
    }
}

impl LeaderRole {
    /// Checks the fields by themselves and against one another.
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { followers, write_quorum, netem: NetemConfig { min_delay, max_delay }, repl_timeout, .. } = self;
        let count = followers.len();
        if count > FollowerSet::CAPACITY {
            return Err(format!("{count} followers: must be at most {}", FollowerSet::CAPACITY));
        }
        if let Some((place, twice)) = followers.iter().enumerate().find(|(place, it)| followers[..*place].contains(it))
        {
            return Err(format!("follower {} is {twice}, as one before it; no two may be the same", place + 1));
        }
        // A leader without followers confirms its writes alone.
        if !(count.min(1)..=count).contains(write_quorum) {
            return Err(format!("write_quorum = {write_quorum}: must be {} to {count}, the followers", count.min(1)));
        }
        if min_delay > max_delay {
            return Err(format!("min_delay = {min_delay:?}: must not be above max_delay = {max_delay:?}"));
        }
        if repl_timeout.is_zero() {
            return Err("repl_timeout = 0s: must be above 0".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_cannot_be_is_refused_by_the_name_of_the_field() {
        let follower = |port| HostPort::new("f", port);
        let role = || LeaderRole {
            followers: vec![follower(1), follower(2)],
            write_quorum: 2,
            netem: NetemConfig { min_delay: Duration::ZERO, max_delay: Duration::from_secs(1) },
            repl_timeout: Duration::from_secs(5),
            advertise: None,
        };
        let delay = |min_delay, max_delay| NetemConfig { min_delay, max_delay };
        assert_eq!(role().check(), Ok(()));
        assert_eq!(LeaderRole { followers: Vec::new(), write_quorum: 0, ..role() }.check(), Ok(()));
        for (role, problem) in [
            (
                LeaderRole { followers: (1..=129).map(follower).collect(), ..role() },
                "129 followers: must be at most 128",
            ),
            (LeaderRole { followers: vec![follower(1), follower(1)], ..role() }, "follower 2 is f:1"),
            (LeaderRole { write_quorum: 0, ..role() }, "write_quorum = 0: must be 1 to 2"),
            (LeaderRole { write_quorum: 3, ..role() }, "write_quorum = 3: must be 1 to 2"),
            (LeaderRole { followers: Vec::new(), write_quorum: 1, ..role() }, "write_quorum = 1: must be 0 to 0"),
            (
                LeaderRole { netem: delay(Duration::from_secs(1), Duration::ZERO), ..role() },
                "min_delay = 1s: must not be above max_delay = 0ns",
            ),
            (LeaderRole { repl_timeout: Duration::ZERO, ..role() }, "repl_timeout = 0s: must be above 0"),
        ] {
            let error = role.check().expect_err(problem);
            assert!(error.contains(problem), "{error:?} does not say {problem:?}");
        }
    }
}
