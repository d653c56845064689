//! How a leader begins: what was written before it is found out, brought under its epoch and back to a quorum.
//!
//! It has each follower promise an epoch and tell what it stores. Once so many have promised that remember everything
//! (R, see [`Configuration::recovery_quorum`](crate::core::Configuration::recovery_quorum), for every configuration that may be in force), every
//! acknowledged write is among what they store; the newest of each key is taken. Then they are asked once more: only if
//! so many are still in the same life, their promises held at one moment. Whoever goes away meanwhile is replaced by another
//! one that will do, and what was read stays good: it was stored, whatever becomes of who stored it. What was found is given the stamps of the new
//! epoch, as if written anew: an older leader's unfinished writes cannot come back over it (Ongaro and Ousterhout, *In Search
//! of an Understandable Consensus Algorithm*, 2014, section 5.4.2). When a quorum stores that, the leader serves.
//!
//! Before it serves, enough members of each earlier configuration have been brought up to date under its own, so that a leader
//! under any of them learns of it (see [`Leader::handed_over`]). That is what makes a change of the members or of the quorum safe,
//! and why the configuration of a leader that never served binds no later leader.
//!
//! Where no follower has been brought up to date by any leader since it started, nothing has survived anywhere, and the
//! cluster bootstraps, empty: that is its first start. A follower that was brought up to date is not new, however few keys it
//! stores. Any other loss of more than the quorum allows for waits for those that are missing, or for an operator.

use std::collections::BTreeSet;
use std::time::Duration;

use super::catch_up::Sync;
use super::upkeep::Promised;
use super::vocabulary::{AcceptedLoss, News, Output, Waiting};
use super::{Leader, Phase};
use crate::base::{Epoch, FollowerId, FollowerSet};
use crate::core::ask::{Configuration, Item, Question, Standing};
use crate::core::digest::Summary;
use crate::core::store::Store;

/// A start that is under way.
#[derive(Debug, Clone)]
pub(super) struct Start {
    stage: Stage,
    /// What has been read so far. All of it was stored by a follower that remembered and had promised the epoch; that it restarts
    /// afterwards does not change that.
    merged: Store,
    /// What the stores come to that have been read completely.
    read: Vec<Summary>,
    /// Those that have promised, in the order of their first promises: that of who was there first is read first.
    promised: Vec<FollowerId>,
    /// Whose store is being read.
    source: Option<FollowerId>,
    /// The last epoch in which any of those whose stores were read was brought up to date. What is of an earlier one and was
    /// acknowledged has been stored under this epoch, or has been deleted.
    since: Epoch,
    /// What was read came to this, before it was given new stamps.
    found: Summary,
    /// Whether an operator has accepted that what the missing followers know is lost.
    accepts_loss: bool,
    /// The configurations that were in force when everything had been read, this leader's own among them.
    recovered_under: Vec<Configuration>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Stage {
    /// Followers are asked for their promise, and those that remember for what they store.
    Gathering,
    /// So many have been read that it is enough. They are asked whether the promise stands.
    Confirming,
    /// What was recovered is brought to a quorum.
    Quorum,
}

/// From what a leader can begin.
struct Basis {
    /// The followers that remember.
    from: FollowerSet,
    /// Whether what was acknowledged may not be among it.
    anew: bool,
}

impl Start {
    pub(super) fn has_recovered(&self) -> bool {
        self.stage == Stage::Quorum
    }

    pub(super) fn accepts_loss(&self) -> bool {
        self.accepts_loss
    }

    pub(super) fn is_confirming(&self) -> bool {
        self.stage == Stage::Confirming
    }

    /// The configurations that were in force when everything had been read.
    pub(super) fn recovered_under(&self) -> &[Configuration] {
        &self.recovered_under
    }

    /// Whether the state of this follower is to be read next.
    pub(super) fn pulls_from(&self, id: FollowerId) -> bool {
        self.source == Some(id)
    }

    /// A follower has promised.
    pub(super) fn note_promise(&mut self, by: FollowerId) {
        if !self.promised.contains(&by) {
            self.promised.push(by);
        }
    }

    /// Everything that decides what is done next, but for what concerns single followers.
    pub(super) fn behaviour(&self) -> impl std::hash::Hash + '_ {
        let Self { stage, merged, read, since, found, accepts_loss, recovered_under, promised: _, source: _ } = self;
        let gathered = (!self.has_recovered()).then_some((merged, read, since));
        (stage, gathered, found, accepts_loss, recovered_under)
    }

