use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::base::NodeRef;
use crate::client::{Client, Cluster, ReadError};
use crate::net::{HostPort, Transport};

/// How long a node may send nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// A node that nothing can be done with.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It does not answer.
    #[error("{node} at {address} does not answer: {error}")]
    Unreachable {
        /// The node.
        node: NodeRef,
        /// Where it should be.
        address: HostPort,
        /// Why not.
        error: ReadError,
    },
    /// It does not answer soon.
    #[error("{node} at {address} does not answer: nothing came in {patience:?}")]
    Silent {
        /// The node.
        node: NodeRef,
        /// Where it should be.
        address: HostPort,
        /// How long it was waited for.
        patience: Duration,
    },
    /// What answers there speaks another interface.
    #[error("{address}, which should be {node}, is not a node of this kind: {error}")]
    Stranger {
        /// The node.
        node: NodeRef,
        /// Where it should be.
        address: HostPort,
        /// What it answered.
        error: ReadError,
    },
    /// It is a follower where the leader should be, or the other way round.
    #[error("{address} says that it is a {role}; it was given as {node}")]
    WrongRole {
        /// What it was given as.
        node: NodeRef,
        /// Where it is.
        address: HostPort,
        /// What it says.
        role: String,
    },
}

impl Unfit {
    /// Whether another address would help, rather than another time.
    pub fn is_mistake(&self) -> bool {
        !matches!(self, Self::Unreachable { .. } | Self::Silent { .. })
    }

    /// Whether it is a follower that does not answer.
    pub fn is_missing_follower(&self) -> bool {
        matches!(self, Self::Unreachable { node, .. } | Self::Silent { node, .. } if *node != NodeRef::Leader)
    }
}

/// Asks every node who it is, before anything is done to it. A node that has no `/health`, as other programs with this
/// interface may not, is known by its `/dump`.
///
/// # Errors
/// Every node that is unfit, in order.
pub async fn preflight<T: Transport>(cluster: &Cluster<T>) -> Result<(), Vec<Unfit>> {
    let nodes = cluster.nodes().map(|node| examine(cluster.client(), node, cluster.address(node)));
    let unfit: Vec<Unfit> = join_all(nodes).await.into_iter().filter_map(Result::err).collect();
    if unfit.is_empty() { Ok(()) } else { Err(unfit) }
}

async fn examine<T: Transport>(client: &Client<T>, node: NodeRef, address: &HostPort) -> Result<(), Unfit> {
    let unfit = |error: ReadError| match error {
        ReadError::NoAnswer(_) => Unfit::Unreachable { node, address: address.clone(), error },
        _ => Unfit::Stranger { node, address: address.clone(), error },
    };
    let health = timeout(PATIENCE, client.health(address)).await;
    let Ok(health) = health else { return Err(Unfit::Silent { node, address: address.clone(), patience: PATIENCE }) };
    match health {
        Ok(health) => {
            let expected = if node == NodeRef::Leader { "leader" } else { "follower" };
            let known = ["leader", "follower"].contains(&health.role.as_str());
            if known && health.role != expected {
                return Err(Unfit::WrongRole { node, address: address.clone(), role: health.role });
            }
            Ok(())
        }
        Err(error @ ReadError::NoAnswer(_)) => Err(unfit(error)),
        Err(_) => client.dump_stream(address, PATIENCE).await.map_err(unfit)?.next().await.map(drop).map_err(unfit),
    }
}
