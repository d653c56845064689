mod request;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::{HeaderValue, Method, Request, StatusCode, header};
use tokio::task::yield_now;
use tracing::{debug, info, warn};

use super::contacts::{Purpose, Transfer, Trouble};
use super::outbox::Lane;
use super::peer::PeerToken;
use super::replicator::{Delivery, Replicator};
use crate::base::FollowerId;
use crate::base::trace::{Event, LossReason, LostPart, RequestId};
use crate::base::wire::REQUEST_HEADER;
use crate::core::{BatchLimit, ConnectBackoff, Message, Outbox, Parcel, Reply};
use crate::net::http::{Answer, Deadline, HttpClient, HttpError, Traffic};
use crate::net::{HostPort, Transport};
use request::{Verdict, body, read_answer};

/// How many turns of the event loop a request waits for what may go along, if none is under way. In the first, clients get
/// their answers to writes that followers have just confirmed; in the second, their next writes come in. Under load that
/// doubles what a request carries; without load a turn is over at once.
const GATHERING_TURNS: usize = 2;

/// How long after it was said that a link is slow until it may be said again.
const SLOW_LINK_PAUSE: Duration = Duration::from_secs(30);

/// Of how many lost messages the leader is told in one turn of the event loop.
const LOST_AT_ONCE: usize = 512;

/// Carries the messages for one follower: those that are due leave together, in a bounded number of requests.
pub(super) struct Pipeline<T: Transport> {
    pub(super) to: FollowerId,
    /// Which of its messages.
    pub(super) lane: Lane,
    pub(super) address: HostPort,
    pub(super) http: HttpClient<T>,
    pub(super) replicator: Arc<Replicator>,
    /// Which of the leader's lives this is; see [`NodeIncarnation`](super::NodeIncarnation).
    pub(super) incarnation: u64,
    /// The deadline of each request.
    pub(super) deadline: Duration,
    /// What each request shows.
    pub(super) token: Option<PeerToken>,
}

/// What the pipeline has learnt about its follower.
struct Learnt {
    /// Whether it takes several writes in one request. Assumed until it refuses.
    takes_batches: bool,
    /// Whether it answered last time; kept to log changes only.
    answers: bool,
    backoff: ConnectBackoff,
    /// When it was last said in the log that the link to it is slow.
    slow_told_at: Option<Duration>,
}

/// A request that came to its end.
struct Exchange {
    batch: Vec<Parcel>,
    sent_at: Duration,
    result: Result<Answer, HttpError>,
    /// The size of its body, in bytes.
    size: u64,
    traffic: Traffic,
}

/// Messages that the emulated network has lost, or the answers to them. The leader learns of it as it would on a real
/// network: at the deadline of the request. In order, for the deadline is the same for all.
type Lost = VecDeque<(Duration, Message)>;

impl<T: Transport> Pipeline<T> {
    /// Carries messages for as long as the node lives. Never returns.
    pub(super) async fn run(self) {
        let clock = self.replicator.clock();
        let outbox = self.replicator.outbox(self.to, self.lane);
        let mut learnt =
            Learnt { takes_batches: true, answers: true, backoff: ConnectBackoff::default(), slow_told_at: None };
        let mut in_flight = FuturesUnordered::new();
        let mut lost = Lost::new();
        loop {
            // Only then: nobody looks after requests under way meanwhile, and what waits for them gathers anyway. Single
            // writes share no request.
            let may_leave = |at: Duration| at <= clock.now();
            if in_flight.is_empty() && learnt.takes_batches && self.next_request_at(&learnt, 0).is_some_and(may_leave) {
                gather().await;
            }
            let now = clock.now();
            self.give_up(&mut lost, now);
            let wake_at = loop {
                match self.next_request_at(&learnt, in_flight.len()) {
                    Some(at) if at <= now => {
                        let limit = if learnt.takes_batches {
                            Outbox::BATCH
                        } else {
                            BatchLimit { messages: 1, ..Outbox::BATCH }
                        };
                        let mut batch = outbox.take_due(now, limit);
                        let is_lost = |parcel: &mut Parcel| parcel.loss == Some(LostPart::Request);
                        let lost_here = batch.extract_if(.., is_lost);
                        lost.extend(lost_here.map(|parcel| (now + self.deadline, parcel.message)));
                        if !batch.is_empty() {
                            in_flight.push(self.exchange(now, batch));
                        }
                    }
                    later => break later,
                }
            };
            let wake_at = wake_at.into_iter().chain(lost.front().map(|(at, _)| *at)).min();
            tokio::select! {
                biased;
                Some(exchange) = in_flight.next(), if !in_flight.is_empty() => {
                    self.settle(&mut learnt, &mut lost, exchange).await;
                }
                () = outbox.head_changed() => {}
                () = clock.sleep_until(wake_at) => {}
            }
        }
    }

