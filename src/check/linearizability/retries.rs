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

/// The same where only clients were recorded. Nothing tells under which epoch a leader took on what it answered under its own, nor
/// whether a leader that had lost everything took it on anew. So three things are not held against anybody:
///
/// - a retry of unknown outcome, and no version, may be what was acknowledged under some version, and may have taken effect besides;
/// - a write with retries whose stamp is of a later epoch than the first may have taken effect, and that is all that is known;
/// - so may a retry that has a stamp of a later epoch than the write, which has one of the first.
fn of_clients(operations: &[Operation]) -> Vec<Operation> {
    let mut merged = Vec::with_capacity(operations.len());
    // Without versions, what took effect twice cannot be told from what took effect once, and the search would be in vain.
    let has_versions = operations.iter().any(|operation| operation.stamp.is_some());
    let mut asked: BTreeMap<(&Key, &RequestName), Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        match operation.request.as_ref().filter(|_| operation.outcome != Outcome::Failed) {
            None => merged.push(operation.clone()),
            Some(request) => asked.entry((&operation.key, request)).or_default().push(operation),
        }
    }
    for asked in asked.into_values() {
        let (known, unknown): (Vec<&Operation>, Vec<&Operation>) =
            asked.into_iter().partition(|operation| operation.stamp.is_some());
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
            merged.extend(merged_by_clients(&same, others));
        }
    }
    merged.sort_by_key(|operation| operation.invoked);
    merged
}

/// One write and its retries, of one version if that is known. Any of the others may be the same write, too.
fn merged_by_clients<'a>(same: &[&Operation], others: impl Iterator<Item = &'a Operation>) -> Vec<Operation> {
    let is_first = |operation: &Operation| operation.stamp.is_none_or(|stamp| stamp.epoch == Epoch::FIRST);
    let (of_first, later): (Vec<&Operation>, Vec<&Operation>) = same.iter().partition(|operation| is_first(operation));
    // Where the write has its own stamp, which is of the first epoch, it is known under which it was taken on.
    let (all, apart) = if of_first.is_empty() { (later, Vec::new()) } else { (of_first, later) };
    let mut all = all.into_iter();
    let mut write = all.next().expect("it was asked for").clone();
    let (mut asked, stamp) = (1, write.stamp);
    all.for_each(|retry| {
        merge(&mut write, retry);
        asked += 1;
    });
    for other in others.filter(|other| Some(other.invoked) < write.returned) {
        write.invoked = write.invoked.min(other.invoked);
        asked += 1;
    }
    if asked > 1 && stamp.is_some_and(|stamp| stamp.epoch > Epoch::FIRST) {
        write.stamp = None;
        write = of_unknown_effect(write);
    }
    let apart = apart.into_iter().map(|retry| of_unknown_effect(retry.clone()));
    [write].into_iter().chain(apart).collect()
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
