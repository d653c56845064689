//! Liveness: something good happens, by a deadline (Lamport, *Proving the Correctness of Multiprocess Programs*, 1977;
//! Alpern and Schneider, *Defining Liveness*, 1985). A deadline makes it checkable on a run that ends.
//!
//! 1. Every operation that was invoked returned, unless the run ended within its deadline, or its node crashed, which its
//!    client may have to find out by a timeout of its own.
//! 2. The leader answers every write that it accepted within the configured timeout, unless it crashed or the run ended
//!    before.
//! 3. Every write that was invoked after the network was healed, and returned, is acknowledged. (Only where the timeout is
//!    above the longest emulated delay; otherwise chance decides.)
//!
//! The deadline of an operation is the configured timeout of a write, with a few link latencies and 5 ms for what happens
//! in whole ticks.

use std::collections::BTreeMap;
use std::time::Duration;

use super::evidence::{At, count, not_applicable};
use super::replay::Writes;
use super::{Facts, Property, Recorded, Verdict};
use crate::base::NodeId;
use crate::base::history::Operation;
use crate::base::trace::{Event, Micros, Outcome, WriteId};

/// Timers fire at the tick after they are due, and wake tasks that take turns.
const ROUNDING: Duration = Duration::from_millis(5);

/// Checks it. O(n log n).
pub fn check(run: &Recorded<'_>) -> Verdict {
    let Some(facts) = run.facts else {
        return not_applicable(
            Property::Liveness,
            "a history does not say by when an operation must end; a trace does",
        );
    };
    let end = run.records.last().map_or(Micros(0), |record| record.at);
    let mut crashes: BTreeMap<NodeId, usize> = BTreeMap::new();
    for (index, record) in run.records.iter().enumerate() {
        if matches!(record.event, Event::Crash) {
            crashes.insert(record.node, index);
        }
    }
    let mut evidence = unreturned(run, facts, end, &crashes);
    evidence.extend(unanswered(run, facts, end));
    let (probes, refused) = probes(run, facts);
    evidence.extend(refused);
    Verdict::unless(Property::Liveness, evidence, || {
        let operations = count(run.history.operations.len(), "operation");
        match facts.healed_at {
            Some(_) if always_in_time(facts) => {
                format!("{operations} returned; {} after the network was healed", count(probes, "write"))
            }
            Some(_) => format!("{operations} returned; the timeout is too short to promise more"),
            None => format!("{operations} returned"),
        }
    })
}

/// From the invocation of an operation to its return: connecting takes two latencies, asking and answering two more, and
/// a try to connect that was in vain may come first.
fn deadline(facts: &Facts) -> Duration {
    facts.repl_timeout + 6 * facts.link_latency + ROUNDING
}

/// Whether the timeout leaves time for the longest delay, what it takes to connect, and the forming of batches.
fn always_in_time(facts: &Facts) -> bool {
    facts.delay.1 + 6 * facts.link_latency + 2 * ROUNDING <= facts.repl_timeout
}

fn since(earlier: Micros, later: Micros) -> Duration {
    Duration::from(later).saturating_sub(earlier.into())
}

fn unreturned(run: &Recorded<'_>, facts: &Facts, end: Micros, crashes: &BTreeMap<NodeId, usize>) -> Vec<String> {
    let excused = |operation: &&Operation| {
        since(operation.invoked.at, end) <= deadline(facts)
            || crashes.get(&operation.target).is_some_and(|crash| *crash > operation.invoked.index)
    };
    let open = run.history.operations.iter().filter(|operation| operation.returned.is_none());
    open.filter(|operation| !excused(operation))
        .map(|operation| {
            let (name, key, invoked) = (operation.name(), &operation.key, At(operation.invoked.at));
            let what = if operation.is_write() { "write" } else { "read" };
            format!("{name}, a {what} of {key} at {}, was invoked at {invoked} and never returned", operation.target)
        })
        .collect()
}

