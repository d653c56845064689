//! Orders that time does not decide: what is enabled (the next operation of a client, the next fault, a message that waits
//! to be delivered) is chosen one after another, with so much time in between that what follows from one is over before
//! the next. Deadlines and resends go by time as ever.

use std::collections::BTreeMap;
use std::time::Duration;

use super::network::Machine;
use super::queue::{At, ClientIndex, Event};
use super::world::World;
use crate::base::trace::{LostPart, MessageId};
use crate::base::{NodeId, Seed};
use crate::core::Message;
use crate::sim::strategy::Strategy;

/// Decides what is next among what is enabled.
#[derive(Debug)]
pub(super) struct Chooser {
    policy: Policy,
    seed: Seed,
    spacing: At,
    enabled: Vec<Enabled>,
    steps: u64,
    /// When the last choice was made, and whether the next is due already.
    last: At,
    is_due: bool,
    /// How long each message that was chosen had waited, by the leader's life; copies apart.
    pub(super) waited: BTreeMap<(u64, MessageId, bool), Duration>,
}

#[derive(Debug)]
enum Policy {
    Random,
    /// Priorities, the greatest first, but for those that were lowered; and the steps at which one is, in their order.
    Priorities {
        lowered: BTreeMap<Thread, u64>,
        changes: Vec<u64>,
    },
}

/// Whose steps come one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Thread {
    Client(ClientIndex),
    Faults,
    /// Each message is one of its own, for no other has to wait for it.
    Message(u64),
}

#[derive(Debug)]
struct Enabled {
    thread: Thread,
    message: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    message: Message,
    loss: Option<LostPart>,
    is_copy: bool,
    machine: Machine,
    life: u64,
    since: At,
}

impl Chooser {
    /// `steps` is about how many choices there will be.
    pub(super) fn new(strategy: Strategy, seed: Seed, spacing: At, steps: u64) -> Option<Self> {
        let seed = seed.fork("order");
        let policy = match strategy {
            Strategy::Timed => return None,
            Strategy::Random => Policy::Random,
            Strategy::Pct { depth } => {
                let change = |place: u64| seed.fork("changes").draw(&[place]).between(1, steps.max(1));
                let mut changes: Vec<u64> = (1..u64::from(depth)).map(change).collect();
                changes.sort_unstable();
                Policy::Priorities { lowered: BTreeMap::new(), changes }
            }
        };
        let (waited, enabled) = Default::default();
        Some(Self { policy, seed, spacing, enabled, steps: 0, last: 0, is_due: false, waited })
    }

    /// The place of what is next.
    fn pick(&mut self) -> usize {
        self.steps += 1;
        let last = self.enabled.len() - 1;
        match &mut self.policy {
            Policy::Random => self.seed.draw(&[self.steps]).between(0, last as u64) as usize,
            Policy::Priorities { lowered, changes } => {
                let drawn = self.seed.fork("priorities");
                // All that were ever lowered are below all that never were; of those, the last is the lowest.
                let priority = |thread: Thread, lowered: &BTreeMap<Thread, u64>| match lowered.get(&thread) {
                    Some(low) => (0, *low),
                    None => (1, drawn.draw(&thread.key()).between(0, u64::MAX)),
                };
                let first = |lowered: &BTreeMap<Thread, u64>, enabled: &[Enabled]| {
                    let places = (0..enabled.len()).max_by_key(|place| priority(enabled[*place].thread, lowered));
                    places.unwrap_or(last)
                };
                while changes.first().is_some_and(|step| *step <= self.steps) {
                    let thread = self.enabled[first(lowered, &self.enabled)].thread;
                    lowered.insert(thread, u64::MAX - changes.remove(0));
                }
                first(lowered, &self.enabled)
            }
        }
    }
}

impl Thread {
    /// What its priority is drawn by.
    fn key(self) -> [u64; 2] {
        match self {
            Self::Client(client) => [0, client.into()],
            Self::Faults => [1, 0],
            Self::Message(ordinal) => [2, ordinal],
        }
    }
}

impl World {
    pub(super) fn chooses(&self) -> bool {
        self.chooser.is_some()
    }

