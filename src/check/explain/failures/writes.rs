//! Acknowledgements, retries, and the order in which reads see writes.

use super::FailureText;
use crate::check::Property::{
    Acknowledgement, Durability, Idempotence, Integrity, Linearizability, Liveness, MonotonicState, Prefix, Sessions,
};

pub(super) const TEXTS: &[FailureText] = &[
    FailureText {
        code: 9,
        summary: "A write misses its quorum; it spreads or vanishes afterwards.",
        meaning: "The client gets ok:false, but the leader has the write. It usually reaches the followers later, or \
                  it is lost when the leader crashes. A client that takes ok:false for a failure draws the wrong \
                  conclusion.",
        properties: &[Acknowledgement],
        sources: &[
            "Apache Kafka: NotEnoughReplicasAfterAppendException",
            "MongoDB manual: write concern, wtimeout",
            "PostgreSQL manual: synchronous_commit, cancelling a wait for replication",
        ],
        remedy: "This cannot be prevented without a vote before each write. The answer says \"indeterminate\":true. Treat \
                 the outcome as unknown, and retry with a request_id.",
        scenarios: &["f9-an-unacknowledged-write-spreads", "f9-an-unacknowledged-write-vanishes"],
    },
    FailureText {
        code: 10,
        summary: "The leader shows a write that no follower has, and crashes.",
        meaning: "A client reads a value at the leader before it is acknowledged. The leader loses its memory, and no \
                  other node has the value: what was read is gone.",
        properties: &[Linearizability, Durability],
        sources: &["MySQL manual: rpl_semi_sync_master_wait_point, AFTER_COMMIT"],
        remedy: "Read with read=committed or read=linearizable. Plain reads show what the leader stores.",
        scenarios: &["f10-what-was-read-is-gone", "f10-what-was-read-is-gone-safe"],
    },
    FailureText {
        code: 11,
        summary: "A retry of a write overwrites what another client wrote since.",
        meaning: "Client A does not learn the outcome of its write. Client B writes the same key and is acknowledged. A \
                  sends its write again, and the value of B is gone, although the write of A had taken effect before.",
        properties: &[Idempotence, Linearizability, Acknowledgement],
        sources: &["Elasticsearch reference: retries of index requests", "Apache Cassandra Java driver JAVA-819"],
        remedy: "Give each write a request_id. The leader and its followers remember the last eight of a key.",
        scenarios: &[
            "f11-a-retry-overwrites-what-came-later",
            "f11-a-retry-overwrites-what-came-later-safe",
            "f11-a-retry-reaches-the-next-leader",
        ],
    },
    FailureText {
        code: 12,
        summary: "A follower applies a write after its client got ok:false.",
        meaning: "The delay of a message is longer than REPL_TIMEOUT. The client gets ok:false at the deadline, and the \
                  followers apply the write after that.",
        properties: &[Acknowledgement],
        sources: &["MongoDB manual: write concern, wtimeout"],
        remedy: "As for F9: the outcome is unknown. Choose a REPL_TIMEOUT above the longest delay.",
        scenarios: &["f12-the-message-is-later-than-the-answer"],
    },
    FailureText {
        code: 13,
        summary: "One follower counts as two.",
        meaning: "A message is delivered twice and both responses are counted, FOLLOWERS lists one node twice, or two \
                  addresses lead to one node. A write is acknowledged with fewer copies than required.",
        properties: &[Acknowledgement, Durability],
        sources: &[],
        remedy: "Confirmations are a set of followers, and a follower is known by an identity that it draws at its start.",
        scenarios: &[
            "f13-duplicates-counted",
            "f13-duplicates",
            "f13-one-node-has-two-names",
            "f13-one-node-has-two-names-safe",
            "f13-two-names-change-places-safe",
        ],
    },
    FailureText {
        code: 14,
        summary: "An error, a timeout or a lost connection counts as a confirmation.",
        meaning: "The end of a request is taken for its success. A write that never reached the follower is acknowledged.",
        properties: &[Acknowledgement, Durability],
        sources: &["Jepsen: MongoDB 2.4.3 (aphyr.com/posts/284)"],
        remedy: "Only a response that says what the follower stores confirms a write.",
        scenarios: &["f14-a-lost-connection-confirms", "f14-a-lost-connection-confirms-safe"],
    },
    FailureText {
        code: 15,
        summary: "A timeout silently lowers the quorum.",
        meaning: "The leader waits for W followers and, when they do not respond in time, acknowledges the write with \
                  fewer. Clients cannot see that their writes are no longer protected.",
        properties: &[Acknowledgement, Durability],
        sources: &["MySQL manual: rpl_semi_sync_master_timeout, fallback to asynchronous replication"],
        remedy: "The quorum is never lowered. At the deadline the client gets ok:false.",
        scenarios: &["f15-the-deadline-lowers-the-quorum", "f15-the-deadline-lowers-the-quorum-safe"],
    },
    FailureText {
        code: 16,
        summary: "The configuration cannot work: a quorum above the number of followers, or a follower listed twice.",
        meaning: "With WRITE_QUORUM above the number of followers no write can be acknowledged; with 0 an \
                  acknowledgement means nothing; with the leader or a duplicate in FOLLOWERS one node counts twice.",
        properties: &[Liveness, Durability],
        sources: &["Apache BookKeeper: ensemble size >= write quorum >= ack quorum"],
        remedy: "semisync serve refuses such a configuration with status 2 and a message that names the setting.",
        scenarios: &[],
    },
    FailureText {
        code: 17,
        summary: "Two concurrent writes of a key get the same version.",
        meaning: "Two handlers read the last version of a key and both assign the next one, because nothing keeps the \
                  read and the write together. One version then has two values.",
        properties: &[Integrity, Linearizability],
        sources: &[],
        remedy: "The leader assigns the version and stores the value in one step under one lock.",
        scenarios: &["f17-twenty-clients-on-one-key"],
    },
    FailureText {
        code: 18,
        summary: "Messages arrive out of order, and an older write replaces a newer one.",
        meaning: "Version 1 is delayed and arrives after version 2. A follower that applies every message returns to \
                  version 1 and stays there.",
        properties: &[MonotonicState, Durability],
        sources: &["Elasticsearch reference: optimistic concurrency control"],
        remedy: "A follower applies a write only if its stamp is greater than the stored one, so neither the order nor \
                 the number of deliveries has an effect.",
        scenarios: &["f18-last-to-arrive-wins", "f18-last-to-arrive-wins-safe"],
    },
    FailureText {
        code: 19,
        summary: "A follower shows a later write of one key before an earlier write of another key.",
        meaning: "x is written, then y. The message with x takes longer, so a reader of the follower finds y and not x.",
        properties: &[Prefix],
        sources: &["Kleppmann: Designing Data-Intensive Applications, chapter 5 (2017)"],
        remedy: "This is how asynchronous replication without a common log works. It is counted, not judged. Keep values \
                 that belong together under one key.",
        scenarios: &["f19-the-later-write-is-seen-first"],
    },
    FailureText {
        code: 20,
        summary: "A follower is read right after the acknowledgement and does not have the write yet.",
        meaning: "The write is acknowledged by W followers, and the client reads from another one. It does not see its \
                  own write.",
        properties: &[Sessions],
        sources: &["Bailis et al.: Probabilistically bounded staleness for practical partial quorums (VLDB 2012)"],
        remedy: "Pass the version of the answer as min_version, or read at the leader.",
        scenarios: &["f20-a-follower-is-read-too-early", "f20-own-write-is-not-seen"],
    },
    FailureText {
        code: 21,
        summary: "A client reads from one follower, then from a slower one, and goes back in time.",
        meaning: "Followers are behind the leader by different amounts. A client that changes between them can read an \
                  older version than before.",
        properties: &[Sessions],
        sources: &["Bailis et al.: Probabilistically bounded staleness for practical partial quorums (VLDB 2012)"],
        remedy: "Read from one follower, or pass the greatest version that was seen as min_version.",
        scenarios: &["f21-back-in-time", "f20-a-follower-is-read-too-early"],
    },
    FailureText {
        code: 22,
        summary: "A quorum read returns a write that only some replicas have, and a later read does not.",
        meaning: "A reader that asks several replicas and takes the newest value can meet a write in progress. The next \
                  reader asks other replicas and finds the older value.",
        properties: &[Linearizability],
        sources: &["Apache Cassandra: read repair and monotonic quorum reads"],
        remedy: "semisync has no reads from several replicas: linearizable reads are answered by the leader.",
        scenarios: &[],
    },
];
