//! Consistent prefix: what a follower shows is what the leader had at some time (Kleppmann, *Designing Data-Intensive
//! Applications*, chapter 5, "Consistent prefix reads"; Terry, *Replicated Data Consistency Explained Through Baseball*,
//! 2013).
//!
//! The leader accepts writes in an order, over all keys. When a follower applies one, it *jumps ahead* if it lacks a write
//! that the same life of the leader had accepted before: neither that write nor a later one of its key is there. A reader
//! of both keys sees the effect without its cause. Every key has its own way through the emulated network, so the store
//! does not promise it, and it is counted, not judged: jumps ahead, of all writes that followers applied and that belong
//! to the leader's present life. What happens after everything was healed is not counted.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::{At, counted, without_trace};
use super::replay::{Write, Writes};
use super::{Property, Recorded, Verdict};
use crate::base::trace::{Event, Micros};
use crate::base::{FollowerId, Key, NodeId, Stamp};

/// Counts it. O(n log n), times the number of followers; for each crash of a follower once through what was accepted.
pub fn check(run: &Recorded<'_>) -> Verdict {
    let Some(facts) = run.facts else { return without_trace(Property::Prefix) };
    let writes = Writes::of(run);
    let mut lacks: BTreeMap<FollowerId, Lack<'_>> =
        FollowerId::first(facts.followers).map(|id| (id, Lack::default())).collect();
    // What the leader's present life has accepted, in order.
    let mut accepted: Vec<&Write<'_>> = Vec::new();
    let mut applied = 0;
    let mut cases = Vec::new();
    for record in &run.records[..facts.healed_at.unwrap_or(run.records.len())] {
        match (record.node, &record.event) {
            (NodeId::Leader, Event::Accept { write, .. }) => {
                let Some(write) = writes.numbered(record.incarnation, *write) else { continue };
                lacks.values_mut().for_each(|lack| lack.add(accepted.len(), write));
                accepted.push(write);
            }
            (NodeId::Leader, Event::Crash) => {
                accepted.clear();
                lacks.values_mut().for_each(|lack| *lack = Lack::default());
            }
            (NodeId::Follower(id), Event::Crash) => {
                let Some(lack) = lacks.get_mut(&id) else { continue };
                *lack = Lack::default();
                accepted.iter().enumerate().for_each(|(place, write)| lack.add(place, write));
            }
            (NodeId::Follower(id), Event::Apply { key, stamp, value, .. }) => {
                let Some(lack) = lacks.get_mut(&id) else { continue };
                let Some(place) = lack.place(key, *stamp) else { continue };
                if accepted[place].value != value {
                    continue;
                }
                applied += 1;
                lack.stores(key, *stamp);
                if let Some(earlier) = lack.places.first().filter(|first| **first < place) {
                    let (write, earlier) = (accepted[place], accepted[*earlier]);
                    cases.push(format!(
                        "{id} applied {write} at {}, and lacked {earlier}, which the leader had accepted {} earlier",
                        At(record.at),
                        At(Micros(write.accepted.at.0.saturating_sub(earlier.accepted.at.0)))
                    ));
                }
            }
            _ => {}
        }
    }
    let rate = format!("{} of {applied} applied writes jumped ahead of one that was accepted earlier", cases.len());
    counted(Property::Prefix, rate, cases)
}

/// What a follower lacks, by the places of the writes among those that the leader accepted.
#[derive(Default)]
struct Lack<'a> {
    places: BTreeSet<usize>,
    of_key: BTreeMap<&'a Key, BTreeMap<Stamp, usize>>,
}

impl<'a> Lack<'a> {
    fn add(&mut self, place: usize, write: &Write<'a>) {
        self.places.insert(place);
        self.of_key.entry(write.key).or_default().insert(write.stamp, place);
    }

    fn place(&self, key: &Key, stamp: Stamp) -> Option<usize> {
        self.of_key.get(key)?.get(&stamp).copied()
    }

    /// It has the write of this stamp, and lacks none of the key before it any more.
    fn stores(&mut self, key: &Key, stamp: Stamp) {
        let Some(lacking) = self.of_key.get_mut(key) else { return };
        while let Some(first) = lacking.first_entry().filter(|first| *first.key() <= stamp) {
            self.places.remove(&first.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Finding;
    use crate::check::testing::{Story, f};

    fn counted(story: &Story) -> (String, Vec<String>) {
        match story.verdict(check).finding {
            Finding::Counted { rate, examples, .. } => (rate, examples),
            other => panic!("not counted: {other:?}"),
        }
    }

    /// x, then y, then x again.
    fn accepted() -> Story {
        let mut story = Story::new();
        story.at(1).accept(1, "x", 1, "1").at(2).accept(2, "y", 1, "2").at(3).accept(3, "x", 2, "3");
        story
    }

    #[test]
    fn in_order_nothing_is_counted() {
        let mut story = accepted();
        story.at(9).apply(f(1), "x", 1, "1").apply(f(1), "y", 1, "2").apply(f(1), "x", 2, "3");
        story.crash(f(1)).restart(f(1)).apply(f(1), "x", 1, "1");
        assert_eq!(counted(&story).0, "0 of 4 applied writes jumped ahead of one that was accepted earlier");
    }

    #[test]
    fn a_jump_ahead() {
        let mut story = accepted();
        story.at(9).apply(f(2), "x", 2, "3").at(10).apply(f(2), "y", 1, "2");
        let (rate, examples) = counted(&story);
        assert_eq!(rate, "1 of 2 applied writes jumped ahead of one that was accepted earlier");
        assert_eq!(examples, ["f2 applied x v2 at 9 ms, and lacked y v1, which the leader had accepted 1 ms earlier"]);
    }

    #[test]
    fn what_a_forgotten_leader_accepted_is_not_lacking() {
        let mut story = accepted();
        story.at(5).crash(NodeId::Leader).restart(NodeId::Leader).accept(1, "z", 1, "4");
        story.at(9).apply(f(2), "z", 1, "4").apply(f(2), "y", 1, "2");
        assert_eq!(counted(&story).0, "0 of 1 applied writes jumped ahead of one that was accepted earlier");
    }

    #[test]
    fn a_follower_that_restarts_lacks_everything() {
        let mut story = accepted();
        story.at(9).apply(f(1), "x", 2, "3").apply(f(1), "y", 1, "2").crash(f(1)).restart(f(1));
        story.at(10).apply(f(1), "y", 1, "2");
        assert_eq!(counted(&story).0, "2 of 3 applied writes jumped ahead of one that was accepted earlier");
    }
}
