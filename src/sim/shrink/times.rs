//! Rounder times: a reader should not have to wonder what 1437 ms are for.

use super::search::Search;
use crate::sim::scenario::{Fault, FaultKind, Scenario};

/// The coarsest first.
const STEPS_MS: [u64; 7] = [1000, 500, 200, 100, 50, 20, 10];

impl<F: FnMut(u64, usize)> Search<F> {
    pub(super) fn rounder_times(&mut self) {
        self.adopt(in_order(&self.best));
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

/// Returns the scenario with its faults in the order in which they happen, those of messages last.
fn in_order(scenario: &Scenario) -> Scenario {
    let mut ordered = scenario.clone();
    ordered.faults.sort_by_key(place_in_order);
    ordered
}

fn place_in_order(fault: &Fault) -> (bool, u64) {
    (!fault.kind.is_timed(), fault.at_ms)
}

/// Returns how many operations and faults stand directly behind one that happens later.
pub(super) fn disorder(scenario: &Scenario) -> usize {
    let operations = scenario.workload.explicit.windows(2).filter(|pair| pair[0].at_ms > pair[1].at_ms).count();
    let is_disordered = |pair: &&[Fault]| place_in_order(&pair[0]) > place_in_order(&pair[1]);
    operations + scenario.faults.windows(2).filter(is_disordered).count()
}

/// Returns the scenario with everything moved to an earlier time, so that it begins at 0.
fn from_zero(scenario: &Scenario) -> Scenario {
    let mut earlier = scenario.clone();
    let first = first_ms(scenario);
    earlier.workload.explicit.iter_mut().for_each(|operation| operation.at_ms -= first);
    for fault in earlier.faults.iter_mut().filter(|fault| fault.kind.is_timed()) {
        fault.at_ms -= first;
    }
    earlier
}

/// Returns the time of the first operation that is written down, or fault of nodes or links, in
/// milliseconds; 0 without any.
pub(super) fn first_ms(scenario: &Scenario) -> u64 {
    let operations = scenario.workload.explicit.iter().map(|operation| operation.at_ms);
    let faults = scenario.faults.iter().filter(|fault| fault.kind.is_timed()).map(|fault| fault.at_ms);
    operations.chain(faults).min().unwrap_or(0)
}

/// Returns how far the times of a scenario are from round, in steps of [`STEPS_MS`]: 0 if all are 0.
pub(super) fn roughness(scenario: &Scenario) -> usize {
    let rough = |time: u64| match time {
        0 => 0,
        _ => 1 + STEPS_MS.iter().position(|step| time.is_multiple_of(*step)).unwrap_or(STEPS_MS.len()),
    };
    times(&mut scenario.clone()).into_iter().map(|time| rough(*time)).sum()
}

/// Every time that a scenario names, in milliseconds.
fn times(scenario: &mut Scenario) -> Vec<&mut u64> {
    let mut times = vec![&mut scenario.cluster.repl_timeout_ms];
    times.extend(scenario.workload.explicit.iter_mut().map(|operation| &mut operation.at_ms));
    for fault in &mut scenario.faults {
        times.push(&mut fault.at_ms);
        times.extend(&mut fault.until_ms);
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
