use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::Message;
use crate::base::trace::LostPart;

/// How much one request may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimit {
    /// Messages.
    pub messages: usize,
    /// Bytes of keys and values. A single message may be larger.
    pub bytes: usize,
}

/// The messages to one follower that wait out their emulated delay, or for a request to carry them.
///
/// Those that are due leave together. While a request is under way, what becomes due waits a little for its answer, and
/// then leaves in a request of its own: so batches form by themselves under load, and a request that hangs does not hold
/// up the rest.
#[derive(Debug, Clone, Default)]
pub struct Outbox {
    /// What came after everything else that was waiting, and is due after it: everything, where nothing is delayed.
    /// Invariant: in the order in which it leaves.
    in_order: VecDeque<Queued>,
    /// The rest.
    heap: BinaryHeap<Reverse<Queued>>,
    /// How many messages were ever put in, so that those due at the same time leave in the order in which they came.
    pushed: u64,
}

#[derive(Debug, Clone)]
struct Queued {
    due: Duration,
    ordinal: u64,
    parcel: Parcel,
}

/// A message, and what of it the emulated network loses.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// The message.
    pub message: Message,
    /// What of it is lost.
    pub loss: Option<LostPart>,
}

impl Outbox {
    /// The most requests to one follower that are under way at a time.
    pub const MAX_IN_FLIGHT: usize = 8;
    /// How long what is due waits for the answer to a request that is under way.
    pub const PATIENCE: Duration = Duration::from_millis(5);
    /// What one request carries at the most.
    pub const BATCH: BatchLimit = BatchLimit { messages: 1024, bytes: 1 << 20 };

    /// Puts a message in that may leave from `due` on. True if it is the first to leave.
    pub fn push(&mut self, due: Duration, message: Message, loss: Option<LostPart>) -> bool {
        let ordinal = self.pushed;
        self.pushed += 1;
        let queued = Queued { due, ordinal, parcel: Parcel { message, loss } };
        if self.in_order.back().is_none_or(|last| last.due <= due) {
            self.in_order.push_back(queued);
        } else {
            self.heap.push(Reverse(queued));
        }
        self.head().is_some_and(|head| head.ordinal == ordinal)
    }

    /// The message that leaves first.
    fn head(&self) -> Option<&Queued> {
        let late = self.heap.peek().map(|Reverse(head)| head);
        late.into_iter().chain(self.in_order.front()).min()
    }

    fn pop(&mut self) -> Option<Queued> {
        let in_order = self.in_order.front();
        let is_in_order = in_order.is_some_and(|first| self.heap.peek().is_none_or(|Reverse(other)| first < other));
        if is_in_order { self.in_order.pop_front() } else { self.heap.pop().map(|Reverse(queued)| queued) }
    }

    /// When the next message is due.
    pub fn next_due(&self) -> Option<Duration> {
        self.head().map(|head| head.due)
    }

    /// When the next request may leave if so many are under way; `None` if none may before one of them has ended, or
    /// nothing is there to be sent.
    pub fn ready_at(&self, in_flight: usize) -> Option<Duration> {
        match in_flight {
            0 => self.next_due(),
            Self::MAX_IN_FLIGHT.. => None,
            _ => self.next_due().map(|due| due + Self::PATIENCE),
        }
    }

    /// Takes what is due at `now`, in the order of becoming due, up to the limit, and puts it after what `batch` has.
    pub fn take_due(&mut self, now: Duration, limit: BatchLimit, batch: &mut Vec<Parcel>) {
        let mut bytes = 0;
        for count in 0..limit.messages {
            let Some(head) = self.head().filter(|head| head.due <= now) else { return };
            bytes += head.parcel.message.update.size();
            if bytes > limit.bytes && count > 0 {
                return;
            }
            batch.extend(self.pop().map(|queued| queued.parcel));
        }
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
        let entry = Entry::new(stamp, Value::from_json(value).ok());
        let update = Arc::new(Update { write, operation: write, key: Key::new("k").unwrap(), entry });
        Message { to: FollowerId(0), attempt: 1, update }
    }

