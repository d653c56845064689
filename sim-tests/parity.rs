//! The stories on loopback TCP: the node that the simulator runs is the node that ships.

use crate::stories;
use crate::support::tcp::TcpCluster;

#[tokio::test]
async fn sequential_writes() {
    stories::sequential(&TcpCluster::start(5, 3, (0, 40)).await.cluster).await;
}

#[tokio::test]
async fn concurrent_writes_to_one_key() {
    stories::concurrent(&TcpCluster::start(5, 3, (0, 80)).await.cluster).await;
}

#[tokio::test]
async fn out_of_order_delivery() {
    stories::out_of_order(&TcpCluster::start(5, 5, (0, 80)).await.cluster).await;
}

#[tokio::test]
async fn reads_from_any_node() {
    stories::reads(&TcpCluster::start(3, 2, (0, 20)).await.cluster).await;
}

#[tokio::test]
async fn a_leader_without_followers_stands_alone() {
    stories::sequential(&TcpCluster::start(0, 0, (0, 0)).await.cluster).await;
}

#[tokio::test]
async fn without_delay() {
    let cluster = TcpCluster::start(5, 3, (0, 0)).await;
    stories::concurrent(&cluster.cluster).await;
}
