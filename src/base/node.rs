use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A follower, by its place in the leader's list of followers, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FollowerId(pub u8);

impl FollowerId {
    /// The first `count` followers, in order.
    pub fn first(count: usize) -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator {
        debug_assert!(count <= FollowerSet::CAPACITY);
        (0..count as u8).map(Self)
    }

    /// The place in the leader's list.
    pub fn index(self) -> usize {
        self.0.into()
    }
}

/// A participant of a run, by its identity: a node, a client, or the network between them.
///
/// A name says nothing about what a node does. Leading is a state that a node has for an epoch; a trace says when it begins
/// ([`Event::Serve`](crate::base::trace::Event::Serve)) and ends. To address a node by its role, use [`NodeRef`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeId {
    /// A node that can lead and is not a member that stores data, counted from 0 in the order in which they are started.
    Server(u8),
    /// A member of the configuration: a node that is replicated to.
    Follower(FollowerId),
    /// A client, counted from 0.
    Client(u16),
    /// The network between the others. Faults are recorded under its name.
    Network,
}

impl NodeId {
    /// The node that leads first.
    pub const FIRST_SERVER: Self = Self::Server(0);

    /// Whether the node can lead.
    pub fn can_lead(self) -> bool {
        matches!(self, Self::Server(_))
    }

    /// Whether it is a node of the cluster, and not a client or the network.
    pub fn is_node(self) -> bool {
        matches!(self, Self::Server(_) | Self::Follower(_))
    }

    /// The number of this node in canonical encodings and in the keys of random draws.
    pub fn code(self) -> u64 {
        match self {
            Self::Server(0) => 0,
            Self::Follower(id) => 1 + u64::from(id.0),
            Self::Client(id) => (1 << 32) + u64::from(id),
            Self::Network => 1 << 33,
            Self::Server(id) => (1 << 34) + u64::from(id),
        }
    }
}

impl From<FollowerId> for NodeId {
    fn from(id: FollowerId) -> Self {
        Self::Follower(id)
    }
}

impl fmt::Display for FollowerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "f{}", u16::from(self.0) + 1)
    }
}

/// `n1`, `n2`, … for nodes that can lead, `f1`, `f2`, … for followers, `c1`, `c2`, … for clients, `network`
impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(id) => write!(f, "n{}", u16::from(*id) + 1),
            Self::Follower(id) => id.fmt(f),
            Self::Client(id) => write!(f, "c{}", u32::from(*id) + 1),
            Self::Network => f.write_str("network"),
        }
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that does not name a node or a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a node; nodes that can lead are called n1, n2, …, followers f1, f2, … and clients c1, c2, …")]
pub struct InvalidNodeId(String);

/// Reads the names that `Display` writes. `leader` stands for the node that leads first, `n1`: records of clients that do not
/// know the nodes' names call it so.
impl FromStr for NodeId {
    type Err = InvalidNodeId;

    fn from_str(text: &str) -> Result<Self, InvalidNodeId> {
        let numbered =
            |prefix: char| u16::try_from(text.strip_prefix(prefix)?.parse::<u32>().ok()?.checked_sub(1)?).ok();
        let follower =
            |place: u16| u8::try_from(place).ok().filter(|place| usize::from(*place) < FollowerSet::CAPACITY);
        let server = || numbered('n').and_then(|place| u8::try_from(place).ok()).map(Self::Server);
        let node = match text {
            "leader" => Some(Self::FIRST_SERVER),
            "network" => Some(Self::Network),
            _ => numbered('f').and_then(follower).map(|place| Self::Follower(FollowerId(place))).or_else(server),
        };
        node.or_else(|| numbered('c').map(Self::Client)).ok_or_else(|| InvalidNodeId(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A node as clients and scenarios address it: by its identity, or by the role that it has when it is addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeRef {
    /// The node that was started last as the leader.
    Leader,
    /// The node that was the leader before that one and still runs.
    Former,
    /// The node of this name.
    Node(NodeId),
}

impl NodeRef {
    /// The address of a node: that of a node that can lead is its role.
    pub fn by_role(node: NodeId) -> Self {
        if node.can_lead() { Self::Leader } else { Self::Node(node) }
    }

    /// The node in a cluster in which only `n1` can lead.
    pub fn with_one_leader(self) -> NodeId {
        match self {
            Self::Leader | Self::Former => NodeId::FIRST_SERVER,
            Self::Node(node) => node,
        }
    }
}

impl From<NodeId> for NodeRef {
    fn from(node: NodeId) -> Self {
        Self::Node(node)
    }
}

impl From<FollowerId> for NodeRef {
    fn from(id: FollowerId) -> Self {
        Self::Node(id.into())
    }
}

/// `leader`, `former`, or the name of the node
impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader => f.write_str("leader"),
            Self::Former => f.write_str("former"),
            Self::Node(node) => node.fmt(f),
        }
    }
}

impl FromStr for NodeRef {
    type Err = InvalidNodeRef;

