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

/// Someone who takes part in a run: a node, a client, or the network between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeId {
    /// The node that accepts writes.
    Leader,
    /// A leader that another has taken the place of while it still runs. There is at most one at a time.
    Former,
    /// A node that is replicated to.
    Follower(FollowerId),
    /// A client, counted from 0.
    Client(u16),
    /// What connects the others. It does nothing by itself; what is done to it is recorded under its name.
    Network,
}

impl NodeId {
    /// Whether it takes itself for the node that accepts writes.
    pub fn is_leader(self) -> bool {
        matches!(self, Self::Leader | Self::Former)
    }

    /// A number that stands for this node in canonical encodings and in the keys of random draws.
    pub fn code(self) -> u64 {
        match self {
            Self::Leader => 0,
            Self::Follower(id) => 1 + u64::from(id.0),
            Self::Client(id) => (1 << 32) + u64::from(id),
            Self::Network => 1 << 33,
            Self::Former => 1 << 34,
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

/// `leader`, `former`, `f1`, `f2`, …, `c1`, `c2`, …, `network`
impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader => f.write_str("leader"),
            Self::Former => f.write_str("former"),
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

/// Why a text does not name a node or a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a node; nodes are called leader, f1, f2, … and clients c1, c2, …")]
pub struct InvalidNodeId(String);

impl FromStr for NodeId {
    type Err = InvalidNodeId;

    fn from_str(text: &str) -> Result<Self, InvalidNodeId> {
        let numbered = |prefix: char| text.strip_prefix(prefix)?.parse::<u16>().ok()?.checked_sub(1);
        let follower =
            |place: u16| u8::try_from(place).ok().filter(|place| usize::from(*place) < FollowerSet::CAPACITY);
        let node = match text {
            "leader" => Some(Self::Leader),
            "former" => Some(Self::Former),
            "network" => Some(Self::Network),
            _ => numbered('f').and_then(follower).map(|place| Self::Follower(FollowerId(place))),
        };
        node.or_else(|| numbered('c').map(Self::Client)).ok_or_else(|| InvalidNodeId(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for NodeId {
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
        FollowerId::first(count).fold(Self::default(), |mut set, id| {
            set.insert(id);
            set
        })
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

    /// How many followers the set holds.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether the set holds none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
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
    }

    #[test]
    fn names_count_from_one() {
        assert_eq!(NodeId::from(FollowerId(0)).to_string(), "f1");
        assert_eq!(NodeId::Client(9).to_string(), "c10");
        for name in ["leader", "f1", "f128", "c1", "c65535", "network"] {
            assert_eq!(name.parse::<NodeId>().unwrap().to_string(), name);
        }
        for text in ["", "f", "f0", "f129", "c0", "Leader", "f1 ", "x1", "f-1"] {
            assert!(text.parse::<NodeId>().is_err(), "{text:?}");
        }
    }
}
