//! What goes into a leader's state machine and comes out of it.

use crate::base::trace::{Event, LossReason, MessageId, WriteId};
use crate::base::{Epoch, FollowerId, FollowerSet, Key, RequestName, Stamp, Value, Version};
use crate::core::Message;
use crate::core::ask::{Answer, Ask, Deletion, Incarnation, Standing};
use crate::core::store::{Entry, Store};

/// A write that was taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Names the write in [`Output::Complete`].
    pub write: WriteId,
    /// The stamp that it got.
    pub stamp: Stamp,
    /// Whether it had been taken on before, under the same name: then `write` is a number of this retry, and nothing was
    /// written.
    pub is_retry: bool,
}

impl Accepted {
    /// How a trace tells it, of a write on these terms. What its operation is called is told where no value says whose write it
    /// is.
    pub fn event(self, terms: Terms, key: Key, value: Option<Value>) -> Event {
        let Self { write, stamp, is_retry } = self;
        let Terms { operation, request: request_id, .. } = terms;
        let operation = operation.filter(|_| value.is_none() || request_id.is_some());
        if is_retry {
            Event::Retry { write, key, stamp, value, operation, request_id }
        } else {
            Event::Accept { write, key, stamp, value, operation, request_id }
        }
    }
}

/// What a client's write comes with, besides what it writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// The client's name for it where messages are drawn, if it has one; see [`Update::operation`](crate::core::Update::operation).
    pub operation: Option<u64>,
    /// The client's name for it, by which it is known if it comes again.
    pub request: Option<RequestName>,
    /// The version that its key must have; 0 for one that is not there.
    pub if_version: Option<u64>,
}

/// Why a write was not taken on. It has no version and no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The leader does not serve: it does not know what was written before it.
    #[error("{0}")]
    NotServing(Waiting),
    /// So many writes, or reads, wait for followers already that there is no room for this one; see [`Limits`](crate::core::Limits).
    #[error("too many operations wait for followers already ({waiting}); try again soon")]
    Overloaded {
        /// How many they are.
        waiting: usize,
    },
    /// The key has used every version there is.
    #[error("key {key:?} has used its last version, {max}", max = Version::MAX)]
    VersionsUsedUp {
        /// The key.
        key: Key,
    },
    /// The key has not the version that the write is made for.
    #[error("key {key:?} has version {current}, not {expected}", current = shown(*.current), expected = shown(*.expected))]
    WrongVersion {
        /// The key.
        key: Key,
        /// The version that it should have, 0 if it should not be there.
        expected: u64,
        /// The version that it has, 0 if it is not there.
        current: u64,
    },
    /// Another write of the key has this name.
    #[error(
        "the request_id {request:?} was given to another write of key {key:?}, which got version {version}; a retry asks for the \
         same as the first: value or deletion, and if_version"
    )]
    OtherRequest {
        /// The key.
        key: Key,
        /// The name.
        request: RequestName,
        /// The version of that write.
        version: Version,
    },
}

fn shown(version: u64) -> String {
    if version == 0 { "0 (not there)".to_owned() } else { version.to_string() }
}

/// What the leader wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Bring this message to its follower and call [`Leader::handle_reply`](super::Leader::handle_reply) with what became of it, once.
    Send(Message),
    /// Answer the client of this write.
    Complete(Completion),
    /// Bring this question to its follower and call [`Leader::handle_answer`](super::Leader::handle_answer) with the answer, or with none, once.
    Ask(Box<Call>),
    /// Answer a reader: with what was committed, or not at all.
    Read(ReadId, Readable),
    /// Nothing: it is told for those who watch.
    Tell(News),
    /// Look up anew where this follower is: what is connected to it may lead to another.
    Reconnect(FollowerId),
}

/// Names a read among those of its leader.
pub type ReadId = u64;

/// Whether a read that had to wait can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readable {
    /// No other leader had served before the read began: [`Leader::committed`](super::Leader::committed) is what it finds.
    Yes,
    /// That could not be found out in time, or there is another leader.
    No,
}

