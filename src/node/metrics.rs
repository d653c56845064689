use std::fmt;
use std::sync::atomic::AtomicU64;
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
use crate::base::wire::{FollowerReport, ReplicateAnswer};
use crate::core::Reply;

/// What `GET /metrics` tells.
pub(super) struct Metrics {
    registry: Registry,
    writes: Family<WriteLabels, Counter>,
    write_latency: Histogram,
    messages: Family<MessageLabels, Counter>,
    applied: Family<AppliedLabels, Counter>,
    lag_keys: Family<FollowerLabels, Gauge>,
    lag_seconds: Family<FollowerLabels, Gauge<f64, AtomicU64>>,
    unanswered: Family<FollowerLabels, Gauge>,
    refused: Family<RefusedLabels, Counter>,
    pub(super) recoveries: Counter,
    pub(super) step_downs: Counter,
    epoch: Gauge,
    leads: Gauge,
    ready: Gauge,
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
    address: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AppliedLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FollowerLabels {
    follower: String,
    address: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    reason: &'static str,
}

/// What the node is like when it is asked for its metrics.
pub(super) struct Snapshot<'a> {
    pub(super) keys: usize,
    pub(super) tombstones: usize,
    pub(super) epoch: u64,
    /// Whether it is a leader that serves.
    pub(super) leads: bool,
    pub(super) ready: bool,
    pub(super) followers: &'a [FollowerReport],
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
            lag_keys: Family::default(),
            lag_seconds: Family::default(),
            unanswered: Family::default(),
            refused: Family::default(),
            recoveries: Counter::default(),
            step_downs: Counter::default(),
            epoch: Gauge::default(),
            leads: Gauge::default(),
            ready: Gauge::default(),
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
        registry.register("refused_requests", "Requests that were refused, by reason", metrics.refused.clone());
        registry.register(
            "epoch",
            "The epoch of the leader, or the one that a follower has promised",
            metrics.epoch.clone(),
        );
        registry.register("leader", "1 while the node is a leader that serves, else 0", metrics.leads.clone());
        registry.register("ready", "1 while the node is ready, as GET /ready says, else 0", metrics.ready.clone());
        if is_leader {
            let recoveries = metrics.recoveries.clone();
            registry.register(
                "recoveries",
                "Times that the leader has taken over what its followers store",
                recoveries,
            );
            registry.register(
                "step_downs",
                "Times that another leader's epoch ended the node's own",
                metrics.step_downs.clone(),
            );
            registry.register("writes", "Writes answered, by outcome", metrics.writes.clone());
            let latency = metrics.write_latency.clone();
            registry.register_with_unit("write_latency", "From acceptance to answer", Unit::Seconds, latency);
            registry.register(
                "replication_messages",
                "Messages sent, by follower and result",
                metrics.messages.clone(),
            );
            let lag_seconds = metrics.lag_seconds.clone();
            registry.register(
                "follower_lag_keys",
                "Keys that a follower lacks or has in an older version",
                metrics.lag_keys.clone(),
            );
            registry.register("follower_lag_seconds", "For how long a follower has lacked any key", lag_seconds);
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
    pub(super) fn messages(
        &self,
        follower: FollowerId,
        address: &str,
        Tally { stored, refused, uncounted, lost }: Tally,
    ) {
        let results = [("stored", stored), ("refused", refused), ("uncounted", uncounted), ("lost", lost)];
        for (result, count) in results {
            if count > 0 {
                let labels = MessageLabels { follower, address: address.to_owned(), result };
                self.messages.get_or_create(&labels).inc_by(count);
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

    /// A request was refused.
    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&RefusedLabels { reason }).inc();
    }

    /// The Prometheus text, with what is counted elsewhere brought up to date first.
    pub(super) fn text(&self, now: &Snapshot<'_>) -> String {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.keys.set(gauge(now.keys));
        self.tombstones.set(gauge(now.tombstones));
        self.epoch.set(i64::try_from(now.epoch).unwrap_or(i64::MAX));
        self.leads.set(now.leads.into());
        self.ready.set(now.ready.into());
        let dropped = self.log_loss.as_ref().map_or(0, LogLoss::dropped);
        self.log_lines_dropped.inc_by(dropped.saturating_sub(self.log_lines_dropped.get()));
        for report in now.followers {
            let labels = FollowerLabels { follower: report.follower.clone(), address: report.address.clone() };
            self.lag_keys.get_or_create(&labels).set(gauge(report.keys_behind));
            self.lag_seconds.get_or_create(&labels).set(report.behind_for_s.unwrap_or(0.0));
            self.unanswered.get_or_create(&labels).set(gauge(report.in_flight));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to memory cannot fail");
        text
    }
}
