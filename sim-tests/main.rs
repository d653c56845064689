//! The tests of whole clusters: in the simulator over many seeds, and the same stories on loopback TCP.

mod check;
mod compose_file;
mod deletion;
mod explain;
mod http;
mod http_wire;
mod interop;
mod lifecycle;
mod limits;
mod live;
mod live_commands;
mod names;
mod parity;
mod peers;
mod requests;
mod stories;
mod support;
mod tidy;

#[cfg(feature = "sim")]
mod arguments;
#[cfg(feature = "sim")]
mod checkers;
#[cfg(feature = "sim")]
mod client_links;
#[cfg(feature = "sim")]
mod conditions;
#[cfg(feature = "sim")]
mod corpus;
#[cfg(feature = "sim")]
mod determinism;
#[cfg(feature = "sim")]
mod doctor;
#[cfg(feature = "sim")]
mod engines;
#[cfg(feature = "sim")]
mod expectations;
#[cfg(feature = "sim")]
mod explore;
#[cfg(feature = "sim")]
mod faults;
#[cfg(feature = "sim")]
mod fuzzing;
#[cfg(feature = "sim")]
mod inert_faults;
#[cfg(feature = "sim")]
mod latency;
#[cfg(feature = "sim")]
mod leaders;
#[cfg(feature = "sim")]
mod overwriting;
#[cfg(feature = "sim")]
mod own_simulation;
#[cfg(feature = "sim")]
mod races;
#[cfg(feature = "sim")]
mod rpc_faults;
#[cfg(feature = "sim")]
mod scenarios;
#[cfg(feature = "sim")]
mod shrink;
#[cfg(feature = "sim")]
mod sim_command;
#[cfg(feature = "sim")]
mod slow_clients;
#[cfg(feature = "sim")]
mod slow_links;
mod slow_transfers;
#[cfg(feature = "sim")]
mod strategies;
#[cfg(feature = "sim")]
mod swarm;
#[cfg(feature = "sim")]
mod swarm_command;
#[cfg(feature = "sim")]
mod triggers;
