//! The commands for a running cluster: what they print, what they leave, and what they say of bad input.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use semisync::net::HostPort;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::support::tcp::{Running, leader_config};
use crate::support::{raw, until};

/// Runs the binary beside the nodes that run in this test.
async fn semisync(directory: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    with_variables(directory, &[], args).await
}

/// The same, in a shell that has exported these.
async fn with_variables(directory: &Path, variables: &[(&str, &str)], args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_semisync"));
    command.current_dir(directory).args(args).envs(variables.iter().copied());
    let Output { status, stdout, stderr } = command.output().await.expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// A leader and two followers, and the flags that name them.
async fn cluster() -> (Vec<Running>, [String; 4]) {
    let followers = [Running::follower().await, Running::follower().await];
    let addresses: Vec<HostPort> = followers.iter().map(|node| node.address.into()).collect();
    let leader = Running::start(leader_config(addresses, 2, (0, 30))).await;
    let flags = flags(leader.address, &followers.each_ref().map(|node| node.address));
    (followers.into_iter().chain([leader]).collect(), flags)
}

fn flags(leader: SocketAddr, followers: &[SocketAddr]) -> [String; 4] {
    let list: Vec<String> = followers.iter().map(SocketAddr::to_string).collect();
    ["--leader".into(), leader.to_string(), "--followers".into(), list.join(",")]
}

fn with<'a>(command: &[&'a str], flags: &'a [String; 4]) -> Vec<&'a str> {
    command.iter().copied().chain(flags.iter().map(String::as_str)).collect()
}

#[tokio::test]
async fn each_command_does_its_work_on_a_cluster_with_two_followers() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_nodes, flags) = cluster().await;
    let (code, text, errors) = semisync(directory.path(), &with(&["race"], &flags)).await;
    assert!(
        code == Some(0) && text.contains("3 of 3 stories passed, 2 of 2 stale arrivals rejected"),
        "{text}{errors}"
    );
    assert!(text.contains("  v3 reaches f1 after v6: rejected as stale\n"), "{text}");
    let load = ["load", "--count", "200", "--rate", "500", "--history", "h.jsonl", "--zipf", "0.9"];
    let (code, text, errors) = semisync(directory.path(), &with(&load, &flags)).await;
    assert!(code == Some(0) && text.contains("200 operations in ") && text.contains("; 0 failed"), "{text}{errors}");
    assert_eq!(fs::read_to_string(directory.path().join("h.jsonl")).expect("the history").lines().count(), 200);
    let (code, text, errors) = semisync(directory.path(), &with(&["verify", "--watch"], &flags)).await;
    assert!(code == Some(0) && text.ends_with("EQUAL\n"), "{text}{errors}");
    let analyze =
        ["analyze", "--fixed", "--writes", "40", "--delay-ms", "0..30", "--staleness", "5", "--out", "results"];
    let (code, text, errors) = semisync(directory.path(), &with(&analyze, &flags)).await;
    assert!(code == Some(0) && text.contains("results/latency_vs_quorum.svg"), "{text}{errors}");
    let json = fs::read_to_string(directory.path().join("results/quorum_results.json")).expect("the results");
    let results: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let [result] = &results.as_array().expect("an array")[..] else { panic!("one quorum: {json}") };
    assert_eq!((&result["quorum"], &result["count"]), (&2.into(), &40.into()));
    assert_eq!(result["latencies"].as_array().expect("an array").len(), 40);
    assert_eq!(result["consistency"]["consistent"], true);
    assert_eq!(result["law"]["followers"], 2);
    for (name, begins) in [
        ("latency_vs_quorum.png", &b"\x89PNG"[..]),
        ("latency_distribution_q2.svg", b"<svg"),
        ("staleness.png", b"\x89PNG"),
    ] {
        let bytes = fs::read(directory.path().join("results").join(name)).expect(name);
        assert!(bytes.starts_with(begins) && bytes.len() > 1000, "{name}");
    }
}

