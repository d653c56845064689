//! The network: byte streams behind a trait, an HTTP client over them, and the emulated delay of replication messages.
//!
//! [`Transport`] is a seam at the level of bytes, so that HTTP itself runs inside a simulation.

pub mod http;
mod netem;
mod tcp;
#[cfg(feature = "sim")]
mod turmoil;

pub use netem::{Effect, Fate, MessageFault, MessageFaults, Messages, Moment, Netem, NetemConfig, RpcFate, RpcSender};
pub use tcp::{Tcp, TcpAcceptor};
#[cfg(feature = "sim")]
pub use turmoil::{Turmoil, TurmoilAcceptor};

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// A network of byte streams.
///
/// A connect that the network swallows stays pending until its caller gives up: no implementation turns a partition
/// into an early error.
pub trait Transport: Clone + Send + Sync + 'static {
    /// An open connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    /// A bound port.
    type Acceptor: Acceptor<Stream = Self::Stream>;

    /// Binds an address. Port 0 takes a free one.
    fn bind(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Acceptor>> + Send;

    /// Opens a connection.
    fn connect(&self, to: &HostPort) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Returns the time since a fixed moment, the same moment for all who use this network in this
    /// process. It does not go down.
    ///
    /// A simulated network in which each host has its own clock must return the time of the
    /// simulation. The default is the clock of tokio, which suits real networks.
    fn elapsed(&self) -> Duration {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        BEGAN.get_or_init(Instant::now).elapsed()
    }
}

/// A bound port that connections come in on.
pub trait Acceptor: Send + 'static {
    /// An open connection.
    type Stream;

    /// The next connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// The address that was bound, with the port that was taken.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// Where a node listens: a host name or address, and a port. Ordered and compared without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// Why a text is not a [`HostPort`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not of the form host:port, with a port from 1 to 65535")]
pub struct InvalidHostPort {
    text: String,
}

impl HostPort {
    /// This port on this host. The name is kept in lower case, for host names do not tell case apart (RFC 4343).
    pub fn new(host: &str, port: u16) -> Self {
        Self { host: host.to_ascii_lowercase(), port }
    }

    /// The host's name or address, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self::new(&address.ip().to_string(), address.port())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Takes `host:port`, `[address]:port`, and either with `http://` before it and `/` behind it.
impl FromStr for HostPort {
    type Err = InvalidHostPort;

    fn from_str(text: &str) -> Result<Self, InvalidHostPort> {
        let invalid = || InvalidHostPort { text: text.to_owned() };
        let trimmed = text.strip_prefix("http://").unwrap_or(text);
        let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
        let (host, port) = trimmed.rsplit_once(':').ok_or_else(invalid)?;
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) if address.parse::<std::net::Ipv6Addr>().is_ok() => address,
            Some(_) => return Err(invalid()),
            None => host,
        };
        let is_name = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        let is_v6 = trimmed.starts_with('[');
        let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        match port.parse() {
            Ok(port @ 1..) if digits && !host.is_empty() && (is_v6 || is_name(host)) => Ok(Self::new(host, port)),
            _ => Err(invalid()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_printed() {
        for (text, printed) in [
            ("follower1:8000", "follower1:8000"),
            ("http://Follower1:8000/", "follower1:8000"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]:65535", "[::1]:65535"),
        ] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "f1",
            ":8000",
            "f1:",
            "f1:0",
            "f1:65536",
            "f1:-1",
            "f1:+1",
            "f1:8000/x",
            "https://f1:8000",
            "::1:8000",
            "a b:1",
            "[f1]:1",
            "http://",
            "f1:8000:8000",
        ] {
            assert!(text.parse::<HostPort>().is_err(), "{text:?}");
        }
    }
}
