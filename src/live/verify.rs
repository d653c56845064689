//! Compares what a leader and its followers store, key by key, with little memory: all stores are read at once, in the
//! order of their keys.

use std::collections::{BTreeMap, btree_map};
use std::time::Duration;

use futures_util::future::{join, join_all};

use crate::base::wire::DumpEntry;
use crate::base::{Key, NodeRef};
use crate::client::{Cluster, DumpStream, ReadError};
use crate::net::Transport;

/// How long a node may send nothing before it counts as one that cannot be read.
const PATIENCE: Duration = Duration::from_secs(2);

/// In what a follower differs from the leader in a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Differs {
    /// The follower does not have it.
    Missing,
    /// The leader does not have it.
    Extra,
    /// Another version.
    Version,
    /// The same version with another value.
    Value,
}

/// A key in which a follower differs from the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDifference {
    /// The follower.
    pub node: NodeRef,
    /// The key.
    pub key: Key,
    /// In what.
    pub differs: Differs,
    /// What the leader has.
    pub leader: Option<DumpEntry>,
    /// What the follower has.
    pub follower: Option<DumpEntry>,
}

/// How a follower compares with the leader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FollowerCounts {
    /// Its keys.
    pub keys: u64,
    /// Keys that only the leader has.
    pub missing: u64,
    /// Keys that only it has.
    pub extra: u64,
    /// Keys with another version.
    pub version: u64,
    /// Keys with the same version and another value.
    pub value: u64,
    /// Its address and why it could not be read to its end, if so. The counts are then of what was read.
    pub unreadable: Option<String>,
}

/// What came of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The leader's keys.
    pub keys: u64,
    /// The followers, in order.
    pub followers: Vec<(NodeRef, FollowerCounts)>,
    /// The first differences, up to the limit that was asked for.
    pub differences: Vec<KeyDifference>,
}

impl FollowerCounts {
    /// How many keys differ.
    pub fn differences(&self) -> u64 {
        self.missing + self.extra + self.version + self.value
    }

    /// Whether it was read, and nothing differs.
    pub fn is_equal(&self) -> bool {
        self.unreadable.is_none() && self.differences() == 0
    }
}

impl Comparison {
    /// How many followers were read and have no difference.
    pub fn equal_followers(&self) -> usize {
        self.followers.iter().filter(|(_, counts)| counts.is_equal()).count()
    }

    /// Whether all followers were read, and nothing differs.
    pub fn is_equal(&self) -> bool {
        self.followers.iter().all(|(_, counts)| counts.is_equal())
    }
}

/// Compares all followers with the leader. Differences are counted in full and listed up to `limit`.
///
/// A node whose dump is not sorted by key, as that of another program may be, is read into memory first.
///
/// # Errors
/// [`ReadError`] if the leader cannot be read. A follower that cannot is reported as such.
pub async fn verify<T: Transport>(cluster: &Cluster<T>, limit: usize) -> Result<Comparison, ReadError> {
    match compare(cluster, limit, false).await {
        Err(Stop::Unsorted) => match compare(cluster, limit, true).await {
            Ok(comparison) => Ok(comparison),
            Err(Stop::Leader(error)) => Err(error),
            Err(Stop::Unsorted) => unreachable!("what is read into a map is sorted"),
        },
        Err(Stop::Leader(error)) => Err(error),
        Ok(comparison) => Ok(comparison),
    }
}

/// Why a comparison ended early.
enum Stop {
    /// The leader cannot be read.
    Leader(ReadError),
    /// Keys do not come in order.
    Unsorted,
}

/// The entries of a node, in order.
struct Store {
    source: Source,
    /// The entry that comes next.
    head: Option<(Key, DumpEntry)>,
}

enum Source {
    Stream(Box<DumpStream>),
    Memory(btree_map::IntoIter<Key, DumpEntry>),
}

/// Why a store does not go on.
enum Fault {
    Unreadable(ReadError),
    /// No leader has brought it up to date.
    Recovering,
    Unsorted,
}

impl Store {
    async fn open<T: Transport>(cluster: &Cluster<T>, node: NodeRef, into_memory: bool) -> Result<Self, Fault> {
        let stream = cluster.client().dump_stream(cluster.address(node), PATIENCE).await;
        let mut stream = stream.map_err(Fault::Unreadable)?;
        let is_recovering = stream.is_recovering() && node != NodeRef::Leader;
        let source = if into_memory {
            let mut entries = BTreeMap::new();
            while let Some((key, entry)) = stream.next().await.map_err(Fault::Unreadable)? {
                entries.insert(key, entry);
            }
            Source::Memory(entries.into_iter())
        } else {
            Source::Stream(Box::new(stream))
        };
        let mut store = Self { source, head: None };
        store.advance().await?;
        // What was written to it by hand can be compared, as what a program stores that knows no leader's questions.
        if is_recovering && store.head.is_none() {
            return Err(Fault::Recovering);
        }
        Ok(store)
    }

