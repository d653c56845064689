use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::OperationName;
use crate::base::{FollowerId, NodeId};

/// The event that a fault waits for, in place of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// The event.
    pub trigger: Trigger,
    /// How long after it the fault begins, in milliseconds.
    pub after_ms: u64,
    /// How long a fault of messages lasts, in milliseconds; without it, until everything is healed.
    pub for_ms: Option<u64>,
}

/// An event that a fault can wait for. Written as a sentence: `f1 has applied c1#2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Trigger {
    /// A leader gave the write its stamp, or found that it had come before under the same name.
    Accepted(OperationName),
    /// This follower stores the write.
    Applied(FollowerId, OperationName),
    /// A leader answered the write with `ok`.
    Acknowledged(OperationName),
    /// This node serves as the leader from now on.
    Serves(NodeId),
    /// This follower promised an epoch.
    Promised(FollowerId),
    /// This follower was brought up to date by a leader.
    UpToDate(FollowerId),
}

impl Trigger {
    /// The forms of a trigger, for error messages.
    const FORMS: &str = "\"c1#2 was accepted\", \"f1 has applied c1#2\", \"c1#2 was acknowledged\", \"n1 serves\", \"f1 has \
                         promised\" or \"f1 is up to date\"";

    /// The operation that it names.
    pub(in crate::sim) fn operation(&self) -> Option<OperationName> {
        match self {
            Self::Accepted(operation) | Self::Applied(_, operation) | Self::Acknowledged(operation) => Some(*operation),
            Self::Serves(_) | Self::Promised(_) | Self::UpToDate(_) => None,
        }
    }

    /// The same, to be changed.
    pub(in crate::sim) fn operation_mut(&mut self) -> Option<&mut OperationName> {
        match self {
            Self::Accepted(operation) | Self::Applied(_, operation) | Self::Acknowledged(operation) => Some(operation),
            Self::Serves(_) | Self::Promised(_) | Self::UpToDate(_) => None,
        }
    }

    /// The follower that it names.
    pub(in crate::sim) fn follower(&self) -> Option<FollowerId> {
        match self {
            Self::Applied(follower, _) | Self::Promised(follower) | Self::UpToDate(follower) => Some(*follower),
            Self::Accepted(_) | Self::Acknowledged(_) | Self::Serves(_) => None,
        }
    }

    /// The same, to be changed.
    pub(in crate::sim) fn follower_mut(&mut self) -> Option<&mut FollowerId> {
        match self {
            Self::Applied(follower, _) | Self::Promised(follower) | Self::UpToDate(follower) => Some(follower),
            Self::Accepted(_) | Self::Acknowledged(_) | Self::Serves(_) => None,
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted(operation) => write!(f, "{operation} was accepted"),
            Self::Applied(follower, operation) => write!(f, "{follower} has applied {operation}"),
            Self::Acknowledged(operation) => write!(f, "{operation} was acknowledged"),
            Self::Serves(node) => write!(f, "{node} serves"),
            Self::Promised(follower) => write!(f, "{follower} has promised"),
            Self::UpToDate(follower) => write!(f, "{follower} is up to date"),
        }
    }
}

impl FromStr for Trigger {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let follower = |name: &str| match name.parse() {
            Ok(NodeId::Follower(id)) => Ok(id),
            _ => Err(format!("when = {text:?}: {name:?} is no follower; followers are called f1, f2, …")),
        };
        let operation = |name: &str| name.parse().map_err(|error: String| format!("when = {text:?}: {error}"));
        match text.split(' ').collect::<Vec<_>>()[..] {
            [name, "was", "accepted"] => Ok(Self::Accepted(operation(name)?)),
            [node, "has", "applied", name] => Ok(Self::Applied(follower(node)?, operation(name)?)),
            [name, "was", "acknowledged"] => Ok(Self::Acknowledged(operation(name)?)),
            [node, "serves"] => match node.parse() {
                Ok(node @ NodeId::Server(_)) if node.to_string() == text.replace(" serves", "") => {
                    Ok(Self::Serves(node))
                }
                _ => Err(format!(
                    "when = {text:?}: {node:?} does not name a node that can lead; they are called n1, n2, …, in the order in \
                     which they are started"
                )),
            },
            [node, "has", "promised"] => Ok(Self::Promised(follower(node)?)),
            [node, "is", "up", "to", "date"] => Ok(Self::UpToDate(follower(node)?)),
            _ => Err(format!("when = {text:?} is no event; it must be of the form {}", Self::FORMS)),
        }
    }
}

impl TryFrom<String> for Trigger {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Trigger> for String {
    fn from(trigger: Trigger) -> Self {
        trigger.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_is_read_as_it_is_written() {
        let operation = OperationName { client: 2, number: 7 };
        let (f2, n3) = (FollowerId(1), NodeId::Server(2));
        for trigger in [
            Trigger::Accepted(operation),
            Trigger::Applied(f2, operation),
            Trigger::Acknowledged(operation),
            Trigger::Serves(n3),
            Trigger::Promised(f2),
            Trigger::UpToDate(f2),
        ] {
            assert_eq!(trigger.to_string().parse(), Ok(trigger));
            assert!(Trigger::FORMS.contains(trigger.to_string().split(' ').nth(1).unwrap()), "{trigger}");
        }
        for (text, says) in [
            ("", "is no event; it must be of the form \"c1#2 was accepted\""),
            ("f1 applied c1#2", "is no event"),
            ("n1 has applied c1#2", "\"n1\" is no follower"),
            ("f1 has applied x", "does not name an operation"),
            ("leader serves", "\"leader\" does not name a node that can lead"),
            ("f1 serves", "\"f1\" does not name a node that can lead"),
        ] {
            let error = text.parse::<Trigger>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
