use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::trace::{LostPart, MessageId};
use crate::base::{FollowerId, NodeId, Seed};

/// The range from which the delay of each replication message is drawn, uniformly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetemConfig {
    /// The shortest delay.
    pub min_delay: Duration,
    /// The longest delay, not below `min_delay`.
    pub max_delay: Duration,
}

/// What becomes of replication messages besides their delay. Empty in production.
#[derive(Debug, Clone, Default)]
pub struct MessageFaults {
    /// The faults. All that match a message act on it.
    pub faults: Arc<[MessageFault]>,
    /// The simulation's time at the start of the node's clock.
    pub since: Duration,
    /// The simulation's time at which that of the scenario begins, in microseconds.
    pub beginning: Arc<AtomicU64>,
    /// Set once everything is healed; from then on no fault strikes.
    pub healed: Arc<AtomicBool>,
}

/// Something that happens to some messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageFault {
    /// To messages sent from this time of the scenario on.
    pub from: Duration,
    /// Up to, but not at, this time.
    pub until: Duration,
    /// To messages of this operation only.
    pub operation: Option<u64>,
    /// To messages to this follower only.
    pub to: Option<FollowerId>,
    /// To the nth attempt at a message only.
    pub attempt: Option<u32>,
    /// To this many messages in a thousand of those that match.
    pub per_mille: u16,
    /// What tells this fault's draws from those of others.
    pub salt: u64,
    /// What happens.
    pub effect: Effect,
}

/// What can happen to a message.
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

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// How long it waits before it leaves, in whole microseconds.
    pub delay: Duration,
    /// Whether it, or the answer to it, is lost.
    pub loss: Option<LostPart>,
    /// How long a second copy of it waits before it leaves.
    pub copy: Option<Duration>,
}

/// Decides what becomes of each replication message, after Linux's network emulator of that name.
///
/// A fate is a function of the seed, the sender and the message alone. The same seed therefore gives the same delays on
/// a real network and in every simulation, and one message or one fault more or less changes the fate of no other.
#[derive(Debug, Clone)]
pub struct Netem {
    /// The range of the delays, in microseconds.
    range: (u64, u64),
    faults: MessageFaults,
    delays: Seed,
    chances: Seed,
}

impl Netem {
    /// An emulator of this range and these faults.
    pub fn new(config: NetemConfig, faults: MessageFaults, seed: Seed) -> Self {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let range = (micros(config.min_delay), micros(config.max_delay));
        Self { range, faults, delays: seed.fork("netem"), chances: seed.fork("netem faults") }
    }

    /// What becomes of a message that is sent `now`, by the node's clock. `operation` is what it carries.
    pub fn fate(&self, now: Duration, from: NodeId, message: MessageId, operation: u64) -> Fate {
        let key = [from.code(), NodeId::from(message.to).code(), operation, message.attempt.into()];
        let mut fate = Fate { delay: self.delay(&key), loss: None, copy: None };
        if self.faults.faults.is_empty() || self.faults.healed.load(Ordering::Relaxed) {
            return fate;
        }
        let beginning = Duration::from_micros(self.faults.beginning.load(Ordering::Relaxed));
        let at = (self.faults.since + now).saturating_sub(beginning);
        for fault in self.faults.faults.iter().filter(|fault| fault.strikes(at, message, operation)) {
            let [from, to, operation, attempt] = key;
            let is_spared = || {
                let chance = self.chances.draw(&[fault.salt, from, to, operation, attempt]);
                chance.between(1, 1000) > fault.per_mille.into()
            };
            // Where all are struck there is nothing to draw.
            if fault.per_mille < 1000 && is_spared() {
                continue;
            }
            match fault.effect {
                Effect::Drop => fate.loss = Some(LostPart::Request),
                Effect::DropReply => fate.loss = fate.loss.or(Some(LostPart::Reply)),
                // The fifth word tells the copy's delay from the message's own.
                Effect::Duplicate(delay) => {
                    fate.copy = delay.or_else(|| Some(self.delay(&[from, to, operation, attempt, 1])));
                }
                Effect::Delay(delay) => fate.delay = delay,
            }
        }
        fate
    }

    fn delay(&self, key: &[u64]) -> Duration {
        let (low, high) = self.range;
        Duration::from_micros(if low == high { low } else { self.delays.draw(key).between(low, high) })
    }
}

