//! Delivers the messages of a scenario in any order, by proptest, and judges each run by every property. A run that violates
//! one is shrunk and printed, with a command that replays it.
//!
//! ```text
//! cargo run --example fuzz_order
//! ```

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use semisync::sim::arbitrary;
use semisync::sim::scenario::{Scenario, ScenarioError};
use semisync::testing::assert_holds;

const MINE: &str = r#"
name = "two clients write one key"
cluster = { followers = 3, write_quorum = 2 }
[[workload.operation]]
set = "x"
[[workload.operation]]
client = 2
set = "x"
"#;

const ORDERS: usize = 256;

fn main() -> Result<(), ScenarioError> {
    let orders = arbitrary::orders(Scenario::from_toml(MINE)?)?;
    let mut runner = TestRunner::default();
    for _ in 0..ORDERS {
        assert_holds(&orders.new_tree(&mut runner).expect("orders are never rejected").current());
    }
    println!("{ORDERS} orders of delivery, no property violated");
    Ok(())
}
