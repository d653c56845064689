use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::base::NodeId;
use crate::base::history::Kind;
use crate::base::trace::{Disturbance, Event, LostPart, Micros, Outcome, Record, WriteId};
use crate::sim::scenario::{Fault, FaultKind, Scenario};
use crate::sim::{Generator, ScenarioRun};

/// Something that must have happened for a swarm to have tried anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exercised {
    /// A node was killed.
    Crash,
    /// It was started again.
    Restart,
    /// What goes to and from a node was held back.
    Hold,
    /// A link lost everything, one way or both.
    Partition,
    /// A link became slow.
    Slow,
    /// A message was lost.
    Drop,
    /// The answer to one was.
    DropReply,
    /// A message arrived twice.
    Duplicate,
    /// A message took longer than the emulated delays go.
    Delay,
    /// A client hung up.
    Disconnect,
    /// A write reached a follower after a later one.
    Reorder,
    /// A message was sent again.
    Resend,
}

impl Exercised {
    /// Everything, in the order of reports.
    pub const ALL: [Self; 12] = [
        Self::Crash,
        Self::Restart,
        Self::Hold,
        Self::Partition,
        Self::Slow,
        Self::Drop,
        Self::DropReply,
        Self::Duplicate,
        Self::Delay,
        Self::Disconnect,
        Self::Reorder,
        Self::Resend,
    ];

    /// Whether it is a fault, during which writes can be acknowledged, and not something that comes of faults.
    pub fn is_fault(self) -> bool {
        !matches!(self, Self::Restart | Self::Reorder | Self::Resend)
    }

    /// Whether what this generator makes can show it. Nothing restarts where nothing crashes, and what a rule brings about
    /// is not there without the rule.
    pub fn is_possible(self, generator: &Generator) -> bool {
        let rules = generator.rules.rules();
        match self {
            Self::Crash | Self::Restart => generator.crashes,
            Self::Reorder => rules.compare_stamps,
            Self::Resend => rules.resend_missed,
            _ => true,
        }
    }

    /// The fault of a scenario that it comes from.
    fn of_fault(fault: &FaultKind) -> Option<Self> {
        Some(match fault {
            FaultKind::Crash(_) => Self::Crash,
            FaultKind::Hold(_) => Self::Hold,
            FaultKind::Partition(_) => Self::Partition,
            FaultKind::Slow { .. } => Self::Slow,
            FaultKind::Drop(_) => Self::Drop,
            FaultKind::DropReply(_) => Self::DropReply,
            FaultKind::Duplicate(_) => Self::Duplicate,
            FaultKind::Delay { .. } => Self::Delay,
            FaultKind::Disconnect { .. } => Self::Disconnect,
            FaultKind::Restart(_) | FaultKind::Release(_) | FaultKind::Heal(_) => return None,
            FaultKind::Pause(_) | FaultKind::Resume(_) | FaultKind::Clock { .. } => return None,
        })
    }

    /// What a record shows to have happened.
    fn of_record(record: &Record, longest_delay_us: u64) -> Vec<Self> {
        match &record.event {
            Event::Crash => vec![Self::Crash],
            Event::Restart => vec![Self::Restart],
            Event::Reject { stored, stamp, .. } if stored > stamp => vec![Self::Reorder],
            Event::Fault { kind: Disturbance::Hold, .. } => vec![Self::Hold],
            Event::Fault { kind: Disturbance::Cut | Disturbance::Isolate, .. } => vec![Self::Partition],
            Event::Fault { kind: Disturbance::HangUp, .. } => vec![Self::Disconnect],
            Event::Send { message, delay, lost, copy } => {
                let seen = [
                    (Self::Drop, *lost == Some(LostPart::Request)),
                    (Self::DropReply, *lost == Some(LostPart::Reply)),
                    (Self::Duplicate, copy.is_some()),
                    (Self::Delay, delay.0 > longest_delay_us),
                    (Self::Resend, message.attempt > 1),
                ];
                seen.into_iter().filter(|(_, seen)| *seen).map(|(kind, _)| kind).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The names that scenarios use, and two more.
impl fmt::Display for Exercised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crash => "crash",
            Self::Restart => "restart",
            Self::Hold => "hold",
            Self::Partition => "partition",
            Self::Slow => "slow",
            Self::Drop => "drop",
            Self::DropReply => "drop_reply",
            Self::Duplicate => "duplicate",
            Self::Delay => "delay",
            Self::Disconnect => "disconnect",
            Self::Reorder => "reorder",
            Self::Resend => "resend",
        })
    }
}

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

/// What happened in some runs: a run in which nothing did proves nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exercise {
    counts: BTreeMap<Exercised, Count>,
    /// The writes that were acknowledged to their clients before everything was healed.
    pub writes: Share,
    /// The reads that were answered before everything was healed.
    pub reads: Share,
}

