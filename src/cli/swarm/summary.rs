use std::process::ExitCode;

use semisync::check::{Excuse, Property};
use semisync::report::{ExcusedRow, ExercisedRow, ExplainHint, FailureRow, JudgedRow, LossRow, SwarmReport};
use semisync::sim::swarm::{ExcusedRuns, Exercised, JudgedRuns, Symptom};

use super::junit::Summary;
use super::tally::{Losses, Tally};
use super::watch::{Ended, Plan};
use crate::cli::{Failure, code_of, say};

/// What was found with many seeds. `kinds` are the things of which it says how often they happened.
pub(in crate::cli) fn report(title: String, kinds: impl Iterator<Item = Exercised>, tally: &Tally) -> SwarmReport<'_> {
    let row = |kind: Exercised| {
        let count = tally.exercise.count(kind);
        let acknowledged = kind.is_fault().then_some(count.acknowledged);
        ExercisedRow { name: kind.to_string(), times: count.times, runs: count.runs, acknowledged }
    };
    let judged = |property: Property| {
        let runs = tally.judged.runs(property);
        let violated = tally.failures.get(property.name()).map_or(0, |failures| failures.seeds);
        let JudgedRuns { judged, counted, lost } = runs;
        JudgedRow { name: property.to_string(), judged, counted, violated, lost }
    };
    let failures = tally.failures.iter().map(|(name, failures)| FailureRow {
        name,
        seeds: failures.seeds,
        named: failures.named.iter().copied().collect(),
        evidence: &failures.evidence,
        again: &failures.again,
        standing: failures.standing(),
    });
    let excused = |(excuse, property, runs): (Excuse, Property, ExcusedRuns)| {
        let ExcusedRuns { cases, runs } = runs;
        ExcusedRow { name: excuse.name(), property: property.to_string(), cases, runs }
    };
    let losses = tally.losses.iter().map(|(name, losses)| {
        let Losses { seeds, first, evidence, again, others, .. } = losses;
        LossRow { name, seeds: *seeds, first: *first, evidence, again, others }
    });
    let (writes, reads) = (tally.exercise.writes, tally.exercise.reads);
    SwarmReport {
        title,
        exercised: kinds.map(row).collect(),
        writes: (writes.count, writes.of),
        reads: (reads.count, reads.of),
        judged: Property::ALL.into_iter().map(judged).collect(),
        excused: tally.judged.excused().map(excused).collect(),
        losses: losses.collect(),
        failed: tally.failed,
        failures: failures.collect(),
    }
}

/// How a signal ended the work, in a sentence; none if no signal did.
pub(in crate::cli) fn stopped(ended: &Ended, plan: &Plan, tally: &Tally) -> Option<String> {
    let signal = ended.signal?;
    let retry = if ended.is_in_retry { ", before all that failed had run once more in turmoil" } else { "" };
    Some(format!("stopped by {} after {} of {} seeds{retry}", signal.name, tally.seeds, plan.count()))
}

/// Prints what stands at the end: that a signal ended the work, what could not be saved, and the command that repeats the
/// first failure.
pub(in crate::cli) fn print_end(summary: &Summary<'_>) {
    if let Some(stopped) = &summary.stopped {
        say(format_args!("INCOMPLETE: {stopped}"));
    }
    summary.tally.complain();
    let found = summary.tally.found();
    if !found.is_empty() {
        say(ExplainHint::new(found));
    }
    if let Some(again) = summary.tally.first_again() {
        say(format_args!("To repeat the first failure:\n{again}"));
    }
}

/// The exit status: what was found decides, then the signal that ended the work.
pub(in crate::cli) fn status(tally: &Tally, ended: &Ended, has_missed: bool) -> ExitCode {
    let fails = [Symptom::Broken, Symptom::Contradiction, Symptom::Expectation].into_iter().any(|it| tally.has(it));
    let violated = tally.violated();
    match (ended.signal, has_missed) {
        _ if fails => ExitCode::from(1),
        _ if !violated.is_empty() => code_of(&violated),
        (Some(signal), _) => ExitCode::from(signal.status),
        (None, true) => ExitCode::from(1),
        (None, false) => ExitCode::SUCCESS,
    }
}

/// A swarm that nobody has stopped must have heard of every seed: one that it did not hear of has not passed.
pub(in crate::cli) fn none_is_lost(reported: u64, expected: u64, stopped: bool) -> Result<(), Failure> {
    if stopped || reported == expected {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "only {reported} of {expected} seeds came to an end; what became of the others is not known"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_that_was_not_heard_of_is_missed() {
        assert!(none_is_lost(7, 7, false).is_ok() && none_is_lost(3, 7, true).is_ok());
        let Err(Failure::Failed(message)) = none_is_lost(6, 7, false) else { panic!("one is lost") };
        assert!(message.starts_with("only 6 of 7 seeds"), "{message}");
    }
}
