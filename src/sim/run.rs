use std::time::Duration;

use super::engine::Strike;
use super::scenario::{ClusterSpec, Scenario};
use super::shrink::Goal;
use crate::base::NodeId;
use crate::base::history::History;
use crate::base::trace::{Event, Trace};
use crate::base::wire::Dump;
use crate::check::convergence::{self, Difference};
use crate::check::latency_law::{self, LatencyLaw};
use crate::check::{Finding, Property, Verdict};

/// A scenario that was run, everything that was recorded of it, and the verdicts on it.
#[derive(Debug, Clone)]
pub struct ScenarioRun {
    /// The scenario, with the seed of the run.
    pub scenario: Scenario,
    /// Everything that happened.
    pub trace: Trace,
    /// What the clients did and saw.
    pub history: History,
    /// What each node stores in the end, the leader first.
    pub states: Vec<(NodeId, Dump)>,
    /// What the checkers say, in the order of [`Property::ALL`].
    pub verdicts: Vec<Verdict>,
    /// How long the operations took, in virtual time.
    pub virtual_time: Duration,
    /// For each fault, in the order of the scenario, whether it struck.
    pub strikes: Vec<Strike>,
}

impl ScenarioRun {
    /// The properties that were violated.
    pub fn violations(&self) -> impl Iterator<Item = Property> {
        self.verdicts.iter().filter(|verdict| verdict.is_violated()).map(|verdict| verdict.property)
    }

    /// The properties whose checkers find that acknowledged data is lost.
    pub fn losses(&self) -> impl Iterator<Item = Property> {
        self.verdicts.iter().filter(|verdict| verdict.is_lost()).map(|verdict| verdict.property)
    }

    /// The finding on a property.
    ///
    /// # Panics
    /// Never: a run is judged by every property.
    pub fn finding(&self, property: Property) -> &Finding {
        let verdict = self.verdicts.iter().find(|verdict| verdict.property == property);
        &verdict.expect("there is a verdict on every property").finding
    }

    /// Whether a verdict is what was shrunk for.
    pub fn meets(&self, goal: Goal) -> bool {
        self.verdicts.iter().any(|verdict| verdict.property == goal.property() && goal.is_met_by(verdict))
    }

    /// The latencies of the story's acknowledged writes as the leader saw them, from acceptance to completion, in seconds.
    pub fn latencies(&self) -> Vec<f64> {
        latency_law::latencies(self.trace.story())
    }

    /// What the latencies should look like; none where that cannot be told, as under faults.
    pub fn law(&self) -> Option<LatencyLaw> {
        if let Finding::NotApplicable(_) = self.finding(Property::LatencyLaw) {
            return None;
        }
        let ClusterSpec { write_quorum, followers, delay_ms: [min, max], .. } = self.scenario.cluster;
        LatencyLaw::new(write_quorum, followers, Duration::from_millis(min), Duration::from_millis(max))
    }

    /// How many writes of the story reached each follower after a newer one, in the order of the followers.
    pub fn stale_arrivals(&self) -> Vec<usize> {
        let mut stale = vec![0; self.scenario.cluster.all_followers()];
        for record in self.trace.story() {
            // A copy of a message brings a stamp that the follower has already, which is not older.
            if let (NodeId::Follower(id), Event::Reject { stamp, stored, .. }) = (record.node, &record.event)
                && stored > stamp
            {
                stale[id.index()] += 1;
            }
        }
        stale
    }

    /// How many writes of the story were acknowledged, and how many were answered without their quorum.
    pub fn completions(&self) -> (usize, usize) {
        let completed = |want: bool| {
            let matches = |event: &Event| matches!(event, Event::Complete { ok, .. } if *ok == want);
            self.trace.story().iter().filter(|record| matches(&record.event)).count()
        };
        (completed(true), completed(false))
    }

    /// Where the replicas differ in the end.
    pub fn differences(&self) -> Vec<Difference> {
        convergence::differences(&self.states)
    }
}
