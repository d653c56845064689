use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use crate::base::trace::{
    Disturbance, Event, LossReason, LostPart, MessageId, Micros, OperationId, Outcome, Record, RequestId, Trace,
    WriteId,
};
use crate::base::{FollowerId, Key, NodeId, Stamp};

/// Up to how many followers a diagram fits a terminal.
const MOST_FOLLOWERS: usize = 8;
/// Up to how many writes a diagram can be read.
const MOST_WRITES: usize = 12;

/// Up to how many reads they may be among.
const MOST_READS: usize = 24;

/// Columns of a lane.
const LANE: usize = 13;

/// The messages of a trace's story, drawn from the leaders' lanes to the followers', one line for each thing that happened.
/// Printed by its `Display`.
#[derive(Debug)]
pub struct Diagram<'a> {
    trace: &'a Trace,
    lanes: Lanes,
    /// The places in the story of what is drawn; everything if not given.
    events: Option<&'a BTreeSet<usize>>,
}

/// The columns of a diagram: the nodes that can lead, then the followers.
#[derive(Debug)]
struct Lanes {
    servers: Vec<NodeId>,
    followers: Vec<FollowerId>,
}

impl<'a> Diagram<'a> {
    /// What fits, in words.
    pub const LIMITS: &'static str = "a picture has room for 8 followers, 12 writes and 24 reads";

    /// The diagram of a trace of a cluster with this many followers; `None` where it would be too large to be read.
    pub fn new(trace: &'a Trace, followers: usize) -> Option<Self> {
        let count = |wanted: fn(&Event) -> bool| trace.story().iter().filter(|record| wanted(&record.event)).count();
        let fits = followers <= MOST_FOLLOWERS
            && count(|event| matches!(event, Event::Accept { .. })) <= MOST_WRITES
            && count(|event| matches!(event, Event::InvokeGet { .. })) <= MOST_READS;
        fits.then(|| Self::of(trace, FollowerId::first(followers).collect(), None))
    }

    /// The diagram of the events at these places in the story of a trace, of the leaders and one follower.
    pub(super) fn of_events(trace: &'a Trace, follower: FollowerId, events: &'a BTreeSet<usize>) -> Self {
        Self::of(trace, vec![follower], Some(events))
    }

    fn of(trace: &'a Trace, followers: Vec<FollowerId>, events: Option<&'a BTreeSet<usize>>) -> Self {
        let records = trace.story().iter();
        let servers: BTreeSet<NodeId> = records.map(|record| record.node).filter(|node| node.can_lead()).collect();
        let servers = servers.into_iter().chain([NodeId::FIRST_SERVER]).collect::<BTreeSet<_>>();
        Self { trace, lanes: Lanes { servers: servers.into_iter().collect(), followers }, events }
    }
}

impl fmt::Display for Diagram<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lanes = format!("{:>10}  ", "ms");
        for node in self.lanes.nodes() {
            // Where several nodes can lead, the lines below say which does when.
            let is_only = node.can_lead() && self.lanes.servers.len() == 1;
            let name = if is_only { format!("leader {node}") } else { node.to_string() };
            write!(lanes, "{name:<LANE$}")?;
        }
        writeln!(f, "{}", lanes.trim_end())?;
        let mut reader = Reader::default();
        for (place, record) in self.trace.story().iter().enumerate() {
            // What is not drawn puts names to what is.
            let line = reader.line(record, &self.lanes);
            if let Some(line) = line.filter(|_| self.events.is_none_or(|events| events.contains(&place))) {
                writeln!(f, "{:>10.1}  {}", record.at.0 as f64 / 1e3, line.trim_end())?;
            }
        }
        Ok(())
    }
}

/// What has been learnt from the records so far, to put names to what comes later.
struct Reader {
    /// By the life of the leader, and its number for the write; and the same of messages.
    writes: BTreeMap<(u64, WriteId), (Key, Stamp)>,
    delays: BTreeMap<(u64, MessageId), Micros>,
    /// The messages of each request that have not been seen to arrive, last one first.
    requests: BTreeMap<(FollowerId, RequestId), Vec<MessageId>>,
    /// The usual latency of a link.
    link: Option<Micros>,
    /// The node and the key of each read that has not returned.
    reads: BTreeMap<(NodeId, OperationId), (NodeId, Key)>,
    /// The node of each incarnation of a leader.
    leaders: BTreeMap<u64, NodeId>,
    /// The leader that each follower has promised its epoch.
    promised: BTreeMap<NodeId, NodeId>,
}

