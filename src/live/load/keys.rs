use crate::base::seed::Draw;

/// How often which key is asked for.
#[derive(Debug, Clone)]
pub enum KeyDistribution {
    /// Each of so many keys as often as the others.
    Uniform(u64),
    /// The k-th of the keys in proportion to k⁻ˢ (G. K. Zipf, *Human Behavior and the Principle of Least Effort*, 1949).
    /// Holds the cumulative shares.
    Zipf(Vec<f64>),
}

impl KeyDistribution {
    /// Zipf's law with the exponent `s` over so many keys.
    pub fn zipf(keys: u64, s: f64) -> Self {
        let mut sum = 0.0;
        let mut shares: Vec<f64> = (1..=keys)
            .map(|rank| {
                sum += (rank as f64).powf(-s);
                sum
            })
            .collect();
        shares.iter_mut().for_each(|share| *share /= sum);
        Self::Zipf(shares)
    }

    /// The number of a key, from 0.
    pub(super) fn choose(&self, draw: Draw) -> u64 {
        match self {
            Self::Uniform(keys) => draw.between(0, keys - 1),
            Self::Zipf(shares) => {
                let chance = draw.unit();
                // Rounding may leave the last share below 1.
                (shares.partition_point(|share| *share <= chance) as u64).min(shares.len() as u64 - 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;

    fn counts(distribution: &KeyDistribution, keys: usize) -> Vec<u32> {
        let mut counts = vec![0; keys];
        (0..100_000).for_each(|n| counts[distribution.choose(Seed::new(1).draw(&[n])) as usize] += 1);
        counts
    }

    #[test]
    fn uniform_keys_are_asked_for_alike() {
        // Four standard deviations of a binomial of 100,000 with p = 0.1 are 379.
        for count in counts(&KeyDistribution::Uniform(10), 10) {
            assert!(count.abs_diff(10_000) < 380, "{count}");
        }
    }

    #[test]
    fn zipf_keys_fall_off_as_the_law_says() {
        let counts = counts(&KeyDistribution::zipf(100, 1.0), 100);
        let harmonic: f64 = (1..=100).map(|rank| 1.0 / f64::from(rank)).sum();
        for rank in [1, 2, 10, 100] {
            let expected = 100_000.0 / f64::from(rank) / harmonic;
            let deviation = (f64::from(counts[rank as usize - 1]) - expected).abs();
            assert!(deviation < 4.0 * expected.sqrt(), "rank {rank}: {deviation} from {expected}");
        }
    }
}
