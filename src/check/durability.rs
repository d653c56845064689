//! Durability: what was acknowledged stays.
//!
//! A write is acknowledged when the leader completes it with `ok`, or when its client is told so. It stays if
//!
//! 1. *at the acknowledgement* at least W distinct followers store the write or a later one of its key: they are its
//!    holders;
//! 2. *ever after* at least W followers hold it, less those that crashed since they did and have not been brought up to
//!    date again. "Every n − W + 1 followers have a holder among them", which is what a recovery needs, is the same;
//! 3. *after each restart of the leader* it has not forgotten what was acknowledged, nor what it gave out to a reader,
//!    before: it gives no stamp of the key to a new write that is not greater, and a read at the leader that is invoked
//!    then finds the write or a later one;
//! 4. *in the end* the leader stores, for every key, the greatest acknowledged stamp or a greater one; or, if it does not
//!    serve, some node does.
//!
//! Stamps that are equal must have the same value: a leader that restarts may issue its stamps again, and v1 of its second
//! incarnation is not v1 of its first.
//!
//! What is gone is **lost** if more failed than the store tolerates and the documentation says what follows (`Cause`);
//! otherwise it is a violation. A recovery finds every acknowledged write if R of the members of its configuration have
//! their memory ([`Configuration::recovery_quorum`](crate::core::Configuration::recovery_quorum)).
//!
//! A deletion is stored by a node that stores its tombstone, or has collected it as all followers have: then nothing is
//! stored, and what was acknowledged before it needs no holders any more. Once any node has collected it, it took effect,
//! acknowledged or not. A read that finds nothing finds what the leader stores then, if that is a deletion.
//!
//! (Any quorum of W and any of n − W + 1 followers intersect: Gifford, *Weighted Voting for Replicated Data*, 1979.)

mod holders;
mod known;
mod loss;

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::{At, count, without_trace};
use super::excuse::Excuses;
use super::leaders::Leaders;
use super::prepared::Prepared;
use super::replay::{Held, Replay};
use super::{Excuse, Facts, LossCause, Property, Recorded, Verdict};
use crate::base::history::{Kind, Operation};
use crate::base::trace::{Event, Micros, Outcome, Record};
use crate::base::{Epoch, FollowerId, Key, NodeId, Stamp, Value};
use holders::Acknowledged;
use known::{How, Known, kept};
use loss::{Cause, Failures};

/// Checks it. O(n log n), times the number of followers, and for each crash and each start of a leader once through what
/// was acknowledged before. A follower that goes back takes as long as there were writes between what it had and what it
/// has, and one that gives up a key as long as there were acknowledged writes of it.
pub fn check(run: &Recorded<'_>) -> Verdict {
    judge(&Prepared::of(run))
}

pub(super) fn judge(prepared: &Prepared<'_>) -> Verdict {
    let Some(facts) = prepared.run.facts else { return without_trace(Property::Durability) };
    let check = Check::of(prepared, facts);
    let (acknowledged, crashes) = (check.acknowledged.len(), check.crashes.len());
    Verdict::against(Property::Durability, check.violations, check.losses, || {
        format!(
            "{}, {}",
            count(acknowledged, "acknowledged write"),
            count(crashes, "crash").replace("crashs", "crashes")
        )
    })
    .excusing(check.excuses)
    .caused_by(check.causes)
}

/// Whether something of this key is lost with a leader that took what it found for everything, because names had led to other
/// followers, or followers had lost keys without noticing.
pub(super) fn is_lost_unnoticed(run: &Recorded<'_>, key: &Key) -> bool {
    let prepared = Prepared::of(run);
    let lost = run.facts.map(|facts| Check::of(&prepared, facts).lost_unnoticed);
    lost.zip(prepared.keys.number(key)).is_some_and(|(lost, number)| lost.contains(&number))
}

