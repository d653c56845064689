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
use crate::check::{self, Facts, Property, Recorded, Verdict};

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

    /// Checks that this engine can play a scenario in this build.
    ///
    /// # Errors
    /// [`SimError::Impossible`] or [`SimError::NotDeterministic`].
    pub(super) fn check(self, scenario: &Scenario) -> Result<(), SimError> {
        scenario.check().map_err(|error| SimError::Impossible(error.to_string()))?;
        match self {
            Self::Core => Ok(()),
            Self::Turmoil => require_determinism().and_then(|()| turmoil::refuse_what_turmoil_cannot(scenario)),
        }
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
#[derive(thiserror::Error)]
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

/// As derived, but for two variants. `unwrap` and `expect` print it, so that
/// [`SimError::NotDeterministic`] contains the remedy. [`SimError::Failed`] has the length of its
/// trace instead of thousands of records.
impl fmt::Debug for SimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDeterministic => write!(f, "NotDeterministic: {self}"),
            Self::Impossible(what) => f.debug_tuple("Impossible").field(what).finish(),
            Self::Failed { why, trace } => {
                let records = trace.records().len();
                f.debug_struct("Failed").field("why", why).field("records", &records).finish_non_exhaustive()
            }
        }
    }
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

/// Runs a scenario with its seed and judges the run. `returned` counts the operations that have ended, so that another
/// thread can show the progress.
///
/// The scenario is the only source of the seed, so its text replays the run: see [`Scenario::with_seed`] for another one.
///
/// # Errors
/// [`SimError`].
pub fn run(engine: Engine, scenario: &Scenario, returned: Arc<AtomicUsize>) -> Result<ScenarioRun, SimError> {
    Ok(judge(scenario, play(engine, scenario, returned)?))
}

/// The verdict on one property of a scenario; `None` if the run does not come to its end.
pub(super) fn verdict(engine: Engine, scenario: &Scenario, property: Property) -> Option<Verdict> {
    let played = play(engine, scenario, Arc::default()).ok()?;
    let records = played.trace.records();
    let history = History::from_records(records);
    let facts = Facts::from_records(records);
    let recorded = Recorded { records, history: &history, states: &played.states, facts: facts.as_ref() };
    Some(check::check(property, &recorded))
}

/// Runs a scenario with its seed and does not judge the run.
///
/// # Errors
/// [`SimError`].
pub fn play(engine: Engine, scenario: &Scenario, returned: Arc<AtomicUsize>) -> Result<Played, SimError> {
    scenario.check().map_err(|error| SimError::Impossible(error.to_string()))?;
    match engine {
        Engine::Turmoil => turmoil::play(scenario, returned),
        Engine::Core => core::play(scenario, returned),
    }
}

/// A scenario with the order written down in which a strategy lets things happen.
pub(super) fn schedule(scenario: &Scenario, strategy: Strategy) -> Result<Scenario, SimError> {
    scenario.check().map_err(|error| SimError::Impossible(error.to_string()))?;
    let core::Chosen { trace, struck } = core::choose(scenario, strategy)?;
    Ok(spell_out_order(scenario, &trace, &struck))
}

/// Has every checker look at what was played.
fn judge(scenario: &Scenario, played: Played) -> ScenarioRun {
    let Played { trace, states, virtual_time, strikes } = played;
    let records = trace.records();
    let history = History::from_records(records);
    let facts = Facts::from_records(records).expect("a simulated run begins with its cluster");
    let recorded = Recorded { records, history: &history, states: &states, facts: Some(&facts) };
    let verdicts = check::all(&recorded);
    ScenarioRun { scenario: scenario.clone(), trace, history, states, verdicts, virtual_time, strikes }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `unwrap` prints the `Debug` of an error, and this one is met by all who embed the simulator.
    #[test]
    fn what_unwrap_prints_says_what_to_do() {
        let printed = |error: SimError| format!("{:?}", Err::<(), _>(error).map_err(|error| vec![error]));
        let text = printed(SimError::NotDeterministic);
        assert!(text.contains("NotDeterministic: this build cannot simulate"), "{text}");
        assert!(text.contains("Build with RUSTFLAGS=\"--cfg tokio_unstable\"") && text.contains(".cargo/config.toml"));
        assert_eq!(printed(SimError::Impossible("no".into())), "Err([Impossible(\"no\")])");
        let failed = SimError::Failed { why: "no".into(), trace: Box::default() };
        assert_eq!(printed(failed), "Err([Failed { why: \"no\", records: 0, .. }])");
    }
}
