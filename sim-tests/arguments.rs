//! Arguments of the simulator's interface that cannot be used: each is refused by an error that
//! names the argument, its value and what is allowed. None panics, and none is taken for something
//! else.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use semisync::base::trace::Rpc;
use semisync::base::{FollowerId, NodeId, NodeRef, ReadMode};
use semisync::check::latency_law::Level;
use semisync::client::ReadError;
use semisync::net::{Effect, MessageFault, Messages};
use semisync::sim::exhaustive::{self, Bounds, FaultBudgets, Order, Scope};
use semisync::sim::scenario::{RulesSpec, Scenario, Workload};
use semisync::sim::swarm::{self, StartError};
use semisync::sim::{Engine, Generator, Race, SimError, Stage, Strategy, World};

/// A node that no cluster of the tests has.
const STRANGER: NodeId = NodeId::Follower(FollowerId(200));
const F1: NodeId = NodeId::Follower(FollowerId(0));

fn impossible(error: &SimError) -> &str {
    match error {
        SimError::Impossible(what) => what,
        other => panic!("it is not refused but {other:?}"),
    }
}

fn refusal(world: &World) -> String {
    let error = world.run(async |_| ()).expect_err("it was run");
    impossible(&error).to_owned()
}

#[test]
fn a_world_names_what_it_cannot_be() {
    let world = || World::new(1);
    for (world, refused) in [
        (world().followers(0), "followers = 0: must be 1 to 128"),
        (world().followers(300), "followers = 300: must be 1 to 128"),
        (world().followers(usize::MAX), "must be 1 to 128"),
        (world().spares(124), "spares = 124: must be 0 to 123, so that there are at most 128 followers"),
        (world().spares(usize::MAX), "must be 0 to 123"),
        (world().write_quorum(0), "write_quorum = 0: must be 1 to 5, the followers"),
        (world().write_quorum(6), "write_quorum = 6: must be 1 to 5"),
        (world().delay_ms(2, 1), "delay_ms = [2, 1]: must be [shortest, longest]"),
        (world().delay_ms(0, u64::MAX), "up to 3600000"),
        (world().repl_timeout_ms(0), "repl_timeout_ms = 0: must be 1 to 3600000"),
        (world().repl_timeout_ms(u64::MAX), "repl_timeout_ms = 18446744073709551615: must be 1 to 3600000"),
        (world().link_latency_ms(0), "link_ms = 0: must be 1 to 3600000"),
        (world().link_latency_ms(u64::MAX), "must be 1 to 3600000"),
        (world().tick_ms(0), "tick_ms = 0: must be 1 to 1000"),
        (world().tick_ms(u64::MAX), "must be 1 to 1000"),
        (world().window(0), "window = 0: must be 1 to 1000000"),
        (world().window(usize::MAX), "must be 1 to 1000000"),
        (world().part_keys(0), "part_keys = 0: must be 1 to 1000000"),
        (world().part_keys(usize::MAX), "must be 1 to 1000000"),
    ] {
        let what = refusal(&world);
        assert!(what.contains(refused), "{what:?} does not say {refused:?}");
    }
}

fn message_fault() -> MessageFault {
    MessageFault { until: Duration::from_secs(1), ..MessageFault::new(Messages::ALL_WRITES, Effect::Drop) }
}

#[test]
fn a_message_fault_that_cannot_strike_is_refused() {
    for (fault, refused) in [
        (
            MessageFault { to: Some(FollowerId(5)), ..message_fault() },
            "to = f6: must be one of the followers, f1 to f5",
        ),
        (MessageFault { per_mille: 1001, ..message_fault() }, "per_mille = 1001: must be 0 to 1000"),
        (
            MessageFault { messages: Messages::Writes { operation: None, attempt: Some(0) }, ..message_fault() },
            "attempt = 0: attempts are counted from 1",
        ),
        (
            MessageFault {
                messages: Messages::Rpcs { rpc: Rpc::State, sender: None, number: Some(0) },
                ..message_fault()
            },
            "number = 0: peer RPCs are counted from 1",
        ),
        (MessageFault { until: Duration::ZERO, ..message_fault() }, "until = 0ns: must be after from = 0ns"),
        (MessageFault { effect: Effect::Delay(Duration::MAX), ..message_fault() }, "must be at most 3600s"),
        (MessageFault { effect: Effect::Duplicate(Some(Duration::MAX)), ..message_fault() }, "must be at most 3600s"),
    ] {
        let what = refusal(&World::new(1).message_faults([message_fault(), fault]));
        assert!(what.starts_with("message fault 2: ") && what.contains(refused), "{what:?} does not say {refused:?}");
    }
}

