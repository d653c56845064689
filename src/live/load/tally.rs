use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

/// What came of a load.
#[derive(Debug, Clone)]
pub struct LoadResult {
    /// From the first operation's start to the last one's end.
    pub elapsed: Duration,
    /// Writes that were acknowledged.
    pub writes: Latencies,
    /// Reads that were answered, whether or not the key was there.
    pub reads: Latencies,
    /// How many operations ended otherwise, by how.
    pub errors: BTreeMap<String, u64>,
}

impl LoadResult {
    pub(super) fn new() -> Self {
        let (writes, reads) = (Latencies::default(), Latencies::default());
        Self { elapsed: Duration::ZERO, writes, reads, errors: BTreeMap::new() }
    }

    /// How many operations went well.
    pub fn succeeded(&self) -> u64 {
        self.writes.count() + self.reads.count()
    }

    /// How many did not.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// Latencies in a histogram that keeps three digits of each (G. Tene's HdrHistogram).
#[derive(Debug, Clone)]
pub struct Latencies {
    /// In microseconds.
    histogram: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { histogram: Histogram::new(3).expect("three digits are allowed") }
    }
}

impl Latencies {
    pub(super) fn add(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        // Saturating instead would not let it grow.
        self.histogram.record(micros).expect("the histogram grows as needed");
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Their mean.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos((self.histogram.mean() * 1e3) as u64)
    }

    /// What this share of them, 0 to 1, does not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.histogram.value_at_quantile(share))
    }

    /// The longest.
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.histogram.max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_latencies_keep_three_digits() {
        let mut latencies = Latencies::default();
        for micros in [0, 1, 999, 1_234_567, 60_000_000] {
            latencies.add(Duration::from_micros(micros));
        }
        assert_eq!(latencies.count(), 5);
        let close = |found: Duration, micros: f64| assert!((found.as_secs_f64() * 1e6 / micros - 1.0).abs() < 1e-3);
        close(latencies.longest(), 6e7);
        close(latencies.quantile(0.7), 1_234_567.0);
        close(latencies.mean(), 12_247_113.4);
    }
}
