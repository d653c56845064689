//! Integrity: what is stored or read is what somebody wrote, and a stamp names one write for ever.
//!
//! Three things, over everything that was accepted, applied, answered and read, and over what the nodes store in the end:
//!
//! 1. One key and stamp have one value.
//! 2. A value of a key was the value of a set of that key that was invoked before. (No creation: the *integrity* of
//!    reliable broadcast; Cachin, Guerraoui and Rodrigues, *Introduction to Reliable and Secure Distributed Programming*,
//!    2011, chapter 3.)
//! 3. Within one life of the leader, and one epoch, the versions of a key step by one. The first write of a key, and the first one
//!    after the key was deleted, has the version after the greatest that any deletion had, and 1 if there was none. (What a later
//!    life or epoch begins with depends on what was recovered.)
//!
//! That a key is deleted is one value among others, and written by whoever deletes it.
//!
//! What a node stores in the end is known by its version, so it counts only where there was one epoch. The value of a
//! set that was refused does not count as written.
//!
//! Where only clients were recorded, their writes and reads are checked against the first two rules, and a value that may
//! be older than the history is not accused ([`Recorded::of_clients`]): one whose stamp is below that of every acknowledged write
//! of the key and of every recorded write of its epoch, or one without a stamp, unless it was read at the leader after a recorded
//! write of the key had been acknowledged. The value of a refused write is accused in any case, unless the write was conditional:
//! then the value
//! may have been there before.
//!
//! A read with a `min_version` returns that version or a later one. A leader accepts a conditional write only if its key
//! has the required version.

mod conditions;

use std::collections::BTreeMap;
use std::fmt;

use super::calls::Call;
use super::coverage::Skips;
use super::evidence::{At, count, not_applicable};
use super::excuse::Excuses;
use super::keys::Keys;
use super::prepared::Prepared;
use super::text::Text;
use super::{Excuse, Property, Recorded, Verdict};
use crate::base::history::{Kind, Moment, Operation};
use crate::base::trace::{Event, Outcome, Record};
use crate::base::wire::DumpEntry;
use crate::base::{Epoch, Key, NodeId, Stamp, Value, Version};

/// Checks it. O(n log n). A stamp that is seen for the first time after greater ones of its key takes
/// as many moves as there are greater ones.
pub fn check(run: &Recorded<'_>) -> Verdict {
    judge(&Prepared::of(run))
}

pub(super) fn judge(prepared: &Prepared<'_>) -> Verdict {
    let Prepared { run, keys, .. } = prepared;
    let mut check = Check::new(run.facts.is_some(), keys);
    let mut calls = prepared.calls.walk();
    for (place, record) in prepared.deeds() {
        while let Some(call) = calls.next_until(place) {
            check.follow(call);
        }
        match &record.event {
            Event::Accept { key, stamp, value, .. } => {
                let (key, value) = ((key, keys.stored_at(place)), value.as_ref());
                check.claim(key, *stamp, value, Witness::Accepted(record));
                check.step(record, key, *stamp, value.is_none());
            }
            Event::Apply { key, stamp, value, .. } | Event::Recover { key, stamp, value } => {
                check.claim((key, keys.stored_at(place)), *stamp, value.as_ref(), Witness::Applied(record));
            }
            _ => {}
        }
    }
    while let Some(call) = calls.next_until(usize::MAX) {
        check.follow(call);
    }
    // What a node stores in the end is known by its version alone, which says enough only if there was one epoch.
    for (node, dump) in run.states {
        for (key, entry) in dump {
            let Some(number) = keys.number(key) else { continue };
            let witness = Witness::Has(*node);
            if !prepared.has_one_epoch() {
                check.has_in_the_end((key, number), entry, witness);
                continue;
            }
            check.claim((key, number), Stamp::of_version(entry.version), Some(&entry.value), witness);
        }
    }
    let Check { claims, claimed, unstamped, skips, mut evidence, excuses, .. } = check;
    evidence.extend(run.facts.map(|facts| conditions::broken(prepared, facts)).unwrap_or_default());
    if run.facts.is_none() && claimed + unstamped == 0 {
        let skipped = skips.into_vec();
        let why = match skipped.is_empty() {
            true => "no client was told of a version or a value",
            false => "no value could be judged",
        };
        return not_applicable(Property::Integrity, why).covering(0, skipped);
    }
    let verdict = Verdict::unless(Property::Integrity, evidence, || {
        let operations = count(run.history.operations.len(), "operation");
        let unstamped =
            if unstamped > 0 { format!("; {} without a version", count(unstamped, "value")) } else { String::new() };
        format!(
            "{} of {operations}, seen {}{unstamped}",
            count(claims.iter().map(Vec::len).sum(), "stamp"),
            count(claimed, "time")
        )
    });
    verdict.excusing(excuses).covering(claimed + unstamped, skips.into_vec())
}

