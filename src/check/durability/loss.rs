//! Why acknowledged data can be gone without a fault of the store.

use std::collections::BTreeMap;
use std::fmt;

use super::Check;
use crate::base::trace::{Disturbance, Micros, Record};
use crate::base::{FollowerId, Member, NodeId};
use crate::check::evidence::{At, count};
use crate::core::Configuration;

/// A documented cause of a loss, after more failures than the store tolerates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// An operator accepted the loss.
    Operator { at: Micros, remembering: usize, needed: usize },
    /// No follower had its memory, so that the cluster bootstrapped, empty.
    Bootstrap { needed: usize },
    /// A follower had lost the key without noticing.
    LostKey { remembering: usize, needed: usize },
    /// All followers lost their memory while two leaders ran, so that neither could be told from a deposed one.
    TwoLeaders { at: Micros },
    /// No node stores it, and the leader waits for an operator.
    Waits { remembering: usize, needed: usize },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memories = |remembering: &usize, needed: &usize| {
            let followers = count(*needed, "follower");
            format!("only {remembering} of the {followers} that a recovery takes had their memory")
        };
        match self {
            Self::Operator { at, remembering, needed } => {
                write!(f, "an operator accepted the loss at {}, when {}", At(*at), memories(remembering, needed))
            }
            Self::Bootstrap { needed } => {
                write!(f, "no follower had its memory, where a recovery takes {needed}, and the cluster began anew")
            }
            Self::LostKey { remembering, needed } => {
                let had = memories(remembering, needed);
                write!(f, "{had}, but for those that had lost the key without noticing")
            }
            Self::TwoLeaders { at } => write!(
                f,
                "all followers had lost their memory by {} while two leaders ran, and none of them could tell which one \
                 is the later",
                At(*at)
            ),
            Self::Waits { remembering, needed } => {
                write!(f, "{}, and the leader waits for an operator", memories(remembering, needed))
            }
        }
    }
}

/// What protects something from loss.
#[derive(Debug, Clone, Copy)]
pub(super) struct Protection {
    /// The incarnation of the leader under whose configuration it was stored last.
    pub(super) by: u64,
    /// The cause, once more has failed than the configuration tolerates.
    pub(super) cause: Option<Cause>,
}

impl Protection {
    pub(super) fn endanger(&mut self, cause: Option<Cause>) {
        self.cause = self.cause.or(cause);
    }
}

/// The failures and decisions that a loss can follow from.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// When an operator accepted a loss at a node that has not served since.
    accepted: BTreeMap<NodeId, Micros>,
    /// Since when no follower has known which of two leaders is the later.
    two_leaders: Option<Micros>,
}

impl Failures {
    /// What an operator accepted at this node was about an earlier start.
    pub(super) fn started(&mut self, node: NodeId) {
        self.accepted.remove(&node);
    }

    pub(super) fn follow(&mut self, kind: Disturbance, nodes: &[NodeId], at: Micros) {
        if kind == Disturbance::AcceptLoss {
            self.accepted.extend(nodes.iter().map(|node| (*node, at)));
        }
    }

    /// A node crashed: whether any follower has its memory still, and whether a former leader runs. True if two leaders
    /// cannot be told apart from now on.
    pub(super) fn memories(&mut self, any: bool, has_former: bool, at: Micros) -> bool {
        let begins = !any && has_former && self.two_leaders.is_none();
        if begins {
            self.two_leaders = Some(at);
        }
        begins
    }

    /// Whether that has ended.
    pub(super) fn is_settled(&mut self, has_former: bool) -> bool {
        !has_former && self.two_leaders.take().is_some()
    }

    pub(super) fn two_leaders(&self) -> Option<Cause> {
        self.two_leaders.map(|at| Cause::TwoLeaders { at })
    }
}

impl Check<'_> {
    /// Why a leader that has recovered may lack something that was stored under the configuration of this incarnation of a
    /// leader; `None` if it may not.
    pub(super) fn cause_of_loss(&self, record: &Record, by: u64, key: usize) -> Option<Cause> {
        let (remembering, needed) = self.memories_for(record.incarnation, by, key);
        if remembering >= needed {
            return None;
        }
        let has_memory = |member: &Member| self.replay.remembers(member.follower);
        let members = self.facts.members_of(record.incarnation);
        let unaware = self.count_of(record.incarnation, by, |id| self.replay.remembers(id));
        match self.failures.accepted.get(&record.node) {
            Some(at) => Some(Cause::Operator { at: *at, remembering, needed }),
            None if !members.iter().any(has_memory) => Some(Cause::Bootstrap { needed }),
            None if unaware >= needed => Some(Cause::LostKey { remembering, needed }),
            None => None,
        }
    }

    /// How many followers that this incarnation of a leader can ask have what was stored under an earlier configuration in
    /// their memory, or have learnt that it is not there; and how many must.
    pub(super) fn memories_for(&self, incarnation: u64, by: u64, key: usize) -> (usize, usize) {
        let has_lost = |id: FollowerId| self.lost_keys.iter().any(|(of, lost, _)| (*of, *lost) == (id, key));
        let remembering = self.count_of(incarnation, by, |id| self.replay.remembers(id) && !has_lost(id));
        let configuration = Configuration::of(self.facts.members_of(by).len(), self.facts.quorum_of(by));
        (remembering, configuration.recovery_quorum())
    }

    /// How many members of an incarnation's configuration are members of an earlier one, too, under the same name, and meet
    /// a condition.
    fn count_of(&self, incarnation: u64, by: u64, is: impl Fn(FollowerId) -> bool) -> usize {
        let of_then = self.facts.members_of(by);
        let is_among = |member: &&Member| of_then.iter().any(|then| then.name() == member.name());
        let members = self.facts.members_of(incarnation);
        members.iter().filter(is_among).filter(|member| is(member.follower)).count()
    }
}
