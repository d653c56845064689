mod progress;
mod seeds;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use semisync::base::Visible;
use semisync::check::Property;
use semisync::report::{Diagram, RaceReport, StaleArrival, VerdictReport, VerdictSummary};
use semisync::sim::scenario::{Expect, RulesSpec, Scenario};
use semisync::sim::swarm::SeedRange;
use semisync::sim::{Engine, Race, ScenarioRun, SimError, Strategy};

use super::limits::parse_count;
use super::numbers::{seed, whole};
use super::output::{OutputFile, require_different};
use super::ranges::parse_delay;
use super::rules::RulesArgs;
use super::shell::quoted;
use super::{Failure, NO, say};
use progress::run_with_progress;

/// The same arguments and the same binary give the same run, event for event: compare the lines "digest".
///
/// Exit status: 0 if every property holds, 1 if a safety property is violated or an expectation of the file is not met, 2 if
/// the file or the arguments make no sense, 3 if only convergence or liveness is violated, 4 with --strict if nothing is wrong
/// but that a fault never struck.
///
/// With --seeds the exit status is that of `swarm`: 0 if nothing was found, 1 if a safety property is violated, two judgements
/// contradict each other or an expectation is not met, 3 if only convergence or liveness is violated. SIGINT (Ctrl-C) or SIGTERM
/// ends it after the runs that are under way; the summary then covers what was run, and the status is 130 or 143 if nothing was
/// found.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A scenario in TOML; without it, clients race on few keys
    #[arg(value_name = "FILE", conflicts_with_all = ["followers", "write_quorum", "delay_ms", "writes", "clients", "keys"])]
    file: Option<PathBuf>,
    /// From what everything random in the run follows [default: the scenario's own; 42 for the race]
    #[arg(long, value_name = "N", value_parser = seed())]
    seed: Option<u64>,
    /// Run every seed of a range, several at a time, and report by property: A..B without B, or one number
    #[arg(long, value_name = "A..B", value_parser = parse_seeds, conflicts_with_all = ["seed", "save", "trace", "history", "strict", "verbose"])]
    seeds: Option<SeedRange>,
    /// With --seeds: how many simulations at a time [default: the number of cores]
    #[arg(long, value_name = "N", requires = "seeds", value_parser = parse_count)]
    jobs: Option<NonZeroUsize>,
    /// With --seeds: write a summary for CI systems, in JUnit's format; - is the standard output
    #[arg(long, value_name = "FILE", requires = "seeds")]
    junit: Option<PathBuf>,
    /// What runs it: real nodes in a simulated network, or the protocol's state machines and one queue of events [default:
    /// turmoil; core for a file that turmoil cannot play]
    #[arg(long, value_name = "turmoil|core")]
    engine: Option<Engine>,
    /// In which order what can happen does: by time, any that is enabled next, or by random priorities with D - 1 changes
    #[arg(long, value_name = "timed|random|pct[:D]", default_value_t = Strategy::Timed)]
    strategy: Strategy,
    #[command(flatten)]
    rules: RulesArgs,
    /// Fail if a fault of the file never struck
    #[arg(long, requires = "file")]
    strict: bool,
    /// List every property, including those that hold
    #[arg(long)]
    verbose: bool,
    /// How many followers
    #[arg(long, default_value_t = Race::default().followers as u64, value_name = "N", value_parser = whole::<u64>(1..=128))]
    followers: u64,
    /// How many followers must confirm a write
    #[arg(long, default_value_t = Race::default().write_quorum as u64, value_name = "N", value_parser = whole::<u64>(1..=128))]
    write_quorum: u64,
    /// Shortest and longest delay of a replication message, in ms
    #[arg(long, default_value = "0..1000", value_name = "MIN..MAX", value_parser = parse_delay)]
    delay_ms: (u64, u64),
    /// How many writes in all
    #[arg(long, default_value_t = Race::default().writes as u64, value_name = "N", value_parser = whole::<u64>(1..=1_000_000))]
    writes: u64,
    /// How many clients make them, each one after another
    #[arg(long, default_value_t = Race::default().clients, value_name = "N", value_parser = whole::<u16>(1..=10_000))]
    clients: u16,
    /// How many keys they race on
    #[arg(long, default_value_t = Race::default().keys, value_name = "N", value_parser = whole::<u64>(1..=1_000_000))]
    keys: u64,
    /// Write the scenario that is run to this file, with its seed and its order, for `sim` and `shrink`; - is the standard
    /// output
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Write every event to this file, as JSON Lines; - is the standard output
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Write every operation of a client to this file, as JSON Lines; - is the standard output
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

