use std::collections::{BTreeMap, BTreeSet};

use super::exercised::{Exercised, Kinds};
use super::windows::Windows;
use crate::base::NodeId;
use crate::base::history::Kind;
use crate::base::trace::{Disturbance, Event, Micros, Outcome, Record, WriteId};
use crate::sim::scenario::FaultKind;
use crate::sim::{Generator, ScenarioRun, Strike};

/// How often something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// How many times.
    pub times: u64,
    /// In how many runs.
    pub runs: u64,
    /// How many writes were acknowledged while a fault of this kind was on.
    pub acknowledged: u64,
}

/// How many of how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Those that did.
    pub count: u64,
    /// All of them.
    pub of: u64,
}

/// What never happened, though it could have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// In words.
    pub what: String,
    /// From how many seeds on that cannot be chance.
    pub enough_seeds: u64,
}

/// What happened in some runs: a run in which nothing did proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exercise {
    /// In the order of [`Exercised::ALL`].
    counts: [Count; Exercised::ALL.len()],
    /// The writes that were acknowledged to their clients before everything was healed.
    pub writes: Share,
    /// The reads that were answered before everything was healed.
    pub reads: Share,
}

impl Default for Exercise {
    fn default() -> Self {
        Self { counts: [Count::default(); Exercised::ALL.len()], writes: Share::default(), reads: Share::default() }
    }
}

impl Exercise {
    /// What happened in a run before everything was healed.
    pub fn of(run: &ScenarioRun) -> Self {
        let mut exercise = Self::default();
        let healed = |record: &Record| matches!(record.event, Event::Fault { kind: Disturbance::Heal, .. });
        let records = run.trace.records();
        let until = records.iter().position(healed).unwrap_or(records.len());
        let longest_delay_us = run.scenario.cluster.delay_ms[1] * 1000;
        let windows = Windows::of(run);
        let mut abandoned = Abandoned::of(run);
        let mut snapshots = Snapshots::default();
        let mut rejoins = Rejoins::default();
        let cluster = &run.scenario.cluster;
        let usual = Micros(cluster.link_ms.max(cluster.tick_ms) * 1000);
        let mut seen = Kinds::default();
        for record in &records[..until] {
            let mut happened = Exercised::of_record(record, longest_delay_us);
            if let Some(slow) = slowed(record, usual) {
                happened.insert(slow);
            }
            if rejoins.follow(record) {
                happened.insert(Exercised::Rejoin);
            }
            if snapshots.is_interrupted_by(record) {
                happened.insert(Exercised::Interrupt);
            }
            if !happened.is_empty() {
                happened.iter().for_each(|kind| exercise.of_kind(kind).times += 1);
                seen.add(happened);
            }
            let abandoned = abandoned.follow(record);
            if let Event::Complete { ok: true, .. } = record.event {
                let mut on = windows.on(record.at);
                if abandoned {
                    on.insert(Exercised::Disconnect);
                }
                on.iter().for_each(|kind| exercise.of_kind(kind).acknowledged += 1);
            }
        }
        let faults = run.scenario.faults.iter().zip(&run.strikes);
        let triggered =
            faults.filter(|(fault, strike)| fault.when.is_some() && matches!(strike, Strike::At(_))).count();
        exercise.of_kind(Exercised::Triggered).times += triggered as u64;
        if triggered > 0 {
            seen.insert(Exercised::Triggered);
        }
        seen.iter().for_each(|kind| exercise.of_kind(kind).runs += 1);
        for operation in run.history.operations.iter().filter(|operation| operation.invoked.index < until) {
            let share = if operation.is_write() { &mut exercise.writes } else { &mut exercise.reads };
            share.of += 1;
            share.count += u64::from(matches!(operation.outcome, Outcome::Ok | Outcome::Absent));
        }
        exercise
    }

    /// Adds what happened in other runs.
    pub fn add(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            sum.times += count.times;
            sum.runs += count.runs;
            sum.acknowledged += count.acknowledged;
        }
        for (sum, share) in [(&mut self.writes, other.writes), (&mut self.reads, other.reads)] {
            sum.count += share.count;
            sum.of += share.of;
        }
    }

    /// What can be shown and never was, in words: what did not happen, and faults under which nothing was acknowledged.
    pub fn missing(&self, generator: &Generator) -> Vec<Missing> {
        let wanted = Exercised::ALL.into_iter().filter(|kind| kind.is_possible(generator));
        let missing = wanted.filter_map(|kind| {
            let what = match self.count(kind) {
                Count { times: 0, .. } => kind.to_string(),
                Count { acknowledged: 0, .. } if kind.is_fault() => format!("an acknowledgement under {kind}"),
                _ => return None,
            };
            Some(Missing { what, enough_seeds: kind.enough_seeds() })
        });
        missing.collect()
    }

    /// How often this happened.
    pub fn count(&self, kind: Exercised) -> Count {
        self.counts[kind as usize]
    }

    fn of_kind(&mut self, kind: Exercised) -> &mut Count {
        &mut self.counts[kind as usize]
    }
}

