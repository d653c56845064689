//! The deterministic simulator: whole clusters of real nodes in turmoil's simulated network and virtual time.
//!
//! The same binary, scenario and seed give the same [`Trace`](crate::base::trace::Trace), event for event, in another
//! process and on another machine.

mod race;
mod recorder;
mod stage;
mod world;

pub use race::{Race, RaceRun};
pub use stage::{Stage, StageClient};
pub use world::{Run, SimError, World};
