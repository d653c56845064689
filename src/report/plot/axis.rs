use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// An axis: what is shown along it, from where to where, and the numbers that are written at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What is shown along it, with its unit.
    pub name: String,
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// The numbers that are written at it.
    pub ticks: Vec<f64>,
    /// With how many decimals.
    decimals: usize,
}

impl Axis {
    /// An axis for values of `low` to `high` with some room at its upper end. It begins at 0, unless the values are so
    /// close to each other that their differences could not be seen.
    pub fn spanning(name: String, low: f64, high: f64) -> Self {
        let (low, high) = if high > low.min(0.0) { (low, high) } else { (low.min(0.0), low.min(0.0) + 1.0) };
        let span = high - low;
        let from_zero = low <= 0.0 || span > 0.15 * high || span < 1e-3 * high;
        let low = if from_zero { low.min(0.0) } else { low - 0.1 * span };
        let high = high + 0.06 * (high - low);
        let step = step((high - low) / 7.0);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
        let ticks = (first..=last).map(|tick| tick as f64 * step).collect();
        Self { name, low, high, ticks, decimals }
    }

    /// An axis of whole numbers with half a step of room at both ends.
    pub fn counting(name: String, first: usize, last: usize) -> Self {
        let step = step((last.saturating_sub(first) as f64 / 20.0).max(1.0)) as usize;
        // Multiples of the step, and the number that it begins with.
        let ticks = (first..=last).filter(|tick| *tick == first || tick % step == 0).map(|tick| tick as f64).collect();
        Self { name, low: first as f64 - 0.5, high: last as f64 + 0.5, ticks, decimals: 0 }
    }

    /// What is written at a tick.
    pub fn label(&self, tick: f64) -> String {
        format!("{tick:.*}", self.decimals).replace('-', "−")
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let share = (value - self.low) / (self.high - self.low);
        (f64::from(first) + share * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Lines between those that are labelled would only be in the way.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.label(*value)
    }
}

/// The smallest of 1, 2, 5, 10, 20, … (and of 0.5, 0.2, 0.1, …) that is not below the given length.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let times = [1.0, 2.0, 5.0].into_iter().find(|times| times * power >= least * (1.0 - 1e-9));
    times.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|tick| axis.label(*tick)).collect()
    }

    fn spanning(low: f64, high: f64) -> Axis {
        Axis::spanning(String::new(), low, high)
    }

    #[test]
    fn round_numbers_from_zero() {
        assert_eq!(labels(&spanning(167.0, 833.0)), ["0", "200", "400", "600", "800"]);
        assert_eq!(labels(&spanning(0.0, 0.08)), ["0.00", "0.02", "0.04", "0.06", "0.08"]);
        assert_eq!(labels(&spanning(-30.0, 90.0)), ["−20", "0", "20", "40", "60", "80"]);
    }

    #[test]
    fn values_that_lie_close_together_are_shown_apart() {
        assert_eq!(labels(&spanning(1000.0, 1100.0)), ["1000", "1020", "1040", "1060", "1080", "1100"]);
    }

    #[test]
    fn equal_values_have_an_axis_too() {
        assert_eq!(labels(&spanning(7.0, 7.0)), ["0", "2", "4", "6"]);
        assert_eq!(labels(&spanning(0.0, 0.0)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    }

    #[test]
    fn quorums_are_whole_and_not_too_many() {
        assert_eq!(labels(&Axis::counting(String::new(), 1, 3)), ["1", "2", "3"]);
        assert_eq!(labels(&Axis::counting(String::new(), 1, 1)), ["1"]);
        assert_eq!(Axis::counting(String::new(), 1, 100).ticks.len(), 21);
    }
}
