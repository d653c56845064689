//! When the links between clients and nodes were not as usual.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::base::NodeId;
use crate::base::trace::{Disturbance, Event, Micros, Record};

/// Followed through a trace, by places among its records.
#[derive(Debug)]
pub(super) struct ClientLinks {
    usual: Micros,
    links: BTreeMap<(NodeId, NodeId), Link>,
}

/// The state of the link between a client and a node.
#[derive(Debug, Default)]
struct Link {
    /// How many cuts are on, in either direction.
    cut: u32,
    /// For each direction, whether it is slower or faster than usual: from the client, and to it.
    unusual: [bool; 2],
    /// Where the present disturbance began.
    since: Option<usize>,
    disturbed: Vec<Range<usize>>,
}

impl ClientLinks {
    pub(super) fn new(usual: Micros) -> Self {
        Self { usual, links: BTreeMap::new() }
    }

    pub(super) fn follow(&mut self, place: usize, record: &Record) {
        let Event::Fault { kind, nodes, latency, .. } = &record.event else { return };
        if *kind == Disturbance::Heal {
            for link in self.links.values_mut() {
                (link.cut, link.unusual) = (0, [false; 2]);
                link.look(place);
            }
            return;
        }
        let (client, node, direction) = match nodes[..] {
            [client @ NodeId::Client(_), node] => (client, node, 0),
            [node, client @ NodeId::Client(_)] => (client, node, 1),
            _ => return,
        };
        let link = self.links.entry((client, node)).or_default();
        let is_unusual = *latency != Some(self.usual);
        match kind {
            Disturbance::Cut => link.cut += 1,
            Disturbance::Mend => link.cut = link.cut.saturating_sub(1),
            Disturbance::Latency => link.unusual = [is_unusual; 2],
            Disturbance::LatencyOneWay => link.unusual[direction] = is_unusual,
            _ => {}
        }
        link.look(place);
    }

    /// The trace ends here.
    pub(super) fn end(&mut self, place: usize) {
        for link in self.links.values_mut() {
            link.disturbed.extend(link.since.take().map(|since| since..place));
        }
    }

    /// Whether the link was not as usual at any point of this span.
    pub(super) fn touch(&self, client: NodeId, node: NodeId, from: usize, until: usize) -> bool {
        let disturbed = self.links.get(&(client, node)).map_or(&[][..], |link| &link.disturbed);
        disturbed.iter().any(|disturbed| disturbed.start <= until && from <= disturbed.end)
    }
}

impl Link {
    fn look(&mut self, place: usize) {
        let is_disturbed = self.cut > 0 || self.unusual != [false; 2];
        match (is_disturbed, self.since) {
            (true, None) => self.since = Some(place),
            (false, Some(since)) => {
                self.disturbed.push(since..place);
                self.since = None;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_disturbed_from_the_first_fault_to_the_last_end() {
        let (c1, n1) = (NodeId::Client(0), NodeId::FIRST_SERVER);
        let fault = |kind, nodes: [NodeId; 2], latency: Option<u64>| {
            let event = Event::Fault { kind, nodes: nodes.into(), latency: latency.map(Micros), what: String::new() };
            Record { at: Micros(0), node: NodeId::Network, incarnation: 0, event }
        };
        let story = [
            fault(Disturbance::LatencyOneWay, [c1, n1], Some(9)),
            fault(Disturbance::Cut, [n1, c1], None),
            fault(Disturbance::LatencyOneWay, [c1, n1], Some(1)),
            fault(Disturbance::Mend, [n1, c1], None),
            fault(Disturbance::Latency, [c1, n1], Some(9)),
        ];
        let mut links = ClientLinks::new(Micros(1));
        story.iter().zip((0..).step_by(10)).for_each(|(record, place)| links.follow(place, record));
        links.end(60);
        let touched: Vec<usize> = (0..70).step_by(5).filter(|place| links.touch(c1, n1, *place, *place)).collect();
        assert_eq!(touched, [0, 5, 10, 15, 20, 25, 30, 40, 45, 50, 55, 60]);
        assert!(!links.touch(NodeId::Client(1), n1, 0, 60), "another client");
    }
}
