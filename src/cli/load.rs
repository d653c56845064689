use std::future;
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use semisync::base::history::History;
use semisync::base::{ReadMode, Seed};
use semisync::client::{Cluster, HistoryRecorder};
use semisync::live::load::{self, KeyDistribution, LoadPlan, LoadResult, ReadFrom};
use semisync::net::Transport;
use semisync::report::LoadReport;
use tokio_util::sync::CancellationToken;

use super::numbers::whole;
use super::output::OutputFile;
use super::progress::{Counter, Extent, Progress};
use super::signals::{Signals, Stop};
use super::target::{TargetArgs, Task, parse_seconds};
use super::{Failure, NO, complain, say};

/// Writes and reads, by clients that each do one thing after another, or at a rate. Errors are counted by kind.
///
/// Exit status: 0 if anything succeeded, 1 if nothing did. SIGINT (Ctrl-C) or SIGTERM ends a load of a
/// running cluster with status 130 or 143; what was done by then is reported.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetArgs,
    /// How many clients. With --rate: how many operations may be under way [default: 10, or 256 with --rate]
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=10_000))]
    clients: Option<u16>,
    /// Begin this many operations a second, whatever becomes of them; latencies count from when each was due
    #[arg(long, value_name = "PER-SECOND", value_parser = parse_rate)]
    rate: Option<f64>,
    /// Seconds to go on for [default: 10, unless --count is given]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    duration: Option<Duration>,
    /// How many operations
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..=u64::MAX))]
    count: Option<u64>,
    /// On how many keys
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = whole::<u64>(1..=10_000_000))]
    keys: u64,
    /// Ask for the k-th key in proportion to 1/k to this power, instead of for all alike
    #[arg(long, value_name = "EXPONENT", value_parser = parse_exponent)]
    zipf: Option<f64>,
    /// The share of operations that read, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = parse_share)]
    reads: f64,
    /// Where they read: any node, the leader or followers
    #[arg(long, value_name = "any|leader|followers", default_value = "any")]
    read_from: ReadFrom,
    /// What they may find; committed and linearizable need --read-from leader
    #[arg(long, value_name = "local|committed|linearizable", default_value = "local")]
    read: ReadMode,
    /// How long values are, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_VALUE_SIZE, value_parser = whole::<u64>(1..=16 << 20))]
    value_size: u64,
    /// Write every operation to this file, as JSON Lines; - is the standard output
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

/// The length of values in bytes, unless another one is given.
const DEFAULT_VALUE_SIZE: u64 = 100;

fn parse_rate(text: &str) -> Result<f64, &'static str> {
    let rate = text.parse().ok().filter(|rate: &f64| (0.01..=1e6).contains(rate));
    rate.ok_or("must be a number of operations a second, 0.01 to 1000000")
}

fn parse_exponent(text: &str) -> Result<f64, &'static str> {
    let exponent = text.parse().ok().filter(|exponent: &f64| (0.0..=10.0).contains(exponent));
    exponent.ok_or("must be a number from 0, which is uniform, to 10")
}

fn parse_share(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|share: &f64| (0.0..=1.0).contains(share)).ok_or("must be a share from 0 to 1")
}

struct Load {
    plan: LoadPlan,
    /// Whether to listen for signals: a simulation hears nothing from outside.
    is_live: bool,
    wants_history: bool,
    counter: Counter,
    /// The signal that ended it, if one did.
    stopped: Arc<OnceLock<Stop>>,
}

impl Task for Load {
    type Output = (LoadResult, History);

