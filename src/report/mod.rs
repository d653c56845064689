//! A recorded run, as text for people: pure functions from what was recorded to what is printed.

mod analysis;
mod comparison;
mod diagram;
mod divergence;
mod load;
mod race;
mod stories;
mod swarm;
mod table;
mod verdicts;

pub use analysis::AnalysisReport;
pub use comparison::ComparisonReport;
pub use diagram::{Diagram, MOST_FOLLOWERS, MOST_WRITES};
pub use divergence::DivergenceReport;
pub use load::LoadReport;
pub use race::RaceReport;
pub use stories::StoryResult;
pub use swarm::{ExercisedRow, FailedSeed, SwarmReport};
pub use verdicts::VerdictReport;
