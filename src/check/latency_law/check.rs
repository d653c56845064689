use std::collections::BTreeMap;
use std::time::Duration;

use super::{LatencyLaw, Level};
use crate::base::trace::{Event, Micros, Record};
use crate::check::evidence::{count, not_applicable};
use crate::check::prepared::Prepared;
use crate::check::{Facts, Property, Recorded, Verdict};

/// What a message may wait besides its delay, for the request under way to be answered, so that batches form.
const BATCHING: Duration = Duration::from_millis(5);
/// Fewer writes do not show a distribution.
const FEWEST: usize = 30;

/// Checks a run against the law: the latencies of the acknowledged writes as the leader saw them, from acceptance to
/// completion, less what they take without any delay.
///
/// 1. Their mean is within [`LatencyLaw::mean_tolerance`] of the law's.
/// 2. The Kolmogorov–Smirnov distance between their distribution and the law's is below its critical value.
///
/// Without delay a write takes a round trip on a connection that is there: two link latencies, and up to 1 ms for ticks.
/// On the late side both are lenient by 5 ms for batching and two link latencies for a new connection; on the early side
/// by the 1 ms that the ticks may not have taken. Exact latencies pass either test with a probability of 99.9 %; many runs
/// are judged at a level that fits their number, see [`check_at`].
///
/// It applies to runs without faults and with room for every message, of at least 30 acknowledged writes whose timeout is above every delay.
///
/// O(n log n), times the number of followers.
pub fn check(run: &Recorded<'_>) -> Verdict {
    check_at(run, Level::OF_ONE_RUN)
}

/// Checks a run at this level of significance for each of the two tests.
pub fn check_at(run: &Recorded<'_>, level: Level) -> Verdict {
    judge_at(&Prepared::of(run), level)
}

pub(in crate::check) fn judge(prepared: &Prepared<'_>) -> Verdict {
    judge_at(prepared, Level::OF_ONE_RUN)
}

fn judge_at(prepared: &Prepared<'_>, level: Level) -> Verdict {
    let run = &prepared.run;
    let Some(facts) = run.facts else {
        return not_applicable(Property::LatencyLaw, "a history does not say how messages are delayed; a trace does");
    };
    match sample(prepared, facts) {
        Err(why) => not_applicable(Property::LatencyLaw, why),
        Ok((law, latencies)) => hold_against(facts, &law, &latencies, level),
    }
}

/// By how much latencies may lie above the law.
fn allowance(facts: &Facts) -> Duration {
    BATCHING + 2 * facts.link_latency
}

/// What ticks add to a latency, at the most.
const ROUNDING: Duration = Duration::from_millis(1);

/// The law of a run and its latencies in seconds, in order, less the baseline; or why there are none.
fn sample(prepared: &Prepared<'_>, facts: &Facts) -> Result<(LatencyLaw, Vec<f64>), String> {
    if facts.faulty {
        return Err("it holds without faults only, and the run had some".into());
    }
    let (min, max) = facts.delay;
    let law = LatencyLaw::new(facts.write_quorum, facts.followers, min, max).ok_or_else(|| {
        let (quorum, followers) = (facts.write_quorum, count(facts.followers, "follower"));
        format!("there is no chance in a quorum of {quorum} of {followers} with delays from {min:?} to {max:?}")
    })?;
    if prepared.window_was_full(facts) {
        return Err("a follower had as many messages under way as it may, so that writes waited for resends".into());
    }
    let baseline = baseline(facts);
    if facts.repl_timeout < max + baseline + allowance(facts) {
        return Err(format!("the timeout, {:?}, cuts off delays of up to {max:?}", facts.repl_timeout));
    }
    let records = prepared.deeds().map(|(_, record)| record);
    let mut latencies: Vec<f64> = of_records(records).iter().map(|latency| latency - baseline.as_secs_f64()).collect();
    if latencies.len() < FEWEST {
        let writes = count(latencies.len(), "acknowledged write");
        return Err(format!("{writes} cannot show a distribution; it takes {FEWEST}"));
    }
    latencies.sort_by(f64::total_cmp);
    Ok((law, latencies))
}

/// What a write takes without any delay: a link there and back, and the rounding of times.
fn baseline(facts: &Facts) -> Duration {
    2 * facts.link_latency + ROUNDING
}

/// The latencies of the acknowledged writes as the leader saw them, from acceptance to completion, in seconds.
pub fn latencies(records: &[Record]) -> Vec<f64> {
    of_records(records)
}

fn of_records<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<f64> {
    let mut accepted: BTreeMap<(u64, u64), Micros> = BTreeMap::new();
    let mut latencies = Vec::new();
    for record in records {
        match record.event {
            Event::Accept { write, .. } => drop(accepted.insert((record.incarnation, write), record.at)),
            Event::Complete { write, ok: true, .. } => {
                let accepted = accepted.remove(&(record.incarnation, write));
                latencies.extend(accepted.map(|accepted| record.at.0.saturating_sub(accepted.0) as f64 / 1e6));
            }
            _ => {}
        }
    }
    latencies
}

