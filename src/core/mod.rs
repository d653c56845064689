//! The protocol without I/O.
//!
//! A [`Leader`] and a [`Follower`] are state machines. What reaches them (a client's write, a message, an answer, the
//! passing of time) is a method call that carries `now`, a duration since the node's start; what they want done comes
//! out as [`Output`] values that the caller polls. They wait for nothing, and hold neither a clock nor a source of
//! chance, so a driver on real sockets and one in an event loop run the same protocol.

mod ask;
mod assemble;
mod backoff;
mod digest;
mod events;
mod follower;
mod leader;
mod limits;
mod outbox;
mod resend;
mod rules;
mod store;
mod table;

#[cfg(test)]
mod deletion;
#[cfg(test)]
mod membership;
#[cfg(test)]
mod names;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod pacing;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod retries;
#[cfg(test)]
mod rivals;
#[cfg(test)]
mod starts;
#[cfg(test)]
mod testing;

pub use ask::{
    Answer, Ask, Configuration, Deletion, Identity, Incarnation, InvalidIdentity, Item, Last, LeaderId, Promise,
    Question, Said, SnapshotId, Standing,
};
pub use assemble::assemble;
pub use backoff::ConnectBackoff;
pub use digest::{Buckets, Summary};
pub use events::{EventSink, NoEvents};
pub use follower::Follower;
pub use leader::{
    Accepted, Asked, Call, Completion, FollowerStatus, Leader, LeaderConfig, News, Output, Progress, ReadId, Readable,
    Rejected, Reply, Stored, Terms, Timer, Waiting,
};
pub use limits::Limits;
pub use outbox::{BatchLimit, Outbox, Parcel};
pub use rules::{Rule, Rules};
pub use store::{Applied, Entry, Store};

use std::sync::Arc;

use crate::base::trace::{MessageId, WriteId};
use crate::base::{FollowerId, Key, Stamp, Value};

/// A write as the leader issued it. One allocation serves the messages to all followers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The leader's number for the write.
    pub write: WriteId,
    /// By what the emulated network draws the fate of its messages: the operation's name if its client gave one, or else
    /// the leader's number. With names, one operation more or less changes no other's draws.
    pub operation: u64,
    /// The key.
    pub key: Key,
    /// What the key holds from this write on.
    pub entry: Entry,
}

/// A replication message on its way to one follower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The follower that it goes to.
    pub to: FollowerId,
    /// 1 for the first delivery; more for resends.
    pub attempt: u32,
    /// The write that it carries.
    pub update: Arc<Update>,
}

impl Update {
    /// What it holds in memory, in bytes of key and value.
    pub fn size(&self) -> usize {
        self.key.as_str().len() + self.entry.size()
    }
}

impl Message {
    /// What names this message in a trace.
    pub fn id(&self) -> MessageId {
        MessageId { write: self.update.write, to: self.to, attempt: self.attempt }
    }

    /// The key that it writes.
    pub fn key(&self) -> &Key {
        &self.update.key
    }

    /// The stamp that it carries.
    pub fn stamp(&self) -> Stamp {
        self.update.entry.stamp
    }

    /// The value that it carries; none if it deletes the key.
    pub fn value(&self) -> Option<&Value> {
        self.update.entry.value.as_ref()
    }
}
