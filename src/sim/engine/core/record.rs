use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::queue::At;
use crate::base::NodeId;
use crate::base::trace::{Event, Micros, Record, Trace};

/// Keeps what happens, in its order.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    trace: Trace,
    /// How many operations of clients have ended, for whoever watches from another thread.
    returned: Arc<AtomicUsize>,
}

impl Recorder {
    /// `events` is about how many there will be.
    pub(super) fn new(events: usize, returned: Arc<AtomicUsize>) -> Self {
        Self { trace: Trace::with_capacity(events), returned }
    }

    pub(super) fn push(&mut self, at: At, node: NodeId, incarnation: u64, event: Event) {
        if matches!(event, Event::Return { .. }) {
            self.returned.fetch_add(1, Ordering::Relaxed);
        }
        self.trace.push(Record { at: Micros(at), node, incarnation, event });
    }

    pub(super) fn into_trace(self) -> Trace {
        self.trace
    }
}
