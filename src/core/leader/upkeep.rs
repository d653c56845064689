//! What a leader does for each follower besides sending it writes: it has it promise the epoch, brings it up to date, and
//! looks after it. What it asks for that, and when, is in `asking`; what decides anything of what it knows, in `matters`.

mod asking;
mod matters;

use std::time::Duration;

use super::catch_up::Sync;
use super::vocabulary::{Asked, News, Output};
use super::{Leader, Peer, Phase};
use crate::base::trace::WriteId;
use crate::base::{Epoch, FollowerId, FollowerSet, Key};
use crate::core::ask::{Answer, Configuration, Identity, Incarnation, Promise, Said, Standing};
use crate::core::digest::{Buckets, Summary};

pub(super) use matters::{Matters, Rounds};

/// How long a follower may be silent before it is asked whether it is still there, and whether it stores what it should.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often one is asked that is never silent, and how often its store is compared though something is always on its way.
const COMPARISON: Duration = Duration::from_secs(10);

/// How many lives are remembered of followers that start again and again. If one of them that is forgotten turns up under another
/// name, the leader starts anew for nothing.
const MOST_LIVES: usize = 1024;

/// What a leader knows of a follower.
#[derive(Debug, Clone, Default)]
pub(super) struct Link {
    /// What it said when it promised this epoch. None if it has not, or has restarted since.
    pub(super) promised: Option<Promised>,
    /// Which of its lives has promised this epoch last, whether or not it has restarted since.
    pub(super) promised_as: Option<Incarnation>,
    pub(super) sync: Sync,
    call: Option<Pending>,
    /// When the next question is due; none while one is under way.
    ask_at: Option<Duration>,
    /// No question before this.
    pub(super) not_before: Duration,
    /// How many questions in a row had no answer.
    failures: u32,
    /// When something came from it last; none if nothing has since the leader was started.
    heard_at: Option<Duration>,
    asked_at: Duration,
    /// When its buckets were last compared.
    compared_at: Duration,
    /// How often it was begun to bring it up to date.
    pub(super) pushes: u64,
    /// Whether something about it is to be found out at once.
    in_doubt: bool,
    /// The number of the last question that was asked before a connection to it ended, if it has not answered a later one since.
    disconnected_after: Option<u64>,
    /// Whether a message or a question to it has failed, and nothing has come from it since.
    is_unanswered: bool,
    /// Whether its buckets are to be compared.
    compare: bool,
    /// Whether it has been told that the recovery is complete.
    pub(super) knows_recovered: bool,
    /// Whether another follower has answered a question to it since it last did itself.
    pub(super) is_astray: bool,
}

/// What a follower said when it promised the epoch, and since.
#[derive(Debug, Clone)]
pub(super) struct Promised {
    pub(super) incarnation: Incarnation,
    pub(super) standing: Standing,
    pub(super) configurations: Vec<Configuration>,
    pub(super) summary: Summary,
    /// The last epoch in which it was brought up to date before.
    pub(super) current_in: Epoch,
    /// The last of the leader's rounds in which it said that the promise stands.
    pub(super) round: u64,
    /// The round in which others must have said so before it may be given a memory.
    pub(super) needs_round: u64,
    /// The leader's last round that had begun when it promised.
    pub(super) promised_in: u64,
    /// Up to where what it stores has been read, by a leader that starts.
    pub(super) read_to: Option<Key>,
    /// Whether it has turned out to store something else than it said when it promised.
    pub(super) differs: bool,
}

impl Promised {
    /// Whether it may have promised another leader's epoch before and have forgotten that: it is given a memory after a round.
    pub(super) fn may_have_forgotten(&self) -> bool {
        self.standing == Standing::Recovering
    }
}

/// A question that has no answer yet.
#[derive(Debug, Clone)]
struct Pending {
    number: u64,
    epoch: Epoch,
    round: u64,
    /// Whether it asks if the promise stands.
    affirms: bool,
    /// With what the answer to that is to be compared, if with anything.
    compared: Option<Compared>,
    /// Whether the question says that the recovery is complete.
    says_recovered: bool,
}

/// What a leader knew of its own store, and of what it had sent, when it asked what a follower stores.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Compared {
    /// What a reader found in its store.
    summary: Summary,
    /// The last write up to which the follower had answered for all that it was sent. Unless it is asked for buckets, that was the last
    /// of all: where something is on its way, nothing is to be seen.
    settled: WriteId,
    buckets: bool,
}

