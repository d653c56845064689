//! Many generated scenarios, each with a seed of its own, several at a time.

mod exercise;
mod seeds;

pub use exercise::{Count, Exercise, Exercised, Share};
pub use seeds::{SeedRange, Shard};

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::scenario::{Expect, Scenario};
use super::{Generator, SimError, engine};
use crate::check::{Finding, Property, Verdict};

/// What became of one seed.
#[derive(Debug)]
pub struct SeedReport {
    /// The seed.
    pub seed: u64,
    /// What happened in its run.
    pub exercise: Exercise,
    /// What was wrong with it, if anything.
    pub failure: Option<Failure>,
}

/// A seed that did not come out right.
#[derive(Debug)]
pub struct Failure {
    /// What was run, complete: it repeats the failure by itself.
    pub scenario: Scenario,
    /// What was wrong.
    pub cause: Cause,
}

/// What was wrong with a run.
#[derive(Debug)]
pub enum Cause {
    /// Properties are violated; the verdicts on them, never none.
    Violated(Vec<Verdict>),
    /// The run did not come to its end: a node or the simulator failed.
    Broken(String),
}

impl Failure {
    /// The violated properties with their evidence.
    pub fn violations(&self) -> impl Iterator<Item = (Property, &[String])> {
        let verdicts = match &self.cause {
            Cause::Violated(verdicts) => verdicts.as_slice(),
            Cause::Broken(_) => &[],
        };
        verdicts.iter().filter_map(|verdict| match &verdict.finding {
            Finding::Violated(evidence) => Some((verdict.property, evidence.as_slice())),
            _ => None,
        })
    }
}

/// Runs a generated scenario of each of these seeds, `jobs` at a time, each simulation in a thread of its own. Reports
/// come in the order in which runs end; the channel is closed after the last. No further seed is begun once `stop` is set.
///
/// # Errors
/// [`SimError::NotDeterministic`]: without the flag no seed means anything.
pub fn run(
    generator: Generator,
    seeds: impl Iterator<Item = u64> + Send + 'static,
    jobs: usize,
    stop: Arc<AtomicBool>,
) -> Result<UnboundedReceiver<SeedReport>, SimError> {
    engine::require_determinism()?;
    let (reports, receiver) = mpsc::unbounded_channel();
    let seeds = Arc::new(Mutex::new(seeds));
    for _ in 0..jobs {
        let (generator, reports, stop) = (generator.clone(), reports.clone(), Arc::clone(&stop));
        let seeds = Arc::clone(&seeds);
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let next = seeds.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(seed) = next else { break };
                // Whoever does not listen any more wants no more runs.
                if reports.send(run_seed(&generator, seed)).is_err() {
                    break;
                }
            }
        });
    }
    Ok(receiver)
}

/// Runs the generated scenario of a seed.
fn run_seed(generator: &Generator, seed: u64) -> SeedReport {
    let mut scenario = generator.scenario(seed);
    let run = panic::catch_unwind(AssertUnwindSafe(|| engine::run(&scenario, seed, Arc::default())));
    let (exercise, cause) = match run {
        Ok(Ok(run)) => {
            let exercise = Exercise::of(&run);
            let violated: Vec<Verdict> = run.verdicts.into_iter().filter(Verdict::is_violated).collect();
            (exercise, (!violated.is_empty()).then_some(Cause::Violated(violated)))
        }
        Ok(Err(error)) => (Exercise::default(), Some(Cause::Broken(error.to_string()))),
        Err(panic) => (Exercise::default(), Some(Cause::Broken(format!("panicked: {}", words(&*panic))))),
    };
    let failure = cause.map(|cause| {
        if let Cause::Violated(verdicts) = &cause {
            scenario.expect = Some(Expect::Violates(verdicts[0].property));
        }
        Failure { scenario, cause }
    });
    SeedReport { seed, exercise, failure }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}
