//! semisync: a key-value store with one leader, followers and semi-synchronous replication, and the deterministic
//! simulator in which it is developed.
//!
//! The layers, each importing only from those below it:
//!
//! | layer | what it is |
//! |---|---|
//! | `cli` | the commands |
//! | `testing` | assertions for `cargo test` (feature `sim`) |
//! | [`report`] | a recorded run, as text; what an analysis measured, as figures |
//! | `sim` | scenarios and the engines that run them (feature `sim`) |
//! | [`live`] | what is done to a cluster through its interface: race, verify, analyze, load |
//! | [`node`] | [`node::run`]: the protocol driven over a transport, the HTTP interface, the configuration |
//! | [`client`] | the typed client |
//! | [`net`] | the transport trait and its implementations, the emulated delays |
//! | [`check`] | what must hold of a run |
//! | [`core`](mod@core) | the protocol without I/O |
//! | [`base`] | keys, values, stamps, wire formats, traces, seeds |

pub mod base;
pub mod check;
pub mod client;
pub mod core;
pub mod live;
pub mod net;
pub mod node;
pub mod report;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "sim")]
pub mod testing;