impl Pending {
    /// With what an answer that comes now is to be compared, if with anything. `last_write` is the leader's last one.
    fn compared_with(&self, last_write: WriteId) -> Option<&Compared> {
        // Without buckets it cannot be told what has been written since from what is missing.
        self.compared.as_ref().filter(|compared| compared.buckets || compared.settled == last_write)
    }
}

impl Link {
    /// Whether it is sent writes as they come. Of one that did not take what it was sent more must be known first.
    pub(super) fn takes_writes(&self) -> bool {
        self.is_legacy() || (self.is_current() && !self.in_doubt)
    }

    pub(super) fn is_current(&self) -> bool {
        matches!(self.sync, Sync::Current)
    }

    pub(super) fn is_legacy(&self) -> bool {
        matches!(self.sync, Sync::Legacy { .. })
    }

    /// Whether it was brought up to date in this of its lives.
    pub(super) fn is_current_in(&self, incarnation: Incarnation) -> bool {
        self.is_current() && self.promised.as_ref().is_some_and(|promised| promised.incarnation == incarnation)
    }

    /// Whether it answered the last question that is over.
    pub(super) fn answers(&self) -> bool {
        self.failures == 0
    }

    /// Whether nothing has come from it for so long that it would have been heard of, had it been there.
    pub(super) fn is_silent(&self, now: Duration, repl_timeout: Duration) -> bool {
        now.saturating_sub(self.last_heard()) >= repl_timeout.max(2 * HEARTBEAT)
    }

    pub(super) fn heard(&mut self, now: Duration) {
        self.heard_at = Some(now);
    }

    pub(super) fn heard_at(&self) -> Option<Duration> {
        self.heard_at
    }

    /// The same, where nothing has come yet from when the leader was started.
    fn last_heard(&self) -> Duration {
        self.heard_at.unwrap_or_default()
    }

    /// Ends the pause after questions that had no answer. Whether there was one.
    pub(super) fn ends_pause(&mut self, now: Duration) -> bool {
        let was_paused = self.not_before > now;
        if was_paused {
            self.not_before = Duration::ZERO;
        }
        was_paused
    }

    pub(super) fn ask_at(&self) -> Option<Duration> {
        self.ask_at
    }

    /// A connection to it has ended after this question was asked.
    pub(super) fn doubt(&mut self, last_question: u64) {
        self.disconnected_after = Some(last_question);
    }

    /// A message or a question to it has failed.
    pub(super) fn note_silence(&mut self) {
        self.is_unanswered = true;
    }

    /// Whether there was a doubt about it that has ended, now that the answer to this question has come, or to a message.
    pub(super) fn ends_doubt(&mut self, question: Option<u64>) -> bool {
        let was_doubted = self.is_doubted();
        self.is_unanswered = false;
        self.disconnected_after.take_if(|last| question > Some(*last));
        was_doubted && !self.is_doubted()
    }

    pub(super) fn drop_doubt(&mut self) {
        (self.disconnected_after, self.is_unanswered) = (None, false);
    }

    /// Whether what it confirmed does not count for now.
    pub(super) fn is_doubted(&self) -> bool {
        self.disconnected_after.is_some() || self.is_unanswered
    }
}

impl Leader {
    /// Whether a follower is up to date in this epoch, so that its confirmations count.
    pub(super) fn counts(&self, peer: &Peer) -> bool {
        !self.config.rules.recover_on_start || peer.link.is_current()
    }

    /// Whether a follower is one of the leader's members.
    pub fn replicates_to(&self, id: FollowerId) -> bool {
        self.config.followers.contains(id)
    }

    /// Which life of a follower has promised the leader's epoch, and whether it remembers, as far as the leader knows.
    pub fn knows(&self, id: FollowerId) -> Option<Identity> {
        let promised = self.peers[id].link.promised.as_ref()?;
        Some(Identity { incarnation: promised.incarnation, standing: promised.standing })
    }

    /// Whether the leader has something to ask a follower that cannot wait for long.
    pub fn wants_to_ask(&self, id: FollowerId) -> bool {
        self.peers[id].link.call.is_none() && self.is_urgent(id)
    }

