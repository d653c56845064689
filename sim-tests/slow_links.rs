//! Links that are slow against the configured timeout.

use std::sync::Arc;

use semisync::check::{Finding, Property};
use semisync::sim::scenario::Scenario;
use semisync::sim::{Engine, ScenarioRun, engine};

/// One write over links of this latency, with a timeout of 5 s, in both engines.
fn play(link_ms: u64) -> [ScenarioRun; 2] {
    let text = format!(
        "name = \"slow links\"\ncluster = {{ followers = 1, write_quorum = 1, link_ms = {link_ms}, tick_ms = 10 }}\n\
         [[workload.operation]]\nset = \"x\"\n"
    );
    let scenario = Scenario::from_toml(&text).unwrap_or_else(|error| panic!("{error}"));
    Engine::ALL.map(|engine| engine::run(engine, &scenario, Arc::default()).expect("a simulation"))
}

fn finding(run: &ScenarioRun, property: Property) -> &Finding {
    let verdict = run.verdicts.iter().find(|verdict| verdict.property == property);
    &verdict.expect("every property has a verdict").finding
}

/// No request is answered before it is given up, so the leader never serves. Nothing is promised, and nothing is violated.
#[test]
fn a_link_slower_than_the_timeout_violates_nothing_in_either_engine() {
    for link_ms in [1670, 5000] {
        for run in play(link_ms) {
            assert_eq!(run.violations().collect::<Vec<_>>(), [], "{link_ms} ms");
            assert_eq!(run.completions(), (0, 0), "{link_ms} ms: no leader serves");
            let convergence = finding(&run, Property::Convergence);
            assert!(matches!(convergence, Finding::NotApplicable(_)), "{link_ms} ms: {convergence:?}");
        }
    }
}

/// Where a request can just be answered, convergence is judged, and holds.
#[test]
fn a_link_just_fast_enough_is_judged_in_both_engines() {
    for run in play(1240) {
        assert_eq!(run.violations().collect::<Vec<_>>(), []);
        let convergence = finding(&run, Property::Convergence);
        assert!(matches!(convergence, Finding::Holds(of) if of == "1 key on 2 nodes"), "{convergence:?}");
    }
}