/// The writes whose clients hung up.
struct Abandoned<'a> {
    /// Their values, which are unique, and when their clients went.
    values: BTreeMap<&'a str, Micros>,
    /// Those that the present leader has taken on.
    accepted: BTreeMap<WriteId, Micros>,
}

impl<'a> Abandoned<'a> {
    fn of(run: &'a ScenarioRun) -> Self {
        let named = run.scenario.faults.iter().filter_map(|fault| match fault.kind {
            FaultKind::Disconnect { operation, .. } => Some(operation.to_string()),
            _ => None,
        });
        let named: BTreeSet<String> = named.collect();
        let values =
            run.history.operations.iter().filter_map(|operation| match (&operation.kind, operation.returned) {
                (Kind::Write(value), Some(returned)) if named.contains(&operation.name()) => {
                    Some((value.as_json(), returned.at))
                }
                _ => None,
            });
        Self { values: values.collect(), accepted: BTreeMap::new() }
    }

    /// Whether the record is the completion of a write whose client has gone.
    fn follow(&mut self, record: &Record) -> bool {
        match &record.event {
            Event::Accept { write, value: Some(value), .. } => {
                if let Some(gone) = self.values.get(value.as_json()) {
                    self.accepted.insert(*write, *gone);
                }
                false
            }
            Event::Complete { write, .. } => self.accepted.remove(write).is_some_and(|gone| gone < record.at),
            Event::Crash if record.node.can_lead() => {
                self.accepted.clear();
                false
            }
            _ => false,
        }
    }
}

/// The kind of link that became slow, if one did. A link that gets its usual latency back does not.
fn slowed(record: &Record, usual: Micros) -> Option<Exercised> {
    let Event::Fault { kind, nodes, latency: Some(latency), .. } = &record.event else { return None };
    let has_client = nodes.iter().any(|node| matches!(node, NodeId::Client(_)));
    match kind {
        Disturbance::Latency | Disturbance::LatencyOneWay if *latency == usual => None,
        Disturbance::Latency | Disturbance::LatencyOneWay if has_client => Some(Exercised::ClientSlow),
        Disturbance::Latency => Some(Exercised::Slow),
        Disturbance::LatencyOneWay => Some(Exercised::OneWay),
        _ => None,
    }
}

/// The last of the nodes that can lead which was started.
struct Rejoins(NodeId);

impl Default for Rejoins {
    fn default() -> Self {
        Self(NodeId::FIRST_SERVER)
    }
}

impl Rejoins {
    /// Whether a node starts again while a later one has taken its place.
    fn follow(&mut self, record: &Record) -> bool {
        let is_start = record.node.can_lead() && record.event == Event::Restart;
        let is_rejoin = is_start && record.node < self.0;
        if is_start {
            self.0 = self.0.max(record.node);
        }
        is_rejoin
    }
}

/// The followers that keep a part of a snapshot aside.
#[derive(Default)]
struct Snapshots(BTreeSet<NodeId>);

impl Snapshots {
    /// Whether a snapshot that had begun will not be completed.
    fn is_interrupted_by(&mut self, record: &Record) -> bool {
        match record.event {
            Event::Stage { parts, .. } => !self.0.insert(record.node) && parts == 1,
            Event::Install { .. } => {
                self.0.remove(&record.node);
                false
            }
            Event::Crash | Event::Promise { .. } => self.0.remove(&record.node),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Epoch, FollowerId};

    #[test]
    fn a_snapshot_is_interrupted_by_what_comes_instead_of_its_end() {
        let epoch = Epoch::FIRST;
        let follower = |number| NodeId::from(FollowerId(number));
        let count = |events: &[(u8, Event)]| {
            let mut snapshots = Snapshots::default();
            let of = |(number, event): &(u8, Event)| {
                let node = follower(*number);
                snapshots.is_interrupted_by(&Record { at: Micros(1), node, incarnation: 0, event: event.clone() })
            };
            events.iter().map(of).filter(|is| *is).count()
        };
        let part = |parts| Event::Stage { epoch, parts };
        assert_eq!(count(&[(0, part(1)), (0, part(2)), (0, Event::Install { epoch }), (0, Event::Crash)]), 0);
        assert_eq!(count(&[(0, part(1)), (1, part(1)), (1, Event::Crash), (1, Event::Crash)]), 1);
        assert_eq!(count(&[(0, part(1)), (0, part(1)), (0, part(2)), (0, part(1))]), 2, "another one began");
        assert_eq!(count(&[(0, part(1)), (0, Event::Promise { epoch, leader: 7 }), (0, part(1))]), 1);
    }
}
