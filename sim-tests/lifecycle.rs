//! Starting, stopping, draining, and clients that leave early.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use semisync::base::wire::AcceptedLoss;
use semisync::base::{NodeRef, ReadMode};
use semisync::client::{Client, Cluster, Failed, Outcome, ReadError};
use semisync::net::{HostPort, Tcp};
use semisync::node::{Config, Node, NodeError, NodeIncarnation, Role};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::stories::{holds, settle};
use crate::support::raw::request;
use crate::support::tcp::{CLIENT_DEADLINE, Running, TcpCluster, follower_config, leader_config};
use crate::support::{f, json, key, until};

#[tokio::test]
async fn a_client_that_disconnects_does_not_stop_its_write() {
    let nodes = TcpCluster::start(3, 3, (200, 300)).await;
    let mut stream = TcpStream::connect(nodes.leader.address).await.expect("it listens");
    let body = r#"{"key":"x","value":"orphan"}"#;
    stream.write_all(&request("POST", "/set", "content-type: application/json\r\n", body)).await.expect("it reads");
    until(async || nodes.cluster.dump(NodeRef::Leader).await.ok().filter(|dump| !dump.is_empty())).await;
    drop(stream);
    assert_eq!(holds(&settle(&nodes.cluster).await, "x"), (1, "\"orphan\"".into()));
    assert_eq!(nodes.cluster.dump(f(3)).await.expect("it answers").len(), 1);
}

#[tokio::test]
async fn a_leader_that_drains_answers_its_clients_and_delivers_its_writes() {
    let nodes = TcpCluster::start(3, 2, (300, 400)).await;
    let leader = nodes.leader.address;
    let (name, value) = (key("x"), json("1"));
    let write = nodes.cluster.set(&name, &value);
    let drain = async {
        until(async || nodes.cluster.dump(NodeRef::Leader).await.ok().filter(|dump| !dump.is_empty())).await;
        nodes.leader.drain().await;
    };
    let (answer, ()) = tokio::join!(write, drain);
    assert_eq!(answer.ok().expect("it was answered while the leader drained").confirmations, 2);
    // All three have it, the one that the quorum did not wait for too.
    for follower in (1..=3).map(f) {
        assert_eq!(holds(&nodes.cluster.dump(follower).await.expect("it answers"), "x"), (1, "1".into()));
    }
    assert!(TcpStream::connect(leader).await.is_err(), "it still listens");
}

#[tokio::test]
async fn a_follower_that_was_down_gets_what_it_missed() {
    let mut nodes = TcpCluster::start(2, 1, (0, 20)).await;
    let second = nodes.followers.pop().expect("there are two");
    let address = second.address;
    second.kill().await;
    for n in 1..=20 {
        let name = key(&format!("k{}", n % 4));
        nodes.cluster.set(&name, &json(&n.to_string())).await.ok().expect("one follower is enough");
    }
    let _second = Running::start(follower_config(address.port())).await;
    let dump = settle(&nodes.cluster).await;
    assert_eq!(dump.values().map(|entry| entry.version.get()).collect::<Vec<_>>(), [5, 5, 5, 5]);
}

/// The first delivery finds nobody; the resend counts as the confirmation that the client waits for.
#[tokio::test]
async fn a_resend_counts_while_the_client_waits() {
    let mut nodes = TcpCluster::start(2, 2, (0, 0)).await;
    let second = nodes.followers.pop().expect("there are two");
    let address = second.address;
    second.kill().await;
    let (name, value) = (key("x"), json("1"));
    let write = nodes.cluster.set(&name, &value);
    let restart = async {
        until(async || {
            let ready = nodes.cluster.client().ready(nodes.cluster.address(NodeRef::Leader)).await.expect("it answers");
            (!ready.ready).then_some(())
        })
        .await;
        Running::start(follower_config(address.port())).await
    };
    let (answer, _second) = tokio::join!(write, restart);
    assert_eq!(answer.ok().expect("the second follower came back in time").confirmations, 2);
}

