//! Many generated scenarios, each with a seed of its own, several at a time.

mod exercise;
mod exercised;
mod judged;
mod retrial;
mod seeds;
mod symptom;
mod windows;
mod workers;

pub use exercise::{Count, Exercise, Missing, Share};
pub use exercised::Exercised;
pub use judged::{ExcusedRuns, Judged, JudgedRuns};
pub use retrial::{Confirmation, Retrial, retry};
pub use seeds::{EmptySeedRange, InvalidShard, SeedRange, Shard};
pub use symptom::Symptom;

use std::any::Any;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::mpsc::UnboundedReceiver;

use super::scenario::{Expect, Scenario};
use super::{Engine, Expectation, Generator, ScenarioRun, SimError, Strategy, engine};
use crate::check::agreement::{self, Contradiction};
use crate::check::latency_law::{self, Level};
use crate::check::{Facts, Finding, Property, Recorded, Verdict};

/// What became of one seed.
#[derive(Debug)]
pub struct SeedReport {
    /// The seed.
    pub seed: u64,
    /// What happened in its run.
    pub exercise: Exercise,
    /// Which properties were judged.
    pub judged: Judged,
    /// The verdicts that find acknowledged data lost.
    pub lost: Vec<Verdict>,
    /// What was run, complete, if something is lost and nothing else is wrong. It expects the first of the losses.
    pub lossy: Option<Scenario>,
    /// What was wrong with it, if anything.
    pub failure: Option<Failure>,
}

/// A seed that did not come out right.
#[derive(Debug)]
pub struct Failure {
    /// What was run, complete: it repeats the failure by itself. Nothing if it could not even be generated.
    pub scenario: Option<Scenario>,
    /// What was wrong.
    pub cause: Cause,
}

/// What was wrong with a run.
#[derive(Debug)]
pub enum Cause {
    /// Properties are violated, the judgements of the run contradict each other, or expectations are not met. Not all are
    /// empty.
    Judged {
        /// The verdicts that find a violation.
        violated: Vec<Verdict>,
        /// Where the history of the clients shows a violation that the trace does not.
        contradictions: Vec<Contradiction>,
        /// The expectations of a scenario file that are not met. Generated scenarios have none.
        unmet: Vec<Expectation>,
    },
    /// The run did not come to its end: a node or the simulator failed.
    Broken(String),
}

impl Failure {
    /// What is wrong, with the evidence.
    pub fn symptoms(&self) -> Vec<(Symptom, Vec<String>)> {
        let (violated, contradictions, unmet) = match &self.cause {
            Cause::Judged { violated, contradictions, unmet } => (violated, contradictions, unmet),
            Cause::Broken(why) => return vec![(Symptom::Broken, vec![why.clone()])],
        };
        let violations = violated.iter().filter_map(|verdict| match &verdict.finding {
            Finding::Violated(evidence) => Some((Symptom::Violation(verdict.property), evidence.clone())),
            _ => None,
        });
        let contradicted = contradictions.iter().map(Contradiction::to_string).collect::<Vec<_>>();
        let contradicted = (!contradicted.is_empty()).then_some((Symptom::Contradiction, contradicted));
        let unmet = unmet.iter().map(|expectation| format!("expected by the file: {expectation}")).collect::<Vec<_>>();
        let unmet = (!unmet.is_empty()).then_some((Symptom::Expectation, unmet));
        violations.chain(contradicted).chain(unmet).collect()
    }
}

/// Why a swarm cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Without determinism no seed means anything.
    #[error(transparent)]
    Simulator(#[from] SimError),
    /// The system gives no more threads.
    #[error("cannot start thread {place} of {jobs}: {error}; fewer jobs need fewer")]
    Thread {
        /// Which one, counted from 1.
        place: usize,
        /// Of how many.
        jobs: NonZeroUsize,
        /// What the system said.
        error: io::Error,
    },
}

/// Runs a generated scenario of each of these seeds, `jobs` at a time. Reports come in the order in which runs end; the
/// channel is closed after the last. No further seed is begun once `stop` is set.
///
/// The latency law is judged at this level, which is to fit the number of all seeds that are looked at together, those of other
/// shards among them: [`Level::of_runs`]. So a swarm of any length is hardly ever accused by chance.
///
/// # Errors
/// [`StartError`]; no seed has been run then.
pub fn run(
    generator: Generator,
    level: Level,
    seeds: impl Iterator<Item = u64> + Send + 'static,
    jobs: NonZeroUsize,
    stop: Arc<AtomicBool>,
) -> Result<UnboundedReceiver<SeedReport>, StartError> {
    generator.strategy.check().map_err(SimError::Impossible)?;
    if generator.engine == Engine::Turmoil {
        engine::require_determinism()?;
    }
    workers::spread(seeds, jobs, stop, move |seed| run_seed(&generator, level, seed))
}

/// Runs one scenario with each of these seeds instead of its own, as [`run`] does with generated ones. Expectations that are
/// not met are failures. Reports have no scenarios, because the scenario and the seed repeat a run.
///
/// # Errors
/// [`StartError`]; no seed has been run then.
pub fn run_scenario(
    scenario: Scenario,
    (engine, strategy): (Engine, Strategy),
    level: Level,
    seeds: impl Iterator<Item = u64> + Send + 'static,
    jobs: NonZeroUsize,
    stop: Arc<AtomicBool>,
) -> Result<UnboundedReceiver<SeedReport>, StartError> {
    strategy.check().map_err(SimError::Impossible)?;
    engine.check(&scenario)?;
    workers::spread(seeds, jobs, stop, move |seed| {
        guarded(seed, |_| {
            let scenario = strategy.schedule(scenario.with_seed(seed))?;
            let mut run = engine::run(engine, &scenario, Arc::default())?;
            judge_latencies(&mut run, level);
            let exercise = Exercise::of(&run);
            Ok((run, exercise))
        })
    })
}

