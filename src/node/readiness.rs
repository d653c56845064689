//! Whether a node can do its work, and if not, why and what to do.
//!
//! The same sentences stand in `GET /ready`, in the answer to what is refused, in that to a write that misses its quorum, and in the
//! log.

use std::time::Duration;

use super::body_limit::FollowerLimit;
use super::contacts::{Contact, MINUTE, Problem, Trouble};
use crate::base::wire::{FollowerReport, Ready};
use crate::base::{FollowerId, FollowerSet};
use crate::core::{FollowerStatus, Progress, Waiting};
use crate::net::HostPort;

/// How recently something must have come from a follower for it to count, and from its leader for a follower to be ready.
pub(super) const RECENT: Duration = Duration::from_secs(2);

/// What a leader knows of its followers at a moment.
pub(super) struct Followers<'a> {
    pub(super) now: Duration,
    /// Where people reach the leader.
    pub(super) own_address: &'a str,
    /// When another leader has deposed it, in the last minute.
    pub(super) deposed: Vec<Duration>,
    /// Their addresses.
    pub(super) names: &'a [String],
    pub(super) status: Vec<FollowerStatus>,
    pub(super) contacts: Vec<Contact>,
    /// How many must confirm a write.
    pub(super) write_quorum: usize,
    /// The largest body that the leader takes, in bytes.
    pub(super) max_body: usize,
    /// The longest emulated delay of a message, and how long a write may wait.
    pub(super) max_delay: Duration,
    pub(super) repl_timeout: Duration,
    /// What the leader waits for, unless it serves.
    pub(super) waiting: Option<Waiting>,
}

