//! What a client can cost a node, and where it ends.

use std::time::Duration;

use semisync::core::Limits;
use semisync::node::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::support::pipes::{CAPACITY, Pipes};
use crate::support::raw::{self, exchange, get, post_json, request};
use crate::support::tcp::{Running, follower_config, leader_config};
use crate::support::until;

/// A request whose line and fields have this many bytes.
fn head_of(length: usize) -> Vec<u8> {
    let head = |filler: usize| request("GET", "/health", &format!("x-filler: {}\r\n", "f".repeat(filler)), "");
    head(length - head(0).len())
}

#[tokio::test]
async fn a_header_over_the_limit() {
    const LIMIT: usize = 16 << 10;
    let follower = Running::follower().await;
    let node = follower.address;
    assert_eq!(head_of(LIMIT).len(), LIMIT);
    assert_eq!(exchange(node, &head_of(LIMIT)).await.0, 200);
    assert_eq!(exchange(node, &head_of(LIMIT + 1)).await.0, 431);
    let long_path = format!("/get/{}", "k".repeat(LIMIT));
    assert_eq!(get(node, &long_path).await.0, 431);
    // The longest key fits, in the longest form that it has.
    let longest = format!("/get/{}?min_version=9007199254740992", "%6b".repeat(1024));
    let body = format!(r#"{{"key":"{}","value":1,"version":9007199254740992}}"#, "k".repeat(1024));
    assert_eq!(post_json(node, "/replicate", &body).await.0, 200);
    assert_eq!(get(node, &longest).await.0, 200);
}

#[tokio::test]
async fn more_header_fields_than_the_limit() {
    let follower = Running::follower().await;
    let node = follower.address;
    // Three fields are always there.
    let with = |fields: usize| request("GET", "/health", &"x: y\r\n".repeat(fields - 3), "");
    assert_eq!(exchange(node, &with(100)).await.0, 200);
    assert_eq!(exchange(node, &with(101)).await.0, 431);
}

/// Bodies that come in take room, whoever sends them; what is refused for it can be sent again.
#[tokio::test]
async fn bodies_that_come_in_are_bounded_together() {
    let config = Config { max_bodies: 10_000, ..follower_config(0) };
    let follower = Running::start(config).await;
    let node = follower.address;
    let body = |key: &str| format!(r#"{{"key":"{key}","version":1,"value":"{}"}}"#, "v".repeat(6_000));
    let slow = request("POST", "/replicate", "content-type: application/json\r\n", &body("slow"));
    let mut first = TcpStream::connect(node).await.expect("it listens");
    first.write_all(&slow[..slow.len() - 1]).await.expect("it reads");
    let refused = until(async || {
        let mut second = TcpStream::connect(node).await.expect("it listens");
        second
            .write_all(&request("POST", "/replicate", "content-type: application/json\r\n", &body("quick")))
            .await
            .ok()?;
        Some(raw::read_text(&mut second).await).filter(|answer| raw::parse(answer).0 != 200)
    })
    .await;
    let (status, detail) = raw::parse(&refused);
    assert!(status == 503 && detail.contains("leave no room"), "{refused}");
    assert!(refused.contains("\r\nretry-after: 1\r\n"), "{refused}");
    let small = r#"{"key":"small","version":1,"value":1}"#;
    assert_eq!(post_json(node, "/replicate", small).await.0, 200, "what is small still has room");
    first.write_all(&slow[slow.len() - 1..]).await.expect("it reads");
    assert_eq!(raw::read_answer(&mut first).await.0, 200, "what came first is finished");
    assert_eq!(post_json(node, "/replicate", &body("again")).await.0, 200);
}

/// A follower, in paused time, with a dump of about a MiB: far more than is ever under way.
async fn node_with_a_large_dump() -> Pipes {
    let node = Pipes::to_node(follower_config(0)).await;
    for n in 0..16 {
        let body = format!(r#"{{"key":"k{n}","version":1,"value":"{}"}}"#, "v".repeat(64 << 10));
        assert_eq!(node.ask("POST", "/replicate", &body).await.0, 200);
    }
    node
}

/// How many connections the node has besides the one that asks.
async fn other_connections(node: &Pipes) -> usize {
    let (_, metrics) = node.ask("GET", "/metrics", "").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix("semisync_connections ")).expect("it counts them");
    line.parse::<usize>().expect("a number") - 1
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_nothing_is_cut_off() {
    let node = node_with_a_large_dump().await;
    let mut stalled = node.open();
    stalled.write_all(&request("GET", "/dump", "", "")).await.expect("it reads");
    let began = Instant::now();
    while other_connections(&node).await > 0 {
        sleep(Duration::from_secs(1)).await;
        assert!(began.elapsed() < Duration::from_secs(120), "it is never cut off");
    }
    assert!((29..=32).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let mut got = Vec::new();
    stalled.read_to_end(&mut got).await.expect("the end of the connection");
    assert!(got.starts_with(b"HTTP/1.1 200 ") && got.len() <= CAPACITY, "{} bytes", got.len());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_goes_on_has_all_the_time_it_wants() {
    let node = node_with_a_large_dump().await;
    let mut steady = node.open();
    steady.write_all(&request("GET", "/dump", "", "")).await.expect("it reads");
    let began = Instant::now();
    let (mut got, mut piece) = (Vec::new(), [0; 8 << 10]);
    loop {
        sleep(Duration::from_secs(25)).await;
        match steady.read(&mut piece).await.expect("it is not cut off") {
            0 => break,
            length => got.extend_from_slice(&piece[..length]),
        }
    }
    assert!(began.elapsed() > Duration::from_secs(3000), "{:?}", began.elapsed());
    let (_, dump) = raw::parse(std::str::from_utf8(&got).expect("text"));
    assert_eq!(dump, node.ask("GET", "/dump", "").await.1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_used_again_is_closed() {
    let node = Pipes::to_node(follower_config(0)).await;
    let mut kept = node.open();
    let began = Instant::now();
    for asked in 1..=3 {
        kept.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is open");
        let answered = kept.read(&mut [0; 1024]).await.expect("it is open");
        assert!(answered > 0, "closed at request {asked}, after {:?}", began.elapsed());
        sleep(Duration::from_secs(25)).await;
    }
    let last_answer = began + Duration::from_secs(50);
    assert_eq!(kept.read(&mut [0; 1024]).await.expect("a clean end"), 0);
    assert_eq!(last_answer.elapsed().as_secs(), 30);
}

/// Past what may wait for a quorum, a write is refused before anything has happened, and says when to try again.
#[tokio::test]
async fn writes_that_wait_are_bounded_together() {
    let follower = Running::follower().await;
    // No message arrives before the deadline, so the first write waits for all of it.
    let config = leader_config(vec![follower.address.into()], 1, (60_000, 60_000));
    let limits = Limits { waiting: 1, ..Limits::default() };
    let leader = Running::start(Config { limits, ..config }).await;
    let node = leader.address;
    until(async || (get(node, "/ready").await.0 == 200).then_some(())).await;
    let first = tokio::spawn(async move { post_json(node, "/set", r#"{"key":"x","value":1}"#).await });
    until(async || (get(node, "/get/x").await.0 == 200).then_some(())).await;
    let mut stream = TcpStream::connect(node).await.expect("it listens");
    let second = request("POST", "/set", "content-type: application/json\r\n", r#"{"key":"y","value":1}"#);
    stream.write_all(&second).await.expect("it reads");
    let answer = raw::read_text(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    assert!(
        answer
            .trim_end()
            .ends_with(r#"{"detail":"too many operations wait for followers already (1); try again soon"}"#),
        "{answer}"
    );
    assert_eq!(get(node, "/get/y").await.0, 404);
    assert!(first.await.expect("no panic").1.starts_with(r#"{"ok":false"#));
    let third = tokio::spawn(async move { post_json(node, "/set", r#"{"key":"y","value":1}"#).await });
    until(async || (get(node, "/get/y").await.0 == 200).then_some(())).await;
    third.abort();
}

/// A follower may take less than its leader. What too few would take is refused before anything has happened, and who would not is
/// named; what enough take is written.
#[tokio::test]
async fn a_value_that_too_few_followers_would_take_is_refused() {
    let small = Running::start(Config { max_body: 2048, ..follower_config(0) }).await;
    let usual = Running::follower().await;
    let value = "v".repeat(9 << 20);
    for (write_quorum, status) in [(2, 413), (1, 200)] {
        let followers = vec![small.address.into(), usual.address.into()];
        let leader = Running::start(leader_config(followers, write_quorum, (0, 0))).await;
        let body = |value: &str| format!(r#"{{"key":"x","value":"{value}"}}"#);
        until(async || {
            Some(get(leader.address, "/status").await.1).filter(|it| it.matches("\"max_body\"").count() == 3)
        })
        .await;
        assert_eq!(post_json(leader.address, "/set", &body("small")).await.0, 200);
        let answer = post_json(leader.address, "/set", &body(&value)).await;
        assert_eq!(answer.0, status, "{answer:?}");
        if status == 413 {
            let named =
                format!("f1 ({}, MAX_BODY=2.0 KiB): only 1 of 2 followers would take it, and 2 must", small.address);
            assert!(answer.1.contains(&named), "{answer:?}");
            assert!(get(leader.address, "/get/x").await.1.contains("small"), "the refused write left something behind");
        }
        let ready = get(leader.address, "/ready").await.1;
        assert!(ready.contains("it has MAX_BODY=2.0 KiB, and the leader MAX_BODY=16.0 MiB: values over"), "{ready}");
        let report = &get(leader.address, "/status").await.1;
        assert!(report.contains("\"max_body\":2048"), "{report}");
        leader.kill().await;
    }
}