/// `A..` means all seeds from A on to a swarm, which has a limit of time; here it would never end.
fn parse_seeds(text: &str) -> Result<SeedRange, String> {
    let seeds: SeedRange = text.parse()?;
    if text.trim().ends_with("..") {
        return Err("must have an end: A..B without B, such as 0..100, or one number".into());
    }
    Ok(seeds)
}

/// The exit status of a run in which nothing is wrong but that a fault never struck.
const INERT: u8 = 4;

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    // The parser does not ask for what conflicts with an option that is there.
    if args.seeds.is_none() && (args.jobs.is_some() || args.junit.is_some()) {
        let option = if args.jobs.is_some() { "--jobs" } else { "--junit" };
        return Err(Failure::Usage(format!("{option} goes with --seeds")));
    }
    let written = [("--save", &args.save), ("--trace", &args.trace), ("--history", &args.history)];
    require_different(&[("FILE", args.file.as_deref())], &written.map(|(option, path)| (option, path.as_deref())))?;
    let mut scenario = match &args.file {
        Some(path) => Scenario::from_file(path).map_err(Failure::usage)?,
        None => race(&args)?.scenario(),
    };
    if let Some(rules) = args.rules.spec() {
        scenario.cluster.rules = rules;
    }
    scenario.check().map_err(Failure::usage)?;
    if let Some(seeds) = args.seeds {
        return seeds::run(&args, scenario, seeds);
    }
    scenario.seed = args.seed.unwrap_or(scenario.seed);
    let seed = scenario.seed;
    let scenario = args.strategy.schedule(scenario).map_err(Failure::usage)?;
    let save = OutputFile::create("--save", args.save.as_deref())?;
    let trace = OutputFile::create("--trace", args.trace.as_deref())?;
    let history = OutputFile::create("--history", args.history.as_deref())?;
    let engine = args.engine.unwrap_or_else(|| Engine::that_plays(&scenario));
    print_what_runs(&args, &scenario, engine, &format!("seed {seed}"));
    let run = match run_with_progress(engine, &scenario) {
        Ok(run) => run,
        Err(SimError::Failed { why, trace: so_far }) => {
            // What had happened by then says the most about why.
            if let Some(file) = trace {
                file.write(|out| so_far.write_json_lines(out))?;
            }
            let again = command_again(&args, seed);
            return Err(Failure::Failed(format!("the simulation failed: {why}. To repeat it:\n{again}")));
        }
        Err(error) => return Err(Failure::usage(error)),
    };
    print(&run, &args);
    // What came of the run is told before a disk can be full.
    if let Some(file) = save {
        let violated = run.violations().next().map(Expect::violates);
        let expect = violated.or(run.losses().next().map(Expect::loses)).unwrap_or(Expect::PASSES);
        let played = Scenario { expect: Some(expect), ..run.scenario.clone() };
        file.write(|out| out.write_all(played.to_toml().as_bytes()))?;
    }
    if let Some(file) = trace {
        file.write(|out| run.trace.write_json_lines(out))?;
    }
    if let Some(file) = history {
        file.write(|out| run.history.write_json_lines(out))?;
    }
    let status = super::status_of(&run.verdicts);
    let expectations = run.expectations();
    let unmet: Vec<String> = expectations
        .iter()
        .filter(|expectation| !expectation.is_met)
        .map(|expectation| expectation.claim.to_string())
        .collect();
    let inert = run.inert_faults();
    let fails_of_inert = args.strict && !inert.is_empty();
    let holds = status.problem.is_none();
    if !holds {
        say(&status.hint);
    }
    let problems: Vec<String> = status
        .problem
        .into_iter()
        .chain((!unmet.is_empty()).then(|| format!("Expected and not met: {}", unmet.join(", "))))
        .chain(fails_of_inert.then(|| format!("Never struck: {} of {} faults", inert.len(), run.strikes.len())))
        .collect();
    if !problems.is_empty() {
        say(format_args!("{}. To repeat the run:", problems.join(". ")));
        say(command_again(&args, seed));
    }
    Ok(match (unmet.is_empty(), holds) {
        (false, _) => NO,
        (true, true) if fails_of_inert => ExitCode::from(INERT),
        _ => status.code,
    })
}

