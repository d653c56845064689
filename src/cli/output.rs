use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::Failure;

/// A file that a flag names. A path that cannot be written is found out before the work begins, and what was there before
/// stays until the new content is complete. Whoever ends the work in between finds nothing left behind.
pub(super) struct OutputFile {
    flag: &'static str,
    path: PathBuf,
    sink: Sink,
}

/// Where what is written goes.
enum Sink {
    /// Into a file in this directory, where it is, which takes its place in the end.
    Replace(PathBuf),
    /// Into a device or a pipe, which cannot be replaced.
    Direct(File),
}

impl OutputFile {
    /// Prepares the file that the flag names, if it names one.
    pub(super) fn create(flag: &'static str, path: Option<&Path>) -> Result<Option<Self>, Failure> {
        let Some(path) = path else { return Ok(None) };
        let sink = Sink::open(path).map_err(|error| Failure::Usage(format!("{flag} {}: {error}", path.display())))?;
        Ok(Some(Self { flag, path: path.to_owned(), sink }))
    }

    /// Lets `write` fill it.
    pub(super) fn write(self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let written = self.sink.fill(&self.path, write);
        written.map_err(|error| Failure::Failed(format!("{} {}: {error}", self.flag, self.path.display())))
    }
}

/// Writes a file whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    Sink::open(path)?.fill(path, |out| out.write_all(bytes))
}

impl Sink {
    fn open(path: &Path) -> io::Result<Self> {
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return File::options().write(true).open(path).map(Self::Direct);
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Asked for by itself, so that an error names no file but the one that was asked for.
        directory.metadata()?;
        temporary_in(directory)?;
        Ok(Self::Replace(directory.to_owned()))
    }

    fn fill(self, path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Direct(file) => {
                let mut out = BufWriter::new(file);
                write(&mut out)?;
                out.flush()
            }
            Self::Replace(directory) => {
                let mut file = temporary_in(&directory)?;
                let mut out = BufWriter::new(file.as_file_mut());
                write(&mut out)?;
                out.flush()?;
                drop(out);
                file.persist(path).map(drop).map_err(|error| error.error)
            }
        }
    }
}

/// A file with a name that nobody has, which is gone once it is dropped.
fn temporary_in(directory: &Path) -> io::Result<NamedTempFile> {
    // As other programs create files, less what the umask takes away.
    tempfile::Builder::new().prefix(".semisync-").permissions(Permissions::from_mode(0o666)).tempfile_in(directory)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A signal may end the process between the two.
    #[test]
    fn nothing_is_left_behind_before_there_is_something_to_write() {
        let directory = tempfile::tempdir().expect("a directory");
        let names = || {
            let entries = fs::read_dir(directory.path()).expect("a directory");
            entries.map(|entry| entry.expect("an entry").file_name()).collect::<Vec<_>>()
        };
        let path = directory.path().join("out");
        let file = OutputFile::create("--save", Some(&path)).map_err(|_| ()).expect("it can be written");
        assert_eq!(names(), [""; 0]);
        file.expect("it was asked for").write(|out| out.write_all(b"x")).map_err(|_| ()).expect("it is written");
        assert_eq!((names(), fs::read(&path).expect("a file")), (vec!["out".into()], b"x".to_vec()));
    }
}
