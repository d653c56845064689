//! Checks the arguments that a simulation gets from code rather than from a scenario file: message
//! faults of a `World`, and the calls of a `Stage`. Each error names the argument, its value and
//! what is allowed.

use std::time::Duration;

use crate::base::{FollowerId, NodeId, NodeRef};
use crate::net::{Effect, MessageFault, Messages};

/// The longest time that an argument can have, an hour, as in a scenario.
const LONGEST: Duration = Duration::from_secs(3600);

/// The cluster against which arguments are checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arguments {
    /// The number of followers, members or not, at least 1.
    pub(super) followers: usize,
}

impl Arguments {
    /// Returns the node if the cluster has it. There is one leader and no former one.
    pub(super) fn node(self, node: impl Into<NodeRef>) -> Result<NodeId, String> {
        let node = node.into();
        let is_known = match node {
            NodeRef::Leader | NodeRef::Node(NodeId::FIRST_SERVER) => true,
            NodeRef::Node(NodeId::Follower(id)) => id.index() < self.followers,
            NodeRef::Former | NodeRef::Node(NodeId::Server(_) | NodeId::Client(_) | NodeId::Network) => false,
        };
        if is_known {
            return Ok(node.with_one_leader());
        }
        Err(format!("there is no node {node}; the nodes are leader and {}", self.names()))
    }

    /// Returns the ends of a link if the cluster has it.
    pub(super) fn link(self, a: impl Into<NodeRef>, b: impl Into<NodeRef>) -> Result<(NodeId, NodeId), String> {
        let (a, b) = (self.node(a)?, self.node(b)?);
        if a == b { Err(format!("{a} has no link to itself; a link needs two nodes")) } else { Ok((a, b)) }
    }

    pub(super) fn write_quorum(self, write_quorum: usize) -> Result<(), String> {
        let followers = self.followers;
        if (1..=followers).contains(&write_quorum) {
            return Ok(());
        }
        Err(format!("write_quorum = {write_quorum}: must be 1 to {followers}, the followers"))
    }

    pub(super) fn members(self, members: &[FollowerId]) -> Result<(), String> {
        if members.is_empty() {
            return Err("members = []: must be at least one follower".into());
        }
        let repeated = |(place, id): (usize, &FollowerId)| members[..place].contains(id).then_some(*id);
        if let Some(id) = members.iter().enumerate().find_map(repeated) {
            return Err(format!("members: {id} is named twice"));
        }
        match members.iter().find(|id| id.index() >= self.followers) {
            Some(id) => Err(format!("members: {id} must be one of the followers, {}", self.names())),
            None => Ok(()),
        }
    }

    pub(super) fn time(self, name: &str, time: Duration) -> Result<(), String> {
        if time <= LONGEST { Ok(()) } else { Err(format!("{name} = {time:?}: must be at most {LONGEST:?}, an hour")) }
    }

    pub(super) fn message_fault(self, fault: &MessageFault) -> Result<(), String> {
        let MessageFault { messages, from, until, to, per_mille, effect, .. } = fault;
        if from >= until {
            return Err(format!("until = {until:?}: must be after from = {from:?}"));
        }
        if let Some(id) = to.filter(|id| id.index() >= self.followers) {
            return Err(format!("to = {id}: must be one of the followers, {}", self.names()));
        }
        if let Messages::Writes { attempt: Some(0), .. } = messages {
            return Err("attempt = 0: attempts are counted from 1".into());
        }
        if let Messages::Rpcs { number: Some(0), .. } = messages {
            return Err("number = 0: peer RPCs are counted from 1".into());
        }
        if *per_mille > 1000 {
            return Err(format!("per_mille = {per_mille}: must be 0 to 1000"));
        }
        match effect {
            Effect::Delay(delay) | Effect::Duplicate(Some(delay)) => self.time("delay", *delay),
            Effect::Drop | Effect::DropReply | Effect::Duplicate(None) => Ok(()),
        }
    }

    /// The followers: `f1` or `f1 to f5`.
    fn names(self) -> String {
        let mut ids = FollowerId::first(self.followers);
        match (ids.next(), ids.next_back()) {
            (Some(first), Some(last)) => format!("{first} to {last}"),
            (first, _) => first.map_or_else(String::new, |only| only.to_string()),
        }
    }
}
