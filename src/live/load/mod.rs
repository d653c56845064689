//! A load of writes and reads on a cluster, in a closed loop or at a rate, and what became of it.

mod keys;
mod tally;

pub use keys::KeyDistribution;
pub use tally::{Latencies, LoadResult};

use std::cell::{Cell, RefCell};
use std::str::FromStr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::outcome;
use crate::base::seed::Draw;
use crate::base::{FollowerId, Key, NodeId, NodeRef, ReadMode, Seed, Value};
use crate::client::{Cluster, HistoryRecorder, RecordedClient};
use crate::net::Transport;

/// What load to make.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// How many clients there are, each doing one thing after another.
    pub clients: u16,
    /// How many operations to begin each second, evenly. Without it each client begins the next when the last has ended.
    pub rate: Option<f64>,
    /// How many operations, if there is such an end.
    pub count: Option<u64>,
    /// For how long, if there is such an end.
    pub time: Option<Duration>,
    /// Which keys.
    pub keys: KeyDistribution,
    /// What begins the keys.
    pub tag: String,
    /// The share that reads, 0 to 1.
    pub reads: f64,
    /// Where they read.
    pub read_from: ReadFrom,
    /// What they may find. Only the leader can answer those that are not local.
    pub read_mode: ReadMode,
    /// How long values are, in bytes of JSON, at least; each is written once only.
    pub value_size: usize,
    /// From what all choices follow.
    pub seed: Seed,
}

/// Where reads go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// To any node.
    Any,
    /// To the leader.
    Leader,
    /// To any follower.
    Followers,
}

impl FromStr for ReadFrom {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "any" => Ok(Self::Any),
            "leader" => Ok(Self::Leader),
            "followers" => Ok(Self::Followers),
            _ => Err("must be any, leader or followers"),
        }
    }
}

/// How long a client rests after an operation that did not go well, unless there is a rate. A node that refuses at once, or is not
/// there, would be asked thousands of times a second otherwise, and the count of errors would say nothing.
const REST: Duration = Duration::from_millis(100);

/// How far a load has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Operations that went well.
    pub succeeded: u64,
    /// Operations that did not.
    pub failed: u64,
    /// The time since the beginning.
    pub elapsed: Duration,
}

/// Makes the load until its end has come or `stop` is cancelled: then nothing more is begun. What clients do is recorded. `progress` is called after each
/// operation.
///
/// At a rate, latencies are counted from the time at which the operation was due, also if all clients were busy then: a
/// slow answer delays the measurement of none that comes after it ("coordinated omission"; G. Tene, *How NOT to Measure
/// Latency*, 2013).
pub async fn run<T: Transport>(
    cluster: &Cluster<T>,
    plan: &LoadPlan,
    recorder: Option<&HistoryRecorder>,
    stop: &CancellationToken,
    progress: impl Fn(Progress),
) -> LoadResult {
    let began = Instant::now();
    let load = Load { cluster, plan, began, next: Cell::new(0), result: RefCell::new(LoadResult::new()) };
    let clients = (0..plan.clients).map(|number| {
        let (load, progress) = (&load, &progress);
        let client =
            RecordedClient::new(number, cluster.clone(), recorder.map(|it| it.observer(NodeId::Client(number))));
        async move {
            while let Some(due) = load.take(stop).await {
                let went_well = load.perform(&client, due).await;
                progress(load.progress());
                if !went_well && plan.rate.is_none() {
                    stop.run_until_cancelled(sleep(REST)).await;
                }
            }
        }
    });
    join_all(clients).await;
    let mut result = load.result.into_inner();
    result.elapsed = began.elapsed();
    result
}

/// A load that is being made.
struct Load<'a, T> {
    cluster: &'a Cluster<T>,
    plan: &'a LoadPlan,
    began: Instant,
    /// The number of the next operation, from 0.
    next: Cell<u64>,
    result: RefCell<LoadResult>,
}

/// An operation whose time has come.
struct Due {
    number: u64,
    /// From when its latency is counted.
    since: Instant,
}