impl Exercise {
    /// What happened in a run before everything was healed.
    pub fn of(run: &ScenarioRun) -> Self {
        let mut exercise = Self::default();
        let healed = |record: &Record| matches!(record.event, Event::Fault { kind: Disturbance::Heal, .. });
        let records = run.trace.records();
        let until = records.iter().position(healed).unwrap_or(records.len());
        let longest_delay_us = run.scenario.cluster.delay_ms[1] * 1000;
        let windows = windows(&run.scenario);
        let mut abandoned = Abandoned::of(run);
        let mut seen = BTreeSet::new();
        for record in &records[..until] {
            let on = || windows.iter().filter(|window| window.contains(record.at)).map(|window| window.kind);
            let mut happened = Exercised::of_record(record, longest_delay_us);
            // A link that is given its usual latency back is not slow.
            if matches!(record.event, Event::Fault { kind: Disturbance::Latency, .. }) {
                happened.extend(on().find(|kind| *kind == Exercised::Slow));
            }
            for kind in happened {
                exercise.counts.entry(kind).or_default().times += 1;
                seen.insert(kind);
            }
            let abandoned = abandoned.follow(record).then_some(Exercised::Disconnect);
            if let Event::Complete { ok: true, .. } = record.event {
                for kind in on().chain(abandoned).collect::<BTreeSet<_>>() {
                    exercise.counts.entry(kind).or_default().acknowledged += 1;
                }
            }
        }
        for kind in seen {
            exercise.counts.entry(kind).or_default().runs += 1;
        }
        for operation in run.history.operations.iter().filter(|operation| operation.invoked.index < until) {
            let share = if operation.is_write() { &mut exercise.writes } else { &mut exercise.reads };
            share.of += 1;
            share.count += u64::from(matches!(operation.outcome, Outcome::Ok | Outcome::Absent));
        }
        exercise
    }

    /// Adds what happened in other runs.
    pub fn add(&mut self, other: &Self) {
        for (kind, count) in &other.counts {
            let sum = self.counts.entry(*kind).or_default();
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
    pub fn missing(&self, generator: &Generator) -> Vec<String> {
        let wanted = Exercised::ALL.into_iter().filter(|kind| kind.is_possible(generator));
        let missing = wanted.filter_map(|kind| match self.count(kind) {
            Count { times: 0, .. } => Some(kind.to_string()),
            Count { acknowledged: 0, .. } if kind.is_fault() => Some(format!("an acknowledgement under {kind}")),
            _ => None,
        });
        missing.collect()
    }

    /// How often this happened.
    pub fn count(&self, kind: Exercised) -> Count {
        self.counts.get(&kind).copied().unwrap_or_default()
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
            Event::Accept { write, value, .. } => {
                if let Some(gone) = self.values.get(value.as_json()) {
                    self.accepted.insert(*write, *gone);
                }
                false
            }
            Event::Complete { write, .. } => self.accepted.remove(write).is_some_and(|gone| gone < record.at),
            Event::Crash if record.node == NodeId::Leader => {
                self.accepted.clear();
                false
            }
            _ => false,
        }
    }
}

/// When a kind of fault was on.
struct Window {
    kind: Exercised,
    from: Micros,
    until: Micros,
}

impl Window {
    fn contains(&self, at: Micros) -> bool {
        (self.from..self.until).contains(&at)
    }
}

/// When which faults of a scenario are on, but for clients that hang up, which is over at once.
fn windows(scenario: &Scenario) -> Vec<Window> {
    let faults = &scenario.faults;
    let usual = scenario.cluster.link_ms;
    let window = |fault: &Fault| {
        let kind = Exercised::of_fault(&fault.kind).filter(|kind| *kind != Exercised::Disconnect)?;
        if matches!(fault.kind, FaultKind::Slow { latency_ms, .. } if latency_ms == usual) {
            return None;
        }
        let ended = faults.iter().filter(|other| other.at_ms > fault.at_ms && ends(&fault.kind, &other.kind));
        let until = fault.until_ms.or(ended.map(|other| other.at_ms).min());
        let micros = |ms: u64| Micros(ms.saturating_mul(1000));
        Some(Window { kind, from: micros(fault.at_ms), until: micros(until.unwrap_or(u64::MAX)) })
    };
    faults.iter().filter_map(window).collect()
}

/// Whether the one fault is over when the other happens.
fn ends(fault: &FaultKind, other: &FaultKind) -> bool {
    match (fault, other) {
        (FaultKind::Crash(a), FaultKind::Restart(b)) | (FaultKind::Hold(a), FaultKind::Release(b)) => a == b,
        (FaultKind::Partition(a), FaultKind::Heal(b)) => a == b,
        (FaultKind::Slow { node: a, to: c, .. }, FaultKind::Slow { node: b, to: d, .. }) => a == b && c == d,
        _ => false,
    }
}
