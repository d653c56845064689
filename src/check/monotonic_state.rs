//! Monotonic state: what a node stores for a key never becomes older while the node lives.
//!
//! In each incarnation of a node, the stamps of a key that it accepts (the leader) or applies (a follower), in their order,
//! never go down. A crash that loses the memory ends an incarnation. This is what makes a replica a join semilattice that only
//! moves up, and the order of deliveries irrelevant (Shapiro, Preguiça, Baquero and Zawirski, *Conflict-free Replicated
//! Data Types*, 2011).

use super::evidence::{At, count, without_trace};
use super::excuse::Excuses;
use super::nodes::Nodes;
use super::prepared::Prepared;
use super::{Excuse, Property, Recorded, Verdict};
use crate::base::Stamp;
use crate::base::trace::{Event, Micros};

/// What a node stores: in which incarnation, and since when, by the numbers of the keys.
type Stored = Vec<Option<(u64, Stamp, Micros)>>;

/// Checks it. O(n log n), and once the number of keys for each node.
pub fn check(run: &Recorded<'_>) -> Verdict {
    judge(&Prepared::of(run))
}

pub(super) fn judge(prepared: &Prepared<'_>) -> Verdict {
    let Prepared { run, keys, .. } = prepared;
    if run.facts.is_none() {
        return without_trace(Property::MonotonicState);
    }
    let mut nodes: Nodes<Stored> = Nodes::new();
    let (mut evidence, mut excuses) = (Vec::new(), Excuses::default());
    let mut changes = 0;
    for (place, record) in prepared.deeds() {
        // What fails below the node is not its doing. What it stores of the key afterwards is compared from there on.
        if let Event::LoseKey { .. } = record.event
            && let Some(stored) = nodes.of(record.node).get_mut(keys.stored_at(place))
        {
            *stored = None;
        }
        let (Event::Accept { key, stamp, .. } | Event::Apply { key, stamp, .. } | Event::Recover { key, stamp, .. }) =
            &record.event
        else {
            continue;
        };
        changes += 1;
        let stored = nodes.of(record.node);
        stored.resize(keys.len(), None);
        let before = stored[keys.stored_at(place)].replace((record.incarnation, *stamp, record.at));
        let Some((incarnation, before, since)) = before.filter(|(_, before, _)| before > stamp) else { continue };
        let (node, since, at) = (record.node, At(since), At(record.at));
        let went_back = || format!("{node} went back from {key} {before}, stored at {since}, to {stamp} at {at}");
        match incarnation == record.incarnation {
            true => evidence.push(went_back()),
            false => excuses.add(Excuse::LostMemory, went_back),
        }
    }
    let holds = || format!("{} of stored keys", count(changes, "change"));
    Verdict::unless(Property::MonotonicState, evidence, holds).excusing(excuses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Story, f};

    #[test]
    fn a_key_that_was_lost_below_the_node_may_come_back_older_once() {
        let lose = |story: &mut Story| {
            let (key, stamp) = (crate::check::testing::key("k"), crate::check::testing::stamp(2));
            story.event(f(1).into(), Event::LoseKey { key, stamp });
        };
        let mut story = Story::new();
        story.at(1).apply(f(1), "k", 2, "2").at(2);
        lose(&mut story);
        story.at(3).apply(f(1), "k", 1, "1");
        assert_eq!(story.holds(check), "2 changes of stored keys");
        story.at(4).apply(f(1), "k", 3, "3").at(5).apply(f(1), "k", 2, "2");
        assert_eq!(story.evidence(check), ["f1 went back from k v3, stored at 4 ms, to v2 at 5 ms"]);
    }

    #[test]
    fn a_stamp_that_goes_down() {
        let mut story = Story::new();
        story.at(10).apply(f(1), "k", 7, "7").at(20).apply(f(1), "k", 6, "6");
        assert_eq!(story.evidence(check), ["f1 went back from k v7, stored at 10 ms, to v6 at 20 ms"]);
    }

    /// A deletion that was forgotten is not undone by what is older.
    #[test]
    fn what_was_deleted_comes_back() {
        let mut story = Story::new();
        story.at(10).apply(f(1), "k", 1, "1").apply_delete(f(1), "k", 2).collect(f(1), "k", 2);
        story.at(20).apply(f(1), "k", 1, "1");
        assert_eq!(story.evidence(check), ["f1 went back from k v2, stored at 10 ms, to v1 at 20 ms"]);
    }

    #[test]
    fn a_right_run_is_not_accused() {
        let mut story = Story::new();
        story.at(10).accept(1, "k", 1, "1").apply(f(1), "k", 7, "7").apply(f(2), "k", 6, "6").apply(f(1), "j", 1, "1");
        story.at(20).crash(f(1)).restart(f(1)).apply(f(1), "k", 6, "6");
        assert_eq!(story.holds(check), "5 changes of stored keys");
        let excused = &story.verdict(check).excuses[0];
        assert_eq!((excused.excuse, excused.cases), (Excuse::LostMemory, 1), "f1 had lost v7");
        story.at(30).apply(f(1), "k", 5, "5");
        let evidence = ["f1 went back from k v6, stored at 20 ms, to v5 at 30 ms"];
        assert_eq!(story.evidence(check), evidence, "it has not crashed since it stored v6");
    }
}
