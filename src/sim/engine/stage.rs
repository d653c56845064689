use std::cell::Cell;
use std::time::Duration;

use tokio::time::sleep;

use super::control::{Action, Control};
use super::recorder::Recorder;
use super::world::Healing;
use crate::base::trace::{Event, OperationId, Outcome as Returned};
use crate::base::wire::{Dump, Found, SetAnswer};
use crate::base::{Key, NodeId, Stamp, Value};
use crate::client::{Cluster, Outcome, ReadError};
use crate::net::Turmoil;

/// How long replicas may take to become equal, in virtual time: many times the longest delay and pause between resends.
const SETTLE_DEADLINE: Duration = Duration::from_secs(300);

/// What a story acts on: the cluster, its clients, and the network between them.
#[derive(Clone)]
pub struct Stage {
    cluster: Cluster<Turmoil>,
    recorder: Recorder,
    control: Control,
}

impl Stage {
    pub(super) fn new(cluster: Cluster<Turmoil>, recorder: Recorder, control: Control) -> Self {
        Self { cluster, recorder, control }
    }

    /// The cluster, to be read and written without being recorded.
    pub fn cluster(&self) -> &Cluster<Turmoil> {
        &self.cluster
    }

    /// A client whose operations are recorded. Clients are told apart by their numbers.
    pub fn client(&self, number: u16) -> StageClient {
        StageClient { node: NodeId::Client(number), stage: self.clone(), operations: Cell::new(0) }
    }

    /// Waits until all replicas are equal and returns what they hold.
    ///
    /// # Panics
    /// If they are not within five virtual minutes.
    pub async fn settle(&self) -> Dump {
        match self.cluster.settle(SETTLE_DEADLINE).await {
            Ok(dump) => dump,
            Err(error) => panic!("the replicas did not become equal: {error}"),
        }
    }

    /// Kills a node at the end of this tick. Its memory is lost, and its peers see their connections end.
    pub fn crash(&self, node: NodeId) {
        self.control.want(Action::Crash(node));
    }

    /// Starts a node again, empty, at the end of this tick.
    pub fn restart(&self, node: NodeId) {
        self.control.want(Action::Restart(node));
    }

    /// Cuts a node off from all other nodes, both ways. What is on its way is lost, and nobody is told. Clients still
    /// reach it.
    pub fn isolate(&self, node: NodeId) {
        self.fault(format!("isolate {node}"));
        self.others(node).for_each(|other| turmoil::partition(node.to_string(), other.to_string()));
    }

    /// Ends [`Stage::isolate`].
    pub fn reconnect(&self, node: NodeId) {
        self.fault(format!("reconnect {node}"));
        self.others(node).for_each(|other| turmoil::repair(node.to_string(), other.to_string()));
    }

    /// Holds everything back that goes between a node and the others, both ways: a node that is paused looks like this
    /// from outside.
    pub fn hold(&self, node: NodeId) {
        self.fault(format!("hold {node}"));
        self.others(node).for_each(|other| turmoil::hold(node.to_string(), other.to_string()));
    }

    /// Lets go of what [`Stage::hold`] held back.
    pub fn release(&self, node: NodeId) {
        self.fault(format!("release {node}"));
        self.others(node).for_each(|other| turmoil::release(node.to_string(), other.to_string()));
    }

    /// Loses everything that `from` sends to `to` from now on; the other direction stays.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.fault(format!("cut {from} to {to}"));
        turmoil::partition_oneway(from.to_string(), to.to_string());
    }

    /// Ends [`Stage::cut`].
    pub fn mend(&self, from: NodeId, to: NodeId) {
        self.fault(format!("mend {from} to {to}"));
        turmoil::repair_oneway(from.to_string(), to.to_string());
    }

    /// Makes a link take this long, one way, from the end of this tick on.
    pub fn set_latency(&self, a: NodeId, b: NodeId, latency: Duration) {
        self.fault(format!("{a} and {b} are {} ms apart", latency.as_millis()));
        self.control.want(Action::SetLatency(a, b, latency));
    }

    /// Ends every fault: nodes that are down are started, what is held back is let go, links carry everything again at
    /// their own latency, and messages are no longer lost, doubled or delayed.
    pub(super) fn heal(&self, healing: Healing) {
        self.fault("heal everything".into());
        self.control.want(Action::HealMessages);
        let nodes: Vec<NodeId> = self.cluster.nodes().collect();
        for (place, node) in nodes.iter().enumerate() {
            self.control.want(Action::Restart(*node));
            for other in &nodes[place + 1..] {
                turmoil::repair(node.to_string(), other.to_string());
                turmoil::release(node.to_string(), other.to_string());
                self.control.want(Action::SetLatency(*node, *other, healing.link_latency));
            }
        }
    }

    /// How many records the trace has so far.
    pub fn records(&self) -> usize {
        self.recorder.len()
    }

    /// Virtual time since the simulation began.
    pub fn now(&self) -> Duration {
        turmoil::sim_elapsed().expect("a stage exists inside a simulation")
    }

    fn others(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        self.cluster.nodes().filter(move |other| *other != node)
    }

    /// A fault is recorded where it strikes nobody in particular: as the first client's doing.
    fn fault(&self, what: String) {
        self.recorder.record(NodeId::Client(0), Event::Fault { what });
    }
}

