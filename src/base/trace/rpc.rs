use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of peer RPC: requests of a leader to a follower that carry no write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rpc {
    /// Asks the follower to promise an epoch.
    Promise,
    /// Confirms that the promise stands, and returns a digest of the follower's store.
    Heartbeat,
    /// Fetches a part of the follower's state.
    State,
    /// Sends a part of a snapshot.
    Snapshot,
    /// Has the follower adopt what it stores under the stamps of the leader's epoch.
    Adopt,
    /// Has the follower collect tombstones.
    Collect,
}

impl Rpc {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Promise, Self::Heartbeat, Self::State, Self::Snapshot, Self::Adopt, Self::Collect];

    /// The name that scenarios and traces use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Promise => "promise",
            Self::Heartbeat => "heartbeat",
            Self::State => "state",
            Self::Snapshot => "snapshot",
            Self::Adopt => "adopt",
            Self::Collect => "collect",
        }
    }
}

impl fmt::Display for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
