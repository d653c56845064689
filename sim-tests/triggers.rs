//! Faults that wait for an event in place of a time. Both engines play them alike.

use std::sync::Arc;

use semisync::base::NodeId;
use semisync::base::trace::{Event, Micros};
use semisync::sim::scenario::Scenario;
use semisync::sim::{Engine, ScenarioRun, Strike, engine};

/// Three writes and a deletion on two followers, and a restart of the leader at 3 s.
fn story(faults: &str) -> Scenario {
    let text = format!(
        r#"
        name = "events"
        cluster = {{ followers = 2, write_quorum = 2, delay_ms = [10, 10], repl_timeout_ms = 1000 }}
        [[workload.operation]]
        set = "x"
        [[workload.operation]]
        at_ms = 1000
        set = "x"
        [[workload.operation]]
        at_ms = 2000
        delete = "x"
        [[workload.operation]]
        at_ms = 6000
        set = "x"
        [[fault]]
        at_ms = 3000
        crash = "leader"
        [[fault]]
        at_ms = 3200
        restart = "leader"
        {faults}
        "#
    );
    let scenario = Scenario::from_toml(&text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Scenario::from_toml(&scenario.to_toml()).expect("its own text"), scenario);
    scenario
}

fn play(faults: &str) -> [ScenarioRun; 2] {
    Engine::ALL.map(|engine| engine::run(engine, &story(faults).with_seed(1), Arc::default()).expect("a simulation"))
}

/// The times at which f1 was cut from the leader, in milliseconds.
fn cuts(run: &ScenarioRun) -> Vec<u64> {
    let is_cut = |event: &Event| matches!(event, Event::Fault { what, .. } if what == "cut f1 to n1");
    run.trace.records().iter().filter(|record| is_cut(&record.event)).map(|record| record.at.0 / 1000).collect()
}

/// The times at which these happen, in milliseconds; those of the set-up left out.
fn times(run: &ScenarioRun, node: NodeId, is: impl Fn(&Event) -> bool) -> Vec<u64> {
    let records = run.trace.records().iter().filter(|record| record.at > Micros(0) && record.node == node);
    records.filter(|record| is(&record.event)).map(|record| record.at.0 / 1000).collect()
}

#[test]
fn each_event_can_be_waited_for() {
    let (n1, f1): (NodeId, NodeId) = (NodeId::FIRST_SERVER, "f1".parse().expect("a node"));
    let accepts: fn(&Event) -> bool = |event| matches!(event, Event::Accept { .. });
    let acknowledges: fn(&Event) -> bool = |event| matches!(event, Event::Complete { ok: true, .. });
    let applies: fn(&Event) -> bool = |event| matches!(event, Event::Apply { .. });
    for (trigger, node, is, nth) in [
        ("c1#1 was accepted", n1, accepts, 0),
        ("c1#2 was accepted", n1, accepts, 1),
        ("c1#3 was accepted", n1, accepts, 2),
        ("c1#2 was acknowledged", n1, acknowledges, 1),
        ("c1#3 was acknowledged", n1, acknowledges, 2),
        ("f1 has applied c1#1", f1, applies, 0),
        ("f1 has applied c1#2", f1, applies, 1),
        ("f1 has applied c1#3", f1, applies, 2),
        ("n1 serves", n1, |event: &Event| matches!(event, Event::Serve { .. }), 0),
        ("f1 has promised", f1, |event: &Event| matches!(event, Event::Promise { .. }), 0),
        ("f1 is up to date", f1, |event: &Event| matches!(event, Event::Install { .. }), 0),
    ] {
        let links = "{ from = [\"f1\"], to = [\"leader\"], one_way = true }";
        let cut = |after_ms| format!("[[fault]]\nwhen = \"{trigger}\"\nafter_ms = {after_ms}\npartition = {links}\n");
        // A cut changes the events after it, so each scenario has one.
        for after_ms in [0, 7] {
            for run in play(&cut(after_ms)) {
                let event = times(&run, node, is)[nth];
                let cuts = cuts(&run);
                assert!(
                    cuts.len() == 1 && (event + after_ms..=event + after_ms + 1).contains(&cuts[0]),
                    "{trigger}: {cuts:?}"
                );
                assert_eq!(run.violations().collect::<Vec<_>>(), [], "{trigger}");
            }
        }
    }
}