/// Who says that a stamp has a value.
#[derive(Clone, Copy)]
enum Witness<'a> {
    /// The node that accepted it.
    Accepted(&'a Record),
    /// The node that applied it.
    Applied(&'a Record),
    /// The client of the operation that wrote or found it.
    Told(&'a Operation, Moment),
    /// The node that has it in the end.
    Has(NodeId),
}

impl fmt::Display for Witness<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted(record) => write!(f, "{} accepted it at {}", record.node, At(record.at)),
            Self::Applied(record) => write!(f, "{} applied it at {}", record.node, At(record.at)),
            Self::Told(operation, moment) => {
                let (name, at) = (operation.name(), At(moment.at));
                match operation.kind {
                    Kind::Write(_) | Kind::Delete => write!(f, "{name} was told so at {at}"),
                    Kind::Read(_) => write!(f, "{name} read it from {} at {at}", operation.target),
                }
            }
            Self::Has(node) => write!(f, "{node} has it in the end"),
        }
    }
}

/// Why a value cannot come from a recorded write.
#[derive(Clone, Copy)]
enum Unwritten<'a> {
    /// No write of this value had been invoked.
    Unknown,
    /// Every write of this value that had been invoked was refused; this is one of them.
    Refused(&'a Operation),
}

impl Unwritten<'_> {
    /// Whether the value cannot be older than the history. A conditional write may be refused because the key has the
    /// value that it would write.
    fn is_certain(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Refused(write) => write.condition.is_none(),
        }
    }
}

impl fmt::Display for Unwritten<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("which nobody had written before")?;
        match self {
            Self::Unknown => Ok(()),
            Self::Refused(write) => write!(f, ", for {}, which was to, was refused", write.name()),
        }
    }
}

/// A stamp of a key, and its value.
#[derive(Clone)]
struct Claim<'a> {
    stamp: Stamp,
    /// None if it deletes the key.
    value: Option<&'a Value>,
    /// Who was the first to say so.
    witness: Witness<'a>,
    /// What others say that it has. Any is a violation.
    others: Vec<Option<&'a Value>>,
}

impl Claim<'_> {
    fn has(&self, value: Option<&Value>) -> bool {
        self.value == value || self.others.contains(&value)
    }
}

/// What a stamp stands for, in words.
fn content(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing (deleted)".to_owned(), Value::to_string)
}

/// What is least of the recorded writes of a key.
#[derive(Clone, Default)]
struct Smallest {
    /// The least version of each epoch.
    of_epoch: BTreeMap<Epoch, Version>,
    /// The least stamp of those that were acknowledged.
    acknowledged: Option<Stamp>,
}

/// A key and its number among those of the run.
type Numbered<'a> = (&'a Key, usize);

struct Check<'a, 'r> {
    /// Whether nothing was stored when the records began.
    begins_empty: bool,
    keys: &'r Keys<'a>,
    /// The values that were to be written up to here, with the operation if it was refused. By the numbers of the keys.
    invoked: BTreeMap<(usize, Option<Text<'a>>), Option<&'a Operation>>,
    /// By the numbers of the keys: what is said of each stamp, in the order of the stamps.
    claims: Vec<Vec<Claim<'a>>>,
    claimed: usize,
    /// How many values were read without their stamps.
    unstamped: usize,
    /// By the numbers of the keys: the last stamp that each life of a leader gave, and whether it deleted the key.
    last: Vec<Vec<(u64, Stamp, bool)>>,
    /// By the lives of leaders: the epoch in which a key was deleted last, and the greatest version that a deletion had in it.
    deleted: BTreeMap<u64, (Epoch, Version)>,
    /// By the numbers of the keys: what is least of the recorded writes up to here, and when the first was acknowledged.
    recorded: Vec<Smallest>,
    acknowledged: Vec<Option<Moment>>,
    skips: Skips,
    evidence: Vec<String>,
    excuses: Excuses,
}

impl<'a, 'r> Check<'a, 'r> {
    fn new(begins_empty: bool, keys: &'r Keys<'a>) -> Self {
        Self {
            begins_empty,
            keys,
            invoked: BTreeMap::new(),
            claims: vec![Vec::new(); keys.len()],
            claimed: 0,
            unstamped: 0,
            last: vec![Vec::new(); keys.len()],
            deleted: BTreeMap::new(),
            recorded: vec![Smallest::default(); keys.len()],
            acknowledged: vec![None; keys.len()],
            skips: Skips::default(),
            evidence: Vec::new(),
            excuses: Excuses::default(),
        }
    }

