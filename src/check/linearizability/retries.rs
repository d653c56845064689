//! What clients asked for more than once.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::base::history::Operation;
use crate::base::trace::{Event, Outcome, operation_name};
use crate::base::{Epoch, Key, RequestName, Stamp, Version};
use crate::check::Recorded;

/// The operations of a run, where a write and its retries are one: it was invoked when it was asked for first, and returned
/// when it was acknowledged first. Those that got other versions are other writes; that they do not is a question of idempotence.
pub(super) fn merged<'a>(run: &Recorded<'a>) -> Cow<'a, [Operation]> {
    let operations = &run.history.operations;
    if operations.iter().all(|operation| operation.request.is_none()) {
        return Cow::Borrowed(operations);
    }
    Cow::Owned(if run.records.is_empty() { of_clients(operations) } else { of_leaders(run) })
}

/// The same where only clients were recorded. A leader answers a retry under its own epoch, also where an earlier one took the write
/// on, and one that has lost everything takes a retry on anew. So where it is not known under which stamp a write took effect
/// ([`Asked::has_own_stamp`]), three things are not held against the history:
///
/// - a retry of unknown outcome, and no version, may be what was acknowledged under some version, and may have taken effect besides;
/// - a write with such a stamp may have taken effect, and that is all that is known;
/// - so may a retry that was answered under a later epoch than the write.
fn of_clients(operations: &[Operation]) -> Vec<Operation> {
    let mut merged = Vec::with_capacity(operations.len());
    // Without versions, what took effect twice cannot be told from what took effect once, and the search would be in vain.
    let has_versions = operations.iter().any(|operation| operation.stamp.is_some());
    let lowest = lowest_shown(operations);
    let mut requests: BTreeMap<(&Key, &RequestName), Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        match operation.request.as_ref().filter(|_| operation.outcome != Outcome::Failed) {
            None => merged.push(operation.clone()),
            Some(request) => requests.entry((&operation.key, request)).or_default().push(operation),
        }
    }
    for attempts in requests.into_values() {
        let asked = Asked { attempts: &attempts, lowest: &lowest };
        let (known, unknown): (Vec<&Operation>, Vec<&Operation>) =
            attempts.iter().copied().partition(|operation| operation.stamp.is_some());
        let mut of_version: BTreeMap<Option<Version>, Vec<&Operation>> = BTreeMap::new();
        for operation in &known {
            of_version.entry(operation.stamp.map(|stamp| stamp.version)).or_default().push(operation);
        }
        if of_version.is_empty() {
            of_version.insert(None, unknown.clone());
            if has_versions {
                merged.extend(unknown.iter().skip(1).map(|operation| of_unknown_effect((*operation).clone())));
            }
        } else {
            merged.extend(unknown.iter().map(|operation| of_unknown_effect((*operation).clone())));
        }
        for (version, same) in of_version {
            let others = unknown.iter().filter(|_| version.is_some()).copied();
            merged.extend(asked.as_one_write(&same, others));
        }
    }
    merged.sort_by_key(|operation| operation.invoked);
    merged
}

/// The lowest version that was the newest of its key in each epoch, as reads and writes without a name show.
fn lowest_shown(operations: &[Operation]) -> BTreeMap<(&Key, Epoch), Version> {
    let mut lowest: BTreeMap<(&Key, Epoch), Version> = BTreeMap::new();
    for operation in operations.iter().filter(|operation| operation.request.is_none()) {
        let Some(stamp) = operation.stamp.filter(|_| operation.outcome == Outcome::Ok) else { continue };
        let version = lowest.entry((&operation.key, stamp.epoch)).or_insert(stamp.version);
        *version = (*version).min(stamp.version);
    }
    lowest
}

/// The attempts of one request, but for those that were refused.
struct Asked<'a> {
    attempts: &'a [&'a Operation],
    lowest: &'a BTreeMap<(&'a Key, Epoch), Version>,
}

impl Asked<'_> {
    /// Whether an attempt was answered with the stamp under which the write was taken on. It was in the first epoch, for no leader was
    /// before; where nothing else that asked for the write was under way yet; and where a lower version was the newest in the same
    /// epoch, for what a leader recovers is above everything that it takes on.
    fn has_own_stamp(&self, attempt: &Operation) -> bool {
        let Some(stamp) = attempt.stamp else { return false };
        let is_other = |other: &&&Operation| (other.client, other.number) != (attempt.client, attempt.number);
        let mut others = self.attempts.iter().filter(is_other);
        let lowest = self.lowest.get(&(&attempt.key, stamp.epoch));
        stamp.epoch == Epoch::FIRST
            || lowest.is_some_and(|lowest| *lowest < stamp.version)
            || attempt.returned.is_some_and(|returned| others.all(|other| other.invoked > returned))
    }

    /// One write and its retries, of one version if that is known. Any of the others may be the same write, too.
    fn as_one_write<'o>(&self, same: &[&Operation], others: impl Iterator<Item = &'o Operation>) -> Vec<Operation> {
        let lowest = same.iter().map(|operation| operation.stamp).min().flatten();
        let of_lowest = |operation: &&Operation| operation.stamp == lowest;
        let is_known = same.iter().filter(|operation| of_lowest(operation)).any(|attempt| self.has_own_stamp(attempt));
        // Where the write has its own stamp, what was answered under a later epoch may be another write.
        let (all, apart): (Vec<&Operation>, Vec<&Operation>) =
            same.iter().partition(|operation| !is_known || of_lowest(operation));
        let mut all = all.into_iter();
        let mut write = all.next().expect("it was asked for").clone();
        let mut asked = 1;
        all.for_each(|retry| {
            merge(&mut write, retry);
            asked += 1;
        });
        for other in others.filter(|other| Some(other.invoked) < write.returned) {
            write.invoked = write.invoked.min(other.invoked);
            asked += 1;
        }
        if asked > 1 && lowest.is_some() && !is_known {
            write = of_unknown_effect(Operation { stamp: None, ..write });
        }
        let apart = apart.into_iter().map(|retry| of_unknown_effect(retry.clone()));
        [write].into_iter().chain(apart).collect()
    }
}

