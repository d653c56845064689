//! The check by stamps: the writes of a key take effect in the order of their stamps. See the parent module for the
//! argument.

use std::collections::BTreeMap;

use super::deletions::{Deletions, Visible};
use super::describe::{describe, describe_step};
use super::register::NEVER;
use crate::base::history::{Kind, Moment, Operation};
use crate::base::trace::{Outcome, operation_name};
use crate::base::{Stamp, Value, Version};
use crate::check::evidence::At;

/// What the store held before anything was recorded.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Before<'a> {
    stamp: Stamp,
    value: &'a Value,
    /// Whether reads of the same value and version under later epochs found it, too: a leader that recovers it gives it its own.
    is_recovered: bool,
}

impl<'a> Before<'a> {
    /// The same, where later leaders recovered it.
    pub(super) fn recovered(self) -> Self {
        Self { is_recovered: true, ..self }
    }

    /// Whether a read with this stamp found it.
    fn is_found_as(&self, stamp: Stamp, value: &Value) -> bool {
        let is_same = || self.is_recovered && stamp.version == self.stamp.version && value == self.value;
        stamp == self.stamp || is_same()
    }
}

/// The read of a key that found what the store held before, if any can have: the one with the smallest stamp, if that is
/// below every acknowledged write that was invoked before it returned, and the key was never absent.
pub(super) fn from_before<'a>(operations: &[&'a Operation]) -> Option<Before<'a>> {
    let has_deletes = operations.iter().any(|operation| operation.kind == Kind::Delete);
    if !has_deletes && operations.iter().any(|operation| operation.outcome == Outcome::Absent) {
        return None;
    }
    let found = |operation: &&'a Operation| match &operation.kind {
        Kind::Read(Some(value)) => {
            Some((Before { stamp: operation.stamp?, value, is_recovered: false }, operation.returned?))
        }
        _ => None,
    };
    let (before, returned) =
        operations.iter().filter_map(found).min_by_key(|(before, moment)| (before.stamp, *moment))?;
    let acknowledged = |operation: &Operation| operation.is_write() && operation.outcome == Outcome::Ok;
    let mut writes = operations.iter().filter(|write| acknowledged(write) && write.invoked < returned);
    writes.all(|write| write.stamp.is_none_or(|stamp| stamp > before.stamp)).then_some(before)
}

/// How many operations of a key took effect, if there is an order for them.
pub(super) fn in_order<'a>(
    operations: &[&'a Operation],
    before: Option<Before<'a>>,
    deletions: &Deletions<'a>,
    anew: &[Moment],
) -> Result<usize, String> {
    let (steps, effective) = steps(operations, before)?;
    let count = steps.len();
    walk(steps, before.map(|before| before.stamp), deletions.without(&effective), anew)?;
    Ok(count)
}

/// An operation that took effect.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) operation: &'a Operation,
    /// `None` for a read that found nothing, unless it saw a deletion.
    pub(super) stamp: Option<Stamp>,
    /// `None` for a write that took effect, but when is unknown.
    pub(super) returned: Option<Moment>,
}

