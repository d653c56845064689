use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{ExpectedOutcome, OperationName, require_ms};
use crate::base::trace::OperationId;
use crate::base::{FollowerId, Key, NodeId, NodeRef, ReadMode, Seed, Version};

/// What clients do: operations that are drawn, operations that are written down, or both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workload {
    /// How many clients share the drawn operations, each doing one after another.
    pub clients: u16,
    /// How many operations are drawn.
    pub operations: usize,
    /// On how many keys: `k1`, `k2`, ….
    pub keys: u64,
    /// The share of the drawn operations that read, 0 to 1.
    pub reads: f64,
    /// The share of the drawn operations that delete, of those that do not read, 0 to 1.
    pub deletes: f64,
    /// The share of the drawn writes, of those before which their client wrote, that do not write anything new but ask for the
    /// client's last write once more, 0 to 1. If there are any, every drawn write has a name by which the leader knows it again.
    pub retries: f64,
    /// Where they read.
    pub read_from: ReadFrom,
    /// What drawn reads at the leader may find; those at followers are local.
    pub read_mode: ReadMode,
    /// The shortest and the longest pause of a client before each drawn operation, in milliseconds.
    pub think_ms: [u64; 2],
    /// Drawn operations that are left out. All others are as they would be with them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<OperationName>,
    /// Operations that are written down.
    #[serde(rename = "operation", skip_serializing_if = "Vec::is_empty")]
    pub explicit: Vec<ExplicitOperation>,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            clients: 1,
            operations: 0,
            keys: 1,
            reads: 0.0,
            deletes: 0.0,
            retries: 0.0,
            read_from: ReadFrom::Any,
            read_mode: ReadMode::Linearizable,
            think_ms: [0, 0],
            without: Vec::new(),
            explicit: Vec::new(),
        }
    }
}

/// Where drawn reads go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadFrom {
    /// To any node, drawn for each read.
    Any,
    /// To the leader.
    Leader,
    /// To any follower, drawn for each read.
    Followers,
}

/// An operation that is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawOperation", into = "RawOperation")]
pub struct ExplicitOperation {
    /// The client, counted from 1, that does it.
    pub client: u16,
    /// Its number among those of its client; without it, the one after the last.
    pub number: Option<OperationId>,
    /// When it does, in milliseconds; later if it is not done with the one before.
    pub at_ms: u64,
    /// What it does.
    pub kind: PlannedKind,
    /// The key.
    pub key: Key,
    /// See [`PlannedOperation::request`].
    pub request: Option<OperationName>,
    /// See [`PlannedOperation::if_version`].
    pub if_version: Option<u64>,
    /// How it must end, for scenarios that are kept as tests.
    pub expect: Option<ExpectedOutcome>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOperation {
    #[serde(default = "first_client", skip_serializing_if = "is_first_client")]
    client: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<OperationId>,
    #[serde(default, skip_serializing_if = "is_zero")]
    at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    set: Option<Key>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delete: Option<Key>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    get: Option<Key>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<NodeRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<ReadMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<OperationName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    if_version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expect: Option<ExpectedOutcome>,
}

fn first_client() -> u16 {
    1
}

fn is_first_client(client: &u16) -> bool {
    *client == first_client()
}

fn is_zero(ms: &u64) -> bool {
    *ms == 0
}

impl TryFrom<RawOperation> for ExplicitOperation {
    type Error = &'static str;

