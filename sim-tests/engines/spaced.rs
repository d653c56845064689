//! Scenarios in which nothing is close to anything else, but for what comes of the store's own pauses.

use std::collections::BTreeSet;
use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use semisync::base::{FollowerId, Key, NodeRef};
use semisync::sim::scenario::{
    ClusterSpec, ExplicitOperation, Fault, FaultKind, Links, OperationName, PlannedKind, RulesSpec, Scenario, Target,
    Workload,
};

/// Time is divided into slots. In each, everything has its own moment: operations begin with it, what concerns the nth
/// follower comes at n times [`APART_MS`], deadlines in the middle between these, and faults of nodes towards the end, each
/// kind at its own.
const SLOT_MS: u64 = 400;
const APART_MS: u64 = 80;
const STRIKE_MS: u64 = 300;
const STRIKES_APART_MS: u64 = 25;
const TIMEOUT_MS: u64 = 5 * SLOT_MS + APART_MS / 2;

/// What the emulated network does to the first delivery of a write to a follower.
#[derive(Debug, Clone, Copy)]
struct Course {
    slots: u64,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Arrives,
    IsLost,
    AnswerIsLost,
    ArrivesAgain(u64),
}

fn course() -> impl Strategy<Value = Course> {
    let what = prop_oneof![
        6 => Just(What::Arrives),
        1 => Just(What::IsLost),
        1 => Just(What::AnswerIsLost),
        2 => (0..8_u64).prop_map(What::ArrivesAgain),
    ];
    (0..8_u64, what).prop_map(|(slots, what)| Course { slots, what })
}

/// An operation: on which key, what becomes of its messages, and from which node it reads, if it does.
type Drawn = (u8, [Course; 3], Option<u8>);

/// A fault of a node: which kind, of which follower, from which slot on and for how many.
type Struck = (u8, u8, u64, u64);

pub fn scenario(rules: RulesSpec, crashes: bool) -> impl Strategy<Value = Scenario> {
    let operation = (0..2_u8, [course(), course(), course()], proptest::option::weighted(0.3, 0..=3_u8));
    let kinds: Range<u8> = if crashes { 0..5 } else { 0..3 };
    let fault = (kinds, 0..3_u8, 0..10_u64, 1..6_u64);
    (any::<u64>(), 1..=3_usize, 1..=3_usize, vec(operation, 3..12), vec(fault, 0..3)).prop_map(
        move |(seed, followers, quorum, operations, faults)| {
            let write_quorum = quorum.min(followers);
            let cluster = ClusterSpec {
                followers,
                write_quorum,
                delay_ms: [0, 0],
                repl_timeout_ms: TIMEOUT_MS,
                rules: rules.clone(),
                ..ClusterSpec::default()
            };
            let mut all = of_messages(&operations, followers);
            all.extend(of_nodes(&faults, followers));
            let explicit = operations.iter().zip(1..).map(|(operation, number)| planned(operation, number, followers));
            let mut explicit: Vec<ExplicitOperation> = explicit.collect();
            ask_once_more(&mut explicit, &operations);
            let workload = Workload { explicit, ..Workload::default() };
            Scenario { name: "spaced".into(), seed, cluster, workload, faults: all, expect: None }
        },
    )
}

/// Each has a client of its own, so that none waits for another.
fn planned((key, courses, read): &Drawn, number: u16, followers: usize) -> ExplicitOperation {
    let node = |place: u8| match usize::from(place) {
        0 => NodeRef::Leader,
        place => FollowerId(((place - 1) % followers) as u8).into(),
    };
    // One write in four deletes.
    let write = if courses[0].slots % 4 == 3 { PlannedKind::Delete } else { PlannedKind::Set };
    let kind = read.map_or(write, |place| PlannedKind::get(node(place)));
    let key = Key::new(["x", "y"][usize::from(*key)]).expect("a short name");
    ExplicitOperation {
        client: number,
        number: None,
        at_ms: u64::from(number) * SLOT_MS,
        kind,
        key,
        request: None,
        if_version: None,
        expect: None,
    }
}

/// If the first operation writes, one in four of those that come later asks for the same once more.
fn ask_once_more(explicit: &mut [ExplicitOperation], operations: &[Drawn]) {
    let Some((first, later)) = explicit.split_first_mut().filter(|(first, _)| first.kind.is_write()) else { return };
    first.request = Some(OperationName { client: 0, number: 1 });
    for (operation, (_, courses, _)) in later.iter_mut().zip(&operations[1..]) {
        if courses[2].slots % 4 == 3 {
            (operation.kind, operation.key, operation.request) = (first.kind, first.key.clone(), first.request);
        }
    }
}

fn of_messages(operations: &[Drawn], followers: usize) -> Vec<Fault> {
    let mut taken = BTreeSet::new();
    let mut faults = Vec::new();
    for ((_, courses, read), client) in operations.iter().zip(0..) {
        for (course, to) in courses.iter().zip(FollowerId::first(followers)).filter(|_| read.is_none()) {
            // No two come to a follower in the same slot.
            let mut delay = |slots: u64| {
                let begun = u64::from(client) + slots;
                let slot = (begun..).find(|slot| taken.insert((to, *slot))).expect("there is always a later one");
                (slot - u64::from(client)) * SLOT_MS + (to.index() as u64 + 1) * APART_MS
            };
            let target = || Target {
                operation: Some(OperationName { client, number: 1 }),
                to: Some(to.into()),
                attempt: Some(1),
                per_mille: 1000,
            };
            let fault = |kind| Fault::at(0, kind);
            faults.push(fault(FaultKind::Delay { target: target(), delay_ms: delay(course.slots) }));
            match course.what {
                What::Arrives => {}
                What::IsLost => faults.push(fault(FaultKind::Drop(target()))),
                What::AnswerIsLost => faults.push(fault(FaultKind::DropReply(target()))),
                What::ArrivesAgain(slots) => {
                    faults.push(fault(FaultKind::Duplicate { target: target(), delay_ms: Some(delay(slots)) }));
                }
            }
        }
    }
    faults
}

fn of_nodes(faults: &[Struck], followers: usize) -> Vec<Fault> {
    let mut taken = BTreeSet::new();
    let mut all = Vec::new();
    for &(kind, follower, from, slots) in faults {
        let node: NodeRef = if kind == 4 { NodeRef::Leader } else { FollowerId(follower % followers as u8).into() };
        // One of each kind and node, so that none ends another, and none at the moment of another.
        if !taken.insert((kind, node)) {
            continue;
        }
        let links = || Links { from: vec![NodeRef::Leader], to: vec![node], one_way: follower == 1 };
        let (begin, end) = match kind {
            0 => (FaultKind::Hold(node), FaultKind::Release(node)),
            1 => (FaultKind::Partition(links()), FaultKind::Heal(links())),
            2 => (
                FaultKind::Slow { node, to: None, latency_ms: 5, one_way: false },
                FaultKind::Slow { node, to: None, latency_ms: 1, one_way: false },
            ),
            _ => (FaultKind::Crash(node), FaultKind::Restart(node)),
        };
        let at = |slot: u64| slot * SLOT_MS + STRIKE_MS + u64::from(kind) * STRIKES_APART_MS;
        all.push(Fault::at(at(from), begin));
        all.push(Fault::at(at(from + slots), end));
    }
    all
}
