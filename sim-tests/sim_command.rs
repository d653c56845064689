//! The command `sim`: what it shows at first sight, many seeds of one scenario, and where its output goes.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

fn command(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_semisync"));
    command.current_dir(directory).args(args);
    command
}

fn run(directory: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command(directory, args).output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

fn corpus_file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("sim-tests/corpus/{name}.toml"));
    path.to_str().expect("UTF-8").to_owned()
}

/// The first command that anyone types shows a race and one mean latency.
#[test]
fn the_race_is_drawn_before_its_summary() {
    let directory = tempfile::tempdir().expect("a directory");
    let (code, text, _) = run(directory.path(), &["sim", "--seed", "42"]);
    assert_eq!(code, Some(0), "{text}");
    let (picture, summary) = text.split_once("\nFinal versions\n").expect("a summary");
    let overtaken = picture.lines().nth(2).expect("a title of the picture");
    assert!(overtaken.contains(" overtakes ") && overtaken.contains("rejects v"), "{overtaken}");
    let rejected: Vec<&str> = picture.lines().filter(|line| line.contains("✗ ")).collect();
    assert!(matches!(&rejected[..], [line] if line.contains("rejected as stale, has v")), "{picture}");
    assert!(picture.lines().count() < 12, "a few events only: {picture}");
    assert_eq!(summary.matches("mean ").count(), 1 + "The law's mean is".matches("mean ").count(), "{summary}");
    let verdicts: Vec<&str> = summary.split("Verdicts\n").nth(1).expect("verdicts").lines().collect();
    assert_eq!(verdicts[0], "  11 properties hold");
    let names = |line: &str| line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(verdicts[1]), ["sessions", "counted"]);
    assert_eq!(names(verdicts[2]), ["prefix", "counted"]);
    let (_, verbose, _) = run(directory.path(), &["sim", "--seed", "42", "--verbose"]);
    assert_eq!(verbose.lines().filter(|line| line.contains("  holds  ")).count(), 11, "{verbose}");
    assert!(verbose.contains("prefix (for example)"), "{verbose}");
}

/// What is violated is shown in the short form too, with all of its evidence.
#[test]
fn violations_are_always_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let (code, text, _) = run(directory.path(), &["sim", &corpus_file("f1-leader-restarts-empty"), "--engine", "core"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("durability") && text.contains("VIOLATED") && text.contains("(violated)"), "{text}");
    assert!(text.contains("  latency-law      –  "), "what is not judged says why: {text}");
    assert!(!text.contains("  holds  200"), "{text}");
}

