//! Links that are slow in one direction, and links of clients that are cut or slow: in the core engine, for turmoil has no means.

use std::sync::Arc;

use semisync::base::trace::{Event, Micros};
use semisync::sim::scenario::Scenario;
use semisync::sim::{Engine, ScenarioRun, engine};

/// Four clients; each does one operation at 400 ms. Everything holds, as expected of the operations.
fn story(expects: [&str; 3], faults: &str) -> Scenario {
    let [first, second, third] = expects.map(|expect| format!("expect = \"{expect}\""));
    let text = format!(
        r#"
        name = "client links"
        cluster = {{ followers = 2, write_quorum = 1, delay_ms = [10, 10], repl_timeout_ms = 1000 }}
        [[workload.operation]]
        at_ms = 400
        set = "x"
        {first}
        [[workload.operation]]
        client = 2
        at_ms = 400
        set = "y"
        {second}
        [[workload.operation]]
        client = 3
        at_ms = 400
        get = "z"
        from = "f2"
        {third}
        {faults}
        [expect]
        passes = true
        "#
    );
    let scenario = Scenario::from_toml(&text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Scenario::from_toml(&scenario.to_toml()).expect("its own text"), scenario);
    scenario
}

fn play(expects: [&str; 3], faults: &str) -> ScenarioRun {
    let run = engine::run(Engine::Core, &story(expects, faults).with_seed(1), Arc::default()).expect("a simulation");
    let unmet: Vec<String> = run.expectations().iter().filter(|one| !one.is_met).map(ToString::to_string).collect();
    assert_eq!(unmet, [""; 0], "{faults}: {:#?}", run.verdicts);
    run
}

/// How long an operation took, in milliseconds.
fn took(run: &ScenarioRun, name: &str) -> u64 {
    let operation = run.history.operations.iter().find(|operation| operation.name() == name).expect("it was invoked");
    (operation.returned.expect("it returned").at.0 - operation.invoked.at.0) / 1000
}

fn is_accepted(run: &ScenarioRun, json: &str) -> bool {
    run.trace
        .records()
        .iter()
        .any(|record| matches!(&record.event, Event::Accept { value: Some(value), .. } if value.as_json() == json))
}

const OK: [&str; 3] = ["ok"; 3];

#[test]
fn a_client_cannot_reach_a_node() {
    let cut = "[[fault]]\nat_ms = 300\npartition = { from = [\"c2\"], to = [\"leader\"], one_way = true }";
    let run = play(["ok", "unknown", "ok"], cut);
    assert!(!is_accepted(&run, "\"c2#1\""), "its call is lost");
    assert!(took(&run, "c1#1") < 20 && took(&run, "c2#1") > 60_000, "the client gives up by its own timeout");
    // A cut also loses messages in transit. A link that is healed carries later messages.
    let later = "[[fault]]\nat_ms = 400\npartition = { from = [\"c2\"], to = [\"leader\"] }\n\
                 [[fault]]\nat_ms = 401\nheal = { from = [\"c2\"], to = [\"leader\"] }";
    play(["ok", "unknown", "ok"], later);
    play(OK, &later.replace("at_ms = 400\n", "at_ms = 398\n").replace("at_ms = 401\n", "at_ms = 399\n"));
    let read = "[[fault]]\nat_ms = 300\npartition = { from = [\"f2\"], to = [\"c3\"] }";
    play(["ok", "ok", "refused"], read);
}

#[test]
fn an_answer_to_a_client_is_lost() {
    let cut = "[[fault]]\nat_ms = 300\npartition = { from = [\"leader\"], to = [\"c2\"], one_way = true }";
    let run = play(["ok", "unknown", "ok"], cut);
    assert!(is_accepted(&run, "\"c2#1\""), "its call arrives");
}

