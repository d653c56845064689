//! A closed loop of clients: each sends its next request when it has the answer to the last.
//!
//! The HTTP/1.1 is written out by hand: on a machine of two cores everything that the clients do is taken from the
//! servers, so they do as little as they can.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Failure;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Call {
    /// `POST /set`
    Set,
    /// `GET /get/{key}`
    Get,
}

/// When a client has asked enough.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// After this many requests.
    Requests(u32),
    /// At the first answer after this time.
    Elapsed(Duration),
}

/// Many clients that ask one server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) to: SocketAddr,
    pub(super) call: Call,
    pub(super) connections: u32,
    pub(super) keys: u32,
    pub(super) until: Until,
}

/// What the clients saw. Every request was answered as it should be.
pub(super) struct Done {
    pub(super) latencies: Vec<Duration>,
    took: Duration,
}

impl Done {
    pub(super) fn requests(&self) -> usize {
        self.latencies.len()
    }

    /// Requests a second.
    pub(super) fn rate(&self) -> f64 {
        self.requests() as f64 / self.took.as_secs_f64()
    }
}

impl Load {
    pub(super) async fn run(self) -> Result<Done, Failure> {
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(Connection::open(self.to).await?);
        }
        let began = Instant::now();
        let mut clients = JoinSet::new();
        for (number, connection) in (0..).zip(connections) {
            clients.spawn(self.client(number, connection, began));
        }
        let mut latencies = Vec::new();
        while let Some(client) = clients.join_next().await {
            latencies.extend(client??);
        }
        Ok(Done { latencies, took: began.elapsed() })
    }

    async fn client(self, number: u32, mut connection: Connection, began: Instant) -> Result<Vec<Duration>, Failure> {
        let mut request = Vec::new();
        let mut latencies = Vec::new();
        let mut now = began;
        for ordinal in 0.. {
            let enough = match self.until {
                Until::Requests(requests) => ordinal == requests,
                Until::Elapsed(time) => now - began >= time,
            };
            if enough {
                break;
            }
            self.write_request(&mut request, number, ordinal)?;
            let sent = now;
            let (status, body) = connection.exchange(&request).await?;
            now = Instant::now();
            if !self.call.is_answered_by(status, body) {
                let body = String::from_utf8_lossy(body);
                return Err(format!("{:?} was answered with status {status} and {body}", self.call).into());
            }
            latencies.push(now - sent);
        }
        Ok(latencies)
    }

    /// The clients go through the keys side by side, so that each key has its turn as often as any other.
    fn write_request(&self, into: &mut Vec<u8>, client: u32, ordinal: u32) -> io::Result<()> {
        let turn = u64::from(ordinal) * u64::from(self.connections) + u64::from(client);
        let key = turn % u64::from(self.keys);
        into.clear();
        match self.call {
            Call::Get => write!(into, "GET /get/key-{key} HTTP/1.1\r\nhost: {}\r\n\r\n", self.to),
            Call::Set => {
                let body = format!(r#"{{"key":"key-{key}","value":{{"by":{client},"n":{ordinal}}}}}"#);
                write!(
                    into,
                    "POST /set HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    self.to,
                    body.len()
                )
            }
        }
    }
}

impl Call {
    fn is_answered_by(self, status: u16, body: &[u8]) -> bool {
        let begins = match self {
            Self::Set => r#"{"ok":true,"#,
            Self::Get => r#"{"key":"key-"#,
        };
        status == 200 && body.starts_with(begins.as_bytes())
    }
}

/// A connection that is kept from request to request.
struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    async fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads the whole answer: its status and its body. No other answer can follow it, for no other
    /// request is under way.
    async fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.received.clear();
        loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if let Some(head) = Head::read(&self.received)? {
                let end = head.body_at + head.body_length;
                if self.received.len() >= end {
                    return Ok((head.status, &self.received[head.body_at..end]));
                }
            }
        }
    }
}

/// What the beginning of an answer says of the rest.
struct Head {
    status: u16,
    body_at: usize,
    body_length: usize,
}

impl Head {
    /// `None` while it has not come in whole.
    fn read(received: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
        let odd = || io::Error::new(ErrorKind::InvalidData, "not an HTTP/1.1 answer with a content-length");
        let text = std::str::from_utf8(&received[..end]).map_err(|_| odd())?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
        let mut fields = lines.filter_map(|line| line.split_once(':'));
        let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let body_length = length.and_then(|(_, length)| length.trim().parse().ok());
        match (status, body_length) {
            (Some(status), Some(body_length)) => Ok(Some(Self { status, body_at: end + 4, body_length })),
            _ => Err(odd()),
        }
    }
}
