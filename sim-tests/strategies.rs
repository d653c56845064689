//! Orders that time does not decide: they are scenarios like any other, and find what time alone seldom does.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::Arc;

use semisync::base::trace::Event;
use semisync::check::Property;
use semisync::sim::scenario::{RuleSet, RulesSpec, Scenario, Trigger};
use semisync::sim::{Engine, Generator, ScenarioRun, Strategy, engine};

const CHOOSING: [Strategy; 3] = [Strategy::Random, Strategy::Pct { depth: 1 }, Strategy::Pct { depth: 3 }];

/// Of what turmoil can run as well.
fn generator(rules: RulesSpec, crashes: bool) -> Generator {
    Generator { rules, crashes, engine: Engine::Turmoil, strategy: Strategy::Timed }
}

fn play(engine: Engine, scenario: &Scenario) -> ScenarioRun {
    engine::run(engine, scenario, Arc::default()).unwrap_or_else(|error| panic!("{engine}: {error}"))
}

/// Three clients write one key, with no delays: time alone lets nothing overtake anything.
fn prompt(rules: &str) -> Scenario {
    let operations = "[[workload.operation]]\nset = \"x\"\n[[workload.operation]]\nclient = 2\nset = \"x\"\n\
                      [[workload.operation]]\nclient = 3\nset = \"x\"\n";
    let text = format!(
        "name = \"three writes\"\n[cluster]\nfollowers = 2\nwrite_quorum = 1\ndelay_ms = [0, 0]\nrules = {rules}\n{operations}"
    );
    Scenario::from_toml(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// In which order the followers got what.
fn arrivals(run: &ScenarioRun) -> Vec<String> {
    let of_follower = |event: &Event| matches!(event, Event::Apply { .. } | Event::Reject { .. });
    let story = run.trace.story().iter().filter(|record| of_follower(&record.event));
    story.map(|record| format!("{} {:?}", record.node, record.event)).collect()
}

#[test]
fn an_order_follows_from_the_seed_and_differs_from_seed_to_seed() {
    let scenario = prompt("\"safe\"");
    for strategy in CHOOSING {
        let orders: BTreeSet<Vec<String>> = (0..40)
            .map(|seed| {
                let scheduled = strategy.schedule(scenario.with_seed(seed)).expect("a schedule");
                assert_eq!(scheduled, strategy.schedule(scenario.with_seed(seed)).expect("a schedule"));
                arrivals(&play(Engine::Core, &scheduled))
            })
            .collect();
        assert!(orders.len() > 20, "{strategy}: only {} orders of 40", orders.len());
    }
    assert_eq!(Strategy::Timed.schedule(scenario.clone()).expect("a schedule"), scenario);
}

/// The last to arrive wins only where something arrives late: no timed run of this scenario shows it.
#[test]
fn strategies_find_what_time_alone_does_not() {
    let scenario = prompt("{ off = [\"compare-stamps\"] }");
    let violates = |strategy: Strategy, seed: u64| {
        let scheduled = strategy.schedule(scenario.with_seed(seed)).expect("a schedule");
        play(Engine::Core, &scheduled).violations().any(|property| property == Property::MonotonicState)
    };
    assert!(!(0..20).any(|seed| violates(Strategy::Timed, seed)));
    for strategy in CHOOSING {
        assert!((0..20).any(|seed| violates(strategy, seed)), "{strategy}");
    }
}

/// `sim --save` writes down what was run, so that `sim` repeats it without a strategy.
#[test]
fn the_order_of_a_run_is_saved() {
    let directory = tempfile::tempdir().expect("a directory");
    let (file, saved) = (directory.path().join("mine.toml"), directory.path().join("saved.toml"));
    fs::write(&file, prompt("\"safe\"").to_toml()).expect("a file");
    let sim = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_semisync"));
        let output = command.arg("sim").args(args).args(["--engine", "core"]).output().expect("it runs");
        let text = String::from_utf8(output.stdout).expect("text");
        (output.status.code(), text.lines().find(|line| line.starts_with("digest")).map(str::to_owned), text)
    };
    let [file, saved] = [&file, &saved].map(|path| path.to_str().expect("UTF-8"));
    let (status, digest, text) = sim(&[file, "--strategy", "random", "--seed", "7", "--save", saved]);
    assert!(status == Some(0) && digest.is_some(), "{text}");
    let (status_again, digest_again, text) = sim(&[saved]);
    assert_eq!((status_again, &digest_again), (Some(0), &digest), "{text}");
    assert!(text.contains("Expected by the file: nothing is violated or lost: met"), "{text}");
    assert_ne!(sim(&[file, "--seed", "7"]).1, digest, "by time it is another run");
}

#[test]
fn a_scheduled_scenario_can_be_written_down_and_played_by_real_nodes() {
    let generator = generator(RulesSpec::Named(RuleSet::Lab), true);
    let mut violated = 0;
    for seed in 0..18 {
        let strategy = CHOOSING[seed as usize % CHOOSING.len()];
        let mut scenario = generator.scenario(seed);
        scenario.workload.operations = 12;
        // Those that make one step last longer than it is to the next.
        let lasts = ["slow", "hold", "release", "disconnect"];
        let names_operation = |trigger: Trigger| trigger.to_string().contains('#');
        scenario.faults.retain(|fault| {
            !lasts.contains(&fault.kind.name()) && fault.when.is_none_or(|when| !names_operation(when.trigger))
        });
        let scheduled = strategy.schedule(scenario.clone()).expect("a schedule");
        assert_eq!(Scenario::from_toml(&scheduled.to_toml()).expect("a scenario"), scheduled);
        let [turmoil, core] = Engine::ALL.map(|engine| play(engine, &scheduled));
        let violations = |run: &ScenarioRun| run.violations().collect::<Vec<_>>();
        assert_eq!(violations(&turmoil), violations(&core), "{strategy}, seed {seed}\n{}", scheduled.to_toml());
        violated += usize::from(!violations(&core).is_empty());
    }
    assert!(violated > 3, "only {violated} of 18 showed anything");
}
