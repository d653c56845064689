use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use semisync::base::Visible;
use semisync::check::Verdict;
use semisync::report::{CounterexampleReport, SearchReport, VerdictReport};
use semisync::sim::exhaustive::{
    self, Bound, Bounds, Confirmation, Counterexample, FaultBudgets, Order, Progress, Scope, Search,
};
use semisync::sim::scenario::{Claim, ClusterSpec, Scenario};
use semisync::sim::shrink::Goal;

use super::limits::parse_time;
use super::numbers::whole;
use super::output::{OutputFile, is_stdout, require_different, shown};
use super::progress::Extent;
use super::rules::RulesArgs;
use super::shell::quoted;
use super::signals::{Signals, Stop};
use super::{Failure, say};

/// Acknowledged data that is lost for a documented cause, after more failures than the store tolerates, is LOST and no violation.
///
/// Exit status: 0 if nothing is violated or lost and every state was seen, 1 if a safety property is violated or acknowledged
/// data is lost, 3 if only convergence or liveness is violated, 4 if nothing was found but a bound ended the search, 2 if the
/// file is no scope. SIGINT (Ctrl-C) or SIGTERM ends the search with status 130 or 143; what was found by then is
/// reported.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A scope: a scenario in TOML of which the times mean nothing
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    rules: RulesArgs,
    /// How many messages may be lost, whatever the file says
    #[arg(long, value_name = "N", value_parser = whole::<u8>(0..=32))]
    drops: Option<u8>,
    /// How many answers may be lost
    #[arg(long, value_name = "N", value_parser = whole::<u8>(0..=32))]
    drop_replies: Option<u8>,
    /// How many messages may arrive twice
    #[arg(long, value_name = "N", value_parser = whole::<u8>(0..=32))]
    duplicates: Option<u8>,
    /// For how many messages deadlines may pass while they are on their way
    #[arg(long, value_name = "N", value_parser = whole::<u8>(0..=32))]
    late: Option<u8>,
    /// Follow each run to its end before the next: a state takes a twentieth of the memory. What is found is made as short as can
    /// be by a search breadth first, of up to four million states
    #[arg(long, conflicts_with = "max_depth")]
    depth_first: bool,
    /// End after so many different states. A million take 0.8 GB, and up to 2 GB with more followers that are told apart
    #[arg(long, value_name = "N", default_value_t = 4_000_000, value_parser = whole::<u64>(1..=1_000_000_000))]
    max_states: u64,
    /// Follow no run beyond so many actions
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..=10_000))]
    max_depth: Option<u64>,
    /// End after this time, such as 90s or 10m
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time)]
    time: Option<Duration>,
    /// End at the first violation or loss
    #[arg(long)]
    first: bool,
    /// Tell states apart that differ only by names that nothing in the scope names, or by what can have no effect any more: it
    /// finds the same, and takes far longer
    #[arg(long)]
    no_reduction: bool,
    /// How many threads search [default: one for each core]
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=512))]
    threads: Option<u16>,
    /// End after the search, without the explorer
    #[arg(long, conflicts_with = "port")]
    headless: bool,
    /// Write the run that violates a property, or loses acknowledged data, to this file, as a scenario for `semisync sim`; -
    /// is the standard output
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// The port of the explorer, on this machine only
    #[arg(long, value_name = "PORT", default_value = "3000", value_parser = whole::<u16>(1..=u16::MAX))]
    port: u16,
}

