use std::time::Duration;

use tokio::time::Instant;

/// The node's clock: time since its start. It is tokio's, so it is monotonic on a machine and virtual in a simulation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(super) fn now(self) -> Duration {
        self.start.elapsed()
    }

    /// Waits until `at`, or for ever.
    pub(super) async fn sleep_until(self, at: Option<Duration>) {
        match at {
            Some(at) => tokio::time::sleep_until(self.start + at).await,
            None => std::future::pending().await,
        }
    }
}
