//! HTTP/1.1 at the level of bytes: what RFC 9110 and RFC 9112 ask of a server, and clients that send before they read.

use std::net::SocketAddr;
use std::time::Duration;

use semisync::node::{Config, CorsOrigins};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::raw::{self, exchange, get, post_json, request};
use crate::support::tcp::{Running, follower_config, leader_config};

/// Sends a request and reads the head and the body of the answers, with the connection closed behind it. A connection that the
/// node leaves open is closed by the other side.
async fn answers_to(node: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(node).await.expect("the node listens");
    stream.write_all(bytes).await.expect("the node reads");
    stream.shutdown().await.expect("it is open");
    raw::read_text(&mut stream).await
}

fn status_of(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

fn lines(lines: &[&str]) -> Vec<u8> {
    (lines.join("\r\n") + "\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn requests_are_taken_or_refused_as_the_standard_says() {
    let leader = Running::start(leader_config(Vec::new(), 0, (0, 0))).await;
    for (name, request, status) in [
        ("a plain request", lines(&["GET /health HTTP/1.1", "host: x"]), "200"),
        ("an empty line before it", [b"\r\n".to_vec(), lines(&["GET /health HTTP/1.1", "host: x"])].concat(), "200"),
        ("HTTP/1.0 without a host", lines(&["GET /health HTTP/1.0"]), "200"),
        ("a URL as its target", lines(&["GET http://x/health HTTP/1.1", "host: x"]), "200"),
        ("an empty host", lines(&["GET /health HTTP/1.1", "host:"]), "200"),
        ("bytes beyond ASCII in a field", lines(&["GET /health HTTP/1.1", "host: x", "note: \u{e9}"]), "200"),
        ("HEAD", lines(&["HEAD /health HTTP/1.1", "host: x"]), "200"),
        ("no host", lines(&["GET /health HTTP/1.1"]), "400"),
        ("two hosts", lines(&["GET /health HTTP/1.1", "host: x", "host: x"]), "400"),
        ("a host with a space", lines(&["GET /health HTTP/1.1", "host: x y"]), "400"),
        ("a host with a path", lines(&["GET /health HTTP/1.1", "host: x/health"]), "400"),
        ("a host with a wrong port", lines(&["GET /health HTTP/1.1", "host: x:eighty"]), "400"),
        ("a target without a slash", lines(&["GET health HTTP/1.1", "host: x"]), "400"),
        ("a space in the target", lines(&["GET /get/a b HTTP/1.1", "host: x"]), "400"),
        ("two spaces before the target", lines(&["GET  /health HTTP/1.1", "host: x"]), "400"),
        ("no version", lines(&["GET /health"]), "400"),
        ("another protocol", lines(&["GET /health HTPT/1.1", "host: x"]), "400"),
        ("another version", lines(&["GET /health HTTP/1.2", "host: x"]), "400"),
        ("a method with a parenthesis", lines(&["G(T /health HTTP/1.1", "host: x"]), "400"),
        ("a method in lower case", lines(&["get /health HTTP/1.1", "host: x"]), "405"),
        ("an unknown method", lines(&["BREW /health HTTP/1.1", "host: x"]), "405"),
        ("a space before a colon", lines(&["GET /health HTTP/1.1", "host: x", "note : a"]), "400"),
        ("a field over two lines", lines(&["GET /health HTTP/1.1", "host: x", "note: a", " b"]), "400"),
        ("a field that begins with a space", lines(&["GET /health HTTP/1.1", " note: a", "host: x"]), "400"),
        ("a field without a name", lines(&["GET /health HTTP/1.1", "host: x", ": a"]), "400"),
        ("a parenthesis in a field's name", lines(&["GET /health HTTP/1.1", "host: x", "no(te: a"]), "400"),
        ("a NUL in a field", lines(&["GET /health HTTP/1.1", "host: x", "note: a\0b"]), "400"),
        ("a lone CR in a field", lines(&["GET /health HTTP/1.1", "host: x", "note: a\rb"]), "400"),
        ("a target of 70 kB", lines(&[&format!("GET /get/{} HTTP/1.1", "k".repeat(70_000)), "host: x"]), "431"),
        (
            "a field of 70 kB",
            lines(&["GET /health HTTP/1.1", "host: x", &format!("note: {}", "n".repeat(70_000))]),
            "431",
        ),
    ] {
        let answer = answers_to(leader.address, &request).await;
        assert_eq!(status_of(&answer), status, "{name}: {answer}");
    }
    assert_eq!(get(leader.address, "/health").await.0, 200);
}

#[tokio::test]
async fn bodies_end_where_their_length_says() {
    let leader = Running::start(leader_config(Vec::new(), 0, (0, 0))).await;
    let body = r#"{"key":"x","value":1}"#;
    let length = body.len();
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    for (name, headers, body, status) in [
        ("a length", format!("content-length: {length}"), body.to_owned(), "200"),
        (
            "the same length twice",
            format!("content-length: {length}\r\ncontent-length: {length}"),
            body.to_owned(),
            "200",
        ),
        ("chunks", "transfer-encoding: chunked".into(), chunked.clone(), "200"),
        ("a chunk's extension", "transfer-encoding: chunked".into(), chunked.replacen("\r\n", ";a=b\r\n", 1), "200"),
        ("a trailer", "transfer-encoding: chunked".into(), chunked.replace("0\r\n\r\n", "0\r\nnote: a\r\n\r\n"), "200"),
        ("two lengths", format!("content-length: {length}\r\ncontent-length: 3"), body.to_owned(), "400"),
        ("a list of lengths", format!("content-length: {length}, {length}"), body.to_owned(), "400"),
        ("a negative length", "content-length: -1".into(), body.to_owned(), "400"),
        ("a length with a sign", format!("content-length: +{length}"), body.to_owned(), "400"),
        ("a length in hexadecimal", format!("content-length: 0x{length:x}"), body.to_owned(), "400"),
        ("a length beyond 64 bits", "content-length: 99999999999999999999".into(), body.to_owned(), "400"),
        ("a length of a terabyte", "content-length: 1099511627776".into(), body.to_owned(), "413"),
        ("a body shorter than its length", format!("content-length: {}", length + 1), body.to_owned(), "400"),
        ("an unknown transfer encoding", "transfer-encoding: gzip".into(), chunked.clone(), "400"),
        ("chunks that are not the last encoding", "transfer-encoding: chunked, gzip".into(), chunked.clone(), "400"),
        ("compressed chunks", "transfer-encoding: gzip, chunked".into(), chunked.clone(), "501"),
        ("a chunk's length that is none", "transfer-encoding: chunked".into(), format!("z{chunked}"), "400"),
        ("a negative chunk's length", "transfer-encoding: chunked".into(), format!("-{chunked}"), "400"),
        (
            "a chunk's length beyond 64 bits",
            "transfer-encoding: chunked".into(),
            format!("fffffffffffffffff{chunked}"),
            "400",
        ),
        (
            "a chunk longer than it says",
            "transfer-encoding: chunked".into(),
            chunked.replacen("\r\n", "x\r\n", 2),
            "400",
        ),
        ("no last chunk", "transfer-encoding: chunked".into(), chunked.replace("0\r\n\r\n", ""), "400"),
        ("a compressed body", format!("content-encoding: gzip\r\ncontent-length: {length}"), body.to_owned(), "415"),
        (
            "a body that is not compressed, and says so",
            format!("content-encoding: identity\r\ncontent-length: {length}"),
            body.to_owned(),
            "200",
        ),
    ] {
        let request =
            format!("POST /set HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}\r\n\r\n{body}");
        let answer = answers_to(leader.address, request.as_bytes()).await;
        assert_eq!(status_of(&answer), status, "{name}: {answer}");
    }
    let gzip = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
    let refused = exchange(leader.address, &request("POST", "/set", gzip, body)).await;
    assert!(refused.1.contains(r#"content-encoding \"gzip\""#), "{refused:?}");
}

#[tokio::test]
async fn requests_that_follow_one_another_are_answered_in_order() {
    let leader = Running::start(leader_config(Vec::new(), 0, (0, 0))).await;
    let mut requests = Vec::new();
    for number in 0..50 {
        let body = format!(r#"{{"key":"k{number}","value":1}}"#);
        let head = format!(
            "POST /set HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}",
            body.len()
        );
        requests.extend(format!("{head}\r\n\r\n{body}").into_bytes());
        requests.extend(lines(&[&format!("GET /get/k{number} HTTP/1.1"), "host: x"]));
    }
    let answers = answers_to(leader.address, &requests).await;
    let found: Vec<String> = answers
        .match_indices(r#"{"key":"k"#)
        .map(|(at, _)| answers[at + 9..].split('"').next().unwrap().into())
        .collect();
    assert_eq!(found, (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 100);
}

/// A client that asks first whether it should send the body is told, and told so before it has sent it where it is refused.
#[tokio::test]
async fn a_body_is_asked_for_where_it_is_wanted() {
    let leader = Running::start(leader_config(Vec::new(), 0, (0, 0))).await;
    let body = r#"{"key":"x","value":1}"#;
    let head = |path: &str| {
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n"
        )
    };
    let mut stream = TcpStream::connect(leader.address).await.expect("the node listens");
    stream.write_all(head("/set").as_bytes()).await.expect("the node reads");
    let mut interim = [0; 25];
    timeout(Duration::from_secs(60), stream.read_exact(&mut interim)).await.expect("in time").expect("it goes on");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.expect("the node reads");
    assert_eq!(raw::read_answer(&mut stream).await.0, 200);
    assert_eq!(exchange(leader.address, head("/replicate").as_bytes()).await.0, 403);
}

/// Many clients send a whole request before they read. They read the answer all the same, and that the connection is closed.
#[tokio::test]
async fn an_answer_that_comes_before_the_body_can_be_read() {
    let follower = Running::start(Config { max_body: 1 << 20, ..follower_config(0) }).await;
    let json = "content-type: application/json\r\n";
    let body = format!(r#"{{"key":"x","value":"{}"}}"#, "v".repeat(3_000_000));
    let large = format!(r#"{{"key":"x","value":"{}","version":1}}"#, "v".repeat(12 << 20));
    for _ in 0..20 {
        for (path, headers, body, status) in [
            ("/set", json, &body, 403),
            ("/sets", json, &body, 404),
            ("/dump", json, &body, 405),
            ("/replicate", "content-type: text/plain\r\n", &body, 415),
        ] {
            let mut stream = TcpStream::connect(follower.address).await.expect("the node listens");
            let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
            stream.write_all(head.as_bytes()).await.expect("the node reads");
            stream.write_all(body.as_bytes()).await.expect("the node reads");
            let text = raw::read_text(&mut stream).await;
            assert!(text.contains("connection: close\r\n"), "{text}");
            assert_eq!(raw::parse(&text).0, status, "{path}: {text}");
        }
    }
    let refused = exchange(follower.address, &request("POST", "/replicate", json, &large)).await;
    assert_eq!(refused.0, 413);
}

#[tokio::test]
async fn every_answer_about_a_key_tells_the_epoch() {
    let leader = Running::start(leader_config(Vec::new(), 0, (0, 0))).await;
    post_json(leader.address, "/set", r#"{"key":"x","value":1}"#).await;
    let json = "content-type: application/json\r\n";
    for (status, request) in [
        ("200", request("GET", "/get/x", "", "")),
        ("404", request("GET", "/get/y", "", "")),
        ("422", request("GET", "/get/x?mode=local", "", "")),
        ("405", request("PUT", "/set", json, "{}")),
        ("409", request("POST", "/set", json, r#"{"key":"x","value":2,"if_version":7}"#)),
        ("400", request("POST", "/set", json, "{")),
        ("200", request("POST", "/delete", json, r#"{"key":"x"}"#)),
        ("404", request("GET", "/get/x", "", "")),
    ] {
        let answer = answers_to(leader.address, &request).await;
        assert_eq!(status_of(&answer), status, "{answer}");
        assert_eq!(answer.matches("semisync-epoch: 1\r\n").count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn web_pages_may_use_a_node_that_lists_their_origin() {
    let origins: CorsOrigins = "http://lab.example:3000".parse().expect("an origin");
    let config = Config { cors_origins: Some(origins), ..leader_config(Vec::new(), 0, (0, 0)) };
    let (open, closed) = (Running::start(config).await, Running::start(leader_config(Vec::new(), 0, (0, 0))).await);
    let asks = |path: &str, origin: &str| {
        lines(&[
            &format!("OPTIONS {path} HTTP/1.1"),
            "host: x",
            &format!("origin: {origin}"),
            "access-control-request-method: POST",
            "access-control-request-headers: content-type",
        ])
    };
    let (page, other) = ("http://lab.example:3000", "http://other.example");
    let allowed = format!("access-control-allow-origin: {page}\r\n");
    let preflight = answers_to(open.address, &asks("/set", page)).await;
    assert_eq!(status_of(&preflight), "200", "{preflight}");
    assert!(
        preflight.contains(&allowed) && preflight.contains("access-control-allow-methods: GET,POST"),
        "{preflight}"
    );
    assert!(preflight.contains("access-control-allow-headers: content-type"), "{preflight}");
    assert!(!answers_to(open.address, &asks("/set", other)).await.contains("access-control-allow-origin"));
    let read =
        answers_to(open.address, &lines(&["GET /get/none HTTP/1.1", "host: x", &format!("origin: {page}")])).await;
    assert_eq!(status_of(&read), "404");
    assert!(read.contains(&allowed) && read.contains("access-control-expose-headers: semisync-epoch"), "{read}");
    // What only peers may do, no page may.
    for path in ["/replicate", "/peer", "/admin/accept-loss"] {
        let preflight = answers_to(open.address, &asks(path, page)).await;
        assert!(status_of(&preflight) == "405" && !preflight.contains("access-control"), "{preflight}");
    }
    let preflight = answers_to(closed.address, &asks("/set", page)).await;
    assert!(status_of(&preflight) == "405" && !preflight.contains("access-control"), "{preflight}");
}

/// A follower whose places are all taken by clients still hears its leader.
#[tokio::test]
async fn a_leader_finds_a_place_where_clients_do_not() {
    let follower = Running::start(Config { max_connections: 2, ..follower_config(0) }).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = TcpStream::connect(follower.address).await.expect("a place");
        client.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is open");
        let mut answer = [0; 12];
        client.read_exact(&mut answer).await.expect("it is served");
        assert_eq!(&answer, b"HTTP/1.1 200");
        clients.push(client);
    }
    assert_eq!(get(follower.address, "/health").await, (503, r#"{"detail":"Too many connections"}"#.into()));
    // More than there are places for leaders, and none of them says anything.
    for _ in 0..60 {
        clients.push(TcpStream::connect(follower.address).await.expect("the kernel takes it"));
    }
    let leader = Running::start(leader_config(vec![follower.address.into()], 1, (0, 0))).await;
    let set = post_json(leader.address, "/set", r#"{"key":"x","value":1}"#).await;
    assert_eq!(set, (200, r#"{"ok":true,"confirmations":1,"required":1,"version":1}"#.into()));
    assert_eq!(get(follower.address, "/health").await.0, 503);
}
