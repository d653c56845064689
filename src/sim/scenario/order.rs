//! Checks the order of faults: a fault that ends another follows it, a node that crashes is up, a node that is named was started.

use std::collections::{BTreeMap, BTreeSet};

use super::{ClusterSpec, Fault, FaultKind, Links, Trigger, When};
use crate::base::{NodeId, NodeRef};

/// Checks that what ends has begun, in the order in which faults happen: the end of nothing is a mistake, and a scenario that
/// has one does not do what its author believes. When a fault that waits for an event happens is not known, so nothing is
/// required of it, nor of others that concern the same nodes.
pub(super) fn check(cluster: &ClusterSpec, faults: &[Fault]) -> Result<(), String> {
    let mut happening = Happening::beside(cluster, faults);
    let mut in_order: Vec<(usize, &Fault)> = faults.iter().enumerate().collect();
    in_order.sort_by_key(|(_, fault)| fault.at_ms);
    let servers = servers(faults);
    if servers > MOST_SERVERS {
        return Err(format!(
            "replace: there are {servers} nodes that can lead, one more for each replace; at most {MOST_SERVERS} are possible"
        ));
    }
    for (place, fault) in in_order {
        let number = place + 1;
        let mut in_order = || if has_order(fault) { happening.follow(&fault.kind) } else { Ok(()) };
        require_servers(fault, servers)
            .and_then(|()| in_order())
            .map_err(|what| format!("fault {number}: at_ms = {}: {what}", fault.at_ms))?;
    }
    Ok(())
}

/// Sorts faults by time and removes those that are impossible where they stand: a node that is down
/// cannot crash, and a fault that has not begun cannot end.
pub(in crate::sim) fn retain_possible(cluster: &ClusterSpec, faults: &mut Vec<Fault>) {
    faults.sort_by_key(|fault| fault.at_ms);
    remove_impossible(cluster, faults);
}

/// Removes the faults that are impossible at their time. The others keep their places.
pub(in crate::sim) fn remove_impossible(cluster: &ClusterSpec, faults: &mut Vec<Fault>) {
    let mut happening = Happening::beside(cluster, faults);
    let mut in_order: Vec<usize> = (0..faults.len()).collect();
    in_order.sort_by_key(|place| faults[*place].at_ms);
    let servers = servers(faults);
    in_order.retain(|place| {
        let fault = &faults[*place];
        let is_in_order = !has_order(fault) || happening.follow(&fault.kind).is_ok();
        !is_in_order || require_servers(fault, servers).is_err()
    });
    let impossible: BTreeSet<usize> = in_order.into_iter().collect();
    let mut places = 0..;
    faults.retain(|_| places.next().is_some_and(|place| !impossible.contains(&place)));
}

/// How many nodes that can lead there are in the end: the first one, and one more for each `replace`.
fn servers(faults: &[Fault]) -> u8 {
    let replaces = faults.iter().filter(|fault| matches!(fault.kind, FaultKind::Replace { .. })).count();
    u8::try_from(1 + replaces).unwrap_or(u8::MAX)
}

/// Whether the fault has a known place in the order: not if it waits for an event, and not if it acts on messages for a while.
fn has_order(fault: &Fault) -> bool {
    fault.when.is_none() && !fault.kind.acts_on_messages()
}

/// Refuses a fault that names a node that can lead, if `servers` are started and it is not among them.
fn require_servers(fault: &Fault, servers: u8) -> Result<(), String> {
    let of_trigger = match fault.when {
        Some(When { trigger: Trigger::Serves(node), .. }) => Some(NodeRef::from(node)),
        _ => None,
    };
    let is_unknown = |node: &NodeRef| matches!(node, NodeRef::Node(NodeId::Server(id)) if *id >= servers);
    let unknown = fault.nodes().into_iter().chain(of_trigger).find(is_unknown);
    unknown.map_or(Ok(()), |node| {
        Err(format!("there is no {node}; each replace starts one more node that can lead, n2 the first"))
    })
}

