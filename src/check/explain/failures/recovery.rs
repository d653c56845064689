//! Nodes that start without the state that they had.

use super::FailureText;
use crate::check::Property::{
    Acknowledgement, Convergence, Durability, Fencing, Integrity, Linearizability, MonotonicState, Sessions,
};

pub(super) const TEXTS: &[FailureText] = &[
    FailureText {
        code: 1,
        summary: "A leader restarts empty, and stale responses of its followers count as confirmations.",
        meaning: "The leader loses its memory and assigns version 1 again to a key whose version 7 was acknowledged. The \
                  followers respond that version 1 is stale. If such a response counts as a confirmation, the write is \
                  acknowledged with ok:true and stored by no follower.",
        properties: &[Acknowledgement, Durability, Integrity, Convergence],
        sources: &["Redis manual: replication, safety when the master has persistence turned off"],
        remedy: "A leader recovers the state of its followers before it serves, and orders writes by epoch and version.",
        scenarios: &["f1-leader-restarts-empty", "f1-leader-restarts-empty-safe"],
    },
    FailureText {
        code: 2,
        summary: "A leader recovers without a follower that has a version, and assigns that version again.",
        meaning: "Version 8 reached only f1. The leader restarts, does not learn of it, and assigns version 8 to another \
                  value. f1 already has a version 8, so it rejects the new one and keeps the old value for ever; or its \
                  response confirms a value that it does not store.",
        properties: &[Integrity, Acknowledgement, Convergence],
        sources: &[
            "Elasticsearch resiliency status page",
            "Jepsen: Crate 0.54.9 version divergence (aphyr.com/posts/332)",
        ],
        remedy: "Each leader has an epoch of its own, and stamps are compared by epoch first.",
        scenarios: &["f2-a-version-is-given-twice", "f2-a-version-is-given-twice-safe", "f2-the-old-value-confirms"],
    },
    FailureText {
        code: 3,
        summary: "A leader recovers from too few followers and misses an acknowledged write.",
        meaning: "A write that was acknowledged by W of n followers may be stored by exactly those. A leader that hears \
                  fewer than n-W+1 followers can miss all of them. The same happens if it does not know an earlier, \
                  smaller quorum or earlier members, or takes a cluster that has lost its data for a new one.",
        properties: &[Durability],
        sources: &["Apache BookKeeper: the ledger recovery protocol"],
        remedy: "The leader waits until enough followers that have their memory respond. GET /ready names the missing \
                 ones. If they cannot come back, semisync admin accept-loss continues without them.",
        scenarios: &[
            "f3-recovery-asks-too-few",
            "f3-recovery-asks-too-few-safe",
            "f3-a-change-of-members-is-undone",
            "f3-a-cluster-without-keys-is-not-new",
            "f3-a-cluster-without-keys-is-not-new-safe",
            "f3-the-first-write-is-not-forgotten-safe",
        ],
    },
    FailureText {
        code: 4,
        summary: "A recovered write is read before a quorum stores it, and the next recovery does not find it.",
        meaning: "A leader recovers a write that was never acknowledged, because one follower has it. A client reads it. \
                  The leader crashes again, and the next leader recovers from the other followers: what was read is gone.",
        properties: &[Linearizability, Durability, MonotonicState],
        sources: &[
            "Ongaro, Ousterhout: In search of an understandable consensus algorithm, section 5.4.2 (ATC 2014)",
            "Apache Kafka KIP-101",
        ],
        remedy: "A leader gives what it recovered stamps of its own epoch and replicates it to a quorum before it serves.",
        scenarios: &["f4-what-was-recovered-is-gone-again", "f4-what-was-recovered-is-gone-again-safe"],
    },
    FailureText {
        code: 5,
        summary: "Two leaders use the same epoch, or one of them wins back a follower that forgot its promise.",
        meaning: "A follower promises the epoch of a new leader and crashes. After its restart it knows nothing of the \
                  promise. If the old leader brings it up to date, the old leader has a quorum again, while the other \
                  followers obey the new leader.",
        properties: &[Linearizability, Durability, Integrity, Fencing],
        sources: &[],
        remedy: "More than half of the followers that have their memory must promise an epoch, and a leader installs a \
                 snapshot on a restarted follower only after enough others have confirmed its epoch since.",
        scenarios: &["f5-an-epoch-has-two-leaders", "f5-an-epoch-has-two-leaders-safe"],
    },
    FailureText {
        code: 6,
        summary: "A follower loses its memory, or a part of it, and responds as if it had everything.",
        meaning: "A follower restarts empty and answers reads, confirms writes or takes part in a recovery. Readers do \
                  not find what they had read there, and a leader that recovers from it misses acknowledged writes.",
        properties: &[Durability, Sessions, Convergence],
        sources: &[
            "Michael, Ports, Sharma, Szekeres: Recovering shared objects without stable storage (DISC 2017)",
            "Apache Kafka KIP-966",
        ],
        remedy: "A follower that starts counts for nothing and refuses reads with 503 until a leader has brought it up to \
                 date. Digests of the stores are compared, so that a lost entry is found.",
        scenarios: &["f6-a-follower-forgets-and-answers", "f6-a-follower-forgets-and-answers-safe"],
    },
    FailureText {
        code: 7,
        summary: "A follower restarts empty, and keys that are not written again are never sent to it.",
        meaning: "Replication sends new writes. A follower that lost its memory gets these and stays without every key \
                  that was written before.",
        properties: &[Convergence, Durability, Sessions],
        sources: &["Elasticsearch resiliency status page"],
        remedy: "The leader sends a restarted follower a complete snapshot before it counts again.",
        scenarios: &["f7-follower-restarts-empty", "f7-follower-restarts-empty-safe"],
    },
    FailureText {
        code: 8,
        summary: "A confirmation counts although the follower has lost the write since.",
        meaning: "A follower confirms a write, crashes, and loses it. The quorum is completed by another follower, and \
                  the write is acknowledged with one copy fewer than required.",
        properties: &[Acknowledgement, Durability],
        sources: &["Michael, Ports, Sharma, Szekeres: Recovering shared objects without stable storage (DISC 2017)"],
        remedy: "A confirmation belongs to one process. It is withdrawn when the follower restarts, and does not count \
                 while the connection to the follower is broken.",
        scenarios: &[
            "f8-a-confirmation-outlives-the-memory",
            "f8-a-confirmation-is-taken-back-safe",
            "f8-a-confirmation-outlives-its-follower",
            "f8-a-confirmation-outlives-its-follower-safe",
            "f8-an-answer-ends-a-pause-safe",
        ],
    },
];
