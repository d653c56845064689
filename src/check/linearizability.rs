//! Linearizability: the leader behaves like a single copy, on which each operation takes effect at one instant between
//! its invocation and its return (Herlihy and Wing, *Linearizability: A Correctness Condition for Concurrent Objects*,
//! 1990). It is checked for each key alone, which is enough, for linearizability is local (the same paper, theorem 1).
//!
//! Deciding it for histories in general is NP-complete (Gibbons and Korach, *Testing Shared Memories*, 1997), and general
//! checkers search (Wing and Gong, *Testing and Verifying Concurrent Objects*, 1993). Here the writes of a key are ordered
//! already: by their stamps, in which order they must take effect. With the order of the writes given, Gibbons and Korach
//! show that O(n log n) suffices, and the check is a walk through invocations and returns, in the order in which they were
//! recorded. M is the greatest stamp of the operations that have returned.
//!
//! - On an invocation, a write must have a stamp greater than M, a read one that is not less than M.
//! - On a return, M becomes the greater of M and the operation's stamp.
//! - No two writes have one stamp, and the write that a read saw was invoked before the read returned.
//!
//! What has no answer: a write whose outcome is unknown may take effect at any time after its invocation, or never. One
//! that a read saw did take effect, and never returns; one that nobody saw is left out. A write that was refused has no
//! effect, so nobody may see its value. A read that found nothing has a stamp less than any.
//!
//! A deletion is a write. A read that found nothing saw the store before the first write of its key, or after a deletion; it does
//! not say which. It takes effect after the first that it can have seen: the deletion with the smallest stamp that is not less than M
//! was at its invocation, and that was invoked before it returned. (Nothing is lost by that: a smaller stamp leaves more room for
//! what comes later.) A deletion whose outcome is unknown took effect then, and must have had a stamp greater than M when it was
//! invoked. Its stamp is in the records of the leader that accepted it; where only clients were recorded it may be unknown, and then
//! it explains any such read.
//!
//! Where a leader bootstrapped, an operator accepted a loss, no follower knew which of two leaders is the later, or durability says
//! that a leader recovered with less than was acknowledged, what had returned before may be gone. A history that is in order only if it need not keep to the order across such a moment is
//! LOST, and not in order.
//!
//! A write and its retries are one write: it was invoked when it was asked for first, and returned when it was acknowledged first.
//! Where clients alone do not show which place it has, each of its answers binds later readers all the same (`answers`).
//!
//! Where only clients were recorded, the store may have held a value of the key **before** ([`Recorded::of_clients`]). That
//! is one value with one stamp, and less than any that took effect since; so if anybody saw it, it is what was read with
//! the smallest stamp, and nobody found the key absent. The history of the key is in order if it is with that read taken
//! for what had been there, or without.
//!
//! Each key of such a history is checked in the way that its operations allow:
//!
//! - by stamps, as above, where every completed operation has its version (`by_stamps`);
//! - by zones, where none has a version, and no two writes wrote the same (`zones`), O(n log n);
//! - by a search with a budget otherwise (`search`): values that repeat without versions, some versions missing,
//!   conditional writes, absences that only a deletion of unknown version explains. Before it, the operations that do
//!   have versions are checked by stamps, which finds most violations at once. A key whose search uses up the budget is
//!   not judged, and the verdict says so.
//!
//! **Covered** are operations on the leader. Reads at followers are local by contract, may be stale, and are counted in
//! [`sessions`](super::sessions) instead. Where several operations wrote one value, versions tell whose it is; without
//! versions every possibility is searched. In a trace, conditions are checked where the leader accepts the write
//! ([`integrity`](super::integrity)).

mod answers;
mod by_stamps;
mod deletions;
mod describe;
mod register;
mod retries;
mod search;
mod zones;

use std::collections::{BTreeMap, BTreeSet};

use by_stamps::{from_before, in_order};
use deletions::Deletions;
use register::Register;
use search::{Budget, Found};

