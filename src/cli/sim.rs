use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{panic, thread};

use indicatif::{ProgressBar, ProgressStyle};
use semisync::report::{Diagram, RaceReport};
use semisync::sim::{Race, RaceRun, SimError};

use super::{Failure, NO, say};

/// The same arguments and the same binary give the same run, event for event: compare the lines "digest".
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// From what everything random in the run follows
    #[arg(long, default_value_t = Race::default().seed, value_name = "N")]
    seed: u64,
    /// How many followers
    #[arg(long, default_value_t = Race::default().followers as u64, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=128))]
    followers: u64,
    /// How many followers must confirm a write
    #[arg(long, default_value_t = Race::default().write_quorum as u64, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=128))]
    write_quorum: u64,
    /// Shortest and longest delay of a replication message, in ms
    #[arg(long, default_value = "0..1000", value_name = "MIN..MAX", value_parser = parse_range)]
    delay_ms: (u64, u64),
    /// How many writes in all
    #[arg(long, default_value_t = Race::default().writes as u64, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    writes: u64,
    /// How many clients make them, each one after another
    #[arg(long, default_value_t = Race::default().clients, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    clients: u16,
    /// How many keys they race on
    #[arg(long, default_value_t = Race::default().keys, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    keys: u64,
    /// Write every event to this file, as JSON Lines
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// `0..1000`, or one number for both.
fn parse_range(text: &str) -> Result<(u64, u64), String> {
    const LONGEST: u64 = 3_600_000;
    let (min, max) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| text.trim().parse().ok().filter(|ms| *ms <= LONGEST);
    match (number(min), number(max)) {
        (Some(min), Some(max)) if min <= max => Ok((min, max)),
        (Some(min), Some(max)) => Err(format!("the shortest delay, {min}, is above the longest, {max}")),
        _ => Err(format!("must be two numbers of milliseconds up to {LONGEST}, such as 0..1000, or one for both")),
    }
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let race = Race {
        seed: args.seed,
        followers: args.followers as usize,
        write_quorum: args.write_quorum as usize,
        delay_ms: args.delay_ms,
        writes: args.writes as usize,
        clients: args.clients,
        keys: args.keys,
    };
    // A path that cannot be written is found out before the run, not after it.
    let file = match &args.trace {
        Some(path) => {
            Some(File::create(path).map_err(|error| Failure::Usage(format!("--trace {}: {error}", path.display())))?)
        }
        None => None,
    };
    let Race { writes, clients, keys, followers, write_quorum, delay_ms: (min, max), seed } = &race;
    say(format_args!(
        "Race: {writes} writes by {clients} clients on {keys} keys, {followers} followers, quorum {write_quorum}, delays {min}..{max} ms, seed {seed}\n"
    ));
    let run = run_with_progress(&race).map_err(|error| match error {
        SimError::NotDeterministic | SimError::Impossible(_) => Failure::Usage(error.to_string()),
        SimError::Failed(_) => Failure::Failed(error.to_string()),
    })?;
    if let (Some(file), Some(path)) = (file, &args.trace) {
        let written = run.trace.write_json_lines(BufWriter::new(file));
        written.map_err(|error| Failure::Failed(format!("--trace {}: {error}", path.display())))?;
    }
    Ok(print(&run))
}

fn print(run: &RaceRun) -> ExitCode {
    if let Some(diagram) = Diagram::new(&run.trace, run.race.followers) {
        say(format_args!("{diagram}"));
    }
    let differences = run.differences();
    let report = RaceReport {
        states: &run.states,
        stale_arrivals: &run.stale_arrivals(),
        completions: run.completions(),
        latencies: run.latencies(),
        law: run.law(),
        differences: &differences,
        virtual_time: run.virtual_time,
    };
    say(format_args!("{report}"));
    say(format_args!("digest {}", run.trace.digest()));
    if differences.is_empty() {
        return ExitCode::SUCCESS;
    }
    let Race { seed, followers, write_quorum, delay_ms: (min, max), writes, clients, keys } = &run.race;
    say(format_args!("The replicas differ. To repeat the run:"));
    say(format_args!(
        "semisync sim --seed {seed} --followers {followers} --write-quorum {write_quorum} --delay-ms {min}..{max} \
         --writes {writes} --clients {clients} --keys {keys}"
    ));
    NO
}

/// Runs the race and shows how far it has come where it takes more than a second.
fn run_with_progress(race: &Race) -> Result<RaceRun, SimError> {
    const PATIENCE: Duration = Duration::from_secs(1);
    const REDRAW: Duration = Duration::from_millis(100);
    let returned = Arc::new(AtomicUsize::new(0));
    thread::scope(|scope| {
        // Nothing is sent: the end of the run closes the channel.
        let (done, is_done) = mpsc::channel::<()>();
        let counter = Arc::clone(&returned);
        let run = scope.spawn(move || {
            let result = race.run(counter);
            drop(done);
            result
        });
        let finish = || run.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
        if is_done.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
            return finish();
        }
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} writes, {elapsed}, {eta} left");
        let bar = ProgressBar::new(race.writes as u64).with_style(style.expect("the template is valid"));
        while is_done.recv_timeout(REDRAW) == Err(RecvTimeoutError::Timeout) {
            bar.set_position(returned.load(Ordering::Relaxed) as u64);
        }
        bar.finish_and_clear();
        finish()
    })
}
