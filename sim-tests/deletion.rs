//! Keys that are deleted, over HTTP on loopback TCP.

use semisync::base::wire::ReplicateRequest;
use semisync::base::{FollowerId, NodeId, Requests, Version};
use semisync::client::{Failed, Outcome, ReadError};
use semisync::net::HostPort;

use crate::stories::settle;
use crate::support::raw::{get, post_json};
use crate::support::tcp::{Running, TcpCluster, follower_config};
use crate::support::{json, key, until};

fn written(version: u64) -> (u16, String) {
    (200, format!(r#"{{"ok":true,"confirmations":2,"required":2,"version":{version}}}"#))
}

const NOT_FOUND: &str = r#"{"detail":"Not found"}"#;

/// How many deleted keys a node remembers.
async fn tombstones(node: &Running) -> u64 {
    let metrics = get(node.address, "/metrics").await.1;
    let line = metrics.lines().find_map(|line| line.strip_prefix("semisync_tombstones "));
    line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no count of tombstones in\n{metrics}"))
}

#[tokio::test]
async fn a_deleted_key_is_gone_everywhere() {
    let nodes = TcpCluster::start(2, 2, (0, 5)).await;
    let leader = nodes.leader.address;
    let delete = async |body: &str| post_json(leader, "/delete", body).await;
    assert_eq!(post_json(leader, "/set", r#"{"key":"a/b","value":null}"#).await, written(1));
    assert_eq!(post_json(leader, "/set", r#"{"key":"c","value":2}"#).await, written(1));
    assert_eq!(delete(r#"{"key":"a/b"}"#).await, written(2));
    for node in [&nodes.leader].into_iter().chain(&nodes.followers) {
        assert_eq!(get(node.address, "/get/a%2Fb").await, (404, NOT_FOUND.into()));
        assert_eq!(get(node.address, "/get/a%2Fb?min_version=2").await, (404, NOT_FOUND.into()));
        assert_eq!(get(node.address, "/dump").await.1, r#"{"c":{"value":2,"version":1}}"#);
    }
    for mode in ["local", "committed", "linearizable"] {
        assert_eq!(get(leader, &format!("/get/a%2Fb?read={mode}")).await, (404, NOT_FOUND.into()), "{mode}");
    }
    // What is not there is deleted too; and what comes after goes on counting, whoever remembers the deletion.
    assert_eq!(delete(r#"{"key":"a/b","unknown":1}"#).await, written(3));
    assert_eq!(post_json(leader, "/set", r#"{"key":"a/b","value":4}"#).await, written(4));
    assert_eq!(post_json(leader, "/set", r#"{"key":"d","value":5}"#).await, written(4));
    settle(&nodes.cluster).await;
    for node in [&nodes.leader].into_iter().chain(&nodes.followers) {
        until(async || (tombstones(node).await == 0).then_some(())).await;
    }
}

#[tokio::test]
async fn a_version_can_be_asked_for() {
    let nodes = TcpCluster::start(2, 2, (0, 0)).await;
    let (client, leader) = (nodes.cluster.client(), HostPort::from(nodes.leader.address));
    let (x, one) = (key("x"), json("1"));
    let current = |outcome: Outcome<_>| match outcome {
        Outcome::Failed(Failed::Conflict { current }) => current,
        other => panic!("no conflict: {other:?}"),
    };
    assert_eq!(current(client.delete_if(&leader, &x, 1).await), 0);
    assert!(client.set_if(&leader, &x, &one, 0).await.is_ok());
    assert_eq!(current(client.delete_if(&leader, &x, 0).await), 1);
    assert_eq!(current(client.delete_if(&leader, &x, 2).await), 1);
    assert_eq!(client.delete_if(&leader, &x, 1).await.ok().map(|answer| answer.version.get()), Some(2));
    assert_eq!(current(client.set_if(&leader, &x, &one, 2).await), 0, "a deleted key has no version");
    assert_eq!(current(client.delete_if(&leader, &x, 1).await), 0);
    assert_eq!(client.delete_if(&leader, &x, 0).await.ok().map(|answer| answer.version.get()), Some(3));
    assert_eq!(client.set_if(&leader, &x, &one, 0).await.ok().map(|answer| answer.version.get()), Some(4));
    assert!(matches!(
        client.get_from(&leader, &key("y"), Version::new(3).unwrap()).await,
        Err(ReadError::Refused { .. })
    ));
}

#[tokio::test]
async fn what_cannot_be_deleted_is_refused() {
    let nodes = TcpCluster::start(1, 1, (0, 0)).await;
    let follower = nodes.followers[0].address;
    let refused = post_json(follower, "/delete", r#"{"key":"x"}"#).await;
    assert_eq!(refused, (403, r#"{"detail":"Only leader accepts writes"}"#.into()));
    for (body, status, says) in [
        ("", 400, "not JSON"),
        ("{}", 422, "`key`"),
        (r#"["x"]"#, 422, "expected an object"),
        (r#"{"key":""}"#, 422, "1 to 1024 bytes"),
        (r#"{"key":7}"#, 422, "`key`"),
        (r#"{"key":"x","if_version":-1}"#, 422, "`if_version`: -1: must be a whole number from 0 to 9007199254740992"),
        (r#"{"key":"x","if_version":9007199254740993}"#, 422, "`if_version`: 9007199254740993: must be"),
        (r#"{"key":"x","if_version":"1"}"#, 422, "`if_version`"),
    ] {
        let answer = post_json(nodes.leader.address, "/delete", body).await;
        assert!(answer.0 == status && answer.1.contains(says), "{body}: {answer:?}");
    }
    assert_eq!(get(nodes.leader.address, "/delete").await.0, 405);
    // By hand, a deletion is said with the value null.
    let by_hand = |value: &str, deleted: &str, version: u64| {
        format!(r#"{{"key":"h","value":{value},"deleted":{deleted},"version":{version}}}"#)
    };
    assert_eq!(post_json(follower, "/replicate", &by_hand("1", "false", 3)).await.0, 200);
    let wrong = post_json(follower, "/replicate", &by_hand("1", "true", 4)).await;
    assert!(wrong.0 == 422 && wrong.1.contains("`deleted`"), "{wrong:?}");
    let stale = post_json(follower, "/replicate", &by_hand("null", "true", 3)).await;
    assert_eq!(stale.1, r#"{"ok":true,"applied":false,"reason":"stale_version"}"#);
    assert_eq!(get(follower, "/get/h").await.1, r#"{"key":"h","value":1,"version":3}"#);
    assert_eq!(post_json(follower, "/replicate", &by_hand("null", "true", 4)).await.1, r#"{"ok":true,"applied":true}"#);
    assert_eq!(get(follower, "/get/h").await.0, 404);
    assert_eq!(get(follower, "/dump").await.1, "{}");
    assert!(get(follower, "/metrics").await.1.contains("\nsemisync_keys 0\n"));
}

/// While a follower is down a deletion is remembered, and the metric says so. When it is back, with an empty memory, it is brought up
/// to date, and all forget.
#[tokio::test]
async fn a_deletion_is_remembered_while_a_follower_is_down() {
    let mut nodes = TcpCluster::start(2, 1, (0, 0)).await;
    let x = key("x");
    assert!(nodes.cluster.set(&x, &json("1")).await.is_ok());
    settle(&nodes.cluster).await;
    let down = nodes.followers.pop().expect("there are two");
    let port = down.address.port();
    down.kill().await;
    assert!(nodes.cluster.delete(&x).await.is_ok());
    assert_eq!((tombstones(&nodes.leader).await, tombstones(&nodes.followers[0]).await), (1, 1));
    let back = Running::start(follower_config(port)).await;
    for node in [&nodes.leader, &nodes.followers[0], &back] {
        until(async || (tombstones(node).await == 0).then_some(())).await;
    }
    settle(&nodes.cluster).await;
    assert_eq!(nodes.cluster.set(&x, &json("2")).await.ok().map(|answer| answer.version.get()), Some(3));
}

/// What is written by hand over a deletion, or deleted by hand over a value, is the follower's own.
#[tokio::test]
async fn by_hand_and_by_the_leader() {
    let nodes = TcpCluster::start(1, 1, (0, 0)).await;
    let (client, follower) = (nodes.cluster.client(), HostPort::from(nodes.followers[0].address));
    let x = key("x");
    assert!(nodes.cluster.set(&x, &json("1")).await.is_ok());
    let by_hand = |deleted: bool, version: u64| ReplicateRequest {
        key: key("x"),
        value: json(if deleted { "null" } else { "7" }),
        deleted,
        version: Version::new(version).unwrap(),
        epoch: None,
        leader: None,
        requests: Requests::default(),
    };
    assert!(client.replicate(&follower, &by_hand(true, 2)).await.unwrap().applied);
    assert_eq!(client.get(&follower, &x).await.unwrap(), None);
    assert!(nodes.cluster.set(&x, &json("2")).await.is_ok());
    assert_eq!(client.get(&follower, &x).await.unwrap().map(|found| found.version.get()), Some(2));
    assert!(nodes.cluster.delete(&x).await.is_ok());
    assert!(client.replicate(&follower, &by_hand(false, 9)).await.unwrap().applied);
    assert_eq!(client.get(&follower, &x).await.unwrap().map(|found| found.version.get()), Some(9));
    assert!(nodes.cluster.delete(&x).await.is_ok());
    let follower = NodeId::from(FollowerId(0));
    assert!(nodes.cluster.dump(follower).await.unwrap().is_empty());
}
