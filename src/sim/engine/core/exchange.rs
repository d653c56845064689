use std::mem;

use super::network::Ends;
use super::queue::At;
use crate::base::FollowerId;
use crate::base::trace::RequestId;
use crate::core::{Answer, Call, Parcel, Reply};

/// A replication request, by where it is kept. One that is over is found by nobody, whoever has its place by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExchangeId {
    place: u32,
    generation: u32,
}

/// A replication request and the answer to it.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Who waits for the answer, and who gives it.
    pub(super) ends: Ends,
    /// Who was meant to give it.
    pub(super) to: FollowerId,
    pub(super) request: RequestId,
    pub(super) batch: Vec<Parcel>,
    /// The question, if it is an RPC and carries no messages.
    pub(super) question: Option<Question>,
    /// When it was sent, by the leader's clock.
    pub(super) sent_at: At,
    /// What the follower did with each message of the batch, once it has.
    pub(super) replies: Vec<Reply>,
    /// With which of the follower's lives its connection was made, once there is one.
    pub(super) life: Option<u64>,
    /// How often its link had been cut, in its direction, when what is on its way was sent.
    pub(super) cuts: u32,
    /// Whether its leader waits for the answer.
    pub(super) open: bool,
    /// Whether nothing of it is on its way any more.
    pub(super) still: bool,
}

/// A peer RPC, as the emulated network treats it.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) call: Call,
    /// The response, once there is one.
    pub(super) answer: Option<Answer>,
    /// Whether its leader does not wait for it: it is a copy, or it left after it had been given up.
    pub(super) is_stray: bool,
    /// Whether the response to it is lost.
    pub(super) loses_reply: bool,
}

impl Exchange {
    /// Whether the request is to be sent once it has a connection: its leader waits for it, or it is stray.
    pub(super) fn is_wanted(&self) -> bool {
        self.open || self.question.as_ref().is_some_and(|question| question.is_stray)
    }

    /// The connection that it goes over, once there is one.
    pub(super) fn connection(&self) -> Option<Connection> {
        self.life.map(|life| Connection { host: self.ends.follower, life })
    }
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connection {
    /// On which follower's machine it is.
    pub(super) host: FollowerId,
    /// Which of its lives made it.
    pub(super) life: u64,
}

/// The exchanges that are not over. Their places are used again, with the memory that goes with them.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    places: Vec<Place>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place {
    generation: u32,
    exchange: Exchange,
}

impl Exchanges {
    /// Begins one on a connection to this of the follower's lives, if there is a connection yet. Its batch and replies are
    /// empty.
    pub(super) fn begin(
        &mut self,
        ends: Ends,
        to: FollowerId,
        request: RequestId,
        sent_at: At,
        life: Option<u64>,
    ) -> ExchangeId {
        let place = self.free.pop().unwrap_or_else(|| {
            let exchange = Exchange {
                ends,
                to,
                request,
                batch: Vec::new(),
                question: None,
                sent_at,
                replies: Vec::new(),
                life: None,
                cuts: 0,
                open: false,
                still: true,
            };
            self.places.push(Place { generation: 0, exchange });
            self.places.len() as u32 - 1
        });
        let Place { generation, exchange } = &mut self.places[place as usize];
        exchange.ends = ends;
        exchange.to = to;
        exchange.request = request;
        exchange.sent_at = sent_at;
        exchange.life = life;
        exchange.open = true;
        exchange.still = false;
        ExchangeId { place, generation: *generation }
    }

    /// The exchange, unless it is over.
    pub(super) fn get(&mut self, id: ExchangeId) -> Option<&mut Exchange> {
        let place = &mut self.places[id.place as usize];
        (place.generation == id.generation).then_some(&mut place.exchange)
    }

    /// Those that a leader waits for.
    pub(super) fn open(&self) -> impl Iterator<Item = (ExchangeId, &Exchange)> {
        self.places
            .iter()
            .zip(0..)
            .filter(|(place, _)| place.exchange.open)
            .map(|(place, number)| (ExchangeId { place: number, generation: place.generation }, &place.exchange))
    }

    /// Nothing of it is on its way any more.
    pub(super) fn settle(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.get(id) {
            exchange.still = true;
            self.end_if_over(id);
        }
    }

    /// The answer is there, so nothing of it is on its way any more. True if the leader waited for it: then what it carried
    /// and what became of that are in `batch` and `replies`, which must be empty.
    pub(super) fn finish(&mut self, id: ExchangeId, batch: &mut Vec<Parcel>, replies: &mut Vec<Reply>) -> bool {
        let Some(exchange) = self.get(id) else { return false };
        exchange.still = true;
        let was_open = mem::replace(&mut exchange.open, false);
        if was_open {
            mem::swap(batch, &mut exchange.batch);
            mem::swap(replies, &mut exchange.replies);
        }
        self.end_if_over(id);
        was_open
    }

    /// The leader waits for it no longer. What it carried is returned, as long as anything may still be on its way as a
    /// copy.
    pub(super) fn close(&mut self, id: ExchangeId, batch: &mut Vec<Parcel>) {
        let Some(exchange) = self.get(id) else { return };
        exchange.open = false;
        batch.clear();
        if exchange.still {
            mem::swap(batch, &mut exchange.batch);
        } else {
            batch.extend(exchange.batch.iter().cloned());
        }
        self.end_if_over(id);
    }

    fn end_if_over(&mut self, id: ExchangeId) {
        let place = &mut self.places[id.place as usize];
        if place.exchange.still && !place.exchange.open {
            place.generation += 1;
            place.exchange.batch.clear();
            place.exchange.replies.clear();
            place.exchange.question = None;
            self.free.push(id.place);
        }
    }
}