impl Default for Reader {
    fn default() -> Self {
        let (writes, delays, requests, link, reads, promised) = Default::default();
        let leaders = BTreeMap::from([(0, NodeId::FIRST_SERVER)]);
        Self { writes, delays, requests, link, reads, leaders, promised }
    }
}

impl Reader {
    /// The line of a record, if it has one.
    fn line(&mut self, record: &Record, lanes: &Lanes) -> Option<String> {
        let node = record.node;
        match &record.event {
            Event::Accept { write, key, stamp, value, .. } => {
                self.writes.insert((record.incarnation, *write), (key.clone(), *stamp));
                let note = if value.is_some() { "accepted" } else { "accepted, deletes the key" };
                Some(lanes.cell(node, &format!("● {key} {stamp}"), note))
            }
            Event::Retry { write, key, stamp, .. } => {
                self.writes.insert((record.incarnation, *write), (key.clone(), *stamp));
                Some(lanes.cell(node, &format!("○ {key} {stamp}"), "asked for once more, nothing new"))
            }
            Event::Send { message, delay, lost, .. } => {
                self.delays.insert((record.incarnation, *message), *delay);
                let (key, stamp) = self.writes.get(&(record.incarnation, message.write))?;
                let to = message.to.into();
                lost.map(|part| match part {
                    LostPart::Request => {
                        lanes.arrow(&format!("{key} {stamp}"), (node, to), "╳", "the network loses the message")
                    }
                    LostPart::Reply => {
                        lanes.cell(node, "", &format!("the network loses {}'s answer to {key} {stamp}", message.to))
                    }
                })
            }
            Event::Rpc { to, rpc, number, delay, lost, copy } => {
                let (what, ms) = (format!("{rpc} {number}"), |time: Micros| time.0 as f64 / 1e3);
                let (head, note) = match (lost, copy) {
                    (Some(LostPart::Request), _) => ("╳", "the network loses the request".to_owned()),
                    (Some(LostPart::Reply), _) => ("▶╳", "the network loses the response".to_owned()),
                    (None, Some(copy)) => ("▶▶", format!("arrives again {:.0} ms later", ms(*copy))),
                    (None, None) => ("▶", format!("takes {:.0} ms", ms(*delay))),
                };
                Some(lanes.arrow(&what, (node, (*to).into()), head, &format!("FAULT: {note}")))
            }
            Event::Dispatch { request, to, messages } => {
                self.requests.insert((*to, *request), messages.iter().rev().copied().collect());
                None
            }
            Event::Apply { request, key, stamp, .. } => {
                let note = format!("applied{}", self.arrival(record.node, *request));
                Some(lanes.arrow(&format!("{key} {stamp}"), (self.sender(node, *request), node), "▶✓", &note))
            }
            Event::Reject { request, key, stamp, stored } => {
                let why = if stored > stamp {
                    format!("rejected as stale, has {stored}")
                } else {
                    format!("rejected, has a {stored}")
                };
                let note = format!("{why}{}", self.arrival(record.node, *request));
                Some(lanes.arrow(&format!("{key} {stamp}"), (self.sender(node, *request), node), "▶✗", &note))
            }
            Event::Lost { message, reason } => {
                let (key, stamp) = self.writes.get(&(record.incarnation, message.write))?;
                Some(lanes.arrow(&format!("{key} {stamp}"), (node, message.to.into()), "╳", lost(*reason)))
            }
            Event::Complete { write, ok, confirmations } => {
                let (key, stamp) = self.writes.get(&(record.incarnation, *write))?;
                let note = if *ok { "acknowledged" } else { "quorum missed" };
                let plural = if *confirmations == 1 { "" } else { "s" };
                let note = format!("{note} with {confirmations} confirmation{plural}");
                Some(lanes.cell(node, &format!("■ {key} {stamp}"), &note))
            }
            Event::Crash => Some(lanes.cell(node, "", &format!("FAULT: {} crashes", record.node))),
            Event::Promise { leader, .. } => {
                let leader = self.leaders.get(leader).copied().unwrap_or(NodeId::FIRST_SERVER);
                self.promised.insert(node, leader);
                None
            }
            Event::Restart if node.can_lead() && !self.leaders.values().any(|known| *known == node) => {
                self.leaders.insert(record.incarnation, node);
                Some(lanes.cell(node, "", &format!("{node} is started")))
            }
            Event::Restart => {
                if node.can_lead() {
                    self.leaders.insert(record.incarnation, node);
                }
                Some(lanes.cell(node, "", &format!("{node} is started again, empty")))
            }
            Event::Fault { kind, latency, what, .. } => {
                let begins = match kind {
                    Disturbance::Reconnect | Disturbance::Release | Disturbance::Mend => false,
                    Disturbance::Redirect | Disturbance::Heal | Disturbance::Probe | Disturbance::Configure => false,
                    // A link that is as fast as usual again has no fault.
                    Disturbance::Latency | Disturbance::LatencyOneWay => *latency != self.link,
                    _ => true,
                };
                let note = if begins { format!("FAULT: {what}") } else { what.clone() };
                Some(lanes.cell(node, "", &note))
            }
            Event::InvokeGet { operation, target, key, .. } => {
                self.reads.insert((record.node, *operation), (*target, key.clone()));
                None
            }
            Event::Return { operation, outcome, stamp, .. } => {
                let (target, key) = self.reads.remove(&(record.node, *operation))?;
                let found = match (outcome, stamp) {
                    (Outcome::Ok, Some(stamp)) => format!("○ {key} {stamp}"),
                    (Outcome::Absent, _) => format!("○ no {key}"),
                    _ => "○ no answer".to_owned(),
                };
                Some(lanes.cell(target, &found, &format!("{} reads", record.node)))
            }
            Event::Cluster { link, .. } => {
                self.link = Some(*link);
                None
            }
            Event::Recovered { from, anew, .. } if record.incarnation > 0 => {
                let from: Vec<String> = from.iter().map(ToString::to_string).collect();
                let note = match (anew, from.as_slice()) {
                    (true, []) => "nothing has survived: begins anew".to_owned(),
                    (_, from) => format!("recovers from {}", from.join(", ")),
                };
                Some(lanes.cell(node, "", &note))
            }
            Event::Serve { epoch } if record.incarnation > 0 => {
                Some(lanes.cell(node, "", &format!("serves in epoch {}", epoch.get())))
            }
            Event::Require { write_quorum, members } => {
                let names: Vec<String> = members.iter().map(ToString::to_string).collect();
                let others =
                    if names.is_empty() { String::new() } else { format!(" and the members {}", names.join(", ")) };
                Some(lanes.cell(node, "", &format!("{node} has a quorum of {write_quorum}{others} now")))
            }
            Event::StepDown { .. } => Some(lanes.cell(node, "", "steps down: there is another leader")),
            Event::Install { epoch } if epoch.get() > 1 || record.incarnation > 0 => {
                Some(lanes.cell(node, "up to date", &format!("for epoch {}", epoch.get())))
            }
            Event::Forgot { follower } => {
                Some(lanes.cell(node, "", &format!("what {follower} confirmed counts no more")))
            }
            Event::Astray { follower, by } => {
                Some(lanes.cell(node, "", &format!("learns that {by} answers in place of {follower}")))
            }
            Event::Collect { key, stamp } => {
                Some(lanes.cell(node, &format!("forgets {key}"), &format!("was deleted as {stamp}")))
            }
            Event::Recovered { .. } | Event::Serve { .. } | Event::Install { .. } => None,
            Event::LoseKey { key, stamp } => Some(lanes.cell(
                node,
                &format!("loses {key}"),
                &format!("FAULT: had it as {stamp}, and does not notice"),
            )),
            Event::Recover { .. } | Event::Stage { .. } | Event::Discard { .. } => None,
            Event::InvokeSet { .. } | Event::InvokeDelete { .. } | Event::Ack { .. } => None,
        }
    }

