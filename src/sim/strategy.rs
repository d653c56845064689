use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::engine::{self, SimError};
use super::scenario::Scenario;

/// In which order what can happen does.
///
/// A strategy other than [`Strategy::Timed`] decides an order in the core engine, 20 ms between one choice and the next,
/// and writes it down: times of operations and faults, and a delay for each message. What is then run is a scenario like
/// any other, in any engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// By the times of the scenario and the drawn delays.
    #[default]
    Timed,
    /// Any that is enabled is next: a client's operation, the next fault or the delivery of a message.
    Random,
    /// Probabilistic concurrency testing: what has the highest of random priorities is next, and at `depth` − 1 random
    /// steps the priority of what would be next falls below all others. A bug that needs `depth` events in an order is
    /// found with a probability of at least 1 / (n · k^(depth − 1)) in each run, where n tasks take k steps in all
    /// (Burckhardt et al., *A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs*, 2010). Here each client is
    /// a task, the faults together are one, and each message is one.
    Pct {
        /// The number of events that must happen in a certain order, 1 to 10.
        depth: u32,
    },
}

impl Strategy {
    /// How many events a bug needs in an order, unless it is said: few need more than three.
    pub const DEPTH: u32 = 3;

    /// The scenario with the order written down that this strategy decides with the scenario's seed.
    ///
    /// # Errors
    /// [`SimError`] if the scenario cannot be run, or the strategy has a depth that is not allowed.
    pub fn schedule(self, scenario: Scenario) -> Result<Scenario, SimError> {
        self.check().map_err(SimError::Impossible)?;
        match self {
            Self::Timed => Ok(scenario),
            Self::Random | Self::Pct { .. } => engine::schedule(&scenario, self),
        }
    }

    /// Checks the depth.
    ///
    /// # Errors
    /// Names the depth and what is allowed.
    pub(super) fn check(self) -> Result<(), String> {
        match self {
            Self::Pct { depth } if !DEPTHS.contains(&depth) => {
                Err(format!("pct:{depth}: the depth must be {} to {}", DEPTHS.start(), DEPTHS.end()))
            }
            Self::Timed | Self::Random | Self::Pct { .. } => Ok(()),
        }
    }
}

/// The depths that a strategy can have.
const DEPTHS: RangeInclusive<u32> = 1..=10;

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timed => f.write_str("timed"),
            Self::Random => f.write_str("random"),
            Self::Pct { depth } if *depth == Self::DEPTH => f.write_str("pct"),
            Self::Pct { depth } => write!(f, "pct:{depth}"),
        }
    }
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let depth = |text: &str| text.parse().ok().filter(|depth| DEPTHS.contains(depth));
        let wrong = || format!("{text:?}: must be timed, random, pct, or pct:D with a depth D from 1 to 10");
        match text.split_once(':') {
            None if text == "timed" => Ok(Self::Timed),
            None if text == "random" => Ok(Self::Random),
            None if text == "pct" => Ok(Self::Pct { depth: Self::DEPTH }),
            Some(("pct", number)) => depth(number).map(|depth| Self::Pct { depth }).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strategy_is_read_as_it_is_written() {
        for strategy in [Strategy::Timed, Strategy::Random, Strategy::Pct { depth: 3 }, Strategy::Pct { depth: 7 }] {
            assert_eq!(strategy.to_string().parse(), Ok(strategy));
        }
        for text in ["", "PCT", "pct:0", "pct:11", "pct:x", "random:2"] {
            assert!(text.parse::<Strategy>().unwrap_err().contains("must be timed, random, pct"), "{text:?}");
        }
    }
}