    fn try_from(raw: RawOperation) -> Result<Self, Self::Error> {
        let RawOperation { client, number, at_ms, set, delete, get, from, mode, request, if_version, expect } = raw;
        if client == 0 {
            return Err("clients are counted from 1");
        }
        let of_kind = |kind, key| Self { client, number, at_ms, kind, key, request, if_version, expect };
        match (set, delete, get, from.is_some() || mode.is_some()) {
            (Some(key), None, None, false) => Ok(of_kind(PlannedKind::Set, key)),
            (None, Some(key), None, false) => Ok(of_kind(PlannedKind::Delete, key)),
            (None, None, Some(_), _) if expect == Some(ExpectedOutcome::Unknown) => Err(
                "expect = \"unknown\" is for a set or a delete; a get that is not answered has no effect, and is \"refused\"",
            ),
            (None, None, Some(_), _) if request.is_some() => {
                Err("a get has no request: only a set or a delete has a name by which the leader knows it again")
            }
            (None, None, Some(_), _) if if_version.is_some() => {
                Err("a get has no if_version: only a set or a delete can require a version")
            }
            (None, None, Some(key), _) => {
                let from = from.unwrap_or(NodeRef::Leader);
                let mode = mode.unwrap_or_else(|| PlannedKind::usual_mode(from));
                if from != NodeRef::Leader && mode != ReadMode::Local {
                    return Err(
                        "a follower can be read locally only; mode = \"committed\" or \"linearizable\" is for the leader",
                    );
                }
                Ok(of_kind(PlannedKind::Get { from, mode }, key))
            }
            _ => Err(
                "an operation needs exactly one of set = \"key\", delete = \"key\" or get = \"key\"; only a get has from and mode",
            ),
        }
    }
}

impl From<ExplicitOperation> for RawOperation {
    fn from(operation: ExplicitOperation) -> Self {
        let ExplicitOperation { client, number, at_ms, kind, key, request, if_version, expect } = operation;
        let (set, delete, get, from, mode) = (None, None, None, None, None);
        let raw = Self { client, number, at_ms, set, delete, get, from, mode, request, if_version, expect };
        match kind {
            PlannedKind::Set => Self { set: Some(key), ..raw },
            PlannedKind::Delete => Self { delete: Some(key), ..raw },
            PlannedKind::Get { from, mode } => {
                let mode = Some(mode).filter(|mode| *mode != PlannedKind::usual_mode(from));
                Self { get: Some(key), from: Some(from), mode, ..raw }
            }
        }
    }
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlannedKind {
    /// It writes a value that no other operation writes.
    Set,
    /// It deletes the key.
    Delete,
    /// It reads.
    Get {
        /// From this node.
        from: NodeRef,
        /// What it may find.
        mode: ReadMode,
    },
}

impl PlannedKind {
    /// Whether it writes; to delete is to write, too.
    pub fn is_write(self) -> bool {
        !matches!(self, Self::Get { .. })
    }

    /// The node that it asks.
    pub fn target(self) -> NodeRef {
        match self {
            Self::Set | Self::Delete => NodeRef::Leader,
            Self::Get { from, .. } => from,
        }
    }

    /// A read from this node, in the mode that scenarios use unless they say otherwise.
    pub fn get(from: NodeRef) -> Self {
        Self::Get { from, mode: Self::usual_mode(from) }
    }

    /// At the leader, where all is promised, linearizable; at followers local, for there is nothing else.
    fn usual_mode(from: NodeRef) -> ReadMode {
        if from == NodeRef::Leader { ReadMode::Linearizable } else { ReadMode::Local }
    }
}

/// An operation as a client will do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedOperation {
    /// Its number among those of its client.
    pub number: OperationId,
    /// Not before this time.
    pub at_ms: u64,
    /// And after a pause of this length.
    pub think_ms: u64,
    /// What it does.
    pub kind: PlannedKind,
    /// The key.
    pub key: Key,
    /// Of a write that has a name by which the leader knows it again: the operation that it was named after. If that is another
    /// one, this is a retry of it, and writes the same.
    pub request: Option<OperationName>,
    /// The version that the write requires the key to have; 0 for an absent key. Otherwise the leader refuses it.
    pub if_version: Option<u64>,
}

/// The most operations, clients and keys of a scenario: as many as the race of the command line can
/// have.
const MOST_OPERATIONS: usize = 1_000_000;
const MOST_CLIENTS: u16 = 10_000;
const MOST_KEYS: u64 = 1_000_000;

impl Workload {
    /// The operations of each client, in their order: first those that are drawn, then those that are written down. What
    /// is drawn for an operation depends on the seed, its client and its number, and on no other operation.
    pub fn plan(&self, seed: Seed, followers: usize) -> Vec<(NodeId, Vec<PlannedOperation>)> {
        let seed = seed.fork("workload");
        let plan = |client: u16| {
            let id = NodeId::Client(client);
            let mut plan: Vec<PlannedOperation> = (1..=self.share(client))
                .filter(|number| !self.without.contains(&OperationName { client, number: *number }))
                .map(|number| self.draw(seed, client, number, followers))
                .collect();
            plan.extend(self.written(client).map(|(number, operation)| PlannedOperation {
                number,
                at_ms: operation.at_ms,
                think_ms: 0,
                kind: operation.kind,
                key: operation.key.clone(),
                request: operation.request,
                if_version: operation.if_version,
            }));
            (id, plan)
        };
        (0..self.client_count()).map(plan).collect()
    }

    /// How many clients there are.
    pub(in crate::sim) fn client_count(&self) -> u16 {
        let last = self.explicit.iter().map(|operation| operation.client).max().unwrap_or(0);
        if self.operations == 0 { last } else { self.clients.max(last) }
    }

