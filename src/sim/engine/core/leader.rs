use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::exchange::{Connection, ExchangeId};
use super::queue::{At, CallId, Event};
use crate::base::trace::{LostPart, WriteId};
use crate::base::{Epoch, FollowerId, FollowerSet, Member, Seed};
use crate::core::{
    BatchLimit, Configuration, ConnectBackoff, Leader, LeaderConfig, LeaderId, Limits, Message, Outbox, Parcel, ReadId,
};
use crate::net::{MessageFault, MessageFaults, Netem, NetemConfig};
use crate::sim::scenario::ClusterSpec;

/// The leader's node: the state machine, and what of the node around it is not HTTP.
#[derive(Debug)]
pub(super) struct LeaderHost {
    blueprint: Blueprint,
    /// Its incarnation, counted from 0 in the order in which the incarnations of all leaders begin.
    pub(super) life: u64,
    members: FollowerSet,
    pub(super) up: bool,
    pub(super) paused: bool,
    pub(super) clock: Clock,
    pub(super) state: Leader,
    /// When the state machine is to be woken, by its clock; kept, for it changes with the state machine only.
    state_due: At,
    pub(super) netem: Netem,
    pub(super) lanes: Vec<Lane>,
    /// Messages that the emulated network has lost, or the answers to them, by when the leader will notice, by its clock.
    lost: BTreeMap<(At, u64), Message>,
    lost_before: u64,
    /// When each request is given up, by its clock; in order, for it is the same time after each was sent.
    pub(super) deadlines: VecDeque<(At, ExchangeId)>,
    /// How long after it was sent.
    pub(super) patience: At,
    /// Which call waits for which write.
    pub(super) waiting: Waiting,
    /// Which call waits for which read.
    pub(super) reading: BTreeMap<ReadId, CallId>,
    /// When it will act by itself, if nothing happens before; [`At::MAX`] for never.
    pub(super) due: At,
    /// Calls that have come while it was down: they are refused once it is up.
    pub(super) calls: Vec<CallId>,
    /// Calls that have come while it did not serve, with when they are refused if it still does not; in order.
    pub(super) parked: VecDeque<(At, CallId)>,
    /// What has come while it was paused.
    inbox: Vec<Event>,
}

/// What carries the messages to one follower.
#[derive(Debug)]
pub(super) struct Lane {
    outbox: Outbox,
    in_flight: usize,
    /// When its next request may leave, in microseconds of the leader's clock; kept, for it is asked for much more often
    /// than it changes.
    ready_at: At,
    requests: u64,
    /// The connections that nobody uses.
    idle: Vec<Connection>,
    backoff: ConnectBackoff,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            outbox: Outbox::default(),
            in_flight: 0,
            ready_at: At::MAX,
            requests: 0,
            idle: Vec::new(),
            backoff: ConnectBackoff::default(),
        }
    }
}

impl Lane {
    pub(super) fn push(&mut self, due: Duration, message: Message, loss: Option<LostPart>) {
        self.outbox.push(due, message, loss);
        self.look();
    }

    /// Takes what the next request carries, with what the emulated network loses of it. To be followed by [`Lane::send`], or
    /// by [`Lane::look`] if nothing is left to be sent.
    pub(super) fn take_due(&mut self, now: Duration, batch: &mut Vec<Parcel>) {
        self.outbox.take_due(now, Outbox::BATCH, batch);
    }

    /// The number of the request that is sent now, and the connection that it goes over, if there is one.
    pub(super) fn send(&mut self) -> (u64, Option<Connection>) {
        self.requests += 1;
        self.in_flight += 1;
        self.look();
        (self.requests, self.idle.pop())
    }

    /// A request was answered; its connection can be used again.
    pub(super) fn answered(&mut self, connection: Option<Connection>) {
        self.idle.extend(connection);
        self.backoff.succeeded();
        self.end();
    }

    /// A request has ended without an answer.
    pub(super) fn end(&mut self) {
        self.in_flight -= 1;
        self.look();
    }

    /// A connection for something that is no message, if there is one that nobody uses.
    pub(super) fn borrow(&mut self) -> Option<Connection> {
        self.idle.pop()
    }

