//! Counterexamples of the proptest strategies and of `assert_holds`: each replays from its text
//! alone, fits a screen, and shows what it is said to show.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::{fs, panic, thread};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use semisync::check::{Finding, Property};
use semisync::core::Rule;
use semisync::sim::arbitrary::{self, Scenarios};
use semisync::sim::scenario::{FaultKind, RulesSpec, Scenario};
use semisync::sim::{Engine, ScenarioRun, engine};
use semisync::testing::assert_holds;

/// The most lines of a counterexample that is printed.
const MOST_LINES: usize = 30;

fn without(rule: Rule) -> RulesSpec {
    RulesSpec::Without { off: vec![rule] }
}

/// A scenario as users write one: it says nothing of delays, so that they are drawn from 0 to 1000
/// ms.
fn two_writes(rules: RulesSpec) -> Scenario {
    let text = "name = \"two clients write one key\"\nseed = 7\ncluster = { followers = 3, write_quorum = 2 }\n\
                [[workload.operation]]\nset = \"x\"\n[[workload.operation]]\nclient = 2\nset = \"x\"\n";
    Scenario::from_toml(text).expect("a scenario").with_rules(rules)
}

fn play(engine: Engine, scenario: &Scenario) -> ScenarioRun {
    engine::run(engine, scenario, Arc::default()).expect("a simulation")
}

fn violated(run: &ScenarioRun) -> Vec<Property> {
    run.violations().collect()
}

fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// The scenario to which proptest shrinks the first that violates anything.
fn minimal(strategy: impl Strategy<Value = Scenario>, cases: u32) -> Option<Scenario> {
    let result = runner(cases).run(&strategy, |scenario| match violated(&play(Engine::Core, &scenario)).first() {
        None => Ok(()),
        Some(property) => Err(TestCaseError::fail(property.name())),
    });
    match result {
        Ok(()) => None,
        Err(TestError::Fail(_, scenario)) => Some(scenario),
        Err(TestError::Abort(why)) => panic!("nothing can be drawn: {why}"),
    }
}

fn orders(rules: RulesSpec) -> impl Strategy<Value = Scenario> {
    arbitrary::orders(two_writes(rules)).expect("a scenario that can be run")
}

/// Runs the text alone, and the scenario from which it was written.
fn assert_replays(scenario: &Scenario) {
    let text = scenario.to_toml();
    let [first, again] =
        [scenario.clone(), Scenario::from_toml(&text).expect("a scenario")].map(|it| play(Engine::Core, &it));
    assert!(!violated(&first).is_empty(), "{text}");
    assert_eq!((violated(&first), first.trace.digest()), (violated(&again), again.trace.digest()), "{text}");
}

#[test]
fn any_order_holds_with_all_rules() {
    assert_eq!(minimal(orders(RulesSpec::SAFE), 100), None);
}

/// Without the rule an older write replaces a newer one that it arrives after. The least that shows
/// it is one delay, and the evidence is about the write that was delayed. It does not depend on the
/// seed, because nothing is drawn.
#[test]
fn the_minimal_counterexample_of_an_order_is_about_the_order() {
    for seed in 0..8 {
        let mine = two_writes(without(Rule::CompareStamps)).with_seed(seed);
        let strategy = arbitrary::orders(mine).expect("a scenario that can be run");
        let scenario = minimal(strategy, 200).expect("an older write arrives later");
        let text = scenario.to_toml();
        assert!(text.lines().count() <= MOST_LINES, "{text}");
        assert!(matches!(&scenario.faults[..], [fault] if matches!(fault.kind, FaultKind::Delay { .. })), "{text}");
        assert_replays(&scenario);
        for engine in Engine::ALL {
            let run = play(engine, &scenario);
            let evidence = run.verdicts.iter().filter_map(|verdict| match &verdict.finding {
                Finding::Violated(evidence) => Some(evidence.as_slice()),
                _ => None,
            });
            let evidence = evidence.flatten().cloned().collect::<Vec<_>>().join("\n");
            assert!(evidence.contains("x v") && !evidence.contains("probe"), "{engine}: {evidence}");
        }
        let in_order = Scenario { faults: Vec::new(), ..scenario };
        assert_eq!(violated(&play(Engine::Core, &in_order)), [], "in the order of the writes nothing is violated");
    }
}

#[test]
fn nothing_is_delayed_but_what_an_order_delays() {
    let strategy = orders(RulesSpec::SAFE);
    let mut runner = runner(1);
    for _ in 0..20 {
        let scenario = strategy.new_tree(&mut runner).expect("a scenario").current();
        assert_eq!(scenario.cluster.delay_ms, [0, 0]);
        for fault in &scenario.faults {
            let FaultKind::Delay { target, delay_ms } = &fault.kind else { panic!("{fault:?}") };
            assert!(*delay_ms > 0 && target.operation.is_some() && target.attempt == Some(1), "{fault:?}");
        }
    }
}

#[test]
fn what_cannot_be_drawn_from_is_refused() {
    let mut scenario = two_writes(RulesSpec::SAFE);
    scenario.cluster.followers = 300;
    let error = arbitrary::orders(scenario).map(drop).expect_err("300 followers").to_string();
    assert!(error.contains("cluster.followers = 300: must be 1 to 128"), "{error}");
    let mut scenario = two_writes(RulesSpec::SAFE);
    scenario.workload.operations = 4000;
    let error = arbitrary::orders(scenario).map(drop).expect_err("12,006 messages").to_string();
    assert!(error.contains("more than 10000 first deliveries"), "{error}");
    for operations in [0, 1001, usize::MAX] {
        let kind = Scenarios { operations, ..Scenarios::default() };
        let error = arbitrary::scenarios(kind).map(drop).expect_err("a number that is not allowed").to_string();
        assert_eq!(error, format!("operations = {operations}: must be 1 to 1000"));
    }
}

