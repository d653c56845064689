//! One seed, one run: in this process, in another, and whatever else is asked of the simulator.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use semisync::base::history::History;
use semisync::base::trace::Trace;
use semisync::sim::{Engine, Race};

fn digest_in_another_process(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_semisync")).arg("sim").args(args).output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().find_map(|line| line.strip_prefix("digest ")).expect("a line with the digest").to_owned()
}

fn digest_here(seed: u64) -> String {
    Race { seed, ..Race::default() }
        .run(Engine::Turmoil, Arc::default())
        .expect("a simulation")
        .trace
        .digest()
        .to_string()
}

#[test]
fn the_same_seed_gives_the_same_run_in_two_processes() {
    let first = digest_in_another_process(&["--seed", "42"]);
    assert_eq!(first, digest_in_another_process(&["--seed", "42"]));
    assert_eq!(first, digest_here(42), "a test and the command run the same thing");
    assert_eq!(first, digest_here(42), "a simulation leaves nothing behind for the next");
}

/// What turmoil has no means for is run by the other engine, unless somebody asks for turmoil; and it is said so.
#[test]
fn a_file_is_played_by_what_can_play_it() {
    let file = |name: &str| format!("{}/sim-tests/corpus/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let sim = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_semisync")).arg("sim").args(args).output().expect("it runs");
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text")).concat();
        (output.status.code(), text)
    };
    let names = file("f13-one-node-has-two-names");
    let (status, text) = sim(&[&names]);
    let title = text.lines().next().unwrap_or_default();
    assert!(title.ends_with(", core engine, for turmoil cannot play it"), "{title}");
    assert!(title.contains(", rules: all but tell-nodes-apart, "), "{title}");
    assert_eq!(status, Some(1), "{text}");
    let (status, text) = sim(&[&names, "--engine", "turmoil"]);
    assert!(status == Some(2) && text.contains("misdirect needs the core engine"), "{text}");
}

#[test]
fn every_seed_gives_another_run() {
    let digests: BTreeSet<String> = (0..8).map(digest_here).collect();
    assert_eq!(digests.len(), 8);
}

#[test]
fn the_trace_file_tells_the_same_twice() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str| {
        let path = directory.path().join(name);
        digest_in_another_process(&["--writes", "20", "--trace", path.to_str().expect("a UTF-8 path")]);
        std::fs::read_to_string(path).expect("the trace file")
    };
    let trace = write("a.jsonl");
    assert_eq!(trace, write("b.jsonl"));
    for line in trace.lines() {
        let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).expect("an object a line");
        assert!(["at_us", "node", "event"].iter().all(|name| fields.contains_key(*name)), "{line}");
        let names = line.matches("\"node\":").count();
        assert_eq!(names, 1, "a field stands twice in {line}");
    }
    assert!(trace.lines().count() > 20 * 5 * 3);
}

/// The demonstration that the README promises.
#[test]
fn the_race_rejects_stale_arrivals_and_converges() {
    for seed in [42, 43] {
        let run = Race { seed, ..Race::default() }.run(Engine::Turmoil, Arc::default()).expect("a simulation");
        assert!(run.stale_arrivals().iter().all(|count| *count > 0), "{:?}", run.stale_arrivals());
        assert_eq!(run.completions(), (200, 0));
        assert!(run.differences().is_empty());
    }
}

/// What loads the other cores does not show in a simulation.
#[test]
fn the_same_seed_gives_the_same_run_under_load() {
    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..thread::available_parallelism().map_or(2, usize::from))
        .map(|_| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || while !stop.load(Ordering::Relaxed) {})
        })
        .collect();
    let loaded = digest_in_another_process(&["--seed", "7"]);
    stop.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|thread| thread.join().expect("it only counts"));
    assert_eq!(loaded, digest_in_another_process(&["--seed", "7"]));
    assert_eq!(loaded, digest_here(7));
}

/// A trace that is read again is the same run, and its operations are those of the history file.
#[test]
fn the_files_of_a_run_tell_the_same_as_the_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let [trace, history] = ["trace", "history"].map(|name| directory.path().join(name));
    let args = ["--trace", trace.to_str().expect("UTF-8"), "--history", history.to_str().expect("UTF-8")];
    let digest = digest_in_another_process(&args);
    let open = |path| BufReader::new(File::open(path).expect("the file"));
    let trace = Trace::read_json_lines(open(trace)).expect("a trace");
    assert_eq!(trace.digest().to_string(), digest);
    let history = History::read_json_lines(open(history)).expect("a history");
    assert_eq!(history, History::from_records(trace.records()));
    assert_eq!(history.operations.len(), 200);
}
