//! Session guarantees: how the store looks to one client that goes from node to node (Terry, Demers, Petersen, Spreitzer,
//! Theimer and Welch, *Session Guarantees for Weakly Consistent Replicated Data*, 1994). For one client and one key, of
//! two operations of which the first had returned when the second was invoked:
//!
//! - *read your writes*: a read finds the stamp of an acknowledged write before it, or a greater one;
//! - *monotonic reads*: a read finds no smaller stamp than a read before it;
//! - *monotonic writes*: a write has a greater stamp than an acknowledged write before it;
//! - *writes follow reads*: a write has a greater stamp than a read before it found.
//!
//! The writes that probe the store after everything was healed are not counted, nor is what ended well without its stamp.
//!
//! A read that finds nothing may find a deletion: it is not held against what came before, if the key was deleted by a write with
//! a greater stamp, or an unknown one, that was invoked before the read returned.
//!
//! Reads at followers are local and promise none of this, so it is counted, not judged: as the number of operations that
//! broke a guarantee, of those that could have. What they measure is staleness (Bailis, Venkataraman, Franklin,
//! Hellerstein and Stoica, *Probabilistically Bounded Staleness for Practical Partial Quorums*, 2012).

use std::collections::{BTreeMap, BTreeSet};

use super::calls::Call;
use super::evidence::{At, count, counted, not_applicable};
use super::excuse::Excuses;
use super::prepared::Prepared;
use super::{Excuse, Property, Recorded, Verdict};
use crate::base::history::{Kind, Moment, Operation};
use crate::base::trace::Outcome;
use crate::base::{NodeId, RequestName, Stamp};

/// Counts it. O(n log n).
pub fn check(run: &Recorded<'_>) -> Verdict {
    judge(&Prepared::of(run))
}

pub(super) fn judge(Prepared { run, keys, calls, .. }: &Prepared<'_>) -> Verdict {
    let well = |operation: &Operation| operation.outcome == Outcome::Ok;
    if run.facts.is_none()
        && !run.history.operations.iter().any(|operation| well(operation) && operation.stamp.is_some())
    {
        return not_applicable(Property::Sessions, "it needs versions, and no operation has one");
    }
    let healed_at = run.facts.and_then(|facts| facts.healed_at);
    let probed = |operation: &Operation| healed_at.is_some_and(|healed| operation.invoked.index >= healed);
    let mut sessions: BTreeMap<(NodeId, usize), Session<'_>> = BTreeMap::new();
    let mut tallies: [Tally<'_>; 4] = Default::default();
    let mut deletes: BTreeMap<usize, Deletions> = BTreeMap::new();
    let may_delete = |operation: &Operation| operation.kind == Kind::Delete && operation.outcome != Outcome::Failed;
    for call in calls.iter() {
        if let Call::Invoked(operation) = call
            && let Some(key) = keys.number(&operation.key).filter(|_| may_delete(operation))
        {
            deletes.entry(key).or_default().add(operation);
        }
    }
    let mut asked: BTreeSet<(usize, &RequestName)> = BTreeSet::new();
    let retries = run.history.operations.iter().filter(|operation| {
        let key = keys.number(&operation.key);
        operation.request.as_ref().is_some_and(|request| !asked.insert((key.unwrap_or(usize::MAX), request)))
    });
    // What is asked for once more has its place where it was asked for first.
    let retries: BTreeSet<Moment> = retries.map(|retry| retry.invoked).collect();
    let mut excuses = Excuses::default();
    for call in calls.iter() {
        let (Call::Invoked(operation) | Call::Returned(operation, _)) = call;
        let Some(key) = keys
            .number(&operation.key)
            .filter(|_| took_place(operation) && !probed(operation) && !retries.contains(&operation.invoked))
        else {
            continue;
        };
        let session = sessions.entry((operation.client, key)).or_default();
        match call {
            Call::Invoked(_) => {
                session.held_against(operation, deletes.get(&key), &mut tallies, &mut excuses);
            }
            Call::Returned(..) => session.has(operation),
        }
    }
    let [ryw, mr, mw, wfr] = &tallies;
    let rate = format!(
        "{} went back behind a write of the same client, {} behind a read; {} came before a write of the same client, {} \
         before what it had read",
        ryw.of("read"),
        mr.of("read"),
        mw.of("write"),
        wfr.of("write")
    );
    let cases: Vec<_> = tallies.into_iter().flat_map(|tally| tally.cases).collect();
    counted(Property::Sessions, rate, &cases, |(operation, before)| {
        format!("{}, after {}", tell(operation), tell(before))
    })
    .excusing(excuses)
}

fn took_place(operation: &Operation) -> bool {
    match operation.kind {
        _ if operation.outcome == Outcome::Ok => operation.stamp.is_some(),
        Kind::Write(_) | Kind::Delete => false,
        Kind::Read(_) => operation.outcome == Outcome::Absent,
    }
}

/// The newest that a client has written and read of a key.
#[derive(Default)]
struct Session<'a> {
    wrote: Option<&'a Operation>,
    read: Option<&'a Operation>,
}

