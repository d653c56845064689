mod junit;
mod keep;
mod tally;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use semisync::check::Property;
use semisync::report::{ExercisedRow, FailureRow, JudgedRow, SwarmReport};
use semisync::sim::Generator;
use semisync::sim::scenario::{RuleSet, RulesSpec};
use semisync::sim::swarm::{self, Exercised, SeedRange, Shard, StartError};
use tokio::signal::ctrl_c;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::output::OutputFile;
use super::rules::RulesArgs;
use super::{Failure, INTERRUPTED, say};
use keep::Keeper;
use tally::{BROKEN, Tally};

/// Each seed gives a scenario: a cluster, a workload and a list of faults, whose kinds differ from seed to seed. Faults
/// strike for some seconds of virtual time; then everything is healed, writes must succeed and replicas become equal.
///
/// Exit status: 0 if nothing was found, 1 if a safety property is violated or a kind of fault was never tried, 3 if only
/// convergence or liveness is violated.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which seeds: A..B without B, A.. for all from A on, or one number [default: 0..500, or all with --for]
    #[arg(long, value_name = "A..B")]
    seeds: Option<SeedRange>,
    /// Begin no further seed after this time, such as 90s or 10m
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time)]
    time: Option<Duration>,
    /// How many simulations at a time [default: the number of cores]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// The part of the seeds that falls to this of several machines, such as 2/3
    #[arg(long, value_name = "I/N", default_value_t = Shard::WHOLE)]
    shard: Shard,
    #[command(flatten)]
    rules: RulesArgs,
    /// Kill nodes too, which lose their memory. The store cannot recover it yet, so this finds what is known
    #[arg(long)]
    crashes: bool,
    /// Begin no further seed after this many have failed
    #[arg(long, value_name = "N")]
    max_failures: Option<NonZeroUsize>,
    /// Where to save failing scenarios
    #[arg(long, value_name = "DIRECTORY", default_value = "swarm-failures")]
    save: PathBuf,
    /// Write a summary for CI systems, in JUnit's format
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// From how many seeds on a kind of fault that never happened cannot be chance: each is in every second scenario.
const ENOUGH_SEEDS: u64 = 50;

fn parse_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| format!("{error}; write 90s, 10m or 1h 30m"))?;
    if time.is_zero() { Err("must be longer than nothing".into()) } else { Ok(time) }
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let all = args.seeds.unwrap_or(if args.time.is_some() { SeedRange::ALL } else { SeedRange { first: 0, end: 500 } });
    if all.share(args.shard) == 0 {
        return Err(Failure::Usage(format!("--shard {}: none of the seeds {all} falls to it", args.shard)));
    }
    let junit = OutputFile::create("--junit", args.junit.as_deref())?;
    let rules = args.rules.spec().unwrap_or(RulesSpec::Named(RuleSet::Safe));
    let generator = Generator { rules, crashes: args.crashes };
    let again = format!("{}{}", args.rules.again(), if args.crashes { " --crashes" } else { "" });
    let mut tally = Tally::new(Keeper::new(args.save.clone(), &generator, again));
    let stop = Arc::new(AtomicBool::new(false));
    let interrupted = super::runtime()?.block_on(watch(args, all, generator.clone(), &stop, &mut tally))?;
    say(report(args, all, &generator, &tally));
    let missing = tally.exercise.missing(&generator);
    let too_few = tally.seeds < ENOUGH_SEEDS;
    if !missing.is_empty() {
        let verdict = if too_few { "too few seeds for everything to happen" } else { "FAILED: it proves nothing" };
        say(format_args!("Never happened: {} ({verdict})", missing.join(", ")));
    }
    let written = junit.map_or(Ok(()), |file| file.write(|out| junit::write(out, &tally, &missing)));
    tally.complain();
    if let Some(again) = tally.first_again() {
        say(format_args!("To repeat the first failure:\n{again}"));
    }
    written?;
    none_is_lost(tally.seeds, all.share(args.shard), stop.load(Ordering::Relaxed))?;
    let violated = tally.violated();
    Ok(match () {
        () if tally.failures.contains_key(BROKEN) => ExitCode::from(1),
        () if !violated.is_empty() => super::code_of(&violated),
        () if interrupted => ExitCode::from(INTERRUPTED),
        () if !missing.is_empty() && !too_few => ExitCode::from(1),
        () => ExitCode::SUCCESS,
    })
}

/// A swarm that nobody has stopped must have heard of every seed: one that it did not hear of has not passed.
fn none_is_lost(reported: u64, expected: u64, stopped: bool) -> Result<(), Failure> {
    if stopped || reported == expected {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "only {reported} of {expected} seeds came to an end; what became of the others is not known"
    )))
}

