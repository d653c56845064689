//! Linearizability: the leader behaves like a single copy, on which each operation takes effect at one instant between
//! its invocation and its return (Herlihy and Wing, *Linearizability: A Correctness Condition for Concurrent Objects*,
//! 1990). It is checked for each key alone, which is enough, for linearizability is local (the same paper, theorem 1).
//!
//! Deciding it for histories in general is NP-complete (Gibbons and Korach, *Testing Shared Memories*, 1997), and general
//! checkers search (Wing and Gong, *Testing and Verifying Concurrent Objects*, 1993). Here the writes of a key are ordered
//! already: by their stamps, in which order they must take effect. With the order of the writes given, Gibbons and Korach
//! show that O(n log n) suffices, and the check is a walk through invocations and returns, in the order in which they were
//! recorded. M is the greatest stamp of the operations that have returned.
//!
//! - On an invocation, a write must have a stamp greater than M, a read one that is not less than M.
//! - On a return, M becomes the greater of M and the operation's stamp.
//! - No two writes have one stamp, and the write that a read saw was invoked before the read returned.
//!
//! What has no answer: a write whose outcome is unknown may take effect at any time after its invocation, or never. One
//! that a read saw did take effect, and never returns; one that nobody saw is left out. A write that was refused has no
//! effect, so nobody may see its value. A read that found nothing has a stamp less than any.
//!
//! A deletion is a write. A read that found nothing saw the store before the first write of its key, or after a deletion; it does
//! not say which. It takes effect after the first that it can have seen: the deletion with the smallest stamp that is not less than M
//! was at its invocation, and that was invoked before it returned. (Nothing is lost by that: a smaller stamp leaves more room for
//! what comes later.) A deletion whose outcome is unknown took effect then, and must have had a stamp greater than M when it was
//! invoked. Its stamp is in the records of the leader that accepted it; where only clients were recorded it may be unknown, and then
//! it explains any such read.
//!
//! Where a leader bootstrapped, an operator accepted a loss, or no follower knew which of two leaders is the later, what had
//! returned before may be gone. A history that is in order only if it need not keep to the order across such a moment is
//! LOST, and not in order.
//!
//! A write and its retries are one write: it was invoked when it was asked for first, and returned when it was acknowledged first.
//!
//! Where only clients were recorded, the store may have held a value of the key **before** ([`Recorded::of_clients`]). That
//! is one value with one stamp, and less than any that took effect since; so if anybody saw it, it is what was read with
//! the smallest stamp, and nobody found the key absent. The history of the key is in order if it is with that read taken
//! for what had been there, or without. Operations whose stamps are not known cannot be ordered, and nothing is judged.
//!
//! **Covered** are operations on the leader. Reads at followers are local by contract, may be stale, and are counted in
//! [`sessions`](super::sessions) instead. Values of one key must be unique, so that a value names its write.

mod deletions;
mod retries;

use std::collections::{BTreeMap, BTreeSet};

use deletions::Deletions;

use super::evidence::{At, count, names, not_applicable};
use super::leaders::Leaders;
use super::prepared::one_epoch;
use super::{Property, Recorded, Verdict};
use crate::base::history::{Kind, Moment, Operation};
use crate::base::trace::{Event, Outcome};
use crate::base::{Epoch, Key, NodeId, ReadMode, Stamp, Value};

/// Checks it. O(n log n).
pub fn check(run: &Recorded<'_>) -> Verdict {
    let mut keys: BTreeMap<&Key, Vec<&Operation>> = BTreeMap::new();
    let stays = one_epoch(run);
    let covered = move |operation: &&Operation| {
        operation.target.can_lead() && (operation.is_write() || stays || operation.mode == ReadMode::Linearizable)
    };
    let operations = retries::merged(run);
    let at_leader = || operations.iter().filter(covered);
    let breaks = breaks(run);
    if run.facts.is_none() {
        if at_leader().next().is_none() {
            return not_applicable(Property::Linearizability, "nothing was asked of the leader");
        }
        if let Some(operation) =
            at_leader().find(|operation| operation.outcome == Outcome::Ok && operation.stamp.is_none())
        {
            let why = format!("it needs versions, and {} has none", operation.name());
            return not_applicable(Property::Linearizability, why);
        }
    }
    at_leader().for_each(|operation| keys.entry(&operation.key).or_default().push(operation));
    let accepted = deletions::accepted(run);
    let (mut violations, mut losses) = (Vec::new(), Vec::new());
    let mut checked = 0;
    for operations in keys.values() {
        let deletions = Deletions::of(operations, accepted.as_ref());
        let mut result = in_order(operations, None, &deletions, &[]);
        if let Some(before) = from_before(operations).filter(|_| run.facts.is_none() && result.is_err()) {
            result = in_order(operations, Some(before), &deletions, &[]);
        }
        match result {
            Ok(steps) => checked += steps,
            Err(why) if breaks.is_empty() => violations.push(why),
            Err(why) => {
                let moments: Vec<Moment> = breaks.iter().map(|(moment, _)| *moment).collect();
                match in_order(operations, None, &deletions, &moments) {
                    Ok(_) => losses.push(format!("{why}; {}", in_words(&breaks))),
                    Err(why) => violations.push(why),
                }
            }
        }
    }
    Verdict::against(Property::Linearizability, violations, losses, || {
        format!("{} on {} at the leader", count(checked, "operation"), count(keys.len(), "key"))
    })
}

