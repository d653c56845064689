//! The figures of every kind of result, held against what a reader must find in them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Figure, HEIGHT, WIDTH, latency_distribution, latency_vs_quorum, staleness};
use crate::base::Seed;
use crate::check::latency_law::{LatencyLaw, Level};
use crate::live::analyze::{Consistency, Law, QuorumResult, StalenessPoint};

const BASELINE: f64 = 0.0019;

/// A sample of the law: what `count` writes took, in the order in which they ended.
fn sample(law: &LatencyLaw, quorum: usize, count: usize) -> Vec<f64> {
    let draw = |write: usize| Seed::new(7).draw(&[quorum as u64, write as u64]).between(1, 999_999) as f64 / 1e6;
    (0..count).map(|write| law.quantile(draw(write)) + BASELINE).collect()
}

/// A result whose statistics are those of the latencies, as the analysis makes it.
fn result(quorum: usize, latencies: Vec<f64>) -> QuorumResult {
    let mut sorted = latencies.clone();
    sorted.sort_by(f64::total_cmp);
    let quantile = |p: f64| sorted.get((p * sorted.len() as f64) as usize).copied().unwrap_or(0.0);
    let count = latencies.len();
    QuorumResult {
        quorum,
        total_time: latencies.iter().sum(),
        avg_latency: if count == 0 { 0.0 } else { latencies.iter().sum::<f64>() / count as f64 },
        median: quantile(0.5),
        stdev: 0.0,
        p95: quantile(0.95),
        p99: quantile(0.99),
        count,
        failed: BTreeMap::new(),
        latencies,
        consistency: Consistency { consistent: true, inconsistent_followers: Vec::new() },
        law: None,
        staleness: Vec::new(),
    }
}

/// A result that obeys the law.
fn lawful(quorum: usize, followers: usize, count: usize, delays: (Duration, Duration)) -> QuorumResult {
    let law = LatencyLaw::new(quorum, followers, delays.0, delays.1).unwrap();
    let mut result = result(quorum, sample(&law, quorum, count));
    result.law = Some(Law {
        followers,
        min_delay: delays.0.as_secs_f64(),
        max_delay: delays.1.as_secs_f64(),
        mean: law.mean(),
        mean_tolerance: law.mean_tolerance(count, Level::OF_ONE_RUN),
        median: law.quantile(0.5),
        stdev: law.standard_deviation(),
        p95: law.quantile(0.95),
        p99: law.quantile(0.99),
        mean_within: true,
        baseline: BASELINE,
    });
    let longest = (delays.1 - delays.0).as_secs_f64();
    let point = |index: u32| {
        let after = longest * f64::from(index) / 12.0;
        let share = law.staleness(after);
        let noise = Seed::new(11).draw(&[quorum as u64, index.into()]).between(0, 1000) as f64 / 1e3 - 0.5;
        let measured = (share + 0.04 * noise).clamp(0.0, 1.0);
        StalenessPoint { after, measured, law: Some(share), reads: 500 }
    };
    result.staleness = (0..=12).map(point).collect();
    result
}

const SECOND: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(1));

fn five() -> Vec<QuorumResult> {
    (1..=5).map(|quorum| lawful(quorum, 5, 200, SECOND)).collect()
}

