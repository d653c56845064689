//! A second cluster under the same names.
//!
//! A leader that is given only followers none of which remembers anything bootstraps an empty cluster, although followers that
//! it does not know may remember everything. That is a decision of its operator which no protocol between the nodes that it
//! knows can prevent; see `docs/decisions/0001-configurations.md`. From there on two clusters run under the same names, and what
//! the nodes do cannot be judged as that of one. What was acknowledged before is lost.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::{At, names};
use super::{Facts, Finding, LossCause, Property, Recorded, Verdict};
use crate::base::trace::{Disturbance, Event, Micros, Record};
use crate::base::{FollowerId, NodeId};

/// The point at which a run becomes one of two clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fork {
    /// The place of the record.
    pub(super) index: usize,
    at: Micros,
    leader: NodeId,
    /// The followers that remember, and are not among the leader's members.
    left_out: Vec<FollowerId>,
}

impl Fork {
    /// The first one of a run, if there is any.
    pub(super) fn of(run: &Recorded<'_>) -> Option<Self> {
        let facts = run.facts?;
        // Where neither members nor names change, none can be left out.
        let moves_name = |record: &Record| matches!(record.event, Event::Fault { kind: Disturbance::Misdirect, .. });
        if facts.members.is_empty() && !run.records.iter().any(moves_name) {
            return None;
        }
        let mut remembering: BTreeSet<FollowerId> = BTreeSet::new();
        let mut accepted: BTreeSet<NodeId> = BTreeSet::new();
        // The followers that have promised something to each incarnation of a leader, and have not crashed since.
        let mut promised: BTreeMap<u64, BTreeSet<FollowerId>> = BTreeMap::new();
        // Where the names of followers lead that do not lead to their own nodes.
        let mut misdirected: BTreeMap<FollowerId, FollowerId> = BTreeMap::new();
        run.records.iter().enumerate().find_map(|(index, record)| {
            match (record.node, &record.event) {
                (NodeId::Follower(id), Event::Install { .. }) => drop(remembering.insert(id)),
                (NodeId::Follower(id), Event::Promise { leader, .. }) => {
                    promised.entry(*leader).or_default().insert(id);
                }
                (NodeId::Follower(id), Event::Crash) => {
                    remembering.remove(&id);
                    for promised in promised.values_mut() {
                        promised.remove(&id);
                    }
                }
                (node, Event::Restart) => drop(accepted.remove(&node)),
                (_, Event::Fault { kind: Disturbance::AcceptLoss, nodes, .. }) => accepted.extend(nodes),
                (_, Event::Fault { kind: Disturbance::Misdirect, nodes, .. }) => {
                    if let [NodeId::Follower(name), NodeId::Follower(host)] = nodes.as_slice() {
                        misdirected.insert(*name, *host);
                    }
                }
                (_, Event::Fault { kind: Disturbance::Redirect, nodes, .. }) => {
                    misdirected.retain(|name, _| !nodes.contains(&NodeId::Follower(*name)));
                }
                (_, Event::Fault { kind: Disturbance::Heal, .. }) => misdirected.clear(),
                (node, Event::Recovered { anew: true, .. }) if !accepted.contains(&node) => {
                    let promised = promised.get(&record.incarnation).cloned().unwrap_or_default();
                    let left_out = left_out(facts, record, &remembering, (promised, &misdirected));
                    return (!left_out.is_empty()).then_some(Self { index, at: record.at, leader: node, left_out });
                }
                _ => {}
            }
            None
        })
    }

    /// What happened, as a sentence.
    fn tell(&self) -> String {
        let Self { at, leader, left_out, .. } = self;
        format!(
            "{leader} was given members none of which remembers anything, and bootstrapped an empty cluster at {}, while {} \
             remembered what had been acknowledged",
            At(*at),
            names(left_out)
        )
    }

