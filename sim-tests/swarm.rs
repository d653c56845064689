//! The swarm: it finds what a missing rule costs, keeps what it finds, and counts what it tried.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use semisync::check::{Finding, Property};
use semisync::core::Rule;
use semisync::sim::scenario::{RuleSet, RulesSpec, Scenario};
use semisync::sim::swarm::{self, Exercise, Exercised, SeedRange, SeedReport, Shard};
use semisync::sim::{Generator, ScenarioRun, engine};

const SAFE: RulesSpec = RulesSpec::Named(RuleSet::Safe);

fn play(scenario: &Scenario) -> ScenarioRun {
    engine::run(scenario, scenario.seed, Arc::default()).expect("a simulation")
}

/// The evidence against a property in the run of a scenario; nothing if it is not violated.
fn evidence(scenario: &Scenario, property: Property) -> Vec<String> {
    let verdict = play(scenario).verdicts.into_iter().find(|verdict| verdict.property == property);
    match verdict.map(|verdict| verdict.finding) {
        Some(Finding::Violated(evidence)) => evidence,
        _ => Vec::new(),
    }
}

/// The first seed of 200 whose run violates the property with evidence like this, though with all rules in force it does
/// not violate the property at all.
fn finds(generator: &Generator, property: Property, like: impl Fn(&str) -> bool) {
    let found = (0..200).find(|seed| {
        let mut scenario = generator.scenario(*seed);
        let shows = evidence(&scenario, property).iter().any(|sentence| like(sentence));
        scenario.cluster.rules = SAFE;
        shows && evidence(&scenario, property).is_empty()
    });
    assert!(found.is_some(), "not found in 200 seeds of {generator:?}");
}

fn without(rule: Rule, crashes: bool) -> Generator {
    Generator { rules: RulesSpec::Without { off: vec![rule] }, crashes }
}

#[test]
fn f1_is_found_under_lab_rules() {
    let lab = Generator { rules: RulesSpec::Named(RuleSet::Lab), crashes: true };
    finds(&lab, Property::Acknowledgement, |sentence| {
        sentence.starts_with("leader acknowledged ")
            && sentence.contains(" answered at ")
            && sentence.contains(" that it has v")
    });
}

#[test]
fn f13_is_found_without_counting_distinct_followers() {
    finds(&without(Rule::CountDistinct, false), Property::Acknowledgement, |sentence| {
        sentence.contains(" answered 2 times, at ")
    });
}

#[test]
fn f14_is_found_without_confirming_only_by_answers() {
    finds(&without(Rule::ConfirmOnlyAnswers, true), Property::Acknowledgement, |sentence| {
        sentence.contains("; the message to f") && sentence.contains(" came to nothing at ")
    });
}

#[test]
fn f18_is_found_without_comparing_stamps() {
    finds(&without(Rule::CompareStamps, false), Property::MonotonicState, |sentence| {
        sentence.contains(" went back from ")
    });
}

fn reports(generator: &Generator, seeds: SeedRange, jobs: usize) -> Vec<SeedReport> {
    let seeds = seeds.of_shard(Shard::WHOLE);
    let mut channel = swarm::run(generator.clone(), seeds, jobs, Arc::default()).expect("a build that can simulate");
    let mut reports: Vec<SeedReport> = std::iter::from_fn(|| channel.blocking_recv()).collect();
    reports.sort_by_key(|report| report.seed);
    reports
}

/// Everything is tried within the seeds that the commands demand it of, nothing is wrong, and it does not matter how many
/// run at a time.
#[test]
fn sixty_seeds_try_everything() {
    let generator = Generator { rules: SAFE, crashes: false };
    let all = reports(&generator, SeedRange { first: 0, end: 60 }, 2);
    let some = reports(&generator, SeedRange { first: 0, end: 8 }, 1);
    let mut exercise = Exercise::default();
    assert_eq!(exercise.missing(&generator).len(), 10, "at first nothing was tried");
    for (seed, report) in all.iter().enumerate() {
        assert!(report.failure.is_none(), "{:?}", report.failure);
        assert_eq!(report.seed, seed as u64);
        exercise.add(&report.exercise);
    }
    assert_eq!((all.len(), some.len()), (60, 8));
    for (one, other) in some.iter().zip(&all) {
        assert_eq!((one.seed, &one.exercise), (other.seed, &other.exercise));
    }
    assert_eq!(exercise.missing(&generator), [""; 0]);
    let with_crashes = Generator { crashes: true, ..generator };
    assert_eq!(exercise.missing(&with_crashes), ["crash", "restart"]);
}

