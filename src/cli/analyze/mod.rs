mod compose;
mod files;
mod mode;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgGroup;
use semisync::live::analyze::{Plan, QuorumResult, running_quorum};
use semisync::live::preflight;
use semisync::report::AnalysisReport;

use super::numbers::{seed, whole};
use super::progress::{Extent, Progress};
use super::ranges::parse_delay;
use super::signals::{Signals, Stop};
use super::target::{AddressArgs, fresh_tag, parse_seconds, refuse};
use super::{Failure, NO, complain, runtime, say};
use files::Files;
use mode::Mode;

/// For each quorum: writes by several clients at once, the latencies beside the law that they should follow, and whether
/// the followers end with what was written. Leaves quorum_results.json and pictures, as PNG and SVG.
///
/// Exit status: 0 if all was measured and all followers ended equal, 1 if not, 2 if the arguments make no sense. SIGINT
/// (Ctrl-C), SIGTERM or SIGHUP ends it with status 130, 143 or 129; what was measured by then is kept.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("how").required(true))]
pub(super) struct Args {
    /// Simulate a cluster for each quorum: seconds instead of minutes
    #[cfg(feature = "sim")]
    #[arg(long, group = "how", conflicts_with_all = ["leader", "followers", "timeout"])]
    sim: bool,
    /// Run a cluster of processes on this machine for each quorum
    #[arg(long, group = "how", conflicts_with_all = ["leader", "followers", "timeout"])]
    local: bool,
    /// Have Compose start the leader of the containers anew for each quorum, in the directory of docker-compose.yml
    #[arg(long, group = "how")]
    compose: bool,
    /// Measure a running cluster with the quorum that it has
    #[arg(long, group = "how", conflicts_with = "quorums")]
    fixed: bool,
    #[command(flatten)]
    addresses: AddressArgs,
    /// With --compose: the file, if it is not docker-compose.yml here
    #[arg(long, value_name = "FILE", requires = "compose")]
    compose_file: Option<PathBuf>,
    /// With --sim or --local: how many followers
    #[arg(long, value_name = "N", default_value_t = 5, conflicts_with_all = ["compose", "fixed"], value_parser = whole::<u16>(1..=128))]
    size: u16,
    /// With --sim or --local: from what the delays follow [default: 42, or from the system]
    #[arg(long, value_name = "N", conflicts_with_all = ["compose", "fixed"], value_parser = seed())]
    seed: Option<u64>,
    /// Which quorums, separated by commas [default: from 1 to the number of followers]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = whole::<usize>(1..=128))]
    quorums: Option<Vec<usize>>,
    /// How many writes for each quorum
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = whole::<u32>(1..=1_000_000))]
    writes: u32,
    /// How many clients make them, each one after another
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole::<u16>(1..=1000))]
    clients: u16,
    /// On how many keys
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole::<u32>(1..=1_000_000))]
    keys: u32,
    /// Shortest and longest emulated delay, in ms. With --compose and --fixed: those that the cluster runs with
    #[arg(long, value_name = "MIN..MAX", default_value = "0..1000", value_parser = parse_delay)]
    delay_ms: (u64, u64),
    /// After how many further writes to see how many followers lag; 0 for not at all
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = whole::<u32>(0..=1_000_000))]
    staleness: u32,
    /// Seconds that followers may take to hold what was written
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds)]
    deadline: Duration,
    /// Where to leave the files
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    out: PathBuf,
    /// Replace the files of another analysis in that directory
    #[arg(long)]
    overwrite: bool,
}

impl Args {
    fn mode(&self) -> Mode {
        let (followers, addresses) = (self.size.into(), self.addresses.clone());
        #[cfg(feature = "sim")]
        if self.sim {
            return Mode::Sim { followers, seed: self.seed.unwrap_or(42) };
        }
        if self.local {
            Mode::Local { followers, seed: self.seed }
        } else if self.compose {
            Mode::Compose { file: self.compose_file.clone(), addresses }
        } else {
            Mode::Fixed { addresses }
        }
    }