/// An operation that may have taken effect, at any time since it was invoked.
fn of_unknown_effect(operation: Operation) -> Operation {
    Operation { outcome: Outcome::Unknown, returned: None, ..operation }
}

/// The same where the leaders were recorded, too.
///
/// A retry is answered under the epoch of its leader, which may be later than the write's, and than that of writes that came in
/// between. The records of the leader tell under which it was taken on. What a leader took on anew that another one had deposed, and
/// did not acknowledge, is left out: it never takes effect.
fn of_leaders(run: &Recorded<'_>) -> Vec<Operation> {
    let operations = &run.history.operations;
    let taken_on = taken_on(run);
    let mut merged: Vec<Operation> = Vec::with_capacity(operations.len());
    let anew = anew(run);
    let mut places: BTreeMap<(&Key, &RequestName, Version, usize), usize> = BTreeMap::new();
    for operation in operations {
        let name = operation_name(operation.client, operation.number);
        let taken_on = taken_on.get(&name);
        let version = operation.stamp.or(taken_on.map(|taken_on| taken_on.stamp)).map(|stamp| stamp.version);
        // What has no version never reached a leader.
        let named = operation.request.as_ref().filter(|_| operation.outcome != Outcome::Failed).zip(version);
        let Some((request, version)) = named else {
            merged.push(operation.clone());
            continue;
        };
        let stamp = operation.stamp.into_iter().chain(taken_on.map(|taken_on| taken_on.stamp)).min();
        // What a store that began anew took on, nobody had asked it for before.
        let beginnings = stamp.map_or(0, |stamp| anew.partition_point(|epoch| *epoch <= stamp.epoch));
        let group = (&operation.key, request, version, beginnings);
        let operation = Operation { stamp, ..operation.clone() };
        // What a leader takes on anew is another write than any before, for it would know that if it had not been lost. What it knew
        // already, it or another one had taken on at some time before.
        let is_anew = taken_on.is_some_and(|taken_on| taken_on.is_anew);
        let earliest = if taken_on.is_some() { (group.0, group.1, group.2, 0) } else { group };
        match places.range(earliest..=group).next_back().map(|(_, place)| *place) {
            Some(place) if is_anew => {
                if merged[place].outcome != Outcome::Ok || !is_of_a_deposed_leader(&operation, &merged[place]) {
                    places.insert(group, merged.len());
                    merged.push(operation);
                }
            }
            Some(place) => merge(&mut merged[place], &operation),
            None => {
                places.insert(group, merged.len());
                merged.push(operation);
            }
        }
    }
    merged
}

/// The epochs in which a leader bootstrapped, with nothing, in ascending order.
fn anew(run: &Recorded<'_>) -> Vec<Epoch> {
    let epoch = |event: &Event| match event {
        Event::Recovered { epoch, anew: true, .. } => Some(*epoch),
        _ => None,
    };
    let mut epochs: Vec<Epoch> = run.records.iter().filter_map(|record| epoch(&record.event)).collect();
    epochs.sort_unstable();
    epochs
}

fn is_of_a_deposed_leader(retry: &Operation, first: &Operation) -> bool {
    let epoch = |operation: &Operation| operation.stamp.map(|stamp| stamp.epoch);
    retry.outcome != Outcome::Ok && epoch(retry) < epoch(first)
}

/// The retry was answered with what was taken on before.
fn merge(first: &mut Operation, retry: &Operation) {
    // An earlier epoch's stamp is the one that it was written with.
    first.stamp = first.stamp.into_iter().chain(retry.stamp).min();
    if retry.outcome == Outcome::Ok && (first.outcome != Outcome::Ok || retry.returned < first.returned) {
        (first.outcome, first.returned) = (Outcome::Ok, retry.returned);
    }
}

/// How a leader took a write on, or answered it once more.
struct TakenOn {
    stamp: Stamp,
    /// Whether it made it, and did not know it already.
    is_anew: bool,
}

/// What leaders made of writes, by the names of the operations.
fn taken_on(run: &Recorded<'_>) -> BTreeMap<u64, TakenOn> {
    let of_event = |event: &Event| match event {
        Event::Accept { stamp, operation: Some(name), .. } => Some((*name, TakenOn { stamp: *stamp, is_anew: true })),
        Event::Retry { stamp, operation: Some(name), .. } => Some((*name, TakenOn { stamp: *stamp, is_anew: false })),
        _ => None,
    };
    run.records.iter().filter_map(|record| of_event(&record.event)).collect()
}
