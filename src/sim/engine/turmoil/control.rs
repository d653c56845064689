use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::base::{FollowerId, NodeId};

/// What can be done to a simulation only from outside of it, between two ticks.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// Kills a node; its memory is lost, and its peers see their connections end.
    Crash(NodeId),
    /// Starts a node that was killed.
    Restart(NodeId),
    /// Ends every fault of messages.
    HealMessages,
    /// From its next start on the leader has this quorum.
    SetQuorum(usize),
    /// From its next start on the leader has these members.
    SetMembers(Vec<FollowerId>),
    /// Makes a link take this long, one way.
    SetLatency(NodeId, NodeId, Duration),
}

/// Where a story leaves what it wants done at the end of the tick.
#[derive(Debug, Clone, Default)]
pub(super) struct Control {
    wanted: Arc<Mutex<Wanted>>,
    refused: Arc<OnceLock<String>>,
}

#[derive(Debug, Default)]
struct Wanted {
    actions: VecDeque<Action>,
    /// The nodes that are down once all of that is done.
    down: BTreeSet<NodeId>,
}

impl Control {
    /// Has this done at the end of the tick. False if it will change nothing, because the node is down or up already.
    pub(super) fn want(&self, action: Action) -> bool {
        let mut wanted = self.lock();
        let changes = match &action {
            Action::Crash(node) => wanted.down.insert(*node),
            Action::Restart(node) => wanted.down.remove(node),
            Action::HealMessages | Action::SetQuorum(_) | Action::SetMembers(_) | Action::SetLatency(..) => true,
        };
        wanted.actions.push_back(action);
        changes
    }

    pub(super) fn next(&self) -> Option<Action> {
        self.lock().actions.pop_front()
    }

    /// Ends the simulation at the end of this tick, because a call had an argument that cannot be
    /// used. The first reason counts.
    pub(super) fn refuse(&self, why: String) {
        // Later requests may be wrong as a consequence of the first.
        let _ = self.refused.set(why);
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refused.get().is_some()
    }

    /// The reason of the refusal, if there was one.
    pub(super) fn refusal(&self) -> Option<String> {
        self.refused.get().cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Wanted> {
        // Nothing panics between the parts of a change, so every change is complete.
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
