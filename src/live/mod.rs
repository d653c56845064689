//! What is done to a cluster through its HTTP interface, be it live or simulated: the same code over any transport.

pub mod analyze;
