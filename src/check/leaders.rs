use std::collections::BTreeSet;

use crate::base::NodeId;
use crate::base::trace::{Event, Record};

/// Which nodes that can lead run, followed through a trace.
///
/// The first of them runs from the beginning of a trace. Of those that were ever started, the present leader is the one that
/// was started first most recently: scenarios address it as `leader`. The others are former leaders.
#[derive(Debug, Clone)]
pub(super) struct Leaders {
    running: BTreeSet<NodeId>,
    present: NodeId,
}

impl Default for Leaders {
    fn default() -> Self {
        Self { running: BTreeSet::from([NodeId::FIRST_SERVER]), present: NodeId::FIRST_SERVER }
    }
}

impl Leaders {
    /// The state after these records.
    pub(super) fn after(records: &[Record]) -> Self {
        let mut leaders = Self::default();
        records.iter().for_each(|record| leaders.follow(record));
        leaders
    }

    /// Takes the next record into account.
    pub(super) fn follow(&mut self, record: &Record) {
        if !record.node.can_lead() {
            return;
        }
        match record.event {
            Event::Crash => drop(self.running.remove(&record.node)),
            Event::Restart => {
                self.running.insert(record.node);
                self.present = self.present.max(record.node);
            }
            _ => {}
        }
    }

    /// The node that was started as the leader most recently, whether or not it runs.
    pub(super) fn present(&self) -> NodeId {
        self.present
    }

    /// Whether a former leader runs.
    pub(super) fn has_former(&self) -> bool {
        self.running.iter().any(|node| *node != self.present)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Story, f};

    #[test]
    fn a_former_leader_is_one_that_runs_beside_the_present_one() {
        let (n1, n2) = (NodeId::Server(0), NodeId::Server(1));
        let of = |story: &Story| {
            let leaders = Leaders::after(story.records());
            (leaders.present(), leaders.has_former())
        };
        let mut story = Story::new();
        story.crash(f(1));
        assert_eq!(of(&story), (n1, false));
        story.restart(n2);
        assert_eq!(of(&story), (n2, true));
        story.crash(n2);
        assert_eq!(of(&story), (n2, true), "the first one runs still");
        story.restart(n2).crash(n1);
        assert_eq!(of(&story), (n2, false));
        story.restart(n1);
        assert_eq!(of(&story), (n2, true), "an older node that is started again does not take the present one's place");
    }
}
