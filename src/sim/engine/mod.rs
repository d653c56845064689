//! The turmoil engine: real nodes in a simulated network.

mod control;
mod links;
mod panics;
mod play;
mod recorder;
mod stage;
mod world;

pub use play::run;
pub use stage::{Stage, StageClient};
pub use world::{Run, SimError, World, require_determinism};
