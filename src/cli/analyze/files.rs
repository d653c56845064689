use std::fs;
use std::path::{Path, PathBuf};

use semisync::live::analyze::QuorumResult;

use crate::cli::Failure;
use crate::cli::output::write_whole;

/// Where the results go.
pub(super) struct Files {
    directory: PathBuf,
}

impl Files {
    /// Creates the directory if it is not there, and sees that files can be written into it.
    pub(super) fn prepare(directory: &Path) -> Result<Self, Failure> {
        let cannot = |error: std::io::Error| Failure::Usage(format!("--out {}: {error}", directory.display()));
        fs::create_dir_all(directory).map_err(cannot)?;
        tempfile::tempfile_in(directory).map_err(cannot)?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// Writes everything, each file whole or not at all. Returns their names.
    pub(super) fn write(&self, results: &[QuorumResult]) -> Result<Vec<String>, Failure> {
        let mut written = Vec::new();
        let json = serde_json::to_string_pretty(results).expect("our own types can be written as JSON") + "\n";
        self.one("quorum_results.json", json.as_bytes(), &mut written)?;
        Ok(written)
    }

    fn one(&self, name: &str, bytes: &[u8], written: &mut Vec<String>) -> Result<(), Failure> {
        let path = self.directory.join(name);
        write_whole(&path, bytes).map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
        written.push(path.display().to_string());
        Ok(())
    }
}
