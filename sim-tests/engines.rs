//! Both engines tell the same story of a scenario.

mod closest;
mod spaced;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use semisync::base::history::{Kind, Operation};
use semisync::base::trace::Outcome;
use semisync::base::{Stamp, Value};
use semisync::sim::scenario::{FaultKind, RuleSet, RulesSpec, Scenario};
use semisync::sim::{Engine, Generator, ScenarioRun, Strategy, engine};

use crate::corpus;
use closest::why_incomparable;

fn play(engine: Engine, scenario: &Scenario) -> ScenarioRun {
    engine::run(engine, scenario, Arc::default()).unwrap_or_else(|error| panic!("{engine}: {error}"))
}

/// What came of every operation of a client, by its name.
type Outcomes = BTreeMap<String, (Outcome, Option<Stamp>, Option<Value>, Option<(usize, usize)>)>;

fn outcomes(run: &ScenarioRun) -> Outcomes {
    let outcome = |operation: &Operation| {
        let value = match &operation.kind {
            Kind::Read(value) => value.clone(),
            Kind::Write(_) | Kind::Delete => None,
        };
        (operation.name(), (operation.outcome, operation.stamp, value, operation.confirmed))
    };
    run.history.operations.iter().map(outcome).collect()
}

/// Where the runs of the engines differ; nothing if they do not.
fn differences(core: &ScenarioRun, turmoil: &ScenarioRun) -> Vec<String> {
    let (one, other) = (outcomes(core), outcomes(turmoil));
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differing = names.into_iter().filter(|name| one.get(*name) != other.get(*name));
    let told = differing.map(|name| format!("{name}: core {:?}, turmoil {:?}", one.get(name), other.get(name)));
    let mut all: Vec<String> = told.collect();
    if core.states != turmoil.states {
        all.push(format!("states: core {:?}, turmoil {:?}", core.states, turmoil.states));
    }
    all
}

/// The table of the engines in the documentation names every fault that turmoil refuses, and no other one.
#[test]
fn the_documentation_names_what_turmoil_cannot_play() {
    let table = include_str!("../docs/ENGINES.md");
    let row = table.lines().find(|line| line.starts_with("| faults |")).expect("a row of faults");
    let messages = "{ operation = \"c1#1\" }";
    let mut documented = Vec::new();
    for (fault, name) in [
        ("crash = \"f1\"".to_owned(), "crash"),
        ("crash = \"f1\"\n[[fault]]\nat_ms = 9\nrestart = \"f1\"".into(), "restart"),
        ("pause = \"f1\"".into(), "`pause`"),
        ("pause = \"f1\"\n[[fault]]\nat_ms = 9\nresume = \"f1\"".into(), "`resume`"),
        ("hold = \"f1\"".into(), "hold"),
        ("hold = \"f1\"\n[[fault]]\nat_ms = 9\nrelease = \"f1\"".into(), "release"),
        ("partition = { from = [\"leader\"], to = [\"f1\"] }".into(), "partition"),
        ("partition = { from = [\"c1\"], to = [\"f1\"] }".into(), "links of clients"),
        ("slow = { node = \"f1\", latency_ms = 9 }".into(), "`slow`"),
        ("slow = { node = \"f1\", latency_ms = 9, one_way = true }".into(), "links that are slow one way"),
        (format!("drop = {messages}"), "drop"),
        (format!("drop_reply = {messages}"), "drop_reply"),
        (format!("duplicate = {messages}"), "duplicate"),
        ("delay = { operation = \"c1#1\", delay_ms = 9 }".into(), "delay"),
        ("disconnect = { operation = \"c1#1\", after_ms = 9 }".into(), "disconnect"),
        ("clock = { node = \"f1\", rate_per_mille = 9 }".into(), "`clock`"),
        ("replace = {}".into(), "`replace`"),
        ("quorum = 1".into(), "quorum"),
        ("misdirect = { follower = \"f1\", to = \"f2\" }".into(), "`misdirect`"),
        ("members = [\"f1\", \"f2\", \"f3\"]".into(), "`members`"),
        ("members = [\"f1\", \"f2\", \"c@f3\"]".into(), "members under another name (`\"c@f3\"`)"),
        ("accept_loss = \"leader\"".into(), "accept_loss"),
        ("lose_key = { follower = \"f1\", key = \"x\" }".into(), "`lose_key`"),
    ] {
        let text = format!(
            "name = \"x\"\n[cluster]\nfollowers = 3\nwrite_quorum = 2\n[[workload.operation]]\nset = \"x\"\n[[fault]]\nat_ms = 5\n{fault}\n"
        );
        let scenario = Scenario::from_toml(&text.replace("at_ms = 5\ndisconnect", "disconnect"));
        let scenario = scenario.unwrap_or_else(|error| panic!("{fault}: {error}"));
        let is_refused = Engine::that_plays(&scenario) == Engine::Core;
        assert_eq!(row.contains(name), is_refused, "{name}: {row}");
        documented.push(fault.split(' ').next().unwrap_or_default().to_owned());
    }
    let kinds = FaultKind::NAMES.iter().filter(|name| !["restart", "resume", "release", "heal"].contains(name));
    for kind in kinds {
        assert!(documented.iter().any(|one| one == kind), "{kind} is not among the faults of this test");
    }
}

