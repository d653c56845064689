use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::base::trace::{
    Disturbance, Event, LostPart, MessageId, Micros, OperationId, Outcome, Record, Trace, WriteId, operation_name,
};
use crate::base::{Key, NodeId, Stamp};
use crate::check::{Finding, Property, Verdict};

/// How many sentences of what happened are told at the most, besides the first and those on what was broken.
const MOST_HAPPENINGS: usize = 7;

/// A short run in plain sentences: who wrote what, what became of it on its way, and which promise was broken. Printed by
/// its `Display`.
#[derive(Debug)]
pub struct Narration<'a> {
    trace: &'a Trace,
    verdict: &'a Verdict,
}

impl<'a> Narration<'a> {
    /// What led to this verdict.
    pub fn new(trace: &'a Trace, verdict: &'a Verdict) -> Self {
        Self { trace, verdict }
    }

    /// The sentences, in their order: no more than ten.
    pub fn sentences(&self) -> Vec<String> {
        let has_several_leaders = self.trace.records().iter().any(|record| record.node == NodeId::Server(1));
        let mut teller = Teller { has_several_leaders, ..Teller::default() };
        let mut told: Vec<Happening> = Vec::new();
        let (story, all) = (self.trace.story(), self.trace.records());
        let happened = if self.is_about_probes(&all[story.len()..]) { all } else { story };
        for record in happened {
            told.extend(teller.tell(record));
        }
        let mut sentences: Vec<String> = teller.cluster.take().into_iter().collect();
        sentences.extend(most_telling(told).into_iter().map(|happening| happening.sentence));
        let kept = if self.verdict.is_lost() { "Lost is" } else { "Broken is" };
        sentences.push(format!("{kept} {}: {}.", self.verdict.property, promise(self.verdict.property)));
        if let Some(first) = self.evidence().first() {
            sentences.push(format!("The evidence: {first}."));
        }
        sentences
    }

    /// The sentences that show what was violated or lost.
    fn evidence(&self) -> &'a [String] {
        match &self.verdict.finding {
            Finding::Violated(evidence) | Finding::Lost(evidence) => evidence,
            Finding::Holds(_) | Finding::Counted { .. } | Finding::NotApplicable(_) => &[],
        }
    }

    /// Whether what was violated shows in what clients wrote after everything was healed.
    fn is_about_probes(&self, after: &[Record]) -> bool {
        let is_no_name = |c: char| !c.is_alphanumeric() && c != '#';
        let first = self.evidence().first().into_iter().flat_map(|first| first.split(is_no_name));
        let named: BTreeSet<&str> = first.collect();
        after.iter().any(|record| match &record.event {
            Event::InvokeSet { operation, key, .. } | Event::InvokeDelete { operation, key, .. } => {
                named.contains(key.as_str()) || named.contains(format!("{}#{operation}", record.node).as_str())
            }
            _ => false,
        })
    }
}

impl fmt::Display for Narration<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, sentence) in (1..).zip(self.sentences()) {
            writeln!(f, "{place:>3}. {sentence}")?;
        }
        Ok(())
    }
}

/// What is promised, in a few words.
fn promise(property: Property) -> &'static str {
    match property {
        Property::Integrity => "a version of a key stands for one value, and nothing comes from nowhere",
        Property::Linearizability => "the leader answers as if there were one copy",
        Property::Durability => "what was acknowledged stays stored by as many followers as were required",
        Property::Convergence => "once everything is healed all replicas become equal",
        Property::Sessions => "a client sees its own writes and does not go back in time",
        Property::Prefix => "nobody sees a write without those before it",
        Property::Acknowledgement => "an acknowledgement means that as many followers as were required store the write",
        Property::MonotonicState => "what a node stores of a key never gets older",
        Property::Fencing => "an epoch has one leader, and a follower keeps what it has promised",
        Property::Liveness => "every request is answered in time, and after healing writes succeed",
        Property::Bounds => "what waits for a follower stays within its bounds",
        Property::Idempotence => "what a client asks for once more happens once",
        Property::LatencyLaw => "latencies follow from the quorum and the delays",
    }
}

/// Something worth telling.
struct Happening {
    /// How much it says about what went wrong.
    weight: u8,
    sentence: String,
}

/// Those that say the most, in the order in which they happened.
fn most_telling(told: Vec<Happening>) -> Vec<Happening> {
    let mut weights: Vec<(u8, usize)> =
        told.iter().enumerate().map(|(place, happening)| (u8::MAX - happening.weight, place)).collect();
    weights.sort_unstable();
    weights.truncate(MOST_HAPPENINGS);
    let mut places: Vec<usize> = weights.into_iter().map(|(_, place)| place).collect();
    places.sort_unstable();
    told.into_iter()
        .enumerate()
        .filter(|(place, _)| places.binary_search(place).is_ok())
        .map(|(_, happening)| happening)
        .collect()
}

