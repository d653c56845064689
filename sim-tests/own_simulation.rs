//! The library in a turmoil simulation that a user builds: nodes and recorded clients on hosts,
//! each with its own clock.

use std::future::pending;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use semisync::base::history::History;
use semisync::base::{Epoch, Key, NodeId, Seed, Value};
use semisync::client::{Client, Cluster, HistoryRecorder, RecordedClient};
use semisync::net::{HostPort, NetemConfig, Turmoil};
use semisync::node::{self, Config, LeaderRole, NodeIncarnation, Role};
use turmoil::{Builder, Sim};

const PORT: u16 = 8000;
const FOLLOWERS: [&str; 2] = ["one", "two"];

fn host_port(name: &str) -> HostPort {
    HostPort::new(name, PORT)
}

fn start_node(sim: &mut Sim<'_>, name: &str, number: u64, role: Role) {
    let role = Arc::new(role);
    sim.host(name, move || {
        let incarnation = NodeIncarnation { number, first_epoch: Epoch::FIRST };
        let listen = (Ipv4Addr::UNSPECIFIED, PORT).into();
        let config = Config::new((*role).clone(), listen, Seed::new(1), incarnation);
        async { Ok(node::run(Turmoil, config, pending()).await?) }
    });
}

/// A client that writes and reads one key, on a host of its own that starts at the present time of
/// the simulation.
fn start_client(sim: &mut Sim<'_>, number: u16, recorder: &HistoryRecorder) {
    let client = Client::new(Turmoil, Duration::from_secs(10));
    let cluster = Cluster::new(client, host_port("leader"), FOLLOWERS.map(host_port).into());
    let client = RecordedClient::new(number, cluster, Some(recorder.observer(NodeId::Client(number))));
    sim.client(format!("client-{number}"), async move {
        let key = Key::new("x")?;
        for value in 0..5 {
            let value = Value::from_json(&value.to_string())?;
            assert!(client.set(&key, &value).await.is_ok());
            client.get(NodeId::FIRST_SERVER, &key).await?;
        }
        Ok(())
    });
}

/// Runs two clients. The second starts a second after the first, and the recorder starts outside of
/// the simulation.
fn simulate() -> History {
    let recorder = HistoryRecorder::start(&Turmoil);
    let mut sim = Builder::new().rng_seed(7).build();
    for (number, name) in (1..).zip(FOLLOWERS) {
        start_node(&mut sim, name, number, Role::Follower);
    }
    let leader = LeaderRole {
        followers: FOLLOWERS.map(host_port).into(),
        write_quorum: 2,
        netem: NetemConfig { min_delay: Duration::ZERO, max_delay: Duration::from_millis(500) },
        repl_timeout: Duration::from_secs(5),
        advertise: None,
    };
    start_node(&mut sim, "leader", 0, Role::Leader(leader));
    start_client(&mut sim, 0, &recorder);
    while sim.elapsed() < Duration::from_secs(1) {
        assert!(!sim.step().expect("a tick"), "one client takes longer");
    }
    start_client(&mut sim, 1, &recorder);
    sim.run().expect("both clients finish");
    recorder.history()
}

/// Generators that live in a thread would carry over from one simulation to the next.
fn simulate_in_a_thread() -> History {
    thread::spawn(simulate).join().expect("a simulation")
}

#[test]
fn a_history_of_several_hosts_has_one_time_and_follows_from_the_seed() {
    let history = simulate_in_a_thread();
    assert_eq!(history, simulate_in_a_thread());
    assert_eq!(history.operations.len(), 20);
    let second = |operation: &&semisync::base::history::Operation| operation.client == NodeId::Client(1);
    let first_of_second = history.operations.iter().find(second).expect("the second client writes");
    let at = Duration::from(first_of_second.invoked.at);
    assert!((Duration::from_secs(1)..Duration::from_millis(1100)).contains(&at), "it began at {at:?}");
    let mut moments: Vec<_> = history
        .operations
        .iter()
        .flat_map(|operation| [Some(operation.invoked), operation.returned])
        .flatten()
        .map(|moment| (moment.index, moment.at))
        .collect();
    moments.sort_unstable();
    assert!(moments.is_sorted_by_key(|(_, at)| *at), "times go down: {moments:?}");
}
