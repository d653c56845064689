//! Stories that hold on every transport. The simulator tells them over many seeds, the parity tests on loopback TCP.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use semisync::base::wire::Dump;
use semisync::client::Cluster;
use semisync::net::Transport;

use crate::support::{json, key};

/// Far beyond what equal replicas take; virtual in the simulator.
const SETTLE_DEADLINE: Duration = Duration::from_secs(60);

/// Waits until all replicas are equal, and returns what they hold.
pub async fn settle<T: Transport>(cluster: &Cluster<T>) -> Dump {
    cluster.settle(SETTLE_DEADLINE).await.unwrap_or_else(|error| panic!("the replicas did not become equal: {error}"))
}

/// The version and the value of a key.
pub fn holds(dump: &Dump, name: &str) -> (u64, String) {
    let entry = dump.get(&key(name)).unwrap_or_else(|| panic!("{name} is not there"));
    (entry.version.get(), entry.value.as_json().to_owned())
}

/// Ten writes, one after another: every node ends at version 10.
pub async fn sequential<T: Transport>(cluster: &Cluster<T>) {
    for n in 1..=10 {
        let answer = cluster.set(&key("x"), &json(&format!("\"v{n}\""))).await.ok().expect("the quorum is there");
        assert_eq!(answer.version.get(), n);
        assert!(answer.confirmations >= answer.required);
    }
    assert_eq!(holds(&settle(cluster).await, "x"), (10, "\"v10\"".into()));
}

/// Twenty writers on one key at once: the versions are 1 to 20, each once, and all nodes end at version 20 with the
/// value of the writer that got it.
pub async fn concurrent<T: Transport>(cluster: &Cluster<T>) {
    let writers = (1..=20).map(|n| async move {
        let value = format!("\"writer {n}\"");
        let answer = cluster.set(&key("x"), &json(&value)).await.ok().expect("the quorum is there");
        (answer.version.get(), value)
    });
    let answers: BTreeSet<(u64, String)> = join_all(writers).await.into_iter().collect();
    let versions: Vec<u64> = answers.iter().map(|(version, _)| *version).collect();
    assert_eq!(versions, (1..=20).collect::<Vec<_>>());
    assert_eq!(Some(&holds(&settle(cluster).await, "x")), answers.last());
}

/// Five writes at once, a rest, one more: all nodes end at version 6 with its value.
pub async fn out_of_order<T: Transport>(cluster: &Cluster<T>) {
    let value = |n: u64| json(&format!("{n}"));
    let burst = (1..=5).map(|n| async move { cluster.set(&key("x"), &value(n)).await.ok() });
    assert_eq!(join_all(burst).await.into_iter().flatten().count(), 5);
    assert_eq!(holds(&settle(cluster).await, "x").0, 5);
    let last = cluster.set(&key("x"), &value(6)).await.ok().expect("the quorum is there");
    assert_eq!(last.version.get(), 6);
    assert_eq!(holds(&settle(cluster).await, "x"), (6, "6".into()));
}

/// A write can be read from the leader at once, and from every node after a rest; what was never written, from none.
pub async fn reads<T: Transport>(cluster: &Cluster<T>) {
    let name = key("a/b é%");
    cluster.set(&name, &json("{\"n\":9007199254740993}")).await.ok().expect("the quorum is there");
    let leader = cluster.address(semisync::base::NodeRef::Leader);
    let found = cluster.client().get(leader, &name).await.expect("the leader answers").expect("it has the key");
    assert_eq!((found.key, found.version.get()), (name.clone(), 1));
    settle(cluster).await;
    for node in cluster.nodes() {
        let address = cluster.address(node);
        let found = cluster.client().get(address, &name).await.expect("it answers").expect("it has the key");
        assert_eq!(found.value, json("{\"n\":9007199254740993}"), "{node}");
        assert_eq!(cluster.client().get(address, &key("never written")).await.expect("it answers"), None, "{node}");
    }
}
