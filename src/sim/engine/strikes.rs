//! Records which faults of a scenario struck.

use std::collections::BTreeMap;

use crate::base::trace::Micros;

/// Whether a fault struck.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strike {
    /// It struck, at this time first.
    At(Micros),
    /// It never struck. The reason, if the engine knows it.
    Never(Option<String>),
}

/// Which faults struck, by their places in the scenario.
#[derive(Debug, Clone, Default)]
pub(super) struct Strikes {
    struck: BTreeMap<usize, Micros>,
    impossible: BTreeMap<usize, String>,
}

impl Strikes {
    /// A fault strikes, or cannot.
    pub(super) fn record(&mut self, place: usize, at: Micros, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => drop(self.struck.entry(place).or_insert(at)),
            Err(why) => drop(self.impossible.insert(place, why)),
        }
    }

    /// Returns an entry for each of `faults` faults, in the order of the scenario.
    pub(super) fn into_list(mut self, faults: usize) -> Vec<Strike> {
        let strike = |place: usize| match self.struck.get(&place) {
            Some(at) => Strike::At(*at),
            None => Strike::Never(self.impossible.remove(&place)),
        };
        (0..faults).map(strike).collect()
    }
}
