//! Simpler faults: of a kind that both engines can play, and that name fewer nodes.

use super::parts::{end_of, rename};
use super::search::Search;
use crate::base::{Member, NodeId, NodeRef};
use crate::sim::scenario::{Fault, FaultKind, Links, Scenario, remove_impossible};

impl<F: FnMut(u64, usize)> Search<F> {
    pub(super) fn simpler_faults(&mut self) {
        self.adopt(with_all_held(&self.best));
        for place in (0..self.best.faults.len()).rev() {
            // Fewer faults may be left than there were.
            let Some(fault) = self.best.faults.get(place).cloned() else { continue };
            match &fault.kind {
                FaultKind::Pause(_) => {
                    self.adopt(with_held(&self.best, place));
                }
                FaultKind::Replace { keeps } => {
                    for client in keeps {
                        self.adopt(without_kept(&self.best, place, *client));
                    }
                    self.adopt(without_replacement(&self.best, place));
                }
                FaultKind::Partition(links) => {
                    for node in [links.from.as_slice(), links.to.as_slice()].concat() {
                        self.adopt(without_end(&self.best, place, node));
                    }
                }
                FaultKind::Members(members) => {
                    for member in members {
                        self.adopt(without_member(&self.best, place, member));
                    }
                }
                _ => {}
            }
        }
    }
}

/// Returns the scenario with nodes held back where they were paused, which turmoil can play too.
fn with_all_held(scenario: &Scenario) -> Scenario {
    let mut held = scenario.clone();
    held.faults.iter_mut().for_each(hold);
    held
}

/// Returns the scenario with a node held back instead of paused by this fault.
fn with_held(scenario: &Scenario, place: usize) -> Scenario {
    let mut held = scenario.clone();
    for place in [place].into_iter().chain(end_of(scenario, place)) {
        hold(&mut held.faults[place]);
    }
    held
}

fn hold(fault: &mut Fault) {
    match fault.kind {
        FaultKind::Pause(node) => fault.kind = FaultKind::Hold(node),
        FaultKind::Resume(node) => fault.kind = FaultKind::Release(node),
        _ => {}
    }
}

/// Returns the scenario in which this client follows the leader when this fault replaces it.
fn without_kept(scenario: &Scenario, place: usize, client: NodeId) -> Scenario {
    let mut left = scenario.clone();
    if let FaultKind::Replace { keeps } = &mut left.faults[place].kind {
        keeps.retain(|kept| *kept != client);
    }
    left
}

/// Returns the scenario in which the next leader does not have this member.
fn without_member(scenario: &Scenario, place: usize, member: &Member) -> Scenario {
    let mut left = scenario.clone();
    if let FaultKind::Members(members) = &mut left.faults[place].kind {
        members.retain(|other| other != member);
    }
    left
}

/// Returns the scenario in which this fault does not replace the leader: up to the next replacement,
/// faults of the former leader are faults of the leader.
fn without_replacement(scenario: &Scenario, place: usize) -> Scenario {
    let mut left = scenario.clone();
    let removed = left.faults.remove(place);
    let is_later =
        |other: usize, fault: &Fault| fault.at_ms > removed.at_ms || (fault.at_ms == removed.at_ms && other >= place);
    let later = left.faults.iter().enumerate().filter(|(other, fault)| is_later(*other, fault));
    let next = later.filter(|(_, fault)| matches!(fault.kind, FaultKind::Replace { .. }));
    let next_ms = next.map(|(_, fault)| fault.at_ms).min().unwrap_or(u64::MAX);
    for (other, fault) in left.faults.iter_mut().enumerate() {
        if is_later(other, fault) && fault.at_ms <= next_ms {
            fault.kind.for_each_node(|node| rename(node, NodeRef::Former, NodeRef::Leader));
        }
    }
    remove_impossible(&left.cluster, &mut left.faults);
    left
}

/// Returns the scenario in which this fault, and its end, do not cut the links of a node.
fn without_end(scenario: &Scenario, place: usize, node: NodeRef) -> Scenario {
    let mut left = scenario.clone();
    for place in [place].into_iter().chain(end_of(scenario, place)) {
        if let FaultKind::Partition(Links { from, to, .. }) | FaultKind::Heal(Links { from, to, .. }) =
            &mut left.faults[place].kind
        {
            from.retain(|other| *other != node);
            to.retain(|other| *other != node);
        }
    }
    left
}
