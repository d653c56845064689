//! How a leader brings a follower up to date that has lost its memory, was not among those that it recovered from, or stores
//! something else.
//!
//! It is sent everything, part by part, or what is in the buckets that differ; or it is told to give what it stores the stamps of
//! the leader's epoch, if that is all that differs. Writes that are accepted meanwhile are sent to it afterwards.

use std::time::Duration;

use super::vocabulary::{News, Output};
use super::{Leader, Open, Peer};
use crate::base::trace::WriteId;
use crate::base::{FollowerId, Key, Stamp, Version};
use crate::core::ask::{Item, Last, Question, SnapshotId, Standing};
use crate::core::digest::{Buckets, Summary};
use crate::core::follower::page;

/// Whether a follower has what the leader has.
#[derive(Debug, Clone, Default)]
pub(super) enum Sync {
    /// No, or nobody knows.
    #[default]
    Behind,
    /// It is being brought up to date.
    Pushing(Box<Snapshot>),
    /// It has every write that it was not sent since.
    Current,
    /// It does not know epochs: it gets writes, and counts for nothing.
    Legacy {
        /// Whether it was found to store nothing.
        is_empty: bool,
    },
}

/// What is being pushed to a follower.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    number: SnapshotId,
    part: u64,
    /// Up to where it has been taken, and what that comes to.
    taken: (Option<Key>, Summary),
    /// The same once the part that is under way has been.
    with_part: (Option<Key>, Summary),
    /// The part that is under way, to be sent again as it is: the follower may have it already, and what has been written since
    /// comes to it afterwards.
    under_way: Option<Question>,
    /// The last write that was accepted before it began, if it holds everything: what it holds is not older. 0 if it does not.
    covers: WriteId,
    /// How many rounds of collecting deletions had begun by then.
    as_of: u64,
    /// The greatest version of a deletion when it began.
    floor: Option<Version>,
    /// If only buckets are pushed that differ from these.
    against: Option<Buckets>,
    /// Whether the follower stores the same already, but for the stamps.
    adopts: bool,
}

impl Snapshot {
    /// The follower has the part that was under way.
    pub(super) fn part_is_taken(&mut self) {
        self.part += 1;
        self.taken = self.with_part.clone();
        self.under_way = None;
    }

    /// How many keys the follower has taken.
    pub(super) fn taken_keys(&self) -> usize {
        let (_, taken) = &self.taken;
        usize::try_from(taken.keys).unwrap_or(usize::MAX)
    }

    /// Whether the follower only gives new stamps to what it stores.
    pub(super) fn adopts(&self) -> bool {
        self.adopts
    }

    /// Everything that decides what is pushed next.
    pub(super) fn behaviour(&self) -> impl std::hash::Hash + '_ {
        let Self { number, part, taken, with_part, under_way, covers, as_of, floor, against, adopts } = self;
        (number, part, taken, with_part, under_way, covers, as_of, floor, against, adopts)
    }
}

impl Leader {
    /// Begins to bring a follower up to date: with everything, or with the buckets that differ from these.
    pub(super) fn push(&mut self, to: FollowerId, against: Option<Buckets>) {
        let adopts = against.is_none() && self.can_adopt(to);
        // Of some buckets only, nothing is known of the rest.
        let covers = if against.is_some() { 0 } else { self.last_write };
        let (floor, as_of) = (self.floor, self.collections);
        let Peer { link, resender, .. } = &mut self.peers[to];
        resender.begin_snapshot();
        link.pushes += 1;
        link.sync = Sync::Pushing(Box::new(Snapshot {
            number: SnapshotId::nth(to, link.pushes),
            part: 0,
            taken: Default::default(),
            with_part: Default::default(),
            under_way: None,
            covers,
            as_of,
            floor,
            against,
            adopts,
        }));
    }

