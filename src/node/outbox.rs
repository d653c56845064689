use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::base::trace::LostPart;
use crate::core::{BatchLimit, Message, Outbox, Parcel};

/// An [`Outbox`] that several tasks fill and one empties.
#[derive(Debug, Default)]
pub(super) struct SharedOutbox {
    outbox: Mutex<Outbox>,
    /// Signalled when the head of the queue changes: only then does its reader have to look again.
    head_changed: Notify,
}

impl SharedOutbox {
    pub(super) fn push(&self, due: Duration, message: Message, loss: Option<LostPart>) {
        if self.lock().push(due, message, loss) {
            self.head_changed.notify_one();
        }
    }

    /// When the next request may leave if so many are under way; see [`Outbox::ready_at`].
    pub(super) fn ready_at(&self, in_flight: usize) -> Option<Duration> {
        self.lock().ready_at(in_flight)
    }

    /// When the next message is due.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.lock().next_due()
    }

    /// Takes what is due at `now`, in the order of becoming due, up to the limit.
    pub(super) fn take_due(&self, now: Duration, limit: BatchLimit) -> Vec<Parcel> {
        let mut batch = Vec::new();
        self.lock().take_due(now, limit, &mut batch);
        batch
    }

    pub(super) async fn head_changed(&self) {
        self.head_changed.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
