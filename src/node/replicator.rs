mod news;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytesize::ByteSize;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::timeout;
use tracing::warn;

use super::body_limit::FollowerLimit;
use super::clock::Clock;
use super::config::Config;
use super::contacts::{Contacts, MINUTE, Purpose, Sending, Transfer, Trouble};
use super::interview::Questions;
use super::metrics::{Metrics, Tally};
use super::outbox::{Lane, Lanes, SharedOutbox};
use super::readiness::{Followers, keys_behind};
use super::role::LeaderRole;
use crate::base::trace::{Event, LossReason, Observer, Rpc, WriteId};
use crate::base::{FollowerId, FollowerSet, Key, NodeId, Value};
use crate::core::{
    Asked, Completion, Configuration, Entry, FollowerStatus, Leader, LeaderConfig, LeaderId, Message, Output, Progress,
    ReadId, Readable, Rejected, Reply, Terms, Waiting,
};
use crate::net::http::Traffic;
use crate::net::{Fate, HostPort, Netem, RpcFate, RpcSender};

/// Drives the leader's state machine: hands it what happens, and does what it asks for.
pub(super) struct Replicator {
    state: Mutex<State>,
    outboxes: Vec<Lanes>,
    /// How many requests with writes were sent to each follower.
    requests: Vec<AtomicU64>,
    /// What each follower is to be asked.
    questions: Vec<Questions>,
    /// Where people reach this leader.
    own_address: String,
    /// The followers' addresses, for people.
    names: Arc<[String]>,
    /// How many must confirm a write.
    write_quorum: usize,
    /// The largest body that clients may send.
    max_body: usize,
    /// The longest emulated delay of a message, and how long a write may wait.
    times: (Duration, Duration),
    /// When another leader has deposed this one, in the last minute.
    deposed: Mutex<Vec<Duration>>,
    /// How the last requests to each follower went.
    contacts: Contacts,
    /// Whether the leader serves.
    serves: watch::Sender<bool>,
    netem: Netem,
    clock: Clock,
    observer: Option<Arc<dyn Observer>>,
    metrics: Arc<Metrics>,
    /// Signalled when the leader wants to be woken earlier than its timer is set to.
    timer_changed: Notify,
    /// Signalled when the last open write has settled.
    settled: Notify,
}

struct State {
    leader: Leader,
    /// Who waits for the completion of which write.
    waiting: BTreeMap<WriteId, oneshot::Sender<Completion>>,
    /// Who waits for which read, and for which key.
    reading: BTreeMap<ReadId, (Key, oneshot::Sender<Option<Committed>>)>,
    timer: Option<Duration>,
    /// Whether the leader served when it was last told something: those who wait for that are told of changes only.
    serves: bool,
}

/// What of a key was committed, if anything was.
pub(super) struct Committed(pub(super) Option<Entry>);

/// What became of a message, as the pipeline that carried it saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Answered(Reply),
    Lost(LossReason),
}

impl Replicator {
    /// `address` is where it listens.
    pub(super) fn new(
        role: &LeaderRole,
        config: &Config,
        address: SocketAddr,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let names: Arc<[String]> = role.followers.iter().map(ToString::to_string).collect();
        let leader = LeaderConfig {
            id: LeaderId(config.incarnation.number),
            first_epoch: config.incarnation.first_epoch,
            followers: FollowerSet::first(names.len()),
            configuration: Configuration { members: Arc::clone(&names), write_quorum: role.write_quorum },
            repl_timeout: role.repl_timeout,
            limits: config.limits,
            seed: config.seed,
            rules: config.rules,
        };
        let leader = Leader::new(leader);
        let own_address = match &role.advertise {
            Some(advertised) => advertised.to_string(),
            None if address.ip().is_unspecified() => format!("localhost:{}", address.port()),
            None => address.to_string(),
        };
        let replicator = Self {
            own_address,
            serves: watch::Sender::new(leader.serves()),
            state: Mutex::new(State {
                serves: leader.serves(),
                leader,
                waiting: BTreeMap::new(),
                reading: BTreeMap::new(),
                timer: None,
            }),
            outboxes: role.followers.iter().map(|_| Lanes::default()).collect(),
            questions: role.followers.iter().map(|_| Questions::default()).collect(),
            write_quorum: role.write_quorum,
            max_body: config.max_body,
            times: (role.netem.max_delay, role.repl_timeout),
            requests: role.followers.iter().map(|_| AtomicU64::new(0)).collect(),
            deposed: Mutex::default(),
            contacts: Contacts::new(names.len()),
            names,
            netem: Netem::new(role.netem, config.message_faults.clone(), config.seed),
            clock,
            observer: config.observer.clone(),
            metrics,
            timer_changed: Notify::new(),
            settled: Notify::new(),
        };
        // It asks its followers at once.
        replicator.act(&mut replicator.lock(), Duration::ZERO);
        replicator
    }

