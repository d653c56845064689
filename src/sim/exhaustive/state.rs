use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::action::Parcel;
use super::fingerprint::Fingerprint;
use super::memory::Memory;
use super::scope::Scope;
use crate::base::trace::WriteId;
use crate::base::{FollowerId, FollowerSet, Stamp};
use crate::core::{Answer, Ask, Call, Leader, Message, Question, ReadId, Reply, Said, Timer, assemble};

/// A moment of a run without its history and without time: the nodes, what is on its way, what the clients wait for, and
/// what must be remembered of the past to judge what comes.
///
/// Its hash does not depend on the names of followers that nothing in the scope names any more, so a search that tells states by
/// their hashes visits one of those that differ by such names only.
#[derive(Clone)]
pub struct State {
    /// None while it is down.
    pub(super) leader: Option<Arc<Leader>>,
    /// Which of its lives this is, or the last one was; the first is 0.
    pub(super) life: u8,
    pub(super) sites: Vec<Arc<Site>>,
    /// The faults of the scope that have struck, a bit for each.
    pub(super) spent: u32,
    pub(super) ghost: Ghost,
}

/// A follower, and what is on its way to it and back.
#[derive(Debug, Clone)]
pub(super) struct Site {
    /// If something in the scope names it that may still happen. The others are alike.
    pub(super) name: Option<FollowerId>,
    /// None while it is down.
    pub(super) memory: Option<Memory>,
    /// What it lost in its last crash.
    pub(super) lost: Option<Memory>,
    /// In the order of their parcels.
    pub(super) flights: Vec<Flight>,
    /// How often it was started, less one.
    pub(super) life: u64,
    /// What the leader has asked and has no answer to.
    pub(super) interview: Option<Interview>,
    /// Questions of earlier leaders that may still arrive.
    pub(super) strays: Vec<Ask>,
}

/// A question to a follower that is under way.
#[derive(Debug, Clone)]
pub(super) struct Interview {
    pub(super) call: Call,
    /// The answer, once the question has arrived.
    pub(super) answer: Option<Answer>,
    /// Whether its connection may have ended, for the follower is or was down meanwhile.
    pub(super) frail: bool,
}

impl Interview {
    /// Feeds a hasher with everything that decides what comes of it. How many questions there were before does not matter, nor what is
    /// stored if nobody compares it.
    fn hash_behaviour<H: Hasher>(&self, compares: bool, state: &mut H) {
        (&self.call.ask, self.frail).hash(state);
        match &self.answer {
            Some(Answer { incarnation, standing, promised, said: Said::Here { buckets: None, .. } }) if !compares => {
                (true, incarnation, standing, promised).hash(state);
            }
            answer => (false, answer).hash(state),
        }
    }
}

/// A message that is on its way, or the answer to it.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub(super) parcel: Parcel,
    pub(super) message: Message,
    pub(super) stage: Stage,
    /// Whether it was sent when its write was accepted.
    pub(super) first: bool,
    /// Whether the leader has heard of no end of it, neither its own nor that of a copy.
    pub(super) is_open: bool,
    /// Whether deadlines may pass before it has come to its end.
    pub(super) late: bool,
    /// Whether its connection may have ended, for its follower is or was down meanwhile.
    pub(super) frail: bool,
}

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// It has not arrived.
    OnTheWay,
    /// The follower has answered.
    Answered {
        reply: Reply,
        /// The followers that crashed since: no news of that can be at the leader before the answer. Not kept where a leader
        /// learns of a crash by asking.
        outlived: FollowerSet,
    },
    /// It, or its answer, is lost, and the leader does not know yet.
    Doomed,
    /// It has not arrived, and the leader does not wait for it any more.
    Orphan,
}

/// What is remembered of the past, in place of a history.
#[derive(Debug, Clone, Hash)]
pub(super) struct Ghost {
    /// What became of each operation so far.
    pub(super) records: Vec<Record>,
    /// What is known of each key.
    pub(super) keys: Vec<OfKey>,
    /// Whether a write ever found a window full.
    pub(super) window_was_full: bool,
    pub(super) violated: Violated,
    /// The properties whose acknowledged data was lost for a documented cause.
    pub(super) lost: Violated,
}

/// The properties that were violated, a bit for each of those that are judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Violated(pub(super) u16);

/// What became of an operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub(super) progress: Progress,
    /// Of a write that was accepted: by which life of the leader, under which number and stamp.
    pub(super) accepted: Option<(u8, WriteId, Stamp)>,
    /// Whether something with its stamp or a later one had returned when it was invoked.
    pub(super) behind: bool,
    /// Whether it is known to have taken effect: it was acknowledged, or read at the leader.
    pub(super) effective: bool,
    pub(super) acknowledged: bool,
    /// Of a read that waits: the leader's number for it.
    pub(super) reads: Option<ReadId>,
    /// Of a read: the greatest stamp that had returned when it was invoked.
    pub(super) floor: Option<Stamp>,
    /// Followers that held it when it was acknowledged, or since, and crashed then.
    pub(super) crashed: FollowerSet,
}

