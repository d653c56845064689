//! Consistent prefix: what a follower shows is what the leader had at some time (Kleppmann, *Designing Data-Intensive
//! Applications*, chapter 5, "Consistent prefix reads"; Terry, *Replicated Data Consistency Explained Through Baseball*,
//! 2013).
//!
//! The leader accepts writes in an order, over all keys. When a follower applies one, it *jumps ahead* if it lacks a write
//! that the same life of the leader had accepted before: neither that write nor a later one of its key is there. A reader
//! of both keys sees the effect without its cause. Every key has its own way through the emulated network, so the store
//! does not promise it, and it is counted, not judged: jumps ahead, of all writes that followers applied and that belong
//! to the leader's present life. What happens after everything was healed is not counted.

use std::collections::VecDeque;

use super::evidence::{At, counted, without_trace};
use super::leaders::Leaders;
use super::prepared::Prepared;
use super::writes::Write;
use super::{Property, Recorded, Verdict};
use crate::base::trace::{Event, Micros};
use crate::base::{FollowerId, NodeId, Stamp};

/// Counts it. O(n log n), times the number of followers; for each crash of a follower once through what
/// was accepted, and for each of the leader once through the keys.
pub fn check(run: &Recorded<'_>) -> Verdict {
    judge(&Prepared::of(run))
}

pub(super) fn judge(prepared: &Prepared<'_>) -> Verdict {
    let Prepared { run, keys, writes, .. } = prepared;
    let Some(facts) = run.facts else { return without_trace(Property::Prefix) };
    let nothing = || Lack::of(keys.len());
    let mut lacks: Vec<Lack> = FollowerId::first(facts.all_followers()).map(|_| nothing()).collect();
    // What the leader's present life has accepted, in order.
    let mut accepted: Vec<&Write<'_>> = Vec::new();
    let mut applied = 0;
    let mut leaders = Leaders::default();
    let mut cases = Vec::new();
    let end = facts.healed_at.unwrap_or(run.records.len());
    for (index, record) in prepared.deeds().take_while(|(index, _)| *index < end) {
        leaders.follow(record);
        match (record.node, &record.event) {
            (node, Event::Accept { write, .. }) if node == leaders.present() => {
                let Some(write) = writes.numbered(record.incarnation, *write) else { continue };
                lacks.iter_mut().for_each(|lack| lack.add(write));
                accepted.push(write);
            }
            (node, Event::Crash | Event::Restart) if node == leaders.present() => {
                accepted.clear();
                lacks.iter_mut().for_each(|lack| *lack = nothing());
            }
            (NodeId::Follower(id), Event::Crash) => {
                let Some(lack) = lacks.get_mut(id.index()) else { continue };
                *lack = nothing();
                accepted.iter().for_each(|write| lack.add(write));
            }
            (NodeId::Follower(id), Event::Apply { stamp, value, .. }) => {
                let Some(lack) = lacks.get_mut(id.index()) else { continue };
                let key = keys.stored_at(index);
                let Some(place) = lack.place(key, *stamp) else { continue };
                let write = accepted[place];
                if write.value != value.as_ref() {
                    continue;
                }
                applied += 1;
                lack.stores(key, *stamp);
                if let Some(first) = lack.first().filter(|first| *first < place) {
                    cases.push(Jump { id, write, earlier: accepted[first], at: record.at });
                }
            }
            _ => {}
        }
    }
    let rate = format!("{} of {applied} applied writes jumped ahead of one that was accepted earlier", cases.len());
    counted(Property::Prefix, rate, &cases, Jump::tell)
}

/// A follower applied a write and lacked an earlier one.
struct Jump<'a> {
    id: FollowerId,
    write: &'a Write<'a>,
    earlier: &'a Write<'a>,
    at: Micros,
}

impl Jump<'_> {
    fn tell(&self) -> String {
        let Self { id, write, earlier, at } = self;
        format!(
            "{id} applied {write} at {}, and lacked {earlier}, which the leader had accepted {} earlier",
            At(*at),
            At(Micros(write.accepted.at.0.saturating_sub(earlier.accepted.at.0)))
        )
    }
}

/// What a follower lacks, by the places of the writes among those that the leader accepted.
struct Lack {
    /// Whether it lacks the write of each place, and how many of the first ones it has for certain.
    is_lacking: Vec<bool>,
    before_first: usize,
    /// By the numbers of the keys: the stamps that it lacks and their places, in the order of the stamps.
    of_key: Vec<VecDeque<(Stamp, usize)>>,
}

impl Lack {
    /// A follower that lacks nothing yet, of so many keys.
    fn of(keys: usize) -> Self {
        Self { is_lacking: Vec::new(), before_first: 0, of_key: vec![VecDeque::new(); keys] }
    }

    /// It lacks what the leader accepted next.
    fn add(&mut self, write: &Write<'_>) {
        let entry = (write.stamp, self.is_lacking.len());
        self.is_lacking.push(true);
        let lacking = &mut self.of_key[write.key_number];
        // A right leader's stamps go up.
        if lacking.back().is_none_or(|(last, _)| *last < write.stamp) {
            return lacking.push_back(entry);
        }
        match lacking.binary_search_by_key(&write.stamp, |(stamp, _)| *stamp) {
            Ok(at) => lacking[at] = entry,
            Err(at) => lacking.insert(at, entry),
        }
    }

    fn place(&self, key: usize, stamp: Stamp) -> Option<usize> {
        let lacking = &self.of_key[key];
        let at = lacking.binary_search_by_key(&stamp, |(stamp, _)| *stamp).ok()?;
        Some(lacking[at].1)
    }

    /// It has the write of this stamp, and lacks none of the key before it any more.
    fn stores(&mut self, key: usize, stamp: Stamp) {
        let lacking = &mut self.of_key[key];
        while let Some((_, place)) = lacking.pop_front_if(|(first, _)| *first <= stamp) {
            self.is_lacking[place] = false;
        }
    }

    /// The first write that it lacks.
    fn first(&mut self) -> Option<usize> {
        let run = self.is_lacking[self.before_first..].iter().take_while(|is_lacking| !**is_lacking).count();
        self.before_first += run;
        (self.before_first < self.is_lacking.len()).then_some(self.before_first)
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
        story.at(5).crash(NodeId::FIRST_SERVER).restart(NodeId::FIRST_SERVER).accept(1, "z", 1, "4");
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

    #[test]
    fn what_is_applied_after_healing_is_not_counted() {
        let jumps = |applied: usize| {
            let mut story = accepted();
            let before = story.len();
            story.at(9).apply(f(2), "x", 2, "3");
            story.facts.healed_at = Some(before + applied);
            counted(&story).0.split(' ').next().map(str::to_owned)
        };
        assert_eq!((jumps(0), jumps(1)), (Some("0".into()), Some("1".into())));
    }
}
