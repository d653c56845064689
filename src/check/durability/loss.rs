//! Why acknowledged data can be gone without a fault of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Check;
use crate::base::trace::{Disturbance, Event, Micros, Record};
use crate::base::{FollowerId, Member, NodeId, Stamp, Value};
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
    /// It took a follower to acknowledge it that was counted under the name of another one.
    OtherName { follower: FollowerId },
    /// The leader recovered what another follower stores than the one that has this name.
    MovedName { name: FollowerId },
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
                let followers = count(*needed, "follower");
                write!(f, "an operator accepted the loss at {}, and the leader went on with {remembering} ", At(*at))?;
                write!(f, "of the {followers} that a recovery takes")
            }
            Self::Bootstrap { needed } => {
                write!(f, "no follower had its memory, where a recovery takes {needed}, and the cluster began anew")
            }
            Self::LostKey { remembering, needed } => {
                let had = memories(remembering, needed);
                write!(f, "{had}, but for those that had lost the key without noticing")
            }
            Self::OtherName { follower } => {
                write!(f, "{follower}, which confirmed it, was counted under the name of another follower")
            }
            Self::MovedName { name } => {
                write!(f, "the name of {name} led to another follower when the leader asked what is stored")
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
    /// A follower that counted for that under the name of another one, where too few did under their own.
    pub(super) outsider: Option<FollowerId>,
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
    /// The followers to which names of others have led.
    with_other_names: BTreeSet<FollowerId>,
    /// Until when each name led to another follower; none if it does still.
    moved_until: BTreeMap<FollowerId, Option<Micros>>,
    /// When each node that can lead began to ask what followers store.
    asks_since: BTreeMap<NodeId, Micros>,
}

impl Failures {
    /// What an operator accepted at this node was about an earlier start.
    pub(super) fn started(&mut self, node: NodeId, at: Micros) {
        self.accepted.remove(&node);
        self.asks_since.insert(node, at);
    }

    pub(super) fn follow(&mut self, kind: Disturbance, nodes: &[NodeId], at: Micros) {
        match (kind, nodes) {
            (Disturbance::AcceptLoss, nodes) => self.accepted.extend(nodes.iter().map(|node| (*node, at))),
            (Disturbance::Misdirect, [NodeId::Follower(name), NodeId::Follower(to)]) => {
                self.with_other_names.insert(*to);
                self.moved_until.insert(*name, None);
            }
            (Disturbance::Redirect | Disturbance::Heal, nodes) => {
                let is_over = |name: FollowerId| kind == Disturbance::Heal || nodes.contains(&name.into());
                let moved = self.moved_until.iter_mut().filter(|(name, until)| is_over(**name) && until.is_none());
                moved.for_each(|(_, until)| *until = Some(at));
            }
            _ => {}
        }
    }

    /// One of these names that has led to another follower since the node began to ask what is stored.
    fn moved_name(&self, names: &[FollowerId], node: NodeId) -> Option<FollowerId> {
        let since = self.asks_since.get(&node).copied().unwrap_or_default();
        let has_moved = |name: &&FollowerId| {
            self.moved_until.get(name).is_some_and(|until| until.is_none_or(|until| until >= since))
        };
        names.iter().find(has_moved).copied()
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
    /// Why a leader that has recovered may lack something of this key that was protected so; `None` if it may not.
    pub(super) fn cause_of_loss(&self, record: &Record, protection: &Protection, key: usize) -> Option<Cause> {
        let Event::Recovered { from, .. } = &record.event else { return None };
        let by = protection.by;
        let (remembering, needed) = self.memories_for(record.incarnation, by, key);
        if let Some(at) = self.failures.accepted.get(&record.node) {
            let asked = self.count_of(record.incarnation, by, |id| from.contains(&id) && !self.replay.lacks(id, key));
            let (at, remembering) = (*at, asked.min(remembering));
            return (remembering < needed).then_some(Cause::Operator { at, remembering, needed });
        }
        if remembering >= needed {
            let other_name = protection.outsider.map(|follower| Cause::OtherName { follower });
            let moved_name = || self.failures.moved_name(from, record.node).map(|name| Cause::MovedName { name });
            return other_name.or_else(moved_name);
        }
        let has_memory = |member: &Member| self.replay.remembers(member.follower);
        let members = self.facts.members_of(record.incarnation);
        let unaware = self.count_of(record.incarnation, by, |id| self.replay.remembers(id));
        if !members.iter().any(has_memory) {
            return Some(Cause::Bootstrap { needed });
        }
        (unaware >= needed).then_some(Cause::LostKey { remembering, needed })
    }

    /// The protection of what becomes known under this incarnation of a leader, and is stored by these followers.
    pub(super) fn protection(&self, life: u64, holders: &[FollowerId]) -> Protection {
        let members = self.facts.members_of(life);
        let is_member = |id: &&FollowerId| members.iter().any(|member| member.follower == **id);
        let is_known_otherwise = |id: &&FollowerId| !is_member(id) && self.failures.with_other_names.contains(*id);
        let suffice = holders.iter().filter(is_member).count() >= self.facts.quorum_of(life);
        let outsider = holders.iter().find(is_known_otherwise).copied().filter(|_| !suffice);
        Protection { by: life, outsider, cause: self.failures.two_leaders() }
    }

    /// The followers that store this of a key, or something later.
    pub(super) fn who_keep(&self, key: usize, stamp: Stamp, value: Option<&Value>) -> Vec<FollowerId> {
        let keeps = |id: &FollowerId| {
            let held = self.replay.held(NodeId::from(*id), key);
            held.is_some_and(|held| held.stamp > stamp || (held.stamp == stamp && held.value == value))
        };
        FollowerId::first(self.facts.all_followers()).filter(keeps).collect()
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
