use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::clock::Clock;
use super::config::{Config, LeaderRole};
use super::metrics::{Metrics, Tally};
use super::outbox::Outbox;
use crate::base::trace::{Event, LossReason, Observer, WriteId};
use crate::base::{FollowerId, Key, NodeId, Value};
use crate::core::{Completion, FollowerStatus, Leader, LeaderConfig, Message, Output, Rejected, Reply, Store};
use crate::net::{Fate, Netem};

/// The most bytes that the first deliveries to one follower may hold; see [`LeaderConfig::window_bytes`].
const WINDOW_BYTES: usize = 64 << 20;

/// Drives the leader's state machine: hands it what happens, and does what it asks for.
pub(super) struct Replicator {
    state: Mutex<State>,
    outboxes: Vec<Outbox>,
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
    timer: Option<Duration>,
}

/// What became of a message, as the pipeline that carried it saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Answered(Reply),
    Lost(LossReason),
}

impl Replicator {
    pub(super) fn new(role: &LeaderRole, config: &Config, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let leader = LeaderConfig {
            followers: role.followers.len(),
            write_quorum: role.write_quorum,
            repl_timeout: role.repl_timeout,
            window: config.window,
            window_bytes: WINDOW_BYTES,
            seed: config.seed,
            rules: config.rules,
        };
        Self {
            state: Mutex::new(State { leader: Leader::new(leader), waiting: BTreeMap::new(), timer: None }),
            outboxes: role.followers.iter().map(|_| Outbox::default()).collect(),
            netem: Netem::new(role.netem, config.message_faults.clone(), config.seed),
            clock,
            observer: config.observer.clone(),
            metrics,
            timer_changed: Notify::new(),
            settled: Notify::new(),
        }
    }

    /// Takes a write on. Its completion arrives whether or not anybody still waits for it.
    pub(super) fn set(
        &self,
        operation: Option<u64>,
        key: Key,
        value: Value,
    ) -> Result<oneshot::Receiver<Completion>, Rejected> {
        let mut state = self.lock();
        let now = self.clock.now();
        let accepted = state.leader.set(now, operation, key.clone(), value.clone())?;
        self.observe(|| Event::Accept { write: accepted.write, key, stamp: accepted.stamp, value });
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
                    Delivery::Answered(Reply::Stored(stored)) => Event::Ack { message, stored },
                    Delivery::Answered(_) => Event::Lost { message, reason: LossReason::Refused },
                    Delivery::Lost(reason) => Event::Lost { message, reason },
                }
            });
            state.leader.handle_reply(now, &message, reply);
            self.act(&mut state, now);
        }
        self.arrange_wake_up(&mut state);
        self.metrics.messages(to, tally);
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

    /// Reads the leader's store.
    pub(super) fn read<R>(&self, read: impl FnOnce(&Store) -> R) -> R {
        read(self.lock().leader.store())
    }

    /// How each follower fares, in order.
    pub(super) fn status(&self) -> Vec<FollowerStatus> {
        self.lock().leader.status().collect()
    }

    /// The messages that wait to be carried to this follower.
    pub(super) fn outbox(&self, to: FollowerId) -> &Outbox {
        &self.outboxes[to.index()]
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
                    let fate = self.netem.fate(now, NodeId::Leader, message.id(), message.update.operation);
                    let Fate { delay, loss, copy } = fate;
                    self.observe(|| Event::Send {
                        message: message.id(),
                        delay: delay.into(),
                        lost: loss,
                        copy: copy.map(Into::into),
                    });
                    let outbox = &self.outboxes[message.to.index()];
                    if let Some(copy) = copy {
                        outbox.push(now + copy, message.clone(), None);
                    }
                    outbox.push(now + delay, message, loss);
                }
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
