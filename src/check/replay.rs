//! Who stores what when: the memories of the nodes, replayed from what they recorded.

use std::collections::{BTreeMap, BTreeSet};

use super::crash_notice::CrashNotices;
use super::keys::Keys;
use super::nodes::Nodes;
use super::writes::{Write, Writes};
use super::{Excuse, Facts};
use crate::base::trace::{Disturbance, Event, Micros, Record};
use crate::base::wire::{Dump, DumpEntry};
use crate::base::{Epoch, FollowerId, NodeId, Stamp, Value};

/// What a node stores for a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held<'a> {
    pub(super) stamp: Stamp,
    /// None of a key that was deleted. Who forgets that has it here still: nothing is as good, once nobody has what was before.
    pub(super) value: Option<&'a Value>,
    /// The life of the leader that it comes from, where that is known.
    pub(super) life: Option<u64>,
}

impl Held<'_> {
    /// Whether this is the write or a later one. Within one epoch only the life that issued a stamp can say what is
    /// later: v7 of a leader that was forgotten does not contain v1 of its successor.
    pub(super) fn covers(&self, write: &Write<'_>) -> bool {
        match self.stamp.cmp(&write.stamp) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => self.value == write.value,
            std::cmp::Ordering::Greater => {
                self.stamp.epoch > write.stamp.epoch || self.life.is_none_or(|life| life == write.life)
            }
        }
    }
}

/// What a node has in memory, and had during its present life.
#[derive(Debug, Default)]
struct Memory<'a> {
    /// By the numbers of the keys, as far as any is stored.
    held: Vec<Option<Held<'a>>>,
    /// By the numbers of the keys: the greatest stamp that each life of the leader brought, in the order in which they came.
    greatest: Vec<Vec<(u64, Stamp)>>,
    /// Of a follower: the last epoch in which a leader has brought it up to date.
    current_in: Option<Epoch>,
    /// Of a follower: the keys that it lost without noticing and has stored nothing for since.
    missing: BTreeMap<usize, Missing>,
}

/// A key that a follower lost without noticing.
#[derive(Debug, Default)]
struct Missing {
    /// Whether what it lost was a deletion.
    was_deleted: bool,
    /// The writes that it has refused since, for it takes them for late ones of a deletion that was collected.
    refused: Vec<Stamp>,
}

impl<'a> Memory<'a> {
    /// Stores something for a key. Returns what was there before.
    fn store(&mut self, key: usize, held: Held<'a>) -> Option<Held<'a>> {
        if self.held.len() <= key {
            self.held.resize(key + 1, None);
            self.greatest.resize(key + 1, Vec::new());
        }
        if let Some(life) = held.life {
            let lives = &mut self.greatest[key];
            match lives.iter_mut().rev().find(|(known, _)| *known == life) {
                Some((_, greatest)) => *greatest = held.stamp.max(*greatest),
                None => lives.push((life, held.stamp)),
            }
        }
        self.missing.remove(&key);
        self.held[key].replace(held)
    }

    /// Loses what is stored for a key without noticing.
    fn lose(&mut self, key: usize) -> Option<Held<'a>> {
        let lost = self.give_up(key)?;
        self.missing.insert(key, Missing { was_deleted: lost.value.is_none(), refused: Vec::new() });
        Some(lost)
    }

    /// Whether the write was refused, and answered as if it were stored, because the key had been lost.
    fn misses(&self, write: &Write<'_>) -> bool {
        let missing = self.missing.get(&write.key_number);
        missing.is_some_and(|missing| missing.refused.contains(&write.stamp))
    }

    /// A leader brings it up to date. A repair, which comes in an epoch in which that was done before, brings no deletions: nobody
    /// can read that they are missing.
    fn install(&mut self, epoch: Epoch) {
        let is_repair = self.current_in.replace(epoch) == Some(epoch);
        self.missing.retain(|_, missing| is_repair && missing.was_deleted);
    }

    fn held(&self, key: usize) -> Option<Held<'a>> {
        self.held.get(key).copied().flatten()
    }

    fn give_up(&mut self, key: usize) -> Option<Held<'a>> {
        self.held.get_mut(key).and_then(Option::take)
    }

    /// Whether the life that issued the write ever brought it or a later one.
    fn was_brought(&self, write: &Write<'_>) -> bool {
        let lives = self.greatest.get(write.key_number).map_or(&[][..], Vec::as_slice);
        let was_brought = lives
            .iter()
            .rev()
            .find(|(life, _)| *life == write.life)
            .is_some_and(|(_, greatest)| *greatest >= write.stamp);
        // What was recovered is adopted, too, or comes with a snapshot.
        was_brought || (write.is_recovered && self.holds(write))
    }

    /// Whether the write or a later one is stored.
    fn holds(&self, write: &Write<'_>) -> bool {
        self.held(write.key_number).is_some_and(|held| held.covers(write))
    }
}