impl Followers<'_> {
    /// Whether enough followers count for a write, and what keeps the others from it.
    pub(super) fn readiness(&self) -> Ready {
        let counting = self.ids().filter(|id| self.counts(*id)).count();
        let (of, needed) = (self.status.len(), self.write_quorum);
        let mut sentences = Vec::new();
        match &self.waiting {
            None => {
                sentences.push(format!("{counting} of {of} followers count, {needed} must for a write"));
                sentences.extend(self.notes());
            }
            Some(waiting) => {
                sentences.push(waiting.to_string());
                if matches!(waiting, Waiting::OtherLeader { .. }) {
                    let address = || self.other_leader().map(|other| format!("the other one is at {other}"));
                    sentences.extend(self.rival().or_else(address));
                }
                sentences.extend(self.obstacles());
            }
        }
        if let Some(Waiting::Survivors { silent, gone, .. }) = &self.waiting {
            sentences.push(last_resort(silent, gone, self.own_address));
        }
        Ready { ready: self.waiting.is_none() && counting >= needed, detail: sentences.join("; ") }
    }

    /// What a person should know of the followers of a leader that serves.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        let notes = self.rival().into_iter().chain(self.delays()).chain(self.obstacles()).chain(self.crash_loops());
        notes.chain(self.slow_transfers()).chain(self.limits())
    }

    /// That the emulated delays leave no time for a write.
    fn delays(&self) -> Option<String> {
        let (longest, timeout) = (self.max_delay, self.repl_timeout);
        (longest >= timeout).then(|| {
            format!(
                "MAX_DELAY is {} ms and REPL_TIMEOUT {} ms, so writes miss their quorum for that: lower the one or raise the other",
                longest.as_millis(),
                timeout.as_millis()
            )
        })
    }

    /// Those that count now, and restart again and again.
    fn crash_loops(&self) -> impl Iterator<Item = String> {
        let looping = |id: FollowerId| {
            let restarts = self.restarts(&self.contacts[id.index()]);
            (self.counts(id) && !restarts.is_empty())
                .then(|| format!("{}: up to date{restarts}", self.names[id.index()]))
        };
        self.ids().filter_map(looping)
    }

    /// Where the leader is that has deposed this one, if a follower says so.
    fn other_leader(&self) -> Option<&HostPort> {
        let said = self.contacts.iter().filter_map(|contact| contact.follows.as_ref());
        let recent = said.filter(|(at, _)| self.now.saturating_sub(*at) <= MINUTE);
        let latest = recent.max_by_key(|(at, _)| *at).map(|(_, other)| other);
        // A former life of this leader has the same address.
        latest.filter(|other| other.to_string() != self.own_address)
    }

    /// That another leader has deposed this one lately.
    fn rival(&self) -> Option<String> {
        let recent = self.deposed.iter().map(|at| self.now.saturating_sub(*at)).filter(|ago| *ago <= MINUTE);
        let (ago, times) = (recent.clone().min()?.as_secs(), recent.count());
        let other = self.other_leader().map(|other| format!(", {other},")).unwrap_or_default();
        Some(format!(
            "another leader{other} has deposed this one {times} times in the last minute, {ago} s ago for the last time; stop one of the two"
        ))
    }

    /// What it would mean to accept the loss of what the followers know that the leader waits for. None if it waits for none.
    pub(super) fn loss_to_accept(&self) -> Option<String> {
        let Some(Waiting::Survivors { silent, forgetful, foreign, gone, .. }) = &self.waiting else { return None };
        let kept: Vec<String> = self
            .ids()
            .filter_map(|id| Some(format!("{} ({})", self.names[id.index()], keys(self.status[id.index()].remembers?))))
            .collect();
        let kept = match kept.as_slice() {
            [] => "begin empty, because nobody that answers remembers anything".to_owned(),
            kept => format!("go on with what is remembered by {}", kept.join(" and ")),
        };
        let groups = [
            ("have not joined", silent),
            ("are new, or restarted empty", forgetful),
            ("are other programs", foreign),
            ("are not in FOLLOWERS any more", gone),
        ];
        let given_up = groups.iter().filter(|(_, names)| !names.is_empty());
        let given_up: Vec<String> = given_up.map(|(what, names)| format!("{} ({what})", names.join(" and "))).collect();
        let replacement = match (silent.as_slice(), forgetful.as_slice()) {
            ([], _) | (_, []) => String::new(),
            (silent, _) => format!(
                "; those that are empty are brought up to date once all followers have joined, so start an empty one in place of {}",
                silent.join(" and ")
            ),
        };
        Some(format!(
            "the leader would {kept}; lost would be every acknowledged write that only these have: {}{replacement}",
            given_up.join(", ")
        ))
    }

    /// Whether the leader still looks for what was written before it.
    fn is_looking(&self) -> bool {
        matches!(&self.waiting, Some(waiting) if !matches!(waiting, Waiting::Quorum { .. } | Waiting::HandOver { .. }))
    }

    /// Each follower, as it is shown.
    pub(super) fn reports(&self) -> Vec<FollowerReport> {
        let seconds_since = |at: Duration| self.now.saturating_sub(at).as_secs_f64();
        self.ids()
            .map(|id| {
                let (status, contact) = (&self.status[id.index()], &self.contacts[id.index()]);
                FollowerReport {
                    follower: id.to_string(),
                    address: self.names[id.index()].clone(),
                    counts: self.counts(id),
                    progress: name_of(status.progress).into(),
                    in_flight: status.unanswered,
                    keys_behind: keys_behind(status),
                    behind_for_s: contact.behind_since.map(seconds_since),
                    heard_ago_s: status.heard_at.map(seconds_since),
                    sending: contact.slow_transfer().map(ToString::to_string),
                    max_body: contact.takes.map(|FollowerLimit(max_body)| max_body),
                    last_error: contact.last_error().map(ToString::to_string),
                    why: self.obstacle(id),
                }
            })
            .collect()
    }

    /// Why each follower that does not count does not, with what can be done about it.
    pub(super) fn obstacles(&self) -> Vec<String> {
        let obstacle = |id: FollowerId| Some(format!("{}: {}", self.names[id.index()], self.obstacle(id)?));
        self.ids().filter_map(obstacle).collect()
    }

    /// Whether a follower that is sent a write now can be expected to confirm it: it is up to date and has answered lately.
    fn counts(&self, id: FollowerId) -> bool {
        let status = &self.status[id.index()];
        let is_recent = status.heard_at.is_some_and(|at| self.now.saturating_sub(at) <= RECENT);
        let takes_writes = status.reachable || status.missed == 0;
        status.progress == Progress::Current && takes_writes && is_recent
    }

    /// Why a follower does not count. None if it does.
    fn obstacle(&self, id: FollowerId) -> Option<String> {
        if self.counts(id) {
            return None;
        }
        let status = &self.status[id.index()];
        let contact = &self.contacts[id.index()];
        // Who does not even answer, does not for another reason than what it lacks.
        match &contact.question {
            Some(problem) => return Some(self.tell(problem, status.heard_at)),
            // Until it has been told what there is to recover, how far it has been brought up to date is no question.
            None if self.is_looking() => return None,
            None => {}
        }
        Some(match status.progress {
            Progress::Unpromised => match status.heard_at {
                None => "has not answered yet".into(),
                Some(_) => "has restarted, and has not promised the leader's epoch yet".into(),
            },
            Progress::Elsewhere => {
                "another follower answers at this address, and one node counts once; correct FOLLOWERS, or where \
                                    the names lead"
                    .into()
            }
            Progress::Unconfirmed { silent } => {
                let others = self.named(silent);
                format!(
                    "restarted empty{}{}; it is brought up to date when {others} can be asked, so that no promise to another leader is \
                     forgotten; start {others}, or start an empty follower in place of what is gone for good",
                    self.so_long(contact),
                    self.restarts(contact)
                )
            }
            Progress::Behind { keys } => {
                let (since, restarts) = (self.so_long(contact), self.restarts(contact));
                format!("is being brought up to date{since}{restarts}: {} to go{}", count(keys), self.transfer(contact))
            }
            // What it answered to a question is a problem with it, until it is another program that answers.
            Progress::Legacy => "does not know epochs: it gets writes and counts for nothing".into(),
            Progress::Doubted | Progress::Current => match contact.writes.as_ref().or(contact.large_writes.as_ref()) {
                Some(problem) if status.missed > 0 => {
                    format!("is behind by {}: {}", count(status.missed), self.tell(problem, status.heard_at))
                }
                None if status.missed > 0 => {
                    format!("is behind by {}, to be sent again{}", count(status.missed), self.transfer(contact))
                }
                _ => format!("has not answered {}", self.for_so_long(status.heard_at)),
            },
        })
    }

    /// What is being sent to it slowly, if anything is.
    fn transfer(&self, contact: &Contact) -> String {
        contact.slow_transfer().map(|transfer| format!("; {transfer}")).unwrap_or_default()
    }

    /// Those that count and are sent something over a slow link.
    fn slow_transfers(&self) -> impl Iterator<Item = String> {
        let slow = |id: FollowerId| self.contacts[id.index()].slow_transfer().filter(|_| self.counts(id));
        self.ids().filter_map(move |id| Some(format!("{}: {}", self.names[id.index()], slow(id)?)))
    }

    /// Those that take less than their leader.
    fn limits(&self) -> impl Iterator<Item = String> {
        let limit = |id: FollowerId| self.contacts[id.index()].takes.filter(|limit| limit.0 < self.max_body);
        let named = move |id: FollowerId| Some((id, limit(id)?));
        self.ids().filter_map(named).map(|(id, limit)| {
            let (status, own) = (&self.status[id.index()], FollowerLimit(self.max_body));
            let writes = &self.contacts[id.index()].large_writes;
            let is_refused = writes.as_ref().is_some_and(|problem| problem.trouble == Trouble::TooLarge);
            let lacks = match status.missed {
                missed @ 1.. if is_refused => format!("lacks {}, whose values are too large for it: ", count(missed)),
                _ => String::new(),
            };
            format!(
                "{}: {lacks}it has {limit}, and the leader {own}: values over {} do not reach it; start it with a MAX_BODY that is not \
                 below the leader's",
                self.names[id.index()],
                limit.largest_value(),
            )
        })
    }

    fn tell(&self, problem: &Problem, heard_at: Option<Duration>) -> String {
        let Problem { trouble, since } = problem;
        let since = self.now.saturating_sub(*since).as_secs();
        let (never, other) = match (heard_at, trouble) {
            (None, Trouble::Silent(_)) => {
                (", and never did", ", and whether a node listens there; else correct FOLLOWERS")
            }
            (None, _) => (", and never did", ""),
            (Some(_), _) => ("", ""),
        };
        format!("{trouble} (so for {since} s{never}); {}{other}", trouble.remedy())
    }

    /// That it restarts again and again.
    fn restarts(&self, contact: &Contact) -> String {
        let recent = contact.restarts.iter().filter(|at| self.now.saturating_sub(**at) <= MINUTE).count();
        if recent < 2 { String::new() } else { format!(", restarted {recent} times in the last minute (see its log)") }
    }

    /// For how long it has not been up to date.
    fn so_long(&self, contact: &Contact) -> String {
        let seconds = |since: Duration| format!(" (so for {} s)", self.now.saturating_sub(since).as_secs());
        contact.not_current_since.map(seconds).unwrap_or_default()
    }

    fn for_so_long(&self, heard_at: Option<Duration>) -> String {
        match heard_at {
            Some(at) => format!("for {} s", self.now.saturating_sub(at).as_secs()),
            None => "since the leader was started".into(),
        }
    }

    fn named(&self, ids: FollowerSet) -> String {
        ids.iter().map(|id| self.names[id.index()].as_str()).collect::<Vec<_>>().join(" and ")
    }

    fn ids(&self) -> impl Iterator<Item = FollowerId> {
        FollowerId::first(self.status.len())
    }
}