    /// Nobody uses this connection any more.
    pub(super) fn give_back(&mut self, connection: Option<Connection>) {
        self.idle.extend(connection);
    }

    /// A request has ended before it had a connection. What else is due would fare no better: it joins the batch.
    pub(super) fn refused(&mut self, now: At, batch: &mut Vec<Parcel>) {
        self.backoff.failed(Duration::from_micros(now));
        self.outbox.take_due(Duration::from_micros(now), BatchLimit { messages: usize::MAX, bytes: usize::MAX }, batch);
        self.end();
    }

    /// This connection, and others like it, have ended. Returns whether there were any.
    pub(super) fn forget(&mut self, dead: Connection) -> bool {
        let before = self.idle.len();
        self.idle.retain(|connection| *connection != dead);
        self.idle.len() < before
    }

    /// Whether there are any that nobody uses.
    pub(super) fn has_connections(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Nothing goes over the connections any more that nobody uses now.
    pub(super) fn disconnect(&mut self) {
        self.idle.clear();
    }

    /// Connections to another node than this end, as when an address is taken from it. Returns whether there were any.
    pub(super) fn disconnect_all_but(&mut self, host: FollowerId) -> bool {
        let before = self.idle.len();
        self.idle.retain(|connection| connection.host == host);
        self.idle.len() < before
    }

    /// Sets when the next request may leave.
    pub(super) fn look(&mut self) {
        self.ready_at = self.outbox.ready_at(self.in_flight).map_or(At::MAX, |at| micros(at.max(self.backoff.until())));
    }
}

/// The calls that wait for a write, in the order of the writes. They are few, and the first are answered first, more or
/// less.
#[derive(Debug, Default)]
pub(super) struct Waiting(VecDeque<(WriteId, CallId)>);

impl Waiting {
    /// Writes come in the order of their numbers.
    pub(super) fn push(&mut self, write: WriteId, call: CallId) {
        self.0.push_back((write, call));
    }

    pub(super) fn remove(&mut self, write: WriteId) -> Option<CallId> {
        let place = self.0.binary_search_by_key(&write, |(write, _)| *write).ok()?;
        self.0.remove(place).map(|(_, call)| call)
    }
}

/// From what each of the leader's lives is made.
#[derive(Debug, Clone)]
struct Blueprint {
    config: LeaderConfig,
    /// The members, as the configuration has them.
    members: Vec<Member>,
    /// The quorum and the members of its first life.
    first: (usize, Vec<Member>),
    /// How many followers there are, members or not.
    hosts: usize,
    netem: NetemConfig,
    faults: Arc<[MessageFault]>,
    healed: Arc<AtomicBool>,
}

impl LeaderHost {
    pub(super) fn new(cluster: &ClusterSpec, seed: Seed, faults: Arc<[MessageFault]>) -> Self {
        let &ClusterSpec { followers, write_quorum, delay_ms: [min, max], repl_timeout_ms, window, part_keys, .. } =
            cluster;
        let members: Vec<Member> = FollowerId::first(followers).map(Member::from).collect();
        let config = LeaderConfig {
            id: LeaderId(0),
            first_epoch: Epoch::FIRST,
            configuration: Configuration::of(followers, write_quorum),
            followers: FollowerSet::first(followers),
            repl_timeout: Duration::from_millis(repl_timeout_ms),
            limits: Limits { window, part_keys, ..Limits::default() },
            seed,
            rules: cluster.rules.rules(),
        };
        let netem = NetemConfig { min_delay: Duration::from_millis(min), max_delay: Duration::from_millis(max) };
        let (first, hosts) = ((write_quorum, members.clone()), cluster.all_followers());
        Self::of(Blueprint { config, members, first, hosts, netem, faults, healed: Arc::default() })
    }

    fn of(blueprint: Blueprint) -> Self {
        Self {
            life: 0,
            members: blueprint.config.followers,
            up: true,
            paused: false,
            clock: Clock::started_at(0),
            state: blueprint.leader(0, Epoch::FIRST),
            state_due: At::MAX,
            netem: blueprint.netem(0),
            lanes: blueprint.lanes(),
            lost: BTreeMap::new(),
            lost_before: 0,
            deadlines: VecDeque::new(),
            patience: micros(blueprint.config.repl_timeout),
            waiting: Waiting::default(),
            reading: BTreeMap::new(),
            due: At::MAX,
            calls: Vec::new(),
            parked: VecDeque::new(),
            inbox: Vec::new(),
            blueprint,
        }
    }