/// A call that is impossible ends the simulation, whether the code that called it continues or
/// fails an assertion.
#[test]
fn a_stage_names_what_a_story_cannot_do() {
    type Call = fn(&Stage);
    let calls: [(Call, &str); 17] = [
        (
            |stage| assert!(!stage.crash(STRANGER)),
            "Stage::crash: there is no node f201; the nodes are leader and f1 to f2",
        ),
        (|stage| assert!(!stage.crash(NodeId::Client(0))), "there is no node c1"),
        (|stage| assert!(!stage.crash(NodeRef::Former)), "Stage::crash: there is no node former"),
        (|stage| assert!(!stage.restart(STRANGER)), "Stage::restart: there is no node f201"),
        (|stage| stage.isolate(NodeId::Network), "Stage::isolate: there is no node network"),
        (|stage| stage.reconnect(STRANGER), "Stage::reconnect: there is no node f201"),
        (|stage| stage.hold(STRANGER), "Stage::hold: there is no node f201"),
        (|stage| stage.release(STRANGER), "Stage::release: there is no node f201"),
        (|stage| stage.cut(F1, STRANGER), "Stage::cut: there is no node f201"),
        (|stage| stage.mend(F1, F1), "Stage::mend: f1 has no link to itself"),
        (|stage| stage.set_latency(F1, STRANGER, Duration::ZERO), "Stage::set_latency: there is no node f201"),
        (|stage| stage.set_latency(F1, NodeRef::Leader, Duration::MAX), "must be at most 3600s, an hour"),
        (|stage| stage.set_members(&[]), "Stage::set_members: members = []: must be at least one follower"),
        (|stage| stage.set_members(&[FollowerId(0), FollowerId(0)]), "members: f1 is named twice"),
        (|stage| stage.set_members(&[FollowerId(2)]), "members: f3 must be one of the followers, f1 to f2"),
        (|stage| stage.set_quorum(0), "Stage::set_quorum: write_quorum = 0: must be 1 to 2, the followers"),
        (|stage| stage.set_quorum(3), "write_quorum = 3: must be 1 to 2"),
    ];
    for (call, refused) in calls {
        for is_asserted in [false, true] {
            let story = async move |stage: Stage| {
                call(&stage);
                assert!(!is_asserted, "the call had no effect");
                stage.client(0).set("x", "1").await.is_ok()
            };
            let error = World::new(1).followers(2).write_quorum(1).run(story).expect_err("it was run");
            let what = impossible(&error);
            assert!(what.contains(refused), "{what:?} does not say {refused:?}");
        }
    }
}

#[test]
fn a_read_from_a_node_that_does_not_exist_is_an_error_of_that_read() {
    let run = World::new(1).followers(2).write_quorum(1).run(async |stage| {
        for node in [STRANGER, NodeId::Server(1), NodeId::Client(0), NodeId::Network].map(NodeRef::Node) {
            let read = stage.client(0).read(node, "x", ReadMode::Local).await;
            assert!(
                matches!(read, Err(ReadError::NoSuchNode { node: named, followers: 2 }) if named == node),
                "{read:?}"
            );
            let dump = stage.cluster().dump(node).await.expect_err("there is no such node").to_string();
            assert!(dump.contains(&format!("there is no node {node}")) && dump.contains("2 followers"), "{dump}");
        }
    });
    let invoked = |record: &semisync::base::trace::Record| matches!(record.node, NodeId::Client(_));
    assert!(!run.expect("a simulation").trace.records().iter().any(invoked), "what was never sent is not recorded");
}

/// As many as a cluster can have, and clients with the greatest number, are simulated like any
/// other.
#[test]
fn the_largest_arguments_are_possible() {
    let world = World::new(u64::MAX).followers(128).write_quorum(128).delay_ms(0, 0);
    let run = world.run(async |stage| {
        let answer = stage.client(u16::MAX).set("x", "1").await.ok().expect("all followers are there");
        assert_eq!(answer.confirmations, 128);
    });
    let trace = run.expect("a simulation").trace;
    let mut text = Vec::new();
    trace.write_json_lines(&mut text).expect("memory has room");
    let read = semisync::base::trace::Trace::read_json_lines(text.as_slice()).expect("it is read as it was written");
    assert_eq!(read.digest(), trace.digest());
}