    fn from_str(text: &str) -> Result<Self, InvalidNodeRef> {
        match text {
            "leader" => Ok(Self::Leader),
            "former" => Ok(Self::Former),
            _ => text.parse().map(Self::Node).map_err(|InvalidNodeId(text)| InvalidNodeRef(text)),
        }
    }
}

/// A text that addresses no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a node; nodes are called leader, former, f1, f2, … or, where more than one can lead, n1, n2, …; clients \
     are called c1, c2, …"
)]
pub struct InvalidNodeRef(String);

impl Serialize for NodeRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for FollowerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NodeId::deserialize(deserializer)? {
            NodeId::Follower(id) => Ok(id),
            other => Err(serde::de::Error::custom(format!("{other} is not a follower"))),
        }
    }
}

impl Serialize for FollowerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A set of followers. Adding one twice counts once, which is what "distinct confirmations" means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FollowerSet(u128);

impl FollowerSet {
    /// How many followers a leader can have.
    pub const CAPACITY: usize = 128;

    /// The first `count` followers.
    pub fn first(count: usize) -> Self {
        FollowerId::first(count).collect()
    }

    /// Adds a follower; false if it was in the set already.
    pub fn insert(&mut self, id: FollowerId) -> bool {
        let before = self.0;
        self.0 |= 1 << id.0;
        self.0 != before
    }

    /// Takes a follower out; false if it was not in the set.
    pub fn remove(&mut self, id: FollowerId) -> bool {
        let before = self.0;
        self.0 &= !(1 << id.0);
        self.0 != before
    }

    /// Whether the follower is in the set.
    pub fn contains(self, id: FollowerId) -> bool {
        self.0 >> id.0 & 1 == 1
    }

    /// The followers of this set that are not in the other.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// How many followers the set holds.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The followers, in order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = FollowerId> {
        Followers(self.0)
    }

    /// Whether the set holds none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The followers of a set that have not been visited yet.
struct Followers(u128);

impl Iterator for Followers {
    type Item = FollowerId;

    fn next(&mut self) -> Option<FollowerId> {
        let first = FollowerId(self.0.trailing_zeros() as u8);
        // Clears the lowest bit.
        let rest = self.0 & self.0.checked_sub(1)?;
        self.0 = rest;
        Some(first)
    }
}

impl DoubleEndedIterator for Followers {
    fn next_back(&mut self) -> Option<FollowerId> {
        let last = 127_u32.checked_sub(self.0.leading_zeros())?;
        self.0 &= !(1 << last);
        Some(FollowerId(last as u8))
    }
}

impl FromIterator<FollowerId> for FollowerSet {
    fn from_iter<I: IntoIterator<Item = FollowerId>>(ids: I) -> Self {
        ids.into_iter().fold(Self::default(), |mut set, id| {
            set.insert(id);
            set
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_counts_distinct_followers() {
        let mut set = FollowerSet::default();
        assert!(set.insert(FollowerId(3)));
        assert!(!set.insert(FollowerId(3)));
        assert!(set.insert(FollowerId(127)));
        assert_eq!(set.len(), 2);
        assert!(set.remove(FollowerId(3)));
        assert!(!set.remove(FollowerId(3)));
        assert!(!set.contains(FollowerId(3)) && set.contains(FollowerId(127)));
        assert_eq!(FollowerSet::first(128).len(), 128);
        assert_eq!(FollowerSet::first(5).without(FollowerSet::first(3)).len(), 2);
        assert!(FollowerSet::first(2).without(FollowerSet::first(3)).is_empty());
        let some: FollowerSet = [127, 3, 0].map(FollowerId).into_iter().collect();
        assert_eq!(some.iter().map(|id| id.0).collect::<Vec<_>>(), [0, 3, 127]);
        assert_eq!(some.iter().rev().map(|id| id.0).collect::<Vec<_>>(), [127, 3, 0]);
        assert_eq!(FollowerSet::default().iter().next(), None);
    }

    #[test]
    fn names_count_from_one() {
        assert_eq!(NodeId::from(FollowerId(0)).to_string(), "f1");
        assert_eq!(NodeId::Client(9).to_string(), "c10");
        for name in ["n1", "n256", "f1", "f128", "c1", "c65536", "network"] {
            assert_eq!(name.parse::<NodeId>().unwrap().to_string(), name);
        }
        assert_eq!("leader".parse(), Ok(NodeId::FIRST_SERVER));
        for text in ["", "f", "f0", "f129", "n0", "n257", "c0", "c65537", "Leader", "former", "f1 ", "x1", "f-1"] {
            assert!(text.parse::<NodeId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_role_is_an_address_and_no_name() {
        for name in ["leader", "former", "n2", "f3"] {
            assert_eq!(name.parse::<NodeRef>().unwrap().to_string(), name);
        }
        assert_eq!("leader".parse(), Ok(NodeRef::Leader));
        assert_eq!("n1".parse(), Ok(NodeRef::Node(NodeId::FIRST_SERVER)));
        assert!("chief".parse::<NodeRef>().unwrap_err().to_string().contains("leader, former, f1"));
    }
}
