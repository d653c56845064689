use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::engine::{self, Engine, SimError};
use super::run::ScenarioRun;
use super::scenario::{ClusterSpec, Scenario, Workload};

/// The built-in scenario: clients race on a few keys while every replication message takes its own time, so that later
/// writes overtake earlier ones on their way to a follower.
#[derive(Debug, Clone)]
pub struct Race {
    /// From what everything random follows.
    pub seed: u64,
    /// The number of followers.
    pub followers: usize,
    /// How many of them must confirm a write.
    pub write_quorum: usize,
    /// The shortest and the longest delay of a replication message, in milliseconds.
    pub delay_ms: (u64, u64),
    /// How many writes there are in all.
    pub writes: usize,
    /// How many clients make them, each one after another.
    pub clients: u16,
    /// How many keys they race on.
    pub keys: u64,
}

impl Default for Race {
    fn default() -> Self {
        Self { seed: 42, followers: 5, write_quorum: 3, delay_ms: (0, 1000), writes: 200, clients: 10, keys: 4 }
    }
}

impl Race {
    /// The race as a scenario.
    pub fn scenario(&self) -> Scenario {
        let Self { seed, followers, write_quorum, delay_ms: (min, max), writes, clients, keys } = *self;
        Scenario {
            name: "clients race on few keys".into(),
            seed,
            cluster: ClusterSpec { followers, write_quorum, delay_ms: [min, max], ..ClusterSpec::default() },
            workload: Workload { clients, operations: writes, keys, ..Workload::default() },
            faults: Vec::new(),
            expect: None,
        }
    }

    /// Runs the race. `returned` counts the writes that have ended, for whoever watches from another thread.
    ///
    /// # Errors
    /// [`SimError`].
    pub fn run(&self, engine: Engine, returned: Arc<AtomicUsize>) -> Result<ScenarioRun, SimError> {
        engine::run(engine, &self.scenario(), returned)
    }
}