    fn take(outbox: &mut Outbox, now_ms: u64, limit: BatchLimit) -> Vec<u64> {
        let mut batch = Vec::new();
        outbox.take_due(Duration::from_millis(now_ms), limit, &mut batch);
        batch.iter().map(|parcel| parcel.message.update.write).collect()
    }

    const LIMIT: BatchLimit = BatchLimit { messages: 3, bytes: 10 };

    #[test]
    fn messages_leave_in_the_order_of_becoming_due() {
        let mut outbox = Outbox::default();
        for (write, due) in [(1, 30), (2, 10), (3, 20), (4, 10)] {
            outbox.push(Duration::from_millis(due), message(write, "1"), None);
        }
        assert_eq!(outbox.next_due(), Some(Duration::from_millis(10)));
        assert!(take(&mut outbox, 9, LIMIT).is_empty());
        assert_eq!(take(&mut outbox, 20, LIMIT), [2, 4, 3]);
        assert_eq!(take(&mut outbox, 40, LIMIT), [1]);
        assert_eq!(outbox.next_due(), None);
    }

    /// Whether delays are all alike, all different or some of both.
    #[test]
    fn the_order_is_that_of_one_sorted_list() {
        for delays in [1, 5, 1000] {
            let mut outbox = Outbox::default();
            let mut expected: Vec<(u64, u64)> = Vec::new();
            let mut draw = 7_u64;
            for write in 1..=300 {
                draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let due = write + (draw >> 33) % delays;
                let is_first = expected.iter().all(|other| (due, write) < *other);
                assert_eq!(outbox.push(Duration::from_millis(due), message(write, "1"), None), is_first);
                expected.push((due, write));
                expected.sort_unstable();
                assert_eq!(outbox.next_due(), Some(Duration::from_millis(expected[0].0)));
                if write % 2 == 0 {
                    let limit = BatchLimit { messages: 1, ..LIMIT };
                    let leaves: Vec<u64> =
                        expected.drain(..usize::from(expected[0].0 <= write)).map(|it| it.1).collect();
                    assert_eq!(take(&mut outbox, write, limit), leaves);
                }
            }
            let rest = take(&mut outbox, 10_000, BatchLimit { messages: 1000, bytes: 10_000 });
            assert!(rest.iter().eq(expected.iter().map(|(_, write)| write)), "delays of up to {delays}");
        }
    }

    #[test]
    fn a_batch_is_bounded_in_messages_and_bytes_but_never_empty() {
        let mut outbox = Outbox::default();
        for write in 1..=4 {
            outbox.push(Duration::ZERO, message(write, "1"), None);
        }
        outbox.push(Duration::ZERO, message(5, "\"far more than ten bytes\""), None);
        outbox.push(Duration::ZERO, message(6, "\"123456789\""), None);
        assert_eq!(take(&mut outbox, 0, LIMIT), [1, 2, 3]);
        assert_eq!(take(&mut outbox, 0, LIMIT), [4]);
        assert_eq!(take(&mut outbox, 0, LIMIT), [5]);
        assert_eq!(take(&mut outbox, 0, LIMIT), [6]);
    }

    #[test]
    fn what_is_due_waits_a_little_for_the_answer_to_what_is_under_way() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.ready_at(0), None);
        let due = Duration::from_millis(30);
        assert!(outbox.push(due, message(1, "1"), None));
        assert!(!outbox.push(due, message(2, "1"), None), "it leaves after the first");
        assert_eq!(outbox.ready_at(0), Some(due));
        assert_eq!(outbox.ready_at(1), Some(due + Outbox::PATIENCE));
        assert_eq!(outbox.ready_at(Outbox::MAX_IN_FLIGHT - 1), Some(due + Outbox::PATIENCE));
        assert_eq!(outbox.ready_at(Outbox::MAX_IN_FLIGHT), None);
    }
}
