//! The traffic between the leader and its followers.

use std::collections::BTreeSet;
use std::mem;
use std::time::Duration;

use super::exchange::{Connection, ExchangeId};
use super::network::{Arrival, Ends, Machine, Passage, Way};
use super::queue::{At, Event};
use super::world::World;
use crate::base::trace::{Event as Happened, LossReason, LostPart, RequestId};
use crate::base::{FollowerId, NodeId};
use crate::core::{Applied, Asked, Identity, LeaderId, Message, Output, Parcel, Reply, Stored};
use crate::net::Fate;

impl World {
    /// The leader acts by itself, for it is time to.
    pub(super) fn leader_wakes(&mut self, machine: Machine) {
        let now = self.leaders[machine].clock.show(self.now);
        self.refuse_parked_calls(machine, now);
        while let Some(message) = self.leaders[machine].lost_by(now) {
            self.deliver(machine, &message, Err(LossReason::Deadline));
        }
        while let Some((at, id)) = self.leaders[machine].deadlines.front().copied() {
            let is_open = self.exchanges.get(id).is_some_and(|exchange| exchange.open);
            // One that has been answered must not wake the leader for nothing later on.
            if is_open && at > now {
                break;
            }
            self.leaders[machine].deadlines.pop_front();
            self.give_up(id, LossReason::Deadline);
        }
        if self.leaders[machine].is_state_due(now) {
            self.leaders[machine].state.handle_timeout(Duration::from_micros(now));
            self.act(machine);
        }
        while let Some(follower) = self.leaders[machine].ready_lane(now) {
            self.send_what_is_due(machine, follower, now);
        }
        self.leaders[machine].arrange_wake_up();
    }

    /// Does what the leader's state machine asks for.
    pub(super) fn act(&mut self, machine: Machine) {
        while let Some(output) = self.leaders[machine].state.poll_output() {
            match output {
                Output::Send(message) => self.hand_over(machine, message),
                Output::Ask(call) => self.pose(machine, *call),
                Output::Read(read, readable) => {
                    if let Some(call) = self.leaders[machine].reading.remove(&read) {
                        self.answer_waiting_read(machine, call, readable);
                    }
                }
                Output::Tell(news) => {
                    for event in news.events(self.leaders[machine].state.store()) {
                        self.record_of_leader(machine, event);
                    }
                }
                Output::Reconnect(to) => self.leaders[machine].lanes[to.index()].disconnect(),
                Output::Complete(completion) => {
                    let (write, ok, confirmations) = (completion.write, completion.ok, completion.confirmations);
                    self.record_of_leader(machine, Happened::Complete { write, ok, confirmations });
                    if let Some(call) = self.leaders[machine].waiting.remove(write) {
                        self.answer_write(call, &completion);
                    }
                }
            }
        }
        self.leaders[machine].look_at_state();
    }

    /// Hands a message over to the emulated network.
    fn hand_over(&mut self, machine: Machine, message: Message) {
        let (id, name, chooses) = (message.id(), Self::name_of(machine), self.chooses());
        let leader = &mut self.leaders[machine];
        let now = leader.shown_at(self.now);
        let Fate { delay, loss, copy } = leader.netem.fate(now, name, id, message.update.operation);
        let copied = copy.map(Into::into);
        let sent = Happened::Send { message: id, delay: delay.into(), lost: loss, copy: copied };
        self.trace.push(self.now, name, leader.life, sent);
        if chooses {
            if copy.is_some() {
                self.offer_message(machine, message.clone(), None, true);
            }
            return self.offer_message(machine, message, loss, false);
        }
        let lane = &mut leader.lanes[id.to.index()];
        if let Some(copy) = copy {
            lane.push(now + copy, message.clone(), None);
        }
        lane.push(now + delay, message, loss);
    }

    /// Sends one request with what is due to a follower that is ready for it, unless the emulated network loses it all.
    fn send_what_is_due(&mut self, machine: Machine, follower: FollowerId, now: At) {
        let deadline = now + self.leaders[machine].patience;
        self.leaders[machine].lanes[follower.index()].take_due(Duration::from_micros(now), &mut self.batch);
        for parcel in self.batch.extract_if(.., |parcel| parcel.loss == Some(LostPart::Request)) {
            self.leaders[machine].lose(deadline, parcel.message);
        }
        if self.batch.is_empty() {
            self.leaders[machine].lanes[follower.index()].look();
        } else {
            self.dispatch(machine, follower, now, deadline);
        }
    }

