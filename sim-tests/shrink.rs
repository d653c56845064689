//! Shrinking: what is left is small, violates the same, and is what the violation was planted by.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use semisync::check::Property;
use semisync::core::Rule;
use semisync::report::Narration;
use semisync::sim::scenario::{Expect, RuleSet, RulesSpec, Scenario};
use semisync::sim::shrink::{self, Criterion, Goal, ShrinkError, Shrunk};
use semisync::sim::zoo::Exhibit;
use semisync::sim::{Engine, Generator, ScenarioRun, Strategy, engine};

use crate::corpus;

/// The most events of a scenario that has been shrunk.
const SMALL: usize = 12;

/// Of what turmoil can run as well.
fn generator(rules: RulesSpec, crashes: bool) -> Generator {
    Generator { rules, crashes, engine: Engine::Turmoil, strategy: Strategy::Timed }
}

fn shrink(scenario: &Scenario, property: Property) -> Shrunk {
    shrink_by(scenario, &Criterion::of(property))
}

/// Shrinks a scenario, and its result once more: that must change nothing.
fn shrink_by(scenario: &Scenario, criterion: &Criterion) -> Shrunk {
    let shrink = |scenario: &Scenario| {
        shrink::shrink(Engine::Core, scenario, criterion, |_, _| {})
            .unwrap_or_else(|error| panic!("{}: {error}", scenario.name))
    };
    let first = shrink(scenario);
    assert!(first.is_fixpoint() && first.run.meets(first.goal));
    let text = first.scenario.to_toml();
    let read = Scenario::from_toml(&text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read, first.scenario);
    let second = shrink(&read);
    assert_eq!(second.scenario.to_toml(), text, "{} can be shrunk further", scenario.name);
    assert_eq!(second.run.trace.digest(), first.run.trace.digest());
    first
}

/// The first generated scenario that violates this property.
fn first_violation(generator: &Generator, property: Property) -> Scenario {
    let violates = |scenario: &Scenario| {
        let run = engine::run(Engine::Core, scenario, Arc::default()).expect("a simulation");
        run.violations().any(|violated| violated == property)
    };
    let found = (0..2000).map(|seed| generator.scenario(seed)).find(violates);
    found.unwrap_or_else(|| panic!("no violation of {property} in 2000 seeds: {generator:?}"))
}

fn without(rule: Rule) -> RulesSpec {
    RulesSpec::Without { off: vec![rule] }
}

/// Without the two rules by which a follower gets what it missed.
fn nothing_mended() -> RulesSpec {
    RulesSpec::Without { off: vec![Rule::ResendMissed, Rule::CompareStores] }
}

/// A generated scenario with many operations and faults that violates nothing, under other rules and with more faults.
fn planted(rules: RulesSpec, faults: &str) -> Scenario {
    let text = format!(
        "name = \"planted\"\nseed = 3\n[cluster]\nfollowers = 4\nwrite_quorum = 2\ndelay_ms = [0, 300]\nrepl_timeout_ms = 1500\n\
         [workload]\nclients = 4\noperations = 40\nkeys = 3\nreads = 0.3\nthink_ms = [0, 900]\n\
         [[workload.operation]]\nclient = 2\nset = \"alone\"\n\
         [[fault]]\nat_ms = 700\nuntil_ms = 2500\ndelay = {{ per_mille = 300, delay_ms = 800 }}\n\
         [[fault]]\nat_ms = 1000\nhold = \"f2\"\n[[fault]]\nat_ms = 1900\nrelease = \"f2\"\n{faults}"
    );
    let safe = Scenario::from_toml(&text).unwrap_or_else(|error| panic!("{error}"));
    Scenario { cluster: semisync::sim::scenario::ClusterSpec { rules, ..safe.cluster }, ..safe }
}

