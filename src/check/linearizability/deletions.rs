//! What a read may have seen that found nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::ops::Bound;
use std::vec;

use super::by_stamps::{Effective, Seen, Step, name};
use super::describe::describe_step;
use crate::base::Stamp;
use crate::base::history::{Kind, Operation};
use crate::base::trace::{Event, Outcome};
use crate::check::Recorded;

/// The stamps that the leader gave to deletions, by the names of their operations; none where the leader was not recorded.
pub(super) fn accepted(run: &Recorded<'_>) -> Option<BTreeMap<u64, Stamp>> {
    let deletion = |event: &Event| match event {
        Event::Accept { stamp, value: None, operation: Some(name), .. }
        | Event::Retry { stamp, value: None, operation: Some(name), .. } => Some((*name, *stamp)),
        _ => None,
    };
    let of_records = run.records.iter().filter_map(|record| deletion(&record.event));
    (!run.records.is_empty()).then(|| of_records.collect())
}

/// The deletions of one key that may have taken effect.
pub(super) struct Deletions<'a>(Vec<Deletion<'a>>);

#[derive(Clone, Copy)]
struct Deletion<'a> {
    operation: &'a Operation,
    /// None if it is not known.
    stamp: Option<Stamp>,
}

impl<'a> Deletions<'a> {
    pub(super) fn of(operations: &[&'a Operation], accepted: Option<&BTreeMap<u64, Stamp>>) -> Self {
        let deletes = operations.iter().filter(|operation| operation.kind == Kind::Delete);
        let effective = deletes.filter_map(|operation| {
            let stamp = operation.stamp.or_else(|| accepted?.get(&name(operation)).copied());
            match operation.outcome {
                Outcome::Failed | Outcome::Absent => None,
                // What the leader never accepted has no effect.
                Outcome::Unknown if stamp.is_none() && accepted.is_some() => None,
                _ => Some(Deletion { operation, stamp }),
            }
        });
        Self(effective.collect())
    }

    /// The same without the deletions whose versions are not known.
    pub(super) fn of_known_version(&self) -> Self {
        Self(self.0.iter().filter(|deletion| deletion.stamp.is_some()).copied().collect())
    }

    /// Whether the version of some deletion is not known.
    pub(super) fn has_unknown_versions(&self) -> bool {
        self.0.iter().any(|deletion| deletion.stamp.is_none())
    }

    /// Those that have not the stamp of another write that took effect, for a walk through the history of the key.
    pub(super) fn without(&self, effective: &Effective<'a>) -> Visible<'a> {
        let is_free = |deletion: &&Deletion<'a>| {
            let other = deletion.stamp.and_then(|stamp| effective.by_stamp.get(&stamp));
            other.is_none_or(|other| name(other) == name(deletion.operation))
        };
        let mut all: Vec<Deletion<'a>> = self.0.iter().filter(is_free).copied().collect();
        all.sort_by_key(|deletion| deletion.operation.invoked);
        Visible { later: all.into_iter().peekable(), stamps: BTreeSet::new(), has_unknown_stamp: false }
    }
}

/// The deletions of one key that a read can have seen, as of its return. Reads are looked at in the order of their returns.
pub(super) struct Visible<'a> {
    /// The deletions that had not been invoked by then, in the order of their invocations.
    later: Peekable<vec::IntoIter<Deletion<'a>>>,
    /// The stamps of those that had been and took effect.
    stamps: BTreeSet<Stamp>,
    /// Whether one of those that had been has a stamp that is not known.
    has_unknown_stamp: bool,
}

impl<'a> Visible<'a> {
    /// The stamp of the first deletion that a read can have seen; none if it can have seen one whose stamp is not known.
    pub(super) fn seen_by(
        &mut self,
        read: &Step<'a>,
        first: Option<Stamp>,
        seen: &Seen<'a>,
    ) -> Result<Option<Stamp>, String> {
        let before = seen.before(read.operation.invoked);
        let least = before.and_then(|before| before.stamp).max(first);
        let is_invoked = |deletion: &Deletion<'_>| Some(deletion.operation.invoked) < read.returned;
        while let Some(Deletion { operation, stamp }) = self.later.next_if(is_invoked) {
            let returned = || seen.before(operation.invoked).and_then(|step| step.stamp);
            match stamp {
                None => self.has_unknown_stamp = true,
                Some(stamp) if operation.outcome == Outcome::Ok || Some(stamp) > returned() => {
                    self.stamps.insert(stamp);
                }
                Some(_) => {}
            }
        }
        if self.has_unknown_stamp {
            return Ok(None);
        }
        let from_least = (least.map_or(Bound::Unbounded, Bound::Included), Bound::Unbounded);
        let earliest = self.stamps.range(from_least).copied().find(|stamp| Some(*stamp) != first);
        match (earliest, before) {
            (Some(_), _) => Ok(earliest),
            (None, Some(before)) => {
                Err(format!("{}, though before that {}", describe_step(read), describe_step(&before)))
            }
            (None, None) => Err(format!("{}, though it had been there before", describe_step(read))),
        }
    }
}
