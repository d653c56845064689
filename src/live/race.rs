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
    /// What each node held in the end.
    pub nodes: Vec<(NodeRef, Seen)>,
    /// What was wrong, a sentence each. Empty if it passed.
    pub problems: Vec<String>,
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

    /// Ten writes, one after another: they get the versions 1 to 10, and every node ends with the last.
    pub async fn sequential(&self) -> StoryReport {
        let mut story = self.begin("sequential", "10 writes, one after another: the tenth version everywhere");
        for n in 1..=10 {
            let version = story.write(&format!("write {n}")).await;
            if let Some(version) = version.filter(|version| *version != n) {
                story.problems.push(format!("write {n} got version {version}"));
            }
        }
        story.all_hold(10, Some("write 10")).await
    }

    /// Twenty writers at once: the versions are 1 to 20, each once, and every node ends with what got version 20.
    pub async fn concurrent(&self) -> StoryReport {
        let mut story = self.begin("concurrent", "20 writers at once: no write lost, all nodes equal");
        let values: Vec<String> = (1..=20).map(|n| format!("writer {n}")).collect();
        let last = story.write_at_once(&values, 20).await;
        story.all_hold(20, last.as_deref()).await
    }

    /// Five writes at once, a rest, one more; then old versions are sent to every follower, which must not take them.
    pub async fn out_of_order(&self) -> StoryReport {
        let what = "5 writes at once, a rest, one more: the sixth version everywhere, and older versions are rejected as stale";
        let mut story = self.begin("out of order", what);
        let values: Vec<String> = (1..=5).map(|n| format!("burst {n}")).collect();
        let last = story.write_at_once(&values, 5).await;
        story.rest(5, last.as_deref()).await;
        let version = story.write("the last").await;
        if let Some(version) = version.filter(|version| *version != 6) {
            story.problems.push(format!("the write after the rest got version {version}"));
        }
        story.rest(6, Some("the last")).await;
        for node in self.cluster.nodes().filter(|node| *node != NodeRef::Leader) {
            story.send_stale(node, 3).await;
        }
        story.all_hold(6, Some("the last")).await
    }

    fn begin(&self, name: &'static str, what: &'static str) -> Story<'_, T> {
        let key = Key::new(&format!("{}-{}", self.tag, name.replace(' ', "-"))).expect("a short name");
        Story { race: self, name, what, key, before: None, problems: Vec::new() }
    }
}

/// A story that is being told.
struct Story<'a, T> {
    race: &'a Race<'a, T>,
    name: &'static str,
    what: &'static str,
    key: Key,
    /// The version before the first that was given: 0, unless keys were deleted. Versions are counted from there.
    before: Option<u64>,
    problems: Vec<String>,
}

impl<T: Transport> Story<'_, T> {
    /// Writes, and returns the version if there is one.
    async fn write(&mut self, value: &str) -> Option<u64> {
        let outcome = self.race.cluster.set(&self.key, &text(value)).await;
        let version = self.judge(value, &outcome)?;
        Some(version - *self.before.get_or_insert(version - 1))
    }

    /// The version as nodes have it.
    fn stored(&self, version: u64) -> u64 {
        self.before.unwrap_or(0) + version
    }

    fn judge(&mut self, value: &str, outcome: &Outcome<crate::base::wire::SetAnswer>) -> Option<u64> {
        match outcome {
            Outcome::Ok(_) => {}
            Outcome::Failed(why) => self.problems.push(format!("{value:?} was not written: {why}")),
            Outcome::Unknown(why) => self.problems.push(format!("{value:?} was not acknowledged: {why}")),
        }
        outcome.answer().map(|answer| answer.version.get())
    }

    /// Writes all values at once. Their versions must be 1 to `count`, each once. Returns the value that got the last.
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
        let mut versions = BTreeSet::new();
        let mut last = None;
        for (value, version) in given {
            let Some(version) = version.map(|version| version - self.before.unwrap_or(0)) else { continue };
            if !versions.insert(version) {
                self.problems.push(format!("version {version} was given twice"));
            }
            if version == count {
                last = Some(value.clone());
            }
        }
        if versions != (1..=count).collect() {
            self.problems.push(format!("the versions are {versions:?}, not 1 to {count}"));
        }
        last
    }

    /// Sends a version by hand that is older than what the follower has.
    async fn send_stale(&mut self, node: NodeRef, version: u64) {
        let version = Version::new(self.stored(version)).expect("a version");
        let (key, value) = (self.key.clone(), text("stale"));
        let write = ReplicateRequest {
            key,
            value,
            deleted: false,
            version,
            epoch: None,
            leader: None,
            requests: Requests::default(),
        };
        let cluster = self.race.cluster;
        match cluster.client().replicate(cluster.address(node), &write).await {
            Ok(answer) if !answer.applied => {}
            Ok(_) => {
                let had = self.stored(6);
                self.problems.push(format!("{node} applied version {version} though it had version {had}"));
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
        StoryReport { name: self.name, what: self.what, nodes, problems: self.problems }
    }
}

fn text(value: &str) -> Value {
    Value::from_json(&serde_json::Value::from(value).to_string()).expect("a text is JSON")
}