fn kinds(scenario: &Scenario) -> Vec<&'static str> {
    let mut kinds: Vec<&str> = scenario.faults.iter().map(|fault| fault.kind.name()).collect();
    kinds.sort_unstable();
    kinds
}

/// What goes wrong without a rule, but for rates, bounds and the latency law.
fn what_it_is_for(rule: Rule) -> &'static [Property] {
    use Property::{Acknowledgement, Convergence, Durability, Integrity, Linearizability, Liveness, MonotonicState};
    match rule {
        Rule::CompareStamps => &[MonotonicState, Durability],
        Rule::CountDistinct | Rule::ConfirmOnlyAnswers | Rule::KeepQuorum => &[Acknowledgement, Durability],
        Rule::ResendMissed => &[Convergence],
        Rule::OneWriter => &[Integrity, Linearizability, Convergence, Durability],
        Rule::AnswerByDeadline => &[Liveness],
        // These matter only when nodes crash; the swarm's tests show what they are for.
        _ => &[],
    }
}

#[test]
fn what_each_rule_is_for_shrinks_to_a_few_events_and_sentences() {
    use Property::{Acknowledgement, Convergence, Durability, Integrity, Linearizability};
    let of_lab: &[Property] = &[Acknowledgement, Convergence, Durability, Integrity, Linearizability];
    let rules = Rule::ALL.into_iter().map(|rule| (without(rule), rule.name(), what_it_is_for(rule)));
    for (rules, name, violated) in rules.chain([(RulesSpec::Named(RuleSet::Lab), "lab", of_lab)]) {
        // That a confirmation means what it says matters once a leader has forgotten what it wrote.
        let generator = generator(rules, name == "lab");
        for property in violated.iter().copied() {
            let shrunk = shrink(&first_violation(&generator, property), property);
            println!(
                "{name}: {property}: {} events to {}, {} tries",
                shrunk.events_before,
                shrunk.events(),
                shrunk.tries
            );
            assert!(shrunk.events() <= SMALL, "{name}: {property}: {}", shrunk.scenario.to_toml());
            let mut verdicts = shrunk.run.verdicts.iter().filter(|verdict| verdict.is_violated());
            let verdict = verdicts.find(|verdict| verdict.property == property);
            let verdict = verdict.unwrap_or_else(|| panic!("{name}: {property} is not violated any more"));
            let sentences = Narration::new(&shrunk.run.trace, verdict).sentences();
            assert!((5..=10).contains(&sentences.len()), "{name}: {sentences:#?}");
            assert!(sentences.iter().any(|sentence| sentence.starts_with(&format!("Broken is {property}"))));
        }
    }
}

#[test]
fn a_planted_loss_is_all_that_is_left() {
    let drop = "[[fault]]\ndrop = { operation = \"c2#11\", to = \"f3\" }\n";
    let shrunk = shrink(&planted(nothing_mended(), drop), Property::Convergence);
    assert_eq!(kinds(&shrunk.scenario), ["drop"], "{}", shrunk.scenario.to_toml());
    assert_eq!(shrunk.scenario.workload.explicit.len(), 1);
    assert_eq!((shrunk.scenario.cluster.followers, shrunk.scenario.cluster.write_quorum), (1, 1));
}

#[test]
fn a_planted_overtaking_is_all_that_is_left() {
    let shrunk = shrink(&planted(without(Rule::CompareStamps), ""), Property::MonotonicState);
    assert_eq!(shrunk.scenario.workload.explicit.len(), 2, "{}", shrunk.scenario.to_toml());
    assert_eq!(shrunk.scenario.faults.len(), 1, "one message is late, or was sent again");
    assert_eq!(shrunk.scenario.cluster.followers, 1);
}

