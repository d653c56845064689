//! Strategies of [proptest](https://docs.rs/proptest): generated scenarios, and the orders in which the messages of a given
//! scenario can arrive.
//!
//! The scenario is all that a run depends on, so the text of a counterexample replays it.
//! [`assert_holds`](crate::testing::assert_holds) runs, shrinks and prints one.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::scenario::{
    ClusterSpec, ExplicitOperation, Fault, FaultKind, OperationName, PlannedKind, PlannedOperation, RulesSpec,
    Scenario, ScenarioError, Target, Workload,
};
use crate::base::{FollowerId, Key, NodeId, NodeRef, Seed};

/// The time between two places in an order of [`orders`], in milliseconds: enough for both engines
/// to keep the order.
const SLOT_MS: u64 = 40;

/// The most first deliveries that [`orders`] can put in an order.
const MOST_DELIVERIES: usize = 10_000;

/// The scenario with its first deliveries in any order: each message of a write takes its own
/// delay, and a long delay lets later writes overtake it.
///
/// Nothing else is delayed: the range of drawn delays becomes `[0, 0]`, so that resends and the
/// probes after healing cannot be the cause of what is found. Shrinking removes delays. The
/// operations of a drawn workload follow from the scenario's seed. Everything else in the scenario
/// stays.
///
/// # Errors
/// [`ScenarioError`] if the scenario cannot be run, or has more than 10,000 first deliveries.
pub fn orders(mut scenario: Scenario) -> Result<impl Strategy<Value = Scenario>, ScenarioError> {
    scenario.check()?;
    scenario.cluster.delay_ms = [0, 0];
    let followers = scenario.cluster.followers;
    let mut messages: Vec<Target> = Vec::new();
    for (client, operations) in scenario.workload.plan(Seed::new(scenario.seed), followers) {
        let NodeId::Client(client) = client else { continue };
        for PlannedOperation { number, .. } in operations.into_iter().filter(|planned| planned.kind.is_write()) {
            let name = OperationName { client, number };
            messages.extend(FollowerId::first(followers).map(|to| first_delivery(name, to)));
        }
        if messages.len() > MOST_DELIVERIES {
            return Err(ScenarioError::Impossible(format!(
                "the writes have more than {MOST_DELIVERIES} first deliveries; the orders of fewer can be drawn"
            )));
        }
    }
    let slots = messages.len() as u64;
    Ok(vec(0..=slots, messages.len()).prop_map(move |chosen| {
        let mut scenario = scenario.clone();
        let delayed = messages.iter().zip(chosen).filter(|(_, slot)| *slot > 0);
        let delay =
            |(target, slot): (&Target, u64)| FaultKind::Delay { target: target.clone(), delay_ms: slot * SLOT_MS };
        scenario.faults.extend(delayed.map(delay).map(of_messages));
        scenario
    }))
}

fn first_delivery(operation: OperationName, to: FollowerId) -> Target {
    Target { operation: Some(operation), to: Some(to.into()), attempt: Some(1), per_mille: 1000 }
}

fn of_messages(kind: FaultKind) -> Fault {
    Fault::at(0, kind)
}

/// What [`scenarios`] makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenarios {
    /// Which decisions of the protocol are in force.
    pub rules: RulesSpec,
    /// The most operations, 1 to 1000.
    pub operations: usize,
    /// Whether messages are lost, doubled and delayed.
    pub messages: bool,
    /// Whether followers are held back and links are cut for a while.
    pub links: bool,
    /// Whether nodes are killed, which loses their memory, and started again.
    pub crashes: bool,
}

impl Default for Scenarios {
    fn default() -> Self {
        Self { rules: ClusterSpec::default().rules, operations: 12, messages: true, links: true, crashes: false }
    }
}

/// The most operations of a generated scenario.
const MOST_OPERATIONS: usize = 1000;

/// Small scenarios with everything written down, in which what comes from outside lies 100 ms apart and messages take
/// delays of their own.
///
/// # Errors
/// [`ScenarioError`] if the number of operations is not allowed.
pub fn scenarios(kind: Scenarios) -> Result<impl Strategy<Value = Scenario>, ScenarioError> {
    let most = kind.operations;
    if !(1..=MOST_OPERATIONS).contains(&most) {
        return Err(ScenarioError::Impossible(format!("operations = {most}: must be 1 to {MOST_OPERATIONS}")));
    }
    let followers = 1..=4_usize;
    let strategy = (followers, 1..=most)
        .prop_flat_map(move |(followers, operations)| {
            let kind = kind.clone();
            let fates = vec(option::weighted(0.5, fate()), if kind.messages { operations * followers } else { 0 });
            let troubles = vec(trouble(followers, kind.links, kind.crashes), 0..=2);
            let parts = (1..=followers, 500..3000_u64, vec(operation(followers), operations), fates, troubles);
            parts.prop_map(move |(write_quorum, repl_timeout_ms, operations, fates, troubles)| {
                let cluster = ClusterSpec {
                    followers,
                    write_quorum,
                    delay_ms: [10, 10],
                    repl_timeout_ms,
                    rules: kind.rules.clone(),
                    ..ClusterSpec::default()
                };
                let explicit = spaced(operations);
                let workload = Workload { explicit, ..Workload::default() };
                let mut faults: Vec<Fault> = troubles.into_iter().flatten().flatten().collect();
                let names = workload.named().map(|(name, _)| name);
                let targets =
                    names.flat_map(|name| FollowerId::first(followers).map(move |to| first_delivery(name, to)));
                let fated =
                    targets.zip(fates).filter_map(|(target, fate)| fate.map(|fate| of_messages(fate.of(target))));
                faults.extend(fated.collect::<Vec<_>>());
                Scenario { name: "generated".into(), seed: 1, cluster, workload, faults, expect: None }
            })
        })
        // Two troubles of a node at a time may contradict one another, as two crashes do.
        .prop_filter("what ends must have begun", |scenario| scenario.check().is_ok());
    Ok(strategy)
}