    fn follow(&mut self, call: Call<'a>) {
        let (Call::Invoked(operation) | Call::Returned(operation, _)) = call;
        let Some(number) = self.keys.number(&operation.key) else { return };
        let key = (&operation.key, number);
        match call {
            Call::Invoked(operation) => self.invoked(operation, number),
            Call::Returned(operation, moment) => self.returned(operation, moment, key),
        }
    }

    fn returned(&mut self, operation: &'a Operation, moment: Moment, key: Numbered<'a>) {
        let (_, number) = key;
        if operation.is_write()
            && operation.outcome == Outcome::Ok
            && let Some(stamp) = operation.stamp
        {
            let recorded = &mut self.recorded[number];
            recorded.acknowledged = recorded.acknowledged.into_iter().chain([stamp]).min();
        }
        match (&operation.kind, operation.stamp) {
            (Kind::Write(value), stamp) => {
                if operation.outcome == Outcome::Ok {
                    self.acknowledged[number].get_or_insert(moment);
                }
                if let Some(stamp) = stamp {
                    self.claim(key, stamp, Some(value), Witness::Told(operation, moment));
                }
            }
            (Kind::Delete, Some(stamp)) => self.claim(key, stamp, None, Witness::Told(operation, moment)),
            (Kind::Read(Some(value)), Some(stamp)) => {
                self.check_min_version(operation, stamp, moment);
                self.claim(key, stamp, Some(value), Witness::Told(operation, moment));
            }
            (Kind::Read(Some(value)), None) => self.unstamped(operation, number, moment, value),
            (Kind::Read(None), _) | (Kind::Delete, None) => {}
        }
    }

    fn invoked(&mut self, operation: &'a Operation, key: usize) {
        let value = match &operation.kind {
            Kind::Write(value) => Some(value),
            Kind::Delete => None,
            Kind::Read(_) => return,
        };
        let refused = (operation.outcome == Outcome::Failed).then_some(operation);
        let before = self.invoked.entry((key, value.map(Text::of))).or_insert(refused);
        if refused.is_none() {
            *before = None;
        }
        if let Some(stamp) = operation.stamp {
            let smallest = self.recorded[key].of_epoch.entry(stamp.epoch).or_insert(stamp.version);
            *smallest = stamp.version.min(*smallest);
        }
    }

    fn check_min_version(&mut self, read: &Operation, stamp: Stamp, moment: Moment) {
        let Some(least) = read.min_version.filter(|least| stamp.version < *least) else { return };
        let (key, witness) = (&read.key, Witness::Told(read, moment));
        self.evidence.push(format!("{key} {stamp} was returned ({witness}), where v{least} or later was required"));
    }

    /// Where the value comes from, if not from a write that may have taken effect.
    fn unwritten(&self, key: usize, value: Option<&Value>) -> Option<Unwritten<'a>> {
        let invoked: &BTreeMap<(usize, Option<Text<'_>>), _> = &self.invoked;
        match invoked.get(&(key, value.map(Text::of))) {
            Some(None) => None,
            Some(Some(refused)) => Some(Unwritten::Refused(refused)),
            None => Some(Unwritten::Unknown),
        }
    }

    /// Whether it can have been there before anything was recorded: its stamp is below that of every acknowledged write, and of its epoch
    /// no write has been recorded that it is not below. (What was not acknowledged in another epoch bounds nothing: a leader that was
    /// deposed may have made it after a later leader, or that one may have recovered the value and not the write.)
    fn may_be_older(&self, key: usize, stamp: Stamp) -> bool {
        let recorded = &self.recorded[key];
        let is_below_its_epoch = || recorded.of_epoch.get(&stamp.epoch).is_none_or(|version| stamp.version < *version);
        let is_below_acknowledged = || recorded.acknowledged.is_none_or(|acknowledged| stamp < acknowledged);
        !self.begins_empty && is_below_its_epoch() && is_below_acknowledged()
    }

