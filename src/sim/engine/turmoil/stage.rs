use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::arguments::Arguments;
use super::control::{Action, Control};
use super::links::Links;
use super::recorder::{Recorder, Watch};
use super::world::Healing;
use crate::base::trace::{Disturbance, Event, OperationId};
use crate::base::wire::{Dump, Found, SetAnswer};
use crate::base::{FollowerId, Key, Member, NodeId, NodeRef, ReadMode, Value};
use crate::client::{Client, Cluster, Outcome, ReadError, RecordedClient, WriteOptions};
use crate::net::Turmoil;
use crate::sim::engine::story::{self, FaultPlan};
use crate::sim::engine::triggers::Triggers;
use crate::sim::scenario::OperationName;

/// How long replicas may take to become equal, in virtual time: many times the longest delay and pause between resends.
const SETTLE_DEADLINE: Duration = Duration::from_secs(300);

/// How long a node may take to say whether it is up, and how often each is asked.
const PATIENCE: Duration = Duration::from_secs(60);
const TRIES: usize = 100;

/// What a story acts on: the cluster, its clients, and the network between them.
///
/// A call with an argument that cannot be, such as a node that the cluster does not have, does nothing and ends the
/// simulation: [`World::run`](super::World::run) returns [`SimError::Impossible`](crate::sim::SimError::Impossible), which
/// names the call, the argument and what is allowed.
#[derive(Clone)]
pub struct Stage {
    cluster: Cluster<Turmoil>,
    /// The followers that the leader replicates to.
    members: Arc<Mutex<Vec<FollowerId>>>,
    recorder: Recorder,
    control: Control,
    links: Links,
    clients: Arc<Mutex<BTreeMap<u16, RecordedClient<Turmoil>>>>,
}

impl Stage {
    pub(super) fn new(
        cluster: Cluster<Turmoil>,
        members: Arc<Mutex<Vec<FollowerId>>>,
        recorder: Recorder,
        control: Control,
    ) -> Self {
        Self { cluster, members, recorder, control, links: Links::default(), clients: Arc::default() }
    }

    /// The leader and its members.
    pub(super) fn replicas(&self) -> Cluster<Turmoil> {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let followers = members.into_iter().map(|id| self.cluster.address(id).clone()).collect();
        Cluster::new(self.cluster.client().clone(), self.cluster.address(NodeRef::Leader).clone(), followers)
    }

    /// The cluster, to be read and written without being recorded.
    pub fn cluster(&self) -> &Cluster<Turmoil> {
        &self.cluster
    }

