//! What may happen at any time without any difference, so that it happens at once: of all the orders in which questions and answers
//! come between other things, one is followed.
//!
//! A question to a follower may, if nothing that can come before it changes what will be answered, and if what comes of it besides the
//! answer is looked at by nobody: then whatever can happen while it is on its way can happen while its answer is. And an answer may of
//! which nothing comes. (The first is a singleton ample set: Peled, *All from One, One for All: on Model Checking Using
//! Representatives*, 1993.)

use super::scope::Scope;
use super::state::{Flight, Interview, Site, Stage, State};
use crate::base::{FollowerId, NodeId};
use crate::core::{Identity, Question, Reply, Stored};

impl State {
    /// A follower of which it makes no difference when what it is asked arrives: nothing that can happen before changes what it will
    /// answer, and nothing but the answer comes of it, that anybody looks at.
    pub(super) fn asked_at_any_time(&self, scope: &Scope) -> Option<FollowerId> {
        let leader = self.leader.as_ref().filter(|_| scope.is_prompt)?;
        let outlives = !self.may_crash(scope, NodeId::Leader);
        let is_asked = |(id, site): &(FollowerId, &Site)| {
            let Some(Interview { call, answer: None, frail: false }) = &site.interview else { return false };
            let arrives = |flight: &Flight| matches!(flight.stage, Stage::OnTheWay | Stage::Orphan);
            let is_quiet = !site.flights.iter().any(arrives);
            let is_free = match &call.ask.question {
                Question::Pull { .. } => is_quiet,
                // If a write comes first, what is stored is not looked at. Of a leader that crashes the question would be let go of, unless
                // it tells something.
                Question::Probe { recovered, buckets: false } => {
                    (outlives || recovered.is_none()) && (is_quiet || leader.to_compare(*id).is_none())
                }
                _ => false,
            };
            is_free && site.memory.is_some() && site.strays.is_empty() && !self.may_crash(scope, (*id).into())
        };
        self.followers().find(is_asked).map(|(id, _)| id)
    }

    /// A follower of which it makes no difference when its answer is heard: nothing comes of it, now or later.
    pub(super) fn heard_at_any_time(&self, scope: &Scope) -> Option<FollowerId> {
        let leader = self.leader.as_ref().filter(|_| scope.is_prompt && !self.may_crash(scope, NodeId::Leader))?;
        let is_heard = |(id, site): &(FollowerId, &Site)| {
            let Some(Interview { answer: Some(answer), .. }) = &site.interview else { return false };
            let identity = Identity { incarnation: answer.incarnation, standing: answer.standing };
            let is_there = site.memory.as_ref().is_some_and(|memory| memory.follower.identity() == identity);
            // Nor does anything raise a doubt meanwhile, which the answer would dispel.
            let is_usual = |flight: &Flight| match flight.stage {
                Stage::Answered { reply: Reply::Stored(Stored { incarnation, standing, .. }), .. } => {
                    identity == Identity { incarnation, standing }
                }
                Stage::Answered { .. } => false,
                _ => !flight.frail,
            };
            let stays = is_there && site.strays.is_empty() && !self.may_crash(scope, (*id).into());
            stays && site.flights.iter().all(is_usual) && leader.learns_nothing_from(*id, answer)
        };
        self.followers().find(is_heard).map(|(id, _)| id)
    }
}