    /// Whether the workload has this client.
    pub(super) fn has_client(&self, client: NodeId) -> bool {
        matches!(client, NodeId::Client(id) if id < self.client_count())
    }

    /// Refuses the name of an operation that the workload does not have. One that it leaves out has a name all the same, so
    /// that to leave it out one need not look for the faults that act on it.
    pub(super) fn require(&self, operation: OperationName) -> Result<(), String> {
        let OperationName { client, number } = operation;
        if number <= self.share(client) || self.written(client).any(|(written, _)| written == number) {
            return Ok(());
        }
        let last = self.written(client).map(|(number, _)| number).last().unwrap_or(self.share(client));
        let has = match last {
            0 => format!("{} has none", NodeId::Client(client)),
            last if number < last => format!("{} leaves that number out", NodeId::Client(client)),
            number => format!("the last of this client is {}", OperationName { client, number }),
        };
        Err(format!("there is no operation {operation}: {has}"))
    }

    /// The names of the operations that are drawn, those that are left out among them.
    pub(in crate::sim) fn drawn(&self) -> impl Iterator<Item = OperationName> {
        let of_client = |client| (1..=self.share(client)).map(move |number| OperationName { client, number });
        (0..self.clients).flat_map(of_client)
    }

    /// The operations that are written down, with their names.
    pub(in crate::sim) fn named(&self) -> impl Iterator<Item = (OperationName, &ExplicitOperation)> {
        let clients: BTreeSet<u16> = self.explicit.iter().map(|operation| operation.client - 1).collect();
        let of_client =
            |client| self.written(client).map(move |(number, operation)| (OperationName { client, number }, operation));
        clients.into_iter().flat_map(of_client)
    }

    /// Whether there is an operation of this name.
    pub(in crate::sim) fn has(&self, operation: OperationName) -> bool {
        self.require(operation).is_ok()
    }

    /// The operations that are written down for a client, counted from 0, with their numbers.
    fn written(&self, client: u16) -> impl Iterator<Item = (OperationId, &ExplicitOperation)> {
        let mut last = self.share(client);
        self.explicit.iter().filter(move |operation| operation.client == client + 1).map(move |operation| {
            last = operation.number.unwrap_or(last + 1);
            (last, operation)
        })
    }

    /// How many drawn operations fall to a client.
    fn share(&self, client: u16) -> OperationId {
        let (clients, client) = (usize::from(self.clients), usize::from(client));
        if client >= clients {
            return 0;
        }
        (self.operations / clients + usize::from(client < self.operations % clients)) as OperationId
    }

    fn draw(&self, seed: Seed, client: u16, number: OperationId, followers: usize) -> PlannedOperation {
        let mut drawn = self.draw_anew(seed, client, number, followers);
        if self.retries > 0.0 && drawn.kind.is_write() {
            drawn.request = Some(OperationName { client, number });
            let is_retry =
                || (seed.draw(&[client.into(), number, 5]).between(1, 1_000_000) as f64) <= self.retries * 1e6;
            // What comes before is as it would be drawn, whether or not it is left out.
            if number > 1 && is_retry() {
                let PlannedOperation { kind, key, request, .. } = self.draw(seed, client, number - 1, followers);
                if kind.is_write() {
                    return PlannedOperation { kind, key, request, ..drawn };
                }
            }
        }
        drawn
    }

    fn draw_anew(&self, seed: Seed, client: u16, number: OperationId, followers: usize) -> PlannedOperation {
        // What is drawn for is the last word of the key, so that one more kind of draw changes no other.
        let draw = |purpose: u64| seed.draw(&[client.into(), number, purpose]);
        let key = format!("k{}", draw(0).between(1, self.keys));
        let is_read = self.reads > 0.0 && (draw(1).between(1, 1_000_000) as f64) <= self.reads * 1e6;
        let is_delete = || self.deletes > 0.0 && (draw(4).between(1, 1_000_000) as f64) <= self.deletes * 1e6;
        let follower = |place: u64| NodeRef::from(FollowerId(place as u8));
        let from = || match self.read_from {
            ReadFrom::Leader => NodeRef::Leader,
            ReadFrom::Followers => follower(draw(2).between(0, followers as u64 - 1)),
            ReadFrom::Any => match draw(2).between(0, followers as u64) {
                0 => NodeRef::Leader,
                place => follower(place - 1),
            },
        };
        let read = |from| match from {
            NodeRef::Leader => PlannedKind::Get { from, mode: self.read_mode },
            follower => PlannedKind::get(follower),
        };
        let [shortest, longest] = self.think_ms;
        PlannedOperation {
            number,
            at_ms: 0,
            think_ms: if shortest == longest { shortest } else { draw(3).between(shortest, longest) },
            kind: match is_read {
                true => read(from()),
                false if is_delete() => PlannedKind::Delete,
                false => PlannedKind::Set,
            },
            key: Key::new(&key).expect("a short name"),
            request: None,
            if_version: None,
        }
    }

