//! Whether the records of a trace can belong together: a file that was cut, merged or edited is refused with the line
//! that shows it, before any checker judges it.
//!
//! Checkers judge what nodes and clients did. They rely on what holds of every recorded run, however wrong its protocol:
//! a record belongs to a node of the cluster, time does not go back, a node that crashed does nothing until it restarts,
//! what returns was invoked, what arrives was sent.

mod messages;
mod nodes;
mod operations;

use super::NodeId;
use super::trace::{Disturbance, Event, Micros, OperationId, Record};
use messages::Messages;
use nodes::Nodes;
use operations::Operations;

pub(in crate::base) use operations::{Told, returns_as_it_can};

/// Why a record does not fit those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistency {
    /// The first record is another one.
    #[error("a trace begins with an event \"cluster\", which says what was run")]
    NoCluster,
    /// A trace is of one run.
    #[error("a second event \"cluster\": a trace has one, in its first line")]
    SecondCluster,
    /// The quorum of the first record, or of a leader, cannot be reached.
    #[error("write_quorum {write_quorum} is more than the {followers} followers")]
    Quorum {
        /// The quorum.
        write_quorum: usize,
        /// The number of followers.
        followers: usize,
    },
    /// The range of the emulated delays is empty.
    #[error("delay_us [{shortest}, {longest}]: the shortest delay is longer than the longest")]
    Delays {
        /// The shortest delay, in microseconds.
        shortest: u64,
        /// The longest delay, in microseconds.
        longest: u64,
    },
    /// Records are in the order in which things happened.
    #[error("at_us {at} is before {before}, the time of the line before")]
    TimeGoesBack {
        /// The time of the record, in microseconds.
        at: u64,
        /// The time of the record before.
        before: u64,
    },
    /// A follower that the cluster does not have.
    #[error("{node} is not a node of this cluster: the first line says that it has {followers} followers")]
    UnknownFollower {
        /// The follower.
        node: NodeId,
        /// The number of followers.
        followers: usize,
    },
    /// A node that can lead and that was never started.
    #[error("{node} has not been started: a second leader begins with an event \"restart\"")]
    UnknownLeader {
        /// The node.
        node: NodeId,
    },
    /// An event of another kind of participant.
    #[error("{event}: {node} is not {expected}")]
    WrongNode {
        /// The event.
        event: &'static str,
        /// The node of the record.
        node: NodeId,
        /// What the node has to be: `a client`.
        expected: &'static str,
    },
    /// A node that crashed does nothing until it restarts.
    #[error("{node} crashed in line {line} and has not restarted")]
    Down {
        /// The node.
        node: NodeId,
        /// The line of its crash.
        line: usize,
    },
    /// Only a node that crashed restarts.
    #[error("{node} restarts and has not crashed")]
    Up {
        /// The node.
        node: NodeId,
    },
    /// A node starts one incarnation after another.
    #[error("incarnation {got} of {node}: it is in incarnation {expected}")]
    Incarnation {
        /// The node.
        node: NodeId,
        /// The incarnation of the record.
        got: u64,
        /// The incarnation that the records before imply.
        expected: u64,
    },
    /// Something that can happen once only, such as the invocation of an operation.
    #[error("{what} again: line {line} has it already")]
    Repeated {
        /// What it is.
        what: String,
        /// The line of the first.
        line: usize,
    },
    /// An operation returns that was not invoked.
    #[error("{client}#{operation} returns and was not invoked")]
    NotInvoked {
        /// The client.
        client: NodeId,
        /// The number of the operation.
        operation: OperationId,
    },
    /// An operation cannot return like this.
    #[error("{client}#{operation}: {problem}")]
    Return {
        /// The client.
        client: NodeId,
        /// The number of the operation.
        operation: OperationId,
        /// What is wrong.
        problem: &'static str,
    },
    /// A record refers to a write or a message of which there is no record.
    #[error("{what}, and no line before says that it was {done}")]
    Missing {
        /// What the record says.
        what: String,
        /// What should have been done before: `sent`.
        done: &'static str,
    },
}

/// Follows the records of a trace, line by line.
#[derive(Debug, Default)]
pub(super) struct Consistency {
    at: Micros,
    nodes: Option<Nodes>,
    operations: Operations,
    messages: Messages,
    /// The last record and its line.
    last: Option<(usize, Record)>,
}

impl Consistency {
    /// Takes the record of the next line.
    ///
    /// # Errors
    /// [`Inconsistency`] if it does not fit those before it.
    pub(super) fn follow(&mut self, line: usize, record: &Record) -> Result<(), Inconsistency> {
        let Some(nodes) = &mut self.nodes else {
            self.nodes = Some(Nodes::of_cluster(record)?);
            return Ok(());
        };
        let (at, before) = (record.at.0, self.at.0);
        if at < before {
            return Err(Inconsistency::TimeGoesBack { at, before });
        }
        self.at = record.at;
        nodes.follow(line, record)?;
        self.operations.follow(line, record)?;
        self.messages.follow(line, record)?;
        let can_repeat = can_repeat(&record.event) || self.messages.names_were_misdirected();
        if let Some((first, last)) = &self.last
            && !can_repeat
            && last == record
        {
            return Err(Inconsistency::Repeated { what: "the same record".into(), line: *first });
        }
        self.last = Some((line, record.clone()));
        Ok(())
    }
}

/// Whether the same can happen again at once: what is done to the network, and what copies of a message bring, which are
/// counted elsewhere.
fn can_repeat(event: &Event) -> bool {
    if let Event::Fault { kind, .. } = event {
        return !matches!(kind, Disturbance::Heal | Disturbance::Probe | Disturbance::HangUp);
    }
    matches!(event, Event::Apply { .. } | Event::Reject { .. } | Event::Ack { .. } | Event::Lost { .. })
}

#[cfg(test)]
mod tests;
