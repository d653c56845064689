//! Losses that the documentation names: a search tells them from violations.

use std::fs;

use semisync::check::{Finding, Property};
use semisync::sim::exhaustive::{FaultBudgets, Scope};
use semisync::sim::scenario::Scenario;

use super::{explore, name_of, searched};

/// One write to one follower, and a read. The leader and the follower may lose their memory, so that nothing survives.
fn all_lose_their_memory(expect: &str) -> String {
    format!(
        "name = \"all lose their memory\"\n[cluster]\nfollowers = 1\nwrite_quorum = 1\n\
         [[workload.operation]]\nset = \"x\"\n[[workload.operation]]\nclient = 2\nget = \"x\"\n\
         [[fault]]\ncrash = \"leader\"\n[[fault]]\ncrash = \"f1\"\n[expect]\n{expect}\n"
    )
}

#[test]
fn a_documented_loss_is_no_violation() {
    let of = |text: &str| {
        let scenario = Scenario::from_toml(text).unwrap_or_else(|error| panic!("{error}"));
        Scope::new(scenario, FaultBudgets::default()).expect("a scope")
    };
    let losses = all_lose_their_memory("loses = \"durability\"");
    let search = searched(&of(&losses));
    assert_eq!((search.violated(), search.lost()), (vec![], vec![Property::Linearizability, Property::Durability]));
    let verdicts = search.verdicts();
    let durability = verdicts.iter().find(|verdict| verdict.property == Property::Durability).expect("a verdict");
    let Finding::Lost(evidence) = &durability.finding else { panic!("{durability:?}") };
    let cause =
        "only 0 of the 1 followers that a recovery takes had their memory, and the leader waits for an operator";
    assert!(evidence[0].contains(cause), "{evidence:?}");
    let apart = searched(&of(&losses).without_reduction());
    assert_eq!((apart.violated(), apart.lost()), (search.violated(), search.lost()));
}

#[test]
fn the_command_calls_a_documented_loss_lost() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    fs::write(path("loses.toml"), all_lose_their_memory("loses = \"durability\"")).expect("a file");
    fs::write(path("violates.toml"), all_lose_their_memory("violates = \"durability\"")).expect("a file");
    let explored = |name: &str, arguments: &[&str]| {
        let output = explore(&[&[name_of(&path(name)), "--headless"], arguments].concat());
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{text}");
        text
    };
    let text = explored("loses.toml", &["--save", name_of(&path("saved.toml"))]);
    for says in [
        "  durability       LOST   after ",
        "  linearizability  LOST   after ",
        "Expected by the file: durability is lost: met",
        "durability is lost after ",
        "The run in which durability is lost is saved.",
    ] {
        assert!(text.contains(says), "{says}:\n{text}");
    }
    assert!(!text.contains("VIOLATED") && !text.contains("is violated"), "{text}");
    assert!(path("saved.toml").exists());
    assert!(explored("violates.toml", &[]).contains("Expected by the file: durability is violated: NOT MET"));
}
