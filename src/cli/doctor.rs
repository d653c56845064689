use std::collections::VecDeque;
use std::env;
use std::fs::File;
use std::io::BufReader;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use semisync::base::trace::Trace;
use semisync::check::divergence;
use semisync::report::DivergenceReport;
use semisync::sim::Engine;

use super::numbers::seed;
use super::output::shown;
use super::progress::{Extent, Progress};
use super::rules::RulesArgs;
use super::shell::quoted;
use super::{Failure, say};

/// Exit status: 0 if all runs are the same, event for event, 4 if not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A scenario in TOML; without it, clients race on few keys
    #[arg(value_name = "FILE", conflicts_with = "compare")]
    file: Option<PathBuf>,
    /// From what everything random in the run follows [default: the scenario's own; 42 for the race]
    #[arg(long, value_name = "N", conflicts_with = "compare", value_parser = seed())]
    seed: Option<u64>,
    /// What runs it: real nodes in a simulated network, or the protocol's state machines and one queue of events [default:
    /// turmoil; core for a file that turmoil cannot play]
    #[arg(long, value_name = "turmoil|core", conflicts_with = "compare")]
    engine: Option<Engine>,
    #[command(flatten)]
    rules: RulesArgs,
    /// In how many processes, at the same time
    #[arg(long, value_name = "N", default_value = "2", value_parser = at_least_two)]
    runs: NonZeroUsize,
    /// Run nothing and compare two files that `--trace` has written
    #[arg(long, value_names = ["TRACE", "TRACE"], num_args = 2, conflicts_with_all = ["rules", "off", "runs"])]
    compare: Option<Vec<PathBuf>>,
}

/// The status of a scenario that is not deterministic.
const NOT_DETERMINISTIC: u8 = 4;

fn at_least_two(text: &str) -> Result<NonZeroUsize, &'static str> {
    let runs = text.parse::<NonZeroUsize>().ok().filter(|runs| (2..=64).contains(&runs.get()));
    runs.ok_or("must be 2 to 64; one run cannot differ from itself")
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let diagnosis = match &args.compare {
        Some(files) => diagnose(&read_all(files).map_err(|what| Failure::Usage(format!("--compare {what}")))?, "files"),
        None => diagnose(&run_all(args)?, "processes").with_command(args),
    };
    say(diagnosis.text);
    Ok(if diagnosis.is_the_same { ExitCode::SUCCESS } else { ExitCode::from(NOT_DETERMINISTIC) })
}

/// The traces of as many processes as were asked for.
fn run_all(args: &Args) -> Result<Vec<Trace>, Failure> {
    let directory = tempfile::tempdir().map_err(|error| Failure::Failed(format!("no temporary directory: {error}")))?;
    let paths: Vec<PathBuf> =
        (1..=args.runs.get()).map(|number| directory.path().join(format!("{number}.jsonl"))).collect();
    let mut runs = Processes::default();
    for path in &paths {
        runs.0.push_back(start(args, path)?);
    }
    let progress = Progress::start("doctor", Extent::Count(paths.len() as u64, "runs"));
    while let Some(run) = runs.0.pop_front() {
        finish(run)?;
        progress.counter().add_one();
    }
    drop(progress);
    read_all(&paths).map_err(Failure::Failed)
}

/// Processes of which none outlives whoever waits for them: where one has failed, the others are of no use.
#[derive(Default)]
struct Processes(VecDeque<Child>);

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts the run in a process of its own.
fn start(args: &Args, trace: &Path) -> Result<Child, Failure> {
    let binary = env::current_exe().map_err(|error| Failure::Failed(format!("cannot find this program: {error}")))?;
    let mut command = Command::new(binary);
    command.arg("sim").args(&args.file).args(flags(args)).arg("--trace").arg(trace);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().map_err(|error| Failure::Failed(format!("cannot start a process: {error}")))
}

