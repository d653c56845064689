use std::cell::OnceCell;

use super::calls::Calls;
use super::keys::Keys;
use super::leaders::Leaders;
use super::writes::Writes;
use super::{Facts, Recorded, window};
use crate::base::history::Operation;
use crate::base::trace::{Event, Record};
use crate::base::{Epoch, ReadMode};

/// A run, with what several checkers look up in it.
pub(super) struct Prepared<'a> {
    pub(super) run: Recorded<'a>,
    pub(super) keys: Keys<'a>,
    pub(super) writes: Writes<'a>,
    pub(super) calls: Calls<'a>,
    /// The places of the records that are not of messages only.
    deeds: Vec<usize>,
    /// The operation that each record begins or ends, if it does.
    operations: Vec<Option<&'a Operation>>,
    window_was_full: OnceCell<bool>,
    one_epoch: OnceCell<bool>,
}

impl<'a> Prepared<'a> {
    pub(super) fn of(run: &Recorded<'a>) -> Self {
        let keys = Keys::of(run);
        let writes = Writes::of(run, &keys);
        let records = run.records.iter().enumerate();
        let deeds = records.filter(|(_, record)| !is_of_message(&record.event)).map(|(place, _)| place).collect();
        let mut operations = vec![None; run.records.len()];
        for operation in &run.history.operations {
            for moment in [Some(operation.invoked), operation.returned].into_iter().flatten() {
                if let Some(of_record) = operations.get_mut(moment.index) {
                    *of_record = Some(operation);
                }
            }
        }
        let calls = Calls::of(run.history);
        Self {
            run: *run,
            keys,
            writes,
            calls,
            deeds,
            operations,
            window_was_full: OnceCell::new(),
            one_epoch: OnceCell::new(),
        }
    }

    /// The operation that the record at this place begins or ends, if it does.
    pub(super) fn operation_at(&self, place: usize) -> Option<&'a Operation> {
        self.operations.get(place).copied().flatten()
    }

    /// Whether some write found the window of a follower full.
    pub(super) fn window_was_full(&self, facts: &Facts) -> bool {
        *self.window_was_full.get_or_init(|| window::was_full(self.run.records, facts.followers))
    }

    /// Whether no leader has begun a second epoch, as far as is known: then what a leader stores is as good as what was
    /// acknowledged, for it does not vanish.
    pub(super) fn has_one_epoch(&self) -> bool {
        *self.one_epoch.get_or_init(|| one_epoch(&self.run))
    }

    /// Whether what a read at the leader shows must stay.
    pub(super) fn shows_what_stays(&self, mode: ReadMode) -> bool {
        mode != ReadMode::Local || self.has_one_epoch()
    }

    /// Whether the leader serves when the run ends, or never had to begin.
    pub(super) fn leader_serves_in_the_end(&self) -> bool {
        let mut recovers = false;
        let mut serves = true;
        let leader = Leaders::after(self.run.records).present();
        for (_, record) in self.deeds() {
            match &record.event {
                Event::Serve { .. } => {
                    recovers = true;
                    serves |= record.node == leader;
                }
                Event::StepDown { .. } if record.node == leader => serves = false,
                Event::Crash | Event::Restart if record.node == leader => serves = !recovers,
                _ => {}
            }
        }
        serves
    }

    /// What clients and nodes did and what was done to them, with the places among all records. The messages between
    /// nodes, which are most of what is recorded, are left out.
    pub(super) fn deeds(&self) -> impl Iterator<Item = (usize, &'a Record)> {
        self.deeds.iter().map(|place| (*place, &self.run.records[*place]))
    }
}

/// Whether no leader served in a second epoch, as far as is known. A trace begins in the first one. The epochs of a history of
/// clients can have any number.
pub(super) fn one_epoch(run: &Recorded<'_>) -> bool {
    let mut epochs = run.history.operations.iter().filter_map(|operation| Some(operation.stamp?.epoch));
    let serves_later = |record: &Record| matches!(record.event, Event::Serve { epoch } if epoch > Epoch::FIRST);
    let first = if run.records.is_empty() { epochs.next() } else { Some(Epoch::FIRST) };
    epochs.all(|epoch| Some(epoch) == first) && !run.records.iter().any(serves_later)
}

fn is_of_message(event: &Event) -> bool {
    matches!(
        event,
        Event::Send { .. } | Event::Rpc { .. } | Event::Dispatch { .. } | Event::Ack { .. } | Event::Lost { .. }
    )
}
