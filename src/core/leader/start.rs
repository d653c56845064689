//! How a leader begins: what was written before it is found out, brought under its epoch and back to a quorum.
//!
//! It has each follower promise an epoch and tell what it stores. Once so many have promised that remember everything
//! (R, see [`Configuration::recovery_quorum`](crate::core::Configuration::recovery_quorum), for every configuration that may be in force), every
//! acknowledged write is among what they store; the newest of each key is taken. Then they are asked once more: only if
//! all of them are still in the same life, all promises held at one moment. What was found is given the stamps of the new
//! epoch, as if written anew: an older leader's unfinished writes cannot come back over it (Ongaro and Ousterhout, *In Search
//! of an Understandable Consensus Algorithm*, 2014, section 5.4.2). When a quorum stores that, the leader serves.
//!
//! Where all followers may have lost their memory, or have never stored anything, nothing has survived anywhere, and the
//! cluster begins anew, empty: that is its first start. Any other loss of more than the quorum allows for waits for
//! those that are missing, or for an operator.

use std::time::Duration;

use super::catch_up::Sync;
use super::vocabulary::{News, Output, Waiting};
use super::{Leader, Phase, Rules};
use crate::base::{Epoch, FollowerId, FollowerSet, Key};
use crate::core::ask::{Configuration, Item, Question, Standing};
use crate::core::digest::Summary;
use crate::core::store::Store;

/// A start that is under way.
#[derive(Debug, Clone)]
pub(super) struct Start {
    stage: Stage,
    /// What has been read so far.
    merged: Store,
    /// The last epoch in which any of those that were asked for it was brought up to date. What is of an earlier one and was
    /// acknowledged has been stored under this epoch, or has been deleted.
    since: Epoch,
    /// What it came to, before it was given new stamps.
    found: Summary,
    /// Whether an operator has accepted that what the missing followers know is lost.
    accepts_loss: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Stage {
    /// Followers are asked for their promise.
    Fencing,
    /// Their state is read: of the first of these, from after this key on.
    Pulling(Vec<FollowerId>, Option<Key>),
    /// They are asked whether the promise stands.
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

    pub(super) fn is_confirming(&self) -> bool {
        self.stage == Stage::Confirming
    }

    /// Whether the state of this follower is to be read next.
    pub(super) fn pulls_from(&self, id: FollowerId) -> bool {
        matches!(&self.stage, Stage::Pulling(sources, _) if sources.first() == Some(&id))
    }

    /// Everything that decides what is done next.
    pub(super) fn behaviour(&self) -> impl std::hash::Hash + '_ {
        (&self.stage, &self.merged, self.since, self.found, self.accepts_loss)
    }
}

impl Leader {
    /// Begins with nothing, in an epoch that is not below this one.
    pub(super) fn start(&mut self, now: Duration, epoch: Epoch) {
        self.epoch = epoch;
        let (merged, found) = (Store::default(), Summary::default());
        let accepts_loss = matches!(&self.phase, Phase::Starting(start) if start.accepts_loss);
        let since = Epoch::ZERO;
        self.phase = Phase::Starting(Start { stage: Stage::Fencing, merged, since, found, accepts_loss });
        self.collection = None;
        for peer in &mut self.peers {
            peer.link.promised = None;
            peer.link.knows_recovered = false;
            if !peer.link.is_legacy() {
                peer.link.sync = Sync::Behind;
            }
        }
        self.go_on(now);
    }

    /// What the leader waits for, unless it serves.
    pub fn waiting_for(&self) -> Option<Waiting> {
        let Phase::Starting(start) = &self.phase else { return None };
        Some(match start.stage {
            Stage::Pulling(..) | Stage::Confirming => Waiting::State,
            Stage::Quorum => Waiting::Quorum { current: self.current(), needed: self.quorum_to_serve() },
            Stage::Fencing => {
                let configuration = &self.config.configuration;
                let named = |is: &dyn Fn(FollowerId) -> bool| {
                    let members = self.followers().zip(configuration.members.iter());
                    members.filter(|(id, _)| is(*id)).map(|(_, name)| name.clone()).collect()
                };
                let remember = self.promised_by(|promised| promised.standing == Standing::Normal);
                let promised = self.promised_by(|_| true);
                let in_force = self.configurations_in_force();
                let needed = in_force.iter().map(|configuration| self.needed(configuration)).max().unwrap_or(0);
                Waiting::Survivors {
                    normal: remember.len(),
                    needed,
                    silent: named(&|id| !promised.contains(id)),
                    forgetful: named(&|id| promised.contains(id) && !remember.contains(id)),
                }
            }
        })
    }

