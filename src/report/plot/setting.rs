use std::time::Duration;

use super::unit::Unit;
use crate::check::latency_law::LatencyLaw;
use crate::live::analyze::{Law, QuorumResult};

/// What was measured, in a line: `200 acknowledged writes per quorum, 5 followers, delays from 0 to 1000 ms`.
pub fn writes(results: &[&QuorumResult]) -> String {
    let counts = results.iter().map(|result| result.count);
    let plural = if results.iter().all(|result| result.count == 1) { "" } else { "s" };
    let per_quorum = if results.len() > 1 { " per quorum" } else { "" };
    let writes = format!("{} acknowledged write{plural}{per_quorum}", from_to(counts));
    [Some(writes), delays(results)].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Whom it was measured with, if that is known: `5 followers, delays from 0 to 1000 ms`.
pub fn delays(results: &[&QuorumResult]) -> Option<String> {
    let Law { followers, min_delay, max_delay, .. } = results.iter().find_map(|result| result.law.as_ref())?;
    let unit = Unit::of(*max_delay);
    let short = |seconds: &f64| (unit.number(*seconds) * 1e3).round() / 1e3;
    let plural = if *followers == 1 { "" } else { "s" };
    let (min, max) = (short(min_delay), short(max_delay));
    Some(format!("{followers} follower{plural}, delays from {min} to {max} {}", unit.name))
}

/// `200`, or `198 to 200` if they are not all the same.
pub fn from_to(counts: impl Iterator<Item = usize> + Clone) -> String {
    let (fewest, most) = (counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0));
    if fewest == most { most.to_string() } else { format!("{fewest} to {most}") }
}

/// The law that a result is held against, if it is known.
pub fn latency_law(result: &QuorumResult) -> Option<LatencyLaw> {
    let law = result.law.as_ref()?;
    let delay = |seconds| Duration::try_from_secs_f64(seconds).ok();
    LatencyLaw::new(result.quorum, law.followers, delay(law.min_delay)?, delay(law.max_delay)?)
}
