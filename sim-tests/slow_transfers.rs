//! Values that take longer to cross a link than a request may take, in simulated time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use semisync::net::{HostPort, Transport};
use semisync::node::{Config, Node};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::support::pipes::{CAPACITY, PipeAcceptor, Pipes};
use crate::support::raw::RawAnswer;
use crate::support::tcp::{follower_config, leader_config};

/// How much crosses the link at a time, and how long that takes: a megabyte a second.
const PIECE: usize = 10_000;
const PIECE_TIME: Duration = Duration::from_millis(10);
const LARGE: usize = 12 << 20;

/// A leader's network: everything that it sends to its follower, or gets from it, crosses one slow link in each direction.
#[derive(Clone)]
struct SlowLink {
    leader: Pipes,
    follower: Pipes,
    up: Arc<Mutex<()>>,
    down: Arc<Mutex<()>>,
}

impl SlowLink {
    fn to(follower: &Pipes) -> Self {
        let (leader, follower) = (Pipes::new(), follower.clone());
        Self { leader, follower, up: Arc::default(), down: Arc::default() }
    }

    /// Starts a leader behind the link. Whoever aborts the task kills it.
    async fn start_leader(&self, config: Config) -> AbortHandle {
        let node = Node::bind(self.clone(), config).await.expect("nothing is in its way");
        tokio::spawn(node.serve(std::future::pending())).abort_handle()
    }
}

async fn cross(link: Arc<Mutex<()>>, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut piece = vec![0; PIECE];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        // Whoever waits for the link gets it in turn.
        let crossing = link.lock().await;
        sleep(PIECE_TIME * read as u32 / PIECE as u32).await;
        drop(crossing);
        if to.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
    // The other side may have closed before.
    let _ = to.shutdown().await;
}

impl Transport for SlowLink {
    type Stream = DuplexStream;
    type Acceptor = PipeAcceptor;

    async fn bind(&self, address: SocketAddr) -> io::Result<PipeAcceptor> {
        self.leader.bind(address).await
    }

    async fn connect(&self, _: &HostPort) -> io::Result<DuplexStream> {
        let (ours, theirs) = duplex(CAPACITY);
        let (from_leader, to_leader) = split(theirs);
        let (from_follower, to_follower) = split(self.follower.open());
        tokio::spawn(cross(Arc::clone(&self.up), from_leader, to_follower));
        tokio::spawn(cross(Arc::clone(&self.down), from_follower, to_leader));
        Ok(ours)
    }
}

fn leader() -> Config {
    leader_config(vec![HostPort::new("follower", 1)], 1, (0, 0))
}

async fn set(node: &Pipes, key: &str, value: &str) -> RawAnswer {
    node.ask("POST", "/set", &format!(r#"{{"key":"{key}","value":"{value}"}}"#)).await
}

async fn length_of(node: &Pipes, key: &str) -> usize {
    node.ask("GET", &format!("/get/{key}"), "").await.1.len()
}

/// With a timeout of 5 s. The client is answered by then, as always, and told what is under way; small keys do not wait.
#[tokio::test(start_paused = true)]
async fn a_large_value_arrives_over_a_slow_link_and_small_ones_do_not_wait_behind_it() {
    let follower = Pipes::to_node(follower_config(0)).await;
    let link = SlowLink::to(&follower);
    let _leader = link.start_leader(leader()).await;
    assert_eq!(set(&link.leader, "first", "1").await.0, 200);
    let began = Instant::now();
    let large = tokio::spawn({
        let leader = link.leader.clone();
        async move { set(&leader, "large", &"v".repeat(LARGE)).await }
    });
    while !large.is_finished() {
        let asked = Instant::now();
        let small = set(&link.leader, "small", "1").await;
        assert!(small.1.contains("\"ok\":true") && asked.elapsed() < Duration::from_secs(1), "{small:?}");
        sleep(Duration::from_millis(500)).await;
    }
    let missed = large.await.expect("it does not panic").1;
    assert!(
        missed.contains("\"ok\":false") && missed.contains("12.6 MB are being sent to it: 5.0 MB in 5 s, 1.0 MB/s"),
        "{missed}"
    );
    let ready = link.leader.ask("GET", "/ready", "").await;
    assert!(ready.0 == 200 && ready.1.contains("MB/s"), "{ready:?}");
    sleep(Duration::from_secs(9)).await;
    assert!(length_of(&follower, "large").await > LARGE, "it has not arrived after {:?}", began.elapsed());
    let ready = link.leader.ask("GET", "/ready", "").await;
    assert_eq!(ready.1, r#"{"ready":true,"detail":"1 of 1 followers count, 1 must for a write"}"#);
}

/// What a leader that starts must read, and what a follower that returns must be sent, may take longer than a request too.
#[tokio::test(start_paused = true)]
async fn a_leader_recovers_and_a_follower_returns_over_a_slow_link() {
    let follower = Pipes::to_node(follower_config(0)).await;
    let first = SlowLink::to(&follower);
    let leads = first.start_leader(leader()).await;
    set(&first.leader, "large", &"v".repeat(LARGE)).await;
    sleep(Duration::from_secs(20)).await;
    assert!(length_of(&follower, "large").await > LARGE);
    leads.abort();
    let second = SlowLink::to(&follower);
    let _leads = second.start_leader(leader()).await;
    sleep(Duration::from_secs(60)).await;
    assert!(length_of(&second.leader, "large").await > LARGE, "{:?}", second.leader.ask("GET", "/ready", "").await);
    let written = set(&second.leader, "small", "1").await;
    assert!(written.1.contains("\"ok\":true"), "{written:?}");
}
