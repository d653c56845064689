//! The corpus: each file a story that the store must stand, or that shows what a missing rule or missing recovery costs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use semisync::sim::scenario::Scenario;
use semisync::sim::{Engine, ScenarioRun, engine};

pub fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("sim-tests/corpus");
    let mut files: Vec<PathBuf> =
        fs::read_dir(directory).expect("the corpus").map(|file| file.expect("a file").path()).collect();
    files.sort();
    files
}

/// Whether turmoil has no means for what happens in a scenario.
pub fn is_for_core_alone(scenario: &Scenario) -> bool {
    scenario
        .faults
        .iter()
        .any(|fault| ["pause", "clock", "replace", "misdirect", "lose_key"].contains(&fault.kind.name()))
}

/// Played by whole nodes, where they can.
pub fn play(scenario: &Scenario) -> ScenarioRun {
    engine::run(Engine::that_plays(scenario), scenario, Arc::default()).expect("a simulation")
}

#[test]
fn every_scenario_comes_out_as_its_file_says() {
    let files = files();
    assert!(files.len() >= 61, "the corpus has shrunk to {} files", files.len());
    for file in files {
        let name = file.display();
        let text = fs::read_to_string(&file).expect("a file");
        assert!(text.starts_with("# F"), "{name} begins without its story");
        let scenario = Scenario::from_file(&file).unwrap_or_else(|error| panic!("{error}"));
        let run = play(&scenario);
        let expectations = run.expectations();
        assert!(!expectations.is_empty(), "{name} expects nothing");
        let unmet: Vec<String> =
            expectations.iter().filter(|expectation| !expectation.is_met).map(ToString::to_string).collect();
        assert_eq!(unmet, [""; 0], "{name}: {:#?}", run.verdicts);
    }
}
