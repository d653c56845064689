//! Liveness: something good happens, by a deadline (Lamport, *Proving the Correctness of Multiprocess Programs*, 1977;
//! Alpern and Schneider, *Defining Liveness*, 1985). A deadline makes it checkable on a run that ends.
//!
//! 1. Every operation that was invoked returned by its deadline, unless the run ended before, or its node was down
//!    meanwhile, which its client may have to find out by a timeout of its own, or was stopped, or was the leader and had a
//!    wrong clock, or had to find out first what was written before it, or was replaced by another; or unless the link between
//!    its client and its node was cut, or had another latency than usual, at any time while it lasted.
//! 2. The leader answers every write that it accepted within the configured timeout, unless it crashed, was stopped, or had
//!    a wrong clock meanwhile, or the run ended before.
//! 3. Every write that was invoked after the network was healed, and returned, is acknowledged; without faults, every
//!    write is. (Only where the timeout is above the longest emulated delay; otherwise chance decides. And without faults
//!    and if not so many followers have lost their memory that the leader must wait for an operator; without faults
//!    only if no follower had as many messages under way as it may, for a write that finds no room waits for a resend.)
//!
//! The deadline of an operation is the configured timeout of a write, with a few link latencies and 5 ms for what happens
//! in whole ticks.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::client_links::ClientLinks;
use super::evidence::{At, count, not_applicable};
use super::excuse::Excuses;
use super::facts::TICK_ROUNDING;
use super::leaders::Leaders;
use super::prepared::Prepared;
use super::{Excuse, Facts, Property, Recorded, Verdict, waiting};
use crate::base::NodeId;
use crate::base::history::Operation;
use crate::base::trace::{Disturbance, Event, Micros, Outcome, WriteId};

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
    let end = run.records.last().map_or(Micros(0), |record| record.at);
    let outages = Outages::of(prepared);
    let mut evidence = unreturned(run, facts, end, &outages);
    evidence.extend(unanswered(prepared, facts, end, &outages));
    let mut excuses = Excuses::default();
    let (probes, refused) = probes(prepared, facts);
    if waiting::leader_waits(run).is_some() {
        refused.into_iter().for_each(|write| excuses.add(Excuse::LeaderWaits, || write));
    } else {
        evidence.extend(refused);
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

/// Whether the timeout leaves time for the longest delay, what it takes to connect, and the forming of batches.
fn always_in_time(facts: &Facts) -> bool {
    facts.delay.1 + 6 * facts.link_latency + 2 * TICK_ROUNDING <= facts.repl_timeout
}

fn since(earlier: Micros, later: Micros) -> Duration {
    Duration::from(later).saturating_sub(earlier.into())
}

/// The operations that did not return by their deadline, and were not kept from it by a node that was down.
fn unreturned(run: &Recorded<'_>, facts: &Facts, end: Micros, outages: &Outages) -> Vec<String> {
    let late = run.history.operations.iter().filter(|operation| {
        let ended = operation.returned.map_or(end, |returned| returned.at);
        let until = operation.returned.map_or(run.records.len(), |returned| returned.index);
        since(operation.invoked.at, ended) > deadline(facts)
            && !outages.touch(operation.target, operation.invoked.index, until)
            && !outages.touch_link(operation.client, operation.target, operation.invoked.index, until)
    });
    late.map(|operation| {
        let (name, key, invoked) = (operation.name(), &operation.key, At(operation.invoked.at));
        let what = if operation.is_write() { "write" } else { "read" };
        let how = match operation.returned {
            None => "never returned".to_owned(),
            Some(returned) => format!("returned at {} only", At(returned.at)),
        };
        format!("{name}, a {what} of {key} at {}, was invoked at {invoked} and {how}", operation.target)
    })
    .collect()
}

/// When each node could not do what is expected of it, by places among the records.
struct Outages {
    of_node: BTreeMap<(NodeId, Outage), Vec<Range<usize>>>,
    client_links: ClientLinks,
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outage {
    Down,
    /// Of the leader: it has to find out first what was written before it.
    Starting,
    Paused,
    /// Of a leader: another takes its place.
    Replaced,
    /// Its clock is wrong. Of the leader only: a follower has no timers.
    Clock,
}

impl Outages {
    fn of(prepared: &Prepared<'_>) -> Self {
        let end = prepared.run.records.len();
        let mut of_node: BTreeMap<(NodeId, Outage), Vec<Range<usize>>> = BTreeMap::new();
        let mut recovers = false;
        let mut leaders = Leaders::default();
        let usual = prepared.run.facts.map_or(Micros(0), |facts| facts.link_latency.into());
        let mut client_links = ClientLinks::new(usual);
        for (index, record) in prepared.deeds() {
            leaders.follow(record);
            client_links.follow(index, record);
            let (begins, ends) = match &record.event {
                // What is killed while it is stopped is not stopped when it is started again.
                Event::Crash => (Some((record.node, Outage::Down)), Some((record.node, Outage::Paused))),
                // Whoever had to begin once has to begin again.
                Event::Restart if record.node.can_lead() && recovers => {
                    (Some((record.node, Outage::Starting)), Some((record.node, Outage::Down)))
                }
                Event::Restart => (None, Some((record.node, Outage::Down))),
                Event::StepDown { .. } => (Some((record.node, Outage::Starting)), None),
                Event::Serve { .. } => {
                    recovers = true;
                    (None, Some((record.node, Outage::Starting)))
                }
                Event::Fault { kind, nodes, .. } => match (kind, nodes.first()) {
                    (Disturbance::Pause, Some(node)) => (Some((*node, Outage::Paused)), None),
                    (Disturbance::Resume, Some(node)) => (None, Some((*node, Outage::Paused))),
                    (Disturbance::ClockOff, Some(node)) if node.can_lead() => (Some((*node, Outage::Clock)), None),
                    (Disturbance::ClockRight, Some(node)) if node.can_lead() => (None, Some((*node, Outage::Clock))),
                    (Disturbance::Replace, _) => {
                        // Nothing is expected of a leader that has been replaced.
                        let replaced = leaders.present();
                        (Some((replaced, Outage::Replaced)), None)
                    }
                    (Disturbance::Heal, _) => {
                        let mended = of_node
                            .iter_mut()
                            .filter(|((_, why), _)| !matches!(why, Outage::Down | Outage::Starting | Outage::Replaced));
                        let open = mended.filter_map(|(_, outages)| outages.last_mut().filter(|last| last.end == end));
                        open.for_each(|outage| outage.end = index);
                        continue;
                    }
                    _ => continue,
                },
                _ => continue,
            };
            if let Some(outage) =
                ends.and_then(|ends| of_node.get_mut(&ends)?.last_mut().filter(|last| last.end == end))
            {
                outage.end = index;
            }
            if let Some(begins) = begins {
                of_node.entry(begins).or_default().push(index..end);
            }
        }
        // The last one that began by some place then ends last of those that did.
        for outages in of_node.values_mut() {
            let mut last = 0;
            for outage in outages {
                last = outage.end.max(last);
                outage.end = last;
            }
        }
        client_links.end(end);
        Self { of_node, client_links }
    }

    /// Whether the link between a client and a node was cut or had another latency than usual at any point of this span.
    fn touch_link(&self, client: NodeId, node: NodeId, from: usize, until: usize) -> bool {
        self.client_links.touch(client, node, from, until)
    }

    /// Whether there was one of the node at any point of this span.
    fn touch(&self, node: NodeId, from: usize, until: usize) -> bool {
        let of_node = self.of_node.range((node, Outage::Down)..=(node, Outage::Clock));
        let last = |outages: &[Range<usize>]| {
            outages[..outages.partition_point(|outage| outage.start <= until)].last().cloned()
        };
        of_node.filter_map(|(_, outages)| last(outages)).any(|outage| from <= outage.end)
    }
}

/// The writes that the leader's lives answered late or not at all.
fn unanswered(prepared: &Prepared<'_>, facts: &Facts, end: Micros, outages: &Outages) -> Vec<String> {
    let run = &prepared.run;
    let limit = facts.repl_timeout + 2 * facts.link_latency + TICK_ROUNDING;
    let mut open: BTreeMap<(u64, WriteId), (NodeId, usize, Micros)> = BTreeMap::new();
    let is_late = |(node, index, accepted): (NodeId, usize, Micros), until: usize, answered: Micros| {
        since(accepted, answered) > limit && !outages.touch(node, index, until)
    };
    let mut evidence = Vec::new();
    let mut accuse = |life: u64, write: WriteId, accepted: Micros, what: String| {
        if let Some(write) = prepared.writes.numbered(life, write) {
            evidence.push(format!("{} accepted {write} at {} and {what}", write.leader, At(accepted)));
        }
    };
    for (index, record) in prepared.deeds().filter(|(_, record)| record.node.can_lead()) {
        let life = record.incarnation;
        match record.event {
            Event::Accept { write, .. } | Event::Retry { write, .. } => {
                open.insert((life, write), (record.node, index, record.at));
            }
            Event::Complete { write, .. } => {
                let accepted = open.remove(&(life, write)).filter(|accepted| is_late(*accepted, index, record.at));
                accepted.into_iter().for_each(|(_, _, accepted)| {
                    let timeout = facts.repl_timeout.as_millis();
                    let what = format!("answered it at {} only; the timeout is {timeout} ms", At(record.at));
                    accuse(life, write, accepted, what);
                });
            }
            Event::Crash | Event::Restart => open.retain(|_, (node, ..)| *node != record.node),
            _ => {}
        }
    }
    for ((life, write), (_, _, accepted)) in
        open.into_iter().filter(|(_, accepted)| is_late(*accepted, run.records.len(), end))
    {
        accuse(life, write, accepted, format!("had not answered it when the run ended at {}", At(end)));
    }
    evidence
}

/// How many writes were invoked when nothing was wrong and returned, and those that were not acknowledged.
fn probes(prepared: &Prepared<'_>, facts: &Facts) -> (usize, Vec<String>) {
    let run = &prepared.run;
    let (from, when) = match facts.healed_at {
        _ if !always_in_time(facts) => return (0, Vec::new()),
        Some(healed) => (healed, "after all was healed"),
        None if facts.faulty || prepared.window_was_full(facts) => return (0, Vec::new()),
        None => (0, "without any fault"),
    };
    let after = |operation: &&Operation| operation.is_write() && operation.invoked.index >= from;
    let probes = || run.history.operations.iter().filter(after).filter_map(|o| Some((o, o.returned?)));
    let refused = probes().filter(|(operation, _)| operation.outcome != Outcome::Ok).map(|(operation, returned)| {
        let told = operation.confirmed.map(|(n, of)| format!(" with {n} of {of} confirmations")).unwrap_or_default();
        let how = if operation.outcome == Outcome::Failed { "refused" } else { "not acknowledged" };
        let (name, key, invoked) = (operation.name(), &operation.key, At(operation.invoked.at));
        format!("{name}, a write of {key} at {invoked}, {when}, was {how}{told} at {}", At(returned.at))
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
        story.at(6000).crash(NodeId::FIRST_SERVER).restart(NodeId::FIRST_SERVER).at(12_000);
        story.facts.healed_at = Some(story.len());
        story.invoke_set(c(2), 1, "k", "3").accept(1, "k", 1, "3").complete(1, true, 2).wrote(c(2), 1, Outcome::Ok, 1);
        story.invoke_get(c(2), 2, f(1).into(), "k");
        assert_eq!(story.holds(check), "4 operations returned; 1 write after the network was healed");
    }

    #[test]
    fn an_operation_that_never_returns() {
        let mut story = Story::new();
        story
            .at(1)
            .invoke_set(c(1), 1, "k", "1")
            .invoke_get(c(2), 1, f(2).into(), "k")
            .at(6000)
            .crash(NodeId::FIRST_SERVER);
        assert_eq!(story.evidence(check), ["c2#1, a read of k at f2, was invoked at 1 ms and never returned"]);
    }

    /// What is lost on a link that is cut is lost; the client notices by its own timeout. A link that carries again excuses
    /// nothing that begins then.
    #[test]
    fn an_operation_over_a_link_that_is_cut() {
        let cut =
            |kind, nodes: [NodeId; 2]| Event::Fault { kind, nodes: nodes.into(), latency: None, what: String::new() };
        let n1 = NodeId::FIRST_SERVER;
        let read = |client, begins: u64| {
            let mut story = Story::new();
            story.at(10).event(NodeId::Network, cut(Disturbance::Cut, [n1, c(1)]));
            story.at(20).event(NodeId::Network, cut(Disturbance::Mend, [n1, c(1)]));
            story.at(begins).invoke_get(client, 1, n1, "k").at(begins + 60_000).found(client, 1, 1, "1");
            story.in_order_of_time();
            story
        };
        assert_eq!(read(c(1), 15).holds(check), "1 operation returned");
        assert_eq!(read(c(1), 21).evidence(check).len(), 1, "the link carries again");
        assert_eq!(read(c(2), 15).evidence(check).len(), 1, "the link of another client");
    }

    #[test]
    fn an_operation_that_returns_late() {
        let read = |down: bool| {
            let mut story = Story::new();
            if down {
                story.at(1).crash(f(2)).at(9).restart(f(2)).at(10).crash(f(2));
            }
            story.at(20).invoke_get(c(2), 1, f(2).into(), "k").at(60_020).found(c(2), 1, 1, "1");
            story
        };
        assert_eq!(
            read(false).evidence(check),
            ["c2#1, a read of k at f2, was invoked at 20 ms and returned at 60020 ms only"]
        );
        assert_eq!(read(true).holds(check), "1 operation returned", "nobody was there to answer");
    }

    fn disturb(story: &mut Story, at: u64, kind: Disturbance, node: impl Into<NodeId>) {
        let fault = Event::Fault { kind, nodes: vec![node.into()], latency: None, what: String::new() };
        story.at(at).event(NodeId::Network, fault);
    }

    /// A late write and a late read of f1; what is done to whom, and when.
    fn late(disturbances: &[(u64, Disturbance, NodeId)]) -> Story {
        let mut story = Story::new();
        story.at(10).invoke_set(c(1), 1, "k", "1").at(11).accept(1, "k", 1, "1").invoke_get(c(2), 1, f(1).into(), "k");
        for (at, kind, node) in disturbances {
            disturb(&mut story, *at, *kind, *node);
        }
        story.at(9000).found(c(2), 1, 0, "").complete(1, false, 0).wrote(c(1), 1, Outcome::Unknown, 1);
        story.in_order_of_time();
        story
    }

    const LATE_READ: &str = "c2#1, a read of k at f1, was invoked at 11 ms and returned at 9000 ms only";
    const LATE_WRITE: &str = "c1#1, a write of k at n1, was invoked at 10 ms and returned at 9000 ms only";
    const LATE_ANSWER: &str =
        "n1 accepted k v1 (c1#1) at 11 ms and answered it at 9000 ms only; the timeout is 5000 ms";

    /// Who is stopped, or a leader whose clock is wrong, is not blamed; everybody else is.
    #[test]
    fn a_pause_and_a_wrong_clock_excuse_their_node() {
        use Disturbance::{ClockOff, ClockRight, Heal, Pause, Resume};
        let (leader, f1) = (NodeId::FIRST_SERVER, NodeId::from(f(1)));
        let all = [LATE_WRITE, LATE_READ, LATE_ANSWER];
        let of_leader = [LATE_WRITE, LATE_ANSWER];
        for (disturbances, blamed) in [
            (&[][..], &all[..]),
            (&[(20, Pause, leader), (8000, Resume, leader)], &[LATE_READ]),
            (&[(20, Pause, leader)], &[LATE_READ]),
            (&[(20, Pause, f1), (8000, Resume, f1)], &of_leader),
            (&[(20, Pause, f(2).into()), (8000, Resume, f(2).into())], &all),
            (&[(20, ClockOff, leader), (8000, ClockRight, leader)], &[LATE_READ]),
            // A follower has no timers.
            (&[(20, ClockOff, f1), (8000, ClockRight, f1)], &all),
            // What was over before, or by healing, excuses nothing.
            (&[(1, Pause, leader), (2, Resume, leader), (3, ClockOff, leader), (4, ClockRight, leader)], &all),
            (&[(1, Pause, leader), (2, ClockOff, leader), (3, Pause, f1), (5, Heal, NodeId::Network)], &all),
        ] {
            assert_eq!(late(disturbances).evidence(check), blamed, "{disturbances:?}");
        }
    }

    /// Who was stopped and is killed is not stopped in its next life, unless it is stopped while it is down.
    #[test]
    fn a_pause_ends_with_the_life_of_its_node() {
        let read = |stopped_at: u64, killed_at: u64| {
            let mut story = Story::new();
            disturb(&mut story, stopped_at, Disturbance::Pause, f(2));
            story.at(killed_at).crash(f(2)).at(9).restart(f(2));
            story.at(20).invoke_get(c(2), 1, f(2).into(), "k").at(60_020).found(c(2), 1, 1, "1");
            story.in_order_of_time();
            story
        };
        assert_eq!(read(1, 3).evidence(check).len(), 1);
        assert_eq!(read(3, 1).holds(check), "1 operation returned");
    }

    #[test]
    fn a_write_that_fails_though_nothing_is_wrong() {
        let mut story = Story::new();
        story.facts.faulty = false;
        story.at(1).invoke_set(c(1), 1, "k", "1").at(5002).wrote(c(1), 1, Outcome::Unknown, 1);
        assert_eq!(
            story.evidence(check),
            ["c1#1, a write of k at 1 ms, without any fault, was not acknowledged at 5002 ms"]
        );
        story.at(6000).accept(2, "k", 2, "2").send(2, f(1), 1).at(6001);
        assert_eq!(story.holds(check), "1 operation returned", "a window was full");
    }

    #[test]
    fn a_late_answer_and_none_at_all() {
        let mut story = Story::new();
        story.at(1).accept(1, "k", 1, "1").at(2).accept(2, "k", 2, "2").at(5100).complete(1, false, 0);
        assert_eq!(
            story.evidence(check),
            [
                "n1 accepted k v1 at 1 ms and answered it at 5100 ms only; the timeout is 5000 ms",
                "n1 accepted k v2 at 2 ms and had not answered it when the run ended at 5100 ms"
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
