//! What a run of the race costs in the core engine, beside a bare queue of events over the same state machines.
//!
//! ```text
//! cargo bench --bench engine
//! cargo bench --bench engine -- --instructions
//! cargo bench --bench engine -- --costs
//! cargo bench --bench engine -- --memory 100000
//! ```
//!
//! Four take turns over the same seeds: a bare queue, which records nothing; the same queue with a trace and its digest; the
//! engine, which has them too; and the engine with every checker. Processor time is compared, and the medians of the rounds'
//! ratios are shown. With `--instructions` valgrind's callgrind counts instead, which no other work on the machine disturbs;
//! the exit status is 1 if the engine takes more instructions, as a multiple of the recording queue's, than it is known to
//! need.
//! `--instructions` also counts how the cost of each checker grows with the run, and `--costs` does this alone; see
//! [`cost`]. The exit status is 1 if one grows faster than its documentation states.

mod baseline;
mod cost;

use std::error::Error;
use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use rustix::time::{ClockId, clock_gettime};
use semisync::sim::{Engine, Race, engine};

/// What ends the benchmark early.
type Failure = Box<dyn Error + Send + Sync>;

/// How many times the instructions of the recording queue the engine may take, and the engine with every checker: a tenth more
/// than they did when this was written.
const LIMITS: [(Side, f64); 2] = [(Side::Engine, 1.31), (Side::Judged, 2.65)];

/// What a run of the race costs in the core engine.
#[derive(Debug, Parser)]
struct Args {
    /// How many rounds
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How many runs of each in a round
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Count instructions instead, with valgrind
    #[arg(long)]
    instructions: bool,
    /// Only count how the cost of each checker grows
    #[arg(long)]
    costs: bool,
    /// Watch the memory over so many runs instead
    #[arg(long, value_name = "RUNS")]
    memory: Option<u32>,
    /// Only run this, as often as `runs` says
    #[arg(long, hide = true, value_enum)]
    only: Option<Side>,
    /// Only have every checker judge a run of this shape
    #[arg(long, hide = true, value_enum)]
    cost: Option<cost::Shape>,
    /// The operations of that run
    #[arg(long, hide = true, default_value_t = 600)]
    operations: usize,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Side {
    /// The bare queue.
    Bare,
    /// The bare queue, with a trace.
    Recording,
    /// The engine, which records.
    Engine,
    /// The engine, and every checker.
    Judged,
}

fn main() -> ExitCode {
    // `cargo test --all-targets` runs benchmarks too, and nextest asks them for a list of tests: there are none.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("engine: nothing to test here; cargo bench --bench engine measures");
        return ExitCode::SUCCESS;
    }
    let args = Args::parse();
    let done = match (args.only, args.memory) {
        _ if let Some(shape) = args.cost => cost::judge(shape, args.operations).map(|()| true),
        (Some(side), _) => (0..args.runs).try_for_each(|seed| side.run(seed.into())).map(|()| true),
        (None, Some(runs)) => memory(runs),
        (None, None) if args.costs => cost::compare(),
        (None, None) if args.instructions => instructions().and_then(|within| Ok(cost::compare()? && within)),
        (None, None) => times(&args).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("engine: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Side {
    const ALL: [Self; 4] = [Self::Bare, Self::Recording, Self::Engine, Self::Judged];

    fn run(self, seed: u64) -> Result<(), Failure> {
        let race = Race { seed, ..Race::default() };
        match self {
            Self::Bare => drop(black_box(baseline::run(&race, false))),
            Self::Recording => drop(black_box(baseline::run(&race, true))),
            Self::Engine => {
                black_box(engine::play(Engine::Core, &race.scenario(), Arc::default())?);
            }
            Self::Judged => {
                black_box(engine::run(Engine::Core, &race.scenario(), Arc::default())?);
            }
        }
        Ok(())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Recording => "recording",
            Self::Engine => "engine",
            Self::Judged => "judged",
        }
    }
}

/// Takes turns, and shows the medians.
fn times(args: &Args) -> Result<(), Failure> {
    let busy = || Duration::try_from(clock_gettime(ClockId::ProcessCPUTime));
    let mut rounds: Vec<[f64; 4]> = Vec::new();
    for round in 1..=args.rounds {
        let mut seconds = [0.0; 4];
        for (side, seconds) in Side::ALL.into_iter().zip(&mut seconds) {
            let before = busy()?;
            (0..args.runs).try_for_each(|seed| side.run(seed.into()))?;
            *seconds = (busy()? - before).as_secs_f64() / f64::from(args.runs);
        }
        let per_second = seconds.map(|seconds| format!("{:.0}", 1.0 / seconds)).join(", ");
        println!("round {round}: bare, recording, engine, judged: {per_second} runs/s of a processor");
        rounds.push(seconds);
    }
    let ratio = |of: usize, to: usize| median(rounds.iter().map(|round| round[to] / round[of]).collect());
    let rate = |of: usize| median(rounds.iter().map(|round| 1.0 / round[of]).collect());
    println!("recording queue: {:.0} runs/s; the bare one {:.0}", rate(1), rate(0));
    println!(
        "engine: {:.0} runs/s, {:.2} of the recording queue's, {:.2} of the bare one's",
        rate(2),
        ratio(2, 1),
        ratio(2, 0)
    );
    println!("judged: {:.0} runs/s, {:.2} of the engine's", rate(3), ratio(3, 2));
    Ok(())
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// Counts the instructions of a run of each side. False if one takes more than it is known to need.
fn instructions() -> Result<bool, Failure> {
    let count = |side: Side| -> Result<f64, Failure> {
        // The difference leaves out what starting a process takes.
        let [few, many] = [2, 12].map(|runs| collected(side, runs));
        Ok((many? - few?) / 10.0)
    };
    println!("bare: {:.0} instructions a run", count(Side::Bare)?);
    let recording = count(Side::Recording)?;
    println!("recording: {recording:.0} instructions a run");
    let mut within = true;
    for (side, limit) in LIMITS {
        let (taken, name) = (count(side)?, side.name());
        println!(
            "{name}: {taken:.0} instructions a run, {:.2} of the recording queue's (limit {limit:.2})",
            taken / recording
        );
        within &= taken / recording <= limit;
    }
    Ok(within)
}

/// What callgrind counts in a process that does so many runs.
fn collected(side: Side, runs: u32) -> Result<f64, Failure> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["--bench", "--only", side.name(), "--runs", &runs.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}; Debian's package of that name has it"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    count.ok_or_else(|| format!("valgrind counted nothing: {said}").into())
}

/// Shows how much memory the process has as it does more and more runs. False if it grows.
fn memory(runs: u32) -> Result<bool, Failure> {
    const STEPS: u32 = 5;
    /// What chance may add, in KiB.
    const ALLOWANCE: u64 = 4096;
    let mut seen = Vec::new();
    for step in 0..STEPS {
        for seed in (runs / STEPS * step)..(runs / STEPS * (step + 1)) {
            Side::Engine.run(seed.into())?;
        }
        let resident = resident_kib()?;
        println!("after {} runs: {resident} KiB", runs / STEPS * (step + 1));
        seen.push(resident);
    }
    Ok(seen.last() <= seen.first().map(|first| first + ALLOWANCE).as_ref())
}

fn resident_kib() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc/self/status")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