#[test]
fn a_planted_restart_is_all_that_is_left() {
    let crash = "[[fault]]\nat_ms = 2000\ncrash = \"leader\"\n[[fault]]\nat_ms = 2600\nrestart = \"leader\"\n";
    let shrunk = shrink(&planted(RulesSpec::Named(RuleSet::Lab), crash), Property::Acknowledgement);
    assert_eq!(kinds(&shrunk.scenario), ["crash", "restart"], "{}", shrunk.scenario.to_toml());
    assert_eq!(shrunk.scenario.workload.explicit.len(), 2);
    let real = engine::run(Engine::Turmoil, &shrunk.scenario, Arc::default());
    let violated: Vec<Property> = real.expect("a simulation").violations().collect();
    assert!(violated.contains(&Property::Acknowledgement), "real nodes do the same: {violated:?}");
}

/// What begins and its end go together, in whatever order the file has them.
#[test]
fn of_two_restarts_the_one_that_is_not_needed_goes() {
    let crash = "[[fault]]\nat_ms = 2000\ncrash = \"leader\"\n[[fault]]\nat_ms = 300\ncrash = \"leader\"\n\
                 [[fault]]\nat_ms = 2600\nrestart = \"leader\"\n[[fault]]\nat_ms = 400\nrestart = \"leader\"\n";
    let shrunk = shrink(&planted(RulesSpec::Named(RuleSet::Lab), crash), Property::Acknowledgement);
    assert_eq!(kinds(&shrunk.scenario), ["crash", "restart"], "{}", shrunk.scenario.to_toml());
}

#[test]
fn a_planted_silence_is_all_that_is_left() {
    let drop = |to: &str| format!("[[fault]]\ndrop = {{ operation = \"c2#11\", to = \"{to}\" }}\n");
    let drops: String = ["f1", "f2", "f3"].map(drop).concat();
    let shrunk = shrink(&planted(without(Rule::KeepQuorum), &drops), Property::Acknowledgement);
    assert_eq!(kinds(&shrunk.scenario), ["drop"], "{}", shrunk.scenario.to_toml());
    assert_eq!(shrunk.scenario.workload.explicit.len(), 1);
}

/// Its drawn delays matter: with the usual ones what is left out of the story, the writes after healing, would not go wrong.
#[test]
fn what_needs_its_drawn_delays_is_written_down_with_them() {
    let rules = without(Rule::CompareStamps);
    let scenario = Generator { rules, crashes: false, engine: Engine::Core, strategy: Strategy::Timed }.scenario(7);
    let shrunk = shrink(&scenario, Property::MonotonicState);
    let text = shrunk.scenario.to_toml();
    assert_eq!((shrunk.scenario.workload.operations, shrunk.scenario.workload.without.len()), (0, 0), "{text}");
    assert!(shrunk.events() <= SMALL, "{text}");
}

/// What goes wrong only where clients probe the healed store is told as well.
#[test]
fn the_story_goes_on_after_healing_where_that_is_what_broke() {
    let text = "name = \"probed\"\n[cluster]\nfollowers = 1\nwrite_quorum = 1\ndelay_ms = [0, 300]\nrepl_timeout_ms = 100\n\
                rules = { off = [\"compare-stamps\"] }\n[[workload.operation]]\nget = \"x\"\n\
                [[fault]]\nhold = \"f1\"\n[[fault]]\nat_ms = 10\nrelease = \"f1\"\n";
    let scenario = Scenario::from_toml(text).unwrap_or_else(|error| panic!("{error}"));
    let run = |seed| engine::run(Engine::Core, &scenario.with_seed(seed), Arc::default()).expect("a simulation");
    let wrong = |run: &ScenarioRun| run.violations().any(|property| property == Property::MonotonicState);
    let run = (0..100).map(run).find(wrong).expect("a seed whose delays let a probe overtake another");
    let verdict = run.verdicts.iter().find(|verdict| verdict.property == Property::MonotonicState).expect("a verdict");
    let sentences = Narration::new(&run.trace, verdict).sentences();
    assert!(sentences.iter().any(|sentence| sentence.contains("of probe over version")), "{sentences:#?}");
    assert!((5..=10).contains(&sentences.len()), "{sentences:#?}");
}

