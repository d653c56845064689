//! The swarm: it finds what a missing rule costs, and counts what it tried.

use std::num::NonZeroUsize;
use std::sync::Arc;

use semisync::check::latency_law::Level;
use semisync::check::{Finding, Property};
use semisync::core::Rule;
use semisync::sim::scenario::{RuleSet, RulesSpec, Scenario};
use semisync::sim::swarm::{self, Exercise, Exercised, Missing, SeedRange, SeedReport, Shard};
use semisync::sim::{Engine, Generator, ScenarioRun, Strategy, engine};

const SAFE: RulesSpec = RulesSpec::Named(RuleSet::Safe);

fn play(scenario: &Scenario) -> ScenarioRun {
    engine::run(Engine::Turmoil, scenario, Arc::default()).expect("a simulation")
}

/// The evidence against a property in the run of a scenario; nothing if it is not violated.
fn evidence(engine: Engine, scenario: &Scenario, property: Property) -> Vec<String> {
    let run = engine::run(engine, scenario, Arc::default()).expect("a simulation");
    let verdict = run.verdicts.into_iter().find(|verdict| verdict.property == property);
    match verdict.map(|verdict| verdict.finding) {
        Some(Finding::Violated(evidence)) => evidence,
        _ => Vec::new(),
    }
}

/// The first seed of 200 whose run violates the property with evidence like this, though with all rules in force it does
/// not violate the property at all. The core engine looks for it, and real nodes show it too.
fn finds(generator: &Generator, property: Property, like: impl Fn(&str) -> bool) {
    let shows = |engine, scenario: &Scenario| {
        let mut safe = scenario.clone();
        safe.cluster.rules = SAFE;
        evidence(engine, scenario, property).iter().any(|sentence| like(sentence))
            && evidence(engine, &safe, property).is_empty()
    };
    let mut scenarios = (0..200).map(|seed| generator.scenario(seed));
    let found = scenarios.find(|scenario| shows(Engine::Core, scenario) && shows(Engine::Turmoil, scenario));
    assert!(found.is_some(), "not found in 200 seeds of {generator:?}");
}

fn without(rule: Rule, crashes: bool) -> Generator {
    Generator {
        rules: RulesSpec::Without { off: vec![rule] },
        crashes,
        engine: Engine::Turmoil,
        strategy: Strategy::Timed,
    }
}

#[test]
fn f1_is_found_under_lab_rules() {
    let lab = Generator {
        rules: RulesSpec::Named(RuleSet::Lab),
        crashes: true,
        engine: Engine::Turmoil,
        strategy: Strategy::Timed,
    };
    finds(&lab, Property::Acknowledgement, |sentence| {
        sentence.starts_with("n1 acknowledged ")
            && sentence.contains(" answered at ")
            && sentence.contains(" that it has v")
    });
}

#[test]
fn f13_is_found_without_counting_distinct_followers() {
    finds(&without(Rule::CountDistinct, false), Property::Acknowledgement, |sentence| {
        sentence.contains(" answered 2 times, at ")
    });
}

#[test]
fn f14_is_found_without_confirming_only_by_answers() {
    finds(&without(Rule::ConfirmOnlyAnswers, true), Property::Acknowledgement, |sentence| {
        sentence.contains("; the message to f") && sentence.contains(" came to nothing at ")
    });
}

#[test]
fn f18_is_found_without_comparing_stamps() {
    finds(&without(Rule::CompareStamps, false), Property::MonotonicState, |sentence| {
        sentence.contains(" went back from ")
    });
}

/// What turmoil finds in minutes, the core engine finds in a moment: the first seed that shows what each missing rule costs.
#[test]
fn the_core_engine_finds_every_missing_rule() {
    let alone = |rule: Rule, crashes| (RulesSpec::Without { off: vec![rule] }, crashes);
    let without_crashes = [
        Rule::CompareStamps,
        Rule::CountDistinct,
        Rule::ConfirmOnlyAnswers,
        Rule::KeepQuorum,
        Rule::ResendMissed,
        Rule::OneWriter,
        Rule::AnswerByDeadline,
    ];
    let with_crashes = [
        Rule::RecoverOnStart,
        Rule::RefuseDeposed,
        Rule::StartRecovering,
        Rule::LeaveOutForgetful,
        Rule::ConfirmOnlyCurrent,
        Rule::ForgetLostConfirmations,
        Rule::ResyncFollowers,
        Rule::RecoverFromEnough,
        Rule::MergeNewest,
    ];
    let rules = without_crashes.map(|rule| alone(rule, false)).into_iter();
    let rules = rules.chain(with_crashes.map(|rule| alone(rule, true)));
    for (rules, crashes) in rules.chain([false, true].map(|crashes| (RulesSpec::Named(RuleSet::Lab), crashes))) {
        let generator = Generator { rules, crashes, engine: Engine::Core, strategy: Strategy::Timed };
        let is_violated = |seed: &u64| {
            let run = engine::run(Engine::Core, &generator.scenario(*seed), Arc::default());
            run.expect("a simulation").violations().next().is_some()
        };
        assert!((0..3000).any(|seed| is_violated(&seed)), "nothing in 3000 seeds: {generator:?}");
    }
}

