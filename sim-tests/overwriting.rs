//! Commands that read one file and write another: none overwrites what it reads, nor one of its files by another.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const SCENARIO: &str = include_str!("corpus/f1-leader-restarts-empty.toml");

fn run(directory: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_semisync"));
    command.current_dir(directory).args(args).output().expect("the binary runs")
}

/// The names and contents of everything in a directory.
fn contents(directory: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    let content = |path: &Path| if path.is_dir() { String::new() } else { fs::read_to_string(path).expect("text") };
    let mut all: Vec<(String, String)> = entries.map(|path| (name(&path), content(&path))).collect();
    all.sort();
    all
}

#[test]
fn a_file_that_another_option_names_is_not_overwritten() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir(directory.path().join("sub")).expect("a directory");
    let names = ["f.toml", "keep-quorum.toml", "quorum_results.json"];
    names.iter().for_each(|name| fs::write(directory.path().join(name), SCENARIO).expect("a file"));
    let before = contents(directory.path());
    for (args, says) in [
        (&["sim", "f.toml", "--trace", "f.toml"][..], "FILE f.toml and --trace f.toml name the same file"),
        (&["sim", "f.toml", "--trace", "./f.toml"], "FILE f.toml and --trace ./f.toml name the same file"),
        (
            &["sim", "f.toml", "--history", "sub/../f.toml"],
            "FILE f.toml and --history sub/../f.toml name the same file",
        ),
        (&["sim", "./f.toml", "--save", "f.toml"], "FILE ./f.toml and --save f.toml name the same file"),
        (&["sim", "f.toml", "--trace", "x", "--history", "./x"], "--trace x and --history ./x name the same file"),
        (&["sim", "--save", "x", "--history", "x"], "--save x and --history x name the same file"),
        (&["sim", "--save", "x", "--trace", "x"], "which --trace would overwrite; name another file for --trace"),
        (&["shrink", "f.toml", "--save", "./f.toml"], "FILE f.toml and --save ./f.toml name the same file"),
        (&["explore", "f.toml", "--headless", "--save", "f.toml"], "FILE f.toml and --save f.toml name the same file"),
        (&["swarm", "--seeds", "0..2", "--save", "x", "--junit", "./x"], "--save x and --junit ./x name the same file"),
        (
            &["zoo", "keep-quorum", "--save", ".", "--check", "keep-quorum.toml"],
            "--check keep-quorum.toml and --save ./keep-quorum.toml name the same file",
        ),
        (
            &["zoo", "keep-quorum", "keep-quorum,count-distinct", "--save", "x"],
            "RULE keep-quorum is named twice as the first of its rules, and --save would write both to x/keep-quorum.toml",
        ),
        (
            &["analyze", "--compose", "--compose-file", "quorum_results.json"],
            "--compose-file quorum_results.json and --out ./quorum_results.json name the same file",
        ),
    ] {
        let Output { status, stdout, stderr } = run(directory.path(), args);
        let (printed, message) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert_eq!((status.code(), &*printed), (Some(2), ""), "{args:?}: {message}");
        assert!(message.contains(says), "{args:?}: {message}");
        assert_eq!(contents(directory.path()), before, "{args:?}");
    }
}

#[test]
fn nothing_in_a_device_is_overwritten() {
    let directory = tempfile::tempdir().expect("a directory");
    let args = ["sim", "--writes", "2", "--engine", "core", "--trace", "/dev/null", "--history", "/dev/null"];
    let output = run(directory.path(), &args);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The figures of an analysis stay until it is said that they may go.
#[test]
fn another_analysis_is_not_overwritten_unasked() {
    let directory = tempfile::tempdir().expect("a directory");
    let analyze = |seed: &'static str, more: &[&str]| {
        let args = ["analyze", "--sim", "--quorums", "1", "--writes", "20", "--staleness", "0", "--seed", seed];
        let Output { status, stderr, .. } = run(directory.path(), &[&args[..], &["--out", "x"], more].concat());
        (status.code(), String::from_utf8(stderr).expect("text"))
    };
    let results = || fs::read(directory.path().join("x/quorum_results.json")).expect("the results");
    assert_eq!(analyze("1", &[]).0, Some(0));
    let first = results();
    let (code, errors) = analyze("2", &[]);
    assert_eq!(code, Some(2), "{errors}");
    let why =
        "--out x: has latency_distribution_q1.png of another analysis; name another directory, or add --overwrite";
    assert!(errors.contains(why), "{errors}");
    assert!(results() == first, "nothing is overwritten");
    assert_eq!(analyze("2", &["--overwrite"]).0, Some(0));
    assert!(results() != first, "it was asked for");
}
