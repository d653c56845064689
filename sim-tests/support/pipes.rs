//! A node without a network: each connection is a pipe in memory. With the clock paused, time passes only when everybody
//! waits, so that deadlines can be tested in no time and to the millisecond.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use semisync::net::{Acceptor, HostPort, Transport};
use semisync::node::{Config, Node};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::raw::{RawAnswer, read_answer, request};

/// How much a pipe holds, each way: what a network has under way.
pub const CAPACITY: usize = 16 << 10;

/// The pipes to one node.
#[derive(Clone)]
pub struct Pipes {
    connect: UnboundedSender<DuplexStream>,
    accept: Arc<Mutex<Option<PipeAcceptor>>>,
}

/// The node's end.
pub struct PipeAcceptor(UnboundedReceiver<DuplexStream>);

impl Pipes {
    /// Pipes that lead nowhere yet.
    pub fn new() -> Self {
        let (connect, accept) = unbounded_channel();
        Self { connect, accept: Arc::new(Mutex::new(Some(PipeAcceptor(accept)))) }
    }

    /// Starts a node in a task of the test's runtime.
    pub async fn to_node(config: Config) -> Self {
        let pipes = Self::new();
        let node = Node::bind(pipes.clone(), config).await.expect("nothing is in its way");
        tokio::spawn(node.serve(std::future::pending()));
        pipes
    }

    /// A connection to the node.
    pub fn open(&self) -> DuplexStream {
        let (ours, theirs) = duplex(CAPACITY);
        self.connect.send(theirs).expect("the node runs");
        ours
    }

    /// A request on a connection of its own.
    pub async fn ask(&self, method: &str, path: &str, body: &str) -> RawAnswer {
        let mut stream = self.open();
        let request = request(method, path, "content-type: application/json\r\n", body);
        stream.write_all(&request).await.expect("the node reads");
        read_answer(&mut stream).await
    }
}

impl Transport for Pipes {
    type Stream = DuplexStream;
    type Acceptor = PipeAcceptor;

    async fn bind(&self, _: SocketAddr) -> io::Result<PipeAcceptor> {
        Ok(self.accept.lock().expect("no panic").take().expect("there is one node"))
    }

    async fn connect(&self, _: &HostPort) -> io::Result<DuplexStream> {
        Ok(self.open())
    }
}

impl Acceptor for PipeAcceptor {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<DuplexStream> {
        self.0.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], 1)))
    }
}
