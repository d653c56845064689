//! What runs scenarios.
//!
//! - [`Engine::Turmoil`]: real nodes, with their HTTP servers and clients, in turmoil's simulated network.
//! - [`Engine::Core`]: the state machines of the protocol and one queue of events; no sockets, and hundreds of times the
//!   speed.
//!
//! Both run the same scenario files with the same draws and leave the same kind of trace, so the same checkers judge both.

mod core;
mod panics;
mod story;
mod strikes;
mod triggers;
mod turmoil;

pub use strikes::Strike;
pub(super) use triggers::Triggers;

pub use turmoil::{Run, Stage, StageClient, World, require_determinism};

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::run::ScenarioRun;
use super::scenario::Scenario;
use super::spell::spell_out_order;
use super::strategy::Strategy;
use crate::base::NodeId;
use crate::base::history::History;
use crate::base::trace::Trace;
use crate::base::wire::Dump;
use crate::check::{self, Facts, Property, Recorded};

/// What runs a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Real nodes in turmoil's simulated network.
    Turmoil,
    /// The protocol's state machines and one queue of events.
    Core,
}

impl Engine {
    /// Every engine.
    pub const ALL: [Self; 2] = [Self::Turmoil, Self::Core];

    /// What plays a scenario where nobody chooses: turmoil, where everything is real but the network, if it has the means for
    /// every fault.
    pub fn that_plays(scenario: &Scenario) -> Self {
        if turmoil::refuse_what_turmoil_cannot(scenario).is_ok() { Self::Turmoil } else { Self::Core }
    }

    /// The name that commands use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Turmoil => "turmoil",
            Self::Core => "core",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let engine = Self::ALL.into_iter().find(|engine| engine.name() == text);
        engine.ok_or_else(|| format!("there is no engine {text:?}; the engines are turmoil and core"))
    }
}

/// Why a simulation did not take place, or did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The program was built without `--cfg tokio_unstable`, and could not keep its promise of determinism.
    #[error(
        "this build cannot simulate: tokio's own random choices are seeded only with `--cfg tokio_unstable`. Build with \
         RUSTFLAGS=\"--cfg tokio_unstable\", or put rustflags = [\"--cfg\", \"tokio_unstable\"] under [build] into \
         .cargo/config.toml (an environment variable RUSTFLAGS overrides that file)"
    )]
    NotDeterministic,
    /// The cluster cannot be.
    #[error("{0}")]
    Impossible(String),
    /// It did not come to its end, or a node could not be read there.
    #[error("the simulation failed: {why}")]
    Failed {
        /// Why not.
        why: String,
        /// Everything that had happened by then.
        trace: Box<Trace>,
    },
}

/// What an engine leaves behind, before anybody judges it.
#[derive(Debug, Clone)]
pub struct Played {
    /// Everything that happened.
    pub trace: Trace,
    /// What each node stores in the end, the leader first.
    pub states: Vec<(NodeId, Dump)>,
    /// How long the operations took, in virtual time.
    pub virtual_time: Duration,
    /// For each fault, in the order of the scenario, whether it struck.
    pub strikes: Vec<Strike>,
}

/// Runs a scenario with this seed and judges the run. `returned` counts the operations that have ended, for whoever
/// watches from another thread.
///
/// # Errors
/// [`SimError`].
pub fn run(
    engine: Engine,
    scenario: &Scenario,
    seed: u64,
    returned: Arc<AtomicUsize>,
) -> Result<ScenarioRun, SimError> {
    Ok(judge(scenario, seed, play(engine, scenario, seed, returned)?))
}

/// Whether a scenario violates this property with this seed. A run that does not come to its end violates nothing.
pub(super) fn violates(engine: Engine, scenario: &Scenario, seed: u64, property: Property) -> bool {
    let Ok(played) = play(engine, scenario, seed, Arc::default()) else { return false };
    let records = played.trace.records();
    let history = History::from_records(records);
    let facts = Facts::from_records(records);
    let recorded = Recorded { records, history: &history, states: &played.states, facts: facts.as_ref() };
    check::check(property, &recorded).is_violated()
}

/// Runs a scenario with this seed and leaves it to others to judge the run.
///
/// # Errors
/// [`SimError`].
pub fn play(engine: Engine, scenario: &Scenario, seed: u64, returned: Arc<AtomicUsize>) -> Result<Played, SimError> {
    scenario.check().map_err(|error| SimError::Impossible(error.to_string()))?;
    match engine {
        Engine::Turmoil => turmoil::play(scenario, seed, returned),
        Engine::Core => core::play(scenario, seed, returned),
    }
}

/// A scenario with the order written down in which a strategy lets things happen.
pub(super) fn schedule(scenario: &Scenario, seed: u64, strategy: Strategy) -> Result<Scenario, SimError> {
    scenario.check().map_err(|error| SimError::Impossible(error.to_string()))?;
    let core::Chosen { trace, struck } = core::choose(scenario, seed, strategy)?;
    Ok(spell_out_order(scenario, &trace, &struck))
}

/// Has every checker look at what was played.
fn judge(scenario: &Scenario, seed: u64, played: Played) -> ScenarioRun {
    let Played { trace, states, virtual_time, strikes } = played;
    let records = trace.records();
    let history = History::from_records(records);
    let facts = Facts::from_records(records).expect("a simulated run begins with its cluster");
    let recorded = Recorded { records, history: &history, states: &states, facts: Some(&facts) };
    let verdicts = check::all(&recorded);
    ScenarioRun { scenario: scenario.clone(), seed, trace, history, states, verdicts, virtual_time, strikes }
}
