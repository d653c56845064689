mod raw;
mod rpc;
mod when;

pub use rpc::{RpcEffect, RpcTarget};
pub use when::{Trigger, When};

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::require_ms;
use crate::base::trace::OperationId;
use crate::base::{FollowerId, Key, Member, NodeId, NodeRef};
use raw::RawFault;

/// Something that happens to the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawFault", into = "RawFault")]
pub struct Fault {
    /// When it begins, in milliseconds. Of a fault that waits for an event: from when on.
    pub at_ms: u64,
    /// When a fault of messages ends; without it, when everything is healed.
    pub until_ms: Option<u64>,
    /// The event that it waits for, in place of a time.
    pub when: Option<When>,
    /// What happens.
    pub kind: FaultKind,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The node is killed; what it had in memory is lost.
    Crash(NodeRef),
    /// The node is started again, empty.
    Restart(NodeRef),
    /// The node stops, with its memory, and knows nothing of it. Core engine only.
    Pause(NodeRef),
    /// The node goes on.
    Resume(NodeRef),
    /// What goes between the node and the others is held back, both ways.
    Hold(NodeRef),
    /// It is let go.
    Release(NodeRef),
    /// What goes between two sets of nodes is lost.
    Partition(Links),
    /// It is not lost any more.
    Heal(Links),
    /// A link, or every link of a node to other nodes, takes this long, one way.
    Slow {
        /// The node, or one end of the link.
        node: NodeRef,
        /// The other end.
        to: Option<NodeRef>,
        /// Milliseconds, one way.
        latency_ms: u64,
        /// Whether only what `node` sends takes this long. Core engine only.
        one_way: bool,
    },
    /// Messages do not arrive.
    Drop(Target),
    /// Messages arrive, but the answers to them do not.
    DropReply(Target),
    /// Messages arrive twice.
    Duplicate {
        /// Which.
        target: Target,
        /// How long the copies take, in milliseconds; drawn, if that is not said.
        delay_ms: Option<u64>,
    },
    /// Messages take this long.
    Delay {
        /// Which.
        target: Target,
        /// Milliseconds.
        delay_ms: u64,
    },
    /// Something happens to peer RPCs: the requests of a leader to a follower that carry no write, and their responses.
    Rpc {
        /// Which.
        target: RpcTarget,
        /// What.
        effect: RpcEffect,
    },
    /// A client hangs up.
    Disconnect {
        /// On this operation.
        operation: OperationName,
        /// After this many milliseconds.
        after_ms: u64,
    },
    /// A node's clock runs at another rate. Core engine only.
    Clock {
        /// The node.
        node: NodeRef,
        /// Thousandths of the true rate.
        rate_per_mille: u64,
    },
    /// From its next start on the leader has this quorum: so many followers must confirm a write.
    Quorum(usize),
    /// From its next start on the leader has these members.
    Members(Vec<Member>),
    /// An operator accepts at a leader that what only missing followers know is lost.
    AcceptLoss(NodeRef),
    /// A follower loses what it stores for a key and does not notice. Core engine only.
    LoseKey {
        /// The follower.
        follower: FollowerId,
        /// The key.
        key: Key,
    },
    /// From then on a follower's name leads to another one, as when addresses have changed hands and not everybody has noticed: so
    /// do new connections of leaders; those that nobody uses now are closed. It is over when the name leads to the follower itself
    /// again; what is connected by then stays so. Core engine only.
    Misdirect {
        /// The follower.
        follower: FollowerId,
        /// Whom whoever looks for it finds.
        to: FollowerId,
    },
    /// Another node is started as the leader while the present one still runs, as when an operator takes a node for dead that
    /// is only out of reach. From then on [`NodeRef::Leader`] is the new node, and the one before is [`NodeRef::Former`]; once
    /// everything is healed, all but the new one are stopped. Core engine only.
    Replace {
        /// The clients that continue to call the leader that they called before.
        keeps: Vec<NodeId>,
    },
}

/// Two sets of nodes, and in which direction something happens between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Links {
    /// One set.
    pub from: Vec<NodeRef>,
    /// The other.
    pub to: Vec<NodeRef>,
    /// Only what goes from the one to the other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_way: bool,
}

/// Which messages that carry a write. What is not named does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Those of this operation.
    pub operation: Option<OperationName>,
    /// Those to this follower.
    pub to: Option<NodeRef>,
    /// Those of this attempt.
    pub attempt: Option<u32>,
    /// This many in a thousand of them.
    pub per_mille: u16,
}

fn all() -> u16 {
    1000
}

fn is_all(per_mille: &u16) -> bool {
    *per_mille == all()
}

/// An operation, by its client and its number among those of that client: `c1#3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperationName {
    /// The client, counted from 0.
    pub client: u16,
    /// The number, counted from 1.
    pub number: OperationId,
}

