use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Method, Request, StatusCode, header};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};

use super::contacts::{Purpose, Trouble};
use super::peer::PeerToken;
use super::replicator::Replicator;
use crate::base::FollowerId;
use crate::base::trace::LostPart;
use crate::base::wire::{self, MAX_BODY_HEADER};
use crate::core::{Asked, Call};
use crate::net::http::{Body, Deadline, HttpClient, Traffic};
use crate::net::{Fate, HostPort, Transport};

/// What a follower is to be asked: one question at a time.
#[derive(Debug, Default)]
pub(super) struct Questions {
    next: Mutex<Option<Call>>,
    put: Notify,
    /// Whether what is connected to the follower is to be given up first.
    reconnect: AtomicBool,
}

impl Questions {
    pub(super) fn put(&self, call: Call) {
        let before = self.next.lock().unwrap_or_else(PoisonError::into_inner).replace(call);
        debug_assert!(before.is_none(), "a follower is asked one thing at a time");
        self.put.notify_one();
    }

    /// Has the follower looked up anew, before it is asked again.
    pub(super) fn reconnect(&self) {
        self.reconnect.store(true, Ordering::Relaxed);
    }

    async fn take(&self) -> Call {
        loop {
            let next = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
            match next {
                Some(call) => return call,
                None => self.put.notified().await,
            }
        }
    }
}

/// What `GET /dump` answers where there is nothing, but for spaces.
const EMPTY: &[u8] = b"{}";

/// Asks one follower what the leader wants to know, over the same connections that carry its writes.
pub(super) struct Interview<T: Transport> {
    pub(super) to: FollowerId,
    pub(super) address: HostPort,
    pub(super) http: HttpClient<T>,
    pub(super) replicator: Arc<Replicator>,
    /// Which of the leader's lives this is; see [`Config::incarnation`](super::Config::incarnation).
    pub(super) incarnation: u64,
    /// The deadline of each question.
    pub(super) deadline: Duration,
    /// What each request shows.
    pub(super) token: Option<PeerToken>,
    /// Where clients reach this leader, if the follower may tell.
    pub(super) advertise: Option<HeaderValue>,
}

impl<T: Transport> Interview<T> {
    /// Asks for as long as the node lives. Never returns.
    pub(super) async fn run(self) {
        let questions = self.replicator.questions(self.to);
        // Whether it took us for its leader last time; kept to log changes only.
        let mut admits = true;
        // Whether it stored nothing, if it is known not to understand questions.
        let mut foreign = None;
        let mut strays = JoinSet::new();
        loop {
            let call = questions.take().await;
            if questions.reconnect.swap(false, Ordering::Relaxed) {
                self.http.disconnect(&self.address);
            }
            let fate = self.replicator.rpc_fate(self.incarnation, self.to, call.ask.question.rpc());
            let asked = match self.ask_with_fate(&call, fate, &mut admits, &mut strays).await {
                Some(asked) => {
                    if let Asked::Answered(_) = asked {
                        foreign = None;
                    }
                    asked
                }
                None => {
                    if foreign.is_none() {
                        foreign = self.stores_nothing().await;
                    }
                    foreign.map_or(Asked::Lost, |is_empty| Asked::Legacy { is_empty })
                }
            };
            self.replicator.answered(self.to, call.number, asked);
        }
    }

    /// Tells the leader of each connection to the follower that ends. Never returns.
    pub(super) async fn watch_connections(
        http: HttpClient<T>,
        address: HostPort,
        to: FollowerId,
        leader: Arc<Replicator>,
    ) {
        let mut ended = http.ended_connections(&address);
        // The sender lives as long as `http`.
        while ended.changed().await.is_ok() {
            leader.disconnected(to);
        }
    }

    /// Asks a question under the fate that the emulated network gives it. `None` if the follower does not understand it.
    async fn ask_with_fate(
        &self,
        call: &Call,
        fate: Fate,
        admits: &mut bool,
        strays: &mut JoinSet<()>,
    ) -> Option<Asked> {
        if fate.is_undisturbed() {
            return self.ask(call, self.deadline, admits).await;
        }
        let given_up_at = Instant::now() + self.deadline;
        let Fate { delay, loss, copy } = fate;
        while strays.try_join_next().is_some() {}
        copy.into_iter().for_each(|copy| self.send_after(copy, call, strays));
        let (is_late, is_lost) = (delay >= self.deadline, loss == Some(LostPart::Request));
        if is_late && !is_lost {
            self.send_after(delay, call, strays);
        }
        let asked = if is_late || is_lost {
            None
        } else {
            sleep(delay).await;
            self.ask(call, given_up_at.saturating_duration_since(Instant::now()), admits).await
        };
        if is_late || loss.is_some() {
            sleep_until(given_up_at).await;
            return Some(Asked::Lost);
        }
        asked
    }