#[tokio::test]
async fn a_leader_is_ready_while_enough_followers_answer() {
    let mut nodes = TcpCluster::start(2, 2, (0, 0)).await;
    let leader = nodes.cluster.address(NodeRef::Leader).clone();
    assert!(nodes.cluster.client().ready(&leader).await.expect("it answers").ready);
    let second = nodes.followers.pop().expect("there are two");
    let address = second.address;
    second.kill().await;
    let _ = nodes.cluster.set(&key("x"), &json("1")).await;
    let unready = nodes.cluster.client().ready(&leader).await.expect("it answers");
    assert!(!unready.ready);
    let says = format!("1 of 2 followers count, 2 must for a write; {address}: cannot connect: Connection refused");
    assert!(unready.detail.starts_with(&says), "{unready:?}");
    assert!(unready.detail.ends_with("; start it, or correct its address in FOLLOWERS"), "{unready:?}");
    let _second = Running::start(follower_config(address.port())).await;
    until(async || nodes.cluster.client().ready(&leader).await.expect("it answers").ready.then_some(())).await;
}

/// At a quorum of 1 any follower may be the only one that had a write, so a leader that starts waits for one that has lost its
/// memory, says so, and goes on when an operator accepts the loss.
#[tokio::test]
async fn a_leader_waits_for_what_may_be_lost_until_an_operator_accepts_that() {
    let mut nodes = TcpCluster::start(2, 1, (0, 0)).await;
    let (client, first) = (nodes.cluster.client().clone(), nodes.followers[0].address);
    let refused = |result: Result<AcceptedLoss, ReadError>| match result {
        Err(ReadError::Refused { status, detail, .. }) => (status.as_u16(), detail),
        other => panic!("it is not refused: {other:?}"),
    };
    let follower = HostPort::from(first);
    assert_eq!(refused(client.accept_loss(&follower, None).await).0, 403, "a follower waits for nobody");
    let leader = HostPort::from(nodes.leader.address);
    let (status, detail) = refused(client.accept_loss(&leader, None).await);
    assert!(status == 409 && detail.starts_with("there is no loss to accept"), "{detail}");
    nodes.cluster.set(&key("x"), &json("1")).await.ok().expect("both are there");
    settle(&nodes.cluster).await;
    // One follower and the leader lose their memory.
    let second = nodes.followers.pop().expect("there are two");
    let address = second.address;
    second.kill().await;
    nodes.leader.kill().await;
    let _second = Running::start(follower_config(address.port())).await;
    let leader = Running::start(leader_config(vec![first.into(), address.into()], 1, (0, 0))).await;
    let cluster = Cluster::new(client.clone(), leader.address.into(), vec![first.into(), address.into()]);
    let names_it = format!("; are new, or restarted empty: {address}");
    until(async || {
        let ready = client.ready(&leader.address.into()).await.expect("it answers");
        (!ready.ready && ready.detail.contains(&names_it)).then_some(())
    })
    .await;
    let Outcome::Failed(_) = cluster.set(&key("x"), &json("2")).await else { panic!("it knows of no version") };
    let accepted = client.accept_loss(&leader.address.into(), None).await.expect("there is something to accept");
    assert!(accepted.accepted && accepted.detail.contains(&names_it), "{}", accepted.detail);
    let answer = cluster.set(&key("x"), &json("2")).await.ok().expect("the leader goes on");
    assert_eq!(answer.version.get(), 2, "what the other follower remembers is kept");
    assert_eq!(holds(&settle(&cluster).await, "x"), (2, "2".into()));
}

