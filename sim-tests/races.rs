//! Races, each over many seeds.

use semisync::base::NodeId;
use semisync::base::trace::Event;
use semisync::sim::{Run, World};

use crate::stories;
use crate::support::seeds::for_each_seed;

fn stale_arrivals<R>(run: &Run<R>) -> usize {
    run.trace.records().iter().filter(|record| matches!(record.event, Event::Reject { .. })).count()
}

#[test]
fn sequential_writes() {
    for_each_seed(0..20, |seed| {
        World::new(seed).run(async |stage| stories::sequential(stage.cluster()).await).expect("a simulation");
    });
}

#[test]
fn concurrent_writes_to_one_key() {
    for_each_seed(0..20, |seed| {
        let run = World::new(seed).run(async |stage| stories::concurrent(stage.cluster()).await).expect("a simulation");
        assert!(stale_arrivals(&run) > 0, "no write overtook another");
    });
}

#[test]
fn out_of_order_delivery() {
    for_each_seed(0..20, |seed| {
        let run =
            World::new(seed).run(async |stage| stories::out_of_order(stage.cluster()).await).expect("a simulation");
        assert!(stale_arrivals(&run) > 0, "no write overtook another");
    });
}

#[test]
fn reads_from_any_node() {
    for_each_seed(0..20, |seed| {
        World::new(seed).run(async |stage| stories::reads(stage.cluster()).await).expect("a simulation");
    });
}

/// Every stored stamp is greater than the one before it, and every rejected one is not.
#[test]
fn a_stored_stamp_never_goes_down() {
    for_each_seed(0..10, |seed| {
        let run = World::new(seed).run(async |stage| stories::concurrent(stage.cluster()).await).expect("a simulation");
        let mut stored = std::collections::BTreeMap::new();
        for record in run.trace.records() {
            match (&record.event, record.node) {
                (Event::Apply { stamp, .. }, node @ NodeId::Follower(_)) => {
                    let before = stored.insert(node, *stamp);
                    assert!(before < Some(*stamp), "{node} went from {before:?} to {stamp}");
                }
                (Event::Reject { stamp, stored: kept, .. }, node @ NodeId::Follower(_)) => {
                    assert_eq!(stored.get(&node), Some(kept));
                    assert!(stamp <= kept, "{node} rejected {stamp}, but has {kept}");
                }
                _ => {}
            }
        }
        assert_eq!(stored.len(), 5);
    });
}
