//! A leader that waits, as it must, for followers that remember what was acknowledged.

use super::Recorded;
use super::leaders::Leaders;
use crate::base::trace::{Event, Record};
use crate::base::{FollowerId, NodeId};
use crate::core::Configuration;

/// Why the leader does not serve when the run ends, if it may not: so many followers have lost their memory that nobody
/// can know what was acknowledged, and an operator has to say what is to become of it.
pub(super) fn leader_waits(run: &Recorded<'_>) -> Option<String> {
    let facts = run.facts?;
    let leader = Leaders::after(run.records).present();
    let (mut serves, mut recovers) = (true, false);
    let mut remember = vec![true; facts.followers];
    for Record { node, event, .. } in run.records {
        match (node, event) {
            // Once any node has served as the leader, followers remember, and every later leader must recover from them.
            (node, Event::Serve { .. }) => {
                recovers = true;
                serves |= *node == leader;
            }
            (node, Event::Crash | Event::Restart | Event::StepDown { .. }) if *node == leader => serves = false,
            (NodeId::Follower(FollowerId(id)), Event::Crash) => remember[usize::from(*id)] = false,
            (NodeId::Follower(FollowerId(id)), Event::Install { .. }) => remember[usize::from(*id)] = true,
            _ => {}
        }
    }
    let remembering = remember.into_iter().filter(|remembers| *remembers).count();
    let quorums = facts.quorums.values().copied().chain([facts.write_quorum]);
    let needed = quorums.map(|quorum| Configuration::of(facts.followers, quorum).recovery_quorum());
    let needed = needed.max().unwrap_or_default();
    (recovers && !serves && remembering < needed).then(|| {
        format!("the leader rightly waits for an operator: only {remembering} of the {needed} followers that it takes remember")
    })
}
