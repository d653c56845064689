use std::time::Duration;

use crate::base::trace::MessageId;
use crate::base::{NodeId, Seed};

/// The range from which the delay of each replication message is drawn, uniformly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetemConfig {
    /// The shortest delay.
    pub min_delay: Duration,
    /// The longest delay, not below `min_delay`.
    pub max_delay: Duration,
}

/// Decides how long each replication message is delayed before it leaves, after Linux's network emulator of that name.
///
/// A delay is a function of the seed, the sender and the message alone. The same seed therefore gives the same delays
/// on a real network and in every simulation, and one message more or less changes the delay of no other.
#[derive(Debug, Clone, Copy)]
pub struct Netem {
    config: NetemConfig,
    seed: Seed,
}

impl Netem {
    /// An emulator of this range.
    pub fn new(config: NetemConfig, seed: Seed) -> Self {
        Self { config, seed: seed.fork("netem") }
    }

    /// How long this message waits before it leaves, in whole microseconds.
    pub fn delay(&self, from: NodeId, message: MessageId) -> Duration {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let (low, high) = (micros(self.config.min_delay), micros(self.config.max_delay));
        if low == high {
            return self.config.min_delay;
        }
        let to = NodeId::from(message.to);
        let draw = self.seed.draw(&[from.code(), to.code(), message.write, message.attempt.into()]);
        Duration::from_micros(draw.between(low, high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FollowerId;

    fn delay(seed: u64, write: u64, to: u8, attempt: u32) -> Duration {
        let config = NetemConfig { min_delay: Duration::from_millis(5), max_delay: Duration::from_secs(1) };
        let message = MessageId { write, to: FollowerId(to), attempt };
        Netem::new(config, Seed::new(seed)).delay(NodeId::Leader, message)
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
        let delays: Vec<Duration> = (0..10_000).map(|write| delay(7, write, 0, 1)).collect();
        let (low, high) = (Duration::from_millis(5), Duration::from_secs(1));
        assert!(delays.iter().all(|delay| (low..=high).contains(delay)));
        let mean = delays.iter().sum::<Duration>() / 10_000;
        // The standard error of the mean is 2.87 ms; four of them.
        assert!(mean.abs_diff(Duration::from_micros(502_500)) < Duration::from_micros(11_500), "{mean:?}");
    }
}
