/// The unit that times are shown in, chosen by the longest of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    /// Its name.
    pub name: &'static str,
    /// How many of it a second has.
    per_second: f64,
    /// With how many decimals a time is written, so that the longest has four digits or so.
    decimals: usize,
}

impl Unit {
    /// The unit for times up to this one, in seconds.
    pub fn of(longest: f64) -> Self {
        let (name, per_second) = match longest {
            t if t > 0.0 && t < 1e-3 => ("µs", 1e6),
            t if t < 10.0 => ("ms", 1e3),
            _ => ("s", 1.0),
        };
        let decimals = match longest * per_second {
            t if t >= 100.0 => 1,
            t if t >= 10.0 => 2,
            _ => 3,
        };
        Self { name, per_second, decimals }
    }

    /// The number that stands for a time in seconds.
    pub fn number(self, seconds: f64) -> f64 {
        seconds * self.per_second
    }

    /// A time in seconds, with the unit.
    pub fn text(self, seconds: f64) -> String {
        let number = format!("{:.*}", self.decimals, self.number(seconds).abs());
        // What is rounded to zero has no sign.
        let sign = if seconds < 0.0 && number.contains(|digit| ('1'..='9').contains(&digit)) { "−" } else { "" };
        format!("{sign}{number} {}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_fits_the_longest_time() {
        for (longest, text) in
            [(0.0, "0.000 ms"), (4.2e-5, "42.00 µs"), (0.0042, "4.200 ms"), (0.9, "900.0 ms"), (95.0, "95.00 s")]
        {
            assert_eq!(Unit::of(longest).text(longest), text);
        }
        assert_eq!(Unit::of(1.0).text(-0.0019), "−1.9 ms");
        assert_eq!(Unit::of(1.0).text(-1e-9), "0.0 ms");
    }
}
