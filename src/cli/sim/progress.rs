use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{panic, thread};

use semisync::sim::scenario::Scenario;
use semisync::sim::{Engine, ScenarioRun, SimError, engine};

use crate::cli::progress::{Extent, Progress};

/// Runs the scenario and shows how many of its operations have ended.
pub(super) fn run_with_progress(engine: Engine, scenario: &Scenario) -> Result<ScenarioRun, SimError> {
    const LOOK_EVERY: Duration = Duration::from_millis(100);
    let operations = scenario.workload.operations + scenario.workload.explicit.len();
    let returned = Arc::new(AtomicUsize::new(0));
    let progress = Progress::start("sim", Extent::Count(operations as u64, "operations"));
    let counter = progress.counter();
    thread::scope(|scope| {
        // Nothing is sent: the end of the run closes the channel.
        let (done, is_done) = mpsc::channel::<()>();
        let of_run = Arc::clone(&returned);
        let run = scope.spawn(move || {
            let result = engine::run(engine, scenario, of_run);
            drop(done);
            result
        });
        while is_done.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
            let returned = returned.load(Ordering::Relaxed);
            counter.set(returned as u64);
            // The last operations return long before the store is healed and the run is judged.
            counter.note(if returned < operations { String::new() } else { "healing and judging".into() });
        }
        run.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
    })
}