/// The operations of one key that took effect, with their stamps.
fn steps<'a>(
    operations: &[&'a Operation],
    before: Option<Before<'a>>,
) -> Result<(Vec<Step<'a>>, Effective<'a>), String> {
    let writers = Writers::of(operations, before);
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
                if before.is_some_and(|before| before.is_found_as(stamp, value)) =>
            {
                let had = before.map(|before| before.value).filter(|had| *had != value);
                if let Some(had) = had {
                    return Err(format!("{} = {value}, though others found {had} for it", describe(read)));
                }
                before.map(|before| before.stamp)
            }
            (Kind::Read(Some(value)), Outcome::Ok, Some(stamp)) => {
                let write = writers.of_read(read, stamp, value)?;
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

/// The writes that reads saw. A value that several operations wrote is matched by version.
struct Writers<'a> {
    /// All writes of the key, by value, in the order of their invocations.
    by_value: BTreeMap<&'a str, Vec<&'a Operation>>,
    /// The write that each value and version is taken to come from.
    matched: BTreeMap<(&'a str, Version), &'a Operation>,
    /// The same for those whose stamp is exactly that of a write.
    exact: BTreeMap<(&'a str, Stamp), &'a Operation>,
}

impl<'a> Writers<'a> {
    /// Matches the values that were read to the writes, but for the value from before.
    ///
    /// A write whose version is known is matched by it. The others must have distinct versions. A write can have the
    /// version v if it was invoked before the first return of an operation with v or a later version, so a write that
    /// can have v can also have every later version. Therefore it suffices to give the lowest version to the write
    /// that was invoked first.
    fn of(operations: &[&'a Operation], before: Option<Before<'_>>) -> Self {
        let mut by_value: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
        let mut read: BTreeMap<&str, Vec<Stamp>> = BTreeMap::new();
        for operation in operations {
            match (&operation.kind, operation.stamp) {
                (Kind::Write(value), _) => by_value.entry(value.as_json()).or_default().push(operation),
                (Kind::Read(Some(value)), Some(stamp))
                    if before.is_some_and(|before| before.is_found_as(stamp, value)) => {}
                (Kind::Read(Some(value)), Some(stamp)) => read.entry(value.as_json()).or_default().push(stamp),
                (Kind::Read(_) | Kind::Delete, _) => {}
            }
        }
        let first_returns = FirstReturns::of(operations);
        let (mut matched, mut exact) = (BTreeMap::new(), BTreeMap::new());
        for (value, mut stamps) in read {
            stamps.sort_unstable();
            let writes = by_value.get(value).map_or(&[][..], Vec::as_slice);
            let mut by_version: BTreeMap<Version, Vec<(Stamp, &Operation)>> = BTreeMap::new();
            for write in writes.iter().filter(|write| took_effect(write)) {
                let Some(stamp) = write.stamp else { continue };
                by_version.entry(stamp.version).or_default().push((stamp, write));
            }
            let mut unstamped = writes.iter().filter(|write| took_effect(write) && write.stamp.is_none());
            let mut last = None;
            for stamp in stamps {
                // A write that succeeded has its version for certain; one of unknown outcome may have had no effect, and another
                // the same version.
                let is_good = |(given, write): &&(Stamp, &Operation)| {
                    write.outcome == Outcome::Ok || write.invoked < first_returns.of_stamp(*given)
                };
                let candidates = || by_version.get(&stamp.version).into_iter().flatten();
                let good = || candidates().filter(is_good);
                let same = good().filter(|(given, _)| *given == stamp);
                if let Some((_, write)) = same.max_by_key(|(_, write)| write.outcome == Outcome::Ok) {
                    exact.insert((value, stamp), *write);
                    continue;
                }
                if matched.contains_key(&(value, stamp.version)) {
                    continue;
                }
                // A leader that recovers a write gives it its own epoch. Where a leader of a later epoch gave the same version
                // again, what an earlier one had given it to was gone.
                let rank = |(given, write): &&(Stamp, &Operation)| (given.epoch, write.outcome == Outcome::Ok);
                let earlier = |(given, _): &&(Stamp, &Operation)| given.epoch <= stamp.epoch;
                let write = good().filter(earlier).max_by_key(rank).map(|(_, write)| *write).or_else(|| {
                    last = unstamped.next().copied().or(last);
                    last.or(candidates().filter(earlier).max_by_key(rank).map(|(_, write)| *write))
                });
                if let Some(write) = write {
                    matched.insert((value, stamp.version), write);
                }
            }
        }
        Self { by_value, matched, exact }
    }

    /// The write that a read saw.
    fn of_read(&self, read: &Operation, stamp: Stamp, value: &Value) -> Result<&'a Operation, String> {
        let exact = self.exact.get(&(value.as_json(), stamp));
        if let Some(write) = exact.or_else(|| self.matched.get(&(value.as_json(), stamp.version))) {
            return Ok(write);
        }
        Err(match self.by_value.get(value.as_json()).and_then(|writes| writes.first()) {
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
}

/// When an operation with a stamp first returned, or one with a greater stamp.
struct FirstReturns(Vec<(Stamp, Moment)>);

impl FirstReturns {
    fn of(operations: &[&Operation]) -> Self {
        let returned = |operation: &&Operation| Some((operation.stamp?, operation.returned?));
        let succeeded = operations.iter().filter(|operation| operation.outcome == Outcome::Ok);
        let mut returns: Vec<(Stamp, Moment)> = succeeded.filter_map(returned).collect();
        returns.sort_unstable();
        let mut first = None;
        for (_, moment) in returns.iter_mut().rev() {
            let earliest = first.map_or(*moment, |first: Moment| first.min(*moment));
            (*moment, first) = (earliest, Some(earliest));
        }
        Self(returns)
    }

    fn of_stamp(&self, stamp: Stamp) -> Moment {
        let at = self.0.partition_point(|(known, _)| *known < stamp);
        self.0.get(at).map_or(NEVER, |(_, first)| *first)
    }
}

/// Whether a write has taken effect, or may have.
fn took_effect(write: &Operation) -> bool {
    match write.outcome {
        Outcome::Ok | Outcome::Unknown => true,
        Outcome::Failed | Outcome::Absent => false,
    }
}

/// What tells an operation from all others. (One that is taken for two, since nobody knows which of two requests took effect, begins
/// as often at one moment.)
pub(super) fn name(operation: &Operation) -> u64 {
    operation_name(operation.client, operation.number)
}

/// The writes of one key that took effect.
#[derive(Default)]
pub(super) struct Effective<'a> {
    pub(super) by_stamp: BTreeMap<Stamp, &'a Operation>,
    /// By the names of the writes.
    stamps: BTreeMap<u64, Stamp>,
}

impl<'a> Effective<'a> {
    /// Notes that a write took effect with this stamp; true if that is new.
    fn note(&mut self, stamp: Stamp, write: &'a Operation) -> Result<bool, String> {
        let key = &write.key;
        match self.stamps.insert(name(write), stamp) {
            // Under a later epoch it is the same write still.
            Some(same) if same.version == stamp.version => {
                return match self.by_stamp.insert(stamp, write) {
                    Some(other) if name(other) != name(write) => {
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

/// Walks through the invocations and returns of one key. `first` is the stamp of what was there before, if anything was.
fn walk<'a>(
    steps: Vec<Step<'a>>,
    first: Option<Stamp>,
    mut deletions: Visible<'a>,
    anew: &[Moment],
) -> Result<(), String> {
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
            seen.1 = Some(*beginning);
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
/// leader began anew. And when one last did.
#[derive(Default)]
pub(super) struct Seen<'a>(Vec<(Moment, Option<Step<'a>>)>, Option<Moment>);

impl<'a> Seen<'a> {
    fn last(&self) -> Option<Step<'a>> {
        self.0.last().and_then(|(_, step)| *step)
    }

    /// What had returned before this moment.
    pub(super) fn before(&self, moment: Moment) -> Option<Step<'a>> {
        let changes = self.0.partition_point(|(since, _)| *since < moment);
        self.0[..changes].last().and_then(|(_, step)| *step)
    }

    fn began_anew_since(&self, moment: Moment) -> bool {
        self.1 > Some(moment)
    }
}