/// How often a guarantee could be broken, and was.
#[derive(Default)]
struct Tally<'a> {
    chances: usize,
    /// Each operation that broke it, and the one that it should have come after.
    cases: Vec<(&'a Operation, &'a Operation)>,
}

impl Tally<'_> {
    /// `12 of 87 reads`
    fn of(&self, noun: &str) -> String {
        format!("{} of {}", self.cases.len(), count(self.chances, noun))
    }
}

impl<'a> Session<'a> {
    fn has(&mut self, operation: &'a Operation) {
        let newest = if operation.is_write() { &mut self.wrote } else { &mut self.read };
        if newest.is_none_or(|newest| newest.stamp < operation.stamp) {
            *newest = Some(operation);
        }
    }

    fn held_against(
        &self,
        operation: &'a Operation,
        deletes: Option<&Deletions>,
        [ryw, mr, mw, wfr]: &mut [Tally<'a>; 4],
        excuses: &mut Excuses,
    ) {
        let (after_write, after_read) = if operation.is_write() { (mw, wfr) } else { (ryw, mr) };
        for (before, tally) in [(self.wrote, after_write), (self.read, after_read)] {
            let Some(before) = before else { continue };
            tally.chances += 1;
            let broken = match operation.stamp.cmp(&before.stamp) {
                std::cmp::Ordering::Less
                    if operation.outcome == Outcome::Absent
                        && deletes.is_some_and(|deletes| deletes.may_explain(operation, before)) =>
                {
                    excuses.add(Excuse::FoundDeletion, || format!("{}, after {}", tell(operation), tell(before)));
                    false
                }
                std::cmp::Ordering::Less => true,
                std::cmp::Ordering::Equal => operation.is_write(),
                std::cmp::Ordering::Greater => false,
            };
            if broken {
                tally.cases.push((operation, before));
            }
        }
    }
}

/// The deletions of one key that may have taken effect, in the order of their invocations.
#[derive(Default)]
struct Deletions {
    invoked: Vec<Moment>,
    /// The greatest stamp of the deletions up to each place; `None` once the stamp of one is unknown.
    greatest: Vec<Option<Stamp>>,
}

impl Deletions {
    fn add(&mut self, deletion: &Operation) {
        let greatest = match self.greatest.last() {
            Some(before) => before.zip(deletion.stamp).map(|(before, stamp)| stamp.max(before)),
            None => deletion.stamp,
        };
        self.invoked.push(deletion.invoked);
        self.greatest.push(greatest);
    }

