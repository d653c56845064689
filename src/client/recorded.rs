use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Cluster, Outcome, ReadError, WriteOptions};
use crate::base::trace::{Event, Observer, OperationId, Outcome as Returned, operation_name};
use crate::base::wire::{Found, SetAnswer};
use crate::base::{Key, NodeId, NodeRef, ReadMode, Value};
use crate::net::Transport;

/// A client whose operations are recorded: when each was invoked, when it returned and with what. It is the same in a
/// simulation and against a live cluster, so that one form of history comes from both.
///
/// It does one thing after another; for concurrency there are several, each with an observer of its own.
#[derive(Clone)]
pub struct RecordedClient<T> {
    client: NodeId,
    cluster: Cluster<T>,
    /// Who is told; nobody, if nobody wants to know.
    observer: Option<Arc<dyn Observer>>,
    /// How many operations it has begun.
    begun: Arc<AtomicU64>,
    names_operations: bool,
}

impl<T: Transport> RecordedClient<T> {
    /// The client with this number, counted from 0. Its operations are reported to the observer, if there is one.
    pub fn new(number: u16, cluster: Cluster<T>, observer: Option<Arc<dyn Observer>>) -> Self {
        let client = NodeId::Client(number);
        Self { client, cluster, observer, begun: Arc::default(), names_operations: false }
    }

    /// The same client, which tells the leader the name of each write. The emulated network then draws the fate of its
    /// messages by that name: what a simulation needs, and what would make measured latencies repeat themselves.
    #[must_use]
    pub fn naming_operations(self) -> Self {
        Self { names_operations: true, ..self }
    }

    /// Writes a key through the leader.
    pub async fn set(&self, key: &Key, value: &Value) -> Outcome<SetAnswer> {
        self.set_with(key, value, &WriteOptions::default()).await
    }

    /// Writes a key through the leader, with options.
    pub async fn set_with(&self, key: &Key, value: &Value, options: &WriteOptions) -> Outcome<SetAnswer> {
        let operation = self.begin();
        let target = NodeId::FIRST_SERVER;
        self.observe(|| {
            let (key, value) = (key.clone(), value.clone());
            let WriteOptions { request: request_id, if_version } = options.clone();
            Event::InvokeSet { operation, target, key, value, request_id, if_version }
        });
        let (leader, name) = (self.cluster.address(target), self.name(operation));
        self.returned(operation, self.cluster.client().set_with(leader, key, value, name, options).await)
    }

    /// Deletes a key through the leader.
    pub async fn delete(&self, key: &Key) -> Outcome<SetAnswer> {
        self.delete_with(key, &WriteOptions::default()).await
    }

    /// Deletes a key through the leader, with options.
    pub async fn delete_with(&self, key: &Key, options: &WriteOptions) -> Outcome<SetAnswer> {
        let operation = self.begin();
        let target = NodeId::FIRST_SERVER;
        self.observe(|| {
            let WriteOptions { request: request_id, if_version } = options.clone();
            Event::InvokeDelete { operation, target, key: key.clone(), request_id, if_version }
        });
        let (leader, name) = (self.cluster.address(target), self.name(operation));
        self.returned(operation, self.cluster.client().delete_with(leader, key, name, options).await)
    }

    /// What the leader is told of an operation's name.
    fn name(&self, operation: OperationId) -> Option<u64> {
        self.names_operations.then(|| operation_name(self.client, operation))
    }

    /// Records how a write ended.
    fn returned(&self, operation: OperationId, outcome: Outcome<SetAnswer>) -> Outcome<SetAnswer> {
        let stamp = outcome.answer().map(|answer| answer.stamp());
        let returned = match &outcome {
            Outcome::Ok(_) => Returned::Ok,
            Outcome::Failed(_) => Returned::Failed,
            Outcome::Unknown(_) => Returned::Unknown,
        };
        let confirmed = outcome.answer().map(|answer| (answer.confirmations, answer.required));
        self.observe(|| Event::Return { operation, outcome: returned, stamp, value: None, confirmed });
        outcome
    }

    /// Reads what a node stores for a key.
    ///
    /// # Errors
    /// [`ReadError`]. A read from a node that the cluster does not have is not recorded.
    pub async fn get(&self, node: impl Into<NodeRef>, key: &Key) -> Result<Option<Found>, ReadError> {
        self.read(node, key, ReadMode::Local).await
    }

    /// Reads a key from a node, in this mode.
    ///
    /// # Errors
    /// [`ReadError`]. A read from a node that the cluster does not have is not recorded.
    pub async fn read(&self, node: impl Into<NodeRef>, key: &Key, mode: ReadMode) -> Result<Option<Found>, ReadError> {
        let node = node.into();
        let address = self.cluster.find(node)?;
        let operation = self.begin();
        let target = node.with_one_leader();
        self.observe(|| Event::InvokeGet { operation, target, key: key.clone(), mode });
        let found = self.cluster.client().read(address, key, mode).await;
        let (outcome, stamp, value) = match &found {
            Ok(Some(found)) => (Returned::Ok, Some(found.stamp()), Some(found.value.clone())),
            Ok(None) => (Returned::Absent, None, None),
            Err(_) => (Returned::Failed, None, None),
        };
        self.observe(|| Event::Return { operation, outcome, stamp, value, confirmed: None });
        found
    }

    /// Gives the next operation this number instead of the one after the last.
    pub fn number_next(&self, number: OperationId) {
        self.begun.store(number - 1, Ordering::Relaxed);
    }

    /// Records that the client hung up on the operation that it had begun last: it learns nothing of what becomes of it.
    pub fn hung_up(&self) {
        let operation = self.begun.load(Ordering::Relaxed);
        let outcome = Returned::Unknown;
        self.observe(|| Event::Return { operation, outcome, stamp: None, value: None, confirmed: None });
    }

    fn observe(&self, event: impl FnOnce() -> Event) {
        if let Some(observer) = &self.observer {
            observer.record(event());
        }
    }

    fn begin(&self) -> OperationId {
        self.begun.fetch_add(1, Ordering::Relaxed) + 1
    }
}
