use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::NodeId;
use crate::base::trace::{Event, Observer, Record, Trace};

/// Collects what happens anywhere in a simulation, in the order in which it happens. A simulation runs in one thread,
/// so that order is the order of the calls.
#[derive(Clone, Default)]
pub(super) struct Recorder {
    trace: Arc<Mutex<Trace>>,
    /// How many operations of clients have ended, for whoever watches from another thread.
    returned: Arc<AtomicUsize>,
}

impl Recorder {
    pub(super) fn new(returned: Arc<AtomicUsize>) -> Self {
        Self { trace: Arc::default(), returned }
    }

    /// The observer of one node or client.
    pub(super) fn observer(&self, node: NodeId) -> Arc<dyn Observer> {
        Arc::new(OfNode { node, recorder: self.clone() })
    }

    pub(super) fn record(&self, node: NodeId, event: Event) {
        if matches!(event, Event::Return { .. }) {
            self.returned.fetch_add(1, Ordering::Relaxed);
        }
        let at = turmoil::sim_elapsed().expect("events happen inside a simulation").into();
        self.lock().push(Record { at, node, event });
    }

    /// Everything recorded so far; the recorder is empty afterwards.
    pub(super) fn take(&self) -> Trace {
        mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Trace> {
        // A story may panic, as a failed assertion does, and its trace is worth the more for it.
        self.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct OfNode {
    node: NodeId,
    recorder: Recorder,
}

impl Observer for OfNode {
    fn record(&self, event: Event) {
        self.recorder.record(self.node, event);
    }
}