#[tokio::test]
async fn a_difference_fails_the_comparison() {
    let directory = tempfile::tempdir().expect("a directory");
    let (nodes, flags) = cluster().await;
    raw::post_json(nodes[1].address, "/replicate", r#"{"key":"odd","value":[1],"version":3}"#).await;
    let (code, text, _) = semisync(directory.path(), &with(&["verify", "--watch", "--deadline", "0.3"], &flags)).await;
    assert!(code == Some(1) && text.contains("\"odd\": leader has nothing, f2 has v3 = [1]"), "{text}");
    assert!(text.ends_with("DIFFERENT\n"), "{text}");
}

#[tokio::test]
async fn nodes_that_are_down_or_are_not_what_they_should_be_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut nodes, flags) = cluster().await;
    let stranger = raw::answering("text/html", "<html>hello</html>".into()).await;
    let (leader, follower) = (nodes[2].address, nodes[0].address);
    let gone = nodes[1].address;
    let swapped = self::flags(follower, &[leader]);
    let strange = self::flags(stranger, &[follower]);
    // A cluster begins once all of its followers have joined.
    until(async || (raw::get(leader, "/ready").await.0 == 200).then_some(())).await;
    nodes.remove(1).kill().await;
    for command in [&["race"][..], &["verify"], &["load"], &["analyze", "--fixed"]] {
        let (code, text, errors) = semisync(directory.path(), &with(command, &flags)).await;
        // A comparison does without a follower that is down, and says so.
        let down = match command {
            ["verify"] => format!("f2 was not compared to the end: {gone}: cannot connect"),
            _ => format!("semisync: f2 at {gone} does not answer: cannot connect"),
        };
        assert!(code == Some(1) && (text + &errors).contains(&down), "{command:?}: {errors}");
        let (code, _, errors) = semisync(directory.path(), &with(command, &swapped)).await;
        let role = format!("semisync: {follower} says that it is a follower; it was given as leader");
        assert!(code == Some(2) && errors.contains(&role), "{command:?}: {errors}");
        assert!(errors.contains(&format!("{leader} says that it is a leader; it was given as f1")), "{errors}");
        let (code, _, errors) = semisync(directory.path(), &with(command, &strange)).await;
        let not_ours = format!("semisync: {stranger}, which should be leader, is not a node of this kind");
        assert!(code == Some(2) && errors.contains(&not_ours), "{command:?}: {errors}");
    }
    assert_eq!(fs::read_dir(directory.path()).expect("the directory").count(), 0, "nothing is left behind");
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("taken"), "").expect("a file");
    for (args, says) in [
        (&["race", "--leader", "nowhere"][..], "is not of the form host:port"),
        (&["race", "--followers", "a:1,a:1"], "a:1 is named twice"),
        (&["verify", "--timeout", "0"], "must be a number of seconds"),
        (&["verify", "--deadline", "5"], "--watch"),
        (&["load", "--reads", "1.5"], "must be a share from 0 to 1"),
        (&["load", "--rate", "0"], "must be a number of operations a second"),
        (&["load", "--zipf=-1"], "must be a number from 0"),
        (&["load", "--read-from", "nobody"], "must be any, leader or followers"),
        (&["load", "--read", "linearizable"], "add --read-from leader"),
        (&["load", "--read", "fresh"], "there is no mode \"fresh\""),
        (&["load", "--history", "no/such/file"], "--history no/such/file: No such file"),
        (&["cluster", "--port", "21000", "--repl-timeout=-1"], "--repl-timeout \"-1\": must be a number"),
        (&["analyze"], "--local"),
        (&["analyze", "--local", "--compose"], "cannot be used with"),
        (&["analyze", "--local", "--quorums", "6"], "--quorums 6: must be 1 to 5"),
        (&["analyze", "--local", "--delay-ms", "9..1"], "the shortest delay, 9, is above the longest, 1"),
        (&["analyze", "--local", "--out", "taken"], "--out taken: is not a directory"),
        (&["analyze", "--fixed", "--size", "3"], "cannot be used with"),
        (&["analyze", "--local", "--leader", "a:1"], "'--local' cannot be used with '--leader <HOST:PORT>'"),
        (&["analyze", "--local", "--quorums", "x"], "must be a whole number from 1 to 128"),
        (&["load", "--reads", "0", "--read-from", "leader"], "--read-from has no effect with --reads 0"),
        (&["load", "--reads", "1", "--value-size", "7"], "--value-size has no effect with --reads 1"),
        (&["load", "--count", "-1"], "must be a whole number from 1 to"),
        (&["health", "--timeout", "-1"], "must be a number of seconds above 0 and up to 86400"),
        (&["cluster", "--followers", "many"], "must be a whole number from 0 to 128"),
        (&["cluster", "--peer-token", "a b"], "--peer-token \"(not shown)\": must be 1 to 256 bytes"),
        (&["serve", "--write-quorum", "2"], "--write-quorum \"2\": has no effect with the default role, follower"),
        (&["race", "--leader", "127.0.0.1:8001"], "it is also one of the default followers"),
    ] {
        let (code, _, errors) = semisync(directory.path(), args).await;
        assert!(code == Some(2) && errors.contains(says), "{args:?}: {errors}");
    }
}