#[test]
fn a_pause_that_need_not_be_one_becomes_a_hold() {
    let pause = "[[fault]]\nat_ms = 2000\npause = \"f1\"\n[[fault]]\nat_ms = 9000\nresume = \"f1\"\n";
    let mut scenario = planted(without(Rule::KeepQuorum), pause);
    scenario.cluster.write_quorum = 4;
    let shrunk = shrink(&scenario, Property::Acknowledgement);
    assert_eq!(kinds(&shrunk.scenario), ["hold"], "{}", shrunk.scenario.to_toml());
    let real = engine::run(Engine::Turmoil, &shrunk.scenario, Arc::default());
    assert!(real.expect("a simulation").violations().any(|violated| violated == Property::Acknowledgement));
}

#[test]
fn what_is_left_is_a_file_that_says_what_it_shows() {
    let property = Property::Acknowledgement;
    let shrunk = shrink(&first_violation(&generator(without(Rule::CountDistinct), false), property), property);
    let read = Scenario::from_toml(&shrunk.scenario.to_toml()).expect("a scenario");
    assert_eq!(read.expect, Some(Expect::violates(property)));
    let again = engine::run(Engine::Core, &read, Arc::default()).expect("a simulation");
    assert_eq!(again.trace.digest(), shrunk.run.trace.digest());
}

/// The most generated scenarios that are shrunk for each rule, and the seeds that are searched for
/// them: so many that it takes seconds. Every other test here shrinks twice, too.
const OF_EACH_RULE: usize = 1;
const SEEDS_OF_EACH_RULE: u64 = 40;

/// Shrinks failing scenarios of the swarm without this rule, and returns them as they were.
fn shrink_generated(exhibit: &Exhibit) -> Vec<Scenario> {
    let rules = RulesSpec::Without { off: exhibit.off().to_vec() };
    let generator = Generator { rules, crashes: true, engine: Engine::Core, strategy: Strategy::Timed };
    // The latency law is violated by chance once in a while.
    let violated = |scenario: &Scenario| {
        let run = engine::run(Engine::Core, scenario, Arc::default()).ok()?;
        run.violations().find(|property| *property != Property::LatencyLaw)
    };
    let scenarios = (0..SEEDS_OF_EACH_RULE).map(|seed| generator.scenario(seed));
    let failing = scenarios.filter_map(|scenario| violated(&scenario).map(|property| (property, scenario)));
    let shrunk = failing.take(OF_EACH_RULE).map(|(property, scenario)| {
        let shrunk = shrink(&scenario, property);
        assert!(shrunk.events() <= SMALL, "{exhibit:?}, seed {}: {}", scenario.seed, shrunk.scenario.to_toml());
        scenario
    });
    shrunk.collect()
}

#[test]
fn generated_scenarios_shrink_to_fixpoints_without_each_rule() {
    let exhibits: Vec<Exhibit> = Exhibit::all().collect();
    let shrunk: Vec<Scenario> = thread::scope(|scope| {
        let shrink_all = |exhibits: &[Exhibit]| exhibits.iter().flat_map(shrink_generated).collect::<Vec<_>>();
        let chunks = exhibits.chunks(exhibits.len().div_ceil(4));
        let threads: Vec<_> = chunks.map(|chunk| scope.spawn(move || shrink_all(chunk))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("every result is a fixpoint")).collect()
    });
    assert!(shrunk.len() >= exhibits.len() / 2, "only {} scenarios fail", shrunk.len());
    for kind in ["replace", "pause", "crash", "partition", "drop", "delay"] {
        let having = shrunk.iter().filter(|scenario| kinds(scenario).contains(&kind)).count();
        assert!(having >= 3, "only {having} of {} scenarios have {kind}", shrunk.len());
    }
}

