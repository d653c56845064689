//! The deterministic simulator: whole clusters in virtual time, as real nodes in turmoil's simulated network, or as the
//! bare state machines of the protocol; see [`Engine`].
//!
//! The same binary, scenario and seed give the same [`Trace`](crate::base::trace::Trace), event for event, in another
//! process and on another machine.

pub mod arbitrary;
pub mod engine;
pub mod exhaustive;
mod expectation;
mod generate;
mod inert;
mod race;
mod run;
pub mod scenario;
pub mod shrink;
mod spell;
mod strategy;
pub mod swarm;
pub mod zoo;

pub use engine::{Engine, Played, Run, SimError, Stage, StageClient, Strike, World};
pub use expectation::Expectation;
pub use generate::Generator;
pub use inert::InertFault;
pub use race::Race;
pub use run::ScenarioRun;
pub use strategy::Strategy;
