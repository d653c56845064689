use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;

use semisync::sim::swarm::Failure;

/// How many scenarios are saved for each property that they violate.
const MOST_SAVED: usize = 10;

/// Saves failing scenarios as files that repeat the failure by themselves.
pub(super) struct Keeper {
    directory: PathBuf,
    /// What was typed besides the seeds.
    options: String,
    saved: BTreeMap<String, usize>,
    /// Why a file could not be written, the first time.
    problem: Option<io::Error>,
}

impl Keeper {
    pub(super) fn new(directory: PathBuf, options: String) -> Self {
        Self { directory, options, saved: BTreeMap::new(), problem: None }
    }

    /// Saves the scenario unless there are enough like it. Returns what to type for the same run.
    pub(super) fn keep(&mut self, seed: u64, failure: &Failure, wrong: &[(String, Vec<String>)]) -> String {
        let by_seed = format!("semisync swarm --seeds {seed}{}", self.options);
        let kind = wrong.first().map(|(name, _)| name.clone()).unwrap_or_default();
        let saved = self.saved.entry(kind.clone()).or_default();
        if *saved >= MOST_SAVED {
            return by_seed;
        }
        *saved += 1;
        let path = self.directory.join(format!("seed-{seed}-{kind}.toml"));
        let written =
            fs::create_dir_all(&self.directory).and_then(|()| fs::write(&path, text(&by_seed, failure, wrong)));
        match written {
            Ok(()) => format!("semisync sim {}", path.display()),
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

fn text(found_by: &str, failure: &Failure, wrong: &[(String, Vec<String>)]) -> String {
    let mut text = format!("# Found by {found_by}\n");
    for (name, evidence) in wrong {
        writeln!(text, "# {name}:").expect("a string takes everything");
        for sentence in evidence.iter().flat_map(|sentence| sentence.lines()) {
            writeln!(text, "#   {sentence}").expect("a string takes everything");
        }
    }
    text + &failure.scenario.to_toml()
}
