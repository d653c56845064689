use std::num::NonZeroUsize;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use semisync::check::latency_law::Level;
use semisync::sim::Generator;
use semisync::sim::swarm::{self, SeedRange, Shard, StartError};
use tokio::signal::ctrl_c;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::order::InOrder;
use super::progress::Progress;
use super::tally::Tally;
use super::{Args, Failure, INTERRUPTED};

/// Collects what the runs report until all have ended, or it is time to stop, and has real nodes confirm what was found
/// without them. True if Ctrl-C ended it.
pub(super) async fn watch(
    args: &Args,
    all: SeedRange,
    generator: Generator,
    stop: &Arc<AtomicBool>,
    tally: &mut Tally,
) -> Result<bool, Failure> {
    let jobs = args.jobs.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    // More would have nothing to do.
    let share = usize::try_from(all.share(args.shard)).ok().and_then(NonZeroUsize::new);
    let jobs = share.map_or(jobs, |share| jobs.min(share));
    let level = Level::of_runs(all.share(Shard::WHOLE));
    let mut reports =
        swarm::run(generator, level, all.of_shard(args.shard), jobs, Arc::clone(stop)).map_err(cannot_start)?;
    let mut watcher = Watcher::new(args, all, stop);
    let mut in_order = InOrder::new(all.of_shard(args.shard));
    let is_enough = |tally: &Tally| args.max_failures.is_some_and(|most| tally.failed >= most.get() as u64);
    let take = |tally: &mut Tally, report| {
        in_order.put(report);
        // What ran meanwhile, and by how many there were at a time, makes no difference.
        while let Some(report) = if is_enough(tally) { None } else { in_order.take() } {
            tally.add(report);
        }
        if is_enough(tally) {
            stop.store(true, Ordering::Relaxed);
        }
    };
    watcher.collect(&mut reports, tally, take).await;
    if !is_enough(tally) {
        in_order.rest().for_each(|report| tally.add(report));
    }
    let scenarios = tally.to_retry();
    if !watcher.interrupted && !scenarios.is_empty() {
        watcher.progress.say(&format!("running {} that failed once more, with real nodes in turmoil", scenarios.len()));
        // Whatever has stopped the swarm, such as its time, stops it before this.
        watcher.stop = Arc::default();
        watcher.deadline = None;
        let mut retrials = swarm::retry(scenarios, jobs, Arc::clone(&watcher.stop)).map_err(cannot_start)?;
        watcher.collect(&mut retrials, tally, |tally, (seed, retrial)| tally.retried(seed, &retrial)).await;
    }
    watcher.progress.bar.finish_and_clear();
    Ok(watcher.interrupted)
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
    interrupted: bool,
    began: Instant,
    deadline: Option<Instant>,
    progress: Progress,
    lines: Interval,
}

impl Watcher {
    fn new(args: &Args, all: SeedRange, stop: &Arc<AtomicBool>) -> Self {
        const LINE_EVERY: Duration = Duration::from_secs(10);
        let began = Instant::now();
        let mut lines = interval(LINE_EVERY);
        lines.set_missed_tick_behavior(MissedTickBehavior::Skip);
        lines.reset();
        let (stop, progress) = (Arc::clone(stop), Progress::new(args, all));
        Self { stop, interrupted: false, began, deadline: args.time.map(|time| began + time), progress, lines }
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
                Ok(()) = ctrl_c() => self.interrupt(),
                () = sleep_until(self.deadline.unwrap_or(self.began)), if self.deadline.is_some() => {
                    self.deadline = None;
                    self.stop.store(true, Ordering::Relaxed);
                }
                _ = self.lines.tick(), if self.progress.bar.is_hidden() => {
                    self.progress.line(tally, self.began.elapsed());
                }
                count = reports.recv_many(&mut batch, MOST_AT_ONCE) => {
                    if count == 0 {
                        return;
                    }
                    batch.drain(..).for_each(|report| take(tally, report));
                    self.progress.show(tally, self.began.elapsed());
                }
            }
        }
    }

    /// The first Ctrl-C lets end what is under way, the second nothing.
    fn interrupt(&mut self) {
        if self.interrupted {
            process::exit(INTERRUPTED.into());
        }
        self.interrupted = true;
        self.stop.store(true, Ordering::Relaxed);
        self.progress.say("stopping after the runs that are under way; Ctrl-C again to end at once");
    }
}
