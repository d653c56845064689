use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;

use semisync::sim::Generator;
use semisync::sim::scenario::{RuleSet, RulesSpec, Scenario};

use crate::cli::output::write_whole;
use crate::cli::shell::quoted;

/// How many scenarios are saved for each property that they violate.
const MOST_SAVED: usize = 10;

/// Saves failing scenarios as files that repeat the failure by themselves.
pub(super) struct Keeper {
    directory: PathBuf,
    /// What was typed besides the seeds.
    options: String,
    /// What of it stands in the names of files, so that other rules do not overwrite what these have found.
    marks: String,
    saved: BTreeMap<String, usize>,
    /// Why a file could not be written, the first time.
    problem: Option<io::Error>,
}

impl Keeper {
    pub(super) fn new(directory: PathBuf, generator: &Generator, options: String) -> Self {
        Self { directory, options, marks: marks(generator), saved: BTreeMap::new(), problem: None }
    }

    /// Saves the scenario, if there is one and not enough like it. Returns what to type for the same run.
    pub(super) fn keep(&mut self, seed: u64, scenario: Option<&Scenario>, wrong: &[(&str, Vec<String>)]) -> String {
        let by_seed = format!("semisync swarm --seeds {seed}{}", self.options);
        let Some(scenario) = scenario else { return by_seed };
        let kind = wrong.first().map_or("", |(name, _)| name);
        let saved = self.saved.entry(kind.to_owned()).or_default();
        if *saved >= MOST_SAVED {
            return by_seed;
        }
        let path = self.directory.join(format!("seed-{seed}-{kind}{}.toml", self.marks));
        let written = fs::create_dir_all(&self.directory)
            .and_then(|()| write_whole(&path, text(&by_seed, scenario, wrong).as_bytes()));
        match written {
            Ok(()) => {
                *saved += 1;
                format!("semisync sim {}", quoted(&path))
            }
            Err(error) => {
                let error = io::Error::new(error.kind(), format!("cannot save {}: {error}", path.display()));
                self.problem.get_or_insert(error);
                by_seed
            }
        }
    }

    /// Says so if scenarios could not be saved. What they are is in the commands that repeat them.
    pub(super) fn complain(&self) {
        if let Some(problem) = &self.problem {
            eprintln!("semisync: {problem}");
        }
    }
}

/// `-off-keep-quorum-crashes`; nothing for what is usual.
fn marks(generator: &Generator) -> String {
    let mut marks = match &generator.rules {
        RulesSpec::Named(RuleSet::Safe) => String::new(),
        RulesSpec::Named(RuleSet::Lab) => "-lab".into(),
        RulesSpec::Without { off } => off.iter().fold("-off".into(), |marks, rule| format!("{marks}-{rule}")),
    };
    if generator.crashes {
        marks.push_str("-crashes");
    }
    marks
}

fn text(found_by: &str, scenario: &Scenario, wrong: &[(&str, Vec<String>)]) -> String {
    let mut text = format!("# Found by {found_by}\n");
    for (name, evidence) in wrong {
        writeln!(text, "# {name}:").expect("a string takes everything");
        for sentence in evidence.iter().flat_map(|sentence| sentence.lines()) {
            writeln!(text, "#   {sentence}").expect("a string takes everything");
        }
    }
    text + &scenario.to_toml()
}
