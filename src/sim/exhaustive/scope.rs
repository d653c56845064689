use std::ops::Range;
use std::time::Duration;

use crate::base::{Epoch, FollowerId, FollowerSet, Key, Member, NodeId, NodeRef, Seed, Value};
use crate::check::Property;
use crate::core::{Configuration, Leader, LeaderConfig, LeaderId, Limits, Rules};
use crate::sim::scenario::{ClusterSpec, Fault, FaultKind, OperationName, PlannedKind, Scenario, Target};

/// The most followers of a scope: beyond, the states are too many for any search.
pub(super) const MOST_FOLLOWERS: usize = 4;
/// The most operations.
const MOST_OPERATIONS: usize = 16;
/// The most faults.
const MOST_FAULTS: usize = 32;

/// The properties that a search judges. The others are not of single runs without time: sessions and prefix are counted,
/// and the law of latencies is about time.
pub const JUDGED: [Property; 8] = [
    Property::Integrity,
    Property::Linearizability,
    Property::Durability,
    Property::Convergence,
    Property::Acknowledgement,
    Property::MonotonicState,
    Property::Liveness,
    Property::Bounds,
];

/// Those of them whose acknowledged data can be lost for a documented cause.
pub(super) const LOSABLE: [Property; 2] = [Property::Linearizability, Property::Durability];

/// What is searched: a small cluster, what its clients do and in which order, and which faults may happen, each once and at
/// any time.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The file that says so, with what flags have changed.
    pub scenario: Scenario,
    /// Client by client, in their order.
    pub(super) operations: Vec<Operation>,
    /// The places of each client's operations.
    pub(super) clients: Vec<Range<usize>>,
    /// What the operations are about.
    pub(super) keys: Vec<Key>,
    /// What the leader is configured with at its first start, at its second, and so on; the last stays.
    pub(super) configurations: Vec<Configured>,
    pub(super) faults: Vec<Budgeted>,
    pub(super) reduction: Reduction,
}

/// How much that makes no difference a search leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reduction {
    /// Nothing: all states are told apart.
    None,
    /// States count as one that differ only by names, or by what can have no effect any more. Clients that are alike begin in one order,
    /// and a leader that is down is started at once.
    Alike,
    /// Besides, questions arrive at once, and answers, where it makes no difference when they do.
    Prompt,
}

/// What a leader is configured with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Configured {
    pub(super) members: Vec<Member>,
    pub(super) quorum: usize,
}

/// What a client does.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) name: OperationName,
    pub(super) kind: PlannedKind,
    /// Its place among the keys.
    pub(super) key: usize,
    /// What it writes; none if it deletes or reads.
    pub(super) value: Option<Value>,
}

/// A fault that may happen once.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Budgeted {
    /// To a message, or the answer to it.
    Message(MessageFault, Target),
    /// A node loses its memory.
    Crash(NodeId),
}

/// What may happen to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageFault {
    Drop,
    DropReply,
    Duplicate,
    Late,
}

/// How many faults of a kind there may be, in place of those of the file. They strike any message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultBudgets {
    /// Messages that are lost.
    pub drops: Option<u8>,
    /// Answers that are lost.
    pub drop_replies: Option<u8>,
    /// Messages that arrive twice.
    pub duplicates: Option<u8>,
    /// Messages that take longer than the deadline.
    pub late: Option<u8>,
}

/// Why a scenario is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScopeError(String);

/// What a scope can have.
const ALLOWED: &str = "a scope has operations that are written down, and of faults drop, drop_reply, duplicate, delay (the \
     deadline may pass while the message is on its way) and crash, each of which may strike once, at any time, and quorum and members, \
     which the next start of the leader has; restart says nothing, for a node that is down may be started at any time";

