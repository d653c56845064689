use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use tracing::warn;

use crate::base::Epoch;
use crate::base::trace::{Event, Observer};
use crate::base::wire::Ready;
use crate::core::{Follower, Incarnation, Standing};
use crate::net::HostPort;
use crate::node::body_limit::FollowerLimit;
use crate::node::config::Config;
use crate::node::readiness::RECENT;

/// How far an epoch may be ahead of what a follower knows. Epochs are milliseconds.
const YEAR_IN_MS: u64 = 366 * 24 * 60 * 60 * 1000;
/// For how long it is of interest that a leader's request was refused.
const REFUSAL_MEMORY: Duration = Duration::from_secs(30);

/// Why a leader's request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaderRefused {
    WrongToken,
    TooLarge { limit: FollowerLimit },
}

/// A follower's state machine, and who is told what happens to it.
pub(in crate::node) struct Standby {
    follower: Mutex<Follower>,
    /// Where clients reach the leader that was promised last, if it says so.
    leader: Mutex<Option<HostPort>>,
    /// When a leader that it has promised was last heard of.
    heard_at: Mutex<Option<Duration>>,
    /// The last request of a leader that was refused.
    refused: Mutex<Option<(Duration, LeaderRefused)>>,
    /// Whether it has been said that its leader shows a token and it has none.
    told_of_token: AtomicBool,
    /// The epoch that a leader would take that was started when this node was. None where a token keeps others out.
    first_epoch: Option<Epoch>,
    pub(super) observer: Option<Arc<dyn Observer>>,
}

impl Standby {
    pub(in crate::node) fn new(config: &Config) -> Self {
        let follower = Follower::new(Incarnation(config.incarnation.number), config.rules);
        Self {
            follower: Mutex::new(follower),
            leader: Mutex::default(),
            heard_at: Mutex::default(),
            refused: Mutex::default(),
            told_of_token: AtomicBool::new(false),
            first_epoch: config.peer_token.is_none().then_some(config.incarnation.first_epoch),
            observer: config.observer.clone(),
        }
    }

    /// Where clients reach the leader, as far as it is known.
    pub(super) fn leader(&self) -> Option<HostPort> {
        self.leader.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The greatest epoch that can be asked of it now. Epochs are times, so a leader's is never far ahead of the own clock and of what
    /// was promised before; an epoch near the last one would leave none for any later leader. Whoever has the token may ask for any.
    pub(super) fn greatest_epoch(&self, now: Duration, promised: Epoch) -> Epoch {
        let Some(first) = self.first_epoch else { return Epoch::new(u64::MAX) };
        let elapsed = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let own = first.get().saturating_add(elapsed);
        Epoch::new(own.max(promised.get()).saturating_add(YEAR_IN_MS))
    }

    /// Its leader has asked or sent something.
    pub(super) fn hears_its_leader(&self, now: Duration) {
        *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// How long ago that was, if ever.
    pub(super) fn heard_ago(&self, now: Duration) -> Option<Duration> {
        let heard_at = *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner);
        heard_at.map(|at| now.saturating_sub(at))
    }

    /// A leader's request was refused.
    pub(super) fn refuses_a_leader(&self, now: Duration, why: LeaderRefused) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, why));
    }

    /// Why a leader's request was refused lately, and what to do.
    fn refusal(&self, now: Duration, is_of_interest: impl Fn(LeaderRefused) -> bool) -> Option<String> {
        let refused = *self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: Duration| now.saturating_sub(at) <= REFUSAL_MEMORY;
        let (at, why) = refused.filter(|(at, why)| is_recent(*at) && is_of_interest(*why))?;
        let ago = now.saturating_sub(at).as_secs();
        Some(match why {
            LeaderRefused::WrongToken => format!(
                "a leader's request was refused with 401 {ago} s ago, because it shows no PEER_TOKEN or another one than this node has; \
                 start both with the same PEER_TOKEN"
            ),
            LeaderRefused::TooLarge { limit } => format!(
                "a leader's request was refused with 413 {ago} s ago, because it is larger than this node takes ({limit}); start it with a \
                 larger MAX_BODY"
            ),
        })
    }

    /// A leader's request has come. Says once if it shows a token to a node that has none.
    pub(super) fn look_at_token(&self, headers: &HeaderMap) {
        let has_none = self.first_epoch.is_some();
        if has_none && headers.contains_key(AUTHORIZATION) && !self.told_of_token.swap(true, Ordering::Relaxed) {
            warn!(
                "the leader shows a PEER_TOKEN and this node has none, so whoever reaches it can take part as a leader: start it with the \
                 same PEER_TOKEN"
            );
        }
    }

    /// Whether it follows its leader, and if not, why and what to do; and whether there is something else that a person should know.
    pub(super) fn situation(&self, now: Duration) -> (Ready, bool) {
        let silent = self.heard_ago(now);
        let is_recent = silent.is_some_and(|silent| silent <= RECENT);
        // Anybody may ask with a wrong token. It says something only where the leader is missed.
        let is_of_interest = |why: LeaderRefused| !is_recent || why != LeaderRefused::WrongToken;
        let refusal = self.refusal(now, is_of_interest);
        let look = || "see whether the leader runs, has this node among its FOLLOWERS, and reaches it";
        let silence = match (silent, &refusal) {
            (_, Some(refusal)) => refusal.clone(),
            (Some(silent), None) => {
                let address = self.leader().map(|leader| format!(" {leader}")).unwrap_or_default();
                format!("its leader{address} has not been heard of for {} s; {}", silent.as_secs(), look())
            }
            (None, None) => {
                format!("no leader has asked it anything in the {} s since it was started; {}", now.as_secs(), look())
            }
        };
        let (ready, detail) = match (self.lock().identity().standing, is_recent) {
            (Standing::Normal, true) => {
                let note = refusal.as_ref().map(|refusal| format!("; {refusal}")).unwrap_or_default();
                (true, format!("follows its leader{note}"))
            }
            (Standing::Normal, false) => (false, format!("up to date as far as it knows, but {silence}")),
            (Standing::Recovering, true) => {
                let note = match &refusal {
                    Some(refusal) => refusal.as_str(),
                    None => "the leader's /ready says what that waits for",
                };
                (false, format!("it has just started and is not up to date yet; {note}"))
            }
            (Standing::Recovering, false) => (false, format!("it has started with nothing, and {silence}")),
        };
        (Ready { ready, detail }, refusal.is_some())
    }

    pub(super) fn set_leader(&self, leader: Option<HostPort>) {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = leader;
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Follower> {
        self.follower.lock().expect("the follower's state machine has panicked; its state cannot be trusted")
    }

    pub(super) fn observe(&self, event: impl FnOnce() -> Event) {
        if let Some(observer) = &self.observer {
            observer.record(event());
        }
    }
}