/// Goes through a whole run.
fn follow<'a>(check: &mut Check<'a>) {
    let prepared = check.prepared;
    let Prepared { keys, writes, .. } = prepared;
    // What each read at the leader must find, by the place of its invocation.
    let mut floors: BTreeMap<usize, Floor<'_>> = BTreeMap::new();
    for (index, record) in prepared.deeds() {
        if matches!(record.event, Event::StepDown { .. } | Event::Crash) && record.node == check.leaders.present() {
            // An answer may be on its way that says what the leader had until now.
            floors.values_mut().for_each(|floor| floor.was_deleted |= check.is_deleted(floor.key, &floor.known));
        }
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
            Event::LoseKey { .. } => check.lost_key(record, keys.stored_at(index), replaced),
            Event::Recovered { .. } => check.recovered(record),
            Event::Serve { epoch } => {
                check.serves(record, *epoch);
                floors.retain(|_, floor| check.known[floor.key].is_some());
            }
            Event::Install { .. } => check.installed(record),
            Event::Promise { epoch, leader } => {
                if let NodeId::Follower(id) = record.node {
                    check.failures.promised(id, *leader, *epoch, record.at);
                }
            }
            Event::Crash => check.crashed(record),
            Event::Restart => check.restarted(record),
            Event::StepDown { .. } => check.failures.started(record.node),
            Event::Fault { kind, nodes, .. } => check.failures.follow(*kind, nodes, record.at),
            Event::Complete { write, ok: true, .. } => {
                let Some(write) = writes.numbered(record.incarnation, *write) else { continue };
                check.acknowledged(write, How::Completed(write, record.at), record.at);
            }
            Event::InvokeGet { target, key, mode, .. } if *target == check.leaders.present() => {
                let known = keys.number(key).and_then(|key| Some((key, check.known[key]?)));
                let Some((key, known)) = known.filter(|(_, known)| known.life < check.life) else { continue };
                let Some(operation) = prepared.operation_at(index) else { continue };
                if prepared.shows_what_stays(*mode) {
                    floors.insert(index, Floor { key, known, was_deleted: false });
                } else {
                    let case = || format!("{} reads {}, of which {}", operation.name(), operation.key, known.how);
                    check.excuses.add(Excuse::LocalRead, case);
                }
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
                        let floor = floors.get(&operation.invoked.index);
                        check.read((operation, key), record.at, found.as_ref(), stamp, floor);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    check.kept_to_the_end();
}

/// What a read at the leader must find.
struct Floor<'a> {
    /// The number of its key.
    key: usize,
    /// What was known when it was invoked.
    known: Known<'a>,
    /// Whether the key was deleted, later than that, when the leader lost its memory or stepped down.
    was_deleted: bool,
}

struct Check<'a> {
    prepared: &'a Prepared<'a>,
    facts: &'a Facts,
    replay: Replay<'a>,
    leaders: Leaders,
    /// The acknowledged writes in their order, and by the numbers of their keys.
    acknowledged: Vec<Acknowledged<'a>>,
    of_key: Vec<BTreeMap<(u64, Stamp), usize>>,
    /// By the numbers of the keys.
    known: Vec<Option<Known<'a>>>,
    /// By the numbers of the keys: the greatest stamp of a deletion that was collected. What is not above it needs no
    /// holders.
    collected: Vec<Option<Stamp>>,
    /// The incarnation of the present leader.
    life: u64,
    /// The incarnations of leaders that had writes acknowledged.
    lives: BTreeSet<u64>,
    /// What followers lost without noticing and have not stored again: which, the number of the key, and what they held.
    lost_keys: Vec<(FollowerId, usize, Held<'a>)>,
    failures: Failures,
    /// Which incarnation of which node ended when.
    crashes: Vec<(NodeId, u64, Micros)>,
    violations: Vec<String>,
    losses: Vec<String>,
    /// The causes of the losses, each once.
    causes: Vec<LossCause>,
    /// The numbers of the keys of which something is lost with a leader that took what it found for everything.
    lost_unnoticed: BTreeSet<usize>,
    excuses: Excuses,
}

impl<'a> Check<'a> {
    /// What is found in a whole run.
    fn of(prepared: &'a Prepared<'a>, facts: &'a Facts) -> Self {
        let mut check = Self::new(prepared, facts);
        follow(&mut check);
        check
    }

    fn new(prepared: &'a Prepared<'a>, facts: &'a Facts) -> Self {
        let keys = prepared.keys.len();
        Self {
            prepared,
            facts,
            replay: Replay::new(facts),
            leaders: Leaders::default(),
            acknowledged: Vec::new(),
            of_key: vec![BTreeMap::new(); keys],
            known: vec![None; keys],
            collected: vec![None; keys],
            life: 0,
            lives: BTreeSet::new(),
            lost_keys: Vec::new(),
            failures: Failures::default(),
            crashes: Vec::new(),
            violations: Vec::new(),
            losses: Vec::new(),
            causes: Vec::new(),
            lost_unnoticed: BTreeSet::new(),
            excuses: Excuses::default(),
        }
    }

    /// Reports that something of a key is gone: as a loss if there is a cause for it, or else as a violation.
    fn report(&mut self, key: usize, sentence: String, cause: Option<Cause>) {
        if matches!(cause, Some(Cause::OtherName { .. } | Cause::MovedName { .. } | Cause::LostKey { .. })) {
            self.lost_unnoticed.insert(key);
        }
        match cause {
            None => self.violations.push(sentence),
            Some(cause) => {
                self.losses.push(format!("{sentence}: {cause}"));
                if !self.causes.contains(&cause.kind()) {
                    self.causes.push(cause.kind());
                }
            }
        }
    }

    /// A node collects the tombstone of a key.
    fn collected(&mut self, record: &Record, key: usize, stamp: Stamp) {
        self.collected[key] = self.collected[key].max(Some(stamp));
        self.know(key, stamp, None, How::Collected(record.node, stamp, record.at), self.life);
    }

    fn know(&mut self, key: usize, stamp: Stamp, value: Option<&'a Value>, how: How<'a>, life: u64) {
        if self.known[key].is_none_or(|known| known.stamp < stamp) {
            let protection = self.protection(life, || self.who_keep(key, stamp, value));
            self.known[key] = Some(Known { stamp, value, life: self.life, how, protection });
        }
    }

    /// A leader says that it has everything that was acknowledged before its epoch. What it has not, and too few followers
    /// had their memory for, is lost once it serves.
    fn recovered(&mut self, record: &Record) {
        for key in 0..self.known.len() {
            let Some(known) = self.known[key].filter(|known| known.protection.cause.is_none()) else { continue };
            let held = self.replay.held(record.node, key);
            if !held.is_some_and(|held| kept(&known, held.stamp, held.value)) {
                let cause = self.cause_of_loss(record, &known.protection, key);
                self.known[key] = Some(known.endangered_by(cause));
            }
        }
        for at in 0..self.acknowledged.len() {
            let Acknowledged { write, protection, .. } = &self.acknowledged[at];
            let held = self.replay.held(record.node, write.key_number);
            if protection.cause.is_none() && !held.is_some_and(|held| held.covers(write)) {
                let cause = self.cause_of_loss(record, protection, write.key_number);
                self.acknowledged[at].protection.cause = cause;
            }
        }
    }

    /// A leader serves. What it has not is forgotten. One that comes too late to serve does not know what was acknowledged
    /// in later epochs.
    fn serves(&mut self, record: &Record, epoch: Epoch) {
        for key in 0..self.known.len() {
            let Some(known) = self.known[key].filter(|known| known.stamp.epoch < epoch) else { continue };
            let held = self.replay.held(record.node, key);
            if held.is_some_and(|held| kept(&known, held.stamp, held.value)) {
                let holders = || self.who_keep(key, known.stamp, known.value);
                let protection = self.protection(record.incarnation, holders);
                self.known[key] = Some(Known { protection, ..known });
                continue;
            }
            if held.is_none() && known.value.is_none() {
                if known.protection.cause.is_some() {
                    self.excuses.add(Excuse::ForgottenFloor, || format!("{}, and the leader forgot that", known.how));
                    self.known[key] = None;
                }
                continue;
            }
            self.known[key] = None;
            let restart = self.restart_since(&known);
            let has = held.map_or("nothing".to_owned(), |held| match held.value {
                Some(value) => format!("{} = {value}", held.stamp),
                None => format!("the deletion {}", held.stamp),
            });
            let at = At(record.at);
            let sentence = format!("{}{restart}, and at {at} {} serves with {has} instead", known.how, record.node);
            self.report(key, sentence, known.protection.cause);
        }
        self.protect(record, epoch);
        self.failures.served(record.incarnation);
        self.failures.started(record.node);
    }

    fn restarted(&mut self, record: &Record) {
        if record.node == self.leaders.present() {
            self.life = record.incarnation;
        }
        if record.node.can_lead() {
            self.failures.started(record.node);
            self.failures.began(record.incarnation, record.at);
        }
    }

    fn crashed(&mut self, record: &Record) {
        self.crashes.push((record.node, record.incarnation, record.at));
        if let NodeId::Follower(id) = record.node {
            self.lost_keys.retain(|(of, ..)| *of != id);
            self.loses_memory(id, record.at);
        }
        let has_memory = self.replay.any_remembers();
        if self.failures.memories(has_memory, self.leaders.has_former(), record.at) {
            let cause = self.failures.two_leaders();
            self.known.iter_mut().flatten().for_each(|known| *known = known.endangered_by(cause));
            self.acknowledged.iter_mut().for_each(|acknowledged| acknowledged.protection.endanger(cause));
        }
        if self.failures.is_settled(self.leaders.has_former()) {
            self.settle();
        }
    }

    /// Of two leaders one is left. What it has is safe again.
    fn settle(&mut self) {
        let present = self.leaders.present();
        for key in 0..self.known.len() {
            let held = self.replay.held(present, key);
            let Some(known) = &mut self.known[key] else { continue };
            if held.is_some_and(|held| kept(known, held.stamp, held.value)) {
                known.protection.cause = None;
            }
        }
        for acknowledged in &mut self.acknowledged {
            let held = self.replay.held(present, acknowledged.write.key_number);
            if held.is_some_and(|held| held.covers(acknowledged.write)) {
                acknowledged.protection.cause = None;
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
        let sentence = format!("{}{restart}, and at {} gave {key} {stamp} to {to}", known.how, At(record.at));
        self.report(number, sentence, known.protection.cause);
    }

    fn read(
        &mut self,
        (operation, number): (&'a Operation, usize),
        at: Micros,
        found: Option<&'a Value>,
        stamp: Option<Stamp>,
        floor: Option<&Floor<'a>>,
    ) {
        let key = &operation.key;
        let was_deleted = floor.is_some_and(|floor| floor.was_deleted);
        let floor = floor.map(|floor| &floor.known);
        let cause = |floor: &Known<'_>, known: Option<Known<'_>>| {
            let same = known.filter(|known| known.stamp == floor.stamp);
            floor.protection.cause.or(same.and_then(|known| known.protection.cause))
        };
        match (operation.outcome, stamp, found) {
            (Outcome::Ok, Some(stamp), Some(value)) => {
                let how = How::Read(operation, stamp, at);
                if let Some(floor) = floor.filter(|floor| !kept(floor, stamp, Some(value))) {
                    let restart = self.restart_since(floor);
                    let sentence = format!("{}{restart}, and {how}, which is {value}", floor.how);
                    self.report(number, sentence, cause(floor, self.known[number]));
                } else {
                    self.know(number, stamp, Some(value), how, self.life);
                }
            }
            (Outcome::Absent, ..) => {
                if let Some(floor) = floor.filter(|floor| !was_deleted && !self.is_deleted(number, floor)) {
                    let restart = self.restart_since(floor);
                    let name = operation.name();
                    let sentence = format!("{}{restart}, and {name} found no {key} there at {}", floor.how, At(at));
                    self.report(number, sentence, cause(floor, self.known[number]));
                }
            }
            _ => {}
        }
    }

    /// Whether the leader may have nothing for a key of which this was known: it was deleted since. Something newer than
    /// that may have been written by now.
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
            return self.stored_in_the_end();
        }
        let Some((_, dump)) = run.states.iter().find(|(node, _)| node.can_lead()) else { return };
        for (key, number) in keys.in_order() {
            let Some(known) = self.known[number] else { continue };
            let entry = dump.get(key);
            let is_kept = match entry {
                None => self.is_deleted(number, &known),
                Some(entry) => {
                    // The epoch is not told, and is not below.
                    let stamp = Stamp { epoch: known.stamp.epoch, version: entry.version };
                    kept(&known, stamp, Some(&entry.value))
                }
            };
            if is_kept {
                continue;
            }
            let has = match entry {
                None => "nothing".into(),
                Some(entry) => format!("v{} = {}", entry.version, entry.value),
            };
            let restart = self.restart_since(&known);
            let sentence = format!("{}{restart}, and in the end it has {has} for {key}", known.how);
            self.report(number, sentence, known.protection.cause);
        }
    }

    /// No leader serves in the end. What no node stores then is gone.
    fn stored_in_the_end(&mut self) {
        for (key, number) in self.prepared.keys.in_order() {
            let Some(known) = self.known[number].filter(|known| known.value.is_some()) else { continue };
            let nodes = self.replay.running();
            let is_stored =
                |node| self.replay.held(node, number).is_some_and(|held| kept(&known, held.stamp, held.value));
            if nodes.into_iter().any(is_stored) || self.collected[number] > Some(known.stamp) {
                continue;
            }
            let restart = self.restart_since(&known);
            let cause = known.protection.cause.or_else(|| {
                let (remembering, needed) = self.memories_for(self.life, known.protection.by, number);
                (remembering < needed).then_some(Cause::Waits { remembering, needed })
            });
            self.report(number, format!("{}{restart}, and in the end no node stores that of {key}", known.how), cause);
        }
    }

    /// `; n1 crashed at 2000 ms`, if it did after this became known.
    fn restart_since(&self, known: &Known<'_>) -> String {
        let mut crashes = self.crashes.iter();
        let crash = crashes.find(|(node, life, _)| node.can_lead() && *life == known.life);
        crash.map(|(node, _, at)| format!("; {node} crashed at {}", At(*at))).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
