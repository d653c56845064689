use std::time::Duration;

use super::{Answer, Ask, Asked, Leader, Output};
use crate::base::trace::Event;
use crate::base::{FollowerId, NodeId};

/// Lets a leader ask and its followers answer, all at once and without loss, until nobody has anything to say: a cluster
/// that is up before anything else happens. `ask` has a follower answer a question; `happens` is told what happens to whom.
pub fn assemble(
    leader: &mut Leader,
    mut ask: impl FnMut(FollowerId, &Ask, &mut Vec<Event>) -> Answer,
    mut happens: impl FnMut(NodeId, Event),
) {
    while let Some(output) = leader.poll_output() {
        match output {
            Output::Ask(call) => {
                let mut events = Vec::new();
                let answer = ask(call.to, &call.ask, &mut events);
                events.into_iter().for_each(|event| happens(call.to.into(), event));
                leader.handle_answer(Duration::ZERO, call.to, call.number, Asked::Answered(answer));
            }
            Output::Tell(news) => {
                news.events(leader.store()).into_iter().for_each(|event| happens(NodeId::FIRST_SERVER, event));
            }
            Output::Send(_) | Output::Complete(_) | Output::Read(..) => unreachable!("nobody has written anything"),
            Output::Reconnect(_) => unreachable!("each has a name of its own"),
        }
    }
}
