use std::env;
use std::fs::File;
use std::io::BufReader;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use semisync::base::trace::Trace;
use semisync::check::divergence;
use semisync::report::DivergenceReport;

use super::rules::RulesArgs;
use super::{Failure, say};

/// Exit status: 0 if all runs are the same, event for event, 4 if not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A scenario in TOML; without it, clients race on few keys
    #[arg(value_name = "FILE", conflicts_with = "compare")]
    file: Option<PathBuf>,
    /// From what everything random in the run follows [default: the scenario's own; 42 for the race]
    #[arg(long, value_name = "N", conflicts_with = "compare")]
    seed: Option<u64>,
    #[command(flatten)]
    rules: RulesArgs,
    /// In how many processes, at the same time
    #[arg(long, value_name = "N", default_value = "2", value_parser = at_least_two)]
    runs: NonZeroUsize,
    /// Run nothing and compare two files that `--trace` has written
    #[arg(long, value_names = ["TRACE", "TRACE"], num_args = 2)]
    compare: Option<Vec<PathBuf>>,
}

/// The status of a scenario that is not deterministic.
const NOT_DETERMINISTIC: u8 = 4;

fn at_least_two(text: &str) -> Result<NonZeroUsize, &'static str> {
    let runs = text.parse::<NonZeroUsize>().ok().filter(|runs| (2..=64).contains(&runs.get()));
    runs.ok_or("must be 2 to 64; one run cannot differ from itself")
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if let Some(files) = &args.compare {
        let read = |path: &PathBuf| read(path).map_err(|error| Failure::usage(format!("--compare {error}")));
        let traces = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        return Ok(compare(&traces, "files"));
    }
    let directory = tempfile::tempdir().map_err(|error| Failure::Failed(format!("no temporary directory: {error}")))?;
    let paths: Vec<PathBuf> =
        (1..=args.runs.get()).map(|number| directory.path().join(format!("{number}.jsonl"))).collect();
    let runs = paths.iter().map(|path| start(args, path)).collect::<Result<Vec<_>, _>>()?;
    for run in runs {
        finish(run)?;
    }
    let traces = paths.iter().map(|path| read(path).map_err(Failure::Failed)).collect::<Result<Vec<_>, _>>()?;
    let status = compare(&traces, "processes");
    if status != ExitCode::SUCCESS {
        say(format_args!("To look again:\n{}", again(args)));
    }
    Ok(status)
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

fn read(path: &Path) -> Result<Trace, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Trace::read_json_lines(BufReader::new(file)).map_err(|error| format!("{}: not a trace: {error}", path.display()))
}

/// Holds every run against the first.
fn compare(traces: &[Trace], what: &str) -> ExitCode {
    let (first, others) = traces.split_first().expect("there are at least two runs");
    for (place, other) in others.iter().enumerate() {
        if let Some(divergence) = divergence::first(first.records(), other.records()) {
            say(format_args!("NOT DETERMINISTIC: runs 1 and {} of {} {what} differ.\n", place + 2, traces.len()));
            say(DivergenceReport(&divergence));
            return ExitCode::from(NOT_DETERMINISTIC);
        }
    }
    let (runs, events) = (traces.len(), first.records().len());
    say(format_args!("The same run in {runs} {what}: {events} events, digest {}", first.digest()));
    ExitCode::SUCCESS
}

/// What to run, besides the file.
fn flags(args: &Args) -> Vec<String> {
    let seed = args.seed.iter().flat_map(|seed| ["--seed".to_owned(), seed.to_string()]);
    let rules = args.rules.again();
    seed.chain(rules.split_whitespace().map(str::to_owned)).collect()
}

fn again(args: &Args) -> String {
    let file = args.file.iter().map(|path| path.display().to_string());
    let words: Vec<String> = file.chain(flags(args)).collect();
    format!("semisync doctor {} --runs {}", words.join(" "), args.runs)
}
