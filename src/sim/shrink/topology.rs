//! Fewer followers, a lower quorum, fewer clients and keys.

use std::collections::{BTreeMap, BTreeSet};

use super::parts::names;
use super::search::Search;
use crate::base::{FollowerId, Key, NodeId, NodeRef};
use crate::sim::scenario::{ClusterSpec, FaultKind, OperationName, PlannedKind, Scenario, remove_impossible};
use crate::sim::spell::USUAL_DELAY_MS;

impl<F: FnMut(u64, usize)> Search<F> {
    pub(super) fn smaller_cluster(&mut self) {
        for follower in (0..self.best.cluster.all_followers()).rev() {
            if self.best.cluster.followers > 1 || follower >= self.best.cluster.followers {
                self.adopt(without_follower(&self.best, FollowerId(follower as u8)));
            }
        }
        while self.best.cluster.write_quorum > 1 {
            let mut lower = self.best.clone();
            lower.cluster.write_quorum -= 1;
            if !self.adopt(lower) {
                break;
            }
        }
        let mut usual = self.best.clone();
        usual.cluster.window = ClusterSpec::default().window;
        self.adopt(usual);
        let mut usual = self.best.clone();
        usual.cluster.part_keys = ClusterSpec::default().part_keys;
        self.adopt(usual);
        self.lower_limit(|cluster| &mut cluster.window);
        self.lower_limit(|cluster| &mut cluster.part_keys);
        let mut usual = self.best.clone();
        usual.cluster.delay_ms = [USUAL_DELAY_MS; 2];
        self.adopt(usual);
        self.fewer_clients();
        self.fewer_keys();
    }

    /// Lowers a limit that is not the usual one as far as can be.
    fn lower_limit(&mut self, limit: impl Fn(&mut ClusterSpec) -> &mut usize) {
        let usual = *limit(&mut ClusterSpec::default());
        let present = *limit(&mut self.best.cluster);
        if present == usual {
            return;
        }
        for lower in [1, present / 2, present.saturating_sub(1)] {
            let mut candidate = self.best.clone();
            *limit(&mut candidate.cluster) = lower;
            if self.adopt(candidate) {
                return;
            }
        }
    }

    fn fewer_clients(&mut self) {
        let clients: BTreeSet<u16> = self.best.workload.explicit.iter().map(|operation| operation.client).collect();
        // All by one first; then each by the first of the others.
        if let Some(first) = clients.first().copied() {
            self.adopt(with_clients(&self.best, |_| first));
            for client in clients.into_iter().skip(1) {
                self.adopt(with_clients(&self.best, |of| if of == client { first } else { of }));
            }
        }
        let left: Vec<u16> = self
            .best
            .workload
            .explicit
            .iter()
            .map(|operation| operation.client)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let place =
            |client: u16| left.iter().position(|other| *other == client).map_or(client, |place| place as u16 + 1);
        self.adopt(with_clients(&self.best, place));
    }

    fn fewer_keys(&mut self) {
        let keys: Vec<Key> = {
            let mut seen = BTreeSet::new();
            let operations = self.best.workload.explicit.iter();
            operations.map(|operation| operation.key.clone()).filter(|key| seen.insert(key.clone())).collect()
        };
        let names = ["x", "y", "z"];
        let name = |place: usize| names.get(place).map_or_else(|| format!("k{place}"), ToString::to_string);
        self.adopt(with_keys(&self.best, |_| name(0)));
        self.adopt(with_keys(&self.best, |key| {
            keys.iter().position(|other| other == key).map_or_else(|| key.as_str().to_owned(), name)
        }));
    }
}

