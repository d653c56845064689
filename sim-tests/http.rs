//! The HTTP interface, to the letter: what is documented, and every kind of bad input. After each the node goes on.

use std::time::Duration;

use semisync::base::{Key, Version};
use semisync::client::{Client, Failed, Outcome, ReadError};
use semisync::net::{HostPort, Tcp};
use semisync::node::{Config, Role};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::raw::{self, RawAnswer, exchange, get, post_json, request};
use crate::support::tcp::{Running, TcpCluster, follower_config, leader_config};
use crate::support::until;

/// The `detail` of an error answer, which has no other field.
fn detail(answer: &RawAnswer) -> String {
    let fields: serde_json::Map<String, Value> = serde_json::from_str(&answer.1).expect("an object");
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["detail"], "{answer:?}");
    fields["detail"].as_str().expect("a text").to_owned()
}

async fn lone_leader() -> Running {
    Running::start(leader_config(Vec::new(), 0, (0, 0))).await
}

#[tokio::test]
async fn the_documented_answers() {
    let nodes = TcpCluster::start(2, 2, (0, 0)).await;
    let (leader, follower) = (nodes.leader.address, nodes.followers[0].address);
    let set = post_json(leader, "/set", r#"{"key":"x","value":{"a":[1,2]}}"#).await;
    assert_eq!(set, (200, r#"{"ok":true,"confirmations":2,"required":2,"version":1}"#.into()));
    for node in [leader, follower] {
        let found = (200, r#"{"key":"x","value":{"a":[1,2]},"version":1}"#.to_owned());
        assert_eq!(get(node, "/get/x").await, found);
        assert_eq!(get(node, "/dump").await, (200, r#"{"x":{"value":{"a":[1,2]},"version":1}}"#.into()));
        assert_eq!(get(node, "/get/y").await, (404, r#"{"detail":"Not found"}"#.into()));
    }
    let refused = post_json(follower, "/set", r#"{"key":"x","value":1}"#).await;
    assert_eq!(refused, (403, r#"{"detail":"Only leader accepts writes"}"#.into()));
    let refused = post_json(leader, "/replicate", r#"{"key":"x","value":1,"version":1}"#).await;
    assert_eq!(refused.0, 403);
    assert_eq!(detail(&refused), "Only followers accept replication");
    let by_hand = r#"{"key":"hand","value":"v","version":3}"#;
    assert_eq!(post_json(follower, "/replicate", by_hand).await, (200, r#"{"ok":true,"applied":true}"#.into()));
    let stale = (200, r#"{"ok":true,"applied":false,"reason":"stale_version"}"#.to_owned());
    assert_eq!(post_json(follower, "/replicate", by_hand).await, stale);
    let older = r#"{"key":"hand","value":"w","version":2}"#;
    assert_eq!(post_json(follower, "/replicate", older).await, stale);
    assert_eq!(get(follower, "/get/hand").await.1, r#"{"key":"hand","value":"v","version":3}"#);
    assert_eq!(get(leader, "/health").await, (200, r#"{"status":"ok","role":"leader"}"#.into()));
    assert_eq!(get(follower, "/health").await, (200, r#"{"status":"ok","role":"follower"}"#.into()));
    assert_eq!(get(follower, "/ready").await.0, 200);
    assert_eq!(get(leader, "/ready").await.0, 200);
}

#[tokio::test]
async fn the_array_form_of_replicate() {
    let follower = Running::follower().await;
    let batch =
        r#"[{"key":"a","value":1,"version":2},{"key":"a","value":0,"version":1},{"key":"b","value":1,"version":1}]"#;
    let answer = post_json(follower.address, "/replicate", batch).await;
    let stale = r#"{"ok":true,"applied":false,"reason":"stale_version"}"#;
    let applied = r#"{"ok":true,"applied":true}"#;
    assert_eq!(answer, (200, format!("[{applied},{stale},{applied}]")));
    assert_eq!(post_json(follower.address, "/replicate", "[]").await, (200, "[]".into()));
    let one = r#"[{"key":"one","value":1,"version":1}]"#;
    assert_eq!(post_json(follower.address, "/replicate", one).await, (200, format!("[{applied}]")));
    let bare = post_json(follower.address, "/replicate", r#"[["one",1,2]]"#).await;
    assert!(bare.0 == 422 && detail(&bare).contains("expected an object"), "{bare:?}");
    // One bad item, and nothing of the batch is applied.
    let bad = r#"[{"key":"c","value":1,"version":1},{"key":"c","value":1,"version":0}]"#;
    let answer = post_json(follower.address, "/replicate", bad).await;
    assert_eq!(answer.0, 422);
    assert!(detail(&answer).contains("[1].version"), "{answer:?}");
    assert_eq!(get(follower.address, "/dump").await.1.matches("\"c\"").count(), 0);
}

#[tokio::test]
async fn a_semisync_leader_is_told_what_is_stored_instead_of_a_stale_write() {
    let follower = Running::follower().await;
    let with_ordinal = "content-type: application/json\r\nsemisync-request: 0.1\r\n";
    post_json(follower.address, "/replicate", r#"{"key":"a","value":1,"version":5}"#).await;
    let stale = r#"{"key":"a","value":0,"version":4}"#;
    let answer = exchange(follower.address, &request("POST", "/replicate", with_ordinal, stale)).await;
    assert_eq!(answer.1, r#"{"ok":true,"applied":false,"reason":"stale_version","version":5}"#);
}

#[tokio::test]
async fn bad_bodies() {
    let leader = lone_leader().await;
    for (body, status, says) in [
        ("", 400, "not JSON"),
        ("{", 400, "not JSON"),
        ("nonsense", 400, "not JSON"),
        (r#"{"key":"x","value":NaN}"#, 400, "not JSON"),
        (r#"{"key":"x","value":Infinity}"#, 400, "not JSON"),
        (r#"{"key":"x","value":-Infinity}"#, 400, "not JSON"),
        (r#"{"key":"x","value":1} 2"#, 400, "not JSON"),
        ("[]", 422, "expected an object"),
        (r#"["x",1]"#, 422, "expected an object"),
        ("5", 422, "expected an object"),
        ("{}", 422, "`key`"),
        (r#"{"value":1}"#, 422, "`key`"),
        (r#"{"key":"x"}"#, 422, "`value`"),
        (r#"{"key":1,"value":1}"#, 422, "`key`"),
        (r#"{"key":null,"value":1}"#, 422, "`key`"),
        (r#"{"key":["x"],"value":1}"#, 422, "`key`"),
        (r#"{"key":"","value":1}"#, 422, "`key`"),
        (r#"{"key":"x","key":"y","value":1}"#, 422, "`key`"),
        (r#"{"key":"x","value":1,"ifVersion":3}"#, 422, "`ifVersion`: must be written `if_version`"),
        ("\u{feff}{\"key\":\"x\",\"value\":1}", 400, "byte order mark of UTF-8"),
    ] {
        let answer = post_json(leader.address, "/set", body).await;
        assert_eq!(answer.0, status, "{body}: {answer:?}");
        assert!(detail(&answer).contains(says), "{body}: {answer:?}");
    }
    let too_long = format!(r#"{{"key":"{}","value":1}}"#, "k".repeat(1025));
    assert!(detail(&post_json(leader.address, "/set", &too_long).await).contains("1 to 1024 bytes"));
    assert_eq!(get(leader.address, "/dump").await, (200, "{}".into()), "a refused write left something behind");
}

#[tokio::test]
async fn bad_versions() {
    let follower = Running::follower().await;
    for version in ["0", "-1", "9007199254740993", "1e3", "1.0", "\"1\"", "null", "true", "18446744073709551616"] {
        let body = format!(r#"{{"key":"x","value":1,"version":{version}}}"#);
        let answer = post_json(follower.address, "/replicate", &body).await;
        assert_eq!(answer.0, 422, "{body}: {answer:?}");
        let detail = detail(&answer);
        assert!(detail.contains("`version`") && detail.contains("1 to 9007199254740992"), "{detail}");
    }
    let greatest = r#"{"key":"x","value":1,"version":9007199254740992}"#;
    assert_eq!(post_json(follower.address, "/replicate", greatest).await.1, r#"{"ok":true,"applied":true}"#);
}

#[tokio::test]
async fn values_come_back_as_they_went_in() {
    let nodes = TcpCluster::start(1, 1, (0, 0)).await;
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let values = [
        "null",
        "1e400",
        "9007199254740993",
        r#""\ud800""#,
        r#"{"a":1,"a":2}"#,
        "[ 1 , 2 ]",
        r#""\u00e9é\/""#,
        "-0",
        &deep,
    ];
    for value in values {
        let set = post_json(nodes.leader.address, "/set", &format!(r#"{{"key":"v","value":{value}}}"#)).await;
        assert_eq!(set.0, 200, "{value}: {set:?}");
        for node in [nodes.leader.address, nodes.followers[0].address] {
            let found = get(node, "/get/v").await.1;
            assert!(found.starts_with(&format!(r#"{{"key":"v","value":{value},"version":"#)), "{found}");
            let dump = get(node, "/dump").await.1;
            assert!(dump.contains(value));
            serde_json::from_str::<Box<serde_json::value::RawValue>>(&dump).expect("a dump is JSON");
        }
    }
    let too_deep = format!(r#"{{"key":"v","value":{}{}}}"#, "[".repeat(129), "]".repeat(129));
    let answer = post_json(nodes.leader.address, "/set", &too_deep).await;
    assert_eq!(answer.0, 422);
    assert!(detail(&answer).contains("128 levels"), "{answer:?}");
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let leader = lone_leader().await;
    let answer = post_json(leader.address, "/set", r#"{"ttl":{"a":[]},"key":"x","value":1,"version":9}"#).await;
    assert_eq!(answer.1, r#"{"ok":true,"confirmations":0,"required":0,"version":1}"#);
}

#[tokio::test]
async fn keys_of_every_kind() {
    let leader = lone_leader().await;
    let longest = "k".repeat(1024);
    for (in_json, in_path) in [
        ("plain", "plain"),
        ("a/b//c", "a/b//c"),
        ("a/b//c", "a%2Fb%2F%2Fc"),
        ("é ü 漢", "%C3%A9%20%C3%BC%20%E6%BC%A2"),
        ("é", "é"),
        ("100%", "100%25"),
        ("?#&=+", "%3F%23%26%3D+"),
        ("\\u0000\\n\\\"", "%00%0A%22"),
        ("...", "..."),
        (longest.as_str(), longest.as_str()),
    ] {
        let set = post_json(leader.address, "/set", &format!(r#"{{"key":"{in_json}","value":"{in_path}"}}"#)).await;
        assert_eq!(set.0, 200, "{in_json}: {set:?}");
        let found = get(leader.address, &format!("/get/{in_path}")).await;
        assert_eq!(found.0, 200, "{in_path}: {found:?}");
        assert!(found.1.contains(&format!(r#""value":"{in_path}""#)), "{found:?}");
    }
    assert_eq!(get(leader.address, &format!("/get/{}", "k".repeat(1025))).await.0, 422);
    assert_eq!(get(leader.address, "/get/%ff").await.0, 400);
    // What no client can read again is not written; that it is not there can be asked all the same.
    for key in [".", ".."] {
        let refused = post_json(leader.address, "/set", &format!(r#"{{"key":"{key}","value":1}}"#)).await;
        assert_eq!(refused.0, 422, "{refused:?}");
        assert!(detail(&refused).contains("cannot be read again"), "{refused:?}");
        assert_eq!(post_json(leader.address, "/delete", &format!(r#"{{"key":"{key}"}}"#)).await.0, 200);
        assert_eq!(get(leader.address, &format!("/get/{key}")).await.0, 404);
    }
    assert_eq!(get(leader.address, "/get/").await.0, 404);
    let dump: serde_json::Map<String, Value> = serde_json::from_str(&get(leader.address, "/dump").await.1).unwrap();
    assert!(dump.keys().is_sorted());
}

#[tokio::test]
async fn wrong_methods_paths_and_types() {
    let leader = lone_leader().await;
    for (method, path, status) in [
        ("GET", "/set", 405),
        ("PUT", "/set", 405),
        ("POST", "/get/x", 405),
        ("DELETE", "/dump", 405),
        ("GET", "/", 404),
        ("POST", "/sets", 404),
        ("GET", "/set/", 404),
    ] {
        let answer = exchange(leader.address, &request(method, path, "content-type: application/json\r\n", "{}")).await;
        assert_eq!(answer.0, status, "{method} {path}: {answer:?}");
        assert!(!detail(&answer).is_empty());
    }
    for content_type in ["", "content-type: text/plain\r\n", "content-type: application/x-www-form-urlencoded\r\n"] {
        let body = r#"{"key":"x","value":1}"#;
        let answer = exchange(leader.address, &request("POST", "/set", content_type, body)).await;
        assert_eq!(answer.0, 415, "{content_type}: {answer:?}");
        assert!(detail(&answer).contains("application/json"));
    }
    // On a follower the role comes first: whatever the body is, it is not the leader.
    let follower = Running::follower().await;
    assert_eq!(post_json(follower.address, "/set", "nonsense").await.0, 403);
}

#[tokio::test]
async fn a_body_over_the_limit() {
    let leader = Running::start(Config { max_body: 2048, ..leader_config(Vec::new(), 0, (0, 0)) }).await;
    let body = |length: usize| format!(r#"{{"key":"x","value":"{}"}}"#, "v".repeat(length - 22));
    assert_eq!(body(2048).len(), 2048);
    assert_eq!(post_json(leader.address, "/set", &body(2048)).await.0, 200);
    let answer = post_json(leader.address, "/set", &body(2049)).await;
    assert_eq!(answer.0, 413);
    assert!(detail(&answer).contains("2048 bytes"), "{answer:?}");
    // Without an announced length it is found out on the way.
    let head = "POST /set HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let chunked = format!("{head}{:x}\r\n{}\r\n0\r\n\r\n", 2049, body(2049));
    assert_eq!(exchange(leader.address, chunked.as_bytes()).await.0, 413);
    assert_eq!(get(leader.address, "/get/x").await.0, 200);
}

/// What a leader takes from a client it can hand on: the version that it adds must not make it too large.
#[tokio::test]
async fn a_body_at_the_limit_is_replicated() {
    let limit = 1 << 16;
    let follower = Running::start(Config { max_body: limit, ..follower_config(0) }).await;
    let config = leader_config(vec![follower.address.into()], 1, (0, 0));
    let leader = Running::start(Config { max_body: limit, ..config }).await;
    let body = format!(r#"{{"key":"x","value":"{}"}}"#, "v".repeat(limit - 22));
    assert_eq!(body.len(), limit);
    let answer = post_json(leader.address, "/set", &body).await;
    assert_eq!(answer, (200, r#"{"ok":true,"confirmations":1,"required":1,"version":1}"#.into()));
}

#[tokio::test]
async fn idle_connections_do_not_keep_others_out_below_the_limit() {
    let follower = Running::start(Config { max_connections: 200, ..follower_config(0) }).await;
    let mut idle = Vec::new();
    for _ in 0..199 {
        idle.push(TcpStream::connect(follower.address).await.expect("a place"));
    }
    assert_eq!(get(follower.address, "/health").await.0, 200);
}

#[tokio::test]
async fn a_connection_over_the_limit_is_told_so() {
    let follower = Running::start(Config { max_connections: 2, ..follower_config(0) }).await;
    let mut first = TcpStream::connect(follower.address).await.expect("a place");
    let mut second = TcpStream::connect(follower.address).await.expect("a place");
    let mut third = TcpStream::connect(follower.address).await.expect("the kernel takes it");
    let refused = timeout(Duration::from_secs(30), raw::read_answer(&mut third)).await.expect("an answer in time");
    assert_eq!(refused, (503, r#"{"detail":"Too many connections"}"#.into()));
    // The two that have a place keep it, and a place that is given back is taken again.
    for stream in [&mut first, &mut second] {
        stream.write_all(&request("GET", "/health", "", "")).await.expect("it is open");
        assert_eq!(raw::read_answer(stream).await.0, 200);
    }
    let next = crate::support::until(async || {
        let mut stream = TcpStream::connect(follower.address).await.ok()?;
        stream.write_all(&request("GET", "/health", "", "")).await.ok()?;
        Some(raw::read_answer(&mut stream).await.0).filter(|status| *status == 200)
    });
    assert_eq!(next.await, 200);
}

#[tokio::test]
async fn what_is_not_http_is_turned_away() {
    let follower = Running::follower().await;
    let (status, _) = exchange(follower.address, b"\x16\x03\x01\x02\x00 not a request\r\n\r\n").await;
    assert_eq!(status, 400);
    let huge_header = format!("GET /health HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let mut stream = TcpStream::connect(follower.address).await.expect("it listens");
    // It may close before it has read all of that.
    let _ = stream.write_all(huge_header.as_bytes()).await;
    assert_eq!(get(follower.address, "/health").await.0, 200);
}

#[tokio::test]
async fn metrics_are_openmetrics() {
    let nodes = TcpCluster::start(2, 1, (0, 0)).await;
    post_json(nodes.leader.address, "/set", r#"{"key":"x","value":1}"#).await;
    crate::stories::settle(&nodes.cluster).await;
    assert_eq!(get(nodes.leader.address, "/get/none").await.0, 404);
    let of_leader = get(nodes.leader.address, "/metrics").await.1;
    let [f1, f2] = [0, 1].map(|place: usize| nodes.followers[place].address);
    for line in [
        "semisync_keys 1",
        r#"semisync_writes_total{outcome="ok"} 1"#,
        &format!(r#"semisync_replication_messages_total{{follower="f2",address="{f2}",result="stored"}} 1"#),
        &format!(r#"semisync_follower_lag_keys{{follower="f1",address="{f1}"}} 0"#),
        &format!(r#"semisync_follower_lag_seconds{{follower="f1",address="{f1}"}} 0.0"#),
        r#"semisync_refused_requests_total{reason="not_found"} 1"#,
        "semisync_recoveries_total 1",
        "semisync_step_downs_total 0",
        "semisync_epoch 1",
        "semisync_leader 1",
        "semisync_ready 1",
        "semisync_log_lines_dropped_total 0",
        "semisync_write_latency_seconds_count 1",
        "# EOF",
    ] {
        assert!(of_leader.lines().any(|other| other == line), "no line {line:?} in\n{of_leader}");
    }
    assert_eq!(post_json(f1, "/set", r#"{"key":"x","value":1}"#).await.0, 403);
    let of_follower = get(f1, "/metrics").await.1;
    for line in [
        r#"semisync_replicated_writes_total{result="applied"} 1"#,
        r#"semisync_refused_requests_total{reason="not_leader"} 1"#,
        "semisync_leader 0",
        "semisync_ready 1",
        "semisync_epoch 1",
    ] {
        assert!(of_follower.lines().any(|other| other == line), "no line {line:?} in\n{of_follower}");
    }
}

/// A follower that a leader has asked, and not brought up to date, stores nothing that means anything; so does a leader that waits.
#[tokio::test]
async fn a_node_that_recovers_shows_no_half_of_a_store() {
    let follower = Running::follower().await;
    let by_hand = r#"{"key":"x","value":1,"version":1}"#;
    assert_eq!(post_json(follower.address, "/replicate", by_hand).await.0, 200);
    let found = (200, r#"{"x":{"value":1,"version":1}}"#.to_owned());
    assert_eq!(get(follower.address, "/dump").await, found, "no leader has ever asked it");
    // Of the two followers that the leader has, one is not there, and both must confirm a write.
    let gone = Running::follower().await;
    let addresses = vec![follower.address.into(), gone.address.into()];
    gone.kill().await;
    let leader = Running::start(leader_config(addresses, 2, (0, 0))).await;
    crate::support::until(async || (get(follower.address, "/dump").await.0 == 503).then_some(())).await;
    let (status, detail) = get(follower.address, "/dump").await;
    assert!(status == 503 && detail.contains("has just started"), "{status} {detail}");
    assert_eq!(get(follower.address, "/get/y").await.0, 503);
    let (status, detail) = get(leader.address, "/dump").await;
    assert!(status == 503 && detail.contains("cannot connect"), "{status} {detail}");
}

/// What a leader knows of its followers, and they of it.
#[tokio::test]
async fn a_status_tells_of_each_follower() {
    let mut nodes = TcpCluster::start(2, 1, (0, 0)).await;
    post_json(nodes.leader.address, "/set", r#"{"key":"x","value":1}"#).await;
    crate::stories::settle(&nodes.cluster).await;
    let client = nodes.cluster.client().clone();
    let leader = nodes.leader.address.into();
    let status = client.status(&leader).await.expect("it answers");
    assert_eq!(
        (status.role.as_str(), status.ready, status.serves, status.write_quorum),
        ("leader", true, Some(true), Some(1))
    );
    assert_eq!((status.keys, status.epoch, status.followers.len()), (1, 1, 2));
    let of_f1 = &status.followers[0];
    assert_eq!((of_f1.follower.as_str(), of_f1.address.clone()), ("f1", nodes.followers[0].address.to_string()));
    assert!(
        of_f1.counts && of_f1.progress == "current" && of_f1.why.is_none() && of_f1.heard_ago_s.is_some(),
        "{of_f1:?}"
    );
    let of_follower = client.status(&nodes.followers[0].address.into()).await.expect("it answers");
    assert_eq!((of_follower.role.as_str(), of_follower.ready, of_follower.epoch), ("follower", true, 1));
    assert!(of_follower.leader.is_some_and(|leader| leader.heard_ago_s < 2.0));
    // One that is gone is named with the reason; the other is enough.
    nodes.followers.pop().expect("there are two").kill().await;
    post_json(nodes.leader.address, "/set", r#"{"key":"x","value":2}"#).await;
    let gone = crate::support::until(async || {
        let status = client.status(&leader).await.expect("it answers");
        let [_, gone] = &status.followers[..] else { panic!("two followers: {status:?}") };
        (status.ready && !gone.counts && gone.keys_behind == 1 && gone.behind_for_s.is_some()).then(|| gone.clone())
    })
    .await;
    assert!(gone.last_error.as_ref().is_some_and(|error| error.starts_with("cannot connect")), "{gone:?}");
    assert!(
        gone.why.as_ref().is_some_and(|why| why.ends_with("start it, or correct its address in FOLLOWERS")),
        "{gone:?}"
    );
}

/// Deletions that cannot be forgotten, because a follower is down, are passed over, however many they are.
#[tokio::test]
async fn a_dump_leaves_out_what_was_deleted() {
    let mut nodes = TcpCluster::start(2, 1, (0, 0)).await;
    nodes.followers.remove(1).kill().await;
    let leader = nodes.leader.address;
    for number in 0..1500 {
        assert_eq!(post_json(leader, "/delete", &format!(r#"{{"key":"{number:04}"}}"#)).await.0, 200);
    }
    let follower = nodes.followers[0].address;
    for node in [leader, follower] {
        assert_eq!(get(node, "/dump").await, (200, "{}".into()));
    }
    for key in ["0000", "zzzz"] {
        assert_eq!(post_json(leader, "/set", &format!(r#"{{"key":"{key}","value":1}}"#)).await.0, 200);
    }
    let dump = get(leader, "/dump").await.1;
    let keys: Vec<String> =
        serde_json::from_str::<serde_json::Map<String, Value>>(&dump).unwrap().keys().cloned().collect();
    assert_eq!(keys, ["0000", "zzzz"]);
}

#[tokio::test]
async fn a_dump_of_many_keys_is_whole_and_sorted() {
    let follower = Running::follower().await;
    let value = "v".repeat(500);
    let item = |n: usize| format!(r#"{{"key":"k{n:05}","value":"{value}","version":1}}"#);
    let batch: Vec<String> = (0..2000).map(item).collect();
    let answer = post_json(follower.address, "/replicate", &format!("[{}]", batch.join(","))).await;
    assert_eq!(answer.0, 200);
    let dump = get(follower.address, "/dump").await.1;
    let expected: Vec<String> = (0..2000).map(|n| format!(r#""k{n:05}":{{"value":"{value}","version":1}}"#)).collect();
    assert_eq!(dump, format!("{{{}}}", expected.join(",")));
}

/// The `detail` and the `version` of an answer that says which version a key has instead of the one that was asked for.
fn conflict(answer: &RawAnswer) -> (String, u64) {
    let fields: serde_json::Map<String, Value> = serde_json::from_str(&answer.1).expect("an object");
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["detail", "version"], "{answer:?}");
    (fields["detail"].as_str().expect("a text").to_owned(), fields["version"].as_u64().expect("a number"))
}

#[tokio::test]
async fn a_write_for_another_version_is_refused() {
    let leader = lone_leader().await;
    let set = async |value: u64, if_version: &str| {
        let body = format!(r#"{{"key":"x","value":{value},"if_version":{if_version}}}"#);
        post_json(leader.address, "/set", &body).await
    };
    let written = |version| format!(r#"{{"ok":true,"confirmations":0,"required":0,"version":{version}}}"#);
    let none = set(1, "1").await;
    assert_eq!((none.0, conflict(&none)), (409, ("key \"x\" has version 0 (not there), not 1".into(), 0)));
    assert_eq!(set(2, "0").await, (200, written(1)));
    let there = set(3, "0").await;
    assert_eq!((there.0, conflict(&there)), (409, ("key \"x\" has version 1, not 0 (not there)".into(), 1)));
    assert_eq!(set(4, "1").await, (200, written(2)));
    assert_eq!(conflict(&set(5, "1").await), ("key \"x\" has version 2, not 1".into(), 2));
    assert_eq!(set(6, "null").await, (200, written(3)), "any version will do");
    for wrong in ["-1", "1.5", "\"1\""] {
        let answer = set(7, wrong).await;
        assert!(answer.0 == 422 && detail(&answer).contains("`if_version`"), "{answer:?}");
    }
    assert_eq!(get(leader.address, "/get/x").await.1, r#"{"key":"x","value":6,"version":3}"#);
}

/// Clients that read, add one and write if nobody else has meanwhile lose no step of each other.
#[tokio::test]
async fn counters_that_are_written_by_many_lose_nothing() {
    const CLIENTS: u64 = 8;
    const STEPS: u64 = 20;
    let nodes = TcpCluster::start(2, 1, (0, 2)).await;
    let leader = HostPort::from(nodes.leader.address);
    let (key, value) =
        (Key::new("counter").unwrap(), |n: u64| semisync::base::Value::from_json(&n.to_string()).unwrap());
    let client = Client::new(Tcp, Duration::from_secs(10));
    let conflicts = futures_util::future::join_all((0..CLIENTS).map(async |_| {
        let (mut done, mut conflicts) = (0, 0);
        while done < STEPS {
            let found = client.get(&leader, &key).await.expect("an answer");
            let (count, version) = found
                .map_or((0, 0), |found| (found.value.as_json().parse::<u64>().expect("a number"), found.version.get()));
            match client.set_if(&leader, &key, &value(count + 1), version).await {
                Outcome::Ok(_) => done += 1,
                Outcome::Failed(Failed::Conflict { current }) => {
                    assert!(current > version);
                    conflicts += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        conflicts
    }));
    assert!(conflicts.await.into_iter().sum::<u64>() > 0, "they race");
    let found = client.get(&leader, &key).await.expect("an answer").expect("a value");
    assert_eq!((found.value.as_json(), found.version.get()), ("160", CLIENTS * STEPS));
}

#[tokio::test]
async fn a_write_that_missed_its_quorum_says_that_its_end_is_open() {
    let follower = Running::follower().await;
    let mut config = leader_config(vec![follower.address.into()], 1, (0, 0));
    let Role::Leader(role) = &mut config.role else { panic!("it is a leader") };
    role.repl_timeout = Duration::from_millis(50);
    let leader = Running::start(config).await;
    until(async || (get(leader.address, "/ready").await.0 == 200).then_some(())).await;
    follower.kill().await;
    let (status, answer) = post_json(leader.address, "/set", r#"{"key":"x","value":1}"#).await;
    let says = r#"{"ok":false,"confirmations":0,"required":1,"version":1,"indeterminate":true,"detail":"0 of 1 followers count"#;
    assert!(status == 200 && answer.starts_with(says), "{status} {answer}");
    assert!(answer.contains("cannot connect"), "{answer}");
}

#[tokio::test]
async fn a_reader_waits_for_a_version() {
    let follower = Running::follower().await;
    let at = follower.address;
    let write = async |version: u64| {
        let body = format!(r#"{{"key":"a/b","value":{version},"version":{version}}}"#);
        assert_eq!(post_json(at, "/replicate", &body).await.0, 200);
    };
    write(1).await;
    let found = |version| (200, format!(r#"{{"key":"a/b","value":{version},"version":{version}}}"#));
    assert_eq!(get(at, "/get/a%2Fb?min_version=1").await, found(1));
    // It is not there yet: the reader gets it once it is, and not before.
    let (early, late) = tokio::join!(get(at, "/get/a%2Fb?min_version=3&read=local"), async {
        write(2).await;
        assert_eq!(get(at, "/get/a%2Fb").await, found(2));
        write(4).await;
    });
    assert_eq!((early, late), (found(4), ()));
    // Another key is nobody's concern, and what does not come is given up.
    let (absent, older, ()) =
        tokio::join!(get(at, "/get/c?min_version=1"), get(at, "/get/a%2Fb?min_version=9"), write(5));
    assert_eq!(
        (absent.0, conflict(&absent)),
        (504, ("key \"c\" has version 0 here, and not yet 1, after 5 s".into(), 0))
    );
    assert_eq!(
        (older.0, conflict(&older)),
        (504, ("key \"a/b\" has version 5 here, and not yet 9, after 5 s".into(), 5))
    );
    for wrong in ["", "0", "x", "9007199254740993"] {
        let answer = get(at, &format!("/get/c?min_version={wrong}")).await;
        assert_eq!(answer.0, 422);
        assert!(detail(&answer).starts_with("min_version = "), "{answer:?}");
    }
}

/// What a client has written it reads at any follower by the version that it was told.
#[tokio::test]
async fn a_client_reads_its_own_write_at_a_follower_that_is_behind() {
    let nodes = TcpCluster::start(3, 1, (0, 60)).await;
    let client = Client::new(Tcp, Duration::from_secs(10));
    let key = Key::new("x").unwrap();
    let mut behind = 0;
    for n in 0..10 {
        let value = semisync::base::Value::from_json(&n.to_string()).unwrap();
        let set = client.set(&HostPort::from(nodes.leader.address), &key, &value).await.ok().expect("acknowledged");
        for follower in &nodes.followers {
            let follower = HostPort::from(follower.address);
            let now = client.get(&follower, &key).await.expect("an answer");
            behind += u32::from(now.is_none_or(|found| found.version < set.version));
            let found = client.get_from(&follower, &key, set.version).await.expect("it comes");
            assert_eq!((found.value, found.version), (value.clone(), set.version));
        }
    }
    assert!(behind > 0, "no follower was ever behind");
    let leader = HostPort::from(nodes.leader.address);
    let never = client.get_from(&leader, &key, Version::MAX);
    assert!(matches!(never.await, Err(ReadError::NotYet { current: 10 })));
}
