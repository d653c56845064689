use std::io;

use http::StatusCode;

use crate::base::NodeRef;
use crate::base::wire::SetAnswer;
use crate::net::HostPort;
use crate::net::http::HttpError;

/// How a write ended, as far as its client can tell.
#[derive(Debug)]
#[must_use]
pub enum Outcome<T> {
    /// It took effect, and the quorum confirmed it.
    Ok(T),
    /// It was refused before a version was assigned. It has no effect and never will.
    Failed(Failed),
    /// It may have taken effect, or may yet.
    Unknown(Unknown),
}

/// Why a write had no effect.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// There was no connection, so the write was never sent.
    #[error("unreachable: {0}")]
    Unreachable(io::Error),
    /// The node refused it.
    #[error("refused with status {status}: {detail}{}", told(leader))]
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// The reason that it gave.
        detail: String,
        /// Where it says that the leader is.
        leader: Option<HostPort>,
    },
    /// The key has not the version that the write was made for.
    #[error("the key has version {current}")]
    Conflict {
        /// The version that it has, 0 if it is not there.
        current: u64,
    },
}

/// Why it is not known whether a write took effect.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// The leader stores it, but too few followers confirmed it in time. Replication goes on.
    #[error("stored by the leader as version {}, but only {} of {} needed followers confirmed in time", .0.version, .0.confirmations, .0.required)]
    QuorumMissed(SetAnswer),
    /// It was sent, and nothing came back.
    #[error(transparent)]
    NoAnswer(HttpError),
    /// Something came back that is not an answer to a write.
    #[error("not an answer to a write: {0}")]
    Unreadable(String),
}

/// Why a read brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No answer came.
    #[error(transparent)]
    NoAnswer(HttpError),
    /// The node refused it.
    #[error("refused with status {status}: {detail}{}", told(leader))]
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// The reason that it gave.
        detail: String,
        /// Where it says that the leader is.
        leader: Option<HostPort>,
    },
    /// The node has not got the version that was asked for in time.
    #[error("the key has version {current} here, and not yet the one that was asked for")]
    NotYet {
        /// The version that it has, 0 if it is not there.
        current: u64,
    },
    /// What came is not what was asked for.
    #[error("not the answer of a semisync node: {0}")]
    Unreadable(String),
    /// The cluster has no such node, so nothing was sent.
    #[error("there is no node {node} to read from: the cluster has a leader and {followers} followers")]
    NoSuchNode {
        /// The node that was named.
        node: NodeRef,
        /// The number of followers of the cluster.
        followers: usize,
    },
}

fn told(leader: &Option<HostPort>) -> String {
    leader.as_ref().map(|leader| format!(" (the leader is {leader})")).unwrap_or_default()
}

impl<T> Outcome<T> {
    /// Whether the write is known to have taken effect.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok(_))
    }

    /// The answer, if the write is known to have taken effect.
    pub fn ok(self) -> Option<T> {
        match self {
            Self::Ok(answer) => Some(answer),
            Self::Failed(_) | Self::Unknown(_) => None,
        }
    }
}

impl Outcome<SetAnswer> {
    /// The leader's answer, whether or not the quorum was reached.
    pub fn answer(&self) -> Option<SetAnswer> {
        match self {
            Self::Ok(answer) | Self::Unknown(Unknown::QuorumMissed(answer)) => Some(*answer),
            Self::Failed(_) | Self::Unknown(_) => None,
        }
    }
}
