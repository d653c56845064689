//! More than two nodes that can lead, addressed by their names, and leaders that come back.

use std::collections::BTreeSet;
use std::sync::Arc;

use semisync::base::NodeId;
use semisync::base::trace::Event;
use semisync::sim::scenario::Scenario;
use semisync::sim::{Engine, ScenarioRun, Strike, engine};

fn play(faults: &str) -> ScenarioRun {
    let text = format!(
        r#"
        name = "three leaders"
        cluster = {{ followers = 3, write_quorum = 2, delay_ms = [10, 10], repl_timeout_ms = 1000 }}
        [workload]
        clients = 3
        operations = 30
        think_ms = [0, 600]
        {faults}
        [expect]
        passes = true
        "#
    );
    let scenario = Scenario::from_toml(&text).unwrap_or_else(|error| panic!("{error}"));
    let run = engine::run(Engine::Core, &scenario.with_seed(3), Arc::default()).expect("a simulation");
    assert_eq!(run.violations().collect::<Vec<_>>(), [], "{:#?}", run.verdicts);
    run
}

/// The nodes that served, in the order in which they began, each as often as it did.
fn served(run: &ScenarioRun) -> Vec<String> {
    let records = run.trace.records().iter();
    records.filter(|record| matches!(record.event, Event::Serve { .. })).map(|record| record.node.to_string()).collect()
}

const TWO_MORE: &str = "[[fault]]\nat_ms = 1000\nreplace = { keeps = [\"c1\"] }\n\
                        [[fault]]\nat_ms = 2000\nreplace = { keeps = [\"c1\", \"c2\"] }\n";

#[test]
fn three_nodes_can_lead_and_each_has_a_name() {
    let run =
        play(&format!("{TWO_MORE}[[fault]]\nat_ms = 3000\ncrash = \"n2\"\n[[fault]]\nat_ms = 3500\npause = \"n1\""));
    let served: BTreeSet<String> = served(&run).into_iter().collect();
    assert!(served.contains("n1") && served.contains("n2") && served.contains("n3"), "{served:?}");
    assert!(run.strikes.iter().all(|strike| matches!(strike, Strike::At(_))), "{:?}", run.strikes);
}

/// A leader that was replaced and crashed is started again by its name. Followers tell leaders apart by their incarnations, so it has
/// one that no other node ever had.
#[test]
fn a_former_leader_is_started_again_by_its_name() {
    let back = "[[fault]]\nat_ms = 2500\ncrash = \"n1\"\n[[fault]]\nat_ms = 3500\nrestart = \"n1\"\n";
    let run = play(&format!("{TWO_MORE}{back}"));
    let after = |node: &NodeId| *node == NodeId::FIRST_SERVER;
    let restarts = run.trace.records().iter().filter(|record| after(&record.node) && record.event == Event::Restart);
    let incarnations: Vec<u64> = restarts.map(|record| record.incarnation).collect();
    assert_eq!(incarnations, [3], "n2 and n3 are the incarnations 1 and 2");
    let promised: BTreeSet<(u64, u64)> = run
        .trace
        .records()
        .iter()
        .filter_map(|record| match record.event {
            Event::Promise { epoch, leader } => Some((epoch.get(), leader)),
            _ => None,
        })
        .collect();
    assert!(
        promised.iter().any(|(_, leader)| *leader == 3),
        "followers promise an epoch to the leader that came back: {promised:?}"
    );
    let epochs: BTreeSet<u64> = promised.iter().map(|(epoch, _)| *epoch).collect();
    assert_eq!(epochs.len(), promised.len(), "an epoch is promised to one leader");
}

#[test]
fn names_of_leaders_that_are_not_there_are_refused() {
    for (faults, says) in [
        ("[[fault]]\nat_ms = 5\ncrash = \"n2\"", "fault 1: at_ms = 5: there is no n2; each replace starts one more"),
        (
            "[[fault]]\nat_ms = 5\ncrash = \"n2\"\n[[fault]]\nat_ms = 9\nreplace = {}",
            "fault 1: at_ms = 5: there is no n2 yet",
        ),
        ("[[fault]]\ndrop = { rpc = \"promise\", from = \"n3\" }", "there is no n3"),
        ("[[fault]]\ndrop = { rpc = \"promise\", from = \"f1\" }", "only nodes that can lead send RPCs"),
    ] {
        let text = format!("name = \"x\"\n[[workload.operation]]\nset = \"x\"\n{faults}\n");
        let message = Scenario::from_toml(&text).expect_err(faults).to_string();
        assert!(message.contains(says), "{faults}: {message}");
    }
    let many = "[[fault]]\nreplace = {}\n".repeat(16);
    let text = format!("name = \"x\"\n[[workload.operation]]\nset = \"x\"\n{many}");
    let message = Scenario::from_toml(&text).expect_err("17 leaders").to_string();
    assert!(
        message.contains("replace: there are 17 nodes that can lead, one more for each replace; at most 16"),
        "{message}"
    );
}
