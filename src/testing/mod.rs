//! Assertions for `cargo test`: a scenario in, a counterexample to copy out.
//!
//! With [proptest](https://docs.rs/proptest), every order of delivery of a few writes is one test.
//! `max_shrink_iters` is 0 because [`assert_holds`] shrinks, and proptest would have each further
//! failure shrunk and printed again.
//!
//! ```
//! use proptest::prelude::*;
//! use semisync::sim::arbitrary;
//! use semisync::sim::scenario::Scenario;
//! use semisync::testing::assert_holds;
//!
//! fn two_writes() -> Scenario {
//!     let text = "name = \"two writes\"\n[[workload.operation]]\nset = \"x\"\n[[workload.operation]]\nset = \"x\"";
//!     Scenario::from_toml(text).expect("a scenario")
//! }
//!
//! proptest! {
//!     #![proptest_config(ProptestConfig { max_shrink_iters: 0, ..ProptestConfig::default() })]
//!     # /*
//!     #[test]
//!     # */
//!     fn two_writes_hold_in_any_order(scenario in arbitrary::orders(two_writes()).expect("it can be run")) {
//!         assert_holds(&scenario);
//!     }
//! }
//! # two_writes_hold_in_any_order();
//! ```

mod failure;

use std::sync::Arc;

use crate::sim::scenario::Scenario;
use crate::sim::shrink::{Criterion, shrink};
use crate::sim::{Engine, SimError, engine};
use failure::Failure;

/// Asserts that a scenario violates no property and loses no acknowledged data when the core engine
/// runs it with its seed.
///
/// If it does, the scenario is shrunk to a smallest one with the same finding, and the message of the
/// panic is a report: first the seed and the options of the run, then the finding, the shrunk scenario
/// as TOML, its message diagram and its narration, and last a command that replays it. The scenario is
/// saved for that command in the system's directory for temporary files.
///
/// [`Scenario::expect`] is ignored.
///
/// # Panics
/// If a property is violated or acknowledged data is lost, if the scenario cannot be run, or if its run
/// does not come to an end.
#[track_caller]
pub fn assert_holds(scenario: &Scenario) {
    if let Some(failure) = find_failure(scenario) {
        panic!("{failure}");
    }
}

/// Runs the scenario, and shrinks it if a property is violated or acknowledged data is lost.
fn find_failure(scenario: &Scenario) -> Option<Failure> {
    let run = match engine::run(Engine::Core, scenario, Arc::default()) {
        Ok(run) => run,
        Err(SimError::Failed { why, .. }) => return Some(Failure::broken(scenario, why)),
        Err(error) => return Some(Failure::impossible(scenario, error.to_string())),
    };
    let property = run.violations().next().or_else(|| run.losses().next())?;
    Some(match shrink(Engine::Core, scenario, &Criterion::of(property), |_, _| {}) {
        Ok(shrunk) => Failure::violated(scenario, shrunk),
        // The run is a function of the scenario, so it violates the property again.
        Err(error) => Failure::impossible(scenario, error.to_string()),
    })
}
