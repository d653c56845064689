//! A recorded run, as text for people, and what was measured, as figures: pure functions from what was recorded to what
//! is shown.

mod analysis;
mod comparison;
mod diagram;
mod divergence;
mod load;
pub mod plot;
mod race;
mod stories;
mod swarm;
mod table;
mod verdicts;

pub use analysis::AnalysisReport;
pub use comparison::ComparisonReport;
pub use diagram::Diagram;
pub use divergence::DivergenceReport;
pub use load::LoadReport;
pub use race::RaceReport;
pub use stories::StoryResult;
pub use swarm::{ExercisedRow, FailureRow, JudgedRow, SwarmReport};
pub use verdicts::VerdictReport;