    /// The leader that sent what a follower handles.
    fn sender(&self, follower: NodeId, request: Option<RequestId>) -> NodeId {
        let of_request = request.and_then(|request| self.leaders.get(&request.incarnation));
        of_request.or_else(|| self.promised.get(&follower)).copied().unwrap_or(NodeId::FIRST_SERVER)
    }

    /// How the message that a follower handles next came to it.
    fn arrival(&mut self, node: NodeId, request: Option<RequestId>) -> String {
        let message = match (node, request) {
            (NodeId::Follower(id), Some(request)) => {
                let message = self.requests.get_mut(&(id, request)).and_then(Vec::pop);
                message.map(|message| (request.incarnation, message))
            }
            _ => None,
        };
        let Some((life, message)) = message else { return " (in a snapshot)".to_owned() };
        let delay = self.delays.get(&(life, message)).map_or(0, |delay| delay.0);
        let again = if message.attempt > 1 { format!(", attempt {}", message.attempt) } else { String::new() };
        format!(" (delayed {:.0} ms{again})", delay as f64 / 1e3)
    }
}

fn lost(reason: LossReason) -> &'static str {
    match reason {
        LossReason::Connect => "no connection",
        LossReason::Deadline => "no answer by the deadline",
        LossReason::Disconnect => "connection lost",
        LossReason::Refused => "refused",
        LossReason::Fenced => "refused, for another epoch is promised",
        LossReason::Recovering => "taken, but the follower is recovering and does not count",
        LossReason::Legacy => "taken, but the follower knows no epochs and does not count",
    }
}

