use super::Excuse;
use crate::check::Property;

/// What is excused, how far, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The name that reports use.
    pub name: &'static str,
    /// The properties whose checkers use it.
    pub properties: &'static [Property],
    /// What one case is, as a noun that can be counted.
    pub case: &'static str,
    /// Why a case is excused, in a few words that follow a colon.
    pub cause: &'static str,
    /// What is excused, in a sentence.
    pub excuses: &'static str,
    /// Where the excuse ends. The checker enforces it.
    pub bound: &'static str,
    /// Why it is an excuse.
    pub why: &'static str,
}

impl Excuse {
    /// The terms of this excuse.
    pub fn terms(self) -> Terms {
        use Property::{
            Acknowledgement, Convergence, Durability, Fencing, Idempotence, Integrity, Linearizability, Liveness,
            MonotonicState, Sessions,
        };
        match self {
            Self::RecoveredVersion => Terms {
                name: "recovered-version",
                properties: &[Integrity],
                case: "version",
                cause: "the leader had recovered the versions before it",
                excuses: "A version that is not the one after the greatest version of a deletion, or 1.",
                bound: "It is that of the first write of a key in an incarnation and epoch of a leader after the first. \
                        The versions after it step by one.",
                why: "What a later leader goes on from is what it recovered, among it writes of others.",
            },
            Self::UnknownFloor => Terms {
                name: "unknown-floor",
                properties: &[Integrity],
                case: "version",
                cause: "the leader had recovered the greatest version of a deletion",
                excuses: "A version that is not the one after the greatest version of a deletion.",
                bound: "It is that of the first write after a deletion of the key, in an incarnation or epoch of a leader \
                        after the first, and greater than every deletion of that incarnation and epoch.",
                why: "A trace does not record the floor that a leader recovers.",
            },
            Self::UnknownEpoch => Terms {
                name: "unknown-epoch",
                properties: &[Integrity],
                case: "stored version",
                cause: "its epoch is not known",
                excuses: "A version that a node stores in the end with another value than it has elsewhere.",
                bound: "Several epochs were served in the run. Versions that are recorded with their epochs are judged.",
                why: "A dump has no epochs, and versions of different epochs can have different values.",
            },
            Self::LostMemory => Terms {
                name: "lost-memory",
                properties: &[MonotonicState, Fencing],
                case: "change",
                cause: "the node had lost its memory",
                excuses: "A node that stores something older than before, promises an earlier epoch, or applies what it had \
                          promised to refuse.",
                bound: "The node has crashed since it stored or promised the later one.",
                why: "There is no disk: what a process knew ends with it.",
            },
            Self::FoundDeletion => Terms {
                name: "found-deletion",
                properties: &[Sessions],
                case: "read",
                cause: "the key may have been deleted",
                excuses: "A read that finds nothing after the same client wrote or read the key.",
                bound: "A deletion of the key that was not refused was invoked before the read returned, and its stamp is \
                        unknown or not below that of what came before.",
                why: "A read that finds a deletion does not say which.",
            },
            Self::LateNotice => Terms {
                name: "late-notice",
                properties: &[Durability, Acknowledgement],
                case: "confirmation",
                cause: "the leader could not know yet that the follower had crashed",
                excuses: "A confirmation of a follower that stored the write and has crashed before the \
                          acknowledgement.",
                bound: "Until the end of its connections reaches the leader: the latency of the link at the crash, or \
                        what is left of a greater latency before it, and the time for which a fault holds the link or \
                        stops the leader; and 1 ms, for clocks that go in ticks.",
                why: "Nothing tells a leader sooner that a process has ended.",
            },
            Self::LostNotice => Terms {
                name: "lost-notice",
                properties: &[Durability, Acknowledgement],
                case: "confirmation",
                cause: "a fault lost the notice that the follower had crashed",
                excuses: "A confirmation of a follower that stored the write and has crashed before the \
                          acknowledgement, where the link to the leader was cut when the end of its connections would \
                          have reached the leader.",
                bound: "Until the leader records that the follower has lost its memory, and no longer than twice the \
                        timeout of a write, 1 s and six link latencies. They are counted from when the end of the \
                        connections would have reached the leader, or from when the leader ran again with a right \
                        clock. By then a question to the follower has had no answer, and it does not count.",
                why: "A process that ends behind a partition looks like one that is out of reach.",
            },
            Self::TwoNames => Terms {
                name: "two-names",
                properties: &[Durability, Acknowledgement],
                case: "confirmation",
                cause: "the follower restarted under another name, and counts under both",
                excuses: "A confirmation of a follower that stores the write and stored it before its last crash, too.",
                bound: "As late-notice and lost-notice, and only for a follower to which the name of another one has \
                        led.",
                why: "The leader finds the new process under a name that it does not connect with the old one.",
            },
            Self::CrashedHolder => Terms {
                name: "crashed-holder",
                properties: &[Durability],
                case: "holder",
                cause: "it crashed after the acknowledgement",
                excuses: "Fewer holders of an acknowledged write than were required, because a follower that held it \
                          crashed.",
                bound: "Until the follower has been brought up to date again. A leader that recovers must find the write \
                        all the same, unless fewer members than the recovery quorum have their memory.",
                why: "A crash loses what is in memory. The quorum is there so that enough other followers have it.",
            },
            Self::LostKey => Terms {
                name: "lost-key",
                properties: &[Durability, Acknowledgement],
                case: "holder",
                cause: "it lost the key without noticing",
                excuses: "Fewer holders of an acknowledged write than were required, because a follower lost the key \
                          from its memory; and a confirmation of a follower that therefore refused the write as one \
                          whose deletion had been collected.",
                bound: "Until the follower stores the write or a later one again, is brought up to date, or crashes. A \
                        deletion is not brought back by a repair in the same epoch: readers find nothing either way.",
                why: "No node can know before the stores are compared. The replicas must be equal in the end, which \
                      convergence judges.",
            },
            Self::CollectedDeletion => Terms {
                name: "collected-deletion",
                properties: &[Durability],
                case: "acknowledged write",
                cause: "a later deletion of the key has been collected",
                excuses: "Fewer holders of an acknowledged write than were required.",
                bound: "The stamp of the write is at most that of a deletion of the key that a node has collected.",
                why: "A deletion is collected once every follower stores it. Then nothing is stored for the key, and \
                      nothing has to be.",
            },
            Self::ForgottenFloor => Terms {
                name: "forgotten-floor",
                properties: &[Durability],
                case: "deletion",
                cause: "the leader lost it with everything else, and its versions begin again",
                excuses: "A key that had been deleted and gets a version that is not above that of the deletion.",
                bound: "Fewer members than the recovery quorum had their memory when the leader recovered, and the loss \
                        is documented; the leader stores nothing for the key, and the epoch is a later one.",
                why: "Readers find what they found before: nothing. The epoch orders the versions.",
            },
            Self::LocalRead => Terms {
                name: "local-read",
                properties: &[Linearizability, Durability],
                case: "read",
                cause: "it was a local read, and there were several epochs",
                excuses: "A local read at a leader that finds something older than what was known before.",
                bound: "The read asked for mode local, and a leader served in a second epoch during the run. Reads in \
                        the modes committed and linearizable are judged.",
                why: "A local read does not ask whether another leader has taken over, nor whether what it shows is \
                      acknowledged.",
            },
            Self::UncertainRequest => Terms {
                name: "uncertain-request",
                properties: &[Idempotence],
                case: "retry",
                cause: "no leader had acknowledged or recovered the request",
                excuses: "A named write that a leader takes on although another incarnation, or an earlier epoch, had \
                          taken it on.",
                bound: "The first one was not acknowledged to any client, and neither the leader that takes on the second \
                        nor any leader that served before it recovered it.",
                why: "An unacknowledged write may be lost with the leader that took it on. Then it did not happen.",
            },
            Self::ManyRequests => Terms {
                name: "many-requests",
                properties: &[Idempotence],
                case: "retry",
                cause: "the key had been given eight other names since",
                excuses: "A named write that is taken on twice.",
                bound: "Eight writes of the key that had other names were taken on in between.",
                why: "A key remembers the last eight names.",
            },
            Self::CollectedRequest => Terms {
                name: "collected-request",
                properties: &[Idempotence],
                case: "retry",
                cause: "the key had been deleted, and the deletion collected",
                excuses: "A named write that is taken on twice.",
                bound: "In between a leader collected a deletion of the key, no earlier than twelve timeouts of a write \
                        after it had accepted or recovered the deletion. (Where the clock of a leader was wrong, the \
                        twelve timeouts are not required.)",
                why: "The names go with the tombstone, which is kept that long.",
            },
            Self::LostRequest => Terms {
                name: "lost-request",
                properties: &[Idempotence],
                case: "retry",
                cause: "the request had been lost",
                excuses: "A named write that is taken on twice.",
                bound: "In between a leader bootstrapped, or began with what an operator had left to it, and did not \
                        recover the first one.",
                why: "What is lost did not happen. Durability tells of the loss.",
            },
            Self::DeposedLeader => Terms {
                name: "deposed-leader",
                properties: &[Idempotence],
                case: "retry",
                cause: "a deposed leader does not know what its successor took on",
                excuses: "A named write that a leader takes on although another one had, and it was acknowledged.",
                bound: "The epoch of the leader that takes on the second is the earlier one.",
                why: "Followers refuse what a deposed leader writes, so it is never acknowledged.",
            },
            Self::ChangedQuorum => Terms {
                name: "changed-quorum",
                properties: &[Acknowledgement],
                case: "answered write",
                cause: "another leader can have another quorum",
                excuses: "In a history of clients, an answer that requires another number of confirmations than the first \
                          one.",
                bound: "The first answer of the same epoch requires the same number, unless the write was asked for more \
                        than once, or it is the first epoch, which stands for any where epochs were not recorded.",
                why: "An operator can change the quorum when the leader restarts, and a history does not say when. A \
                      retry can be answered with the stamp of an earlier leader.",
            },
            Self::NodeDown => Terms {
                name: "node-down",
                properties: &[Liveness],
                case: "operation",
                cause: "the node was down",
                excuses: "An operation that returns after its deadline.",
                bound: "It returns by its deadline counted from the restart of the node that was asked, and no later than \
                        its client waits for an answer: 60 s, the timeout of a write and ten link latencies.",
                why: "A request for a connection to a node that is down may have no answer.",
            },
            Self::LeaderStarting => Terms {
                name: "leader-starting",
                properties: &[Liveness],
                case: "operation",
                cause: "the leader did not serve yet",
                excuses: "An operation that returns after its deadline.",
                bound: "It returns by its deadline counted from when the leader serves, or has kept it for a second. A leader \
                        counts as starting from its restart, or from when it stepped down; in the beginning only where the \
                        timeout is shorter than four latencies of a link and 10 ms.",
                why: "A leader that recovers keeps requests for up to a second before it refuses them.",
            },
            Self::NodePaused => Terms {
                name: "node-paused",
                properties: &[Liveness],
                case: "operation",
                cause: "the node was stopped",
                excuses: "An operation that returns after its deadline, or a write that is answered after the timeout.",
                bound: "It returns by its deadline counted from when the node goes on, and no later than its client waits \
                        for an answer.",
                why: "A process that is stopped does nothing.",
            },
            Self::WrongClock => Terms {
                name: "wrong-clock",
                properties: &[Liveness],
                case: "operation",
                cause: "the clock of the leader was wrong",
                excuses: "An operation that returns after its deadline, or a write that is answered after the timeout.",
                bound: "It returns by its deadline counted from when the clock is right, and no later than its client \
                        waits for an answer.",
                why: "The leader measures the timeout by its own clock.",
            },
            Self::ClientLink => Terms {
                name: "client-link",
                properties: &[Liveness],
                case: "operation",
                cause: "the link between the client and the node was cut or slow",
                excuses: "An operation that returns after its deadline.",
                bound: "The link was cut, or had another latency than usual, while the operation lasted; and it returns no later than \
                        its client waits for an answer.",
                why: "The client notices what is lost on the link by a timeout of its own.",
            },
            Self::ShortTimeout => Terms {
                name: "short-timeout",
                properties: &[Liveness],
                case: "write",
                cause: "the timeout is not above the longest delay",
                excuses: "A write that is not acknowledged although nothing is wrong any more.",
                bound: "The longest delay of a message, six link latencies and 10 ms are more than the timeout of a write.",
                why: "Then it is a matter of chance whether enough confirmations arrive in time.",
            },
            Self::FullWindow => Terms {
                name: "full-window",
                properties: &[Liveness],
                case: "write",
                cause: "a follower had as many messages in flight as it may",
                excuses: "A write that is not acknowledged in a run without faults.",
                bound: "Some write of the run was not sent to every follower when it was accepted.",
                why: "A write that finds the window full reaches the follower by a resend, after a pause.",
            },
            Self::LeaderWaits => Terms {
                name: "leader-waits",
                properties: &[Convergence, Liveness],
                case: "finding",
                cause: "the leader waits for an operator",
                excuses: "Replicas that differ when the run ends, and writes that are not acknowledged although \
                          nothing is wrong any more.",
                bound: "Fewer followers have their memory than the largest recovery quorum of the run, and the leader \
                        does not serve.",
                why: "Nobody can know what was acknowledged. Going on without an operator would lose it.",
            },
        }
    }
}
