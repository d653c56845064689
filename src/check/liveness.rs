//! Liveness: something good happens, by a deadline (Lamport, *Proving the Correctness of Multiprocess Programs*, 1977;
//! Alpern and Schneider, *Defining Liveness*, 1985). A deadline makes it checkable on a run that ends.
//!
//! 1. Every operation that was invoked returned by its deadline, unless the run ended before.
//! 2. The leader answers every write that it accepted within the configured timeout, unless it crashed meanwhile, or the run
//!    ended before.
//! 3. Every write that was invoked after the network was healed, and returned, is acknowledged; without faults, every
//!    write is.
//!
//! The deadline of an operation is the configured timeout of a write, with a few link latencies and 5 ms for what happens
//! in whole ticks. While its node has an outage an operation has time until as long after the end of the outage, but no
//! longer than its client waits for an answer. The excuses of the third are [`Excuse::LeaderWaits`],
//! [`Excuse::ShortTimeout`] and [`Excuse::FullWindow`].

mod outages;

use std::collections::BTreeMap;
use std::time::Duration;

use super::evidence::{At, count, not_applicable};
use super::excuse::Excuses;
use super::facts::TICK_ROUNDING;
use super::prepared::Prepared;
use super::{Excuse, Facts, Property, Recorded, Verdict, waiting};
use crate::base::NodeId;
use crate::base::history::{Moment, Operation};
use crate::base::trace::{Event, Micros, Outcome, WriteId};
use outages::Outages;

/// How much longer than the timeout of a write a client waits for an answer.
const CLIENT_PATIENCE: Duration = Duration::from_secs(60);

/// Checks it. O(n log n).
pub fn check(run: &Recorded<'_>) -> Verdict {
    judge(&Prepared::of(run))
}

pub(super) fn judge(prepared: &Prepared<'_>) -> Verdict {
    let run = &prepared.run;
    let Some(facts) = run.facts else {
        return not_applicable(
            Property::Liveness,
            "a history does not say by when an operation must end; a trace does",
        );
    };
    let mut excuses = Excuses::default();
    let outages = Outages::of(prepared);
    let mut evidence = unreturned(prepared, facts, &outages, &mut excuses);
    evidence.extend(unanswered(prepared, facts, &outages, &mut excuses));
    let Probes { number: probes, refused } = probes(prepared, facts);
    let excuse = match facts.healed_at {
        _ if !always_in_time(facts) => Some(Excuse::ShortTimeout),
        _ if waiting::leader_waits(run).is_some() => Some(Excuse::LeaderWaits),
        None if prepared.window_was_full(facts) => Some(Excuse::FullWindow),
        _ => None,
    };
    let probes = if excuse.is_some() { 0 } else { probes };
    match excuse {
        Some(excuse) => refused.into_iter().for_each(|write| excuses.add(excuse, || write)),
        None => evidence.extend(refused),
    }
    Verdict::unless(Property::Liveness, evidence, || {
        let operations = count(run.history.operations.len(), "operation");
        match facts.healed_at {
            Some(_) if always_in_time(facts) => {
                format!("{operations} returned; {} after the network was healed", count(probes, "write"))
            }
            Some(_) => format!("{operations} returned; the timeout is too short to promise more"),
            None if probes > 0 => format!("{operations} returned; {} without any fault", count(probes, "write")),
            None => format!("{operations} returned"),
        }
    })
    .excusing(excuses)
}

/// From the invocation of an operation to its return: connecting takes two latencies, asking and answering two more, and
/// a try to connect that was in vain may come first.
fn deadline(facts: &Facts) -> Duration {
    facts.repl_timeout + 6 * facts.link_latency + TICK_ROUNDING
}

/// How long a client waits for an answer at the most.
fn patience(facts: &Facts) -> Duration {
    CLIENT_PATIENCE + facts.repl_timeout + 10 * facts.link_latency + TICK_ROUNDING
}

/// Whether the timeout leaves time for the longest delay, what it takes to connect, and the forming of batches.
fn always_in_time(facts: &Facts) -> bool {
    facts.delay.1 + 6 * facts.link_latency + 2 * TICK_ROUNDING <= facts.repl_timeout
}

fn since(earlier: Micros, later: Micros) -> Duration {
    Duration::from(later).saturating_sub(earlier.into())
}

