//! The parts of a scenario that can be removed: operations and faults.

use std::collections::BTreeSet;

use crate::base::NodeRef;
use crate::sim::scenario::{Fault, FaultKind, OperationName, Scenario, remove_impossible};

/// Something that can be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// An operation that is written down, by its place among all of them.
    Written(usize),
    /// An operation that is drawn.
    Drawn(OperationName),
    /// Faults, by their places: one, or one and its end.
    Faults(Vec<usize>),
}

/// Returns the number of operations and faults of a scenario.
pub(super) fn count(scenario: &Scenario) -> usize {
    drawn_operations(scenario).count() + scenario.workload.explicit.len() + scenario.faults.len()
}

/// Returns how many operations and faults depend on the seed. A drawn workload counts as one
/// even if each of its operations is left out.
pub(super) fn drawn(scenario: &Scenario) -> usize {
    let is_workload_drawn = usize::from(scenario.workload.operations > 0);
    let strikes_a_share = |fault: &&Fault| fault.kind.target().is_some_and(|target| target.per_mille < 1000);
    let faults = scenario.faults.iter().filter(strikes_a_share).count();
    drawn_operations(scenario).count().max(is_workload_drawn) + faults
}

fn drawn_operations(scenario: &Scenario) -> impl Iterator<Item = OperationName> {
    scenario.workload.drawn().filter(|name| !scenario.workload.without.contains(name))
}

/// Returns everything that can be removed. A fault and its end form one part, because an end alone
/// makes no sense; the end can also go alone.
pub(super) fn parts(scenario: &Scenario) -> Vec<Part> {
    let faults = (0..scenario.faults.len()).map(|place| {
        let mut group = vec![place];
        group.extend(end_of(scenario, place));
        Part::Faults(group)
    });
    let written = (0..scenario.workload.explicit.len()).map(Part::Written);
    faults.chain(written).chain(drawn_operations(scenario).map(Part::Drawn)).collect()
}

/// Returns the place of the end of a fault: the first in time, wherever the file has it. Where the
/// leader is replaced in between, the end names it as the former leader.
pub(super) fn end_of(scenario: &Scenario, place: usize) -> Option<usize> {
    let fault = &scenario.faults[place];
    if !fault.kind.is_timed() {
        return None;
    }
    let later = scenario.faults.iter().enumerate().filter(|(other, _)| *other != place);
    let mut later: Vec<(usize, &Fault)> = later.filter(|(_, other)| other.at_ms >= fault.at_ms).collect();
    later.sort_by_key(|(_, other)| other.at_ms);
    let mut kind = fault.kind.clone();
    for (other_place, other) in later {
        if kind.is_ended_by(&other.kind) {
            return Some(other_place);
        }
        if matches!(other.kind, FaultKind::Replace { .. }) && (other.at_ms, other_place) > (fault.at_ms, place) {
            kind.for_each_node(|node| rename(node, NodeRef::Leader, NodeRef::Former));
        }
    }
    None
}

/// Gives a node another name, if it has this one.
pub(super) fn rename(node: &mut NodeRef, from: NodeRef, to: NodeRef) {
    if *node == from {
        *node = to;
    }
}

/// Returns the scenario without these parts, and without the faults that are impossible then: those
/// of operations that are gone, and ends of faults that do not begin.
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
    remove_impossible(&left.cluster, &mut left.faults);
    left
}

/// Whether a fault names this node.
pub(super) fn names(fault: &Fault, node: NodeRef) -> bool {
    fault.nodes().contains(&node)
}