impl fmt::Display for OperationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", NodeId::Client(self.client), self.number)
    }
}

impl FromStr for OperationName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (client, number) = text.strip_prefix('c')?.split_once('#')?;
            let client = u16::try_from(client.parse::<u32>().ok()?.checked_sub(1)?).ok()?;
            Some(Self { client, number: number.parse().ok().filter(|number| *number > 0)? })
        };
        parse().ok_or_else(|| format!("{text:?} does not name an operation; the third of the first client is c1#3"))
    }
}

impl TryFrom<String> for OperationName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<OperationName> for String {
    fn from(name: OperationName) -> Self {
        name.to_string()
    }
}

impl FaultKind {
    /// The names of the kinds, as they stand in a file.
    pub const NAMES: [&str; 21] = [
        "crash",
        "restart",
        "pause",
        "resume",
        "hold",
        "release",
        "partition",
        "heal",
        "slow",
        "drop",
        "drop_reply",
        "duplicate",
        "delay",
        "disconnect",
        "clock",
        "replace",
        "quorum",
        "misdirect",
        "members",
        "accept_loss",
        "lose_key",
    ];

    /// The name of the kind, as it stands in a file.
    pub fn name(&self) -> &'static str {
        let place = match self {
            Self::Crash(_) => 0,
            Self::Restart(_) => 1,
            Self::Pause(_) => 2,
            Self::Resume(_) => 3,
            Self::Hold(_) => 4,
            Self::Release(_) => 5,
            Self::Partition(_) => 6,
            Self::Heal(_) => 7,
            Self::Slow { .. } => 8,
            Self::Drop(_) => 9,
            Self::DropReply(_) => 10,
            Self::Duplicate { .. } => 11,
            Self::Delay { .. } => 12,
            Self::Rpc { effect, .. } => match effect {
                RpcEffect::Drop => 9,
                RpcEffect::DropReply => 10,
                RpcEffect::Duplicate { .. } => 11,
                RpcEffect::Delay { .. } => 12,
            },
            Self::Disconnect { .. } => 13,
            Self::Clock { .. } => 14,
            Self::Replace { .. } => 15,
            Self::Quorum(_) => 16,
            Self::Misdirect { .. } => 17,
            Self::Members(_) => 18,
            Self::AcceptLoss(_) => 19,
            Self::LoseKey { .. } => 20,
        };
        Self::NAMES[place]
    }

    /// The nodes that it names.
    pub(in crate::sim) fn nodes(&self) -> Vec<NodeRef> {
        match self {
            Self::Crash(node) | Self::Restart(node) | Self::Pause(node) | Self::Resume(node) => vec![*node],
            Self::Hold(node) | Self::Release(node) | Self::Clock { node, .. } | Self::AcceptLoss(node) => vec![*node],
            Self::Members(members) => members.iter().map(|member| member.follower.into()).collect(),
            Self::LoseKey { follower, .. } => vec![(*follower).into()],
            Self::Partition(links) | Self::Heal(links) => [links.from.as_slice(), links.to.as_slice()].concat(),
            Self::Slow { node, to, .. } => [*node].into_iter().chain(*to).collect(),
            Self::Misdirect { follower, to } => vec![(*follower).into(), (*to).into()],
            Self::Drop(_) | Self::DropReply(_) | Self::Duplicate { .. } | Self::Delay { .. } => {
                self.target().and_then(|target| target.to).into_iter().collect()
            }
            Self::Rpc { target, .. } => target.from.map(NodeRef::from).into_iter().chain(target.to).collect(),
            Self::Disconnect { .. } | Self::Replace { .. } | Self::Quorum(_) => Vec::new(),
        }
    }

    /// The operation that it names.
    pub(in crate::sim) fn operation(&self) -> Option<OperationName> {
        match self {
            Self::Disconnect { operation, .. } => Some(*operation),
            _ => self.target().and_then(|target| target.operation),
        }
    }

    /// Whether it acts on messages, as long as it is on.
    pub(in crate::sim) fn acts_on_messages(&self) -> bool {
        self.target().is_some() || matches!(self, Self::Rpc { .. })
    }

    /// Whether it happens to nodes or links at its time, rather than to messages or to a client's call.
    pub(in crate::sim) fn is_timed(&self) -> bool {
        !self.acts_on_messages() && !matches!(self, Self::Disconnect { .. })
    }

    /// Calls this with each node that it names.
    pub(in crate::sim) fn for_each_node(&mut self, mut change: impl FnMut(&mut NodeRef)) {
        match self {
            Self::Crash(node) | Self::Restart(node) | Self::Pause(node) | Self::Resume(node) => change(node),
            Self::Hold(node) | Self::Release(node) | Self::Clock { node, .. } | Self::AcceptLoss(node) => change(node),
            Self::Members(members) => {
                members.iter_mut().for_each(|member| change_follower(&mut member.follower, &mut change));
            }
            Self::LoseKey { follower, .. } => change_follower(follower, &mut change),
            Self::Partition(links) | Self::Heal(links) => links.from.iter_mut().chain(&mut links.to).for_each(change),
            Self::Slow { node, to, .. } => [node].into_iter().chain(to).for_each(change),
            Self::Misdirect { follower, to } => {
                for id in [follower, to] {
                    change_follower(id, &mut change);
                }
            }
            Self::Drop(target) | Self::DropReply(target) => target.to.iter_mut().for_each(change),
            Self::Duplicate { target, .. } | Self::Delay { target, .. } => target.to.iter_mut().for_each(change),
            // Its sender is a node that can lead, and keeps its name.
            Self::Rpc { target, .. } => target.to.iter_mut().for_each(change),
            Self::Disconnect { .. } | Self::Replace { .. } | Self::Quorum(_) => {}
        }
    }

    /// Calls this with the operation that it names.
    pub(in crate::sim) fn for_operation(&mut self, change: impl FnMut(&mut OperationName)) {
        let operation = match self {
            Self::Drop(target) | Self::DropReply(target) => target.operation.as_mut(),
            Self::Duplicate { target, .. } | Self::Delay { target, .. } => target.operation.as_mut(),
            Self::Disconnect { operation, .. } => Some(operation),
            _ => None,
        };
        operation.into_iter().for_each(change);
    }

    /// The messages that carry a write on which it acts, if it acts on such.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Drop(target) | Self::DropReply(target) => Some(target),
            Self::Duplicate { target, .. } | Self::Delay { target, .. } => Some(target),
            _ => None,
        }
    }
}