/// The operations that did not return by their deadline, and were not kept from it by an outage of their node.
fn unreturned(prepared: &Prepared<'_>, facts: &Facts, outages: &Outages<'_>, excuses: &mut Excuses) -> Vec<String> {
    let run = &prepared.run;
    let end = run.records.last().map_or(Micros(0), |record| record.at);
    let mut evidence = Vec::new();
    for operation in &run.history.operations {
        let ended = operation.returned.unwrap_or(Moment { index: run.records.len(), at: end });
        if since(operation.invoked.at, ended.at) <= deadline(facts) {
            continue;
        }
        let accusation = || {
            let (name, key, invoked) = (operation.name(), &operation.key, At(operation.invoked.at));
            let what = if operation.is_write() { "write" } else { "read" };
            let how = match operation.returned {
                None => "never returned".to_owned(),
                Some(returned) => format!("returned at {} only", At(returned.at)),
            };
            format!("{name}, a {what} of {key} at {}, was invoked at {invoked} and {how}", operation.target)
        };
        let is_given_up = since(operation.invoked.at, ended.at) > patience(facts);
        match outages.last(operation.target, operation.invoked, ended.index) {
            Some((over, outage)) if !is_given_up && since(over, ended.at) <= deadline(facts) => {
                excuses.add(outage.excuse(), accusation);
            }
            _ if !is_given_up && outages.touch_link(operation, ended.index) => {
                excuses.add(Excuse::ClientLink, accusation);
            }
            _ => evidence.push(accusation()),
        }
    }
    evidence
}

/// The writes that leaders answered late or not at all.
fn unanswered(prepared: &Prepared<'_>, facts: &Facts, outages: &Outages<'_>, excuses: &mut Excuses) -> Vec<String> {
    let run = &prepared.run;
    let end = Moment { index: run.records.len(), at: run.records.last().map_or(Micros(0), |record| record.at) };
    let limit = facts.repl_timeout + 2 * facts.link_latency + TICK_ROUNDING;
    let mut open: BTreeMap<(u64, WriteId), (NodeId, Moment)> = BTreeMap::new();
    let mut evidence = Vec::new();
    let mut judge = |(life, write): (u64, WriteId), (node, accepted): (NodeId, Moment), until: Moment, what: String| {
        if since(accepted.at, until.at) <= limit {
            return;
        }
        let Some(write) = prepared.writes.numbered(life, write) else { return };
        let accusation = || format!("{} accepted {write} at {} and {what}", write.leader, At(accepted.at));
        match outages.last(node, accepted, until.index) {
            Some((over, outage)) if since(over, until.at) <= limit => excuses.add(outage.excuse(), accusation),
            _ => evidence.push(accusation()),
        }
    };
    for (index, record) in prepared.deeds().filter(|(_, record)| record.node.can_lead()) {
        let moment = Moment { index, at: record.at };
        match record.event {
            Event::Accept { write, .. } | Event::Retry { write, .. } => {
                open.insert((record.incarnation, write), (record.node, moment));
            }
            Event::Complete { write, .. } => {
                let Some(accepted) = open.remove(&(record.incarnation, write)) else { continue };
                let timeout = facts.repl_timeout.as_millis();
                let what = format!("answered it at {} only; the timeout is {timeout} ms", At(record.at));
                judge((record.incarnation, write), accepted, moment, what);
            }
            Event::Crash | Event::Restart => open.retain(|_, (node, _)| *node != record.node),
            _ => {}
        }
    }
    for (write, accepted) in open {
        judge(write, accepted, end, format!("had not answered it when the run ended at {}", At(end.at)));
    }
    evidence
}

/// The writes that were invoked when nothing was wrong, and returned.
#[derive(Default)]
struct Probes {
    number: usize,
    /// Those that were not acknowledged, each as a sentence.
    refused: Vec<String>,
}

fn probes(prepared: &Prepared<'_>, facts: &Facts) -> Probes {
    let run = &prepared.run;
    let (from, when) = match facts.healed_at {
        Some(healed) => (healed, "after all was healed"),
        None if facts.faulty => return Probes::default(),
        None => (0, "without any fault"),
    };
    // A conditional write is refused where the key has another version.
    let has_failed_condition =
        |operation: &Operation| operation.condition.is_some() && operation.outcome == Outcome::Failed;
    // So is one under a name that was given to another write.
    let has_anothers_name = |operation: &Operation| {
        let is_another = |other: &Operation| {
            (&other.key, &other.request) == (&operation.key, &operation.request)
                && (&other.kind, &other.condition) != (&operation.kind, &operation.condition)
        };
        operation.request.is_some()
            && operation.outcome == Outcome::Failed
            && run.history.operations.iter().any(is_another)
    };
    let after = |operation: &&Operation| {
        operation.is_write()
            && operation.invoked.index >= from
            && !has_failed_condition(operation)
            && !has_anothers_name(operation)
    };
    let probes = || run.history.operations.iter().filter(after).filter_map(|o| Some((o, o.returned?)));
    let refused = probes().filter(|(operation, _)| operation.outcome != Outcome::Ok).map(|(operation, returned)| {
        let told = operation.confirmed.map(|(n, of)| format!(" with {n} of {of} confirmations")).unwrap_or_default();
        let how = if operation.outcome == Outcome::Failed { "refused" } else { "not acknowledged" };
        let (name, key, invoked) = (operation.name(), &operation.key, At(operation.invoked.at));
        format!("{name}, a write of {key} at {invoked}, {when}, was {how}{told} at {}", At(returned.at))
    });
    Probes { number: probes().count(), refused: refused.collect() }
}

#[cfg(test)]
mod tests;
