//! Faults of peer RPCs: the requests of a leader that carry no write, and their responses. Both engines play them alike.

use std::sync::Arc;

use semisync::base::NodeId;
use semisync::base::trace::{Event, LostPart, Micros, Record, Rpc};
use semisync::sim::scenario::Scenario;
use semisync::sim::{Engine, ScenarioRun, Strike, engine};

/// A leader of two followers restarts at 500 ms, so it has to recover; it is written to before and after that.
fn restart(faults: &str) -> Scenario {
    let text = format!(
        r#"
        name = "a restart"
        cluster = {{ followers = 2, write_quorum = 1, delay_ms = [10, 10], repl_timeout_ms = 1000 }}
        [[workload.operation]]
        set = "x"
        [[workload.operation]]
        at_ms = 8000
        set = "x"
        expect = "ok"
        [[fault]]
        at_ms = 400
        crash = "leader"
        [[fault]]
        at_ms = 500
        restart = "leader"
        {faults}
        [expect]
        passes = true
        "#
    );
    Scenario::from_toml(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// The scenario in both engines, where it comes out as it expects.
fn play(faults: &str) -> [ScenarioRun; 2] {
    let scenario = restart(faults);
    Engine::ALL.map(|engine| {
        let run = engine::run(engine, &scenario.with_seed(1), Arc::default()).expect("a simulation");
        let unmet: Vec<String> = run.expectations().iter().filter(|one| !one.is_met).map(ToString::to_string).collect();
        assert_eq!(unmet, [""; 0], "{engine}: {:#?}", run.verdicts);
        run
    })
}

/// The faults of RPCs that struck, in words, sorted.
fn disturbed(run: &ScenarioRun) -> Vec<String> {
    let what = |record: &Record| match &record.event {
        Event::Rpc { to, rpc, number, delay, lost, copy } => {
            Some(format!("{} {rpc} {number} to {to}: {} {lost:?} {copy:?}", record.node, delay.0))
        }
        _ => None,
    };
    let mut all: Vec<String> = run.trace.records().iter().filter_map(what).collect();
    all.sort();
    all
}

/// When this happens on a node first, in milliseconds, not before 500 ms.
fn first(run: &ScenarioRun, node: &str, is: impl Fn(&Event) -> bool) -> u64 {
    let node: NodeId = node.parse().expect("a node");
    let records = run.trace.records().iter();
    let found =
        records.filter(|record| record.at >= Micros(500_000)).find(|record| record.node == node && is(&record.event));
    found.expect("it happens").at.0 / 1000
}

fn serves(run: &ScenarioRun) -> u64 {
    first(run, "n1", |event| matches!(event, Event::Serve { .. }))
}

fn promises(run: &ScenarioRun, node: &str) -> u64 {
    first(run, node, |event| matches!(event, Event::Promise { .. }))
}

#[test]
fn a_request_that_is_lost_is_given_up_and_asked_again() {
    for run in play("[[fault]]\ndrop = { rpc = \"promise\", number = 1 }") {
        assert_eq!(
            disturbed(&run),
            [1, 2].map(|to| format!("n1 promise 1 to f{to}: 0 {:?} None", Some(LostPart::Request)))
        );
        assert!((1500..1700).contains(&promises(&run, "f1")), "after the timeout of 1 s: {}", promises(&run, "f1"));
        assert!(serves(&run) >= 1500, "{}", serves(&run));
    }
}

#[test]
fn a_request_whose_response_is_lost_takes_effect_all_the_same() {
    for run in play("[[fault]]\ndrop_reply = { rpc = \"promise\", number = 1 }") {
        assert!(promises(&run, "f1") < 520 && promises(&run, "f2") < 520, "it arrives");
        assert!(serves(&run) >= 1500, "the leader does not learn it: {}", serves(&run));
    }
}

/// A request that takes less than the timeout is answered later; one that takes longer arrives after its leader gave it up.
#[test]
fn a_request_can_take_long() {
    for run in play("[[fault]]\ndelay = { rpc = \"promise\", delay_ms = 600 }") {
        assert!((1100..1110).contains(&promises(&run, "f2")), "{}", promises(&run, "f2"));
        assert!((1100..1500).contains(&serves(&run)), "{}", serves(&run));
    }
    let late = "[[fault]]\ndelay = { rpc = \"promise\", to = \"f1\", number = 1, delay_ms = 1700 }\n\
                [[fault]]\ndrop = { rpc = \"promise\", to = \"f1\", number = 2 }\n\
                [[fault]]\ndrop = { rpc = \"promise\", to = \"f1\", number = 3 }";
    for run in play(late) {
        assert!((2200..2210).contains(&promises(&run, "f1")), "the first one: {}", promises(&run, "f1"));
    }
}

/// Each kind of RPC can be named. What is sent twice changes nothing that was not changed once.
#[test]
fn a_request_can_arrive_twice() {
    let deletion = "[[workload.operation]]\nclient = 2\nat_ms = 100\ndelete = \"y\"\n";
    let copies: Vec<String> =
        Rpc::ALL.iter().map(|rpc| format!("[[fault]]\nduplicate = {{ rpc = \"{rpc}\", delay_ms = 50 }}\n")).collect();
    // f2 restarts empty, so it is given a snapshot.
    let forgetful = "[[fault]]\nat_ms = 3000\ncrash = \"f2\"\n[[fault]]\nat_ms = 3100\nrestart = \"f2\"\n";
    for run in play(&format!("{deletion}{forgetful}{}", copies.concat())) {
        let doubled = |rpc: Rpc| {
            run.trace.records().iter().any(
                |record| matches!(record.event, Event::Rpc { rpc: of, copy: Some(Micros(50_000)), .. } if of == rpc),
            )
        };
        let never: Vec<Rpc> = Rpc::ALL.into_iter().filter(|rpc| !doubled(*rpc)).collect();
        assert_eq!(never, [], "every kind is sent");
    }
}

/// A fault names RPCs by share and window, and draws by the seed.
#[test]
fn a_share_of_heartbeats_is_lost_for_a_while() {
    let share = "[[fault]]\nat_ms = 1000\nuntil_ms = 7000\ndrop = { rpc = \"heartbeat\", per_mille = 400 }";
    for run in play(share) {
        let at: Vec<u64> = run
            .trace
            .records()
            .iter()
            .filter(|record| matches!(record.event, Event::Rpc { .. }))
            .map(|r| r.at.0)
            .collect();
        assert!((2..9).contains(&at.len()), "{} of about a dozen", at.len());
        assert!(at.iter().all(|at| (1_000_000..7_000_000).contains(at)), "{at:?}");
    }
}

/// Of a leader that does not exist, or sends no such RPC, nothing is struck.
#[test]
fn a_fault_may_name_the_sender() {
    let scenario = restart("[[fault]]\ndrop = { rpc = \"promise\", from = \"n1\", to = \"f1\", number = 1 }");
    let run = engine::run(Engine::Core, &scenario.with_seed(1), Arc::default()).expect("a simulation");
    assert!(matches!(run.strikes[..], [_, _, Strike::At(Micros(500_000))]), "{:?}", run.strikes);
    let other = "[[fault]]\nat_ms = 600\nreplace = {}\n[[fault]]\ndrop = { rpc = \"promise\", from = \"n2\", to = \"f1\", number = 1 }";
    let run = engine::run(Engine::Core, &restart(other).with_seed(1), Arc::default()).expect("a simulation");
    assert_eq!(disturbed(&run), [format!("n2 promise 1 to f1: 0 {:?} None", Some(LostPart::Request))]);
}