    /// Tells the leader of what the emulated network lost, once its deadline has come.
    fn give_up(&self, lost: &mut Lost, now: Duration) {
        while let Some((_, message)) = lost.pop_front_if(|(at, _)| *at <= now) {
            self.replicator.delivered(self.to, [(message, Delivery::Lost(LossReason::Deadline))]);
        }
    }

    /// When the next request may leave, as far as is known now.
    fn next_request_at(&self, learnt: &Learnt, in_flight: usize) -> Option<Duration> {
        let outbox = self.replicator.outbox(self.to, self.lane);
        let at = match in_flight {
            _ if in_flight >= self.lane.max_in_flight() => return None,
            // Single writes cannot share a request, so there is nothing to wait for.
            _ if !learnt.takes_batches => outbox.next_due()?,
            _ => outbox.ready_at(in_flight)?,
        };
        Some(at.max(learnt.backoff.until()))
    }

    fn exchange(&self, sent_at: Duration, batch: Vec<Parcel>) -> impl Future<Output = Exchange> + use<'_, T> {
        let ordinal = RequestId { incarnation: self.incarnation, number: self.replicator.next_request(self.to) };
        self.replicator.observe(|| Event::Dispatch {
            request: ordinal,
            to: self.to,
            messages: batch.iter().map(|parcel| parcel.message.id()).collect(),
        });
        // Somebody else's server may know the documented fields and no others.
        let leader = (!self.replicator.is_legacy(self.to)).then_some(self.incarnation);
        async move {
            let body = body(&batch, leader);
            let (size, traffic) = (body.length(), Traffic::default());
            let _sending = self.replicator.begin_transfer(self.to, size, traffic.clone());
            let mut request = Request::builder()
                .method(Method::POST)
                .uri("/replicate")
                .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .header(REQUEST_HEADER, ordinal.to_string())
                .body(body)
                .expect("every part is valid");
            if let Some(token) = &self.token {
                request.headers_mut().insert(header::AUTHORIZATION, token.authorization().clone());
            }
            let deadline = Deadline::Idle(self.deadline);
            let result = self.http.exchange(&self.address, request, deadline, traffic.clone()).await;
            Exchange { batch, sent_at, result, size, traffic }
        }
    }

    async fn settle(&self, learnt: &mut Learnt, lost: &mut Lost, exchange: Exchange) {
        let Exchange { batch, sent_at, result, size, traffic } = exchange;
        if result.is_ok() {
            self.log_slow_link(learnt, size, &traffic);
        }
        let status = result.as_ref().map(|answer| answer.status).ok();
        let outcome = result.map(|answer| read_answer(&batch, &answer));
        self.note(&outcome, status, batch.len());
        self.log_change(learnt, batch.len(), &outcome);
        match outcome {
            Ok(Verdict::Replies(replies)) => {
                learnt.backoff.succeeded();
                let deliveries = batch.into_iter().zip(replies).filter_map(|(parcel, reply)| {
                    if parcel.loss == Some(LostPart::Reply) {
                        lost.push_back((sent_at + self.deadline, parcel.message));
                        return None;
                    }
                    Some((parcel.message, Delivery::Answered(reply)))
                });
                self.replicator.delivered(self.to, deliveries);
            }
            // It answered, but will not have several writes in one request. Nothing is lost: they go out one by one.
            Ok(Verdict::WrongForm) if batch.len() > 1 => {
                learnt.takes_batches = false;
                let now = self.replicator.clock().now();
                let outbox = self.replicator.outbox(self.to, self.lane);
                batch.into_iter().for_each(|parcel| outbox.push(now, parcel.message, parcel.loss));
            }
            Ok(Verdict::WrongForm | Verdict::NotAdmitted | Verdict::Refused) => {
                let refused = |parcel: Parcel| (parcel.message, Delivery::Answered(Reply::Refused));
                self.replicator.delivered(self.to, batch.into_iter().map(refused));
            }
            Err(error) => {
                let reason = loss_reason(&error);
                let mut unanswered = batch;
                if error.says_that_nobody_listens() {
                    self.replicator.disconnected(self.to);
                }
                if reason == LossReason::Connect {
                    // What else is due would fare no better, and need not find out one connection at a time.
                    let now = self.replicator.clock().now();
                    learnt.backoff.failed(now);
                    // Whoever listens there next may be another server.
                    learnt.takes_batches = true;
                    let all_due = BatchLimit { messages: usize::MAX, bytes: usize::MAX };
                    unanswered.extend(self.replicator.outbox(self.to, self.lane).take_due(now, all_due));
                }
                let lost = |parcel: Parcel| (parcel.message, Delivery::Lost(reason));
                let mut unanswered = unanswered.into_iter().map(lost).peekable();
                while unanswered.peek().is_some() {
                    self.replicator.delivered(self.to, unanswered.by_ref().take(LOST_AT_ONCE));
                    // While a follower was not reached, twenty thousand writes a second may have come together.
                    yield_now().await;
                }
                if error.is_silence() {
                    self.replicator.unanswered(self.to);
                }
            }
        }
    }

    fn purpose(&self) -> Purpose {
        match self.lane {
            Lane::Small => Purpose::Writes,
            Lane::Large => Purpose::LargeWrites,
        }
    }

    /// Keeps why a request did not go well, for people.
    fn note(&self, outcome: &Result<Verdict, HttpError>, status: Option<StatusCode>, batch: usize) {
        let trouble = match (outcome, status) {
            (Ok(Verdict::Replies(_)), _) => return self.replicator.was_answered(self.to, self.purpose()),
            // They are sent again, each by itself.
            (Ok(Verdict::WrongForm), _) if batch > 1 => return,
            (Ok(_), Some(status)) => Trouble::of_status(status, self.token.is_some()),
            (Err(error), _) => Trouble::from(error),
            (Ok(_), None) => return,
        };
        self.replicator.was_not_answered(self.to, self.purpose(), trouble);
    }

    /// Says that a request took longer than a small one may, now and then.
    fn log_slow_link(&self, learnt: &mut Learnt, size: u64, traffic: &Traffic) {
        let now = self.replicator.clock().now();
        let is_due = learnt.slow_told_at.is_none_or(|at| now.saturating_sub(at) >= SLOW_LINK_PAUSE);
        if size < Transfer::LARGE || traffic.elapsed() < self.deadline || !is_due {
            return;
        }
        learnt.slow_told_at = Some(now);
        warn!(
            follower = %self.to,
            address = %self.address,
            "the link to the follower is slow, or the follower is: a large request took {traffic}"
        );
    }

    fn log_change(&self, learnt: &mut Learnt, batch: usize, outcome: &Result<Verdict, HttpError>) {
        let follower = &self.address;
        match outcome {
            Ok(verdict) => {
                if !learnt.answers {
                    info!(%follower, "the follower answers again; what it missed is sent");
                }
                match verdict {
                    Verdict::WrongForm if batch > 1 => {
                        warn!(%follower, "the follower does not take several writes in a request; it gets them one by one");
                    }
                    Verdict::WrongForm | Verdict::Refused => {
                        debug!(%follower, writes = batch, "the follower refused a request; its writes are sent again");
                    }
                    // The one that asks it questions says so.
                    Verdict::NotAdmitted => debug!(%follower, "the follower refuses this leader (401)"),
                    Verdict::Replies(_) => {}
                }
                learnt.answers = true;
            }
            Err(error) if learnt.answers => {
                warn!(%follower, %error, "the follower does not answer; what it misses is kept and sent again");
                learnt.answers = false;
            }
            Err(error) => debug!(%follower, %error, "the follower still does not answer"),
        }
    }
}

