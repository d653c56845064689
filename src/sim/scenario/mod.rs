//! Scenarios: what is run, as data. A file in TOML says everything that a run depends on, so that it can be saved,
//! replayed, shrunk and drawn. `docs/SCENARIOS.md` is the reference of the format.

mod cluster;
mod expect;
mod fault;
mod forms;
mod order;
mod rules;
mod seed;
mod text;
mod workload;

pub(in crate::sim) use order::{remove_impossible, retain_possible};

pub use cluster::ClusterSpec;
pub use expect::{Claim, Expect, ExpectedOutcome};
pub use fault::{Fault, FaultKind, Links, OperationName, RpcEffect, RpcTarget, Target, Trigger, When};
pub use rules::{RuleSet, RulesSpec};
pub use workload::{ExplicitOperation, PlannedKind, PlannedOperation, ReadFrom, Workload};

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::{NodeId, NodeRef, Visible};

/// A cluster, what its clients do, what happens to it, and what must come of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is about, in a few words.
    pub name: String,
    /// Seed of the run, any `u64`. A file has seeds of 2^63 and above as text, because TOML
    /// integers are signed.
    #[serde(default, with = "seed")]
    pub seed: u64,
    /// The cluster.
    #[serde(default)]
    pub cluster: ClusterSpec,
    /// What its clients do.
    #[serde(default)]
    pub workload: Workload,
    /// What happens to it.
    #[serde(default, rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// What must come of it, for scenarios that are kept as tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
}

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// The text is not a scenario. The message shows the line.
    #[error("{path}: not a scenario: {problem}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong, where, and how it is written.
        problem: String,
    },
    /// It is one, but says something that cannot be.
    #[error("{0}")]
    Impossible(String),
}

impl Scenario {
    /// The same under these rules.
    #[must_use]
    pub fn with_rules(&self, rules: RulesSpec) -> Self {
        Self { cluster: ClusterSpec { rules, ..self.cluster.clone() }, ..self.clone() }
    }

    /// The same scenario with another seed.
    #[must_use]
    pub fn with_seed(&self, seed: u64) -> Self {
        Self { seed, ..self.clone() }
    }

    /// Reads a scenario from a file.
    ///
    /// # Errors
    /// [`ScenarioError`], which names the file, the line and the field.
    pub fn from_file(path: &Path) -> Result<Self, ScenarioError> {
        let name = Visible(&path.to_string_lossy()).to_string();
        let text =
            std::fs::read_to_string(path).map_err(|error| ScenarioError::Unreadable { path: name.clone(), error })?;
        let scenario = Self::from_toml(&text).map_err(|error| match error {
            ScenarioError::Malformed { problem, .. } => ScenarioError::Malformed { path: name.clone(), problem },
            ScenarioError::Impossible(what) => ScenarioError::Impossible(format!("{name}: {what}")),
            unreadable => unreadable,
        })?;
        Ok(scenario)
    }

    /// Reads a scenario from a text, and checks that it can be run.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn from_toml(text: &str) -> Result<Self, ScenarioError> {
        let malformed = |error| {
            let problem = forms::explain(text, &error);
            ScenarioError::Malformed { path: "scenario".into(), problem }
        };
        let scenario: Self = toml::from_str(text).map_err(malformed)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// The text of the scenario, without what has its default. Reading it gives the same scenario.
    ///
    /// # Panics
    /// If a number other than the seed is beyond the integers of TOML, which end at 2^63 - 1. [`Scenario::check`] refuses
    /// such a scenario.
    pub fn to_toml(&self) -> String {
        let mut text = toml::Table::try_from(self).expect("a scenario can be written as TOML");
        leave_out_defaults(&mut text, "cluster", ClusterSpec::default());
        leave_out_defaults(&mut text, "workload", Workload::default());
        text::write(&text)
    }

    /// What is expected of the run: what `[expect]` says, and how operations end.
    pub fn claims(&self) -> impl Iterator<Item = Claim> {
        let of_run = self.expect.into_iter().flat_map(Expect::claims);
        let ends = |(name, operation): (OperationName, &ExplicitOperation)| Some(Claim::Ends(name, operation.expect?));
        of_run.chain(self.workload.named().filter_map(ends))
    }