/// The status of a search that found nothing and did not see everything.
const NOT_EXHAUSTED: u8 = 4;

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    require_different(&[("FILE", Some(&args.file))], &[("--save", args.save.as_deref())])?;
    let scope = read_scope(args)?;
    let save = OutputFile::create("--save", args.save.as_deref())?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    if !args.headless {
        // Said before the search, which may take long.
        is_free(address)?;
    }
    let interrupts = Interrupts::heed()?;
    say(describe(&scope));
    let bounds = Bounds {
        states: usize::try_from(args.max_states).unwrap_or(usize::MAX),
        depth: args.max_depth.map(|depth| depth as usize),
        time: args.time,
        first_violation: args.first,
    };
    let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = args.threads.map_or_else(cores, usize::from);
    let order = if args.depth_first { Order::DepthFirst } else { Order::BreadthFirst };
    let search = search_with_progress(&scope, bounds, (order, threads), &interrupts)?;
    let verdicts = search.verdicts();
    print(&scope, &search, &verdicts, (bounds, interrupts.signal()));
    let confirmed = confirm_all(&scope, &search)?;
    let status = super::status_of(&verdicts);
    if status.problem.is_some() {
        say(&status.hint);
    }
    if let Some(file) = save {
        let path = args.save.as_deref().unwrap_or(Path::new(""));
        save_best(file, path, &scope, &search, &confirmed)?;
    }
    if let (Some(Bound::Watcher), Some(signal)) = (search.bound, interrupts.signal()) {
        return Ok(ExitCode::from(signal.status));
    }
    if !args.headless {
        let states = bounds.states;
        let ready = || say(format_args!("The explorer is at http://{address}/ until Ctrl-C."));
        exhaustive::serve(scope, address, states, ready).map_err(|error| cannot_listen(address, &error))?;
    }
    let nothing_found = status.problem.is_none();
    Ok(if nothing_found && !search.is_exhausted() { ExitCode::from(NOT_EXHAUSTED) } else { status.code })
}

fn read_scope(args: &Args) -> Result<Scope, Failure> {
    let mut scenario = Scenario::from_file(&args.file).map_err(Failure::usage)?;
    if let Some(rules) = args.rules.spec() {
        scenario.cluster.rules = rules;
    }
    let Args { drops, drop_replies, duplicates, late, .. } = *args;
    let scope = Scope::new(scenario, FaultBudgets { drops, drop_replies, duplicates, late });
    let scope = scope.map_err(|error| Failure::Usage(format!("{}: {error}", shown(&args.file))))?;
    Ok(if args.no_reduction { scope.without_reduction() } else { scope })
}

fn is_free(address: SocketAddr) -> Result<(), Failure> {
    TcpListener::bind(address).map(drop).map_err(|error| cannot_listen(address, &error))
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("--port: cannot listen at {address}: {error}; --headless needs no port"))
}

/// The signals that ask the command to end: the first one ends a search, which then reports what it has found; any other
/// one ends the process.
#[derive(Clone, Default)]
struct Interrupts {
    came: Arc<OnceLock<Stop>>,
    at_once: Arc<AtomicBool>,
}

impl Interrupts {
    fn heed() -> Result<Self, Failure> {
        let interrupts = Self::default();
        let (runtime, listener) = (super::runtime()?, interrupts.clone());
        let mut signals = runtime.block_on(async { Signals::listen_for_stop() })?;
        thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    let signal = signals.next().await;
                    if listener.came.set(signal).is_err() || listener.at_once.load(Ordering::Relaxed) {
                        process::exit(signal.status.into());
                    }
                }
            });
        });
        Ok(interrupts)
    }

    fn signal(&self) -> Option<Stop> {
        self.came.get().copied()
    }

    /// Nothing is under way any more that is worth being told of.
    fn end_at_once(&self) {
        self.at_once.store(true, Ordering::Relaxed);
    }
}

/// What is searched, in a few lines.
fn describe(scope: &Scope) -> String {
    let Scenario { name, cluster, workload, faults, .. } = &scope.scenario;
    let ClusterSpec { followers, write_quorum, window, rules, .. } = cluster;
    let mut budgets: BTreeMap<&str, usize> = BTreeMap::new();
    for fault in faults {
        *budgets.entry(fault.kind.name()).or_default() += 1;
    }
    let budgets: Vec<String> = budgets.iter().map(|(kind, number)| format!("{number} {kind}")).collect();
    let budgets = if budgets.is_empty() { "none".to_owned() } else { budgets.join(", ") };
    let reduction = if scope.is_reduced() {
        "states that differ by nothing that matters count as one"
    } else {
        "all states are told apart"
    };
    let name = Visible(name);
    format!(
        "{name}\n{followers} followers, quorum {write_quorum}, window {window}, rules: {rules}; {} operations; faults: {budgets}; \
         {reduction}\n",
        workload.explicit.len()
    )
}

