//! Convergence: once nothing is lost any more and enough time has passed, all replicas store the same.
//!
//! The nodes that are up in the end have the same keys, with the same versions and values. Whoever ran the scenario has
//! healed everything and waited before looking.
//!
//! Exempt is a cluster whose timeout may end every request before its response arrives, as it is from liveness: no leader can
//! learn there what a follower stores. The bound is four link latencies, two to connect and two for the request and its response, and 10 ms.
//!
//! (Kleppmann, *Designing Data-Intensive Applications*, chapter 5, "Problems with replication lag"; Vogels, *Eventually
//! Consistent*, 2008.)

use std::collections::BTreeSet;
use std::fmt;

use super::evidence::{count, not_applicable, without_trace};
use super::excuse::Excuses;
use super::{Excuse, Property, Recorded, Verdict, waiting};
use crate::base::trace::Event;
use crate::base::wire::{Dump, DumpEntry};
use crate::base::{Key, NodeId};

/// Checks it of the final states. O(n log n), times the number of nodes.
pub fn check(run: &Recorded<'_>) -> Verdict {
    let Some(facts) = run.facts else { return without_trace(Property::Convergence) };
    if !facts.is_answered_in_time() {
        let (timeout, latency) = (facts.repl_timeout.as_millis(), facts.link_latency.as_millis());
        let why = format!(
            "a request may take longer than the timeout of {timeout} ms: the latency of a link, one way, is {latency} ms"
        );
        return not_applicable(Property::Convergence, &why);
    }
    let [(_, first), _, ..] = run.states else {
        return not_applicable(Property::Convergence, "fewer than two nodes were there to be compared in the end");
    };
    let states = replicas(run);
    let evidence: Vec<String> =
        differences(&states).iter().map(|difference| format!("in the end, {difference}")).collect();
    if let Some(waits) = waiting::leader_waits(run) {
        let mut excuses = Excuses::default();
        evidence.into_iter().for_each(|difference| excuses.add(Excuse::LeaderWaits, || difference));
        return not_applicable(Property::Convergence, &waits).excusing(excuses);
    }
    Verdict::unless(Property::Convergence, evidence, || {
        format!("{} on {}", count(first.len(), "key"), count(states.len(), "node"))
    })
}

/// The final states of the leader and of the followers that it replicates to.
fn replicas(run: &Recorded<'_>) -> Vec<(NodeId, Dump)> {
    let leader = run.states.first().map(|(node, _)| *node);
    let starts = run.records.iter().filter(|record| Some(record.node) == leader && record.event == Event::Restart);
    let incarnation = starts.map(|record| record.incarnation).max().unwrap_or(0);
    let members = run.facts.map(|facts| facts.members_of(incarnation)).unwrap_or_default();
    let is_replica = |node: NodeId| match node {
        NodeId::Follower(id) => members.iter().any(|member| member.follower == id),
        NodeId::Server(_) | NodeId::Client(_) | NodeId::Network => true,
    };
    run.states.iter().filter(|(node, _)| is_replica(*node)).cloned().collect()
}

/// A key that a node does not store as the first node does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference<N = NodeId> {
    /// The key.
    pub key: Key,
    /// The first node, which the others are held against, and what it stores.
    pub reference: (N, Option<DumpEntry>),
    /// The node that differs and what it stores.
    pub other: (N, Option<DumpEntry>),
}

impl<N: fmt::Display> fmt::Display for Difference<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |f: &mut fmt::Formatter<'_>, (node, entry): &(N, Option<DumpEntry>)| match entry {
            None => write!(f, "{node} has none"),
            Some(entry) => write!(f, "{node} has version {} = {}", entry.version, entry.value),
        };
        write!(f, "key {:?}: ", self.key)?;
        side(f, &self.reference)?;
        f.write_str(", ")?;
        side(f, &self.other)
    }
}

