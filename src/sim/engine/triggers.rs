//! Faults that wait for an event: which event of a run is theirs.

use std::collections::BTreeMap;

use super::story;
use crate::base::trace::{Event, Micros, Record, WriteId, operation_name};
use crate::base::{Key, NodeId, Stamp};
use crate::sim::scenario::{OperationName, Scenario, Trigger};

/// The faults of a scenario whose event has not come yet.
#[derive(Debug, Default)]
pub(in crate::sim) struct Triggers {
    waiting: Vec<Waiting>,
    /// The operations that the triggers name, by the writes that leaders took on for them.
    writes: BTreeMap<(u64, WriteId), OperationName>,
    stamps: BTreeMap<(Key, Stamp), OperationName>,
}

#[derive(Debug)]
struct Waiting {
    /// The place of the fault in the scenario.
    place: usize,
    /// Earlier events are not the one that it waits for.
    from: Micros,
    trigger: Trigger,
}

impl Triggers {
    pub(in crate::sim) fn of(scenario: &Scenario) -> Self {
        let waiting = scenario.faults.iter().enumerate().filter_map(|(place, fault)| {
            let trigger = fault.when?.trigger;
            Some(Waiting { place, from: Micros(fault.at_ms * 1000), trigger })
        });
        Self { waiting: waiting.collect(), ..Self::default() }
    }

    /// Whether no fault waits any more.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes the next record into account. Returns the places of the faults that waited for it, which wait no longer.
    pub(in crate::sim) fn follow(&mut self, record: &Record) -> Vec<usize> {
        if self.is_empty() {
            return Vec::new();
        }
        if let Event::Accept { write, key, stamp, .. } | Event::Retry { write, key, stamp, .. } = &record.event {
            let mut named = self.waiting.iter().filter_map(|waiting| waiting.trigger.operation());
            if let Some(operation) = named.find(|operation| is_of(&record.event, *operation)) {
                self.writes.insert((record.incarnation, *write), operation);
                self.stamps.insert((key.clone(), *stamp), operation);
            }
        }
        let mut come = Vec::new();
        let Self { waiting, writes, stamps } = self;
        waiting.retain(|Waiting { place, from, trigger }| {
            let has_come = *from <= record.at && is_event_of(trigger, record, writes, stamps);
            come.extend(has_come.then_some(*place));
            !has_come
        });
        come
    }

    /// No fault waits any longer.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn is_event_of(
    trigger: &Trigger,
    record: &Record,
    writes: &BTreeMap<(u64, WriteId), OperationName>,
    stamps: &BTreeMap<(Key, Stamp), OperationName>,
) -> bool {
    let Record { node, incarnation, event, .. } = record;
    match trigger {
        Trigger::Accepted(operation) => is_of(event, *operation),
        Trigger::Acknowledged(operation) => match event {
            Event::Complete { write, ok: true, .. } => writes.get(&(*incarnation, *write)) == Some(operation),
            _ => false,
        },
        Trigger::Applied(follower, operation) => match event {
            // A later leader gives what it recovers a stamp of its own; the value stays.
            Event::Apply { key, stamp, value, .. } if *node == NodeId::from(*follower) => {
                stamps.get(&(key.clone(), *stamp)) == Some(operation)
                    || value.as_ref().is_some_and(|value| value.as_json() == story::written_value(*operation))
            }
            _ => false,
        },
        Trigger::Serves(leader) => node == leader && matches!(event, Event::Serve { .. }),
        Trigger::Promised(follower) => *node == NodeId::from(*follower) && matches!(event, Event::Promise { .. }),
        Trigger::UpToDate(follower) => *node == NodeId::from(*follower) && matches!(event, Event::Install { .. }),
    }
}

/// Whether a leader took this operation on.
fn is_of(event: &Event, operation: OperationName) -> bool {
    let (Event::Accept { value, operation: code, .. } | Event::Retry { value, operation: code, .. }) = event else {
        return false;
    };
    match (code, value) {
        (Some(code), _) => *code == operation_name(NodeId::Client(operation.client), operation.number),
        // Every other write writes its own name.
        (None, Some(value)) => value.as_json() == story::written_value(operation),
        (None, None) => false,
    }
}
