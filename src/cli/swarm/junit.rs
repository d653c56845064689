use std::io::{self, Write};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use semisync::check::Property;
use semisync::report::FailedSeed;

/// Writes the summary: a test case for each property, for the runs' coming to their ends, and for having tried everything;
/// as many however many seeds there were. A failed one names its seeds.
pub(super) fn write(out: &mut dyn Write, failures: &[FailedSeed], seeds: u64, missing: &[String]) -> io::Result<()> {
    let mut suite = TestSuite::new("semisync swarm");
    let names = Property::ALL.map(Property::name).into_iter().chain(["broken"]);
    suite.add_test_cases(names.map(|name| case(name, &of_name(name, failures))));
    let exercised: Vec<String> = missing.iter().map(|what| format!("{what} never happened")).collect();
    suite.add_test_case(case("exercised", &exercised));
    let mut report = Report::new(format!("semisync swarm of {seeds} seeds"));
    report.add_test_suite(suite);
    report.serialize(out).map_err(io::Error::other)
}

/// What is wrong with the runs under this name, a line for each.
fn of_name(name: &str, failures: &[FailedSeed]) -> Vec<String> {
    let lines = failures.iter().flat_map(|failure| {
        let wrong = failure.wrong.iter().filter(move |(wrong, _)| wrong == name);
        wrong.map(|(_, evidence)| {
            let first = evidence.first().map(String::as_str).unwrap_or_default();
            format!("seed {}: {first} (to repeat it: {})", failure.seed, failure.again)
        })
    });
    lines.collect()
}

fn case(name: &str, wrong: &[String]) -> TestCase {
    let status = match wrong {
        [] => TestCaseStatus::success(),
        [first, ..] => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(first).set_description(wrong.join("\n"));
            status
        }
    };
    let mut case = TestCase::new(name, status);
    case.set_classname("semisync.swarm");
    case
}
