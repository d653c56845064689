use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Client, Outcome, ReadError};
use crate::base::wire::{Dump, SetAnswer};
use crate::base::{FollowerId, Key, NodeId, NodeRef, Value};
use crate::check::convergence::{self, Difference};
use crate::net::{HostPort, Transport};

/// How often [`Cluster::settle`] looks.
const POLL: Duration = Duration::from_millis(50);

/// A leader and its followers, as a client sees them.
#[derive(Debug, Clone)]
pub struct Cluster<T> {
    client: Client<T>,
    leader: HostPort,
    followers: Vec<HostPort>,
}

/// Why replicas were not seen to be equal by the deadline.
#[derive(Debug, thiserror::Error)]
pub enum NotConverged {
    /// A node could not be read.
    #[error("{node} cannot be read: {error}")]
    Unreadable {
        /// The node.
        node: NodeRef,
        /// Why not.
        error: ReadError,
    },
    /// A follower differs from the leader.
    #[error("after {waited:?}: {}", .differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Different {
        /// How long was waited.
        waited: Duration,
        /// What differs, never empty.
        differences: Vec<Difference<NodeRef>>,
    },
}

impl<T: Transport> Cluster<T> {
    /// The cluster of these nodes.
    pub fn new(client: Client<T>, leader: HostPort, followers: Vec<HostPort>) -> Self {
        Self { client, leader, followers }
    }

    /// The client that calls the nodes.
    pub fn client(&self) -> &Client<T> {
        &self.client
    }

    /// Every node: the leader, then the followers in order.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRef> + use<T> {
        [NodeRef::Leader].into_iter().chain(FollowerId::first(self.followers.len()).map(NodeRef::from))
    }

    /// Where a node listens.
    ///
    /// # Panics
    /// If the cluster has no such node.
    pub fn address(&self, node: impl Into<NodeRef>) -> &HostPort {
        let node = node.into();
        self.find(node).unwrap_or_else(|_| panic!("{node} is not a node of the cluster"))
    }

    /// Returns where a node listens, if the cluster has it.
    ///
    /// # Errors
    /// [`ReadError::NoSuchNode`].
    pub(super) fn find(&self, node: NodeRef) -> Result<&HostPort, ReadError> {
        let known = match node {
            NodeRef::Leader | NodeRef::Node(NodeId::FIRST_SERVER) => Some(&self.leader),
            NodeRef::Node(NodeId::Follower(id)) => self.followers.get(id.index()),
            NodeRef::Former | NodeRef::Node(NodeId::Server(_) | NodeId::Client(_) | NodeId::Network) => None,
        };
        known.ok_or(ReadError::NoSuchNode { node, followers: self.followers.len() })
    }

    /// Writes through the leader.
    pub async fn set(&self, key: &Key, value: &Value) -> Outcome<SetAnswer> {
        self.client.set(&self.leader, key, value).await
    }

    /// Deletes a key through the leader.
    pub async fn delete(&self, key: &Key) -> Outcome<SetAnswer> {
        self.client.delete(&self.leader, key).await
    }

    /// Everything that a node stores.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn dump(&self, node: impl Into<NodeRef>) -> Result<Dump, ReadError> {
        self.client.dump(self.find(node.into())?).await
    }

    /// Waits until every follower stores what the leader stores, and returns that.
    ///
    /// # Errors
    /// [`NotConverged`] with what was seen last, if that is not so within `deadline`.
    pub async fn settle(&self, deadline: Duration) -> Result<Dump, NotConverged> {
        let began = Instant::now();
        loop {
            let seen = self.compare(began).await;
            if seen.is_ok() || began.elapsed() >= deadline {
                return seen;
            }
            sleep(POLL).await;
        }
    }

    async fn compare(&self, began: Instant) -> Result<Dump, NotConverged> {
        let mut dumps = Vec::new();
        for node in self.nodes() {
            let dump = self.dump(node).await.map_err(|error| NotConverged::Unreadable { node, error })?;
            dumps.push((node, dump));
        }
        let differences = convergence::differences(&dumps);
        if !differences.is_empty() {
            return Err(NotConverged::Different { waited: began.elapsed(), differences });
        }
        Ok(dumps.swap_remove(0).1)
    }
}
