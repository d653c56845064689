//! Scenarios as data: what is refused, what survives being written down, and what a change leaves as it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use semisync::base::trace::{Event, MessageId, Outcome};
use semisync::base::{Key, NodeId};
use semisync::sim::scenario::{OperationName, Scenario};
use semisync::sim::{Engine, ScenarioRun, engine};

const STORY: &str = r#"
name = "a bit of everything"
seed = 11

[cluster]
followers = 3
write_quorum = 2
delay_ms = [0, 300]
repl_timeout_ms = 800

[workload]
clients = 3
operations = 24
keys = 2
reads = 0.25

[[workload.operation]]
client = 1
at_ms = 5000
set = "extra"

[[fault]]
at_ms = 200
until_ms = 3000
drop = { per_mille = 150 }

[[fault]]
at_ms = 400
until_ms = 2500
duplicate = { to = "f2", per_mille = 300 }

[[fault]]
at_ms = 600
hold = "f1"

[[fault]]
at_ms = 1600
release = "f1"

[[fault]]
disconnect = { operation = "c2#3", after_ms = 15 }
"#;

fn story() -> Scenario {
    Scenario::from_toml(STORY).expect("a scenario")
}

fn run(scenario: &Scenario) -> ScenarioRun {
    engine::run(Engine::Turmoil, scenario, Arc::default()).expect("a simulation")
}

fn refused(text: &str) -> String {
    Scenario::from_toml(text).map(|scenario| panic!("it was taken: {scenario:?}")).unwrap_err().to_string()
}

#[test]
fn what_is_written_down_is_read_back() {
    let scenario = story();
    assert_eq!(Scenario::from_toml(&scenario.to_toml()).expect("its own text"), scenario);
}

#[test]
fn an_unknown_field_is_refused_with_its_line() {
    for field in ["followers = 3", "keys = 2", "set = \"extra\"", "hold = \"f1\""] {
        let text = STORY.replace(field, &format!("{field}\nfolowers = 4"));
        let line = 1 + text.lines().position(|line| line == "folowers = 4").expect("the field");
        let message = refused(&text);
        assert!(message.contains("folowers") && message.contains(&format!("line {line},")), "{line}: {message}");
    }
}