fn race(args: &Args) -> Result<Race, Failure> {
    if args.write_quorum > args.followers {
        let (quorum, followers) = (args.write_quorum, args.followers);
        return Err(Failure::Usage(format!(
            "--write-quorum {quorum}: must be 1 to {followers}, the number of --followers"
        )));
    }
    Ok(Race {
        seed: args.seed.unwrap_or(Race::default().seed),
        followers: args.followers as usize,
        write_quorum: args.write_quorum as usize,
        delay_ms: args.delay_ms,
        writes: args.writes as usize,
        clients: args.clients,
        keys: args.keys,
    })
}

/// Says what runs. `seeds` names its seed or its seeds.
fn print_what_runs(args: &Args, scenario: &Scenario, engine: Engine, seeds: &str) {
    let Scenario { cluster, .. } = scenario;
    let [min, max] = cluster.delay_ms;
    let (followers, quorum) = (cluster.followers, cluster.write_quorum);
    let engine = match (engine, args.engine) {
        (Engine::Turmoil, _) => "",
        (Engine::Core, Some(_)) => ", core engine",
        (Engine::Core, None) => ", core engine, for turmoil cannot play it",
    };
    let rules = if cluster.rules == RulesSpec::SAFE { String::new() } else { format!(", rules: {}", cluster.rules) };
    let cluster = format!("{followers} followers, quorum {quorum}, delays {min}..{max} ms{rules}, {seeds}{engine}");
    match &args.file {
        None => {
            let (writes, clients, keys) = (args.writes, args.clients, args.keys);
            let plural = |number: u64, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
            let (writes, clients) = (plural(writes, "write"), plural(clients.into(), "client"));
            say(format_args!("Race: {writes} by {clients} on {}, {cluster}\n", plural(keys, "key")));
        }
        Some(_) => say(format_args!("{}: {cluster}\n", Visible(&scenario.name))),
    }
}

fn print(run: &ScenarioRun, args: &Args) {
    let is_race = args.file.is_none();
    match Diagram::new(&run.trace, run.scenario.cluster.all_followers()) {
        Some(diagram) => say(format_args!("{diagram}")),
        None if !is_race => say(format_args!("Not drawn: {}\n", Diagram::LIMITS)),
        None => {
            if let Some(stale) = StaleArrival::first(&run.trace) {
                say(stale);
            }
        }
    }
    let differences = run.differences();
    let report = RaceReport {
        states: &run.states,
        stale_arrivals: &run.stale_arrivals(),
        completions: run.completions(),
        latencies: run.latencies(),
        law: run.law(),
        differences: &differences,
        convergence: run.finding(Property::Convergence),
        is_race,
        virtual_time: run.virtual_time,
    };
    say(&report);
    say("Verdicts");
    if args.verbose {
        say(VerdictReport(&run.verdicts))
    } else {
        say(VerdictSummary(&run.verdicts))
    }
    say(format_args!("digest {}", run.trace.digest()));
    for inert in run.inert_faults() {
        say(format_args!("Never struck: {inert}"));
    }
    for expectation in run.expectations() {
        say(format_args!("Expected by the file: {expectation}"));
    }
}

/// What to type for the same run.
fn command_again(args: &Args, seed: u64) -> String {
    let (before, after) = command_again_with(args);
    format!("{before} {seed}{after}")
}

/// What to type before and after a seed, for its run.
fn command_again_with(args: &Args) -> (String, String) {
    let engine = args.engine.map_or(String::new(), |engine| format!(" --engine {engine}"));
    let strategy =
        if args.strategy == Strategy::Timed { String::new() } else { format!(" --strategy {}", args.strategy) };
    let strict = if args.strict { " --strict" } else { "" };
    let rules = args.rules.again() + &engine + &strategy + strict;
    match &args.file {
        Some(path) => (format!("semisync sim {} --seed", quoted(path)), rules),
        None => {
            let Args { followers, write_quorum, delay_ms: (min, max), writes, clients, keys, .. } = args;
            let race = format!(
                " --followers {followers} --write-quorum {write_quorum} --delay-ms {min}..{max} --writes {writes} \
                 --clients {clients} --keys {keys}{rules}"
            );
            ("semisync sim --seed".into(), race)
        }
    }
}
