//! What a scenario is made of: operations and faults.

use std::collections::BTreeSet;

use crate::base::NodeRef;
use crate::sim::scenario::{Fault, OperationName, Scenario};

/// Something that can be taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// An operation that is written down, by its place among all of them.
    Written(usize),
    /// An operation that is drawn.
    Drawn(OperationName),
    /// Faults, by their places: one, or one and its end.
    Faults(Vec<usize>),
}

/// How many operations and faults a scenario has.
pub(super) fn count(scenario: &Scenario) -> usize {
    drawn(scenario).count() + scenario.workload.explicit.len() + scenario.faults.len()
}

fn drawn(scenario: &Scenario) -> impl Iterator<Item = OperationName> {
    scenario.workload.drawn().filter(|name| !scenario.workload.without.contains(name))
}

/// Everything that can be taken away. What begins and its end go together, for an end by itself makes no sense; the end
/// can also go alone.
pub(super) fn parts(scenario: &Scenario) -> Vec<Part> {
    let faults = (0..scenario.faults.len()).map(|place| {
        let mut group = vec![place];
        group.extend(end_of(scenario, place));
        Part::Faults(group)
    });
    let written = (0..scenario.workload.explicit.len()).map(Part::Written);
    faults.chain(written).chain(drawn(scenario).map(Part::Drawn)).collect()
}

/// Where the end of a fault stands: the first in time, wherever the file has it.
fn end_of(scenario: &Scenario, place: usize) -> Option<usize> {
    let fault = &scenario.faults[place];
    let ends = |(_, other): &(usize, &Fault)| other.at_ms >= fault.at_ms && fault.kind.is_ended_by(&other.kind);
    let ends = scenario.faults.iter().enumerate().filter(ends);
    ends.min_by_key(|(_, other)| other.at_ms).map(|(place, _)| place)
}

/// The scenario without these parts, and without the faults of operations that are gone.
pub(super) fn without(scenario: &Scenario, gone: &[Part]) -> Scenario {
    let mut left = scenario.clone();
    let mut operations = BTreeSet::new();
    let mut faults: BTreeSet<usize> = BTreeSet::new();
    for part in gone {
        match part {
            Part::Written(place) => {
                operations.insert(*place);
            }
            Part::Drawn(name) => left.workload.without.push(*name),
            Part::Faults(places) => faults.extend(places),
        }
    }
    let mut place = 0;
    left.workload.explicit.retain(|_| {
        place += 1;
        !operations.contains(&(place - 1))
    });
    let mut place = 0;
    left.faults.retain(|fault| {
        place += 1;
        !faults.contains(&(place - 1)) && fault.operations().all(|name| left.workload.has(name))
    });
    left
}

/// Whether a fault names this node.
pub(super) fn names(fault: &Fault, node: NodeRef) -> bool {
    fault.nodes().contains(&node)
}
