use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::base::trace::LostPart;
use crate::core::{BatchLimit, Message, Outbox, Parcel};

/// The queue of a message, by its size. Each queue has its own requests, so that small values do not wait behind large ones on a
/// slow link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Small,
    Large,
}

impl Lane {
    pub(super) const ALL: [Self; 2] = [Self::Small, Self::Large];
    /// From this size on a message is a large one, in bytes.
    const LARGE: usize = 256 << 10;

    pub(super) fn of(message: &Message) -> Self {
        if message.update.size() < Self::LARGE { Self::Small } else { Self::Large }
    }

    /// The maximum number of requests of this lane in flight to one follower.
    pub(super) fn max_in_flight(self) -> usize {
        match self {
            Self::Small => Outbox::MAX_IN_FLIGHT,
            // More would only share the same link.
            Self::Large => 2,
        }
    }
}

/// The messages queued for one follower.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    small: SharedOutbox,
    large: SharedOutbox,
}

impl Lanes {
    pub(super) fn of(&self, lane: Lane) -> &SharedOutbox {
        match lane {
            Lane::Small => &self.small,
            Lane::Large => &self.large,
        }
    }
}

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
