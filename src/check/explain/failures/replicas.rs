//! Several leaders, and replicas that keep what they should not, or lose what they should keep.

use super::FailureText;
use crate::check::Property::{
    Acknowledgement, Convergence, Durability, Fencing, Integrity, Linearizability, Liveness, MonotonicState,
};

pub(super) const TEXTS: &[FailureText] = &[
    FailureText {
        code: 23,
        summary: "A follower accepts a write from a client.",
        meaning: "The follower stores a value that no other node has, under a version that the leader also assigns.",
        properties: &[Integrity, Convergence],
        sources: &["Redis manual: writable replicas"],
        remedy: "Followers answer /set and /delete with 403 and, if they know it, the address of the leader.",
        scenarios: &[],
    },
    FailureText {
        code: 24,
        summary: "Two nodes are configured as leader and run at the same time.",
        meaning: "An operator starts a second leader because the first one is out of reach. If followers obey both, both \
                  assign the same versions to different values.",
        properties: &[Integrity, Fencing, Convergence, Durability],
        sources: &["Jepsen: Redis Sentinel (aphyr.com/posts/283)"],
        remedy: "Followers promise an epoch to one leader and refuse the other, which steps down. Stop the leader that is \
                 not wanted.",
        scenarios: &["f24-two-leaders", "f24-two-leaders-safe"],
    },
    FailureText {
        code: 25,
        summary: "A follower applies a write of a leader that was replaced.",
        meaning: "Messages of the old leader are still in flight, or it does not know that it was replaced. A follower \
                  that applies them holds writes that the new leader does not know.",
        properties: &[Fencing, Durability, Convergence],
        sources: &["Apache BookKeeper: fencing"],
        remedy: "A follower refuses every epoch but the one that it has promised, with the reason \"fenced\".",
        scenarios: &["f25-a-deposed-leader-is-obeyed", "f25-a-deposed-leader-is-obeyed-safe"],
    },
    FailureText {
        code: 26,
        summary: "A forged, very large version blocks a key.",
        meaning: "Somebody sends a write with a huge version to a follower. Every later write of the key has a smaller \
                  version and is rejected as stale.",
        properties: &[Liveness, Integrity],
        sources: &["Apache Cassandra: timestamps in the future"],
        remedy: "Set PEER_TOKEN, so that only nodes of the cluster can replicate. Versions end at 2^53, and the next \
                 write of the leader replaces a value that was written without an epoch, even one with a greater version.",
        scenarios: &[],
    },
    FailureText {
        code: 27,
        summary: "A replica that is behind becomes the leader and assigns identifiers again.",
        meaning: "The new leader does not have the last acknowledged writes. They are lost, and their versions are \
                  assigned to other values.",
        properties: &[Durability, Integrity],
        sources: &["GitHub availability this week (September 2012)"],
        remedy: "A leader recovers from its followers before it serves, so it does not matter what it had itself. \
                 semisync does not promote followers automatically.",
        scenarios: &[],
    },
    FailureText {
        code: 28,
        summary: "A short partition triggers a failover, and both sides hold writes that the other one lacks.",
        meaning: "The new leader serves on one side of the partition while the old one continues on the other side.",
        properties: &[Convergence, Acknowledgement],
        sources: &["GitHub: October 21 post-incident analysis (2018)"],
        remedy: "A leader needs promises of more than half of the followers, so at most one side can serve. There is no \
                 automatic failover.",
        scenarios: &[],
    },
    FailureText {
        code: 29,
        summary: "A write that was never acknowledged stays on one follower after a new leader recovered without it.",
        meaning: "Only f3 has the write when the leader loses its memory. The next leader recovers from f1 and f2 and does \
                  not know of it. f3 differs for ever, or the write reappears in a later recovery.",
        properties: &[Convergence, Linearizability],
        sources: &["MySQL bug 99370"],
        remedy: "When the leader brings a follower up to date, the follower removes entries of earlier epochs that the \
                 leader does not have.",
        scenarios: &["f29-what-a-deposed-leader-left-behind", "f29-what-a-deposed-leader-left-behind-safe"],
    },
    FailureText {
        code: 30,
        summary: "A tombstone is collected before a slow follower has the deletion, and the key reappears.",
        meaning: "The deletion of x is acknowledged and its tombstone is dropped, while f3 still stores the old value. \
                  The next leader recovers that value, because nothing says that it was deleted.",
        properties: &[Durability, Convergence, MonotonicState],
        sources: &["Apache Cassandra: gc_grace_seconds and zombie data"],
        remedy: "Tombstones are collected only after every follower has them. A follower that is down delays that: \
                 semisync_tombstones in /metrics counts them.",
        scenarios: &["f30-a-deletion-is-forgotten-too-early", "f30-a-deletion-is-forgotten-too-early-safe"],
    },
    FailureText {
        code: 31,
        summary: "A snapshot is interrupted, or overwrites newer keys.",
        meaning: "The state of another node is installed without comparing it key by key, or only in part. A key returns \
                  to an older version, or a recovering leader keeps an older entry than another follower has.",
        properties: &[MonotonicState, Durability, Convergence],
        sources: &[],
        remedy: "A snapshot is collected completely, checked by a digest, and merged by stamp.",
        scenarios: &["f31-a-snapshot-overwrites-a-newer-key", "f31-a-snapshot-overwrites-a-newer-key-safe"],
    },
];