fn print(scope: &Scope, search: &Search, verdicts: &[Verdict], (bounds, signal): (Bounds, Option<Stop>)) {
    let bound = search.bound.map(|bound| match bound {
        Bound::States => format!("--max-states {} was reached", bounds.states),
        Bound::Depth => format!("--max-depth {} was reached", search.progress.depth),
        Bound::Time => format!("--for {} is over", humantime::format_duration(bounds.time.unwrap_or_default())),
        Bound::FirstViolation => "it ended at the first violation or loss".to_owned(),
        Bound::Watcher => format!("it was stopped by {}", signal.map_or("a signal", |signal| signal.name)),
    });
    let Progress { generated, unique, depth, time } = search.progress;
    say(SearchReport { generated, unique, depth, time, bound: bound.as_deref() });
    say("\nVerdicts");
    say(VerdictReport(verdicts));
    for claim in scope.scenario.claims() {
        let came_out = match (claim, claim.is_met_by(verdicts)) {
            (Claim::Shows(_) | Claim::AllAcknowledged | Claim::Ends(..), _) | (_, None) => "not searched for",
            (Claim::Violates(_), Some(true)) => "met",
            _ if !search.is_exhausted() => "not known before the scope is exhausted",
            (_, Some(true)) => "met",
            (_, Some(false)) => "NOT MET",
        };
        say(format_args!("Expected by the file: {claim}: {came_out}"));
    }
    if !search.is_exhausted() {
        let found = if search.counterexamples.is_empty() { "Nothing is violated" } else { "Nothing else is violated" };
        say(format_args!("{found} in what was seen, and that was not everything: this shows little."));
    }
}

/// Tells the runs that violate or lose something, and runs each in the engine.
fn confirm_all(scope: &Scope, search: &Search) -> Result<Vec<Confirmation>, Failure> {
    let mut confirmations = Vec::new();
    for found in &search.counterexamples {
        let Counterexample { goal, steps, evidence, is_shortest, .. } = found;
        let finding = goal.to_string();
        let report = CounterexampleReport { finding: &finding, steps, evidence, is_shortest: *is_shortest };
        say(format_args!("\n{report}"));
        let confirmation = exhaustive::confirm(scope, found).map_err(Failure::usage)?;
        match &confirmation.result {
            Ok(evidence) => say(format_args!("CONFIRMED by whole nodes in the simulated network: {evidence}")),
            Err(why) => {
                say(format_args!("Not confirmed by whole nodes in the simulated network. It may be because {why}."))
            }
        }
        confirmations.push(confirmation);
    }
    Ok(confirmations)
}

/// Saves the run with the violation or loss that the file expects; or else the first that was confirmed, or else the first.
fn save_best(
    file: OutputFile,
    path: &Path,
    scope: &Scope,
    search: &Search,
    confirmations: &[Confirmation],
) -> Result<(), Failure> {
    let runs = || search.counterexamples.iter().map(|found| found.goal).zip(confirmations);
    let expected = |goal| scope.scenario.expect.and_then(Goal::of) == Some(goal);
    let best = runs().find(|(goal, _)| expected(*goal));
    let best = best.or_else(|| runs().find(|(_, confirmation)| confirmation.result.is_ok())).or_else(|| runs().next());
    let Some((goal, Confirmation { scenario, result })) = best else {
        say("--save: nothing is violated or lost, so there is no run to save");
        return Ok(());
    };
    let mut scenario = scenario.clone();
    if result.is_err() {
        scenario.expect = None;
    }
    file.write(|out| out.write_all(scenario.to_toml().as_bytes()))?;
    if !is_stdout(path) {
        say(format_args!("\nThe run in which {goal} is saved. To play it:\nsemisync sim {}", quoted(path)));
    }
    Ok(())
}

/// Searches, and shows how far it has come.
fn search_with_progress(
    scope: &Scope,
    bounds: Bounds,
    (order, threads): (Order, usize),
    interrupts: &Interrupts,
) -> Result<Search, Failure> {
    let extent = bounds.time.map_or(Extent::Unknown(""), Extent::Time);
    let shown = super::progress::Progress::start("explore", extent);
    let counter = shown.counter();
    let search = exhaustive::search(scope, bounds, order, threads, |progress| {
        let Progress { generated, unique, depth, .. } = progress;
        counter.note(format!(
            "{unique} states ({generated} with repetitions) of at most {}, depth {depth}",
            bounds.states
        ));
        if interrupts.signal().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    interrupts.end_at_once();
    search.map_err(|error| Failure::Failed(error.to_string()))
}