/// The memories of all nodes at one point of a run.
#[derive(Debug)]
pub(super) struct Replay<'a> {
    memories: Nodes<Memory<'a>>,
    /// What each node lost in its last crash, and in those before it that a leader cannot have noticed. Never empty.
    lost: Nodes<Vec<Lost<'a>>>,
    notices: CrashNotices,
    /// Whether followers are brought up to date before they count. Otherwise they count from their start.
    installs: bool,
    /// The node of each life of a leader, and when that life began.
    leaders: BTreeMap<u64, (NodeId, Micros)>,
    /// The followers to which the names of others have led.
    with_two_names: BTreeSet<FollowerId>,
}

/// What a node lost in a crash.
#[derive(Debug)]
struct Lost<'a> {
    at: Micros,
    memory: Memory<'a>,
}

/// The followers that count for a write at some moment.
#[derive(Debug)]
pub(super) struct Counted {
    /// Those that run and have it.
    pub(super) living: Vec<FollowerId>,
    /// Those that had it until they crashed, or refused it because they had lost the key, and why the leader can count them.
    pub(super) excused: Vec<(FollowerId, Excuse)>,
}

impl Counted {
    /// All of them, in their order.
    pub(super) fn all(&self) -> Vec<FollowerId> {
        let mut all = self.living.clone();
        all.extend(self.excused.iter().map(|(id, _)| *id));
        all.sort_unstable();
        all
    }

    /// The excuses that it takes to count this many.
    pub(super) fn excuses(&self, count: usize) -> impl Iterator<Item = (FollowerId, Excuse)> {
        let used = count.saturating_sub(self.living.len());
        self.excused.iter().copied().take(used)
    }
}

impl<'a> Replay<'a> {
    /// The beginning of a run: nobody stores anything.
    pub(super) fn new(facts: &Facts) -> Self {
        Self {
            memories: Nodes::new(),
            lost: Nodes::new(),
            notices: CrashNotices::new(facts),
            installs: false,
            leaders: BTreeMap::from([(0, (NodeId::FIRST_SERVER, Micros(0)))]),
            with_two_names: BTreeSet::new(),
        }
    }

