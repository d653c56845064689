use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::results::{Consistency, Law, QuorumResult};
use super::staleness;
use super::statistics::Statistics;
use crate::base::wire::SetAnswer;
use crate::base::{Key, NodeRef, Value};
use crate::check::latency_law::{LatencyLaw, Level};
use crate::client::{Cluster, Outcome, ReadError};
use crate::live::outcome;
use crate::live::settle::{Seen, until_all_hold};
use crate::net::Transport;

/// What to measure with one quorum.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The quorum that the leader runs with.
    pub quorum: usize,
    /// How many writes.
    pub writes: usize,
    /// How many clients make them, each one after another.
    pub clients: usize,
    /// On how many keys.
    pub keys: usize,
    /// What begins the keys, so that no measurement meets the keys of another.
    pub tag: String,
    /// The range of the emulated delays.
    pub delay: (Duration, Duration),
    /// How long the followers may take to hold what was written.
    pub deadline: Duration,
    /// After how many further writes to see how many followers lag; 0 for not at all.
    pub staleness: usize,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum AnalyzeError {
    /// The leader runs with another quorum.
    #[error("the leader waits for {running} followers, not for {wanted}")]
    OtherQuorum {
        /// What it says.
        running: usize,
        /// What was to be measured.
        wanted: usize,
    },
    /// A write did not even get an answer that tells the quorum.
    #[error("the leader does not take writes: {0}")]
    NoWrites(String),
    /// The leader could not be read.
    #[error("the leader cannot be read: {0}")]
    Unreadable(#[from] ReadError),
}

/// The quorum that a leader runs with, as it tells it in the answer to a write.
///
/// # Errors
/// [`AnalyzeError::NoWrites`].
pub async fn running_quorum<T: Transport>(cluster: &Cluster<T>, tag: &str) -> Result<usize, AnalyzeError> {
    let key = Key::new(&format!("{tag}-quorum")).expect("a short name");
    let outcome = cluster.set(&key, &text("which quorum?")).await;
    match outcome.answer() {
        Some(answer) => Ok(answer.required),
        None => Err(AnalyzeError::NoWrites(outcome::of_write(&outcome))),
    }
}

/// Writes as the plan says, waits until the followers hold what was written, and sees how they lag. `progress` is called
/// after each write.
///
/// # Errors
/// [`AnalyzeError`].
pub async fn measure<T: Transport>(
    cluster: &Cluster<T>,
    plan: &Plan,
    progress: &dyn Fn(),
) -> Result<QuorumResult, AnalyzeError> {
    let running = running_quorum(cluster, &plan.tag).await?;
    if running != plan.quorum {
        return Err(AnalyzeError::OtherQuorum { running, wanted: plan.quorum });
    }
    let baseline = baseline(cluster, plan).await?;
    let measured = RefCell::new(Measured::default());
    let next = Cell::new(0);
    let began = Instant::now();
    let clients = (0..plan.clients.min(plan.writes)).map(|_| async {
        while next.get() < plan.writes {
            let number = next.replace(next.get() + 1);
            let (key, value) = (key(plan, number % plan.keys), text(&format!("q{} write {number}", plan.quorum)));
            let sent = Instant::now();
            let outcome = cluster.set(&key, &value).await;
            measured.borrow_mut().add(key, &value, &outcome, sent.elapsed());
            progress();
        }
    });
    join_all(clients).await;
    let total_time = began.elapsed().as_secs_f64();
    let Measured { latencies, failed, mut newest, uncertain } = measured.into_inner();
    for key in uncertain {
        learn(cluster, key, &mut newest).await?;
    }
    let consistency = consistency(cluster, &newest, plan.deadline).await;
    let Statistics { mean, median, stdev, p95, p99 } = Statistics::of(&latencies);
    let followers = cluster.nodes().count() - 1;
    let law = LatencyLaw::new(plan.quorum, followers, plan.delay.0, plan.delay.1);
    let staleness = staleness::measure(cluster, plan, law.as_ref(), progress).await;
    let law = law.map(|law| {
        let mean_tolerance = law.mean_tolerance(latencies.len().max(1), Level::OF_ONE_RUN);
        Law {
            followers,
            min_delay: plan.delay.0.as_secs_f64(),
            max_delay: plan.delay.1.as_secs_f64(),
            mean: law.mean(),
            mean_tolerance,
            median: law.quantile(0.5),
            stdev: law.standard_deviation(),
            p95: law.quantile(0.95),
            p99: law.quantile(0.99),
            mean_within: !latencies.is_empty() && (mean - baseline - law.mean()).abs() <= mean_tolerance,
            baseline,
        }
    });
    Ok(QuorumResult {
        quorum: plan.quorum,
        total_time,
        avg_latency: mean,
        median,
        stdev,
        p95,
        p99,
        count: latencies.len(),
        failed,
        latencies,
        consistency,
        law,
        staleness,
    })
}

/// What came of the writes.
#[derive(Default)]
struct Measured {
    latencies: Vec<f64>,
    failed: BTreeMap<String, usize>,
    /// The newest version of each key that the leader told of, and its value.
    newest: BTreeMap<Key, (u64, String)>,
    /// Keys of which a write may have been stored that the leader told nothing of.
    uncertain: BTreeSet<Key>,
}

impl Measured {
    fn add(&mut self, key: Key, value: &Value, outcome: &Outcome<SetAnswer>, latency: Duration) {
        match outcome {
            Outcome::Ok(_) => self.latencies.push(latency.as_secs_f64()),
            other => *self.failed.entry(outcome::of_write(other)).or_default() += 1,
        }
        if matches!(outcome, Outcome::Unknown(_)) && outcome.answer().is_none() {
            self.uncertain.insert(key.clone());
        }
        if let Some(answer) = outcome.answer() {
            let entry = (answer.version.get(), value.as_json().to_owned());
            let newest = self.newest.entry(key).or_insert_with(|| entry.clone());
            if entry.0 > newest.0 {
                *newest = entry;
            }
        }
    }
}

/// Asks the leader what it has of a key, for it may have stored a write of which nobody was told.
async fn learn<T: Transport>(
    cluster: &Cluster<T>,
    key: Key,
    newest: &mut BTreeMap<Key, (u64, String)>,
) -> Result<(), ReadError> {
    if let Some(found) = cluster.client().get(cluster.address(NodeRef::Leader), &key).await? {
        let entry = (found.version.get(), found.value.as_json().to_owned());
        if newest.get(&key).is_none_or(|known| entry.0 > known.0) {
            newest.insert(key, entry);
        }
    }
    Ok(())
}

/// Whether every node ends with the newest write of every key, and which followers do not.
async fn consistency<T: Transport>(
    cluster: &Cluster<T>,
    newest: &BTreeMap<Key, (u64, String)>,
    deadline: Duration,
) -> Consistency {
    let until = Instant::now() + deadline;
    let mut inconsistent = BTreeSet::new();
    for (key, (version, value)) in newest {
        let wanted = Seen::Entry(*version, value.clone());
        let left = until.saturating_duration_since(Instant::now());
        let seen = until_all_hold(cluster, key, &wanted, left).await;
        inconsistent.extend(seen.into_iter().filter(|(_, seen)| *seen != wanted).map(|(node, _)| node));
    }
    let inconsistent_followers: Vec<String> = inconsistent.iter().map(NodeRef::to_string).collect();
    Consistency { consistent: inconsistent_followers.is_empty(), inconsistent_followers }
}

/// What a write takes without any emulated delay: twice the way to a node and back, for the leader's way to its followers
/// is of the same kind. Measured by reads, which the leader answers at once.
async fn baseline<T: Transport>(cluster: &Cluster<T>, plan: &Plan) -> Result<f64, AnalyzeError> {
    const READS: usize = 21;
    let key = key(plan, plan.keys);
    let mut times = Vec::new();
    for _ in 0..READS {
        let sent = Instant::now();
        cluster.client().get(cluster.address(NodeRef::Leader), &key).await?;
        times.push(sent.elapsed().as_secs_f64());
    }
    Ok(2.0 * Statistics::of(&times).median)
}

pub(super) fn key(plan: &Plan, number: usize) -> Key {
    Key::new(&format!("{}-q{}-{number}", plan.tag, plan.quorum)).expect("a short name")
}

pub(super) fn text(value: &str) -> Value {
    Value::from_json(&serde_json::Value::from(value).to_string()).expect("a text is JSON")
}
