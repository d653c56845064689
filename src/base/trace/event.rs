use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

use super::{Micros, Rpc};
use crate::base::{Epoch, FollowerId, Key, Member, NodeId, ReadMode, RequestName, Stamp, Value};

/// The number of an operation among those of its client, counted from 1.
pub type OperationId = u64;

/// The number of a write among those of its leader, counted from 1.
pub type WriteId = u64;

/// The name by which the emulated network draws the fate of an operation's messages: its client and its number. It fits
/// no other operation of a run, and stays the same when others are taken away.
pub fn operation_name(client: NodeId, number: OperationId) -> u64 {
    client.code() << 24 | number
}

/// A replication request: one life of the leader, and the number of the request among those of this life to this
/// follower. Written as `life.number`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId {
    /// The leader's incarnation.
    pub incarnation: u64,
    /// The number of the request, counted from 1.
    pub number: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation, self.number)
    }
}

impl FromStr for RequestId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let (incarnation, number) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self { incarnation: incarnation.parse()?, number: number.parse()? })
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| serde::de::Error::custom(format!("{text:?} is not a request; the third of life 0 is 0.3")))
    }
}

/// A message: this write, to this follower, for the nth time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageId {
    /// The write that the message carries.
    pub write: WriteId,
    /// The follower that it goes to.
    pub to: FollowerId,
    /// 1 for the first delivery; more for resends.
    pub attempt: u32,
}

/// The messages of one request. Most requests carry one or two: for these a trace needs no memory apart.
pub type Batch = SmallVec<[MessageId; 2]>;

/// How a client's operation ended, as its client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It took effect. A write: enough followers confirmed. A read: the key was there.
    Ok,
    /// A read found nothing.
    Absent,
    /// It was refused before a version was assigned, and has no effect.
    Failed,
    /// It may have taken effect, or may yet.
    Unknown,
}

/// What of a message the emulated network loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostPart {
    /// The message itself.
    Request,
    /// The answer to it.
    Reply,
}

/// Why a message brought no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossReason {
    /// No connection to the follower.
    Connect,
    /// The deadline passed.
    Deadline,
    /// The connection ended before the answer.
    Disconnect,
    /// The follower answered with an error.
    Refused,
    /// The follower has promised another epoch, or none.
    Fenced,
    /// The follower took the message, but may have forgotten what it confirmed before: it does not count.
    Recovering,
    /// The follower does not know epochs: it does not count.
    Legacy,
}

/// What can be done to the network or to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disturbance {
    /// A node was cut off from the others, both ways.
    Isolate,
    /// It was connected again.
    Reconnect,
    /// What goes between a node and the others is held back.
    Hold,
    /// It was let go.
    Release,
    /// What one node sends to another is lost.
    Cut,
    /// It is not lost any more.
    Mend,
    /// A link takes another time than before.
    Latency,
    /// A client hung up on an operation.
    HangUp,
    /// Every fault was ended.
    Heal,
    /// Enough time has passed since: from here on clients probe whether the store works.
    Probe,
    /// A node was stopped, with its memory, and knows nothing of it.
    Pause,
    /// It went on.
    Resume,
    /// A node's clock was given another rate than the true one.
    ClockOff,
    /// It was given the true rate again.
    ClockRight,
    /// A second leader was started while the first still ran, which is called the former from here on.
    Replace,
    /// The leader was given another configuration, for its next start.
    Configure,
    /// A follower's name leads to another one: the first is looked for, the second found.
    Misdirect,
    /// It leads to the follower itself again.
    Redirect,
    /// An operator accepted at a leader that what only missing followers know is lost.
    AcceptLoss,
    /// The latency of one direction of a link changed.
    LatencyOneWay,
}

