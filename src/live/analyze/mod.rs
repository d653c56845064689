//! Latency against quorum: measured, and held against the law that it should follow.

mod line;
mod measure;
mod results;
mod staleness;
mod statistics;

pub use line::Line;
pub use measure::{AnalyzeError, Plan, measure, running_quorum};
pub use results::{Consistency, Law, QuorumResult, StalenessPoint};
