use std::collections::BTreeMap;

use serde::Serialize;

/// What was measured with one quorum: an item of `quorum_results.json`. All times are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuorumResult {
    /// How many followers had to confirm a write.
    pub quorum: usize,
    /// From the first write's start to the last one's end.
    pub total_time: f64,
    /// The mean latency of the acknowledged writes, as their clients saw it.
    pub avg_latency: f64,
    /// Their median.
    pub median: f64,
    /// Their standard deviation, of the sample.
    pub stdev: f64,
    /// What 95 % of them stayed below.
    pub p95: f64,
    /// What 99 % of them stayed below.
    pub p99: f64,
    /// How many writes were acknowledged.
    pub count: usize,
    /// How many were not, by what became of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<String, usize>,
    /// The latency of each acknowledged write, in the order in which they ended.
    pub latencies: Vec<f64>,
    /// Whether the followers ended with what was written.
    pub consistency: Consistency,
    /// What the latencies should be; none where the delays leave nothing to chance, or are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub law: Option<Law>,
    /// How many followers lag after an acknowledgement; empty if that was not measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub staleness: Vec<StalenessPoint>,
}

/// Whether the followers ended with what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Consistency {
    /// Whether all did.
    pub consistent: bool,
    /// Those that did not: `f2`, ….
    pub inconsistent_followers: Vec<String>,
}

/// What the latencies of writes should be that wait for `quorum` of `followers`: an order statistic of uniform delays.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Law {
    /// The number of followers.
    pub followers: usize,
    /// The shortest emulated delay.
    pub min_delay: f64,
    /// The longest.
    pub max_delay: f64,
    /// The mean.
    pub mean: f64,
    /// How far from it the mean of `count` writes lies in 99.9 % of all runs, at most.
    pub mean_tolerance: f64,
    /// The median.
    pub median: f64,
    /// The standard deviation.
    pub stdev: f64,
    /// What 95 % of the writes stay below.
    pub p95: f64,
    /// What 99 % stay below.
    pub p99: f64,
    /// Whether the measured mean, less `baseline`, lies within the tolerance.
    pub mean_within: bool,
    /// What a write takes without any emulated delay: the way to the leader, on to the followers and back.
    pub baseline: f64,
}

/// How many followers lack a write some time after it was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StalenessPoint {
    /// The time since the acknowledgement.
    pub after: f64,
    /// The share of the followers that did not have the write yet.
    pub measured: f64,
    /// What the share should be, if the law is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub law: Option<f64>,
    /// How many reads the share is of.
    pub reads: usize,
}
