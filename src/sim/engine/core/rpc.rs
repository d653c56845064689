//! Peer RPCs: the questions of a leader's state machine, and what the emulated network makes of them.

use std::mem;

use super::exchange::{Connection, ExchangeId, Question};
use super::network::{Ends, Machine, Way};
use super::queue::{At, Event};
use super::world::World;
use crate::base::trace::{Event as Happened, LostPart, RequestId};
use crate::core::{Asked, Call};
use crate::net::{Fate, RpcFate, RpcSender};

impl World {
    /// Sends a question, as far as the emulated network lets it through.
    pub(super) fn pose(&mut self, machine: Machine, call: Call) {
        let (to, rpc) = (call.to, call.ask.question.rpc());
        let leader = &self.leaders[machine];
        let sender = RpcSender { node: Self::name_of(machine), incarnation: leader.life };
        let RpcFate { number, fate } = leader.netem.rpc_fate(leader.shown_at(self.now), sender, to, rpc);
        let Fate { delay, loss, copy } = fate;
        let (delay, patience) = (delay.as_micros() as At, leader.patience);
        if !fate.is_undisturbed() {
            let (delay, copy) = (fate.delay.into(), copy.map(Into::into));
            self.record_of_leader(machine, Happened::Rpc { to, rpc, number, delay, lost: loss, copy });
        }
        if let Some(copy) = copy {
            let copied = self.begin_rpc(machine, call.clone(), None, true);
            self.queue.push(self.now + copy.as_micros() as At, Event::Leave(copied));
        }
        let is_late = delay >= patience;
        if is_late && loss != Some(LostPart::Request) {
            // The leader has given it up by the time it leaves.
            let late = self.begin_rpc(machine, call.clone(), None, true);
            self.queue.push(self.now + delay, Event::Leave(late));
        }
        let leaves_at_once = delay == 0 && loss != Some(LostPart::Request);
        let connection = if leaves_at_once { self.leaders[machine].lanes[to.index()].borrow() } else { None };
        let id = self.begin_rpc(machine, call, connection, false);
        if let Some(question) = self.exchanges.get(id).and_then(|exchange| exchange.question.as_mut()) {
            question.loses_reply = loss == Some(LostPart::Reply);
        }
        let leader = &mut self.leaders[machine];
        leader.deadlines.push_back((leader.clock.show(self.now) + patience, id));
        match () {
            // The request is never in transit.
            () if is_late || loss == Some(LostPart::Request) => self.exchanges.settle(id),
            () if delay > 0 => self.queue.push(self.now + delay, Event::Leave(id)),
            () => {
                let event = if connection.is_some() { Event::Request(id) } else { Event::Connect(id) };
                self.transmit(id, Way::ToFollower, event);
            }
        }
    }

    /// Begins the exchange of an RPC. No leader waits for a stray one.
    fn begin_rpc(
        &mut self,
        machine: Machine,
        call: Call,
        connection: Option<Connection>,
        is_stray: bool,
    ) -> ExchangeId {
        let leader = &self.leaders[machine];
        let (now, request) = (leader.clock.show(self.now), RequestId { incarnation: leader.life, number: 0 });
        let id = self.begin_exchange(machine, call.to, request, now, connection);
        let exchange = self.exchanges.get(id).expect("it has just begun");
        exchange.question = Some(Question { call, answer: None, is_stray, loses_reply: false });
        exchange.open = !is_stray;
        id
    }

    /// The emulated network lets go of an RPC that it kept. It needs its leader to be in the same incarnation.
    pub(super) fn leave(&mut self, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let (machine, to, incarnation) = (exchange.ends.machine(), exchange.to, exchange.request.incarnation);
        let leader = &mut self.leaders[machine];
        if !leader.up || leader.life != incarnation {
            return self.exchanges.settle(id);
        }
        // A stray one has a connection of its own: what becomes of that, nobody is told.
        let is_stray = exchange.question.as_ref().is_some_and(|question| question.is_stray);
        let connection = if is_stray { None } else { leader.lanes[to.index()].borrow() };
        exchange.ends = Ends::new(machine, connection.map_or(self.names[to.index()], |connection| connection.host));
        exchange.life = connection.map(|connection| connection.life);
        let event = if connection.is_some() { Event::Request(id) } else { Event::Connect(id) };
        self.transmit(id, Way::ToFollower, event);
    }

    /// The response to an RPC reaches the leader. If it is lost, the leader learns nothing and gives up at its deadline.
    pub(super) fn response(&mut self, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Some(question) = &mut exchange.question else { return };
        let (machine, to, incarnation) = (exchange.ends.machine(), exchange.to, exchange.request.incarnation);
        let (loses_reply, was_open) = (question.loses_reply, exchange.open);
        let (call, answer) = (question.call.clone(), mem::take(&mut question.answer));
        let connection = exchange.connection();
        if loses_reply {
            // That the connection ends later says nothing about it.
            exchange.life = None;
        }
        self.exchanges.settle(id);
        let kept = self.kept(to, connection);
        let leader = &mut self.leaders[machine];
        if leader.up && leader.life == incarnation && was_open {
            leader.lanes[to.index()].give_back(kept);
            if kept != connection {
                self.disconnected(machine, to);
            }
        }
        if was_open && !loses_reply {
            self.exchanges.close(id, &mut Vec::new());
            self.hear(machine, &call, answer.map_or(Asked::Lost, Asked::Answered));
        }
        self.leaders[machine].arrange_wake_up();
    }

    /// Tells the leader what became of a question.
    pub(super) fn hear(&mut self, machine: Machine, call: &Call, asked: Asked) {
        let now = self.leaders[machine].shown_at(self.now);
        self.leaders[machine].state.handle_answer(now, call.to, call.number, asked);
        self.act(machine);
        if self.leaders[machine].state.serves() {
            let parked = mem::take(&mut self.leaders[machine].parked);
            self.happens_now(parked.into_iter().map(|(_, call)| Event::Call(call)));
        }
    }
}
