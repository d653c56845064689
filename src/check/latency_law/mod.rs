//! The latency law of semi-synchronous replication: a write is acknowledged by the k-th fastest of n followers.
//!
//! If the delays to the followers are independent and uniform on [a, b], the acknowledgement of quorum k is the k-th
//! order statistic, and (x − a) / (b − a) has the distribution Beta(k, n + 1 − k) (David and Nagaraja, *Order
//! Statistics*, 2003, section 2.1).

mod check;

pub(super) use check::judge;
pub use check::{check, check_at, latencies};

use std::time::Duration;

use statrs::distribution::{Beta, Binomial, ContinuousCDF, DiscreteCDF, Normal};

/// A level of significance: the share of the runs of a system that obeys the law which one test of it accuses by chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level(f64);

impl Level {
    /// 0.1 %, for a run by itself.
    pub const OF_ONE_RUN: Self = Self(0.001);

    /// The level at which `runs` runs are judged, each by two tests, so that all of them together accuse a system that obeys
    /// the law with a probability of 0.1 % (Bonferroni's correction; Dunn, *Multiple Comparisons among Means*, 1961).
    pub fn of_runs(runs: u64) -> Self {
        Self(Self::OF_ONE_RUN.0 / (2.0 * runs.max(1) as f64))
    }

    /// The point that a standard normal variable exceeds in absolute value with this probability.
    fn normal_quantile(self) -> f64 {
        Normal::standard().inverse_cdf(1.0 - self.0 / 2.0)
    }

    /// The asymptotic critical value of the Kolmogorov–Smirnov distance of so many samples (Massey, *The Kolmogorov–Smirnov
    /// Test for Goodness of Fit*, 1951).
    fn critical_distance(self, samples: usize) -> f64 {
        (-(self.0 / 2.0).ln() / (2.0 * samples as f64)).sqrt()
    }
}

/// The distribution of the latency of a write.
#[derive(Debug, Clone, Copy)]
pub struct LatencyLaw {
    quorum: usize,
    followers: usize,
    shortest: f64,
    range: f64,
}

impl LatencyLaw {
    /// The law for a write that waits for `quorum` of `followers`, each reached after a delay from `min_delay` to
    /// `max_delay`; `None` where there is no chance in it: a quorum of none, or no range.
    pub fn new(quorum: usize, followers: usize, min_delay: Duration, max_delay: Duration) -> Option<Self> {
        let (shortest, range) = (min_delay.as_secs_f64(), (max_delay.checked_sub(min_delay)?).as_secs_f64());
        let exists = (1..=followers).contains(&quorum) && range > 0.0;
        exists.then_some(Self { quorum, followers, shortest, range })
    }

    /// The mean, in seconds.
    pub fn mean(&self) -> f64 {
        let (k, n) = (self.quorum as f64, self.followers as f64);
        self.shortest + self.range * k / (n + 1.0)
    }

    /// The standard deviation, in seconds.
    pub fn standard_deviation(&self) -> f64 {
        let (k, n) = (self.quorum as f64, self.followers as f64);
        self.range * (k * (n + 1.0 - k) / (n + 2.0)).sqrt() / (n + 1.0)
    }

    /// The latency that a share `p` of the writes stays below, in seconds.
    pub fn quantile(&self, p: f64) -> f64 {
        self.shortest + self.range * self.beta().inverse_cdf(p)
    }

    /// The share of the writes that stay below a latency, given in seconds.
    pub fn cdf(&self, latency: f64) -> f64 {
        let come = ((latency - self.shortest) / self.range).clamp(0.0, 1.0);
        // At least k of the n followers have come by then, each with this chance.
        let (k, n) = (self.quorum as i32, self.followers as i32);
        let (mut share, mut ways) = (0.0, 1.0);
        for number in 0..=n {
            if number >= k {
                share += ways * come.powi(number) * (1.0 - come).powi(n - number);
            }
            ways *= f64::from(n - number) / f64::from(number + 1);
        }
        share
    }

    /// How far the mean of `samples` independent writes may lie from [`LatencyLaw::mean`], in seconds, at this level. The mean
    /// of 30 and more samples is close to normal.
    pub fn mean_tolerance(&self, samples: usize, level: Level) -> f64 {
        level.normal_quantile() * self.standard_deviation() / (samples as f64).sqrt()
    }

