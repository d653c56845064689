//! A leader that waits, as it must, for followers that remember what was acknowledged.

use std::collections::BTreeSet;

use super::Recorded;
use super::leaders::Leaders;
use crate::base::trace::{Event, Record};
use crate::base::{FollowerId, Member, NodeId};
use crate::core::Configuration;

/// Why the leader does not serve when the run ends, if it may not: so many followers have lost their memory that nobody
/// can know what was acknowledged, and an operator has to say what is to become of it.
pub(super) fn leader_waits(run: &Recorded<'_>) -> Option<String> {
    let facts = run.facts?;
    let leader = Leaders::after(run.records).present();
    // One that was started later has to recover, if leaders recover at all.
    let (mut serves, mut recovers) = (leader == NodeId::FIRST_SERVER, false);
    let mut remember: Vec<bool> = (0..facts.all_followers()).map(|place| place < facts.followers).collect();
    // The incarnation of the present leader's last start, and those under whose configuration a follower was brought up to
    // date: they may have served.
    let (mut present, mut served) = (0, BTreeSet::from([0]));
    let mut promised = vec![0; facts.all_followers()];
    for Record { node, event, incarnation, .. } in run.records {
        match (node, event) {
            (node, Event::Serve { .. }) => {
                recovers = true;
                serves |= *node == leader;
            }
            (NodeId::Follower(FollowerId(id)), Event::Promise { leader, .. }) => promised[usize::from(*id)] = *leader,
            (node, Event::Crash | Event::Restart | Event::StepDown { .. }) if *node == leader => {
                serves = false;
                present = *incarnation;
            }
            (NodeId::Follower(FollowerId(id)), Event::Crash) => remember[usize::from(*id)] = false,
            (NodeId::Follower(FollowerId(id)), Event::Install { .. }) => {
                remember[usize::from(*id)] = true;
                served.insert(promised[usize::from(*id)]);
            }
            _ => {}
        }
    }
    if serves || !recovers {
        return None;
    }
    let members = facts.members_of(present);
    let short = served.into_iter().chain([present]).find_map(|incarnation| {
        let of_then = facts.members_of(incarnation);
        let is_among = |member: &&Member| of_then.iter().any(|then| then.name() == member.name());
        let remembering = members.iter().filter(is_among).filter(|member| remember[member.follower.index()]).count();
        let configuration = Configuration::of(of_then.len(), facts.quorum_of(incarnation));
        let needed = configuration.recovery_quorum();
        (remembering < needed).then_some((remembering, needed))
    });
    short.map(|(remembering, needed)| {
        format!("the leader rightly waits for an operator: only {remembering} of the {needed} followers that it takes remember")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Epoch;
    use crate::base::history::History;
    use crate::check::testing::{Story, f};

    fn waits(story: &Story) -> bool {
        let (records, history) = (story.records(), &History::default());
        leader_waits(&Recorded { records, history, states: &[], facts: Some(&story.facts) }).is_some()
    }

    /// Three followers, a quorum of 2, so 2 must have their memory.
    #[test]
    fn a_leader_waits_rightly_while_too_few_followers_have_their_memory() {
        let crash_and_start = |crashed: u8, next: NodeId| {
            let mut story = Story::new();
            story.at(1).event(NodeId::FIRST_SERVER, Event::Serve { epoch: Epoch::FIRST });
            for id in 1..=crashed {
                story.at(2).crash(f(id)).restart(f(id));
            }
            story.at(3).restart(next);
            story
        };
        // The second node never served: it has to recover all the same, because the first one did.
        for next in [NodeId::FIRST_SERVER, NodeId::Server(1)] {
            assert!(!waits(&crash_and_start(1, next)), "one memory is lost, and {next} can recover");
            assert!(waits(&crash_and_start(2, next)), "two memories are lost, and {next} cannot recover");
            let mut story = crash_and_start(2, next);
            story.at(4).event(f(1).into(), Event::Install { epoch: Epoch::new(2) });
            assert!(!waits(&story), "f1 was brought up to date by {next}");
            let mut story = crash_and_start(2, next);
            story.at(4).event(next, Event::Serve { epoch: Epoch::new(2) });
            assert!(!waits(&story), "{next} serves");
        }
    }
}
