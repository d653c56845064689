use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::base::trace::LostPart;
use crate::core::Message;

/// The messages to one follower that wait out their emulated delay, or for a request to carry them.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    /// Signalled when the head of the queue changes: only then does its reader have to look again.
    head_changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    heap: BinaryHeap<Reverse<Queued>>,
    /// How many messages were ever put in, so that those due at the same time leave in the order in which they came.
    pushed: u64,
}

#[derive(Debug)]
struct Queued {
    due: Duration,
    ordinal: u64,
    parcel: Parcel,
}

/// A message, and what of it the emulated network loses.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) message: Message,
    pub(super) loss: Option<LostPart>,
}

/// How much one request may carry.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchLimit {
    pub(super) messages: usize,
    /// Bytes of keys and values. A single message may be larger.
    pub(super) bytes: usize,
}

impl Outbox {
    pub(super) fn push(&self, due: Duration, message: Message, loss: Option<LostPart>) {
        let mut queue = self.lock();
        let ordinal = queue.pushed;
        queue.pushed += 1;
        queue.heap.push(Reverse(Queued { due, ordinal, parcel: Parcel { message, loss } }));
        let is_head = queue.heap.peek().is_some_and(|Reverse(head)| head.ordinal == ordinal);
        drop(queue);
        if is_head {
            self.head_changed.notify_one();
        }
    }

    /// When the next message is due.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.lock().heap.peek().map(|Reverse(head)| head.due)
    }

    /// Takes what is due at `now`, in the order of becoming due, up to the limit.
    pub(super) fn take_due(&self, now: Duration, limit: BatchLimit) -> Vec<Parcel> {
        let mut queue = self.lock();
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(Reverse(head)) = queue.heap.peek().filter(|Reverse(head)| head.due <= now) {
            bytes += head.parcel.message.update.size();
            if batch.len() == limit.messages || (bytes > limit.bytes && !batch.is_empty()) {
                break;
            }
            batch.extend(queue.heap.pop().map(|Reverse(queued)| queued.parcel));
        }
        batch
    }

    pub(super) async fn head_changed(&self) {
        self.head_changed.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.ordinal).cmp(&(other.due, other.ordinal))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::{FollowerId, Key, Stamp, Value, Version};
    use crate::core::{Entry, Update};

    fn message(write: u64, value: &str) -> Message {
        let stamp = Stamp::of_version(Version::FIRST);
        let entry = Entry { stamp, value: Value::from_json(value).unwrap() };
        let update = Arc::new(Update { write, operation: write, key: Key::new("k").unwrap(), entry });
        Message { to: FollowerId(0), attempt: 1, update }
    }

    fn take(outbox: &Outbox, now_ms: u64, limit: BatchLimit) -> Vec<u64> {
        let batch = outbox.take_due(Duration::from_millis(now_ms), limit);
        batch.iter().map(|parcel| parcel.message.update.write).collect()
    }

    const LIMIT: BatchLimit = BatchLimit { messages: 3, bytes: 10 };

    #[test]
    fn messages_leave_in_the_order_of_becoming_due() {
        let outbox = Outbox::default();
        for (write, due) in [(1, 30), (2, 10), (3, 20), (4, 10)] {
            outbox.push(Duration::from_millis(due), message(write, "1"), None);
        }
        assert_eq!(outbox.next_due(), Some(Duration::from_millis(10)));
        assert!(take(&outbox, 9, LIMIT).is_empty());
        assert_eq!(take(&outbox, 20, LIMIT), [2, 4, 3]);
        assert_eq!(take(&outbox, 40, LIMIT), [1]);
        assert_eq!(outbox.next_due(), None);
    }

    #[test]
    fn a_batch_is_bounded_in_messages_and_bytes_but_never_empty() {
        let outbox = Outbox::default();
        for write in 1..=4 {
            outbox.push(Duration::ZERO, message(write, "1"), None);
        }
        outbox.push(Duration::ZERO, message(5, "\"far more than ten bytes\""), None);
        outbox.push(Duration::ZERO, message(6, "\"123456789\""), None);
        assert_eq!(take(&outbox, 0, LIMIT), [1, 2, 3]);
        assert_eq!(take(&outbox, 0, LIMIT), [4]);
        assert_eq!(take(&outbox, 0, LIMIT), [5]);
        assert_eq!(take(&outbox, 0, LIMIT), [6]);
    }
}