impl Scope {
    /// Reads a scope from a scenario. Its times mean nothing: everything may happen at any time.
    ///
    /// # Errors
    /// [`ScopeError`] for what has no meaning without time, and for what is too large.
    pub fn new(mut scenario: Scenario, budgets: FaultBudgets) -> Result<Self, ScopeError> {
        scenario.check().map_err(|error| ScopeError(error.to_string()))?;
        budgets.apply(&mut scenario);
        let refuse = |what: String| Err(ScopeError(format!("{what}; {ALLOWED}")));
        let workload = &scenario.workload;
        if workload.operations > 0 {
            return refuse("workload.operations: drawn operations have no place in a scope".into());
        }
        if let Some(name) = workload.explicit.iter().find_map(|operation| operation.request) {
            return refuse(format!("request = \"{name}\": retries have no place in a scope"));
        }
        if let Some(version) = workload.explicit.iter().find_map(|operation| operation.if_version) {
            return refuse(format!("if_version = {version}: conditional writes have no place in a scope"));
        }
        let (followers, operations) = (scenario.cluster.all_followers(), workload.explicit.len());
        for (what, number, most) in [
            ("followers", followers, MOST_FOLLOWERS),
            ("operations", operations, MOST_OPERATIONS),
            ("faults", scenario.faults.len(), MOST_FAULTS),
        ] {
            if number > most {
                return Err(ScopeError(format!("{number} {what} are too many to be searched; at most {most} can be")));
            }
        }
        let mut scope = Self {
            operations: Vec::new(),
            clients: Vec::new(),
            keys: Vec::new(),
            configurations: Vec::new(),
            faults: Vec::new(),
            reduction: Reduction::Prompt,
            scenario,
        };
        for (place, fault) in scope.scenario.faults.iter().enumerate() {
            match budgeted(fault) {
                Ok(budgeted) => scope.faults.extend(budgeted),
                Err(what) => return refuse(format!("fault {}: {what}", place + 1)),
            }
        }
        scope.read_operations();
        scope.read_configurations();
        Ok(scope)
    }

    /// The same scope with every state told apart from every other one: the same is found, and it takes longer.
    #[must_use]
    pub fn without_reduction(self) -> Self {
        Self { reduction: Reduction::None, ..self }
    }

    /// The same scope with everything that happens as a step of its own.
    pub(super) fn step_by_step(self) -> Self {
        Self { reduction: self.reduction.min(Reduction::Alike), ..self }
    }

    /// Whether states count as one that differ by what makes no difference: the names of followers that nothing names (any more)
    /// and of clients that do the same, and what is on its way for nothing.
    pub fn is_reduced(&self) -> bool {
        self.reduction >= Reduction::Alike
    }

    /// Whether a node may crash, which loses its memory.
    pub fn has_crashes(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault, Budgeted::Crash(_)))
    }

    /// Whether nothing but their names tells two clients, given by their operations, apart: they do the same, and no fault is
    /// about what one of them does.
    pub(super) fn are_alike(&self, one: &Range<usize>, other: &Range<usize>) -> bool {
        let is_target = |place: &usize| {
            let name = self.operations[*place].name;
            self.faults
                .iter()
                .any(|fault| matches!(fault, Budgeted::Message(_, target) if target.operation == Some(name)))
        };
        let what = |place: usize| (self.operations[place].kind, self.operations[place].key);
        self.is_reduced()
            && one.len() == other.len()
            && one.clone().map(what).eq(other.clone().map(what))
            && !one.clone().chain(other.clone()).any(|place| is_target(&place))
    }

    /// How many followers must confirm what this incarnation of the leader accepts.
    pub(super) fn quorum_of(&self, life: u8) -> usize {
        self.configuration_of(life).quorum
    }

    /// What this incarnation of the leader is configured with: the changes that the faults name come one after another.
    pub(super) fn configuration_of(&self, life: u8) -> &Configured {
        &self.configurations[usize::from(life).min(self.configurations.len() - 1)]
    }

    fn read_configurations(&mut self) {
        let ClusterSpec { followers, write_quorum, .. } = self.scenario.cluster;
        let members = FollowerId::first(followers).map(Member::from).collect();
        let mut configured = Configured { members, quorum: write_quorum };
        self.configurations = vec![configured.clone()];
        for fault in &self.scenario.faults {
            match &fault.kind {
                FaultKind::Quorum(quorum) => configured.quorum = *quorum,
                FaultKind::Members(members) => {
                    configured.members.clone_from(members);
                    configured.members.sort_by_key(|member| member.follower);
                }
                _ => continue,
            }
            self.configurations.push(configured.clone());
        }
    }

    /// Which decisions of the protocol are in force.
    pub(super) fn rules(&self) -> Rules {
        self.scenario.cluster.rules.rules()
    }

    /// A leader that begins this of its lives.
    pub(super) fn leader(&self, life: u8) -> Leader {
        let ClusterSpec { window, part_keys, .. } = self.scenario.cluster;
        let Configured { members, quorum } = self.configuration_of(life);
        let names = members.iter().map(Member::name).collect();
        Leader::new(LeaderConfig {
            id: LeaderId(life.into()),
            first_epoch: Epoch::new(u64::from(life) + 1),
            configuration: Configuration { members: names, write_quorum: *quorum },
            followers: members.iter().map(|member| member.follower).collect(),
            // Its timers go off whenever the search lets them.
            repl_timeout: Duration::from_secs(1),
            limits: Limits { window, part_keys, ..Limits::default() },
            seed: Seed::new(0),
            rules: self.rules(),
        })
    }

    fn read_operations(&mut self) {
        let plan = self.scenario.workload.plan(Seed::new(self.scenario.seed), self.scenario.cluster.followers);
        for (client, operations) in plan {
            let NodeId::Client(client) = client else { continue };
            let first = self.operations.len();
            for operation in operations {
                let name = OperationName { client, number: operation.number };
                let key = self.keys.iter().position(|key| *key == operation.key).unwrap_or_else(|| {
                    self.keys.push(operation.key.clone());
                    self.keys.len() - 1
                });
                let value = Value::from_json(&format!("\"{name}\"")).expect("a name in quotes is JSON");
                let value = (operation.kind == PlannedKind::Set).then_some(value);
                self.operations.push(Operation { name, kind: operation.kind, key, value });
            }
            self.clients.push(first..self.operations.len());
        }
    }

    /// The followers that an operation or a fault names, of those that are still to come by their places. All others are alike.
    pub(super) fn named(
        &self,
        operation_is_left: impl Fn(usize) -> bool,
        fault_is_left: impl Fn(usize) -> bool,
    ) -> FollowerSet {
        let recovers = self.rules().recover_on_start;
        // Where members change, each is told by the configurations that it is in.
        let changes = self.configurations.iter().any(|other| other.members != self.configurations[0].members);
        if !self.is_reduced() || changes {
            return FollowerSet::first(self.scenario.cluster.all_followers());
        }
        let of_operations = self.operations.iter().enumerate().map(|(place, operation)| match operation.kind {
            PlannedKind::Get { from, .. } if operation_is_left(place) => Some(from.with_one_leader()),
            _ => None,
        });
        let of_faults = self.faults.iter().enumerate().map(|(place, fault)| match fault {
            Budgeted::Message(_, target) if fault_is_left(place) => target.to.map(NodeRef::with_one_leader),
            // Where nobody asks who has crashed, answers that are on their way say so by name.
            Budgeted::Crash(node) if fault_is_left(place) || !recovers => Some(*node),
            _ => None,
        });
        let mut named = FollowerSet::default();
        for node in of_operations.chain(of_faults).flatten() {
            if let NodeId::Follower(id) = node {
                named.insert(id);
            }
        }
        named
    }
}

