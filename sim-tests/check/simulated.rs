//! Files that the simulator wrote: they are judged as the run was, and tell when they were tampered with.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use semisync::base::Recording;
use semisync::base::trace::{Event, Outcome, Record, Trace};
use semisync::base::{Stamp, Value, Version};
use semisync::check::{self, Facts, Property, Recorded, Verdict};
use semisync::sim::scenario::{RuleSet, RulesSpec, Scenario};
use semisync::sim::{Engine, Generator, Race, ScenarioRun, Strategy, engine};

use super::{check_file, text};
use crate::corpus;
use crate::support::f;
use crate::support::seeds::for_each_seed;

/// The trace of a run as it comes back from a file.
fn reread(run: &ScenarioRun) -> Trace {
    let mut file = Vec::new();
    run.trace.write_json_lines(&mut file).expect("memory");
    match Recording::read(file.as_slice()) {
        Ok(Recording::Trace(trace)) => trace,
        other => panic!("not a trace: {other:?}"),
    }
}

/// A file says all that the engine knew when it judged the run: verdicts, evidence and final states are the same.
fn is_judged_alike(run: &ScenarioRun) {
    let name = &run.scenario.name;
    let trace = reread(run);
    let facts = Facts::from_records(trace.records()).expect("a run begins with its cluster");
    assert_eq!(facts.faulty, run.scenario.is_faulty(), "{name}");
    assert_eq!(check::final_states(trace.records(), &facts), run.states, "{name}");
    assert_eq!(check::of_trace(trace.records(), &facts), run.verdicts, "{name}");
}

#[test]
fn every_scenario_of_the_corpus_is_judged_alike_from_its_file() {
    for file in corpus::files() {
        let scenario = Scenario::from_file(&file).unwrap_or_else(|error| panic!("{error}"));
        is_judged_alike(&corpus::play(&scenario));
    }
}

#[test]
fn generated_scenarios_are_judged_alike_from_their_files() {
    for_each_seed(0..10, |seed| {
        let rules = RulesSpec::Named(if seed % 2 == 0 { RuleSet::Lab } else { RuleSet::Safe });
        is_judged_alike(&corpus::play(
            &Generator { rules, crashes: true, engine: Engine::Turmoil, strategy: Strategy::Timed }.scenario(seed),
        ));
    });
}

/// The command says of a file what the simulator said of the run, with the same exit status.
#[test]
fn the_command_repeats_the_verdicts_of_the_simulator() {
    let directory = tempfile::tempdir().expect("a directory");
    let trace = directory.path().join("trace");
    let trace = trace.to_str().expect("UTF-8");
    for (name, status) in
        [("f1-leader-restarts-empty", 1), ("f7-follower-restarts-empty", 3), ("f34-the-client-hangs-up", 0)]
    {
        let file = corpus_file(name);
        let mut sim = Command::new(env!("CARGO_BIN_EXE_semisync"));
        sim.arg("sim").arg(&file).args(["--trace", trace, "--verbose"]);
        let run = sim.output().expect("the binary runs");
        let checked = check_file(trace);
        assert_eq!((run.status.code(), checked.status.code()), (Some(status), Some(status)), "{name}");
        let (run, checked) = (text(&run.stdout), text(&checked.stdout));
        let verdicts =
            run.split("Verdicts\n").nth(1).and_then(|rest| rest.split("\ndigest ").next()).expect("verdicts");
        assert!(checked.contains(verdicts), "{checked}\nis not\n{verdicts}");
        let digest = run.lines().find_map(|line| line.strip_prefix("digest ")).expect("a digest");
        let title = checked.lines().next().expect("a title");
        assert!(title.starts_with(&format!("{trace}: a trace of ")) && title.ends_with(digest), "{title}");
        let last = |text: &str| text.lines().find(|line| line.starts_with("Violated: ")).map(str::to_owned);
        assert_eq!(last(&run).map(|line| line.replace(". To repeat the run:", "")), last(&checked));
    }
}

fn corpus_file(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("sim-tests/corpus/{name}.toml"));
    assert!(path.exists(), "{name} is not in the corpus");
    path
}

/// A race in which clients also read, everywhere.
fn race() -> Trace {
    let mut scenario = Race { seed: 1, followers: 3, write_quorum: 2, writes: 120, ..Race::default() }.scenario();
    scenario.workload.reads = 0.5;
    let run = engine::run(Engine::Turmoil, &scenario, Arc::default()).expect("a simulation");
    assert_eq!(run.violations().next(), None);
    run.trace
}

/// What is violated in the trace once its first record that can be bent is.
fn bent(records: &[Record], bend: impl Fn(&mut Record) -> bool) -> Vec<Property> {
    let mut records = records.to_vec();
    assert!(records.iter_mut().any(bend), "there is nothing to bend");
    let facts = Facts::from_records(&records).expect("the beginning is untouched");
    violated(&check::of_trace(&records, &facts))
}

