use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use semisync::check::Verdict;
use semisync::report::{CounterexampleReport, SearchReport, VerdictReport};
use semisync::sim::exhaustive::{
    self, Bound, Bounds, Confirmation, Counterexample, FaultBudgets, Order, Progress, Scope, Search,
};
use semisync::sim::scenario::{Claim, ClusterSpec, Scenario};
use semisync::sim::shrink::Goal;
use tokio::signal::unix::{SignalKind, signal};

use super::limits::parse_time;
use super::numbers::whole;
use super::output::{OutputFile, require_different};
use super::rules::RulesArgs;
use super::shell::quoted;
use super::{Failure, INTERRUPTED, say};

/// Acknowledged data that is lost for a documented cause, after more failures than the store tolerates, is LOST and no violation.
///
/// Exit status: 0 if nothing is violated or lost and every state was seen, 1 if a safety property is violated or acknowledged
/// data is lost, 3 if only convergence or liveness is violated, 4 if nothing was found but a bound ended the search, 2 if the
/// file is no scope, 130 after Ctrl-C.
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
    /// Write the run that violates a property, or loses acknowledged data, to this file, as a scenario for `semisync sim`
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
    print(&scope, &search, &verdicts, bounds);
    let confirmed = confirm_all(&scope, &search)?;
    let status = super::status_of(&verdicts);
    if status.problem.is_some() {
        say(&status.hint);
    }
    if let Some(file) = save {
        let path = args.save.as_deref().unwrap_or(Path::new(""));
        save_best(file, path, &scope, &search, &confirmed)?;
    }
    if search.bound == Some(Bound::Watcher) {
        return Ok(ExitCode::from(INTERRUPTED));
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
    let scope = scope.map_err(|error| Failure::Usage(format!("{}: {error}", args.file.display())))?;
    Ok(if args.no_reduction { scope.without_reduction() } else { scope })
}

fn is_free(address: SocketAddr) -> Result<(), Failure> {
    TcpListener::bind(address).map(drop).map_err(|error| cannot_listen(address, &error))
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("--port: cannot listen at {address}: {error}; --headless needs no port"))
}

/// Ctrl-C: the first one ends a search, which then tells what it has found; any other the process.
#[derive(Clone, Default)]
struct Interrupts {
    came: Arc<AtomicBool>,
    at_once: Arc<AtomicBool>,
}

impl Interrupts {
    fn heed() -> Result<Self, Failure> {
        let interrupts = Self::default();
        let (runtime, listener) = (super::runtime()?, interrupts.clone());
        let failed = |error| Failure::Failed(format!("cannot listen for signals: {error}"));
        let mut signals = runtime.block_on(async { signal(SignalKind::interrupt()) }).map_err(failed)?;
        thread::spawn(move || {
            runtime.block_on(async {
                while signals.recv().await.is_some() {
                    if listener.came.swap(true, Ordering::Relaxed) || listener.at_once.load(Ordering::Relaxed) {
                        process::exit(INTERRUPTED.into());
                    }
                }
            });
        });
        Ok(interrupts)
    }

    fn came(&self) -> bool {
        self.came.load(Ordering::Relaxed)
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
    format!(
        "{name}\n{followers} followers, quorum {write_quorum}, window {window}, rules: {rules}; {} operations; faults: {budgets}; \
         {reduction}\n",
        workload.explicit.len()
    )
}

fn print(scope: &Scope, search: &Search, verdicts: &[Verdict], bounds: Bounds) {
    let bound = search.bound.map(|bound| match bound {
        Bound::States => format!("--max-states {} was reached", bounds.states),
        Bound::Depth => format!("--max-depth {} was reached", search.progress.depth),
        Bound::Time => format!("--for {} is over", humantime::format_duration(bounds.time.unwrap_or_default())),
        Bound::FirstViolation => "it ended at the first violation or loss".to_owned(),
        Bound::Watcher => "it was interrupted".to_owned(),
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
    say(format_args!("\nThe run in which {goal} is saved. To play it:\nsemisync sim {}", quoted(path)));
    Ok(())
}

/// Searches, and shows how far it has come where it takes more than a second; where nobody watches a terminal, in a line each
/// half a minute.
fn search_with_progress(
    scope: &Scope,
    bounds: Bounds,
    (order, threads): (Order, usize),
    interrupts: &Interrupts,
) -> Result<Search, Failure> {
    const PATIENCE: Duration = Duration::from_secs(1);
    const PATIENCE_OF_A_LOG: Duration = Duration::from_secs(30);
    let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}").expect("the template is valid");
    let bar = ProgressBar::new_spinner().with_style(style);
    let mut next_line = PATIENCE_OF_A_LOG;
    let search = exhaustive::search(scope, bounds, order, threads, |progress| {
        let Progress { generated, unique, depth, time } = progress;
        let so_far = || format!("{unique} states ({generated} with repetitions), depth {depth}");
        if bar.is_hidden() {
            // A run that violates something is looked for once more.
            next_line = next_line.min(time + PATIENCE_OF_A_LOG);
            if time >= next_line {
                eprintln!("{}, {} s", so_far(), time.as_secs());
                next_line = time + PATIENCE_OF_A_LOG;
            }
        } else if time >= PATIENCE {
            bar.set_message(so_far());
            bar.tick();
        }
        if interrupts.came() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    interrupts.end_at_once();
    bar.finish_and_clear();
    search.map_err(|error| Failure::Failed(error.to_string()))
}