#[test]
fn many_seeds_of_a_file_are_summed_up_by_property() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = corpus_file("f1-leader-restarts-empty");
    let args = ["sim", &file, "--seeds", "3..23", "--engine", "core", "--jobs", "2", "--junit", "junit.xml"];
    let (code, text, errors) = run(directory.path(), &args);
    assert_eq!(code, Some(1), "{text}{errors}");
    assert!(text.contains("20 seeds of 3..23\n"), "{text}");
    assert!(text.contains("\ndurability: 20 seeds; the first are 3, 4, 5, 6, 7, …\n"), "{text}");
    let again = format!("semisync sim {file} --seed 3 --engine core");
    assert_eq!(text.lines().last(), Some(again.as_str()));
    let words: Vec<&str> = again.split(' ').skip(1).collect();
    assert_eq!(run(directory.path(), &words).0, Some(1), "the command repeats the failure");
    let junit = fs::read_to_string(directory.path().join("junit.xml")).expect("the summary");
    assert!(junit.contains(r#"name="semisync sim of 20 seeds""#), "{junit}");
    assert!(junit.contains(r#"<testcase name="expectation" classname="semisync.sim"/>"#), "it is met: {junit}");
    assert!(!junit.contains("exercised") && !junit.contains("incomplete"), "{junit}");
    let one = run(directory.path(), &["sim", &file, "--seeds", "3..23", "--engine", "core", "--jobs", "1"]).1;
    assert_eq!(one, text, "the number of jobs makes no difference");
}

#[test]
fn seeds_that_pass_end_with_0_and_an_expectation_that_is_not_met_with_1() {
    let directory = tempfile::tempdir().expect("a directory");
    let safe = fs::read_to_string(corpus_file("f1-leader-restarts-empty-safe")).expect("the file");
    fs::write(directory.path().join("safe.toml"), &safe).expect("a file");
    let (code, text, _) = run(directory.path(), &["sim", "safe.toml", "--seeds", "0..4"]);
    assert!(code == Some(0) && text.contains("Failures: none"), "{text}");
    let other = safe.replace("passes = true", "violates = \"durability\"");
    assert_ne!(other, safe, "the file has the expectation that is replaced");
    fs::write(directory.path().join("other.toml"), other).expect("a file");
    let (code, text, _) = run(directory.path(), &["sim", "other.toml", "--seeds", "0..4"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("\nexpectation: 4 seeds; the first are 0, 1, 2, 3\n  expected by the file: "), "{text}");
    // Without a file it is the race.
    let (code, text, _) = run(directory.path(), &["sim", "--seeds", "7", "--writes", "30", "--engine", "core"]);
    assert!(code == Some(0) && text.starts_with("Race: 30 writes by 10 clients"), "{text}");
}

#[test]
fn seeds_that_cannot_be_run_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let clock = corpus_file("f24-two-leaders");
    for (args, says) in [
        (&["--seeds", "0.."][..], "must have an end: A..B without B"),
        (&["--seeds", "5..5"], "the range has no seed"),
        (&["--seeds", "0..2", "--seed", "1"], "cannot be used with '--seed"),
        (&["--seeds", "0..2", "--trace", "x"], "cannot be used with '--trace"),
        (&["--jobs", "2"], "--seeds <A..B>"),
        (&["--junit", "x"], "--seeds <A..B>"),
        (&["--seeds", "0..2", "--junit", "no/such/x"], "--junit no/such/x: No such file"),
        (&[&clock, "--seeds", "0..2", "--engine", "turmoil"], "needs the core engine (--engine core)"),
        (&["none.toml", "--seeds", "0..2"], "none.toml: No such file"),
    ] {
        let (code, _, errors) = run(directory.path(), &[&["sim"], args].concat());
        assert!(code == Some(2) && errors.contains(says), "{args:?}: {errors}");
    }
}

/// A supervisor ends the work: the summary and the file are of what was done, and say so. On a pipe the progress is a line.
#[test]
fn a_signal_leaves_the_summary_of_what_was_done() {
    let directory = tempfile::tempdir().expect("a directory");
    let long = ["sim", "--seeds", "0..1000000000", "--writes", "30", "--engine", "core", "--junit", "junit.xml"];
    let mut command = command(directory.path(), &long);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut errors = BufReader::new(child.stderr.take().expect("its errors"));
    let mut line = String::new();
    errors.read_line(&mut line).expect("a line");
    assert!(line.starts_with("sim: ") && line.contains(" of 1000000000 seeds, "), "{line}");
    assert!(line.contains(" left; 0 failed\n"), "{line}");
    let id = Pid::from_raw(i32::try_from(child.id()).expect("an id")).expect("an id");
    kill_process(id, Signal::TERM).expect("it still runs");
    let mut rest = String::new();
    errors.read_to_string(&mut rest).expect("text");
    let Output { status, stdout, .. } = child.wait_with_output().expect("it ends");
    let text = String::from_utf8(stdout).expect("text");
    assert_eq!(status.code(), Some(143), "{text}{rest}");
    assert!(rest.contains("stopping after the runs that are under way; a second SIGTERM ends at once"), "{rest}");
    assert!(text.contains("seeds of 0..1000000000\n") && text.contains("Failures: none"), "{text}");
    let stopped = text.lines().last().expect("a last line").strip_prefix("INCOMPLETE: ").expect("it says so");
    assert!(stopped.starts_with("stopped by SIGTERM after ") && stopped.ends_with(" of 1000000000 seeds"), "{text}");
    let junit = fs::read_to_string(directory.path().join("junit.xml")).expect("the summary");
    assert!(junit.contains(&format!(r#"<property name="incomplete" value="{stopped}"/>"#)), "{junit}");
}

/// A file on the standard output is alone there.
#[test]
fn a_trace_on_the_standard_output_is_nothing_but_the_trace() {
    let directory = tempfile::tempdir().expect("a directory");
    let base = ["sim", "--writes", "20", "--engine", "core"];
    let (_, text, _) = run(directory.path(), &[&base[..], &["--trace", "t", "--history", "h", "--save", "s"]].concat());
    for (option, file) in [("--trace", "t"), ("--history", "h"), ("--save", "s")] {
        let (code, out, errors) = run(directory.path(), &[&base[..], &[option, "-"]].concat());
        assert_eq!(code, Some(0), "{errors}");
        assert_eq!(out, fs::read_to_string(directory.path().join(file)).expect("the file"), "{option}");
        assert_eq!(errors, text, "the text is not lost");
    }
    assert!(!directory.path().join("-").exists(), "it is no file of that name");
    let (code, out, errors) = run(directory.path(), &["sim", "--trace", "-", "--save", "-"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(
        errors.contains("--save - and --trace - name the standard output, which has place for one file"),
        "{errors}"
    );
}

/// Output that cannot be written is an error of every command; a reader that has seen enough is none.
#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let full = || File::options().write(true).open("/dev/full").expect("a device that is full");
    let closed = || File::open("/dev/null").expect("a descriptor that cannot be written");
    let scope = corpus_file("../scopes/compare-stamps");
    let failing = corpus_file("f1-leader-restarts-empty");
    for args in [
        &["sim", "--writes", "5", "--engine", "core"][..],
        &["sim", "--writes", "5", "--engine", "core", "--trace", "-"],
        &["swarm", "--seeds", "0..2"],
        &["sim", "--seeds", "0..2", "--writes", "5", "--engine", "core"],
        &["shrink", &failing],
        &["explore", &scope, "--headless", "--max-states", "50"],
        &["zoo", "compare-stamps", "--starts", "1"],
        &["race", "--sim"],
        &["verify", "--sim"],
        &["load", "--sim", "--count", "5"],
        &["--help"],
        &["sim", "--help"],
        &["--version"],
    ] {
        for (stdout, why) in [(full(), "No space left on device"), (closed(), "Bad file descriptor")] {
            let is_help = args.last().is_some_and(|last| matches!(*last, "--help" | "--version"));
            if is_help && why.starts_with("Bad") {
                // The library that prints them does not tell.
                continue;
            }
            let output = command(directory.path(), args).stdout(stdout).output().expect("it runs");
            let errors = String::from_utf8(output.stderr).expect("text");
            assert_eq!(output.status.code(), Some(1), "{args:?}: {errors}");
            assert!(errors.contains(why), "{args:?}: {errors}");
        }
    }
    let mut child = command(directory.path(), &["sim", "--writes", "5", "--engine", "core"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

/// Names come from files. What a terminal would act on is escaped.
#[test]
fn control_characters_in_names_are_escaped() {
    let directory = tempfile::tempdir().expect("a directory");
    let scenario = "name = \"a\\u001b[31mb\\nc\"\n[cluster]\nfollowers = 1\nwrite_quorum = 1\ndelay_ms = [0, 10]\n\
                    [[workload.operation]]\nset = \"k\\u001b]0;x\\u0007\\ny\"\n";
    let file = "s\u{1b}[1m\n.toml";
    fs::write(directory.path().join(file), scenario).expect("a file");
    for args in [&["sim", file, "--engine", "core"][..], &["sim", file, "--seeds", "0..2"], &["sim", "no\u{1b}\n"]] {
        let (_, text, errors) = run(directory.path(), args);
        let control = |character: char| character.is_control() && character != '\n';
        assert!(!text.contains(control) && !errors.contains(control), "{text:?}{errors:?}");
    }
    let (code, text, errors) = run(directory.path(), &["sim", file, "--engine", "core"]);
    assert_eq!(code, Some(0), "{text}{errors}");
    assert!(text.starts_with("a\\u{1b}[31mb\\nc: 1 followers"), "{text}");
    assert!(text.contains("k\\u{1b}]0;x\\u{7}\\ny v1"), "{text}");
    let (_, _, errors) = run(directory.path(), &["sim", "no\u{1b}\n"]);
    assert!(errors.starts_with("semisync: no\\u{1b}\\n: No such file"), "{errors}");
    let (code, _, errors) = run(directory.path(), &["bad\u{1b}[31m"]);
    assert!(code == Some(2) && !errors.contains('\u{1b}'), "{errors}");
}
