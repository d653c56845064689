//! Followers that cannot be reached, and what the leader makes of it.

use std::time::Duration;

use semisync::base::NodeId;
use semisync::base::trace::{Event, LossReason};
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
                let leader = stage.cluster().dump(NodeId::Leader).await.expect("the leader answers");
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

/// A write whose first delivery was lost is still acknowledged if a resend arrives in time.
#[test]
fn a_resend_counts_while_the_client_waits() {
    for_each_seed(0..10, |seed| {
        let world = World::new(seed).followers(2).write_quorum(2).delay_ms(0, 50).repl_timeout_ms(3000);
        let run = world.run(async |stage| {
            stage.cut(f(1), NodeId::Leader);
            let mender = {
                let stage = stage.clone();
                async move {
                    sleep(Duration::from_millis(4000)).await;
                    stage.mend(f(1), NodeId::Leader);
                }
            };
            // The first write dies of the lost reply; the second is sent while the way back is still cut, and waits.
            misses_quorum(&stage, "1", 1, 2).await;
            let client = stage.client(1);
            let (second, ()) = tokio::join!(client.set("y", "2"), mender);
            second.ok().expect("a resend brings the second confirmation before the deadline").confirmations
        });
        let run = run.expect("a simulation");
        assert_eq!(run.result, 2);
        let lost = |record: &&_| matches!(record, semisync::base::trace::Record { event: Event::Lost { .. }, .. });
        assert!(run.trace.records().iter().filter(lost).count() >= 1);
    });
}

/// The follower stores everything, but no reply comes back. The leader may not count what it cannot know, and once the
/// way back is mended it learns.
#[test]
fn a_lost_reply_is_no_confirmation() {
    for_each_seed(0..5, |seed| {
        let world = World::new(seed).followers(3).write_quorum(3).delay_ms(0, 100).repl_timeout_ms(1000);
        let run = world.run(async |stage| {
            stage.cut(f(2), NodeId::Leader);
            misses_quorum(&stage, "1", 2, 3).await;
            let stored = stage.cluster().dump(f(2)).await.expect("clients reach it");
            assert_eq!(holds(&stored, "x").0, 1);
            stage.mend(f(2), NodeId::Leader);
            stage.client(0).set("x", "2").await.ok().expect("all three answer again");
            stage.settle().await
        });
        let run = run.expect("a simulation");
        assert_eq!(holds(&run.result, "x").0, 2);
        let deadline = |e: &Event| matches!(e, Event::Lost { reason: LossReason::Deadline, .. });
        assert!(run.trace.records().iter().any(|record| deadline(&record.event)));
    });
}

/// A resend never overtakes a first delivery to the same follower of the same key.
#[test]
fn resends_keep_behind_first_deliveries() {
    for_each_seed(0..10, |seed| {
        let run = World::new(seed).followers(2).write_quorum(1).repl_timeout_ms(400).run(async |stage| {
            stage.isolate(f(2));
            for n in 1..=3 {
                let _ = stage.client(0).set("x", &n.to_string()).await;
            }
            stage.reconnect(f(2));
            for n in 4..=8 {
                let _ = stage.client(0).set("x", &n.to_string()).await;
            }
            stage.settle().await
        });
        let run = run.expect("a simulation");
        let (mut first, mut resends) = (std::collections::BTreeSet::new(), 0);
        for record in run.trace.records() {
            match record.event {
                Event::Send { message, .. } if message.attempt == 1 => drop(first.insert((message.to, message.write))),
                Event::Send { message, .. } => {
                    resends += 1;
                    let waiting = first.iter().filter(|(to, _)| *to == message.to).count();
                    assert_eq!(waiting, 0, "{message:?} was sent with first deliveries of its key on their way");
                }
                Event::Ack { message, .. } | Event::Lost { message, .. } if message.attempt == 1 => {
                    first.remove(&(message.to, message.write));
                }
                _ => {}
            }
        }
        assert!(resends > 0, "nothing was sent again");
        assert_eq!(holds(&run.result, "x").0, 8);
    });
}