impl FaultKind {
    /// Whether this fault ends when the other one happens.
    pub(in crate::sim) fn is_ended_by(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Crash(a), Self::Restart(b)) | (Self::Hold(a), Self::Release(b)) => a == b,
            (Self::Pause(a), Self::Resume(b)) => a == b,
            (Self::Partition(a), Self::Heal(b)) => a == b,
            (Self::Clock { node: a, .. }, Self::Clock { node: b, .. }) => a == b,
            (Self::Misdirect { follower: a, .. }, Self::Misdirect { follower: b, .. }) => a == b,
            (Self::Slow { node: a, to: c, one_way: e, .. }, Self::Slow { node: b, to: d, one_way: f, .. }) => {
                (a, c, e) == (b, d, f)
            }
            _ => false,
        }
    }
}

/// The most nodes that can lead.
const MOST_SERVERS: u8 = 16;

/// What has begun and not ended, by the identities of nodes. Holds and partitions are counted: two of them end by two ends.
struct Happening {
    down: BTreeSet<NodeId>,
    held: Counts<NodeId>,
    paused: BTreeSet<NodeId>,
    cut: Counts<(NodeId, NodeId)>,
    /// How many nodes that can lead have been started.
    servers: u8,
    /// How many members the next leader has, and how many of them must confirm a write.
    members: usize,
    quorum: usize,
    /// The nodes to which something happens once an event comes.
    uncertain: BTreeSet<NodeRef>,
    /// Whether such a node can lead, or is started by that: then it is not known which node has which role.
    roles_are_uncertain: bool,
}

/// How often something has begun and not ended.
type Counts<T> = BTreeMap<T, u32>;

/// Takes one away; false if there is none.
fn end<T: Ord>(counts: &mut Counts<T>, what: &T) -> bool {
    let Some(count) = counts.get_mut(what).filter(|count| **count > 0) else { return false };
    *count -= 1;
    true
}

/// Whether a node that can lead is addressed.
fn is_server(node: &NodeRef) -> bool {
    matches!(node, NodeRef::Leader | NodeRef::Former | NodeRef::Node(NodeId::Server(_)))
}

impl Happening {
    /// Sets what the next leader has, unless so many members cannot confirm a write.
    fn configure(&mut self, members: usize, quorum: usize) -> Result<(), String> {
        if quorum > members {
            return Err(format!(
                "by then the quorum is {quorum}, and there are {members} members; lower the quorum before a member is removed, \
                 and raise it after one is added"
            ));
        }
        (self.members, self.quorum) = (members, quorum);
        Ok(())
    }

    /// At the beginning of a scenario with these faults.
    fn beside(cluster: &ClusterSpec, faults: &[Fault]) -> Self {
        let triggered = || {
            let waiting = faults.iter().filter(|fault| fault.when.is_some() && !fault.kind.acts_on_messages());
            waiting.map(|fault| &fault.kind)
        };
        let uncertain: BTreeSet<NodeRef> = triggered().flat_map(FaultKind::nodes).collect();
        let roles_are_uncertain =
            uncertain.iter().any(is_server) || triggered().any(|kind| matches!(kind, FaultKind::Replace { .. }));
        let (down, paused) = Default::default();
        let (held, cut) = (Counts::new(), Counts::new());
        let (members, quorum) = (cluster.followers, cluster.write_quorum);
        Self { down, held, paused, cut, servers: 1, members, quorum, uncertain, roles_are_uncertain }
    }

    /// Whether it is not known what state the nodes of a fault are in.
    fn is_uncertain(&self, kind: &FaultKind) -> bool {
        let is_uncertain =
            |node: &NodeRef| self.uncertain.contains(node) || (self.roles_are_uncertain && is_server(node));
        kind.nodes().iter().any(is_uncertain)
    }

    /// The node that is addressed so at this point.
    fn resolve(&self, node: NodeRef) -> Result<NodeId, String> {
        let present = NodeId::Server(self.servers - 1);
        let mut former = (0..self.servers - 1).rev().map(NodeId::Server).filter(|node| !self.down.contains(node));
        match node {
            NodeRef::Leader => Ok(present),
            NodeRef::Former => former.next().ok_or_else(|| {
                "there is no former; a leader is called so after a replace, until it crashes; by its own name, n1, n2, …, it \
                 can be addressed always"
                    .to_owned()
            }),
            NodeRef::Node(NodeId::Server(id)) if id >= self.servers => {
                Err(format!("there is no {node} yet; each replace starts one more node that can lead, n2 the first"))
            }
            NodeRef::Node(node) => Ok(node),
        }
    }