/// Returns the message of the panic of `assert_holds`, if it panics.
fn message(scenario: &Scenario) -> Option<String> {
    let scenario = scenario.clone();
    // In a thread of its own, so that the report of a panic that is expected can be captured with
    // it.
    let asserted = thread::spawn(move || panic::catch_unwind(|| assert_holds(&scenario))).join();
    let panic = asserted.expect("a panic is caught").err()?;
    Some(panic.downcast_ref::<String>().expect("a message").clone())
}

/// Runs a line in a shell. Returns its exit status and its output.
fn typed(line: &str) -> (Option<i32>, String) {
    let binary = Path::new(env!("CARGO_BIN_EXE_semisync"));
    let path = format!("{}:/usr/bin:/bin", binary.parent().expect("a directory").display());
    let output = Command::new("sh").env("PATH", path).args(["-c", line]).output().expect("a shell");
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

/// Whether `sim` prints that the run came out as its file expects.
fn meets_its_file(printed: &str) -> bool {
    printed.contains("Expected by the file: ") && !printed.contains("Expected and not met: ")
}

#[test]
fn what_holds_is_asserted_in_silence() {
    assert_eq!(message(&two_writes(RulesSpec::SAFE)), None);
}

/// Each counterexample that is printed is of at most 30 lines, and the command below it shows the
/// same violation: of orders, of generated scenarios, and of drawn workloads with a great seed.
#[test]
fn every_counterexample_that_is_printed_replays() {
    let kind = |rule| Scenarios { rules: without(rule), crashes: true, ..Scenarios::default() };
    let scenarios = |rule| arbitrary::scenarios(kind(rule)).expect("a number of operations that is allowed");
    let drawn = "name = \"drawn\"\nworkload = { operations = 20, clients = 3 }\n";
    let drawn = Scenario::from_toml(drawn).expect("a scenario").with_seed(u64::MAX);
    let mut found = vec![drawn.with_rules(without(Rule::CompareStamps))];
    found.extend(minimal(orders(without(Rule::CompareStamps)), 200));
    let rules = [Rule::CompareStamps, Rule::CountDistinct, Rule::KeepQuorum, Rule::ResendMissed, Rule::OneWriter];
    found.extend(rules.into_iter().filter_map(|rule| minimal(scenarios(rule), 300)));
    assert!(found.len() > 5, "only {} counterexamples", found.len());
    for scenario in found {
        assert_replays(&scenario);
        let message = message(&scenario).expect("it does not hold");
        let seed = scenario.seed;
        assert!(message.starts_with(&format!("seed {seed}, core engine, rules: all but ")), "{message}");
        let (property, _) = message.split_once(" is violated; ").expect("what is violated");
        let property = property.lines().last().expect("its name");
        let command = message.lines().last().expect("a last line");
        assert!(command.starts_with("semisync sim /"), "{message}");
        let path = command.split(' ').nth(2).expect("a file");
        let text = fs::read_to_string(path).expect("the file");
        assert!(message.contains(&text), "what is printed is what is saved:\n{message}");
        assert!(text.lines().count() <= MOST_LINES, "{} lines:\n{text}", text.lines().count());
        assert!(
            message.contains("  1. A leader replicates to ") && message.contains("        ms  leader"),
            "{message}"
        );
        assert_replays(&Scenario::from_toml(&text).expect("a scenario"));
        let (status, printed) = typed(command);
        assert!(matches!(status, Some(1 | 3)), "{printed}");
        let row = printed.lines().find(|line| line.trim_start().starts_with(property)).expect("a verdict");
        assert!(row.contains("VIOLATED"), "{row}");
        assert!(printed.contains(&format!("seed {seed}")) && meets_its_file(&printed), "{printed}");
    }
}

/// A loss that the documentation tolerates violates nothing. The assertion fails all the same, as `sim`
/// does, and the loss is what is shrunk.
#[test]
fn a_loss_fails_the_assertion() {
    let text = "name = \"all lose power\"\ncluster = { followers = 2, write_quorum = 1 }\n\
                [[workload.operation]]\nset = \"x\"\n[[workload.operation]]\nset = \"y\"\n";
    let faults: String = [(8000, "crash"), (9000, "restart")]
        .iter()
        .flat_map(|(at, kind)| {
            ["leader", "f1", "f2"].map(|node| format!("[[fault]]\nat_ms = {at}\n{kind} = \"{node}\"\n"))
        })
        .collect();
    let scenario = Scenario::from_toml(&format!("{text}{faults}")).expect("a scenario");
    let run = play(Engine::Core, &scenario);
    assert_eq!((violated(&run), run.losses().next()), (Vec::new(), Some(Property::Durability)));
    let message = message(&scenario).expect("acknowledged data is lost");
    assert!(message.contains("durability is lost; ") && message.contains("loses = \"durability\""), "{message}");
    let (status, printed) = typed(message.lines().last().expect("a last line"));
    assert!(status == Some(1) && meets_its_file(&printed), "{printed}");
}

#[test]
fn what_cannot_be_run_is_said_with_the_seed() {
    let mut scenario = two_writes(RulesSpec::SAFE);
    scenario.cluster.write_quorum = 0;
    let message = message(&scenario).expect("it cannot be run");
    assert!(message.starts_with("seed 7, core engine, rules: safe"), "{message}");
    assert!(message.contains("cluster.write_quorum = 0: must be 1 to 3"), "{message}");
}