/// A program that embeds a node gets an error where the protocol would panic later.
#[tokio::test]
async fn a_configuration_that_no_node_can_run_with_is_refused_before_the_port_is_taken() {
    let follower = || HostPort::new("127.0.0.1", 1);
    for (config, problem) in [
        (leader_config(vec![follower()], 2, (0, 0)), "write_quorum = 2: must be 1 to 1, the followers"),
        (leader_config(vec![follower()], 1, (2, 1)), "min_delay = 2ms: must not be above max_delay = 1ms"),
        (leader_config(vec![follower(), follower()], 1, (0, 0)), "follower 2 is 127.0.0.1:1, as one before it"),
    ] {
        let Err(error) = Node::bind(Tcp, config).await.map(|node| node.local_addr()) else { panic!("it is bound") };
        assert!(matches!(error, NodeError::Config(_)), "{error:?}");
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = Running::follower().await;
    let config = follower_config(taken.address.port());
    let Err(error) = Node::bind(Tcp, config).await.map(|node| node.local_addr()) else { panic!("it got the port") };
    let NodeError::Bind { address, .. } = &error else { panic!("{error}") };
    assert_eq!(*address, taken.address);
    assert!(
        error.to_string().starts_with(&format!("cannot listen on 127.0.0.1:{}: ", taken.address.port())),
        "{error}"
    );
}

/// A node as a process of its own, killed when dropped.
struct Process(std::process::Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_semisync"));
    command.arg("serve").env_clear().envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[test]
fn a_bad_variable_is_named_in_one_line_and_the_status_is_2() {
    let leader = [("ROLE", "leader"), ("FOLLOWERS", "127.0.0.1:1,127.0.0.1:2")];
    for (variable, value) in [
        ("ROLE", "boss"),
        ("PORT", "eighty"),
        ("HOST", "nowhere at all"),
        ("FOLLOWERS", "a:1,a:1"),
        ("WRITE_QUORUM", "3"),
        ("WRITE_QUORUM", "0"),
        ("MIN_DELAY", "1001"),
        ("MAX_DELAY", "soon"),
        ("REPL_TIMEOUT", "0"),
        ("MAX_BODY", "huge"),
        ("PEER_TOKEN", "two words"),
        ("SEED", "-1"),
    ] {
        let output = serve(&leader).env(variable, value).output().expect("it runs");
        let error = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{variable}={value}: {error}");
        assert!(error.starts_with(&format!("semisync: {variable}=")) && error.lines().count() == 1, "{error}");
    }
}

#[tokio::test]
async fn a_port_in_use_ends_the_process_with_status_2() {
    let taken = Running::follower().await;
    let port = taken.address.port().to_string();
    let output = serve(&[("PORT", &port), ("HOST", "127.0.0.1"), ("RUST_LOG", "error")]).output().expect("it runs");
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.starts_with(&format!("semisync: PORT={port}: ")) && error.lines().count() == 1, "{error}");
}

#[tokio::test]
async fn sigterm_drains_the_process_and_ends_it_with_status_0() {
    // The leader's epoch is the time, and so must the followers' clocks be.
    let drawn = || Config { incarnation: NodeIncarnation::draw().expect("random numbers"), ..follower_config(0) };
    let followers = [Running::start(drawn()).await, Running::start(drawn()).await];
    let list: Vec<String> = followers.iter().map(|node| node.address.to_string()).collect();
    // Bound and given back: nothing else takes a port of the loopback range in between.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let process = serve(&[
        ("ROLE", "leader"),
        ("HOST", "127.0.0.1"),
        ("PORT", &port.to_string()),
        ("FOLLOWERS", &list.join(",")),
        ("WRITE_QUORUM", "2"),
        ("MIN_DELAY", "500"),
        ("MAX_DELAY", "600"),
    ]);
    let mut process = Process({ process }.stderr(Stdio::null()).spawn().expect("it starts"));
    let leader = HostPort::from(SocketAddr::from(([127, 0, 0, 1], port)));
    let followers = followers.iter().map(|node| node.address.into()).collect();
    let cluster = Cluster::new(Client::new(Tcp, CLIENT_DEADLINE), leader.clone(), followers);
    until(async || cluster.client().health(&leader).await.ok()).await;
    let (name, value) = (key("x"), json("1"));
    let write = cluster.set(&name, &value);
    let terminate = async {
        until(async || cluster.dump(NodeRef::Leader).await.ok().filter(|dump| !dump.is_empty())).await;
        let pid = Pid::from_raw(process.0.id().cast_signed()).expect("a process id");
        kill_process(pid, Signal::TERM).expect("it runs");
    };
    let (answer, ()) = tokio::join!(write, terminate);
    assert_eq!(answer.ok().expect("the write was answered during the drain").confirmations, 2);
    let status = until(async || process.0.try_wait().expect("it is our child")).await;
    assert_eq!(status.code(), Some(0));
    assert_eq!(holds(&cluster.dump(f(2)).await.expect("it answers"), "x"), (1, "1".into()));
}