    /// What decides what is done next with a follower.
    pub(super) fn behaviour_to(&self, id: FollowerId) -> impl std::hash::Hash + use<> {
        let place = self.promised.iter().position(|promised| *promised == id);
        (!self.has_recovered()).then_some((place, self.source == Some(id)))
    }
}

impl Leader {
    /// Begins with nothing, in an epoch that is not below this one.
    pub(super) fn start(&mut self, now: Duration, epoch: Epoch) {
        self.epoch = epoch;
        // What an operator accepted was about what was missing then.
        self.phase = Phase::Starting(Box::new(Start {
            stage: Stage::Gathering,
            merged: Store::default(),
            read: vec![Summary::default()],
            promised: Vec::new(),
            source: None,
            since: Epoch::ZERO,
            found: Summary::default(),
            accepts_loss: false,
            recovered_under: Vec::new(),
        }));
        self.collection = None;
        self.lives.clear();
        for peer in self.peers.iter_mut() {
            (peer.link.promised, peer.link.promised_as) = (None, None);
            (peer.link.knows_recovered, peer.link.is_astray) = (false, false);
            // Whoever did not know epochs may be another program by now.
            peer.link.sync = Sync::Behind;
        }
        self.go_on(now);
    }

    /// What the leader waits for, unless it serves.
    pub fn waiting_for(&self) -> Option<Waiting> {
        let Phase::Starting(start) = &self.phase else { return None };
        Some(match start.stage {
            Stage::Confirming => Waiting::State,
            Stage::Gathering if self.basis(|_| true).is_some() => Waiting::State,
            Stage::Quorum => {
                let (current, needed) = (self.current().len(), self.quorum_to_serve());
                match self.handed_over() {
                    Some(waiting) if current >= needed => waiting,
                    _ => Waiting::Quorum { current, needed },
                }
            }
            Stage::Gathering => self.waiting_for_followers(start.accepts_loss),
        })
    }

    /// Who is missing, for a leader that does not know enough to go on.
    fn waiting_for_followers(&self, accepts_loss: bool) -> Waiting {
        let configuration = &self.config.configuration;
        let named = |is: &dyn Fn(FollowerId) -> bool| {
            let members = self.followers().zip(configuration.members.iter());
            members.filter(|(id, _)| is(*id)).map(|(_, name)| name.clone()).collect()
        };
        let promised = self.promised_by(|_| true);
        // Those that have promised another leader's epoch are not missing. They are asked again soon.
        let some_answer = self.followers().any(|id| self.peers[id].link.answers());
        if let Some(epoch) = self.contest.deposed_by().filter(|_| promised.is_empty() && some_answer) {
            return Waiting::OtherLeader { epoch };
        }
        let foreign = |id: FollowerId| self.peers[id].link.is_legacy();
        let silent = named(&|id| !promised.contains(id) && !foreign(id));
        if accepts_loss {
            return Waiting::Majority { promised: promised.len(), needed: self.majority_to_go_on(), silent };
        }
        let remember = self.promised_by(|promised| promised.standing == Standing::Normal);
        // Of the configurations of which too few members remember, the one that lacks most.
        let in_force = self.configurations_in_force();
        let lacks = |earlier: &Configuration| self.needed(earlier).saturating_sub(self.members_of(earlier, remember));
        let earlier = in_force.iter().rev().max_by_key(|earlier| lacks(earlier)).unwrap_or(configuration);
        let gone = earlier.members.iter().filter(|name| !is_member(configuration, name)).cloned();
        Waiting::Survivors {
            normal: self.members_of(earlier, remember),
            needed: self.needed(earlier),
            silent,
            forgetful: named(&|id| promised.contains(id) && !remember.contains(id)),
            foreign: named(&foreign),
            gone: gone.collect(),
        }
    }

    /// How many of these followers are members of this configuration.
    fn members_of(&self, configuration: &Configuration, followers: FollowerSet) -> usize {
        let members = self.followers().zip(self.config.configuration.members.iter());
        members.filter(|(id, name)| followers.contains(*id) && is_member(configuration, name)).count()
    }

    /// An operator accepts that what only the missing or forgetful followers know is lost. The leader goes on with those that
    /// remember, as soon as a majority has promised its epoch. False if it waits for nothing of the kind, or for another leader.
    pub fn accept_loss(&mut self, now: Duration) -> bool {
        if matches!(self.waiting_for(), Some(Waiting::OtherLeader { .. })) {
            return false;
        }
        match &mut self.phase {
            Phase::Starting(start) if start.stage != Stage::Quorum => start.accepts_loss = true,
            _ => return false,
        }
        self.go_on(now);
        true
    }

