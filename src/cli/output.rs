use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::Failure;

/// A file that a flag names. It is created before the work begins, so that a path that cannot be written is found out
/// before, and not after.
pub(super) struct OutputFile {
    flag: &'static str,
    path: PathBuf,
    file: File,
}

impl OutputFile {
    /// Creates the file that the flag names, if it names one.
    pub(super) fn create(flag: &'static str, path: Option<&Path>) -> Result<Option<Self>, Failure> {
        let Some(path) = path else { return Ok(None) };
        let file = File::create(path).map_err(|error| Failure::Usage(format!("{flag} {}: {error}", path.display())))?;
        Ok(Some(Self { flag, path: path.to_owned(), file }))
    }

    /// Lets `write` fill it.
    pub(super) fn write(self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let mut out = BufWriter::new(self.file);
        let written = write(&mut out).and_then(|()| out.flush());
        written.map_err(|error| Failure::Failed(format!("{} {}: {error}", self.flag, self.path.display())))
    }
}
