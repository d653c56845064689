use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use semisync::sim::scenario::{RuleSet, RulesSpec, Scenario};
use semisync::sim::swarm::{Confirmation, Symptom};
use semisync::sim::{Engine, Generator, Strategy};

use crate::cli::complain;
use crate::cli::output::{shown, write_whole};
use crate::cli::shell::quoted;

/// How many scenarios are saved for each property that they violate.
const MOST_SAVED: usize = 10;

/// Saves failing scenarios, and one example of each kind of loss, as files that repeat the run by themselves.
pub(in crate::cli) struct Keeper {
    /// Where to save; nothing is saved without it.
    directory: Option<PathBuf>,
    engine: Engine,
    /// What to type before a seed, to repeat its run.
    command: String,
    /// What to type after it: what was typed besides the seeds.
    options: String,
    /// What of it stands in the names of files, so that other rules do not overwrite what these have found.
    marks: String,
    saved: BTreeMap<&'static str, usize>,
    /// Why a file could not be written, the first time.
    problem: Option<io::Error>,
}

/// A failing scenario that is reported.
pub(super) struct Found {
    pub(super) scenario: Scenario,
    pub(super) wrong: Vec<Wrong>,
    /// Where it is saved, if it is.
    path: Option<PathBuf>,
}

/// One thing that is wrong with a run.
#[derive(Debug, Clone)]
pub(super) struct Wrong {
    pub(super) symptom: Symptom,
    pub(super) evidence: Vec<String>,
    /// What real nodes say of it, if they were asked.
    pub(super) confirmation: Option<Confirmation>,
}

impl Wrong {
    pub(super) fn name(&self) -> &'static str {
        self.symptom.name()
    }
}

impl Found {
    pub(super) fn is_saved(&self) -> bool {
        self.path.is_some()
    }
}

impl Keeper {
    /// `options` is what was typed besides the seeds.
    pub(super) fn new(directory: PathBuf, generator: &Generator, options: String) -> Self {
        let (marks, command) = (marks(generator), "semisync swarm --seeds".to_owned());
        let (directory, engine) = (Some(directory), generator.engine);
        Self { directory, engine, command, options, marks, saved: BTreeMap::new(), problem: None }
    }

    /// Saves nothing: `command`, a seed and `options` repeat the run of the seed.
    pub(in crate::cli) fn of_commands(command: String, engine: Engine, options: String) -> Self {
        let (marks, saved) = (String::new(), BTreeMap::new());
        Self { directory: None, engine, command, options, marks, saved, problem: None }
    }

    /// Saves the scenario if there are not enough like it.
    pub(super) fn keep(&mut self, scenario: Scenario, wrong: Vec<Wrong>) -> Found {
        let kind = wrong.first().map_or("", Wrong::name);
        let mut found = Found { scenario, wrong, path: None };
        let Some(directory) = &self.directory else { return found };
        let saved = self.saved.entry(kind).or_default();
        if *saved >= MOST_SAVED {
            return found;
        }
        let path = directory.join(format!("seed-{}-{kind}{}.toml", found.scenario.seed, self.marks));
        found.path = Some(path);
        if self.write(&found) {
            *self.saved.entry(kind).or_default() += 1;
        } else {
            found.path = None;
        }
        found
    }

    /// Saves the run of a loss as an example of its kind. Returns what to type for the saved run; none if the scenario is not given,
    /// or cannot be saved.
    pub(super) fn keep_loss(
        &mut self,
        scenario: Option<&Scenario>,
        seed: u64,
        kind: &str,
        evidence: &[String],
    ) -> Option<String> {
        let (scenario, by_seed) = (scenario?, self.by_seed(seed));
        let path = self.directory.as_ref()?.join(format!("seed-{seed}-lost-{kind}{}.toml", self.marks));
        let again = self.by_file(&path);
        let lines: String = comment(evidence).collect();
        let text =
            format!("# Found by {by_seed}\n# To repeat it: {again}\n# LOST {kind}:\n{lines}{}", scenario.to_toml());
        self.save(&path, &text).then_some(again)
    }

    /// Writes what is saved once more, with all that is known by now. False if it cannot be written.
    pub(super) fn write(&mut self, found: &Found) -> bool {
        let Some(path) = &found.path else { return true };
        let text = self.text(found);
        self.save(path, &text)
    }

    /// Writes a file into the directory. False if it cannot be written.
    fn save(&mut self, path: &Path, text: &str) -> bool {
        let create = || self.directory.as_ref().map_or(Ok(()), fs::create_dir_all);
        let written = create().and_then(|()| write_whole(path, text.as_bytes()));
        if let Err(error) = &written {
            let error = io::Error::new(error.kind(), format!("cannot save {}: {error}", shown(path)));
            self.problem.get_or_insert(error);
        }
        written.is_ok()
    }

    /// What to type for the run of a seed.
    pub(super) fn by_seed(&self, seed: u64) -> String {
        format!("{} {seed}{}", self.command, self.options)
    }

    /// What to type for the same run.
    pub(super) fn again(&self, found: &Found) -> String {
        found.path.as_ref().map_or_else(|| self.by_seed(found.scenario.seed), |path| self.by_file(path))
    }

    /// What to type for the run of a file that was saved.
    fn by_file(&self, path: &Path) -> String {
        let engine = if self.engine == Engine::Core { " --engine core" } else { "" };
        format!("semisync sim {}{engine}", quoted(path))
    }

    fn text(&self, found: &Found) -> String {
        let by_seed = self.by_seed(found.scenario.seed);
        let mut text = format!("# Found by {by_seed}\n# To repeat it: {}\n", self.again(found));
        for wrong in &found.wrong {
            let standing = match &wrong.confirmation {
                None => String::new(),
                Some(Confirmation::Confirmed) => " CONFIRMED in turmoil".to_owned(),
                Some(Confirmation::CoreOnly(why)) => format!(" CORE-ONLY: {why}"),
                Some(Confirmation::Unplayable(why)) => format!(" CORE-ONLY, for turmoil cannot play it: {why}"),
            };
            let lines = comment(&wrong.evidence);
            // A reason may have lines of its own.
            let standing = standing.replace('\n', "\n#   ");
            text.extend([format!("# {}:{standing}\n", wrong.name())].into_iter().chain(lines));
        }
        text + &found.scenario.to_toml()
    }

    /// Says so if scenarios could not be saved. What they are is in the commands that repeat them.
    pub(super) fn complain(&self) {
        if let Some(problem) = &self.problem {
            complain(&problem.to_string());
        }
    }
}

/// The lines of sentences as comments of a scenario file.
fn comment(sentences: &[String]) -> impl Iterator<Item = String> {
    sentences.iter().flat_map(|sentence| sentence.lines()).map(|line| format!("#   {line}\n"))
}

/// `-off-keep-quorum-crashes-pct-5-turmoil`; nothing for what is usual.
fn marks(generator: &Generator) -> String {
    let mut marks = match &generator.rules {
        RulesSpec::Named(RuleSet::Safe) => String::new(),
        RulesSpec::Named(RuleSet::Lab) => "-lab".into(),
        RulesSpec::Without { off } => off.iter().fold("-off".into(), |marks, rule| format!("{marks}-{rule}")),
    };
    if !generator.crashes {
        marks.push_str("-no-crashes");
    }
    if generator.strategy != Strategy::Timed {
        marks.extend(["-", &generator.strategy.to_string().replace(':', "-")]);
    }
    if generator.engine == Engine::Turmoil {
        marks.push_str("-turmoil");
    }
    marks
}
