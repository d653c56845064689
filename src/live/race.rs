//! Three stories that a replicated store must stand, told to a running cluster: writes one after another, writes at once,
//! and writes that arrive out of order.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;

use super::settle::{Seen, until_all_hold};
use crate::base::wire::ReplicateRequest;
use crate::base::{Key, NodeRef, Requests, Value, Version};
use crate::client::{Cluster, Outcome};
use crate::net::Transport;

/// How a story ended.
#[derive(Debug, Clone)]
pub struct StoryReport {
    /// What it is about.
    pub name: &'static str,
    /// What it did, and what must come of it.
    pub what: &'static str,
    /// The first and the last version that the leader gave.
    pub versions: Option<(u64, u64)>,
    /// The writes that were sent to followers after they had stored a newer one.
    pub stale: Vec<StaleWrite>,
    /// What each node held in the end.
    pub nodes: Vec<(NodeRef, Seen)>,
    /// What was wrong, a sentence each. Empty if it passed.
    pub problems: Vec<String>,
}

/// A write that reached a follower after a newer one.
#[derive(Debug, Clone)]
pub struct StaleWrite {
    /// The follower.
    pub node: NodeRef,
    /// The version that it was sent.
    pub version: u64,
    /// The version that it held before; none if that is not known.
    pub held: Option<u64>,
    /// Whether it rejected the write.
    pub is_rejected: bool,
}

impl StoryReport {
    /// Whether nothing was wrong.
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }
}

/// A cluster that stories are told to.
pub struct Race<'a, T> {
    cluster: &'a Cluster<T>,
    /// What begins the keys, so that no run meets the keys of another.
    tag: &'a str,
    /// How long nodes may take to hold what was written.
    deadline: Duration,
}

impl<'a, T: Transport> Race<'a, T> {
    /// Stories on keys that begin with `tag`. Nodes may take until `deadline` to hold what was written.
    pub fn new(cluster: &'a Cluster<T>, tag: &'a str, deadline: Duration) -> Self {
        Self { cluster, tag, deadline }
    }

    /// Ten writes, one after another: they get successive versions, and every node ends with the last.
    pub async fn sequential(&self) -> StoryReport {
        let mut story = self.begin("sequential", "10 writes, one after another: every node ends with the last");
        for n in 1..=10 {
            story.write(&format!("write {n}"), n).await;
        }
        story.all_hold(10, Some("write 10")).await
    }

    /// Twenty writers at once: they get 20 successive versions, each once, and every node ends with the last of them.
    pub async fn concurrent(&self) -> StoryReport {
        let mut story = self.begin("concurrent", "20 writers at once: no write lost, all nodes equal");
        let values: Vec<String> = (1..=20).map(|n| format!("writer {n}")).collect();
        let last = story.write_at_once(&values, 20).await;
        story.all_hold(20, last.as_deref()).await
    }

    /// Five writes at once, a rest, one more; then old versions are sent to every follower, which must not take them.
    pub async fn out_of_order(&self) -> StoryReport {
        let what =
            "5 writes at once, a rest, one more: every node ends with it, and an older version is rejected as stale";
        let mut story = self.begin("out of order", what);
        let values: Vec<String> = (1..=5).map(|n| format!("burst {n}")).collect();
        let last = story.write_at_once(&values, 5).await;
        story.rest(5, last.as_deref()).await;
        story.write("the last", 6).await;
        let held = story.rest(6, Some("the last")).await;
        for (node, seen) in held.into_iter().filter(|(node, _)| *node != NodeRef::Leader) {
            story.send_stale(node, &seen, 3).await;
        }
        story.all_hold(6, Some("the last")).await
    }

    fn begin(&self, name: &'static str, what: &'static str) -> Story<'_, T> {
        let key = Key::new(&format!("{}-{}", self.tag, name.replace(' ', "-"))).expect("a short name");
        Story { race: self, name, what, key, before: None, last: None, stale: Vec::new(), problems: Vec::new() }
    }
}

/// A story that is being told.
struct Story<'a, T> {
    race: &'a Race<'a, T>,
    name: &'static str,
    what: &'static str,
    key: Key,
    /// The version before the first that was given: 0, unless keys were deleted. The story counts its versions from there.
    before: Option<u64>,
    /// The greatest version that was given.
    last: Option<u64>,
    stale: Vec<StaleWrite>,
    problems: Vec<String>,
}