/// Which followers crashed is hashed with what else is known of each.
impl Hash for Record {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { progress, accepted, behind, effective, acknowledged, reads, floor, crashed: _ } = self;
        (progress, accepted, behind, effective, acknowledged, reads, floor).hash(state);
    }
}

/// How far an operation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Progress {
    NotYet,
    Waiting,
    /// It returned, or its client was cut off.
    Done,
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, Default, Hash)]
pub(super) struct OfKey {
    /// The greatest stamp of what has returned at the leader.
    pub(super) returned: Option<Stamp>,
    /// The greatest stamp that the leader must not forget, with the operation that wrote it, by its place, and the life of
    /// the leader in which that became known.
    pub(super) known: Option<(Stamp, usize, u8)>,
    /// The greatest stamp of a deletion that was forgotten. What is not above it needs nobody to store it.
    pub(super) collected: Option<Stamp>,
    /// The last stamp that the leader gave in its present life.
    pub(super) last: Option<Stamp>,
    /// Whether what is known is gone for a documented cause.
    pub(super) is_lost: bool,
    /// The greatest stamp of what had returned before a leader bootstrapped the cluster.
    pub(super) returned_before: Option<Stamp>,
}

impl State {
    /// Before anything has happened.
    pub(super) fn first(scope: &Scope) -> Self {
        let named = scope.named(|_| true, |_| true);
        let record = Record {
            progress: Progress::NotYet,
            accepted: None,
            behind: false,
            effective: false,
            acknowledged: false,
            reads: None,
            floor: None,
            crashed: FollowerSet::default(),
        };
        let site = |id| {
            let name = Some(id).filter(|id| named.contains(*id));
            let (memory, flights, strays) = (Some(Memory::new(scope, id, 0)), Vec::new(), Vec::new());
            Site { name, memory, lost: None, flights, life: 0, interview: None, strays }
        };
        let mut leader = scope.leader(0);
        let mut sites: Vec<Site> = FollowerId::first(scope.scenario.cluster.all_followers()).map(site).collect();
        assemble(
            &mut leader,
            |id, ask, events| sites[id.index()].memory.as_mut().expect("all are up").follower.ask(ask, events),
            |_, _| {},
        );
        Self {
            leader: Some(Arc::new(leader)),
            life: 0,
            sites: sites.into_iter().map(Arc::new).collect(),
            spent: 0,
            ghost: Ghost {
                records: vec![record; scope.operations.len()],
                keys: vec![OfKey::default(); scope.keys.len()],
                window_was_full: false,
                violated: Violated::default(),
                lost: Violated::default(),
            },
        }
    }

    /// The sites with the followers that they are of.
    pub(super) fn followers(&self) -> impl Iterator<Item = (FollowerId, &Site)> {
        FollowerId::first(self.sites.len()).zip(self.sites.iter().map(AsRef::as_ref))
    }

    pub(super) fn site(&self, id: FollowerId) -> &Site {
        &self.sites[id.index()]
    }

    /// The site, to be changed. What it shares with other states is copied.
    pub(super) fn site_mut(&mut self, id: FollowerId) -> &mut Site {
        Arc::make_mut(&mut self.sites[id.index()])
    }

    /// The write of the leader's present life with this number, by the place of its operation.
    pub(super) fn numbered(&self, number: WriteId) -> Option<usize> {
        let is_it =
            |record: &Record| record.accepted.is_some_and(|(life, write, _)| (life, write) == (self.life, number));
        self.ghost.records.iter().position(is_it)
    }

    pub(super) fn fingerprint(&self) -> u64 {
        Fingerprint::of(self)
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut shared = Fingerprint::new();
        if let Some(leader) = &self.leader {
            leader.hash_shared(&mut shared);
        }
        (self.leader.is_some(), self.life, self.spent, &self.ghost).hash(&mut shared);
        state.write_u64(shared.finish());
        let part = |(id, site): (FollowerId, &Site)| {
            let mut part = Fingerprint::new();
            self.ghost.records.iter().for_each(|record| record.crashed.contains(id).hash(&mut part));
            site.hash_behaviour(id, self.leader.as_deref(), &mut part);
            part.finish()
        };
        let mut parts: Vec<u64> = self.followers().map(part).collect();
        // Followers that are named feed their names, so that nobody takes the place of another.
        parts.sort_unstable();
        parts.hash(state);
    }
}

