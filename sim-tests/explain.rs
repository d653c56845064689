//! `semisync explain`: every name that the program prints is explained, and what the explanations refer to exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use semisync::check::explain::{FailureCode, Topic};
use semisync::core::Rule;

fn explain(args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_semisync"));
    let Output { status, stdout, stderr } = command.arg("explain").args(args).output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text_of(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The failure codes in a text: `F` and a number, not part of a longer word.
fn codes(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    let is_code = |word: &&str| word.strip_prefix('F').is_some_and(|number| number.parse::<u8>().is_ok());
    words.filter(is_code).map(str::to_owned).collect()
}

#[test]
fn a_name_is_explained_in_any_case_and_the_list_has_all_names() {
    let (code, text, errors) = explain(&["f18"]);
    assert_eq!(code, Some(0), "{errors}");
    for expected in [
        "F18 (failure)",
        "monotonic-state",
        "Prevented by the rules: compare-stamps",
        "\n  semisync sim sim-tests/corpus/f18-last-to-arrive-wins.toml\n",
    ] {
        assert!(text.contains(expected), "{expected} is missing:\n{text}");
    }
    assert_eq!(explain(&["F18"]).1, text);
    let (code, list, _) = explain(&[]);
    assert_eq!(code, Some(0));
    for topic in Topic::all() {
        let line = format!("  {topic} ");
        assert_eq!(list.lines().filter(|text| text.starts_with(&line)).count(), 1, "{topic}:\n{list}");
    }
}

#[test]
fn an_unknown_name_is_refused_with_similar_ones() {
    let (code, text, errors) = explain(&["durabilty"]);
    assert_eq!((code, text.as_str()), (Some(2), ""));
    assert!(errors.contains("'durabilty'") && errors.contains("similar: durability"), "{errors}");
    assert!(errors.contains("failures are F1 to F49") && errors.contains("`semisync explain` lists"), "{errors}");
    let (code, _, errors) = explain(&["xyzzy"]);
    assert!(code == Some(2) && !errors.contains("similar"), "{errors}");
    let (code, _, errors) = explain(&["F1", "--markdown"]);
    assert!(code == Some(2) && errors.contains("cannot be used with"), "{errors}");
}

#[test]
fn the_page_in_the_documentation_is_what_the_program_prints() {
    let (code, page, _) = explain(&["--markdown"]);
    assert_eq!(code, Some(0));
    assert!(text_of("docs/FAILURES.md") == page, "run: semisync explain --markdown > docs/FAILURES.md");
}

/// Each scenario that a text names exists, and each file of the corpus is named by the failures that it shows.
#[test]
fn texts_and_corpus_name_each_other() {
    let files = fs::read_dir(repository("sim-tests/corpus")).expect("the corpus");
    let mut corpus: BTreeSet<(String, String)> = BTreeSet::new();
    for file in files {
        let path = file.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let text = fs::read_to_string(&path).expect("a file");
        let heading = text.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a comment");
        let shown = codes(
            heading
                .split([':', ' '])
                .take_while(|word| word.trim_end_matches(',').starts_with('F'))
                .collect::<Vec<_>>()
                .join(" ")
                .as_str(),
        );
        assert!(!shown.is_empty(), "{name} does not say which failure it shows: {heading}");
        corpus.extend(shown.into_iter().map(|code| (code, name.clone())));
    }
    let named = FailureCode::all().flat_map(|code| {
        let scenarios = Topic::Failure(code).explanation().scenarios;
        scenarios.iter().map(move |name| (code.to_string(), (*name).to_owned()))
    });
    assert_eq!(named.collect::<BTreeSet<_>>(), corpus, "left: named by the texts; right: in the corpus");
    for topic in Topic::all() {
        for name in topic.explanation().scenarios {
            assert!(repository(&format!("sim-tests/corpus/{name}.toml")).exists(), "{topic} names {name}");
        }
    }
}

/// The codes that the table of rules in the README has are those of the explanations.
#[test]
fn every_code_that_is_printed_is_explained() {
    let readme = text_of("README.md");
    for rule in Rule::ALL {
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{rule}`"))).expect("a row of the table");
        let explained: BTreeSet<String> = FailureCode::prevented_by(rule).map(|code| code.to_string()).collect();
        assert_eq!(codes(row), explained, "{row}");
    }
    for code in codes(&readme) {
        assert!(Topic::find(&code).is_some(), "{code} is not explained");
    }
}

#[cfg(feature = "sim")]
mod scenarios {
    use std::process::Command;

    use semisync::check::explain::Topic;
    use semisync::sim::scenario::Scenario;

    use super::repository;

    fn scenario(name: &str) -> Scenario {
        Scenario::from_file(&repository(&format!("sim-tests/corpus/{name}.toml"))).expect("a scenario")
    }

    fn semisync(args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_semisync"));
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).args(args).output().expect("the binary runs");
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text")).concat();
        (output.status.code(), text)
    }

    #[test]
    fn what_is_violated_or_lost_ends_with_a_hint() {
        let hint = "\nExplained by: semisync explain ";
        for (args, status, explained) in [
            (&["sim", "sim-tests/corpus/f18-last-to-arrive-wins.toml"][..], 1, Some("monotonic-state\n")),
            (&["sim", "sim-tests/corpus/f43-all-lose-power-safe.toml"], 1, Some("durability\n")),
            (&["sim", "sim-tests/corpus/f18-last-to-arrive-wins-safe.toml"], 0, None),
            (&["shrink", "sim-tests/corpus/f36-what-is-lost-stays-lost.toml"], 0, Some("convergence\n")),
            (
                &["explore", "sim-tests/scopes/keep-quorum.toml", "--headless"],
                1,
                Some("durability, semisync explain acknowledgement\n"),
            ),
        ] {
            let (code, text) = semisync(args);
            assert_eq!(code, Some(status), "{args:?}: {text}");
            match explained {
                Some(property) => assert!(text.contains(&format!("{hint}{property}")), "{args:?}: {text}"),
                None => assert!(!text.contains(hint), "{args:?}: {text}"),
            }
        }
    }

    #[test]
    fn arguments_without_effect_and_numbers_out_of_range_are_named() {
        for (args, says) in [
            (&["sim", "--write-quorum", "9"][..], "--write-quorum 9: must be 1 to 5, the number of --followers"),
            (&["sim", "--followers", "-1"], "must be a whole number from 1 to 128"),
            (&["sim", "--seed", "x"], "must be a whole number from 0 to 18446744073709551615"),
            (
                &["shrink", "x.toml", "--confirmed", "--engine", "turmoil"],
                "--confirmed has no effect with --engine turmoil",
            ),
            (&["analyze", "--sim", "--timeout", "3"], "'--sim' cannot be used with '--timeout <SECONDS>'"),
        ] {
            let (code, text) = semisync(args);
            assert!(code == Some(2) && text.contains(says), "{args:?}: {text}");
        }
    }

    /// A scenario shows a rule only where that is off, and a property only where the file expects it.
    #[test]
    fn scenarios_show_what_they_are_named_for() {
        for topic in Topic::all() {
            for name in topic.explanation().scenarios {
                let scenario = scenario(name);
                match topic {
                    Topic::Rule(rule) => {
                        let rules = scenario.cluster.rules.rules();
                        assert_eq!(rules, rules.without(rule), "{name} has {rule}");
                    }
                    Topic::Property(property) => {
                        let expect = scenario.expect.expect("an expectation");
                        let shown = [expect.violates, expect.loses, expect.shows];
                        assert!(shown.contains(&Some(property)), "{name} does not show {property}");
                    }
                    Topic::Failure(_) => {}
                }
            }
        }
    }
}