/// What a fault of a file is in a scope; none if it says nothing.
fn budgeted(fault: &Fault) -> Result<Option<Budgeted>, String> {
    if fault.when.is_some() {
        return Err("when has no meaning here: faults strike at every moment".into());
    }
    let (kind, target) = match &fault.kind {
        FaultKind::Crash(node) => return Ok(Some(Budgeted::Crash(node.with_one_leader()))),
        FaultKind::Restart(_) | FaultKind::Quorum(_) | FaultKind::Members(_) => return Ok(None),
        FaultKind::Drop(target) => (MessageFault::Drop, target),
        FaultKind::DropReply(target) => (MessageFault::DropReply, target),
        FaultKind::Duplicate { target, .. } => (MessageFault::Duplicate, target),
        FaultKind::Delay { target, .. } => (MessageFault::Late, target),
        FaultKind::Rpc { target, .. } => {
            return Err(format!("rpc = \"{}\": faults of RPCs have no meaning here", target.rpc));
        }
        other => return Err(format!("{} has no meaning here", other.name())),
    };
    if target.per_mille != 1000 {
        return Err(format!("per_mille = {}: a share has no meaning here", target.per_mille));
    }
    Ok(Some(Budgeted::Message(kind, target.clone())))
}

impl FaultBudgets {
    fn apply(self, scenario: &mut Scenario) {
        let any = || Target { operation: None, to: None, attempt: None, per_mille: 1000 };
        let of = [
            (self.drops, FaultKind::Drop(any())),
            (self.drop_replies, FaultKind::DropReply(any())),
            (self.duplicates, FaultKind::Duplicate { target: any(), delay_ms: None }),
            (self.late, FaultKind::Delay { target: any(), delay_ms: 0 }),
        ];
        for (number, kind) in of {
            let Some(number) = number else { continue };
            scenario.faults.retain(|fault| fault.kind.name() != kind.name());
            let fault = Fault::at(0, kind);
            scenario.faults.extend(std::iter::repeat_n(fault, number.into()));
        }
    }
}
