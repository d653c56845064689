//! The emulated network: how long messages wait before they leave, and what faults make of them.

mod fault;

pub use fault::{Effect, MessageFault, MessageFaults, Messages, Moment};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::trace::{LostPart, MessageId, Rpc};
use crate::base::{FollowerId, NodeId, Seed};

/// The range from which the delay of each replication message is drawn, uniformly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetemConfig {
    /// The shortest delay.
    pub min_delay: Duration,
    /// The longest delay, not below `min_delay`.
    pub max_delay: Duration,
}

/// The fate of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// How long it waits before it leaves, in whole microseconds.
    pub delay: Duration,
    /// Whether it, or the answer to it, is lost.
    pub loss: Option<LostPart>,
    /// How long a second copy of it waits before it leaves.
    pub copy: Option<Duration>,
}

impl Fate {
    /// Whether nothing is done to the message.
    pub fn is_undisturbed(self) -> bool {
        self == Self { delay: Duration::ZERO, loss: None, copy: None }
    }
}

/// Decides what becomes of each replication message, after Linux's network emulator of that name.
///
/// A fate is a function of the seed, the sender and the message alone. The same seed therefore gives the same delays on
/// a real network and in every simulation, and one message or one fault more or less changes the fate of no other.
#[derive(Debug, Clone)]
pub struct Netem {
    /// The range of the delays, in microseconds.
    range: (u64, u64),
    faults: MessageFaults,
    delays: Seed,
    chances: Seed,
    /// How many RPCs of each kind were sent to each follower, where faults may name them by their numbers.
    rpcs: Arc<Mutex<BTreeMap<(FollowerId, Rpc), u64>>>,
}

/// Who sends a peer RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RpcSender {
    /// The node, which can lead.
    pub node: NodeId,
    /// Its incarnation.
    pub incarnation: u64,
}

/// The fate of a peer RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RpcFate {
    /// Its number among the RPCs of its kind to its follower in this incarnation of the sender, counted from 1. Of the first
    /// incarnation those count that are sent after the scenario has begun. 0 where no fault can strike.
    pub number: u64,
    /// How long the request waits before it leaves, and what is lost or sent twice.
    pub fate: Fate,
}

impl Netem {
    /// An emulator of this range and these faults.
    pub fn new(config: NetemConfig, faults: MessageFaults, seed: Seed) -> Self {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let range = (micros(config.min_delay), micros(config.max_delay));
        Self { range, faults, delays: seed.fork("netem"), chances: seed.fork("netem faults"), rpcs: Arc::default() }
    }

    /// Returns the fate of a message that is sent `now`, by the node's clock, and carries `operation`.
    pub fn fate(&self, now: Duration, from: NodeId, message: MessageId, operation: u64) -> Fate {
        let key = [from.code(), NodeId::from(message.to).code(), operation, message.attempt.into()];
        let mut fate = Fate { delay: self.delay(&key), loss: None, copy: None };
        if let Some(at) = self.faults.time(now) {
            let faults = self.faults.faults.iter().filter(|fault| fault.names_write(at, message, operation));
            faults.for_each(|fault| self.strike(fault, at, &key, &mut fate));
        }
        fate
    }

    /// Returns the fate of a peer RPC that is sent `now`, by the node's clock. Unless a fault acts on it, it leaves at once.
    pub fn rpc_fate(&self, now: Duration, sender: RpcSender, to: FollowerId, rpc: Rpc) -> RpcFate {
        let mut fate = Fate { delay: Duration::ZERO, loss: None, copy: None };
        let Some(at) = self.faults.time(now) else { return RpcFate { number: 0, fate } };
        let RpcSender { node, incarnation } = sender;
        let number = self.next_rpc(to, rpc);
        let key = [node.code(), NodeId::from(to).code(), incarnation, rpc as u64, number];
        let faults = self.faults.faults.iter().filter(|fault| fault.names_rpc(at, node, to, (rpc, number)));
        faults.for_each(|fault| self.strike(fault, at, &key, &mut fate));
        RpcFate { number, fate }
    }

    /// The number of the RPC of this kind that is sent to this follower now.
    fn next_rpc(&self, to: FollowerId, rpc: Rpc) -> u64 {
        let mut rpcs = self.rpcs.lock().unwrap_or_else(PoisonError::into_inner);
        let number = rpcs.entry((to, rpc)).or_default();
        *number += 1;
        *number
    }

    /// Lets a fault act on the message that `key` names, unless the draw spares it.
    fn strike(&self, fault: &MessageFault, at: Duration, key: &[u64], fate: &mut Fate) {
        let is_spared = || {
            let chance = self.chances.draw(&[&[fault.salt], key].concat());
            chance.between(1, 1000) > fault.per_mille.into()
        };
        // Where all are struck there is nothing to draw.
        if fault.per_mille < 1000 && is_spared() {
            return;
        }
        fault.struck.set(at);
        match fault.effect {
            Effect::Drop => fate.loss = Some(LostPart::Request),
            Effect::DropReply => fate.loss = fate.loss.or(Some(LostPart::Reply)),
            // One more word tells the copy's delay from the message's own.
            Effect::Duplicate(delay) => fate.copy = delay.or_else(|| Some(self.delay(&[key, &[1]].concat()))),
            Effect::Delay(delay) => fate.delay = delay,
        }
    }

