//! One seed, one run: in this process, in another, and whatever else is asked of the simulator.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;

use semisync::sim::Race;

fn digest_in_another_process(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_semisync")).arg("sim").args(args).output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().find_map(|line| line.strip_prefix("digest ")).expect("a line with the digest").to_owned()
}

fn digest_here(seed: u64) -> String {
    Race { seed, ..Race::default() }.run(Arc::default()).expect("a simulation").trace.digest().to_string()
}

#[test]
fn the_same_seed_gives_the_same_run_in_two_processes() {
    let first = digest_in_another_process(&["--seed", "42"]);
    assert_eq!(first, digest_in_another_process(&["--seed", "42"]));
    assert_eq!(first, digest_here(42), "a test and the command run the same thing");
    assert_eq!(first, digest_here(42), "a simulation leaves nothing behind for the next");
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
        let run = Race { seed, ..Race::default() }.run(Arc::default()).expect("a simulation");
        assert!(run.stale_arrivals().iter().all(|count| *count > 0), "{:?}", run.stale_arrivals());
        assert_eq!(run.completions(), (200, 0));
        assert!(run.differences().is_empty());
    }
}
