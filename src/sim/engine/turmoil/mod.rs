//! The turmoil engine: real nodes in a simulated network.

mod arguments;
mod control;
mod links;
mod play;
mod recorder;
mod stage;
mod world;

pub(super) use play::{play, refuse_what_turmoil_cannot};
pub use stage::{Stage, StageClient};
pub use world::{Run, World, require_determinism};
