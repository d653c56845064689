//! What a leader does when it is time to, and when that is.

use std::time::Duration;

use super::vocabulary::{Output, Timer};
use super::{Leader, Peer, keys_on_their_way};
use crate::base::FollowerId;

impl Leader {
    /// Acts on the passing of time: answers the clients of writes whose deadline has come, and sends again what
    /// followers missed.
    pub fn handle_timeout(&mut self, now: Duration) {
        while self.deadlines.front().is_some_and(|(deadline, _)| *deadline <= now) {
            self.fire(now, Timer::Deadline);
        }
        while self.reads.front().is_some_and(|waiter| waiter.deadline() <= now) {
            self.fire(now, Timer::Read);
        }
        for to in self.followers() {
            self.peers[to].resender.sweep();
            if self.resend_at(to).is_some_and(|at| at <= now) {
                self.fire(now, Timer::Resend(to));
            }
            if self.peers[to].link.ask_at().is_some_and(|at| at <= now) {
                self.attend(now, to);
            }
        }
    }

    /// When the next round to this follower begins. To one that is not up to date there is none.
    fn resend_at(&self, to: FollowerId) -> Option<Duration> {
        let peer = &self.peers[to];
        peer.resender.wake_at().filter(|_| self.sends_to(peer))
    }

    fn sends_to(&self, peer: &Peer) -> bool {
        !self.config.rules.recover_on_start || peer.link.takes_writes()
    }

    /// One timer goes off. [`Leader::handle_timeout`] calls this for those that are due; who lets time pass in another
    /// way may call it for any that is armed. One that is not armed does nothing.
    pub fn fire(&mut self, now: Duration, timer: Timer) {
        match timer {
            Timer::Deadline => {
                if let Some(&(_, write)) = self.deadlines.front() {
                    self.complete(write, !self.config.rules.keep_quorum);
                }
            }
            Timer::Resend(to) => {
                let open = &self.open;
                let round = self.peers[to].resender.start_round(now, || keys_on_their_way(open, to));
                self.outputs.extend(round.into_iter().map(Output::Send));
            }
            Timer::Read => self.give_up_read(),
            Timer::Ask(to) => self.ask_now(now, to),
        }
    }

    /// The timers that are armed, each with the time at which it is due.
    pub fn timers(&self) -> impl Iterator<Item = (Timer, Duration)> {
        let deadline = self.deadlines.front().map(|&(deadline, _)| (Timer::Deadline, deadline));
        let resends = self.followers().filter_map(|to| Some((Timer::Resend(to), self.resend_at(to)?)));
        let asks = self.peers.enumerate();
        let asks = asks.filter_map(|(to, peer)| Some((Timer::Ask(to), peer.link.ask_at()?)));
        let read = self.reads.front().map(|waiter| (Timer::Read, waiter.deadline()));
        deadline.into_iter().chain(read).chain(resends).chain(asks)
    }

    /// When [`Leader::handle_timeout`] is to be called next, if nothing else happens before.
    pub fn wake_at(&self) -> Option<Duration> {
        // The same as the first of the timers, faster: simulations ask after every event.
        let deadline = self.deadlines.front().map_or(Duration::MAX, |&(deadline, _)| deadline);
        let mut first = self.reads.front().map_or(deadline, |waiter| waiter.deadline().min(deadline));
        first = first.min(self.next_ask);
        for peer in self.peers.iter() {
            if let Some(at) = peer.resender.wake_at()
                && self.sends_to(peer)
            {
                first = first.min(at);
            }
        }
        (first < Duration::MAX).then_some(first)
    }
}