    /// Goes on by one record, of this place. Returns what the node stored before, if the record stored something else in
    /// its place.
    pub(super) fn follow(
        &mut self,
        keys: &Keys<'a>,
        writes: &Writes<'a>,
        place: usize,
        record: &'a Record,
    ) -> Option<Held<'a>> {
        let (key, held) = match &record.event {
            Event::Accept { stamp, value, .. } => {
                (keys.stored_at(place), Held { stamp: *stamp, value: value.as_ref(), life: Some(record.incarnation) })
            }
            Event::Apply { request, stamp, value, .. } => {
                let key = keys.stored_at(place);
                let value = value.as_ref();
                let source = || writes.that_says(key, *stamp, value).map(|write| write.life);
                let life = request.map(|request| request.incarnation).or_else(source);
                (key, Held { stamp: *stamp, value, life })
            }
            Event::Recover { stamp, value, .. } => {
                (keys.stored_at(place), Held { stamp: *stamp, value: value.as_ref(), life: Some(record.incarnation) })
            }
            Event::Discard { .. } => return self.memories.of(record.node).give_up(keys.stored_at(place)),
            Event::LoseKey { .. } => return self.memories.of(record.node).lose(keys.stored_at(place)),
            Event::Reject { stamp, .. } => {
                let missing = &mut self.memories.of(record.node).missing;
                if let Some(missing) = missing.get_mut(&keys.stored_at(place)) {
                    missing.refused.push(*stamp);
                }
                return None;
            }
            Event::Install { epoch } => {
                self.installs = true;
                self.memories.of(record.node).install(*epoch);
                return None;
            }
            Event::Crash => {
                self.notices.follow(record);
                let memory = self.memories.remove(record.node).unwrap_or_default();
                let lost = self.lost.of(record.node);
                lost.retain(|lost| self.notices.is_open(record.node, lost.at));
                lost.push(Lost { at: record.at, memory });
                return None;
            }
            Event::StepDown { .. } => {
                self.memories.remove(record.node);
                return None;
            }
            Event::Restart => {
                self.notices.follow(record);
                self.memories.of(record.node);
                if record.node.can_lead() {
                    self.leaders.insert(record.incarnation, (record.node, record.at));
                }
                return None;
            }
            other => {
                self.notices.follow(record);
                if let Event::Fault { kind: Disturbance::Misdirect, nodes, .. } = other
                    && let [_, NodeId::Follower(to)] = nodes.as_slice()
                {
                    self.with_two_names.insert(*to);
                }
                return None;
            }
        };
        self.memories.of(record.node).store(key, held)
    }

    /// What a node stores for the key of this number.
    pub(super) fn held(&self, node: NodeId, key: usize) -> Option<Held<'a>> {
        self.memories.get(node)?.held(key)
    }

    /// What a node stores; `None` while it is down.
    pub(super) fn dump(&self, keys: &Keys<'_>, node: NodeId) -> Option<Dump> {
        let Some(memory) = self.memories.get(node) else {
            // Of a node that has stored nothing yet nothing is known but whether it crashed.
            return (self.lost.get(node).is_none()).then(Dump::new);
        };
        let entry = |held: Held<'_>| Some(DumpEntry { value: held.value?.clone(), version: held.stamp.version });
        let stored = keys.in_order().filter_map(|(key, number)| Some((key.clone(), entry(memory.held(number)?)?)));
        Some(stored.collect())
    }

    /// The followers that store the write or a later one, and remember.
    pub(super) fn holders(&self, write: &Write<'_>) -> Vec<FollowerId> {
        let remember = self.remembering();
        remember.filter(|(_, memory)| memory.holds(write)).map(|(id, _)| id).collect()
    }

    /// Whether a follower lacks this key, which it lost without noticing.
    pub(super) fn lacks(&self, id: FollowerId, key: usize) -> bool {
        self.memories.get(id.into()).is_some_and(|memory| memory.missing.contains_key(&key))
    }

    /// Whether a follower runs and has been brought up to date since it started.
    pub(super) fn remembers(&self, id: FollowerId) -> bool {
        self.remembering().any(|(other, _)| other == id)
    }

    /// The nodes that run and store anything.
    pub(super) fn running(&self) -> Vec<NodeId> {
        let followers = self.memories.followers().map(|(id, _)| id.into());
        let leaders: BTreeSet<NodeId> = self.leaders.values().map(|(node, _)| *node).collect();
        followers.chain(leaders.into_iter().filter(|node| self.memories.get(*node).is_some())).collect()
    }

    /// Whether any follower does.
    pub(super) fn any_remembers(&self) -> bool {
        self.remembering().next().is_some()
    }

    /// The followers that run and have been brought up to date since they started, where followers are.
    fn remembering(&self) -> impl Iterator<Item = (FollowerId, &Memory<'a>)> {
        self.memories.followers().filter(|(_, memory)| memory.current_in.is_some() || !self.installs)
    }

    /// The followers whose memories meet a condition, those whose memories did until a crash that the leader cannot have
    /// noticed by `now`, and those that refused the write because they had lost its key.
    fn counted(
        &self,
        write: &Write<'_>,
        now: Micros,
        living: Vec<FollowerId>,
        is: impl Fn(&Memory<'_>) -> bool,
    ) -> Counted {
        let (leader, since) = self.leaders.get(&write.life).copied().unwrap_or((write.leader, Micros(0)));
        let refused = self.memories.followers().filter(|(id, memory)| memory.misses(write) && !living.contains(id));
        let mut excused: Vec<(FollowerId, Excuse)> = refused.map(|(id, _)| (id, Excuse::LostKey)).collect();
        for (id, lost) in self.lost().filter(|(_, lost)| lost.at >= since) {
            if !is(&lost.memory) && !lost.memory.misses(write) {
                continue;
            }
            let Some(excuse) = self.notices.excuse(leader, id, lost.at, now) else { continue };
            let is_again = living.contains(&id) || excused.iter().any(|(other, _)| *other == id);
            match is_again {
                false => excused.push((id, excuse)),
                true if self.with_two_names.contains(&id) => excused.push((id, Excuse::TwoNames)),
                true => {}
            }
        }
        Counted { living, excused }
    }

    /// The followers that store the write or a later one and remember, and those of which the leader must think so.
    pub(super) fn held_by(&self, write: &Write<'_>, now: Micros) -> Counted {
        self.counted(write, now, self.holders(write), |memory| memory.holds(write))
    }

    /// The followers that in their present life were brought the write or a later one by the life of the leader that
    /// issued it, whatever they store now, and those of which the leader must think so.
    pub(super) fn reached(&self, write: &Write<'_>, now: Micros) -> Counted {
        let living = self.memories.followers().filter(|(_, memory)| memory.was_brought(write)).map(|(id, _)| id);
        self.counted(write, now, living.collect(), |memory| memory.was_brought(write))
    }

    /// What followers lost, with whose it was, in the order of the followers.
    fn lost(&self) -> impl Iterator<Item = (FollowerId, &Lost<'a>)> {
        self.lost.followers().flat_map(|(id, lost)| lost.iter().map(move |lost| (id, lost)))
    }

    /// The followers that had the write when they crashed and do not have it now, with the time of the crash.
    pub(super) fn forgot(&self, write: &Write<'_>) -> Vec<(FollowerId, Micros)> {
        let holders = self.holders(write);
        self.lost()
            .filter(|(id, lost)| !holders.contains(id) && lost.memory.holds(write))
            .map(|(id, lost)| (id, lost.at))
            .collect()
    }
}
