//! What must hold of a run: pure functions over what was recorded of it, one property in each file.

pub mod convergence;
pub mod latency_law;
