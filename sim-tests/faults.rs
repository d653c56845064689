//! Followers that cannot be reached, and what the leader makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use semisync::base::trace::{Event, LossReason, MessageId};
use semisync::base::{NodeId, NodeRef};
use semisync::client::{Outcome, Unknown};
use semisync::sim::{Stage, World};
use tokio::time::sleep;

use crate::stories::holds;
use crate::support::f;
use crate::support::seeds::for_each_seed;

/// Writes once and expects the quorum to be missed with this many confirmations.
async fn misses_quorum(stage: &Stage, json: &str, confirmations: usize, required: usize) {
    match stage.client(0).set("x", json).await {
        Outcome::Unknown(Unknown::QuorumMissed(answer)) => {
            assert!(!answer.ok);
            assert_eq!((answer.confirmations, answer.required), (confirmations, required));
        }
        other => panic!("expected a missed quorum, got {other:?}"),
    }
}

/// For every quorum: one follower too many is away. The answer tells the true count, the value stays on the leader, and
/// reaches the followers when they are back, without any client's help.
#[test]
fn a_quorum_that_cannot_be_met() {
    for quorum in 1..=5 {
        for_each_seed(0..4, |seed| {
            let world = World::new(seed).write_quorum(quorum).repl_timeout_ms(1500);
            let run = world.run(async move |stage| {
                let away: Vec<NodeId> = (1..=5).skip(quorum - 1).map(f).collect();
                away.iter().for_each(|node| stage.isolate(*node));
                misses_quorum(&stage, "\"first\"", quorum - 1, quorum).await;
                let leader = stage.cluster().dump(NodeRef::Leader).await.expect("the leader answers");
                assert_eq!(holds(&leader, "x"), (1, "\"first\"".into()));
                for node in &away {
                    assert!(stage.cluster().dump(*node).await.expect("clients reach it").is_empty());
                }
                away.iter().for_each(|node| stage.reconnect(*node));
                stage.settle().await
            });
            assert_eq!(holds(&run.expect("a simulation").result, "x"), (1, "\"first\"".into()));
        });
    }
}

/// With exactly as many followers as the quorum needs, writes go on, and those that were away catch up.
#[test]
fn a_quorum_that_can_just_be_met() {
    for_each_seed(0..10, |seed| {
        let run = World::new(seed).write_quorum(3).run(async |stage| {
            stage.isolate(f(1));
            stage.isolate(f(2));
            for n in 1..=5 {
                let answer = stage.client(0).set("x", &n.to_string()).await.ok().expect("three are enough");
                assert_eq!((answer.confirmations, answer.required), (3, 3));
            }
            stage.reconnect(f(1));
            stage.reconnect(f(2));
            stage.settle().await
        });
        assert_eq!(holds(&run.expect("a simulation").result, "x"), (5, "5".into()));
    });
}

/// The deadline counts from the acceptance, to the tick.
#[test]
fn a_write_is_answered_at_its_deadline() {
    for_each_seed(0..5, |seed| {
        let world = World::new(seed).followers(1).write_quorum(1).repl_timeout_ms(700).delay_ms(0, 0);
        let run = world.run(async |stage| {
            stage.isolate(f(1));
            misses_quorum(&stage, "1", 0, 1).await;
        });
        let run = run.expect("a simulation");
        let at = |wanted: fn(&Event) -> bool| {
            let record = run.trace.records().iter().find(|record| wanted(&record.event)).expect("it happened");
            record.at.0
        };
        let waited = at(|e| matches!(e, Event::Complete { .. })) - at(|e| matches!(e, Event::Accept { .. }));
        assert!((700_000..=702_000).contains(&waited), "{waited} µs");
    });
}

/// The follower stores everything, but no reply comes back. The leader may not count what it cannot know, and once the
/// way back is mended it learns.
#[test]
fn a_lost_reply_is_no_confirmation() {
    for_each_seed(0..5, |seed| {
        let world = World::new(seed).followers(3).write_quorum(3).delay_ms(0, 100).repl_timeout_ms(1000);
        let run = world.run(async |stage| {
            stage.cut(f(2), NodeRef::Leader);
            misses_quorum(&stage, "1", 2, 3).await;
            let stored = stage.cluster().dump(f(2)).await.expect("clients reach it");
            assert_eq!(holds(&stored, "x").0, 1);
            stage.mend(f(2), NodeRef::Leader);
            stage.client(0).set("x", "2").await.ok().expect("all three answer again");
            let settled = stage.settle().await;
            // The request whose reply was lost has its deadline yet to come.
            sleep(Duration::from_millis(1200)).await;
            settled
        });
        let run = run.expect("a simulation");
        assert_eq!(holds(&run.result, "x").0, 2);
        let deadline = |e: &Event| matches!(e, Event::Lost { reason: LossReason::Deadline, .. });
        assert!(run.trace.records().iter().any(|record| deadline(&record.event)));
    });
}