    fn claim(&mut self, (key, number): Numbered<'a>, stamp: Stamp, value: Option<&'a Value>, witness: Witness<'a>) {
        self.claimed += 1;
        let claims = &mut self.claims[number];
        let mut first = None;
        match claims.binary_search_by_key(&stamp, |claim| claim.stamp) {
            Ok(at) if claims[at].has(value) => return,
            Ok(at) => {
                first = Some((claims[at].value, claims[at].witness));
                claims[at].others.push(value);
            }
            Err(at) => claims.insert(at, Claim { stamp, value, witness, others: Vec::new() }),
        }
        let is_certain = |why: &Unwritten<'_>| why.is_certain() || !self.may_be_older(number, stamp);
        if let Some(why) = self.unwritten(number, value).filter(is_certain) {
            let value = content(value);
            self.evidence.push(format!("{key} {stamp} has the value {value} ({witness}), {why}"));
        }
        if let Some((known, first)) = first {
            let (known, value) = (content(known), content(value));
            self.evidence.push(format!("{key} {stamp} has two values: {known} ({first}) and {value} ({witness})"));
        }
    }

    /// A node stores this in the end, in an epoch that is not known. It must be what somebody wrote.
    fn has_in_the_end(&mut self, (key, number): Numbered<'a>, entry: &'a DumpEntry, witness: Witness<'a>) {
        let DumpEntry { value, version } = entry;
        if let Some(why) = self.unwritten(number, Some(value)) {
            self.evidence.push(format!("{key} v{version} has the value {value} ({witness}), {why}"));
        }
        let claims = &self.claims[number];
        let first = claims.binary_search_by_key(&Stamp::of_version(*version), |claim| claim.stamp);
        if first.is_ok_and(|at| !claims[at].has(Some(value))) {
            self.excuses.add(Excuse::UnknownEpoch, || format!("{key} v{version} has the value {value} ({witness})"));
        }
    }

    /// A value that was read without its stamp.
    fn unstamped(&mut self, read: &'a Operation, number: usize, moment: Moment, value: &Value) {
        let is_fresh =
            read.target.can_lead() && self.acknowledged[number].is_some_and(|acknowledged| acknowledged < read.invoked);
        match self.unwritten(number, Some(value)) {
            Some(why) if self.begins_empty || is_fresh || why.is_certain() => {
                let (key, witness) = (&read.key, Witness::Told(read, moment));
                self.evidence.push(format!("{key} has the value {value} ({witness}), {why}"));
            }
            Some(_) => {
                let why = "the value has no version and may be older than the history";
                return self.skips.add(&read.key, 1, true, why);
            }
            None => {}
        }
        self.unstamped += 1;
    }

    fn step(&mut self, record: &Record, (key, number): Numbered<'a>, stamp: Stamp, deletes: bool) {
        let life = record.incarnation;
        let of_lives = &mut self.last[number];
        let before = match of_lives.iter_mut().rev().find(|(of, ..)| *of == life) {
            Some((_, last, deleted)) => Some((std::mem::replace(last, stamp), std::mem::replace(deleted, deletes))),
            None => {
                of_lives.push((life, stamp, deletes));
                None
            }
        };
        let floor = self.deleted.get(&life).filter(|(epoch, _)| *epoch == stamp.epoch).map(|(_, version)| *version);
        if deletes {
            let version = floor.map_or(stamp.version, |floor| floor.max(stamp.version));
            self.deleted.insert(life, (stamp.epoch, version));
        }
        let after = |last: Option<Version>| last.map_or(Some(Version::FIRST), Version::next) == Some(stamp.version);
        let (is_next, excuse) = match before {
            Some((last, _)) if last.epoch > stamp.epoch => (false, None),
            Some((last, false)) if last.epoch == stamp.epoch => (after(Some(last.version)), None),
            _ if life == 0 && stamp.epoch == Epoch::FIRST => (after(floor), None),
            // How far deletions had come before is not known.
            Some((last, true)) if last.epoch == stamp.epoch => {
                (floor.is_none_or(|floor| stamp.version > floor), Some(Excuse::UnknownFloor))
            }
            // Under a later epoch it has recovered what others wrote meanwhile.
            _ => (true, Some(Excuse::RecoveredVersion)),
        };
        if is_next && let Some(excuse) = excuse.filter(|_| !after(floor)) {
            let at = At(record.at);
            self.excuses.add(excuse, || format!("{} accepted {key} {stamp} at {at}", record.node));
        }
        if !is_next {
            let floor = floor.map(|floor| format!(", when deletions had come to v{floor}")).unwrap_or_default();
            let before = match before {
                Some((last, false)) => format!("came after {last}"),
                Some((last, true)) => format!("came after the key was deleted as {last}{floor}"),
                None => format!("was the key's first write{floor}"),
            };
            let at = At(record.at);
            self.evidence.push(format!("{} accepted {key} {stamp} at {at}, which {before}", record.node));
        }
    }
}

#[cfg(test)]
mod tests;
