use std::collections::BTreeMap;
use std::ops::Range;

use crate::base::NodeId;
use crate::base::history::{Moment, Operation};
use crate::base::trace::{Disturbance, Event, Micros, Record};
use crate::check::Excuse;
use crate::check::client_links::ClientLinks;
use crate::check::prepared::Prepared;

/// How long a leader that does not serve keeps a request before it refuses it.
const PARKED: Micros = Micros(1_000_000);

/// The times at which each node could not do what is expected of it, by places among the records.
pub(super) struct Outages<'a> {
    records: &'a [Record],
    of_node: BTreeMap<(NodeId, Outage), Vec<Range<usize>>>,
    client_links: ClientLinks,
}

/// A reason for which a node does not do what is expected of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outage {
    /// It is down. A request for a connection may have no answer until it is up.
    Down,
    /// Of a leader: it does not serve yet.
    Starting,
    /// It is stopped.
    Paused,
    /// Its clock is wrong. Of a leader only: a follower has no timers.
    Clock,
}

impl Outage {
    pub(super) fn excuse(self) -> Excuse {
        match self {
            Self::Down => Excuse::NodeDown,
            Self::Starting => Excuse::LeaderStarting,
            Self::Paused => Excuse::NodePaused,
            Self::Clock => Excuse::WrongClock,
        }
    }
}

impl<'a> Outages<'a> {
    pub(super) fn of(prepared: &Prepared<'a>) -> Self {
        let records = prepared.run.records;
        let end = records.len();
        let mut of_node: BTreeMap<(NodeId, Outage), Vec<Range<usize>>> = BTreeMap::new();
        let mut recovers = false;
        let usual = prepared.run.facts.map_or(Micros(0), |facts| facts.link_latency.into());
        // Where its first questions may have no answer in time, a cluster is not up when the records begin.
        if prepared.run.facts.is_some_and(|facts| !facts.is_answered_in_time()) {
            of_node.entry((NodeId::FIRST_SERVER, Outage::Starting)).or_default().push(0..end);
        }
        let mut client_links = ClientLinks::new(usual);
        for (index, record) in prepared.deeds() {
            client_links.follow(index, record);
            let (begins, ends) = match &record.event {
                // What is killed while it is stopped is not stopped when it is started again.
                Event::Crash => (Some((record.node, Outage::Down)), Some((record.node, Outage::Paused))),
                // Once any leader has recovered, every leader does.
                Event::Restart if record.node.can_lead() && recovers => {
                    (Some((record.node, Outage::Starting)), Some((record.node, Outage::Down)))
                }
                Event::Restart => (None, Some((record.node, Outage::Down))),
                Event::StepDown { .. } => (Some((record.node, Outage::Starting)), None),
                Event::Accept { .. } => (None, Some((record.node, Outage::Starting))),
                Event::Serve { .. } => {
                    recovers = true;
                    (None, Some((record.node, Outage::Starting)))
                }
                Event::Fault { kind, nodes, .. } => match (kind, nodes.first()) {
                    (Disturbance::Pause, Some(node)) => (Some((*node, Outage::Paused)), None),
                    (Disturbance::Resume, Some(node)) => (None, Some((*node, Outage::Paused))),
                    (Disturbance::ClockOff, Some(node)) if node.can_lead() => (Some((*node, Outage::Clock)), None),
                    (Disturbance::ClockRight, Some(node)) if node.can_lead() => (None, Some((*node, Outage::Clock))),
                    (Disturbance::Heal, _) => {
                        let healed = of_node.iter_mut().filter(|((_, outage), _)| match outage {
                            Outage::Paused | Outage::Clock => true,
                            Outage::Down | Outage::Starting => false,
                        });
                        let open = healed.filter_map(|(_, outages)| outages.last_mut().filter(|last| last.end == end));
                        open.for_each(|outage| outage.end = index);
                        continue;
                    }
                    _ => continue,
                },
                _ => continue,
            };
            if let Some(outage) =
                ends.and_then(|ends| of_node.get_mut(&ends)?.last_mut().filter(|last| last.end == end))
            {
                outage.end = index;
            }
            if let Some(begins) = begins {
                of_node.entry(begins).or_default().push(index..end);
            }
        }
        client_links.end(end);
        Self { records, of_node, client_links }
    }

    /// Whether the link between a client and the node that it asked was cut, or had another latency than usual, at any point up
    /// to this place.
    pub(super) fn touch_link(&self, operation: &Operation, until: usize) -> bool {
        self.client_links.touch(operation.client, operation.target, operation.invoked.index, until)
    }

    /// Of the outages of a node that touch this span, the one that keeps it the longest from answering what came at the
    /// beginning of the span; and until when.
    pub(super) fn last(&self, node: NodeId, from: Moment, until: usize) -> Option<(Micros, Outage)> {
        let at = |place: usize| self.records.get(place).or(self.records.last()).map_or(Micros(0), |record| record.at);
        let of_node = self.of_node.range((node, Outage::Down)..=(node, Outage::Clock));
        let all = of_node.flat_map(|((_, outage), spans)| spans.iter().map(|span| (*outage, span)));
        let touching: Vec<(Outage, &Range<usize>)> =
            all.filter(|(_, span)| span.start <= until && from.index <= span.end).collect();
        let others = touching.iter().filter(|(outage, _)| *outage != Outage::Starting);
        let others = others.map(|(outage, span)| (at(span.end), *outage)).max();
        // A leader that recovers refuses what it has kept for a while, once it gets to it.
        let begins = others.map_or(from.at, |(over, _)| over.max(from.at));
        let refused = |span: &Range<usize>| at(span.end).min(Micros(at(span.start).max(begins).0 + PARKED.0));
        let starting = touching.iter().filter(|(outage, _)| *outage == Outage::Starting);
        let starting = starting.map(|(outage, span)| (refused(span), *outage)).max();
        others.max(starting)
    }
}