    /// Whether anything happens to the cluster that does not happen by itself.
    pub fn is_faulty(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Checks what the format alone cannot: that nodes exist and that numbers fit together.
    ///
    /// # Errors
    /// [`ScenarioError::Impossible`].
    pub fn check(&self) -> Result<(), ScenarioError> {
        self.cluster.check().map_err(|what| ScenarioError::Impossible(format!("cluster.{what}")))?;
        self.workload.check(self.cluster.all_followers()).map_err(ScenarioError::Impossible)?;
        for (place, fault) in self.faults.iter().enumerate() {
            self.check_fault(fault)
                .map_err(|what| ScenarioError::Impossible(format!("fault {}: {what}", place + 1)))?;
        }
        order::check(&self.cluster, &self.faults).map_err(ScenarioError::Impossible)
    }

    /// Takes clients that the workload does not have out of faults that would be refused because of them.
    pub(in crate::sim) fn forget_missing_clients(&mut self) {
        let Self { workload, faults, .. } = self;
        for fault in faults {
            if let FaultKind::Replace { keeps } = &mut fault.kind {
                keeps.retain(|client| workload.has_client(*client));
            }
        }
    }

    /// What cannot be of a fault by itself.
    fn check_fault(&self, fault: &Fault) -> Result<(), String> {
        let clients = self.workload.client_count();
        let takes_clients = matches!(fault.kind, FaultKind::Partition(_) | FaultKind::Heal(_) | FaultKind::Slow { .. });
        let unknown = fault.nodes().into_iter().find(|node| match node {
            // Which of these there are depends on the faults before.
            NodeRef::Leader | NodeRef::Former | NodeRef::Node(NodeId::Server(_)) => false,
            NodeRef::Node(NodeId::Follower(id)) => id.index() >= self.cluster.all_followers(),
            NodeRef::Node(NodeId::Client(id)) => !takes_clients || *id >= clients,
            NodeRef::Node(NodeId::Network) => true,
        });
        match unknown {
            Some(NodeRef::Node(NodeId::Client(id))) if id < clients => {
                let name = fault.kind.name();
                return Err(format!(
                    "{name}: {} is a client; of clients, links can be cut by partition and slowed by slow",
                    NodeId::Client(id)
                ));
            }
            Some(node) => {
                let followers = self.cluster.all_followers();
                return Err(format!(
                    "there is no node {node}; the followers are f1 to f{followers}, the clients c1 to c{clients}"
                ));
            }
            None => {}
        }
        let followers = self.cluster.all_followers();
        if let FaultKind::Quorum(quorum) = fault.kind
            && !(1..=followers).contains(&quorum)
        {
            return Err(format!("quorum = {quorum}: must be 1 to {followers}, the followers"));
        }
        for operation in fault.operations() {
            self.workload.require(operation)?;
        }
        fault.check()?;
        if let FaultKind::Replace { keeps } = &fault.kind
            && let Some(client) = keeps.iter().find(|client| !self.workload.has_client(**client))
        {
            let last = NodeId::Client(clients.saturating_sub(1));
            let allowed = if clients == 1 {
                format!("the only client is {last}")
            } else {
                format!("the clients are c1 to {last}")
            };
            return Err(format!("replace.keeps: there is no client {client}; {allowed}"));
        }
        Ok(())
    }
}

/// Takes out of a section what it says by default anyway.
fn leave_out_defaults(text: &mut toml::Table, section: &str, default: impl Serialize) {
    let default = toml::Table::try_from(default).expect("defaults can be written as TOML");
    if let Some(toml::Value::Table(fields)) = text.get_mut(section) {
        fields.retain(|name, value| default.get(name) != Some(value));
    }
}

/// The longest time that a scenario can name, an hour: far beyond every deadline, and far from where sums overflow.
const LONGEST_MS: u64 = 3_600_000;

/// Refuses a time that is longer than any can be.
fn require_ms(field: &str, ms: u64) -> Result<(), String> {
    if ms > LONGEST_MS { Err(format!("{field} = {ms}: must be at most {LONGEST_MS}, an hour")) } else { Ok(()) }
}
