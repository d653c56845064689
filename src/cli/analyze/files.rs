use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use semisync::live::analyze::QuorumResult;
use semisync::report::plot::{self, Figure, PlotError};

use crate::cli::Failure;
use crate::cli::output::{require_different, shown, write_whole};

/// The name of the file with the numbers.
const RESULTS: &str = "quorum_results.json";

/// The names of the figures, without quorums and endings.
const LATENCY: &str = "latency_vs_quorum";
const DISTRIBUTION: &str = "latency_distribution_q";
const STALENESS: &str = "staleness";

/// Returns whether an analysis may write a file of this name.
fn is_written(name: &str) -> bool {
    let figure = name.strip_suffix(".png").or_else(|| name.strip_suffix(".svg"));
    let is_figure = |name: &str| {
        let quorum = name.strip_prefix(DISTRIBUTION).and_then(|quorum| quorum.parse::<usize>().ok());
        name == LATENCY || name == STALENESS || quorum.is_some()
    };
    name == RESULTS || figure.is_some_and(is_figure)
}

/// The first of the files of an analysis in a directory, by name.
fn other_analysis(directory: &Path) -> io::Result<Option<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.extend(entry?.file_name().into_string().ok().filter(|name| is_written(name)));
    }
    Ok(names.into_iter().min())
}

/// Where the results go.
pub(super) struct Files {
    directory: PathBuf,
}

impl Files {
    /// Refuses an input that one of the files would overwrite.
    pub(super) fn require_not_among(
        directory: &Path,
        option: &'static str,
        input: Option<&Path>,
    ) -> Result<(), Failure> {
        let Some(name) = input.and_then(Path::file_name).and_then(OsStr::to_str) else { return Ok(()) };
        if !is_written(name) {
            return Ok(());
        }
        require_different(&[(option, input)], &[("--out", Some(&directory.join(name)))])
    }

    /// Creates the directory if it is not there, and checks that files can be written into it. Unless `overwrites` is set, it
    /// must have no file of another analysis.
    pub(super) fn prepare(directory: &Path, overwrites: bool) -> Result<Self, Failure> {
        let cannot = |error: io::Error| Failure::Usage(format!("--out {}: {error}", shown(directory)));
        if directory.exists() && !directory.is_dir() {
            return Err(Failure::Usage(format!("--out {}: is not a directory", shown(directory))));
        }
        fs::create_dir_all(directory).map_err(cannot)?;
        if let Some(name) = other_analysis(directory).map_err(cannot)?.filter(|_| !overwrites) {
            return Err(Failure::Usage(format!(
                "--out {}: has {name} of another analysis; name another directory, or add --overwrite",
                shown(directory)
            )));
        }
        tempfile::tempfile_in(directory).map_err(cannot)?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// Writes everything, each file whole or not at all. Returns their names.
    pub(super) fn write(&self, results: &[QuorumResult]) -> Result<Vec<String>, Failure> {
        let mut written = Vec::new();
        let json = serde_json::to_string_pretty(results).expect("our own types can be written as JSON") + "\n";
        self.one(RESULTS, json.as_bytes(), &mut written)?;
        self.figure(LATENCY, plot::latency_vs_quorum(results).map(Some), &mut written)?;
        for result in results {
            let name = format!("{DISTRIBUTION}{}", result.quorum);
            self.figure(&name, plot::latency_distribution(result), &mut written)?;
        }
        self.figure(STALENESS, plot::staleness(results), &mut written)?;
        Ok(written)
    }

    /// Writes a figure as PNG and SVG, if there is anything to be seen on it.
    fn figure(
        &self,
        name: &str,
        figure: Result<Option<Figure>, PlotError>,
        written: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let figure = figure.map_err(|error| Failure::Failed(format!("{name}: {error}")))?;
        let Some(Figure { svg, png }) = figure else { return Ok(()) };
        self.one(&format!("{name}.png"), &png, written)?;
        self.one(&format!("{name}.svg"), svg.as_bytes(), written)
    }

    fn one(&self, name: &str, bytes: &[u8], written: &mut Vec<String>) -> Result<(), Failure> {
        let path = self.directory.join(name);
        write_whole(&path, bytes).map_err(|error| Failure::Failed(format!("{}: {error}", shown(&path))))?;
        written.push(shown(&path));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_another_analysis_are_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let found = || other_analysis(directory.path()).expect("a directory");
        for name in ["latency_distribution_qx.svg", "staleness.pdf", "map.png"] {
            fs::write(directory.path().join(name), "").expect("a file");
        }
        assert_eq!(found(), None);
        for name in ["staleness.svg", "latency_vs_quorum.png", "latency_distribution_q12.svg"] {
            fs::write(directory.path().join(name), "").expect("a file");
            assert_eq!(found().as_deref(), Some(name));
        }
    }
}