/// Runs the generated scenario of a seed.
fn run_seed(generator: &Generator, level: Level, seed: u64) -> SeedReport {
    guarded(seed, |scenario| {
        let scenario = scenario.insert(generator.scenario(seed));
        if generator.strategy != Strategy::Timed {
            *scenario = generator.strategy.schedule(scenario.clone())?;
        }
        let mut run = engine::run(generator.engine, scenario, Arc::default())?;
        judge_latencies(&mut run, level);
        let exercise = Exercise::of(&run);
        Ok((run, exercise))
    })
}

/// Judges once more whether a run that is found to violate the latency law violates it at this level.
fn judge_latencies(run: &mut ScenarioRun, level: Level) {
    let ScenarioRun { trace, history, states, verdicts, .. } = run;
    let accused = |verdict: &&mut Verdict| verdict.property == Property::LatencyLaw && verdict.is_violated();
    if let Some(verdict) = verdicts.iter_mut().find(accused) {
        let (records, facts) = (trace.records(), Facts::from_records(trace.records()));
        *verdict = latency_law::check_at(&Recorded { records, history, states, facts: facts.as_ref() }, level);
    }
}

/// The report on what is done for a seed, which puts down the scenario once it has one. A report comes of it whatever
/// panics: a seed that is lost without a word would be taken for one that came out right.
fn guarded(
    seed: u64,
    work: impl FnOnce(&mut Option<Scenario>) -> Result<(ScenarioRun, Exercise), SimError>,
) -> SeedReport {
    let mut scenario = None;
    let done = panic::catch_unwind(AssertUnwindSafe(|| work(&mut scenario)));
    let broken = |why: String| (Exercise::default(), Judged::default(), Vec::new(), Some(Cause::Broken(why)));
    let (exercise, judged, lost, cause) = match done {
        Ok(Ok((run, exercise))) => {
            let judged = Judged::of(&run.verdicts);
            let lost = run.verdicts.iter().filter(|verdict| verdict.is_lost()).cloned().collect();
            let contradictions = agreement::contradictions(&run.verdicts, run.trace.records(), &run.history);
            let unmet: Vec<Expectation> = run.expectations().into_iter().filter(|expected| !expected.is_met).collect();
            let violated: Vec<Verdict> = run.verdicts.into_iter().filter(Verdict::is_violated).collect();
            let is_right = violated.is_empty() && contradictions.is_empty() && unmet.is_empty();
            (exercise, judged, lost, (!is_right).then_some(Cause::Judged { violated, contradictions, unmet }))
        }
        Ok(Err(error)) => broken(error.to_string()),
        Err(panic) => broken(format!("panicked: {}", words(&*panic))),
    };
    let first_lost = lost.first().map(|verdict: &Verdict| verdict.property);
    let failure = cause.map(|cause| {
        let mut scenario = scenario.take();
        if let (Some(scenario), Cause::Judged { violated, .. }) = (&mut scenario, &cause) {
            scenario.expect = violated.first().map(|verdict| Expect::violates(verdict.property));
        }
        Failure { scenario, cause }
    });
    let expects_loss = |scenario: Scenario| Some(Scenario { expect: Some(Expect::loses(first_lost?)), ..scenario });
    SeedReport { seed, exercise, judged, lossy: scenario.and_then(expects_loss), lost, failure }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::scenario::RulesSpec;

    fn why(report: SeedReport) -> (u64, bool, String) {
        let failure = report.failure.expect("it failed");
        let Cause::Broken(why) = failure.cause else { panic!("{:?}", failure.cause) };
        (report.seed, failure.scenario.is_some(), why)
    }

    /// Of the latencies of 40 writes about one in a hundred runs strays as far as these do.
    #[test]
    fn what_a_run_strays_by_chance_is_judged_by_the_number_of_runs() {
        let accused = |level| {
            let generator =
                Generator { rules: RulesSpec::SAFE, crashes: false, engine: Engine::Core, strategy: Strategy::Timed };
            let report = run_seed(&generator, level, 38_662);
            report.failure.is_some_and(|failure| {
                failure.symptoms().iter().any(|(symptom, _)| *symptom == Symptom::Violation(Property::LatencyLaw))
            })
        };
        assert_eq!((accused(Level::OF_ONE_RUN), accused(Level::of_runs(100_000))), (true, false));
    }

    /// Wherever a seed panics: in the generator, or when its run is looked at.
    #[test]
    fn a_seed_that_panics_is_reported() {
        let report = guarded(7, |_| panic!("no scenario"));
        assert_eq!(why(report), (7, false, "panicked: no scenario".into()));
        let generator =
            Generator { rules: RulesSpec::SAFE, crashes: false, engine: Engine::Core, strategy: Strategy::Timed };
        let report = guarded(8, |scenario| {
            *scenario = Some(generator.scenario(8));
            panic!("no {}", "exercise")
        });
        assert_eq!(why(report), (8, true, "panicked: no exercise".into()));
    }
}
