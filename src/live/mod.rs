//! What is done to a cluster through its HTTP interface, be it live or simulated: the same code over any transport.

pub mod analyze;
pub mod load;
mod outcome;
mod preflight;
pub mod race;
mod settle;
pub mod verify;

pub use preflight::{Unfit, preflight};
pub use settle::Seen;