/// Six nodes would say it six times; and what a flag says counts, whatever the shell has exported.
#[tokio::test]
async fn what_is_wrong_with_a_cluster_is_said_once() {
    let directory = tempfile::tempdir().expect("a directory");
    for (variable, flags, says) in [
        (("MAX_BODY", "1"), &[][..], "MAX_BODY=\"1 B\": must be a size"),
        (("WRITE_QUORUM", "abc"), &[], "WRITE_QUORUM=\"abc\": must be a whole number"),
        (
            ("WRITE_QUORUM", "abc"),
            &["--write-quorum", "6"],
            "--write-quorum \"6\": must be 1 to 5, the number of --followers",
        ),
        (("ADVERTISE", "abc"), &["--max-delay=-1"], "--max-delay \"-1\": must be "),
        (
            ("MIN_DELAY", "5000"),
            &["--max-delay", "4000"],
            "MIN_DELAY=\"5000\": must not be above --max-delay, which is 4000",
        ),
    ] {
        let args = [&["cluster", "--port", "21000"], flags].concat();
        let (code, _, errors) = with_variables(directory.path(), &[variable], &args).await;
        assert!(code == Some(2) && errors.contains(says) && errors.lines().count() == 1, "{variable:?}: {errors}");
    }
}

/// Whoever listens there would be taken for a node of the cluster.
#[tokio::test]
async fn a_cluster_whose_ports_are_taken_is_not_ready() {
    let directory = tempfile::tempdir().expect("a directory");
    let other = Running::start(leader_config(vec![], 0, (0, 0))).await;
    let port = other.address.port().to_string();
    let (code, text, errors) = semisync(directory.path(), &["cluster", "--followers", "0", "--port", &port]).await;
    assert_eq!((code, text.as_str()), (Some(2), ""), "{errors}");
    let says = format!("semisync: --port {port}: cannot listen on 127.0.0.1:{port}: Address already in use");
    assert!(errors.starts_with(&says) && errors.lines().count() == 1, "{errors}");
}

/// A supervisor ends a load: what was done is reported, and the history has it. Its progress shows on a pipe.
#[tokio::test]
async fn a_load_that_is_stopped_reports_what_was_done() {
    let directory = tempfile::tempdir().expect("a directory");
    let (nodes, flags) = cluster().await;
    let load = ["load", "--duration", "3600", "--rate", "50", "--history", "h.jsonl"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_semisync"));
    command.current_dir(directory.path()).args(with(&load, &flags));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut errors = BufReader::new(child.stderr.take().expect("its errors"));
    let mut line = String::new();
    errors.read_line(&mut line).await.expect("a line");
    assert!(line.starts_with("load: ") && line.contains(" of 1 h 0 min, about 59 min "), "{line}");
    let id = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).expect("it still runs");
    kill_process(id, Signal::TERM).expect("it still runs");
    let output = child.wait_with_output().await.expect("it ends");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(143), "{text}");
    assert!(text.contains(" operations in ") && text.ends_with("INCOMPLETE: stopped by SIGTERM\n"), "{text}");
    assert!(fs::read_to_string(directory.path().join("h.jsonl")).expect("the history").lines().count() > 0);
    drop(nodes);
}

/// Followers have no use for most settings, and refuse what they cannot use all the same.
#[tokio::test]
async fn what_a_flag_says_of_a_cluster_all_of_its_nodes_hear() {
    let directory = tempfile::tempdir().expect("a directory");
    let variables = [("MIN_DELAY", "2000"), ("WRITE_QUORUM", "abc"), ("ADVERTISE", "abc"), ("FOLLOWERS", "abc")];
    let args = ["analyze", "--local", "--quorums", "1", "--writes", "5", "--delay-ms", "0..30"];
    let (code, _, errors) = with_variables(directory.path(), &variables, &args).await;
    assert_eq!(code, Some(0), "{errors}");
}