/// A client in a simulation. It does one thing after another; for concurrency there are several.
pub struct StageClient {
    node: NodeId,
    stage: Stage,
    operations: Cell<OperationId>,
}

impl StageClient {
    /// Writes a key through the leader; the value is a JSON text.
    ///
    /// # Panics
    /// If the key or the value is not one.
    pub async fn set(&self, key: &str, json: &str) -> Outcome<SetAnswer> {
        let (key, value) = (make_key(key), Value::from_json(json).expect("a story writes JSON"));
        let operation = self.next_operation();
        let cluster = &self.stage.cluster;
        self.record(Event::InvokeSet { operation, target: NodeId::Leader, key: key.clone(), value: value.clone() });
        let name = operation_key(self.node, operation);
        let outcome = cluster.client().set_as(cluster.address(NodeId::Leader), &key, &value, Some(name)).await;
        let stamp = outcome.answer().map(|answer| Stamp::of_version(answer.version));
        let returned = match &outcome {
            Outcome::Ok(_) => Returned::Ok,
            Outcome::Failed(_) => Returned::Failed,
            Outcome::Unknown(_) => Returned::Unknown,
        };
        let confirmed = outcome.answer().map(|answer| (answer.confirmations, answer.required));
        self.record(Event::Return { operation, outcome: returned, stamp, value: None, confirmed });
        outcome
    }

    /// Reads a key from a node.
    ///
    /// # Errors
    /// [`ReadError`].
    ///
    /// # Panics
    /// If the key is not one.
    pub async fn get(&self, node: NodeId, key: &str) -> Result<Option<Found>, ReadError> {
        let key = make_key(key);
        let operation = self.next_operation();
        let cluster = &self.stage.cluster;
        self.record(Event::InvokeGet { operation, target: node, key: key.clone() });
        let found = cluster.client().get(cluster.address(node), &key).await;
        let (outcome, stamp, value) = match &found {
            Ok(Some(found)) => (Returned::Ok, Some(Stamp::of_version(found.version)), Some(found.value.clone())),
            Ok(None) => (Returned::Absent, None, None),
            Err(_) => (Returned::Failed, None, None),
        };
        self.record(Event::Return { operation, outcome, stamp, value, confirmed: None });
        found
    }

    /// Waits until this time of the simulation, if it has not come.
    pub(super) async fn wait_until(&self, at: Duration) {
        sleep(at.saturating_sub(self.stage.now())).await;
    }

    /// Gives the next operation this number.
    pub(super) fn number_next(&self, number: OperationId) {
        self.operations.set(number - 1);
    }

    /// Hangs up on the operation that is under way. The client learns nothing of what becomes of it.
    pub(super) fn hangs_up(&self) {
        let operation = self.operations.get();
        let outcome = Returned::Unknown;
        self.record(Event::Return { operation, outcome, stamp: None, value: None, confirmed: None });
    }

    fn next_operation(&self) -> OperationId {
        self.operations.set(self.operations.get() + 1);
        self.operations.get()
    }

    fn record(&self, event: Event) {
        self.stage.recorder.record(self.node, event);
    }
}

/// The name by which the emulated network draws the fate of an operation's messages: its client and its number. It fits
/// no other operation of a run, and stays the same when others are taken away.
pub(super) fn operation_key(client: NodeId, number: OperationId) -> u64 {
    client.code() << 24 | number
}

fn make_key(text: &str) -> Key {
    Key::new(text).expect("a story uses valid keys")
}