/// A moment at which acknowledged data can have been lost. Whether it may is a question of durability.
#[derive(Debug, Clone, Copy)]
enum Break {
    /// A leader bootstrapped, or an operator had accepted a loss.
    Bootstrap,
    /// No follower was left that knew which of two leaders is the later.
    TwoLeaders,
}

/// The moments from which on an operation need not take effect after what had returned before.
fn breaks(run: &Recorded<'_>) -> Vec<(Moment, Break)> {
    let mut remember: BTreeSet<NodeId> = BTreeSet::new();
    let mut leaders = Leaders::default();
    let mut breaks = Vec::new();
    for (index, record) in run.records.iter().enumerate() {
        leaders.follow(record);
        let found = match &record.event {
            Event::Recovered { anew: true, epoch, .. } => (*epoch > Epoch::FIRST).then_some(Break::Bootstrap),
            Event::Install { .. } => {
                remember.insert(record.node);
                None
            }
            Event::Crash => {
                let is_last = remember.remove(&record.node) && remember.is_empty();
                (is_last && leaders.has_former()).then_some(Break::TwoLeaders)
            }
            _ => None,
        };
        breaks.extend(found.map(|found| (Moment { index, at: record.at }, found)));
    }
    breaks
}

/// What explains a loss, where any of these moments may do.
fn in_words(breaks: &[(Moment, Break)]) -> String {
    let of = |wanted: fn(&Break) -> bool| {
        let moments = breaks.iter().filter(|(_, found)| wanted(found));
        let times: Vec<At> = moments.map(|(moment, _)| At(moment.at)).collect();
        (!times.is_empty()).then(|| names(times))
    };
    let bootstrap = of(|found| matches!(found, Break::Bootstrap));
    let bootstrap = bootstrap.map(|times| format!("a leader began with less than was acknowledged at {times}"));
    let two_leaders = of(|found| matches!(found, Break::TwoLeaders));
    let two_leaders =
        two_leaders.map(|times| format!("all followers had lost their memory while two leaders ran at {times}"));
    bootstrap.into_iter().chain(two_leaders).collect::<Vec<_>>().join(", and ")
}

/// What the store held before anything was recorded.
#[derive(Clone, Copy, PartialEq)]
struct Before<'a> {
    stamp: Stamp,
    value: &'a Value,
}

/// The read of a key that found what the store held before, if any can have: the one with the smallest stamp, if that is
/// below every acknowledged write that was invoked before it returned, and the key was never absent.
fn from_before<'a>(operations: &[&'a Operation]) -> Option<Before<'a>> {
    let has_deletes = operations.iter().any(|operation| operation.kind == Kind::Delete);
    if !has_deletes && operations.iter().any(|operation| operation.outcome == Outcome::Absent) {
        return None;
    }
    let found = |operation: &&'a Operation| match &operation.kind {
        Kind::Read(Some(value)) => Some((Before { stamp: operation.stamp?, value }, operation.returned?)),
        _ => None,
    };
    let (before, returned) =
        operations.iter().filter_map(found).min_by_key(|(before, moment)| (before.stamp, *moment))?;
    let acknowledged = |operation: &Operation| operation.is_write() && operation.outcome == Outcome::Ok;
    let mut writes = operations.iter().filter(|write| acknowledged(write) && write.invoked < returned);
    writes.all(|write| write.stamp.is_none_or(|stamp| stamp > before.stamp)).then_some(before)
}

/// How many operations of a key took effect, if there is an order for them.
fn in_order<'a>(
    operations: &[&'a Operation],
    before: Option<Before<'a>>,
    deletions: &Deletions<'a>,
    anew: &[Moment],
) -> Result<usize, String> {
    let (steps, effective) = steps(operations, before)?;
    let count = steps.len();
    walk(steps, before.map(|before| before.stamp), &deletions.without(&effective), anew)?;
    Ok(count)
}

