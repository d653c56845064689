//! What became of the last requests to each follower: what the protocol need not know, and a person who looks for a fault must.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;

use super::body_limit::FollowerLimit;
use crate::base::FollowerId;
use crate::net::HostPort;
use crate::net::http::{HttpError, Traffic};

/// What a request was for. One kind can get through where another does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The leader asks something, or brings the follower up to date.
    Question,
    /// It sends writes.
    Writes,
    /// It sends large values, in requests of their own.
    LargeWrites,
}

/// For how long what has happened is of interest.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// Why a follower did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nobody listens at its address, or it cannot be looked up.
    Unreachable(String),
    /// It did not answer in time, or the connection broke.
    Silent(String),
    /// It does not take this leader for its own.
    WrongToken {
        /// Whether the leader shows one.
        shows_one: bool,
    },
    /// What it was sent is larger than it takes.
    TooLarge,
    /// It answers nothing of what a leader asks.
    NoFollower(StatusCode),
    /// What it answers is not HTTP.
    NotHttp(String),
    /// Its answer cannot be understood.
    Unreadable(String),
    /// It refused for another reason.
    Refused(StatusCode),
}

impl From<&HttpError> for Trouble {
    fn from(error: &HttpError) -> Self {
        if error.says_that_nobody_listens() {
            Self::Unreachable(error.to_string())
        } else if error.is_no_http() {
            Self::NotHttp(error.to_string())
        } else {
            Self::Silent(error.to_string())
        }
    }
}

impl Trouble {
    /// What a follower that answered with this status means by it.
    pub(super) fn of_status(status: StatusCode, shows_token: bool) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::WrongToken { shows_one: shows_token },
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::FORBIDDEN
            | StatusCode::BAD_REQUEST
            | StatusCode::NOT_IMPLEMENTED => Self::NoFollower(status),
            _ => Self::Refused(status),
        }
    }

    /// What an operator can do about it.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "start it, or correct its address in FOLLOWERS",
            Self::Silent(_) => {
                "see whether it is stopped, overloaded, or cut off from the leader, or its link takes longer than REPL_TIMEOUT"
            }
            Self::WrongToken { .. } => "start both with the same PEER_TOKEN",
            Self::TooLarge => "start it with a larger MAX_BODY",
            Self::NotHttp(_) => "correct its address in FOLLOWERS",
            Self::NoFollower(_) => "correct its address in FOLLOWERS, or start it with ROLE=follower",
            Self::Unreadable(_) => "correct its address in FOLLOWERS, or start it in the same version as the leader",
            Self::Refused(StatusCode::UNPROCESSABLE_ENTITY) => {
                "start both in the same version, with clocks that are right or with a PEER_TOKEN"
            }
            Self::Refused(_) => "see its log",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) | Self::Silent(error) => f.write_str(error),
            Self::WrongToken { shows_one: true } => {
                f.write_str("it refuses this leader with 401, because its PEER_TOKEN is another one")
            }
            Self::WrongToken { shows_one: false } => {
                f.write_str("it refuses this leader with 401, because it has a PEER_TOKEN and the leader has none")
            }
            Self::TooLarge => {
                f.write_str("it refuses a request with 413, because that is larger than its MAX_BODY allows")
            }
            Self::NotHttp(error) => {
                write!(f, "what answers there does not speak HTTP, so it is another program: {error}")
            }
            Self::NoFollower(StatusCode::FORBIDDEN) => {
                f.write_str("it answers 403 to a leader's questions, because it is a leader itself")
            }
            Self::NoFollower(status) => {
                write!(f, "it answers {} to a leader's questions, as another program does", status.as_u16())
            }
            Self::Unreadable(error) => {
                write!(f, "its answer cannot be read, so it is another program or of another version: {error}")
            }
            Self::Refused(status) => write!(f, "it answers {status}"),
        }
    }
}

/// What has gone wrong with a follower since a request of this kind last went well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) trouble: Trouble,
    /// When it first did, on the leader's clock.
    pub(super) since: Duration,
}

/// A large request that is on its way.
#[derive(Debug, Clone)]
pub(super) struct Transfer {
    /// The size of its body, in bytes.
    pub(super) size: u64,
    /// How far it has come.
    pub(super) traffic: Traffic,
}