fn operation(followers: usize) -> impl Strategy<Value = (u16, PlannedKind, &'static str)> {
    let read = (0..=followers).prop_map(|place| match place.checked_sub(1) {
        None => NodeRef::Leader,
        Some(follower) => FollowerId(follower as u8).into(),
    });
    let kind = prop_oneof![
        3 => Just(PlannedKind::Set),
        1 => Just(PlannedKind::Delete),
        1 => read.prop_map(PlannedKind::get),
    ];
    (1..=3_u16, kind, select(vec!["x", "y"]))
}

/// Operations one after another, 100 ms apart.
fn spaced(operations: Vec<(u16, PlannedKind, &'static str)>) -> Vec<ExplicitOperation> {
    let mut numbers: BTreeMap<u16, u64> = BTreeMap::new();
    let place = |(place, (client, kind, key)): (u64, (u16, PlannedKind, &str))| {
        let number = numbers.entry(client).or_default();
        *number += 1;
        let key = Key::new(key).expect("a short name");
        ExplicitOperation {
            client,
            number: Some(*number),
            at_ms: place * 100,
            kind,
            key,
            request: None,
            if_version: None,
            expect: None,
        }
    };
    (0..).zip(operations).map(place).collect()
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Drop,
    DropReply,
    Duplicate(u64),
    Delay(u64),
}

impl Fate {
    fn of(self, target: Target) -> FaultKind {
        match self {
            Self::Drop => FaultKind::Drop(target),
            Self::DropReply => FaultKind::DropReply(target),
            Self::Duplicate(ms) => FaultKind::Duplicate { target, delay_ms: Some(ms) },
            Self::Delay(delay_ms) => FaultKind::Delay { target, delay_ms },
        }
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    let ms = || (0..40_u64).prop_map(|slot| slot * SLOT_MS);
    prop_oneof![
        4 => ms().prop_map(Fate::Delay),
        1 => Just(Fate::Drop),
        1 => Just(Fate::DropReply),
        1 => ms().prop_map(Fate::Duplicate),
    ]
}

/// What happens to a node or its link for a while, if anything.
fn trouble(followers: usize, links: bool, crashes: bool) -> impl Strategy<Value = Option<[Fault; 2]>> {
    let mut kinds: Vec<u8> = Vec::new();
    kinds.extend(if links { &[0, 1][..] } else { &[] });
    kinds.extend(if crashes { &[2, 3][..] } else { &[] });
    let most = kinds.len().min(1);
    (subsequence(kinds, most), 0..followers as u8, 0..15_u64, 1..20_u64).prop_map(|(kind, follower, begin, length)| {
        let follower = NodeRef::from(FollowerId(follower));
        let links = super::scenario::Links { from: vec![NodeRef::Leader], to: vec![follower], one_way: false };
        let (begins, ends) = match kind.first()? {
            0 => (FaultKind::Hold(follower), FaultKind::Release(follower)),
            1 => (FaultKind::Partition(links.clone()), FaultKind::Heal(links)),
            2 => (FaultKind::Crash(follower), FaultKind::Restart(follower)),
            _ => (FaultKind::Crash(NodeRef::Leader), FaultKind::Restart(NodeRef::Leader)),
        };
        // Between operations, which happen at full hundreds.
        let at = |place: u64, kind| Fault::at(place * 100 + 50, kind);
        Some([at(begin, begins), at(begin + length, ends)])
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    use super::*;

    /// The orders of drawn operations differ too, and reads have no messages.
    #[test]
    fn drawn_writes_have_orders_too() {
        let text = "name = \"x\"\nworkload = { operations = 9, clients = 2, keys = 1, reads = 0.4 }\n[cluster]\nfollowers = 2\nwrite_quorum = 1\n";
        let scenario = Scenario::from_toml(text).expect("a scenario");
        let drawn = scenario.workload.plan(Seed::new(scenario.seed), 2);
        let writes =
            drawn.iter().flat_map(|(_, planned)| planned).filter(|planned| planned.kind == PlannedKind::Set).count();
        assert!((1..9).contains(&writes));
        let (mut seen, mut delayed) = (BTreeSet::new(), BTreeSet::new());
        let strategy = orders(scenario).expect("a scenario that can be run");
        for _ in 0..20 {
            let tree = strategy.new_tree(&mut TestRunner::default()).expect("a scenario");
            let scenario = tree.current();
            delayed.extend(scenario.faults.iter().map(|fault| format!("{:?}", fault.kind.target())));
            scenario.check().expect("it can be run");
            seen.insert(scenario.to_toml());
        }
        assert!(seen.len() > 15, "{} of 20 differ", seen.len());
        assert_eq!(delayed.len(), 2 * writes, "each write has a message to each of two followers: {delayed:?}");
    }
}