    /// Learns what became of a question.
    pub fn handle_answer(&mut self, now: Duration, from: FollowerId, number: u64, asked: Asked) {
        let Peer { link, resender, .. } = &mut self.peers[from];
        resender.sweep();
        let Some(call) = link.call.take_if(|call| call.number == number) else { return };
        match asked {
            Asked::Lost => self.no_answer(now, from),
            Asked::Legacy { is_empty } => {
                link.heard(now);
                link.failures = 0;
                self.take_for_legacy(from, is_empty);
            }
            Asked::Answered(answer) if let Some(by) = self.other_known_as(from, answer.incarnation) => {
                self.no_answer(now, from);
                self.astray(now, from, by);
            }
            Asked::Answered(answer) => {
                self.move_name(from, answer.incarnation);
                let link = &mut self.peers[from].link;
                link.is_astray = false;
                link.heard(now);
                link.failures = 0;
                link.in_doubt = false;
                if link.is_legacy() {
                    link.sync = Sync::Behind;
                }
                // Questions may get through where messages do not.
                let peer = &mut self.peers[from];
                peer.reachable |= peer.resender.len() == 0;
                let incarnation = answer.incarnation;
                self.hear(now, from, &call, answer);
                // If it has restarted, what it confirmed has been dropped by now.
                if self.knows(from).is_some_and(|known| known.incarnation == incarnation) {
                    self.end_doubt(from, Some(number));
                }
            }
        }
        self.go_on(now);
    }

    fn no_answer(&mut self, now: Duration, from: FollowerId) {
        self.note_silence(from);
        self.peers[from].link.failures += 1;
        let pause = self.pause(from);
        let peer = &mut self.peers[from];
        peer.link.not_before = now + pause;
        peer.reachable = false;
        self.source_is_silent(from);
    }

    /// The other follower that this life is known to be, and answers as.
    pub(super) fn other_known_as(&self, id: FollowerId, incarnation: Incarnation) -> Option<FollowerId> {
        self.other_name_of(id, incarnation).filter(|other| self.peers[*other].link.answers())
    }

    fn other_name_of(&self, id: FollowerId, incarnation: Incarnation) -> Option<FollowerId> {
        if !self.config.rules.tell_nodes_apart {
            return None;
        }
        let is_known =
            |peer: &Peer| peer.link.promised.as_ref().is_some_and(|promised| promised.incarnation == incarnation);
        self.peers.enumerate().find(|(other, peer)| *other != id && is_known(peer)).map(|(other, _)| other)
    }

    /// This life answers under this name. If it had another, that does not answer any more, and it is known by this one from now on.
    fn move_name(&mut self, to: FollowerId, incarnation: Incarnation) {
        if let Some(before) = self.other_name_of(to, incarnation) {
            self.lose_memory_of(before);
        }
    }

    /// Another follower answers where this one is looked for: names have come to lead to other nodes than they did, or two lead to
    /// the same. Whoever stores a write must not count twice, so nothing is known of this one until it answers itself. The other one
    /// may be the one that is looked for at the wrong place, so both are looked up anew.
    fn astray(&mut self, now: Duration, id: FollowerId, by: FollowerId) {
        let lost = self.forget_promise_of(id);
        if !std::mem::replace(&mut self.peers[id].link.is_astray, true) {
            self.outputs.push_back(Output::Tell(News::Astray { follower: id, by, lost }));
        }
        for name in [id, by] {
            self.doubt(name);
            self.outputs.push_back(Output::Reconnect(name));
        }
        self.ask_now(now, by);
    }

    /// Acts on an answer.
    fn hear(&mut self, now: Duration, from: FollowerId, call: &Pending, answer: Answer) {
        let Answer { incarnation, standing, promised, said } = answer;
        let mine = Promise { epoch: self.epoch, leader: self.config.id };
        if promised != mine && promised.epoch >= self.epoch {
            return self.step_down(now, promised.epoch);
        }
        // The answer to a question of an epoch that it has given up.
        if call.epoch != self.epoch {
            return;
        }
        let known = self.peers[from].link.promised.as_ref().map(|promised| promised.incarnation);
        if known.is_some_and(|known| known != incarnation) {
            self.lose_memory_of(from);
            // Who was not taken for itself because this one was taken for it may be now.
            let astray = |id: &FollowerId| self.peers[*id].link.is_astray;
            let astray: Vec<FollowerId> = self.followers().filter(astray).collect();
            astray.into_iter().for_each(|id| self.ask_now(now, id));
        }
        match said {
            Said::Promised { configurations, summary, floor, current_in } => {
                if self.is_led_by_another(from, incarnation, standing) {
                    return self.step_down(now, self.epoch);
                }
                self.floor = self.floor.max(floor);
                self.promised(from, call.round, (incarnation, standing, configurations, summary, current_in));
            }
            Said::Here { summary, buckets } => self.affirmed(now, from, call, (standing, summary, buckets)),
            Said::Page { entries, more } => self.take_page(from, entries, more),
            Said::Taken => {
                if let Sync::Pushing(snapshot) = &mut self.peers[from].link.sync {
                    snapshot.part_is_taken();
                }
            }
            Said::Installed => self.installed(now, from, call.says_recovered),
            Said::Forgotten => self.forgotten(from),
            Said::Again => {
                let link = &mut self.peers[from].link;
                link.sync = Sync::Behind;
                link.promised.iter_mut().for_each(|promised| promised.differs = true);
            }
            Said::Refused => self.lose_memory_of(from),
        }
    }

