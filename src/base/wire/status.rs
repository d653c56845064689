//! The answer to `GET /status`: how a node sees itself and, if it leads, its followers.

use serde::{Deserialize, Serialize};

/// The answer to `GET /status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// `leader` or `follower`.
    pub role: String,
    /// Whether the node can do its work now, as `GET /ready` says.
    pub ready: bool,
    /// Why, or why not, and what can be done about it.
    pub detail: String,
    /// Whether `detail` says something that a person should look at, though the node may be ready.
    #[serde(default)]
    pub attention: bool,
    /// The leader's epoch; on a follower the one that it has promised, 0 if none.
    pub epoch: u64,
    /// How many keys the node stores.
    pub keys: usize,
    /// The largest request body that it takes from clients (MAX_BODY), in bytes.
    pub max_body: usize,
    /// On a leader: how many followers must confirm a write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_quorum: Option<usize>,
    /// On a leader: whether it serves writes and reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<bool>,
    /// On a leader: its followers, in the order of FOLLOWERS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followers: Vec<FollowerReport>,
    /// On a follower: its leader, if it has heard of one since it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<LeaderReport>,
}

/// A follower as its leader sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FollowerReport {
    /// Its name in logs and metrics: `f1` is the first of FOLLOWERS.
    pub follower: String,
    /// Its address, as FOLLOWERS says.
    pub address: String,
    /// Whether it counts for a write's quorum now.
    pub counts: bool,
    /// `current`, `behind`, `unconfirmed`, `unpromised`, `doubted`, `elsewhere` or `legacy`.
    pub progress: String,
    /// How many messages with writes it has not answered yet.
    pub in_flight: usize,
    /// How many keys it is known to lack, or to have in an older version.
    pub keys_behind: usize,
    /// For how long it has lacked any, in seconds, to a second or so; none if it lacks nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_for_s: Option<f64>,
    /// How long ago something came from it, in seconds; none if nothing has since the leader was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_ago_s: Option<f64>,
    /// The largest request body that it takes from clients (MAX_BODY), in bytes, if it has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body: Option<usize>,
    /// What is being sent to it over a slow link, and how far that has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sending: Option<String>,
    /// Why the last request to it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Why it does not count, and what can be done about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A leader as its follower knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaderReport {
    /// Where clients reach it, if it says so (ADVERTISE).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How long ago something came from it, in seconds.
    pub heard_ago_s: f64,
}
