use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::config::LogLoss;
use super::replicator::Delivery;
use crate::base::FollowerId;
use crate::base::wire::ReplicateAnswer;
use crate::core::{FollowerStatus, Reply};

/// What `GET /metrics` tells.
pub(super) struct Metrics {
    registry: Registry,
    writes: Family<WriteLabels, Counter>,
    write_latency: Histogram,
    messages: Family<MessageLabels, Counter>,
    applied: Family<AppliedLabels, Counter>,
    missed: Family<FollowerLabels, Gauge>,
    unanswered: Family<FollowerLabels, Gauge>,
    keys: Gauge,
    tombstones: Gauge,
    pub(super) connections: Gauge,
    log_lines_dropped: Counter,
    log_loss: Option<LogLoss>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MessageLabels {
    follower: FollowerId,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AppliedLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FollowerLabels {
    follower: FollowerId,
}

/// How many messages ended how.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    stored: u64,
    refused: u64,
    uncounted: u64,
    lost: u64,
}

impl Tally {
    pub(super) fn count(&mut self, delivery: Delivery) {
        *match delivery {
            Delivery::Answered(Reply::Stored(_)) => &mut self.stored,
            Delivery::Answered(Reply::Refused | Reply::Fenced(_)) => &mut self.refused,
            Delivery::Answered(Reply::Legacy) => &mut self.uncounted,
            Delivery::Answered(Reply::Lost) | Delivery::Lost(_) => &mut self.lost,
        } += 1;
    }
}

impl EncodeLabelValue for FollowerId {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        fmt::Write::write_fmt(encoder, format_args!("{self}"))
    }
}

impl Metrics {
    /// The metrics of a leader or of a follower; one has no use for the other's.
    pub(super) fn new(is_leader: bool, log_loss: Option<LogLoss>) -> Self {
        let mut registry = Registry::with_prefix("semisync");
        let metrics = Self {
            writes: Family::default(),
            // From 50 µs, a round trip on one machine, to 6.5 s, past the default REPL_TIMEOUT.
            write_latency: Histogram::new(exponential_buckets(50e-6, 2.0, 18)),
            messages: Family::default(),
            applied: Family::default(),
            missed: Family::default(),
            unanswered: Family::default(),
            keys: Gauge::default(),
            tombstones: Gauge::default(),
            connections: Gauge::default(),
            log_lines_dropped: Counter::default(),
            log_loss,
            registry: Registry::default(),
        };
        registry.register("keys", "Keys that the node stores", metrics.keys.clone());
        let tombstones = metrics.tombstones.clone();
        registry.register("tombstones", "Deleted keys that the node remembers until every follower knows", tombstones);
        registry.register("connections", "Open HTTP connections", metrics.connections.clone());
        let dropped = metrics.log_lines_dropped.clone();
        registry.register("log_lines_dropped", "Lines of the log that were not read fast enough", dropped);
        if is_leader {
            registry.register("writes", "Writes answered, by outcome", metrics.writes.clone());
            let latency = metrics.write_latency.clone();
            registry.register_with_unit("write_latency", "From acceptance to answer", Unit::Seconds, latency);
            registry.register(
                "replication_messages",
                "Messages sent, by follower and result",
                metrics.messages.clone(),
            );
            registry.register("missed_keys", "Keys whose newest write a follower missed", metrics.missed.clone());
            registry.register("unanswered_messages", "First deliveries without an answer", metrics.unanswered.clone());
        } else {
            registry.register("replicated_writes", "Writes that arrived, by result", metrics.applied.clone());
        }
        Self { registry, ..metrics }
    }

    pub(super) fn write(&self, ok: bool, latency: Duration) {
        let outcome = if ok { "ok" } else { "quorum_missed" };
        self.writes.get_or_create(&WriteLabels { outcome }).inc();
        self.write_latency.observe(latency.as_secs_f64());
    }

    /// The messages of one request, counted together: to find a counter by its labels costs more than to raise it.
    pub(super) fn messages(&self, follower: FollowerId, Tally { stored, refused, uncounted, lost }: Tally) {
        let results = [("stored", stored), ("refused", refused), ("uncounted", uncounted), ("lost", lost)];
        for (result, count) in results {
            if count > 0 {
                self.messages.get_or_create(&MessageLabels { follower, result }).inc_by(count);
            }
        }
    }

    pub(super) fn replicated(&self, answers: &[ReplicateAnswer]) {
        let applied = answers.iter().filter(|answer| answer.applied).count();
        let fenced = answers.iter().filter(|answer| !answer.ok).count();
        let stale = answers.len() - applied - fenced;
        for (result, count) in [("applied", applied), ("stale_version", stale), ("fenced", fenced)] {
            if count > 0 {
                self.applied.get_or_create(&AppliedLabels { result }).inc_by(count as u64);
            }
        }
    }

    /// The Prometheus text, with what is counted elsewhere brought up to date first.
    pub(super) fn text(&self, keys: usize, tombstones: usize, followers: &[FollowerStatus]) -> String {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.keys.set(gauge(keys));
        self.tombstones.set(gauge(tombstones));
        let dropped = self.log_loss.as_ref().map_or(0, LogLoss::dropped);
        self.log_lines_dropped.inc_by(dropped.saturating_sub(self.log_lines_dropped.get()));
        for (follower, status) in FollowerId::first(followers.len()).zip(followers) {
            self.missed.get_or_create(&FollowerLabels { follower }).set(gauge(status.missed));
            self.unanswered.get_or_create(&FollowerLabels { follower }).set(gauge(status.unanswered));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to memory cannot fail");
        text
    }
}
