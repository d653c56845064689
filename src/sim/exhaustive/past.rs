//! What can have no effect any more, whatever happens: states that differ by it only have one future, so it is let go of at once.

use std::sync::Arc;

use super::memory::Memory;
use super::scope::{Budgeted, Scope};
use super::state::{Flight, Progress, Record, Site, Stage, State};
use crate::base::{FollowerId, NodeId};
use crate::core::{Ask, Leader, LeaderId, Promise, Question};

impl State {
    /// Lets go of what nobody waits for and whose arrival would change nothing, now or later, and of what is remembered of the
    /// past though nothing can be judged by it any more.
    pub(super) fn let_go_of_the_past(&mut self, scope: &Scope) {
        if !scope.is_reduced() {
            return;
        }
        let is_left = |place: usize| self.ghost.records[place].progress != Progress::Done;
        let named = scope.named(is_left, |place| self.spent >> place & 1 == 0);
        for id in FollowerId::first(self.sites.len()) {
            let future = Future {
                scope,
                leader: self.leader.as_deref(),
                life: self.life,
                records: &self.ghost.records,
                may_crash: self.may_crash(scope, id.into()),
                is_named: named.contains(id),
            };
            if let Some(next) = future.without_the_past(id, &self.sites[id.index()]) {
                self.sites[id.index()] = Arc::new(next);
            }
        }
    }

    pub(super) fn may_crash(&self, scope: &Scope, node: NodeId) -> bool {
        let is_left = |place: usize| self.spent >> place & 1 == 0;
        let mut faults = scope.faults.iter().enumerate();
        faults.any(|(place, fault)| *fault == Budgeted::Crash(node) && is_left(place))
    }
}

/// What decides what can still come of something.
struct Future<'a> {
    scope: &'a Scope,
    leader: Option<&'a Leader>,
    /// The leader's life.
    life: u8,
    records: &'a [Record],
    /// Whether the follower in question may lose its memory.
    may_crash: bool,
    /// Whether anything that may still happen names it.
    is_named: bool,
}

impl Future<'_> {
    /// The site without what is over; none if nothing is.
    fn without_the_past(&self, id: FollowerId, site: &Site) -> Option<Site> {
        let changes = site.name.is_some() != self.is_named
            || (site.lost.is_some() && self.is_mourned(id, site))
            || site.memory.as_ref().is_some_and(|memory| memory.is_of_the_past(self.life))
            || site.strays.iter().any(|ask| self.is_idle_ask(site, ask))
            || site.flights.iter().any(|flight| self.is_idle(site, flight));
        if !changes {
            return None;
        }
        let mut next = site.clone();
        next.strays.retain(|ask| !self.is_idle_ask(site, ask));
        let flights = std::mem::take(&mut next.flights);
        next.flights = flights.into_iter().filter(|flight| !self.is_idle(&next, flight)).collect();
        if self.is_mourned(id, site) {
            next.lost = None;
        }
        next.name = site.name.filter(|_| self.is_named);
        next.memory.iter_mut().for_each(|memory| memory.let_go_of_the_past(self.life));
        Some(next)
    }

    /// Whether a message is on its way for nothing.
    fn is_idle(&self, site: &Site, flight: &Flight) -> bool {
        if flight.stage != Stage::Orphan {
            return false;
        }
        let (rules, stamp) = (self.scope.rules(), flight.message.stamp());
        let life = self.records[flight.parcel.operation].accepted.map_or(0, |(life, ..)| life);
        let promise = Promise { epoch: stamp.epoch, leader: LeaderId(life.into()) };
        if rules.refuse_deposed && life < self.life && !may_hold(site, promise) {
            return true;
        }
        // What is newer keeps it out; and what comes in place of that, when a follower gives it up: another promise, or a floor.
        let stays = !rules.recover_on_start || (rules.refuse_deposed && rules.keep_tombstones);
        let Some(memory) = &site.memory else { return false };
        let stored = memory.follower.store().stamp(flight.message.key());
        !self.may_crash && rules.compare_stamps && stays && stored.is_some_and(|stored| stored >= stamp)
    }

    /// Whether a question of an earlier leader is on its way for nothing.
    fn is_idle_ask(&self, site: &Site, ask: &Ask) -> bool {
        let promise = promise_of(ask);
        match &ask.question {
            Question::Fence => {
                let promised = site.memory.as_ref().map(|memory| memory.follower.promised().epoch);
                !self.may_crash && promised.is_some_and(|promised| promised >= ask.epoch)
            }
            Question::Pull { .. } | Question::Probe { recovered: None, .. } => true,
            Question::Probe { .. } => !may_hold(site, promise),
            Question::Push { incarnation, .. }
            | Question::Adopt { incarnation, .. }
            | Question::Forget { incarnation, .. } => {
                let is_meant = |memory: &Memory| memory.follower.identity().incarnation == *incarnation;
                !may_hold(site, promise) || !site.memory.as_ref().is_some_and(is_meant)
            }
        }
    }

    /// Whether nothing can come any more that counts on what the follower has lost.
    fn is_mourned(&self, id: FollowerId, site: &Site) -> bool {
        let Some(lost) = &site.lost else { return true };
        let lost = lost.follower.identity().incarnation;
        let is_known = self
            .leader
            .filter(|leader| leader.replicates_to(id))
            .and_then(|leader| leader.knows(id))
            .is_some_and(|known| known.incarnation == lost);
        let mut answers = site.interview.iter().filter_map(|interview| interview.answer.as_ref());
        self.scope.rules().recover_on_start && !is_known && !answers.any(|answer| answer.incarnation == lost)
    }
}

/// Whether a follower has promised this, or may yet, of a leader that is not any more.
fn may_hold(site: &Site, promise: Promise) -> bool {
    let holds = site.memory.as_ref().is_some_and(|memory| memory.follower.promised() == promise);
    let asks = |ask: &Ask| matches!(ask.question, Question::Fence) && promise_of(ask) == promise;
    holds || site.strays.iter().any(asks)
}

fn promise_of(ask: &Ask) -> Promise {
    Promise { epoch: ask.epoch, leader: ask.leader }
}
