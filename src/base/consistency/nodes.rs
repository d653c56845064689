use std::collections::BTreeMap;

use super::Inconsistency;
use crate::base::trace::{Event, Record};
use crate::base::{FollowerId, NodeId};

/// The nodes of a cluster, and which of them run.
#[derive(Debug)]
pub(super) struct Nodes {
    /// The members of the beginning.
    members: usize,
    /// These, and the followers that can become members.
    followers: usize,
    /// The nodes of which there are records, and of each the line of its crash if it is down.
    states: BTreeMap<NodeId, NodeState>,
}

#[derive(Debug, Default)]
struct NodeState {
    incarnation: u64,
    crashed: Option<usize>,
}

impl Nodes {
    /// The nodes that the first record names.
    pub(super) fn of_cluster(record: &Record) -> Result<Self, Inconsistency> {
        let Event::Cluster { followers, spares, write_quorum, delay: (shortest, longest), .. } = &record.event else {
            return Err(Inconsistency::NoCluster);
        };
        let nodes = Self {
            members: *followers,
            followers: followers.saturating_add(*spares),
            states: BTreeMap::from([(NodeId::FIRST_SERVER, NodeState::default())]),
        };
        require_quorum(*write_quorum, nodes.members)?;
        if shortest > longest {
            return Err(Inconsistency::Delays { shortest: shortest.0, longest: longest.0 });
        }
        require(record.node == NodeId::Network, "cluster", record.node, "the network")?;
        Ok(nodes)
    }

    pub(super) fn follow(&mut self, line: usize, record: &Record) -> Result<(), Inconsistency> {
        let Record { node, incarnation, event, .. } = record;
        require_kind_of_node(*node, event)?;
        self.require_named(event)?;
        match node {
            NodeId::Server(_) if !self.states.contains_key(node) => {
                if !matches!(event, Event::Restart) {
                    return Err(Inconsistency::UnknownLeader { node: *node });
                }
                self.states.insert(*node, NodeState { incarnation: *incarnation, crashed: None });
                return Ok(());
            }
            NodeId::Server(_) | NodeId::Follower(_) => self.require_known(*node)?,
            NodeId::Client(_) | NodeId::Network => return Ok(()),
        }
        let state = self.states.entry(*node).or_default();
        let is_restart = matches!(event, Event::Restart);
        // Those of nodes that can lead are counted together, so another one may have had the next.
        let expected = match node {
            NodeId::Server(_) if is_restart && *incarnation > state.incarnation => *incarnation,
            _ => state.incarnation + u64::from(is_restart),
        };
        match (event, state.crashed) {
            (Event::Restart, None) => return Err(Inconsistency::Up { node: *node }),
            (Event::Restart, Some(_)) => (state.incarnation, state.crashed) = (expected, None),
            (_, Some(line)) => return Err(Inconsistency::Down { node: *node, line }),
            (Event::Crash, None) => state.crashed = Some(line),
            (_, None) => {}
        }
        if *incarnation != expected {
            return Err(Inconsistency::Incarnation { node: *node, got: *incarnation, expected });
        }
        Ok(())
    }

    /// Refuses a node that is no part of the cluster.
    fn require_known(&self, node: NodeId) -> Result<(), Inconsistency> {
        match node {
            NodeId::Follower(id) if id.index() >= self.followers => {
                Err(Inconsistency::UnknownFollower { node, followers: self.followers })
            }
            NodeId::Server(_) if !self.states.contains_key(&node) => Err(Inconsistency::UnknownLeader { node }),
            NodeId::Server(_) | NodeId::Follower(_) | NodeId::Client(_) | NodeId::Network => Ok(()),
        }
    }

