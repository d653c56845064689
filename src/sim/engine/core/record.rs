use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::queue::At;
use crate::base::NodeId;
use crate::base::trace::{Event, Micros, Record, Trace};
use crate::sim::engine::triggers::Triggers;

/// Keeps what happens, in its order.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    trace: Trace,
    /// How many operations of clients have ended, for whoever watches from another thread.
    returned: Arc<AtomicUsize>,
    /// The faults that wait for an event, and the places of those whose event has come.
    triggers: Triggers,
    triggered: Vec<usize>,
}

impl Recorder {
    /// `events` is about how many there will be.
    pub(super) fn new(events: usize, returned: Arc<AtomicUsize>) -> Self {
        Self { trace: Trace::with_capacity(events), returned, ..Self::default() }
    }

    pub(super) fn push(&mut self, at: At, node: NodeId, incarnation: u64, event: Event) {
        if matches!(event, Event::Return { .. }) {
            self.returned.fetch_add(1, Ordering::Relaxed);
        }
        let record = Record { at: Micros(at), node, incarnation, event };
        if !self.triggers.is_empty() {
            self.triggered.extend(self.triggers.follow(&record));
        }
        self.trace.push(record);
    }

    /// Looks for the events of these faults from now on.
    pub(super) fn watch(&mut self, triggers: Triggers) {
        self.triggers = triggers;
    }

    /// Looks for events no longer.
    pub(super) fn watch_nothing(&mut self) {
        self.triggers.clear();
        self.triggered.clear();
    }

    /// Returns the places of the faults whose event has come since the last call.
    pub(super) fn take_triggered(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.triggered)
    }

    pub(super) fn into_trace(self) -> Trace {
        self.trace
    }
}