/// The scenario without a follower, nor what concerns it alone. The numbers of those after it go down by one.
fn without_follower(scenario: &Scenario, gone: FollowerId) -> Scenario {
    let mut left = scenario.clone();
    let is_spare = gone.index() >= left.cluster.followers;
    *(if is_spare { &mut left.cluster.spares } else { &mut left.cluster.followers }) -= 1;
    left.cluster.write_quorum = left.cluster.write_quorum.min(left.cluster.followers);
    let gone_node = NodeRef::from(gone);
    left.workload
        .explicit
        .retain(|operation| !matches!(operation.kind, PlannedKind::Get { from, .. } if from == gone_node));
    left.faults.retain(|fault| {
        let names_others = matches!(fault.kind, FaultKind::Partition(_) | FaultKind::Heal(_) | FaultKind::Members(_));
        !names(fault, gone_node) || names_others
    });
    left.faults.retain_mut(|fault| match &mut fault.kind {
        FaultKind::Partition(links) | FaultKind::Heal(links) => {
            links.from.retain(|node| *node != gone_node);
            links.to.retain(|node| *node != gone_node);
            !links.from.is_empty() && !links.to.is_empty()
        }
        FaultKind::Members(members) => {
            members.retain(|member| member.follower != gone);
            !members.is_empty()
        }
        _ => true,
    });
    let renumber = |node: NodeRef| match node {
        NodeRef::Node(NodeId::Follower(follower)) if follower > gone => NodeRef::from(FollowerId(follower.0 - 1)),
        other => other,
    };
    for operation in &mut left.workload.explicit {
        if let PlannedKind::Get { from, .. } = &mut operation.kind {
            *from = renumber(*from);
        }
    }
    left.faults.iter_mut().for_each(|fault| fault.for_each_node(|node| *node = renumber(*node)));
    let existing = left.workload.clone();
    left.faults.retain(|fault| fault.operations().all(|name| existing.has(name)));
    remove_impossible(&left.cluster, &mut left.faults);
    left
}

/// The scenario with operations done by other clients. Each client does its own in the order of their times, numbered
/// from 1; faults follow the operations that they name.
fn with_clients(scenario: &Scenario, client: impl Fn(u16) -> u16) -> Scenario {
    let mut changed = scenario.clone();
    if scenario.workload.operations > 0 {
        return changed;
    }
    let former: BTreeSet<u16> = scenario.workload.explicit.iter().map(|operation| operation.client).collect();
    let mut named: Vec<_> = scenario.workload.named().map(|(name, operation)| (name, operation.clone())).collect();
    named.sort_by_key(|(name, operation)| (operation.at_ms, *name));
    let mut last: BTreeMap<u16, u64> = BTreeMap::new();
    let mut renamed: BTreeMap<OperationName, OperationName> = BTreeMap::new();
    // By what it is named after, which may be left out: the first write of each name.
    let mut first: BTreeMap<OperationName, OperationName> = BTreeMap::new();
    changed.workload.explicit.clear();
    for (name, mut operation) in named {
        operation.client = client(operation.client);
        operation.number = None;
        let number = last.entry(operation.client).or_default();
        *number += 1;
        let new = OperationName { client: operation.client - 1, number: *number };
        renamed.insert(name, new);
        operation.request = operation.request.map(|request| *first.entry(request).or_insert(new));
        changed.workload.explicit.push(operation);
    }
    for fault in &mut changed.faults {
        if let FaultKind::Replace { keeps } = &mut fault.kind {
            // The number of a client without operations may go to another client.
            let of = |node: &NodeId| match node {
                NodeId::Client(id) if former.contains(&(id + 1)) => Some(client(id + 1)),
                _ => None,
            };
            let kept: BTreeSet<u16> = keeps.iter().filter_map(of).collect();
            *keeps = kept.into_iter().map(|client| NodeId::Client(client - 1)).collect();
        }
        fault.for_each_operation(|name| *name = renamed.get(name).copied().unwrap_or(*name));
    }
    changed
}

fn with_keys(scenario: &Scenario, name: impl Fn(&Key) -> String) -> Scenario {
    let renamed = |key: &Key| Key::new(&name(key)).unwrap_or_else(|_| key.clone());
    let mut changed = scenario.clone();
    for operation in &mut changed.workload.explicit {
        operation.key = renamed(&operation.key);
    }
    for fault in &mut changed.faults {
        if let FaultKind::LoseKey { key, .. } = &mut fault.kind {
            *key = renamed(key);
        }
    }
    changed
}
