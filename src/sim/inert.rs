//! Faults that never struck: a scenario with one does not test what its author believes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use super::engine::{Strike, Triggers};
use super::run::ScenarioRun;
use super::scenario::{Fault, FaultKind, OperationName, RpcTarget, Target};
use super::spell::accepted_operations;
use crate::base::trace::{Disturbance, Event, MessageId, Micros, Record};
use crate::base::{FollowerId, NodeId, NodeRef};

/// A fault of a scenario that never struck.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InertFault {
    /// Its number in the scenario, counted from 1.
    pub number: usize,
    /// The fault as it stands in the scenario, in one line.
    pub fault: String,
    /// Why it did not strike, as far as the run shows.
    pub why: String,
}

/// `fault 2, crash = "f1": f1 was down already`
impl fmt::Display for InertFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault {}, {}: {}", self.number, self.fault, self.why)
    }
}

impl ScenarioRun {
    /// The faults that never struck, in the order of the scenario.
    pub fn inert_faults(&self) -> Vec<InertFault> {
        let story = Story::of(self);
        let faults = self.scenario.faults.iter().zip(&self.strikes).enumerate();
        let inert = faults.filter_map(|(place, (fault, strike))| {
            let why = match strike {
                Strike::At(at) => story.has_no_effect(fault, *at)?,
                Strike::Never(Some(why)) => why.clone(),
                Strike::Never(None) => story.why_never(place, fault),
            };
            Some(InertFault { number: place + 1, fault: in_a_line(fault), why })
        });
        inert.collect()
    }
}

/// The fields of a fault's table, in one line.
fn in_a_line(fault: &Fault) -> String {
    let table = toml::Table::try_from(fault).expect("a fault can be written as TOML");
    let fields: Vec<String> = table.iter().map(|(field, value)| format!("{field} = {value}")).collect();
    fields.join(", ")
}

/// The part of a run in which faults strike.
struct Story<'a> {
    run: &'a ScenarioRun,
    records: &'a [Record],
    /// When it ends: everything is healed then.
    end: Micros,
    /// The times of the events that faults waited for, by the places of the faults.
    triggered: BTreeMap<usize, Micros>,
    /// The operations of the writes that leaders took on.
    writes: BTreeMap<(u64, u64), OperationName>,
}

/// A message that a leader sent: its incarnation, the message and when.
type Sent = (u64, MessageId, Micros);

impl<'a> Story<'a> {
    fn of(run: &'a ScenarioRun) -> Self {
        let is_end =
            |record: &Record| matches!(record.event, Event::Fault { kind: Disturbance::Heal | Disturbance::Probe, .. });
        let all = run.trace.records();
        let records = &all[..all.iter().position(is_end).unwrap_or(all.len())];
        let mut triggers = Triggers::of(&run.scenario);
        // The first records are of the cluster's start, before faults wait for events.
        let has_begun = |record: &Record| record.at > Micros(0) || !record.node.is_node();
        let begun = records.iter().skip(1).position(has_begun).map_or(records.len(), |place| place + 1);
        let come = records[begun..].iter().flat_map(|record| {
            let places = triggers.follow(record);
            places.into_iter().map(|place| (place, record.at))
        });
        let triggered = come.collect();
        let end = all.get(records.len()).or(all.last()).map_or(Micros(0), |record| record.at);
        Self { run, records, end, triggered, writes: accepted_operations(records) }
    }

    /// Why a fault that struck changed nothing, if it did not.
    fn has_no_effect(&self, fault: &Fault, at: Micros) -> Option<String> {
        let is_start = |record: &Record| record.at >= at && record.node.can_lead() && record.event == Event::Restart;
        match fault.kind {
            FaultKind::Quorum(_) | FaultKind::Members(_) if !self.run.trace.records().iter().any(is_start) => {
                Some("no leader was started after it".into())
            }
            _ => None,
        }
    }

    fn why_never(&self, place: usize, fault: &Fault) -> String {
        if let Some(when) = &fault.when
            && !self.triggered.contains_key(&place)
        {
            let from = if fault.at_ms > 0 { format!(" from {} ms on", fault.at_ms) } else { String::new() };
            return format!("\"{}\" did not happen{from}", when.trigger);
        }
        let window = self.window(place, fault);
        if let FaultKind::Disconnect { operation, after_ms } = fault.kind {
            return self.why_not_hung_up(operation, after_ms);
        }
        if window.start > self.end {
            return format!("it begins at {} ms, after the end of the run at {} ms", ms(window.start), ms(self.end));
        }
        match &fault.kind {
            FaultKind::Rpc { target, .. } => why_no_rpc(target),
            kind => match kind.target() {
                Some(target) => self.why_no_message(target, &window),
                None => format!("the run ended before it, at {} ms", ms(self.end)),
            },
        }
    }