/// What can be read in a figure, after its SVG was found well-formed and its PNG of the right size.
fn text(figure: &Figure) -> String {
    let svg = roxmltree::Document::parse(&figure.svg).unwrap();
    assert_eq!(svg.root_element().attribute("width"), Some(WIDTH.to_string().as_str()));
    let mut reader = png::Decoder::new(std::io::Cursor::new(&figure.png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (WIDTH, HEIGHT));
    let texts = svg.descendants().filter(|node| node.has_tag_name("text")).filter_map(|node| node.text());
    texts.map(str::trim).collect::<Vec<_>>().join("\n")
}

#[test]
fn latency_against_quorum_is_named_measured_fitted_and_held_against_the_law() {
    let text = text(&latency_vs_quorum(&five()).unwrap());
    for wanted in [
        "200 acknowledged writes per quorum, 5 followers, delays from 0 to 1000 ms",
        "write quorum k (followers that confirm a write)",
        "write latency (ms)",
        "mean: 161.6 ms × k + 17.8 ms, R² = 0.9998",
        "median: 183.1 ms × k − 40.9 ms, R² = 0.9991",
        "law: 99.9 % of measured means",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!((1..=5).all(|quorum| text.lines().any(|line| line == quorum.to_string())), "{text}");
}

#[test]
fn a_distribution_is_held_against_the_law() {
    let delays = (Duration::ZERO, Duration::from_secs(1));
    // The law is uniform, and the share jumps from 0 to 0.5 at 0.1 s and from 0.5 to 1 at 0.6 s.
    let law = Law { baseline: 0.0, ..lawful(1, 1, 2, delays).law.unwrap() };
    let text =
        text(&latency_distribution(&QuorumResult { law: Some(law), ..result(1, vec![0.6, 0.1]) }).unwrap().unwrap());
    for wanted in [
        "Distribution of write latency, quorum 1 of 1",
        "write latency (ms)",
        "share of acknowledged writes",
        "law: Beta(1, 1), baseline 0.000 ms",
        "median 600.0 ms (law: 500.0 ms)",
        "Kolmogorov–Smirnov distance 0.400",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}

#[test]
fn staleness_is_drawn_for_each_quorum() {
    let text = text(&staleness(&five()).unwrap().unwrap());
    for wanted in [
        "points: 500 reads each, lines: law; 5 followers, delays from 0 to 1000 ms",
        "time since the acknowledgement (ms)",
        "share of followers that lag",
        "k = 1",
        "k = 5",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}

#[test]
fn one_quorum_has_no_line() {
    for (quorum, followers) in [(3, 5), (1, 1)] {
        let result = lawful(quorum, followers, 200, SECOND);
        let text = text(&latency_vs_quorum(std::slice::from_ref(&result)).unwrap());
        assert!(text.contains("mean: ") && text.contains("law: 99.9 %") && !text.contains("R²"), "{text}");
        assert!(latency_distribution(&result).unwrap().is_some());
        assert!(staleness(&[result]).unwrap().is_some());
    }
}

#[test]
fn what_was_not_measured_is_not_drawn() {
    let nothing = QuorumResult { staleness: Vec::new(), ..lawful(2, 5, 0, SECOND) };
    assert!(nothing.law.as_ref().unwrap().mean_tolerance.is_infinite());
    let text_of_nothing = text(&latency_vs_quorum(std::slice::from_ref(&nothing)).unwrap());
    assert!(text_of_nothing.contains("law: expected mean") && !text_of_nothing.contains("99.9 %"), "{text_of_nothing}");
    assert!(!text(&latency_vs_quorum(&[]).unwrap()).contains("law"));
    assert_eq!(latency_distribution(&nothing).unwrap(), None);
    assert_eq!(staleness(&[nothing]).unwrap(), None);
    assert_eq!(staleness(&[]).unwrap(), None);
}

#[test]
fn without_a_law_the_measurement_stands_alone() {
    let results: Vec<_> = five().into_iter().map(|result| QuorumResult { law: None, ..result }).collect();
    for figure in [
        latency_vs_quorum(&results).unwrap(),
        latency_distribution(&results[2]).unwrap().unwrap(),
        staleness(&results).unwrap().unwrap(),
    ] {
        let text = text(&figure);
        assert!(!text.contains("law") && !text.contains("followers,"), "{text}");
    }
}

#[test]
fn equal_latencies_have_a_level_line() {
    for latency in [0.0, 0.05] {
        let results: Vec<_> = (1..=3).map(|quorum| result(quorum, vec![latency; 9])).collect();
        assert!(text(&latency_vs_quorum(&results).unwrap()).contains("R² = 1.0000"));
        assert!(text(&latency_distribution(&results[0]).unwrap().unwrap()).contains("median"));
    }
}

#[test]
fn times_are_shown_in_a_unit_that_fits_them() {
    for (longest, unit) in [(2e-4, "(µs)"), (0.2, "(ms)"), (200.0, "(s)")] {
        let results: Vec<_> = (1..=3).map(|quorum| result(quorum, vec![longest * quorum as f64 / 3.0; 2])).collect();
        assert!(text(&latency_vs_quorum(&results).unwrap()).contains(unit));
        assert!(text(&latency_distribution(&results[1]).unwrap().unwrap()).contains(unit));
    }
}

#[test]
fn a_hundred_quorums_leave_room_for_the_data() {
    let results: Vec<_> = (1..=100).map(|quorum| lawful(quorum, 100, 2, SECOND)).collect();
    assert!(text(&latency_vs_quorum(&results).unwrap()).contains("\n100\n"));
    let staleness = text(&staleness(&results).unwrap().unwrap());
    assert_eq!(staleness.matches("k = ").count(), 25, "{staleness}");
}

/// The same results give the same bytes.
#[test]
fn a_figure_is_a_function_of_the_results() {
    assert_eq!(latency_vs_quorum(&five()).unwrap(), latency_vs_quorum(&five()).unwrap());
}