/// What must be remembered to put names to what comes later.
#[derive(Default)]
struct Teller {
    /// Whether more than one node led, so that they are told by their names.
    has_several_leaders: bool,
    cluster: Option<String>,
    usual: Option<(Micros, Micros)>,
    writers: BTreeMap<String, NodeId>,
    /// By the names of their operations.
    callers: BTreeMap<u64, NodeId>,
    /// Who wrote what, if that is known.
    writes: BTreeMap<(u64, WriteId), (Key, Stamp, Option<NodeId>)>,
    reads: BTreeMap<(NodeId, OperationId), (NodeId, Key)>,
    stored: BTreeMap<(NodeId, u64, Key), Stamp>,
}

impl Teller {
    /// What a node is called.
    fn the(&self, node: NodeId) -> String {
        if node.can_lead() && !self.has_several_leaders { "the leader".into() } else { node.to_string() }
    }

    fn tell(&mut self, record: &Record) -> Option<Happening> {
        let at = record.at.0 / 1000;
        let (weight, sentence) = match &record.event {
            Event::Cluster { followers, write_quorum, delay, .. } => {
                let nodes = plural(*followers, "follower");
                let quorum = match (followers, write_quorum) {
                    (1, _) => "it has".to_owned(),
                    (_, 1) => "1 of them has".to_owned(),
                    _ => format!("{write_quorum} of them have"),
                };
                self.cluster = Some(format!(
                    "A leader replicates to {nodes}; a write is acknowledged once {quorum} confirmed it."
                ));
                self.usual = Some(*delay);
                return None;
            }
            Event::InvokeSet { operation, value, .. } => {
                self.callers.insert(operation_name(record.node, *operation), record.node);
                self.writers.insert(value.as_json().to_owned(), record.node);
                return None;
            }
            Event::InvokeDelete { operation, .. } => {
                self.callers.insert(operation_name(record.node, *operation), record.node);
                return None;
            }
            Event::InvokeGet { operation, target, key, .. } => {
                self.reads.insert((record.node, *operation), (*target, key.clone()));
                return None;
            }
            Event::Accept { write, key, stamp, value, operation, .. }
            | Event::Retry { write, key, stamp, value, operation, .. } => {
                let named = operation.and_then(|name| self.callers.get(&name));
                let writer = named.or_else(|| self.writers.get(value.as_ref()?.as_json())).copied();
                let who = writer.map_or("a client".to_owned(), |client| client.to_string());
                self.writes.insert((record.incarnation, *write), (key.clone(), *stamp, writer));
                let version = stamp.version;
                let text = match value {
                    _ if matches!(record.event, Event::Retry { .. }) => {
                        format!(
                            "At {at} ms {who} asks for version {version} of {key} once more; the leader knows it by its name."
                        )
                    }
                    Some(value) => {
                        format!("At {at} ms {who} writes {key} = {value}; the leader stores it as version {version}.")
                    }
                    None => format!("At {at} ms {who} deletes {key}; the leader stores that as version {version}."),
                };
                (5, text)
            }
            Event::Send { message, delay, lost, copy } => {
                return self.tell_fate(record, *message, *delay, *lost, *copy);
            }
            Event::Rpc { to, rpc, number, delay, lost, copy } => {
                let sender = if self.has_several_leaders { format!(" of {}", record.node) } else { String::new() };
                let fate = match (lost, copy) {
                    (Some(LostPart::Request), _) => "is lost".to_owned(),
                    (Some(LostPart::Reply), _) => "arrives, but the response to it is lost".to_owned(),
                    (None, Some(copy)) => {
                        format!("arrives twice, the second time {} ms after it was sent", copy.0 / 1000)
                    }
                    (None, None) => format!("takes {} ms", delay.0 / 1000),
                };
                (8, format!("At {at} ms: {rpc} request {number}{sender} to {to} {fate}."))
            }
            Event::Apply { key, stamp, .. } => {
                let before = self.stored.insert((record.node, record.incarnation, key.clone()), *stamp)?;
                if before <= *stamp {
                    return None;
                }
                let (old, new) = (before.version, stamp.version);
                (9, format!("At {at} ms {} stores version {new} of {key} over version {old}.", record.node))
            }
            Event::Reject { key, stamp, stored, .. } => {
                let (node, old, new) = (record.node, stored.version, stamp.version);
                (6, format!("At {at} ms {node}, which has version {old} of {key}, does not store version {new}."))
            }
            Event::Complete { write, ok, confirmations } => {
                let (key, stamp, writer) = self.writes.get(&(record.incarnation, *write))?;
                let client = writer.map_or("its client".to_owned(), |client| client.to_string());
                let by = plural(*confirmations, "confirmation");
                let told = if *ok { "ok" } else { "that the quorum was missed" };
                (7, format!("At {at} ms {client} is told {told} for version {} of {key}, with {by}.", stamp.version))
            }
            Event::Return { operation, outcome, stamp, .. } => {
                let (from, key) = self.reads.remove(&(record.node, *operation))?;
                let found = match (outcome, stamp) {
                    (Outcome::Ok, Some(stamp)) => format!("finds version {}", stamp.version),
                    (Outcome::Absent, _) => "finds nothing".to_owned(),
                    _ => "gets no answer".to_owned(),
                };
                (7, format!("At {at} ms {} reads {key} from {} and {found}.", record.node, self.the(from)))
            }
            Event::Collect { key, stamp } => {
                self.stored.remove(&(record.node, record.incarnation, key.clone()));
                let version = stamp.version;
                (
                    8,
                    format!(
                        "At {at} ms {} forgets that {key} was deleted as version {version}.",
                        self.the(record.node)
                    ),
                )
            }
            Event::Crash => (9, format!("At {at} ms {} is killed and loses its memory.", self.the(record.node))),
            Event::Restart => (9, format!("At {at} ms {} starts again, empty.", self.the(record.node))),
            Event::Fault { kind: Disturbance::Heal, .. } => (4, format!("At {at} ms everything is healed.")),
            Event::Fault { what, .. } => (9, format!("At {at} ms: {what}.")),
            Event::Recovered { from, anew, .. } if record.incarnation > 0 => {
                let from: Vec<String> = from.iter().map(ToString::to_string).collect();
                let text = match (anew, from.as_slice()) {
                    (true, []) => {
                        format!("At {at} ms {} finds that nothing has survived anywhere.", self.the(record.node))
                    }
                    (_, from) => {
                        format!("At {at} ms {} has recovered what {} stored.", self.the(record.node), from.join(", "))
                    }
                };
                (8, text)
            }
            Event::Serve { epoch } if record.incarnation > 0 => {
                (8, format!("At {at} ms {} serves again, in epoch {}.", self.the(record.node), epoch.get()))
            }
            Event::Require { write_quorum, members } => {
                let names: Vec<String> = members.iter().map(ToString::to_string).collect();
                let of = if names.is_empty() { String::new() } else { format!(" of {}", names.join(", ")) };
                let what = format!("a write is acknowledged once {write_quorum}{of} have confirmed it");
                (9, format!("It has another configuration now: {what}."))
            }
            Event::LoseKey { key, stamp } => {
                (9, format!("At {at} ms {} loses {stamp} of {key} and does not notice.", record.node))
            }
            Event::StepDown { .. } => {
                (9, format!("At {at} ms {} learns that there is another leader and steps down.", self.the(record.node)))
            }
            Event::Astray { follower, by } => {
                (8, format!("At {at} ms {} notices that {by} answers in place of {follower}.", self.the(record.node)))
            }
            Event::Install { .. } if record.incarnation > 0 => {
                (7, format!("At {at} ms {} has been brought up to date.", record.node))
            }
            Event::Recovered { .. } | Event::Serve { .. } | Event::Install { .. } | Event::Recover { .. } => {
                return None;
            }
            Event::Promise { .. } | Event::Stage { .. } | Event::Discard { .. } | Event::Forgot { .. } => return None,
            Event::Dispatch { .. } | Event::Ack { .. } | Event::Lost { .. } => return None,
        };
        Some(Happening { weight, sentence })
    }