/// Changes a follower as the node that it is.
fn change_follower(id: &mut FollowerId, change: &mut impl FnMut(&mut NodeRef)) {
    let mut node = NodeRef::from(*id);
    change(&mut node);
    if let NodeRef::Node(NodeId::Follower(changed)) = node {
        *id = changed;
    }
}

/// The rates that a clock can have, in thousandths of the true one: a clock that stands still is a node that is paused.
const RATES: std::ops::RangeInclusive<u64> = 1..=100_000;

impl Fault {
    /// Something that happens at this time, in milliseconds.
    pub fn at(at_ms: u64, kind: FaultKind) -> Self {
        Self { at_ms, until_ms: None, when: None, kind }
    }

    /// The nodes that it names.
    pub(in crate::sim) fn nodes(&self) -> Vec<NodeRef> {
        let of_trigger = self.when.and_then(|when| when.trigger.follower()).map(NodeRef::from);
        self.kind.nodes().into_iter().chain(of_trigger).collect()
    }

    /// Calls this with each node that it names, except those that can lead where a name must be theirs.
    pub(in crate::sim) fn for_each_node(&mut self, mut change: impl FnMut(&mut NodeRef)) {
        self.kind.for_each_node(&mut change);
        if let Some(id) = self.when.as_mut().and_then(|when| when.trigger.follower_mut()) {
            let mut node = NodeRef::from(*id);
            change(&mut node);
            if let NodeRef::Node(NodeId::Follower(changed)) = node {
                *id = changed;
            }
        }
    }

    /// The operations that it names.
    pub(in crate::sim) fn operations(&self) -> impl Iterator<Item = OperationName> + use<> {
        let of_trigger = self.when.and_then(|when| when.trigger.operation());
        self.kind.operation().into_iter().chain(of_trigger)
    }

    /// Calls this with each operation that it names.
    pub(in crate::sim) fn for_each_operation(&mut self, mut change: impl FnMut(&mut OperationName)) {
        self.kind.for_operation(&mut change);
        self.when.iter_mut().filter_map(|when| when.trigger.operation_mut()).for_each(change);
    }

    /// What tells the draws of this fault from those of others: its own text, so that taking another away changes none.
    pub(in crate::sim) fn salt(&self) -> u64 {
        xxh3_64(toml::to_string(self).expect("a fault can be written as TOML").as_bytes())
    }

