use std::collections::BTreeMap;

use super::network::Passage;
use super::queue::At;
use crate::base::NodeId;

/// The links between clients and nodes. Those to which nothing was done are not kept.
#[derive(Debug)]
pub(super) struct ClientLinks {
    changed: BTreeMap<(NodeId, NodeId), Link>,
    usual_latency: At,
}

/// A direction on the link of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the client to the node: calls.
    Call,
    /// From the node to the client: answers.
    Answer,
}

/// The state of a link under faults. Each field holds the value for calls and the one for answers.
#[derive(Debug)]
struct Link {
    latency: [At; 2],
    /// How many faults cut it, so that the end of one does not end another, and how often it was cut.
    cut: [u32; 2],
    cuts: [u32; 2],
}

impl ClientLinks {
    pub(super) fn new(usual_latency: At) -> Self {
        Self { changed: BTreeMap::new(), usual_latency }
    }

    /// Returns the passage of a message that is sent now.
    pub(super) fn send(&self, client: NodeId, node: NodeId, direction: Direction) -> Passage {
        match self.changed.get(&(client, node)) {
            None => Passage::Takes { latency: self.usual_latency, cuts: 0 },
            Some(link) if link.cut[direction as usize] > 0 => Passage::Lost,
            Some(link) => {
                Passage::Takes { latency: link.latency[direction as usize], cuts: link.cuts[direction as usize] }
            }
        }
    }

    /// Whether a message arrives that was sent when the link had been cut `cuts` times.
    pub(super) fn has_arrived(&self, client: NodeId, node: NodeId, direction: Direction, cuts: u32) -> bool {
        self.changed.get(&(client, node)).map_or(0, |link| link.cuts[direction as usize]) == cuts
    }

    pub(super) fn cut(&mut self, client: NodeId, node: NodeId, direction: Direction) {
        let link = self.link(client, node);
        link.cut[direction as usize] += 1;
        link.cuts[direction as usize] += 1;
    }

    /// Takes one cut back.
    pub(super) fn mend(&mut self, client: NodeId, node: NodeId, direction: Direction) {
        let cut = &mut self.link(client, node).cut[direction as usize];
        *cut = cut.saturating_sub(1);
    }

    pub(super) fn set_latency(&mut self, client: NodeId, node: NodeId, directions: &[Direction], latency: At) {
        let link = self.link(client, node);
        directions.iter().for_each(|direction| link.latency[*direction as usize] = latency);
    }

    /// Takes everything back. What was lost stays lost.
    pub(super) fn heal(&mut self) {
        let usual = self.usual_latency;
        for link in self.changed.values_mut() {
            (link.latency, link.cut) = ([usual; 2], [0; 2]);
        }
    }

    fn link(&mut self, client: NodeId, node: NodeId) -> &mut Link {
        let latency = [self.usual_latency; 2];
        self.changed.entry((client, node)).or_insert_with(|| Link { latency, cut: [0; 2], cuts: [0; 2] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_direction_is_cut_and_slowed_by_itself() {
        let (c1, n1, n2) = (NodeId::Client(0), NodeId::Server(0), NodeId::Server(1));
        let mut links = ClientLinks::new(7);
        let usual = Passage::Takes { latency: 7, cuts: 0 };
        links.set_latency(c1, n1, &[Direction::Answer], 90);
        assert_eq!(links.send(c1, n1, Direction::Call), usual);
        assert_eq!(links.send(c1, n1, Direction::Answer), Passage::Takes { latency: 90, cuts: 0 });
        links.cut(c1, n1, Direction::Call);
        links.cut(c1, n1, Direction::Call);
        links.mend(c1, n1, Direction::Call);
        assert_eq!(links.send(c1, n1, Direction::Call), Passage::Lost, "one of two cuts is still on");
        assert!(!links.has_arrived(c1, n1, Direction::Call, 0) && links.has_arrived(c1, n1, Direction::Answer, 0));
        links.mend(c1, n1, Direction::Call);
        assert_eq!(links.send(c1, n1, Direction::Call), Passage::Takes { latency: 7, cuts: 2 });
        links.cut(c1, n1, Direction::Answer);
        links.heal();
        assert_eq!(links.send(c1, n1, Direction::Answer), Passage::Takes { latency: 7, cuts: 1 });
        assert_eq!(links.send(c1, n2, Direction::Call), usual, "another link");
    }
}
