/// What is told of some measurements.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Statistics {
    pub(super) mean: f64,
    pub(super) median: f64,
    /// Of the sample: divided by one less than there are.
    pub(super) stdev: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
}

impl Statistics {
    /// All 0 if there are no measurements.
    pub(super) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        if count == 0 {
            return Self::default();
        }
        let mean = sorted.iter().sum::<f64>() / count as f64;
        let squares: f64 = sorted.iter().map(|value| (value - mean).powi(2)).sum();
        // The nearest rank: the smallest measurement that this share does not exceed.
        let quantile = |p: f64| sorted[((count as f64 * p).ceil() as usize).clamp(1, count) - 1];
        Self {
            mean,
            median: (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0,
            stdev: if count > 1 { (squares / (count - 1) as f64).sqrt() } else { 0.0 },
            p95: quantile(0.95),
            p99: quantile(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let Statistics { mean, median, stdev, p95, p99 } = Statistics::of(&values);
        assert_eq!((mean, median, p95, p99), (50.5, 50.5, 95.0, 99.0));
        assert!((stdev - 29.011_491_975_882_016).abs() < 1e-9);
    }

    #[test]
    fn of_few() {
        assert_eq!(Statistics::of(&[]), Statistics::default());
        let one = Statistics::of(&[7.0]);
        assert_eq!((one.mean, one.median, one.stdev, one.p99), (7.0, 7.0, 0.0, 7.0));
        assert_eq!(Statistics::of(&[1.0, 2.0, 9.0]).median, 2.0);
    }
}