impl Lanes {
    fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.servers.iter().copied().chain(self.followers.iter().copied().map(NodeId::from))
    }

    /// The column of a node. What clients and the network do is noted beside the first.
    fn of(&self, node: NodeId) -> usize {
        self.nodes().position(|other| other == node).unwrap_or(0)
    }

    /// What an empty column shows. The column of the only leader has no line, because nearly every line of text starts there.
    fn blank(&self, node: NodeId) -> String {
        pad(if node.can_lead() && self.servers.len() == 1 { "" } else { "│" }, LANE)
    }

    /// Something that happens on one node.
    fn cell(&self, node: NodeId, text: &str, note: &str) -> String {
        let lane = self.of(node);
        let cells = self.nodes().enumerate().map(|(other, of)| match other {
            _ if other == lane && (!text.is_empty() || !node.is_node()) => pad(text, LANE),
            _ => self.blank(of),
        });
        cells.collect::<String>() + note
    }

    /// A message from one node to another.
    fn arrow(&self, what: &str, (from, to): (NodeId, NodeId), head: &str, note: &str) -> String {
        let (from, to) = (self.of(from), self.of(to));
        let mut line: String = self.nodes().take(from).map(|node| self.blank(node)).collect();
        let text = format!("├─ {what} ");
        let width = (to.saturating_sub(from) * LANE).saturating_sub(text.chars().count() + head.chars().count() - 1);
        line.push_str(&text);
        line.push_str(&"─".repeat(width));
        line.push_str(head);
        let mut line = pad(&line, (to + 1) * LANE);
        for node in self.nodes().skip(to + 1) {
            line.push_str(&self.blank(node));
        }
        line + note
    }
}