use super::coverage::Skips;
use super::evidence::{At, count, names, not_applicable};
use super::leaders::Leaders;
use super::prepared::one_epoch;
use super::{Property, Recorded, Verdict, durability};
use crate::base::history::{Moment, Operation};
use crate::base::trace::{Event, Outcome};
use crate::base::{Epoch, Key, NodeId, ReadMode, Stamp};

/// How many configurations the searches of one check may explore. A configuration takes about a microsecond.
const SEARCH_BUDGET: usize = 2_000_000;

/// Checks it. O(n log n), but for the keys that need a search.
pub fn check(run: &Recorded<'_>) -> Verdict {
    check_within(run, SEARCH_BUDGET)
}

fn check_within(run: &Recorded<'_>, budget: usize) -> Verdict {
    let mut keys: BTreeMap<&Key, Vec<&Operation>> = BTreeMap::new();
    let stays = one_epoch(run);
    let operations = retries::merged(run);
    // A local read shows what is not acknowledged yet, and other reads do not.
    let is_other_read = |operation: &&Operation| {
        !operation.is_write() && operation.target.can_lead() && operation.mode != ReadMode::Local
    };
    let with_other_reads: BTreeSet<&Key> =
        operations.iter().filter(is_other_read).map(|operation| &operation.key).collect();
    let covered = |operation: &&Operation| {
        let is_read_alike = stays && (operation.mode != ReadMode::Local || !with_other_reads.contains(&operation.key));
        operation.target.can_lead()
            && (operation.is_write() || is_read_alike || operation.mode == ReadMode::Linearizable)
    };
    let mut skips = Skips::default();
    for operation in operations.iter().filter(|operation| !covered(operation)) {
        let why = if operation.target.can_lead() {
            "reads at a leader in another mode than linearizable, and there were several epochs, or reads in several modes"
        } else {
            "reads at followers may be stale"
        };
        skips.add(&operation.key, 1, false, why);
    }
    for operation in operations.iter().filter(covered) {
        keys.entry(&operation.key).or_default().push(operation);
    }
    if run.facts.is_none() && keys.is_empty() {
        return not_applicable(Property::Linearizability, "nothing was asked of the leader")
            .covering(0, skips.into_vec());
    }
    let history =
        OfHistory { run, is_trace: run.facts.is_some(), breaks: breaks(run), accepted: deletions::accepted(run) };
    let mut budget = Budget(budget);
    let (mut violations, mut losses) = (Vec::new(), Vec::new());
    let (mut checked, mut checked_keys) = (0, 0);
    let answered = answered(run, covered);
    for (key, operations) in &keys {
        let in_place = history.judge(operations, &mut budget);
        match in_place.and_then(|judged| answered.get(key).map_or(Ok(()), |all| answers::check(all)).map(|()| judged)) {
            Ok(Judged::InOrder(steps)) => {
                (checked, checked_keys) = (checked + steps, checked_keys + 1);
                let why = "refused, or of unknown outcome and without a visible effect";
                skips.add(key, operations.len() - steps, false, why);
            }
            Ok(Judged::Lost(why)) => losses.push(why),
            Ok(Judged::Not(why)) => skips.add(key, operations.len(), true, why),
            Err(why) => violations.push(why),
        }
    }
    if violations.is_empty() && checked_keys == 0 && run.facts.is_none() {
        return not_applicable(Property::Linearizability, "no key could be judged").covering(0, skips.into_vec());
    }
    let verdict = Verdict::against(Property::Linearizability, violations, losses, || {
        format!("{} on {} at the leader", count(checked, "operation"), count(checked_keys, "key"))
    });
    verdict.covering(checked, skips.into_vec())
}

/// The operations of clients as they were answered, by key, where only clients were recorded.
fn answered<'a>(run: &Recorded<'a>, covered: impl Fn(&&Operation) -> bool) -> BTreeMap<&'a Key, Vec<&'a Operation>> {
    let mut keys: BTreeMap<&Key, Vec<&Operation>> = BTreeMap::new();
    let operations = if run.facts.is_some() { &[] } else { run.history.operations.as_slice() };
    for operation in operations.iter().filter(covered) {
        keys.entry(&operation.key).or_default().push(operation);
    }
    keys
}

