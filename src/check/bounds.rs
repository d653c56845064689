//! Bounds: what the leader has under way to a follower is limited, however long the follower does not answer. A queue
//! without a bound turns a slow consumer into an outage of the producer (Nygard, *Release It!*, 2007, "Unbounded Result
//! Sets" and "Slow Responses").
//!
//! For each follower, in each life of the leader:
//!
//! 1. The first deliveries that were sent, and neither answered nor given up, are never more than the window.
//! 2. What it missed is kept by key, and only the newest write of each, so the resends that are under way at a time are
//!    never more than the keys that were written.
//!
//! A first delivery is a first attempt; everything else is a resend, also the first message of a write that found the window
//! full. Sockets, tasks and bytes are not events, and not seen here.

use std::collections::BTreeMap;

use std::collections::BTreeSet;

use super::evidence::{At, count, without_trace};
use super::nodes::Nodes;
use super::prepared::Prepared;
use super::{Property, Recorded, Verdict};
use crate::base::NodeId;
use crate::base::trace::{Event, MessageId};

/// Checks it. O(n log n).
pub fn check(run: &Recorded<'_>) -> Verdict {
    judge(&Prepared::of(run))
}

pub(super) fn judge(Prepared { run, keys, .. }: &Prepared<'_>) -> Verdict {
    let Some(facts) = run.facts else { return without_trace(Property::Bounds) };
    let mut leaders: BTreeMap<NodeId, OfLeader> = BTreeMap::new();
    let mut evidence = Vec::new();
    // The most that there ever were of each kind.
    let (mut most_first, mut most_resent) = (0, 0);
    for (place, record) in run.records.iter().enumerate().filter(|(_, record)| record.node.can_lead()) {
        let OfLeader { under_way, is_written, written } =
            leaders.entry(record.node).or_insert_with(|| OfLeader::new(keys.len()));
        match &record.event {
            Event::Accept { .. } => {
                let is_old = std::mem::replace(&mut is_written[keys.stored_at(place)], true);
                *written += usize::from(!is_old);
            }
            Event::Send { message, .. } => {
                let to = message.to;
                let UnderWay { first, resent, accused } = under_way.of(to.into());
                let (kind, number, limit) = if message.attempt == 1 {
                    first.insert(*message);
                    most_first = most_first.max(first.len());
                    ("first deliveries", first.len(), facts.window)
                } else {
                    resent.insert(*message);
                    most_resent = most_resent.max(resent.len());
                    ("resends", resent.len(), *written)
                };
                if number > limit && !*accused {
                    *accused = true;
                    let at = At(record.at);
                    evidence.push(format!(
                        "{} had {number} {kind} to {to} under way at {at}; at most {limit} may be",
                        record.node
                    ));
                }
            }
            Event::Ack { message, .. } | Event::Lost { message, .. } => {
                let UnderWay { first, resent, .. } = under_way.of(message.to.into());
                if !first.remove(message) {
                    resent.remove(message);
                }
            }
            // What it sent in an epoch that is over, it does not wait for.
            Event::Crash | Event::Restart | Event::StepDown { .. } => {
                *under_way = Nodes::new();
                is_written.fill(false);
                *written = 0;
            }
            _ => {}
        }
    }
    Verdict::unless(Property::Bounds, evidence, || {
        let first = match most_first {
            1 => "1 first delivery".into(),
            number => format!("{number} first deliveries"),
        };
        format!("at most {first} and {} to one follower at a time", count(most_resent, "resend"))
    })
}

/// The state of one node that can lead, since it was started or stepped down last.
struct OfLeader {
    under_way: Nodes<UnderWay>,
    /// Whether each key, by its number, was written.
    is_written: Vec<bool>,
    /// How many keys were written.
    written: usize,
}

impl OfLeader {
    fn new(keys: usize) -> Self {
        Self { under_way: Nodes::new(), is_written: vec![false; keys], written: 0 }
    }
}

/// What is under way to one follower.
#[derive(Default)]
struct UnderWay {
    first: BTreeSet<MessageId>,
    resent: BTreeSet<MessageId>,
    /// One complaint about a follower is enough.
    accused: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Story, f};

    fn story() -> Story {
        let mut story = Story::new();
        story.facts.window = 2;
        story.at(1).accept(1, "k", 1, "1").send(1, f(1), 1).send(1, f(2), 1);
        story.at(2).accept(2, "k", 2, "2").send(2, f(1), 1).send(2, f(2), 1);
        story
    }

    #[test]
    fn a_right_run_is_not_accused() {
        let mut story = story();
        story.at(3).ack(1, f(1), 1, 1).accept(3, "k", 3, "3").send(3, f(1), 1);
        story.at(4).lost(1, f(2), 1).send(1, f(2), 2).at(5).lost(1, f(2), 2).send(3, f(2), 2);
        story.at(6).crash(NodeId::FIRST_SERVER).restart(NodeId::FIRST_SERVER).accept(1, "k", 1, "4").send(1, f(1), 1);
        assert_eq!(story.holds(check), "at most 2 first deliveries and 1 resend to one follower at a time");
    }

    #[test]
    fn a_window_that_is_exceeded() {
        let mut story = story();
        story.at(3).ack(1, f(1), 1, 1).accept(3, "k", 3, "3").send(3, f(1), 1).send(3, f(2), 1);
        assert_eq!(story.evidence(check), ["n1 had 3 first deliveries to f2 under way at 3 ms; at most 2 may be"]);
    }

    #[test]
    fn resends_that_pile_up() {
        let mut story = story();
        story.at(3).lost(1, f(2), 1).send(1, f(2), 2).at(9).send(1, f(2), 3);
        assert_eq!(story.evidence(check), ["n1 had 2 resends to f2 under way at 9 ms; at most 1 may be"]);
    }
}