    /// The client with this number, whose operations are recorded. Asked for twice, it goes on counting them.
    pub fn client(&self, number: u16) -> StageClient {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry(number).or_insert_with(|| {
            let observer = self.recorder.observer(NodeId::Client(number), 0);
            RecordedClient::new(number, self.cluster.clone(), Some(observer)).naming_operations()
        });
        StageClient { client: client.clone(), stage: self.clone() }
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

    /// Kills a node at the end of this tick. Its memory is lost, and its peers see their connections end. False if it is down
    /// already, which changes nothing.
    pub fn crash(&self, node: impl Into<NodeRef>) -> bool {
        let node = self.checked("crash", |arguments| arguments.node(node));
        node.is_some_and(|node| self.control.want(Action::Crash(node)))
    }

    /// From its next start on the leader has this quorum: so many followers must confirm a write.
    pub fn set_quorum(&self, write_quorum: usize) {
        if self.checked("set_quorum", |arguments| arguments.write_quorum(write_quorum)).is_some() {
            self.record(story::quorum(NodeId::FIRST_SERVER, write_quorum));
            self.control.want(Action::SetQuorum(write_quorum));
        }
    }

    /// From its next start on the leader replicates to these followers.
    pub fn set_members(&self, members: &[FollowerId]) {
        if self.checked("set_members", |arguments| arguments.members(members)).is_none() {
            return;
        }
        let named: Vec<Member> = members.iter().copied().map(Member::from).collect();
        self.recorder.record(NodeId::Network, story::members(NodeId::FIRST_SERVER, &named));
        self.control.want(Action::SetMembers(members.to_vec()));
    }

    /// An operator accepts at the leader that what only missing followers know is lost. False if the leader is down or does not
    /// wait for that, which changes nothing.
    pub async fn accept_loss(&self) -> bool {
        self.record(story::accept_loss(NodeId::FIRST_SERVER));
        self.cluster.client().accept_loss(self.cluster.address(NodeRef::Leader), None).await.is_ok()
    }

    /// Starts a node again, empty, at the end of this tick. False if it is up, which changes nothing.
    pub fn restart(&self, node: impl Into<NodeRef>) -> bool {
        let node = self.checked("restart", |arguments| arguments.node(node));
        node.is_some_and(|node| self.control.want(Action::Restart(node)))
    }

    /// Cuts a node off from all other nodes, both ways. What is on its way is lost, and nobody is told. Clients still
    /// reach it.
    pub fn isolate(&self, node: impl Into<NodeRef>) {
        let Some(node) = self.checked("isolate", |arguments| arguments.node(node)) else { return };
        self.fault(Disturbance::Isolate, &[node], format!("isolate {node}"));
        self.others(node).for_each(|other| {
            self.links.cut(node, other);
            self.links.cut(other, node);
        });
    }

    /// Ends [`Stage::isolate`].
    pub fn reconnect(&self, node: impl Into<NodeRef>) {
        let Some(node) = self.checked("reconnect", |arguments| arguments.node(node)) else { return };
        self.fault(Disturbance::Reconnect, &[node], format!("reconnect {node}"));
        self.others(node).for_each(|other| {
            self.links.mend(node, other);
            self.links.mend(other, node);
        });
    }

    /// Holds everything back that goes between a node and the others, both ways: a node that is paused looks like this
    /// from outside.
    pub fn hold(&self, node: impl Into<NodeRef>) {
        if let Some(node) = self.checked("hold", |arguments| arguments.node(node)) {
            self.record(story::hold(node));
            self.others(node).for_each(|other| self.links.hold(node, other));
        }
    }

    /// Lets go of what [`Stage::hold`] held back.
    pub fn release(&self, node: impl Into<NodeRef>) {
        if let Some(node) = self.checked("release", |arguments| arguments.node(node)) {
            self.record(story::release(node));
            self.others(node).for_each(|other| self.links.release(node, other));
        }
    }

    /// Loses everything that `from` sends to `to` from now on; the other direction stays.
    pub fn cut(&self, from: impl Into<NodeRef>, to: impl Into<NodeRef>) {
        if let Some((from, to)) = self.checked("cut", |arguments| arguments.link(from, to)) {
            self.record(story::cut(from, to));
            self.links.cut(from, to);
        }
    }

    /// Ends [`Stage::cut`].
    pub fn mend(&self, from: impl Into<NodeRef>, to: impl Into<NodeRef>) {
        if let Some((from, to)) = self.checked("mend", |arguments| arguments.link(from, to)) {
            self.record(story::mend(from, to));
            self.links.mend(from, to);
        }
    }

    /// Makes a link take this long, one way, from the end of this tick on.
    pub fn set_latency(&self, a: impl Into<NodeRef>, b: impl Into<NodeRef>, latency: Duration) {
        let link = self.checked("set_latency", |arguments| {
            arguments.time("latency", latency)?;
            arguments.link(a, b)
        });
        if let Some((a, b)) = link {
            self.record(story::apart(a, b, latency));
            self.control.want(Action::SetLatency(a, b, latency));
        }
    }

    /// Looks for the events that faults of this plan wait for, from now on.
    pub(super) fn watch(&self, plan: &FaultPlan, triggers: Triggers) -> Watch {
        self.recorder.watch(plan, triggers)
    }

    /// Ends every fault: nodes that are down are started, what is held back is let go, links carry everything again at
    /// their own latency, and messages are no longer lost, doubled or delayed.
    pub(super) fn heal(&self, healing: Healing) {
        self.record(story::healed());
        self.control.want(Action::HealMessages);
        let nodes: Vec<NodeId> = self.cluster.nodes().map(NodeRef::with_one_leader).collect();
        for (place, node) in nodes.iter().enumerate() {
            self.control.want(Action::Restart(*node));
            for other in &nodes[place + 1..] {
                self.links.heal(*node, *other);
                self.control.want(Action::SetLatency(*node, *other, healing.link_latency));
            }
        }
    }

    /// Says that everything is healed and has had the time to show it: every write from here on must succeed, and is not
    /// counted among those of the story.
    pub fn probe(&self) {
        self.record(story::probing());
    }

    /// Virtual time since the story began.
    pub fn now(&self) -> Duration {
        self.recorder.beginning().time(elapsed())
    }

    /// Waits until the cluster is up; from there on the story's time counts. A cluster that does not come up is a story of
    /// its own.
    pub(super) async fn begin(&self, latency: Duration) {
        // A client of its own, so that those of the story find no connections.
        let client = Client::new(Turmoil, PATIENCE);
        let is_up = async |node| client.ready(self.cluster.address(node)).await.is_ok_and(|answer| answer.ready);
        for _ in 0..TRIES {
            let mut all = true;
            for node in self.cluster.nodes() {
                all &= is_up(node).await;
            }
            if all {
                break;
            }
            sleep(latency).await;
        }
        // What the leader still wants to tell its followers.
        sleep(8 * latency).await;
        self.recorder.beginning().set(elapsed());
    }

    /// Checks the arguments of a call. If they cannot be used, the simulation ends with
    /// [`SimError::Impossible`] at the end of this tick.
    ///
    /// [`SimError::Impossible`]: crate::sim::SimError::Impossible
    fn checked<R>(&self, call: &str, check: impl FnOnce(Arguments) -> Result<R, String>) -> Option<R> {
        let checked = check(Arguments { followers: self.cluster.nodes().count() - 1 });
        checked.map_err(|what| self.control.refuse(format!("Stage::{call}: {what}"))).ok()
    }

    fn others(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        self.cluster.nodes().map(NodeRef::with_one_leader).filter(move |other| *other != node)
    }

    fn fault(&self, kind: Disturbance, nodes: &[NodeId], what: String) {
        self.record(Event::Fault { kind, nodes: nodes.to_vec(), latency: None, what });
    }

    fn record(&self, event: Event) {
        self.recorder.record(NodeId::Network, event);
    }
}

/// A client in a simulation. It does one thing after another; for concurrency there are several.
pub struct StageClient {
    client: RecordedClient<Turmoil>,
    stage: Stage,
}

impl StageClient {
    /// Writes a key through the leader; the value is a JSON text.
    ///
    /// # Panics
    /// If the key or the value is not one.
    pub async fn set(&self, key: &str, json: &str) -> Outcome<SetAnswer> {
        self.set_with(key, json, &WriteOptions::default()).await
    }