/// What happened, counted by hand.
#[test]
fn what_a_run_tried_is_counted() {
    let scenario = Scenario::from_toml(
        r#"
        name = "counted"
        [cluster]
        followers = 3
        write_quorum = 2
        delay_ms = [10, 10]
        repl_timeout_ms = 1000
        [[workload.operation]]
        set = "during nothing"
        [[workload.operation]]
        at_ms = 500
        set = "while f1 is down, with a message lost"
        [[workload.operation]]
        at_ms = 3000
        set = "abandoned"
        [[workload.operation]]
        client = 2
        at_ms = 5000
        get = "abandoned"
        [[fault]]
        at_ms = 400
        crash = "f1"
        [[fault]]
        at_ms = 2000
        restart = "f1"
        [[fault]]
        drop = { operation = "c1#2", to = "f2", attempt = 1 }
        [[fault]]
        at_ms = 2500
        slow = { node = "f2", latency_ms = 50 }
        [[fault]]
        at_ms = 4000
        slow = { node = "f2", latency_ms = 1 }
        [[fault]]
        disconnect = { operation = "c1#3", after_ms = 4 }
        "#,
    );
    let run = play(&scenario.expect("a scenario"));
    let exercise = Exercise::of(&run);
    let count = |kind| {
        let count = exercise.count(kind);
        (count.times, count.runs, count.acknowledged)
    };
    assert_eq!(count(Exercised::Crash), (1, 1, 0), "only f3 could confirm the second write in time");
    assert_eq!(count(Exercised::Restart), (1, 1, 0));
    assert_eq!(count(Exercised::Drop), (1, 1, 2), "a fault without an end is on until everything is healed");
    assert_eq!(count(Exercised::Slow), (3, 1, 1), "three links, and the way back to normal is no fault");
    assert_eq!(count(Exercised::Disconnect), (1, 1, 1), "the abandoned write was acknowledged");
    assert_eq!(count(Exercised::Hold), (0, 0, 0));
    assert!(exercise.count(Exercised::Resend).times >= 2);
    assert_eq!((exercise.writes.count, exercise.writes.of), (1, 3));
    assert_eq!((exercise.reads.count, exercise.reads.of), (1, 1));
}

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

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// What a command with these words does that is typed into a shell.
fn typed(directory: &Path, line: &str) -> (Option<i32>, String) {
    let binary = Path::new(env!("CARGO_BIN_EXE_semisync"));
    let path = format!("{}:/usr/bin:/bin", binary.parent().expect("a directory").display());
    let shell = Command::new("sh").current_dir(directory).env("PATH", path).args(["-c", line]).output();
    let output = shell.expect("a shell");
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

/// A failure is saved as a file that repeats it, and the last line says how, whatever the directory is called.
#[test]
fn a_failure_is_saved_and_repeats_itself() {
    let directory = tempfile::tempdir().expect("a directory");
    let args = [
        "swarm",
        "--seeds",
        "0..60",
        "--off",
        "count-distinct",
        "--max-failures",
        "1",
        "--jobs",
        "1",
        "--save",
        "it's full of blanks",
        "--junit",
        "junit.xml",
    ];
    let (code, text, _) = run(directory.path(), &args);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("safe rules without count-distinct, without crashes"), "{text}");
    let again = text.lines().last().expect("a last line");
    let (code, text) = typed(directory.path(), again);
    assert_eq!(code, Some(1), "{text}");
    // So does the one that the repeated run ends with.
    let (code, repeated) = typed(directory.path(), text.lines().last().expect("a last line"));
    assert_eq!((code, digest(&repeated)), (Some(1), digest(&text)), "{repeated}");
    let [saved] = &files(&directory.path().join("it's full of blanks"))[..] else { panic!("one file is saved") };
    assert!(saved.to_string_lossy().ends_with("-off-count-distinct.toml"), "{saved:?}");
    let content = fs::read_to_string(saved).expect("the file");
    assert!(
        content.starts_with("# Found by semisync swarm --seeds ") && content.contains("# acknowledgement:"),
        "{content}"
    );
    let violates = content.lines().find_map(|line| line.strip_prefix("violates = ")).expect("what it violates");
    assert!(text.lines().any(|line| line.contains(violates.trim_matches('"')) && line.contains("VIOLATED")), "{text}");
    let junit = fs::read_to_string(directory.path().join("junit.xml")).expect("the summary");
    assert!(
        junit.contains(r#"<testcase name="acknowledgement""#) && junit.contains("to repeat it: semisync sim"),
        "{junit}"
    );
}

fn digest(text: &str) -> &str {
    text.lines().find(|line| line.starts_with("digest ")).expect("a digest")
}

/// What other rules find goes beside what these have found.
#[test]
fn other_rules_overwrite_no_saved_scenario() {
    let directory = tempfile::tempdir().expect("a directory");
    let saved = |options: &[&str]| -> BTreeSet<String> {
        run(directory.path(), &[&["swarm", "--seeds", "0..6"], options].concat());
        let name = |path: PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
        files(&directory.path().join("swarm-failures")).into_iter().map(name).collect()
    };
    let by_stamps = saved(&["--off", "compare-stamps"]);
    let both = saved(&["--off", "compare-stamps,resend-missed", "--crashes"]);
    let new: Vec<_> = both.difference(&by_stamps).collect();
    assert!(
        !by_stamps.is_empty() && by_stamps.iter().all(|name| name.ends_with("-off-compare-stamps.toml")),
        "{both:?}"
    );
    let ending = "-off-compare-stamps-resend-missed-crashes.toml";
    assert!(!new.is_empty() && new.iter().all(|name| name.ends_with(ending)), "{both:?}");
}

/// What was never judged is seen not to have been.
#[test]
fn what_was_not_judged_has_not_passed() {
    let directory = tempfile::tempdir().expect("a directory");
    let (code, text, errors) = run(directory.path(), &["swarm", "--seeds", "0..3", "--junit", "junit.xml"]);
    assert_eq!(code, Some(0), "{text}{errors}");
    let row = |name: &str| -> Vec<&str> {
        let line = text.lines().find(|line| line.trim_start().starts_with(name));
        line.expect("a line for each property").split_whitespace().skip(1).collect()
    };
    assert_eq!((row("durability"), row("sessions")), (vec!["3", "0", "0"], vec!["0", "3", "0"]), "{text}");
    let junit = fs::read_to_string(directory.path().join("junit.xml")).expect("the summary");
    let document = roxmltree::Document::parse(&junit).expect("XML");
    let skipped = |name: &str| {
        let case = document.descendants().find(|node| node.attribute("name") == Some(name)).expect("a test case");
        let why = case.children().find(|child| child.has_tag_name("skipped"));
        why.map(|why| why.attribute("message").expect("a reason").to_owned())
    };
    assert_eq!(skipped("durability"), None);
    assert_eq!(skipped("sessions").as_deref(), Some("judged in none of 3 runs: it is counted only, in 3"));
    assert_eq!(skipped("latency-law").as_deref(), Some("judged in none of 3 runs: it applied to none"));
    assert!(skipped("exercised").expect("a reason").starts_with("too few seeds to tell, 3 and not 50"), "{junit}");
}

/// Threads that cannot be had are an error like others. No more are asked for than there are seeds.
#[test]
fn more_jobs_than_the_system_gives_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let limited = |rest: &str| {
        let line = format!("ulimit -v 800000; semisync swarm {rest} 2>&1");
        typed(directory.path(), &line)
    };
    let (code, text) = limited("--seeds 0..2000 --jobs 2000");
    assert!(code == Some(1) && text.starts_with("semisync: cannot start thread "), "{code:?} {text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    let (code, text) = limited("--seeds 0..2 --jobs 2000");
    assert!(code == Some(0) && text.contains("2 seeds of 0..2"), "{code:?} {text}");
}

/// A scenario that cannot be saved is not lost: the command that repeats it is told.
#[test]
fn a_failure_that_cannot_be_saved_is_told_all_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("taken"), "").expect("a file");
    let args = [
        "swarm",
        "--seeds",
        "0..60",
        "--off",
        "compare-stamps",
        "--max-failures",
        "1",
        "--jobs",
        "1",
        "--save",
        "taken",
    ];
    let (code, text, errors) = run(directory.path(), &args);
    assert_eq!(code, Some(1), "{text}");
    assert!(errors.contains("semisync: cannot save taken/seed-"), "{errors}");
    let again = text.lines().last().expect("a last line").strip_prefix("semisync ").expect("a command");
    assert!(again.starts_with("swarm --seeds ") && again.ends_with(" --off compare-stamps"), "{again}");
    assert_eq!(run(directory.path(), &again.split(' ').collect::<Vec<_>>()).0, Some(1));
}

