//! Names of followers that lead to other nodes than they should, on loopback TCP.

use std::collections::BTreeMap;
use std::future;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use semisync::base::NodeRef;
use semisync::client::{Client, Cluster};
use semisync::net::{HostPort, Tcp, TcpAcceptor, Transport};
use semisync::node::{Config, Node, Role};
use tokio::net::TcpStream;

use crate::support::tcp::{CLIENT_DEADLINE, Running, leader_config};
use crate::support::{f, json, key, until};

/// A network in which names lead where the test says.
#[derive(Debug, Clone, Default)]
struct Directory {
    names: Arc<Mutex<BTreeMap<String, SocketAddr>>>,
    /// The connections that were made, to be cut.
    made: Arc<Mutex<Vec<std::net::TcpStream>>>,
}

impl Directory {
    fn lead(&self, name: &str, to: &Running) {
        self.names.lock().expect("no panic").insert(name.to_owned(), to.address);
    }

    /// Ends every connection, so that every name is looked up anew.
    fn cut(&self) -> usize {
        let made = std::mem::take(&mut *self.made.lock().expect("no panic"));
        made.iter().filter(|stream| stream.shutdown(Shutdown::Both).is_ok()).count()
    }
}

impl Transport for Directory {
    type Stream = TcpStream;
    type Acceptor = TcpAcceptor;

    async fn bind(&self, address: SocketAddr) -> io::Result<TcpAcceptor> {
        Tcp.bind(address).await
    }

    async fn connect(&self, to: &HostPort) -> io::Result<TcpStream> {
        let address = self.names.lock().expect("no panic").get(to.host()).copied().ok_or(io::ErrorKind::NotFound)?;
        let stream = Tcp.connect(&address.into()).await?.into_std()?;
        self.made.lock().expect("no panic").push(stream.try_clone()?);
        TcpStream::from_std(stream)
    }
}

/// A leader that must have both followers and finds by their names, in a directory, those that `found` says, with a client that
/// finds them by their addresses.
async fn leader_of(followers: [&Running; 2], found: [&Running; 2]) -> (Directory, Cluster<Tcp>) {
    let directory = Directory::default();
    directory.lead("one", found[0]);
    directory.lead("two", found[1]);
    let names = ["one", "two"].map(|name| HostPort::new(name, 8000));
    let mut config = leader_config(names.to_vec(), 2, (0, 0));
    if let Config { role: Role::Leader(role), .. } = &mut config {
        role.repl_timeout = Duration::from_millis(300);
    }
    let node = Node::bind(directory.clone(), config).await.expect("a free port");
    let address = node.local_addr();
    tokio::spawn(node.serve(future::pending()));
    let addresses = followers.map(|node| node.address.into()).to_vec();
    (directory, Cluster::new(Client::new(Tcp, CLIENT_DEADLINE), address.into(), addresses))
}

async fn until_ready(cluster: &Cluster<Tcp>) {
    until(async || cluster.client().ready(cluster.address(NodeRef::Leader)).await.ok().filter(|it| it.ready)).await;
}

/// Nothing but the leader would ever close the connection that it keeps under the wrong name.
#[tokio::test]
async fn a_name_that_led_to_a_wrong_node_is_looked_up_anew() {
    let followers = [&Running::follower().await, &Running::follower().await];
    let (directory, cluster) = leader_of(followers, [followers[0], followers[0]]).await;
    let refused = cluster.set(&key("x"), &json("1")).await;
    assert!(refused.ok().is_none(), "one node is not two");
    directory.lead("two", followers[1]);
    until_ready(&cluster).await;
    let written = cluster.set(&key("x"), &json("2")).await.ok().expect("both are there");
    assert_eq!(written.confirmations, 2);
    for follower in [f(1), f(2)] {
        assert_eq!(cluster.dump(follower).await.expect("it answers").len(), 1);
    }
}

/// Each is found under the other's name, and stays there.
#[tokio::test]
async fn names_may_change_places_for_good() {
    let followers = [&Running::follower().await, &Running::follower().await];
    let (directory, cluster) = leader_of(followers, [followers[0], followers[1]]).await;
    until_ready(&cluster).await;
    cluster.set(&key("x"), &json("1")).await.ok().expect("both are there");
    directory.lead("one", followers[1]);
    directory.lead("two", followers[0]);
    assert!(directory.cut() >= 2, "to each there was a connection");
    let mut acknowledged = Vec::new();
    until(async || {
        let keys: Vec<_> = (0..20).map(|n| key(&format!("{}/{n}", acknowledged.len()))).collect();
        let value = json("1");
        let answers = futures_util::future::join_all(keys.iter().map(|key| cluster.set(key, &value))).await;
        let before = acknowledged.len();
        acknowledged.extend(keys.into_iter().zip(answers).filter_map(|(key, answer)| answer.ok().map(|_| key)));
        (acknowledged.len() >= before + 20).then_some(())
    })
    .await;
    until_ready(&cluster).await;
    let written = cluster.set(&key("x"), &json("2")).await.ok().expect("both are there");
    assert_eq!(written.confirmations, 2);
    let dumps = [cluster.dump(f(1)).await.expect("it answers"), cluster.dump(f(2)).await.expect("it answers")];
    assert_eq!(dumps[0], dumps[1]);
    for key in &acknowledged {
        assert!(dumps[0].contains_key(key), "{key} was acknowledged");
    }
}