/// Collects what the runs report until all have ended, or it is time to stop. True if Ctrl-C said so.
async fn watch(
    args: &Args,
    all: SeedRange,
    generator: Generator,
    stop: &Arc<AtomicBool>,
    tally: &mut Tally,
) -> Result<bool, Failure> {
    const LINE_EVERY: Duration = Duration::from_secs(10);
    let jobs = args.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    // More would have nothing to do.
    let jobs = jobs.min(usize::try_from(all.share(args.shard)).unwrap_or(usize::MAX));
    let seeds = all.of_shard(args.shard);
    let mut reports = swarm::run(generator, seeds, jobs, Arc::clone(stop)).map_err(|error| match error {
        StartError::Simulator(error) => Failure::usage(error),
        StartError::Thread { .. } => Failure::Failed(error.to_string()),
    })?;
    let began = Instant::now();
    let deadline = args.time.map(|time| began + time);
    let progress = Progress::new(args, all);
    let mut lines = interval(LINE_EVERY);
    lines.set_missed_tick_behavior(MissedTickBehavior::Skip);
    lines.reset();
    let mut interrupted = false;
    loop {
        tokio::select! {
            biased;
            Ok(()) = ctrl_c() => {
                if interrupted {
                    process::exit(INTERRUPTED.into());
                }
                interrupted = true;
                stop.store(true, Ordering::Relaxed);
                progress.say("stopping after the runs that are under way; Ctrl-C again to end at once");
            }
            () = sleep_until(deadline.unwrap_or(began)), if deadline.is_some() && !stop.load(Ordering::Relaxed) => {
                stop.store(true, Ordering::Relaxed);
            }
            _ = lines.tick(), if progress.bar.is_hidden() => progress.line(tally, began.elapsed()),
            report = reports.recv() => {
                let Some(report) = report else { break };
                tally.add(report);
                progress.show(tally, began.elapsed());
                if args.max_failures.is_some_and(|most| tally.failed >= most.get() as u64) {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    }
    progress.bar.finish_and_clear();
    Ok(interrupted)
}

/// A bar over the seeds, or over the time where that is the limit; lines where there is no terminal.
struct Progress {
    bar: ProgressBar,
    by_time: bool,
    of: String,
}

impl Progress {
    fn new(args: &Args, all: SeedRange) -> Self {
        let by_time = args.seeds.is_none() && args.time.is_some();
        let seeds = all.share(args.shard);
        let length = args.time.filter(|_| by_time).map_or(seeds, |time| time.as_secs().max(1));
        let style = ProgressStyle::with_template("{bar:30} {msg}, {eta} left").expect("the template is valid");
        let of = if by_time { String::new() } else { format!(" of {seeds}") };
        Self { bar: ProgressBar::new(length).with_style(style), by_time, of }
    }

    fn show(&self, tally: &Tally, elapsed: Duration) {
        self.bar.set_position(if self.by_time { elapsed.as_secs() } else { tally.seeds });
        self.bar.set_message(self.words(tally, elapsed));
    }

    fn line(&self, tally: &Tally, elapsed: Duration) {
        eprintln!("{}", self.words(tally, elapsed));
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    fn words(&self, tally: &Tally, elapsed: Duration) -> String {
        let rate = tally.seeds as f64 / elapsed.as_secs_f64().max(1e-3);
        format!("{}{} seeds, {rate:.1}/s, {} failed", tally.seeds, self.of, tally.failed)
    }
}

fn report<'a>(args: &Args, all: SeedRange, generator: &Generator, tally: &'a Tally) -> SwarmReport<'a> {
    let rules = match &generator.rules {
        RulesSpec::Named(RuleSet::Safe) => "safe rules".to_owned(),
        RulesSpec::Named(RuleSet::Lab) => "lab rules".to_owned(),
        RulesSpec::Without { off } => {
            format!("safe rules without {}", off.iter().map(|rule| rule.name()).collect::<Vec<_>>().join(", "))
        }
    };
    let seeds = if all.end == u64::MAX { format!("{}..", all.first) } else { all.to_string() };
    let shard = if args.shard == Shard::WHOLE { String::new() } else { format!(", shard {}", args.shard) };
    let crashes = if args.crashes {
        "with crashes, which lose a node's memory"
    } else {
        "without crashes, which lose a node's memory (--crashes has them)"
    };
    let row = |kind: Exercised| {
        let count = tally.exercise.count(kind);
        let acknowledged = kind.is_fault().then_some(count.acknowledged);
        ExercisedRow { name: kind.to_string(), times: count.times, runs: count.runs, acknowledged }
    };
    let kinds = Exercised::ALL.into_iter().filter(|kind| kind.is_possible(generator));
    let judged = |property: Property| {
        let runs = tally.judged.runs(property);
        let violated = tally.failures.get(property.name()).map_or(0, |failures| failures.seeds);
        JudgedRow { name: property.to_string(), judged: runs.judged, counted: runs.counted, violated }
    };
    let failures = tally.failures.iter().map(|(name, failures)| FailureRow {
        name,
        seeds: failures.seeds,
        first: failures.first,
        evidence: &failures.evidence,
        again: &failures.again,
    });
    let (writes, reads) = (tally.exercise.writes, tally.exercise.reads);
    SwarmReport {
        title: format!("{} seeds of {seeds}{shard}, {rules}, {crashes}", tally.seeds),
        exercised: kinds.map(row).collect(),
        writes: (writes.count, writes.of),
        reads: (reads.count, reads.of),
        judged: Property::ALL.into_iter().map(judged).collect(),
        failed: tally.failed,
        failures: failures.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_that_was_not_heard_of_is_missed() {
        assert!(none_is_lost(7, 7, false).is_ok() && none_is_lost(3, 7, true).is_ok());
        let Err(Failure::Failed(message)) = none_is_lost(6, 7, false) else { panic!("one is lost") };
        assert!(message.starts_with("only 6 of 7 seeds"), "{message}");
    }
}