#[test]
fn what_cannot_be_is_named() {
    for (from, to, says) in [
        ("followers = 3", "followers = 0", "cluster.followers = 0: must be 1 to 128"),
        ("write_quorum = 2", "write_quorum = 4", "cluster.write_quorum = 4: must be 1 to 3"),
        ("delay_ms = [0, 300]", "delay_ms = [5, 3]", "cluster.delay_ms = [5, 3]"),
        ("repl_timeout_ms = 800", "repl_timeout_ms = 0", "cluster.repl_timeout_ms = 0"),
        ("reads = 0.25", "reads = 1.5", "workload.reads = 1.5"),
        ("clients = 3", "clients = 0", "workload.clients = 0"),
        ("keys = 2", "keys = 0", "workload.keys = 0"),
        ("keys = 2", "keys = 2\nretries = 1.5", "workload.retries = 1.5: must be a share from 0 to 1"),
        ("set = \"extra\"", "get = \"extra\"\nrequest = \"c1#1\"", "a get has no request"),
        ("set = \"extra\"", "set = \"extra\"\nrequest = \"r\"", "does not name an operation"),
        (
            "set = \"extra\"",
            "set = \"extra\"\nrequest = \"c1#1\"",
            "workload.operation.request = \"c1#1\": c1#1 itself does not",
        ),
        ("to = \"f2\"", "to = \"f4\"", "there is no node f4"),
        ("to = \"f2\"", "to = \"leader\"", "go to followers"),
        ("hold = \"f1\"", "hold = \"f0\"", "\"f0\" is not a node"),
        (
            "hold = \"f1\"",
            "hold = \"f1\"\ncrash = \"f1\"",
            "a fault has one kind: crash and hold need a [[fault]] each",
        ),
        ("hold = \"f1\"", "", "exactly one of crash"),
        ("hold = \"f1\"", "until_ms = 900\nhold = \"f1\"", "until_ms goes with faults of messages"),
        ("until_ms = 3000", "until_ms = 100", "is not after at_ms"),
        ("\"c2#3\"", "\"c0#3\"", "does not name an operation"),
        ("set = \"extra\"", "set = \"extra\"\nget = \"extra\"", "exactly one of set"),
        ("set = \"extra\"", "set = \"\"", "1 to 1024 bytes"),
        ("keys = 2", "keys = 2\nwithout = [\"c1#9\"]", "workload.without: c1#9: only operations that are drawn"),
        ("keys = 2", "keys = 2\nthink_ms = [0, 3600001]", "workload.think_ms[1] = 3600001: must be at most 3600000"),
        ("operations = 24", "operations = 1000000", "1000001 operations are too many; at most 1000000"),
        ("clients = 3", "clients = 10001", "workload.clients = 10001: must be at most 10000"),
        ("client = 1", "client = 10001", "workload.operation.client = 10001: must be at most 10000"),
        ("at_ms = 5000", "at_ms = 3600001", "workload.operation.at_ms = 3600001: must be at most 3600000"),
        ("at_ms = 600", "at_ms = 3600001", "fault 3: at_ms = 3600001: must be at most 3600000"),
        ("until_ms = 3000", "until_ms = 3600001", "fault 1: until_ms = 3600001: must be at most 3600000"),
        ("after_ms = 15", "after_ms = 3600001", "fault 5: disconnect.after_ms = 3600001: must be at most"),
        ("\"c2#3\"", "\"c2#9\"", "fault 5: there is no operation c2#9: the last of this client is c2#8"),
        ("\"c2#3\"", "\"c9#1\"", "fault 5: there is no operation c9#1: c9 has none"),
        (
            "per_mille = 150",
            "operation = \"c1#10\"",
            "fault 1: there is no operation c1#10: the last of this client is c1#9",
        ),
        ("drop = { per_mille = 150 }", "delay = { delay_ms = 3600001 }", "fault 1: delay.delay_ms = 3600001: must be"),
        ("per_mille = 150", "attempt = 0", "fault 1: attempt = 0: attempts are counted from 1"),
        (
            "hold = \"f1\"",
            "replace = { keeps = [\"c3\", \"c4\"] }",
            "fault 3: replace.keeps: there is no client c4; the clients are c1 to c3",
        ),
        ("hold = \"f1\"", "clock = \"f1\"", "expected a table with node and rate_per_mille"),
        (
            "hold = \"f1\"",
            "clock = { node = \"leader\", rate_per_mille = 0 }",
            "clock.rate_per_mille = 0: must be 1 to 100000; 1000 is the true rate",
        ),
        ("hold = \"f1\"", "clock = { node = \"f1\", rate_per_mille = 100001 }", "must be 1 to 100000"),
    ] {
        assert!(STORY.contains(from), "{from}");
        let message = refused(&STORY.replacen(from, to, 1));
        assert!(message.contains(says), "{to}: {message}");
    }
    assert!(refused("name = \"x\"\n[workload]\n").contains("nothing to do"));
    assert!(refused("name = \"x\"\n").contains("nothing to do"));
    for (expect, says) in [
        ("shows = \"durability\"", "durability is judged and not counted; violates = \"durability\""),
        ("violates = \"sessions\"", "sessions is counted and never violated; shows = \"sessions\""),
    ] {
        let text = format!("name = \"x\"\n[[workload.operation]]\nset = \"x\"\n[expect]\n{expect}\n");
        assert!(refused(&text).contains(says), "{}", refused(&text));
    }
}

/// A scenario of one write with these rules and faults.
fn with(rules: &str, faults: &[(u64, &str)]) -> String {
    let faults: Vec<String> =
        faults.iter().map(|(at_ms, kind)| format!("[[fault]]\nat_ms = {at_ms}\n{kind}\n")).collect();
    format!("name = \"x\"\n[cluster]\nrules = {rules}\n[workload]\noperations = 1\n{}", faults.concat())
}