    /// The share of the followers that do not have a write yet, a time after its acknowledgement, in seconds, if no newer
    /// write of the key is made. Of the n − k followers that were not waited for, the m-th to come needs as long as the
    /// m-th smallest of n delays, for the spacings of uniform delays are exchangeable (David and Nagaraja, section 2.2).
    pub fn staleness(&self, after: f64) -> f64 {
        let (k, n) = (self.quorum, self.followers);
        let come = Binomial::new((after / self.range).clamp(0.0, 1.0), n as u64).expect("a probability");
        let late = (1..=n - k).map(|m| come.cdf(m as u64 - 1)).fold(0.0, |sum, share| sum + share);
        late / n as f64
    }

    /// The distribution of a latency that is brought to the range from 0 to 1.
    fn beta(&self) -> Beta {
        let (k, n) = (self.quorum as f64, self.followers as f64);
        Beta::new(k, n + 1.0 - k).expect("both parameters are at least 1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn law(quorum: usize) -> LatencyLaw {
        LatencyLaw::new(quorum, 5, Duration::ZERO, Duration::from_secs(1)).unwrap()
    }

    /// The values for n = 5 and delays from 0 to 1000 ms, which follow from the closed forms.
    #[test]
    fn five_followers() {
        for (k, mean, median, sigma, p95, tolerance) in [
            (1, 166.67, 129.45, 140.86, 450.7, 32.8),
            (2, 333.33, 313.81, 178.17, 657.4, 41.5),
            (3, 500.00, 500.00, 188.98, 810.7, 44.0),
            (4, 666.67, 686.19, 178.17, 923.6, 41.5),
            (5, 833.33, 870.55, 140.86, 989.8, 32.8),
        ] {
            let law = law(k);
            let close =
                |seconds: f64, ms: f64, by: f64| assert!((seconds * 1e3 - ms).abs() < by, "{k}: {seconds} {ms}");
            close(law.mean(), mean, 0.01);
            close(law.quantile(0.5), median, 0.01);
            close(law.standard_deviation(), sigma, 0.01);
            close(law.quantile(0.95), p95, 0.1);
            assert!((law.cdf(law.quantile(0.3)) - 0.3).abs() < 1e-6);
            close(law.mean_tolerance(200, Level::OF_ONE_RUN), tolerance, 0.1);
        }
    }

    /// The points of the published tables, and what a hundred thousand runs take.
    #[test]
    fn a_level_that_fits_many_runs_is_stricter() {
        let one = Level::OF_ONE_RUN;
        assert!((one.normal_quantile() - 3.2905).abs() < 1e-3);
        assert!((one.critical_distance(200) - 1.949 / 200.0_f64.sqrt()).abs() < 1e-3);
        let many = Level::of_runs(100_000);
        assert!(many.normal_quantile() > 5.7 && many.critical_distance(200) > 1.5 * one.critical_distance(200));
        assert_eq!(Level::of_runs(0), Level::of_runs(1));
    }

    #[test]
    fn staleness_falls_from_those_not_waited_for_to_none() {
        for k in 1..=5 {
            let law = law(k);
            assert!((law.staleness(0.0) - (5 - k) as f64 / 5.0).abs() < 1e-12);
            assert!(law.staleness(1.0).abs() < 1e-12 && law.staleness(7.0).abs() < 1e-12);
            assert!(k == 5 || law.staleness(0.3) > law.staleness(0.5));
        }
        // k = 4 of 5: the last one lags with the chance that none of five delays is below t.
        assert!((law(4).staleness(0.5) - 0.5_f64.powi(5) / 5.0).abs() < 1e-12);
    }

    #[test]
    fn a_range_that_does_not_start_at_zero_shifts_the_law() {
        let law = LatencyLaw::new(3, 5, Duration::from_millis(100), Duration::from_millis(300)).unwrap();
        assert!((law.mean() - 0.2).abs() < 1e-12);
        assert!((law.quantile(0.5) - 0.2).abs() < 1e-9);
    }

    #[test]
    fn without_chance_there_is_no_law() {
        let of = |quorum, min, max| LatencyLaw::new(quorum, 5, Duration::from_millis(min), Duration::from_millis(max));
        assert!(of(0, 0, 10).is_none() && of(6, 0, 10).is_none() && of(3, 10, 10).is_none() && of(3, 10, 5).is_none());
    }
}