    /// Whether a follower that has restarted since it promised this epoch was given a memory, which was not by this leader. No
    /// other one can do that while anybody knows of this epoch, so all have forgotten it, and this leader does not know what was
    /// acknowledged since. (Of one that has never promised this epoch it cannot be told whether it has restarted or was away; if
    /// such a one is heard first, it is given this leader's memory, and what it alone had is lost.)
    fn is_led_by_another(&self, from: FollowerId, incarnation: Incarnation, standing: Standing) -> bool {
        let promised_as = self.peers[from].link.promised_as;
        let has_recovered = !matches!(&self.phase, Phase::Starting(start) if !start.has_recovered());
        // It may have promised it under another name.
        let is_known = self.config.rules.tell_nodes_apart && self.lives.contains(&incarnation);
        let is_new = promised_as.is_some_and(|promised_as| promised_as != incarnation) && !is_known;
        is_new && has_recovered && standing == Standing::Normal
    }

    fn promised(
        &mut self,
        from: FollowerId,
        round: u64,
        (incarnation, standing, configurations, summary, current_in): (
            Incarnation,
            Standing,
            Vec<Configuration>,
            Summary,
            Epoch,
        ),
    ) {
        self.has_met_memory |= standing == Standing::Normal;
        let promised_in = self.round;
        // Whoever is asked in the next round whether the promise stands is asked after this life has begun. While what is stored
        // is gathered, that round begins by itself.
        let needs_round = self.round + 1;
        if standing == Standing::Recovering && !self.is_gathering() {
            self.round += 1;
        }
        if let Phase::Starting(start) = &mut self.phase {
            start.note_promise(from);
        }
        let link = &mut self.peers[from].link;
        let (differs, read_to) = (false, None);
        link.promised = Some(Promised {
            incarnation,
            standing,
            configurations,
            summary,
            current_in,
            round,
            needs_round,
            promised_in,
            read_to,
            differs,
        });
        link.promised_as = Some(incarnation);
        link.sync = Sync::Behind;
        if self.lives.len() >= MOST_LIVES {
            self.lives = self.peers.iter().filter_map(|peer| peer.link.promised_as).collect();
        }
        self.lives.insert(incarnation);
    }

    /// The follower is still there, and the promise stands.
    fn affirmed(
        &mut self,
        now: Duration,
        from: FollowerId,
        call: &Pending,
        (standing, summary, buckets): (Standing, Summary, Option<Buckets>),
    ) {
        if !call.affirms {
            return;
        }
        let (serves, ours) = (self.serves(), self.store.shown());
        let peer = &mut self.peers[from];
        let Some(promised) = &mut peer.link.promised else { return };
        promised.round = promised.round.max(call.round);
        promised.standing = standing;
        peer.link.knows_recovered |= call.says_recovered;
        peer.link.compare = false;
        let repairs = self.config.rules.compare_stores && serves && peer.link.is_current() && peer.resender.len() == 0;
        if buckets.is_some() {
            peer.link.compared_at = peer.link.asked_at;
        }
        let compared = call.compared_with(self.last_write);
        if !repairs || compared.is_some_and(|compared| compared.summary == summary) {
            return;
        }
        let (Some(theirs), Some(Compared { settled, .. })) = (buckets, compared) else {
            // Of one that is never quiet it cannot be told whether anything is missing, so it is looked at from time to time.
            let is_due = now >= peer.link.compared_at + COMPARISON && summary != ours;
            peer.link.compare = compared.is_some() || is_due;
            return;
        };
        // Where something was on its way when it was asked, or has been written since, there is nothing to be seen.
        let ours = self.store.buckets();
        let differing: Vec<u8> = theirs.differing(ours).collect();
        let is_settled = |bucket: &u8| self.written_in.get(bucket).is_none_or(|write| write <= settled);
        let (settled, moving): (Vec<u8>, Vec<u8>) = differing.into_iter().partition(is_settled);
        if !settled.is_empty() {
            let against = moving.into_iter().fold(theirs, |against, bucket| against.alike_in(bucket, ours));
            self.push(from, Some(against));
        }
    }