/// Some rules are decisive so rarely that only the corpus has a scenario for each.
#[test]
fn scenarios_of_the_corpus_shrink_to_fixpoints() {
    let mut rules: BTreeSet<Rule> = BTreeSet::new();
    for file in corpus::files() {
        let scenario = Scenario::from_file(&file).unwrap_or_else(|error| panic!("{error}"));
        let Some(property) = scenario.expect.and_then(|expect| expect.violates) else { continue };
        let run = engine::run(Engine::Core, &scenario, Arc::default()).expect("a simulation");
        if run.violations().any(|violated| violated == property) {
            let shrunk = shrink(&scenario, property);
            assert!(shrunk.events() <= scenario.workload.explicit.len() + scenario.faults.len(), "{}", file.display());
            if let RulesSpec::Without { off } = &scenario.cluster.rules {
                rules.extend(off);
            }
        }
    }
    assert!(rules.len() >= 15, "only {rules:?}");
}

fn file(name: &str) -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sim-tests/shrink").join(name);
    Scenario::from_file(&path).unwrap_or_else(|error| panic!("{error}"))
}

/// What its second write-down offers is smaller than the result of the first.
#[test]
fn a_scenario_is_written_down_again_when_less_of_it_is_left() {
    let shrunk = shrink(&file("recovery-from-too-few.toml"), Property::Linearizability);
    assert!(shrunk.events() <= 4, "{}", shrunk.scenario.to_toml());
}

/// This one cannot be written down at first, because its violation depends on times shorter
/// than a millisecond; it can once less of it is left.
#[test]
fn a_drawn_workload_is_written_down_as_soon_as_it_can_be() {
    let shrunk = shrink(&file("paused-leader-resumes.toml"), Property::Durability);
    let text = shrunk.scenario.to_toml();
    assert_eq!(shrunk.scenario.workload.operations, 0, "{text}");
    assert!(shrunk.events() <= 4, "{text}");
}

/// In the core engine f1 crashes at the moment at which the first write is acknowledged, in turmoil before; so the read is stale in one
/// of them only. Some milliseconds later it is stale in both.
#[test]
fn what_turmoil_confirms_stays_confirmed() {
    let crash_at = |at_ms| {
        let text = format!(
            "name = \"one confirmation is enough\"\n[cluster]\nfollowers = 2\nwrite_quorum = 2\ndelay_ms = [10, 10]\n\
             repl_timeout_ms = 1000\nrules = {{ off = [\"keep-quorum\"] }}\n\
             [[workload.operation]]\nat_ms = 500\nset = \"x\"\n[[workload.operation]]\nat_ms = 501\nset = \"x\"\n\
             [[workload.operation]]\nat_ms = 900\nget = \"x\"\n[[fault]]\nat_ms = {at_ms}\ncrash = \"f1\"\n\
             [[fault]]\nat_ms = 1520\ncrash = \"f2\"\n"
        );
        Scenario::from_toml(&text).unwrap_or_else(|error| panic!("{error}"))
    };
    let property = Property::Linearizability;
    let criterion = Criterion { confirmed: true, ..Criterion::of(property) };
    let is_violated = |engine, scenario: &Scenario| {
        let run = engine::run(engine, scenario, Arc::default()).expect("a simulation");
        run.violations().any(|violated| violated == property)
    };
    let (in_core, in_both) = (crash_at(513), crash_at(520));
    assert!(is_violated(Engine::Core, &in_core) && !is_violated(Engine::Turmoil, &in_core), "{}", in_core.to_toml());
    let confirmed = shrink_by(&in_both, &criterion).scenario;
    assert!(is_violated(Engine::Turmoil, &confirmed), "{}", confirmed.to_toml());
    let error = shrink::shrink(Engine::Core, &in_core, &criterion, |_, _| {});
    let error = error.expect_err("turmoil does not confirm it").to_string();
    assert!(error.contains("linearizability") && error.contains("turmoil does not confirm it"), "{error}");
}