/// The writes that the leader's lives answered late or not at all.
fn unanswered(run: &Recorded<'_>, facts: &Facts, end: Micros) -> Vec<String> {
    let writes = Writes::of(run);
    let limit = facts.repl_timeout + ROUNDING;
    let mut open: BTreeMap<WriteId, Micros> = BTreeMap::new();
    let mut evidence = Vec::new();
    let mut life = 0;
    let mut accuse = |life: u64, write: WriteId, accepted: Micros, what: String| {
        if let Some(write) = writes.numbered(life, write) {
            evidence.push(format!("leader accepted {write} at {} and {what}", At(accepted)));
        }
    };
    for record in run.records.iter().filter(|record| record.node == NodeId::Leader) {
        life = record.incarnation;
        match record.event {
            Event::Accept { write, .. } => drop(open.insert(write, record.at)),
            Event::Complete { write, .. } => {
                let accepted = open.remove(&write).filter(|accepted| since(*accepted, record.at) > limit);
                accepted.into_iter().for_each(|accepted| {
                    let timeout = facts.repl_timeout.as_millis();
                    let what = format!("answered it at {} only; the timeout is {timeout} ms", At(record.at));
                    accuse(life, write, accepted, what);
                });
            }
            Event::Crash => open.clear(),
            _ => {}
        }
    }
    for (write, accepted) in open.into_iter().filter(|(_, accepted)| since(*accepted, end) > limit) {
        accuse(life, write, accepted, format!("had not answered it when the run ended at {}", At(end)));
    }
    evidence
}

/// How many writes were invoked after the healing and returned, and those that were not acknowledged.
fn probes(run: &Recorded<'_>, facts: &Facts) -> (usize, Vec<String>) {
    let Some(healed) = facts.healed_at.filter(|_| always_in_time(facts)) else { return (0, Vec::new()) };
    let after = |operation: &&Operation| operation.is_write() && operation.invoked.index >= healed;
    let probes = || run.history.operations.iter().filter(after).filter_map(|o| Some((o, o.returned?)));
    let refused = probes().filter(|(operation, _)| operation.outcome != Outcome::Ok).map(|(operation, returned)| {
        let told = operation.confirmed.map(|(n, of)| format!(" with {n} of {of} confirmations")).unwrap_or_default();
        let how = if operation.outcome == Outcome::Failed { "refused" } else { "not acknowledged" };
        let (name, key, invoked) = (operation.name(), &operation.key, At(operation.invoked.at));
        format!("{name}, a write of {key} at {invoked}, after all was healed, was {how}{told} at {}", At(returned.at))
    });
    (probes().count(), refused.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Story, c, f};

    #[test]
    fn a_right_run_is_not_accused() {
        let mut story = Story::new();
        story.at(1).invoke_set(c(1), 1, "k", "1").at(2).accept(1, "k", 1, "1").at(5002).complete(1, false, 0);
        story.at(5003).wrote(c(1), 1, Outcome::Unknown, 1).invoke_set(c(1), 2, "k", "2").accept(2, "k", 2, "2");
        story.at(6000).crash(NodeId::Leader).restart(NodeId::Leader).at(12_000);
        story.facts.healed_at = Some(story.len());
        story.invoke_set(c(2), 1, "k", "3").accept(1, "k", 1, "3").complete(1, true, 2).wrote(c(2), 1, Outcome::Ok, 1);
        story.invoke_get(c(2), 2, f(1).into(), "k");
        assert_eq!(story.holds(check), "4 operations returned; 1 write after the network was healed");
    }

    #[test]
    fn an_operation_that_never_returns() {
        let mut story = Story::new();
        story.at(1).invoke_set(c(1), 1, "k", "1").invoke_get(c(2), 1, f(2).into(), "k").at(6000).crash(NodeId::Leader);
        assert_eq!(story.evidence(check), ["c2#1, a read of k at f2, was invoked at 1 ms and never returned"]);
    }

    #[test]
    fn a_late_answer_and_none_at_all() {
        let mut story = Story::new();
        story.at(1).accept(1, "k", 1, "1").at(2).accept(2, "k", 2, "2").at(5100).complete(1, false, 0);
        assert_eq!(
            story.evidence(check),
            [
                "leader accepted k v1 at 1 ms and answered it at 5100 ms only; the timeout is 5000 ms",
                "leader accepted k v2 at 2 ms and had not answered it when the run ended at 5100 ms"
            ]
        );
    }

    #[test]
    fn a_write_that_fails_after_all_was_healed() {
        let mut story = Story::new();
        story.facts.healed_at = Some(0);
        story.at(1).invoke_set(c(1), 1, "k", "1").at(5002).wrote(c(1), 1, Outcome::Unknown, 1);
        assert_eq!(
            story.evidence(check),
            ["c1#1, a write of k at 1 ms, after all was healed, was not acknowledged at 5002 ms"]
        );
        story.facts.delay.1 = Duration::from_secs(6);
        assert_eq!(story.holds(check), "1 operation returned; the timeout is too short to promise more");
    }
}
