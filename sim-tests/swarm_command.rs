//! The command `swarm`: it keeps what it finds, tells it to people and machines, and says how to repeat it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use semisync::check::Property;
use semisync::core::Rule;
use semisync::sim::scenario::{RulesSpec, Scenario};
use semisync::sim::{Engine, Generator, Strategy, engine};

use crate::corpus;

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
    assert!(text.contains("safe rules without count-distinct, with crashes"), "{text}");
    let again = text.lines().last().expect("a last line");
    let (code, text) = typed(directory.path(), again);
    assert_eq!(code, Some(1), "{text}");
    // So does the one that the repeated run ends with.
    let (code, repeated) = typed(directory.path(), text.lines().last().expect("a last line"));
    assert_eq!((code, digest(&repeated)), (Some(1), digest(&text)), "{repeated}");
    let mut saved = files(&directory.path().join("it's full of blanks"));
    // What is lost on the way is saved too.
    saved.retain(|path| !path.to_string_lossy().contains("-lost-"));
    let [saved] = &saved[..] else { panic!("one failure is saved") };
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

/// Seeds up to the last one are run, saved, replayed and shrunk like small ones. In a file, TOML
/// has no integers for them.
#[test]
fn the_greatest_seeds_are_saved_and_replayed() {
    let directory = tempfile::tempdir().expect("a directory");
    let args = ["swarm", "--seeds", "18446744073709551556..", "--off", "compare-stamps", "--max-failures", "1"];
    let (code, text, _) = run(directory.path(), &args);
    assert_eq!(code, Some(1), "{text}");
    let (code, repeated) = typed(directory.path(), text.lines().last().expect("a last line"));
    assert_eq!(code, Some(1), "{repeated}");
    let [saved] = &files(&directory.path().join("swarm-failures"))[..] else { panic!("one file is saved") };
    let content = fs::read_to_string(saved).expect("the file");
    assert!(content.contains("\nseed = \"184467440737095"), "{content}");
    let saved = saved.to_str().expect("UTF-8");
    let (code, text, _) = run(directory.path(), &["shrink", saved, "--save", "smallest.toml"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = typed(directory.path(), text.lines().last().expect("a last line"));
    assert!(code == Some(1) && text.contains("VIOLATED"), "{text}");

    let args = ["sim", "--engine", "core", "--writes", "5", "--seed", "9223372036854775808", "--save", "race.toml"];
    let (code, text, _) = run(directory.path(), &args);
    assert_eq!(code, Some(0), "{text}");
    let (code, again, _) = run(directory.path(), &["sim", "race.toml", "--engine", "core"]);
    assert_eq!((code, digest(&again)), (Some(0), digest(&text)));
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
    let both = saved(&["--off", "compare-stamps,resend-missed", "--no-crashes"]);
    let new: Vec<_> = both.difference(&by_stamps).collect();
    assert!(
        !by_stamps.is_empty() && by_stamps.iter().all(|name| name.ends_with("-off-compare-stamps.toml")),
        "{both:?}"
    );
    let ending = "-off-compare-stamps-resend-missed-no-crashes.toml";
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
        line.expect("a line for each property").split_whitespace().skip(1).take(2).collect()
    };
    assert_eq!((row("durability"), row("sessions")), (vec!["3", "0"], vec!["0", "3"]), "{text}");
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
    assert!(skipped("exercised").expect("a reason").starts_with("too few seeds to tell, 3 and not 500"), "{junit}");
}

/// Threads that cannot be had are an error like others. No more are asked for than there are seeds.
#[test]
fn more_jobs_than_the_system_gives_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let limited = |rest: &str| {
        // With large stacks it is a stack that does not fit, and not what a thread that has begun takes besides.
        let line = format!("ulimit -v 800000; RUST_MIN_STACK=67108864 semisync swarm {rest} 2>&1");
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
    // A directory has the name of the file that seed 0 would be saved in.
    let name = "taken/seed-0-durability-off-compare-stamps.toml/not-empty";
    fs::create_dir_all(directory.path().join(name)).expect("directories");
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
    assert!(text.contains("\nINCOMPLETE: stopped by SIGINT after "), "{text}");
}

/// The file for CI systems on the standard output is alone there.
#[test]
fn the_summary_for_machines_goes_to_the_standard_output() {
    let directory = tempfile::tempdir().expect("a directory");
    let (code, out, errors) = run(directory.path(), &["swarm", "--seeds", "0..2", "--junit", "-"]);
    assert_eq!(code, Some(0), "{errors}");
    roxmltree::Document::parse(&out).expect("XML and nothing else");
    assert!(errors.contains("2 seeds of 0..2") && errors.contains("Failures: none"), "{errors}");
}

#[test]
fn what_cannot_be_asked_for_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("taken"), "").expect("a file");
    for (args, says) in [
        (&["--seeds", "5..5"][..], "the range has no seed"),
        (&["--shard", "3/2"], "must be I/N with I from 1 to N"),
        (&["--seeds", "0..2", "--shard", "3/3"], "--shard 3/3: none of the seeds 0..2 falls to it"),
        (&["--for", "soon"], "write 90s, 10m or 1h 30m"),
        (&["--for", "0s"], "must be longer than nothing"),
        (&["--jobs", "0"], "must be a whole number, 1 or more"),
        (&["--max-failures", "some"], "must be a whole number, 1 or more"),
        (&["--save", "taken"], "--save taken: File exists"),
        (&["--rules", "strict"], "must be safe or lab"),
        (&["--off", "everything"], "the rules are compare-stamps, "),
        (&["--off", "keep-quorum", "--rules", "lab"], "cannot be used with"),
        (&["--seeds", "0..1", "--junit", "no/such/directory.xml"], "--junit no/such/directory.xml: No such file"),
    ] {
        let (code, _, errors) = run(directory.path(), &[&["swarm"], args].concat());
        assert!(code == Some(2) && errors.contains(says), "{args:?}: {errors}");
    }
}