/// Waits for a run. Whether its properties hold does not matter here.
fn finish(run: Child) -> Result<(), Failure> {
    let output = run.wait_with_output().map_err(|error| Failure::Failed(format!("a process is lost: {error}")))?;
    let words = String::from_utf8_lossy(&output.stderr);
    let complaint = words.lines().find_map(|line| line.strip_prefix("semisync: "));
    match (output.status.code(), complaint) {
        (Some(2), Some(complaint)) => Err(Failure::usage(complaint)),
        (Some(0 | 1 | 3), None) => Ok(()),
        _ => Err(Failure::Failed(format!("a run ended with {}: {}", output.status, words.trim()))),
    }
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<Trace>, String> {
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Trace, String> {
    let name = shown(path);
    let file = File::open(path).map_err(|error| format!("{name}: {error}"))?;
    let trace =
        Trace::read_json_lines(BufReader::new(file)).map_err(|error| format!("{name}: not a trace: {error}"))?;
    if trace.records().is_empty() { Err(format!("{name}: an empty trace")) } else { Ok(trace) }
}

/// What came of a comparison.
struct Diagnosis {
    is_the_same: bool,
    text: String,
}

/// Holds every run against the first.
fn diagnose(traces: &[Trace], what: &str) -> Diagnosis {
    let (first, others) = traces.split_first().expect("there are at least two runs");
    let runs = traces.len();
    for (place, other) in others.iter().enumerate() {
        if let Some(divergence) = divergence::first(first.records(), other.records()) {
            let report = DivergenceReport(&divergence);
            let text = format!("NOT DETERMINISTIC: runs 1 and {} of {runs} {what} differ.\n\n{report}", place + 2);
            return Diagnosis { is_the_same: false, text };
        }
    }
    let (events, digest) = (first.records().len(), first.digest());
    Diagnosis { is_the_same: true, text: format!("The same run in {runs} {what}: {events} events, digest {digest}") }
}

impl Diagnosis {
    /// What differs can be looked at again.
    fn with_command(mut self, args: &Args) -> Self {
        if !self.is_the_same {
            self.text += &format!("\nTo look again:\n{}", again(args));
        }
        self
    }
}

/// What to run, besides the file.
fn flags(args: &Args) -> Vec<String> {
    let seed = args.seed.iter().flat_map(|seed| ["--seed".to_owned(), seed.to_string()]);
    let engine = args.engine.map_or(String::new(), |engine| format!(" --engine {engine}"));
    let rules = args.rules.again() + &engine;
    seed.chain(rules.split_whitespace().map(str::to_owned)).collect()
}

/// What to type for the same comparison.
fn again(args: &Args) -> String {
    let file = args.file.iter().map(|path| quoted(path));
    let words: Vec<String> = file.chain(flags(args)).collect();
    format!("semisync doctor {} --runs {}", words.join(" "), args.runs)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use semisync::base::NodeId;
    use semisync::base::trace::{Event, Micros, Record};

    use super::*;

    #[derive(Debug, Parser)]
    struct Doctor {
        #[command(flatten)]
        args: Args,
    }

    fn trace(restarts: &[u64]) -> Trace {
        let mut trace = Trace::default();
        for at in restarts {
            trace.push(Record { at: Micros(*at), node: NodeId::FIRST_SERVER, incarnation: 0, event: Event::Restart });
        }
        trace
    }

    /// No build that can simulate is known to give two runs, so what two processes would have written is put in their place.
    #[test]
    fn processes_that_differ_end_with_what_to_type() {
        let line = ["doctor", "a b.toml", "--seed", "5", "--off", "keep-quorum", "--engine", "core", "--runs", "3"];
        let Doctor { args } = Doctor::parse_from(line);
        let same = diagnose(&[trace(&[1, 2]), trace(&[1, 2])], "processes").with_command(&args);
        assert!(same.is_the_same && same.text.starts_with("The same run in 2 processes: 2 events"), "{}", same.text);
        assert!(!same.text.contains("To look again"), "{}", same.text);
        let traces = [trace(&[1, 2]), trace(&[1, 2]), trace(&[1, 3])];
        let Diagnosis { is_the_same, text } = diagnose(&traces, "processes").with_command(&args);
        assert!(!is_the_same && text.starts_with("NOT DETERMINISTIC: runs 1 and 3 of 3 processes differ.\n"), "{text}");
        let again = "To look again:\nsemisync doctor 'a b.toml' --seed 5 --off keep-quorum --engine core --runs 3";
        assert!(text.ends_with(again), "{text}");
    }

    /// Whoever gives up leaves no process behind.
    #[test]
    fn processes_end_with_whoever_waits_for_them() {
        let child = Command::new("sleep").arg("600").spawn().expect("a process");
        let id = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("an id");
        drop(Processes([child].into()));
        assert_eq!(rustix::process::test_kill_process(id), Err(rustix::io::Errno::SRCH));
    }
}
