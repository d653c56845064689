use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::check::Verdict;
use crate::report::{Diagram, ExplainHint, Narration};
use crate::sim::scenario::{ClusterSpec, Scenario};
use crate::sim::shrink::Shrunk;

/// A scenario that does not hold. Printed by its `Display`: the seed and the options first, the
/// command that replays it last.
pub(super) struct Failure {
    /// The scenario that was asserted to hold.
    asserted: Scenario,
    cause: Cause,
}

enum Cause {
    Violated(Box<Shrunk>),
    /// The run did not come to an end, for this reason.
    Broken(String),
    /// There was no run, for this reason.
    Impossible(String),
}

impl Failure {
    pub(super) fn violated(asserted: &Scenario, shrunk: Shrunk) -> Self {
        Self { asserted: asserted.clone(), cause: Cause::Violated(Box::new(shrunk)) }
    }

    pub(super) fn broken(asserted: &Scenario, why: String) -> Self {
        Self { asserted: asserted.clone(), cause: Cause::Broken(why) }
    }

    pub(super) fn impossible(asserted: &Scenario, why: String) -> Self {
        Self { asserted: asserted.clone(), cause: Cause::Impossible(why) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scenario { name, seed, cluster, .. } = &self.asserted;
        let ClusterSpec { followers, write_quorum, delay_ms: [min, max], rules, .. } = cluster;
        writeln!(f, "seed {seed}, core engine, rules: {rules}")?;
        writeln!(f, "{name}: {followers} followers, quorum {write_quorum}, delays {min}..{max} ms\n")?;
        match &self.cause {
            Cause::Violated(shrunk) => write_shrunk(f, shrunk),
            Cause::Broken(why) => {
                writeln!(f, "the simulation failed: {why}\n")?;
                write_replay(f, &self.asserted)
            }
            Cause::Impossible(why) => write!(f, "the scenario cannot be run: {why}"),
        }
    }
}

fn write_shrunk(f: &mut fmt::Formatter<'_>, shrunk: &Shrunk) -> fmt::Result {
    let Shrunk { goal, scenario, run, events_before, tries } = shrunk;
    let events = shrunk.events();
    writeln!(f, "{goal}; {events_before} events shrunk to {events} in {tries} tries:\n")?;
    writeln!(f, "{}", scenario.to_toml())?;
    match Diagram::new(&run.trace, scenario.cluster.all_followers()) {
        Some(diagram) => writeln!(f, "{diagram}")?,
        None => writeln!(f, "Not drawn: {}\n", Diagram::LIMITS)?,
    }
    let is_about_it = |verdict: &&Verdict| verdict.property == goal.property();
    if let Some(verdict) = run.verdicts.iter().find(is_about_it) {
        writeln!(f, "{}", Narration::new(&run.trace, verdict))?;
    }
    writeln!(f, "{}\n", ExplainHint::new([goal.property()]))?;
    write_replay(f, scenario)
}

/// Saves the scenario and writes the command that replays it.
fn write_replay(f: &mut fmt::Formatter<'_>, scenario: &Scenario) -> fmt::Result {
    let text = scenario.to_toml();
    match save(&text) {
        Ok(path) => write!(f, "To replay it:\nsemisync sim {} --engine core", quoted(&path)),
        Err(error) => {
            write!(f, "It cannot be saved ({error}). To replay it, save this text as replay.toml:\n{text}\n")?;
            write!(f, "semisync sim replay.toml --engine core")
        }
    }
}

/// Saves the text in the directory for temporary files. Its name is a hash of the text, so that a
/// test which fails again leaves no second file.
fn save(text: &str) -> io::Result<PathBuf> {
    let directory = std::env::temp_dir();
    let path = directory.join(format!("semisync-{:016x}.toml", xxh3_64(text.as_bytes())));
    let mut file = tempfile::NamedTempFile::new_in(&directory)?;
    file.write_all(text.as_bytes())?;
    file.persist(&path)?;
    Ok(path)
}

/// A path as an argument in a POSIX shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    shlex::try_quote(&text).map_or_else(|_| text.clone(), |quoted| quoted.into_owned())
}
