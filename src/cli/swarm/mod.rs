mod junit;
mod keep;
mod order;
mod progress;
mod tally;
mod watch;

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use semisync::check::{Excuse, Property};
use semisync::report::{ExcusedRow, ExercisedRow, ExplainHint, FailureRow, JudgedRow, LossRow, SwarmReport};
use semisync::sim::scenario::{RuleSet, RulesSpec};
use semisync::sim::swarm::{ExcusedRuns, Exercised, JudgedRuns, Missing, SeedRange, Shard, Symptom};
use semisync::sim::{Engine, Generator, Strategy};

use super::limits::{parse_count, parse_time};
use super::output::{OutputFile, is_in, require_different};
use super::rules::RulesArgs;
use super::{Failure, INTERRUPTED, say};
use keep::Keeper;
use tally::{Losses, Tally};

/// Each seed gives a scenario: a cluster, a workload and a list of faults, whose kinds differ from seed to seed. Faults
/// strike for some seconds of virtual time; then everything is healed, writes must succeed and replicas become equal.
///
/// The core engine finds fast, and real nodes confirm: what is saved, and the first of each kind, is run again in turmoil.
///
/// Acknowledged data that is lost after more failures than the store tolerates is counted as LOST, and is no failure. An example
/// of each cause is saved too.
///
/// Each run is judged twice, by its trace and by the history of its clients alone. The history may be silent where the trace
/// speaks; where it accuses and the trace does not, that is a failure of its own, a contradiction.
///
/// Exit status: 0 if nothing was found, 1 if a safety property is violated, two judgements contradict each other, or a kind of
/// fault was never tried, 3 if only convergence or liveness is violated.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which seeds: A..B without B, A.. for all from A on, or one number [default: 0..20000, which takes about ten seconds;
    /// with --engine turmoil 0..500; with --for all]
    #[arg(long, value_name = "A..B")]
    seeds: Option<SeedRange>,
    /// Begin no further seed after this time, such as 90s or 10m
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time)]
    time: Option<Duration>,
    /// How many simulations at a time [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    jobs: Option<NonZeroUsize>,
    /// The part of the seeds that falls to this of several machines, such as 2/3
    #[arg(long, value_name = "I/N", default_value_t = Shard::WHOLE)]
    shard: Shard,
    /// What runs the scenarios: the protocol's state machines and one queue of events, or real nodes in a simulated network
    #[arg(long, value_name = "core|turmoil", default_value_t = Engine::Core)]
    engine: Engine,
    /// In which order what can happen does: by time, any that is enabled next, or by random priorities with D - 1 changes
    #[arg(long, value_name = "timed|random|pct[:D]", default_value_t = Strategy::Timed)]
    strategy: Strategy,
    #[command(flatten)]
    rules: RulesArgs,
    /// Kill no nodes, which would lose their memory
    #[arg(long)]
    no_crashes: bool,
    /// Begin no further seed after this many have failed
    #[arg(long, value_name = "N", value_parser = parse_count)]
    max_failures: Option<NonZeroUsize>,
    /// Where to save failing scenarios, and an example of each kind of loss
    #[arg(long, value_name = "DIRECTORY", default_value = "swarm-failures")]
    save: PathBuf,
    /// Write a summary for CI systems, in JUnit's format
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let all = args.seeds.unwrap_or_else(|| default_seeds(args));
    if all.share(args.shard) == 0 {
        return Err(Failure::Usage(format!("--shard {}: none of the seeds {all} falls to it", args.shard)));
    }
    require_different(&[], &[("--save", Some(&args.save)), ("--junit", args.junit.as_deref())])?;
    can_be_saved_in(&args.save)?;
    if let Some(junit) = args.junit.as_deref().filter(|junit| is_in(junit, &args.save)) {
        let (junit, save) = (junit.display(), args.save.display());
        return Err(Failure::Usage(format!(
            "--junit {junit} is in the directory of --save {save}, which holds scenarios only"
        )));
    }
    let junit = OutputFile::create("--junit", args.junit.as_deref())?;
    let rules = args.rules.spec().unwrap_or(RulesSpec::Named(RuleSet::Safe));
    let generator = Generator { rules, crashes: !args.no_crashes, engine: args.engine, strategy: args.strategy };
    let crashes = if args.no_crashes { " --no-crashes" } else { "" };
    let engine = if args.engine == Engine::Core { "" } else { " --engine turmoil" };
    let strategy =
        if args.strategy == Strategy::Timed { String::new() } else { format!(" --strategy {}", args.strategy) };
    let again = format!("{}{crashes}{engine}{strategy}", args.rules.again());
    let mut tally = Tally::new(Keeper::new(args.save.clone(), &generator, again), args.engine == Engine::Core);
    let stop = Arc::new(AtomicBool::new(false));
    let interrupted = super::runtime()?.block_on(watch::watch(args, all, generator.clone(), &stop, &mut tally))?;
    say(report(args, all, &generator, &tally));
    let missing = tally.exercise.missing(&generator);
    let (by_chance, failed): (Vec<&Missing>, Vec<&Missing>) =
        missing.iter().partition(|missing| tally.seeds < missing.enough_seeds);
    for (never, verdict) in
        [(&failed, "FAILED: it proves nothing"), (&by_chance, "too few seeds for everything to happen")]
    {
        if !never.is_empty() {
            say(format_args!("Never happened: {} ({verdict})", in_words(never)));
        }
    }
    let written = junit.map_or(Ok(()), |file| file.write(|out| junit::write(out, &tally, &missing)));
    tally.complain();
    let found = tally.found();
    if !found.is_empty() {
        say(ExplainHint::new(found));
    }
    if let Some(again) = tally.first_again() {
        say(format_args!("To repeat the first failure:\n{again}"));
    }
    written?;
    none_is_lost(tally.seeds, all.share(args.shard), stop.load(Ordering::Relaxed))?;
    let violated = tally.violated();
    Ok(match () {
        () if tally.has(Symptom::Broken) || tally.has(Symptom::Contradiction) => ExitCode::from(1),
        () if !violated.is_empty() => super::code_of(&violated),
        () if interrupted => ExitCode::from(INTERRUPTED),
        () if !failed.is_empty() => ExitCode::from(1),
        () => ExitCode::SUCCESS,
    })
}

