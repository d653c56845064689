//! What an analysis measured, as figures. Pure like the rest of `report`: a figure comes out as bytes, and whoever asked
//! for it writes them.

mod axis;
mod canvas;
mod distribution;
mod figure;
mod latency;
mod look;
mod setting;
mod sheet;
mod staleness;
mod unit;

pub use distribution::latency_distribution;
pub use figure::{Figure, HEIGHT, PlotError, WIDTH};
pub use latency::latency_vs_quorum;
pub use staleness::staleness;

#[cfg(test)]
mod tests;
