//! Failures of networks, clocks, disks and clients.

use super::FailureText;
use crate::check::Property::{
    Acknowledgement, Bounds, Convergence, Durability, Fencing, Integrity, LatencyLaw, Linearizability, Liveness,
};

pub(super) const TEXTS: &[FailureText] = &[
    FailureText {
        code: 32,
        summary: "A slow follower costs the leader memory without limit.",
        meaning: "The leader keeps every write that a follower has not confirmed. If the follower hangs, tasks and queued \
                  bytes grow until the leader has no memory left.",
        properties: &[Bounds],
        sources: &["PostgreSQL manual: replication slots and max_slot_wal_keep_size"],
        remedy: "Messages in flight to a follower are limited. Past the limit the leader keeps the newest write of each \
                 key only, and sends these when the follower responds again.",
        scenarios: &["f32-a-follower-is-held"],
    },
    FailureText {
        code: 33,
        summary: "A replication backlog overruns, and a follower starts one full resynchronization after another.",
        meaning: "The backlog is shorter than the time that a full copy takes. When the copy is complete, the follower is \
                  already too far behind, and the next copy begins.",
        properties: &[Liveness, Bounds],
        sources: &["Redis manual: repl-backlog-size and client-output-buffer-limit"],
        remedy: "There is no backlog that can overrun: what a follower missed is kept by key, and a snapshot is merged \
                 with the writes that arrive meanwhile.",
        scenarios: &[],
    },
    FailureText {
        code: 34,
        summary: "A client disconnects, and its write stops half-way.",
        meaning: "The handler of the request is dropped after the leader stored the write and before it was replicated. \
                  The leader has a write that is never sent.",
        properties: &[Convergence, Acknowledgement],
        sources: &["hyper issue 2728"],
        remedy: "A write continues without its client.",
        scenarios: &["f34-the-client-hangs-up"],
    },
    FailureText {
        code: 35,
        summary: "A background task is lost when the node shuts down.",
        meaning: "The process ends while messages to followers are still queued. An acknowledged write does not reach the \
                  remaining followers.",
        properties: &[Convergence],
        sources: &[],
        remedy: "On SIGTERM a node stops accepting requests, answers those in progress and delivers what is queued.",
        scenarios: &[],
    },
    FailureText {
        code: 36,
        summary: "A request arrives and its response is lost, or the request is lost.",
        meaning: "In an asymmetric partition the follower stores the write and the leader does not learn of it. If the \
                  request is lost, the follower misses the write until somebody sends it again.",
        properties: &[Convergence, Liveness, Acknowledgement],
        sources: &["Cloudflare: A Byzantine failure in the real world (2020)"],
        remedy: "The leader sends again until the follower responds. A repeated delivery has no effect.",
        scenarios: &["f36-the-reply-is-lost", "f36-what-is-lost-stays-lost"],
    },
    FailureText {
        code: 37,
        summary: "A pooled TCP connection is half-open: the other end is gone, and nothing says so.",
        meaning: "The leader sends on a connection whose other end no longer exists. Nothing comes back, and later \
                  requests wait behind it.",
        properties: &[Liveness, Bounds],
        sources: &["Cloudflare: When TCP sockets refuse to die (2019)"],
        remedy: "Each request has a deadline. When it passes, the connection is closed, and the next request opens a new \
                 one.",
        scenarios: &["f37-a-connection-carries-nothing", "f37-the-other-end-is-gone"],
    },
    FailureText {
        code: 38,
        summary: "Health checks succeed while replication does not work.",
        meaning: "/health answers, but messages do not reach the followers, or a write waits for ever. Monitoring sees a \
                  healthy node.",
        properties: &[Liveness],
        sources: &["Huang et al.: Gray failure: the Achilles' heel of cloud-scale systems (HotOS 2017)"],
        remedy: "Monitor /ready, which depends on real responses of the followers: semisync health --ready. Writes are \
                 answered by their deadline.",
        scenarios: &["f38-health-is-fine-replication-is-stuck"],
    },
    FailureText {
        code: 39,
        summary: "The wall clock jumps, and timers fire too early or never.",
        meaning: "Deadlines that are computed from the wall clock break when it is corrected, for example at a leap \
                  second.",
        properties: &[Liveness],
        sources: &["The leap second of June 30, 2012"],
        remedy: "Deadlines use a monotonic clock. The wall clock is used only for the first epoch of a new cluster.",
        scenarios: &[],
    },
    FailureText {
        code: 40,
        summary: "A leader that was paused continues to serve after it was replaced.",
        meaning: "A paused process does not notice that time passes. When it continues, it answers reads with values that \
                  have been overwritten at the new leader.",
        properties: &[Linearizability, Durability, Fencing],
        sources: &["Jepsen: Aerospike 3.99.0.3 (2018)"],
        remedy: "For read=linearizable the leader confirms its epoch with its followers before it answers.",
        scenarios: &["f40-a-zombie-answers", "f40-a-zombie-answers-safe"],
    },
    FailureText {
        code: 41,
        summary: "The last record of a log was written in part when the power failed.",
        meaning: "A node reads its log at the start and finds a torn record at the end. It does not start, or loses more \
                  than that record.",
        properties: &[Liveness, Durability],
        sources: &["etcd issue 5230"],
        remedy: "semisync stores nothing on disk.",
        scenarios: &[],
    },
    FailureText {
        code: 42,
        summary: "A failed fsync is repeated, and the second one reports success.",
        meaning: "After a failed fsync the kernel may drop the dirty pages and mark them clean. The next fsync succeeds, \
                  and the data is not on the disk.",
        properties: &[Durability],
        sources: &["Rebello et al.: Can applications recover from fsync failures? (ATC 2020)"],
        remedy: "semisync stores nothing on disk. A store that does must stop at the first failed fsync.",
        scenarios: &[],
    },
    FailureText {
        code: 43,
        summary: "All nodes lose power, and what was acknowledged was on no disk.",
        meaning: "Replication protects against the failure of some nodes. If all lose their memory at the same time, \
                  every acknowledged write is gone.",
        properties: &[Durability],
        sources: &["Jepsen: NATS 2.12.1 (2025)"],
        remedy: "semisync keeps data in memory only, and its README says so. The next leader reports the loss and begins a \
                 later epoch. Run nodes on independent power supplies.",
        scenarios: &["f43-all-lose-power", "f43-all-lose-power-safe"],
    },
    FailureText {
        code: 44,
        summary: "Damage in the middle of a log is treated as a torn end, and everything after it is dropped.",
        meaning: "A checksum fails in the middle of the log. A node that truncates the log there removes acknowledged \
                  writes that were intact.",
        properties: &[Durability],
        sources: &["Alagappan et al.: Protocol-aware recovery for consensus-based storage (FAST 2018)"],
        remedy: "semisync stores nothing on disk.",
        scenarios: &[],
    },
    FailureText {
        code: 45,
        summary: "The disk is full: memory has a write that the log does not have.",
        meaning: "The write is applied in memory before the log refuses it. Until the next restart the node serves a write \
                  that it will not have afterwards.",
        properties: &[Durability],
        sources: &["etcd issue 2819"],
        remedy: "semisync stores nothing on disk. A store that does must write the log first.",
        scenarios: &[],
    },
    FailureText {
        code: 46,
        summary: "Retries keep a system overloaded after the cause has gone.",
        meaning: "A follower was unreachable and is sent everything at once when it returns. It cannot keep up, requests \
                  time out and are sent again, and the overload sustains itself.",
        properties: &[Liveness, Bounds],
        sources: &["Huang et al.: Metastable failures in the wild (OSDI 2022)"],
        remedy: "The leader sends again in rounds that grow from one message, with pauses that grow and vary at random.",
        scenarios: &["f46-resends-do-not-storm"],
    },
    FailureText {
        code: 47,
        summary: "A client sends something huge or slow, and the node runs out of memory or connections.",
        meaning: "Large bodies or keys, deeply nested JSON, headers that arrive byte by byte, and readers that take nothing \
                  all hold resources of the node.",
        properties: &[Bounds, Liveness],
        sources: &["CVE-2022-3212 (axum-core: no default limit of request bodies)"],
        remedy: "Bodies, keys, nesting, headers and connections are limited, and each has a deadline: 408, 413, 422, 431 \
                 or 503. MAX_BODY sets the largest body.",
        scenarios: &[],
    },
    FailureText {
        code: 48,
        summary: "A value or a key changes in transit: large numbers, duplicate fields, another encoding.",
        meaning: "JSON numbers above 2^53 lose digits in many parsers, repeated fields are merged, and a key that is \
                  normalized on one node names another entry there.",
        properties: &[Integrity, Convergence],
        sources: &["RFC 8259: The JavaScript Object Notation (JSON) data interchange format, sections 4 and 6"],
        remedy: "A value is stored and returned as the JSON text that was sent, and keys are compared byte for byte.",
        scenarios: &[],
    },
    FailureText {
        code: 49,
        summary: "A lock is held during replication, or the leader waits for the slowest follower.",
        meaning: "Writes of one key wait for one another, so the latency of a burst grows with its length; or one slow \
                  follower determines the latency of every write.",
        properties: &[LatencyLaw],
        sources: &["Jepsen: TigerBeetle 0.16.11 (2025)"],
        remedy: "No lock is held while a write is replicated, and a write waits for the quorum only.",
        scenarios: &["f49-a-burst-on-one-key"],
    },
];