    /// The next part of what is being pushed to a follower.
    pub(super) fn part(&mut self, to: FollowerId) -> Question {
        let configurations = self.configurations_in_force();
        let nothing = !self.config.rules.resync_followers;
        let link = &mut self.peers[to].link;
        let (Sync::Pushing(snapshot), Some(promised)) = (&mut link.sync, &link.promised) else {
            unreachable!("there is a part only of what is being pushed to somebody who has promised");
        };
        let incarnation = promised.incarnation;
        if snapshot.adopts {
            let floor = snapshot.floor;
            return Question::Adopt { incarnation, from: promised.summary, configurations, floor };
        }
        if let Some(part) = &snapshot.under_way {
            return part.clone();
        }
        let (after, mut summary) = snapshot.taken.clone();
        let (mut entries, more) = page(&self.store, after.as_ref(), self.config.limits.part_keys);
        let up_to = entries.last().map(|item| item.key.clone());
        if let Some(against) = &snapshot.against {
            entries.retain(|item| !against.agree_on(&item.key, self.store.buckets()));
        }
        if nothing {
            entries.clear();
        }
        for Item { key, epoch, version, .. } in &entries {
            summary.add(key, Stamp { epoch: *epoch, version: *version });
        }
        snapshot.with_part = (up_to, summary);
        // Of some buckets only, nothing is said of what is not there.
        let floor = snapshot.floor.filter(|_| snapshot.against.is_none());
        let last = (!more).then_some(Last { summary, configurations, floor });
        let part = {
            let (number, part, as_of) = (snapshot.number, snapshot.part, snapshot.as_of);
            Question::Push { incarnation, snapshot: number, part, as_of, entries, last }
        };
        snapshot.under_way.insert(part).clone()
    }

    /// Whether a follower may be given a memory. One that has one, and has promised, may. One that may have forgotten
    /// a promise may once it is sure that no other leader can count on that promise: every other leader needs a majority,
    /// and so many of the rest have said since that they have promised this one's epoch that none is left.
    pub(super) fn may_install(&self, to: FollowerId) -> bool {
        let Some(promised) = &self.peers[to].link.promised else { return false };
        if promised.standing == Standing::Normal || !self.config.rules.confirm_before_install {
            return true;
        }
        let affirms =
            |peer: &&Peer| peer.link.promised.as_ref().is_some_and(|other| other.round >= promised.needs_round);
        let normal = |peer: &&Peer| peer.link.promised.as_ref().is_some_and(|other| other.standing == Standing::Normal);
        let affirming = || self.peers.iter().filter(affirms);
        let (all, majority) = (self.peers_with_memory(), self.config.configuration.majority());
        affirming().filter(normal).count() > self.peers.len() - majority || affirming().count() == all
    }

    /// The follower has what the leader had when it began to push.
    pub(super) fn installed(&mut self, now: Duration, from: FollowerId, says_recovered: bool) {
        let peer = &mut self.peers[from];
        let (Sync::Pushing(snapshot), Some(promised)) = (&peer.link.sync, &mut peer.link.promised) else { return };
        let covers = snapshot.covers;
        peer.link.sync = Sync::Current;
        promised.standing = Standing::Normal;
        peer.link.knows_recovered = says_recovered;
        let incarnation = promised.incarnation;
        let waiting = || self.open.range(..=covers).filter(|(_, open)| open.waiting);
        let is_missed = |(write, open): &(&WriteId, &Open)| peer.resender.waits(&open.update.key, **write);
        // Those that were to be sent again come first, key by key.
        let mut made_good: Vec<(&Key, WriteId)> =
            waiting().filter(is_missed).map(|(write, open)| (&open.update.key, *write)).collect();
        made_good.sort_unstable();
        let made_good = made_good.into_iter().map(|(_, write)| write);
        let confirmed: Vec<WriteId> = made_good.chain(waiting().map(|(write, _)| *write)).collect();
        peer.resender.caught_up(now, covers);
        self.note_caught_up(from, covers);
        for write in confirmed {
            self.confirm(write, from);
        }
        self.confirm_retries_at(from);
        let epoch = self.epoch;
        self.outputs.push_back(Output::Tell(News::CaughtUp { follower: from, incarnation, epoch }));
    }
}