fn in_words(missing: &[&Missing]) -> String {
    missing.iter().map(|missing| missing.what.as_str()).collect::<Vec<_>>().join(", ")
}

/// Failing scenarios are saved long after the beginning: where that will not work, it is better said before.
fn can_be_saved_in(directory: &Path) -> Result<(), Failure> {
    let refused = |error| Failure::Usage(format!("--save {}: {error}", directory.display()));
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory).map_err(refused)?;
    // There may be nothing to save.
    fs::remove_dir(directory).map_err(refused)
}

/// The core engine runs 20,000 seeds in about ten seconds.
fn default_seeds(args: &Args) -> SeedRange {
    let first = |count: u64| SeedRange::new(0, count - 1).expect("the count is not 0");
    match (args.time, args.engine) {
        (Some(_), _) => SeedRange::ALL,
        (None, Engine::Core) => first(20_000),
        (None, Engine::Turmoil) => first(500),
    }
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

fn report<'a>(args: &Args, all: SeedRange, generator: &Generator, tally: &'a Tally) -> SwarmReport<'a> {
    let rules = match &generator.rules {
        RulesSpec::Named(RuleSet::Safe) => "safe rules".to_owned(),
        RulesSpec::Named(RuleSet::Lab) => "lab rules".to_owned(),
        RulesSpec::Without { off } => {
            format!("safe rules without {}", off.iter().map(|rule| rule.name()).collect::<Vec<_>>().join(", "))
        }
    };
    let shard = if args.shard == Shard::WHOLE { String::new() } else { format!(", shard {}", args.shard) };
    let crashes = if !args.no_crashes {
        "with crashes, which lose a node's memory"
    } else {
        "without crashes, which lose a node's memory"
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
        let JudgedRuns { judged, counted, lost } = runs;
        JudgedRow { name: property.to_string(), judged, counted, violated, lost }
    };
    let failures = tally.failures.iter().map(|(name, failures)| FailureRow {
        name,
        seeds: failures.seeds,
        first: failures.first,
        evidence: &failures.evidence,
        again: &failures.again,
        standing: failures.standing(),
    });
    let excused = |(excuse, property, runs): (Excuse, Property, ExcusedRuns)| {
        let ExcusedRuns { cases, runs } = runs;
        ExcusedRow { name: excuse.name(), property: property.to_string(), cases, runs }
    };
    let losses = tally.losses.iter().map(|(name, losses)| {
        let Losses { seeds, first, evidence, again, others, .. } = losses;
        LossRow { name, seeds: *seeds, first: *first, evidence, again, others }
    });
    let (writes, reads) = (tally.exercise.writes, tally.exercise.reads);
    SwarmReport {
        title: format!("{} seeds of {all}{shard}, {} engine, {rules}, {crashes}", tally.seeds, generator.engine),
        exercised: kinds.map(row).collect(),
        writes: (writes.count, writes.of),
        reads: (reads.count, reads.of),
        judged: Property::ALL.into_iter().map(judged).collect(),
        excused: tally.judged.excused().map(excused).collect(),
        losses: losses.collect(),
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
