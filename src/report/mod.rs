//! A recorded run, as text for people, and what was measured, as figures: pure functions from what was recorded to what
//! is shown.

mod analysis;
mod comparison;
mod diagram;
mod divergence;
mod exhaustive;
mod explanation;
mod load;
mod narration;
pub mod plot;
mod race;
mod stale;
mod status;
mod stories;
mod swarm;
mod table;
mod verdicts;
mod zoo;

pub use analysis::AnalysisReport;
pub use comparison::ComparisonReport;
pub use diagram::Diagram;
pub use divergence::DivergenceReport;
pub use exhaustive::{CounterexampleReport, SearchReport};
pub use explanation::{ExplainHint, ExplanationReport, FailuresPage, TopicList};
pub use load::LoadReport;
pub use narration::Narration;
pub use race::RaceReport;
pub use stale::StaleArrival;
pub use status::{AskedNode, StatusReport};
pub use stories::StoryResult;
pub use swarm::{ExcusedRow, ExercisedRow, FailureRow, JudgedRow, LossRow, SwarmReport};
pub use verdicts::{CoverageReport, VerdictReport, VerdictSummary};
pub use zoo::{ZooReport, ZooRow};