/// `cargo test` builds the examples beside the tests.
#[tokio::test]
async fn the_example_of_a_client_says_how_to_start_a_cluster() {
    let tests = std::env::current_exe().expect("the path of the tests");
    let example = tests.ancestors().nth(2).expect("the directory of the build").join("examples/live_client");
    // The first of the six ports was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().min(65530).to_string();
    drop(listener);
    let Output { status, stderr, .. } = Command::new(example).arg(&port).output().await.expect("the example is built");
    let errors = String::from_utf8(stderr).expect("text");
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains(&format!("leader at 127.0.0.1:{port} does not answer")), "{errors}");
    let command = format!("\ncargo run -- cluster --write-quorum 3 --port {port}\n");
    assert!(errors.ends_with(&command), "{errors}");
}

/// A disk that is full costs the file and not what was found.
#[cfg(feature = "sim")]
#[tokio::test]
async fn a_full_disk_loses_no_results() {
    let directory = tempfile::tempdir().expect("a directory");
    for (args, says) in [
        (&["load", "--sim", "--count", "50", "--history", "/dev/full"][..], "50 operations in "),
        (&["sim", "--writes", "5", "--trace", "/dev/full"], "digest "),
    ] {
        let (code, text, errors) = semisync(directory.path(), args).await;
        assert!(code == Some(1) && text.contains(says), "{args:?}: {text}{errors}");
        assert!(errors.contains(" /dev/full: No space left on device"), "{errors}");
    }
}

/// Six processes for each of two quorums, which end with the command.
#[tokio::test]
async fn a_local_analysis_starts_and_stops_its_own_clusters() {
    let directory = tempfile::tempdir().expect("a directory");
    let args = [
        "analyze",
        "--local",
        "--quorums",
        "1,3",
        "--writes",
        "30",
        "--delay-ms",
        "0..20",
        "--staleness",
        "0",
        "--seed",
        "1",
    ];
    let (code, text, errors) = semisync(directory.path(), &args).await;
    assert!(code == Some(0), "{text}{errors}");
    let json = fs::read_to_string(directory.path().join("quorum_results.json")).expect("the results");
    let results: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let quorums: Vec<&serde_json::Value> = results.as_array().expect("an array").iter().map(|r| &r["quorum"]).collect();
    assert_eq!(quorums, [1, 3]);
    assert!(results[1]["staleness"].is_null() && !directory.path().join("staleness.png").exists());
}

#[cfg(feature = "sim")]
#[tokio::test]
async fn a_simulated_analysis_is_the_same_byte_for_byte() {
    let directory = tempfile::tempdir().expect("a directory");
    for out in ["one", "other"] {
        let (code, text, _) = semisync(directory.path(), &["analyze", "--sim", "--seed", "7", "--out", out]).await;
        assert_eq!(code, Some(0), "{text}");
        assert_eq!(text.matches(" within ").count(), 5, "{text}");
    }
    let mut names = 0;
    for entry in fs::read_dir(directory.path().join("one")).expect("a directory") {
        let path = entry.expect("an entry").path();
        let other = directory.path().join("other").join(path.file_name().expect("a name"));
        assert!(fs::read(&path).expect("a file") == fs::read(other).expect("its twin"), "{}", path.display());
        names += 1;
    }
    let shown = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/latency_vs_quorum.svg");
    let drawn = directory.path().join("one/latency_vs_quorum.svg");
    assert!(fs::read(shown).expect("the README's figure") == fs::read(drawn).expect("a file"), "the README's figure");
    assert_eq!(names, 1 + 2 * 7, "the JSON, and seven figures as PNG and SVG");
}

#[cfg(feature = "sim")]
#[tokio::test]
async fn each_command_works_on_a_simulated_cluster() {
    let directory = tempfile::tempdir().expect("a directory");
    for (args, says) in [
        (&["race", "--sim", "--seed", "3"][..], "3 of 3 stories passed"),
        (&["verify", "--sim", "--watch"], "EQUAL"),
        (&["load", "--sim", "--count", "100"], "100 operations in "),
    ] {
        let first = semisync(directory.path(), args).await;
        assert!(first.0 == Some(0) && first.1.contains(says), "{args:?}: {first:?}");
        let second = semisync(directory.path(), args).await;
        // How long it takes shows on the standard error.
        assert_eq!((first.0, first.1), (second.0, second.1), "the same seed");
    }
    let (code, text, _) = semisync(directory.path(), &["verify", "--sim"]).await;
    assert!(code == Some(1) && text.ends_with("DIFFERENT\n"), "the last acknowledgement comes before the last message");
}
