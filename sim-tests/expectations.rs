//! Expectations of single operations and of all writes, while faults last.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use semisync::check::Property;
use semisync::sim::scenario::{Claim, Expect, Scenario};
use semisync::sim::{Engine, engine};

/// Two writes: `first` while the only follower answers, and `second` while it is cut off, which misses its deadline; then a read
/// from a node that is down.
fn story(first: &str, second: &str, read: &str, expect: &str) -> String {
    format!(
        r#"
        name = "writes while a fault lasts"
        cluster = {{ followers = 1, write_quorum = 1, delay_ms = [10, 10], repl_timeout_ms = 500 }}
        [[workload.operation]]
        set = "x"
        {first}
        [[workload.operation]]
        at_ms = 1000
        set = "x"
        {second}
        [[workload.operation]]
        client = 2
        at_ms = 3200
        get = "x"
        from = "f1"
        {read}
        [[fault]]
        at_ms = 900
        partition = {{ from = ["leader"], to = ["f1"] }}
        [[fault]]
        at_ms = 2000
        heal = {{ from = ["leader"], to = ["f1"] }}
        [[fault]]
        at_ms = 3000
        crash = "f1"
        [[fault]]
        at_ms = 4000
        restart = "f1"
        {expect}
        "#
    )
}

/// The expectations that a run does not meet, in each engine.
fn unmet(text: &str) -> [Vec<String>; 2] {
    let scenario = Scenario::from_toml(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Scenario::from_toml(&scenario.to_toml()).expect("its own text"), scenario);
    Engine::ALL.map(|engine| {
        let run = engine::run(engine, &scenario.with_seed(1), Arc::default()).expect("a simulation");
        let expectations = run.expectations().into_iter().filter(|expectation| !expectation.is_met);
        expectations.map(|expectation| expectation.to_string()).collect()
    })
}

#[test]
fn operations_are_held_against_what_is_expected_of_them() {
    let (ok, unknown, refused) = ("expect = \"ok\"", "expect = \"unknown\"", "expect = \"refused\"");
    for (first, second, read, says) in [
        (ok, unknown, refused, &[][..]),
        ("", "", "", &[]),
        (unknown, unknown, "", &["c1#1 is unknown: NOT MET (it was ok)"]),
        (ok, ok, "", &["c1#2 is ok: NOT MET (it was unknown)"]),
        (refused, "", ok, &["c1#1 is refused: NOT MET (it was ok)", "c2#1 is ok: NOT MET (it was refused)"]),
    ] {
        for unmet in unmet(&story(first, second, read, "")) {
            assert_eq!(unmet, says);
        }
    }
}

#[test]
fn all_acknowledged_goes_with_every_other_expectation() {
    let all = "[expect]\nall_acknowledged = true\n";
    for keys in ["", "passes = true\n"] {
        for unmet in unmet(&story("expect = \"ok\"", "", "", &format!("{all}{keys}"))) {
            assert_eq!(unmet, ["every write is acknowledged: NOT MET (c1#2 was unknown)"]);
        }
    }
    let healthy = |expect| {
        format!(
            "name = \"healthy\"\n[cluster]\nfollowers = 1\nwrite_quorum = 1\n[[workload.operation]]\nset = \"x\"\n\
             [expect]\nall_acknowledged = true\n{expect}"
        )
    };
    for unmet in unmet(&healthy("passes = true")) {
        assert_eq!(unmet, [""; 0]);
    }
    for unmet in unmet(&healthy("violates = \"durability\"")) {
        assert_eq!(unmet, ["durability is violated: NOT MET"], "one of two independent expectations fails");
    }
    let reads = healthy("").replace("set =", "get =");
    for unmet in unmet(&reads) {
        assert_eq!(unmet, ["every write is acknowledged: NOT MET (no client wrote anything)"]);
    }
}

#[test]
fn a_failed_expectation_ends_sim_with_1_and_one_that_is_met_leaves_the_status() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("story.toml");
    let sim = |text: &str| {
        fs::write(&file, text).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_semisync"));
        let output = command.arg("sim").arg(&file).args(["--engine", "core"]).output().expect("it runs");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let met = |expect: &str| story("expect = \"ok\"", "expect = \"unknown\"", "", expect);
    let (status, text) = sim(&met(""));
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("Expected by the file: c1#2 is unknown: met"), "{text}");
    let (status, text) = sim(&met("[expect]\npasses = true\nall_acknowledged = true\n"));
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("Expected and not met: every write is acknowledged. To repeat the run:"), "{text}");
    // Only convergence is violated, which is status 3, expected or not.
    let lost = include_str!("corpus/f36-what-is-lost-stays-lost.toml");
    assert!(lost.contains("violates = \"convergence\""), "{lost}");
    let (status, text) = sim(lost);
    assert_eq!(status, Some(3), "a violation that is expected is one all the same\n{text}");
    let (status, text) = sim(&lost.replace("violates = \"convergence\"", "passes = true"));
    assert_eq!(status, Some(1), "{text}");
}

#[test]
fn the_documentation_names_every_expectation() {
    let table = include_str!("../docs/SCENARIOS.md");
    let expect = Expect {
        passes: true,
        violates: Some(Property::Durability),
        loses: Some(Property::Durability),
        shows: Some(Property::Prefix),
        all_acknowledged: true,
    };
    for claim in expect.claims() {
        let row = match claim {
            Claim::Passes => "| `passes = true` |",
            Claim::Violates(_) => "| `violates = \"property\"` |",
            Claim::Loses(_) => "| `loses = \"property\"` |",
            Claim::Shows(_) => "| `shows = \"property\"` |",
            Claim::AllAcknowledged => "| `all_acknowledged = true` |",
            Claim::Ends(..) => continue,
        };
        assert!(table.lines().any(|line| line.starts_with(row)), "docs/SCENARIOS.md has no row {row}");
    }
}

#[test]
fn an_outcome_that_an_operation_cannot_have_is_refused() {
    for (read, says) in [
        ("expect = \"unknown\"", "a get that is not answered has no effect, and is \"refused\""),
        ("expect = \"lost\"", "unknown variant `lost`, expected one of `ok`, `unknown`, `refused`"),
    ] {
        let message = Scenario::from_toml(&story("", "", read, "")).expect_err("it was taken").to_string();
        assert!(message.contains(says), "{read}: {message}");
    }
}