#[test]
fn a_race_names_what_it_cannot_be() {
    let race = Race::default;
    for (race, refused) in [
        (Race { followers: 300, ..race() }, "cluster.followers = 300: must be 1 to 128"),
        (Race { write_quorum: 0, ..race() }, "cluster.write_quorum = 0: must be 1 to 5"),
        (Race { delay_ms: (2, 1), ..race() }, "cluster.delay_ms = [2, 1]"),
        (Race { writes: 0, ..race() }, "workload: nothing to do"),
        (Race { writes: usize::MAX, ..race() }, "at most 1000000"),
        (Race { clients: 0, ..race() }, "workload.clients = 0: must be at least 1"),
        (Race { clients: u16::MAX, ..race() }, "workload.clients = 65535: must be at most 10000"),
        (Race { keys: 0, ..race() }, "workload.keys = 0: must be 1 to 1000000"),
        (Race { keys: u64::MAX, ..race() }, "workload.keys = 18446744073709551615: must be 1 to 1000000"),
    ] {
        for engine in Engine::ALL {
            let error = race.run(engine, Arc::default()).expect_err("it was run");
            let what = impossible(&error);
            assert!(what.contains(refused), "{what:?} does not say {refused:?}");
        }
    }
}

fn scenario() -> Scenario {
    Race { writes: 4, clients: 2, ..Race::default() }.scenario()
}

#[test]
fn a_strategy_has_a_depth_from_1_to_10() {
    for depth in [0, 11, u32::MAX] {
        let strategy = Strategy::Pct { depth };
        let refused = format!("pct:{depth}: the depth must be 1 to 10");
        let error = strategy.schedule(scenario()).expect_err("it was scheduled");
        assert_eq!(impossible(&error), refused);
        let generator = Generator { rules: RulesSpec::SAFE, crashes: false, engine: Engine::Core, strategy };
        let jobs = std::num::NonZeroUsize::MIN;
        let error = swarm::run(generator, Level::OF_ONE_RUN, [1].into_iter(), jobs, Arc::new(AtomicBool::new(false)));
        assert!(matches!(error, Err(StartError::Simulator(error)) if impossible(&error) == refused));
    }
}

#[test]
fn a_search_needs_a_thread_and_has_any_depth() {
    let explicit = "name = \"x\"\ncluster = { followers = 1, write_quorum = 1 }\n[[workload.operation]]\nset = \"x\"\n";
    let scenario = Scenario::from_toml(explicit).expect("a scenario");
    let scope = Scope::new(scenario, FaultBudgets::default()).expect("a scope");
    let search = |threads, depth| {
        let bounds = Bounds { states: 1_000_000, depth, time: None, first_violation: false };
        let watch = |_| std::ops::ControlFlow::Continue(());
        exhaustive::search(&scope, bounds, Order::BreadthFirst, threads, watch).map(|search| search.is_exhausted())
    };
    let refused = search(0, None).expect_err("it was searched").to_string();
    assert_eq!(refused, "threads = 0: a search needs at least one thread");
    assert!(search(1, Some(usize::MAX)).expect("a search"), "a bound that is never reached");
}

/// Numbers that TOML cannot express are refused by the check.
#[test]
fn a_scenario_that_passes_its_check_can_be_written() {
    let greatest = |keys| Scenario { workload: Workload { keys, ..scenario().workload }, ..scenario() };
    for beyond in [i64::MAX as u64 + 1, u64::MAX] {
        let what = greatest(beyond).check().expect_err("TOML has no such number").to_string();
        assert!(what.contains("must be 1 to 1000000"), "{what}");
    }
    let mut scenario = Scenario { seed: u64::MAX, ..greatest(1_000_000) };
    scenario.cluster.window = 1_000_000;
    scenario.cluster.part_keys = 1_000_000;
    assert_eq!(Scenario::from_toml(&scenario.to_toml()).expect("it is read as it was written"), scenario);
}