impl Event {
    /// Changes the numbers by which a leader's event names followers: a node numbers its members from 0, whichever of the
    /// cluster's followers they are.
    pub fn renumber(&mut self, follower: impl Fn(FollowerId) -> FollowerId) {
        match self {
            Self::Send { message, .. } | Self::Ack { message, .. } | Self::Lost { message, .. } => {
                message.to = follower(message.to);
            }
            Self::Rpc { to, .. } => *to = follower(*to),
            Self::Dispatch { to, messages, .. } => {
                *to = follower(*to);
                messages.iter_mut().for_each(|message| message.to = follower(message.to));
            }
            Self::Recovered { from, .. } => from.iter_mut().for_each(|id| *id = follower(*id)),
            Self::Astray { follower: looked_for, by } => {
                (*looked_for, *by) = (follower(*looked_for), follower(*by));
            }
            // A restarted follower is named by its incarnation, which knows whose it is.
            Self::Forgot { .. } => {}
            Self::Cluster { .. } | Self::Require { .. } | Self::Fault { .. } => {}
            Self::InvokeSet { .. } | Self::InvokeDelete { .. } | Self::InvokeGet { .. } | Self::Return { .. } => {}
            Self::Accept { .. } | Self::Retry { .. } | Self::Complete { .. } => {}
            Self::Apply { .. } | Self::Reject { .. } | Self::Discard { .. } | Self::LoseKey { .. } => {}
            Self::Recover { .. } | Self::Serve { .. } | Self::StepDown { .. } | Self::Collect { .. } => {}
            Self::Promise { .. } | Self::Stage { .. } | Self::Install { .. } | Self::Crash | Self::Restart => {}
        }
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A cluster was set up, and with it the run begins. Everything that a checker must know besides what happens.
    Cluster {
        /// The number of followers.
        followers: usize,
        /// How many of them must confirm a write.
        write_quorum: usize,
        /// The deadline of a write's quorum and of a replication request.
        #[serde(rename = "repl_timeout_us")]
        repl_timeout: Micros,
        /// The shortest and the longest delay that the emulated network draws for a message.
        #[serde(rename = "delay_us")]
        delay: (Micros, Micros),
        /// The latency of a link, one way, rounded up to the simulation's tick.
        #[serde(rename = "link_us")]
        link: Micros,
        /// How many first deliveries to one follower may be unanswered.
        window: usize,
        /// How many followers there are besides, numbered after those, that are no members in the beginning.
        #[serde(skip_serializing_if = "is_zero")]
        spares: usize,
    },
    /// A client called a node to write.
    InvokeSet {
        /// The client's number for it.
        operation: OperationId,
        /// The node that was called.
        target: NodeId,
        /// The key.
        key: Key,
        /// The value, as JSON text.
        value: Value,
        /// The name that the client gave to the write, if it did.
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<RequestName>,
        /// The version that the write requires the key to have; 0 for an absent key.
        #[serde(skip_serializing_if = "Option::is_none")]
        if_version: Option<u64>,
    },
    /// A client called a node to delete a key.
    InvokeDelete {
        /// The client's number for it.
        operation: OperationId,
        /// The node that was called.
        target: NodeId,
        /// The key.
        key: Key,
        /// The name that the client gave to the write, if it did.
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<RequestName>,
        /// The version that the deletion requires the key to have; 0 for an absent key.
        #[serde(skip_serializing_if = "Option::is_none")]
        if_version: Option<u64>,
    },
    /// A client called a node to read.
    InvokeGet {
        /// The client's number for it.
        operation: OperationId,
        /// The node that was called.
        target: NodeId,
        /// The key.
        key: Key,
        /// What it may find.
        #[serde(skip_serializing_if = "ReadMode::is_local")]
        mode: ReadMode,
    },
    /// A client's call ended.
    Return {
        /// The client's number for it.
        operation: OperationId,
        /// How it ended.
        outcome: Outcome,
        /// The stamp that was written or read, where one is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        stamp: Option<Stamp>,
        /// A read: the value that was found.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
        /// A write that the leader answered: the confirmations that it told, and how many it said were required.
        #[serde(skip_serializing_if = "Option::is_none")]
        confirmed: Option<(usize, usize)>,
    },
    /// The leader gave a write its stamp and applied it.
    Accept {
        /// The leader's number for the write.
        write: WriteId,
        /// The key.
        key: Key,
        /// Its stamp.
        stamp: Stamp,
        /// Its value; none if it deletes the key.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
        /// Of a write that no value tells from others, a deletion or one that may come again: whose it is, see
        /// [`operation_name`].
        #[serde(skip_serializing_if = "Option::is_none")]
        operation: Option<u64>,
        /// The name that the client gave to the write, if it did.
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<RequestName>,
    },
    /// The leader found that a write had come before under the same name. It wrote nothing.
    Retry {
        /// The leader's number for the retry.
        write: WriteId,
        /// The key.
        key: Key,
        /// The stamp of the write.
        stamp: Stamp,
        /// Its value; none if it deletes the key.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
        /// Whose it is, see [`operation_name`].
        #[serde(skip_serializing_if = "Option::is_none")]
        operation: Option<u64>,
        /// The name.
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<RequestName>,
    },
    /// The leader handed a message to the emulated network.
    Send {
        /// The message.
        message: MessageId,
        /// How long the emulated network keeps it before it leaves.
        #[serde(rename = "delay_us")]
        delay: Micros,
        /// What of it the emulated network loses.
        #[serde(skip_serializing_if = "Option::is_none")]
        lost: Option<LostPart>,
        /// How long it keeps a second copy, if it makes one.
        #[serde(rename = "copy_delay_us", skip_serializing_if = "Option::is_none")]
        copy: Option<Micros>,
    },
    /// The emulated network delayed, lost or duplicated a peer RPC of the leader. An RPC to which nothing is done is not
    /// recorded.
    Rpc {
        /// The follower.
        to: FollowerId,
        /// The kind.
        rpc: Rpc,
        /// Its number among the RPCs of this kind to this follower in this incarnation of the leader, counted from 1.
        number: u64,
        /// How long the emulated network keeps the request before it leaves.
        #[serde(rename = "delay_us")]
        delay: Micros,
        /// Which part of it the emulated network loses.
        #[serde(skip_serializing_if = "Option::is_none")]
        lost: Option<LostPart>,
        /// How long it keeps a second copy of the request, if it makes one.
        #[serde(rename = "copy_delay_us", skip_serializing_if = "Option::is_none")]
        copy: Option<Micros>,
    },
    /// Messages that had become due left the leader in one request.
    Dispatch {
        /// The request.
        request: RequestId,
        /// The follower.
        to: FollowerId,
        /// The messages, in the order in which they stand in the request.
        messages: Batch,
    },
    /// A follower applied a write.
    Apply {
        /// The request that brought it.
        #[serde(skip_serializing_if = "Option::is_none")]
        request: Option<RequestId>,
        /// The key.
        key: Key,
        /// The stamp that it stores from now on.
        stamp: Stamp,
        /// The value that it stores from now on; none if the key is deleted.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
    },
    /// A follower did not apply a write, for it was not newer than what it had.
    Reject {
        /// The request that brought it.
        #[serde(skip_serializing_if = "Option::is_none")]
        request: Option<RequestId>,
        /// The key.
        key: Key,
        /// The stamp of the write.
        stamp: Stamp,
        /// The stamp that the follower has.
        stored: Stamp,
    },
    /// The leader learnt what a follower did with a message.
    Ack {
        /// The message.
        message: MessageId,
        /// The stamp that the follower now stores.
        stored: Stamp,
    },
    /// The leader gave a message up. It goes on by resending the key's newest write.
    Lost {
        /// The message.
        message: MessageId,
        /// Why.
        reason: LossReason,
    },
    /// The leader answered a write's client, or would have if it were still there.
    Complete {
        /// The write.
        write: WriteId,
        /// Whether the quorum was reached in time.
        ok: bool,
        /// The distinct followers that had confirmed.
        confirmations: usize,
    },
    /// The leader found this stored by followers that remember, and stores it from now on under a stamp of its own.
    Recover {
        /// The key.
        key: Key,
        /// Its stamp.
        stamp: Stamp,
        /// Its value; none if it is deleted.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
    },
    /// The leader has everything that was acknowledged before it.
    Recovered {
        /// Its epoch.
        epoch: Epoch,
        /// The followers that remember and whose states were read for it, also where another had something newer.
        from: Vec<FollowerId>,
        /// Whether nothing had survived anywhere, or the operator accepted the loss of what may have.
        anew: bool,
    },
    /// The leader serves from now on.
    Serve {
        /// Its epoch.
        epoch: Epoch,
    },
    /// A leader that started has another configuration than the cluster had in the beginning.
    Require {
        /// How many followers must confirm what it accepts.
        write_quorum: usize,
        /// Its members; empty if they are those of the beginning.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        members: Vec<Member>,
    },
    /// The leader learnt that there is another one, and serves no longer.
    StepDown {
        /// The greatest epoch that it knows to be promised: that of the other one, or its own, if followers have forgotten theirs.
        promised: Epoch,
    },
    /// What a follower confirmed does not count any more for the leader, which learnt that it has started anew, or that it is
    /// not to be found where it was.
    Forgot {
        /// The follower.
        follower: FollowerId,
    },
    /// Another follower answered the leader where this one was looked for.
    Astray {
        /// The follower that was looked for.
        follower: FollowerId,
        /// The one that answered.
        by: FollowerId,
    },
    /// A follower promised an epoch.
    Promise {
        /// The epoch.
        epoch: Epoch,
        /// The life of the leader that it was promised to.
        leader: u64,
    },
    /// A follower was sent a part of a snapshot that is not the last, and keeps it aside.
    Stage {
        /// The epoch of the leader that sends it.
        epoch: Epoch,
        /// How many parts of it there are now.
        parts: u64,
    },
    /// A follower has been brought up to date: it remembers what was acknowledged from now on. What it stores has been told
    /// before.
    Install {
        /// The epoch of the leader that did.
        epoch: Epoch,
    },
    /// A follower that was brought up to date gave up what is of an earlier epoch.
    Discard {
        /// The key.
        key: Key,
        /// The stamp that it had.
        stamp: Stamp,
    },
    /// A follower lost what it stored for a key, and did not notice.
    LoseKey {
        /// The key.
        key: Key,
        /// The stamp that it had.
        stamp: Stamp,
    },
    /// A node forgot that a key was deleted, for every follower had learnt of it.
    Collect {
        /// The key.
        key: Key,
        /// The stamp of the deletion.
        stamp: Stamp,
    },
    /// The node was killed, with everything that it had in memory.
    Crash,
    /// The node was started again, empty.
    Restart,
    /// Something was done to the network or to a client.
    Fault {
        /// What kind of thing it is.
        kind: Disturbance,
        /// Whom it concerns: a node, or the two ends of a link. Empty for what concerns all.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        nodes: Vec<NodeId>,
        /// How long the link takes from now on, one way.
        #[serde(rename = "latency_us", skip_serializing_if = "Option::is_none")]
        latency: Option<Micros>,
        /// What was done, in words.
        what: String,
    },
}