    /// Waits until the leader serves, up to this time. Whether it does.
    pub(super) async fn until_serving(&self, patience: Duration) -> bool {
        if self.lock().leader.serves() {
            return true;
        }
        let mut serves = self.serves.subscribe();
        // The sender lives as long as `self`.
        let _ = timeout(patience, serves.wait_for(|serves| *serves)).await;
        self.lock().leader.serves()
    }

    /// What is known of the followers now.
    pub(super) fn followers(&self) -> Followers<'_> {
        let (status, waiting) = self.read(|leader| (leader.status().collect::<Vec<_>>(), leader.waiting_for()));
        let contacts = FollowerId::first(self.names.len()).map(|id| self.contacts.with(id)).collect();
        let (now, names, write_quorum, max_body) = (self.clock.now(), &*self.names, self.write_quorum, self.max_body);
        let deposed = self.deposed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let own_address = self.own_address.as_str();
        let (max_delay, repl_timeout) = self.times;
        Followers {
            now,
            own_address,
            deposed,
            names,
            status,
            contacts,
            write_quorum,
            max_body,
            max_delay,
            repl_timeout,
            waiting,
        }
    }

    /// Looks which followers lack keys, so that it is known since when they do.
    pub(super) fn look_for_lag(&self) {
        let (status, now) = (self.status(), self.clock.now());
        for (id, status) in FollowerId::first(status.len()).zip(&status) {
            self.contacts.looked(id, now, status.progress == Progress::Current, keys_behind(status) > 0);
        }
    }

    /// Another leader has deposed this one.
    fn was_deposed(&self) {
        let now = self.clock.now();
        let mut deposed = self.deposed.lock().unwrap_or_else(PoisonError::into_inner);
        deposed.retain(|at| now.saturating_sub(*at) <= MINUTE);
        deposed.push(now);
    }

    /// A follower has promised another leader, which says that it is there.
    pub(super) fn follows(&self, follower: FollowerId, other: HostPort) {
        self.contacts.follows(follower, self.clock.now(), other);
    }

    /// A request to a follower went well.
    pub(super) fn was_answered(&self, by: FollowerId, purpose: Purpose) {
        self.contacts.succeeded(by, purpose);
    }

    /// A request to a follower did not go well.
    pub(super) fn was_not_answered(&self, by: FollowerId, purpose: Purpose, trouble: Trouble) {
        self.contacts.failed(by, purpose, self.clock.now(), trouble);
    }

    /// What of a key was committed.
    pub(super) fn committed(&self, key: &Key) -> Option<Entry> {
        self.lock().leader.committed(key).cloned()
    }

    /// Checks that enough followers for the quorum take a value of this size. A follower that has not said how much it takes is
    /// taken to.
    ///
    /// # Errors
    /// Which followers do not, and what to do.
    pub(super) fn check_size(&self, value: &Value) -> Result<(), String> {
        let limit = |id: FollowerId| self.contacts.limit(id).filter(|limit| !limit.admits(value));
        let limits: Vec<(FollowerId, FollowerLimit)> =
            FollowerId::first(self.names.len()).filter_map(|id| Some((id, limit(id)?))).collect();
        let enough = self.names.len() - limits.len();
        if enough >= self.write_quorum {
            return Ok(());
        }
        let named = |(id, limit): &(FollowerId, FollowerLimit)| format!("{id} ({}, {limit})", self.names[id.index()]);
        let too_small = limits.iter().map(named).collect::<Vec<_>>().join(", ");
        Err(format!(
            "the value is too large for {too_small}: only {enough} of {} followers would take it, and {} must confirm a write; start \
             them with a MAX_BODY that is not below the leader's",
            self.names.len(),
            self.write_quorum,
        ))
    }

    /// A follower has said how much it takes, which is to be not less than the leader.
    pub(super) fn takes(&self, follower: FollowerId, limit: FollowerLimit) {
        if self.contacts.takes(follower, limit) && limit.0 < self.max_body {
            warn!(
                %follower,
                address = self.names[follower.index()],
                "the follower has {limit}, and this leader takes bodies of up to {}: larger values may not reach it; start it with a \
                 MAX_BODY that is not below the leader's",
                ByteSize(self.max_body as u64)
            );
        }
    }

    /// The same, once it is known that no other leader had served before; none if that cannot be found out in time.
    ///
    /// # Errors
    /// [`Rejected`] if the leader does not serve.
    pub(super) async fn read_surely(&self, key: Key) -> Result<Option<Committed>, Rejected> {
        let receiver = {
            let mut state = self.lock();
            let now = self.clock.now();
            let read = state.leader.begin_read(now)?;
            let (sender, receiver) = oneshot::channel();
            state.reading.insert(read, (key, sender));
            self.act(&mut state, now);
            self.arrange_wake_up(&mut state);
            receiver
        };
        Ok(receiver.await.unwrap_or_default())
    }

    /// An operator accepts the loss of what only missing followers know. What the leader waited for; none if it serves or
    /// waits for something that an operator cannot give.
    pub(super) fn accept_loss(&self) -> Option<Waiting> {
        let mut state = self.lock();
        let now = self.clock.now();
        let waiting = state.leader.waiting_for();
        let accepted = state.leader.accept_loss(now);
        self.act(&mut state, now);
        self.arrange_wake_up(&mut state);
        waiting.filter(|_| accepted)
    }

    /// What a follower is to be asked.
    pub(super) fn questions(&self, to: FollowerId) -> &Questions {
        &self.questions[to.index()]
    }

    /// Returns the fate of an RPC that this incarnation of the leader sends now, and records it if a fault acts on it.
    pub(super) fn rpc_fate(&self, incarnation: u64, to: FollowerId, rpc: Rpc) -> Fate {
        let sender = RpcSender { node: NodeId::FIRST_SERVER, incarnation };
        let RpcFate { number, fate } = self.netem.rpc_fate(self.clock.now(), sender, to, rpc);
        if !fate.is_undisturbed() {
            let Fate { delay, loss: lost, copy } = fate;
            let (delay, copy) = (delay.into(), copy.map(Into::into));
            self.observe(|| Event::Rpc { to, rpc, number, delay, lost, copy });
        }
        fate
    }

    /// Learns what became of a question.
    pub(super) fn answered(&self, from: FollowerId, number: u64, asked: Asked) {
        let mut state = self.lock();
        let now = self.clock.now();
        state.leader.handle_answer(now, from, number, asked);
        self.act(&mut state, now);
        self.arrange_wake_up(&mut state);
    }

    /// Learns that a connection to a follower has ended, or that there is none.
    pub(super) fn disconnected(&self, from: FollowerId) {
        let mut state = self.lock();
        let now = self.clock.now();
        state.leader.handle_disconnect(now, from);
        self.act(&mut state, now);
        self.arrange_wake_up(&mut state);
    }

    /// Learns that a connection to a follower was given up.
    pub(super) fn unanswered(&self, from: FollowerId) {
        let mut state = self.lock();
        let now = self.clock.now();
        state.leader.handle_silence(now, from);
        self.act(&mut state, now);
        self.arrange_wake_up(&mut state);
    }

    /// Takes a write on, on these terms; without a value it deletes the key. Its completion arrives whether or not anybody
    /// still waits for it.
    pub(super) fn write(
        &self,
        terms: Terms,
        key: Key,
        value: Option<Value>,
    ) -> Result<oneshot::Receiver<Completion>, Rejected> {
        let mut state = self.lock();
        let now = self.clock.now();
        // What is kept for somebody who watches, if there is one.
        let told = self.observer.as_ref().map(|_| (key.clone(), value.clone()));
        let accepted = state.leader.write(now, &terms, key, value)?;
        if let Some((key, value)) = told {
            self.observe(|| accepted.event(terms, key, value));
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.insert(accepted.write, sender);
        self.act(&mut state, now);
        self.arrange_wake_up(&mut state);
        Ok(receiver)
    }

    /// Learns what became of a batch of messages to one follower.
    pub(super) fn delivered(&self, to: FollowerId, results: impl IntoIterator<Item = (Message, Delivery)>) {
        let mut state = self.lock();
        let now = self.clock.now();
        let mut tally = Tally::default();
        for (message, delivery) in results {
            let reply = match delivery {
                Delivery::Answered(reply) => reply,
                Delivery::Lost(_) => Reply::Lost,
            };
            tally.count(delivery);
            self.observe(|| {
                let message = message.id();
                match delivery {
                    Delivery::Answered(reply) => reply.event(message),
                    Delivery::Lost(reason) => Event::Lost { message, reason },
                }
            });
            state.leader.handle_reply(now, &message, reply);
            self.act(&mut state, now);
        }
        self.arrange_wake_up(&mut state);
        self.metrics.messages(to, &self.names[to.index()], tally);
    }

    /// Wakes the leader whenever it wants to be woken. Never returns.
    pub(super) async fn run_timer(&self) {
        loop {
            let at = {
                let mut state = self.lock();
                state.timer = state.leader.wake_at();
                state.timer
            };
            tokio::select! {
                biased;
                () = self.timer_changed.notified() => continue,
                () = self.clock.sleep_until(at) => {}
            }
            let mut state = self.lock();
            let now = self.clock.now();
            state.leader.handle_timeout(now);
            self.act(&mut state, now);
            self.arrange_wake_up(&mut state);
        }
    }

    /// Waits until every client has its answer and every first delivery its result.
    pub(super) async fn settled(&self) {
        while self.lock().leader.open_writes() > 0 {
            self.settled.notified().await;
        }
    }

    /// Reads what the leader stores.
    pub(super) fn read<R>(&self, read: impl FnOnce(&Leader) -> R) -> R {
        read(&self.lock().leader)
    }

    /// How each follower fares, in order.
    pub(super) fn status(&self) -> Vec<FollowerStatus> {
        self.lock().leader.status().collect()
    }

    /// Whether a follower does not know epochs.
    pub(super) fn is_legacy(&self, id: FollowerId) -> bool {
        self.lock().leader.status().nth(id.index()).is_some_and(|status| status.legacy)
    }

    /// The messages that wait to be carried to this follower.
    pub(super) fn outbox(&self, to: FollowerId, lane: Lane) -> &SharedOutbox {
        self.outboxes[to.index()].of(lane)
    }

    /// Counts a request with writes to this follower.
    pub(super) fn next_request(&self, to: FollowerId) -> u64 {
        self.requests[to.index()].fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A large request is on its way until what is returned is dropped.
    pub(super) fn begin_transfer(&self, to: FollowerId, size: u64, traffic: Traffic) -> Option<Sending<'_>> {
        (size >= Transfer::LARGE).then(|| self.contacts.begin_transfer(to, Transfer { size, traffic }))
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Tells the observer, if there is one, what happened.
    pub(super) fn observe(&self, event: impl FnOnce() -> Event) {
        if let Some(observer) = &self.observer {
            observer.record(event());
        }
    }

    /// Does what the leader asks for.
    fn act(&self, state: &mut State, now: Duration) {
        while let Some(output) = state.leader.poll_output() {
            match output {
                Output::Send(message) => {
                    let fate = self.netem.fate(now, NodeId::FIRST_SERVER, message.id(), message.update.operation);
                    let Fate { delay, loss, copy } = fate;
                    self.observe(|| Event::Send {
                        message: message.id(),
                        delay: delay.into(),
                        lost: loss,
                        copy: copy.map(Into::into),
                    });
                    let outbox = self.outboxes[message.to.index()].of(Lane::of(&message));
                    if let Some(copy) = copy {
                        outbox.push(now + copy, message.clone(), None);
                    }
                    outbox.push(now + delay, message, loss);
                }
                Output::Read(read, readable) => {
                    if let Some((key, reader)) = state.reading.remove(&read) {
                        let found = || Committed(state.leader.committed(&key).cloned());
                        // Nobody listens when the client has gone.
                        let _ = reader.send((readable == Readable::Yes).then(found));
                    }
                }
                Output::Ask(call) => self.questions[call.to.index()].put(*call),
                Output::Tell(news) => self.tell(state, &news),
                Output::Reconnect(to) => self.questions[to.index()].reconnect(),
                Output::Complete(completion) => {
                    let Completion { write, ok, confirmations, .. } = completion;
                    self.observe(|| Event::Complete { write, ok, confirmations });
                    if let Some(waiting) = state.waiting.remove(&write) {
                        // Nobody listens when the client has gone; its write is none the worse for it.
                        let _ = waiting.send(completion);
                    }
                }
            }
        }
    }

    /// Once the leader has been told all that there is to tell: wakes who waits for it to settle, and its timer if that
    /// is set too late.
    fn arrange_wake_up(&self, state: &mut State) {
        if state.leader.open_writes() == 0 {
            self.settled.notify_one();
        }
        let serves = state.leader.serves();
        if std::mem::replace(&mut state.serves, serves) != serves {
            self.serves.send_replace(serves);
        }
        let wake_at = state.leader.wake_at();
        if wake_at.is_some_and(|at| state.timer.is_none_or(|timer| at < timer)) {
            state.timer = wake_at;
            self.timer_changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the leader's state machine has panicked; its state cannot be trusted")
    }
}