/// An operation that took effect.
#[derive(Clone, Copy)]
struct Step<'a> {
    operation: &'a Operation,
    /// `None` for a read that found nothing, unless it saw a deletion.
    stamp: Option<Stamp>,
    /// `None` for a write that took effect, but when is unknown.
    returned: Option<Moment>,
}

/// The operations of one key that took effect, with their stamps.
fn steps<'a>(
    operations: &[&'a Operation],
    before: Option<Before<'a>>,
) -> Result<(Vec<Step<'a>>, Effective<'a>), String> {
    let writers = writers(operations);
    let mut effective = Effective::default();
    let mut steps = Vec::new();
    for write in operations {
        if let (true, Outcome::Ok, Some(stamp)) = (write.is_write(), write.outcome, write.stamp) {
            effective.note(stamp, write)?;
            steps.push(Step { operation: write, stamp: Some(stamp), returned: write.returned });
        }
    }
    for read in operations {
        let stamp = match (&read.kind, read.outcome, read.stamp) {
            (Kind::Read(_), Outcome::Absent, _) => None,
            (Kind::Read(Some(value)), Outcome::Ok, Some(stamp))
                if before.is_some_and(|before| before.stamp == stamp) =>
            {
                let had = before.map(|before| before.value).filter(|had| *had != value);
                if let Some(had) = had {
                    return Err(format!("{} = {value}, though others found {had} for it", describe(read)));
                }
                Some(stamp)
            }
            (Kind::Read(Some(value)), Outcome::Ok, Some(stamp)) => {
                let writers = writers.get(value.as_json()).map_or(&[][..], Vec::as_slice);
                let write = writer(writers, read, stamp, value)?;
                if effective.note(stamp, write)? {
                    steps.push(Step { operation: write, stamp: Some(stamp), returned: None });
                }
                if read.returned.is_some_and(|returned| write.invoked > returned) {
                    return Err(format!(
                        "{}, which {} was to write only at {}",
                        describe(read),
                        write.name(),
                        At(write.invoked.at)
                    ));
                }
                // What was recovered has its place where it was written.
                Some(write.stamp.unwrap_or(stamp))
            }
            _ => continue,
        };
        steps.push(Step { operation: read, stamp, returned: read.returned });
    }
    Ok((steps, effective))
}

/// The writes of one key by the values that they wrote, for the reads that found one, if there are any.
fn writers<'a>(operations: &[&'a Operation]) -> BTreeMap<&'a str, Vec<&'a Operation>> {
    let mut writers: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    if operations.iter().any(|operation| matches!(operation.kind, Kind::Read(Some(_)))) {
        for write in operations {
            let Kind::Write(value) = &write.kind else { continue };
            writers.entry(value.as_json()).or_default().push(write);
        }
    }
    writers
}

/// The writes of one key that took effect.
#[derive(Default)]
struct Effective<'a> {
    by_stamp: BTreeMap<Stamp, &'a Operation>,
    stamps: BTreeMap<Moment, Stamp>,
}

impl<'a> Effective<'a> {
    /// Notes that a write took effect with this stamp; true if that is new.
    fn note(&mut self, stamp: Stamp, write: &'a Operation) -> Result<bool, String> {
        let key = &write.key;
        match self.stamps.insert(write.invoked, stamp) {
            // Under a later epoch it is the same write still.
            Some(same) if same.version == stamp.version => {
                return match self.by_stamp.insert(stamp, write) {
                    Some(other) if other.invoked != write.invoked => {
                        Err(format!("{} and {} both wrote {key} {stamp}", other.name(), write.name()))
                    }
                    _ => Ok(false),
                };
            }
            Some(other) => return Err(format!("{} wrote {key} both as {other} and as {stamp}", write.name())),
            None => {}
        }
        match self.by_stamp.insert(stamp, write) {
            None => Ok(true),
            Some(other) => Err(format!("{} and {} both wrote {key} {stamp}", other.name(), write.name())),
        }
    }
}

/// The write that a read saw.
fn writer<'a>(
    writers: &[&'a Operation],
    read: &Operation,
    stamp: Stamp,
    value: &Value,
) -> Result<&'a Operation, String> {
    // A leader that has recovered a write gives it its own epoch.
    let is_it = |given: Stamp| given.version == stamp.version && given.epoch <= stamp.epoch;
    let may_be = |write: &Operation| match write.outcome {
        Outcome::Ok => write.stamp.is_some_and(is_it),
        Outcome::Unknown => write.stamp.is_none_or(is_it),
        Outcome::Failed | Outcome::Absent => false,
    };
    // With unique values there is one at most; otherwise the last one whose stamp is known is the best guess.
    let mut candidates = writers.iter().filter(|write| may_be(write));
    let known = candidates.clone().filter(|write| write.stamp.is_some()).max_by_key(|write| write.stamp);
    if let Some(write) = known.or_else(|| candidates.next()) {
        return Ok(write);
    }
    Err(match writers.first() {
        None => format!("{} = {value}, which nobody wrote", describe(read)),
        Some(write) if write.outcome == Outcome::Failed => {
            format!("{} = {value}, but {}, which was to write it, was refused", describe(read), write.name())
        }
        Some(write) => {
            let got = write.stamp.map_or_else(|| "no stamp".into(), |stamp| stamp.to_string());
            format!("{} = {value}, but {}, which wrote it, got {got}", describe(read), write.name())
        }
    })
}

