//! Why acknowledged data can be gone without a fault of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Check;
use crate::base::trace::{Disturbance, Event, Micros, Record};
use crate::base::{Epoch, FollowerId, Member, NodeId, Stamp, Value};
use crate::check::LossCause;
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

impl Cause {
    /// The kind of the cause, without its details.
    pub(super) fn kind(self) -> LossCause {
        match self {
            Self::Operator { .. } => LossCause::AcceptedLoss,
            Self::Bootstrap { .. } => LossCause::NoMemory,
            Self::LostKey { .. } => LossCause::LostKey,
            Self::OtherName { .. } => LossCause::OtherName,
            Self::MovedName { .. } => LossCause::MovedName,
            Self::TwoLeaders { .. } => LossCause::TwoLeaders,
            Self::Waits { .. } => LossCause::LeaderWaits,
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
    /// Until when the name of each follower led to another one; none if it does still.
    moved_until: BTreeMap<FollowerId, Option<Micros>>,
    /// Until when a name of others led to each follower; none if one does still.
    had_other_name_until: BTreeMap<FollowerId, Option<Micros>>,
    /// Where the names lead that lead to another follower.
    leads_to: BTreeMap<FollowerId, FollowerId>,
    /// The incarnations of leaders that have served.
    served: BTreeSet<u64>,
    /// When each incarnation of a leader began.
    began: BTreeMap<u64, Micros>,
    /// When each follower promised what to which incarnation of a leader.
    promised: BTreeMap<(u64, Epoch), BTreeMap<FollowerId, Micros>>,
}

impl Failures {
    /// What an operator accepted at this node was about an earlier start.
    pub(super) fn started(&mut self, node: NodeId) {
        self.accepted.remove(&node);
    }

    pub(super) fn served(&mut self, life: u64) {
        self.served.insert(life);
    }

    pub(super) fn began(&mut self, life: u64, at: Micros) {
        self.began.insert(life, at);
    }

    pub(super) fn promised(&mut self, by: FollowerId, leader: u64, epoch: Epoch, at: Micros) {
        self.promised.entry((leader, epoch)).or_default().insert(by, at);
    }

    pub(super) fn follow(&mut self, kind: Disturbance, nodes: &[NodeId], at: Micros) {
        match (kind, nodes) {
            (Disturbance::AcceptLoss, nodes) => self.accepted.extend(nodes.iter().map(|node| (*node, at))),
            (Disturbance::Misdirect, [NodeId::Follower(name), NodeId::Follower(to)]) => {
                self.end_names(&[*name], at);
                self.moved_until.insert(*name, None);
                self.had_other_name_until.insert(*to, None);
                self.leads_to.insert(*name, *to);
            }
            (Disturbance::Redirect, nodes) => {
                let names: Vec<FollowerId> = nodes.iter().filter_map(|node| follower_of(*node)).collect();
                self.end_names(&names, at);
            }
            (Disturbance::Heal, _) => {
                let names: Vec<FollowerId> = self.leads_to.keys().copied().collect();
                self.end_names(&names, at);
            }
            _ => {}
        }
    }

    /// These names lead to no other followers any more.
    fn end_names(&mut self, names: &[FollowerId], at: Micros) {
        for name in names {
            let Some(to) = self.leads_to.remove(name) else { continue };
            self.moved_until.insert(*name, Some(at));
            if !self.leads_to.values().any(|other| *other == to) {
                self.had_other_name_until.insert(to, Some(at));
            }
        }
    }

    /// Whether a follower has had the name of another one since this incarnation of a leader began.
    fn has_had_other_name(&self, follower: FollowerId, life: u64) -> bool {
        let since = self.began.get(&life).copied().unwrap_or_default();
        self.had_other_name_until.get(&follower).is_some_and(|until| until.is_none_or(|until| until >= since))
    }

    /// Whether what a leader was told under this name was told by the follower of that name.
    fn spoke_for_itself(&self, name: FollowerId, leader: u64, epoch: Epoch) -> bool {
        let Some(moved_until) = self.moved_until.get(&name) else { return true };
        let promised = self.promised.get(&(leader, epoch)).and_then(|promised| promised.get(&name));
        promised.zip(*moved_until).is_some_and(|(promised, until)| *promised > until)
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

fn follower_of(node: NodeId) -> Option<FollowerId> {
    match node {
        NodeId::Follower(follower) => Some(follower),
        NodeId::Server(_) | NodeId::Client(_) | NodeId::Network => None,
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
            let moved_name = || self.moved_name(record, by, key, needed);
            return other_name.or_else(moved_name).or_else(|| self.asked_who_lost_it(record, by, key, needed));
        }
        let has_memory = |member: &Member| self.replay.remembers(member.follower);
        let members = self.facts.members_of(record.incarnation);
        let unaware = self.count_of(record.incarnation, by, |id| self.replay.remembers(id));
        // A leader that has served knows that there was something, and waits.
        if !members.iter().any(has_memory) && !self.failures.served.contains(&record.incarnation) {
            return Some(Cause::Bootstrap { needed });
        }
        (unaware >= needed).then_some(Cause::LostKey { remembering, needed })
    }

    /// Whether too few of those that the leader asked had not lost the key without noticing.
    fn asked_who_lost_it(&self, record: &Record, by: u64, key: usize, needed: usize) -> Option<Cause> {
        let Event::Recovered { from, .. } = &record.event else { return None };
        let is_asked = |id: FollowerId| from.contains(&id) && self.replay.remembers(id);
        let asked = self.count_of(record.incarnation, by, is_asked);
        let remembering = self.count_of(record.incarnation, by, |id| is_asked(id) && !self.replay.lacks(id, key));
        (remembering < needed && asked >= needed).then_some(Cause::LostKey { remembering, needed })
    }

    /// A name that led to another follower when the leader asked what is stored, if too few followers that remember were asked under
    /// their own names.
    fn moved_name(&self, record: &Record, by: u64, key: usize, needed: usize) -> Option<Cause> {
        let Event::Recovered { from, epoch, .. } = &record.event else { return None };
        let spoke = |id: FollowerId| self.failures.spoke_for_itself(id, record.incarnation, *epoch);
        let is_certain = |id: FollowerId| {
            from.contains(&id) && spoke(id) && self.replay.remembers(id) && !self.replay.lacks(id, key)
        };
        let asked = self.count_of(record.incarnation, by, |id| from.contains(&id));
        if asked < needed || self.count_of(record.incarnation, by, is_certain) >= needed {
            return None;
        }
        from.iter().copied().find(|id| !spoke(*id)).map(|name| Cause::MovedName { name })
    }

    /// The protection of what becomes known under this incarnation of a leader, and is stored by these followers, which are asked
    /// for only where names have moved.
    pub(super) fn protection(&self, life: u64, holders: impl FnOnce() -> Vec<FollowerId>) -> Protection {
        let cause = self.failures.two_leaders();
        if self.failures.had_other_name_until.is_empty() {
            return Protection { by: life, outsider: None, cause };
        }
        let holders = holders();
        let members = self.facts.members_of(life);
        let is_member = |id: &&FollowerId| members.iter().any(|member| member.follower == **id);
        let is_known_otherwise = |id: &&FollowerId| !is_member(id) && self.failures.has_had_other_name(**id, life);
        let suffice = holders.iter().filter(is_member).count() >= self.facts.quorum_of(life);
        let outsider = holders.iter().find(is_known_otherwise).copied().filter(|_| !suffice);
        Protection { by: life, outsider, cause }
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
