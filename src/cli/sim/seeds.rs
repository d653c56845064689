use std::process::ExitCode;

use semisync::sim::Engine;
use semisync::sim::scenario::Scenario;
use semisync::sim::swarm::{Exercised, SeedRange, Shard};

use super::{Args, command_again_with, print_what_runs};
use crate::cli::output::{OutputFile, require_different};
use crate::cli::swarm::{Keeper, Plan, Source, Tally, junit, none_is_lost, print_end, report, status, stopped, watch};
use crate::cli::{Failure, runtime, say};

/// Runs the scenario with each of many seeds, several at a time, and reports on all of them together.
pub(super) fn run(args: &Args, scenario: Scenario, seeds: SeedRange) -> Result<ExitCode, Failure> {
    require_different(&[("FILE", args.file.as_deref())], &[("--junit", args.junit.as_deref())])?;
    let junit = OutputFile::create("--junit", args.junit.as_deref())?;
    let engine = args.engine.unwrap_or_else(|| Engine::that_plays(&scenario));
    print_what_runs(args, &scenario, engine, &format!("seeds {seeds}"));
    let (before, after) = command_again_with(args);
    let mut tally = Tally::new(Keeper::of_commands(before, engine, after), false);
    let plan = Plan { name: "sim", seeds, shard: Shard::WHOLE, jobs: args.jobs, time: None, max_failures: None };
    let source = Source::File(Box::new(scenario), engine, args.strategy);
    let ended = runtime()?.block_on(watch(&plan, source, &mut tally))?;
    let happened = Exercised::ALL.into_iter().filter(|kind| tally.exercise.count(*kind).times > 0);
    say(report(format!("{} seeds of {seeds}", tally.seeds), happened, &tally));
    let stopped = stopped(&ended, &plan, &tally);
    let summary = junit::Summary { name: "sim", tally: &tally, missing: None, stopped };
    let written = junit.map_or(Ok(()), |file| file.write(|out| junit::write(out, &summary)));
    print_end(&summary);
    written?;
    none_is_lost(tally.seeds, plan.count(), ended.is_cut_short)?;
    Ok(status(&tally, &ended, false))
}
