//! Exhaustive search of small scopes: every order in which a handful of operations, messages, answers, timers and faults
//! can happen to the protocol's state machines, by [stateright]. `docs/EXHAUSTIVE.md` says what is searched and what is not.
//!
//! [stateright]: https://docs.rs/stateright

mod action;
mod confirm;
mod export;
mod fingerprint;
#[cfg(test)]
mod futures;
mod judge;
mod memory;
mod model;
mod past;
mod prompt;
mod scope;
mod search;
mod serve;
mod state;
mod step;
mod story;

pub use action::{Action, Fate, Parcel};
pub use confirm::{Confirmation, confirm};
pub use model::Exhaustive;
pub use scope::{FaultBudgets, JUDGED, Scope, ScopeError};
pub use search::{Bound, Bounds, Counterexample, Order, Progress, Search, SearchError, search};
pub use serve::serve;
pub use state::State;