    /// When a fault of messages was on.
    fn window(&self, place: usize, fault: &Fault) -> Range<Micros> {
        let micros = |ms: u64| ms.saturating_mul(1000);
        match (&fault.when, self.triggered.get(&place)) {
            (Some(when), Some(Micros(at))) => {
                let start = at + micros(when.after_ms);
                Micros(start)..Micros(when.for_ms.map_or(u64::MAX, |for_ms| start + micros(for_ms)))
            }
            _ => Micros(micros(fault.at_ms))..Micros(fault.until_ms.map_or(u64::MAX, micros)),
        }
    }

    fn why_not_hung_up(&self, operation: OperationName, after_ms: u64) -> String {
        let of = |found: &&crate::base::history::Operation| {
            (found.client, found.number) == (NodeId::Client(operation.client), operation.number)
        };
        let returned = self
            .run
            .history
            .operations
            .iter()
            .find(of)
            .and_then(|found| Some(found.returned?.at.0.saturating_sub(found.invoked.at.0) as f64 / 1000.0));
        match returned {
            Some(took) => format!("{operation} had returned after {took} ms, before {after_ms} ms had passed"),
            None => format!("{operation} was never invoked"),
        }
    }

    /// Why no message that carries a write was struck.
    fn why_no_message(&self, target: &Target, window: &Range<Micros>) -> String {
        let Target { operation, to, attempt, per_mille } = target;
        let what = match (operation, to) {
            (None, None) => "message".to_owned(),
            (Some(operation), None) => format!("message of {operation}"),
            (None, Some(to)) => format!("message to {to}"),
            (Some(operation), Some(to)) => format!("message of {operation} to {to}"),
        };
        if let Some(operation) = operation.filter(|operation| !self.writes.values().any(|of| of == operation)) {
            return format!("no leader took {operation} on, so it was sent to no follower");
        }
        let sent: Vec<Sent> = self.sent(*operation, *to);
        if sent.is_empty() {
            return format!("no {what} was sent");
        }
        let of_attempt = |(_, message, _): &&Sent| attempt.is_none_or(|attempt| message.attempt == attempt);
        if let Some(attempt) = attempt.filter(|_| !sent.iter().any(|sent| of_attempt(&sent))) {
            let last = sent.iter().map(|(_, message, _)| message.attempt).max().unwrap_or_default();
            return if self.are_delivered(&sent) {
                format!("there was no attempt {attempt}: each {what} was delivered, at attempt {last} at the latest")
            } else {
                format!("there was no attempt {attempt}: the last attempt was {last}")
            };
        }
        let in_time = sent.iter().filter(of_attempt).filter(|(.., at)| window.contains(at)).count();
        match in_time {
            0 => format!("no {what} was sent while it was on"),
            1 => format!("of 1 {what} while it was on, none was drawn: per_mille = {per_mille}"),
            count => format!("of {count} messages while it was on, none was drawn: per_mille = {per_mille}"),
        }
    }

    /// The messages of an operation, or of all, to a follower, or to all.
    fn sent(&self, operation: Option<OperationName>, to: Option<NodeRef>) -> Vec<Sent> {
        let sent = self.records.iter().filter_map(|record| match record.event {
            Event::Send { message, .. } => Some((record.incarnation, message, record.at)),
            _ => None,
        });
        let is_of = |(incarnation, message, _): &Sent| {
            let of = self.writes.get(&(*incarnation, message.write));
            operation.is_none_or(|operation| of == Some(&operation))
                && to.is_none_or(|to| to == NodeRef::from(message.to))
        };
        sent.filter(is_of).collect()
    }

    /// Whether each follower to which these were sent has taken one of them.
    fn are_delivered(&self, sent: &[Sent]) -> bool {
        let acknowledged: BTreeSet<(u64, MessageId)> = self
            .records
            .iter()
            .filter_map(|record| match record.event {
                Event::Ack { message, .. } => Some((record.incarnation, message)),
                _ => None,
            })
            .collect();
        let of = |follower: FollowerId| {
            sent.iter().any(|(incarnation, message, _)| {
                message.to == follower && acknowledged.contains(&(*incarnation, *message))
            })
        };
        sent.iter().all(|(_, message, _)| of(message.to))
    }
}

/// Why no RPC was struck. Those to which nothing is done leave no record.
fn why_no_rpc(target: &RpcTarget) -> String {
    let RpcTarget { rpc, from, to, number, per_mille } = target;
    let number = number.map(|number| format!(" number {number}")).unwrap_or_default();
    let from = from.map(|from| format!(" of {from}")).unwrap_or_default();
    let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
    let drawn = if *per_mille < 1000 { ", or none was drawn" } else { "" };
    format!("no {rpc} request{number}{from}{to} was sent while it was on{drawn}")
}

fn ms(at: Micros) -> f64 {
    at.0 as f64 / 1000.0
}
