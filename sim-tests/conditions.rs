//! Conditional writes in scenarios, in both engines: they are refused where the key has another version, and judged.

use std::sync::Arc;

use semisync::base::Recording;
use semisync::base::history::Condition;
use semisync::base::trace::Outcome;
use semisync::check::{self, Property, Recorded};
use semisync::sim::scenario::Scenario;
use semisync::sim::{Engine, ScenarioRun, engine};

fn play(engine: Engine, operations: &str) -> ScenarioRun {
    let text = format!("name = \"conditional writes\"\n[cluster]\ndelay_ms = [0, 20]\n[workload]\n{operations}");
    let scenario = Scenario::from_toml(&text).unwrap_or_else(|error| panic!("{error}"));
    let again = Scenario::from_toml(&scenario.to_toml()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(again, scenario, "it is written as it was read");
    let run = engine::run(engine, &scenario, Arc::default()).expect("a simulation");
    assert_eq!(run.violations().next(), None, "{engine}");
    run
}

fn outcomes(run: &ScenarioRun) -> Vec<Outcome> {
    run.history.operations.iter().map(|operation| operation.outcome).collect()
}

#[test]
fn a_write_is_refused_where_the_key_has_another_version() {
    let operations = "
        operation = [
            { set = \"x\", if_version = 1 },
            { set = \"x\", if_version = 0 },
            { set = \"x\", if_version = 0 },
            { set = \"x\", if_version = 1 },
            { delete = \"x\", if_version = 1 },
            { delete = \"x\", if_version = 2 },
            { set = \"x\", if_version = 3 },
            { set = \"x\", if_version = 0 },
            { get = \"x\" },
        ]";
    for engine in Engine::ALL {
        let run = play(engine, operations);
        let (ok, no) = (Outcome::Ok, Outcome::Failed);
        assert_eq!(outcomes(&run), [no, ok, no, ok, no, ok, no, ok, ok], "{engine}");
        assert_eq!(run.history.operations[3].condition, Some(Condition::Version(1)));
        let last = run.history.operations[8].stamp.map(|stamp| stamp.version.get());
        assert_eq!(last, Some(4), "{engine}");
    }
}

/// Of writes that require one version, one succeeds; and the history that says so is judged, from its file too.
#[test]
fn of_writes_that_require_the_same_version_one_succeeds() {
    let clients = (1..=5).map(|client| format!("{{ client = {client}, set = \"x\", if_version = 0 }},"));
    let operations = format!("operation = [ {} ]", clients.collect::<String>());
    for engine in Engine::ALL {
        let mut run = play(engine, &operations);
        let succeeded = outcomes(&run).iter().filter(|outcome| **outcome == Outcome::Ok).count();
        assert_eq!(succeeded, 1, "{engine}");
        let mut file = Vec::new();
        run.trace.write_json_lines(&mut file).expect("memory");
        let Ok(Recording::Trace(trace)) = Recording::read(file.as_slice()) else { panic!("it is a trace") };
        assert_eq!(trace.digest(), run.trace.digest());
        let judged = |run: &ScenarioRun| check::check(Property::Linearizability, &Recorded::of_clients(&run.history));
        assert!(judged(&run).has_judged() && !judged(&run).is_violated());
        // Had a second one succeeded, clients alone would show it.
        let refused = run.history.operations.iter_mut().find(|operation| operation.outcome == Outcome::Failed);
        refused.expect("four of them").outcome = Outcome::Ok;
        assert!(judged(&run).is_violated(), "{engine}");
    }
}

#[test]
fn a_condition_that_cannot_be_is_refused() {
    for (operation, says) in [
        ("{ get = \"x\", if_version = 1 }", "a get has no if_version: only a set or a delete can require a version"),
        (
            "{ set = \"x\", if_version = 9007199254740993 }",
            "if_version = 9007199254740993: must be 0 to 9007199254740992",
        ),
        ("{ set = \"x\", if_version = -1 }", "invalid value"),
    ] {
        let text = format!("name = \"a condition\"\n[cluster]\n[workload]\noperation = [ {operation} ]");
        let message = Scenario::from_toml(&text).expect_err(operation).to_string();
        assert!(message.contains(says), "{message}");
    }
}
