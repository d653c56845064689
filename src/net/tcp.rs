use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{Acceptor, HostPort, Transport};

/// How many connections the kernel keeps for us until we accept them. The kernel lowers it to `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// How many bytes the kernel takes from us that it cannot send yet, because the other side does not read. Left alone it takes
/// megabytes, and says that there is room again only when a good part of them has gone: a slow reader would hold that
/// memory, and look for minutes as if it had stopped reading.
#[cfg(target_os = "linux")]
const MAX_NOT_SENT: u32 = 64 << 10;

/// Has the kernel take no more than it can send soon. Fails if the other side has gone already, which whoever reads next will find
/// out.
fn limit_what_is_not_sent(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(MAX_NOT_SENT);
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}

/// The machine's own network.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

/// A port of this machine.
#[derive(Debug)]
pub struct TcpAcceptor(TcpListener);

impl Transport for Tcp {
    type Stream = TcpStream;
    type Acceptor = TcpAcceptor;

    async fn bind(&self, address: SocketAddr) -> io::Result<TcpAcceptor> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restarted node must get its port back while connections of its former life are still in TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG).map(TcpAcceptor)
    }

    async fn connect(&self, to: &HostPort) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((to.host(), to.port())).await?;
        // A request is written at once and wants to leave at once; Nagle's algorithm would hold it for an ack.
        stream.set_nodelay(true)?;
        limit_what_is_not_sent(&stream);
        Ok(stream)
    }
}

impl Acceptor for TcpAcceptor {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        let (stream, _) = self.0.accept().await?;
        // Either fails if the client has gone already, which whoever reads next will find out.
        let _ = stream.set_nodelay(true);
        limit_what_is_not_sent(&stream);
        Ok(stream)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
