//! How a leader behaves towards another one. There should be none; but somebody may have configured two, or started a second in
//! place of one that was only out of reach. Each that is deposed would depose the other in turn, as fast as messages go, and
//! nobody would be served. So it waits before it tries again, the longer the more often it was deposed, and the other serves meanwhile.

use std::time::Duration;

use super::LeaderConfig;
use crate::base::Epoch;
use crate::core::backoff::jittered_pause;

/// Who has served for so long has no rival: what was before is forgotten.
const UNDISPUTED: Duration = Duration::from_secs(30);

/// How often a leader was deposed, or came too late.
#[derive(Debug, Clone, Default)]
pub(super) struct Contest {
    lost: u32,
    serving_since: Duration,
    /// The epoch that followers had promised to another one when it was deposed last; none once it serves again.
    deposed_by: Option<Epoch>,
}

impl Contest {
    pub(super) fn serves_from(&mut self, now: Duration) {
        self.serving_since = now;
        self.deposed_by = None;
    }

    /// The epoch of the leader that deposed this one, if it has not served since.
    pub(super) fn deposed_by(&self) -> Option<Epoch> {
        self.deposed_by
    }

    pub(super) fn served_until(&mut self, now: Duration) {
        if now.saturating_sub(self.serving_since) >= UNDISPUTED {
            self.lost = 0;
        }
    }

    /// A follower has promised a later epoch to another one. How long to wait now before asking for a later one still: not at
    /// all after the first time, for that may have been a leader that is gone.
    pub(super) fn lost(&mut self, promised: Epoch, config: &LeaderConfig) -> Duration {
        self.deposed_by = Some(promised);
        self.lost = self.lost.saturating_add(1);
        let Some(before) = self.lost.checked_sub(2) else { return Duration::ZERO };
        jittered_pause(before, config.seed.fork("contest").draw(&[config.id.0, self.lost.into()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::config;

    #[test]
    fn a_leader_that_is_deposed_again_and_again_waits_longer_until_it_has_served_for_long() {
        let config = config(2, 2, 0);
        let mut contest = Contest::default();
        let pauses: Vec<Duration> = (0..9).map(|_| contest.lost(Epoch::new(2), &config)).collect();
        assert_eq!(pauses[0], Duration::ZERO);
        let bounds = [100, 200, 400, 800, 1600, 2000, 2000, 2000].map(Duration::from_millis);
        for (pause, bound) in pauses[1..].iter().zip(bounds) {
            assert!((bound / 2..=bound).contains(pause), "{pause:?} of {bound:?}");
        }
        let after = |seconds: u64| {
            let mut contest = contest.clone();
            contest.serves_from(Duration::from_secs(100));
            contest.served_until(Duration::from_secs(100 + seconds));
            contest.lost(Epoch::new(2), &config)
        };
        assert!(after(29) >= Duration::from_secs(1));
        assert_eq!(after(30), Duration::ZERO);
    }
}
