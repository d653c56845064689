//! Writes that are asked for once more, over HTTP on loopback TCP.

use crate::stories::settle;
use crate::support::raw::{get, post_json};
use crate::support::tcp::TcpCluster;

fn written(version: u64) -> (u16, String) {
    (200, format!(r#"{{"ok":true,"confirmations":2,"required":2,"version":{version}}}"#))
}

#[tokio::test]
async fn a_retry_is_answered_as_the_first_and_writes_nothing() {
    let nodes = TcpCluster::start(3, 2, (0, 5)).await;
    let set = async |body: &str| post_json(nodes.leader.address, "/set", body).await;
    let first = r#"{"key":"x","value":1,"request_id":"r","if_version":0}"#;
    assert_eq!(set(first).await, written(1));
    assert_eq!(set(r#"{"key":"x","value":2}"#).await, written(2));
    assert_eq!(set(first).await, written(1));
    assert_eq!(get(nodes.leader.address, "/get/x").await.1, r#"{"key":"x","value":2,"version":2}"#);
    let others = [
        ("/set", r#"{"key":"x","value":1,"request_id":"r"}"#),
        ("/set", r#"{"key":"x","value":3,"request_id":"r","if_version":0}"#),
        ("/delete", r#"{"key":"x","request_id":"r","if_version":0}"#),
    ];
    for (path, body) in others {
        let (status, answer) = post_json(nodes.leader.address, path, body).await;
        assert_eq!(status, 409, "{answer}");
        assert!(
            answer.starts_with(r#"{"detail":"the request_id \"r\" was given to another write of key \"x\""#),
            "{answer}"
        );
    }
    assert_eq!(set(r#"{"key":"y","value":3,"request_id":"r"}"#).await, written(1), "of another key it is another name");
    settle(&nodes.cluster).await;
}

#[tokio::test]
async fn a_deletion_can_be_asked_for_once_more() {
    let nodes = TcpCluster::start(3, 2, (0, 5)).await;
    let leader = nodes.leader.address;
    assert_eq!(post_json(leader, "/set", r#"{"key":"x","value":1}"#).await, written(1));
    let delete = async || post_json(leader, "/delete", r#"{"key":"x","request_id":"r"}"#).await;
    assert_eq!(delete().await, written(2));
    settle(&nodes.cluster).await;
    assert_eq!(delete().await, written(2));
    assert_eq!(post_json(leader, "/set", r#"{"key":"x","value":2}"#).await, written(3));
    assert_eq!(delete().await, written(2));
    assert_eq!(get(leader, "/get/x").await.1, r#"{"key":"x","value":2,"version":3}"#);
}

#[tokio::test]
async fn what_is_no_name_is_refused() {
    let nodes = TcpCluster::start(1, 1, (0, 0)).await;
    let long = format!("{:?}", "r".repeat(65));
    for name in ["\"\"", &long, "1", "[\"r\"]"] {
        for (path, value) in [("/set", r#","value":1"#), ("/delete", "")] {
            let body = format!(r#"{{"key":"x","request_id":{name}{value}}}"#);
            let (status, answer) = post_json(nodes.leader.address, path, &body).await;
            assert!(status == 422 && answer.contains("request_id"), "{status} {answer}");
        }
    }
    let longest = format!(r#"{{"key":"x","value":1,"request_id":"{}"}}"#, "r".repeat(64));
    assert_eq!(post_json(nodes.leader.address, "/set", &longest).await.0, 200);
    assert_eq!(post_json(nodes.leader.address, "/set", r#"{"key":"x","value":1,"request_id":null}"#).await.0, 200);
    let many = format!("[{}]", [r#"{"id":"r","version":1,"asked":1}"#; 9].join(","));
    let by_hand = format!(r#"{{"key":"x","value":1,"version":9,"requests":{many}}}"#);
    let (status, answer) = post_json(nodes.followers[0].address, "/replicate", &by_hand).await;
    assert!(status == 422 && answer.contains("9 are too many; at most 8 can be"), "{status} {answer}");
}