    pub(super) fn offer_operation(&mut self, client: ClientIndex) {
        self.offer(Thread::Client(client), None);
    }

    pub(super) fn offer_fault(&mut self) {
        self.offer(Thread::Faults, None);
    }

    pub(super) fn offer_message(&mut self, machine: Machine, message: Message, loss: Option<LostPart>, is_copy: bool) {
        self.messages_offered += 1;
        let waiting = Waiting { message, loss, is_copy, machine, life: self.leaders[machine].life, since: self.now };
        self.offer(Thread::Message(self.messages_offered), Some(waiting));
    }

    fn offer(&mut self, thread: Thread, message: Option<Waiting>) {
        let Some(chooser) = &mut self.chooser else { return };
        chooser.enabled.push(Enabled { thread, message });
        if !chooser.is_due {
            chooser.is_due = true;
            self.queue.push(self.now.max(chooser.last + chooser.spacing), Event::Choose);
        }
    }

    /// One of what is enabled happens.
    pub(super) fn choose(&mut self) {
        let Some(chooser) = &mut self.chooser else { return };
        chooser.is_due = false;
        chooser.last = self.now;
        if chooser.enabled.is_empty() {
            return;
        }
        let place = chooser.pick();
        let Enabled { thread, message } = chooser.enabled.remove(place);
        if !chooser.enabled.is_empty() {
            chooser.is_due = true;
            self.queue.push(self.now + chooser.spacing, Event::Choose);
        }
        if let Some(Waiting { message, loss, is_copy, machine, life, since }) = message {
            let waited = Duration::from_micros(self.now - since);
            chooser.waited.insert((life, message.id(), is_copy), waited);
            let now = self.leaders[machine].shown_at(self.now);
            self.leaders[machine].lanes[message.to.index()].push(now, message, loss);
            return self.leaders[machine].arrange_wake_up();
        }
        match thread {
            Thread::Client(client) => self.begin_operation(client),
            Thread::Faults | Thread::Message(_) => self.strike(),
        }
    }

    /// What waited for its turn in a node that was killed is gone.
    pub(super) fn forget_offers_of(&mut self, node: NodeId) {
        let Some(machine) = self.machine_of(node) else { return };
        if let Some(chooser) = &mut self.chooser {
            chooser.enabled.retain(|enabled| enabled.message.as_ref().is_none_or(|waiting| waiting.machine != machine));
        }
    }

    /// From here on time decides. What has not had its turn has it now, one after another: how long each had to wait.
    pub(super) fn stop_choosing(&mut self) -> BTreeMap<(u64, MessageId, bool), Duration> {
        let Some(Chooser { enabled, mut waited, spacing, .. }) = self.chooser.take() else { return BTreeMap::new() };
        for (place, Waiting { message, is_copy, life, since, .. }) in
            (1..).zip(enabled.into_iter().filter_map(|enabled| enabled.message))
        {
            waited.insert((life, message.id(), is_copy), Duration::from_micros(self.now + place * spacing - since));
        }
        waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of two clients, who always have something to do, is next in each of ten steps.
    fn picks(depth: u32, seed: u64) -> Vec<usize> {
        let mut chooser = Chooser::new(Strategy::Pct { depth }, Seed::new(seed), 1, 10).expect("it chooses");
        chooser.enabled =
            [0, 1].map(|client| Enabled { thread: Thread::Client(client), message: None }).into_iter().collect();
        (0..10).map(|_| chooser.pick()).collect()
    }

    /// One goes on until its priority falls: once for each event after the first whose order matters.
    #[test]
    fn priorities_fall_as_often_as_the_depth_says() {
        for depth in 1..=3 {
            let changes = |seed| picks(depth, seed).windows(2).filter(|pair| pair[0] != pair[1]).count();
            let most = (0..40).map(changes).max();
            assert_eq!(most, Some(depth as usize - 1), "depth {depth}");
        }
        let first: Vec<usize> = (0..40).map(|seed| picks(1, seed)[0]).collect();
        assert!(first.contains(&0) && first.contains(&1), "priorities are drawn by the seed");
    }
}
