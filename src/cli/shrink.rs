use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use semisync::base::Visible;
use semisync::check::Property;
use semisync::report::{Diagram, ExplainHint, Narration, VerdictReport};
use semisync::sim::scenario::Scenario;
use semisync::sim::shrink::{self, Criterion, ShrinkError, Shrunk};
use semisync::sim::{Engine, engine};
use tokio::time::Instant;

use super::numbers::seed;
use super::output::{OutputFile, is_stdout, require_different};
use super::progress::{Extent, Progress};
use super::rules::RulesArgs;
use super::shell::quoted;
use super::{Failure, say};

/// Remove operations, faults and fates of single messages, make the cluster smaller and round times, as long as the same
/// property is violated, or lost if the file expects that. Print the result as a scenario file, with a diagram and the
/// events in plain sentences, and say whether turmoil shows the same. Shrinking the result again changes nothing.
///
/// Exit status: 0 if it was shrunk, 1 if the run failed, 2 if there is no such violation or loss, or the file makes no sense.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A scenario in TOML that violates a property, or loses acknowledged data
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The property that must still be violated or, if it is not violated, lost [default: what the file expects, or the first
    /// that is violated]
    #[arg(long, value_name = "PROPERTY", value_parser = parse_property)]
    property: Option<Property>,
    /// Another seed than the scenario's own
    #[arg(long, value_name = "N", value_parser = seed())]
    seed: Option<u64>,
    #[command(flatten)]
    rules: RulesArgs,
    /// Where each try is run: core, or turmoil for what the core engine does not show, which takes minutes
    #[arg(long, value_name = "ENGINE", default_value_t = Engine::Core)]
    engine: Engine,
    /// Keep only what turmoil confirms: each smaller scenario must violate the property there too. Takes seconds
    #[arg(long)]
    confirmed: bool,
    /// Write the smallest scenario to this file; - is the standard output
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

fn parse_property(text: &str) -> Result<Property, String> {
    let all = || Property::ALL.map(Property::name).join(", ");
    Property::ALL
        .into_iter()
        .find(|property| property.name() == text)
        .ok_or_else(|| format!("there is no property {text:?}; the properties are {}", all()))
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if args.confirmed && args.engine == Engine::Turmoil {
        let problem =
            "--confirmed has no effect with --engine turmoil, which runs every try in turmoil; leave one of them out";
        return Err(Failure::usage(problem));
    }
    require_different(&[("FILE", Some(&args.file))], &[("--save", args.save.as_deref())])?;
    let mut scenario = Scenario::from_file(&args.file).map_err(Failure::usage)?;
    if let Some(rules) = args.rules.spec() {
        scenario.cluster.rules = rules;
    }
    scenario.seed = args.seed.unwrap_or(scenario.seed);
    let save = OutputFile::create("--save", args.save.as_deref())?;
    let progress = Progress::start("shrink", Extent::Unknown("tries"));
    let counter = progress.counter();
    let began = Instant::now();
    let criterion = Criterion { property: args.property, confirmed: args.confirmed, ..Criterion::default() };
    let shrunk = shrink::shrink(args.engine, &scenario, &criterion, |tries, left| {
        counter.set(tries);
        counter.note(format!("{left} events left"));
    });
    drop(progress);
    let shrunk = shrunk.map_err(|error| explain(args, error))?;
    let text = shrunk.scenario.to_toml();
    print(&shrunk, &text, began.elapsed().as_secs_f64());
    if let Some(file) = save {
        file.write(|out| out.write_all(text.as_bytes()))?;
    }
    confirm(args.engine, &shrunk);
    say(ExplainHint::new([shrunk.goal.property()]));
    if let Some(path) = args.save.as_deref().filter(|path| !is_stdout(path)) {
        say(format_args!("To run it:\nsemisync sim {}", quoted(path)));
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds to the error what to type instead: another property that was found, or turmoil for what only turmoil shows.
fn explain(args: &Args, error: ShrinkError) -> Failure {
    let found = match &error {
        ShrinkError::NotViolated { violated, lost, .. } => violated.iter().chain(lost).next().copied(),
        ShrinkError::NothingViolated { lost, .. } => lost.first().copied(),
        _ => None,
    };
    if let Some(found) = found {
        return Failure::Usage(format!("{error}; --property {found} shrinks that"));
    }
    match error {
        ShrinkError::NotViolated { .. } | ShrinkError::NothingViolated { .. } if args.engine == Engine::Core => {
            Failure::Usage(format!("{error}; --engine turmoil shrinks what only turmoil shows"))
        }
        ShrinkError::NotConfirmed { .. } => {
            Failure::Usage(format!("{error}; without --confirmed it is shrunk in the core engine alone"))
        }
        error => Failure::usage(error),
    }
}

fn print(shrunk: &Shrunk, text: &str, seconds: f64) {
    let Shrunk { scenario, run, events_before, tries, .. } = shrunk;
    let events = shrunk.events();
    say(format_args!(
        "{}: {events_before} events shrunk to {events}, {tries} tries, {seconds:.1} s\n",
        Visible(&scenario.name)
    ));
    if !shrunk.is_fixpoint() {
        say("the search stopped at its limit; shrink the result again to go on\n");
    }
    say(text);
    if let Some(diagram) = Diagram::new(&run.trace, scenario.cluster.all_followers()) {
        say(diagram);
    }
    for verdict in kept(shrunk) {
        say(Narration::new(&run.trace, verdict));
    }
    say("Verdicts");
    say(VerdictReport(&run.verdicts));
}

/// The verdict that was kept all the way.
fn kept(shrunk: &Shrunk) -> impl Iterator<Item = &semisync::check::Verdict> {
    let property = shrunk.goal.property();
    shrunk.run.verdicts.iter().filter(move |verdict| verdict.property == property)
}

/// Says whether real nodes do the same.
fn confirm(engine: Engine, shrunk: &Shrunk) {
    if engine == Engine::Turmoil {
        return;
    }
    let goal = shrunk.goal;
    let progress = Progress::start("shrink, confirming in turmoil", Extent::Unknown(""));
    let run = engine::run(Engine::Turmoil, &shrunk.scenario, Arc::default());
    drop(progress);
    match run {
        Ok(run) if run.meets(goal) => say(format_args!("CONFIRMED: {goal} in turmoil too")),
        Ok(_) => say(format_args!("CORE-ONLY: in turmoil it is not so that {goal}")),
        Err(error) => say(format_args!("CORE-ONLY: {error}")),
    }
}
