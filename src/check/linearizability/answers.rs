//! What each answer binds later readers to, whichever write it speaks of: in a history of clients, in which a write that was asked for
//! more than once may have no place of its own among the others (`retries`).
//!
//! A leader that answers with a stamp has that stamp of the key, or a later one, and what it acknowledged is on a quorum. A later
//! leader gives what it recovers its own epoch, and keeps the version. So a read that begins after the answer finds
//!
//! - no lower stamp than the answer told;
//! - nothing that was written before an acknowledged or read version, with a lower one, and recovered since;
//! - something, unless a deletion may have come in between.

use std::collections::BTreeSet;

use super::describe::describe;
use crate::base::history::{Kind, Moment, Operation};
use crate::base::trace::Outcome;
use crate::base::{Epoch, ReadMode, Stamp};

/// Checks the operations of one key. O(n log n).
pub(super) fn check(operations: &[&Operation]) -> Result<(), String> {
    let first_deletion =
        operations.iter().filter(|operation| operation.kind == Kind::Delete).map(|it| it.invoked).min();
    let mut answers: Vec<(Moment, &Operation, Stamp)> = operations.iter().filter_map(|it| answer(it)).collect();
    answers.sort_by_key(|(moment, ..)| *moment);
    let mut answers = answers.into_iter().peekable();
    let mut reads: Vec<&Operation> = operations.iter().filter(|operation| !operation.is_write()).copied().collect();
    reads.sort_by_key(|read| read.invoked);
    let writes: BTreeSet<(&str, Stamp)> = operations.iter().filter_map(|it| written(it)).collect();
    let mut stamp: Option<(Stamp, &Operation)> = None;
    let mut version: Option<(Stamp, &Operation)> = None;
    for read in reads {
        while let Some((_, operation, told)) = answers.next_if(|(moment, ..)| *moment < read.invoked) {
            if stamp.is_none_or(|(greatest, _)| told > greatest) {
                stamp = Some((told, operation));
            }
            if is_lasting(operation) && version.is_none_or(|(greatest, _)| told.version > greatest.version) {
                version = Some((told, operation));
            }
        }
        let behind = match (read.outcome, read.stamp) {
            (Outcome::Ok, Some(found)) => {
                let lower_stamp = stamp.filter(|(told, _)| found < *told);
                let lower_version = || version.filter(|(told, _)| found.version < told.version);
                lower_stamp.or_else(|| lower_version().filter(|(told, _)| is_recovered(read, (found, *told), &writes)))
            }
            (Outcome::Absent, _)
                if first_deletion.is_none_or(|deletion| read.returned.is_some_and(|at| at < deletion)) =>
            {
                version
            }
            _ => None,
        };
        if let Some((_, before)) = behind {
            return Err(format!("{}, though before that {}", describe(read), describe(before)));
        }
    }
    Ok(())
}

/// When an operation told its client of a stamp, if it did.
fn answer(operation: &Operation) -> Option<(Moment, &Operation, Stamp)> {
    (operation.outcome == Outcome::Ok).then_some(())?;
    Some((operation.returned?, operation, operation.stamp?))
}

/// What a write wrote, and with which stamp, if that is known.
fn written(operation: &Operation) -> Option<(&str, Stamp)> {
    match &operation.kind {
        Kind::Write(value) => Some((value.as_json(), operation.stamp?)),
        Kind::Read(_) | Kind::Delete => None,
    }
}

/// Whether a read with this stamp found what had been written with the same version under an earlier epoch, and below this other stamp.
fn is_recovered(read: &Operation, (found, told): (Stamp, Stamp), writes: &BTreeSet<(&str, Stamp)>) -> bool {
    let Kind::Read(Some(value)) = &read.kind else { return false };
    let value = value.as_json();
    let beginning = (value, Stamp { epoch: Epoch::ZERO, ..found });
    let mut earlier =
        writes.range(beginning..(value, found.min(told))).filter(|(_, stamp)| stamp.version == found.version);
    earlier.next().is_some() && !writes.contains(&(value, found))
}

/// Whether what it told of stays: it was acknowledged, or read as such.
fn is_lasting(operation: &Operation) -> bool {
    operation.is_write() || operation.mode != ReadMode::Local
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::history::History;
    use crate::base::{NodeId, Version};
    use crate::check::testing::{Story, c};

    /// c4 writes v5. c1's write is asked for twice, and answered with e2v6 the second time. Then c2 reads this, of c4.
    fn read_then(found: Option<(u64, u64)>, deletes: bool) -> Result<(), String> {
        let mut story = Story::new();
        story.at(0).invoke_set(c(4), 1, "k", "0").wrote(c(4), 1, Outcome::Ok, 5);
        story.at(1).invoke_set(c(1), 1, "k", "1").at(2).wrote(c(1), 1, Outcome::Unknown, 0);
        story.at(3).invoke_set(c(1), 2, "k", "1").at(4).wrote(c(1), 2, Outcome::Ok, 6);
        if deletes {
            story.at(5).invoke_delete(c(3), 1, "k");
        }
        story.at(6).invoke_get(c(2), 1, NodeId::FIRST_SERVER, "k");
        match found {
            Some((_, version)) => story.at(7).found(c(2), 1, version, "0"),
            None => story.at(7).found(c(2), 1, 0, ""),
        };
        let mut history = History::from_records(story.records());
        let stamp = |(epoch, version)| Stamp { epoch: Epoch::new(epoch), version: Version::new(version).unwrap() };
        history.operations[2].stamp = Some(stamp((2, 6)));
        history.operations.last_mut().unwrap().stamp = found.map(stamp);
        check(&history.operations.iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_read_finds_at_least_what_was_answered_before() {
        for found in [(2, 6), (2, 7), (3, 6), (3, 1)] {
            assert_eq!(read_then(Some(found), false), Ok(()), "{found:?}");
        }
        let why = "c2#1, from 6 to 7 ms, read k v7, though before that c1#2, from 3 to 4 ms, wrote k e2v6";
        assert_eq!(read_then(Some((1, 7)), false), Err(why.into()), "an earlier epoch is over");
        assert!(
            read_then(Some((3, 5)), false).is_err(),
            "a later leader recovers what was acknowledged, and not what was before"
        );
        assert!(read_then(Some((2, 5)), false).is_err());
    }

    #[test]
    fn a_read_finds_nothing_only_behind_a_deletion() {
        assert!(read_then(None, false).is_err());
        assert_eq!(read_then(None, true), Ok(()));
    }
}