impl Site {
    /// Feeds a hasher with everything that decides what comes of it, together with what the leader keeps for it.
    pub(super) fn hash_behaviour<H: Hasher>(&self, id: FollowerId, leader: Option<&Leader>, state: &mut H) {
        let Self { name, memory, lost, flights, life, interview, strays } = self;
        let leader = leader.filter(|leader| leader.replicates_to(id));
        let answer = interview.as_ref().and_then(|interview| interview.answer.as_ref());
        interview.is_some().hash(state);
        if let Some(interview) = interview {
            interview.hash_behaviour(leader.is_some_and(|leader| leader.compares(id, answer)), state);
        }
        leader.iter().for_each(|leader| leader.hash_of(id, answer, state));
        let is_part = |ask: &Ask| matches!(ask.question, Question::Push { .. });
        let is_pushed_to = leader.is_some_and(|leader| leader.pushes_to(id));
        let parts_may_come = is_pushed_to
            || strays.iter().any(is_part)
            || interview.iter().any(|interview| is_part(&interview.call.ask));
        for (memory, parts_may_come) in [(memory, parts_may_come), (lost, false)] {
            memory.is_some().hash(state);
            memory.iter().for_each(|memory| memory.hash_behaviour(parts_may_come, state));
        }
        (name, flights, life, strays).hash(state);
    }
}

/// To whom it goes is told by whose flight it is, and what it carries by the operation.
impl Hash for Flight {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Parcel { to: _, operation, attempt, copy } = self.parcel;
        (operation, attempt, copy, self.stage, self.first, self.is_open, self.late, self.frail).hash(state);
    }
}

/// Alike in everything that decides what follows. As good as the hash, which is what a search goes by.
impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

/// As a person reads it in the explorer.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.leader {
            None => writeln!(f, "leader: down")?,
            Some(leader) => {
                write!(f, "leader:")?;
                for (key, entry) in leader.store().entries() {
                    write!(f, " {key} {entry}")?;
                }
                let timers = leader.timers().map(|(timer, _)| match timer {
                    Timer::Deadline => "the deadline of the oldest write".to_owned(),
                    Timer::Read => "the deadline of the oldest read".to_owned(),
                    Timer::Resend(to) => format!("a resend to {to}"),
                    Timer::Ask(to) => format!("a question to {to}"),
                });
                let timers: Vec<String> = timers.collect();
                if let Some(waiting) = leader.waiting_for() {
                    write!(f, " {waiting};")?;
                }
                let armed = if timers.is_empty() { "nothing".to_owned() } else { timers.join(", ") };
                writeln!(f, "; writes that are not settled: {}; armed: {armed}", leader.open_writes())?;
            }
        }
        for (id, site) in self.followers() {
            write!(f, "{id}:")?;
            match &site.memory {
                None => write!(f, " down")?,
                Some(memory) => {
                    for (key, entry) in memory.follower.store().entries() {
                        write!(f, " {key} {entry}")?;
                    }
                    let promised = memory.follower.promised();
                    write!(f, " ({}, epoch {})", memory.follower.identity(), promised.epoch.get())?;
                }
            }
            writeln!(f)?;
            if let Some(Interview { call, answer, .. }) = &site.interview {
                writeln!(f, "  asked {:?}, answer {answer:?}", call.ask.question)?;
            }
            for Flight { parcel, message, stage, late, frail, .. } in &site.flights {
                let (attempt, stamp) = (parcel.attempt, message.stamp());
                write!(f, "  operation {}, {stamp}, attempt {attempt}", parcel.operation + 1)?;
                write!(f, "{}: {stage}", if parcel.copy > 0 { ", copy" } else { "" })?;
                writeln!(f, "{}{}", if *late { ", late" } else { "" }, if *frail { ", frail" } else { "" })?;
            }
        }
        for (place, record) in self.ghost.records.iter().enumerate() {
            let stamp = record.accepted.map(|(_, _, stamp)| format!(" {stamp}")).unwrap_or_default();
            let acknowledged = if record.acknowledged { ", acknowledged" } else { "" };
            writeln!(f, "operation {}: {}{acknowledged}{stamp}", place + 1, record.progress)?;
        }
        let Ghost { violated, lost, .. } = &self.ghost;
        write!(f, "faults that have struck: {}; violated: {violated}; lost: {lost}", self.spent.count_ones())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnTheWay => f.write_str("on its way"),
            Self::Answered { reply: Reply::Stored(stored), .. } => {
                write!(f, "the answer, that {} is stored, is on its way", stored.stamp)
            }
            Self::Answered { .. } => f.write_str("the answer, that it is refused, is on its way"),
            Self::Doomed => f.write_str("lost, or its answer, which the leader does not know yet"),
            Self::Orphan => f.write_str("on its way, though the leader does not wait for it"),
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotYet => "not begun",
            Self::Waiting => "under way",
            Self::Done => "over",
        })
    }
}