fn pad(text: &str, width: usize) -> String {
    format!("{text:<width$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Value, Version};

    fn trace() -> Trace {
        let mut trace = Trace::default();
        let mut at = 0;
        let mut push = |node, event| {
            at += 1500;
            trace.push(Record { at: Micros(at), node, incarnation: 0, event });
        };
        let (leader, f1, f2) = (NodeId::FIRST_SERVER, FollowerId(0), FollowerId(1));
        let key = || Key::new("x").unwrap();
        let stamp = |version| Stamp::of_version(Version::new(version).unwrap());
        let request = RequestId { incarnation: 0, number: 1 };
        let message = |write, to, attempt| MessageId { write, to, attempt };
        let value = || Value::from_json("1").unwrap();
        push(
            NodeId::Network,
            Event::Cluster {
                followers: 2,
                write_quorum: 1,
                repl_timeout: Micros(5_000_000),
                delay: (Micros(0), Micros(9000)),
                link: Micros(1000),
                window: 9,
                spares: 0,
            },
        );
        push(
            NodeId::Client(0),
            Event::InvokeSet {
                operation: 1,
                target: leader,
                key: key(),
                value: value(),
                request_id: None,
                if_version: None,
            },
        );
        for write in 1..=2 {
            let value = Some(value());
            let (key, stamp) = (key(), stamp(write));
            push(leader, Event::Accept { write, key, stamp, value, operation: None, request_id: None });
            push(
                leader,
                Event::Send { message: message(write, f1, 1), delay: Micros(9000 / write), lost: None, copy: None },
            );
        }
        push(leader, Event::Dispatch { request, to: f1, messages: [message(2, f1, 1), message(1, f1, 1)].into() });
        push(f1.into(), Event::Apply { request: Some(request), key: key(), stamp: stamp(2), value: Some(value()) });
        push(f1.into(), Event::Reject { request: Some(request), key: key(), stamp: stamp(1), stored: stamp(2) });
        push(leader, Event::Complete { write: 2, ok: true, confirmations: 1 });
        push(leader, Event::Lost { message: message(2, f2, 1), reason: LossReason::Deadline });
        push(
            leader,
            Event::Send { message: message(2, f2, 2), delay: Micros(0), lost: Some(LostPart::Request), copy: None },
        );
        push(
            leader,
            Event::Send { message: message(2, f2, 3), delay: Micros(0), lost: Some(LostPart::Reply), copy: None },
        );
        let get = |operation| Event::InvokeGet {
            operation,
            target: f1.into(),
            key: key(),
            mode: crate::base::ReadMode::Local,
        };
        let found =
            |operation, outcome, stamp| Event::Return { operation, outcome, stamp, value: None, confirmed: None };
        for (operation, outcome, stamp) in
            [(2, Outcome::Ok, Some(stamp(2))), (3, Outcome::Absent, None), (4, Outcome::Failed, None)]
        {
            push(NodeId::Client(0), get(operation));
            push(NodeId::Client(0), found(operation, outcome, stamp));
        }
        for (kind, latency, what) in [
            (Disturbance::Hold, None, "hold f1"),
            (Disturbance::Latency, Some(Micros(11_000)), "f1 and leader are 11 ms apart"),
            (Disturbance::Latency, Some(Micros(1000)), "f1 and leader are 1 ms apart"),
            (Disturbance::Heal, None, "everything is healed"),
            (Disturbance::Probe, None, "clients probe the healed store"),
        ] {
            push(NodeId::Network, Event::Fault { kind, nodes: Vec::new(), latency, what: what.into() });
        }
        push(f2.into(), Event::Apply { request: None, key: key(), stamp: stamp(7), value: Some(value()) });
        let (operation, value, request_id) = (Some(1), None, None);
        push(leader, Event::Accept { write: 9, key: key(), stamp: stamp(8), value, operation, request_id });
        let (value, request_id) = (None, None);
        push(leader, Event::Retry { write: 10, key: key(), stamp: stamp(7), value, operation, request_id });
        push(f1.into(), Event::Collect { key: key(), stamp: stamp(8) });
        trace
    }

    #[test]
    fn a_small_trace_drawn() {
        insta::assert_snapshot!(Diagram::new(&trace(), 2).unwrap());
    }

    /// Each effect of a fault on an RPC has a line, with its kind and number.
    #[test]
    fn disturbed_rpcs_are_drawn() {
        let mut trace = Trace::default();
        for (number, delay, lost, copy) in [
            (1, 0, Some(LostPart::Request), None),
            (2, 0, Some(LostPart::Reply), None),
            (3, 0, None, Some(Micros(30_000))),
            (4, 900_000, None, None),
        ] {
            let (to, rpc, delay) = (FollowerId(1), crate::base::trace::Rpc::Adopt, Micros(delay));
            let event = Event::Rpc { to, rpc, number, delay, lost, copy };
            trace.push(Record { at: Micros(1000), node: NodeId::FIRST_SERVER, incarnation: 0, event });
        }
        let drawn = Diagram::new(&trace, 2).unwrap().to_string();
        let lines: Vec<&str> = drawn.lines().skip(1).collect();
        for (line, head, note) in [
            (0, "├─ adopt 1 ───────────────╳", "FAULT: the network loses the request"),
            (1, "├─ adopt 2 ──────────────▶╳", "FAULT: the network loses the response"),
            (2, "├─ adopt 3 ──────────────▶▶", "FAULT: arrives again 30 ms later"),
            (3, "├─ adopt 4 ───────────────▶", "FAULT: takes 900 ms"),
        ] {
            assert!(lines[line].contains(head) && lines[line].ends_with(note), "{}", lines[line]);
        }
    }

    #[test]
    fn what_would_not_fit_is_not_drawn() {
        assert!(Diagram::new(&trace(), MOST_FOLLOWERS + 1).is_none());
    }
}
