//! The doctor: leaks are planted in a story, and it finds the event at which they reach the run.

use std::cell::Cell;
use std::env;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use futures_util::future::{join, join_all};
use semisync::base::trace::Trace;
use semisync::sim::{Stage, World};
use tokio::time::sleep;

/// Which leak the story of a child process has, and where it writes its trace.
const LEAK: &str = "SEMISYNC_TEST_LEAK";
const TRACE: &str = "SEMISYNC_TEST_TRACE";

/// What must not be in a story: the clock of the machine.
#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "the leak that is to be found")]
fn wall_clock() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970")
}

/// What must not be in a story: an order of chance.
#[expect(clippy::disallowed_types, reason = "the leak that is to be found")]
fn in_the_order_of_a_hash_map() -> Vec<u16> {
    (1..20).map(|client| (client, ())).collect::<std::collections::HashMap<u16, ()>>().into_keys().collect()
}

thread_local! {
    /// What must not be in a story: a generator of the thread, which the system has seeded.
    static GENERATOR: Cell<u64> = {
        use std::hash::BuildHasher;
        Cell::new(std::hash::RandomState::new().hash_one(0))
    };
}

/// Three writes, one after another, then what leaks.
async fn story(stage: Stage, leak: String) {
    let client = stage.client(0);
    for n in 1..=3 {
        client.set("x", &n.to_string()).await.ok().expect("all followers are there");
    }
    match leak.as_str() {
        "none" => drop(client.set("x", "4").await),
        "clock" => {
            sleep(Duration::from_millis(wall_clock().subsec_millis().into())).await;
            drop(client.set("x", "4").await);
        }
        // While the one waits for what leaks, the other goes on.
        "clock of one of two" => {
            let one = async {
                sleep(Duration::from_millis(wall_clock().subsec_millis().into())).await;
                drop(client.set("x", "4").await);
            };
            let another = stage.client(1);
            let other = async {
                for n in 0..100 {
                    drop(another.set("y", &n.to_string()).await);
                    sleep(Duration::from_millis(10)).await;
                }
            };
            join(one, other).await;
        }
        "generator" => {
            let number = GENERATOR.get();
            GENERATOR.set(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            drop(client.set("x", &number.to_string()).await);
        }
        "order" => {
            let clients = in_the_order_of_a_hash_map().into_iter().map(|number| {
                let client = stage.client(number);
                async move { client.set("x", &number.to_string()).await.ok() }
            });
            join_all(clients).await;
        }
        other => panic!("there is no leak {other:?}"),
    }
    stage.settle().await;
}

fn trace_with(leak: &str) -> Trace {
    let leak = leak.to_owned();
    // All followers must confirm, so that nothing of the three writes is under way any more when something leaks.
    World::new(1).followers(2).write_quorum(2).run(async |stage| story(stage, leak).await).expect("a simulation").trace
}

/// Runs in the child processes too, where it writes down a run with the leak that its parent asks for.
#[test]
fn without_a_leak_the_story_is_the_same_twice() {
    if let (Ok(leak), Ok(path)) = (env::var(LEAK), env::var(TRACE)) {
        return trace_with(&leak).write_json_lines(File::create(path).expect("a file")).expect("a disk");
    }
    assert_eq!(trace_with("none").digest(), trace_with("none").digest());
}

fn run_in_another_process(leak: &str, trace: &Path) {
    let mut command = Command::new(env::current_exe().expect("this test"));
    command.args(["--exact", "doctor::without_a_leak_the_story_is_the_same_twice"]);
    let output = command.env(LEAK, leak).env(TRACE, trace).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn doctor(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_semisync")).arg("doctor").args(args).output().expect("the binary runs")
}

/// What the doctor says of two processes with this leak.
fn diagnosis(leak: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let [one, other] = ["one", "other"].map(|name| directory.path().join(name));
    // Two clocks or orders may agree by chance, once in some hundreds.
    for _ in 0..5 {
        run_in_another_process(leak, &one);
        run_in_another_process(leak, &other);
        if fs::read(&one).expect("a trace") != fs::read(&other).expect("a trace") {
            break;
        }
    }
    let output = doctor(&["--compare", one.to_str().expect("UTF-8"), other.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_leaked_clock_is_found_where_it_sets_a_time() {
    let text = diagnosis("clock");
    assert!(text.contains("What leaked: time: the same event of c1 happens at "), "{text}");
    for run in ["one run:", "the other:"] {
        let line = text.lines().find(|line| line.trim_start().starts_with(run)).expect("a line for each run");
        assert!(line.contains(r#""node":"c1","event":"invoke_set","operation":4"#), "{text}");
    }
    assert!(
        text.contains("Before that, on c1, in both:") && text.contains(r#""event":"return","operation":3"#),
        "{text}"
    );
}

#[test]
fn a_leaked_clock_is_found_behind_the_events_of_another_client() {
    let text = diagnosis("clock of one of two");
    assert!(text.contains("What leaked: time: the same event of c1 happens at "), "{text}");
    assert!(
        text.contains("Before that, on c1, in both:") && text.contains(r#""event":"return","operation":3"#),
        "{text}"
    );
}

#[test]
fn a_leaked_generator_is_found_where_it_sets_a_value() {
    let text = diagnosis("generator");
    assert!(text.contains("What leaked: content: the same kind of event with another value."), "{text}");
    assert!(text.contains(r#""node":"c1","event":"invoke_set","operation":4"#), "{text}");
}

#[test]
fn a_leaked_order_is_found_where_it_wakes() {
    let text = diagnosis("order");
    assert!(text.contains("What leaked: wake order: the "), "{text}");
    assert!(text.contains("Look for a HashMap"), "{text}");
}

#[test]
fn the_same_run_in_two_processes_is_healthy() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/sim-tests/corpus/f13-duplicates-counted.toml");
    for args in [&[file][..], &["--seed", "5", "--runs", "3", "--rules", "lab"]] {
        let output = doctor(args);
        let text = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(text.starts_with("The same run in "), "{text}");
    }
}

#[test]
fn what_cannot_be_run_or_read_is_named() {
    for (args, says) in [
        (&["nowhere.toml"][..], "nowhere.toml: No such file"),
        (&["--runs", "1"], "must be 2 to 64"),
        (&["--compare", "Cargo.toml"], "2 values required"),
        (&["--compare", "a", "b", "--rules", "lab"], "cannot be used with"),
        (&["--compare", "a", "b", "--off", "keep-quorum"], "cannot be used with"),
        (&["--compare", "a", "b", "--runs", "3"], "cannot be used with"),
        (&["--compare", "/dev/null", "/dev/null"], "--compare /dev/null: an empty trace"),
        (&["--compare", "nowhere.jsonl", "Cargo.toml"], "--compare nowhere.jsonl: No such file"),
        (&["--compare", "Cargo.toml", "Cargo.toml"], "--compare Cargo.toml: not a trace: line 1"),
    ] {
        let output = doctor(args);
        let text = String::from_utf8(output.stderr).expect("text");
        assert!(output.status.code() == Some(2) && text.contains(says), "{args:?}: {text}");
    }
}