    /// Whether a read that found nothing can have seen one of them after this operation: it was
    /// invoked before the read returned, and its stamp may be as great.
    fn may_explain(&self, read: &Operation, before: &Operation) -> bool {
        let invoked = match read.returned {
            Some(returned) => self.invoked.partition_point(|invoked| *invoked < returned),
            None => self.invoked.len(),
        };
        let greatest = self.greatest[..invoked].last();
        greatest.is_some_and(|greatest| greatest.is_none_or(|greatest| Some(greatest) >= before.stamp))
    }
}

/// `c1#2 read k1 v3 from f2 at 1203 ms`
fn tell(operation: &Operation) -> String {
    let key = &operation.key;
    let what = |stamp: Option<Stamp>| stamp.map_or_else(|| format!("no {key}"), |stamp| format!("{key} {stamp}"));
    let at = operation.returned.map(|returned| format!(" at {}", At(returned.at))).unwrap_or_default();
    let (did, preposition) = if operation.is_write() { ("wrote", "to") } else { ("read", "from") };
    format!("{} {did} {} {preposition} {}{at}", operation.name(), what(operation.stamp), operation.target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Finding;
    use crate::check::testing::{Story, c, f};

    fn counted(story: &Story) -> (String, usize, Vec<String>) {
        match story.verdict(check).finding {
            Finding::Counted { rate, cases, examples } => (rate, cases, examples),
            other => panic!("not counted: {other:?}"),
        }
    }

    /// c1 writes v2 and reads it from f1.
    fn begun() -> Story {
        let mut story = Story::new();
        story.at(1).invoke_set(c(1), 1, "k", "1").at(5).wrote(c(1), 1, Outcome::Ok, 2);
        story.at(6).invoke_get(c(1), 2, f(1).into(), "k").at(7).found(c(1), 2, 2, "1");
        story
    }

    #[test]
    fn a_right_session_has_no_cases() {
        let mut story = begun();
        story.at(8).invoke_get(c(2), 1, f(2).into(), "k").found(c(2), 1, 0, "");
        story.at(9).invoke_get(c(1), 3, f(2).into(), "j").found(c(1), 3, 0, "");
        story.at(10).invoke_set(c(1), 4, "k", "3").wrote(c(1), 4, Outcome::Ok, 3);
        assert_eq!(
            counted(&story),
            (
                "0 of 1 read went back behind a write of the same client, 0 of 0 reads behind a read; 0 of 1 write came \
                 before a write of the same client, 0 of 1 write before what it had read"
                    .into(),
                0,
                Vec::new()
            ),
            "another client and another key are another matter"
        );
    }

    #[test]
    fn going_back_is_counted() {
        let mut story = begun();
        story.at(8).invoke_get(c(1), 3, f(2).into(), "k").at(9).found(c(1), 3, 0, "");
        story.at(10).invoke_set(c(1), 4, "k", "3").at(11).wrote(c(1), 4, Outcome::Ok, 2);
        let (rate, cases, examples) = counted(&story);
        assert_eq!(
            rate,
            "1 of 2 reads went back behind a write of the same client, 1 of 1 read behind a read; 1 of 1 write came \
             before a write of the same client, 1 of 1 write before what it had read"
        );
        assert_eq!(cases, 4);
        assert_eq!(examples[0], "c1#3 read no k from f2 at 9 ms, after c1#1 wrote k v2 to n1 at 5 ms");
        assert_eq!(examples[1], "c1#3 read no k from f2 at 9 ms, after c1#2 read k v2 from f1 at 7 ms");
        assert_eq!(examples[2], "c1#4 wrote k v2 to n1 at 11 ms, after c1#1 wrote k v2 to n1 at 5 ms");
    }

    /// Who finds nothing where the key was deleted does not go back; who finds nothing before it was deleted does.
    #[test]
    fn a_read_may_find_a_deletion() {
        let read = |deleted_at: u64| {
            let mut story = begun();
            story.at(deleted_at).invoke_delete(c(2), 1, "k").wrote(c(2), 1, Outcome::Ok, 3);
            story.at(20).invoke_get(c(1), 3, f(2).into(), "k").at(21).found(c(1), 3, 0, "");
            counted(story.in_order_of_time()).1
        };
        assert_eq!((read(10), read(30)), (0, 2));
    }

    #[test]
    fn operations_that_overlap_are_not_one_after_the_other() {
        let mut story = Story::new();
        story.at(1).invoke_set(c(1), 1, "k", "1").invoke_get(c(1), 2, f(1).into(), "k");
        story.at(5).wrote(c(1), 1, Outcome::Ok, 2).found(c(1), 2, 0, "");
        assert_eq!(counted(&story).1, 0);
    }

    #[test]
    fn a_read_that_may_find_a_deletion_is_excused() {
        let read = |version, outcome| {
            let mut story = begun();
            story.at(10).invoke_delete(c(2), 1, "k").wrote(c(2), 1, outcome, version);
            story.at(20).invoke_get(c(1), 3, f(2).into(), "k").at(21).found(c(1), 3, 0, "");
            (counted(&story).1, story.excuses(check))
        };
        let excused = vec![(Excuse::FoundDeletion, 2)];
        assert_eq!(read(2, Outcome::Ok), (0, excused.clone()), "it is behind a write and a read");
        assert_eq!(read(0, Outcome::Unknown), (0, excused));
        assert_eq!(read(1, Outcome::Ok), (2, Vec::new()), "that deletion is older");
        assert_eq!(read(0, Outcome::Failed), (2, Vec::new()), "it was refused");
    }

    #[test]
    fn probes_are_not_counted() {
        let healed_before = |probed: usize| {
            let mut story = begun();
            let at = story.len() + 2 - 2 * probed;
            story.at(8).invoke_get(c(1), 3, f(2).into(), "k").found(c(1), 3, 0, "");
            story.facts.healed_at = Some(at);
            counted(&story).1
        };
        assert_eq!((healed_before(1), healed_before(0)), (0, 2));
    }
}
