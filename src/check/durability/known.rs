use std::fmt;

use super::loss::{Cause, Protection};
use crate::base::history::Operation;
use crate::base::trace::Micros;
use crate::base::{NodeId, Stamp, Value};
use crate::check::evidence::At;
use crate::check::writes::Write;

/// How a stamp became known, and when.
#[derive(Debug, Clone, Copy)]
pub(super) enum How<'a> {
    /// The leader answered the write.
    Completed(&'a Write<'a>, Micros),
    /// A client was told of its write.
    Told(&'a Operation, &'a Write<'a>, Micros),
    /// It was read at the leader.
    Read(&'a Operation, Stamp, Micros),
    /// A node collected the tombstone.
    Collected(NodeId, Stamp, Micros),
}

/// `n1 acknowledged k1 v7 (c3#2) at 1512 ms`
impl fmt::Display for How<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed(write, at) => write!(f, "{} acknowledged {write} at {}", write.leader, At(*at)),
            Self::Told(operation, write, at) => write!(f, "{} was told of {write} at {}", operation.client, At(*at)),
            Self::Read(operation, stamp, at) => {
                write!(f, "{} read {} {stamp} at the leader at {}", operation.name(), operation.key, At(*at))
            }
            Self::Collected(node, stamp, at) => {
                write!(f, "{node} forgot at {}, as something that all followers have, the deletion {stamp}", At(*at))
            }
        }
    }
}

/// The greatest stamp of a key that the leader must not forget.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) stamp: Stamp,
    /// None if it deleted the key.
    pub(super) value: Option<&'a Value>,
    /// The incarnation of the leader in which it became known.
    pub(super) life: u64,
    pub(super) how: How<'a>,
    pub(super) protection: Protection,
}

impl Known<'_> {
    /// The same, with a cause for its loss if it has none yet.
    pub(super) fn endangered_by(mut self, cause: Option<Cause>) -> Self {
        self.protection.endanger(cause);
        self
    }
}

/// Whether this is what was known, or later. A leader that has recovered it gives it its own epoch, and goes on counting.
pub(super) fn kept(known: &Known<'_>, stamp: Stamp, value: Option<&Value>) -> bool {
    stamp.epoch >= known.stamp.epoch
        && (stamp.version > known.stamp.version || (stamp.version == known.stamp.version && value == known.value))
}
