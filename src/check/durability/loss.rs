//! Why acknowledged data can be gone without a fault of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Check;
use crate::base::trace::{Disturbance, Event, Micros, Record};
use crate::base::{FollowerId, Member, NodeId};
use crate::check::evidence::{At, count};
use crate::check::replay::Held;
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
    /// Somebody stores it who was counted under a name that leads to another follower now.
    OtherName { follower: FollowerId },
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
                write!(
                    f,
                    "{follower} stores it, and was counted under the name of a follower to which that leads no more"
                )
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
    /// The followers to which names of others have led.
    with_other_names: BTreeSet<FollowerId>,
}

impl Failures {
    /// What an operator accepted at this node was about an earlier start.
    pub(super) fn started(&mut self, node: NodeId) {
        self.accepted.remove(&node);
    }

    pub(super) fn follow(&mut self, kind: Disturbance, nodes: &[NodeId], at: Micros) {
        match (kind, nodes) {
            (Disturbance::AcceptLoss, nodes) => self.accepted.extend(nodes.iter().map(|node| (*node, at))),
            (Disturbance::Misdirect, [_, NodeId::Follower(to)]) => drop(self.with_other_names.insert(*to)),
            _ => {}
        }
    }

    fn has_had_other_names(&self, follower: FollowerId) -> bool {
        self.with_other_names.contains(&follower)
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
    /// Why a leader that has recovered may lack a write, or whatever has this key, that was stored under the configuration of this
    /// incarnation of a leader; `None` if it may not.
    pub(super) fn cause_of_loss(
        &self,
        record: &Record,
        by: u64,
        key: usize,
        stores: impl Fn(Held<'_>) -> bool,
    ) -> Option<Cause> {
        let Event::Recovered { from, .. } = &record.event else { return None };
        let (remembering, needed) = self.memories_for(record.incarnation, by, key);
        if let Some(at) = self.failures.accepted.get(&record.node) {
            let asked = self.count_of(record.incarnation, by, |id| from.contains(&id) && !self.replay.lacks(id, key));
            let (at, remembering) = (*at, asked.min(remembering));
            return (remembering < needed).then_some(Cause::Operator { at, remembering, needed });
        }
        if remembering >= needed {
            return self.counted_under_another_name(by, key, stores);
        }
        let has_memory = |member: &Member| self.replay.remembers(member.follower);
        let members = self.facts.members_of(record.incarnation);
        let unaware = self.count_of(record.incarnation, by, |id| self.replay.remembers(id));
        if !members.iter().any(has_memory) {
            return Some(Cause::Bootstrap { needed });
        }
        (unaware >= needed).then_some(Cause::LostKey { remembering, needed })
    }

    /// A follower that stores something for a key and is no member of the configuration of this incarnation of a leader: it was
    /// counted under the name of one that is.
    fn counted_under_another_name(&self, by: u64, key: usize, stores: impl Fn(Held<'_>) -> bool) -> Option<Cause> {
        let members = self.facts.members_of(by);
        let is_member = |id: &FollowerId| members.iter().any(|member| member.follower == *id);
        let holders = FollowerId::first(self.facts.all_followers())
            .filter(|id| self.replay.remembers(*id) && self.replay.held(NodeId::from(*id), key).is_some_and(&stores));
        let mut outsiders = holders.filter(|id| !is_member(id) && self.failures.has_had_other_names(*id));
        outsiders.next().map(|follower| Cause::OtherName { follower })
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
