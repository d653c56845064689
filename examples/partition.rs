//! Three of five followers are cut off: writes are stored but not confirmed. They return, and get what they missed.
//!
//! `cargo run --example partition`

use semisync::base::{FollowerId, NodeId};
use semisync::client::{Outcome, Unknown};
use semisync::report::Diagram;
use semisync::sim::{SimError, World};

fn main() -> Result<(), SimError> {
    let world = World::new(3).write_quorum(3).delay_ms(0, 200).repl_timeout_ms(1000);
    let run = world.run(async |stage| {
        let cut_off: Vec<NodeId> = FollowerId::first(3).map(NodeId::from).collect();
        cut_off.iter().for_each(|node| stage.isolate(*node));
        match stage.client(0).set("x", "\"nobody promised\"").await {
            Outcome::Unknown(Unknown::QuorumMissed(answer)) => {
                println!("ok:false with {} of {} confirmations", answer.confirmations, answer.required);
            }
            other => panic!("only two followers can have confirmed: {other:?}"),
        }
        cut_off.iter().for_each(|node| stage.reconnect(*node));
        stage.settle().await
    })?;
    println!("and yet, after the partition: {:?}\n", run.result);
    println!("{}", Diagram::new(&run.trace, 5).expect("a short story fits a screen"));
    Ok(())
}