/// What the core engine finds real nodes do too, unless turmoil cannot run it; that is told of each kind, in the summary,
/// in the files and for CI systems.
#[test]
fn real_nodes_confirm_what_the_core_engine_finds() {
    let directory = tempfile::tempdir().expect("a directory");
    let args = ["swarm", "--seeds", "0..40", "--off", "compare-stamps", "--junit", "junit.xml"];
    let (code, text, errors) = run(directory.path(), &args);
    assert_eq!(code, Some(1), "{text}");
    assert!(errors.contains(" that failed once more, with real nodes in turmoil"), "{errors}");
    assert!(text.contains("  CONFIRMED: turmoil finds it in ") && text.contains(" seeds that were tried"), "{text}");
    let junit = fs::read_to_string(directory.path().join("junit.xml")).expect("the summary");
    assert!(junit.contains("CONFIRMED: turmoil finds it in "), "{junit}");
    let saved = files(&directory.path().join("swarm-failures"));
    let (mut confirmed, mut core_only) = (0, 0);
    for path in &saved {
        let text = fs::read_to_string(path).expect("a file");
        let scenario = Scenario::from_toml(&text).expect("a scenario");
        let turmoil = engine::run(Engine::Turmoil, &scenario, Arc::default());
        assert_eq!(turmoil.is_err(), corpus::is_for_core_alone(&scenario), "{text}");
        let lines = text.lines().take_while(|line| line.starts_with('#'));
        for (line, property) in lines.filter_map(|line| Some((line, line.strip_prefix("# ")?.split_once(':')?.0))) {
            if !Property::ALL.iter().any(|other| other.name() == property) {
                continue;
            }
            let violated =
                turmoil.as_ref().is_ok_and(|run| run.violations().any(|violated| violated.name() == property));
            let says = match (violated, corpus::is_for_core_alone(&scenario)) {
                (true, _) => ": CONFIRMED in turmoil",
                (false, true) => ": CORE-ONLY, for turmoil cannot play it: ",
                (false, false) => ": CORE-ONLY: ",
            };
            assert!(line.contains(says), "{line}, but violated in turmoil: {violated}");
            confirmed += usize::from(violated);
            core_only += usize::from(!violated);
        }
    }
    assert!(confirmed > 0 && core_only > 0, "{confirmed} confirmed, {core_only} not, of {saved:?}");
}

/// Whatever nobody has confirmed is called so.
#[test]
fn what_turmoil_cannot_run_is_of_the_core_engine_only() {
    let generator = Generator {
        rules: RulesSpec::Without { off: vec![Rule::CompareStamps] },
        crashes: false,
        engine: Engine::Core,
        strategy: Strategy::Timed,
    };
    let fails = |scenario: &Scenario| {
        engine::run(Engine::Core, scenario, Arc::default()).expect("a simulation").violations().count() > 0
    };
    let pauses = |scenario: &Scenario| scenario.faults.iter().any(|fault| fault.kind.name() == "pause");
    let seed = (0..500).find(|seed| {
        let scenario = generator.scenario(*seed);
        pauses(&scenario) && fails(&scenario)
    });
    let seed = seed.expect("one that pauses and fails").to_string();
    let directory = tempfile::tempdir().expect("a directory");
    let (code, text, _) = run(directory.path(), &["swarm", "--seeds", &seed, "--off", "compare-stamps"]);
    assert_eq!(code, Some(1), "{text}");
    let says = format!("  CORE-ONLY: turmoil cannot play it; seed {seed}: fault ");
    assert!(text.contains(&says) && text.contains(" needs the core engine (--engine core)"), "{text}");
    assert!(text.lines().last().is_some_and(|line| line.ends_with(" --engine core")), "{text}");
}

