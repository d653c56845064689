//! Faults of messages, as data.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::base::trace::{MessageId, Rpc};
use crate::base::{FollowerId, NodeId};

/// The faults of messages between nodes, besides their emulated delay. Empty in production.
#[derive(Debug, Clone, Default)]
pub struct MessageFaults {
    /// The faults. All that match a message act on it.
    pub faults: Arc<[MessageFault]>,
    /// The simulation's time at the start of the node's clock.
    pub since: Duration,
    /// The simulation's time at which that of the scenario begins, in microseconds; [`u64::MAX`] as long as it has not.
    pub beginning: Arc<AtomicU64>,
    /// Set once everything is healed; from then on no fault strikes.
    pub healed: Arc<AtomicBool>,
}

impl MessageFaults {
    /// The time of the scenario when the node's clock shows `now`. `None` if no fault can strike then.
    pub(super) fn time(&self, now: Duration) -> Option<Duration> {
        if self.faults.is_empty() || self.healed.load(Ordering::Relaxed) {
            return None;
        }
        let beginning = self.beginning.load(Ordering::Relaxed);
        (beginning < u64::MAX).then(|| (self.since + now).saturating_sub(Duration::from_micros(beginning)))
    }
}

/// Something that happens to some messages.
#[derive(Debug, Clone)]
pub struct MessageFault {
    /// To messages of this kind.
    pub messages: Messages,
    /// To messages to this follower only.
    pub to: Option<FollowerId>,
    /// To messages sent from this time of the scenario on.
    pub from: Duration,
    /// Up to, but not at, this time.
    pub until: Duration,
    /// The moment from which both times count; without one, the beginning of the scenario.
    pub onset: Option<Moment>,
    /// To this many messages in a thousand of those that match.
    pub per_mille: u16,
    /// Distinguishes the draws of this fault from those of other faults.
    pub salt: u64,
    /// The effect on a message.
    pub effect: Effect,
    /// When it struck a message first.
    pub struck: Moment,
}

/// Selects messages between a leader and its followers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Messages {
    /// Those that carry a write.
    Writes {
        /// Of this operation only.
        operation: Option<u64>,
        /// The nth attempt only.
        attempt: Option<u32>,
    },
    /// Peer RPCs.
    Rpcs {
        /// Of this kind.
        rpc: Rpc,
        /// Sent by this node only.
        sender: Option<NodeId>,
        /// The nth only; see [`RpcFate::number`](super::RpcFate::number).
        number: Option<u64>,
    },
}

impl Messages {
    /// Every message that carries a write.
    pub const ALL_WRITES: Self = Self::Writes { operation: None, attempt: None };
}

/// The effect of a fault on a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It never arrives.
    Drop,
    /// It arrives, but its answer does not.
    DropReply,
    /// It arrives twice, the second time after this delay, or one that is drawn.
    Duplicate(Option<Duration>),
    /// It takes this long.
    Delay(Duration),
}

/// A moment of a scenario's time that comes at most once. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Moment(Arc<OnceLock<Duration>>);

impl Moment {
    /// The moment has come. Has no effect if it had come before.
    pub fn set(&self, at: Duration) {
        let _ = self.0.set(at);
    }

    /// When it came, if it has.
    pub fn get(&self) -> Option<Duration> {
        self.0.get().copied()
    }
}

impl MessageFault {
    /// Something that happens to all of these messages, always.
    pub fn new(messages: Messages, effect: Effect) -> Self {
        Self {
            messages,
            to: None,
            from: Duration::ZERO,
            until: Duration::MAX,
            onset: None,
            per_mille: 1000,
            salt: 0,
            effect,
            struck: Moment::default(),
        }
    }

    /// Whether it can strike a message to this follower at this time.
    fn is_on(&self, at: Duration, to: FollowerId) -> bool {
        let since_onset = match &self.onset {
            None => Some(at),
            Some(onset) => onset.get().and_then(|onset| at.checked_sub(onset)),
        };
        since_onset.is_some_and(|at| (self.from..self.until).contains(&at)) && self.to.is_none_or(|only| only == to)
    }

    /// Whether it acts on this message, unless the draw spares it.
    pub(super) fn names_write(&self, at: Duration, message: MessageId, of: u64) -> bool {
        let Messages::Writes { operation, attempt } = self.messages else { return false };
        operation.is_none_or(|only| only == of)
            && attempt.is_none_or(|only| only == message.attempt)
            && self.is_on(at, message.to)
    }

    /// Whether it acts on the nth RPC of this kind, unless the draw spares it.
    pub(super) fn names_rpc(&self, at: Duration, from: NodeId, to: FollowerId, (kind, nth): (Rpc, u64)) -> bool {
        let Messages::Rpcs { rpc, sender, number } = self.messages else { return false };
        rpc == kind
            && sender.is_none_or(|only| only == from)
            && number.is_none_or(|only| only == nth)
            && self.is_on(at, to)
    }
}