    async fn run<T: Transport>(self, cluster: Cluster<T>) -> (LoadResult, History) {
        let recorder = HistoryRecorder::start(cluster.client().transport());
        let stop = CancellationToken::new();
        let progress = |progress: load::Progress| {
            let load::Progress { succeeded, failed, elapsed } = progress;
            let rate = succeeded as f64 / elapsed.as_secs_f64().max(1e-9);
            self.counter.set(succeeded + failed);
            self.counter.note(format!("{succeeded} succeeded, {rate:.0}/s, {failed} failed"));
        };
        let recorder_of_all = self.wants_history.then_some(&recorder);
        let mut load = std::pin::pin!(load::run(&cluster, &self.plan, recorder_of_all, &stop, progress));
        // Without signals Ctrl-C ends the process at once.
        let mut signals = if self.is_live { Signals::listen_for_stop().ok() } else { None };
        let result = loop {
            tokio::select! {
                biased;
                result = &mut load => break result,
                signal = next(&mut signals) => {
                    if self.stopped.set(signal).is_err() {
                        process::exit(signal.status.into());
                    }
                    stop.cancel();
                    complain(&format!("stopping after what is under way; a second {} ends at once", signal.name));
                }
            }
        };
        (result, recorder.history())
    }
}

async fn next(signals: &mut Option<Signals>) -> Stop {
    match signals {
        Some(signals) => signals.next().await,
        None => future::pending().await,
    }
}

/// Refuses options about reads where nothing reads, and options about writes where nothing writes.
fn refuse_without_effect(args: &Args) -> Result<(), Failure> {
    let (reads, writes) = (args.reads > 0.0, args.reads < 1.0);
    for (option, is_given, has_effect, why) in [
        ("--read-from", args.read_from != ReadFrom::Any, reads, "no operation reads"),
        ("--read", !args.read.is_local(), reads, "no operation reads"),
        ("--value-size", args.value_size != DEFAULT_VALUE_SIZE, writes, "no operation writes"),
    ] {
        if is_given && !has_effect {
            let share = args.reads;
            return Err(Failure::Usage(format!(
                "{option} has no effect with --reads {share}: {why}; leave one of them out"
            )));
        }
    }
    Ok(())
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if !args.read.is_local() && args.read_from != ReadFrom::Leader {
        return Err(Failure::Usage(format!(
            "--read {}: only the leader answers such reads; add --read-from leader",
            args.read
        )));
    }
    refuse_without_effect(args)?;
    let history = OutputFile::create("--history", args.history.as_deref())?;
    let time = args.duration.or((args.count.is_none()).then_some(Duration::from_secs(10)));
    let plan = LoadPlan {
        clients: args.clients.unwrap_or(if args.rate.is_some() { 256 } else { 10 }),
        rate: args.rate,
        count: args.count,
        time,
        keys: match args.zipf {
            None => KeyDistribution::Uniform(args.keys),
            Some(exponent) => KeyDistribution::zipf(args.keys, exponent),
        },
        tag: args.target.tag("load")?,
        reads: args.reads,
        read_from: args.read_from,
        read_mode: args.read,
        value_size: args.value_size as usize,
        seed: Seed::new(args.target.seed()?),
    };
    say(format_args!("Load on {}, keys {}-…\n", args.target.name(), plan.tag));
    let extent = match (args.count, time) {
        (Some(count), _) => Extent::Count(count, "operations"),
        (None, Some(time)) if !args.target.is_simulated() => Extent::Time(time),
        // Virtual time has another speed.
        (None, _) => Extent::Unknown("operations"),
    };
    let progress = Progress::start("load", extent);
    let stopped = Arc::new(OnceLock::new());
    let task = Load {
        plan,
        is_live: !args.target.is_simulated(),
        wants_history: history.is_some(),
        counter: progress.counter(),
        stopped: Arc::clone(&stopped),
    };
    let done = args.target.run(task);
    drop(progress);
    let (result, recorded) = done?;
    // What was measured is told before a disk can be full.
    say(LoadReport(&result));
    if let Some(file) = history {
        file.write(|out| recorded.write_json_lines(out))?;
    }
    if let Some(signal) = stopped.get() {
        say(format_args!("INCOMPLETE: stopped by {}", signal.name));
        return Ok(ExitCode::from(signal.status));
    }
    Ok(if result.succeeded() == 0 { NO } else { ExitCode::SUCCESS })
}
