//! A recorded run, as text for people, and what was measured, as figures: pure functions from what was recorded to what
//! is shown.

mod diagram;
mod divergence;
pub mod plot;
mod race;
mod swarm;
mod table;
mod verdicts;

pub use diagram::{Diagram, MOST_FOLLOWERS, MOST_WRITES};
pub use divergence::DivergenceReport;
pub use race::RaceReport;
pub use swarm::{ExercisedRow, FailedSeed, SwarmReport};
pub use verdicts::VerdictReport;
