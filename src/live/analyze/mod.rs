//! Latency against quorum: measured, and held against the law that it should follow.

mod line;
mod results;

pub use line::Line;
pub use results::{Consistency, Law, QuorumResult, StalenessPoint};
