//! When a follower is asked something, and what.

use std::time::Duration;

use super::{COMPARISON, Compared, HEARTBEAT, Pending};
use crate::base::FollowerId;
use crate::base::trace::WriteId;
use crate::core::ask::{Ask, Question};
use crate::core::backoff::jittered_pause;
use crate::core::leader::catch_up::Sync;
use crate::core::leader::vocabulary::{Call, Output};
use crate::core::leader::{Leader, Phase};

impl Leader {
    /// Asks a follower its next question, if one is to come, whether or not it is time.
    pub(in crate::core::leader) fn ask_now(&mut self, now: Duration, to: FollowerId) {
        let link = &mut self.peers[to].link;
        if link.ask_at.is_some() {
            link.not_before = Duration::ZERO;
            self.ask_or_arrange(now, to, true);
            self.look_for_next_ask();
        }
    }

    /// Has a follower asked something as soon as no question to it is in flight, however often it failed to answer before.
    pub(in crate::core::leader) fn ask_again(&mut self, now: Duration, to: FollowerId) {
        self.ask_or_arrange(now, to, false);
        self.look_for_next_ask();
    }

    /// Asks every follower what is to be asked now.
    pub(in crate::core::leader) fn attend_to_all(&mut self, now: Duration) {
        for to in self.followers() {
            self.ask_or_arrange(now, to, false);
        }
        self.look_for_next_ask();
    }

    /// Asks a follower what is to be asked now, or arranges for it to be asked when it is time.
    pub(in crate::core::leader) fn attend(&mut self, now: Duration, to: FollowerId) {
        self.ask_or_arrange(now, to, false);
        self.look_for_next_ask();
    }

    fn look_for_next_ask(&mut self) {
        let asks = self.peers.iter().filter_map(|peer| peer.link.ask_at);
        self.next_ask = asks.min().unwrap_or(Duration::MAX);
    }

    fn ask_or_arrange(&mut self, now: Duration, to: FollowerId, at_once: bool) {
        let urgent = at_once || self.is_urgent(to);
        let link = &mut self.peers[to].link;
        link.ask_at = None;
        if link.call.is_some() {
            return;
        }
        let due = if urgent {
            link.not_before
        } else {
            link.not_before.max((link.last_heard() + HEARTBEAT).min(link.asked_at + COMPARISON))
        };
        if due > now {
            link.ask_at = Some(due);
            return;
        }
        let question = self.question(to);
        self.asked += 1;
        let (number, round) = (self.asked, self.round);
        let (affirms, compared) = match question {
            Question::Probe { buckets, .. } => (true, self.to_compare(to, buckets)),
            _ => (false, None),
        };
        let ask = Ask { epoch: self.epoch, leader: self.config.id, question };
        let says_recovered = self.serves();
        let link = &mut self.peers[to].link;
        link.asked_at = now;
        link.call = Some(Pending { number, epoch: self.epoch, round, affirms, compared, says_recovered });
        self.outputs.push_back(Output::Ask(Box::new(Call { to, number, ask })));
    }

    /// With what a follower is to be compared that is asked now what it stores, if with anything. Buckets show what is missing though
    /// something is on its way; without them, a follower must have answered for all that it was sent, and have missed nothing that is yet
    /// to be sent again.
    fn to_compare(&self, to: FollowerId, buckets: bool) -> Option<Compared> {
        let peer = &self.peers[to];
        let is_quiet = || self.serves() && peer.link.is_current() && peer.unanswered == 0 && peer.resender.len() == 0;
        let settled = if buckets { Some(self.settled_by(to)) } else { is_quiet().then_some(self.last_write) };
        settled.map(|settled| Compared { summary: self.store.shown(), settled, buckets })
    }

    /// The last write up to which a follower has answered for all that it was sent.
    fn settled_by(&self, id: FollowerId) -> WriteId {
        let unanswered = self.open.iter().find(|(_, open)| open.unanswered.contains(id));
        unanswered.map_or(self.last_write, |(write, _)| write - 1)
    }

    /// Whether the next question to a follower is to be asked at once.
    pub(super) fn is_urgent(&self, to: FollowerId) -> bool {
        let link = &self.peers[to].link;
        let Some(promised) = &link.promised else { return !link.is_legacy() };
        if link.in_doubt
            || link.is_doubted()
            || link.compare
            || (promised.round < self.round && self.needs_affirmation())
        {
            return true;
        }
        match (&self.phase, &link.sync) {
            (Phase::Starting(start), _) if !start.has_recovered() => start.pulls_from(to),
            (_, Sync::Behind) => self.may_install(to),
            (_, Sync::Pushing(_)) => true,
            (Phase::Serving, Sync::Current) => !link.knows_recovered || self.has_to_forget(to),
            _ => false,
        }
    }

    fn question(&mut self, to: FollowerId) -> Question {
        let link = &self.peers[to].link;
        if link.promised.is_none() {
            return Question::Fence;
        }
        let has_recovered = match &self.phase {
            Phase::Starting(start) if start.pulls_from(to) => return self.pull(to),
            Phase::Starting(start) => start.has_recovered(),
            Phase::Serving => true,
        };
        if has_recovered && matches!(link.sync, Sync::Behind) && self.may_install(to) {
            self.push(to, None);
        }
        match &self.peers[to].link.sync {
            Sync::Pushing(_) => self.part(to),
            Sync::Current if self.has_to_forget(to) && !self.peers[to].link.compare => self.forget_question(to),
            _ => {
                let recovered = self.serves().then(|| self.config.configuration.clone());
                Question::Probe { recovered, buckets: self.peers[to].link.compare }
            }
        }
    }

    pub(super) fn pause(&self, to: FollowerId) -> Duration {
        let failures = self.peers[to].link.failures;
        let draw = self.config.seed.fork("asks").draw(&[to.0.into(), self.config.id.0, failures.into()]);
        jittered_pause(failures.saturating_sub(1), draw)
    }
}
