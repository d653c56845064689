//! Scenarios: what is run, as data. A file in TOML says everything that a run depends on, so that it can be saved,
//! replayed, shrunk and drawn. `docs/SCENARIOS.md` is the reference of the format.

mod cluster;
mod fault;
mod order;
mod rules;
mod seed;
mod text;
mod workload;

pub(in crate::sim) use order::{remove_impossible, retain_possible};

pub use cluster::ClusterSpec;
pub use fault::{Fault, FaultKind, Links, OperationName, Target};
pub use rules::{RuleSet, RulesSpec};
pub use workload::{ExplicitOperation, PlannedKind, PlannedOperation, ReadFrom, Workload};

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::{NodeId, NodeRef};
use crate::check::{Finding, Property, Verdict};

/// A cluster, what its clients do, what happens to it, and what must come of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is about, in a few words.
    pub name: String,
    /// Seed of the run, any `u64`. A file has seeds of 2^63 and above as text, because TOML integers are signed.
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

/// What must come of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", try_from = "RawExpect", into = "RawExpect")]
pub enum Expect {
    /// No property is violated, and nothing is lost.
    Passes,
    /// This property is violated, and perhaps others with it.
    Violates(Property),
    /// Acknowledged data is lost, as the checker of this property finds, and nothing is violated.
    Loses(Property),
    /// This property is counted, and there are cases of it.
    Shows(Property),
}

impl Expect {
    /// Whether a run with these verdicts came out so.
    pub fn is_met_by(self, verdicts: &[Verdict]) -> bool {
        let none_violated = !verdicts.iter().any(Verdict::is_violated);
        let none_lost = !verdicts.iter().any(Verdict::is_lost);
        let of = |property| verdicts.iter().find(move |verdict| verdict.property == property);
        match self {
            Self::Passes => none_violated && none_lost,
            Self::Violates(property) => of(property).is_some_and(Verdict::is_violated),
            Self::Loses(property) => none_violated && of(property).is_some_and(Verdict::is_lost),
            Self::Shows(property) => {
                let shown = |finding: &Finding| matches!(finding, Finding::Counted { cases, .. } if *cases > 0);
                none_violated && of(property).is_some_and(|verdict| shown(&verdict.finding))
            }
        }
    }
}

impl std::fmt::Display for Expect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Passes => f.write_str("nothing is violated or lost"),
            Self::Violates(property) => write!(f, "{property} is violated"),
            Self::Loses(property) => write!(f, "{property} is lost"),
            Self::Shows(property) => write!(f, "there are cases of {property}"),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExpect {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    passes: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    violates: Option<Property>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loses: Option<Property>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shows: Option<Property>,
}

impl TryFrom<RawExpect> for Expect {
    type Error = String;

    fn try_from(raw: RawExpect) -> Result<Self, Self::Error> {
        match (raw.passes, raw.violates, raw.loses, raw.shows) {
            (Some(true), None, None, None) => Ok(Self::Passes),
            (None, Some(property), None, None) if property.is_counted() => Err(format!(
                "expect.violates: {property} is counted and never violated; shows = \"{property}\" can be expected"
            )),
            (None, Some(property), None, None) => Ok(Self::Violates(property)),
            (None, None, Some(property), None) if property.can_be_lost() => Ok(Self::Loses(property)),
            (None, None, Some(property), None) => Err(format!(
                "expect.loses: no verdict on {property} is ever LOST; durability and linearizability find losses"
            )),
            (None, None, None, Some(property)) if property.is_counted() => Ok(Self::Shows(property)),
            (None, None, None, Some(property)) => Err(format!(
                "expect.shows: {property} is judged and not counted; violates = \"{property}\" can be expected"
            )),
            _ => Err("expect needs exactly one of passes = true, violates = \"property\", loses = \"property\" or \
                      shows = \"property\""
                .into()),
        }
    }
}

impl From<Expect> for RawExpect {
    fn from(expect: Expect) -> Self {
        let none = Self { passes: None, violates: None, loses: None, shows: None };
        match expect {
            Expect::Passes => Self { passes: Some(true), ..none },
            Expect::Violates(property) => Self { violates: Some(property), ..none },
            Expect::Loses(property) => Self { loses: Some(property), ..none },
            Expect::Shows(property) => Self { shows: Some(property), ..none },
        }
    }
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
    #[error("{path}: not a scenario: {error}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong, and where.
        error: Box<toml::de::Error>,
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
        let name = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|error| ScenarioError::Unreadable { path: name.clone(), error })?;
        let scenario = Self::from_toml(&text).map_err(|error| match error {
            ScenarioError::Malformed { error, .. } => ScenarioError::Malformed { path: name.clone(), error },
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
        let malformed = |error| ScenarioError::Malformed { path: "scenario".into(), error: Box::new(error) };
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

    /// What cannot be of a fault by itself.
    fn check_fault(&self, fault: &Fault) -> Result<(), String> {
        let nodes = fault.kind.nodes();
        let unknown = nodes.iter().find(|node| match node {
            // Which of these there are depends on the faults before.
            NodeRef::Leader | NodeRef::Former | NodeRef::Node(NodeId::Server(_)) => false,
            NodeRef::Node(NodeId::Follower(id)) => id.index() >= self.cluster.all_followers(),
            NodeRef::Node(NodeId::Client(_) | NodeId::Network) => true,
        });
        if let Some(node) = unknown {
            return Err(format!("there is no node {node}"));
        }
        let followers = self.cluster.all_followers();
        if let FaultKind::Quorum(quorum) = fault.kind
            && !(1..=followers).contains(&quorum)
        {
            return Err(format!("quorum = {quorum}: must be 1 to {followers}, the followers"));
        }
        if let Some(operation) = fault.kind.operation() {
            self.workload.require(operation)?;
        }
        fault.check()
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