fn violated(verdicts: &[Verdict]) -> Vec<Property> {
    verdicts.iter().filter(|verdict| verdict.is_violated()).map(|verdict| verdict.property).collect()
}

#[test]
fn a_trace_that_was_edited_is_found() {
    let trace = race();
    let records = trace.records();
    assert_eq!(bent(records, |record| record.at.0 == 0), [], "nothing was bent");
    let another_value = |record: &mut Record| {
        let Event::Apply { value, .. } = &mut record.event else { return false };
        *value = Value::from_json("\"mine\"").ok();
        true
    };
    assert!(bent(records, another_value).contains(&Property::Integrity));
    let more_confirmations = |record: &mut Record| {
        let Event::Complete { confirmations, .. } = &mut record.event else { return false };
        *confirmations = 3;
        true
    };
    assert_eq!(bent(records, more_confirmations), [Property::Acknowledgement]);
    let reads_the_first = |record: &mut Record| {
        let Event::Return { outcome, stamp: Some(stamp), value: Some(_), confirmed: None, .. } = &mut record.event
        else {
            return false;
        };
        let is_late = stamp.version.get() > 9;
        *stamp = if is_late { Stamp::of_version(Version::FIRST) } else { *stamp };
        is_late && *outcome == Outcome::Ok
    };
    assert!(bent(records, reads_the_first).contains(&Property::Integrity));
    let forgets = |record: &mut Record| {
        let is_apply = record.node == f(2) && matches!(record.event, Event::Apply { .. });
        if is_apply {
            record.event = Event::Crash;
        }
        is_apply
    };
    let found = bent(records, forgets);
    assert_eq!(found, [Property::Durability, Property::Acknowledgement]);
    let last_apply = records.iter().rposition(|record| matches!(record.event, Event::Apply { .. })).expect("one");
    let unfinished = &records[..last_apply];
    let facts = Facts::from_records(unfinished).expect("the beginning is untouched");
    let found = violated(&check::of_trace(unfinished, &facts));
    assert!(found.contains(&Property::Convergence), "a trace is judged as if the run had ended there: {found:?}");
}

/// The textbook's leader restarts with an empty memory, and clients read of it what was overwritten long ago.
#[test]
fn clients_alone_show_stale_reads_at_the_leader() {
    let directory = tempfile::tempdir().expect("a directory");
    let scenario = r#"
        name = "stale reads at the leader"
        [cluster]
        followers = 3
        write_quorum = 2
        delay_ms = [0, 50]
        rules = "lab"
        [workload]
        clients = 6
        operations = 300
        keys = 3
        reads = 0.5
        read_from = "leader"
        [[fault]]
        at_ms = 900
        crash = "leader"
        [[fault]]
        at_ms = 1000
        restart = "leader"
    "#;
    let run = corpus::play(&Scenario::from_toml(scenario).unwrap_or_else(|error| panic!("{error}")));
    let path = directory.path().join("history");
    run.history.write_json_lines(fs::File::create(&path).expect("a file")).expect("a disk");
    let output = check_file(path.to_str().expect("UTF-8"));
    let text = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(super::verdict(&text, "linearizability").starts_with("VIOLATED"), "{text}");
    // Reads alone show it, without the versions that the leader gave twice.
    let crash = run.trace.records().iter().position(|record| record.event == Event::Crash).expect("a crash");
    let mut history = run.history;
    history.operations.retain(|operation| !operation.is_write() || operation.invoked.index < crash);
    let verdicts = check::all(&Recorded::of_clients(&history));
    assert!(violated(&verdicts).contains(&Property::Linearizability), "{verdicts:?}");
}

/// What clients alone show is never more than what a trace shows.
#[test]
fn clients_alone_accuse_nobody_whom_a_trace_does_not() {
    for file in corpus::files() {
        let scenario = Scenario::from_file(&file).unwrap_or_else(|error| panic!("{error}"));
        let run = corpus::play(&scenario);
        // What is lost, clients can only see violated.
        let whole: Vec<Property> = run.violations().chain(run.losses()).collect();
        let alone = violated(&check::all(&Recorded::of_clients(&run.history)));
        assert!(alone.iter().all(|property| whole.contains(property)), "{}: {alone:?}, {whole:?}", scenario.name);
        // Nor do those that begin to be recorded when the run is half over.
        let mut later = run.history;
        later.operations.drain(..later.operations.len() / 2);
        let later = violated(&check::all(&Recorded::of_clients(&later)));
        assert!(later.iter().all(|property| whole.contains(property)), "{}: {later:?}, {whole:?}", scenario.name);
    }
}
