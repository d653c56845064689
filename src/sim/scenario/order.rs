use std::collections::{BTreeMap, BTreeSet};

use super::{Fault, FaultKind, Links};
use crate::base::NodeId;

/// Checks that what ends has begun, in the order in which faults happen: the end of nothing is a slip of the pen, and a
/// scenario that has one does not do what its author believes.
pub(super) fn check(faults: &[Fault]) -> Result<(), String> {
    let mut happening = Happening::default();
    let mut in_order: Vec<(usize, &Fault)> = faults.iter().enumerate().collect();
    in_order.sort_by_key(|(_, fault)| fault.at_ms);
    for (place, fault) in in_order {
        let number = place + 1;
        happening.follow(&fault.kind).map_err(|what| format!("fault {number}: at_ms = {}: {what}", fault.at_ms))?;
    }
    Ok(())
}

/// Takes out what cannot be where it stands: what is down cannot crash, and what has not begun cannot end.
pub(in crate::sim) fn retain_possible(faults: &mut Vec<Fault>) {
    let mut happening = Happening::default();
    faults.sort_by_key(|fault| fault.at_ms);
    faults.retain(|fault| happening.follow(&fault.kind).is_ok());
}

impl FaultKind {
    /// Whether this is over when the other happens, which is nothing but the end of such a fault.
    pub(in crate::sim) fn is_ended_by(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Crash(a), Self::Restart(b)) | (Self::Hold(a), Self::Release(b)) => a == b,
            (Self::Pause(a), Self::Resume(b)) => a == b,
            (Self::Partition(a), Self::Heal(b)) => a == b,
            _ => false,
        }
    }
}

/// What has begun and not ended. Holds and partitions are counted: two of them end by two ends.
#[derive(Default)]
struct Happening {
    down: BTreeSet<NodeId>,
    held: Counts<NodeId>,
    paused: BTreeSet<NodeId>,
    cut: Counts<(NodeId, NodeId)>,
    /// Whether a former leader runs beside the present one.
    has_former: bool,
}

/// How often something has begun and not ended.
type Counts<T> = BTreeMap<T, u32>;

/// Takes one away; false if there is none.
fn end<T: Ord>(counts: &mut Counts<T>, what: &T) -> bool {
    let Some(count) = counts.get_mut(what).filter(|count| **count > 0) else { return false };
    *count -= 1;
    true
}

impl Happening {
    fn follow(&mut self, kind: &FaultKind) -> Result<(), String> {
        if !self.has_former && kind.nodes().contains(&NodeId::Former) {
            return Err("there is no former; a leader is called so after a replace, until it crashes".into());
        }
        let Self { down, held, paused, cut, has_former } = self;
        match kind {
            FaultKind::Restart(NodeId::Former) => {
                Err("restart: a former leader stays down; the present one is called leader".into())
            }
            FaultKind::Crash(NodeId::Former) => {
                *has_former = false;
                paused.remove(&NodeId::Former);
                Ok(())
            }
            FaultKind::Replace { .. } if down.contains(&NodeId::Leader) => {
                Err("replace: the leader is down; restart starts another".into())
            }
            FaultKind::Replace { .. } => {
                *has_former = true;
                // What was done to the first leader follows it.
                paused.remove(&NodeId::Former);
                if paused.remove(&NodeId::Leader) {
                    paused.insert(NodeId::Former);
                }
                let links = std::mem::take(cut);
                let renamed = |node| if node == NodeId::Leader { NodeId::Former } else { node };
                let links = links.into_iter().filter(|((from, to), _)| ![*from, *to].contains(&NodeId::Former));
                *cut = links.map(|((from, to), count)| ((renamed(from), renamed(to)), count)).collect();
                held.remove(&NodeId::Former);
                if let Some(count) = held.remove(&NodeId::Leader) {
                    held.insert(NodeId::Former, count);
                }
                Ok(())
            }
            FaultKind::Crash(node) if !down.insert(*node) => {
                Err(format!("crash: {node} is down already; it can crash again after a restart"))
            }
            FaultKind::Restart(node) if !down.remove(node) => {
                Err(format!("restart: {node} is not down; only a node that has crashed can be restarted"))
            }
            FaultKind::Release(node) if !end(held, node) => {
                Err(format!("release: {node} is not held; only a node that is on hold can be released"))
            }
            FaultKind::Resume(node) if !paused.remove(node) => {
                Err(format!("resume: {node} is not paused; only a node that has been paused can go on"))
            }
            FaultKind::Heal(links) => {
                // Part of a partition may be healed, and one way of it both ways.
                let healed = directed(links).into_iter().filter(|link| end(cut, link)).count();
                if healed > 0 { Ok(()) } else { Err("heal: none of these links is cut by a partition".into()) }
            }
            FaultKind::Hold(node) => {
                *held.entry(*node).or_default() += 1;
                Ok(())
            }
            FaultKind::Pause(node) => {
                paused.insert(*node);
                Ok(())
            }
            FaultKind::Partition(links) => {
                for link in directed(links) {
                    *cut.entry(link).or_default() += 1;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The links, each in one direction.
fn directed(links: &Links) -> Vec<(NodeId, NodeId)> {
    let pairs = links.from.iter().flat_map(|from| links.to.iter().map(|to| (*from, *to)));
    pairs.flat_map(|(from, to)| [Some((from, to)), (!links.one_way).then_some((to, from))]).flatten().collect()
}