#[test]
fn the_link_of_a_client_is_slow() {
    let slow = |what: &str| format!("[[fault]]\nat_ms = 300\nslow = {{ {what}, latency_ms = 500 }}");
    let usual = took(&play(OK, ""), "c2#1");
    for (what, longer) in [
        ("node = \"c2\", to = \"leader\"", 998),
        ("node = \"c2\", to = \"leader\", one_way = true", 499),
        ("node = \"leader\", to = \"c2\", one_way = true", 499),
        ("node = \"f2\", to = \"c2\"", 0),
        ("node = \"c2\"", 998),
        ("node = \"c3\"", 0),
    ] {
        let run = play(OK, &slow(what));
        assert_eq!(took(&run, "c2#1"), usual + longer, "{what}");
        assert_eq!(took(&run, "c1#1"), usual, "{what}: the link of another client");
    }
}

/// One direction is slow, and the other one is as fast as before.
#[test]
fn a_link_between_nodes_is_slow_in_one_direction() {
    let times = |faults: &str| {
        let run = play(OK, faults);
        let at = |is: &dyn Fn(&Event) -> bool| {
            let found = run.trace.records().iter().find(|record| record.at > Micros(300_000) && is(&record.event));
            found.expect("it happens").at.0 / 1000
        };
        let to_f2 = "f2".parse().expect("a node");
        let applied = run.trace.records().iter().find(|record| {
            record.node == to_f2 && matches!(&record.event, Event::Apply { key, .. } if key.as_str() == "x")
        });
        let applied = applied.expect("it arrives").at.0 / 1000;
        let acked = at(&|event| matches!(event, Event::Ack { message, .. } if message.write == 1 && message.to.0 == 1));
        (applied - 401, acked - applied)
    };
    let slow = |ends: &str| format!("[[fault]]\nat_ms = 300\nslow = {{ {ends}, latency_ms = 90, one_way = true }}");
    assert_eq!(times(""), (11, 1));
    assert_eq!(times(&slow("node = \"leader\", to = \"f2\"")), (100, 1));
    assert_eq!(times(&slow("node = \"f2\", to = \"leader\"")), (11, 90));
    assert_eq!(times(&slow("node = \"f2\"")), (11, 90));
    let healed = slow("node = \"f2\"") + "\n[[fault]]\nat_ms = 350\nslow = { node = \"f2\", latency_ms = 1 }";
    assert_eq!(times(&healed), (11, 1), "both directions are as usual again");
}

#[test]
fn turmoil_refuses_what_it_has_no_means_for() {
    for (fault, why) in [
        ("partition = { from = [\"c1\"], to = [\"leader\"] }", "partition needs the core engine"),
        ("slow = { node = \"leader\", to = \"c2\", latency_ms = 9 }", "in turmoil all clients share one host"),
        ("slow = { node = \"f1\", latency_ms = 9, one_way = true }", "takes as long one way as the other"),
    ] {
        let scenario = story(OK, &format!("[[fault]]\nat_ms = 300\n{fault}"));
        let error =
            engine::run(Engine::Turmoil, &scenario.with_seed(1), Arc::default()).expect_err("it was run").to_string();
        assert!(error.contains("fault 1: ") && error.contains(why), "{error}");
        assert_eq!(Engine::that_plays(&scenario), Engine::Core, "{fault}");
    }
}

#[test]
fn clients_are_named_where_their_links_can_be_disturbed() {
    for (fault, says) in [
        ("crash = \"c1\"", "crash: c1 is a client; of clients, links can be cut by partition and slowed by slow"),
        ("hold = \"c1\"", "hold: c1 is a client"),
        ("partition = { from = [\"c9\"], to = [\"f1\"] }", "there is no node c9"),
        ("heal = { from = [\"c1\"], to = [\"f1\"] }", "none of these links is cut by a partition"),
        ("drop = { to = \"c1\" }", "c1 is a client"),
    ] {
        let text = format!("name = \"x\"\n[[workload.operation]]\nset = \"x\"\n[[fault]]\n{fault}\n");
        let message = Scenario::from_toml(&text).expect_err(fault).to_string();
        assert!(message.contains(says), "{fault}: {message}");
    }
}