    /// What begins the keys. A simulation repeats itself.
    fn tag(&self) -> Result<String, Failure> {
        #[cfg(feature = "sim")]
        if self.sim {
            return Ok("analyze".into());
        }
        fresh_tag("analyze")
    }

    fn plan(&self, quorum: usize, tag: &str) -> Plan {
        Plan {
            quorum,
            writes: self.writes as usize,
            clients: self.clients.into(),
            keys: self.keys as usize,
            tag: tag.to_owned(),
            delay: (Duration::from_millis(self.delay_ms.0), Duration::from_millis(self.delay_ms.1)),
            deadline: self.deadline,
            staleness: self.staleness as usize,
        }
    }
}

/// How an analysis ended.
enum Ended {
    Complete,
    Stopped(Stop),
    /// A quorum could not be measured.
    Failed(Failure),
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mode = args.mode();
    if let Some(quorum) = args.quorums.iter().flatten().find(|quorum| !(1..=mode.followers()).contains(quorum)) {
        let followers = mode.followers();
        return Err(Failure::Usage(format!("--quorums {quorum}: must be 1 to {followers}, the number of followers")));
    }
    Files::require_not_among(&args.out, "--compose-file", args.compose_file.as_deref())?;
    let files = Files::prepare(&args.out, args.overwrite)?;
    let mut results = Vec::new();
    let runtime = runtime()?;
    let ended = runtime.block_on(measure_all(args, &mode, &mut results));
    // A simulation that was interrupted goes on in a thread of its own, for nobody.
    runtime.shutdown_background();
    let ended = ended?;
    if !results.is_empty() {
        say(AnalysisReport(&results));
        say(format_args!("Written:\n {}", files.write(&results)?.join("\n ")));
    }
    match ended {
        Ended::Failed(failure) => Err(failure),
        Ended::Stopped(signal) => {
            complain(&format!("stopped by {}; quorums measured by then, and kept: {}", signal.name, results.len()));
            Ok(ExitCode::from(signal.status))
        }
        Ended::Complete => {
            let fine = |result: &QuorumResult| result.consistency.consistent && result.count > 0;
            Ok(if results.iter().all(fine) { ExitCode::SUCCESS } else { NO })
        }
    }
}

/// Measures one quorum after another, until all are done or something ends it.
async fn measure_all(args: &Args, mode: &Mode, results: &mut Vec<QuorumResult>) -> Result<Ended, Failure> {
    let mut signals = Signals::listen()?;
    let tag = args.tag()?;
    let quorums = match (mode, &args.quorums) {
        (Mode::Fixed { addresses }, _) => {
            let cluster = addresses.cluster()?;
            preflight(&cluster).await.map_err(|unfit| refuse(&unfit))?;
            vec![running_quorum(&cluster, &tag).await.map_err(mode::failed)?]
        }
        (_, Some(quorums)) => quorums.clone(),
        (mode, None) => (1..=mode.followers()).collect(),
    };
    // Each quorum has as many writes as the others, if none of them is fruitless.
    let writes = quorums.len() as u64 * u64::from(args.writes + args.staleness);
    let progress = Progress::start("analyze", Extent::Count(writes, "writes"));
    for (place, quorum) in quorums.iter().enumerate() {
        let plan = args.plan(*quorum, &tag);
        let counter = progress.counter();
        counter.set(place as u64 * (plan.writes + plan.staleness) as u64);
        counter.note(format!("quorum {quorum}"));
        let measured = tokio::select! {
            biased;
            signal = signals.next() => return Ok(Ended::Stopped(signal)),
            measured = mode.measure(plan, move || counter.add_one()) => measured,
        };
        match measured {
            Ok(result) => results.push(result),
            Err(failure) => return Ok(Ended::Failed(failure)),
        }
    }
    Ok(Ended::Complete)
}
