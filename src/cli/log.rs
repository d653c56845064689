//! The log of a node: lines on the standard error, which cannot hold the node up.
//!
//! A thread of its own writes them. If the standard error is not read, cannot be written, or is closed, lines are dropped once
//! [`BUFFERED`] of them wait. The next line that is written says how many were, and so does the metric `semisync_log_lines_dropped`.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use semisync::node::LogLoss;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use super::{Failure, environment};

/// How many lines may wait to be written.
const BUFFERED: usize = 4096;

/// How long the end of the process waits for lines that are not written yet.
const FLUSH_PATIENCE: Duration = Duration::from_millis(500);

/// How often it looks meanwhile whether they are.
const FLUSH_LOOKS: u32 = 50;

/// The log, as long as it is written.
pub(super) struct Log {
    guard: WorkerGuard,
    dropped: ErrorCounter,
    told: Arc<AtomicUsize>,
}

/// Begins the log. `RUST_LOG` chooses its lines as usual.
pub(super) fn init() -> Result<Log, Failure> {
    let text = environment("RUST_LOG").filter(|text| !text.is_empty()).unwrap_or_else(|| "info".into());
    let allowed = "must be a level such as info or debug, or a filter of tracing's EnvFilter";
    let filter = EnvFilter::builder().parse(&text);
    let filter = filter.map_err(|error| Failure::Usage(format!("RUST_LOG={text:?}: {error}; {allowed}")))?;
    // Colours are for people; a file or a container's log is searched.
    let colours = io::stderr().is_terminal();
    let counter = Arc::new(OnceLock::new());
    let told = Arc::new(AtomicUsize::new(0));
    let writer = Writer { to: io::stderr(), counter: Arc::clone(&counter), told: Arc::clone(&told) };
    let (lines, guard) = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(BUFFERED).finish(writer);
    let dropped = counter.get_or_init(|| lines.error_counter()).clone();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
    log.with_ansi(colours).with_target(false).log_internal_errors(false).init();
    Ok(Log { guard, dropped, told })
}

impl Log {
    /// How many lines were dropped, for the metrics.
    pub(super) fn loss(&self) -> LogLoss {
        let dropped = self.dropped.clone();
        LogLoss::new(move || dropped.dropped_lines() as u64)
    }

    /// Writes what is not written yet, unless that takes too long.
    #[expect(clippy::disallowed_methods, reason = "the runtime has ended, and nothing else is left to do")]
    pub(super) fn finish(self) {
        // Who writes says so before the next line. While nobody reads it, it does not come to that, and never may.
        let is_stuck = || self.dropped.dropped_lines() > self.told.load(Ordering::Relaxed);
        for _ in 0..FLUSH_LOOKS {
            if is_stuck() {
                std::thread::sleep(FLUSH_PATIENCE / FLUSH_LOOKS);
            }
        }
        if is_stuck() {
            return std::mem::forget(self.guard);
        }
        let (done, finished) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            drop(self.guard);
            drop(done);
        });
        // It ends with an error in either case: the other end is gone, or the time is up.
        let _ = finished.recv_timeout(FLUSH_PATIENCE);
    }
}

/// Writes lines, and says before the next one if some were dropped.
struct Writer<W> {
    to: W,
    counter: Arc<OnceLock<ErrorCounter>>,
    /// How many dropped lines have been told of.
    told: Arc<AtomicUsize>,
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let dropped = self.counter.get().map_or(0, ErrorCounter::dropped_lines);
        let told = self.told.load(Ordering::Relaxed);
        if dropped > told {
            writeln!(self.to, "WARN {} lines of the log were dropped: they were not read fast enough", dropped - told)?;
            self.told.store(dropped, Ordering::Relaxed);
        }
        self.to.write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
