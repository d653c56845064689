//! The core engine: the state machines of the protocol, one queue of events, and no sockets.
//!
//! What the nodes do besides is modelled: requests and their deadlines, connections and how they end, batches, clients.
//! The draws of the emulated network, the outboxes and the protocol itself are the code that nodes run.
//!
//! Time jumps from event to event. Things at the same time happen in the order in which they were put in the queue, so a
//! run is a function of its scenario and seed.

mod chooser;
mod client_links;
mod clients;
mod ending;
mod exchange;
mod faults;
mod follower;
mod leader;
mod network;
mod queue;
mod record;
mod replication;
mod rpc;
mod world;

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::{Played, SimError, panics};
use crate::base::Seed;
use crate::base::trace::{Event, Micros, Record, Trace};
use crate::sim::scenario::Scenario;
use crate::sim::strategy::Strategy;
use chooser::Chooser;
use queue::At;
use world::World;

/// Runs a scenario with its seed.
pub(super) fn play(scenario: &Scenario, returned: Arc<AtomicUsize>) -> Result<Played, SimError> {
    let mut world = World::new(scenario, returned);
    match guarded(|| world.play_out(scenario)) {
        Ok(end) => {
            let mut strikes = world.strikes;
            world.plan.add_struck_messages(&mut strikes);
            Ok(Played {
                trace: world.trace.into_trace(),
                states: end.states,
                virtual_time: end.virtual_time,
                strikes: strikes.into_list(scenario.faults.len()),
            })
        }
        Err(why) => Err(SimError::Failed { why, trace: Box::new(world.trace.into_trace()) }),
    }
}

/// What happened in a scenario in which not time decided what is next.
pub(super) struct Chosen {
    /// The story, with the delays that messages had.
    pub(super) trace: Trace,
    /// When each fault of nodes and links struck.
    pub(super) struck: Vec<Micros>,
}

/// Plays the story of a scenario with this strategy.
pub(super) fn choose(scenario: &Scenario, strategy: Strategy) -> Result<Chosen, SimError> {
    let mut world = World::new(scenario, Arc::default());
    let operations: usize = world.clients.iter().map(clients::ClientHost::left).sum();
    let steps = operations * (1 + world.followers.len()) + world.plan.timed.len();
    let spacing = SPACING.max(8 * world.latency);
    world.chooser = Chooser::new(strategy, Seed::new(scenario.seed), spacing, steps as u64);
    let told = guarded(|| world.tell_story());
    let waited = world.stop_choosing();
    let struck = world.struck_at.iter().copied().map(Micros).collect();
    let trace = world.trace.into_trace();
    if let Err(why) = told {
        return Err(SimError::Failed { why, trace: Box::new(trace) });
    }
    let with_delays = |mut record: Record| {
        if let Event::Send { message, delay, copy, .. } = &mut record.event {
            let waited = |is_copy| waited.get(&(record.incarnation, *message, is_copy)).copied();
            *delay = waited(false).map_or(*delay, Into::into);
            *copy = copy.map(|copy| waited(true).map_or(copy, Into::into));
        }
        record
    };
    Ok(Chosen { trace: trace.records().iter().cloned().map(with_delays).collect(), struck })
}

/// From one choice to the next, in microseconds, unless links are slow: so much that what follows from the one is over
/// before the other, in turmoil too.
const SPACING: At = 20_000;

/// Does it, with a panic as an error.
fn guarded<R>(what: impl FnOnce() -> Result<R, String>) -> Result<R, String> {
    panics::listen();
    let done = panic::catch_unwind(AssertUnwindSafe(what));
    done.unwrap_or_else(|_| Err(format!("it panicked: {}", panics::heard().unwrap_or_default())))
}