#[test]
fn the_story_of_a_restart() {
    let shrunk = {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("sim-tests/corpus/f1-leader-restarts-empty.toml");
        let scenario = Scenario::from_file(&file).expect("a scenario");
        shrink::shrink(Engine::Core, &scenario, &Criterion::default(), |_, _| {}).expect("it violates what it expects")
    };
    assert_eq!(
        shrunk.goal,
        Goal::Violates(Property::Acknowledgement),
        "what the file expects, though more is violated"
    );
    let verdict =
        shrunk.run.verdicts.iter().find(|verdict| verdict.property == shrunk.goal.property()).expect("a verdict");
    insta::assert_snapshot!(Narration::new(&shrunk.run.trace, verdict));
    insta::assert_snapshot!(shrunk.scenario.to_toml());
}

#[test]
fn the_command_confirms_each_step_where_it_is_told_to() {
    let shrink = |arguments: &[&str]| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("sim-tests/corpus/f24-two-leaders.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_semisync"));
        let output = command.arg("shrink").arg(file).args(arguments).output().expect("the binary runs");
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        (output.status.code(), text)
    };
    let (status, text) = shrink(&[]);
    assert!(status == Some(0) && text.contains("shrunk to 3") && text.contains("CORE-ONLY"), "{text}");
    let (status, text) = shrink(&["--confirmed"]);
    assert!(status == Some(2) && text.contains("replace needs the core engine"), "{text}");
    assert!(text.contains("without --confirmed"), "{text}");
}

#[test]
fn what_violates_nothing_cannot_be_shrunk() {
    let scenario = planted(RulesSpec::Named(RuleSet::Safe), "").with_seed(3);
    let error = |property| {
        let criterion = Criterion { property, ..Criterion::default() };
        shrink::shrink(Engine::Core, &scenario, &criterion, |_, _| {}).expect_err("nothing is wrong")
    };
    assert!(matches!(error(None), ShrinkError::NothingViolated { .. }));
    let lab = planted(nothing_mended(), "[[fault]]\ndrop = { operation = \"c2#11\", to = \"f3\" }\n");
    let error =
        shrink::shrink(Engine::Core, &lab, &Criterion::of(Property::Integrity), |_, _| {}).expect_err("it holds");
    assert!(
        error.to_string().contains("integrity is not violated") && error.to_string().contains("violated: convergence"),
        "{error}"
    );
}

/// A file that loses durability, whatever it expects.
#[test]
fn a_loss_of_another_property_than_was_asked_for_is_named() {
    let lost = include_str!("corpus/f43-all-lose-power-safe.toml");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("lost.toml");
    let shrink = |text: &str, arguments: &[&str]| {
        std::fs::write(&file, text).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_semisync"));
        let output = command.arg("shrink").arg(&file).args(arguments).output().expect("the binary runs");
        (output.status.code(), String::from_utf8(output.stderr).expect("text"))
    };
    let elsewhere = lost.replace("loses = \"durability\"", "loses = \"linearizability\"");
    for (text, arguments, says) in [
        (
            lost,
            &["--property", "linearizability"][..],
            "linearizability is neither violated nor lost in the core engine with seed 1; lost: durability; --property durability \
             shrinks that",
        ),
        (
            lost,
            &["--property", "integrity"],
            "integrity is not violated in the core engine with seed 1; lost: durability; ",
        ),
        (
            &elsewhere,
            &[],
            "so there is nothing to shrink; durability is lost, and a loss is shrunk if it is asked for: ",
        ),
    ] {
        let (status, message) = shrink(text, arguments);
        assert!(status == Some(2) && message.contains(says), "{arguments:?}: {message}");
        assert!(message.contains("--property durability shrinks that") && !message.contains("turmoil"), "{message}");
    }
    assert_eq!(shrink(&elsewhere, &["--property", "durability"]), (Some(0), String::new()));
}