    /// Sends the batch in one request.
    fn dispatch(&mut self, machine: Machine, to: FollowerId, now: At, deadline: At) {
        let (number, connection) = self.leaders[machine].lanes[to.index()].send();
        let request = RequestId { incarnation: self.leaders[machine].life, number };
        let id = self.begin_exchange(machine, to, request, now, connection);
        let exchange = self.exchanges.get(id).expect("it has just begun");
        mem::swap(&mut exchange.batch, &mut self.batch);
        let messages = exchange.batch.iter().map(|parcel| parcel.message.id()).collect();
        self.leaders[machine].deadlines.push_back((deadline, id));
        self.record_of_leader(machine, Happened::Dispatch { request, to, messages });
        self.transmit(id, Way::ToFollower, if connection.is_some() { Event::Request(id) } else { Event::Connect(id) });
    }

    /// Begins one over this connection, or over a new one: to where the follower's name leads now.
    pub(super) fn begin_exchange(
        &mut self,
        machine: Machine,
        to: FollowerId,
        request: RequestId,
        now: At,
        connection: Option<Connection>,
    ) -> ExchangeId {
        let host = connection.map_or(self.names[to.index()], |connection| connection.host);
        self.exchanges.begin(Ends::new(machine, host), to, request, now, connection.map(|connection| connection.life))
    }