/// The same output and the same files, however many run at a time.
#[test]
fn the_number_of_jobs_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    for options in [&["--seeds", "0..150", "--rules", "lab"][..], &["--off", "compare-stamps", "--max-failures", "30"]]
    {
        let outputs = ["1", "3"].map(|jobs| {
            let saved = directory.path().join("swarm-failures");
            let _ = fs::remove_dir_all(&saved);
            let (code, text, _) = run(directory.path(), &[&["swarm", "--jobs", jobs], options].concat());
            let content = |path: PathBuf| (path.clone(), fs::read_to_string(path).expect("a file"));
            let files: BTreeSet<(PathBuf, String)> = files(&saved).into_iter().map(content).collect();
            assert!(!files.is_empty(), "{text}");
            (code, text, files)
        });
        assert_eq!(outputs[0], outputs[1]);
    }
}

/// What was run by the core engine is run by it again, and says so; what turmoil ran is not.
#[test]
fn the_command_that_repeats_a_run_has_its_engine() {
    let directory = tempfile::tempdir().expect("a directory");
    let sim = |engine: &[&str]| {
        run(directory.path(), &[&["sim", "--off", "compare-stamps", "--writes", "60"], engine].concat())
    };
    for (engine, says) in [(&["--engine", "core"][..], true), (&[], false)] {
        let (code, text, _) = sim(engine);
        assert_eq!(code, Some(1), "{text}");
        assert_eq!(text.lines().next().is_some_and(|line| line.ends_with(", core engine")), says, "{text}");
        let again = text.lines().last().expect("a command");
        assert_eq!(again.ends_with(" --engine core"), says, "{again}");
        let (_, repeated) = typed(directory.path(), again);
        assert_eq!(digest(&repeated), digest(&text));
    }
    let args = ["swarm", "--seeds", "0..60", "--off", "compare-stamps", "--max-failures", "1"];
    let (_, text, _) = run(directory.path(), &[&args[..], &["--engine", "turmoil"]].concat());
    assert!(text.contains(", turmoil engine, ") && !text.contains("CONFIRMED"), "{text}");
    let again = text.lines().last().expect("a command");
    assert!(again.ends_with("-off-compare-stamps-turmoil.toml"), "{again}");
    assert_eq!(typed(directory.path(), again).0, Some(1));
    let (code, text, _) = run(directory.path(), &["doctor", "--engine", "core"]);
    assert!(code == Some(0) && text.starts_with("The same run in 2 processes"), "{text}");
}

/// A loss fails no swarm. One run of each cause is saved, and shows the loss again.
#[test]
fn a_run_of_each_cause_of_a_loss_is_saved() {
    let directory = tempfile::tempdir().expect("a directory");
    let (code, text, _) = run(directory.path(), &["swarm", "--seeds", "0..300", "--save", "found"]);
    assert!(code == Some(0) && text.contains("Failures: none"), "{text}");
    let kinds: Vec<&str> =
        text.lines().filter_map(|line| Some(line.strip_prefix("LOST ")?.split_once(':')?.0)).collect();
    assert!(kinds.contains(&"durability-no-memory"), "{text}");
    let saved = files(&directory.path().join("found"));
    assert_eq!(saved.len(), kinds.len(), "{saved:?}");
    for kind in kinds {
        let is_of_kind = |line: &&str| line.contains(&format!("-lost-{kind}.toml"));
        let again = text.lines().find(is_of_kind).and_then(|line| line.trim_start().strip_prefix("to repeat it: "));
        let again = again.unwrap_or_else(|| panic!("there is no run of {kind}\n{text}"));
        let (code, text) = typed(directory.path(), again);
        assert_eq!(code, Some(1), "{text}");
        let property = kind.split('-').next().expect("a property");
        assert!(text.contains(&format!("Expected by the file: {property} is lost: met")), "{text}");
        let file = saved.iter().find(|path| path.to_string_lossy().ends_with(&format!("-lost-{kind}.toml")));
        let comment = fs::read_to_string(file.expect("a file")).expect("text");
        assert!(comment.contains(&format!("# LOST {kind}:\n#   ")) && comment.contains(again), "{comment}");
    }
}