impl<T: Transport> Load<'_, T> {
    /// The next operation, once it is due; `None` after the last.
    async fn take(&self, stop: &CancellationToken) -> Option<Due> {
        let number = self.next.get();
        let plan = self.plan;
        let due = plan.rate.map(|rate| self.began + Duration::from_secs_f64(number as f64 / rate));
        let at = due.unwrap_or_else(Instant::now);
        let over = plan.count.is_some_and(|count| number >= count)
            || plan.time.is_some_and(|time| at.saturating_duration_since(self.began) >= time);
        if stop.is_cancelled() || over {
            return None;
        }
        self.next.set(number + 1);
        if let Some(due) = due {
            stop.run_until_cancelled(sleep_until(due)).await?;
        }
        Some(Due { number, since: at })
    }

    /// Does an operation. Whether it went well.
    async fn perform(&self, client: &RecordedClient<T>, due: Due) -> bool {
        let plan = self.plan;
        // What is drawn for is the last word of the key, so that no draw depends on another.
        let draw = |purpose| plan.seed.draw(&[due.number, purpose]);
        let key = Key::new(&format!("{}-{}", plan.tag, plan.keys.choose(draw(0)))).expect("a short name");
        let ended = if draw(1).unit() < plan.reads {
            let followers = self.cluster.nodes().count() as u64 - 1;
            let node = read_from(plan.read_from, draw(2), followers);
            let found = client.read(node, &key, plan.read_mode).await;
            found.map(|_| true).map_err(|error| outcome::of_read(&error))
        } else {
            let written = client.set(&key, &value(due.number, plan.value_size)).await;
            if written.is_ok() { Ok(false) } else { Err(outcome::of_write(&written)) }
        };
        let mut result = self.result.borrow_mut();
        match ended {
            Ok(true) => result.reads.add(due.since.elapsed()),
            Ok(false) => result.writes.add(due.since.elapsed()),
            Err(kind) => {
                *result.errors.entry(kind).or_default() += 1;
                return false;
            }
        }
        true
    }

    fn progress(&self) -> Progress {
        let result = self.result.borrow();
        Progress { succeeded: result.succeeded(), failed: result.failed(), elapsed: self.began.elapsed() }
    }
}

/// The node that a draw falls on. Without followers there is only the leader.
fn read_from(from: ReadFrom, draw: Draw, followers: u64) -> NodeRef {
    let follower = |place: u64| NodeRef::from(FollowerId(place as u8));
    match from {
        _ if followers == 0 => NodeRef::Leader,
        ReadFrom::Leader => NodeRef::Leader,
        ReadFrom::Any => match draw.between(0, followers) {
            0 => NodeRef::Leader,
            place => follower(place - 1),
        },
        ReadFrom::Followers => follower(draw.between(0, followers - 1)),
    }
}

/// A text that no other operation writes, filled up to this many bytes.
fn value(number: u64, size: usize) -> Value {
    let name = format!("write {number} ");
    let padding = ".".repeat(size.saturating_sub(name.len() + 2));
    Value::from_json(&format!("\"{name}{padding}\"")).expect("a text is JSON")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn reads_fall_on_all_nodes_alike() {
        for (from, nodes) in [(ReadFrom::Any, 3), (ReadFrom::Followers, 2), (ReadFrom::Leader, 1)] {
            let mut counts: BTreeMap<NodeRef, u32> = BTreeMap::new();
            for n in 0..6000 {
                *counts.entry(read_from(from, Seed::new(1).draw(&[n]), 2)).or_default() += 1;
            }
            assert_eq!(counts.len(), nodes, "{counts:?}");
            // Five standard deviations of a binomial of 6,000 are below 200.
            assert!(counts.values().all(|count| count.abs_diff(6000 / nodes as u32) < 200), "{counts:?}");
            assert_eq!(read_from(from, Seed::new(1).draw(&[0]), 0), NodeRef::Leader);
        }
    }
}