impl Transfer {
    /// From which size on it is known how far a request has come, in bytes.
    pub(super) const LARGE: u64 = 1_000_000;
    /// A transfer that takes no longer than this is nothing to speak of.
    const USUAL: Duration = Duration::from_secs(1);

    /// Whether it has taken so long that a person wants to know.
    pub(super) fn is_slow(&self) -> bool {
        self.traffic.elapsed() > Self::USUAL
    }
}

/// `12.6 MB are being sent to it: 4.2 MB in 4 s, 1.0 MB/s, about 8 s to go`
impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = self.size as f64 / 1e6;
        write!(f, "{megabytes:.1} MB are being sent to it: {}", self.traffic)?;
        let (moved, _) = self.traffic.moved();
        let rate = moved as f64 / self.traffic.elapsed().as_secs_f64().max(0.001);
        if moved == 0 {
            return Ok(());
        }
        write!(f, ", about {:.0} s to go", self.size.saturating_sub(moved) as f64 / rate)
    }
}

/// How the last requests to one follower went.
#[derive(Debug, Clone, Default)]
pub(super) struct Contact {
    pub(super) question: Option<Problem>,
    pub(super) writes: Option<Problem>,
    pub(super) large_writes: Option<Problem>,
    /// Since when it has lacked some key, as far as somebody looked.
    pub(super) behind_since: Option<Duration>,
    /// Since when it has not been up to date, as far as somebody looked.
    pub(super) not_current_since: Option<Duration>,
    /// When it was found to have restarted empty, in the last minute.
    pub(super) restarts: Vec<Duration>,
    /// Where the other leader is that it has promised, as it said then.
    pub(super) follows: Option<(Duration, HostPort)>,
    /// The large requests that are on their way to it.
    pub(super) transfers: Vec<Transfer>,
    /// The largest body that it takes, in bytes, if it has said so.
    pub(super) takes: Option<FollowerLimit>,
}

impl Contact {
    /// Why the last request failed that did.
    pub(super) fn last_error(&self) -> Option<&Trouble> {
        self.question.iter().chain(&self.writes).chain(&self.large_writes).next().map(|problem| &problem.trouble)
    }

    /// The transfer that has gone on for the longest, if it is slow.
    pub(super) fn slow_transfer(&self) -> Option<&Transfer> {
        self.transfers.iter().filter(|transfer| transfer.is_slow()).max_by_key(|transfer| transfer.traffic.elapsed())
    }

    fn of(&mut self, purpose: Purpose) -> &mut Option<Problem> {
        match purpose {
            Purpose::Question => &mut self.question,
            Purpose::Writes => &mut self.writes,
            Purpose::LargeWrites => &mut self.large_writes,
        }
    }
}

/// How the last requests to each follower went.
#[derive(Debug)]
pub(super) struct Contacts {
    of: Vec<Mutex<Contact>>,
}

impl Contacts {
    pub(super) fn new(followers: usize) -> Self {
        Self { of: (0..followers).map(|_| Mutex::default()).collect() }
    }

    /// A request went well.
    pub(super) fn succeeded(&self, with: FollowerId, purpose: Purpose) {
        self.change(with, |contact| *contact.of(purpose) = None);
    }

    /// A request did not. The first time counts as the beginning, also if the reason is another one by now.
    pub(super) fn failed(&self, with: FollowerId, purpose: Purpose, now: Duration, trouble: Trouble) {
        self.change(with, |contact| {
            let problem = contact.of(purpose);
            let since = problem.as_ref().map_or(now, |problem| problem.since);
            *problem = Some(Problem { trouble, since });
        });
    }