    /// A cluster that is up has asked its followers something, and keeps the connections.
    pub(super) fn connect(&mut self) {
        if self.blueprint.config.rules.recover_on_start {
            for host in self.blueprint.config.followers.iter() {
                self.lanes[host.index()].give_back(Some(Connection { host, life: 0 }));
            }
        }
    }

    /// What a node that is killed loses: everything in memory.
    pub(super) fn crash(&mut self) {
        self.up = false;
        self.paused = false;
        self.lanes = self.blueprint.lanes();
        self.lost.clear();
        self.deadlines.clear();
        self.waiting = Waiting::default();
        self.reading.clear();
        self.parked.clear();
        self.inbox.clear();
        self.state_due = At::MAX;
        self.due = At::MAX;
    }

    /// Starts the node as this incarnation. Its first epoch is not below `first_epoch`.
    pub(super) fn restart(&mut self, now: At, life: u64, first_epoch: Epoch) {
        self.life = life;
        self.members = self.blueprint.config.followers;
        self.up = true;
        self.clock = Clock::started_at(now);
        self.state = self.blueprint.leader(self.life, first_epoch);
        self.netem = self.blueprint.netem(now);
    }

    /// Another leader that starts now, on another machine, while this one continues to run.
    pub(super) fn successor(&self, now: At, life: u64, first_epoch: Epoch) -> Self {
        let mut next = Self::of(self.blueprint.clone());
        next.restart(now, life, first_epoch);
        next
    }

    /// From its next start on so many followers must confirm a write.
    pub(super) fn set_quorum(&mut self, write_quorum: usize) {
        self.blueprint.config.configuration.write_quorum = write_quorum;
    }

    /// The followers that it replicates to.
    pub(super) fn members(&self) -> FollowerSet {
        self.members
    }

    /// From its next start on it replicates to these members.
    pub(super) fn set_members(&mut self, mut members: Vec<Member>) {
        members.sort_by_key(|member| member.follower);
        let config = &mut self.blueprint.config;
        config.followers = members.iter().map(|member| member.follower).collect();
        config.configuration.members = members.iter().map(Member::name).collect();
        self.blueprint.members = members;
    }

    /// Its quorum, and its members if they are others, if that is not what it was in the beginning.
    pub(super) fn other_configuration(&self) -> Option<(usize, Vec<Member>)> {
        let Blueprint { config, members, first, .. } = &self.blueprint;
        let (quorum, is_same) = (config.configuration.write_quorum, *members == first.1);
        let members = if is_same { Vec::new() } else { members.clone() };
        (quorum != first.0 || !is_same).then_some((quorum, members))
    }