    /// Another leader has this epoch, or a later one.
    pub(super) fn step_down(&mut self, now: Duration, promised: Epoch) {
        // What it has recovered but not served is given up as well.
        if !matches!(&self.phase, Phase::Starting(start) if !start.has_recovered()) {
            let from = self.epoch;
            self.outputs.push_back(Output::Tell(News::SteppedDown { from, promised }));
            while let Some(&(_, write)) = self.deadlines.front() {
                self.complete(write, false);
            }
            self.drop_reads();
            self.open.clear();
            (self.retries, self.admission) = Default::default();
            self.contest.served_until(now);
            for (to, peer) in self.peers.enumerate_mut() {
                (peer.unanswered, peer.unanswered_bytes) = (0, 0);
                peer.resender = super::Resender::new(to, self.config.seed.fork("resend"));
            }
        }
        let until = now + self.contest.lost(promised, &self.config);
        for peer in self.peers.iter_mut() {
            peer.link.not_before = peer.link.not_before.max(until);
        }
        self.start(now, promised.next());
    }

    pub(super) fn is_gathering(&self) -> bool {
        matches!(&self.phase, Phase::Starting(start) if start.stage == Stage::Gathering)
    }

    /// Goes on as far as what is known allows, and asks what is to be asked then.
    pub(super) fn go_on(&mut self, now: Duration) {
        while self.advance(now) {}
        self.answer_reads();
        self.collect(now);
        self.attend_to_all(now);
    }

    /// Takes the next step of a start, if it can be taken.
    fn advance(&mut self, now: Duration) -> bool {
        let Phase::Starting(start) = &self.phase else { return false };
        match &start.stage {
            Stage::Gathering | Stage::Confirming => match self.confirmed_basis() {
                Some(basis) => {
                    self.recovered(now, &basis);
                    true
                }
                None => {
                    self.gather();
                    false
                }
            },
            Stage::Quorum => {
                let is_stored = self.current().len() >= self.quorum_to_serve() && self.handed_over().is_none();
                let serves = is_stored || !self.config.rules.replicate_recovered;
                if serves {
                    self.phase = Phase::Serving;
                    self.has_met_memory = true;
                    self.contest.serves_from(now);
                    self.outputs.push_back(Output::Tell(News::Serving(self.epoch)));
                }
                serves
            }
        }
    }

    /// Chooses whose store to read next, or has those that were read confirm their promises.
    fn gather(&mut self) {
        let is_enough = self.basis(|promised| self.is_read(promised)).is_some();
        let source = if is_enough { None } else { self.next_source() };
        let round = self.round;
        let unasked = is_enough
            && self.peers.iter().any(|peer| {
                peer.link
                    .promised
                    .as_ref()
                    .is_some_and(|promised| promised.promised_in >= round && self.is_read(promised))
            });
        // Whether they have not forgotten by now that they promised is asked after the last of them has.
        self.round += u64::from(unasked);
        if let Phase::Starting(start) = &mut self.phase {
            start.stage = if is_enough { Stage::Confirming } else { Stage::Gathering };
            start.source = source;
        }
    }

    /// The follower whose store is being read, if there is still a reason to read it, or another one. Nothing is read before
    /// it is known that it will be enough.
    fn next_source(&self) -> Option<FollowerId> {
        let Phase::Starting(start) = &self.phase else { return None };
        self.basis(|_| true)?;
        let wanted = self.promised_by(|promised| self.remembers(promised) && !self.is_read(promised));
        let is_wanted = |id: &FollowerId| wanted.contains(*id);
        start.source.filter(is_wanted).or_else(|| start.promised.iter().copied().find(is_wanted))
    }

    /// The follower whose store is being read does not answer: another one is read meanwhile, if there is one.
    pub(super) fn source_is_silent(&mut self, id: FollowerId) {
        let wanted = self.promised_by(|promised| self.remembers(promised) && !self.is_read(promised));
        if let Phase::Starting(start) = &mut self.phase
            && start.source == Some(id)
        {
            let after = start.promised.iter().skip_while(|other| **other != id).chain(&start.promised);
            let next = after.copied().find(|other| *other != id && wanted.contains(*other));
            start.source = next.or(start.source);
        }
    }

    /// Whether the memory of a follower counts that says this of itself.
    fn remembers(&self, promised: &Promised) -> bool {
        promised.standing == Standing::Normal || !self.config.rules.leave_out_forgetful
    }

