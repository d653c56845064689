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
    // One that was started later has to recover, if leaders recover at all.
    let (mut serves, mut recovers) = (leader == NodeId::FIRST_SERVER, false);
    let mut remember = vec![true; facts.followers];
    // Records can name followers that the cluster does not have.
    let set = |remember: &mut Vec<bool>, id: &FollowerId, remembers| {
        if let Some(of_follower) = remember.get_mut(id.index()) {
            *of_follower = remembers;
        }
    };
    for Record { node, event, .. } in run.records {
        match (node, event) {
            (node, Event::Serve { .. }) => {
                recovers = true;
                serves |= *node == leader;
            }
            (node, Event::Crash | Event::Restart | Event::StepDown { .. }) if *node == leader => serves = false,
            (NodeId::Follower(id), Event::Crash) => set(&mut remember, id, false),
            (NodeId::Follower(id), Event::Install { .. }) => set(&mut remember, id, true),
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
