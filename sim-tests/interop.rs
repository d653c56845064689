//! A follower that speaks the documented interface and nothing else, as somebody else's server would.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use semisync::client::{Client, Cluster};
use semisync::net::Tcp;
use semisync::node::{Config, Role};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::support::tcp::{CLIENT_DEADLINE, Running, leader_config};
use crate::support::{self, key, until};

/// A server of the documented `/replicate` and `/dump`, written without any of our code.
#[derive(Default)]
struct Foreign {
    stored: BTreeMap<String, (u64, Value)>,
    /// The bodies that came, in order.
    bodies: Vec<Value>,
}

impl Foreign {
    async fn start() -> (SocketAddr, Arc<Mutex<Self>>) {
        let state = Arc::new(Mutex::new(Self::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        (address, state)
    }

    fn replicate(&mut self, body: &Value) -> (StatusCode, Value) {
        self.bodies.push(body.clone());
        let Some((key, value, version)) = documented_form(body) else {
            return (StatusCode::UNPROCESSABLE_ENTITY, json!({"detail": "not the documented form"}));
        };
        let stored = self.stored.get(&key).map_or(0, |(version, _)| *version);
        if version <= stored {
            return (StatusCode::OK, json!({"ok": true, "applied": false, "reason": "stale_version"}));
        }
        self.stored.insert(key, (version, value));
        (StatusCode::OK, json!({"ok": true, "applied": true}))
    }
}

/// Exactly the documented fields, and no other.
fn documented_form(body: &Value) -> Option<(String, Value, u64)> {
    let fields: &Map<String, Value> = body.as_object().filter(|fields| fields.len() == 3)?;
    Some((fields.get("key")?.as_str()?.to_owned(), fields.get("value")?.clone(), fields.get("version")?.as_u64()?))
}

async fn answer(state: Arc<Mutex<Foreign>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if (request.method().as_str(), request.uri().path()) == ("GET", "/dump") {
        let state = state.lock().expect("no panic");
        let entry = |(key, (version, value)): (&String, &(u64, Value))| {
            (key.clone(), json!({"value": value, "version": version}))
        };
        let dump: Map<String, Value> = state.stored.iter().map(entry).collect();
        return Ok(Response::new(Full::from(Value::Object(dump).to_string())));
    }
    if (request.method().as_str(), request.uri().path()) != ("POST", "/replicate") {
        let response = Response::builder().status(StatusCode::NOT_FOUND);
        return Ok(response.body(Full::from("there is no such path")).expect("every part is valid"));
    }
    let body = request.into_body().collect().await.expect("a whole body").to_bytes();
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let (status, answer) = state.lock().expect("no panic").replicate(&body);
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(Full::from(answer.to_string())).expect("every part is valid"))
}

/// A leader of this follower whose clients need not wait long for confirmations that never come.
fn impatient(follower: SocketAddr, delay_ms: (u64, u64)) -> Config {
    let mut config = leader_config(vec![follower.into()], 1, delay_ms);
    if let Role::Leader(role) = &mut config.role {
        role.repl_timeout = Duration::from_millis(300);
    }
    config
}

#[tokio::test]
async fn any_server_of_the_documented_interface_can_follow() {
    let (address, foreign) = Foreign::start().await;
    let leader = Running::start(impatient(address, (0, 30))).await;
    let cluster = Cluster::new(Client::new(Tcp, CLIENT_DEADLINE), leader.address.into(), Vec::new());
    let writes = (0..100).map(|n| {
        let cluster = &cluster;
        async move { cluster.set(&key(&format!("k{}", n % 7)), &support::json(&n.to_string())).await }
    });
    for outcome in join_all(writes).await {
        let answer = outcome.answer().expect("the leader takes every write");
        assert!(!answer.ok && answer.confirmations == 0, "who knows no epochs counts for no quorum: {answer:?}");
    }
    let leader = cluster.dump(semisync::base::NodeRef::Leader).await.expect("the leader answers");
    let leader: BTreeMap<String, u64> =
        leader.iter().map(|(key, entry)| (key.to_string(), entry.version.get())).collect();
    until(async || {
        let foreign = foreign.lock().expect("no panic");
        let stored: BTreeMap<String, u64> = foreign.stored.iter().map(|(key, (v, _))| (key.clone(), *v)).collect();
        (stored == leader).then_some(())
    })
    .await;
    let foreign = foreign.lock().expect("no panic");
    let arrays: Vec<usize> = (0..foreign.bodies.len()).filter(|at| foreign.bodies[*at].is_array()).collect();
    assert!(!arrays.is_empty(), "no two writes became due together, so nothing was shown");
    let singles_after = foreign.bodies.len() - arrays[0] - arrays.len();
    assert!(arrays.len() <= 8 && singles_after > 50, "arrays at {arrays:?} of {}", foreign.bodies.len());
}

#[tokio::test]
async fn a_lone_message_has_the_documented_form() {
    let (address, foreign) = Foreign::start().await;
    let leader = Running::start(impatient(address, (0, 0))).await;
    let cluster = Cluster::new(Client::new(Tcp, CLIENT_DEADLINE), leader.address.into(), Vec::new());
    for n in 0..3 {
        let _ = cluster.set(&key("x"), &support::json(&n.to_string())).await;
    }
    let expected: Vec<Value> = (0..3).map(|n| json!({"key": "x", "value": n, "version": n + 1})).collect();
    assert_eq!(foreign.lock().expect("no panic").bodies, expected);
}

/// A server that knows the documented fields only stores the `null` that stands for a deletion.
#[tokio::test]
async fn a_deletion_is_null_to_who_does_not_know_deletions() {
    let (address, foreign) = Foreign::start().await;
    let leader = Running::start(impatient(address, (0, 0))).await;
    let cluster = Cluster::new(Client::new(Tcp, CLIENT_DEADLINE), leader.address.into(), Vec::new());
    let _ = cluster.set(&key("x"), &support::json("1")).await;
    let _ = cluster.delete(&key("x")).await;
    let expected = [json!({"key": "x", "value": 1, "version": 1}), json!({"key": "x", "value": null, "version": 2})];
    assert_eq!(foreign.lock().expect("no panic").bodies, expected);
    assert!(cluster.dump(semisync::base::NodeRef::Leader).await.expect("an answer").is_empty());
}

/// A follower that answers before it has read the whole request and then reads no more: the next request must not wait on
/// that connection for ever, and the write that it carries is sent again.
#[tokio::test]
async fn a_follower_that_stops_reading_costs_no_more_than_a_deadline() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 26\r\n\r\n{\"ok\":true,\"applied\":true}";
            let _ = stream.write_all(answer.as_bytes()).await;
            open.push(stream);
        }
    });
    let mut config = leader_config(vec![address.into()], 1, (0, 0));
    if let semisync::node::Role::Leader(role) = &mut config.role {
        role.repl_timeout = std::time::Duration::from_secs(1);
    }
    let leader = Running::start(config).await;
    let client = Client::new(Tcp, CLIENT_DEADLINE);
    let cluster = Cluster::new(client, leader.address.into(), Vec::new());
    let large = support::json(&format!("\"{}\"", "v".repeat(8 << 20)));
    for n in 0..3 {
        let _ = cluster.set(&key(&format!("k{n}")), &large).await;
    }
    // Each message comes to an end, whichever it is.
    until(async || {
        let (_, metrics) = support::raw::get(leader.address, "/metrics").await;
        let line = format!("semisync_unanswered_messages{{follower=\"f1\",address=\"{address}\"}} 0");
        metrics.contains(&line).then_some(())
    })
    .await;
}

