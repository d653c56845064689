//! A leader and two followers in the simulator: write, read at once from everywhere, and again after a rest.
//!
//! `cargo run --example three_nodes`

use semisync::base::NodeRef;
use semisync::sim::{SimError, Stage, World};

fn main() -> Result<(), SimError> {
    let run = World::new(7).followers(2).write_quorum(1).delay_ms(0, 1000).run(async |stage| {
        let client = stage.client(0);
        let answer = client.set("greeting", "\"hello\"").await.ok().expect("one follower is enough");
        println!("{:>4} ms  acknowledged as version {}", stage.now().as_millis(), answer.version);
        read_everywhere(&stage).await;
        stage.settle().await;
        println!("{:>4} ms  all replicas are equal", stage.now().as_millis());
        read_everywhere(&stage).await;
    })?;
    println!("digest {}", run.trace.digest());
    Ok(())
}

/// A follower is read just after the acknowledgement: it may not have the write yet.
async fn read_everywhere(stage: &Stage) {
    let client = stage.client(1);
    let nodes: Vec<NodeRef> = stage.cluster().nodes().collect();
    for node in nodes {
        match client.get(node, "greeting").await.expect("every node answers") {
            Some(found) => println!("{:>4} ms  {node} has {}", stage.now().as_millis(), found.value),
            None => println!("{:>4} ms  {node} has nothing yet", stage.now().as_millis()),
        }
    }
}