impl MessageFault {
    fn strikes(&self, at: Duration, message: MessageId, operation: u64) -> bool {
        (self.from..self.until).contains(&at)
            && self.operation.is_none_or(|only| only == operation)
            && self.to.is_none_or(|only| only == message.to)
            && self.attempt.is_none_or(|only| only == message.attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: NetemConfig = NetemConfig { min_delay: Duration::from_millis(5), max_delay: Duration::from_secs(1) };

    fn message(to: u8, attempt: u32) -> MessageId {
        MessageId { write: 1, to: FollowerId(to), attempt }
    }

    fn fate(seed: u64, operation: u64, to: u8, attempt: u32, faults: &[MessageFault]) -> Fate {
        let faults = MessageFaults {
            faults: faults.into(),
            since: Duration::from_secs(11),
            beginning: Arc::new(AtomicU64::new(1_000_000)),
            healed: Arc::default(),
        };
        let netem = Netem::new(RANGE, faults, Seed::new(seed));
        netem.fate(Duration::from_secs(1), NodeId::FIRST_SERVER, message(to, attempt), operation)
    }

    fn delay(seed: u64, operation: u64, to: u8, attempt: u32) -> Duration {
        fate(seed, operation, to, attempt, &[]).delay
    }

    fn fault(effect: Effect, per_mille: u16) -> MessageFault {
        let (from, until) = (Duration::from_secs(11), Duration::from_secs(12));
        MessageFault {
            from,
            until,
            operation: None,
            to: None,
            attempt: None,
            per_mille,
            salt: per_mille.into(),
            effect,
        }
    }

    #[test]
    fn each_message_has_a_delay_of_its_own_that_never_changes() {
        assert_eq!(delay(1, 2, 3, 1), delay(1, 2, 3, 1));
        let base = delay(1, 2, 3, 1);
        for other in [delay(2, 2, 3, 1), delay(1, 3, 3, 1), delay(1, 2, 4, 1), delay(1, 2, 3, 2)] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn delays_fill_the_range_evenly() {
        let delays: Vec<Duration> = (0..10_000).map(|operation| delay(7, operation, 0, 1)).collect();
        assert!(delays.iter().all(|delay| (RANGE.min_delay..=RANGE.max_delay).contains(delay)));
        let mean = delays.iter().sum::<Duration>() / 10_000;
        // The standard error of the mean is 2.87 ms; four of them.
        assert!(mean.abs_diff(Duration::from_micros(502_500)) < Duration::from_micros(11_500), "{mean:?}");
    }

    #[test]
    fn faults_act_on_what_they_name_and_leave_the_rest_as_it_was() {
        let certain = |effect| fault(effect, 1000);
        let base = fate(1, 2, 3, 1, &[]);
        assert_eq!(fate(1, 2, 3, 1, &[certain(Effect::Drop)]), Fate { loss: Some(LostPart::Request), ..base });
        assert_eq!(fate(1, 2, 3, 1, &[certain(Effect::DropReply)]), Fate { loss: Some(LostPart::Reply), ..base });
        let copied = fate(1, 2, 3, 1, &[certain(Effect::Duplicate(None))]);
        assert!(copied.copy.is_some_and(|copy| copy != base.delay) && Fate { copy: None, ..copied } == base);
        let slow = Duration::from_secs(3);
        assert_eq!(fate(1, 2, 3, 1, &[certain(Effect::Duplicate(Some(slow)))]), Fate { copy: Some(slow), ..base });
        assert_eq!(fate(1, 2, 3, 1, &[certain(Effect::Delay(slow))]), Fate { delay: slow, ..base });
        let drop = certain(Effect::Drop);
        for missed in [
            MessageFault { operation: Some(9), ..drop.clone() },
            MessageFault { to: Some(FollowerId(1)), ..drop.clone() },
            MessageFault { attempt: Some(2), ..drop.clone() },
            MessageFault { from: Duration::from_millis(11_001), ..drop.clone() },
            MessageFault { until: Duration::from_secs(11), ..drop.clone() },
            MessageFault { per_mille: 0, ..drop },
        ] {
            assert_eq!(fate(1, 2, 3, 1, &[missed]), base);
        }
    }

    #[test]
    fn a_rate_strikes_that_share_and_one_fault_changes_no_other() {
        let drops = fault(Effect::Drop, 100);
        let struck = |faults: &[MessageFault]| -> Vec<bool> {
            (0..10_000).map(|operation| fate(1, operation, 0, 1, faults).loss == Some(LostPart::Request)).collect()
        };
        let alone = struck(std::slice::from_ref(&drops));
        let count = alone.iter().filter(|struck| **struck).count();
        assert!((880..1120).contains(&count), "{count} of 10,000 at 100 per mille");
        assert_eq!(alone, struck(&[fault(Effect::Duplicate(None), 300), drops]));
    }
}