    fn delay(&self, key: &[u64]) -> Duration {
        let (low, high) = self.range;
        Duration::from_micros(if low == high { low } else { self.delays.draw(key).between(low, high) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    const RANGE: NetemConfig = NetemConfig { min_delay: Duration::from_millis(5), max_delay: Duration::from_secs(1) };

    fn message(to: u8, attempt: u32) -> MessageId {
        MessageId { write: 1, to: FollowerId(to), attempt }
    }

    fn netem(seed: u64, faults: &[MessageFault]) -> Netem {
        let faults = MessageFaults {
            faults: faults.into(),
            since: Duration::from_secs(11),
            beginning: Arc::new(AtomicU64::new(1_000_000)),
            healed: Arc::default(),
        };
        Netem::new(RANGE, faults, Seed::new(seed))
    }

    fn fate(seed: u64, operation: u64, to: u8, attempt: u32, faults: &[MessageFault]) -> Fate {
        netem(seed, faults).fate(Duration::from_secs(1), NodeId::FIRST_SERVER, message(to, attempt), operation)
    }

    fn delay(seed: u64, operation: u64, to: u8, attempt: u32) -> Duration {
        fate(seed, operation, to, attempt, &[]).delay
    }

    fn fault(effect: Effect, per_mille: u16) -> MessageFault {
        let (from, until) = (Duration::from_secs(11), Duration::from_secs(12));
        let salt = per_mille.into();
        MessageFault { from, until, per_mille, salt, ..MessageFault::new(Messages::ALL_WRITES, effect) }
    }

    #[test]
    fn each_message_has_a_delay_of_its_own_that_never_changes() {
        assert_eq!(delay(1, 2, 3, 1), delay(1, 2, 3, 1));
        let base = delay(1, 2, 3, 1);
        for other in [delay(2, 2, 3, 1), delay(1, 3, 3, 1), delay(1, 2, 4, 1), delay(1, 2, 3, 2)] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn delays_fill_the_range_evenly() {
        let delays: Vec<Duration> = (0..10_000).map(|operation| delay(7, operation, 0, 1)).collect();
        assert!(delays.iter().all(|delay| (RANGE.min_delay..=RANGE.max_delay).contains(delay)));
        let mean = delays.iter().sum::<Duration>() / 10_000;
        // The standard error of the mean is 2.87 ms; four of them.
        assert!(mean.abs_diff(Duration::from_micros(502_500)) < Duration::from_micros(11_500), "{mean:?}");
    }

    #[test]
    fn faults_act_on_what_they_name_and_leave_the_rest_as_it_was() {
        let certain = |effect| fault(effect, 1000);
        let base = fate(1, 2, 3, 1, &[]);
        assert_eq!(fate(1, 2, 3, 1, &[certain(Effect::Drop)]), Fate { loss: Some(LostPart::Request), ..base });
        assert_eq!(fate(1, 2, 3, 1, &[certain(Effect::DropReply)]), Fate { loss: Some(LostPart::Reply), ..base });
        let copied = fate(1, 2, 3, 1, &[certain(Effect::Duplicate(None))]);
        assert!(copied.copy.is_some_and(|copy| copy != base.delay) && Fate { copy: None, ..copied } == base);
        let slow = Duration::from_secs(3);
        assert_eq!(fate(1, 2, 3, 1, &[certain(Effect::Duplicate(Some(slow)))]), Fate { copy: Some(slow), ..base });
        assert_eq!(fate(1, 2, 3, 1, &[certain(Effect::Delay(slow))]), Fate { delay: slow, ..base });
        let drop = certain(Effect::Drop);
        for missed in [
            MessageFault { messages: Messages::Writes { operation: Some(9), attempt: None }, ..drop.clone() },
            MessageFault { messages: Messages::Writes { operation: None, attempt: Some(2) }, ..drop.clone() },
            MessageFault { messages: Messages::Rpcs { rpc: Rpc::Promise, sender: None, number: None }, ..drop.clone() },
            MessageFault { onset: Some(Moment::default()), from: Duration::ZERO, ..drop.clone() },
            MessageFault { to: Some(FollowerId(1)), ..drop.clone() },
            MessageFault { from: Duration::from_millis(11_001), ..drop.clone() },
            MessageFault { until: Duration::from_secs(11), ..drop.clone() },
            MessageFault { per_mille: 0, ..drop },
        ] {
            assert_eq!(fate(1, 2, 3, 1, &[missed]), base);
        }
    }

    #[test]
    fn a_rate_strikes_that_share_and_one_fault_changes_no_other() {
        let drops = fault(Effect::Drop, 100);
        let struck = |faults: &[MessageFault]| -> Vec<bool> {
            (0..10_000).map(|operation| fate(1, operation, 0, 1, faults).loss == Some(LostPart::Request)).collect()
        };
        let alone = struck(std::slice::from_ref(&drops));
        let count = alone.iter().filter(|struck| **struck).count();
        assert!((880..1120).contains(&count), "{count} of 10,000 at 100 per mille");
        assert_eq!(alone, struck(&[fault(Effect::Duplicate(None), 300), drops]));
    }
    const N1: RpcSender = RpcSender { node: NodeId::FIRST_SERVER, incarnation: 3 };

    #[test]
    fn faults_act_on_the_rpcs_that_they_name() {
        let (f1, f2) = (FollowerId(0), FollowerId(1));
        let snapshots = |sender, number| Messages::Rpcs { rpc: Rpc::Snapshot, sender, number };
        let late = Duration::from_secs(3);
        let second = || MessageFault::new(snapshots(Some(N1.node), Some(2)), Effect::Delay(late));
        // The delays of the first three snapshots to f2.
        let delays = |fault: &MessageFault, sender, rpc| {
            let netem = netem(1, std::slice::from_ref(fault));
            netem.rpc_fate(Duration::from_secs(1), sender, f1, rpc);
            let fate = |_| netem.rpc_fate(Duration::from_secs(1), sender, f2, rpc);
            [1, 2, 3].map(fate).map(|RpcFate { number, fate }| (number, fate.delay))
        };
        let (none, n2) = (Duration::ZERO, RpcSender { node: NodeId::Server(1), ..N1 });
        let fault = second();
        assert_eq!(delays(&fault, N1, Rpc::Snapshot), [(1, none), (2, late), (3, none)]);
        assert_eq!(fault.struck.get(), Some(Duration::from_secs(11)));
        let spared = [(1, none), (2, none), (3, none)];
        assert_eq!(delays(&second(), n2, Rpc::Snapshot), spared);
        assert_eq!(delays(&second(), N1, Rpc::State), spared);
        assert_eq!(delays(&MessageFault { to: Some(f1), ..second() }, N1, Rpc::Snapshot), spared);
        assert_eq!(delays(&MessageFault::new(Messages::ALL_WRITES, Effect::Drop), N1, Rpc::Snapshot), spared);
        let never = MessageFault { onset: Some(Moment::default()), ..second() };
        assert_eq!(delays(&never, N1, Rpc::Snapshot), spared);
        assert_eq!(never.struck.get(), None);
        // Once its moment has come, its window counts from there.
        never.onset.as_ref().unwrap().set(Duration::from_secs(10));
        let from = |from| MessageFault { from: Duration::from_millis(from), ..never.clone() };
        assert_eq!(delays(&from(1000), N1, Rpc::Snapshot)[1], (2, late));
        assert_eq!(delays(&from(1001), N1, Rpc::Snapshot), spared);
    }

    /// Before the scenario has begun nothing is counted, and nothing strikes.
    #[test]
    fn rpcs_count_from_the_beginning_of_the_scenario() {
        let all = Messages::Rpcs { rpc: Rpc::Promise, sender: None, number: None };
        let faults = MessageFaults {
            faults: [MessageFault::new(all, Effect::Drop)].into(),
            beginning: Arc::new(AtomicU64::new(u64::MAX)),
            ..MessageFaults::default()
        };
        let beginning = Arc::clone(&faults.beginning);
        let netem = Netem::new(RANGE, faults, Seed::new(1));
        let fate = || netem.rpc_fate(Duration::from_secs(1), N1, FollowerId(0), Rpc::Promise);
        assert_eq!((fate().number, fate().fate.loss), (0, None));
        beginning.store(0, std::sync::atomic::Ordering::Relaxed);
        assert_eq!((fate().number, fate().number, fate().fate.loss), (1, 2, Some(LostPart::Request)));
    }

    /// Of two incarnations of a leader the nth RPC has draws of its own.
    #[test]
    fn a_share_of_the_rpcs_is_struck_in_each_incarnation() {
        let heartbeats = Messages::Rpcs { rpc: Rpc::Heartbeat, sender: None, number: None };
        let drops = MessageFault { per_mille: 300, salt: 7, ..MessageFault::new(heartbeats, Effect::Drop) };
        let struck = |incarnation| -> Vec<bool> {
            let netem = netem(1, std::slice::from_ref(&drops));
            let sender = RpcSender { incarnation, ..N1 };
            let fate = |_| netem.rpc_fate(Duration::ZERO, sender, FollowerId(0), Rpc::Heartbeat).fate;
            (0..1000).map(|place| fate(place).loss.is_some()).collect()
        };
        let count = struck(0).into_iter().filter(|struck| *struck).count();
        assert!((240..360).contains(&count), "{count} of 1000 at 300 per mille");
        assert_ne!(struck(0), struck(1));
        assert_eq!(struck(0), struck(0));
    }
}