#[test]
fn the_corpus_comes_out_alike() {
    let scenarios = corpus::files().into_iter().map(|file| (Scenario::from_file(&file), file));
    let scenarios = scenarios.map(|(scenario, file)| (scenario.unwrap_or_else(|error| panic!("{error}")), file));
    let (core_alone, comparable): (Vec<_>, Vec<_>) =
        scenarios.partition(|(scenario, _)| corpus::is_for_core_alone(scenario));
    println!("{} of {} scenarios comparable", comparable.len(), comparable.len() + core_alone.len());
    for (scenario, _) in &core_alone {
        let refused = engine::run(Engine::Turmoil, scenario, Arc::default()).expect_err("it cannot");
        assert!(refused.to_string().contains(" needs the core engine "), "{refused}");
    }
    for (scenario, file) in comparable {
        let [turmoil, core] = Engine::ALL.map(|engine| play(engine, &scenario));
        let violated = |run: &ScenarioRun| run.violations().collect::<Vec<_>>();
        assert_eq!(violated(&core), violated(&turmoil), "{}", file.display());
        assert_eq!(core.states, turmoil.states, "{}", file.display());
    }
}

/// A node that is down refuses, once it is started again, whoever has knocked meanwhile: a client's call has failed, and the
/// leader leaves the follower alone for the longer the more requests were refused. (A leader that looks after its followers
/// would knock at other times too.)
#[test]
fn who_knocks_at_a_node_that_is_down_is_refused() {
    let write = |at_ms: u64, client: u64, key: &str| {
        format!("[[workload.operation]]\nclient = {client}\nat_ms = {at_ms}\nset = \"{key}\"\n")
    };
    let read = |at_ms: u64, client: u64, from: &str| {
        format!("[[workload.operation]]\nclient = {client}\nat_ms = {at_ms}\nget = \"y\"\nfrom = \"{from}\"\n")
    };
    let while_down = (1..=6).map(|client| write(400 + 50 * client, client, "x"));
    let operations: String = while_down
        .chain([write(3100, 7, "y"), read(3250, 8, "f1"), read(3600, 9, "f1")])
        .chain([write(4500, 10, "y"), read(4500, 11, "leader"), write(5500, 12, "y")])
        .collect();
    let fault = |at_ms: u64, fault: &str| format!("[[fault]]\nat_ms = {at_ms}\n{fault}\n");
    let faults = [(300, "crash = \"f1\""), (3000, "restart = \"f1\""), (4000, "crash = \"leader\"")];
    let faults: String =
        faults.into_iter().chain([(5000, "restart = \"leader\"")]).map(|(at_ms, what)| fault(at_ms, what)).collect();
    let cluster =
        "[cluster]\nfollowers = 2\nwrite_quorum = 1\ndelay_ms = [10, 10]\nrepl_timeout_ms = 10000\nrules = \"lab\"\n";
    let scenario = Scenario::from_toml(&format!("name = \"knocking\"\n{cluster}{operations}{faults}"));
    let scenario = scenario.unwrap_or_else(|error| panic!("{error}"));
    let [turmoil, core] = Engine::ALL.map(|engine| play(engine, &scenario));
    assert_eq!(differences(&core, &turmoil), [""; 0]);
    let outcome = |name: &str| outcomes(&core)[name].0;
    assert_eq!(
        (outcome("c8#1"), outcome("c9#1")),
        (Outcome::Absent, Outcome::Ok),
        "six refusals make a pause of 320 ms"
    );
    assert_eq!((outcome("c10#1"), outcome("c11#1")), (Outcome::Failed, Outcome::Failed), "the leader was down");
    assert_eq!(outcome("c12#1"), Outcome::Ok);
}