    /// The follower has restarted, and what it confirmed is not stored by it any more.
    pub(super) fn lose_memory_of(&mut self, of: FollowerId) {
        if let Some(ended) = self.forget_promise_of(of) {
            self.outputs.push_back(Output::Tell(News::Forgot { follower: of, ended }));
        }
    }

    /// What a follower has promised, confirmed and stored is not known any more. Which life of it was known before.
    fn forget_promise_of(&mut self, of: FollowerId) -> Option<Incarnation> {
        let link = &mut self.peers[of].link;
        let known = link.promised.take()?.incarnation;
        link.sync = Sync::Behind;
        (link.compare, link.knows_recovered) = (false, false);
        self.drop_doubt(of);
        self.remembers_again(of);
        if self.config.rules.forget_lost_confirmations {
            for open in self.open.values_mut() {
                open.confirmed.remove(of);
            }
            self.note_lost(of);
        }
        Some(known)
    }

    /// The follower does not know epochs. `is_empty` says whether it was found to store nothing.
    pub(super) fn take_for_legacy(&mut self, id: FollowerId, is_empty: bool) {
        let link = &mut self.peers[id].link;
        if self.config.rules.recover_on_start && !link.is_legacy() {
            link.promised = None;
            link.sync = Sync::Legacy { is_empty };
            self.drop_doubt(id);
            self.outputs.push_back(Output::Tell(News::Legacy(id)));
        }
    }

    /// What a follower answered to a message makes it doubtful that it is what it was.
    pub(super) fn look_after(&mut self, now: Duration, id: FollowerId) {
        if self.config.rules.recover_on_start {
            self.peers[id].link.in_doubt = true;
            self.attend(now, id);
        }
    }

    /// How many followers know epochs, as far as anybody knows.
    pub(super) fn fenceable(&self) -> usize {
        self.peers.iter().filter(|peer| !peer.link.is_legacy()).count()
    }

    /// How many may know something that must not be lost: all but those that do not know epochs and never stored anything. Who
    /// only seems not to know epochs, behind a proxy that refuses questions, is not passed over.
    pub(super) fn peers_with_memory(&self) -> usize {
        let blank = |peer: &&Peer| matches!(peer.link.sync, Sync::Legacy { is_empty: true });
        self.peers.len() - self.peers.iter().filter(blank).count()
    }

    /// Whether somebody waits for others to say that the promise stands.
    pub(super) fn needs_affirmation(&self) -> bool {
        match &self.phase {
            Phase::Starting(start) if !start.has_recovered() => start.is_confirming(),
            Phase::Serving if !self.reads.is_empty() => true,
            _ => self.followers().any(|id| {
                let link = &self.peers[id].link;
                link.promised.is_some() && matches!(link.sync, Sync::Behind) && !self.may_install(id)
            }),
        }
    }

    /// The configurations under which something may have been acknowledged that must not be lost.
    pub(super) fn configurations_in_force(&self) -> Vec<Configuration> {
        let mut configurations = vec![self.config.configuration.clone()];
        if self.serves() || !self.config.rules.remember_quorums {
            return configurations;
        }
        let recovered = match &self.phase {
            Phase::Starting(start) => start.recovered_under(),
            Phase::Serving => &[],
        };
        for configuration in recovered.iter().chain(self.reported()) {
            if !configurations.contains(configuration) {
                configurations.push(configuration.clone());
            }
        }
        configurations
    }

    /// The configurations under which something may have been acknowledged, as followers have said when they promised.
    pub(super) fn reported(&self) -> impl Iterator<Item = &Configuration> {
        let promised = self.peers.iter().filter_map(|peer| peer.link.promised.as_ref());
        promised.flat_map(|promised| &promised.configurations)
    }

    /// The followers of which something is true that have promised the epoch.
    pub(super) fn promised_by(&self, is: impl Fn(&Promised) -> bool) -> FollowerSet {
        let mut set = FollowerSet::default();
        for (id, peer) in self.peers.enumerate() {
            if peer.link.promised.as_ref().is_some_and(&is) {
                set.insert(id);
            }
        }
        set
    }

    /// Whether an epoch that a follower has promised, and for which it did not take a message, is that of another leader.
    pub(super) fn is_deposed_by(&self, promised: Epoch, message: Epoch) -> bool {
        promised > self.epoch || (promised == self.epoch && message == self.epoch)
    }
}
