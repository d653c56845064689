use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;
use turmoil::net::{TcpListener, TcpStream};

use super::{Acceptor, HostPort, Transport};

/// The simulated network of turmoil. Usable only inside a simulation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Turmoil;

/// A port of a simulated host.
pub struct TurmoilAcceptor(TcpListener);

impl Transport for Turmoil {
    type Stream = TcpStream;
    type Acceptor = TurmoilAcceptor;

    async fn bind(&self, address: SocketAddr) -> io::Result<TurmoilAcceptor> {
        TcpListener::bind(address).await.map(TurmoilAcceptor)
    }

    async fn connect(&self, to: &HostPort) -> io::Result<TcpStream> {
        let called = Instant::now();
        match TcpStream::connect((to.host(), to.port())).await {
            // turmoil refuses a connection across a partition on the spot. A real network says nothing at all, and a
            // real refusal takes a round trip.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && called.elapsed().is_zero() => {
                pending().await
            }
            result => result,
        }
    }

    /// The time of the simulation. Each host has a tokio clock of its own, and these began at
    /// different moments of real time. Outside of a simulation, where none of its time has passed,
    /// it is zero.
    fn elapsed(&self) -> Duration {
        turmoil::sim_elapsed().unwrap_or_default()
    }
}

impl Acceptor for TurmoilAcceptor {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        self.0.accept().await.map(|(stream, _)| stream)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
