//! Who may replicate to a node that has a `PEER_TOKEN`.

use std::io::Write;
use std::sync::{Arc, Mutex};

use semisync::base::{Epoch, NodeRef};
use semisync::client::{Client, Cluster, Outcome};
use semisync::core::{Ask, LeaderId, Question};
use semisync::net::Tcp;
use semisync::node::{Config, PeerToken};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::pipes::Pipes;
use crate::support::raw::{self, exchange, get, post_json, request};
use crate::support::tcp::{CLIENT_DEADLINE, Running, follower_config, leader_config};
use crate::support::{f, json, key, until};

fn with_token(config: Config, token: &str) -> Config {
    Config { peer_token: Some(PeerToken::new(token).expect("a valid token")), ..config }
}

/// What the leader's client and its one follower are asked as.
fn cluster(leader: &Running, follower: &Running) -> Cluster<Tcp> {
    Cluster::new(Client::new(Tcp, CLIENT_DEADLINE), leader.address.into(), vec![follower.address.into()])
}

#[tokio::test]
async fn only_a_peer_can_replicate() {
    let follower = Running::start(with_token(follower_config(0), "s3cret")).await;
    // The greatest version there is: taken from anybody, it would freeze the key for ever.
    let forged = r#"{"key":"x","value":"forged","version":9007199254740992}"#;
    for authorization in ["", "authorization: Bearer s3creT\r\n", "authorization: Basic s3cret\r\n"] {
        let headers = format!("content-type: application/json\r\n{authorization}");
        let mut stream = TcpStream::connect(follower.address).await.expect("it listens");
        stream.write_all(&request("POST", "/replicate", &headers, forged)).await.expect("it reads");
        let answer = raw::read_text(&mut stream).await;
        let (status, body) = raw::parse(&answer);
        assert_eq!(status, 401, "{authorization}: {answer}");
        assert!(answer.contains("\r\nwww-authenticate: Bearer\r\n"), "{answer}");
        assert!(body.starts_with(r#"{"detail":"Only peers"#) && body.contains("PEER_TOKEN"), "{body}");
        assert!(!answer.contains("s3cret"), "{answer}");
    }
    assert_eq!(get(follower.address, "/dump").await, (200, "{}".into()));
    let headers = "content-type: application/json\r\nauthorization: Bearer s3cret\r\n";
    let written = r#"{"key":"x","value":1,"version":1}"#;
    let answer = exchange(follower.address, &request("POST", "/replicate", headers, written)).await;
    assert_eq!(answer, (200, r#"{"ok":true,"applied":true}"#.into()));
    // What is not for peers only is for everybody.
    for path in ["/get/x", "/dump", "/health", "/metrics"] {
        assert_eq!(get(follower.address, path).await.0, 200, "{path}");
    }
    assert_eq!(post_json(follower.address, "/set", "{}").await.0, 403);
}

/// Epochs are milliseconds. One that is near the last would leave none for any later leader.
#[tokio::test]
async fn one_request_raises_a_promise_by_a_year_at_most() {
    const YEAR: u64 = 366 * 24 * 60 * 60 * 1000;
    let follower = Running::follower().await;
    let fence = async |epoch| {
        let ask = Ask { epoch: Epoch::new(epoch), leader: LeaderId(7), question: Question::Fence };
        post_json(follower.address, "/peer", &serde_json::to_string(&ask).expect("JSON")).await
    };
    let (status, answer) = fence(1 << 53).await;
    assert_eq!(status, 422);
    assert!(answer.contains("epoch 9007199254740992: must be at most") && answer.contains("clock"), "{answer}");
    assert_eq!(fence(YEAR - 60_000).await.0, 200);
    // From there on it is another year.
    assert_eq!(fence(2 * YEAR).await.0, 422);
    assert_eq!(fence(2 * YEAR - 60_000).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_stranger_is_refused_before_its_body_is_read() {
    let follower = Pipes::to_node(with_token(follower_config(0), "s3cret")).await;
    let began = Instant::now();
    let mut stranger = follower.open();
    let head = "POST /replicate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n";
    stranger.write_all(head.as_bytes()).await.expect("it reads");
    // Nothing of the body is ever sent, and the answer does not wait for it.
    assert_eq!(raw::read_answer(&mut stranger).await.0, 401);
    assert!(began.elapsed().is_zero(), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_leader_shows_its_token() {
    let follower = Running::start(with_token(follower_config(0), "s3cret")).await;
    let config = leader_config(vec![follower.address.into()], 1, (0, 0));
    let leader = Running::start(with_token(config, "s3cret")).await;
    let cluster = cluster(&leader, &follower);
    let answer = cluster.set(&key("x"), &json("1")).await;
    assert_eq!(answer.ok().expect("its follower confirms").confirmations, 1);
    assert_eq!(cluster.dump(f(1)).await.expect("it answers").len(), 1);
}

/// What was logged, as text.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines_with(&self, word: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text");
        text.lines().filter(|line| line.contains(word)).map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_leader_that_is_not_admitted_says_so_once_and_when_it_is_over() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let _logged = tracing::subscriber::set_default(subscriber);
    let follower = Running::start(with_token(follower_config(0), "s3cret")).await;
    let mut config = leader_config(vec![follower.address.into()], 1, (0, 0));
    if let semisync::node::Role::Leader(role) = &mut config.role {
        role.repl_timeout = std::time::Duration::from_millis(100);
    }
    let leader = Running::start(with_token(config, "an0ther")).await;
    let mut cluster = cluster(&leader, &follower);
    for n in 0..5 {
        let Outcome::Failed(_) = cluster.set(&key(&format!("k{n}")), &json("1")).await else {
            panic!("a leader that nobody admits knows nothing of what was written before")
        };
    }
    assert!(cluster.dump(f(1)).await.expect("it answers").is_empty());
    // Somebody gives the follower the right token.
    let address = follower.address;
    follower.kill().await;
    let follower = Running::start(with_token(follower_config(address.port()), "an0ther")).await;
    cluster = self::cluster(&leader, &follower);
    let is_ready = async || cluster.client().ready(cluster.address(NodeRef::Leader)).await.ok().filter(|it| it.ready);
    until(is_ready).await;
    cluster.set(&key("x"), &json("1")).await.ok().expect("it is admitted now");
    assert_eq!(cluster.dump(f(1)).await.expect("it answers").len(), 1);
    let refused = log.lines_with("the follower refuses this leader (401)");
    assert!(refused.len() == 1 && refused[0].contains("WARN"), "{refused:?}");
    assert!(refused[0].contains("PEER_TOKEN is not that of this leader"), "{refused:?}");
    assert_eq!(log.lines_with("admits this leader now").len(), 1);
    // Not even at the level where every byte of HTTP is told.
    assert_eq!(log.lines_with("s3cret").len() + log.lines_with("an0ther").len(), 0);
}