/// Walks through the invocations and returns of one key. `first` is the stamp of what was there before, if anything was.
fn walk(steps: Vec<Step<'_>>, first: Option<Stamp>, deletions: &Deletions<'_>, anew: &[Moment]) -> Result<(), String> {
    let mut moments: Vec<(Moment, bool, Step<'_>)> = Vec::with_capacity(steps.len() * 2);
    for step in steps {
        moments.push((step.operation.invoked, false, step));
        moments.extend(step.returned.map(|returned| (returned, true, step)));
    }
    moments.sort_by_key(|(moment, is_return, _)| (*moment, *is_return));
    let mut seen = Seen::default();
    let mut anew = anew.iter().peekable();
    for (moment, is_return, mut step) in moments {
        // What was before is gone, and rightly so.
        while let Some(beginning) = anew.next_if(|beginning| **beginning < moment) {
            seen.0.push((*beginning, None));
        }
        let greatest = seen.last();
        let finds_nothing = step.operation.outcome == Outcome::Absent;
        if is_return {
            let invoked = step.operation.invoked;
            let was_there = || seen.before(invoked).is_some() || first.is_some();
            if finds_nothing && !seen.began_anew_since(invoked) && was_there() {
                step.stamp = deletions.seen_by(&step, first, &seen)?;
            }
            if step.stamp > greatest.and_then(|seen| seen.stamp) {
                seen.0.push((moment, Some(step)));
            }
            continue;
        }
        // What it saw is known when it returns.
        if finds_nothing {
            continue;
        }
        let stamp = greatest.and_then(|seen| seen.stamp);
        let may = if step.operation.is_write() { step.stamp > stamp } else { step.stamp >= stamp };
        // If a leader began anew meanwhile, it may have been after that.
        let spans = |beginning: &&&Moment| step.returned.is_none_or(|returned| ***beginning < returned);
        if anew.peek().filter(spans).is_some() {
            continue;
        }
        if let (false, Some(before)) = (may, greatest) {
            return Err(format!("{}, though before that {}", describe_step(&step), describe_step(&before)));
        }
    }
    Ok(())
}

/// The operation with the greatest stamp of those that had returned, from each moment on at which that changed; none from when a
/// leader began anew.
#[derive(Default)]
struct Seen<'a>(Vec<(Moment, Option<Step<'a>>)>);

impl<'a> Seen<'a> {
    fn last(&self) -> Option<Step<'a>> {
        self.0.last().and_then(|(_, step)| *step)
    }

    /// What had returned before this moment.
    fn before(&self, moment: Moment) -> Option<Step<'a>> {
        let changes = self.0.partition_point(|(since, _)| *since < moment);
        self.0[..changes].last().and_then(|(_, step)| *step)
    }

    fn began_anew_since(&self, moment: Moment) -> bool {
        self.0.iter().rev().take_while(|(since, _)| *since > moment).any(|(_, step)| step.is_none())
    }
}

/// `c2#5, from 1200 to 1203 ms, read k1 v3`
fn describe(operation: &Operation) -> String {
    describe_step(&Step { operation, stamp: operation.stamp, returned: operation.returned })
}

fn describe_step(step: &Step<'_>) -> String {
    let operation = step.operation;
    let key = &operation.key;
    let from = operation.invoked.at.0 as f64 / 1e3;
    let span = match operation.returned {
        Some(returned) => format!("from {from} to {}", At(returned.at)),
        None => format!("from {from} ms on"),
    };
    let did = match (operation.is_write(), step.stamp) {
        (true, Some(stamp)) if operation.kind == Kind::Delete => format!("deleted {key} as {stamp}"),
        (true, Some(stamp)) => format!("wrote {key} {stamp}"),
        (true, None) => format!("wrote {key}"),
        (false, Some(stamp)) if operation.outcome == Outcome::Ok => format!("read {key} {stamp}"),
        (false, _) => format!("found no {key}"),
    };
    format!("{}, {span}, {did}", operation.name())
}

#[cfg(test)]
mod brute_force;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod wgl;

#[cfg(test)]
mod tests;
