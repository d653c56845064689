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
//! Where only clients were recorded, the store may have held a value of the key **before** ([`Recorded::of_clients`]). That
//! is one value with one stamp, and less than any that took effect since; so if anybody saw it, it is what was read with
//! the smallest stamp, and nobody found the key absent. The history of the key is in order if it is with that read taken
//! for what had been there, or without. Operations whose stamps are not known cannot be ordered, and nothing is judged.
//!
//! **Covered** are operations on the leader. Reads at followers are local by contract, may be stale, and are counted in
//! [`sessions`](super::sessions) instead. Values of one key must be unique, so that a value names its write.

use std::collections::BTreeMap;

use super::evidence::{At, count, not_applicable};
use super::prepared::one_epoch;
use super::{Property, Recorded, Verdict};
use crate::base::history::{Kind, Moment, Operation};
use crate::base::trace::{Event, Outcome};
use crate::base::{Key, ReadMode, Stamp, Value};

/// Checks it. O(n log n).
pub fn check(run: &Recorded<'_>) -> Verdict {
    let mut keys: BTreeMap<&Key, Vec<&Operation>> = BTreeMap::new();
    let stays = one_epoch(run);
    let covered = move |operation: &&Operation| {
        operation.target.is_leader() && (operation.is_write() || stays || operation.mode == ReadMode::Linearizable)
    };
    let at_leader = || run.history.operations.iter().filter(covered);
    let anew = beginnings(run);
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
    let mut evidence = Vec::new();
    let mut checked = 0;
    for operations in keys.values() {
        let mut result = in_order(operations, None, &anew);
        if let Some(before) = from_before(operations).filter(|_| run.facts.is_none() && result.is_err()) {
            result = in_order(operations, Some(before), &anew);
        }
        match result {
            Ok(steps) => checked += steps,
            Err(why) => evidence.push(why),
        }
    }
    Verdict::unless(Property::Linearizability, evidence, || {
        format!("{} on {} at the leader", count(checked, "operation"), count(keys.len(), "key"))
    })
}

/// When a leader began anew, with nothing, because nothing had survived anywhere: what was before is lost, and whether that
/// may be is a question of durability.
fn beginnings(run: &Recorded<'_>) -> Vec<Moment> {
    let records = run.records.iter().enumerate();
    let anew = records.filter(|(_, record)| matches!(record.event, Event::Recovered { anew: true, .. }));
    anew.map(|(index, record)| Moment { index, at: record.at }).collect()
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
    if operations.iter().any(|operation| operation.outcome == Outcome::Absent) {
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
fn in_order<'a>(operations: &[&'a Operation], before: Option<Before<'a>>, anew: &[Moment]) -> Result<usize, String> {
    let steps = steps(operations, before)?;
    let count = steps.len();
    walk(steps, anew)?;
    Ok(count)
}

/// An operation that took effect.
#[derive(Clone, Copy)]
struct Step<'a> {
    operation: &'a Operation,
    /// `None` for a read that found nothing.
    stamp: Option<Stamp>,
    /// `None` for a write that took effect, but when is unknown.
    returned: Option<Moment>,
}