/// What a partition finds on its way is lost, though the link carries again before it would have arrived.
#[test]
fn what_is_on_its_way_over_a_link_that_is_cut_is_lost() {
    let text = |cut_at: u64| {
        format!(
            "name = \"cut\"\n\
             cluster = {{ followers = 1, write_quorum = 1, delay_ms = [10, 10], repl_timeout_ms = 1000, link_ms = 100, rules = \"lab\" }}\n\
             [[workload.operation]]\nset = \"x\"\n[[workload.operation]]\nclient = 2\nat_ms = 500\nget = \"x\"\nfrom = \"f1\"\n\
             [[fault]]\nat_ms = {cut_at}\npartition = {{ from = [\"leader\"], to = [\"f1\"] }}\n\
             [[fault]]\nat_ms = {}\nheal = {{ from = [\"leader\"], to = [\"f1\"] }}\n",
            cut_at + 20
        )
    };
    // The request leaves at 310 ms, once there is a connection, and arrives at 410 ms.
    for (cut_at, found) in [(350, Outcome::Absent), (440, Outcome::Ok)] {
        let scenario = Scenario::from_toml(&text(cut_at)).unwrap_or_else(|error| panic!("{error}"));
        let [turmoil, core] = Engine::ALL.map(|engine| play(engine, &scenario));
        assert_eq!(differences(&core, &turmoil), [""; 0], "cut at {cut_at} ms");
        assert_eq!(outcomes(&core)["c2#1"].0, found, "cut at {cut_at} ms");
    }
}

/// How many runs were compared, and why the others were not.
#[derive(Default)]
struct Compared {
    compared: Cell<usize>,
    excluded: Cell<usize>,
}

impl Compared {
    /// Holds the runs of the engines against each other if their schedule is determined. What differs otherwise.
    fn compare(&self, scenario: &Scenario) -> Vec<String> {
        let core = play(Engine::Core, scenario);
        if let Some(why) = why_incomparable(&core) {
            println!("{}, seed {}: not compared: {why}", scenario.name, scenario.seed);
            self.excluded.set(self.excluded.get() + 1);
            return Vec::new();
        }
        self.compared.set(self.compared.get() + 1);
        differences(&core, &play(Engine::Turmoil, scenario))
    }

    /// Requires that so many per cent were compared.
    fn require(&self, percent: usize) {
        let (compared, all) = (self.compared.get(), self.compared.get() + self.excluded.get());
        println!("{compared} of {all} compared");
        assert!(compared * 100 >= all * percent, "only {compared} of {all} are comparable");
    }
}

/// At least so many per cent of them can be compared.
fn spaced_scenarios_come_out_alike(rules: RuleSet, crashes: bool, percent: usize) {
    let compared = Compared::default();
    let config = Config { cases: 60, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&spaced::scenario(RulesSpec::Named(rules), crashes), |scenario| {
        let differences = compared.compare(&scenario);
        let story = || format!("{}\n{}", differences.join("\n"), scenario.to_toml());
        if differences.is_empty() { Ok(()) } else { Err(TestCaseError::fail(story())) }
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    compared.require(percent);
}

#[test]
fn spaced_scenarios_come_out_alike_without_crashes() {
    spaced_scenarios_come_out_alike(RuleSet::Safe, false, 75);
}

#[test]
fn spaced_scenarios_come_out_alike_with_crashes() {
    spaced_scenarios_come_out_alike(RuleSet::Safe, true, 65);
}

#[test]
fn spaced_scenarios_come_out_alike_under_lab_rules() {
    spaced_scenarios_come_out_alike(RuleSet::Lab, true, 65);
}

/// Where things are close to one another, as in what a swarm runs, the engines may tell different stories of an operation,
/// but mostly they do not. What a store without crashes does wrong is nothing in both.
#[test]
fn generated_scenarios_come_out_mostly_alike() {
    let (mut all, mut alike) = (0, 0);
    for seed in 0..60 {
        let rules = RulesSpec::Named(RuleSet::Safe);
        let crashes = seed % 2 == 1;
        let scenario = Generator { rules, crashes, engine: Engine::Turmoil, strategy: Strategy::Timed }.scenario(seed);
        let [turmoil, core] = Engine::ALL.map(|engine| play(engine, &scenario));
        let why = why_incomparable(&core);
        if why.is_none() {
            assert_eq!(differences(&core, &turmoil), [""; 0], "seed {seed}");
        }
        let (one, other) = (outcomes(&core), outcomes(&turmoil));
        let same = one.iter().filter(|(name, outcome)| other.get(*name) == Some(outcome)).count();
        println!("seed {seed}: {same} of {} alike; {}", one.len(), why.as_deref().unwrap_or("determined"));
        all += one.len();
        alike += same;
        let violated = |run: &ScenarioRun| run.violations().collect::<Vec<_>>();
        assert!(crashes || violated(&core).is_empty() && violated(&turmoil).is_empty(), "seed {seed}");
    }
    println!("{alike} of {all} operations alike");
    // Where the order of two events is a tie the engines may differ, and a fault that waits for an event makes more of it.
    assert!(alike * 100 >= all * 92, "only {alike} of {all} operations alike");
}
