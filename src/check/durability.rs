//! Durability: what was acknowledged stays.
//!
//! A write is acknowledged when the leader completes it with `ok`, or when its client is told so. It stays if
//!
//! 1. *at the acknowledgement* at least W distinct followers store the write or a later one of its key: they are its
//!    holders;
//! 2. *ever after* at least W followers hold it, less those that crashed since they did. "Every n − W + 1 followers have
//!    a holder among them", which is what a recovery needs, is the same;
//! 3. *after each restart of the leader* it has not forgotten what was acknowledged, nor what it gave out to a reader,
//!    before: it gives no stamp of the key to a new write that is not greater, and a read at the leader that is invoked
//!    then finds the write or a later one;
//! 4. *in the end* the leader stores, for every key, the greatest acknowledged stamp or a greater one.
//!
//! Stamps that are equal must have the same value: a leader that starts anew issues its stamps anew, and v1 of its second
//! life is not v1 of its first. A holder that crashed less than a link's latency before the acknowledgement counts as
//! one that crashed after it, for no news of the crash can have reached the leader.
//!
//! A deletion is stored by whoever stores its tombstone, or has forgotten it as all followers have: then nothing is as good,
//! and what was acknowledged before it needs no holders any more. Once it was forgotten by anybody, it took effect, acknowledged or not. A
//! read that finds nothing finds what the leader stores then, if that is a deletion.
//!
//! (Any quorum of W and any of n − W + 1 followers intersect: Gifford, *Weighted Voting for Replicated Data*, 1979.)

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fmt;

use super::evidence::{At, count, names, without_trace};
use super::leaders::Leaders;
use super::prepared::Prepared;
use super::replay::{Held, Replay};
use super::writes::Write;
use super::{Facts, Property, Recorded, Verdict};
use crate::base::history::{Kind, Operation};
use crate::base::trace::{Event, Micros, Outcome, Record};
use crate::base::{Epoch, FollowerSet, Key, NodeId, Stamp, Value};

/// Checks it. O(n log n), times the number of followers, and for each crash once through what was acknowledged before. A
/// follower that goes back takes as long as there were writes between what it had and what it has.
pub fn check(run: &Recorded<'_>) -> Verdict {
    judge(&Prepared::of(run))
}