/// A question on its way to one follower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The follower that is asked.
    pub to: FollowerId,
    /// Names the question in the answer.
    pub number: u64,
    /// The question.
    pub ask: Ask,
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The follower answered.
    Answered(Answer),
    /// It answered that it does not know such questions.
    Legacy {
        /// Whether it stores nothing, so that nothing is lost if it is passed over.
        is_empty: bool,
    },
    /// No answer: no connection, a passed deadline, a lost request or a lost reply.
    Lost,
}

/// Something about the leader or a follower that a person or a checker wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The leader has what was written before it, under its own epoch. It serves once a quorum has it too.
    Recovered {
        /// Its epoch.
        epoch: Epoch,
        /// How many keys there are.
        keys: usize,
        /// The followers that remember and whose states were read for it, also where another had something newer.
        from: FollowerSet,
        /// Whether nothing had survived anywhere, or the operator accepted the loss of what may have.
        anew: bool,
        /// The followers whose memory was given up, if the operator accepted a loss.
        accepted: Option<AcceptedLoss>,
    },
    /// It serves.
    Serving(Epoch),
    /// There is another leader. What clients wait for is left open.
    SteppedDown {
        /// Its own epoch, until now.
        from: Epoch,
        /// The greatest epoch that it knows to be promised: that of the other one, or its own, if followers have forgotten theirs.
        promised: Epoch,
    },
    /// A follower that was not up to date is now.
    CaughtUp {
        /// The follower.
        follower: FollowerId,
        /// Which of its lives.
        incarnation: Incarnation,
        /// The leader's epoch.
        epoch: Epoch,
    },
    /// A follower has begun another life, with an empty memory, or is found under another name.
    Forgot {
        /// The follower.
        follower: FollowerId,
        /// The life that is over.
        ended: Incarnation,
    },
    /// Another follower answers where this one is looked for.
    Astray {
        /// Who is looked for.
        follower: FollowerId,
        /// Who answers.
        by: FollowerId,
        /// Which life of the first was known until now. What it confirmed does not count any more.
        lost: Option<Incarnation>,
    },
    /// It has forgotten deletions, as all followers have.
    Collected(Vec<Deletion>),
    /// A follower does not know epochs. It is sent writes, and counts for nothing.
    Legacy(FollowerId),
}

/// Whose memory an operator has given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptedLoss {
    /// The followers that had not answered.
    pub silent: FollowerSet,
    /// Those that had, and may have forgotten everything.
    pub forgetful: FollowerSet,
}

impl News {
    /// How a trace tells it, of a leader with this store.
    pub fn events(&self, store: &Store) -> Vec<Event> {
        match self {
            Self::Recovered { epoch, from, anew, .. } => {
                let found = store.entries().map(|(key, entry)| {
                    let (key, Entry { stamp, value, .. }) = (key.clone(), entry.clone());
                    Event::Recover { key, stamp, value }
                });
                let ids = from.iter().collect();
                found.chain([Event::Recovered { epoch: *epoch, from: ids, anew: *anew }]).collect()
            }
            Self::Serving(epoch) => vec![Event::Serve { epoch: *epoch }],
            Self::SteppedDown { promised, .. } => vec![Event::StepDown { promised: *promised }],
            Self::CaughtUp { .. } | Self::Legacy(_) => Vec::new(),
            Self::Collected(deletions) => {
                let collect = |Deletion { key, stamp }: &Deletion| Event::Collect { key: key.clone(), stamp: *stamp };
                deletions.iter().map(collect).collect()
            }
            Self::Forgot { ended, .. } => vec![Event::Forgot { follower: ended.follower() }],
            Self::Astray { follower, by, lost } => {
                let astray = Event::Astray { follower: *follower, by: *by };
                [astray].into_iter().chain(lost.map(|lost| Event::Forgot { follower: lost.follower() })).collect()
            }
        }
    }
}

