//! Rounder times: a reader should not have to wonder what 1437 ms are for.

use super::Search;
use crate::sim::scenario::{FaultKind, Scenario};

/// The coarsest first.
const STEPS_MS: [u64; 7] = [1000, 500, 200, 100, 50, 20, 10];

impl<F: FnMut(u64, usize)> Search<F> {
    pub(super) fn rounder_times(&mut self) {
        self.adopt(from_zero(&self.best));
        let count = times(&mut self.best.clone()).len();
        for place in 0..count {
            let Some(time) = times(&mut self.best.clone()).get(place).map(|time| **time) else { return };
            let rounded = |step: u64| [time / step * step, time.div_ceil(step) * step];
            for other in [0].into_iter().chain(STEPS_MS.into_iter().flat_map(rounded)) {
                // One that is round in this step already is not made rounder by the finer ones.
                if other == time {
                    break;
                }
                let mut candidate = self.best.clone();
                if let Some(time) = times(&mut candidate).into_iter().nth(place) {
                    *time = other;
                }
                if crowded(&candidate) <= crowded(&self.best) && self.adopt(candidate) {
                    break;
                }
            }
        }
    }
}

/// Closer than this, in milliseconds, the order of two things can depend on the engine.
const APART_MS: u64 = 20;

/// How many times things that come from outside happen so close to one another that their order may be chance.
fn crowded(scenario: &Scenario) -> usize {
    let operations = scenario.workload.explicit.iter().map(|operation| (operation.at_ms, Some(operation.client)));
    let faults = scenario.faults.iter().filter(|fault| fault.kind.is_timed()).map(|fault| (fault.at_ms, None));
    let mut all: Vec<(u64, Option<u16>)> = operations.chain(faults).collect();
    all.sort_unstable();
    // A client does one thing after another in any case.
    let is_crowded = |pair: &&[(u64, Option<u16>)]| {
        pair[1].0 - pair[0].0 < APART_MS && (pair[0].1 != pair[1].1 || pair[0].1.is_none())
    };
    all.windows(2).filter(is_crowded).count()
}

/// The scenario with everything so much earlier that it begins at once.
fn from_zero(scenario: &Scenario) -> Scenario {
    let mut earlier = scenario.clone();
    let operations = earlier.workload.explicit.iter_mut().map(|operation| &mut operation.at_ms);
    let faults = earlier.faults.iter_mut().filter(|fault| fault.kind.is_timed()).map(|fault| &mut fault.at_ms);
    let mut all: Vec<&mut u64> = operations.chain(faults).collect();
    let first = all.iter().map(|at| **at).min().unwrap_or(0);
    all.iter_mut().for_each(|at| **at -= first);
    earlier
}

/// Every time that a scenario names, in milliseconds.
fn times(scenario: &mut Scenario) -> Vec<&mut u64> {
    let mut times = vec![&mut scenario.cluster.repl_timeout_ms];
    times.extend(scenario.workload.explicit.iter_mut().map(|operation| &mut operation.at_ms));
    for fault in &mut scenario.faults {
        times.push(&mut fault.at_ms);
        match &mut fault.kind {
            FaultKind::Slow { latency_ms, .. } => times.push(latency_ms),
            FaultKind::Delay { delay_ms, .. } => times.push(delay_ms),
            FaultKind::Duplicate { delay_ms: Some(delay_ms), .. } => times.push(delay_ms),
            FaultKind::Disconnect { after_ms, .. } => times.push(after_ms),
            _ => {}
        }
    }
    times
}
