use super::Explanation;
use crate::check::Property;

/// Returns the explanation of a property.
pub(super) fn of(property: Property) -> Explanation {
    match property {
        Property::Integrity => Explanation {
            summary: "A version of a key has one value, and every stored value was written by a client.",
            meaning: "Within an epoch the versions of a key increase by one, and no two writes get the same version. A \
                      value that no client wrote is never stored. If integrity is violated, a version no longer \
                      identifies a write: two nodes can report the same version and hold different values.",
            remedy: "A violation is an error in how the leader assigns versions, or a leader that started without the \
                     state of its predecessor.",
            sources: &[
                "Elasticsearch resiliency status page",
                "Jepsen: Crate 0.54.9 version divergence (aphyr.com/posts/332)",
            ],
            scenarios: &["f2-a-version-is-given-twice", "f24-two-leaders"],
        },
        Property::Linearizability => Explanation {
            summary: "Each operation appears to take effect at one moment between its call and its return.",
            meaning: "A read with read=linearizable at the leader returns the newest acknowledged write or a later \
                      one, as if there were a single copy of the data. A read never returns an older \
                      value than an operation that completed before the read began. Local reads at followers are not \
                      judged here; see sessions.",
            remedy: "Use read=linearizable where a stale value does harm. It costs one round trip to the followers.",
            sources: &[
                "Herlihy, Wing: Linearizability: a correctness condition for concurrent objects (TOPLAS 1990)",
                "Gibbons, Korach: Testing shared memories (SIAM J. Comput. 1997)",
            ],
            scenarios: &["f10-what-was-read-is-gone", "f40-a-zombie-answers", "f5-an-epoch-has-two-leaders"],
        },
        Property::Durability => Explanation {
            summary: "An acknowledged write stays stored by as many followers as the write quorum requires.",
            meaning: "At the acknowledgement at least W followers that are up to date store the write or a later one of \
                      its key, and a leader that recovers finds it. The store keeps data in memory only, so it tolerates \
                      a limited number of nodes that lose their memory: the README has the table. A write that is gone \
                      within that limit is VIOLATED. Beyond the limit it is LOST if the cause is documented.",
            remedy: "VIOLATED is an error of the protocol. For LOST, raise WRITE_QUORUM, so that more followers may \
                     restart at the same time.",
            sources: &[
                "Apache BookKeeper: the ledger recovery protocol",
                "Michael, Ports, Sharma, Szekeres: Recovering shared objects without stable storage (DISC 2017)",
            ],
            scenarios: &["f3-recovery-asks-too-few", "f43-all-lose-power", "f43-all-lose-power-safe"],
        },
        Property::Convergence => Explanation {
            summary: "When faults and writes have ended, all nodes store the same.",
            meaning: "After everything is healed, each follower reaches the state of the leader within a fixed time: for \
                      every key the same version, value and deletion. A violation means that a follower stays different \
                      for ever, or takes longer than the documented limit.",
            remedy: "On a live cluster semisync verify --watch compares the stores, and semisync status shows how far \
                     each follower is behind.",
            sources: &["Kleppmann: Designing Data-Intensive Applications, chapter 5 (2017)"],
            scenarios: &["f7-follower-restarts-empty", "f36-what-is-lost-stays-lost"],
        },
        Property::Sessions => Explanation {
            summary: "Counts how often a client misses its own write, or reads an older value than before.",
            meaning: "A client that reads local copies can see effects of replication lag: it does not find what it \
                      wrote (read-your-writes), or goes back in time when it reads from a slower follower (monotonic \
                      reads). Asynchronous followers may show this by contract, so the cases are counted and never \
                      violate anything.",
            remedy: "Pass the version of the last answer as min_version: the follower then waits until it has that \
                     version. Or read at the leader.",
            sources: &[
                "Terry et al.: Session guarantees for weakly consistent replicated data (PDIS 1994)",
                "Bailis et al.: Probabilistically bounded staleness for practical partial quorums (VLDB 2012)",
            ],
            scenarios: &["f20-own-write-is-not-seen", "f21-back-in-time"],
        },
        Property::Prefix => Explanation {
            summary: "Counts how often a later write of another key is visible before an earlier one.",
            meaning: "A client writes x and then y, and a follower shows y without x. Each key is replicated \
                      independently and messages have different delays, so followers apply writes of different keys in \
                      any order. The cases are counted and never violate anything.",
            remedy: "Keep values that must be consistent with one another under one key.",
            sources: &[
                "Terry: Replicated data consistency explained through baseball (CACM 2013)",
                "Kleppmann: Designing Data-Intensive Applications, chapter 5 (2017)",
            ],
            scenarios: &["f19-the-later-write-is-seen-first"],
        },
        Property::Acknowledgement => Explanation {
            summary: "ok:true is answered only after the required number of different followers stored the write.",
            meaning: "confirmations counts different followers that store the write or a later one of the same leader, \
                      required is the configured WRITE_QUORUM, and ok is true exactly if the first is at least the \
                      second. A violation means that a client got ok:true although too few followers had the \
                      write.",
            remedy: "ok:false means unknown, not failed: the write may still reach every follower. Retry it with a \
                     request_id.",
            sources: &["MySQL reference manual: semisynchronous replication"],
            scenarios: &["f1-leader-restarts-empty", "f13-duplicates-counted", "f15-the-deadline-lowers-the-quorum"],
        },
        Property::MonotonicState => Explanation {
            summary: "The stored version of a key never becomes older, and a promised epoch never decreases.",
            meaning: "While a process runs, the stamp (epoch and version) that it stores for a key only increases, and so \
                      does the epoch that it has promised. A node that crashes loses its memory and starts again from \
                      nothing, which is excused.",
            remedy: "A violation means that an older write replaced a newer one on that node.",
            sources: &["Elasticsearch reference: optimistic concurrency control"],
            scenarios: &["f18-last-to-arrive-wins"],
        },
        Property::Fencing => Explanation {
            summary: "An epoch has one leader, and a follower applies nothing of a leader that was replaced.",
            meaning: "A leader has followers promise its epoch before it serves. From then on they refuse messages of \
                      other epochs, so a leader that was replaced cannot change them. A violation means that two \
                      leaders issued versions in one epoch, or that a follower applied what it had promised to refuse.",
            remedy: "If two leaders run, stop one. Followers obey the leader with the later epoch.",
            sources: &[
                "Apache BookKeeper: fencing",
                "Ongaro, Ousterhout: In search of an understandable consensus algorithm (ATC 2014)",
            ],
            scenarios: &["f25-a-deposed-leader-is-obeyed"],
        },
        Property::Liveness => Explanation {
            summary: "Every request ends by its deadline, and writes succeed again once faults have ended.",
            meaning: "A write is answered after REPL_TIMEOUT at the latest, even if no follower responds. When nothing is \
                      wrong any more, writes are acknowledged again. A violation means that a request hangs, or that the \
                      cluster does not recover without an operator.",
            remedy: "On a live cluster GET /ready and semisync status say what a node waits for.",
            sources: &["Alpern, Schneider: Defining liveness (Information Processing Letters 1985)"],
            scenarios: &[],
        },
        Property::Bounds => Explanation {
            summary: "Queues and messages in flight stay within their limits.",
            meaning: "The data that a leader keeps for a slow or unreachable follower is limited by the number of keys, \
                      not by the number of writes, and messages in flight are limited per follower. A violation means \
                      that a single slow follower can exhaust the memory of the leader.",
            remedy: "",
            sources: &["PostgreSQL manual: replication slots and max_slot_wal_keep_size"],
            scenarios: &[],
        },
        Property::Idempotence => Explanation {
            summary: "A write that is retried under one request_id takes effect once.",
            meaning: "A client that does not know the outcome of a write sends it again with the same request_id. The \
                      retry gets the version of the first attempt and does not overwrite what other clients wrote \
                      since, also at the next leader. A key remembers its last eight request_ids.",
            remedy: "A retry without a request_id is a new write.",
            sources: &["Helland: Idempotence is not a medical condition (ACM Queue 2012)"],
            scenarios: &["f11-a-retry-overwrites-what-came-later"],
        },
        Property::LatencyLaw => Explanation {
            summary: "Write latencies have the distribution of the k-th smallest of n delays.",
            meaning: "A write is acknowledged when the k-th of n followers has confirmed it. With independent uniform \
                      delays its latency is the k-th order statistic, a scaled Beta(k, n+1-k) distribution. A violation \
                      means that something other than the emulated delays decides when a write is acknowledged, for \
                      example a lock that is held during replication.",
            remedy: "Of runs that obey the law, about two in a thousand fail the test by chance. Try another seed.",
            sources: &["David, Nagaraja: Order statistics (Wiley 2003)"],
            scenarios: &[],
        },
    }
}
