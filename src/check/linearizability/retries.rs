//! What clients asked for more than once.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::base::history::Operation;
use crate::base::trace::{Event, Outcome, operation_name};
use crate::base::{Epoch, Key, RequestName, Stamp, Version};
use crate::check::Recorded;

/// The operations of a run, where a write and its retries are one: it was invoked when it was asked for first, and returned
/// when it was acknowledged first. Those that got other versions are other writes; that they do not is a question of idempotence.
///
/// A retry is answered under the epoch of its leader, which may be later than the write's, and than that of writes that came in
/// between. The records of the leader tell under which it was taken on. Where there are none, and it can have been an earlier one,
/// nothing is held against the write but that it may have taken effect; nor is it against a retry that is answered under a later
/// epoch than the first, where a leader may have taken it on anew. What a leader took on anew that another one had deposed, and did
/// not acknowledge, is left out: it never takes effect.
pub(super) fn merged<'a>(run: &Recorded<'a>) -> Cow<'a, [Operation]> {
    let operations = &run.history.operations;
    if operations.iter().all(|operation| operation.request.is_none()) {
        return Cow::Borrowed(operations);
    }
    let taken_on = taken_on(run);
    let version = |operation: &Operation| {
        let name = operation_name(operation.client, operation.number);
        operation.stamp.or_else(|| taken_on.get(&name).map(|taken_on| taken_on.stamp)).map(|stamp| stamp.version)
    };
    // Where the leader was recorded, what has no version never reached it.
    let is_told = !run.records.is_empty();
    let mut only: BTreeMap<(&Key, &RequestName), Option<Version>> = BTreeMap::new();
    for operation in operations {
        if let (Some(request), Some(version)) = (&operation.request, version(operation)) {
            let known = only.entry((&operation.key, request)).or_insert(Some(version));
            *known = known.filter(|known| *known == version);
        }
    }
    let mut merged: Vec<Operation> = Vec::with_capacity(operations.len());
    let anew = anew(run);
    let mut places: BTreeMap<(&Key, &RequestName, Option<Version>, usize), usize> = BTreeMap::new();
    for operation in operations {
        let version = version(operation);
        let Some(request) = operation.request.as_ref().filter(|_| operation.outcome != Outcome::Failed) else {
            merged.push(operation.clone());
            continue;
        };
        let assumed = || only.get(&(&operation.key, request)).copied().flatten();
        let name = operation_name(operation.client, operation.number);
        let taken_on = taken_on.get(&name);
        let stamp = operation.stamp.into_iter().chain(taken_on.map(|taken_on| taken_on.stamp)).min();
        // What a store that began anew took on, nobody had asked it for before.
        let beginnings = stamp.map_or(0, |stamp| anew.partition_point(|epoch| *epoch <= stamp.epoch));
        let group = match version {
            None if is_told => {
                merged.push(operation.clone());
                continue;
            }
            version => (&operation.key, request, version.or_else(assumed), beginnings),
        };
        let mut operation = operation.clone();
        operation.stamp = stamp;
        // What its leader knew already, it or another one had taken on at some time before.
        let known = taken_on.is_some_and(|taken_on| !taken_on.is_anew);
        let earliest = if known { (group.0, group.1, group.2, 0) } else { group };
        match places.range(earliest..=group).next_back().map(|(_, place)| place) {
            Some(place) => {
                let first = &mut merged[*place];
                if is_told && first.outcome == Outcome::Ok && is_of_a_deposed_leader(&operation, first) {
                    continue;
                }
                if !is_told && is_of_a_later_epoch(&operation, first) {
                    // It may be the same write, or one that a leader took on anew that had nothing and counts from 1 again.
                    (operation.outcome, operation.returned, operation.stamp) = (Outcome::Unknown, None, None);
                    merged.push(operation);
                    continue;
                }
                merge(first, &operation, taken_on.is_some_and(|taken_on| taken_on.is_anew));
                if !is_told && first.stamp.is_some_and(|stamp| stamp.epoch > Epoch::FIRST) {
                    (first.outcome, first.returned, first.stamp) = (Outcome::Unknown, None, None);
                }
            }
            None => {
                places.insert(group, merged.len());
                merged.push(operation);
            }
        }
    }
    Cow::Owned(merged)
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

/// Whether a write has the stamp that it was written with, and its retry that of another leader.
fn is_of_a_later_epoch(retry: &Operation, first: &Operation) -> bool {
    let is_first = |operation: &Operation| operation.stamp.map(|stamp| stamp.epoch == Epoch::FIRST);
    first.outcome == Outcome::Ok && is_first(first) == Some(true) && is_first(retry) == Some(false)
}

fn is_of_a_deposed_leader(retry: &Operation, first: &Operation) -> bool {
    let epoch = |operation: &Operation| operation.stamp.map(|stamp| stamp.epoch);
    retry.outcome != Outcome::Ok && epoch(retry) < epoch(first)
}

/// `is_anew` says that the leader did not know the write, but made it.
fn merge(first: &mut Operation, retry: &Operation, is_anew: bool) {
    if is_anew && retry.outcome == Outcome::Ok && first.outcome != Outcome::Ok && first.stamp < retry.stamp {
        // What the leader of an earlier epoch made of it never took effect.
        first.stamp = retry.stamp;
    } else {
        // An earlier epoch's stamp is the one that it was written with.
        first.stamp = first.stamp.into_iter().chain(retry.stamp).min();
    }
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