    /// Whether everything that a follower stores and that counts has been read. Of those that store the same, one is enough.
    fn is_read(&self, promised: &Promised) -> bool {
        let Phase::Starting(start) = &self.phase else { return false };
        !self.remembers(promised) || start.read.contains(&promised.summary)
    }

    /// From what the leader can begin, if all those that it takes had promised at one moment: each had before a round in which
    /// each said that the promise stands.
    fn confirmed_basis(&self) -> Option<Basis> {
        let rounds = self.peers.iter().filter_map(|peer| Some(peer.link.promised.as_ref()?.round));
        // If nobody knows epochs, nobody has promised one.
        let rounds: BTreeSet<u64> = rounds.chain([0]).collect();
        rounds.into_iter().find_map(|round| {
            self.basis(|promised| self.is_read(promised) && promised.promised_in < round && promised.round >= round)
        })
    }

    /// From what of those followers that have promised, and of which this is true, the leader can begin, if from anything.
    fn basis(&self, is: impl Fn(&Promised) -> bool) -> Option<Basis> {
        let rules = self.config.rules;
        let from = self.promised_by(|promised| is(promised) && self.remembers(promised));
        let is_enough =
            |configuration: &Configuration| self.members_of(configuration, from) >= self.needed(configuration);
        if self.configurations_in_force().iter().all(is_enough) {
            return Some(Basis { from, anew: false });
        }
        let all = self.promised_by(&is);
        // A follower that was brought up to date takes part in a cluster that may have served, however few keys it stores.
        let is_new = |promised: &Promised| {
            promised.standing == Standing::Recovering || (!rules.bootstrap_only_new && promised.summary.keys == 0)
        };
        let blank = self.promised_by(|promised| is(promised) && is_new(promised));
        let majority = self.config.configuration.majority();
        let is_blank = if rules.bootstrap_from_all {
            blank.len() >= self.peers_with_memory()
        } else {
            blank.len() >= majority && blank == all
        };
        let nothing_survives = is_blank && !(rules.bootstrap_only_new && self.has_met_memory);
        // What is lost is what those know that do not answer.
        let left_out = || {
            let answers = self.followers().filter(|id| self.peers[*id].link.answers());
            let remember = self.promised_by(|promised| self.remembers(promised));
            answers.filter(|id| remember.contains(*id) && !from.contains(*id)).count()
        };
        let accepts_loss = matches!(&self.phase, Phase::Starting(start) if start.accepts_loss);
        let accepted = accepts_loss && all.len() >= self.majority_to_go_on() && left_out() == 0;
        (nothing_survives || accepted).then_some(Basis { from, anew: true })
    }

    /// How many must have promised, where an operator has accepted a loss: no other leader can serve without one of them.
    fn majority_to_go_on(&self) -> usize {
        self.config.configuration.majority().min(self.fenceable())
    }

    /// How many must remember what was acknowledged under a configuration.
    fn needed(&self, configuration: &Configuration) -> usize {
        if !self.config.rules.recover_from_enough {
            return 1;
        }
        // Under a configuration that nobody reports nothing was acknowledged: that no other leader can have its epoch is enough.
        // Had a leader served under it, one of those that know the configurations before would know this one too, for any two sets
        // that suffice to recover have a member in common.
        let is_reported = self.reported().any(|reported| reported == configuration);
        let is_known = is_reported || !self.config.rules.remember_quorums;
        if is_known { configuration.recovery_quorum() } else { configuration.majority() }
    }

    pub(super) fn pull(&self, from: FollowerId) -> Question {
        let promised = self.peers[from].link.promised.as_ref();
        let (incarnation, after) =
            promised.map(|promised| (promised.incarnation, promised.read_to.clone())).unwrap_or_default();
        Question::Pull { incarnation, after, keys: self.config.limits.part_keys }
    }

    /// A part of what a follower stores has come. Of each key the newest is taken.
    pub(super) fn take_page(&mut self, from: FollowerId, entries: Vec<Item>, more: bool) {
        let merge_newest = self.config.rules.merge_newest;
        let (Phase::Starting(start), Some(promised)) = (&mut self.phase, &mut self.peers[from].link.promised) else {
            return;
        };
        if start.stage == Stage::Quorum {
            return;
        }
        promised.read_to = entries.last().map(|item| item.key.clone()).or(promised.read_to.take());
        if !more {
            start.read.push(promised.summary);
            start.since = start.since.max(promised.current_in);
        }
        for (key, entry) in entries.into_iter().map(Item::into_entry) {
            if merge_newest {
                start.merged.apply(&key, entry);
            } else {
                start.merged.overwrite(&key, entry);
            }
        }
    }

