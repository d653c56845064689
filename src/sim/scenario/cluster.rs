use serde::{Deserialize, Serialize};

use super::{LONGEST_MS, RulesSpec};
use crate::base::FollowerSet;
use crate::core::Limits;

/// Time that advances by more than this at once shows nothing, and whole nodes cannot be played.
const LONGEST_TICK_MS: u64 = 1000;

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSpec {
    /// The number of followers.
    pub followers: usize,
    /// The number of followers that run besides, numbered after those, and are no members until a
    /// fault makes them members.
    pub spares: usize,
    /// How many of them must confirm a write.
    pub write_quorum: usize,
    /// The shortest and the longest emulated delay of a replication message, in milliseconds.
    pub delay_ms: [u64; 2],
    /// The deadline of a write's quorum and of a replication request, in milliseconds.
    pub repl_timeout_ms: u64,
    /// The latency of a link, one way, in milliseconds.
    pub link_ms: u64,
    /// How far time advances at once, in milliseconds.
    pub tick_ms: u64,
    /// The most first deliveries to one follower that may be unanswered. What goes beyond is kept
    /// by key.
    pub window: usize,
    /// The most keys that a leader reads, or sends to bring a follower up to date, at a time.
    pub part_keys: usize,
    /// Which decisions of the protocol are in force.
    pub rules: RulesSpec,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            followers: 5,
            spares: 0,
            write_quorum: 3,
            delay_ms: [0, 1000],
            repl_timeout_ms: 5000,
            link_ms: 1,
            tick_ms: 1,
            window: Limits::default().window,
            part_keys: Limits::default().part_keys,
            rules: RulesSpec::SAFE,
        }
    }
}

impl ClusterSpec {
    /// The number of followers, members or not.
    pub fn all_followers(&self) -> usize {
        self.followers + self.spares
    }
}

/// The greatest `window` and `part_keys`: as many as a scenario can have operations. A greater one
/// would limit nothing.
const MOST_AT_ONCE: usize = 1_000_000;

impl ClusterSpec {
    /// Checks each number, and the quorum against the number of followers.
    ///
    /// # Errors
    /// Names the field and its value, and what is allowed.
    pub(in crate::sim) fn check(&self) -> Result<(), String> {
        let &Self { followers, spares, write_quorum, delay_ms: [min, max], repl_timeout_ms, link_ms, tick_ms, .. } =
            self;
        if !(1..=FollowerSet::CAPACITY).contains(&followers) {
            return Err(format!("followers = {followers}: must be 1 to {}", FollowerSet::CAPACITY));
        }
        let most_spares = FollowerSet::CAPACITY - followers;
        if spares > most_spares {
            let all = FollowerSet::CAPACITY;
            return Err(format!(
                "spares = {spares}: must be 0 to {most_spares}, so that there are at most {all} followers"
            ));
        }
        if !(1..=followers).contains(&write_quorum) {
            return Err(format!("write_quorum = {write_quorum}: must be 1 to {followers}, the followers"));
        }
        if min > max || max > LONGEST_MS {
            return Err(format!("delay_ms = [{min}, {max}]: must be [shortest, longest], up to {LONGEST_MS}"));
        }
        let longest = |name| if name == "tick_ms" { LONGEST_TICK_MS } else { LONGEST_MS };
        for (name, ms) in [("repl_timeout_ms", repl_timeout_ms), ("link_ms", link_ms), ("tick_ms", tick_ms)] {
            if !(1..=longest(name)).contains(&ms) {
                return Err(format!("{name} = {ms}: must be 1 to {}", longest(name)));
            }
        }
        for (name, number) in [("window", self.window), ("part_keys", self.part_keys)] {
            if !(1..=MOST_AT_ONCE).contains(&number) {
                return Err(format!("{name} = {number}: must be 1 to {MOST_AT_ONCE}"));
            }
        }
        Ok(())
    }
}