pub(super) fn judge(prepared: &Prepared<'_>) -> Verdict {
    let Prepared { run, keys, writes, .. } = prepared;
    let Some(facts) = run.facts else { return without_trace(Property::Durability) };
    let mut check = Check {
        prepared,
        facts,
        replay: Replay::new(facts),
        acknowledged: Vec::new(),
        of_key: vec![BTreeMap::new(); keys.len()],
        known: vec![None; keys.len()],
        collected: vec![None; keys.len()],
        life: 0,
        begins_anew: (NodeId::FIRST_SERVER, false),
        leaders: Leaders::default(),
        nobody_knows: false,
        remember: BTreeSet::new(),
        lives: BTreeSet::new(),
        crashes: Vec::new(),
        evidence: Vec::new(),
    };
    // What each read at the leader must find at least, as of its invocation.
    let mut floors: BTreeMap<usize, (usize, Known<'_>)> = BTreeMap::new();
    for (index, record) in prepared.deeds() {
        let replaced = check.replay.follow(keys, writes, index, record);
        check.leaders.follow(record);
        match &record.event {
            Event::Accept { key, stamp, value, .. } => {
                check.not_reused(record, (key, keys.stored_at(index)), *stamp, value.as_ref());
            }
            Event::Apply { stamp, value, .. } => {
                check.not_replaced(record, keys.stored_at(index), replaced, *stamp, value.as_ref());
            }
            Event::Collect { stamp, .. } => check.collected(record, keys.stored_at(index), *stamp),
            Event::Discard { .. } => check.given_up(record, keys.stored_at(index), replaced),
            Event::Recovered { anew, .. } => check.begins_anew = (record.node, *anew),
            Event::Serve { epoch } => {
                check.serves(record, *epoch);
                floors.retain(|_, (key, _)| check.known[*key].is_some());
            }
            Event::Install { .. } => drop(check.remember.insert(record.node)),
            Event::Crash => {
                check.crashed(record);
                check.nobody_knows &= check.leaders.has_former();
            }
            Event::Restart if record.node == check.leaders.present() => check.life = record.incarnation,
            Event::Complete { write, ok: true, .. } => {
                let Some(write) = writes.numbered(record.incarnation, *write) else { continue };
                check.acknowledged(write, How::Completed(write, record.at), record.at);
            }
            Event::InvokeGet { target, key, mode, .. }
                if *target == check.leaders.present() && prepared.shows_what_stays(*mode) =>
            {
                let known = keys.number(key).and_then(|key| Some((key, check.known[key]?)));
                let floor = known.filter(|(_, known)| known.life < check.life);
                floors.extend(prepared.operation_at(index).zip(floor).map(|(_, floor)| (index, floor)));
            }
            Event::Return { outcome, .. } => {
                let Some(operation) = prepared.operation_at(index) else { continue };
                let Some(key) = keys.number(&operation.key) else { continue };
                let told = match &operation.kind {
                    Kind::Write(value) => Some(value),
                    Kind::Delete | Kind::Read(_) => None,
                };
                match (&operation.kind, operation.stamp) {
                    (Kind::Write(_) | Kind::Delete, Some(stamp)) if *outcome == Outcome::Ok => {
                        let Some(write) = writes.that_says(key, stamp, told) else { continue };
                        check.acknowledged(write, How::Told(operation, write, record.at), record.at);
                    }
                    (Kind::Read(found), stamp)
                        if operation.target == check.leaders.present() && prepared.shows_what_stays(operation.mode) =>
                    {
                        let floor = floors.get(&operation.invoked.index).map(|(_, floor)| floor);
                        check.read((operation, key), record.at, found.as_ref(), stamp, floor);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    check.kept_to_the_end();
    let (acknowledged, crashes) = (check.acknowledged.len(), check.crashes.len());
    Verdict::unless(Property::Durability, check.evidence, || {
        format!(
            "{}, {}",
            count(acknowledged, "acknowledged write"),
            count(crashes, "crash").replace("crashs", "crashes")
        )
    })
}

/// How a stamp became known, and when.
#[derive(Debug, Clone, Copy)]
enum How<'a> {
    /// The leader answered the write.
    Completed(&'a Write<'a>, Micros),
    /// A client was told of its write.
    Told(&'a Operation, &'a Write<'a>, Micros),
    /// It was read at the leader.
    Read(&'a Operation, Stamp, Micros),
    /// A node forgot that the key was deleted.
    Collected(NodeId, Stamp, Micros),
}

/// `n1 acknowledged k1 v7 (c3#2) at 1512 ms`
impl fmt::Display for How<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed(write, at) => write!(f, "{} acknowledged {write} at {}", write.leader, At(*at)),
            Self::Told(operation, write, at) => write!(f, "{} was told of {write} at {}", operation.client, At(*at)),
            Self::Read(operation, stamp, at) => {
                write!(f, "{} read {} {stamp} at the leader at {}", operation.name(), operation.key, At(*at))
            }
            Self::Collected(node, stamp, at) => {
                write!(f, "{node} forgot at {}, as something that all followers have, the deletion {stamp}", At(*at))
            }
        }
    }
}

/// A write that was acknowledged.
struct Acknowledged<'a> {
    write: &'a Write<'a>,
    how: How<'a>,
    /// Holders that crashed since they held it.
    crashed: FollowerSet,
    /// One complaint about a write is enough.
    accused: bool,
}

/// The greatest stamp of a key that the leader must not forget.
#[derive(Debug, Clone, Copy)]
struct Known<'a> {
    stamp: Stamp,
    /// None if it deleted the key.
    value: Option<&'a Value>,
    /// The life of the leader in which it became known.
    life: u64,
    how: How<'a>,
    /// Whether every follower has lost its memory since: a leader may have it still, and nobody else.
    is_forgotten: bool,
}

struct Check<'a> {
    prepared: &'a Prepared<'a>,
    facts: &'a Facts,
    replay: Replay<'a>,
    acknowledged: Vec<Acknowledged<'a>>,
    /// By the numbers of the keys: the acknowledged writes, by their places in `acknowledged`.
    of_key: Vec<BTreeMap<(u64, Stamp), usize>>,
    /// By the numbers of the keys.
    known: Vec<Option<Known<'a>>>,
    /// By the numbers of the keys: the greatest stamp of a deletion that was forgotten. What is not above it needs no holders.
    collected: Vec<Option<Stamp>>,
    life: u64,
    /// The leader that recovered last, and whether it found that nothing had survived.
    begins_anew: (NodeId, bool),
    leaders: Leaders,
    /// Whether all followers have lost their memory while there were two leaders, so that no node knows which is the present
    /// one, and what either acknowledges may be undone by the other.
    nobody_knows: bool,
    /// The followers that have been brought up to date, and remember.
    remember: BTreeSet<NodeId>,
    /// The lives of the leader that had writes acknowledged.
    lives: BTreeSet<u64>,
    /// Which life of which node ended when.
    crashes: Vec<(NodeId, u64, Micros)>,
    evidence: Vec<String>,
}

impl<'a> Check<'a> {
    fn acknowledged(&mut self, write: &'a Write<'a>, how: How<'a>, now: Micros) {
        if self.nobody_knows {
            return;
        }
        match self.of_key[write.key_number].entry((write.life, write.stamp)) {
            Entry::Occupied(_) => return,
            Entry::Vacant(entry) => entry.insert(self.acknowledged.len()),
        };
        self.lives.insert(write.life);
        let (holders, mourned) = (self.replay.holders(write), self.replay.mourned(write, now));
        let mut crashed = FollowerSet::default();
        for id in mourned {
            crashed.insert(id);
        }
        let accused = holders.len() + crashed.len() < self.facts.quorum_of(write.life);
        if accused {
            let only = if holders.is_empty() { "" } else { "only " };
            let forgot = self.replay.forgot(write);
            let forgot: Vec<String> =
                forgot.iter().map(|(id, crash)| format!("; {id} had, but crashed at {}", At(*crash))).collect();
            let quorum = self.facts.quorum_of(write.life);
            self.evidence.push(format!(
                "{how}, when {only}{} stored it, where {quorum} must{}",
                names(&holders),
                forgot.concat()
            ));
        }
        self.know(write.key_number, write.stamp, write.value, how);
        self.acknowledged.push(Acknowledged { write, how, crashed, accused });
    }

    /// A node forgets that the key was deleted.
    fn collected(&mut self, record: &Record, key: usize, stamp: Stamp) {
        self.collected[key] = self.collected[key].max(Some(stamp));
        self.know(key, stamp, None, How::Collected(record.node, stamp, record.at));
    }

    fn know(&mut self, key: usize, stamp: Stamp, value: Option<&'a Value>, how: How<'a>) {
        if self.known[key].is_none_or(|known| known.stamp < stamp) {
            self.known[key] = Some(Known { stamp, value, life: self.life, how, is_forgotten: false });
        }
    }

    /// The leader says that it has found everything that was acknowledged before its epoch. What it has not is forgotten,
    /// unless all that stored it for the acknowledgement have crashed since. One that comes too late to serve does not know what
    /// was acknowledged in later epochs.
    fn serves(&mut self, record: &Record, epoch: Epoch) {
        let anew = self.begins_anew == (record.node, true);
        for key in 0..self.known.len() {
            let Some(known) = self.known[key].filter(|known| known.stamp.epoch < epoch) else { continue };
            let held = self.replay.held(record.node, key);
            if held.is_none() && known.value.is_none() {
                // That the key was deleted has been lost with everything, and its versions begin anew.
                self.known[key] = Some(known).filter(|_| !anew);
                continue;
            }
            if held.is_some_and(|held| kept(&known, held.stamp, held.value)) {
                continue;
            }
            self.known[key] = None;
            let is_it = |acknowledged: &&Acknowledged<'_>| acknowledged.write.stamp == known.stamp;
            let mut of_key = self.of_key[key].values().map(|at| &self.acknowledged[*at]);
            let is_gone = match of_key.find(is_it) {
                Some(acknowledged) => acknowledged.crashed.len() >= self.facts.quorum_of(acknowledged.write.life),
                // What was read and not acknowledged was stored by some that nobody counted.
                None => anew || known.is_forgotten,
            };
            if is_gone {
                continue;
            }
            let restart = self.restart_since(&known);
            let has = held.map_or("nothing".to_owned(), |held| match held.value {
                Some(value) => format!("{} = {value}", held.stamp),
                None => format!("the deletion {}", held.stamp),
            });
            let at = At(record.at);
            self.evidence.push(format!("{}{restart}, and at {at} the leader serves with {has} instead", known.how));
        }
    }

    /// A follower gives up what it stores for a key.
    fn given_up(&mut self, record: &Record, key: usize, before: Option<Held<'a>>) {
        if before.is_none() {
            return;
        }
        let collected = self.collected[key];
        for at in self.of_key[key].values() {
            let Acknowledged { write, how, crashed, accused } = &mut self.acknowledged[*at];
            let (holders, quorum) = (self.replay.holders(write), self.facts.quorum_of(write.life));
            if Some(write.stamp) > collected && !*accused && holders.len() + crashed.len() < quorum {
                *accused = true;
                let (node, at, holders) = (record.node, At(record.at), names(holders));
                self.evidence.push(format!(
                    "{how}, but {node} gave it up at {at}, and {holders} still stored it, where {quorum} must"
                ));
            }
        }
    }

    fn crashed(&mut self, record: &Record) {
        self.crashes.push((record.node, record.incarnation, record.at));
        let NodeId::Follower(id) = record.node else { return };
        if self.remember.remove(&record.node) && self.remember.is_empty() {
            self.known.iter_mut().flatten().for_each(|known| known.is_forgotten = true);
            self.nobody_knows = self.leaders.has_former();
        }
        // It is forgotten already, and what it lost is what it held.
        for acknowledged in &mut self.acknowledged {
            if self.replay.forgot(acknowledged.write).contains(&(id, record.at)) {
                acknowledged.crashed.insert(id);
            }
        }
    }

    /// A follower stores something else for a key than before. Nothing is lost unless it is older, or another's.
    fn not_replaced(
        &mut self,
        record: &Record,
        key: usize,
        replaced: Option<Held<'a>>,
        stamp: Stamp,
        value: Option<&Value>,
    ) {
        let Some(before) = replaced else { return };
        if before.stamp < stamp || (before.stamp == stamp && before.value == value) {
            return;
        }
        let of_key = &self.of_key[key];
        // If both are of one life, what is before the later one still covers what is before the earlier.
        let one_life =
            before.life.is_some() && self.replay.held(record.node, key).is_some_and(|now| now.life == before.life);
        let lost: Vec<usize> = if one_life {
            let between = |life| of_key.range((life, stamp)..=(life, before.stamp));
            self.lives.iter().copied().flat_map(between).map(|(_, at)| *at).collect()
        } else {
            of_key.values().copied().collect()
        };
        let collected = self.collected[key];
        for at in lost {
            let Acknowledged { write, how, crashed, accused } = &mut self.acknowledged[at];
            let (holders, quorum) = (self.replay.holders(write), self.facts.quorum_of(write.life));
            if Some(write.stamp) > collected && !*accused && holders.len() + crashed.len() < quorum {
                *accused = true;
                self.evidence.push(format!(
                    "{how}, but {} replaced it by {stamp} = {} at {}, and {} still stored it, where {quorum} must",
                    record.node,
                    value.map_or_else(|| "nothing".to_owned(), Value::to_string),
                    At(record.at),
                    names(holders)
                ));
            }
        }
    }

    /// The leader gives a stamp to a write. If it remembers what was acknowledged, that is a greater one. A leader of an
    /// earlier epoch that does not know yet that it is deposed need not remember what was acknowledged in a later one.
    fn not_reused(&mut self, record: &Record, (key, number): (&Key, usize), stamp: Stamp, value: Option<&Value>) {
        let is_reused = |known: &Known<'_>| {
            known.life < record.incarnation && known.stamp >= stamp && known.stamp.epoch <= stamp.epoch
        };
        // What follows from it is not told again.
        let Some(known) = self.known[number].take_if(|known| is_reused(known)) else { return };
        let restart = self.restart_since(&known);
        let to = value.map_or_else(|| "its deletion".to_owned(), Value::to_string);
        self.evidence.push(format!("{}{restart}, and at {} gave {key} {stamp} to {to}", known.how, At(record.at)));
    }

    fn read(
        &mut self,
        (operation, number): (&'a Operation, usize),
        at: Micros,
        found: Option<&'a Value>,
        stamp: Option<Stamp>,
        floor: Option<&Known<'a>>,
    ) {
        let key = &operation.key;
        match (operation.outcome, stamp, found) {
            (Outcome::Ok, Some(stamp), Some(value)) => {
                let how = How::Read(operation, stamp, at);
                if let Some(floor) = floor.filter(|floor| !kept(floor, stamp, Some(value))) {
                    let restart = self.restart_since(floor);
                    self.evidence.push(format!("{}{restart}, and {how}, which is {value}", floor.how));
                } else {
                    self.know(number, stamp, Some(value), how);
                }
            }
            (Outcome::Absent, ..) => {
                if let Some(floor) = floor.filter(|floor| !self.is_deleted(number, floor)) {
                    let restart = self.restart_since(floor);
                    let name = operation.name();
                    self.evidence.push(format!(
                        "{}{restart}, and {name} found no {key} there at {}",
                        floor.how,
                        At(at)
                    ));
                }
            }
            _ => {}
        }
    }

    /// Whether the leader may rightly have nothing for a key of which this was known: it was deleted since. Something newer
    /// than that may have been written by now.
    fn is_deleted(&self, key: usize, known: &Known<'_>) -> bool {
        let held = self.replay.held(self.leaders.present(), key);
        let is_later =
            |held: Held<'_>| held.stamp.epoch >= known.stamp.epoch && held.stamp.version > known.stamp.version;
        let is_collected = self.collected[key].is_some_and(|deletion| deletion > known.stamp);
        known.value.is_none() || is_collected || held.is_some_and(is_later)
    }

    fn kept_to_the_end(&mut self) {
        let Prepared { run, keys, .. } = self.prepared;
        if !self.prepared.leader_serves_in_the_end() {
            return;
        }
        let Some((_, dump)) = run.states.iter().find(|(node, _)| node.can_lead()) else { return };
        for (key, number) in keys.in_order() {
            let Some(known) = &self.known[number] else { continue };
            let entry = dump.get(key);
            let is_kept = match entry {
                None => self.is_deleted(number, known),
                Some(entry) => {
                    // The epoch is not told, and is not below.
                    let stamp = Stamp { epoch: known.stamp.epoch, version: entry.version };
                    kept(known, stamp, Some(&entry.value))
                }
            };
            if is_kept {
                continue;
            }
            let has = match entry {
                None => "nothing".into(),
                Some(entry) => format!("v{} = {}", entry.version, entry.value),
            };
            let restart = self.restart_since(known);
            self.evidence.push(format!("{}{restart}, and in the end it has {has} for {key}", known.how));
        }
    }

    /// `; n1 crashed at 2000 ms`, if it did after this became known.
    fn restart_since(&self, known: &Known<'_>) -> String {
        let mut crashes = self.crashes.iter();
        let crash = crashes.find(|(node, life, _)| node.can_lead() && *life == known.life);
        crash.map(|(node, _, at)| format!("; {node} crashed at {}", At(*at))).unwrap_or_default()
    }
}

/// Whether this is what was known, or later. A leader that has recovered it gives it its own epoch, and goes on counting.
fn kept(known: &Known<'_>, stamp: Stamp, value: Option<&Value>) -> bool {
    stamp.epoch >= known.stamp.epoch
        && (stamp.version > known.stamp.version || (stamp.version == known.stamp.version && value == known.value))
}

#[cfg(test)]
mod tests;
