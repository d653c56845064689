use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};

use super::measure::{Plan, key, text};
use super::results::StalenessPoint;
use crate::base::{Key, NodeRef};
use crate::check::latency_law::LatencyLaw;
use crate::client::Cluster;
use crate::net::Transport;

/// At how many times after an acknowledgement the followers are asked.
const TIMES: usize = 10;

/// Makes further writes, each to a key of its own, and asks all followers for each at several times after its
/// acknowledgement: the share of those that do not have it yet.
pub(super) async fn measure<T: Transport>(
    cluster: &Cluster<T>,
    plan: &Plan,
    law: Option<&LatencyLaw>,
    progress: &dyn Fn(),
) -> Vec<StalenessPoint> {
    let range = plan.delay.1.saturating_sub(plan.delay.0);
    if plan.staleness == 0 || range.is_zero() {
        return Vec::new();
    }
    let times: Vec<Duration> = (0..TIMES).map(|step| range * step as u32 / TIMES as u32).collect();
    let counts = RefCell::new(vec![Count::default(); TIMES]);
    let next = Cell::new(0);
    let clients = (0..plan.clients.min(plan.staleness)).map(|_| async {
        while next.get() < plan.staleness {
            // Beyond the keys of the measurement of latencies, and the one that is never written.
            let key = key(plan, plan.keys + 1 + next.replace(next.get() + 1));
            if cluster.set(&key, &text("staleness")).await.ok().is_some() {
                let acknowledged = Instant::now();
                // Each at its own time, however long the answers before take.
                let asked = times.iter().map(|time| async {
                    sleep_until(acknowledged + *time).await;
                    ask(cluster, &key).await
                });
                let asked = join_all(asked).await;
                for (sum, Count { lack, reads }) in counts.borrow_mut().iter_mut().zip(asked) {
                    sum.lack += lack;
                    sum.reads += reads;
                }
            }
            progress();
        }
    });
    join_all(clients).await;
    let points = times.iter().zip(counts.into_inner()).filter(|(_, count)| count.reads > 0);
    let point = |(after, count): (&Duration, Count)| StalenessPoint {
        after: after.as_secs_f64(),
        measured: count.lack as f64 / count.reads as f64,
        law: law.map(|law| law.staleness(after.as_secs_f64())),
        reads: count.reads,
    };
    points.map(point).collect()
}

/// How many followers answered, and how many of them did not have a key.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    lack: usize,
    reads: usize,
}

async fn ask<T: Transport>(cluster: &Cluster<T>, key: &Key) -> Count {
    let followers = cluster.nodes().filter(|node| *node != NodeRef::Leader);
    let reads = join_all(followers.map(|node| cluster.client().get(cluster.address(node), key))).await;
    let answers: Vec<bool> = reads.into_iter().filter_map(Result::ok).map(|found| found.is_none()).collect();
    Count { lack: answers.iter().filter(|lacks| **lacks).count(), reads: answers.len() }
}
