//! What of the things that a leader knows of a follower decides what it does: what a search of all runs must tell apart.

use crate::base::trace::WriteId;

use super::{Link, Pending, Promised};
use crate::core::digest::Summary;
use crate::core::leader::catch_up::Sync;

/// What of the things that a leader knows of its followers can decide anything from now on.
#[derive(Debug, Clone, Copy)]
pub(in crate::core::leader) struct Matters {
    /// The rounds, if anybody waits for any or may.
    pub(in crate::core::leader) rounds: Option<Rounds>,
    /// What they said that they store when they promised: nobody reads it any more once the leader has recovered.
    pub(in crate::core::leader) stores: bool,
    /// Which configurations they knew of.
    pub(in crate::core::leader) configurations: bool,
    /// Whether they answer.
    pub(in crate::core::leader) silence: bool,
    /// The leader's last write: what was asked about the time before is not compared any more.
    pub(in crate::core::leader) last_write: WriteId,
}

/// Which of a leader's rounds can be told apart: they count only by which of them came later.
#[derive(Debug, Clone, Copy)]
pub(in crate::core::leader) struct Rounds {
    pub(in crate::core::leader) present: u64,
    /// The oldest one that somebody waits for. All before are alike.
    pub(in crate::core::leader) oldest: u64,
}

impl Rounds {
    /// How many began since. The next round may be waited for before it begins.
    fn age(self, round: u64) -> u64 {
        self.present.wrapping_sub(round.max(self.oldest.saturating_sub(1)))
    }
}

impl Link {
    /// Whether what the follower stores decides anything, of one that is asked whether its promise stands. `found` is what it has said
    /// that it stores, if it has.
    pub(in crate::core::leader) fn compares(&self, matters: Matters, found: Option<Summary>) -> bool {
        let compared = self.call.as_ref().and_then(|call| call.compared_with(matters.last_write));
        compared.is_some_and(|compared| Some(compared.summary) != found)
    }

    /// Whether the answer that the promise stands, and that the follower stores this, changes nothing but that the next question may be
    /// asked. (That it knows by now that the recovery is complete is looked at only then.)
    pub(in crate::core::leader) fn learns_nothing_from(&self, matters: Matters, found: Summary) -> bool {
        let (Some(call), Some(promised)) = (&self.call, &self.promised) else { return false };
        let is_told = self.knows_recovered || call.says_recovered;
        let is_old = matters.rounds.is_none_or(|rounds| rounds.age(call.round) >= rounds.age(promised.round));
        call.affirms
            && is_told
            && is_old
            && !self.compares(matters, Some(found))
            && !self.in_doubt
            && !self.would_end_doubt(call)
            && !self.compare
    }

    /// Whether the answer to this question ends a doubt about it.
    fn would_end_doubt(&self, call: &Pending) -> bool {
        self.is_unanswered || self.disconnected_after.is_some_and(|last| call.number > last)
    }

    /// Everything that decides what it is asked next, but when. `found` as in [`Link::compares`].
    pub(in crate::core::leader) fn behaviour(
        &self,
        matters: Matters,
        found: Option<Summary>,
    ) -> impl std::hash::Hash + '_ {
        let compares = self.compares(matters, found);
        let age = move |round: u64| matters.rounds.map(|rounds| rounds.age(round));
        let promised = self.promised.as_ref().map(|promised| {
            let Promised { incarnation, standing, configurations, summary, current_in, differs, .. } = promised;
            let Promised { round, needs_round, promised_in, read_to, .. } = promised;
            let read = matters.stores.then_some((summary, current_in, differs, age(*promised_in), read_to));
            let configurations = matters.configurations.then_some(configurations);
            let needs_round = age(*needs_round).filter(|_| promised.may_have_forgotten());
            (incarnation, standing, configurations, age(*round), needs_round, read)
        });
        let sync = match &self.sync {
            Sync::Behind => (0, None),
            Sync::Pushing(snapshot) => {
                // It is told again what it said when it promised.
                let adopted = self.promised.as_ref().map(|promised| promised.summary).filter(|_| snapshot.adopts());
                (1, Some((snapshot.behaviour(), adopted)))
            }
            Sync::Current => (2, None),
            Sync::Legacy { is_empty: false } => (3, None),
            Sync::Legacy { is_empty: true } => (4, None),
        };
        let call = self.call.as_ref().map(|call| {
            let Pending { number: _, epoch, round, affirms, compared: _, says_recovered } = call;
            let compared = call.compared_with(matters.last_write).filter(|_| compares);
            // A promise, or that it stands, is as of the round in which it was asked for.
            let of_round = age(*round).filter(|_| self.promised.is_none() || *affirms);
            (epoch, of_round, affirms, compared, says_recovered)
        });
        // Where no time passes a pause is over when its timer goes off, and not before.
        let pauses = (!self.not_before.is_zero(), matters.silence.then(|| self.answers()));
        let ends_doubt = self.call.as_ref().map(|call| self.would_end_doubt(call));
        let doubts = (self.in_doubt, self.disconnected_after.is_some(), self.is_unanswered, ends_doubt, self.compare);
        (promised, self.promised_as, sync, call, doubts, self.knows_recovered, self.pushes, pauses)
    }
}