    /// Refuses an event that names a node that is no part of the cluster.
    fn require_named(&self, event: &Event) -> Result<(), Inconsistency> {
        let follower = |id: &FollowerId| self.require_known((*id).into());
        match event {
            Event::Cluster { .. } => Err(Inconsistency::SecondCluster),
            Event::InvokeSet { target, .. } | Event::InvokeDelete { target, .. } | Event::InvokeGet { target, .. } => {
                require(target.is_node(), "target", *target, "a node that answers clients")?;
                self.require_known(*target)
            }
            Event::Send { message, .. } | Event::Ack { message, .. } | Event::Lost { message, .. } => {
                follower(&message.to)
            }
            Event::Dispatch { to, messages, .. } => {
                follower(to)?;
                messages.iter().try_for_each(|message| follower(&message.to))
            }
            Event::Recovered { from, .. } => from.iter().try_for_each(follower),
            Event::Forgot { follower: id } | Event::Rpc { to: id, .. } => follower(id),
            Event::Astray { follower: id, by } => follower(id).and_then(|()| follower(by)),
            Event::Require { write_quorum, members } if members.is_empty() => {
                require_quorum(*write_quorum, self.members)
            }
            Event::Require { write_quorum, members } => {
                members.iter().try_for_each(|member| follower(&member.follower))?;
                require_quorum(*write_quorum, members.len())
            }
            // What is done to a node may come before its start.
            Event::Fault { nodes, .. } => {
                let followers = nodes.iter().filter(|node| matches!(node, NodeId::Follower(_)));
                followers.copied().try_for_each(|node| self.require_known(node))
            }
            Event::Return { .. }
            | Event::Accept { .. }
            | Event::Retry { .. }
            | Event::Apply { .. }
            | Event::Reject { .. }
            | Event::Complete { .. }
            | Event::Recover { .. }
            | Event::Serve { .. }
            | Event::StepDown { .. }
            | Event::Promise { .. }
            | Event::Stage { .. }
            | Event::Install { .. }
            | Event::Discard { .. }
            | Event::Collect { .. }
            | Event::LoseKey { .. }
            | Event::Crash
            | Event::Restart => Ok(()),
        }
    }
}

fn require_quorum(write_quorum: usize, followers: usize) -> Result<(), Inconsistency> {
    if write_quorum > followers { Err(Inconsistency::Quorum { write_quorum, followers }) } else { Ok(()) }
}

fn require(is_so: bool, event: &'static str, node: NodeId, expected: &'static str) -> Result<(), Inconsistency> {
    if is_so { Ok(()) } else { Err(Inconsistency::WrongNode { event, node, expected }) }
}

/// Refuses an event that only another kind of participant can have.
fn require_kind_of_node(node: NodeId, event: &Event) -> Result<(), Inconsistency> {
    let client = |event| require(matches!(node, NodeId::Client(_)), event, node, "a client");
    let leader = |event| require(node.can_lead(), event, node, "a node that can lead");
    let follower = |event| require(matches!(node, NodeId::Follower(_)), event, node, "a follower");
    let any_node = |event| require(node.is_node(), event, node, "a node");
    match event {
        Event::InvokeSet { .. } => client("invoke_set"),
        Event::InvokeDelete { .. } => client("invoke_delete"),
        Event::InvokeGet { .. } => client("invoke_get"),
        Event::Return { .. } => client("return"),
        Event::Accept { .. } => leader("accept"),
        Event::Retry { .. } => leader("retry"),
        Event::Send { .. } => leader("send"),
        Event::Dispatch { .. } => leader("dispatch"),
        Event::Ack { .. } => leader("ack"),
        Event::Lost { .. } => leader("lost"),
        Event::Complete { .. } => leader("complete"),
        Event::Recover { .. } => leader("recover"),
        Event::Recovered { .. } => leader("recovered"),
        Event::Serve { .. } => leader("serve"),
        Event::Require { .. } => leader("require"),
        Event::StepDown { .. } => leader("step_down"),
        Event::Rpc { .. } => leader("rpc"),
        Event::Forgot { .. } => leader("forgot"),
        Event::Astray { .. } => leader("astray"),
        Event::Apply { .. } => follower("apply"),
        Event::Reject { .. } => follower("reject"),
        Event::Promise { .. } => follower("promise"),
        Event::Stage { .. } => follower("stage"),
        Event::Install { .. } => follower("install"),
        Event::Discard { .. } => follower("discard"),
        Event::LoseKey { .. } => follower("lose_key"),
        Event::Collect { .. } => any_node("collect"),
        Event::Crash => any_node("crash"),
        Event::Restart => any_node("restart"),
        Event::Cluster { .. } => require(node == NodeId::Network, "cluster", node, "the network"),
        Event::Fault { .. } => require(node == NodeId::Network, "fault", node, "the network"),
    }
}