    /// Refuses a name that would stand for two writes: that of an operation which does not have it itself.
    fn check_request(&self, name: OperationName) -> Result<(), String> {
        let is_drawn = name.number <= self.share(name.client);
        let named = self.written(name.client).find(|(number, _)| *number == name.number);
        if (is_drawn && self.retries == 0.0) || named.is_some_and(|(_, first)| first.request != Some(name)) {
            return Err(format!(
                "workload.operation.request = \"{name}\": {name} itself does not have this name; it needs request = \"{name}\", or \
                 workload.retries above 0 if it is drawn"
            ));
        }
        Ok(())
    }

    /// What cannot be, in words that name the field.
    pub(super) fn check(&self, followers: usize) -> Result<(), String> {
        if self.operations == 0 && self.explicit.is_empty() {
            return Err("workload: nothing to do; set operations, or write [[workload.operation]] down".into());
        }
        let operations = self.operations.saturating_add(self.explicit.len());
        if operations > MOST_OPERATIONS {
            return Err(format!("workload: {operations} operations are too many; at most {MOST_OPERATIONS} can be"));
        }
        let written = self.explicit.iter().map(|operation| operation.client).max();
        for (field, clients) in [("clients", self.clients), ("operation.client", written.unwrap_or(0))] {
            if clients > MOST_CLIENTS {
                return Err(format!("workload.{field} = {clients}: must be at most {MOST_CLIENTS}"));
            }
        }
        if self.operations > 0 && self.clients == 0 {
            return Err("workload.clients = 0: must be at least 1".into());
        }
        if !(1..=MOST_KEYS).contains(&self.keys) {
            return Err(format!("workload.keys = {}: must be 1 to {MOST_KEYS}", self.keys));
        }
        for (field, share) in [("reads", self.reads), ("deletes", self.deletes), ("retries", self.retries)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("workload.{field} = {share}: must be a share from 0 to 1"));
            }
        }
        if self.think_ms[0] > self.think_ms[1] {
            return Err(format!("workload.think_ms = {:?}: must be [shortest, longest]", self.think_ms));
        }
        require_ms("workload.think_ms[1]", self.think_ms[1])?;
        for operation in &self.without {
            if operation.number > self.share(operation.client) {
                let drawn = "only operations that are drawn can be left out, and this is none of them";
                return Err(format!("workload.without: {operation}: {drawn}"));
            }
        }
        let stranger = |node: &NodeRef| match node {
            NodeRef::Leader => false,
            NodeRef::Node(NodeId::Follower(id)) => id.index() >= followers,
            NodeRef::Former | NodeRef::Node(NodeId::Server(_) | NodeId::Client(_) | NodeId::Network) => true,
        };
        let mut last: BTreeMap<u16, OperationId> = BTreeMap::new();
        for operation in &self.explicit {
            let client =
                operation.client.checked_sub(1).ok_or("workload.operation.client: clients are counted from 1")?;
            let last = last.entry(client).or_insert_with(|| self.share(client));
            let number = operation.number.unwrap_or(*last + 1);
            if number <= *last || number > MOST_OPERATIONS as OperationId {
                let allowed = format!("must be {} to {MOST_OPERATIONS}, for it follows number {last}", *last + 1);
                return Err(format!("workload.operation.number = {number}: {allowed} of its client"));
            }
            *last = number;
            require_ms("workload.operation.at_ms", operation.at_ms)?;
            operation.request.map_or(Ok(()), |name| self.check_request(name))?;
            if let Some(version) = operation.if_version.filter(|version| *version > Version::MAX.get()) {
                let most = Version::MAX;
                return Err(format!(
                    "workload.operation.if_version = {version}: must be 0 to {most}; 0 is an absent key"
                ));
            }
            if let PlannedKind::Get { from, .. } = operation.kind
                && stranger(&from)
            {
                return Err(format!("workload.operation: there is no node {from} to read from"));
            }
        }
        Ok(())
    }
}