    /// Writes a key through the leader, with options; the value is a JSON text.
    ///
    /// # Panics
    /// If the key or the value is not one.
    pub async fn set_with(&self, key: &str, json: &str, options: &WriteOptions) -> Outcome<SetAnswer> {
        let value = Value::from_json(json).expect("a story writes JSON");
        self.client.set_with(&make_key(key), &value, options).await
    }

    /// Deletes a key through the leader.
    ///
    /// # Panics
    /// If the key is not one.
    pub async fn delete(&self, key: &str) -> Outcome<SetAnswer> {
        self.delete_with(key, &WriteOptions::default()).await
    }

    /// Deletes a key through the leader, with options.
    ///
    /// # Panics
    /// If the key is not one.
    pub async fn delete_with(&self, key: &str, options: &WriteOptions) -> Outcome<SetAnswer> {
        self.client.delete_with(&make_key(key), options).await
    }

    /// Reads a key from a node, in this mode.
    ///
    /// # Errors
    /// [`ReadError`].
    ///
    /// # Panics
    /// If the key is not one.
    pub async fn read(&self, node: impl Into<NodeRef>, key: &str, mode: ReadMode) -> Result<Option<Found>, ReadError> {
        self.client.read(node, &make_key(key), mode).await
    }

    /// Reads what a node stores for a key.
    ///
    /// # Errors
    /// [`ReadError`].
    ///
    /// # Panics
    /// If the key is not one.
    pub async fn get(&self, node: impl Into<NodeRef>, key: &str) -> Result<Option<Found>, ReadError> {
        self.client.get(node, &make_key(key)).await
    }

    /// Waits until this time of the simulation, if it has not come.
    pub(super) async fn wait_until(&self, at: Duration) {
        sleep(at.saturating_sub(self.stage.now())).await;
    }

    /// Gives the next operation this number.
    pub(super) fn number_next(&self, number: OperationId) {
        self.client.number_next(number);
    }

    /// Hangs up on the operation that is under way. The client learns nothing of what becomes of it.
    pub(super) fn hangs_up(&self, operation: OperationName) {
        self.stage.record(story::hang_up(operation));
        self.client.hung_up();
    }
}

fn elapsed() -> Duration {
    turmoil::sim_elapsed().expect("a stage exists inside a simulation")
}

fn make_key(text: &str) -> Key {
    Key::new(text).expect("a story uses valid keys")
}