impl<T: Transport> Story<'_, T> {
    /// Writes; the write must get the `count`th version of the story.
    async fn write(&mut self, value: &str, count: u64) {
        let outcome = self.race.cluster.set(&self.key, &text(value)).await;
        let Some(version) = self.judge(value, &outcome) else { return };
        self.before.get_or_insert(version.saturating_sub(count));
        let expected = self.stored(count);
        if version != expected {
            self.problems.push(format!("{value:?} got version {version}, not {expected}"));
        }
    }

    /// The version that nodes have for the `count`th of the story.
    fn stored(&self, count: u64) -> u64 {
        self.before.unwrap_or(0) + count
    }

    /// Returns the version that a write got.
    fn judge(&mut self, value: &str, outcome: &Outcome<crate::base::wire::SetAnswer>) -> Option<u64> {
        match outcome {
            Outcome::Ok(_) => {}
            Outcome::Failed(why) => self.problems.push(format!("{value:?} was not written: {why}")),
            Outcome::Unknown(why) => self.problems.push(format!("{value:?} was not acknowledged: {why}")),
        }
        let version = outcome.answer().map(|answer| answer.version.get());
        self.last = self.last.max(version);
        version
    }

    /// Writes all values at once. They must get the first `count` versions of the story, each once. Returns the value that
    /// got the last.
    async fn write_at_once(&mut self, values: &[String], count: u64) -> Option<String> {
        let (cluster, key) = (self.race.cluster, self.key.clone());
        let writes = values.iter().map(|value| {
            let key = &key;
            async move { cluster.set(key, &text(value)).await }
        });
        let outcomes = join_all(writes).await;
        let given: Vec<(&String, Option<u64>)> =
            values.iter().zip(&outcomes).map(|(value, outcome)| (value, self.judge(value, outcome))).collect();
        let first = given.iter().filter_map(|(_, version)| *version).min();
        self.before = self.before.or(first.map(|first| first - 1));
        let expected = self.stored(1)..=self.stored(count);
        let mut versions = BTreeSet::new();
        let mut last = None;
        for (value, version) in given {
            let Some(version) = version else { continue };
            if !versions.insert(version) {
                self.problems.push(format!("version {version} was given twice"));
            }
            if version == *expected.end() {
                last = Some(value.clone());
            }
        }
        if !versions.iter().copied().eq(expected.clone()) {
            let (first, last) = expected.into_inner();
            self.problems.push(format!("the versions are {versions:?}, not {first} to {last}"));
        }
        last
    }

    /// Sends the `count`th version of the story to a follower that holds a newer one.
    async fn send_stale(&mut self, node: NodeRef, seen: &Seen, count: u64) {
        let version = self.stored(count);
        let held = match seen {
            Seen::Entry(held, _) => Some(*held),
            Seen::Nothing | Seen::NoAnswer(_) => None,
        };
        let write = ReplicateRequest {
            key: self.key.clone(),
            value: text("stale"),
            deleted: false,
            version: Version::new(version).expect("a version"),
            epoch: None,
            leader: None,
            requests: Requests::default(),
        };
        let cluster = self.race.cluster;
        match cluster.client().replicate(cluster.address(node), &write).await {
            Ok(answer) => {
                let is_rejected = !answer.applied;
                self.stale.push(StaleWrite { node, version, held, is_rejected });
                if !is_rejected {
                    let held = held.map_or("another one".to_owned(), |held| format!("version {held}"));
                    self.problems.push(format!("{node} applied version {version} though it had {held}"));
                }
            }
            Err(error) => self.problems.push(format!("{node} did not answer a stale write: {error}")),
        }
    }

    /// Waits until every node holds this. What they hold otherwise is a problem that [`Story::all_hold`] tells.
    async fn rest(&self, version: u64, value: Option<&str>) -> Vec<(NodeRef, Seen)> {
        let version = self.stored(version);
        let wanted = value.map_or(Seen::Nothing, |value| Seen::Entry(version, text(value).as_json().to_owned()));
        until_all_hold(self.race.cluster, &self.key, &wanted, self.race.deadline).await
    }

    /// Waits until every node holds this, and ends the story.
    async fn all_hold(mut self, version: u64, value: Option<&str>) -> StoryReport {
        let nodes = self.rest(version, value).await;
        let version = self.stored(version);
        for (node, seen) in &nodes {
            let wanted = value.map(|value| Seen::Entry(version, text(value).as_json().to_owned()));
            if Some(seen) != wanted.as_ref() {
                let wanted = wanted.map_or("a value that is known".into(), |wanted| wanted.to_string());
                self.problems.push(format!("{node} holds {seen}, not {wanted}"));
            }
        }
        let versions = self.before.zip(self.last).map(|(before, last)| (before + 1, last));
        let Self { name, what, stale, problems, .. } = self;
        StoryReport { name, what, versions, stale, nodes, problems }
    }
}

fn text(value: &str) -> Value {
    Value::from_json(&serde_json::Value::from(value).to_string()).expect("a text is JSON")
}