    /// Sends a question after this time, on a connection of its own, and discards the answer.
    fn send_after(&self, delay: Duration, call: &Call, strays: &mut JoinSet<()>) {
        // Nobody would be told of the end of a connection on which the leader relies otherwise.
        let http = HttpClient::new(self.http.transport().clone());
        let (address, request) = (self.address.clone(), self.request(call));
        let deadline = self.deadline;
        strays.spawn(async move {
            sleep(delay).await;
            // The leader does not learn the result.
            let _ = http.request(&address, request, Deadline::Idle(deadline)).await;
        });
    }

    fn request(&self, call: &Call) -> Request<Body> {
        let body = serde_json::to_vec(&call.ask).expect("our own types can be written as JSON");
        let mut request = Request::builder()
            .method(Method::POST)
            .uri("/peer")
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Body::from(body))
            .expect("every part is valid");
        if let Some(token) = &self.token {
            request.headers_mut().insert(header::AUTHORIZATION, token.authorization().clone());
        }
        if let Some(advertise) = &self.advertise {
            request.headers_mut().insert(wire::LEADER_HEADER, advertise.clone());
        }
        request
    }

    /// Asks a question. `None` if the follower does not understand it.
    async fn ask(&self, call: &Call, deadline: Duration, admits: &mut bool) -> Option<Asked> {
        let follower = &self.address;
        let (request, traffic) = (self.request(call), Traffic::default());
        let _sending = self.replicator.begin_transfer(self.to, request.body().length(), traffic.clone());
        let asked = match self.http.exchange(follower, request, Deadline::Idle(deadline), traffic).await {
            Err(error) => {
                debug!(%follower, %error, "the follower does not answer a question");
                if error.says_that_nobody_listens() {
                    self.replicator.disconnected(self.to);
                }
                self.note(Trouble::from(&error));
                Asked::Lost
            }
            Ok(answer) if answer.status == StatusCode::OK => match wire::parse(&answer.body) {
                Ok(said) => {
                    let limit =
                        answer.headers.get(MAX_BODY_HEADER).and_then(|header| header.to_str().ok()?.parse().ok());
                    if let Some(limit) = limit {
                        self.replicator.takes(self.to, limit);
                    }
                    if !std::mem::replace(admits, true) {
                        info!(%follower, "the follower admits this leader now");
                    }
                    let other =
                        answer.headers.get(wire::LEADER_HEADER).and_then(|header| header.to_str().ok()?.parse().ok());
                    if let Some(other) = other {
                        self.replicator.follows(self.to, other);
                    }
                    self.replicator.was_answered(self.to, Purpose::Question);
                    Asked::Answered(said)
                }
                Err(error) => {
                    debug!(%follower, %error, "the follower's answer cannot be read");
                    self.note(Trouble::Unreadable(error.to_string()));
                    Asked::Lost
                }
            },
            Ok(answer) if answer.status == StatusCode::UNAUTHORIZED => {
                if std::mem::replace(admits, false) {
                    let problem = match self.token {
                        Some(_) => "its PEER_TOKEN is not that of this leader",
                        None => "it has a PEER_TOKEN, and this leader has none",
                    };
                    warn!(%follower, "the follower refuses this leader (401): {problem}");
                }
                self.note(Trouble::WrongToken { shows_one: self.token.is_some() });
                Asked::Lost
            }
            // What a server says that knows the documented paths only.
            Ok(answer) if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => {
                self.note(Trouble::of_status(answer.status, self.token.is_some()));
                return None;
            }
            Ok(answer) => {
                debug!(%follower, status = %answer.status, "the follower refuses a question");
                self.note(Trouble::of_status(answer.status, self.token.is_some()));
                Asked::Lost
            }
        };
        Some(asked)
    }

    /// Keeps why a question had no answer, for people.
    fn note(&self, trouble: Trouble) {
        self.replicator.was_not_answered(self.to, Purpose::Question, trouble);
    }

    /// Whether a server that does not understand questions stores nothing and never did, as far as the documented interface
    /// tells. A proxy may have answered in place of a follower that does understand them: such a follower says who it is,
    /// and that it stores no keys does not mean that it remembers nothing.
    async fn stores_nothing(&self) -> Option<bool> {
        let request = Request::builder().uri("/dump").body(Body::default()).expect("every part is valid");
        let mut answer = self.http.stream(&self.address, request, self.deadline).await.ok()?;
        if answer.status() != StatusCode::OK {
            return None;
        }
        if answer.headers().contains_key(wire::FOLLOWER_HEADER) {
            return Some(false);
        }
        // As much as shows that there is more than nothing: a store may be of any size.
        let mut beginning: Vec<u8> = Vec::new();
        while let Some(piece) = answer.next().await.ok()? {
            beginning.extend(piece.iter().filter(|byte| !byte.is_ascii_whitespace()).take(EMPTY.len() + 1));
            if beginning.len() > EMPTY.len() {
                break;
            }
        }
        Some(beginning == EMPTY)
    }
}