/// With `at_ms`, earlier events are not the one that is waited for.
#[test]
fn the_event_may_be_one_that_comes_later() {
    for run in play("[[fault]]\nat_ms = 3300\nwhen = \"f1 has promised\"\nafter_ms = 100\ncrash = \"f1\"") {
        assert!(matches!(run.strikes[2], Strike::Never(None)), "it promises before that only: {:?}", run.strikes);
        let inert: Vec<String> = run.inert_faults().iter().map(ToString::to_string).collect();
        assert!(inert[0].ends_with("\"f1 has promised\" did not happen from 3300 ms on"), "{inert:?}");
    }
    for run in play("[[fault]]\nat_ms = 3100\nwhen = \"f1 has promised\"\nafter_ms = 100\ncrash = \"f1\"") {
        let Strike::At(Micros(at)) = run.strikes[2] else { panic!("{:?}", run.strikes) };
        assert!((3_300_000..3_310_000).contains(&at), "{at}");
    }
}

/// A run does not wait for an event that never comes, and says so. One whose event has come is waited for.
#[test]
fn what_waits_for_nothing_does_not_keep_the_run() {
    let faults = "[[fault]]\nat_ms = 4000\nwhen = \"n1 serves\"\ncrash = \"f1\"\n\
                  [[fault]]\nwhen = \"c1#4 was acknowledged\"\nafter_ms = 2500\nhold = \"f2\"\n";
    for run in play(faults) {
        assert!(matches!(run.strikes[2..], [Strike::Never(None), Strike::At(_)]), "{:?}", run.strikes);
        assert!((8500..8600).contains(&run.virtual_time.as_millis()), "{:?}", run.virtual_time);
    }
}

/// Messages can be lost from an event on, and for a while.
#[test]
fn faults_of_messages_wait_for_events_too() {
    let faults = "[[fault]]\nwhen = \"c1#1 was acknowledged\"\nfor_ms = 1500\ndrop = { to = \"f1\" }\n\
                  [[fault]]\nwhen = \"f2 has promised\"\nfor_ms = 50\ndrop_reply = { rpc = \"heartbeat\", to = \"f2\" }\n";
    for run in play(faults) {
        let lost = times(&run, NodeId::FIRST_SERVER, |event| matches!(event, Event::Send { lost: Some(_), .. }));
        assert!(!lost.is_empty() && lost.iter().all(|at| (1000..1520).contains(at)), "{lost:?}");
        let rpcs = times(&run, NodeId::FIRST_SERVER, |event| matches!(event, Event::Rpc { .. }));
        assert!(rpcs.len() == 1 && (3200..3260).contains(&rpcs[0]), "{rpcs:?}");
        assert_eq!(run.violations().collect::<Vec<_>>(), []);
    }
}

#[test]
fn what_cannot_wait_for_an_event_is_refused() {
    let wait = |fault: &str| format!("[[fault]]\nwhen = \"n1 serves\"\n{fault}\n");
    for (faults, says) in [
        (wait("until_ms = 9\ndrop = {}"), "a fault that waits for an event lasts for_ms"),
        (wait("for_ms = 9\ncrash = \"f1\""), "for_ms goes with faults of messages, not with crash"),
        (wait("for_ms = 0\ndrop = {}"), "for_ms = 0: must be at least 1"),
        (wait("after_ms = 3600001\ncrash = \"f1\""), "after_ms = 3600001: must be at most 3600000"),
        (wait("disconnect = { operation = \"c1#1\", after_ms = 3 }"), "disconnect waits for no event"),
        ("[[fault]]\nafter_ms = 5\ncrash = \"f1\"".into(), "after_ms counts from the event"),
        ("[[fault]]\nfor_ms = 5\ndrop = {}".into(), "for_ms counts from the event"),
        (
            "[[fault]]\nwhen = \"f1 crashes\"\ncrash = \"f1\"".into(),
            "when = \"f1 crashes\" is no event; it must be of the form",
        ),
        ("[[fault]]\nwhen = \"f9 has promised\"\ncrash = \"f1\"".into(), "there is no node f9"),
        ("[[fault]]\nwhen = \"c1#9 was accepted\"\ncrash = \"f1\"".into(), "there is no operation c1#9"),
        ("[[fault]]\nwhen = \"n2 serves\"\ncrash = \"f1\"".into(), "there is no n2; each replace starts one more"),
    ] {
        let text = format!(
            "name = \"x\"\n[cluster]\nfollowers = 2\nwrite_quorum = 1\n[[workload.operation]]\nset = \"x\"\n{faults}"
        );
        let message = Scenario::from_toml(&text).expect_err(&faults).to_string();
        assert!(message.contains(says), "{faults}: {message}");
    }
}
