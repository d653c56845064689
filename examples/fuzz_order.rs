//! Delivers the messages of a scenario in any order, by proptest, and lets every checker look at each run.
//!
//! ```text
//! cargo run --example fuzz_order
//! ```

use std::error::Error;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use semisync::sim::scenario::Scenario;
use semisync::sim::{Engine, arbitrary, engine};

const MINE: &str = r#"
name = "two clients write one key"
cluster = { followers = 3, write_quorum = 2 }
[[workload.operation]]
set = "x"
[[workload.operation]]
client = 2
set = "x"
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let mine = Scenario::from_toml(MINE)?;
    let runner_config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(runner_config).run(&arbitrary::orders(mine), |scenario| {
        let run = engine::run(Engine::Core, &scenario, Arc::default())?;
        prop_assert!(run.violations().count() == 0, "{}", scenario.to_toml());
        Ok(())
    })?;
    println!("256 orders of delivery, no property violated");
    Ok(())
}
