use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use serde::Serialize;
use tokio::task::LocalSet;

use super::stage::Stage;
use super::world::{SimError, World};
use crate::base::trace::{Event, Trace, WriteId};
use crate::base::wire::Dump;
use crate::base::{NodeId, Seed};
use crate::check::convergence::{self, Difference};
use crate::check::latency_law::LatencyLaw;
use crate::client::NotConverged;

/// How long the replicas may take to become equal after the last write, in virtual time and beyond a few times the
/// longest delay.
const SETTLE_DEADLINE: Duration = Duration::from_secs(300);

/// The built-in scenario: clients race on a few keys while every replication message takes its own time, so that later
/// writes overtake earlier ones on their way to a follower.
#[derive(Debug, Clone, Serialize)]
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

/// What came of a race.
#[derive(Debug, Clone)]
pub struct RaceRun {
    /// What was run.
    pub race: Race,
    /// Everything that happened.
    pub trace: Trace,
    /// What each node stores in the end.
    pub states: Vec<(NodeId, Dump)>,
    /// How long it took, in virtual time.
    pub virtual_time: Duration,
}

impl Race {
    /// Runs the race. `returned` counts the writes that have ended, for whoever watches from another thread.
    ///
    /// # Errors
    /// [`SimError`].
    pub fn run(&self, returned: Arc<AtomicUsize>) -> Result<RaceRun, SimError> {
        let world = World::new(self.seed)
            .followers(self.followers)
            .write_quorum(self.write_quorum)
            .delay_ms(self.delay_ms.0, self.delay_ms.1)
            .count_into(returned);
        let race = self.clone();
        let run = world.run(async move |stage| race.play(stage).await)?;
        let (states, virtual_time) = run.result.map_err(|error| SimError::Failed(error.to_string()))?;
        Ok(RaceRun { race: self.clone(), trace: run.trace, states, virtual_time })
    }

    async fn play(&self, stage: Stage) -> Result<(Vec<(NodeId, Dump)>, Duration), NotConverged> {
        let clients = LocalSet::new();
        for number in 0..self.clients {
            let client = stage.client(number);
            let writes = self.share_of(number);
            clients.spawn_local(async move {
                for (key, json) in writes {
                    // How it ended is in the trace.
                    let _ = client.set(&key, &json).await;
                }
            });
        }
        clients.await;
        let virtual_time = stage.now();
        // Not converging is a result, not a reason to throw the run away: the states below will show it.
        let deadline = SETTLE_DEADLINE + 4 * Duration::from_millis(self.delay_ms.1);
        match stage.cluster().settle(deadline).await {
            Ok(_) | Err(NotConverged::Different { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut states = Vec::new();
        for node in stage.cluster().nodes() {
            let dump = stage.cluster().dump(node).await;
            states.push((node, dump.map_err(|error| NotConverged::Unreadable { node, error })?));
        }
        Ok((states, virtual_time))
    }

    /// The writes of one client: every value is unique, and which key it goes to is drawn for this write alone.
    fn share_of(&self, client: u16) -> Vec<(String, String)> {
        let seed = Seed::new(self.seed).fork("workload");
        let clients = usize::from(self.clients);
        let share = self.writes / clients + usize::from(usize::from(client) < self.writes % clients);
        let write = |number: usize| {
            let key = seed.draw(&[client.into(), number as u64]).between(1, self.keys);
            (format!("k{key}"), format!("\"{}#{number}\"", NodeId::Client(client)))
        };
        (1..=share).map(write).collect()
    }
}

impl RaceRun {
    /// The latencies of the acknowledged writes as the leader saw them, from acceptance to completion, in seconds.
    pub fn latencies(&self) -> Vec<f64> {
        let mut accepted: BTreeMap<WriteId, u64> = BTreeMap::new();
        let mut latencies = Vec::new();
        for record in self.trace.records() {
            match record.event {
                Event::Accept { write, .. } => drop(accepted.insert(write, record.at.0)),
                Event::Complete { write, ok: true, .. } => {
                    latencies.push((record.at.0 - accepted[&write]) as f64 / 1e6);
                }
                _ => {}
            }
        }
        latencies
    }

    /// What the latencies should look like.
    pub fn law(&self) -> Option<LatencyLaw> {
        let Race { write_quorum, followers, delay_ms: (min, max), .. } = self.race;
        LatencyLaw::new(write_quorum, followers, Duration::from_millis(min), Duration::from_millis(max))
    }

    /// How many writes reached each follower after a newer one, in the order of the followers.
    pub fn stale_arrivals(&self) -> Vec<usize> {
        let mut stale = vec![0; self.race.followers];
        for record in self.trace.records() {
            if let (NodeId::Follower(id), Event::Reject { .. }) = (record.node, &record.event) {
                stale[id.index()] += 1;
            }
        }
        stale
    }

    /// How many writes were acknowledged, and how many were answered without their quorum.
    pub fn completions(&self) -> (usize, usize) {
        let completed = |want: bool| {
            let matches = |event: &Event| matches!(event, Event::Complete { ok, .. } if *ok == want);
            self.trace.records().iter().filter(|record| matches(&record.event)).count()
        };
        (completed(true), completed(false))
    }

    /// Where the replicas differ; nowhere, if the store is right.
    pub fn differences(&self) -> Vec<Difference> {
        convergence::differences(&self.states)
    }
}