/// What a leader waits for before it serves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Waiting {
    /// Enough followers that remember what was acknowledged.
    #[error(
        "recovering: {normal} of the {needed} followers that are needed to know every acknowledged write have joined and remember \
         it{}{}{}{}{}",
        listed("; have not joined: ", .silent),
        listed("; are new, or restarted empty: ", .forgetful),
        if *.normal == 0 && !.forgetful.is_empty() && !.silent.is_empty() {
            "; if none remembers anything, the cluster begins empty when all have joined"
        } else {
            ""
        },
        listed("; do not answer what a leader asks, and may be another program: ", .foreign),
        listed("; counted before under names that are none of the followers' now: ", .gone)
    )]
    Survivors {
        /// How many have promised the epoch and remember.
        normal: usize,
        /// How many must.
        needed: usize,
        /// Those that have not answered.
        silent: Vec<String>,
        /// Those that have answered and may have lost their memory.
        forgetful: Vec<String>,
        /// Those that do not know epochs.
        foreign: Vec<String>,
        /// Names of followers that counted for an earlier leader, and which this one does not have.
        gone: Vec<String>,
    },
    /// Another leader: the followers have promised its epoch, and are asked again after a pause.
    #[error(
        "there is another leader, whose epoch is {epoch}, and the followers have promised that; this one asks them again soon, and if \
         both go on, each deposes the other again and again: stop one of them",
        epoch = .epoch.get()
    )]
    OtherLeader {
        /// The greatest epoch that a follower is known to have promised.
        epoch: Epoch,
    },
    /// Enough followers that no other leader can serve, where an operator has accepted that what is missing is lost.
    #[error(
        "recovering: the loss is accepted; {promised} of the {needed} followers have answered that must, so that no other leader \
         serves{}",
        listed("; without an answer: ", .silent)
    )]
    Majority {
        /// How many have promised the epoch.
        promised: usize,
        /// How many must.
        needed: usize,
        /// Those that have not answered.
        silent: Vec<String>,
    },
    /// The state of those that have answered.
    #[error("recovering: reading what the followers store")]
    State,
    /// Members of an earlier configuration that know the new one.
    #[error(
        "recovering: {current} of {needed} members of the earlier configuration have been brought up to date under the new \
         one{}",
        listed("; not yet: ", .missing)
    )]
    HandOver {
        /// How many of them have.
        current: usize,
        /// How many must, so that a later leader under the earlier configuration learns of the new one.
        needed: usize,
        /// Those that have not.
        missing: Vec<String>,
    },
    /// A quorum that has what was recovered.
    #[error("recovering: {current} of {needed} followers have been brought up to date")]
    Quorum {
        /// How many have it.
        current: usize,
        /// How many must.
        needed: usize,
    },
}

fn listed(intro: &str, names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("{intro}{}", names.join(", ")) }
}

/// How a write ended for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completion {
    /// The write.
    pub write: WriteId,
    /// Its stamp.
    pub stamp: Stamp,
    /// Whether the quorum was reached in time.
    pub ok: bool,
    /// The distinct followers that had confirmed by then.
    pub confirmations: usize,
    /// The quorum.
    pub required: usize,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reply {
    /// The follower now stores this for the message's key.
    Stored(Stored),
    /// The follower has promised this epoch, or another leader's of the same number, and did not take the message.
    Fenced(Epoch),
    /// A follower that does not know epochs took the message.
    Legacy,
    /// The follower answered, but would not take the message.
    Refused,
    /// No answer: no connection, a passed deadline, a lost request or a lost reply.
    Lost,
}

impl Reply {
    /// How a trace tells it.
    pub fn event(self, message: MessageId) -> Event {
        let reason = match self {
            Self::Stored(stored) if stored.standing == Standing::Normal => {
                return Event::Ack { message, stored: stored.stamp };
            }
            Self::Stored(_) => LossReason::Recovering,
            Self::Fenced(_) => LossReason::Fenced,
            Self::Legacy => LossReason::Legacy,
            Self::Refused => LossReason::Refused,
            Self::Lost => LossReason::Deadline,
        };
        Event::Lost { message, reason }
    }
}

/// What a follower stores for a key, and whether that can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stored {
    /// Its stamp.
    pub stamp: Stamp,
    /// Which of the follower's lives stores it.
    pub incarnation: Incarnation,
    /// Whether its memory can be relied on.
    pub standing: Standing,
}

/// A timer of the leader, by what happens when it goes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// The client of the oldest write that waits is answered.
    Deadline,
    /// The oldest read that waits is given up.
    Read,
    /// A round of what this follower missed is sent.
    Resend(FollowerId),
    /// This follower is asked something.
    Ask(FollowerId),
}
