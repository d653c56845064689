use std::num::NonZeroUsize;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use semisync::check::latency_law::Level;
use semisync::sim::scenario::Scenario;
use semisync::sim::swarm::{self, SeedRange, SeedReport, Shard, StartError};
use semisync::sim::{Engine, Generator, Strategy};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};

use super::order::InOrder;
use super::tally::Tally;
use crate::cli::Failure;
use crate::cli::progress::{Extent, Progress};
use crate::cli::signals::{Signals, Stop};

/// What is run with each seed.
pub(in crate::cli) enum Source {
    /// A scenario that is generated from the seed.
    Generated(Generator),
    /// This scenario.
    File(Box<Scenario>, Engine, Strategy),
}

/// Which seeds are run, and when to begin no further one.
pub(in crate::cli) struct Plan {
    /// The name of the command, for the progress.
    pub(in crate::cli) name: &'static str,
    pub(in crate::cli) seeds: SeedRange,
    pub(in crate::cli) shard: Shard,
    /// The number of runs at a time; one for each core if it is not given.
    pub(in crate::cli) jobs: Option<NonZeroUsize>,
    /// After this time.
    pub(in crate::cli) time: Option<Duration>,
    /// After this number of seeds that failed.
    pub(in crate::cli) max_failures: Option<NonZeroUsize>,
}

impl Plan {
    /// The number of seeds, unless a signal or a limit ends the work before.
    pub(in crate::cli) fn count(&self) -> u64 {
        self.seeds.share(self.shard)
    }

    /// What the progress is measured by: the time if the seeds do not end.
    fn extent(&self) -> Extent {
        match self.time {
            Some(time) if self.seeds == SeedRange::ALL => Extent::Time(time),
            _ => Extent::Count(self.count(), "seeds"),
        }
    }

    fn start(
        &self,
        source: Source,
        jobs: NonZeroUsize,
        stop: &Arc<AtomicBool>,
    ) -> Result<UnboundedReceiver<SeedReport>, StartError> {
        let level = Level::of_runs(self.seeds.share(Shard::WHOLE));
        let (seeds, stop) = (self.seeds.of_shard(self.shard), Arc::clone(stop));
        match source {
            Source::Generated(generator) => swarm::run(generator, level, seeds, jobs, stop),
            Source::File(scenario, engine, strategy) => {
                swarm::run_scenario(*scenario, (engine, strategy), level, seeds, jobs, stop)
            }
        }
    }
}

/// How the work ended.
pub(in crate::cli) struct Ended {
    /// Whether some seeds were not begun.
    pub(in crate::cli) is_cut_short: bool,
    /// The signal that ended it, if one did.
    pub(in crate::cli) signal: Option<Stop>,
    /// Whether it came while real nodes ran once more what had failed.
    pub(in crate::cli) is_in_retry: bool,
}

/// Collects what the runs report until all have ended, or it is time to stop, and has real nodes confirm what was found
/// without them.
pub(in crate::cli) async fn watch(plan: &Plan, source: Source, tally: &mut Tally) -> Result<Ended, Failure> {
    let jobs = plan.jobs.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    // More would have nothing to do.
    let share = usize::try_from(plan.count()).ok().and_then(NonZeroUsize::new);
    let jobs = share.map_or(jobs, |share| jobs.min(share));
    let stop = Arc::new(AtomicBool::new(false));
    let mut watcher = Watcher::new(plan, &stop)?;
    let mut reports = plan.start(source, jobs, &stop).map_err(cannot_start)?;
    let counter = watcher.progress.counter();
    let mut in_order = InOrder::new(plan.seeds.of_shard(plan.shard));
    let is_enough = |tally: &Tally| plan.max_failures.is_some_and(|most| tally.failed >= most.get() as u64);
    let take = |tally: &mut Tally, report| {
        in_order.put(report);
        // What ran meanwhile, and by how many there were at a time, makes no difference.
        while let Some(report) = if is_enough(tally) { None } else { in_order.take() } {
            tally.add(report);
        }
        if is_enough(tally) {
            stop.store(true, Ordering::Relaxed);
        }
        counter.set(tally.seeds);
        counter.note(format!("{} failed", tally.failed));
    };
    watcher.collect(&mut reports, tally, take).await;
    if !is_enough(tally) {
        in_order.rest().for_each(|report| tally.add(report));
    }
    let is_cut_short = stop.load(Ordering::Relaxed);
    let scenarios = tally.to_retry();
    let retries = watcher.signal.is_none() && !scenarios.is_empty();
    if retries {
        watcher.say(&format!("running {} that failed once more, with real nodes in turmoil", scenarios.len()));
        let extent = Extent::Count(scenarios.len() as u64, "runs in turmoil");
        watcher.progress = Progress::start(plan.name, extent);
        // Whatever has stopped the swarm, such as its time, stops it before this.
        watcher.stop = Arc::default();
        watcher.deadline = None;
        let mut retrials = swarm::retry(scenarios, jobs, Arc::clone(&watcher.stop)).map_err(cannot_start)?;
        let counter = watcher.progress.counter();
        let take = |tally: &mut Tally, (seed, retrial)| {
            tally.retried(seed, &retrial);
            counter.add_one();
        };
        watcher.collect(&mut retrials, tally, take).await;
    }
    Ok(Ended { is_cut_short, signal: watcher.signal, is_in_retry: retries && watcher.signal.is_some() })
}

fn cannot_start(error: StartError) -> Failure {
    match error {
        StartError::Simulator(error) => Failure::usage(error),
        StartError::Thread { .. } => Failure::Failed(error.to_string()),
    }
}

/// Listens for reports, and for reasons to stop.
struct Watcher {
    stop: Arc<AtomicBool>,
    signals: Signals,
    signal: Option<Stop>,
    began: Instant,
    deadline: Option<Instant>,
    progress: Progress,
}

impl Watcher {
    fn new(plan: &Plan, stop: &Arc<AtomicBool>) -> Result<Self, Failure> {
        let (signals, began, stop) = (Signals::listen_for_stop()?, Instant::now(), Arc::clone(stop));
        let progress = Progress::start(plan.name, plan.extent());
        Ok(Self { stop, signals, signal: None, began, deadline: plan.time.map(|time| began + time), progress })
    }

    /// Takes what comes until nothing more does.
    async fn collect<T>(
        &mut self,
        reports: &mut UnboundedReceiver<T>,
        tally: &mut Tally,
        mut take: impl FnMut(&mut Tally, T),
    ) {
        const MOST_AT_ONCE: usize = 256;
        let mut batch = Vec::with_capacity(MOST_AT_ONCE);
        loop {
            tokio::select! {
                biased;
                signal = self.signals.next() => self.end_by(signal),
                () = sleep_until(self.deadline.unwrap_or(self.began)), if self.deadline.is_some() => {
                    self.deadline = None;
                    self.stop.store(true, Ordering::Relaxed);
                }
                count = reports.recv_many(&mut batch, MOST_AT_ONCE) => {
                    if count == 0 {
                        return;
                    }
                    batch.drain(..).for_each(|report| take(tally, report));
                }
            }
        }
    }

    /// The first signal lets end what is under way, the second nothing.
    fn end_by(&mut self, signal: Stop) {
        if self.signal.is_some() {
            process::exit(signal.status.into());
        }
        self.signal = Some(signal);
        self.stop.store(true, Ordering::Relaxed);
        self.say(&format!("stopping after the runs that are under way; a second {} ends at once", signal.name));
    }

    fn say(&self, text: &str) {
        self.progress.suspend(|| eprintln!("{text}"));
    }
}
