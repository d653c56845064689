//! Faults that never struck are named, with the reason, in both engines; `sim --strict` fails then.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use semisync::sim::scenario::Scenario;
use semisync::sim::{Engine, engine};

/// Two writes at 0 and 400 ms, and faults.
fn story(faults: &str) -> String {
    format!(
        r#"
        name = "inert faults"
        cluster = {{ followers = 2, write_quorum = 1, delay_ms = [10, 10], repl_timeout_ms = 1000 }}
        [[workload.operation]]
        set = "x"
        [[workload.operation]]
        client = 2
        at_ms = 400
        set = "y"
        {faults}
        "#
    )
}

/// The reasons of the faults that never struck, in each engine.
fn inert(faults: &str) -> [Vec<String>; 2] {
    let scenario = Scenario::from_toml(&story(faults)).unwrap_or_else(|error| panic!("{error}"));
    Engine::ALL.map(|engine| {
        let run = engine::run(engine, &scenario.with_seed(1), Arc::default()).expect("a simulation");
        assert_eq!(run.violations().collect::<Vec<_>>(), [], "{engine}");
        run.inert_faults().into_iter().map(|inert| inert.why).collect()
    })
}

#[test]
fn each_fault_that_never_struck_has_a_reason() {
    for (fault, says) in [
        (
            "drop = { operation = \"c1#1\", attempt = 50 }",
            "there was no attempt 50: each message of c1#1 was delivered, at attempt 1 at the latest",
        ),
        ("at_ms = 1000\nuntil_ms = 2000\ndrop = {}", "it begins at 1000 ms, after the end of the run at 4"),
        ("at_ms = 100\nuntil_ms = 300\ndrop = { to = \"f2\" }", "no message to f2 was sent while it was on"),
        ("drop_reply = { per_mille = 1 }", "of 4 messages while it was on, none was drawn: per_mille = 1"),
        ("at_ms = 100\nduplicate = { operation = \"c1#1\" }", "no message of c1#1 was sent while it was on"),
        ("disconnect = { operation = \"c2#1\", after_ms = 300 }", "c2#1 had returned after 1"),
        (
            "delay = { rpc = \"snapshot\", to = \"f1\", number = 2, delay_ms = 5 }",
            "no snapshot request number 2 to f1 was sent while it was on",
        ),
        ("quorum = 2", "no leader was started after it"),
        ("members = [\"f1\"]", "no leader was started after it"),
        ("at_ms = 300\naccept_loss = \"leader\"", "n1 did not wait for an operator"),
        ("when = \"c1#1 was acknowledged\"\naccept_loss = \"leader\"", "n1 did not wait for an operator"),
        ("partition = { from = [\"f1\"], to = [\"f2\"] }", "these nodes send one another nothing"),
        ("slow = { node = \"f1\", to = \"f2\", latency_ms = 50 }", "these nodes send one another nothing"),
        ("when = \"n1 serves\"\ncrash = \"f1\"", "\"n1 serves\" did not happen"),
        ("when = \"c1#1 was acknowledged\"\nrestart = \"f1\"", "f1 was not down"),
        (
            "when = \"c2#1 was accepted\"\ndrop = { operation = \"c1#1\" }",
            "no message of c1#1 was sent while it was on",
        ),
    ] {
        for inert in inert(&format!("[[fault]]\n{fault}")) {
            assert!(matches!(&inert[..], [why] if why.starts_with(says)), "{fault}: {inert:?}");
        }
    }
    // In the core engine alone.
    for (fault, says) in [
        ("clock = { node = \"f1\", rate_per_mille = 900 }", "f1 is a follower, which has no timers"),
        ("when = \"c1#1 was acknowledged\"\nresume = \"f1\"", "f1 was not paused"),
        ("when = \"c1#1 was acknowledged\"\ncrash = \"former\"", "no former leader ran"),
        ("lose_key = { follower = \"f1\", key = \"z\" }", "f1 stored no z"),
    ] {
        let scenario =
            Scenario::from_toml(&story(&format!("[[fault]]\n{fault}"))).unwrap_or_else(|error| panic!("{error}"));
        let run = engine::run(Engine::Core, &scenario.with_seed(1), Arc::default()).expect("a simulation");
        let inert = run.inert_faults();
        assert!(matches!(&inert[..], [inert] if inert.why == says), "{fault}: {inert:?}");
    }
}

/// Faults of many kinds that all strike.
#[test]
fn faults_that_struck_are_not_named() {
    let faults = "[[fault]]\ndrop = { operation = \"c1#1\", attempt = 1 }\n\
                  [[fault]]\nat_ms = 300\nuntil_ms = 450\ndrop_reply = { to = \"f2\" }\n\
                  [[fault]]\nat_ms = 300\nhold = \"f1\"\n[[fault]]\nat_ms = 420\nrelease = \"f1\"\n\
                  [[fault]]\nat_ms = 500\nquorum = 2\n[[fault]]\nat_ms = 510\ncrash = \"leader\"\n[[fault]]\nat_ms = 600\nrestart = \"leader\"\n[[fault]]\nat_ms = 900\nhold = \"f1\"\n\
                  [[fault]]\nduplicate = { rpc = \"promise\", number = 1 }\n\
                  [[fault]]\nwhen = \"c2#1 was acknowledged\"\nslow = { node = \"f1\", latency_ms = 3 }\n\
                  [[fault]]\ndisconnect = { operation = \"c1#1\", after_ms = 5 }\n";
    for inert in inert(faults) {
        assert_eq!(inert, [""; 0]);
    }
}

#[test]
fn strict_fails_with_4_if_nothing_else_is_wrong() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("story.toml");
    let sim = |text: &str, args: &[&str]| {
        fs::write(&file, text).expect("a file");
        let output = Command::new(env!("CARGO_BIN_EXE_semisync")).arg("sim").arg(&file).args(args).output();
        let output = output.expect("it runs");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let two = story(
        "[[fault]]\ndrop = { operation = \"c1#1\", attempt = 50 }\n\
         [[fault]]\nat_ms = 1000\nuntil_ms = 2000\ndrop = { per_mille = 1000 }\n",
    );
    for engine in ["turmoil", "core"] {
        let (status, text) = sim(&two, &["--engine", engine]);
        assert_eq!(status, Some(0), "{text}");
        let named: Vec<&str> = text.lines().filter(|line| line.starts_with("Never struck: ")).collect();
        assert_eq!(named.len(), 2, "{text}");
        assert!(named[0].starts_with(
            "Never struck: fault 1, drop = { operation = \"c1#1\", attempt = 50 }: there was no attempt 50"
        ));
        let (status, text) = sim(&two, &["--engine", engine, "--strict"]);
        assert_eq!(status, Some(4), "{text}");
        let again = text.lines().last().expect("a last line");
        assert!(again.ends_with(&format!("--engine {engine} --strict")), "{again}");
        assert!(text.contains("Never struck: 2 of 2 faults. To repeat the run:"), "{text}");
        let (status, text) =
            sim(&story("[[fault]]\ndrop = { operation = \"c1#1\", attempt = 1 }"), &["--engine", engine, "--strict"]);
        assert_eq!(status, Some(0), "{text}");
    }
    // What is violated or expected in vain says more.
    let (status, text) = sim(&format!("{two}[expect]\nviolates = \"durability\"\n"), &["--strict"]);
    assert_eq!(status, Some(1), "{text}");
    let (status, text) = sim(&(two.clone() + "[expect]\npasses = true\n"), &["--strict", "--off", "resend-missed"]);
    assert_eq!(status, Some(4), "{text}");
}
