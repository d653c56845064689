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
        self.rival().into_iter().chain(self.obstacles()).chain(self.slow_transfers()).chain(self.limits())
    }

    /// Where the leader is that has deposed this one, if a follower says so.
    fn other_leader(&self) -> Option<&HostPort> {
        let said = self.contacts.iter().filter_map(|contact| contact.follows.as_ref());
        let recent = said.filter(|(at, _)| self.now.saturating_sub(*at) <= MINUTE);
        recent.max_by_key(|(at, _)| *at).map(|(_, other)| other)
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
        Some(format!(
            "the leader would {kept}; lost would be every acknowledged write that only these have: {}",
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
            Progress::Doubted | Progress::Current => match &contact.writes {
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
            let writes = &self.contacts[id.index()].writes;
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
mod tests {
    use super::*;
    use crate::net::http::Traffic;
    use crate::node::contacts::Transfer;

    const NOW: Duration = Duration::from_secs(100);

    fn current() -> FollowerStatus {
        FollowerStatus {
            reachable: true,
            unanswered: 0,
            missed: 0,
            current: true,
            legacy: false,
            progress: Progress::Current,
            remembers: None,
            heard_at: Some(NOW - RECENT),
        }
    }

    /// What a leader of three followers that needs two says, of which the first is like this and the second counts or does not.
    fn says(first: FollowerStatus, contact: Contact, second_counts: bool) -> Ready {
        let names = ["a:1", "b:2", "c:3"].map(String::from);
        let silent = FollowerStatus { heard_at: Some(Duration::from_secs(88)), ..current() };
        let second = if second_counts { current() } else { silent };
        let contacts = vec![contact, Contact::default(), Contact::default()];
        let status = vec![first, second, current()];
        let max_body = 16 << 20;
        Followers {
            now: NOW,
            own_address: "l:0",
            deposed: Vec::new(),
            names: &names,
            status,
            contacts,
            write_quorum: 2,
            max_body,
            waiting: None,
        }
        .readiness()
    }

    #[test]
    fn a_leader_is_ready_while_enough_followers_count() {
        let all = says(current(), Contact::default(), true);
        assert_eq!(all, Ready { ready: true, detail: "3 of 3 followers count, 2 must for a write".into() });
        let late = FollowerStatus { heard_at: Some(NOW - RECENT - Duration::from_millis(1)), ..current() };
        let two = says(late, Contact::default(), true);
        assert_eq!(
            two,
            Ready {
                ready: true,
                detail: "2 of 3 followers count, 2 must for a write; a:1: has not answered for 2 s".into()
            }
        );
        let one = says(late, Contact::default(), false);
        assert!(
            !one.ready
                && one.detail.starts_with("1 of 3 followers count")
                && one.detail.contains("b:2: has not answered for 12 s")
        );
    }

    /// What a leader says that does not serve: while it looks for who remembers, who does not answer; then who is not up to date.
    #[test]
    fn a_leader_that_does_not_serve_says_what_it_waits_for_and_what_to_do() {
        let names = ["a:1".to_owned()];
        let says = |waiting: Waiting| {
            let status = vec![FollowerStatus { progress: Progress::Behind { keys: 3 }, ..current() }];
            let trouble = Trouble::Unreachable("cannot connect: refused".into());
            let question = Some(Problem { trouble, since: NOW });
            let asked = if matches!(waiting, Waiting::Quorum { .. }) { None } else { question };
            let contacts = vec![Contact { question: asked, ..Contact::default() }];
            let waiting = Some(waiting);
            Followers {
                now: NOW,
                own_address: "l:0",
                deposed: Vec::new(),
                names: &names,
                status,
                contacts,
                write_quorum: 1,
                max_body: 1,
                waiting,
            }
            .readiness()
        };
        let nobody = || (Vec::new(), Vec::new(), Vec::new());
        let (forgetful, foreign, gone) = nobody();
        let silent = vec!["a:1".to_owned()];
        let Ready { ready, detail } =
            says(Waiting::Survivors { normal: 0, needed: 1, silent, forgetful, foreign, gone });
        assert!(!ready && detail.contains("a:1: cannot connect: refused (so for 0 s); start it"), "{detail}");
        let resort = "; if a:1 will not come back with what was stored, accept that it is lost: semisync admin accept-loss l:0 (";
        assert!(detail.contains(resort) && !detail.contains("brought up to date"), "{detail}");
        let Ready { ready, detail } = says(Waiting::Quorum { current: 0, needed: 1 });
        assert!(!ready && detail.ends_with("a:1: is being brought up to date: 3 keys to go"), "{detail}");
        assert!(last_resort(&[], &[], "l:0").starts_with("if nobody else can remember it, accept that it is lost: "));
        let gone = last_resort(&["a:1".to_owned()], &["b:2".to_owned()], "l:0");
        assert!(gone.starts_with("put b:2 back into FOLLOWERS, or if a:1 will not come back"), "{gone}");
    }

    /// What does not keep a follower from counting, and a person should know.
    #[tokio::test(start_paused = true)]
    async fn a_slow_transfer_and_a_small_limit_are_told_of() {
        let transfer = Transfer { size: 12_600_000, traffic: Traffic::default() };
        let sent = |missed, reachable| {
            let status = FollowerStatus { missed, reachable, ..current() };
            says(status, Contact { transfers: vec![transfer.clone()], ..Contact::default() }, true)
        };
        assert_eq!(sent(0, true).detail, "3 of 3 followers count, 2 must for a write");
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(sent(0, true).detail.ends_with("; a:1: 12.6 MB are being sent to it: 0.0 MB in 4 s, 0.0 MB/s"));
        let behind = sent(1, false).detail;
        assert!(
            behind.ends_with(
                "is behind by 1 key, to be sent again; 12.6 MB are being sent to it: 0.0 MB in 4 s, 0.0 MB/s"
            ),
            "{behind}"
        );
        let limited = says(current(), Contact { takes: Some(FollowerLimit(1 << 20)), ..Contact::default() }, true);
        assert!(
            limited.ready
                && limited
                    .detail
                    .contains("a:1: it has MAX_BODY=1.0 MiB, and the leader MAX_BODY=16.0 MiB: values over 9.0 MiB"),
            "{}",
            limited.detail
        );
        let equal = says(current(), Contact { takes: Some(FollowerLimit(16 << 20)), ..Contact::default() }, true);
        assert_eq!(equal.detail, "3 of 3 followers count, 2 must for a write");
    }

    #[test]
    fn an_operator_is_shown_what_a_loss_would_be() {
        let names = ["a:1", "b:2", "c:3"].map(String::from);
        let remembers = FollowerStatus { remembers: Some(12), ..current() };
        let would = |status: [FollowerStatus; 3], forgetful: Vec<String>| {
            let (silent, foreign, gone) = (vec!["c:3".to_owned()], Vec::new(), vec!["d:4".to_owned()]);
            let waiting = Some(Waiting::Survivors { normal: 1, needed: 2, silent, forgetful, foreign, gone });
            let contacts = vec![Contact::default(); 3];
            let status = status.to_vec();
            Followers {
                now: NOW,
                own_address: "l:0",
                deposed: Vec::new(),
                names: &names,
                status,
                contacts,
                write_quorum: 2,
                max_body: 1,
                waiting,
            }
            .loss_to_accept()
            .unwrap()
        };
        assert_eq!(
            would([remembers, current(), current()], vec!["b:2".into()]),
            "the leader would go on with what is remembered by a:1 (12 keys); lost would be every acknowledged write that only these \
             have: c:3 (have not joined), b:2 (are new, or restarted empty), d:4 (are not in FOLLOWERS any more)"
        );
        assert!(would([current(); 3], Vec::new()).starts_with("the leader would begin empty, because nobody"));
    }

    #[test]
    fn each_reason_names_the_follower_and_what_to_do() {
        let with = |progress| FollowerStatus { progress, ..current() };
        let problem = |trouble| Some(Problem { trouble, since: Duration::from_secs(40) });
        let asked = |trouble| Contact { question: problem(trouble), ..Contact::default() };
        let sent = |trouble| Contact { writes: problem(trouble), ..Contact::default() };
        let behind = FollowerStatus { missed: 3, reachable: false, ..current() };
        let never = FollowerStatus { heard_at: None, ..with(Progress::Unpromised) };
        let silent: FollowerSet = [FollowerId(2)].into_iter().collect();
        for (status, contact, said) in [
            (
                never,
                asked(Trouble::Unreachable("cannot connect: refused".into())),
                "a:1: cannot connect: refused (so for 60 s, and never did); start it, or correct its address in FOLLOWERS",
            ),
            (
                with(Progress::Unpromised),
                asked(Trouble::WrongToken { shows_one: false }),
                "it has a PEER_TOKEN and the leader has none (so for 60 s); start both with the same PEER_TOKEN",
            ),
            (with(Progress::Unconfirmed { silent }), Contact::default(), "when c:3 can be asked"),
            (with(Progress::Behind { keys: 7 }), Contact::default(), "a:1: is being brought up to date: 7 keys to go"),
            (behind, sent(Trouble::TooLarge), "is behind by 3 keys: it refuses a request with 413"),
            (behind, Contact::default(), "is behind by 3 keys, to be sent again"),
            (with(Progress::Elsewhere), Contact::default(), "another follower answers at this address"),
            (
                with(Progress::Legacy),
                asked(Trouble::NoFollower(http::StatusCode::NOT_FOUND)),
                "a:1: it answers 404 to a leader's questions",
            ),
            (with(Progress::Doubted), Contact::default(), "a:1: has not answered for 2 s"),
        ] {
            let Ready { ready, detail } = says(status, contact, false);
            assert!(!ready && detail.contains(said), "{detail}");
        }
    }
}
