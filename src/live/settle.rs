use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::base::{Key, NodeRef};
use crate::client::Cluster;
use crate::net::Transport;

/// How often nodes are asked.
const POLL: Duration = Duration::from_millis(50);

/// What a node was last seen to hold for a key: a version and a value as JSON text, nothing, or no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// This.
    Entry(u64, String),
    /// Nothing.
    Nothing,
    /// It did not answer, for this reason.
    NoAnswer(String),
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Entry(version, value) => write!(f, "v{version} = {value}"),
            Self::Nothing => f.write_str("nothing"),
            Self::NoAnswer(why) => f.write_str(why),
        }
    }
}

/// Reads a key of every node, again and again, until all of them hold `wanted` or the deadline has passed. Returns what
/// each was seen to hold last, in order.
pub(super) async fn until_all_hold<T: Transport>(
    cluster: &Cluster<T>,
    key: &Key,
    wanted: &Seen,
    deadline: Duration,
) -> Vec<(NodeRef, Seen)> {
    let began = Instant::now();
    let mut seen = Vec::new();
    for node in cluster.nodes() {
        let last = loop {
            let now = read(cluster, node, key).await;
            if now == *wanted || began.elapsed() >= deadline {
                break now;
            }
            sleep(POLL).await;
        };
        seen.push((node, last));
    }
    seen
}

async fn read<T: Transport>(cluster: &Cluster<T>, node: NodeRef, key: &Key) -> Seen {
    match cluster.client().get(cluster.address(node), key).await {
        Ok(Some(found)) => Seen::Entry(found.version.get(), found.value.as_json().to_owned()),
        Ok(None) => Seen::Nothing,
        Err(error) => Seen::NoAnswer(error.to_string()),
    }
}