/// What came of a key that is not violated.
enum Judged {
    /// So many operations are in order.
    InOrder(usize),
    /// It is in order only if acknowledged operations were lost, and how.
    Lost(String),
    /// It could not be judged, and why.
    Not(String),
}

/// What is known of a history besides its operations.
struct OfHistory<'a> {
    run: &'a Recorded<'a>,
    is_trace: bool,
    /// Only a trace has any.
    breaks: Vec<(Moment, Break)>,
    accepted: Option<BTreeMap<u64, Stamp>>,
}

impl OfHistory<'_> {
    /// Judges the operations on one key.
    fn judge(&self, operations: &[&Operation], budget: &mut Budget) -> Result<Judged, String> {
        let deletions = Deletions::of(operations, self.accepted.as_ref());
        let lacks = Lacks::of(operations);
        if self.is_trace {
            let steps = match in_order(operations, None, &deletions, &[]) {
                Ok(steps) => steps,
                Err(why) => {
                    return self.judge_out_of_order(&operations[0].key, why, |breaks| {
                        in_order(operations, None, &deletions, breaks)
                    });
                }
            };
            return Ok(match lacks.versions {
                0 => Judged::InOrder(steps),
                lacking => Judged::Not(format!("{} succeeded without a version", count(lacking, "operation"))),
            });
        }
        if lacks.versions == 0 && !lacks.has_conditions {
            let of_known_version = deletions.of_known_version();
            if let Ok(steps) = consistent_by_stamps(operations, &of_known_version) {
                return Ok(Judged::InOrder(steps));
            }
        }
        // With what is lacking read in favour of the history, so what is wrong is wrong in any case.
        let steps = consistent_by_stamps(operations, &deletions)?;
        if lacks.versions == 0 && !lacks.has_conditions && !deletions.has_unknown_versions() {
            return Ok(Judged::InOrder(steps));
        }
        let register = Register::of(operations);
        if zones::apply_to(&register) {
            return zones::check(&register, false).map(|()| Judged::InOrder(register.telling()));
        }
        let allowed = budget.0;
        match search::search(&register, &search::beginnings(&register), budget) {
            Found::Order => Ok(Judged::InOrder(register.telling())),
            Found::NoOrder(why) => Err(why),
            Found::GaveUp => Ok(Judged::Not(format!("the search for an order gave up after {allowed} configurations"))),
        }
    }

    /// Judges a key that is out of order: it is lost if it is in order once operations on both sides of a moment at which data may
    /// have been lost need not be. A recovery counts only where durability says that something of this key is lost with it.
    fn judge_out_of_order(
        &self,
        key: &Key,
        why: String,
        in_order: impl Fn(&[Moment]) -> Result<usize, String>,
    ) -> Result<Judged, String> {
        let (recoveries, breaks): (Vec<_>, Vec<_>) =
            self.breaks.iter().copied().partition(|(_, found)| matches!(found, Break::Recovery));
        let moments = |breaks: &[(Moment, Break)]| breaks.iter().map(|(moment, _)| *moment).collect::<Vec<_>>();
        if !breaks.is_empty() && in_order(&moments(&breaks)).is_ok() {
            return Ok(Judged::Lost(format!("{why}; {}", in_words(&breaks))));
        }
        if !recoveries.is_empty()
            && in_order(&moments(&self.breaks)).is_ok()
            && durability::is_lost_unnoticed(self.run, key)
        {
            return Ok(Judged::Lost(format!("{why}; {}", in_words(&self.breaks))));
        }
        Err(why)
    }
}