    /// An operator accepts that what only the missing or forgetful followers know is lost. The leader goes on with those that
    /// remember, as soon as a majority has promised its epoch. False if it waits for nothing of the kind.
    pub fn accept_loss(&mut self, now: Duration) -> bool {
        match &mut self.phase {
            Phase::Starting(start) if start.stage == Stage::Fencing => start.accepts_loss = true,
            _ => return false,
        }
        self.go_on(now);
        true
    }

    /// Another leader has this epoch, or a later one.
    pub(super) fn step_down(&mut self, now: Duration, promised: Epoch) {
        if self.serves() {
            let from = self.epoch;
            self.outputs.push_back(Output::Tell(News::SteppedDown { from, promised }));
            while let Some(&(_, write)) = self.deadlines.front() {
                self.complete(write, false);
            }
            self.drop_reads();
            self.open.clear();
            self.retries.clear();
            for (to, peer) in self.followers().zip(&mut self.peers) {
                (peer.unanswered, peer.unanswered_bytes) = (0, 0);
                peer.resender = super::Resender::new(to, self.config.seed.fork("resend"));
            }
        }
        self.start(now, promised.next());
    }

    /// A follower is not what it was: what it said does not count.
    pub(super) fn fence_anew(&mut self) {
        if let Phase::Starting(start) = &mut self.phase
            && start.stage != Stage::Quorum
        {
            start.stage = Stage::Fencing;
            start.merged = Store::default();
        }
    }

    pub(super) fn is_fencing(&self) -> bool {
        matches!(&self.phase, Phase::Starting(start) if start.stage == Stage::Fencing)
    }

    /// Goes on as far as what is known allows, and asks what is to be asked then.
    pub(super) fn go_on(&mut self, now: Duration) {
        while self.advance(now) {}
        self.confirm_retries();
        self.answer_reads();
        self.collect(now);
        self.attend_to_all(now);
    }

    /// Takes the next step of a start, if it can be taken.
    fn advance(&mut self, now: Duration) -> bool {
        let Phase::Starting(start) = &self.phase else { return false };
        match &start.stage {
            Stage::Fencing => match self.basis(|_| true) {
                None => false,
                Some(basis) => {
                    self.read(basis.from);
                    true
                }
            },
            Stage::Pulling(sources, _) if !sources.is_empty() => false,
            Stage::Pulling(..) => {
                self.round += 1;
                let round = self.round;
                for peer in &mut self.peers {
                    peer.link.promised.iter_mut().for_each(|promised| promised.needs_round = round);
                }
                self.set_stage(Stage::Confirming);
                true
            }
            Stage::Confirming => {
                let round = if self.config.rules.confirm_promises { self.round } else { 0 };
                let basis = self.basis(|promised| promised.included && promised.round >= round);
                basis.map(|basis| self.recovered(now, &basis)).is_some()
            }
            Stage::Quorum => {
                let serves = self.current() >= self.quorum_to_serve() || !self.config.rules.replicate_recovered;
                if serves {
                    self.phase = Phase::Serving;
                    self.outputs.push_back(Output::Tell(News::Serving(self.epoch)));
                }
                serves
            }
        }
    }

    fn set_stage(&mut self, stage: Stage) {
        if let Phase::Starting(start) = &mut self.phase {
            start.stage = stage;
        }
    }

    /// From what of those followers that have promised, and of which this is true, the leader can begin, if from anything.
    fn basis(&self, is: impl Fn(&super::upkeep::Promised) -> bool) -> Option<Basis> {
        let rules = self.config.rules;
        let remembers = |standing| standing == Standing::Normal || !rules.leave_out_forgetful;
        let from = self.promised_by(|promised| is(promised) && remembers(promised.standing));
        let is_enough = |configuration| {
            let members = self.config.configuration.members.iter();
            let named = |id: FollowerId| members.clone().nth(id.index());
            let knows =
                |id: &FollowerId| from.contains(*id) && named(*id).is_some_and(|name| is_member(configuration, name));
            self.followers().filter(knows).count() >= self.needed(configuration)
        };
        if self.configurations_in_force().iter().all(is_enough) {
            return Some(Basis { from, anew: false });
        }
        let all = self.promised_by(&is);
        let blank = self.promised_by(|promised| {
            is(promised) && (promised.standing == Standing::Recovering || promised.summary.keys == 0)
        });
        let majority = self.config.configuration.majority();
        let survivors = if rules.bootstrap_from_all { self.fenceable() } else { majority };
        let nothing_survives = blank.len() >= survivors && (rules.bootstrap_from_all || blank == all);
        let accepts_loss = matches!(&self.phase, Phase::Starting(start) if start.accepts_loss);
        (nothing_survives || (accepts_loss && all.len() >= majority)).then_some(Basis { from, anew: true })
    }

