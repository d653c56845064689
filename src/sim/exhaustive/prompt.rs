//! What may happen at any time without any difference, so that it happens at once: of all the orders in which questions and answers
//! come between other things, one is followed.
//!
//! A question to a follower may, if nothing that can come before it changes what will be answered, and if what comes of it besides the
//! answer is looked at by nobody: then whatever can happen while it is on its way can happen while its answer is. An answer may, if
//! the leader learns nothing by it. (The first is a singleton ample set: Peled, *All from One, One for All: on Model Checking Using
//! Representatives*, 1993.)

use super::scope::{Reduction, Scope};
use super::state::{Flight, Interview, Site, Stage, State};
use crate::base::{FollowerId, NodeId};
use crate::core::{Identity, Leader, Question, Reply, Stored};
use crate::sim::scenario::PlannedKind;

impl State {
    /// A follower of which it makes no difference when what it is asked arrives: nothing that can happen before changes what it will
    /// answer, and nothing but the answer comes of it, that anybody looks at.
    pub(super) fn asked_at_any_time(&self, scope: &Scope) -> Option<FollowerId> {
        let leader = self.prompt_leader(scope)?;
        let outlives = !self.may_crash(scope, NodeId::FIRST_SERVER);
        let is_asked = |(id, site): &(FollowerId, &Site)| {
            let Some(Interview { call, answer: None, frail: false }) = &site.interview else { return false };
            let arrives = |flight: &Flight| matches!(flight.stage, Stage::OnTheWay | Stage::Orphan);
            let is_quiet = !site.flights.iter().any(arrives);
            let is_free = match &call.ask.question {
                // Once its leader has crashed it does nothing; see `past`.
                Question::Pull { .. } => is_quiet,
                // If a write comes first, what is stored is not looked at. One that tells something does so though its leader has crashed.
                Question::Probe { recovered, buckets: false } => {
                    (outlives || recovered.is_none()) && (is_quiet || !leader.compares(*id, None))
                }
                _ => false,
            };
            is_free && self.goes_on(scope, *id, site)
        };
        self.followers().find(is_asked).map(|(id, _)| id)
    }

    /// A follower of which it makes no difference when its answer is heard, for the leader learns nothing by it, now or later.
    pub(super) fn heard_at_any_time(&self, scope: &Scope) -> Option<FollowerId> {
        // What it is asked next depends on when that is, if there are deletions to be forgotten: something comes of that.
        if scope.operations.iter().any(|operation| operation.kind == PlannedKind::Delete) {
            return None;
        }
        let leader = self.prompt_leader(scope).filter(|_| !self.may_crash(scope, NodeId::FIRST_SERVER))?;
        let is_heard = |(id, site): &(FollowerId, &Site)| {
            let Some(Interview { answer: Some(answer), frail: false, .. }) = &site.interview else { return false };
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
            let stays = is_there && self.goes_on(scope, *id, site) && site.flights.iter().all(is_usual);
            stays && leader.learns_nothing_from(*id, answer)
        };
        self.followers().find(is_heard).map(|(id, _)| id)
    }

    /// The leader, if it is up and what may happen at any time is to happen at once.
    fn prompt_leader(&self, scope: &Scope) -> Option<&Leader> {
        self.leader.as_deref().filter(|_| scope.reduction == Reduction::Prompt)
    }

    /// Whether a follower is up and will be, and no earlier leader can tell it anything any more.
    fn goes_on(&self, scope: &Scope, id: FollowerId, site: &Site) -> bool {
        site.memory.is_some() && site.strays.is_empty() && !self.may_crash(scope, id.into())
    }
}