    pub(super) fn check(&self) -> Result<(), String> {
        require_ms("at_ms", self.at_ms)?;
        require_ms("until_ms", self.until_ms.unwrap_or(0))?;
        match &self.kind {
            FaultKind::Slow { latency_ms, .. } => require_ms("slow.latency_ms", *latency_ms)?,
            FaultKind::Delay { delay_ms, .. } => require_ms("delay.delay_ms", *delay_ms)?,
            FaultKind::Duplicate { delay_ms, .. } => require_ms("duplicate.delay_ms", delay_ms.unwrap_or(0))?,
            FaultKind::Disconnect { after_ms, .. } => require_ms("disconnect.after_ms", *after_ms)?,
            FaultKind::Clock { rate_per_mille, .. } if !RATES.contains(rate_per_mille) => {
                let (slowest, fastest) = (RATES.start(), RATES.end());
                return Err(format!(
                    "clock.rate_per_mille = {rate_per_mille}: must be {slowest} to {fastest}; 1000 is the true rate"
                ));
            }
            _ => {}
        }
        if let FaultKind::Slow { node, to: Some(to), .. } = &self.kind
            && node == to
        {
            return Err(format!(
                "slow.to = \"{to}\": must be another node than slow.node; a node has no link to itself"
            ));
        }
        self.check_when()?;
        if let Some(until) = self.until_ms {
            if !self.kind.acts_on_messages() {
                return Err(format!("until_ms goes with faults of messages, not with {}", self.kind.name()));
            }
            if self.when.is_some() {
                return Err("until_ms goes with at_ms; a fault that waits for an event lasts for_ms".into());
            }
            if until <= self.at_ms {
                return Err(format!("until_ms = {until} is not after at_ms = {}", self.at_ms));
            }
        }
        if let Some(target) = self.kind.target() {
            check_share(target.per_mille, target.to)?;
            if target.attempt == Some(0) {
                return Err("attempt = 0: attempts are counted from 1".into());
            }
        }
        if let FaultKind::Rpc { target, effect } = &self.kind {
            check_share(target.per_mille, target.to)?;
            if target.number == Some(0) {
                return Err("number = 0: RPCs of a kind are counted from 1".into());
            }
            if let Some(from) = target.from.filter(|from| !from.can_lead()) {
                return Err(format!(
                    "from = \"{from}\": only nodes that can lead send RPCs, which are called n1, n2, …"
                ));
            }
            match effect {
                RpcEffect::Drop | RpcEffect::DropReply => {}
                RpcEffect::Duplicate { delay_ms } => require_ms("duplicate.delay_ms", delay_ms.unwrap_or(0))?,
                RpcEffect::Delay { delay_ms } => require_ms("delay.delay_ms", *delay_ms)?,
            }
        }
        if let FaultKind::Replace { keeps } = &self.kind
            && let Some(node) = keeps.iter().find(|node| !matches!(node, NodeId::Client(_)))
        {
            return Err(format!("replace.keeps: {node} is no client; clients are called c1, c2, …"));
        }
        if let FaultKind::AcceptLoss(NodeRef::Node(node)) = self.kind
            && !node.can_lead()
        {
            return Err(format!("accept_loss = \"{node}\": a loss is accepted at a node that can lead"));
        }
        if let FaultKind::Members(members) = &self.kind {
            if members.is_empty() {
                return Err("members = []: a leader needs at least one".into());
            }
            for (place, member) in members.iter().enumerate() {
                let before = &members[..place];
                if before.iter().any(|other| other.follower == member.follower || other.name() == member.name()) {
                    return Err(format!("members: {member} is a member twice, by its node or by its name"));
                }
            }
        }
        if let FaultKind::Partition(links) | FaultKind::Heal(links) = &self.kind {
            if links.from.is_empty() || links.to.is_empty() {
                return Err("both from and to need at least one node".into());
            }
            if let Some(node) = links.from.iter().find(|node| links.to.contains(node)) {
                return Err(format!("{node} is on both sides"));
            }
        }
        Ok(())
    }

    /// Checks the event that the fault waits for.
    fn check_when(&self) -> Result<(), String> {
        let Some(When { trigger: _, after_ms, for_ms }) = self.when else { return Ok(()) };
        require_ms("after_ms", after_ms)?;
        require_ms("for_ms", for_ms.unwrap_or(0))?;
        if for_ms == Some(0) {
            return Err("for_ms = 0: must be at least 1".into());
        }
        if for_ms.is_some() && !self.kind.acts_on_messages() {
            return Err(format!("for_ms goes with faults of messages, not with {}", self.kind.name()));
        }
        if let FaultKind::Disconnect { .. } = self.kind {
            return Err("disconnect waits for no event: its after_ms counts from when the operation is invoked".into());
        }
        Ok(())
    }
}

/// Refuses a share above 1000, and a destination that is no follower.
fn check_share(per_mille: u16, to: Option<NodeRef>) -> Result<(), String> {
    if per_mille > 1000 {
        return Err(format!("per_mille = {per_mille}: must be 0 to 1000"));
    }
    if let Some(to) = to.filter(|to| !matches!(to, NodeRef::Node(NodeId::Follower(_)))) {
        return Err(format!("messages of a leader go to followers; to = \"{to}\" is no follower"));
    }
    Ok(())
}