/// The reply is lost, so the message is sent again, though the follower has it. It is applied once.
#[test]
fn a_duplicate_is_applied_once() {
    for_each_seed(0..20, |seed| {
        let world = World::new(seed).followers(1).write_quorum(1).delay_ms(0, 100).repl_timeout_ms(1000);
        let run = world.run(async |stage| {
            stage.cut(f(1), NodeRef::Leader);
            misses_quorum(&stage, "1", 0, 1).await;
            stage.mend(f(1), NodeRef::Leader);
            // Long enough for the request's deadline, the pause after it, and the resend's own delay.
            sleep(Duration::from_millis(2000)).await;
            stage.settle().await
        });
        let run = run.expect("a simulation");
        let count = |wanted: fn(&Event) -> bool| run.trace.records().iter().filter(|r| wanted(&r.event)).count();
        assert_eq!(count(|event| matches!(event, Event::Apply { .. })), 1);
        assert!(count(|event| matches!(event, Event::Reject { stamp, stored, .. } if stamp == stored)) > 0);
        assert!(count(|event| matches!(event, Event::Ack { message, .. } if message.attempt > 1)) > 0);
    });
}

/// A resend never overtakes a first delivery to the same follower of the same key: what was missed of `x` waits until
/// the newer write has arrived, while `y` is sent again at once.
#[test]
fn resends_keep_behind_first_deliveries() {
    for_each_seed(0..50, |seed| {
        let run = World::new(seed).followers(2).write_quorum(1).repl_timeout_ms(400).run(async |stage| {
            stage.isolate(f(2));
            for n in 1..=3 {
                let _ = stage.client(0).set("x", &n.to_string()).await;
            }
            let _ = stage.client(0).set("y", "1").await;
            sleep(Duration::from_millis(1500)).await;
            let _ = stage.client(0).set("x", "4").await;
            stage.reconnect(f(2));
            stage.settle().await
        });
        let run = run.expect("a simulation");
        let mut keys = BTreeMap::new();
        let mut on_their_way: BTreeSet<MessageId> = BTreeSet::new();
        let mut resent = BTreeSet::new();
        for record in run.trace.records() {
            match &record.event {
                Event::Accept { write, key, .. } => drop(keys.insert(*write, key.clone())),
                Event::Send { message, .. } if message.attempt == 1 => drop(on_their_way.insert(*message)),
                Event::Send { message, .. } => {
                    let key = &keys[&message.write];
                    let overtakes = |first: &&MessageId| first.to == message.to && keys[&first.write] == *key;
                    assert_eq!(on_their_way.iter().find(overtakes), None, "{message:?} of {key} overtakes");
                    resent.insert(key.to_string());
                }
                Event::Ack { message, .. } | Event::Lost { message, .. } => drop(on_their_way.remove(message)),
                _ => {}
            }
        }
        assert!(resent.contains("y"), "nothing was sent again");
        assert_eq!((holds(&run.result, "x").0, holds(&run.result, "y").0), (4, 1));
    });
}

/// A hold outlasts a partition of the same link, and a partition a hold.
#[test]
fn the_end_of_one_fault_does_not_end_another() {
    let applied = |faults: &str, until_ms: u64| {
        let text = format!(
            r#"
            name = "overlap"
            [cluster]
            followers = 1
            write_quorum = 1
            delay_ms = [10, 10]
            repl_timeout_ms = 1000
            [[workload.operation]]
            at_ms = 500
            set = "x"
            {faults}
            "#
        );
        let scenario = semisync::sim::scenario::Scenario::from_toml(&text).expect("a scenario");
        let run = semisync::sim::engine::run(
            semisync::sim::Engine::Turmoil,
            &scenario.with_seed(1),
            std::sync::Arc::default(),
        )
        .expect("a simulation");
        let applied = run.trace.records().iter().find(|record| matches!(record.event, Event::Apply { .. }));
        let at = Duration::from(applied.expect("in the end it arrives").at);
        assert!(at >= Duration::from_millis(until_ms), "applied at {at:?}, while the link was to be {faults}");
    };
    let fault = |at_ms: u64, what: &str| format!("[[fault]]\nat_ms = {at_ms}\n{what}\n");
    let hold = |at| fault(at, "hold = \"f1\"");
    let release = |at| fault(at, "release = \"f1\"");
    let links = "{ from = [\"leader\"], to = [\"f1\"] }";
    let partition = |at| fault(at, &format!("partition = {links}"));
    let heal = |at| fault(at, &format!("heal = {links}"));
    applied(&[hold(100), partition(200), heal(300), release(4000)].concat(), 4000);
    applied(&[partition(100), hold(200), release(300), heal(4000)].concat(), 4000);
    applied(&[partition(100), partition(200), heal(300), heal(4000)].concat(), 4000);
    applied(&[hold(100), hold(200), release(300), release(4000)].concat(), 4000);
}

/// What a task says that panics comes out of the simulation, and not what the runtime makes of it.
#[test]
#[should_panic(expected = "the task is at its wits' end (at sim-tests/faults.rs:")]
fn a_panic_of_a_task_is_told() {
    let run = World::new(1).followers(1).write_quorum(1).run(async |_| {
        tokio::spawn(async { panic!("the task is at its wits' end") });
        sleep(Duration::from_secs(1)).await;
    });
    assert!(run.is_err(), "it ended as if nothing had happened");
}