/// A request deadline does not depend on whether the port answers: a leader drains in bounded time though a follower
/// never answers, and says so.
#[tokio::test]
async fn a_leader_drains_though_a_follower_is_down() {
    let down = Running::follower().await;
    let leader = Running::start(leader_config(vec![down.address.into()], 1, (0, 0))).await;
    let cluster = Cluster::new(Client::new(Tcp, CLIENT_DEADLINE), leader.address.into(), Vec::new());
    let is_ready = async || cluster.client().ready(cluster.address(NodeRef::Leader)).await.ok().filter(|it| it.ready);
    until(is_ready).await;
    down.kill().await;
    let (name, value) = (key("x"), json("1"));
    let write = cluster.set(&name, &value);
    let drain = async {
        until(async || cluster.dump(NodeRef::Leader).await.ok().filter(|dump| !dump.is_empty())).await;
        tokio::time::timeout(Duration::from_secs(30), leader.drain()).await.expect("a bounded drain");
    };
    let (answer, ()) = tokio::join!(write, drain);
    let answer = answer.answer().expect("the leader answered");
    assert!(!answer.ok && answer.confirmations == 0);
}

/// Who comes to a follower with what only the leader can do is told where that one is, as it says itself; nothing if it does not.
#[tokio::test]
async fn a_follower_says_where_the_leader_is() {
    let follower = Running::follower().await;
    let (address, client) = (HostPort::from(follower.address), Client::new(Tcp, CLIENT_DEADLINE));
    let told = async || match client.set(&address, &key("x"), &json("1")).await {
        Outcome::Failed(Failed::Refused { status, leader, .. }) => (status.as_u16(), leader),
        other => panic!("a follower does not refuse a write: {other:?}"),
    };
    assert_eq!(told().await, (403, None), "before there is any leader");
    let advertise = Some(HostPort::new("db.example.net", 80));
    let leader = Running::start(advertising(&address, advertise.clone())).await;
    let ready = async |node: &Running| client.ready(&node.address.into()).await.ok().filter(|it| it.ready);
    until(async || ready(&leader).await).await;
    assert_eq!(told().await, (403, advertise.clone()));
    assert!(client.delete(&address, &key("x")).await.ok().is_none());
    match client.read(&address, &key("x"), ReadMode::Committed).await {
        Err(error @ ReadError::Refused { .. }) => {
            assert!(error.to_string().ends_with(" (the leader is db.example.net:80)"))
        }
        other => panic!("a follower answers {other:?}"),
    }
    leader.kill().await;
    assert_eq!(told().await, (403, advertise), "as far as it knows");
    let silent = Running::start(advertising(&address, None)).await;
    until(async || ready(&silent).await).await;
    assert_eq!(told().await, (403, None));
}

/// A leader of one follower that says where it is.
fn advertising(follower: &HostPort, advertise: Option<HostPort>) -> Config {
    let mut config = leader_config(vec![follower.clone()], 1, (0, 0));
    if let Role::Leader(role) = &mut config.role {
        role.advertise = advertise;
    }
    config
}