    fn follow(&mut self, kind: &FaultKind) -> Result<(), String> {
        if self.is_uncertain(kind) {
            return Ok(());
        }
        for node in kind.nodes() {
            self.resolve(node)?;
        }
        match kind {
            FaultKind::Replace { .. } => {
                let leader = self.resolve(NodeRef::Leader)?;
                if self.down.contains(&leader) && !self.roles_are_uncertain {
                    return Err("replace: the leader is down; restart starts it again".into());
                }
                if self.servers == MOST_SERVERS {
                    return Err(format!(
                        "replace: there are {MOST_SERVERS} nodes that can lead already, the most there can be"
                    ));
                }
                self.servers += 1;
                Ok(())
            }
            FaultKind::Crash(name) => {
                let node = self.resolve(*name)?;
                if !self.down.insert(node) {
                    return Err(format!("crash: {name} is down already; it can crash again after a restart"));
                }
                if node.can_lead() && node != NodeId::Server(self.servers - 1) {
                    self.paused.remove(&node);
                }
                Ok(())
            }
            FaultKind::Restart(name) => {
                let node = self.resolve(*name)?;
                if !self.down.remove(&node) {
                    return Err(format!("restart: {name} is not down; only a node that has crashed can be restarted"));
                }
                Ok(())
            }
            FaultKind::Release(name) => {
                let node = self.resolve(*name)?;
                if !end(&mut self.held, &node) {
                    return Err(format!("release: {name} is not held; only a node that is on hold can be released"));
                }
                Ok(())
            }
            FaultKind::Resume(name) => {
                let node = self.resolve(*name)?;
                if !self.paused.remove(&node) {
                    return Err(format!("resume: {name} is not paused; only a node that has been paused can go on"));
                }
                Ok(())
            }
            FaultKind::Heal(links) => {
                // Part of a partition may be healed, and one way of it both ways.
                let links = self.directed(links)?;
                let healed = links.into_iter().filter(|link| end(&mut self.cut, link)).count();
                if healed > 0 { Ok(()) } else { Err("heal: none of these links is cut by a partition".into()) }
            }
            FaultKind::Hold(node) => {
                let node = self.resolve(*node)?;
                *self.held.entry(node).or_default() += 1;
                Ok(())
            }
            FaultKind::Pause(node) => {
                let node = self.resolve(*node)?;
                self.paused.insert(node);
                Ok(())
            }
            FaultKind::Partition(links) => {
                for link in self.directed(links)? {
                    *self.cut.entry(link).or_default() += 1;
                }
                Ok(())
            }
            FaultKind::Slow { .. }
            | FaultKind::Drop(_)
            | FaultKind::DropReply(_)
            | FaultKind::Duplicate { .. }
            | FaultKind::Delay { .. }
            | FaultKind::Rpc { .. }
            | FaultKind::Disconnect { .. }
            | FaultKind::Clock { .. }
            | FaultKind::AcceptLoss(_)
            | FaultKind::LoseKey { .. }
            | FaultKind::Misdirect { .. } => Ok(()),
            FaultKind::Quorum(quorum) => self.configure(self.members, *quorum),
            FaultKind::Members(members) => self.configure(members.len(), self.quorum),
        }
    }

    /// The links, each in one direction.
    fn directed(&self, links: &Links) -> Result<Vec<(NodeId, NodeId)>, String> {
        let resolve = |nodes: &[NodeRef]| nodes.iter().map(|node| self.resolve(*node)).collect::<Result<Vec<_>, _>>();
        let (from, to) = (resolve(&links.from)?, resolve(&links.to)?);
        let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to)));
        Ok(pairs.flat_map(|(from, to)| [Some((from, to)), (!links.one_way).then_some((to, from))]).flatten().collect())
    }
}