/// The check by stamps of a history of clients, where a value may have been there before.
fn consistent_by_stamps(operations: &[&Operation], deletions: &Deletions<'_>) -> Result<usize, String> {
    let result = in_order(operations, None, deletions, &[]);
    let Some(before) = from_before(operations).filter(|_| result.is_err()) else { return result };
    in_order(operations, Some(before), deletions, &[])
        .or_else(|why| in_order(operations, Some(before.recovered()), deletions, &[]).map_err(|_| why))
}

/// What the operations of a key lack for a check by stamps.
struct Lacks {
    /// How many succeeded, and their clients learned no version.
    versions: usize,
    has_conditions: bool,
}

impl Lacks {
    fn of(operations: &[&Operation]) -> Self {
        let lacks = |operation: &&&Operation| operation.outcome == Outcome::Ok && operation.stamp.is_none();
        let is_conditional = |operation: &&Operation| {
            operation.condition.is_some() && matches!(operation.outcome, Outcome::Ok | Outcome::Unknown)
        };
        let has_conditions = operations.iter().any(is_conditional);
        Self { versions: operations.iter().filter(lacks).count(), has_conditions }
    }
}

/// A moment at which acknowledged data can have been lost. Whether it may is a question of durability.
#[derive(Debug, Clone, Copy)]
enum Break {
    /// A leader bootstrapped, or an operator had accepted a loss.
    Bootstrap,
    /// No follower was left that knew which of two leaders is the later.
    TwoLeaders,
    /// An operation returned while that was so.
    Undecided,
    /// A leader recovered, perhaps with less than was acknowledged.
    Recovery,
}

/// The moments from which on an operation need not take effect after what had returned before.
fn breaks(run: &Recorded<'_>) -> Vec<(Moment, Break)> {
    let mut remember: BTreeSet<NodeId> = BTreeSet::new();
    let mut leaders = Leaders::default();
    let (mut breaks, mut is_undecided) = (Vec::new(), false);
    for (index, record) in run.records.iter().enumerate() {
        leaders.follow(record);
        let found = match &record.event {
            Event::Recovered { anew: true, epoch, .. } => (*epoch > Epoch::FIRST).then_some(Break::Bootstrap),
            Event::Recovered { epoch, .. } => (*epoch > Epoch::FIRST).then_some(Break::Recovery),
            Event::Return { .. } => is_undecided.then_some(Break::Undecided),
            // It knows now which of the two is the later.
            Event::StepDown { .. } => {
                is_undecided = false;
                None
            }
            Event::Install { .. } => {
                remember.insert(record.node);
                None
            }
            Event::Crash => {
                let is_last = remember.remove(&record.node) && remember.is_empty();
                is_undecided = leaders.has_former() && (is_undecided || is_last);
                (is_last && is_undecided).then_some(Break::TwoLeaders)
            }
            _ => None,
        };
        breaks.extend(found.map(|found| (Moment { index, at: record.at }, found)));
    }
    breaks
}

/// What explains a loss, where any of these moments may do.
fn in_words(breaks: &[(Moment, Break)]) -> String {
    let of = |wanted: fn(&Break) -> bool| {
        let moments = breaks.iter().filter(|(_, found)| wanted(found));
        let times: Vec<At> = moments.map(|(moment, _)| At(moment.at)).collect();
        (!times.is_empty()).then(|| names(times))
    };
    let bootstrap = of(|found| matches!(found, Break::Bootstrap));
    let bootstrap = bootstrap.map(|times| format!("a leader began with less than was acknowledged at {times}"));
    let two_leaders = of(|found| matches!(found, Break::TwoLeaders));
    let two_leaders =
        two_leaders.map(|times| format!("all followers had lost their memory while two leaders ran at {times}"));
    let recovery = of(|found| matches!(found, Break::Recovery));
    let recovery = recovery.map(|times| format!("a leader recovered at {times}, and durability says what it lacked"));
    [bootstrap, two_leaders, recovery].into_iter().flatten().collect::<Vec<_>>().join(", and ")
}

#[cfg(test)]
mod brute_force;
#[cfg(test)]
mod budget;
#[cfg(test)]
mod cross_check;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod wgl;

#[cfg(test)]
mod tests;