fn reports(generator: &Generator, seeds: &str, jobs: usize) -> Vec<SeedReport> {
    let seeds = seeds.parse::<SeedRange>().expect("a range").of_shard(Shard::WHOLE);
    let jobs = NonZeroUsize::new(jobs).expect("at least one job");
    let mut channel = swarm::run(generator.clone(), Level::OF_ONE_RUN, seeds, jobs, Arc::default())
        .expect("a build that can simulate");
    let mut reports: Vec<SeedReport> = std::iter::from_fn(|| channel.blocking_recv()).collect();
    reports.sort_by_key(|report| report.seed);
    reports
}

/// Everything is tried within the seeds that the commands demand it of, nothing is wrong, and it does not matter how many
/// run at a time.
#[test]
fn sixty_seeds_try_everything() {
    sixty_seeds_try_everything_in(Engine::Turmoil, 19);
    sixty_seeds_try_everything_in(Engine::Core, 27);
}

fn names(missing: &[Missing]) -> String {
    missing.iter().map(|missing| missing.what.as_str()).collect::<Vec<_>>().join(" ")
}

fn sixty_seeds_try_everything_in(engine: Engine, everything: usize) {
    let generator = Generator { rules: SAFE, crashes: false, engine, strategy: Strategy::Timed };
    let all = reports(&generator, "0..60", 2);
    let some = reports(&generator, "0..8", 1);
    let mut exercise = Exercise::default();
    assert_eq!(exercise.missing(&generator).len(), everything, "at first nothing was tried");
    for (seed, report) in all.iter().enumerate() {
        assert!(report.failure.is_none(), "{:?}", report.failure);
        assert_eq!(report.seed, seed as u64);
        exercise.add(&report.exercise);
    }
    assert_eq!((all.len(), some.len()), (60, 8));
    for (one, other) in some.iter().zip(&all) {
        assert_eq!((one.seed, &one.exercise), (other.seed, &other.exercise));
    }
    assert_eq!(names(&exercise.missing(&generator)), "");
    let with_crashes = Generator { crashes: true, ..generator };
    let of_crashes = match engine {
        Engine::Core => {
            "crash restart replace quorum members accept_loss recover bootstrap step-down interrupt rpc promise rpc state rpc snapshot rpc adopt \
             third leader rejoin"
        }
        Engine::Turmoil => {
            "crash restart quorum members accept_loss recover bootstrap install interrupt rpc promise rpc state rpc snapshot rpc adopt"
        }
    };
    assert_eq!(names(&exercise.missing(&with_crashes)), of_crashes);
}

/// What happened, counted by hand.
#[test]
fn what_a_run_tried_is_counted() {
    let scenario = Scenario::from_toml(
        r#"
        name = "counted"
        [cluster]
        followers = 3
        write_quorum = 2
        delay_ms = [10, 10]
        repl_timeout_ms = 1000
        [[workload.operation]]
        set = "during nothing"
        [[workload.operation]]
        at_ms = 500
        set = "while f1 is down, with a message lost"
        [[workload.operation]]
        at_ms = 3000
        set = "abandoned"
        [[workload.operation]]
        client = 2
        at_ms = 5000
        get = "abandoned"
        [[fault]]
        at_ms = 400
        crash = "f1"
        [[fault]]
        at_ms = 2000
        restart = "f1"
        [[fault]]
        drop = { operation = "c1#2", to = "f2", attempt = 1 }
        [[fault]]
        at_ms = 2500
        slow = { node = "f2", latency_ms = 50 }
        [[fault]]
        at_ms = 4000
        slow = { node = "f2", latency_ms = 1 }
        [[fault]]
        disconnect = { operation = "c1#3", after_ms = 4 }
        "#,
    );
    let run = play(&scenario.expect("a scenario"));
    let exercise = Exercise::of(&run);
    let count = |kind| {
        let count = exercise.count(kind);
        (count.times, count.runs, count.acknowledged)
    };
    assert_eq!(count(Exercised::Crash), (1, 1, 0), "only f3 could confirm the second write in time");
    assert_eq!(count(Exercised::Restart), (1, 1, 0));
    assert_eq!(count(Exercised::Drop), (1, 1, 2), "a fault without an end is on until everything is healed");
    assert_eq!(count(Exercised::Slow), (3, 1, 1), "three links, and the way back to normal is no fault");
    assert_eq!(count(Exercised::Disconnect), (1, 1, 1), "the abandoned write was acknowledged");
    assert_eq!(count(Exercised::Hold), (0, 0, 0));
    assert!(exercise.count(Exercised::Resend).times >= 2);
    assert_eq!((exercise.writes.count, exercise.writes.of), (1, 3));
    assert_eq!((exercise.reads.count, exercise.reads.of), (1, 1));
}
