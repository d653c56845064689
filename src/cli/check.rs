use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use semisync::base::history::{History, Operation};
use semisync::base::{Recording, RecordingError};
use semisync::check::{self, Facts, Recorded, Verdict};
use semisync::report::{CoverageReport, VerdictReport};

use super::output::shown;
use super::progress::{Extent, Progress};
use super::{Failure, say};

/// Exit status: 0 if every property holds that can be judged, 1 if one of safety is violated, 3 if only convergence or
/// liveness is, 2 if the file cannot be read or contradicts itself, and with --strict 4 if nothing was judged.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A trace or a history, as `semisync sim --trace` and `--history` write them, or a Jepsen-style history, in JSON
    /// Lines; - is the standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Exit with status 4 if no property was judged, or one was judged for none of the operations that it applies to
    #[arg(long)]
    strict: bool,
}

/// The exit status of a strict check that judged nothing.
const NOTHING_JUDGED: u8 = 4;

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let name = if is_standard_input(&args.file) { "standard input".into() } else { shown(&args.file) };
    let unreadable = |error: RecordingError| Failure::Usage(format!("{name}: {error}"));
    let progress = Progress::start("check", Extent::Unknown(""));
    let (what, verdicts) = match read(&args.file).map_err(unreadable)? {
        Recording::Trace(trace) => {
            let facts = Facts::from_records(trace.records()).ok_or_else(|| {
                let problem = "line 1: a trace begins with an event \"cluster\", which says what was run";
                Failure::Usage(format!("{name}: {problem}"))
            })?;
            let Facts { followers, write_quorum, .. } = facts;
            let followers = counted(followers, "follower");
            let events = counted(trace.records().len(), "event");
            let what = format!("a trace of {events}, {followers}, quorum {write_quorum}, digest {}", trace.digest());
            (what, check::of_trace(trace.records(), &facts))
        }
        Recording::History(history) => (format!("a history of {}", summary(&history)), of_clients(&history)),
        Recording::Jepsen(history) => {
            (format!("a Jepsen-style history of {}", summary(&history)), of_clients(&history))
        }
    };
    drop(progress);
    say(format_args!("{name}: {what}\n"));
    say(VerdictReport(&verdicts));
    let coverage = CoverageReport(&verdicts).to_string();
    if !coverage.is_empty() {
        say(coverage);
    }
    let status = super::status_of(&verdicts);
    if let Some(problem) = status.problem {
        say(problem);
        say(status.hint);
        return Ok(status.code);
    }
    let Some(problem) = nothing_judged(&verdicts) else { return Ok(status.code) };
    say(problem);
    Ok(if args.strict { ExitCode::from(NOTHING_JUDGED) } else { status.code })
}

/// What was not judged at all, if anything.
fn nothing_judged(verdicts: &[Verdict]) -> Option<String> {
    if !verdicts.iter().any(Verdict::has_judged) {
        return Some("Nothing was judged".into());
    }
    let skipped = verdicts.iter().filter(|verdict| verdict.has_skipped_everything());
    let names: Vec<&str> = skipped.map(|verdict| verdict.property.name()).collect();
    (!names.is_empty()).then(|| format!("Not judged for any operation: {}", names.join(", ")))
}

fn read(path: &Path) -> Result<Recording, RecordingError> {
    let input: Box<dyn BufRead> = if is_standard_input(path) {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(path)?))
    };
    Recording::read(input)
}

fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

fn of_clients(history: &History) -> Vec<Verdict> {
    check::all(&Recorded::of_clients(history))
}

/// `200 operations by 10 clients, 12.3 s`
fn summary(history: &History) -> String {
    let operations = &history.operations;
    let clients: BTreeSet<_> = operations.iter().map(|operation| operation.client).collect();
    let end = |operation: &Operation| operation.returned.unwrap_or(operation.invoked).at.0;
    let begin = operations.iter().map(|operation| operation.invoked.at.0).min().unwrap_or(0);
    let microseconds = operations.iter().map(end).max().unwrap_or(begin).saturating_sub(begin);
    let (count, clients) = (counted(operations.len(), "operation"), counted(clients.len(), "client"));
    format!("{count} by {clients}, {:.1} s", microseconds as f64 / 1e6)
}

/// `1 event`, `2 events`
fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
