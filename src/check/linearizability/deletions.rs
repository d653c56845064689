//! What a read may have seen that found nothing.

use std::collections::BTreeMap;

use super::by_stamps::{Effective, Seen, Step};
use super::describe::describe_step;
use crate::base::Stamp;
use crate::base::history::{Kind, Operation};
use crate::base::trace::{Event, Outcome, operation_name};
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
            let name = operation_name(operation.client, operation.number);
            let stamp = operation.stamp.or_else(|| accepted?.get(&name).copied());
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

    /// Those that have not the stamp of another write that took effect.
    pub(super) fn without(&self, effective: &Effective<'a>) -> Self {
        let is_free = |deletion: &&Deletion<'a>| {
            let other = deletion.stamp.and_then(|stamp| effective.by_stamp.get(&stamp));
            other.is_none_or(|other| other.invoked == deletion.operation.invoked)
        };
        Self(self.0.iter().filter(is_free).copied().collect())
    }

    /// The stamp of the first deletion that a read can have seen; none if it can have seen one whose stamp is not known.
    pub(super) fn seen_by(
        &self,
        read: &Step<'a>,
        first: Option<Stamp>,
        seen: &Seen<'a>,
    ) -> Result<Option<Stamp>, String> {
        let before = seen.before(read.operation.invoked);
        let least = before.and_then(|before| before.stamp).max(first);
        let invoked = self.0.iter().filter(|deletion| Some(deletion.operation.invoked) < read.returned);
        let mut earliest = None;
        for Deletion { operation, stamp } in invoked {
            let Some(stamp) = *stamp else { return Ok(None) };
            let returned = || seen.before(operation.invoked).and_then(|step| step.stamp);
            let took_effect = operation.outcome == Outcome::Ok || Some(stamp) > returned();
            let is_free = Some(stamp) >= least && Some(stamp) != first;
            if is_free && took_effect && earliest.is_none_or(|earliest| stamp < earliest) {
                earliest = Some(stamp);
            }
        }
        match (earliest, before) {
            (Some(_), _) => Ok(earliest),
            (None, Some(before)) => {
                Err(format!("{}, though before that {}", describe_step(read), describe_step(&before)))
            }
            (None, None) => Err(format!("{}, though it had been there before", describe_step(read))),
        }
    }
}
