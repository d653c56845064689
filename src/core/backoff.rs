//! How long a node waits before it tries again what has failed: exponential backoff, with an upper bound.

use std::time::Duration;

use crate::base::seed::Draw;

/// The pause after a first failure of a follower to answer.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause, however long the follower has been away.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Between half and the whole of a bound that doubles with each failure after the first: whoever waits alike draws
/// differently, so that tries do not fall into step.
pub(super) fn jittered_pause(failures_before: u32, draw: Draw) -> Duration {
    let bound = FIRST_PAUSE.saturating_mul(1 << failures_before.min(8)).min(LONGEST_PAUSE);
    let whole = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(draw.between(whole / 2, whole))
}

/// How long no request is begun because a connection could not be made: 10 ms after the first failure, twice as long after
/// each further one, and never more than 640 ms.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConnectBackoff {
    pause: Duration,
    until: Duration,
}

impl ConnectBackoff {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_millis(640);

    /// A connection could not be made.
    pub fn failed(&mut self, now: Duration) {
        self.pause = (self.pause * 2).clamp(Self::FIRST, Self::LONGEST);
        self.until = now + self.pause;
    }

    /// A request was answered: the next failure is a first one.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// When the next request may be begun.
    pub fn until(&self) -> Duration {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_begin_anew_after_an_answer() {
        let mut backoff = ConnectBackoff::default();
        let pause = |backoff: &mut ConnectBackoff| {
            backoff.failed(Duration::from_secs(1));
            (backoff.until() - Duration::from_secs(1)).as_millis()
        };
        let pauses: Vec<u128> = (0..9).map(|_| pause(&mut backoff)).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 640, 640]);
        backoff.succeeded();
        assert_eq!(backoff.until(), Duration::ZERO);
        assert_eq!(pause(&mut backoff), 10);
    }
}