    /// How many must remember what was acknowledged under a configuration.
    fn needed(&self, configuration: &Configuration) -> usize {
        if self.config.rules.recover_from_enough { configuration.recovery_quorum() } else { 1 }
    }

    /// Begins to read what the followers store. Of those that store the same, one is enough.
    fn read(&mut self, from: FollowerSet) {
        let mut seen = vec![Summary::default()];
        let mut sources = Vec::new();
        let mut since = Epoch::ZERO;
        for (id, peer) in FollowerId::first(self.peers.len()).zip(&mut self.peers) {
            let Some(promised) = &mut peer.link.promised else { continue };
            promised.included = true;
            if from.contains(id) {
                since = since.max(promised.current_in);
            }
            if from.contains(id) && !seen.contains(&promised.summary) {
                seen.push(promised.summary);
                sources.push(id);
            }
        }
        self.set_stage(Stage::Pulling(sources, None));
        if let Phase::Starting(start) = &mut self.phase {
            start.since = since;
        }
    }

    pub(super) fn pull(&self, from: FollowerId) -> Question {
        let incarnation = self.peers[from.index()].link.promised.as_ref().map(|promised| promised.incarnation);
        let after = match &self.phase {
            Phase::Starting(Start { stage: Stage::Pulling(_, after), .. }) => after.clone(),
            _ => None,
        };
        Question::Pull { incarnation: incarnation.unwrap_or_default(), after }
    }

    /// A part of what a follower stores has come. Of each key the newest is taken.
    pub(super) fn take_page(&mut self, from: FollowerId, entries: Vec<Item>, more: bool) {
        let Rules { merge_newest, restamp, .. } = self.config.rules;
        let Phase::Starting(start) = &mut self.phase else { return };
        if !start.pulls_from(from) {
            return;
        }
        let Stage::Pulling(sources, after) = &mut start.stage else { return };
        *after = entries.last().filter(|_| more).map(|item| item.key.clone());
        if !more {
            sources.remove(0);
        }
        for (key, entry) in entries.into_iter().map(Item::into_entry) {
            // Without new stamps there is nothing to tell it by.
            if restamp && entry.stamp.epoch < start.since {
                continue;
            }
            if merge_newest {
                start.merged.apply(&key, entry);
            } else {
                start.merged.overwrite(&key, entry);
            }
        }
    }

    /// Everything that was acknowledged is known.
    fn recovered(&mut self, now: Duration, basis: &Basis) {
        let Phase::Starting(start) = &mut self.phase else { return };
        let mut store = std::mem::take(&mut start.merged);
        start.found = store.summary();
        start.stage = Stage::Quorum;
        if self.config.rules.restamp {
            store.restamp(self.epoch);
        }
        let keys = store.len();
        let deleted = store.tombstones().map(|(_, stamp)| stamp.version).max();
        self.floor = self.floor.max(deleted);
        self.store = store;
        self.hold_all_tombstones(now);
        let Basis { from, anew } = *basis;
        self.outputs.push_back(Output::Tell(News::Recovered { epoch: self.epoch, keys, from, anew }));
    }

    /// Whether a follower stores what was recovered, but for the stamps.
    pub(super) fn can_adopt(&self, id: FollowerId) -> bool {
        let Phase::Starting(start) = &self.phase else { return false };
        let promised = self.peers[id.index()].link.promised.as_ref();
        promised.is_some_and(|promised| {
            !promised.differs && promised.standing == Standing::Normal && promised.summary == start.found
        })
    }

    /// How many followers have what was recovered.
    fn current(&self) -> usize {
        self.peers.iter().filter(|peer| peer.link.is_current()).count()
    }

    /// How many must. Those that do not know epochs cannot.
    fn quorum_to_serve(&self) -> usize {
        self.write_quorum().min(self.fenceable())
    }
}

fn is_member(configuration: &Configuration, name: &str) -> bool {
    configuration.members.iter().any(|member| member == name)
}