/// The operations of one key that took effect, with their stamps.
fn steps<'a>(operations: &[&'a Operation], before: Option<Before<'a>>) -> Result<Vec<Step<'a>>, String> {
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
    Ok(steps)
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
    // With unique values there is one at most; otherwise the one whose stamp is known is the better guess.
    let mut candidates = writers.iter().filter(|write| may_be(write));
    let known = candidates.clone().find(|write| write.stamp.is_some());
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

/// Walks through the invocations and returns of one key.
fn walk(steps: Vec<Step<'_>>, anew: &[Moment]) -> Result<(), String> {
    let mut moments: Vec<(Moment, bool, Step<'_>)> = Vec::with_capacity(steps.len() * 2);
    for step in steps {
        moments.push((step.operation.invoked, false, step));
        moments.extend(step.returned.map(|returned| (returned, true, step)));
    }
    moments.sort_by_key(|(moment, is_return, _)| (*moment, *is_return));
    let mut seen_at_invocation: Option<Step<'_>> = None;
    let mut anew = anew.iter().peekable();
    for (moment, is_return, step) in moments {
        // What was before is gone, and rightly so.
        while anew.next_if(|beginning| **beginning < moment).is_some() {
            seen_at_invocation = None;
        }
        let greatest = seen_at_invocation.and_then(|seen| seen.stamp);
        if is_return {
            if step.stamp > greatest {
                seen_at_invocation = Some(step);
            }
            continue;
        }
        let may = if step.operation.is_write() { step.stamp > greatest } else { step.stamp >= greatest };
        // If a leader began anew meanwhile, it may have been after that.
        let spans = |beginning: &&&Moment| step.returned.is_none_or(|returned| ***beginning < returned);
        if anew.peek().filter(spans).is_some() {
            continue;
        }
        if let (false, Some(before)) = (may, seen_at_invocation) {
            return Err(format!("{}, though before that {}", describe_step(&step), describe_step(&before)));
        }
    }
    Ok(())
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
        (true, Some(stamp)) => format!("wrote {key} {stamp}"),
        (true, None) => format!("wrote {key}"),
        (false, Some(stamp)) => format!("read {key} {stamp}"),
        (false, None) => format!("found no {key}"),
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
mod tests {
    use super::*;
    use crate::check::Finding;
    use crate::check::testing::{Story, c, f};

    const LEADER: crate::base::NodeId = crate::base::NodeId::Leader;

    /// c1 writes v1 from 1 to 5 ms.
    fn written() -> Story {
        let mut story = Story::new();
        story.at(1).invoke_set(c(1), 1, "k", "1").at(5).wrote(c(1), 1, Outcome::Ok, 1);
        story
    }

    #[test]
    fn a_right_run_is_not_accused() {
        let mut story = written();
        story.at(6).invoke_get(c(2), 1, LEADER, "k").invoke_set(c(1), 2, "k", "2").found(c(2), 1, 2, "2");
        story.at(7).invoke_get(c(3), 1, LEADER, "k").found(c(3), 1, 2, "2").wrote(c(1), 2, Outcome::Unknown, 2);
        story.at(8).invoke_get(c(2), 2, f(1).into(), "k").found(c(2), 2, 1, "1").invoke_set(c(1), 3, "k", "3");
        assert_eq!(story.holds(check), "4 operations on 1 key at the leader", "the follower's is not covered");
    }

    #[test]
    fn a_stale_read() {
        let mut story = written();
        story.at(6).invoke_get(c(2), 1, LEADER, "k").at(7).found(c(2), 1, 0, "");
        assert_eq!(
            story.evidence(check),
            ["c2#1, from 6 to 7 ms, found no k, though before that c1#1, from 1 to 5 ms, wrote k v1"]
        );
    }

    #[test]
    fn a_write_behind_one_that_had_ended() {
        let mut story = written();
        story.at(6).invoke_set(c(2), 1, "k", "2").at(8).wrote(c(2), 1, Outcome::Ok, 1);
        assert_eq!(story.evidence(check), ["c1#1 and c2#1 both wrote k v1"]);
    }

    /// What a read saw of an unknown write cannot be unseen.
    #[test]
    fn a_value_that_was_seen_vanishes() {
        let mut story = written();
        story.at(6).invoke_set(c(2), 1, "k", "2").at(7).invoke_get(c(3), 1, LEADER, "k").at(8).found(c(3), 1, 2, "2");
        story.at(9).wrote(c(2), 1, Outcome::Unknown, 0).invoke_get(c(3), 2, LEADER, "k").at(10).found(c(3), 2, 1, "1");
        assert_eq!(
            story.evidence(check),
            ["c3#2, from 9 to 10 ms, read k v1, though before that c3#1, from 7 to 8 ms, read k v2"]
        );
    }

    /// Clients alone say nothing of what was there when they began.
    #[test]
    fn what_was_there_before_the_clients_is_not_accused() {
        let before = || {
            let mut story = Story::new();
            story.at(1).invoke_get(c(1), 1, LEADER, "k").found(c(1), 1, 4, "9");
            story.at(3).invoke_set(c(1), 2, "k", "1").at(5).wrote(c(1), 2, Outcome::Ok, 5);
            story
        };
        let finding = |story: &Story| story.verdict_of_clients(check).finding;
        assert_eq!(finding(&before()), Finding::Holds("2 operations on 1 key at the leader".into()));
        let violated = |why: &str| Finding::Violated(vec![why.to_owned()]);
        assert_eq!(
            before().verdict(check).finding,
            violated("c1#1, from 1 to 1 ms, read k v4 = 9, which nobody wrote"),
            "a trace begins with an empty store"
        );
        let mut stale = before();
        stale.at(6).invoke_get(c(2), 1, LEADER, "k").at(7).found(c(2), 1, 4, "9");
        let why = "c2#1, from 6 to 7 ms, read k v4, though before that c1#2, from 3 to 5 ms, wrote k v5";
        assert_eq!(finding(&stale), violated(why));
        let mut absent = before();
        absent.at(0).invoke_get(c(2), 1, LEADER, "k").found(c(2), 1, 0, "").in_order_of_time();
        let why = "c1#1, from 1 to 1 ms, read k v4 = 9, which nobody wrote";
        assert_eq!(finding(&absent), violated(why), "nothing was there");
        let mut other = before();
        other.at(3).invoke_get(c(2), 1, LEADER, "k").at(4).found(c(2), 1, 4, "8");
        let why = "c2#1, from 3 to 4 ms, read k v4 = 8, though others found 9 for it";
        assert_eq!(finding(&other), violated(why));
    }

    #[test]
    fn without_versions_nothing_is_judged() {
        let mut story = Story::new();
        let not_applicable = |why: &str| Finding::NotApplicable(why.into());
        assert_eq!(story.verdict_of_clients(check).finding, not_applicable("nothing was asked of the leader"));
        story.at(1).invoke_set(c(1), 1, "k", "1").at(5).wrote(c(1), 1, Outcome::Ok, 0);
        let why = "it needs versions, and c1#1 has none";
        assert_eq!(story.verdict_of_clients(check).finding, not_applicable(why));
    }

    #[test]
    fn a_value_that_is_not_there() {
        let read = |outcome, version, json: &str| {
            let mut story = written();
            story.at(6).invoke_set(c(2), 1, "k", "2").at(7).wrote(c(2), 1, outcome, 0);
            story.at(8).invoke_get(c(3), 1, LEADER, "k").found(c(3), 1, version, json);
            story.at(9).invoke_set(c(2), 2, "k", "3").wrote(c(2), 2, Outcome::Ok, 9);
            story.evidence(check).concat()
        };
        assert_eq!(read(Outcome::Unknown, 2, "7"), "c3#1, from 8 to 8 ms, read k v2 = 7, which nobody wrote");
        assert!(read(Outcome::Failed, 2, "2").ends_with("= 2, but c2#1, which was to write it, was refused"));
        assert!(read(Outcome::Unknown, 2, "1").ends_with("= 1, but c1#1, which wrote it, got v1"));
        assert!(read(Outcome::Unknown, 9, "3").ends_with("read k v9, which c2#2 was to write only at 9 ms"));
    }
}
