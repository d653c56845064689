use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::base::NodeId;
use crate::base::history::History;
use crate::base::trace::{Event, Observer, Record};

/// Collects what the clients of a live cluster do and see. Operations are ordered by a lock, so that what returned before
/// something else was invoked stands before it, whatever the clock's resolution.
#[derive(Debug, Clone)]
pub struct HistoryRecorder {
    began: Instant,
    records: Arc<Mutex<Vec<Record>>>,
}

impl HistoryRecorder {
    /// Times are counted from now on.
    pub fn start() -> Self {
        Self { began: Instant::now(), records: Arc::default() }
    }

    /// The observer of a client.
    pub fn observer(&self, client: NodeId) -> Arc<dyn Observer> {
        Arc::new(OfClient { client, recorder: self.clone() })
    }

    /// What was recorded so far.
    pub fn history(&self) -> History {
        History::from_records(&self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Record>> {
        // Each change is a single push, so a panic elsewhere cannot leave one half done.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct OfClient {
    client: NodeId,
    recorder: HistoryRecorder,
}

impl Observer for OfClient {
    fn record(&self, event: Event) {
        let mut records = self.recorder.lock();
        // Read under the lock, so that times never go down from one record to the next.
        let at = self.recorder.began.elapsed().into();
        records.push(Record { at, node: self.client, incarnation: 0, event });
    }
}
