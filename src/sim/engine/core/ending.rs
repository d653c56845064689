//! The phases of a run: the story; then, if there were faults, healing and probing; then the replicas become equal.

use std::time::Duration;

use super::clients::ClientHost;
use super::queue::{At, ClientIndex};
use super::world::World;
use crate::base::NodeId;
use crate::base::wire::{Dump, DumpEntry};
use crate::core::Store;
use crate::sim::engine::story;
use crate::sim::scenario::Scenario;

/// How a run ends.
pub(super) struct End {
    /// What each node stores, the leader first.
    pub(super) states: Vec<(NodeId, Dump)>,
    /// Up to the end of the last operation.
    pub(super) virtual_time: Duration,
}

/// How often it is looked whether the replicas are equal, in microseconds.
const POLL: At = 50_000;

impl World {
    /// Plays what clients do and what happens to the cluster.
    pub(super) fn tell_story(&mut self) -> Result<(), String> {
        for client in 0..self.clients.len() {
            self.next_operation(client as ClientIndex);
        }
        self.next_fault();
        // A run does not wait for events: faults whose event has not come never strike.
        let goes_on =
            |world: &Self| world.busy_clients > 0 || world.struck < world.plan.timed.len() || world.about_to_strike > 0;
        self.run(Self::END_OF_TIME, goes_on);
        match self.busy_clients {
            0 => Ok(()),
            clients => Err(format!("{clients} clients wait for what cannot happen any more")),
        }
    }

    pub(super) fn play_out(&mut self, scenario: &Scenario) -> Result<End, String> {
        self.tell_story()?;
        let virtual_time = Duration::from_micros(self.now);
        if scenario.is_faulty() {
            self.heal();
            self.pass(micros(story::healing_time(scenario)));
            self.record_fault(story::probing());
            let number = u16::try_from(self.clients.len()).unwrap_or(u16::MAX);
            self.clients.push(ClientHost::prober(NodeId::Client(number)));
            self.busy_clients = 1;
            self.next_operation(ClientIndex::from(number));
            self.run(Self::END_OF_TIME, |world| world.busy_clients > 0);
        }
        let deadline = self.now + micros(story::settle_deadline(scenario));
        while !self.is_converged() && self.now < deadline {
            self.pass(POLL);
        }
        let store = |node| match node {
            NodeId::Follower(follower) => self.followers[follower.index()].state.store(),
            _ => self.leaders[self.present()].state.store(),
        };
        Ok(End { states: self.nodes().map(|node| (node, dump(store(node)))).collect(), virtual_time })
    }

    /// Lets so much time pass.
    fn pass(&mut self, time: At) {
        let until = self.now + time;
        self.run(until, |_| true);
        self.now = until;
    }

    fn is_converged(&self) -> bool {
        let expected = self.leaders[self.present()].state.store();
        let members = self.leaders[self.present()].members();
        members.iter().all(|id| self.followers[id.index()].state.store().shows_the_same_as(expected))
    }
}

fn micros(duration: Duration) -> At {
    At::try_from(duration.as_micros()).unwrap_or(At::MAX)
}

fn dump(store: &Store) -> Dump {
    let entry =
        |entry: &crate::core::Entry| Some(DumpEntry { value: entry.value.clone()?, version: entry.stamp.version });
    store.iter().filter_map(|(key, stored)| Some((key.clone(), entry(stored)?))).collect()
}