    /// Everything that was acknowledged is known.
    fn recovered(&mut self, now: Duration, basis: &Basis) {
        let read = self.peers.iter().filter_map(|peer| peer.link.promised.as_ref());
        let read = read.filter(|promised| self.remembers(promised) && self.is_read(promised));
        let since = read.map(|promised| promised.current_in).max().unwrap_or_default();
        let Phase::Starting(start) = &mut self.phase else { return };
        let (mut store, since) = (std::mem::take(&mut start.merged), since.max(start.since));
        // Without new stamps there is nothing to tell it by.
        if self.config.rules.restamp {
            store.drop_those(|_, entry| entry.stamp.epoch < since);
        }
        start.found = store.summary();
        let accepts_loss = start.accepts_loss && basis.anew;
        (start.stage, start.source) = (Stage::Quorum, None);
        if self.config.rules.restamp {
            store.restamp(self.epoch);
        }
        let promised = self.promised_by(|_| true);
        let accepted = accepts_loss.then(|| AcceptedLoss {
            silent: self.followers().filter(|id| !promised.contains(*id)).collect(),
            forgetful: self.promised_by(|promised| promised.standing == Standing::Recovering),
        });
        // Whoever is to be given a memory waits for a round that begins now at the latest.
        let rounds = self.peers.iter().filter_map(|peer| Some(peer.link.promised.as_ref()?.needs_round));
        self.round = rounds.fold(self.round, u64::max);
        let in_force = self.configurations_in_force();
        if let Phase::Starting(start) = &mut self.phase {
            start.recovered_under = in_force;
        }
        let keys = store.len();
        let deleted = store.tombstones().map(|(_, stamp)| stamp.version).max();
        self.floor = self.floor.max(deleted);
        self.store = store;
        self.uncommitted.clear();
        self.written_in.clear();
        self.hold_all_tombstones(now);
        let Basis { from, anew } = *basis;
        let epoch = self.epoch;
        self.outputs.push_back(Output::Tell(News::Recovered { epoch, keys, from, anew, accepted }));
    }

    /// Whether a follower stores what was recovered, but for the stamps.
    pub(super) fn can_adopt(&self, id: FollowerId) -> bool {
        let Phase::Starting(start) = &self.phase else { return false };
        let promised = self.peers[id].link.promised.as_ref();
        promised.is_some_and(|promised| {
            !promised.differs && promised.standing == Standing::Normal && promised.summary == start.found
        })
    }

    /// The followers that have what was recovered.
    fn current(&self) -> FollowerSet {
        let mut current = FollowerSet::default();
        for (id, peer) in self.peers.enumerate() {
            if peer.link.is_current() {
                current.insert(id);
            }
        }
        current.without(self.doubted)
    }

    /// What the leader waits for before enough members of each earlier configuration know its own.
    ///
    /// Every recovery under an earlier configuration asks R of its members. If n − R + 1 of them have been brought up to date
    /// under this leader's configuration, one of those R is among them and reports it, so that nothing which is acknowledged
    /// under it can be missed. Where an operator has accepted a loss, the members that this leader has must do.
    fn handed_over(&self) -> Option<Waiting> {
        if !self.config.rules.hand_over_configuration {
            return None;
        }
        let accepts_loss = matches!(&self.phase, Phase::Starting(start) if start.accepts_loss);
        let own = &self.config.configuration;
        let current = self.current();
        self.configurations_in_force().iter().filter(|configuration| *configuration != own).find_map(|configuration| {
            let members = || {
                let named = self.followers().zip(own.members.iter());
                named.filter(|(id, name)| is_member(configuration, name) && !self.peers[*id].link.is_legacy())
            };
            let needed = configuration.members.len() + 1 - configuration.recovery_quorum();
            let needed = if accepts_loss { needed.min(members().count()) } else { needed };
            let have = members().filter(|(id, _)| current.contains(*id)).count();
            let missing = members().filter(|(id, _)| !current.contains(*id)).map(|(_, name)| name.clone()).collect();
            (have < needed).then_some(Waiting::HandOver { current: have, needed, missing })
        })
    }

    /// How many must. Those that do not know epochs cannot; unless they never stored anything, it takes an operator to go on
    /// without them.
    fn quorum_to_serve(&self) -> usize {
        let accepts_loss = matches!(&self.phase, Phase::Starting(start) if start.accepts_loss);
        self.write_quorum().min(if accepts_loss { self.fenceable() } else { self.peers_with_memory() })
    }
}

fn is_member(configuration: &Configuration, name: &str) -> bool {
    configuration.members.iter().any(|member| member == name)
}
