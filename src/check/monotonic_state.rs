//! Monotonic state: what a node stores for a key never becomes older while the node lives.
//!
//! In each life of a node, the stamps of a key that it accepts (the leader) or applies (a follower), in their order,
//! never go down. A crash that loses the memory ends a life. This is what makes a replica a join semilattice that only
//! moves up, and the order of deliveries irrelevant (Shapiro, Preguiça, Baquero and Zawirski, *Conflict-free Replicated
//! Data Types*, 2011).

use std::collections::BTreeMap;

use super::evidence::{At, count, without_trace};
use super::{Property, Recorded, Verdict};
use crate::base::trace::{Event, Micros};
use crate::base::{Key, NodeId, Stamp};

/// Checks it. O(n log n).
pub fn check(run: &Recorded<'_>) -> Verdict {
    if run.facts.is_none() {
        return without_trace(Property::MonotonicState);
    }
    let mut stored: BTreeMap<(NodeId, u64, &Key), (Stamp, Micros)> = BTreeMap::new();
    let mut evidence = Vec::new();
    let mut changes = 0;
    for record in run.records {
        let (Event::Accept { key, stamp, .. } | Event::Apply { key, stamp, .. }) = &record.event else { continue };
        changes += 1;
        let before = stored.insert((record.node, record.incarnation, key), (*stamp, record.at));
        if let Some((before, since)) = before.filter(|(before, _)| before > stamp) {
            evidence.push(format!(
                "{} went back from {key} {before}, stored at {}, to {stamp} at {}",
                record.node,
                At(since),
                At(record.at)
            ));
        }
    }
    Verdict::unless(Property::MonotonicState, evidence, || format!("{} of stored keys", count(changes, "change")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Story, f};

    #[test]
    fn a_stamp_that_goes_down() {
        let mut story = Story::new();
        story.at(10).apply(f(1), "k", 7, "7").at(20).apply(f(1), "k", 6, "6");
        assert_eq!(story.evidence(check), ["f1 went back from k v7, stored at 10 ms, to v6 at 20 ms"]);
    }

    #[test]
    fn a_right_run_is_not_accused() {
        let mut story = Story::new();
        story.at(10).accept(1, "k", 1, "1").apply(f(1), "k", 7, "7").apply(f(2), "k", 6, "6").apply(f(1), "j", 1, "1");
        story.at(20).crash(f(1)).restart(f(1)).apply(f(1), "k", 6, "6");
        assert_eq!(story.holds(check), "5 changes of stored keys");
    }
}
