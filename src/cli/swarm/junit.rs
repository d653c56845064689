use std::io::{self, Write};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use semisync::check::Property;
use semisync::sim::swarm::{JudgedRuns, Missing, Symptom};

use super::in_words;
use super::tally::{Failures, Tally};

/// What a summary is about.
pub(in crate::cli) struct Summary<'a> {
    /// The name of the command.
    pub(in crate::cli) name: &'static str,
    /// What was found.
    pub(in crate::cli) tally: &'a Tally,
    /// What never happened; none for a scenario file, which need not try everything. Its expectations are judged instead.
    pub(in crate::cli) missing: Option<&'a [Missing]>,
    /// How a signal ended the work, if one did.
    pub(in crate::cli) stopped: Option<String>,
}

/// Writes the summary: a test case for each property, for the agreement of the two judgements, for the runs' coming to
/// their ends, and for having tried everything or, of a scenario file, for its expectations;
/// as many however many seeds there were. What was never judged has not passed: it is skipped, and says why.
pub(in crate::cli) fn write(out: &mut dyn Write, summary: &Summary<'_>) -> io::Result<()> {
    let Summary { name, tally, missing, stopped } = summary;
    let mut suite = TestSuite::new(format!("semisync {name}"));
    if let Some(stopped) = stopped {
        suite.add_property(("incomplete", stopped.as_str()));
    }
    let case = |of: &str, status| {
        let mut case = TestCase::new(of, status);
        case.set_classname(format!("semisync.{name}"));
        case
    };
    let properties = Property::ALL.into_iter().map(|property| {
        let status = tally.failures.get(property.name()).map(failed);
        let runs = tally.judged.runs(property);
        let mut case = case(property.name(), status.unwrap_or_else(|| unless_judged(runs, tally.seeds)));
        case.add_property(("lost in runs", runs.lost.to_string().as_str()));
        for (excuse, _, excused) in tally.judged.excused().filter(|(_, by, _)| *by == property) {
            let cases = format!("{} cases in {} runs", excused.cases, excused.runs);
            case.add_property((format!("excused: {excuse}").as_str(), cases.as_str()));
        }
        case
    });
    suite.add_test_cases(properties);
    let expectation = missing.is_none().then_some(Symptom::Expectation);
    for symptom in [Symptom::Contradiction, Symptom::Broken].into_iter().chain(expectation) {
        let status = tally.failures.get(symptom.name()).map(failed);
        suite.add_test_case(case(symptom.name(), status.unwrap_or_else(TestCaseStatus::success)));
    }
    if let Some(missing) = missing {
        suite.add_test_case(case("exercised", exercised(tally.seeds, missing)));
    }
    let mut report = Report::new(format!("semisync {name} of {} seeds", tally.seeds));
    report.add_test_suite(suite);
    report.serialize(out).map_err(io::Error::other)
}

/// The lowest seed speaks for the others, and some of those are named.
fn failed(failures: &Failures) -> TestCaseStatus {
    let Failures { seeds, named, first, evidence, again, .. } = failures;
    let standing = failures.standing();
    let what = evidence.first().map(String::as_str).unwrap_or_default();
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    let told = standing.as_ref().map(|standing| format!("{standing}; ")).unwrap_or_default();
    status.set_message(format!("seed {first}: {what} ({told}to repeat it: {again})"));
    let names: Vec<String> = named.iter().map(u64::to_string).collect();
    let more = if *seeds > named.len() as u64 { ", …" } else { "" };
    let lines = evidence.iter().cloned().chain(standing);
    let lines = lines.chain([format!("to repeat it: {again}"), format!("{seeds} failed: {}{more}", names.join(", "))]);
    status.set_description(lines.collect::<Vec<_>>().join("\n"));
    status
}

/// What is to be said of a property that nothing was found against.
fn unless_judged(runs: JudgedRuns, seeds: u64) -> TestCaseStatus {
    match runs {
        JudgedRuns { judged: 0, counted: 0, .. } => {
            skipped(format!("judged in none of {seeds} runs: it applied to none"))
        }
        JudgedRuns { judged: 0, counted, .. } => {
            skipped(format!("judged in none of {seeds} runs: it is counted only, in {counted}"))
        }
        _ => TestCaseStatus::success(),
    }
}

fn exercised(seeds: u64, missing: &[Missing]) -> TestCaseStatus {
    let (by_chance, failed): (Vec<&Missing>, Vec<&Missing>) =
        missing.iter().partition(|missing| seeds < missing.enough_seeds);
    if !failed.is_empty() {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(format!("never happened: {}", in_words(&failed)));
        return status;
    }
    match by_chance.iter().map(|missing| missing.enough_seeds).max() {
        None => TestCaseStatus::success(),
        Some(enough) => skipped(format!(
            "too few seeds to tell, {seeds} and not {enough}; never happened: {}",
            in_words(&by_chance)
        )),
    }
}

fn skipped(why: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(why);
    status
}