    /// No fault of messages strikes from now on, in no life.
    pub(super) fn spare_messages(&self) {
        self.blueprint.healed.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// What its clock shows.
    pub(super) fn shown_at(&self, now: At) -> Duration {
        Duration::from_micros(self.clock.show(now))
    }

    /// The first follower to which a request may leave by `now`, by its clock.
    pub(super) fn ready_lane(&self, now: At) -> Option<FollowerId> {
        let mut lanes = FollowerId::first(self.lanes.len()).zip(&self.lanes);
        lanes.find(|(_, lane)| lane.ready_at <= now).map(|(follower, _)| follower)
    }

    /// The leader will notice at `at`, by its clock, that this message, or the answer to it, is lost.
    pub(super) fn lose(&mut self, at: At, message: Message) {
        self.lost_before += 1;
        self.lost.insert((at, self.lost_before), message);
    }

    /// The next lost message that it notices by `now`, by its clock.
    pub(super) fn lost_by(&mut self, now: At) -> Option<Message> {
        self.lost.first_entry().filter(|entry| entry.key().0 <= now).map(|entry| entry.remove())
    }

    /// Where to put what comes, if it is paused.
    pub(super) fn inbox_if_paused(&mut self) -> Option<&mut Vec<Event>> {
        self.paused.then_some(&mut self.inbox)
    }

    /// Goes on. Returns what has come meanwhile.
    pub(super) fn resume(&mut self) -> Vec<Event> {
        self.paused = false;
        std::mem::take(&mut self.inbox)
    }

    /// Notes when the state machine is to be woken, once that may have changed.
    pub(super) fn look_at_state(&mut self) {
        self.state_due = self.state.wake_at().map_or(At::MAX, micros);
    }

    /// Whether the state machine is to be woken by `now`, by its clock.
    pub(super) fn is_state_due(&self, now: At) -> bool {
        self.state_due <= now
    }

    /// Sets when it will act by itself.
    pub(super) fn arrange_wake_up(&mut self) {
        if !self.up {
            return;
        }
        let lanes = self.lanes.iter().map(|lane| lane.ready_at).min().unwrap_or(At::MAX);
        let mut wake_at = self.state_due.min(lanes);
        if let Some(((at, _), _)) = self.lost.first_key_value() {
            wake_at = wake_at.min(*at);
        }
        if let Some((at, _)) = self.deadlines.front() {
            wake_at = wake_at.min(*at);
        }
        if let Some((at, _)) = self.parked.front() {
            wake_at = wake_at.min(*at);
        }
        self.due = if wake_at < At::MAX { self.clock.when(wake_at) } else { At::MAX };
    }
}

/// A time that a clock shows, in whole microseconds.
fn micros(shown: Duration) -> At {
    shown.as_secs().saturating_mul(1_000_000).saturating_add(shown.subsec_micros().into())
}

impl Blueprint {
    fn leader(&self, life: u64, first_epoch: Epoch) -> Leader {
        Leader::new(LeaderConfig { id: LeaderId(life), first_epoch, ..self.config.clone() })
    }

    fn netem(&self, since: At) -> Netem {
        let since = Duration::from_micros(since);
        let (faults, healed) = (Arc::clone(&self.faults), Arc::clone(&self.healed));
        let faults = MessageFaults { faults, since, beginning: Arc::default(), healed };
        Netem::new(self.netem, faults, self.config.seed)
    }

    fn lanes(&self) -> Vec<Lane> {
        (0..self.hosts).map(|_| Lane::default()).collect()
    }
}

/// A node's clock: time since its start, at a rate of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// A moment, and what the clock showed then.
    since: At,
    shown: u64,
    rate_per_mille: u64,
}

impl Clock {
    pub(super) const TRUE_RATE: u64 = 1000;

    fn started_at(now: At) -> Self {
        Self { since: now, shown: 0, rate_per_mille: Self::TRUE_RATE }
    }

    /// What it shows, in microseconds.
    pub(super) fn show(self, now: At) -> At {
        let passed = now - self.since;
        let passed = if self.rate_per_mille == Self::TRUE_RATE { passed } else { passed * self.rate_per_mille / 1000 };
        self.shown + passed
    }

    /// When it will show, or did show, this time at the earliest.
    fn when(self, shown: At) -> At {
        let left = shown.saturating_sub(self.shown);
        let left = if self.rate_per_mille == Self::TRUE_RATE {
            left
        } else {
            left.saturating_mul(1000).div_ceil(self.rate_per_mille)
        };
        self.since.saturating_add(left)
    }

    /// Goes on at another rate, in thousandths of the true one.
    pub(super) fn set_rate(&mut self, now: At, rate_per_mille: u64) {
        let shown = self.show(now);
        *self = Self { since: now, shown, rate_per_mille };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_of_another_rate_shows_and_foretells_the_same_times() {
        let mut clock = Clock::started_at(1000);
        assert_eq!((clock.show(3000), clock.when(2000)), (2000, 3000));
        clock.set_rate(3000, 500);
        assert_eq!((clock.show(5000), clock.when(3000)), (3000, 5000));
        clock.set_rate(5000, 3000);
        assert_eq!((clock.show(6000), clock.when(6000)), (6000, 6000));
        // One that no whole microsecond shows is shown at the next.
        assert!(clock.show(clock.when(6001)) >= 6001);
    }
}