fn hold_against(facts: &Facts, law: &LatencyLaw, latencies: &[f64], level: Level) -> Verdict {
    let n = latencies.len();
    let (late, early) = (allowance(facts).as_secs_f64(), ROUNDING.as_secs_f64());
    let mean = latencies.iter().sum::<f64>() / n as f64;
    let tolerance = law.mean_tolerance(n, level);
    let mut evidence = Vec::new();
    if mean > law.mean() + tolerance + late || mean < law.mean() - tolerance - early {
        evidence.push(format!(
            "the mean latency of {n} acknowledged writes is {} ms above what they take without delay, where the law says {} \
             ms ± {} ms",
            ms(mean),
            ms(law.mean()),
            ms(tolerance)
        ));
    }
    let (distance, at) = distance(law, latencies, late, early);
    let critical = level.critical_distance(n);
    if distance >= critical {
        evidence.push(format!(
            "the latencies of {n} acknowledged writes are not distributed as the law says: at {} ms above what they take \
             without delay the two are {:.1} % apart, and {:.1} % is the limit",
            ms(at),
            distance * 100.0,
            critical * 100.0
        ));
    }
    Verdict::unless(Property::LatencyLaw, evidence, || {
        format!(
            "{n} writes, less {} ms for links: the mean is {} ms {} the law's, {} ms allowed; {:.1} % apart, {:.1} % allowed",
            ms(baseline(facts).as_secs_f64()),
            ms((mean - law.mean()).abs()),
            if mean < law.mean() { "below" } else { "above" },
            ms(tolerance),
            distance * 100.0,
            critical * 100.0
        )
    })
}

/// The Kolmogorov–Smirnov distance of the latencies, in order, from the law, and where it is reached. Latencies may be up
/// to `late` above the law and `early` below it.
fn distance(law: &LatencyLaw, latencies: &[f64], late: f64, early: f64) -> (f64, f64) {
    let n = latencies.len() as f64;
    let mut greatest = (0.0, 0.0);
    for (place, latency) in latencies.iter().enumerate() {
        let too_many_below = (place + 1) as f64 / n - law.cdf(latency + early);
        let too_few_below = law.cdf(latency - late) - place as f64 / n;
        for distance in [too_many_below, too_few_below] {
            if distance > greatest.0 {
                greatest = (distance, *latency);
            }
        }
    }
    greatest
}

/// Seconds as milliseconds.
fn ms(seconds: f64) -> String {
    format!("{:.1}", seconds * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::Story;
    use crate::check::{Finding, Property};

    /// Writes one after another; their latencies are the quantiles of the law with these parameters, and a shift.
    fn story(writes: u64, law: &LatencyLaw, shift_ms: f64) -> Story {
        let mut story = Story::new();
        story.facts.faulty = false;
        let mut now = 1000;
        for write in 1..=writes {
            story.at_us(now).accept(write, "k", write, &write.to_string());
            let latency = law.quantile((write as f64 - 0.5) / writes as f64) + (shift_ms + 2.5) / 1e3;
            now += (latency * 1e6) as u64;
            story.at_us(now).complete(write, true, 2);
        }
        story
    }

    fn law(quorum: usize, max_ms: u64) -> LatencyLaw {
        LatencyLaw::new(quorum, 3, Duration::ZERO, Duration::from_millis(max_ms)).unwrap()
    }

    #[test]
    fn a_right_run_is_not_accused() {
        let story = story(200, &law(2, 1000), 0.0);
        assert_eq!(
            story.holds(check),
            "200 writes, less 3.0 ms for links: the mean is 0.5 ms below the law's, 52.0 ms allowed; 0.2 % apart, 13.8 % allowed"
        );
    }

    #[test]
    fn a_quorum_of_another_size_and_a_delay_too_many() {
        for (quorum, shift) in [(1, 0.0), (3, 0.0), (2, 100.0), (2, -100.0)] {
            let evidence = story(200, &law(quorum, 1000), shift).evidence(check);
            assert!(evidence[0].starts_with("the mean latency of 200 acknowledged writes is "), "{evidence:?}");
        }
    }

    /// The mean is right and nothing else.
    #[test]
    fn a_distribution_of_another_shape() {
        let constant = LatencyLaw::new(2, 3, Duration::from_millis(480), Duration::from_millis(520)).unwrap();
        let evidence = story(200, &constant, 0.0).evidence(check);
        assert_eq!(evidence.len(), 1);
        assert!(evidence[0].contains("are not distributed as the law says"), "{evidence:?}");
    }

    #[test]
    fn what_it_does_not_apply_to() {
        let why = |story: &Story| match story.verdict(check) {
            Verdict { property: Property::LatencyLaw, finding: Finding::NotApplicable(why), .. } => why,
            other => panic!("it applied: {other:?}"),
        };
        let right = || story(30, &law(2, 1000), 0.0);
        assert!(!right().verdict(check).is_violated());
        let mut faulty = right();
        faulty.facts.faulty = true;
        assert_eq!(why(&faulty), "it holds without faults only, and the run had some");
        assert_eq!(
            why(&story(29, &law(2, 1000), 0.0)),
            "29 acknowledged writes cannot show a distribution; it takes 30"
        );
        let mut without_delay = right();
        without_delay.facts.delay.1 = Duration::ZERO;
        assert_eq!(
            why(&without_delay),
            "there is no chance in a quorum of 2 of 3 followers with delays from 0ns to 0ns"
        );
        let mut short = right();
        short.facts.repl_timeout = Duration::from_secs(1);
        assert_eq!(why(&short), "the timeout, 1s, cuts off delays of up to 1s");
    }
}