/// Two machines find together what one does.
#[test]
fn shards_share_the_seeds() {
    let directory = tempfile::tempdir().expect("a directory");
    let failing = |shard: &str| -> Vec<String> {
        let args = ["swarm", "--seeds", "0..8", "--off", "compare-stamps", "--shard", shard, "--save", shard];
        assert_eq!(run(directory.path(), &args).0, Some(1));
        let name = |path: PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
        files(&directory.path().join(shard)).into_iter().map(name).collect()
    };
    let (mut parts, mut whole) = ([failing("1/2"), failing("2/2")].concat(), failing("1/1"));
    parts.sort_unstable();
    whole.sort_unstable();
    assert_eq!(parts, whole);
}

#[test]
fn few_seeds_are_no_failure_for_what_they_leave_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let (code, text, _) = run(directory.path(), &["swarm", "--seeds", "3"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Never happened: ") && text.contains("too few seeds"), "{text}");
    assert!(files(directory.path()).is_empty(), "nothing failed, so nothing is saved");
}

/// Ctrl-C ends a swarm that would go on for minutes, and what was found is told.
#[test]
fn an_interrupted_swarm_tells_what_it_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = command(directory.path(), &["swarm", "--for", "3m", "--off", "compare-stamps", "--jobs", "1"]);
    let mut child: Child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let saved = directory.path().join("swarm-failures");
    // Its first failure is saved after it began to listen for signals.
    while files(&saved).is_empty() {
        assert_eq!(child.try_wait().expect("a process"), None, "it ended before anything was saved");
        std::thread::yield_now();
    }
    let id = Pid::from_raw(i32::try_from(child.id()).expect("an id")).expect("an id");
    kill_process(id, Signal::INT).expect("it still runs");
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    let (text, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains("stopping after the runs that are under way"), "{errors}");
    assert!(text.contains("seeds of 0.., ") && text.contains("To repeat the first failure:"), "{text}");
}

#[test]
fn what_cannot_be_asked_for_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    for (args, says) in [
        (&["--seeds", "5..5"][..], "the range has no seed"),
        (&["--shard", "3/2"], "must be I/N with I from 1 to N"),
        (&["--seeds", "0..2", "--shard", "3/3"], "--shard 3/3: none of the seeds 0..2 falls to it"),
        (&["--for", "soon"], "write 90s, 10m or 1h 30m"),
        (&["--for", "0s"], "must be longer than nothing"),
        (&["--jobs", "0"], "--jobs"),
        (&["--rules", "strict"], "must be safe or lab"),
        (&["--off", "everything"], "the rules are compare-stamps, "),
        (&["--off", "keep-quorum", "--rules", "lab"], "cannot be used with"),
        (&["--seeds", "0..1", "--junit", "no/such/directory.xml"], "--junit no/such/directory.xml: No such file"),
    ] {
        let (code, _, errors) = run(directory.path(), &[&["swarm"], args].concat());
        assert!(code == Some(2) && errors.contains(says), "{args:?}: {errors}");
    }
}
