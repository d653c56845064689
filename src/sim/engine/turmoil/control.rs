use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::NodeId;

/// What can be done to a simulation only from outside of it, between two ticks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    /// Kills a node; its memory is lost, and its peers see their connections end.
    Crash(NodeId),
    /// Starts a node that was killed.
    Restart(NodeId),
    /// Ends every fault of messages.
    HealMessages,
    /// From its next start on the leader has this quorum.
    SetQuorum(usize),
    /// Makes a link take this long, one way.
    SetLatency(NodeId, NodeId, Duration),
}

/// Where a story leaves what it wants done at the end of the tick.
#[derive(Debug, Clone, Default)]
pub(super) struct Control {
    wanted: Arc<Mutex<Wanted>>,
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
        let changes = match action {
            Action::Crash(node) => wanted.down.insert(node),
            Action::Restart(node) => wanted.down.remove(&node),
            Action::HealMessages | Action::SetQuorum(_) | Action::SetLatency(..) => true,
        };
        wanted.actions.push_back(action);
        changes
    }

    pub(super) fn next(&self) -> Option<Action> {
        self.lock().actions.pop_front()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Wanted> {
        // Nothing panics between the parts of a change, so every change is complete.
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