/// Every key of every node that differs from the first node's, in the order of the nodes and of the keys.
pub fn differences<N: Copy>(nodes: &[(N, Dump)]) -> Vec<Difference<N>> {
    let Some(((reference, expected), others)) = nodes.split_first() else { return Vec::new() };
    let mut differences = Vec::new();
    for (other, dump) in others {
        let keys: BTreeSet<&Key> = expected.keys().chain(dump.keys()).collect();
        differences.extend(keys.into_iter().filter(|key| expected.get(*key) != dump.get(*key)).map(|key| Difference {
            key: key.clone(),
            reference: (*reference, expected.get(key).cloned()),
            other: (*other, dump.get(key).cloned()),
        }));
    }
    differences
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::trace::Event;
    use crate::base::{Epoch, FollowerId, Value, Version};
    use crate::check::testing::{self, Story, f};

    #[test]
    fn the_final_states_are_held_against_each_other() {
        let mut story = Story::new();
        story
            .ends_with(NodeId::FIRST_SERVER, testing::dump(&[("k", 2, "2")]))
            .ends_with(f(1), testing::dump(&[("k", 2, "2")]));
        assert_eq!(story.holds(check), "1 key on 2 nodes");
        story.ends_with(f(2), testing::dump(&[("k", 1, "1")]));
        assert_eq!(story.evidence(check), ["in the end, key \"k\": n1 has version 2 = 2, f2 has version 1 = 1"]);
        assert!(matches!(Story::new().verdict(check).finding, crate::check::Finding::NotApplicable(_)));
    }

    /// Four link latencies and 10 ms fit into the timeout, or they do not.
    #[test]
    fn a_timeout_that_no_request_can_meet_is_exempt() {
        let differs = |latency_us: u64| {
            let mut story = Story::new();
            story.facts.repl_timeout = Duration::from_millis(1000);
            story.facts.link_latency = Duration::from_micros(latency_us);
            story.ends_with(NodeId::FIRST_SERVER, testing::dump(&[("k", 1, "1")])).ends_with(f(1), testing::dump(&[]));
            story
        };
        assert_eq!(differs(247_500).evidence(check).len(), 1);
        let finding = differs(247_501).verdict(check).finding;
        assert!(matches!(finding, crate::check::Finding::NotApplicable(_)), "{finding:?}");
    }

    /// A second leader is started after two of three followers have lost their memory: it waits, and is not accused of what it
    /// does not store.
    #[test]
    fn a_later_leader_that_waits_for_an_operator_is_exempt() {
        let n2 = NodeId::Server(1);
        let story = |forgetful: &[u8]| {
            let mut story = Story::new();
            story.event(NodeId::FIRST_SERVER, Event::Serve { epoch: Epoch::FIRST }).accept(1, "k", 1, "1");
            for number in forgetful {
                story.crash(f(*number)).restart(f(*number));
            }
            story.restart(n2).crash(NodeId::FIRST_SERVER);
            story.ends_with(n2, testing::dump(&[])).ends_with(f(1), testing::dump(&[("k", 1, "1")]));
            story
        };
        let finding = story(&[2, 3]).verdict(check).finding;
        let crate::check::Finding::NotApplicable(why) = finding else { panic!("{finding:?}") };
        assert!(why.contains("only 1 of the 2 followers"), "{why}");
        assert_eq!(story(&[3]).evidence(check).len(), 1, "it can recover from two, and must");
    }

    /// Three followers and a quorum of 2: two must have their memory.
    #[test]
    fn a_leader_that_waits_for_an_operator_is_excused() {
        let with_memories_lost = |lost: u8| {
            let mut story = Story::new();
            story.event(NodeId::FIRST_SERVER, Event::Serve { epoch: crate::base::Epoch::FIRST });
            for id in 1..=lost {
                story.crash(f(id)).restart(f(id));
            }
            story.crash(NodeId::FIRST_SERVER).restart(NodeId::FIRST_SERVER);
            story.ends_with(NodeId::FIRST_SERVER, testing::dump(&[]));
            story.ends_with(f(3), testing::dump(&[("k", 1, "1")]));
            story
        };
        assert!(with_memories_lost(1).verdict(check).is_violated());
        assert_eq!(with_memories_lost(2).excuses(check), [(Excuse::LeaderWaits, 1)]);
        assert!(matches!(with_memories_lost(2).verdict(check).finding, crate::check::Finding::NotApplicable(_)));
    }

    fn dump(entries: &[(&str, &str, u64)]) -> Dump {
        let entry = |(key, value, version): &(&str, &str, u64)| {
            let value = Value::from_json(value).unwrap();
            (Key::new(key).unwrap(), DumpEntry { value, version: Version::new(*version).unwrap() })
        };
        entries.iter().map(entry).collect()
    }

    fn found(leader: Dump, follower: Dump) -> Vec<String> {
        let nodes = [(NodeId::FIRST_SERVER, leader), (FollowerId(0).into(), follower)];
        differences(&nodes).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn equal_replicas_are_not_accused() {
        let all = || dump(&[("a", "1", 1), ("b", "2", 7)]);
        assert!(found(all(), all()).is_empty());
        assert!(differences::<NodeId>(&[]).is_empty());
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        let leader = || dump(&[("a", "1", 1), ("b", "2", 7)]);
        assert_eq!(found(leader(), dump(&[("b", "2", 7)])), ["key \"a\": n1 has version 1 = 1, f1 has none"]);
        assert_eq!(found(dump(&[]), dump(&[("z", "0", 1)])), ["key \"z\": n1 has none, f1 has version 1 = 0"]);
        let version = dump(&[("a", "1", 1), ("b", "2", 6)]);
        assert_eq!(found(leader(), version), ["key \"b\": n1 has version 7 = 2, f1 has version 6 = 2"]);
        let value = dump(&[("a", "1", 1), ("b", "3", 7)]);
        assert_eq!(found(leader(), value), ["key \"b\": n1 has version 7 = 2, f1 has version 7 = 3"]);
    }
}
