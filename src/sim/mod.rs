//! The deterministic simulator: whole clusters of real nodes in turmoil's simulated network and virtual time.
//!
//! The same binary, scenario and seed give the same [`Trace`](crate::base::trace::Trace), event for event, in another
//! process and on another machine.

pub mod engine;
mod generate;
mod race;
mod run;
pub mod scenario;
pub mod swarm;

pub use engine::{Run, SimError, Stage, StageClient, World};
pub use generate::Generator;
pub use race::Race;
pub use run::ScenarioRun;