fn count(number: usize) -> String {
    keys(number as u64)
}

fn keys(number: u64) -> String {
    if number == 1 { "1 key".into() } else { format!("{number} keys") }
}

/// What an operator can do if those that may know what was acknowledged do not come back.
fn last_resort(silent: &[String], gone: &[String], leader: &str) -> String {
    let back =
        if gone.is_empty() { String::new() } else { format!("put {} back into FOLLOWERS, or ", gone.join(" and ")) };
    let condition = match silent {
        [] => "if nobody else can remember it,".to_owned(),
        silent => format!("if {} will not come back with what was stored,", silent.join(" and ")),
    };
    format!(
        "{back}{condition} accept that it is lost: semisync admin accept-loss {leader} (with --dry-run it is only shown what that would \
         mean; in a container: docker-compose exec leader semisync admin accept-loss)"
    )
}

/// How many keys a follower is known to lack, or to have in an older version.
pub(super) fn keys_behind(status: &FollowerStatus) -> usize {
    match status.progress {
        Progress::Behind { keys } => keys.max(status.missed),
        _ => status.missed,
    }
}

fn name_of(progress: Progress) -> &'static str {
    match progress {
        Progress::Unpromised => "unpromised",
        Progress::Elsewhere => "elsewhere",
        Progress::Unconfirmed { .. } => "unconfirmed",
        Progress::Behind { .. } => "behind",
        Progress::Doubted => "doubted",
        Progress::Current => "current",
        Progress::Legacy => "legacy",
    }
}

#[cfg(test)]
mod tests;
