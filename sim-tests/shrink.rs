//! Shrinking: what is left is small, violates the same, and is what the violation was planted by.

use std::sync::Arc;

use semisync::check::Property;
use semisync::core::Rule;
use semisync::report::Narration;
use semisync::sim::scenario::{Expect, RuleSet, RulesSpec, Scenario};
use semisync::sim::shrink::{self, Goal, ShrinkError, Shrunk};
use semisync::sim::{Engine, Generator, ScenarioRun, Strategy, engine};

/// The most events of a scenario that has been shrunk.
const SMALL: usize = 12;

/// Of what turmoil can run as well.
fn generator(rules: RulesSpec, crashes: bool) -> Generator {
    Generator { rules, crashes, engine: Engine::Turmoil, strategy: Strategy::Timed }
}

fn shrink(scenario: &Scenario, property: Property) -> Shrunk {
    shrink::shrink(Engine::Core, scenario, Some(property), &RulesSpec::SAFE, |_, _| {})
        .unwrap_or_else(|error| panic!("{}: {error}", scenario.name))
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
    let shrunk = shrink(&planted(without(Rule::ResendMissed), drop), Property::Convergence);
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
    assert_eq!(read, shrunk.scenario);
    assert_eq!(read.expect, Some(Expect::violates(property)));
    let again = engine::run(Engine::Core, &read, Arc::default()).expect("a simulation");
    assert_eq!(again.trace.digest(), shrunk.run.trace.digest());
    // Whoever shrinks it again has nothing to gain.
    assert_eq!(shrink(&read, property).events(), shrunk.events());
}

#[test]
fn the_story_of_a_restart() {
    let shrunk = {
        let file =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sim-tests/corpus/f1-leader-restarts-empty.toml");
        let scenario = Scenario::from_file(&file).expect("a scenario");
        shrink::shrink(Engine::Core, &scenario, None, &RulesSpec::SAFE, |_, _| {}).expect("it violates what it expects")
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
fn what_violates_nothing_cannot_be_shrunk() {
    let scenario = planted(RulesSpec::Named(RuleSet::Safe), "").with_seed(3);
    let error = |property| {
        shrink::shrink(Engine::Core, &scenario, property, &RulesSpec::SAFE, |_, _| {}).expect_err("nothing is wrong")
    };
    assert!(matches!(error(None), ShrinkError::NothingViolated { .. }));
    let lab =
        planted(without(Rule::ResendMissed), "[[fault]]\ndrop = { operation = \"c2#11\", to = \"f3\" }\n").with_seed(3);
    let error = shrink::shrink(Engine::Core, &lab, Some(Property::Integrity), &RulesSpec::SAFE, |_, _| {})
        .expect_err("it holds");
    assert!(
        error.to_string().contains("integrity is not violated") && error.to_string().contains("convergence"),
        "{error}"
    );
}