/// Lets the rest of the node have its turns.
async fn gather() {
    for _ in 0..GATHERING_TURNS {
        yield_now().await;
    }
}

fn loss_reason(error: &HttpError) -> LossReason {
    match error {
        HttpError::Connect(_) => LossReason::Connect,
        HttpError::Deadline(_) => LossReason::Deadline,
        HttpError::Disconnect(_) => LossReason::Disconnect,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::base::trace::Observer;
    use crate::base::{Epoch, Key, Seed, Value};
    use crate::core::{Rules, Terms};
    use crate::net::{NetemConfig, Tcp};
    use crate::node::clock::Clock;
    use crate::node::metrics::Metrics;
    use crate::node::{Config, LeaderRole, NodeIncarnation, Role};

    /// How many messages each request carried.
    #[derive(Default)]
    struct Batches(Mutex<Vec<usize>>);

    impl Observer for Batches {
        fn record(&self, event: Event) {
            if let Event::Dispatch { messages, .. } = event {
                self.0.lock().unwrap().push(messages.len());
            }
        }
    }

    /// A turn for a client to get its answer, and one for its next write. (That tokio resumes who yields in an order that
    /// does not change is its own affair; this test leans on it.)
    #[tokio::test]
    async fn what_comes_in_two_turns_later_goes_along() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = HostPort::from(silent.local_addr().unwrap());
        let role = LeaderRole {
            followers: vec![address.clone()],
            write_quorum: 1,
            netem: NetemConfig { min_delay: Duration::ZERO, max_delay: Duration::ZERO },
            repl_timeout: Duration::from_secs(5),
            advertise: None,
        };
        let batches = Arc::new(Batches::default());
        let incarnation = NodeIncarnation { number: 0, first_epoch: Epoch::FIRST };
        let mut config = Config::new(Role::Leader(role.clone()), ([127, 0, 0, 1], 0).into(), Seed::new(1), incarnation);
        config.rules = Rules::LAB;
        config.observer = Some(Arc::clone(&batches) as Arc<dyn Observer>);
        let replicator = Arc::new(Replicator::new(
            &role,
            &config,
            config.listen,
            Clock::start(),
            Arc::new(Metrics::new(true, None)),
        ));
        let pipeline = Pipeline {
            to: FollowerId(0),
            lane: Lane::Small,
            address,
            http: HttpClient::new(Tcp),
            replicator: Arc::clone(&replicator),
            incarnation: 0,
            deadline: Duration::from_secs(5),
            token: None,
        };
        let pipeline = tokio::spawn(pipeline.run());
        let write = |key| {
            let value = Value::from_json("1").unwrap();
            replicator.write(Terms::default(), Key::new(key).unwrap(), Some(value)).unwrap()
        };
        yield_now().await;
        let _x = write("x");
        yield_now().await;
        yield_now().await;
        let _y = write("y");
        let dispatched = || batches.0.lock().unwrap().clone();
        for _ in 0..100 {
            if !dispatched().is_empty() {
                break;
            }
            yield_now().await;
        }
        assert_eq!(dispatched(), [2]);
        pipeline.abort();
    }
}