    /// The verdict on a property from that on the records before the fork.
    pub(super) fn verdict(&self, before: Verdict) -> Verdict {
        let mut causes = before.causes;
        let finding = match (before.property, before.finding) {
            (Property::Convergence | Property::Liveness, _) => Finding::NotApplicable(self.tell()),
            (Property::Durability, Finding::Holds(_)) => {
                causes.push(LossCause::OtherMembers);
                Finding::Lost(vec![self.tell()])
            }
            (_, finding) => finding,
        };
        Verdict { finding, causes, ..before }
    }
}

/// The followers that remember and that the leader of this record does not have, if none of its own does.
///
/// Which it has is known by their promises, if as many have promised it something as it has members; otherwise by where the names of
/// its members lead. If that many have promised and remember nothing, these are the ones: of a promise of any other the leader need
/// not have heard.
fn left_out(
    facts: &Facts,
    record: &Record,
    remembering: &BTreeSet<FollowerId>,
    (promised, misdirected): (BTreeSet<FollowerId>, &BTreeMap<FollowerId, FollowerId>),
) -> Vec<FollowerId> {
    let host = |name: FollowerId| misdirected.get(&name).copied().unwrap_or(name);
    let named: BTreeSet<FollowerId> =
        facts.members_of(record.incarnation).into_iter().map(|member| host(member.follower)).collect();
    let blank: BTreeSet<FollowerId> = promised.difference(remembering).copied().collect();
    let members = [blank, promised].into_iter().find(|known| known.len() >= named.len()).unwrap_or(named);
    if remembering.intersection(&members).next().is_some() { Vec::new() } else { remembering.iter().copied().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::history::History;
    use crate::base::{Epoch, Member};
    use crate::check::testing::{Story, c, f};
    use crate::check::{all, durability};

    /// f1 and f2 have an acknowledged write; the leader starts again with these members, and begins with nothing.
    fn bootstraps_with(members: &[FollowerId], crashes: &[FollowerId], accepts: bool) -> Story {
        let mut story = Story::new();
        for id in [f(1), f(2), f(3)] {
            story.event(id.into(), Event::Install { epoch: Epoch::FIRST });
        }
        story.at(1).invoke_set(c(1), 1, "k", "1").accept(1, "k", 1, "1").apply(f(1), "k", 1, "1").apply(
            f(2),
            "k",
            1,
            "1",
        );
        story.complete(1, true, 2).at(5).crash(NodeId::FIRST_SERVER);
        for id in crashes {
            story.crash(*id).restart(*id);
        }
        story.restart(NodeId::FIRST_SERVER);
        if accepts {
            let (kind, nodes) = (Disturbance::AcceptLoss, vec![NodeId::FIRST_SERVER]);
            story.event(NodeId::Network, Event::Fault { kind, nodes, latency: None, what: String::new() });
        }
        story
            .at(9)
            .event(NodeId::FIRST_SERVER, Event::Recovered { epoch: Epoch::new(2), from: Vec::new(), anew: true });
        story.facts.members.insert(1, members.iter().copied().map(Member::from).collect());
        story
    }

    fn fork(story: &Story) -> Option<Fork> {
        let history = History::from_records(story.records());
        Fork::of(&Recorded { records: story.records(), history: &history, states: &[], facts: Some(&story.facts) })
    }

    #[test]
    fn only_where_none_of_the_members_remembers_and_another_follower_does() {
        let left_out = |story: &Story| fork(story).map(|fork| fork.left_out);
        assert_eq!(left_out(&bootstraps_with(&[f(3)], &[f(3)], false)), Some(vec![f(1), f(2)]));
        assert_eq!(left_out(&bootstraps_with(&[f(2), f(3)], &[f(3)], false)), None, "f2 remembers");
        assert_eq!(left_out(&bootstraps_with(&[f(3)], &[f(1), f(2), f(3)], false)), None, "nothing is left anywhere");
        assert_eq!(left_out(&bootstraps_with(&[f(3)], &[f(3)], true)), None, "the operator was asked");
    }

    #[test]
    fn a_member_counts_as_the_node_to_which_its_name_leads() {
        let story = |redirected: bool| {
            let mut story = Story::new();
            let named = |kind, nodes: &[FollowerId]| Event::Fault {
                kind,
                nodes: nodes.iter().copied().map(NodeId::from).collect(),
                latency: None,
                what: String::new(),
            };
            story.event(f(1).into(), Event::Install { epoch: Epoch::FIRST });
            story.event(f(2).into(), Event::Install { epoch: Epoch::FIRST });
            story.at(5).crash(NodeId::FIRST_SERVER).crash(f(1)).restart(f(1)).restart(NodeId::FIRST_SERVER);
            story.event(NodeId::Network, named(Disturbance::Misdirect, &[f(2), f(1)]));
            if redirected {
                story.event(NodeId::Network, named(Disturbance::Redirect, &[f(2)]));
            }
            let recovered = Event::Recovered { epoch: Epoch::new(2), from: Vec::new(), anew: true };
            story.at(9).event(NodeId::FIRST_SERVER, recovered);
            story.facts.members.insert(1, vec![Member::from(f(2))]);
            fork(&story).map(|fork| fork.left_out)
        };
        assert_eq!(story(false), Some(vec![f(2)]), "f2 remembers, and its name leads to f1");
        assert_eq!(story(true), None);
    }

    /// f1 promises under the name of f2, which leads to f2 again when the leader bootstraps.
    #[test]
    fn whoever_has_promised_is_whom_the_leader_has() {
        let story = |promises: &[u8], crashes: bool| {
            let mut story = Story::new();
            story.event(f(1).into(), Event::Install { epoch: Epoch::FIRST });
            story.event(f(2).into(), Event::Install { epoch: Epoch::FIRST });
            story.at(5).crash(NodeId::FIRST_SERVER).crash(f(1)).restart(f(1)).restart(NodeId::FIRST_SERVER);
            for id in promises {
                story.event(f(*id).into(), Event::Promise { epoch: Epoch::new(2), leader: 1 });
            }
            if crashes {
                story.crash(f(1)).restart(f(1));
            }
            let recovered = Event::Recovered { epoch: Epoch::new(2), from: Vec::new(), anew: true };
            story.at(9).event(NodeId::FIRST_SERVER, recovered);
            story.facts.members.insert(1, vec![Member::from(f(2))]);
            fork(&story).map(|fork| fork.left_out)
        };
        assert_eq!(story(&[1], false), Some(vec![f(2)]));
        assert_eq!(story(&[2], false), None, "it had one that remembers");
        assert_eq!(story(&[2, 1], false), Some(vec![f(2)]), "it has one member, and heard of one promise");
        assert_eq!(story(&[1], true), None, "what it promised is forgotten");
    }

    #[test]
    fn what_was_acknowledged_before_is_lost_and_nothing_is_judged_after() {
        let mut story = bootstraps_with(&[f(3)], &[f(3)], false);
        // The second cluster gives the version once more.
        story.at(20).invoke_set(c(1), 2, "k", "2").accept(1, "k", 1, "2");
        let history = History::from_records(story.records());
        let run = Recorded { records: story.records(), history: &history, states: &[], facts: Some(&story.facts) };
        let verdicts = all(&run);
        assert!(!verdicts.iter().any(Verdict::is_violated), "{verdicts:#?}");
        let durability = verdicts.iter().find(|verdict| verdict.property == Property::Durability).unwrap();
        let Finding::Lost(evidence) = &durability.finding else { panic!("{durability:?}") };
        assert!(evidence[0].ends_with("while f1 and f2 remembered what had been acknowledged"), "{evidence:?}");
        assert_eq!(crate::check::check(Property::Durability, &run), *durability);
        assert_ne!(durability::check(&run), *durability, "it is about the whole run");
    }
}
