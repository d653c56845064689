//! What a simulated run of the built-in scenario costs, as a multiple of what its network alone costs: of the same
//! messages sent at the same virtual times through turmoil, hyper and axum between hosts that only have them ready.
//!
//! ```text
//! cargo bench --bench overhead
//! ```
//!
//! The run is all that `semisync sim` does before it prints: the nodes and their emulated delays, the clients, the trace
//! with its digest, and the checkers. What it says over HTTP is read from its trace. In the end clients look at all
//! replicas until they are equal, which turns up in no trace. So the yardstick goes without these requests and ends with
//! the last event, a poll earlier than the run: both count as the run's cost.
//!
//! What is measured is how long the processor was busy with it, so that the machine's other work does not count. The two
//! take turns, for a processor does not keep its pace. The median of the rounds' ratios decides: if it is above the limit,
//! the exit status is 1.
//!
//! Most of either is what turmoil takes to wake every host in every tick of a millisecond, whether or not it has anything
//! to do. So the same hosts are also measured in silence. What the messages cost beyond that is shown, and not judged.

mod bare;
mod schedule;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Parser;
use comfy_table::{CellAlignment, Table};
use rustix::time::{ClockId, clock_gettime};
use semisync::base::trace::{Event, Trace};
use semisync::sim::{Engine, Race, ScenarioRun};

use schedule::Schedule;

/// What ends the benchmark early.
type Failure = Box<dyn Error + Send + Sync>;

/// How many times what its network costs a run may cost.
const LIMIT: f64 = 1.30;

/// What a simulated run costs, as a multiple of its network alone.
#[derive(Debug, Parser)]
struct Args {
    /// How many rounds
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    // `cargo test --all-targets` runs benchmarks too, and nextest asks them for a list of tests: there are none.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("overhead: nothing to test here; cargo bench --bench overhead measures");
        return ExitCode::SUCCESS;
    }
    match benchmark(&Args::parse()) {
        Ok(ratio) if ratio <= LIMIT => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("overhead: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The processor's time in one round.
struct Round {
    run: Duration,
    bare: Duration,
    /// For the bare hosts without any message.
    silent: Duration,
}

impl Round {
    fn ratio(&self) -> f64 {
        self.run.as_secs_f64() / self.bare.as_secs_f64()
    }

    /// What the messages alone cost in the run and bare.
    fn of_messages(&self) -> (f64, f64) {
        let above_silence = |time: Duration| ms(time) - ms(self.silent);
        (above_silence(self.run), above_silence(self.bare))
    }
}

/// Measures, prints, and returns the median ratio.
fn benchmark(args: &Args) -> Result<f64, Failure> {
    // The first of each also warms everything up.
    let first = race()?;
    let schedule = Arc::new(Schedule::of(&first)?);
    println!("{}", check(&first.trace, &schedule, &*bare::run(&schedule)?)?);
    let measure_run = || -> Result<Duration, Failure> {
        let (again, time) = measure(|| race().map(|run| run.trace.digest()))?;
        if again == first.trace.digest() { Ok(time) } else { Err("two runs of one seed differ".into()) }
    };
    let measure_bare = || -> Result<Duration, Failure> {
        let (tally, time) = measure(|| bare::run(&schedule))?;
        check(&first.trace, &schedule, &tally)?;
        Ok(time)
    };
    let silence = Arc::new(schedule.without_messages());
    let measure_silence = || measure(|| bare::run(&silence)).map(|(_, time)| time);
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        // A processor that becomes slower as the benchmark goes on must not favour who comes first.
        let round = if number % 2 == 0 {
            let (run, silent) = (measure_run()?, measure_silence()?);
            Round { run, bare: measure_bare()?, silent }
        } else {
            let (bare, silent) = (measure_bare()?, measure_silence()?);
            Round { run: measure_run()?, bare, silent }
        };
        let Round { run, bare, silent } = round;
        let ratio = round.ratio();
        println!(
            "round {number}: run {:.1} ms, bare {:.1} ms, silent {:.1} ms, ratio {ratio:.2}",
            ms(run),
            ms(bare),
            ms(silent)
        );
        rounds.push(round);
    }
    println!("{}", table(&rounds));
    let ratio = median(&sorted(rounds.iter().map(Round::ratio)));
    println!("overhead: {ratio:.2} (limit {LIMIT:.2})");
    Ok(ratio)
}

fn race() -> Result<ScenarioRun, Failure> {
    Ok(Race::default().run(Engine::Turmoil, Arc::default())?)
}

/// Does it, and tells how long the processor was busy with it, in all threads.
fn measure<R>(what: impl FnOnce() -> Result<R, Failure>) -> Result<(R, Duration), Failure> {
    let busy = || Duration::try_from(clock_gettime(ClockId::ProcessCPUTime));
    let before = busy()?;
    let result = what()?;
    Ok((result, busy()? - before))
}

/// Both said the same, and were answered. In words.
fn check(trace: &Trace, schedule: &Schedule, tally: &bare::Tally) -> Result<String, Failure> {
    let count = |wanted: fn(&Event) -> bool| trace.records().iter().filter(|record| wanted(&record.event)).count();
    let sets = count(|event| matches!(event, Event::InvokeSet { .. }));
    let replications = count(|event| matches!(event, Event::Dispatch { .. }));
    let of_bare = [&tally.sent, &tally.answered, &tally.on_time].map(|count| count.load(Ordering::Relaxed));
    if of_bare != [sets + replications; 3] {
        let [sent, answered, on_time] = of_bare;
        return Err(format!(
            "the run has {sets} + {replications} requests; of them {sent} were sent again, {answered} answered as \
             before, and {on_time} of these when they were before"
        )
        .into());
    }
    Ok(format!(
        "{sets} writes of clients and {replications} replication requests in {:.1} s of virtual time; \
         bare: {} requests over {} connections, each answered, and when it was in the run",
        schedule.end.as_secs_f64(),
        of_bare[0],
        schedule.connections.len(),
    ))
}

fn table(rounds: &[Round]) -> Table {
    let mut table = Table::new();
    table.set_header(["", "min", "median", "max"]);
    let mut row = |name: &str, numbers: Vec<f64>, digits| {
        let least_median_most = [numbers[0], median(&numbers), numbers[numbers.len() - 1]];
        let cells = least_median_most.map(|number| format!("{number:.digits$}"));
        table.add_row(std::iter::once(name.to_owned()).chain(cells));
    };
    row("run, ms", sorted(rounds.iter().map(|round| ms(round.run))), 1);
    row("bare, ms", sorted(rounds.iter().map(|round| ms(round.bare))), 1);
    row("silent, ms", sorted(rounds.iter().map(|round| ms(round.silent))), 1);
    row("messages of the run, ms", sorted(rounds.iter().map(|round| round.of_messages().0)), 1);
    row("messages bare, ms", sorted(rounds.iter().map(|round| round.of_messages().1)), 1);
    row("ratio, run to bare", sorted(rounds.iter().map(Round::ratio)), 2);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn sorted(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers
}

/// The middle one, or the lower of the two in the middle.
fn median(sorted: &[f64]) -> f64 {
    sorted[(sorted.len() - 1) / 2]
}
