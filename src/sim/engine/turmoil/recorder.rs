use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::base::trace::{Event, Micros, Observer, Record, Trace};
use crate::base::{FollowerId, NodeId};
use crate::sim::engine::story::FaultPlan;
use crate::sim::engine::triggers::Triggers;

/// Collects what happens anywhere in a simulation, in the order in which it happens. A simulation runs in one thread,
/// so that order is the order of the calls.
#[derive(Clone, Default)]
pub(super) struct Recorder {
    trace: Arc<Mutex<Trace>>,
    /// How many operations of clients have ended, for whoever watches from another thread.
    returned: Arc<AtomicUsize>,
    beginning: Beginning,
    watch: Watch,
}

/// Looks for the events that faults wait for. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Watch {
    watched: Arc<Mutex<Watched>>,
    /// Told when faults of nodes or links become due.
    changed: Arc<Notify>,
}

#[derive(Default)]
struct Watched {
    triggers: Triggers,
    plan: Option<FaultPlan>,
    /// When which faults of nodes and links strike whose event has come.
    due: Vec<(Duration, usize)>,
}

impl Watch {
    fn follow(&self, record: &Record) {
        let mut watched = self.lock();
        let Watched { triggers, plan: Some(plan), due } = &mut *watched else { return };
        for place in triggers.follow(record) {
            if let Some(at) = plan.trigger(place, record.at.into()) {
                due.push((at, place));
                self.changed.notify_one();
            }
        }
    }

    /// Looks for events no longer.
    pub(super) fn end(&self) {
        *self.lock() = Watched::default();
    }

    /// Returns the faults of nodes and links whose event has come since the last call, and when each strikes.
    pub(super) fn take_due(&self) -> Vec<(Duration, usize)> {
        mem::take(&mut self.lock().due)
    }

    /// Waits until there may be more of them.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the story begins: once the cluster is up. Its time counts from there; whatever was before was at its beginning.
#[derive(Clone)]
pub(super) struct Beginning(Arc<AtomicU64>);

impl Default for Beginning {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

impl Beginning {
    /// The story begins so long after the start of the simulation.
    pub(super) fn set(&self, elapsed: Duration) {
        self.0.store(Micros::from(elapsed).0, Ordering::Relaxed);
    }

    /// The story's time, so long after the start of the simulation.
    pub(super) fn time(&self, elapsed: Duration) -> Duration {
        elapsed.saturating_sub(Duration::from_micros(self.0.load(Ordering::Relaxed)))
    }

    /// When it is, in microseconds after the start of the simulation, for those who share it.
    pub(super) fn shared(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0)
    }
}

impl Recorder {
    pub(super) fn new(returned: Arc<AtomicUsize>) -> Self {
        Self { returned, ..Self::default() }
    }

    /// Looks for the events that faults of this plan wait for, from now on.
    pub(super) fn watch(&self, plan: &FaultPlan, triggers: Triggers) -> Watch {
        *self.watch.lock() = Watched { triggers, plan: Some(plan.clone()), due: Vec::new() };
        self.watch.clone()
    }

    /// When the story begins.
    pub(super) fn beginning(&self) -> &Beginning {
        &self.beginning
    }

    /// The observer of one life of a node.
    pub(super) fn observer(&self, node: NodeId, incarnation: u64) -> Arc<dyn Observer> {
        Arc::new(OfNode { node, incarnation, recorder: self.clone(), members: None })
    }

    /// The observer of one incarnation of a leader, which numbers these followers from 0.
    pub(super) fn observer_of_leader(
        &self,
        node: NodeId,
        incarnation: u64,
        members: Vec<FollowerId>,
    ) -> Arc<dyn Observer> {
        Arc::new(OfNode { node, incarnation, recorder: self.clone(), members: Some(members) })
    }

    /// Records something that happens inside the simulation to what has no observer of its own.
    pub(super) fn record(&self, node: NodeId, event: Event) {
        self.record_of(node, 0, event);
    }

    fn record_of(&self, node: NodeId, incarnation: u64, event: Event) {
        if matches!(event, Event::Return { .. }) {
            self.returned.fetch_add(1, Ordering::Relaxed);
        }
        let elapsed = turmoil::sim_elapsed().expect("events happen inside a simulation");
        self.record_at(elapsed, node, incarnation, event);
    }

    /// Records something from outside the simulation, between two ticks, so long after its start.
    pub(super) fn record_at(&self, elapsed: Duration, node: NodeId, incarnation: u64, event: Event) {
        let at = self.beginning.time(elapsed);
        let record = Record { at: at.into(), node, incarnation, event };
        self.watch.follow(&record);
        self.lock().push(record);
    }

    /// Everything recorded so far; the recorder is empty afterwards.
    pub(super) fn take(&self) -> Trace {
        mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Trace> {
        // A story may panic, as a failed assertion does, and its trace is worth the more for it.
        self.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct OfNode {
    node: NodeId,
    incarnation: u64,
    recorder: Recorder,
    /// Of a leader: its followers, in the order in which it numbers them.
    members: Option<Vec<FollowerId>>,
}

impl Observer for OfNode {
    fn record(&self, mut event: Event) {
        if let Some(members) = &self.members {
            event.renumber(|place| members.get(place.index()).copied().unwrap_or(place));
        }
        self.recorder.record_of(self.node, self.incarnation, event);
    }
}