    /// What becomes of a message, if it is not what usually does.
    fn tell_fate(
        &self,
        record: &Record,
        message: MessageId,
        delay: Micros,
        lost: Option<LostPart>,
        copy: Option<Micros>,
    ) -> Option<Happening> {
        let (key, stamp, _) = self.writes.get(&(record.incarnation, message.write))?;
        let name = match message.attempt {
            1 => format!("The message with version {} of {key} to {}", stamp.version, message.to),
            nth => format!("Message {nth} with version {} of {key} to {}", stamp.version, message.to),
        };
        let is_usual = self.usual.is_none_or(|(shortest, longest)| (shortest..=longest).contains(&delay));
        let fate = match (lost, copy) {
            (Some(LostPart::Request), _) => "is lost".to_owned(),
            (Some(LostPart::Reply), _) => "arrives, but the answer to it is lost".to_owned(),
            (None, Some(copy)) => format!("arrives twice, the second time {} ms after it was sent", copy.0 / 1000),
            (None, None) if !is_usual => format!("takes {} ms", delay.0 / 1000),
            (None, None) => return None,
        };
        Some(Happening { weight: 8, sentence: format!("{name} {fate}.") })
    }
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FollowerId;
    use crate::base::trace::Rpc;

    #[test]
    fn a_lost_rpc_is_narrated() {
        let mut trace = Trace::default();
        let (to, rpc, lost) = (FollowerId(0), Rpc::Promise, Some(LostPart::Reply));
        let event = Event::Rpc { to, rpc, number: 2, delay: Micros(0), lost, copy: None };
        trace.push(Record { at: Micros(7000), node: NodeId::FIRST_SERVER, incarnation: 0, event });
        let verdict = Verdict::unless(Property::Fencing, vec!["evidence".into()], String::new);
        let sentences = Narration::new(&trace, &verdict).sentences();
        assert_eq!(sentences[0], "At 7 ms: promise request 2 to f1 arrives, but the response to it is lost.");
    }
}