#[test]
fn rules_that_do_not_exist_are_named() {
    for (rules, says) in [
        (r#"{ off = ["keep-quorum"], on = ["x"] }"#, "unknown field `on`, expected `off`"),
        (r#"{ off = ["keep-quorums"] }"#, "unknown variant `keep-quorums`, expected one of `compare-stamps`, "),
        (r#""strict""#, "unknown variant `strict`, expected `safe` or `lab`"),
        ("{}", "missing field `off`"),
        ("3", r#"expected "safe", "lab" or { off = [rule, …] }"#),
    ] {
        let message = refused(&with(rules, &[]));
        assert!(message.contains(says) && message.contains("line 3,"), "{rules}: {message}");
    }
    for rules in [r#""lab""#, r#"{ off = ["keep-quorum", "count-distinct"] }"#] {
        let scenario = Scenario::from_toml(&with(rules, &[])).expect("rules that exist");
        assert_eq!(Scenario::from_toml(&scenario.to_toml()).expect("its own text"), scenario);
    }
}

#[test]
fn the_end_of_what_has_not_begun_is_refused() {
    let (crash, restart) = ((5, "crash = \"f1\""), (9, "restart = \"f1\""));
    let one_way = "partition = { from = [\"leader\"], to = [\"f1\", \"f2\"], one_way = true }";
    let heal = |follower: &str| format!("heal = {{ from = [\"leader\"], to = [\"{follower}\"] }}");
    for (faults, says) in [
        (&[restart][..], "fault 1: at_ms = 9: restart: f1 is not down"),
        (&[crash, restart, (10, "restart = \"f1\"")], "fault 3: at_ms = 10: restart: f1 is not down"),
        (&[crash, (4, "restart = \"f1\"")], "fault 2: at_ms = 4: restart: f1 is not down"),
        (&[crash, (9, "restart = \"f2\"")], "fault 2: at_ms = 9: restart: f2 is not down"),
        (&[restart, crash, (8, "crash = \"f1\"")], "fault 3: at_ms = 8: crash: f1 is down already"),
        (&[(1, "release = \"f1\"")], "fault 1: at_ms = 1: release: f1 is not held"),
        (&[(1, "resume = \"f1\"")], "fault 1: at_ms = 1: resume: f1 is not paused"),
        (&[(1, one_way), (2, heal("f3").as_str())], "fault 2: at_ms = 2: heal: none of these links is cut"),
        (&[(1, "slow = { node = \"f1\", to = \"f1\", latency_ms = 5 }")], "fault 1: slow.to = \"f1\": must be another"),
        (
            &[(1, "slow = { node = \"f1\", latency_ms = 3600001 }")],
            "fault 1: slow.latency_ms = 3600001: must be at most",
        ),
    ] {
        let message = refused(&with("\"safe\"", faults));
        assert!(message.contains(says), "{faults:?}: {message}");
    }
    // What ends a fault may stand before it in the file, and may end a part of it.
    let (heal_1, heal_2) = (heal("f1"), heal("f2"));
    let right = [restart, crash, (10, crash.1), (1, one_way), (2, heal_1.as_str()), (3, heal_2.as_str())];
    Scenario::from_toml(&with("\"safe\"", &right)).expect("each ends what has begun");
}

#[test]
fn the_turmoil_engine_refuses_what_it_cannot_do() {
    for (kind, why) in [("pause = \"f1\"", "clock"), ("clock = { node = \"f1\", rate_per_mille = 900 }", "one clock")] {
        let text = STORY.replace("hold = \"f1\"", kind).replace("release = \"f1\"", "hold = \"f2\"");
        let scenario = Scenario::from_toml(&text).expect("the format has it");
        let error = engine::run(Engine::Turmoil, &scenario, Arc::default()).expect_err("it was run").to_string();
        assert!(error.contains("needs the core engine (--engine core)") && error.contains(why), "{error}");
        assert_eq!(Engine::that_plays(&scenario), Engine::Core, "{kind}");
    }
    assert_eq!(Engine::that_plays(&Scenario::from_toml(STORY).expect("a story")), Engine::Turmoil);
}

#[test]
fn every_kind_of_fault_happens() {
    let run = run(&story());
    let count = |wanted: &dyn Fn(&Event) -> bool| run.trace.records().iter().filter(|r| wanted(&r.event)).count();
    assert!(count(&|e| matches!(e, Event::Send { lost: Some(_), .. })) > 0, "nothing was dropped");
    assert!(count(&|e| matches!(e, Event::Send { copy: Some(_), .. })) > 0, "nothing was doubled");
    assert!(count(&|e| matches!(e, Event::Lost { .. })) > 0, "the leader lost nothing");
    assert_eq!(count(&|e| matches!(e, Event::Fault { what, .. } if what.ends_with("hold f1"))), 1);
    let hung_up = run.history.operations.iter().find(|operation| operation.name() == "c2#3").expect("it was invoked");
    assert_eq!((hung_up.outcome, hung_up.stamp), (Outcome::Unknown, None), "{hung_up:?}");
    assert!(run.history.operations.iter().any(|operation| operation.key == Key::new("extra").unwrap()));
    assert!(run.differences().is_empty());
}

/// The fate of each message, by the operation that it carries: delay, loss and copy.
fn fates(run: &ScenarioRun) -> BTreeMap<(String, MessageId), String> {
    let mut names = BTreeMap::new();
    let mut fates = BTreeMap::new();
    for record in run.trace.records() {
        match &record.event {
            // Every write writes its own name.
            Event::Accept { write, value: Some(value), .. } => drop(names.insert(*write, value.to_string())),
            // Whether a fault strikes depends on the time, so only what is drawn is held against the other run.
            Event::Send { message, delay, .. } if message.attempt == 1 => {
                let anonymous = MessageId { write: 0, ..*message };
                fates.insert((names[&message.write].clone(), anonymous), format!("{delay:?}"));
            }
            _ => {}
        }
    }
    fates
}

/// Of the operations that both runs have, how many messages there are, and how many were treated differently.
fn compare(a: &ScenarioRun, b: &ScenarioRun) -> (usize, usize) {
    let (a, b) = (fates(a), fates(b));
    let both: Vec<_> = a.iter().filter_map(|(message, fate)| Some((fate, b.get(message)?))).collect();
    (both.len(), both.iter().filter(|(a, b)| a != b).count())
}

#[test]
fn taking_one_operation_away_changes_no_other_draw() {
    let whole = run(&story());
    let mut scenario = story();
    scenario.workload.without = vec![OperationName { client: 1, number: 2 }];
    let part = run(&scenario);
    let names = |run: &ScenarioRun| run.history.operations.iter().map(|o| o.name()).collect::<Vec<_>>();
    assert!(names(&whole).contains(&"c2#2".to_owned()) && !names(&part).contains(&"c2#2".to_owned()));
    let plan = |run: &ScenarioRun| -> BTreeMap<String, (Key, NodeId, bool)> {
        let what = |o: &semisync::base::history::Operation| (o.name(), (o.key.clone(), o.target, o.is_write()));
        run.history.operations.iter().map(what).collect()
    };
    let (all, rest) = (plan(&whole), plan(&part));
    assert!(rest.iter().all(|(name, operation)| all.get(name) == Some(operation)));
    let (compared, different) = compare(&whole, &part);
    assert!(compared > 40 && different == 0, "{different} of {compared} messages");
}

#[test]
fn taking_one_fault_away_changes_no_other_draw() {
    let whole = run(&story());
    for place in 0..story().faults.len() {
        let mut scenario = story();
        scenario.faults.remove(place);
        // What begins cannot be taken away without its end.
        if scenario.check().is_err() {
            continue;
        }
        let (compared, different) = compare(&whole, &run(&scenario));
        assert!(compared > 40 && different == 0, "without fault {}: {different} of {compared} messages", place + 1);
    }
}

#[test]
fn the_same_scenario_gives_the_same_run() {
    assert_eq!(run(&story()).trace.digest(), run(&story()).trace.digest());
    let other = engine::run(Engine::Turmoil, &story().with_seed(12), Arc::default()).expect("a simulation");
    assert_ne!(run(&story()).trace.digest(), other.trace.digest());
}