    /// Takes the entry that comes next.
    async fn advance(&mut self) -> Result<Option<(Key, DumpEntry)>, Fault> {
        let next = match &mut self.source {
            Source::Memory(entries) => entries.next(),
            Source::Stream(stream) => stream.next().await.map_err(Fault::Unreadable)?,
        };
        if let (Some((last, _)), Some((next, _))) = (&self.head, &next)
            && last >= next
        {
            return Err(Fault::Unsorted);
        }
        Ok(std::mem::replace(&mut self.head, next))
    }

    fn key(&self) -> Option<&Key> {
        self.head.as_ref().map(|(key, _)| key)
    }

    /// Takes the entry that comes next if it is of this key.
    async fn take(&mut self, key: &Key) -> Result<Option<DumpEntry>, Fault> {
        if self.key() != Some(key) {
            return Ok(None);
        }
        Ok(self.advance().await?.map(|(_, entry)| entry))
    }
}

async fn compare<T: Transport>(cluster: &Cluster<T>, limit: usize, into_memory: bool) -> Result<Comparison, Stop> {
    let of_leader = |fault| match fault {
        Fault::Unreadable(error) => Stop::Leader(error),
        Fault::Recovering => unreachable!("that is said of followers only"),
        Fault::Unsorted => Stop::Unsorted,
    };
    // All at once, so that several nodes that do not answer take no longer than one.
    let nodes: Vec<NodeRef> = cluster.nodes().filter(|node| *node != NodeRef::Leader).collect();
    let open = nodes.iter().map(|node| Store::open(cluster, *node, into_memory));
    let (leader, stores) = join(Store::open(cluster, NodeRef::Leader, into_memory), join_all(open)).await;
    let mut leader = leader.map_err(of_leader)?;
    let mut followers = Vec::new();
    for (node, store) in nodes.into_iter().zip(stores) {
        let mut counts = FollowerCounts::default();
        let store = counts.note(store)?;
        followers.push((node, store, counts));
    }
    let mut comparison = Comparison::default();
    loop {
        let heads = followers.iter().filter_map(|(_, store, _)| store.as_ref()?.key());
        let Some(key) = heads.chain(leader.key()).min().cloned() else { break };
        let expected = leader.take(&key).await.map_err(of_leader)?;
        comparison.keys += u64::from(expected.is_some());
        for (node, place, counts) in &mut followers {
            let Some(store) = place else { continue };
            let taken = store.take(&key).await;
            let Some(found) = counts.note(taken)? else {
                *place = None;
                continue;
            };
            counts.keys += u64::from(found.is_some());
            let Some(differs) = differs(expected.as_ref(), found.as_ref()) else { continue };
            *match differs {
                Differs::Missing => &mut counts.missing,
                Differs::Extra => &mut counts.extra,
                Differs::Version => &mut counts.version,
                Differs::Value => &mut counts.value,
            } += 1;
            if comparison.differences.len() < limit {
                let (leader, key) = (expected.clone(), key.clone());
                comparison.differences.push(KeyDifference { node: *node, key, differs, leader, follower: found });
            }
        }
    }
    let named = |(node, _, mut counts): (NodeRef, _, FollowerCounts)| {
        counts.unreadable = counts.unreadable.map(|why| format!("{}: {why}", cluster.address(node)));
        (node, counts)
    };
    comparison.followers = followers.into_iter().map(named).collect();
    Ok(comparison)
}

impl FollowerCounts {
    /// Notes that the follower cannot be read on, if that is what happened.
    fn note<R>(&mut self, result: Result<R, Fault>) -> Result<Option<R>, Stop> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Fault::Unsorted) => Err(Stop::Unsorted),
            Err(Fault::Unreadable(error)) => {
                self.unreadable = Some(error.to_string());
                Ok(None)
            }
            Err(Fault::Recovering) => {
                self.unreadable = Some("no leader has brought it up to date since it was started".into());
                Ok(None)
            }
        }
    }
}

fn differs(leader: Option<&DumpEntry>, follower: Option<&DumpEntry>) -> Option<Differs> {
    match (leader, follower) {
        (None, None) => None,
        (Some(_), None) => Some(Differs::Missing),
        (None, Some(_)) => Some(Differs::Extra),
        (Some(leader), Some(follower)) if leader.version != follower.version => Some(Differs::Version),
        (Some(leader), Some(follower)) => (leader.value != follower.value).then_some(Differs::Value),
    }
}