    /// Puts the next step of an exchange on its way.
    #[inline]
    pub(super) fn transmit(&mut self, id: ExchangeId, way: Way, event: Event) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        match self.network.send(exchange.ends, way) {
            Passage::Lost => self.exchanges.settle(id),
            Passage::Takes { latency, cuts } => {
                exchange.cuts = cuts;
                self.queue.push_transit(self.now + latency, event);
            }
        }
    }

    /// Whether a step of an exchange that was on its way has arrived and can be dealt with now: not if it was lost on
    /// its way, is held back, or waits for a node that is paused.
    fn has_arrived(&mut self, id: ExchangeId, way: Way, event: Event) -> bool {
        let Some(exchange) = self.exchanges.get(id) else { return false };
        let (ends, cuts) = (exchange.ends, exchange.cuts);
        match self.network.arrives(ends, way, cuts, event) {
            Arrival::In => {}
            Arrival::Held => return false,
            Arrival::Lost => {
                self.exchanges.settle(id);
                return false;
            }
        }
        let paused = match way {
            Way::ToFollower => self.followers[ends.follower.index()].inbox_if_paused(),
            Way::ToLeader => self.leaders[ends.machine()].inbox_if_paused(),
        };
        paused.is_none_or(|inbox| {
            inbox.push(event);
            false
        })
    }

    /// A request for a connection reaches a follower. One that is down refuses it once it is up, as in turmoil.
    pub(super) fn connect(&mut self, id: ExchangeId) {
        if !self.has_arrived(id, Way::ToFollower, Event::Connect(id)) {
            return;
        }
        let exchange = self.exchanges.get(id).expect("it has arrived");
        if self.names[exchange.to.index()] != exchange.ends.follower {
            return self.transmit(id, Way::ToLeader, Event::Refused(id));
        }
        let host = &mut self.followers[exchange.ends.follower.index()];
        if !host.up {
            host.knocking.push(id);
            return;
        }
        exchange.life = Some(host.life);
        // turmoil, which this must agree with, brings the answer back whatever is done to the link.
        let latency = self.network.latency(exchange.ends, Way::ToLeader);
        self.queue.push_transit(self.now + latency, Event::Connected(id));
    }

    /// The leader has its connection. It sends the request if it still wants to.
    pub(super) fn connected(&mut self, id: ExchangeId) {
        match self.exchanges.get(id) {
            Some(exchange) if exchange.is_wanted() => self.transmit(id, Way::ToFollower, Event::Request(id)),
            _ => self.exchanges.settle(id),
        }
    }

    /// A request reaches its follower, which does what it says and answers.
    pub(super) fn request(&mut self, id: ExchangeId) {
        if !self.has_arrived(id, Way::ToFollower, Event::Request(id)) {
            return;
        }
        let exchange = self.exchanges.get(id).expect("it has arrived");
        let node = NodeId::from(exchange.ends.follower);
        let host = &mut self.followers[exchange.ends.follower.index()];
        if !host.up {
            return self.exchanges.settle(id);
        }
        let is_moved = self.names[exchange.to.index()] != exchange.ends.follower;
        if exchange.life != Some(host.life) || is_moved {
            return self.transmit(id, Way::ToLeader, Event::Reset(id));
        }
        if let Some(question) = &mut exchange.question {
            let mut events = Vec::new();
            question.answer = Some(host.state.ask(&question.call.ask, &mut events));
            for event in events {
                self.trace.push(self.now, node, host.life, event);
            }
            return self.transmit(id, Way::ToLeader, Event::Reply(id));
        }
        let request = Some(exchange.request);
        let leader = LeaderId(exchange.request.incarnation);
        for Parcel { message, .. } in &exchange.batch {
            let (key, stamp) = (message.key().clone(), message.stamp());
            let (stored, event) = match host.state.replicate(leader, &key, message.update.entry.clone()) {
                Applied::Yes => (stamp, Happened::Apply { request, key, stamp, value: message.value().cloned() }),
                Applied::Stale { stored } => (stored, Happened::Reject { request, key, stamp, stored }),
                Applied::Fenced { promised } => {
                    exchange.replies.push(Reply::Fenced(promised));
                    continue;
                }
            };
            let Identity { incarnation, standing } = host.state.identity();
            exchange.replies.push(Reply::Stored(Stored { stamp: stored, incarnation, standing }));
            self.trace.push(self.now, node, host.life, event);
        }
        self.transmit(id, Way::ToLeader, Event::Reply(id));
    }

    /// The answer to a request reaches the leader.
    pub(super) fn reply(&mut self, id: ExchangeId) {
        if !self.has_arrived(id, Way::ToLeader, Event::Reply(id)) {
            return;
        }
        let exchange = self.exchanges.get(id).expect("it has arrived");
        let (machine, to) = (exchange.ends.machine(), exchange.to);
        let (sent_at, connection) = (exchange.sent_at, exchange.connection());
        if exchange.question.is_some() {
            return self.response(id);
        }
        let (mut batch, mut replies) = (mem::take(&mut self.batch), mem::take(&mut self.replies));
        if self.exchanges.finish(id, &mut batch, &mut replies) {
            let kept = self.kept(to, connection);
            self.leaders[machine].lanes[to.index()].answered(kept);
            if kept != connection {
                self.disconnected(machine, to);
            }
            for (Parcel { message, loss }, reply) in batch.drain(..).zip(&replies) {
                if loss == Some(LostPart::Reply) {
                    let leader = &mut self.leaders[machine];
                    leader.lose(sent_at + leader.patience, message);
                } else {
                    self.deliver(machine, &message, Ok(*reply));
                }
            }
            self.leaders[machine].arrange_wake_up();
        }
        replies.clear();
        (self.batch, self.replies) = (batch, replies);
    }

    /// The connection, if it still leads to where the name does. An address that was moved takes its connections along.
    pub(super) fn kept(&self, name: FollowerId, connection: Option<Connection>) -> Option<Connection> {
        connection.filter(|connection| connection.host == self.names[name.index()])
    }

    /// The news that the other end of a connection is not there any more reaches the leader.
    pub(super) fn reset(&mut self, id: ExchangeId) {
        if self.has_arrived(id, Way::ToLeader, Event::Reset(id)) {
            self.give_up_and_go_on(id, LossReason::Disconnect);
        }
    }

    /// The news that nobody listened where a connection was asked for reaches the leader.
    pub(super) fn refused(&mut self, id: ExchangeId) {
        if self.has_arrived(id, Way::ToLeader, Event::Refused(id)) {
            self.give_up_and_go_on(id, LossReason::Connect);
        }
    }

    /// The leader hears that all connections to one of a follower's lives are dead.
    pub(super) fn life_ended(&mut self, ends: Ends, life: u64) {
        let (machine, follower, event) = (ends.machine(), ends.follower, Event::Ended { ends, life });
        if !self.network.lets_in(ends, Way::ToLeader, event) {
            return;
        }
        if let Some(inbox) = self.leaders[machine].inbox_if_paused() {
            return inbox.push(event);
        }
        let dead = Connection { host: follower, life };
        let lanes = FollowerId::first(self.followers.len()).zip(&mut self.leaders[machine].lanes);
        let mut disconnected: BTreeSet<FollowerId> =
            lanes.filter_map(|(to, lane)| lane.forget(dead).then_some(to)).collect();
        let dead = self.exchanges.open().filter(|(_, exchange)| (exchange.ends, exchange.life) == (ends, Some(life)));
        let dead: Vec<(ExchangeId, FollowerId)> = dead.map(|(id, exchange)| (id, exchange.to)).collect();
        disconnected.extend(dead.iter().map(|(_, to)| *to));
        disconnected.into_iter().for_each(|to| self.disconnected(machine, to));
        for (id, _) in dead {
            self.give_up(id, LossReason::Disconnect);
        }
        self.leaders[machine].arrange_wake_up();
    }

    /// All leaders close the connections under this name that nobody uses. One that is stopped does so when it goes on.
    pub(super) fn close_connections(&mut self, name: FollowerId) {
        for machine in (0..).take(self.leaders.len()) {
            let leader = &mut self.leaders[usize::from(machine)];
            let lane = &mut leader.lanes[name.index()];
            if !leader.up || !lane.has_connections() {
                continue;
            }
            lane.disconnect();
            match leader.inbox_if_paused() {
                Some(inbox) => inbox.push(Event::Closed { machine, name }),
                None => self.disconnected(machine.into(), name),
            }
        }
    }

    /// The leader learns that a connection to a follower has ended, or was refused.
    pub(super) fn disconnected(&mut self, machine: Machine, from: FollowerId) {
        let now = self.leaders[machine].shown_at(self.now);
        self.leaders[machine].state.handle_disconnect(now, from);
        self.act(machine);
        self.leaders[machine].arrange_wake_up();
    }

    /// There will be no answer, because the connection has ended or there is none.
    fn give_up_and_go_on(&mut self, id: ExchangeId, reason: LossReason) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let (machine, to, is_open) = (exchange.ends.machine(), exchange.to, exchange.open);
        self.exchanges.settle(id);
        if is_open {
            self.disconnected(machine, to);
        }
        self.give_up(id, reason);
        self.leaders[machine].arrange_wake_up();
    }

    /// The leader waits for an answer no longer.
    fn give_up(&mut self, id: ExchangeId, reason: LossReason) {
        let Some(exchange) = self.exchanges.get(id).filter(|exchange| exchange.open) else { return };
        let (machine, to) = (exchange.ends.machine(), exchange.to);
        if let Some(call) = exchange.question.as_ref().map(|question| question.call.clone()) {
            self.exchanges.close(id, &mut Vec::new());
            return self.hear(machine, &call, Asked::Lost);
        }
        let mut batch = mem::take(&mut self.batch);
        self.exchanges.close(id, &mut batch);
        let now = self.leaders[machine].clock.show(self.now);
        let lane = &mut self.leaders[machine].lanes[to.index()];
        match reason {
            LossReason::Connect => lane.refused(now, &mut batch),
            _ => lane.end(),
        }
        for parcel in batch.drain(..) {
            self.deliver(machine, &parcel.message, Err(reason));
        }
        self.batch = batch;
        if reason == LossReason::Deadline {
            // Its connection, if there was one, is closed.
            let now = self.leaders[machine].shown_at(self.now);
            self.leaders[machine].state.handle_silence(now, to);
            self.act(machine);
        }
    }

    /// Tells the leader what became of a message.
    fn deliver(&mut self, machine: Machine, message: &Message, what: Result<Reply, LossReason>) {
        let id = message.id();
        let (reply, event) = match what {
            Ok(reply) => (reply, reply.event(id)),
            Err(reason) => (Reply::Lost, Happened::Lost { message: id, reason }),
        };
        let name = Self::name_of(machine);
        let leader = &mut self.leaders[machine];
        self.trace.push(self.now, name, leader.life, event);
        leader.state.handle_reply(leader.shown_at(self.now), message, reply);
        self.act(machine);
    }
}