/// What answers no question and stores something may be a follower behind a proxy: what it knows must not be passed over.
#[tokio::test]
async fn a_foreign_follower_that_stores_something_stops_a_start_until_an_operator_speaks() {
    let (address, foreign) = Foreign::start().await;
    foreign.lock().expect("no panic").stored.insert("x".into(), (1, json!(1)));
    let leader = Running::start(impatient(address, (0, 0))).await;
    let (status, ready) = support::raw::get(leader.address, "/ready").await;
    assert_eq!(status, 503);
    let waits = until(async || {
        let (_, ready) = support::raw::get(leader.address, "/ready").await;
        ready.contains("may be another program").then_some(ready)
    });
    assert!(waits.await.contains(&address.to_string()), "{ready}");
    let (status, answer) = support::raw::post_json(leader.address, "/admin/accept-loss", "{}").await;
    assert_eq!(status, 200, "{answer}");
    // It serves then; that its only follower counts for nothing is another thing.
    let serves = until(async || {
        let (status, ready) = support::raw::get(leader.address, "/ready").await;
        assert_eq!(status, 503);
        ready.contains("0 of 1 followers count").then_some(ready)
    });
    assert!(serves.await.contains("it answers 404 to a leader's questions"));
}

/// A server that is overloaded for a moment is not one that does not understand.
#[tokio::test]
async fn one_answer_503_does_not_end_batches() {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let seen = Arc::clone(&bodies);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            let service = service_fn(move |request: Request<Incoming>| {
                let seen = Arc::clone(&seen);
                async move {
                    let of_status = |status, body: &str| {
                        let response = Response::builder().status(status).body(Full::<Bytes>::from(body.to_owned()));
                        Ok::<_, Infallible>(response.expect("every part is valid"))
                    };
                    match request.uri().path() {
                        "/dump" => return of_status(StatusCode::OK, "{}"),
                        "/replicate" => {}
                        _ => return of_status(StatusCode::NOT_FOUND, ""),
                    }
                    let body = request.into_body().collect().await.expect("a whole body").to_bytes();
                    let body: Value = serde_json::from_slice(&body).expect("JSON");
                    let applied = json!({"ok": true, "applied": true});
                    let mut seen = seen.lock().expect("no panic");
                    let first_array = body.is_array() && !seen.iter().any(Value::is_array);
                    let answer = match &body {
                        Value::Array(items) => Value::Array(vec![applied; items.len()]),
                        _ => applied,
                    };
                    seen.push(body);
                    let status = if first_array { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
                    of_status(status, &answer.to_string())
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    let leader = Running::start(impatient(address, (0, 30))).await;
    let cluster = Cluster::new(Client::new(Tcp, CLIENT_DEADLINE), leader.address.into(), Vec::new());
    let writes = (0..200).map(|n| {
        let cluster = &cluster;
        async move { cluster.set(&key(&format!("k{n}")), &support::json("1")).await }
    });
    assert_eq!(join_all(writes).await.len(), 200);
    let arrived = async || {
        let items = |body: &Value| body.as_array().map_or(1, Vec::len);
        let items: usize = bodies.lock().expect("no panic").iter().map(items).sum();
        (items > 200).then_some(())
    };
    until(arrived).await;
    let arrays = bodies.lock().expect("no panic").iter().filter(|body| body.is_array()).count();
    assert!(arrays > 1, "after one 503 there were no more batches");
}