    /// A large request is on its way until what is returned is dropped.
    pub(super) fn begin_transfer(&self, to: FollowerId, transfer: Transfer) -> Sending<'_> {
        let traffic = transfer.traffic.clone();
        self.change(to, |contact| contact.transfers.push(transfer));
        Sending { contacts: self, to, traffic }
    }

    /// A follower was found to have restarted empty.
    pub(super) fn restarted(&self, follower: FollowerId, now: Duration) {
        self.change(follower, |contact| {
            contact.restarts.retain(|at| now.saturating_sub(*at) <= MINUTE);
            contact.restarts.push(now);
        });
    }

    /// A follower has promised another leader, which says that it is there.
    pub(super) fn follows(&self, follower: FollowerId, now: Duration, other: HostPort) {
        self.change(follower, |contact| contact.follows = Some((now, other)));
    }

    /// A follower has said how large a body it takes. True if it had not said so before.
    pub(super) fn takes(&self, follower: FollowerId, limit: FollowerLimit) -> bool {
        let mut is_news = false;
        self.change(follower, |contact| is_news = contact.takes.replace(limit) != Some(limit));
        is_news
    }

    /// Somebody has looked whether it lacks any key.
    pub(super) fn looked(&self, at: FollowerId, now: Duration, is_current: bool, is_behind: bool) {
        self.change(at, |contact| {
            contact.not_current_since = (!is_current).then(|| contact.not_current_since.unwrap_or(now));
            contact.behind_since = is_behind.then(|| contact.behind_since.unwrap_or(now));
            // What went wrong with writes has been made good.
            if !is_behind && contact.question.is_none() {
                (contact.writes, contact.large_writes) = (None, None);
            }
        });
    }

    /// How large a body a follower takes, if it has said so.
    pub(super) fn limit(&self, of: FollowerId) -> Option<FollowerLimit> {
        self.of[of.index()].lock().unwrap_or_else(PoisonError::into_inner).takes
    }

    pub(super) fn with(&self, follower: FollowerId) -> Contact {
        self.of[follower.index()].lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, with: FollowerId, change: impl FnOnce(&mut Contact)) {
        change(&mut self.of[with.index()].lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Marks a large request that is on its way.
pub(super) struct Sending<'a> {
    contacts: &'a Contacts,
    to: FollowerId,
    traffic: Traffic,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let is_this = |transfer: &Transfer| transfer.traffic.is_same_as(&self.traffic);
        self.contacts.change(self.to, |contact| contact.transfers.retain(|transfer| !is_this(transfer)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_lasts_from_its_first_request_until_one_goes_well() {
        let (contacts, f1) = (Contacts::new(2), FollowerId(0));
        let at = Duration::from_secs;
        contacts.failed(f1, Purpose::Question, at(3), Trouble::Silent("no answer in 5s".into()));
        contacts.failed(f1, Purpose::Question, at(9), Trouble::Unreachable("cannot connect".into()));
        contacts.failed(f1, Purpose::Writes, at(9), Trouble::TooLarge);
        let question = Problem { trouble: Trouble::Unreachable("cannot connect".into()), since: at(3) };
        assert_eq!(contacts.with(f1).question, Some(question));
        contacts.succeeded(f1, Purpose::Question);
        let writes = Some(Problem { trouble: Trouble::TooLarge, since: at(9) });
        assert_eq!((contacts.with(f1).question, contacts.with(f1).writes), (None, writes));
        assert_eq!(contacts.with(FollowerId(1)).last_error(), None);
    }

    #[test]
    fn a_follower_is_behind_from_when_it_was_seen_to_be() {
        let (contacts, f1) = (Contacts::new(1), FollowerId(0));
        let since = |second, is_behind| {
            contacts.looked(f1, Duration::from_secs(second), true, is_behind);
            contacts.with(f1).behind_since.map(|since| since.as_secs())
        };
        assert_eq!([since(1, false), since(2, true), since(3, true), since(4, false)], [None, Some(2), Some(2), None]);
    }

    #[test]
    fn what_went_wrong_with_writes_is_over_once_it_has_them() {
        let (contacts, f1) = (Contacts::new(1), FollowerId(0));
        contacts.failed(f1, Purpose::Writes, Duration::ZERO, Trouble::TooLarge);
        contacts.looked(f1, Duration::ZERO, true, true);
        assert_eq!(contacts.with(f1).last_error(), Some(&Trouble::TooLarge));
        contacts.looked(f1, Duration::ZERO, true, false);
        assert_eq!(contacts.with(f1).last_error(), None);
    }

    #[test]
    fn what_a_status_means() {
        for (status, trouble) in [
            (401, Trouble::WrongToken { shows_one: true }),
            (404, Trouble::NoFollower(StatusCode::NOT_FOUND)),
            (403, Trouble::NoFollower(StatusCode::FORBIDDEN)),
            (413, Trouble::TooLarge),
            (500, Trouble::Refused(StatusCode::INTERNAL_SERVER_ERROR)),
        ] {
            assert_eq!(Trouble::of_status(StatusCode::from_u16(status).unwrap(), true), trouble);
        }
    }
}
