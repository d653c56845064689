use super::exchange::ExchangeId;
use super::queue::{CallId, Event};
use crate::base::FollowerId;
use crate::core::{Follower, Incarnation, Rules};

/// A follower's node: the state machine, and what of the node around it is not HTTP.
#[derive(Debug)]
pub(super) struct FollowerHost {
    id: FollowerId,
    rules: Rules,
    /// Which of its lives it is in, counted from 0.
    pub(super) life: u64,
    pub(super) up: bool,
    pub(super) paused: bool,
    pub(super) state: Follower,
    /// Who has asked for a connection while it was down: they are refused once it is up.
    pub(super) knocking: Vec<ExchangeId>,
    /// Calls that have come while it was down.
    pub(super) calls: Vec<CallId>,
    /// What has come while it was paused.
    inbox: Vec<Event>,
}

impl FollowerHost {
    pub(super) fn new(id: FollowerId, rules: Rules) -> Self {
        let (knocking, calls, inbox) = Default::default();
        Self {
            id,
            rules,
            life: 0,
            up: true,
            paused: false,
            state: Follower::new(Incarnation::nth(id, 0), rules),
            knocking,
            calls,
            inbox,
        }
    }

    /// What a node that is killed loses: everything in memory.
    pub(super) fn crash(&mut self) {
        self.up = false;
        self.paused = false;
        self.inbox.clear();
    }

    /// Begins the next life.
    pub(super) fn restart(&mut self) {
        self.life += 1;
        self.up = true;
        self.state = Follower::new(Incarnation::nth(self.id, self.life), self.rules);
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
}
