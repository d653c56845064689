use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use semisync::live::analyze::QuorumResult;
use semisync::report::plot::{self, Figure, PlotError};

use crate::cli::Failure;
use crate::cli::output::{require_different, shown, write_whole};

/// The name of the file with the numbers.
const RESULTS: &str = "quorum_results.json";

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
        let is_written = name == RESULTS || name.ends_with(".png") || name.ends_with(".svg");
        if !is_written {
            return Ok(());
        }
        require_different(&[(option, input)], &[("--out", Some(&directory.join(name)))])
    }

    /// Creates the directory if it is not there, and sees that files can be written into it.
    pub(super) fn prepare(directory: &Path) -> Result<Self, Failure> {
        let cannot = |error: std::io::Error| Failure::Usage(format!("--out {}: {error}", shown(directory)));
        if directory.exists() && !directory.is_dir() {
            return Err(Failure::Usage(format!("--out {}: is not a directory", shown(directory))));
        }
        fs::create_dir_all(directory).map_err(cannot)?;
        tempfile::tempfile_in(directory).map_err(cannot)?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// Writes everything, each file whole or not at all. Returns their names.
    pub(super) fn write(&self, results: &[QuorumResult]) -> Result<Vec<String>, Failure> {
        let mut written = Vec::new();
        let json = serde_json::to_string_pretty(results).expect("our own types can be written as JSON") + "\n";
        self.one(RESULTS, json.as_bytes(), &mut written)?;
        self.figure("latency_vs_quorum", plot::latency_vs_quorum(results).map(Some), &mut written)?;
        for result in results {
            let name = format!("latency_distribution_q{}", result.quorum);
            self.figure(&name, plot::latency_distribution(result), &mut written)?;
        }
        self.figure("staleness", plot::staleness(results), &mut written)?;
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
